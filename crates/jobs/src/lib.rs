//! Durable background jobs: queues with priorities, claims with leases, retries with back-off, and the workers that run them.
//!
//! ```text
//!                    enqueue                dequeue: claim + lease              ack: succeeded
//!           ─────────────────────▶ pending ───────────────────────▶ in progress ──────────────▶ succeeded ─┐
//!                                    ▲  ▲                             │  │  │                              ├─ collect
//!                                    │  └── checkpoint(run_after) ────┘  │  └── ack: failed for good ──▶ failed ─┘
//!                                    │      attempts unchanged           │      or no attempt left          │
//!                                    ├── ack: failed, or lease ran out ──┘                                  │
//!                                    │   one attempt fewer                                                  │
//!                                    └────────────────────────── retry_failed ──────────────────────────────┘
//! ```
//!
//! Invariants
//! - A job that was acknowledged to the caller of `enqueue` is on disk, and runs at least once. Handlers are idempotent.
//! - A job has at most one valid claim. What comes with another claim changes nothing.
//! - Attempts fall only at failure and time-out.
//! - Within a queue: higher priority (smaller number) first, then by the time to run after, then by age.
//! - Counts by state and priority are kept in the same transaction as the jobs; reading them costs nothing.
//! - A queue where nothing is due costs the database nothing: workers wake by notice or by a timer for what is due.

mod error;
mod job;
mod limits;
mod state;

mod jobs;
mod metrics;

mod context;
mod worker;

mod engine;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

pub use context::{Handler, JobContext, JobError};
pub use engine::{ClaimRequest, Dequeued, Engine, EngineStats, Fault, Faulty, JobRow, SqliteEngine};
pub use error::{Error, Result};
pub use job::{Ack, Checkpoint, Count, Job, JobId, JobSnapshot, NewJob, Outcome, QueueOptions, QueueStatus, State};
pub use jobs::Jobs;
pub use limits::{
    ACKS_MAX, ATTEMPTS_DEFAULT, ATTEMPTS_MAX, CUSTOM_STATUS_BYTES_MAX, DEQUEUE_JOBS_MAX, ENQUEUE_JOBS_MAX, IDEMPOTENCY_KEY_BYTES_MAX,
    LEASE_MS_MAX, PAYLOAD_BYTES_MAX, PRIORITY_DEFAULT, PRIORITY_LOWEST, QUEUE_NAME_BYTES_MAX, SCAN_JOBS_MAX,
};
pub use metrics::METRICS;
pub use worker::{PoolOptions, Worker};
