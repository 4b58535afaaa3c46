//! One server: a pool of connections behind a breaker.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address::{Address, Credentials};
use crate::breaker::Breaker;
use crate::connection::Connection;
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::row::Row;

/// How much one server is asked for, and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; callers beyond wait.
    pub connections: usize,
    /// Time to open a connection, login included.
    pub connect: Duration,
    /// Time of one statement, enforced by the server, so that what a client gave up does not run on.
    pub statement: Duration,
    /// Time that a statement waits for a row lock; whole seconds.
    pub lock_wait: Duration,
    /// Time that a caller waits for its turn and its answer.
    pub call: Duration,
    /// Logs in without choosing a database: for whoever is about to make it.
    pub without_database: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16,
            connect: Duration::from_millis(1_500),
            statement: Duration::from_secs(5),
            lock_wait: Duration::from_secs(2),
            call: Duration::from_secs(6),
            without_database: false,
        }
    }
}

impl Limits {
    /// Limits for operations: few connections, long statements.
    pub fn long() -> Limits {
        let hour = Duration::from_secs(3_600);
        Limits { connections: 4, statement: hour, lock_wait: Duration::from_secs(30), call: hour, ..Limits::default() }
    }
}

/// A server. Clones share everything.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    credentials: Credentials,
    limits: Limits,
    label: String,
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
    breaker: Mutex<Breaker>,
    dialect: OnceLock<Dialect>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// Raised when a connection broke: those that are older are likely dead as well.
    generation: u64,
}

/// A connection that somebody has taken. Dropped, it is closed; what waits for a transaction on it is rolled back by the server.
pub struct Taken {
    connection: Connection,
    server: Server,
    was_idle: bool,
    _place: OwnedSemaphorePermit,
}

impl Taken {
    /// Sends statements in one round trip, within the server's limits; see [`Connection::query`].
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Row>>> {
        self.query_within(sql, self.server.shared.limits.call).await
    }

    pub async fn query_within(&mut self, sql: &str, time: Duration) -> Result<Vec<Vec<Row>>> {
        let result = self.connection.query(sql, time).await;
        self.server.record(result.as_ref().err());
        result
    }

    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// Tells whether the connection had been idle: it may have died meanwhile, and the first statement tells.
    pub fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Gives the connection back, if everything on it has been answered. The caller has ended its transaction.
    pub fn put_back(self) {
        let mut idle = self.server.shared.idle.lock();
        if self.connection.is_whole() && self.connection.generation == idle.generation {
            idle.connections.push(self.connection);
        }
    }
}

impl Server {
    /// Names a server. Nothing is opened yet.
    pub fn new(address: Address, credentials: Credentials, limits: Limits) -> Server {
        let label = format!("{}:{}", address.host, address.port);
        let places = Arc::new(Semaphore::new(limits.connections));
        Server {
            shared: Arc::new(Shared {
                address,
                credentials,
                limits,
                label,
                places,
                idle: Mutex::default(),
                breaker: Mutex::default(),
                dialect: OnceLock::new(),
            }),
        }
    }

    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Tells which dialect it speaks: asked once.
    pub async fn dialect(&self) -> Result<Dialect> {
        if let Some(dialect) = self.shared.dialect.get() {
            return Ok(*dialect);
        }
        let taken = self.take().await?;
        let dialect = *self.shared.dialect.get_or_init(|| taken.dialect());
        taken.put_back();
        Ok(dialect)
    }

    /// Tells whether the breaker is open: the server is not asked.
    pub fn is_resting(&self) -> bool {
        self.shared.breaker.lock().is_open()
    }

    /// Asks the server even while it is left alone; when it answers, everybody may ask again.
    pub async fn probe(&self) -> Result<()> {
        let limits = Limits { call: self.shared.limits.connect, ..self.shared.limits.clone() };
        let mut connection = Connection::open(&self.shared.address, &self.shared.credentials, &limits, 0).await?;
        connection.query("SELECT 1", limits.call).await?;
        self.shared.breaker.lock().close();
        Ok(())
    }

    /// Runs statements that may be asked twice: reads, and writes that are the same when repeated. When an idle connection turns out to be
    /// dead, asks once more on a new one.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Row>>> {
        self.query_within(sql, self.shared.limits.call).await
    }

    /// Does what [`Server::query`] does, within a time of the caller's.
    pub async fn query_within(&self, sql: &str, time: Duration) -> Result<Vec<Vec<Row>>> {
        let deadline = Instant::now() + time;
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let mut taken = self.take_within(left()).await?;
            let result = taken.query_within(sql, left()).await;
            let may_have_been_dead = taken.was_idle;
            taken.put_back();
            match result {
                // The idle ones were thrown away with the first that failed, so that this comes to an end.
                Err(Error::Lost(_)) if may_have_been_dead && !left().is_zero() => {}
                result => return result,
            }
        }
    }

    /// Asks one statement and returns its first row with the names of its columns; NULL comes as an empty text.
    pub(crate) async fn named(&self, sql: &str) -> Result<Option<Vec<(String, String)>>> {
        let mut taken = self.take().await?;
        let result = taken.connection.named(sql, self.shared.limits.call).await;
        self.record(result.as_ref().err());
        taken.put_back();
        result
    }

    /// Takes a connection for a transaction.
    pub async fn take(&self) -> Result<Taken> {
        self.take_within(self.shared.limits.call).await
    }

    async fn take_within(&self, time: Duration) -> Result<Taken> {
        let shared = &self.shared;
        if !shared.breaker.lock().allows(Instant::now()) {
            return Err(Error::Unavailable(format!("{} failed too often and is left alone until it answers again.", shared.label)));
        }
        let place = match tokio::time::timeout(time, shared.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => place,
            _ => {
                return Err(Error::Unavailable(format!(
                    "All {} connections to {} were busy for {} ms.",
                    shared.limits.connections,
                    shared.label,
                    time.as_millis()
                )));
            }
        };
        let (idle, generation) = {
            let mut idle = shared.idle.lock();
            (idle.connections.pop(), idle.generation)
        };
        if let Some(connection) = idle {
            return Ok(Taken { connection, server: self.clone(), was_idle: true, _place: place });
        }
        metrics::counter!(names::CONNECTIONS_OPENED_TOTAL, "server" => shared.label.clone()).increment(1);
        match Connection::open(&shared.address, &shared.credentials, &shared.limits, generation).await {
            Ok(connection) => Ok(Taken { connection, server: self.clone(), was_idle: false, _place: place }),
            Err(error) => {
                self.record(Some(&error));
                Err(error)
            }
        }
    }

    /// Keeps the record of one round trip.
    fn record(&self, error: Option<&Error>) {
        let shared = &self.shared;
        let is_sick = error.is_some_and(Error::is_sick);
        if let Some(error) = error {
            metrics::counter!(names::ERRORS_TOTAL, "server" => shared.label.clone(), "reason" => error.reason()).increment(1);
        }
        if is_sick {
            let mut idle = shared.idle.lock();
            idle.generation += 1;
            idle.connections.clear();
        }
        if shared.breaker.lock().record(!is_sick, Instant::now()) {
            metrics::counter!(names::BREAKER_OPENED_TOTAL, "server" => shared.label.clone()).increment(1);
            tracing::error!(
                server = shared.label,
                error = error.map(tracing::field::display),
                "a server fails too often; it is left alone for a while"
            );
        }
    }
}
