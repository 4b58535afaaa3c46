//! Many seeds: this program once per seed, some at a time, so that nothing of one run is left in another.

use std::collections::VecDeque;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::site::send_signal;
use crate::wait_for;
use anyhow::{Context as _, bail};

/// Runs at a time: one waits for leases and servers most of the time.
const AT_ONCE: usize = 2;
/// A run that hangs is ended after this much more than it was asked to last.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// What runs once per seed.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// As in `cargo xtask chaos NAME`.
    pub name: &'static str,
    pub seeds: u64,
    /// What a run lasts at least.
    pub seconds: u64,
}

pub struct Arguments {
    program: Program,
    pub seeds: u64,
    pub first_seed: u64,
    pub seconds: u64,
    /// Run this seed here, in this process.
    pub only: Option<u64>,
    /// Keep logs and history even when nothing was found.
    pub keeps: bool,
}

impl Arguments {
    /// Reads the command line.
    fn parse(program: Program, words: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
        let Program { seeds, seconds, .. } = program;
        let mut arguments = Arguments { program, seeds, first_seed: 1, seconds, only: None, keeps: false };
        let mut words = words;
        let (mut has_seed, mut has_seeds) = (false, false);
        while let Some(word) = words.next() {
            let mut number = || -> anyhow::Result<u64> {
                let value = words.next().with_context(|| format!("{word} wants a number"))?;
                value.parse().with_context(|| format!("{word} {value}: write a number"))
            };
            match word.as_str() {
                "--seeds" => (arguments.seeds, has_seeds) = (number()?, true),
                "--seed" => (arguments.first_seed, has_seed) = (number()?, true),
                "--seconds" => arguments.seconds = number()?,
                "--keep" => arguments.keeps = true,
                "--only" => arguments.only = Some(number()?),
                other => bail!("{other} is not known; there are --seeds N, --seed S, --seconds N and --keep"),
            }
        }
        if has_seed && !has_seeds {
            arguments.seeds = 1;
        }
        Ok(arguments)
    }
}

/// The whole of a program that runs once per seed: `one` runs a seed in this process, and is true when nothing was found.
pub fn run(program: Program, one: fn(u64, &Arguments) -> anyhow::Result<bool>) -> ExitCode {
    // `cargo test --test '*'` starts every program under tests/, with words for the usual harness. No line of it counts as a test.
    if std::env::args().nth(1).is_some_and(|word| word == "--skip" || !word.starts_with("--")) {
        println!("chaos runs by `cargo xtask chaos {}`", program.name);
        return ExitCode::SUCCESS;
    }
    let outcome = Arguments::parse(program, std::env::args().skip(1)).and_then(|arguments| match arguments.only {
        Some(seed) => one(seed, &arguments),
        None => all(&arguments),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all seeds. True when none failed. The last line says how many did.
fn all(arguments: &Arguments) -> anyhow::Result<bool> {
    let seeds: VecDeque<u64> = (arguments.first_seed..arguments.first_seed.saturating_add(arguments.seeds)).collect();
    let (queue, failed) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(seed) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { return };
                    let started = Instant::now();
                    let (passed, said) = match start(seed, arguments) {
                        Ok(outcome) => outcome,
                        Err(error) => (false, format!("{error:#}")),
                    };
                    let result = if passed { "passed" } else { "FAILED" };
                    let summary = said.lines().rfind(|line| line.ends_with("acknowledged")).unwrap_or("");
                    let kept = said.lines().rfind(|line| arguments.keeps && line.starts_with("logs and history")).unwrap_or("");
                    println!("seed {seed}: {result} in {:.1} s; {summary} {kept}", started.elapsed().as_secs_f64());
                    if !passed {
                        println!(
                            "{said}\nagain: cargo xtask chaos {} --seed {seed} --seconds {}",
                            arguments.program.name, arguments.seconds
                        );
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("chaos: {} passed, {} failed", arguments.seeds - failed.len() as u64, failed.len());
    Ok(failed.is_empty())
}

/// Runs one seed in a process of its own. Returns whether it passed, and what it said.
fn start(seed: u64, arguments: &Arguments) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--only", &seed.to_string(), "--seconds", &arguments.seconds.to_string()]);
    command.args(arguments.keeps.then_some("--keep"));
    let output = tempfile::NamedTempFile::new()?;
    let both = output.reopen()?;
    command.stdin(Stdio::null()).stdout(both.try_clone()?).stderr(both);
    // A group of its own: whoever ends it ends the storage processes as well.
    let mut run = Group(command.process_group(0).spawn()?);
    let limit = HANGS_AFTER + Duration::from_secs(arguments.seconds);
    let ended = wait_for("the run to end", limit, || match run.0.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("it still runs".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    let mut said = String::new();
    output.reopen()?.read_to_string(&mut said)?;
    match ended {
        Ok(status) => Ok((status.success(), said)),
        Err(error) => Ok((false, format!("{said}\n{error:#}"))),
    }
}

/// A run with everything that it started; ended with all of it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            // The group of a process that runs is there.
            let _ = send_group_kill(self.0.id());
            let _ = self.0.wait();
        }
    }
}

fn send_group_kill(pid: u32) -> anyhow::Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -KILL -- -{pid}")]).status()?;
    if status.success() { Ok(()) } else { send_signal(pid, "KILL") }
}
