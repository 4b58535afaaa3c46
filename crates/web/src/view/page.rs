//! The frame around every page: head, header, bars, flash messages and notices.
//!
//! A page struct holds `page: Page` and its template extends `layout.html`, which writes [`Top`], the page's own part, and [`Bottom`].
//! The two are templates of their own so that their code exists once, not once per page.

use askama::Template;
use askama::filters::HtmlSafe;
use model::object::Theme;

use super::picture::Person;
use super::ui;

/// What every page needs besides its own content.
#[derive(Clone, Debug)]
pub struct Page {
    /// Without the site's title, which is added.
    pub title: String,
    pub site_title: String,
    pub viewer: Option<ViewerChip>,
    /// Shown as toasts; each once.
    pub flashes: Vec<Flash>,
    /// What is missing from this page at the moment, a sentence each ("Search is away; we are on it.").
    pub notices: Vec<String>,
    pub nav: Nav,
    /// What the search box holds.
    pub query: String,
    /// Path and query of this page, to come back to after logging in. Starts with '/'.
    pub path: String,
    pub sign_up_open: bool,
    pub meta: Option<Meta>,
    /// Asks search engines to leave the page out: secret and protected boards, settings, errors.
    pub unlisted: bool,
}

impl Default for Page {
    fn default() -> Page {
        Page {
            title: String::new(),
            site_title: "Corkboard".into(),
            viewer: None,
            flashes: Vec::new(),
            notices: Vec::new(),
            nav: Nav::Elsewhere,
            query: String::new(),
            path: "/".into(),
            sign_up_open: true,
            meta: None,
            unlisted: false,
        }
    }
}

/// The person who looks.
#[derive(Clone, Debug)]
pub struct ViewerChip {
    pub person: Person,
    pub admin: bool,
    pub unread_notifications: u64,
    pub theme: Theme,
    pub infinite_scroll: bool,
}

/// Which part of the site the page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    Home,
    Explore,
    Create,
    Notifications,
    Profile,
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashKind {
    Done,
    Failed,
}

/// A message about what the person just did.
#[derive(Clone, Debug)]
pub struct Flash {
    pub kind: FlashKind,
    pub text: String,
    /// URL to POST to.
    pub undo_url: Option<String>,
    /// Where to look at it: (URL, words).
    pub link: Option<(String, String)>,
}

impl Flash {
    pub fn done(text: impl Into<String>) -> Flash {
        Flash { kind: FlashKind::Done, text: text.into(), undo_url: None, link: None }
    }

    pub fn failed(text: impl Into<String>) -> Flash {
        Flash { kind: FlashKind::Failed, text: text.into(), undo_url: None, link: None }
    }

    pub fn with_undo(mut self, url: impl Into<String>) -> Flash {
        self.undo_url = Some(url.into());
        self
    }
}

/// What other sites and search engines show of a page. URLs are absolute.
#[derive(Clone, Debug)]
pub struct Meta {
    pub description: String,
    pub canonical_url: String,
    pub image_url: Option<String>,
}

/// Everything before a page's own content.
#[derive(Template)]
#[template(path = "parts/top.html")]
pub struct Top<'a> {
    page: &'a Page,
}

/// Everything after it.
#[derive(Template)]
#[template(path = "parts/bottom.html")]
pub struct Bottom<'a> {
    page: &'a Page,
}

impl HtmlSafe for Top<'_> {}
impl HtmlSafe for Bottom<'_> {}

impl Page {
    pub fn top(&self) -> Top<'_> {
        Top { page: self }
    }

    pub fn bottom(&self) -> Bottom<'_> {
        Bottom { page: self }
    }

    /// Says whether this is the page of the nav entry, for aria-current.
    pub fn at(&self, nav: Nav) -> bool {
        self.nav == nav
    }

    fn theme_name(&self) -> &'static str {
        match self.viewer.as_ref().map(|viewer| viewer.theme) {
            Some(Theme::Light) => "light",
            Some(Theme::Dark) => "dark",
            _ => "system",
        }
    }

    fn infinite_scroll(&self) -> bool {
        self.viewer.as_ref().is_none_or(|viewer| viewer.infinite_scroll)
    }
}
