//! Objects: created, read, changed, deleted; batches as a whole.

use futures_util::future::join_all;
use model::{Assoc, Id, Kind, LegalHoldId, NameKind, Pin, Section, Shard, Stored};

use super::{Place, SHARD, START, a_pin, a_section, assert_clean, batch, board, event, new_pin, pin, user};
use crate::{Batch, Condition, Error, name_shard};

pub(super) async fn what_was_created_is_read(place: Place) {
    let storage = place.open();
    let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
    assert_eq!(storage.get::<Pin>(id).await, Ok(None));
    place.clock.advance(5);
    let written = storage.write(batch(SHARD, |b| b.create(id, &a_pin("Äpfel \u{1f34e}")))).await.expect("a write");
    assert_eq!((written.versions, written.changed, written.replayed), (vec![(id, 1)], vec![true], false));
    let at = START.plus(5);
    let stored = Stored { id, version: 1, created_at: at, updated_at: at, active: true, data: a_pin("Äpfel \u{1f34e}") };
    assert_eq!(storage.get::<Pin>(id).await, Ok(Some(stored)));
    assert_clean(&storage).await;
}

pub(super) async fn many_are_read_in_the_order_of_their_ids(place: Place) {
    let storage = place.open();
    let mut ids = Vec::new();
    let mut writing = Batch::on(SHARD);
    for index in 0..300 {
        let id = storage.new_id(SHARD, Kind::Section).await.expect("an id");
        writing.create(id, &a_section(&index.to_string()));
        ids.push(id);
    }
    storage.write(writing).await.expect("a write");
    assert_eq!(storage.get_many::<Section>(&[]).await, Ok(Vec::new()));
    let missing = Id::new(Shard(1), Kind::Section, 77);
    // 300 take the long way, 25 the short one.
    for wanted in [25, 300] {
        let mut asked: Vec<Id> = ids[..wanted].iter().rev().copied().collect();
        asked.insert(7, missing);
        asked.push(asked[0]);
        let found = storage.get_many::<Section>(&asked).await.expect("a read");
        assert_eq!(found.len(), asked.len());
        for (id, found) in asked.iter().zip(&found) {
            assert_eq!(found.as_ref().map(|stored| stored.id), (*id != missing).then_some(*id));
        }
        assert_eq!(found[0].as_ref().expect("a section").data.name, (wanted - 1).to_string());
    }
}

pub(super) async fn updates_name_the_version_they_read(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "first").await;
    place.clock.advance(1_000);
    let written = storage.write(batch(SHARD, |b| b.update(id, 1, &a_pin("second")))).await.expect("a write");
    assert_eq!(written.versions, [(id, 2)]);
    let stored = storage.get::<Pin>(id).await.expect("a read").expect("a pin");
    assert_eq!((stored.version, stored.data.title.as_str()), (2, "second"));
    assert_eq!((stored.created_at, stored.updated_at), (START, START.plus(1_000)));
    let error = storage.write(batch(SHARD, |b| b.update(id, 1, &a_pin("third")))).await.expect_err("a conflict");
    assert!(matches!(&error, Error::Conflict(message) if message.contains("version 2, not 1")), "{error}");
    let error = storage.write(batch(SHARD, |b| b.update(pin(999), 1, &a_pin("x")))).await.expect_err("not there");
    assert!(matches!(error, Error::NotFound(_)), "{error}");
    storage.write(batch(SHARD, |b| b.delete(id))).await.expect("a delete");
    let error = storage.write(batch(SHARD, |b| b.update(id, 3, &a_pin("x")))).await.expect_err("deleted");
    assert!(matches!(&error, Error::NotFound(message) if message.contains("deleted")), "{error}");
}

pub(super) async fn deletes_are_soft_until_purged(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "kept").await;
    let deleted = storage.write(batch(SHARD, |b| b.delete(id).delete(id))).await.expect("a delete");
    assert_eq!((deleted.versions, deleted.changed), (vec![(id, 2)], vec![true, false]));
    let stored = storage.get::<Pin>(id).await.expect("a read").expect("the row stays");
    assert!(!stored.active);
    assert_eq!(stored.data.title, "kept");
    let restored = storage.write(batch(SHARD, |b| b.restore(id).restore(id))).await.expect("a restore");
    assert_eq!((restored.versions, restored.changed), (vec![(id, 3)], vec![true, false]));
    assert!(storage.get::<Pin>(id).await.expect("a read").expect("a pin").active);
    let purged = storage.write(batch(SHARD, |b| b.purge(id).purge(id).delete(id))).await.expect("a purge");
    assert_eq!((purged.versions, purged.changed), (vec![(id, 4)], vec![true, false, false]));
    assert_eq!(storage.get::<Pin>(id).await, Ok(None));
    let error = storage.write(batch(SHARD, |b| b.restore(id))).await.expect_err("too late");
    assert!(matches!(error, Error::NotFound(_)), "{error}");
}

pub(super) async fn creating_twice_is_a_conflict(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "first").await;
    let again = batch(SHARD, |b| b.create(id, &a_pin("second")));
    assert!(matches!(storage.write(again.clone()).await, Err(Error::Conflict(_))));
    storage.write(batch(SHARD, |b| b.delete(id))).await.expect("a delete");
    assert!(matches!(storage.write(again).await, Err(Error::Conflict(_))));
    assert_eq!(storage.get::<Pin>(id).await.expect("a read").expect("a pin").data.title, "first");
}

pub(super) async fn a_batch_is_whole_or_not_at_all(place: Place) {
    let storage = place.open();
    // A tag whose name lives on the shard of the test, so that everything is in one batch.
    let tag = (0..).map(|n| format!("tag{n}")).find(|tag| name_shard(NameKind::Tag, tag) == SHARD).expect("some tag");
    let failing = batch(SHARD, |b| {
        b.create(pin(1), &a_pin("never")).map(Assoc::UserHasPins, user(1), pin(1), 1).claim(NameKind::Tag, tag.as_str(), user(1));
        b.emit(event("e1")).audit(None, "tried", vec![], serde_json::Value::Null).update(pin(2), 1, &a_pin("missing"));
        b
    });
    assert!(matches!(storage.write(failing).await, Err(Error::NotFound(_))));
    assert_eq!(storage.get::<Pin>(pin(1)).await, Ok(None));
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(0));
    assert_eq!(storage.edges(Assoc::UserHasPins, user(1), &[pin(1).into()]).await, Ok(vec![None]));
    assert_eq!(storage.name(NameKind::Tag, &tag).await, Ok(None));
    assert_eq!(storage.outbox(10).await, Ok(vec![]));
    assert_eq!(storage.audit_verify(SHARD).await, Ok(0));
    assert_clean(&storage).await;
}

pub(super) async fn conditions_are_checked_first(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "a").await;
    let has = Assoc::BoardHasPins;
    storage.write(batch(SHARD, |b| b.map(has, board(1), id, 1).map(has, board(1), pin(50), 2))).await.expect("a write");
    let holding = [
        Condition::Active(id),
        Condition::Version(id, 1),
        Condition::Mapped(has, board(1).into(), id),
        Condition::NotMapped(has, board(1).into(), pin(51).into()),
        Condition::CountBelow(has, board(1).into(), 3),
        Condition::CountIs(has, board(1).into(), 2),
        Condition::CountIs(has, board(2).into(), 0),
    ];
    let failing = [
        Condition::Active(pin(999).into()),
        Condition::Version(id, 2),
        Condition::Mapped(has, board(1).into(), pin(51).into()),
        Condition::NotMapped(has, board(1).into(), id),
        Condition::CountBelow(has, board(1).into(), 2),
        Condition::CountIs(has, board(1).into(), 1),
    ];
    // Conditions are about what is stored, not about what the batch is about to do.
    let all = batch(SHARD, |b| {
        b.delete(id);
        holding.into_iter().for_each(|condition| {
            b.require(condition);
        });
        b
    });
    storage.write(all).await.expect("all hold");
    storage.write(batch(SHARD, |b| b.restore(id).require(Condition::Version(id, 2)))).await.expect("it holds");
    storage.write(batch(SHARD, |b| b.delete(id))).await.expect("a delete");
    for condition in failing.into_iter().chain([Condition::Active(id)]) {
        let refused = batch(SHARD, |b| b.require(condition).map(has, board(9), id, 1));
        let error = storage.write(refused).await.expect_err("it does not hold");
        let name = format!("{condition:?}");
        assert!(matches!(&error, Error::Conflict(message) if message.contains(&name)), "{error}");
    }
    assert_eq!(storage.count(has, board(9)).await, Ok(0));
}

pub(super) async fn scans_go_through_everything(place: Place) {
    let storage = place.open();
    let mut ids = Vec::new();
    for index in 0..7 {
        let shard = Shard(index % 3);
        let id = storage.new_id(shard, Kind::Section).await.expect("an id");
        storage.write(batch(shard, |b| b.create(id, &a_section("s")))).await.expect("a write");
        ids.push(id);
    }
    storage.write(batch(ids[3].shard(), |b| b.delete(ids[3]))).await.expect("a delete");
    ids.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = storage.scan::<Section>(after, 3).await.expect("a page");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|stored| stored.id));
    }
    assert_eq!(seen, ids);
    assert_eq!(storage.scan::<Pin>(None, 10).await, Ok(vec![]));
}

pub(super) async fn what_was_written_survives_a_reopening(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "kept").await;
    storage.close().await.expect("a close");
    let again = place.open();
    assert_eq!(again.get::<Pin>(id).await.expect("a read").expect("a pin").data.title, "kept");
    // Without a close, as after a crash of the process.
    let other = new_pin(&again, "kept too").await;
    drop(again);
    assert!(place.open().get::<Pin>(other).await.expect("a read").is_some());
}

pub(super) async fn concurrent_writers_share_commits(place: Place) {
    let storage = place.open();
    let before = storage.stats().await.expect("figures");
    let writes = (0..200).map(|local| storage.write(batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(local), 0))));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    let after = storage.stats().await.expect("figures");
    assert_eq!(after.writes - before.writes, 200);
    let commits = after.group_commits - before.group_commits;
    assert!((1..50).contains(&commits), "{commits} commits");
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(200));
}

pub(super) async fn of_concurrent_updates_one_wins(place: Place) {
    let storage = place.open();
    let id = new_pin(&storage, "start").await;
    let other = place.open();
    let updates = (0..20).map(|index| {
        let storage = if index % 2 == 0 { &storage } else { &other };
        storage.write(batch(SHARD, |b| b.update(id, 1, &a_pin(&index.to_string()))))
    });
    let results = join_all(updates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::Conflict(_)))));
    assert_eq!(storage.get::<Pin>(id).await.expect("a read").expect("a pin").version, 2);
}

/// They are written together, and an engine that takes ids to be new must find out which ones are not.
pub(super) async fn of_many_that_create_those_whose_id_is_taken_fail_alone(place: Place) {
    let storage = place.open();
    for local in [3, 7] {
        storage.write(batch(SHARD, |b| b.create(pin(local), &a_pin("first")))).await.expect("a write");
    }
    storage.write(batch(SHARD, |b| b.delete(pin(7)))).await.expect("a write");
    let create = |local: u64| storage.write(batch(SHARD, |b| b.create(pin(local), &a_pin("second"))));
    for (local, result) in (1..=10).zip(join_all((1..=10).map(create)).await) {
        match local {
            3 | 7 => assert!(matches!(&result, Err(Error::Conflict(message)) if message.contains("exists already")), "{result:?}"),
            _ => assert_eq!(result.expect("a write").versions, [(pin(local).into(), 1)]),
        }
    }
    // Created and looked at in one batch, and twice in one.
    let purge = batch(SHARD, |b| b.create(pin(3), &a_pin("third")).purge(pin(3)));
    assert!(matches!(storage.write(purge).await, Err(Error::Conflict(_))));
    let twice = batch(SHARD, |b| b.create(pin(11), &a_pin("a")).create(pin(11), &a_pin("b")));
    assert!(matches!(storage.write(twice).await, Err(Error::Conflict(_))));
    let updated = batch(SHARD, |b| b.create(pin(12), &a_pin("a")).update(pin(12), 1, &a_pin("b")));
    assert_eq!(storage.write(updated).await.expect("a write").versions, [(pin(12).into(), 1), (pin(12).into(), 2)]);
    let title = async |local: u64| storage.get::<Pin>(pin(local)).await.expect("a read").map(|pin| (pin.data.title.clone(), pin.active));
    let wanted =
        [(3, Some(("first", true))), (7, Some(("first", false))), (8, Some(("second", true))), (11, None), (12, Some(("b", true)))];
    for (local, wanted) in wanted {
        assert_eq!(title(local).await, wanted.map(|(title, active)| (title.to_owned(), active)), "pin {local}");
    }
}

/// What legal holds rest on: a condition on an edge that is not there yet must shut out whoever adds it at the same moment.
pub(super) async fn of_a_hold_and_a_purge_one_comes_first(place: Place) {
    let (storage, other) = (place.open(), place.open());
    for round in 0..40 {
        let id = new_pin(&storage, "held or purged").await;
        let hold = LegalHoldId::new(SHARD, round + 1);
        let unheld = Condition::CountIs(Assoc::PinHasHolds, id, 0);
        let (held, purge) = tokio::join!(
            storage.write(batch(SHARD, |b| b.require(Condition::Version(id, 1)).map(Assoc::PinHasHolds, id, hold, 1))),
            other.write(batch(SHARD, |b| b.require(unheld).purge(id))),
        );
        assert_eq!(held.is_ok(), purge.is_err(), "round {round}: {held:?} and {purge:?}");
        for result in [held, purge] {
            assert!(matches!(result, Ok(_) | Err(Error::Conflict(_))), "{result:?}");
        }
        let row = storage.get::<Pin>(id).await.expect("a read");
        assert_eq!(row.is_none(), storage.count(Assoc::PinHasHolds, id).await.expect("a count") == 0);
        // A batch of conditions alone asks without writing.
        let asked = storage.write(batch(SHARD, |b| b.require(unheld))).await;
        assert_eq!(asked.is_ok(), row.is_none(), "{asked:?}");
    }
    assert_clean(&storage).await;
}
