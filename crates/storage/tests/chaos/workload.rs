//! The writers. Each does one batch after the other on its own board, under an idempotency key, and asks again with the same key until it
//! knows what became of it.
//!
//! ```text
//! make      pin · edge · name · event · audit entry        now and then given up: then it must be whole, or absent
//! change    pin's data · edge's sequence · event · audit
//! remove    pin · edge · name · event · audit
//! claim     a name that another writer wants as well: one of them gets it
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Assoc, Id, Kind, NameKind, PinId, Shard};
use storage::{Batch, Error, Storage, Written, name_shard};
use testkit::Random;

use crate::book::{Book, Fate, Known, Owner};
use crate::history::History;
use crate::schedule::{FIRST_SHARD, LAST_SHARD};

pub const WRITERS: usize = 8;
/// Batches of one writer, so that a fast machine does not check for ever.
const BATCHES_MAX: u64 = 600;
/// Between two tries of a batch, so that the whole time is not spent on refusals.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How old a reader's own writes may look when it asks for reads after them.
const STALE_MS: u64 = 3_000;

/// All writers and what they know.
pub struct Workload {
    pub owners: Vec<Owner>,
    books: Vec<Mutex<Book>>,
    pub history: Arc<History>,
    seed: u64,
    stop: AtomicBool,
}

/// How a batch ended.
enum Outcome {
    Kept(Written),
    Open,
    Never,
    Refused(Error),
}

impl Workload {
    pub fn new(seed: u64, history: Arc<History>) -> Workload {
        let mut random = Random::new(seed ^ 0x0b0a_04d5);
        let span = u64::from(LAST_SHARD - FIRST_SHARD) + 1;
        let owners: Vec<Owner> = (0..WRITERS).map(|index| Owner::new(index, Shard(FIRST_SHARD + random.below(span) as u16))).collect();
        Workload { owners, books: (0..WRITERS).map(|_| Mutex::default()).collect(), history, seed, stop: AtomicBool::new(false) }
    }

    pub fn book(&self, index: usize) -> MutexGuard<'_, Book> {
        self.books[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Writes until told to stop; then the last batch is brought to its end.
    pub async fn write(self: Arc<Workload>, storage: Storage, index: usize) {
        let mut random = Random::new(self.seed.wrapping_mul(31).wrapping_add(index as u64));
        for number in 0..BATCHES_MAX {
            if self.is_stopped() {
                return;
            }
            let key = format!("w{index}-{number}");
            let chosen = self.choose(index, &mut random);
            let outcome = match (random.below(20), chosen) {
                (0..2, _) => self.claim(&storage, index, &key, number / 8).await,
                (2..6, Some(pin)) => self.change(&storage, index, &key, pin, number).await,
                (6..9, Some(pin)) => self.remove(&storage, index, &key, pin).await,
                _ => self.make(&storage, index, &key, number, &mut random).await,
            };
            if let Err(error) = outcome {
                self.history.find(format!("{key} was refused: {error}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(5 + random.below(40))).await;
        }
    }

    /// Chooses a pin that is there for sure.
    fn choose(&self, index: usize, random: &mut Random) -> Option<Id> {
        let book = self.book(index);
        let there: Vec<Id> = book.pins.iter().filter(|(_, pin)| pin.fate == Fate::Kept && !pin.is_removed).map(|(id, _)| *id).collect();
        (!there.is_empty()).then(|| *random.pick(&there))
    }

    /// Tries a batch until it is known what became of it. `patience` is how many bad answers are taken before it is given up.
    async fn finish(&self, storage: &Storage, batch: &Batch, key: &str, patience: usize) -> Outcome {
        let mut is_open = false;
        let mut bad = 0;
        loop {
            let error = match storage.write(batch.clone()).await {
                Ok(written) => {
                    self.history.note(format!("{key} kept{}", if written.replayed { ", replayed" } else { "" }));
                    return Outcome::Kept(written);
                }
                Err(error) => error,
            };
            self.history.note(format!("{key} {error:?}"));
            match error {
                Error::Unknown(_) => is_open = true,
                Error::Unavailable(_) => {}
                refused => return Outcome::Refused(refused),
            }
            bad += 1;
            if bad >= patience {
                return if is_open { Outcome::Open } else { Outcome::Never };
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn make(&self, storage: &Storage, index: usize, key: &str, number: u64, random: &mut Random) -> Result<(), Error> {
        let owner = &self.owners[index];
        let id = loop {
            match storage.new_id(owner.shard(), Kind::Pin).await {
                Ok(id) => break id,
                Err(Error::Unavailable(_) | Error::Unknown(_)) => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) => return Err(error),
            }
        };
        if self.book(index).pins.contains_key(&id) {
            return Err(Error::Corrupt(format!("the id {id} was handed out twice")));
        }
        let pin = PinId::new(owner.shard(), id.local());
        let (kind, name) = owner.name_of(id);
        let sequence = number as i64 + 1;
        let mut batch = Batch::on(owner.shard());
        batch.create(pin, &owner.pin(key)).map(Assoc::BoardHasPins, owner.board, pin, sequence);
        batch.claim(kind, name.clone(), pin).confirm(kind, name, pin);
        self.finish_off(&mut batch, owner, key, pin);
        let known =
            Known { fate: Fate::Open, title: key.to_owned(), version: 1, sequence, is_removed: false, is_changing: true, revision: 0 };
        self.book(index).pins.insert(id, known);
        let patience = if random.below(8) == 0 { 1 } else { usize::MAX };
        let outcome = self.finish(storage, &batch, key, patience).await;
        let fate = self.settle(index, key, id, &outcome, |_| {})?;
        if let Outcome::Kept(written) = &outcome
            && fate == Fate::Kept
            && random.below(4) == 0
        {
            self.read_own(storage, key, pin, written).await;
        }
        Ok(())
    }

    /// Reads what was just acknowledged, from wherever reads after a write may come.
    async fn read_own(&self, storage: &Storage, key: &str, pin: PinId, written: &Written) {
        match storage.after(STALE_MS, [written]).get::<model::Pin>(pin).await {
            Ok(Some(_)) | Err(Error::Unavailable(_)) => {}
            // A replay does not know where the write stands, so that an older state may be shown.
            Ok(None) if written.commit.is_none() => {}
            Ok(None) => {
                self.history.find(format!("{key} was acknowledged at {:?}, and a read after it does not see {pin}", written.commit))
            }
            Err(error) => self.history.find(format!("reading {pin} after {key}: {error}")),
        }
    }

    async fn change(&self, storage: &Storage, index: usize, key: &str, id: Id, number: u64) -> Result<(), Error> {
        let owner = &self.owners[index];
        let (pin, sequence) = (PinId::new(id.shard(), id.local()), number as i64 + 1);
        let version = self.begin(index, id);
        let mut batch = Batch::on(owner.shard());
        batch.update(pin, version, &owner.pin(key)).remap(Assoc::BoardHasPins, owner.board, pin, sequence);
        self.finish_off(&mut batch, owner, key, pin);
        let outcome = self.finish(storage, &batch, key, usize::MAX).await;
        self.settle(index, key, id, &outcome, |known| {
            known.version += 1;
            known.sequence = sequence;
            known.title = key.to_owned();
        })?;
        Ok(())
    }

    async fn remove(&self, storage: &Storage, index: usize, key: &str, id: Id) -> Result<(), Error> {
        let owner = &self.owners[index];
        let pin = PinId::new(id.shard(), id.local());
        let (kind, name) = owner.name_of(id);
        self.begin(index, id);
        let mut batch = Batch::on(owner.shard());
        batch.delete(pin).unmap(Assoc::BoardHasPins, owner.board, pin).release(kind, name, pin);
        self.finish_off(&mut batch, owner, key, pin);
        let outcome = self.finish(storage, &batch, key, usize::MAX).await;
        self.settle(index, key, id, &outcome, |known| {
            known.version += 1;
            known.is_removed = true;
        })?;
        Ok(())
    }

    /// Wants a name that the neighbour wants as well.
    async fn claim(&self, storage: &Storage, index: usize, key: &str, number: u64) -> Result<(), Error> {
        let name = contested(index, number);
        if self.book(index).names.contains_key(&name) {
            return Ok(());
        }
        let user = self.owners[index].user;
        let mut batch = Batch::on(name_shard(NameKind::Username, &name));
        batch.claim(NameKind::Username, &name, user).confirm(NameKind::Username, &name, user).idempotency_key(key);
        let got = match self.finish(storage, &batch, key, usize::MAX).await {
            Outcome::Kept(_) => true,
            Outcome::Refused(Error::Conflict(_)) => false,
            Outcome::Refused(error) => return Err(error),
            Outcome::Open | Outcome::Never => return Ok(()),
        };
        self.book(index).names.insert(name, got);
        Ok(())
    }

    /// Adds what every batch about a pin has.
    fn finish_off(&self, batch: &mut Batch, owner: &Owner, key: &str, pin: PinId) {
        batch.emit(owner.event(key, pin)).audit(None, key, vec![pin.id()], serde_json::Value::Null).idempotency_key(key);
    }

    /// Notes that a batch about a pin is on its way. Returns the pin's version.
    fn begin(&self, index: usize, id: Id) -> u64 {
        let mut book = self.book(index);
        let Some(known) = book.pins.get_mut(&id) else { return 0 };
        known.is_changing = true;
        known.revision += 1;
        known.version
    }

    /// Notes what became of a batch about a pin.
    fn settle(&self, index: usize, key: &str, id: Id, outcome: &Outcome, change: impl FnOnce(&mut Known)) -> Result<Fate, Error> {
        let fate = match outcome {
            Outcome::Kept(_) => Fate::Kept,
            Outcome::Open => Fate::Open,
            Outcome::Never => Fate::Never,
            Outcome::Refused(error) => return Err(error.clone()),
        };
        let mut book = self.book(index);
        book.batches.insert(key.to_owned(), (fate, id));
        if let Some(known) = book.pins.get_mut(&id) {
            if fate == Fate::Kept {
                change(known);
            }
            known.fate = fate;
            known.is_changing = false;
            known.revision += 1;
        }
        Ok(fate)
    }
}

/// Names a thing that two neighbours want.
pub fn contested(index: usize, number: u64) -> String {
    format!("pair{}name{number}", index / 2)
}
