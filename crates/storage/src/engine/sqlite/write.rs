//! What a batch does, inside its savepoint of the group's transaction. An error undoes all of it.

use model::{Id, Kind, NameKind, Shard, Timestamp};
use sqlite::rusqlite::{Connection, OptionalExtension, params};
use sqlite::{Error, Result};

use super::read::{count, edge, name};
use super::schema::{key_slot, mapping_sql, name_slot, object_sql, sequence_slot};
use crate::audit::AuditRow;
use crate::batch::{Condition, Written};
use crate::engine::{Idempotency, Op, Prepared};

/// Reserves ids and returns the first.
pub(super) fn reserve(connection: &Connection, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO sequences (slot, next) VALUES (?1, 1 + ?2) ON CONFLICT DO UPDATE SET next = next + ?2 RETURNING next - ?2",
    )?;
    let first: i64 = statement.query_row(params![sequence_slot(shard, kind), count as i64], |row| row.get(0))?;
    Ok(first as u64)
}

/// Writes a batch: replay or conditions first, then each operation in order.
pub(super) fn apply(connection: &Connection, batch: &Prepared) -> Result<Written> {
    if let Some(idempotency) = &batch.idempotency
        && let Some(answer) = replay(connection, batch.shard, idempotency)?
    {
        return Ok(answer);
    }
    for condition in &batch.conditions {
        check_condition(connection, condition)?;
    }
    let mut written = Written { changed: Vec::with_capacity(batch.ops.len()), ..Written::default() };
    for op in &batch.ops {
        let changed = apply_op(connection, batch, op, &mut written.versions)?;
        written.changed.push(changed);
    }
    if let Some(idempotency) = &batch.idempotency {
        remember(connection, batch, idempotency, &written)?;
    }
    Ok(written)
}

fn apply_op(connection: &Connection, batch: &Prepared, op: &Op, versions: &mut Vec<(Id, u64)>) -> Result<bool> {
    let at = batch.at;
    let version = match op {
        Op::Create { id, data } => Some((*id, create(connection, *id, data, at)?)),
        Op::Update { id, expected_version, data } => Some((*id, update(connection, *id, *expected_version, data, at)?)),
        Op::Delete { id } => set_active(connection, *id, false, at)?.map(|version| (*id, version)),
        Op::Restore { id } => restore(connection, *id, at)?.map(|version| (*id, version)),
        Op::Purge { id } => purge(connection, *id)?.map(|version| (*id, version)),
        Op::Map { assoc, from, to, sequence } => {
            let added = connection.prepare_cached(&mapping_sql(*assoc).map)?.execute(params![from.as_i64(), to.as_i64(), sequence])?;
            return counted(connection, assoc.table(), *from, added == 1, 1);
        }
        Op::Remap { assoc, from, to, sequence } => {
            let sql = mapping_sql(*assoc);
            let edge = params![from.as_i64(), to.as_i64(), sequence];
            let added = connection.prepare_cached(&sql.map)?.execute(edge)? == 1;
            let moved = !added && connection.prepare_cached(&sql.remap)?.execute(edge)? == 1;
            return Ok(counted(connection, assoc.table(), *from, added, 1)? || moved);
        }
        Op::Unmap { assoc, from, to } => {
            let removed = connection.prepare_cached(&mapping_sql(*assoc).unmap)?.execute(params![from.as_i64(), to.as_i64()])?;
            return counted(connection, assoc.table(), *from, removed == 1, -1);
        }
        Op::Claim { kind, key, id } => return claim(connection, batch, *kind, key, *id),
        Op::Confirm { kind, key, id } => return confirm(connection, batch.shard, *kind, key, *id),
        Op::Release { kind, key, id, unconfirmed_only } => {
            let mut statement = connection
                .prepare_cached("DELETE FROM names WHERE slot = ?1 AND kind = ?2 AND key = ?3 AND id = ?4 AND confirmed <= ?5")?;
            let slot = name_slot(batch.shard, *kind, key);
            return Ok(statement.execute(params![slot, kind.as_str(), key, id.as_i64(), !unconfirmed_only])? == 1);
        }
        Op::Emit { event, json } => {
            connection.prepare_cached("INSERT INTO outbox (id, event) VALUES (?1, ?2)")?.execute(params![event.id, json])?;
            return Ok(true);
        }
        Op::Audit { .. } => return append_audit(connection, batch, op),
    };
    versions.extend(version);
    Ok(version.is_some())
}

fn create(connection: &Connection, id: Id, data: &str, at: Timestamp) -> Result<u64> {
    let created = connection.prepare_cached(&object_sql(id.kind()).create)?.execute(params![id.as_i64(), data, at.0])?;
    if created == 0 {
        return Err(Error::Conflict(format!("{id:?} exists already. Take a new id; ids are never used twice.")));
    }
    Ok(1)
}

fn update(connection: &Connection, id: Id, expected_version: u64, data: &str, at: Timestamp) -> Result<u64> {
    match state(connection, id)? {
        None => Err(Error::NotFound(format!("{id:?} is not there; it never was or has been purged."))),
        Some((_, false)) => Err(Error::NotFound(format!("{id:?} is deleted. Restore it before changing it."))),
        Some((version, true)) if version != expected_version => Err(Error::Conflict(format!(
            "{id:?} has version {version}, not {expected_version}: somebody changed it meanwhile. Read it again and repeat the change."
        ))),
        Some((version, true)) => {
            connection.prepare_cached(&object_sql(id.kind()).update)?.execute(params![id.as_i64(), data, at.0])?;
            Ok(version + 1)
        }
    }
}

/// Returns the new version if the state changed.
fn set_active(connection: &Connection, id: Id, active: bool, at: Timestamp) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached(&object_sql(id.kind()).set_active)?;
    let version = statement.query_row(params![id.as_i64(), active, at.0], |row| row.get::<_, i64>(0)).optional()?;
    Ok(version.map(|version| version as u64))
}

fn restore(connection: &Connection, id: Id, at: Timestamp) -> Result<Option<u64>> {
    if state(connection, id)?.is_none() {
        return Err(Error::NotFound(format!("{id:?} can't be restored: it never was or has been purged.")));
    }
    set_active(connection, id, true, at)
}

/// Returns one past the last version if there was a row.
fn purge(connection: &Connection, id: Id) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached(&object_sql(id.kind()).purge)?;
    let version = statement.query_row([id.as_i64()], |row| row.get::<_, i64>(0)).optional()?;
    Ok(version.map(|version| version as u64 + 1))
}

fn state(connection: &Connection, id: Id) -> Result<Option<(u64, bool)>> {
    let mut statement = connection.prepare_cached(&object_sql(id.kind()).state)?;
    Ok(statement.query_row([id.as_i64()], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).optional()?)
}

/// Keeps the count of an association in step with its edges. Passes `changed` on.
fn counted(connection: &Connection, assoc: &str, from: Id, changed: bool, by: i64) -> Result<bool> {
    if changed {
        let mut statement = connection.prepare_cached(
            "INSERT INTO mapping_counts (from_id, assoc, count) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + ?3",
        )?;
        statement.execute(params![from.as_i64(), assoc, by])?;
    }
    Ok(changed)
}

fn claim(connection: &Connection, batch: &Prepared, kind: NameKind, key: &str, id: Id) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO names (slot, kind, key, id, confirmed, claimed_at) VALUES (?1, ?2, ?3, ?4, 0, ?5) ON CONFLICT DO NOTHING",
    )?;
    let slot = name_slot(batch.shard, kind, key);
    if statement.execute(params![slot, kind.as_str(), key, id.as_i64(), batch.at.0])? == 1 {
        return Ok(true);
    }
    check_holder(connection, batch.shard, kind, key, id)?;
    Ok(false)
}

fn confirm(connection: &Connection, shard: Shard, kind: NameKind, key: &str, id: Id) -> Result<bool> {
    if check_holder(connection, shard, kind, key, id)? {
        return Ok(false);
    }
    let mut statement = connection.prepare_cached("UPDATE names SET confirmed = 1 WHERE slot = ?1 AND kind = ?2 AND key = ?3")?;
    statement.execute(params![name_slot(shard, kind, key), kind.as_str(), key])?;
    Ok(true)
}

/// Refuses unless `id` holds the name; tells whether it is confirmed.
fn check_holder(connection: &Connection, shard: Shard, kind: NameKind, key: &str, id: Id) -> Result<bool> {
    match name(connection, shard, kind, key)? {
        Some(holder) if holder.id == id => Ok(holder.confirmed),
        Some(_) => Err(Error::Conflict(format!("The {} '{key}' is taken. Choose another.", kind.as_str()))),
        None => Err(Error::NotFound(format!("The {} '{key}' is not claimed. Claim it first.", kind.as_str()))),
    }
}

fn append_audit(connection: &Connection, batch: &Prepared, op: &Op) -> Result<bool> {
    let Op::Audit { actor, act, subjects, data } = op else { return Ok(false) };
    let (first, last) = (Id::new(batch.shard, Kind::Audit, 0), Id::new(batch.shard, Kind::Audit, (1 << 36) - 1));
    let mut newest = connection.prepare_cached("SELECT id, hash FROM audit WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?;
    let before =
        newest.query_row([first.as_i64(), last.as_i64()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).optional()?;
    let (id, previous_hash) = before.map_or_else(|| (first.as_i64() + 1, String::new()), |(id, hash)| (id + 1, hash));
    let subjects = serde_json::to_string(subjects).map_err(|error| Error::Invalid(format!("The audit entry's subjects: {error}.")))?;
    let actor = actor.map(|actor| actor.as_u64());
    let mut row = AuditRow {
        id: id as u64,
        at: batch.at.0,
        actor,
        act: act.clone(),
        subjects,
        data: data.clone(),
        previous_hash,
        hash: String::new(),
    };
    row.hash = row.compute_hash(&row.previous_hash);
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit (id, at, actor, act, subjects, data, previous_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let actor = row.actor.map(|actor| actor as i64);
    insert.execute(params![id, row.at, actor, row.act, row.subjects, row.data, row.previous_hash, row.hash])?;
    Ok(true)
}

fn check_condition(connection: &Connection, condition: &Condition) -> Result<()> {
    let holds = match *condition {
        Condition::Active(id) => state(connection, id)?.is_some_and(|(_, active)| active),
        Condition::Version(id, wanted) => state(connection, id)?.is_some_and(|(version, _)| version == wanted),
        Condition::Mapped(assoc, from, to) => edge(connection, assoc, from, to)?.is_some(),
        Condition::NotMapped(assoc, from, to) => edge(connection, assoc, from, to)?.is_none(),
        Condition::CountBelow(assoc, from, limit) => count(connection, assoc, from)? < limit,
        Condition::CountIs(assoc, from, wanted) => count(connection, assoc, from)? == wanted,
    };
    if holds {
        return Ok(());
    }
    Err(Error::Conflict(format!("The condition {condition:?} does not hold; nothing was written. Read again and decide anew.")))
}

/// Returns the first answer if the key has been used for the same batch.
fn replay(connection: &Connection, shard: Shard, idempotency: &Idempotency) -> Result<Option<Written>> {
    let mut statement = connection.prepare_cached("SELECT batch_hash, answer FROM idempotency WHERE slot = ?1 AND key = ?2")?;
    let known = statement
        .query_row(params![key_slot(shard, &idempotency.key), idempotency.key], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    let Some((batch_hash, answer)) = known else { return Ok(None) };
    if batch_hash != idempotency.batch_hash {
        return Err(Error::Conflict(format!(
            "The idempotency key '{}' was used for another write. Use a new key for a new write.",
            idempotency.key
        )));
    }
    let written: Written = serde_json::from_str(&answer).map_err(|error| {
        Error::Corrupt(format!("The answer kept for the idempotency key '{}' can't be read: {error}.", idempotency.key))
    })?;
    Ok(Some(Written { replayed: true, ..written }))
}

fn remember(connection: &Connection, batch: &Prepared, idempotency: &Idempotency, written: &Written) -> Result<()> {
    let answer = serde_json::to_string(written).map_err(|error| Error::Invalid(format!("The answer can't be kept: {error}.")))?;
    let mut statement =
        connection.prepare_cached("INSERT INTO idempotency (slot, key, batch_hash, answer, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let slot = key_slot(batch.shard, &idempotency.key);
    statement.execute(params![slot, idempotency.key, idempotency.batch_hash, answer, batch.at.0])?;
    Ok(())
}

pub(super) fn outbox_forget(connection: &Connection, positions: &[i64]) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE position = ?1")?;
    positions.iter().try_for_each(|position| statement.execute([position]).map(drop))?;
    Ok(())
}

pub(super) fn sweep_idempotency(connection: &Connection, before: Timestamp) -> Result<u64> {
    let removed = connection.prepare_cached("DELETE FROM idempotency WHERE created_at < ?1")?.execute([before.0])?;
    Ok(removed as u64)
}
