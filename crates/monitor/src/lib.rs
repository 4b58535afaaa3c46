//! Watches the log while the site runs: how often each kind of event happens, and the newest errors.
//!
//! ```text
//! events (every topic) ─▶ Monitor::run ─▶ Rates (per second and minute, one ring per kind) ─▶ Monitor::numbers ─▶ /admin
//!                                     └─▶ the newest errors
//! ```
//!
//! Invariants: memory is bounded by the number of kinds; nothing here is needed to serve a page.

pub mod rates;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use events::Events;
use model::{Event, EventKind, Timestamp, Topic};
use parking_lot::Mutex;
use runtime::{SharedClock, Shutdown};

use crate::rates::Rates;

/// Errors kept for the admin's page.
const ERRORS_KEPT: usize = 200;
/// Events read at once.
const STEP: usize = 500;
/// Least time between two reads: nobody sees numbers that are newer.
const GATHER: Duration = Duration::from_millis(100);

/// What the admin pages show.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// Events per second over the last minute, by kind, the busiest first.
    pub rates: Vec<(EventKind, f64)>,
    /// Events per minute of the last hour, oldest first, by kind.
    pub minutes: Vec<(EventKind, Vec<u32>)>,
    /// The newest errors first.
    pub errors: Vec<Event>,
}

/// The monitor of a process. Cheap to clone.
#[derive(Clone)]
pub struct Monitor {
    clock: SharedClock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    rates: Rates,
    errors: VecDeque<Event>,
}

impl Monitor {
    pub fn new(clock: SharedClock) -> Monitor {
        Monitor { clock, state: Arc::default() }
    }

    /// Follows one topic until shutdown. Starts at the log's end: what happened before is not a rate of now. Errors of before are read.
    pub async fn run(&self, events: &Events, topic: Topic, shutdown: Shutdown) -> events::Result<()> {
        if topic == Topic::Errors {
            for record in events.recent(topic, ERRORS_KEPT).await?.into_iter().rev() {
                self.keep_error(record.event);
            }
        }
        // A plain reader, no consumer group: what is only counted need not be kept for it.
        let mut appended = events.watch();
        let mut after = events.end(topic).await?;
        let mut rounds = runtime::paced(GATHER);
        loop {
            rounds.tick().await;
            appended.borrow_and_update();
            let records = events.read(topic, after, STEP).await?;
            if let Some(last) = records.last() {
                after = last.offset;
                for record in records {
                    self.note(record.event);
                }
                continue;
            }
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                changed = appended.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    fn note(&self, event: Event) {
        self.state.lock().rates.count(event.kind, event.at);
        if event.kind.topic() == Topic::Errors {
            self.keep_error(event);
        }
    }

    fn keep_error(&self, event: Event) {
        let errors = &mut self.state.lock().errors;
        if errors.len() == ERRORS_KEPT {
            errors.pop_back();
        }
        errors.push_front(event);
    }

    /// Returns the numbers as they are now.
    pub fn numbers(&self) -> Numbers {
        let now: Timestamp = self.clock.now();
        let state = self.state.lock();
        Numbers { rates: state.rates.per_second(now), minutes: state.rates.minutes(now), errors: state.errors.iter().cloned().collect() }
    }
}
