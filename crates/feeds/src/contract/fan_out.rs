//! Fan-outs that publishing does not end: what is left of them is delivered later, by calls that may come twice, in any order,
//! after a crash, and after the world has moved on.

use model::Timestamp;

use super::{LIMITS, World, board, facts, pin, topic, user};
use crate::limits::BUILD_MS_MAX;
use crate::{Change, Error, PinFacts, Rest, Target};

/// Publishes and keeps what is left, where `World::apply` would deliver it.
async fn publish(world: &World, pins: impl IntoIterator<Item = PinFacts>) -> Vec<Rest> {
    world.feeds.apply(pins.into_iter().map(Change::Publish).collect()).await.expect("applied")
}

/// Delivers a rest to its end in steps of one follower; returns how many steps it took.
async fn deliver(world: &World, rest: Rest) -> usize {
    let mut left = Some(rest);
    for step in 0..100 {
        let Some(rest) = left else { return step };
        left = world.feeds.deliver(rest, 1).await.expect("delivered");
        assert!(left.is_none_or(|left| (left.pin, left.source) == (rest.pin, rest.source) && left.after < rest.after), "it goes on");
    }
    panic!("{rest:?} does not end");
}

/// People 2 to 6 follow person 1, with a feed in memory each; 6 and 5 came last, so that publishing itself reaches them.
async fn five_followers(world: &World) {
    world.boards(2).await;
    for follower in 2..=6 {
        world.follow(follower, Target::User(user(1))).await;
        world.begin(follower).await;
    }
}

pub(super) async fn a_large_fan_out_reaches_everybody_once(world: World) {
    five_followers(&world).await;
    let rests = publish(&world, [facts(9), facts(7), facts(8)]).await;
    assert_eq!(rests.iter().map(|rest| rest.pin).collect::<Vec<_>>(), [pin(9), pin(7), pin(8)]);
    assert!(rests.iter().all(|rest| rest.source == Target::User(user(1)) && rest.after == Some((Timestamp(5), user(5).id()))));
    assert_eq!((world.pins(6).await, world.pins(5).await, world.pins(4).await), (vec![9, 8, 7], vec![9, 8, 7], vec![]));
    for rest in rests.iter().rev().chain(&rests) {
        assert_eq!(deliver(&world, *rest).await, 3, "4, 3 and 2");
    }
    for follower in 2..=6 {
        assert_eq!(world.pins(follower).await, [9, 8, 7], "follower {follower}");
    }
}

pub(super) async fn each_source_of_a_pin_leaves_its_own_rest(world: World) {
    world.boards(1).await;
    for follower in 2..=6 {
        world.follow(follower, Target::User(user(1))).await;
        world.follow(follower + 2, Target::Topic(topic(1))).await;
        world.follow(follower + 4, Target::Board(board(1))).await;
    }
    for follower in 2..=10 {
        world.begin(follower).await;
    }
    let rests = publish(&world, [PinFacts { topics: vec![topic(1)], ..facts(7) }]).await;
    let mut sources: Vec<Target> = rests.iter().map(|rest| rest.source).collect();
    sources.sort();
    assert_eq!(sources, [Target::User(user(1)), Target::Board(board(1)), Target::Topic(topic(1))]);
    for rest in rests {
        assert_eq!(world.feeds.deliver(rest, 10).await, Ok(None));
    }
    for follower in 2..=10 {
        assert_eq!(world.pins(follower).await, [7], "follower {follower}");
    }
}

pub(super) async fn a_fan_out_goes_on_after_the_world_has_changed(world: World) {
    five_followers(&world).await;
    let rests = publish(&world, [facts(7), facts(8), facts(9)]).await;
    // Half of it is done.
    let halves = [world.feeds.deliver(rests[0], 1).await.expect("delivered").expect("two are left"), rests[1], rests[2]];
    world.feeds.retract(pin(8)).await.expect("applied");
    world.feeds.set_follow(user(3), Target::User(user(1)), false, Timestamp(0)).await.expect("applied");
    world.feeds.set_block(user(1), user(4), true).await.expect("applied");
    // Somebody new comes before every cursor.
    world.advance(BUILD_MS_MAX);
    world.follow(20, Target::User(user(1))).await;
    world.page(20).await;
    world.feeds.fill(user(20), vec![facts(7), facts(9)], None).await.expect("filled");
    for rest in [halves[2], halves[1], halves[0], rests[0]] {
        let steps = deliver(&world, rest).await;
        assert!(rest.pin != pin(8) || steps == 1, "what was retracted ends at once");
    }
    assert_eq!((world.pins(2).await, world.pins(5).await, world.pins(20).await), (vec![9, 7], vec![9, 7], vec![9, 7]));
    assert_eq!((world.pins(3).await, world.pins(4).await), (vec![], vec![]));
    world.follow(3, Target::User(user(1))).await;
    assert!(!world.page(3).await.present, "whoever comes back gets a feed from storage");
}

pub(super) async fn a_rest_counts_for_what_the_pin_is_by_then(world: World) {
    five_followers(&world).await;
    for follower in 2..=6 {
        world.follow(follower, Target::Topic(topic(1))).await;
        world.advance(BUILD_MS_MAX);
        world.begin(follower).await;
    }
    let tagged = PinFacts { topics: vec![topic(1)], ..facts(7) };
    let rests = publish(&world, [tagged.clone()]).await;
    let of_topic = *rests.iter().find(|rest| matches!(rest.source, Target::Topic(_))).expect("a rest of the topic");
    let of_user = *rests.iter().find(|rest| matches!(rest.source, Target::User(_))).expect("a rest of the person");
    // Another time: it stands there, and once.
    world.feeds.publish(PinFacts { at: Timestamp(99), ..tagged.clone() }).await.expect("published");
    deliver(&world, of_topic).await;
    assert_eq!(world.pins(2).await, [7]);
    assert_eq!(world.page(2).await.entries[0].at, Timestamp(99));
    // Another board and no topic: neither rest is for anybody.
    world.feeds.publish(PinFacts { board: board(2), ..facts(7) }).await.expect("published");
    for rest in [of_topic, of_user] {
        assert_eq!(world.feeds.deliver(rest, 1).await, Ok(None));
    }
    let of_nowhere = Rest { pin: pin(7), source: Target::Board(board(77)), after: None };
    assert_eq!(world.feeds.deliver(of_nowhere, 1).await, Ok(None));
    assert!(matches!(world.feeds.deliver(of_user, 0).await, Err(Error::Invalid(_))));
    assert!(matches!(world.feeds.deliver(of_user, 10_001).await, Err(Error::Invalid(_))));
}

/// The facts of a pin go with time. Its followers must not get feeds that lack it and don't say so.
pub(super) async fn a_rest_of_a_pin_that_is_not_known_drops_the_feeds(world: World) {
    five_followers(&world).await;
    let rests = publish(&world, [facts(7)]).await;
    world.publish(8..=60).await;
    for _ in 0..3 {
        world.advance(LIMITS.idle_ms - Timestamp::HOUR);
        world.page(2).await;
        world.page(6).await;
        world.feeds.maintain().await.expect("swept");
    }
    assert!(world.page(2).await.present && world.page(6).await.present);
    assert_eq!(deliver(&world, rests[0]).await, 3);
    assert!(!world.page(2).await.present, "it is built anew");
    assert!(world.page(6).await.present, "publishing reached this one");
}
