//! What is noted of every request: an id, its time, its outcome; failures become events.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use model::EventKind;
use serde_json::json;

use crate::server::Web;

/// The id of a request, as it stands in logs, events and error pages.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Answers carry the request's id under the name that API clients print.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-pinterest-rid");

/// Gives each request an id, measures it, and logs failures.
pub async fn requests(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = format!("{:016x}", runtime::random_u64());
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let (seconds, status) = (started.elapsed().as_secs_f64(), response.status());
    metrics::histogram!(crate::metrics::REQUEST_SECONDS, "route" => route.clone()).record(seconds);
    metrics::counter!(crate::metrics::REQUESTS_TOTAL, "status" => status.as_u16().to_string()).increment(1);
    if status.is_server_error() {
        tracing::error!(request.id = id, %method, path, status = status.as_u16(), seconds, "a request failed");
        let details = json!({ "route": route, "status": status.as_u16(), "path": path });
        web.app.events.emit(web.app.event_with(EventKind::RequestFailed, None, id.clone(), Vec::new(), details));
    } else {
        tracing::debug!(request.id = id, %method, path, status = status.as_u16(), seconds, "served");
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}
