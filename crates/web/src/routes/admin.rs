//! `/admin…`: the state of the site, its queues, errors and sizes. Reports and people are in `moderation.rs`.

use std::collections::BTreeMap;

use app::{Error, What};
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use jobs::{JobId, JobSnapshot, QueueOptions, QueueStatus, State as JobState};
use model::Timestamp;
use runtime::PartState;
use serde_json::json;

use super::address::At;
use crate::context::{Context, FlashNote};
use crate::present;
use crate::respond::{Answer, Told, frame, page, redirect_with};
use crate::server::{LiveError, Web};
use crate::view::admin::{
    AdminErrors, AdminJobs, AdminOverview, AdminStorage, ErrorRow, FailedJob, Number, PartRow, QueueRow, Rate, TableRow,
};
use crate::view::page::{Nav, Page};
use crate::view::ui::short;

/// Kinds of events with a plot of their own; the rest is in the metrics.
const RATES_SHOWN: usize = 8;
/// Failed jobs shown, the newest of all queues.
const FAILED_SHOWN: usize = 50;
/// Failed jobs of one queue that are looked through for the newest ones.
const FAILED_LOOKED_AT_MAX: usize = 2_000;
const SCAN_STEP: usize = 200;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/admin", get(overview))
        .route("/admin/live.json", get(live))
        .route("/admin/jobs", get(jobs_page))
        .route("/admin/jobs/{queue}/pause", post(pause))
        .route("/admin/jobs/{queue}/resume", post(resume))
        .route("/admin/jobs/{queue}/retry", post(retry))
        .route("/admin/errors", get(errors_page))
        .route("/admin/storage", get(storage_page))
}

/// Makes the frame of a page for admins.
pub async fn admin_frame(web: &Web, context: &Context, title: &str) -> Page {
    let mut page = frame(web, context, title, Nav::Elsewhere).await;
    page.unlisted = true;
    page
}

async fn overview(State(web): State<Web>, context: Context) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let mut frame = admin_frame(&web, &context, "Admin").await;
    let (numbers, missing) = numbers(&web).await;
    frame.notices.extend(missing);
    let parts = web.health.parts().into_iter().map(|(name, state)| PartRow {
        ready: matches!(state, PartState::Up),
        detail: if state.reason().is_empty() { state.as_str().to_owned() } else { format!("{}: {}", state.as_str(), state.reason()) },
        name,
    });
    let view = AdminOverview {
        page: frame,
        alerts: alerts(&web, &context).await.told(&web, &context)?,
        parts: parts.collect(),
        rates: rates(&web),
        numbers,
    };
    Ok(page(&context, &view))
}

/// Lists what needs somebody, with where to look.
async fn alerts(web: &Web, context: &Context) -> app::Result<Vec<(String, String)>> {
    let mut alerts = Vec::new();
    for (name, state) in web.health.parts() {
        if !matches!(state, PartState::Up) {
            alerts.push((format!("{name} is {}.", state.as_str()), "/admin".into()));
        }
    }
    let open = web.app.reports(&context.viewer, false, &app::hydrate::PageRequest::first(model::limits::PAGE_SIZE_MAX)).await?;
    match (open.items.len(), open.bookmark.is_some()) {
        (0, _) => {}
        (1, _) => alerts.push(("1 report waits for a decision.".into(), "/admin/reports".into())),
        (n, more) => alerts.push((format!("{n}{} reports wait for a decision.", if more { "+" } else { "" }), "/admin/reports".into())),
    }
    match web.app.open_appeals().await? {
        0 => {}
        1 => alerts.push(("1 appeal waits for a decision.".into(), "/admin/takedowns?state=appealed".into())),
        n => alerts.push((format!("{n} appeals wait for a decision."), "/admin/takedowns?state=appealed".into())),
    }
    for queue in web.app.jobs.queues().await? {
        let failed = queue.count(JobState::Failed);
        if failed > 0 {
            alerts.push((format!("{failed} failed in the queue {}.", queue.name), "/admin/jobs".into()));
        }
        if queue.is_paused() {
            alerts.push((format!("The queue {} is paused.", queue.name), "/admin/jobs".into()));
        }
    }
    Ok(alerts)
}

fn number(key: &str, label: &str, value: String) -> Number {
    Number { key: key.into(), label: label.into(), value }
}

/// Reads numbers that cost little, with a sentence for every part that is away.
async fn numbers(web: &Web) -> (Vec<Number>, Vec<String>) {
    let (mut numbers, mut missing) = (Vec::new(), Vec::new());
    match web.app.people_count().await {
        Ok(people) => numbers.push(number("people", "People", short(&people))),
        Err(error) => missing.push(format!("People were not counted: {error}")),
    }
    match web.app.search.stats().await {
        Ok(stats) => {
            numbers.push(number("search.documents", "Can be found", short(&stats.documents)));
            numbers.push(number("search.pending", "Waiting for the index", short(&stats.pending)));
            numbers.push(number("search.bytes", "Index", bytes_text(stats.bytes)));
        }
        Err(error) => missing.push(format!("Search gave no numbers: {error}")),
    }
    match web.app.feeds.stats().await {
        Ok(stats) => {
            numbers.push(number("feeds.feeds", "Home feeds", short(&stats.feeds)));
            numbers.push(number("feeds.edges", "Follows", short(&stats.edges)));
            numbers.push(number("feeds.bytes", "Feeds in memory", bytes_text(stats.bytes_estimate)));
        }
        Err(error) => missing.push(format!("The feeds gave no numbers: {error}")),
    }
    match web.app.media.usage().await {
        Ok(usage) => numbers.push(number("media.bytes", "Pictures", bytes_text(usage.bytes))),
        Err(error) => missing.push(format!("Pictures were not counted: {error}")),
    }
    (numbers, missing)
}

fn rate_text(per_second: f64) -> String {
    if per_second >= 10.0 { format!("{per_second:.0}") } else { format!("{per_second:.2}") }
}

fn rates(web: &Web) -> Vec<Rate> {
    let live = web.live.snapshot();
    let points = |kind: &str| live.series.iter().find(|(of, _)| of == kind).map(|(_, points)| points.clone()).unwrap_or_default();
    let shown = live.rates.iter().take(RATES_SHOWN).map(|(kind, per_second)| Rate {
        key: format!("rate.{kind}"),
        label: kind.replace('_', " "),
        value: rate_text(*per_second),
        unit: "per second".into(),
        points: points(kind),
    });
    shown.collect()
}

/// Gives the pages of admins their present numbers, by the keys that stand in the pages.
async fn live(State(web): State<Web>, context: Context) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    texts.extend(numbers(&web).await.0.into_iter().map(|number| (number.key, number.value)));
    for rate in rates(&web) {
        texts.insert(rate.key.clone(), rate.value);
        series.insert(rate.key, rate.points);
    }
    for queue in web.app.jobs.queues().await.map_err(Error::from).told(&web, &context)? {
        for state in JobState::ALL {
            texts.insert(format!("jobs.{}.{}", queue.name, state.as_str()), queue.count(state).to_string());
        }
    }
    Ok(axum::Json(json!({ "numbers": texts, "series": series })).into_response())
}

fn queue_row(queue: &QueueStatus, now: Timestamp) -> QueueRow {
    QueueRow {
        name: queue.name.clone(),
        pending: queue.count(JobState::Pending),
        in_progress: queue.count(JobState::InProgress),
        succeeded: queue.count(JobState::Succeeded),
        failed: queue.count(JobState::Failed),
        oldest: queue.oldest_pending_at.filter(|at| *at <= now).map(|at| span_text(now.since(at))).unwrap_or_default(),
        paused: queue.is_paused(),
    }
}

fn span_text(milliseconds: i64) -> String {
    let past = milliseconds.max(0);
    match past {
        _ if past < Timestamp::MINUTE => format!("{} s", past / 1_000),
        _ if past < Timestamp::HOUR => format!("{} min", past / Timestamp::MINUTE),
        _ if past < Timestamp::DAY => format!("{} h", past / Timestamp::HOUR),
        _ => format!("{} days", past / Timestamp::DAY),
    }
}

/// Reads the newest failed jobs of a queue. Queues are read from the oldest on.
async fn failed_of(web: &Web, queue: &str) -> app::Result<Vec<JobSnapshot>> {
    let mut failed: Vec<JobSnapshot> = Vec::new();
    let mut cursor: Option<JobId> = None;
    while failed.len() < FAILED_LOOKED_AT_MAX {
        let found = web.app.jobs.scan(queue, JobState::Failed, cursor, SCAN_STEP).await?;
        let Some(last) = found.last() else { break };
        cursor = Some(last.id);
        failed.extend(found);
    }
    Ok(failed.split_off(failed.len().saturating_sub(FAILED_SHOWN)))
}

async fn jobs_page(State(web): State<Web>, context: Context) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let now = web.app.now();
    let queues = web.app.jobs.queues().await.map_err(Error::from).told(&web, &context)?;
    let mut failed = Vec::new();
    for queue in queues.iter().filter(|queue| queue.count(JobState::Failed) > 0) {
        failed.extend(failed_of(&web, &queue.name).await.told(&web, &context)?);
    }
    failed.sort_by_key(|job| std::cmp::Reverse(job.finished_at));
    failed.truncate(FAILED_SHOWN);
    let failed = failed.into_iter().map(|job| FailedJob {
        name: format!("#{}", job.id.0),
        error: job.message.unwrap_or_default(),
        attempts: job.attempts_made,
        at: present::time(job.finished_at.unwrap_or(job.created_at), now),
        queue: job.queue,
    });
    let view = AdminJobs {
        page: admin_frame(&web, &context, "Jobs").await,
        queues: queues.iter().map(|queue| queue_row(queue, now)).collect(),
        failed: failed.collect(),
    };
    Ok(page(&context, &view))
}

/// Refuses queues that don't exist: changing one would make it.
async fn known_queue(web: &Web, context: &Context, queue: &str) -> app::Result<()> {
    context.viewer.require_admin()?;
    let known = web.app.jobs.queues().await?.iter().any(|status| status.name == queue);
    if known { Ok(()) } else { Err(Error::NotFound(What::Page)) }
}

async fn set_paused(web: &Web, context: &Context, queue: &str, paused: bool) -> Answer {
    let changed = async {
        known_queue(web, context, queue).await?;
        let rate = paused.then_some(0.0);
        web.app.jobs.create_queue(queue, QueueOptions { rate_limit_per_second: rate }).await.map_err(Error::from)
    };
    changed.await.told(web, context)?;
    let text = if paused { format!("The queue {queue} is paused.") } else { format!("The queue {queue} goes on.") };
    Ok(redirect_with("/admin/jobs", &FlashNote::done(text)))
}

async fn pause(State(web): State<Web>, context: Context, At(queue): At<String>) -> Answer {
    set_paused(&web, &context, &queue, true).await
}

async fn resume(State(web): State<Web>, context: Context, At(queue): At<String>) -> Answer {
    set_paused(&web, &context, &queue, false).await
}

async fn retry(State(web): State<Web>, context: Context, At(queue): At<String>) -> Answer {
    let retried = async {
        known_queue(&web, &context, &queue).await?;
        web.app.jobs.retry_failed(&queue).await.map_err(Error::from)
    };
    let count = retried.await.told(&web, &context)?;
    Ok(redirect_with("/admin/jobs", &FlashNote::done(format!("{count} of the queue {queue} will run again."))))
}

async fn errors_page(State(web): State<Web>, context: Context) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let now = web.app.now();
    let rows = grouped(web.live.snapshot().errors, now);
    let errors = rows.into_iter().map(|(error, count)| ErrorRow {
        at: present::time(error.at, now),
        role: error.kind,
        message: error.what,
        request_id: error.request_id,
        count,
    });
    let view = AdminErrors { page: admin_frame(&web, &context, "Errors").await, errors: errors.collect(), next_url: None };
    Ok(page(&context, &view))
}

/// Puts errors that say the same together: the newest of each, and how often it was in the last day; the newest first.
fn grouped(errors: Vec<LiveError>, now: Timestamp) -> Vec<(LiveError, u64)> {
    let mut groups: BTreeMap<(String, String), (LiveError, u64)> = BTreeMap::new();
    for error in errors {
        let is_of_today = now.since(error.at) < Timestamp::DAY;
        let (newest, count) = groups.entry((error.kind.clone(), error.what.clone())).or_insert_with(|| (error.clone(), 0));
        *count += u64::from(is_of_today);
        if error.at > newest.at {
            *newest = error;
        }
    }
    let mut rows: Vec<_> = groups.into_values().collect();
    rows.sort_by_key(|(error, _)| std::cmp::Reverse(error.at));
    rows
}

async fn storage_page(State(web): State<Web>, context: Context) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let stats = web.app.storage.stats().await.map_err(Error::from).told(&web, &context)?;
    let rows_total: u64 = stats.tables.iter().map(|(_, rows)| rows).sum();
    let mut sizes = vec![
        number("storage.file", "Database", bytes_text(stats.file_bytes)),
        number("storage.wal", "Its log", bytes_text(stats.wal_bytes)),
        number("storage.outbox", "Events on their way", short(&stats.outbox)),
    ];
    let mut frame = admin_frame(&web, &context, "Storage").await;
    let mut total = stats.file_bytes + stats.wal_bytes;
    match web.app.media.usage().await {
        Ok(usage) => {
            total += usage.bytes;
            sizes.push(number("media.bytes", "Pictures", bytes_text(usage.bytes)));
            sizes.push(number("media.objects", "Files of pictures", short(&usage.objects)));
        }
        Err(error) => frame.notices.push(format!("Pictures were not counted: {error}")),
    }
    let tables = stats.tables.into_iter().map(|(name, rows)| TableRow {
        name,
        rows,
        // The engine counts rows; bytes are known of the whole file only.
        bytes: String::new(),
        percent: u8::try_from((rows * 100).checked_div(rows_total).unwrap_or(0)).unwrap_or(100),
    });
    let view = AdminStorage { page: frame, tables: tables.collect(), media: sizes, total: bytes_text(total) };
    Ok(page(&context, &view))
}

/// Writes a size the way people read it: 512 B, 3.4 MiB.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_well() {
        for (bytes, text) in [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(bytes_text(bytes), text);
        }
        for (ms, text) in [(-5, "0 s"), (59_000, "59 s"), (60_000, "1 min"), (7_200_000, "2 h"), (3 * Timestamp::DAY, "3 days")] {
            assert_eq!(span_text(ms), text);
        }
    }

    #[test]
    fn the_same_error_is_one_row() {
        let now = Timestamp(10 * Timestamp::DAY);
        let error = |at: i64, what: &str| LiveError {
            at: Timestamp(at),
            kind: "worker".to_owned(),
            what: what.to_owned(),
            request_id: format!("r{at}"),
        };
        let rows = grouped(vec![error(5, "old"), error(now.0 - 10, "a"), error(now.0 - 20, "a"), error(7, "a")], now);
        let newest = format!("r{}", now.0 - 10);
        assert_eq!(
            rows.iter().map(|(error, count)| (error.at.0, error.what.as_str(), error.request_id.as_str(), *count)).collect::<Vec<_>>(),
            [(now.0 - 10, "a", newest.as_str(), 2), (5, "old", "r5", 0)]
        );
    }
}
