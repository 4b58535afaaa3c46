//! The look at everything: what the counts, the ids, the data, the audit chains and the lists of shards say.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use model::{Assoc, Kind, Shard};
use mysql::{Credentials, Server};

use super::cluster::Topology;
use super::node::Node;
use super::read::{AUDIT_COLUMNS, decode_audit};
use super::shape::shapes;
use crate::audit::ChainCheck;
use crate::engine::inspection::ShardRange;
use crate::error::Result;
use crate::verify::{Finding, Repair, advice};

/// Audit entries read at once.
const AUDIT_PAGE: usize = 2_000;

/// How much is on the disk, and how many events wait.
pub(super) const SIZES_SQL: &str = "SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED), (SELECT COUNT(*) FROM outbox) \
     FROM information_schema.tables WHERE table_schema = DATABASE()";

/// Counts the rows of every table. Edges are summed from their counts, which is one short table instead of many long ones.
pub(super) fn table_rows_sql() -> String {
    let fixed = ["names", "outbox", "audit", "idempotency"];
    let count = |table: &str| format!("SELECT '{table}', COUNT(*) FROM {table}");
    let mut parts: Vec<String> = Kind::OBJECTS.iter().map(|kind| kind.table()).chain(fixed).map(count).collect();
    parts.push("SELECT assoc, CAST(SUM(count) AS UNSIGNED) FROM mapping_counts GROUP BY assoc".to_owned());
    parts.join(" UNION ALL ")
}

/// Looks at every server that has any of these shards, and at what others hold of them. At most `limit` findings of one sort are listed.
pub(super) async fn examine(topology: &Topology, credentials: &Credentials, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let nodes = topology.nodes.values().map(|node| examine_node(topology, node, credentials, shards, limit));
    let mut findings: Vec<Finding> = try_join_all(nodes).await?.into_iter().flatten().collect();
    findings.sort_by(|a, b| a.server.cmp(&b.server));
    Ok(findings)
}

async fn examine_node(
    topology: &Topology,
    node: &Node,
    credentials: &Credentials,
    shards: ShardRange,
    limit: usize,
) -> Result<Vec<Finding>> {
    let primary = node.patient_primary(credentials)?;
    let owned = owned(&primary).await?;
    let mut findings = rights(topology, node, &owned, shards, limit);
    for range in runs(shards, |shard| owned.get(&shard).is_some_and(Owned::is_held)) {
        findings.extend(counts(&primary, range, limit).await?);
        findings.extend(objects(&primary, range, limit).await?);
        findings.extend(audit(&primary, range, limit).await?);
    }
    findings.extend(strays(&primary, &owned, shards).await?);
    let name = Some(node.entry.name.clone());
    Ok(findings.into_iter().map(|finding| finding.on(name.clone())).collect())
}

/// What a server says of one shard.
struct Owned {
    epoch: u64,
    state: String,
    other: String,
}

impl Owned {
    fn is_held(&self) -> bool {
        matches!(self.state.as_str(), "owned" | "copying" | "frozen")
    }
}

async fn owned(primary: &Server) -> Result<BTreeMap<u16, Owned>> {
    let sets = primary.query("SELECT shard, epoch, state, other FROM owned_shards").await?;
    let decode = |row: &mysql::Row| Ok((row.u64(0)? as u16, Owned { epoch: row.u64(1)?, state: row.string(2)?, other: row.string(3)? }));
    sets.iter().flatten().map(decode).collect()
}

/// Lists the runs of shards of a range for which something holds.
fn runs(shards: ShardRange, holds: impl Fn(u16) -> bool) -> Vec<ShardRange> {
    let mut runs: Vec<ShardRange> = Vec::new();
    for Shard(shard) in shards.shards().filter(|shard| holds(shard.0)) {
        match runs.last_mut() {
            Some(run) if run.last + 1 == shard => run.last = shard,
            _ => runs.push(ShardRange { first: shard, last: shard }),
        }
    }
    runs
}

/// Compares the count of each id with its edges, both ways: all associations in one round trip.
async fn counts(primary: &Server, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let statements: Vec<String> = Assoc::ALL.iter().map(|assoc| counts_sql(*assoc, shards, limit)).collect();
    let mut findings = Vec::new();
    for (assoc, rows) in Assoc::ALL.iter().zip(primary.query(&statements.join(";")).await?) {
        for row in &rows {
            findings.push(Finding::wrong_count(*assoc, row.i64(0)?, row.i64(1)?, row.i64(2)?));
        }
    }
    Ok(findings)
}

fn counts_sql(assoc: Assoc, shards: ShardRange, limit: usize) -> String {
    let (table, (low, high)) = (assoc.table(), shards.numbers());
    format!(
        "SELECT e.from_id, e.found, COALESCE(c.count, 0) \
         FROM (SELECT from_id, COUNT(*) AS found FROM {table} WHERE from_id BETWEEN {low} AND {high} GROUP BY from_id) e \
         LEFT JOIN mapping_counts c ON c.from_id = e.from_id AND c.assoc = '{table}' WHERE e.found <> COALESCE(c.count, 0) \
         UNION ALL \
         SELECT c.from_id, 0, c.count FROM mapping_counts c WHERE c.from_id BETWEEN {low} AND {high} AND c.assoc = '{table}' \
         AND c.count <> 0 AND NOT EXISTS (SELECT 1 FROM {table} t WHERE t.from_id = c.from_id) LIMIT {limit}"
    )
}

/// Looks at the rows of all kinds in one round trip.
async fn objects(primary: &Server, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let looks: Vec<(Kind, String, &'static str)> =
        Kind::OBJECTS.iter().flat_map(|kind| objects_sql(*kind, shards, limit).map(|(sql, advice)| (*kind, sql, advice))).collect();
    let sql: Vec<&str> = looks.iter().map(|(_, sql, _)| sql.as_str()).collect();
    let mut findings = Vec::new();
    for ((kind, _, advice), rows) in looks.iter().zip(primary.query(&sql.join(";")).await?) {
        for row in &rows {
            findings.push(Finding::error(kind.table(), row.string(0)?, advice));
        }
    }
    Ok(findings)
}

/// Looks for ids of another kind, ids that were never reserved, and data that is no JSON. Each comes with what to do.
fn objects_sql(kind: Kind, shards: ShardRange, limit: usize) -> [(String, &'static str); 3] {
    let (table, number, (low, high)) = (kind.table(), kind as u16, shards.numbers());
    [
        (
            format!(
                "SELECT CONCAT('{table} holds ', id, ', which is the id of another kind.') FROM {table} \
                 WHERE id BETWEEN {low} AND {high} AND (id >> 36) & 1023 <> {number} LIMIT {limit}"
            ),
            advice::RESTORE,
        ),
        (
            format!(
                "SELECT CONCAT('{table} holds ', last, ', which was never handed out: a new object may get it again.') \
                 FROM (SELECT id >> 46 AS shard, MAX(id) AS last FROM {table} WHERE id BETWEEN {low} AND {high} GROUP BY id >> 46) l \
                 LEFT JOIN sequences s ON s.slot = (l.shard << 10 | {number}) WHERE (last & 68719476735) >= COALESCE(s.next, 0) LIMIT {limit}"
            ),
            advice::SEQUENCE,
        ),
        (
            format!(
                "SELECT CONCAT('{table} holds ', id, ' with data that is no JSON.') FROM {table} \
                 WHERE id BETWEEN {low} AND {high} AND NOT JSON_VALID(data) LIMIT {limit}"
            ),
            advice::RESTORE,
        ),
    ]
}

/// Compares the server's own list of shards with the map. Every server is held against the whole map, so that a shard that two servers
/// claim, or none, shows.
fn rights(topology: &Topology, node: &Node, owned: &BTreeMap<u16, Owned>, shards: ShardRange, limit: usize) -> Vec<Finding> {
    let mut lines = Vec::new();
    for Shard(shard) in shards.shards() {
        let mapped = topology.map.range_of(Shard(shard)).filter(|range| range.server == node.entry.name).map(|range| range.epoch);
        let held = owned.get(&shard).filter(|owned| owned.is_held()).map(|owned| owned.epoch);
        match (mapped, held) {
            (Some(wanted), Some(epoch)) if wanted != epoch => {
                lines.push(format!("It has shard {shard} since epoch {epoch}; the map says {wanted}."));
            }
            (Some(_), None) => lines.push(format!("The map gives it shard {shard}, which it does not have.")),
            (None, Some(_)) => lines.push(format!("It has shard {shard}, which the map gives to another server.")),
            _ => {}
        }
    }
    lines.truncate(limit);
    lines.into_iter().map(|line| Finding::error("owned_shards", line, advice::RIGHTS)).collect()
}

/// Looks for rows of shards that the server does not have. Only those rows are read: the shards that it has are skipped.
async fn strays(primary: &Server, owned: &BTreeMap<u16, Owned>, shards: ShardRange) -> Result<Vec<Finding>> {
    let mut found: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    // What arrives is a copy in the making: its move takes care of it.
    let is_away = |shard: u16| owned.get(&shard).is_none_or(|owned| owned.state == "moved");
    for range in runs(shards, is_away) {
        let count = |shape: &super::shape::Shape| {
            let (column, (low, high)) = (shape.columns[0], shape.bounds(range.first, range.last));
            let (table, shift) = (shape.name, shape.shift);
            format!(
                "SELECT {column} >> {shift}, '{table}', COUNT(*) FROM {table} WHERE {column} BETWEEN {low} AND {high} GROUP BY {column} >> {shift}"
            )
        };
        let sql = shapes().iter().map(count).collect::<Vec<_>>().join(" UNION ALL ");
        for row in primary.query(&sql).await?.iter().flatten() {
            found.entry(row.u64(0)? as u16).or_default().push(format!("{} in {}", row.u64(2)?, row.text(1)?));
        }
    }
    let finding = |(shard, tables): (u16, Vec<String>)| {
        let rows = tables.join(", ");
        match owned.get(&shard) {
            Some(owned) => Finding::warning(
                "owned_shards",
                format!("It still holds rows of shard {shard}, which has moved to {} at epoch {}: {rows}.", owned.other, owned.epoch),
                advice::LEFT_BEHIND,
            )
            .mended_by(Repair::DeleteStrays { shard }),
            None => {
                let what = format!("It holds rows of shard {shard}, which it never had: {rows}.");
                Finding::error("owned_shards", what, advice::STRAY)
            }
        }
    };
    Ok(found.into_iter().map(finding).collect())
}

/// Walks the chains of a range of shards.
async fn audit(server: &Server, shards: ShardRange, limit: usize) -> Result<Vec<Finding>> {
    let (mut chain, mut findings, (low, high)) = (ChainCheck::default(), Vec::new(), shards.numbers());
    let mut after = low - 1;
    while findings.len() < limit {
        let sql = format!("SELECT {AUDIT_COLUMNS} FROM audit WHERE id > {after} AND id <= {high} ORDER BY id LIMIT {AUDIT_PAGE}");
        let sets = server.query(&sql).await?;
        let rows = sets.first().map_or(&[][..], Vec::as_slice);
        for row in rows {
            let row = decode_audit(row)?;
            after = row.id as i64;
            findings.extend(chain.next(&row).err().map(|line| Finding::error("audit", line, advice::AUDIT)));
        }
        if rows.len() < AUDIT_PAGE {
            break;
        }
    }
    Ok(findings)
}
