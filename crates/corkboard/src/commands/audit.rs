//! `corkboard legal audit`: checks every chain of the audit log, exports it, and keeps its ends elsewhere.
//!
//! ```text
//! heads > file      where each shard's chain ends now; the file is kept where whoever can change the store can't change it
//! verify            every chain from its first entry on; with --heads also that it still reaches to each kept end
//! export            every entry as a JSON line
//! ```

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use app::App;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use model::{Shard, Timestamp, id::SHARD_COUNT};
use serde_json::json;
use storage::AuditHead;

/// Entries read at once.
const STEP: usize = 1_000;

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Walks every chain and names each broken link. Exit code 1 when there is one.
    Verify {
        /// Only this shard.
        #[arg(long)]
        shard: Option<u16>,
        /// The ends that `heads` printed earlier: shows whether an end was cut off since.
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Prints every entry as a JSON line, shard by shard.
    Export {
        /// Only entries from this day on: 2026, 2026-03 or 2026-03-01.
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
    },
    /// Prints where each chain ends, a JSON line each. Keep them elsewhere, for `verify --heads`.
    Heads,
}

pub async fn run(app: &App, command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify { shard, heads, json } => verify(app, *shard, heads.as_deref(), *json).await,
        AuditCommand::Export { since } => export(app, since.as_deref()).await,
        AuditCommand::Heads => print_heads(app).await,
    }
}

fn every_shard() -> impl Iterator<Item = Shard> {
    (0..SHARD_COUNT).map(Shard)
}

/// What a walk over the chains found.
#[derive(Default)]
struct Found {
    shards: u64,
    entries: u64,
    /// Shard and what is wrong.
    problems: Vec<(Shard, String)>,
}

async fn verify(app: &App, only: Option<u16>, heads: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let only = only.map(Shard);
    let kept = match heads {
        Some(path) => read_heads(&std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?)
            .with_context(|| format!("{} is no file of heads; `corkboard legal audit heads` prints one", path.display()))?,
        None => Vec::new(),
    };
    let shards: Vec<Shard> = every_shard().filter(|shard| only.is_none_or(|only| only == *shard)).collect();
    anyhow::ensure!(!shards.is_empty(), "there is no shard {}; shards are 0 to {}", only.map_or(0, |shard| shard.0), SHARD_COUNT - 1);
    let bar = progress_bar(shards.len() as u64);
    let mut found = Found::default();
    for shard in shards {
        match app.storage.audit_head(shard).await {
            Ok(head) => found.entries += head.map_or(0, |head| head.number),
            Err(storage::Error::Corrupt(what)) => found.problems.push((shard, what)),
            Err(error) => return Err(error.into()),
        }
        found.shards += 1;
        bar.inc(1);
    }
    for head in kept.iter().filter(|head| only.is_none_or(|only| only == head.shard)) {
        if let Err(what) = app.storage.audit_reaches(head).await? {
            found.problems.push((head.shard, what));
        }
    }
    bar.finish_and_clear();
    print_found(&found, as_json);
    Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_found(found: &Found, as_json: bool) {
    let sound = found.problems.is_empty();
    if as_json {
        let problems: Vec<_> = found.problems.iter().map(|(shard, what)| json!({ "shard": shard, "problem": what })).collect();
        println!("{}", json!({ "sound": sound, "shards": found.shards, "entries": found.entries, "problems": problems }));
        return;
    }
    for (_, what) in &found.problems {
        println!("BAD  {what}");
    }
    println!(
        "{} entries on {} shards: {}",
        found.entries,
        found.shards,
        if sound { "every chain is whole." } else { "the audit log was tampered with or damaged. Compare with a backup." }
    );
}

fn progress_bar(shards: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} shards  {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(shards).with_style(style)
}

/// Reads what `heads` printed.
fn read_heads(text: &str) -> anyhow::Result<Vec<AuditHead>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| serde_json::from_str(line).with_context(|| format!("line {}", index + 1)))
        .collect()
}

async fn print_heads(app: &App) -> anyhow::Result<ExitCode> {
    for shard in every_shard() {
        if let Some(head) = app.storage.audit_head(shard).await? {
            println!("{}", serde_json::to_string(&head)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(app: &App, since: Option<&str>) -> anyhow::Result<ExitCode> {
    let since = match since {
        Some(text) => search::date::DateStart::parse(text)
            .map(search::date::DateStart::timestamp)
            .with_context(|| format!("'{text}' is no day; write it like 2026-03-01"))?,
        None => Timestamp(i64::MIN),
    };
    let mut out = std::io::stdout().lock();
    for shard in every_shard() {
        let mut after = 0;
        loop {
            let entries = app.storage.audit_log(shard, after, STEP).await?;
            let Some(last) = entries.last() else { break };
            after = last.number;
            for entry in entries.iter().filter(|entry| entry.at >= since) {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_back() {
        let head = AuditHead { shard: Shard(7), number: 3, hash: "ab".repeat(32) };
        let text = format!("{}\n\n", serde_json::to_string(&head).unwrap());
        assert_eq!(read_heads(&text).unwrap(), [head]);
        let error = read_heads("{\"shard\":7,\"number\":3,\"hash\":\"x\"}\nnonsense").unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }
}
