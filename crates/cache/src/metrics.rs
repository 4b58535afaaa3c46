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
pub(crate) const ENGINE_MISSES_TOTAL: &str = "cache_engine_misses_total";
pub(crate) const ENGINE_AWAY_TOTAL: &str = "cache_engine_away_total";
pub(crate) const ENGINE_REFUSED_TOTAL: &str = "cache_engine_refused_total";
pub(crate) const NEAR_RENEWED_TOTAL: &str = "cache_near_renewed_total";
pub(crate) const OTHERS_SILENT: &str = "cache_others_silent";
pub(crate) const NODE_ERRORS_TOTAL: &str = "cache_node_errors_total";
pub(crate) const NODES_EJECTED_TOTAL: &str = "cache_nodes_ejected_total";
pub(crate) const NODES_RETURNED_TOTAL: &str = "cache_nodes_returned_total";
pub(crate) const NODES_IN: &str = "cache_nodes_in";
pub(crate) const GENERATIONS_RAISED_TOTAL: &str = "cache_generations_raised_total";
pub(crate) const BYTES: &str = "cache_bytes";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(HITS_TOTAL, "Objects and values that were answered from memory."),
    Metric::counter(MISSES_TOTAL, "Objects and values that were not in memory."),
    Metric::counter(REFILLS_TOTAL, "Objects and values that were loaded."),
    Metric::counter(REFILL_FAILURES_TOTAL, "Loads that failed."),
    Metric::counter(STAMPEDES_AVOIDED_TOTAL, "Loads saved because another caller was at it."),
    Metric::counter(STALE_REFILLS_TOTAL, "Objects not kept because a newer version had been written."),
    Metric::counter(ENGINE_HITS_TOTAL, "Objects and values answered by the second level."),
    Metric::counter(ENGINE_ERRORS_TOTAL, "Calls of the second level that failed; they counted as misses."),
    Metric::counter(ENGINE_MISSES_TOTAL, "Objects and values that the second level did not have."),
    Metric::counter(
        ENGINE_AWAY_TOTAL,
        "Look-ups in the second level that nobody answered, because the nodes of their keys are out; they counted as misses.",
    ),
    Metric::counter(
        ENGINE_REFUSED_TOTAL,
        "Refills that the second level did not keep, because the key had been invalidated or filled meanwhile.",
    ),
    Metric::counter(NEAR_RENEWED_TOTAL, "Objects in memory that the second level has told to be still the newest."),
    Metric::gauge(OTHERS_SILENT, "1 while near copies are believed past their second, because no other process writes to storage."),
    Metric::counter(NODE_ERRORS_TOTAL, "Calls of a cache node that failed, by `node` and `reason`: late, lost, refused, busy."),
    Metric::counter(NODES_EJECTED_TOTAL, "Times that a cache node was put out after two failures in a row, by `node`."),
    Metric::counter(NODES_RETURNED_TOTAL, "Times that a cache node came back, by `node`."),
    Metric::gauge(NODES_IN, "Cache nodes that answer."),
    Metric::counter(
        GENERATIONS_RAISED_TOTAL,
        "Times that everything on a cache node was put out of reach because it had missed an invalidation, by `node`.",
    ),
    Metric::gauge(BYTES, "Bytes of the objects in memory, estimated."),
];
