//! Explore: newest, popular, topics; and the page of one topic.

use askama::Template;

use super::card::{Cards, Empty, TopicTile};
use super::form::Pressed;
use super::page::Page;
use super::ui;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExploreTab {
    Newest,
    Popular,
}

#[derive(Clone, Debug, Template)]
#[template(path = "explore.html")]
pub struct Explore {
    pub page: Page,
    pub tab: ExploreTab,
    pub cards: Cards,
}

#[derive(Clone, Debug, Template)]
#[template(path = "topics.html")]
pub struct Topics {
    pub page: Page,
    pub followed: Vec<TopicTile>,
    pub topics: Vec<TopicTile>,
}

#[derive(Clone, Debug, Template)]
#[template(path = "topic.html")]
pub struct Topic {
    pub page: Page,
    pub tag: String,
    pub pin_count: u64,
    pub follower_count: u64,
    pub follow: Pressed,
    /// Tags that often stand beside this one.
    pub related: Vec<String>,
    pub cards: Cards,
}

impl Topic {
    fn empty(&self) -> Empty {
        Empty::new("tag", "Nothing here yet", "Pins whose description holds this tag show up on this page.")
            .with_action("/create", "Create a pin")
    }
}

impl Explore {
    fn empty(&self) -> Empty {
        Empty::new("compass", "It is quiet here", "Nobody has pinned anything in public yet. Be the first.")
            .with_action("/create", "Create a pin")
    }
}
