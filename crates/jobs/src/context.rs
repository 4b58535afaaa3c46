//! What a handler of jobs is and what it can do while it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::Error;
use crate::job::{Checkpoint, Job, JobId};
use crate::jobs::Jobs;

/// Runs the jobs of a queue. A job may run more than once, so that handlers are idempotent; a panic is a failure.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs one job. `Ok`: it is done. The future may be dropped at any `await` when the job is no longer this worker's.
    async fn run(&self, job: &Job, context: &JobContext) -> std::result::Result<(), JobError>;
}

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// It may work later: one attempt is used up, and it is tried again after a while.
    Retry(String),
    /// It will never work: failed at once.
    Permanent(String),
}

impl JobError {
    /// Says that it may work later.
    pub fn retry(why: impl fmt::Display) -> JobError {
        JobError::Retry(why.to_string())
    }

    /// Says that it will never work.
    pub fn permanent(why: impl fmt::Display) -> JobError {
        JobError::Permanent(why.to_string())
    }

    pub fn message(&self) -> &str {
        match self {
            JobError::Retry(message) | JobError::Permanent(message) => message,
        }
    }

    pub fn is_permanent(&self) -> bool {
        matches!(self, JobError::Permanent(_))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for JobError {}

impl From<Error> for JobError {
    fn from(error: Error) -> JobError {
        match &error {
            Error::Invalid(_) => JobError::permanent(error),
            _ => JobError::retry(error),
        }
    }
}

impl Job {
    /// Reads the payload; one that can't be read fails the job for good.
    pub fn decode<T: DeserializeOwned>(&self) -> std::result::Result<T, JobError> {
        T::deserialize(&self.payload)
            .map_err(|error| JobError::Permanent(format!("The payload of a job of {} can't be read: {error}", self.queue)))
    }
}

/// A running job's line to its queue.
#[derive(Clone)]
pub struct JobContext {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: Jobs,
    id: JobId,
    claim: String,
    lease_ms: i64,
    /// When the handler last showed that it gets on.
    progress_at: Mutex<Instant>,
    /// The claim has ended.
    lost: watch::Sender<bool>,
    /// The worker is coming to its end.
    draining: watch::Receiver<bool>,
}

impl JobContext {
    pub(crate) fn new(jobs: Jobs, job: &Job, lease_ms: i64, draining: watch::Receiver<bool>) -> JobContext {
        let progress_at = Mutex::new(Instant::now());
        let (id, claim, lost) = (job.id, job.claim.clone(), watch::Sender::new(false));
        JobContext { shared: Arc::new(Shared { jobs, id, claim, lease_ms, progress_at, lost, draining }) }
    }

    /// Shows progress: the job may go on for as long as a new one may run. The lease itself is kept up by the worker.
    pub async fn heartbeat(&self) -> std::result::Result<(), JobError> {
        self.change(Checkpoint { extend_ms: Some(self.shared.lease_ms), ..Checkpoint::default() }).await
    }

    /// Replaces the payload, so that a later run goes on from here. Shows progress.
    pub async fn checkpoint(&self, payload: serde_json::Value) -> std::result::Result<(), JobError> {
        self.change(Checkpoint { payload: Some(payload), extend_ms: Some(self.shared.lease_ms), ..Checkpoint::default() }).await
    }

    /// Replaces what people read about the job. Shows progress.
    pub async fn status(&self, status: &str) -> std::result::Result<(), JobError> {
        let status = status[..status.floor_char_boundary(crate::limits::CUSTOM_STATUS_BYTES_MAX)].to_owned();
        self.change(Checkpoint { custom_status: Some(status), extend_ms: Some(self.shared.lease_ms), ..Checkpoint::default() }).await
    }

    /// Tells whether the job should come to its end: the worker drains, or the job is no longer this worker's. A handler that
    /// returns an error to retry after this gives the job back without using up an attempt.
    pub fn cancelled(&self) -> bool {
        *self.shared.lost.borrow() || *self.shared.draining.borrow()
    }

    /// Waits until the job should come to its end.
    pub async fn until_cancelled(&self) {
        let (mut lost, mut draining) = (self.shared.lost.subscribe(), self.shared.draining.clone());
        // A sender that is gone means the end as well.
        tokio::select! {
            _ = lost.wait_for(|lost| *lost) => {}
            _ = draining.wait_for(|draining| *draining) => {}
        }
    }

    pub(crate) fn set_lost(&self) {
        self.shared.lost.send_replace(true);
    }

    pub(crate) fn progress_at(&self) -> Instant {
        *self.shared.progress_at.lock()
    }

    async fn change(&self, checkpoint: Checkpoint) -> std::result::Result<(), JobError> {
        *self.shared.progress_at.lock() = Instant::now();
        if self.shared.jobs.checkpoint(self.shared.id, &self.shared.claim, checkpoint).await? {
            return Ok(());
        }
        self.set_lost();
        Err(JobError::Retry("The job is no longer this worker's: it was taken back or deleted.".to_owned()))
    }
}
