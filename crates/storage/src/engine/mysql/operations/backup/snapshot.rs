//! One server's rows as they are at one moment.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use mysql::{Replication, Server, Taken};

use super::super::super::lane::SERVER_NOW;
use super::super::super::shape::{Cell, shapes};
use super::{BackupStore, BackupWish, FileWriter, OUTBOX, Operator, PAGE_ROWS, Progress, ServerPart, to_json};
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

/// How far a replica may be behind to be read instead of its primary.
const BEHIND_MS_MAX: i64 = 60_000;
/// How long before the snapshot a change may have begun that is not in it: a write lasts seconds, and clocks differ. Longer costs a restore
/// some changes that it makes twice, to the same effect.
const CHANGES_EARLIER_MS: i64 = 10 * 60_000;
/// How long the server keeps the connection while the servers before it in the queue are read.
const WAIT_SECONDS: u32 = 86_400;

/// An open snapshot. Dropped, it is gone.
pub(super) struct Snapshot {
    pub name: String,
    pub read_from: String,
    pub at_ms: i64,
    /// The shards that the server has at that moment, and since when their changes are kept.
    pub shards: BTreeMap<u16, i64>,
    changes_from_ms: i64,
    gtid: String,
    connection: Taken,
}

impl Operator {
    /// Opens a snapshot on every server that has shards of the range, while no shard changes hands.
    pub(super) async fn snapshots(&self, wish: &BackupWish) -> Result<(ShardMap, Vec<Snapshot>)> {
        let map = self.map().await?;
        let _lock = self.lock(&map).await?;
        let has_some = |entry: &&ServerEntry| map.ranges_of(&entry.name).any(|range| range.last >= wish.first && range.first <= wish.last);
        let opening = map.servers.iter().filter(has_some).map(|entry| self.snapshot(entry, wish));
        let snapshots = try_join_all(opening).await?;
        for shard in wish.first..=wish.last {
            let holders = snapshots.iter().filter(|snapshot| snapshot.shards.contains_key(&shard)).count();
            if holders != 1 {
                end_all(snapshots).await;
                return Err(Error::Unavailable(format!(
                    "Shard {shard} is held by {holders} servers: a move was interrupted, or a replica is behind one. Finish the move (`corkboard storage status` shows it) and try again; nothing was written."
                )));
            }
        }
        Ok((map, snapshots))
    }

    async fn snapshot(&self, entry: &ServerEntry, wish: &BackupWish) -> Result<Snapshot> {
        let primary = self.server(&entry.primary)?;
        let mut from = None;
        if wish.from_replica {
            from = self.fit_replica(&primary, entry).await?;
            if from.is_none() {
                self.progress.say(&format!("{}: no replica is fit to be read; its primary is", entry.name));
            }
        }
        let (read_from, server) = match from {
            Some(address) => (address.clone(), self.server(&address)?),
            None => (entry.primary.clone(), primary),
        };
        open(&entry.name, read_from, &server, wish)
            .await
            .map_err(|error| Error::Unavailable(format!("Server {} can't be read: {error} Nothing was written.", entry.name)))
    }

    /// Finds a replica that gets and applies what its primary does.
    async fn fit_replica(&self, primary: &Server, entry: &ServerEntry) -> Result<Option<String>> {
        let Some(written) = lease_at(primary).await? else { return Ok(None) };
        for address in &entry.replicas {
            let server = self.server(address)?;
            let state = Replication(&server).state().await;
            let works = matches!(&state, Ok(Some(state)) if state.sees_primary && state.applies);
            if works && lease_at(&server).await.ok().flatten().is_some_and(|seen| written - seen <= BEHIND_MS_MAX) {
                return Ok(Some(address.clone()));
            }
        }
        Ok(None)
    }
}

/// Returns when the server's lease was renewed last, as far as this server knows.
async fn lease_at(server: &Server) -> Result<Option<i64>> {
    let sets = server.query("SELECT at_ms FROM lease WHERE id = 1").await?;
    Ok(mysql::first(&sets).map(|row| row.i64(0)).transpose()?)
}

async fn open(name: &str, read_from: String, server: &Server, wish: &BackupWish) -> Result<Snapshot> {
    let applied = server.dialect().await?.applied();
    let mut connection = server.take().await?;
    let (first, last) = (wish.first, wish.last);
    let sets = connection
        .query(&format!(
            "SET SESSION wait_timeout = {WAIT_SECONDS}; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; \
             SELECT {SERVER_NOW}, {applied}; SELECT at_ms FROM lease WHERE id = 1; \
             SELECT shard, records FROM owned_shards WHERE state IN {} AND shard BETWEEN {first} AND {last}",
            super::super::super::read::HELD
        ))
        .await?;
    let [now, lease, owned] = sets.as_slice() else { return Err(Error::Corrupt("it did not answer what it was asked.".to_owned())) };
    let now = now.first().ok_or_else(|| Error::Corrupt("it does not tell the time.".to_owned()))?;
    let at_ms = now.i64(0)?;
    // A replica knows what its primary had when the lease that it sees was renewed.
    let seen_ms = lease.first().map(|row| row.i64(0)).transpose()?.unwrap_or(0);
    let shards = owned.iter().map(|row| Ok((row.u64(0)? as u16, row.i64(1)?))).collect::<mysql::Result<_>>()?;
    Ok(Snapshot {
        name: name.to_owned(),
        read_from,
        at_ms,
        shards,
        changes_from_ms: at_ms.min(seen_ms) - CHANGES_EARLIER_MS,
        gtid: now.optional(1, mysql::Row::string)?.unwrap_or_default(),
        connection,
    })
}

/// Ends snapshots that nothing is read from: an open one keeps the server from clearing up and from changing tables.
pub(super) async fn end_all(snapshots: Vec<Snapshot>) {
    for mut snapshot in snapshots {
        // One that can't be told is gone with its connection.
        let _ = snapshot.connection.query("ROLLBACK").await;
    }
}

impl Snapshot {
    /// Writes everything into files.
    pub async fn write(mut self, store: &dyn BackupStore, id: &str, progress: &dyn Progress) -> Result<ServerPart> {
        let mut writer = FileWriter::new(store, format!("{id}/{}", self.name));
        let runs = runs(self.shards.keys().copied());
        for shape in shapes() {
            writer.table(shape.name).await?;
            for run in &runs {
                let mut after: Option<Vec<Cell>> = None;
                loop {
                    let sets = self.connection.query(&shape.page(run.0, run.1, after.as_deref(), PAGE_ROWS)).await?;
                    let rows = sets.first().map_or(&[][..], Vec::as_slice);
                    for row in rows {
                        let cells = shape.decode(row)?;
                        let Some(Cell::Int(key)) = cells.first() else {
                            return Err(Error::Corrupt(format!("A row of {} has no key.", shape.name)));
                        };
                        writer.line(&to_json(&cells)?, (key >> shape.shift) as u16).await?;
                        after = Some(cells[..shape.key].to_vec());
                    }
                    progress.advance(rows.len() as u64);
                    if rows.len() < PAGE_ROWS {
                        break;
                    }
                }
            }
        }
        self.write_outbox(&mut writer, runs.first().map_or(0, |run| run.0)).await?;
        writer.flush().await?;
        self.connection.query("ROLLBACK").await?;
        Ok(ServerPart {
            name: self.name,
            read_from: self.read_from,
            at_ms: self.at_ms,
            changes_from_ms: self.changes_from_ms,
            gtid: self.gtid,
            files: writer.files,
        })
    }

    /// Writes the events that wait, so that what follows from a write is not lost with the server.
    async fn write_outbox(&mut self, writer: &mut FileWriter<'_>, shard: u16) -> Result<()> {
        writer.table(OUTBOX).await?;
        let mut after = 0;
        loop {
            let sql = format!("SELECT position, id, event FROM outbox WHERE position > {after} ORDER BY position LIMIT {PAGE_ROWS}");
            let sets = self.connection.query(&sql).await?;
            let rows = sets.first().map_or(&[][..], Vec::as_slice);
            for row in rows {
                after = row.i64(0)?;
                writer.line(&to_json(&(row.text(1)?, row.text(2)?))?, shard).await?;
            }
            if rows.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }
}

/// Joins shards to stretches without gaps.
pub(in super::super) fn runs(shards: impl Iterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for shard in shards {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == shard => run.1 = shard,
            _ => runs.push((shard, shard)),
        }
    }
    runs
}
