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

pub(crate) const READ_SECONDS: &str = "search_read_seconds";
pub(crate) const READ_FAILURES_TOTAL: &str = "search_read_failures_total";
pub(crate) const EMPTY_PAGES_TOTAL: &str = "search_empty_pages_total";
pub(crate) const COMMIT_SECONDS: &str = "search_commit_seconds";
pub(crate) const COMMITTED_CHANGES_TOTAL: &str = "search_committed_changes_total";
pub(crate) const COMMIT_FAILURES_TOTAL: &str = "search_commit_failures_total";
pub(crate) const PENDING_CHANGES: &str = "search_pending_changes";

/// All metrics of this crate.
pub const METRICS: [Metric; 7] = [
    Metric { name: READ_SECONDS, kind: Kind::Histogram, description: "Time of one call that reads, by call; waiting included." },
    Metric { name: READ_FAILURES_TOTAL, kind: Kind::Counter, description: "Calls that read and failed, by call and reason." },
    Metric { name: EMPTY_PAGES_TOTAL, kind: Kind::Counter, description: "Searches that found nothing at all." },
    Metric { name: COMMIT_SECONDS, kind: Kind::Histogram, description: "Time of one commit of the index." },
    Metric { name: COMMITTED_CHANGES_TOTAL, kind: Kind::Counter, description: "Documents put or removed, and visible." },
    Metric { name: COMMIT_FAILURES_TOTAL, kind: Kind::Counter, description: "Commits that failed and are tried again, by reason." },
    Metric { name: PENDING_CHANGES, kind: Kind::Gauge, description: "Documents put or removed that wait for their commit." },
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
            assert!(metric.name.starts_with("search_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
