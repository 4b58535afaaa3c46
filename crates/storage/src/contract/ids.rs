//! Ids: handed out once, for ever.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use model::{Kind, Shard};

use super::{Place, SHARD};

pub(super) async fn are_unique_over_restarts_and_processes(place: Place) {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let (storage, other) = (place.open(), place.open());
        let ids = (0..100).map(|index| {
            let storage = if index % 2 == 0 { &storage } else { &other };
            storage.new_id(SHARD, Kind::Pin)
        });
        for id in join_all(ids).await {
            let id = id.expect("an id");
            assert_eq!((id.shard(), id.kind()), (SHARD, Kind::Pin));
            assert!(id.local() > 0);
            assert!(seen.insert(id), "{id:?} twice");
        }
    }
    assert_eq!(seen.len(), 300);
    // Other shards and kinds count on their own.
    let storage = place.open();
    assert_eq!(storage.new_id(Shard(0), Kind::Pin).await.expect("an id").local(), 1);
    assert_eq!(storage.new_id(SHARD, Kind::Board).await.expect("an id").local(), 1);
}

pub(super) async fn are_reserved_in_growing_blocks(place: Place) {
    let storage = place.open();
    for _ in 0..1_000 {
        storage.new_id(SHARD, Kind::Pin).await.expect("an id");
    }
    // 8 + 16 + 32 + 64 + 128 + 256 + 256 + 256 = 1,016.
    assert_eq!(storage.stats().await.expect("figures").writes, 8);
    for _ in 0..100 {
        assert!(storage.open_shard().0 < 4_096);
    }
}
