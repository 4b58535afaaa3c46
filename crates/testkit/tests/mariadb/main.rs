//! Private MariaDB servers, by themselves: what all tests on top of them rely on.
//!
//! ```text
//! server.rs        start, rights, kill -9, stop, restart, freeze; nothing is left behind
//! replication.rs   a replica follows, catches up after an outage, and takes over; semi-synchronous commits
//! ways.rs          proxies: one party is cut off while another still reaches the server
//! shared.rs        one server for many tests
//! ```

mod replication;
mod server;
mod shared;
mod ways;
