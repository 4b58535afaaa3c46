//! What people can do on a pinboard site, and what follows from it. Composes the services, which don't know each other.
//!
//! ```text
//! act (pins.rs, boards.rs, …)
//!    │ one atomic batch on the shard of the main object, its event in the same transaction
//!    ▼
//! storage ── outbox ──▶ relay.rs ──▶ events ──▶ consumers/follow_up.rs   mirrors edges, notifies, enqueues jobs
//!                                           ├─▶ consumers/feeds.rs       graph and home feeds
//!                                           └─▶ consumers/index.rs       search
//! ```
//!
//! Reading is four named steps: candidates (I/O) → hydrate (I/O) → filter (pure) → present (pure, in `web`).
//!
//! Invariants
//! - An action is acknowledged only after its batch is durable.
//! - Consumers reconcile: they read the present truth in storage and make what is derived equal to it. So every event may come late,
//!   twice, or after others, and has its effect once.
//! - Nothing leaves this crate for a viewer who may not see it: every list ends in `viewer::may_…` over what storage says now.

pub mod accounts;
pub mod admin;
pub mod best_first;
pub mod boards;
pub mod collaborators;
pub mod comments;
pub mod compose;
pub mod consumers;
pub mod edges;
pub mod erasure;
pub mod error;
pub mod explore;
pub mod follows;
pub mod holds;
pub mod home;
pub mod hydrate;
pub mod importing;
pub mod jobs;
pub mod likes;
pub mod lists;
pub mod metrics;
pub mod notifications;
pub mod ordering;
pub mod page_pins;
pub mod passwords;
pub mod pictures;
pub mod pins;
pub mod plan;
pub mod profiles;
pub mod ranking;
pub mod rebuild;
pub mod related;
pub mod relay;
pub mod reports;
pub mod save;
pub mod search;
pub mod sections;
pub mod shown;
pub mod takedowns;
pub mod taste;
pub mod tokens;
pub mod topics;
pub mod trash;
pub mod verify_feeds;
pub mod verify_lists;
pub mod viewer;

pub use compose::{App, Parts, Settings};
pub use error::{Error, Result, What};
pub use hydrate::{BoardCard, Page, PinView};
pub use metrics::METRICS;
pub use viewer::Viewer;
