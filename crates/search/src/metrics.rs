//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const READ_SECONDS: &str = "search_read_seconds";
pub(crate) const READ_FAILURES_TOTAL: &str = "search_read_failures_total";
pub(crate) const EMPTY_PAGES_TOTAL: &str = "search_empty_pages_total";
pub(crate) const COMMIT_SECONDS: &str = "search_commit_seconds";
pub(crate) const COMMITTED_CHANGES_TOTAL: &str = "search_committed_changes_total";
pub(crate) const COMMIT_FAILURES_TOTAL: &str = "search_commit_failures_total";
pub(crate) const PENDING_CHANGES: &str = "search_pending_changes";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(READ_SECONDS, "Time of one call that reads, by call; waiting included."),
    Metric::counter(READ_FAILURES_TOTAL, "Calls that read and failed, by call and reason."),
    Metric::counter(EMPTY_PAGES_TOTAL, "Searches that found nothing at all."),
    Metric::histogram(COMMIT_SECONDS, "Time of one commit of the index."),
    Metric::counter(COMMITTED_CHANGES_TOTAL, "Documents put or removed, and visible."),
    Metric::counter(COMMIT_FAILURES_TOTAL, "Commits that failed and are tried again, by reason."),
    Metric::gauge(PENDING_CHANGES, "Documents put or removed that wait for their commit."),
];
