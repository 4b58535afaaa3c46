//! What travels between machines: the messages of `proto/feeds.proto`, and how this crate's values become them and come back.
//!
//! ```text
//! Change, PinFacts, HomePage …  ◀─ ask.rs questions and changes · answer.rs answers ─▶  messages  ◀─ gRPC ─▶  the other machine
//! ```
//!
//! Values on their way out always fit. Messages on their way in come from another machine, perhaps of another version: what does not
//! fit is refused by name, as the front refuses what its callers get wrong.

mod answer;
mod ask;

pub(crate) use answer::{answered, read};
pub(crate) use ask::{Wanted, apply, wanted};

use model::{BoardId, Id, Kind, PinId, Timestamp, TopicId, UserId};

use crate::error::{Error, Result};
use crate::facts::{Cursor, PinFacts, Position, Rest, Target};

/// The generated messages, client and server.
#[allow(clippy::all, clippy::pedantic)]
pub(crate) mod proto {
    tonic::include_proto!("corkboard.feeds.v1");
}

/// Bytes of one message at most: a call of 10,000 published pins with all their topics and long domains. What is larger is refused,
/// unread.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Topics of one pin. A pin has as many as it has tags.
const TOPICS_PER_PIN_MAX: usize = model::limits::TAGS_PER_PIN_MAX;
/// Bytes of a domain: twice what a name in the DNS can have.
const DOMAIN_BYTES_MAX: usize = 512;

pub(crate) fn id(number: u64) -> Result<Id> {
    Id::from_u64(number).map_err(|error| Error::Invalid(format!("{number} is no id: {error}.")))
}

/// Makes an id of one kind out of a number.
fn id_of<T: TryFrom<Id>>(number: u64, what: &str) -> Result<T> {
    T::try_from(id(number)?).map_err(|_| Error::Invalid(format!("{number} is no id of a {what}.")))
}

pub(crate) fn user(number: u64) -> Result<UserId> {
    id_of(number, "person")
}

pub(crate) fn board(number: u64) -> Result<BoardId> {
    id_of(number, "board")
}

pub(crate) fn topic(number: u64) -> Result<TopicId> {
    id_of(number, "topic")
}

pub(crate) fn pin(number: u64) -> Result<PinId> {
    id_of(number, "pin")
}

fn all<T>(numbers: Vec<u64>, read: impl Fn(u64) -> Result<T>) -> Result<Vec<T>> {
    numbers.into_iter().map(read).collect()
}

pub(crate) fn target(number: u64) -> Result<Target> {
    let target = id(number)?;
    match target.kind() {
        Kind::User => user(number).map(Target::User),
        Kind::Board => board(number).map(Target::Board),
        Kind::Topic => topic(number).map(Target::Topic),
        kind => Err(Error::Invalid(format!("This version of the feeds knows nobody who follows one of {}.", kind.table()))),
    }
}

/// Says that a message has nothing in it that this version knows.
pub(crate) fn empty(what: &str) -> Error {
    Error::Invalid(format!("The {what} is of a kind that this version of the feeds does not know. Update the service before its callers."))
}

pub(crate) fn position_to((at, pin): Position) -> proto::Position {
    proto::Position { at: at.0, pin: pin.as_u64() }
}

fn position(position: proto::Position) -> Result<Position> {
    Ok((Timestamp(position.at), pin(position.pin)?))
}

pub(crate) fn cursor_to((at, id): Cursor) -> proto::Cursor {
    proto::Cursor { at: at.0, id: id.as_u64() }
}

fn cursor(cursor: proto::Cursor) -> Result<Cursor> {
    Ok((Timestamp(cursor.at), id(cursor.id)?))
}

pub(crate) fn pin_to(facts: PinFacts) -> proto::Pin {
    proto::Pin {
        pin: facts.pin.as_u64(),
        owner: facts.owner.as_u64(),
        board: facts.board.as_u64(),
        topics: facts.topics.iter().map(|topic| topic.as_u64()).collect(),
        domain: facts.domain,
        at: facts.at.0,
    }
}

fn pin_of(facts: proto::Pin) -> Result<PinFacts> {
    if facts.topics.len() > TOPICS_PER_PIN_MAX || facts.domain.len() > DOMAIN_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "Pin {} has {} topics and a domain of {} bytes; at most {TOPICS_PER_PIN_MAX} and {DOMAIN_BYTES_MAX} are taken.",
            facts.pin,
            facts.topics.len(),
            facts.domain.len()
        )));
    }
    Ok(PinFacts {
        pin: pin(facts.pin)?,
        owner: user(facts.owner)?,
        board: board(facts.board)?,
        topics: all(facts.topics, topic)?,
        domain: facts.domain,
        at: Timestamp(facts.at),
    })
}

pub(crate) fn rest_to(rest: Rest) -> proto::Rest {
    proto::Rest { pin: rest.pin.as_u64(), source: rest.source.id().as_u64(), after: rest.after.map(cursor_to) }
}

fn rest(rest: proto::Rest) -> Result<Rest> {
    Ok(Rest { pin: pin(rest.pin)?, source: target(rest.source)?, after: rest.after.map(cursor).transpose()? })
}

impl From<&Error> for proto::Error {
    fn from(error: &Error) -> proto::Error {
        let (kind, message) = match error {
            Error::Invalid(message) => ("invalid", message),
            Error::Unavailable(message) => ("unavailable", message),
            Error::Unknown(message) => ("unknown", message),
            Error::Corrupt(message) => ("corrupt", message),
        };
        proto::Error { kind: kind.to_owned(), message: message.clone() }
    }
}

impl From<proto::Error> for Error {
    fn from(error: proto::Error) -> Error {
        let proto::Error { kind, message } = error;
        match kind.as_str() {
            "invalid" => Error::Invalid(message),
            "unavailable" => Error::Unavailable(message),
            "corrupt" => Error::Corrupt(message),
            // A kind that a later version made up says nothing about what happened, as `unknown` does.
            _ => Error::Unknown(message),
        }
    }
}
