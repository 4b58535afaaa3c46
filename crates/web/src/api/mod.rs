//! The JSON API under `/v5`.

use axum::Router;

use crate::server::Web;

pub fn router() -> Router<Web> {
    Router::new()
}
