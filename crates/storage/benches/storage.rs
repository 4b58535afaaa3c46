//! Storage through its service, against the same driver straight to the same MariaDB, in turns, in one run.
//!
//! ```text
//! cargo bench -p storage --bench storage                     durable servers, 64 clients
//! cargo bench -p storage --bench storage -- --seconds 5      how long each turn lasts
//! cargo bench -p storage --bench storage -- --only inserts   one part: reads, latency, batched, inserts
//! cargo bench -p storage --bench storage -- --test           small, sanity asserted
//!
//! ours     this process ─ gRPC ─▶ corkboard serve --roles storage (its own process) ─▶ MariaDB
//! direct   this process ─ mysql_async, one connection per client, prepared statements ─▶ the same MariaDB
//! ```
//! Turns alternate (ABAB), so that a slow minute of the machine meets both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use model::object::{Picture, SCHEMA_VERSION};
use model::{BoardId, Id, ImageId, Kind, Pin, Shard, UserId};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use runtime::SystemClock;
use storage::{Batch, Credentials, Logins, Operator, Quiet, ServerEntry, Storage};
use testkit::mariadb::{OPERATIONS, Options, SITE, Server};
use testkit::{Figure, Site, procfs, site};

const CLIENTS: usize = 64;
const READ_RATIO_GOAL: f64 = 0.55;
const ADDED_P50_US_GOAL: f64 = 150.0;
const ADDED_CPU_US_GOAL: f64 = 40.0;
const BATCHED_GOAL: f64 = 3.0;
const INSERT_RATIO_GOAL: f64 = 1.0;
/// Shards on which the pins are that are read together.
const SHARDS: u16 = 8;
/// Turns of each side.
const TURNS: usize = 2;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let option = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let seconds = option("--seconds").and_then(|seconds| seconds.parse::<f64>().ok());
    let only = option("--only").cloned();
    let known = ["reads", "latency", "batched", "inserts"];
    ensure!(only.as_deref().is_none_or(|only| known.contains(&only)), "--only takes one of {}", known.join(", "));
    if !testkit::mariadb::is_available("bench storage") {
        return Ok(());
    }
    let turn = Duration::from_secs_f64(seconds.unwrap_or(if is_test { 0.3 } else { 4.0 }));
    let pins = if is_test { 200 } else { 20_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(turn, pins, only.as_deref()))?;
    if is_test {
        let of = |name: &str| figures.iter().find(|figure| figure.figure == name).map_or(0.0, |figure| figure.value);
        ensure!(of("point_reads") > 0.0 && of("inserts") > 0.0 && of("batched_get_speedup") > 0.0, "something was not measured");
    }
    for figure in figures {
        println!("{}", figure.json());
    }
    Ok(())
}

/// Everything that the turns need.
struct Bench {
    server: Server,
    site: Site,
    storage: Storage,
    ids: Vec<Id>,
}

async fn measure(turn: Duration, pins: usize, only: Option<&str>) -> anyhow::Result<Vec<Figure>> {
    let bench = Bench::start(pins).await?;
    let is_wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if is_wanted("reads") {
        figures.extend(bench.reads(turn).await?);
    }
    if is_wanted("latency") {
        figures.extend(bench.latency(turn).await?);
    }
    if is_wanted("batched") {
        figures.extend(bench.batched().await?);
    }
    if is_wanted("inserts") {
        figures.extend(bench.inserts(turn).await?);
    }
    Ok(figures)
}

impl Bench {
    /// Starts a durable server, the service before it, and fills in pins.
    async fn start(pins: usize) -> anyhow::Result<Bench> {
        let server = Server::start(Options { durable: true, buffer_pool_mib: 512, ..Options::default() })?;
        let site = Site::prepare(&site::binary()?, &["--roles", "storage"])?;
        let folder = site.data();
        std::fs::create_dir_all(&folder)?;
        let map = folder.join("shards.json");
        let login = |login: testkit::mariadb::Login| Credentials { user: login.user.to_owned(), password: login.password.to_owned() };
        let operator = Operator::new(map.clone(), login(SITE), login(OPERATIONS), Arc::new(Quiet));
        let primary = format!("{}/corkboard", server.address());
        let entry = ServerEntry { name: "a".to_owned(), number: 1, primary, replicas: Vec::new(), disk_gib: None };
        operator.init(vec![entry], false).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.join("corkboard.toml");
        let text = format!(
            "[storage]\nurl = \"mysql:{}\"\nlisten = \"127.0.0.1:{port}\"\nuser = \"{}\"\npassword = \"{}\"\n",
            map.display(),
            SITE.user,
            SITE.password
        );
        std::fs::write(&config, text)?;
        let mut site = site.with_config(&config);
        site.start_until("/readyz")?;
        let storage = Storage::open(&format!("remote:127.0.0.1:{port}"), &Logins::default(), SystemClock::shared()).await?;
        let mut bench = Bench { server, site, storage, ids: Vec::new() };
        for shard in 0..SHARDS {
            for _ in 0..pins / usize::from(SHARDS) {
                bench.ids.push(bench.storage.new_id(Shard(shard), Kind::Pin).await?);
            }
        }
        for chunk in bench.ids.chunk_by(|a, b| a.shard() == b.shard()).flat_map(|shard| shard.chunks(500)) {
            let mut batch = Batch::on(chunk[0].shard());
            chunk.iter().for_each(|id| {
                batch.create(*id, &pin(*id));
            });
            bench.storage.write(batch).await?;
        }
        Ok(bench)
    }

    async fn connect(&self) -> anyhow::Result<Conn> {
        let address = self.server.socket_address();
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(SITE.user))
            .pass(Some(SITE.password))
            .db_name(Some("corkboard"))
            .prefer_socket(false)
            .tcp_nodelay(true);
        Ok(Conn::new(options).await?)
    }

    /// CPU of this process and of the service, in µs.
    fn cpu_us(&self) -> anyhow::Result<f64> {
        let pid = self.site.pid().context("the service has ended")?;
        let (own, service) = (procfs::cpu_time("self")?.own, procfs::cpu_time(&pid.to_string())?.own);
        Ok((own + service).as_secs_f64() * 1e6)
    }

    fn database_cpu_us(&self) -> anyhow::Result<f64> {
        let pid = self.server.pid().context("the server has ended")?;
        Ok(procfs::cpu_time(&pid.to_string())?.own.as_secs_f64() * 1e6)
    }

    async fn reads(&self, turn: Duration) -> anyhow::Result<Vec<Figure>> {
        let (mut ours, mut direct) = (Turn::default(), Turn::default());
        for _ in 0..TURNS {
            ours.add(self.turn(turn, |client| self.our_reader(client)).await?);
            direct.add(self.turn(turn, |client| self.direct_reader(client)).await?);
        }
        let ratio = ours.rate() / direct.rate();
        let of = |name: &str, value: f64, unit: &str| Figure::new("storage", name, value, unit);
        Ok(vec![
            of("point_reads", ours.rate(), "1/s").against("mysql_async direct", ratio),
            of("point_reads_direct", direct.rate(), "1/s"),
            of("point_read_ratio", ratio, "x").at_least(READ_RATIO_GOAL).against("mysql_async direct", ratio),
            of("point_read_cpu_us", ours.client_us(), "µs"),
            of("point_read_added_cpu_us", ours.client_us() - direct.client_us(), "µs").at_most(ADDED_CPU_US_GOAL),
            of("point_read_database_cpu_us", ours.database_us(), "µs"),
            of("point_read_database_cpu_us_direct", direct.database_us(), "µs"),
        ])
    }

    async fn our_reader(&self, client: usize) -> anyhow::Result<Client<'_>> {
        let mut place = client * 7_919;
        Ok(Box::new(move || {
            place += 1;
            let id = self.ids[place * 31 % self.ids.len()];
            Box::pin(async move {
                ensure!(self.storage.get::<Pin>(id).await?.is_some(), "{id} is not there");
                Ok(())
            })
        }))
    }

    async fn direct_reader(&self, client: usize) -> anyhow::Result<Client<'_>> {
        let mut conn = self.connect().await?;
        let statement = conn.prep("SELECT id, data, version, created_at, updated_at, active FROM pins WHERE id = ?").await?;
        let conn = Arc::new(tokio::sync::Mutex::new(conn));
        let mut place = client * 7_919;
        Ok(Box::new(move || {
            place += 1;
            let (id, conn, statement) = (self.ids[place * 31 % self.ids.len()], conn.clone(), statement.clone());
            Box::pin(async move {
                let mut conn = conn.lock().await;
                let row: Option<(i64, String, i64, i64, i64, i64)> = conn.exec_first(&statement, (id.as_i64(),)).await?;
                let (_, data, ..) = row.with_context(|| format!("{id} is not there"))?;
                // The same work as ours: an object, not a text.
                serde_json::from_str::<Pin>(&data)?;
                Ok(())
            })
        }))
    }

    /// One client alone, one call after the other.
    async fn latency(&self, turn: Duration) -> anyhow::Result<Vec<Figure>> {
        let (mut ours, mut direct) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.extend(alone(self.our_reader(1).await?, turn / 2).await?);
            direct.extend(alone(self.direct_reader(1).await?, turn / 2).await?);
        }
        let (ours, direct) = (median_us(ours), median_us(direct));
        let of = |name: &str, value: f64| Figure::new("storage", name, value, "µs");
        Ok(vec![
            of("point_read_p50_us", ours).against("mysql_async direct", ours / direct),
            of("point_read_p50_us_direct", direct),
            of("point_read_added_p50_us", ours - direct).at_most(ADDED_P50_US_GOAL),
        ])
    }

    /// 50 ids over 8 shards in one call, against one by one.
    async fn batched(&self) -> anyhow::Result<Vec<Figure>> {
        let per_shard = self.ids.len() / usize::from(SHARDS);
        let ids: Vec<Id> = (0..50).map(|index| self.ids[(index % usize::from(SHARDS)) * per_shard + index / usize::from(SHARDS)]).collect();
        let (mut together, mut singly) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let started = Instant::now();
            ensure!(self.storage.get_many::<Pin>(&ids).await?.iter().all(Option::is_some), "a pin is not there");
            together.push(started.elapsed());
            let started = Instant::now();
            for id in &ids {
                ensure!(self.storage.get::<Pin>(*id).await?.is_some(), "{id} is not there");
            }
            singly.push(started.elapsed());
        }
        let (together, singly) = (median_us(together), median_us(singly));
        let of = |name: &str, value: f64, unit: &str| Figure::new("storage", name, value, unit);
        Ok(vec![
            of("batched_get_us", together, "µs"),
            of("batched_get_speedup", singly / together, "x").at_least(BATCHED_GOAL).against("one by one", singly / together),
        ])
    }

    async fn inserts(&self, turn: Duration) -> anyhow::Result<Vec<Figure>> {
        let next = Arc::new(AtomicU64::new(1 << 30));
        let (mut ours, mut direct) = (Turn::default(), Turn::default());
        for _ in 0..TURNS {
            ours.add(self.turn(turn, |client| self.our_writer(client, next.clone())).await?);
            direct.add(self.turn(turn, |client| self.direct_writer(client, next.clone())).await?);
        }
        let ratio = ours.rate() / direct.rate();
        let of = |name: &str, value: f64, unit: &str| Figure::new("storage", name, value, unit);
        Ok(vec![
            of("inserts", ours.rate(), "1/s").against("mysql_async direct", ratio),
            of("inserts_direct", direct.rate(), "1/s"),
            of("insert_ratio", ratio, "x").at_least(INSERT_RATIO_GOAL).against("mysql_async direct", ratio),
            of("insert_cpu_us", ours.client_us(), "µs"),
            of("insert_database_cpu_us", ours.database_us(), "µs").against("mysql_async direct", ours.database_us() / direct.database_us()),
        ])
    }

    async fn our_writer(&self, client: usize, next: Arc<AtomicU64>) -> anyhow::Result<Client<'_>> {
        let shard = Shard((client % 512) as u16);
        Ok(Box::new(move || {
            let id = Id::new(shard, Kind::Pin, next.fetch_add(1, Ordering::Relaxed));
            Box::pin(async move {
                let mut batch = Batch::on(shard);
                batch.create(id, &pin(id));
                self.storage.write(batch).await?;
                Ok(())
            })
        }))
    }

    async fn direct_writer(&self, client: usize, next: Arc<AtomicU64>) -> anyhow::Result<Client<'_>> {
        let mut conn = self.connect().await?;
        let sql = "INSERT INTO pins (id, data, version, created_at, updated_at, active) VALUES (?, ?, 1, ?, ?, 1)";
        let statement = conn.prep(sql).await?;
        let conn = Arc::new(tokio::sync::Mutex::new(conn));
        let shard = Shard((client % 512) as u16);
        Ok(Box::new(move || {
            let id = Id::new(shard, Kind::Pin, next.fetch_add(1, Ordering::Relaxed));
            let (conn, statement) = (conn.clone(), statement.clone());
            Box::pin(async move {
                let data = serde_json::to_string(&pin(id))?;
                conn.lock().await.exec_drop(&statement, (id.as_i64(), data, 1_i64, 1_i64)).await?;
                Ok(())
            })
        }))
    }

    /// Lets all clients work for a while.
    async fn turn<'a, F>(&'a self, turn: Duration, make: impl Fn(usize) -> F) -> anyhow::Result<Turn>
    where
        F: Future<Output = anyhow::Result<Client<'a>>>,
    {
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            clients.push(make(client).await?);
        }
        let stop = AtomicBool::new(false);
        let (client_before, database_before, started) = (self.cpu_us()?, self.database_cpu_us()?, Instant::now());
        let work = clients.into_iter().map(|mut call| {
            let stop = &stop;
            async move {
                let mut calls = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    call().await?;
                    calls += 1;
                }
                Ok::<u64, anyhow::Error>(calls)
            }
        });
        let end = async {
            tokio::time::sleep(turn).await;
            stop.store(true, Ordering::Relaxed);
        };
        let (calls, ()) = tokio::join!(futures_util::future::try_join_all(work), end);
        Ok(Turn {
            calls: calls?.iter().sum(),
            took: started.elapsed(),
            client_us: self.cpu_us()? - client_before,
            database_us: self.database_cpu_us()? - database_before,
        })
    }
}

/// One call after the other of one client.
type Client<'a> = Box<dyn FnMut() -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>> + Send + 'a>;

#[derive(Default)]
struct Turn {
    calls: u64,
    took: Duration,
    client_us: f64,
    database_us: f64,
}

impl Turn {
    fn add(&mut self, other: Turn) {
        self.calls += other.calls;
        self.took += other.took;
        self.client_us += other.client_us;
        self.database_us += other.database_us;
    }

    fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// CPU of the callers and of the service, per call.
    fn client_us(&self) -> f64 {
        self.client_us / self.calls.max(1) as f64
    }

    fn database_us(&self) -> f64 {
        self.database_us / self.calls.max(1) as f64
    }
}

async fn alone(mut call: Client<'_>, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let begun = Instant::now();
        call().await?;
        latencies.push(begun.elapsed());
    }
    Ok(latencies)
}

fn median_us(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort_unstable();
    latencies.get(latencies.len() / 2).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
}

/// A pin as people make them: some 700 bytes of JSON.
fn pin(id: Id) -> Pin {
    let shard = id.shard();
    let picture = Picture {
        hash: format!("{:064x}", id.as_u64()),
        width: 600,
        height: 400,
        color: "#aabbcc".to_owned(),
        placeholder: "3OcRJYB4d3h/iIeHeEh3eIhw+j3A".to_owned(),
        format: "jpeg".to_owned(),
        alpha: false,
        animated: false,
    };
    Pin {
        v: SCHEMA_VERSION,
        owner: UserId::new(shard, 1),
        board: BoardId::new(shard, 1),
        section: None,
        title: format!("A pin with the number {}", id.local()),
        description: "What somebody wrote about a picture that they liked, in a sentence or two of ordinary length.".to_owned(),
        alt_text: "A picture of something".to_owned(),
        link: "https://example.org/a/page/with/a/picture".to_owned(),
        domain: "example.org".to_owned(),
        image: ImageId::new(shard, 1),
        picture,
        parent: None,
        root: None,
        tags: Default::default(),
        at: model::Timestamp(1_700_000_000_000),
        trashed_at: None,
        hidden: false,
        source_key: None,
    }
}
