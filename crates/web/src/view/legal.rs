//! Takedowns as their owner and as admins see them, and legal holds.

use askama::Template;
use model::legal::{TakedownReason, TakedownState};
use model::{Id, LegalHoldId, ReportId, TakedownId};

use super::admin::TABS;
use super::card::Empty;
use super::form::{self, FormErrors};
use super::page::Page;
use super::picture::{Person, Picture, Time};
use super::ui;

/// POST /takedowns/{id}/appeal with `text`.
#[derive(Clone, Debug, Template)]
#[template(path = "legal/takedowns.html")]
pub struct Takedowns {
    pub page: Page,
    pub takedowns: Vec<TakedownRow>,
    /// An appeal that was refused as it was written: whose it is, its text, what is wrong.
    pub draft: Option<(TakedownId, String, FormErrors)>,
    pub next_url: Option<String>,
}

/// POST /admin/takedowns/{id} with `decision` upheld or reversed, and `note`.
#[derive(Clone, Debug, Template)]
#[template(path = "legal/admin_takedowns.html")]
pub struct AdminTakedowns {
    pub page: Page,
    pub takedowns: Vec<TakedownRow>,
    pub state: Option<TakedownState>,
    pub next_url: Option<String>,
}

/// A takedown. What only admins see is empty for the owner.
#[derive(Clone, Debug)]
pub struct TakedownRow {
    pub id: TakedownId,
    /// What it is about: words, URL or nothing.
    pub subject: (String, String),
    pub picture: Option<Picture>,
    pub reason: TakedownReason,
    pub note: String,
    pub state: TakedownState,
    pub at: Time,
    pub appeal: Option<(String, Time)>,
    pub decision: Option<(String, Time)>,
    pub owner: Option<Person>,
    pub complainant: String,
    /// Who took it down and who decided, in words.
    pub by: String,
}

impl TakedownRow {
    fn state_words(&self) -> &'static str {
        state_words(self.state)
    }
}

fn state_words(state: TakedownState) -> &'static str {
    match state {
        TakedownState::InForce => "In force",
        TakedownState::Appealed => "Appealed",
        TakedownState::Upheld => "Upheld",
        TakedownState::Reversed => "Reversed",
    }
}

impl Takedowns {
    fn empty(&self) -> Empty {
        Empty::new(
            "shield",
            "Nothing was taken down",
            "If the admins take down a pin or a comment of yours, you read here why, and can appeal.",
        )
    }

    /// Returns what was written for this takedown and refused.
    fn draft_of(&self, id: &TakedownId) -> Option<(&str, &FormErrors)> {
        self.draft.as_ref().filter(|(of, ..)| of == id).map(|(_, text, errors)| (text.as_str(), errors))
    }
}

impl AdminTakedowns {
    /// The states to choose from: value, words, whether it is the one that is shown.
    fn states(&self) -> [(&'static str, &'static str, bool); 4] {
        TakedownState::ALL.map(|state| (state.as_str(), state_words(state), self.state == Some(state)))
    }
}

/// POST /admin/takedowns.
#[derive(Clone, Debug, Template)]
#[template(path = "legal/admin_takedown_form.html")]
pub struct TakedownForm {
    pub page: Page,
    pub subject: Id,
    /// What it is about: words, URL or nothing.
    pub subject_text: (String, String),
    pub report: Option<ReportId>,
    pub reason: String,
    pub note: String,
    pub complainant: String,
    pub errors: FormErrors,
}

/// Value (as the reason is stored), name, explanation.
const REASONS: [(&str, &str, &str); 5] = [
    ("copyright", "Copyright", "Somebody says that it is their work"),
    ("illegal", "Illegal", "The law forbids to show it"),
    ("privacy", "Privacy", "It shows private things about somebody"),
    ("rules", "Rules", "It breaks the rules of this site"),
    ("other", "Something else", "Please say what in the note"),
];

/// POST /admin/holds with `subject`, `reason`, `reference`; POST /admin/holds/{id}/release with `reason`.
#[derive(Clone, Debug, Template)]
#[template(path = "legal/admin_holds.html")]
pub struct AdminHolds {
    pub page: Page,
    pub holds: Vec<HoldRow>,
    /// Released ones too.
    pub all: bool,
    /// Pins and people whose purge waits.
    pub waiting: u64,
    pub subject: String,
    pub reason: String,
    pub reference: String,
    pub errors: FormErrors,
    pub next_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct HoldRow {
    pub id: LegalHoldId,
    pub subject: (String, String),
    pub reason: String,
    pub reference: String,
    pub by: String,
    pub at: Time,
    /// Who released it and why, and when.
    pub release: Option<(String, Time)>,
}
