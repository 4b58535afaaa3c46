//! Explore: what is new and what is popular, for everybody.

use std::sync::Arc;
use std::time::Duration;

use feeds::PublicFeed;
use model::{Assoc, Bookmark, Id, Timestamp};

use crate::compose::App;
use crate::error::Result;
use crate::home::{page_by_time, position};
use crate::hydrate::{Page, PageRequest, PinView, Strictness, lists};
use crate::viewer::Viewer;

/// Newest public pins among which popularity is looked for.
const RANKED_AMONG: usize = 2_000;
/// How long a ranking is used before it is computed anew.
const RANKING_LIFETIME: Duration = Duration::from_secs(30);
/// Rounds of candidates for one page.
const ROUNDS_MAX: usize = 40;
/// Entries asked of the feeds at once.
const FEED_STEP: usize = 200;

impl App {
    /// Lists all public pins, newest first.
    pub async fn newest(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<PinView>> {
        let size = request.size()?;
        let mut before = position(request.after(lists::PUBLIC)?)?;
        let (mut views, mut ended) = (Vec::with_capacity(size + 1), false);
        for _ in 0..ROUNDS_MAX {
            let wanted = (size + 1 - views.len()).clamp(16, model::limits::PAGE_SIZE_MAX);
            let page = self.feeds.public(PublicFeed::Everything, before, wanted).await?;
            before = page.entries.last().map(|entry| (entry.at, entry.pin)).or(before);
            let ids: Vec<Id> = page.entries.iter().map(|entry| entry.pin.id()).collect();
            views.extend(self.hydrate(viewer, &ids, Strictness::Public).await?);
            ended = ids.len() < wanted;
            if ended || views.len() > size {
                break;
            }
        }
        Ok(page_by_time(views, size, lists::PUBLIC, before.filter(|_| !ended)))
    }

    /// Lists popular pins: saves, likes and comments, falling with age.
    pub async fn popular(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<PinView>> {
        let size = request.size()?;
        let mut from = request.after(lists::RANKED)?.map_or(0, |(rank, _)| usize::try_from(rank).unwrap_or(0));
        let ranking = self.ranking().await?;
        let mut views = Vec::with_capacity(size);
        while views.len() < size && from < ranking.len() {
            let ids = &ranking[from..ranking.len().min(from + size - views.len())];
            views.extend(self.hydrate(viewer, ids, Strictness::Public).await?);
            from += ids.len();
        }
        let more = from < ranking.len() && !views.is_empty();
        let bookmark = more.then(|| Bookmark { list: lists::RANKED, position: from as i64, id: 0 }.encode());
        Ok(Page { items: views, bookmark })
    }

    async fn ranking(&self) -> Result<Arc<Vec<Id>>> {
        self.cache.value("popular", RANKING_LIFETIME, || self.rank()).await
    }

    async fn rank(&self) -> Result<Vec<Id>> {
        let mut entries = Vec::new();
        let mut before = None;
        while entries.len() < RANKED_AMONG {
            let page = self.feeds.public(PublicFeed::Everything, before, FEED_STEP).await?;
            let Some(last) = page.entries.last() else { break };
            before = Some((last.at, last.pin));
            entries.extend(page.entries);
        }
        let wanted: Vec<_> = entries
            .iter()
            .flat_map(|entry| [Assoc::PinHasSaves, Assoc::PinLikedByUsers, Assoc::PinHasComments].map(|assoc| (assoc, entry.pin.id())))
            .collect();
        let counts = self.storage.counts(&wanted).await?;
        let now = self.now();
        let mut scored: Vec<(f64, Id)> = entries
            .iter()
            .zip(counts.chunks(3))
            .map(|(entry, counts)| (score(counts[0], counts[1], counts[2], now.since(entry.at)), entry.pin.id()))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        Ok(scored.into_iter().map(|(_, id)| id).collect())
    }
}

/// Scores a pin: what people did with it, weighed by effort, divided by its age so that new things get their chance.
fn score(saves: u64, likes: u64, comments: u64, age_ms: i64) -> f64 {
    let acts = 1.0 + 3.0 * saves as f64 + likes as f64 + 2.0 * comments as f64;
    let days = age_ms.max(0) as f64 / Timestamp::DAY as f64;
    acts / (days + 1.0).powf(0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_counts_acts_and_falls_with_age() {
        assert!(score(1, 0, 0, 0) > score(0, 2, 0, 0));
        assert!(score(5, 5, 5, Timestamp::DAY) > score(0, 0, 0, 0));
        assert!(score(1, 1, 1, 300 * Timestamp::DAY) < score(0, 0, 0, 0));
    }
}
