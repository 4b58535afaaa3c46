//! The pages' routes: one module per area, each with its own router. Files mirror the addresses.

pub mod auth;
pub mod create;
pub mod errors;
pub mod explore;
pub mod home;
pub mod ops;
pub mod pin;
pub mod search;
pub mod social;

use axum::Router;

use crate::server::Web;

/// Returns all routes of pages. Addresses of people (`/{username}`) come last: everything fixed wins over them.
pub fn router() -> Router<Web> {
    Router::new()
        .merge(ops::router())
        .merge(home::router())
        .merge(auth::router())
        .merge(explore::router())
        .merge(search::router())
        .merge(pin::router())
        .merge(create::router())
        .merge(social::router())
}
