//! Every metric of this crate, with what it tells.

use runtime::Metric;

pub(crate) const REQUEST_SECONDS: &str = "web_request_seconds";
pub(crate) const REQUESTS_TOTAL: &str = "web_requests_total";
pub(crate) const RATE_LIMITED_TOTAL: &str = "web_rate_limited_total";
pub(crate) const CROSS_SITE_WRITES_REFUSED_TOTAL: &str = "web_cross_site_writes_refused_total";
pub(crate) const API_PANICS_TOTAL: &str = "web_api_panics_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(REQUEST_SECONDS, "Time of one request, by `route`."),
    Metric::counter(REQUESTS_TOTAL, "Requests, by `status`."),
    Metric::counter(RATE_LIMITED_TOTAL, "Requests refused by a rate limit, by `category`."),
    Metric::counter(CROSS_SITE_WRITES_REFUSED_TOTAL, "Writes that another site's page sent."),
    Metric::counter(API_PANICS_TOTAL, "Handlers of the API that panicked; the client got a 500."),
];
