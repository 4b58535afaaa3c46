//! The fleet's lock: one operation at a time. It is the servers' own named lock, so that it ends with the operation however that ends.

use mysql::Taken;

use super::Operator;
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

/// How long to wait for another operation.
const WAIT_SECONDS: u32 = 2;

/// Holds the lock for as long as it lives.
pub(super) struct FleetLock {
    _held: Vec<Taken>,
}

impl Operator {
    /// Takes the lock on every primary, in the order of their numbers.
    pub(super) async fn lock(&self, map: &ShardMap) -> Result<FleetLock> {
        let mut held = Vec::new();
        for entry in by_number(map) {
            held.push(self.lock_server(&entry.name, &entry.primary).await?);
        }
        Ok(FleetLock { _held: held })
    }

    /// Takes the lock for replacing a server that has died. Others may have died with it: in the place of a primary that does not answer
    /// its replicas are locked, so that nobody else replaces it at the same time.
    pub(super) async fn lock_without(&self, map: &ShardMap, dead: &str) -> Result<FleetLock> {
        let mut held = Vec::new();
        for entry in by_number(map) {
            if entry.name != dead && self.answers(&entry.primary).await {
                held.push(self.lock_server(&entry.name, &entry.primary).await?);
                continue;
            }
            for (address, _) in self.answering(entry).await? {
                held.push(self.lock_server(&entry.name, &address).await?);
            }
        }
        Ok(FleetLock { _held: held })
    }

    async fn lock_server(&self, name: &str, address: &str) -> Result<Taken> {
        let mut connection = self.server(address)?.take().await?;
        // The name is that of the database, so that fleets on one server don't meet.
        let sets = connection.query(&format!("SELECT GET_LOCK(CONCAT('corkboard.', DATABASE()), {WAIT_SECONDS})")).await?;
        if mysql::first(&sets).map(|row| row.optional(0, mysql::Row::i64)).transpose()?.flatten() != Some(1) {
            return Err(Error::Unavailable(format!(
                "Another storage operation is under way (server {name} is locked). Wait for its end and try again."
            )));
        }
        Ok(connection)
    }
}

fn by_number(map: &ShardMap) -> Vec<&ServerEntry> {
    let mut entries: Vec<_> = map.servers.iter().collect();
    entries.sort_by_key(|entry| entry.number);
    entries
}
