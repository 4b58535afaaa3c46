//! Associations: edges, their order and their counts.

use std::collections::BTreeMap;

use futures_util::future::{FutureExt, join_all};
use model::{Assoc, BoardId, Id, NameKind, Section, SectionId, Shard, UserId};

use super::{Place, SHARD, a_section, assert_clean, batch, board, pin, user};
use crate::{Batch, Edge, Order, Range, name_shard};

const HAS: Assoc = Assoc::BoardHasPins;

pub(super) async fn mapping_is_idempotent_and_counted(place: Place) {
    let storage = place.open();
    let written = storage
        .write(batch(SHARD, |b| {
            b.map(HAS, board(1), pin(1), 10).map(HAS, board(1), pin(1), 99).map(HAS, board(1), pin(2), 20).unmap(HAS, board(1), pin(3));
            b
        }))
        .await
        .expect("a write");
    assert_eq!(written.changed, [true, false, true, false]);
    assert_eq!(storage.count(HAS, board(1)).await, Ok(2));
    assert_eq!(storage.edges(HAS, board(1), &[pin(1).into()]).await, Ok(vec![Some(10)]));
    let written = storage
        .write(batch(SHARD, |b| {
            b.remap(HAS, board(1), pin(1), 30).remap(HAS, board(1), pin(1), 30).remap(HAS, board(1), pin(4), 5).unmap(
                HAS,
                board(1),
                pin(2),
            );
            b.unmap(HAS, board(1), pin(2));
            b
        }))
        .await
        .expect("a write");
    assert_eq!(written.changed, [true, false, true, true, false]);
    assert!(written.versions.is_empty());
    let edges = [Edge { to: pin(1).into(), sequence: 30 }, Edge { to: pin(4).into(), sequence: 5 }];
    assert_eq!(storage.range(HAS, board(1), Range::first(10)).await, Ok(edges.to_vec()));
    assert_eq!(storage.counts(&[(HAS, board(1).into()), (HAS, board(2).into())]).await, Ok(vec![2, 0]));
    // The other end may live anywhere.
    let far = UserId::new(Shard(7), 1);
    storage.write(batch(SHARD, |b| b.map(Assoc::UserFollowsUsers, user(1), far, 1))).await.expect("a write");
    assert_eq!(storage.count(Assoc::UserFollowsUsers, user(1)).await, Ok(1));
    assert_clean(&storage).await;
}

pub(super) async fn ranges_are_ordered_and_go_on_where_they_stopped(place: Place) {
    let storage = place.open();
    let mut writing = Batch::on(SHARD);
    let mut expected: Vec<(i64, Id)> = Vec::new();
    for local in 0..40 {
        // Ties, negative numbers and the ends of the scale are all in it.
        let sequence = match local {
            0 => i64::MAX,
            1 => i64::MIN,
            local => (local as i64 % 7) - 3,
        };
        writing.map(HAS, board(1), pin(local), sequence);
        expected.push((sequence, pin(local).into()));
    }
    writing.map(HAS, board(2), pin(1), 0);
    storage.write(writing).await.expect("a write");
    expected.sort();
    for order in [Order::Ascending, Order::Descending] {
        for limit in [1, 7, 100] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = storage.range(HAS, board(1), Range { after, limit, order }).await.expect("a page");
                assert!(page.len() <= limit);
                seen.extend(page.iter().map(|edge| (edge.sequence, edge.to)));
                let Some(last) = page.last() else { break };
                after = Some((last.sequence, last.to));
            }
            assert_eq!(seen, expected, "{order:?} by {limit}");
        }
        expected.reverse();
    }
    assert_eq!(storage.range(HAS, board(1), Range::first(0)).await, Ok(vec![]));
    assert_eq!(storage.range(HAS, board(3), Range::first(5)).await, Ok(vec![]));
}

pub(super) async fn many_ranges_are_those_of_each(place: Place) {
    let storage = place.open();
    let mut writing = Batch::on(SHARD);
    for from in 0..200 {
        for to in 0..from % 5 {
            writing.map(HAS, board(from), pin(to), (from * 10 + to) as i64);
        }
    }
    storage.write(writing).await.expect("a write");
    for many in [3, 200] {
        let froms: Vec<Id> = (0..many).map(|from| board(from).into()).collect();
        let lists = storage.ranges(HAS, &froms, Range::first(3)).await.expect("a read");
        assert_eq!(lists.len(), froms.len());
        for (from, list) in froms.iter().zip(lists) {
            assert_eq!(storage.range(HAS, *from, Range::first(3)).await, Ok(list));
        }
    }
    assert_eq!(storage.ranges(HAS, &[], Range::first(3)).await, Ok(vec![]));
    let wanted: Vec<_> = (0..200).map(|from| (HAS, board(from).into())).collect();
    let counts = storage.counts(&wanted).await.expect("a read");
    assert_eq!(counts, (0..200).map(|from| from % 5).collect::<Vec<u64>>());
}

pub(super) async fn edges_are_looked_up_in_order(place: Place) {
    let storage = place.open();
    storage.write(batch(SHARD, |b| b.map(HAS, board(1), pin(3), 33).map(HAS, board(1), pin(5), 55))).await.expect("a write");
    let tos: Vec<Id> = [5, 4, 3, 5].map(|local| pin(local).into()).to_vec();
    assert_eq!(storage.edges(HAS, board(1), &tos).await, Ok(vec![Some(55), None, Some(33), Some(55)]));
    assert_eq!(storage.edges(HAS, board(2), &tos).await, Ok(vec![None; 4]));
    assert_eq!(storage.edges(HAS, board(1), &[]).await, Ok(vec![]));
    let many: Vec<Id> = (0..500).map(|local| pin(local).into()).collect();
    let found = storage.edges(HAS, board(1), &many).await.expect("a read");
    assert_eq!(found.iter().flatten().copied().collect::<Vec<_>>(), [33, 55]);
}

pub(super) async fn counts_follow_random_changes(place: Place) {
    let storage = place.open();
    let mut truth: BTreeMap<(u64, u64), i64> = BTreeMap::new();
    let mut state = 20_240_601_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..60 {
        let mut writing = Batch::on(SHARD);
        let mut expected = Vec::new();
        for _ in 0..random(20) {
            let (from, to, sequence) = (random(4), random(12), random(1_000) as i64);
            let edge = (from, to);
            match random(3) {
                0 => {
                    writing.map(HAS, board(from), pin(to), sequence);
                    expected.push(!truth.contains_key(&edge));
                    truth.entry(edge).or_insert(sequence);
                }
                1 => {
                    writing.remap(HAS, board(from), pin(to), sequence);
                    expected.push(truth.insert(edge, sequence) != Some(sequence));
                }
                _ => {
                    writing.unmap(HAS, board(from), pin(to));
                    expected.push(truth.remove(&edge).is_some());
                }
            }
        }
        assert_eq!(storage.write(writing).await.expect("a write").changed, expected);
    }
    for from in 0..4 {
        let edges: Vec<(i64, Id)> = truth.iter().filter(|(edge, _)| edge.0 == from).map(|(edge, seq)| (*seq, pin(edge.1).into())).collect();
        assert_eq!(storage.count(HAS, board(from)).await, Ok(edges.len() as u64));
        let mut found: Vec<_> =
            storage.range(HAS, board(from), Range::first(100)).await.expect("a read").iter().map(|edge| (edge.sequence, edge.to)).collect();
        found.sort_by_key(|(_, to)| *to);
        assert_eq!(found, edges);
    }
    assert_clean(&storage).await;
}

pub(super) async fn concurrent_maps_of_one_edge_count_once(place: Place) {
    let (storage, other) = (place.open(), place.open());
    let maps = (0..40).map(|index| {
        let storage = if index % 2 == 0 { &storage } else { &other };
        storage.write(batch(SHARD, |b| b.map(HAS, board(1), pin(1), index)))
    });
    let results = join_all(maps).await;
    assert_eq!(results.into_iter().filter(|result| result.as_ref().expect("a write").changed == [true]).count(), 1);
    assert_eq!(storage.count(HAS, board(1)).await, Ok(1));
}

pub(super) async fn look_ups_at_the_same_time_get_their_own_answers(place: Place) {
    let storage = place.open();
    // On shards of both servers, of which every third thing is there.
    let from = |n: u64| BoardId::new(Shard((n * 911 % 4096) as u16), n);
    let (key, is_there) = (|n: u64| format!("ada{n}"), |n: u64| n.is_multiple_of(3));
    for n in (0..60).filter(|n| is_there(*n)) {
        let shard = from(n).shard();
        let section = SectionId::new(shard, n);
        let write = batch(shard, |b| b.create(section, &a_section("Lace")).map(HAS, from(n), pin(n), n as i64));
        storage.write(write).await.expect("a write");
        let name = batch(name_shard(NameKind::Username, &key(n)), |b| b.claim(NameKind::Username, key(n), user(n)));
        storage.write(name).await.expect("a claim");
    }
    let looks = (0..60).map(|n| {
        let (storage, there) = (&storage, is_there(n));
        async move {
            let (board, name) = (from(n), format!("ada{n}"));
            let (tos, wanted) = ([pin(n + 1).into(), pin(n).into()], [(HAS, board.into()), (HAS, from(n + 100).into())]);
            let (section, edges, counts, name) = tokio::join!(
                storage.get::<Section>(SectionId::new(board.shard(), n)),
                storage.edges(HAS, board, &tos),
                storage.counts(&wanted),
                storage.name(NameKind::Username, &name),
            );
            assert_eq!(section.expect("a read").is_some(), there, "section {n}");
            assert_eq!(edges, Ok(vec![None, there.then_some(n as i64)]), "edges of {n}");
            assert_eq!(counts, Ok(vec![u64::from(there), 0]), "counts of {n}");
            assert_eq!(name.expect("a read").map(|name| name.id), there.then(|| user(n).into()), "name {n}");
        }
    });
    join_all(looks).await;
    // Whoever goes away while others wait takes nothing of theirs along.
    let gone: Vec<_> = (0..30).map(|n| storage.counts(&[(HAS, from(n).into())]).now_or_never()).collect();
    drop(gone);
    let counts = join_all((0..60).map(|n| storage.count(HAS, from(n)))).await;
    assert!(counts.iter().zip(0..).all(|(count, n)| *count == Ok(u64::from(is_there(n)))), "{counts:?}");
}
