//! The pages' routes: one module per area, each with its own router. Files mirror the addresses.

pub mod account;
pub mod address;
pub mod admin;
pub mod auth;
pub mod boards;
pub mod collaborators;
pub mod comments;
pub mod create;
pub mod errors;
pub mod explore;
pub mod form;
pub mod home;
pub mod legal;
pub mod legal_admin;
pub mod moderation;
pub mod notifications;
pub mod ops;
pub mod organise;
pub mod pin;
pub mod profile;
pub mod report;
pub mod search;
pub mod settings;
pub mod social;
pub mod trash;

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
        .merge(comments::router())
        .merge(create::router())
        .merge(social::router())
        .merge(notifications::router())
        .merge(settings::router())
        .merge(account::router())
        .merge(trash::router())
        .merge(report::router())
        .merge(admin::router())
        .merge(moderation::router())
        .merge(legal::router())
        .merge(legal_admin::router())
        .merge(organise::router())
        .merge(collaborators::router())
        .merge(boards::router())
        .merge(profile::router())
}
