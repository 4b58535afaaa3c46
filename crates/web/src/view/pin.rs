//! The page of one pin, its comments, and the picker that saves it to a board.

use askama::Template;
use askama::filters::HtmlSafe;
use model::legal::TakedownReason;
use model::object::Privacy;
use model::{BoardId, CommentId, PinId, SectionId, TakedownId};

use super::card::Cards;
use super::form::{FormErrors, Pressed};
use super::page::Page;
use super::picture::{Person, Picture, RichText, Time};
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "pin/pin.html")]
pub struct PinPage {
    pub page: Page,
    pub pin: PinDetail,
    pub comments: Comments,
    /// More pins like it.
    pub more: Cards,
}

#[derive(Clone, Debug)]
pub struct PinDetail {
    pub id: PinId,
    pub title: String,
    pub description: RichText,
    pub alt_text: String,
    pub picture: Picture,
    /// Both empty without a link.
    pub link: String,
    pub domain: String,
    pub at: Time,
    pub owner: Person,
    pub owner_follower_count: u64,
    /// `None` for the viewer's own pins.
    pub follow: Option<Pressed>,
    pub board: BoardRef,
    pub liked: bool,
    pub like_count: u64,
    /// A few of those who like it, newest first.
    pub likers: Vec<Person>,
    pub save_count: u64,
    pub saved_on: Option<BoardRef>,
    /// Where it was saved from, nearest first: parent, …, the first pin.
    pub sources: Vec<Source>,
    /// The absolute address to share.
    pub share_url: String,
    pub rights: PinRights,
    /// Taken down by an admin; only its owner still sees it, and is told.
    pub hidden: bool,
    /// The record of it; pins that were hidden before there were records have none.
    pub takedown: Option<PinTakedown>,
}

/// Why a pin is hidden, as its page says it.
#[derive(Clone, Debug)]
pub struct PinTakedown {
    pub id: TakedownId,
    pub reason: TakedownReason,
    /// The viewer is the owner.
    pub own: bool,
    pub can_appeal: bool,
}

/// A board in a link.
#[derive(Clone, Debug)]
pub struct BoardRef {
    pub name: String,
    pub url: String,
    pub privacy: Privacy,
    /// Name and URL of the section.
    pub section: Option<(String, String)>,
}

/// A pin further up the chain of saves.
#[derive(Clone, Debug)]
pub struct Source {
    pub url: String,
    pub owner: Person,
    /// Name and URL, unless the viewer may not see the board.
    pub board: Option<(String, String)>,
}

/// What the viewer may do with the pin.
#[derive(Clone, Copy, Debug, Default)]
pub struct PinRights {
    pub edit: bool,
    pub delete: bool,
    pub comment: bool,
    pub report: bool,
    /// Offers a takedown: to admins, of others' pins that show.
    pub take_down: bool,
    /// May make it the cover of its board: (board's id).
    pub cover_of: Option<BoardId>,
}

/// The comments of a pin, with the form to add one.
#[derive(Clone, Debug, Template)]
#[template(path = "pin/comments.html")]
pub struct Comments {
    pub pin: PinId,
    pub count: u64,
    pub comments: Vec<Comment>,
    /// Older comments.
    pub next_url: Option<String>,
    /// Who would write; `None` shows an invitation to log in.
    pub writer: Option<Person>,
    /// What was refused, to be mended: text and why.
    pub refused: Option<(String, String)>,
}

impl HtmlSafe for Comments {}

#[derive(Clone, Debug, Template)]
#[template(path = "pin/comment.html")]
pub struct Comment {
    pub id: CommentId,
    pub pin: PinId,
    pub author: Person,
    pub text: RichText,
    pub at: Time,
    pub liked: bool,
    pub like_count: u64,
    pub may_delete: bool,
    /// Logged in: may reply, like and report.
    pub may_reply: bool,
    pub replies: Vec<Comment>,
    /// The comment under which a reply to this one hangs: itself, or its parent.
    pub thread: CommentId,
}

impl HtmlSafe for Comment {}

/// Boards to save a pin to. Rendered alone it is the fragment for the popover.
#[derive(Clone, Debug, Template)]
#[template(path = "pin/save_picker.html")]
pub struct SavePicker {
    pub pin: PinId,
    /// Shown first: the board that already holds this picture.
    pub already_on: Option<BoardRef>,
    /// Those used last.
    pub recent: Vec<BoardChoice>,
    pub boards: Vec<BoardChoice>,
    pub errors: FormErrors,
    /// Where the form posts to, with its verb: /pin/{id}/save, …/move or …/copy.
    pub action: SaveAction,
}

impl HtmlSafe for SavePicker {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveAction {
    Save,
    Move,
    Copy,
}

impl SaveAction {
    pub fn path(self) -> &'static str {
        match self {
            SaveAction::Save => "save",
            SaveAction::Move => "move",
            SaveAction::Copy => "copy",
        }
    }

    pub fn verb(self) -> &'static str {
        match self {
            SaveAction::Save => "Save",
            SaveAction::Move => "Move",
            SaveAction::Copy => "Copy",
        }
    }
}

/// A board that pins can be put on.
#[derive(Clone, Debug)]
pub struct BoardChoice {
    pub id: BoardId,
    pub name: String,
    pub privacy: Privacy,
    pub cover: Option<Picture>,
    pub sections: Vec<(SectionId, String)>,
    /// Whose board it is, when it is not the viewer's own.
    pub owner_name: Option<String>,
}

/// The picker as a page of its own.
#[derive(Clone, Debug, Template)]
#[template(path = "pin/save_page.html")]
pub struct SavePage {
    pub page: Page,
    pub title: String,
    pub picture: Picture,
    pub picker: SavePicker,
}

impl SavePicker {
    fn verb(&self) -> &'static str {
        self.action.verb()
    }

    fn lists(&self) -> [(&'static str, &[BoardChoice]); 2] {
        [("Used last", &self.recent), ("All boards", &self.boards)]
    }

    fn path(&self) -> &'static str {
        self.action.path()
    }
}
