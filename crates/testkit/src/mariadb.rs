//! Private MariaDB servers: real ones, each with its own folder and port, gone when dropped.
//!
//! ```text
//!          ┌─────────────freeze──▶ frozen ──thaw──┐
//! start ──▶ running ◀─────────────────────────────┘      replica_of ──▶ running, follows the primary
//!          ├─kill9─▶ dead ────┐
//!          └─stop──▶ stopped ─┴─restart──▶ running       on the same data and port
//! ```
//! Options in [`options`](Options) say whether a server is fast or durable. To cut off one party of several, give it a [`crate::Proxy`]
//! of its own in front of the server.
//!
//! A server never outlives its tests: dropping kills it, and the kernel kills it when the process dies in any other way.
//!
//! In reading order: `options.rs` the command line; `software.rs` programs and users; `template.rs` the data that all start from;
//! `client.rs` statements; `shared.rs` one server for many tests. What is the same for servers of every kind is in `private.rs`.

mod client;
mod options;
mod shared;
mod software;
mod template;

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::ensure;

pub use client::{Client, Login, OPERATIONS, REPLICATION, SITE, storage_config};
pub use options::Options;
pub use shared::{SHARED_VARIABLE, Shared, shared, shared_options};
pub use software::missing;

use crate::{Proxy, private::Daemon, skip, wait_for};
use software::Software;

/// Replication runs within milliseconds, on a busy machine in some seconds.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A server that starts answers a connection with its greeting at once; a frozen one never does.
const GREETING_LIMIT: Duration = Duration::from_millis(500);
/// A replica applies what tests write within milliseconds.
const CATCH_UP_SECONDS: u32 = 20;

/// A running server, or one that is down and can be started again.
pub struct Server {
    options: Options,
    software: Software,
    daemon: Daemon,
}

/// Tells whether this machine can run servers. If not, says loudly that the test is skipped: then return from it.
///
/// # Panics
/// When there is no MariaDB and nothing may be skipped.
pub fn is_available(test: &str) -> bool {
    skip::can_run(test, missing())
}

impl Server {
    /// Starts a server with fresh data and waits until it is ready.
    pub fn start(options: Options) -> anyhow::Result<Server> {
        let software = Software::find()?;
        let template = template::provide(&software)?;
        let daemon = Daemon::prepare("mariadb", software.account, options.durable)?;
        template::copy(&template, &daemon.folder().path().join("data"))?;
        let mut server = Server { options, software, daemon };
        let Server { options, software, daemon } = &mut server;
        daemon.start_first(|daemon| command(software, options, daemon), is_ready)?;
        Ok(server)
    }

    /// Starts a second server that follows `primary` from its first change on.
    pub fn replica_of(primary: &Server, options: Options) -> anyhow::Result<Server> {
        let id = options.server_id;
        ensure!(id != primary.options.server_id, "primary and replica have the same server_id {id}; give the replica another one");
        let replica = Server::start(options)?;
        replica.follow(primary.socket_address())?;
        Ok(replica)
    }

    /// Makes this server a replica of whoever is behind an address, from where it is on: a primary, or a proxy in front of one.
    pub fn follow(&self, primary: SocketAddr) -> anyhow::Result<()> {
        let (host, port) = (primary.ip(), primary.port());
        let (user, password) = (REPLICATION.user, REPLICATION.password);
        // What this server wrote itself while it was a primary counts as well, so that a former primary can follow its successor.
        self.sql(&format!(
            "STOP SLAVE; SET GLOBAL gtid_slave_pos = @@gtid_current_pos; \
             CHANGE MASTER TO MASTER_HOST = '{host}', MASTER_PORT = {port}, MASTER_USER = '{user}', MASTER_PASSWORD = '{password}', \
             MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1; START SLAVE"
        ))?;
        wait_for("replication to run", READY_LIMIT, || {
            let status = self.replication().map_err(|error| format!("{error:#}"))?;
            let field = |name: &str| status.get(name).map_or("", String::as_str);
            match (field("Slave_IO_Running"), field("Slave_SQL_Running")) {
                ("Yes", "Yes") => Ok(()),
                (io, sql) => Err(format!("I/O {io}, SQL {sql}: {} {}", field("Last_IO_Error"), field("Last_SQL_Error"))),
            }
        })
    }

    /// What `SHOW SLAVE STATUS` says; empty for a server that is no replica.
    pub fn replication(&self) -> anyhow::Result<BTreeMap<String, String>> {
        self.admin().row("SHOW SLAVE STATUS")
    }

    /// Up to where this server has written, as a GTID.
    pub fn position(&self) -> anyhow::Result<String> {
        self.admin().value("SELECT @@gtid_binlog_pos")
    }

    /// Waits until this replica has everything that `primary` has written up to now.
    pub fn wait_until_caught_up(&self, primary: &Server) -> anyhow::Result<()> {
        let position = primary.position()?;
        let outcome = self.admin().value(&format!("SELECT MASTER_GTID_WAIT('{position}', {CATCH_UP_SECONDS})"))?;
        ensure!(outcome == "0", "the replica is at {}, not at {position}, after {CATCH_UP_SECONDS} s", self.position()?);
        Ok(())
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

    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.daemon.folder().path().join("data")
    }

    /// Opens a way to this server that can be cut.
    pub fn proxy(&self) -> anyhow::Result<Proxy> {
        Proxy::start(self.socket_address())
    }

    /// The administrator, over the server's private socket.
    pub fn admin(&self) -> Client {
        Client::over_socket(&self.daemon.folder().socket())
    }

    /// Somebody over the network.
    pub fn client(&self, login: Login) -> Client {
        Client::over_tcp(self.socket_address(), login)
    }

    /// Runs statements as the administrator and gives their rows: see [`Client::sql`].
    pub fn sql(&self, statements: &str) -> anyhow::Result<Vec<Vec<String>>> {
        self.admin().sql(statements)
    }

    /// Starts the process (again), on the same data and port, and waits until it is ready. Gives the time that this took.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        self.daemon.start(command(&self.software, &self.options, &self.daemon), is_ready)
    }

    /// Waits until the server greets whoever connects.
    pub fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.daemon.wait_until_ready(is_ready)
    }

    /// Kills the process at once. What it has committed is in the hands of the operating system, and there after a restart.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops the server in its own order and waits until it has ended.
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
}

fn command(software: &Software, options: &Options, daemon: &Daemon) -> Command {
    let mut command = software.server_command();
    command.args(options.arguments(daemon.folder().path(), daemon.port()));
    command
}

fn is_ready(daemon: &Daemon) -> Result<(), String> {
    greeting(&daemon.folder().socket())
}

/// Reads the server's first packet: three bytes of length, a number, then the version of the protocol, which is 10, or 255 for an error.
fn greeting(socket: &Path) -> Result<(), String> {
    let described = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).map_err(described)?;
    stream.set_read_timeout(Some(GREETING_LIMIT)).map_err(described)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).map_err(described)?;
    if head[4] == 10 { Ok(()) } else { Err(format!("it greets with the bytes {head:?}")) }
}
