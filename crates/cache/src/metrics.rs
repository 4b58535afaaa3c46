//! Every metric of this crate, with its unit and what it tells.

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// A metric as it is listed in documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub description: &'static str,
}

pub(crate) const HITS_COUNT: &str = "cache_hits_count";
pub(crate) const MISSES_COUNT: &str = "cache_misses_count";
pub(crate) const REFILLS_COUNT: &str = "cache_refills_count";
pub(crate) const REFILL_FAILURES_COUNT: &str = "cache_refill_failures_count";
pub(crate) const STAMPEDES_AVOIDED_COUNT: &str = "cache_stampedes_avoided_count";
pub(crate) const STALE_REFILLS_COUNT: &str = "cache_stale_refills_count";
pub(crate) const ENGINE_HITS_COUNT: &str = "cache_engine_hits_count";
pub(crate) const ENGINE_ERRORS_COUNT: &str = "cache_engine_errors_count";
pub(crate) const BYTES: &str = "cache_bytes";

/// All metrics of this crate.
pub const METRICS: [Metric; 9] = [
    Metric { name: HITS_COUNT, kind: Kind::Counter, description: "Objects and values that were answered from memory." },
    Metric { name: MISSES_COUNT, kind: Kind::Counter, description: "Objects and values that were not in memory." },
    Metric { name: REFILLS_COUNT, kind: Kind::Counter, description: "Objects and values that were loaded." },
    Metric { name: REFILL_FAILURES_COUNT, kind: Kind::Counter, description: "Loads that failed." },
    Metric { name: STAMPEDES_AVOIDED_COUNT, kind: Kind::Counter, description: "Loads saved because another caller was at it." },
    Metric { name: STALE_REFILLS_COUNT, kind: Kind::Counter, description: "Objects not kept because a newer version had been written." },
    Metric { name: ENGINE_HITS_COUNT, kind: Kind::Counter, description: "Objects answered by the second level." },
    Metric {
        name: ENGINE_ERRORS_COUNT,
        kind: Kind::Counter,
        description: "Calls of the second level that failed; they counted as misses.",
    },
    Metric { name: BYTES, kind: Kind::Gauge, description: "Bytes of the objects in memory, estimated." },
];

/// Tells the recorder about all metrics of this crate. Called once by the binary.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.description),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_start_with_the_crate_and_are_unique() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(metric.name.starts_with("cache_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
