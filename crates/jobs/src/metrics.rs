//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const ENQUEUED_TOTAL: &str = "jobs_enqueued_total";
pub(crate) const CLAIMED_TOTAL: &str = "jobs_claimed_total";
pub(crate) const ACKED_TOTAL: &str = "jobs_acked_total";
pub(crate) const LATE_ACKS_TOTAL: &str = "jobs_late_acks_total";
pub(crate) const TIMED_OUT_TOTAL: &str = "jobs_timed_out_total";
pub(crate) const RUNS_TOTAL: &str = "jobs_runs_total";
pub(crate) const RUN_SECONDS: &str = "jobs_run_seconds";
pub(crate) const WAIT_SECONDS: &str = "jobs_wait_seconds";
pub(crate) const DEPTH: &str = "jobs_depth";
pub(crate) const CALL_SECONDS: &str = "jobs_call_seconds";
pub(crate) const FAILURES_TOTAL: &str = "jobs_failures_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(ENQUEUED_TOTAL, "Jobs enqueued, by queue; those known by their key included."),
    Metric::counter(CLAIMED_TOTAL, "Jobs handed out, by queue."),
    Metric::counter(ACKED_TOTAL, "Acks accepted, by outcome: succeeded, failed, failed_permanently."),
    Metric::counter(LATE_ACKS_TOTAL, "Acks whose claim had ended; they changed nothing."),
    Metric::counter(TIMED_OUT_TOTAL, "Jobs whose lease ran out."),
    Metric::counter(
        RUNS_TOTAL,
        "Runs of handlers, by queue and outcome: succeeded, failed, failed_permanently, panicked, too_long, given_back, lost.",
    ),
    Metric::histogram(RUN_SECONDS, "Time that a handler took, by queue."),
    Metric::histogram(WAIT_SECONDS, "Time from when a job could have run until it was claimed, by queue."),
    Metric::gauge(DEPTH, "Jobs by queue and state; set when the queues are listed."),
    Metric::histogram(CALL_SECONDS, "Time of one call of the engine, by call."),
    Metric::counter(FAILURES_TOTAL, "Calls of the engine that failed, by call."),
];
