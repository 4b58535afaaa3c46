//! `init`: tables, rights and the first map; later, servers that join.

use mysql::{Address, Limits, Server};

use super::super::keeper::LEASE_MS;
use super::super::schema;
use super::{Operator, tell_map};
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};

/// What an initialisation did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    pub map: ShardMap,
    /// Servers that were not in the map before.
    pub joined: Vec<String>,
    /// One line per thing that is done.
    pub steps: Vec<String>,
}

impl Operator {
    /// Makes databases and tables on these servers, gives each its shards, and writes the map. On a fleet that has a map already, servers
    /// that are not in it join without shards, those that are get the replicas and disk sizes that are named, and missing tables are made;
    /// no shard changes hands.
    pub async fn init(&self, servers: Vec<ServerEntry>, dry_run: bool) -> Result<InitReport> {
        let present = if self.file.exists() { Some(self.map().await?) } else { None };
        let (map, joined) = match present {
            Some(map) => joined(map, servers)?,
            None if servers.is_empty() => {
                return Err(Error::Invalid("Name at least one server: --server a=10.0.0.1:3306/corkboard".to_owned()));
            }
            None => {
                if let Some(unnamed) = servers.iter().find(|server| server.primary.is_empty()) {
                    return Err(no_such_server(&unnamed.name));
                }
                let names = servers.iter().map(|server| server.name.clone()).collect();
                (ShardMap::even(servers), names)
            }
        };
        map.check()?;
        let mut steps = Vec::new();
        for entry in &map.servers {
            let address: Address = entry.primary.parse().map_err(Error::Invalid)?;
            let is_new = joined.contains(&entry.name);
            self.check_new(entry, &address, is_new).await?;
            let shards: usize = map.ranges_of(&entry.name).map(|range| usize::from(range.last - range.first) + 1).sum();
            steps.push(format!(
                "{}: database {} at {}:{}, {} tables, {shards} shards{}",
                entry.name,
                address.database,
                address.host,
                address.port,
                schema::names().len(),
                if is_new { "" } else { " (there already)" }
            ));
            if !dry_run {
                self.make(entry, &address, &map, is_new).await?;
            }
        }
        steps.push(format!("map: {} at epoch {}", self.file.display(), map.epoch));
        if !dry_run {
            if let Some(folder) = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder)
                    .map_err(|error| Error::Unavailable(format!("{} can't be made: {error}.", folder.display())))?;
            }
            self.publish(&map).await?;
            self.check_site_login(&map).await?;
        }
        Ok(InitReport { map, joined, steps })
    }

    /// Refuses a server that holds another fleet's shards.
    async fn check_new(&self, entry: &ServerEntry, address: &Address, is_new: bool) -> Result<()> {
        let outside = Limits { without_database: true, ..Limits::default() };
        let server = Server::new(address.clone(), self.admin.clone(), outside);
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{}' AND table_name = 'owned_shards'; SELECT @@read_only",
            address.database
        );
        let sets = server.query(&sql).await?;
        let number = |index: usize| sets.get(index).and_then(|rows| rows.first()).map(|row| row.i64(0)).transpose();
        if number(1)? == Some(1) {
            return Err(Error::Invalid(format!("Server {} only reads: it is a replica. Name its primary.", entry.name)));
        }
        if is_new && number(0)? == Some(1) {
            let held = self.server(&entry.primary)?.query("SELECT COUNT(*) FROM owned_shards").await?;
            if mysql::first(&held).map(|row| row.i64(0)).transpose()? != Some(0) {
                return Err(Error::Invalid(format!(
                    "The database {} on server {} belongs to a fleet already. Give the path of its shard map, or name another database.",
                    address.database, entry.name
                )));
            }
        }
        Ok(())
    }

    async fn make(&self, entry: &ServerEntry, address: &Address, map: &ShardMap, is_new: bool) -> Result<()> {
        self.progress.begin(&format!("tables on {}", entry.name), None);
        let outside = Limits { without_database: true, ..Limits::default() };
        let server = Server::new(address.clone(), self.admin.clone(), outside);
        server.query(&format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", address.database)).await?;
        let server = self.server(&entry.primary)?;
        for statement in first_statements(is_new.then_some((map, entry.name.as_str()))) {
            server.query(&statement).await?;
        }
        tell_map(&server, map).await
    }

    /// Makes sure that the service's own login works, and says how to make it when it does not.
    pub(super) async fn check_site_login(&self, map: &ShardMap) -> Result<()> {
        for entry in &map.servers {
            let server = super::server(&entry.primary, &self.site, Limits::default())?;
            if let Err(error) = server.query("SELECT epoch FROM shard_map WHERE id = 1").await {
                let (user, database) = (&self.site.user, &server.address().database);
                return Err(Error::Invalid(format!(
                    "Everything is in place, but the site's login does not work on {}: {error}\nMake it there:\n  CREATE USER '{user}'@'%' IDENTIFIED BY '…';\n  GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX ON {database}.* TO '{user}'@'%';",
                    entry.name
                )));
            }
        }
        Ok(())
    }
}

fn no_such_server(name: &str) -> Error {
    Error::Invalid(format!("There is no server '{name}' in the map. Name its primary: --server {name}=HOST:PORT/DATABASE"))
}

/// Adds servers to a map, without shards. Servers that are there already get the replicas and the size of the disk that are named; one
/// whose primary is not named must be there already.
fn joined(map: ShardMap, servers: Vec<ServerEntry>) -> Result<(ShardMap, Vec<String>)> {
    let mut map = map;
    let (mut joined, before) = (Vec::new(), map.clone());
    for server in servers {
        for replica in &server.replicas {
            replica.parse::<Address>().map_err(Error::Invalid)?;
        }
        match map.servers.iter_mut().find(|known| known.name == server.name) {
            Some(known) if known.primary == server.primary || server.primary.is_empty() => {
                let new: Vec<String> = server.replicas.into_iter().filter(|replica| !known.replicas.contains(replica)).collect();
                known.replicas.extend(new);
                known.disk_gib = server.disk_gib.or(known.disk_gib);
            }
            Some(known) => {
                return Err(Error::Invalid(format!(
                    "The map has a server {} at {}, not at {}. Choose another name; `corkboard storage failover` changes primaries.",
                    server.name, known.primary, server.primary
                )));
            }
            None if server.primary.is_empty() => return Err(no_such_server(&server.name)),
            None => {
                let number = map.servers.iter().map(|server| server.number).max().unwrap_or(0) + 1;
                joined.push(server.name.clone());
                map.servers.push(ServerEntry { number, ..server });
            }
        }
    }
    if map != before {
        map.epoch += 1;
    }
    Ok((map, joined))
}

/// Returns the statements that make every table and, on a server that joins, its list of shards and its lease.
fn first_statements(joins: Option<(&ShardMap, &str)>) -> Vec<String> {
    let mut statements = schema::tables();
    statements.push(schema::SAMPLES.to_owned());
    statements.push(schema::audit_triggers());
    if let Some((map, name)) = joins {
        for range in map.ranges_of(name) {
            let rows: Vec<String> = (range.first..=range.last).map(|shard| format!("({shard},{},'owned')", range.epoch)).collect();
            statements.push(format!("INSERT IGNORE INTO owned_shards (shard, epoch, state) VALUES {}", rows.join(",")));
        }
        let now = super::super::lane::SERVER_NOW;
        statements.push(format!("INSERT IGNORE INTO lease (id, at_ms, until_ms, semi_sync) VALUES (1, {now}, {now} + {LEASE_MS}, 0)"));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, primary: &str) -> ServerEntry {
        ServerEntry { name: name.to_owned(), number: 1, primary: primary.to_owned(), replicas: Vec::new(), disk_gib: None }
    }

    #[test]
    fn servers_that_are_there_get_disks_and_replicas() {
        let map = ShardMap::even(vec![server("a", "10.0.0.1:3306/x")]);
        let told = ServerEntry { replicas: vec!["10.0.0.2:3306/x".to_owned()], disk_gib: Some(500), ..server("a", "") };
        let (changed, new) = joined(map.clone(), vec![told.clone()]).expect("a map");
        assert_eq!((changed.epoch, new.len()), (2, 0));
        assert_eq!((changed.servers[0].disk_gib, changed.servers[0].replicas.len()), (Some(500), 1));
        assert_eq!(changed.servers[0].primary, "10.0.0.1:3306/x");
        // Said again, it changes nothing: the epoch stays.
        assert_eq!(joined(changed.clone(), vec![told]), Ok((changed.clone(), vec![])));
        assert_eq!(joined(changed.clone(), vec![server("a", "10.0.0.1:3306/x")]), Ok((changed, vec![])));
        let error = joined(map.clone(), vec![server("b", "")]).expect_err("no such server");
        assert!(error.to_string().contains("--server b=HOST:PORT/DATABASE"), "{error}");
        let lost = ServerEntry { replicas: vec!["nowhere".to_owned()], ..server("a", "") };
        assert!(joined(map, vec![lost]).expect_err("no address").to_string().contains("HOST:PORT/DATABASE"));
    }
}
