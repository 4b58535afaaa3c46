//! The decisions of a verification, pure: what was read in, findings out.

use model::{Assoc, Board, Id, Image, Kind, NameKind, Shard, Timestamp, TopicObject, User};
use serde::de::IgnoredAny;

use super::advice;
use super::finding::{Finding, Repair};
use crate::engine::inspection::StoredName;
use crate::engine::slots::{name_kind, name_slot};
use crate::row::{Name, Row};
use crate::storage::name_shard;

/// Claims younger than this may belong to a sign-up or a renaming that is still under way; the sweeper waits as long.
pub(super) const CLAIM_YOUNG_MS: i64 = 3_600_000;

/// An edge by its first end, with what stands at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub first: Assoc,
    pub mirror: Assoc,
    pub from: Id,
    pub to: Id,
}

/// A name that follows from an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Borne {
    pub kind: NameKind,
    pub key: String,
    /// It must be held. Otherwise it may be: its object is being deleted, and the name goes before it.
    pub must: bool,
}

impl Finding {
    /// Says that a count is not the number of edges.
    pub(crate) fn wrong_count(assoc: Assoc, from: i64, found: i64, kept: i64) -> Finding {
        let table = assoc.table();
        let what = format!("{table} of {from} has {found} edges, but its count says {kept}.");
        match Id::from_u64(from as u64) {
            Ok(from) => Finding::error(table, what, advice::RECOUNT).mended_by(Repair::Recount { assoc, from }),
            Err(_) => Finding::error(table, what, advice::RESTORE),
        }
    }
}

/// Compares the two ends of an edge.
pub(super) fn judge_pair(pair: Pair, first: Option<i64>, mirror: Option<i64>) -> Option<Finding> {
    let Pair { first: assoc, mirror: back, from, to } = pair;
    match (first, mirror) {
        (Some(_), None) => {
            let what = format!("{} of {from} has {to}, but {} of {to} does not have {from}.", assoc.table(), back.table());
            let repair = Repair::AddMirror { mirror: back, from: to, to: from };
            Some(Finding::error(back.table(), what, advice::MIRROR).mended_by(repair))
        }
        (None, Some(_)) => {
            let what = format!("{} of {to} has {from}, but {} of {from} does not have {to}.", back.table(), assoc.table());
            let repair = Repair::DropMirror { mirror: back, from: to, to: from };
            Some(Finding::error(back.table(), what, advice::MIRROR).mended_by(repair))
        }
        _ => None,
    }
}

/// Lists the names that follow from an object. Fails when its data is not of its schema.
pub(super) fn borne_names(row: &Row) -> Result<Vec<Borne>, serde_json::Error> {
    let borne = |kind, key: String, must| Borne { kind, key, must };
    Ok(match row.id.kind() {
        Kind::User => {
            let user: User = serde_json::from_str(&row.data)?;
            let must = row.active && !user.deleting;
            let names = [(NameKind::Username, user.username), (NameKind::Email, user.email)];
            names.into_iter().filter(|(_, key)| !key.is_empty()).map(|(kind, key)| borne(kind, key.to_lowercase(), must)).collect()
        }
        // A board's address goes in the batch that deletes it.
        Kind::Board if !row.active => Vec::new(),
        Kind::Board => {
            let board: Board = serde_json::from_str(&row.data)?;
            vec![borne(NameKind::BoardSlug, format!("{}/{}", board.owner, board.slug), true)]
        }
        Kind::Image => {
            let image: Image = serde_json::from_str(&row.data)?;
            vec![borne(NameKind::ImageHash, image.picture.hash, row.active && image.deleting_since.is_none())]
        }
        Kind::Topic => {
            let topic: TopicObject = serde_json::from_str(&row.data)?;
            vec![borne(NameKind::Tag, topic.tag, row.active)]
        }
        _ => Vec::new(),
    })
}

/// Compares what an object is called with who holds that name.
pub(super) fn judge_borne(id: Id, borne: &Borne, holder: Option<Name>) -> Option<Finding> {
    let Borne { kind, key, must } = borne;
    let (table, word) = (id.kind().table(), kind.as_str());
    match holder {
        _ if !must => None,
        Some(name) if name.id == id => None,
        Some(name) => {
            let what = format!("{table} {id} has the {word} '{key}', which {} holds.", name.id);
            Some(Finding::error("names", what, advice::NAME_TAKEN))
        }
        None => {
            let what = format!("{table} {id} has the {word} '{key}', which nobody holds: it can't be found by it.");
            let repair = Repair::Claim { kind: *kind, key: key.clone(), id };
            Some(Finding::error("names", what, advice::NAME).mended_by(repair))
        }
    }
}

/// Compares a name with its holder. `holder` is `None` when there is no such object.
pub(super) fn judge_name(name: &StoredName, holder: Option<&Row>, now: Timestamp) -> Option<Finding> {
    let StoredName { key, .. } = name;
    let lost = |what: String| Some(Finding::error("names", what, advice::NAME_LOST));
    let Some(kind) = name_kind(&name.kind) else {
        return lost(format!("The name '{key}' is of the unknown kind '{}'.", name.kind));
    };
    let word = kind.as_str();
    let shard = name_shard(kind, key);
    if name.slot != name_slot(shard, kind, key) {
        let stands = Shard((name.slot >> crate::engine::slots::SHARD_SHIFT) as u16);
        return lost(format!("The {word} '{key}' stands on shard {} at a place where nobody looks for it.", stands.0));
    }
    let Ok(id) = Id::from_u64(name.id as u64) else {
        return lost(format!("The {word} '{key}' is held by {}, which is no id.", name.id));
    };
    // What an import or a notice made once must not be made again, even when it is gone.
    if kind == NameKind::SourceKey || now.since(Timestamp(name.claimed_at)) < CLAIM_YOUNG_MS {
        return None;
    }
    let repair = || Repair::Release { kind, key: key.clone(), id };
    let Some(row) = holder else {
        let what = format!("The {word} '{key}' is held by {id}, which does not exist: nobody else can have it.");
        let finding = if name.confirmed { Finding::error } else { Finding::warning };
        return Some(finding("names", what, advice::NAME).mended_by(repair()));
    };
    // Data that can't be read is a finding of its own.
    let borne = borne_names(row).ok()?;
    if !borne.iter().any(|borne| borne.kind == kind && borne.key == *key) {
        let what = format!("The {word} '{key}' is held by {id}, which is not called so: nobody else can have it.");
        return Some(Finding::error("names", what, advice::NAME).mended_by(repair()));
    }
    if !name.confirmed {
        let what = format!("The {word} '{key}' is still only claimed by {id}, which exists.");
        return Some(Finding::warning("names", what, advice::NAME).mended_by(Repair::Confirm { kind, key: key.clone(), id }));
    }
    None
}

/// Looks whether data is of the schema of its kind. Data that is no JSON at all is found elsewhere.
pub(super) fn judge_data(row: &Row) -> Option<Finding> {
    let (kind, table) = (row.id.kind(), row.id.kind().table());
    let error = model::object::check_schema(kind, row.data.as_bytes()).err()?;
    serde_json::from_str::<IgnoredAny>(&row.data).ok()?;
    Some(Finding::error(table, format!("The data of {table} {} can't be read: {error}.", row.id), advice::RESTORE))
}

/// Keeps the findings that a second look found as well. What `--repair` can mend is the same finding whatever its numbers are by now.
pub(super) fn lasting(before: Vec<Finding>, again: &[Finding]) -> Vec<Finding> {
    let is_same = |a: &Finding, b: &Finding| {
        a.server == b.server && a.table == b.table && if a.repair.is_some() { a.repair == b.repair } else { a.what == b.what }
    };
    before.into_iter().filter_map(|finding| again.iter().find(|other| is_same(&finding, other)).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use model::{PinId, UserId};

    use super::*;

    const SHARD: Shard = Shard(7);
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn user_row(local: u64, username: &str, more: &str) -> Row {
        let data = format!(r#"{{"username":"{username}","email":"","password_hash":"","name":"x","joined_at":1{more}}}"#);
        Row { id: UserId::new(SHARD, local).id(), data, version: 1, created_at: NOW, updated_at: NOW, active: true }
    }

    fn name(key: &str, holder: Id) -> StoredName {
        let slot = name_slot(name_shard(NameKind::Username, key), NameKind::Username, key);
        StoredName { slot, kind: "username".to_owned(), key: key.to_owned(), id: holder.as_i64(), confirmed: true, claimed_at: 0 }
    }

    fn said(finding: Option<Finding>) -> String {
        finding.map_or("fine".to_owned(), |finding| format!("{:?} {} {:?}", finding.severity, finding.what, finding.repairable))
    }

    #[test]
    fn of_two_ends_the_first_is_the_truth() {
        let (first, mirror) = Assoc::MIRRORED[0];
        let pair = Pair { first, mirror, from: UserId::new(SHARD, 1).id(), to: PinId::new(SHARD, 2).id() };
        assert_eq!((judge_pair(pair, Some(1), Some(1)), judge_pair(pair, None, None)), (None, None));
        let (from, to) = (pair.to, pair.from);
        assert_eq!(judge_pair(pair, Some(1), None).and_then(|finding| finding.repair), Some(Repair::AddMirror { mirror, from, to }));
        assert_eq!(judge_pair(pair, None, Some(1)).and_then(|finding| finding.repair), Some(Repair::DropMirror { mirror, from, to }));
    }

    #[test]
    fn names_are_held_against_who_bears_them() {
        let ada = user_row(1, "ada", "");
        assert_eq!(judge_name(&name("ada", ada.id), Some(&ada), NOW), None);
        assert!(said(judge_name(&name("ada", ada.id), None, NOW)).contains("Error The username 'ada' is held by"));
        assert!(said(judge_name(&name("eve", ada.id), Some(&ada), NOW)).contains("not called so"));
        let young = StoredName { claimed_at: NOW.0 - CLAIM_YOUNG_MS + 1, ..name("eve", ada.id) };
        assert_eq!(judge_name(&young, Some(&ada), NOW), None, "a renaming may be under way");
        let claimed = StoredName { confirmed: false, ..name("ada", ada.id) };
        assert!(said(judge_name(&claimed, Some(&ada), NOW)).starts_with("Warning"));
        assert!(said(judge_name(&claimed, None, NOW)).starts_with("Warning"));
        for (lost, wanted) in [
            (StoredName { kind: "nickname".to_owned(), ..name("ada", ada.id) }, "unknown kind"),
            (StoredName { slot: 5, ..name("ada", ada.id) }, "shard 0 at a place where nobody looks"),
            (StoredName { id: -1, ..name("ada", ada.id) }, "no id"),
        ] {
            let found = said(judge_name(&lost, Some(&ada), NOW));
            assert!(found.contains(wanted) && found.ends_with("false"), "{found}");
        }
    }

    #[test]
    fn whoever_bears_a_name_must_hold_it() {
        let ada = user_row(1, "Ada", "");
        let borne = borne_names(&ada).expect("a user");
        assert_eq!(borne, [Borne { kind: NameKind::Username, key: "ada".to_owned(), must: true }]);
        let held_by = |id| Some(Name { id, confirmed: true, claimed_at: NOW });
        assert_eq!(judge_borne(ada.id, &borne[0], held_by(ada.id)), None);
        assert!(said(judge_borne(ada.id, &borne[0], None)).ends_with("true"));
        assert!(said(judge_borne(ada.id, &borne[0], held_by(UserId::new(SHARD, 2).id()))).ends_with("holds. false"));
        let going = borne_names(&user_row(1, "ada", r#","deleting":true"#)).expect("a user");
        assert_eq!(judge_borne(ada.id, &going[0], None), None, "its names go before it");
        assert!(said(judge_data(&Row { data: "{}".to_owned(), ..ada.clone() })).contains("can't be read"));
        assert_eq!((judge_data(&ada), judge_data(&Row { data: "{".to_owned(), ..ada.clone() })), (None, None));
    }

    #[test]
    fn only_what_lasts_is_reported() {
        let from = UserId::new(SHARD, 1).id().as_i64();
        let count = |found, kept| Finding::wrong_count(Assoc::UserHasPins, from, found, kept);
        let right = |what: &str| Finding::error("owned_shards", what.to_owned(), advice::RIGHTS);
        assert_eq!(lasting(vec![count(3, 2), right("a")], &[right("b"), count(4, 3)]), [count(4, 3)]);
        assert_eq!(lasting(vec![count(3, 2)], &[]), []);
    }
}
