//! Emitted events on their way to the log: a bounded buffer in memory, and the one task that empties it.
//!
//! ```text
//! emit ─▶ buffer (10,000) ─▶ flusher, 200 ms after the first or 500 together
//!                              │ spool empty ─▶ log ── fails ─┐
//!                              │ spool not empty ─────────────┴▶ spool; the log is tried again with back-off,
//!                              │                                 and the spool goes in before anything younger
//! ```
//!
//! Invariants: events reach the log in the order in which they were emitted. The flusher sleeps while there is nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use model::{Event, Timestamp};
use parking_lot::Mutex;
use runtime::{Backoff, SharedClock};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::{Effect, call, encode};
use crate::limits::{BUFFER_EVENTS_MAX, DROP_LOG_EVERY_MS, FLUSH_AFTER, FLUSH_EVENTS, SPOOL_RETRY_FIRST, SPOOL_RETRY_MAX};
use crate::metrics as names;
use crate::spool::{Spool, Spooled};

/// Events that wait for the flusher.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    queue: Mutex<Queue>,
    wake: Notify,
    dropped: AtomicU64,
    drop_logged_at: AtomicI64,
    spool_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    is_closing: bool,
}

impl Buffer {
    /// Takes an event, or drops it when the buffer is full. Never waits.
    pub(crate) fn push(&self, event: Event, now: Timestamp) {
        let mut queue = self.queue.lock();
        if queue.events.len() >= BUFFER_EVENTS_MAX || queue.is_closing {
            let reason = if queue.is_closing { "closed" } else { "buffer_full" };
            drop(queue);
            self.count_dropped(1, reason, now);
            return;
        }
        queue.events.push_back(event);
        let count = queue.events.len();
        drop(queue);
        metrics::counter!(names::EMITTED_TOTAL).increment(1);
        // The flusher wakes for the first event and for a full flush; between these it sleeps on its timer.
        if count == 1 || count == FLUSH_EVENTS {
            self.wake.notify_one();
        }
    }

    /// Asks for a flush; the receiver hears when everything emitted before is in the log, or why it is not.
    pub(crate) fn flush(&self) -> oneshot::Receiver<Result<()>> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.queue.lock();
        // After closing nobody would answer; dropping the sender says so.
        if !queue.is_closing {
            queue.flushes.push(sender);
        }
        drop(queue);
        self.wake.notify_one();
        receiver
    }

    /// Ends the flusher once it has put away what is here.
    pub(crate) fn close(&self) {
        self.queue.lock().is_closing = true;
        self.wake.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().events.len()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn spool_bytes(&self) -> u64 {
        self.spool_bytes.load(Ordering::Relaxed)
    }

    /// Counts events that are lost, and says so at most once a minute.
    pub(crate) fn count_dropped(&self, count: u64, reason: &'static str, now: Timestamp) {
        let dropped = self.dropped.fetch_add(count, Ordering::Relaxed) + count;
        metrics::counter!(names::DROPPED_TOTAL, "reason" => reason).increment(count);
        let logged_at = self.drop_logged_at.load(Ordering::Relaxed);
        let is_due = now.since(Timestamp(logged_at)) >= DROP_LOG_EVERY_MS;
        if is_due && self.drop_logged_at.compare_exchange(logged_at, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::error!(reason, dropped, "events are being dropped; look at the event log's disk and at what emits so much");
        }
    }

    fn take(&self) -> Vec<Event> {
        let mut queue = self.queue.lock();
        let count = queue.events.len().min(FLUSH_EVENTS);
        queue.events.drain(..count).collect()
    }
}

/// The task that empties the buffer.
pub(crate) struct Flusher {
    buffer: Arc<Buffer>,
    engine: Arc<dyn Engine>,
    /// `None`: the engine has no place beside it; what it does not take is dropped.
    spool: Option<Spool>,
    clock: SharedClock,
    backoff: Backoff,
    retry_at: Instant,
    failure: Option<Error>,
}

impl Flusher {
    pub(crate) fn new(buffer: Arc<Buffer>, engine: Arc<dyn Engine>, spool: Option<Spool>, clock: SharedClock) -> Flusher {
        let backoff = Backoff::new(SPOOL_RETRY_FIRST, SPOOL_RETRY_MAX);
        let flusher = Flusher { buffer, engine, spool, clock, backoff, retry_at: Instant::now(), failure: None };
        flusher.show_spool();
        flusher
    }

    /// Runs until the buffer is closed and empty.
    pub(crate) async fn run(mut self) {
        loop {
            self.wait_for_work().await;
            let (flushes, is_closing) = {
                let mut queue = self.buffer.queue.lock();
                (std::mem::take(&mut queue.flushes), queue.is_closing)
            };
            let is_urgent = is_closing || !flushes.is_empty();
            self.settle(is_urgent).await;
            let answer = match (&self.failure, self.is_spooled()) {
                (Some(failure), true) => Err(failure.clone()),
                (_, true) => Err(Error::Unavailable("events wait in the spool".to_owned())),
                (_, false) => Ok(()),
            };
            for flush in flushes {
                // Whoever asked may have gone.
                let _ = flush.send(answer.clone());
            }
            if is_closing && self.buffer.len() == 0 {
                return;
            }
        }
    }

    async fn wait_for_work(&self) {
        let mut first_seen = None;
        loop {
            let (count, is_urgent) = {
                let queue = self.buffer.queue.lock();
                (queue.events.len(), queue.is_closing || !queue.flushes.is_empty())
            };
            if is_urgent || count >= FLUSH_EVENTS {
                return;
            }
            let due = match (count > 0, self.is_spooled()) {
                (true, _) => Some(*first_seen.get_or_insert_with(Instant::now) + FLUSH_AFTER),
                (false, true) => Some(self.retry_at),
                (false, false) => None,
            };
            let Some(due) = due else {
                self.buffer.wake.notified().await;
                continue;
            };
            tokio::select! {
                () = self.buffer.wake.notified() => {}
                () = tokio::time::sleep_until(due) => return,
            }
        }
    }

    /// Puts everything that waits into the log, or into the spool while the log is away.
    async fn settle(&mut self, is_urgent: bool) {
        if self.is_spooled() && (is_urgent || Instant::now() >= self.retry_at) {
            match self.drain().await {
                Ok(()) => self.recovered(),
                Err(failure) => self.failed(failure),
            }
        }
        loop {
            let events = self.buffer.take();
            if events.is_empty() {
                break;
            }
            let (events, rows) = self.encoded(events);
            if !self.is_spooled() {
                match call("append", Effect::Write, self.engine.append(rows)).await {
                    Ok(()) => {
                        metrics::counter!(names::APPENDED_TOTAL).increment(events.len() as u64);
                        self.recovered();
                        continue;
                    }
                    Err(failure) => self.failed(failure),
                }
            }
            self.put_aside(&events).await;
        }
        self.show_spool();
    }

    fn encoded(&self, events: Vec<Event>) -> (Vec<Event>, Vec<crate::engine::LogRow>) {
        let (mut kept, mut rows) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        for event in events {
            match encode(&event) {
                Ok(row) => {
                    rows.push(row);
                    kept.push(event);
                }
                Err(error) => {
                    tracing::warn!(%error, kind = event.kind.as_str(), "an emitted event was refused");
                    self.buffer.count_dropped(1, "refused", self.clock.now());
                }
            }
        }
        (kept, rows)
    }

    async fn put_aside(&mut self, events: &[Event]) {
        let count = events.len() as u64;
        let reason = match &mut self.spool {
            None => "no_spool",
            Some(spool) => match spool.write(events).await {
                Ok(Spooled::Written) => {
                    metrics::counter!(names::SPOOLED_TOTAL).increment(count);
                    return;
                }
                Ok(Spooled::Full) => "spool_full",
                Err(error) => {
                    tracing::warn!(%error, "the events' spool can't be written");
                    "spool_failed"
                }
            },
        };
        self.buffer.count_dropped(count, reason, self.clock.now());
    }

    async fn drain(&mut self) -> Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let unreadable = |error: std::io::Error| Error::Unavailable(format!("the events' spool can't be read: {error}"));
        let mut drain = spool.drain().await.map_err(unreadable)?;
        let mut count = 0;
        loop {
            let (events, broken) = drain.next(FLUSH_EVENTS).await.map_err(unreadable)?;
            if broken > 0 {
                self.buffer.count_dropped(broken, "spool_broken", self.clock.now());
            }
            if events.is_empty() && broken == 0 {
                break;
            }
            count += events.len();
            let rows = events.iter().filter_map(|event| encode(event).ok()).collect();
            call("append", Effect::Write, self.engine.append(rows)).await?;
        }
        drain.finish().await.map_err(unreadable)?;
        spool.set_empty();
        metrics::counter!(names::APPENDED_TOTAL).increment(count as u64);
        tracing::info!(count, "the events that waited in the spool are in the log");
        Ok(())
    }

    fn is_spooled(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.bytes() > 0)
    }

    fn recovered(&mut self) {
        self.failure = None;
        self.backoff.reset();
    }

    fn failed(&mut self, failure: Error) {
        if self.failure.is_none() {
            tracing::warn!(%failure, "the event log does not take events; they go to the spool until it is back");
        }
        self.failure = Some(failure);
        self.retry_at = Instant::now() + self.backoff.next_delay();
    }

    fn show_spool(&self) {
        let bytes = self.spool.as_ref().map_or(0, Spool::bytes);
        self.buffer.spool_bytes.store(bytes, Ordering::Relaxed);
        metrics::gauge!(names::SPOOL_BYTES).set(bytes as f64);
    }
}
