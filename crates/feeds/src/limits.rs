//! How much is kept. Everything here is derived; what is beyond a limit is read from storage.

use model::Timestamp;
use model::limits::PAGE_SIZE_MAX;

/// Largest page of any list. A larger one is refused.
pub(crate) const PAGE_ENTRIES_MAX: usize = PAGE_SIZE_MAX;
/// Targets in one `follows` or users in one `counts`: a page of a list with room to spare. More is refused.
pub(crate) const BATCH_ITEMS_MAX: usize = 1_000;
/// Changes in one `apply`: keeps one call well under its deadline. More is refused.
pub(crate) const CHANGES_PER_CALL_MAX: usize = 10_000;
/// Bytes kept for one user of what was shown. More is refused.
pub(crate) const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Followers whom one `deliver` reaches: keeps one call well under its deadline. More is refused.
pub(crate) const DELIVERIES_PER_CALL_MAX: usize = 10_000;
/// Milliseconds that a call may take before the caller is told that it gave no answer.
pub(crate) const CALL_MS_MAX: u64 = 5_000;
/// Milliseconds within which a caller that found no feed builds and fills it (storage calls end after ten seconds each). A fill
/// that may have begun before the graph widened is refused for so long.
pub(crate) const BUILD_MS_MAX: i64 = 30 * Timestamp::SECOND;
/// Milliseconds for which a retracted pin is remembered, so that a fill which read it before can't bring it back.
pub(crate) const RETRACTED_MS: i64 = 10 * Timestamp::MINUTE;
/// People whose follows are looked at for suggestions, newest first, and how many of each: bounds the work to 40,000 edges.
pub(crate) const SUGGESTION_SOURCES_MAX: usize = 200;
pub(crate) const SUGGESTION_FOLLOWS_MAX: usize = 200;
/// Pins known before the first sweep that publishing starts by itself; later ones start when twice as many are known as the last
/// sweep left.
pub(crate) const SWEEP_PINS_MIN: usize = 100_000;
/// Entries by which a list may be longer than its limit before it is cut, so that cutting costs little per entry.
pub(crate) const LIST_SLACK: usize = 64;

/// What an installation can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one home feed (16 bytes each). Older ones are read from storage.
    pub home_entries_max: usize,
    /// Entries of one public list (16 bytes each). Older ones are read from storage.
    pub public_entries_max: usize,
    /// Followers above which pins are not pushed to every follower but merged in when a feed is read.
    pub merge_threshold: usize,
    /// Followers of one source to whose feeds publishing itself pushes a pin. Those beyond it are left to `deliver`.
    pub fan_out_max: usize,
    /// Milliseconds without a read after which a feed is dropped; it is rebuilt when the person comes back.
    pub idle_ms: i64,
    /// Entries of all home feeds together (16 bytes each). The feeds that were read longest ago are dropped beyond it. In Redis its
    /// `maxmemory` decides instead.
    pub home_entries_total_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            home_entries_max: 1_000,
            public_entries_max: 20_000,
            merge_threshold: 10_000,
            fan_out_max: 5_000,
            idle_ms: 30 * Timestamp::DAY,
            home_entries_total_max: 16_000_000,
        }
    }
}
