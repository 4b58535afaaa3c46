//! `/settings…`: profile, preferences, sessions, blocked people. The account itself and what it gives out are in `account.rs`.

use app::Error;
use app::profiles::ProfileEdit;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use model::object::{HomeOrder, Theme, UserSettings};
use model::{Assoc, SessionId};
use serde::Deserialize;

use super::address::At;
use super::auth::form_errors;
use super::form::{Form, Multipart};
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done, frame, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::page::{Nav, Page};
use crate::view::settings::{SessionRow, SettingsBlocked, SettingsPreferences, SettingsProfile, SettingsSessions};

/// The texts of the profile's form are small; what is longer is refused before it is checked.
const FIELD_BYTES_MAX: usize = 64 << 10;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/settings", get(profile_page).post(profile))
        .route("/settings/preferences", get(preferences_page).post(preferences))
        .route("/settings/home-order", post(home_order))
        .route("/settings/sessions", get(sessions_page))
        .route("/settings/sessions/revoke-others", post(revoke_others))
        .route("/settings/sessions/{id}/revoke", post(revoke_session))
        .route("/settings/blocked", get(blocked_page))
}

/// Makes the frame of a page of settings.
pub async fn settings_frame(web: &Web, context: &Context, title: &str) -> Page {
    let mut page = frame(web, context, title, Nav::Elsewhere).await;
    page.unlisted = true;
    page
}

/// Answers a write of settings: nothing more to a script, a redirect with a message to a form.
pub fn changed(context: &Context, back_to: &str, text: &str) -> Response {
    if context.by_script() { StatusCode::NO_CONTENT.into_response() } else { redirect_with(back_to, &FlashNote::done(text)) }
}

#[derive(Default)]
struct ProfileForm {
    name: String,
    about: String,
    website: String,
    picture: Option<Bytes>,
    remove_picture: bool,
}

async fn read_profile(mut multipart: axum::extract::Multipart) -> app::Result<ProfileForm> {
    let broken =
        |error: axum::extract::multipart::MultipartError| Error::invalid("picture", format!("The upload broke off: {}", error.body_text()));
    let mut form = ProfileForm::default();
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or("").to_owned();
        let bytes = field.bytes().await.map_err(broken)?;
        if name == "picture" {
            // A browser sends an empty part for an input without a file.
            form.picture = Some(bytes).filter(|bytes| !bytes.is_empty());
            continue;
        }
        if bytes.len() > FIELD_BYTES_MAX {
            return Err(Error::invalid("", format!("The field '{name}' is too long.")));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match name.as_str() {
            "name" => form.name = text,
            "about" => form.about = text,
            "website" => form.website = text,
            "remove_picture" => form.remove_picture = true,
            _ => {}
        }
    }
    Ok(form)
}

async fn profile_view(web: &Web, context: &Context, form: Option<ProfileForm>, errors: FormErrors) -> Answer {
    let user = context.viewer.user.as_ref().ok_or(Error::SignInNeeded).told(web, context)?;
    let (name, about, website) = match form {
        Some(form) => (form.name, form.about, form.website),
        None => (user.data.name.clone(), user.data.about.clone(), user.data.website.clone()),
    };
    let frame = settings_frame(web, context, "Profile").await;
    Ok(page(context, &SettingsProfile { page: frame, person: present::person(user), name, about, website, errors }))
}

async fn profile_page(State(web): State<Web>, context: Context) -> Answer {
    profile_view(&web, &context, None, FormErrors::none()).await
}

async fn profile(State(web): State<Web>, context: Context, Multipart(multipart): Multipart) -> Answer {
    context.viewer.require().told(&web, &context)?;
    web.limit(&context, Category::Write).told(&web, &context)?;
    let form = match form_errors(read_profile(multipart).await).told(&web, &context)? {
        Ok(form) => form,
        Err(errors) => return refused(profile_view(&web, &context, None, errors).await),
    };
    let written = async {
        let edit = ProfileEdit {
            name: Some(form.name.clone()),
            about: Some(form.about.clone()),
            website: Some(form.website.clone()),
            ..ProfileEdit::default()
        };
        web.app.edit_profile(&context.viewer, edit).await?;
        let set = match (&form.picture, form.remove_picture) {
            (Some(bytes), _) => web.app.set_profile_picture(&context.viewer, Some(bytes.clone())).await,
            (None, true) => web.app.set_profile_picture(&context.viewer, None).await,
            (None, false) => Ok(()),
        };
        set.map_err(|error| match error {
            Error::Invalid(invalid) => Error::invalid("picture", invalid.message),
            other => other,
        })
    };
    match form_errors(written.await).told(&web, &context)? {
        Ok(()) => Ok(changed(&context, "/settings", "Your profile is changed.")),
        Err(errors) => refused(profile_view(&web, &context, Some(form), errors).await),
    }
}

async fn preferences_page(State(web): State<Web>, context: Context) -> Answer {
    let user = context.viewer.user.as_ref().ok_or(Error::SignInNeeded).told(&web, &context)?;
    let settings = &user.data.settings;
    let view = SettingsPreferences {
        page: settings_frame(&web, &context, "Preferences").await,
        theme: settings.theme,
        infinite_scroll: settings.infinite_scroll,
        mail_notifications: settings.mail_notifications,
        discoverable: settings.discoverable,
        home_order: settings.home_order,
    };
    Ok(page(&context, &view))
}

/// A switch that is off is not in the form at all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PreferencesForm {
    theme: String,
    infinite_scroll: String,
    mail_notifications: String,
    discoverable: String,
    home_order: String,
}

impl PreferencesForm {
    fn read(&self) -> app::Result<UserSettings> {
        let theme = match self.theme.as_str() {
            "system" | "" => Theme::System,
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            other => return Err(Error::invalid("theme", format!("'{other}' is no look. Choose system, light or dark."))),
        };
        Ok(UserSettings {
            theme,
            infinite_scroll: self.infinite_scroll == "true",
            mail_notifications: self.mail_notifications == "true",
            discoverable: self.discoverable == "true",
            home_order: read_home_order(&self.home_order)?,
        })
    }
}

/// Reads the order of a home feed; without a word it is newest-first.
fn read_home_order(text: &str) -> app::Result<HomeOrder> {
    match text {
        "" => Ok(HomeOrder::Newest),
        text => HomeOrder::parse(text)
            .ok_or_else(|| Error::invalid("home_order", format!("'{text}' is no order of a home feed. Choose newest or best."))),
    }
}

async fn preferences(State(web): State<Web>, context: Context, Form(form): Form<PreferencesForm>) -> Answer {
    let written = async {
        web.limit(&context, Category::Write)?;
        let edit = ProfileEdit { settings: Some(form.read()?), ..ProfileEdit::default() };
        web.app.edit_profile(&context.viewer, edit).await
    };
    written.await.told(&web, &context)?;
    Ok(changed(&context, "/settings/preferences", "Your preferences are kept."))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HomeOrderForm {
    home_order: String,
}

/// Changes the order of the home feed from the feed itself, and shows it.
async fn home_order(State(web): State<Web>, context: Context, Form(form): Form<HomeOrderForm>) -> Answer {
    let written = async {
        context.viewer.require()?;
        web.limit(&context, Category::Write)?;
        let edit = ProfileEdit { home_order: Some(read_home_order(&form.home_order)?), ..ProfileEdit::default() };
        web.app.edit_profile(&context.viewer, edit).await
    };
    written.await.told(&web, &context)?;
    Ok(done(&context, "/"))
}

/// Names the browser and the system of a session, as far as its user agent tells.
fn device_of(user_agent: &str) -> String {
    // Most browsers name others that they are compatible with, so the order matters.
    let browsers = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("FxiOS", "Firefox"),
        ("CriOS", "Chrome"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
        ("curl", "curl"),
    ];
    let systems = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let named = |list: &[(&str, &'static str)]| list.iter().find(|(part, _)| user_agent.contains(part)).map(|(_, name)| *name);
    match (named(&browsers), named(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) if user_agent.is_empty() => "An unknown device".to_owned(),
        (None, None) => user_agent.chars().take(40).collect(),
    }
}

async fn sessions_page(State(web): State<Web>, context: Context) -> Answer {
    let now = web.app.now();
    let sessions = web.app.sessions(&context.viewer).await.told(&web, &context)?;
    let rows = sessions.iter().filter_map(|session| {
        let id = SessionId::try_from(session.id).ok()?;
        Some(SessionRow {
            id,
            device: device_of(&session.data.user_agent),
            address: session.data.address.clone(),
            last_seen: present::time(session.data.last_seen_at, now),
            current: context.session == Some(id),
        })
    });
    let frame = settings_frame(&web, &context, "Sessions").await;
    Ok(page(&context, &SettingsSessions { page: frame, sessions: rows.collect() }))
}

async fn revoke_session(State(web): State<Web>, context: Context, At(id): At<SessionId>) -> Answer {
    web.app.revoke_session(&context.viewer, id).await.told(&web, &context)?;
    Ok(changed(&context, "/settings/sessions", "The session is ended."))
}

async fn revoke_others(State(web): State<Web>, context: Context) -> Answer {
    let me = context.viewer.require().told(&web, &context)?;
    web.app.revoke_sessions(me, context.session).await.told(&web, &context)?;
    Ok(changed(&context, "/settings/sessions", "You are logged out everywhere else."))
}

async fn blocked_page(State(web): State<Web>, context: Context) -> Answer {
    let blocked = web.app.hidden_people(&context.viewer, Assoc::UserBlocksUsers).await.told(&web, &context)?;
    let muted = web.app.hidden_people(&context.viewer, Assoc::UserMutesUsers).await.told(&web, &context)?;
    let view = SettingsBlocked {
        page: settings_frame(&web, &context, "Blocked and muted").await,
        blocked: blocked.iter().map(|user| present::person(user)).collect(),
        muted: muted.iter().map(|user| present::person(user)).collect(),
    };
    Ok(page(&context, &view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit Version/18.0 Safari/604.1", "Safari on iPhone"),
            ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
            ("curl/8.9", "curl"),
            ("my-script 1", "my-script 1"),
            ("", "An unknown device"),
        ] {
            assert_eq!(device_of(agent), name);
        }
    }

    #[test]
    fn switches_that_are_missing_are_off() {
        let form = PreferencesForm { theme: "dark".into(), discoverable: "true".into(), ..PreferencesForm::default() };
        let settings = form.read().unwrap();
        assert_eq!((settings.theme, settings.infinite_scroll, settings.discoverable), (Theme::Dark, false, true));
        assert_eq!(settings.home_order, HomeOrder::Newest);
        let best = PreferencesForm { home_order: "best".into(), ..PreferencesForm::default() };
        assert_eq!(best.read().unwrap().home_order, HomeOrder::Best);
        assert!(PreferencesForm { theme: "pink".into(), ..PreferencesForm::default() }.read().is_err());
        assert!(PreferencesForm { home_order: "worst".into(), ..PreferencesForm::default() }.read().is_err());
    }
}
