//! The look at everything: what the file's own structure, the counts, the ids, the names and the audit chains say.

use model::{Assoc, Kind};
use sqlite::Result;
use sqlite::rusqlite::{Connection, params};

use super::read::decode_audit;
use crate::audit::ChainCheck;

/// Findings of one sort that are listed; the rest are counted. A broken disk would list millions.
const FINDINGS_MAX: usize = 20;

pub(super) fn check(connection: &Connection) -> Result<Vec<String>> {
    let mut findings = structure(connection)?;
    for assoc in Assoc::ALL {
        findings.extend(counts(connection, *assoc)?);
    }
    for kind in Kind::OBJECTS {
        findings.extend(objects(connection, kind)?);
    }
    findings.extend(audit(connection)?);
    Ok(findings)
}

/// Asks SQLite itself.
fn structure(connection: &Connection) -> Result<Vec<String>> {
    let lines = list(connection, &format!("PRAGMA quick_check({FINDINGS_MAX})"), |line: String| line)?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("The database file is damaged: {line}")).collect())
}

/// Compares the count of each id with its edges, both ways.
fn counts(connection: &Connection, assoc: Assoc) -> Result<Vec<String>> {
    let table = assoc.table();
    let sql = format!(
        "WITH edges AS (SELECT from_id, count(*) AS found FROM {table} GROUP BY from_id)
         SELECT from_id, found, coalesce((SELECT count FROM mapping_counts c WHERE c.from_id = edges.from_id AND c.assoc = ?1), 0) AS kept
         FROM edges WHERE found <> kept
         UNION ALL
         SELECT c.from_id, 0, c.count FROM mapping_counts c
         WHERE c.assoc = ?1 AND c.count <> 0 AND NOT EXISTS (SELECT 1 FROM {table} t WHERE t.from_id = c.from_id)
         LIMIT {FINDINGS_MAX}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![table])?;
    let mut findings = Vec::new();
    while let Some(row) = found.next()? {
        let (id, edges, kept): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        findings.push(format!("{table} of {id} has {edges} edges, but its count says {kept}."));
    }
    Ok(findings)
}

/// Looks for ids of another kind, ids that were never reserved, and data that is no JSON.
fn objects(connection: &Connection, kind: Kind) -> Result<Vec<String>> {
    let (table, number) = (kind.table(), kind as u16);
    let foreign = format!("SELECT id FROM {table} WHERE (id >> 36) & 1023 <> {number} LIMIT {FINDINGS_MAX}");
    let mut findings = list(connection, &foreign, |id: i64| format!("{table} holds {id}, which is the id of another kind."))?;
    let unreserved = format!(
        "SELECT last FROM (SELECT id >> 46 AS shard, max(id) AS last FROM {table} GROUP BY 1)
         WHERE (last & 68719476735) >= coalesce((SELECT next FROM sequences WHERE slot = (shard << 10 | {number})), 0) LIMIT {FINDINGS_MAX}"
    );
    findings.extend(list(connection, &unreserved, |id: i64| {
        format!("{table} holds {id}, which was never handed out: a new object may get it again.")
    })?);
    let broken = format!("SELECT id FROM {table} WHERE NOT json_valid(data) LIMIT {FINDINGS_MAX}");
    findings.extend(list(connection, &broken, |id: i64| format!("{table} holds {id} with data that is no JSON."))?);
    Ok(findings)
}

/// Walks the chains of all shards.
fn audit(connection: &Connection) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT id, at, actor, act, subjects, data, previous_hash, hash FROM audit ORDER BY id")?;
    let mut found = statement.query([])?;
    let (mut chain, mut findings) = (ChainCheck::default(), Vec::new());
    while let Some(row) = found.next()? {
        findings.extend(chain.next(&decode_audit(row)?).err());
        if findings.len() == FINDINGS_MAX {
            break;
        }
    }
    Ok(findings)
}

fn list<T: sqlite::rusqlite::types::FromSql>(connection: &Connection, sql: &str, say: impl Fn(T) -> String) -> Result<Vec<String>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        lines.push(say(row.get(0)?));
    }
    Ok(lines)
}
