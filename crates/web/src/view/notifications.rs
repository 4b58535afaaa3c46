//! What happened around a person's pins, grouped.

use askama::Template;
use askama::filters::HtmlSafe;

use super::card::Empty;
use super::page::Page;
use super::picture::{Person, Picture, Time};
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "notifications.html")]
pub struct Notifications {
    pub page: Page,
    pub list: NotificationList,
    /// Invitations to boards that wait for an answer.
    pub invitations: Vec<Invitation>,
}

/// A page of notifications; rendered alone it is the fragment that scripts ask for.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/notification_list.html")]
pub struct NotificationList {
    pub groups: Vec<NotificationGroup>,
    pub next_url: Option<String>,
}

impl HtmlSafe for NotificationList {}

/// Notifications of one kind about one subject: "Ada, Grace and 3 others liked Still life".
#[derive(Clone, Debug)]
pub struct NotificationGroup {
    pub unread: bool,
    /// Those it is about, newest first: up to three are named.
    pub people: Vec<Person>,
    pub other_count: u64,
    /// What they did: "liked", "saved your pin to", …
    pub verb: String,
    /// What it was done to: (words, URL); empty words for none.
    pub subject: Option<(String, String)>,
    /// What was written, if something was.
    pub quote: Option<String>,
    pub picture: Option<Picture>,
    /// Where a click leads.
    pub url: String,
    /// One of heart, save, comment, person, board, at, shield.
    pub icon: &'static str,
    pub at: Time,
}

/// POST /board/{id}/invitation with `answer` accept or decline.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub board: model::BoardId,
    pub board_name: String,
    pub board_url: String,
    pub from: Person,
    /// "add pins to", "look at", …
    pub allows: String,
    pub at: Time,
}

impl Notifications {
    fn empty(&self) -> Empty {
        Empty::new("bell", "All quiet", "When somebody follows you, likes or saves a pin of yours, or writes to you, you read it here.")
    }
}
