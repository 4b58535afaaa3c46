//! A person's page and its tabs.

use askama::Template;
use model::UserId;

use super::card::{BoardCards, Cards, Empty, PersonCards};
use super::form::Pressed;
use super::page::Page;
use super::picture::{Person, RichText};
use super::ui;

#[derive(Clone, Debug, Template)]
#[template(path = "profile/profile.html")]
pub struct Profile {
    pub page: Page,
    pub header: ProfileHeader,
    pub tab: ProfileTab,
    pub content: ProfileContent,
}

#[derive(Clone, Debug)]
pub struct ProfileHeader {
    pub person: Person,
    pub about: RichText,
    /// Both empty without a website.
    pub website: String,
    pub website_domain: String,
    pub follower_count: u64,
    pub following_count: u64,
    pub pin_count: u64,
    pub board_count: u64,
    pub like_count: u64,
    /// `None` on the viewer's own profile.
    pub follow: Option<Pressed>,
    pub is_own: bool,
    /// "Follows you".
    pub follows_viewer: bool,
    pub blocked: bool,
    pub muted: bool,
    /// Logged in, and not the viewer's own profile: block, mute and report are offered.
    pub may_block: bool,
    pub suspended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileTab {
    Boards,
    Pins,
    Likes,
    Followers,
    Following,
}

impl ProfileTab {
    /// The last part of the tab's address.
    fn path(self) -> &'static str {
        match self {
            ProfileTab::Boards => "boards",
            ProfileTab::Pins => "pins",
            ProfileTab::Likes => "likes",
            ProfileTab::Followers => "followers",
            ProfileTab::Following => "following",
        }
    }
}

#[derive(Clone, Debug)]
pub enum ProfileContent {
    Boards { boards: BoardCards, archived: Vec<super::card::BoardCard> },
    Pins(Cards),
    People(PersonCards),
}

impl Profile {
    fn id(&self) -> UserId {
        self.header.person.id
    }

    fn is_empty(&self) -> bool {
        match &self.content {
            ProfileContent::Boards { boards, archived } => boards.is_empty() && archived.is_empty(),
            ProfileContent::Pins(cards) => cards.is_empty(),
            ProfileContent::People(people) => people.is_empty(),
        }
    }

    fn tabs(&self) -> [(ProfileTab, &'static str, u64); 3] {
        let header = &self.header;
        [
            (ProfileTab::Boards, "Boards", header.board_count),
            (ProfileTab::Pins, "Pins", header.pin_count),
            (ProfileTab::Likes, "Likes", header.like_count),
        ]
    }

    fn empty(&self) -> Empty {
        let name = &self.header.person.name;
        match (self.tab, self.header.is_own) {
            (ProfileTab::Boards, true) => Empty::new("board", "No boards yet", "A board keeps pins together: a theme, a project, a trip.")
                .with_action("/board/new", "Create a board"),
            (ProfileTab::Boards, false) => Empty::new("board", "No boards yet", format!("{name} has made no public board.")),
            (ProfileTab::Pins, true) => {
                Empty::new("picture", "No pins yet", "Upload pictures, or save what others pinned.").with_action("/create", "Create a pin")
            }
            (ProfileTab::Pins, false) => Empty::new("picture", "No pins yet", format!("{name} has pinned nothing in public.")),
            (ProfileTab::Likes, true) => {
                Empty::new("heart", "Nothing liked yet", "Pins whose heart you press are kept here.").with_action("/explore", "Explore")
            }
            (ProfileTab::Likes, false) => Empty::new("heart", "Nothing liked yet", format!("{name} has liked no public pin.")),
            (ProfileTab::Followers, _) => Empty::new("people", "No followers yet", "People who follow show up here."),
            (ProfileTab::Following, true) => {
                Empty::new("people", "You follow nobody yet", "Follow people to fill your home page.").with_action("/explore", "Explore")
            }
            (ProfileTab::Following, false) => Empty::new("people", "Follows nobody yet", format!("{name} follows nobody so far.")),
        }
    }
}
