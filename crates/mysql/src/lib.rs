//! MySQL and MariaDB servers as a durable store: the ground of every `mysql:` engine.
//!
//! ```text
//! Server ─ breaker (open: fails at once) ─ pool of connections ─▶ one primary or replica
//!    │                                        each: statement time limits, READ COMMITTED, utf8mb4
//!    ├─ query(sql)  several statements in one round trip, on any connection; asked again when an idle connection had died
//!    └─ take()      a connection for a transaction; what is not given back whole is closed
//! ```
//!
//! address.rs where a server is, server.rs the pool, connection.rs one connection, breaker.rs when to stop asking, dialect.rs where
//! MariaDB and MySQL differ, replication.rs primaries and replicas, row.rs values, sql.rs text that goes into statements.
//!
//! Invariants
//! - Every call has a deadline; nothing waits for a frozen server longer.
//! - A connection with an unfinished statement is never used again: it is closed, and the server ends the statement at its time limit.
//! - An error says whether something may have happened: `Unavailable` (nothing was sent), `Refused` (the server said no), `Lost` (unknown).

mod address;
mod breaker;
mod connection;
mod dialect;
mod error;
mod metrics;
mod replication;
mod row;
mod server;
mod sql;

pub use address::{Address, Credentials};
pub use dialect::Dialect;
pub use error::{Error, Result};
pub use metrics::METRICS;
pub use replication::{ReplicaState, Replication};
pub use row::{Row, first};
pub use server::{Limits, Server, Taken};
pub use sql::{list, quote};
