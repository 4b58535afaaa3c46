//! What makes one hit better than another, as pure functions.
//!
//! ```text
//! score = (text relevance + base) × popularity(saves) × freshness(age)
//! ```
//!
//! Text relevance is BM25 over the fields with the boosts below, the best field of each word counting most. Popularity grows with
//! the logarithm of the saves. Freshness halves every [`FRESHNESS_HALF_LIFE_DAYS`] but never takes more than 40 percent.

use model::Timestamp;

/// How much a word counts in each field.
pub(crate) const BOOST_TITLE: f32 = 4.0;
pub(crate) const BOOST_TAGS: f32 = 3.0;
pub(crate) const BOOST_BOARD: f32 = 2.0;
pub(crate) const BOOST_OWNER: f32 = 1.5;
pub(crate) const BOOST_BODY: f32 = 1.0;
/// What a word earns in addition where it stands exactly as typed, not only with the same stem.
pub(crate) const BOOST_EXACT: f32 = 1.0;
/// A user name typed exactly is the person that is meant.
pub(crate) const BOOST_USERNAME: f32 = 12.0;
/// All the words next to each other in the title.
pub(crate) const BOOST_TOGETHER: f32 = 3.0;
/// What the other fields add to the best one.
pub(crate) const TIE_BREAKER: f32 = 0.2;
/// How much less a word counts that was completed, or corrected by one or two letters.
pub(crate) const BOOST_COMPLETED: f32 = 0.5;
pub(crate) const BOOST_CORRECTED: [f32; 3] = [1.0, 0.5, 0.3];

/// Words seen in fewer documents than this (by this viewer) are completed and corrected as well.
pub(crate) const FEW_DOCUMENTS: usize = 3;
/// Corrections and completions of one word that are tried.
pub(crate) const CORRECTIONS_MAX: usize = 8;
pub(crate) const COMPLETIONS_MAX: usize = 16;

/// So that hits of queries with filters only (no text relevance) are ordered by popularity and freshness.
const BASE: f32 = 0.5;
const POPULARITY_WEIGHT: f32 = 0.25;
const FRESHNESS_HALF_LIFE_DAYS: f32 = 180.0;
const FRESHNESS_FLOOR: f32 = 0.6;

/// Returns the typos that are forgiven in a word: none in short words and in numbers.
pub(crate) fn typos_allowed(word: &str) -> u8 {
    if !word.chars().all(char::is_alphabetic) {
        return 0;
    }
    match word.chars().count() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    }
}

/// Returns the final score. `at` is `None` for what has no age.
pub(crate) fn score(relevance: f32, popularity: u64, at: Option<Timestamp>, now: Timestamp) -> f32 {
    (relevance + BASE) * popularity_factor(popularity) * at.map_or(1.0, |at| freshness_factor(now.since(at)))
}

fn popularity_factor(saves: u64) -> f32 {
    1.0 + POPULARITY_WEIGHT * (saves as f32).ln_1p()
}

fn freshness_factor(age_ms: i64) -> f32 {
    let days = age_ms.max(0) as f32 / Timestamp::DAY as f32;
    FRESHNESS_FLOOR + (1.0 - FRESHNESS_FLOOR) * (-days / FRESHNESS_HALF_LIFE_DAYS).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn freshness_halves_and_has_a_floor() {
        assert_eq!(freshness_factor(0), 1.0);
        assert_eq!(freshness_factor(-5), 1.0, "a clock that is ahead earns nothing");
        assert!((freshness_factor(180 * Timestamp::DAY) - 0.8).abs() < 1e-4);
        assert!((freshness_factor(i64::MAX) - FRESHNESS_FLOOR).abs() < 1e-4);
    }

    #[test]
    fn typos_grow_with_the_word() {
        assert_eq!(["cat", "kite", "kittens", "elephant", "2024", "b2b4"].map(typos_allowed), [0, 1, 1, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn more_saves_and_less_age_never_hurt(relevance in 0.0_f32..100.0, saves in 0_u64..1_000_000, age in 0_i64..5_000) {
            let at = NOW.plus(-age * Timestamp::DAY);
            let here = score(relevance, saves, Some(at), NOW);
            prop_assert!(here.is_finite() && here > 0.0);
            prop_assert!(score(relevance, saves + 1, Some(at), NOW) >= here);
            prop_assert!(score(relevance, saves, Some(at.plus(Timestamp::DAY)), NOW) >= here);
            prop_assert!(score(relevance + 1.0, saves, Some(at), NOW) > here);
        }
    }
}
