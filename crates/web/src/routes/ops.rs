//! Probes, metrics, static files, pictures, and what browsers and robots ask for by fixed names.

use std::net::SocketAddr;
use std::str::FromStr;

use app::pictures::media_error;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use media::{Hash, Rendition};
use runtime::Health;
use serde_json::json;

use crate::assets;
use crate::context::{Context, is_from_this_machine};
use crate::respond::{Answer, Told, frame, page};
use crate::server::Web;
use crate::view::error::Offline;
use crate::view::page::Nav;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/static/{file}", get(static_file))
        .route("/media/{hash}/{file}", get(picture))
        .route("/offline", get(offline))
        .route("/sw.js", get(|| async { named_asset("sw.js") }))
        .route("/manifest.webmanifest", get(|| async { named_asset("manifest.webmanifest") }))
        .route("/favicon.ico", get(|| async { named_asset("mark.svg") }))
        .route("/robots.txt", get(robots))
}

/// Probes and metrics alone: for a process that serves no pages. Metrics are for this machine only, as nobody logs in there.
pub fn operations_router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(|State(health): State<Health>| async move { readiness(&health) }))
        .route("/metrics", get(metrics_here))
        .with_state(health)
}

async fn ready(State(web): State<Web>) -> Response {
    readiness(&web.health)
}

fn readiness(health: &Health) -> Response {
    let parts: serde_json::Map<String, serde_json::Value> =
        health.parts().into_iter().map(|(name, state)| (name, json!({ "state": state.as_str(), "reason": state.reason() }))).collect();
    let is_ready = health.is_ready();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(json!({ "ready": is_ready, "parts": parts }))).into_response()
}

async fn metrics_here(ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap) -> Response {
    if is_from_this_machine(&headers, Some(peer)) { metrics_page() } else { StatusCode::NOT_FOUND.into_response() }
}

fn metrics_page() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], runtime::telemetry::render_metrics()).into_response()
}

/// Metrics name queues and routes, nobody's data, but they are whoever runs the site's: only from this machine or for admins.
async fn metrics_text(State(web): State<Web>, context: Context) -> Response {
    if !context.from_this_machine && !context.viewer.is_admin() {
        return crate::routes::errors::not_found(State(web), context).await;
    }
    metrics_page()
}

async fn static_file(Path(file): Path<String>) -> Response {
    assets::respond(&file)
}

fn named_asset(name: &'static str) -> Response {
    let Some(asset) = assets::all().iter().find(|asset| asset.name == name) else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, asset.body.clone()).into_response()
}

async fn offline(State(web): State<Web>, context: Context) -> Response {
    let frame = frame(&web, &context, "Offline", Nav::Elsewhere).await;
    page(&context, &Offline { page: frame })
}

async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /settings\nDisallow: /search\nDisallow: /login\nDisallow: /signup\nDisallow: /admin\nDisallow: /report\n"
}

/// Serves a rendition. Its address holds the hash of its content's source, so it never changes and browsers may keep it.
///
/// Whoever has the address of a picture may see it: the address holds 256 bits that no list shows to those who may not see the pin.
async fn picture(State(web): State<Web>, context: Context, Path((hash, file)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let missing = || app::Error::NotFound(app::What::Picture);
    let hash = Hash::from_str(&hash).map_err(|_| missing()).told(&web, &context)?;
    let kind = file.split('.').next().unwrap_or("");
    let rendition = Rendition::from_str(kind).map_err(|_| missing()).told(&web, &context)?;
    let stored = web.app.media.rendition(hash, rendition).await.map_err(media_error).told(&web, &context)?;
    let etag = HeaderValue::from_str(&stored.etag).unwrap_or(HeaderValue::from_static("\"\""));
    let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(stored.bytes))
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(stored.content_type));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer.insert(header::ETAG, etag);
    // Pictures are only ever pictures, whatever is in them.
    answer.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}
