//! Live settings: changed by a command beside the running site, followed by it without a restart.

use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_site_follows_what_a_command_sets() {
    let site = Site::start().await;
    site.follow_settings();
    let in_force = async |followers: usize| {
        site.until("the setting to be in force", || async { site.feeds_faults.merge_threshold() == Some(followers) }).await;
    };
    in_force(10_000).await;
    let (done, printed) = site.command(&["settings", "set", "feeds.merge_threshold", "25_000"]);
    assert!(done && printed.contains("25000") && printed.contains("settings"), "{printed}");
    in_force(25_000).await;
    for (key, value, says) in [
        ("feeds.merge_threshold", "many", "no number"),
        ("feeds.merge_threshold", "0", "1 to"),
        ("feeds.url", "memory:", "no live setting"),
    ] {
        let (done, printed) = site.command(&["settings", "set", key, value]);
        assert!(!done && printed.contains(says), "{key} {value}: {printed}");
    }
    // What somebody broke by hand changes nothing, is told, and can be mended.
    let file = site.folder().join("registry/settings.json");
    std::fs::write(&file, r#"{"feeds.merge_threshold": "many", "feeds.other": 1}"#).unwrap();
    let (done, printed) = site.command(&["settings", "list"]);
    assert!(!done && printed.contains("write a number") && printed.contains("feeds.other"), "{printed}");
    assert!(site.command(&["settings", "unset", "feeds.other"]).1.contains("write a number"));
    assert_eq!(site.feeds_faults.merge_threshold(), Some(25_000));
    let (done, printed) = site.command(&["settings", "set", "feeds.merge_threshold", "30000", "--json"]);
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(done && printed["settings"][0]["value"] == 30_000 && printed["settings"][0]["origin"] == "settings", "{printed}");
    in_force(30_000).await;
    let (done, printed) = site.command(&["settings", "unset", "feeds.merge_threshold"]);
    assert!(done && printed.contains("configuration"), "{printed}");
    in_force(10_000).await;
    site.finish().await;
}
