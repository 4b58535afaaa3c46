//! Storage in a process of its own, killed while people use the site: the site says politely that it is away, and comes back by itself
//! with everything that was acknowledged.
//!
//! ```text
//! people ──▶ site (--roles web,…) ── gRPC, with a key ──▶ storage (--roles storage)      kill -9, started again
//! ```

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use testkit::{Person, Site, person, picture, site, wait_for};

const REST: &str = "web,feeds,search,jobs,worker,archive,monitor";
/// The site looks for its storage every second.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const PINS: usize = 8;

/// Makes an entry of the access list; returns (entry, key).
fn access(binary: &Path, arguments: &[&str]) -> anyhow::Result<(String, String)> {
    let printed = person::run_with_input(Command::new(binary).args(["storage", "access"]).args(arguments), "")?;
    let key = printed.lines().find_map(|line| line.strip_prefix("CORKBOARD_STORAGE_KEY=")).context("no key was printed")?.to_owned();
    let entry = &printed[printed.find('{').context("no entry was printed")?..];
    Ok((entry.to_owned(), key))
}

#[test]
fn a_killed_storage_process_loses_nothing_and_the_site_recovers() -> anyhow::Result<()> {
    let binary = site::binary()?;
    let folder = tempfile::tempdir()?;
    // Taken and given back, so that the service can have it again after its death.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let write = |name: &str, text: String| -> anyhow::Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let (entry, key) = access(&binary, &["site", "--read", "*", "--write", "*", "--scan", "*", "--operations"])?;
    anyhow::ensure!(!entry.contains(&key), "the entry holds the key itself");
    let list = write("access.json", format!("{{ \"callers\": [ {entry} ] }}"))?;
    let storage_config = write("storage.toml", format!("[storage]\nlisten = \"{address}\"\naccess = \"{}\"\n", list.display()))?;
    let remote = |key: &str| format!("[storage]\nurl = \"remote:{address}\"\ncaller = \"site\"\nkey = \"{key}\"\n");
    let site_config = write("site.toml", remote(&key))?;
    let mut storage = Site::prepare(&binary, &["--roles", "storage"])?.with_config(&storage_config);
    storage.restart()?;
    let mut site = Site::prepare(&binary, &["--roles", REST])?.with_config(&site_config);
    site.restart()?;
    let mut ada = Person::create(&site, "ada")?;
    let board = ada.create_board("Kept")?;
    let mut acknowledged = Vec::new();
    for index in 0..PINS {
        let png = picture::marked_png(40, 30, [10, 120, 40], index as u64);
        let response = ada.create_pin(&board, &format!("pin {index}"), &png)?.expect_success("pinning")?;
        acknowledged.push(person::id_of(&response)?);
    }

    storage.kill9();
    let mut visitor = site.client();
    let away = visitor.get("/somebody-new")?;
    anyhow::ensure!(away.status == 503, "without storage the site answers {}", away.status);
    anyhow::ensure!(away.text().contains("away for a moment"), "it should say so: {}", away.text());
    let png = picture::marked_png(40, 30, [10, 120, 40], 99);
    let refused = ada.create_pin(&board, "never", &png)?;
    anyhow::ensure!(refused.status >= 300, "a pin was acknowledged that nothing holds: {}", refused.status);
    wait_for("the site to say that it is not ready", NOTICED_WITHIN, || match visitor.get("/readyz") {
        Ok(response) if response.status == 503 && response.text().contains("storage") => Ok(()),
        Ok(response) => Err(format!("{} {}", response.status, response.text())),
        Err(error) => Err(format!("{error:#}")),
    })?;

    storage.restart()?;
    wait_for("the site to be ready again", NOTICED_WITHIN, || match visitor.get("/readyz") {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(format!("{} {}", response.status, response.text())),
        Err(error) => Err(format!("{error:#}")),
    })?;
    let listed = ada.board_pins(&board)?;
    for id in &acknowledged {
        anyhow::ensure!(listed.iter().filter(|pin| pin.id == *id).count() == 1, "pin {id} was acknowledged, and is not there once");
    }
    anyhow::ensure!(listed.len() == PINS, "there are {} pins, {PINS} were acknowledged", listed.len());
    let png = picture::marked_png(40, 30, [10, 120, 40], 100);
    ada.create_pin(&board, "after", &png)?.expect_success("pinning again")?;

    let doctor = person::run_with_input(&mut site.command(&["doctor"]), "")?;
    anyhow::ensure!(doctor.contains("storage is at remote:"), "doctor does not say where storage is: {doctor}");
    let status = person::run_with_input(&mut storage.command(&["status"]), "")?;
    anyhow::ensure!(status.contains("storage service") && status.contains(&address.port().to_string()), "{status}");
    let metrics = storage.client().get("/metrics")?.text();
    anyhow::ensure!(metrics.contains("storage_call_seconds"), "the storage process shows no metrics: {metrics}");
    let stranger = Site::prepare(&binary, &[])?.with_config(&write("wrong.toml", remote("wrong"))?);
    strangers_are_refused(&stranger, &storage)?;
    let status = site.terminate()?;
    anyhow::ensure!(status.success(), "the site did not end well: {status}\n{}", site.log());
    let status = storage.terminate()?;
    anyhow::ensure!(status.success(), "storage did not end well: {status}\n{}", storage.log());
    Ok(())
}

/// A command with a wrong key does nothing, is told why, and leaves a trace.
fn strangers_are_refused(stranger: &Site, storage: &Site) -> anyhow::Result<()> {
    let output = stranger.command(&["user", "promote", "ada"]).output()?;
    anyhow::ensure!(!output.status.success(), "a wrong key did something");
    anyhow::ensure!(storage.client().get("/metrics")?.text().contains("storage_calls_refused_total{"), "nobody counted the refusal");
    anyhow::ensure!(storage.log().contains("a call of the storage service was refused"), "nobody logged the refusal");
    Ok(())
}
