//! Names of keys. Part of the data layout: a change here asks for a rebuild.
//!
//! ```text
//! {f7b}:h:241294629943640797
//!   │   │ └ the id of whom or what it is about, in decimal
//!   │   └ kind, see `Kind`
//!   └ bucket: one of 256, picked by a hash of the id. In braces, so that a Redis Cluster keeps a bucket's keys together
//! ```

use model::Id;

use crate::facts::{PublicFeed, Target};

/// Buckets that all keys fall into; each lies on one server as a whole.
pub(super) const BUCKET_COUNT: usize = 256;
/// What every key of ours begins with, for scans.
pub(super) const PATTERN: &str = "{f??}:*";
/// Slots of every Redis Cluster.
const SLOT_COUNT: u16 = 16_384;

/// One of the buckets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Bucket(pub(super) u8);

impl Bucket {
    /// Holds what is about all of the site.
    pub(super) const SITE: Bucket = Bucket(0);

    pub(super) fn all() -> impl Iterator<Item = Bucket> {
        (0..=u8::MAX).map(Bucket)
    }

    pub(super) fn of(id: Id) -> Bucket {
        Bucket((id.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
    }

    fn of_text(text: &str) -> Bucket {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Bucket((hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
    }

    /// Returns the slot in which a cluster keeps the bucket.
    pub(super) fn slot(self) -> u16 {
        crc16(format!("f{:02x}", self.0).as_bytes()) % SLOT_COUNT
    }
}

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// List: a person's home feed.
    Home,
    /// While it is there, somebody may be building the person's feed from storage.
    Missed,
    /// While it is there, no built feed is taken.
    Refuse,
    /// What the ranking keeps.
    Shown,
    /// Sorted sets by time: what a person follows.
    Users,
    Boards,
    Topics,
    /// Sorted set by time: who follows a person, a board alone, or a topic.
    Followers,
    /// Sets of a person.
    LeftOut,
    Blocks,
    BlockedBy,
    Mutes,
    /// Set: boards that a person owns.
    Owned,
    /// While it is there, pins that the person made show nowhere.
    Gone,
    /// Set: who left a board out.
    LeftOutBy,
    /// String: a board's facts.
    Board,
    /// String: a pin's facts, or that it was retracted.
    Pin,
    /// List: pins of a merged person or board.
    Merged,
    /// List: a topic's public feed.
    Topic,
}

impl Kind {
    pub(super) fn letters(self) -> &'static str {
        match self {
            Kind::Home => "h",
            Kind::Missed => "m",
            Kind::Refuse => "w",
            Kind::Shown => "s",
            Kind::Users => "u",
            Kind::Boards => "b",
            Kind::Topics => "t",
            Kind::Followers => "fo",
            Kind::LeftOut => "lo",
            Kind::Blocks => "bl",
            Kind::BlockedBy => "bb",
            Kind::Mutes => "mu",
            Kind::Owned => "ob",
            Kind::Gone => "g",
            Kind::LeftOutBy => "lb",
            Kind::Board => "bf",
            Kind::Pin => "p",
            Kind::Merged => "x",
            Kind::Topic => "pt",
        }
    }
}

/// A key and where it lies.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) bucket: Bucket,
    pub(super) name: Vec<u8>,
}

pub(super) fn key(kind: Kind, id: impl Into<Id>) -> Key {
    let id: Id = id.into();
    let bucket = Bucket::of(id);
    let mut name = Vec::with_capacity(32);
    prefix(&mut name, bucket);
    name.extend_from_slice(kind.letters().as_bytes());
    name.push(b':');
    decimal(&mut name, id.as_u64());
    Key { bucket, name }
}

/// The key that says up to where the bucket is complete.
pub(super) fn whole(bucket: Bucket) -> Key {
    named(bucket, "whole")
}

/// Sorted set: sources that are merged at reading, by the time since when.
pub(super) fn merged_sources() -> Key {
    named(Bucket::SITE, "merged")
}

/// The list of a public feed.
pub(super) fn public(feed: &PublicFeed) -> Key {
    match feed {
        PublicFeed::Everything => named(Bucket::SITE, "pe"),
        PublicFeed::Topic(topic) => key(Kind::Topic, *topic),
        PublicFeed::Domain(domain) => named(Bucket::of_text(domain), &format!("pd:{domain}")),
    }
}

/// The list that is merged into the feeds of a source's followers: a topic's is its public one.
pub(super) fn merged(source: Target) -> Key {
    match source {
        Target::Topic(topic) => key(Kind::Topic, topic),
        _ => key(Kind::Merged, source.id()),
    }
}

fn named(bucket: Bucket, name: &str) -> Key {
    let mut bytes = Vec::with_capacity(8 + name.len());
    prefix(&mut bytes, bucket);
    bytes.extend_from_slice(name.as_bytes());
    Key { bucket, name: bytes }
}

fn prefix(name: &mut Vec<u8>, bucket: Bucket) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    name.extend_from_slice(&[b'{', b'f', DIGITS[usize::from(bucket.0 >> 4)], DIGITS[usize::from(bucket.0 & 15)], b'}', b':']);
}

/// Writes a number in decimal. Every push to a feed does it, so it does not go through the formatter.
pub(super) fn decimal(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(&digits[start..]);
}

/// Reads the kind and the id back from a key's name.
pub(super) fn parsed(name: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(name).ok()?;
    let rest = text.get(6..)?;
    Some(rest.split_once(':').unwrap_or((rest, "")))
}

/// CRC-16/XMODEM: what Redis Cluster hashes keys with.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Shard, TopicId, UserId};

    #[test]
    fn keys_are_as_drawn() {
        let user = UserId::try_from(Id::from_u64(241_294_629_943_640_797).expect("an id")).expect("a person");
        let home = key(Kind::Home, user);
        assert_eq!(String::from_utf8_lossy(&home.name), format!("{{f{:02x}}}:h:241294629943640797", home.bucket.0));
        assert_eq!(parsed(&home.name), Some(("h", "241294629943640797")));
        assert_eq!(parsed(&whole(Bucket(1)).name), Some(("whole", "")));
        assert_eq!(merged(Target::Topic(TopicId::new(Shard(1), 1))), public(&PublicFeed::Topic(TopicId::new(Shard(1), 1))));
    }

    #[test]
    fn the_checksum_is_that_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31C3, "the example of the specification");
    }

    #[test]
    fn buckets_are_used_alike() {
        let mut counts = [0; BUCKET_COUNT];
        for shard in 0..64 {
            for n in 1..401 {
                counts[usize::from(Bucket::of(UserId::new(Shard(shard), n).id()).0)] += 1;
            }
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}
