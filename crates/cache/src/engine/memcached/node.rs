//! One node: its connection, whether it is in the ring, and the generation of what it holds.
//!
//! ```text
//!            ┌──────────── connected, generations read ◀── once its rest is over ──┐
//!            ▼                                                                     │
//!        ▶ in ──── two failures in a row, or gone and not to be reached ────────▶ out
//! ```
//! The generation is part of every key. Raising it makes everything that the node holds unreachable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::Pipelined;
use runtime::pipelined::Failure;

use super::protocol::{Reply, replies};
use crate::metrics as names;

/// Failures in a row after which a node is out.
const FAILURES_MAX: u32 = 2;
/// How long a node rests at first; each time twice as long.
const REST_FIRST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(8);
/// A node that has been in for so long rests shortly again.
const STEADY_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Node {
    /// `host:port`, as every process has it in its configuration.
    pub(super) label: String,
    /// Where it is reached: the same, but in tests that cut ways.
    pub(super) address: String,
    pub(super) generation: AtomicU64,
    /// The generation that the node itself holds, as far as is known. While it is not the newest, nothing is asked of the node: writers that
    /// have not heard of the newest one learn of it there.
    pub(super) held: AtomicU64,
    /// An invalidation could not be delivered since the generation was raised last.
    pub(super) has_missed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: Option<Arc<Pipelined>>,
    failures: u32,
    is_out: bool,
    rest: Duration,
    retry_at: Instant,
    in_since: Instant,
}

/// Replies, and the number of the connection that they came by.
pub(super) type Answer = Option<(Vec<Reply>, u64)>;

impl Node {
    pub(super) fn new(label: String, address: String) -> Node {
        let now = Instant::now();
        let state = State { connection: None, failures: 0, is_out: false, rest: REST_FIRST / 2, retry_at: now, in_since: now };
        Node {
            label,
            address,
            generation: AtomicU64::new(0),
            held: AtomicU64::new(0),
            has_missed: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Gives the connection while the node is in.
    pub(super) fn connection(&self) -> Option<Arc<Pipelined>> {
        self.state.lock().connection.clone()
    }

    pub(super) fn is_in(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    /// Gives the generation to ask in, once the node holds it.
    pub(super) fn agreed(&self) -> Option<u64> {
        let generation = self.generation.load(Ordering::Acquire);
        (self.held.load(Ordering::Acquire) == generation).then_some(generation)
    }

    /// Takes notice of the generation that the node holds. Returns the newest.
    pub(super) fn holds(&self, generation: u64) -> u64 {
        self.held.fetch_max(generation, Ordering::AcqRel);
        self.generation.fetch_max(generation, Ordering::AcqRel).max(generation)
    }

    /// Tells whether it may be tried again.
    pub(super) fn is_rested(&self) -> bool {
        Instant::now() >= self.state.lock().retry_at
    }

    /// Asks the node by a connection to it; no answer is a failure on its record.
    pub(super) async fn call_by(&self, connection: &Pipelined, bytes: Vec<u8>, count: usize, limit: Duration) -> Answer {
        match connection.call(bytes, count, limit).await {
            Ok(answer) => {
                self.state.lock().failures = 0;
                Some((replies(&answer), connection.number))
            }
            Err(Failure::Busy) => {
                self.count("busy");
                None
            }
            Err(Failure::Lost) => {
                self.fail("lost", connection.number);
                None
            }
            Err(Failure::Late) => {
                self.fail("late", connection.number);
                None
            }
        }
    }

    /// Records that it could not be reached.
    pub(super) fn refuse(&self, why: &str) {
        tracing::debug!(node = self.label, why, "a node of the cache can't be reached");
        self.fail("refused", 0);
    }

    /// Puts the node in by a new connection.
    pub(super) fn enter(&self, connection: Arc<Pipelined>) {
        let was_out = {
            let mut state = self.state.lock();
            state.connection = Some(connection);
            state.failures = 0;
            state.in_since = Instant::now();
            std::mem::take(&mut state.is_out)
        };
        if was_out {
            metrics::counter!(names::NODES_RETURNED_TOTAL, "node" => self.label.clone()).increment(1);
            tracing::info!(node = self.label, "a node of the cache is back");
        }
    }

    fn count(&self, reason: &'static str) {
        metrics::counter!(names::NODE_ERRORS_TOTAL, "node" => self.label.clone(), "reason" => reason).increment(1);
    }

    /// Records a failure. Those of calls on a connection that has been replaced are old news.
    fn fail(&self, reason: &'static str, connection: u64) {
        self.count(reason);
        let is_ejected = {
            let mut state = self.state.lock();
            let held = state.connection.as_ref().map_or(0, |held| held.number);
            if held != connection {
                return;
            }
            state.failures += 1;
            if reason == "lost" {
                // Tried again at once; when that fails too, the node is out.
                state.connection = None;
                state.retry_at = Instant::now();
            }
            if state.failures < FAILURES_MAX && !state.is_out {
                return;
            }
            state.connection = None;
            state.failures = 0;
            let was_steady = !state.is_out && state.in_since.elapsed() > STEADY_AFTER;
            state.rest = if was_steady { REST_FIRST } else { state.rest.saturating_mul(2).min(REST_MAX) };
            state.retry_at = Instant::now() + state.rest;
            !std::mem::replace(&mut state.is_out, true)
        };
        if is_ejected {
            metrics::counter!(names::NODES_EJECTED_TOTAL, "node" => self.label.clone()).increment(1);
            tracing::warn!(node = self.label, reason, "a node of the cache does not answer; its keys are kept elsewhere");
        }
    }

    /// Makes everything that the node holds unreachable: for this process now, for others once they have heard of it.
    pub(super) fn raise(&self, now_ms: u64) {
        let next = |generation: u64| Some(now_ms.max(generation + 1));
        let _ = self.generation.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        metrics::counter!(names::GENERATIONS_RAISED_TOTAL, "node" => self.label.clone()).increment(1);
    }
}
