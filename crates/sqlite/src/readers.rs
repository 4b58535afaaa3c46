//! The pool of read-only connections. Connections are opened when they are first needed and handed out last in, first out, so
//! that the few that are in use stay warm.

use std::path::PathBuf;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::file::Options;
use crate::schema::open_reader;

pub(crate) struct Readers {
    path: PathBuf,
    options: Options,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    /// Connections that exist, in use or idle.
    opened: usize,
    closed: bool,
}

/// A connection on loan; dropping it gives it back.
struct Loan<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    pub(crate) fn open(path: PathBuf, options: Options) -> Result<Readers> {
        let first = open_reader(&path, &options)?;
        let pool = Mutex::new(Pool { idle: vec![first], opened: 1, closed: false });
        Ok(Readers { path, options, pool, returned: Condvar::new() })
    }

    /// Runs `f` on a connection within one snapshot; waits for a connection when all are in use.
    pub(crate) fn run<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let loan = self.borrow()?;
        let connection = loan.connection.as_ref().expect("a loan holds its connection until it is dropped");
        connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
        let result = f(connection);
        connection.prepare_cached("COMMIT")?.execute([])?;
        result
    }

    pub(crate) fn close(&self) {
        let mut pool = self.pool.lock();
        pool.closed = true;
        pool.opened -= pool.idle.len();
        pool.idle.clear();
        self.returned.notify_all();
    }

    fn borrow(&self) -> Result<Loan<'_>> {
        let mut pool = self.pool.lock();
        loop {
            if pool.closed {
                return Err(Error::Unavailable(format!("{} is closed: the program is shutting down.", self.path.display())));
            }
            if let Some(connection) = pool.idle.pop() {
                return Ok(Loan { readers: self, connection: Some(connection) });
            }
            if pool.opened < self.options.readers {
                pool.opened += 1;
                break;
            }
            self.returned.wait(&mut pool);
        }
        drop(pool);
        match open_reader(&self.path, &self.options) {
            Ok(connection) => Ok(Loan { readers: self, connection: Some(connection) }),
            Err(error) => {
                self.pool.lock().opened -= 1;
                self.returned.notify_one();
                Err(error)
            }
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A closure that panicked leaves its transaction open; a connection that can't leave it is not used again.
        let clean = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        let mut pool = self.readers.pool.lock();
        if clean && !pool.closed {
            pool.idle.push(connection);
        } else {
            pool.opened -= 1;
        }
        self.readers.returned.notify_one();
    }
}
