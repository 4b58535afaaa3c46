//! What stands between people: asked in one question, from the one's side.

use model::{Timestamp, UserId};

use super::{World, user};
use crate::{Change, Relation, Standing, Target};

pub(super) async fn one_question_tells_all_that_stands_between_people(world: World) {
    let feeds = &world.feeds;
    let people: Vec<UserId> = (1..=6).map(user).collect();
    let me = people[0];
    let nothing = Standing::default();
    let with = |relation| Standing { relation, ..nothing };
    assert_eq!(feeds.standings(me, &people).await, Ok(vec![nothing; 6]), "of nobody known");
    assert_eq!(feeds.standings(me, &[]).await, Ok(vec![]));
    let changes = [
        Change::Block { user: me, other: people[1], on: true },
        Change::Block { user: people[2], other: me, on: true },
        Change::Mute { user: me, other: people[3], on: true },
        // Nobody learns of being muted.
        Change::Mute { user: people[4], other: me, on: true },
        Change::Follow { user: me, target: Target::User(people[4]), on: true, at: Timestamp(1) },
        Change::Follow { user: people[5], target: Target::User(me), on: true, at: Timestamp(2) },
        Change::Follow { user: people[5], target: Target::User(people[4]), on: true, at: Timestamp(3) },
    ];
    world.apply(changes.clone()).await;
    let (blocks, blocked_by) = (Relation { blocks: true, ..nothing.relation }, Relation { blocked_by: true, ..nothing.relation });
    let muted = Relation { muted: true, ..nothing.relation };
    let (follows, followed_by) = (Standing { follows: true, ..nothing }, Standing { followed_by: true, ..nothing });
    let expected = vec![nothing, with(blocks), with(blocked_by), with(muted), follows, followed_by];
    assert_eq!(feeds.standings(me, &people).await, Ok(expected.clone()));
    let backwards: Vec<UserId> = people.iter().rev().copied().collect();
    assert_eq!(feeds.standings(me, &backwards).await, Ok(expected.iter().rev().copied().collect()), "in the order of the question");
    assert_eq!(feeds.relations(me, &people).await, Ok(expected.iter().map(|standing| standing.relation).collect()));
    assert_eq!(feeds.standings(people[1], &[me]).await, Ok(vec![with(blocked_by)]), "from the other side");
    assert_eq!(feeds.standings(people[2], &[me]).await, Ok(vec![with(blocks)]));
    assert_eq!(feeds.standings(people[4], &[me]).await, Ok(vec![Standing { followed_by: true, ..with(muted) }]));
    world.apply([Change::Block { user: people[1], other: me, on: true }]).await;
    let both = Relation { blocks: true, blocked_by: true, muted: false };
    assert_eq!(feeds.standings(me, &people[1..2]).await, Ok(vec![with(both)]), "each has blocked the other");
    world.apply([Change::UserGone { user: people[5] }]).await;
    assert_eq!(feeds.standings(me, &people[5..]).await, Ok(vec![nothing]), "who is gone follows nobody");
    let off = changes.into_iter().map(|change| match change {
        Change::Block { user, other, .. } => Change::Block { user, other, on: false },
        Change::Mute { user, other, .. } => Change::Mute { user, other, on: false },
        Change::Follow { user, target, at, .. } => Change::Follow { user, target, on: false, at },
        other => other,
    });
    world.apply(off).await;
    assert_eq!(feeds.standings(me, &people).await, Ok(vec![nothing, with(blocked_by), nothing, nothing, nothing, nothing]));
    let many = vec![me; 1_001];
    assert!(matches!(feeds.standings(me, &many).await, Err(crate::Error::Invalid(_))));
}
