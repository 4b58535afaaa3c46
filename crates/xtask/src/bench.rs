//! `cargo xtask bench NAME`: builds, calibrates, runs, and prints the figures as a table or as JSON lines.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use testkit::{Figure, calibrate, figure};

use crate::{command, install, start};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    name: Bench,
    /// Print one JSON object per figure and nothing else.
    #[arg(long)]
    json: bool,
    /// What the bench itself understands, after `--`: site takes --rate N, --seconds N, --fleet and --nodes.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// CPU time and likeness of our renditions, against vipsthumbnail.
    Thumbnails,
    /// The whole site under load: 60 % home feed, 30 % profiles, 10 % new pins. With `-- --fleet` on MariaDB, Redis and memcached; with
    /// `-- --nodes` while cache nodes die.
    Site,
    /// Reads and writes through the storage service, against the same driver straight to the same MariaDB.
    Storage,
    /// Look-ups in memcached, against a bare socket to the same memcached.
    Cache,
    /// Fan-out, home pages and memory of feeds in Redis, against bare pipelined pushes and bare lists.
    Feeds,
    /// Time from the start of the process to the first page, and memory at rest.
    Start,
}

/// Runs one bench.
pub fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let name = match arguments.name {
        Bench::Thumbnails => "thumbnails",
        Bench::Site => "site",
        Bench::Storage => "storage",
        Bench::Cache => "cache",
        Bench::Feeds => "feeds",
        Bench::Start => "start",
    };
    let is_fleet = arguments.rest.iter().any(|word| word == "--fleet" || word == "--nodes");
    // What runs on a fleet is built once and with more patience.
    let profile = if is_fleet { "dist" } else { "release" };
    let program = command::target_folder(root).join(profile).join("corkboard");
    if !matches!(arguments.name, Bench::Thumbnails | Bench::Cache | Bench::Feeds) {
        to_stderr(command::cargo(root).args(["build", "--profile", profile, "--package", "corkboard"]))?;
    }
    let cargo_bench = |package: &str| {
        let mut cargo = command::cargo(root);
        cargo.args(["bench", "--quiet", "--package", package, "--bench", name]);
        cargo
    };
    let package = match arguments.name {
        Bench::Thumbnails => "media",
        Bench::Storage => "storage",
        Bench::Cache => "cache",
        Bench::Feeds => "feeds",
        Bench::Site | Bench::Start => "testkit",
    };
    if arguments.name != Bench::Start {
        to_stderr(cargo_bench(package).arg("--no-run"))?;
    }
    let needs = match arguments.name {
        Bench::Storage => vec![install::MARIADB],
        Bench::Cache => vec![install::MEMCACHED],
        Bench::Feeds => vec![install::REDIS],
        Bench::Site if is_fleet => vec![install::MARIADB, install::REDIS, install::MEMCACHED],
        _ => Vec::new(),
    };
    for need in needs {
        if let Err(problem) = need.provide() {
            anyhow::bail!("{problem}");
        }
    }
    let mut figures = Vec::from(calibrate::calibrate(name, &command::target_folder(root))?);
    figures.extend(match arguments.name {
        Bench::Start => start::measure(&program)?,
        Bench::Thumbnails => {
            for need in [install::VIPS, install::WALLPAPERS] {
                if let Err(problem) = need.provide() {
                    eprintln!("SKIPPED: {problem}");
                }
            }
            figures_of(cargo_bench(package).args(["--", "--installed"]).args(&arguments.rest))?
        }
        Bench::Cache | Bench::Feeds => figures_of(cargo_bench(package).arg("--").args(&arguments.rest))?,
        Bench::Site | Bench::Storage => figures_of(cargo_bench(package).env("CORKBOARD_BIN", &program).arg("--").args(&arguments.rest))?,
    });
    if arguments.json {
        for figure in &figures {
            println!("{}", figure.json());
        }
    } else {
        print!("{}", figure::table(&figures));
    }
    Ok(())
}

/// Builds with what cargo says on the error stream, so that standard output holds figures only.
fn to_stderr(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("{}", command::shown(command));
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().context("running cargo")?;
    ensure!(status.success(), "{}: {status}", command::shown(command));
    Ok(())
}

/// Runs a bench, passes on what it says, and collects the figures among its lines.
fn figures_of(command: &mut Command) -> anyhow::Result<Vec<Figure>> {
    let description = command::shown(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("running {description}"))?;
    let mut figures = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines() {
            let line = line?;
            match Figure::parse(&line) {
                Some(figure) => figures.push(figure),
                None => eprintln!("{line}"),
            }
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{description}: {status}");
    ensure!(!figures.is_empty(), "{description} printed no figure");
    Ok(figures)
}
