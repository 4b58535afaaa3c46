//! Look-ups and lists, each on one snapshot.

use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use sqlite::rusqlite::{self, CachedStatement, Connection, OptionalExtension, params};
use sqlite::{Error, Result};

use super::schema::{mapping_sql, object_sql};
use crate::audit::AuditRow;
use crate::engine::slots::{name_kind, name_slot, slots_of};
use crate::row::{Edge, Name, Order, Range, Row, StaleClaim};

pub(super) fn get(connection: &Connection, ids: &[Id]) -> Result<Vec<Option<Row>>> {
    // Nearly always all ids are of one kind: its statement is looked up once.
    let mut current: Option<(Kind, CachedStatement<'_>)> = None;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let statement = match &mut current {
            Some((kind, statement)) if *kind == id.kind() => statement,
            other => &mut other.insert((id.kind(), connection.prepare_cached(&object_sql(id.kind()).get)?)).1,
        };
        let mut found = statement.query([id.as_i64()])?;
        rows.push(found.next()?.map(decode_row).transpose()?);
    }
    Ok(rows)
}

pub(super) fn scan(connection: &Connection, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&object_sql(kind).scan)?;
    let mut found = statement.query(params![after.map_or(-1, Id::as_i64), limit as i64])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(decode_row(row)?);
    }
    Ok(rows)
}

pub(super) fn decode_row(row: &rusqlite::Row<'_>) -> Result<Row> {
    Ok(Row {
        id: decode_id(row.get(0)?)?,
        data: row.get(1)?,
        version: row.get::<_, i64>(2)? as u64,
        created_at: Timestamp(row.get(3)?),
        updated_at: Timestamp(row.get(4)?),
        active: row.get(5)?,
    })
}

pub(super) fn decode_id(number: i64) -> Result<Id> {
    Id::from_u64(number as u64).map_err(|error| Error::Corrupt(format!("A row holds {number} where an id should be: {error}.")))
}

pub(super) fn ranges(connection: &Connection, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
    let sql = mapping_sql(assoc);
    // Without a place to begin after: one that lies before everything.
    let (sql, first) = match range.order {
        Order::Descending => (&sql.descending, (i64::MAX, i64::MAX)),
        Order::Ascending => (&sql.ascending, (i64::MIN, -1)),
    };
    let (sequence, to) = range.after.map_or(first, |(sequence, to)| (sequence, to.as_i64()));
    let mut statement = connection.prepare_cached(sql)?;
    let mut lists = Vec::with_capacity(froms.len());
    for from in froms {
        let mut found = statement.query(params![from.as_i64(), sequence, to, range.limit as i64])?;
        let mut edges = Vec::new();
        while let Some(row) = found.next()? {
            edges.push(Edge { to: decode_id(row.get(0)?)?, sequence: row.get(1)? });
        }
        lists.push(edges);
    }
    Ok(lists)
}

pub(super) fn edges(connection: &Connection, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
    tos.iter().map(|to| edge(connection, assoc, from, *to)).collect()
}

/// Returns the sequence of an edge if it exists.
pub(super) fn edge(connection: &Connection, assoc: Assoc, from: Id, to: Id) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(&mapping_sql(assoc).edge)?;
    Ok(statement.query_row([from.as_i64(), to.as_i64()], |row| row.get(0)).optional()?)
}

pub(super) fn counts(connection: &Connection, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
    wanted.iter().map(|(assoc, from)| count(connection, *assoc, *from)).collect()
}

pub(super) fn count(connection: &Connection, assoc: Assoc, from: Id) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT count FROM mapping_counts WHERE from_id = ?1 AND assoc = ?2")?;
    let count = statement.query_row(params![from.as_i64(), assoc.table()], |row| row.get::<_, i64>(0)).optional()?;
    Ok(count.unwrap_or(0) as u64)
}

pub(super) fn name(connection: &Connection, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
    let mut statement =
        connection.prepare_cached("SELECT id, confirmed, claimed_at FROM names WHERE slot = ?1 AND kind = ?2 AND key = ?3")?;
    let mut found = statement.query(params![name_slot(shard, kind, key), kind.as_str(), key])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(Name { id: decode_id(row.get(0)?)?, confirmed: row.get(1)?, claimed_at: Timestamp(row.get(2)?) }))
}

pub(super) fn names_of(connection: &Connection, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
    let mut statement = connection
        .prepare_cached("SELECT key, id FROM names WHERE slot BETWEEN ?1 AND ?2 AND kind = ?3 AND key > ?4 AND key < ?5 LIMIT ?6")?;
    let (first, last) = slots_of(owner.shard());
    // '0' is what comes after '/'.
    let mut found = statement.query(params![first, last, kind.as_str(), format!("{owner}/"), format!("{owner}0"), limit as i64])?;
    let mut names = Vec::new();
    while let Some(row) = found.next()? {
        names.push((row.get(0)?, decode_id(row.get(1)?)?));
    }
    Ok(names)
}

pub(super) fn stale_claims(
    connection: &Connection,
    before: Timestamp,
    after: Option<&StaleClaim>,
    limit: usize,
) -> Result<Vec<StaleClaim>> {
    let mut statement = connection.prepare_cached(
        "SELECT kind, key, id FROM names WHERE confirmed = 0 AND claimed_at < ?1 AND (slot, kind, key) > (?2, ?3, ?4) \
         ORDER BY slot, kind, key LIMIT ?5",
    )?;
    let (slot, kind, key) = after.map_or((-1, "", ""), |claim| {
        (name_slot(crate::name_shard(claim.kind, &claim.key), claim.kind, &claim.key), claim.kind.as_str(), &claim.key)
    });
    let mut found = statement.query(params![before.0, slot, kind, key, limit as i64])?;
    let mut claims = Vec::new();
    while let Some(row) = found.next()? {
        let kind: String = row.get(0)?;
        let kind = name_kind(&kind).ok_or_else(|| Error::Corrupt(format!("A name is of the unknown kind '{kind}'.")))?;
        claims.push(StaleClaim { kind, key: row.get(1)?, id: decode_id(row.get(2)?)? });
    }
    Ok(claims)
}

pub(super) fn outbox(connection: &Connection, limit: usize) -> Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare_cached("SELECT position, event FROM outbox ORDER BY position LIMIT ?1")?;
    let rows = statement.query_map([limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn outbox_count(connection: &Connection) -> Result<u64> {
    Ok(connection.prepare_cached("SELECT count(*) FROM outbox")?.query_row([], |row| row.get::<_, i64>(0))? as u64)
}

pub(super) fn audit_log(connection: &Connection, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
    let local_max = (1 << 36) - 1;
    let mut statement = connection.prepare_cached(
        "SELECT id, at, actor, act, subjects, data, previous_hash, hash FROM audit WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
    )?;
    let after = Id::new(shard, Kind::Audit, after.min(local_max));
    let last = Id::new(shard, Kind::Audit, local_max);
    let rows = statement.query_map(params![after.as_i64(), last.as_i64(), limit as i64], decode_audit)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn audit_recent(connection: &Connection, limit: usize) -> Result<Vec<AuditRow>> {
    let mut statement = connection
        .prepare_cached("SELECT id, at, actor, act, subjects, data, previous_hash, hash FROM audit ORDER BY at DESC, id DESC LIMIT ?1")?;
    let rows = statement.query_map([limit as i64], decode_audit)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn decode_audit(row: &rusqlite::Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        id: row.get::<_, i64>(0)? as u64,
        at: row.get(1)?,
        actor: row.get::<_, Option<i64>>(2)?.map(|actor| actor as u64),
        act: row.get(3)?,
        subjects: row.get(4)?,
        data: row.get(5)?,
        previous_hash: row.get(6)?,
        hash: row.get(7)?,
    })
}

/// Counts the rows of every table. Edges are summed from their counts, which is one short table instead of many long ones.
pub(super) fn table_rows(connection: &Connection) -> Result<Vec<(String, u64)>> {
    let mut tables = Vec::new();
    let fixed = ["names", "outbox", "audit", "idempotency"];
    for table in Kind::OBJECTS.iter().map(|kind| kind.table()).chain(fixed) {
        let rows: i64 = connection.prepare_cached(&format!("SELECT count(*) FROM {table}"))?.query_row([], |row| row.get(0))?;
        tables.push((table.to_owned(), rows as u64));
    }
    let mut statement = connection.prepare_cached("SELECT assoc, sum(count) FROM mapping_counts GROUP BY assoc ORDER BY assoc")?;
    let sums = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)? as u64)))?;
    tables.extend(sums.collect::<rusqlite::Result<Vec<_>>>()?);
    Ok(tables)
}
