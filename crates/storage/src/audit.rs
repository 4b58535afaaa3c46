//! The audit log: append-only, one chain of hashes per shard.
//!
//! ```text
//! hash(n) = SHA-256( hash(n-1) ‖ 0 ‖ id ‖ 0 ‖ at ‖ 0 ‖ actor ‖ 0 ‖ act ‖ 0 ‖ subjects ‖ 0 ‖ data )     hash(0) = ""
//! ```
//!
//! Numbers are written in decimal; an absent actor is empty; subjects and data are the stored JSON texts, which hold no zero byte.
//! Whoever changes or removes an entry must recompute every later one. That the end was not cut off shows when the newest hash is
//! compared with a copy kept elsewhere.

use model::{Id, Kind, Shard, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub id: u64,
    pub at: i64,
    /// A person's id; `None` for the site itself.
    pub actor: Option<u64>,
    pub act: String,
    /// A JSON list of ids.
    pub subjects: String,
    /// A JSON value.
    pub data: String,
    pub previous_hash: String,
    pub hash: String,
}

/// One entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEntry {
    pub shard: Shard,
    /// Counts the entries of one shard from 1.
    pub number: u64,
    pub at: Timestamp,
    pub actor: Option<UserId>,
    pub act: String,
    pub subjects: Vec<Id>,
    pub data: serde_json::Value,
    /// SHA-256 over this entry and the hash before it, hexadecimal.
    pub hash: String,
}

/// Where a shard's chain ends: kept elsewhere, it shows later that the end was not cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub shard: Shard,
    /// Of the newest entry.
    pub number: u64,
    pub hash: String,
}

impl AuditRow {
    /// Computes the hash that the entry should have after `previous_hash`.
    pub(crate) fn compute_hash(&self, previous_hash: &str) -> String {
        let actor = self.actor.map_or_else(String::new, |actor| actor.to_string());
        let (id, at) = (self.id.to_string(), self.at.to_string());
        let mut hasher = Sha256::new();
        for (index, part) in [previous_hash, &id, &at, &actor, &self.act, &self.subjects, &self.data].into_iter().enumerate() {
            if index > 0 {
                hasher.update([0]);
            }
            hasher.update(part.as_bytes());
        }
        hexadecimal(&hasher.finalize())
    }

    /// Decodes the entry; says what is wrong with it if it can't be one.
    pub(crate) fn decode(self) -> Result<AuditEntry, String> {
        let broken = |what: String| format!("Audit entry {} can't be read: {what}", self.id);
        let id = Id::from_u64(self.id).map_err(|error| broken(error.to_string()))?;
        let actor = self.actor.map(|number| Id::from_u64(number).and_then(UserId::try_from)).transpose();
        Ok(AuditEntry {
            shard: id.shard(),
            number: id.local(),
            at: Timestamp(self.at),
            actor: actor.map_err(|error| broken(error.to_string()))?,
            subjects: serde_json::from_str(&self.subjects).map_err(|error| broken(error.to_string()))?,
            data: serde_json::from_str(&self.data).map_err(|error| broken(error.to_string()))?,
            act: self.act,
            hash: self.hash,
        })
    }
}

/// Walks the chains of rows that come in the order of their ids; a new shard begins a new chain.
#[derive(Debug, Default)]
pub(crate) struct ChainCheck {
    last: Option<(Id, String)>,
}

impl ChainCheck {
    /// Takes the next entry; says what is wrong if it does not continue its chain.
    pub(crate) fn next(&mut self, row: &AuditRow) -> Result<(), String> {
        let id = Id::from_u64(row.id).ok().filter(|id| id.kind() == Kind::Audit);
        let Some(id) = id else { return Err(format!("Audit entry {} has no id of an audit entry.", row.id)) };
        let (number, previous_hash) = match self.last.take() {
            Some((last, hash)) if last.shard() == id.shard() => (last.local() + 1, hash),
            _ => (1, String::new()),
        };
        let place = format!("the audit log of shard {} at entry {}", id.shard().0, id.local());
        // Goes on from here, so that one broken link is reported once.
        self.last = Some((id, row.hash.clone()));
        if id.local() != number {
            return Err(format!("Entries are missing in {place}: entry {number} should come here."));
        }
        if row.previous_hash != previous_hash {
            return Err(format!("The chain is broken in {place}: it does not name the hash of the entry before it."));
        }
        if row.hash != row.compute_hash(&previous_hash) {
            return Err(format!("The chain is broken in {place}: the entry was changed after it was written."));
        }
        Ok(())
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(shard: u16, count: u64) -> Vec<AuditRow> {
        let mut previous_hash = String::new();
        let mut rows = Vec::new();
        for number in 1..=count {
            let mut row = AuditRow {
                id: Id::new(Shard(shard), Kind::Audit, number).as_u64(),
                at: 1_000 + number as i64,
                actor: (number % 2 == 0).then(|| UserId::new(Shard(7), 1).as_u64()),
                act: "user_suspended".to_owned(),
                subjects: "[]".to_owned(),
                data: "null".to_owned(),
                previous_hash: previous_hash.clone(),
                hash: String::new(),
            };
            row.hash = row.compute_hash(&previous_hash);
            previous_hash = row.hash.clone();
            rows.push(row);
        }
        rows
    }

    fn check(rows: &[AuditRow]) -> Vec<String> {
        let mut chain = ChainCheck::default();
        rows.iter().filter_map(|row| chain.next(row).err()).collect()
    }

    #[test]
    fn whole_chains_are_clean_and_every_change_shows() {
        let rows: Vec<_> = chain(1, 5).into_iter().chain(chain(2, 3)).collect();
        assert_eq!(check(&rows), Vec::<String>::new());
        for index in 0..rows.len() {
            let changes: [fn(&mut AuditRow); 7] = [
                |row| row.at += 1,
                |row| row.actor = Some(5),
                |row| row.act.push('x'),
                |row| row.subjects = "[\"1\"]".to_owned(),
                |row| row.data = "1".to_owned(),
                |row| row.previous_hash.push('0'),
                |row| row.hash = "0".repeat(64),
            ];
            for change in changes {
                let mut changed = rows.clone();
                change(&mut changed[index]);
                assert!(!check(&changed).is_empty(), "entry {index}");
            }
        }
        for gone in [0, 1, 3, 5, 6] {
            let mut cut = rows.clone();
            cut.remove(gone);
            assert_eq!(check(&cut).len(), 1, "entry {gone} is gone");
        }
    }

    #[test]
    fn parts_can_not_be_shifted_into_each_other() {
        let mut row = chain(1, 1).remove(0);
        row.act = "ab".to_owned();
        row.subjects = "c".to_owned();
        let hash = row.compute_hash("");
        row.act = "a".to_owned();
        row.subjects = "bc".to_owned();
        assert_ne!(row.compute_hash(""), hash);
    }
}
