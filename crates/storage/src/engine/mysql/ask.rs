//! Where is read: the server of a shard, those of many, or all of them; again when a shard has gone elsewhere meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use model::{Id, Shard, id::SHARD_COUNT};
use mysql::Row as Answer;

use super::cluster::Topology;
use super::node::{Node, SEEN_WAIT};
use super::{MysqlEngine, SWEEP_ROWS, read};
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::row::Row;

/// Attempts at a read whose shard has gone to another server meanwhile, or whose server waits for a new lease: more than a second in all.
const READ_ATTEMPTS: u32 = 8;
/// The pause before the third attempt; it doubles. The second one, which knows the newest map, comes at once.
const READ_PAUSE: Duration = Duration::from_millis(10);
/// Attempts at a list over all shards, and the pause between them: together longer than shards belong to nobody at the end of a move.
const READ_ALL_ATTEMPTS: usize = 40;
const READ_ALL_PAUSE: Duration = Duration::from_millis(50);
impl MysqlEngine {
    /// Asks one server, and believes the answer if it has all of `shards` (still).
    async fn ask(&self, node: &Node, shards: &[Shard], statements: &[String]) -> Result<Option<Vec<Vec<Answer>>>> {
        let (server, seen) = node.reader(&self.freshness);
        let is_replica = !std::ptr::eq(server, &node.primary);
        let sql_for = |is_primary| format!("{};{}", statements.join(";"), read::held_sql(shards, is_primary));
        let sql = sql_for(!is_replica);
        let mut sets = match (is_replica, self.ask_replica(server, seen, &sql).await) {
            (true, Ok(Some(sets))) => sets,
            (true, _) => {
                metrics::counter!(names::REPLICA_PASSED_OVER_TOTAL).increment(1);
                node.primary.query(&sql_for(true)).await?
            }
            (false, result) => result?.unwrap_or_default(),
        };
        let held = sets.pop().unwrap_or_default();
        Ok((held.len() == shards.len()).then_some(sets))
    }

    /// Asks one server. `None` when it has not seen what the reader wrote.
    async fn ask_replica(&self, server: &mysql::Server, seen: Option<&str>, sql: &str) -> Result<Option<Vec<Vec<Answer>>>> {
        let Some(gtid) = seen else { return Ok(Some(server.query(sql).await?)) };
        let wait = server.dialect().await?.wait_for(gtid, SEEN_WAIT.as_secs_f64());
        let mut sets = server.query(&format!("SELECT {wait};{sql}")).await?;
        let waited = if sets.is_empty() { Vec::new() } else { sets.remove(0) };
        Ok((waited.first().map(|row| row.i64(0)).transpose()? == Some(0)).then_some(sets))
    }

    /// Looks for the newest map before another attempt at a read; waits a little if that alone did not help.
    async fn look_anew(&self, attempt: u32) -> Result<()> {
        self.cluster.refresh().await?;
        if attempt > 0 {
            tokio::time::sleep(READ_PAUSE * (1 << (attempt - 1))).await;
        }
        Ok(())
    }

    /// Reads from the server of one shard.
    pub(super) async fn read<T>(&self, shard: Shard, statement: String, decode: impl Fn(&[Answer]) -> Result<T>) -> Result<T> {
        let statements = [statement];
        for attempt in 0..READ_ATTEMPTS {
            let topology = self.cluster.topology()?;
            let node = node_of(&topology, shard)?;
            if let Some(sets) = self.ask(node, &[shard], &statements).await? {
                return decode(sets.first().map_or(&[], Vec::as_slice));
            }
            self.look_anew(attempt).await?;
        }
        Err(nobody_has(shard))
    }

    /// Reads one object from its primary: the way of a caller who is alone, in one statement.
    pub(super) async fn get_one(&self, id: Id) -> Result<Option<Row>> {
        let sql = read::get_one_sql(id);
        for attempt in 0..READ_ATTEMPTS {
            let sets = {
                let topology = self.cluster.topology()?;
                node_of(&topology, id.shard())?.primary.query(&sql).await?
            };
            if let Some(row) = mysql::first(&sets) {
                return if row.is_null(0)? { Ok(None) } else { read::decode_row(row).map(Some) };
            }
            self.look_anew(attempt).await?;
        }
        Err(nobody_has(id.shard()))
    }

    /// Reads from every server that has one of the things asked for, at once: `statements` makes the questions to one server from the
    /// places of its things, `take` gets that server's answers.
    pub(super) async fn read_spread(
        &self,
        shards: &[Shard],
        statements: impl Fn(&[usize]) -> Vec<String>,
        mut take: impl FnMut(&[usize], Vec<Vec<Answer>>) -> Result<()>,
    ) -> Result<()> {
        // Ids come from addresses that anybody can type: what is on a shard that does not exist never was.
        let mut left: Vec<usize> = (0..shards.len()).filter(|place| shards[*place].0 < SHARD_COUNT).collect();
        for attempt in 0..READ_ATTEMPTS {
            let topology = self.cluster.topology()?;
            let mut by_node: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for place in &left {
                by_node.entry(node_of(&topology, shards[*place])?.entry.name.as_str()).or_default().push(*place);
            }
            let asks = by_node.into_iter().map(|(name, places)| {
                let (node, statements) = (&topology.nodes[name], statements(&places));
                let mut asked: Vec<Shard> = places.iter().map(|place| shards[*place]).collect();
                asked.sort_unstable();
                asked.dedup();
                async move { Ok::<_, Error>((self.ask(node, &asked, &statements).await?, places)) }
            });
            left = Vec::new();
            for (answer, places) in try_join_all(asks).await? {
                match answer {
                    Some(sets) => take(&places, sets)?,
                    None => left.extend(places),
                }
            }
            match left.first() {
                None => return Ok(()),
                Some(_) => self.look_anew(attempt).await?,
            }
        }
        Err(nobody_has(shards[left[0]]))
    }

    /// Asks all servers the same, and returns their answers by number. While shards are on their way rows would be lost or doubled: the
    /// answers count only when the servers together have each shard once, before and after.
    pub(super) async fn read_all(&self, statement: &str) -> Result<Vec<(u16, Vec<Answer>)>> {
        let sql_for = |is_primary| {
            let held = read::held_count_sql(is_primary);
            format!("{held};{statement};{held}")
        };
        for _ in 0..READ_ALL_ATTEMPTS {
            let topology = self.cluster.topology()?;
            let asks = topology.nodes.values().map(|node| async {
                let (server, _) = node.reader(&self.freshness);
                let is_primary = std::ptr::eq(server, &node.primary);
                let sets = match server.query(&sql_for(is_primary)).await {
                    Err(_) if !is_primary => node.primary.query(&sql_for(true)).await?,
                    result => result?,
                };
                let mut sets = sets.into_iter();
                let (before, rows, after) = (sets.next(), sets.next().unwrap_or_default(), sets.next());
                let count = before.as_ref().and_then(|rows| rows.first()).map(|row| row.u64(0)).transpose()?;
                Ok::<_, Error>((node.entry.number, rows, count.filter(|_| before == after)))
            });
            let mut answers = try_join_all(asks).await?;
            if answers.iter().map(|(.., count)| *count).sum::<Option<u64>>() == Some(u64::from(SHARD_COUNT)) {
                answers.sort_by_key(|(number, ..)| *number);
                return Ok(answers.into_iter().map(|(number, rows, _)| (number, rows)).collect());
            }
            self.cluster.refresh().await?;
            tokio::time::sleep(READ_ALL_PAUSE).await;
        }
        Err(Error::Unavailable(
            "The servers do not have each shard once: shards are being moved, or a server waits for its lease. Try again; `corkboard storage status` tells."
                .to_owned(),
        ))
    }

    /// Runs a statement with a WHERE on every primary that may write, until it changes nothing any more; returns how much it changed.
    pub(super) async fn everywhere(&self, statement: &str) -> Result<u64> {
        let mut changed = 0;
        for node in self.cluster.topology()?.nodes.values() {
            loop {
                let sql = format!("{statement} AND {} LIMIT {SWEEP_ROWS}; SELECT ROW_COUNT()", read::leased());
                let sets = node.primary.query(&sql).await?;
                let rows = mysql::first(&sets).map(|row| row.u64(0)).transpose()?.unwrap_or(0);
                changed += rows;
                if rows < SWEEP_ROWS {
                    break;
                }
            }
        }
        Ok(changed)
    }
}

pub(super) fn node_of(topology: &Topology, shard: Shard) -> Result<&Arc<Node>> {
    let range = topology.map.range_of(shard).ok_or_else(|| Error::Invalid(format!("Shard {} does not exist.", shard.0)))?;
    topology.nodes.get(&range.server).ok_or_else(|| Error::Unavailable(format!("Server {} is not known.", range.server)))
}

fn nobody_has(shard: Shard) -> Error {
    Error::Unavailable(format!(
        "No server answers for shard {}: it is on its way from one to another, its server has lost its lease, or the shard map is wrong. `corkboard storage status` tells.",
        shard.0
    ))
}
