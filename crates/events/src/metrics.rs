//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const APPENDED_TOTAL: &str = "events_appended_total";
pub(crate) const EMITTED_TOTAL: &str = "events_emitted_total";
pub(crate) const DROPPED_TOTAL: &str = "events_dropped_total";
pub(crate) const SPOOLED_TOTAL: &str = "events_spooled_total";
pub(crate) const SPOOL_BYTES: &str = "events_spool_bytes";
pub(crate) const CALL_SECONDS: &str = "events_call_seconds";
pub(crate) const FAILURES_TOTAL: &str = "events_failures_total";
pub(crate) const CONSUMED_TOTAL: &str = "events_consumed_total";
pub(crate) const LAG_RECORDS: &str = "events_lag_records";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(APPENDED_TOTAL, "Events handed to the log, repeated ones included."),
    Metric::counter(EMITTED_TOTAL, "Events put into the buffer."),
    Metric::counter(DROPPED_TOTAL, "Events lost, by reason: buffer_full, spool_full, too_large, spool_failed."),
    Metric::counter(SPOOLED_TOTAL, "Events put on disk because the log was away."),
    Metric::gauge(SPOOL_BYTES, "Bytes on disk that wait for the log."),
    Metric::histogram(CALL_SECONDS, "Time of one call of the engine, by call."),
    Metric::counter(FAILURES_TOTAL, "Calls of the engine that failed, by call."),
    Metric::counter(CONSUMED_TOTAL, "Records handed to consumers, by group and topic."),
    Metric::gauge(LAG_RECORDS, "Records that a group has not committed, by group and topic; set when asked for."),
];
