//! A batch: everything that one transaction on one shard writes.
//!
//! Each method that writes is one operation, in order; [`Written::changed`] answers in the same order. `require` and
//! `idempotency_key` are no operations.

use model::{Assoc, Event, Id, NameKind, Object, Shard, UserId};
use serde::{Deserialize, Serialize};

use crate::engine::Op;
use crate::error::Error;
use crate::row::Commit;

/// What must hold for a batch to be written. Checked first, inside the transaction; each id that is asked about (of an edge its
/// *from* end) must be on the batch's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The object exists and is not deleted.
    Active(Id),
    /// The object exists with this version.
    Version(Id, u64),
    Mapped(Assoc, Id, Id),
    NotMapped(Assoc, Id, Id),
    /// The association has fewer edges than this.
    CountBelow(Assoc, Id, u64),
    CountIs(Assoc, Id, u64),
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The new version of each object that changed, purged ones included (one past their last): what a cache needs to forget.
    pub versions: Vec<(Id, u64)>,
    /// One per operation, in order: whether it changed anything. Mapping what is mapped, deleting what is deleted, claiming what
    /// is held by the same id changes nothing.
    pub changed: Vec<bool>,
    /// True when the answer is that of an earlier write with the same idempotency key.
    #[serde(default)]
    pub replayed: bool,
    /// Where the write stands in its server's history, for [`crate::Storage::after`]. `None` on engines without replicas, and for replays.
    #[serde(skip)]
    pub commit: Option<Commit>,
}

/// A batch in the making. What is wrong with it is said when it is written.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) shard: Shard,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) ops: Vec<Op>,
    pub(crate) idempotency_key: Option<String>,
    /// The first thing that could not even be put into the batch.
    pub(crate) refusal: Option<Error>,
}

impl Batch {
    /// Begins a batch that writes on `shard`.
    pub fn on(shard: Shard) -> Batch {
        Batch { shard, conditions: Vec::new(), ops: Vec::new(), idempotency_key: None, refusal: None }
    }

    /// Returns the shard that it writes on.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Returns the operations that write edges, each with its place among all operations.
    pub fn edge_ops(&self) -> Vec<(usize, Op)> {
        let writes_edge = |op: &Op| matches!(op, Op::Map { .. } | Op::Remap { .. } | Op::Unmap { .. });
        self.ops.iter().enumerate().filter(|(_, op)| writes_edge(op)).map(|(place, op)| (place, op.clone())).collect()
    }

    /// Tells whether it holds no operation.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Creates an object as version 1. Conflict when the id exists, deleted or not.
    pub fn create<T: Object>(&mut self, id: impl Into<Id>, object: &T) -> &mut Batch {
        let id = id.into();
        match self.encode(id, object) {
            Some(data) => self.push(Op::Create { id, data }),
            None => self,
        }
    }

    /// Replaces an object's data. NotFound when it is not there or deleted, Conflict when its version is another.
    pub fn update<T: Object>(&mut self, id: impl Into<Id>, expected_version: u64, object: &T) -> &mut Batch {
        let id = id.into();
        match self.encode(id, object) {
            Some(data) => self.push(Op::Update { id, expected_version, data }),
            None => self,
        }
    }

    /// Deletes an object softly: its row stays, inactive. Changes nothing when it is deleted already or was never there.
    pub fn delete(&mut self, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Delete { id: id.into() })
    }

    /// Takes a soft delete back. NotFound when the row has been purged.
    pub fn restore(&mut self, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Restore { id: id.into() })
    }

    /// Removes an object's row for good. Its edges and names are the caller's to remove.
    pub fn purge(&mut self, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Purge { id: id.into() })
    }

    /// Adds an edge; one that is there keeps its sequence.
    pub fn map(&mut self, assoc: Assoc, from: impl Into<Id>, to: impl Into<Id>, sequence: i64) -> &mut Batch {
        self.push(Op::Map { assoc, from: from.into(), to: to.into(), sequence })
    }

    /// Adds an edge or gives the one that is there this sequence.
    pub fn remap(&mut self, assoc: Assoc, from: impl Into<Id>, to: impl Into<Id>, sequence: i64) -> &mut Batch {
        self.push(Op::Remap { assoc, from: from.into(), to: to.into(), sequence })
    }

    /// Removes an edge if it is there.
    pub fn unmap(&mut self, assoc: Assoc, from: impl Into<Id>, to: impl Into<Id>) -> &mut Batch {
        self.push(Op::Unmap { assoc, from: from.into(), to: to.into() })
    }

    /// Claims a unique name for an id, unconfirmed. Conflict when another id holds it. The batch is on the name's shard
    /// ([`crate::name_shard`]), the id may live anywhere.
    pub fn claim(&mut self, kind: NameKind, key: impl Into<String>, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Claim { kind, key: key.into(), id: id.into() })
    }

    /// Confirms a claim once its holder exists. NotFound when there is no claim, Conflict when it is another id's.
    pub fn confirm(&mut self, kind: NameKind, key: impl Into<String>, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Confirm { kind, key: key.into(), id: id.into() })
    }

    /// Frees a name if this id holds it.
    pub fn release(&mut self, kind: NameKind, key: impl Into<String>, id: impl Into<Id>) -> &mut Batch {
        self.push(Op::Release { kind, key: key.into(), id: id.into(), unconfirmed_only: false })
    }

    pub(crate) fn release_unconfirmed(&mut self, kind: NameKind, key: String, id: Id) -> &mut Batch {
        self.push(Op::Release { kind, key, id, unconfirmed_only: true })
    }

    /// Puts an event into the outbox.
    pub fn emit(&mut self, event: Event) -> &mut Batch {
        match serde_json::to_string(&event) {
            Ok(json) => self.push(Op::Emit { event: Box::new(event), json }),
            Err(error) => self.refuse(format!("The event {} can't be written as JSON: {error}.", event.id)),
        }
    }

    /// Appends an entry to the shard's audit log.
    pub fn audit(&mut self, actor: Option<UserId>, act: &str, subjects: Vec<Id>, data: serde_json::Value) -> &mut Batch {
        self.push(Op::Audit { actor, act: act.to_owned(), subjects, data: data.to_string() })
    }

    /// Adds a condition; when one fails, nothing is written and the answer is a Conflict that names it.
    pub fn require(&mut self, condition: Condition) -> &mut Batch {
        self.conditions.push(condition);
        self
    }

    /// Makes the write safe to retry: the same key again on this shard returns the first answer and writes nothing; the same key
    /// with another batch is a Conflict. Keys are kept for a day. Ids, times and origin of events may differ between tries.
    pub fn idempotency_key(&mut self, key: impl Into<String>) -> &mut Batch {
        self.idempotency_key = Some(key.into());
        self
    }

    fn push(&mut self, op: Op) -> &mut Batch {
        self.ops.push(op);
        self
    }

    fn refuse(&mut self, message: String) -> &mut Batch {
        self.refusal.get_or_insert(Error::Invalid(message));
        self
    }

    fn encode<T: Object>(&mut self, id: Id, object: &T) -> Option<String> {
        if id.kind() != T::KIND {
            self.refuse(format!("Id {id} is of a {:?}, but what should be stored under it is a {:?}.", id.kind(), T::KIND));
            return None;
        }
        match serde_json::to_string(object) {
            Ok(data) => Some(data),
            Err(error) => {
                self.refuse(format!("The {:?} {id} can't be written as JSON: {error}.", T::KIND));
                None
            }
        }
    }
}
