//! The plain types that go in and out: rows, edges, names, ranges, figures.

use model::{Id, NameKind, Timestamp};

/// An object as an engine holds it: its JSON is not decoded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: Id,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub active: bool,
    pub data: String,
}

/// One edge of an association, seen from its *from* end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    pub to: Id,
    pub sequence: i64,
}

/// The direction of a range. Edges of one sequence are ordered by their *to* id in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Largest sequence first: newest first.
    #[default]
    Descending,
    Ascending,
}

/// Which part of an association is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The last edge of the page before, as (sequence, to); the range begins strictly after it.
    pub after: Option<(i64, Id)>,
    pub limit: usize,
    pub order: Order,
}

impl Range {
    /// Returns the first `limit` edges, newest first.
    pub fn first(limit: usize) -> Range {
        Range { after: None, limit, order: Order::Descending }
    }
}

/// How fresh reads must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// A read may tell what was true this many milliseconds ago. 0: what is true now.
    pub at_most_stale_ms: u64,
    /// Writes that it must have seen, however stale it may be otherwise: one's own.
    pub after: Vec<Commit>,
}

/// Where in a server's history a write stands: what a replica must have applied to show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// The server's number in the shard map.
    pub server: u16,
    /// A global transaction id in the words of that server.
    pub gtid: String,
}

/// Who holds a unique name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub id: Id,
    /// False between claim and confirmation: the holder may not exist yet, or never.
    pub confirmed: bool,
    pub claimed_at: Timestamp,
}

/// A claim that was never confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleClaim {
    pub kind: NameKind,
    pub key: String,
    pub id: Id,
}

/// How much is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Each table with its rows. Counted at most so often that counting costs a hundredth of a core, so it may lag a little.
    pub tables: Vec<(String, u64)>,
    pub file_bytes: u64,
    pub wal_bytes: u64,
    /// Events that have not been forwarded to the log yet.
    pub outbox: u64,
    /// Writes and the transactions that they shared, since the start of this process.
    pub writes: u64,
    pub group_commits: u64,
}
