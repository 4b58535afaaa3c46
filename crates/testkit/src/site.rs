//! A private corkboard process: its own port, its own data folder, gone when dropped.
//!
//! ```text
//! start ──▶ running ──kill9──▶ dead ──restart──▶ running ──terminate──▶ drained
//! ```
//! The data folder lives as long as the `Site`, so that what is there after a kill can be looked at. What the process
//! prints goes to `server.log` beside the data; a failing test shows its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use crate::{Client, wait_for};

/// Names the binary to test; without it the one of the same target folder is taken, and built when it is not there.
pub const BINARY_VARIABLE: &str = "CORKBOARD_BIN";
/// A debug build under load from other tests needs far less than this to start.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// The site promises to drain in 20 seconds.
const DRAIN_LIMIT: Duration = Duration::from_secs(40);
/// All of a test's people come from one address and work without a pause.
const RATE_LIMIT_VARIABLE: &str = "CORKBOARD_SERVER_RATE_LIMIT_SCALE";
const RATE_LIMIT_SCALE: &str = "1000";
const LOG_TAIL_LINES: usize = 40;

/// A running site, or one that was stopped and can be started again.
pub struct Site {
    binary: PathBuf,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    config: Option<PathBuf>,
    child: Option<Child>,
    base_url: String,
}

impl Site {
    /// Starts a site on a free port with an empty data folder, and waits until it is ready.
    pub fn start() -> anyhow::Result<Site> {
        Site::start_binary(&binary()?, &[])
    }

    /// Like [`Site::start`], with a given binary and further arguments of `serve`.
    pub fn start_binary(binary: &Path, arguments: &[&str]) -> anyhow::Result<Site> {
        let mut site = Site::prepare(binary, arguments)?;
        site.restart()?;
        Ok(site)
    }

    /// Makes the folder of a site without starting it, for commands that come before.
    pub fn prepare(binary: &Path, arguments: &[&str]) -> anyhow::Result<Site> {
        ensure!(binary.is_file(), "{} is not there; build it with: cargo build -p corkboard", binary.display());
        let folder = tempfile::Builder::new().prefix("corkboard-site-").tempdir()?;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Ok(Site { binary: binary.to_owned(), folder, arguments, config: None, child: None, base_url: String::new() })
    }

    /// Gives the process and every command beside it a configuration file; for a site that was prepared and not yet started.
    pub fn with_config(mut self, path: &Path) -> Site {
        self.config = Some(path.to_owned());
        self
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where the site keeps everything.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A new browser without cookies.
    pub fn client(&self) -> Client {
        Client::new(&self.base_url)
    }

    /// Prepares a command of the binary on this site's data folder: `site.command(&["user", "create", …])`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--data").arg(self.data()).current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
    }

    /// Starts the process (again), on the port that it had before, and waits until it is ready.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        self.start_until("/readyz")
    }

    /// Starts the process (again) and waits until `path` answers 200. Gives the time from the start of the process.
    pub fn start_until(&mut self, path: &str) -> anyhow::Result<Duration> {
        ensure!(self.child.is_none(), "the site is running; stop it first");
        let log_path = self.log_path();
        fs::write(&log_path, "")?;
        let log = File::options().append(true).open(&log_path)?;
        let listen = if self.base_url.is_empty() { "127.0.0.1:0" } else { self.base_url.trim_start_matches("http://") };
        let mut command = self.command(&["serve", "--listen", listen]);
        command
            .args(&self.arguments)
            .env(RATE_LIMIT_VARIABLE, RATE_LIMIT_SCALE)
            .env("RUST_BACKTRACE", "1")
            .stdout(log.try_clone()?)
            .stderr(log);
        let started = Instant::now();
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.binary.display()))?);
        let outcome = wait_for("the site to be ready", READY_LIMIT, || self.look(path));
        match outcome {
            Ok(()) => Ok(started.elapsed()),
            Err(error) => {
                let tail = self.log_tail();
                self.kill9();
                bail!("{error}\n{tail}");
            }
        }
    }

    /// One look at a starting site.
    fn look(&mut self, path: &str) -> Result<(), String> {
        let Some(child) = &mut self.child else { return Err("no process".into()) };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the process has ended: {status}"));
        }
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let url = listening_url(&log).ok_or("it has not yet printed where it listens")?;
        self.base_url = url;
        let response = self.client().get(path).map_err(|error| format!("{error:#}"))?;
        if response.status == 200 { Ok(()) } else { Err(format!("{path}: {} {}", response.status, response.text())) }
    }

    /// Kills the process at once, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only when it is already gone, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to stop and waits until it has drained.
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        end_in_order(self.child.take().context("the site is not running")?, "the site to drain", DRAIN_LIMIT)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// What the process has printed since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        format!("--- the end of {} ---\n{}\n---", self.log_path().display(), tail.join("\n"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

/// Asks a process to end and waits until it has; kills it when that takes too long.
pub(crate) fn end_in_order(mut child: Child, what: &str, limit: Duration) -> anyhow::Result<ExitStatus> {
    send_signal(child.id(), "TERM")?;
    let ended = wait_for(what, limit, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("still running".into()),
        Err(error) => Err(error.to_string()),
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

/// Sends a signal by name with the shell's own `kill`, which needs no package and no unsafe code.
pub fn send_signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

/// Finds the first address in what the server prints: `http://` up to the end of the port.
fn listening_url(log: &str) -> Option<String> {
    let mut rest = log;
    while let Some(at) = rest.find("http://") {
        let url: String = rest[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "./:[]-".contains(*c)).collect();
        let url = url.trim_end_matches(['/', '.', ':']).to_owned();
        if url.rsplit_once(':').is_some_and(|(host, port)| host != "http" && port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Some(url.replace("localhost", "127.0.0.1").replace("0.0.0.0", "127.0.0.1"));
        }
        rest = &rest[at + "http://".len()..];
    }
    None
}

/// Finds the binary: by [`BINARY_VARIABLE`], else beside the running test; builds it when it is not there.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let test = std::env::current_exe()?;
    // target/PROFILE/deps/test-hash
    let profile = test.ancestors().nth(2).with_context(|| format!("{} is not in a target folder", test.display()))?;
    let path = profile.join("corkboard");
    if path.is_file() {
        return Ok(path);
    }
    let is_release = profile.file_name().is_some_and(|name| name == "release");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "corkboard"]).args(is_release.then_some("--release"));
    let status = build.status().context("running cargo")?;
    ensure!(status.success() && path.is_file(), "cargo build -p corkboard: {status}, and {} is not there", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_what_is_printed() {
        let log = "see http://example.org for more\nCorkboard listens on http://127.0.0.1:41235/ (data in ./data)\n";
        assert_eq!(listening_url(log).unwrap(), "http://127.0.0.1:41235");
        assert_eq!(listening_url("open \"http://localhost:8080\".").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(listening_url("http://127.0.0.1:0"), None);
        assert_eq!(listening_url(""), None);
    }
}
