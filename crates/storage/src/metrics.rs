//! Every metric of this crate, with its unit and what it tells.

use runtime::Metric;

pub(crate) const CALL_SECONDS: &str = "storage_call_seconds";
pub(crate) const ERRORS_TOTAL: &str = "storage_errors_total";
pub(crate) const WRITE_OPS: &str = "storage_write_ops";
pub(crate) const IDS_RESERVED_TOTAL: &str = "storage_ids_reserved_total";
pub(crate) const CLAIMS_SWEPT_TOTAL: &str = "storage_claims_swept_total";
pub(crate) const CALLS_REFUSED_TOTAL: &str = "storage_calls_refused_total";
pub(crate) const REMOTE_MESSAGES_TOTAL: &str = "storage_remote_messages_total";
pub(crate) const REMOTE_GATHERED: &str = "storage_remote_gathered";
pub(crate) const REMOTE_LOST_TOTAL: &str = "storage_remote_lost_total";

pub(crate) const GROUP_BATCHES: &str = "storage_group_batches";
pub(crate) const GROUP_SECONDS: &str = "storage_group_seconds";
pub(crate) const GATHERED_READS: &str = "storage_gathered_reads";
pub(crate) const MAP_EPOCH: &str = "storage_map_epoch";
pub(crate) const MAP_REFRESHES_TOTAL: &str = "storage_map_refreshes_total";
pub(crate) const TURNED_AWAY_TOTAL: &str = "storage_turned_away_total";
pub(crate) const SERVER_UP: &str = "storage_server_up";
pub(crate) const REPLICA_BEHIND_SECONDS: &str = "storage_replica_behind_seconds";
pub(crate) const REPLICA_PASSED_OVER_TOTAL: &str = "storage_replica_passed_over_total";
pub(crate) const SUCCESSIONS_TOTAL: &str = "storage_successions_total";

/// All metrics of this crate.
pub const METRICS: &[Metric] = &[
    Metric::histogram(CALL_SECONDS, "Time of one call, by `call`, the wait for the disk included."),
    Metric::counter(ERRORS_TOTAL, "Calls that were refused or failed, by `call` and `reason`."),
    Metric::histogram(WRITE_OPS, "Operations in one written batch."),
    Metric::counter(IDS_RESERVED_TOTAL, "Ids reserved in the engine, used or not."),
    Metric::counter(CLAIMS_SWEPT_TOTAL, "Unconfirmed claims of names that were freed because their owner does not exist."),
    Metric::histogram(GROUP_BATCHES, "Batches that shared one transaction on a MySQL server."),
    Metric::histogram(GROUP_SECONDS, "Time of one such transaction, attempts that met a deadlock included."),
    Metric::histogram(GATHERED_READS, "Look-ups that waited for each other and went to the MySQL servers together."),
    Metric::gauge(MAP_EPOCH, "Epoch of the shard map that this process goes by; processes that differ for long can't see a server."),
    Metric::counter(MAP_REFRESHES_TOTAL, "Times that a newer shard map was looked for."),
    Metric::counter(
        TURNED_AWAY_TOTAL,
        "Writes that a server turned away and that were tried again, by `reason`: elsewhere, frozen, no_lease.",
    ),
    Metric::gauge(SERVER_UP, "1 while a MySQL server of the map answers its keeper, by `server`; 0 while it does not."),
    Metric::gauge(REPLICA_BEHIND_SECONDS, "How far a replica is behind its primary, by `server`; -1 while nobody knows."),
    Metric::counter(SUCCESSIONS_TOTAL, "Times that this process went on at the fleet to which its embedded store had moved: 0 or 1."),
    Metric::counter(REPLICA_PASSED_OVER_TOTAL, "Reads for which a replica was chosen and the primary asked in the end."),
    Metric::counter(CALLS_REFUSED_TOTAL, "Calls of the storage service that its access list does not allow, by `caller` and `call`."),
    Metric::counter(REMOTE_MESSAGES_TOTAL, "Messages to storage services elsewhere; each carries what was gathered."),
    Metric::histogram(REMOTE_GATHERED, "Reads or writes that one message to a storage service carried."),
    Metric::counter(REMOTE_LOST_TOTAL, "Sessions with storage services that were lost, by `address`; it is left out for a while."),
];
