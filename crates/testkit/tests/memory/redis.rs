//! Redis: what is there after each way of going down.

use anyhow::ensure;
use testkit::{
    Cut,
    redis::{self, Cluster, Options, Persistence, Server},
};

fn start(persistence: Persistence) -> anyhow::Result<Server> {
    let server = Server::start(Options { persistence, ..Options::default() })?;
    ensure!(server.command(&["SET", "pin", "early"])? == "OK");
    Ok(server)
}

/// What is there after a `SAVE`, a change and then a kill; and after a change and then a stop.
fn after_kill_and_stop(persistence: Persistence) -> anyhow::Result<[String; 2]> {
    let mut server = start(persistence)?;
    let (address, pid) = (server.address(), server.pid());
    if persistence == Persistence::Snapshot {
        server.command(&["SAVE"])?;
    }
    server.command(&["SET", "pin", "late"])?;
    server.kill9();
    ensure!(server.command(&["PING"]).is_err(), "a dead server answers");
    println!("restarted in {:?} after a kill", server.restart()?);
    ensure!(server.address() == address && server.pid() != pid);
    let after_kill = server.command(&["GET", "pin"])?;
    server.command(&["SET", "pin", "last"])?;
    server.stop()?;
    ensure!(server.command(&["PING"]).is_err(), "a stopped server answers");
    println!("restarted in {:?} after a stop", server.restart()?);
    Ok([after_kill, server.command(&["GET", "pin"])?])
}

#[test]
fn keeps_what_its_persistence_promises() -> anyhow::Result<()> {
    if !redis::is_available("keeps_what_its_persistence_promises") {
        return Ok(());
    }
    ensure!(after_kill_and_stop(Persistence::None)? == ["", ""]);
    ensure!(after_kill_and_stop(Persistence::Snapshot)? == ["early", "last"]);
    ensure!(after_kill_and_stop(Persistence::Aof)? == ["late", "last"]);
    Ok(())
}

#[test]
fn answers_of_all_kinds_are_read_and_a_password_is_no_obstacle_to_starting() -> anyhow::Result<()> {
    if !redis::is_available("answers_of_all_kinds_are_read_and_a_password_is_no_obstacle_to_starting") {
        return Ok(());
    }
    let server = start(Persistence::None)?;
    ensure!(server.command(&["RPUSH", "list", "a", "b"])? == "2");
    ensure!(server.command(&["LRANGE", "list", "0", "-1"])? == "a\nb");
    ensure!(server.command(&["GET", "nothing"])?.is_empty());
    ensure!(server.command(&["INCR", "list"]).unwrap_err().to_string().starts_with("WRONGTYPE"));
    let arguments = ["--requirepass", "secret"].map(str::to_owned).into();
    let guarded = Server::start(Options { arguments, ..Options::default() })?;
    ensure!(guarded.command(&["GET", "pin"]).unwrap_err().to_string().starts_with("NOAUTH"));
    Ok(())
}

#[test]
fn a_frozen_server_goes_on_and_a_way_can_be_cut() -> anyhow::Result<()> {
    if !redis::is_available("a_frozen_server_goes_on_and_a_way_can_be_cut") {
        return Ok(());
    }
    let mut server = start(Persistence::None)?;
    let proxy = server.proxy()?;
    proxy.cut_off(Cut::Refuse);
    ensure!(server.command(&["GET", "pin"])? == "early", "the others still reach it");
    server.freeze()?;
    server.thaw()?;
    ensure!(server.command(&["GET", "pin"])? == "early");
    server.freeze()?;
    server.kill9();
    server.restart()?;
    Ok(())
}

#[test]
fn a_cluster_shares_the_slots_and_a_member_comes_back() -> anyhow::Result<()> {
    if !redis::is_available("a_cluster_shares_the_slots_and_a_member_comes_back") {
        return Ok(());
    }
    let mut cluster = Cluster::start(Options { persistence: Persistence::Aof, ..Options::default() })?;
    ensure!(cluster.addresses().len() == 3 && cluster.url().matches(':').count() == 4);
    let answers: Vec<_> = cluster.servers().iter().map(|server| server.command(&["SET", "pin", "1"])).collect();
    ensure!(answers.iter().filter(|answer| answer.is_ok()).count() == 1, "one has the slot: {answers:?}");
    let moved = answers.iter().filter_map(|answer| answer.as_ref().err()).all(|error| error.to_string().starts_with("MOVED"));
    ensure!(moved, "the others say who: {answers:?}");
    let owner = answers.iter().position(Result::is_ok).unwrap_or(0);
    cluster.server_mut(owner).kill9();
    cluster.server_mut(owner).restart()?;
    cluster.wait_until_complete()?;
    ensure!(cluster.servers()[owner].command(&["GET", "pin"])? == "1");
    Ok(())
}
