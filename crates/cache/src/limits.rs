//! How much is kept, and for how long.

use model::Timestamp;

/// Milliseconds for which "there is no such object" is believed: long enough to stop a burst of look-ups of a deleted pin, short
/// enough that nobody notices.
pub(crate) const NEGATIVE_MS: i64 = 2 * Timestamp::SECOND;
/// Milliseconds for which an invalidated version is remembered. Loads end after ten seconds; what is older can't come back.
pub(crate) const FLOOR_MS: i64 = Timestamp::MINUTE;
/// Times that a caller waits for other flights before it loads by itself, and milliseconds that it waits each time.
pub(crate) const WAIT_ROUNDS_MAX: u32 = 3;
pub(crate) const WAIT_MS_MAX: u64 = 2_000;
/// Milliseconds that a look-up in the second level may take whatever happens there. Engines have shorter limits of their own, so that they
/// learn who was slow.
pub(crate) const ENGINE_MS_MAX: u64 = 500;
/// Milliseconds that an invalidation may take: a commit waits for it. It goes on behind when this is over.
pub(crate) const INVALIDATE_MS_MAX: u64 = 2_000;
/// Milliseconds for which an object or a list in the process is believed without asking the second level: what another process has written
/// is seen after this.
pub(crate) const NEAR_MS: i64 = Timestamp::SECOND;
/// Milliseconds for which it is believed while no other process writes, if it comes from the second level.
pub(crate) const SILENT_MS: i64 = 30 * Timestamp::SECOND;
/// The same if this process has read it from storage itself, or made it: until the second level would have it refilled.
pub(crate) const FIRST_HAND_MS: i64 = (CELL_MS - CELL_STALE_MS) as i64;
/// Milliseconds after another process's commit within which the second level may not have been told of it: a commit waits two seconds for
/// that, and what is late then goes on behind.
pub(crate) const SETTLE_MS: i64 = 5 * Timestamp::SECOND;
/// The same as the first while nobody answers there, so that storage is not asked for everything each second.
pub(crate) const ALONE_MS: i64 = 5 * Timestamp::SECOND;
/// Milliseconds after which an object goes from the second level by itself: the last resort for what nobody could invalidate.
pub(crate) const CELL_MS: u64 = 600_000;
/// Milliseconds before that, from which on one caller refills it while all others still use it.
pub(crate) const CELL_STALE_MS: u64 = 60_000;
/// Milliseconds between looks at a key that another process refills, and how often.
pub(crate) const LEASE_POLL_MS: u64 = 20;
pub(crate) const LEASE_POLLS_MAX: u32 = 3;
/// Milliseconds after which a lease is given to someone else: its holder has died.
pub(crate) const LEASE_MS: i64 = 10 * Timestamp::SECOND;
/// One part in so many of the bytes is for lists.
pub(crate) const LISTS_PART: usize = 4;
/// Bytes that an entry costs beside the object itself: its place in the map and the ring, and the `Arc`.
pub(crate) const ENTRY_BYTES: usize = 112;
/// Parts of each map, with a lock each.
pub(crate) const SHARD_COUNT: usize = 16;

/// What an installation can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of all objects and lists together, estimated. The ones not asked for lately go first.
    pub bytes: usize,
    /// Values (fragments and the like) together.
    pub values: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { bytes: 48 << 20, values: 10_000 }
    }
}
