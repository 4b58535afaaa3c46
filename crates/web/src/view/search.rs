//! Search results and what helps to refine them.

use askama::Template;

use super::card::{BoardCards, Cards, Empty, PersonCards};
use super::page::Page;
use super::ui;

/// The page of results; the query stands in `page.query`.
#[derive(Clone, Debug, Template)]
#[template(path = "search.html")]
pub struct Search {
    pub page: Page,
    pub results: Results,
    /// What was understood differently from how it was typed ("Showing results for “still life”.").
    pub notes: Vec<String>,
    /// Next words that split the results well.
    pub guides: Vec<Guide>,
    /// Shown while the query is empty.
    pub trending: Vec<String>,
}

/// What the query language offers: an example, and what it finds.
const TIPS: [(&str, &str); 8] = [
    ("\"still life\"", "these words together"),
    ("-winter", "without a word"),
    ("#gardens", "a topic"),
    ("by:ada", "a person's pins"),
    ("board:\"Still life\"", "a board"),
    ("site:example.org", "a web site"),
    ("color:green", "a colour"),
    ("before:2026-01-01", "a time"),
];

#[derive(Clone, Debug)]
pub struct Guide {
    pub text: String,
    pub url: String,
}

#[derive(Clone, Debug)]
pub enum Results {
    Pins(Cards),
    Boards(BoardCards),
    People(PersonCards),
}

impl Search {
    fn kind(&self) -> &'static str {
        match self.results {
            Results::Pins(_) => "pins",
            Results::Boards(_) => "boards",
            Results::People(_) => "people",
        }
    }

    fn is_kind(&self, kind: &str) -> bool {
        kind == self.kind()
    }

    fn is_empty(&self) -> bool {
        match &self.results {
            Results::Pins(cards) => cards.is_empty(),
            Results::Boards(boards) => boards.is_empty(),
            Results::People(people) => people.is_empty(),
        }
    }

    fn empty(&self) -> Empty {
        let title = format!("Nothing found for “{}”", self.page.query);
        Empty::new("search", title, "Try fewer or other words, or look among boards or people.")
    }
}
