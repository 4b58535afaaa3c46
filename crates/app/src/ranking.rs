//! The order of what somebody has not seen yet: a pure function of values.
//!
//! ```text
//! score = log2(1 + AFFINITY · affinity + QUALITY · quality) − age / HALF_LIFE − (small picture ? SMALL_PICTURE : 0)
//!                 how much the viewer          what everybody
//!                 acts on such pins            did with it
//! ```
//!
//! The shape is EdgeRank's (affinity × weight × decay, as Facebook told of it in 2010), in logarithms: one more unit of score is worth one
//! half-life of age. So that no pin's number grows without end, affinity and quality saturate to below 1. Then a greedy pass keeps
//! neighbours apart, as in maximal marginal relevance (Carbonell and Goldstein, 1998) with a rule in place of a similarity.
//!
//! Invariants: the result is a permutation of the candidates without repeats, and depends on nothing but the arguments.

use std::collections::HashSet;

use feeds::Reason;
use model::{BoardId, PinId, Timestamp, UserId};

/// What the greatest affinity is worth beside a pin that nothing speaks for (1). With `QUALITY` alike: a pin with everything, at 1 + 4 + 2,
/// stands beside a new one with nothing after log2(7) = 2.8 half-lives. Affinity counts twice as much as quality: a home feed is for its
/// reader, and Explore already shows what is popular with everybody.
const AFFINITY: f64 = 4.0;
const QUALITY: f64 = 2.0;
/// Milliseconds after which a pin is worth half. Pins keep longer than news: a week is nothing for a recipe. Three days let a weekend's
/// pins still compete on Wednesday.
const HALF_LIFE_MS: f64 = 3.0 * Timestamp::DAY as f64;
/// Parts of affinity: the person, the board, the tags. The person counts most, as what one follows people for is their eye; a tag is
/// shared by too many. They add up to less than 1 together with the greatest `specificity`.
const OWNER_PART: f64 = 0.4;
const BOARD_PART: f64 = 0.25;
const TAGS_PART: f64 = 0.15;
/// What following a board by itself, or a person, says beside following a topic: the narrower the choice, the more it meant.
const BOARD_FOLLOWED: f64 = 0.2;
const PERSON_FOLLOWED: f64 = 0.1;
/// Weights of acts by effort: the same as in Explore's popularity, and as what a person's own acts say of their taste.
pub(crate) const SAVE: f64 = 3.0;
pub(crate) const COMMENT: f64 = 2.0;
pub(crate) const LIKE: f64 = 1.0;
/// Weighed acts at which quality is one half: two saves and a few likes, on the small sites that this is made for.
const QUALITY_HALF: f64 = 8.0;
/// Half-lives that a picture loses whose shorter side has fewer pixels than a card has (236 at least).
const SMALL_PICTURE: f64 = 0.5;
const SMALL_PIXELS: u32 = 200;
/// Neighbours of one board, or of one person, in a row.
const IN_A_ROW_MAX: usize = 2;
/// The least part of affinity or quality that is named as the reason why a pin stands where it does.
const NAMED_MIN: f64 = 0.5;

/// A pin to be ranked, with all that is known for it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    pub pin: PinId,
    pub at: Timestamp,
    pub reason: Reason,
    pub owner: UserId,
    pub board: BoardId,
    /// How much the viewer acts on pins of this person, of this board, with these tags: each from 0 to below 1.
    pub to_owner: f64,
    pub to_board: f64,
    pub to_tags: f64,
    pub save_count: u64,
    pub like_count: u64,
    pub comment_count: u64,
    /// Pixels of the picture's shorter side.
    pub short_side: u32,
}

/// What speaks for a pin beside that something is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Nothing more: it is new enough.
    Follow,
    /// The viewer often acts on pins of its owner.
    Owner,
    /// The viewer often acts on pins of its board.
    Board,
    /// Many did something with it.
    Popularity,
}

/// A pin in a ranked list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    pub pin: PinId,
    pub at: Timestamp,
    pub reason: Reason,
    pub signal: Signal,
}

/// Ranks pins, the best first. A pin that is among them twice counts once.
pub fn rank(candidates: &[Candidate], now: Timestamp) -> Vec<Ranked> {
    let mut seen = HashSet::with_capacity(candidates.len());
    let mut scored: Vec<(f64, &Candidate)> =
        candidates.iter().filter(|candidate| seen.insert(candidate.pin)).map(|candidate| (score(candidate, now), candidate)).collect();
    scored.sort_by(|(a, one), (b, other)| b.total_cmp(a).then((other.at, other.pin).cmp(&(one.at, one.pin))));
    let ordered = spread(scored.into_iter().map(|(_, candidate)| candidate).collect());
    ordered.into_iter().map(|c| Ranked { pin: c.pin, at: c.at, reason: c.reason, signal: signal(c) }).collect()
}

/// Scores a pin; one more is worth a half-life of age. Pins of the future count as new.
fn score(candidate: &Candidate, now: Timestamp) -> f64 {
    let age = now.since(candidate.at).max(0) as f64 / HALF_LIFE_MS;
    let picture = if candidate.short_side < SMALL_PIXELS { SMALL_PICTURE } else { 0.0 };
    (1.0 + AFFINITY * affinity(candidate) + QUALITY * quality(candidate)).log2() - age - picture
}

fn affinity(candidate: &Candidate) -> f64 {
    let specificity = match candidate.reason {
        Reason::Board(_) => BOARD_FOLLOWED,
        Reason::Person(_) => PERSON_FOLLOWED,
        Reason::Topic(_) => 0.0,
    };
    OWNER_PART * candidate.to_owner + BOARD_PART * candidate.to_board + TAGS_PART * candidate.to_tags + specificity
}

fn quality(candidate: &Candidate) -> f64 {
    let (saves, likes, comments) = (candidate.save_count as f64, candidate.like_count as f64, candidate.comment_count as f64);
    saturated(SAVE * saves + LIKE * likes + COMMENT * comments, QUALITY_HALF)
}

/// Maps a sum of weights to 0 up to below 1: `half` to one half, and more and more to little more.
pub(crate) fn saturated(sum: f64, half: f64) -> f64 {
    sum / (sum + half)
}

/// Says what speaks most for a pin, if it speaks loudly.
fn signal(candidate: &Candidate) -> Signal {
    let voices = [
        (AFFINITY * OWNER_PART * candidate.to_owner, candidate.to_owner, Signal::Owner),
        (AFFINITY * BOARD_PART * candidate.to_board, candidate.to_board, Signal::Board),
        (QUALITY * quality(candidate), quality(candidate), Signal::Popularity),
    ];
    let loud = voices.into_iter().filter(|(_, part, _)| *part >= NAMED_MIN);
    loud.max_by(|(a, ..), (b, ..)| a.total_cmp(b)).map_or(Signal::Follow, |(.., signal)| signal)
}

/// Takes the best at each place that does not make a third neighbour of one board or one person; if all would, the best.
fn spread(mut waiting: Vec<&Candidate>) -> Vec<&Candidate> {
    let mut placed: Vec<&Candidate> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let next = waiting.iter().position(|candidate| !crowds(&placed, candidate)).unwrap_or(0);
        placed.push(waiting.remove(next));
    }
    placed
}

fn crowds(placed: &[&Candidate], next: &Candidate) -> bool {
    let Some(from) = placed.len().checked_sub(IN_A_ROW_MAX) else { return false };
    let last = &placed[from..];
    last.iter().all(|candidate| candidate.board == next.board) || last.iter().all(|candidate| candidate.owner == next.owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Shard;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn candidate(pin: u64, owner: u64) -> Candidate {
        let owner = UserId::new(Shard(1), owner);
        Candidate {
            pin: PinId::new(Shard(1), pin),
            at: NOW,
            reason: Reason::Person(owner),
            owner,
            board: BoardId::new(Shard(1), owner.id().local()),
            to_owner: 0.0,
            to_board: 0.0,
            to_tags: 0.0,
            save_count: 0,
            like_count: 0,
            comment_count: 0,
            short_side: 600,
        }
    }

    fn order(candidates: &[Candidate]) -> Vec<u64> {
        rank(candidates, NOW).into_iter().map(|ranked| ranked.pin.id().local()).collect()
    }

    #[test]
    fn what_speaks_for_a_pin() {
        let plain = candidate(1, 1);
        let aged = |days: i64| Candidate {
            pin: PinId::new(Shard(1), 2),
            owner: UserId::new(Shard(1), 2),
            at: NOW.plus(-days * Timestamp::DAY),
            ..plain
        };
        // Each pair: the first one comes first.
        assert_eq!(order(&[aged(1), plain]), [1, 2], "newer");
        assert_eq!(order(&[plain, Candidate { to_owner: 0.8, ..aged(2) }]), [2, 1], "the owner's pins are often saved");
        assert_eq!(order(&[plain, Candidate { to_owner: 0.8, ..aged(9) }]), [1, 2], "but this one is too old");
        assert_eq!(order(&[plain, Candidate { save_count: 5, like_count: 9, ..aged(2) }]), [2, 1], "popular");
        assert_eq!(order(&[plain, Candidate { save_count: 1_000_000, ..aged(9) }]), [1, 2], "popularity saturates");
        assert_eq!(order(&[plain, Candidate { reason: Reason::Board(plain.board), ..aged(0) }]), [2, 1], "followed by itself");
        assert_eq!(order(&[Candidate { short_side: 90, ..aged(0) }, plain]), [1, 2], "a small picture");
        let both = Candidate { to_owner: 0.7, save_count: 4, ..aged(3) };
        assert!(score(&both, NOW) > score(&Candidate { save_count: 0, ..both }, NOW));
        let ancient = Candidate { at: Timestamp(0), ..aged(0) };
        assert!(score(&ancient, NOW) > score(&Candidate { at: Timestamp(-1), ..ancient }, NOW), "age never stops counting");
    }

    #[test]
    fn affinity_stays_below_one() {
        let most = Candidate { to_owner: 1.0, to_board: 1.0, to_tags: 1.0, ..candidate(1, 1) };
        let most = Candidate { reason: Reason::Board(most.board), ..most };
        assert!(affinity(&most) <= 1.0 + 1e-9 && quality(&Candidate { save_count: u64::MAX, ..most }) <= 1.0);
    }

    #[test]
    fn the_loudest_reason_is_named() {
        let plain = candidate(1, 1);
        for (candidate, named) in [
            (plain, Signal::Follow),
            (Candidate { to_owner: 0.4, save_count: 1, ..plain }, Signal::Follow),
            (Candidate { to_owner: 0.6, to_board: 0.6, ..plain }, Signal::Owner),
            (Candidate { to_board: 0.6, to_owner: 0.1, ..plain }, Signal::Board),
            (Candidate { save_count: 9, to_board: 0.6, ..plain }, Signal::Popularity),
        ] {
            assert_eq!(signal(&candidate), named, "{candidate:?}");
        }
    }

    #[test]
    fn no_third_neighbour_while_there_is_another() {
        let mut many: Vec<Candidate> = (0..6).map(|pin| Candidate { to_owner: 0.9, ..candidate(pin, 1) }).collect();
        many.extend((6..8).map(|pin| candidate(pin, 2)));
        assert_eq!(order(&many), [5, 4, 7, 3, 2, 6, 1, 0], "at the end nobody else is left");
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        (0u64..40, 0u64..5, 0u64..8, 0i64..90, 0.0..1.0f64, 0.0..1.0f64, 0u64..30, 50u32..900).prop_map(
            |(pin, owner, board, days, to_owner, to_board, save_count, short_side)| Candidate {
                board: BoardId::new(Shard(1), board),
                at: NOW.plus(-days * Timestamp::DAY),
                to_owner,
                to_board,
                save_count,
                short_side,
                ..candidate(pin, owner)
            },
        )
    }

    proptest! {
        #[test]
        fn every_pin_once_and_the_same_every_time(candidates in prop::collection::vec(any_candidate(), 0..60)) {
            let ranked = rank(&candidates, NOW);
            let (mut given, mut got): (Vec<_>, Vec<_>) = (candidates.iter().map(|c| c.pin).collect(), ranked.iter().map(|r| r.pin).collect());
            given.sort_unstable();
            given.dedup();
            got.sort_unstable();
            prop_assert_eq!(given, got);
            prop_assert_eq!(&ranked, &rank(&candidates, NOW));
            // The order in which distinct pins are given does not matter.
            let distinct: Vec<_> = ranked.iter().filter_map(|r| candidates.iter().find(|c| c.pin == r.pin)).copied().collect();
            let backwards: Vec<_> = distinct.iter().rev().copied().collect();
            prop_assert_eq!(rank(&distinct, NOW), rank(&backwards, NOW));
        }

        #[test]
        fn neighbours_are_kept_apart_as_long_as_it_is_possible(candidates in prop::collection::vec(any_candidate(), 0..60)) {
            let ranked = rank(&candidates, NOW);
            let placed: Vec<&Candidate> = ranked.iter().filter_map(|r| candidates.iter().find(|c| c.pin == r.pin)).collect();
            for at in 0..placed.len() {
                if crowds(&placed[..at], placed[at]) {
                    prop_assert!(placed[at..].iter().all(|later| crowds(&placed[..at], later)), "place {}", at);
                }
            }
        }
    }
}
