//! `corkboard doctor`: looks at the whole installation and says what to do about what it finds.

use std::process::ExitCode;

use app::App;
use clap::Args;
use discovery::Registry;
use media::Hash;
use model::{Image, Shard};
use serde_json::json;

use super::account::{finish, tool};
use crate::config::Config;

/// Pictures looked at; a large site's store is checked in part, from the start.
const PICTURES_MAX: usize = 100_000;
const STEP: usize = 500;
/// Events in the outbox beyond which nobody seems to relay them.
const OUTBOX_MAX: u64 = 10_000;

#[derive(Args)]
pub struct DoctorArgs {
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
struct Check {
    what: &'static str,
    found: String,
    /// What is wrong and what to do; empty when it is fine.
    problems: Vec<String>,
}

pub async fn run(args: &DoctorArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let app = tool(config).await?;
    let checks = vec![
        server(config)?,
        storage(&app).await,
        cache(config).await,
        audit(&app).await,
        pictures(&app).await,
        jobs(&app).await,
        events(&app).await,
        feeds(config).await,
        mail(config).await,
    ];
    finish(&app).await?;
    let sound = checks.iter().all(|check| check.problems.is_empty());
    if args.json {
        let list: Vec<_> =
            checks.iter().map(|check| json!({ "check": check.what, "found": check.found, "problems": check.problems })).collect();
        println!("{}", json!({ "sound": sound, "checks": list }));
    } else {
        for check in &checks {
            println!("{} {:10} {}", if check.problems.is_empty() { "ok  " } else { "BAD " }, check.what, check.found);
            for problem in &check.problems {
                println!("     → {problem}");
            }
        }
        println!("\n{}", if sound { "Everything is sound." } else { "Something needs a look; see above." });
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn server(config: &Config) -> anyhow::Result<Check> {
    let members = Registry::open(&config.discovery.url)?.members("web")?;
    let mut found = match members.first() {
        Some(member) => format!("a server runs (process {}, port {})", member.pid, member.service_endpoint.port),
        None => "no server runs on this folder".into(),
    };
    for service in ["storage", "feeds"] {
        for member in Registry::open(&config.discovery.url)?.members(service)? {
            found.push_str(&format!("; a {service} service (process {}, port {})", member.pid, member.service_endpoint.port));
        }
    }
    if config.storage.is_remote() {
        found.push_str(&format!("; storage is at {}", config.storage.url));
    }
    if config.feeds.is_remote() {
        found.push_str(&format!("; feeds are at {}", config.feeds.url));
    }
    Ok(Check { what: "server", found, problems: Vec::new() })
}

async fn storage(app: &App) -> Check {
    let mut problems = app.storage.check().await.unwrap_or_else(|error| vec![format!("The store can't be checked: {error}")]);
    let found = match app.storage.stats().await {
        Ok(stats) => {
            if stats.outbox > OUTBOX_MAX {
                problems.push(format!(
                    "{} events wait in the outbox: no server has relayed them. Start one, and look at its log.",
                    stats.outbox
                ));
            }
            let rows: u64 = stats.tables.iter().map(|(_, rows)| rows).sum();
            format!("{rows} rows, {:.1} MiB", (stats.file_bytes + stats.wal_bytes) as f64 / f64::from(1 << 20))
        }
        Err(error) => {
            problems.push(format!(
                "The store can't be read: {error}. Look at the disk, or at the storage service; if it is damaged, restore the last backup."
            ));
            String::new()
        }
    };
    Check { what: "storage", found, problems }
}

/// Nodes of a shared cache: the site runs without them, slower.
async fn cache(config: &Config) -> Check {
    let mut problems = Vec::new();
    let found = match config.cache.url.starts_with("memcached:") {
        false => "in this process".to_owned(),
        true => match cache::check_address(&config.cache.url).await {
            Ok(checked) => {
                let mut versions = Vec::new();
                for cache::Checked { node, outcome } in checked {
                    match outcome {
                        Ok(version) => versions.push(format!("{node} ({version})")),
                        Err(why) => problems.push(format!(
                            "The cache node {node} is of no use: {why}. Start it, or take it out of cache.url of all processes."
                        )),
                    }
                }
                format!("memcached at {}", if versions.is_empty() { "no node".to_owned() } else { versions.join(", ") })
            }
            Err(error) => {
                problems.push(error.to_string());
                String::new()
            }
        },
    };
    Check { what: "cache", found, problems }
}

/// Asks a feeds service whether it has everything.
async fn feeds_elsewhere(config: &Config) -> Check {
    let asked = async {
        let feeds = crate::wiring::open_feeds(config, &config.feeds.url, runtime::SystemClock::shared())?;
        let stats = feeds.stats().await?;
        feeds.public(feeds::PublicFeed::Everything, None, 1).await?;
        anyhow::Ok(stats)
    };
    match asked.await {
        Ok(stats) => {
            let found =
                format!("served by {}: {} people, {} edges, {} feeds in memory", config.feeds.url, stats.users, stats.edges, stats.feeds);
            Check { what: "feeds", found, problems: Vec::new() }
        }
        Err(error) => {
            let problem = format!(
                "{error}. Start it with --roles feeds, or look at the way to it and at feeds.caller; the site reads feeds from storage until then, which is slower."
            );
            Check { what: "feeds", found: format!("at {}", config.feeds.url), problems: vec![problem] }
        }
    }
}

/// Compares what the feeds' Redis does with what the configuration says.
async fn feeds(config: &Config) -> Check {
    let what = "feeds";
    if config.feeds.is_remote() {
        return feeds_elsewhere(config).await;
    }
    if !config.feeds.url.starts_with("redis://") {
        let kept = if config.feeds.url.contains("snapshot=") { "with a snapshot" } else { "nothing of them is kept" };
        return Check { what, found: format!("in the server's memory, {kept}"), problems: Vec::new() };
    }
    let wanted = match config.feeds.persistence.parse::<feeds::Persistence>() {
        Ok(wanted) => wanted,
        Err(error) => return Check { what, found: String::new(), problems: vec![error.to_string()] },
    };
    match feeds::survey(&config.feeds.url).await {
        Ok(servers) => {
            let found = servers.iter().map(|server| format!("Redis {} at {}: {}", server.version, server.address, server.loss()));
            let problems = servers.iter().flat_map(|server| server.problems(wanted)).collect();
            Check { what, found: found.collect::<Vec<_>>().join("; "), problems }
        }
        Err(error) => {
            let problem =
                format!("{error}. Start it, or look at the way to it; the site reads feeds from storage until then, which is slower.");
            Check { what, found: String::new(), problems: vec![problem] }
        }
    }
}

async fn audit(app: &App) -> Check {
    let (mut entries, mut problems) = (0, Vec::new());
    for shard in 0..model::id::SHARD_COUNT {
        match app.storage.audit_verify(Shard(shard)).await {
            Ok(count) => entries += count,
            Err(error) => problems.push(format!("shard {shard}: {error}")),
        }
    }
    Check { what: "audit", found: format!("{entries} entries, chained"), problems }
}

/// Checks that the bytes of every picture that storage knows are there.
async fn pictures(app: &App) -> Check {
    let (mut after, mut count, mut problems) = (None, 0usize, Vec::new());
    while count < PICTURES_MAX {
        let images = match app.storage.scan::<Image>(after, STEP).await {
            Ok(images) => images,
            Err(error) => {
                problems.push(format!("Pictures can't be listed: {error}"));
                break;
            }
        };
        let Some(last) = images.last() else { break };
        after = Some(last.id);
        for image in images.iter().filter(|image| image.active && image.data.deleting_since.is_none()) {
            count += 1;
            let there = match image.data.picture.hash.parse::<Hash>() {
                Ok(hash) => app.media.contains(hash).await.unwrap_or(false),
                Err(_) => false,
            };
            if !there {
                problems.push(format!(
                    "The bytes of picture {} are missing: restore media/ from a backup, or upload the picture again.",
                    image.data.picture.hash
                ));
            }
        }
    }
    Check { what: "pictures", found: format!("{count} pictures"), problems }
}

async fn jobs(app: &App) -> Check {
    let mut problems = app.jobs.check().await.unwrap_or_else(|error| vec![format!("The jobs can't be checked: {error}")]);
    let found = match app.jobs.queues().await {
        Ok(queues) => {
            for queue in &queues {
                let failed = queue.count(::jobs::State::Failed);
                if failed > 0 {
                    problems.push(format!(
                        "{failed} jobs of {} failed for good: look at /admin/jobs, mend the cause and retry them.",
                        queue.name
                    ));
                }
            }
            format!("{} queues", queues.len())
        }
        Err(error) => {
            problems.push(format!("The queues can't be read: {error}"));
            String::new()
        }
    };
    Check { what: "jobs", found, problems }
}

async fn events(app: &App) -> Check {
    match app.events.lag().await {
        Ok(lag) => {
            let furthest = lag.iter().map(|group| group.end - group.committed).max().unwrap_or(0);
            Check { what: "events", found: format!("{} consumer groups, furthest behind by {furthest}", lag.len()), problems: Vec::new() }
        }
        Err(error) => Check { what: "events", found: String::new(), problems: vec![format!("The log can't be read: {error}")] },
    }
}

async fn mail(config: &Config) -> Check {
    let url = &config.mail.url;
    let mut problems = Vec::new();
    let found = match url.split_once(':') {
        Some(("file", folder)) => {
            let probe = std::path::Path::new(folder).join(".probe");
            if let Err(error) =
                std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b"")).and_then(|()| std::fs::remove_file(&probe))
            {
                problems.push(format!("Mail can't be written to {folder}: {error}"));
            }
            format!("is written to {folder}, not sent; set mail.url to send it")
        }
        _ => "is sent by SMTP".into(),
    };
    Check { what: "mail", found, problems }
}
