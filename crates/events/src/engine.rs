//! The port: what a log must do. Rows are encoded events; the front encodes, checks and decodes.
//!
//! A topic is cut into partitions so that a cluster can share it out; events of one key stay in one partition, in order.
//! Engines with a single writer have one partition per topic, number 0.

mod faulty;
mod sqlite;

use std::fmt;

use async_trait::async_trait;
use model::{Timestamp, Topic};
use tokio::sync::watch;

use crate::error::Result;
use crate::record::{GroupLag, TopicStats};

pub use faulty::{Fault, Faulty};
pub use sqlite::SqliteEngine;

/// An event on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    pub topic: Topic,
    /// The event's own id; the same id again is ignored.
    pub id: String,
    pub at: Timestamp,
    /// The event as JSON.
    pub event: String,
}

/// What the engine takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub file_bytes: u64,
    pub wal_bytes: u64,
}

/// A log of topics. Every call may be repeated safely.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Appends rows in their order, all or none; an id that is kept already is ignored. Durable on `Ok`; `Unknown` when the
    /// rows may be in. Costs one flush to disk, shared with whoever writes at the same time.
    async fn append(&self, rows: Vec<LogRow>) -> Result<()>;

    /// Returns up to `limit` rows behind the offset `after`, oldest first: `(offset, event)`. What `append` acknowledged
    /// is seen. Costs a seek.
    async fn read(&self, topic: Topic, partition: u32, after: i64, limit: usize) -> Result<Vec<(i64, String)>>;

    /// Returns the last `limit` rows, newest first.
    async fn recent(&self, topic: Topic, partition: u32, limit: usize) -> Result<Vec<(i64, String)>>;

    /// Returns the first offset still kept and the last one handed out.
    async fn bounds(&self, topic: Topic, partition: u32) -> Result<TopicStats>;

    /// Returns the committed offset of a group and makes the group known, at 0, when it is new.
    async fn join(&self, group: &str, topic: Topic, partition: u32, now: Timestamp) -> Result<i64>;

    /// Sets the committed offset of a group; it may go back. Durable on `Ok`.
    async fn commit(&self, group: &str, topic: Topic, partition: u32, offset: i64, now: Timestamp) -> Result<()>;

    /// Forgets a group; false when it was not known. Its place is gone and retention no longer waits for it.
    async fn forget_group(&self, group: &str) -> Result<bool>;

    /// Lists all groups by name and topic.
    async fn groups(&self) -> Result<Vec<GroupLag>>;

    /// Deletes records from the start of a topic: those before the first one that is `before` or younger. Records that a
    /// group has not committed stay unless they are older than `unconsumed_before`. Returns how many went; at most
    /// `limit` go in one call, so that a return of `limit` asks to be called again.
    async fn forget(&self, topic: Topic, partition: u32, before: Timestamp, unconsumed_before: Timestamp, limit: usize) -> Result<u64>;

    /// Replaces records at their offsets, all or none, for erasing what a law forbids to keep; offsets that are gone are skipped. An
    /// engine whose log can't be rewritten answers `Invalid`, and what it holds goes with its retention.
    async fn rewrite(&self, topic: Topic, partition: u32, rows: Vec<(i64, String)>) -> Result<()>;

    /// Returns a watch that changes after anything was written, by this process or another. It may change for nothing.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Returns what the engine takes on disk.
    async fn stats(&self) -> Result<EngineStats>;

    /// Settles everything on disk. Calls after this fail with `Unavailable`.
    async fn close(&self);
}
