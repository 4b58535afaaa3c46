//! What verification lists over all servers, and the one thing that it mends below the front.

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard};
use mysql::Row as Answer;

use super::ask::node_of;
use super::lane::{SERVER_NOW, now_ms};
use super::read::{self, OBJECT_COLUMNS, held};
use super::shape::{Cell, Change, changes_to_json, shape, statements};
use super::{MysqlEngine, RANGES_PER_TRIP, check};
use crate::engine::inspection::{Inspection, MappedEdge, ShardRange, StoredName};
use crate::error::{Error, Result};
use crate::row::{Name, Row};
use crate::storage::name_shard;
use crate::verify::Finding;

/// Shards that are looked at in one piece: a sixteenth of everything, so that no statement runs for long.
const PIECE_SHARDS: u16 = 256;
/// Edges that one statement asks for.
const EDGES_PER_STATEMENT: usize = 500;
/// The lane under which recounts are told to other processes; those of writers have small numbers.
const RECOUNT_LANE: u16 = 255;

impl MysqlEngine {
    /// Reads rows of a range of shards from whichever servers have them, each of which must (still) have all that it is asked for.
    async fn list<T>(&self, shards: ShardRange, statement: String, decode: impl Fn(&Answer) -> Result<T>) -> Result<Vec<T>> {
        let wanted: Vec<Shard> = shards.shards().collect();
        let mut rows = Vec::new();
        self.read_spread(
            &wanted,
            |_| vec![statement.clone()],
            |_, sets| {
                for row in sets.iter().flatten() {
                    rows.push(decode(row)?);
                }
                Ok(())
            },
        )
        .await?;
        Ok(rows)
    }
}

#[async_trait]
impl Inspection for MysqlEngine {
    fn server_of(&self, shard: Shard) -> Option<String> {
        self.map().range_of(shard).map(|range| range.server.clone())
    }

    fn piece_shards(&self) -> u16 {
        PIECE_SHARDS
    }

    async fn list_rows(&self, kind: Kind, shards: ShardRange, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        let (low, high) = shards.numbers();
        let sql = format!(
            "SELECT {OBJECT_COLUMNS} FROM {} WHERE id > {} AND id <= {high} AND (id >> 36) & 1023 = {} AND {} ORDER BY id LIMIT {limit}",
            kind.table(),
            after.map_or(low - 1, Id::as_i64),
            kind as u16,
            held("id")
        );
        let mut rows = self.list(shards, sql, read::decode_row).await?;
        rows.sort_by_key(|row| row.id);
        // A shard that moved between two answers is in both.
        rows.dedup_by_key(|row| row.id);
        rows.truncate(limit);
        Ok(rows)
    }

    async fn list_edges(&self, assoc: Assoc, shards: ShardRange, after: Option<MappedEdge>, limit: usize) -> Result<Vec<MappedEdge>> {
        let (low, high) = shards.numbers();
        let place = after.map_or(String::new(), |MappedEdge { from, to, .. }| format!(" AND (from_id > {from} OR to_id > {to})"));
        let sql = format!(
            "SELECT from_id, to_id, sequence FROM {} WHERE from_id BETWEEN {} AND {high}{place} AND {} ORDER BY from_id, to_id LIMIT {limit}",
            assoc.table(),
            after.map_or(low, |edge| edge.from),
            held("from_id")
        );
        let decode = |row: &Answer| Ok(MappedEdge { from: row.i64(0)?, to: row.i64(1)?, sequence: row.i64(2)? });
        let mut edges = self.list(shards, sql, decode).await?;
        edges.sort_by_key(|edge| (edge.from, edge.to));
        edges.dedup_by_key(|edge| (edge.from, edge.to));
        edges.truncate(limit);
        Ok(edges)
    }

    async fn list_names(&self, shards: ShardRange, after: Option<&StoredName>, limit: usize) -> Result<Vec<StoredName>> {
        let (low, high) = shards.numbers();
        let place = after.map_or(String::new(), |name| {
            let (mut kind, mut key) = (String::new(), String::new());
            mysql::quote(&mut kind, &name.kind);
            mysql::quote(&mut key, &name.key);
            format!(" AND (slot > {} OR kind > {kind} OR (kind = {kind} AND name_key > {key}))", name.slot)
        });
        let sql = format!(
            "SELECT slot, kind, name_key, id, confirmed, claimed_at FROM names WHERE slot BETWEEN {} AND {high}{place} AND {} \
             ORDER BY slot, kind, name_key LIMIT {limit}",
            after.map_or(low, |name| name.slot),
            held("slot")
        );
        let decode = |row: &Answer| {
            let (slot, kind, key) = (row.i64(0)?, row.string(1)?, row.string(2)?);
            Ok(StoredName { slot, kind, key, id: row.i64(3)?, confirmed: row.bool(4)?, claimed_at: row.i64(5)? })
        };
        let mut names = self.list(shards, sql, decode).await?;
        names.sort_by(|a, b| (a.slot, &a.kind, &a.key).cmp(&(b.slot, &b.kind, &b.key)));
        names.dedup_by(|a, b| (a.slot, &a.kind, &a.key) == (b.slot, &b.kind, &b.key));
        names.truncate(limit);
        Ok(names)
    }

    async fn find_edges(&self, assoc: Assoc, pairs: &[(Id, Id)]) -> Result<Vec<Option<i64>>> {
        let shards: Vec<Shard> = pairs.iter().map(|(from, _)| from.shard()).collect();
        let mut found: std::collections::HashMap<(i64, i64), i64> = std::collections::HashMap::new();
        let select = |places: &[usize]| {
            let pair = |place: &usize| format!("(from_id = {} AND to_id = {})", pairs[*place].0.as_i64(), pairs[*place].1.as_i64());
            let wanted = places.iter().map(pair).collect::<Vec<_>>().join(" OR ");
            format!("SELECT from_id, to_id, sequence FROM {} WHERE {wanted}", assoc.table())
        };
        let statements = |places: &[usize]| places.chunks(EDGES_PER_STATEMENT).map(select).collect();
        self.read_spread(&shards, statements, |_, sets| {
            for row in sets.iter().flatten() {
                found.insert((row.i64(0)?, row.i64(1)?), row.i64(2)?);
            }
            Ok(())
        })
        .await?;
        Ok(pairs.iter().map(|(from, to)| found.get(&(from.as_i64(), to.as_i64())).copied()).collect())
    }

    async fn holders(&self, wanted: &[(NameKind, String)]) -> Result<Vec<Option<Name>>> {
        let mut names = vec![None; wanted.len()];
        for (begin, chunk) in wanted.chunks(RANGES_PER_TRIP).enumerate().map(|(index, chunk)| (index * RANGES_PER_TRIP, chunk)) {
            let shards: Vec<Shard> = chunk.iter().map(|(kind, key)| name_shard(*kind, key)).collect();
            let ask = |place: &usize| read::name_sql(shards[*place], chunk[*place].0, &chunk[*place].1);
            self.read_spread(
                &shards,
                |places| places.iter().map(ask).collect(),
                |places, sets| {
                    for (place, rows) in places.iter().zip(&sets) {
                        names[begin + place] = rows.first().map(read::decode_name).transpose()?;
                    }
                    Ok(())
                },
            )
            .await?;
        }
        Ok(names)
    }

    async fn examine(&self, shards: ShardRange, findings_max: usize) -> Result<Vec<Finding>> {
        check::examine(&*self.cluster.topology()?, &self.cluster.process.credentials, shards, findings_max).await
    }

    /// Counts under the lock that orders all writers of the shard, so that nobody adds an edge between the look and the write.
    async fn recount(&self, assoc: Assoc, from: Id) -> Result<bool> {
        let (shard, table, id) = (from.shard(), assoc.table(), from.as_i64());
        let topology = self.cluster.topology()?;
        let node = node_of(&topology, shard)?;
        let mut taken = node.patient_primary(&self.cluster.process.credentials)?.take().await?;
        let sql = format!(
            "BEGIN; SELECT state = 'owned', records FROM owned_shards WHERE shard = {} FOR UPDATE; \
             SELECT until_ms > {SERVER_NOW} FROM lease WHERE id = 1; SELECT COUNT(*) FROM {table} WHERE from_id = {id}; \
             SELECT count FROM mapping_counts WHERE from_id = {id} AND assoc = '{table}'",
            shard.0
        );
        let sets = taken.query(&sql).await?;
        let first = |index: usize| sets.get(index).and_then(|rows| rows.first());
        let right = first(0).filter(|row| row.bool(0).unwrap_or(false));
        let has_lease = first(1).map(|row| row.bool(0)).transpose()?.unwrap_or(false);
        let (Some(right), true) = (right, has_lease) else {
            taken.query("ROLLBACK").await?;
            return Err(Error::Unavailable(format!(
                "The count of {table} of {from} was not mended: shard {} is on its way, or server {} may not take writes now. `corkboard storage status` tells; verify again afterwards.",
                shard.0, node.entry.name
            )));
        };
        let found = first(2).map(|row| row.i64(0)).transpose()?.unwrap_or(0);
        let kept = first(3).map(|row| row.i64(0)).transpose()?.unwrap_or(0);
        if found == kept {
            taken.query("ROLLBACK").await?;
            return Ok(false);
        }
        let change = [Change::put(shape("mapping_counts")?, vec![Cell::Int(id), Cell::Text(table.to_owned()), Cell::Int(found)])];
        let now = now_ms();
        let mut sql = statements(&change);
        if right.bool(1)? {
            let mut record = format!("INSERT INTO changes (shard, at_ms, changes) VALUES ({}, {now}, ", shard.0);
            mysql::quote(&mut record, &changes_to_json(&change)?);
            sql.push(record + ")");
        }
        sql.push(format!(
            "INSERT INTO commits (writer, lane, count, at_ms) VALUES ({}, {RECOUNT_LANE}, 1, {now}) ON DUPLICATE KEY UPDATE count = count + 1",
            self.cluster.process.writer
        ));
        // Setting it again would do no harm, so an answer that was lost is an ordinary failure.
        taken.query(&format!("{};COMMIT", sql.join(";"))).await?;
        taken.put_back();
        Ok(true)
    }
}
