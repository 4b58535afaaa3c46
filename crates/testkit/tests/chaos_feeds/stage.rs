//! Everything that runs in one seed: the site, Redis and memcached, with ways to them that can be cut.
//!
//! ```text
//! people ── HTTP ──▶ site ──┬─ way ──▶ Redis, or straight to a cluster of three
//!                           └─ ways ─▶ memcached 0, 1, (2)
//! ```
//!
//! Dropping it ends every process.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use testkit::{Proxy, Site, memcached, redis, site};

use crate::history::History;
use crate::schedule::{Schedule, Servers};

pub enum Redis {
    One(Box<redis::Server>, Proxy),
    Cluster(redis::Cluster),
}

impl Redis {
    pub fn member(&mut self, index: usize) -> &mut redis::Server {
        match self {
            Redis::One(server, _) => server,
            Redis::Cluster(cluster) => cluster.server_mut(index),
        }
    }

    pub fn members(&self) -> &[redis::Server] {
        match self {
            Redis::One(server, _) => std::slice::from_ref(server),
            Redis::Cluster(cluster) => cluster.servers(),
        }
    }
}

pub struct Stage {
    pub site: Site,
    /// Even while the site runs; counts its deaths and starts.
    pub life: Arc<AtomicU64>,
    pub redis: Redis,
    pub nodes: Vec<(memcached::Server, Proxy)>,
    /// What the site has said in its former lives.
    logs: String,
    folder: tempfile::TempDir,
}

impl Stage {
    pub fn start(schedule: &Schedule) -> anyhow::Result<Stage> {
        let folder = tempfile::Builder::new().prefix("corkboard-chaos-").tempdir()?;
        let options = redis::Options { persistence: schedule.persistence, ..redis::Options::default() };
        let redis = match schedule.servers {
            Servers::Cluster => Redis::Cluster(redis::Cluster::start(options)?),
            Servers::One => {
                let server = redis::Server::start(options)?;
                let way = server.proxy()?;
                Redis::One(Box::new(server), way)
            }
        };
        let node = || {
            let node = memcached::Server::start(memcached::Options::default())?;
            let way = node.proxy()?;
            Ok((node, way))
        };
        let nodes = (0..schedule.nodes).map(|_| node()).collect::<anyhow::Result<Vec<_>>>()?;
        let url = match &redis {
            Redis::One(_, way) => format!("redis://{}", way.address()),
            Redis::Cluster(cluster) => cluster.url(),
        };
        let persistence = match schedule.persistence {
            redis::Persistence::None => "none",
            redis::Persistence::Snapshot => "snapshot",
            redis::Persistence::Aof => "aof",
        };
        let caches: Vec<String> = nodes.iter().map(|(_, way)| way.address()).collect();
        let config = folder.path().join("corkboard.toml");
        let feeds = format!("[feeds]\nurl = \"{url}\"\npersistence = \"{persistence}\"\n");
        fs::write(&config, format!("{feeds}[cache]\nurl = \"memcached://{}\"\n", caches.join(",")))?;
        let mut site = Site::prepare(&site::binary()?, &[])?.with_config(&config);
        site.restart()?;
        Ok(Stage { site, life: Arc::default(), redis, nodes, logs: String::new(), folder })
    }

    pub fn kill_site(&mut self) {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.site.kill9();
        self.logs += &self.site.log();
        self.logs += "──── killed ────\n";
    }

    pub fn start_site(&mut self) -> anyhow::Result<()> {
        self.site.restart().context("the site after its death")?;
        self.life.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Keeps what everybody has said for whoever looks for the cause. Gives the folder.
    pub fn keep_logs(&mut self, history: &History) -> anyhow::Result<PathBuf> {
        self.folder.disable_cleanup(true);
        let folder = self.folder.path();
        fs::write(folder.join("history.txt"), history.text())?;
        fs::write(folder.join("site.log"), format!("{}{}", self.logs, self.site.log()))?;
        for (index, server) in self.redis.members().iter().enumerate() {
            fs::write(folder.join(format!("redis-{index}.log")), server.log())?;
        }
        Ok(folder.to_owned())
    }
}
