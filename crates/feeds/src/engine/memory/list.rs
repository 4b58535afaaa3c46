//! A bounded list of pins in the order of their time, that knows where it ends.
//!
//! Oldest first, so that a new pin is a push. `floor` is the oldest position down to which the list lacks nothing; below it
//! storage goes on.

use crate::facts::Position;
use crate::limits::LIST_SLACK;

/// Positions in ascending order, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    entries: Vec<Position>,
    floor: Option<Position>,
}

impl List {
    /// Builds a list from what is already in order (a snapshot).
    pub(super) fn from_parts(entries: Vec<Position>, floor: Option<Position>) -> Option<List> {
        let is_ordered = entries.is_sorted_by(|a, b| a < b);
        let is_above_floor = floor.is_none_or(|floor| entries.first().is_none_or(|first| *first >= floor));
        (is_ordered && is_above_floor).then_some(List { entries, floor })
    }

    pub(super) fn entries(&self) -> &[Position] {
        &self.entries
    }

    pub(super) fn floor(&self) -> Option<Position> {
        self.floor
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether a new list would be the same: nothing in it, and storage has nothing for it either.
    pub(super) fn is_blank(&self) -> bool {
        self.entries.is_empty() && self.floor.is_none()
    }

    /// Adds a position where it belongs. What is there already, or older than the floor, changes nothing.
    pub(super) fn insert(&mut self, position: Position, max: usize) {
        match self.entries.last() {
            Some(last) if *last >= position => {
                if self.floor.is_some_and(|floor| position < floor) {
                    return;
                }
                if let Err(index) = self.entries.binary_search(&position) {
                    self.entries.insert(index, position);
                }
            }
            None if self.floor.is_some_and(|floor| position < floor) => return,
            _ => self.entries.push(position),
        }
        if self.entries.len() > max + (max / 16).clamp(1, LIST_SLACK) {
            self.cut(max);
        }
    }

    /// Merges what was read from storage, which lacks nothing down to `floor`.
    pub(super) fn merge(&mut self, more: impl IntoIterator<Item = Position>, floor: Option<Position>, max: usize) {
        self.floor = self.floor.max(floor);
        self.entries.extend(more);
        self.entries.sort_unstable();
        self.entries.dedup();
        let first = self.floor.map_or(0, |floor| self.entries.partition_point(|position| *position < floor));
        self.entries.drain(..first);
        if self.entries.len() > max {
            self.cut(max);
        }
        self.entries.shrink_to_fit();
    }

    fn cut(&mut self, max: usize) {
        self.entries.drain(..self.entries.len() - max);
        self.floor = self.entries.first().copied().or(self.floor);
    }

    /// Removes positions without moving the floor: they stand for nothing any more.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Position) -> bool) {
        self.entries.retain(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PinId, Shard, Timestamp};

    fn at(n: i64) -> Position {
        (Timestamp(n), PinId::new(Shard(0), n as u64))
    }

    #[test]
    fn keeps_the_newest_and_says_where_it_ends() {
        let mut list = List::default();
        for n in [5, 1, 9, 3, 7, 5] {
            list.insert(at(n), 4);
        }
        assert_eq!((list.len(), list.floor()), (5, None), "one more than the limit before it is cut");
        list.insert(at(8), 4);
        assert_eq!((list.entries(), list.floor()), (&[at(5), at(7), at(8), at(9)][..], Some(at(5))));
        list.insert(at(4), 4);
        assert_eq!(list.len(), 4, "storage holds what is below the floor");
        list.retain(|position| *position == at(9));
        list.insert(at(6), 4);
        assert_eq!((list.entries(), list.floor()), (&[at(6), at(9)][..], Some(at(5))));
        list.retain(|_| false);
        list.insert(at(4), 4);
        assert_eq!(list.len(), 0, "an empty list still ends where it ended");
    }

    #[test]
    fn merges_and_keeps_the_higher_floor() {
        let mut list = List::default();
        list.insert(at(6), 4);
        list.merge([at(1), at(6), at(3)], Some(at(2)), 4);
        assert_eq!((list.entries(), list.floor()), (&[at(3), at(6)][..], Some(at(2))));
        list.merge([at(5), at(4), at(2), at(9)], None, 4);
        assert_eq!((list.entries(), list.floor()), (&[at(4), at(5), at(6), at(9)][..], Some(at(4))));
    }
}
