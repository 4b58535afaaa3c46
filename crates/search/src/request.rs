//! What is asked and answered.

use model::{BoardId, Id, PinId, Timestamp, UserId};

use crate::language::Query;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Pins,
    Boards,
    People,
}

impl Kind {
    /// Returns the kind of the ids that hits have.
    pub fn of_ids(self) -> model::id::Kind {
        match self {
            Kind::Pins => model::id::Kind::Pin,
            Kind::Boards => model::id::Kind::Board,
            Kind::People => model::id::Kind::User,
        }
    }
}

/// The order of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Text relevance × saves × freshness.
    #[default]
    Best,
    Newest,
}

/// A search as it comes from a person or a client.
#[derive(Clone, Copy, Debug)]
pub struct SearchRequest<'a> {
    /// The query in the language of [`crate::language`]; anything is allowed.
    pub text: &'a str,
    pub kind: Kind,
    /// Who looks: they find their own secret documents too. `None` finds public ones only.
    pub viewer: Option<UserId>,
    /// Only documents of this person.
    pub owner: Option<UserId>,
    pub order: Order,
    pub offset: usize,
    pub limit: usize,
}

/// A search as engines get it: understood and within limits.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub query: Query,
    pub kind: Kind,
    pub viewer: Option<UserId>,
    pub owner: Option<UserId>,
    pub order: Order,
    pub offset: usize,
    /// At least 1.
    pub limit: usize,
    /// The present, for freshness.
    pub now: Timestamp,
}

/// A document that was found. Scores are comparable within one answer only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub id: Id,
    pub score: f32,
}

/// A page of hits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub hits: Vec<Hit>,
    /// There are hits after these.
    pub more: bool,
    /// What the person should know: what was not understood, what was corrected.
    pub notes: Vec<String>,
}

/// What a suggestion leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuggestionKind {
    /// A search for its text.
    Term,
    /// A person, by id and user name.
    Person(UserId, String),
    Board(BoardId),
    /// A tag; the text is the tag without '#'.
    Topic,
}

/// What could be meant by what was typed so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    pub text: String,
    pub kind: SuggestionKind,
}

/// What similar pins are wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    /// A pin that is in the index and that the viewer may see.
    Pin(PinId),
    /// A pin that is not there yet.
    Text { text: String, tags: Vec<String> },
}

impl From<PinId> for Seed {
    fn from(pin: PinId) -> Seed {
        Seed::Pin(pin)
    }
}

/// A word that narrows a search down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    pub word: String,
    /// The whole text of the narrower search.
    pub query: String,
}

/// The state of the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Documents that can be found.
    pub documents: u64,
    /// Bytes on disk (or in memory for `memory:`).
    pub bytes: u64,
    /// The parts of the index; merges keep them few.
    pub segments: u64,
    /// Changes that wait for their commit.
    pub pending: u64,
    pub committed_offset: Option<i64>,
}
