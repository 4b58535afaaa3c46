use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::time::ManualClock;
use model::{Assoc, Event, Id, Kind, NameKind, Pin, PinId, Shard, UserId};
use mysql::{Credentials, Limits};

use super::target::Target;
use super::{MigrateOptions, MigrateStop};
use crate::contract::fleet::{Fleet, operator, site};
use crate::contract::{START, a_pin, batch, event};
use crate::engine::mysql::node::server;
use crate::engine::mysql::shape::{Cell, Change, shape};
use crate::engine::mysql::{MysqlEngine, Operator, Quiet};
use crate::engine::sqlite::SqliteEngine;
use crate::engine::sqlite::migration::{Source, State};
use crate::{Batch, Error, Logins, Storage, name_shard};

/// Shards on either server of the fleet.
const SHARDS: [Shard; 2] = [Shard(100), Shard(3_000)];

fn user(shard: Shard) -> UserId {
    UserId::new(shard, 1)
}

fn pin(shard: Shard, local: u64) -> PinId {
    PinId::new(shard, local)
}

/// A tag whose name lives on a shard.
fn tag(shard: Shard) -> String {
    (0..).map(|n| format!("tag{n}")).find(|tag| name_shard(NameKind::Tag, tag) == shard).expect("some tag")
}

fn write_pin(shard: Shard, local: u64, title: &str) -> Batch {
    let id = pin(shard, local);
    let happened = Event { id: format!("e{}.{local}", shard.0), subjects: vec![id.into()], ..event("e") };
    batch(shard, |b| {
        b.create(id, &a_pin(title)).map(Assoc::UserHasPins, user(shard), id, local as i64).emit(happened);
        b.audit(None, "pinned", vec![id.into()], serde_json::Value::Null)
    })
}

fn keyed(shard: Shard) -> Batch {
    batch(shard, |b| b.claim(NameKind::Tag, tag(shard).as_str(), user(shard)).idempotency_key("once"))
}

fn with_stop(stop: MigrateStop) -> MigrateOptions {
    MigrateOptions { stop: Some(stop), ..MigrateOptions::default() }
}

/// A site in a file, and an empty fleet of two servers.
struct Leaving {
    fleet: Fleet,
    operator: Operator,
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Leaving {
    async fn start(test: &str) -> Option<Leaving> {
        let fleet = Fleet::start(test, 2)?;
        let folder = tempfile::tempdir().expect("a folder");
        let leaving = Leaving { operator: operator(fleet.file()), fleet, folder, clock: Arc::new(ManualClock::at(START)) };
        let storage = leaving.open().await;
        for shard in SHARDS {
            for _ in 0..3 {
                let id = storage.new_id(shard, Kind::Pin).await.expect("an id");
                storage.write(write_pin(shard, id.local(), "it's a \\ 'title' – über\n🌲")).await.expect("a write");
            }
            storage.write(keyed(shard)).await.expect("a write");
            storage.write(batch(shard, |b| b.delete(pin(shard, 3)))).await.expect("a delete");
        }
        storage.close().await.expect("closed");
        Some(leaving)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("corkboard.db")
    }

    /// Opens the store as a process with the old configuration does.
    async fn open(&self) -> Storage {
        self.open_as(site()).await
    }

    async fn open_as(&self, database: Credentials) -> Storage {
        let logins = Logins { database, ..Logins::default() };
        Storage::open(&format!("sqlite:{}", self.file().display()), &logins, self.clock.clone()).await.expect("a store")
    }

    /// Opens the store as a process with the new configuration does.
    async fn open_there(&self) -> Storage {
        let engine = MysqlEngine::open(&self.fleet.file(), site()).await.expect("an engine");
        Storage::with_engine(Arc::new(engine), self.clock.clone())
    }

    fn state(&self) -> State {
        SqliteEngine::open(&self.file()).and_then(|file| file.migration()).expect("a state").state
    }

    /// Counts over both servers.
    async fn count(&self, sql: &str) -> u64 {
        let mut count = 0;
        for entry in &self.fleet.map.servers {
            let server = server(&entry.primary, &site(), Limits::default()).expect("a server");
            count += server.query(sql).await.expect("a count")[0][0].u64(0).expect("a number");
        }
        count
    }

    /// Looks whether everything of the beginning is there, and works on.
    async fn assert_there(&self, storage: &Storage) {
        for shard in SHARDS {
            for local in 1..=3 {
                let found = storage.get::<Pin>(pin(shard, local)).await.expect("a read").expect("a pin");
                assert_eq!((found.data.title.as_str(), found.active), ("it's a \\ 'title' – über\n🌲", local < 3));
            }
            assert_eq!(storage.count(Assoc::UserHasPins, user(shard)).await, Ok(3));
            assert!(storage.name(NameKind::Tag, &tag(shard)).await.expect("a read").is_some());
            assert_eq!(storage.audit_verify(shard).await, Ok(3));
            assert!(storage.write(keyed(shard)).await.expect("a replay").replayed, "keys move along");
        }
        let events: HashSet<String> = storage.outbox(100).await.expect("a read").into_iter().map(|(_, event)| event.id).collect();
        assert_eq!(events, SHARDS.iter().flat_map(|shard| (1..=3).map(move |local| format!("e{}.{local}", shard.0))).collect());
        assert_eq!(storage.check().await, Ok(vec![]));
    }
}

#[tokio::test]
async fn everything_of_a_site_moves() {
    let Some(leaving) = Leaving::start("everything_of_a_site_moves").await else { return };
    let dry = MigrateOptions { dry_run: true, ..MigrateOptions::default() };
    let planned = leaving.operator.migrate(&leaving.file(), dry).await.expect("a plan");
    assert!(planned.steps[0].contains("rows of"), "{planned:?}");
    assert_eq!((leaving.count("SELECT COUNT(*) FROM pins").await, leaving.state()), (0, State::None), "a dry run moves nothing");
    let report = leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect("a migration");
    assert!(report.rows > 20 && report.events == 6, "{report:?}");
    assert_eq!(leaving.state(), State::Moved);
    leaving.assert_there(&leaving.open_there().await).await;
    // Ids go on behind the blocks that were reserved; the old configuration leads to the new place.
    let old = leaving.open().await;
    assert_eq!(old.new_id(SHARDS[0], Kind::Pin).await.expect("an id").local(), 9);
    old.write(write_pin(SHARDS[1], 4, "there")).await.expect("a write");
    assert!(leaving.open_there().await.get::<Pin>(pin(SHARDS[1], 4)).await.expect("a read").is_some());
    let again = leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect("nothing to do");
    assert!(again.steps[0].contains("already"), "{again:?}");
    // Without its map a site that has moved is not taken for one that has not.
    std::fs::remove_file(leaving.fleet.file()).expect("the map");
    let url = format!("sqlite:{}", leaving.file().display());
    let error = Storage::open(&url, &Logins::default(), leaving.clock.clone()).await.err().expect("nowhere to go");
    assert!(matches!(&error, Error::Unavailable(message) if message.contains("has moved to mysql:")), "{error}");
}

#[tokio::test]
async fn a_migration_that_was_ended_anywhere_is_finished_by_running_it_again() {
    use MigrateStop::{Compared, Copied, Decided, Frozen, Marked, Recording};
    for stop in [Recording, Marked, Copied, Compared, Frozen, Decided] {
        let Some(leaving) = Leaving::start("a_migration_that_was_ended_anywhere").await else { return };
        let stopped = leaving.operator.migrate(&leaving.file(), with_stop(stop)).await;
        assert!(matches!(&stopped, Err(Error::Unavailable(message)) if message.contains("Stopped")), "{stop:?}: {stopped:?}");
        assert_eq!(leaving.state(), if stop == Decided { State::Moved } else { State::Copying });
        // The site goes on, wherever it is.
        let storage = leaving.open().await;
        let mut meanwhile = write_pin(SHARDS[0], 70, "meanwhile");
        meanwhile.ops.retain(|op| !matches!(op, crate::Op::Audit { .. } | crate::Op::Emit { .. }));
        storage.write(meanwhile).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        storage
            .write(batch(SHARDS[0], |b| b.purge(pin(SHARDS[0], 70)).unmap(Assoc::UserHasPins, user(SHARDS[0]), pin(SHARDS[0], 70))))
            .await
            .expect("a purge");
        storage.close().await.expect("closed");
        leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.unwrap_or_else(|error| panic!("{stop:?}: {error}"));
        leaving.assert_there(&leaving.open_there().await).await;
        assert_eq!(leaving.count("SELECT COUNT(*) FROM owned_shards WHERE state = 'owned' AND other = ''").await, 4_096);
    }
}

#[tokio::test]
async fn a_migration_can_be_taken_back_until_it_is_decided() {
    for stop in [MigrateStop::Recording, MigrateStop::Copied, MigrateStop::Frozen] {
        let Some(leaving) = Leaving::start("a_migration_can_be_taken_back").await else { return };
        let _ = leaving.operator.migrate(&leaving.file(), with_stop(stop)).await;
        let storage = leaving.open().await;
        let findings = storage.check().await.expect("a check");
        assert!(matches!(findings.as_slice(), [finding] if finding.contains("--abort")), "{findings:?}");
        leaving.operator.abort_migration(&leaving.file()).await.expect("an end");
        assert_eq!((leaving.count("SELECT COUNT(*) FROM pins").await, leaving.state()), (0, State::None));
        assert_eq!(leaving.count("SELECT COUNT(*) FROM owned_shards WHERE state = 'owned' AND other = ''").await, 4_096);
        leaving.assert_there(&storage).await;
    }
    let Some(leaving) = Leaving::start("a_migration_can_be_taken_back").await else { return };
    leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect("a migration");
    let error = leaving.operator.abort_migration(&leaving.file()).await.expect_err("decided");
    assert!(error.to_string().contains("no way back"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_notice_a_pause_while_their_site_moves() {
    let Some(leaving) = Leaving::start("writers_notice_a_pause").await else { return };
    let storage = leaving.open().await;
    let (mut commits, mut others) = (storage.watch(), storage.watch_others());
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|index| {
            let (storage, stop, written, shard) = (storage.clone(), stop.clone(), written.clone(), SHARDS[index % 2]);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = storage.new_id(shard, Kind::Pin).await.expect("an id");
                    storage.write(write_pin(shard, id.local(), "moving")).await.expect("a write");
                    let changing = batch(shard, |b| b.update(id, 1, &a_pin("moved")).remap(Assoc::UserHasPins, user(shard), id, 7));
                    storage.write(changing).await.expect("an update");
                    assert!(storage.get::<Pin>(id).await.expect("a read").is_some(), "one's own writes are seen");
                    acknowledged.push(id);
                    written.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    while written.load(Ordering::Relaxed) < 100 {
        commits.changed().await.expect("open");
    }
    others.mark_unchanged();
    let options = MigrateOptions { server_runs: true, ..MigrateOptions::default() };
    let report = leaving.operator.migrate(&leaving.file(), options).await.expect("a migration");
    let moved_at = written.load(Ordering::Relaxed);
    others.changed().await.expect("what is cached may be old");
    commits.mark_unchanged();
    while written.load(Ordering::Relaxed) < moved_at + 100 {
        commits.changed().await.expect("commits are told at the new place as well");
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged: Vec<Id> = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("a writer"));
    }
    assert!(report.frozen_ms < 1_000, "{report:?}");
    let there = leaving.open_there().await;
    for chunk in acknowledged.chunks(1_000) {
        let found = there.get_many::<Pin>(chunk).await.expect("a read");
        assert!(found.iter().all(|pin| pin.as_ref().is_some_and(|pin| pin.version == 2 && pin.data.title == "moved")));
    }
    let counts = [there.count(Assoc::UserHasPins, user(SHARDS[0])).await, there.count(Assoc::UserHasPins, user(SHARDS[1])).await];
    assert_eq!(counts.into_iter().map(|count| count.expect("a count")).sum::<u64>(), acknowledged.len() as u64 + 6);
    let events: Vec<String> = there.outbox(10_000).await.expect("a read").into_iter().map(|(_, event)| event.id).collect();
    let distinct: HashSet<&String> = events.iter().collect();
    assert_eq!((events.len(), distinct.len()), (acknowledged.len() + 6, acknowledged.len() + 6));
    assert_eq!(there.check().await, Ok(vec![]));
    // Another process goes on writing there, and this one hears of it.
    others.mark_unchanged();
    let id = there.new_id(SHARDS[0], Kind::Pin).await.expect("an id");
    there.write(write_pin(SHARDS[0], id.local(), "elsewhere")).await.expect("a write");
    others.changed().await.expect("open");
    assert!(storage.get::<Pin>(id).await.expect("a read").is_some());
}

#[tokio::test]
async fn a_site_moves_only_when_its_server_can_follow() {
    let Some(leaving) = Leaving::start("a_site_moves_only_when").await else { return };
    let options = MigrateOptions { server_runs: true, ..MigrateOptions::default() };
    let stranger = Credentials { user: "stranger".to_owned(), password: String::new() };
    let server = leaving.open_as(stranger).await;
    let error = leaving.operator.migrate(&leaving.file(), options).await.expect_err("it can't follow");
    assert!(error.to_string().contains("storage.user"), "{error}");
    assert_eq!((leaving.state(), leaving.count("SELECT COUNT(*) FROM owned_shards WHERE state = 'owned'").await), (State::None, 4_096));
    server.write(write_pin(SHARDS[0], 4, "goes on")).await.expect("a write");
    server.close().await.expect("closed");
    drop(server);
    // The operator's own login for the site is looked at as well.
    let stranger = Credentials { user: "stranger".to_owned(), password: String::new() };
    // A command without a login that has come and gone is in nobody's way.
    let _ = leaving.operator.migrate(&leaving.file(), with_stop(MigrateStop::Copied)).await;
    let command = leaving.open_as(stranger).await;
    let source = Source::open(&leaving.file()).expect("the file");
    assert!(matches!(source.followers().expect("followers").as_slice(), [problem] if problem.contains("stranger")));
    command.close().await.expect("closed");
    assert_eq!(source.followers().expect("followers"), Vec::<String>::new());
    let wrong = Credentials { user: "nobody".to_owned(), password: String::new() };
    let admin = leaving.operator.admin.clone();
    let operator = Operator::new(leaving.fleet.file(), wrong, admin, Arc::new(Quiet));
    let error = operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect_err("no login");
    assert!(error.to_string().contains("CREATE USER 'nobody'"), "{error}");
}

#[tokio::test]
async fn what_can_not_be_migrated_is_said() {
    let Some(leaving) = Leaving::start("what_can_not_be_migrated").await else { return };
    let refused = async |operator: &Operator, wanted: &str| {
        for dry_run in [true, false] {
            let error = operator.migrate(&leaving.file(), MigrateOptions { dry_run, ..MigrateOptions::default() }).await.expect_err(wanted);
            assert!(error.to_string().contains(wanted), "{error} should say {wanted}");
        }
    };
    let missing = leaving.folder.path().join("other.db");
    let error = leaving.operator.migrate(&missing, MigrateOptions::default()).await.expect_err("no file");
    assert!(error.to_string().contains("no embedded site") && !missing.exists(), "{error}");
    let held = leaving.operator.lock(&leaving.fleet.map).await.expect("the lock");
    refused(&leaving.operator, "Another storage operation").await;
    drop(held);
    // A migration that was begun goes to one fleet.
    let Some(other) = Fleet::start("what_can_not_be_migrated", 1) else { return };
    let _ = leaving.operator.migrate(&leaving.file(), with_stop(MigrateStop::Marked)).await;
    refused(&operator(other.file()), "was begun").await;
    let error = operator(other.file()).abort_migration(&leaving.file()).await.expect_err("another fleet");
    assert!(error.to_string().contains("--map"), "{error}");
    leaving.operator.abort_migration(&leaving.file()).await.expect("an end");
    // A fleet with anything in it is somebody's.
    leaving.open_there().await.write(batch(SHARDS[1], |b| b.claim(NameKind::Tag, tag(SHARDS[1]), user(SHARDS[1])))).await.expect("a write");
    refused(&leaving.operator, "db2 is not empty: there are rows in names").await;
    assert_eq!(leaving.state(), State::None);
    // A store that is not sound.
    let connection = sqlite::rusqlite::Connection::open(leaving.file()).expect("the file");
    connection.execute_batch("UPDATE mapping_counts SET count = 7").expect("a change");
    let error = operator(other.file()).migrate(&leaving.file(), MigrateOptions::default()).await.expect_err("not sound");
    assert!(matches!(&error, Error::Corrupt(message) if message.contains("not sound")), "{error}");
}

#[tokio::test]
async fn a_copy_that_differs_is_not_taken_for_the_site() {
    let Some(leaving) = Leaving::start("a_copy_that_differs").await else { return };
    // The rows that are copied are changed behind the migration's back, by a trigger: each side of each comparison must see it.
    let entry = &leaving.fleet.map.servers[0];
    let admin = server(&entry.primary, &leaving.operator.admin, Limits::default()).expect("a server");
    admin
        .query("CREATE TRIGGER spoil BEFORE INSERT ON pins FOR EACH ROW SET NEW.data = REPLACE(NEW.data, 'title', 'tilte')")
        .await
        .expect("a trigger");
    let error = leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect_err("a difference");
    assert!(matches!(&error, Error::Corrupt(message) if message.contains("pins has 6 rows")), "{error}");
    assert_eq!(leaving.state(), State::Copying);
    admin.query("DROP TRIGGER spoil").await.expect("no trigger");
    leaving.operator.migrate(&leaving.file(), MigrateOptions::default()).await.expect("a migration");
    leaving.assert_there(&leaving.open_there().await).await;
}

#[tokio::test]
async fn rows_are_read_back_as_they_are() {
    let Some(fleet) = Fleet::start("rows_are_read_back", 2) else { return };
    let target = Target::open(&operator(fleet.file()), &fleet.map, "token").expect("a target");
    let edge = |shard: Shard, sequence| {
        let row = vec![Cell::Int(user(shard).id().as_i64()), Cell::Int(pin(shard, 1).id().as_i64()), Cell::Int(sequence)];
        Change::put(shape("user_has_pins").expect("a table"), row)
    };
    let gone = Change { row: None, ..edge(SHARDS[1], 0) };
    let changes = [edge(SHARDS[0], 5), gone];
    target.apply(&changes).await.expect("a change");
    target.apply(&changes).await.expect("the same again");
    target.read_back(&changes).await.expect("as it should be");
    // Another value, a row that is missing, and one that should be gone.
    for wrong in [edge(SHARDS[0], 6), edge(SHARDS[1], 0), Change { row: None, ..edge(SHARDS[0], 5) }] {
        let error = target.read_back(&[wrong]).await.expect_err("a difference");
        assert!(matches!(&error, Error::Corrupt(message) if message.contains("user_has_pins")), "{error}");
    }
    assert!(target.check().await.expect_err("it is not empty").to_string().contains("rows in user_has_pins"));
}
