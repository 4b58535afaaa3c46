//! Batches in turn: what needs what, whichever shards they are on, and however many transactions they become.

use futures_util::future::join_all;
use model::{Assoc, ImageId, Kind, Pin, PinId, Shard, UserId};

use super::{Place, SHARD, Setup, a_pin, assert_clean, batch};
use crate::{Batch, Condition, Error, Storage};

/// Another shard of the server that has [`SHARD`], and one of the other server where there are two.
const BESIDE: Shard = Shard(4000);
const ELSEWHERE: Shard = Shard(5);

fn image(shard: Shard) -> ImageId {
    ImageId::new(shard, 7)
}

fn owner(shard: Shard) -> UserId {
    UserId::new(shard, 9)
}

/// A hold on `first`, a pin on [`SHARD`], and a mirror on each of the others.
async fn plan(storage: &Storage, first: Shard, mirrors: &[Shard]) -> (PinId, Vec<Batch>) {
    let pin = PinId::try_from(storage.new_id(SHARD, Kind::Pin).await.expect("an id")).expect("a pin");
    let mut batches =
        vec![batch(first, |b| b.map(Assoc::ImageHasPins, image(first), pin, 1)), batch(SHARD, |b| b.create(pin, &a_pin("in turn")))];
    batches.extend(mirrors.iter().map(|shard| batch(*shard, |b| b.map(Assoc::UserHasPins, owner(*shard), pin, 1))));
    (pin, batches)
}

/// Tells what there is of a plan: its hold, its pin, its mirrors.
async fn found(storage: &Storage, pin: PinId, first: Shard, mirrors: &[Shard]) -> (bool, bool, Vec<bool>) {
    let hold = storage.edges(Assoc::ImageHasPins, image(first), &[pin.id()]).await.expect("a read")[0].is_some();
    let mut mirrored = Vec::new();
    for shard in mirrors {
        mirrored.push(storage.edges(Assoc::UserHasPins, owner(*shard), &[pin.id()]).await.expect("a read")[0].is_some());
    }
    (hold, storage.get::<Pin>(pin).await.expect("a read").is_some(), mirrored)
}

fn told(answers: &[Option<crate::Result<crate::Written>>]) -> String {
    let letter = |answer: &Option<crate::Result<crate::Written>>| match answer {
        Some(Ok(_)) => '+',
        Some(Err(Error::Conflict(_))) => '!',
        Some(Err(error)) => panic!("{error}"),
        None => '-',
    };
    answers.iter().map(letter).collect()
}

pub(super) async fn each_needs_those_before_it_and_the_others_need_these(place: Place) {
    let storage = place.open();
    for (first, mirrors) in [(BESIDE, [SHARD, BESIDE]), (ELSEWHERE, [BESIDE, ELSEWHERE]), (SHARD, [ELSEWHERE, BESIDE])] {
        let case = format!("{first:?} {mirrors:?}");
        let (pin, batches) = plan(&storage, first, &mirrors).await;
        let answers = storage.write_in_turn(batches, 2).await;
        assert_eq!(told(&answers), "++++", "{case}");
        assert_eq!(found(&storage, pin, first, &mirrors).await, (true, true, vec![true; 2]), "{case}");

        let (pin, mut batches) = plan(&storage, first, &mirrors).await;
        batches[0].require(Condition::CountBelow(Assoc::ImageHasPins, image(first).id(), 1));
        assert_eq!(told(&storage.write_in_turn(batches, 2).await), "!---", "{case}");
        assert_eq!(found(&storage, pin, first, &mirrors).await, (false, false, vec![false; 2]), "{case}");

        let (pin, mut batches) = plan(&storage, first, &mirrors).await;
        batches[1].require(Condition::Active(PinId::new(SHARD, 999_999).id()));
        assert_eq!(told(&storage.write_in_turn(batches, 2).await), "+!--", "{case}");
        assert_eq!(found(&storage, pin, first, &mirrors).await, (true, false, vec![false; 2]), "{case}: what was written before stands");

        let (pin, mut batches) = plan(&storage, first, &mirrors).await;
        batches[2].require(Condition::CountIs(Assoc::UserHasPins, owner(mirrors[0]).id(), 77));
        assert_eq!(told(&storage.write_in_turn(batches, 2).await), "++!+", "{case}");
        assert_eq!(found(&storage, pin, first, &mirrors).await, (true, true, vec![false, true]), "{case}");
    }
    assert_eq!(storage.write_in_turn(Vec::new(), 0).await, Vec::new());
    // What can't even be tried is said of all, and nothing is written.
    let (pin, mut batches) = plan(&storage, BESIDE, &[SHARD]).await;
    batches[2].map(Assoc::UserHasPins, owner(BESIDE), pin, 1);
    let answers = storage.write_in_turn(batches, 2).await;
    assert!(answers.iter().all(|answer| matches!(answer, Some(Err(Error::Invalid(_))))), "{answers:?}");
    assert_eq!(found(&storage, pin, BESIDE, &[SHARD]).await, (false, false, vec![false]));
    assert_clean(&storage).await;
}

pub(super) async fn what_is_written_in_turn_on_one_server_is_one_transaction(place: Place) {
    let storage = place.open();
    let (pin, batches) = plan(&storage, BESIDE, &[SHARD, BESIDE]).await;
    let before = storage.stats().await.expect("figures");
    assert_eq!(told(&storage.write_in_turn(batches, 2).await), "++++");
    let after = storage.stats().await.expect("figures");
    assert_eq!(after.writes - before.writes, 4);
    if place.setup == Setup::Mysql {
        assert_eq!(after.group_commits - before.group_commits, 1);
    }
    assert_eq!(found(&storage, pin, BESIDE, &[SHARD]).await, (true, true, vec![true]));
}

pub(super) async fn many_in_turn_at_once_lose_nothing(place: Place) {
    let (storage, other) = (place.open(), place.open());
    let shards = [SHARD, BESIDE, ELSEWHERE];
    let mut plans = Vec::new();
    for round in 0..60 {
        let (first, mirrors) = (shards[round % 3], [shards[(round + 1) % 3], shards[(round / 3) % 3]]);
        plans.push((first, mirrors, plan(&storage, first, &mirrors).await));
    }
    let writes = plans.iter().enumerate().map(|(place, (_, _, (_, batches)))| {
        let storage = if place % 2 == 0 { &storage } else { &other };
        storage.write_in_turn(batches.clone(), 2)
    });
    for answers in join_all(writes).await {
        assert_eq!(told(&answers), "++++");
    }
    for (first, mirrors, (pin, _)) in &plans {
        assert_eq!(found(&storage, *pin, *first, mirrors).await, (true, true, vec![true; 2]));
    }
    for shard in shards {
        let held = plans.iter().filter(|(first, ..)| *first == shard).count() as u64;
        assert_eq!(storage.count(Assoc::ImageHasPins, image(shard)).await, Ok(held));
    }
    assert_clean(&storage).await;
}
