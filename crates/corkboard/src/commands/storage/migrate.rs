//! `corkboard storage migrate`: an embedded site to a fleet of database servers, while it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use storage::{MigrateOptions, MigrateReport};

use super::fleet::{MapArgs, operator};
use crate::config::Config;

/// What serving processes hold for as long as they live.
const LOCKS: [&str; 2] = ["serve.lock", "storage.lock"];

#[derive(Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    map: MapArgs,
    /// Takes an interrupted migration back: the file stays the store, and what was copied is removed. Not possible once the site has moved.
    #[arg(long, conflicts_with = "dry_run")]
    abort: bool,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &MigrateArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let file = file(config)?;
    let operator = operator(&args.map, config)?;
    if args.abort {
        return Ok(say(&operator.abort_migration(&file).await?));
    }
    let server_runs = server_runs(config)?;
    let options = MigrateOptions { dry_run: args.dry_run, server_runs, ..MigrateOptions::default() };
    let report = operator.migrate(&file, options).await?;
    if args.dry_run {
        println!("This would be done; the file is sound, the servers answer and are empty:");
        return Ok(say(&report));
    }
    say(&report);
    if let Some(per_second) = (report.rows * 1_000).checked_div(report.copy_ms) {
        println!(
            "{} rows were copied in {:.1} s ({per_second} a second) and compared; nobody could write for {} ms.",
            report.rows,
            report.copy_ms as f64 / 1_000.0,
            report.frozen_ms
        );
    }
    println!("\nThe site is on its new servers{}.", if server_runs { ", and the running server goes on there" } else { "" });
    println!("Before the next start set, under [storage] (or CORKBOARD_STORAGE_URL):\n\n  url = {:?}\n", report.url);
    println!("{} stays as it was at that moment. It is not used any more, and there is no way back to it.", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Returns the file of the embedded store that the configuration names.
fn file(config: &Config) -> anyhow::Result<PathBuf> {
    let url = &config.storage.url;
    let path = url.strip_prefix("sqlite:").with_context(|| {
        format!(
            "storage.url is '{url}': only an embedded site (sqlite:FILE) migrates. Between servers of a fleet use `corkboard storage move`."
        )
    })?;
    Ok(path.into())
}

/// Tells whether a server uses the data folder now.
fn server_runs(config: &Config) -> anyhow::Result<bool> {
    for path in LOCKS.map(|name| config.data.join(name)) {
        if !path.exists() {
            continue;
        }
        let file = std::fs::File::open(&path).with_context(|| format!("{} can't be opened", path.display()))?;
        if file.try_lock().is_err() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn say(report: &MigrateReport) -> ExitCode {
    for step in &report.steps {
        println!("  {step}");
    }
    ExitCode::SUCCESS
}
