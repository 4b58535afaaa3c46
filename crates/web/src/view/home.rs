//! The home feed, and what the home page is to people who are new or not logged in.

use askama::Template;
use model::object::HomeOrder;

use super::card::{BoardCard, Cards, PersonCard, TopicTile};
use super::page::Page;
use super::ui;

/// POST /settings/home-order: home_order.
#[derive(Clone, Debug, Template)]
#[template(path = "home.html")]
pub struct Home {
    pub page: Page,
    pub order: HomeOrder,
    pub cards: Cards,
    /// Shown when the feed is empty: whom and what to follow.
    pub suggestions: Suggestions,
}

#[derive(Clone, Debug, Default)]
pub struct Suggestions {
    pub people: Vec<PersonCard>,
    pub topics: Vec<TopicTile>,
    pub boards: Vec<BoardCard>,
}

/// The home page of somebody who is not logged in.
#[derive(Clone, Debug, Template)]
#[template(path = "landing.html")]
pub struct Landing {
    pub page: Page,
    /// What this site is for, in its owners' words.
    pub about: String,
    pub cards: Cards,
}
