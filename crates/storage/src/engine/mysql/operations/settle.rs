//! What an interrupted move left: shards that their old server has given up, and of which no map knows. Every operation that makes a new
//! map begins with telling of them, because its map would else take the epoch of the one that they are missing from.

use mysql::Server;

use super::super::keeper::{arrive, decided_moves};
use super::{Operator, entry};
use crate::error::Result;
use crate::shard_map::{ServerEntry, ShardMap};

impl Operator {
    /// Brings decided moves to their end and publishes the map that has them. Under the fleet's lock.
    pub(super) async fn settle(&self, map: ShardMap, dry_run: bool) -> Result<ShardMap> {
        let mut decided = Vec::new();
        for entry in &map.servers {
            decided.extend(decided_moves(&self.server(&entry.primary)?, &map).await?);
        }
        let Some(settled) = map.with_decided(&decided) else { return Ok(map) };
        if dry_run {
            return Ok(settled);
        }
        for (shard, to, epoch) in &decided {
            arrive(&self.server(&entry(&map, to)?.primary)?, *shard, *epoch).await?;
        }
        self.progress.say("an interrupted move had been decided; its end is told now");
        self.publish(&settled).await?;
        Ok(settled)
    }

    /// Returns the map with what decided moves brought to or took from a server that is being replaced, as the replica knows it that
    /// takes its place. Other servers may be dead as well: what they decided their replicas know, and what is to arrive on them does so
    /// when they are replaced.
    pub(super) async fn settled_without(&self, map: &ShardMap, dead: &ServerEntry, promoted: &Server) -> Result<ShardMap> {
        let (mut decided, mut away) = (decided_moves(promoted, map).await?, Vec::new());
        for other in map.servers.iter().filter(|other| other.name != dead.name) {
            if self.answers(&other.primary).await {
                decided.extend(decided_moves(&self.server(&other.primary)?, map).await?);
                continue;
            }
            away.push(other.name.as_str());
            for (_, replica) in self.answering(other).await? {
                decided.extend(decided_moves(&replica, map).await?);
            }
        }
        decided.sort_unstable();
        decided.dedup();
        let Some(settled) = map.with_decided(&decided) else { return Ok(map.clone()) };
        for (shard, to, epoch) in decided.iter().filter(|(_, to, _)| *to != dead.name && !away.contains(&to.as_str())) {
            arrive(&self.server(&entry(map, to)?.primary)?, *shard, *epoch).await?;
        }
        Ok(settled)
    }
}
