//! All servers of the map, as this process sees them now. Maps come from a file or from the servers themselves; the newest holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::Shard;
use parking_lot::{Mutex, RwLock};

use super::keeper;
use super::lane::{Done, Turned, Work};
use super::node::{Node, Process};
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::shard_map::{RangeEntry, ShardMap};

/// How long a write looks for the server that takes it: longer than a shard is ever frozen, shorter than the front's deadline.
const PATIENCE: Duration = Duration::from_secs(6);
/// First wait of a write that was turned away; it doubles up to a fifth of a second.
const PAUSE: Duration = Duration::from_millis(5);
/// A map that was looked for less than this ago is not looked for again.
const REFRESH_INTERVAL: Duration = Duration::from_millis(50);
/// How long one server may take to tell its map. A dead one must not hold up the others.
pub(super) const MAP_TIME: Duration = Duration::from_millis(1_500);

pub(crate) struct Cluster {
    topology: RwLock<Arc<Topology>>,
    pub(super) process: Process,
    /// Where the newest map is kept for the next start; `None` for a cluster that is found through one of its servers.
    file: Option<PathBuf>,
    closed: AtomicBool,
    refreshed_at: tokio::sync::Mutex<Option<Instant>>,
    /// Serialises changes of the topology.
    adopting: Mutex<()>,
}

/// A map with a node for each of its servers.
pub(super) struct Topology {
    pub map: ShardMap,
    pub nodes: HashMap<String, Arc<Node>>,
}

impl Cluster {
    /// Starts on a map.
    pub fn start(map: ShardMap, process: Process, file: Option<PathBuf>) -> Result<Arc<Cluster>> {
        map.check()?;
        let empty = Topology { map: ShardMap { epoch: 0, ..map.clone() }, nodes: HashMap::new() };
        let cluster = Arc::new(Cluster {
            topology: RwLock::new(Arc::new(empty)),
            process,
            file,
            closed: AtomicBool::new(false),
            refreshed_at: tokio::sync::Mutex::default(),
            adopting: Mutex::default(),
        });
        cluster.adopt(map)?;
        Ok(cluster)
    }

    pub(super) fn topology(&self) -> Result<Arc<Topology>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Unavailable("Storage is closed.".to_owned()));
        }
        Ok(self.topology.read().clone())
    }

    pub fn epoch(&self) -> u64 {
        self.topology.read().map.epoch
    }

    /// Up to when all servers were asked for the commits of others, and could have taken any.
    pub fn others_known_until(&self) -> Option<Instant> {
        let topology = self.topology.read();
        topology.nodes.values().map(|node| *node.heard_at.lock()).min()?
    }

    pub fn map(&self) -> ShardMap {
        self.topology.read().map.clone()
    }

    /// Takes a newer map. Servers that stay keep their connections.
    pub(super) fn adopt(self: &Arc<Cluster>, map: ShardMap) -> Result<bool> {
        let _turn = self.adopting.lock();
        let old = self.topology.read().clone();
        if map.epoch <= old.map.epoch || self.closed.load(Ordering::Acquire) {
            return Ok(false);
        }
        map.check()?;
        let mut nodes = HashMap::new();
        for entry in &map.servers {
            let node = match old
                .nodes
                .get(&entry.name)
                .filter(|node| node.entry.primary == entry.primary && node.entry.replicas == entry.replicas)
            {
                Some(node) => node.clone(),
                None => {
                    let node = Arc::new(Node::start(entry, &self.process)?);
                    node.keep(keeper::start(Arc::downgrade(self), Arc::downgrade(&node)));
                    node
                }
            };
            nodes.insert(entry.name.clone(), node);
        }
        if old.map.epoch > 0 {
            tracing::info!(epoch = map.epoch, before = old.map.epoch, "a newer shard map");
        }
        metrics::gauge!(names::MAP_EPOCH).set(map.epoch as f64);
        self.keep_file(&map);
        *self.topology.write() = Arc::new(Topology { map, nodes });
        Ok(true)
    }

    /// Keeps the map for the next start: written beside and renamed, so that a crash leaves the old one or the new one.
    fn keep_file(&self, map: &ShardMap) {
        let Some(path) = &self.file else { return };
        if read_map(path).is_ok_and(|kept| kept.epoch >= map.epoch) {
            return;
        }
        if let Err(error) = write_map(path, map) {
            tracing::warn!(%error, path = %path.display(), "the newer shard map was not written to its file; it is found again through the servers");
        }
    }

    /// Looks for a newer map: in the file, and on every server that answers.
    pub(super) async fn refresh(self: &Arc<Cluster>) -> Result<()> {
        let mut refreshed_at = self.refreshed_at.lock().await;
        if refreshed_at.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL) {
            return Ok(());
        }
        let topology = self.topology()?;
        metrics::counter!(names::MAP_REFRESHES_TOTAL).increment(1);
        let told = keeper::maps(&topology).await;
        let file = self.file.as_ref().and_then(|path| read_map(path).ok());
        if let Some(newest) = told.into_iter().chain(file).max_by_key(|map| map.epoch) {
            self.adopt(newest)?;
        }
        // A move whose end nobody told: the server that had the shards says where they went.
        if let Some(moved) = keeper::unpublished_moves(&*self.topology()?).await {
            self.adopt(moved)?;
        }
        *refreshed_at = Some(Instant::now());
        Ok(())
    }

    /// Tells which server has each of these shards, by the map as it is known.
    pub(super) fn servers_of(&self, shards: &[Shard]) -> Result<Vec<String>> {
        let topology = self.topology()?;
        shards.iter().map(|shard| Ok(range_of(&topology.map, *shard)?.server.clone())).collect()
    }

    /// Writes on the server that has the shards, wherever it is meanwhile. `None`: not one server has all of them, and nothing was done.
    pub(super) async fn write(self: &Arc<Cluster>, work: Work) -> Result<Option<Done>> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        let shards = work.shards();
        loop {
            let topology = self.topology()?;
            let ranges = shards.iter().map(|shard| range_of(&topology.map, *shard)).collect::<Result<Vec<_>>>()?;
            let Some(server) = ranges.first().map(|range| &range.server) else { return Ok(None) };
            if ranges.iter().any(|range| range.server != *server) {
                return Ok(None);
            }
            let node = topology.nodes.get(server).ok_or_else(|| Error::Corrupt(format!("Server {server} has no node.")))?;
            let turned = match node.write(work.clone(), ranges.iter().map(|range| range.epoch).collect()).await {
                Ok(done) => return Ok(Some(done)),
                Err(Turned::Final(error)) => return Err(error),
                Err(turned) => turned,
            };
            metrics::counter!(names::TURNED_AWAY_TOTAL, "reason" => turned.reason()).increment(1);
            if Instant::now() >= deadline {
                return Err(Error::Unavailable(format!("{} Nothing was written; try again later.", turned.message())));
            }
            if matches!(turned, Turned::Elsewhere(_)) {
                self.refresh().await?;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// Ends: what waits is written, later calls fail.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let _turn = self.adopting.lock();
        let mut topology = self.topology.write();
        *topology = Arc::new(Topology { map: topology.map.clone(), nodes: HashMap::new() });
    }
}

fn range_of(map: &ShardMap, shard: Shard) -> Result<&RangeEntry> {
    map.range_of(shard).ok_or_else(|| Error::Invalid(format!("Shard {} does not exist.", shard.0)))
}

impl Turned {
    fn reason(&self) -> &'static str {
        match self {
            Turned::Final(_) => "final",
            Turned::Elsewhere(_) => "elsewhere",
            Turned::Frozen(_) => "frozen",
            Turned::NoLease(_) => "no_lease",
        }
    }

    fn message(&self) -> String {
        match self {
            Turned::Final(error) => error.to_string(),
            Turned::Elsewhere(message) | Turned::Frozen(message) | Turned::NoLease(message) => message.clone(),
        }
    }
}

/// Reads a map from its file.
pub(crate) fn read_map(path: &std::path::Path) -> Result<ShardMap> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::Invalid(format!("The shard map {} can't be read: {error}. `corkboard storage init` makes it.", path.display()))
    })?;
    ShardMap::parse(&text)
}

/// Writes a map to its file, whole or not at all.
pub(crate) fn write_map(path: &std::path::Path, map: &ShardMap) -> Result<()> {
    let failed = |error: std::io::Error| Error::Unavailable(format!("The shard map {} can't be written: {error}.", path.display()));
    // A name of its own: several processes may keep their map in one file.
    let beside = path.with_extension(format!("{:016x}.new", runtime::random_u64()));
    std::fs::write(&beside, map.to_json()?).map_err(failed)?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
