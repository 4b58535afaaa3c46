//! What addresses that lead nowhere answer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::context::Context;
use crate::respond::error_page;
use crate::server::Web;

pub async fn not_found(State(web): State<Web>, context: Context) -> Response {
    error_page(&web, &context, StatusCode::NOT_FOUND, String::new())
}

pub async fn method_not_allowed(State(web): State<Web>, context: Context) -> Response {
    error_page(&web, &context, StatusCode::METHOD_NOT_ALLOWED, String::new())
}
