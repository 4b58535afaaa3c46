//! `corkboard serve --roles storage`: the storage service and nothing else.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use runtime::{PartState, SystemClock};
use storage::AccessList;

use super::serve_apart;
use crate::config::Config;
use crate::wiring::open_storage;

/// Serves until Ctrl-C or SIGTERM, then lets running calls end.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    ensure!(
        !config.storage.is_remote(),
        "storage.url is '{}', a service elsewhere: the role storage needs an engine of its own, like sqlite:FILE.",
        config.storage.url
    );
    let _lock = serve_apart::prepare(config, "storage")?;
    let access = serve_apart::access_list("storage", &config.storage.access, AccessList::parse)?;
    let storage = open_storage(config, SystemClock::shared()).await?;
    let served = storage.clone();
    let is_drained = serve_apart::serve(config, "storage", &config.storage.listen, move |calls, supervisor| {
        supervisor.health().set("storage", PartState::Up);
        let shutdown = supervisor.shutdown();
        async move { Ok(storage::serve(calls, served, access, async move { shutdown.wait().await }).await?) }
    })
    .await?;
    if is_drained {
        storage.close().await.context("storage did not close cleanly; it recovers at the next start")?;
    } else {
        eprintln!("Stopped at once. Nothing that was acknowledged is lost.");
    }
    Ok(ExitCode::SUCCESS)
}
