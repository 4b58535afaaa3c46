use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::time::ManualClock;
use model::{Assoc, Event, NameKind, PinId, Shard, UserId};
use mysql::Limits;

use super::{BackupWish, check_backup, list_backups};
use crate::contract::fleet::{Fleet, operator, site};
use crate::contract::{START, a_pin, batch, event};
use crate::engine::mysql::node::server;
use crate::engine::mysql::shape::{Cell, shapes};
use crate::engine::mysql::{MysqlEngine, Operator};
use crate::{BackupReport, BackupStore, Batch, Error, FolderStore, Quiet, Storage, name_shard};

/// A shard on the first of two servers, and one on the second.
pub(in super::super) const SHARDS: [Shard; 2] = [Shard(100), Shard(3000)];
pub(in super::super) const ALL: BackupWish = BackupWish { first: 0, last: 4095, from_replica: false, dry_run: false };

pub(in super::super) type Contents = BTreeMap<&'static str, Vec<Vec<Cell>>>;

/// A small fleet, and a place for backups.
pub(in super::super) struct Kept {
    pub fleet: Fleet,
    pub operator: Operator,
    pub clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl Kept {
    pub fn start(test: &str, servers: usize) -> Option<Kept> {
        let fleet = Fleet::start(test, servers)?;
        let folder = tempfile::tempdir().expect("a folder");
        Some(Kept { operator: operator(fleet.file()), fleet, clock: Arc::new(ManualClock::at(START)), folder })
    }

    pub async fn open(&self) -> Storage {
        let engine = MysqlEngine::open(&self.fleet.file(), site()).await.expect("an engine");
        Storage::with_engine(Arc::new(engine), self.clock.clone())
    }

    pub fn store(&self) -> FolderStore {
        FolderStore::new(self.folder.path().into())
    }

    pub async fn backup(&self) -> BackupReport {
        self.operator.backup(&self.store(), &ALL).await.expect("a backup")
    }

    /// Runs a statement on one server and returns the first number of its answer.
    pub async fn number(&self, index: usize, sql: &str) -> u64 {
        let server = server(&self.fleet.map.servers[index].primary, &site(), Limits::default()).expect("a server");
        server.query(sql).await.expect("an answer")[0][0].u64(0).expect("a number")
    }

    /// Reads everything of a range of shards, whichever servers have it, by key.
    pub async fn contents(&self, first: u16, last: u16) -> Contents {
        let mut contents = Contents::new();
        for entry in &self.fleet.map.servers {
            let server = server(&entry.primary, &site(), Limits::default()).expect("a server");
            for shape in shapes() {
                let sets = server.query(&shape.page(first, last, None, 1_000_000)).await.expect("rows");
                contents.entry(shape.name).or_default().extend(sets[0].iter().map(|row| shape.decode(row).expect("a row")));
            }
        }
        for rows in contents.values_mut() {
            rows.sort_by_key(|row| serde_json::to_string(row).expect("JSON"));
        }
        contents
    }

    /// Lists the ids of the events that wait.
    pub async fn events(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.open().await.outbox(10_000).await.expect("events").into_iter().map(|(_, event)| event.id).collect();
        ids.sort();
        ids
    }
}

/// Fails when the two differ, by the table and the first row that does.
pub(in super::super) fn assert_same(found: &Contents, wanted: &Contents) {
    for (table, rows) in wanted {
        let others = &found[table];
        for (row, other) in rows.iter().zip(others) {
            assert_eq!(other, row, "{table}");
        }
        assert_eq!(others.len(), rows.len(), "{table}");
    }
}

pub(in super::super) fn user(shard: Shard) -> UserId {
    UserId::new(shard, 1)
}

pub(in super::super) fn pin(shard: Shard, local: u64) -> PinId {
    PinId::new(shard, local)
}

pub(in super::super) fn write_pin(shard: Shard, local: u64, title: &str) -> Batch {
    let happened = Event { id: format!("e{}-{local}", shard.0), ..event("e") };
    let (user, pin) = (user(shard), pin(shard, local));
    batch(shard, |b| b.create(pin, &a_pin(title)).map(Assoc::UserHasPins, user, pin, local as i64).emit(happened))
}

/// Finds a tag whose name lives on a shard.
pub(in super::super) fn tag(shard: Shard) -> String {
    (0..).map(|n| format!("tag{n}")).find(|tag| name_shard(NameKind::Tag, tag) == shard).expect("some tag")
}

pub(in super::super) fn write_once(shard: Shard) -> Batch {
    batch(shard, |b| {
        let b = b.claim(NameKind::Tag, tag(shard).as_str(), user(shard));
        b.audit(None, "x", vec![], serde_json::Value::Null).idempotency_key("once")
    })
}

/// Writes something of everything on both shards, texts that are hard to write down among them.
pub(in super::super) async fn fill(storage: &Storage) {
    for shard in SHARDS {
        for title in ["plain", "it's \"quoted\" \\ and\nbroken", "Füße 🐘 \u{0} \u{2028}"] {
            let id = PinId::try_from(storage.new_id(shard, model::Kind::Pin).await.expect("an id")).expect("a pin");
            storage.write(write_pin(shard, id.id().local(), title)).await.expect("a write");
        }
        storage.write(batch(shard, |b| b.delete(pin(shard, 2)))).await.expect("a write");
        storage.write(write_once(shard)).await.expect("a write");
    }
}

#[tokio::test]
async fn a_backup_is_listed_and_checked() {
    let Some(kept) = Kept::start("a_backup_is_listed", 2) else { return };
    fill(&kept.open().await).await;
    let planned = kept.operator.backup(&kept.store(), &BackupWish { dry_run: true, ..ALL }).await.expect("a plan");
    assert!(planned.steps[0].starts_with("db1: 2048 shards, read from 127.0.0.1"), "{:?}", planned.steps);
    assert!(list_backups(&kept.store()).await.expect("a list").is_empty(), "a dry run writes nothing");
    let report = kept.backup().await;
    assert_eq!(report.changes_since, 0);
    let listed = list_backups(&kept.store()).await.expect("a list");
    assert_eq!((listed.len(), &listed[0].id), (1, &report.id));
    let (manifest, findings) = check_backup(&kept.store(), &report.id, &Quiet).await.expect("a check");
    assert_eq!((manifest.rows(), findings), (report.rows, vec![]));
    assert_eq!(manifest.files().filter(|file| file.table == "outbox").map(|file| file.rows).sum::<u64>(), 6);
    let file = manifest.files().find(|file| file.table == "pins").expect("pins");
    assert_eq!((file.rows, file.first, file.last), (3, 100, 100));
    let mut bytes = kept.store().get(&file.name).await.expect("a read").expect("a file");
    bytes[20] ^= 1;
    kept.store().put(&file.name, bytes).await.expect("a write");
    let (_, findings) = check_backup(&kept.store(), &report.id, &Quiet).await.expect("a check");
    assert!(findings.len() == 1 && findings[0].contains(&file.name), "{findings:?}");
}

#[tokio::test]
async fn what_can_not_be_backed_up_is_said() {
    let Some(kept) = Kept::start("what_can_not_be_backed_up", 2) else { return };
    let wrong = BackupWish { first: 5, last: 4, ..ALL };
    assert!(matches!(kept.operator.backup(&kept.store(), &wrong).await, Err(Error::Invalid(_))));
    let file = kept.folder.path().join("file");
    std::fs::write(&file, "no folder").expect("a file");
    let error = kept.operator.backup(&FolderStore::new(file), &ALL).await.expect_err("no place").to_string();
    assert!(error.contains("can't be listed"), "{error}");
    kept.number(0, "UPDATE owned_shards SET state = 'moved', other = 'db2' WHERE shard = 7; SELECT 1").await;
    let error = kept.operator.backup(&kept.store(), &ALL).await.expect_err("nobody has it").to_string();
    assert!(error.contains("Shard 7 is held by 0 servers"), "{error}");
    assert!(list_backups(&kept.store()).await.expect("a list").is_empty());
}

#[tokio::test]
async fn changes_are_kept_or_not() {
    let Some(kept) = Kept::start("changes_are_kept", 2) else { return };
    let error = kept.operator.archive_changes(&kept.store()).await.expect_err("not kept").to_string();
    assert!(error.contains("--keep-changes on"), "{error}");
    assert!(kept.operator.keep_changes(true, true).await.expect("a plan") > 0);
    assert_eq!(kept.number(0, "SELECT COUNT(*) FROM owned_shards WHERE records <> 0").await, 0, "a dry run changes nothing");
    let since = kept.operator.keep_changes(true, false).await.expect("on");
    assert_eq!(kept.operator.keep_changes(true, false).await, Ok(since), "it stays what it was");
    let same = format!("SELECT COUNT(*) FROM owned_shards WHERE records = {since}");
    assert_eq!((kept.number(0, &same).await, kept.number(1, &same).await), (2048, 2048));
    assert_eq!(kept.backup().await.changes_since, since);
    kept.operator.move_shards(100, 100, "db2", false, None).await.expect("a move");
    assert_eq!(kept.number(1, &same).await, 2049, "it goes along with a shard");
    fill(&kept.open().await).await;
    let report = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    assert_eq!((report.since_ms, report.segments), (since, 1), "everything was written on one server");
    assert_eq!(kept.number(1, "SELECT COUNT(*) FROM changes").await, 0, "what is archived is deleted");
    let again = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    assert_eq!((again.changes, again.segments), (0, 0));
    assert!(again.through_ms > report.through_ms);
    assert_eq!(kept.operator.keep_changes(false, false).await, Ok(0));
    fill_more(&kept).await;
    assert_eq!(kept.number(1, "SELECT COUNT(*) FROM changes").await, 0);
    assert!(kept.operator.keep_changes(true, false).await.expect("on") > since, "another time begins");
}

async fn fill_more(kept: &Kept) {
    kept.open().await.write(write_pin(SHARDS[0], 90, "more")).await.expect("a write");
}

#[tokio::test]
async fn two_archivers_do_not_meet() {
    let Some(kept) = Kept::start("two_archivers", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    let other = server(&kept.fleet.map.servers[1].primary, &site(), Limits::default()).expect("a server");
    let mut held = other.take().await.expect("a connection");
    held.query("SELECT GET_LOCK(CONCAT('corkboard.changes.', DATABASE()), 0)").await.expect("the lock");
    let error = kept.operator.archive_changes(&kept.store()).await.expect_err("locked").to_string();
    assert!(error.contains("server db2 are being archived"), "{error}");
    drop(held);
}

/// What writers are at while a backup runs.
pub(in super::super) struct Writers {
    stop: Arc<AtomicBool>,
    pub counts: [Arc<AtomicU64>; 2],
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    /// Writes pins 1,001, 1,002 … on each shard, one after the other.
    pub async fn start(kept: &Kept) -> Writers {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))]);
        let mut tasks = Vec::new();
        for (shard, count) in SHARDS.into_iter().zip(counts.clone()) {
            let (storage, stop) = (kept.open().await, stop.clone());
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let next = count.load(Ordering::Relaxed) + 1;
                    storage.write(write_pin(shard, 1_000 + next, "meanwhile")).await.expect("a write");
                    count.store(next, Ordering::Relaxed);
                }
            }));
        }
        Writers { stop, counts, tasks }
    }

    pub fn so_far(&self) -> [u64; 2] {
        [self.counts[0].load(Ordering::Relaxed), self.counts[1].load(Ordering::Relaxed)]
    }

    pub async fn end(self) -> [u64; 2] {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer");
        }
        [self.counts[0].load(Ordering::Relaxed), self.counts[1].load(Ordering::Relaxed)]
    }
}
