use std::collections::BTreeMap;

use model::{Assoc, Id, Kind, NameKind, Pin};
use testkit::Random;

use super::*;
use crate::contract::{Place, SHARD, Setup, a_pin, batch, event, pin, user};
use crate::{Batch, Error as StorageError, Storage};

const ROUNDS: usize = 30;
const BATCHES: u64 = 12;

/// Every row of a file by table and key, as text.
type Rows = BTreeMap<(&'static str, String), String>;

fn started() -> Migration {
    Migration { state: State::None, token: "t".to_owned(), target: "mysql:/there".to_owned() }
}

fn text(cells: &[Cell]) -> String {
    serde_json::to_string(cells).expect("JSON")
}

fn all_rows(source: &Source) -> Rows {
    let mut rows = Rows::new();
    for shape in shapes() {
        let mut after: Option<Vec<Cell>> = None;
        loop {
            // Pages of all sizes come to the same.
            let page = source.page(shape, after.as_deref(), 3, 200).expect("a page");
            let Some(last) = page.last() else { break };
            after = Some(last[..shape.key].to_vec());
            rows.extend(page.iter().map(|row| ((shape.name, text(&row[..shape.key])), text(row))));
        }
    }
    rows
}

fn carry_over(rows: &mut Rows, delta: &Delta) {
    for change in &delta.changes {
        let key = (change.shape.name, text(&change.key));
        match &change.row {
            Some(row) => drop(rows.insert(key, text(row))),
            None => drop(rows.remove(&key)),
        }
    }
}

/// Makes a batch of a few operations on few rows, so that they meet. Some are refused, and must leave no trace.
fn random_batch(random: &mut Random, ids: &[Id]) -> Batch {
    batch(SHARD, |b| {
        for _ in 0..=random.below(3) {
            let (id, other) = (*random.pick(ids), pin(1 + random.below(4)));
            let (name, holder) = (format!("{}/it's {}", user(1).id(), random.below(3)), user(1 + random.below(2)));
            let sequence = random.below(5) as i64;
            match random.below(12) {
                0 => b.create(id, &a_pin("new")),
                1 => b.update(id, 1 + random.below(3), &a_pin("changed")),
                2 => b.delete(id),
                3 => b.restore(id),
                4 => b.purge(id),
                5 => b.map(Assoc::UserHasPins, user(1), other, sequence),
                6 => b.remap(Assoc::UserHasPins, user(1), other, sequence),
                7 => b.unmap(Assoc::UserHasPins, user(1), other),
                8 => b.claim(NameKind::BoardSlug, name, holder),
                9 => b.claim(NameKind::BoardSlug, name.as_str(), holder).confirm(NameKind::BoardSlug, name, holder),
                10 => b.release(NameKind::BoardSlug, name, holder),
                _ => b.audit(None, "x", vec![], serde_json::Value::Null).idempotency_key(format!("key {sequence}")),
            };
        }
        b
    })
}

async fn write_some(storage: &Storage, random: &mut Random, ids: &mut Vec<Id>) {
    for _ in 0..random.below(BATCHES) {
        if random.below(4) == 0 {
            ids.push(storage.new_id(SHARD, Kind::Pin).await.expect("an id"));
        }
        match storage.write(random_batch(random, ids)).await {
            Ok(_) | Err(StorageError::Conflict(_) | StorageError::NotFound(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if random.below(8) == 0 {
        storage.sweep_idempotency(0).await.expect("a sweep");
    }
}

#[tokio::test]
async fn an_old_copy_and_what_was_touched_since_are_the_present_state() {
    let mut random = Random::from_environment("an_old_copy_and_what_was_touched");
    let place = Place::new(Setup::Sqlite);
    let storage = place.open();
    let mut ids = vec![storage.new_id(SHARD, Kind::Pin).await.expect("an id")];
    write_some(&storage, &mut random, &mut ids).await;
    let source = Source::open(&place.path()).expect("the file");
    source.begin(&started()).expect("a beginning");
    let (mut rows, mut position) = (all_rows(&source), 0);
    for round in 0..ROUNDS {
        place.clock.advance(1);
        write_some(&storage, &mut random, &mut ids).await;
        // A part of it, and then, in one snapshot, the rest: only then both are equal.
        let part = source.delta(position, random.below(6) as usize).expect("a part");
        carry_over(&mut rows, &part);
        write_some(&storage, &mut random, &mut ids).await;
        source.snapshot().expect("a snapshot");
        let rest = source.delta(part.position, usize::MAX).expect("the rest");
        carry_over(&mut rows, &rest);
        assert_eq!(rows, all_rows(&source), "round {round}");
        source.end().expect("its end");
        position = rest.position;
    }
    assert!(position > 100, "{position} touches");
    assert_eq!(storage.check().await.expect("a check").len(), 1, "what is not finished is said");
    source.take_back().expect("an end");
    assert_eq!(storage.check().await, Ok(vec![]));
    let before = source.delta(0, usize::MAX).expect("nothing").touches;
    storage.write(batch(SHARD, |b| b.audit(None, "x", vec![], serde_json::Value::Null))).await.expect("a write");
    assert_eq!((before, source.delta(0, usize::MAX).expect("nothing").touches), (0, 0), "nothing is recorded any more");
}

#[tokio::test]
async fn a_site_that_has_moved_takes_no_writes() {
    let place = Place::new(Setup::Sqlite);
    let storage = place.open();
    storage.write(batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(1), 1).emit(event("e")))).await.expect("a write");
    let source = Source::open(&place.path()).expect("the file");
    source.begin(&started()).expect("a beginning");
    source.freeze().expect("a freeze");
    source.decide().expect("a decision");
    let refusals = [
        storage.write(batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(2), 1))).await.map(drop),
        // Not even an answer that changes nothing: it may be wrong by now.
        storage.write(batch(SHARD, |b| b.unmap(Assoc::UserHasPins, user(1), pin(7)))).await.map(drop),
        storage.new_id(SHARD, Kind::Pin).await.map(drop),
        storage.outbox_forget(&[1]).await,
        storage.sweep_idempotency(0).await.map(drop),
    ];
    for refusal in refusals {
        assert!(matches!(&refusal, Err(StorageError::Unavailable(message)) if message.contains("mysql:/there")), "{refusal:?}");
    }
    assert_eq!(storage.outbox(10).await.expect("a read").len(), 1);
    assert!(matches!(source.begin(&started()), Err(Error::Conflict(_))), "what has moved does not move again");
    assert!(matches!(source.freeze().and_then(|()| source.decide()), Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_freeze_ends_with_its_process() {
    let place = Place::new(Setup::Sqlite);
    let storage = place.open();
    let source = Source::open(&place.path()).expect("the file");
    source.begin(&started()).expect("a beginning");
    source.freeze().expect("a freeze");
    let writing = {
        let storage = storage.clone();
        tokio::spawn(async move { storage.write(batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(1), 1))).await })
    };
    // Reads don't wait.
    assert_eq!(storage.get::<Pin>(pin(1)).await, Ok(None));
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(0));
    drop(source);
    writing.await.expect("a writer").expect("a write");
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(1));
}
