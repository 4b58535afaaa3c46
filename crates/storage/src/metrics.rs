//! Every metric of this crate, with its unit and what it tells.

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

pub(crate) const CALL_SECONDS: &str = "storage_call_seconds";
pub(crate) const ERRORS_TOTAL: &str = "storage_errors_total";
pub(crate) const WRITE_OPS: &str = "storage_write_ops";
pub(crate) const IDS_RESERVED_TOTAL: &str = "storage_ids_reserved_total";
pub(crate) const CLAIMS_SWEPT_TOTAL: &str = "storage_claims_swept_total";

/// All metrics of this crate.
pub const METRICS: [Metric; 5] = [
    Metric {
        name: CALL_SECONDS,
        kind: Kind::Histogram,
        unit: metrics::Unit::Seconds,
        description: "Time of one call, by `call`, the wait for the disk included.",
    },
    Metric {
        name: ERRORS_TOTAL,
        kind: Kind::Counter,
        unit: metrics::Unit::Count,
        description: "Calls that were refused or failed, by `call` and `reason`.",
    },
    Metric { name: WRITE_OPS, kind: Kind::Histogram, unit: metrics::Unit::Count, description: "Operations in one written batch." },
    Metric {
        name: IDS_RESERVED_TOTAL,
        kind: Kind::Counter,
        unit: metrics::Unit::Count,
        description: "Ids reserved in the engine, used or not.",
    },
    Metric {
        name: CLAIMS_SWEPT_TOTAL,
        kind: Kind::Counter,
        unit: metrics::Unit::Count,
        description: "Unconfirmed claims of names that were freed because their owner does not exist.",
    },
];

/// Tells the recorder about all metrics of this crate. Called once by the binary.
pub fn describe() {
    sqlite::describe_metrics();
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.description),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.description),
        }
    }
}
