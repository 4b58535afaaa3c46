//! Look-aside cache over what is read from storage: decoded objects by id, lists of associations, and fragments by key.
//!
//! ```text
//! get_many(ids) ─▶ shelf: hits ─────────────────────────────────────────────▶ answer
//!                    └─ misses ─▶ flight: one leads, the others wait for it
//!                                   leader ─▶ second level (if any) ─▶ load from storage ─▶ shelf ─▶ answer
//!                                             └─ has it, or renews what is in the shelf
//! lists(keys)   ─▶ the same                                                   a list is how many edges there are, and the newest
//! commit ─▶ invalidate(object and version, lists): older copies go, and a refill that read before is not kept
//! ```
//! Without a second level the shelf is believed until it is invalidated. With one it is a near copy, believed for a second; longer while
//! storage says that no other process writes.
//!
//! Reading order: `cache.rs` (the front), `objects.rs`, `lists.rs` and `values.rs` (what is kept and what is fresh), `refill.rs` (objects that are
//! not there), `turns.rs` (what has no version), `others.rs` (for how long a near copy is believed), `shelf.rs` (bounded maps), `flights.rs` (one
//! load per key), `engine.rs` (the port of the second level), `shared.rs` (how it is asked).
//!
//! Invariants
//! - A cache that is full, empty or dead changes how long an answer takes, never the answer.
//! - Whoever reads after `invalidate` returned sees that version or a later one, for as long as minimum versions are remembered
//!   (a minute), however long a load took that began before.
//! - Another process sees it a second after `invalidate_many` returned there; `engine/memcached.rs` says what holds when nodes fail.
//! - Nobody holds a flight while waiting for another one. A leader that fails, panics or is cancelled ends its flight.

mod error;
mod limits;
mod metrics;

mod cache;
mod flights;
mod lists;
mod objects;
mod others;
mod refill;
mod shared;
mod shelf;
mod turns;
mod values;

#[cfg(test)]
mod contract;
mod engine;

pub use cache::{Began, Cache, Stats};
pub use engine::{
    Asked, Cell, Checked, Engine, Fault, Faulty, Key, Lease, Looked, Memcached, MemcachedLimits, MemoryEngine, Refill, Stale, check_address,
};
pub use error::{Error, Result};
pub use limits::CacheLimits;
pub use lists::{Grown, List, ListKey};
pub use metrics::METRICS;
