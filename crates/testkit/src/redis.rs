//! Private Redis servers: real ones, each with its own folder and port, gone when dropped.
//!
//! A server starts within some ten milliseconds and costs a few megabytes, so that each test has one of its own. To cut off one party of
//! several, give it a [`crate::Proxy`] of its own in front of the server.
//!
//! In reading order: `options.rs` the command line; `client.rs` commands; `cluster.rs` three masters. What is the same for servers of
//! every kind is in `private.rs`.

mod client;
mod cluster;
mod options;

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, ensure};

pub use cluster::Cluster;
pub use options::{Options, Persistence};

use crate::{
    Proxy,
    private::{Account, Daemon, Port, server_command},
    program, skip,
};

/// Debian's package makes this user; a server that is started as root becomes it.
const SERVER_USER: &str = "redis";
/// A server that loads its data says so at once; a frozen one says nothing.
const PING_LIMIT: Duration = Duration::from_millis(500);
/// A command of a test takes milliseconds, one that saves or loads data on a busy machine some seconds.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// A running server, or one that is down and can be started again.
pub struct Server {
    options: Options,
    program: PathBuf,
    account: Option<Account>,
    /// Where members of a cluster talk to each other.
    bus: Option<Port>,
    daemon: Daemon,
}

/// Says what is missing on this machine for private servers and how to get it; `None` when everything is there.
pub fn missing() -> Option<String> {
    let is_missing = program::find("redis-server").is_none();
    is_missing.then(|| "Redis is not installed (redis-server not found); as root: apt-get install redis-server".to_owned())
}

/// Tells whether this machine can run servers. If not, says loudly that the test is skipped: then return from it.
///
/// # Panics
/// When there is no Redis and nothing may be skipped.
pub fn is_available(test: &str) -> bool {
    skip::can_run(test, missing())
}

impl Server {
    /// Starts an empty server and waits until it answers.
    pub fn start(options: Options) -> anyhow::Result<Server> {
        Server::start_with(options, None)
    }

    fn start_with(options: Options, bus: Option<Port>) -> anyhow::Result<Server> {
        let program = program::find("redis-server").with_context(|| missing().unwrap_or_default())?;
        let account = Account::for_server(SERVER_USER)?;
        let daemon = Daemon::prepare("redis", account, false)?;
        let mut server = Server { options, program, account, bus, daemon };
        let Server { options, program, account, bus, daemon } = &mut server;
        let command = |daemon: &Daemon| command(program, *account, options, bus.as_ref(), daemon);
        daemon.start_first(command, is_ready)?;
        Ok(server)
    }

    /// `127.0.0.1:PORT`; the same as long as the server exists, also while it is down.
    pub fn address(&self) -> String {
        self.socket_address().to_string()
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.daemon.socket_address()
    }

    pub fn port(&self) -> u16 {
        self.daemon.port()
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Where the server keeps its snapshot and its log of writes.
    pub fn data(&self) -> PathBuf {
        self.daemon.folder().path().to_owned()
    }

    /// Opens a way to this server that can be cut.
    pub fn proxy(&self) -> anyhow::Result<Proxy> {
        Proxy::start(self.socket_address())
    }

    /// Runs a command over a connection of its own. A text, a number or a status is given as it is, nothing as an empty text, and a list
    /// with a line per element. An error that Redis answers is an error here.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        client::command(self.socket_address(), words, COMMAND_LIMIT)
    }

    /// Starts the process again, on the same data and port, and waits until it answers. Gives the time that this took.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        self.daemon.start(command(&self.program, self.account, &self.options, self.bus.as_ref(), &self.daemon), is_ready)
    }

    /// Waits until the server answers and has loaded its data.
    pub fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.daemon.wait_until_ready(is_ready)
    }

    /// Kills the process at once. What it has acknowledged is there after a restart with `Persistence::Aof`, with `Snapshot` as of the
    /// last snapshot, with `None` nothing.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops the server in its own order, in which it saves what its persistence asks for, and waits until it has ended.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.daemon.stop()
    }

    /// Lets the process stand still: connections stay open, new ones are accepted by the kernel, and nobody answers.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.daemon.freeze()
    }

    /// Lets a frozen process go on.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.daemon.thaw()
    }

    /// What the server has said since its last start.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    fn bus_port(&self) -> anyhow::Result<u16> {
        let bus = self.bus.as_ref().context("the server is no member of a cluster")?;
        ensure!(bus.number != self.port(), "bus and server share the port {}", bus.number);
        Ok(bus.number)
    }
}

fn command(program: &std::path::Path, account: Option<Account>, options: &Options, bus: Option<&Port>, daemon: &Daemon) -> Command {
    // Redis runs as root too, when nothing can change its user.
    let mut command = server_command(program, account, &[]);
    command.args(options.arguments(daemon.folder().path(), daemon.port(), bus.map(|bus| bus.number)));
    command
}

/// Any answer will do, also that a password is wanted, but for the one that data is being loaded.
fn is_ready(daemon: &Daemon) -> Result<(), String> {
    match client::command(daemon.socket_address(), &["PING"], PING_LIMIT) {
        Ok(_) => Ok(()),
        Err(error) if error.is::<client::Refused>() && !error.to_string().starts_with("LOADING") => Ok(()),
        Err(error) => Err(format!("{error:#}")),
    }
}
