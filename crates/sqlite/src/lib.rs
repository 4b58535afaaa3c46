//! One SQLite file as a durable store: group commit, many readers, change notices. The ground of every `sqlite:` engine.
//!
//! ```text
//! write(f) ─▶ bounded queue ─▶ writer thread: BEGIN IMMEDIATE
//!                                SAVEPOINT · f₁ · RELEASE │ SAVEPOINT · f₂ · RELEASE │ …      (everything that waits)
//!                              COMMIT: one fsync ─▶ answers to all ─▶ watch() is bumped
//! read_now(f) ─▶ pooled read-only connection, on the calling thread, one snapshot
//! read(f)     ─▶ the same on a blocking thread, for scans; never takes the last connections
//! ```
//!
//! file.rs is the front, writer.rs the group commit, checkpointer.rs what follows it, readers.rs the pool, schema.rs opening and migrations.
//!
//! Invariants
//! - A write that was answered with `Ok` is on disk (WAL, synchronous=FULL).
//! - A closure that fails leaves nothing behind and disturbs nobody else in its group.
//! - A read sees one committed state from its first statement to its last.
//! - Other processes may use the file at the same time; their commits bump `watch()` within [`POLL_INTERVAL`].

mod checkpointer;
mod error;
mod file;
mod metrics;
mod readers;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use file::{File, Options, Stats};
pub use metrics::METRICS;
pub use writer::{GATHER, GROUP_BYTES_MAX, GROUP_WRITES_MAX, POLL_INTERVAL, QUEUE_WRITES_MAX};
// Engines write SQL against the same version that opens the file.
pub use rusqlite;
