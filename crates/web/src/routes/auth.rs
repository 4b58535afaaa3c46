//! Signing up, logging in and out, resetting passwords.

use app::accounts::NewUser;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, post};
use model::Invalid;
use serde::Deserialize;

use super::form::Form;
use crate::context::{Context, FlashNote, SESSION_COOKIE, is_local_path};
use crate::limits::Category;
use crate::respond::{Answer, Told, frame, page, redirect, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::auth::{Forgot, LogIn, Reset, SignUp};
use crate::view::page::Nav;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/signup", get(sign_up_page).post(sign_up))
        .route("/login", get(log_in_page).post(log_in))
        .route("/logout", post(log_out))
        .route("/forgot", get(forgot_page).post(forgot))
        .route("/reset", get(reset_page).post(reset))
}

/// Splits an error of a form into what is shown beside its fields; anything else goes on as a failure, too many attempts among it, so
/// that the answer's status and `Retry-After` say so.
pub fn form_errors<T>(result: app::Result<T>) -> app::Result<Result<T, FormErrors>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(app::Error::Invalid(invalid)) => Ok(Err(FormErrors(vec![invalid]))),
        Err(app::Error::Conflict(message) | app::Error::Forbidden(message)) => Ok(Err(FormErrors(vec![Invalid::new("", message)]))),
        Err(error) => Err(error),
    }
}

fn with_session(web: &Web, mut response: Response, cookie: &str) -> Response {
    let secure = if web.app.settings.base_url.starts_with("https://") { "; Secure" } else { "" };
    let lifetime = web.app.settings.session_lifetime_ms / 1_000;
    let cookie = format!("{SESSION_COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lifetime}{secure}");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Credentials {
    username: String,
    email: String,
    login: String,
    password: String,
    next: String,
}

async fn sign_up_view(web: &Web, context: &Context, form: &Credentials, errors: FormErrors) -> Answer {
    let first = !web.app.has_account().await.told(web, context)?;
    let view = SignUp {
        page: frame(web, context, "Sign up", Nav::Elsewhere).await,
        username: form.username.clone(),
        email: form.email.clone(),
        errors,
        first,
        closed: false,
    };
    Ok(page(context, &view))
}

async fn sign_up_page(State(web): State<Web>, context: Context) -> Answer {
    if context.viewer.user.is_some() {
        return Ok(redirect("/"));
    }
    sign_up_view(&web, &context, &Credentials::default(), FormErrors::none()).await
}

async fn sign_up(State(web): State<Web>, context: Context, Form(form): Form<Credentials>) -> Answer {
    let made = async {
        web.limit(&context, Category::SignIn)?;
        let new =
            NewUser { username: form.username.clone(), email: form.email.clone(), password: form.password.clone(), ..NewUser::default() };
        let id = web.app.sign_up(&context.viewer, new).await?;
        web.app.open_session(&context.viewer, id, context.device()).await
    };
    match form_errors(made.await).told(&web, &context)? {
        Ok(cookie) => {
            let note = FlashNote::done("Welcome! Make a board, pin a picture, and follow people whose taste you like.");
            Ok(with_session(&web, redirect_with("/", &note), &cookie))
        }
        Err(errors) => refused(sign_up_view(&web, &context, &form, errors).await),
    }
}

async fn log_in_view(web: &Web, context: &Context, form: &Credentials, errors: FormErrors) -> Answer {
    let next = if is_local_path(&form.next) { form.next.clone() } else { "/".into() };
    let view = LogIn { page: frame(web, context, "Log in", Nav::Elsewhere).await, login: form.login.clone(), next, errors };
    Ok(page(context, &view))
}

async fn log_in_page(State(web): State<Web>, context: Context, Query(query): Query<Credentials>) -> Answer {
    if context.viewer.user.is_some() {
        return Ok(redirect(&query.next));
    }
    log_in_view(&web, &context, &query, FormErrors::none()).await
}

async fn log_in(State(web): State<Web>, context: Context, Form(form): Form<Credentials>) -> Answer {
    let signed_in = async {
        web.limit(&context, Category::SignIn)?;
        web.app.sign_in(&context.viewer, &form.login, &form.password, context.device()).await
    };
    match form_errors(signed_in.await).told(&web, &context)? {
        Ok((_, cookie)) => Ok(with_session(&web, redirect(&form.next), &cookie)),
        Err(errors) => refused(log_in_view(&web, &context, &form, errors).await),
    }
}

async fn log_out(State(web): State<Web>, context: Context) -> Answer {
    if let Some(session) = context.session {
        match web.app.revoke_session(&context.viewer, session).await {
            Ok(()) | Err(app::Error::NotFound(_)) => {}
            Err(error) => return Err(error).told(&web, &context),
        }
    }
    let mut response = redirect_with("/", &FlashNote::done("You are logged out."));
    let gone = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    if let Ok(value) = HeaderValue::from_str(&gone) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

async fn forgot_view(web: &Web, context: &Context, email: String, errors: FormErrors, sent: bool) -> Answer {
    Ok(page(context, &Forgot { page: frame(web, context, "Reset your password", Nav::Elsewhere).await, email, errors, sent }))
}

async fn forgot_page(State(web): State<Web>, context: Context) -> Answer {
    forgot_view(&web, &context, String::new(), FormErrors::none(), false).await
}

async fn forgot(State(web): State<Web>, context: Context, Form(form): Form<Credentials>) -> Answer {
    let asked = async {
        web.limit(&context, Category::SignIn)?;
        web.app.ask_password_reset(&context.viewer, &form.email).await
    };
    match form_errors(asked.await).told(&web, &context)? {
        Ok(()) => forgot_view(&web, &context, form.email, FormErrors::none(), true).await,
        Err(errors) => refused(forgot_view(&web, &context, form.email, errors, false).await),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResetForm {
    token: String,
    secret: String,
    password: String,
}

async fn reset_page(State(web): State<Web>, context: Context, Query(query): Query<ResetForm>) -> Answer {
    let frame = frame(&web, &context, "Set a new password", Nav::Elsewhere).await;
    Ok(page(&context, &Reset { page: frame, expired: query.token.is_empty(), secret: query.token, errors: FormErrors::none() }))
}

async fn reset(State(web): State<Web>, context: Context, Form(form): Form<ResetForm>) -> Answer {
    let done = async {
        web.limit(&context, Category::SignIn)?;
        let user = web.app.reset_password(&form.secret, &form.password).await?;
        web.app.open_session(&context.viewer, user, context.device()).await
    };
    match form_errors(done.await).told(&web, &context)? {
        Ok(cookie) => {
            Ok(with_session(&web, redirect_with("/", &FlashNote::done("Your password is changed, and you are logged in.")), &cookie))
        }
        Err(mut errors) => {
            let expired = errors.on("token").is_some();
            for error in &mut errors.0 {
                if error.field == "new_password" {
                    error.field = "password";
                }
            }
            let frame = frame(&web, &context, "Set a new password", Nav::Elsewhere).await;
            refused(Ok(page(&context, &Reset { page: frame, secret: form.secret, errors, expired })))
        }
    }
}
