//! A second level in this process: several caches in one test share it as several processes share a memcached. Unbounded.

use std::collections::HashMap;

use async_trait::async_trait;
use model::Timestamp;
use parking_lot::Mutex;
use runtime::SharedClock;

use super::{Asked, Cell, Engine, Key, Lease, Looked, Refill, Stale};
use crate::error::Result;
use crate::limits::{FLOOR_MS, LEASE_MS};

#[derive(Clone, Debug, Default)]
struct Place {
    /// The cell and its end.
    cell: Option<(Cell, Timestamp)>,
    /// Changes with whatever happens here, so that leases from before count no more.
    token: u64,
    /// Until when somebody is refilling it.
    led_until: Option<Timestamp>,
    /// No version below this is kept, until then.
    floor: Option<(u64, Timestamp)>,
}

/// A shared cache in memory.
pub struct MemoryEngine {
    clock: SharedClock,
    state: Mutex<(HashMap<Key, Place>, u64)>,
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryEngine").finish_non_exhaustive()
    }
}

impl MemoryEngine {
    pub fn new(clock: SharedClock) -> MemoryEngine {
        MemoryEngine { clock, state: Mutex::default() }
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn get_many(&self, asked: Vec<Asked>) -> Result<Vec<Looked>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let (places, token_last) = &mut *state;
        let look = |Asked { key, held, stale_ms }: Asked| {
            let place = places.entry(key).or_default();
            let is_led = place.led_until.is_some_and(|until| now < until);
            place.floor = place.floor.filter(|(_, until)| now < *until);
            place.cell = place.cell.take().filter(|(_, until)| now < *until);
            let version_min = match &place.cell {
                Some((cell, _)) => cell.version,
                None => place.floor.map_or(0, |(version, _)| version),
            };
            let is_due = place.cell.as_ref().is_none_or(|(_, until)| now.plus(stale_ms as i64) > *until);
            if is_due && !is_led {
                *token_last += 1;
                (place.token, place.led_until) = (*token_last, Some(now.plus(LEASE_MS)));
            }
            let lease = Lease { token: place.token, place: 0, version_min };
            let mine = (is_due && !is_led).then_some(lease);
            match &place.cell {
                Some((cell, _)) if held == Some(cell.version) => Looked::Current(mine),
                Some((cell, _)) => Looked::Found(cell.clone(), mine),
                None if is_led => Looked::Busy(lease),
                None => Looked::Lease(lease),
            }
        };
        Ok(asked.into_iter().map(look).collect())
    }

    async fn fill(&self, refills: Vec<Refill>) -> Result<Vec<bool>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let (places, token_last) = &mut *state;
        let fill = |Refill { key, lease, cell, life_ms }: Refill| {
            let place = places.entry(key).or_default();
            if place.token != lease.token || cell.version < lease.version_min {
                return false;
            }
            *token_last += 1;
            (place.token, place.led_until) = (*token_last, None);
            place.cell = Some((cell, now.plus(life_ms as i64)));
            true
        };
        Ok(refills.into_iter().map(fill).collect())
    }

    async fn invalidate(&self, stale: Vec<Stale>) -> Result<()> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let (places, token_last) = &mut *state;
        for Stale { key, version } in stale {
            if !matches!(key, Key::Object(_)) {
                places.remove(&key);
                continue;
            }
            let place = places.entry(key).or_default();
            if place.cell.as_ref().is_some_and(|(cell, until)| cell.version >= version && now < *until) {
                continue;
            }
            *token_last += 1;
            let floor = place.floor.filter(|(_, until)| now < *until).map_or(version, |(floor, _)| floor.max(version));
            *place = Place { cell: None, token: *token_last, led_until: None, floor: Some((floor, now.plus(FLOOR_MS))) };
        }
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        self.state.lock().0.clear();
        Ok(())
    }
}
