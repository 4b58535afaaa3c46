//! Feeds in Redis: fan-out against bare pipelined pushes, pages at a steady rate, memory against bare lists; one private server.
//!
//! ```text
//! cargo bench -p feeds --bench feeds                  20 authors, 10,000 followers of each
//! cargo bench -p feeds --bench feeds -- --test        small, sanity asserted
//!
//! ours     Feeds::publish ─▶ followers read, one script per bucket, feeds cut
//! floor    LPUSHX to copies of the feeds, in pipelines of 1,000: no followers read, nothing cut
//! ```
//! CPU time is this process's and the server's together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use feeds::{BoardFacts, Change, Feeds, Limits, PinFacts, Target};
use model::{BoardId, PinId, Shard, UserId};
use redis::{Pipeline, Value};
use runtime::{SharedClock, SystemClock};
use testkit::redis::{Options, Server};
use testkit::{Figure, Histogram, Random, procfs};
use tokio::sync::Mutex;

const DELIVERIES_GOAL: f64 = 100_000.0;
const HOME_P99_MS_GOAL: f64 = 5.0;
const LAG_P99_MS_GOAL: f64 = 1_000.0;
const BYTES_RATIO_GOAL: f64 = 1.3;
const AUTHORS: u64 = 20;
const PAGE: usize = 25;
const PIPELINE: usize = 1_000;
/// Followers whom a job reaches between two checkpoints.
const DELIVERED: usize = 5_000;

struct Size {
    followers: u64,
    published: u64,
    rps: u32,
    seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    if !testkit::redis::is_available("bench feeds") {
        return Ok(());
    }
    let size = match is_test {
        true => Size { followers: 200, published: 20, rps: 100, seconds: 1 },
        false => Size { followers: 10_000, published: 60, rps: 2_000, seconds: 20 },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(&size))?;
    for figure in &figures {
        ensure!(figure.value > 0.0, "{} was not measured", figure.figure);
    }
    for figure in figures {
        println!("{}", figure.json());
    }
    Ok(())
}

fn author(n: u64) -> UserId {
    UserId::new(Shard(7), 1 + n)
}

fn follower(n: u64) -> UserId {
    UserId::new(Shard((n % 64) as u16), 1_000 + n)
}

fn board(n: u64) -> BoardId {
    BoardId::new(Shard(7), 1 + n)
}

struct Bench {
    server: Server,
    feeds: Feeds,
    clock: SharedClock,
    next: u64,
}

async fn measure(size: &Size) -> anyhow::Result<Vec<Figure>> {
    let mut bench = Bench::start(size).await?;
    let mut figures = bench.memory().await?;
    figures.extend(bench.home(size).await?);
    figures.extend(bench.fan_out(size).await?);
    Ok(figures)
}

impl Bench {
    async fn start(size: &Size) -> anyhow::Result<Bench> {
        let server = Server::start(Options::default())?;
        let clock = SystemClock::shared();
        let limits = Limits { merge_threshold: 1_000_000, ..Limits::default() };
        let feeds = Feeds::open(&server.url(), clock.clone(), limits)?;
        feeds.clear().await?;
        feeds.complete(0).await?;
        let mut bench = Bench { server, feeds, clock, next: 0 };
        let now = bench.clock.now();
        let boards = (0..AUTHORS).map(|n| Change::Board { board: board(n), facts: Some(BoardFacts { owner: author(n), listed: true }) });
        bench.feeds.apply(boards.collect()).await?;
        for first in (0..size.followers).step_by(200) {
            let readers = first..(first + 200).min(size.followers);
            let follows = readers.flat_map(|reader| (0..AUTHORS).map(move |n| (follower(reader), author(n))));
            let follows = follows.map(|(user, author)| Change::Follow { user, target: Target::User(author), on: true, at: now });
            bench.feeds.apply(follows.collect()).await?;
        }
        // A minute apart, as in the feed of somebody who follows a few busy people.
        let mut old: Vec<PinFacts> = (0..100).map(|_| bench.pin()).collect();
        old.iter_mut().rev().zip(1..).for_each(|(facts, minutes)| facts.at = now.plus(-60_000 * minutes));
        for n in 0..size.followers {
            bench.feeds.home(follower(n), None, PAGE).await?;
            bench.feeds.fill(follower(n), old.clone(), None).await?;
        }
        Ok(bench)
    }

    /// A new pin of one author after the other.
    fn pin(&mut self) -> PinFacts {
        self.next += 1;
        let n = self.next % AUTHORS;
        let pin = PinId::new(Shard(7), self.next);
        PinFacts { pin, owner: author(n), board: board(n), topics: Vec::new(), domain: String::new(), at: self.clock.now() }
    }

    async fn connection(&self) -> anyhow::Result<redis::aio::MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(redis::Client::open(self.server.url())?.get_multiplexed_async_connection_with_config(&config).await?)
    }

    async fn memory(&mut self) -> anyhow::Result<Vec<Figure>> {
        let entries = 1_000;
        let reader = UserId::new(Shard(9), 999_999);
        let facts: Vec<PinFacts> = (0..entries).map(|_| self.pin()).collect();
        self.feeds.home(reader, None, PAGE).await?;
        self.feeds.fill(reader, facts.clone(), None).await?;
        let mut connection = self.connection().await?;
        let home = self.keys(&mut connection, &format!("*:h:{}", reader.id())).await?.pop().context("no feed")?;
        for facts in &facts {
            let entry = [facts.at.0.to_be_bytes(), facts.pin.id().as_u64().to_be_bytes()].concat();
            redis::cmd("RPUSH").arg("bare").arg(entry).query_async::<()>(&mut connection).await?;
        }
        let usage = async |key: &[u8], connection: &mut redis::aio::MultiplexedConnection| -> anyhow::Result<f64> {
            Ok(redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query_async(connection).await?)
        };
        let (ours, bare) = (usage(&home, &mut connection).await?, usage(b"bare", &mut connection).await?);
        let pins = self.keys(&mut connection, &format!("*:p:{}", facts[0].pin.id())).await?;
        let pin = usage(pins.first().context("no pin")?, &mut connection).await?;
        let follows = self.keys(&mut connection, &format!("*:fo:{}", author(0).id())).await?;
        let edges: f64 = redis::cmd("ZCARD").arg(&follows[0]).query_async(&mut connection).await?;
        let edge = usage(&follows[0], &mut connection).await? / edges;
        redis::cmd("DEL").arg("bare").query_async::<()>(&mut connection).await?;
        let per_entry = ours / entries as f64;
        Ok(vec![
            Figure::new("feeds", "bytes_per_entry", per_entry, "bytes").against("bare list", ours / bare),
            Figure::new("feeds", "bytes_ratio_to_bare_list", ours / bare, "ratio").at_most(BYTES_RATIO_GOAL),
            Figure::new("feeds", "bytes_per_pin", pin, "bytes"),
            Figure::new("feeds", "bytes_per_follower_edge_end", edge, "bytes"),
        ])
    }

    async fn keys(&self, connection: &mut redis::aio::MultiplexedConnection, pattern: &str) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(redis::cmd("KEYS").arg(pattern).query_async(connection).await?)
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        let server = self.server.pid().context("the server runs")?;
        Ok(procfs::cpu_time("self")?.own + procfs::cpu_time(&server.to_string())?.own)
    }

    async fn fan_out(&mut self, size: &Size) -> anyhow::Result<Vec<Figure>> {
        let (mut ours, mut floor, mut latencies) = (Duration::ZERO, Duration::ZERO, Histogram::default());
        let mut connection = self.connection().await?;
        // The floor has copies, so that what it pushes stands in no feed.
        let mut bare = Vec::new();
        for home in self.keys(&mut connection, "*:h:*").await? {
            let copy = [b"bare:", &home[..]].concat();
            redis::cmd("COPY").arg(&home).arg(&copy).query_async::<()>(&mut connection).await?;
            bare.push(copy);
        }
        // In turns, so that a slow minute of the machine meets both.
        let turns = 4;
        for _ in 0..turns {
            let before = self.cpu()?;
            for _ in 0..size.published / turns {
                let pin = self.pin();
                let started = Instant::now();
                for rest in self.feeds.publish(pin).await? {
                    let mut left = Some(rest);
                    while let Some(rest) = left {
                        left = self.feeds.deliver(rest, DELIVERED).await?;
                    }
                }
                latencies.record(started.elapsed());
            }
            ours += self.cpu()? - before;
            let before = self.cpu()?;
            for _ in 0..size.published / turns {
                let pin = self.pin();
                let entry = [pin.at.0.to_be_bytes(), pin.pin.id().as_u64().to_be_bytes()].concat();
                for keys in bare.chunks(PIPELINE) {
                    let mut pipeline = Pipeline::with_capacity(keys.len());
                    for key in keys {
                        pipeline.cmd("LPUSHX").arg(key).arg(&entry);
                    }
                    pipeline.query_async::<Vec<Value>>(&mut connection).await?;
                }
            }
            floor += self.cpu()? - before;
        }
        let deliveries = (size.published / turns * turns * size.followers) as f64;
        for keys in bare.chunks(PIPELINE) {
            redis::cmd("UNLINK").arg(keys).query_async::<()>(&mut connection).await?;
        }
        let (ours, floor) = (deliveries / ours.as_secs_f64(), deliveries / floor.as_secs_f64());
        Ok(vec![
            Figure::new("feeds", "deliveries_per_s_core", ours, "1/s").at_least(DELIVERIES_GOAL).against("pipelined LPUSHX", ours / floor),
            Figure::new("feeds", "pipelined_pushes_per_s_core", floor, "1/s"),
            Figure::new("feeds", "cpu_per_delivery", 1e6 / ours, "µs"),
            Figure::new("feeds", "delivery_lag_p50", latencies.quantile_ms(0.5), "ms"),
            Figure::new("feeds", "delivery_lag_p99", latencies.quantile_ms(0.99), "ms").at_most(LAG_P99_MS_GOAL),
        ])
    }

    /// Pages at a steady rate, whether or not the earlier ones have come back; each counts from when it was to begin.
    async fn home(&self, size: &Size) -> anyhow::Result<Vec<Figure>> {
        let latencies = Arc::new(Mutex::new(Histogram::default()));
        let mut random = Random::new(7);
        let count = u64::from(size.rps) * size.seconds;
        let before = self.cpu()?;
        let started = Instant::now();
        let mut pages = Vec::new();
        for n in 0..count {
            let due = started + Duration::from_secs(1) * n as u32 / size.rps;
            tokio::time::sleep_until(due.into()).await;
            let (feeds, latencies, reader) = (self.feeds.clone(), latencies.clone(), follower(random.below(size.followers)));
            pages.push(tokio::spawn(async move {
                let page = feeds.home(reader, None, PAGE).await;
                latencies.lock().await.record(due.elapsed());
                page
            }));
        }
        let mut rates = 0;
        for page in pages {
            let page = page.await??;
            ensure!(page.present && page.entries.len() == PAGE, "a page is not full: {page:?}");
            rates += 1;
        }
        let cpu = self.cpu()? - before;
        let rps = f64::from(rates) / started.elapsed().as_secs_f64();
        let latencies = latencies.lock().await;
        Ok(vec![
            Figure::new("feeds", "home_pages_per_s", rps, "1/s"),
            Figure::new("feeds", "home_p50", latencies.quantile_ms(0.5), "ms"),
            Figure::new("feeds", "home_p99", latencies.quantile_ms(0.99), "ms").at_most(HOME_P99_MS_GOAL),
            Figure::new("feeds", "home_cpu_per_page", cpu.as_secs_f64() * 1e6 / f64::from(rates), "µs"),
        ])
    }
}
