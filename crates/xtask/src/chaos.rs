//! `cargo xtask chaos storage`: a fleet of database servers and storage processes under kills, freezes, cuts, moves and a failover, once
//! per seed. The program that does it is `crates/storage/tests/chaos`.

use std::{path::Path, process::Command};

use anyhow::ensure;
use clap::ValueEnum;

use crate::{command, install, summary};

/// What a run lasts at least in `cargo xtask test`; the failover takes longer than this.
const TEST_SECONDS: &str = "4";

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    what: Chaos,
    /// How many seeds are run. Default: 20, or one if --seed is given.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each run lasts at least. Default: 8.
    #[arg(long)]
    seconds: Option<u64>,
    /// Keeps logs and history of runs that found nothing, too.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Chaos {
    /// Writers, readers, moves and a failover while processes and servers die.
    Storage,
}

/// Runs the seeds; fails when one of them found something.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let Chaos::Storage = arguments.what;
    if let Err(problem) = install::MARIADB.provide() {
        anyhow::bail!("{problem}");
    }
    command::run(command::cargo(root).args(["build", "--workspace", "--bin", "corkboard", "--tests"]))?;
    let mut cargo = of_storage(root);
    for (name, value) in [("--seeds", arguments.seeds), ("--seed", arguments.seed), ("--seconds", arguments.seconds)] {
        if let Some(value) = value {
            cargo.args([name, &value.to_string()]);
        }
    }
    cargo.args(arguments.keep.then_some("--keep"));
    cargo.env("CORKBOARD_BIN", command::target_folder(root).join("debug/corkboard"));
    let finished = command::run_and_keep(&mut cargo)?;
    ensure!(finished.status.success() && summary::of_chaos(&finished.lines).is_some(), "chaos: {}", finished.status);
    Ok(())
}

/// Prepares the run of `cargo xtask test`: 20 short seeds.
pub fn for_tests(mut cargo: Command) -> Command {
    cargo.args(PROGRAM).args(["--seeds", "20", "--seconds", TEST_SECONDS]);
    cargo
}

/// With the whole workspace, so that libraries keep the features that they have been built with.
const PROGRAM: [&str; 6] = ["test", "--quiet", "--workspace", "--test", "chaos", "--"];

fn of_storage(root: &Path) -> Command {
    let mut cargo = command::cargo(root);
    cargo.args(PROGRAM);
    cargo
}
