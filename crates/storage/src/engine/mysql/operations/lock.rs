//! The fleet's lock: one operation at a time. It is the servers' own named lock, so that it ends with the operation however that ends.

use mysql::Taken;

use super::Operator;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// How long to wait for another operation.
const WAIT_SECONDS: u32 = 2;

/// Holds the lock for as long as it lives.
pub(super) struct FleetLock {
    _held: Vec<Taken>,
}

impl Operator {
    /// Takes the lock on every primary that answers, in the order of their numbers.
    pub(super) async fn lock(&self, map: &ShardMap, except: Option<&str>) -> Result<FleetLock> {
        let mut held = Vec::new();
        let mut entries: Vec<_> = map.servers.iter().filter(|entry| Some(entry.name.as_str()) != except).collect();
        entries.sort_by_key(|entry| entry.number);
        for entry in entries {
            let mut connection = self.server(&entry.primary)?.take().await?;
            // The name is that of the database, so that fleets on one server don't meet.
            let sets = connection.query(&format!("SELECT GET_LOCK(CONCAT('corkboard.', DATABASE()), {WAIT_SECONDS})")).await?;
            if mysql::first(&sets).map(|row| row.optional(0, mysql::Row::i64)).transpose()?.flatten() != Some(1) {
                return Err(Error::Unavailable(format!(
                    "Another storage operation is under way (server {} is locked). Wait for its end and try again.",
                    entry.name
                )));
            }
            held.push(connection);
        }
        Ok(FleetLock { _held: held })
    }
}
