//! Values by name, such as fragments: fresh for a while, then shown once more while someone refills them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::others::{Belief, Others};
use crate::turns::Turns;

struct Known {
    value: Arc<dyn Any + Send + Sync>,
    /// Until then it is fresh, unless it is not believed for so long. For as long again it is shown while one refills it.
    fresh_until: Timestamp,
    stale_until: Timestamp,
    belief: Belief,
}

/// A value and whether its time is up.
pub(crate) struct Found<V> {
    pub(crate) value: Arc<V>,
    pub(crate) is_fresh: bool,
}

/// Values in memory.
pub(crate) struct Values {
    turns: Turns<Arc<str>, Known>,
}

impl Values {
    pub(crate) fn new(values_max: usize) -> Values {
        Values { turns: Turns::new(values_max, 1) }
    }

    /// Looks a key up. A value of another type, and one past its second life, are misses.
    pub(crate) fn get<V: Send + Sync + 'static>(&self, key: &str, others: &Others, now: Timestamp) -> Option<Found<V>> {
        let believe = |belief| others.believe(belief, || now);
        let look = |known: &Known| {
            let is_there = now < known.stale_until && believe(known.belief.twice());
            is_there.then(|| (known.value.clone(), now < known.fresh_until && believe(known.belief)))
        };
        let (value, is_fresh) = self.turns.get(key, look)?;
        value.downcast::<V>().ok().map(|value| Found { value, is_fresh })
    }

    /// Begins a load; `keep` shows the turn that this returns.
    pub(crate) fn begin(&self) -> u64 {
        self.turns.begin()
    }

    pub(crate) fn keep<V: Send + Sync + 'static>(
        &self,
        key: &Arc<str>,
        value: Arc<V>,
        ttl: Duration,
        belief: Belief,
        begun: u64,
        now: Timestamp,
    ) {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4);
        let fresh_until = now.plus(ttl_ms);
        self.turns.keep(key, Known { value, fresh_until, stale_until: fresh_until.plus(ttl_ms), belief }, 1, begun);
    }

    pub(crate) fn forget(&self, key: &str) {
        self.turns.forget(&key.into());
    }

    pub(crate) fn clear(&self) {
        self.turns.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }
}
