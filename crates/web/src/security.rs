//! What every answer and every write is held to.
//!
//! Writes must come from the site's own pages: by `Sec-Fetch-Site` and `Origin`, as current browsers send them (the scheme of Go 1.25),
//! on top of `SameSite=Lax` cookies. The API takes bearer tokens, which no foreign page can send.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const SECURITY_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; \
             manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("permissions-policy"), HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=()")),
];

/// Adds the security headers to every answer.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.reserve(SECURITY_HEADERS.len());
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}

/// Refuses writes that another site's page sent.
pub async fn same_origin_writes(request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer "));
    // The API knows no cookies, so no foreign page can do anything there in somebody's name.
    let api = request.uri().path().starts_with("/v5/");
    if bearer || api || matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || is_same_origin(&request) {
        return next.run(request).await;
    }
    metrics::counter!(crate::metrics::CROSS_SITE_WRITES_REFUSED_TOTAL).increment(1);
    let text = "This form was sent from another site. Open the page on this site and send it again.";
    let mut response = (StatusCode::FORBIDDEN, text).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn is_same_origin(request: &Request<Body>) -> bool {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    match text(HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin" | "none") => return true,
        Some(_) => return false,
        None => {}
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = request.uri().authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST));
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method("POST").uri("/login").header("host", "pins.example.org");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_the_sites_own_pages_write() {
        for (headers, passes) in [
            (vec![], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://pins.example.org")], false),
            (vec![("origin", "https://pins.example.org")], true),
            (vec![("origin", "https://evil.example.org")], false),
            (vec![("origin", "null")], false),
            (vec![("origin", "https://pins.example.org.evil.org")], false),
        ] {
            assert_eq!(is_same_origin(&request(&headers)), passes, "{headers:?}");
        }
    }
}
