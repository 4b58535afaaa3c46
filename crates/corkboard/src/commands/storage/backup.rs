//! `corkboard storage backup` and `restore`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use storage::{BackupStore, BackupWish, FolderStore, ListedBackup, Operator, RestoreWish};

use super::fleet::{MapArgs, operator};
use super::moves::range;
use super::objects::ObjectBackups;
use super::progress::Terminal;
use crate::config::Config;
use crate::table;

/// The shortest pause between two archivings. Each stops writers for a moment.
const EVERY_MIN: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    #[command(subcommand)]
    look: Option<Look>,
    #[command(flatten)]
    map: MapArgs,
    /// Where backups are kept: file:FOLDER, or s3://BUCKET/PREFIX with AWS_… in the environment.
    #[arg(long, value_name = "URL", required_unless_present = "keep_changes")]
    to: Option<String>,
    /// The shards, like 0-1023; all by default.
    #[arg(long, value_name = "FIRST-LAST", default_value = "0-4095")]
    shards: String,
    /// Reads from replicas where one is fit, so that primaries are not slowed down.
    #[arg(long)]
    from_replica: bool,
    /// Archives the changes since the last time instead, so that any moment can be restored.
    #[arg(long, conflicts_with_all = ["shards", "from_replica", "dry_run"])]
    changes: bool,
    /// Goes on archiving, with this pause, until it is stopped: 60s, 5m.
    #[arg(long, value_name = "TIME", requires = "changes")]
    every: Option<String>,
    /// Keeps every change from now on, for --changes, or no longer.
    #[arg(long, value_name = "ON|OFF", conflicts_with_all = ["to", "changes"])]
    keep_changes: Option<Keep>,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Keep {
    On,
    Off,
}

#[derive(Subcommand)]
enum Look {
    /// Lists the backups of a place.
    List {
        /// Where backups are kept.
        #[arg(long, value_name = "URL")]
        at: String,
    },
    /// Reads all files of a backup and compares their sums, without restoring it.
    Check {
        /// The backup: the place with its name behind it.
        #[arg(long, value_name = "URL/BACKUP")]
        at: String,
    },
}

#[derive(Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    map: MapArgs,
    /// The backup: the place with its name behind it.
    #[arg(long, value_name = "URL/BACKUP", required_unless_present = "abort")]
    from: Option<String>,
    /// The moment, like 2026-11-25T20:14:04Z; needs archived changes. That of the backup by default.
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// The shards, like 0-1023; all of the backup's by default.
    #[arg(long, value_name = "FIRST-LAST")]
    shards: Option<String>,
    /// Takes an interrupted restore back: its shards are empty and in service again.
    #[arg(long, conflicts_with_all = ["from", "until", "shards", "dry_run"])]
    abort: bool,
    /// Looks whether it can be done, says what would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
}

pub async fn backup(args: &BackupArgs, config: &Config) -> anyhow::Result<ExitCode> {
    match &args.look {
        Some(Look::List { at }) => return list(open(at)?.as_ref()).await,
        Some(Look::Check { at }) => return check(at).await,
        None => {}
    }
    let operator = operator(&args.map, config)?;
    if let Some(keep) = args.keep_changes {
        return keep_changes(&operator, keep, args.dry_run).await;
    }
    let store = open(args.to.as_deref().context("say where with --to")?)?;
    if args.changes {
        return archive(&operator, store.as_ref(), args.every.as_deref()).await;
    }
    let (first, last) = range(&args.shards)?;
    let wish = BackupWish { first, last, from_replica: args.from_replica, dry_run: args.dry_run };
    let report = operator.backup(store.as_ref(), &wish).await?;
    println!("{}", if args.dry_run { "This would be backed up; the servers and the place answer:" } else { "Backed up:" });
    for step in &report.steps {
        println!("  {step}");
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}/{}: {} rows, {} MiB", store.place(), report.id, report.rows, report.bytes >> 20);
    if report.changes_since == 0 {
        println!("Changes are not kept: only this moment can be restored. `corkboard storage backup --keep-changes on` alters that.");
    }
    Ok(ExitCode::SUCCESS)
}

async fn keep_changes(operator: &Operator, keep: Keep, dry_run: bool) -> anyhow::Result<ExitCode> {
    let since = operator.keep_changes(matches!(keep, Keep::On), dry_run).await?;
    let would = if dry_run { "would be " } else { "" };
    if since == 0 {
        println!("Changes {would}kept no longer. What was not archived can't be restored.");
    } else {
        println!("Changes {would}kept since {}.", instant(since));
        println!(
            "Next: a backup, and `corkboard storage backup --changes --every 60s` beside the site; until it runs the servers' disks keep them."
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Archives once, or again and again. May be ended at any time: what was not finished is done the next time.
async fn archive(operator: &Operator, store: &dyn BackupStore, every: Option<&str>) -> anyhow::Result<ExitCode> {
    let every = every.map(pause).transpose()?;
    loop {
        let archived = operator.archive_changes(store).await;
        match (&archived, every) {
            (Ok(report), _) => println!(
                "{} changes archived. With a backup from between, every moment from {} to {} can be restored.",
                report.changes,
                instant(report.since_ms),
                instant(report.through_ms)
            ),
            // The next round may go better; a monitor sees the archive's end stand still.
            (Err(error), Some(_)) => eprintln!("{error}"),
            (Err(_), None) => {}
        }
        let Some(every) = every else { return Ok(archived.map(|_| ExitCode::SUCCESS)?) };
        tokio::time::sleep(every).await;
    }
}

pub async fn restore(args: &RestoreArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let operator = operator(&args.map, config)?;
    if args.abort {
        let shards = operator.abort_restore().await?;
        println!("{shards} shards are empty and in service again.");
        return Ok(ExitCode::SUCCESS);
    }
    let (store, id) = open_backup(args.from.as_deref().context("say what with --from")?)?;
    let shards = args.shards.as_deref().map(range).transpose()?;
    let until_ms = args.until.map(|until| until.as_millisecond());
    let report = operator.restore(store.as_ref(), &RestoreWish { id, shards, until_ms, dry_run: args.dry_run, stop: None }).await?;
    println!("{}", if args.dry_run { "This would be restored; the servers answer and are empty:" } else { "Restored:" });
    for step in &report.steps {
        println!("  {step}");
    }
    if !args.dry_run {
        println!(
            "\n{} shards, {} rows, {} changes, {} events that wait for the log.",
            report.shards, report.rows, report.changes, report.events
        );
        println!(
            "Next: `corkboard storage verify`, start the site (feeds and index are built anew), switch --keep-changes on and take a backup."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &dyn BackupStore) -> anyhow::Result<ExitCode> {
    let backups = storage::list_backups(store).await?;
    if backups.is_empty() {
        println!("There are no backups at {}.", store.place());
        return Ok(ExitCode::SUCCESS);
    }
    print!(
        "{}",
        table::render(&["backup", "moment", "shards", "rows", "MiB", "changes kept since"], &backups.iter().map(row).collect::<Vec<_>>())
    );
    Ok(ExitCode::SUCCESS)
}

fn row(backup: &ListedBackup) -> Vec<String> {
    let Some(manifest) = &backup.manifest else {
        let mut row = vec![backup.id.clone(), "not finished".to_owned()];
        row.extend(std::iter::repeat_n(String::new(), 4));
        return row;
    };
    let since = if manifest.changes_since == 0 { "–".to_owned() } else { instant(manifest.changes_since) };
    let shards = format!("{}–{}", manifest.first, manifest.last);
    vec![backup.id.clone(), instant(manifest.at_ms), shards, manifest.rows().to_string(), (manifest.bytes() >> 20).to_string(), since]
}

async fn check(at: &str) -> anyhow::Result<ExitCode> {
    let (store, id) = open_backup(at)?;
    let (manifest, findings) = storage::check_backup(store.as_ref(), &id, &Terminal::new()).await?;
    for finding in &findings {
        println!("→ {finding}");
    }
    println!("{} files with {} rows read; {} are not as they were written.", manifest.files().count(), manifest.rows(), findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opens a place for backups. The only place that names its engines.
fn open(url: &str) -> anyhow::Result<Box<dyn BackupStore>> {
    match url.trim_end_matches('/').split_once(':') {
        Some(("file", folder)) if !folder.is_empty() => Ok(Box::new(FolderStore::new(folder.into()))),
        Some(("s3", address)) if address.starts_with("//") && address.len() > 2 => Ok(Box::new(ObjectBackups::open(&address[2..])?)),
        _ => bail!("'{url}' is no place for backups; write file:FOLDER or s3://BUCKET/PREFIX"),
    }
}

/// Opens the place of a backup, and returns its name.
fn open_backup(url: &str) -> anyhow::Result<(Box<dyn BackupStore>, String)> {
    let (place, id) = url.trim_end_matches('/').rsplit_once('/').with_context(|| format!("'{url}' names no backup; write URL/BACKUP"))?;
    ensure!(
        !id.is_empty() && !place.ends_with('/'),
        "'{url}' names no backup; write URL/BACKUP, as `corkboard storage backup list` shows it"
    );
    Ok((open(place)?, id.to_owned()))
}

/// Reads `60s`, `5m` or `1h`.
fn pause(text: &str) -> anyhow::Result<Duration> {
    let wrong = || format!("--every {text}: write a time like 60s, 5m or 1h");
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let number: u64 = number.parse().with_context(wrong)?;
    let seconds = match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3_600,
        _ => bail!(wrong()),
    };
    let pause = Duration::from_secs(seconds);
    ensure!(pause >= EVERY_MIN, "--every {text}: at least 1s");
    Ok(pause)
}

fn instant(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms} ms"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_backups_are_told_apart() {
        let (store, id) = open_backup("file:/backups/20261125T201404Z/").expect("a backup");
        assert_eq!((store.place().as_str(), id.as_str()), ("file:/backups", "20261125T201404Z"));
        for wrong in ["file:x", "/backups/x", "http://a/b", "s3://bucket", "file:/x"] {
            assert!(open_backup(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pauses_are_read_or_refused() {
        assert_eq!((pause("60s").ok(), pause("2m").ok()), (Some(Duration::from_secs(60)), Some(Duration::from_secs(120))));
        for wrong in ["", "s", "60", "0s", "1d", "5µ"] {
            assert!(pause(wrong).is_err(), "{wrong}");
        }
    }
}
