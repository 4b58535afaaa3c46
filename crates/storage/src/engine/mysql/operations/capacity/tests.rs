use std::time::Duration;

use model::Timestamp;
use mysql::{Credentials, Limits, Server};
use testkit::mariadb::OPERATIONS;

use super::CapacityReport;
use crate::ServerEntry;
use crate::contract::fleet::{Fleet, operator};
use crate::engine::mysql::node::server;
use crate::engine::mysql::samples::sample;

/// How long a keeper may take to come by, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn primary(fleet: &Fleet, index: usize) -> Server {
    let admin = Credentials { user: OPERATIONS.user.to_owned(), password: OPERATIONS.password.to_owned() };
    server(&fleet.map.servers[index].primary, &admin, Limits::default()).expect("a server")
}

async fn samples(server: &Server) -> Vec<i64> {
    let sets = server.query("SELECT at_ms FROM capacity_samples ORDER BY at_ms").await.expect("samples");
    sets[0].iter().map(|row| row.i64(0).expect("an instant")).collect()
}

#[tokio::test]
async fn the_day_is_forecast_and_what_is_missing_said() {
    let Some(fleet) = Fleet::start("the_day_is_forecast", 2) else { return };
    let operator = operator(fleet.file());
    // Ten days by the hour, 24 MiB each; the last sample is of now.
    let now = super::now_ms();
    let values: Vec<String> = (0..240).map(|hour| format!("({}, {hour}, {})", now - (239 - hour) * Timestamp::HOUR, hour << 20)).collect();
    let filled = format!("INSERT INTO capacity_samples (at_ms, row_count, bytes) VALUES {}", values.join(","));
    primary(&fleet, 0).query(&filled).await.expect("samples");
    let before: CapacityReport = operator.capacity().await.expect("a report");
    assert_eq!(before.servers[0].growth_bytes_per_day.map(f64::round), Some(f64::from(24 << 20)));
    assert!(before.servers[0].advice[0].contains("storage init --disk-gib db1=GIB"), "{:?}", before.servers[0].advice);
    assert!(before.servers[1].advice[0].contains("Too few samples"), "{:?}", before.servers[1].advice);
    assert_eq!((before.servers[1].growth_bytes_per_day, before.servers[1].fills_at), (None, None));

    let told =
        |name: &str, gib| ServerEntry { name: name.to_owned(), number: 1, primary: String::new(), replicas: vec![], disk_gib: Some(gib) };
    operator.init(vec![told("db1", 1), told("db2", 100)], false).await.expect("disks");
    let after = operator.capacity().await.expect("a report");
    let db1 = &after.servers[0];
    // 0.9 GiB less the few MiB that are there, at 24 MiB a day.
    let days = db1.fills_at.expect("a day").since(Timestamp(now)) / Timestamp::DAY;
    assert!((30..=38).contains(&days), "in {days} days");
    assert!(db1.bytes > 0 && db1.advice[0].contains("corkboard storage move --shards"), "{:?}", db1.advice);
    assert_eq!((db1.samples, db1.shards), (240, 2_048));
}

#[tokio::test]
async fn a_sample_an_hour_is_taken_and_old_ones_are_thinned() {
    let Some(fleet) = Fleet::start("a_sample_an_hour", 1) else { return };
    let db = primary(&fleet, 0);
    // A running store takes one by itself.
    let _engine = fleet.open();
    let deadline = std::time::Instant::now() + LIMIT;
    while samples(&db).await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "no sample within {} s", LIMIT.as_secs());
        tokio::task::yield_now().await;
    }
    let first = samples(&db).await;
    sample(&db, first[0]).await.expect("a sample");
    assert_eq!(samples(&db).await, first, "once an hour, whoever tries");

    let now = first[0];
    let old: Vec<String> = (1..=800_i64)
        .flat_map(|day| [0, 1, 2].map(|hour| format!("({}, 1, 1)", (now / Timestamp::DAY - day) * Timestamp::DAY + hour * Timestamp::HOUR)))
        .collect();
    db.query(&format!("INSERT INTO capacity_samples (at_ms, row_count, bytes) VALUES {}", old.join(","))).await.expect("samples");
    sample(&db, now + Timestamp::HOUR).await.expect("a sample");
    let left = samples(&db).await;
    let per_day = |day: i64| left.iter().filter(|at| **at / Timestamp::DAY == now / Timestamp::DAY - day).count();
    assert_eq!((per_day(10), per_day(20), per_day(700), per_day(750)), (3, 1, 1, 0));
}
