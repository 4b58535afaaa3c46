//! The rows of a batch, inside its savepoint of the group's transaction. An error undoes all of it.

use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use sqlite::rusqlite::{Connection, OptionalExtension, params};
use sqlite::{Error, Result};

use super::migration::check_stays;
use super::read;
use super::schema::{mapping_sql, object_sql};
use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::apply::{self, Tables};
use crate::engine::slots::{key_slot, name_slot, sequence_slot};
use crate::engine::{Idempotency, Prepared};
use crate::row::Name;

/// Reserves ids and returns the first.
pub(super) fn reserve(connection: &Connection, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
    check_stays(connection)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO sequences (slot, next) VALUES (?1, 1 + ?2) ON CONFLICT DO UPDATE SET next = next + ?2 RETURNING next - ?2",
    )?;
    let first: i64 = statement.query_row(params![sequence_slot(shard, kind), count as i64], |row| row.get(0))?;
    Ok(first as u64)
}

/// Writes a batch.
pub(super) fn apply(connection: &Connection, batch: &Prepared) -> Result<Written> {
    check_stays(connection)?;
    apply::apply(&mut Rows(connection), batch)
}

struct Rows<'a>(&'a Connection);

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Error {
        match error {
            crate::Error::Invalid(message) => Error::Invalid(message),
            crate::Error::Conflict(message) => Error::Conflict(message),
            crate::Error::NotFound(message) => Error::NotFound(message),
            crate::Error::Unavailable(message) => Error::Unavailable(message),
            crate::Error::Unknown(message) => Error::Unknown(message),
            crate::Error::Corrupt(message) => Error::Corrupt(message),
        }
    }
}

impl Rows<'_> {
    /// Keeps the count of an association in step with its edges. Passes `changed` on.
    fn counted(&self, assoc: Assoc, from: Id, changed: bool, by: i64) -> Result<bool> {
        if changed {
            let mut statement = self.0.prepare_cached(
                "INSERT INTO mapping_counts (from_id, assoc, count) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + ?3",
            )?;
            statement.execute(params![from.as_i64(), assoc.table(), by])?;
        }
        Ok(changed)
    }
}

impl Tables for Rows<'_> {
    type Error = Error;

    fn insert_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<bool> {
        Ok(self.0.prepare_cached(&object_sql(id.kind()).create)?.execute(params![id.as_i64(), data, at.0])? == 1)
    }

    fn object(&mut self, id: Id) -> Result<Option<(u64, bool)>> {
        let mut statement = self.0.prepare_cached(&object_sql(id.kind()).state)?;
        Ok(statement.query_row([id.as_i64()], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).optional()?)
    }

    fn replace_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<()> {
        self.0.prepare_cached(&object_sql(id.kind()).update)?.execute(params![id.as_i64(), data, at.0])?;
        Ok(())
    }

    fn set_active(&mut self, id: Id, active: bool, at: Timestamp) -> Result<Option<u64>> {
        let mut statement = self.0.prepare_cached(&object_sql(id.kind()).set_active)?;
        let version = statement.query_row(params![id.as_i64(), active, at.0], |row| row.get::<_, i64>(0)).optional()?;
        Ok(version.map(|version| version as u64))
    }

    fn remove_object(&mut self, id: Id) -> Result<Option<u64>> {
        let mut statement = self.0.prepare_cached(&object_sql(id.kind()).purge)?;
        let version = statement.query_row([id.as_i64()], |row| row.get::<_, i64>(0)).optional()?;
        Ok(version.map(|version| version as u64))
    }

    fn edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<Option<i64>> {
        read::edge(self.0, assoc, from, to)
    }

    fn insert_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool> {
        let added = self.0.prepare_cached(&mapping_sql(assoc).map)?.execute(params![from.as_i64(), to.as_i64(), sequence])?;
        self.counted(assoc, from, added == 1, 1)
    }

    fn move_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool> {
        Ok(self.0.prepare_cached(&mapping_sql(assoc).remap)?.execute(params![from.as_i64(), to.as_i64(), sequence])? == 1)
    }

    fn remove_edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<bool> {
        let removed = self.0.prepare_cached(&mapping_sql(assoc).unmap)?.execute(params![from.as_i64(), to.as_i64()])?;
        self.counted(assoc, from, removed == 1, -1)
    }

    fn count(&mut self, assoc: Assoc, from: Id) -> Result<u64> {
        read::count(self.0, assoc, from)
    }

    fn name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        read::name(self.0, shard, kind, key)
    }

    fn insert_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, at: Timestamp) -> Result<bool> {
        let mut statement = self.0.prepare_cached(
            "INSERT INTO names (slot, kind, key, id, confirmed, claimed_at) VALUES (?1, ?2, ?3, ?4, 0, ?5) ON CONFLICT DO NOTHING",
        )?;
        Ok(statement.execute(params![name_slot(shard, kind, key), kind.as_str(), key, id.as_i64(), at.0])? == 1)
    }

    fn confirm_name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<()> {
        let mut statement = self.0.prepare_cached("UPDATE names SET confirmed = 1 WHERE slot = ?1 AND kind = ?2 AND key = ?3")?;
        statement.execute(params![name_slot(shard, kind, key), kind.as_str(), key])?;
        Ok(())
    }

    fn remove_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, unconfirmed_only: bool) -> Result<bool> {
        let mut statement =
            self.0.prepare_cached("DELETE FROM names WHERE slot = ?1 AND kind = ?2 AND key = ?3 AND id = ?4 AND confirmed <= ?5")?;
        let slot = name_slot(shard, kind, key);
        Ok(statement.execute(params![slot, kind.as_str(), key, id.as_i64(), !unconfirmed_only])? == 1)
    }

    fn insert_event(&mut self, _: Shard, id: &str, json: &str) -> Result<()> {
        self.0.prepare_cached("INSERT INTO outbox (id, event) VALUES (?1, ?2)")?.execute(params![id, json])?;
        Ok(())
    }

    fn audit_head(&mut self, shard: Shard) -> Result<Option<(u64, String)>> {
        let (first, last) = (Id::new(shard, Kind::Audit, 0), Id::new(shard, Kind::Audit, (1 << 36) - 1));
        let mut newest = self.0.prepare_cached("SELECT id, hash FROM audit WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?;
        let decode = |row: &sqlite::rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?));
        Ok(newest.query_row([first.as_i64(), last.as_i64()], decode).optional()?)
    }

    fn insert_audit(&mut self, row: AuditRow) -> Result<()> {
        let mut insert = self.0.prepare_cached(
            "INSERT INTO audit (id, at, actor, act, subjects, data, previous_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let (id, actor) = (row.id as i64, row.actor.map(|actor| actor as i64));
        insert.execute(params![id, row.at, actor, row.act, row.subjects, row.data, row.previous_hash, row.hash])?;
        Ok(())
    }

    fn answer(&mut self, shard: Shard, key: &str) -> Result<Option<(String, String)>> {
        let mut statement = self.0.prepare_cached("SELECT batch_hash, answer FROM idempotency WHERE slot = ?1 AND key = ?2")?;
        Ok(statement.query_row(params![key_slot(shard, key), key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn insert_answer(&mut self, shard: Shard, key: &Idempotency, answer: &str, at: Timestamp) -> Result<()> {
        let mut statement =
            self.0.prepare_cached("INSERT INTO idempotency (slot, key, batch_hash, answer, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        statement.execute(params![key_slot(shard, &key.key), key.key, key.batch_hash, answer, at.0])?;
        Ok(())
    }
}

pub(super) fn outbox_forget(connection: &Connection, positions: &[i64]) -> Result<()> {
    check_stays(connection)?;
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE position = ?1")?;
    positions.iter().try_for_each(|position| statement.execute([position]).map(drop))?;
    Ok(())
}

pub(super) fn sweep_idempotency(connection: &Connection, before: Timestamp) -> Result<u64> {
    check_stays(connection)?;
    let removed = connection.prepare_cached("DELETE FROM idempotency WHERE created_at < ?1")?.execute([before.0])?;
    Ok(removed as u64)
}
