//! `failover`: a replica in its primary's place, after the primary has died or before it is taken away.
//!
//! ```text
//! look       does the primary answer? does a replica still see it?          a partition is no death: refused
//! promise    every replica is told that a newer map is coming               from here on nobody gives the old primary a lease again
//! wait       until the last lease has run out                               from here on nobody writes there, should it come back
//! look again
//! catch up   the replica that has received most applies all of it
//! promote    it follows nobody, owns the shards at the next epoch, is told the new map
//! publish    everybody else is told; the other replicas follow it
//! ```
//!
//! Nothing that was acknowledged is lost if commits waited for a replica (semi-synchronous replication); the primary's own lease row,
//! which is replicated, says whether they did. Killed anywhere, it is run again.

use std::time::Duration;

use mysql::{Replication, Server};
use serde::Serialize;

use super::super::keeper::LEASE_MS;
use super::super::lane::{SERVER_NOW, now_ms};
use super::{Operator, entry, tell_map};
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

/// How long a server gets to answer before it counts as away.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// Looks at a primary that does not answer, before it is believed to be dead.
const LOOKS: usize = 3;
/// What clocks of processes may differ by, and transactions take that began under the last lease.
const MARGIN_MS: i64 = 2_000;
/// How long a replica may take to apply what it has received.
const CATCH_UP_TIME: Duration = Duration::from_secs(600);
/// How long writes stop at most for a planned one, before it is called off.
const SWITCH_TIME: Duration = Duration::from_secs(4);

/// How a failover is done.
#[derive(Clone, Debug, Default)]
pub struct FailoverOptions {
    /// The replica that is promoted, by its address; else the one that has received most.
    pub to: Option<String>,
    /// The primary is alive and hands over.
    pub planned: bool,
    pub dry_run: bool,
    /// Goes on although the last commits may be on the dead primary alone.
    pub accept_loss: bool,
    /// Promotes nobody: takes replicas that don't answer out of the map, so that the primary may be opened without asking them.
    pub keep: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FailoverReport {
    pub promoted: Option<String>,
    pub epoch: u64,
    /// What was done, or would be.
    pub steps: Vec<String>,
}

impl Operator {
    /// Puts a replica in a primary's place.
    pub async fn failover(&self, name: &str, options: &FailoverOptions) -> Result<FailoverReport> {
        let map = self.map().await?;
        let entry = entry(&map, name)?.clone();
        let alive = self.answers(&entry.primary).await;
        let _lock = if alive { self.lock(&map).await? } else { self.lock_without(&map, name).await? };
        let map = if alive { self.settle(map, options.dry_run).await? } else { map };
        if options.keep {
            return self.keep(&map, &entry, options.dry_run).await;
        }
        match (alive, options.planned) {
            // One that was killed may have taken the only replica out of the map already.
            (true, false) if self.is_unfinished(&map, &entry).await? => self.finish(&map, &entry, options.dry_run).await,
            (true, false) => Err(Error::Conflict(format!(
                "Server {name} answers at {}: it is alive. To change primaries all the same, without losing a write: --planned.",
                entry.primary
            ))),
            _ if entry.replicas.is_empty() => Err(Error::Invalid(format!(
                "Server {name} has no replica in the map; there is nobody to promote. Restore a backup instead."
            ))),
            (true, true) => self.hand_over(&map, &entry, options).await,
            (false, true) => Err(Error::Unavailable(format!(
                "Server {name} does not answer, so that it can't hand over. Without --planned it is replaced."
            ))),
            (false, false) => self.replace(&map, &entry, options).await,
        }
    }

    pub(super) async fn answers(&self, address: &str) -> bool {
        let Ok(server) = self.server(address) else { return false };
        for _ in 0..LOOKS {
            if server.query_within("SELECT 1", LOOK_TIME).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        false
    }

    /// Replaces a dead primary.
    async fn replace(&self, map: &ShardMap, entry: &ServerEntry, options: &FailoverOptions) -> Result<FailoverReport> {
        // Who has heard of a decided move that nobody has told is one ahead of the map; no map but ours may have the epoch after that.
        let mut report = FailoverReport { epoch: map.epoch + 2, ..FailoverReport::default() };
        report.steps.push(format!("{} does not answer at {}", entry.name, entry.primary));
        let replicas = self.reachable(entry).await?;
        self.check_death(entry, &replicas).await?;
        check_sync(entry, &replicas, options.accept_loss).await?;
        let chosen = self.choose(entry, &replicas, options.to.as_deref()).await?;
        report.steps.push(format!("{chosen} takes its place, at epoch {}", report.epoch));
        if options.dry_run {
            return Ok(report);
        }
        for (_, server) in &replicas {
            promise(server, report.epoch).await?;
        }
        let outcome = self.replace_promised(map, entry, &replicas, &chosen, &mut report).await;
        if outcome.is_err() {
            for (_, server) in &replicas {
                // Taken back, so that the old primary may be opened again; one that was promoted keeps it.
                let _ = promise(server, 0).await;
            }
        }
        outcome?;
        Ok(report)
    }

    async fn replace_promised(
        &self,
        map: &ShardMap,
        entry: &ServerEntry,
        replicas: &[(String, Server)],
        chosen: &str,
        report: &mut FailoverReport,
    ) -> Result<()> {
        wait_out_lease(self, replicas).await?;
        if self.answers(&entry.primary).await {
            return Err(Error::Conflict(format!("Server {} answers again; it stays the primary.", entry.name)));
        }
        self.check_death(entry, replicas).await?;
        let server = self.server(chosen)?;
        self.progress.begin(&format!("{chosen} applies what it has received"), None);
        wait_until_applied(&server).await?;
        self.promote(map, entry, chosen, None, report).await
    }

    /// Promotes a replica that has applied everything, and tells everybody.
    async fn promote(
        &self,
        map: &ShardMap,
        entry: &ServerEntry,
        chosen: &str,
        rejoins: Option<&str>,
        report: &mut FailoverReport,
    ) -> Result<()> {
        let server = self.server(chosen)?;
        let epoch = report.epoch;
        Replication(&server).promote().await?;
        let map = replaced(&self.settled_without(map, entry, &server).await?, &entry.name, chosen, rejoins, epoch);
        let arrived: Vec<String> =
            map.ranges_of(&entry.name).map(|range| format!("shard BETWEEN {} AND {}", range.first, range.last)).collect();
        // Shards that are on their way here, and that their old server has given up, have arrived with this.
        server
            .query(&format!(
                "UPDATE owned_shards SET epoch = {epoch} WHERE state IN ('owned','copying','frozen') AND epoch < {epoch}; \
                 UPDATE owned_shards SET epoch = {epoch}, state = 'owned', other = '' WHERE state = 'arriving' AND ({}); \
                 UPDATE lease SET at_ms = {}, until_ms = {SERVER_NOW} + {LEASE_MS} WHERE id = 1",
                if arrived.is_empty() { "FALSE".to_owned() } else { arrived.join(" OR ") },
                now_ms()
            ))
            .await?;
        tell_map(&server, &map).await?;
        report.promoted = Some(chosen.to_owned());
        report.steps.push(format!("{chosen} is the primary of {} now", entry.name));
        self.publish(&map).await?;
        report.steps.push(format!("map: epoch {epoch}"));
        self.repoint(&map, &entry.name, report).await
    }

    /// Lets commits on a primary wait for a replica, now that one follows it; whether the one before did so its lease says.
    async fn wait_for_replicas(&self, server: &Server, report: &mut FailoverReport) -> Result<()> {
        let sets = server.query("SELECT semi_sync FROM lease WHERE id = 1").await?;
        if mysql::first(&sets).map(|row| row.bool(0)).transpose()? == Some(true) {
            match Replication(server).set_semi_sync(true).await {
                Ok(()) => report.steps.push(format!("commits on {} wait for a replica", server.address())),
                Err(error) => report.steps.push(format!("commits on {} do NOT wait for a replica: {error}", server.address())),
            }
        }
        Ok(())
    }

    /// Lets the other replicas follow the primary of the map.
    async fn repoint(&self, map: &ShardMap, name: &str, report: &mut FailoverReport) -> Result<()> {
        let entry = entry(map, name)?;
        let promoted = self.server(&entry.primary)?;
        let primary = promoted.address().clone();
        let mut is_followed = false;
        for address in &entry.replicas {
            let followed = async {
                let server = self.server(address)?;
                // A former primary waits for nobody any more.
                let _ = Replication(&server).set_semi_sync(false).await;
                if !follows(&server, &promoted).await? {
                    Replication(&server).follow(&primary.host, primary.port, self.replication.as_ref()).await?;
                }
                Ok::<_, Error>(())
            };
            match followed.await {
                Ok(()) => {
                    is_followed = true;
                    report.steps.push(format!("{address} follows {}", entry.primary));
                }
                Err(error) => report.steps.push(format!("{address} does not follow it yet: {error} Run the command again to retry.")),
            }
        }
        if is_followed { self.wait_for_replicas(&promoted, report).await } else { Ok(()) }
    }

    /// Hands over from a primary that is alive: writes stop for as long as the replica needs to catch up.
    async fn hand_over(&self, map: &ShardMap, entry: &ServerEntry, options: &FailoverOptions) -> Result<FailoverReport> {
        let mut report = FailoverReport { epoch: map.epoch + 1, ..FailoverReport::default() };
        let replicas = self.reachable(entry).await?;
        let chosen = self.choose(entry, &replicas, options.to.as_deref()).await?;
        let (old, new) = (self.server(&entry.primary)?, self.server(&chosen)?);
        let position = Replication(&old).applied().await?;
        if !Replication(&new).wait_for(&position, SWITCH_TIME).await? {
            return Err(Error::Unavailable(format!(
                "{chosen} is more than {} s behind; wait until it has caught up.",
                SWITCH_TIME.as_secs()
            )));
        }
        report.steps.push(format!("{} hands over to {chosen}, at epoch {}", entry.name, report.epoch));
        if options.dry_run {
            return Ok(report);
        }
        for (_, server) in &replicas {
            promise(server, report.epoch).await?;
        }
        let stopped = async {
            // No new transaction begins, and those that run come to their end.
            old.query("UPDATE lease SET until_ms = 0 WHERE id = 1").await?;
            Replication(&old).set_read_only(true).await?;
            let position = Replication(&old).applied().await?;
            if Replication(&new).wait_for(&position, SWITCH_TIME).await? {
                return Ok(());
            }
            Err(Error::Unavailable(format!(
                "{chosen} did not catch up within {} s; {} stays the primary.",
                SWITCH_TIME.as_secs(),
                entry.name
            )))
        };
        if let Err(error) = stopped.await {
            for (_, server) in &replicas {
                let _ = promise(server, 0).await;
            }
            Replication(&old).set_read_only(false).await?;
            return Err(error);
        }
        let rejoins = self.replication.is_some().then_some(entry.primary.as_str());
        self.promote(map, entry, &chosen, rejoins, &mut report).await?;
        if rejoins.is_none() {
            report.steps.push(format!(
                "{} is out of the map and only reads; with storage.replication_user set it would have become a replica",
                entry.primary
            ));
        }
        Ok(report)
    }

    /// Takes replicas that don't answer out of the map.
    async fn keep(&self, map: &ShardMap, entry: &ServerEntry, dry_run: bool) -> Result<FailoverReport> {
        let mut report = FailoverReport { epoch: map.epoch, ..FailoverReport::default() };
        let mut kept = entry.clone();
        kept.replicas.clear();
        for address in &entry.replicas {
            if self.answers(address).await {
                kept.replicas.push(address.clone());
            } else {
                report.steps.push(format!("{address} does not answer and leaves the map"));
            }
        }
        if report.steps.is_empty() {
            return Err(Error::Conflict(format!("All replicas of {} answer; there is nothing to take out.", entry.name)));
        }
        if !dry_run {
            let mut map = map.clone();
            map.epoch += 1;
            report.epoch = map.epoch;
            map.servers.iter_mut().filter(|server| server.name == entry.name).for_each(|server| *server = kept.clone());
            self.publish(&map).await?;
        }
        Ok(report)
    }

    /// Tells whether an earlier failover was killed before everybody knew, or a replica was away then: the file or a server has an older
    /// map, or a replica that answers follows somebody else.
    async fn is_unfinished(&self, map: &ShardMap, entry: &ServerEntry) -> Result<bool> {
        if super::read_map(&self.file).map_or(true, |kept| kept.epoch < map.epoch) {
            return Ok(true);
        }
        for (_, server) in self.answering(entry).await? {
            if !follows(&server, &self.server(&entry.primary)?).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn finish(&self, map: &ShardMap, entry: &ServerEntry, dry_run: bool) -> Result<FailoverReport> {
        let mut report = FailoverReport { epoch: map.epoch, ..FailoverReport::default() };
        report.steps.push("an interrupted failover is brought to its end".to_owned());
        if !dry_run {
            self.publish(map).await?;
            self.repoint(map, &entry.name, &mut report).await?;
        }
        Ok(report)
    }

    /// Names the replicas that answer, if any.
    pub(super) async fn answering(&self, entry: &ServerEntry) -> Result<Vec<(String, Server)>> {
        let mut answering = Vec::new();
        for address in &entry.replicas {
            let server = self.server(address)?;
            if server.query_within("SELECT 1", LOOK_TIME).await.is_ok() {
                answering.push((address.clone(), server));
            }
        }
        Ok(answering)
    }

    /// Names the replicas that answer; refuses when none does.
    async fn reachable(&self, entry: &ServerEntry) -> Result<Vec<(String, Server)>> {
        let reachable = self.answering(entry).await?;
        if reachable.is_empty() {
            return Err(Error::Unavailable(format!("No replica of {} answers; there is nobody to promote.", entry.name)));
        }
        Ok(reachable)
    }

    /// Refuses when a replica is still connected to the primary: then it lives, and only we can't reach it.
    async fn check_death(&self, entry: &ServerEntry, replicas: &[(String, Server)]) -> Result<()> {
        for (address, server) in replicas {
            if Replication(server).state().await?.is_some_and(|state| state.sees_primary) {
                return Err(Error::Conflict(format!(
                    "{address} still sees the primary of {}: it is alive, and only the way to it from here is broken. Nothing was changed. Mend the network, or stop the server and try again.",
                    entry.name
                )));
            }
        }
        Ok(())
    }

    /// Chooses the replica that has what every other one has.
    async fn choose(&self, entry: &ServerEntry, replicas: &[(String, Server)], to: Option<&str>) -> Result<String> {
        if let Some(to) = to
            && !replicas.iter().any(|(address, _)| address == to)
        {
            let known: Vec<&str> = replicas.iter().map(|(address, _)| address.as_str()).collect();
            return Err(Error::Invalid(format!("{to} is no replica of {} that answers. There are: {}.", entry.name, known.join(", "))));
        }
        // An earlier attempt that was killed may have promoted one.
        for (address, server) in replicas {
            if Replication(server).state().await?.is_none() {
                return Ok(address.clone());
            }
        }
        let mut positions = Vec::new();
        for (_, server) in replicas {
            positions.push(Replication(server).applied().await?);
        }
        let candidates = replicas.iter().filter(|(address, _)| to.is_none_or(|to| to == address));
        for (address, server) in candidates {
            let mut has_all = true;
            for position in &positions {
                has_all &= Replication(server).wait_for(position, LOOK_TIME).await?;
            }
            if has_all {
                return Ok(address.clone());
            }
        }
        Err(Error::Conflict(format!(
            "No replica of {} that may be chosen has everything that the others have. Name another one with --to.",
            entry.name
        )))
    }
}

/// Tells whether a replica follows this primary, by whatever address.
async fn follows(replica: &Server, primary: &Server) -> Result<bool> {
    let Some(state) = Replication(replica).state().await? else { return Ok(false) };
    let address = primary.address();
    Ok(state.primary == format!("{}:{}", address.host, address.port)
        || (state.sees_primary && state.primary_id == Replication(primary).server_id().await?))
}

/// Refuses when the last commits may be on the dead primary alone.
async fn check_sync(entry: &ServerEntry, replicas: &[(String, Server)], accept_loss: bool) -> Result<()> {
    for (_, server) in replicas {
        let sets = server.query("SELECT semi_sync FROM lease WHERE id = 1").await?;
        if mysql::first(&sets).map(|row| row.bool(0)).transpose()? == Some(true) {
            return Ok(());
        }
    }
    if accept_loss {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "Commits on {} did not wait for a replica when it died: the last of them may be lost. Bring it back if you can; to go on without it: --accept-loss.",
        entry.name
    )))
}

/// Tells a replica of a map that is coming; 0 takes it back. Not replicated: it is this server's alone.
async fn promise(server: &Server, epoch: u64) -> Result<()> {
    Replication(server).write_here(&format!("UPDATE shard_map SET promised = {epoch} WHERE id = 1")).await?;
    Ok(())
}

/// Waits until no lease of the old primary can be good any more, by the time at which it was last renewed.
async fn wait_out_lease(operator: &Operator, replicas: &[(String, Server)]) -> Result<()> {
    let mut renewed_at = 0;
    for (_, server) in replicas {
        let sets = server.query("SELECT at_ms FROM lease WHERE id = 1").await?;
        renewed_at = renewed_at.max(mysql::first(&sets).map(|row| row.i64(0)).transpose()?.unwrap_or(0));
    }
    let wait_ms = (renewed_at + LEASE_MS + MARGIN_MS - now_ms()).clamp(0, LEASE_MS + MARGIN_MS);
    operator.progress.begin("waiting until the old primary's lease has run out", None);
    tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
    Ok(())
}

/// Waits until a replica has applied all that it has received.
async fn wait_until_applied(server: &Server) -> Result<()> {
    let deadline = tokio::time::Instant::now() + CATCH_UP_TIME;
    loop {
        match Replication(server).state().await? {
            None => return Ok(()),
            Some(state) if state.has_caught_up => return Ok(()),
            Some(state) if !state.applies => {
                return Err(Error::Conflict(format!(
                    "{} has stopped applying: {}. Mend it, or choose another one.",
                    server.address(),
                    state.error
                )));
            }
            Some(_) if tokio::time::Instant::now() > deadline => {
                return Err(Error::Unavailable(format!("{} did not catch up within {} s.", server.address(), CATCH_UP_TIME.as_secs())));
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Returns the map with a replica as the primary of a server.
fn replaced(map: &ShardMap, name: &str, chosen: &str, rejoins: Option<&str>, epoch: u64) -> ShardMap {
    let mut map = map.clone();
    map.epoch = epoch;
    for server in map.servers.iter_mut().filter(|server| server.name == name) {
        server.replicas.retain(|replica| replica != chosen);
        server.replicas.extend(rejoins.map(str::to_owned));
        server.primary = chosen.to_owned();
    }
    for range in map.ranges.iter_mut().filter(|range| range.server == name) {
        range.epoch = epoch;
    }
    map
}

#[cfg(test)]
mod tests;
