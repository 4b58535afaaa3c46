//! `corkboard import …`: collections from elsewhere, with progress and one report at the end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use app::importing::{ImportOptions, ImportReport};
use clap::{Args, Subcommand};
use import::{Bookmarks, Folder, Pinterest, Reader, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::account::{finish, named, tool};
use crate::config::Config;

/// Refusals printed for people; `--json` prints all that were kept.
const REFUSALS_PRINTED: usize = 50;

#[derive(Args)]
pub struct ImportArgs {
    /// Whose import it is: a user name. `corkboard user create` makes one.
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// Prints the report as JSON for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    source: Source,
}

#[derive(Subcommand)]
enum Source {
    /// A folder of pictures: folders become boards, sub-folders sections, pictures pins.
    Folder {
        /// The folder.
        dir: PathBuf,
        /// A parallel tree with SVG or JSON files of the same names, which hold titles, keywords and authors.
        #[arg(long, value_name = "DIR")]
        metadata: Option<PathBuf>,
        /// Who the pins belong to: `author` makes a person of each author.
        #[arg(long, value_name = "WHAT", value_parser = ["author"])]
        people_from: Option<String>,
    },
    /// A bookmark file as browsers export it (Netscape form).
    Bookmarks {
        /// The exported file, usually bookmarks.html.
        file: PathBuf,
    },
    /// The data archive that Pinterest sends to people who ask for theirs: the .zip, or its unpacked folder.
    Pinterest {
        /// The archive or the folder.
        archive: PathBuf,
    },
    /// A CSV file with a header row: title, description, link, image, board, section, keywords, …
    Csv {
        /// The file; comma, semicolon or tab between columns.
        file: PathBuf,
    },
}

pub async fn run(args: &ImportArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let user_name = args.user.as_deref().context("say whose import it is with --user NAME")?;
    let (reader, people_from_author): (Box<dyn Reader>, bool) = match &args.source {
        Source::Folder { dir, metadata, people_from } => (Box::new(Folder::open(dir, metadata.as_deref())?), people_from.is_some()),
        Source::Bookmarks { file } => (Box::new(Bookmarks::open(file)?), false),
        Source::Pinterest { archive } => (Box::new(Pinterest::open(archive)?), false),
        Source::Csv { file } => (Box::new(Table::open(file)?), false),
    };
    let app = tool(config).await?;
    let user = named(&app, user_name).await?;
    let bar = progress_bar(reader.estimate());
    let started = std::time::Instant::now();
    let report = tokio::select! {
        report = app.import(ImportOptions { user, people_from_author }, reader, |report| show(&bar, report)) => report?,
        _ = tokio::signal::ctrl_c() => {
            bar.abandon();
            finish(&app).await?;
            eprintln!("Stopped. What was made is safe; run the same command again to go on.");
            return Ok(ExitCode::from(130));
        }
    };
    bar.finish_and_clear();
    finish(&app).await?;
    print_report(&report, started.elapsed().as_secs_f64(), args.json);
    Ok(ExitCode::SUCCESS)
}

fn progress_bar(estimate: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}";
    match estimate {
        Some(total) => {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        }
        None => ProgressBar::new_spinner(),
    }
}

fn show(bar: &ProgressBar, report: &ImportReport) {
    bar.set_position(report.made + report.skipped + report.refused);
    bar.set_message(format!("made {}, there already {}, refused {}", report.made, report.skipped, report.refused));
}

fn print_report(report: &ImportReport, seconds: f64, as_json: bool) {
    if as_json {
        let refusals: Vec<_> = report.refusals.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect();
        println!(
            "{}",
            json!({
                "made": report.made, "skipped": report.skipped, "refused": report.refused,
                "people_made": report.people_made, "boards_made": report.boards_made, "seconds": seconds, "refusals": refusals,
            })
        );
        return;
    }
    println!("made             {:>8}", report.made);
    println!("there already    {:>8}", report.skipped);
    println!("refused          {:>8}", report.refused);
    println!("boards made      {:>8}", report.boards_made);
    println!("people made      {:>8}", report.people_made);
    println!("in {seconds:.1} s");
    for (what, why) in report.refusals.iter().take(REFUSALS_PRINTED) {
        println!("  {what}: {why}");
    }
    if report.refused as usize > REFUSALS_PRINTED {
        println!("  … and {} more; --json lists them", report.refused as usize - REFUSALS_PRINTED);
    }
}
