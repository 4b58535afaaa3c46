//! The HTTP face: one router for pages, API, media, static files and probes.

use std::sync::Arc;

use app::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::any;
use model::Timestamp;
use runtime::Health;

use crate::{api, limits, observe, routes, security};

/// Gives the numbers of the admin pages; the monitor stands behind it.
pub trait LiveNumbers: Send + Sync + 'static {
    fn snapshot(&self) -> Live;
}

/// What the admin pages show of the running site.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Events per second over the last minute, by kind, the busiest first.
    pub rates: Vec<(String, f64)>,
    /// Events per minute of the last hour, oldest first, by kind.
    pub series: Vec<(String, Vec<f64>)>,
    pub errors: Vec<LiveError>,
}

/// An error as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveError {
    pub at: Timestamp,
    pub kind: String,
    pub what: String,
    /// Of the request in which it happened; empty for background work.
    pub request_id: String,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    pub app: App,
    pub health: Health,
    pub live: Arc<dyn LiveNumbers>,
    pub limiter: Arc<limits::Limiter>,
    /// Takes the client's address from X-Forwarded-For: only behind a proxy that sets it.
    pub behind_proxy: bool,
}

/// Requests and uploads are at most this large: a picture of 20 MiB and the form around it, or the same in base64 inside JSON.
const BODY_BYTES_MAX: usize = 30 << 20;

/// Builds the router.
pub fn router(web: Web) -> Router {
    Router::new()
        .merge(routes::router())
        .nest("/v5", api::router(&web))
        .route("/v5/", any(api::not_found))
        .fallback(routes::errors::not_found)
        .method_not_allowed_fallback(routes::errors::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(security::same_origin_writes))
        .layer(middleware::from_fn(security::headers))
        .layer(middleware::from_fn_with_state(web.clone(), observe::requests))
        .with_state(web)
}
