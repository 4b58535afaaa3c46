//! A map cut into shards with a lock each, and a hasher for ids.
//!
//! Ids are handed out by the site, not chosen by people, so a plain multiplication spreads them well enough and costs a
//! nanosecond. Maps keyed by what people write use the standard library's keyed hasher instead.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// More shards than threads that meet; few enough that walking all of them costs nothing.
const SHARD_COUNT: usize = 64;

/// Hashes ids by folding a 128-bit product.
#[derive(Clone, Copy, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    /// Only for keys that are more than one id, which are rare here.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
}

pub(super) type IdHash = BuildHasherDefault<IdHasher>;
pub(super) type IdMap<K, V> = HashMap<K, V, IdHash>;

/// A map cut into shards with a lock each.
#[derive(Debug)]
pub(super) struct Sharded<K, V, S = IdHash> {
    shards: Box<[RwLock<HashMap<K, V, S>>]>,
    hash: S,
}

impl<K: Hash + Eq, V, S: BuildHasher + Clone + Default> Default for Sharded<K, V, S> {
    fn default() -> Self {
        let hash = S::default();
        let shards = (0..SHARD_COUNT).map(|_| RwLock::new(HashMap::with_hasher(hash.clone()))).collect();
        Sharded { shards, hash }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Sharded<K, V, S> {
    /// Returns the index of the key's shard. The map inside uses the lowest and the highest bits of the hash, so this uses
    /// the middle ones.
    pub(super) fn index<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        (self.hash.hash_one(key) >> 32) as usize % SHARD_COUNT
    }

    pub(super) fn read<Q: Hash + ?Sized>(&self, key: &Q) -> RwLockReadGuard<'_, HashMap<K, V, S>> {
        self.shards[self.index(key)].read()
    }

    pub(super) fn write<Q: Hash + ?Sized>(&self, key: &Q) -> RwLockWriteGuard<'_, HashMap<K, V, S>> {
        self.shards[self.index(key)].write()
    }

    pub(super) fn shards(&self) -> &[RwLock<HashMap<K, V, S>>] {
        &self.shards
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut map = shard.write();
            map.clear();
            map.shrink_to_fit();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}
