//! `/settings/account`, `/settings/tokens`, `/settings/export`, `/settings/delete`: what an account is, gives out, and how it ends.

use std::collections::BTreeSet;

use app::Error;
use app::profiles::ProfileEdit;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use model::object::Scope;
use model::{Invalid, TokenId};
use serde::Deserialize;

use super::address::At;
use super::auth::form_errors;
use super::form::Form;
use super::settings::{changed, settings_frame};
use crate::context::{Context, FlashNote, SESSION_COOKIE};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::settings::{SettingsAccount, SettingsDelete, SettingsTokens, TokenRow};

pub fn router() -> Router<Web> {
    Router::new()
        .route("/settings/account", get(account_page).post(account))
        .route("/settings/tokens", get(tokens_page).post(make_token))
        .route("/settings/tokens/{id}/revoke", post(revoke_token))
        .route("/settings/export", get(export).post(export))
        .route("/settings/delete", get(delete_page).post(delete))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountForm {
    what: String,
    username: String,
    email: String,
    /// Of the form that changes the e-mail address: a field name of its own keeps the errors of the two forms apart.
    email_password: String,
    current_password: String,
    password: String,
}

async fn account_view(web: &Web, context: &Context, form: Option<AccountForm>, errors: FormErrors) -> Answer {
    let user = context.viewer.user.as_ref().ok_or(Error::SignInNeeded).told(web, context)?;
    let (mut username, mut email) = (user.data.username.clone(), user.data.email.clone());
    match form {
        Some(form) if form.what == "username" => username = form.username,
        Some(form) if form.what == "email" => email = form.email,
        _ => {}
    }
    let frame = settings_frame(web, context, "Account").await;
    Ok(page(context, &SettingsAccount { page: frame, username, email, errors }))
}

async fn account_page(State(web): State<Web>, context: Context) -> Answer {
    account_view(&web, &context, None, FormErrors::none()).await
}

/// Moves errors to the field of the form that they are about.
fn renamed(errors: FormErrors, from: &str, to: &'static str) -> FormErrors {
    let rename = |error: Invalid| if error.field == from { Invalid::new(to, error.message) } else { error };
    FormErrors(errors.0.into_iter().map(rename).collect())
}

async fn account(State(web): State<Web>, context: Context, Form(form): Form<AccountForm>) -> Answer {
    context.viewer.require().told(&web, &context)?;
    let written = async {
        match form.what.as_str() {
            "username" => {
                web.limit(&context, Category::Write)?;
                let edit = ProfileEdit { username: Some(form.username.clone()), ..ProfileEdit::default() };
                web.app.edit_profile(&context.viewer, edit).await?;
                Ok("Your user name is changed.")
            }
            // These two take a password, which nobody shall try out.
            "email" => {
                web.limit(&context, Category::SignIn)?;
                web.app.change_email(&context.viewer, &form.email_password, &form.email).await?;
                Ok("Your e-mail address is changed.")
            }
            "password" => {
                web.limit(&context, Category::SignIn)?;
                web.app.change_password(&context.viewer, &form.current_password, &form.password, context.session).await?;
                Ok("Your password is changed. Other sessions are logged out.")
            }
            _ => Err(Error::invalid("", "Choose what to change: user name, e-mail or password.")),
        }
    };
    match form_errors(written.await).told(&web, &context)? {
        Ok(text) => Ok(changed(&context, "/settings/account", text)),
        Err(errors) => {
            let errors = match form.what.as_str() {
                "email" => renamed(errors, "password", "email_password"),
                _ => renamed(errors, "new_password", "password"),
            };
            refused(account_view(&web, &context, Some(form), errors).await)
        }
    }
}

async fn tokens_view(web: &Web, context: &Context, made: Option<String>, name: String, errors: FormErrors) -> Answer {
    let now = web.app.now();
    let tokens = web.app.tokens(&context.viewer).await.told(web, context)?;
    let rows = tokens.iter().filter_map(|token| {
        Some(TokenRow {
            id: TokenId::try_from(token.id).ok()?,
            name: token.data.name.clone(),
            scopes: token.data.scopes.iter().copied().collect(),
            made: present::time(token.created_at, now),
            last_used: token.data.last_used_at.map(|at| present::time(at, now)),
        })
    });
    let frame = settings_frame(web, context, "API tokens").await;
    Ok(page(context, &SettingsTokens { page: frame, tokens: rows.collect(), made, name, errors }))
}

async fn tokens_page(State(web): State<Web>, context: Context) -> Answer {
    tokens_view(&web, &context, None, String::new(), FormErrors::none()).await
}

/// Reads the scopes that are ticked.
fn scopes_of(form: &[(String, String)]) -> app::Result<BTreeSet<Scope>> {
    let ticked = form.iter().filter(|(key, _)| key == "scope");
    ticked
        .map(|(_, value)| {
            Scope::parse(value).ok_or_else(|| Error::invalid("scope", format!("'{value}' is no scope; choose from the list.")))
        })
        .collect()
}

async fn make_token(State(web): State<Web>, context: Context, Form(form): Form<Vec<(String, String)>>) -> Answer {
    let me = context.viewer.require().told(&web, &context)?;
    let name = form.iter().find(|(key, _)| key == "name").map(|(_, value)| value.clone()).unwrap_or_default();
    let made = async {
        web.limit(&context, Category::Write)?;
        web.app.create_token(&context.viewer, me, &name, scopes_of(&form)?).await
    };
    match form_errors(made.await).told(&web, &context)? {
        // The secret is shown in this answer and nowhere else, so there is no redirect.
        Ok(secret) => tokens_view(&web, &context, Some(secret), String::new(), FormErrors::none()).await,
        Err(errors) => refused(tokens_view(&web, &context, None, name, renamed(errors, "scopes", "scope")).await),
    }
}

async fn revoke_token(State(web): State<Web>, context: Context, At(id): At<TokenId>) -> Answer {
    web.app.revoke_token(&context.viewer, id).await.told(&web, &context)?;
    Ok(changed(&context, "/settings/tokens", "The token is revoked."))
}

/// Hands out everything that is kept of the person, as a file to download.
async fn export(State(web): State<Web>, context: Context) -> Answer {
    let read = async {
        context.viewer.require()?;
        // Reads everything of the person: as dear as fetching a foreign page.
        web.limit(&context, Category::Fetch)?;
        let export = web.app.export_account(&context.viewer).await?;
        serde_json::to_vec_pretty(&export).map_err(Error::from)
    };
    let json = read.await.told(&web, &context)?;
    let username = context.viewer.user.as_ref().map_or("account", |user| user.data.username.as_str());
    let mut response = json.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // User names are letters, digits, '_', '-' and '.', so that the name needs no quoting.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"corkboard-{username}.json\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

async fn delete_view(web: &Web, context: &Context, errors: FormErrors) -> Answer {
    context.viewer.require().told(web, context)?;
    let frame = settings_frame(web, context, "Your data").await;
    Ok(page(context, &SettingsDelete { page: frame, export: None, export_running: false, errors }))
}

async fn delete_page(State(web): State<Web>, context: Context) -> Answer {
    delete_view(&web, &context, FormErrors::none()).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteForm {
    password: String,
}

async fn delete(State(web): State<Web>, context: Context, Form(form): Form<DeleteForm>) -> Answer {
    context.viewer.require().told(&web, &context)?;
    let deleted = async {
        web.limit(&context, Category::SignIn)?;
        web.app.delete_account(&context.viewer, &form.password).await
    };
    match form_errors(deleted.await).told(&web, &context)? {
        Ok(()) => {
            let note = FlashNote::done("Your account is deleted. What it held goes within the next minutes.");
            let mut response = redirect_with("/", &note);
            let gone = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
            if let Ok(value) = HeaderValue::from_str(&gone) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
            Ok(response)
        }
        Err(errors) => refused(delete_view(&web, &context, errors).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_those_that_are_ticked() {
        let form = |scopes: &[&str]| scopes.iter().map(|scope| ("scope".to_owned(), (*scope).to_owned())).collect::<Vec<_>>();
        let scopes = scopes_of(&form(&["pins:read", "boards:read", "pins:read"])).unwrap();
        assert_eq!(scopes.into_iter().collect::<Vec<_>>(), [Scope::BoardsRead, Scope::PinsRead]);
        assert!(matches!(scopes_of(&form(&["pins:eat"])), Err(Error::Invalid(invalid)) if invalid.field == "scope"));
        assert!(scopes_of(&[]).unwrap().is_empty());
    }
}
