//! One load per key: whoever comes first leads, the others wait for it.
//!
//! A flight covers all keys that its leader lacks, and keys are claimed all at once or not at all. Nobody waits while holding
//! a flight, so flights can't wait for each other. A flight ends when its guard goes, whatever the reason.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::limits::{WAIT_MS_MAX, WAIT_ROUNDS_MAX};
use crate::metrics as names;

pub(crate) struct Flights<K> {
    /// The receiver learns of the end by the sender's going.
    by_key: Mutex<HashMap<K, watch::Receiver<()>>>,
}

/// What came of asking for a flight.
pub(crate) enum Joined<'a, K: Hash + Eq + Clone> {
    /// The caller loads; it ends the flight by dropping the guard.
    Lead(Flight<'a, K>),
    /// Others load some of the keys; they are to be waited for.
    Wait(Vec<watch::Receiver<()>>),
}

/// A flight that the holder leads.
pub(crate) struct Flight<'a, K: Hash + Eq + Clone> {
    flights: &'a Flights<K>,
    keys: Vec<K>,
    _end: watch::Sender<()>,
}

impl<K: Hash + Eq + Clone> Default for Flights<K> {
    fn default() -> Self {
        Flights { by_key: Mutex::default() }
    }
}

impl<K: Hash + Eq + Clone> Flights<K> {
    /// Claims all keys, or tells whom to wait for. With `is_forced`, claims those that nobody loads and leads in any case.
    pub(crate) fn join(&self, keys: &[K], is_forced: bool) -> Joined<'_, K> {
        let mut by_key = self.by_key.lock();
        let mut others: Vec<watch::Receiver<()>> = Vec::new();
        for key in keys {
            if let Some(other) = by_key.get(key)
                && !others.iter().any(|seen| seen.same_channel(other))
            {
                others.push(other.clone());
            }
        }
        if !others.is_empty() && !is_forced {
            return Joined::Wait(others);
        }
        let (end, receiver) = watch::channel(());
        let keys: Vec<K> = keys.iter().filter(|key| !by_key.contains_key(*key)).cloned().collect();
        by_key.extend(keys.iter().map(|key| (key.clone(), receiver.clone())));
        Joined::Lead(Flight { flights: self, keys, _end: end })
    }

    /// Answers keys, same order and length. `look` finds what is in memory. What is not, one caller loads: `load` gets such keys, sorted and
    /// each once, answers them sorted, and is called once at most. Callers that lack the same wait for it, and then look again.
    pub(crate) async fn gather<V, E, F, Fut>(
        &self,
        keys: &[K],
        mut found: Vec<Option<V>>,
        look: impl Fn(&K) -> Option<V>,
        load: F,
    ) -> Result<Vec<Option<V>>, E>
    where
        K: Ord,
        V: Clone,
        F: FnOnce(Vec<K>) -> Fut,
        Fut: Future<Output = Result<Vec<(K, V)>, E>>,
    {
        let look_again = |found: &mut Vec<Option<V>>| {
            for (key, place) in keys.iter().zip(found) {
                *place = place.take().or_else(|| look(key));
            }
        };
        let mut round = 0;
        loop {
            let mut wanted: Vec<K> = keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| key.clone()).collect();
            if wanted.is_empty() {
                return Ok(found);
            }
            wanted.sort_unstable();
            wanted.dedup();
            let joined = self.join(&wanted, round >= WAIT_ROUNDS_MAX);
            // Who led before may have ended between the look-up and the claim.
            look_again(&mut found);
            match joined {
                Joined::Wait(others) => {
                    if found.iter().all(Option::is_some) {
                        continue;
                    }
                    metrics::counter!(names::STAMPEDES_AVOIDED_TOTAL).increment(1);
                    round = if wait(others).await { round + 1 } else { WAIT_ROUNDS_MAX };
                    look_again(&mut found);
                }
                Joined::Lead(flight) => {
                    wanted.retain(|wanted| keys.iter().zip(&found).any(|(key, found)| found.is_none() && key == wanted));
                    if wanted.is_empty() {
                        continue;
                    }
                    let loaded = load(wanted).await?;
                    drop(flight);
                    for (key, place) in keys.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
                        *place = loaded.binary_search_by(|(other, _)| other.cmp(key)).ok().map(|at| loaded[at].1.clone());
                    }
                    return Ok(found);
                }
            }
        }
    }

    /// Tells whether somebody loads the key.
    pub(crate) fn is_flying<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.by_key.lock().contains_key(key)
    }
}

impl<K: Hash + Eq + Clone> Drop for Flight<'_, K> {
    fn drop(&mut self) {
        let mut by_key = self.flights.by_key.lock();
        for key in &self.keys {
            by_key.remove(key);
        }
    }
}

/// Waits until these flights have ended, or for as long as one may take. Tells whether they have ended.
pub(crate) async fn wait(flights: Vec<watch::Receiver<()>>) -> bool {
    let all = async {
        for mut flight in flights {
            // Nothing is ever sent: the only change is the end, which is an error to the channel.
            while flight.changed().await.is_ok() {}
        }
    };
    tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), all).await.is_ok()
}
