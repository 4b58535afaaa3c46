//! `cargo xtask chaos NAME`: everything that NAME stands on under kills, freezes and cuts, once per seed.
//!
//! ```text
//! storage   a fleet of database servers and storage processes, moves and a failover      crates/storage/tests/chaos
//! feeds     a site with feeds in Redis and objects in memcached, under people            crates/testkit/tests/chaos_feeds
//! ```

use std::{path::Path, process::Command};

use anyhow::ensure;
use clap::ValueEnum;

use crate::{
    command,
    install::{self, Need},
    summary,
};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    what: Chaos,
    /// How many seeds are run. Default: 20 for storage, 10 for feeds, or one if --seed is given.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each run lasts at least. Default: 8 for storage, 12 for feeds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Keeps logs and history of runs that found nothing, too.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Chaos {
    /// Writers, readers, moves and a failover while processes and servers die.
    Storage,
    /// People who pin, follow, block and hide while the site, Redis and memcached die, freeze and are emptied.
    Feeds,
}

impl Chaos {
    pub fn needs(self) -> &'static [Need] {
        match self {
            Chaos::Storage => &[install::MARIADB],
            Chaos::Feeds => &[install::REDIS, install::MEMCACHED],
        }
    }

    /// The test program that carries it out.
    fn program(self) -> &'static str {
        match self {
            Chaos::Storage => "chaos",
            Chaos::Feeds => "chaos_feeds",
        }
    }

    /// Seeds and seconds in `cargo xtask test`. A failover takes longer than its seconds.
    fn test_arguments(self) -> [&'static str; 4] {
        match self {
            Chaos::Storage => ["--seeds", "20", "--seconds", "4"],
            Chaos::Feeds => ["--seeds", "6", "--seconds", "8"],
        }
    }
}

/// Runs the seeds; fails when one of them found something.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    for need in arguments.what.needs() {
        if let Err(problem) = need.provide() {
            anyhow::bail!("{problem}");
        }
    }
    command::run(command::cargo(root).args(["build", "--workspace", "--bin", "corkboard", "--tests"]))?;
    let mut cargo = prepared(command::cargo(root), arguments.what);
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

/// Prepares the run of `cargo xtask test`: some short seeds.
pub fn for_tests(cargo: Command, what: Chaos) -> Command {
    let mut cargo = prepared(cargo, what);
    cargo.args(what.test_arguments());
    cargo
}

/// With the whole workspace, so that libraries keep the features that they have been built with.
fn prepared(mut cargo: Command, what: Chaos) -> Command {
    cargo.args(["test", "--quiet", "--workspace", "--test", what.program(), "--"]);
    cargo
}
