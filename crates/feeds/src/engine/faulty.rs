//! A decorator that injects failures, so that tests can show what callers do about them, and counts how often they ask.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{BoardId, Id, UserId};
use parking_lot::Mutex;

use super::{Change, Engine, Kept};
use crate::error::{Error, Result};
use crate::facts::{
    Away, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats, Target,
    TargetKind,
};

/// What happens to the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call goes through.
    Pass,
    /// The call fails and has done nothing.
    Unavailable,
    /// The call is done, but its answer is lost.
    AnswerLost,
    /// The call is not done, and never ends.
    Hang,
}

/// An engine that fails on command. Faults are used up in order, one per call; without any, calls go through.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Engine>,
    faults: Mutex<VecDeque<Fault>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    merge_threshold: Mutex<Option<usize>>,
}

impl Faulty {
    /// Wraps an engine.
    pub fn new(inner: Arc<dyn Engine>) -> Faulty {
        Faulty { inner, faults: Mutex::default(), counts: Mutex::default(), merge_threshold: Mutex::default() }
    }

    /// Adds faults for the next calls.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults);
    }

    /// Forgets the faults that no call has met yet: everything works again.
    pub fn heal(&self) {
        self.faults.lock().clear();
    }

    /// Counts the faults that no call has met yet.
    pub fn pending_count(&self) -> usize {
        self.faults.lock().len()
    }

    /// Returns the merge threshold that was set last, if it was set.
    pub fn merge_threshold(&self) -> Option<usize> {
        *self.merge_threshold.lock()
    }

    /// Counts the calls so far, by the name of the port's method.
    pub fn call_counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    async fn call<T>(&self, name: &'static str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        *self.counts.lock().entry(name).or_default() += 1;
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::Pass);
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(Error::Unavailable("injected: the engine does not answer".to_owned())),
            Fault::Hang => std::future::pending().await,
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("injected: the answer was lost".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        self.call("apply", self.inner.apply(changes)).await
    }

    async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        self.call("deliver", self.inner.deliver(rest, limit)).await
    }

    async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        self.call("fill", self.inner.fill(user, entries, complete_to)).await
    }

    async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        self.call("home", self.inner.home(user, before, limit)).await
    }

    async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        self.call("public", self.inner.public(feed, before, limit)).await
    }

    async fn follows(&self, user: UserId, targets: Vec<Target>) -> Result<Vec<bool>> {
        self.call("follows", self.inner.follows(user, targets)).await
    }

    async fn relations(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Relation>> {
        self.call("relations", self.inner.relations(user, others)).await
    }

    async fn standings(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Standing>> {
        self.call("standings", self.inner.standings(user, others)).await
    }

    async fn counts(&self, users: Vec<UserId>) -> Result<Vec<Counts>> {
        self.call("counts", self.inner.counts(users)).await
    }

    async fn board_followers(&self, boards: Vec<BoardId>) -> Result<Vec<u64>> {
        self.call("board_followers", self.inner.board_followers(boards)).await
    }

    async fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.call("followers", self.inner.followers(target, cursor, limit)).await
    }

    async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.call("following", self.inner.following(user, kind, cursor, limit)).await
    }

    async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        self.call("away", self.inner.away(user, what, after, limit)).await
    }

    async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.call("suggestions", self.inner.suggestions(user, limit)).await
    }

    async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        self.call("shown", self.inner.shown(user)).await
    }

    async fn set_shown(&self, user: UserId, shown: Vec<u8>) -> Result<()> {
        self.call("set_shown", self.inner.set_shown(user, shown)).await
    }

    async fn snapshot(&self, offset: i64) -> Result<Kept> {
        self.call("snapshot", self.inner.snapshot(offset)).await
    }

    async fn restored_offset(&self) -> Result<Option<i64>> {
        self.call("restored_offset", self.inner.restored_offset()).await
    }

    async fn complete(&self, offset: i64) -> Result<()> {
        self.call("complete", self.inner.complete(offset)).await
    }

    fn snapshot_every(&self) -> Duration {
        self.inner.snapshot_every()
    }

    fn can_lose(&self) -> bool {
        self.inner.can_lose()
    }

    fn set_merge_threshold(&self, followers: usize) {
        *self.merge_threshold.lock() = Some(followers);
        self.inner.set_merge_threshold(followers);
    }

    async fn maintain(&self) -> Result<()> {
        self.call("maintain", self.inner.maintain()).await
    }

    async fn stats(&self) -> Result<Stats> {
        self.call("stats", self.inner.stats()).await
    }

    async fn clear(&self) -> Result<()> {
        self.call("clear", self.inner.clear()).await
    }
}
