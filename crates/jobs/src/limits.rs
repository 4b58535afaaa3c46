//! How much, how many and how long, each with its unit and reason.

use std::time::Duration;

/// Bytes of a queue's name, which is also a label of metrics. A longer one is refused.
pub const QUEUE_NAME_BYTES_MAX: usize = 64;

/// Bytes of a payload as JSON. Payloads name things, they don't carry them; a larger one is refused.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Jobs in one `enqueue`: one transaction that other writers wait for. More is refused; the caller cuts it up.
pub const ENQUEUE_JOBS_MAX: usize = 1_000;

/// Jobs that one `dequeue` claims, whatever was asked for.
pub const DEQUEUE_JOBS_MAX: usize = 1_000;

/// Acks in one call. More is refused.
pub const ACKS_MAX: usize = 1_000;

/// Jobs named in one look-up or deletion. More is refused.
pub const IDS_MAX: usize = 1_000;

/// Jobs in one page of a scan, whatever was asked for.
pub const SCAN_JOBS_MAX: usize = 1_000;

/// The largest number of a priority; 1 is the highest.
pub const PRIORITY_LOWEST: u8 = 9;

/// The priority of a job that asks for none: as much room above as below.
pub const PRIORITY_DEFAULT: u8 = 5;

/// Attempts that a job may ask for. More is refused: with back-off a hundred take about four days.
pub const ATTEMPTS_MAX: u32 = 100;

/// Attempts of a job that asks for none.
pub const ATTEMPTS_DEFAULT: u32 = 5;

/// Bytes of an idempotency key. A longer one is refused.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;

/// Bytes of a custom status, which people read. A longer one is refused.
pub const CUSTOM_STATUS_BYTES_MAX: usize = 500;

/// Bytes kept of a failure's message; the rest is cut off, because a failure must not fail.
pub const MESSAGE_BYTES_MAX: usize = 2_000;

/// Bytes of a worker's name. A longer one is refused.
pub const WORKER_NAME_BYTES_MAX: usize = 200;

/// Milliseconds of a lease: a worker that died is noticed within a day at the latest.
pub const LEASE_MS_MAX: i64 = 24 * 3_600_000;

/// Jobs per second that a rate limit may name; above it there is no limit worth its cost.
pub const RATE_LIMIT_MAX: f64 = 1_000_000.0;

/// The wait after the first failure; it doubles with each.
pub const BACKOFF_FIRST_MS: i64 = 1_000;

/// The longest wait after a failure.
pub const BACKOFF_MAX_MS: i64 = 3_600_000;

/// How long a call of the engine may take. After that the caller hears `Unavailable` (reads) or `Unknown` (writes).
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The longest sleep until something is due. Timers of the machine stand still while it sleeps and clocks are set; the
/// wake-up compares two numbers in memory.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);

/// How often, at most, queues are compared with what other processes did to them.
pub const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// Jobs that one transaction collects, so that writers are not held up.
pub const COLLECT_JOBS: usize = 1_000;

/// The lease of a worker's jobs: how long after its death they are tried again. Workers extend it while a job runs.
pub const WORKER_LEASE_MS: i64 = 60_000;

/// How long a job may run without a sign of progress before it counts as failed.
pub const WORKER_RUN_MAX: Duration = Duration::from_secs(15 * 60);

/// How long running jobs may go on once the worker shall end; after that they are given back.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// Tries to tell what became of the last jobs before a worker ends; then their leases run out instead.
pub const LAST_ACKS_TRIES: u32 = 5;

/// Waits of a worker while the engine is away: first and at most.
pub const WORKER_RETRY_FIRST: Duration = Duration::from_millis(100);
pub const WORKER_RETRY_MAX: Duration = Duration::from_secs(10);

/// Jobs of one queue that a worker runs at once. More is cut down.
pub const CONCURRENCY_MAX: usize = 1_000;
