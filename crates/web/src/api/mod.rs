//! The JSON API under `/v5`, in the shapes of Pinterest's API v5, so that clients written for that work here.
//!
//! ```text
//! request ─▶ json_errors ─▶ auth::authenticate ─▶ boards.rs, pins.rs, … ─▶ app
//!                                                    │
//!                        shapes.rs (pure) ◀──────────┘ ─▶ respond.rs ─▶ JSON
//! ```
//!
//! `extensions.rs` holds what v5 lacks, in the same style. Invariants: every answer but an empty one is JSON, errors included; no
//! redirects; every list ends with a null bookmark and never has an empty page before; cookies count for nothing here.

pub mod auth;
pub mod boards;
pub mod extensions;
pub mod pins;
pub mod request;
pub mod respond;
pub mod search;
pub mod sections;
pub mod shapes;
pub mod terms;
pub mod users;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::routing::any;

use crate::server::Web;
use respond::Failure;

/// Returns the routes below `/v5`.
pub fn router(web: &Web) -> Router<Web> {
    Router::new()
        .merge(boards::router())
        .merge(sections::router())
        .merge(pins::router())
        .merge(users::router())
        .merge(search::router())
        .merge(terms::router())
        .merge(extensions::router())
        // Routes, not only a fallback: the site's own '/{username}/…' would take what is unknown below '/v5/' otherwise.
        .route("/", any(not_found))
        .route("/{*path}", any(not_found))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(web.clone(), auth::authenticate))
        .layer(middleware::from_fn(respond::json_errors))
}

/// Answers for whatever there is not below `/v5`.
pub async fn not_found(OriginalUri(uri): OriginalUri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::of_status(StatusCode::NOT_FOUND, format!("There is no '{path}' in this API."))
}

async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::of_status(StatusCode::METHOD_NOT_ALLOWED, format!("'{path}' does not take {method}."))
}
