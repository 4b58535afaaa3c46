//! What every second level must do (one list of tests, one line per engine), and what the front makes of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::time::ManualClock;
use model::{Assoc, Id, PinId, Shard, Site, SiteId, Stored, Timestamp, UserId};
use testkit::{Proxy, Random, memcached};
use tokio::sync::{Barrier, oneshot};

use crate::engine::{Asked, Cell, Engine, Fault, Faulty, Key, Lease, Looked, Memcached, MemcachedLimits, MemoryEngine, Refill};
use crate::limits::{CELL_MS, CELL_STALE_MS, FIRST_HAND_MS, FLOOR_MS, NEAR_MS, NEGATIVE_MS, SETTLE_MS, SILENT_MS};
use crate::{Began, Cache, CacheLimits, Grown, List, ListKey, Stale};

/// An engine and what it stands on.
struct Bed {
    engine: Arc<dyn Engine>,
    clock: Arc<ManualClock>,
    _proxy: Option<Proxy>,
    _servers: Vec<memcached::Server>,
}

impl Bed {
    fn memory() -> Bed {
        let clock = clock();
        Bed { engine: Arc::new(MemoryEngine::new(clock.clone())), clock, _proxy: None, _servers: Vec::new() }
    }

    fn faulty() -> Bed {
        let bed = Bed::memory();
        Bed { engine: Arc::new(Faulty::new(bed.engine.clone())), ..bed }
    }

    /// Real servers; `None` where there can't be any.
    fn memcached(test: &str, nodes: usize, has_proxy: bool) -> Option<Bed> {
        if !memcached::is_available(test) {
            return None;
        }
        let servers: Vec<_> = (0..nodes).map(|_| memcached::Server::start(memcached::Options::default()).expect("a server")).collect();
        let proxy = has_proxy.then(|| servers[0].proxy().expect("a proxy"));
        let mut addresses: Vec<String> = servers.iter().map(memcached::Server::address).collect();
        if let Some(proxy) = &proxy {
            addresses[0] = proxy.address();
        }
        let engine = Memcached::new(&format!("memcached://{}", addresses.join(",")), patient()).expect("an engine");
        Some(Bed { engine: Arc::new(engine), clock: clock(), _proxy: proxy, _servers: servers })
    }
}

/// Limits for a machine that is busy with other tests; leases run out soon.
fn patient() -> MemcachedLimits {
    MemcachedLimits { call: Duration::from_millis(400), lease: Duration::from_secs(2), ..MemcachedLimits::default() }
}

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() { super::$test(super::Bed::memory()).await; })* }
        mod faulty { $(#[tokio::test] async fn $test() { super::$test(super::Bed::faulty()).await; })* }
        contract!(memcached_one, 1, false, $($test),*);
        contract!(memcached_three, 3, false, $($test),*);
        contract!(memcached_behind_a_proxy, 1, true, $($test),*);
    };
    ($engine:ident, $nodes:expr, $has_proxy:expr, $($test:ident),*) => {
        mod $engine { $(#[tokio::test] async fn $test() {
            let test = concat!(stringify!($engine), "::", stringify!($test));
            if let Some(bed) = super::Bed::memcached(test, $nodes, $has_proxy) {
                super::$test(bed).await;
            }
        })* }
    };
}

contract!(
    one_caller_gets_the_lease_and_its_cell_is_found,
    an_invalidation_takes_the_lease_and_older_versions,
    the_higher_of_two_invalidations_stays,
    a_lease_runs_out,
    who_can_not_wait_may_fill_once,
    what_is_old_is_refilled_by_one_and_used_by_the_others,
    a_cell_goes_by_itself,
    what_the_caller_has_is_not_sent_again,
    absence_is_kept_until_it_is_invalidated,
    values_and_lists_are_kept_until_they_are_written,
    everything_goes_at_once,
    large_and_many,
    two_caches_share_one_load,
    a_write_reaches_the_other_caches,
    caches_share_values,
    caches_share_lists_and_the_writer_sees_its_own_at_once,
    lists_that_grow_here_are_loaded_by_the_others,
    lists_that_grow_and_shrink_end_as_storage_has_them,
    near_copies_are_believed_while_others_are_silent,
    values_stay_fresh_here_while_others_are_silent,
);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_000_000)))
}

fn id(n: u64) -> Id {
    SiteId::new(Shard(7), n).id()
}

fn site(n: u64, version: u64) -> Stored<Site> {
    let data = serde_json::from_value(serde_json::json!({ "title": format!("site {n} as of {version}") })).expect("a site");
    Stored { id: id(n), version, created_at: Timestamp(1), updated_at: Timestamp(2), active: true, data }
}

fn cell(version: u64) -> Cell {
    Cell { version, row: Some(format!("{{\"version\":{version}}}").into_bytes()) }
}

fn asked(key: Key, held: Option<u64>) -> Asked {
    Asked { key, held, stale_ms: CELL_STALE_MS }
}

impl Bed {
    async fn look_at(&self, keys: Vec<Key>) -> Vec<Looked> {
        self.engine.get_many(keys.into_iter().map(|key| asked(key, None)).collect()).await.expect("an answer")
    }

    async fn look(&self, n: u64) -> Looked {
        self.look_at(vec![Key::Object(id(n))]).await.remove(0)
    }

    async fn lease(&self, n: u64) -> Lease {
        match self.look(n).await {
            Looked::Lease(lease) => lease,
            looked => panic!("{looked:?}"),
        }
    }

    async fn fill(&self, n: u64, lease: Lease, cell: Cell) -> bool {
        self.fill_for(n, lease, cell, CELL_MS).await
    }

    async fn fill_for(&self, n: u64, lease: Lease, cell: Cell, life_ms: u64) -> bool {
        let refill = Refill { key: Key::Object(id(n)), lease, cell, life_ms };
        self.engine.fill(vec![refill]).await.expect("an answer")[0]
    }

    async fn invalidate(&self, n: u64, version: u64) {
        self.engine.invalidate(vec![Stale::object(id(n), version)]).await.expect("an answer");
    }

    /// Looks until a caller is to refill, while time passes.
    async fn until_leased(&self, n: u64) -> Lease {
        for _ in 0..1_000 {
            if let Looked::Lease(lease) = self.look(n).await {
                return lease;
            }
            self.clock.advance(100);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody is to refill");
    }

    fn cache(&self) -> Cache {
        Cache::with_engine(Some(self.engine.clone()), CacheLimits::default(), self.clock.clone())
    }
}

fn cache() -> (Cache, Arc<ManualClock>) {
    let clock = clock();
    (Cache::with_engine(None, CacheLimits::default(), clock.clone()), clock)
}

async fn read(cache: &Cache, ids: &[Id], version: u64, loads: &AtomicUsize) -> Vec<Option<u64>> {
    let load = |wanted: Vec<Id>| async move {
        loads.fetch_add(wanted.len(), Ordering::SeqCst);
        Ok::<_, Infallible>(wanted.iter().map(|id| Some(site(id.local(), version))).collect())
    };
    let read: Result<Vec<Option<Arc<Stored<Site>>>>, Infallible> = cache.get_many(ids, load).await;
    read.expect("never fails").into_iter().map(|object| object.map(|object| object.version)).collect()
}

async fn one_caller_gets_the_lease_and_its_cell_is_found(bed: Bed) {
    let looked = bed.look_at(vec![Key::Object(id(1)), Key::Object(id(2))]).await;
    let [Looked::Lease(one), Looked::Lease(_)] = looked[..] else { panic!("{looked:?}") };
    assert!(matches!(bed.look(1).await, Looked::Busy(_)));
    assert!(!bed.fill(1, Lease { token: one.token + 100, ..one }, cell(3)).await, "another lease");
    assert!(bed.fill(1, one, cell(3)).await);
    assert!(!bed.fill(1, one, cell(4)).await, "a lease is for one cell");
    let looked = bed.look_at(vec![Key::Object(id(2)), Key::Object(id(1))]).await;
    assert!(matches!(&looked[..], [Looked::Busy(_), Looked::Found(found, None)] if *found == cell(3)), "{looked:?}");
}

async fn an_invalidation_takes_the_lease_and_older_versions(bed: Bed) {
    let early = bed.lease(1).await;
    bed.invalidate(1, 5).await;
    assert!(!bed.fill(1, early, cell(4)).await, "read before the write");
    let later = bed.lease(1).await;
    assert_eq!(later.version_min, 5);
    assert!(!bed.fill(1, later, cell(4)).await, "still older");
    assert!(bed.fill(1, later, cell(5)).await);
    bed.invalidate(1, 5).await;
    assert_eq!(bed.look(1).await, Looked::Found(cell(5), None), "not older than itself");
    bed.invalidate(1, 6).await;
    let last = bed.lease(1).await;
    assert!(matches!(bed.look(1).await, Looked::Busy(_)), "one refills");
    assert!(bed.fill(1, last, cell(7)).await);
    bed.invalidate(1, u64::MAX).await;
    let last = bed.lease(1).await;
    assert!(!bed.fill(1, last, cell(8)).await, "whatever it is");
}

async fn the_higher_of_two_invalidations_stays(bed: Bed) {
    bed.invalidate(1, 6).await;
    bed.invalidate(1, 5).await;
    let lease = bed.lease(1).await;
    assert_eq!(lease.version_min, 6);
    bed.invalidate(2, 2).await;
    bed.engine.invalidate((1..40).map(|version| Stale::object(id(2), version % 20)).collect()).await.expect("an answer");
    assert_eq!(bed.lease(2).await.version_min, 19, "also when they come at once");
}

async fn a_lease_runs_out(bed: Bed) {
    let dead = bed.lease(1).await;
    let next = bed.until_leased(1).await;
    assert!(!bed.fill(1, dead, cell(1)).await);
    assert!(bed.fill(1, next, cell(1)).await);
}

async fn who_can_not_wait_may_fill_once(bed: Bed) {
    let first = bed.lease(1).await;
    let Looked::Busy(second) = bed.look(1).await else { panic!("the first is refilling") };
    assert!(bed.fill(1, second, cell(2)).await);
    assert!(!bed.fill(1, first, cell(1)).await, "somebody was faster");
    assert_eq!(bed.look(1).await, Looked::Found(cell(2), None));
}

async fn what_is_old_is_refilled_by_one_and_used_by_the_others(bed: Bed) {
    let lease = bed.lease(1).await;
    assert!(bed.fill_for(1, lease, cell(3), CELL_STALE_MS / 2).await);
    let Looked::Found(old, Some(lease)) = bed.look(1).await else { panic!("it is old from the start") };
    assert_eq!((old, bed.look(1).await), (cell(3), Looked::Found(cell(3), None)));
    assert!(!bed.fill(1, lease, cell(2)).await, "not by something older");
    assert!(bed.fill(1, lease, cell(4)).await);
    assert_eq!(bed.look(1).await, Looked::Found(cell(4), None));
}

async fn a_cell_goes_by_itself(bed: Bed) {
    let lease = bed.lease(1).await;
    assert!(bed.fill_for(1, lease, cell(3), 1_000).await);
    let lease = bed.until_leased(1).await;
    assert_eq!(lease.version_min, 0);
}

async fn what_the_caller_has_is_not_sent_again(bed: Bed) {
    let lease = bed.lease(1).await;
    assert!(bed.fill(1, lease, cell(3)).await);
    let held = |version| bed.engine.get_many(vec![asked(Key::Object(id(1)), Some(version))]);
    assert_eq!(held(3).await, Ok(vec![Looked::Current(None)]));
    assert_eq!(held(2).await, Ok(vec![Looked::Found(cell(3), None)]));
}

async fn absence_is_kept_until_it_is_invalidated(bed: Bed) {
    let absent = Cell { version: 0, row: None };
    let lease = bed.lease(1).await;
    assert!(bed.fill(1, lease, absent.clone()).await);
    assert_eq!(bed.look(1).await, Looked::Found(absent.clone(), None));
    bed.invalidate(1, 1).await;
    let lease = bed.lease(1).await;
    assert!(!bed.fill(1, lease, absent).await, "it was made since");
    assert!(bed.fill(1, lease, cell(1)).await);
}

async fn values_and_lists_are_kept_until_they_are_written(bed: Bed) {
    let list = |assoc| Stale::list(assoc, UserId::new(Shard(7), 1));
    let written = [Stale::value("popular"), list(Assoc::UserHasPins), list(Assoc::UserHasBoards)];
    for Stale { key, .. } in &written {
        let looked = bed.look_at(vec![key.clone()]).await;
        let [Looked::Lease(early)] = looked[..] else { panic!("{key:?}: {looked:?}") };
        // In one go with something else, as a commit does.
        let stale = vec![Stale::object(id(1), 3), Stale { key: key.clone(), version: 0 }];
        bed.engine.invalidate(stale.clone()).await.expect("an answer");
        let refill = |lease| vec![Refill { key: key.clone(), lease, cell: cell(0), life_ms: CELL_MS }];
        assert_eq!(bed.engine.fill(refill(early)).await, Ok(vec![false]), "{key:?}: read before it was written");
        let looked = bed.look_at(vec![key.clone()]).await;
        let [Looked::Lease(later)] = looked[..] else { panic!("{key:?}: {looked:?}") };
        assert_eq!(bed.engine.fill(refill(later)).await, Ok(vec![true]), "{key:?}");
        assert_eq!(bed.look_at(vec![key.clone()]).await, [Looked::Found(cell(0), None)], "{key:?}");
        bed.engine.invalidate(stale).await.expect("an answer");
        assert!(matches!(bed.look_at(vec![key.clone()]).await[..], [Looked::Lease(_)]), "{key:?}");
    }
}

async fn everything_goes_at_once(bed: Bed) {
    for n in 0..20 {
        let lease = bed.lease(n).await;
        assert!(bed.fill(n, lease, cell(1)).await);
    }
    bed.engine.clear().await.expect("an answer");
    for n in 0..20 {
        assert!(matches!(bed.look(n).await, Looked::Lease(_)), "{n}");
    }
}

async fn large_and_many(bed: Bed) {
    let keys: Vec<Key> = (0..500).map(|n| Key::Object(id(n))).collect();
    let row = |n: usize| Some(vec![b'a' + (n % 26) as u8; 1 + n * 20]);
    let looked = bed.look_at(keys.clone()).await;
    let refill = |(n, (key, looked)): (usize, (&Key, &Looked))| {
        let Looked::Lease(lease) = looked else { panic!("{looked:?}") };
        Refill { key: key.clone(), lease: *lease, cell: Cell { version: n as u64, row: row(n) }, life_ms: CELL_MS }
    };
    let refills = keys.iter().zip(&looked).enumerate().map(refill).collect();
    assert_eq!(bed.engine.fill(refills).await, Ok(vec![true; 500]));
    for (n, looked) in bed.look_at(keys).await.into_iter().enumerate() {
        assert_eq!(looked, Looked::Found(Cell { version: n as u64, row: row(n) }, None));
    }
}

async fn two_caches_share_one_load(bed: Bed) {
    let loads = AtomicUsize::new(0);
    for cache in [bed.cache(), bed.cache()] {
        assert_eq!(read(&cache, &[id(1), id(2), id(1)], 4, &loads).await, [Some(4), Some(4), Some(4)]);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

async fn a_write_reaches_the_other_caches(bed: Bed) {
    let (writer, other) = (bed.cache(), bed.cache());
    let loads = AtomicUsize::new(0);
    for cache in [&writer, &other] {
        assert_eq!(read(cache, &[id(1)], 1, &loads).await, [Some(1)]);
    }
    writer.invalidate_many(vec![Stale::object(id(1), 2)]).await;
    assert_eq!(read(&other, &[id(1)], 9, &loads).await, [Some(1)], "a near copy");
    bed.clock.advance(NEAR_MS);
    assert_eq!(read(&other, &[id(1)], 2, &loads).await, [Some(2)]);
    assert_eq!(read(&writer, &[id(1)], 9, &loads).await, [Some(2)], "from the second level");
    bed.clock.advance(NEAR_MS);
    assert_eq!(read(&writer, &[id(1)], 9, &loads).await, [Some(2)], "renewed");
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    // Without waiting: the writer itself must not see what the second level still has.
    writer.invalidate(Stale::object(id(1), 3));
    assert_eq!(read(&writer, &[id(1)], 3, &loads).await, [Some(3)]);
}

async fn caches_share_values(bed: Bed) {
    let (one, other) = (bed.cache(), bed.cache());
    let ttl = Duration::from_secs(60);
    let read = |cache: &Cache, n: u64| {
        let cache = cache.clone();
        async move { *cache.value("popular", ttl, || async { Ok::<_, Infallible>(n) }).await.expect("never fails") }
    };
    assert_eq!((read(&one, 1).await, read(&other, 2).await), (1, 1));
    one.invalidate(Stale::value("popular"));
    assert_eq!(read(&other, 3).await, 1, "a near copy");
    // It is told in the background.
    while matches!(bed.look_at(vec![Key::Value("popular".into())]).await[..], [Looked::Found(..)]) {
        tokio::task::yield_now().await;
    }
    bed.clock.advance(NEAR_MS);
    assert_eq!(read(&one, 4).await, 4);
    bed.clock.advance(2 * NEAR_MS);
    assert_eq!(read(&other, 5).await, 4);
}

fn list_key(n: u64) -> ListKey {
    (Assoc::UserHasPins, UserId::new(Shard(7), n).id())
}

/// Reads lists whose count says when they were loaded.
async fn read_lists(cache: &Cache, keys: &[ListKey], count: u64) -> Vec<u64> {
    let load = |wanted: Vec<ListKey>| async move {
        let newest = vec![(PinId::new(Shard(7), 1).id(), 5)];
        Ok::<_, Infallible>(wanted.iter().map(|_| List { count, newest: newest.clone() }).collect())
    };
    let read = cache.lists(keys, load).await.expect("never fails");
    read.into_iter().map(|list| list.count).collect()
}

async fn caches_share_lists_and_the_writer_sees_its_own_at_once(bed: Bed) {
    let (writer, other) = (bed.cache(), bed.cache());
    let keys = [list_key(1), list_key(2), list_key(1)];
    assert_eq!((read_lists(&writer, &keys, 3).await, read_lists(&other, &keys, 4).await), (vec![3; 3], vec![3; 3]));
    writer.invalidate_many(vec![Stale::list(keys[0].0, keys[0].1), Stale::object(id(1), 2)]).await;
    assert_eq!(read_lists(&other, &keys, 5).await, [3; 3], "near copies");
    assert_eq!(read_lists(&writer, &keys, 6).await, [6, 3, 6]);
    bed.clock.advance(NEAR_MS);
    assert_eq!(read_lists(&other, &keys, 7).await, [6, 3, 6]);
}

fn pin(n: u64) -> Id {
    PinId::new(Shard(7), n).id()
}

/// What `read_lists` loads, and then these edges.
async fn grow(cache: &Cache, began: Began, list: ListKey, new: Vec<(Id, i64)>) {
    cache.invalidate_written(began, Vec::new(), vec![Grown { list, new, moved: Vec::new(), kept: 2 }]).await;
}

async fn lists_that_grow_here_are_loaded_by_the_others(bed: Bed) {
    let (writer, other) = (bed.cache(), bed.cache());
    let keys = [list_key(1), list_key(2)];
    assert_eq!((read_lists(&writer, &keys, 3).await, read_lists(&other, &keys, 4).await), (vec![3; 2], vec![3; 2]));
    grow(&writer, writer.begin(), keys[0], vec![(pin(2), 7)]).await;
    assert_eq!(read_lists(&writer, &keys, 5).await, [4, 3], "what it had, and one more");
    bed.clock.advance(NEAR_MS);
    assert_eq!(read_lists(&other, &keys, 6).await, [6, 3], "the second level does not have it any more");
    // What was not there before the write began may have been read before or after it.
    let began = writer.begin();
    writer.invalidate_many(vec![Stale::list(keys[0].0, keys[0].1)]).await;
    assert_eq!(read_lists(&writer, &keys, 7).await, [7, 3]);
    grow(&writer, began, keys[0], vec![(pin(3), 8)]).await;
    assert_eq!(read_lists(&writer, &keys, 8).await, [8, 3]);
}

/// Lists as storage has them, and the edges of which the most are kept.
#[derive(Default)]
struct Truth(parking_lot::Mutex<BTreeMap<ListKey, BTreeMap<Id, i64>>>);

impl Truth {
    const KEPT: usize = 4;

    fn list(&self, key: ListKey) -> List {
        let edges = self.0.lock().get(&key).cloned().unwrap_or_default();
        let mut newest: Vec<(Id, i64)> = edges.into_iter().collect();
        newest.sort_by_key(|(to, sequence)| std::cmp::Reverse((*sequence, *to)));
        let count = newest.len() as u64;
        newest.truncate(Truth::KEPT);
        List { count, newest }
    }

    /// Reads as the application does: the edges, and a moment later how many there are.
    async fn read(&self, cache: &Cache, key: ListKey) -> List {
        let load = |wanted: Vec<ListKey>| async move {
            tokio::task::yield_now().await;
            let mut lists: Vec<List> = wanted.iter().map(|key| self.list(*key)).collect();
            tokio::task::yield_now().await;
            for (key, list) in wanted.iter().zip(&mut lists).filter(|(_, list)| list.newest.len() == Truth::KEPT) {
                list.count = self.list(*key).count;
            }
            Ok::<_, Infallible>(lists)
        };
        (*cache.lists(&[key], load).await.expect("never fails")[0]).clone()
    }

    /// Does one thing to a list, and tells the cache as the application does.
    async fn write(&self, cache: &Cache, key: ListKey, random: &mut Random) {
        let (to, sequence, what) = (pin(1 + random.below(9)), random.below(1_000) as i64, random.below(5));
        let began = cache.begin();
        tokio::task::yield_now().await;
        let mut grown = Grown { list: key, new: Vec::new(), moved: Vec::new(), kept: Truth::KEPT };
        {
            let mut all = self.0.lock();
            let edges = all.entry(key).or_default();
            match what {
                0 => drop(edges.remove(&to)),
                1 => grown.moved.extend((edges.insert(to, sequence) != Some(sequence)).then_some((to, sequence))),
                _ if edges.contains_key(&to) => {}
                _ => {
                    edges.insert(to, sequence);
                    grown.new.push((to, sequence));
                }
            }
        }
        tokio::task::yield_now().await;
        match what {
            0 => cache.invalidate_many(vec![Stale::list(key.0, key.1)]).await,
            _ => cache.invalidate_written(began, Vec::new(), vec![grown]).await,
        }
    }
}

async fn lists_that_grow_and_shrink_end_as_storage_has_them(bed: Bed) {
    let (writer, other, truth) = (bed.cache(), bed.cache(), Arc::new(Truth::default()));
    let tasks = (0..6_u64).map(|task| {
        let (writer, truth) = (writer.clone(), truth.clone());
        tokio::spawn(async move {
            let mut random = Random::new(task);
            for _ in 0..150 {
                let shared = list_key(1 + random.below(3));
                truth.write(&writer, shared, &mut random).await;
                truth.read(&writer, shared).await;
                let own = list_key(100 + task);
                truth.write(&writer, own, &mut random).await;
                assert_eq!(truth.read(&writer, own).await, truth.list(own), "nobody else writes it");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    for key in (1..4).chain(100..106).map(list_key) {
        assert_eq!(truth.read(&writer, key).await, truth.list(key));
        assert_eq!(truth.read(&other, key).await, truth.list(key), "as another process reads it");
    }
}

/// Lets time pass in which storage is heard and tells of nobody.
fn pass_in_silence(cache: &Cache, clock: &ManualClock, ms: i64) {
    clock.advance(ms);
    cache.others_are_known(Duration::ZERO);
}

/// Reads an object and a list; what nobody has is loaded as `version`.
async fn read_both(cache: &Cache, version: u64) -> (Option<u64>, u64) {
    (read(cache, &[id(1)], version, &AtomicUsize::new(0)).await[0], read_lists(cache, &[list_key(1)], version).await[0])
}

async fn near_copies_are_believed_while_others_are_silent(bed: Bed) {
    let (cache, other, both) = (bed.cache(), bed.cache(), |n| (Some(n), n));
    let write = async |version| {
        other.invalidate_many(vec![Stale::object(id(1), version), Stale::list(list_key(1).0, list_key(1).1)]).await;
    };
    cache.others_have_written();
    pass_in_silence(&cache, &bed.clock, SETTLE_MS);
    assert_eq!(read_both(&cache, 3).await, both(3));
    write(4).await;
    pass_in_silence(&cache, &bed.clock, SILENT_MS - 1);
    assert_eq!(read_both(&cache, 4).await, both(3), "nobody was asked, because storage has not told of the write");
    cache.others_have_written();
    assert_eq!(read_both(&cache, 4).await, both(4));
    // It may have been read before the writer had told the second level.
    write(5).await;
    pass_in_silence(&cache, &bed.clock, NEAR_MS);
    assert_eq!(read_both(&cache, 5).await, both(5));
    write(6).await;
    assert_eq!(read_both(&other, 6).await, both(6));
    pass_in_silence(&cache, &bed.clock, SETTLE_MS);
    assert_eq!(read_both(&cache, 7).await, both(6));
    write(7).await;
    pass_in_silence(&cache, &bed.clock, SILENT_MS);
    assert_eq!(read_both(&cache, 7).await, both(7), "half a minute is the most for what the second level had");
    write(8).await;
    pass_in_silence(&cache, &bed.clock, FIRST_HAND_MS - 1);
    assert_eq!(read_both(&cache, 8).await, both(7), "it was read from storage, and storage has not told of the write");
    pass_in_silence(&cache, &bed.clock, 1);
    assert_eq!(read_both(&cache, 8).await, both(8), "no longer than the second level would have kept it");
    write(9).await;
    bed.clock.advance(NEAR_MS);
    assert_eq!(read_both(&cache, 9).await, both(9), "storage is not heard any more");
}

async fn values_stay_fresh_here_while_others_are_silent(bed: Bed) {
    let (cache, other) = (bed.cache(), bed.cache());
    let ttl = Duration::from_secs(10);
    let read = async |cache: &Cache, n: u64| *cache.value("unread", ttl, || async move { Ok::<_, Infallible>(n) }).await.expect("a value");
    let write = async |n: u64| {
        other.invalidate_many(vec![Stale::value("unread")]).await;
        assert_eq!(read(&other, n).await, n);
    };
    cache.others_have_written();
    pass_in_silence(&cache, &bed.clock, SETTLE_MS);
    assert_eq!(read(&cache, 1).await, 1);
    write(2).await;
    pass_in_silence(&cache, &bed.clock, 9_000);
    assert_eq!(read(&cache, 3).await, 1, "nobody was asked, because storage has not told of the write");
    cache.others_have_written();
    assert_eq!(read(&cache, 3).await, 2, "it is not even shown while one refills it");
}

#[tokio::test]
async fn a_dead_second_level_in_silence_costs_storage_nothing() {
    let clock = clock();
    let faulty = Arc::new(Faulty::new(Arc::new(MemoryEngine::new(clock.clone()))));
    let cache = Cache::with_engine(Some(faulty.clone()), CacheLimits::default(), clock.clone());
    let both = |n| (Some(n), n);
    cache.others_have_written();
    pass_in_silence(&cache, &clock, SETTLE_MS);
    assert_eq!(read_both(&cache, 3).await, both(3));
    for ms in [FIRST_HAND_MS, SILENT_MS, SILENT_MS] {
        pass_in_silence(&cache, &clock, ms);
        faulty.inject([Fault::Unavailable, Fault::Unavailable]);
        assert_eq!(read_both(&cache, 4).await, both(3), "what nobody else can have changed");
        assert_eq!(faulty.pending_count(), 0, "it was asked");
    }
    faulty.inject([Fault::Unavailable; 4]);
    cache.invalidate_many(vec![Stale::object(id(1), 5), Stale::list(list_key(1).0, list_key(1).1)]).await;
    assert_eq!(read_both(&cache, 5).await, both(5), "its own write");
    cache.others_have_written();
    pass_in_silence(&cache, &clock, SILENT_MS);
    faulty.inject([Fault::Unavailable; 2]);
    assert_eq!(read_both(&cache, 6).await, both(6), "somebody else may have written it");
}

#[tokio::test]
async fn a_dead_second_level_is_a_miss() {
    let clock = clock();
    for fault in [Fault::Unavailable, Fault::AnswerLost, Fault::Hang] {
        let faulty = Arc::new(Faulty::new(Arc::new(MemoryEngine::new(clock.clone()))));
        let cache = Cache::with_engine(Some(faulty.clone()), CacheLimits::default(), clock.clone());
        faulty.inject([fault, fault, fault]);
        let loads = AtomicUsize::new(0);
        assert_eq!(read(&cache, &[id(1), id(2)], 3, &loads).await, [Some(3), Some(3)], "{fault:?}");
        assert_eq!(read(&cache, &[id(1), id(2)], 9, &loads).await, [Some(3), Some(3)], "{fault:?}: the first level works");
        assert_eq!(loads.load(Ordering::SeqCst), 2);
        assert_eq!(faulty.pending_count(), 2, "without a lease nothing is handed over");
    }
}

#[tokio::test]
async fn objects_are_loaded_once_and_come_in_order() {
    let (cache, _) = cache();
    let loads = AtomicUsize::new(0);
    assert_eq!(read(&cache, &[id(2)], 1, &loads).await, [Some(1)]);
    assert_eq!(read(&cache, &[id(3), id(2), id(1), id(3)], 2, &loads).await, [Some(2), Some(1), Some(2), Some(2)]);
    assert_eq!(loads.load(Ordering::SeqCst), 3, "each missing id once");
    let stats = cache.stats();
    assert_eq!((stats.objects, stats.hits, stats.misses), (3, 1, 4));
    assert!(read(&cache, &[], 9, &loads).await.is_empty());
    assert_eq!(cache.get(id(1), |_| async { Err::<Option<Stored<Site>>, _>("not asked") }).await, Ok(Some(Arc::new(site(1, 2)))));
}

#[tokio::test]
async fn absence_is_believed_for_a_moment() {
    let (cache, clock) = cache();
    let loads = AtomicUsize::new(0);
    let absent = || {
        cache.get(id(1), |_| async {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<Option<Stored<Site>>, Infallible>(None)
        })
    };
    assert_eq!((absent().await, absent().await), (Ok(None), Ok(None)));
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    clock.advance(NEGATIVE_MS);
    assert_eq!(absent().await, Ok(None));
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    cache.invalidate(Stale::object(id(1), 1));
    assert_eq!(read(&cache, &[id(1)], 1, &loads).await, [Some(1)], "made just now");
}

#[tokio::test]
async fn one_flight_serves_all_who_ask_meanwhile() {
    let (cache, _) = cache();
    let loads = Arc::new(AtomicUsize::new(0));
    let (release, released) = oneshot::channel::<()>();
    let (begun, has_begun) = oneshot::channel::<()>();
    let leader = tokio::spawn({
        let (cache, loads) = (cache.clone(), loads.clone());
        async move {
            cache
                .get(id(1), |_| async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    begun.send(()).expect("a listener");
                    released.await.expect("a signal");
                    Ok::<_, Infallible>(Some(site(1, 1)))
                })
                .await
        }
    });
    has_begun.await.expect("the leader loads");
    let started = Arc::new(Barrier::new(21));
    let others: Vec<_> = (0..20)
        .map(|n| {
            let (cache, loads, started) = (cache.clone(), loads.clone(), started.clone());
            tokio::spawn(async move {
                started.wait().await;
                // Half of them want more than the leader loads.
                let ids = if n % 2 == 0 { vec![id(1)] } else { vec![id(1), id(2)] };
                read(&cache, &ids, 7, &loads).await
            })
        })
        .collect();
    started.wait().await;
    tokio::task::yield_now().await;
    release.send(()).expect("the leader waits");
    assert_eq!(leader.await.expect("no panic").expect("never fails").map(|site| site.version), Some(1));
    for other in others {
        let versions = other.await.expect("no panic");
        assert_eq!(versions[0], Some(1), "the leader's");
        assert!(versions.get(1).is_none_or(|version| *version == Some(7)));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 2, "id 1 once and id 2 once");
}

#[tokio::test]
async fn a_leader_that_fails_or_goes_away_poisons_nothing() {
    let (cache, _) = cache();
    let failed: Result<Option<Arc<Stored<Site>>>, _> = cache.get(id(1), |_| async { Err("storage is away") }).await;
    assert_eq!(failed, Err("storage is away"));
    let (begun, has_begun) = oneshot::channel::<()>();
    let hanging = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = |_| async move {
                begun.send(()).expect("a listener");
                std::future::pending::<Result<Option<Stored<Site>>, &str>>().await
            };
            cache.get(id(1), load).await
        }
    });
    has_begun.await.expect("it loads");
    let loads = Arc::new(AtomicUsize::new(0));
    let waiting = tokio::spawn({
        let (cache, loads) = (cache.clone(), loads.clone());
        async move { read(&cache, &[id(1), id(2)], 2, &loads).await }
    });
    tokio::task::yield_now().await;
    hanging.abort();
    assert_eq!(waiting.await.expect("no panic"), [Some(2), Some(2)]);
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refill_that_read_before_the_write_is_not_kept() {
    let (cache, clock) = cache();
    let loads = AtomicUsize::new(0);
    // The load reads version 1; before it ends, version 2 is committed.
    let slow = cache.get(id(1), |_| async {
        cache.invalidate(Stale::object(id(1), 2));
        Ok::<_, Infallible>(Some(site(1, 1)))
    });
    assert_eq!(slow.await.expect("never fails").map(|site| site.version), Some(1), "it began before the write");
    assert_eq!(read(&cache, &[id(1)], 2, &loads).await, [Some(2)]);
    cache.invalidate(Stale::object(id(1), 2));
    cache.invalidate(Stale::object(id(1), 1));
    assert_eq!(read(&cache, &[id(1)], 9, &loads).await, [Some(2)], "a late invalidation of an older version takes nothing away");

    cache.invalidate(Stale::object(id(1), 5));
    cache.invalidate(Stale::object(id(1), 4));
    assert_eq!(read(&cache, &[id(1)], 4, &loads).await, [Some(4)]);
    assert_eq!(read(&cache, &[id(1)], 5, &loads).await, [Some(5)], "4 was not kept");
    cache.invalidate(Stale::object(id(1), 6));
    clock.advance(FLOOR_MS);
    assert_eq!(read(&cache, &[id(1)], 5, &loads).await, [Some(5)]);
    assert_eq!(read(&cache, &[id(1)], 6, &loads).await, [Some(5)], "nothing is remembered for ever");
}

#[tokio::test]
async fn everything_can_be_dropped_even_while_it_is_loaded() {
    let (cache, _) = cache();
    let loads = AtomicUsize::new(0);
    let slow = cache.get(id(1), |_| async {
        cache.invalidate_all();
        Ok::<_, Infallible>(Some(site(1, 1)))
    });
    assert!(slow.await.expect("never fails").is_some());
    assert_eq!(cache.stats().objects, 0);
    assert_eq!(read(&cache, &[id(1)], 2, &loads).await, [Some(2)]);
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_used_stays() {
    let limits = CacheLimits { bytes: 256 << 10, values: 100 };
    let cache = Cache::with_engine(None, limits, clock());
    let loads = AtomicUsize::new(0);
    for n in 0..20_000 {
        read(&cache, &[id(n), id(1_000_000)], 1, &loads).await;
    }
    let stats = cache.stats();
    assert!(stats.bytes_estimate <= 256 << 10, "{stats:?}");
    assert!(stats.objects > 100, "{stats:?}");
    assert_eq!(loads.load(Ordering::SeqCst), 20_001, "the one that is read all the time was loaded once");
    for n in 0..1_000 {
        let key = format!("list {n}");
        cache.value(&key, Duration::from_secs(1), || async { Ok::<_, Infallible>(n) }).await.expect("never fails");
    }
    assert!(cache.stats().values <= 128, "{:?}", cache.stats());
}

#[tokio::test]
async fn values_are_fresh_then_stale_then_gone() {
    let (cache, clock) = cache();
    let ttl = Duration::from_secs(10);
    let read = |n: u64| cache.value("popular", ttl, move || async move { Ok::<_, &str>(n) });
    assert_eq!((*read(1).await.expect("a value"), *read(2).await.expect("a value")), (1, 1));
    clock.advance(10_000);
    // The one who refills gets the new value; whoever asks meanwhile gets the old one.
    let refilled = cache.value("popular", ttl, || async {
        assert_eq!(*read(3).await.expect("a value"), 1);
        Ok::<u64, &str>(4)
    });
    assert_eq!(*refilled.await.expect("a value"), 4);
    clock.advance(15_000);
    let failed = cache.value("popular", ttl, || async { Err::<u64, _>("storage is away") });
    assert_eq!(failed.await.as_deref(), Ok(&4), "an old value is better than an error");
    clock.advance(5_000);
    let failed = cache.value("popular", ttl, || async { Err::<u64, _>("storage is away") });
    assert_eq!(failed.await, Err("storage is away"));
    assert_eq!(*read(5).await.expect("a value"), 5);
    cache.invalidate(Stale::value("popular"));
    assert_eq!(*read(6).await.expect("a value"), 6);
    let other: Arc<String> = cache.value("popular", ttl, || async { Ok::<_, &str>("text".to_owned()) }).await.expect("a value");
    assert_eq!(*other, "text", "a value of another type is a miss");
}

#[tokio::test]
async fn a_value_forgotten_while_it_is_loaded_is_not_kept() {
    let (cache, _) = cache();
    let ttl = Duration::from_secs(10);
    let slow = cache.value("list", ttl, || async {
        cache.invalidate(Stale::value("list"));
        Ok::<_, Infallible>(1)
    });
    assert_eq!(slow.await.as_deref(), Ok(&1));
    assert_eq!(cache.value("list", ttl, || async { Ok::<_, Infallible>(2) }).await.as_deref(), Ok(&2));
    assert_eq!(cache.value("list", ttl, || async { Ok::<_, Infallible>(3) }).await.as_deref(), Ok(&2));
}

#[tokio::test]
async fn a_list_written_while_it_is_loaded_is_not_kept() {
    let (cache, _) = cache();
    let (key, of) = ([list_key(1)], |count| List { count, newest: Vec::new() });
    let slow = cache.lists(&key, |_| async {
        cache.invalidate(Stale::list(key[0].0, key[0].1));
        Ok::<_, Infallible>(vec![of(1)])
    });
    assert_eq!(*slow.await.expect("never fails")[0], of(1));
    assert_eq!(read_lists(&cache, &key, 2).await, [2]);
    assert_eq!(read_lists(&cache, &key, 3).await, [2]);
    cache.others_have_written();
    assert_eq!(read_lists(&cache, &key, 4).await, [4], "whoever is alone is told that others have written, and not what");
}

#[tokio::test]
async fn lists_are_right_when_the_second_level_is_dead() {
    let clock = clock();
    for fault in [Fault::Unavailable, Fault::AnswerLost, Fault::Hang] {
        let faulty = Arc::new(Faulty::new(Arc::new(MemoryEngine::new(clock.clone()))));
        let cache = Cache::with_engine(Some(faulty.clone()), CacheLimits::default(), clock.clone());
        faulty.inject([fault]);
        assert_eq!(read_lists(&cache, &[list_key(1)], 3).await, [3], "{fault:?}");
        faulty.inject([fault]);
        cache.invalidate_many(vec![Stale::list(list_key(1).0, list_key(1).1)]).await;
        assert_eq!(read_lists(&cache, &[list_key(1)], 4).await, [4], "{fault:?}: its own write");
    }
}

/// A second level through which somebody else in the process reads a list just before it learns that the list was written.
#[derive(Debug)]
struct Nosy {
    inner: MemoryEngine,
    cache: std::sync::OnceLock<Cache>,
}

#[async_trait::async_trait]
impl Engine for Nosy {
    async fn get_many(&self, asked: Vec<Asked>) -> crate::Result<Vec<Looked>> {
        self.inner.get_many(asked).await
    }

    async fn fill(&self, refills: Vec<Refill>) -> crate::Result<Vec<bool>> {
        self.inner.fill(refills).await
    }

    async fn invalidate(&self, stale: Vec<Stale>) -> crate::Result<()> {
        if let Some(cache) = self.cache.get() {
            assert_eq!(read_lists(cache, &[list_key(1)], 9).await, [3], "what the second level still has");
        }
        self.inner.invalidate(stale).await
    }

    async fn clear(&self) -> crate::Result<()> {
        self.inner.clear().await
    }
}

#[tokio::test]
async fn a_list_read_while_it_is_being_invalidated_is_not_kept() {
    let clock = clock();
    let nosy = Arc::new(Nosy { inner: MemoryEngine::new(clock.clone()), cache: std::sync::OnceLock::new() });
    let cache = Cache::with_engine(Some(nosy.clone()), CacheLimits::default(), clock);
    assert_eq!(read_lists(&cache, &[list_key(1)], 3).await, [3]);
    nosy.cache.set(cache.clone()).expect("once");
    cache.invalidate_many(vec![Stale::list(list_key(1).0, list_key(1).1)]).await;
    assert_eq!(read_lists(&cache, &[list_key(1)], 4).await, [4], "the process that wrote reads its own write");
}

#[tokio::test]
async fn a_writer_that_has_not_heard_of_a_new_generation_reaches_what_is_in_it() {
    let Some(bed) = Bed::memcached("a_writer_that_has_not_heard_of_a_new_generation_reaches_what_is_in_it", 3, false) else { return };
    // Nobody hears of anything by itself.
    let limits = MemcachedLimits { probe: Duration::from_secs(3_600), ..patient() };
    let url = format!("memcached://{}", bed._servers.iter().map(memcached::Server::address).collect::<Vec<_>>().join(","));
    let engine = || Arc::new(Memcached::new(&url, limits).expect("an engine"));
    let (writer, other) = (Bed { engine: engine(), ..Bed::memory() }, Bed { engine: engine(), ..Bed::memory() });
    let list = Key::List(list_key(1).0, list_key(1).1);
    assert!(matches!(writer.look(1).await, Looked::Lease(_)), "it knows the first generation");
    other.engine.clear().await.expect("an answer");
    let lease = other.lease(1).await;
    assert!(other.fill(1, lease, cell(5)).await);
    let Looked::Lease(lease) = other.look_at(vec![list.clone()]).await.remove(0) else { panic!("nothing is there") };
    let refill = Refill { key: list.clone(), lease, cell: Cell { version: 0, row: Some(vec![1]) }, life_ms: CELL_MS };
    assert_eq!(other.engine.fill(vec![refill]).await.expect("an answer"), [true]);
    let stale = vec![Stale::object(id(1), 6), Stale::list(list_key(1).0, list_key(1).1)];
    writer.engine.invalidate(stale).await.expect("an answer");
    assert!(!matches!(other.look(1).await, Looked::Found(..)), "its write is of version 6");
    assert!(!matches!(other.look_at(vec![list]).await.remove(0), Looked::Found(..)));
    assert!(!matches!(writer.look(1).await, Looked::Away), "it has heard of the generation now");
}

#[tokio::test]
async fn a_list_that_grows_while_its_old_copy_is_read_is_loaded_again() {
    let clock = clock();
    let nosy = Arc::new(Nosy { inner: MemoryEngine::new(clock.clone()), cache: std::sync::OnceLock::new() });
    let cache = Cache::with_engine(Some(nosy.clone()), CacheLimits::default(), clock.clone());
    assert_eq!(read_lists(&cache, &[list_key(1)], 3).await, [3]);
    clock.advance(NEAR_MS);
    nosy.cache.set(cache.clone()).expect("once");
    grow(&cache, cache.begin(), list_key(1), vec![(pin(2), 7)]).await;
    assert_eq!(read_lists(&cache, &[list_key(1)], 5).await, [5], "what was read of the second level meanwhile took its place");
}

#[test]
fn an_unknown_address_is_refused_with_what_is_known() {
    let refused = |url: &str| Cache::open(url, CacheLimits::default()).expect_err("no address").to_string();
    assert_eq!(refused("redis://a"), "'redis://a' is no address for a cache; known are 'memory:' and 'memcached://host:11211'.");
    assert!(refused("memcached://a,,b").contains("a node is a host and a port"));
    for url in ["memory:", "memcached://localhost", "memcached://a:1,b:2/pins"] {
        assert!(Cache::open(url, CacheLimits::default()).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn a_page_from_memory_loads_nothing() {
    let (cache, _) = cache();
    let loads = AtomicUsize::new(0);
    let ids: Vec<Id> = (0..25).map(id).collect();
    let first = read(&cache, &ids, 1, &loads).await;
    let loads_before = loads.load(Ordering::SeqCst);
    assert_eq!(read(&cache, &ids, 1, &loads).await, first);
    assert_eq!(loads.load(Ordering::SeqCst), loads_before);
}
