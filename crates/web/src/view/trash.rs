//! Deleted pins, until they are gone for good.

use askama::Template;
use model::PinId;

use super::card::Empty;
use super::page::Page;
use super::picture::{Picture, Time};
use super::pin::BoardChoice;

#[derive(Clone, Debug, Template)]
#[template(path = "trash.html")]
pub struct Trash {
    pub page: Page,
    pub pins: Vec<TrashedPin>,
    pub next_url: Option<String>,
}

/// POST /pin/{id}/restore (with `to` if its board is gone) brings it back; /pin/{id}/purge deletes it for ever.
#[derive(Clone, Debug)]
pub struct TrashedPin {
    pub id: PinId,
    pub title: String,
    pub picture: Picture,
    pub board_name: String,
    /// When it will be gone: "in 12 days".
    pub purged: Time,
    /// Boards to choose from when its own is gone; empty while it is there.
    pub restore_to: Vec<BoardChoice>,
}

impl Trash {
    fn empty(&self) -> Empty {
        Empty::new("trash", "The trash is empty", "Pins you delete stay here for 30 days.")
    }
}
