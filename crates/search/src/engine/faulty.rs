//! A decorator that injects failures, so that tests can show what callers do about them.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use model::UserId;
use parking_lot::Mutex;

use crate::{
    document::Change,
    error::{Error, Result},
    language::Query,
    request::{Guide, Hit, Lookup, Page, Seed, Stats, Suggestion},
};

use super::Engine;

/// What happens to the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call goes through.
    Pass,
    /// The call fails and has done nothing.
    Unavailable,
    /// The call is done, but its answer is lost.
    AnswerLost,
}

/// An engine that fails on command. Faults are used up in order, one per call; without any, calls go through.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Engine>,
    faults: Mutex<VecDeque<Fault>>,
}

impl Faulty {
    /// Wraps an engine.
    pub fn new(inner: Arc<dyn Engine>) -> Faulty {
        Faulty { inner, faults: Mutex::default() }
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

    async fn call<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::Pass);
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(Error::Unavailable("injected: the index does not answer".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("injected: the answer was lost".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn apply(&self, changes: Arc<Vec<Change>>, offset: Option<i64>) -> Result<()> {
        self.call(self.inner.apply(changes, offset)).await
    }

    async fn clear(&self) -> Result<()> {
        self.call(self.inner.clear()).await
    }

    fn committed_offset(&self) -> Option<i64> {
        self.inner.committed_offset()
    }

    async fn query(&self, lookup: Lookup) -> Result<Page> {
        self.call(self.inner.query(lookup)).await
    }

    async fn suggest(&self, prefix: String, viewer: Option<UserId>, limit: usize) -> Result<Vec<Suggestion>> {
        self.call(self.inner.suggest(prefix, viewer, limit)).await
    }

    async fn similar(&self, seed: Seed, viewer: Option<UserId>, limit: usize) -> Result<Vec<Hit>> {
        self.call(self.inner.similar(seed, viewer, limit)).await
    }

    async fn topics(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        self.call(self.inner.topics(limit)).await
    }

    async fn guides(&self, query: Query, limit: usize) -> Result<Vec<Guide>> {
        self.call(self.inner.guides(query, limit)).await
    }

    async fn stats(&self) -> Result<Stats> {
        self.call(self.inner.stats()).await
    }
}
