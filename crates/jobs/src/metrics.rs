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

pub(crate) const ENQUEUED_COUNT: &str = "jobs_enqueued_count";
pub(crate) const CLAIMED_COUNT: &str = "jobs_claimed_count";
pub(crate) const ACKED_COUNT: &str = "jobs_acked_count";
pub(crate) const LATE_ACKS_COUNT: &str = "jobs_late_acks_count";
pub(crate) const TIMED_OUT_COUNT: &str = "jobs_timed_out_count";
pub(crate) const RUNS_COUNT: &str = "jobs_runs_count";
pub(crate) const RUN_SECONDS: &str = "jobs_run_seconds";
pub(crate) const WAIT_SECONDS: &str = "jobs_wait_seconds";
pub(crate) const DEPTH_COUNT: &str = "jobs_depth_count";
pub(crate) const CALL_SECONDS: &str = "jobs_call_seconds";
pub(crate) const FAILURES_COUNT: &str = "jobs_failures_count";

/// All metrics of this crate.
pub const METRICS: [Metric; 11] = [
    Metric { name: ENQUEUED_COUNT, kind: Kind::Counter, description: "Jobs enqueued, by queue; those known by their key included." },
    Metric { name: CLAIMED_COUNT, kind: Kind::Counter, description: "Jobs handed out, by queue." },
    Metric { name: ACKED_COUNT, kind: Kind::Counter, description: "Acks accepted, by outcome: succeeded, failed, failed_permanently." },
    Metric { name: LATE_ACKS_COUNT, kind: Kind::Counter, description: "Acks whose claim had ended; they changed nothing." },
    Metric { name: TIMED_OUT_COUNT, kind: Kind::Counter, description: "Jobs whose lease ran out." },
    Metric {
        name: RUNS_COUNT,
        kind: Kind::Counter,
        description: "Runs of handlers, by queue and outcome: succeeded, failed, failed_permanently, panicked, too_long, given_back, lost.",
    },
    Metric { name: RUN_SECONDS, kind: Kind::Histogram, description: "Time that a handler took, by queue." },
    Metric {
        name: WAIT_SECONDS,
        kind: Kind::Histogram,
        description: "Time from when a job could have run until it was claimed, by queue.",
    },
    Metric { name: DEPTH_COUNT, kind: Kind::Gauge, description: "Jobs by queue and state; set when the queues are listed." },
    Metric { name: CALL_SECONDS, kind: Kind::Histogram, description: "Time of one call of the engine, by call." },
    Metric { name: FAILURES_COUNT, kind: Kind::Counter, description: "Calls of the engine that failed, by call." },
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
            assert!(metric.name.starts_with("jobs_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
