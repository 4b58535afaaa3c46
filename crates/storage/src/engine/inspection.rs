//! The port's other side, for verification: lists of raw rows by shard, and what mends derived ones. Only engines that hold the store
//! themselves have it; one that asks another process has not.

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard, id::SHARD_COUNT};

use crate::error::{Error, Result};
use crate::row::{Name, Row};
use crate::verify::Finding;

/// A contiguous range of shards, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRange {
    pub first: u16,
    pub last: u16,
}

/// An edge as it is stored, whatever its numbers are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedEdge {
    pub from: i64,
    pub to: i64,
    pub sequence: i64,
}

/// A name as it is stored, whatever its numbers are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredName {
    pub slot: i64,
    pub kind: String,
    pub key: String,
    pub id: i64,
    pub confirmed: bool,
    pub claimed_at: i64,
}

/// The closer look. Pages are ordered by primary key; each goes on behind the last row of the one before.
#[async_trait]
pub trait Inspection: Send + Sync {
    /// Names the server that has a shard; `None` where there is only one place.
    fn server_of(&self, shard: Shard) -> Option<String>;

    /// Returns how many shards are looked at in one piece: the fewer, the shorter each statement.
    fn piece_shards(&self) -> u16;

    /// Lists the rows of one kind on a range of shards.
    async fn list_rows(&self, kind: Kind, shards: ShardRange, after: Option<Id>, limit: usize) -> Result<Vec<Row>>;

    /// Lists the edges of one association on a range of shards, by (from, to).
    async fn list_edges(&self, assoc: Assoc, shards: ShardRange, after: Option<MappedEdge>, limit: usize) -> Result<Vec<MappedEdge>>;

    /// Lists the names on a range of shards, by slot, kind and key.
    async fn list_names(&self, shards: ShardRange, after: Option<&StoredName>, limit: usize) -> Result<Vec<StoredName>>;

    /// Reads the sequence of each edge (from, to) that exists, in their order.
    async fn find_edges(&self, assoc: Assoc, pairs: &[(Id, Id)]) -> Result<Vec<Option<i64>>>;

    /// Tells who holds each name, in their order.
    async fn holders(&self, wanted: &[(NameKind, String)]) -> Result<Vec<Option<Name>>>;

    /// Looks at each place by itself: counts, ids, data, audit chains, rights. At most `findings_max` findings of one sort are listed.
    async fn examine(&self, shards: ShardRange, findings_max: usize) -> Result<Vec<Finding>>;

    /// Sets a count to the number of edges there are, while nobody writes on the shard. Returns whether it was another one.
    async fn recount(&self, assoc: Assoc, from: Id) -> Result<bool>;
}

impl ShardRange {
    pub const ALL: ShardRange = ShardRange { first: 0, last: SHARD_COUNT - 1 };

    /// Refuses a range that is none.
    pub fn new(first: u16, last: u16) -> Result<ShardRange> {
        if first > last || last >= SHARD_COUNT {
            return Err(Error::Invalid(format!("{first}–{last} is no range of shards; they go from 0 to {}.", SHARD_COUNT - 1)));
        }
        Ok(ShardRange { first, last })
    }

    /// Returns the first and the last number (both inclusive) that ids and slots of these shards can have.
    pub(crate) fn numbers(self) -> (i64, i64) {
        (Shard(self.first).id_range().0 as i64, Shard(self.last).id_range().1 as i64)
    }

    pub(crate) fn shards(self) -> impl Iterator<Item = Shard> {
        (self.first..=self.last).map(Shard)
    }

    /// Cuts the range into pieces of at most `count` shards.
    pub(crate) fn pieces(self, count: u16) -> Vec<ShardRange> {
        (self.first..=self.last)
            .step_by(usize::from(count))
            .map(|first| ShardRange { first, last: first.saturating_add(count - 1).min(self.last) })
            .collect()
    }

    /// Returns the part that is in both.
    pub(crate) fn common(self, first: u16, last: u16) -> Option<ShardRange> {
        let (first, last) = (self.first.max(first), self.last.min(last));
        (first <= last).then_some(ShardRange { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_without_gaps() {
        let pieces = ShardRange::new(5, 200).expect("a range").pieces(64);
        assert_eq!(pieces.iter().map(|piece| (piece.first, piece.last)).collect::<Vec<_>>(), [(5, 68), (69, 132), (133, 196), (197, 200)]);
        assert_eq!(ShardRange::ALL.pieces(4_096), [ShardRange::ALL]);
        assert_eq!(ShardRange::ALL.common(4_000, 4_095), Some(ShardRange { first: 4_000, last: 4_095 }));
        assert_eq!(pieces[0].common(69, 70), None);
        for (first, last) in [(2, 1), (0, 4_096)] {
            assert!(ShardRange::new(first, last).expect_err("no range").to_string().contains("0 to 4095"));
        }
    }
}
