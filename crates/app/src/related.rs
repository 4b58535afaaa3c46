//! More like this: what stands beside the same picture on other boards, then what reads alike.

use std::collections::HashMap;

use model::{Assoc, Id};
use storage::Range;

use crate::compose::App;
use crate::error::Result;
use crate::hydrate::{PinView, Strictness};
use crate::viewer::{Viewer, is_listed};

/// Pins of the same picture whose boards are looked at.
const SIBLINGS_MAX: usize = 50;
/// Pins read of each of those boards.
const NEIGHBOURS_PER_BOARD: usize = 30;

impl App {
    /// Returns pins like this one. When the index is away, only what shares boards is shown.
    pub async fn related(&self, viewer: &Viewer, view: &PinView, limit: usize) -> Result<Vec<PinView>> {
        let pin = view.id();
        let mut ids = self.beside(viewer, view).await?;
        match self.search.similar(pin, viewer.id(), limit * 2).await {
            Ok(hits) => ids.extend(hits.into_iter().map(|hit| hit.id)),
            Err(error) => {
                tracing::warn!(%error, "similar pins are missing: the index is away");
                metrics::counter!(crate::metrics::DEGRADED_READS_TOTAL, "part" => "search").increment(1);
            }
        }
        let mut seen = std::collections::HashSet::from([pin.id()]);
        ids.retain(|id| seen.insert(*id));
        ids.truncate(limit * 3);
        let mut related = self.hydrate(viewer, &ids, Strictness::Listed).await?;
        let mut pictures = std::collections::HashSet::from([view.pin.data.image]);
        related.retain(|other| is_listed(&other.board) && !other.pin.data.hidden && pictures.insert(other.pin.data.image));
        related.truncate(limit);
        Ok(related)
    }

    /// Returns the pins that share the most boards with this picture, over those boards that the viewer may see listed.
    async fn beside(&self, viewer: &Viewer, view: &PinView) -> Result<Vec<Id>> {
        let siblings = self.storage.range(Assoc::ImageHasPins, view.pin.data.image.id(), Range::first(SIBLINGS_MAX)).await?;
        let ids: Vec<Id> = siblings.iter().map(|edge| edge.to).collect();
        let mut boards: Vec<Id> = self.hydrate(viewer, &ids, Strictness::Listed).await?.iter().map(|sibling| sibling.board.id).collect();
        boards.sort_unstable();
        boards.dedup();
        let neighbours = self.storage.ranges(Assoc::BoardHasPins, &boards, Range::first(NEIGHBOURS_PER_BOARD)).await?;
        let mut shared: HashMap<Id, (usize, i64)> = HashMap::new();
        for edge in neighbours.into_iter().flatten() {
            let entry = shared.entry(edge.to).or_insert((0, edge.sequence));
            entry.0 += 1;
        }
        let mut ranked: Vec<_> = shared.into_iter().filter(|(id, _)| !ids.contains(id)).collect();
        ranked.sort_by_key(|(id, (count, at))| (std::cmp::Reverse(*count), std::cmp::Reverse(*at), *id));
        Ok(ranked.into_iter().map(|(id, _)| id).collect())
    }
}
