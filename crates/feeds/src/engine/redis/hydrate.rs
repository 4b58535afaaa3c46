//! What a page is about: the facts of pins and boards, and the viewer's edges to them, read in as few rounds as it takes.
//!
//! ```text
//! positions ─▶ pins' facts ─▶ boards' facts, the viewer's edges ─▶ guests and hosts      each asks only for what is not known yet
//! ```
//! What is hinted at (`hints.rs`) is asked for in an earlier round.

use foldhash::{HashMap, HashSet};
use model::{BoardId, Id, PinId, TopicId, UserId};

use super::RedisEngine;
use super::client::Client;
use super::codec::{self, Known};
use super::command::Batch;
use super::graph::{member, members};
use super::keys::{Key, Kind, key};
use super::resp::Value;
use crate::error::Result;
use crate::facts::{BoardFacts, PinFacts, Position, Reason};

/// One page in so many prolongs the life of the facts that it shows.
const PROLONGED_ONE_IN: u64 = 8;

/// What one round asks for: once each when it is settled.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) pins: Vec<PinId>,
    pub(super) boards: Vec<BoardId>,
    pub(super) people: Vec<UserId>,
    pub(super) topics: Vec<TopicId>,
    /// People on other people's boards: the pins of somebody who is gone went with their boards, but for these.
    pub(super) guests: Vec<UserId>,
}

/// What is known of candidates, and of the viewer's edges to what they are about.
#[derive(Default)]
pub(super) struct Hydrated {
    /// Of whom edges were asked for, whatever the answer.
    people: HashSet<UserId>,
    topics: HashSet<TopicId>,
    guests: HashSet<UserId>,
    pins: HashMap<PinId, Known>,
    pub(super) boards: HashMap<BoardId, BoardFacts>,
    /// People whose pins show nowhere.
    gone: HashSet<UserId>,
    pub(super) edges: Edges,
}

/// The viewer's edges to what a page is about.
#[derive(Default)]
pub(super) struct Edges {
    hidden: HashSet<UserId>,
    users: HashSet<UserId>,
    left_out: HashSet<BoardId>,
    boards: HashSet<BoardId>,
    topics: HashSet<TopicId>,
}

/// A viewer, and which of the viewer's sets hold anything: most people's are empty, and nobody asks for twenty ids in those.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Viewing {
    pub(super) viewer: UserId,
    /// In the order of [`Viewing::SETS`].
    holds: [bool; Viewing::SETS.len()],
}

impl Viewing {
    const SETS: [Kind; 6] = [Kind::LeftOut, Kind::Blocks, Kind::BlockedBy, Kind::Mutes, Kind::Boards, Kind::Topics];
    const HIDING: [Kind; 3] = [Kind::Blocks, Kind::BlockedBy, Kind::Mutes];

    pub(super) fn ask(batch: &mut Batch, viewer: UserId) {
        for kind in Viewing::SETS {
            let count = if matches!(kind, Kind::Boards | Kind::Topics) { "ZCARD" } else { "SCARD" };
            batch.plain(count, &key(kind, viewer), |cmd| cmd);
        }
    }

    pub(super) fn of<'a>(viewer: UserId, answers: &mut impl Iterator<Item = &'a Value>) -> Viewing {
        Viewing { viewer, holds: Viewing::SETS.map(|_| answers.next().is_none_or(|count| count.int() > 0)) }
    }

    fn holds(&self, kind: Kind) -> bool {
        Viewing::SETS.iter().zip(self.holds).any(|(set, holds)| *set == kind && holds)
    }

    /// The sets that keep people away from the viewer.
    fn hiding(&self) -> impl Iterator<Item = Kind> {
        Viewing::HIDING.into_iter().filter(|kind| self.holds(*kind))
    }
}

/// A candidate after hydration.
pub(super) enum Candidate<'a> {
    /// Its facts are gone: memory ends above it.
    Unknown,
    Hidden,
    Shown(&'a PinFacts, BoardFacts),
}

impl Hydrated {
    pub(super) fn candidate(&self, (at, pin): Position) -> Candidate<'_> {
        match self.pins.get(&pin) {
            None => Candidate::Unknown,
            Some(Known::Retracted) => Candidate::Hidden,
            Some(Known::Shown(facts)) if facts.at != at => Candidate::Hidden,
            Some(Known::Shown(facts)) => match self.boards.get(&facts.board) {
                Some(board) if board.listed && !self.gone.contains(&facts.owner) => Candidate::Shown(facts, *board),
                _ => Candidate::Hidden,
            },
        }
    }
}

impl RedisEngine {
    /// Prolongs the life of facts along with what is read, in one page of some.
    pub(super) fn prolong_facts(&self, batch: &mut Batch, pins: &[PinId]) {
        if runtime::once_in(PROLONGED_ONE_IN) {
            pins.iter().for_each(|pin| batch.plain("PEXPIRE", &key(Kind::Pin, *pin), |cmd| cmd.arg(self.facts_ms())));
        }
    }

    /// Reads the facts of pins, and of their boards, as far as they were not read yet. With a viewer also the viewer's edges to what they are
    /// about, in the same round: that a pin's maker owns its board is guessed, and what was guessed wrong is asked for again.
    pub(super) async fn hydrate(&self, viewer: Option<&Viewing>, positions: &[Position], hydrated: &mut Hydrated) -> Result<()> {
        let pins = positions.iter().map(|(_, pin)| *pin).filter(|pin| !hydrated.pins.contains_key(pin)).collect();
        let asked = self.guesses.about(pins, hydrated);
        self.ask(viewer, asked, hydrated).await?;
        let about = hydrated.about(positions);
        self.ask(viewer, about, hydrated).await?;
        let others = hydrated.guests_and_hosts(positions);
        self.ask(viewer, others, hydrated).await?;
        self.guesses.keep(hydrated, positions);
        Ok(())
    }

    async fn ask(&self, viewer: Option<&Viewing>, asked: Asked, hydrated: &mut Hydrated) -> Result<()> {
        let mut batch = Batch::new();
        asked.ask(&self.client, &mut batch, viewer);
        self.prolong_facts(&mut batch, &asked.pins);
        let answers = self.client.read(batch).await?;
        hydrated.take(&self.client, &asked, viewer, &answers);
        Ok(())
    }
}

impl Asked {
    /// Leaves out what is there twice.
    pub(super) fn settled(mut self) -> Asked {
        fn settle<T: Ord>(ids: &mut Vec<T>) {
            ids.sort_unstable();
            ids.dedup();
        }
        settle(&mut self.pins);
        settle(&mut self.boards);
        settle(&mut self.people);
        settle(&mut self.topics);
        settle(&mut self.guests);
        self
    }

    /// Asks for facts, and for the viewer's edges to all of it.
    pub(super) fn ask(&self, client: &Client, batch: &mut Batch, viewer: Option<&Viewing>) {
        let pins: Vec<Key> = self.pins.iter().map(|pin| key(Kind::Pin, *pin)).collect();
        let boards: Vec<Key> = self.boards.iter().map(|board| key(Kind::Board, *board)).collect();
        client.ask_values(batch, &pins);
        client.ask_values(batch, &boards);
        self.guests.iter().for_each(|guest| batch.plain("EXISTS", &key(Kind::Gone, *guest), |cmd| cmd));
        let Some(viewing) = viewer else { return };
        let viewer = viewing.viewer;
        let mut scores = |kind: Kind, ids: &mut dyn ExactSizeIterator<Item = Id>| {
            if ids.len() > 0 {
                batch.plain("ZMSCORE", &key(kind, viewer), |cmd| ids.fold(cmd, |cmd, id| cmd.arg(&member(id)[..])));
            }
        };
        scores(Kind::Users, &mut self.people.iter().map(|person| person.id()));
        if viewing.holds(Kind::Boards) {
            scores(Kind::Boards, &mut self.boards.iter().map(|board| board.id()));
        }
        if viewing.holds(Kind::Topics) {
            scores(Kind::Topics, &mut self.topics.iter().map(|topic| topic.id()));
        }
        if viewing.holds(Kind::LeftOut) && !self.boards.is_empty() {
            members(batch, key(Kind::LeftOut, viewer), self.boards.iter().map(|board| board.id()));
        }
        if !self.people.is_empty() {
            for kind in viewing.hiding() {
                members(batch, key(kind, viewer), self.people.iter().map(|person| person.id()));
            }
        }
    }
}

impl Hydrated {
    /// Takes in the answers to [`Asked::ask`].
    pub(super) fn take(&mut self, client: &Client, asked: &Asked, viewer: Option<&Viewing>, answers: &[Value]) {
        let (pins, answers) = client.values(answers, asked.pins.len());
        let (boards, answers) = client.values(answers, asked.boards.len());
        let pins = asked.pins.iter().zip(pins);
        self.pins.extend(pins.filter_map(|(pin, answer)| Some((*pin, codec::known(*pin, answer.bytes()?)?))));
        let boards = asked.boards.iter().zip(boards);
        self.boards.extend(boards.filter_map(|(board, answer)| Some((*board, codec::board(answer.bytes()?)?))));
        let (gone, answers) = answers.split_at(asked.guests.len());
        self.gone.extend(asked.guests.iter().zip(gone).filter(|(_, gone)| gone.int() == 1).map(|(guest, _)| *guest));
        if let Some(viewer) = viewer {
            let mut answers = answers.iter();
            let nothing = &Value::Nil;
            let mut next = |is_asked: bool| if is_asked { answers.next().unwrap_or(nothing) } else { nothing };
            self.edges.users.extend(marked(&asked.people, next(!asked.people.is_empty())));
            self.edges.boards.extend(marked(&asked.boards, next(viewer.holds(Kind::Boards) && !asked.boards.is_empty())));
            self.edges.topics.extend(marked(&asked.topics, next(viewer.holds(Kind::Topics) && !asked.topics.is_empty())));
            self.edges.left_out.extend(marked(&asked.boards, next(viewer.holds(Kind::LeftOut) && !asked.boards.is_empty())));
            for _ in viewer.hiding() {
                self.edges.hidden.extend(marked(&asked.people, next(!asked.people.is_empty())));
            }
        }
        self.people.extend(&asked.people);
        self.topics.extend(&asked.topics);
        self.guests.extend(&asked.guests);
    }

    pub(super) fn facts<'a>(&'a self, positions: &'a [Position]) -> impl Iterator<Item = &'a PinFacts> {
        positions.iter().filter_map(|(_, pin)| if let Some(Known::Shown(facts)) = self.pins.get(pin) { Some(facts) } else { None })
    }

    /// Returns what pins are about and was not asked for.
    pub(super) fn about(&self, positions: &[Position]) -> Asked {
        let mut about = Asked::default();
        for facts in self.facts(positions) {
            self.want(facts.owner, facts.board, &facts.topics, &mut about);
        }
        about.settled()
    }

    /// Adds what is not known of a pin's maker, board and topics.
    pub(super) fn want(&self, owner: UserId, board: BoardId, topics: &[TopicId], asked: &mut Asked) {
        if !self.boards.contains_key(&board) {
            asked.boards.push(board);
        }
        if !self.people.contains(&owner) {
            asked.people.push(owner);
        }
        asked.topics.extend(topics.iter().filter(|topic| !self.topics.contains(topic)));
    }

    /// Adds what is not known of somebody on another's board.
    pub(super) fn want_of_guest(&self, guest: UserId, host: UserId, asked: &mut Asked) {
        if !self.guests.contains(&guest) {
            asked.guests.push(guest);
        }
        if !self.people.contains(&host) {
            asked.people.push(host);
        }
    }

    /// Returns whom only the boards tell of: those on boards of others, and the owners of these.
    pub(super) fn guests_and_hosts(&self, positions: &[Position]) -> Asked {
        let mut others = Asked::default();
        for facts in self.facts(positions) {
            let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) else { continue };
            self.want_of_guest(facts.owner, board.owner, &mut others);
        }
        others.settled()
    }

    /// Notes what pins are about: what the next one who reads them may ask for at once.
    pub(super) fn note(&self, positions: &[Position], seen: &mut Asked) {
        seen.pins.extend(positions.iter().map(|(_, pin)| *pin));
        for facts in self.facts(positions) {
            seen.boards.push(facts.board);
            seen.people.push(facts.owner);
            seen.topics.extend(&facts.topics);
            if let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) {
                seen.people.push(board.owner);
                seen.guests.push(facts.owner);
            }
        }
    }
}

impl Edges {
    /// Decides whether a pin shows to the viewer, and why. Follows are those of the board's owner; who is blocked or muted shows
    /// neither as the pin's maker nor as the board's owner.
    pub(super) fn reason(&self, viewer: UserId, pin: &PinFacts, board: BoardFacts) -> Option<Reason> {
        if pin.owner == viewer || self.hidden.contains(&pin.owner) || self.hidden.contains(&board.owner) {
            return None;
        }
        if self.users.contains(&board.owner) && !self.left_out.contains(&pin.board) {
            return Some(Reason::Person(board.owner));
        }
        if self.boards.contains(&pin.board) {
            return Some(Reason::Board(pin.board));
        }
        pin.topics.iter().find(|topic| self.topics.contains(topic)).map(|topic| Reason::Topic(*topic))
    }
}

/// Returns those of the ids that an answer in their order has a score or a 1 for.
fn marked<'a, T: Copy>(ids: &'a [T], answer: &'a Value) -> impl Iterator<Item = T> + 'a {
    let is_marked = |value: &Value| !matches!(value, Value::Nil | Value::Int(0));
    ids.iter().zip(answer.list()).filter(move |(_, value)| is_marked(value)).map(|(id, _)| *id)
}
