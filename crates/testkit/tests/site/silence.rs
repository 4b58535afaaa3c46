//! A site on a fleet whose other processes have been silent: what it believes for minutes ends at once when a command writes beside it, with
//! and without its cache nodes.
//!
//! ```text
//! site ── mysql: … memcached: … ── nobody else writes: cache_others_silent 1 ── command in another process ──▶ seen
//! ```

use std::time::Duration;

use testkit::{Person, Site, mariadb, memcached, person, site, wait_for};

/// Copies are settled some seconds after the last commit of anybody else.
const SILENT_WITHIN: Duration = Duration::from_secs(60);
/// Far below the half minute, or the nine minutes, for which a copy would be believed.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn what_others_write_after_a_silence_counts_at_once() -> anyhow::Result<()> {
    let test = "what_others_write_after_a_silence_counts_at_once";
    if !memcached::is_available(test) {
        return Ok(());
    }
    let Some(database) = mariadb::shared(test)? else { return Ok(()) };
    let mut node = memcached::Server::start(memcached::Options::default())?;
    let folder = tempfile::tempdir()?;
    let (config, map) = (folder.path().join("corkboard.toml"), folder.path().join("shards.json"));
    let storage = mariadb::storage_config(Some(&format!("mysql:{}", map.display())));
    std::fs::write(&config, format!("{storage}[cache]\nurl = \"memcached://{}\"\n", node.address()))?;
    let mut site = Site::prepare(&site::binary()?, &[])?.with_config(&config);
    let server = format!("--server=a={}/{}", database.address(), database.database());
    person::run_with_input(&mut site.command(&["storage", "init", &server]), "")?;
    site.restart()?;
    let _founder = Person::create(&site, "founder")?;
    let mut ada = Person::create(&site, "ada")?;

    await_silence(&site)?;
    await_status(&mut ada, "/admin", 403)?;
    person::run_with_input(&mut site.command(&["user", "promote", "ada"]), "")?;
    await_status(&mut ada, "/admin", 200)?;

    await_silence(&site)?;
    await_status(&mut ada, "/settings", 200)?;
    node.kill9();
    await_status(&mut ada, "/settings", 200)?;
    person::run_with_input(&mut site.command(&["user", "password", "ada", "--password-stdin"]), "another password\n")?;
    await_status(&mut ada, "/settings", 303)
}

fn await_silence(site: &Site) -> anyhow::Result<()> {
    let mut visitor = site.client();
    wait_for("the others to be silent", SILENT_WITHIN, || {
        let metrics = visitor.get("/metrics").map_err(|error| format!("{error:#}"))?.text();
        let is_silent = metrics.lines().any(|line| line.starts_with("cache_others_silent") && line.ends_with(" 1"));
        if is_silent { Ok(()) } else { Err(metrics.lines().filter(|line| line.starts_with("cache_others")).collect::<Vec<_>>().join("; ")) }
    })
}

fn await_status(person: &mut Person, path: &str, status: u16) -> anyhow::Result<()> {
    wait_for(&format!("{path} to answer {status}"), NOTICED_WITHIN, || match person.pages.get(path) {
        Ok(response) if response.status == status => Ok(()),
        Ok(response) => Err(format!("status {}", response.status)),
        Err(error) => Err(format!("{error:#}")),
    })
}
