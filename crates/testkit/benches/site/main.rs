//! The whole site under load, against a hello-world of axum on the same machine in the same run.
//!
//! ```text
//! cargo bench -p testkit --bench site                        the graph of CORKBOARD_DATA, highest rate that keeps p99
//! cargo bench -p testkit --bench site -- --rate 3000         one rate
//! cargo bench -p testkit --bench site -- --seconds 30        how long each rate is held
//! cargo bench -p testkit --bench site -- --fleet             on MariaDB, Redis and memcached (fleet.rs), beside a floor (floor.rs, mix.rs)
//! cargo bench -p testkit --bench site -- --fleet --only home the same with one kind of request: home, profile or save
//! cargo bench -p testkit --bench site -- --nodes             what storage and p99 do when cache nodes die (nodes.rs)
//! cargo bench -p testkit --bench site -- --test              small: 24 made-up people, sanity asserted
//!
//! seed     corkboard dev-seed: people, follows, a board of 20 pins each       (a data folder of its own)
//! server   corkboard serve                                                    (its own process)
//! load     60 % home feed of a person, 30 % somebody's profile, 10 % a new pin of a picture that is stored already
//! hello    axum answering "Hello" to everything, driven in the same way       (its own process)
//! ```
//! The load is open-loop: latency counts from the time at which a request was meant to leave. A rate is held when p99 stays
//! within its goal, nothing fails, and the requests did leave. Server, generator and hello share the same two cores.

mod fleet;
mod floor;
mod mix;
mod nodes;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use testkit::{
    Figure, Random, Site,
    http::percent_encoded,
    load::{self, Load, Outcome},
    procfs, site,
};

/// How long what the seeding left may take.
const QUIET_WITHIN: Duration = Duration::from_secs(180);
/// The site uses less than a twentieth of a core for so long: it is done.
const QUIET_FOR: Duration = Duration::from_secs(2);

const RPS_GOAL: f64 = 3_000.0;
const P99_MS_GOAL: f64 = 25.0;
/// Rates that are tried one after the other, until one is not held twice.
const RATES: [f64; 14] =
    [1_000.0, 2_000.0, 2_500.0, 3_000.0, 3_500.0, 4_000.0, 4_500.0, 5_000.0, 6_000.0, 7_000.0, 8_000.0, 10_000.0, 12_000.0, 15_000.0];
const HELLO_RATES: [f64; 9] = [5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0, 40_000.0, 50_000.0, 60_000.0];
const HELLO_SECONDS: f64 = 3.0;
/// Long enough for every home feed to be built once.
const WARM_UP_RATE: f64 = 500.0;
const WARM_UP_SECONDS: f64 = 6.0;
/// Sockets of the generator: more than can be busy at once while p99 holds (rate × p99), so that it never waits for one.
const CONNECTIONS: usize = 128;
/// A rate counts as held when this part of it was answered in its time.
const ACHIEVED_PART: f64 = 0.98;
const DATA_VARIABLE: &str = "CORKBOARD_DATA";
const DATA_DEFAULT: &str = "../shared/data";
const GRAPH: &str = "graph/socfb-Reed98.edges";
/// Kinds of requests, for runs of one kind; its number from 1, or 0 for the mix.
const KINDS: [&str; 3] = ["home", "profile", "save"];
static ONLY: AtomicUsize = AtomicUsize::new(0);
/// The seed of who asks for what: the same requests in every run.
const SEED: u64 = 0x0C0F_FEE0;
/// This program as the hello-world server.
const HELLO_ARGUMENT: &str = "--hello-server";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let number = |name: &str| {
        let value = arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))?;
        value.parse::<f64>().ok().filter(|number| *number > 0.0)
    };
    if has(HELLO_ARGUMENT) {
        return serve_hello();
    }
    // One thread: the generator must not take more of the two cores than it needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if has("--test") {
        return small(&runtime);
    }
    let data = std::env::var_os(DATA_VARIABLE).map_or_else(|| workspace().join(DATA_DEFAULT), PathBuf::from);
    let graph = data.join(GRAPH);
    if !graph.is_file() {
        eprintln!("SKIPPED: {} is not there. Name the folder with the benchmark data in {DATA_VARIABLE}.", graph.display());
        std::process::exit(2);
    }
    let seconds = number("--seconds").unwrap_or(10.0);
    if has("--nodes") {
        return nodes::bench(&runtime, &graph, number("--rate").unwrap_or(nodes::RATE));
    }
    let rates_or = |rates: &[f64]| number("--rate").map_or_else(|| rates.to_vec(), |rate| vec![rate]);
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
    if let Some(only) = only {
        let kind = KINDS.iter().position(|kind| kind == only).with_context(|| format!("--only {only}: known are {}", KINDS.join(", ")))?;
        ONLY.store(kind + 1, Ordering::Relaxed);
    }
    if has("--fleet") {
        return floor::bench(&runtime, &graph, &rates_or(&floor::RATES), seconds);
    }
    let rates = rates_or(&RATES);
    let measured = measure(&runtime, &graph, &rates, seconds)?;
    let hello = measure_hello(&runtime, &HELLO_RATES, HELLO_SECONDS)?;
    for figure in figures(&measured, &hello) {
        println!("{}", figure.json());
    }
    Ok(())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs everything once with little, so that none of it rots.
fn small(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let graph = folder.path().join("small.edges");
    let edges: String = (1..24).map(|person| format!("{person} {}\n", person / 3)).collect();
    std::fs::write(&graph, edges)?;
    let measured = measure(runtime, &graph, &[40.0], 2.0)?;
    let hello = measure_hello(runtime, &[200.0], 0.5)?;
    ensure!(measured.outcome.errors == 0, "{:?}", measured.outcome.first_error);
    ensure!(measured.outcome.latencies.count() == 80, "{} of 80 requests", measured.outcome.latencies.count());
    ensure!(measured.outcome.bytes > 80 * 1_000, "pages of {} bytes in all", measured.outcome.bytes);
    ensure!(hello.outcome.errors == 0, "{:?}", hello.outcome.first_error);
    for figure in figures(&measured, &hello) {
        println!("{}", figure.json());
    }
    Ok(())
}

/// What one rate gave.
struct Measured {
    rate: f64,
    is_held: bool,
    outcome: Outcome,
    server_micros: f64,
    generator_micros: f64,
    resident_bytes: u64,
}

fn figures(measured: &Measured, hello: &Measured) -> Vec<Figure> {
    let of = |name: &str, value: f64, unit: &str| Figure::new("site", name, value, unit);
    let held = if measured.is_held { measured.outcome.requests_per_second() } else { 0.0 };
    let ratio = measured.outcome.requests_per_second() / hello.outcome.requests_per_second();
    vec![
        of("rps", held, "1/s").at_least(RPS_GOAL).against("hello axum", ratio),
        of("p50_ms", measured.outcome.latencies.quantile_ms(0.5), "ms"),
        of("p99_ms", measured.outcome.latencies.quantile_ms(0.99), "ms").at_most(P99_MS_GOAL),
        of("max_ms", measured.outcome.latencies.max_ms(), "ms"),
        of("errors", measured.outcome.errors as f64, "requests").at_most(0.0),
        of("kb_per_answer", measured.outcome.bytes as f64 / 1e3 / measured.outcome.latencies.count().max(1) as f64, "kB"),
        of("cpu_us_per_request", measured.server_micros, "µs").against("hello axum", measured.server_micros / hello.server_micros),
        of("generator_cpu_us_per_request", measured.generator_micros, "µs"),
        of("rss_mb", measured.resident_bytes as f64 / 1e6, "MB"),
        of("hello_rps", hello.outcome.requests_per_second(), "1/s"),
        of("ratio_to_hello", ratio, "x"),
    ]
}

/// What `corkboard dev-seed` prints: who is there, and what they need to act.
#[derive(Deserialize)]
struct Seeded {
    people: Vec<SeededPerson>,
}

#[derive(Deserialize)]
struct SeededPerson {
    username: String,
    /// The value of the session's cookie.
    session: String,
    board: String,
    /// Pins of this person, whose pictures are stored.
    pins: Vec<String>,
}

/// Seeds a site and tries the rates from below; gives the highest that was held, or the lowest when none was.
fn measure(runtime: &tokio::runtime::Runtime, graph: &Path, rates: &[f64], seconds: f64) -> anyhow::Result<Measured> {
    let site = Site::prepare(&site::binary()?, &[])?;
    let seeded = Ready::prepare(runtime, site, graph, WARM_UP_RATE.min(rates[0]), seconds.min(WARM_UP_SECONDS))?;
    best(rates, |rate| run(runtime, seeded.pid, &load_of(&seeded.address, &seeded.request, rate, seconds)))
}

/// A site that was seeded, started and warmed up at a rate.
struct Ready {
    /// Runs as long as this.
    _site: Site,
    pid: u32,
    address: String,
    request: RequestMaker,
}

impl Ready {
    fn prepare(runtime: &tokio::runtime::Runtime, mut site: Site, graph: &Path, rate: f64, seconds: f64) -> anyhow::Result<Ready> {
        let seeded = seed(&site, graph)?;
        eprintln!("seeded {} people; starting the site", seeded.people.len());
        site.restart()?;
        let pid = site.pid().context("the site has ended")?;
        let address = site.base_url().trim_start_matches("http://").to_owned();
        let request = requests(seeded, &address);
        wait_until_quiet(pid)?;
        eprintln!("warming up at {rate} rps for {seconds} s");
        let warmed = runtime.block_on(load::run(&load_of(&address, &request, rate, seconds)));
        ensure!(warmed.errors == 0, "{} errors while warming up; the first: {:?}\n{}", warmed.errors, warmed.first_error, site.log());
        Ok(Ready { _site: site, pid, address, request })
    }
}

/// Waits until the site has done what the seeding left to it: tens of thousands of events to index, mirror and notify of.
fn wait_until_quiet(pid: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < QUIET_WITHIN {
        let before = procfs::cpu_time(&pid.to_string())?.own;
        std::thread::sleep(QUIET_FOR);
        if procfs::cpu_time(&pid.to_string())?.own.saturating_sub(before) < QUIET_FOR / 20 {
            return Ok(());
        }
    }
    eprintln!("the site was still busy with what the seeding left to it after {} s", QUIET_WITHIN.as_secs());
    Ok(())
}

fn load_of(address: &str, request: &RequestMaker, rate: f64, seconds: f64) -> Load {
    let duration = Duration::from_secs_f64(seconds);
    Load {
        address: address.to_owned(),
        requests_per_second: rate,
        duration,
        connections: CONNECTIONS,
        request: Arc::clone(request),
        observer: None,
    }
}

/// Tries rates from below, each a second time when it is not held at first, and stops at the first that is not held.
fn best(rates: &[f64], mut run: impl FnMut(f64) -> anyhow::Result<Measured>) -> anyhow::Result<Measured> {
    let mut held = None;
    for rate in rates {
        let mut measured = run(*rate)?;
        if !measured.is_held && rates.len() > 1 {
            measured = run(*rate)?;
        }
        if !measured.is_held {
            return Ok(held.unwrap_or(measured));
        }
        held = Some(measured);
    }
    held.context("no rate to try")
}

fn run(runtime: &tokio::runtime::Runtime, server: u32, load: &Load) -> anyhow::Result<Measured> {
    let rate = load.requests_per_second;
    eprintln!("{rate:>6} rps for {} s", load.duration.as_secs_f64());
    let server_before = procfs::cpu_time(&server.to_string())?.own;
    let own_before = procfs::cpu_time("self")?.own;
    let outcome = runtime.block_on(load::run(load));
    let count = outcome.latencies.count().max(1) as f64;
    let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / count;
    let p99 = outcome.latencies.quantile_ms(0.99);
    let measured = Measured {
        rate,
        is_held: outcome.errors == 0 && p99 <= P99_MS_GOAL && outcome.requests_per_second() >= ACHIEVED_PART * rate,
        server_micros: micros(procfs::cpu_time(&server.to_string())?.own - server_before),
        generator_micros: micros(procfs::cpu_time("self")?.own - own_before),
        resident_bytes: procfs::resident_bytes(server)?,
        outcome,
    };
    eprintln!(
        "{:>6} rps: {}; p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, {:.0} answered/s, {} errors{}, {:.0} µs server, {:.0} µs generator, {:.0} MB",
        measured.rate,
        if measured.is_held { "held" } else { "NOT held" },
        measured.outcome.latencies.quantile_ms(0.5),
        p99,
        measured.outcome.latencies.max_ms(),
        measured.outcome.requests_per_second(),
        measured.outcome.errors,
        measured.outcome.first_error.as_ref().map_or_else(String::new, |error| format!(" ({error})")),
        measured.server_micros,
        measured.generator_micros,
        measured.resident_bytes as f64 / 1e6,
    );
    Ok(measured)
}

fn seed(site: &Site, graph: &Path) -> anyhow::Result<Seeded> {
    let output = site.command(&["dev-seed"]).arg("--graph").arg(graph).output().context("running corkboard dev-seed")?;
    if !output.status.success() {
        bail!("corkboard dev-seed: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let seeded: Seeded = serde_json::from_slice(&output.stdout).context("what corkboard dev-seed printed")?;
    ensure!(!seeded.people.is_empty(), "corkboard dev-seed made nobody");
    let incomplete = seeded.people.iter().find(|person| person.pins.is_empty() || person.session.is_empty());
    ensure!(incomplete.is_none(), "corkboard dev-seed gave {} no pins or no session", incomplete.map_or("", |person| &person.username));
    Ok(seeded)
}

type RequestMaker = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// Makes the n-th request: the same for the same n.
fn requests(seeded: Seeded, address: &str) -> RequestMaker {
    let address = address.to_owned();
    Arc::new(move |index| {
        let mut random = Random::new(SEED.wrapping_add(index));
        let person = random.pick(&seeded.people);
        let other = random.pick(&seeded.people);
        let head =
            |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncookie: session={}\r\n", person.session);
        let dice = match ONLY.load(Ordering::Relaxed) {
            0 => random.below(10),
            kind => [0, 6, 9][kind - 1],
        };
        match dice {
            0..6 => head("GET", "/") + "\r\n",
            6..9 => head("GET", &format!("/{}", percent_encoded(&other.username))) + "\r\n",
            _ => {
                let path = format!("/pin/{}/save", random.pick(&other.pins));
                let body = format!("board_id={}", person.board);
                head("POST", &path)
                    + &format!(
                        "origin: http://{address}\r\nsec-fetch-site: same-origin\r\nx-fragment: state\r\n\
                         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    )
            }
        }
        .into_bytes()
    })
}

/// Drives the hello-world server in the same way.
fn measure_hello(runtime: &tokio::runtime::Runtime, rates: &[f64], seconds: f64) -> anyhow::Result<Measured> {
    let hello = Hello::start()?;
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", hello.address).into_bytes();
    let request: RequestMaker = Arc::new(move |_| head.clone());
    best(rates, |rate| run(runtime, hello.child.id(), &load_of(&hello.address, &request, rate, seconds)))
}

struct Hello {
    child: Child,
    address: String,
}

impl Hello {
    fn start() -> anyhow::Result<Hello> {
        let mut child = Command::new(std::env::current_exe()?).arg(HELLO_ARGUMENT).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let pipe = child.stdout.take().context("no pipe")?;
        let mut hello = Hello { child, address: String::new() };
        BufReader::new(pipe).read_line(&mut address)?;
        hello.address = address.trim().to_owned();
        ensure!(!hello.address.is_empty(), "the hello-world server did not start");
        Ok(hello)
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The peer: the least that axum can do, on as many threads as there are cores, like the site itself.
fn serve_hello() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let app = axum::Router::new().route("/", axum::routing::get(|| async { "Hello" }));
        axum::serve(listener, app).await?;
        Ok(())
    })
}
