//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const CALL_SECONDS: &str = "storage_call_seconds";
pub(crate) const ERRORS_TOTAL: &str = "storage_errors_total";
pub(crate) const WRITE_OPS: &str = "storage_write_ops";
pub(crate) const IDS_RESERVED_TOTAL: &str = "storage_ids_reserved_total";
pub(crate) const CLAIMS_SWEPT_TOTAL: &str = "storage_claims_swept_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(CALL_SECONDS, "Time of one call, by `call`, the wait for the disk included."),
    Metric::counter(ERRORS_TOTAL, "Calls that were refused or failed, by `call` and `reason`."),
    Metric::histogram(WRITE_OPS, "Operations in one written batch."),
    Metric::counter(IDS_RESERVED_TOTAL, "Ids reserved in the engine, used or not."),
    Metric::counter(CLAIMS_SWEPT_TOTAL, "Unconfirmed claims of names that were freed because their owner does not exist."),
];
