//! A decorator that injects failures, so that tests can show that a dead second level is a miss.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Asked, Engine, Looked, Refill, Stale};
use crate::error::{Error, Result};

/// What happens to the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call goes through.
    Pass,
    /// The call fails and has done nothing.
    Unavailable,
    /// The call is done, but its answer is lost.
    AnswerLost,
    /// The call never answers.
    Hang,
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

    /// Counts the faults that no call has met yet.
    pub fn pending_count(&self) -> usize {
        self.faults.lock().len()
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::Pass);
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(Error::Unavailable("injected: the engine does not answer".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("injected: the answer was lost".to_owned()))
            }
            Fault::Hang => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn get_many(&self, asked: Vec<Asked>) -> Result<Vec<Looked>> {
        self.call(self.inner.get_many(asked)).await
    }

    async fn fill(&self, refills: Vec<Refill>) -> Result<Vec<bool>> {
        self.call(self.inner.fill(refills)).await
    }

    async fn invalidate(&self, stale: Vec<Stale>) -> Result<()> {
        self.call(self.inner.invalidate(stale)).await
    }

    async fn clear(&self) -> Result<()> {
        self.call(self.inner.clear()).await
    }

    fn has_told(&self) -> bool {
        self.inner.has_told()
    }
}
