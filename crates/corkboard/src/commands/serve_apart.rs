//! A service in a process of its own, whichever it is: its calls on one listener, its probes on another.
//!
//! ```text
//! NAME.listen   ◀─ gRPC ── the other roles, in other processes
//! server.listen ◀─ HTTP ── /healthz · /readyz · /metrics
//! ```

use std::fs::File;
use std::time::Duration;

use anyhow::Context;
use discovery::{Endpoint, Member, Registry};
use runtime::{Health, Shutdown, Supervisor};
use tokio::net::TcpListener;

use super::serve::{DRAIN_TIME_MAX, bind, lock, wait_for_end};
use crate::config::Config;
use crate::wiring::protect;

/// Makes the data folder and takes it for the service of this name.
pub fn prepare(config: &Config, name: &str) -> anyhow::Result<File> {
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    protect(&config.data)?;
    lock(config, &format!("{name}.lock"))
}

/// Reads the access list of a service, if it has one.
pub fn access_list<L, E>(name: &str, path: &str, parse: impl FnOnce(&str) -> Result<L, E>) -> anyhow::Result<Option<L>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    if path.is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("the access list {path} ({name}.access) can't be read"))?;
    Ok(Some(parse(&text).with_context(|| format!("in {path} ({name}.access)"))?))
}

/// Serves until Ctrl-C or SIGTERM, then lets running calls end. `begin` makes the service; it ends when it is told to, and not before.
/// Tells whether everything came to its end, rather than being stopped at once.
pub async fn serve<S>(
    config: &Config,
    name: &'static str,
    listen: &str,
    begin: impl FnOnce(TcpListener, &Supervisor) -> S,
) -> anyhow::Result<bool>
where
    S: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let calls = bind(listen, &format!("{name}.listen")).await?;
    let probes = bind(&config.server.listen, "--listen").await?;
    let (calls_at, probes_at) = (calls.local_addr()?, probes.local_addr()?);
    let supervisor = Supervisor::new(Health::default());
    let mut service = tokio::spawn(begin(calls, &supervisor));
    let pages = tokio::spawn(web::serve(probes, web::operations_router(supervisor.health().clone()), supervisor.shutdown()));
    supervisor.spawn("housekeeping", {
        let shutdown = supervisor.shutdown();
        move || housekeeping(shutdown.clone())
    });
    let mut member = Member::alive(&calls_at.ip().to_string(), calls_at.port());
    let probes_end = Endpoint { host: probes_at.ip().to_string(), port: probes_at.port() };
    member.additional_endpoints.insert("http".to_owned(), probes_end);
    let membership = Registry::open(&config.discovery.url)?.join(name, &member)?;
    tracing::info!(service = name, %calls_at, %probes_at, "serving");
    println!("{name} on {calls_at}\nlistening on http://{probes_at} ({probes_at})");
    tokio::select! {
        ended = wait_for_end() => ended?,
        ended = &mut service => {
            ended.with_context(|| format!("the {name} service's task failed"))??;
            anyhow::bail!("the {name} service ended by itself");
        }
    }
    eprintln!("Finishing the calls that run; press Ctrl-C again to stop at once.");
    drop(membership);
    let drain = async {
        supervisor.drain(DRAIN_TIME_MAX).await;
        let ended = service.await.with_context(|| format!("the {name} service's task failed"))?;
        if let Err(error) = pages.await {
            tracing::warn!(%error, "the probes' task failed");
        }
        ended.with_context(|| format!("the {name} service did not end well"))
    };
    tokio::select! {
        drained = drain => drained.map(|()| true),
        _ = wait_for_end() => Ok(false),
    }
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
