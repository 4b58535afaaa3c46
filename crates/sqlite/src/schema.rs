//! Opening connections and bringing the schema up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::file::Options;

/// How long a statement waits for another process's lock before it gives up. Longer than any group takes, shorter than a
/// person's patience.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection. Storage has under 300 different ones; the least used is dropped beyond this.
const STATEMENTS_MAX: usize = 512;
/// Pages in the log at which the writer itself puts the rest into the file and begins the log anew: 16 MiB.
pub(crate) const WAL_PAGES_MAX: i64 = 4096;
/// The WAL file is cut back to this after a checkpoint, so that one large import does not leave a large file.
const WAL_BYTES_KEPT: i64 = 20 << 20;

/// Opens the connection that writes, creates the file readable to its owner only, and applies the missing migrations.
pub(crate) fn open_writer(path: &Path, migrations: &[&str], ensure: &str, options: &Options) -> Result<Connection> {
    create_private(path)?;
    let connection = Connection::open(path).map_err(|error| cannot_open(path, &error))?;
    prepare(&connection, options)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Invalid(format!(
            "{} can't be used with a write-ahead log (its journal mode stays '{mode}'). Put the data folder on a local file system.",
            path.display()
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    // What is deleted is overwritten with zeros: who was erased must not be found in the file's free space.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
    migrate(&connection, path, migrations)?;
    if !ensure.is_empty() {
        // A failure drops the connection, which rolls back.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute_batch(ensure)?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(connection)
}

/// Opens the connection that puts the log into the file.
pub(crate) fn open_checkpointer(path: &Path, options: &Options) -> Result<Connection> {
    let connection = Connection::open(path).map_err(|error| cannot_open(path, &error))?;
    prepare(&connection, options)?;
    // Else the file could lose pages that the log has given up already.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Opens one more connection, which can only read.
pub(crate) fn open_reader(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, &error))?;
    // Not mapped: in WAL mode a reader gives its map back after every commit of the writer, which costs more than reading does.
    prepare(&connection, options)?;
    Ok(connection)
}

fn prepare(connection: &Connection, options: &Options) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Else a statement with `LIMIT ?` is planned anew each time that the limit differs from the last one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative means KiB instead of pages.
    connection.pragma_update(None, "cache_size", -options.cache_kib)?;
    Ok(())
}

/// Applies each migration that the file has not seen, each in its own transaction together with its number.
fn migrate(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    loop {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        // Read inside the transaction: another process may be opening the same file right now.
        let applied = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(Error::from);
        let step = applied.and_then(|applied| match usize::try_from(applied).ok().filter(|applied| *applied <= migrations.len()) {
            None => Err(Error::Invalid(format!(
                "{} was written by a newer version of this program (its schema is version {applied}, this program knows {}). Use the newer program.",
                path.display(),
                migrations.len()
            ))),
            Some(applied) if applied == migrations.len() => Ok(false),
            Some(applied) => {
                let number = applied + 1;
                connection.execute_batch(migrations[applied]).and_then(|()| connection.pragma_update(None, "user_version", number as i64)).map_err(|error| {
                    Error::Unavailable(format!("Migration {number} of {} failed: {error}. Nothing of it was kept.", path.display()))
                })?;
                Ok(true)
            }
        });
        match step {
            Ok(true) => connection.execute_batch("COMMIT")?,
            Ok(false) => return Ok(connection.execute_batch("ROLLBACK")?),
            Err(error) => {
                // The connection is given up with the error, so a failing roll-back changes nothing.
                let _ = connection.execute_batch("ROLLBACK");
                return Err(error);
            }
        }
    }
}

/// Creates the folder and an empty file that only its owner may read: it will hold password hashes.
fn create_private(path: &Path) -> Result<()> {
    let failed =
        |error: std::io::Error| Error::Unavailable(format!("{} can't be created: {error}. Check the folder's rights.", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(failed)
}

fn cannot_open(path: &Path, error: &rusqlite::Error) -> Error {
    Error::Unavailable(format!(
        "{} can't be opened: {error}. Check that it is a database of this program and may be read and written.",
        path.display()
    ))
}
