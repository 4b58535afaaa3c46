//! A second level in this process: several caches in one test share it as several processes share a memcached. Unbounded.

use std::collections::HashMap;

use async_trait::async_trait;
use model::{Id, Timestamp};
use parking_lot::Mutex;
use runtime::SharedClock;

use super::{Cell, Engine, Looked};
use crate::error::Result;
use crate::limits::LEASE_MS;

#[derive(Clone, Debug, Default)]
struct Place {
    cell: Option<Cell>,
    /// The lease and its end.
    lease: Option<(u64, Timestamp)>,
    /// No version below this is kept.
    version_min: u64,
}

/// A shared cache in memory.
pub struct MemoryEngine {
    clock: SharedClock,
    state: Mutex<(HashMap<Id, Place>, u64)>,
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
    async fn get_many(&self, ids: Vec<Id>) -> Result<Vec<Looked>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let (places, lease_last) = &mut *state;
        let look = |id| {
            let place = places.entry(id).or_default();
            if let Some(cell) = &place.cell {
                return Looked::Found(cell.clone());
            }
            if place.lease.is_some_and(|(_, until)| now < until) {
                return Looked::Busy;
            }
            *lease_last += 1;
            place.lease = Some((*lease_last, now.plus(LEASE_MS)));
            Looked::Lease(*lease_last)
        };
        Ok(ids.into_iter().map(look).collect())
    }

    async fn fill(&self, cells: Vec<(Id, u64, Cell)>) -> Result<Vec<bool>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let fill = |(id, lease, cell): (Id, u64, Cell)| {
            let place = state.0.entry(id).or_default();
            let is_leased = place.lease.is_some_and(|(held, until)| held == lease && now < until);
            if !is_leased || cell.version < place.version_min {
                return false;
            }
            place.lease = None;
            place.cell = Some(cell);
            true
        };
        Ok(cells.into_iter().map(fill).collect())
    }

    async fn invalidate(&self, ids: Vec<(Id, u64)>) -> Result<()> {
        let mut state = self.state.lock();
        for (id, version) in ids {
            let place = state.0.entry(id).or_default();
            place.version_min = place.version_min.max(version);
            place.lease = None;
            if place.cell.as_ref().is_some_and(|cell| cell.version < version) {
                place.cell = None;
            }
        }
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        self.state.lock().0.clear();
        Ok(())
    }
}
