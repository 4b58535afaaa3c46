//! Against a real MariaDB: statements and their errors, servers that die, freeze and come back, replicas.

use std::time::Duration;

use mysql::{Credentials, Error, Limits, Server};
use testkit::mariadb::{self, Options, SITE, Shared};

fn login() -> Credentials {
    Credentials { user: SITE.user.to_owned(), password: SITE.password.to_owned() }
}

fn server(database: &Shared) -> Server {
    let address = format!("{}/{}", database.address(), database.database()).parse().expect("an address");
    Server::new(address, login(), Limits::default())
}

#[tokio::test]
async fn a_connection_is_as_good_as_new_after_a_statement_in_the_middle_failed() {
    let Some(database) = mariadb::shared("a_statement_in_the_middle").expect("a database") else { return };
    let server = server(&database);
    for _ in 0..3 {
        let mut taken = server.take().await.expect("a connection");
        let error = taken.query("BEGIN; SELECT 1; SELECT * FROM missing; SELECT 2").await.expect_err("no such table");
        assert_eq!(error.code(), Some(1146), "{error}");
        let sets = taken.query("ROLLBACK; SELECT 3; DO 1; SELECT 4, 5 UNION SELECT 6, 7").await.expect("answers");
        assert_eq!((sets.len(), sets[0][0].i64(0), sets[1].len(), sets[1][1].i64(1)), (2, Ok(3), 2, Ok(7)));
        taken.put_back();
    }
}

#[tokio::test]
async fn a_frozen_server_costs_no_more_than_the_time_allowed() {
    if !mariadb::is_available("a_frozen_server") {
        return;
    }
    let mut real = mariadb::Server::start(Options::default()).expect("a server");
    real.sql("CREATE DATABASE corkboard").expect("a database");
    let address = format!("{}/corkboard", real.address()).parse().expect("an address");
    let limits = Limits { call: Duration::from_millis(300), connect: Duration::from_millis(300), ..Limits::default() };
    let server = Server::new(address, login(), limits);
    server.query("SELECT 1").await.expect("an answer");
    real.freeze().expect("a freeze");
    assert!(matches!(server.query("SELECT 1").await, Err(Error::Lost(_) | Error::Unavailable(_))));
    for _ in 0..30 {
        assert!(server.query("SELECT 1").await.is_err());
    }
    assert!(server.is_resting(), "it failed so often that it is not asked any more");
    real.thaw().expect("a thaw");
    testkit_until(|| async { server.probe().await.is_ok() }).await;
    assert!(!server.is_resting());
    server.query("SELECT 1").await.expect("an answer");
    // Idle connections die with the server; nobody notices.
    real.kill9();
    real.restart().expect("a restart");
    server.query("SELECT 1").await.expect("an answer");
}

async fn testkit_until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never held");
}
