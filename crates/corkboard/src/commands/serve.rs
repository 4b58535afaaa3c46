//! `corkboard serve`: everything runs until Ctrl-C or SIGTERM, then drains.

use std::fs::File;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use app::App;
use clap::Args;
use discovery::{Member, Registry};
use monitor::Monitor;
use runtime::{PartState, Shutdown, Supervisor};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::tasks::{TaskResult, reason, start_tasks};
use crate::wiring::{Purpose, live, open_app};

/// How long background tasks may take to come to their end.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(25);
/// How often a process whose storage runs elsewhere looks whether it is there.
const STORAGE_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Roles that a process can have besides `all` and `storage`. Their embedded engines live in one process, so they run together.
const ROLES_TOGETHER: [&str; 7] = ["web", "feeds", "search", "jobs", "worker", "archive", "monitor"];

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Everything,
    Storage,
    /// Everything else, over a storage service.
    AllButStorage,
}

#[derive(Args, Default)]
pub struct ServeArgs {
    /// Address and port to listen on, like 127.0.0.1:8080 or [::]:80. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Which roles this process runs: all, storage alone, or web,feeds,search,jobs,worker,archive,monitor over a storage service.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub roles: Vec<String>,
}

pub async fn run(args: &ServeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if part_of(&args.roles, config.storage.is_remote())? == Part::Storage {
        return super::serve_storage::run(config).await;
    }
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    let _lock = lock(config, "serve.lock")?;
    let listener = bind(&config.server.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let base_url = if config.server.base_url.is_empty() { local_url(address) } else { config.server.base_url.clone() };
    let app = open_app(config, Purpose::Serve, base_url).await?;
    let supervisor = Supervisor::new(app.health.clone());
    let monitor = Monitor::new(app.clock.clone());
    start_tasks(&app, &supervisor, &monitor);
    let web = web::Web {
        app: app.clone(),
        health: app.health.clone(),
        live: live(&monitor),
        limiter: Arc::new(web::limits::Limiter::new(config.server.rate_limit_scale)),
        behind_proxy: config.server.behind_proxy,
    };
    let registry = Registry::open(&config.discovery.url)?;
    let _membership = registry.join("web", &Member::alive(&address.ip().to_string(), address.port()))?;
    let limiter = web.limiter.clone();
    supervisor.spawn("housekeeping", {
        let (app, shutdown) = (app.clone(), supervisor.shutdown());
        move || housekeeping(app.clone(), limiter.clone(), shutdown.clone())
    });
    supervisor.spawn("settings", {
        let (app, config, shutdown) = (app.clone(), config.clone(), supervisor.shutdown());
        move || crate::settings::follow(app.clone(), config.clone(), shutdown.clone())
    });
    if config.storage.is_remote() {
        supervisor.spawn("storage_look", {
            let (app, shutdown) = (app.clone(), supervisor.shutdown());
            move || look_after_storage(app.clone(), shutdown.clone())
        });
    }
    greet(&app, address).await;
    let server = tokio::spawn(web::serve(listener, web::router(web), supervisor.shutdown()));
    wait_for_end().await?;
    eprintln!("Finishing what is running; press Ctrl-C again to stop at once.");
    tokio::select! {
        () = drain(&app, &supervisor, server) => {}
        _ = wait_for_end() => eprintln!("Stopped at once. Nothing that was acknowledged is lost."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Decides what a process runs; refuses what can't be run apart.
fn part_of(roles: &[String], is_storage_remote: bool) -> anyhow::Result<Part> {
    for role in roles {
        ensure!(
            ["all", "storage"].contains(&role.as_str()) || ROLES_TOGETHER.contains(&role.as_str()),
            "'{role}' is no role. The roles are: all, storage, {}.",
            ROLES_TOGETHER.join(", ")
        );
    }
    let has = |name: &str| roles.iter().any(|role| role == name);
    let together = ROLES_TOGETHER.iter().filter(|role| has(role)).count();
    let part = match (has("storage"), together) {
        _ if roles.is_empty() || has("all") => Part::Everything,
        (true, 0) => Part::Storage,
        (true, all) if all == ROLES_TOGETHER.len() => Part::Everything,
        (false, all) if all == ROLES_TOGETHER.len() => Part::AllButStorage,
        _ => bail!(
            "--roles {}: so far only storage can run apart. Feeds, search, jobs and the log have engines that live in one process, so {} run together. Run one process with --roles storage, and one with --roles {} and storage.url = \"remote:HOST:PORT\".",
            roles.join(","),
            ROLES_TOGETHER.join(", "),
            ROLES_TOGETHER.join(",")
        ),
    };
    let rest = ROLES_TOGETHER.join(",");
    ensure!(
        part != Part::Everything || !is_storage_remote,
        "storage.url says that storage runs elsewhere, so this process does not run all roles: write --roles {rest}."
    );
    ensure!(
        part != Part::AllButStorage || is_storage_remote,
        "--roles {rest} leaves storage to another process, but storage.url says that it is here: set it to remote:HOST:PORT, or add storage to --roles."
    );
    Ok(part)
}

/// Listens on an address; `key` is what sets it.
pub async fn bind(address: &str, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on. If another server runs there, stop it or choose another port with {key}"))
}

/// Takes the data folder for this process. The lock goes with the process, however it ends.
pub fn lock(config: &Config, name: &str) -> anyhow::Result<File> {
    let path = config.data.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} can't be opened", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "another server is running on {}. Stop it first (`corkboard status` says where it listens), or choose another folder with --data.",
            config.data.display()
        );
    }
    Ok(file)
}

fn local_url(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => format!("http://localhost:{}", address.port()),
        _ => format!("http://{address}"),
    }
}

/// Regular small work: the sweep job, metrics, forgotten limits.
async fn housekeeping(app: App, limiter: Arc<web::limits::Limiter>, shutdown: Shutdown) -> TaskResult {
    let mut every = tokio::time::interval(Duration::from_secs(30));
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = every.tick() => {}
        }
        runtime::telemetry::upkeep_metrics();
        limiter.shrink();
        app.schedule_sweep().await.map_err(reason)?;
        // Both set their gauges on the way: how far consumers are behind, how long the queues are.
        app.events.lag().await.map_err(reason)?;
        app.jobs.queues().await.map_err(reason)?;
    }
}

/// Looks whether the storage service answers, so that /readyz says what is missing. Nothing waits for this: every call finds out itself.
async fn look_after_storage(app: App, shutdown: Shutdown) -> TaskResult {
    let mut every = tokio::time::interval(STORAGE_LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            _ = every.tick() => {}
        }
        // Whether anybody has this name does not matter; a point read is the least that can be asked.
        let state = match app.storage.name(model::NameKind::Username, "-").await {
            Ok(_) => PartState::Up,
            Err(error) => PartState::Down(error.to_string()),
        };
        app.health.set("storage", state);
    }
}

/// Says where the site is and what to do first.
async fn greet(app: &App, address: SocketAddr) {
    tracing::info!(%address, url = app.settings.base_url, "serving");
    let hint = match app.has_account().await {
        Ok(false) => "Open it and sign up: the first account is the admin. `corkboard demo` fills it with an example.",
        _ => "Ctrl-C stops it; nothing is lost.",
    };
    if std::io::stdout().is_terminal() {
        println!("\n  {} is at {}\n  {hint}\n", app.settings.site_title, app.settings.base_url);
    } else {
        println!("listening on {} ({address})", app.settings.base_url);
    }
}

pub async fn wait_for_end() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

async fn drain(app: &App, supervisor: &Supervisor, server: tokio::task::JoinHandle<()>) {
    let late = supervisor.drain(DRAIN_TIME_MAX).await;
    if !late.is_empty() {
        tracing::warn!(tasks = late.join(", "), "these tasks did not end in time; what they left is done at the next start");
    }
    if let Err(error) = server.await {
        tracing::warn!(%error, "the server's task failed");
    }
    if let Err(error) = app.search.flush().await {
        tracing::warn!(%error, "the index was not flushed; it catches up at the next start");
    }
    app.events.close().await;
    app.jobs.close().await;
    if let Err(error) = app.storage.close().await {
        tracing::warn!(%error, "storage did not close cleanly; it recovers at the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(roles: &str, is_storage_remote: bool) -> Result<Part, String> {
        let roles: Vec<String> = roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
        part_of(&roles, is_storage_remote).map_err(|error| error.to_string())
    }

    #[test]
    fn roles_are_all_or_storage_or_the_rest() {
        let rest = ROLES_TOGETHER.join(",");
        assert_eq!(decide("", false), Ok(Part::Everything));
        assert_eq!(decide("all", false), Ok(Part::Everything));
        assert_eq!(decide(&format!("storage,{rest}"), false), Ok(Part::Everything));
        assert_eq!(decide("storage", false), Ok(Part::Storage));
        assert_eq!(decide(&rest, true), Ok(Part::AllButStorage));
        for (roles, is_storage_remote, wanted) in [
            ("web", true, "so far only storage can run apart"),
            ("web,storage", false, "so far only storage can run apart"),
            (rest.as_str(), false, "set it to remote:"),
            ("", true, "--roles web"),
            ("wep", false, "'wep' is no role"),
        ] {
            let refusal = decide(roles, is_storage_remote).expect_err("a refusal");
            assert!(refusal.contains(wanted), "{roles}: {refusal}");
        }
    }
}
