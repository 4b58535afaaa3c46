//! Lists of associations: how many edges one has, and the newest of them.
//!
//! ```text
//! (assoc, from) ─▶ count · newest edges, as many as are ever shown first          whole: all of them
//! ```
//! A list has no version. It is right because whoever writes one of its edges invalidates it after the commit: that takes back the leases of
//! loads that may have read it before, here (`turn`) and in the second level. A list that the writer's process has, and had before the write
//! began, need not be loaded again for that: it gets the edge ([`Grown`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Assoc, Id};

use crate::cache::Cache;
use crate::engine::{Asked, Cell, Key, Lease, Looked, Refill};
use crate::limits::{ALONE_MS, CELL_MS, CELL_STALE_MS, ENTRY_BYTES, NEAR_MS};
use crate::metrics as names;
use crate::others::Belief;
use crate::shared::{fill, look};
use crate::turns::Turns;

/// An association and the object that it leads from.
pub type ListKey = (Assoc, Id);

/// What is kept of the edges of one association from one object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// How many there are in all.
    pub count: u64,
    /// Ends and sequences, the highest sequence first.
    pub newest: Vec<(Id, i64)>,
}

/// What a write has done to a list: new edges, and those that were moved or added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grown {
    pub list: ListKey,
    /// Ends and sequences of edges that were not there before.
    pub new: Vec<(Id, i64)>,
    /// Ends and sequences of edges that may have been there with another sequence.
    pub moved: Vec<(Id, i64)>,
    /// How many of the newest edges are kept.
    pub kept: usize,
}

impl List {
    /// Returns it as it is after a write, if that can be told.
    fn grown(&self, grown: &Grown) -> Option<List> {
        // Of an edge that is not among these it can't be told whether it was there.
        if !self.is_whole() && !grown.moved.is_empty() {
            return None;
        }
        let place = |(to, sequence): &(Id, i64)| (*sequence, *to);
        let oldest = self.newest.last().filter(|_| !self.is_whole()).map(place);
        let stays = |(to, _): &&(Id, i64)| grown.moved.iter().all(|(moved, _)| moved != to);
        let mut newest: Vec<(Id, i64)> = self.newest.iter().filter(stays).chain(&grown.moved).copied().collect();
        let count = self.count + (newest.len() - self.newest.len() + grown.new.len()) as u64;
        // What lies behind those that are kept is only counted.
        newest.extend(grown.new.iter().filter(|edge| oldest.is_none_or(|oldest| place(edge) > oldest)));
        newest.sort_unstable_by_key(|edge| std::cmp::Reverse(place(edge)));
        newest.truncate(grown.kept);
        Some(List { count, newest })
    }

    /// Tells whether these are all edges.
    pub fn is_whole(&self) -> bool {
        self.newest.len() as u64 >= self.count
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 16 * self.newest.len());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        for (to, sequence) in &self.newest {
            bytes.extend_from_slice(&to.as_u64().to_le_bytes());
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<List> {
        let (words, rest) = bytes.as_chunks::<8>();
        let (count, edges) = words.split_first()?;
        let (edges, odd) = edges.as_chunks::<2>();
        if !rest.is_empty() || !odd.is_empty() {
            return None;
        }
        let edge = |[to, sequence]: &[[u8; 8]; 2]| Some((Id::from_u64(u64::from_le_bytes(*to)).ok()?, i64::from_le_bytes(*sequence)));
        Some(List { count: u64::from_le_bytes(*count), newest: edges.iter().map(edge).collect::<Option<_>>()? })
    }
}

/// Lists in memory, and for how long each is believed.
pub(crate) type Lists = Turns<ListKey, (Arc<List>, Belief)>;

/// Makes room for lists.
pub(crate) fn lists(bytes_max: usize) -> Lists {
    Turns::new(bytes_max, ENTRY_BYTES)
}

fn weight_of(list: &List) -> usize {
    ENTRY_BYTES + size_of::<List>() + list.newest.len() * size_of::<(Id, i64)>()
}

impl Cache {
    /// Reads lists; same order and length as `keys`. `load` is called with those that are not in memory (each once) and answers in their
    /// order; it is called once at most. While another caller loads one, this one waits for it instead.
    pub async fn lists<E, F, Fut>(&self, keys: &[ListKey], load: F) -> Result<Vec<Arc<List>>, E>
    where
        F: FnOnce(Vec<ListKey>) -> Fut,
        Fut: Future<Output = Result<Vec<List>, E>>,
    {
        let inner = &*self.inner;
        let believe = |(list, belief): &(Arc<List>, Belief)| inner.others.believe(*belief, || inner.clock.now()).then(|| list.clone());
        let look = |key: &ListKey| inner.lists.get(key, believe);
        let found: Vec<Option<Arc<List>>> = keys.iter().map(look).collect();
        let missing = found.iter().filter(|found| found.is_none()).count();
        self.count(keys.len() - missing, missing);
        let found = match missing {
            0 => found,
            _ => inner.list_flights.gather(keys, found, look, |wanted| self.load_lists(wanted, load)).await?,
        };
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    async fn load_lists<E, F, Fut>(&self, wanted: Vec<ListKey>, load: F) -> Result<Vec<(ListKey, Arc<List>)>, E>
    where
        F: FnOnce(Vec<ListKey>) -> Fut,
        Fut: Future<Output = Result<Vec<List>, E>>,
    {
        let inner = &*self.inner;
        let generation = inner.generation.load(Ordering::Acquire);
        let (turn, begun) = (inner.lists.begin(), inner.clock.now());
        let mut belief = Belief::FOR_EVER;
        let mut loaded: Vec<(ListKey, Arc<List>)> = Vec::with_capacity(wanted.len());
        let mut leases: Vec<Option<Lease>> = Vec::new();
        let mut left = wanted;
        if let Some(engine) = &inner.engine {
            belief = Belief::of(begun, NEAR_MS);
            let asked = left.iter().map(|(assoc, from)| Asked { key: Key::List(*assoc, *from), held: None, stale_ms: CELL_STALE_MS });
            let looked = look(engine.as_ref(), asked.collect()).await;
            let now = inner.clock.now();
            let silent = |(list, belief): &(Arc<List>, Belief)| inner.others.have_been_silent(*belief, now).then(|| list.clone());
            let (mut away, mut missed) = (0, 0);
            let mut open = Vec::new();
            for (key, looked) in left.iter().zip(looked) {
                let lease = match looked {
                    Looked::Found(Cell { row: Some(row), .. }, None) => match List::decode(&row) {
                        Some(list) => {
                            loaded.push((*key, Arc::new(list)));
                            continue;
                        }
                        None => {
                            metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1);
                            None
                        }
                    },
                    Looked::Found(_, lease) | Looked::Current(lease) => lease,
                    Looked::Lease(lease) | Looked::Busy(lease) => Some(lease),
                    Looked::Away => {
                        // Nobody can be asked; but if nobody else has written, what is in memory is true.
                        if let Some(list) = inner.lists.get(key, silent) {
                            loaded.push((*key, list));
                            continue;
                        }
                        away += 1;
                        None
                    }
                };
                missed += 1;
                open.push(*key);
                leases.push(lease);
            }
            metrics::counter!(names::ENGINE_HITS_TOTAL).increment(loaded.len() as u64);
            metrics::counter!(names::ENGINE_MISSES_TOTAL).increment(missed - away);
            metrics::counter!(names::ENGINE_AWAY_TOTAL).increment(away);
            if away > 0 && away == missed {
                belief = Belief::of(begun, ALONE_MS);
            }
            left = open;
        }
        let known = loaded.len();
        let mut refills = Vec::new();
        if !left.is_empty() {
            metrics::counter!(names::REFILLS_TOTAL).increment(left.len() as u64);
            let answer = load(left.clone()).await;
            let lists = answer.inspect_err(|_| metrics::counter!(names::REFILL_FAILURES_TOTAL).increment(1))?;
            assert_eq!(lists.len(), left.len(), "a loader must answer every list that it was asked for, in order");
            for (index, (key, list)) in left.into_iter().zip(lists).enumerate() {
                if let Some(lease) = leases.get(index).copied().flatten() {
                    let cell = Cell { version: 0, row: Some(list.encode()) };
                    refills.push(Refill { key: Key::List(key.0, key.1), lease, cell, life_ms: CELL_MS });
                }
                loaded.push((key, Arc::new(list)));
            }
        }
        let keep = || {
            for (index, (key, list)) in loaded.iter().enumerate() {
                let belief = if index < known { belief } else { belief.at_first_hand() };
                inner.lists.keep(key, (list.clone(), belief), weight_of(list), turn);
            }
        };
        self.keep_in(generation, keep, || inner.lists.clear());
        if let Some(engine) = &inner.engine {
            fill(engine.as_ref(), refills).await;
        }
        loaded.sort_unstable_by_key(|(key, _)| *key);
        Ok(loaded)
    }

    /// Makes lists in memory grow that were there before the write began; returns those and their turns.
    pub(crate) fn grow_near(&self, began: u64, grown: &[Grown]) -> Vec<(ListKey, u64)> {
        let grow = |grown: &Grown| {
            let with_edges = |(list, belief): &(Arc<List>, Belief)| {
                let list = list.grown(grown)?;
                let weight = weight_of(&list);
                Some(((Arc::new(list), *belief), weight))
            };
            Some((grown.list, self.inner.lists.grow(&grown.list, began, with_edges)?))
        };
        grown.iter().filter_map(grow).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Shard, UserId};

    #[test]
    fn what_was_loaded_later_stays_whatever_ends_later() {
        let lists = lists(1 << 20);
        let (key, of) = ((Assoc::UserHasPins, UserId::new(Shard(3), 1).id()), |count| Arc::new(List { count, newest: Vec::new() }));
        let (slow, _, quick) = (lists.begin(), lists.forget(&key), lists.begin());
        lists.keep(&key, (of(2), Belief::FOR_EVER), 1, quick);
        lists.keep(&key, (of(1), Belief::FOR_EVER), 1, slow);
        assert_eq!(lists.get(&key, |(list, _)| Some(list.count)), Some(2));
    }

    #[test]
    fn a_list_grows_by_new_edges_and_only_a_whole_one_by_those_that_may_have_been_there() {
        let edge = |sequence: i64| (UserId::new(Shard(3), 1_000 - sequence as u64).id(), sequence);
        let list = |count: u64, sequences: &[i64]| List { count, newest: sequences.iter().copied().map(edge).collect() };
        let grown = |new: &[i64], moved: &[(Id, i64)]| Grown {
            list: (Assoc::UserHasPins, UserId::new(Shard(3), 1).id()),
            new: new.iter().copied().map(edge).collect(),
            moved: moved.to_vec(),
            kept: 3,
        };
        assert_eq!(list(2, &[9, 5]).grown(&grown(&[7], &[])), Some(list(3, &[9, 7, 5])));
        assert_eq!(list(3, &[9, 7, 5]).grown(&grown(&[8, 1], &[])), Some(list(5, &[9, 8, 7])), "no more than are kept");
        assert_eq!(list(5, &[9, 8]).grown(&grown(&[7], &[])), Some(list(6, &[9, 8])), "there may be another before it");
        assert_eq!(list(7, &[]).grown(&Grown { kept: 0, ..grown(&[1], &[]) }), Some(list(8, &[])));
        let moved = (edge(5).0, 8);
        assert_eq!(list(2, &[9, 5]).grown(&grown(&[], &[moved])), Some(List { count: 2, newest: vec![edge(9), moved] }));
        assert_eq!(list(1, &[9]).grown(&grown(&[], &[moved])), Some(List { count: 2, newest: vec![edge(9), moved] }));
        assert_eq!(list(3, &[9, 5]).grown(&grown(&[], &[moved])), None);
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_nothing_else_is_read() {
        let edge = |n: u64| (UserId::new(Shard(3), n).id(), n as i64 - 5);
        for list in [List::default(), List { count: 9, newest: vec![edge(2), edge(1)] }, List { count: 1, newest: vec![edge(7)] }] {
            let bytes = list.encode();
            assert_eq!(List::decode(&bytes).as_ref(), Some(&list));
            assert_eq!(List::decode(&bytes[..bytes.len() - 1]), None);
            assert_eq!(List::decode(&[&bytes[..], &[0; 8]].concat()), None, "half an edge");
        }
        assert_eq!(List::decode(&[]), None);
        assert_eq!(List::decode(&[0; 24]), None, "no object has the id 0");
    }
}
