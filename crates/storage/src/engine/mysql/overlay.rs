//! The rows of a group of batches in memory: read ahead, changed by each batch in turn, then written as their last state.
//!
//! ```text
//! stored   what the server holds, read under the shards' locks; or, of rows that are only created, what it most likely does not
//! now      what the batches that succeeded have made of it
//! draft    what the present batch has done: kept when it succeeds, thrown away when it fails
//! ```
//!
//! Pure: whoever fills it in and writes it out is lane.rs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};

use super::shape::{Cell, Change, Shape, shape};
use crate::audit::AuditRow;
use crate::batch::Condition;
use crate::engine::apply::Tables;
use crate::engine::slots::{key_slot, name_slot, sequence_slot};
use crate::engine::{Idempotency, Op, Prepared};
use crate::error::{Error, Result};
use crate::row::Name;

/// An object's row, less its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ObjectRow {
    pub data: String,
    pub version: u64,
    pub created_at: i64,
    pub updated_at: i64,
    pub active: bool,
}

/// One table's rows in three layers.
#[derive(Debug)]
pub(crate) struct Layers<K, V> {
    stored: HashMap<K, Option<V>>,
    /// Keys that are taken to be new, and not looked up.
    assumed: HashSet<K>,
    now: HashMap<K, Option<V>>,
    draft: HashMap<K, Option<V>>,
}

impl<K, V> Default for Layers<K, V> {
    fn default() -> Layers<K, V> {
        Layers { stored: HashMap::new(), assumed: HashSet::new(), now: HashMap::new(), draft: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone + std::fmt::Debug, V: Clone + PartialEq> Layers<K, V> {
    /// Says that a row will be looked at.
    pub fn want(&mut self, key: K) {
        self.assumed.remove(&key);
        self.stored.entry(key).or_insert(None);
    }

    /// Says that a row will be created, and takes it to be new unless somebody wants to see it. Should the server have it, the statement
    /// that puts it fails.
    fn assume_new(&mut self, key: K) {
        if let Entry::Vacant(unknown) = self.stored.entry(key.clone()) {
            unknown.insert(None);
            self.assumed.insert(key);
        }
    }

    pub fn wanted(&self) -> impl Iterator<Item = &K> {
        self.stored.keys().filter(|key| !self.assumed.contains(key))
    }

    /// Fills in a row that the server holds.
    pub fn fill(&mut self, key: K, row: V) {
        self.stored.insert(key, Some(row));
    }

    fn get(&self, key: &K) -> Result<Option<&V>> {
        let layer = self.draft.get(key).or_else(|| self.now.get(key)).or_else(|| self.stored.get(key));
        layer.map(Option::as_ref).ok_or_else(|| Error::Corrupt(format!("{key:?} was not read ahead; this is a defect of the engine.")))
    }

    fn set(&mut self, key: K, row: Option<V>) {
        self.draft.insert(key, row);
    }

    fn end_batch(&mut self, keep: bool) {
        if keep {
            self.now.extend(self.draft.drain());
        } else {
            self.draft.clear();
        }
    }

    /// Lists what must be written: (key, row or none, whether it is new).
    fn changes(&self) -> impl Iterator<Item = (&K, Option<&V>, bool)> {
        self.now.iter().filter_map(|(key, row)| {
            let stored = self.stored.get(key).and_then(Option::as_ref);
            (stored != row.as_ref()).then_some((key, row.as_ref(), stored.is_none()))
        })
    }
}

/// Everything that a group of batches looks at and changes.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    pub objects: Layers<Id, ObjectRow>,
    pub edges: Layers<(Assoc, Id, Id), i64>,
    pub counts: Layers<(Assoc, Id), u64>,
    pub names: Layers<(Shard, NameKind, String), Name>,
    pub answers: Layers<(Shard, String), (String, String, i64)>,
    pub audit_heads: Layers<Shard, (u64, String)>,
    pub sequences: Layers<(Shard, Kind), u64>,
    audit: Vec<AuditRow>,
    audit_draft: Vec<AuditRow>,
    events: Vec<(Shard, String, String)>,
    events_draft: Vec<(Shard, String, String)>,
}

impl Overlay {
    /// Wants everything that applying batches may look at. Ids are handed out once, so that objects which are only created need not be
    /// looked up, nor their edges; with `looks_at_all` they are nevertheless.
    pub fn want_batches(&mut self, batches: &[Prepared], looks_at_all: bool) {
        let created = |op: &Op| match op {
            Op::Create { id, .. } if !looks_at_all => Some(*id),
            _ => None,
        };
        let created: HashSet<Id> = batches.iter().flat_map(|batch| &batch.ops).filter_map(created).collect();
        batches.iter().for_each(|batch| self.want_batch(batch, &created));
    }

    fn want_batch(&mut self, batch: &Prepared, created: &HashSet<Id>) {
        let shard = batch.shard;
        if let Some(idempotency) = &batch.idempotency {
            self.answers.want((shard, idempotency.key.clone()));
        }
        for condition in &batch.conditions {
            match *condition {
                Condition::Active(id) | Condition::Version(id, _) => self.objects.want(id),
                Condition::Mapped(assoc, from, to) | Condition::NotMapped(assoc, from, to) => self.edges.want((assoc, from, to)),
                Condition::CountBelow(assoc, from, _) | Condition::CountIs(assoc, from, _) => self.counts.want((assoc, from)),
            }
        }
        for op in &batch.ops {
            match op {
                Op::Create { id, .. } if created.contains(id) => self.objects.assume_new(*id),
                Op::Create { id, .. } | Op::Update { id, .. } | Op::Delete { id } | Op::Restore { id } | Op::Purge { id } => {
                    self.objects.want(*id);
                }
                Op::Map { assoc, from, to, .. } | Op::Remap { assoc, from, to, .. } if created.contains(from) || created.contains(to) => {
                    self.edges.assume_new((*assoc, *from, *to));
                    match created.contains(from) {
                        true => self.counts.assume_new((*assoc, *from)),
                        false => self.counts.want((*assoc, *from)),
                    }
                }
                Op::Map { assoc, from, to, .. } | Op::Remap { assoc, from, to, .. } | Op::Unmap { assoc, from, to } => {
                    self.edges.want((*assoc, *from, *to));
                    self.counts.want((*assoc, *from));
                }
                Op::Claim { kind, key, .. } | Op::Confirm { kind, key, .. } | Op::Release { kind, key, .. } => {
                    self.names.want((shard, *kind, key.clone()));
                }
                Op::Audit { .. } => self.audit_heads.want(shard),
                Op::Emit { .. } => {}
            }
        }
    }

    /// Reserves ids and returns the first.
    pub fn reserve(&mut self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        let first = self.sequences.get(&(shard, kind))?.copied().unwrap_or(1);
        self.sequences.set((shard, kind), Some(first + count));
        Ok(first)
    }

    /// Ends a batch: what it did is kept, or was never done.
    pub fn end_batch(&mut self, keep: bool) {
        self.objects.end_batch(keep);
        self.edges.end_batch(keep);
        self.counts.end_batch(keep);
        self.names.end_batch(keep);
        self.answers.end_batch(keep);
        self.audit_heads.end_batch(keep);
        self.sequences.end_batch(keep);
        let (audit, events) = (std::mem::take(&mut self.audit_draft), std::mem::take(&mut self.events_draft));
        if keep {
            self.audit.extend(audit);
            self.events.extend(events);
        }
    }

    /// Lists the events of the batches that were kept, in their order.
    pub fn events(&self) -> &[(Shard, String, String)] {
        &self.events
    }

    /// Lists the rows that must be written, with their shards.
    pub fn changes(&self) -> Result<Vec<(Shard, Change)>> {
        let mut changes = Vec::new();
        let mut add = |shard: Shard, shape: &'static Shape, key: Vec<Cell>, rest: Option<Vec<Cell>>, is_new: bool| {
            let row = rest.map(|rest| key.iter().cloned().chain(rest).collect());
            changes.push((shard, Change { shape, key, row, is_new }));
        };
        for (id, row, is_new) in self.objects.changes() {
            let rest = row.map(|row| {
                let (created, updated) = (Cell::Int(row.created_at), Cell::Int(row.updated_at));
                vec![Cell::Text(row.data.clone()), Cell::Int(row.version as i64), created, updated, Cell::Int(row.active.into())]
            });
            add(id.shard(), shape(id.kind().table())?, vec![Cell::Int(id.as_i64())], rest, is_new);
        }
        for ((assoc, from, to), row, is_new) in self.edges.changes() {
            let key = vec![Cell::Int(from.as_i64()), Cell::Int(to.as_i64())];
            add(from.shard(), shape(assoc.table())?, key, row.map(|sequence| vec![Cell::Int(*sequence)]), is_new);
        }
        for ((assoc, from), row, is_new) in self.counts.changes() {
            let key = vec![Cell::Int(from.as_i64()), Cell::Text(assoc.table().to_owned())];
            add(from.shard(), shape("mapping_counts")?, key, row.map(|count| vec![Cell::Int(*count as i64)]), is_new);
        }
        for ((shard, kind, key), row, is_new) in self.names.changes() {
            let rest = row.map(|name| vec![Cell::Int(name.id.as_i64()), Cell::Int(name.confirmed.into()), Cell::Int(name.claimed_at.0)]);
            let key = vec![Cell::Int(name_slot(*shard, *kind, key)), Cell::Text(kind.as_str().to_owned()), Cell::Text(key.clone())];
            add(*shard, shape("names")?, key, rest, is_new);
        }
        for ((shard, key), row, is_new) in self.answers.changes() {
            let rest = row.map(|(hash, answer, at)| vec![Cell::Text(hash.clone()), Cell::Text(answer.clone()), Cell::Int(*at)]);
            add(*shard, shape("idempotency")?, vec![Cell::Int(key_slot(*shard, key)), Cell::Text(key.clone())], rest, is_new);
        }
        for ((shard, kind), row, is_new) in self.sequences.changes() {
            let rest = row.map(|next| vec![Cell::Int(*next as i64)]);
            add(*shard, shape("sequences")?, vec![Cell::Int(sequence_slot(*shard, *kind))], rest, is_new);
        }
        for row in &self.audit {
            let shard = Id::from_u64(row.id).map_err(|error| Error::Corrupt(error.to_string()))?.shard();
            let actor = row.actor.map_or(Cell::Null, |actor| Cell::Int(actor as i64));
            let texts = [&row.act, &row.subjects, &row.data, &row.previous_hash, &row.hash].map(|text| Cell::Text(text.clone()));
            let rest = [Cell::Int(row.at), actor].into_iter().chain(texts).collect();
            add(shard, shape("audit")?, vec![Cell::Int(row.id as i64)], Some(rest), true);
        }
        Ok(changes)
    }

    /// Changes a count by one.
    fn recount(&mut self, assoc: Assoc, from: Id, change: impl Fn(u64) -> u64) -> Result<()> {
        let count = self.counts.get(&(assoc, from))?.copied().unwrap_or(0);
        self.counts.set((assoc, from), Some(change(count)));
        Ok(())
    }
}

impl Tables for Overlay {
    type Error = Error;

    fn insert_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<bool> {
        if self.objects.get(&id)?.is_some() {
            return Ok(false);
        }
        let row = ObjectRow { data: data.to_owned(), version: 1, created_at: at.0, updated_at: at.0, active: true };
        self.objects.set(id, Some(row));
        Ok(true)
    }

    fn object(&mut self, id: Id) -> Result<Option<(u64, bool)>> {
        Ok(self.objects.get(&id)?.map(|row| (row.version, row.active)))
    }

    fn replace_object(&mut self, id: Id, data: &str, at: Timestamp) -> Result<()> {
        let row = self.objects.get(&id)?.map(|row| ObjectRow {
            data: data.to_owned(),
            version: row.version + 1,
            updated_at: at.0,
            ..row.clone()
        });
        self.objects.set(id, row);
        Ok(())
    }

    fn set_active(&mut self, id: Id, active: bool, at: Timestamp) -> Result<Option<u64>> {
        let Some(row) = self.objects.get(&id)?.filter(|row| row.active != active) else { return Ok(None) };
        let row = ObjectRow { active, version: row.version + 1, updated_at: at.0, ..row.clone() };
        let version = row.version;
        self.objects.set(id, Some(row));
        Ok(Some(version))
    }

    fn remove_object(&mut self, id: Id) -> Result<Option<u64>> {
        let Some(version) = self.objects.get(&id)?.map(|row| row.version) else { return Ok(None) };
        self.objects.set(id, None);
        Ok(Some(version))
    }

    fn edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<Option<i64>> {
        Ok(self.edges.get(&(assoc, from, to))?.copied())
    }

    fn insert_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool> {
        if self.edges.get(&(assoc, from, to))?.is_some() {
            return Ok(false);
        }
        self.edges.set((assoc, from, to), Some(sequence));
        self.recount(assoc, from, |count| count + 1)?;
        Ok(true)
    }

    fn move_edge(&mut self, assoc: Assoc, from: Id, to: Id, sequence: i64) -> Result<bool> {
        if self.edges.get(&(assoc, from, to))?.is_none_or(|present| *present == sequence) {
            return Ok(false);
        }
        self.edges.set((assoc, from, to), Some(sequence));
        Ok(true)
    }

    fn remove_edge(&mut self, assoc: Assoc, from: Id, to: Id) -> Result<bool> {
        if self.edges.get(&(assoc, from, to))?.is_none() {
            return Ok(false);
        }
        self.edges.set((assoc, from, to), None);
        self.recount(assoc, from, |count| count.saturating_sub(1))?;
        Ok(true)
    }

    fn count(&mut self, assoc: Assoc, from: Id) -> Result<u64> {
        Ok(self.counts.get(&(assoc, from))?.copied().unwrap_or(0))
    }

    fn name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        Ok(self.names.get(&(shard, kind, key.to_owned()))?.copied())
    }

    fn insert_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, at: Timestamp) -> Result<bool> {
        let slot = (shard, kind, key.to_owned());
        if self.names.get(&slot)?.is_some() {
            return Ok(false);
        }
        self.names.set(slot, Some(Name { id, confirmed: false, claimed_at: at }));
        Ok(true)
    }

    fn confirm_name(&mut self, shard: Shard, kind: NameKind, key: &str) -> Result<()> {
        let slot = (shard, kind, key.to_owned());
        let name = self.names.get(&slot)?.map(|name| Name { confirmed: true, ..*name });
        self.names.set(slot, name);
        Ok(())
    }

    fn remove_name(&mut self, shard: Shard, kind: NameKind, key: &str, id: Id, unconfirmed_only: bool) -> Result<bool> {
        let slot = (shard, kind, key.to_owned());
        let goes = self.names.get(&slot)?.is_some_and(|name| name.id == id && !(unconfirmed_only && name.confirmed));
        if goes {
            self.names.set(slot, None);
        }
        Ok(goes)
    }

    fn insert_event(&mut self, shard: Shard, id: &str, json: &str) -> Result<()> {
        self.events_draft.push((shard, id.to_owned(), json.to_owned()));
        Ok(())
    }

    fn audit_head(&mut self, shard: Shard) -> Result<Option<(u64, String)>> {
        Ok(self.audit_heads.get(&shard)?.cloned())
    }

    fn insert_audit(&mut self, row: AuditRow) -> Result<()> {
        let shard = Id::from_u64(row.id).map_err(|error| Error::Corrupt(error.to_string()))?.shard();
        self.audit_heads.set(shard, Some((row.id, row.hash.clone())));
        self.audit_draft.push(row);
        Ok(())
    }

    fn answer(&mut self, shard: Shard, key: &str) -> Result<Option<(String, String)>> {
        Ok(self.answers.get(&(shard, key.to_owned()))?.map(|(hash, answer, _)| (hash.clone(), answer.clone())))
    }

    fn insert_answer(&mut self, shard: Shard, key: &Idempotency, answer: &str, at: Timestamp) -> Result<()> {
        self.answers.set((shard, key.key.clone()), Some((key.batch_hash.clone(), answer.to_owned(), at.0)));
        Ok(())
    }
}
