//! What is refused before it reaches an engine: pure functions of what was asked.

use model::object::check_schema;
use model::{Assoc, Id, Kind, NameKind, Shard};
use model::{id::SHARD_COUNT, limits::OBJECT_BYTES_MAX};
use sha2::{Digest, Sha256};

use crate::audit::hexadecimal;
use crate::batch::{Batch, Condition};
use crate::engine::{Idempotency, Op};
use crate::error::{Error, Result};
use crate::limits::{
    AUDIT_DATA_BYTES_MAX, BATCH_BYTES_MAX, BATCH_OPS_MAX, EVENT_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDS_PER_CALL_MAX, LIST_ROWS_MAX,
    NAME_KEY_BYTES_MAX,
};
use crate::storage::name_shard;

/// Returns an `Invalid` with this message as the error.
fn invalid<T>(message: String) -> Result<T> {
    Err(Error::Invalid(message))
}

/// Checks a whole batch. Returns how many bytes of data it writes.
pub(crate) fn check_batch(batch: &Batch) -> Result<usize> {
    if let Some(refusal) = &batch.refusal {
        return Err(refusal.clone());
    }
    check_shard(batch.shard)?;
    if batch.ops.len() > BATCH_OPS_MAX {
        return invalid(format!("The batch has {} operations; at most {BATCH_OPS_MAX} are allowed. Cut it into several.", batch.ops.len()));
    }
    if let Some(key) = &batch.idempotency_key
        && (key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX)
    {
        return invalid(format!("An idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes; this one has {}.", key.len()));
    }
    for condition in &batch.conditions {
        check_condition(batch.shard, condition)?;
    }
    let mut bytes = 0;
    for op in &batch.ops {
        bytes += check_op(batch.shard, op)?;
    }
    if bytes > BATCH_BYTES_MAX {
        return invalid(format!("The batch has {bytes} bytes of data; at most {BATCH_BYTES_MAX} are allowed. Cut it into several."));
    }
    Ok(bytes)
}

/// Checks one operation. Returns how many bytes of data it writes.
fn check_op(shard: Shard, op: &Op) -> Result<usize> {
    match op {
        Op::Create { id, data } | Op::Update { id, data, .. } => {
            check_written(shard, *id)?;
            check_data(*id, data)?;
            Ok(data.len())
        }
        Op::Delete { id } | Op::Restore { id } | Op::Purge { id } => check_written(shard, *id).map(|()| 0),
        Op::Map { assoc, from, to, .. } | Op::Remap { assoc, from, to, .. } | Op::Unmap { assoc, from, to } => {
            check_ends(*assoc, *from, &[*to])?;
            check_shard(to.shard())?;
            check_same_shard(shard, *from).map(|()| 0)
        }
        Op::Claim { kind, key, id } | Op::Confirm { kind, key, id } | Op::Release { kind, key, id, .. } => {
            check_name_key(*kind, key)?;
            check_shard(id.shard())?;
            let wanted = name_shard(*kind, key);
            if wanted != shard {
                return invalid(format!(
                    "The {} '{key}' lives on shard {}, the batch writes on shard {}. Write the name in a batch of its own.",
                    kind.as_str(),
                    wanted.0,
                    shard.0
                ));
            }
            Ok(key.len())
        }
        Op::Emit { event, json } if json.len() > EVENT_BYTES_MAX => invalid(format!(
            "The event {} has {} bytes; at most {EVENT_BYTES_MAX} are allowed. Name things instead of copying them.",
            event.id,
            json.len()
        )),
        Op::Emit { event, .. } if event.id.is_empty() => invalid("An event has no id; give it one from `new_event_id`.".to_owned()),
        Op::Emit { json, .. } => Ok(json.len()),
        Op::Audit { act, .. } if act.is_empty() => invalid("An audit entry names no act.".to_owned()),
        Op::Audit { act, data, .. } if act.len() + data.len() > AUDIT_DATA_BYTES_MAX => invalid(format!(
            "The audit entry '{}' has {} bytes of data; at most {AUDIT_DATA_BYTES_MAX} are allowed.",
            act.chars().take(40).collect::<String>(),
            data.len()
        )),
        Op::Audit { data, .. } => Ok(data.len()),
    }
}

fn check_condition(shard: Shard, condition: &Condition) -> Result<()> {
    match condition {
        Condition::Active(id) | Condition::Version(id, _) => check_written(shard, *id),
        Condition::Mapped(assoc, from, to) | Condition::NotMapped(assoc, from, to) => {
            check_ends(*assoc, *from, &[*to])?;
            check_same_shard(shard, *from)
        }
        Condition::CountBelow(assoc, from, _) | Condition::CountIs(assoc, from, _) => {
            check_ends(*assoc, *from, &[])?;
            check_same_shard(shard, *from)
        }
    }
}

/// Checks that a shard exists.
pub(crate) fn check_shard(shard: Shard) -> Result<()> {
    if shard.0 < SHARD_COUNT {
        return Ok(());
    }
    invalid(format!("Shard {} does not exist; shards are 0 to {}.", shard.0, SHARD_COUNT - 1))
}

/// Checks that objects of a kind are stored in a table of their own.
pub(crate) fn check_object_kind(kind: Kind) -> Result<()> {
    if Kind::OBJECTS.contains(&kind) {
        return Ok(());
    }
    invalid(format!("There are no objects of kind {kind:?}; audit entries are written with `audit`."))
}

/// Checks that every id is of one kind, and that there are not too many.
pub(crate) fn check_ids(kind: Kind, ids: &[Id]) -> Result<()> {
    check_id_count(ids.len())?;
    match ids.iter().find(|id| id.kind() != kind) {
        Some(id) => invalid(format!("Id {id} is of a {:?}; {} were asked for.", id.kind(), kind.table())),
        None => Ok(()),
    }
}

pub(crate) fn check_id_count(count: usize) -> Result<()> {
    if count <= IDS_PER_CALL_MAX {
        return Ok(());
    }
    invalid(format!("{count} ids were asked for at once; at most {IDS_PER_CALL_MAX} are allowed. Ask in pages."))
}

pub(crate) fn check_limit(limit: usize) -> Result<()> {
    if limit <= LIST_ROWS_MAX {
        return Ok(());
    }
    invalid(format!("{limit} rows were asked for at once; at most {LIST_ROWS_MAX} are allowed. Ask in pages."))
}

/// Checks that the ends of edges are of the association's kinds.
pub(crate) fn check_ends(assoc: Assoc, from: Id, tos: &[Id]) -> Result<()> {
    let (from_kind, to_kind) = assoc.ends();
    if from.kind() != from_kind {
        return invalid(format!("{} leads from a {from_kind:?}; id {from} is of a {:?}.", assoc.table(), from.kind()));
    }
    match tos.iter().find(|to| to.kind() != to_kind) {
        Some(to) => invalid(format!("{} leads to a {to_kind:?}; id {to} is of a {:?}.", assoc.table(), to.kind())),
        None => Ok(()),
    }
}

pub(crate) fn check_name_key(kind: NameKind, key: &str) -> Result<()> {
    if key.is_empty() || key.len() > NAME_KEY_BYTES_MAX {
        return invalid(format!("A {} has 1 to {NAME_KEY_BYTES_MAX} bytes; this one has {}.", kind.as_str(), key.len()));
    }
    if matches!(kind, NameKind::BoardSlug | NameKind::SourceKey) && owner_in_key(key).is_none() {
        return invalid(format!("'{key}' is no board address; it should look like \"<owner's id>/<slug>\"."));
    }
    Ok(())
}

/// Reads the owner's id out of a board address.
pub(crate) fn owner_in_key(key: &str) -> Option<Id> {
    let (owner, slug) = key.split_once('/')?;
    owner.parse::<Id>().ok().filter(|id| id.kind() == Kind::User && !slug.is_empty())
}

fn check_written(shard: Shard, id: Id) -> Result<()> {
    check_object_kind(id.kind())?;
    check_same_shard(shard, id)
}

fn check_same_shard(shard: Shard, id: Id) -> Result<()> {
    if id.shard() == shard {
        return Ok(());
    }
    invalid(format!(
        "Id {id} lives on shard {}, the batch writes on shard {}. A batch writes on one shard: make one per shard, tied by a job or an event.",
        id.shard().0,
        shard.0
    ))
}

fn check_data(id: Id, data: &str) -> Result<()> {
    if data.len() > OBJECT_BYTES_MAX {
        return invalid(format!(
            "The {:?} {id} has {} bytes as JSON; at most {OBJECT_BYTES_MAX} are allowed. Shorten its texts or lists.",
            id.kind(),
            data.len()
        ));
    }
    Ok(())
}

/// Checks that every payload is of its type's schema.
pub(crate) fn check_schemas(batch: &Batch) -> Result<()> {
    for op in &batch.ops {
        let (Op::Create { id, data } | Op::Update { id, data, .. }) = op else { continue };
        check_schema(id.kind(), data.as_bytes()).map_err(|error| {
            Error::Invalid(format!("The data of id {id} is not of the schema of a {:?}: {error}. Write the object's own type.", id.kind()))
        })?;
    }
    Ok(())
}

/// Computes what a retry must have in common with the first try: everything that is written and required, less the ids, times and
/// origins of events.
pub(crate) fn idempotency(batch: &Batch) -> Option<Idempotency> {
    let key = batch.idempotency_key.clone()?;
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    for op in &batch.ops {
        match op {
            Op::Emit { event, .. } => {
                part("emit");
                part(event.kind.as_str());
                part(&format!("{:?} {:?}", event.actor, event.subjects));
                part(&event.data.to_string());
            }
            Op::Create { id, data } => {
                part("create");
                part(&id.to_string());
                part(data);
            }
            Op::Update { id, expected_version, data } => {
                part("update");
                part(&format!("{id} {expected_version}"));
                part(data);
            }
            // The rest is made of names, numbers and short texts; its debug form is unambiguous.
            other => part(&format!("{other:?}")),
        }
    }
    part(&format!("{:?}", batch.conditions));
    Some(Idempotency { key, batch_hash: hexadecimal(&hasher.finalize()) })
}
