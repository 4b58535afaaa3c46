//! What every second level must do (one list of tests, one line per engine), and what the front makes of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::time::ManualClock;
use model::{Id, Shard, Site, SiteId, Stored, Timestamp};
use tokio::sync::{Barrier, oneshot};

use crate::engine::{Cell, Engine, Fault, Faulty, Looked, MemoryEngine};
use crate::limits::{FLOOR_MS, LEASE_MS, NEGATIVE_MS};
use crate::{Cache, CacheLimits};

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() {
            let clock = super::clock();
            super::$test(std::sync::Arc::new(super::MemoryEngine::new(clock.clone())), clock).await;
        })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            let clock = super::clock();
            let inner = std::sync::Arc::new(super::MemoryEngine::new(clock.clone()));
            super::$test(std::sync::Arc::new(super::Faulty::new(inner)), clock).await;
        })* }
    };
}

contract!(
    one_caller_gets_the_lease_and_its_cell_is_found,
    an_invalidation_takes_the_lease_and_older_versions,
    a_lease_runs_out,
    two_caches_share_one_load,
    a_write_reaches_the_second_level,
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
    Cell { version, bytes: vec![version as u8] }
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

async fn one_caller_gets_the_lease_and_its_cell_is_found(engine: Arc<dyn Engine>, _clock: Arc<ManualClock>) {
    let looked = engine.get_many(vec![id(1), id(2)]).await.expect("an answer");
    let [Looked::Lease(one), Looked::Lease(_)] = looked[..] else { panic!("{looked:?}") };
    assert_eq!(engine.get_many(vec![id(1)]).await.expect("an answer"), [Looked::Busy]);
    assert_eq!(engine.fill(vec![(id(1), one + 100, cell(3))]).await.expect("an answer"), [false], "another lease");
    assert_eq!(engine.fill(vec![(id(1), one, cell(3))]).await.expect("an answer"), [true]);
    assert_eq!(engine.get_many(vec![id(2), id(1)]).await.expect("an answer"), [Looked::Busy, Looked::Found(cell(3))]);
    engine.clear().await.expect("an answer");
    assert!(matches!(engine.get_many(vec![id(1)]).await.expect("an answer")[..], [Looked::Lease(_)]));
}

async fn an_invalidation_takes_the_lease_and_older_versions(engine: Arc<dyn Engine>, _clock: Arc<ManualClock>) {
    let looked = engine.get_many(vec![id(1)]).await.expect("an answer");
    let [Looked::Lease(early)] = looked[..] else { panic!("{looked:?}") };
    engine.invalidate(vec![(id(1), 5)]).await.expect("an answer");
    assert_eq!(engine.fill(vec![(id(1), early, cell(4))]).await.expect("an answer"), [false], "read before the write");
    let looked = engine.get_many(vec![id(1)]).await.expect("an answer");
    let [Looked::Lease(later)] = looked[..] else { panic!("{looked:?}") };
    assert_eq!(engine.fill(vec![(id(1), later, cell(4))]).await.expect("an answer"), [false], "still older");
    assert_eq!(engine.fill(vec![(id(1), later, cell(5))]).await.expect("an answer"), [true]);
    engine.invalidate(vec![(id(1), 5)]).await.expect("an answer");
    assert_eq!(engine.get_many(vec![id(1)]).await.expect("an answer"), [Looked::Found(cell(5))], "not older than itself");
    engine.invalidate(vec![(id(1), 6)]).await.expect("an answer");
    assert!(matches!(engine.get_many(vec![id(1)]).await.expect("an answer")[..], [Looked::Lease(_)]));
}

async fn a_lease_runs_out(engine: Arc<dyn Engine>, clock: Arc<ManualClock>) {
    let looked = engine.get_many(vec![id(1)]).await.expect("an answer");
    let [Looked::Lease(dead)] = looked[..] else { panic!("{looked:?}") };
    clock.advance(LEASE_MS);
    let looked = engine.get_many(vec![id(1)]).await.expect("an answer");
    let [Looked::Lease(next)] = looked[..] else { panic!("{looked:?}") };
    assert_eq!(engine.fill(vec![(id(1), dead, cell(1))]).await.expect("an answer"), [false]);
    assert_eq!(engine.fill(vec![(id(1), next, cell(1))]).await.expect("an answer"), [true]);
}

async fn two_caches_share_one_load(engine: Arc<dyn Engine>, clock: Arc<ManualClock>) {
    let caches = [(), ()].map(|()| Cache::with_engine(Some(engine.clone()), CacheLimits::default(), clock.clone()));
    let loads = AtomicUsize::new(0);
    for cache in &caches {
        assert_eq!(read(cache, &[id(1), id(2), id(1)], 4, &loads).await, [Some(4), Some(4), Some(4)]);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

async fn a_write_reaches_the_second_level(engine: Arc<dyn Engine>, clock: Arc<ManualClock>) {
    let cache = Cache::with_engine(Some(engine.clone()), CacheLimits::default(), clock.clone());
    let loads = AtomicUsize::new(0);
    assert_eq!(read(&cache, &[id(1)], 1, &loads).await, [Some(1)]);
    cache.invalidate(id(1), 2);
    // The second level is told in the background.
    while matches!(engine.get_many(vec![id(1)]).await.expect("an answer")[..], [Looked::Found(_)]) {
        tokio::task::yield_now().await;
    }
    clock.advance(LEASE_MS);
    assert_eq!(read(&cache, &[id(1)], 2, &loads).await, [Some(2)]);
    assert_eq!(read(&cache, &[id(1)], 9, &loads).await, [Some(2)], "from memory");
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
    cache.invalidate(id(1), 1);
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
        cache.invalidate(id(1), 2);
        Ok::<_, Infallible>(Some(site(1, 1)))
    });
    assert_eq!(slow.await.expect("never fails").map(|site| site.version), Some(1), "it began before the write");
    assert_eq!(read(&cache, &[id(1)], 2, &loads).await, [Some(2)]);
    cache.invalidate(id(1), 2);
    cache.invalidate(id(1), 1);
    assert_eq!(read(&cache, &[id(1)], 9, &loads).await, [Some(2)], "a late invalidation of an older version takes nothing away");

    cache.invalidate(id(1), 5);
    cache.invalidate(id(1), 4);
    assert_eq!(read(&cache, &[id(1)], 4, &loads).await, [Some(4)]);
    assert_eq!(read(&cache, &[id(1)], 5, &loads).await, [Some(5)], "4 was not kept");
    cache.invalidate(id(1), 6);
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
    cache.forget("popular");
    assert_eq!(*read(6).await.expect("a value"), 6);
    let other: Arc<String> = cache.value("popular", ttl, || async { Ok::<_, &str>("text".to_owned()) }).await.expect("a value");
    assert_eq!(*other, "text", "a value of another type is a miss");
}

#[tokio::test]
async fn a_value_forgotten_while_it_is_loaded_is_not_kept() {
    let (cache, _) = cache();
    let ttl = Duration::from_secs(10);
    let slow = cache.value("list", ttl, || async {
        cache.forget("list");
        Ok::<_, Infallible>(1)
    });
    assert_eq!(slow.await.as_deref(), Ok(&1));
    assert_eq!(cache.value("list", ttl, || async { Ok::<_, Infallible>(2) }).await.as_deref(), Ok(&2));
    assert_eq!(cache.value("list", ttl, || async { Ok::<_, Infallible>(3) }).await.as_deref(), Ok(&2));
}

#[test]
fn an_unknown_address_is_refused_with_what_is_known() {
    let error = Cache::open("memcached://localhost", CacheLimits::default()).expect_err("not built yet").to_string();
    assert_eq!(error, "'memcached://localhost' is no address for a cache; known is 'memory:'.");
    assert!(Cache::open("memory:", CacheLimits::default()).is_ok());
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
