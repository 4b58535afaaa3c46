//! Settings: profile, account, sessions, API tokens, preferences, blocked and muted people, leaving.

use askama::Template;
use model::object::{HomeOrder, Scope, Theme};
use model::{SessionId, TokenId};

use super::form::{self, FormErrors};
use super::page::Page;
use super::picture::{Person, Time};
use super::ui;

/// The entries of the settings menu: path, name.
const TABS: [(&str, &str); 7] = [
    ("", "Profile"),
    ("/account", "Account"),
    ("/preferences", "Preferences"),
    ("/sessions", "Sessions"),
    ("/tokens", "API tokens"),
    ("/blocked", "Blocked and muted"),
    ("/delete", "Your data"),
];

/// POST /settings (multipart): name, about, website, picture (a file), remove_picture.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/profile.html")]
pub struct SettingsProfile {
    pub page: Page,
    pub person: Person,
    pub name: String,
    pub about: String,
    pub website: String,
    pub errors: FormErrors,
}

/// POST /settings/account: `what` is username, email or password, with `username`; `email`, `email_password`; `current_password`,
/// `password`.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/account.html")]
pub struct SettingsAccount {
    pub page: Page,
    pub username: String,
    pub email: String,
    pub errors: FormErrors,
}

/// POST /settings/preferences: theme, home_order, infinite_scroll, mail_notifications, discoverable.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/preferences.html")]
pub struct SettingsPreferences {
    pub page: Page,
    pub theme: Theme,
    pub infinite_scroll: bool,
    pub mail_notifications: bool,
    pub discoverable: bool,
    pub home_order: HomeOrder,
}

/// POST /settings/sessions/{id}/revoke, /settings/sessions/revoke-others.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/sessions.html")]
pub struct SettingsSessions {
    pub page: Page,
    pub sessions: Vec<SessionRow>,
}

#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: SessionId,
    /// "Firefox on Linux".
    pub device: String,
    pub address: String,
    pub last_seen: Time,
    pub current: bool,
}

/// POST /settings/tokens: name, scope (many); /settings/tokens/{id}/revoke.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/tokens.html")]
pub struct SettingsTokens {
    pub page: Page,
    pub tokens: Vec<TokenRow>,
    /// The secret of a token that was just made: shown this once.
    pub made: Option<String>,
    pub name: String,
    pub errors: FormErrors,
}

#[derive(Clone, Debug)]
pub struct TokenRow {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub made: Time,
    pub last_used: Option<Time>,
}

impl SettingsTokens {
    fn scopes(&self) -> [(Scope, &'static str); 10] {
        Scope::ALL.map(|scope| {
            let words = match scope {
                Scope::BoardsRead => "see your public boards",
                Scope::BoardsReadSecret => "see your secret boards",
                Scope::BoardsWrite => "make, change and delete boards",
                Scope::BoardsWriteSecret => "make, change and delete secret boards",
                Scope::PinsRead => "see your public pins",
                Scope::PinsReadSecret => "see your secret pins",
                Scope::PinsWrite => "make, change and delete pins",
                Scope::PinsWriteSecret => "make, change and delete secret pins",
                Scope::UserAccountsRead => "see your account and followers",
                Scope::UserAccountsWrite => "follow and unfollow for you",
            };
            (scope, words)
        })
    }
}

#[derive(Clone, Debug, Template)]
#[template(path = "settings/blocked.html")]
pub struct SettingsBlocked {
    pub page: Page,
    pub blocked: Vec<Person>,
    pub muted: Vec<Person>,
}

/// POST /settings/export; POST /settings/delete with password.
#[derive(Clone, Debug, Template)]
#[template(path = "settings/delete.html")]
pub struct SettingsDelete {
    pub page: Page,
    /// Of a finished export: (URL, when it was made).
    pub export: Option<(String, Time)>,
    pub export_running: bool,
    pub errors: FormErrors,
}
