//! Following a site that has moved here from an embedded store.
//!
//! While its rows arrive, every shard of the target is in the state `arriving` with the site's mark, so that nobody can write to it or read
//! from it. Once the file says that the site has moved, whoever sees that lets the servers own their shards; it is safe to repeat.

use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use mysql::{Credentials, Limits, Server};

use super::MysqlEngine;
use super::node::server;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// How long one server may take to let its shards be owned, or to show that it lets us in.
const STEP_TIME: Duration = Duration::from_secs(3);

/// Returns what stands in `owned_shards.other` while a site's rows arrive.
pub(super) fn mark(token: &str) -> String {
    format!("embedded:{token}")
}

/// Lets a server own the shards that have arrived from a site with this token. Safe to repeat.
pub(super) async fn own(server: &Server, token: &str) -> Result<()> {
    let sql = format!("UPDATE owned_shards SET state = 'owned', other = '' WHERE state = 'arriving' AND other = '{}'", mark(token));
    server.query_within(&sql, STEP_TIME).await?;
    Ok(())
}

impl MysqlEngine {
    /// Opens what a storage URL names: `mysql:FILE`, a shard map, or `mysql://HOST:PORT/DATABASE`.
    pub(crate) async fn open_url(url: &str, credentials: Credentials) -> Result<MysqlEngine> {
        match url.strip_prefix("mysql:") {
            Some(place) if !place.is_empty() => match place.strip_prefix("//") {
                Some(address) => MysqlEngine::find(address, credentials).await,
                None => MysqlEngine::open(Path::new(place), credentials).await,
            },
            _ => Err(Error::Invalid(format!("'{url}' names no fleet; write mysql:FILE or mysql://HOST:PORT/DATABASE."))),
        }
    }

    /// Looks whether this process could open a target and is let in by each of its servers. Nothing is kept open.
    pub(crate) async fn can_follow(url: &str, credentials: &Credentials) -> Result<()> {
        let Some(file) = url.strip_prefix("mysql:") else { return Err(Error::Invalid(format!("'{url}' names no shard map."))) };
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::Invalid(format!("The shard map {file} can't be read by this process: {error}.")))?;
        let map = ShardMap::parse(&text)?;
        let looks = map.servers.iter().map(|entry| async move {
            let server = server(&entry.primary, credentials, Limits::default())?;
            let look = server.query_within("SELECT epoch FROM shard_map WHERE id = 1", STEP_TIME).await;
            look.map_err(|error| {
                Error::Unavailable(format!(
                    "The login '{}' (storage.user) does not work on server {}: {error}",
                    credentials.user, entry.name
                ))
            })
        });
        try_join_all(looks).await.map(drop)
    }

    /// Lets every server own the shards that have arrived from a site with this token.
    pub(crate) async fn own(&self, token: &str) -> Result<()> {
        let topology = self.cluster.topology()?;
        try_join_all(topology.nodes.values().map(|node| own(&node.primary, token))).await.map(drop)
    }
}
