//! Kills the migration of a running site at chance moments while several people write, lets it come to its end, and looks whether the
//! running site has gone on at its new servers with everything that was acknowledged.
//!
//! ```text
//! people ──▶ pins, saves, likes, comments, deletes, sign-ups ──▶ site ──▶ sqlite: … ── moved ──▶ mysql: two databases
//!                     storage migrate ── kill -9, again and again, then to its end ─────▶
//!                                                            kill -9 ──▶ site, restarted with the old configuration, then with the new
//! ```
//! People stop at the first answer that is no success, so that a single refused request fails the test.

use std::{fs, process::Stdio, thread, time::Duration};

use testkit::{
    Random, Site,
    mariadb::{self, Shared},
    person, site, wait_for,
};

use crate::crash_writes::{Known, assemble, check};

const KILLS: usize = 6;
/// A migration runs between these before the kill.
const RUN_MS: std::ops::Range<u64> = 20..450;
/// Acts at the new place before the end.
const PINS_AFTER: u64 = 20;
const AFTER_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_site_moves_to_its_servers_while_people_write() -> anyhow::Result<()> {
    let mut random = Random::from_environment("crash_migrate");
    let mut databases = Vec::new();
    for _ in 0..2 {
        let Some(database) = mariadb::shared("a_site_moves_to_its_servers_while_people_write")? else { return Ok(()) };
        databases.push(database);
    }
    let folder = tempfile::tempdir()?;
    let (config, map) = (folder.path().join("corkboard.toml"), folder.path().join("shards.json"));
    fs::write(&config, mariadb::storage_config(None))?;
    let (config_text, map_text) = (config.to_string_lossy().into_owned(), map.to_string_lossy().into_owned());
    let mut site = Site::start_binary(&site::binary()?, &["--config", &config_text])?;
    let mut known = Known::default();
    let mut crew = assemble(&site, &mut known)?;
    let servers: Vec<String> = databases.iter().enumerate().map(server_flag).collect();
    let mut init = vec!["storage", "init", "--config", &config_text, "--map", &map_text];
    init.extend(servers.iter().map(String::as_str));
    person::run_with_input(&mut site.command(&init), "")?;
    let migrate = ["storage", "migrate", "--config", &config_text, "--map", &map_text];
    let plan = person::run_with_input(site.command(&migrate).arg("--dry-run"), "")?;
    anyhow::ensure!(plan.contains("This would be done"), "{plan}");
    let workers = crew.set_to_work(0, &mut random);
    for kill in 0..KILLS {
        let mut migration = site.command(&migrate).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let lasting = Duration::from_millis(RUN_MS.start + random.below(RUN_MS.end - RUN_MS.start));
        thread::sleep(lasting); // not a wait for a state: the moment of the kill is left to chance
        let had_ended = migration.try_wait()?;
        migration.kill()?;
        migration.wait()?;
        println!("kill {kill}: after {lasting:?}{}", had_ended.map(|status| format!(", it had ended: {status}")).unwrap_or_default());
    }
    let ended = wait_for("the fleet's lock to end with the killed migration", AFTER_LIMIT, || {
        match person::run_with_input(&mut site.command(&migrate), "") {
            Err(error) if format!("{error:#}").contains("Another storage operation") => Err(format!("{error:#}")),
            outcome => Ok(outcome),
        }
    })?;
    println!("{}", ended?);
    let before = pins(&databases)?;
    wait_for("people to go on at the new servers", AFTER_LIMIT, || match pins(&databases) {
        Ok(now) if now >= before + PINS_AFTER => Ok(()),
        Ok(now) => Err(format!("{now} pins, {before} at the move")),
        Err(error) => Err(format!("{error:#}")),
    })?;
    anyhow::ensure!(site.log().contains("the site has moved, and this process goes on there"), "{}", site.log());
    site.kill9();
    println!("{} acts", known.note_all(workers)?);
    // Once as nobody has told it where the site is, once as it should be.
    for url in [None, Some(format!("mysql:{map_text}"))] {
        fs::write(&config, mariadb::storage_config(url.as_deref()))?;
        site.restart()?;
        crew.people.iter_mut().for_each(|person| person.set_base_url(site.base_url()));
        check(&site, &mut crew, &known)?;
        anyhow::ensure!(site.log().contains("not used any more") == url.is_none(), "{}", site.log());
        let found = person::run_with_input(&mut site.command(&["doctor", "--config", &config_text]), "")?;
        anyhow::ensure!(found.contains("Everything is sound"), "{found}");
        let status = site.terminate()?;
        anyhow::ensure!(status.success(), "the site did not end well: {status}\n{}", site.log());
    }
    Ok(())
}

fn server_flag((index, database): (usize, &Shared)) -> String {
    format!("--server=db{}={}/{}", index + 1, database.address(), database.database())
}

/// Counts the pins on all servers.
fn pins(databases: &[Shared]) -> anyhow::Result<u64> {
    let mut pins = 0;
    for database in databases {
        pins += database.client().value(&format!("SELECT COUNT(*) FROM {}.pins", database.database()))?.parse::<u64>()?;
    }
    Ok(pins)
}
