//! What has no version, kept by the order of loads and invalidations.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shelf::Shelf;

enum Known<V> {
    /// What a load brought that began at `begun`, and ended or was grown at `kept`.
    Kept { value: V, begun: u64, kept: u64 },
    /// Invalidated at this turn: what loads bring that began before is not kept.
    Forgotten { turn: u64 },
}

/// Bounded memory of values that loads bring and invalidations take.
pub(crate) struct Turns<K, V> {
    shelf: Shelf<K, Known<V>>,
    /// Counts loads and invalidations, so that their order is known.
    turn: AtomicU64,
    /// What a note of an invalidation weighs.
    note_weight: usize,
}

impl<K: Hash + Eq + Clone, V> Turns<K, V> {
    pub(crate) fn new(weight_max: usize, note_weight: usize) -> Turns<K, V> {
        Turns { shelf: Shelf::new(weight_max), turn: AtomicU64::new(0), note_weight }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, look: impl FnOnce(&V) -> Option<R>) -> Option<R>
    where
        K: Borrow<Q>,
    {
        self.shelf.get(key, |known| match known {
            Known::Kept { value, .. } => look(value),
            Known::Forgotten { .. } => None,
        })?
    }

    /// Begins a load or a write; `keep` and `grow` show the turn that this returns.
    pub(crate) fn begin(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::AcqRel)
    }

    /// Keeps what a load brought, unless it was invalidated since, or a load that began later may have seen more.
    pub(crate) fn keep(&self, key: &K, value: V, weight: usize, begun: u64) {
        self.shelf.update(key, |old| match old {
            Some(Known::Forgotten { turn }) if *turn >= begun => None,
            Some(Known::Kept { begun: other, .. }) if *other > begun => None,
            _ => Some((Known::Kept { value, begun, kept: self.begin() }, weight)),
        });
    }

    /// Makes of what is kept what a write has made of it, when that was all there before the write began and nothing happened to it since;
    /// otherwise forgets it. Loads that began before this are not kept. Returns the turn of what has grown.
    pub(crate) fn grow(&self, key: &K, began: u64, grow: impl FnOnce(&V) -> Option<(V, usize)>) -> Option<u64> {
        let turn = self.begin();
        let mut is_grown = false;
        self.shelf.update(key, |old| {
            let grown = match old {
                Some(Known::Kept { value, kept, .. }) if *kept < began => grow(value),
                _ => None,
            };
            is_grown = grown.is_some();
            Some(match grown {
                Some((value, weight)) => (Known::Kept { value, begun: turn, kept: turn }, weight),
                None => (Known::Forgotten { turn }, self.note_weight),
            })
        });
        // Marked as used, because it must outlive the loads that it stops.
        self.shelf.get(key, |_| ());
        is_grown.then_some(turn)
    }

    /// Keeps loads out that began since it was grown at this turn. What took its place goes.
    pub(crate) fn hold(&self, key: &K, grown: u64) {
        let turn = self.begin();
        let hold = |known: &mut Known<V>| match known {
            Known::Kept { begun, kept, .. } if *kept == grown => {
                *begun = turn;
                true
            }
            _ => false,
        };
        if self.shelf.change(key, hold) != Some(true) {
            self.forget(key);
        }
    }

    pub(crate) fn forget(&self, key: &K) {
        let turn = self.begin();
        self.shelf.update(key, |_| Some((Known::Forgotten { turn }, self.note_weight)));
        // Marked as used, because it must outlive the loads that it stops.
        self.shelf.get(key, |_| ());
    }

    pub(crate) fn clear(&self) {
        self.shelf.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf.len()
    }

    pub(crate) fn weight(&self) -> usize {
        self.shelf.weight()
    }
}
