//! Group commit, isolation, migrations and change notices, each on a file of its own.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;

use crate::{Error, File, GROUP_BYTES_MAX, Options, Result};

const SCHEMA: &[&str] = &["CREATE TABLE numbers (number INTEGER PRIMARY KEY)", "ALTER TABLE numbers ADD COLUMN note TEXT"];

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/er/numbers.db");
    (folder, path)
}

fn open(path: &std::path::Path) -> File {
    File::open(path, SCHEMA, Options::default()).expect("a file")
}

fn insert(number: i64) -> impl FnOnce(&Connection) -> Result<i64> + Send + 'static {
    move |connection| {
        connection.prepare_cached("INSERT INTO numbers (number) VALUES (?1)")?.execute([number])?;
        Ok(number)
    }
}

fn count(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("SELECT count(*) FROM numbers")?.query_row([], |row| row.get(0))?)
}

/// Holds the writer until the returned sender is used or dropped, so that a test decides what waits together. The writer is
/// inside the holding group when this returns: what comes next is in the next one.
async fn hold(file: &File) -> (tokio::task::JoinHandle<Result<()>>, mpsc::Sender<()>) {
    let (gate, opened) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let file = file.clone();
    let held = tokio::spawn(async move {
        file.write(move |_| {
            let _ = began.send(());
            let _ = opened.recv();
            Ok(())
        })
        .await
    });
    begun.await.expect("the writer is held");
    (held, gate)
}

#[tokio::test]
async fn what_was_written_is_read_and_survives_a_reopening() {
    let (_folder, path) = folder();
    let file = open(&path);
    assert_eq!(file.write(insert(7)).await, Ok(7));
    assert_eq!(file.read_now(count), Ok(1));
    assert_eq!(file.read(count).await, Ok(1));
    file.checkpoint_and_close().await.expect("a close");
    assert_eq!(file.stats().wal_bytes, 0);
    assert!(matches!(file.write(insert(8)).await, Err(Error::Unavailable(_))));
    assert!(matches!(file.read_now(count), Err(Error::Unavailable(_))));
    assert!(matches!(file.read(count).await, Err(Error::Unavailable(_))));
    file.checkpoint_and_close().await.expect("a second close");
    assert_eq!(open(&path).read_now(count), Ok(1));
}

#[tokio::test]
async fn two_hundred_concurrent_writes_share_few_commits() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let writes = join_all((0..200).map(|number| file.write(insert(number))));
    // join! polls in order: all 200 are in the queue when the gate opens. Tokio would make a task yield after 128 steps.
    let all = async { tokio::join!(held, writes, async move { drop(gate) }) };
    let (held, results, ()) = tokio::task::unconstrained(all).await;
    held.expect("no panic").expect("the gate");
    assert!(results.iter().all(Result::is_ok));
    let stats = file.stats();
    assert_eq!(stats.writes, 201);
    assert_eq!(stats.group_commits, 2);
    assert_eq!(file.read_now(count), Ok(200));
}

#[tokio::test]
async fn a_failing_write_leaves_nothing_and_disturbs_nobody() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let refused = file.write(|connection| {
        insert(2)(connection)?;
        Err::<(), _>(Error::Conflict("no".to_owned()))
    });
    let (_, first, refused, double, last, ()) =
        tokio::join!(held, file.write(insert(1)), refused, file.write(insert(1)), file.write(insert(3)), async move { drop(gate) });
    assert_eq!(first, Ok(1));
    assert_eq!(refused, Err(Error::Conflict("no".to_owned())));
    assert!(matches!(double, Err(Error::Conflict(_))), "{double:?}");
    assert_eq!(last, Ok(3));
    assert_eq!(file.read_now(count), Ok(2));
}

#[tokio::test]
async fn a_panic_goes_to_its_caller_and_the_writer_lives_on() {
    let (_folder, path) = folder();
    let file = open(&path);
    let broken = file.clone();
    let task = tokio::spawn(async move {
        broken
            .write(|connection| {
                insert(1)(connection)?;
                assert!(connection.is_autocommit(), "always");
                Ok(())
            })
            .await
    });
    assert!(task.await.expect_err("a panic").is_panic());
    let reading = file.clone();
    let task = tokio::spawn(async move { reading.read(|_| -> Result<()> { panic!("while reading") }).await });
    assert!(task.await.expect_err("a panic").is_panic());
    assert_eq!(file.write(insert(2)).await, Ok(2));
    assert_eq!(file.read_now(count), Ok(1));
}

#[tokio::test]
async fn a_lost_transaction_fails_the_group_and_not_the_next() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let lost = file.write(|connection| Ok(connection.execute_batch("ROLLBACK")?));
    let (_, first, lost, last, ()) = tokio::join!(held, file.write(insert(1)), lost, file.write(insert(2)), async move { drop(gate) });
    assert!(matches!(first, Err(Error::Unavailable(_))), "{first:?}");
    assert!(matches!(lost, Err(Error::Unavailable(_))), "{lost:?}");
    assert_eq!(last, Ok(2));
    assert_eq!(file.read_now(count), Ok(1));
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_not_begun() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let abandon = async {
        let mut write = Box::pin(file.write(insert(1)));
        std::future::poll_fn(|context| {
            assert!(write.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(write);
        drop(gate);
    };
    let (held, ()) = tokio::join!(held, abandon);
    held.expect("no panic").expect("the gate");
    assert_eq!(file.write(insert(2)).await, Ok(2));
    assert_eq!(file.read_now(count), Ok(1));
}

#[tokio::test]
async fn large_writes_are_spread_over_groups() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let writes = join_all((0..6).map(|number| file.write_sized(GROUP_BYTES_MAX / 2, insert(number))));
    let (_, results, ()) = tokio::join!(held, writes, async move { drop(gate) });
    assert!(results.iter().all(Result::is_ok));
    // The gate's, and three groups of two.
    assert_eq!(file.stats().group_commits, 4);
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let writes = join_all((0..1_500).map(|number| file.write(insert(number))));
    let (_, results, ()) = tokio::join!(held, writes, async move { drop(gate) });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(file.read_now(count), Ok(1_500));
}

#[tokio::test]
async fn closing_finishes_what_waits() {
    let (_folder, path) = folder();
    let file = open(&path);
    let (held, gate) = hold(&file).await;
    let writes = join_all((0..10).map(|number| file.write(insert(number))));
    let (_, results, closed, ()) = tokio::join!(held, writes, file.checkpoint_and_close(), async move { drop(gate) });
    closed.expect("a close");
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(open(&path).read_now(count), Ok(10));
}

#[tokio::test]
async fn a_read_sees_one_state() {
    let (_folder, path) = folder();
    let file = open(&path);
    file.write(insert(1)).await.expect("a write");
    let (told, tell) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let reader = file.clone();
    let read = std::thread::spawn(move || {
        reader.read_now(|connection| {
            let before = count(connection)?;
            told.send(()).expect("the test waits");
            gone.recv().expect("the test goes on");
            Ok((before, count(connection)?))
        })
    });
    tell.recv().expect("the read has begun");
    file.write(insert(2)).await.expect("a write beside the read");
    go.send(()).expect("the read waits");
    assert_eq!(read.join().expect("no panic"), Ok((1, 1)));
    assert_eq!(file.read_now(count), Ok(2));
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_folder, path) = folder();
    let file = open(&path);
    assert!(matches!(file.read_now(insert(1)), Err(Error::Unavailable(_))));
    assert_eq!(file.read_now(count), Ok(0));
}

#[tokio::test]
async fn more_readers_than_connections_take_turns() {
    let (_folder, path) = folder();
    let file = File::open(&path, SCHEMA, Options { readers: 2, cache_kib: 64 }).expect("a file");
    let results = join_all((0..50).map(|_| file.read(count))).await;
    assert!(results.into_iter().all(|result| result == Ok(0)));
}

#[tokio::test]
async fn commits_are_noticed_in_this_and_in_another_process() {
    let (_folder, path) = folder();
    let file = open(&path);
    // A second `File` stands for another process: it shares nothing but the disk.
    let other = open(&path);
    let mut here = file.watch();
    let mut there = other.watch();
    file.write(insert(1)).await.expect("a write");
    tokio::time::timeout(Duration::from_secs(5), here.changed()).await.expect("in time").expect("open");
    tokio::time::timeout(Duration::from_secs(5), there.changed()).await.expect("in time").expect("open");
    assert_eq!(other.read_now(count), Ok(1));
    let commits_before = *here.borrow_and_update();
    file.write(|_| Ok(())).await.expect("a write of nothing");
    assert_eq!(*here.borrow_and_update(), commits_before);
}

#[tokio::test]
async fn two_processes_write_at_the_same_time() {
    let (_folder, path) = folder();
    let (file, other) = (open(&path), open(&path));
    let here = join_all((0..200).map(|number| file.write(insert(number))));
    let there = join_all((200..400).map(|number| other.write(insert(number))));
    let (here, there) = tokio::join!(here, there);
    assert!(here.iter().chain(&there).all(Result::is_ok));
    assert_eq!(file.read_now(count), Ok(400));
}

#[tokio::test]
async fn migrations_run_once_and_a_newer_file_is_refused() {
    let (_folder, path) = folder();
    let first = File::open(&path, &SCHEMA[..1], Options::default()).expect("an old file");
    first.write(insert(1)).await.expect("a write");
    drop(first);
    let second = open(&path);
    second.write(|c| Ok(c.execute("UPDATE numbers SET note = 'x'", [])?)).await.expect("the new column");
    drop(second);
    let error = File::open(&path, &SCHEMA[..1], Options::default()).err().expect("a refusal");
    assert!(matches!(&error, Error::Invalid(message) if message.contains("newer")), "{error}");
}

#[tokio::test]
async fn a_failing_migration_leaves_the_file_as_it_was() {
    let (_folder, path) = folder();
    drop(open(&path));
    const BROKEN: &[&str] = &[SCHEMA[0], SCHEMA[1], "CREATE TABLE more (x); CREATE TABLE numbers (x)"];
    let error = File::open(&path, BROKEN, Options::default()).err().expect("a refusal");
    assert!(error.to_string().contains("Migration 3"), "{error}");
    let file = open(&path);
    assert!(file.read_now(|c| Ok(c.execute_batch("SELECT * FROM more")?)).is_err());
}

#[test]
fn what_is_no_database_is_refused() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    std::fs::write(&path, "this is a letter to a friend, not a database ".repeat(40)).expect("a letter");
    let error = File::open(&path, SCHEMA, Options::default()).err().expect("a refusal");
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
}
