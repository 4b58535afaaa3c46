//! Values by name, such as fragments: fresh for a while, then shown once more while someone refills them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Timestamp;

use crate::shelf::Shelf;

enum Known {
    Value {
        value: Arc<dyn Any + Send + Sync>,
        fresh_until: Timestamp,
        stale_until: Timestamp,
        /// The turn at which its load began.
        begun: u64,
    },
    /// Forgotten at this turn: what loads bring that began before is not kept.
    Forgotten { turn: u64 },
}

/// A value and whether its time is up.
pub(crate) struct Found<V> {
    pub(crate) value: Arc<V>,
    pub(crate) is_fresh: bool,
}

/// Values in memory.
pub(crate) struct Values {
    shelf: Shelf<Arc<str>, Known>,
    /// Counts loads and forgettings, so that their order is known.
    turn: AtomicU64,
}

impl Values {
    pub(crate) fn new(values_max: usize) -> Values {
        Values { shelf: Shelf::new(values_max), turn: AtomicU64::new(0) }
    }

    /// Looks a key up. A value of another type, and one past its second life, are misses.
    pub(crate) fn get<V: Send + Sync + 'static>(&self, key: &str, now: Timestamp) -> Option<Found<V>> {
        let (value, is_fresh) = self.shelf.get(key, |known| match known {
            Known::Value { value, fresh_until, stale_until, .. } if now < *stale_until => Some((value.clone(), now < *fresh_until)),
            _ => None,
        })??;
        value.downcast::<V>().ok().map(|value| Found { value, is_fresh })
    }

    /// Begins a load; `keep` shows the turn that this returns.
    pub(crate) fn begin(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::AcqRel)
    }

    pub(crate) fn keep<V: Send + Sync + 'static>(&self, key: &Arc<str>, value: Arc<V>, ttl: Duration, begun: u64, now: Timestamp) {
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4);
        let fresh_until = now.plus(ttl_ms);
        let known = Known::Value { value, fresh_until, stale_until: fresh_until.plus(ttl_ms), begun };
        self.shelf.update(key, |old| match old {
            Some(Known::Forgotten { turn }) if *turn >= begun => None,
            // A load that began later may have seen more.
            Some(Known::Value { begun: other, .. }) if *other > begun => None,
            _ => Some((known, 1)),
        });
    }

    pub(crate) fn forget(&self, key: &str) {
        let turn = self.turn.fetch_add(1, Ordering::AcqRel);
        self.shelf.update(&key.into(), |_| Some((Known::Forgotten { turn }, 1)));
    }

    pub(crate) fn clear(&self) {
        self.shelf.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf.len()
    }
}
