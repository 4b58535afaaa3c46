//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const CALL_SECONDS: &str = "feeds_call_seconds";
pub(crate) const ERRORS_TOTAL: &str = "feeds_errors_total";
pub(crate) const CHANGES_TOTAL: &str = "feeds_changes_total";
pub(crate) const PUSHES_TOTAL: &str = "feeds_pushes_total";
pub(crate) const HOME_ABSENT_TOTAL: &str = "feeds_home_absent_total";
pub(crate) const HOME_STORAGE_TOTAL: &str = "feeds_home_storage_total";
pub(crate) const FILLS_REFUSED_TOTAL: &str = "feeds_fills_refused_total";
pub(crate) const SNAPSHOTS_BROKEN_TOTAL: &str = "feeds_snapshots_broken_total";
pub(crate) const SNAPSHOT_BYTES: &str = "feeds_snapshot_bytes";
pub(crate) const SWEPT_PINS_TOTAL: &str = "feeds_swept_pins_total";
pub(crate) const CALLS_REFUSED_TOTAL: &str = "feeds_calls_refused_total";
pub(crate) const REMOTE_LOST_TOTAL: &str = "feeds_remote_lost_total";
pub(crate) const REDIS_ROUNDS_TOTAL: &str = "feeds_redis_rounds_total";
pub(crate) const REDIS_COMMANDS_TOTAL: &str = "feeds_redis_commands_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(CALL_SECONDS, "Time of one call, by call."),
    Metric::counter(ERRORS_TOTAL, "Calls that failed, by call."),
    Metric::counter(CHANGES_TOTAL, "Changes of graph and pins that were applied."),
    Metric::counter(PUSHES_TOTAL, "Entries that publishing offered to home feeds in memory."),
    Metric::counter(HOME_ABSENT_TOTAL, "Home pages asked for without a feed in memory."),
    Metric::counter(HOME_STORAGE_TOTAL, "Home pages that reached the end of memory."),
    Metric::counter(FILLS_REFUSED_TOTAL, "Rebuilt feeds not taken because the graph widened while they were built."),
    Metric::counter(SNAPSHOTS_BROKEN_TOTAL, "Snapshots that could not be read; the feeds were rebuilt."),
    Metric::gauge(SNAPSHOT_BYTES, "Size of the last snapshot."),
    Metric::counter(SWEPT_PINS_TOTAL, "Pins forgotten because no list held them any more."),
    Metric::counter(CALLS_REFUSED_TOTAL, "Calls of the feeds service that its access list does not allow, by `caller` and `call`."),
    Metric::counter(REMOTE_LOST_TOTAL, "Calls of feeds services that were lost, by `address`; it is left out for a while."),
    Metric::counter(REDIS_ROUNDS_TOTAL, "Rounds to Redis that somebody waited for: batches to one server, or to several at the same time."),
    Metric::counter(REDIS_COMMANDS_TOTAL, "Commands in these rounds, without the markers that say whether the answers can be believed."),
];
