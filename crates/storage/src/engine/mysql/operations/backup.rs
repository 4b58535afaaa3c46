//! `backup`: every server's rows as they were at one moment, into a place for files.
//!
//! ```text
//! fleet's lock ─▶ a snapshot on every server, within moments ─▶ lock given back: nobody waits for what follows
//!                     │ table by table, by key
//!                     ▼
//!   <id>/<server>/<table>-<number>.jsonl.gz  ─▶  <id>/manifest.json, written last
//! ```
//!
//! Shards that move meanwhile do no harm: a snapshot goes on showing what has gone. What was written while the snapshots were opened is on
//! one server and not yet on another; changes that are kept (archive.rs) make one moment of all servers when they are restored.

pub(super) mod files;
mod snapshot;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use model::id::SHARD_COUNT;

use self::files::{FORMAT, FileEntry, Manifest, OUTBOX, ServerPart, manifest, manifest_name, pack, read_file, sum, to_json};
pub(super) use self::snapshot::runs;
use self::snapshot::{Snapshot, end_all};
use super::super::shape::shapes;
use super::{Operator, Progress};
use crate::backup_store::BackupStore;
use crate::error::{Error, Result};

/// Servers that are read at once. Each holds a file's lines in memory, and each is one more that is slowed down.
const SERVERS_AT_ONCE: usize = 4;
/// Rows per page; the largest object has 1 MiB.
const PAGE_ROWS: usize = 500;
/// Folder names that are no backups.
const NO_BACKUPS: [&str; 1] = ["changes"];

/// What is to be backed up.
#[derive(Clone, Debug)]
pub struct BackupWish {
    pub first: u16,
    pub last: u16,
    /// Reads from replicas where one is fit.
    pub from_replica: bool,
    pub dry_run: bool,
}

/// What was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupReport {
    pub id: String,
    pub rows: u64,
    pub bytes: u64,
    /// Since when changes are kept; 0 when only the backup's own moment can be restored.
    pub changes_since: i64,
    pub steps: Vec<String>,
}

/// A folder of the place: a backup, or what an interrupted one left.
#[derive(Clone, Debug)]
pub struct ListedBackup {
    pub id: String,
    pub manifest: Option<Manifest>,
}

impl Operator {
    /// Writes a backup of a range of shards. Only the manifest, which is written last, makes one of the files; what a killed run left is
    /// never read, and the next run is a backup of its own.
    pub async fn backup(&self, store: &dyn BackupStore, wish: &BackupWish) -> Result<BackupReport> {
        let (first, last) = (wish.first, wish.last);
        if first > last || last >= SHARD_COUNT {
            return Err(Error::Invalid(format!("{first}–{last} is no range of shards; they go from 0 to {}.", SHARD_COUNT - 1)));
        }
        // Asked before anything is read: a place that can't be reached shows now.
        store.folders().await?;
        let (map, snapshots) = self.snapshots(wish).await?;
        let at_ms = snapshots.iter().map(|snapshot| snapshot.at_ms).max().unwrap_or(0);
        let id = backup_id(at_ms)?;
        let changes_since = changes_since(&snapshots);
        let steps = snapshots
            .iter()
            .map(|snapshot| format!("{}: {} shards, read from {}", snapshot.name, snapshot.shards.len(), snapshot.read_from));
        let mut report = BackupReport { id: id.clone(), changes_since, steps: steps.collect(), ..BackupReport::default() };
        let has_one = store.get(&manifest_name(&id)).await.map(|manifest| manifest.is_some());
        if wish.dry_run || has_one != Ok(false) {
            end_all(snapshots).await;
            return match has_one? {
                true => Err(Error::Conflict(format!("{} has a backup {id} already. Try again in a second.", store.place()))),
                false => Ok(report),
            };
        }
        self.progress.begin(&format!("backup {id}, rows"), None);
        let parts = snapshots.into_iter().map(|snapshot| snapshot.write(store, &id, self.progress.as_ref()));
        let mut servers: Vec<ServerPart> = stream::iter(parts).buffer_unordered(SERVERS_AT_ONCE).try_collect().await?;
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        let tables = shapes().iter().map(|shape| (shape.name.to_owned(), shape.columns.iter().map(|c| (*c).to_owned()).collect()));
        let manifest =
            Manifest { format: FORMAT, id: id.clone(), at_ms, first, last, changes_since, map, tables: tables.collect(), servers };
        store.put(&manifest_name(&id), to_json(&manifest)?).await?;
        (report.rows, report.bytes) = (manifest.rows(), manifest.bytes());
        Ok(report)
    }
}

/// Lists the backups of a place, the oldest first.
pub async fn list_backups(store: &dyn BackupStore) -> Result<Vec<ListedBackup>> {
    let mut listed = Vec::new();
    for id in store.folders().await?.into_iter().filter(|id| !NO_BACKUPS.contains(&id.as_str())) {
        let manifest = match manifest(store, &id).await {
            Ok(manifest) => Some(manifest),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        listed.push(ListedBackup { id, manifest });
    }
    Ok(listed)
}

/// Reads every file of a backup and compares its sum. Returns what is wrong.
pub async fn check_backup(store: &dyn BackupStore, id: &str, progress: &dyn Progress) -> Result<(Manifest, Vec<String>)> {
    let manifest = manifest(store, id).await?;
    progress.begin(&format!("reading backup {id}, files"), Some(manifest.files().count() as u64));
    let mut findings = Vec::new();
    for file in manifest.files() {
        match read_file(store, file).await {
            Ok(_) => {}
            Err(Error::Corrupt(finding)) => findings.push(finding),
            Err(error) => return Err(error),
        }
        progress.advance(1);
    }
    Ok((manifest, findings))
}

/// Names a backup by its moment, so that names sort by age.
fn backup_id(at_ms: i64) -> Result<String> {
    let at = jiff::Timestamp::from_millisecond(at_ms)
        .map_err(|error| Error::Corrupt(format!("The servers' clocks say {at_ms} ms, which is no time: {error}.")))?;
    Ok(at.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// Returns since when changes of all shards are kept without a gap; 0 when those of some are not.
fn changes_since(snapshots: &[Snapshot]) -> i64 {
    let mut all = snapshots.iter().flat_map(|snapshot| snapshot.shards.values());
    let Some(first) = all.next() else { return 0 };
    if all.all(|since| since == first) { *first } else { 0 }
}

/// Collects lines into files.
struct FileWriter<'a> {
    store: &'a dyn BackupStore,
    folder: String,
    table: &'static str,
    number: u32,
    lines: Vec<u8>,
    rows: u64,
    shards: Option<(u16, u16)>,
    files: Vec<FileEntry>,
}

impl<'a> FileWriter<'a> {
    fn new(store: &'a dyn BackupStore, folder: String) -> FileWriter<'a> {
        FileWriter { store, folder, table: "", number: 0, lines: Vec::new(), rows: 0, shards: None, files: Vec::new() }
    }

    /// Ends the file of the table before, and begins another table.
    async fn table(&mut self, table: &'static str) -> Result<()> {
        self.flush().await?;
        (self.table, self.number) = (table, 0);
        Ok(())
    }

    async fn line(&mut self, line: &[u8], shard: u16) -> Result<()> {
        if !self.lines.is_empty() && self.lines.len() + line.len() > files::FILE_BYTES {
            self.flush().await?;
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.rows += 1;
        let (first, last) = self.shards.unwrap_or((shard, shard));
        self.shards = Some((first.min(shard), last.max(shard)));
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let Some((first, last)) = self.shards.take() else { return Ok(()) };
        self.number += 1;
        let name = format!("{}/{}-{:06}.jsonl.gz", self.folder, self.table, self.number);
        let bytes = pack(std::mem::take(&mut self.lines)).await?;
        let rows = std::mem::take(&mut self.rows);
        let (size, sha256) = (bytes.len() as u64, sum(&bytes));
        self.store.put(&name, bytes).await?;
        self.files.push(FileEntry { name, table: self.table.to_owned(), rows, bytes: size, sha256, first, last });
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
