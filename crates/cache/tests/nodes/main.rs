//! Real memcached nodes that are killed, frozen, flushed and cut off under load: no wrong answer and no error, whatever happens.
//!
//! ```text
//! process 0 ─▶ cache ─▶ engine ─ ways that can be cut ─┐
//! process 1 ─▶ cache ─▶ engine ────────────────────────┼─▶ three nodes
//! process 2 ─▶ cache ─▶ engine ────────────────────────┘
//!      └──────────────── all read and write the same truth
//! ```
//! A process here is a cache with an engine of its own: they share nothing but the nodes and the truth.

mod faults;
mod fleet;
mod leases;
