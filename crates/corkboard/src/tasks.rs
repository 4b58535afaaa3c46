//! The background tasks of the application: relay, consumers, workers, monitor.

use app::App;
use model::Topic;
use monitor::Monitor;
use runtime::{PartState, Shutdown, Supervisor};

pub type TaskResult = std::result::Result<(), String>;

/// Writes an error as the supervisor takes it.
pub fn reason(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// Starts one supervised task of the application.
fn spawn<Fut>(supervisor: &Supervisor, name: &str, app: &App, work: impl Fn(App, Shutdown) -> Fut + Send + 'static)
where
    Fut: Future<Output = TaskResult> + Send + 'static,
{
    let (app, shutdown) = (app.clone(), supervisor.shutdown());
    supervisor.spawn(name, move || work(app.clone(), shutdown.clone()));
}

/// Starts all background tasks of the application: they run until the supervisor drains.
pub fn start_tasks(app: &App, supervisor: &Supervisor, monitor: &Monitor) {
    for part in ["storage", "events", "jobs", "media", "web"] {
        app.health.set(part, PartState::Up);
    }
    spawn(supervisor, "cache_watch", app, |app, shutdown| async move { app.run_cache_watch(shutdown).await.map_err(reason) });
    spawn(supervisor, "relay", app, |app, shutdown| async move { app.run_relay(shutdown).await.map_err(reason) });
    spawn(supervisor, "follow_up", app, |app, shutdown| async move { app.run_follow_up(shutdown).await.map_err(reason) });
    spawn(supervisor, "feeds", app, |app, shutdown| async move { app.run_feeds(shutdown).await.map_err(reason) });
    spawn(supervisor, "search", app, |app, shutdown| async move { app.run_index(shutdown).await.map_err(reason) });
    spawn(supervisor, "worker", app, |app, shutdown| async move {
        let name = format!("{}-{}", app.settings.host, std::process::id());
        app.worker(&name).run(shutdown.receiver()).await;
        Ok(())
    });
    for topic in Topic::ALL {
        let monitor = monitor.clone();
        spawn(supervisor, &format!("monitor_{}", topic.as_str()), app, move |app, shutdown| {
            let monitor = monitor.clone();
            async move { monitor.run(&app.events, topic, shutdown).await.map_err(reason) }
        });
    }
}
