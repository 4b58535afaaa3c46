//! `corkboard serve --roles feeds`: the feeds service and nothing else. The consumer that fills it from the log and from storage is with
//! the process that has these.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use feeds::AccessList;
use runtime::{Health, PartState, Shutdown, SystemClock};

use super::serve_apart;
use crate::config::Config;
use crate::wiring::open_feeds;

/// How often it is looked whether the engine answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves until Ctrl-C or SIGTERM, then lets running calls end.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        !config.feeds.is_remote(),
        "feeds.url is '{}', a service elsewhere: the role feeds needs an engine of its own, like redis://HOST:PORT.",
        config.feeds.url
    );
    let _lock = serve_apart::prepare(config, "feeds")?;
    let access = serve_apart::access_list("feeds", &config.feeds.access, AccessList::parse)?;
    let feeds = open_feeds(config, &config.feeds.url, SystemClock::shared())?;
    let is_drained = serve_apart::serve(config, "feeds", &config.feeds.listen, move |calls, supervisor| {
        supervisor.spawn("feeds_look", {
            let (feeds, health, shutdown) = (feeds.clone(), supervisor.health().clone(), supervisor.shutdown());
            move || look_after(feeds.clone(), health.clone(), shutdown.clone())
        });
        let shutdown = supervisor.shutdown();
        async move { Ok(feeds::serve(calls, feeds, access, async move { shutdown.wait().await }).await?) }
    })
    .await?;
    if !is_drained {
        eprintln!("Stopped at once. What is missing is mended from storage.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks whether the engine answers, so that /readyz says what is missing. Nothing waits for this: every call finds out itself.
async fn look_after(feeds: feeds::Feeds, health: Health, shutdown: Shutdown) -> Result<(), String> {
    let mut every = runtime::paced(LOOK_EVERY);
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = every.tick() => {}
        }
        let state = match feeds.public(feeds::PublicFeed::Everything, None, 1).await {
            Ok(_) => PartState::Up,
            Err(error) => PartState::Down(error.to_string()),
        };
        health.set("feeds", state);
    }
}
