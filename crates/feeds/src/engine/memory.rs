//! The embedded engine: everything in the process's memory, with snapshots on disk.
//!
//! ```text
//! nodes   person ─▶ follows, left out, blocks, mutes, followers      graph.rs
//! boards  board  ─▶ owner, listed, explicit followers, left out by   graph.rs
//! topics  topic  ─▶ followers, public list                           graph.rs
//! pins    pin    ─▶ owner, board, topics, domain, time               pins.rs
//! slots   person ─▶ home feed (ready, or being built)                home.rs
//! lists   everything · per topic · per domain · merged sources       home.rs
//! ```
//!
//! Each table is cut into shards with a lock each. **Lock order**: a person's writer mutex, then gate, slots, nodes, lists (several
//! ones in the order of their targets), pins, boards or topics; two shards of one table are never held together. What needs
//! the other way round copies ids out first.
//!
//! A feed holds 16 bytes an entry: what an entry means (owner, board, topics) stands once in `pins`, and whether it shows is
//! decided when it is read. So an unfollow, a block or a retracted pin is one change, however many feeds hold the pin. Pins that
//! no list holds are swept (sweep.rs).

mod edges;
mod graph;
mod home;
mod list;
mod pins;
mod sharded;
mod snapshot;
mod sweep;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{BoardId, Id, PinId, Timestamp, TopicId, UserId};
use parking_lot::{Mutex, RwLock};
use runtime::SharedClock;

use super::{Change, Engine, Kept};
use crate::error::{Error, Result};
use crate::facts::{
    Away, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats, Target,
    TargetKind,
};
use crate::limits::{Limits, SWEEP_PINS_MIN};
use crate::metrics as names;
use graph::{Board, Node, Topic};
use home::Slot;
use list::List;
use pins::Known;
use sharded::Sharded;

/// A list that pages read while pins are put into it.
type SharedList = Arc<RwLock<List>>;

/// Locks that keep the two ends of one person's edges together.
const WRITER_COUNT: usize = 64;

/// A snapshot writes everything there is.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(60);

/// What the ranking keeps of what a person was shown. Not in snapshots: after a restart everything counts as unseen.
struct Shown {
    bytes: Vec<u8>,
    at: Timestamp,
}

/// Graph and feeds in memory.
#[derive(Clone)]
pub struct MemoryEngine {
    memory: Arc<Memory>,
}

struct Memory {
    clock: SharedClock,
    limits: Limits,
    merge_threshold: AtomicUsize,
    snapshot: Option<PathBuf>,
    restored: Option<i64>,
    writers: Box<[Mutex<()>]>,
    nodes: Sharded<UserId, Node>,
    boards: Sharded<BoardId, Board>,
    topics: Sharded<TopicId, Topic>,
    pins: Sharded<PinId, Known>,
    slots: Sharded<UserId, Slot>,
    shown: Sharded<UserId, Shown>,
    everything: RwLock<List>,
    domains: Sharded<Arc<str>, SharedList, RandomState>,
    /// Sources with more followers than pins are pushed to. In the order in which their lists are locked.
    merged: RwLock<BTreeMap<Target, SharedList>>,
    /// Length of `merged`, so that most reads need not look.
    merged_count: AtomicUsize,
    /// The sweep's generation. Whoever puts pins into lists holds it for reading meanwhile.
    gate: RwLock<u32>,
    /// Held by the one sweep or snapshot.
    sweeping: Mutex<()>,
    is_sweep_due: AtomicBool,
    /// Pins and home entries known at most; exact after each sweep.
    pin_count: AtomicUsize,
    home_entry_count: AtomicUsize,
    /// Pins at which publishing starts a sweep.
    sweep_at: AtomicUsize,
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryEngine").field("snapshot", &self.memory.snapshot).finish_non_exhaustive()
    }
}

impl MemoryEngine {
    /// Opens the engine, from the snapshot when there is one. One that can't be read is logged, counted and left aside: the
    /// engine starts empty and `restored_offset` says so.
    pub fn open(snapshot: Option<PathBuf>, clock: SharedClock, limits: Limits) -> MemoryEngine {
        let mut memory = Memory::new(clock.clone(), limits, snapshot.clone());
        if let Some(path) = &snapshot {
            match memory.restore(path) {
                Ok(Some(offset)) => memory.restored = Some(offset),
                Ok(None) => tracing::info!(path = %path.display(), "no snapshot of the feeds yet; they are built from storage"),
                Err(error) => {
                    metrics::counter!(names::SNAPSHOTS_BROKEN_TOTAL).increment(1);
                    tracing::error!(path = %path.display(), %error, "the feeds' snapshot can't be used; the feeds must be rebuilt from storage");
                    memory = Memory::new(clock, limits, snapshot);
                }
            }
        }
        MemoryEngine { memory: Arc::new(memory) }
    }

    /// Runs what takes long on a thread where it blocks nobody.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Memory) -> Result<T> + Send + 'static) -> Result<T> {
        let memory = self.memory.clone();
        let answer = tokio::task::spawn_blocking(move || work(&memory)).await;
        answer.unwrap_or_else(|error| Err(Error::Unknown(format!("the engine's work broke off: {error}"))))
    }

    /// Starts a sweep in the background when one is due. Nobody waits for it.
    fn sweep_if_due(&self) {
        if self.memory.is_sweep_wanted() && !self.memory.is_sweep_due.swap(true, Ordering::AcqRel) {
            let memory = self.memory.clone();
            tokio::task::spawn_blocking(move || {
                memory.sweep();
                memory.is_sweep_due.store(false, Ordering::Release);
            });
        }
    }
}

impl Memory {
    fn new(clock: SharedClock, limits: Limits, snapshot: Option<PathBuf>) -> Memory {
        Memory {
            clock,
            limits,
            merge_threshold: AtomicUsize::new(limits.merge_threshold),
            snapshot,
            restored: None,
            writers: (0..WRITER_COUNT).map(|_| Mutex::new(())).collect(),
            nodes: Sharded::default(),
            boards: Sharded::default(),
            topics: Sharded::default(),
            pins: Sharded::default(),
            slots: Sharded::default(),
            shown: Sharded::default(),
            everything: RwLock::default(),
            domains: Sharded::default(),
            merged: RwLock::default(),
            merged_count: AtomicUsize::new(0),
            gate: RwLock::new(0),
            sweeping: Mutex::new(()),
            is_sweep_due: AtomicBool::new(false),
            pin_count: AtomicUsize::new(0),
            home_entry_count: AtomicUsize::new(0),
            sweep_at: AtomicUsize::new(SWEEP_PINS_MIN),
        }
    }

    fn apply(&self, change: Change) -> Vec<Rest> {
        match change {
            Change::Follow { user, target, on, at } => self.set_follow(user, target, on, at),
            Change::LeftOut { user, board, on } => self.set_left_out(user, board, on),
            Change::Block { user, other, on } => self.set_block(user, other, on),
            Change::Mute { user, other, on } => self.set_mute(user, other, on),
            Change::Board { board, facts: Some(facts) } => self.set_board(board, facts),
            Change::Board { board, facts: None } => self.forget_board(board),
            Change::UserGone { user } => self.forget_user(user),
            Change::Publish(facts) => return self.publish(facts),
            Change::Retract(pin) => self.retract(pin),
        }
        Vec::new()
    }

    fn clear(&self) {
        let _one = self.sweeping.lock();
        self.slots.clear();
        self.shown.clear();
        self.nodes.clear();
        self.merged.write().clear();
        self.merged_count.store(0, Ordering::Release);
        *self.everything.write() = List::default();
        self.domains.clear();
        self.pins.clear();
        self.boards.clear();
        self.topics.clear();
        self.pin_count.store(0, Ordering::Relaxed);
        self.home_entry_count.store(0, Ordering::Relaxed);
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        let rests = changes.into_iter().flat_map(|change| self.memory.apply(change)).collect();
        self.sweep_if_due();
        Ok(rests)
    }

    async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        Ok(self.memory.deliver(rest, limit))
    }

    async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        self.memory.fill(user, entries, complete_to);
        self.sweep_if_due();
        Ok(())
    }

    async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        Ok(self.memory.home(user, before, limit))
    }

    async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        Ok(self.memory.public(&feed, before, limit))
    }

    async fn follows(&self, user: UserId, targets: Vec<Target>) -> Result<Vec<bool>> {
        Ok(self.memory.follows(user, &targets))
    }

    async fn relations(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Relation>> {
        Ok(self.memory.relations(user, &others))
    }

    async fn standings(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Standing>> {
        Ok(self.memory.standings(user, &others))
    }

    async fn counts(&self, users: Vec<UserId>) -> Result<Vec<Counts>> {
        Ok(users.into_iter().map(|user| self.memory.counts(user)).collect())
    }

    async fn board_followers(&self, boards: Vec<BoardId>) -> Result<Vec<u64>> {
        Ok(boards.into_iter().map(|board| self.memory.board_followers(board)).collect())
    }

    async fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        Ok(self.memory.followers(target, cursor, limit))
    }

    async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        Ok(self.memory.following(user, kind, cursor, limit))
    }

    async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        Ok(self.memory.away(user, what, after, limit))
    }

    async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        Ok(self.memory.suggestions(user, limit))
    }

    async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        Ok(self.memory.shown.read(&user).get(&user).map(|shown| shown.bytes.clone()))
    }

    async fn set_shown(&self, user: UserId, bytes: Vec<u8>) -> Result<()> {
        let shown = Shown { bytes, at: self.memory.clock.now() };
        self.memory.shown.write(&user).insert(user, shown);
        Ok(())
    }

    async fn snapshot(&self, offset: i64) -> Result<Kept> {
        self.aside(move |memory| {
            memory.sweep();
            memory.save(offset)
        })
        .await?;
        Ok(Kept::Whole)
    }

    async fn restored_offset(&self) -> Result<Option<i64>> {
        Ok(self.memory.restored)
    }

    async fn complete(&self, _offset: i64) -> Result<()> {
        Ok(())
    }

    fn snapshot_every(&self) -> Duration {
        SNAPSHOT_EVERY
    }

    fn can_lose(&self) -> bool {
        false
    }

    fn set_merge_threshold(&self, followers: usize) {
        self.memory.merge_threshold.store(followers, Ordering::Relaxed);
    }

    async fn maintain(&self) -> Result<()> {
        self.aside(|memory| {
            memory.sweep();
            Ok(())
        })
        .await
    }

    async fn stats(&self) -> Result<Stats> {
        self.aside(|memory| Ok(memory.stats())).await
    }

    async fn clear(&self) -> Result<()> {
        self.aside(|memory| {
            memory.clear();
            Ok(())
        })
        .await
    }
}
