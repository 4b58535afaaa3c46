//! What happens in the model, and how likely it is.

use proptest::prelude::*;

use super::{BOARDS, DOMAINS, PINS, TOPICS, USERS, board, topic, user};
use crate::Target;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Follow(u64, Target, bool),
    LeftOut(u64, u64, bool),
    Block(u64, u64, bool),
    Mute(u64, u64, bool),
    Board(u64, bool),
    Publish {
        pin: u64,
        owner: u64,
        board: u64,
        topics: u64,
        domain: usize,
        at: i64,
    },
    Retract(u64),
    BoardGone(u64),
    UserGone(u64),
    Deliver(usize, bool),
    DeliverAll,
    DeliverRest(usize, usize, bool),
    Read(u64),
    /// Reads, and fills at once.
    Refresh(u64),
    Fill(usize),
    Wait(i64),
    Sweep,
    Snapshot,
    Restart,
    /// Servers lose everything.
    Flush,
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        3 => (0..USERS).prop_map(|n| Target::User(user(n))),
        2 => (0..BOARDS).prop_map(|n| Target::Board(board(n))),
        1 => (0..TOPICS).prop_map(|n| Target::Topic(topic(n))),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let on = || prop::bool::weighted(0.6);
    prop_oneof![
        6 => (0..USERS, target(), prop::bool::weighted(0.8)).prop_map(|(u, t, on)| Step::Follow(u, t, on)),
        2 => (0..USERS, 0..BOARDS, on()).prop_map(|(u, b, on)| Step::LeftOut(u, b, on)),
        1 => (0..USERS, 0..USERS, on()).prop_map(|(u, o, on)| Step::Block(u, o, on)),
        1 => (0..USERS, 0..USERS, on()).prop_map(|(u, o, on)| Step::Mute(u, o, on)),
        2 => (0..BOARDS, prop::bool::weighted(0.7)).prop_map(|(b, listed)| Step::Board(b, listed)),
        14 => (0..PINS, 0..USERS, 0..BOARDS, 0..1_u64 << TOPICS, 0..DOMAINS.len(), 0..60_i64)
            .prop_map(|(pin, owner, board, topics, domain, at)| Step::Publish { pin, owner, board, topics, domain, at }),
        3 => (0..PINS).prop_map(Step::Retract),
        1 => (0..BOARDS * 8).prop_map(Step::BoardGone),
        1 => (0..USERS * 8).prop_map(Step::UserGone),
        8 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(n, twice)| Step::Deliver(n, twice)),
        2 => Just(Step::DeliverAll),
        6 => (any::<usize>(), 1..3_usize, prop::bool::weighted(0.2)).prop_map(|(n, limit, twice)| Step::DeliverRest(n, limit, twice)),
        6 => (0..USERS).prop_map(Step::Read),
        8 => (0..USERS).prop_map(Step::Refresh),
        6 => any::<usize>().prop_map(Step::Fill),
        2 => (0..20_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
        1 => Just(Step::Flush),
    ]
}
