//! What is refused, and that each refusal says what to do.

use model::limits::OBJECT_BYTES_MAX;
use model::{Assoc, Board, Id, Kind, NameKind, Object, Pin, Section, Shard, User, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Place, SHARD, a_pin, a_section, batch, board, event, pin, user};
use crate::{BATCH_OPS_MAX, Batch, Condition, EVENT_BYTES_MAX, Error, IDS_PER_CALL_MAX, LIST_ROWS_MAX, NAME_KEY_BYTES_MAX, Range};

/// Claims to be a pin and has nothing of one.
#[derive(Clone, Serialize, Deserialize)]
struct Impostor {
    title: String,
}

impl Object for Impostor {
    const KIND: Kind = Kind::Pin;
}

fn huge_pin() -> Pin {
    a_pin(&"x".repeat(OBJECT_BYTES_MAX))
}

pub(super) async fn each_says_what_is_wrong(place: Place) {
    let storage = place.open();
    let elsewhere = Id::new(Shard(1), Kind::Pin, 1);
    let nowhere = Shard(4_096);
    let cases: Vec<(&str, Batch)> = vec![
        ("is of a Board, but what should be stored under it is a Pin", batch(SHARD, |b| b.create(board(1), &a_pin("x")))),
        ("Audit", batch(SHARD, |b| b.delete(Id::new(SHARD, Kind::Audit, 1)))),
        ("leads from a Board", batch(SHARD, |b| b.map(Assoc::BoardHasPins, user(1), pin(1), 1))),
        ("leads to a Pin", batch(SHARD, |b| b.remap(Assoc::BoardHasPins, board(1), user(1), 1))),
        ("leads to a Pin", batch(SHARD, |b| b.unmap(Assoc::BoardHasPins, board(1), user(1)))),
        ("lives on shard 1, the batch writes on shard 3429", batch(SHARD, |b| b.create(pin(1), &a_pin("x")).delete(elsewhere))),
        ("lives on shard 1", batch(SHARD, |b| b.create(elsewhere, &a_pin("x")))),
        ("lives on shard 1", batch(SHARD, |b| b.map(Assoc::UserHasPins, UserId::new(Shard(1), 1), pin(1), 1))),
        ("lives on shard 1", batch(SHARD, |b| b.require(Condition::Active(elsewhere)))),
        ("leads from a Board", batch(SHARD, |b| b.require(Condition::CountIs(Assoc::BoardHasPins, pin(1).into(), 0)))),
        ("'ada' lives on shard", batch(SHARD, |b| b.claim(NameKind::Username, "ada", user(1)))),
        ("Shard 4096 does not exist", batch(nowhere, |b| b.emit(event("e")))),
        ("Shard 4096 does not exist", batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), Id::new(nowhere, Kind::Pin, 1), 1))),
        ("at most 1048576 are allowed", batch(SHARD, |b| b.create(pin(1), &huge_pin()))),
        ("not of the schema of a Pin", batch(SHARD, |b| b.create(pin(1), &Impostor { title: "x".to_owned() }))),
        ("operations", batch(SHARD, |b| (0..=BATCH_OPS_MAX as u64).fold(b, |b, local| b.delete(pin(local))))),
        (
            "bytes of data",
            batch(SHARD, |b| {
                let object = a_pin(&"x".repeat(OBJECT_BYTES_MAX / 2));
                (0..20).for_each(|local| {
                    b.create(pin(local), &object);
                });
                b
            }),
        ),
        ("idempotency key", batch(SHARD, |b| b.idempotency_key(""))),
        ("idempotency key", batch(SHARD, |b| b.idempotency_key("k".repeat(201)))),
        ("no id", batch(SHARD, |b| b.emit(event("")))),
        (
            "event e has",
            batch(SHARD, |b| {
                b.emit(model::Event { data: json!("x".repeat(EVENT_BYTES_MAX)), ..event("e") });
                b
            }),
        ),
        ("no act", batch(SHARD, |b| b.audit(None, "", vec![], json!(null)))),
        ("audit entry 'act'", batch(SHARD, |b| b.audit(None, "act", vec![], json!("x".repeat(1 << 17))))),
        ("bytes", batch(SHARD, |b| b.claim(NameKind::Tag, "", user(1)))),
        ("bytes", batch(SHARD, |b| b.claim(NameKind::Tag, "x".repeat(NAME_KEY_BYTES_MAX + 1), user(1)))),
        ("no board address", batch(SHARD, |b| b.claim(NameKind::BoardSlug, "cats", board(1)))),
    ];
    for (index, (wanted, refused)) in cases.into_iter().enumerate() {
        match storage.write(refused).await {
            Err(Error::Invalid(message)) => assert!(message.contains(wanted), "case {index}: {message:?} should say {wanted:?}"),
            other => panic!("case {index} ({wanted}) should be refused: {other:?}"),
        }
    }
    assert_eq!(storage.stats().await.expect("figures").writes, 0);
    storage.write(Batch::on(SHARD)).await.expect("an empty batch is no mistake");
}

pub(super) async fn reads_refuse_too(place: Place) {
    let storage = place.open();
    let invalid = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    let section = Id::new(SHARD, Kind::Section, 1);
    storage.write(batch(SHARD, |b| b.create(section, &a_section("s")))).await.expect("a write");
    invalid(storage.get::<Pin>(section).await.map(drop));
    invalid(storage.get_many::<Section>(&[section, pin(1).into()]).await.map(drop));
    invalid(storage.get_many::<Section>(&vec![section; IDS_PER_CALL_MAX + 1]).await.map(drop));
    invalid(storage.range(Assoc::BoardHasPins, pin(1), Range::first(1)).await.map(drop));
    invalid(storage.range(Assoc::BoardHasPins, board(1), Range::first(LIST_ROWS_MAX + 1)).await.map(drop));
    invalid(storage.edges(Assoc::BoardHasPins, board(1), &[board(1).into()]).await.map(drop));
    invalid(storage.count(Assoc::BoardHasPins, user(1)).await.map(drop));
    invalid(storage.scan::<User>(Some(pin(1).into()), 1).await.map(drop));
    invalid(storage.scan::<Board>(None, LIST_ROWS_MAX + 1).await.map(drop));
    invalid(storage.new_id(Shard(4_096), Kind::Pin).await.map(drop));
    invalid(storage.new_id(SHARD, Kind::Audit).await.map(drop));
    invalid(storage.audit_log(Shard(9_999), 0, 1).await.map(drop));
    invalid(storage.name(NameKind::Username, "").await.map(drop));
    invalid(storage.sweep_names(-1).await.map(drop));
    // An id of a shard that does not exist is an object that never was: ids come from addresses that anybody can type.
    assert_eq!(storage.get::<Pin>(Id::new(Shard(60_000), Kind::Pin, 1)).await, Ok(None));
}
