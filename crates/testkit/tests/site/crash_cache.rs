//! kill -9 of a site that could not tell its cache what it wrote: whatever the cache still holds, the next start does not show it.

use std::time::Duration;

use serde_json::json;
use testkit::{Cut, Person, Site, memcached, site, wait_for};

/// A node that was out rests for some seconds at most.
const BACK_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn what_the_cache_was_not_told_is_not_believed_after_a_death() -> anyhow::Result<()> {
    if !memcached::is_available("what_the_cache_was_not_told_is_not_believed_after_a_death") {
        return Ok(());
    }
    let node = memcached::Server::start(memcached::Options::default())?;
    let way = node.proxy()?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("corkboard.toml");
    std::fs::write(&config, format!("[cache]\nurl = \"memcached://{}\"\n", way.address()))?;
    let mut site = Site::prepare(&site::binary()?, &[])?.with_config(&config);
    site.restart()?;
    let mut ada = Person::create(&site, "ada")?;
    let path = format!("/v5/boards/{}", ada.create_board("Lace")?);
    let privacy = |ada: &mut Person| -> anyhow::Result<String> {
        Ok(ada.api.get(&path)?.expect_success(&path)?.json()?["privacy"].as_str().unwrap_or_default().to_owned())
    };
    // The node holds the board now.
    assert_eq!(privacy(&mut ada)?, "PUBLIC");
    way.cut_off(Cut::Refuse);
    ada.api.patch_json(&path, &json!({ "privacy": "SECRET" }))?.expect_success("hiding the board")?;
    site.kill9();
    way.reconnect();
    site.restart()?;
    assert_eq!(privacy(&mut ada)?, "SECRET");
    // Neither once the node is surely in again.
    wait_for("the node to be in", BACK_WITHIN, || {
        let metrics = ada.pages.get("/metrics").map_err(|error| format!("{error:#}"))?.text();
        let is_in = metrics.lines().any(|line| line.starts_with("cache_nodes_in") && line.ends_with(" 1"));
        if is_in { Ok(()) } else { Err(metrics.lines().filter(|line| line.starts_with("cache_nodes")).collect::<Vec<_>>().join("; ")) }
    })?;
    assert_eq!(privacy(&mut ada)?, "SECRET");
    Ok(())
}
