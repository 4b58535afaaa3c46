//! The outbox, the audit log, idempotency keys, figures.

use std::time::Duration;

use futures_util::future::join_all;
use model::{Assoc, Event, Kind, Pin, Shard, Timestamp};
use serde_json::json;

use super::{Place, SHARD, START, a_pin, assert_clean, batch, board, event, new_pin, pin, user};
use crate::{AuditHead, Batch, Error};

fn emit(id: &str) -> Batch {
    batch(SHARD, |b| b.emit(event(id)))
}

pub(super) async fn the_outbox_keeps_order_and_forgets(place: Place) {
    let storage = place.open();
    assert_eq!(storage.outbox(10).await, Ok(vec![]));
    for index in 0..5 {
        storage.write(emit(&format!("e{index}"))).await.expect("a write");
    }
    let all = storage.outbox(10).await.expect("a read");
    assert_eq!(all.iter().map(|(_, event)| event.id.as_str()).collect::<Vec<_>>(), ["e0", "e1", "e2", "e3", "e4"]);
    assert_eq!(all[0].1, event("e0"));
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(storage.outbox(2).await.expect("a read"), all[..2]);
    let positions = |events: &[(i64, Event)]| events.iter().map(|(position, _)| *position).collect::<Vec<_>>();
    storage.outbox_forget(&positions(&all[..3])).await.expect("a forgetting");
    storage.outbox_forget(&positions(&all[..3])).await.expect("the same again");
    assert_eq!(storage.outbox(10).await.expect("a read"), all[3..]);
    // Exactly these: what has a smaller position and comes later must not go unseen.
    storage.outbox_forget(&[all[4].0]).await.expect("a forgetting");
    assert_eq!(storage.outbox(10).await.expect("a read"), all[3..4]);
    storage.outbox_forget(&[all[3].0]).await.expect("a forgetting");
    // Positions are never used again, not even after everything was forgotten.
    drop(storage);
    let storage = place.open();
    storage.write(emit("e5")).await.expect("a write");
    assert!(storage.outbox(10).await.expect("a read")[0].0 > all[4].0);
}

pub(super) async fn events_stand_and_fall_with_their_batch(place: Place) {
    let storage = place.open();
    let failing = batch(SHARD, |b| b.emit(event("never")).update(pin(1), 1, &a_pin("missing")));
    let (failed, kept) = tokio::join!(storage.write(failing), storage.write(emit("kept")));
    assert!(failed.is_err());
    kept.expect("a write");
    let events = storage.outbox(10).await.expect("a read");
    assert_eq!(events.iter().map(|(_, event)| event.id.as_str()).collect::<Vec<_>>(), ["kept"]);
}

pub(super) async fn commits_wake_watchers_of_all_processes(place: Place) {
    let (storage, other) = (place.open(), place.open());
    let (mut here, mut there) = (storage.watch(), other.watch());
    here.borrow_and_update();
    there.borrow_and_update();
    storage.write(emit("e")).await.expect("a write");
    for watch in [&mut here, &mut there] {
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.expect("in time").expect("open");
    }
    assert_eq!(other.outbox(1).await.expect("a read").len(), 1);
}

pub(super) async fn audit_entries_are_chained_per_shard(place: Place) {
    let storage = place.open();
    assert_eq!(storage.audit_verify(SHARD).await, Ok(0));
    for index in 0..5 {
        let shard = if index == 2 { Shard(1) } else { SHARD };
        place.clock.advance(1);
        let actor = (index > 0).then(|| user(index));
        storage
            .write(batch(shard, |b| {
                b.audit(actor, "user_suspended", vec![user(9).into()], json!({ "index": index }));
                // Two in one batch are two links.
                if index == 4 {
                    b.audit(None, "site_changed", vec![], json!(null));
                }
                b
            }))
            .await
            .expect("a write");
    }
    assert_eq!(storage.audit_verify(SHARD).await, Ok(5));
    assert_eq!(storage.audit_verify(Shard(1)).await, Ok(1));
    let log = storage.audit_log(SHARD, 0, 10).await.expect("a log");
    assert_eq!(log.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!((log[0].actor, log[1].actor), (None, Some(user(1))));
    assert_eq!(log[1].at, START.plus(2));
    assert_eq!((log[1].act.as_str(), &log[1].data), ("user_suspended", &json!({ "index": 1 })));
    assert_eq!(log[1].subjects, [user(9).into()]);
    assert_eq!(storage.audit_log(SHARD, 3, 10).await.expect("a log"), log[3..]);
    assert_eq!(storage.audit_log(SHARD, 0, 2).await.expect("a log"), log[..2]);
    let recent = storage.audit_recent(4).await.expect("a log");
    assert_eq!(
        recent.iter().map(|entry| (entry.shard, entry.number)).collect::<Vec<_>>(),
        [(SHARD, 5), (SHARD, 4), (SHARD, 3), (Shard(1), 1)]
    );
    let writes = (0..30).map(|_| storage.write(batch(SHARD, |b| b.audit(None, "x", vec![], json!(null)))));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert_eq!(storage.audit_verify(SHARD).await, Ok(35));
    assert_clean(&storage).await;
}

pub(super) async fn a_kept_end_of_the_audit_log_shows_what_was_cut_off(place: Place) {
    let storage = place.open();
    let append = async |times: usize| {
        for _ in 0..times {
            storage.write(batch(SHARD, |b| b.audit(None, "x", vec![], json!(null)))).await.expect("a write");
        }
    };
    assert_eq!(storage.audit_head(SHARD).await, Ok(None));
    append(3).await;
    let kept = storage.audit_head(SHARD).await.expect("a walk").expect("an end");
    assert_eq!((kept.shard, kept.number), (SHARD, 3));
    assert_eq!(kept.hash, storage.audit_log(SHARD, 2, 1).await.expect("a log")[0].hash);
    append(2).await;
    assert_eq!(storage.audit_reaches(&kept).await, Ok(Ok(())), "a log grows");
    let cut_off = storage.audit_reaches(&AuditHead { number: 9, ..kept.clone() }).await.expect("an answer");
    assert!(cut_off.unwrap_err().contains("cut off"));
    let replaced = storage.audit_reaches(&AuditHead { hash: "0".repeat(64), ..kept.clone() }).await.expect("an answer");
    assert!(replaced.unwrap_err().contains("another one"));
    assert!(matches!(storage.audit_reaches(&AuditHead { number: 0, ..kept }).await, Err(Error::Invalid(_))));
}

pub(super) async fn a_retry_with_its_key_writes_once(place: Place) {
    let storage = place.open();
    let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
    let write = |event: Event, title: &str| {
        batch(SHARD, |b| {
            b.create(id, &a_pin(title)).map(Assoc::UserHasPins, user(1), id, 1).unmap(Assoc::UserHasPins, user(1), pin(77));
            b.emit(event).idempotency_key("save-1");
            b
        })
    };
    let first = storage.write(write(event("e1"), "a")).await.expect("a write");
    assert!(!first.replayed);
    // A second try has new event ids and times.
    let retry = Event { at: START.plus(99), request_id: "r2".to_owned(), ..event("e2") };
    let second = storage.write(write(retry, "a")).await.expect("a replay");
    assert!(second.replayed);
    assert_eq!((&second.versions, &second.changed), (&first.versions, &first.changed));
    assert_eq!(storage.outbox(10).await.expect("a read").len(), 1);
    let others = [write(event("e1"), "b"), write(Event { actor: None, ..event("e1") }, "a"), {
        let mut more = write(event("e1"), "a");
        more.require(crate::Condition::Active(id));
        more
    }];
    for other in others {
        let error = storage.write(other).await.expect_err("another write");
        assert!(matches!(&error, Error::Conflict(message) if message.contains("save-1")), "{error}");
    }
    // The same key on another shard is another key.
    let elsewhere = batch(Shard(1), |b| b.emit(event("e3")).idempotency_key("save-1"));
    assert!(!storage.write(elsewhere).await.expect("a write").replayed);
    // A write that was refused does not use its key up.
    let refused = batch(SHARD, |b| b.update(pin(500), 1, &a_pin("x")).idempotency_key("save-2"));
    assert!(matches!(storage.write(refused.clone()).await, Err(Error::NotFound(_))));
    assert!(matches!(storage.write(refused).await, Err(Error::NotFound(_))));
    // Kept until swept.
    place.clock.advance(Timestamp::DAY);
    assert_eq!(storage.sweep_idempotency(Timestamp::DAY).await, Ok(0));
    assert!(storage.write(write(event("e1"), "a")).await.expect("a replay").replayed);
    place.clock.advance(1);
    assert_eq!(storage.sweep_idempotency(Timestamp::DAY).await, Ok(2));
    assert!(matches!(storage.write(write(event("e1"), "a")).await, Err(Error::Conflict(_))), "the pin exists");
}

pub(super) async fn concurrent_retries_write_once(place: Place) {
    let (storage, other) = (place.open(), place.open());
    let writes = (0..20).map(|index| {
        let storage = if index % 2 == 0 { &storage } else { &other };
        storage.write(batch(SHARD, |b| b.emit(event(&index.to_string())).idempotency_key("once")))
    });
    let results = join_all(writes).await;
    assert_eq!(results.iter().filter(|result| !result.as_ref().expect("a write").replayed).count(), 1);
    assert_eq!(storage.outbox(100).await.expect("a read").len(), 1);
}

pub(super) async fn figures_tell_what_is_stored(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "a").await;
    storage
        .write(batch(SHARD, |b| b.map(Assoc::BoardHasPins, board(1), id, 1).map(Assoc::BoardHasPins, board(2), id, 1).emit(event("e"))))
        .await
        .expect("a write");
    let stats = storage.stats().await.expect("figures");
    let rows = |table: &str| stats.tables.iter().find(|(name, _)| name == table).map(|(_, rows)| *rows);
    assert_eq!((rows("pins"), rows("board_has_pins"), rows("users"), stats.outbox), (Some(1), Some(2), Some(0), 1));
    assert!(stats.file_bytes > 0);
    assert_eq!(stats.writes, 3);
}

pub(super) async fn a_closed_store_refuses(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "a").await;
    storage.close().await.expect("a close");
    storage.close().await.expect("a second close");
    assert!(matches!(storage.get::<Pin>(id).await, Err(Error::Unavailable(_))));
    assert!(matches!(storage.write(emit("e")).await, Err(Error::Unavailable(_))));
    assert!(matches!(storage.check().await, Err(Error::Unavailable(_))));
}
