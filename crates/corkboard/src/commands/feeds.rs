//! `corkboard feeds`: rebuilds feeds in Redis or in a service from storage, and compares them with it.
//!
//! Feeds in the server's memory belong to the server alone: it rebuilds them when their snapshot is not there.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use app::App;
use app::verify_feeds::FeedsFound;
use clap::{Args, Subcommand};
use discovery::Registry;
use indicatif::{ProgressBar, ProgressStyle};
use model::{Id, Topic, User, UserId};
use runtime::SystemClock;
use serde_json::json;

use super::account::{finish, named};
use crate::config::Config;
use crate::wiring::{Purpose, open_app_with_feeds, open_feeds};

/// People read at once.
const STEP: usize = 500;
/// Differences that are shown one by one.
const SHOWN_MAX: usize = 50;
/// How long a running server is waited for. It goes on without being waited for.
const REBUILD_LIMIT: Duration = Duration::from_secs(3_600);
/// What is on its way is looked at again after this time.
const SECOND_LOOK: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub enum FeedsCommand {
    /// Builds graph and feeds anew from storage. A running server does it itself when it is told to; otherwise this command does.
    Rebuild(Whom),
    /// Compares every edge, count, home feed and public list with the truth in storage.
    Verify {
        #[command(flatten)]
        whom: Whom,
        /// Prints JSON for machines.
        #[arg(long)]
        json: bool,
    },
    /// Makes an entry of the feeds service's access list with a fresh key, and prints both, this once.
    Access(AccessArgs),
}

#[derive(Args)]
pub struct AccessArgs {
    /// What the caller calls itself: letters, digits, - and _.
    name: String,
    /// Lets it read pages, follows and counts.
    #[arg(long)]
    read: bool,
    /// Lets it change follows, pins and feeds.
    #[arg(long)]
    write: bool,
    /// Lets it vouch, rebuild, sweep and count: what the site's server does.
    #[arg(long)]
    operate: bool,
}

#[derive(Args)]
pub struct Whom {
    /// Only this person: a user name or an id.
    #[arg(long)]
    user: Option<String>,
}

pub async fn run(command: &FeedsCommand, config: &Config) -> anyhow::Result<ExitCode> {
    if let FeedsCommand::Access(args) = command {
        return access(args);
    }
    ensure!(
        config.feeds.url.starts_with("redis://") || config.feeds.is_remote(),
        "feeds.url is {}: these feeds live in the server's own memory. To rebuild them, stop it, remove their snapshot and start it again.",
        config.feeds.url
    );
    let feeds = open_feeds(config, &config.feeds.url, SystemClock::shared())?;
    let app = open_app_with_feeds(config, Purpose::Tool, config.server.base_url.clone(), Some(feeds)).await?;
    let code = match command {
        FeedsCommand::Rebuild(whom) => rebuild(&app, whom, config).await?,
        FeedsCommand::Verify { whom, json } => verify(&app, whom, *json).await?,
        FeedsCommand::Access(_) => ExitCode::SUCCESS,
    };
    finish(&app).await?;
    Ok(code)
}

fn access(args: &AccessArgs) -> anyhow::Result<ExitCode> {
    let (entry, key) = feeds::Caller::fresh(&args.name, args.read, args.write, args.operate)?;
    println!("The caller's configuration (the key is shown this once; keep it out of files that others read):\n");
    println!("CORKBOARD_FEEDS_CALLER={}\nCORKBOARD_FEEDS_KEY={key}\n", entry.name);
    println!("The entry for \"callers\" in the service's access list (feeds.access):\n");
    println!("{}", serde_json::to_string_pretty(&entry)?);
    Ok(ExitCode::SUCCESS)
}

async fn person(app: &App, name: &str) -> anyhow::Result<UserId> {
    match name.parse::<Id>().ok().and_then(|id| UserId::try_from(id).ok()) {
        Some(user) => Ok(user),
        None => named(app, name).await,
    }
}

async fn rebuild(app: &App, whom: &Whom, config: &Config) -> anyhow::Result<ExitCode> {
    if let Some(name) = &whom.user {
        let user = person(app, name).await?;
        app.rebuild_feeds_of(user).await?;
        println!("The feeds of {name} equal storage again.");
        return Ok(ExitCode::SUCCESS);
    }
    let bar = spinner();
    if Registry::open(&config.discovery.url)?.members("web")?.is_empty() {
        bar.set_message("no server runs; rebuilding from storage");
        let end = app.events.end(Topic::Activity).await?;
        app.rebuild_feeds(end).await?;
    } else {
        bar.set_message("the server rebuilds; pages come from storage meanwhile");
        app.feeds.clear().await.context("the feeds could not be cleared")?;
        let started = Instant::now();
        // A read is answered when everything is there again. Where to go on is for the server alone to ask.
        while app.feeds.public(feeds::PublicFeed::Everything, None, 1).await.is_err() {
            ensure!(
                started.elapsed() < REBUILD_LIMIT,
                "the server has not rebuilt the feeds for {} minutes: look at its log. It goes on with it, or does it at its next start.",
                REBUILD_LIMIT.as_secs() / 60
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    bar.finish_and_clear();
    let stats = app.feeds.stats().await?;
    println!(
        "Rebuilt: {} people, {} edges, {} boards, {} pins. Home feeds come back when they are read.",
        stats.users, stats.edges, stats.boards, stats.pins
    );
    Ok(ExitCode::SUCCESS)
}

async fn verify(app: &App, whom: &Whom, as_json: bool) -> anyhow::Result<ExitCode> {
    let bar = spinner();
    let (mut people, mut all) = (0_u64, FeedsFound::default());
    let mut look = async |user: UserId, total: u64| -> anyhow::Result<()> {
        let mut found = app.verify_feeds_of(user).await?;
        if !found.differences.is_empty() {
            tokio::time::sleep(SECOND_LOOK).await;
            found = app.verify_feeds_of(user).await?;
        }
        people += 1;
        all.add(found);
        bar.set_message(format!("{people} of {total} people compared, {} differences", all.differences.len()));
        Ok(())
    };
    match &whom.user {
        Some(name) => look(person(app, name).await?, 1).await?,
        None => {
            let total = app.feeds.stats().await?.users;
            let mut after = None;
            loop {
                let users = app.storage.scan::<User>(after, STEP).await?;
                let Some(last) = users.last() else { break };
                after = Some(last.id);
                for user in users.iter().filter(|user| user.active && !user.data.deleting) {
                    look(UserId::try_from(user.id)?, total.max(1)).await?;
                }
            }
            all.add(
                twice(async || Ok(app.verify_feeds_of_boards(|boards| bar.set_message(format!("{boards} boards compared"))).await?))
                    .await?,
            );
            let progress = |pins, lists| bar.set_message(format!("{pins} pins read, {lists} public lists compared"));
            all.add(twice(async || Ok(app.verify_public_feeds(progress).await?)).await?);
        }
    }
    bar.finish_and_clear();
    let FeedsFound { feeds, lists, edges, entries, differences } = all;
    let sound = differences.is_empty();
    if as_json {
        let found = json!({
            "sound": sound, "people": people, "feeds": feeds, "lists": lists, "edges": edges, "entries": entries, "differences": differences
        });
        println!("{found}");
    } else {
        differences.iter().take(SHOWN_MAX).for_each(|difference| println!("BAD  {difference}"));
        if differences.len() > SHOWN_MAX {
            println!("     … and {} more; --json lists them all.", differences.len() - SHOWN_MAX);
        }
        let verdict = if sound { "all as in storage." } else { "mend them with `corkboard feeds rebuild`, or --user for one person." };
        println!("{people} people, {edges} edges, {feeds} home feeds in memory and {lists} public lists with {entries} entries: {verdict}");
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks again when something differs: on a running site it may have been on its way.
async fn twice(look: impl AsyncFn() -> anyhow::Result<FeedsFound>) -> anyhow::Result<FeedsFound> {
    let found = look().await?;
    if found.differences.is_empty() {
        return Ok(found);
    }
    tokio::time::sleep(SECOND_LOOK).await;
    look().await
}

fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
