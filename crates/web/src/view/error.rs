//! Pages that say what went wrong and what to do.

use askama::Template;

use super::page::Page;
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub page: Page,
    pub status: u16,
    /// What is known about it, in a sentence; empty for the usual words.
    pub message: String,
    /// Shown for 500: what to tell the admins.
    pub request_id: String,
}

/// What is shown when there is no network, from the browser's own store.
#[derive(Clone, Debug, Template)]
#[template(path = "offline.html")]
pub struct Offline {
    pub page: Page,
}

impl ErrorPage {
    fn icon(&self) -> &'static str {
        match self.status {
            403 => "lock",
            404 | 410 => "search",
            429 => "clock",
            500.. => "alert",
            _ => "x",
        }
    }

    fn title(&self) -> &'static str {
        match self.status {
            400 | 422 => "That didn't work",
            401 => "Please log in",
            403 => "This is not for you to see",
            404 | 410 => "Nothing is pinned here",
            405 => "That is not how this page works",
            409 => "Somebody was faster",
            413 => "That is too large",
            429 => "A little slower, please",
            503 => "Back in a moment",
            _ => "Something broke on our side",
        }
    }

    fn words(&self) -> &str {
        if !self.message.is_empty() {
            return &self.message;
        }
        match self.status {
            400 | 422 => "The site could not make sense of the request. Go back and try again.",
            401 => "You need an account for this page.",
            403 => "You may need to log in as somebody else, or ask for an invitation.",
            404 | 410 => "The pin, board or person may have been deleted, moved or made secret.",
            405 => "Go back and try it from the page itself.",
            409 => "It was changed while you were looking at it. Reload and try again.",
            413 => "Send something smaller.",
            429 => "You are doing this faster than the site allows. Wait a minute and go on.",
            503 => "The site is busy or starting up. Try again in a moment.",
            _ => "It was written down, and it is not your fault. Try again in a moment.",
        }
    }
}
