//! How much, how many and how long, each with its unit and reason.

use std::time::Duration;

/// Bytes of one event as JSON. Events carry facts, not contents; a larger one is refused by `append` and dropped by `emit`.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Events in one `append`: one transaction that other writers wait for. More is refused; the caller cuts it up.
pub const APPEND_EVENTS_MAX: usize = 10_000;

/// Records that one read returns, whatever was asked for: bounds the memory of a consumer that has fallen behind.
pub const READ_RECORDS_MAX: usize = 10_000;

/// Events waiting in memory for the next flush. When it is full, `emit` drops, counts and logs: memory stays bounded.
pub const BUFFER_EVENTS_MAX: usize = 10_000;

/// Events per flush. A full flush does not wait for `FLUSH_AFTER`.
pub const FLUSH_EVENTS: usize = 500;

/// How long an emitted event may wait for others to share its flush.
pub const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// Bytes of the spool on disk, about a hundred thousand events. When it is full, events are dropped, counted and logged.
pub const SPOOL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How often the log is tried again while the spool holds events: first and at most.
pub const SPOOL_RETRY_FIRST: Duration = Duration::from_secs(1);
pub const SPOOL_RETRY_MAX: Duration = Duration::from_secs(30);

/// Dropped events are logged at most this often: a log that is away must not fill the other log.
pub const DROP_LOG_EVERY_MS: i64 = 60_000;

/// How long a call of the engine may take. After that the caller hears `Unavailable` (reads) or `Unknown` (writes).
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of a consumer group's name. A longer one is refused.
pub const GROUP_NAME_BYTES_MAX: usize = 100;

/// How long retention keeps records that a group has not consumed, counted from the retention time backwards. A group that
/// nobody runs any more would otherwise keep the log for ever; one that is this late has to rebuild from storage.
pub const CONSUMER_ABSENCE_MS_MAX: i64 = 30 * 24 * 3_600_000;

/// Records that retention deletes in one transaction, so that writers are not held up.
pub const FORGET_RECORDS: usize = 2_000;

/// Records that a read takes on the calling thread; a longer one goes to a blocking thread, so that it holds up nobody.
pub const SHORT_READ_RECORDS: usize = 200;
/// Records that are read, and rewritten in one transaction, at once while details are blanked: a few MiB.
pub(crate) const BLANK_RECORDS: usize = 1_000;
