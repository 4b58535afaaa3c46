//! Jobs and queues as callers see them.

use std::fmt;

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{ATTEMPTS_DEFAULT, PRIORITY_DEFAULT};

/// The number of a job. Never used again. Jobs of a queue are numbered in the order in which they came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time and for a worker.
    Pending,
    /// Is claimed by a worker.
    InProgress,
    /// Is done; kept until it is collected.
    Succeeded,
    /// Is given up; kept until it is collected or retried.
    Failed,
}

impl State {
    pub const ALL: [State; 4] = [State::Pending, State::InProgress, State::Succeeded, State::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::InProgress => "in_progress",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
        }
    }

    /// True when nothing more happens to the job by itself.
    pub fn is_finished(self) -> bool {
        matches!(self, State::Succeeded | State::Failed)
    }
}

/// A job to enqueue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    pub payload: Value,
    /// 1 is the highest, 9 the lowest.
    pub priority: u8,
    /// Not before this instant; zero is at once.
    pub run_after: Timestamp,
    /// How often the job may fail or time out before it is given up.
    pub attempts: u32,
    /// The same key in the same queue, while the job is kept, is the same job: nothing new comes of it.
    pub idempotency_key: Option<String>,
}

impl NewJob {
    /// Makes a job that runs at once, with priority 5 and 5 attempts.
    pub fn new(payload: Value) -> NewJob {
        let run_after = Timestamp::default();
        NewJob { payload, priority: PRIORITY_DEFAULT, run_after, attempts: ATTEMPTS_DEFAULT, idempotency_key: None }
    }

    pub fn priority(self, priority: u8) -> NewJob {
        NewJob { priority, ..self }
    }

    pub fn run_after(self, run_after: Timestamp) -> NewJob {
        NewJob { run_after, ..self }
    }

    pub fn attempts(self, attempts: u32) -> NewJob {
        NewJob { attempts, ..self }
    }

    pub fn idempotency_key(self, key: impl Into<String>) -> NewJob {
        NewJob { idempotency_key: Some(key.into()), ..self }
    }
}

/// A claimed job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub queue: String,
    pub payload: Value,
    pub priority: u8,
    /// Failures and time-outs that are left, this run included: 1 means that the next failure is the last.
    pub attempts_left: u32,
    /// Failures and time-outs so far.
    pub attempts_made: u32,
    /// Proves to ack and checkpoint that the job is still this worker's.
    pub claim: String,
    pub custom_status: Option<String>,
    pub run_after: Timestamp,
    pub created_at: Timestamp,
    /// When the claim runs out unless it is extended.
    pub lease_until: Timestamp,
}

/// A job as look-ups and scans show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobSnapshot {
    pub id: JobId,
    pub queue: String,
    pub state: State,
    pub payload: Value,
    pub priority: u8,
    pub attempts_left: u32,
    pub attempts_made: u32,
    pub custom_status: Option<String>,
    /// What the last failure said.
    pub message: Option<String>,
    /// Who works on it, or who last did.
    pub worker: Option<String>,
    pub idempotency_key: Option<String>,
    pub run_after: Timestamp,
    pub created_at: Timestamp,
    /// When the claim runs out; only in progress.
    pub lease_until: Option<Timestamp>,
    /// Only succeeded and failed.
    pub finished_at: Option<Timestamp>,
}

/// What became of a claimed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub id: JobId,
    pub claim: String,
    pub outcome: Outcome,
}

impl Ack {
    /// Says how the run of a claimed job ended.
    pub fn new(job: &Job, outcome: Outcome) -> Ack {
        Ack { id: job.id, claim: job.claim.clone(), outcome }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// One attempt is used up. Pending again after `retry_after_ms`, or after the usual back-off, or failed without one left.
    Failed {
        message: String,
        retry_after_ms: Option<i64>,
    },
    /// Trying again is of no use: failed at once.
    FailedPermanently {
        message: String,
    },
}

/// A change to a claimed job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Replaces the payload, so that the next run goes on where this one stood.
    pub payload: Option<Value>,
    /// Replaces what people read about the job.
    pub custom_status: Option<String>,
    /// The lease ends this long from now.
    pub extend_ms: Option<i64>,
    /// Gives the job back: pending, from this instant on, with its attempts as they are. The claim ends.
    pub run_after: Option<Timestamp>,
}

/// How a queue behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueueOptions {
    /// Jobs per second that are handed out, over all workers; `Some(0.0)` pauses the queue, `None` is no limit.
    pub rate_limit_per_second: Option<f64>,
}

/// How many jobs of one state and priority a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub state: State,
    pub priority: u8,
    pub count: u64,
}

/// How a queue stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueStatus {
    pub name: String,
    /// By state and priority; what is zero is left out.
    pub counts: Vec<Count>,
    pub rate_limit_per_second: Option<f64>,
    /// Since when the job that has waited longest could have run.
    pub oldest_pending_at: Option<Timestamp>,
}

impl QueueStatus {
    /// Counts the jobs of a state over all priorities.
    pub fn count(&self, state: State) -> u64 {
        self.counts.iter().filter(|count| count.state == state).map(|count| count.count).sum()
    }

    pub fn is_paused(&self) -> bool {
        self.rate_limit_per_second == Some(0.0)
    }
}
