//! What a page is about: the facts of pins and boards, and the viewer's edges to them, read in as few rounds as it takes.
//!
//! ```text
//! positions ─▶ pins' facts ─▶ boards' facts, the viewer's edges ─▶ guests and hosts      each asks only for what is not known yet
//! guesses   ─▶ the two behind along with the first, for pins that somebody has read before
//! head      ─▶ all of that, as the newest page was the last time, behind the feed itself
//! ```
//! Guesses and heads only say what to ask for: nothing that was answered once is believed again.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::{BoardId, Id, PinId, TopicId, UserId};
use parking_lot::Mutex;

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

/// What one round asks for.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) pins: BTreeSet<PinId>,
    boards: BTreeSet<BoardId>,
    people: BTreeSet<UserId>,
    topics: BTreeSet<TopicId>,
    /// People on other people's boards: the pins of somebody who is gone went with their boards, but for these.
    guests: BTreeSet<UserId>,
}

/// What is known of candidates, and of the viewer's edges to what they are about.
#[derive(Default)]
pub(super) struct Hydrated {
    /// Of whom edges were asked for, whatever the answer.
    people: HashSet<UserId>,
    topics: HashSet<TopicId>,
    guests: HashSet<UserId>,
    pins: HashMap<PinId, Known>,
    boards: HashMap<BoardId, BoardFacts>,
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

/// What somebody's newest page was about the last time.
pub(super) struct Head {
    pub(super) viewing: Viewing,
    pub(super) asked: Asked,
    /// How many entries of the feed had to be read for it.
    pub(super) depth: usize,
}

/// The newest pages by viewer. Bounded; whoever is forgotten asks in more rounds.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<UserId, Arc<Head>>>);

/// Newest pages that are remembered, a kibibyte each, and pins of one: the ranking reads hundreds, and seldom.
const HEADS_MAX: usize = 10_000;
const HEAD_PINS_MAX: usize = 64;

impl Heads {
    pub(super) fn of(&self, viewer: UserId) -> Option<Arc<Head>> {
        self.0.lock().get(&viewer).cloned()
    }

    #[cfg(test)]
    pub(super) fn forget(&self, viewer: UserId) {
        self.0.lock().remove(&viewer);
    }

    pub(super) fn keep(&self, head: Head) {
        if head.asked.pins.len() > HEAD_PINS_MAX {
            return;
        }
        let viewer = head.viewing.viewer;
        let mut heads = self.0.lock();
        if heads.len() >= HEADS_MAX && !heads.contains_key(&viewer) {
            heads.clear();
        }
        heads.insert(viewer, Arc::new(head));
    }
}

/// What a pin was about when somebody read it last.
struct Guess {
    owner: UserId,
    board: BoardId,
    /// Who owned the board, if it was somebody else.
    host: Option<UserId>,
    topics: Vec<TopicId>,
}

/// What pins are about, as far as somebody has read them: a new pin comes to many. Bounded; what is forgotten is asked for in more rounds.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<PinId, Arc<Guess>>>);

/// Pins that are remembered, some hundred bytes each.
const GUESSES_MAX: usize = 50_000;

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
    pub(super) fn prolong_facts(&self, batch: &mut Batch, pins: &BTreeSet<PinId>) {
        if runtime::random_u64().is_multiple_of(PROLONGED_ONE_IN) {
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

impl Guesses {
    /// Asks for pins, and for what they may be about as far as it is not known.
    fn about(&self, pins: BTreeSet<PinId>, known: &Hydrated) -> Asked {
        let mut asked = Asked::default();
        if !pins.is_empty() {
            let guesses = self.0.lock();
            for guess in pins.iter().filter_map(|pin| guesses.get(pin)) {
                known.want(guess.owner, guess.board, &guess.topics, &mut asked);
                if let Some(host) = guess.host {
                    known.want_of_guest(guess.owner, host, &mut asked);
                }
            }
        }
        asked.pins = pins;
        asked
    }

    /// Notes what pins turned out to be about.
    fn keep(&self, found: &Hydrated, positions: &[Position]) {
        let mut guesses = self.0.lock();
        for facts in found.facts(positions) {
            let host = found.boards.get(&facts.board).map(|board| board.owner).filter(|host| *host != facts.owner);
            let is_known = |guess: &Arc<Guess>| guess.board == facts.board && guess.host == host;
            if guesses.get(&facts.pin).is_some_and(is_known) {
                continue;
            }
            if guesses.len() >= GUESSES_MAX {
                guesses.clear();
            }
            let guess = Guess { owner: facts.owner, board: facts.board, host, topics: facts.topics.clone() };
            guesses.insert(facts.pin, Arc::new(guess));
        }
    }
}

impl Asked {
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

    fn facts<'a>(&'a self, positions: &'a [Position]) -> impl Iterator<Item = &'a PinFacts> {
        positions.iter().filter_map(|(_, pin)| if let Some(Known::Shown(facts)) = self.pins.get(pin) { Some(facts) } else { None })
    }

    /// Returns what pins are about and was not asked for.
    pub(super) fn about(&self, positions: &[Position]) -> Asked {
        let mut about = Asked::default();
        for facts in self.facts(positions) {
            self.want(facts.owner, facts.board, &facts.topics, &mut about);
        }
        about
    }

    /// Adds what is not known of a pin's maker, board and topics.
    fn want(&self, owner: UserId, board: BoardId, topics: &[TopicId], asked: &mut Asked) {
        if !self.boards.contains_key(&board) {
            asked.boards.insert(board);
        }
        if !self.people.contains(&owner) {
            asked.people.insert(owner);
        }
        asked.topics.extend(topics.iter().filter(|topic| !self.topics.contains(topic)));
    }

    /// Adds what is not known of somebody on another's board.
    fn want_of_guest(&self, guest: UserId, host: UserId, asked: &mut Asked) {
        if !self.guests.contains(&guest) {
            asked.guests.insert(guest);
        }
        if !self.people.contains(&host) {
            asked.people.insert(host);
        }
    }

    /// Returns whom only the boards tell of: those on boards of others, and the owners of these.
    pub(super) fn guests_and_hosts(&self, positions: &[Position]) -> Asked {
        let mut others = Asked::default();
        for facts in self.facts(positions) {
            let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) else { continue };
            self.want_of_guest(facts.owner, board.owner, &mut others);
        }
        others
    }

    /// Notes what pins are about: what the next one who reads them may ask for at once.
    pub(super) fn note(&self, positions: &[Position], seen: &mut Asked) {
        seen.pins.extend(positions.iter().map(|(_, pin)| *pin));
        for facts in self.facts(positions) {
            seen.boards.insert(facts.board);
            seen.people.insert(facts.owner);
            seen.topics.extend(&facts.topics);
            if let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) {
                seen.people.insert(board.owner);
                seen.guests.insert(facts.owner);
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
fn marked<'a, T: Copy>(ids: &'a BTreeSet<T>, answer: &'a Value) -> impl Iterator<Item = T> + 'a {
    let is_marked = |value: &Value| !matches!(value, Value::Nil | Value::Int(0));
    ids.iter().zip(answer.list()).filter(move |(_, value)| is_marked(value)).map(|(id, _)| *id)
}
