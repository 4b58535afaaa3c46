//! The look at everything: what the counts, the ids, the names, the audit chains and the lists of shards say.

use futures_util::future::try_join_all;
use model::{Assoc, Kind};
use mysql::{Credentials, Server};

use super::cluster::Topology;
use super::node::Node;
use super::read::{AUDIT_COLUMNS, HELD, decode_audit};
use super::shape::shapes;
use crate::audit::ChainCheck;
use crate::error::Result;

/// Findings of one sort that are listed.
const FINDINGS_MAX: usize = 20;
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

pub(super) async fn check(topology: &Topology, credentials: &Credentials) -> Result<Vec<String>> {
    let nodes = topology.nodes.values().map(|node| check_node(topology, node, credentials));
    Ok(try_join_all(nodes).await?.into_iter().flatten().collect())
}

async fn check_node(topology: &Topology, node: &Node, credentials: &Credentials) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let primary = node.patient_primary(credentials)?;
    for assoc in Assoc::ALL {
        findings.extend(list(&primary, &counts_sql(*assoc)).await?);
    }
    for kind in Kind::OBJECTS {
        for sql in objects_sql(kind) {
            findings.extend(list(&primary, &sql).await?);
        }
    }
    for shape in shapes() {
        let (table, column, shift) = (shape.name, shape.columns[0], shape.shift);
        let sql = format!(
            "SELECT CONCAT('{table} holds rows of shard ', {column} >> {shift}, ', which this server does not have.') FROM {table} \
             WHERE NOT EXISTS (SELECT 1 FROM owned_shards o WHERE o.shard = {column} >> {shift}) LIMIT 1"
        );
        findings.extend(list(&primary, &sql).await?);
    }
    findings.extend(rights(topology, node).await?);
    findings.extend(audit(&primary).await?);
    Ok(findings.into_iter().map(|finding| format!("{}: {finding}", node.entry.name)).collect())
}

/// Compares the count of each id with its edges, both ways.
fn counts_sql(assoc: Assoc) -> String {
    let table = assoc.table();
    format!(
        "SELECT CONCAT('{table} of ', e.from_id, ' has ', e.found, ' edges, but its count says ', COALESCE(c.count, 0), '.') \
         FROM (SELECT from_id, COUNT(*) AS found FROM {table} GROUP BY from_id) e \
         LEFT JOIN mapping_counts c ON c.from_id = e.from_id AND c.assoc = '{table}' WHERE e.found <> COALESCE(c.count, 0) \
         UNION ALL \
         SELECT CONCAT('{table} of ', c.from_id, ' has 0 edges, but its count says ', c.count, '.') FROM mapping_counts c \
         WHERE c.assoc = '{table}' AND c.count <> 0 AND NOT EXISTS (SELECT 1 FROM {table} t WHERE t.from_id = c.from_id) LIMIT {FINDINGS_MAX}"
    )
}

/// Looks for ids of another kind, ids that were never reserved, and data that is no JSON.
fn objects_sql(kind: Kind) -> [String; 3] {
    let (table, number) = (kind.table(), kind as u16);
    [
        format!(
            "SELECT CONCAT('{table} holds ', id, ', which is the id of another kind.') FROM {table} WHERE (id >> 36) & 1023 <> {number} LIMIT {FINDINGS_MAX}"
        ),
        format!(
            "SELECT CONCAT('{table} holds ', last, ', which was never handed out: a new object may get it again.') \
             FROM (SELECT id >> 46 AS shard, MAX(id) AS last FROM {table} GROUP BY id >> 46) l \
             LEFT JOIN sequences s ON s.slot = (l.shard << 10 | {number}) WHERE (last & 68719476735) >= COALESCE(s.next, 0) LIMIT {FINDINGS_MAX}"
        ),
        format!(
            "SELECT CONCAT('{table} holds ', id, ' with data that is no JSON.') FROM {table} WHERE NOT JSON_VALID(data) LIMIT {FINDINGS_MAX}"
        ),
    ]
}

/// Compares the server's own list of shards with the map.
async fn rights(topology: &Topology, node: &Node) -> Result<Vec<String>> {
    let sets = node.primary.query(&format!("SELECT shard, epoch FROM owned_shards WHERE state IN {HELD} ORDER BY shard")).await?;
    let mut owned = std::collections::BTreeMap::new();
    for row in sets.iter().flatten() {
        owned.insert(row.u64(0)? as u16, row.u64(1)?);
    }
    let mut findings = Vec::new();
    for range in topology.map.ranges_of(&node.entry.name) {
        for shard in range.first..=range.last {
            match owned.remove(&shard) {
                Some(epoch) if epoch == range.epoch => {}
                Some(epoch) => findings.push(format!("It has shard {shard} since epoch {epoch}; the map says {}.", range.epoch)),
                None => findings.push(format!("The map gives it shard {shard}, which it does not have.")),
            }
        }
    }
    findings.extend(owned.keys().map(|shard| format!("It has shard {shard}, which the map gives to another server.")));
    findings.truncate(FINDINGS_MAX);
    Ok(findings)
}

/// Walks the chains of all shards.
async fn audit(server: &Server) -> Result<Vec<String>> {
    let (mut chain, mut findings, mut after) = (ChainCheck::default(), Vec::new(), -1);
    while findings.len() < FINDINGS_MAX {
        let sql = format!("SELECT {AUDIT_COLUMNS} FROM audit WHERE id > {after} ORDER BY id LIMIT {AUDIT_PAGE}");
        let sets = server.query(&sql).await?;
        let rows = sets.first().map_or(&[][..], Vec::as_slice);
        for row in rows {
            let row = decode_audit(row)?;
            after = row.id as i64;
            findings.extend(chain.next(&row).err());
        }
        if rows.len() < AUDIT_PAGE {
            break;
        }
    }
    Ok(findings)
}

/// Runs a statement that says what it finds, one line a row.
async fn list(server: &Server, sql: &str) -> Result<Vec<String>> {
    let sets = server.query(sql).await?;
    sets.first().into_iter().flatten().map(|row| Ok(row.string(0)?)).collect()
}
