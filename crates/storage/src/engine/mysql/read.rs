//! Look-ups and lists on one server. Each is one round trip that ends with the question whether the server (still) has the shards that
//! were read: what it says of others is not believed.

use std::collections::BTreeMap;

use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use mysql::Row as Answer;

use super::lane::SERVER_NOW;
use crate::audit::AuditRow;
use crate::engine::slots::{name_kind, name_slot, slots_of};
use crate::error::{Error, Result};
use crate::row::{Edge, Name, Order, Range, Row, StaleClaim};

pub(super) const OBJECT_COLUMNS: &str = "id, data, version, created_at, updated_at, active";
pub(super) const AUDIT_COLUMNS: &str = "id, at, actor, act, subjects, data, previous_hash, hash";
/// States in which a server answers for a shard.
pub(super) const HELD: &str = "('owned','copying','frozen')";

pub(super) fn get_sql(ids: &[Id]) -> Vec<String> {
    let mut by_kind: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for id in ids {
        by_kind.entry(id.kind().table()).or_default().push(id.as_i64());
    }
    let select = |(table, ids): (&str, Vec<i64>)| format!("SELECT {OBJECT_COLUMNS} FROM {table} WHERE id IN ({})", mysql::list(ids));
    by_kind.into_iter().map(select).collect()
}

/// Reads one object and whether the primary answers for its shard, in one statement: a row of NULLs is an object that is not there, no
/// row a shard that is not here.
pub(super) fn get_one_sql(id: Id) -> String {
    format!(
        "SELECT p.id, p.data, p.version, p.created_at, p.updated_at, p.active FROM owned_shards o LEFT JOIN {} p ON p.id = {} \
         WHERE o.shard = {} AND o.state IN {HELD} AND {}",
        id.kind().table(),
        id.as_i64(),
        id.shard().0,
        leased()
    )
}

pub(super) fn decode_row(row: &Answer) -> Result<Row> {
    Ok(Row {
        id: decode_id(row.i64(0)?)?,
        data: row.string(1)?,
        version: row.u64(2)?,
        created_at: Timestamp(row.i64(3)?),
        updated_at: Timestamp(row.i64(4)?),
        active: row.bool(5)?,
    })
}

pub(super) fn decode_id(number: i64) -> Result<Id> {
    Id::from_u64(number as u64).map_err(|error| Error::Corrupt(format!("A row holds {number} where an id should be: {error}.")))
}

pub(super) fn range_sql(assoc: Assoc, from: Id, range: Range) -> String {
    let (comparison, order) = match range.order {
        Order::Descending => ('<', "sequence DESC, to_id DESC"),
        Order::Ascending => ('>', "sequence, to_id"),
    };
    let after = range.after.map_or(String::new(), |(sequence, to)| {
        let to = to.as_i64();
        format!(" AND (sequence {comparison} {sequence} OR (sequence = {sequence} AND to_id {comparison} {to}))")
    });
    format!(
        "SELECT to_id, sequence FROM {} FORCE INDEX (by_sequence) WHERE from_id = {}{after} ORDER BY {order} LIMIT {}",
        assoc.table(),
        from.as_i64(),
        range.limit
    )
}

pub(super) fn decode_edge(row: &Answer) -> Result<Edge> {
    Ok(Edge { to: decode_id(row.i64(0)?)?, sequence: row.i64(1)? })
}

pub(super) fn edges_sql(assoc: Assoc, from: Id, tos: &[Id]) -> String {
    let tos = mysql::list(tos.iter().map(|to| to.as_i64()));
    format!("SELECT to_id, sequence FROM {} WHERE from_id = {} AND to_id IN ({tos})", assoc.table(), from.as_i64())
}

pub(super) fn counts_sql(wanted: &[(Assoc, Id)]) -> String {
    let mut by_assoc: BTreeMap<Assoc, Vec<i64>> = BTreeMap::new();
    for (assoc, from) in wanted {
        by_assoc.entry(*assoc).or_default().push(from.as_i64());
    }
    let one = |(assoc, froms): (Assoc, Vec<i64>)| {
        format!(
            "SELECT from_id, assoc, count FROM mapping_counts WHERE from_id IN ({}) AND assoc = '{}'",
            mysql::list(froms),
            assoc.table()
        )
    };
    by_assoc.into_iter().map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

pub(super) fn name_sql(shard: Shard, kind: NameKind, key: &str) -> String {
    let mut sql = format!(
        "SELECT id, confirmed, claimed_at FROM names WHERE slot = {} AND kind = '{}' AND name_key = ",
        name_slot(shard, kind, key),
        kind.as_str()
    );
    mysql::quote(&mut sql, key);
    sql
}

pub(super) fn decode_name(row: &Answer) -> Result<Name> {
    Ok(Name { id: decode_id(row.i64(0)?)?, confirmed: row.bool(1)?, claimed_at: Timestamp(row.i64(2)?) })
}

pub(super) fn names_of_sql(owner: Id, kind: NameKind, limit: usize) -> String {
    let (first, last) = slots_of(owner.shard());
    // '0' is what comes after '/'.
    format!(
        "SELECT name_key, id FROM names WHERE slot BETWEEN {first} AND {last} AND kind = '{}' AND name_key > '{owner}/' \
         AND name_key < '{owner}0' LIMIT {limit}",
        kind.as_str()
    )
}

/// Keeps rows of shards that the server does not have out of lists over all shards.
pub(super) fn held(column: &str) -> String {
    format!("EXISTS (SELECT 1 FROM owned_shards o WHERE o.shard = {column} >> 46 AND o.state IN {HELD})")
}

pub(super) fn stale_claims_sql(before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> String {
    let mut sql =
        format!("SELECT slot, kind, name_key, id FROM names WHERE confirmed = 0 AND claimed_at < {} AND {}", before.0, held("slot"));
    if let Some(claim) = after {
        let slot = name_slot(crate::name_shard(claim.kind, &claim.key), claim.kind, &claim.key);
        let (mut key, kind) = (String::new(), claim.kind.as_str());
        mysql::quote(&mut key, &claim.key);
        sql += &format!(" AND (slot > {slot} OR (slot = {slot} AND (kind > '{kind}' OR (kind = '{kind}' AND name_key > {key}))))");
    }
    sql + &format!(" ORDER BY slot, kind, name_key LIMIT {limit}")
}

/// Returns a claim with its slot, by which lists of several servers are merged.
pub(super) fn decode_claim(row: &Answer) -> Result<(i64, StaleClaim)> {
    let kind = row.text(1)?;
    let kind = name_kind(kind).ok_or_else(|| Error::Corrupt(format!("A name is of the unknown kind '{kind}'.")))?;
    Ok((row.i64(0)?, StaleClaim { kind, key: row.string(2)?, id: decode_id(row.i64(3)?)? }))
}

pub(super) fn scan_sql(kind: Kind, after: Option<Id>, limit: usize) -> String {
    let after = after.map_or(-1, Id::as_i64);
    format!("SELECT {OBJECT_COLUMNS} FROM {} WHERE id > {after} AND {} ORDER BY id LIMIT {limit}", kind.table(), held("id"))
}

pub(super) fn audit_log_sql(shard: Shard, after: u64, limit: usize) -> String {
    let local_max = (1 << 36) - 1;
    let (after, last) = (Id::new(shard, Kind::Audit, after.min(local_max)), Id::new(shard, Kind::Audit, local_max));
    format!("SELECT {AUDIT_COLUMNS} FROM audit WHERE id > {} AND id <= {} ORDER BY id LIMIT {limit}", after.as_i64(), last.as_i64())
}

pub(super) fn audit_recent_sql(limit: usize) -> String {
    format!("SELECT {AUDIT_COLUMNS} FROM audit WHERE {} ORDER BY at DESC, id DESC LIMIT {limit}", held("id"))
}

pub(super) fn decode_audit(row: &Answer) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.u64(0)?,
        at: row.i64(1)?,
        actor: row.optional(2, Answer::u64)?,
        act: row.string(3)?,
        subjects: row.string(4)?,
        data: row.string(5)?,
        previous_hash: row.string(6)?,
        hash: row.string(7)?,
    })
}

/// Asks which of these shards the server answers for. A primary answers only under its lease: one that has been away may have been
/// replaced meanwhile, and would tell what was true before.
pub(super) fn held_sql(shards: &[Shard], is_primary: bool) -> String {
    let shards = mysql::list(shards.iter().map(|shard| shard.0));
    let leased = if is_primary { format!(" AND {}", leased()) } else { String::new() };
    format!("SELECT shard FROM owned_shards WHERE shard IN ({shards}) AND state IN {HELD}{leased}")
}

/// Asks how many shards the server answers for.
pub(super) fn held_count_sql(is_primary: bool) -> String {
    let leased = if is_primary { format!(" AND {}", leased()) } else { String::new() };
    format!("SELECT COUNT(*) FROM owned_shards WHERE state IN {HELD}{leased}")
}

/// Returns the condition that the server's lease is good.
pub(super) fn leased() -> String {
    format!("EXISTS (SELECT 1 FROM lease WHERE id = 1 AND until_ms > {SERVER_NOW})")
}
