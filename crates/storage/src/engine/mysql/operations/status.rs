//! `status`: who is how.

use std::time::Duration;

use futures_util::future::join_all;
use mysql::{Replication, Server};
use serde::Serialize;

use super::super::lane::{SERVER_NOW, now_ms};
use super::Operator;
use crate::error::Result;
use crate::shard_map::{ServerEntry, ShardMap};

/// A server that does not answer so soon counts as away.
const LOOK_TIME: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Serialize)]
pub struct FleetStatus {
    pub epoch: u64,
    pub servers: Vec<ServerStatus>,
    /// What needs a look; each says what to do.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerStatus {
    pub name: String,
    pub primary: String,
    pub version: String,
    pub answers: bool,
    /// Shards that the server has, and those on their way.
    pub shards: u64,
    pub moving: u64,
    /// It may take writes.
    pub has_lease: bool,
    /// Commits wait until a replica has them.
    pub semi_sync: bool,
    /// A commit is on the disk before it is answered.
    pub durable: bool,
    pub outbox: u64,
    pub bytes: u64,
    pub replicas: Vec<ReplicaStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ReplicaStatus {
    pub address: String,
    pub answers: bool,
    pub sees_primary: bool,
    pub applies: bool,
    pub behind_ms: Option<i64>,
    pub error: String,
}

impl Operator {
    /// Looks at every server.
    pub async fn status(&self) -> Result<FleetStatus> {
        let map = self.map().await?;
        let looks = map.servers.iter().map(|entry| self.look(&map, entry));
        let (mut servers, mut problems) = (Vec::new(), Vec::new());
        for (status, found) in join_all(looks).await {
            problems.extend(found);
            servers.push(status);
        }
        Ok(FleetStatus { epoch: map.epoch, servers, problems })
    }

    async fn look(&self, map: &ShardMap, entry: &ServerEntry) -> (ServerStatus, Vec<String>) {
        let mut status = ServerStatus { name: entry.name.clone(), primary: entry.primary.clone(), ..ServerStatus::default() };
        let mut problems = Vec::new();
        let looked = match self.server(&entry.primary) {
            Ok(server) => look_primary(&server, &mut status).await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(()) => problems.extend(wrongs(map, entry, &status)),
            Err(error) => problems.push(format!(
                "{}: does not answer: {error} If it is gone for good: `corkboard storage failover {}`.",
                entry.name, entry.name
            )),
        }
        for address in &entry.replicas {
            let replica = self.look_replica(address).await;
            if !replica.answers || !replica.sees_primary || !replica.applies {
                let why = if replica.error.is_empty() { "it does not replicate" } else { &replica.error };
                problems.push(format!("{}: replica {address} is left out: {why}.", entry.name));
            }
            status.replicas.push(replica);
        }
        (status, problems)
    }

    async fn look_replica(&self, address: &str) -> ReplicaStatus {
        let away = |error: String| ReplicaStatus {
            address: address.to_owned(),
            answers: false,
            sees_primary: false,
            applies: false,
            behind_ms: None,
            error,
        };
        let looked = async {
            let server = self.server(address)?;
            let told = server.query_within("SELECT at_ms FROM lease WHERE id = 1", LOOK_TIME).await?;
            let at = mysql::first(&told).map(|row| row.i64(0)).transpose()?;
            let state = Replication(&server).state().await?;
            Ok::<_, crate::Error>((at, state))
        };
        match looked.await {
            Ok((at, Some(state))) => ReplicaStatus {
                address: address.to_owned(),
                answers: true,
                sees_primary: state.sees_primary,
                applies: state.applies,
                behind_ms: at.map(|at| (now_ms() - at).max(0)),
                error: state.error,
            },
            Ok((_, None)) => ReplicaStatus { answers: true, ..away("it follows no primary".to_owned()) },
            Err(error) => away(error.to_string()),
        }
    }
}

async fn look_primary(server: &Server, status: &mut ServerStatus) -> Result<()> {
    let sql = format!(
        "SELECT VERSION(), @@innodb_flush_log_at_trx_commit = 1 AND (@@log_bin = 0 OR @@sync_binlog = 1); \
         SELECT COALESCE(SUM(state IN ('owned','copying','frozen')), 0), COALESCE(SUM(state IN ('copying','frozen','arriving')), 0) FROM owned_shards; \
         SELECT until_ms > {SERVER_NOW}, {} FROM lease WHERE id = 1; SELECT COUNT(*) FROM outbox; \
         SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED) FROM information_schema.tables WHERE table_schema = DATABASE()",
        server.dialect().await?.semi_sync()
    );
    let sets = server.query_within(&sql, LOOK_TIME).await?;
    if let [version, shards, lease, outbox, bytes] = sets.as_slice()
        && let (Some(version), Some(shards), Some(outbox), Some(bytes)) = (version.first(), shards.first(), outbox.first(), bytes.first())
    {
        status.answers = true;
        (status.version, status.durable) = (version.string(0)?, version.bool(1)?);
        (status.shards, status.moving) = (shards.u64(0)?, shards.u64(1)?);
        if let Some(lease) = lease.first() {
            (status.has_lease, status.semi_sync) = (lease.bool(0)?, lease.bool(1)?);
        }
        (status.outbox, status.bytes) = (outbox.u64(0)?, bytes.u64(0)?);
    }
    Ok(())
}

/// What is wrong with a primary that answers.
fn wrongs(map: &ShardMap, entry: &ServerEntry, status: &ServerStatus) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &entry.name;
    let mapped: u64 = map.ranges_of(name).map(|range| u64::from(range.last - range.first) + 1).sum();
    if mapped != status.shards {
        problems.push(format!("{name}: has {} shards, the map gives it {mapped}. A move was interrupted: run it again.", status.shards));
    } else if status.moving > 0 {
        problems.push(format!("{name}: {} shards are on their way. If no move is running, run it again to finish it.", status.moving));
    }
    if !status.durable {
        problems.push(format!(
            "{name}: a crash of the machine can lose acknowledged writes: set innodb_flush_log_at_trx_commit = 1 and sync_binlog = 1."
        ));
    }
    if !entry.replicas.is_empty() && !status.semi_sync {
        problems.push(format!(
            "{name}: commits don't wait for a replica, so that a failover can lose the last of them: turn semi-synchronous replication on."
        ));
    }
    problems
}
