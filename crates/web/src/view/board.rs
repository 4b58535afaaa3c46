//! Boards and sections as people look at them, and the mode in which their owners put them in order.

use askama::Template;
use model::object::{BoardOrder, Privacy};
use model::{BoardId, SectionId};

use super::card::{Cards, Empty};
use super::form::Pressed;
use super::page::Page;
use super::picture::{Person, Picture, RichText};
use super::pin_edit::{BoardSelect, board_select};
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "board/board.html")]
pub struct BoardPage {
    pub page: Page,
    pub board: BoardHeader,
    /// Set on the page of one section.
    pub section: Option<SectionRef>,
    pub sections: Vec<SectionTile>,
    pub cards: Cards,
}

#[derive(Clone, Debug)]
pub struct BoardHeader {
    pub id: BoardId,
    pub name: String,
    pub url: String,
    pub description: RichText,
    pub privacy: Privacy,
    pub archived: bool,
    pub order: BoardOrder,
    pub owner: Person,
    pub collaborators: Vec<Person>,
    pub pin_count: u64,
    pub follower_count: u64,
    /// `None` for the owner.
    pub follow: Option<Pressed>,
    /// Offered to people who follow the owner.
    pub leave_out: Option<Pressed>,
    pub rights: BoardRights,
}

/// What the viewer may do with the board; each one includes what a collaborator's role says.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoardRights {
    pub add: bool,
    pub edit: bool,
    /// Rename, merge, archive, delete, invite.
    pub own: bool,
    pub leave: bool,
    pub report: bool,
}

#[derive(Clone, Debug)]
pub struct SectionRef {
    pub id: SectionId,
    pub name: String,
    pub url: String,
    pub pin_count: u64,
}

#[derive(Clone, Debug)]
pub struct SectionTile {
    pub id: SectionId,
    pub name: String,
    pub url: String,
    pub pin_count: u64,
    pub covers: Vec<Picture>,
}

impl BoardPage {
    fn empty(&self) -> Empty {
        if self.board.rights.add {
            let url = format!("/create?board={}", self.board.id);
            Empty::new("board", "Nothing pinned here yet", "Save pins you come across to this board, or add pictures of your own.")
                .with_action(url, "Add pictures")
        } else {
            Empty::new("board", "Nothing pinned here yet", "Follow the board to see in your feed when there is.")
        }
    }

    fn url(&self) -> &str {
        self.section.as_ref().map_or(&self.board.url, |section| &section.url)
    }
}

/// A board in organise mode: pins as small tiles to drag, move by buttons, or select.
///
/// `order_url`: POST id and `after` (an id, empty for the first place) or `direction` (up, down).
/// `/board/{id}/organise`: POST pin (many) and `action` (move with `to`, copy with `to`, delete).
#[derive(Clone, Debug, Template)]
#[template(path = "board/organise.html")]
pub struct Organise {
    pub page: Page,
    pub board: BoardHeader,
    pub section: Option<SectionRef>,
    pub pins: Vec<OrganisePin>,
    pub next_url: Option<String>,
    pub order_url: String,
    /// Order of the sections, for the list above the pins.
    pub sections: Vec<SectionTile>,
    pub sections_order_url: String,
    pub boards: Vec<super::pin::BoardChoice>,
}

impl Organise {
    fn board_select(&self) -> BoardSelect<'_> {
        board_select(&self.boards, Some(self.board.id), None, "chosen-to", "To")
    }
}

#[derive(Clone, Debug)]
pub struct OrganisePin {
    pub id: model::PinId,
    pub title: String,
    pub picture: Picture,
}
