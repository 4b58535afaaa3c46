//! Kills a writing process at random moments and looks whether everything that it acknowledged is there, whole.
//!
//! The test starts itself again with [`FOLDER`] set: that child writes and prints each acknowledged id on a line of its own. The
//! parent reads some lines, sends SIGKILL without warning, and opens the store in its own process.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use model::object::SCHEMA_VERSION;
use model::{Assoc, BoardId, Event, EventKind, Id, Kind, NameKind, Section, Shard, Timestamp};
use runtime::SystemClock;
use storage::{Batch, Logins, Range, Storage, name_shard};

/// Tells the child where to write.
const FOLDER: &str = "STORAGE_CRASH_TEST_FOLDER";
const ROUNDS: u64 = 8;
/// Writers of the child; they share commits, so that a kill hits groups.
const WRITERS: u64 = 8;
const SEED: u64 = 0x5eed_0001;
const SHARD: Shard = Shard(42);

async fn open(folder: &Path) -> Storage {
    let url = format!("sqlite:{}", folder.join("crash.db").display());
    Storage::open(&url, &Logins::default(), SystemClock::shared()).await.expect("a store")
}

fn board() -> BoardId {
    BoardId::new(SHARD, 1)
}

/// Returns the name that goes with a section: on the section's shard, so that it is in the same batch.
fn slug(id: Id) -> String {
    format!("{}/s{}", Id::new(SHARD, Kind::User, 1), id.local())
}

fn event(id: Id) -> Event {
    Event {
        id: format!("event of {id}"),
        kind: EventKind::SectionCreated,
        at: Timestamp(id.local() as i64),
        actor: None,
        subjects: vec![id],
        request_id: String::new(),
        role: String::new(),
        host: String::new(),
        data: serde_json::Value::Null,
    }
}

/// Writes one section with everything that hangs on it; returns when that is acknowledged.
async fn write_one(storage: &Storage) -> Id {
    let id = storage.new_id(SHARD, Kind::Section).await.expect("an id");
    let mut batch = Batch::on(SHARD);
    batch.create(id, &Section { v: SCHEMA_VERSION, board: board(), name: id.to_string() });
    batch.map(Assoc::BoardHasSections, board(), id, id.local() as i64);
    batch.claim(NameKind::BoardSlug, slug(id), id).confirm(NameKind::BoardSlug, slug(id), id);
    batch.emit(event(id)).audit(None, "section_written", vec![id], serde_json::Value::Null);
    storage.write(batch).await.expect("a write");
    id
}

/// What the child does until it is killed.
fn write_for_ever(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let storage = Arc::new(open(folder).await);
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let storage = storage.clone();
                tokio::spawn(async move {
                    loop {
                        let id = write_one(&storage).await;
                        // One call per line, unbuffered: a line is whole or not there.
                        std::io::stdout().lock().write_all(format!("acknowledged {id}\n").as_bytes()).expect("the parent listens");
                    }
                })
            })
            .collect();
        futures_util::future::join_all(writers).await;
    });
}

/// Kills the child however the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // `kill` is SIGKILL on Unix; one that has ended already needs none.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a child until it has acknowledged `count` writes, kills it, and returns all that it acknowledged.
fn run_and_kill(folder: &Path, count: usize) -> Vec<Id> {
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = Killed(child.expect("a child"));
    let mut lines = BufReader::new(child.0.stdout.take().expect("its output")).lines();
    let mut acknowledged = Vec::new();
    let mut read = |acknowledged: &mut Vec<Id>| match lines.next() {
        Some(Ok(line)) => {
            // The test harness prints lines of its own.
            acknowledged.extend(line.strip_prefix("acknowledged ").map(|id| id.parse::<Id>().expect("an id")));
            true
        }
        _ => false,
    };
    while acknowledged.len() < count {
        assert!(read(&mut acknowledged), "the child ended by itself");
    }
    child.0.kill().expect("a kill");
    // What stood in the pipe had been acknowledged as well.
    while read(&mut acknowledged) {}
    acknowledged
}

async fn check(storage: &Storage, acknowledged: &BTreeSet<Id>) {
    assert_eq!(storage.check().await.expect("a check"), Vec::<String>::new());
    let mut stored = BTreeSet::new();
    let mut after = None;
    loop {
        let page = storage.scan::<Section>(after, 1_000).await.expect("a scan");
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        stored.extend(page.iter().map(|section| section.id));
        assert!(page.iter().all(|section| section.data.name == section.id.to_string()));
    }
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), acknowledged.len());
    // Unacknowledged writes may be there; but then they are whole as well.
    let mut edges = BTreeSet::new();
    let mut range = Range::first(1_000);
    loop {
        let page = storage.range(Assoc::BoardHasSections, board(), range).await.expect("a range");
        let Some(last) = page.last() else { break };
        range.after = Some((last.sequence, last.to));
        edges.extend(page.iter().map(|edge| edge.to));
    }
    assert_eq!(edges, stored);
    assert_eq!(storage.count(Assoc::BoardHasSections, board()).await, Ok(stored.len() as u64));
    let events = storage.outbox(10_000).await.expect("the outbox");
    assert_eq!(events.iter().map(|(_, event)| event.subjects[0]).collect::<BTreeSet<_>>(), stored);
    assert_eq!(events.len(), stored.len());
    assert_eq!(storage.audit_verify(SHARD).await, Ok(stored.len() as u64));
    let audited = storage.audit_log(SHARD, 0, 10_000).await.expect("the audit log");
    assert_eq!(audited.iter().map(|entry| entry.subjects[0]).collect::<BTreeSet<_>>(), stored);
    assert_eq!(name_shard(NameKind::BoardSlug, &slug(board().into())), SHARD);
    for id in &stored {
        let name = storage.name(NameKind::BoardSlug, &slug(*id)).await.expect("a look-up").expect("a name");
        assert!(name.id == *id && name.confirmed);
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_for_ever(Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut acknowledged = BTreeSet::new();
    let mut state = SEED;
    for round in 0..ROUNDS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let count = 1 + (state >> 33) % 120;
        let written = run_and_kill(folder.path(), count as usize);
        println!("seed {SEED:#x}, round {round}: killed after {count} acknowledged writes, {} in all", written.len());
        for id in written {
            assert!(acknowledged.insert(id), "{id:?} was handed out twice");
        }
        runtime.block_on(async {
            let storage = open(folder.path()).await;
            check(&storage, &acknowledged).await;
            // What is opened after a crash can be written to.
            assert!(acknowledged.insert(write_one(&storage).await));
        });
    }
    assert!(acknowledged.len() as u64 >= ROUNDS);
}
