//! How much one call may ask for. What is more is refused with `Invalid` and a way to ask for less.

use std::time::Duration;

/// Operations in one batch. A transaction holds up every other writer of its server; larger work is cut into jobs.
pub const BATCH_OPS_MAX: usize = 10_000;
/// Bytes of data in one batch: eight of the largest objects.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of one event as JSON. Events carry facts about a change, not the changed things.
pub const EVENT_BYTES_MAX: usize = 256 << 10;
/// Bytes of one audit entry's data as JSON.
pub const AUDIT_DATA_BYTES_MAX: usize = 64 << 10;
/// Bytes of a unique name's key. The longest is an e-mail address (254) or an owner's id with a slug.
pub const NAME_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of an idempotency key; callers use UUIDs or hashes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;
/// Ids in one call of `get_many`, `edges`, `counts` or `ranges`.
pub const IDS_PER_CALL_MAX: usize = 10_000;
/// Rows of one list: a range, a scan, a page of the outbox or of the audit log.
pub const LIST_ROWS_MAX: usize = 10_000;

/// How long a call may take. After it reads fail as unavailable, and whether a write happened is unknown.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a look at everything may take: `check`, `stats`, `audit_verify`.
pub(crate) const LONG_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Ids reserved at once for one kind on one shard: the first time and at most. Doubling keeps rare shards from wasting ids and
/// busy ones from waiting for the disk.
pub(crate) const ID_BLOCK_MIN: u64 = 8;
pub(crate) const ID_BLOCK_MAX: u64 = 256;
/// Ids that another process may reserve in one call: what is lost when it dies before it hands them out.
pub(crate) const RESERVED_IDS_MAX: u64 = 1 << 20;
/// Claims that one sweep looks at per call of the engine.
pub(crate) const SWEEP_CLAIMS: usize = 100;
