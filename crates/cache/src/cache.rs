//! The front: look-ups, refills with one flight per key, invalidation. Callers see only this.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Id, Object, Stored};
use runtime::{SharedClock, SystemClock};
use serde::{Serialize, de::DeserializeOwned};

use crate::engine::{Asked, Engine, Key, Lease, Looked, Memcached, MemcachedLimits, Stale};
use crate::error::{Error, Result};
use crate::flights::{Flights, Joined, wait};
use crate::limits::{CacheLimits, INVALIDATE_MS_MAX, LISTS_PART, NEAR_MS, WAIT_ROUNDS_MAX};
use crate::lists::{self, Grown, ListKey, Lists};
use crate::metrics as names;
use crate::objects::Objects;
use crate::others::{Belief, Others};
use crate::shared::{look, share_value};
use crate::shelf::Shelf;
use crate::values::Values;

/// A look-aside cache. Clones share it.
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: SharedClock,
    pub(crate) engine: Option<Arc<dyn Engine>>,
    pub(crate) others: Others,
    pub(crate) objects: Objects,
    object_flights: Flights<Id>,
    pub(crate) lists: Lists,
    pub(crate) list_flights: Flights<ListKey>,
    values: Values,
    value_flights: Flights<Arc<str>>,
    hints: Shelf<Arc<str>, Id>,
    /// Counts `invalidate_all`: a load that began before one is not kept.
    pub(crate) generation: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// When a write began: what is known of others since then counts against what it wrote.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    generation: u64,
    turn: u64,
}

/// How much is in memory, and how well it serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    pub objects: u64,
    pub lists: u64,
    pub values: u64,
    pub bytes_estimate: u64,
    pub hits: u64,
    pub misses: u64,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("engine", &self.inner.engine).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens a cache: `memory:` keeps everything in the process; `memcached://host:11211,host2:11211` shares it with other processes.
    /// Nothing is connected before the first look-up.
    pub fn open(url: &str, limits: CacheLimits) -> Result<Cache> {
        match url {
            "memory:" => Ok(Cache::with_engine(None, limits, Arc::new(SystemClock))),
            _ if url.starts_with("memcached:") => {
                let engine = Arc::new(Memcached::new(url, MemcachedLimits::default())?);
                Ok(Cache::with_engine(Some(engine), limits, Arc::new(SystemClock)))
            }
            _ => Err(Error::Invalid(format!("'{url}' is no address for a cache; known are 'memory:' and 'memcached://host:11211'."))),
        }
    }

    /// Builds a cache over a second level (or none), with the clock handed in.
    pub fn with_engine(engine: Option<Arc<dyn Engine>>, limits: CacheLimits, clock: SharedClock) -> Cache {
        Cache {
            inner: Arc::new(Inner {
                clock,
                engine,
                others: Others::new(),
                objects: Objects::new(limits.bytes - limits.bytes / LISTS_PART),
                object_flights: Flights::default(),
                lists: lists::lists(limits.bytes / LISTS_PART),
                list_flights: Flights::default(),
                values: Values::new(limits.values),
                value_flights: Flights::default(),
                hints: Shelf::new(limits.values),
                generation: AtomicU64::new(0),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
            }),
        }
    }

    /// Reads objects; same order and length as `ids`, `None` where there is no such object. `load` is called with those that are
    /// not in memory (each once) and answers in their order; it is called once at most. While another caller loads an id, this one
    /// waits for it instead. An error of `load` is handed to its own caller only; the others load by themselves.
    pub async fn get_many<T, E, F, Fut>(&self, ids: &[Id], load: F) -> std::result::Result<Vec<Option<Arc<Stored<T>>>>, E>
    where
        T: Object,
        F: FnOnce(Vec<Id>) -> Fut,
        Fut: Future<Output = std::result::Result<Vec<Option<Stored<T>>>, E>>,
    {
        // The inner `None` is "there is no such object", the outer one a miss.
        let look = |id: &Id| self.inner.objects.get(*id, &self.inner.others, || self.inner.clock.now());
        let found: Vec<Option<Option<Arc<Stored<T>>>>> = {
            // One look at the clock for all.
            let now = OnceCell::new();
            let now = || *now.get_or_init(|| self.inner.clock.now());
            ids.iter().map(|id| self.inner.objects.get(*id, &self.inner.others, now)).collect()
        };
        let missing = found.iter().filter(|found| found.is_none()).count();
        self.count(ids.len() - missing, missing);
        let found = match missing {
            0 => found,
            _ => self.inner.object_flights.gather(ids, found, look, |wanted| self.load(wanted, load)).await?,
        };
        Ok(found.into_iter().map(Option::flatten).collect())
    }

    /// Reads one object like [`Cache::get_many`].
    pub async fn get<T, E, F, Fut>(&self, id: impl Into<Id>, load: F) -> std::result::Result<Option<Arc<Stored<T>>>, E>
    where
        T: Object,
        F: FnOnce(Id) -> Fut,
        Fut: Future<Output = std::result::Result<Option<Stored<T>>, E>>,
    {
        let id = id.into();
        let load_one = |_: Vec<Id>| async move { load(id).await.map(|object| vec![object]) };
        Ok(self.get_many(&[id], load_one).await?.pop().flatten())
    }

    /// Begins a write: of something that will be kept with [`Cache::keep`], or that makes lists grow.
    pub fn begin(&self) -> Began {
        Began { generation: self.inner.generation.load(Ordering::Acquire), turn: self.inner.lists.begin() }
    }

    /// Keeps an object as this process has just made it, after it was invalidated: whoever asks next in this process need not load it.
    pub fn keep<T: Object>(&self, began: Began, object: Arc<Stored<T>>) {
        let (inner, now) = (&*self.inner, self.inner.clock.now());
        let belief = if inner.engine.is_some() { Belief::of(now, NEAR_MS).at_first_hand() } else { Belief::FOR_EVER };
        self.keep_in(began.generation, || inner.objects.keep(object.id, Some(object), belief, now), || inner.objects.clear());
    }

    /// Drops what is out of date; call it after the commit. For a minute no refill that read an older version of an object is kept, and none
    /// of a list or a value that began before this. For a purged object give the version after its last. The second level is told behind the
    /// caller's back.
    pub fn invalidate(&self, stale: Stale) {
        drop(self.begin_to_invalidate(vec![stale], Vec::new()));
    }

    /// Does what [`Cache::invalidate`] does, for many, and waits until other processes will see it: that is, until the second level knows
    /// it, or can't be told. Takes two seconds at most; what is left then goes on, also when the caller goes away.
    pub async fn invalidate_many(&self, stale: Vec<Stale>) {
        is_told(self.begin_to_invalidate(stale, Vec::new())).await;
    }

    /// Does the same after a write that began at `began` and made lists grow. Other processes load those again; here they stay, with what
    /// they have now.
    pub async fn invalidate_written(&self, began: Began, mut stale: Vec<Stale>, grown: Vec<Grown>) {
        let held = self.grow_near(began.turn, &grown);
        let is_lost = |list: &ListKey| held.iter().all(|(held, _)| held != list);
        stale.extend(grown.iter().map(|grown| grown.list).filter(is_lost).map(|(assoc, from)| Stale::list(assoc, from)));
        is_told(self.begin_to_invalidate(stale, held)).await;
    }

    fn begin_to_invalidate(&self, stale: Vec<Stale>, held: Vec<(ListKey, u64)>) -> Option<tokio::task::JoinHandle<()>> {
        self.drop_near(&stale);
        let cache = self.clone();
        self.tell_engine(move |engine| async move {
            let all = stale.iter().cloned().chain(held.iter().map(|((assoc, from), _)| Stale::list(*assoc, *from)));
            let told = engine.invalidate(all.collect()).await;
            // Until it was told, it gave others of this process what it had: that, and loads that began with it, go as well.
            cache.drop_near(&stale);
            held.iter().for_each(|(list, turn)| cache.inner.lists.hold(list, *turn));
            told
        })
    }

    fn drop_near(&self, stale: &[Stale]) {
        let now = self.inner.clock.now();
        for Stale { key, version } in stale {
            match key {
                Key::Object(id) => self.inner.objects.invalidate(*id, *version, now),
                Key::List(assoc, from) => self.inner.lists.forget(&(*assoc, *from)),
                Key::Value(name) => self.inner.values.forget(name),
            }
        }
    }

    /// Drops everything, and keeps nothing of the loads under way.
    pub fn invalidate_all(&self) {
        self.forget_near();
        drop(self.tell_engine(|engine| async move { engine.clear().await }));
    }

    /// Drops everything, the second level included, and returns when nothing of before can be read by this process: for one whose
    /// predecessor died and may have left invalidations undone. Nodes that can't be reached now are told when they come back.
    pub async fn begin_anew(&self) {
        self.forget_near();
        is_told(self.tell_engine(|engine| async move { engine.clear().await })).await;
    }

    /// Tells whether a second level is there, and may hold what this process has put out of date and could not tell.
    pub fn owes(&self) -> bool {
        self.inner.engine.as_ref().is_some_and(|engine| !engine.has_told())
    }

    /// Tells whether there is a second level.
    pub fn is_shared(&self) -> bool {
        self.inner.engine.is_some()
    }

    /// Takes notice that another process has written to storage, and what is not known. With a second level the other process tells that
    /// there, and near copies are believed for a moment only; without one, everything goes.
    pub fn others_have_written(&self) {
        match self.inner.engine {
            Some(_) => self.inner.others.have_written(self.inner.clock.now()),
            None => self.forget_near(),
        }
    }

    /// Takes notice that all commits of other processes up to so long ago have been told by [`Cache::others_have_written`]. While that is
    /// said again and again, and there are none, near copies are believed longer.
    pub fn others_are_known(&self, ago: Duration) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX / 2);
        let now = self.inner.clock.now();
        self.inner.others.are_known_at(now.plus(-ago), now);
    }

    fn forget_near(&self) {
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
        self.inner.objects.clear();
        self.inner.lists.clear();
        self.inner.values.clear();
    }

    /// Tells the second level in a task of its own, which nobody's going away ends.
    fn tell_engine<Fut>(&self, call: impl FnOnce(Arc<dyn Engine>) -> Fut) -> Option<tokio::task::JoinHandle<()>>
    where
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let engine = self.inner.engine.as_ref()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let call = call(engine.clone());
        Some(runtime.spawn(async move {
            if call.await.is_err() {
                metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1);
            }
        }))
    }

    /// Reads a value, such as a fragment: fresh for `ttl`, and for as long again an old value is answered while one caller refills it, or
    /// when that fails. Without a value, one caller loads and the others wait for it.
    pub async fn value<V, E, F, Fut>(&self, key: &str, ttl: Duration, load: F) -> std::result::Result<Arc<V>, E>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<V, E>>,
    {
        let inner = &*self.inner;
        let mut found = inner.values.get::<V>(key, &inner.others, inner.clock.now());
        if let Some(found) = found.as_ref().filter(|found| found.is_fresh || inner.value_flights.is_flying(key)) {
            self.count(1, 0);
            if !found.is_fresh {
                metrics::counter!(names::STAMPEDES_AVOIDED_TOTAL).increment(1);
            }
            return Ok(found.value.clone());
        }
        self.count(0, 1);
        let shared_key: Arc<str> = key.into();
        let keys = [shared_key.clone()];
        let mut round = 0;
        let flight = loop {
            let joined = inner.value_flights.join(&keys, round >= WAIT_ROUNDS_MAX);
            found = inner.values.get::<V>(key, &inner.others, inner.clock.now());
            let is_led = matches!(joined, Joined::Wait(_));
            if let Some(found) = found.as_ref().filter(|found| found.is_fresh || is_led) {
                return Ok(found.value.clone());
            }
            match joined {
                Joined::Lead(flight) => break flight,
                Joined::Wait(others) => {
                    metrics::counter!(names::STAMPEDES_AVOIDED_TOTAL).increment(1);
                    round = if wait(others).await { round + 1 } else { WAIT_ROUNDS_MAX };
                }
            }
        };
        let generation = inner.generation.load(Ordering::Acquire);
        let (begun, asked_at) = (inner.values.begin(), inner.clock.now());
        let mut belief = Belief::FOR_EVER;
        let mut lease = None;
        let mut old = found.map(|found| found.value);
        if let Some(engine) = &inner.engine {
            match look_value::<V>(engine.as_ref(), &shared_key, ttl).await {
                (Some(value), None) => {
                    let value = Arc::new(value);
                    // How old it is there is not known.
                    self.keep_value(&shared_key, &value, near_of(ttl), Belief::FOR_EVER, begun, generation);
                    return Ok(value);
                }
                (value, given) => {
                    old = value.map(Arc::new).or(old);
                    lease = given;
                    // While nobody answers, this process is on its own.
                    if lease.is_some() {
                        belief = Belief::of(asked_at, i64::try_from(near_of(ttl).as_millis()).unwrap_or(NEAR_MS));
                    }
                }
            }
        }
        metrics::counter!(names::REFILLS_TOTAL).increment(1);
        let answer = load().await;
        let value = match answer {
            Ok(value) => Arc::new(value),
            Err(error) => {
                metrics::counter!(names::REFILL_FAILURES_TOTAL).increment(1);
                return old.ok_or(error);
            }
        };
        self.keep_value(&shared_key, &value, ttl, belief, begun, generation);
        if let (Some(engine), Some(lease)) = (&inner.engine, lease)
            && let Ok(row) = serde_json::to_vec(&*value)
        {
            let life_ms = milliseconds(ttl).saturating_mul(2);
            share_value(engine.as_ref(), shared_key, lease, row, life_ms).await;
        }
        drop(flight);
        Ok(value)
    }

    fn keep_value<V: Send + Sync + 'static>(
        &self,
        key: &Arc<str>,
        value: &Arc<V>,
        ttl: Duration,
        belief: Belief,
        begun: u64,
        generation: u64,
    ) {
        let keep = || self.inner.values.keep(key, value.clone(), ttl, belief, begun, self.inner.clock.now());
        self.keep_in(generation, keep, || self.inner.values.clear());
    }

    /// Returns what a name led to when it was last looked up. That may be over: whoever uses it checks that the object still has the name.
    pub fn hint(&self, name: &str) -> Option<Id> {
        self.inner.hints.get(name, |id| *id)
    }

    pub fn keep_hint(&self, name: &str, id: Id) {
        self.inner.hints.update(&name.into(), |_| Some((id, 1)));
    }

    /// Keeps what was begun in this generation, if there was no `invalidate_all` since.
    pub(crate) fn keep_in(&self, generation: u64, keep: impl FnOnce(), clear: impl FnOnce()) {
        let is_current = || generation == self.inner.generation.load(Ordering::Acquire);
        if is_current() {
            keep();
            // One that came between the two looks has cleared before this kept.
            if !is_current() {
                clear();
            }
        }
    }

    pub(crate) fn count(&self, hits: usize, misses: usize) {
        if hits > 0 {
            self.inner.hits.fetch_add(hits as u64, Ordering::Relaxed);
            metrics::counter!(names::HITS_TOTAL).increment(hits as u64);
        }
        if misses > 0 {
            self.inner.misses.fetch_add(misses as u64, Ordering::Relaxed);
            metrics::counter!(names::MISSES_TOTAL).increment(misses as u64);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inner.objects.bytes() + self.inner.lists.weight()
    }

    pub fn stats(&self) -> Stats {
        Stats {
            objects: self.inner.objects.len() as u64,
            lists: self.inner.lists.len() as u64,
            values: self.inner.values.len() as u64,
            bytes_estimate: self.bytes() as u64,
            hits: self.inner.hits.load(Ordering::Relaxed),
            misses: self.inner.misses.load(Ordering::Relaxed),
        }
    }
}

/// Waits until the second level knows, or can't be told, for two seconds at most.
async fn is_told(telling: Option<tokio::task::JoinHandle<()>>) {
    if let Some(telling) = telling {
        // Late, it is not undone; that it failed has been counted.
        let _ = tokio::time::timeout(Duration::from_millis(INVALIDATE_MS_MAX), telling).await;
    }
}

/// How long a value of the second level is believed in the process.
fn near_of(ttl: Duration) -> Duration {
    ttl.min(Duration::from_millis(NEAR_MS as u64))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Asks the second level for a value: what it has, and the lease when the caller is to load it.
async fn look_value<V: DeserializeOwned>(engine: &dyn Engine, name: &Arc<str>, ttl: Duration) -> (Option<V>, Option<Lease>) {
    let asked = Asked { key: Key::Value(name.clone()), held: None, stale_ms: milliseconds(ttl) };
    let looked = look(engine, vec![asked]).await.pop().unwrap_or(Looked::Away);
    let (counter, answer) = match looked {
        Looked::Found(cell, lease) => {
            let value = cell.row.and_then(|row| serde_json::from_slice(&row).ok());
            (names::ENGINE_HITS_TOTAL, (value, lease))
        }
        Looked::Lease(lease) | Looked::Busy(lease) => (names::ENGINE_MISSES_TOTAL, (None, Some(lease))),
        Looked::Current(_) | Looked::Away => (names::ENGINE_AWAY_TOTAL, (None, None)),
    };
    metrics::counter!(counter).increment(1);
    answer
}
