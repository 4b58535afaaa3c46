//! What the file knows of its site's migration to a fleet of servers, and the migrating process's own way to its rows.
//!
//! ```text
//! migration             state │ token │ target         none ─▶ copying ─▶ moved; taken back: copying ─▶ none
//! migration_changes     position │ table │ key         the rows that were touched while the state is copying: triggers write them
//! migration_followers   process │ problem              who has looked whether it could follow to the target, and what was in its way
//! ```
//!
//! Triggers record whatever touches a row, in the transaction that touches it, so that no writer can forget to; while no migration runs
//! there are none, and nothing is paid. Only keys are recorded: what has become of a row is read in the snapshot that is carried over.
//!
//! The freeze is the file's own write lock, held by the migrating process: it ends with that process, however that ends, and the decision
//! is the commit of the very transaction that kept everybody else from writing.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlite::rusqlite::types::{ToSqlOutput, ValueRef};
use sqlite::rusqlite::{self, Connection, ErrorCode, OpenFlags, OptionalExtension, ToSql, params, params_from_iter};
use sqlite::{Error, Result};

use super::crc32::crc32;
use crate::engine::mysql::shape::{Cell, Change, Shape, shape, shapes};

/// How long the migrating process waits for the file's write lock.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at the lock. Busy writers leave it free for a millisecond or two between their groups.
const LOCK_LOOK: Duration = Duration::from_micros(200);
/// How long other statements wait for locks.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    None,
    /// Rows are being carried over, and those that are touched are recorded.
    Copying,
    /// The target's rows are the truth; the file is what it was at that moment.
    Moved,
}

/// The one row of the table `migration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    pub state: State,
    /// Names this site on the target's servers until its shards are theirs.
    pub token: String,
    /// A storage URL: `mysql:FILE`.
    pub target: String,
}

impl State {
    fn parse(text: &str) -> Result<State> {
        match text {
            "none" => Ok(State::None),
            "copying" => Ok(State::Copying),
            "moved" => Ok(State::Moved),
            other => {
                Err(Error::Corrupt(format!("The file's migration is '{other}', which this version does not know; use a newer program.")))
            }
        }
    }
}

/// Reads how far the migration is.
pub(crate) fn migration(connection: &Connection) -> Result<Migration> {
    let mut statement = connection.prepare_cached("SELECT state, token, target FROM migration WHERE id = 1")?;
    let mut found = statement.query([])?;
    let row = found.next()?.ok_or_else(|| Error::Corrupt("The file's table migration is empty.".to_owned()))?;
    Ok(Migration { state: State::parse(&row.get::<_, String>(0)?)?, token: row.get(1)?, target: row.get(2)? })
}

/// Refuses to write to a file whose site has moved: the first thing in every transaction. One look-up of one row.
pub(super) fn check_stays(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT target FROM migration WHERE id = 1 AND state = 'moved'")?;
    match statement.query_row([], |row| row.get::<_, String>(0)).optional()? {
        None => Ok(()),
        Some(target) => Err(Error::Unavailable(format!("The site has moved: its store is {target} now. Set storage.url = \"{target}\"."))),
    }
}

/// Says what is unfinished, for the look at everything.
pub(super) fn unfinished(connection: &Connection) -> Result<Option<String>> {
    let migration = migration(connection)?;
    Ok((migration.state == State::Copying).then(|| {
        format!(
            "A migration to {} was begun and is not finished; every write is recorded for it. Run `corkboard storage migrate` again, or take it back with --abort.",
            migration.target
        )
    }))
}

/// Returns what a process has said of its way to the target.
pub(crate) fn announced(connection: &Connection, process: i64) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT problem FROM migration_followers WHERE process = ?1")?;
    Ok(statement.query_row([process], |row| row.get(0)).optional()?)
}

/// Tells the migrating process whether this one could follow. An empty problem means yes.
pub(crate) fn announce(connection: &Connection, process: i64, problem: &str) -> Result<()> {
    let sql = "INSERT INTO migration_followers (process, problem) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET problem = ?2";
    connection.prepare_cached(sql)?.execute(params![process, problem])?;
    Ok(())
}

/// Tells the migrating process that this one has ended.
pub(crate) fn withdraw(connection: &Connection, process: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM migration_followers WHERE process = ?1")?.execute([process])?;
    Ok(())
}

/// Returns what a column is called here. MySQL reserves the word `key`.
fn column(name: &str) -> &str {
    match name {
        "name_key" | "idempotency_key" => "key",
        other => other,
    }
}

fn columns(names: &[&'static str]) -> Vec<&'static str> {
    names.iter().map(|name| column(name)).collect()
}

/// Names the triggers of a table with the statements that make them.
fn triggers(shape: &Shape) -> [(String, String); 3] {
    [("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")].map(|(act, row)| {
        let (table, name) = (shape.name, format!("migration_{}_{}", shape.name, act.to_lowercase()));
        let key: Vec<String> = columns(&shape.columns[..shape.key]).iter().map(|column| format!("{row}.{column}")).collect();
        let sql = format!(
            "CREATE TRIGGER IF NOT EXISTS {name} AFTER {act} ON {table} BEGIN \
             INSERT INTO migration_changes (table_name, row_key) VALUES ('{table}', json_array({})); END;",
            key.join(", ")
        );
        (name, sql)
    })
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Int(number) => ValueRef::Integer(*number),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Null => ValueRef::Null,
        }))
    }
}

fn decode(row: &rusqlite::Row<'_>, count: usize) -> Result<Vec<Cell>> {
    let cell = |index| match row.get_ref(index)? {
        ValueRef::Integer(number) => Ok(Cell::Int(number)),
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cell::Text(text.to_owned())),
            Err(_) => Err(Error::Corrupt(format!("Column {index} of a row holds bytes that are no UTF-8."))),
        },
        other => Err(Error::Corrupt(format!("Column {index} of a row holds a {}.", other.data_type()))),
    };
    (0..count).map(cell).collect()
}

/// Rows that were touched, as they are in one snapshot.
pub(crate) struct Delta {
    /// What has become of each, once.
    pub changes: Vec<Change>,
    /// How many touches that were.
    pub touches: usize,
    /// The last of them.
    pub position: i64,
}

/// The migrating process's connection. Its calls block for milliseconds; nothing else is served by that process.
pub(crate) struct Source {
    connection: Connection,
}

impl Source {
    /// Opens a file that is there and has its schema.
    pub fn open(path: &Path) -> Result<Source> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(512);
        Ok(Source { connection })
    }

    pub fn migration(&self) -> Result<Migration> {
        migration(&self.connection)
    }

    /// Begins to record which rows are touched. What an earlier attempt recorded is forgotten: the copy begins anew.
    pub fn begin(&self, migration: &Migration) -> Result<()> {
        self.lock()?;
        let begun = self.recording(migration);
        self.connection.execute_batch(if begun.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        begun
    }

    fn recording(&self, migration: &Migration) -> Result<()> {
        for (_, sql) in shapes().iter().flat_map(triggers) {
            self.connection.execute_batch(&sql)?;
        }
        self.connection.execute_batch("DELETE FROM migration_changes; DELETE FROM migration_followers")?;
        let sql = "UPDATE migration SET state = 'copying', token = ?1, target = ?2 WHERE id = 1 AND state <> 'moved'";
        if self.connection.execute(sql, params![migration.token, migration.target])? == 1 {
            return Ok(());
        }
        Err(Error::Conflict("The site has moved meanwhile.".to_owned()))
    }

    /// Ends the recording: the file is the site's store as if nothing had been. The token stays, so that what is left on the target's
    /// servers is known again.
    pub fn take_back(&self) -> Result<()> {
        self.lock()?;
        let mut sql = String::from("DELETE FROM migration_changes; DELETE FROM migration_followers;");
        for (name, _) in shapes().iter().flat_map(triggers) {
            let _ = write!(sql, "DROP TRIGGER IF EXISTS {name};");
        }
        sql += "UPDATE migration SET state = 'none' WHERE id = 1 AND state = 'copying'; COMMIT";
        let taken_back = self.connection.execute_batch(&sql);
        if taken_back.is_err() {
            self.thaw();
        }
        Ok(taken_back?)
    }

    /// Returns what followers said: one text each, empty for those that could follow.
    pub fn followers(&self) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare_cached("SELECT problem FROM migration_followers ORDER BY problem DESC")?;
        let problems = statement.query_map([], |row| row.get(0))?;
        Ok(problems.collect::<rusqlite::Result<_>>()?)
    }

    /// Counts the rows of every table.
    pub fn totals(&self) -> Result<Vec<(&'static Shape, u64)>> {
        let count = |shape: &'static Shape| {
            let rows: i64 = self.connection.query_row(&format!("SELECT count(*) FROM {}", shape.name), [], |row| row.get(0))?;
            Ok((shape, rows as u64))
        };
        shapes().iter().map(count).collect()
    }

    /// Reads the next rows of a table by primary key, until there are so many rows or bytes.
    pub fn page(&self, shape: &'static Shape, after: Option<&[Cell]>, rows_max: usize, bytes_max: usize) -> Result<Vec<Vec<Cell>>> {
        let key = columns(&shape.columns[..shape.key]).join(", ");
        let marks = vec!["?"; shape.key].join(", ");
        let begin = if after.is_some() { format!("WHERE ({key}) > ({marks})") } else { String::new() };
        let sql = format!("SELECT {} FROM {} {begin} ORDER BY {key} LIMIT {rows_max}", columns(shape.columns).join(", "), shape.name);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(after.unwrap_or_default()))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let row = decode(row, shape.columns.len())?;
            bytes += row.iter().map(Cell::bytes).sum::<usize>();
            rows.push(row);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(rows)
    }

    /// Begins a snapshot, which lasts until [`Source::end`]. The file's log grows meanwhile.
    pub fn snapshot(&self) -> Result<()> {
        Ok(self.connection.execute_batch("BEGIN DEFERRED")?)
    }

    pub fn end(&self) -> Result<()> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Returns the rows that were touched after a position, as they are now. Within a snapshot or a freeze, and with room for all touches,
    /// the target has exactly what the file has once they are carried over.
    pub fn delta(&self, after: i64, touches_max: usize) -> Result<Delta> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT position, table_name, row_key FROM migration_changes WHERE position > ?1 ORDER BY position LIMIT ?2")?;
        let mut found = statement.query(params![after, i64::try_from(touches_max).unwrap_or(i64::MAX)])?;
        let mut seen = HashSet::new();
        let mut delta = Delta { changes: Vec::new(), touches: 0, position: after };
        while let Some(touch) = found.next()? {
            let (table, key): (String, String) = (touch.get(1)?, touch.get(2)?);
            delta.position = touch.get(0)?;
            delta.touches += 1;
            if seen.contains(&(table.clone(), key.clone())) {
                continue;
            }
            let shape = shape(&table)?;
            let cells: Vec<Cell> =
                serde_json::from_str(&key).map_err(|error| Error::Corrupt(format!("A recorded key of {table} can't be read: {error}.")))?;
            let row = self.row(shape, &cells)?;
            delta.changes.push(Change { shape, key: cells, row, is_new: false });
            seen.insert((table, key));
        }
        Ok(delta)
    }

    fn row(&self, shape: &'static Shape, key: &[Cell]) -> Result<Option<Vec<Cell>>> {
        let wanted: Vec<String> = columns(&shape.columns[..shape.key]).iter().map(|column| format!("{column} = ?")).collect();
        let sql = format!("SELECT {} FROM {} WHERE {}", columns(shape.columns).join(", "), shape.name, wanted.join(" AND "));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(key))?;
        found.next()?.map(|row| decode(row, shape.columns.len())).transpose()
    }

    /// Returns how many rows a table has and a sum over all that is in them: what [`Shape::sum`] asks a server.
    pub fn sum(&self, shape: &'static Shape) -> Result<(u64, u64)> {
        let sql = format!("SELECT {} FROM {}", columns(shape.columns).join(", "), shape.name);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = statement.query([])?;
        let (mut rows, mut sum, mut text) = (0, 0, Vec::new());
        while let Some(row) = found.next()? {
            text.clear();
            for index in 0..shape.columns.len() {
                if index > 0 {
                    text.push(b'#');
                }
                match row.get_ref(index)? {
                    ValueRef::Integer(number) => text.extend_from_slice(number.to_string().as_bytes()),
                    ValueRef::Text(bytes) => text.extend_from_slice(bytes),
                    _ => {}
                }
            }
            rows += 1;
            sum ^= u64::from(crc32(&text));
        }
        Ok((rows, sum))
    }

    /// Returns the events that were not relayed yet, in their order, as (id, JSON).
    pub fn outbox(&self) -> Result<Vec<(String, String)>> {
        let mut statement = self.connection.prepare_cached("SELECT id, event FROM outbox ORDER BY position")?;
        let events = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(events.collect::<rusqlite::Result<_>>()?)
    }

    /// Counts the events that were not relayed yet.
    pub fn outbox_count(&self) -> Result<u64> {
        super::read::outbox_count(&self.connection)
    }

    /// Takes the file's write lock: everybody who writes waits from here on, and what was written before is seen.
    pub fn freeze(&self) -> Result<()> {
        self.lock()
    }

    /// Lets everybody write again; nothing has changed.
    pub fn thaw(&self) {
        // Fails only when no transaction is open, and then nobody waits.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    /// Decides, within a freeze: from the commit on the target's rows are the truth.
    pub fn decide(&self) -> Result<()> {
        let decided = self.connection.execute("UPDATE migration SET state = 'moved' WHERE id = 1 AND state = 'copying'", [])?;
        if decided != 1 {
            self.thaw();
            return Err(Error::Conflict("The migration was taken back meanwhile; nothing has moved.".to_owned()));
        }
        self.connection.execute_batch("COMMIT").map_err(|error| {
            self.thaw();
            Error::Unknown(format!("The decision may or may not have been kept: {error}. Run the migration again; it looks."))
        })
    }

    /// Begins a transaction that writes. Other processes hold the lock most of the time and leave it for moments, so it is asked for often.
    fn lock(&self) -> Result<()> {
        let until = Instant::now() + LOCK_WAIT;
        self.connection.busy_timeout(Duration::ZERO)?;
        let locked = loop {
            match self.connection.execute_batch("BEGIN IMMEDIATE") {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < until => {
                    std::thread::sleep(LOCK_LOOK);
                }
                result => break result,
            }
        };
        self.connection.busy_timeout(BUSY_WAIT)?;
        Ok(locked?)
    }
}

#[cfg(test)]
mod tests;
