//! Operations on the fleet: what `corkboard storage …` does. Each says first what it would do, takes the fleet's lock, looks whether it
//! can work, tells how far it is, and may be killed and run again at any step.
//!
//! init.rs tables, rights and the first map; status.rs who is how; moves.rs shards to another server; settle.rs what an interrupted move
//! left; migrate.rs an embedded site to the fleet; failover.rs a replica in its primary's place; verify.rs everything compared; capacity.rs
//! when which server fills; backup.rs, archive.rs changes kept for recovery, restore.rs.

mod archive;
mod backup;
mod capacity;
mod failover;
mod init;
mod lock;
mod migrate;
mod moves;
mod restore;
mod settle;
mod status;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use mysql::{Credentials, Limits, Server};

use super::cluster::{read_map, write_map};
use super::node::server;
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

pub use archive::ArchiveReport;
pub use backup::files::{FileEntry, Manifest, ServerPart};
pub use backup::{BackupReport, BackupWish, ListedBackup, check_backup, list_backups};
pub use capacity::{CapacityReport, ServerCapacity};
pub use failover::{FailoverOptions, FailoverReport};
pub use init::InitReport;
pub use migrate::{MigrateOptions, MigrateReport, MigrateStop};
pub use moves::{MoveReport, MoveStop};
pub use restore::{RestoreReport, RestoreStop, RestoreWish};
pub use status::{FleetStatus, ReplicaStatus, ServerStatus};

/// What an operation tells while it works.
pub trait Progress: Send + Sync {
    /// A step begins. `total` is how many units it has, when that is known.
    fn begin(&self, what: &str, total: Option<u64>);
    /// So many more units of it are done.
    fn advance(&self, units: u64);
    /// Something worth a line.
    fn say(&self, line: &str);
}

/// Tells nobody.
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn say(&self, _: &str) {}
}

/// Whoever runs the fleet: the map's file and the logins.
#[derive(Clone)]
pub struct Operator {
    pub(super) file: PathBuf,
    pub(super) site: Credentials,
    pub(super) admin: Credentials,
    /// The login by which replicas follow their primary, for a server that never did.
    pub(super) replication: Option<Credentials>,
    pub(super) progress: Arc<dyn Progress>,
}

impl Operator {
    /// `site` is the login of the storage service, `admin` one that may replicate, promote and make tables.
    pub fn new(file: PathBuf, site: Credentials, admin: Credentials, progress: Arc<dyn Progress>) -> Operator {
        Operator { file, site, admin, replication: None, progress }
    }

    /// Gives the login by which a former primary follows the one that took its place.
    pub fn with_replication(self, login: Credentials) -> Operator {
        Operator { replication: Some(login), ..self }
    }

    /// Returns the newest map: that of the file, or a newer one that a server was told.
    pub async fn map(&self) -> Result<ShardMap> {
        let mut map = read_map(&self.file)?;
        for entry in map.servers.clone() {
            for address in std::iter::once(&entry.primary).chain(&entry.replicas) {
                if let Ok(Some(told)) = self.told_map(address).await
                    && told.epoch > map.epoch
                {
                    map = told;
                }
            }
        }
        Ok(map)
    }

    async fn told_map(&self, address: &str) -> Result<Option<ShardMap>> {
        let sets = self.server(address)?.query_within("SELECT map FROM shard_map WHERE id = 1", super::cluster::MAP_TIME).await?;
        mysql::first(&sets).map(|row| ShardMap::parse(row.text(0)?)).transpose()
    }

    /// Names a server for an operation: few connections, patient statements, the administrator's login.
    pub(super) fn server(&self, address: &str) -> Result<Server> {
        server(address, &self.admin, Limits::long())
    }

    /// Tells every server that answers of a new map, and keeps it in the file. The first that must know are told first.
    pub(super) async fn publish(&self, map: &ShardMap) -> Result<()> {
        map.check()?;
        for entry in &map.servers {
            if let Err(error) = tell_map(&self.server(&entry.primary)?, map).await {
                self.progress.say(&format!("{} was not told of the new map: {error} It will hear of it from the others.", entry.name));
            }
        }
        write_map(&self.file, map)
    }
}

/// Keeps a map on a server, unless it has a newer one.
pub(super) async fn tell_map(server: &Server, map: &ShardMap) -> Result<()> {
    let mut text = String::new();
    mysql::quote(&mut text, &map.to_json()?);
    let epoch = map.epoch;
    server
        .query(&format!(
            "INSERT INTO shard_map (id, epoch, map) VALUES (1, {epoch}, {text}) \
             ON DUPLICATE KEY UPDATE map = IF(epoch < {epoch}, VALUES(map), map), epoch = GREATEST(epoch, {epoch})"
        ))
        .await?;
    Ok(())
}

/// Returns the number in the first row of an answer.
fn number(sets: &[Vec<mysql::Row>], index: usize) -> Result<Option<i64>> {
    let row = sets.get(index).and_then(|rows| rows.first());
    Ok(row.map(|row| row.optional(0, mysql::Row::i64)).transpose()?.flatten())
}

/// Finds a server of the map by its name.
pub(super) fn entry<'a>(map: &'a ShardMap, name: &str) -> Result<&'a ServerEntry> {
    map.server(name).ok_or_else(|| {
        let known: Vec<&str> = map.servers.iter().map(|server| server.name.as_str()).collect();
        Error::Invalid(format!("'{name}' is no server of the map. It has: {}.", known.join(", ")))
    })
}
