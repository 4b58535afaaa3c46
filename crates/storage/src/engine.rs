//! The port: what an engine must do with raw rows. The front has checked everything that can be checked without reading.
//!
//! Each call either does what it says or fails with what is known: `Unavailable` (nothing happened), `Unknown` (a write that may
//! have happened), `Conflict`, `NotFound` (a write that was refused as a whole), `Corrupt`.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use model::{Assoc, Event, Id, Kind, NameKind, Shard, Timestamp, UserId};

use crate::audit::AuditRow;
use crate::batch::{Condition, Written};
use crate::error::Result;
use crate::row::{Edge, Freshness, Name, Range, Row, StaleClaim};

mod apply;
pub(crate) mod faulty;
pub(crate) mod inspection;
pub(crate) mod mysql;
pub(crate) mod remote;
pub(crate) mod slots;
pub(crate) mod sqlite;
pub(crate) mod successor;

/// One operation of a batch; see the methods of [`crate::Batch`] for what each does.
#[derive(Clone, Debug)]
pub enum Op {
    Create { id: Id, data: String },
    Update { id: Id, expected_version: u64, data: String },
    Delete { id: Id },
    Restore { id: Id },
    Purge { id: Id },
    Map { assoc: Assoc, from: Id, to: Id, sequence: i64 },
    Remap { assoc: Assoc, from: Id, to: Id, sequence: i64 },
    Unmap { assoc: Assoc, from: Id, to: Id },
    Claim { kind: NameKind, key: String, id: Id },
    Confirm { kind: NameKind, key: String, id: Id },
    Release { kind: NameKind, key: String, id: Id, unconfirmed_only: bool },
    Emit { event: Box<Event>, json: String },
    Audit { actor: Option<UserId>, act: String, subjects: Vec<Id>, data: String },
}

/// A key that makes a batch safe to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of what the batch writes, hexadecimal.
    pub batch_hash: String,
}

/// A batch that has passed every check of the front.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub shard: Shard,
    /// The instant that rows and entries carry.
    pub at: Timestamp,
    pub idempotency: Option<Idempotency>,
    pub conditions: Vec<Condition>,
    pub ops: Vec<Op>,
    /// How many bytes of data it writes, about.
    pub bytes: usize,
}

/// What an engine knows about its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub tables: Vec<(String, u64)>,
    pub file_bytes: u64,
    pub wal_bytes: u64,
    pub outbox: u64,
    pub writes: u64,
    pub group_commits: u64,
}

/// What became of batches that were written in turn; `None`: it was not tried.
pub type InTurn = Vec<Option<Result<Written>>>;

/// A store of raw rows. All calls may run at the same time.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Reserves `count` local ids and returns the first. Durable before it returns; no two calls ever get the same.
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64>;

    /// Reads rows by id, in the order and number of `ids`. One look-up per id.
    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>>;

    /// Writes a batch in one transaction: first the idempotency key is looked up, then the conditions are checked, then the
    /// operations are applied in order. Durable when it returns `Ok`; on `Conflict`, `NotFound` and `Unavailable` nothing is stored.
    async fn write(&self, batch: Prepared) -> Result<Written>;

    /// Writes batches in turn, each as [`Engine::write`] does. The first `needed` need each other: after one that fails nothing more is
    /// written. The others need those, and not each other. Answers in their order, with `None` for what was not tried. An engine may write
    /// several in one transaction.
    async fn write_in_turn(&self, batches: Vec<Prepared>, needed: usize) -> InTurn {
        one_by_one(self, batches, needed).await
    }

    /// Reads the same part of an association for each of `froms`, in their order. Cost follows the rows returned.
    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>>;

    /// Reads the sequence of each edge that exists, in the order of `tos`.
    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>>;

    /// Reads counts, in the order of `wanted`. One look-up each, whatever the count.
    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>>;

    async fn name(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>>;

    /// Lists names of a kind that lives with its owner, with their holders, in no order. Reads every name of the owner's shard at worst.
    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>>;

    /// Lists unconfirmed claims made before `before`, by shard and key; `after` is the last one of the page before.
    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>>;

    /// Lists rows of one kind by id, ascending, inactive ones included.
    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>>;

    /// Lists events as (position, JSON), oldest first. Positions only grow, per shard in the order of the commits.
    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>>;

    /// Removes the events at these positions, and no others: one with a smaller position may commit later. Idempotent.
    async fn outbox_forget(&self, positions: &[i64]) -> Result<()>;

    /// Returns an engine on the same store whose reads need not be fresher than this, so that they can come from replicas. `None`
    /// when there are none: then every read is the freshest anyway.
    fn view(&self, _freshness: &Freshness) -> Option<Arc<dyn Engine>> {
        None
    }

    /// Tells whether there is another front behind this engine, which holds every payload against its schema. Then this one need not.
    fn has_front(&self) -> bool {
        false
    }

    /// Returns a receiver that changes after commits, those of other processes included.
    fn watch(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Returns a receiver that changes after commits of other processes only.
    fn watch_others(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Returns an instant up to which every commit of other processes has been told to those who watch them: a commit that is acknowledged
    /// before that instant was told before this returns. `None` where that can't be said.
    fn others_known_until(&self) -> Option<Instant> {
        None
    }

    /// Lists a shard's audit entries by number, from the one after `after`.
    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>>;

    /// Lists the newest audit entries of all shards, newest first.
    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>>;

    /// Removes idempotency keys used before `before`; returns how many.
    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64>;

    async fn stats(&self) -> Result<EngineStats>;

    /// Looks at everything and returns what is wrong with it; nothing is changed. Takes as long as reading it all.
    async fn check(&self) -> Result<Vec<String>>;

    /// Returns the closer look that verification takes. `None` where the store itself is elsewhere.
    fn inspection(&self) -> Option<&dyn inspection::Inspection> {
        None
    }

    /// Finishes what runs and closes. Later calls fail as unavailable.
    async fn close(&self) -> Result<()>;
}

/// Writes batches in turn, each in a transaction of its own.
pub(crate) async fn one_by_one(engine: &(impl Engine + ?Sized), batches: Vec<Prepared>, needed: usize) -> InTurn {
    let mut answers: InTurn = vec![None; batches.len()];
    let mut batches = batches.into_iter();
    for (batch, answer) in batches.by_ref().take(needed).zip(&mut answers) {
        let written = engine.write(batch).await;
        let has_failed = written.is_err();
        *answer = Some(written);
        if has_failed {
            return answers;
        }
    }
    let others = join_all(batches.map(|batch| engine.write(batch))).await;
    answers.splice(needed.., others.into_iter().map(Some));
    answers
}
