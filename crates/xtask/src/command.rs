//! Running other programs: where things are, and reading what a program prints while a person still sees it.

use std::{
    io::{BufRead as _, BufReader, IsTerminal as _, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, ensure};

/// The folder that holds the workspace's Cargo.toml.
pub fn workspace_root() -> anyhow::Result<PathBuf> {
    // crates/xtask
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.ancestors().nth(2).filter(|root| root.join("Cargo.toml").is_file());
    Ok(root.with_context(|| format!("{} is not in the workspace any more; build xtask again", own.display()))?.to_owned())
}

/// A command of the same cargo that runs this.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Where cargo puts what it builds.
pub fn target_folder(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

/// Tells whether a program is found on the PATH, or where servers are installed.
pub fn is_on_path(program: &str) -> bool {
    testkit::program::find(program).is_some()
}

/// Describes a command as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs to the end; fails when the program fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("running {}", shown(command)))?;
    ensure!(status.success(), "{}: {status}", shown(command));
    Ok(())
}

/// How a program ended, and all lines that it printed.
pub struct Finished {
    pub status: ExitStatus,
    pub lines: Vec<String>,
}

/// Runs to the end, passes every line on as it comes, and keeps them all, without colours.
pub fn run_and_keep(command: &mut Command) -> anyhow::Result<Finished> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let description = shown(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {description}"))?;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        child.stdout.take().map(|pipe| keep(pipe, Arc::clone(&lines), false)),
        child.stderr.take().map(|pipe| keep(pipe, Arc::clone(&lines), true)),
    ];
    let status = child.wait().with_context(|| format!("waiting for {description}"))?;
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    Ok(Finished { status, lines })
}

fn keep(pipe: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>, is_error: bool) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            if is_error {
                eprintln!("{line}");
            } else {
                println!("{line}");
            }
            lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(without_colors(&line));
        }
    })
}

/// Removes terminal colours: ESC, '[', parameters, one letter.
pub fn without_colors(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if c != '\r' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go() {
        assert_eq!(without_colors("\u{1b}[32;1mPASS\u{1b}[0m one\r"), "PASS one");
    }

    #[test]
    fn both_streams_are_kept_and_failure_is_seen() {
        let finished = run_and_keep(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert_eq!(finished.status.code(), Some(3));
        let mut lines = finished.lines;
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
        assert!(run(&mut Command::new("false")).unwrap_err().to_string().contains("false"));
        assert!(run_and_keep(&mut Command::new("/no/such/program")).is_err());
    }
}
