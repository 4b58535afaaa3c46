//! One person's, board's or topic's edges: a list in the order of time, and above a few edges a map for look-ups.
//!
//! Edges mostly arrive in the order of time, so adding is a push. 16 bytes an edge for the many small lists, about 48 for the
//! few large ones.

use model::{Id, Timestamp};
use std::hash::Hash;

use super::sharded::IdMap;

/// Up to here a scan of the list is faster than a look-up in a map.
const SCANNED_MAX: usize = 16;

/// What setting an edge did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Set {
    Added,
    /// The edge was there with another time: it went and came back, whether or not the going was seen.
    Moved,
    Same,
}

/// Edges from one thing to many, ordered by (time, id).
#[derive(Clone, Debug)]
pub(super) struct EdgeList<K> {
    list: Vec<(Timestamp, K)>,
    at: Option<Box<IdMap<K, Timestamp>>>,
}

impl<K> Default for EdgeList<K> {
    fn default() -> Self {
        EdgeList { list: Vec::new(), at: None }
    }
}

impl<K: Copy + Ord + Hash + Into<Id>> EdgeList<K> {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn contains(&self, key: K) -> bool {
        match &self.at {
            Some(map) => map.contains_key(&key),
            None => self.list.iter().any(|(_, other)| *other == key),
        }
    }

    fn at(&self, key: K) -> Option<Timestamp> {
        match &self.at {
            Some(map) => map.get(&key).copied(),
            None => self.list.iter().find(|(_, other)| *other == key).map(|(at, _)| *at),
        }
    }

    pub(super) fn set(&mut self, key: K, at: Timestamp) -> Set {
        let was = self.at(key);
        match was {
            Some(was) if was == at => return Set::Same,
            Some(was) => self.unlist(was, key),
            None => {}
        }
        match self.list.last() {
            Some(last) if *last > (at, key) => {
                let index = self.list.partition_point(|edge| *edge < (at, key));
                self.list.insert(index, (at, key));
            }
            _ => self.list.push((at, key)),
        }
        match &mut self.at {
            Some(map) => drop(map.insert(key, at)),
            None if self.list.len() > SCANNED_MAX => self.at = Some(Box::new(self.list.iter().map(|(at, key)| (*key, *at)).collect())),
            None => {}
        }
        if was.is_some() { Set::Moved } else { Set::Added }
    }

    /// Removes the edge; tells whether there was one.
    pub(super) fn remove(&mut self, key: K) -> bool {
        let Some(at) = self.at(key) else { return false };
        self.unlist(at, key);
        if let Some(map) = &mut self.at {
            map.remove(&key);
        }
        if self.list.len() <= SCANNED_MAX / 2 {
            self.at = None;
        }
        true
    }

    fn unlist(&mut self, at: Timestamp, key: K) {
        if let Ok(index) = self.list.binary_search(&(at, key)) {
            self.list.remove(index);
        }
    }

    /// Returns the edges in the order of time, oldest first.
    pub(super) fn as_slice(&self) -> &[(Timestamp, K)] {
        &self.list
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.list.iter().map(|(_, key)| *key)
    }

    /// Returns at most `limit` edges older than the cursor, newest first.
    pub(super) fn page(&self, cursor: Option<(Timestamp, Id)>, limit: usize) -> impl Iterator<Item = (Timestamp, K)> + '_ {
        let end = cursor.map_or(self.list.len(), |cursor| self.list.partition_point(|(at, key)| (*at, (*key).into()) < cursor));
        self.list[..end].iter().rev().take(limit).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Shard, UserId};

    #[test]
    fn behaves_the_same_below_and_above_the_map() {
        let user = |n: u64| UserId::new(Shard(1), n);
        let mut edges = EdgeList::default();
        for n in (0..40).rev() {
            assert_eq!(edges.set(user(n), Timestamp(n as i64 / 2)), Set::Added);
        }
        assert_eq!(edges.set(user(7), Timestamp(3)), Set::Same);
        assert_eq!(edges.set(user(7), Timestamp(99)), Set::Moved);
        let newest: Vec<_> = edges.page(None, 3).map(|(_, user)| user).collect();
        assert_eq!(newest, [user(7), user(39), user(38)]);
        let next: Vec<_> = edges.page(Some((Timestamp(19), user(38).id())), 2).map(|(_, user)| user).collect();
        assert_eq!(next, [user(37), user(36)]);
        for n in 0..40 {
            assert!(edges.contains(user(n)) && edges.remove(user(n)) && !edges.contains(user(n)) && !edges.remove(user(n)));
        }
        assert!(edges.is_empty() && edges.at.is_none());
    }
}
