//! What a person was shown of a best-first home feed, as the feeds keep it: values and their bytes.
//!
//! ```text
//! window of the feed      newest ─────────────────────────── floor │ older
//! a session's list        ranked: unseen when it began             │ then newest first, from the feed
//!                         frozen: shown before it began            │
//! ```
//!
//! A session is fixed when it begins: what is in its list stands in the same place on every page of it, whatever arrives meanwhile.
//! What it serves is frozen: the next session has it below what is new, in the order in which it was shown.
//!
//! Invariants
//! - Nothing stands twice in a session's list, and all of it is at or above the session's floor; older pages are below it. So a scroll
//!   shows nothing twice.
//! - Bytes that can't be read count as nothing shown: all of this is derived from nothing, and may be lost.

use std::collections::{HashMap, HashSet};

use feeds::{Position, Reason, Target};
use model::{Id, PinId, Timestamp};

use crate::consumers::feeds::target_of;
use crate::ranking::{Ranked, Signal};

/// Bytes that the feeds take for one person. Beyond it the oldest sessions go, then what was frozen first.
const BYTES_MAX: usize = 64 << 10;
/// Sessions that are remembered: tabs and devices in which one person scrolls at once. The one that began first goes.
const SESSIONS_MAX: usize = 4;
/// Pins that stay frozen. What was shown before counts as unseen again if it is still among the newest.
const FROZEN_MAX: usize = 1_000;
const VERSION: u8 = 1;

/// A ranked list that somebody scrolls through. `id` is the instant at which it began, made unique.
#[derive(Clone, PartialEq, Debug)]
pub struct FeedSession {
    pub id: i64,
    /// What was frozen up to here had been shown before it began.
    pub began: u32,
    /// Strictly older than this comes newest first, from the feed; `None`: there is nothing older.
    pub floor: Option<Position>,
    pub ranked: Vec<Ranked>,
}

/// A pin that was shown.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Frozen {
    entry: Ranked,
    /// The session that showed it.
    session: i64,
    /// When in relation to sessions: pages count up.
    page: u32,
}

/// What a person was shown, and the sessions that go on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shown {
    /// The number of the last page that froze something.
    page: u32,
    /// The newest first.
    sessions: Vec<FeedSession>,
    /// The newest session's first; within a session as it was shown.
    frozen: Vec<Frozen>,
}

impl Shown {
    /// Returns the pins that count as shown.
    pub fn frozen(&self) -> HashSet<PinId> {
        self.frozen.iter().map(|frozen| frozen.entry.pin).collect()
    }

    /// Says whether something that this session showed is known.
    pub fn remembers(&self, session: i64) -> bool {
        self.frozen.iter().any(|frozen| frozen.session == session)
    }

    pub fn session(&self, id: i64) -> Option<&FeedSession> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// Returns a session's list: what it ranked, then what had been shown before.
    pub fn list(&self, session: &FeedSession) -> Vec<Ranked> {
        let before = self.frozen.iter().filter(|frozen| frozen.page <= session.began).map(|frozen| frozen.entry);
        let above = before.filter(|entry| session.floor.is_none_or(|floor| (entry.at, entry.pin) >= floor));
        session.ranked.iter().copied().chain(above).collect()
    }

    /// Begins a session. `continued`: it goes on for one that was forgotten, which had shown some of what is frozen, so it repeats none.
    pub fn begin(&mut self, now: Timestamp, ranked: Vec<Ranked>, floor: Option<Position>, continued: bool) -> i64 {
        let newest = self.sessions.iter().map(|session| session.id).chain(self.frozen.iter().map(|frozen| frozen.session)).max();
        let id = newest.map_or(now.0, |newest| now.0.max(newest + 1));
        let began = if continued { 0 } else { self.page };
        self.sessions.insert(0, FeedSession { id, began, floor, ranked });
        self.sessions.truncate(SESSIONS_MAX);
        // What is below all floors is read newest first by everybody.
        let lowest = self.sessions.iter().map(|session| session.floor).min().flatten();
        self.frozen.retain(|frozen| lowest.is_none_or(|lowest| (frozen.entry.at, frozen.entry.pin) >= lowest));
        self.frozen.truncate(FROZEN_MAX);
        id
    }

    /// Freezes what a session showed. Returns whether that changed anything.
    pub fn freeze(&mut self, session: i64, entries: impl IntoIterator<Item = Ranked>) -> bool {
        let known = self.frozen();
        let fresh: Vec<Ranked> = entries.into_iter().filter(|entry| !known.contains(&entry.pin)).collect();
        if fresh.is_empty() {
            return false;
        }
        self.page += 1;
        let (page, at) = (self.page, self.frozen.partition_point(|frozen| frozen.session >= session));
        self.frozen.splice(at..at, fresh.into_iter().map(|entry| Frozen { entry, session, page }));
        self.frozen.truncate(FROZEN_MAX + self.sessions.iter().map(|session| session.ranked.len()).sum::<usize>());
        true
    }

    /// Writes the bytes, leaving out what there is no room for.
    ///
    /// ```text
    /// u8 version │ u32 page │ u16 n, pins × n       u64 pin │ i64 at │ u64 what is followed │ u8 signal
    ///            │ u16 n, sessions × n              i64 id │ u32 began │ u8 is there a floor, i64 at, u64 pin │ u16 n, u16 pin's place × n
    ///            │ u16 n, frozen × n                u16 pin's place │ i64 session │ u32 page
    /// ```
    /// All big endian. A pin's place is its index among the pins, so that sessions which ranked the same ones cost little.
    pub fn encode(&self) -> Vec<u8> {
        let mut shown = self.clone();
        loop {
            let bytes = shown.encode_all();
            if bytes.len() <= BYTES_MAX {
                return bytes;
            }
            if shown.sessions.len() > 1 {
                shown.sessions.pop();
            } else {
                shown.frozen.truncate(shown.frozen.len() / 2);
            }
        }
    }

    fn encode_all(&self) -> Vec<u8> {
        let (mut places, mut pins) = (HashMap::new(), Vec::new());
        let ranked = self.sessions.iter().flat_map(|session| &session.ranked);
        for entry in ranked.chain(self.frozen.iter().map(|frozen| &frozen.entry)) {
            places.entry(entry.pin).or_insert_with(|| {
                pins.push(*entry);
                (pins.len() - 1) as u16
            });
        }
        let mut out = vec![VERSION];
        out.extend(self.page.to_be_bytes());
        out.extend((pins.len() as u16).to_be_bytes());
        for entry in pins {
            out.extend(entry.pin.as_u64().to_be_bytes());
            out.extend(entry.at.0.to_be_bytes());
            out.extend(followed(entry.reason).as_u64().to_be_bytes());
            out.push(entry.signal as u8);
        }
        out.extend((self.sessions.len() as u16).to_be_bytes());
        for session in &self.sessions {
            out.extend(session.id.to_be_bytes());
            out.extend(session.began.to_be_bytes());
            out.push(u8::from(session.floor.is_some()));
            let (at, pin) = session.floor.map_or((0, 0), |(at, pin)| (at.0, pin.as_u64()));
            out.extend(at.to_be_bytes());
            out.extend(pin.to_be_bytes());
            out.extend((session.ranked.len() as u16).to_be_bytes());
            session.ranked.iter().for_each(|entry| out.extend(places[&entry.pin].to_be_bytes()));
        }
        out.extend((self.frozen.len() as u16).to_be_bytes());
        for frozen in &self.frozen {
            out.extend(places[&frozen.entry.pin].to_be_bytes());
            out.extend(frozen.session.to_be_bytes());
            out.extend(frozen.page.to_be_bytes());
        }
        out
    }

    /// Reads the bytes; what can't be read is nothing.
    pub fn decode(bytes: &[u8]) -> Shown {
        Shown::try_decode(bytes).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Shown> {
        let mut from = Bytes(bytes);
        if from.take::<1>()? != [VERSION] {
            return None;
        }
        let page = u32::from_be_bytes(from.take()?);
        let mut pins = Vec::new();
        for _ in 0..from.count()? {
            let pin = from.pin()?;
            let at = Timestamp(i64::from_be_bytes(from.take()?));
            let reason = reason_of(Id::from_u64(u64::from_be_bytes(from.take()?)).ok()?)?;
            let [signal] = from.take()?;
            pins.push(Ranked { pin, at, reason, signal: signal_of(signal)? });
        }
        let mut sessions = Vec::new();
        for _ in 0..from.count()? {
            let id = i64::from_be_bytes(from.take()?);
            let began = u32::from_be_bytes(from.take()?);
            let [has_floor] = from.take()?;
            let at = Timestamp(i64::from_be_bytes(from.take()?));
            let floor = if has_floor == 1 {
                Some((at, from.pin()?))
            } else {
                from.take::<8>()?;
                None
            };
            let ranked = (0..from.count()?).map(|_| pins.get(from.count()?).copied()).collect::<Option<_>>()?;
            sessions.push(FeedSession { id, began, floor, ranked });
        }
        let mut frozen = Vec::new();
        for _ in 0..from.count()? {
            let entry = *pins.get(from.count()?)?;
            frozen.push(Frozen { entry, session: i64::from_be_bytes(from.take()?), page: u32::from_be_bytes(from.take()?) });
        }
        from.0.is_empty().then_some(Shown { page, sessions, frozen })
    }
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn count(&mut self) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(self.take()?)))
    }

    fn pin(&mut self) -> Option<PinId> {
        PinId::try_from(Id::from_u64(u64::from_be_bytes(self.take()?)).ok()?).ok()
    }
}

fn followed(reason: Reason) -> Id {
    match reason {
        Reason::Person(user) => user.id(),
        Reason::Board(board) => board.id(),
        Reason::Topic(topic) => topic.id(),
    }
}

/// Returns the reason that following this is.
pub(crate) fn reason_of(id: Id) -> Option<Reason> {
    Some(match target_of(id)? {
        Target::User(user) => Reason::Person(user),
        Target::Board(board) => Reason::Board(board),
        Target::Topic(topic) => Reason::Topic(topic),
    })
}

fn signal_of(number: u8) -> Option<Signal> {
    [Signal::Follow, Signal::Owner, Signal::Board, Signal::Popularity].into_iter().find(|signal| *signal as u8 == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BoardId, Shard, TopicId, UserId};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn entry(pin: u64) -> Ranked {
        let reason = match pin % 3 {
            0 => Reason::Person(UserId::new(Shard(2), 7)),
            1 => Reason::Board(BoardId::new(Shard(2), 8)),
            _ => Reason::Topic(TopicId::new(Shard(2), 9)),
        };
        Ranked { pin: PinId::new(Shard(1), pin), at: Timestamp(pin as i64), reason, signal: signal_of((pin % 4) as u8).unwrap() }
    }

    fn entries(pins: impl IntoIterator<Item = u64>) -> Vec<Ranked> {
        pins.into_iter().map(entry).collect()
    }

    fn listed(shown: &Shown, session: i64) -> Vec<u64> {
        shown.list(shown.session(session).unwrap()).iter().map(|entry| entry.pin.id().local()).collect()
    }

    #[test]
    fn what_was_shown_comes_after_what_is_new_in_its_order() {
        let mut shown = Shown::default();
        let first = shown.begin(NOW, entries([5, 9, 1, 3]), None, false);
        assert!(shown.freeze(first, entries([5, 9])) && shown.freeze(first, entries([1])));
        assert!(!shown.freeze(first, entries([9, 5])), "a page that is asked for again");
        let second = shown.begin(NOW, entries([3, 11]), None, false);
        assert!(second > first, "although it is the same instant");
        assert_eq!(listed(&shown, second), [3, 11, 5, 9, 1]);
        assert_eq!(listed(&shown, first), [5, 9, 1, 3], "the first goes on");
        shown.freeze(second, entries([3]));
        shown.freeze(first, entries([3]));
        assert_eq!(listed(&shown, second), [3, 11, 5, 9, 1], "nor does a session change while the other goes on");
        let third = shown.begin(NOW, Vec::new(), None, false);
        assert_eq!(listed(&shown, third), [3, 5, 9, 1]);
    }

    #[test]
    fn what_is_below_the_floor_is_in_no_list() {
        let mut shown = Shown::default();
        let first = shown.begin(NOW, entries([20, 30, 10]), None, false);
        shown.freeze(first, entries([20, 30, 10]));
        let floor = Some((Timestamp(20), entry(20).pin));
        let second = shown.begin(NOW, entries([40]), floor, false);
        assert_eq!(listed(&shown, second), [40, 20, 30], "the floor itself is in the list, what is older is not");
        let continued = shown.begin(NOW, entries([50]), floor, true);
        assert_eq!(listed(&shown, continued), [50]);
        assert!(shown.remembers(first) && !shown.remembers(continued));
        for _ in 0..SESSIONS_MAX {
            shown.begin(NOW, Vec::new(), floor, false);
        }
        assert!(shown.session(first).is_none());
        assert_eq!(shown.frozen().len(), 2, "below every floor nothing is kept");
    }

    #[test]
    fn there_is_always_room() {
        let mut shown = Shown::default();
        for round in 0..20 {
            let session = shown.begin(NOW, entries(round * 400..round * 400 + 400), None, false);
            shown.freeze(session, entries(round * 400..round * 400 + 400));
            let bytes = shown.encode();
            assert!(bytes.len() <= BYTES_MAX, "{}", bytes.len());
            let again = Shown::decode(&bytes);
            assert_eq!(again.session(session), shown.session(session), "the newest session is kept");
        }
        let mut usual = Shown::default();
        for _ in 0..4 {
            let session = usual.begin(NOW, entries(0..400), None, false);
            usual.freeze(session, entries(0..100));
        }
        assert!(usual.encode().len() < 15_000, "four sessions of one window: {}", usual.encode().len());
    }

    proptest! {
        #[test]
        fn round_trips_and_repeats_nothing(steps in prop::collection::vec((0usize..5, 0u64..60, prop::collection::btree_set(0u64..60, 0..12)), 0..30)) {
            let mut shown = Shown::default();
            let mut sessions: Vec<i64> = Vec::new();
            for (what, floor, pins) in steps {
                match (what, sessions.last()) {
                    (0 | 1, _) | (_, None) => {
                        let known = shown.frozen();
                        let floor = (what == 1).then(|| (Timestamp(floor as i64), entry(floor).pin));
                        let unseen = entries(pins).into_iter().filter(|e| !known.contains(&e.pin) && floor.is_none_or(|f| (e.at, e.pin) >= f));
                        let unseen: Vec<_> = unseen.collect();
                        sessions.push(shown.begin(NOW, unseen, floor, false));
                    }
                    _ => {
                        let session = sessions[what * 7 % sessions.len()];
                        let ranked = shown.session(session).map(|session| session.ranked.clone()).unwrap_or_default();
                        shown.freeze(session, ranked.into_iter().take(pins.len()));
                    }
                }
                shown = Shown::decode(&shown.encode());
                for session in &shown.sessions {
                    let list = shown.list(session);
                    let distinct: HashSet<PinId> = list.iter().map(|entry| entry.pin).collect();
                    prop_assert_eq!(distinct.len(), list.len());
                }
                prop_assert_eq!(Shown::try_decode(&shown.encode()), Some(shown.clone()));
            }
        }

        #[test]
        fn never_panics_on_what_is_none(bytes: Vec<u8>) {
            let _ = Shown::decode(&bytes);
            let _ = Shown::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
