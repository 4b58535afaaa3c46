//! Pages for those who run the site: what happens, jobs, storage, errors, reports, people.
//!
//! Elements with `data-live="key"` and plots with `data-series="key"` are kept up to date from /admin/live.json.

use askama::Template;
use askama::filters::HtmlSafe;
use model::{ReportId, UserId};

use super::page::Page;
use super::picture::{Person, Picture, Time};
use super::ui;

/// The entries of the admin menu: path, name.
pub(super) const TABS: [(&str, &str); 8] = [
    ("", "Overview"),
    ("/jobs", "Jobs"),
    ("/errors", "Errors"),
    ("/reports", "Reports"),
    ("/people", "People"),
    ("/storage", "Storage"),
    ("/takedowns", "Takedowns"),
    ("/holds", "Legal holds"),
];

#[derive(Clone, Debug, Template)]
#[template(path = "admin/overview.html")]
pub struct AdminOverview {
    pub page: Page,
    /// What needs somebody: a sentence and where to go.
    pub alerts: Vec<(String, String)>,
    pub parts: Vec<PartRow>,
    pub rates: Vec<Rate>,
    pub numbers: Vec<Number>,
}

/// A part of the installation, as /readyz sees it.
#[derive(Clone, Debug)]
pub struct PartRow {
    pub name: String,
    pub ready: bool,
    pub detail: String,
}

#[derive(Clone, Debug)]
pub struct Number {
    pub key: String,
    pub label: String,
    pub value: String,
}

/// A series with its present value.
#[derive(Clone, Debug)]
pub struct Rate {
    pub key: String,
    pub label: String,
    pub value: String,
    pub unit: String,
    /// Oldest first.
    pub points: Vec<f64>,
}

/// A series as a line in a box of 240 × 48.
#[derive(Template)]
#[template(
    source = "<svg class=\"plot\" viewBox=\"0 0 240 48\" preserveAspectRatio=\"none\" aria-hidden=\"true\" data-series=\"{{ key }}\"><polyline points=\"{{ line }}\"/></svg>",
    ext = "html"
)]
pub struct Plot<'a> {
    key: &'a str,
    line: String,
}

impl HtmlSafe for Plot<'_> {}

const PLOT_WIDTH: f64 = 240.0;
const PLOT_HEIGHT: f64 = 48.0;
/// Keeps the line's thickness inside the box.
const PLOT_MARGIN: f64 = 2.0;

impl Rate {
    fn plot(&self) -> Plot<'_> {
        Plot { key: &self.key, line: line_of(&self.points) }
    }
}

/// Scales points into the plot's box, from zero to the largest of them.
fn line_of(points: &[f64]) -> String {
    let largest = points.iter().copied().filter(|point| point.is_finite()).fold(0.0_f64, f64::max);
    let step = PLOT_WIDTH / points.len().saturating_sub(1).max(1) as f64;
    let mut line = String::with_capacity(points.len() * 12);
    for (index, point) in points.iter().enumerate() {
        let share = if largest > 0.0 && point.is_finite() { point.max(0.0) / largest } else { 0.0 };
        let y = PLOT_HEIGHT - PLOT_MARGIN - share * (PLOT_HEIGHT - 2.0 * PLOT_MARGIN);
        if index > 0 {
            line.push(' ');
        }
        line.push_str(&format!("{:.1},{y:.1}", index as f64 * step));
    }
    line
}

/// POST /admin/jobs/{queue}/pause, …/resume, …/retry.
#[derive(Clone, Debug, Template)]
#[template(path = "admin/jobs.html")]
pub struct AdminJobs {
    pub page: Page,
    pub queues: Vec<QueueRow>,
    pub failed: Vec<FailedJob>,
}

#[derive(Clone, Debug)]
pub struct QueueRow {
    pub name: String,
    pub pending: u64,
    pub in_progress: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// How long the oldest one waits.
    pub oldest: String,
    pub paused: bool,
}

#[derive(Clone, Debug)]
pub struct FailedJob {
    pub queue: String,
    pub name: String,
    pub error: String,
    pub attempts: u32,
    pub at: Time,
}

#[derive(Clone, Debug, Template)]
#[template(path = "admin/storage.html")]
pub struct AdminStorage {
    pub page: Page,
    pub tables: Vec<TableRow>,
    pub media: Vec<Number>,
    pub total: String,
}

#[derive(Clone, Debug)]
pub struct TableRow {
    pub name: String,
    pub rows: u64,
    pub bytes: String,
    /// Of all bytes, 0 to 100.
    pub percent: u8,
}

#[derive(Clone, Debug, Template)]
#[template(path = "admin/errors.html")]
pub struct AdminErrors {
    pub page: Page,
    pub errors: Vec<ErrorRow>,
    pub next_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct ErrorRow {
    pub at: Time,
    /// Where: the role or part.
    pub role: String,
    pub message: String,
    pub request_id: String,
    /// How often in the last day.
    pub count: u64,
}

/// POST /admin/reports/{id} with `decision` dismiss, hide or suspend.
#[derive(Clone, Debug, Template)]
#[template(path = "admin/reports.html")]
pub struct AdminReports {
    pub page: Page,
    pub reports: Vec<ReportRow>,
    pub decided: bool,
    pub next_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct ReportRow {
    pub id: ReportId,
    pub reason: String,
    pub note: String,
    pub reporter: Person,
    pub at: Time,
    /// What it is about: words, URL.
    pub subject: (String, String),
    /// Whose it is.
    pub owner: Option<Person>,
    pub picture: Option<Picture>,
    /// The pin or comment that a takedown with a note would be of.
    pub takedown_of: Option<model::Id>,
    /// Open reports about the same thing.
    pub count: u64,
    /// Set when it is decided: "Hidden by Ada".
    pub decision: Option<String>,
}

/// POST /admin/people/{id}/suspend, …/unsuspend, …/admin, …/unadmin. GET ?q= searches.
#[derive(Clone, Debug, Template)]
#[template(path = "admin/people.html")]
pub struct AdminPeople {
    pub page: Page,
    pub query: String,
    pub people: Vec<AdminPerson>,
    pub next_url: Option<String>,
}

#[derive(Clone, Debug)]
pub struct AdminPerson {
    pub person: Person,
    pub email: String,
    pub joined: Time,
    pub pin_count: u64,
    pub admin: bool,
    pub suspended: bool,
    /// The viewer's own row offers nothing.
    pub is_viewer: bool,
}

/// Tells whose page it is, so that nobody suspends the wrong person from a stale page.
impl AdminPerson {
    fn id(&self) -> UserId {
        self.person.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fill_the_box() {
        assert_eq!(line_of(&[0.0, 5.0, 10.0]), "0.0,46.0 120.0,24.0 240.0,2.0");
        assert_eq!(line_of(&[3.0]), "0.0,2.0");
        assert_eq!(line_of(&[0.0, f64::NAN]), "0.0,46.0 240.0,46.0");
        assert_eq!(line_of(&[]), "");
    }
}
