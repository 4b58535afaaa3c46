//! What travels between machines: the messages of `proto/storage.proto`, and how this crate's values become them and come back.
//!
//! ```text
//! Op, Condition, Range, Row …  ◀─ batch.rs writes · answer.rs reads ─▶  messages  ◀─ gRPC ─▶  the other machine
//! ```
//!
//! Values on their way out always fit. Messages on their way in come from another machine, perhaps of another version: what does not
//! fit is refused by name, as the front refuses what its callers get wrong.

mod answer;
mod batch;

pub(crate) use answer::{Piece, answer_of, pieces};
pub(crate) use batch::{batch_of, conditions_to, ops_to};

use model::{Assoc, Id, Kind, NameKind, Shard};

use crate::error::{Error, Result};
use crate::row::{Commit, Freshness, Order, Range};

/// The generated messages, client and server.
#[allow(clippy::all, clippy::pedantic)]
pub(crate) mod proto {
    tonic::include_proto!("corkboard.storage.v1");
}

/// Bytes of one message at most. A batch has [`crate::BATCH_BYTES_MAX`] bytes of data at most, its ids, names and frames are less than
/// that again, and gathered batches together have no more than one. What is larger is refused, unread.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * crate::BATCH_BYTES_MAX;

pub(crate) fn id(number: u64) -> Result<Id> {
    Id::from_u64(number).map_err(|error| Error::Invalid(format!("{number} is no id: {error}.")))
}

pub(crate) fn ids(numbers: Vec<u64>) -> Result<Vec<Id>> {
    numbers.into_iter().map(id).collect()
}

pub(crate) fn shard(number: u32) -> Result<Shard> {
    u16::try_from(number).map(Shard).map_err(|_| Error::Invalid(format!("Shard {number} does not exist.")))
}

/// Says that the other side uses a word that this version does not have.
fn not_known<T>(what: &str, name: &str) -> Result<T> {
    Err(Error::Invalid(format!("This version of the storage service knows no {what} '{name}'. Update the service before its callers.")))
}

pub(crate) fn assoc(table: &str) -> Result<Assoc> {
    match Assoc::ALL.iter().find(|assoc| assoc.table() == table) {
        Some(assoc) => Ok(*assoc),
        None => not_known("association", table),
    }
}

pub(crate) fn kind(table: &str) -> Result<Kind> {
    match Kind::OBJECTS.iter().find(|kind| kind.table() == table) {
        Some(kind) => Ok(*kind),
        None if table == Kind::Audit.table() => Ok(Kind::Audit),
        None => not_known("table", table),
    }
}

pub(crate) fn name_kind(text: &str) -> Result<NameKind> {
    let all = [NameKind::Username, NameKind::Email, NameKind::ImageHash, NameKind::Tag, NameKind::BoardSlug, NameKind::SourceKey];
    match all.into_iter().find(|kind| kind.as_str() == text) {
        Some(kind) => Ok(kind),
        None => not_known("kind of name", text),
    }
}

/// Says that a message has nothing in it that this version knows.
pub(crate) fn empty(what: &str) -> Error {
    Error::Invalid(format!("The {what} is of a kind that this version of the storage service does not know. Update it before its callers."))
}

impl From<&Error> for proto::Error {
    fn from(error: &Error) -> proto::Error {
        proto::Error { kind: error.reason().to_owned(), message: error.to_string() }
    }
}

impl From<proto::Error> for Error {
    fn from(error: proto::Error) -> Error {
        let proto::Error { kind, message } = error;
        match kind.as_str() {
            "invalid" => Error::Invalid(message),
            "conflict" => Error::Conflict(message),
            "not_found" => Error::NotFound(message),
            "unavailable" => Error::Unavailable(message),
            "corrupt" => Error::Corrupt(message),
            // A kind that a later version made up says nothing about what happened, as `unknown` does.
            _ => Error::Unknown(message),
        }
    }
}

impl From<&Commit> for proto::Commit {
    fn from(commit: &Commit) -> proto::Commit {
        proto::Commit { server: u32::from(commit.server), gtid: commit.gtid.clone() }
    }
}

pub(crate) fn commit(commit: proto::Commit) -> Result<Commit> {
    let server = u16::try_from(commit.server).map_err(|_| Error::Invalid(format!("There is no server {}.", commit.server)))?;
    Ok(Commit { server, gtid: commit.gtid })
}

impl From<&Freshness> for proto::Freshness {
    fn from(freshness: &Freshness) -> proto::Freshness {
        let after = freshness.after.iter().map(Into::into).collect();
        proto::Freshness { at_most_stale_ms: freshness.at_most_stale_ms, after }
    }
}

pub(crate) fn freshness(freshness: proto::Freshness) -> Result<Freshness> {
    let after = freshness.after.into_iter().map(commit).collect::<Result<_>>()?;
    Ok(Freshness { at_most_stale_ms: freshness.at_most_stale_ms, after })
}

pub(crate) fn ranges_to(assoc: Assoc, froms: &[Id], range: Range) -> proto::read::Ranges {
    proto::read::Ranges {
        assoc: assoc.table().to_owned(),
        froms: froms.iter().map(|from| from.as_u64()).collect(),
        after: range.after.map(|(sequence, to)| proto::read::ranges::Place { sequence, to: to.as_u64() }),
        limit: range.limit as u32,
        ascending: range.order == Order::Ascending,
    }
}

pub(crate) fn range(ranges: &proto::read::Ranges) -> Result<Range> {
    let after = match &ranges.after {
        Some(place) => Some((place.sequence, id(place.to)?)),
        None => None,
    };
    let order = if ranges.ascending { Order::Ascending } else { Order::Descending };
    Ok(Range { after, limit: ranges.limit as usize, order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_back_as_they_were() {
        let say = || "Ärger: it's 100 % \u{1f34e}\nand more".to_owned();
        let all = [
            Error::Invalid(say()),
            Error::Conflict(say()),
            Error::NotFound(say()),
            Error::Unavailable(say()),
            Error::Unknown(say()),
            Error::Corrupt(say()),
        ];
        for error in all {
            assert_eq!(Error::from(proto::Error::from(&error)), error);
        }
        let later = proto::Error { kind: "overloaded".to_owned(), message: say() };
        assert_eq!(Error::from(later), Error::Unknown(say()), "what a later version says is not guessed at");
    }

    #[test]
    fn words_travel_by_name_and_unknown_ones_are_refused_by_name() {
        for known in Assoc::ALL {
            assert_eq!(assoc(known.table()), Ok(*known));
        }
        for known in Kind::OBJECTS {
            assert_eq!(kind(known.table()), Ok(known));
        }
        for (refused, word) in [
            (assoc("pin_tickles_users").map(drop), "pin_tickles_users"),
            (kind("spaceships").map(drop), "spaceships"),
            (name_kind("nickname").map(drop), "nickname"),
            (id(u64::MAX).map(drop), "18446744073709551615"),
            (shard(70_000).map(drop), "70000"),
        ] {
            assert!(matches!(&refused, Err(Error::Invalid(message)) if message.contains(word)), "{refused:?} should name {word}");
        }
    }
}
