//! The port: what an index must do.
//!
//! Every call may be repeated safely. What a viewer may not see never influences an answer in a way that shows it: not as a hit,
//! not as a suggestion, a topic or a guide, not as a correction in a note.

mod faulty;
mod tantivy;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use model::UserId;

use crate::{
    document::Change,
    error::Result,
    language::Query,
    request::{Guide, Hit, Lookup, Page, Seed, Stats, Suggestion},
};

pub use faulty::{Fault, Faulty};
pub use tantivy::TantivyEngine;

/// An index of documents.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Makes all changes and the offset visible and durable together, or none of them. The changes have different ids.
    /// `offset: None` keeps the offset. Costs a commit: callers collect changes. `Unknown` when it may have happened.
    async fn apply(&self, changes: Arc<Vec<Change>>, offset: Option<i64>) -> Result<()>;

    /// Forgets all documents and the offset.
    async fn clear(&self) -> Result<()>;

    /// Returns the offset of the last commit that this process knows of. Does not wait.
    fn committed_offset(&self) -> Option<i64>;

    /// Finds documents, best or newest first. The same lookup with a later offset goes on where the page ended, unless a commit
    /// came between.
    async fn query(&self, lookup: Lookup) -> Result<Page>;

    /// Completes what was typed so far, from public documents only; the viewer is not suggested to themselves.
    async fn suggest(&self, prefix: String, viewer: Option<UserId>, limit: usize) -> Result<Vec<Suggestion>>;

    /// Finds pins whose texts are like the seed's, each picture once, never the seed's own picture. A seed that the viewer may not
    /// see, or that is not there, has none.
    async fn similar(&self, seed: Seed, viewer: Option<UserId>, limit: usize) -> Result<Vec<Hit>>;

    /// Lists the tags with the most public pins, and how many.
    async fn topics(&self, limit: usize) -> Result<Vec<(String, u64)>>;

    /// Finds words that split the public pins that the query finds, best first.
    async fn guides(&self, query: Query, limit: usize) -> Result<Vec<Guide>>;

    /// Counts documents, bytes and segments; `pending` is the front's.
    async fn stats(&self) -> Result<Stats>;
}
