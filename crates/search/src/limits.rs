//! How long and how many. Each limit has a unit and a reason, and says what happens when it is hit.

use std::time::Duration;

/// Characters of a query that are read. Nobody types more; the rest is left out with a note.
pub const QUERY_CHARS_MAX: usize = 500;
/// Words, phrases and filters of one query. Each costs a look into several fields; the rest is left out with a note.
pub const QUERY_ATOMS_MAX: usize = 32;
/// Hits of one page; a larger wish is cut to this.
pub const PAGE_LIMIT_MAX: usize = 250;
/// Hits that can be reached by paging. Every page ranks all the hits before it; beyond this the page is empty with a note.
pub const OFFSET_MAX: usize = 10_000;
/// Suggestions, topics or guides of one call; a larger wish is cut to this.
pub const SUGGESTIONS_MAX: usize = 50;
/// Topics of one call; a larger wish is cut to this.
pub const TOPICS_MAX: usize = 1_000;
/// Bytes of one text of a document that are indexed: four times what the largest text of a pin can have. The rest is not found.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Tags of one document that are indexed; more are noise.
pub const TAGS_MAX: usize = 64;
/// Characters of one word; the rest of a longer one is not looked at.
pub const WORD_CHARS_MAX: usize = 40;

/// The shortest time from the first change to the commit that makes it visible: lets changes that come together share a commit.
pub const COMMIT_DELAY_MIN: Duration = Duration::from_millis(250);
/// The longest such time. With the commit itself it stays under the second within which a document is promised to be visible.
pub const COMMIT_DELAY_MAX: Duration = Duration::from_millis(700);
/// The delay is this many times the length of the last commit, so that commits take at most a seventeenth of one core.
pub const COMMIT_DELAY_FACTOR: u32 = 16;
/// An offset without any change waits this long for its commit: it is only there to shorten a replay.
pub const OFFSET_COMMIT_DELAY: Duration = Duration::from_secs(30);
/// Changes that wait for a commit: about 10 MiB of pins. When full, `put` waits until there is room.
pub const PENDING_CHANGES_MAX: usize = 5_000;
/// The first and the longest pause after a failed commit; it doubles from one to the other.
pub const RETRY_DELAY_MIN: Duration = Duration::from_millis(250);
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(10);
/// A call that reads fails after this time: the page says that search is away rather than wait.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// `put` waits at most this long for room, and `flush` for its commit.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(30);
