//! Telling the admins that something is wrong.

use askama::Template;
use model::Id;

use super::form::{self, FormErrors};
use super::page::Page;
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "report.html")]
pub struct ReportForm {
    pub page: Page,
    pub subject: Id,
    /// What is reported: "the pin “Still life” by Ada".
    pub subject_text: String,
    pub back_url: String,
    pub reason: String,
    pub note: String,
    pub errors: FormErrors,
    pub sent: bool,
}

/// Value (as the reason is stored), name, explanation.
const REASONS: [(&str, &str, &str); 10] = [
    ("spam", "Spam", "Misleading, repeated, or only there to sell"),
    ("nudity", "Nudity", "Nudity or sexual content"),
    ("hate", "Hate", "Attacks people for what they are"),
    ("harassment", "Harassment", "Threatens or shames somebody"),
    ("self_harm", "Self-harm", "Encourages people to hurt themselves"),
    ("violence", "Violence", "Shows or praises cruelty"),
    ("misinformation", "Misinformation", "False, and likely to do harm"),
    ("copyright", "Copyright", "Uses work that is mine or of somebody I act for"),
    ("privacy", "Privacy", "Shows private things about somebody"),
    ("other", "Something else", "Please say what in the note"),
];
