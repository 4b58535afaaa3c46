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

pub(crate) const INGESTS_TOTAL: &str = "media_ingests_total";
pub(crate) const INGEST_SECONDS: &str = "media_ingest_seconds";
pub(crate) const REFUSALS_TOTAL: &str = "media_refusals_total";
pub(crate) const RENDITIONS_MADE_TOTAL: &str = "media_renditions_made_total";
pub(crate) const RENDER_SECONDS: &str = "media_render_seconds";
pub(crate) const RENDITION_REQUESTS_TOTAL: &str = "media_rendition_requests_total";
pub(crate) const WAITING_COUNT: &str = "media_waiting_count";
pub(crate) const ENGINE_ERRORS_TOTAL: &str = "media_engine_errors_total";
pub(crate) const FETCHES_TOTAL: &str = "media_fetches_total";
pub(crate) const FETCH_SECONDS: &str = "media_fetch_seconds";
pub(crate) const FETCHED_BYTES_TOTAL: &str = "media_fetched_bytes_total";

/// All metrics of this crate.
pub const METRICS: [Metric; 11] = [
    Metric { name: INGESTS_TOTAL, kind: Kind::Counter, description: "Pictures taken in, by outcome: stored, duplicate, refused, failed." },
    Metric { name: INGEST_SECONDS, kind: Kind::Histogram, description: "Time to take in one picture, waiting included." },
    Metric { name: REFUSALS_TOTAL, kind: Kind::Counter, description: "Files refused, by reason." },
    Metric { name: RENDITIONS_MADE_TOTAL, kind: Kind::Counter, description: "Renditions made and stored." },
    Metric {
        name: RENDER_SECONDS,
        kind: Kind::Histogram,
        description: "Time to make the missing renditions of one picture, without waiting.",
    },
    Metric {
        name: RENDITION_REQUESTS_TOTAL,
        kind: Kind::Counter,
        description: "Renditions asked for, by outcome: stored, made, absent, failed.",
    },
    Metric { name: WAITING_COUNT, kind: Kind::Gauge, description: "Pictures waiting for a core or for memory." },
    Metric { name: ENGINE_ERRORS_TOTAL, kind: Kind::Counter, description: "Calls of the picture store that failed." },
    Metric {
        name: FETCHES_TOTAL,
        kind: Kind::Counter,
        description: "Foreign URLs fetched, by outcome: fetched, or the reason of the failure.",
    },
    Metric { name: FETCH_SECONDS, kind: Kind::Histogram, description: "Time to fetch one foreign URL over all of its redirects." },
    Metric { name: FETCHED_BYTES_TOTAL, kind: Kind::Counter, description: "Bytes fetched from foreign URLs, after decompression." },
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
            assert!(metric.name.starts_with("media_"), "{}", metric.name);
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}
