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
use runtime::{Shutdown, Supervisor};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::tasks::{TaskResult, reason, start_tasks};
use crate::wiring::{Purpose, live, open_app};

/// How long background tasks may take to come to their end.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(25);
/// Roles that a process can have. The embedded engines live in one process, so that all of them run together.
const ROLES: [&str; 9] = ["all", "web", "storage", "feeds", "search", "jobs", "worker", "archive", "monitor"];

#[derive(Args, Default)]
pub struct ServeArgs {
    /// Address and port to listen on, like 127.0.0.1:8080 or [::]:80. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Which roles this process runs. With the embedded engines: all.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub roles: Vec<String>,
}

pub async fn run(args: &ServeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    check_roles(&args.roles)?;
    runtime::telemetry::start_metrics();
    crate::metrics::describe();
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    let _lock = lock(config)?;
    let listener = TcpListener::bind(&config.server.listen).await.with_context(|| {
        format!("{} can't be listened on. If another server runs there, stop it or choose another port with --listen", config.server.listen)
    })?;
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

fn check_roles(roles: &[String]) -> anyhow::Result<()> {
    for role in roles {
        ensure!(ROLES.contains(&role.as_str()), "'{role}' is no role. The roles are: {}.", ROLES.join(", "));
    }
    if !roles.is_empty() && !roles.iter().any(|role| role == "all") {
        bail!(
            "--roles {} needs engines that several processes can share, and the embedded ones live in one process. Leave --roles out, or write --roles all.",
            roles.join(",")
        );
    }
    Ok(())
}

/// Takes the data folder for this process. The lock goes with the process, however it ends.
fn lock(config: &Config) -> anyhow::Result<File> {
    let path = config.data.join("serve.lock");
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

async fn wait_for_end() -> anyhow::Result<()> {
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
