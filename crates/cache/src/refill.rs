//! Objects that are not in memory, or not believed: from the second level, else from storage.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Id, Object, Stored, Timestamp};

use crate::cache::{Cache, Inner};
use crate::engine::{Engine, Lease};
use crate::limits::{ALONE_MS, NEAR_MS};
use crate::metrics as names;
use crate::others::Belief;
use crate::shared::{Told, ask, share};

/// An id, and its object if there is one.
pub(crate) type Row<T> = (Id, Option<Arc<Stored<T>>>);

/// What came of asking the second level.
struct Level<T> {
    found: Vec<Row<T>>,
    /// In memory, and believed anew.
    renewed: Vec<Row<T>>,
    /// To be read from storage.
    left: Vec<Id>,
    /// What may be filled in.
    leases: Vec<(Id, Lease)>,
    belief: Belief,
}

impl Cache {
    /// Loads ids (sorted, each once) from the second level and from storage, and keeps what they bring. Sorted by id.
    pub(crate) async fn load<T, E, F, Fut>(&self, wanted: Vec<Id>, load: F) -> std::result::Result<Vec<Row<T>>, E>
    where
        T: Object,
        F: FnOnce(Vec<Id>) -> Fut,
        Fut: Future<Output = std::result::Result<Vec<Option<Stored<T>>>, E>>,
    {
        let generation = self.inner.generation.load(Ordering::Acquire);
        // What is read from here on is believed from here on, however long it takes.
        let begun = self.inner.clock.now();
        let Level { mut found, mut renewed, left, leases, belief } = match &self.inner.engine {
            Some(engine) => self.ask_second_level(engine.as_ref(), &wanted, begun).await,
            None => Level { found: Vec::new(), renewed: Vec::new(), left: wanted, leases: Vec::new(), belief: Belief::FOR_EVER },
        };
        let mut read: Vec<Row<T>> = Vec::with_capacity(left.len());
        if !left.is_empty() {
            metrics::counter!(names::REFILLS_TOTAL).increment(left.len() as u64);
            let answer = load(left.clone()).await;
            let objects = answer.inspect_err(|_| metrics::counter!(names::REFILL_FAILURES_TOTAL).increment(1))?;
            assert_eq!(objects.len(), left.len(), "a loader must answer every id that it was asked for, in order");
            read.extend(left.into_iter().zip(objects.into_iter().map(|object| object.map(Arc::new))));
        }
        let now = self.inner.clock.now();
        let keep_all = |objects: &[Row<T>], belief| {
            objects.iter().for_each(|(id, object)| self.inner.objects.keep(*id, object.clone(), belief, now));
        };
        let keep = || {
            keep_all(&found, belief);
            keep_all(&read, belief.at_first_hand());
        };
        self.keep_in(generation, keep, || self.inner.objects.clear());
        found.append(&mut read);
        found.append(&mut renewed);
        if let Some(engine) = &self.inner.engine {
            share(engine.as_ref(), &leases, &found).await;
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        metrics::gauge!(names::BYTES).set(self.bytes() as f64);
        Ok(found)
    }

    /// Asks the second level for objects, and believes those in memory anew of which it says, or of which it is known, that they are true.
    async fn ask_second_level<T: Object>(&self, engine: &dyn Engine, wanted: &[Id], begun: Timestamp) -> Level<T> {
        let Inner { objects, others, clock, .. } = &*self.inner;
        let belief = Belief::of(begun, NEAR_MS);
        let mut level =
            Level { found: Vec::with_capacity(wanted.len()), renewed: Vec::new(), left: Vec::new(), leases: Vec::new(), belief };
        let near: Vec<_> = wanted.iter().map(|id| (*id, objects.near(*id, begun))).collect();
        let mut away_count = 0;
        for (id, told) in ask::<T>(engine, &near).await {
            let renewed = match told {
                Told::Found(object) => {
                    level.found.push((id, object.map(Arc::new)));
                    continue;
                }
                // If it is not there, it was invalidated or driven out since.
                Told::Current(version) => objects.renew(id, Some(version), belief, |_| true),
                Told::Load(lease) => {
                    level.leases.extend(lease.map(|lease| (id, lease)));
                    None
                }
                // Nobody can be asked; but if nobody else has written, what is in memory is true.
                Told::Away => {
                    let renewed = objects.renew(id, None, belief, |old| others.have_been_silent(old, clock.now()));
                    away_count += usize::from(renewed.is_none());
                    renewed
                }
            };
            match renewed {
                Some(object) => level.renewed.push((id, Some(object))),
                None => level.left.push(id),
            }
        }
        if away_count > 0 && away_count == level.left.len() {
            level.belief = Belief::of(begun, ALONE_MS);
        }
        level
    }
}
