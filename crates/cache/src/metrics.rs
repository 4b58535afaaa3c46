//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const HITS_TOTAL: &str = "cache_hits_total";
pub(crate) const MISSES_TOTAL: &str = "cache_misses_total";
pub(crate) const REFILLS_TOTAL: &str = "cache_refills_total";
pub(crate) const REFILL_FAILURES_TOTAL: &str = "cache_refill_failures_total";
pub(crate) const STAMPEDES_AVOIDED_TOTAL: &str = "cache_stampedes_avoided_total";
pub(crate) const STALE_REFILLS_TOTAL: &str = "cache_stale_refills_total";
pub(crate) const ENGINE_HITS_TOTAL: &str = "cache_engine_hits_total";
pub(crate) const ENGINE_ERRORS_TOTAL: &str = "cache_engine_errors_total";
pub(crate) const BYTES: &str = "cache_bytes";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(HITS_TOTAL, "Objects and values that were answered from memory."),
    Metric::counter(MISSES_TOTAL, "Objects and values that were not in memory."),
    Metric::counter(REFILLS_TOTAL, "Objects and values that were loaded."),
    Metric::counter(REFILL_FAILURES_TOTAL, "Loads that failed."),
    Metric::counter(STAMPEDES_AVOIDED_TOTAL, "Loads saved because another caller was at it."),
    Metric::counter(STALE_REFILLS_TOTAL, "Objects not kept because a newer version had been written."),
    Metric::counter(ENGINE_HITS_TOTAL, "Objects answered by the second level."),
    Metric::counter(ENGINE_ERRORS_TOTAL, "Calls of the second level that failed; they counted as misses."),
    Metric::gauge(BYTES, "Bytes of the objects in memory, estimated."),
];
