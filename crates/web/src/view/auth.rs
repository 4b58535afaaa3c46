//! Signing up, logging in, and getting back in.

use askama::Template;

use super::form::{self, FormErrors};
use super::page::Page;
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "auth/sign_up.html")]
pub struct SignUp {
    pub page: Page,
    pub username: String,
    pub email: String,
    pub errors: FormErrors,
    /// The first account of an installation becomes its admin, and is told so.
    pub first: bool,
    /// Shows that sign-up is closed instead of the form.
    pub closed: bool,
}

#[derive(Clone, Debug, Template)]
#[template(path = "auth/log_in.html")]
pub struct LogIn {
    pub page: Page,
    /// What was typed: user name or e-mail address.
    pub login: String,
    /// Where to go afterwards; starts with '/'.
    pub next: String,
    pub errors: FormErrors,
}

#[derive(Clone, Debug, Template)]
#[template(path = "auth/forgot.html")]
pub struct Forgot {
    pub page: Page,
    pub email: String,
    pub errors: FormErrors,
    /// Says that a mail is on its way if there is such an account; never whether there is.
    pub sent: bool,
}

#[derive(Clone, Debug, Template)]
#[template(path = "auth/reset.html")]
pub struct Reset {
    pub page: Page,
    /// The secret from the mail's link, sent back with the new password.
    pub secret: String,
    pub errors: FormErrors,
    /// The link is too old or was used.
    pub expired: bool,
}
