//! Wiring: from the configuration to an application with its engines. The only place that names them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use app::{App, Parts, Settings};
use model::Timestamp;
use runtime::{Health, SystemClock};

use crate::config::Config;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Serves: owns feeds and index.
    Serve,
    /// A command beside a server that may be running: it writes to storage and the log, and leaves what is derived to the server.
    Tool,
}

/// Opens all engines and composes the application.
pub async fn open_app(config: &Config, purpose: Purpose, base_url: String) -> anyhow::Result<App> {
    open_app_with_feeds(config, purpose, base_url, None).await
}

/// The same over feeds that are open already: for commands that are about the feeds themselves.
pub async fn open_app_with_feeds(config: &Config, purpose: Purpose, base_url: String, opened: Option<feeds::Feeds>) -> anyhow::Result<App> {
    std::fs::create_dir_all(&config.data).with_context(|| format!("the data folder {} can't be made", config.data.display()))?;
    protect(&config.data)?;
    let clock = SystemClock::shared();
    let storage = open_storage(config, clock.clone()).await?;
    let limits = cache::CacheLimits { bytes: config.cache.mib << 20, ..cache::CacheLimits::default() };
    let cache = cache::Cache::open(&config.cache.url, limits).context("the cache did not open")?;
    let (feeds_url, search_url) = match purpose {
        Purpose::Serve => (config.feeds.url.as_str(), config.search.url.as_str()),
        Purpose::Tool => ("memory:", "memory:"),
    };
    let feeds = match opened {
        Some(feeds) => feeds,
        None => open_feeds(config, feeds_url, clock.clone())?,
    };
    let search = search::Search::open(search_url, clock.clone()).context("the search index did not open")?;
    let jobs = jobs::Jobs::open(&config.jobs.url, clock.clone()).context("the jobs did not open")?;
    let events = events::Events::open(&config.events.url, clock.clone()).context("the event log did not open")?;
    let media = media::Media::open(&config.media.url, media::Limits::default()).await.context("the pictures' store did not open")?;
    let fetcher = media::Fetcher::new(media::FetcherConfig::default()).context("the fetcher of foreign addresses did not start")?;
    Ok(App::new(Parts {
        storage,
        cache,
        feeds,
        jobs,
        events,
        search,
        media,
        fetcher,
        clock,
        health: Health::default(),
        settings: settings(config, base_url),
    }))
}

/// Opens graph and feeds under a URL, with the limits of the configuration.
pub fn open_feeds(config: &Config, url: &str, clock: runtime::SharedClock) -> anyhow::Result<feeds::Feeds> {
    // The list of everything is what Explore scrolls through; it holds more than one topic's list would need.
    let limits = feeds::Limits {
        public_entries_max: 200_000,
        merge_threshold: crate::settings::merge_threshold(config),
        ..feeds::Limits::default()
    };
    let identity = feeds::Identity { caller: config.feeds.caller.clone(), key: config.feeds.key.clone() };
    feeds::Feeds::open_as(url, &identity, clock, limits).context("the feeds did not open")
}

/// Opens the system of record: a file, or a service in other processes.
pub async fn open_storage(config: &Config, clock: runtime::SharedClock) -> anyhow::Result<storage::Storage> {
    let identity = storage::Identity { caller: config.storage.caller.clone(), key: config.storage.key.clone() };
    let logins = storage::Logins { identity, database: config.storage.login() };
    storage::Storage::open(&config.storage.url, &logins, clock).await.context("storage did not open")
}

fn settings(config: &Config, base_url: String) -> Settings {
    let host = std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned()).unwrap_or_default();
    Settings {
        base_url,
        site_title: config.site.title.clone(),
        mail_url: config.mail.url.clone(),
        mail_from: config.mail.from.clone(),
        trash_retention_ms: config.retention.trash_days * Timestamp::DAY,
        picture_grace_ms: config.retention.picture_minutes * Timestamp::MINUTE,
        session_lifetime_ms: config.retention.session_days * Timestamp::DAY,
        host: if host.is_empty() { "localhost".into() } else { host },
        ..Settings::default()
    }
}

/// Keeps other users of the machine out of the data folder: it holds password hashes and secret boards.
pub fn protect(folder: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder)?.permissions().mode();
        if mode & 0o077 != 0
            && let Err(error) = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode & !0o077))
        {
            tracing::warn!(%error, folder = %folder.display(), "the data folder can be read by others on this machine");
        }
    }
    Ok(())
}

/// The monitor's numbers in the form of the admin pages.
pub struct MonitorNumbers(pub monitor::Monitor);

impl web::LiveNumbers for MonitorNumbers {
    fn snapshot(&self) -> web::Live {
        let numbers = self.0.numbers();
        web::Live {
            rates: numbers.rates.into_iter().map(|(kind, rate)| (kind.as_str().to_owned(), rate)).collect(),
            series: numbers
                .minutes
                .into_iter()
                .map(|(kind, counts)| (kind.as_str().to_owned(), counts.into_iter().map(f64::from).collect()))
                .collect(),
            errors: numbers.errors.into_iter().map(live_error).collect(),
        }
    }
}

fn live_error(event: model::Event) -> web::LiveError {
    let (kind, what) = (event.kind.as_str().to_owned(), event.data.to_string());
    web::LiveError { at: event.at, kind, what, request_id: event.request_id }
}

/// Returns the live numbers of a monitor for the pages.
pub fn live(monitor: &monitor::Monitor) -> Arc<dyn web::LiveNumbers> {
    Arc::new(MonitorNumbers(monitor.clone()))
}
