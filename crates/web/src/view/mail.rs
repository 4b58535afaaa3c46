//! Mails as plain text. URLs are absolute; the first line of each is its subject.

use askama::Template;

#[derive(Clone, Debug, Template)]
#[template(path = "mail/welcome.txt", whitespace = "preserve")]
pub struct WelcomeMail {
    pub site_title: String,
    pub site_url: String,
    pub username: String,
}

#[derive(Clone, Debug, Template)]
#[template(path = "mail/reset_password.txt", whitespace = "preserve")]
pub struct ResetPasswordMail {
    pub site_title: String,
    pub username: String,
    /// Holds the secret.
    pub reset_url: String,
    /// "an hour".
    pub valid_for: String,
}

#[derive(Clone, Debug, Template)]
#[template(path = "mail/invitation.txt", whitespace = "preserve")]
pub struct InvitationMail {
    pub site_title: String,
    pub from_name: String,
    pub board_name: String,
    /// "add pins to".
    pub allows: String,
    pub notifications_url: String,
}

#[derive(Clone, Debug, Template)]
#[template(path = "mail/digest.txt", whitespace = "preserve")]
pub struct DigestMail {
    pub site_title: String,
    pub name: String,
    /// A sentence and the address it is about, each.
    pub lines: Vec<(String, String)>,
    pub more_count: u64,
    pub notifications_url: String,
    pub settings_url: String,
}

/// Cuts a rendered mail into subject and body.
pub fn subject_and_body(mail: &str) -> (&str, &str) {
    let (subject, body) = mail.split_once('\n').unwrap_or((mail, ""));
    (subject.trim(), body.trim_start_matches('\n'))
}
