//! One server for many tests, each in a database of its own.
//!
//! ```text
//! cargo xtask test    starts one server per section and names it in CORKBOARD_TEST_MARIADB
//! a test alone        finds no such variable, and starts a server that lives as long as somebody in this process uses it
//! ```

use std::{
    net::SocketAddr,
    process,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Context as _;

use super::{Client, Options, SITE, Server, software};
use crate::skip;

/// Names the server that whoever runs the tests has started for them, as `HOST:PORT`.
pub const SHARED_VARIABLE: &str = "CORKBOARD_TEST_MARIADB";
/// All contract tests of a section keep their tables in one server.
const BUFFER_POOL_MIB: u32 = 128;
/// Tests run one per core, but each may open several pools.
const CONNECTIONS_MAX: u32 = 1_000;

/// The server of this process, as long as a test uses it.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// An empty database on a shared server; gone when dropped.
pub struct Shared {
    address: SocketAddr,
    database: String,
    /// The server, when it belongs to this process.
    _server: Option<Arc<Server>>,
}

/// The options of a server that tests share.
pub fn shared_options() -> Options {
    Options { buffer_pool_mib: BUFFER_POOL_MIB, connections_max: CONNECTIONS_MAX, ..Options::default() }
}

/// Makes an empty database for the test of this name. Gives `None` when this machine has no MariaDB, after saying loudly that the test
/// is skipped: then return from it.
///
/// # Panics
/// When there is no MariaDB and nothing may be skipped.
pub fn shared(test: &str) -> anyhow::Result<Option<Shared>> {
    if !skip::can_run(test, software::missing()) {
        return Ok(None);
    }
    let (address, server) = match std::env::var(SHARED_VARIABLE) {
        Ok(text) => (text.parse().with_context(|| format!("{SHARED_VARIABLE}={text} is not an address and a port"))?, None),
        Err(_) => {
            let server = own_server()?;
            (server.socket_address(), Some(server))
        }
    };
    let database = format!("corkboard_{}_{}", process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
    let shared = Shared { address, database, _server: server };
    // A killed test of an earlier process with this number may have left one behind.
    shared.client().sql(&format!("CREATE OR REPLACE DATABASE {}", shared.database))?;
    Ok(Some(shared))
}

fn own_server() -> anyhow::Result<Arc<Server>> {
    let mut known = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = known.upgrade() {
        return Ok(server);
    }
    let server = Arc::new(Server::start(shared_options())?);
    *known = Arc::downgrade(&server);
    Ok(server)
}

impl Shared {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// The database as the site's user reaches it: `mysql://corkboard:corkboard@127.0.0.1:PORT/DATABASE`.
    pub fn url(&self) -> String {
        format!("mysql://{}:{}@{}/{}", SITE.user, SITE.password, self.address, self.database)
    }

    /// A client with the rights of the site.
    pub fn client(&self) -> Client {
        Client::over_tcp(self.address, SITE)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let dropped = self.client().sql(&format!("DROP DATABASE IF EXISTS {}", self.database));
        if let Err(error) = dropped {
            eprintln!("the database {} stays behind: {error:#}", self.database);
        }
    }
}
