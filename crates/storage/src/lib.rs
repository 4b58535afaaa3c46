//! The system of record: objects, associations with exact counts, unique names, the outbox and the audit log, on shards.
//!
//! ```text
//! caller ─▶ Storage (front: checks, deadlines, spans, metrics) ─▶ Engine (port: raw rows) ─▶ sqlite: one file for all shards
//!               ▲                                                                        ├▶ remote: another process ─ gRPC ─┐
//!               └──────────────── server.rs, in that process ◀───────────────────────────┼──────────────────────────────────┘
//!                                                                                        ├▶ mysql: many servers, by the shard map
//!                                                                                        └▶ faulty: fails on purpose, in tests
//! Batch ─ create · update · map · claim · emit · audit … ─▶ one transaction on one shard ─▶ durable ─▶ watch() is bumped
//! ```
//!
//! In reading order: batch.rs what can be written, refusal.rs what is refused before it reaches an engine, storage.rs the front,
//! engine.rs the port, engine/ the engines, contract.rs what each of them must do. For other processes: server.rs the gRPC face over the
//! front, raw.rs the front's side of it, access.rs who may do what, wire.rs what travels. For whoever looks after it: verify.rs.
//!
//! Invariants
//! - What `write` answered with `Ok` is durable, whole: objects, edges, counts, names, events and audit entries of one batch stand
//!   or fall together.
//! - A batch writes on one shard; the *to* end of an edge may live anywhere.
//! - The count of an association is the number of its edges, always.
//! - An id is handed out once, over processes and restarts; a name has one holder, whatever shards its claimants live on.
//! - The outbox holds an event exactly if the change that caused it is stored.
//! - Only engine files know SQL.

mod access;
mod audit;
mod backup_store;
mod batch;
mod error;
mod ids;
mod limits;
mod metrics;
mod refusal;
mod row;
mod shard_map;

mod storage;

mod engine;

mod verify;

mod raw;
mod server;
mod wire;

#[cfg(test)]
mod contract;

pub use access::{AccessList, Caller, Right};
pub use audit::{AuditEntry, AuditHead, AuditRow};
pub use backup_store::{BackupStore, FolderStore};
pub use batch::{Batch, Condition, Written};
pub use engine::faulty::{Fault, Faults, Faulty};
pub use engine::mysql::{
    ArchiveReport, BackupReport, BackupWish, CapacityReport, FailoverOptions, FailoverReport, FileEntry, FleetStatus, InitReport,
    ListedBackup, Manifest, MigrateOptions, MigrateReport, MigrateStop, MoveReport, MoveStop, MysqlEngine, Operator, Progress, Quiet,
    ReplicaStatus, RestoreReport, RestoreStop, RestoreWish, ServerCapacity, ServerPart, ServerStatus, check_backup, list_backups,
};
pub use engine::remote::{Identity, RemoteEngine};
pub use engine::sqlite::SqliteEngine;
pub use engine::{Engine, EngineStats, Idempotency, InTurn, Op, Prepared};
pub use error::{Error, Result};
pub use limits::{BATCH_BYTES_MAX, BATCH_OPS_MAX, EVENT_BYTES_MAX, IDS_PER_CALL_MAX, LIST_ROWS_MAX, NAME_KEY_BYTES_MAX};
pub use metrics::METRICS;
/// A login on database servers.
pub use mysql::Credentials;
/// The metrics of database servers.
pub use mysql::METRICS as MYSQL_METRICS;
pub use row::{Commit, Edge, Freshness, Name, Order, Range, Row, StaleClaim, Stats};
pub use server::serve;
pub use shard_map::{RangeEntry, SERVERS_MAX, ServerEntry, ShardMap};
/// The metrics of the embedded engines' file.
pub use sqlite::METRICS as SQLITE_METRICS;
pub use storage::{Logins, Storage, name_shard};
pub use verify::{Finding, Severity, ShardRange, VerifyOptions, VerifyReport};
