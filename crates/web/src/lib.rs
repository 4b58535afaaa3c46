//! The site and the JSON API: everything that knows HTTP.
//!
//! ```text
//! request ─▶ observe.rs ─▶ security.rs ─▶ routes/… (pages) or api/… (JSON) ─▶ app
//!                                               │
//!                        present.rs (pure) ◀────┘ ─▶ view/… (templates) ─▶ respond.rs ─▶ answer
//!
//! serve.rs     connections
//! server.rs    the router and what handlers share
//! context.rs   who asks and how
//! limits.rs    rate limits
//! respond.rs   pages, fragments, redirects, errors
//! present.rs   from the application's values to the views' values
//! assets.rs    stylesheets, scripts and icons, compiled in and served under names that never change their content
//! view.rs      pages as plain structs and their templates: data in, HTML out, no I/O
//! ```
//!
//! Invariants: no inline script or style and nothing from another host; every write comes from the site's own pages or with a token;
//! what a page shows was filtered by `app` for its viewer.

pub mod api;
pub mod assets;
pub mod context;
pub mod limits;
mod metrics;
pub mod observe;
pub mod present;
pub mod respond;
pub mod routes;
pub mod security;
pub mod serve;
pub mod server;
pub mod view;

pub use metrics::METRICS;
pub use routes::ops::operations_router;
pub use serve::serve;
pub use server::{Live, LiveError, LiveNumbers, Web, router};
