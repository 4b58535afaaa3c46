//! Pin, board and person cards, their grids, and the fragments that grow them.
//!
//! A list type renders as its items followed by the link to the next page: that is the fragment that scripts ask for. `grid()` puts
//! the container around it, for the page itself.

use askama::Template;
use askama::filters::HtmlSafe;
use model::object::Privacy;
use model::{BoardId, PinId};

use super::form::Pressed;
use super::picture::{Person, Picture, Time};
use super::ui;

/// A pin in a grid.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/pin_card.html")]
pub struct PinCard {
    pub id: PinId,
    pub title: String,
    pub picture: Picture,
    /// Both empty without a link.
    pub domain: String,
    pub link: String,
    pub owner: Person,
    /// Name and URL of the board; `None` where it is known from the page.
    pub board: Option<(String, String)>,
    pub liked: bool,
    /// The viewer's board that already holds it.
    pub saved_on: Option<String>,
    /// "Because you follow Ada".
    pub why: Option<String>,
}

impl HtmlSafe for PinCard {}

/// A page of pins.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/cards.html")]
pub struct Cards {
    pub pins: Vec<PinCard>,
    /// Where the next page is; `None` at the true end.
    pub next_url: Option<String>,
}

/// Pins as masonry.
#[derive(Template)]
#[template(path = "parts/grid.html")]
pub struct Grid<'a> {
    cards: &'a Cards,
}

impl HtmlSafe for Cards {}
impl HtmlSafe for Grid<'_> {}

impl Cards {
    pub fn grid(&self) -> Grid<'_> {
        Grid { cards: self }
    }

    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }
}

/// A board with a collage of its pins.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/board_card.html")]
pub struct BoardCard {
    pub id: BoardId,
    pub name: String,
    pub url: String,
    /// `None` on its owner's own profile.
    pub owner: Option<Person>,
    pub pin_count: u64,
    pub section_count: u64,
    /// The first is shown large; up to three.
    pub covers: Vec<Picture>,
    pub privacy: Privacy,
    pub archived: bool,
    /// Others who work on it.
    pub collaborators: Vec<Person>,
    pub updated: Option<Time>,
    pub follow: Option<Pressed>,
}

impl HtmlSafe for BoardCard {}

/// A page of boards. With `order_url` they can be dragged, or moved by buttons.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/board_cards.html")]
pub struct BoardCards {
    pub boards: Vec<BoardCard>,
    pub next_url: Option<String>,
    /// POST id and either `after` (an id, empty for the first place) or `direction` (up, down).
    pub order_url: Option<String>,
}

#[derive(Template)]
#[template(
    source = "<div class=\"boards\" data-grow{% if let Some(url) = cards.order_url %} data-order=\"{{ url }}\"{% endif %}>{{ cards }}</div>",
    ext = "html"
)]
pub struct BoardGrid<'a> {
    cards: &'a BoardCards,
}

impl HtmlSafe for BoardCards {}
impl HtmlSafe for BoardGrid<'_> {}

impl BoardCards {
    pub fn grid(&self) -> BoardGrid<'_> {
        BoardGrid { cards: self }
    }

    pub fn is_empty(&self) -> bool {
        self.boards.is_empty()
    }
}

/// Somebody in a list, with a few of their pictures.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/person_card.html")]
pub struct PersonCard {
    pub person: Person,
    pub about: String,
    pub follower_count: u64,
    pub pin_count: u64,
    /// Recent public pins, up to three.
    pub pictures: Vec<Picture>,
    /// `None` for the viewer's own card.
    pub follow: Option<Pressed>,
    /// "Followed by Grace and 3 others you know".
    pub why: Option<String>,
}

impl HtmlSafe for PersonCard {}

#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/person_cards.html")]
pub struct PersonCards {
    pub people: Vec<PersonCard>,
    pub next_url: Option<String>,
}

#[derive(Template)]
#[template(source = "<div class=\"people\" data-grow>{{ cards }}</div>", ext = "html")]
pub struct PersonGrid<'a> {
    cards: &'a PersonCards,
}

impl HtmlSafe for PersonCards {}
impl HtmlSafe for PersonGrid<'_> {}

impl PersonCards {
    pub fn grid(&self) -> PersonGrid<'_> {
        PersonGrid { cards: self }
    }

    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}

/// A topic that can be followed, with a picture of what it is about.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/topic_tile.html")]
pub struct TopicTile {
    /// Lower case, without '#'.
    pub tag: String,
    pub pin_count: u64,
    pub picture: Option<Picture>,
    pub follow: Option<Pressed>,
}

impl HtmlSafe for TopicTile {}

/// What a page says when there is nothing to show, and what to do about it.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/empty.html")]
pub struct Empty {
    pub icon: &'static str,
    pub title: String,
    pub text: String,
    /// (URL, words)
    pub action: Option<(String, String)>,
}

impl HtmlSafe for Empty {}

impl Empty {
    pub fn new(icon: &'static str, title: impl Into<String>, text: impl Into<String>) -> Empty {
        Empty { icon, title: title.into(), text: text.into(), action: None }
    }

    pub fn with_action(mut self, url: impl Into<String>, words: impl Into<String>) -> Empty {
        self.action = Some((url.into(), words.into()));
        self
    }
}
