//! `corkboard serve --roles feeds`: the feeds service and nothing else.
//!
//! ```text
//! feeds.listen  ◀─ gRPC ── the other roles, in other processes; among them the consumer that fills the feeds from storage
//! server.listen ◀─ HTTP ── /healthz · /readyz · /metrics
//! ```

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use discovery::{Endpoint, Member, Registry};
use feeds::AccessList;
use runtime::{Health, PartState, Shutdown, Supervisor, SystemClock};

use super::serve::{DRAIN_TIME_MAX, bind, lock, wait_for_end};
use crate::config::Config;
use crate::wiring::{open_feeds, protect};

/// How often it is looked whether the engine answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves until Ctrl-C or SIGTERM, then lets running calls end.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        !config.feeds.is_remote(),
        "feeds.url is '{}', a service elsewhere: the role feeds needs an engine of its own, like redis://HOST:PORT.",
        config.feeds.url
    );
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    protect(&config.data)?;
    let _lock = lock(config, "feeds.lock")?;
    let access = access_list(config)?;
    let calls = bind(&config.feeds.listen, "feeds.listen").await?;
    let probes = bind(&config.server.listen, "--listen").await?;
    let (calls_at, probes_at) = (calls.local_addr()?, probes.local_addr()?);
    let feeds = open_feeds(config, &config.feeds.url, SystemClock::shared())?;
    let supervisor = Supervisor::new(Health::default());
    let stop = |shutdown: Shutdown| async move { shutdown.wait().await };
    let mut service = tokio::spawn(feeds::serve(calls, feeds.clone(), access, stop(supervisor.shutdown())));
    let pages = tokio::spawn(web::serve(probes, web::operations_router(supervisor.health().clone()), supervisor.shutdown()));
    supervisor.spawn("housekeeping", {
        let shutdown = supervisor.shutdown();
        move || housekeeping(shutdown.clone())
    });
    supervisor.spawn("feeds_look", {
        let (health, shutdown) = (supervisor.health().clone(), supervisor.shutdown());
        move || look_after(feeds.clone(), health.clone(), shutdown.clone())
    });
    let mut member = Member::alive(&calls_at.ip().to_string(), calls_at.port());
    let probes_end = Endpoint { host: probes_at.ip().to_string(), port: probes_at.port() };
    member.additional_endpoints.insert("http".to_owned(), probes_end);
    let membership = Registry::open(&config.discovery.url)?.join("feeds", &member)?;
    tracing::info!(%calls_at, %probes_at, "serving feeds");
    println!("feeds on {calls_at}\nlistening on http://{probes_at} ({probes_at})");
    tokio::select! {
        ended = wait_for_end() => ended?,
        // It should end when it is told to, and not before.
        ended = &mut service => {
            ended.context("the feeds service's task failed")??;
            anyhow::bail!("the feeds service ended by itself");
        }
    }
    eprintln!("Finishing the calls that run; press Ctrl-C again to stop at once.");
    drop(membership);
    let drain = async {
        supervisor.drain(DRAIN_TIME_MAX).await;
        let ended = service.await.context("the feeds service's task failed")?;
        if let Err(error) = pages.await {
            tracing::warn!(%error, "the probes' task failed");
        }
        ended.context("the feeds service did not end well")
    };
    tokio::select! {
        drained = drain => drained?,
        _ = wait_for_end() => eprintln!("Stopped at once. What is missing is mended from storage."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the access list, if there is one.
fn access_list(config: &Config) -> anyhow::Result<Option<AccessList>> {
    let path = &config.feeds.access;
    if path.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("the access list {path} (feeds.access) can't be read"))?;
    Ok(Some(AccessList::parse(&text).with_context(|| format!("in {path} (feeds.access)"))?))
}

async fn housekeeping(shutdown: Shutdown) -> Result<(), String> {
    let mut every = tokio::time::interval(Duration::from_secs(30));
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = every.tick() => runtime::telemetry::upkeep_metrics(),
        }
    }
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
