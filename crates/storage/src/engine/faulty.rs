//! A decorator that fails on purpose, so that tests can show what callers do about it. Chance comes from a seed: the same seed and
//! the same order of calls give the same faults.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use parking_lot::Mutex;

use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::{Engine, EngineStats, Prepared};
use crate::error::{Error, Result};
use crate::row::{Edge, Name, Range, Row, StaleClaim};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    Pass,
    /// It fails and has done nothing.
    Unavailable,
    /// A write is done, but its answer is lost; a read fails.
    AnswerLost,
    /// It goes through after a while.
    Delay(Duration),
}

/// How often chance makes calls fail; shares of all calls, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    pub unavailable: f64,
    pub answer_lost: f64,
    pub delayed: f64,
    /// The longest delay; each is a random part of it.
    pub delay_max: Duration,
}

/// An engine that fails on purpose.
pub struct Faulty {
    inner: Arc<dyn Engine>,
    plan: Mutex<Plan>,
}

struct Plan {
    /// Faults for the next calls, before chance has its turn.
    queued: VecDeque<Fault>,
    faults: Faults,
    state: u64,
}

impl Faulty {
    /// Wraps an engine. Without faults it behaves as the engine inside.
    pub fn new(inner: Arc<dyn Engine>, seed: u64, faults: Faults) -> Faulty {
        Faulty { inner, plan: Mutex::new(Plan { queued: VecDeque::new(), faults, state: seed }) }
    }

    /// Decides the fate of the next calls, one each, in order.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan.lock().queued.extend(faults);
    }

    /// Returns how many of the injected faults no call has met yet.
    pub fn pending_count(&self) -> usize {
        self.plan.lock().queued.len()
    }

    /// Changes what chance does from now on.
    pub fn set(&self, faults: Faults) {
        self.plan.lock().faults = faults;
    }

    async fn read<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.plan.lock().next();
        match fault {
            Fault::Unavailable | Fault::AnswerLost => Err(Error::Unavailable("Injected: storage does not answer.".to_owned())),
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                work.await
            }
            Fault::Pass => work.await,
        }
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let fault = self.plan.lock().next();
        match fault {
            Fault::Unavailable => Err(Error::Unavailable("Injected: storage does not answer.".to_owned())),
            Fault::AnswerLost => {
                work.await?;
                Err(Error::Unknown("Injected: the answer was lost.".to_owned()))
            }
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                work.await
            }
            Fault::Pass => work.await,
        }
    }
}

impl Plan {
    fn next(&mut self) -> Fault {
        if let Some(fault) = self.queued.pop_front() {
            return fault;
        }
        let faults = self.faults;
        let chance = self.chance();
        if chance < faults.unavailable {
            Fault::Unavailable
        } else if chance < faults.unavailable + faults.answer_lost {
            Fault::AnswerLost
        } else if chance < faults.unavailable + faults.answer_lost + faults.delayed {
            Fault::Delay(faults.delay_max.mul_f64(self.chance()))
        } else {
            Fault::Pass
        }
    }

    /// Returns a number from 0 up to 1 (splitmix64).
    fn chance(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        self.write(self.inner.reserve(shard, kind, count)).await
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        self.read(self.inner.get(ids)).await
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        Faulty::write(self, self.inner.write(batch)).await
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        self.read(self.inner.ranges(assoc, froms, range)).await
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        self.read(self.inner.edges(assoc, from, tos)).await
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        self.read(self.inner.counts(wanted)).await
    }

    async fn name(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        self.read(self.inner.name(shard, kind, key)).await
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        self.read(self.inner.names_of(owner, kind, limit)).await
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        self.read(self.inner.stale_claims(before, after, limit)).await
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        self.read(self.inner.scan(kind, after, limit)).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        self.read(self.inner.outbox(limit)).await
    }

    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        Faulty::write(self, self.inner.outbox_forget(positions)).await
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.watch()
    }

    fn has_front(&self) -> bool {
        self.inner.has_front()
    }

    fn watch_others(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.watch_others()
    }

    fn others_known_until(&self) -> Option<std::time::Instant> {
        self.inner.others_known_until()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(self.inner.audit_log(shard, after, limit)).await
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(self.inner.audit_recent(limit)).await
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        Faulty::write(self, self.inner.sweep_idempotency(before)).await
    }

    async fn stats(&self) -> Result<EngineStats> {
        self.read(self.inner.stats()).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.read(self.inner.check()).await
    }

    /// The look at what is stored meets no faults: it is taken to see what the faults have done.
    fn inspection(&self) -> Option<&dyn crate::engine::inspection::Inspection> {
        self.inner.inspection()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Assoc, Kind, Pin};

    use super::*;
    use crate::contract::{Place, SHARD, Setup, a_pin, batch, event, pin, user};
    use crate::engine::sqlite::SqliteEngine;
    use crate::{Storage, Written};

    /// Returns a store whose engine fails on command, and the hand on it.
    fn faulty(place: &Place, seed: u64, faults: Faults) -> (Storage, Arc<Faulty>) {
        let inner = Arc::new(SqliteEngine::open(&place.path()).expect("an engine"));
        let faulty = Arc::new(Faulty::new(inner, seed, faults));
        (Storage::with_engine(faulty.clone(), place.clock.clone()), faulty)
    }

    async fn map(storage: &Storage, local: u64, key: Option<&str>) -> crate::Result<Written> {
        let mut writing = batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(local), 0).emit(event("e")));
        if let Some(key) = key {
            writing.idempotency_key(key);
        }
        storage.write(writing).await
    }

    #[tokio::test]
    async fn a_failure_before_did_nothing_and_one_after_did_it() {
        let place = Place::new(Setup::Sqlite);
        let (storage, faults) = faulty(&place, 1, Faults::default());
        faults.inject([Fault::Unavailable, Fault::Pass, Fault::AnswerLost, Fault::Pass]);
        assert!(matches!(map(&storage, 1, None).await, Err(Error::Unavailable(_))));
        assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(0));
        assert!(matches!(map(&storage, 2, None).await, Err(Error::Unknown(_))));
        assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(1));
        faults.inject([Fault::AnswerLost]);
        assert!(matches!(storage.get::<Pin>(pin(1)).await, Err(Error::Unavailable(_))), "a read has nothing that could have happened");
    }

    #[tokio::test]
    async fn a_refusal_is_no_lost_answer() {
        let place = Place::new(Setup::Sqlite);
        let (storage, faults) = faulty(&place, 1, Faults::default());
        faults.inject([Fault::AnswerLost]);
        let refused = storage.write(batch(SHARD, |b| b.update(pin(1), 1, &a_pin("missing")))).await;
        assert!(matches!(refused, Err(Error::NotFound(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_late_is_unknown_for_writes_and_unavailable_for_reads() {
        let place = Place::new(Setup::Sqlite);
        let (storage, faults) = faulty(&place, 1, Faults::default());
        faults.inject([Fault::Delay(Duration::from_secs(60)), Fault::Delay(Duration::from_secs(60))]);
        assert!(matches!(map(&storage, 1, None).await, Err(Error::Unknown(_))));
        assert!(matches!(storage.get::<Pin>(pin(1)).await, Err(Error::Unavailable(_))));
    }

    #[tokio::test]
    async fn lost_reservations_waste_ids_and_repeat_none() {
        let place = Place::new(Setup::Sqlite);
        let (storage, faults) = faulty(&place, 1, Faults::default());
        faults.inject([Fault::AnswerLost, Fault::Unavailable]);
        assert!(storage.new_id(SHARD, Kind::Pin).await.is_err());
        assert!(storage.new_id(SHARD, Kind::Pin).await.is_err());
        // The first block of 8 was reserved and lost.
        assert_eq!(storage.new_id(SHARD, Kind::Pin).await.expect("an id").local(), 9);
    }

    /// Every write is retried with its key until it is answered; whatever fails meanwhile, each is there exactly once.
    #[tokio::test]
    async fn retries_with_keys_write_exactly_once_under_random_faults() {
        for seed in [1, 2, 3] {
            let place = Place::new(Setup::Sqlite);
            let often = Faults { unavailable: 0.3, answer_lost: 0.3, delayed: 0.1, delay_max: Duration::from_millis(1) };
            let (storage, faults) = faulty(&place, seed, often);
            let (mut failed, mut replayed) = (0, 0);
            for local in 0..40 {
                let key = format!("key {local}");
                loop {
                    match map(&storage, local, Some(&key)).await {
                        Ok(written) => {
                            replayed += usize::from(written.replayed);
                            break;
                        }
                        Err(Error::Unavailable(_) | Error::Unknown(_)) => failed += 1,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
            }
            faults.set(Faults::default());
            assert!(failed > 10 && replayed > 3, "seed {seed}: {failed} failures, {replayed} replays");
            assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(40), "seed {seed}");
            assert_eq!(storage.outbox(100).await.expect("a read").len(), 40, "seed {seed}");
            assert_eq!(storage.check().await, Ok(vec![]), "seed {seed}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = Faults { unavailable: 0.2, answer_lost: 0.2, delayed: 0.2, delay_max: Duration::from_secs(1) };
        let draw = |seed| {
            let mut plan = Plan { queued: VecDeque::new(), faults, state: seed };
            (0..100).map(|_| plan.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let unavailable = draw(7).iter().filter(|fault| **fault == Fault::Unavailable).count();
        assert!((8..=35).contains(&unavailable), "{unavailable} of 100");
    }
}
