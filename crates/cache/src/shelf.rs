//! A bounded map: sharded, with second-chance eviction.
//!
//! Reading marks an entry without a write lock. When a shard is over its weight, a hand goes round its ring: a marked entry
//! loses its mark and stays, an unmarked one goes. That is close to least recently used and costs nothing on the hit path.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::quality::RandomState;
use parking_lot::RwLock;

use crate::limits::SHARD_COUNT;

struct Entry<V> {
    value: V,
    weight: usize,
    is_marked: AtomicBool,
}

struct Shard<K, V> {
    map: HashMap<K, Entry<V>, RandomState>,
    ring: Vec<K>,
    hand: usize,
    weight: usize,
}

/// A bounded map. Weights of all entries together stay below the limit, each shard's below its part of it.
pub(crate) struct Shelf<K, V> {
    shards: Box<[RwLock<Shard<K, V>>]>,
    hash: RandomState,
    shard_weight_max: usize,
}

impl<K: Hash + Eq + Clone, V> Shelf<K, V> {
    pub(crate) fn new(weight_max: usize) -> Shelf<K, V> {
        let shard = || RwLock::new(Shard::new());
        Shelf {
            shards: (0..SHARD_COUNT).map(|_| shard()).collect(),
            hash: RandomState::default(),
            shard_weight_max: weight_max.div_ceil(SHARD_COUNT),
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Shard<K, V>> {
        &self.shards[self.hash.hash_one(key) as usize % SHARD_COUNT]
    }

    /// Looks at an entry and marks it as used.
    pub(crate) fn get<Q: Hash + Eq + ?Sized, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
    {
        let shard = self.shard(key).read();
        let entry = shard.map.get(key)?;
        // Written only when it changes, so that readers on several cores don't fight over the line.
        if !entry.is_marked.load(Ordering::Relaxed) {
            entry.is_marked.store(true, Ordering::Relaxed);
        }
        Some(look(&entry.value))
    }

    /// Replaces an entry by what `decide` makes of it, with its weight; `None` keeps what is there. Tells whether it was replaced.
    pub(crate) fn update(&self, key: &K, decide: impl FnOnce(Option<&V>) -> Option<(V, usize)>) -> bool {
        let mut guard = self.shard(key).write();
        let shard = &mut *guard;
        match shard.map.get_mut(key) {
            Some(entry) => {
                let Some((value, weight)) = decide(Some(&entry.value)) else { return false };
                shard.weight = shard.weight - entry.weight + weight;
                entry.value = value;
                entry.weight = weight;
            }
            None => {
                let Some((value, weight)) = decide(None) else { return false };
                shard.ring.push(key.clone());
                shard.weight += weight;
                shard.map.insert(key.clone(), Entry { value, weight, is_marked: AtomicBool::new(false) });
            }
        }
        shard.evict(self.shard_weight_max);
        true
    }

    /// Changes an entry in place; its weight stays.
    pub(crate) fn change<R>(&self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.shard(key).write().map.get_mut(key).map(|entry| change(&mut entry.value))
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write();
            *shard = Shard::new();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().ring.len()).sum()
    }

    pub(crate) fn weight(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().weight).sum()
    }
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    fn new() -> Shard<K, V> {
        Shard { map: HashMap::default(), ring: Vec::new(), hand: 0, weight: 0 }
    }

    fn evict(&mut self, weight_max: usize) {
        while self.weight > weight_max && !self.ring.is_empty() {
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
            let entry = self.map.get_mut(&self.ring[self.hand]).expect("the ring and the map hold the same keys");
            if std::mem::take(entry.is_marked.get_mut()) {
                self.hand += 1;
                continue;
            }
            // The last of the ring takes its place, often the newest: the hand goes on behind it.
            let key = self.ring.swap_remove(self.hand);
            self.hand += 1;
            let gone = self.map.remove(&key).expect("the ring and the map hold the same keys");
            self.weight -= gone.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_weight_and_keeps_what_is_used() {
        let shelf: Shelf<u64, u64> = Shelf::new(SHARD_COUNT * 10);
        for key in 0..10_000 {
            shelf.update(&key, |_| Some((key, 1)));
            shelf.get(&0, |_| ());
            assert!(shelf.weight() <= SHARD_COUNT * 10);
        }
        assert_eq!(shelf.get(&0, |value| *value), Some(0), "what is read all the time stays");
        assert_eq!(shelf.len(), shelf.weight());
        assert_eq!(shelf.get(&1, |_| ()), None, "what is not read goes");
    }

    #[test]
    fn an_entry_heavier_than_everything_does_not_stay() {
        let shelf: Shelf<u64, u64> = Shelf::new(SHARD_COUNT * 10);
        assert!(shelf.update(&1, |_| Some((1, 1_000))));
        assert_eq!((shelf.get(&1, |_| ()), shelf.len(), shelf.weight()), (None, 0, 0));
    }

    #[test]
    fn replacing_changes_the_weight_and_keeping_does_not() {
        let shelf: Shelf<u64, u64> = Shelf::new(1_000);
        shelf.update(&1, |_| Some((1, 5)));
        assert!(shelf.update(&1, |old| old.map(|old| (old + 1, 7))));
        assert!(!shelf.update(&1, |_| None));
        assert_eq!((shelf.get(&1, |value| *value), shelf.weight()), (Some(2), 7));
        shelf.clear();
        assert_eq!((shelf.len(), shelf.weight()), (0, 0));
    }
}
