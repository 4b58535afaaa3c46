//! `corkboard storage failover`.

use std::process::ExitCode;

use clap::Args;
use storage::FailoverOptions;

use super::fleet::{MapArgs, operator};
use crate::config::Config;

#[derive(Args)]
pub struct FailoverArgs {
    #[command(flatten)]
    map: MapArgs,
    /// The server whose primary is replaced, by its name in the map.
    server: String,
    /// The replica that is promoted, as the map writes it. Default: the one that has received most.
    #[arg(long, value_name = "HOST:PORT/DATABASE")]
    to: Option<String>,
    /// The primary is alive and hands over: writes wait for less than a few seconds, nothing is lost.
    #[arg(long, conflicts_with = "accept_loss")]
    planned: bool,
    /// Goes on although the last commits may be on the dead primary alone.
    #[arg(long)]
    accept_loss: bool,
    /// Promotes nobody: takes replicas that don't answer out of the map, so that a restarted primary may be opened without them.
    #[arg(long, conflicts_with_all = ["planned", "accept_loss", "to"])]
    keep: bool,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &FailoverArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let mut operator = operator(&args.map, config)?;
    if let Some(login) = config.storage.replication_login() {
        operator = operator.with_replication(login);
    }
    let options = FailoverOptions {
        to: args.to.clone(),
        planned: args.planned,
        dry_run: args.dry_run,
        accept_loss: args.accept_loss,
        keep: args.keep,
    };
    let report = operator.failover(&args.server, &options).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", if args.dry_run { "This would be done:" } else { "Done:" });
    for step in &report.steps {
        println!("  {step}");
    }
    if report.promoted.is_some() {
        println!("\nThe map is at epoch {}. `corkboard storage status` shows the fleet; give the server a new replica soon.", report.epoch);
    }
    Ok(ExitCode::SUCCESS)
}
