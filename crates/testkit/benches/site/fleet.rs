//! The servers of a fleet on one machine: MariaDB, Redis and three memcached nodes, each a process of its own, and the site's
//! configuration for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use testkit::{Site, mariadb, memcached, procfs, redis, site};

const NODES: usize = 3;
const DATABASE: &str = "corkboard";

pub struct Fleet {
    pub database: mariadb::Server,
    pub redis: redis::Server,
    pub nodes: Vec<memcached::Server>,
    folder: tempfile::TempDir,
}

/// Says what is missing on this machine, if something is.
pub fn missing() -> Option<String> {
    mariadb::missing().or_else(redis::missing).or_else(memcached::missing)
}

impl Fleet {
    /// Starts all servers. MariaDB puts every commit on the disk.
    pub fn start() -> anyhow::Result<Fleet> {
        let options = mariadb::Options { durable: true, buffer_pool_mib: 256, ..mariadb::Options::default() };
        let node = || memcached::Server::start(memcached::Options::default());
        Ok(Fleet {
            database: mariadb::Server::start(options)?,
            redis: redis::Server::start(redis::Options::default())?,
            nodes: (0..NODES).map(|_| node()).collect::<anyhow::Result<Vec<_>>>()?,
            folder: tempfile::Builder::new().prefix("corkboard-fleet-").tempdir()?,
        })
    }

    /// Tells how much CPU each kind of server has used since its start.
    pub fn cpu_times(&self) -> anyhow::Result<Vec<(&'static str, Duration)>> {
        let of = |pids: Vec<Option<u32>>| -> anyhow::Result<Duration> {
            pids.into_iter().flatten().map(|pid| Ok(procfs::cpu_time(&pid.to_string())?.own)).sum()
        };
        let nodes = self.nodes.iter().map(memcached::Server::pid).collect();
        Ok(vec![("MariaDB", of(vec![self.database.pid()])?), ("Redis", of(vec![self.redis.pid()])?), ("memcached", of(nodes)?)])
    }

    /// Makes a site that lives on these servers, with tables and a map, and nothing in them.
    pub fn site(&self) -> anyhow::Result<Site> {
        let (config, map) = (self.path("corkboard.toml"), self.path("shards.json"));
        std::fs::write(&config, self.config(&map))?;
        let site = Site::prepare(&site::binary()?, &[])?.with_config(&config);
        let server = format!("a={}/{DATABASE}", self.database.address());
        let output = site.command(&["storage", "init", "--server", &server]).output().context("running corkboard storage init")?;
        ensure!(output.status.success(), "storage init: {}", String::from_utf8_lossy(&output.stderr));
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, map: &Path) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(memcached::Server::address).collect();
        let storage = mariadb::storage_config(Some(&format!("mysql:{}", map.display())));
        format!("{storage}[feeds]\nurl = \"{}\"\n[cache]\nurl = \"memcached://{}\"\n", self.redis.url(), nodes.join(","))
    }
}
