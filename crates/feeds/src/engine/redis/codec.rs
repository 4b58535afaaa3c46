//! Bytes in Redis.
//!
//! ```text
//! entry of a list      at, ms (8, big-endian) · pin (8, big-endian)                           16 bytes; compares like a position
//! last of a list       'B' building or 'R' ready · nothing, or the entry down to which it lacks nothing   1 or 17 bytes
//! pin                  'P' · owner (8) · board (8) · at (8) · count of topics (1) · topics (8 each) · domain
//! pin, retracted       'X' · when, ms (8)
//! board                flags: 1 known, 2 listed, 4 pinned, 8 widening (1) · owner (8)
//! bucket's marker      era ' ' run_id ' ' offset
//! ```

use model::{BoardId, Id, PinId, Timestamp, TopicId, UserId};

use crate::facts::{BoardFacts, PinFacts, Position};

pub(super) const ENTRY_BYTES: usize = 16;
pub(super) const BUILDING: u8 = b'B';
pub(super) const READY: u8 = b'R';
const KNOWN: u8 = 1;
const LISTED: u8 = 2;

/// Pins are not older than 1970.
fn ms(at: Timestamp) -> u64 {
    at.0.max(0) as u64
}

pub(super) fn entry((at, pin): Position) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..8].copy_from_slice(&ms(at).to_be_bytes());
    bytes[8..].copy_from_slice(&pin.id().as_u64().to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn id<T: TryFrom<Id>>(bytes: &[u8]) -> Option<T> {
    T::try_from(Id::from_u64(number(bytes)?).ok()?).ok()
}

fn at(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(i64::try_from(number(bytes)?).ok()?))
}

pub(super) fn position(bytes: &[u8]) -> Option<Position> {
    let (time, pin) = bytes.split_at_checked(8)?;
    Some((at(time)?, id(pin)?))
}

/// What stands last in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tail {
    pub(super) is_ready: bool,
    /// Down to here the list lacks nothing; below it storage goes on.
    pub(super) floor: Option<Position>,
}

impl Tail {
    pub(super) fn parse(bytes: &[u8]) -> Option<Tail> {
        let (first, rest) = bytes.split_first()?;
        let is_ready = match *first {
            READY => true,
            BUILDING => false,
            _ => return None,
        };
        Some(Tail { is_ready, floor: if rest.is_empty() { None } else { Some(position(rest)?) } })
    }
}

/// What is known about one pin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    Shown(PinFacts),
    Retracted,
}

pub(super) fn pin(facts: &PinFacts) -> Vec<u8> {
    let topics = &facts.topics[..facts.topics.len().min(usize::from(u8::MAX))];
    let mut bytes = Vec::with_capacity(26 + 8 * topics.len() + facts.domain.len());
    bytes.push(b'P');
    bytes.extend_from_slice(&facts.owner.id().as_u64().to_be_bytes());
    bytes.extend_from_slice(&facts.board.id().as_u64().to_be_bytes());
    bytes.extend_from_slice(&ms(facts.at).to_be_bytes());
    bytes.push(topics.len() as u8);
    for topic in topics {
        bytes.extend_from_slice(&topic.id().as_u64().to_be_bytes());
    }
    bytes.extend_from_slice(facts.domain.as_bytes());
    bytes
}

pub(super) fn retracted(now: Timestamp) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend_from_slice(&ms(now).to_be_bytes());
    bytes
}

pub(super) fn known(pin: PinId, bytes: &[u8]) -> Option<Known> {
    match bytes.first()? {
        b'X' => Some(Known::Retracted),
        b'P' => {
            let (fixed, rest) = bytes[1..].split_at_checked(25)?;
            let (topics, domain) = rest.split_at_checked(8 * usize::from(fixed[24]))?;
            let topics: Option<Vec<TopicId>> = topics.chunks_exact(8).map(id).collect();
            let (owner, board): (UserId, BoardId) = (id(&fixed[..8])?, id(&fixed[8..16])?);
            let domain = std::str::from_utf8(domain).ok()?.to_owned();
            Some(Known::Shown(PinFacts { pin, owner, board, topics: topics?, domain, at: at(&fixed[16..24])? }))
        }
        _ => None,
    }
}

pub(super) fn board(bytes: &[u8]) -> Option<BoardFacts> {
    let (flags, owner) = bytes.split_first()?;
    if flags & KNOWN == 0 {
        return None;
    }
    Some(BoardFacts { owner: id(owner)?, listed: flags & LISTED != 0 })
}

/// Up to where a bucket is complete, and in which process of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Marker {
    /// Which rebuild it comes from.
    pub(super) era: u64,
    pub(super) run_id: String,
    pub(super) offset: i64,
}

impl Marker {
    pub(super) fn to_text(&self) -> String {
        format!("{} {} {}", self.era, self.run_id, self.offset)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Marker> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        Some(Marker { era: words.next()?.parse().ok()?, run_id: words.next()?.to_owned(), offset: words.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Shard;

    #[test]
    fn what_is_written_is_read() {
        let facts = PinFacts {
            pin: PinId::new(Shard(3), 7),
            owner: UserId::new(Shard(1), 2),
            board: BoardId::new(Shard(4), 5),
            topics: vec![TopicId::new(Shard(6), 7), TopicId::new(Shard(8), 9)],
            domain: "example.org".into(),
            at: Timestamp(1_700_000_000_123),
        };
        let bytes = pin(&facts);
        assert_eq!(known(facts.pin, &bytes), Some(Known::Shown(facts.clone())));
        assert_eq!(bytes.len(), 26 + 16 + 11);
        assert_eq!(known(facts.pin, &retracted(Timestamp(5))), Some(Known::Retracted));
        assert_eq!(position(&entry(facts.position())), Some(facts.position()));
        let tail = [&[READY][..], &entry(facts.position())].concat();
        assert_eq!(Tail::parse(&tail), Some(Tail { is_ready: true, floor: Some(facts.position()) }));
        assert_eq!(Tail::parse(&[BUILDING]), Some(Tail { is_ready: false, floor: None }));
        for cut in 1..26 + 16 {
            assert_eq!(known(facts.pin, &bytes[..cut]), None, "{cut} bytes");
        }
        let marker = Marker { era: 4, run_id: "0a1b".into(), offset: -7 };
        assert_eq!(Marker::parse(marker.to_text().as_bytes()), Some(marker));
    }

    /// The drawing above, as an example.
    #[test]
    fn entries_compare_like_positions() {
        let one = (Timestamp(258), PinId::new(Shard(0), 1));
        assert_eq!(entry(one), [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 16, 0, 0, 0, 1], "kind 1 begins at bit 36");
        let later = (Timestamp(258), PinId::new(Shard(9), 1));
        assert!(one < later && entry(one) < entry(later));
    }
}
