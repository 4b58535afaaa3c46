//! The words: what callers say about boards and pins, and what they are answered. Plain values.

use model::{BoardId, Id, PinId, Timestamp, TopicId, UserId};

/// A place in a feed. Feeds are ordered by the pin's own time, then by its id; "after" a position in a feed means older.
pub type Position = (Timestamp, PinId);

/// A place in a list of follows: when, and who or what.
pub type Cursor = (Timestamp, Id);

/// What can be followed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    User(UserId),
    Board(BoardId),
    Topic(TopicId),
}

impl Target {
    pub fn id(self) -> Id {
        match self {
            Target::User(user) => user.id(),
            Target::Board(board) => board.id(),
            Target::Topic(topic) => topic.id(),
        }
    }
}

/// The kinds of what can be followed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetKind {
    User,
    Board,
    Topic,
}

/// What feeds need to know about a board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BoardFacts {
    pub owner: UserId,
    /// Public and not archived: its pins may stand in feeds.
    pub listed: bool,
}

/// What feeds need to know about a pin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PinFacts {
    pub pin: PinId,
    /// Who made the pin; on a shared board that need not be the board's owner.
    pub owner: UserId,
    pub board: BoardId,
    pub topics: Vec<TopicId>,
    /// The host of its link; empty without one.
    pub domain: String,
    pub at: Timestamp,
}

impl PinFacts {
    pub fn position(&self) -> Position {
        (self.at, self.pin)
    }
}

/// Why a pin stands in a home feed: the first that holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The board's owner is followed and the board is not left out.
    Person(UserId),
    Board(BoardId),
    Topic(TopicId),
}

/// One pin in a home feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub pin: PinId,
    pub at: Timestamp,
    pub reason: Reason,
}

impl Entry {
    pub fn position(&self) -> Position {
        (self.at, self.pin)
    }
}

/// A page of a home feed, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HomePage {
    pub entries: Vec<Entry>,
    /// `Some`: memory ends here; the caller goes on from storage with what is strictly older. `None`: the list goes on after a
    /// full page, and a page that is not full is the true end.
    pub complete_to: Option<Position>,
    /// False: no feed is in memory; the caller builds it from storage and calls `fill`.
    pub present: bool,
}

/// A list that everybody sees alike.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PublicFeed {
    Everything,
    Topic(TopicId),
    Domain(String),
}

/// One pin in a public feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicEntry {
    pub pin: PinId,
    pub at: Timestamp,
    pub owner: UserId,
    pub board: BoardId,
}

/// A page of a public feed, newest first. `complete_to` means what it means in [`HomePage`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PublicPage {
    pub entries: Vec<PublicEntry>,
    pub complete_to: Option<Position>,
}

/// Picks a page of ids: those greater than `after`, in their order.
pub(crate) fn page_of_ids(mut ids: Vec<Id>, after: Option<Id>, limit: usize) -> Vec<Id> {
    ids.sort_unstable();
    ids.retain(|id| after.is_none_or(|after| *id > after));
    ids.truncate(limit);
    ids
}

/// How many follow a person, and how many that person follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub followers: u64,
    pub following_users: u64,
    pub following_boards: u64,
    pub following_topics: u64,
}

/// One end of a follow: who follows, or what is followed, and since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Linked {
    pub target: Target,
    pub at: Timestamp,
}

/// A page of followers or of follows, newest first. `next` is the cursor of the next page; `None` at the end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgePage {
    pub entries: Vec<Linked>,
    pub next: Option<Cursor>,
}

/// What of a fan-out is still to be delivered: the pin, to those followers of the source who come after the cursor. Followers are
/// listed newest first; whoever follows later comes before every cursor, and finds the pin in storage.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rest {
    pub pin: PinId,
    pub source: Target,
    /// `None`: nobody was reached yet.
    pub after: Option<Cursor>,
}

/// What a person keeps away, or is kept away by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Away {
    /// Boards left out of a followed person.
    LeftOut,
    Blocks,
    /// People who block the person.
    BlockedBy,
    Mutes,
}

/// What keeps two people apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relation {
    /// The first blocked the second.
    pub blocks: bool,
    /// The second blocked the first.
    pub blocked_by: bool,
    /// The first muted the second.
    pub muted: bool,
}

impl Relation {
    /// Tells whether one of them blocked the other, whichever.
    pub fn is_blocked(self) -> bool {
        self.blocks || self.blocked_by
    }

    /// Tells whether the first wants to see nothing of the second: blocked either way, or muted.
    pub fn is_hidden(self) -> bool {
        self.is_blocked() || self.muted
    }
}

/// All that stands between two people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    pub relation: Relation,
    /// The first follows the second.
    pub follows: bool,
    /// The second follows the first.
    pub followed_by: bool,
}

/// How much is in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    pub users: u64,
    pub boards: u64,
    /// Follows, boards left out, blocks and mutes, each counted once.
    pub edges: u64,
    /// Home feeds that can be read.
    pub feeds: u64,
    /// Entries of home feeds and of public and merged lists.
    pub entries: u64,
    /// Pins whose facts are known.
    pub pins: u64,
    pub bytes_estimate: u64,
}
