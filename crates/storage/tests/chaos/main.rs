//! Chaos: a fleet of database servers and storage processes under writers, readers, moves and a failover, while processes and servers are
//! killed -9, frozen and cut off. Afterwards everything that was acknowledged is there once, and nothing is where it does not belong.
//!
//! ```text
//! cargo xtask chaos storage ──▶ this program ──▶ this program, once per seed, some at a time
//!                                                  schedule.rs   what is done to the fleet, from the seed
//!                                                  fleet.rs      what runs             nemesis.rs  carries the schedule out
//!                                                  workload.rs   who writes            readers.rs  who reads, and the relay
//!                                                  book.rs       what writers know     history.rs  who did what when
//!                                                  check.rs      the end               engine.rs   what the servers hold
//! ```
//!
//! The schedule is the seed's, the timing is the machine's: a seed that failed fails again often, not always.

mod book;
mod check;
mod engine;
mod fleet;
mod history;
mod nemesis;
mod readers;
mod schedule;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;

use fleet::Fleet;
use history::History;
use nemesis::Nemesis;
use readers::{READERS, Taken};
use schedule::Schedule;
use testkit::seeds::{self, Arguments, Program};
use workload::{WRITERS, Workload};

/// The operations take longer than eight seconds.
const PROGRAM: Program = Program { name: "storage", seeds: 20, seconds: 8 };
/// How long writers may take to bring their last batch to its end once everything is mended.
const FINISH_LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    seeds::run(PROGRAM, one)
}

/// Runs one seed. True when nothing was found.
fn one(seed: u64, arguments: &Arguments) -> anyhow::Result<bool> {
    println!("seed {seed}");
    let schedule = Schedule::draw(seed, arguments.seconds);
    let history = Arc::new(History::begin());
    let fleet = Fleet::start(&schedule)?;
    history.note("the fleet runs");
    if let Err(error) = run(&schedule, &fleet, &history, Duration::from_secs(arguments.seconds)) {
        history.find(format!("{error:#}"));
    }
    let findings = history.findings();
    if findings.is_empty() {
        if arguments.keeps {
            println!("logs and history: {}", fleet.keep_logs(&history)?.display());
        }
        return Ok(true);
    }
    println!("{schedule}");
    println!("{} findings:", findings.len());
    findings.iter().take(30).for_each(|finding| println!("  {finding}"));
    println!("logs and history: {}", fleet.keep_logs(&history)?.display());
    Ok(false)
}

fn run(schedule: &Schedule, fleet: &Fleet, history: &Arc<History>, least: Duration) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let workload = Arc::new(Workload::new(schedule.seed, Arc::clone(history)));
    let taken = Arc::new(Taken::default());
    let storage = runtime.block_on(fleet.open_remote())?;
    let writers: Vec<_> = (0..WRITERS).map(|index| runtime.spawn(Arc::clone(&workload).write(storage.clone(), index))).collect();
    let mut others: Vec<_> = (0..READERS)
        .map(|index| runtime.spawn(readers::read(Arc::clone(&workload), storage.clone(), schedule.seed ^ (index as u64 + 1) << 32)))
        .collect();
    others.push(runtime.spawn(readers::relay(Arc::clone(&workload), storage.clone(), Arc::clone(&taken))));
    let ran = Nemesis::new(fleet, history, schedule).run(least);
    workload.stop();
    let old_position = ran?;
    let started = Instant::now();
    runtime.block_on(async {
        let ended = tokio::time::timeout(FINISH_LIMIT, join_all(writers.into_iter().chain(others))).await;
        let ended = ended.with_context(|| format!("a writer did not come to its end within {} s", FINISH_LIMIT.as_secs()))?;
        ended.into_iter().collect::<Result<Vec<()>, _>>().context("a writer or reader panicked")?;
        history.note(format!("writers and readers ended after {:?}", started.elapsed()));
        check::check(fleet, &workload, &taken, old_position.as_deref()).await
    })?;
    history.note("checked");
    Ok(())
}
