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

pub(crate) const CALL_SECONDS: &str = "feeds_call_seconds";
pub(crate) const ERRORS_COUNT: &str = "feeds_errors_count";
pub(crate) const CHANGES_COUNT: &str = "feeds_changes_count";
pub(crate) const PUSHES_COUNT: &str = "feeds_pushes_count";
pub(crate) const HOME_ABSENT_COUNT: &str = "feeds_home_absent_count";
pub(crate) const HOME_STORAGE_COUNT: &str = "feeds_home_storage_count";
pub(crate) const FILLS_REFUSED_COUNT: &str = "feeds_fills_refused_count";
pub(crate) const SNAPSHOTS_BROKEN_COUNT: &str = "feeds_snapshots_broken_count";
pub(crate) const SNAPSHOT_BYTES: &str = "feeds_snapshot_bytes";
pub(crate) const SWEPT_PINS_COUNT: &str = "feeds_swept_pins_count";

/// All metrics of this crate.
pub const METRICS: [Metric; 10] = [
    Metric { name: CALL_SECONDS, kind: Kind::Histogram, description: "Time of one call, by call." },
    Metric { name: ERRORS_COUNT, kind: Kind::Counter, description: "Calls that failed, by call." },
    Metric { name: CHANGES_COUNT, kind: Kind::Counter, description: "Changes of graph and pins that were applied." },
    Metric { name: PUSHES_COUNT, kind: Kind::Counter, description: "Entries that publishing offered to home feeds in memory." },
    Metric { name: HOME_ABSENT_COUNT, kind: Kind::Counter, description: "Home pages asked for without a feed in memory." },
    Metric { name: HOME_STORAGE_COUNT, kind: Kind::Counter, description: "Home pages that reached the end of memory." },
    Metric {
        name: FILLS_REFUSED_COUNT,
        kind: Kind::Counter,
        description: "Rebuilt feeds not taken because the graph widened while they were built.",
    },
    Metric { name: SNAPSHOTS_BROKEN_COUNT, kind: Kind::Counter, description: "Snapshots that could not be read; the feeds were rebuilt." },
    Metric { name: SNAPSHOT_BYTES, kind: Kind::Gauge, description: "Size of the last snapshot." },
    Metric { name: SWEPT_PINS_COUNT, kind: Kind::Counter, description: "Pins forgotten because no list held them any more." },
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
            assert!(metric.name.starts_with("feeds_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
