//! Everything that runs in one seed: database servers with ways to them, storage processes, and operations on the command line.
//!
//! ```text
//! this process ── remote: ──▶ storage 0, storage 1 ──┬─ way to a ──▶ a ── replication of a ──▶ replica of a ◀── way to it
//!                corkboard storage move, failover ───┴─ way to b ──▶ b ── replication of b ──▶ replica of b ◀── way to it
//! ```
//!
//! Dropping it ends every process.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use storage::{Credentials, Logins, Storage};
use testkit::mariadb::{OPERATIONS, Options, REPLICATION, SITE, Server};
use testkit::{Proxy, Site, site};

use crate::history::History;
use crate::schedule::{Role, Schedule, Way};

/// Long enough that no commit ever goes on without its replica.
const SEMI_SYNC: Option<Duration> = Some(Duration::from_secs(3_600));
const DATABASE: &str = "corkboard";
/// Storage processes in front of the fleet.
pub const PROCESSES: usize = 2;

pub struct Fleet {
    servers: [Option<Mutex<Server>>; 4],
    ways: [Option<Proxy>; 4],
    replication: [Option<Proxy>; 2],
    processes: Vec<Mutex<Site>>,
    addresses: Vec<String>,
    /// Never started: commands are run on its data folder.
    operator: Site,
    map: PathBuf,
    folder: tempfile::TempDir,
}

/// How a command ended.
pub enum Ended {
    Well,
    Badly(String),
    Killed,
}

impl Fleet {
    /// Starts servers and storage processes, with tables and a map.
    pub fn start(schedule: &Schedule) -> anyhow::Result<Fleet> {
        let folder = tempfile::Builder::new().prefix("corkboard-chaos-").tempdir()?;
        let mut fleet = Fleet {
            servers: [const { None }; 4],
            ways: [const { None }; 4],
            replication: [const { None }; 2],
            processes: Vec::new(),
            addresses: Vec::new(),
            operator: Site::prepare(&site::binary()?, &[])?,
            map: folder.path().join("shards.json"),
            folder,
        };
        fleet.add_server(Role::A, Role::ReplicaOfA, 1, true)?;
        fleet.add_server(Role::B, Role::ReplicaOfB, 2, schedule.has_replica_of_b)?;
        fleet.operator = Site::prepare(&site::binary()?, &[])?.with_config(&fleet.config("operator", &fleet.map, None)?);
        fleet.init(schedule.has_replica_of_b)?;
        for index in 0..PROCESSES {
            fleet.add_process(index, schedule.shares_map_file)?;
        }
        Ok(fleet)
    }

    fn add_server(&mut self, role: Role, replica_role: Role, domain: u32, has_replica: bool) -> anyhow::Result<()> {
        let semi_sync = if has_replica { SEMI_SYNC } else { None };
        let primary = Server::start(Options { server_id: domain * 2, gtid_domain: domain, semi_sync, ..Options::default() })?;
        if has_replica {
            let options = Options { gtid_domain: domain, ..Options::replica(domain * 2 + 1) };
            let replica = Server::replica_of(&primary, options)?;
            let way = primary.proxy()?;
            replica.follow(way.socket_address())?;
            self.replication[domain as usize - 1] = Some(way);
            self.ways[replica_role as usize] = Some(replica.proxy()?);
            self.servers[replica_role as usize] = Some(Mutex::new(replica));
        }
        self.ways[role as usize] = Some(primary.proxy()?);
        self.servers[role as usize] = Some(Mutex::new(primary));
        Ok(())
    }

    fn init(&self, has_replica_of_b: bool) -> anyhow::Result<()> {
        let place = |name: &str, role: Role| Ok::<_, anyhow::Error>(format!("{name}={}", self.place(role)?));
        let mut arguments = vec!["storage", "init"];
        let [a, b, replica_of_a] = [place("a", Role::A)?, place("b", Role::B)?, place("a", Role::ReplicaOfA)?];
        let replica_of_b = if has_replica_of_b { place("b", Role::ReplicaOfB)? } else { String::new() };
        arguments.extend(["--server", &a, "--server", &b, "--replica", &replica_of_a]);
        if has_replica_of_b {
            arguments.extend(["--replica", &replica_of_b]);
        }
        let output = self.operator.command(&arguments).output()?;
        ensure!(output.status.success(), "storage init: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn add_process(&mut self, index: usize, shares_map_file: bool) -> anyhow::Result<()> {
        // Taken and given back, so that the process can have it again after its death.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let map = if shares_map_file { self.map.clone() } else { self.folder.path().join(format!("shards-{index}.json")) };
        if !shares_map_file {
            fs::copy(&self.map, &map)?;
        }
        let config = self.config(&format!("storage-{index}"), &map, Some(&address))?;
        let mut process = Site::prepare(&site::binary()?, &["--roles", "storage"])?.with_config(&config);
        process.restart()?;
        self.processes.push(Mutex::new(process));
        self.addresses.push(address);
        Ok(())
    }

    fn config(&self, name: &str, map: &Path, listen: Option<&str>) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(format!("{name}.toml"));
        let mut text =
            format!("[storage]\nurl = \"mysql:{}\"\nuser = \"{}\"\npassword = \"{}\"\n", map.display(), SITE.user, SITE.password);
        match listen {
            Some(address) => text += &format!("listen = \"{address}\"\n"),
            None => {
                text += &format!("admin_user = \"{}\"\nadmin_password = \"{}\"\n", OPERATIONS.user, OPERATIONS.password);
                text += &format!("replication_user = \"{}\"\nreplication_password = \"{}\"\n", REPLICATION.user, REPLICATION.password);
            }
        }
        fs::write(&path, text)?;
        Ok(path)
    }

    /// How the map names a server: by the way to it.
    pub fn place(&self, role: Role) -> anyhow::Result<String> {
        let way = self.ways[role as usize].as_ref().with_context(|| format!("there is no {role:?}"))?;
        Ok(format!("{}/{DATABASE}", way.address()))
    }

    /// `None` when this run has no such server.
    pub fn server(&self, role: Role) -> Option<MutexGuard<'_, Server>> {
        self.servers[role as usize].as_ref().map(|server| server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn way(&self, way: Way) -> Option<&Proxy> {
        match way {
            Way::To(role) => self.ways[role as usize].as_ref(),
            Way::ReplicationOfA => self.replication[0].as_ref(),
            Way::ReplicationOfB => self.replication[1].as_ref(),
        }
    }

    /// Opens every way.
    pub fn mend_ways(&self) {
        self.ways.iter().chain(&self.replication).flatten().for_each(Proxy::reconnect);
    }

    pub fn process(&self, index: usize) -> MutexGuard<'_, Site> {
        self.processes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills a storage process at once; what it said is kept.
    pub fn kill_process(&self, process: &mut Site, index: usize) {
        process.kill9();
        self.append(&format!("storage-{index}.log"), &process.log());
    }

    /// Opens the store as the site does: over the network, by the addresses of all storage processes.
    pub async fn open_remote(&self) -> anyhow::Result<Storage> {
        let url = format!("remote:{}", self.addresses.join(","));
        Ok(Storage::open(&url, &Logins::default(), runtime::SystemClock::shared()).await?)
    }

    /// Opens the store past the storage processes.
    pub async fn open_direct(&self) -> anyhow::Result<Storage> {
        let database = Credentials { user: SITE.user.to_owned(), password: SITE.password.to_owned() };
        let logins = Logins { database, ..Logins::default() };
        Ok(Storage::open(&format!("mysql:{}", self.map.display()), &logins, runtime::SystemClock::shared()).await?)
    }

    /// Tells where the shard map's file of the operations says that `a` is.
    pub fn primary_of_a(&self) -> anyhow::Result<String> {
        let map = storage::ShardMap::parse(&fs::read_to_string(&self.map)?)?;
        Ok(map.server("a").context("the map has no server a")?.primary.clone())
    }

    /// Runs a command of the operator's, and kills it after a while if asked to.
    pub fn operate(&self, arguments: &[&str], kill_after: Option<Duration>, history: &History) -> anyhow::Result<Ended> {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("operations.log"))?;
        let printed = tempfile::NamedTempFile::new_in(self.folder.path())?;
        let mut command: Command = self.operator.command(arguments);
        command.stdout(log).stderr(printed.reopen()?);
        let mut child = KilledAtEnd(command.stdin(Stdio::null()).spawn()?);
        let started = Instant::now();
        let shown = arguments.join(" ");
        history.note(format!("operation {shown}"));
        // Not a wait for a state alone: the moment of the kill is left to chance.
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            if kill_after.is_some_and(|after| started.elapsed() >= after) {
                drop(child);
                history.note(format!("operation {shown}: killed after {:?}", started.elapsed()));
                return Ok(Ended::Killed);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let said = fs::read_to_string(printed.path())?;
        history.note(format!("operation {shown}: {status} {}", said.trim()));
        Ok(if status.success() { Ended::Well } else { Ended::Badly(said.trim().to_owned()) })
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        let kept = fs::read_to_string(&path).unwrap_or_default();
        // A log that can't be kept is no reason to end the run.
        let _ = fs::write(&path, kept + text);
    }

    /// Keeps what there is to read about a failed run, and says where.
    pub fn keep_logs(&self, history: &History) -> anyhow::Result<PathBuf> {
        for (index, process) in self.processes.iter().enumerate() {
            self.append(&format!("storage-{index}.log"), &process.lock().unwrap_or_else(PoisonError::into_inner).log());
        }
        for role in [Role::A, Role::ReplicaOfA, Role::B, Role::ReplicaOfB] {
            if let Some(server) = self.server(role) {
                self.append(&format!("{role:?}.log"), &server.log());
            }
        }
        self.append("history.log", &history.text());
        let kept = std::env::temp_dir().join(format!("corkboard-chaos-failed-{}", std::process::id()));
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        Ok(kept)
    }
}

/// A command that never outlives its caller.
struct KilledAtEnd(Child);

impl Drop for KilledAtEnd {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
