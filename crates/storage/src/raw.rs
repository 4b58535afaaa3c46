//! The front's other side: the same calls with rows as they are stored, for the service, which hands them on undecoded.
//!
//! Every check, deadline, span and metric of [`Storage`] holds here too; nothing reaches the engine by another way.

use model::{Id, Kind, NameKind, Shard, Timestamp};

use crate::audit::AuditRow;
use crate::error::{Error, Result};
use crate::limits::RESERVED_IDS_MAX;
use crate::refusal::{check_id_count, check_limit, check_object_kind, check_shard};
use crate::row::{Row, StaleClaim};
use crate::storage::{Storage, reading, writing};

impl Storage {
    /// Reserves local ids for a front in another process, which hands them out.
    pub(crate) async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        check_shard(shard)?;
        check_object_kind(kind)?;
        if count == 0 || count > RESERVED_IDS_MAX {
            return Err(Error::Invalid(format!("{count} ids can't be reserved at once; 1 to {RESERVED_IDS_MAX} are possible.")));
        }
        writing("reserve", self.engine().reserve(shard, kind, count)).await
    }

    /// Reads rows by id, of any kinds, in the order and number of `ids`.
    pub(crate) async fn rows(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        check_id_count(ids.len())?;
        for id in ids {
            check_object_kind(id.kind())?;
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        reading("get", self.engine().get(ids)).await
    }

    pub(crate) async fn scan_rows(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        check_limit(limit)?;
        check_object_kind(kind)?;
        if let Some(after) = after {
            crate::refusal::check_ids(kind, &[after])?;
        }
        reading("scan", self.engine().scan(kind, after, limit)).await
    }

    pub(crate) async fn outbox_rows(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        check_limit(limit)?;
        reading("outbox", self.engine().outbox(limit)).await
    }

    pub(crate) async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        check_limit(limit)?;
        reading("stale_claims", self.engine().stale_claims(before, after, limit)).await
    }

    /// Lists names with their holders; the owner's kind is checked by [`Storage::names_of`], which this is the raw side of.
    pub(crate) async fn names_held(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        let owner = model::UserId::try_from(owner).map_err(|error| Error::Invalid(format!("Only people own names: {error}.")))?;
        self.names_of(owner, kind, limit).await
    }

    pub(crate) async fn audit_rows(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        check_shard(shard)?;
        check_limit(limit)?;
        reading("audit_log", self.engine().audit_log(shard, after, limit)).await
    }

    pub(crate) async fn audit_recent_rows(&self, limit: usize) -> Result<Vec<AuditRow>> {
        check_limit(limit)?;
        reading("audit_recent", self.engine().audit_recent(limit)).await
    }

    /// Removes idempotency keys used before an instant.
    pub(crate) async fn sweep_idempotency_before(&self, before: Timestamp) -> Result<u64> {
        writing("sweep_idempotency", self.engine().sweep_idempotency(before)).await
    }
}
