use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use model::{Assoc, Kind, NameKind, Pin};

use super::super::backup::tests::{ALL, Contents, Kept, SHARDS, Writers, assert_same, fill, pin, tag, user, write_once, write_pin};
use super::{IDS_LEFT_OUT, RestoreStop, RestoreWish};
use crate::contract::{a_pin, batch};
use crate::engine::mysql::shape::Cell;
use crate::{BackupStore, BackupWish, Error, FolderStore, Result, Storage};

fn wish(id: &str) -> RestoreWish {
    RestoreWish { id: id.to_owned(), shards: None, until_ms: None, dry_run: false, stop: None }
}

/// Takes the ids that were left out back, and the kinds that had none: what is left is what the backup had.
fn with_ids_back(mut contents: Contents) -> Contents {
    let sequences = contents.get_mut("sequences").expect("sequences");
    for row in sequences.iter_mut() {
        let Cell::Int(next) = &mut row[1] else { panic!("a number") };
        *next -= IDS_LEFT_OUT;
    }
    sequences.retain(|row| row[1] != Cell::Int(1));
    contents
}

/// Looks whether a site can go on with what was restored.
async fn assert_alive(storage: &Storage) {
    assert_eq!(storage.check().await, Ok(vec![]));
    for shard in SHARDS {
        assert!(storage.write(write_once(shard)).await.expect("a replay").replayed, "keys come along");
        assert!(storage.name(NameKind::Tag, &tag(shard)).await.expect("a read").is_some());
        assert_eq!(storage.audit_verify(shard).await, Ok(1));
        let fresh = storage.new_id(shard, Kind::Pin).await.expect("an id").local();
        assert!(fresh as i64 > IDS_LEFT_OUT, "{fresh} may have been handed out before");
        storage.write(write_pin(shard, fresh, "goes on")).await.expect("a write");
    }
}

#[tokio::test]
async fn everything_comes_back_on_any_number_of_servers() {
    let Some(kept) = Kept::start("everything_comes_back", 2) else { return };
    fill(&kept.open().await).await;
    let (contents, events) = (kept.contents(0, 4095).await, kept.events().await);
    let report = kept.backup().await;
    let Some(other) = Kept::start("everything_comes_back_to", 3) else { return };
    let planned = other.operator.restore(&kept.store(), &RestoreWish { dry_run: true, ..wish(&report.id) }).await.expect("a plan");
    assert!(planned.steps[0].contains(&format!("{} rows", report.rows)), "{:?}", planned.steps);
    let rows: usize = other.contents(0, 4095).await.values().map(Vec::len).sum();
    assert_eq!(rows, 0, "a dry run writes nothing");
    let restored = other.operator.restore(&kept.store(), &wish(&report.id)).await.expect("a restore");
    assert_eq!((restored.shards, restored.rows + restored.events, restored.events), (4096, report.rows, 6));
    assert_same(&with_ids_back(other.contents(0, 4095).await), &contents);
    assert_eq!(other.events().await, events);
    assert_alive(&other.open().await).await;
    let error = other.operator.restore(&kept.store(), &wish(&report.id)).await.expect_err("not empty").to_string();
    assert!(error.contains("has rows of the shards") && error.contains("pins"), "{error}");
}

#[tokio::test]
async fn some_shards_come_back_alone() {
    let Some(kept) = Kept::start("some_shards_come_back", 2) else { return };
    fill(&kept.open().await).await;
    let wanted = kept.contents(2048, 4095).await;
    let part = BackupWish { first: 50, last: 4000, ..ALL };
    let report = kept.operator.backup(&kept.store(), &part).await.expect("a backup");
    let Some(other) = Kept::start("some_shards_come_back_to", 2) else { return };
    for shards in [(0, 60), (60, 50), (0, 4095)] {
        let error =
            other.operator.restore(&kept.store(), &RestoreWish { shards: Some(shards), ..wish(&report.id) }).await.expect_err("refused");
        assert!(error.to_string().contains("has the shards 50–4000"), "{error}");
    }
    other.operator.restore(&kept.store(), &RestoreWish { shards: Some((2048, 4000)), ..wish(&report.id) }).await.expect("a restore");
    assert_same(&with_ids_back(other.contents(0, 4095).await), &wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_one_moment_while_people_write() {
    let Some(kept) = Kept::start("a_backup_holds_one_moment", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    let writers = Writers::start(&kept).await;
    while writers.so_far().iter().any(|count| *count < 20) {
        tokio::task::yield_now().await;
    }
    let before = writers.so_far();
    let report = kept.backup().await;
    let during = writers.so_far();
    kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    let after = writers.end().await;
    assert!(after[0] > before[0], "nobody wrote meanwhile");
    let archived = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    // The backup alone: of each shard what had been written by some moment, without a hole.
    let Some(other) = Kept::start("a_backup_holds_one_moment_to", 2) else { return };
    other.operator.restore(&kept.store(), &wish(&report.id)).await.expect("a restore");
    let storage = other.open().await;
    assert_eq!(storage.check().await.map(without_own_ids), Ok(vec![]));
    for (index, shard) in SHARDS.into_iter().enumerate() {
        let pins = storage.count(Assoc::UserHasPins, user(shard)).await.expect("a count") - 3;
        assert!(pins >= before[index] && pins <= during[index] + 1, "{pins} of {} to {}", before[index], during[index]);
        assert!(storage.get::<Pin>(pin(shard, 1_000 + pins)).await.expect("a read").is_some());
        assert!(storage.get::<Pin>(pin(shard, 1_001 + pins)).await.expect("a read").is_none());
    }
    // And with the changes since: everything.
    let Some(third) = Kept::start("a_backup_holds_one_moment_3", 3) else { return };
    let until = RestoreWish { until_ms: Some(archived.through_ms), ..wish(&report.id) };
    third.operator.restore(&kept.store(), &until).await.expect("a restore");
    assert_same(&with_ids_back(third.contents(0, 4095).await), &kept.contents(0, 4095).await);
}

/// The test's writers choose their ids themselves.
fn without_own_ids(findings: Vec<String>) -> Vec<String> {
    findings.into_iter().filter(|finding| !finding.contains("never handed out")).collect()
}

/// Writes, changes, deletes, purges and unmaps on both shards, with the fleet's present map.
async fn go_on(kept: &Kept, round: u64) {
    let storage = kept.open().await;
    for shard in SHARDS {
        storage.write(write_pin(shard, 10 * round, "new")).await.expect("a write");
        storage.write(write_pin(shard, 10 * round + 1, "new and gone")).await.expect("a write");
        let gone = pin(shard, 10 * round + 1);
        storage.write(batch(shard, |b| b.purge(gone).unmap(Assoc::UserHasPins, user(shard), gone))).await.expect("a write");
        let version = storage.get::<Pin>(pin(shard, 1)).await.expect("a read").expect("a pin").version;
        storage.write(batch(shard, |b| b.update(pin(shard, 1), version, &a_pin(&format!("round {round}"))))).await.expect("a write");
        storage.write(batch(shard, |b| b.audit(None, "round", vec![], round.into()))).await.expect("a write");
    }
}

#[tokio::test]
async fn a_chosen_moment_comes_back_wherever_the_shards_went() {
    let Some(kept) = Kept::start("a_chosen_moment", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    go_on(&kept, 2).await;
    let report = kept.backup().await;
    go_on(&kept, 3).await;
    kept.operator.move_shards(100, 100, "db2", false, None).await.expect("a move");
    go_on(&kept, 4).await;
    kept.operator.move_shards(100, 100, "db1", false, None).await.expect("a move");
    go_on(&kept, 5).await;
    // The first moment: archived at once, after two moves.
    let first = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    let then = kept.contents(0, 4095).await;
    go_on(&kept, 6).await;
    let second = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    let now = kept.contents(0, 4095).await;
    go_on(&kept, 7).await;
    for (moment, wanted) in [(first.through_ms, &then), (second.through_ms, &now)] {
        let Some(other) = Kept::start("a_chosen_moment_to", 2) else { return };
        let until = RestoreWish { until_ms: Some(moment), ..wish(&report.id) };
        let restored = other.operator.restore(&kept.store(), &until).await.expect("a restore");
        assert!(restored.changes > 0);
        assert_same(&with_ids_back(other.contents(0, 4095).await), wanted);
        let storage = other.open().await;
        assert_eq!(storage.check().await.map(without_own_ids), Ok(vec![]));
        assert_eq!(storage.audit_verify(SHARDS[0]).await, storage.audit_verify(SHARDS[1]).await);
    }
}

#[tokio::test]
async fn what_a_server_had_before_the_backup_does_not_come_back() {
    let Some(kept) = Kept::start("what_a_server_had_before", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    kept.operator.move_shards(0, 2047, "db2", false, None).await.expect("a move");
    go_on(&kept, 3).await;
    let report = kept.backup().await;
    go_on(&kept, 4).await;
    let until_ms = Some(kept.operator.archive_changes(&kept.store()).await.expect("an archive").through_ms);
    // As if everything before the backup had been long ago.
    let name = format!("{}/manifest.json", report.id);
    let bytes = kept.store().get(&name).await.expect("a read").expect("a manifest");
    let mut manifest: crate::Manifest = serde_json::from_slice(&bytes).expect("a manifest");
    assert_eq!(manifest.servers.len(), 1, "the first server has given all away");
    manifest.servers[0].changes_from_ms = manifest.servers[0].at_ms;
    kept.store().put(&name, serde_json::to_vec(&manifest).expect("JSON")).await.expect("a write");
    let Some(other) = Kept::start("what_a_server_had_before_to", 2) else { return };
    other.operator.restore(&kept.store(), &RestoreWish { until_ms, ..wish(&report.id) }).await.expect("a restore");
    assert_same(&with_ids_back(other.contents(0, 4095).await), &kept.contents(0, 4095).await);
}

#[tokio::test]
async fn moments_that_can_not_come_back_are_refused() {
    let Some(kept) = Kept::start("moments_refused", 2) else { return };
    fill(&kept.open().await).await;
    let without = kept.backup().await;
    kept.operator.keep_changes(true, false).await.expect("on");
    let early = kept.operator.archive_changes(&kept.store()).await.expect("an archive").through_ms;
    // A backup is named by its second.
    let with = loop {
        match kept.operator.backup(&kept.store(), &ALL).await {
            Ok(report) => break report,
            Err(Error::Conflict(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    kept.operator.keep_changes(false, false).await.expect("off");
    let late = kept.operator.keep_changes(true, false).await.expect("on");
    kept.operator.archive_changes(&kept.store()).await.expect("an archive");
    let Some(other) = Kept::start("moments_refused_to", 2) else { return };
    for (id, until_ms, wanted) in
        [(&without.id, late, "changes were not kept"), (&with.id, early, "which is after"), (&with.id, late, "are archived until")]
    {
        let until = RestoreWish { until_ms: Some(until_ms), ..wish(id) };
        let error = other.operator.restore(&kept.store(), &until).await.expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error} should say {wanted}");
    }
    let error = other.operator.restore(&kept.store(), &wish("nothing")).await.expect_err("no backup").to_string();
    assert!(error.contains("has no backup nothing"), "{error}");
}

#[tokio::test]
async fn a_restore_can_be_killed_at_any_step() {
    let Some(kept) = Kept::start("a_restore_can_be_killed", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    let report = kept.backup().await;
    go_on(&kept, 3).await;
    let until_ms = Some(kept.operator.archive_changes(&kept.store()).await.expect("an archive").through_ms);
    let Some(other) = Kept::start("a_restore_can_be_killed_to", 2) else { return };
    for stop in [RestoreStop::Marked, RestoreStop::Loaded, RestoreStop::Replayed, RestoreStop::MovedOn] {
        let error = other.operator.restore(&kept.store(), &RestoreWish { until_ms, stop: Some(stop), ..wish(&report.id) }).await;
        assert!(error.is_err_and(|error| error.to_string().contains(&format!("{stop:?}"))));
        assert_eq!(other.number(0, "SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await, 0, "{stop:?}: nobody is let in");
    }
    let planned = other.operator.restore(&kept.store(), &RestoreWish { dry_run: true, ..wish(&report.id) }).await.expect("a plan");
    assert!(planned.steps[0].contains("begins anew"), "{:?}", planned.steps);
    assert_eq!(other.operator.abort_restore().await, Ok(4096));
    let rows: usize = other.contents(0, 4095).await.values().map(Vec::len).sum();
    assert_eq!((rows, other.number(0, "SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await), (0, 2048));
    let _ = other.operator.restore(&kept.store(), &RestoreWish { until_ms, stop: Some(RestoreStop::Replayed), ..wish(&report.id) }).await;
    other.operator.restore(&kept.store(), &RestoreWish { until_ms, ..wish(&report.id) }).await.expect("a restore");
    assert_same(&with_ids_back(other.contents(0, 4095).await), &kept.contents(0, 4095).await);
}

/// Breaks at the n-th file that is written.
struct Breaking {
    store: FolderStore,
    left: AtomicUsize,
}

#[async_trait]
impl BackupStore for Breaking {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(Error::Unavailable(format!("The disk was full at {name}.")));
        }
        self.left.store(left - 1, Ordering::Relaxed);
        self.store.put(name, bytes).await
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.store.get(name).await
    }

    async fn folders(&self) -> Result<Vec<String>> {
        self.store.folders().await
    }

    fn place(&self) -> String {
        self.store.place()
    }
}

#[tokio::test]
async fn an_archiving_can_break_at_any_file() {
    let Some(kept) = Kept::start("an_archiving_can_break", 2) else { return };
    kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    let report = kept.backup().await;
    let (mut broken, mut segments, mut changes) = (0, 0, 0);
    for puts in 0..6 {
        go_on(&kept, 3 + puts as u64).await;
        let breaking = Breaking { store: kept.store(), left: AtomicUsize::new(puts) };
        broken += usize::from(kept.operator.archive_changes(&breaking).await.is_err());
        let whole = kept.operator.archive_changes(&kept.store()).await.expect("an archive");
        segments += whole.segments;
        changes += whole.changes;
    }
    assert_eq!(broken, 5, "a segment and a head for each server, and one for the fleet");
    assert!(segments > 0 && changes > 0);
    let through_ms = kept.operator.archive_changes(&kept.store()).await.expect("an archive").through_ms;
    let Some(other) = Kept::start("an_archiving_can_break_to", 2) else { return };
    let until = RestoreWish { until_ms: Some(through_ms), ..wish(&report.id) };
    let restored = other.operator.restore(&kept.store(), &until).await.expect("a restore");
    // Two for the ids and five for what is written on each of two shards, and what fill wrote before.
    assert!(restored.changes >= 6 * 2 * 5, "{}", restored.changes);
    assert_same(&with_ids_back(other.contents(0, 4095).await), &kept.contents(0, 4095).await);
}

#[tokio::test]
async fn a_backup_that_breaks_is_none() {
    let Some(kept) = Kept::start("a_backup_that_breaks", 2) else { return };
    fill(&kept.open().await).await;
    let breaking = Breaking { store: kept.store(), left: AtomicUsize::new(3) };
    let error = kept.operator.backup(&breaking, &ALL).await.expect_err("a full disk").to_string();
    assert!(error.contains("disk was full"), "{error}");
    let listed = crate::list_backups(&kept.store()).await.expect("a list");
    assert!(listed.len() == 1 && listed[0].manifest.is_none(), "{listed:?}");
    let Some(other) = Kept::start("a_backup_that_breaks_to", 2) else { return };
    let error = other.operator.restore(&kept.store(), &wish(&listed[0].id)).await.expect_err("no manifest").to_string();
    assert!(error.contains("was not finished"), "{error}");
}

#[tokio::test]
async fn damaged_files_are_refused_by_name() {
    let Some(kept) = Kept::start("damaged_files", 2) else { return };
    let since = kept.operator.keep_changes(true, false).await.expect("on");
    fill(&kept.open().await).await;
    let report = kept.backup().await;
    let until_ms = Some(kept.operator.archive_changes(&kept.store()).await.expect("an archive").through_ms);
    let Some(other) = Kept::start("damaged_files_to", 2) else { return };
    let segment = format!("changes/{since}/db2/0000000001.jsonl.gz");
    let whole = kept.store().get(&segment).await.expect("a read").expect("a file");
    kept.store().put(&segment, whole[..whole.len() - 9].to_vec()).await.expect("a write");
    let error = other.operator.restore(&kept.store(), &RestoreWish { until_ms, ..wish(&report.id) }).await.expect_err("torn").to_string();
    assert!(error.contains(&segment), "{error}");
    assert_eq!(other.number(0, "SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await, 2048, "nothing was begun");
    let file = format!("{}/db1/names-000001.jsonl.gz", report.id);
    let mut bytes = kept.store().get(&file).await.expect("a read").expect("a file");
    bytes[15] ^= 4;
    kept.store().put(&file, bytes).await.expect("a write");
    let error = other.operator.restore(&kept.store(), &wish(&report.id)).await.expect_err("damaged").to_string();
    assert!(error.contains(&file), "{error}");
    assert_eq!(other.number(0, "SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await, 0, "nobody is let in to half of it");
}
