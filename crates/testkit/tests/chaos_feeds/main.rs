//! Chaos: a site with feeds in Redis and objects in memcached under people who pin, follow, block and hide, while the site, Redis and
//! memcached are killed -9, frozen, emptied and cut off. When it is quiet again, every home feed equals what was acknowledged.
//!
//! ```text
//! cargo xtask chaos feeds ──▶ this program ──▶ this program, once per seed, some at a time (testkit::seeds)
//!                                                schedule.rs  what is done to the servers, from the seed
//!                                                stage.rs     what runs              nemesis.rs  carries the schedule out
//!                                                people.rs    who acts and reads     ledger.rs   what was acknowledged
//!                                                ask.rs       requests, honest answers, lost ones
//!                                                check.rs     the end                history.rs  who did what when
//! ```
//!
//! The schedule is the seed's, the timing is the machine's: a seed that failed fails again often, not always.

mod ask;
mod check;
mod history;
mod ledger;
mod nemesis;
mod people;
mod schedule;
mod stage;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::seeds::{self, Arguments, Program};

use history::History;
use ledger::{Ledger, PEOPLE};
use people::Actor;
use schedule::Schedule;
use stage::Stage;

const PROGRAM: Program = Program { name: "feeds", seeds: 10, seconds: 12 };

fn main() -> ExitCode {
    seeds::run(PROGRAM, one)
}

/// Runs one seed. True when nothing was found.
fn one(seed: u64, arguments: &Arguments) -> anyhow::Result<bool> {
    println!("seed {seed}");
    let schedule = Schedule::draw(seed, arguments.seconds);
    let history = History::begin();
    let mut stage = Stage::start(&schedule)?;
    history.note("everything runs");
    if let Err(error) = run(&schedule, &mut stage, &history) {
        history.find(format!("{error:#}"));
    }
    let findings = history.findings();
    if !findings.is_empty() {
        println!("{schedule}");
        println!("{} findings:", findings.len());
        findings.iter().take(30).for_each(|finding| println!("  {finding}"));
    }
    if !findings.is_empty() || arguments.keeps {
        println!("logs and history: {}", stage.keep_logs(&history)?.display());
    }
    Ok(findings.is_empty())
}

fn run(schedule: &Schedule, stage: &mut Stage, history: &History) -> anyhow::Result<()> {
    let ledger = Ledger::default();
    let mut actors =
        (0..PEOPLE).map(|index| Actor::create(index, schedule.seed, stage, history, &ledger)).collect::<anyhow::Result<Vec<_>>>()?;
    let ends = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        for actor in &mut actors {
            let ends = &ends;
            scope.spawn(move || actor.act_until(ends));
        }
        let ran = nemesis::run(schedule, stage, history);
        ends.store(true, Ordering::Relaxed);
        ran
    });
    ran?;
    history.note("everything is mended, and nobody acts any more");
    check::check(stage, &mut actors, &ledger, history)?;
    let (acts, reads, refused, lost) = history.counts();
    println!("{schedule}: {reads} reads, {refused} answers said that something is away, {lost} were lost, {acts} acts were acknowledged");
    Ok(())
}
