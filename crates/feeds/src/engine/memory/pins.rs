//! What is known about pins, and how they get into feeds.
//!
//! A pin's record is written first, its place in lists second; an entry without a record shows nothing. `gate` is held while
//! a pin goes into lists, so that a sweep that begins meanwhile does not take its record for an unused one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{BoardId, PinId, Timestamp, TopicId, UserId};

use super::edges::EdgeList;
use super::{Memory, SharedList};
use crate::facts::{Cursor, PinFacts, Position, Rest, Target};
use crate::limits::RETRACTED_MS;
use crate::metrics as names;

/// Followers up to which pushing them one by one is cheaper than sorting them by shard first.
const PUSHED_SINGLY_MAX: usize = 64;

/// What is known about one pin.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Shown(Record),
    /// Taken back then; a feed that is being built can't bring it back.
    Retracted(Timestamp),
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) owner: UserId,
    pub(super) board: BoardId,
    pub(super) topics: Box<[TopicId]>,
    pub(super) domain: Option<Arc<str>>,
    /// The sweep's generation in which it was last put into a list.
    pub(super) generation: u32,
}

impl Memory {
    pub(super) fn publish(&self, facts: PinFacts) -> Vec<Rest> {
        let gate = self.gate.read();
        let position = facts.position();
        let domain = (!facts.domain.is_empty()).then(|| self.domain_list(&facts.domain));
        let record = Record {
            at: facts.at,
            owner: facts.owner,
            board: facts.board,
            topics: facts.topics.into_boxed_slice(),
            domain: domain.as_ref().map(|(name, _)| name.clone()),
            generation: *gate,
        };
        let topics = record.topics.clone();
        if self.pins.write(&facts.pin).insert(facts.pin, Known::Shown(record)).is_none() {
            self.pin_count.fetch_add(1, Ordering::Relaxed);
        }
        let max = self.limits.public_entries_max;
        self.everything.write().insert(position, max);
        if let Some((_, list)) = domain {
            list.write().insert(position, max);
        }
        for topic in &topics {
            let list = self.topics.write(topic).entry(*topic).or_default().list.clone();
            list.write().insert(position, max);
        }
        self.fan_out(position, facts.board, &topics, self.limits.fan_out_max)
    }

    /// Puts a pin where the followers of its board and topics find it, of each `max` at most; returns what is left.
    fn fan_out(&self, position: Position, board: BoardId, topics: &[TopicId], max: usize) -> Vec<Rest> {
        let mut sources: Vec<Target> = topics.iter().copied().map(Target::Topic).collect();
        if let Some(owner) = self.mark_pinned(board) {
            sources.extend([Target::User(owner), Target::Board(board)]);
        }
        let (mut followers, mut rests) = (Vec::new(), Vec::new());
        for source in sources {
            match (self.merged_list(source), source) {
                // The list of a merged topic is its public one, which has the pin already.
                (Some(_), Target::Topic(_)) => {}
                (Some(list), _) => list.write().insert(position, self.limits.home_entries_max),
                (None, _) => {
                    let after = self.take_followers(source, Some(board), None, max, &mut followers);
                    rests.extend(after.map(|after| Rest { pin: position.1, source, after: Some(after) }));
                }
            }
        }
        self.push(position, &followers);
        rests
    }

    /// Adds the next `max` followers of a source, newest first, less those who left the board out; returns from where to go on.
    fn take_followers(
        &self,
        source: Target,
        board: Option<BoardId>,
        after: Option<Cursor>,
        max: usize,
        followers: &mut Vec<UserId>,
    ) -> Option<Cursor> {
        let left_out = match source {
            Target::User(_) => board.and_then(|board| Some(self.boards.read(&board).get(&board)?.left_out_by.clone())).unwrap_or_default(),
            _ => EdgeList::default(),
        };
        let mut take = |edges: &EdgeList<UserId>| {
            let (mut taken, mut last) = (0, None);
            for (at, follower) in edges.page(after, max.saturating_add(1)) {
                if taken == max {
                    return last;
                }
                taken += 1;
                last = Some((at, follower.id()));
                if !left_out.contains(follower) {
                    followers.push(follower);
                }
            }
            None
        };
        match source {
            Target::User(user) => self.nodes.read(&user).get(&user).and_then(|node| take(&node.followers)),
            Target::Board(board) => self.boards.read(&board).get(&board).and_then(|board| take(&board.followers)),
            Target::Topic(topic) => self.topics.read(&topic).get(&topic).and_then(|topic| take(&topic.followers)),
        }
    }

    /// Goes on with a fan-out. A source that became merged meanwhile is served all the same: its list lacks this pin.
    pub(super) fn deliver(&self, rest: Rest, limit: usize) -> Option<Rest> {
        let gate = self.gate.read();
        // The entries hold the record from now on, even if a sweep looked for them already.
        let known = self.pins.write(&rest.pin).get_mut(&rest.pin).map(|known| match known {
            Known::Shown(record) => {
                record.generation = *gate;
                let tagged = matches!(rest.source, Target::Topic(topic) if record.topics.contains(&topic));
                Some((record.at, record.board, tagged))
            }
            Known::Retracted(_) => None,
        });
        let mut followers = Vec::new();
        let after = match known {
            Some(None) => return None,
            Some(Some((at, board, tagged))) => {
                let owner = self.boards.read(&board).get(&board).and_then(|board| board.facts).map(|facts| facts.owner);
                let stands = match rest.source {
                    Target::Topic(_) => tagged,
                    Target::Board(source) => source == board && owner.is_some(),
                    Target::User(source) => owner == Some(source),
                };
                if !stands {
                    return None;
                }
                let after = self.take_followers(rest.source, Some(board), rest.after, limit, &mut followers);
                self.push((at, rest.pin), &followers);
                after
            }
            None => {
                let after = self.take_followers(rest.source, None, rest.after, limit, &mut followers);
                followers.into_iter().for_each(|follower| self.widen(follower));
                after
            }
        };
        after.map(|after| Rest { after: Some(after), ..rest })
    }

    /// Notes that the board has pins; returns its owner when the board is known.
    fn mark_pinned(&self, board: BoardId) -> Option<UserId> {
        let known = self.boards.read(&board).get(&board).map(|known| (known.pinned, known.facts));
        match known {
            Some((true, facts)) => facts.map(|facts| facts.owner),
            _ => {
                let mut shard = self.boards.write(&board);
                let known = shard.entry(board).or_default();
                known.pinned = true;
                known.facts.map(|facts| facts.owner)
            }
        }
    }

    /// Puts a position into the feeds in memory of all these people; whoever is named twice has it once. Takes each shard's lock
    /// once for many people.
    fn push(&self, position: Position, followers: &[UserId]) {
        metrics::counter!(names::PUSHES_TOTAL).increment(followers.len() as u64);
        let max = self.limits.home_entries_max;
        if followers.len() <= PUSHED_SINGLY_MAX {
            for follower in followers {
                if let Some(slot) = self.slots.write(follower).get_mut(follower) {
                    slot.push(position, max);
                }
            }
            return;
        }
        let shards = self.slots.shards();
        let mut by_shard: Vec<Vec<UserId>> = vec![Vec::with_capacity(followers.len() / shards.len() * 2); shards.len()];
        for follower in followers {
            by_shard[self.slots.index(follower)].push(*follower);
        }
        for (shard, followers) in shards.iter().zip(by_shard) {
            let mut slots = shard.write();
            if slots.is_empty() {
                continue;
            }
            for follower in followers {
                if let Some(slot) = slots.get_mut(&follower) {
                    slot.push(position, max);
                }
            }
        }
    }

    /// Offers the known pins of a board to all followers again: it shows where it did not. Walks all pins.
    pub(super) fn publish_board(&self, board: BoardId) {
        let _gate = self.gate.read();
        for shard in self.pins.shards() {
            let found: Vec<(Position, Box<[TopicId]>)> = shard
                .read()
                .iter()
                .filter_map(|(pin, known)| match known {
                    Known::Shown(record) if record.board == board => Some(((record.at, *pin), record.topics.clone())),
                    _ => None,
                })
                .collect();
            for (position, topics) in found {
                self.fan_out(position, board, &topics, usize::MAX);
            }
        }
    }

    pub(super) fn retract(&self, pin: PinId) {
        let now = self.clock.now();
        if self.pins.write(&pin).insert(pin, Known::Retracted(now)).is_none() {
            self.pin_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn retract_owned(&self, owner: UserId) {
        let now = self.clock.now();
        for shard in self.pins.shards() {
            for known in shard.write().values_mut() {
                if matches!(known, Known::Shown(record) if record.owner == owner) {
                    *known = Known::Retracted(now);
                }
            }
        }
    }

    /// Learns of a pin that a rebuilt feed holds. What is known already is newer than what the builder read. Returns its place, or
    /// nothing when it was retracted meanwhile.
    pub(super) fn learn(&self, facts: PinFacts, generation: u32) -> Option<Position> {
        let domain = (!facts.domain.is_empty()).then(|| self.domain_name(&facts.domain));
        let now = self.clock.now();
        let mut pins = self.pins.write(&facts.pin);
        match pins.get_mut(&facts.pin) {
            Some(Known::Retracted(then)) if now.since(*then) < RETRACTED_MS => return None,
            Some(Known::Shown(record)) => {
                record.generation = generation;
                return Some((record.at, facts.pin));
            }
            Some(Known::Retracted(_)) => {}
            None => drop(self.pin_count.fetch_add(1, Ordering::Relaxed)),
        }
        let position = facts.position();
        let record =
            Record { at: facts.at, owner: facts.owner, board: facts.board, topics: facts.topics.into_boxed_slice(), domain, generation };
        pins.insert(facts.pin, Known::Shown(record));
        Some(position)
    }

    /// Returns the domain's list, making one if there is none, and its name as shared text.
    fn domain_list(&self, domain: &str) -> (Arc<str>, SharedList) {
        let mut domains = self.domains.write(domain);
        if let Some((name, list)) = domains.get_key_value(domain) {
            return (name.clone(), list.clone());
        }
        let name: Arc<str> = domain.into();
        let list = SharedList::default();
        domains.insert(name.clone(), list.clone());
        (name, list)
    }

    /// Returns a domain's name as shared text, without making a list.
    pub(super) fn domain_name(&self, domain: &str) -> Arc<str> {
        self.domains.read(domain).get_key_value(domain).map_or_else(|| domain.into(), |(name, _)| name.clone())
    }
}
