//! One server's process, with the folder and the port that stay with it while it is down.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::{Account, Folder, Port, starter};
use crate::{
    procfs,
    site::{end_in_order, send_signal},
    wait_for,
};

/// A start takes milliseconds to a tenth of a second; recovery after a kill, on a busy machine, some more.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// A clean stop writes what is in memory to the data folder.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// A thread that is writing to a disk stops only when that is done.
const FREEZE_LIMIT: Duration = Duration::from_secs(20);
/// Somebody who knows nothing of our locks may take a port between our look and the server's start.
const PORT_TRIES: usize = 5;
const LOG_TAIL_LINES: usize = 40;

/// A running server, or one that is down and can be started again.
pub(crate) struct Daemon {
    // Order matters: the process has ended (see `drop`) before port and folder go.
    port: Port,
    folder: Folder,
    child: Option<Child>,
    is_frozen: bool,
}

impl Daemon {
    /// Makes folder and port; nothing runs yet. `kind` is in the folder's name.
    pub fn prepare(kind: &str, account: Option<Account>, on_disk: bool) -> anyhow::Result<Daemon> {
        let folder = Folder::create(kind, account, on_disk)?;
        Ok(Daemon { port: Port::reserve()?, folder, child: None, is_frozen: false })
    }

    /// Starts for the first time, on another port when somebody has taken this one.
    pub fn start_first(
        &mut self,
        command: impl Fn(&Daemon) -> Command,
        is_ready: impl Fn(&Daemon) -> Result<(), String>,
    ) -> anyhow::Result<Duration> {
        for _ in 1..PORT_TRIES {
            match self.start(command(self), &is_ready) {
                Err(_) if self.log().contains("Address already in use") => self.port = Port::reserve()?,
                outcome => return outcome,
            }
        }
        self.start(command(self), &is_ready)
    }

    /// Starts the process (again), on the same data and port, and waits until it is ready. Gives the time that this took.
    pub fn start(&mut self, mut command: Command, is_ready: impl Fn(&Daemon) -> Result<(), String>) -> anyhow::Result<Duration> {
        ensure!(self.child.is_none(), "the server is running; stop it first");
        let started = Instant::now();
        // What it says goes where those servers log that are told to; an old log would show old errors.
        let log = fs::File::create(self.folder.error_log())?;
        self.folder.give_away(&self.folder.error_log())?;
        // A pipe of the test's would stay open as long as the server.
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(starter::spawn(command)?);
        match self.wait_until_ready(is_ready) {
            Ok(()) => Ok(started.elapsed()),
            Err(error) => {
                self.kill9();
                bail!("{error}\n{}", self.log_tail());
            }
        }
    }

    /// Waits until `is_ready` has nothing to complain of.
    pub fn wait_until_ready(&mut self, is_ready: impl Fn(&Daemon) -> Result<(), String>) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the server is not running")?;
        let ended = wait_for("the server to be ready", READY_LIMIT, || match child.try_wait() {
            // A dead process won't come to life: there is nothing more to wait for.
            Ok(Some(status)) => Ok(Some(status)),
            Ok(None) => is_ready(self).map(|()| None),
            Err(error) => Err(error.to_string()),
        });
        self.child = Some(child);
        match ended? {
            None => Ok(()),
            Some(status) => bail!("the server ended instead of getting ready: {status}"),
        }
    }

    /// Kills the process at once.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only when it is already gone, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.is_frozen = false;
    }

    /// Stops the server in its own order and waits until it has ended.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.thaw()?;
        let child = self.child.take().context("the server is not running")?;
        let status = end_in_order(child, "the server to stop", STOP_LIMIT)?;
        ensure!(status.success(), "the server stopped with {status}\n{}", self.log_tail());
        Ok(())
    }

    /// Lets the process stand still: connections stay open, new ones are accepted by the kernel, and nobody answers.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        let pid = self.pid().context("the server is not running")?;
        send_signal(pid, "STOP")?;
        self.is_frozen = true;
        // The signal has been sent, not yet heeded: each thread stops when it next comes by.
        wait_for("all threads to stop", FREEZE_LIMIT, || match procfs::thread_states(pid) {
            Ok(states) if states.chars().all(|state| state == 'T') => Ok(()),
            Ok(states) => Err(states),
            Err(error) => Err(format!("{error:#}")),
        })
    }

    /// Lets a frozen process go on.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.is_frozen) {
            send_signal(self.pid().context("the server is not running")?, "CONT")?;
        }
        Ok(())
    }

    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number))
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What the server has said since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.error_log()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        tail(&self.folder.error_log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// The end of a log, for the message of an error.
pub(crate) fn tail(path: &Path) -> String {
    let log = fs::read_to_string(path).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = log.lines().collect();
    let end = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
    format!("--- the end of {} ---\n{}\n---", path.display(), end.join("\n"))
}
