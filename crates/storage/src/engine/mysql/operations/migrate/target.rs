//! The fleet as the target of a migration: rows go to the server that the map gives their shard, all of which this site has marked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use model::{Event, Shard, id::SHARD_COUNT};
use mysql::Server;

use super::super::super::follow::{mark, own};
use super::super::super::shape::{Cell, Change, Shape, insert_events, packets, shapes, statements, write_key};
use super::super::super::{schema, shape::shape};
use super::Operator;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// Rows that one statement reads back.
const READ_ROWS: usize = 200;
/// Events in one statement.
const EVENTS_AT_ONCE: usize = 200;
/// Attempts at a transaction that met a deadlock or a lock that was held too long.
const ATTEMPTS: usize = 3;

/// All servers of the map. Clones share their connections.
#[derive(Clone)]
pub(super) struct Target {
    shared: Arc<Shared>,
}

struct Shared {
    map: ShardMap,
    servers: BTreeMap<String, Server>,
    token: String,
}

impl Target {
    pub fn open(operator: &Operator, map: &ShardMap, token: &str) -> Result<Target> {
        let server = |entry: &crate::ServerEntry| Ok((entry.name.clone(), operator.server(&entry.primary)?));
        let servers = map.servers.iter().map(server).collect::<Result<_>>()?;
        Ok(Target { shared: Arc::new(Shared { map: map.clone(), servers, token: token.to_owned() }) })
    }

    /// Lists the servers with how many shards each has.
    pub fn servers(&self) -> impl Iterator<Item = (&str, usize)> {
        let shards = |name: &str| self.shared.map.ranges_of(name).map(|range| usize::from(range.last - range.first) + 1).sum();
        self.shared.map.servers.iter().map(move |entry| (entry.name.as_str(), shards(&entry.name)))
    }

    /// Looks whether the fleet can take the site: it answers, has its tables, and is empty or holds what an earlier attempt left.
    pub async fn check(&self) -> Result<()> {
        for (name, server) in &self.shared.servers {
            let sql = "SELECT @@read_only; SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
            let sets = server
                .query(sql)
                .await
                .map_err(|error| Error::Unavailable(format!("Server {name} does not answer: {error} Nothing was moved.")))?;
            let number = |index: usize| sets.get(index).and_then(|rows| rows.first()).map(|row| row.u64(0)).transpose();
            if number(0)? == Some(1) {
                return Err(Error::Unavailable(format!("Server {name} takes no writes (read_only is on). Nothing was moved.")));
            }
            let (wanted, found) = (schema::names().len() as u64, number(1)?.unwrap_or(0));
            if found < wanted {
                return Err(Error::Invalid(format!(
                    "Server {name} has {found} of {wanted} tables. Run `corkboard storage init` first; nothing was moved."
                )));
            }
            if !self.is_ours(name, server).await? {
                refuse_filled(name, &server.query(&filled_sql()).await?)?;
            }
        }
        Ok(())
    }

    /// Tells whether a server's shards are marked as this site's. Refuses one that takes part in something else.
    async fn is_ours(&self, name: &str, server: &Server) -> Result<bool> {
        let sets = server.query("SELECT DISTINCT state, other FROM owned_shards").await?;
        let mut is_ours = false;
        for row in sets.iter().flatten() {
            match (row.text(0)?, row.text(1)?) {
                ("owned", "") => {}
                ("arriving", other) if other == mark(&self.shared.token) => is_ours = true,
                ("arriving", other) if other.starts_with("embedded:") => {
                    return Err(Error::Invalid(format!(
                        "Server {name} holds what the migration of another site left. Take that back with `corkboard storage migrate --abort` on that site, or make a fleet on other databases."
                    )));
                }
                (state, _) => {
                    return Err(Error::Invalid(format!(
                        "Server {name} has shards that are {state}: a move is under way or was interrupted. Finish it first."
                    )));
                }
            }
        }
        Ok(is_ours)
    }

    /// Makes the fleet this site's alone: marks its shards, so that nobody can write to them, and removes what an earlier attempt left.
    pub async fn take(&self) -> Result<()> {
        for (name, server) in &self.shared.servers {
            let mark = format!("UPDATE owned_shards SET state = 'arriving', other = '{}' WHERE state = 'owned'", mark(&self.shared.token));
            if self.is_ours(name, server).await? {
                server.query(&mark).await?;
                remove_rows(server).await?;
                continue;
            }
            // Under the locks of the shards' rows nobody writes, so that the look is true when the mark is kept.
            let mut connection = server.take().await?;
            connection.query(&format!("BEGIN; {mark}")).await?;
            let filled = connection.query(&filled_sql()).await?;
            let is_empty = refuse_filled(name, &filled);
            connection.query(if is_empty.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
            connection.put_back();
            is_empty?;
        }
        Ok(())
    }

    /// Removes this site's rows and marks.
    pub async fn give_back(&self) -> Result<()> {
        for (name, server) in &self.shared.servers {
            if self.is_ours(name, server).await? {
                remove_rows(server).await?;
                own(server, &self.shared.token).await?;
            }
        }
        Ok(())
    }

    /// Lets the servers own their shards: the site is theirs.
    pub async fn own(&self) -> Result<()> {
        try_join_all(self.shared.servers.values().map(|server| own(server, &self.shared.token))).await.map(drop)
    }

    /// Makes changes on the servers of their rows, each packet in one transaction.
    pub async fn apply(&self, changes: &[Change]) -> Result<()> {
        let by_server = self.by_server(changes)?;
        let writes = by_server.into_iter().map(|(server, changes)| async move {
            let changes: Vec<Change> = changes.into_iter().cloned().collect();
            for packet in packets(statements(&changes)) {
                transaction(server, &packet).await?;
            }
            Ok::<_, Error>(())
        });
        try_join_all(writes).await.map(drop)
    }

    /// Reads rows back and compares them with what they should be.
    pub async fn read_back(&self, changes: &[Change]) -> Result<()> {
        let mut reads = Vec::new();
        for (server, changes) in self.by_server(changes)? {
            let mut by_table: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
            for change in changes {
                by_table.entry(change.shape.name).or_default().push(change);
            }
            for (table, changes) in by_table {
                reads.extend(changes.chunks(READ_ROWS).map(|chunk| read_chunk(server, table, chunk.to_vec())));
            }
        }
        try_join_all(reads).await.map(drop)
    }

    /// Returns how many rows each table has over all servers, and the sum over all that is in them.
    pub async fn sums(&self) -> Result<BTreeMap<String, (u64, u64)>> {
        let parts: Vec<String> = shapes().iter().map(|shape| shape.sum(0, SHARD_COUNT - 1)).collect();
        let sql = parts.join(" UNION ALL ");
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for sets in try_join_all(self.shared.servers.values().map(|server| server.query(&sql))).await? {
            for row in sets.iter().flatten() {
                let (rows, sum) = sums.entry(row.string(0)?).or_default();
                *rows += row.u64(1)?;
                *sum ^= row.u64(2)?;
            }
        }
        Ok(sums)
    }

    /// Puts events into the outboxes, in place of what is there: each on the server of what it is about.
    pub async fn replace_outbox(&self, events: &[(String, String)]) -> Result<()> {
        let mut by_server: BTreeMap<&str, Vec<&(String, String)>> =
            self.shared.servers.keys().map(|name| (name.as_str(), vec![])).collect();
        for event in events {
            let name = self.server_of(shard_of_event(&event.1))?;
            by_server.entry(name).or_default().push(event);
        }
        let writes = by_server.into_iter().map(|(name, events)| async move {
            let mut sql = vec!["DELETE FROM outbox".to_owned()];
            sql.extend(
                events.chunks(EVENTS_AT_ONCE).map(|events| insert_events(events.iter().map(|(id, json)| (id.as_str(), json.as_str())))),
            );
            for packet in packets(sql) {
                transaction(&self.shared.servers[name], &packet).await?;
            }
            Ok::<_, Error>(())
        });
        try_join_all(writes).await.map(drop)
    }

    fn by_server<'a>(&self, changes: &'a [Change]) -> Result<Vec<(&Server, Vec<&'a Change>)>> {
        let mut by_server: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            by_server.entry(self.server_of(shard_of(change.shape, &change.key)?)?).or_default().push(change);
        }
        Ok(by_server.into_iter().map(|(name, changes)| (&self.shared.servers[name], changes)).collect())
    }

    fn server_of(&self, shard: Shard) -> Result<&str> {
        let range = self.shared.map.range_of(shard);
        range
            .map(|range| range.server.as_str())
            .ok_or_else(|| Error::Corrupt(format!("The file has rows of shard {}, which does not exist.", shard.0)))
    }
}

/// Returns the shard of a row: what is above the rest in the first column of its key.
fn shard_of(shape: &Shape, key: &[Cell]) -> Result<Shard> {
    match key.first() {
        Some(Cell::Int(number)) if *number >= 0 => Ok(Shard((number >> shape.shift) as u16)),
        other => Err(Error::Corrupt(format!("{} has a row with the key {other:?}, which is on no shard.", shape.name))),
    }
}

/// Returns the shard of what an event is about. Events of one shard keep their order; what can't be told goes to the first.
fn shard_of_event(json: &str) -> Shard {
    let Ok(event) = serde_json::from_str::<Event>(json) else { return Shard(0) };
    let about = event.subjects.first().copied().or(event.actor.map(|actor| actor.id()));
    about.map(|id| id.shard()).filter(|shard| shard.0 < SHARD_COUNT).unwrap_or(Shard(0))
}

/// Returns a query for tables that have rows.
fn filled_sql() -> String {
    let tables = shapes().iter().map(|shape| shape.name).chain(["outbox"]);
    tables.map(|table| format!("(SELECT '{table}' FROM {table} LIMIT 1)")).collect::<Vec<_>>().join(" UNION ALL ")
}

fn refuse_filled(name: &str, filled: &[Vec<mysql::Row>]) -> Result<()> {
    match filled.first().and_then(|rows| rows.first()) {
        None => Ok(()),
        Some(row) => Err(Error::Invalid(format!(
            "Server {name} is not empty: there are rows in {}. A site moves only to a fleet that holds nothing yet; make one with `corkboard storage init` on other databases. Nothing was moved.",
            row.text(0)?
        ))),
    }
}

/// Removes everything that this site has brought to a server.
async fn remove_rows(server: &Server) -> Result<()> {
    let tables = shapes().iter().map(|shape| shape.name).chain(["outbox"]);
    let sql: Vec<String> = tables.map(|table| format!("TRUNCATE TABLE {table}")).collect();
    server.query(&sql.join(";")).await?;
    Ok(())
}

/// Runs statements in one transaction; again when it met a lock.
async fn transaction(server: &Server, statements: &str) -> Result<()> {
    // The audit log can be filled by whoever says that rows are being moved; a row that is there already is only repeated.
    let sql = format!("SET @corkboard_moves_shards = 1; BEGIN; {statements}; COMMIT; SET @corkboard_moves_shards = NULL");
    for attempt in 1.. {
        // Dropped after an error, so that the server rolls back.
        let mut connection = server.take().await?;
        match connection.query(&sql).await {
            Ok(_) => {
                connection.put_back();
                break;
            }
            Err(error) if attempt < ATTEMPTS && matches!(error.code(), Some(1205 | 1213)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn read_chunk(server: &Server, table: &str, changes: Vec<&Change>) -> Result<()> {
    let shape = shape(table)?;
    let mut sql = format!("SELECT {} FROM {table} WHERE ", shape.column_list());
    for (index, change) in changes.iter().enumerate() {
        if index > 0 {
            sql.push_str(" OR ");
        }
        write_key(&mut sql, shape, &change.key);
    }
    let mut found: HashMap<Vec<Cell>, Vec<Cell>> = HashMap::new();
    for row in server.query(&sql).await?.iter().flatten() {
        let row = shape.decode(row)?;
        found.insert(row[..shape.key].to_vec(), row);
    }
    match changes.iter().find(|change| found.get(&change.key) != change.row.as_ref()) {
        None => Ok(()),
        Some(change) => Err(Error::Corrupt(format!(
            "The copy differs: the row {:?} of {table} is not on {} as it is in the file. Nothing has moved; run the migration again.",
            change.key,
            server.address()
        ))),
    }
}
