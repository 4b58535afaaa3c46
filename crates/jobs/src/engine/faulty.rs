//! A decorator that injects failures, so that tests can show what callers do about them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::job::{Ack, Checkpoint, JobId, JobSnapshot, QueueOptions, QueueStatus, State};

use super::{ClaimRequest, Dequeued, Engine, EngineStats, JobRow};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call goes through.
    Pass,
    /// The call fails and has done nothing.
    Unavailable,
    /// The call is done, but its answer is lost.
    AnswerLost,
}

/// An engine that fails on command: in a given order, by chance from a seed, or altogether.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Engine>,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Fault>,
    percent: u64,
    random: u64,
    is_down: bool,
    calls: u64,
}

impl Plan {
    fn fault(&mut self) -> Fault {
        self.calls += 1;
        if let Some(fault) = self.next.pop_front() {
            return fault;
        }
        if self.is_down {
            return Fault::Unavailable;
        }
        if self.percent == 0 {
            return Fault::Pass;
        }
        // xorshift64: the same seed gives the same failures.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        match self.random % 200 {
            drawn if drawn < self.percent => Fault::Unavailable,
            drawn if drawn < 2 * self.percent => Fault::AnswerLost,
            _ => Fault::Pass,
        }
    }
}

impl Faulty {
    /// Wraps an engine; without further orders every call goes through.
    pub fn new(inner: Arc<dyn Engine>) -> Faulty {
        Faulty { inner, plan: Mutex::default() }
    }

    /// Wraps an engine of whose calls `percent` in a hundred fail, half of them after they were done.
    pub fn seeded(inner: Arc<dyn Engine>, seed: u64, percent: u64) -> Faulty {
        Faulty { inner, plan: Mutex::new(Plan { percent, random: seed | 1, ..Plan::default() }) }
    }

    /// Adds faults for the next calls; each is used up by one call.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan.lock().next.extend(faults);
    }

    /// Takes the engine away (every call fails) or brings it back.
    pub fn set_down(&self, is_down: bool) {
        self.plan.lock().is_down = is_down;
    }

    /// Changes how many calls in a hundred fail.
    pub fn set_percent(&self, percent: u64) {
        self.plan.lock().percent = percent;
    }

    /// Counts the calls so far: what waiting costs can be measured by it.
    pub fn calls_count(&self) -> u64 {
        self.plan.lock().calls
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.plan.lock().fault();
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(Error::Unavailable("injected: the store does not answer".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("injected: the answer was lost".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn create_queue(&self, queue: &str, options: QueueOptions, now: Timestamp) -> Result<()> {
        self.call(self.inner.create_queue(queue, options, now)).await
    }

    async fn delete_queue(&self, queue: &str) -> Result<()> {
        self.call(self.inner.delete_queue(queue)).await
    }

    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueStatus>> {
        self.call(self.inner.queues(now)).await
    }

    async fn enqueue(&self, queue: &str, rows: Vec<JobRow>, now: Timestamp) -> Result<Vec<JobId>> {
        self.call(self.inner.enqueue(queue, rows, now)).await
    }

    async fn dequeue(&self, request: ClaimRequest, acks: Vec<Ack>, now: Timestamp) -> Result<Dequeued> {
        self.call(self.inner.dequeue(request, acks, now)).await
    }

    async fn ack(&self, acks: Vec<Ack>, now: Timestamp) -> Result<Vec<bool>> {
        self.call(self.inner.ack(acks, now)).await
    }

    async fn checkpoint(&self, id: JobId, claim: &str, checkpoint: Checkpoint, now: Timestamp) -> Result<bool> {
        self.call(self.inner.checkpoint(id, claim, checkpoint, now)).await
    }

    async fn lookup(&self, ids: &[JobId]) -> Result<Vec<Option<JobSnapshot>>> {
        self.call(self.inner.lookup(ids)).await
    }

    async fn scan(&self, queue: &str, state: State, after: Option<JobId>, limit: usize) -> Result<Vec<JobSnapshot>> {
        self.call(self.inner.scan(queue, state, after, limit)).await
    }

    async fn retry_failed(&self, queue: &str, now: Timestamp) -> Result<u64> {
        self.call(self.inner.retry_failed(queue, now)).await
    }

    async fn delete(&self, ids: &[JobId]) -> Result<u64> {
        self.call(self.inner.delete(ids)).await
    }

    async fn expire_claims(&self, now: Timestamp) -> Result<u64> {
        self.call(self.inner.expire_claims(now)).await
    }

    async fn collect(&self, finished_before: Timestamp, limit: usize) -> Result<u64> {
        self.call(self.inner.collect(finished_before, limit)).await
    }

    async fn is_busy(&self, now: Timestamp) -> Result<bool> {
        self.call(self.inner.is_busy(now)).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.call(self.inner.check()).await
    }

    fn watch_queue(&self, queue: &str) -> watch::Receiver<u64> {
        self.inner.watch_queue(queue)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }

    async fn stats(&self) -> Result<EngineStats> {
        self.call(self.inner.stats()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
