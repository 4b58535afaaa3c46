//! Collects changes and commits them in the background.
//!
//! ```text
//! put, remove, put_offset ─▶ Pending (last change of an id counts) ─▶ after the delay ─▶ Engine::apply ─▶ committed
//!                                   ▲                                                        │ failed
//!                                   └──────────────── what is newer wins ◀───────────────────┘ (pause, again)
//! ```
//!
//! Invariants
//! - An offset is committed with, or after, every change that was put before it.
//! - A change is forgotten only when it is visible.
//! - One commit runs at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use model::Id;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    document::Change,
    engine::Engine,
    error::{Error, Result},
    limits::{
        COMMIT_DELAY_FACTOR, COMMIT_DELAY_MAX, COMMIT_DELAY_MIN, OFFSET_COMMIT_DELAY, PENDING_CHANGES_MAX, RETRY_DELAY_MAX,
        RETRY_DELAY_MIN, WRITE_DEADLINE,
    },
    metrics,
};

/// What waits for a commit.
#[derive(Default)]
struct Pending {
    /// With the number at which they came: they are committed in that order.
    changes: HashMap<Id, (u64, Change)>,
    offset: Option<i64>,
    /// When the first of the changes, and when the offset came.
    changed_at: Option<Instant>,
    offset_at: Option<Instant>,
    /// Grows with every change and offset. What is committed is told by the number that it reached.
    reached: u64,
}

/// Collects changes; shared by all clones of the front.
pub(crate) struct Committer {
    engine: Arc<dyn Engine>,
    pending: Mutex<Pending>,
    /// Something is new for the background task.
    wake: Notify,
    /// A flush waits: commit without delay.
    hurry: AtomicBool,
    committed: watch::Sender<u64>,
    /// Commits and clears exclude each other.
    writing: tokio::sync::Mutex<()>,
    last_error: Mutex<Option<Error>>,
}

impl Committer {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Committer {
        Committer {
            engine,
            pending: Mutex::default(),
            wake: Notify::new(),
            hurry: AtomicBool::new(false),
            committed: watch::Sender::new(0),
            writing: tokio::sync::Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    /// Takes changes; waits while too many are pending.
    pub(crate) async fn push(&self, changes: Vec<Change>) -> Result<()> {
        self.wait_for_room().await?;
        {
            let mut pending = self.pending.lock();
            for change in changes {
                pending.reached += 1;
                let number = pending.reached;
                pending.changes.insert(change.id(), (number, change));
            }
            pending.changed_at.get_or_insert_with(Instant::now);
            gauge_pending(&pending);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Takes the offset up to which everything has been put.
    pub(crate) fn push_offset(&self, offset: i64) {
        let mut pending = self.pending.lock();
        pending.offset = Some(offset);
        pending.offset_at.get_or_insert_with(Instant::now);
        pending.reached += 1;
        drop(pending);
        self.wake.notify_one();
    }

    pub(crate) fn pending_count(&self) -> u64 {
        self.pending.lock().changes.len() as u64
    }

    /// Waits until everything that was taken so far is visible.
    pub(crate) async fn flush(&self) -> Result<()> {
        let wanted = self.pending.lock().reached;
        let mut committed = self.committed.subscribe();
        if *committed.borrow_and_update() >= wanted {
            return Ok(());
        }
        self.hurry.store(true, Ordering::SeqCst);
        self.wake.notify_one();
        let waited = tokio::time::timeout(WRITE_DEADLINE, committed.wait_for(|reached| *reached >= wanted)).await;
        match waited {
            Ok(_) => Ok(()),
            Err(_) => Err(self.not_committed()),
        }
    }

    /// Forgets everything: what is pending, what is in the index, and the offset.
    pub(crate) async fn clear(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        self.engine.clear().await?;
        let mut pending = self.pending.lock();
        let reached = pending.reached;
        *pending = Pending { reached, ..Pending::default() };
        gauge_pending(&pending);
        drop(pending);
        self.committed.send_replace(reached);
        Ok(())
    }

    async fn wait_for_room(&self) -> Result<()> {
        let mut committed = self.committed.subscribe();
        let waited = tokio::time::timeout(WRITE_DEADLINE, async {
            while self.pending.lock().changes.len() >= PENDING_CHANGES_MAX {
                self.hurry.store(true, Ordering::SeqCst);
                self.wake.notify_one();
                // The sender lives as long as `self`.
                let _ = committed.changed().await;
            }
        });
        waited.await.map_err(|_| self.not_committed())
    }

    fn not_committed(&self) -> Error {
        let why = self.last_error.lock().as_ref().map_or_else(|| "it is too slow".to_owned(), ToString::to_string);
        Error::Unavailable(format!("The search index did not commit within {} s: {why}", WRITE_DEADLINE.as_secs()))
    }

    /// Commits for ever. Ends only by being aborted.
    pub(crate) async fn run(self: Arc<Committer>) {
        let mut last_commit = Duration::ZERO;
        let mut retry_delay = RETRY_DELAY_MIN;
        loop {
            self.wait_until_due(last_commit).await;
            let started = Instant::now();
            match self.commit().await {
                Ok(()) => {
                    last_commit = started.elapsed();
                    retry_delay = RETRY_DELAY_MIN;
                }
                Err(error) => {
                    ::metrics::counter!(metrics::COMMIT_FAILURES_TOTAL, "reason" => error.reason()).increment(1);
                    tracing::error!(%error, retry_ms = retry_delay.as_millis() as u64, "the search index could not commit; what was put is kept and tried again");
                    *self.last_error.lock() = Some(error);
                    tokio::time::sleep(retry_delay).await;
                    retry_delay = (retry_delay * 2).min(RETRY_DELAY_MAX);
                }
            }
        }
    }

    /// Waits until something is pending and its delay is over, or a flush wants it now.
    async fn wait_until_due(&self, last_commit: Duration) {
        let delay = (last_commit * COMMIT_DELAY_FACTOR).clamp(COMMIT_DELAY_MIN, COMMIT_DELAY_MAX);
        loop {
            let due = {
                let pending = self.pending.lock();
                let changes = pending.changed_at.map(|at| at + delay);
                let offset = pending.offset_at.map(|at| at + OFFSET_COMMIT_DELAY);
                changes.into_iter().chain(offset).min()
            };
            let hurries = self.hurry.swap(false, Ordering::SeqCst);
            match due {
                Some(due) if hurries || due <= Instant::now() => return,
                Some(due) => {
                    let _ = tokio::time::timeout_at(due.into(), self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }

    async fn commit(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        let (taken, reached) = {
            let mut pending = self.pending.lock();
            let reached = pending.reached;
            (std::mem::replace(&mut *pending, Pending { reached, ..Pending::default() }), reached)
        };
        let offset = taken.offset;
        let mut numbered: Vec<_> = taken.changes.into_values().collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        let (numbers, changes): (Vec<u64>, Vec<Change>) = numbered.into_iter().unzip();
        let changes = Arc::new(changes);
        let count = changes.len() as u64;
        let started = Instant::now();
        match self.engine.apply(Arc::clone(&changes), offset).await {
            Ok(()) => {
                ::metrics::histogram!(metrics::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
                ::metrics::counter!(metrics::COMMITTED_CHANGES_TOTAL).increment(count);
                gauge_pending(&self.pending.lock());
                *self.last_error.lock() = None;
                self.committed.send_replace(reached);
                Ok(())
            }
            Err(error) => {
                let mut pending = self.pending.lock();
                for (number, change) in numbers.into_iter().zip(changes.iter()) {
                    pending.changes.entry(change.id()).or_insert_with(|| (number, change.clone()));
                }
                pending.offset = pending.offset.or(offset);
                pending.changed_at = pending.changed_at.into_iter().chain(taken.changed_at).min();
                pending.offset_at = pending.offset_at.into_iter().chain(taken.offset_at).min();
                Err(error)
            }
        }
    }
}

fn gauge_pending(pending: &Pending) {
    ::metrics::gauge!(metrics::PENDING_CHANGES).set(pending.changes.len() as f64);
}
