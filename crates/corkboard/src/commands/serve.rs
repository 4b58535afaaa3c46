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

use crate::cache_mark::CacheMark;
use crate::config::Config;
use crate::tasks::{TaskResult, reason, start_tasks};
use crate::wiring::{Purpose, live, open_app};

/// How long background tasks may take to come to their end.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(25);
/// How often a process whose storage runs elsewhere looks whether it is there.
const STORAGE_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Roles that can run in a process of their own.
const ROLES_APART: [&str; 2] = ["storage", "feeds"];
/// The other roles besides `all`. Their embedded engines live in one process, so they run together.
const ROLES_TOGETHER: [&str; 6] = ["web", "search", "jobs", "worker", "archive", "monitor"];

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The site, with whatever does not run elsewhere.
    Site,
    Storage,
    Feeds,
}

#[derive(Args, Default)]
pub struct ServeArgs {
    /// Address and port to listen on, like 127.0.0.1:8080 or [::]:80. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Which roles this process runs: all; storage or feeds alone; or the others, with those of the two that don't run elsewhere.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub roles: Vec<String>,
}

pub async fn run(args: &ServeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    match part_of(&args.roles, [config.storage.is_remote(), config.feeds.is_remote()])? {
        Part::Storage => return super::serve_storage::run(config).await,
        Part::Feeds => return super::serve_feeds::run(config).await,
        Part::Site => {}
    }
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    let _lock = lock(config, "serve.lock")?;
    let listener = bind(&config.server.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let base_url = if config.server.base_url.is_empty() { local_url(address) } else { config.server.base_url.clone() };
    let app = open_app(config, Purpose::Serve, base_url).await?;
    let mark = CacheMark::set(&config.data, &app.cache).await?;
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
        () = drain(&app, &supervisor, server) => {
            if let Some(mark) = mark {
                mark.take_away(&app.cache);
            }
        }
        _ = wait_for_end() => eprintln!("Stopped at once. Nothing that was acknowledged is lost."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Decides what a process runs; refuses what can't be run apart. `are_remote` is about [`ROLES_APART`].
fn part_of(roles: &[String], are_remote: [bool; 2]) -> anyhow::Result<Part> {
    for role in roles {
        ensure!(
            role == "all" || ROLES_APART.contains(&role.as_str()) || ROLES_TOGETHER.contains(&role.as_str()),
            "'{role}' is no role. The roles are: all, {}, {}.",
            ROLES_APART.join(", "),
            ROLES_TOGETHER.join(", ")
        );
    }
    let has = |name: &str| roles.is_empty() || roles.iter().any(|role| role == name || role == "all");
    let together = ROLES_TOGETHER.iter().filter(|role| has(role)).count();
    match (ROLES_APART.map(has), together) {
        ([true, false], 0) => return Ok(Part::Storage),
        ([false, true], 0) => return Ok(Part::Feeds),
        (_, count) if count == ROLES_TOGETHER.len() => {}
        _ => bail!(
            "--roles {}: so far only storage and feeds can run apart, each in a process of its own. Search, jobs and the log have engines that live in one process, so {} run together. Run one process with --roles storage or --roles feeds, and one with the others and storage.url or feeds.url = \"remote:HOST:PORT\".",
            roles.join(","),
            ROLES_TOGETHER.join(", ")
        ),
    }
    let here = ROLES_APART.iter().zip(are_remote).filter(|(_, is_remote)| !is_remote).map(|(role, _)| *role);
    let rest = here.chain(ROLES_TOGETHER).collect::<Vec<_>>().join(",");
    for (role, is_remote) in ROLES_APART.into_iter().zip(are_remote) {
        ensure!(
            !(has(role) && is_remote),
            "{role}.url says that {role} runs elsewhere, so this process does not run all roles: write --roles {rest}."
        );
        ensure!(
            has(role) || is_remote,
            "--roles {} leaves {role} to another process, but {role}.url says that it is here: set it to remote:HOST:PORT, or add {role} to --roles.",
            roles.join(",")
        );
    }
    Ok(Part::Site)
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

    fn decide(roles: &str, are_remote: [bool; 2]) -> Result<Part, String> {
        let roles: Vec<String> = roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
        part_of(&roles, are_remote).map_err(|error| error.to_string())
    }

    #[test]
    fn roles_are_all_or_one_that_can_run_apart_or_the_rest() {
        const REST: &str = "web,search,jobs,worker,archive,monitor";
        const HERE: [bool; 2] = [false, false];
        let with = |more: &str| format!("{more},{REST}");
        for (roles, are_remote, wanted) in [
            ("", HERE, Part::Site),
            ("all", HERE, Part::Site),
            (&with("storage,feeds"), HERE, Part::Site),
            (&with("feeds"), [true, false], Part::Site),
            (&with("storage"), [false, true], Part::Site),
            (REST, [true, true], Part::Site),
            ("storage", HERE, Part::Storage),
            ("feeds", HERE, Part::Feeds),
            // Whether a service may stand before a service is its own business.
            ("feeds", [true, true], Part::Feeds),
        ] {
            assert_eq!(decide(roles, are_remote), Ok(wanted), "{roles} {are_remote:?}");
        }
        for (roles, are_remote, wanted) in [
            ("web", [true, true], "so far only storage and feeds can run apart"),
            ("web,storage", HERE, "so far only storage and feeds can run apart"),
            ("storage,feeds", HERE, "so far only storage and feeds can run apart"),
            (&with("feeds"), HERE, "storage.url says that it is here"),
            (&with("storage"), HERE, "feeds.url says that it is here"),
            ("", [true, false], "write --roles feeds,web"),
            ("all", [false, true], "write --roles storage,web"),
            (&with("storage,feeds"), [true, true], "write --roles web"),
            ("wep", HERE, "'wep' is no role"),
        ] {
            let refusal = decide(roles, are_remote).expect_err("a refusal");
            assert!(refusal.contains(wanted), "{roles}: {refusal}");
        }
    }
}
