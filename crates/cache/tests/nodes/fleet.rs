//! Several caches over the same nodes and the same truth, and the check of every answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::{Cache, CacheLimits, Memcached, MemcachedLimits, Stale};
use model::{Id, Shard, Site, SiteId, Stored, Timestamp};
use runtime::SystemClock;
use testkit::{Proxy, Random, memcached, wait_for};

pub const NODES: usize = 3;
/// Long enough for a machine that runs other tests.
const LIMIT: Duration = Duration::from_secs(60);
const KEYS: u64 = 200;
const PAGE: u64 = 25;
/// One of so many steps is a write.
const WRITE_EVERY: u64 = 8;
const TASKS_PER_PROCESS: u64 = 2;

/// What storage holds: a version per key. A commit counts it up.
#[derive(Default)]
pub struct Truth {
    versions: Mutex<HashMap<u64, u64>>,
    pub loads: AtomicU64,
    /// When each version was acknowledged, to tell how late others see it.
    acknowledged: Mutex<HashMap<u64, Vec<(u64, Instant)>>>,
}

pub struct Process {
    pub cache: Cache,
    truth: Arc<Truth>,
    /// What this process has been told is written.
    own: Mutex<HashMap<u64, u64>>,
    /// Milliseconds by which an answer was behind what another process had been told before the question.
    late_ms_max: AtomicU64,
}

pub fn id(n: u64) -> Id {
    SiteId::new(Shard(7), n).id()
}

fn site(n: u64, version: u64) -> Stored<Site> {
    let data = serde_json::from_value(serde_json::json!({ "title": format!("site {n} as of {version}") })).expect("a site");
    Stored { id: id(n), version, created_at: Timestamp(1), updated_at: Timestamp(2), active: true, data }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Truth {
    pub fn version(&self, n: u64) -> u64 {
        locked(&self.versions).get(&n).copied().unwrap_or(1)
    }

    fn load(&self, wanted: &[Id]) -> Vec<Option<Stored<Site>>> {
        self.loads.fetch_add(wanted.len() as u64, Ordering::SeqCst);
        wanted.iter().map(|id| Some(site(id.local(), self.version(id.local())))).collect()
    }
}

impl Process {
    /// Reads versions. The load takes a moment, so that writes come between.
    pub async fn read(&self, keys: &[u64]) -> Vec<u64> {
        let truth = self.truth.clone();
        let load = |wanted: Vec<Id>| async move {
            let found = truth.load(&wanted);
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, Infallible>(found)
        };
        let ids: Vec<Id> = keys.iter().map(|n| id(*n)).collect();
        let found: Result<Vec<Option<Arc<Stored<Site>>>>, Infallible> = self.cache.get_many(&ids, load).await;
        found.expect("never fails").into_iter().map(|site| site.map_or(0, |site| site.version)).collect()
    }

    pub async fn write(&self, n: u64) {
        let version = {
            let mut versions = locked(&self.truth.versions);
            let version = versions.entry(n).or_insert(1);
            *version += 1;
            *version
        };
        self.cache.invalidate_many(vec![Stale::object(id(n), version)]).await;
        let mut own = locked(&self.own);
        let known = own.entry(n).or_default();
        *known = version.max(*known);
        locked(&self.truth.acknowledged).entry(n).or_default().push((version, Instant::now()));
    }

    /// Reads, and holds every answer against what this process was told before it asked.
    async fn checked_read(&self, keys: &[u64]) {
        let told: Vec<u64> = keys.iter().map(|n| locked(&self.own).get(n).copied().unwrap_or(1)).collect();
        let asked_at = Instant::now();
        let read = self.read(keys).await;
        for ((n, told), version) in keys.iter().zip(told).zip(read) {
            assert!(version >= told, "key {n}: own write {told} was acknowledged, and then {version} was read");
            let acknowledged = locked(&self.truth.acknowledged);
            let newer = acknowledged.get(n).into_iter().flatten().filter(|(other, at)| *other > version && *at < asked_at);
            if let Some(first) = newer.map(|(_, at)| *at).min() {
                self.late_ms_max.fetch_max((asked_at - first).as_millis() as u64, Ordering::Relaxed);
            }
        }
    }
}

/// Nodes and processes. Process 0 reaches the nodes by ways that can be cut.
pub struct Fleet {
    pub servers: Vec<memcached::Server>,
    pub ways: Vec<Proxy>,
    pub truth: Arc<Truth>,
    pub processes: Vec<Arc<Process>>,
    pub runtime: tokio::runtime::Runtime,
    steps: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Fleet {
    pub fn start(nodes: usize, processes: usize) -> anyhow::Result<Fleet> {
        let servers = (0..nodes).map(|_| memcached::Server::start(memcached::Options::default())).collect::<anyhow::Result<Vec<_>>>()?;
        let ways = servers.iter().map(memcached::Server::proxy).collect::<anyhow::Result<Vec<_>>>()?;
        let url = format!("memcached://{}", servers.iter().map(memcached::Server::address).collect::<Vec<_>>().join(","));
        let truth: Arc<Truth> = Arc::default();
        let limits = MemcachedLimits { probe: Duration::from_millis(300), ..MemcachedLimits::default() };
        let process = |index: usize| {
            let engine = match index {
                0 => Memcached::by_ways(&url, limits, ways.iter().map(Proxy::address).collect()),
                _ => Memcached::new(&url, limits),
            };
            let cache = Cache::with_engine(Some(Arc::new(engine?)), CacheLimits::default(), SystemClock::shared());
            Ok(Arc::new(Process { cache, truth: truth.clone(), own: Mutex::default(), late_ms_max: AtomicU64::new(0) }))
        };
        let processes = (0..processes).map(process).collect::<anyhow::Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (steps, is_over) = (Arc::default(), Arc::default());
        Ok(Fleet { servers, ways, truth, processes, runtime, steps, is_over, tasks: Vec::new() })
    }

    /// Lets all processes read pages and write, from a seed, until the end.
    pub fn work(&mut self, seed: u64) {
        for (index, process) in self.processes.iter().enumerate() {
            for task in 0..TASKS_PER_PROCESS {
                let mut random = Random::new(seed + index as u64 * TASKS_PER_PROCESS + task);
                let (process, steps, is_over) = (process.clone(), self.steps.clone(), self.is_over.clone());
                self.tasks.push(self.runtime.spawn(async move {
                    while !is_over.load(Ordering::SeqCst) {
                        let first = random.below(KEYS);
                        if random.below(WRITE_EVERY) == 0 {
                            process.write(first).await;
                            process.checked_read(&[first]).await;
                        } else {
                            let page: Vec<u64> = (first..first + PAGE).map(|n| n % KEYS).collect();
                            process.checked_read(&page).await;
                        }
                        steps.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }));
            }
        }
    }

    /// Waits until so many more steps have been made, which also shows that none hangs.
    pub fn steps(&self, count: u64) -> anyhow::Result<()> {
        let until = self.steps.load(Ordering::SeqCst) + count;
        wait_for("the processes to go on", LIMIT, || match self.steps.load(Ordering::SeqCst) {
            steps if steps >= until => Ok(()),
            steps => Err(format!("{steps} of {until} steps")),
        })
    }

    /// Ends the work and waits until every process reads the truth. A task that saw a wrong answer has panicked.
    pub fn settle(&mut self, what: &str) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            self.runtime.block_on(task)?;
        }
        for (index, process) in self.processes.iter().enumerate() {
            self.await_truth(index)?;
            let late = process.late_ms_max.load(Ordering::Relaxed);
            println!("{what}: process {index} was {late} ms late at most for what others had written");
        }
        println!("{what}: {} steps, {} objects loaded", self.steps.load(Ordering::SeqCst), self.truth.loads.load(Ordering::SeqCst));
        Ok(())
    }

    /// Waits until a process reads the truth of every key.
    pub fn await_truth(&self, index: usize) -> anyhow::Result<()> {
        let keys: Vec<u64> = (0..KEYS).collect();
        wait_for("a process to read the truth", LIMIT, || {
            let read = self.runtime.block_on(self.processes[index].read(&keys));
            let wrong: Vec<_> = keys.iter().zip(read).filter(|(n, version)| self.truth.version(**n) != *version).collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("process {index} reads {wrong:?}")) }
        })
    }
}
