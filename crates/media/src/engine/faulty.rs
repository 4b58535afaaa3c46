//! A decorator that injects failures, so that tests can show what callers do about them.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::EngineError;

use super::{BlobEntry, BlobKey, Engine};

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

    /// Counts the faults that no call has met yet.
    pub fn pending_count(&self) -> usize {
        self.faults.lock().len()
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, EngineError>> + Send) -> Result<T, EngineError> {
        let fault = self.faults.lock().pop_front().unwrap_or(Fault::Pass);
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(EngineError::Unavailable("injected: the store does not answer".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(EngineError::Unknown("injected: the answer was lost".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), EngineError> {
        self.call(self.inner.put(key, bytes)).await
    }

    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, EngineError> {
        self.call(self.inner.get(key)).await
    }

    async fn exists(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.call(self.inner.exists(key)).await
    }

    async fn delete(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.call(self.inner.delete(key)).await
    }

    async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, EngineError> {
        self.call(self.inner.list(after, count_max)).await
    }
}
