//! Search: an index of pins, boards and people, a query language, ranking, suggestions, similar pins, topics and guides.
//!
//! ```text
//! log ─▶ app's consumer ─▶ Search::put / remove / put_offset ─▶ committer ─▶ Engine::apply (one commit per quarter second or so)
//! page, API ─▶ Search::query ─ language: text ─▶ AST ─▶ Engine::query ─ BM25 × saves × freshness ─▶ ids
//!              Search::suggest · similar · topics · guides
//! ```
//!
//! Invariants
//! - The index is derived: it can be cleared and filled from storage, and a crash loses only what the log replays, because each
//!   commit stores the offset up to which it is complete.
//! - A secret document is found by the people in its `Viewers::Only` and by nobody else, in no form: not as a hit, a suggestion, a
//!   topic, a guide, a similar pin, nor as a correction in a note.
//! - No query is an error.
//! - What is put is visible within a second.

mod document;
mod limits;
mod request;

pub mod color;
pub mod date;
pub mod language;
mod ranking;
mod text;

mod committer;
mod metrics;
mod search;

#[cfg(test)]
mod contract;
mod engine;
mod error;

pub use document::{Change, Doc, Viewers};
pub use engine::{Engine, Fault, Faulty, TantivyEngine};
pub use error::{Error, Result};
pub use limits::{OFFSET_MAX, PAGE_LIMIT_MAX, QUERY_CHARS_MAX};
pub use metrics::METRICS;
pub use request::{Guide, Hit, Kind, Lookup, Order, Page, SearchRequest, Seed, Stats, Suggestion, SuggestionKind};
pub use search::Search;
