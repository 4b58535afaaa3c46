//! The port of the second level: a cache that several processes share. Without one, `memory:`, there is only the first.
//!
//! Whatever it answers with an error counts as a miss. It may forget anything at any time.

mod faulty;
mod memory;

use std::fmt;

use async_trait::async_trait;
use model::Id;

use crate::error::Result;

pub use faulty::{Fault, Faulty};
pub use memory::MemoryEngine;

/// One object as it is kept: its encoded row and its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    pub version: u64,
    pub bytes: Vec<u8>,
}

/// What a look-up found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Looked {
    Found(Cell),
    /// Nothing is there, and the caller is the one to refill it, showing this lease.
    Lease(u64),
    /// Nothing is there, and another process is refilling it.
    Busy,
}

/// A cache that several processes share.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Looks up many ids; same order and length. Each missing one is leased to one caller, until it fills or the lease runs out.
    async fn get_many(&self, ids: Vec<Id>) -> Result<Vec<Looked>>;

    /// Keeps cells that were leased. Tells of each whether it was kept: not when its lease was taken back by an `invalidate`
    /// since, or ran out, or when a newer version is there.
    async fn fill(&self, cells: Vec<(Id, u64, Cell)>) -> Result<Vec<bool>>;

    /// Drops versions older than the given ones, and takes back leases. Idempotent.
    async fn invalidate(&self, ids: Vec<(Id, u64)>) -> Result<()>;

    /// Drops everything.
    async fn clear(&self) -> Result<()>;
}
