//! Every metric of this crate, with its unit and what it tells. Each is labelled `server` with the server's host and port.

use runtime::Metric;

pub(crate) const STATEMENT_SECONDS: &str = "mysql_statement_seconds";
pub(crate) const ERRORS_TOTAL: &str = "mysql_errors_total";
pub(crate) const CONNECTIONS_OPENED_TOTAL: &str = "mysql_connections_opened_total";
pub(crate) const BREAKER_OPENED_TOTAL: &str = "mysql_breaker_opened_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(STATEMENT_SECONDS, "Time of one round trip to a server, with all its statements."),
    Metric::counter(ERRORS_TOTAL, "Round trips that failed, by `reason`: unavailable, lost, refused, corrupt."),
    Metric::counter(CONNECTIONS_OPENED_TOTAL, "Connections opened since the start."),
    Metric::counter(BREAKER_OPENED_TOTAL, "Times that a server was no longer asked because too many calls failed."),
];
