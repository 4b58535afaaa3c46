//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const INGESTS_TOTAL: &str = "media_ingests_total";
pub(crate) const INGEST_SECONDS: &str = "media_ingest_seconds";
pub(crate) const REFUSALS_TOTAL: &str = "media_refusals_total";
pub(crate) const RENDITIONS_MADE_TOTAL: &str = "media_renditions_made_total";
pub(crate) const RENDER_SECONDS: &str = "media_render_seconds";
pub(crate) const RENDITION_REQUESTS_TOTAL: &str = "media_rendition_requests_total";
pub(crate) const WAITING: &str = "media_waiting";
pub(crate) const ENGINE_ERRORS_TOTAL: &str = "media_engine_errors_total";
pub(crate) const FETCHES_TOTAL: &str = "media_fetches_total";
pub(crate) const FETCH_SECONDS: &str = "media_fetch_seconds";
pub(crate) const FETCHED_BYTES_TOTAL: &str = "media_fetched_bytes_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::counter(INGESTS_TOTAL, "Pictures taken in, by outcome: stored, duplicate, refused, failed."),
    Metric::histogram(INGEST_SECONDS, "Time to take in one picture, waiting included."),
    Metric::counter(REFUSALS_TOTAL, "Files refused, by reason."),
    Metric::counter(RENDITIONS_MADE_TOTAL, "Renditions made and stored."),
    Metric::histogram(RENDER_SECONDS, "Time to make the missing renditions of one picture, without waiting."),
    Metric::counter(RENDITION_REQUESTS_TOTAL, "Renditions asked for, by outcome: stored, made, absent, failed."),
    Metric::gauge(WAITING, "Pictures waiting for a core or for memory."),
    Metric::counter(ENGINE_ERRORS_TOTAL, "Calls of the picture store that failed."),
    Metric::counter(FETCHES_TOTAL, "Foreign URLs fetched, by outcome: fetched, or the reason of the failure."),
    Metric::histogram(FETCH_SECONDS, "Time to fetch one foreign URL over all of its redirects."),
    Metric::counter(FETCHED_BYTES_TOTAL, "Bytes fetched from foreign URLs, after decompression."),
];
