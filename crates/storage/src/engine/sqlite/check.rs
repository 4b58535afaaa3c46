//! The look at everything: what the file's own structure, the counts, the ids, the names and the audit chains say.

use model::{Assoc, Kind};
use sqlite::Result;
use sqlite::rusqlite::{Connection, params};

use super::read::decode_audit;
use crate::audit::ChainCheck;
use crate::engine::inspection::ShardRange;
use crate::verify::{Finding, advice};

/// Looks at a range of shards. At most `limit` findings of one sort are listed: a broken disk would list millions.
pub(super) fn examine(connection: &Connection, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let mut findings = structure(connection, limit)?;
    for assoc in Assoc::ALL {
        findings.extend(counts(connection, *assoc, shards, limit)?);
    }
    for kind in Kind::OBJECTS {
        findings.extend(objects(connection, kind, shards, limit)?);
    }
    findings.extend(audit(connection, shards, limit)?);
    Ok(findings)
}

/// Asks SQLite itself.
fn structure(connection: &Connection, limit: usize) -> Result<Vec<Finding>> {
    let lines = list(connection, &format!("PRAGMA quick_check({limit})"), |line: String| line)?;
    let damaged = |line| Finding::error("the file", format!("The database file is damaged: {line}"), advice::RESTORE);
    Ok(lines.into_iter().filter(|line| line != "ok").map(damaged).collect())
}

/// Compares the count of each id with its edges, both ways.
fn counts(connection: &Connection, assoc: Assoc, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let (table, (low, high)) = (assoc.table(), shards.numbers());
    let sql = format!(
        "WITH edges AS (SELECT from_id, count(*) AS found FROM {table} WHERE from_id BETWEEN ?2 AND ?3 GROUP BY from_id)
         SELECT from_id, found, coalesce((SELECT count FROM mapping_counts c WHERE c.from_id = edges.from_id AND c.assoc = ?1), 0) AS kept
         FROM edges WHERE found <> kept
         UNION ALL
         SELECT c.from_id, 0, c.count FROM mapping_counts c
         WHERE c.from_id BETWEEN ?2 AND ?3 AND c.assoc = ?1 AND c.count <> 0
         AND NOT EXISTS (SELECT 1 FROM {table} t WHERE t.from_id = c.from_id)
         LIMIT {limit}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![table, low, high])?;
    let mut findings = Vec::new();
    while let Some(row) = found.next()? {
        let (from, edges, kept): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        findings.push(Finding::wrong_count(assoc, from, edges, kept));
    }
    Ok(findings)
}

/// Looks for ids of another kind, ids that were never reserved, and data that is no JSON.
fn objects(connection: &Connection, kind: Kind, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let (table, number, (low, high)) = (kind.table(), kind as u16, shards.numbers());
    let foreign = format!("SELECT id FROM {table} WHERE id BETWEEN {low} AND {high} AND (id >> 36) & 1023 <> {number} LIMIT {limit}");
    let mut findings = list(connection, &foreign, |id: i64| {
        Finding::error(table, format!("{table} holds {id}, which is the id of another kind."), advice::RESTORE)
    })?;
    let unreserved = format!(
        "SELECT last FROM (SELECT id >> 46 AS shard, max(id) AS last FROM {table} WHERE id BETWEEN {low} AND {high} GROUP BY 1)
         WHERE (last & 68719476735) >= coalesce((SELECT next FROM sequences WHERE slot = (shard << 10 | {number})), 0) LIMIT {limit}"
    );
    findings.extend(list(connection, &unreserved, |id: i64| {
        let what = format!("{table} holds {id}, which was never handed out: a new object may get it again.");
        Finding::error(table, what, advice::SEQUENCE)
    })?);
    let broken = format!("SELECT id FROM {table} WHERE id BETWEEN {low} AND {high} AND NOT json_valid(data) LIMIT {limit}");
    findings.extend(list(connection, &broken, |id: i64| {
        Finding::error(table, format!("{table} holds {id} with data that is no JSON."), advice::RESTORE)
    })?);
    Ok(findings)
}

/// Walks the chains of a range of shards.
fn audit(connection: &Connection, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, at, actor, act, subjects, data, previous_hash, hash FROM audit WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let (low, high) = shards.numbers();
    let mut found = statement.query([low, high])?;
    let (mut chain, mut findings) = (ChainCheck::default(), Vec::new());
    while let Some(row) = found.next()? {
        let broken = chain.next(&decode_audit(row)?).err();
        findings.extend(broken.map(|line| Finding::error("audit", line, advice::AUDIT)));
        if findings.len() >= limit {
            break;
        }
    }
    Ok(findings)
}

fn list<T: sqlite::rusqlite::types::FromSql, F>(connection: &Connection, sql: &str, say: impl Fn(T) -> F) -> Result<Vec<F>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        lines.push(say(row.get(0)?));
    }
    Ok(lines)
}
