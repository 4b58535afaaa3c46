//! Every metric of this crate, with its unit and what it tells. Each is labelled `file` with the file's name.

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Histogram,
}

/// A metric as it is listed in documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: metrics::Unit,
    pub description: &'static str,
}

pub(crate) const COMMIT_SECONDS: &str = "sqlite_commit_seconds";
pub(crate) const GROUP_WRITES: &str = "sqlite_group_writes";
pub(crate) const COMMIT_FAILURES_TOTAL: &str = "sqlite_commit_failures_total";

/// All metrics of this crate.
pub const METRICS: [Metric; 3] = [
    Metric {
        name: COMMIT_SECONDS,
        kind: Kind::Histogram,
        unit: metrics::Unit::Seconds,
        description: "Time of one COMMIT: its fsync, and now and then a checkpoint.",
    },
    Metric {
        name: GROUP_WRITES,
        kind: Kind::Histogram,
        unit: metrics::Unit::Count,
        description: "Writes that shared one COMMIT and so one fsync.",
    },
    Metric {
        name: COMMIT_FAILURES_TOTAL,
        kind: Kind::Counter,
        unit: metrics::Unit::Count,
        description: "Transactions that could not be begun or committed.",
    },
];

/// Tells the recorder about all metrics of this crate. Called once by the binary.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.description),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.description),
        }
    }
}
