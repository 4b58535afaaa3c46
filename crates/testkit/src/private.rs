//! What private servers of every kind stand on.
//!
//! ```text
//!          ┌─────freeze──▶ frozen ──thaw──┐
//! start ──▶ running ◀─────────────────────┘
//!          ├─kill9─▶ dead ────┐
//!          └─stop──▶ stopped ─┴─start──▶ running       on the same data and port
//! ```
//! A server never outlives its tests: dropping kills it, and the kernel kills it when the process dies in any other way.
//!
//! In reading order: `daemon.rs` the life of one; `folder.rs`, `port.rs` what is private; `account.rs` as whom it runs; `starter.rs` the
//! parent.

mod account;
mod daemon;
mod folder;
mod port;
mod starter;

pub(crate) use account::{Account, own_uid, server_command};
pub(crate) use daemon::{Daemon, tail};
pub(crate) use folder::Folder;
pub(crate) use port::Port;
