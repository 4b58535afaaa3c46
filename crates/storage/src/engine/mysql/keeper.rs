//! The keeper of one server: renews its lease, hears of other processes' commits and of newer maps, watches its replicas.
//!
//! The lease is what makes a restart harmless. A primary that dies loses it, and whoever brings it back may only be heard again after
//! all its replicas were asked whether one of them has been promoted meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql::Server;
use tokio::task::AbortHandle;

use super::cluster::{Cluster, MAP_TIME, Topology};
use super::lane::{SERVER_NOW, now_ms};
use super::node::Node;
use super::read::leased;
use super::samples::Sampler;
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::shard_map::ShardMap;

/// How often a keeper looks.
const ROUND: Duration = Duration::from_millis(250);
/// Rounds between two renewals of the lease.
const LEASE_ROUNDS: u32 = 4;
/// How long a lease lasts: several renewals may fail before writes stop, and a failover waits this long.
pub(crate) const LEASE_MS: i64 = 5_000;
/// How long one look may take. A frozen server must not freeze its keeper.
const LOOK_TIME: Duration = Duration::from_millis(1_500);

/// How long the count of a process that writes nothing is kept. One that writes again counts from 1, which others hear as a commit.
const WRITER_KEPT_MS: i64 = 24 * 3_600_000;

/// Starts the keeper of a node; it ends with the node or the cluster.
pub(super) fn start(cluster: Weak<Cluster>, node: Weak<Node>) -> AbortHandle {
    let task = async move {
        let mut rounds = runtime::paced(ROUND);
        let mut keeper = Keeper::default();
        loop {
            rounds.tick().await;
            let (Some(cluster), Some(node)) = (cluster.upgrade(), node.upgrade()) else { return };
            keeper.round(&cluster, &node).await;
        }
    };
    tokio::spawn(task).abort_handle()
}

#[derive(Default)]
struct Keeper {
    rounds: u32,
    /// Commits of each writer at the last look.
    counts: Option<HashMap<i64, u64>>,
    /// The server's tables have been compared with those that this version wants.
    has_tables: bool,
    sampler: Sampler,
    was_sick: bool,
}

impl Keeper {
    async fn round(&mut self, cluster: &Arc<Cluster>, node: &Node) {
        let is_lease_round = self.rounds.is_multiple_of(LEASE_ROUNDS);
        self.rounds = self.rounds.wrapping_add(1);
        let ((), primary) = tokio::join!(watch_replicas(node), self.primary(cluster, node, is_lease_round));
        match primary {
            Ok(()) if self.was_sick => {
                tracing::info!(server = node.entry.name, "the server answers again");
                self.was_sick = false;
            }
            Err(error) if !self.was_sick => {
                tracing::warn!(server = node.entry.name, %error, "the server can't be looked after");
                self.was_sick = true;
            }
            _ => {}
        }
        // Whoever took its place is known to its replicas.
        if self.was_sick && is_lease_round {
            let _ = cluster.refresh().await;
        }
        metrics::gauge!(names::SERVER_UP, "server" => node.entry.name.clone()).set(if self.was_sick { 0.0 } else { 1.0 });
    }

    async fn primary(&mut self, cluster: &Arc<Cluster>, node: &Node, renews: bool) -> Result<()> {
        if node.primary.is_resting() {
            node.primary.probe().await?;
        }
        if !self.has_tables {
            ensure_tables(&node.primary).await?;
            forget_writers(&node.primary).await?;
            self.has_tables = true;
        }
        let asked_at = Instant::now();
        let sql = format!(
            "SELECT writer, SUM(count) FROM commits GROUP BY writer; SELECT epoch FROM shard_map WHERE id = 1; SELECT {}",
            leased()
        );
        let sets = node.primary.query_within(&sql, LOOK_TIME).await?;
        let [commits, epochs, leases] = sets.as_slice() else {
            return Err(Error::Corrupt("The server did not tell its commits.".to_owned()));
        };
        let counts: HashMap<i64, u64> = commits.iter().map(|row| Ok((row.i64(0)?, row.u64(1)?))).collect::<mysql::Result<_>>()?;
        self.hear(cluster, counts);
        // While it has its lease, nobody else takes writes in its place.
        if leases.first().is_some_and(|row| row.bool(0) == Ok(true)) {
            *node.heard_at.lock() = Some(asked_at);
        }
        let epoch = epochs.first().map(|row| row.u64(0)).transpose()?.unwrap_or(0);
        if epoch > cluster.epoch() {
            cluster.refresh().await?;
        }
        if renews && !renew(&node.primary).await? {
            reopen(cluster, node).await?;
        } else if renews {
            self.sampler.round(&node.primary).await;
        }
        Ok(())
    }

    /// Tells those who watch when somebody else has committed.
    fn hear(&mut self, cluster: &Cluster, counts: HashMap<i64, u64>) {
        let own = cluster.process.writer;
        let others = |counts: &HashMap<i64, u64>| counts.iter().filter(|(writer, _)| **writer != own).map(|(_, count)| *count).sum::<u64>();
        // At the first look nobody knows what happened before it.
        if self.counts.as_ref().is_none_or(|before| others(before) != others(&counts)) {
            cluster.process.commits.send_modify(|count| *count += 1);
            cluster.process.others.send_modify(|count| *count += 1);
        }
        self.counts = Some(counts);
    }
}

/// Makes tables that this version has and the server does not: kinds and associations that came with an update.
async fn ensure_tables(server: &Server) -> Result<()> {
    let sets = server.query_within("SHOW TABLES", LOOK_TIME).await?;
    let there: Vec<String> = sets.first().into_iter().flatten().map(|row| row.string(0)).collect::<mysql::Result<_>>()?;
    for (name, statement) in super::schema::tables().iter().filter_map(|sql| Some((sql.split(' ').nth(5)?, sql))) {
        if !there.iter().any(|table| table == name) {
            server.query(statement).await?;
        }
    }
    Ok(())
}

/// Forgets what processes of the past have counted, or the table that every keeper reads in each round would grow with each start.
async fn forget_writers(primary: &Server) -> Result<()> {
    let before = now_ms() - WRITER_KEPT_MS;
    primary.query_within(&format!("DELETE FROM commits WHERE at_ms < {before} AND {}", leased()), LOOK_TIME).await?;
    Ok(())
}

/// Renews the lease. Returns false when it has run out.
async fn renew(primary: &Server) -> Result<bool> {
    let (now, semi_sync) = (now_ms(), primary.dialect().await?.semi_sync());
    let sql = format!(
        "UPDATE lease SET at_ms = {now}, until_ms = {SERVER_NOW} + {LEASE_MS}, semi_sync = {semi_sync} \
         WHERE id = 1 AND until_ms > {SERVER_NOW}; SELECT ROW_COUNT()"
    );
    let sets = primary.query_within(&sql, LOOK_TIME).await?;
    Ok(mysql::first(&sets).map(|row| row.i64(0)).transpose()? == Some(1))
}

/// Opens a primary whose lease has run out, after everybody was asked who could have taken its place.
pub(super) async fn reopen(cluster: &Arc<Cluster>, node: &Node) -> Result<()> {
    // The map by which this node is the server's primary, not a newer one that has come meanwhile: by that one all would be well.
    let topology = cluster.topology()?;
    let epoch = topology.map.epoch;
    if !topology.nodes.get(&node.entry.name).is_some_and(|current| std::ptr::eq(&**current, node)) {
        return Err(Error::Unavailable(format!("Server {} has been replaced at {}.", node.entry.name, node.primary.address())));
    }
    for server in std::iter::once(&node.primary).chain(node.replicas.iter().map(|replica| &replica.server)) {
        let told = server.query_within("SELECT epoch, promised FROM shard_map WHERE id = 1", LOOK_TIME).await.map_err(|error| {
            Error::Unavailable(format!(
                "Server {} has been away and takes no writes until {} was asked whether it was put in its place: {error} Start it, or if it is gone for good take it out of the map with `corkboard storage failover {} --keep`.",
                node.entry.name,
                server.address(),
                node.entry.name
            ))
        })?;
        let newest = mysql::first(&told).map(|row| Ok::<_, mysql::Error>(row.u64(0)?.max(row.u64(1)?))).transpose()?;
        if newest.is_none_or(|newest| newest > epoch) {
            cluster.refresh().await?;
            return Err(Error::Unavailable(format!(
                "Server {} has been away, and {} knows of a newer shard map: the server may have been replaced.",
                node.entry.name,
                server.address()
            )));
        }
    }
    let now = now_ms();
    let sql = format!("UPDATE lease SET at_ms = {now}, until_ms = {SERVER_NOW} + {LEASE_MS} WHERE id = 1");
    node.primary.query_within(&sql, LOOK_TIME).await?;
    tracing::info!(server = node.entry.name, "the lease was given anew");
    Ok(())
}

/// Looks how far each replica is behind: the primary's keepers write their time once a second, and it travels with everything else.
async fn watch_replicas(node: &Node) {
    let looks = node.replicas.iter().map(|replica| async move {
        if replica.server.is_resting() {
            let _ = replica.server.probe().await;
        }
        let told = replica.server.query_within("SELECT at_ms FROM lease WHERE id = 1", LOOK_TIME).await;
        let at = told.ok().and_then(|sets| sets.first()?.first()?.i64(0).ok());
        replica.set_behind(at.map(|at| now_ms() - at));
        let label = replica.server.address().to_string();
        metrics::gauge!(names::REPLICA_BEHIND_SECONDS, "server" => label).set(replica.behind_ms().map_or(-1.0, |ms| ms as f64 / 1_000.0));
    });
    join_all(looks).await;
}

/// Asks every server for its map.
pub(super) async fn maps(topology: &Topology) -> Vec<ShardMap> {
    let servers =
        topology.nodes.values().flat_map(|node| std::iter::once(&node.primary).chain(node.replicas.iter().map(|replica| &replica.server)));
    let epoch = topology.map.epoch;
    let asks = servers.map(|server| async move { map_of(server, epoch).await.ok().flatten() });
    join_all(asks).await.into_iter().flatten().collect()
}

/// Returns a server's map if it is newer.
async fn map_of(server: &Server, epoch: u64) -> Result<Option<ShardMap>> {
    let sets = server.query_within(&format!("SELECT map FROM shard_map WHERE id = 1 AND epoch > {epoch}"), MAP_TIME).await?;
    mysql::first(&sets).map(|row| ShardMap::parse(row.text(0)?)).transpose()
}

/// Finds moves that came to their end without anybody having told: the shards' old server says where they went. Finishes the arrival
/// where that is all that is missing, and returns the map as it is then.
pub(super) async fn unpublished_moves(topology: &Topology) -> Option<ShardMap> {
    let mut decided = Vec::new();
    for node in topology.nodes.values() {
        decided.extend(decided_moves(&node.primary, &topology.map).await.unwrap_or_default());
    }
    let map = topology.map.with_decided(&decided)?;
    for (shard, to, epoch) in &decided {
        // All or none: two different maps must not have one epoch.
        arrive(&topology.nodes.get(to)?.primary, *shard, *epoch).await.ok()?;
    }
    Some(map)
}

/// Lists the shards that a server has given up and that the map does not know of: (shard, who has it now, since which epoch).
pub(super) async fn decided_moves(server: &Server, map: &ShardMap) -> Result<Vec<(u16, String, u64)>> {
    let mut decided = Vec::new();
    let sets = server.query_within("SELECT shard, other, epoch FROM owned_shards WHERE state = 'moved'", MAP_TIME).await?;
    for row in sets.iter().flatten() {
        let (shard, to, epoch) = (row.u64(0)? as u16, row.string(1)?, row.u64(2)?);
        if map.server(&to).is_some() && map.range_of(model::Shard(shard)).is_some_and(|range| range.epoch < epoch) {
            decided.push((shard, to, epoch));
        }
    }
    Ok(decided)
}

/// Lets a shard that its old server has given up be owned by the new one. Safe to repeat.
pub(super) async fn arrive(target: &Server, shard: u16, epoch: u64) -> Result<()> {
    let sql = format!(
        "UPDATE owned_shards SET state = 'owned', other = '' WHERE shard = {shard} AND epoch = {epoch} AND state = 'arriving'; \
         SELECT COUNT(*) FROM owned_shards WHERE shard = {shard} AND epoch = {epoch} AND state <> 'arriving'"
    );
    let sets = target.query(&sql).await?;
    match mysql::first(&sets).map(|row| row.i64(0)).transpose()? {
        Some(1) => Ok(()),
        _ => Err(Error::Unavailable(format!("Shard {shard} has not arrived on {} at epoch {epoch}.", target.address()))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use model::{Kind, Shard};
    use mysql::Limits;

    use super::ROUND;
    use crate::contract::fleet::{Fleet, site};
    use crate::engine::Engine;
    use crate::engine::mysql::MysqlEngine;
    use crate::engine::mysql::node::server;

    /// Waits until everything that has been committed by now is known.
    async fn until_known(engine: &MysqlEngine) {
        let now = Instant::now();
        let is_known = async || {
            while engine.others_known_until().is_none_or(|until| until < now) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_known()).await.expect("the servers answer");
    }

    #[tokio::test]
    async fn what_others_have_committed_is_told_before_it_is_known_and_ones_own_is_not_theirs() {
        let Some(fleet) = Fleet::start("what_others_have_committed_is_told", 2) else { return };
        let (mine, other) = (fleet.open(), fleet.open());
        let mut others = mine.watch_others();
        let shards = [Shard(0), Shard(4_095)];
        for _ in 0..3 {
            for shard in shards {
                until_known(&mine).await;
                others.mark_unchanged();
                other.reserve(shard, Kind::Pin, 1).await.expect("a commit");
                until_known(&mine).await;
                assert!(others.has_changed().expect("open"), "shard {}", shard.0);
                others.mark_unchanged();
                mine.reserve(shard, Kind::Pin, 1).await.expect("a commit");
                until_known(&mine).await;
                assert!(!others.has_changed().expect("open"), "one's own commit on shard {}", shard.0);
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_server_without_its_lease() {
        let Some(fleet) = Fleet::start("nothing_is_known_of_a_server_without_its_lease", 1) else { return };
        let engine = fleet.open();
        until_known(&engine).await;
        // Promised to somebody else at a later epoch: nobody gives the lease again.
        let server = server(&fleet.map.servers[0].primary, &site(), Limits::default()).expect("a server");
        server.query("UPDATE shard_map SET promised = epoch + 1; UPDATE lease SET until_ms = 0").await.expect("no lease");
        let ended_at = Instant::now();
        tokio::time::sleep(3 * ROUND).await;
        let known = engine.others_known_until().expect("it was known");
        assert!(known <= ended_at, "somebody else may take the writes");
    }

    #[tokio::test]
    async fn processes_of_the_past_are_forgotten_and_those_of_today_are_not() {
        let Some(fleet) = Fleet::start("processes_of_the_past_are_forgotten", 1) else { return };
        let server = server(&fleet.map.servers[0].primary, &site(), Limits::default()).expect("a server");
        let now = super::now_ms();
        let sql = format!("INSERT INTO commits (writer, lane, count, at_ms) VALUES (1, 0, 5, 1000), (2, 0, 7, {now})");
        server.query(&sql).await.expect("two writers");
        let _engine = fleet.open();
        for _ in 0..500 {
            let sets = server.query("SELECT writer FROM commits WHERE writer IN (1, 2)").await.expect("writers");
            if sets[0].len() == 1 {
                assert_eq!(sets[0][0].i64(0), Ok(2));
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the old writer was never forgotten");
    }
}
