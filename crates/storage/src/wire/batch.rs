//! Batches on the wire: operations and conditions, there and back.

use model::{Assoc, Event, Id, NameKind, UserId};

use super::proto::{self, condition::What as ConditionWhat, op::What as OpWhat};
use super::{assoc, empty, id, ids, name_kind, shard};
use crate::batch::{Batch, Condition};
use crate::engine::Op;
use crate::error::{Error, Result};

fn edge_to(assoc: Assoc, from: Id, to: Id, sequence: i64) -> proto::Edge {
    proto::Edge { assoc: assoc.table().to_owned(), from: from.as_u64(), to: to.as_u64(), sequence }
}

fn edge_of(edge: &proto::Edge) -> Result<(Assoc, Id, Id)> {
    Ok((assoc(&edge.assoc)?, id(edge.from)?, id(edge.to)?))
}

fn name_to(kind: NameKind, key: String, id: Id) -> proto::HeldName {
    proto::HeldName { kind: kind.as_str().to_owned(), key, id: id.as_u64() }
}

fn name_of(name: proto::HeldName) -> Result<(NameKind, String, Id)> {
    Ok((name_kind(&name.kind)?, name.key, id(name.id)?))
}

/// Puts operations into messages, texts moved and not copied.
pub(crate) fn ops_to(ops: Vec<Op>) -> Vec<proto::Op> {
    ops.into_iter().map(|op| proto::Op { what: Some(op_to(op)) }).collect()
}

fn op_to(op: Op) -> OpWhat {
    match op {
        Op::Create { id, data } => OpWhat::Create(proto::op::Object { id: id.as_u64(), expected_version: 0, data }),
        Op::Update { id, expected_version, data } => OpWhat::Update(proto::op::Object { id: id.as_u64(), expected_version, data }),
        Op::Delete { id } => OpWhat::Delete(id.as_u64()),
        Op::Restore { id } => OpWhat::Restore(id.as_u64()),
        Op::Purge { id } => OpWhat::Purge(id.as_u64()),
        Op::Map { assoc, from, to, sequence } => OpWhat::Map(edge_to(assoc, from, to, sequence)),
        Op::Remap { assoc, from, to, sequence } => OpWhat::Remap(edge_to(assoc, from, to, sequence)),
        Op::Unmap { assoc, from, to } => OpWhat::Unmap(edge_to(assoc, from, to, 0)),
        Op::Claim { kind, key, id } => OpWhat::Claim(name_to(kind, key, id)),
        Op::Confirm { kind, key, id } => OpWhat::Confirm(name_to(kind, key, id)),
        Op::Release { kind, key, id, unconfirmed_only: false } => OpWhat::Release(name_to(kind, key, id)),
        Op::Release { kind, key, id, unconfirmed_only: true } => OpWhat::ReleaseUnconfirmed(name_to(kind, key, id)),
        Op::Emit { json, .. } => OpWhat::Emit(json),
        Op::Audit { actor, act, subjects, data } => OpWhat::Audit(proto::op::Audit {
            actor: actor.map_or(0, UserId::as_u64),
            act,
            subjects: subjects.into_iter().map(Id::as_u64).collect(),
            data,
        }),
    }
}

/// Reads one operation. What it does is checked by the front afterwards; here it only has to be one.
fn op_of(op: proto::Op) -> Result<Op> {
    Ok(match op.what.ok_or_else(|| empty("operation"))? {
        OpWhat::Create(object) => Op::Create { id: id(object.id)?, data: object.data },
        OpWhat::Update(object) => Op::Update { id: id(object.id)?, expected_version: object.expected_version, data: object.data },
        OpWhat::Delete(number) => Op::Delete { id: id(number)? },
        OpWhat::Restore(number) => Op::Restore { id: id(number)? },
        OpWhat::Purge(number) => Op::Purge { id: id(number)? },
        OpWhat::Map(edge) => {
            let (assoc, from, to) = edge_of(&edge)?;
            Op::Map { assoc, from, to, sequence: edge.sequence }
        }
        OpWhat::Remap(edge) => {
            let (assoc, from, to) = edge_of(&edge)?;
            Op::Remap { assoc, from, to, sequence: edge.sequence }
        }
        OpWhat::Unmap(edge) => {
            let (assoc, from, to) = edge_of(&edge)?;
            Op::Unmap { assoc, from, to }
        }
        OpWhat::Claim(name) => {
            let (kind, key, id) = name_of(name)?;
            Op::Claim { kind, key, id }
        }
        OpWhat::Confirm(name) => {
            let (kind, key, id) = name_of(name)?;
            Op::Confirm { kind, key, id }
        }
        OpWhat::Release(name) => {
            let (kind, key, id) = name_of(name)?;
            Op::Release { kind, key, id, unconfirmed_only: false }
        }
        OpWhat::ReleaseUnconfirmed(name) => {
            let (kind, key, id) = name_of(name)?;
            Op::Release { kind, key, id, unconfirmed_only: true }
        }
        OpWhat::Emit(json) => Op::Emit { event: Box::new(event_of(&json)?), json },
        OpWhat::Audit(audit) => audit_of(audit)?,
    })
}

fn event_of(json: &str) -> Result<Event> {
    serde_json::from_str(json).map_err(|error| {
        Error::Invalid(format!("An event can't be read: {error}. If its kind is new, update the storage service before its callers."))
    })
}

fn audit_of(audit: proto::op::Audit) -> Result<Op> {
    let actor = match audit.actor {
        0 => None,
        number => Some(UserId::try_from(id(number)?).map_err(|error| Error::Invalid(format!("An audit entry's actor: {error}.")))?),
    };
    // The text is hashed as it comes, so it has to be JSON already here.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&audit.data) {
        return Err(Error::Invalid(format!("The data of the audit entry '{}' is no JSON: {error}.", audit.act)));
    }
    Ok(Op::Audit { actor, act: audit.act, subjects: ids(audit.subjects)?, data: audit.data })
}

pub(crate) fn conditions_to(conditions: &[Condition]) -> Vec<proto::Condition> {
    conditions.iter().map(|condition| proto::Condition { what: Some(condition_to(condition)) }).collect()
}

fn condition_to(condition: &Condition) -> ConditionWhat {
    let count =
        |assoc: Assoc, from: Id, count: u64| proto::condition::Count { assoc: assoc.table().to_owned(), from: from.as_u64(), count };
    match *condition {
        Condition::Active(id) => ConditionWhat::Active(id.as_u64()),
        Condition::Version(id, version) => ConditionWhat::Version(proto::condition::Version { id: id.as_u64(), version }),
        Condition::Mapped(assoc, from, to) => ConditionWhat::Mapped(edge_to(assoc, from, to, 0)),
        Condition::NotMapped(assoc, from, to) => ConditionWhat::NotMapped(edge_to(assoc, from, to, 0)),
        Condition::CountBelow(assoc, from, number) => ConditionWhat::CountBelow(count(assoc, from, number)),
        Condition::CountIs(assoc, from, number) => ConditionWhat::CountIs(count(assoc, from, number)),
    }
}

fn condition_of(condition: proto::Condition) -> Result<Condition> {
    Ok(match condition.what.ok_or_else(|| empty("condition"))? {
        ConditionWhat::Active(number) => Condition::Active(id(number)?),
        ConditionWhat::Version(version) => Condition::Version(id(version.id)?, version.version),
        ConditionWhat::Mapped(edge) => edge_of(&edge).map(|(assoc, from, to)| Condition::Mapped(assoc, from, to))?,
        ConditionWhat::NotMapped(edge) => edge_of(&edge).map(|(assoc, from, to)| Condition::NotMapped(assoc, from, to))?,
        ConditionWhat::CountBelow(count) => Condition::CountBelow(assoc(&count.assoc)?, id(count.from)?, count.count),
        ConditionWhat::CountIs(count) => Condition::CountIs(assoc(&count.assoc)?, id(count.from)?, count.count),
    })
}

/// Rebuilds a batch, for the front to check and write.
pub(crate) fn batch_of(batch: proto::Batch) -> Result<Batch> {
    Ok(Batch {
        shard: shard(batch.shard)?,
        conditions: batch.conditions.into_iter().map(condition_of).collect::<Result<_>>()?,
        ops: batch.ops.into_iter().map(op_of).collect::<Result<_>>()?,
        idempotency_key: (!batch.idempotency_key.is_empty()).then_some(batch.idempotency_key),
        refusal: None,
    })
}

#[cfg(test)]
mod tests {
    use model::Kind;
    use prost::Message;

    use super::*;
    use crate::contract::{SHARD, a_pin, batch, board, event, pin, user};

    fn everything() -> Batch {
        let tag = NameKind::Tag;
        batch(SHARD, |b| {
            b.create(pin(1), &a_pin("Äpfel")).update(pin(2), 7, &a_pin("b")).delete(pin(3)).restore(pin(4)).purge(pin(5));
            b.map(Assoc::BoardHasPins, board(1), pin(1), -5).remap(Assoc::BoardHasPins, board(1), pin(2), i64::MAX);
            b.unmap(Assoc::BoardHasPins, board(1), pin(3)).claim(tag, "a", user(1)).confirm(tag, "b", user(2));
            b.release(tag, "c", user(3)).release_unconfirmed(tag, "d".to_owned(), user(4).into()).emit(event("e1"));
            b.audit(Some(user(9)), "act", vec![pin(1).into()], serde_json::json!({ "a": [1.5, null] }));
            b.audit(None, "act", vec![], serde_json::Value::Null).idempotency_key("key");
            b.require(Condition::Active(pin(1).into())).require(Condition::Version(pin(1).into(), 3));
            b.require(Condition::Mapped(Assoc::BoardHasPins, board(1).into(), pin(1).into()));
            b.require(Condition::NotMapped(Assoc::BoardHasPins, board(1).into(), pin(1).into()));
            b.require(Condition::CountBelow(Assoc::BoardHasPins, board(1).into(), 3));
            b.require(Condition::CountIs(Assoc::BoardHasPins, board(1).into(), 0))
        })
    }

    fn on_the_wire(batch: Batch) -> proto::Batch {
        proto::Batch {
            shard: u32::from(batch.shard.0),
            idempotency_key: batch.idempotency_key.unwrap_or_default(),
            conditions: conditions_to(&batch.conditions),
            ops: ops_to(batch.ops),
        }
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let bytes = on_the_wire(everything()).encode_to_vec();
        let back = batch_of(proto::Batch::decode(bytes.as_slice()).expect("a message")).expect("a batch");
        assert_eq!(format!("{back:?}"), format!("{:?}", everything()));
        assert_eq!(
            crate::refusal::idempotency(&back),
            crate::refusal::idempotency(&everything()),
            "a retry over the wire is the same write"
        );
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        type Change = fn(&mut proto::Batch);
        let cases: [(&str, Change); 6] = [
            ("Shard 65536", |batch| batch.shard = 1 << 16),
            ("does not know", |batch| batch.ops[0].what = None),
            ("does not know", |batch| batch.conditions[0].what = None),
            ("is no id", |batch| batch.ops[0].what = Some(OpWhat::Delete(u64::MAX))),
            ("An event can't be read", |batch| batch.ops[0].what = Some(OpWhat::Emit("{}".to_owned()))),
            ("is no JSON", |batch| {
                let subjects = vec![Id::new(SHARD, Kind::Pin, 1).as_u64()];
                batch.ops[0].what = Some(OpWhat::Audit(proto::op::Audit { actor: 0, act: "a".into(), subjects, data: "{".into() }));
            }),
        ];
        for (wanted, change) in cases {
            let mut message = on_the_wire(everything());
            change(&mut message);
            let error = batch_of(message).expect_err("a refusal");
            assert!(matches!(&error, Error::Invalid(message) if message.contains(wanted)), "{error} should say {wanted}");
        }
    }
}
