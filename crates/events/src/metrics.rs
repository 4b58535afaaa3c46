//! Every metric of this crate, with its unit and what it tells.

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric as it is listed in documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub description: &'static str,
}

pub(crate) const APPENDED_COUNT: &str = "events_appended_count";
pub(crate) const EMITTED_COUNT: &str = "events_emitted_count";
pub(crate) const DROPPED_COUNT: &str = "events_dropped_count";
pub(crate) const SPOOLED_COUNT: &str = "events_spooled_count";
pub(crate) const SPOOL_BYTES: &str = "events_spool_bytes";
pub(crate) const CALL_SECONDS: &str = "events_call_seconds";
pub(crate) const FAILURES_COUNT: &str = "events_failures_count";
pub(crate) const CONSUMED_COUNT: &str = "events_consumed_count";
pub(crate) const LAG_COUNT: &str = "events_lag_count";

/// All metrics of this crate.
pub const METRICS: [Metric; 9] = [
    Metric { name: APPENDED_COUNT, kind: Kind::Counter, description: "Events handed to the log, repeated ones included." },
    Metric { name: EMITTED_COUNT, kind: Kind::Counter, description: "Events put into the buffer." },
    Metric {
        name: DROPPED_COUNT,
        kind: Kind::Counter,
        description: "Events lost, by reason: buffer_full, spool_full, too_large, spool_failed.",
    },
    Metric { name: SPOOLED_COUNT, kind: Kind::Counter, description: "Events put on disk because the log was away." },
    Metric { name: SPOOL_BYTES, kind: Kind::Gauge, description: "Bytes on disk that wait for the log." },
    Metric { name: CALL_SECONDS, kind: Kind::Histogram, description: "Time of one call of the engine, by call." },
    Metric { name: FAILURES_COUNT, kind: Kind::Counter, description: "Calls of the engine that failed, by call." },
    Metric { name: CONSUMED_COUNT, kind: Kind::Counter, description: "Records handed to consumers, by group and topic." },
    Metric {
        name: LAG_COUNT,
        kind: Kind::Gauge,
        description: "Records that a group has not committed, by group and topic; set when asked for.",
    },
];

/// Tells the recorder about all metrics of this crate. Called once by the binary.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.description),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.description),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metrics::Unit::Seconds, metric.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_start_with_the_crate_and_are_unique() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(metric.name.starts_with("events_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
