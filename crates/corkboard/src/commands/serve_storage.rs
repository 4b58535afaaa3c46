//! `corkboard serve --roles storage`: the storage service and nothing else.
//!
//! ```text
//! storage.listen ◀─ gRPC ── the other roles, in other processes
//! server.listen  ◀─ HTTP ── /healthz · /readyz · /metrics
//! ```

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use discovery::{Endpoint, Member, Registry};
use runtime::{Health, PartState, Shutdown, Supervisor, SystemClock};
use storage::AccessList;

use super::serve::{DRAIN_TIME_MAX, bind, lock, wait_for_end};
use crate::config::Config;
use crate::wiring::{open_storage, protect};

/// Serves until Ctrl-C or SIGTERM, then lets running calls end.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        !config.storage.is_remote(),
        "storage.url is '{}', a service elsewhere: the role storage needs an engine of its own, like sqlite:FILE.",
        config.storage.url
    );
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    protect(&config.data)?;
    let _lock = lock(config, "storage.lock")?;
    let access = access_list(config)?;
    let calls = bind(&config.storage.listen, "storage.listen").await?;
    let probes = bind(&config.server.listen, "--listen").await?;
    let (calls_at, probes_at) = (calls.local_addr()?, probes.local_addr()?);
    let storage = open_storage(config, SystemClock::shared()).await?;
    let supervisor = Supervisor::new(Health::default());
    let stop = |shutdown: Shutdown| async move { shutdown.wait().await };
    let mut service = tokio::spawn(storage::serve(calls, storage.clone(), access, stop(supervisor.shutdown())));
    supervisor.health().set("storage", PartState::Up);
    let pages = tokio::spawn(web::serve(probes, web::operations_router(supervisor.health().clone()), supervisor.shutdown()));
    supervisor.spawn("housekeeping", {
        let shutdown = supervisor.shutdown();
        move || housekeeping(shutdown.clone())
    });
    let mut member = Member::alive(&calls_at.ip().to_string(), calls_at.port());
    let probes_end = Endpoint { host: probes_at.ip().to_string(), port: probes_at.port() };
    member.additional_endpoints.insert("http".to_owned(), probes_end);
    let membership = Registry::open(&config.discovery.url)?.join("storage", &member)?;
    tracing::info!(%calls_at, %probes_at, "serving storage");
    println!("storage on {calls_at}\nlistening on http://{probes_at} ({probes_at})");
    tokio::select! {
        ended = wait_for_end() => ended?,
        // It should end when it is told to, and not before.
        ended = &mut service => {
            ended.context("the storage service's task failed")??;
            anyhow::bail!("the storage service ended by itself");
        }
    }
    eprintln!("Finishing the calls that run; press Ctrl-C again to stop at once.");
    drop(membership);
    let drain = async {
        supervisor.drain(DRAIN_TIME_MAX).await;
        let ended = service.await.context("the storage service's task failed")?;
        if let Err(error) = pages.await {
            tracing::warn!(%error, "the probes' task failed");
        }
        storage.close().await.context("storage did not close cleanly; it recovers at the next start")?;
        ended.context("the storage service did not end well")
    };
    tokio::select! {
        drained = drain => drained?,
        _ = wait_for_end() => eprintln!("Stopped at once. Nothing that was acknowledged is lost."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the access list, if there is one.
fn access_list(config: &Config) -> anyhow::Result<Option<AccessList>> {
    let path = &config.storage.access;
    if path.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("the access list {path} (storage.access) can't be read"))?;
    Ok(Some(AccessList::parse(&text).with_context(|| format!("in {path} (storage.access)"))?))
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
