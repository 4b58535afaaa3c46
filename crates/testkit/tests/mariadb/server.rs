//! One server: its life, its users' rights, and that nothing of it stays.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use testkit::{
    mariadb::{self, OPERATIONS, Options, SITE, Server},
    wait_for,
};

const LIMIT: Duration = Duration::from_secs(30);
/// As many as the site's own schema has, about.
const TABLES: usize = 60;

/// Makes a table with a row, as the site.
pub fn fill(server: &Server) -> anyhow::Result<()> {
    let statements = "CREATE DATABASE corkboard_a; USE corkboard_a; CREATE TABLE t (id BIGINT PRIMARY KEY); INSERT INTO t VALUES (1)";
    server.client(SITE).sql(statements).map(drop)
}

/// How many rows the table has.
pub fn rows(server: &Server) -> anyhow::Result<String> {
    server.admin().value("SELECT COUNT(*) FROM corkboard_a.t")
}

#[test]
fn starts_with_the_rights_that_it_promises() -> anyhow::Result<()> {
    if !mariadb::is_available("starts_with_the_rights_that_it_promises") {
        return Ok(());
    }
    let started = Instant::now();
    let server = Server::start(Options { server_id: 42, ..Options::default() })?;
    println!("a server started in {} ms", started.elapsed().as_millis());
    ensure!(server.address() == format!("127.0.0.1:{}", server.port()));
    let columns: Vec<String> =
        (0..TABLES).map(|table| format!("CREATE TABLE t{table} (id BIGINT PRIMARY KEY, data JSON NOT NULL)")).collect();
    let started = Instant::now();
    server.client(SITE).sql(&format!("CREATE DATABASE corkboard_many; USE corkboard_many; {}", columns.join("; ")))?;
    println!("a database with {TABLES} tables was made in {} ms", started.elapsed().as_millis());

    fill(&server)?;
    let settings = "SELECT @@server_id, @@gtid_strict_mode, @@log_slave_updates, @@binlog_format, @@performance_schema, @@read_only";
    ensure!(server.sql(settings)?.concat() == ["42", "1", "1", "ROW", "0", "0"]);
    let site = server.client(SITE);
    ensure!(site.row("SHOW MASTER STATUS")?.contains_key("File"), "the site may see where the log is");
    ensure!(site.row("SHOW SLAVE STATUS")?.is_empty(), "the site may see how replication is");
    for refused in ["CREATE DATABASE other", "SET GLOBAL read_only = 0", "CREATE USER eve@127.0.0.1", "SELECT * FROM mysql.global_priv"] {
        let error = site.sql(refused).map(|_| ()).unwrap_err().to_string();
        ensure!(error.contains("denied"), "{refused}: {error}");
    }
    let users = server.sql("SELECT CONCAT(user, '@', host) FROM mysql.user ORDER BY 1")?.concat();
    ensure!(users == ["corkboard@127.0.0.1", "mariadb.sys@localhost", "repl@127.0.0.1", "root@127.0.0.1", "root@localhost"], "{users:?}");
    ensure!(server.sql("SHOW DATABASES LIKE 'test'")?.is_empty());

    server.client(OPERATIONS).sql("SET GLOBAL read_only = 1")?;
    let error = site.sql("INSERT INTO corkboard_a.t VALUES (2)").unwrap_err().to_string();
    ensure!(error.contains("ERROR 1290"), "read-only holds for the site: {error}");
    server.client(OPERATIONS).sql("INSERT INTO corkboard_a.t VALUES (2)")?;
    Ok(())
}

#[test]
fn comes_back_after_a_kill_and_after_a_stop() -> anyhow::Result<()> {
    if !mariadb::is_available("comes_back_after_a_kill_and_after_a_stop") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    let (address, pid) = (server.address(), server.pid());
    fill(&server)?;
    server.kill9();
    ensure!(server.client(SITE).sql("SELECT 1").is_err() && server.admin().sql("SELECT 1").is_err(), "a dead server answers");
    println!("restarted in {:?} after a kill", server.restart()?);
    ensure!(rows(&server)? == "1" && server.address() == address && server.pid() != pid);
    server.stop()?;
    ensure!(server.client(SITE).sql("SELECT 1").is_err(), "a stopped server answers");
    println!("restarted in {:?} after a stop", server.restart()?);
    ensure!(rows(&server)? == "1" && server.address() == address);
    ensure!(server.restart().unwrap_err().to_string().contains("is running"));
    Ok(())
}

#[test]
fn a_durable_server_is_on_a_disk_and_syncs() -> anyhow::Result<()> {
    if !mariadb::is_available("a_durable_server_is_on_a_disk_and_syncs") {
        return Ok(());
    }
    let mut server = Server::start(Options { durable: true, ..Options::default() })?;
    ensure!(!server.data().starts_with("/dev/shm"), "{}", server.data().display());
    ensure!(server.sql("SELECT @@sync_binlog, @@innodb_flush_log_at_trx_commit")?.concat() == ["1", "1"]);
    fill(&server)?;
    server.kill9();
    server.restart()?;
    ensure!(rows(&server)? == "1");
    Ok(())
}

#[test]
fn a_frozen_server_answers_when_it_thaws() -> anyhow::Result<()> {
    if !mariadb::is_available("a_frozen_server_answers_when_it_thaws") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    fill(&server)?;
    let pid = server.pid().context("no process")?;
    server.freeze()?;
    ensure!(state_of(pid) == Some('T'), "the process still runs");
    let client = server.client(SITE);
    let asking = std::thread::spawn(move || client.value("SELECT COUNT(*) FROM corkboard_a.t"));
    // The question has been asked when its connection is there, though the server has not accepted it.
    wait_for("a connection to the frozen server", LIMIT, || match connections_to(server.port()) {
        0 => Err("no connection".into()),
        _ => Ok(()),
    })?;
    ensure!(!asking.is_finished(), "a frozen server has answered");
    server.thaw()?;
    let answer = asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
    ensure!(answer == "1");
    server.freeze()?;
    server.stop()
}

#[test]
fn nothing_is_left_when_it_is_dropped() -> anyhow::Result<()> {
    if !mariadb::is_available("nothing_is_left_when_it_is_dropped") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    let (pid, folder) = (server.pid().context("no process")?, server.data());
    ensure!(state_of(pid).is_some() && folder.is_dir());
    // Not even of a server that can't do anything.
    server.freeze()?;
    drop(server);
    ensure!(state_of(pid).is_none(), "the process lives");
    ensure!(!folder.exists() && folder.parent().is_some_and(|parent| !parent.exists()), "the folder is still there");
    Ok(())
}

#[test]
fn a_failing_start_shows_what_the_server_said() -> anyhow::Result<()> {
    if !mariadb::is_available("a_failing_start_shows_what_the_server_said") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    server.stop()?;
    std::fs::write(server.data().join("ibdata1"), "not a tablespace")?;
    let error = server.restart().unwrap_err().to_string();
    ensure!(error.contains("ended instead of getting ready") && error.contains("[ERROR] InnoDB"), "{error}");
    Ok(())
}

/// Runs this test binary as a second process that starts a server, and kills it.
#[test]
fn a_server_dies_with_the_process_that_started_it() -> anyhow::Result<()> {
    if !mariadb::is_available("a_server_dies_with_the_process_that_started_it") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let note = folder.path().join("pid");
    let mut second = Command::new(std::env::current_exe()?);
    second.args(["--exact", "server::held_by_a_process_that_is_killed", "--nocapture"]).env(NOTE_VARIABLE, &note);
    let mut second = second.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let started = wait_for("the second process to start a server", LIMIT, || read_note(&note));
    let (pid, data) = match started {
        Ok(started) => started,
        Err(error) => {
            second.kill()?;
            second.wait()?;
            return Err(error);
        }
    };
    let was_alive = state_of(pid).is_some();
    second.kill()?;
    second.wait()?;
    let ended = wait_for("the server to die with its parent", LIMIT, || match state_of(pid) {
        None | Some('Z' | 'X') => Ok(()),
        Some(state) => Err(format!("state {state}")),
    });
    if ended.is_err() {
        testkit::site::send_signal(pid, "KILL")?;
    }
    // Whoever starts a server a minute later would remove it; this test need not leave it for that long.
    std::fs::remove_dir_all(data.parent().context("a folder at the root")?)?;
    ensure!(was_alive, "the server was not there");
    ended
}

const NOTE_VARIABLE: &str = "CORKBOARD_TEST_NOTE";

fn read_note(note: &Path) -> Result<(u32, std::path::PathBuf), String> {
    let text = std::fs::read_to_string(note).map_err(|error| error.to_string())?;
    let (pid, data) = text.trim_end().split_once(' ').ok_or("half a note")?;
    Ok((pid.parse().map_err(|_| format!("not a number: {pid}"))?, data.into()))
}

/// The second process of the test above; as a test of its own it shows that a server can be started from any thread.
#[test]
fn held_by_a_process_that_is_killed() -> anyhow::Result<()> {
    if !mariadb::is_available("held_by_a_process_that_is_killed") {
        return Ok(());
    }
    let starting = std::thread::spawn(|| Server::start(Options::default()));
    let server = starting.join().map_err(|_| anyhow::anyhow!("the starting thread panicked"))??;
    ensure!(server.admin().value("SELECT 1")? == "1", "the server has died with the thread that asked for it");
    let Some(note) = std::env::var_os(NOTE_VARIABLE) else { return Ok(()) };
    let staged = Path::new(&note).with_extension("new");
    std::fs::write(&staged, format!("{} {}", server.pid().context("no process")?, server.data().display()))?;
    std::fs::rename(&staged, &note)?;
    // Holds the server until the other process kills this one, or is itself gone, which ends standard input.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// The letter of proc(5) for what a process does; `None` when there is no such process.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Counts established connections to a port of this machine, accepted by a process or not.
fn connections_to(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let remote = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(2).is_some_and(|address| address.ends_with(&remote)) && fields.get(3) == Some(&ESTABLISHED)
    };
    table.lines().filter(is_ours).count()
}
