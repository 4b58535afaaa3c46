//! The port: what a store of jobs must do. The front has checked all arguments and hands in the time.

mod faulty;
mod sqlite;

use std::fmt;

use async_trait::async_trait;
use model::Timestamp;
use tokio::sync::watch;

use crate::error::Result;
use crate::job::{Ack, Checkpoint, Job, JobId, JobSnapshot, QueueOptions, QueueStatus, State};

pub use faulty::{Fault, Faulty};
pub use sqlite::SqliteEngine;

/// A job on its way into a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// JSON.
    pub payload: String,
    pub priority: u8,
    pub run_after: Timestamp,
    pub attempts: u32,
    pub idempotency_key: Option<String>,
}

/// Who wants jobs, how many and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    pub queue: String,
    pub worker: String,
    pub limit: usize,
    pub lease_ms: i64,
}

/// What a dequeue did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dequeued {
    /// In the order in which they should run.
    pub jobs: Vec<Job>,
    /// One answer per ack: did it change anything.
    pub accepted: Vec<bool>,
    /// Only when no job was claimed: when something may be claimed or a lease may run out, unless the watch changes before.
    /// `None`: never by itself.
    pub next_due: Option<Timestamp>,
}

/// What the engine takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub file_bytes: u64,
    pub wal_bytes: u64,
}

/// A store of job queues. Every call is atomic and durable on `Ok`; `Unknown` means that it may have happened. A claim is
/// valid until its job is acked, given back, deleted or taken back because its lease ran out. The decisions about what
/// becomes of a job are those of the crate's `state` module, the same for all engines.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Creates a queue or changes its options. May be repeated.
    async fn create_queue(&self, queue: &str, options: QueueOptions, now: Timestamp) -> Result<()>;

    /// Deletes a queue with its finished jobs. `NotFound` without it; `Conflict` while jobs are pending or in progress.
    async fn delete_queue(&self, queue: &str) -> Result<()>;

    /// Lists all queues by name. Costs a few seeks per queue, whatever its length.
    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueStatus>>;

    /// Puts jobs into a queue, which is made when it is new; all or none. A row whose key is known in the queue gives the
    /// job that has it. A time to run in the past counts as now. Not to be repeated without keys.
    async fn enqueue(&self, queue: &str, rows: Vec<JobRow>, now: Timestamp) -> Result<Vec<JobId>>;

    /// In one step: applies acks (of any queue), takes back jobs of the queue whose lease ran out, claims up to `limit` due
    /// jobs (priority, then time to run, then number). When there are no acks and nothing is due it writes nothing.
    async fn dequeue(&self, request: ClaimRequest, acks: Vec<Ack>, now: Timestamp) -> Result<Dequeued>;

    /// Applies acks; each answer tells whether it changed anything. May be repeated.
    async fn ack(&self, acks: Vec<Ack>, now: Timestamp) -> Result<Vec<bool>>;

    /// Changes a claimed job; false, and nothing changed, when the claim has ended.
    async fn checkpoint(&self, id: JobId, claim: &str, checkpoint: Checkpoint, now: Timestamp) -> Result<bool>;

    /// Looks jobs up, in the order asked for.
    async fn lookup(&self, ids: &[JobId]) -> Result<Vec<Option<JobSnapshot>>>;

    /// Lists jobs of a queue and state by number, behind `after`. Empty for a queue that is not there.
    async fn scan(&self, queue: &str, state: State, after: Option<JobId>, limit: usize) -> Result<Vec<JobSnapshot>>;

    /// Makes all failed jobs of a queue pending, with all their attempts; returns how many.
    async fn retry_failed(&self, queue: &str, now: Timestamp) -> Result<u64>;

    /// Deletes jobs in any state; returns how many were there.
    async fn delete(&self, ids: &[JobId]) -> Result<u64>;

    /// Takes back every job, of all queues, whose lease ran out: pending with one attempt fewer, or failed. Returns how many.
    async fn expire_claims(&self, now: Timestamp) -> Result<u64>;

    /// Deletes up to `limit` jobs that were finished before an instant; returns how many went.
    async fn collect(&self, finished_before: Timestamp, limit: usize) -> Result<u64>;

    /// Tells whether a job is in progress, or pending and due in a queue that is not paused.
    async fn is_busy(&self, now: Timestamp) -> Result<bool>;

    /// Compares the counts with the jobs; returns what does not agree, in words. Reads every job.
    async fn check(&self) -> Result<Vec<String>>;

    /// Returns a watch that changes after anything that may change what can be claimed from a queue and when, whoever did
    /// it. The queue need not exist. It may change for nothing.
    fn watch_queue(&self, queue: &str) -> watch::Receiver<u64>;

    /// Returns a watch that changes after anything was written. It may change for nothing.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Returns what the engine takes on disk.
    async fn stats(&self) -> Result<EngineStats>;

    /// Settles everything on disk. Calls after this fail with `Unavailable`.
    async fn close(&self);
}
