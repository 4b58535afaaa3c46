//! Unique names: claimed, confirmed, released, swept.

use futures_util::future::join_all;
use model::{Id, Kind, NameKind, Shard, Timestamp, UserId};

use super::{Place, START, a_section, batch};
use crate::{Error, Name, Storage, Written, name_shard};

async fn claim(storage: &Storage, kind: NameKind, key: &str, id: Id) -> crate::Result<Written> {
    storage.write(batch(name_shard(kind, key), |b| b.claim(kind, key, id))).await
}

pub(super) async fn a_name_has_one_holder(place: Place) {
    let storage = place.open();
    let (kind, key) = (NameKind::Username, "ada");
    let shard = name_shard(kind, key);
    let (ada, eve): (Id, Id) = (UserId::new(Shard(1), 1).into(), UserId::new(Shard(2), 1).into());
    assert_eq!(storage.name(kind, key).await, Ok(None));
    assert_eq!(claim(&storage, kind, key, ada).await.expect("a claim").changed, [true]);
    place.clock.advance(10);
    assert_eq!(claim(&storage, kind, key, ada).await.expect("the same claim").changed, [false]);
    assert_eq!(storage.name(kind, key).await, Ok(Some(Name { id: ada, confirmed: false, claimed_at: START })));
    let error = claim(&storage, kind, key, eve).await.expect_err("taken");
    assert!(matches!(&error, Error::Conflict(message) if message.contains("'ada' is taken")), "{error}");
    let confirm = |id| batch(shard, |b| b.confirm(kind, key, id));
    assert!(matches!(storage.write(confirm(eve)).await, Err(Error::Conflict(_))));
    assert_eq!(storage.write(confirm(ada)).await.expect("a confirmation").changed, [true]);
    assert_eq!(storage.write(confirm(ada)).await.expect("the same").changed, [false]);
    assert!(storage.name(kind, key).await.expect("a read").expect("a name").confirmed);
    let release = |id| batch(shard, |b| b.release(kind, key, id));
    assert_eq!(storage.write(release(eve)).await.expect("nothing").changed, [false]);
    assert_eq!(storage.write(release(ada)).await.expect("a release").changed, [true]);
    assert_eq!(storage.name(kind, key).await, Ok(None));
    assert!(matches!(storage.write(confirm(ada)).await, Err(Error::NotFound(_))));
    // The same key of another kind is another name.
    claim(&storage, NameKind::Tag, key, Id::new(Shard(1), Kind::Topic, 1)).await.expect("a claim");
    claim(&storage, kind, key, eve).await.expect("free again");
}

pub(super) async fn of_concurrent_claims_one_wins(place: Place) {
    let (storage, other) = (place.open(), place.open());
    let claims = (0..30).map(|index| {
        let storage = if index % 2 == 0 { &storage } else { &other };
        claim(storage, NameKind::Email, "ada@example.org", UserId::new(Shard(index), 1).into())
    });
    let results = join_all(claims).await;
    let winners: Vec<usize> = results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(index, _)| index).collect();
    assert_eq!(winners.len(), 1);
    let holder = storage.name(NameKind::Email, "ada@example.org").await.expect("a read").expect("a holder");
    assert_eq!(usize::from(holder.id.shard().0), winners[0]);
}

pub(super) async fn board_addresses_live_with_their_owner(place: Place) {
    let storage = place.open();
    let owner = UserId::new(Shard(1234), 5);
    let key = format!("{owner}/cats");
    assert_eq!(name_shard(NameKind::BoardSlug, &key), Shard(1234));
    assert_eq!(name_shard(NameKind::Username, &key), Shard::of_key("username", &key));
    let board = Id::new(Shard(1234), Kind::Board, 1);
    claim(&storage, NameKind::BoardSlug, &key, board).await.expect("a claim");
    assert_eq!(storage.name(NameKind::BoardSlug, &key).await.expect("a read").expect("a name").id, board);
}

pub(super) async fn an_owners_names_are_listed(place: Place) {
    let storage = place.open();
    // Neighbours in the same shard, and one whose number begins with the other's.
    let (owner, other) = (UserId::new(Shard(7), 1), UserId::new(Shard(7), 12));
    for (holder, key) in [(owner, "a"), (owner, "b/c"), (other, "a")] {
        claim(&storage, NameKind::SourceKey, &format!("{holder}/{key}"), Id::new(Shard(7), Kind::Pin, 5)).await.expect("a claim");
    }
    claim(&storage, NameKind::BoardSlug, &format!("{owner}/cats"), Id::new(Shard(7), Kind::Board, 1)).await.expect("a claim");
    let mut listed = storage.names_of(owner, NameKind::SourceKey, 10).await.expect("a list");
    listed.sort();
    let pin = Id::new(Shard(7), Kind::Pin, 5);
    assert_eq!(listed, [(format!("{owner}/a"), pin), (format!("{owner}/b/c"), pin)]);
    assert_eq!(storage.names_of(owner, NameKind::SourceKey, 1).await.expect("a list").len(), 1);
    assert_eq!(storage.names_of(owner, NameKind::BoardSlug, 10).await.expect("a list").len(), 1);
    assert!(matches!(storage.names_of(owner, NameKind::Username, 10).await, Err(Error::Invalid(_))));
}

pub(super) async fn claims_whose_owner_died_are_swept(place: Place) {
    let storage = place.open();
    let minute = Timestamp::MINUTE;
    let section = storage.new_id(Shard(9), Kind::Section).await.expect("an id");
    storage.write(batch(Shard(9), |b| b.create(section, &a_section("s")).delete(section))).await.expect("a write");
    let nobody = |local: u64| Id::new(Shard(9), Kind::Section, 1_000 + local);
    // 300 dead claims are more than two pages of a sweep.
    for page in 0..3 {
        let claims = (0..100).map(|index| {
            let (storage, key) = (&storage, format!("dead{page}x{index}"));
            async move { claim(storage, NameKind::Tag, &key, nobody(index)).await }
        });
        assert!(join_all(claims).await.iter().all(Result::is_ok));
    }
    claim(&storage, NameKind::Tag, "alive", section).await.expect("a claim");
    claim(&storage, NameKind::Tag, "confirmed", nobody(0)).await.expect("a claim");
    let shard = name_shard(NameKind::Tag, "confirmed");
    storage.write(batch(shard, |b| b.confirm(NameKind::Tag, "confirmed", nobody(0)))).await.expect("a confirmation");
    place.clock.advance(10 * minute);
    claim(&storage, NameKind::Tag, "young", nobody(1)).await.expect("a claim");
    assert_eq!(storage.sweep_names(15 * minute).await, Ok(0));
    assert_eq!(storage.sweep_names(5 * minute).await, Ok(300));
    assert_eq!(storage.sweep_names(5 * minute).await, Ok(0));
    assert_eq!(storage.name(NameKind::Tag, "dead2x7").await, Ok(None));
    for kept in ["alive", "confirmed", "young"] {
        assert!(storage.name(NameKind::Tag, kept).await.expect("a read").is_some(), "{kept}");
    }
}
