//! Answers of the API: JSON, also for everything that goes wrong.
//!
//! An error is `{"code", "message"}`. The code is the number that clients of Pinterest's API know where there is one, else the status.

use std::panic::AssertUnwindSafe;

use app::{Error, What};
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use serde::Serialize;

use crate::limits::Standing;
use crate::respond::{log_cause, status_of};

/// Codes that clients know.
pub mod code {
    pub const INVALID: u32 = 1;
    pub const AUTHENTICATION_FAILED: u32 = 2;
    pub const SCOPE_MISSING: u32 = 7;
    pub const RATE_LIMITED: u32 = 8;
    pub const NOT_PERMITTED: u32 = 29;
    pub const USER_NOT_FOUND: u32 = 30;
    pub const BOARD_NOT_FOUND: u32 = 40;
    pub const PIN_NOT_FOUND: u32 = 50;
    pub const SECTION_NOT_FOUND: u32 = 2031;
}

/// A handler's answer.
pub type Answer = Result<Response, Failure>;

/// An error on its way to a client.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: u32,
    message: String,
    retry_after_seconds: Option<u64>,
}

impl Failure {
    pub fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Failure {
        Failure { status, code, message: message.into(), retry_after_seconds: None }
    }

    /// Makes an error for which there is no code but its status.
    pub fn of_status(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure::new(status, u32::from(status.as_u16()), message)
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, code::INVALID, message)
    }

    pub fn not_found(what: What) -> Failure {
        Failure::from(Error::NotFound(what))
    }
}

/// Returns the code of an error.
fn code_of(error: &Error) -> u32 {
    match error {
        Error::Invalid(_) => code::INVALID,
        Error::SignInNeeded => code::AUTHENTICATION_FAILED,
        Error::Forbidden(_) => code::NOT_PERMITTED,
        Error::TooMany { .. } => code::RATE_LIMITED,
        Error::NotFound(What::User) => code::USER_NOT_FOUND,
        Error::NotFound(What::Board) => code::BOARD_NOT_FOUND,
        Error::NotFound(What::Pin) => code::PIN_NOT_FOUND,
        Error::NotFound(What::Section) => code::SECTION_NOT_FOUND,
        other => u32::from(status_of(other).as_u16()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        log_cause(&error, "");
        let retry_after_seconds = match error {
            Error::TooMany { retry_after_seconds } => Some(retry_after_seconds),
            Error::Unavailable(_) => Some(1),
            _ => None,
        };
        let message = match &error {
            Error::Invalid(invalid) if !invalid.field.is_empty() => format!("Invalid '{}': {}", invalid.field, invalid.message),
            other => other.to_string(),
        };
        Failure { status: status_of(&error), code: code_of(&error), message, retry_after_seconds }
    }
}

impl From<model::Invalid> for Failure {
    fn from(error: model::Invalid) -> Failure {
        Error::from(error).into()
    }
}

#[derive(Serialize)]
struct ErrorShape<'a> {
    code: u32,
    message: &'a str,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorShape { code: self.code, message: &self.message })).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Answers with JSON.
pub fn ok(body: &impl Serialize) -> Answer {
    Ok(Json(body).into_response())
}

/// Answers that something was made.
pub fn created(body: &impl Serialize) -> Answer {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Answers that it is done and there is nothing to tell.
pub fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Writes how a limit stands into an answer.
pub fn show_standing(response: &mut Response, standing: Standing) {
    let numbers = [
        ("x-ratelimit-limit", u64::from(standing.limit)),
        ("x-ratelimit-remaining", u64::from(standing.remaining)),
        ("x-ratelimit-reset", standing.reset_seconds),
    ];
    for (name, number) in numbers {
        response.headers_mut().insert(name, HeaderValue::from(number));
    }
}

/// Makes every error JSON, also those that no handler wrote: clients parse before they look at the status.
pub async fn json_errors(request: Request, next: Next) -> Response {
    let head = request.method() == axum::http::Method::HEAD;
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!(crate::metrics::API_PANICS_TOTAL).increment(1);
            Failure::of_status(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side. It was logged.").into_response()
        }
    };
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if (status.is_client_error() || status.is_server_error()) && !is_json && !head {
        let message = status.canonical_reason().unwrap_or("The request failed.");
        let mut json = Failure::of_status(status, message).into_response();
        for name in [header::ALLOW, header::RETRY_AFTER] {
            if let Some(value) = response.headers_mut().remove(&name) {
                json.headers_mut().insert(name, value);
            }
        }
        response = json;
    }
    // What a token sees is nobody else's.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn panics_and_plain_texts_become_json() {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let router = Router::new()
            .route("/panic", get(panics))
            .route("/plain", get(|| async { (StatusCode::BAD_GATEWAY, "oh") }))
            .route("/good", get(|| async { "good" }))
            .layer(axum::middleware::from_fn(json_errors));
        for (path, status, code) in [("/panic", 500, 500), ("/plain", 502, 502)] {
            let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body(), 1_000).await.unwrap()).unwrap();
            assert_eq!(body["code"], code);
        }
        let request = axum::http::Request::get("/good").body(Body::empty()).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), 200);
    }
}
