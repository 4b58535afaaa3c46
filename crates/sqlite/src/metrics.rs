//! Every metric of this crate, with its unit and what it tells. Each is labelled `file` with the file's name.

use runtime::Metric;

pub(crate) const COMMIT_SECONDS: &str = "sqlite_commit_seconds";
pub(crate) const GROUP_WRITES: &str = "sqlite_group_writes";
pub(crate) const COMMIT_FAILURES_TOTAL: &str = "sqlite_commit_failures_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(COMMIT_SECONDS, "Time of one COMMIT: its fsync, and now and then a checkpoint."),
    Metric::histogram(GROUP_WRITES, "Writes that shared one COMMIT and so one fsync."),
    Metric::counter(COMMIT_FAILURES_TOTAL, "Transactions that could not be begun or committed."),
];
