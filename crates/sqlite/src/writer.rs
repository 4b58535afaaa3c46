//! The writer: one thread that runs everything that waits in one transaction and commits once.
//!
//! While one group is being committed the next one gathers. A single writer gets its answer after one fsync, a hundred concurrent
//! ones share it. Where the disk is so quick that groups stay small, a group that had company lets the next one gather until
//! [`GATHER`] after it: commits cost more of the processor than of the disk then.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::checkpointer::Bell;
use crate::error::{Error, Result};
use crate::file::Counters;
use crate::metrics as names;

/// Writes in one group. More would make the first of them wait long for the last.
pub const GROUP_WRITES_MAX: usize = 256;
/// Bytes in one group, as callers of `write_sized` announce them. More would spill the page cache before the commit.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Writes that wait; the next caller waits to be let in, so that a slow disk slows callers down instead of filling memory.
pub const QUEUE_WRITES_MAX: usize = 1024;
/// Least time between the beginnings of two commits while several callers write.
pub const GATHER: Duration = Duration::from_millis(2);
/// How often an idle writer looks whether another process has committed.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Attempts to begin a transaction while another process holds the lock; each waits for the busy time-out (5 s).
const BEGIN_ATTEMPTS: usize = 2;

/// What the writer thread is told.
pub(crate) enum Message {
    Write(Request),
    /// Finish what waits, put the log into the file, and answer.
    Close(oneshot::Sender<Result<()>>),
}

pub(crate) struct Request {
    pub(crate) work: Box<dyn Work>,
    pub(crate) bytes: usize,
    /// The place in the queue; freed when the request is answered.
    pub(crate) place: OwnedSemaphorePermit,
}

/// One closure with its answer, free of types.
pub(crate) trait Work: Send {
    /// Tells whether nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    /// Runs the closure; tells whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers: what the closure returned, or why the group failed.
    fn answer(self: Box<Self>, fate: &Result<()>);
}

/// What came out of a closure; a panic goes on in the caller's task.
pub(crate) type Outcome<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

pub(crate) struct Pending<T, F> {
    pub(crate) closure: Option<F>,
    pub(crate) outcome: Option<Outcome<T>>,
    pub(crate) reply: oneshot::Sender<Outcome<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Work for Pending<T, F> {
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let Some(closure) = self.closure.take() else { return false };
        // The savepoint is rolled back after a panic, so that the connection is as if the closure had never run.
        let outcome = catch_unwind(AssertUnwindSafe(|| closure(connection)));
        let succeeded = matches!(outcome, Ok(Ok(_)));
        self.outcome = Some(outcome);
        succeeded
    }

    fn answer(self: Box<Self>, fate: &Result<()>) {
        let outcome = match (self.outcome, fate) {
            // A refusal stands, whatever became of the others.
            (Some(outcome @ (Err(_) | Ok(Err(_)))), _) | (Some(outcome), Ok(())) => outcome,
            (_, Err(error)) => Ok(Err(error.clone())),
            (None, Ok(())) => Ok(Err(Error::Unavailable("The write was given up before it began.".to_owned()))),
        };
        // Whoever asked may have gone; the write stands all the same.
        let _ = self.reply.send(outcome);
    }
}

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) name: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) commits: tokio::sync::watch::Sender<u64>,
    /// Bumped for other processes' commits only.
    pub(crate) others: tokio::sync::watch::Sender<u64>,
    pub(crate) data_version: i64,
    pub(crate) polled_at: Instant,
    pub(crate) bell: Bell,
    /// When the group that gathers now is to begin, at the latest.
    pub(crate) gather_until: Instant,
}

impl Writer {
    /// Serves until every sender is gone or it is told to close.
    pub(crate) fn serve(mut self, inbox: Receiver<Message>) {
        let mut left_over = None;
        loop {
            let message = match left_over.take() {
                Some(message) => Ok(message),
                None => inbox.recv_timeout(POLL_INTERVAL),
            };
            match message {
                Ok(Message::Write(first)) => left_over = self.serve_group(first, &inbox),
                Ok(Message::Close(reply)) => {
                    let _ = reply.send(self.close());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.poll_others();
        }
    }

    /// Gathers what waits behind `first`, runs it as one group, and returns a message that did not fit.
    fn serve_group(&mut self, first: Request, inbox: &Receiver<Message>) -> Option<Message> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        let mut left_over = None;
        while group.len() < GROUP_WRITES_MAX {
            let left = self.gather_until.saturating_duration_since(Instant::now());
            let next = if left.is_zero() { inbox.try_recv().ok() } else { inbox.recv_timeout(left).ok() };
            match next {
                Some(Message::Write(request)) if bytes + request.bytes <= GROUP_BYTES_MAX => {
                    bytes += request.bytes;
                    group.push(request);
                }
                Some(message) => {
                    left_over = Some(message);
                    break;
                }
                None => break,
            }
        }
        let begun = Instant::now();
        self.gather_until = if group.len() > 1 { begun + GATHER } else { begun };
        self.run_group(group);
        left_over
    }

    fn run_group(&mut self, group: Vec<Request>) {
        let mut waiting = group.into_iter().filter(|request| !request.work.abandoned()).peekable();
        while waiting.peek().is_some() {
            if let Err(error) = self.begin() {
                metrics::counter!(names::COMMIT_FAILURES_TOTAL, "file" => self.name.clone()).increment(1);
                tracing::error!(file = self.name, error = %error, "a transaction could not be begun");
                answer_all(waiting.collect(), &Err(error));
                return;
            }
            let changes_before = self.connection.total_changes();
            let mut ran = Vec::new();
            let mut lost = None;
            for mut request in waiting.by_ref() {
                let kept = self.run_one(&mut *request.work);
                ran.push(request);
                if let Err(error) = kept {
                    lost = Some(error);
                    break;
                }
            }
            let fate = match lost {
                Some(error) => {
                    if !self.connection.is_autocommit() {
                        let _ = self.connection.execute_batch("ROLLBACK");
                    }
                    Err(error)
                }
                None => self.commit(ran.len(), self.connection.total_changes() != changes_before),
            };
            answer_all(ran, &fate);
        }
    }

    /// Runs one closure in its savepoint. An error means that the whole transaction is lost, with everything before it: SQLite
    /// does so itself when the disk is full or fails.
    fn run_one(&self, work: &mut dyn Work) -> Result<()> {
        let lost =
            |error: rusqlite::Error| Error::Unavailable(format!("The transaction was rolled back: {error}. Nothing of it was written."));
        self.execute("SAVEPOINT one").map_err(lost)?;
        let succeeded = work.run(&self.connection);
        if self.connection.is_autocommit() {
            return Err(Error::Unavailable(
                "The database rolled the transaction back, nothing was written. Check the disk's space and health.".to_owned(),
            ));
        }
        if !succeeded {
            self.execute("ROLLBACK TO one").map_err(lost)?;
        }
        self.execute("RELEASE one").map_err(lost)
    }

    fn begin(&self) -> Result<()> {
        for _ in 1..BEGIN_ATTEMPTS {
            match self.execute("BEGIN IMMEDIATE") {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    tracing::warn!(file = self.name, "another process holds the database; waiting on");
                }
                result => return result.map_err(Error::from),
            }
        }
        self.execute("BEGIN IMMEDIATE").map_err(Error::from)
    }

    fn commit(&self, writes: usize, changed: bool) -> Result<()> {
        let started = Instant::now();
        let result = self.execute("COMMIT");
        metrics::histogram!(names::COMMIT_SECONDS, "file" => self.name.clone()).record(started.elapsed());
        metrics::histogram!(names::GROUP_WRITES, "file" => self.name.clone()).record(writes as f64);
        let Err(error) = result else {
            self.counters.committed(writes);
            if changed {
                self.bell.ring();
                self.commits.send_modify(|count| *count += 1);
            }
            return Ok(());
        };
        metrics::counter!(names::COMMIT_FAILURES_TOTAL, "file" => self.name.clone()).increment(1);
        tracing::error!(file = self.name, error = %error, writes, "a transaction could not be committed");
        let undone = self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        match error.sqlite_error_code() {
            // These are met before the commit record is written.
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) if undone => Err(error.into()),
            _ => Err(Error::Unknown(format!(
                "The disk failed during the commit: {error}. The write may or may not have been kept; read before trying again."
            ))),
        }
    }

    /// Bumps the watch when another process has committed. This connection's own commits don't change its data version.
    fn poll_others(&mut self) {
        if self.polled_at.elapsed() < POLL_INTERVAL {
            return;
        }
        self.polled_at = Instant::now();
        match data_version(&self.connection) {
            Ok(version) if version != self.data_version => {
                self.data_version = version;
                self.commits.send_modify(|count| *count += 1);
                self.others.send_modify(|count| *count += 1);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(file = self.name, error = %error, "looking for other processes' commits failed"),
        }
    }

    fn close(&self) -> Result<()> {
        self.connection.execute_batch("PRAGMA optimize")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

pub(crate) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn answer_all(requests: Vec<Request>, fate: &Result<()>) {
    for Request { work, place, .. } in requests {
        work.answer(fate);
        drop(place);
    }
}
