//! Ids: 64 bits that say where an object lives and what it is.
//!
//! ```text
//! bit  63 62 | 61 ……… 46 | 45 ……… 36 | 35 ……… 0
//!       0  0 |   shard   |   kind    |  local
//!         2  |    16     |    10     |   36      bits
//! ```
//!
//! `241294492511762325` is shard 3429, kind 1 (a pin), local 7075733; a test below checks it. Ids are printed in decimal and sent
//! in JSON as strings, because JavaScript loses bits above 2^53. They are not times: nothing sorts by id to mean "newest".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const LOCAL_BITS: u32 = 36;
const KIND_BITS: u32 = 10;
const LOCAL_MAX: u64 = (1 << LOCAL_BITS) - 1;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
const ID_MAX: u64 = (1 << 62) - 1;

/// The number of shards that exist from the first day. All of them live in one file until a shard map says otherwise.
pub const SHARD_COUNT: u16 = 4096;

/// A shard: a contiguous range of the primary key in every table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Shard(pub u16);

impl Shard {
    /// Returns the shard that a hash of `key` picks: where unique names live. FNV-1a, so that every language can repeat it.
    pub fn of_key(kind: &str, key: &str) -> Shard {
        let hash = fnv1a(kind.as_bytes().iter().chain(b"\0").chain(key.as_bytes()));
        Shard((hash % u64::from(SHARD_COUNT)) as u16)
    }

    /// Returns the first and last id (both inclusive) that can exist on this shard.
    pub fn id_range(self) -> (u64, u64) {
        let first = u64::from(self.0) << (LOCAL_BITS + KIND_BITS);
        (first, first | ((1 << (LOCAL_BITS + KIND_BITS)) - 1))
    }
}

/// Hashes bytes with 64-bit FNV-1a.
pub fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What an id names. The number is part of every id and never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u16)]
pub enum Kind {
    Pin = 1,
    Board = 2,
    User = 3,
    Section = 4,
    Comment = 5,
    Image = 6,
    Session = 7,
    Token = 8,
    Notification = 9,
    Report = 10,
    Topic = 11,
    Site = 12,
    Audit = 13,
    LegalHold = 14,
    Takedown = 15,
}

impl Kind {
    /// Every kind that has an object table, in the order of their numbers.
    pub const OBJECTS: [Kind; 14] = [
        Kind::Pin,
        Kind::Board,
        Kind::User,
        Kind::Section,
        Kind::Comment,
        Kind::Image,
        Kind::Session,
        Kind::Token,
        Kind::Notification,
        Kind::Report,
        Kind::Topic,
        Kind::Site,
        Kind::LegalHold,
        Kind::Takedown,
    ];

    /// Returns the place in [`Kind::OBJECTS`] of a kind that has an object table; audit entries, number 13, have none there.
    pub fn object_index(self) -> usize {
        self as usize - if self < Kind::Audit { 1 } else { 2 }
    }

    fn from_number(number: u16) -> Option<Kind> {
        Self::OBJECTS.into_iter().chain([Kind::Audit]).find(|kind| *kind as u16 == number)
    }

    /// Returns the object table's name: the plural noun.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Pin => "pins",
            Kind::Board => "boards",
            Kind::User => "users",
            Kind::Section => "sections",
            Kind::Comment => "comments",
            Kind::Image => "images",
            Kind::Session => "sessions",
            Kind::Token => "tokens",
            Kind::Notification => "notifications",
            Kind::Report => "reports",
            Kind::Topic => "topics",
            Kind::Site => "sites",
            Kind::Audit => "audit",
            Kind::LegalHold => "legal_holds",
            Kind::Takedown => "takedowns",
        }
    }
}

/// Why a number or text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("'{0}' is not an id: an id is a decimal number below 2^62")]
    NotANumber(String),
    #[error("id {0} has no known type in it")]
    UnknownKind(u64),
    #[error("id {id} names a {found:?}, not a {wanted:?}")]
    WrongKind { id: u64, found: Kind, wanted: Kind },
}

/// The id of any object. Always well-formed: a known kind and two zero bits on top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

impl Id {
    /// Builds an id. `local` must be below 2^36; a shard hands out so many ids that this is a defect, not an input error.
    pub fn new(shard: Shard, kind: Kind, local: u64) -> Id {
        assert!(local <= LOCAL_MAX, "local part {local} does not fit in {LOCAL_BITS} bits");
        Id(u64::from(shard.0) << (LOCAL_BITS + KIND_BITS) | u64::from(kind as u16) << LOCAL_BITS | local)
    }

    /// Reads an id from its number.
    pub fn from_u64(number: u64) -> Result<Id, IdError> {
        if number > ID_MAX {
            return Err(IdError::NotANumber(number.to_string()));
        }
        let kind = ((number >> LOCAL_BITS) & KIND_MASK) as u16;
        Kind::from_number(kind).map(|_| Id(number)).ok_or(IdError::UnknownKind(number))
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the id as SQL integers hold it. Ids are below 2^62, so nothing is lost.
    pub fn as_i64(self) -> i64 {
        self.0 as i64
    }

    pub fn shard(self) -> Shard {
        Shard((self.0 >> (LOCAL_BITS + KIND_BITS)) as u16)
    }

    pub fn kind(self) -> Kind {
        let number = ((self.0 >> LOCAL_BITS) & KIND_MASK) as u16;
        Kind::from_number(number).expect("an Id is only built with a known kind")
    }

    pub fn local(self) -> u64 {
        self.0 & LOCAL_MAX
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}.{})", self.kind(), self.shard().0, self.local())
    }
}

impl FromStr for Id {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Id, IdError> {
        // `u64::from_str` accepts a leading '+', which no id has.
        let number = if text.starts_with('+') { None } else { text.parse::<u64>().ok() };
        Id::from_u64(number.ok_or_else(|| IdError::NotANumber(text.chars().take(40).collect()))?)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes the newtype of one kind's id: an `Id` whose kind is known from its type.
macro_rules! typed_id {
    ($($name:ident => $kind:ident),+ $(,)?) => {$(
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Id);

        impl $name {
            pub fn new(shard: Shard, local: u64) -> $name {
                $name(Id::new(shard, Kind::$kind, local))
            }
            pub fn id(self) -> Id {
                self.0
            }
            pub fn shard(self) -> Shard {
                self.0.shard()
            }
            pub fn as_u64(self) -> u64 {
                self.0.as_u64()
            }
        }
        impl TryFrom<Id> for $name {
            type Error = IdError;
            fn try_from(id: Id) -> Result<$name, IdError> {
                match id.kind() {
                    Kind::$kind => Ok($name(id)),
                    found => Err(IdError::WrongKind { id: id.as_u64(), found, wanted: Kind::$kind }),
                }
            }
        }
        impl From<$name> for Id {
            fn from(typed: $name) -> Id {
                typed.0
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<$name, IdError> {
                text.parse::<Id>()?.try_into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                Id::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

typed_id! {
    PinId => Pin,
    BoardId => Board,
    UserId => User,
    SectionId => Section,
    CommentId => Comment,
    ImageId => Image,
    SessionId => Session,
    TokenId => Token,
    NotificationId => Notification,
    ReportId => Report,
    TopicId => Topic,
    SiteId => Site,
    LegalHoldId => LegalHold,
    TakedownId => Takedown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        for (number, shard, kind, local) in [
            (241294492511762325, 3429, Kind::Pin, 7075733),
            (241294561224164665, 3429, Kind::Board, 1337),
            (241294629943640797, 3429, Kind::User, 733),
        ] {
            let id = Id::from_u64(number).unwrap();
            assert_eq!((id.shard(), id.kind(), id.local()), (Shard(shard), kind, local));
            assert_eq!(Id::new(Shard(shard), kind, local).as_u64(), number);
            assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        }
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "-1", "+241294492511762325", "1e3", "4611686018427387904", "99999999999999999999", "0", "pin"] {
            assert!(text.parse::<Id>().is_err(), "{text:?}");
        }
        let board: Id = "241294561224164665".parse().unwrap();
        assert!(PinId::try_from(board).is_err());
        assert_eq!(serde_json::to_string(&board).unwrap(), "\"241294561224164665\"");
        assert!(serde_json::from_str::<PinId>("\"241294561224164665\"").is_err());
    }

    #[test]
    fn kinds_with_a_table_know_their_place() {
        for (index, kind) in Kind::OBJECTS.into_iter().enumerate() {
            assert_eq!(kind.object_index(), index, "{kind:?}");
        }
    }

    #[test]
    fn a_shard_is_a_range() {
        let (first, last) = Shard(3429).id_range();
        let id = 241294492511762325;
        assert!(first <= id && id <= last);
        assert_eq!(Shard(3430).id_range().0, last + 1);
    }
}
