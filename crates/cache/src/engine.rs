//! The port of the second level: a cache that several processes share. Without one, `memory:`, there is only the first.
//!
//! ```text
//! get ─▶ Found, Current                       an answer; with a lease, the caller is the one to refill it while others still use it
//!    ─▶ Lease ─▶ load ─▶ fill                 the caller refills
//!    ─▶ Busy ─▶ get, get, … ─▶ load ─▶ fill   another refills; who has waited long enough loads as well
//!    ─▶ Away ─▶ load                          nobody to ask
//! ```
//! Whatever it answers with an error counts as a miss. It may forget anything at any time.

mod faulty;
mod memcached;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Assoc, Id};

use crate::error::Result;

pub use faulty::{Fault, Faulty};
pub use memcached::{Checked, Memcached, MemcachedLimits, check_address};
pub use memory::MemoryEngine;

/// What something is kept under.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    Object(Id),
    /// The list of one object's association.
    List(Assoc, Id),
    /// Anything else, by its name.
    Value(Arc<str>),
}

/// One look-up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub key: Key,
    /// The version that the caller has already.
    pub held: Option<u64>,
    /// Milliseconds before its end from which on a cell is old: one caller is then asked to refill it.
    pub stale_ms: u64,
}

/// What is kept: an encoded row, list or value, or that there is none, and the version. Lists and values have version 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    pub version: u64,
    pub row: Option<Vec<u8>>,
}

/// The right to fill one key with what is read from now on. An invalidation takes it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    pub token: u64,
    /// Where it was given: engine's own business.
    pub place: u64,
    /// Nothing older is kept.
    pub version_min: u64,
}

/// What a look-up found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Looked {
    /// With a lease, it is old.
    Found(Cell, Option<Lease>),
    /// What the caller has is what is there. With a lease, it is old.
    Current(Option<Lease>),
    /// Nothing is there, and the caller is the one to refill it.
    Lease(Lease),
    /// Nothing is there, and somebody else is refilling it. The lease is for who can't wait any longer.
    Busy(Lease),
    /// It can't be told.
    Away,
}

/// One refill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refill {
    pub key: Key,
    pub lease: Lease,
    pub cell: Cell,
    /// Milliseconds until it goes by itself.
    pub life_ms: u64,
}

/// What was written: copies of the object older than this version are out of date. Of a list and a value, every copy is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stale {
    pub key: Key,
    pub version: u64,
}

impl Stale {
    pub fn object(id: impl Into<Id>, version: u64) -> Stale {
        Stale { key: Key::Object(id.into()), version }
    }

    pub fn list(assoc: Assoc, from: impl Into<Id>) -> Stale {
        Stale { key: Key::List(assoc, from.into()), version: 0 }
    }

    pub fn value(name: impl Into<Arc<str>>) -> Stale {
        Stale { key: Key::Value(name.into()), version: 0 }
    }
}

/// A cache that several processes share. Every call ends within a bounded time, whatever has happened to servers.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Looks up many keys; same order and length. Each missing one is leased to one caller, until it fills or the lease runs out.
    async fn get_many(&self, asked: Vec<Asked>) -> Result<Vec<Looked>>;

    /// Keeps cells that were leased. Tells of each whether it was kept: not when its key was invalidated or filled since the lease was
    /// given, or when it is older than the lease allows.
    async fn fill(&self, refills: Vec<Refill>) -> Result<Vec<bool>>;

    /// Drops what is out of date and takes back leases; of objects, keeps nothing older for a while. When this has returned `Ok`, no process
    /// gets it from here, or will not a moment later: how long is the engine's to say. Idempotent.
    async fn invalidate(&self, stale: Vec<Stale>) -> Result<()>;

    /// Drops everything that was put here.
    async fn clear(&self) -> Result<()>;

    /// Tells whether every place of what was invalidated knows of it. What does not is told later, by this process.
    fn has_told(&self) -> bool {
        true
    }
}
