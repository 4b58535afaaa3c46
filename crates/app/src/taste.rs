//! What somebody acts on: whose pins, from which boards, with which tags they save, like and comment.
//!
//! ```text
//! newest edges of the person     saves ──▶ what they were saved from ─┐
//! (three ranges at once)         likes ───────────────────────────────┼─▶ pins (through the cache) ─▶ weights, falling with age
//!                                comments ──▶ what they are about ────┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Assoc, Comment, Id, Pin, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use storage::Range;

use crate::compose::App;
use crate::error::Result;
use crate::ranking::{COMMENT, LIKE, SAVE, saturated};

/// Newest acts of each kind that are looked at. Older ones would count next to nothing for whoever acts often.
const ACTS_MAX: usize = 200;
/// How long a taste is used before it is read anew: it follows from months, and need not follow the last click.
const LIFETIME: Duration = Duration::from_secs(600);
/// Milliseconds after which an act counts half.
const HALF_LIFE_MS: f64 = 60.0 * Timestamp::DAY as f64;
/// Weighed acts at which an affinity is one half: three saves, or nine likes.
const HALF: f64 = 9.0;

/// Sums of weighed acts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Taste {
    /// By owner and by board.
    by_id: HashMap<Id, f64>,
    by_tag: HashMap<String, f64>,
}

impl Taste {
    /// Adds an act on a pin.
    fn add(&mut self, pin: &Pin, weight: f64) {
        for id in [pin.owner.id(), pin.board.id()] {
            *self.by_id.entry(id).or_default() += weight;
        }
        for tag in &pin.tags {
            *self.by_tag.entry(tag.clone()).or_default() += weight;
        }
    }

    /// Tells the affinity with a person or a board: 0 to below 1.
    pub fn to(&self, id: Id) -> f64 {
        saturated(self.by_id.get(&id).copied().unwrap_or_default(), HALF)
    }

    /// Tells the affinity with the one of a pin's tags that is liked most: 0 to below 1.
    pub fn to_tags<'a>(&self, tags: impl IntoIterator<Item = &'a String>) -> f64 {
        let most = tags.into_iter().filter_map(|tag| self.by_tag.get(tag)).copied().fold(0.0, f64::max);
        saturated(most, HALF)
    }
}

/// Weighs an act by what it is and how long ago.
fn weight(act: f64, at: i64, now: Timestamp) -> f64 {
    act * (-(now.since(Timestamp(at)).max(0) as f64) / HALF_LIFE_MS).exp2()
}

impl App {
    /// Reads a person's taste, at most every ten minutes.
    pub(crate) async fn taste(&self, user: UserId) -> Result<Arc<Taste>> {
        self.cache.value(&format!("taste/{user}"), LIFETIME, || self.read_taste(user)).await
    }

    async fn read_taste(&self, user: UserId) -> Result<Taste> {
        let newest = |assoc| self.storage.range(assoc, user, Range::first(ACTS_MAX));
        let (own, likes, comments) =
            tokio::try_join!(newest(Assoc::UserHasPins), newest(Assoc::UserLikesPins), newest(Assoc::UserWritesComments))?;
        let own: Vec<(Id, i64)> = own.into_iter().map(|edge| (edge.to, edge.sequence)).collect();
        let comments: Vec<(Id, i64)> = comments.into_iter().map(|edge| (edge.to, edge.sequence)).collect();
        let ids = |edges: &[(Id, i64)]| edges.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let (own_ids, comment_ids) = (ids(&own), ids(&comments));
        let (pins, texts) = tokio::try_join!(self.objects::<Pin>(&own_ids), self.objects::<Comment>(&comment_ids))?;
        let mut acts: Vec<(Id, i64, f64)> = likes.into_iter().map(|edge| (edge.to, edge.sequence, LIKE)).collect();
        let parents = pins.iter().zip(&own).filter_map(|(pin, (_, at))| Some((pin.as_ref()?.data.parent?.id(), *at, SAVE)));
        acts.extend(parents);
        acts.extend(texts.iter().zip(&comments).filter_map(|(text, (_, at))| Some((text.as_ref()?.data.pin.id(), *at, COMMENT))));
        let found = self.by_id::<Pin>(acts.iter().map(|(pin, ..)| *pin)).await?;
        let (mut taste, now) = (Taste::default(), self.now());
        for (pin, at, act) in acts {
            if let Some(pin) = found.get(&pin).filter(|pin| pin.data.owner != user) {
                taste.add(&pin.data, weight(act, at, now));
            }
        }
        Ok(taste)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_count_less_as_they_get_old() {
        let now = Timestamp(1_700_000_000_000);
        assert_eq!(weight(SAVE, now.0, now), SAVE);
        assert!((weight(SAVE, now.0 - 60 * Timestamp::DAY, now) - SAVE / 2.0).abs() < 1e-9);
        assert_eq!(weight(LIKE, now.0 + 5, now), LIKE, "an act of the future is one of now");
    }

    #[test]
    fn a_taste_comes_back_from_a_shared_cache() {
        let mut taste = Taste::default();
        taste.by_id.insert(UserId::new(model::Shard(3), 1).id(), 1.5);
        taste.by_tag.insert("lace".to_owned(), 2.0);
        let json = serde_json::to_vec(&taste).expect("JSON");
        assert_eq!(serde_json::from_slice::<Taste>(&json).expect("a taste"), taste);
    }

    #[test]
    fn affinities_grow_and_stay_below_one() {
        let mut taste = Taste::default();
        let (id, tags) = (UserId::new(model::Shard(0), 1).id(), ["lace".to_owned(), "knots".to_owned()]);
        assert_eq!((taste.to(id), taste.to_tags(&tags)), (0.0, 0.0));
        taste.by_id.insert(id, HALF);
        taste.by_tag.insert("lace".into(), 1e9);
        assert_eq!(taste.to(id), 0.5);
        assert!(taste.to_tags(&tags) > 0.99 && taste.to_tags(&tags) < 1.0 && taste.to_tags(&tags[1..]) == 0.0);
    }
}
