//! The follower graph, home feeds and public feeds. All of it is derived from storage and can be thrown away.
//!
//! ```text
//! truth in storage ─▶ apply(changes) ─┬─▶ graph: follows · left out · blocks · mutes · boards
//!                                     └─▶ publish ─▶ home feeds in memory of followers (once each, by the pin's time)
//!                                               ├─▶ lists of authors with very many followers, merged at read
//!                                               └─▶ public lists: everything · per topic · per domain
//! home(user) ─▶ feed + merged lists ─▶ filter by the present graph ─▶ page ─▶ (memory ends) storage goes on
//!        └─▶ no feed in memory ─▶ the caller builds it from storage ─▶ fill(user)
//! ```
//!
//! Reading order: `facts.rs` (the words), `feeds.rs` (the front), `engine.rs` (the port), `engine/memory.rs`, `engine/redis.rs`; for
//! processes of their own `server.rs` (the gRPC face over the front), `access.rs`, `wire.rs` and `engine/remote.rs`, which calls it.
//!
//! Invariants
//! - The caller reads the truth from storage and sets it here; every call may come twice or late, and the last one wins.
//! - `followers(board) = (followers(owner) − left(board)) ∪ explicit(board)`; owner is the board's, not the pin's.
//! - Every page is filtered by the graph as it is at that moment. A board that was never set shows nothing.
//! - A change that lets a person see *more* drops that person's feed; it is built anew from storage. So a feed in memory
//!   lacks nothing down to where it says that it ends.
//! - Lists are bounded; each knows where it ends, and nobody ever reaches a false end.

mod access;
mod error;
mod facts;
mod limits;
mod metrics;

mod feeds;

#[cfg(test)]
mod contract;
mod engine;
#[cfg(test)]
mod naive;
mod server;
mod wire;

pub use access::{AccessList, Caller};
pub use engine::{
    Change, Engine, Fault, Faulty, Kept, MemoryEngine, Persistence, RedisEngine, RemoteEngine, ServerConfig, ServerSettings, survey,
};
pub use error::{Error, Result};
pub use facts::{
    Away, BoardFacts, Counts, Cursor, EdgePage, Entry, HomePage, Linked, PinFacts, Position, PublicEntry, PublicFeed, PublicPage, Reason,
    Relation, Rest, Standing, Stats, Target, TargetKind,
};
pub use feeds::Feeds;
pub use grpc::Identity;
pub use limits::Limits;
pub use metrics::METRICS;
pub use server::serve;
