//! The log of everything that happens: events in topics, read by consumers that each keep their own place.
//!
//! ```text
//! outbox relay ─▶ Events::append ──────────────────────────────▶ engine ─▶ topic: offset 1, 2, 3, …
//! any code     ─▶ Events::emit ─▶ buffer ─▶ flusher ─▶ (spool) ─▶    │
//!                                            while the log is away   ▼
//!                                         Consumer::next (group, topic, position) ─▶ commit
//! ```
//!
//! Invariants
//! - What `append` acknowledged is durable. `emit` never blocks and never fails; what it has to drop is counted and logged.
//! - An event id is kept once for as long as its event is kept, so appending again is safe.
//! - Offsets of a topic start at 1, grow by one per event and are never used again, even after retention took the events.
//! - A group's committed offset only says where to go on; handing out the same records twice is possible, skipping is not.
//! - Nothing here wakes up when nothing happens.

mod error;
mod limits;
mod record;

mod consumer;
mod events;
mod metrics;

mod buffer;
mod spool;

mod engine;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

pub use consumer::Consumer;
pub use engine::{Engine, EngineStats, Fault, Faulty, LogRow, SqliteEngine};
pub use error::{Error, Result};
pub use events::{Events, Stats};
pub use limits::{
    APPEND_EVENTS_MAX, BUFFER_EVENTS_MAX, CONSUMER_ABSENCE_MS_MAX, EVENT_BYTES_MAX, GROUP_NAME_BYTES_MAX, READ_RECORDS_MAX, SPOOL_BYTES_MAX,
};
pub use metrics::METRICS;
pub use record::{GroupLag, Record, TopicStats};
