//! The truth that the model knows: everything in maps, every answer by looking at all of it.

use std::collections::{BTreeMap, BTreeSet};

use model::{BoardId, PinId, Timestamp, UserId};

use super::{LIMITS, Subject, USERS, user};
use crate::{BoardFacts, Entry, PinFacts, Position, PublicFeed, Reason, Relation, Standing, Target};

/// What storage says.
#[derive(Clone, Default)]
pub(super) struct Truth {
    pub(super) follows: BTreeMap<(UserId, Target), Timestamp>,
    pub(super) left_out: BTreeSet<(UserId, BoardId)>,
    pub(super) blocks: BTreeSet<(UserId, UserId)>,
    pub(super) mutes: BTreeSet<(UserId, UserId)>,
    pub(super) boards: BTreeMap<BoardId, BoardFacts>,
    pub(super) pins: BTreeMap<PinId, PinFacts>,
}

impl Truth {
    pub(super) fn hides(&self, viewer: UserId, other: UserId) -> bool {
        self.blocks.contains(&(viewer, other)) || self.blocks.contains(&(other, viewer)) || self.mutes.contains(&(viewer, other))
    }

    pub(super) fn standing(&self, one: UserId, other: UserId) -> Standing {
        Standing {
            relation: Relation {
                blocks: self.blocks.contains(&(one, other)),
                blocked_by: self.blocks.contains(&(other, one)),
                muted: self.mutes.contains(&(one, other)),
            },
            follows: self.follows.contains_key(&(one, Target::User(other))),
            followed_by: self.follows.contains_key(&(other, Target::User(one))),
        }
    }

    pub(super) fn reason(&self, viewer: UserId, pin: &PinFacts) -> Option<Reason> {
        let follows = |target| self.follows.contains_key(&(viewer, target));
        let board = self.boards.get(&pin.board).filter(|board| board.listed)?;
        if pin.owner == viewer || self.hides(viewer, pin.owner) || self.hides(viewer, board.owner) {
            return None;
        }
        if follows(Target::User(board.owner)) && !self.left_out.contains(&(viewer, pin.board)) {
            return Some(Reason::Person(board.owner));
        }
        if follows(Target::Board(pin.board)) {
            return Some(Reason::Board(pin.board));
        }
        pin.topics.iter().find(|topic| follows(Target::Topic(**topic))).map(|topic| Reason::Topic(*topic))
    }

    pub(super) fn home(&self, viewer: UserId) -> Vec<Entry> {
        let entry = |pin: &PinFacts| Some(Entry { pin: pin.pin, at: pin.at, reason: self.reason(viewer, pin)? });
        let mut entries: Vec<Entry> = self.pins.values().filter_map(entry).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.position()));
        entries
    }

    pub(super) fn public(&self, feed: &PublicFeed) -> Vec<Position> {
        let belongs = |pin: &&PinFacts| {
            self.boards.get(&pin.board).is_some_and(|board| board.listed)
                && match feed {
                    PublicFeed::Everything => true,
                    PublicFeed::Topic(topic) => pin.topics.contains(topic),
                    PublicFeed::Domain(domain) => pin.domain == *domain,
                }
        };
        let mut positions: Vec<Position> = self.pins.values().filter(belongs).map(PinFacts::position).collect();
        positions.sort_by_key(|position| std::cmp::Reverse(*position));
        positions
    }

    /// What a builder reads: the newest entries, and where they end.
    pub(super) fn build(&self, viewer: UserId) -> (Vec<PinFacts>, Option<Position>) {
        let mut entries: Vec<PinFacts> = self.home(viewer).iter().map(|entry| self.pins[&entry.pin].clone()).collect();
        let goes_on = entries.len() > LIMITS.home_entries_max;
        entries.truncate(LIMITS.home_entries_max);
        let end = entries.last().filter(|_| goes_on).map(PinFacts::position);
        (entries, end)
    }

    pub(super) fn board_followers(&self, board: BoardId) -> u64 {
        let Some(facts) = self.boards.get(&board) else { return 0 };
        let follows = |user, target| self.follows.contains_key(&(user, target));
        let is_follower = |user: &UserId| {
            follows(*user, Target::User(facts.owner)) && !self.left_out.contains(&(*user, board)) || follows(*user, Target::Board(board))
        };
        (0..USERS).map(user).filter(is_follower).count() as u64
    }

    pub(super) fn forget_board(&mut self, board: BoardId) -> Vec<Subject> {
        self.boards.remove(&board);
        let mut subjects: Vec<Subject> = Vec::new();
        for n in 0..USERS {
            if self.follows.remove(&(user(n), Target::Board(board))).is_some() {
                subjects.push(Subject::Follow(user(n), Target::Board(board)));
            }
            if self.left_out.remove(&(user(n), board)) {
                subjects.push(Subject::LeftOut(user(n), board));
            }
        }
        let gone: Vec<PinId> = self.pins.values().filter(|pin| pin.board == board).map(|pin| pin.pin).collect();
        gone.iter().for_each(|pin| drop(self.pins.remove(pin)));
        subjects.extend(gone.into_iter().map(Subject::Pin));
        subjects.push(Subject::Board(board));
        subjects
    }
}
