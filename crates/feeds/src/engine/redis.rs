//! Graph and feeds in Redis: one server, or a Redis Cluster.
//!
//! ```text
//! a person's bucket     home feed · follows · left out · blocks · blocked by · mutes · followers · boards owned    graph.rs
//! a board's bucket      facts · followers of it alone · who left it out; list when merged                          graph.rs
//! a topic's bucket      followers · public list
//! a pin's bucket        facts, or that it was retracted                                                            publish.rs
//! every bucket          marker: complete up to which offset of the log, in which process of the server             trust.rs
//! ```
//!
//! Reading order: `keys.rs` and `codec.rs` (what lies there), `script.rs` (atomic steps), `command.rs`, `resp.rs` (what goes there and
//! comes back), `address.rs`, `node.rs`, `client.rs` (the way there), `graph.rs`, `publish.rs`, `lists.rs`, `home.rs`, `hydrate.rs`, `hints.rs`, `trust.rs`, `stats.rs`, `survey.rs`.
//!
//! Invariants
//! - The two ends of an edge lie in different buckets and are set one after the other: first the end that only adds, so that a
//!   pin published in between reaches whom it should. A crash in between is mended by the log, which is read at least once.
//! - Entries of a list stand in the order of arrival: one that is deeper is newer by `DISORDER_MS` at most. Whoever reads goes on
//!   until nothing deeper can belong before what it has, then sorts. What comes later than `LATE_MS` is put where it belongs.
//! - A list's last element says down to where it lacks nothing. Cutting keeps that.
//! - A feed and pins' facts may vanish at any moment (they expire, `volatile-lru` evicts them): memory ends there, and storage
//!   goes on. The graph and public lists have no time to live and vanish only with a server, which the markers tell.

mod address;
mod client;
mod codec;
mod command;
mod graph;
mod hints;
mod home;
mod hydrate;
mod keys;
mod lists;
mod node;
mod publish;
mod removal;
mod resp;
mod script;
mod stats;
mod survey;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::{BoardId, Id, Timestamp, UserId};
use parking_lot::Mutex;
use runtime::SharedClock;

use super::{Change, Engine, Kept};
use crate::error::Result;
use crate::facts::{
    Away, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats, Target,
    TargetKind,
};
use crate::limits::{LIST_SLACK, Limits};
use address::Address;
use client::Client;
use keys::Key;
use trust::{Rebuild, Seen};

pub use survey::{Persistence, ServerConfig, ServerSettings, survey};

/// A loss of data is noticed within this time; costs 256 small commands.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
/// For how long a process believes which sources are merged.
const MERGED_FOR: Duration = Duration::from_secs(1);
/// Longest time to live that is asked for: what is longer need not be told from for ever.
const TTL_MS_MAX: i64 = 3_650 * Timestamp::DAY;

/// Sources that are merged at reading, and since when.
type MergedSources = BTreeMap<Target, Timestamp>;

/// Graph and feeds in Redis.
pub struct RedisEngine {
    client: Client,
    clock: SharedClock,
    limits: Limits,
    merge_threshold: AtomicUsize,
    merged: Mutex<Option<(Instant, std::sync::Arc<MergedSources>)>>,
    /// Set between `clear` and `complete`.
    rebuild: Mutex<Option<Rebuild>>,
    seen: Mutex<Seen>,
    heads: hints::Heads,
    guesses: hints::Guesses,
}

impl std::fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisEngine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl RedisEngine {
    /// Reads the address; connects when something is asked for.
    pub fn open(url: &str, clock: SharedClock, limits: Limits) -> Result<RedisEngine> {
        Ok(RedisEngine {
            client: Client::new(Address::parse(url)?),
            clock,
            limits,
            merge_threshold: AtomicUsize::new(limits.merge_threshold),
            merged: Mutex::default(),
            rebuild: Mutex::default(),
            seen: Mutex::default(),
            heads: hints::Heads::default(),
            guesses: hints::Guesses::default(),
        })
    }

    fn is_rebuilding(&self) -> bool {
        self.rebuild.lock().is_some()
    }

    fn idle_ms(&self) -> i64 {
        self.limits.idle_ms.clamp(1, TTL_MS_MAX)
    }

    /// Milliseconds for which a pin's facts are kept: longer than a feed that holds it and is not read.
    fn facts_ms(&self) -> i64 {
        self.idle_ms().saturating_add(Timestamp::DAY)
    }

    fn list_max(&self, key: &Key) -> usize {
        match keys::parsed(&key.name) {
            Some(("h" | "x", _)) => self.limits.home_entries_max,
            _ => self.limits.public_entries_max,
        }
    }
}

/// Length at which a list is cut to `max` entries. One element says where it ends.
fn cut_length(max: usize) -> usize {
    max + (max / 16).clamp(1, LIST_SLACK) + 1
}

#[async_trait]
impl Engine for RedisEngine {
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        self.apply_all(changes).await
    }

    async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        self.go_on(rest, limit).await
    }

    async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        self.install(user, entries, complete_to).await
    }

    async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        self.home_page(user, before, limit).await
    }

    async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        self.public_page(&feed, before, limit).await
    }

    async fn follows(&self, user: UserId, targets: Vec<Target>) -> Result<Vec<bool>> {
        self.are_followed(user, &targets).await
    }

    async fn relations(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Relation>> {
        self.relations_of(user, &others).await
    }

    async fn standings(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Standing>> {
        self.standings_of(user, &others).await
    }

    async fn counts(&self, users: Vec<UserId>) -> Result<Vec<Counts>> {
        self.count(&users).await
    }

    async fn board_followers(&self, boards: Vec<BoardId>) -> Result<Vec<u64>> {
        let mut counts = Vec::with_capacity(boards.len());
        for board in boards {
            counts.push(self.count_board_followers(board).await?);
        }
        Ok(counts)
    }

    async fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.followers_page(target, cursor, limit).await
    }

    async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.following_page(user, kind, cursor, limit).await
    }

    async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        self.away_page(user, what, after, limit).await
    }

    async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.suggested(user, limit).await
    }

    async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        self.read_shown(user).await
    }

    async fn set_shown(&self, user: UserId, shown: Vec<u8>) -> Result<()> {
        self.write_shown(user, &shown).await
    }

    async fn snapshot(&self, offset: i64) -> Result<Kept> {
        self.mark(offset).await
    }

    async fn restored_offset(&self) -> Result<Option<i64>> {
        self.find_restored_offset().await
    }

    async fn complete(&self, offset: i64) -> Result<()> {
        self.end_rebuild(offset).await
    }

    fn snapshot_every(&self) -> Duration {
        SNAPSHOT_EVERY
    }

    fn can_lose(&self) -> bool {
        true
    }

    fn set_merge_threshold(&self, followers: usize) {
        self.merge_threshold.store(followers, Ordering::Relaxed);
    }

    /// Redis drops what is idle by itself, and what is too much by its `maxmemory`.
    async fn maintain(&self) -> Result<()> {
        Ok(())
    }

    async fn stats(&self) -> Result<Stats> {
        self.collect_stats().await
    }

    async fn clear(&self) -> Result<()> {
        self.begin_rebuild().await
    }
}
