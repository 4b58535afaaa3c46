//! One connection to one server.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts};

use crate::address::{Address, Credentials};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::row::Row;
use crate::server::Limits;

/// An open connection.
pub(crate) struct Connection {
    conn: Conn,
    dialect: Dialect,
    server: String,
    /// False from the moment that a statement was sent until its whole answer was read.
    is_whole: bool,
    /// The pool's generation in which it was opened.
    pub(crate) generation: u64,
}

impl Connection {
    pub(crate) async fn open(address: &Address, credentials: &Credentials, limits: &Limits, generation: u64) -> Result<Connection> {
        let server = format!("{}:{}", address.host, address.port);
        let options = OptsBuilder::default()
            .ip_or_hostname(address.host.clone())
            .tcp_port(address.port)
            .user(Some(credentials.user.clone()))
            .pass(Some(credentials.password.clone()))
            .db_name((!limits.without_database).then(|| address.database.clone()))
            .tcp_nodelay(true)
            .prefer_socket(false)
            .stmt_cache_size(0)
            .ssl_opts(address.tls.then(SslOpts::default));
        let opening = async {
            let mut conn = Conn::new(options).await.map_err(|error| cannot_open(&server, error))?;
            let version: Option<String> = conn.query_first("SELECT VERSION()").await.map_err(|error| cannot_open(&server, error))?;
            let dialect = Dialect::of_version(&version.unwrap_or_default());
            let setup = format!(
                "SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'; \
                 SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION innodb_lock_wait_timeout = {}; {}",
                limits.lock_wait.as_secs().max(1),
                dialect.time_limit(limits.statement.as_millis()),
            );
            conn.query_drop(setup).await.map_err(|error| cannot_open(&server, error))?;
            Ok(Connection { conn, dialect, server: server.clone(), is_whole: true, generation })
        };
        match tokio::time::timeout(limits.connect, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::Unavailable(format!("{server} did not let us in within {} ms.", limits.connect.as_millis()))),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Tells whether everything that was asked has been answered.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole && !self.conn.is_disconnected()
    }

    /// Sends statements, separated by semicolons, in one round trip. Returns the rows of each that has columns, in order. An error of the
    /// server ends the list: what stands before it was done. After the time the connection is of no use any more.
    pub(crate) async fn query(&mut self, sql: &str, time: Duration) -> Result<Vec<Vec<Row>>> {
        let started = Instant::now();
        self.is_whole = false;
        let result = match tokio::time::timeout(time, self.ask(sql)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Lost(format!("{} did not answer within {} ms.", self.server, time.as_millis()))),
        };
        self.is_whole = matches!(result, Ok(_) | Err(Error::Refused { .. } | Error::Corrupt(_)));
        metrics::histogram!(names::STATEMENT_SECONDS, "server" => self.server.clone()).record(started.elapsed());
        result
    }

    /// Asks one statement and returns its first row with the names of its columns.
    pub(crate) async fn named(&mut self, sql: &str, time: Duration) -> Result<Option<Vec<(String, String)>>> {
        self.is_whole = false;
        let asking = async { self.conn.query_first::<mysql_async::Row, _>(sql).await.map_err(|error| broken(&self.server, error)) };
        let result = match tokio::time::timeout(time, asking).await {
            Ok(result) => result,
            Err(_) => Err(Error::Lost(format!("{} did not answer within {} ms.", self.server, time.as_millis()))),
        };
        self.is_whole = matches!(result, Ok(_) | Err(Error::Refused { .. }));
        Ok(result?.map(|row| {
            let columns: Vec<String> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
            columns.into_iter().zip(row.unwrap().into_iter().map(|value| mysql_async::from_value_opt(value).unwrap_or_default())).collect()
        }))
    }

    async fn ask(&mut self, sql: &str) -> Result<Vec<Vec<Row>>> {
        let lost = |error| broken(&self.server, error);
        let mut answer = self.conn.query_iter(sql).await.map_err(lost)?;
        let mut sets = Vec::new();
        loop {
            let has_columns = !answer.columns_ref().is_empty();
            let mut rows = Vec::new();
            while let Some(row) = answer.next().await.map_err(lost)? {
                rows.push(Row(row.unwrap()));
            }
            if has_columns {
                sets.push(rows);
            }
            if answer.is_empty() {
                // The driver keeps an error of a later statement until it is asked once more.
                answer.next().await.map_err(lost)?;
                return Ok(sets);
            }
        }
    }
}

fn cannot_open(server: &str, error: mysql_async::Error) -> Error {
    match error {
        mysql_async::Error::Server(error) => Error::Refused { code: error.code, message: format!("{server}: {}", error.message) },
        other => Error::Unavailable(format!("{server} can't be reached: {other}.")),
    }
}

fn broken(server: &str, error: mysql_async::Error) -> Error {
    match error {
        mysql_async::Error::Server(error) => Error::Refused { code: error.code, message: error.message },
        other => Error::Lost(format!("The connection to {server} broke: {other}.")),
    }
}
