//! What to ask for before it is known what will be needed: hints, which save rounds, and nothing but rounds hangs on them.
//!
//! ```text
//! head      what somebody's newest page was about the last time     ─▶ asked for behind the feed itself
//! pushed    pins that this process has put into the feed since      ─▶ the same
//! guesses   what pins are about, as far as this process has learnt  ─▶ asked for along with the pins
//! ```
//! Nothing that was answered once is believed again: it is asked for again.

use std::sync::Arc;

use foldhash::HashMap;
use model::{BoardId, PinId, TopicId, UserId};
use parking_lot::Mutex;

use super::hydrate::{Asked, Hydrated, Viewing};
use crate::facts::{PinFacts, Position};

/// Newest pages that are remembered, a kibibyte each, and pins of one: the ranking reads hundreds, and seldom.
const HEADS_MAX: usize = 10_000;
const HEAD_PINS_MAX: usize = 64;
/// Pins noted for somebody who has not come back yet, the newest: a page shows no more.
const PUSHED_MAX: usize = 32;
/// Feeds noted under one lock, so that pages don't wait for a great fan-out.
const PUSHED_STEP: usize = 64;
/// Pins whose guesses are remembered, some hundred bytes each.
const GUESSES_MAX: usize = 50_000;

/// What somebody's newest page was about the last time.
pub(super) struct Head {
    pub(super) viewing: Viewing,
    pub(super) asked: Asked,
    /// How many entries of the feed had to be read for it.
    pub(super) depth: usize,
}

struct Expected {
    head: Arc<Head>,
    pushed: Vec<PinId>,
}

/// The newest pages by viewer. Bounded; whoever is forgotten asks in more rounds.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<UserId, Expected>>);

impl Heads {
    /// Returns the last page, and takes the pins that were pushed since.
    pub(super) fn of(&self, viewer: UserId) -> Option<(Arc<Head>, Vec<PinId>)> {
        let mut heads = self.0.lock();
        let expected = heads.get_mut(&viewer)?;
        Some((expected.head.clone(), std::mem::take(&mut expected.pushed)))
    }

    pub(super) fn keep(&self, head: Head) {
        if head.asked.pins.len() > HEAD_PINS_MAX {
            return;
        }
        let (viewer, head) = (head.viewing.viewer, Arc::new(head));
        let mut heads = self.0.lock();
        if let Some(expected) = heads.get_mut(&viewer) {
            expected.head = head;
            return;
        }
        if heads.len() >= HEADS_MAX {
            heads.clear();
        }
        heads.insert(viewer, Expected { head, pushed: Vec::new() });
    }

    /// Notes that a pin was put into feeds.
    pub(super) fn note_pushed(&self, pin: PinId, followers: &[UserId]) {
        for step in followers.chunks(PUSHED_STEP) {
            let mut heads = self.0.lock();
            for follower in step {
                if let Some(Expected { pushed, .. }) = heads.get_mut(follower) {
                    if pushed.len() == PUSHED_MAX {
                        pushed.remove(0);
                    }
                    pushed.push(pin);
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn forget(&self, viewer: UserId) {
        self.0.lock().remove(&viewer);
    }
}

/// What a pin was about when it was published or read last.
struct Guess {
    owner: UserId,
    board: BoardId,
    /// Who owned the board, if it was somebody else.
    host: Option<UserId>,
    topics: Vec<TopicId>,
}

/// What pins are about: a new pin comes to many. Bounded; what is forgotten is asked for in more rounds.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<PinId, Arc<Guess>>>);

impl Guesses {
    /// Asks for pins, and for what they may be about as far as it is not known.
    pub(super) fn about(&self, pins: Vec<PinId>, known: &Hydrated) -> Asked {
        self.add(Asked::default(), pins, known)
    }

    /// Adds pins and what they may be about to what is asked for.
    pub(super) fn with(&self, asked: &Asked, pins: Vec<PinId>) -> Asked {
        if pins.is_empty() { asked.clone() } else { self.add(asked.clone(), pins, &Hydrated::default()) }
    }

    fn add(&self, mut asked: Asked, pins: Vec<PinId>, known: &Hydrated) -> Asked {
        if !pins.is_empty() {
            let guesses = self.0.lock();
            for guess in pins.iter().filter_map(|pin| guesses.get(pin)) {
                known.want(guess.owner, guess.board, &guess.topics, &mut asked);
                if let Some(host) = guess.host {
                    known.want_of_guest(guess.owner, host, &mut asked);
                }
            }
        }
        asked.pins.extend(pins);
        asked.settled()
    }

    /// Notes what pins turned out to be about.
    pub(super) fn keep(&self, found: &Hydrated, positions: &[Position]) {
        let mut guesses = self.0.lock();
        for facts in found.facts(positions) {
            let host = found.boards.get(&facts.board).map(|board| board.owner);
            set(&mut guesses, facts, host);
        }
    }

    /// Notes what a new pin is about.
    pub(super) fn learn(&self, facts: &PinFacts, host: Option<UserId>) {
        set(&mut self.0.lock(), facts, host);
    }
}

fn set(guesses: &mut HashMap<PinId, Arc<Guess>>, facts: &PinFacts, host: Option<UserId>) {
    let host = host.filter(|host| *host != facts.owner);
    if guesses.get(&facts.pin).is_some_and(|guess| guess.board == facts.board && guess.host == host) {
        return;
    }
    if guesses.len() >= GUESSES_MAX {
        guesses.clear();
    }
    let guess = Guess { owner: facts.owner, board: facts.board, host, topics: facts.topics.clone() };
    guesses.insert(facts.pin, Arc::new(guess));
}
