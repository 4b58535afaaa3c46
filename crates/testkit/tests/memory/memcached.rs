//! memcached: what is there after each way of going down.

use anyhow::ensure;
use testkit::{
    Cut,
    memcached::{self, Options, Server},
};

#[test]
fn comes_back_empty_after_a_kill_and_full_after_a_freeze() -> anyhow::Result<()> {
    if !memcached::is_available("comes_back_empty_after_a_kill_and_full_after_a_freeze") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    let (address, pid) = (server.address(), server.pid());
    ensure!(server.command("set pin 0 0 1\r\n1")? == "STORED");
    ensure!(server.command("mn")? == "MN", "the meta protocol is there");
    server.freeze()?;
    server.thaw()?;
    ensure!(server.command("get pin")? == "VALUE pin 0 1");
    server.flush()?;
    ensure!(server.command("get pin")? == "END");
    ensure!(server.command("set pin 0 0 1\r\n1")? == "STORED");
    server.kill9();
    ensure!(server.command("version").is_err(), "a dead server answers");
    println!("restarted in {:?} after a kill", server.restart()?);
    ensure!(server.address() == address && server.pid() != pid);
    ensure!(server.command("get pin")? == "END");
    Ok(())
}

#[test]
fn a_way_can_be_cut_and_options_are_heeded() -> anyhow::Result<()> {
    if !memcached::is_available("a_way_can_be_cut_and_options_are_heeded") {
        return Ok(());
    }
    let server = Server::start(Options { memory_mib: 16, arguments: ["-I", "2m"].map(str::to_owned).into(), ..Options::default() })?;
    let proxy = server.proxy()?;
    proxy.cut_off(Cut::Refuse);
    ensure!(server.command("version")?.starts_with("VERSION "), "the others still reach it");
    // Two servers at once have a port each.
    let other = Server::start(Options::default())?;
    ensure!(other.address() != server.address());
    Ok(())
}
