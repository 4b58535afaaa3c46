use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::time::ManualClock;
use model::{Assoc, Event, Id, Kind, NameKind, Pin, PinId, Shard, UserId};
use mysql::Limits;

use super::MoveStop;
use crate::contract::fleet::{Fleet, operator, site};
use crate::contract::{START, a_pin, batch, event};
use crate::engine::mysql::node::server;
use crate::engine::mysql::{MysqlEngine, Operator};
use crate::{Batch, Error, Storage, name_shard};

const SHARD: Shard = Shard(100);

fn user(local: u64) -> UserId {
    UserId::new(SHARD, local)
}

fn pin(local: u64) -> PinId {
    PinId::new(SHARD, local)
}

struct Moving {
    fleet: Fleet,
    operator: Operator,
    clock: Arc<ManualClock>,
}

impl Moving {
    /// Two servers with half of the shards each, and something of everything on shard 100, which is on the first.
    async fn start(test: &str) -> Option<Moving> {
        let fleet = Fleet::start(test, 2)?;
        let moving = Moving { operator: operator(fleet.file()), fleet, clock: Arc::new(ManualClock::at(START)) };
        let storage = moving.open();
        for _ in 0..3 {
            let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
            storage.write(write_pin(PinId::try_from(id).expect("a pin").id().local(), "before")).await.expect("a write");
        }
        let tag = tag();
        let writing = batch(SHARD, |b| {
            b.claim(NameKind::Tag, tag.as_str(), user(1)).audit(None, "x", vec![], serde_json::Value::Null).idempotency_key("once")
        });
        storage.write(writing).await.expect("a write");
        Some(moving)
    }

    /// Opens the store on the map of the beginning, as a process that was started then.
    fn open(&self) -> Storage {
        Storage::with_engine(Arc::new(self.fleet.open()), self.clock.clone())
    }

    /// Opens the store on the map as it is now.
    async fn open_now(&self) -> Storage {
        let engine = MysqlEngine::open(&self.fleet.file(), site()).await.expect("an engine");
        Storage::with_engine(Arc::new(engine), self.clock.clone())
    }

    /// Counts the rows of a table on one server.
    async fn count(&self, index: usize, sql: &str) -> u64 {
        let server = server(&self.fleet.map.servers[index].primary, &site(), Limits::default()).expect("a server");
        server.query(sql).await.expect("a count")[0][0].u64(0).expect("a number")
    }

    /// Looks whether everything of the beginning is there, on the second server alone.
    async fn assert_moved(&self) {
        let storage = self.open_now().await;
        for local in 1..=3 {
            assert!(storage.get::<Pin>(pin(local)).await.expect("a read").is_some(), "pin {local}");
        }
        assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(3));
        assert!(storage.name(NameKind::Tag, &tag()).await.expect("a read").is_some());
        assert_eq!(storage.audit_verify(SHARD).await, Ok(1));
        let again = batch(SHARD, |b| {
            b.claim(NameKind::Tag, tag().as_str(), user(1)).audit(None, "x", vec![], serde_json::Value::Null).idempotency_key("once")
        });
        assert!(storage.write(again).await.expect("a replay").replayed, "keys move along");
        assert_eq!(storage.new_id(SHARD, Kind::Pin).await.expect("an id").local(), 9, "the sequence goes on behind the reserved block");
        assert_eq!(storage.check().await, Ok(vec![]));
        assert_eq!((self.count(0, "SELECT COUNT(*) FROM pins").await, self.count(1, "SELECT COUNT(*) FROM pins").await), (0, 3));
    }
}

/// A tag whose name lives on the shard that is moved.
fn tag() -> String {
    (0..).map(|n| format!("tag{n}")).find(|tag| name_shard(NameKind::Tag, tag) == SHARD).expect("some tag")
}

fn write_pin(local: u64, title: &str) -> Batch {
    let happened = Event { id: format!("e{local}"), ..event("e") };
    batch(SHARD, |b| b.create(pin(local), &a_pin(title)).map(Assoc::UserHasPins, user(1), pin(local), local as i64).emit(happened))
}

#[tokio::test]
async fn everything_of_a_shard_moves() {
    let Some(moving) = Moving::start("everything_of_a_shard_moves").await else { return };
    let planned = moving.operator.move_shards(100, 100, "db2", true, None).await.expect("a plan");
    assert_eq!(planned.steps, ["shards 100–100: db1 → db2"]);
    assert_eq!(moving.count(1, "SELECT COUNT(*) FROM pins").await, 0, "a dry run moves nothing");
    let report = moving.operator.move_shards(100, 100, "db2", false, None).await.expect("a move");
    assert_eq!((report.shards, report.not_compared), (1, 0));
    assert_eq!(
        moving.operator.map().await.expect("a map").range_of(SHARD).map(|range| (range.server.as_str(), range.epoch)),
        Some(("db2", 2))
    );
    moving.assert_moved().await;
    let again = moving.operator.move_shards(100, 100, "db2", false, None).await.expect("nothing to do");
    assert_eq!(again.steps, ["shards 100–100 are on db2 already"]);
    // And back, with everything.
    moving.operator.move_shards(0, 200, "db1", false, None).await.expect("a move back");
    assert_eq!((moving.count(0, "SELECT COUNT(*) FROM pins").await, moving.count(1, "SELECT COUNT(*) FROM pins").await), (3, 0));
}

#[tokio::test]
async fn a_process_with_an_old_map_writes_not_one_row_to_the_old_server() {
    let Some(moving) = Moving::start("a_process_with_an_old_map").await else { return };
    let old = moving.open();
    assert!(old.get::<Pin>(pin(1)).await.expect("a read").is_some());
    let before = moving.fleet.map.clone();
    moving.operator.move_shards(100, 100, "db2", false, None).await.expect("a move");
    // Straight to the old server's lane, by the old map: as a process that hears of nothing.
    let engine = MysqlEngine::start(before, site(), None).expect("an engine");
    let topology = engine.cluster.topology().expect("open");
    let node = &topology.nodes["db1"];
    for local in 50..60 {
        let work = crate::engine::mysql::lane::Work::Batches { batches: Arc::new(vec![prepared(write_pin(local, "stray"))]), needed: 1 };
        let turned = node.write(work, vec![1]).await.expect_err("refused");
        assert!(
            matches!(&turned, crate::engine::mysql::lane::Turned::Elsewhere(message) if message.contains("moved to server db2")),
            "{turned:?}"
        );
    }
    assert_eq!(moving.count(0, "SELECT COUNT(*) FROM pins").await + moving.count(0, "SELECT COUNT(*) FROM user_has_pins").await, 0);
    // Through the front such a process finds the new server by itself.
    old.write(write_pin(60, "found")).await.expect("a write");
    assert_eq!(moving.count(1, "SELECT COUNT(*) FROM pins").await, 4);
    assert!(old.get::<Pin>(pin(60)).await.expect("a read").is_some());
}

fn prepared(batch: Batch) -> crate::Prepared {
    crate::Prepared { shard: batch.shard, at: START, idempotency: None, conditions: batch.conditions, ops: batch.ops, bytes: 0 }
}

#[tokio::test]
async fn a_move_that_was_ended_anywhere_is_finished_by_running_it_again() {
    for stop in [MoveStop::Prepared, MoveStop::Copied, MoveStop::Frozen, MoveStop::Decided, MoveStop::Arrived, MoveStop::Published] {
        let Some(moving) = Moving::start("a_move_that_was_ended_anywhere").await else { return };
        let stopped = moving.operator.move_shards(100, 100, "db2", false, Some(stop)).await;
        assert!(matches!(&stopped, Err(Error::Unavailable(message)) if message.contains("Stopped")), "{stop:?}: {stopped:?}");
        // The site goes on, wherever the shard is: a freeze that nobody ends runs out.
        let storage = moving.open();
        storage.write(write_pin(70, "meanwhile")).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        storage.write(batch(SHARD, |b| b.purge(pin(70)).unmap(Assoc::UserHasPins, user(1), pin(70)))).await.expect("a purge");
        moving.operator.move_shards(100, 100, "db2", false, None).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        moving.assert_moved().await;
    }
}

#[tokio::test]
async fn a_move_that_was_decided_and_never_told_is_not_lost_under_the_next_one() {
    for stop in [MoveStop::Decided, MoveStop::Arrived] {
        let Some(moving) = Moving::start("a_move_that_was_decided").await else { return };
        let (early, late) = (moving.open(), moving.open());
        moving.operator.move_shards(100, 100, "db2", false, Some(stop)).await.expect_err("stopped");
        // One process hears of it by itself, before the other move; the other one hears of both afterwards.
        early.write(write_pin(80, "early")).await.expect("a write");
        moving.operator.move_shards(200, 200, "db2", false, None).await.expect("another move");
        for (local, storage) in [(1, &early), (2, &late)] {
            let id = PinId::new(Shard(200), local);
            storage.write(batch(Shard(200), |b| b.create(id, &a_pin("x")))).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
            storage.write(write_pin(80 + local, "x")).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        }
        let map = moving.operator.map().await.expect("a map");
        for shard in [SHARD, Shard(200)] {
            assert_eq!(map.range_of(shard).map(|range| range.server.as_str()), Some("db2"), "{stop:?}");
        }
        // What it left on its old server goes with the next move over it, whatever else that one moves.
        moving.operator.move_shards(99, 100, "db2", false, None).await.expect("a move");
        assert_eq!(moving.count(0, "SELECT COUNT(*) FROM pins").await, 0, "{stop:?}");
    }
}

#[tokio::test]
async fn a_move_can_be_taken_back_until_it_is_decided() {
    let Some(moving) = Moving::start("a_move_can_be_taken_back").await else { return };
    let _ = moving.operator.move_shards(100, 100, "db2", false, Some(MoveStop::Frozen)).await;
    assert_eq!(moving.count(1, "SELECT COUNT(*) FROM pins").await, 3);
    assert_eq!(moving.operator.abort_move(0, 4095).await.expect("an end").shards, 1);
    assert_eq!(moving.count(1, "SELECT COUNT(*) FROM pins").await, 0);
    let storage = moving.open();
    storage.write(write_pin(4, "goes on")).await.expect("a write");
    assert_eq!(storage.check().await, Ok(vec![]));
    assert_eq!(moving.count(0, "SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await, 2048);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_lose_nothing_while_their_shards_move() {
    let Some(moving) = Moving::start("writers_lose_nothing").await else { return };
    let (storage, stop, written) = (moving.open(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1_000)));
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (storage, stop, written) = (storage.clone(), stop.clone(), written.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let local = written.fetch_add(1, Ordering::Relaxed);
                    let mut batch = write_pin(local, "moving");
                    batch.audit(None, "moving", vec![pin(local).into()], serde_json::Value::Null);
                    storage.write(batch).await.expect("a write");
                    acknowledged.push(local);
                }
                acknowledged
            })
        })
        .collect();
    let mut frozen = 0;
    for to in ["db2", "db1", "db2"] {
        frozen = frozen.max(moving.operator.move_shards(64, 127, to, false, None).await.expect("a move").frozen_ms_max);
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("a writer"));
    }
    assert!(acknowledged.len() > 100, "{} writes", acknowledged.len());
    assert!(frozen < 1_000, "frozen for {frozen} ms");
    let now = moving.open_now().await;
    let ids: Vec<Id> = acknowledged.iter().map(|local| pin(*local).id()).collect();
    for chunk in ids.chunks(1_000) {
        assert!(now.get_many::<Pin>(chunk).await.expect("a read").iter().all(Option::is_some));
    }
    assert_eq!(now.count(Assoc::UserHasPins, user(1)).await, Ok(acknowledged.len() as u64 + 3));
    assert_eq!(now.audit_verify(SHARD).await, Ok(acknowledged.len() as u64 + 1));
    let events: Vec<String> = now.outbox(10_000).await.expect("a read").into_iter().map(|(_, event)| event.id).collect();
    let distinct: std::collections::HashSet<&String> = events.iter().collect();
    assert_eq!((events.len(), distinct.len()), (acknowledged.len() + 3, acknowledged.len() + 3));
    let findings: Vec<String> =
        now.check().await.expect("a check").into_iter().filter(|finding| !finding.contains("never handed out")).collect();
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(moving.count(0, "SELECT COUNT(*) FROM pins").await, 0);
}

#[tokio::test]
async fn what_can_not_be_moved_is_said() {
    let Some(moving) = Moving::start("what_can_not_be_moved").await else { return };
    for (first, last, to, wanted) in
        [(5, 4, "db2", "no range of shards"), (0, 4_096, "db2", "no range of shards"), (0, 1, "db9", "It has: db1, db2")]
    {
        let error = moving.operator.move_shards(first, last, to, false, None).await.expect_err("refused");
        assert!(error.to_string().contains(wanted), "{error} should say {wanted}");
    }
    let _held = moving.operator.lock(&moving.fleet.map).await.expect("the lock");
    let error = moving.operator.move_shards(0, 1, "db2", false, None).await.expect_err("locked");
    assert!(error.to_string().contains("Another storage operation"), "{error}");
}
