//! What was acknowledged: the truth that home feeds are compared with. It asks nobody.
//!
//! What is being changed is marked so before the request leaves, and known again when it was acknowledged. Whatever is being changed may
//! be seen either way; each change has a number of its own, so that what was hidden before and after a read was hidden all along.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const PEOPLE: usize = 6;
/// Each person has one board that stays public, and one that is hidden now and then.
pub const BOARDS: usize = 2;
pub const HIDDEN_BOARD: usize = 1;
/// Two pins whose times may be the same have no order that the ledger knows.
const CLOCK_STEP: Duration = Duration::from_millis(2);

/// Something that is on or off, or being changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    #[default]
    Off,
    On,
    Changing,
}

#[derive(Clone, Debug)]
pub struct Pin {
    pub id: String,
    pub board: usize,
    /// Its time lies between these.
    pub sent: Instant,
    pub acknowledged: Instant,
    pub gone: Switch,
}

/// What one person alone changes.
#[derive(Default)]
pub struct Own {
    pub pins: Vec<Pin>,
    pub is_secret: Switch,
    pub privacy_changes: u64,
}

/// What is between two people; the first of each is what the one with the smaller number does to the other.
#[derive(Default)]
pub struct Between {
    pub follows: [Switch; 2],
    pub blocks: [Switch; 2],
    pub changes: u64,
}

/// Locks are held for moments, but for `turns`: who changes something between two people has their turn until it is acknowledged.
#[derive(Default)]
pub struct Ledger {
    own: [Mutex<Own>; PEOPLE],
    between: [[Mutex<Between>; PEOPLE]; PEOPLE],
    turns: [[Mutex<()>; PEOPLE]; PEOPLE],
}

/// Pins that somebody must not see now, with the numbers of the changes that hid them.
pub type Hidden = HashMap<String, (u64, u64)>;

impl Ledger {
    pub fn own(&self, person: usize) -> MutexGuard<'_, Own> {
        self.own[person].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn between(&self, one: usize, other: usize) -> MutexGuard<'_, Between> {
        self.between[one.min(other)][one.max(other)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn turn(&self, one: usize, other: usize) -> MutexGuard<'_, ()> {
        self.turns[one.min(other)][one.max(other)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives everything that must not be in the home feed of `reader`, because all reasons are acknowledged.
    pub fn hidden_from(&self, reader: usize) -> Hidden {
        let mut hidden = Hidden::new();
        for author in (0..PEOPLE).filter(|author| *author != reader) {
            let (is_away, changes) = {
                let between = self.between(reader, author);
                let follows = between.follows[side(reader, author)];
                (between.blocks.contains(&Switch::On) || follows == Switch::Off, between.changes)
            };
            let own = self.own(author);
            for pin in &own.pins {
                let is_secret = pin.board == HIDDEN_BOARD && own.is_secret == Switch::On;
                // What is in the trash stays there.
                if pin.gone == Switch::On {
                    hidden.insert(pin.id.clone(), (0, 0));
                } else if is_away || is_secret {
                    let of = |hides: bool, changes: u64| if hides { changes + 1 } else { 0 };
                    hidden.insert(pin.id.clone(), (of(is_away, changes), of(is_secret, own.privacy_changes)));
                }
            }
        }
        hidden
    }

    /// Gives every pin of the home feed of `reader`, in no order.
    pub fn feed_of(&self, reader: usize) -> HashMap<String, Pin> {
        let mut feed = HashMap::new();
        let hidden = self.hidden_from(reader);
        for author in (0..PEOPLE).filter(|author| *author != reader) {
            let own = self.own(author);
            feed.extend(own.pins.iter().filter(|pin| !hidden.contains_key(&pin.id)).map(|pin| (pin.id.clone(), pin.clone())));
        }
        feed
    }
}

/// Where `one` stands in what is between two people.
pub fn side(one: usize, other: usize) -> usize {
    usize::from(one > other)
}

/// Finds two pins of a feed of which the later one stands behind the earlier one.
pub fn out_of_order<'a>(feed: &'a [String], pins: &HashMap<String, Pin>) -> Option<(&'a str, &'a str)> {
    let mut oldest: Option<(&str, Instant)> = None;
    for id in feed {
        let Some(pin) = pins.get(id) else { continue };
        if let Some((before, made)) = oldest
            && made + CLOCK_STEP < pin.sent
        {
            return Some((before, id));
        }
        if oldest.is_none_or(|(_, made)| pin.acknowledged < made) {
            oldest = Some((id, pin.acknowledged));
        }
    }
    None
}
