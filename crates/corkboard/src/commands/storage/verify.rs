//! `corkboard storage verify`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use runtime::SystemClock;
use storage::{Finding, Logins, Severity, ShardRange, Storage, VerifyOptions, VerifyReport};

use super::fleet::{MapArgs, operator};
use super::moves::range;
use super::progress::Terminal;
use crate::config::Config;

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    map: MapArgs,
    /// Only these shards: one number, or the first and the last, like 1024-2047.
    #[arg(long, value_name = "FIRST-LAST")]
    shards: Option<String>,
    /// Mends what follows from something else: mirrors, counts, names, rows that a move left behind. Objects and the audit log never.
    #[arg(long)]
    repair: bool,
    /// How many seconds to wait before what does not fit together is looked at again.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    settle: u64,
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

pub async fn verify(args: &VerifyArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let shards = match &args.shards {
        Some(text) => {
            let (first, last) = range(text)?;
            ShardRange::new(first, last)?
        }
        None => ShardRange::ALL,
    };
    let options = VerifyOptions { shards, repair: args.repair, settle: Duration::from_secs(args.settle) };
    let report = if args.map.map.is_some() || config.storage.url.starts_with("mysql:") {
        operator(&args.map, config)?.verify(&options).await?
    } else {
        let storage = Storage::open(&config.storage.url, &Logins::default(), SystemClock::shared()).await?;
        let verified = storage.verify(&options, &Terminal::new()).await;
        storage.close().await?;
        verified?
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        say(&report);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(report: &VerifyReport) {
    for line in &report.mended {
        println!("mended   {line}");
    }
    for finding in &report.findings {
        println!("{}  {finding}\n         → {}", word(finding), finding.advice);
    }
    let rows = report.rows;
    if report.findings.is_empty() {
        println!("{rows} rows were compared; {} things were mended. Everything is as it should be.", report.mended.len());
        return;
    }
    let repairable = report.findings.iter().filter(|finding| finding.repairable).count();
    println!("\n{rows} rows were compared. {} things differ; --repair can mend {repairable} of them.", report.findings.len());
    if report.is_cut {
        println!("There is more than is listed here: run it again when this is mended.");
    }
}

fn word(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "DIFFERS",
        Severity::Warning => "look   ",
    }
}
