//! Private memcached servers: real ones, each with its own port, gone when dropped.
//!
//! A server starts within some ten milliseconds, so that each test has one of its own. To cut off one party of several, give it a
//! [`crate::Proxy`] of its own in front of the server. What is the same for servers of every kind is in `private.rs`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::{
    Proxy,
    private::{Account, Daemon, server_command},
    program, skip,
};

/// Debian's package makes this user; the server does not run as root.
const SERVER_USER: &str = "memcache";
/// A server answers within microseconds; a frozen one never does.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);

/// What a private server is for decides these; `..Options::default()` gives the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For values; what does not fit drives out what was not used lately.
    pub memory_mib: u32,
    pub threads: u32,
    /// More of the command line, behind everything else.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { memory_mib: 64, threads: 1, arguments: Vec::new() }
    }
}

/// A running server, or one that is down and can be started again.
pub struct Server {
    options: Options,
    program: PathBuf,
    account: Option<Account>,
    daemon: Daemon,
}

/// Says what is missing on this machine for private servers and how to get it; `None` when everything is there.
pub fn missing() -> Option<String> {
    let is_missing = program::find("memcached").is_none();
    is_missing.then(|| "memcached is not installed (memcached not found); as root: apt-get install memcached".to_owned())
}

/// Tells whether this machine can run servers. If not, says loudly that the test is skipped: then return from it.
///
/// # Panics
/// When there is no memcached and nothing may be skipped.
pub fn is_available(test: &str) -> bool {
    skip::can_run(test, missing())
}

impl Server {
    /// Starts an empty server and waits until it answers.
    pub fn start(options: Options) -> anyhow::Result<Server> {
        let program = program::find("memcached").with_context(|| missing().unwrap_or_default())?;
        let account = Account::for_server(SERVER_USER)?;
        let daemon = Daemon::prepare("memcached", account, false)?;
        let mut server = Server { options, program, account, daemon };
        let Server { options, program, account, daemon } = &mut server;
        daemon.start_first(|daemon| command(program, *account, options, daemon), is_ready)?;
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

    pub fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Opens a way to this server that can be cut.
    pub fn proxy(&self) -> anyhow::Result<Proxy> {
        Proxy::start(self.socket_address())
    }

    /// Runs a command of one line whose answer is one line, over a connection of its own, and gives the answer.
    pub fn command(&self, line: &str) -> anyhow::Result<String> {
        answer(self.socket_address(), line)
    }

    /// Forgets everything.
    pub fn flush(&self) -> anyhow::Result<()> {
        let answer = self.command("flush_all")?;
        ensure!(answer == "OK", "flush_all was answered with '{answer}'");
        Ok(())
    }

    /// Starts the process again, empty and on the same port, and waits until it answers. Gives the time that this took.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        self.daemon.start(command(&self.program, self.account, &self.options, &self.daemon), is_ready)
    }

    /// Kills the process at once, with all that it holds.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Lets the process stand still: connections stay open, new ones are accepted by the kernel, and nobody answers.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.daemon.freeze()
    }

    /// Lets a frozen process go on, with all that it holds.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.daemon.thaw()
    }

    /// What the server has said since its last start.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn command(program: &Path, account: Option<Account>, options: &Options, daemon: &Daemon) -> Command {
    let Options { memory_mib, threads, arguments } = options;
    let mut command = server_command(program, account, &["-u", SERVER_USER]);
    command.args(["-l", "127.0.0.1", "-U", "0", "-c", "1024", "-p", &daemon.port().to_string()]);
    command.args(["-m", &memory_mib.to_string(), "-t", &threads.to_string()]).args(arguments);
    command
}

fn is_ready(daemon: &Daemon) -> Result<(), String> {
    let version = answer(daemon.socket_address(), "version").map_err(|error| format!("{error:#}"))?;
    if version.starts_with("VERSION ") { Ok(()) } else { Err(version) }
}

fn answer(server: SocketAddr, line: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, COMMAND_LIMIT).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(COMMAND_LIMIT))?;
    stream.set_write_timeout(Some(COMMAND_LIMIT))?;
    stream.write_all(format!("{line}\r\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).with_context(|| format!("no answer from {server}"))?;
    Ok(answer.strip_suffix("\r\n").context("the connection ended")?.to_owned())
}
