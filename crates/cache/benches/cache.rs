//! Look-ups in memcached through the engine, against a bare socket that sends the same commands, in turns, in one run.
//!
//! ```text
//! cargo bench -p cache --bench cache                     one memcached with two threads
//! cargo bench -p cache --bench cache -- --seconds 5      how long each turn lasts
//! cargo bench -p cache --bench cache -- --test           small, sanity asserted
//!
//! ours    callers ─ Engine::get_many ─▶ one connection ─▶ memcached
//! floor   one task: write the commands of a page (or of 64 callers), read until all answers are there ─▶ the same memcached
//! ```
//! CPU is this process's, memcached's not counted. Turns alternate (ABAB), so that a slow minute of the machine meets both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cache::{Asked, Cache, CacheLimits, Cell, Engine, Key, Looked, Memcached, MemcachedLimits, Refill};
use model::{Id, Shard, Site, SiteId, Stored, Timestamp};
use runtime::SystemClock;
use testkit::memcached::{Options, Server};
use testkit::{Figure, procfs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PAGE: usize = 25;
const CALLERS: usize = 64;
/// About what a pin is as JSON.
const ROW_BYTES: usize = 500;
const RATIO_GOAL: f64 = 0.5;
/// Turns of each side.
const TURNS: usize = 2;
const LIFE_MS: u64 = 3_600_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let seconds = arguments.iter().position(|argument| argument == "--seconds").and_then(|at| arguments.get(at + 1)?.parse::<f64>().ok());
    if !testkit::memcached::is_available("bench cache") {
        return Ok(());
    }
    let turn = Duration::from_secs_f64(seconds.unwrap_or(if is_test { 0.1 } else { 3.0 }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(turn, if is_test { 500 } else { 20_000 }))?;
    if is_test {
        ensure!(figures.iter().all(|figure| figure.value > 0.0 || figure.figure.ends_with("cpu_us")), "something was not measured");
    }
    for figure in figures {
        println!("{}", figure.json());
    }
    Ok(())
}

fn id(n: u64) -> Id {
    SiteId::new(Shard(7), n).id()
}

fn keys(count: usize, from: u64, among: u64) -> Vec<Asked> {
    (0..count as u64).map(|n| Asked { key: Key::Object(id((from + n) % among)), held: None, stale_ms: 60_000 }).collect()
}

/// What a turn did: operations per second, and CPU per operation.
#[derive(Clone, Copy, Default)]
struct Turn {
    per_second: f64,
    cpu_us: f64,
}

/// Runs `callers` tasks that each do `operation` again and again.
async fn turn<F, Fut>(time: Duration, callers: usize, operation: F) -> anyhow::Result<Turn>
where
    F: Fn(u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<u64>> + Send,
{
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (cpu, started) = (procfs::cpu_time("self")?.own, Instant::now());
    let tasks: Vec<_> = (0..callers as u64)
        .map(|caller| {
            let (is_over, count, operation) = (is_over.clone(), count.clone(), operation.clone());
            tokio::spawn(async move {
                let mut n = caller * 7_919;
                while !is_over.load(Ordering::Relaxed) {
                    count.fetch_add(operation(n).await?, Ordering::Relaxed);
                    n += PAGE as u64;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let (took, used) = (started.elapsed(), procfs::cpu_time("self")?.own - cpu);
    let count = count.load(Ordering::Relaxed) as f64;
    Ok(Turn { per_second: count / took.as_secs_f64(), cpu_us: used.as_secs_f64() * 1e6 / count.max(1.0) })
}

fn mean(turns: &[Turn]) -> Turn {
    let of = |value: fn(&Turn) -> f64| turns.iter().map(value).sum::<f64>() / turns.len() as f64;
    Turn { per_second: of(|turn| turn.per_second), cpu_us: of(|turn| turn.cpu_us) }
}

/// A bare socket: sends the commands of `count` keys in one write, and reads until all answers have come.
struct Floor {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Floor {
    async fn get(&mut self, count: usize, from: u64, among: u64) -> anyhow::Result<u64> {
        let mut commands = String::with_capacity(count * 48);
        for n in 0..count as u64 {
            commands.push_str(&format!("mg floor.{:x} f c v N10 R60\r\n", id((from + n) % among).as_u64()));
        }
        self.stream.write_all(commands.as_bytes()).await?;
        self.buffer.clear();
        // All rows have one size, so that the answers end after so many lines: rows hold none.
        let mut lines = 0;
        while lines < count * 2 {
            let before = self.buffer.len();
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "memcached has closed the connection");
            lines += self.buffer[before..].iter().filter(|byte| **byte == b'\n').count();
        }
        Ok(1)
    }
}

async fn measure(time: Duration, among: u64) -> anyhow::Result<Vec<Figure>> {
    let server = Server::start(Options { memory_mib: 256, threads: 2, ..Options::default() })?;
    let engine: Arc<dyn Engine> = Arc::new(Memcached::new(
        &format!("memcached://{}", server.address()),
        MemcachedLimits { call: Duration::from_secs(2), ..MemcachedLimits::default() },
    )?);
    let stream = TcpStream::connect(server.socket_address()).await?;
    stream.set_nodelay(true)?;
    let floor = Arc::new(tokio::sync::Mutex::new(Floor { stream, buffer: Vec::new() }));
    fill(&engine, &floor, among).await?;

    let engine_page = {
        let engine = engine.clone();
        move |count: usize| {
            let engine = engine.clone();
            move |n: u64| {
                let engine = engine.clone();
                async move {
                    let looked = engine.get_many(keys(count, n, among)).await?;
                    ensure!(looked.iter().all(|looked| matches!(looked, Looked::Found(_, None))), "not everything was there");
                    Ok(1)
                }
            }
        }
    };
    let floor_page = |count: usize, worth: u64| {
        let floor = floor.clone();
        move |n: u64| {
            let floor = floor.clone();
            async move { Ok(floor.lock().await.get(count, n, among).await? * worth) }
        }
    };
    let mut turns: [Vec<Turn>; 5] = Default::default();
    for _ in 0..TURNS {
        turns[0].push(turn(time, 1, floor_page(PAGE, 1)).await?);
        turns[1].push(turn(time, 1, engine_page(PAGE)).await?);
        turns[2].push(turn(time, 1, floor_page(CALLERS, CALLERS as u64)).await?);
        turns[3].push(turn(time, CALLERS, engine_page(1)).await?);
        turns[4].push(turn(time, CALLERS, engine_page(PAGE)).await?);
    }
    let [floor_pages, pages, floor_gets, gets, crowded] = turns.map(|turns| mean(&turns));
    let near = near(time, &engine).await?;
    let figure = |name: &str, value: f64, unit: &str| Figure::new("cache", name, value, unit);
    let page_ratio = pages.per_second / floor_pages.per_second;
    let get_ratio = gets.per_second / floor_gets.per_second;
    Ok(vec![
        figure("floor_pages", floor_pages.per_second, "1/s"),
        figure("floor_page_cpu_us", floor_pages.cpu_us, "µs"),
        figure("pages", pages.per_second, "1/s").against("bare socket", page_ratio),
        figure("page_cpu_us", pages.cpu_us, "µs").against("bare socket", pages.cpu_us / floor_pages.cpu_us),
        figure("page_ratio", page_ratio, "").at_least(RATIO_GOAL),
        figure("pages_of_64_callers", crowded.per_second, "1/s"),
        figure("page_of_64_callers_cpu_us", crowded.cpu_us, "µs"),
        figure("floor_gets", floor_gets.per_second, "1/s"),
        figure("floor_get_cpu_us", floor_gets.cpu_us, "µs"),
        figure("gets_of_64_callers", gets.per_second, "1/s").against("bare socket", get_ratio),
        figure("get_of_64_callers_cpu_us", gets.cpu_us, "µs").against("bare socket", gets.cpu_us / floor_gets.cpu_us),
        figure("near_pages", near.per_second, "1/s"),
        figure("near_page_cpu_us", near.cpu_us, "µs"),
    ])
}

/// Puts the same rows in under both sides' names.
async fn fill(engine: &Arc<dyn Engine>, floor: &tokio::sync::Mutex<Floor>, among: u64) -> anyhow::Result<()> {
    let row = vec![b'x'; ROW_BYTES];
    for from in (0..among).step_by(100) {
        let asked = keys(100, from, among);
        let looked = engine.get_many(asked.clone()).await?;
        let refill = |(asked, looked): (Asked, Looked)| match looked {
            Looked::Lease(lease) => {
                Some(Refill { key: asked.key, lease, cell: Cell { version: 1, row: Some(row.clone()) }, life_ms: LIFE_MS })
            }
            _ => None,
        };
        let refills: Vec<Refill> = asked.into_iter().zip(looked).filter_map(refill).collect();
        ensure!(engine.fill(refills).await?.iter().all(|kept| *kept), "a row was not kept");
        let mut floor = floor.lock().await;
        for n in from..from + 100 {
            let mut command = format!("ms floor.{:x} {ROW_BYTES} F1 T3600\r\n", id(n % among).as_u64()).into_bytes();
            command.extend_from_slice(&row);
            command.extend_from_slice(b"\r\n");
            floor.stream.write_all(&command).await?;
            let mut answer = [0; 4];
            floor.stream.read_exact(&mut answer).await.context("no answer")?;
            ensure!(&answer == b"HD\r\n", "memcached keeps nothing");
        }
    }
    Ok(())
}

/// Pages of which everything is near: what a look-up costs before anybody is asked, renewals each second included.
async fn near(time: Duration, engine: &Arc<dyn Engine>) -> anyhow::Result<Turn> {
    let cache = Cache::with_engine(Some(engine.clone()), CacheLimits::default(), SystemClock::shared());
    let ids: Arc<Vec<Id>> = Arc::new((1_000_000..1_000_000 + PAGE as u64).map(id).collect());
    turn(time, 1, move |_| {
        let (cache, ids) = (cache.clone(), ids.clone());
        async move {
            // So many in a row that the loop's own cost is not seen.
            for _ in 0..100 {
                let load =
                    |wanted: Vec<Id>| async move { Ok::<_, std::convert::Infallible>(wanted.iter().map(|id| Some(site(*id))).collect()) };
                let found: Vec<Option<Arc<Stored<Site>>>> = cache.get_many(&ids, load).await?;
                ensure!(found.iter().all(Option::is_some), "not everything was there");
            }
            tokio::task::yield_now().await;
            Ok(100)
        }
    })
    .await
}

fn site(id: Id) -> Stored<Site> {
    let data = serde_json::from_value(serde_json::json!({ "title": "a site" })).expect("a site");
    Stored { id, version: 1, created_at: Timestamp(1), updated_at: Timestamp(2), active: true, data }
}
