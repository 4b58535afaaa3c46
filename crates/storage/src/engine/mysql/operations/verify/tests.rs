use std::sync::Arc;

use model::time::ManualClock;
use model::{Assoc, Kind, Pin};
use mysql::{Credentials, Limits, Server};
use testkit::mariadb::{self, OPERATIONS};

use crate::contract::fleet::{Fleet, operator, site};
use crate::contract::{SHARD, START, a_pin, batch};
use crate::engine::mysql::node::server;
use crate::engine::mysql::{MoveStop, MysqlEngine, Operator};
use crate::verify::VerifyReport;
use crate::verify::tests::{Case, MENDED, OTHER, REPORTED, assert_found, fill, options, shown};
use crate::{ServerEntry, Storage};

struct Verified {
    fleet: Fleet,
    operator: Operator,
}

impl Verified {
    /// Two servers with half of the shards each: [`OTHER`] is on the first, [`SHARD`] on the second.
    async fn start(test: &str) -> Option<Verified> {
        let fleet = Fleet::start(test, 2)?;
        let storage = Storage::with_engine(Arc::new(fleet.open()), Arc::new(ManualClock::at(START)));
        fill(&storage).await;
        let verified = Verified { operator: operator(fleet.file()), fleet };
        assert_eq!(shown(&verified.verify(false).await), Vec::<String>::new());
        Some(verified)
    }

    async fn verify(&self, repair: bool) -> VerifyReport {
        self.operator.verify(&options(repair)).await.expect("a verification")
    }

    fn server(&self, index: usize) -> Server {
        server(&self.fleet.map.servers[index].primary, &admin(), Limits::default()).expect("a server")
    }

    /// Changes both servers behind everybody's back.
    async fn damage(&self, sql: &str) {
        for index in [0, 1].iter().filter(|_| !sql.is_empty()) {
            self.server(*index).query(sql).await.expect("a change");
        }
    }

    async fn count(&self, index: usize, sql: &str) -> i64 {
        self.server(index).query(sql).await.expect("a count")[0][0].i64(0).expect("a number")
    }
}

fn admin() -> Credentials {
    Credentials { user: OPERATIONS.user.to_owned(), password: OPERATIONS.password.to_owned() }
}

#[tokio::test]
async fn what_is_derived_is_mended_over_servers() {
    let Some(verified) = Verified::start("what_is_derived_is_mended_over_servers").await else { return };
    for Case { damage, wanted } in MENDED {
        verified.damage(damage).await;
        assert_found(&verified.verify(false).await, wanted, true);
        let mended = verified.verify(true).await;
        assert!(!mended.mended.is_empty() && mended.findings.is_empty(), "{damage}: {:?}", shown(&mended));
        assert_eq!(shown(&verified.verify(false).await), Vec::<String>::new(), "{damage}");
    }
}

#[tokio::test]
async fn what_is_not_derived_is_only_reported_over_servers() {
    let Some(verified) = Verified::start("what_is_not_derived_is_only_reported").await else { return };
    let reported = REPORTED.into_iter().filter(|(_, back)| !back.is_empty()).map(|(Case { damage, wanted }, back)| (damage, wanted, back));
    let rights = [
        ("UPDATE owned_shards SET epoch = 9 WHERE shard = 5", "shard 5 since epoch 9; the map says 1", "UPDATE owned_shards SET epoch = 1"),
        (
            "DELETE FROM owned_shards WHERE shard = 5",
            "The map gives it shard 5, which it does not have",
            "INSERT IGNORE INTO owned_shards (shard, epoch, state) SELECT 5, 1, 'owned' FROM owned_shards WHERE shard = 6",
        ),
        ("SET @corkboard_moves_shards = 1; UPDATE audit SET act = 'z'; SET @corkboard_moves_shards = NULL", "the entry was changed", ""),
    ];
    for (damage, wanted, back) in reported.chain(rights) {
        verified.damage(damage).await;
        // Names that follow from what was changed are no part of this.
        assert_found(&verified.verify(false).await, wanted, false);
        if damage.contains("owned_shards") || damage.contains("audit") {
            assert_found(&verified.verify(true).await, wanted, false);
        }
        verified.damage(back).await;
    }
}

#[tokio::test]
async fn counts_are_mended_under_the_shards_lock_and_recorded_for_recovery() {
    let Some(verified) = Verified::start("counts_are_mended_under_the_shards_lock").await else { return };
    verified.damage("UPDATE mapping_counts SET count = 7 WHERE assoc = 'user_likes_pins'; UPDATE owned_shards SET records = 1").await;
    let report = verified.verify(true).await;
    assert_eq!((report.mended.len(), shown(&report)), (1, vec![]));
    let recorded = verified.server(1).query("SELECT changes FROM changes").await.expect("changes");
    assert!(recorded[0][0].text(0).expect("a text").contains("user_likes_pins\",1]"), "{recorded:?}");
    // A shard on its way keeps its count: the copy would miss the change.
    verified.damage("UPDATE mapping_counts SET count = 7 WHERE assoc = 'user_likes_pins'; UPDATE owned_shards SET state = 'copying'").await;
    let report = verified.verify(true).await;
    let count = report.findings.iter().find(|finding| finding.what.contains("its count says 7")).expect("the count");
    assert!(count.advice.contains("is on its way"), "{}", count.advice);
    assert_found(&report, "are copying", false);
}

#[tokio::test]
async fn what_a_move_left_behind_goes_once_its_owner_has_it() {
    let Some(verified) = Verified::start("what_a_move_left_behind").await else { return };
    let stopped = verified.operator.move_shards(OTHER.0, OTHER.0, "db2", false, Some(MoveStop::Published)).await;
    stopped.expect_err("a stop before the rows are deleted");
    assert_found(&verified.verify(false).await, "db1: It still holds rows of shard 100, which has moved to db2 at epoch 2", true);
    // An owner that has handed out fewer ids can't have everything.
    verified.server(1).query("UPDATE sequences SET next = next - 5 WHERE slot >> 10 = 100").await.expect("a change");
    let refused = verified.verify(true).await;
    let stray = refused.findings.iter().find(|finding| finding.what.contains("still holds rows")).expect("the rows");
    assert!(stray.advice.contains("its copy is not whole"), "{}", stray.advice);
    assert_eq!(verified.count(0, "SELECT COUNT(*) FROM users").await, 1, "nothing was deleted");
    verified.server(1).query("UPDATE sequences SET next = next + 5 WHERE slot >> 10 = 100").await.expect("a change");
    // So does one whose audit log is another one.
    let change = |act: &str| {
        format!("SET @corkboard_moves_shards = 1; UPDATE audit SET hash = {act} WHERE id >> 46 = 100; SET @corkboard_moves_shards = NULL")
    };
    verified.server(1).query(&change("REVERSE(hash)")).await.expect("a change");
    assert!(verified.verify(true).await.findings.iter().any(|finding| finding.advice.contains("does not go on")));
    verified.server(1).query(&change("REVERSE(hash)")).await.expect("a change");
    let mended = verified.verify(true).await;
    assert_eq!((mended.mended.len(), shown(&mended)), (1, vec![]));
    assert_eq!((verified.count(0, "SELECT COUNT(*) FROM users").await, verified.count(1, "SELECT COUNT(*) FROM users").await), (0, 2));
    assert_eq!(shown(&verified.verify(false).await), Vec::<String>::new());
}

#[tokio::test]
async fn rows_that_belong_nowhere_are_never_deleted() {
    let Some(verified) = Verified::start("rows_that_belong_nowhere").await else { return };
    let stray = format!("INSERT INTO topic_has_pins VALUES ({}, 5, 5)", (i64::from(SHARD.0) << 46) | 7);
    verified.server(0).query(&stray).await.expect("a row");
    for repair in [false, true] {
        assert_found(&verified.verify(repair).await, "db1: It holds rows of shard 3429, which it never had: 1 in topic_has_pins", false);
    }
    assert_eq!(verified.count(0, "SELECT COUNT(*) FROM topic_has_pins").await, 1);
    verified.server(0).query("DELETE FROM topic_has_pins").await.expect("a change");
    let stopped = verified.operator.move_shards(OTHER.0, OTHER.0, "db2", false, Some(MoveStop::Copied)).await;
    stopped.expect_err("a stop on the way");
    assert_found(&verified.verify(false).await, "1 of the shards 100–100 are copying, with db2 at the other end", false);
    verified.operator.abort_move(0, 4_095).await.expect("an end");
    assert_eq!(shown(&verified.verify(false).await), Vec::<String>::new());
}

#[tokio::test]
async fn replicas_are_held_against_their_primary() {
    if !mariadb::is_available("replicas_are_held_against_their_primary") {
        return;
    }
    let primary = mariadb::Server::start(mariadb::Options::default()).expect("a server");
    let replica = mariadb::Server::replica_of(&primary, mariadb::Options::replica(2)).expect("a replica");
    let at = |server: &mariadb::Server| format!("{}/corkboard_verified", server.address());
    let entry = ServerEntry { name: "a".to_owned(), number: 1, primary: at(&primary), replicas: vec![at(&replica)], disk_gib: None };
    let folder = tempfile::tempdir().expect("a folder");
    let operator = operator(folder.path().join("shards.json"));
    operator.init(vec![entry], false).await.expect("tables");
    let engine = MysqlEngine::open(&folder.path().join("shards.json"), site()).await.expect("an engine");
    let storage = Storage::with_engine(Arc::new(engine), Arc::new(ManualClock::at(START)));
    fill(&storage).await;
    let verify = async || operator.verify(&options(true)).await.expect("a verification");
    let clean = verify().await;
    assert_eq!((shown(&clean), clean.rows > 20), (vec![], true));

    // While somebody writes, nothing is called different.
    let writer = {
        let storage = storage.clone();
        tokio::spawn(async move {
            for local in 1..200_u64 {
                let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
                storage
                    .write(batch(SHARD, |b| b.create(id, &a_pin("x")).map(Assoc::UserHasPins, crate::contract::user(1), id, local as i64)))
                    .await
                    .expect("a write");
            }
        })
    };
    let busy: Vec<String> = shown(&verify().await).into_iter().filter(|line| !line.contains("changed each time")).collect();
    assert_eq!(busy, Vec::<String>::new());
    writer.await.expect("a writer");
    assert_eq!(storage.scan::<Pin>(None, 1_000).await.expect("pins").len(), 199);

    replica.sql("SET sql_log_bin = 0; UPDATE corkboard_verified.users SET data = REPLACE(data, 'ada', 'eve')").expect("a change");
    replica.sql("SET sql_log_bin = 0; DELETE FROM corkboard_verified.user_follows_users").expect("a change");
    let report = verify().await;
    assert_found(&report, "has other contents in its 1 rows of users on shard 3429", false);
    assert_found(&report, "has 0 rows where its primary has 1 of user_follows_users on shard 3429", false);
    assert_eq!(report.findings.len(), 2, "{:?}", shown(&report));

    replica.sql("STOP SLAVE").expect("an end");
    assert_found(&verify().await, "can't be compared: it does not replicate", false);
    storage.close().await.expect("an end");
}
