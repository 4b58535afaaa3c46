//! Proxies in front of a server: one party is cut off while another still reaches it.

use std::time::Duration;

use anyhow::ensure;
use testkit::{
    Cut,
    mariadb::{self, Client, Options, SITE, Server},
    wait_for,
};

use crate::server::{fill, rows};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn one_party_is_refused_while_another_writes() -> anyhow::Result<()> {
    if !mariadb::is_available("one_party_is_refused_while_another_writes") {
        return Ok(());
    }
    let mut server = Server::start(Options::default())?;
    fill(&server)?;
    let [cut, open] = [server.proxy()?, server.proxy()?];
    let [ada, bob] = [&cut, &open].map(|way| Client::over_tcp(way.socket_address(), SITE));
    ada.sql("INSERT INTO corkboard_a.t VALUES (2)")?;
    cut.cut_off(Cut::Refuse);
    let error = ada.sql("INSERT INTO corkboard_a.t VALUES (3)").unwrap_err().to_string();
    ensure!(error.contains("Lost connection") || error.contains("Can't connect"), "{error}");
    bob.sql("INSERT INTO corkboard_a.t VALUES (4)")?;
    cut.reconnect();
    ada.sql("INSERT INTO corkboard_a.t VALUES (5)")?;
    ensure!(rows(&server)? == "4", "1, 2, 4, 5");

    // The way outlives the server behind it.
    server.kill9();
    ensure!(ada.sql("SELECT 1").is_err(), "a dead server answers");
    server.restart()?;
    ensure!(ada.value("SELECT 1")? == "1");
    Ok(())
}

#[test]
fn a_statement_in_a_black_hole_runs_when_the_way_is_open_again() -> anyhow::Result<()> {
    if !mariadb::is_available("a_statement_in_a_black_hole_runs_when_the_way_is_open_again") {
        return Ok(());
    }
    let server = Server::start(Options::default())?;
    fill(&server)?;
    let way = server.proxy()?;
    way.cut_off(Cut::BlackHole);
    let client = Client::over_tcp(way.socket_address(), SITE);
    let writing = std::thread::spawn(move || client.sql("INSERT INTO corkboard_a.t VALUES (2)"));
    wait_for("the connection to be held back", LIMIT, || match way.connections_count() {
        1 => Ok(()),
        count => Err(format!("{count} connections")),
    })?;
    server.client(SITE).sql("INSERT INTO corkboard_a.t VALUES (3)")?;
    ensure!(rows(&server)? == "2" && !writing.is_finished());
    way.reconnect();
    writing.join().map_err(|_| anyhow::anyhow!("the writing thread panicked"))??;
    ensure!(rows(&server)? == "3");
    Ok(())
}
