//! Two servers: one follows the other.

use std::time::Duration;

use anyhow::ensure;
use testkit::{
    Cut,
    mariadb::{self, OPERATIONS, Options, SITE, Server},
    wait_for,
};

use crate::server::{fill, rows};

const LIMIT: Duration = Duration::from_secs(30);
/// Far longer than a replica needs, so that a commit that waits for one is not let go on without.
const SEMI_SYNC: Duration = Duration::from_secs(20);

#[test]
fn a_replica_follows_and_refuses_the_sites_writes() -> anyhow::Result<()> {
    if !mariadb::is_available("a_replica_follows_and_refuses_the_sites_writes") {
        return Ok(());
    }
    let mut primary = Server::start(Options::default())?;
    fill(&primary)?;
    let mut replica = Server::replica_of(&primary, Options::replica(2))?;
    replica.wait_until_caught_up(&primary)?;
    ensure!(rows(&replica)? == "1", "what was there before the replica");
    let error = replica.client(SITE).sql("INSERT INTO corkboard_a.t VALUES (9)").unwrap_err().to_string();
    ensure!(error.contains("ERROR 1290"), "{error}");

    // What is written while the replica is dead comes when it is back, by itself.
    replica.kill9();
    primary.client(SITE).sql("INSERT INTO corkboard_a.t VALUES (2)")?;
    replica.restart()?;
    replica.wait_until_caught_up(&primary)?;
    ensure!(rows(&replica)? == "2" && replica.position()? == primary.position()?);

    // And so it does after a death of the primary.
    primary.kill9();
    primary.restart()?;
    primary.client(SITE).sql("INSERT INTO corkboard_a.t VALUES (3)")?;
    replica.wait_until_caught_up(&primary)?;
    ensure!(rows(&replica)? == "3");
    Ok(())
}

#[test]
fn a_replica_takes_over_and_the_former_primary_follows() -> anyhow::Result<()> {
    if !mariadb::is_available("a_replica_takes_over_and_the_former_primary_follows") {
        return Ok(());
    }
    let mut former = Server::start(Options::default())?;
    fill(&former)?;
    let successor = Server::replica_of(&former, Options::replica(2))?;
    successor.wait_until_caught_up(&former)?;
    former.kill9();
    successor.client(OPERATIONS).sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0")?;
    successor.client(SITE).sql("INSERT INTO corkboard_a.t VALUES (2)")?;
    former.restart()?;
    former.follow(successor.socket_address())?;
    former.wait_until_caught_up(&successor)?;
    ensure!(rows(&former)? == "2");
    ensure!(former.position()? == "1-2-4", "the successor's write is the last: {}", former.position()?);
    Ok(())
}

#[test]
fn two_servers_of_one_number_are_refused() -> anyhow::Result<()> {
    if !mariadb::is_available("two_servers_of_one_number_are_refused") {
        return Ok(());
    }
    let primary = Server::start(Options::default())?;
    let refused = Server::replica_of(&primary, Options::replica(1)).map(drop).unwrap_err().to_string();
    ensure!(refused.contains("same server_id 1"), "{refused}");
    Ok(())
}

#[test]
fn a_semi_synchronous_commit_waits_for_the_replica() -> anyhow::Result<()> {
    if !mariadb::is_available("a_semi_synchronous_commit_waits_for_the_replica") {
        return Ok(());
    }
    let primary = Server::start(Options { semi_sync: Some(SEMI_SYNC), ..Options::default() })?;
    let mut replica = Server::replica_of(&primary, Options::replica(2))?;
    wait_for("the primary to know its replica", LIMIT, || {
        match status(&primary, "Rpl_semi_sync_master_clients").map_err(|error| format!("{error:#}"))?.as_str() {
            "1" => Ok(()),
            count => Err(format!("{count} replicas")),
        }
    })?;
    fill(&primary)?;
    ensure!(status(&primary, "Rpl_semi_sync_master_yes_tx")? == "3", "database, table and row were acknowledged");

    replica.freeze()?;
    let client = primary.client(SITE);
    let writing = std::thread::spawn(move || client.sql("INSERT INTO corkboard_a.t VALUES (2)"));
    wait_for("the commit to wait for the replica", LIMIT, || {
        match status(&primary, "Rpl_semi_sync_master_wait_sessions").map_err(|error| format!("{error:#}"))?.as_str() {
            "1" => Ok(()),
            count => Err(format!("{count} commits wait")),
        }
    })?;
    ensure!(rows(&primary)? == "1", "nobody sees a commit that is not yet on the replica");
    replica.thaw()?;
    writing.join().map_err(|_| anyhow::anyhow!("the writing thread panicked"))??;
    ensure!(status(&primary, "Rpl_semi_sync_master_no_tx")? == "0", "no commit went on without the replica");
    ensure!(rows(&primary)? == "2");
    Ok(())
}

fn status(server: &Server, name: &str) -> anyhow::Result<String> {
    Ok(server.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'"))?.concat().pop().unwrap_or_default())
}

#[test]
fn replication_through_a_way_of_its_own_can_be_cut() -> anyhow::Result<()> {
    if !mariadb::is_available("replication_through_a_way_of_its_own_can_be_cut") {
        return Ok(());
    }
    let primary = Server::start(Options::default())?;
    let way = primary.proxy()?;
    let replica = Server::start(Options::replica(2))?;
    replica.follow(way.socket_address())?;
    fill(&primary)?;
    replica.wait_until_caught_up(&primary)?;
    for cut in [Cut::Refuse, Cut::BlackHole] {
        way.cut_off(cut);
        primary.client(SITE).sql("INSERT INTO corkboard_a.t SELECT MAX(id) + 1 FROM corkboard_a.t")?;
        // A refused replica notices at once, one in a black hole when heartbeats have been missing for a while.
        wait_for("the replica to notice", LIMIT, || {
            match replica.replication().map_err(|error| format!("{error:#}"))?.get("Slave_IO_Running").map(String::as_str) {
                Some("Connecting") => Ok(()),
                state => Err(format!("{cut:?}: {state:?}")),
            }
        })?;
        ensure!(replica.position()? != primary.position()?, "{cut:?}: the write got through");
        way.reconnect();
        replica.wait_until_caught_up(&primary)?;
    }
    ensure!(rows(&replica)? == "3");
    Ok(())
}
