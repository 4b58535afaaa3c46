//! A decorator that injects failures, so that tests can show what callers do about them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Timestamp, Topic};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::record::{GroupLag, TopicStats};

use super::{Engine, EngineStats, LogRow};

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
}

impl Plan {
    fn fault(&mut self) -> Fault {
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

    async fn call<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.plan.lock().fault();
        match fault {
            Fault::Pass => work.await,
            Fault::Unavailable => Err(Error::Unavailable("injected: the log does not answer".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("injected: the answer was lost".to_owned()))
            }
        }
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn append(&self, rows: Vec<LogRow>) -> Result<()> {
        self.call(self.inner.append(rows)).await
    }

    async fn read(&self, topic: Topic, partition: u32, after: i64, limit: usize) -> Result<Vec<(i64, String)>> {
        self.call(self.inner.read(topic, partition, after, limit)).await
    }

    async fn recent(&self, topic: Topic, partition: u32, limit: usize) -> Result<Vec<(i64, String)>> {
        self.call(self.inner.recent(topic, partition, limit)).await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<TopicStats> {
        self.call(self.inner.bounds(topic, partition)).await
    }

    async fn join(&self, group: &str, topic: Topic, partition: u32, now: Timestamp) -> Result<i64> {
        self.call(self.inner.join(group, topic, partition, now)).await
    }

    async fn commit(&self, group: &str, topic: Topic, partition: u32, offset: i64, now: Timestamp) -> Result<()> {
        self.call(self.inner.commit(group, topic, partition, offset, now)).await
    }

    async fn forget_group(&self, group: &str) -> Result<bool> {
        self.call(self.inner.forget_group(group)).await
    }

    async fn groups(&self) -> Result<Vec<GroupLag>> {
        self.call(self.inner.groups()).await
    }

    async fn forget(&self, topic: Topic, partition: u32, before: Timestamp, unconsumed_before: Timestamp, limit: usize) -> Result<u64> {
        self.call(self.inner.forget(topic, partition, before, unconsumed_before, limit)).await
    }

    async fn rewrite(&self, topic: Topic, partition: u32, rows: Vec<(i64, String)>) -> Result<()> {
        self.call(self.inner.rewrite(topic, partition, rows)).await
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
