//! Home feeds and public feeds: read, built, dropped.
//!
//! ```text
//! (none) ──home──▶ Building: collects what is published ──fill──▶ Ready ──widened──▶ Absent, or (none)
//! ```
//!
//! A builder reads storage between `home` and `fill`. When the graph widens meanwhile, what it brings may lack something; so the
//! slot refuses fills until every builder that may have begun before has ended (`BUILD_MS_MAX` after the last miss). Until then
//! the person's pages come from storage.

use std::sync::atomic::{AtomicI64, Ordering};

use model::{Timestamp, UserId};
use parking_lot::RwLockReadGuard;

use super::graph::Node;
use super::list::List;
use super::pins::{Known, Record};
use super::{Memory, SharedList};
use crate::facts::{BoardFacts, Entry, HomePage, PinFacts, Position, PublicEntry, PublicFeed, PublicPage, Reason};
use crate::limits::BUILD_MS_MAX;
use crate::metrics as names;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Absent,
    Building,
    Ready,
}

/// One person's home feed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    pub(super) list: List,
    /// When a page was last read, in milliseconds since 1970.
    pub(super) read_at: AtomicI64,
    /// When a caller was last told that the feed is not here.
    pub(super) missed_at: Timestamp,
    pub(super) refuse_until: Timestamp,
}

impl Slot {
    pub(super) fn ready(list: List, read_at: i64) -> Slot {
        let never = Timestamp(i64::MIN);
        Slot { state: State::Ready, list, read_at: AtomicI64::new(read_at), missed_at: never, refuse_until: never }
    }

    pub(super) fn push(&mut self, position: Position, max: usize) {
        if self.state != State::Absent {
            self.list.insert(position, max);
        }
    }

    /// Tells whether a builder may still be on its way.
    pub(super) fn is_awaited(&self, now: Timestamp) -> bool {
        now.since(self.missed_at) < BUILD_MS_MAX
    }
}

impl Memory {
    /// Drops a person's feed, because there may be more to see than it holds.
    pub(super) fn widen(&self, user: UserId) {
        let now = self.clock.now();
        let mut slots = self.slots.write(&user);
        let Some(slot) = slots.get_mut(&user) else { return };
        if !slot.is_awaited(now) {
            slots.remove(&user);
            return;
        }
        slot.refuse_until = slot.missed_at.plus(BUILD_MS_MAX);
        if slot.state == State::Ready {
            slot.state = State::Absent;
            slot.list = List::default();
        }
    }

    pub(super) fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> HomePage {
        let now = self.clock.now();
        let slots = self.slots.read(&user);
        if let Some(slot) = slots.get(&user).filter(|slot| slot.state == State::Ready) {
            slot.read_at.store(now.0, Ordering::Relaxed);
            return self.home_page(user, &slot.list, before, limit);
        }
        drop(slots);
        self.miss(user, now);
        HomePage::default()
    }

    fn miss(&self, user: UserId, now: Timestamp) {
        let mut slots = self.slots.write(&user);
        let slot = slots.entry(user).or_insert_with(|| Slot { state: State::Absent, ..Slot::ready(List::default(), now.0) });
        slot.missed_at = now;
        if slot.state == State::Absent {
            slot.state = State::Building;
        }
    }

    pub(super) fn fill(&self, user: UserId, mut entries: Vec<PinFacts>, complete_to: Option<Position>) {
        let gate = self.gate.read();
        let max = self.limits.home_entries_max;
        let mut floor = complete_to;
        entries.retain(|facts| complete_to.is_none_or(|end| facts.position() >= end));
        entries.sort_unstable_by_key(|facts| std::cmp::Reverse(facts.position()));
        entries.dedup_by_key(|facts| facts.pin);
        if entries.len() > max {
            entries.truncate(max);
            floor = entries.last().map(PinFacts::position);
        }
        let learned: Vec<Position> = entries.into_iter().filter_map(|facts| self.learn(facts, *gate)).collect();
        let now = self.clock.now();
        let mut slots = self.slots.write(&user);
        let Some(slot) = slots.get_mut(&user).filter(|slot| slot.state == State::Building) else { return };
        if now < slot.refuse_until {
            metrics::counter!(names::FILLS_REFUSED_TOTAL).increment(1);
            return;
        }
        slot.list.merge(learned, floor, max);
        slot.state = State::Ready;
        slot.read_at.store(now.0, Ordering::Relaxed);
        self.home_entry_count.fetch_add(slot.list.len(), Ordering::Relaxed);
    }

    fn home_page(&self, user: UserId, feed: &List, before: Option<Position>, limit: usize) -> HomePage {
        let nodes = self.nodes.read(&user);
        let Some(node) = nodes.get(&user) else { return HomePage { present: true, ..HomePage::default() } };
        let merged = self.merged_for(node);
        let guards: Vec<RwLockReadGuard<'_, List>> = merged.iter().map(|list| list.read()).collect();
        let floor = guards.iter().map(|list| list.floor()).fold(feed.floor(), Option::max);
        let mut heads: Vec<&[Position]> = Vec::with_capacity(1 + guards.len());
        heads.push(older_than(feed.entries(), before));
        heads.extend(guards.iter().map(|list| older_than(list.entries(), before)));

        let mut entries = Vec::with_capacity(limit);
        while let Some(position) = take_newest(&mut heads, floor) {
            if let Some(reason) = self.reason(user, node, position) {
                entries.push(Entry { pin: position.1, at: position.0, reason });
                if entries.len() == limit {
                    return HomePage { entries, complete_to: None, present: true };
                }
            }
        }
        HomePage { entries, complete_to: end_of_memory(floor, before), present: true }
    }

    /// Returns the lists of merged sources that the person follows, in the order of their targets.
    fn merged_for(&self, node: &Node) -> Vec<SharedList> {
        if self.merged_count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.merged.read().iter().filter(|(target, _)| node.follows(**target)).map(|(_, list)| list.clone()).collect()
    }

    /// Tells why a pin shows in the person's feed at this moment; `None`: it does not.
    fn reason(&self, viewer: UserId, node: &Node, position: Position) -> Option<Reason> {
        let pins = self.pins.read(&position.1);
        let Some(Known::Shown(record)) = pins.get(&position.1) else { return None };
        if record.at != position.0 {
            return None;
        }
        reason_of(viewer, node, record, self.board_facts(record)?)
    }

    fn board_facts(&self, record: &Record) -> Option<BoardFacts> {
        self.boards.read(&record.board).get(&record.board)?.facts
    }

    pub(super) fn public(&self, feed: &PublicFeed, before: Option<Position>, limit: usize) -> PublicPage {
        match feed {
            PublicFeed::Everything => self.public_page(&self.everything.read(), before, limit, |_| true),
            PublicFeed::Topic(topic) => {
                let list = self.topics.read(topic).get(topic).map(|topic| topic.list.clone());
                let Some(list) = list else { return PublicPage::default() };
                let list = list.read();
                self.public_page(&list, before, limit, |record| record.topics.contains(topic))
            }
            PublicFeed::Domain(domain) => {
                let list = self.domains.read(domain.as_str()).get(domain.as_str()).cloned();
                let Some(list) = list else { return PublicPage::default() };
                let list = list.read();
                self.public_page(&list, before, limit, |record| record.domain.as_deref() == Some(domain))
            }
        }
    }

    fn public_page(&self, list: &List, before: Option<Position>, limit: usize, belongs: impl Fn(&Record) -> bool) -> PublicPage {
        let mut entries = Vec::with_capacity(limit);
        for (at, pin) in older_than(list.entries(), before).iter().rev().copied() {
            let pins = self.pins.read(&pin);
            let Some(Known::Shown(record)) = pins.get(&pin) else { continue };
            if record.at != at || !belongs(record) || !self.board_facts(record).is_some_and(|board| board.listed) {
                continue;
            }
            entries.push(PublicEntry { pin, at, owner: record.owner, board: record.board });
            if entries.len() == limit {
                return PublicPage { entries, complete_to: None };
            }
        }
        PublicPage { entries, complete_to: end_of_memory(list.floor(), before) }
    }
}

/// Decides whether a pin shows to the viewer, and why. Follows are those of the board's owner; who is blocked or muted shows
/// neither as the pin's maker nor as the board's owner.
fn reason_of(viewer: UserId, node: &Node, pin: &Record, board: BoardFacts) -> Option<Reason> {
    if !board.listed || pin.owner == viewer || node.hides(pin.owner) || node.hides(board.owner) {
        return None;
    }
    if node.users.contains(board.owner) && !node.left_out.contains(pin.board) {
        return Some(Reason::Person(board.owner));
    }
    if node.boards.contains(pin.board) {
        return Some(Reason::Board(pin.board));
    }
    pin.topics.iter().find(|topic| node.topics.contains(**topic)).map(|topic| Reason::Topic(*topic))
}

fn older_than(entries: &[Position], before: Option<Position>) -> &[Position] {
    let end = before.map_or(entries.len(), |before| entries.partition_point(|position| *position < before));
    &entries[..end]
}

/// Takes the newest position of all lists, once, as long as none of them lacks anything there.
fn take_newest(heads: &mut [&[Position]], floor: Option<Position>) -> Option<Position> {
    let newest = *heads.iter().filter_map(|list| list.last()).max()?;
    if floor.is_some_and(|floor| newest < floor) {
        return None;
    }
    for list in heads.iter_mut() {
        if list.last() == Some(&newest) {
            *list = &list[..list.len() - 1];
        }
    }
    Some(newest)
}

/// Returns from where storage goes on: the end of memory, or what was asked for when that is older still.
fn end_of_memory(floor: Option<Position>, before: Option<Position>) -> Option<Position> {
    floor.map(|floor| before.map_or(floor, |before| before.min(floor)))
}
