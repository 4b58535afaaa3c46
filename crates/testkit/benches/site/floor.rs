//! The site on MariaDB, Redis and memcached, all on the same cores, beside a floor: a program that asks these servers for the same per
//! request, and does nothing else.
//!
//! ```text
//! site    generator ─ HTTP ─▶ site ─▶ MariaDB, Redis, memcached      highest rate that keeps p99
//! floor   64 tasks: per request  Redis: the same commands, in as many writes as the site's
//!                                memcached: as many look-ups in one write, and as many values and removals in another
//!                                MariaDB: as many reads, one after the other, and rows committed in as many transactions
//! ```
//! Counts are the servers' own, of the rate that was held; commands of Redis and reads of MariaDB are replayed as they were seen. What
//! writes in MariaDB goes into a table of its own. The floor is a closed loop: its rate is as much as there is, whatever its p99.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable as _};
use testkit::{Figure, Random, load};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Measured, Ready, best,
    fleet::{self, Fleet},
    load_of,
    mix::{Counts, Samples, administrator},
    run, wait_until_quiet,
};

/// Rates that are tried one after the other, until one is not held twice.
pub const RATES: [f64; 13] =
    [250.0, 500.0, 1_000.0, 1_500.0, 2_000.0, 2_500.0, 2_750.0, 3_000.0, 3_500.0, 4_000.0, 4_250.0, 4_500.0, 5_000.0];
const RPS_GOAL: f64 = 2_700.0;
const RATIO_GOAL: f64 = 0.5;
const P99_MS_GOAL: f64 = 25.0;
const TASKS: usize = 64;
/// Long enough for every home feed to be built: what builds one is a hundred pages' work.
const WARM_UP_RATE: f64 = 250.0;
const WARM_UP_SECONDS: f64 = 30.0;
/// About what a row of the site is, and a value in memcached.
const ROW_BYTES: usize = 400;
/// Keys that the floor writes in memcached, besides those that it reads.
const WRITTEN_KEYS: usize = 10_000;

pub fn bench(runtime: &tokio::runtime::Runtime, graph: &Path, rates: &[f64], seconds: f64) -> anyhow::Result<()> {
    if !testkit::skip::can_run("bench site --fleet", fleet::missing()) {
        return Ok(());
    }
    let fleet = Fleet::start()?;
    let ready = Ready::prepare(runtime, fleet.site()?, graph, WARM_UP_RATE, WARM_UP_SECONDS)?;
    let mut mixes = Vec::new();
    let mut saturated: f64 = 0.0;
    let measured = best(rates, |rate| {
        let (before, spent) = (Counts::read(&fleet)?, fleet.cpu_times()?);
        let measured = run(runtime, ready.pid, &load_of(&ready.address, &ready.request, rate, seconds))?;
        let requests = measured.outcome.latencies.count().max(1) as f64;
        eprintln!("            of CPU per request: {}", spent_since(&fleet, &spent, requests)?);
        saturated = saturated.max(measured.outcome.requests_per_second());
        mixes.push((measured.is_held, Counts::read(&fleet)?.since(&before, requests)));
        Ok(measured)
    })?;
    let place = mixes.iter().rposition(|(is_held, _)| *is_held).unwrap_or(0);
    let mix = mixes.swap_remove(place).1;
    eprintln!("per request:\n{}", mix.shown());
    // A rate that was not held leaves pins to be delivered late, which is other work.
    wait_until_quiet(ready.pid)?;
    let sampled = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| Samples::take(&fleet));
        runtime.block_on(load::run(&load_of(&ready.address, &ready.request, measured.rate, 4.0)));
        sampler.join()
    });
    let samples = sampled.map_err(|_| anyhow::anyhow!("taking samples panicked"))??;
    eprintln!("reads of MariaDB in the samples:\n{}", samples.shapes());
    drop(ready);
    let (asked, spent) = (Counts::read(&fleet)?, fleet.cpu_times()?);
    let (count, floor) = measure_floor(&fleet, &mix, samples, seconds)?;
    eprintln!("floor: {floor:.0}/s; of CPU per request: {}", spent_since(&fleet, &spent, count)?);
    eprintln!("per request of the floor:\n{}", Counts::read(&fleet)?.since(&asked, count).shown());
    for figure in figures(&measured, &mix, saturated, floor) {
        println!("{}", figure.json());
    }
    Ok(())
}

/// Tells what CPU each kind of server has used since `before`, per request.
fn spent_since(fleet: &Fleet, before: &[(&str, Duration)], requests: f64) -> anyhow::Result<String> {
    let after = fleet.cpu_times()?;
    let micros = after
        .iter()
        .zip(before)
        .map(|((name, after), (_, before))| format!("{name} {:.0} µs", (*after - *before).as_secs_f64() * 1e6 / requests));
    Ok(micros.collect::<Vec<_>>().join(", "))
}

fn figures(measured: &Measured, mix: &Counts, saturated: f64, floor: f64) -> Vec<Figure> {
    let of = |name: &str, value: f64, unit: &str| Figure::new("site_fleet", name, value, unit);
    let held = if measured.is_held { measured.outcome.requests_per_second() } else { 0.0 };
    vec![
        of("rps", held, "1/s").at_least(RPS_GOAL),
        of("p50_ms", measured.outcome.latencies.quantile_ms(0.5), "ms"),
        of("p99_ms", measured.outcome.latencies.quantile_ms(0.99), "ms").at_most(P99_MS_GOAL),
        of("errors", measured.outcome.errors as f64, "requests").at_most(0.0),
        of("cpu_us_per_request", measured.server_micros, "µs"),
        of("redis_commands_per_request", mix.of("redis total_commands_processed"), ""),
        of("memcached_gets_per_request", mix.of("memcached cmd_get") + mix.of("memcached cmd_meta"), ""),
        of("mariadb_selects_per_request", mix.of("mariadb Com_select"), ""),
        of("mariadb_commits_per_request", mix.of("mariadb Com_commit"), ""),
        of("floor_rps", floor, "1/s"),
        of("ratio_to_floor", held / floor.max(1.0), "x").at_least(RATIO_GOAL),
        // Like the floor, without a goal for p99.
        of("answered_at_most", saturated, "1/s").against("floor", saturated / floor.max(1.0)),
    ]
}

/// What a floor's request is.
struct Plan {
    samples: Samples,
    redis_commands: f64,
    redis_trips: f64,
    gets: f64,
    sets: f64,
    deletes: f64,
    selects: f64,
    commits: f64,
    /// Within one transaction.
    statements: f64,
    rows: f64,
}

fn measure_floor(fleet: &Fleet, mix: &Counts, samples: Samples, seconds: f64) -> anyhow::Result<(f64, f64)> {
    ensure!(!samples.redis.is_empty() && !samples.selects.is_empty(), "no samples of what Redis and MariaDB were asked");
    let sum = |names: [&str; 3]| names.iter().map(|name| mix.of(name)).sum::<f64>();
    let commits = mix.of("mariadb Com_commit").max(1e-6);
    let plan = Plan {
        redis_commands: mix.of("redis total_commands_processed") * samples.sent_part,
        redis_trips: mix.of("redis total_reads_processed").max(1e-6),
        gets: mix.of("memcached cmd_get"),
        sets: mix.of("memcached cmd_set"),
        deletes: mix.of("memcached delete_hits") + mix.of("memcached delete_misses"),
        selects: mix.of("mariadb Com_select"),
        commits,
        statements: sum(["mariadb Com_insert", "mariadb Com_update", "mariadb Com_delete"]) / commits,
        rows: sum(["mariadb Handler_write", "mariadb Handler_update", "mariadb Handler_delete"]) / commits,
        samples,
    };
    fleet.database.sql(
        "CREATE DATABASE floor; CREATE TABLE floor.written (id BIGINT AUTO_INCREMENT PRIMARY KEY, data VARBINARY(1000)) ENGINE = InnoDB",
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = Arc::new(AtomicU64::new(0));
    let plan = Arc::new(plan);
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for index in 0..TASKS {
            let opened = Asker::open(fleet, Arc::clone(&plan), index as u64).await?;
            tasks.push((opened, Arc::clone(&done)));
        }
        let started = Instant::now();
        let lasts = Duration::from_secs_f64(seconds);
        let running: Vec<_> = tasks
            .into_iter()
            .map(|(mut asker, done)| {
                tokio::spawn(async move {
                    while started.elapsed() < lasts {
                        asker.request().await?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in running {
            task.await??;
        }
        let count = done.load(Ordering::Relaxed) as f64;
        Ok((count, count / started.elapsed().as_secs_f64()))
    })
}

/// One task of the floor, with a connection to each server.
struct Asker {
    plan: Arc<Plan>,
    redis: TcpStream,
    nodes: Vec<TcpStream>,
    database: Conn,
    /// A text may hold several, so that some requests have more than their part and the next ones none.
    selects_due: f64,
    random: Random,
    buffer: Vec<u8>,
    row: String,
}

impl Asker {
    async fn open(fleet: &Fleet, plan: Arc<Plan>, seed: u64) -> anyhow::Result<Asker> {
        let login = administrator();
        let address = fleet.database.socket_address();
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .prefer_socket(false)
            .user(Some(login.user))
            .pass(Some(login.password))
            .db_name(Some("corkboard"));
        let mut nodes = Vec::new();
        for node in &fleet.nodes {
            nodes.push(connected(&node.address()).await?);
        }
        Ok(Asker {
            plan,
            redis: connected(&fleet.redis.address()).await?,
            nodes,
            database: Conn::new(options).await.context("the floor's connection to MariaDB")?,
            selects_due: 0.0,
            random: Random::new(seed),
            buffer: Vec::with_capacity(64 * 1024),
            row: "x".repeat(ROW_BYTES),
        })
    }

    /// A whole number whose mean is `mean`.
    fn about(&mut self, mean: f64) -> usize {
        let part = self.random.below(1_000_000) as f64 / 1e6;
        mean.floor() as usize + usize::from(part < mean.fract())
    }

    async fn request(&mut self) -> anyhow::Result<()> {
        let plan = Arc::clone(&self.plan);
        for _ in 0..self.about(plan.redis_trips) {
            let count = self.about(plan.redis_commands / plan.redis_trips);
            let from = self.random.index(plan.samples.redis.len());
            let commands = plan.samples.redis.iter().cycle().skip(from).take(count);
            let bytes: Vec<u8> = commands.flatten().copied().collect();
            exchange(&mut self.redis, &bytes, count, &mut self.buffer, resp_end).await?;
        }
        let gets = self.about(plan.gets);
        let node = self.random.index(self.nodes.len());
        let keys = &plan.samples.keys[node];
        if !keys.is_empty() {
            let bytes = (0..gets).map(|_| format!("mg {} f c v\r\n", self.random.pick(keys))).collect();
            self.ask_memcached(node, gets, bytes).await?;
        }
        let (sets, deletes) = (self.about(plan.sets), self.about(plan.deletes));
        let node = self.random.index(self.nodes.len());
        let mut bytes = String::new();
        for _ in 0..sets {
            bytes += &format!("ms floor:{} {ROW_BYTES}\r\n{}\r\n", self.random.index(WRITTEN_KEYS), self.row);
        }
        for _ in 0..deletes {
            bytes += &format!("md floor:{}\r\n", self.random.index(WRITTEN_KEYS));
        }
        self.ask_memcached(node, sets + deletes, bytes).await?;
        self.selects_due += plan.selects;
        while self.selects_due > 0.0 {
            let statement = self.random.pick(&plan.samples.selects);
            self.selects_due -= select_count(statement) as f64;
            self.database.query_iter(statement.as_str()).await?.drop_result().await?;
        }
        for _ in 0..self.about(plan.commits) {
            self.write(&plan).await?;
        }
        Ok(())
    }

    async fn ask_memcached(&mut self, node: usize, count: usize, bytes: String) -> anyhow::Result<()> {
        if count == 0 {
            return Ok(());
        }
        exchange(&mut self.nodes[node], bytes.as_bytes(), count, &mut self.buffer, meta_end).await
    }

    async fn write(&mut self, plan: &Plan) -> anyhow::Result<()> {
        self.database.query_drop("BEGIN").await?;
        for _ in 0..self.about(plan.statements) {
            let rows = self.about(plan.rows / plan.statements.max(1e-6));
            if rows > 0 {
                let values = vec![format!("('{}')", self.row); rows].join(",");
                self.database.query_drop(format!("INSERT INTO floor.written (data) VALUES {values}")).await?;
            }
        }
        self.database.query_drop("COMMIT").await?;
        Ok(())
    }
}

/// Counts what a text of several statements reads with, as the server does.
fn select_count(text: &str) -> usize {
    text.split(';')
        .filter(|statement| statement.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("SELECT")))
        .count()
        .max(1)
}

async fn connected(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes commands and reads as many answers, without understanding them.
async fn exchange(
    stream: &mut TcpStream,
    bytes: &[u8],
    count: usize,
    buffer: &mut Vec<u8>,
    end: fn(&[u8], usize) -> Option<usize>,
) -> anyhow::Result<()> {
    stream.write_all(bytes).await?;
    buffer.clear();
    let (mut answered, mut at) = (0, 0);
    while answered < count {
        match end(buffer, at) {
            Some(next) => (answered, at) = (answered + 1, next),
            None => {
                if stream.read_buf(buffer).await? == 0 {
                    bail!("a server has closed the floor's connection");
                }
            }
        }
    }
    Ok(())
}

/// Finds the line at `at`: its text and where the next begins.
fn line(buffer: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = buffer.get(at..)?.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&buffer[at..at + length], at + length + 2))
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(-1)
}

/// Finds the end of one answer of Redis.
fn resp_end(buffer: &[u8], at: usize) -> Option<usize> {
    let (head, next) = line(buffer, at)?;
    match head.first()? {
        b'$' if number(&head[1..]) >= 0 => {
            let end = next + number(&head[1..]) as usize + 2;
            (end <= buffer.len()).then_some(end)
        }
        b'*' => (0..number(&head[1..]).max(0)).try_fold(next, |at, _| resp_end(buffer, at)),
        _ => Some(next),
    }
}

/// Finds the end of one answer of memcached.
fn meta_end(buffer: &[u8], at: usize) -> Option<usize> {
    let (head, next) = line(buffer, at)?;
    match head.strip_prefix(b"VA ") {
        Some(rest) => {
            let end = next + number(rest.split(|byte| *byte == b' ').next()?).max(0) as usize + 2;
            (end <= buffer.len()).then_some(end)
        }
        None => Some(next),
    }
}
