//! Reading ahead: the statements that fetch what a group of batches will look at, and what their answers fill in.

use std::collections::BTreeMap;
use std::fmt::Write;

use model::{Assoc, Id, Kind, Shard, Timestamp};
use mysql::Row;

use super::overlay::{ObjectRow, Overlay};
use super::read::{OBJECT_COLUMNS, decode_id};
use crate::engine::slots::{key_slot, name_kind, name_slot, sequence_slot};
use crate::error::{Error, Result};
use crate::row::Name;

/// Rows asked for in one statement. Beyond some thousands of alternatives MariaDB's optimiser gives up and reads the whole table.
const ALTERNATIVES_MAX: usize = 400;

/// What a statement's answer is about.
enum Question {
    Objects,
    Edges(Assoc),
    Counts,
    /// The names that were asked for: an answer holds a slot, from which the shard follows, and the key itself.
    Names,
    Answers,
    AuditHead(Shard),
    Sequences,
}

/// Statements and what they ask, in order.
#[derive(Default)]
pub(crate) struct Ahead {
    questions: Vec<Question>,
    pub statements: Vec<String>,
}

impl Ahead {
    /// Asks for everything that the overlay wants.
    pub fn of(overlay: &Overlay) -> Ahead {
        let mut ahead = Ahead::default();
        ahead.ask_objects(overlay);
        ahead.ask_edges(overlay);
        let counts = overlay.counts.wanted().map(|(assoc, from)| format!("(from_id = {} AND assoc = '{}')", from.as_i64(), assoc.table()));
        ahead.ask_any("SELECT from_id, assoc, count FROM mapping_counts WHERE ", counts.collect(), || Question::Counts);
        let names = overlay.names.wanted().map(|(shard, kind, key)| {
            let mut sql = format!("(slot = {} AND kind = '{}' AND name_key = ", name_slot(*shard, *kind, key), kind.as_str());
            mysql::quote(&mut sql, key);
            sql + ")"
        });
        ahead.ask_any("SELECT slot, kind, name_key, id, confirmed, claimed_at FROM names WHERE ", names.collect(), || Question::Names);
        let answers = overlay.answers.wanted().map(|(shard, key)| {
            let mut sql = format!("(slot = {} AND idempotency_key = ", key_slot(*shard, key));
            mysql::quote(&mut sql, key);
            sql + ")"
        });
        let select = "SELECT slot, idempotency_key, batch_hash, answer, created_at FROM idempotency WHERE ";
        ahead.ask_any(select, answers.collect(), || Question::Answers);
        for shard in overlay.audit_heads.wanted() {
            let (first, last) = (Id::new(*shard, Kind::Audit, 0).as_i64(), Id::new(*shard, Kind::Audit, (1 << 36) - 1).as_i64());
            ahead.ask(
                Question::AuditHead(*shard),
                format!("SELECT id, hash FROM audit WHERE id BETWEEN {first} AND {last} ORDER BY id DESC LIMIT 1"),
            );
        }
        let slots: Vec<i64> = overlay.sequences.wanted().map(|(shard, kind)| sequence_slot(*shard, *kind)).collect();
        if !slots.is_empty() {
            ahead.ask(Question::Sequences, format!("SELECT slot, next FROM sequences WHERE slot IN ({})", mysql::list(slots)));
        }
        ahead
    }

    fn ask(&mut self, question: Question, statement: String) {
        self.questions.push(question);
        self.statements.push(statement);
    }

    fn ask_any(&mut self, select: &str, alternatives: Vec<String>, question: impl Fn() -> Question) {
        for chunk in alternatives.chunks(ALTERNATIVES_MAX) {
            self.ask(question(), format!("{select}{}", chunk.join(" OR ")));
        }
    }

    fn ask_objects(&mut self, overlay: &Overlay) {
        let mut by_kind: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for id in overlay.objects.wanted() {
            by_kind.entry(id.kind().table()).or_default().push(id.as_i64());
        }
        for (table, ids) in by_kind {
            for chunk in ids.chunks(ALTERNATIVES_MAX) {
                self.ask(Question::Objects, format!("SELECT {OBJECT_COLUMNS} FROM {table} WHERE id IN ({})", mysql::list(chunk)));
            }
        }
    }

    fn ask_edges(&mut self, overlay: &Overlay) {
        let mut by_assoc: BTreeMap<Assoc, BTreeMap<i64, Vec<i64>>> = BTreeMap::new();
        for (assoc, from, to) in overlay.edges.wanted() {
            by_assoc.entry(*assoc).or_default().entry(from.as_i64()).or_default().push(to.as_i64());
        }
        for (assoc, froms) in by_assoc {
            let mut alternatives = Vec::new();
            let mut size = 0;
            let select = format!("SELECT from_id, to_id, sequence FROM {} WHERE ", assoc.table());
            for (from, tos) in froms {
                for chunk in tos.chunks(ALTERNATIVES_MAX) {
                    if size + chunk.len() > ALTERNATIVES_MAX {
                        self.ask(Question::Edges(assoc), format!("{select}{}", alternatives.join(" OR ")));
                        (alternatives, size) = (Vec::new(), 0);
                    }
                    let mut sql = String::new();
                    let _ = write!(sql, "(from_id = {from} AND to_id IN ({}))", mysql::list(chunk));
                    alternatives.push(sql);
                    size += chunk.len();
                }
            }
            self.ask(Question::Edges(assoc), format!("{select}{}", alternatives.join(" OR ")));
        }
    }

    /// Fills the answers in.
    pub fn fill(&self, overlay: &mut Overlay, sets: Vec<Vec<Row>>) -> Result<()> {
        if sets.len() != self.questions.len() {
            return Err(Error::Corrupt(format!("The server answered {} of {} questions.", sets.len(), self.questions.len())));
        }
        for (question, rows) in self.questions.iter().zip(sets) {
            for row in &rows {
                question.fill(overlay, row)?;
            }
        }
        Ok(())
    }
}

impl Question {
    fn fill(&self, overlay: &mut Overlay, row: &Row) -> Result<()> {
        match self {
            Question::Objects => overlay.objects.fill(
                decode_id(row.i64(0)?)?,
                ObjectRow {
                    data: row.string(1)?,
                    version: row.u64(2)?,
                    created_at: row.i64(3)?,
                    updated_at: row.i64(4)?,
                    active: row.bool(5)?,
                },
            ),
            Question::Edges(assoc) => overlay.edges.fill((*assoc, decode_id(row.i64(0)?)?, decode_id(row.i64(1)?)?), row.i64(2)?),
            Question::Counts => overlay.counts.fill((assoc_of(row.text(1)?)?, decode_id(row.i64(0)?)?), row.u64(2)?),
            Question::Names => {
                let kind = name_kind(row.text(1)?).ok_or_else(|| Error::Corrupt("A name is of an unknown kind.".to_owned()))?;
                let name = Name { id: decode_id(row.i64(3)?)?, confirmed: row.bool(4)?, claimed_at: Timestamp(row.i64(5)?) };
                overlay.names.fill((shard_of_slot(row.i64(0)?), kind, row.string(2)?), name);
            }
            Question::Answers => {
                overlay.answers.fill((shard_of_slot(row.i64(0)?), row.string(1)?), (row.string(2)?, row.string(3)?, row.i64(4)?));
            }
            Question::AuditHead(shard) => overlay.audit_heads.fill(*shard, (row.u64(0)?, row.string(1)?)),
            Question::Sequences => {
                let slot = row.i64(0)?;
                let shard = Shard((slot >> 10) as u16);
                let kind = Kind::OBJECTS.into_iter().find(|kind| sequence_slot(shard, *kind) == slot);
                let kind = kind.ok_or_else(|| Error::Corrupt(format!("A sequence stands at {slot}, where none should be.")))?;
                overlay.sequences.fill((shard, kind), row.u64(1)?);
            }
        }
        Ok(())
    }
}

fn shard_of_slot(slot: i64) -> Shard {
    Shard((slot >> 46) as u16)
}

pub(crate) fn assoc_of(table: &str) -> Result<Assoc> {
    let found = Assoc::ALL.iter().find(|assoc| assoc.table() == table);
    found.copied().ok_or_else(|| Error::Corrupt(format!("'{table}' is no association of this version.")))
}
