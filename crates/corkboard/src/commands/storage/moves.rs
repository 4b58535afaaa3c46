//! `corkboard storage move` and `split`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use storage::MoveReport;

use super::fleet::{MapArgs, operator};
use crate::config::Config;

#[derive(Args)]
pub struct MoveArgs {
    #[command(flatten)]
    map: MapArgs,
    /// The shards: one number, or the first and the last, like 1024-2047.
    #[arg(long, value_name = "FIRST-LAST")]
    shards: String,
    /// The server that gets them.
    #[arg(long, value_name = "SERVER", required_unless_present = "abort")]
    to: Option<String>,
    /// Takes an interrupted move back: the copy is removed, the shards are their old server's alone.
    #[arg(long, conflicts_with = "to")]
    abort: bool,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub struct SplitArgs {
    #[command(flatten)]
    map: MapArgs,
    /// The server that has too much.
    server: String,
    /// The server that gets the upper half.
    #[arg(long, value_name = "SERVER")]
    to: String,
    /// The first shard that goes, instead of the one in the middle.
    #[arg(long, value_name = "SHARD")]
    at: Option<u16>,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

pub async fn shift(args: &MoveArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let (first, last) = range(&args.shards)?;
    let operator = operator(&args.map, config)?;
    let report = match &args.to {
        Some(to) => operator.move_shards(first, last, to, args.dry_run, None).await?,
        None => operator.abort_move(first, last).await?,
    };
    say(&report, args.dry_run);
    Ok(ExitCode::SUCCESS)
}

pub async fn split(args: &SplitArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let report = operator(&args.map, config)?.split(&args.server, &args.to, args.at, args.dry_run).await?;
    say(&report, args.dry_run);
    Ok(ExitCode::SUCCESS)
}

/// Reads `7` or `0-1023`.
pub fn range(text: &str) -> anyhow::Result<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number =
        |text: &str| text.trim().parse::<u16>().with_context(|| format!("'{text}' is no shard; write a number, or two like 0-1023"));
    Ok((number(first)?, number(last)?))
}

fn say(report: &MoveReport, dry_run: bool) {
    if dry_run {
        println!("This would be done; the servers answer and have their tables:");
    }
    for step in &report.steps {
        println!("  {step}");
    }
    if dry_run {
        return;
    }
    println!(
        "{} shards moved with {} rows; the longest that one took no writes was {} ms.",
        report.shards, report.rows, report.frozen_ms_max
    );
    if report.not_compared > 0 {
        println!("{} shards were too large to be compared in that time: run `corkboard storage verify`.", report.not_compared);
    }
}
