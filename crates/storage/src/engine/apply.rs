//! What a batch does to rows, whatever keeps them: one meaning for every engine.
//!
//! [`apply`] decides; an engine's [`Tables`] read and change rows, inside what the engine undoes when an error comes out.

use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};

use crate::audit::AuditRow;
use crate::batch::{Condition, Written};
use crate::engine::{Idempotency, Op, Prepared};
use crate::error::Error;
use crate::row::Name;

/// The rows of one shard as a batch sees them: what is stored, with what the batch has done so far.
pub(crate) trait Tables {
    type Error: From<Error>;

    /// Adds an object as version 1. False when there is one already, active or not.
    fn insert_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<bool, Self::Error>;
    /// Returns an object's version and whether it is active.
    fn object(&mut self, id: Id) -> Result<Option<(u64, bool)>, Self::Error>;
    /// Replaces the data of an object that is there, as the next version.
    fn replace_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<(), Self::Error>;
    /// Returns the new version if the state changed.
    fn set_active(&mut self, id: Id, active: bool, at: Timestamp) -> Result<Option<u64>, Self::Error>;
    /// Returns the last version if there was a row.
    fn remove_object(&mut self, id: Id) -> Result<Option<u64>, Self::Error>;

    fn edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<Option<i64>, Self::Error>;
    /// Adds an edge and counts it. False when it is there already; then it keeps its sequence.
    fn insert_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool, Self::Error>;
    /// Gives an edge that is there another sequence. False when it has it already.
    fn move_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool, Self::Error>;
    /// Removes an edge and counts it no longer. False when there was none.
    fn remove_edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<bool, Self::Error>;
    fn count(&mut self, assoc: Assoc, from: Id) -> Result<u64, Self::Error>;

    fn name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>, Self::Error>;
    /// Adds an unconfirmed name. False when it is held.
    fn insert_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, at: Timestamp) -> Result<bool, Self::Error>;
    fn confirm_name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<(), Self::Error>;
    fn remove_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, unconfirmed_only: bool) -> Result<bool, Self::Error>;

    fn insert_event(&mut self, shard: Shard, id: &str, json: &str) -> Result<(), Self::Error>;
    /// Returns the id and the hash of a shard's newest audit entry.
    fn audit_head(&mut self, shard: Shard) -> Result<Option<(u64, String)>, Self::Error>;
    fn insert_audit(&mut self, row: AuditRow) -> Result<(), Self::Error>;

    /// Returns the hash of the batch that used a key, and the answer it got.
    fn answer(&mut self, shard: Shard, key: &str) -> Result<Option<(String, String)>, Self::Error>;
    fn insert_answer(&mut self, shard: Shard, key: &Idempotency, answer: &str, at: Timestamp) -> Result<(), Self::Error>;
}

/// Applies a batch: replay or conditions first, then each operation in order.
pub(crate) fn apply<T: Tables>(tables: &mut T, batch: &Prepared) -> Result<Written, T::Error> {
    if let Some(idempotency) = &batch.idempotency
        && let Some(answer) = replay(tables, batch.shard, idempotency)?
    {
        return Ok(answer);
    }
    for condition in &batch.conditions {
        check_condition(tables, condition)?;
    }
    let mut written = Written { changed: Vec::with_capacity(batch.ops.len()), ..Written::default() };
    for op in &batch.ops {
        let changed = apply_op(tables, batch, op, &mut written.versions)?;
        written.changed.push(changed);
    }
    if let Some(idempotency) = &batch.idempotency {
        let answer = serde_json::to_string(&written).map_err(|error| Error::Invalid(format!("The answer can't be kept: {error}.")))?;
        tables.insert_answer(batch.shard, idempotency, &answer, batch.at)?;
    }
    Ok(written)
}

fn apply_op<T: Tables>(tables: &mut T, batch: &Prepared, op: &Op, versions: &mut Vec<(Id, u64)>) -> Result<bool, T::Error> {
    let at = batch.at;
    let version = match op {
        Op::Create { id, data } => Some((*id, create(tables, *id, data, at)?)),
        Op::Update { id, expected_version, data } => Some((*id, update(tables, *id, *expected_version, data, at)?)),
        Op::Delete { id } => tables.set_active(*id, false, at)?.map(|version| (*id, version)),
        Op::Restore { id } => restore(tables, *id, at)?.map(|version| (*id, version)),
        Op::Purge { id } => tables.remove_object(*id)?.map(|version| (*id, version + 1)),
        Op::Map { assoc, from, to, sequence } => return tables.insert_edge(*assoc, *from, *to, *sequence),
        Op::Remap { assoc, from, to, sequence } => {
            return Ok(tables.insert_edge(*assoc, *from, *to, *sequence)? || tables.move_edge(*assoc, *from, *to, *sequence)?);
        }
        Op::Unmap { assoc, from, to } => return tables.remove_edge(*assoc, *from, *to),
        Op::Claim { kind, key, id } => return claim(tables, batch, *kind, key, *id),
        Op::Confirm { kind, key, id } => return confirm(tables, batch.shard, *kind, key, *id),
        Op::Release { kind, key, id, unconfirmed_only } => return tables.remove_name(batch.shard, *kind, key, *id, *unconfirmed_only),
        Op::Emit { event, json } => return tables.insert_event(batch.shard, &event.id, json).map(|()| true),
        Op::Audit { .. } => return append_audit(tables, batch, op).map(|()| true),
    };
    versions.extend(version);
    Ok(version.is_some())
}

fn create<T: Tables>(tables: &mut T, id: Id, data: &str, at: Timestamp) -> Result<u64, T::Error> {
    if tables.insert_object(id, data, at)? {
        return Ok(1);
    }
    Err(Error::Conflict(format!("{id:?} exists already. Take a new id; ids are never used twice.")).into())
}

fn update<T: Tables>(tables: &mut T, id: Id, expected_version: u64, data: &str, at: Timestamp) -> Result<u64, T::Error> {
    let refusal = match tables.object(id)? {
        None => Error::NotFound(format!("{id:?} is not there; it never was or has been purged.")),
        Some((_, false)) => Error::NotFound(format!("{id:?} is deleted. Restore it before changing it.")),
        Some((version, true)) if version != expected_version => Error::Conflict(format!(
            "{id:?} has version {version}, not {expected_version}: somebody changed it meanwhile. Read it again and repeat the change."
        )),
        Some((version, true)) => {
            tables.replace_object(id, data, at)?;
            return Ok(version + 1);
        }
    };
    Err(refusal.into())
}

fn restore<T: Tables>(tables: &mut T, id: Id, at: Timestamp) -> Result<Option<u64>, T::Error> {
    if tables.object(id)?.is_none() {
        return Err(Error::NotFound(format!("{id:?} can't be restored: it never was or has been purged.")).into());
    }
    tables.set_active(id, true, at)
}

fn claim<T: Tables>(tables: &mut T, batch: &Prepared, kind: NameKind, key: &str, id: Id) -> Result<bool, T::Error> {
    if tables.insert_name(batch.shard, kind, key, id, batch.at)? {
        return Ok(true);
    }
    check_holder(tables, batch.shard, kind, key, id)?;
    Ok(false)
}

fn confirm<T: Tables>(tables: &mut T, shard: Shard, kind: NameKind, key: &str, id: Id) -> Result<bool, T::Error> {
    if check_holder(tables, shard, kind, key, id)? {
        return Ok(false);
    }
    tables.confirm_name(shard, kind, key)?;
    Ok(true)
}

/// Refuses unless `id` holds the name; tells whether it is confirmed.
fn check_holder<T: Tables>(tables: &mut T, shard: Shard, kind: NameKind, key: &str, id: Id) -> Result<bool, T::Error> {
    match tables.name(shard, kind, key)? {
        Some(holder) if holder.id == id => Ok(holder.confirmed),
        Some(_) => Err(Error::Conflict(format!("The {} '{key}' is taken. Choose another.", kind.as_str())).into()),
        None => Err(Error::NotFound(format!("The {} '{key}' is not claimed. Claim it first.", kind.as_str())).into()),
    }
}

fn append_audit<T: Tables>(tables: &mut T, batch: &Prepared, op: &Op) -> Result<(), T::Error> {
    let Op::Audit { actor, act, subjects, data } = op else { return Ok(()) };
    let first = Id::new(batch.shard, Kind::Audit, 1).as_u64();
    let (id, previous_hash) = tables.audit_head(batch.shard)?.map_or((first, String::new()), |(id, hash)| (id + 1, hash));
    let subjects = serde_json::to_string(subjects).map_err(|error| Error::Invalid(format!("The audit entry's subjects: {error}.")))?;
    let actor = actor.map(|actor| actor.as_u64());
    let (act, data) = (act.clone(), data.clone());
    let mut row = AuditRow { id, at: batch.at.0, actor, act, subjects, data, previous_hash, hash: String::new() };
    row.hash = row.compute_hash(&row.previous_hash);
    tables.insert_audit(row)
}

fn check_condition<T: Tables>(tables: &mut T, condition: &Condition) -> Result<(), T::Error> {
    let holds = match *condition {
        Condition::Active(id) => tables.object(id)?.is_some_and(|(_, active)| active),
        Condition::Version(id, wanted) => tables.object(id)?.is_some_and(|(version, _)| version == wanted),
        Condition::Mapped(assoc, from, to) => tables.edge(assoc, from, to)?.is_some(),
        Condition::NotMapped(assoc, from, to) => tables.edge(assoc, from, to)?.is_none(),
        Condition::CountBelow(assoc, from, limit) => tables.count(assoc, from)? < limit,
        Condition::CountIs(assoc, from, wanted) => tables.count(assoc, from)? == wanted,
    };
    if holds {
        return Ok(());
    }
    Err(Error::Conflict(format!("The condition {condition:?} does not hold; nothing was written. Read again and decide anew.")).into())
}

/// Returns the first answer if the key has been used for the same batch.
fn replay<T: Tables>(tables: &mut T, shard: Shard, idempotency: &Idempotency) -> Result<Option<Written>, T::Error> {
    let Some((batch_hash, answer)) = tables.answer(shard, &idempotency.key)? else { return Ok(None) };
    if batch_hash != idempotency.batch_hash {
        let message = format!("The idempotency key '{}' was used for another write. Use a new key for a new write.", idempotency.key);
        return Err(Error::Conflict(message).into());
    }
    let written: Written = serde_json::from_str(&answer).map_err(|error| {
        Error::Corrupt(format!("The answer kept for the idempotency key '{}' can't be read: {error}.", idempotency.key))
    })?;
    Ok(Some(Written { replayed: true, ..written }))
}
