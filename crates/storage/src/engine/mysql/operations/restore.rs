//! `restore`: a backup into an empty fleet, of any number of servers, and on to a later moment by the changes that were archived.
//!
//! ```text
//! owned, empty ─▶ arriving (nobody writes) ─▶ rows of the backup ─▶ changes up to the moment ─▶ ids moved on ─▶ owned
//! ```
//!
//! Killed anywhere, it is run again and begins anew: what the interrupted one left is removed first. Until the end no writer is let in.

mod replay;

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use model::id::SHARD_COUNT;
use model::{Kind, Shard};
use mysql::Server;

use self::replay::Replay;
use super::super::shape::{Cell, Change, shape, shapes, statements};
use super::backup::files::{FileEntry, Manifest, OUTBOX, instant, manifest, read_file};
use super::backup::runs;
use super::moves::delete_rows;
use super::{Operator, entry, number};
use crate::backup_store::BackupStore;
use crate::engine::slots::sequence_slot;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// How far the ids of every kind are moved on, on every shard: whatever was handed out after the restored moment is never handed out again. At
/// 1,000 new objects a second on one shard that is enough for 18 hours, and the 36 bits have room for a thousand restores.
pub(super) const IDS_LEFT_OUT: i64 = 1 << 26;
/// Files that are loaded at once.
const FILES_AT_ONCE: usize = 3;
/// Rows in one statement.
const STATEMENT_ROWS: usize = 500;
/// What stands beside shards that are being restored, before the backup's name.
const MARK: &str = "backup ";

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct RestoreWish {
    pub id: String,
    /// The shards; all of the backup's by default.
    pub shards: Option<(u16, u16)>,
    /// The moment, in milliseconds since 1970; that of the backup by default.
    pub until_ms: Option<i64>,
    pub dry_run: bool,
    pub stop: Option<RestoreStop>,
}

/// Where a test ends a restore, as a kill would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStop {
    Marked,
    Loaded,
    Replayed,
    MovedOn,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    pub shards: usize,
    pub rows: u64,
    pub changes: u64,
    pub events: u64,
    pub steps: Vec<String>,
}

/// A restore under way.
struct Target<'a> {
    store: &'a dyn BackupStore,
    manifest: Manifest,
    map: ShardMap,
    first: u16,
    last: u16,
    servers: BTreeMap<String, Server>,
}

impl Operator {
    /// Restores a backup into a fleet that has none of its shards' rows.
    pub async fn restore(&self, store: &dyn BackupStore, wish: &RestoreWish) -> Result<RestoreReport> {
        let manifest = manifest(store, &wish.id).await?;
        check_tables(&manifest)?;
        let (first, last) = wish.shards.unwrap_or((manifest.first, manifest.last));
        if first > last || first < manifest.first || last > manifest.last {
            return Err(Error::Invalid(format!(
                "Backup {} has the shards {}–{}; {first}–{last} can't be restored from it.",
                manifest.id, manifest.first, manifest.last
            )));
        }
        let map = self.map().await?;
        let _lock = self.lock(&map).await?;
        let mut servers = BTreeMap::new();
        for range in map.ranges.iter().filter(|range| range.last >= first && range.first <= last) {
            servers.insert(range.server.clone(), self.server(&entry(&map, &range.server)?.primary)?);
        }
        let target = Target { store, manifest, map, first, last, servers };
        let mut report = RestoreReport { shards: usize::from(last - first) + 1, ..RestoreReport::default() };
        // Everything that can be known before is looked at before anything is written.
        let replay = match wish.until_ms {
            Some(until_ms) => Some(Replay::survey(&target, until_ms, self.progress.as_ref()).await?),
            None => None,
        };
        for (name, server) in &target.servers {
            target.check_fit(name, server, &mut report).await?;
        }
        let (rows, files) = (target.manifest.rows(), target.manifest.files().count());
        let moment = wish.until_ms.unwrap_or(target.manifest.at_ms);
        report.steps.push(format!("{files} files with {rows} rows of {}, shards {first}–{last}", instant(target.manifest.at_ms)));
        if let Some(replay) = &replay {
            report.steps.push(format!("{} changes up to {}", replay.changes, instant(moment)));
        }
        if wish.dry_run {
            return Ok(report);
        }
        self.run_restore(&target, replay, wish.stop, &mut report).await?;
        Ok(report)
    }

    /// Takes an interrupted restore back: its shards are empty and in service again. Returns how many there were.
    pub async fn abort_restore(&self) -> Result<u64> {
        let map = self.map().await?;
        let _lock = self.lock(&map).await?;
        let mut count = 0;
        for entry in &map.servers {
            let server = self.server(&entry.primary)?;
            let sql = format!("SELECT shard FROM owned_shards WHERE state = 'arriving' AND other LIKE '{MARK}%' ORDER BY shard");
            let sets = server.query(&sql).await?;
            let shards = sets.first().into_iter().flatten().map(|row| row.u64(0)).collect::<mysql::Result<Vec<u64>>>()?;
            for (first, last) in runs(shards.iter().map(|shard| *shard as u16)) {
                delete_rows(&server, first, last, self).await?;
                let range = format!("shard BETWEEN {first} AND {last} AND state = 'arriving' AND other LIKE '{MARK}%'");
                server.query(&format!("UPDATE owned_shards SET state = 'owned', other = '' WHERE {range}")).await?;
            }
            count += shards.len() as u64;
        }
        Ok(count)
    }

    async fn run_restore(
        &self,
        target: &Target<'_>,
        replay: Option<Replay>,
        stop: Option<RestoreStop>,
        report: &mut RestoreReport,
    ) -> Result<()> {
        for (name, server) in &target.servers {
            target.mark(name, server).await?;
        }
        stop_at(stop, RestoreStop::Marked)?;
        for server in target.servers.values() {
            // What an interrupted restore left; nothing otherwise.
            delete_rows(server, target.first, target.last, self).await?;
        }
        self.progress.begin("restoring rows", Some(target.manifest.rows()));
        let loading = target.manifest.files().filter(|file| target.wants(file)).map(|file| self.load(target, file));
        let loaded: Vec<(u64, u64)> = stream::iter(loading).buffer_unordered(FILES_AT_ONCE).try_collect().await?;
        (report.rows, report.events) = loaded.iter().fold((0, 0), |sum, file| (sum.0 + file.0, sum.1 + file.1));
        target.compare_counts(report.rows).await?;
        stop_at(stop, RestoreStop::Loaded)?;
        if let Some(replay) = replay {
            let (changes, events) = replay.run(target, self.progress.as_ref()).await?;
            report.changes = changes;
            report.events += events;
        }
        stop_at(stop, RestoreStop::Replayed)?;
        for (name, server) in &target.servers {
            target.move_ids_on(name, server).await?;
        }
        stop_at(stop, RestoreStop::MovedOn)?;
        for server in target.servers.values() {
            target.open(server).await?;
        }
        Ok(())
    }

    /// Loads one file. Returns how many rows and events it had.
    async fn load(&self, target: &Target<'_>, file: &FileEntry) -> Result<(u64, u64)> {
        let text = read_file(target.store, file).await?;
        if file.table == OUTBOX {
            let events = text.lines().map(|line| event(&file.name, line)).collect::<Result<Vec<_>>>()?;
            target.put_events(&events).await?;
            self.progress.advance(events.len() as u64);
            return Ok((0, events.len() as u64));
        }
        let shape = shape(&file.table)?;
        let (mut waiting, mut rows) = (BTreeMap::<String, Vec<Change>>::new(), 0);
        for line in text.lines() {
            let cells: Vec<Cell> = serde_json::from_str(line).map_err(|error| broken(&file.name, &error.to_string()))?;
            let Some(Cell::Int(key)) = cells.first().filter(|_| cells.len() == shape.columns.len()) else {
                return Err(broken(&file.name, "a row has other columns"));
            };
            let Some(name) = target.server_of((key >> shape.shift) as u16)? else { continue };
            let group = waiting.entry(name.to_owned()).or_default();
            group.push(Change { is_new: true, ..Change::put(shape, cells) });
            rows += 1;
            if group.len() == STATEMENT_ROWS {
                target.insert(name, &std::mem::take(group)).await?;
                self.progress.advance(STATEMENT_ROWS as u64);
            }
        }
        for (name, group) in waiting {
            target.insert(&name, &group).await?;
            self.progress.advance(group.len() as u64);
        }
        Ok((rows, 0))
    }
}

impl Target<'_> {
    fn wants(&self, file: &FileEntry) -> bool {
        file.table == OUTBOX || (file.last >= self.first && file.first <= self.last)
    }

    /// Returns the server that gets a shard; `None` for a shard that is not to be restored.
    fn server_of(&self, shard: u16) -> Result<Option<&str>> {
        if shard < self.first || shard > self.last {
            return Ok(None);
        }
        let range = self.map.range_of(Shard(shard)).ok_or_else(|| Error::Invalid(format!("The map has no shard {shard}.")))?;
        Ok(Some(&range.server))
    }

    fn server(&self, name: &str) -> Result<&Server> {
        self.servers.get(name).ok_or_else(|| Error::Corrupt(format!("Server {name} takes no part in this restore.")))
    }

    /// Lists the stretches of the range that a server gets.
    fn stretches<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u16, u16)> + 'a {
        let cut = |range: &crate::RangeEntry| (range.first.max(self.first), range.last.min(self.last));
        self.map.ranges_of(name).map(cut).filter(|(first, last)| first <= last)
    }

    /// Refuses a server whose shards are not its own or not empty. What an interrupted restore left may be there.
    async fn check_fit(&self, name: &str, server: &Server, report: &mut RestoreReport) -> Result<()> {
        for (first, last) in self.stretches(name) {
            let sql = format!(
                "SELECT COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state = 'owned'; \
                 SELECT COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state = 'arriving' AND other LIKE '{MARK}%'; \
                 {}",
                rows_sql(first, last)
            );
            let sets = server.query(&sql).await.map_err(|error| Error::Unavailable(format!("Server {name} does not answer: {error}")))?;
            let (owned, marked) = (number(&sets, 0)?.unwrap_or(0), number(&sets, 1)?.unwrap_or(0));
            if owned + marked != i64::from(last - first) + 1 {
                return Err(Error::Invalid(format!(
                    "Server {name} does not have all of the shards {first}–{last}, or they are in a move. Restore into a fleet that `corkboard storage init` has just made; nothing was written."
                )));
            }
            let tables: Vec<String> = sets.get(2).into_iter().flatten().map(|row| row.string(0)).collect::<mysql::Result<_>>()?;
            if marked > 0 {
                report.steps.push(format!(
                    "{name}: a restore of shards {first}–{last} was interrupted; it begins anew, and what it left is removed"
                ));
            } else if !tables.is_empty() {
                return Err(not_empty(name, first, last, &tables));
            }
        }
        Ok(())
    }

    /// Takes the shards out of service, and looks again whether somebody has written meanwhile.
    async fn mark(&self, name: &str, server: &Server) -> Result<()> {
        for (first, last) in self.stretches(name) {
            let mark = format!("{MARK}{}", self.manifest.id);
            let sets = server
                .query(&format!(
                    "SELECT COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state = 'arriving' AND other LIKE '{MARK}%'; \
                     UPDATE owned_shards SET state = 'arriving', other = '{mark}' WHERE shard BETWEEN {first} AND {last} AND \
                     (state = 'owned' OR (state = 'arriving' AND other LIKE '{MARK}%')); {}",
                    rows_sql(first, last)
                ))
                .await?;
            let tables: Vec<String> = sets.get(1).into_iter().flatten().map(|row| row.string(0)).collect::<mysql::Result<_>>()?;
            if number(&sets, 0)? == Some(0) && !tables.is_empty() {
                return Err(Error::Conflict(format!(
                    "Somebody wrote to server {name} just now, to {}. Stop what serves this fleet; then `corkboard storage restore --abort` empties the shards, and they can be restored.",
                    tables.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Lets writers in.
    async fn open(&self, server: &Server) -> Result<()> {
        let (first, last, mark) = (self.first, self.last, format!("{MARK}{}", self.manifest.id));
        server
            .query(&format!(
                "UPDATE owned_shards SET state = 'owned', other = '', records = 0 \
                 WHERE shard BETWEEN {first} AND {last} AND state = 'arriving' AND other = '{mark}'"
            ))
            .await?;
        Ok(())
    }

    async fn insert(&self, name: &str, changes: &[Change]) -> Result<()> {
        let server = self.server(name)?;
        for statement in statements(changes) {
            // Not asked again when a connection breaks: a row that is there twice would not be told from one that is in two files.
            let mut connection = server.take().await?;
            connection.query(&statement).await.map_err(|error| {
                Error::Unavailable(format!("Server {name} did not take the rows: {error} Run it again; it begins anew."))
            })?;
            connection.put_back();
        }
        Ok(())
    }

    /// Puts events into an outbox. Some may get there twice, in two attempts: the log keeps an event once.
    async fn put_events(&self, events: &[(String, String)]) -> Result<()> {
        let Some(server) = self.servers.values().next() else { return Ok(()) };
        for chunk in events.chunks(STATEMENT_ROWS / 5) {
            let mut sql = String::from("INSERT INTO outbox (id, event) VALUES ");
            for (index, (id, json)) in chunk.iter().enumerate() {
                sql.push_str(if index > 0 { ",(" } else { "(" });
                mysql::quote(&mut sql, id);
                sql.push(',');
                mysql::quote(&mut sql, json);
                sql.push(')');
            }
            server.query(&sql).await?;
        }
        Ok(())
    }

    /// Counts what is there against what was read.
    async fn compare_counts(&self, rows: u64) -> Result<()> {
        let mut found = 0;
        for (name, server) in &self.servers {
            for (first, last) in self.stretches(name) {
                let counts = shapes().iter().map(|shape| {
                    let (low, high) = shape.bounds(first, last);
                    format!("(SELECT COUNT(*) FROM {} WHERE {} BETWEEN {low} AND {high})", shape.name, shape.columns[0])
                });
                let sql = format!("SELECT {}", counts.collect::<Vec<_>>().join(" + "));
                found += number(&server.query(&sql).await?, 0)?.unwrap_or(0) as u64;
            }
        }
        if found == rows {
            return Ok(());
        }
        Err(Error::Corrupt(format!(
            "{rows} rows were read from the backup, and {found} are there. Run it again; nobody is let in until it is right."
        )))
    }

    /// Moves the next ids on, of kinds that the backup has not seen yet too.
    async fn move_ids_on(&self, name: &str, server: &Server) -> Result<()> {
        let slots = self.stretches(name).flat_map(|(first, last)| first..=last);
        let slots: Vec<i64> = slots.flat_map(|shard| Kind::OBJECTS.map(|kind| sequence_slot(Shard(shard), kind))).collect();
        for chunk in slots.chunks(STATEMENT_ROWS) {
            let rows: Vec<String> = chunk.iter().map(|slot| format!("({slot},{})", 1 + IDS_LEFT_OUT)).collect();
            // Not asked again when a connection breaks: it would move on twice. A broken restore begins anew.
            let mut connection = server.take().await?;
            let sql = format!(
                "INSERT INTO sequences (slot, next) VALUES {} ON DUPLICATE KEY UPDATE next = next + {IDS_LEFT_OUT}",
                rows.join(",")
            );
            connection.query(&sql).await?;
            connection.put_back();
        }
        Ok(())
    }
}

/// Refuses a backup whose tables are not those of this version.
fn check_tables(manifest: &Manifest) -> Result<()> {
    for (table, columns) in &manifest.tables {
        if shape(table).is_ok_and(|shape| shape.columns == columns.as_slice()) {
            continue;
        }
        return Err(Error::Invalid(format!(
            "Backup {} has a table {table} ({}) that this version does not have. Restore with the version that made it, then upgrade.",
            manifest.id,
            columns.join(", ")
        )));
    }
    if manifest.first > manifest.last || manifest.last >= SHARD_COUNT {
        return Err(Error::Corrupt(format!("Backup {} says that it has the shards {}–{}.", manifest.id, manifest.first, manifest.last)));
    }
    Ok(())
}

/// Returns a query for the names of tables that have rows on a range of shards.
fn rows_sql(first: u16, last: u16) -> String {
    let parts = shapes().iter().map(|shape| {
        let (low, high) = shape.bounds(first, last);
        format!("(SELECT '{}' FROM {} WHERE {} BETWEEN {low} AND {high} LIMIT 1)", shape.name, shape.name, shape.columns[0])
    });
    parts.collect::<Vec<_>>().join(" UNION ALL ")
}

fn not_empty(name: &str, first: u16, last: u16, tables: &[String]) -> Error {
    Error::Invalid(format!(
        "Server {name} has rows of the shards {first}–{last} already, in {}. A backup is restored over nothing: make an empty fleet with `corkboard storage init` on new databases. Nothing was written.",
        tables.join(", ")
    ))
}

fn event(name: &str, line: &str) -> Result<(String, String)> {
    serde_json::from_str(line).map_err(|error| broken(name, &error.to_string()))
}

fn broken(name: &str, what: &str) -> Error {
    Error::Corrupt(format!("{name} can't be read: {what}. Use another copy or another backup."))
}

fn stop_at(stop: Option<RestoreStop>, here: RestoreStop) -> Result<()> {
    if stop == Some(here) { Err(Error::Unavailable(format!("Stopped at {here:?}, as asked."))) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
