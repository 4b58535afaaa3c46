//! Where rows without an id stand: numbers that begin with the shard, so that a shard is a contiguous range of every primary key.
//!
//! ```text
//! names        shard<<46 | low 46 bits of FNV-1a(kind \0 key)
//! idempotency  shard<<46 | low 46 bits of FNV-1a(key)
//! sequences    shard<<10 | kind
//! ```

use model::id::fnv1a;
use model::{Kind, NameKind, Shard};

/// Bits of an id below the shard.
pub(crate) const SHARD_SHIFT: u32 = 46;
/// Bits of a sequence's slot below the shard.
pub(crate) const SEQUENCE_SHIFT: u32 = 10;

/// Returns where a name stands in its table.
pub(crate) fn name_slot(shard: Shard, kind: NameKind, key: &str) -> i64 {
    slot(shard, fnv1a(kind.as_str().as_bytes().iter().chain(b"\0").chain(key.as_bytes())))
}

/// Returns where an idempotency key stands in its table.
pub(crate) fn key_slot(shard: Shard, key: &str) -> i64 {
    slot(shard, fnv1a(key.as_bytes().iter()))
}

pub(crate) fn sequence_slot(shard: Shard, kind: Kind) -> i64 {
    i64::from(shard.0) << SEQUENCE_SHIFT | i64::from(kind as u16)
}

/// Returns the first and the last slot of a shard.
pub(crate) fn slots_of(shard: Shard) -> (i64, i64) {
    (slot(shard, 0), slot(shard, u64::MAX))
}

fn slot(shard: Shard, hash: u64) -> i64 {
    i64::from(shard.0) << SHARD_SHIFT | (hash & ((1 << SHARD_SHIFT) - 1)) as i64
}

/// Returns the kind of name that a table's text names.
pub(crate) fn name_kind(text: &str) -> Option<NameKind> {
    [NameKind::Username, NameKind::Email, NameKind::ImageHash, NameKind::Tag, NameKind::BoardSlug, NameKind::SourceKey]
        .into_iter()
        .find(|kind| kind.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_on_their_shard() {
        let (first, last) = Shard(4095).id_range();
        let slot = name_slot(Shard(4095), NameKind::Username, "ada") as u64;
        assert!(first <= slot && slot <= last);
        assert_ne!(name_slot(Shard(1), NameKind::Username, "ada"), name_slot(Shard(1), NameKind::Tag, "ada"));
    }
}
