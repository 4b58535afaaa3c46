//! Answers: pages, fragments, redirects and errors, each as whoever asked can use it.

use app::Error;
use askama::Template;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::context::{Context, FLASH_COOKIE, FlashNote};
use crate::server::Web;
use crate::view::error::ErrorPage;
use crate::view::page::{Nav, Page, ViewerChip};

/// A handler's answer.
pub type Answer = Result<Response, Failure>;

/// An error on its way to whoever asked.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    context: Option<Box<(Web, Context)>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, context: None }
    }
}

impl From<model::Invalid> for Failure {
    fn from(error: model::Invalid) -> Failure {
        Error::from(error).into()
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Web")
    }
}

/// Returns the status of an error.
pub fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::SignInNeeded => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Writes the cause of an internal error where whoever runs the site finds it.
pub fn log_cause(error: &Error, request_id: &str) {
    if let Error::Internal(cause) = error {
        tracing::error!(request.id = request_id, cause = format!("{cause:#}"), "an action failed inside");
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = status_of(&self.error);
        let Some(told) = self.context else {
            log_cause(&self.error, "");
            return (status, self.error.to_string()).into_response();
        };
        let (web, context) = *told;
        log_cause(&self.error, &context.request_id);
        let mut response = if context.by_script() {
            (status, axum::Json(json!({ "message": self.error.to_string() }))).into_response()
        } else if matches!(self.error, Error::SignInNeeded) {
            return redirect(&format!("/login?next={}", crate::view::ui::encoded(&context.path)));
        } else {
            let message = if status == StatusCode::NOT_FOUND { String::new() } else { self.error.to_string() };
            error_page(&web, &context, status, message)
        };
        if let Error::TooMany { retry_after_seconds } = self.error {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
        }
        response
    }
}

/// Renders an error as a page.
pub fn error_page(web: &Web, context: &Context, status: StatusCode, message: String) -> Response {
    let mut page = bare_frame(web, context, "Something is in the way");
    page.unlisted = true;
    let view = ErrorPage { page, status: status.as_u16(), message, request_id: context.request_id.clone() };
    let mut response = html(&view);
    *response.status_mut() = status;
    response
}

/// Lets errors of handlers be shown to whoever asked.
pub trait Told<T> {
    fn told(self, web: &Web, context: &Context) -> Result<T, Failure>;
}

impl<T> Told<T> for app::Result<T> {
    fn told(self, web: &Web, context: &Context) -> Result<T, Failure> {
        self.map_err(|error| Failure { error, context: Some(Box::new((web.clone(), context.clone()))) })
    }
}

/// Room for a page of cards, so that it is not copied while it grows.
const PAGE_BYTES: usize = 48 << 10;

/// Renders a template.
pub fn html(view: &impl Template) -> Response {
    let mut text = String::with_capacity(PAGE_BYTES);
    match view.render_into(&mut text) {
        Ok(()) => {
            let mut response = Response::new(Body::from(text));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            // Pages hold what one person may see; the browser may keep them for Back only.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            headers.insert(header::VARY, HeaderValue::from_static("Cookie, X-Fragment"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.").into_response()
        }
    }
}

/// Marks a page as the answer to input that was refused: what is wrong stands on it.
pub fn refused(answer: Answer) -> Answer {
    let mut response = answer?;
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// Renders a page and clears the message that it showed.
pub fn page(context: &Context, view: &impl Template) -> Response {
    let mut response = html(view);
    if context.flash.is_some() {
        let gone = format!("{FLASH_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        if let Ok(value) = HeaderValue::from_str(&gone) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

/// Sends the browser to another page of this site.
pub fn redirect(to: &str) -> Response {
    let to = if crate::context::is_local_path(to) { to } else { "/" };
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(value) = HeaderValue::from_str(&ascii(to)) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Writes an address as headers hold it: boards may be named in any script.
fn ascii(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Sends the browser to another page and tells it something there.
pub fn redirect_with(to: &str, note: &FlashNote) -> Response {
    let mut response = redirect(to);
    if let Ok(value) = HeaderValue::from_str(&note.cookie()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Answers a write: nothing more to a script, a redirect to a form.
pub fn done(context: &Context, back_to: &str) -> Response {
    if context.by_script() { StatusCode::NO_CONTENT.into_response() } else { redirect(back_to) }
}

/// Answers a write with JSON to a script, with a redirect and a message to a form.
pub fn done_with(context: &Context, json: serde_json::Value, back_to: &str, note: &FlashNote) -> Response {
    if context.by_script() { axum::Json(json).into_response() } else { redirect_with(back_to, note) }
}

fn bare_frame(web: &Web, context: &Context, title: &str) -> Page {
    let viewer = context.viewer.user.as_deref().map(|user| ViewerChip {
        person: crate::present::person(user),
        admin: user.data.admin,
        unread_notifications: 0,
        theme: user.data.settings.theme,
        infinite_scroll: user.data.settings.infinite_scroll,
    });
    Page {
        title: title.to_owned(),
        site_title: web.app.settings.site_title.clone(),
        viewer,
        flashes: context.flash.iter().map(FlashNote::to_flash).collect(),
        path: context.path.clone(),
        ..Page::default()
    }
}

/// Makes the frame of a page for this viewer.
pub async fn frame(web: &Web, context: &Context, title: &str, nav: Nav) -> Page {
    let mut page = bare_frame(web, context, title);
    page.nav = nav;
    if let Some(viewer) = &mut page.viewer {
        match web.app.unread_notifications(&context.viewer).await {
            Ok(unread) => viewer.unread_notifications = unread as u64,
            Err(error) => tracing::warn!(%error, "unread notifications were not counted"),
        }
    }
    page
}
