//! Changes kept for recovery: switched on and off, and archived beside the backups, again and again.
//!
//! ```text
//! write ─▶ changes (position │ shard │ epoch │ records │ at_ms │ the rows' last states), in the write's own transaction
//!            │ the cut: all shards locked for a moment, so that up to the highest position everything is there
//!            ▼
//! changes/<since>/<server>/<number>.jsonl.gz ─▶ head.json ─▶ archived rows are deleted ─▶ fleet.json, when all servers are done
//! ```
//!
//! `since` names one time of keeping changes without a gap; switched off and on again there is another. A segment that was written before
//! a kill, but not counted in head.json, is written again under its number. What follows after a failover is told by its epoch, because
//! the new primary may use positions again that were lost with the old one.

use serde::{Deserialize, Serialize};

use mysql::Taken;

use super::super::lane::SERVER_NOW;
use super::super::read::HELD;
use super::backup::files::{FILE_BYTES, FORMAT, instant, pack, parse, sum, to_json};
use super::{Operator, number};
use crate::backup_store::BackupStore;
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

/// Rows per page; one commit of many large objects may have 8 MiB.
const PAGE_ROWS: usize = 100;
/// Rows that one statement deletes, so that nobody waits long for its locks.
const DELETE_ROWS: u64 = 2_000;

/// How far one server's changes have been archived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub format: u32,
    /// Everything that was committed before is there.
    pub through_ms: i64,
    pub position: i64,
    /// The largest epoch that the server knew.
    pub epoch: u64,
    pub outbox_position: i64,
    /// How many segments there are; they are numbered from 1.
    pub segments: u64,
}

/// Until when the changes of all servers are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FleetHead {
    pub format: u32,
    pub through_ms: i64,
    /// Every server that ever had changes.
    pub servers: Vec<String>,
}

/// The first line of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SegmentHead {
    pub format: u32,
    /// What was committed later is not in it.
    pub through_ms: i64,
    pub rows: u64,
    /// Of all lines after the first.
    pub sha256: String,
}

/// What an archiving did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    pub changes: u64,
    pub segments: u64,
    /// From the first to the second instant (milliseconds since 1970) any moment can be restored, given a backup from between.
    pub since_ms: i64,
    pub through_ms: i64,
}

/// What one server has at the moment of the cut.
struct Cut {
    now_ms: i64,
    position: i64,
    outbox_position: i64,
    epoch: u64,
    since: i64,
}

pub(super) fn folder(since: i64, server: &str) -> String {
    format!("changes/{since}/{server}")
}

pub(super) fn fleet_name(since: i64) -> String {
    format!("changes/{since}/fleet.json")
}

pub(super) fn segment_name(folder: &str, number: u64) -> String {
    format!("{folder}/{number:010}.jsonl.gz")
}

pub(super) async fn read_json<T: serde::de::DeserializeOwned>(store: &dyn BackupStore, name: &str) -> Result<Option<T>> {
    store.get(name).await?.map(|bytes| parse(name, &bytes)).transpose()
}

impl Operator {
    /// Keeps every change from now on, or no longer. Returns since when they are kept, in milliseconds since 1970; 0 for no longer. When they
    /// are kept on all shards already nothing changes.
    pub async fn keep_changes(&self, keep: bool, dry_run: bool) -> Result<i64> {
        let map = self.map().await?;
        let _lock = self.lock(&map).await?;
        let (mut sinces, mut now_ms) = (Vec::new(), 0);
        for entry in &map.servers {
            let sql = format!(
                "SELECT COUNT(*) FROM owned_shards WHERE state = 'arriving'; SELECT {SERVER_NOW}; \
                 SELECT DISTINCT records FROM owned_shards WHERE state IN {HELD}"
            );
            let sets = self.server(&entry.primary)?.query(&sql).await?;
            if number(&sets, 0)? != Some(0) {
                return Err(Error::Unavailable(format!(
                    "Shards are on their way to server {}. Finish that move or restore first (`corkboard storage status`); nothing was changed.",
                    entry.name
                )));
            }
            now_ms = now_ms.max(number(&sets, 1)?.unwrap_or(0));
            for row in sets.get(2).into_iter().flatten() {
                sinces.push(row.i64(0)?);
            }
        }
        sinces.sort_unstable();
        sinces.dedup();
        let since = match (keep, sinces.as_slice()) {
            (true, [since]) if *since != 0 => return Ok(*since),
            (true, _) => now_ms,
            (false, _) => 0,
        };
        if !dry_run {
            for entry in &map.servers {
                self.server(&entry.primary)?.query(&format!("UPDATE owned_shards SET records = {since} WHERE state IN {HELD}")).await?;
            }
        }
        Ok(since)
    }

    /// Archives the changes that are not yet, on every server, and deletes what is. May be killed and run again at any time, and run as often
    /// as one likes; two at once are refused.
    pub async fn archive_changes(&self, store: &dyn BackupStore) -> Result<ArchiveReport> {
        let map = self.map().await?;
        let mut report = ArchiveReport { through_ms: i64::MAX, ..ArchiveReport::default() };
        let mut failed = None;
        // Servers without shards come last: the others know since when changes are kept.
        let (with, without): (Vec<_>, Vec<_>) = map.servers.iter().partition(|entry| map.ranges_of(&entry.name).next().is_some());
        for entry in with.into_iter().chain(without) {
            match self.archive_server(store, entry, &mut report).await {
                Ok(()) => {}
                // The others' changes are no less worth keeping.
                Err(error) => {
                    self.progress.say(&format!("{}: {error}", entry.name));
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.tell_fleet(store, &map, &report).await?;
        Ok(report)
    }

    async fn tell_fleet(&self, store: &dyn BackupStore, map: &ShardMap, report: &ArchiveReport) -> Result<()> {
        let name = fleet_name(report.since_ms);
        let known: Option<FleetHead> = read_json(store, &name).await?;
        let mut servers = known.map(|known| known.servers).unwrap_or_default();
        servers.extend(map.servers.iter().map(|entry| entry.name.clone()));
        servers.sort();
        servers.dedup();
        store.put(&name, to_json(&FleetHead { format: FORMAT, through_ms: report.through_ms, servers })?).await
    }

    async fn archive_server(&self, store: &dyn BackupStore, entry: &ServerEntry, report: &mut ArchiveReport) -> Result<()> {
        let server = self.server(&entry.primary)?;
        let mut connection = server.take().await?;
        let locked = connection.query("SELECT GET_LOCK(CONCAT('corkboard.changes.', DATABASE()), 0)").await?;
        if number(&locked, 0)? != Some(1) {
            return Err(Error::Unavailable(format!(
                "The changes of server {} are being archived by somebody else. Wait for its end and try again.",
                entry.name
            )));
        }
        let cut = cut(&mut connection, &entry.name).await?;
        // A server without shards has nothing to tell, but may have had.
        let since = if cut.since == 0 { report.since_ms } else { cut.since };
        if report.since_ms != 0 && since != report.since_ms {
            return Err(mixed(&entry.name));
        }
        report.since_ms = since;
        if since == 0 {
            return Err(Error::Invalid(
                "Changes are not kept. Switch it on with `corkboard storage backup --keep-changes on`, and take a backup then.".to_owned(),
            ));
        }
        let head_name = format!("{}/head.json", folder(since, &entry.name));
        let known: Option<Head> = read_json(store, &head_name).await?;
        let head = known.unwrap_or(Head { format: FORMAT, through_ms: since, position: 0, epoch: 0, outbox_position: 0, segments: 0 });
        let mut writer = Segments { store, folder: folder(since, &entry.name), head: head.clone(), lines: Vec::new(), rows: 0 };
        report.changes += writer.changes(&mut connection, &cut, since, head.clone()).await?;
        writer.events(&mut connection, &cut).await?;
        // With another epoch the positions may have begun anew.
        let position = if cut.epoch == head.epoch { cut.position.max(head.position) } else { cut.position };
        writer.end(cut.now_ms).await?;
        let segments = writer.head.segments;
        report.segments += segments - head.segments;
        report.through_ms = report.through_ms.min(cut.now_ms);
        let outbox_position = if cut.epoch == head.epoch { cut.outbox_position.max(head.outbox_position) } else { cut.outbox_position };
        let done = Head { format: FORMAT, through_ms: cut.now_ms, position, epoch: cut.epoch, outbox_position, segments };
        store.put(&head_name, to_json(&done)?).await?;
        delete_archived(&mut connection, cut.position).await?;
        connection.query("SELECT RELEASE_LOCK(CONCAT('corkboard.changes.', DATABASE()))").await?;
        connection.put_back();
        self.progress.say(&format!("{}: archived until {}", entry.name, instant(cut.now_ms)));
        Ok(())
    }
}

fn mixed(server: &str) -> Error {
    Error::Invalid(format!(
        "The shards of server {server} do not all keep their changes since the same time. Run `corkboard storage backup --keep-changes on`, and take a backup then."
    ))
}

/// Locks all shards for a moment: who wrote has committed, who comes later gets a higher position and a later time.
async fn cut(connection: &mut Taken, name: &str) -> Result<Cut> {
    let sets = connection
        .query(&format!(
            "BEGIN; SELECT epoch, state, records FROM owned_shards ORDER BY shard LOCK IN SHARE MODE; \
             SELECT COALESCE(MAX(position), 0) FROM changes; SELECT COALESCE(MAX(position), 0) FROM outbox; SELECT {SERVER_NOW}; COMMIT"
        ))
        .await?;
    let (mut epoch, mut sinces) = (0, Vec::new());
    for row in sets.first().into_iter().flatten() {
        epoch = epoch.max(row.u64(0)?);
        if matches!(row.text(1)?, "owned" | "copying" | "frozen") {
            sinces.push(row.i64(2)?);
        }
    }
    sinces.dedup();
    let since = match sinces.as_slice() {
        [] => 0,
        [since] => *since,
        _ => return Err(mixed(name)),
    };
    let value =
        |index: usize| number(&sets, index)?.ok_or_else(|| Error::Corrupt(format!("Server {name} did not answer what it was asked.")));
    Ok(Cut { now_ms: value(3)?, position: value(1)?, outbox_position: value(2)?, epoch, since })
}

/// Deletes what has been archived, but for what a move has still to carry over.
async fn delete_archived(connection: &mut Taken, position: i64) -> Result<()> {
    loop {
        let sql = format!(
            "DELETE FROM changes WHERE records <> 0 AND position <= {position} AND shard NOT IN \
             (SELECT shard FROM owned_shards WHERE state IN ('copying','frozen')) LIMIT {DELETE_ROWS}; SELECT ROW_COUNT()"
        );
        let sets = connection.query(&sql).await?;
        if number(&sets, 0)?.unwrap_or(0) < DELETE_ROWS as i64 {
            return Ok(());
        }
    }
}

/// Writes segments, one after the other.
struct Segments<'a> {
    store: &'a dyn BackupStore,
    folder: String,
    head: Head,
    lines: Vec<u8>,
    rows: u64,
}

impl Segments<'_> {
    /// Writes the changes up to the cut that are not archived. Returns how many.
    async fn changes(&mut self, connection: &mut Taken, cut: &Cut, since: i64, head: Head) -> Result<u64> {
        let (mut after, mut count, mut at_ms) = (0, 0, 0);
        loop {
            let sql = format!(
                "SELECT position, shard, epoch, at_ms, changes FROM changes WHERE position > {after} AND position <= {} AND records = {since} \
                 AND (position > {} OR epoch > {}) ORDER BY position LIMIT {PAGE_ROWS}",
                cut.position, head.position, head.epoch
            );
            let sets = connection.query(&sql).await?;
            let rows = sets.first().map_or(&[][..], Vec::as_slice);
            for row in rows {
                if self.lines.len() > FILE_BYTES {
                    self.end(at_ms).await?;
                }
                (after, at_ms) = (row.i64(0)?, row.i64(3)?);
                let line = format!("[{},{},{after},{at_ms},{}]\n", row.u64(1)?, row.u64(2)?, row.text(4)?);
                self.lines.extend_from_slice(line.as_bytes());
                self.rows += 1;
                count += 1;
            }
            if rows.len() < PAGE_ROWS {
                return Ok(count);
            }
        }
    }

    /// Writes the events that wait for the log at the moment of the cut: those that went before are in the log.
    async fn events(&mut self, connection: &mut Taken, cut: &Cut) -> Result<()> {
        let mut after = if cut.epoch == self.head.epoch { self.head.outbox_position } else { 0 };
        loop {
            let sql = format!(
                "SELECT position, id, event FROM outbox WHERE position > {after} AND position <= {} ORDER BY position LIMIT {PAGE_ROWS}",
                cut.outbox_position
            );
            let sets = connection.query(&sql).await?;
            let rows = sets.first().map_or(&[][..], Vec::as_slice);
            for row in rows {
                after = row.i64(0)?;
                self.lines.extend(to_json(&(row.text(1)?, row.text(2)?))?);
                self.lines.push(b'\n');
                self.rows += 1;
                if self.lines.len() > FILE_BYTES {
                    self.end(cut.now_ms).await?;
                }
            }
            if rows.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Ends a segment, if there is something in it.
    async fn end(&mut self, through_ms: i64) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let (lines, rows) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.rows));
        let mut text = to_json(&SegmentHead { format: FORMAT, through_ms, rows, sha256: sum(&lines) })?;
        text.push(b'\n');
        text.extend(lines);
        self.head.segments += 1;
        self.store.put(&segment_name(&self.folder, self.head.segments), pack(text).await?).await
    }
}
