//! Lists of associations as pages read them: through the cache, and from storage where what is kept of a list is not enough.
//!
//! What decides a write, and what consumers and jobs make equal, is read from storage itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use cache::{Grown, List, ListKey, Stale};
use futures_util::future::try_join_all;
use model::{Assoc, Id};
use storage::{Batch, Edge, Op, Order, Range, Storage, Written};

use crate::compose::App;
use crate::error::Result;

/// Edges kept of lists whose first pages are shown, with room for what is hidden.
const SHOWN: usize = 64;
/// Edges kept of lists that are asked for members, which can be told only of whole lists.
const ASKED: usize = 256;

/// How many of the newest edges are kept beside the count; `None`: nothing is.
pub(crate) fn kept(assoc: Assoc) -> Option<usize> {
    use Assoc as A;
    match assoc {
        A::UserHasBoards | A::UserJoinsBoards | A::UserHasImages | A::UserLikesPins => Some(ASKED),
        A::BoardHasPins
        | A::BoardOrdersPins
        | A::BoardHasSections
        | A::SectionHasPins
        | A::TopicHasPins
        | A::UserHasPins
        | A::UserHasNotifications => Some(SHOWN),
        A::BoardHidesPins
        | A::CommentLikedByUsers
        | A::PinHasComments
        | A::PinHasSaves
        | A::PinLikedByUsers
        | A::TopicFollowedByUsers
        | A::UserFollowedByUsers
        | A::UserFollowsBoards
        | A::UserFollowsUsers => Some(0),
        _ => None,
    }
}

/// The lists of which something is kept, and whose edges a batch writes.
pub(crate) struct WrittenLists {
    /// By list: the places of the operations among all, and the operations.
    ops: BTreeMap<ListKey, Vec<(usize, Op)>>,
}

impl WrittenLists {
    pub(crate) fn of(batch: &Batch) -> WrittenLists {
        let mut ops: BTreeMap<ListKey, Vec<(usize, Op)>> = BTreeMap::new();
        for (place, op) in batch.edge_ops() {
            if let Op::Map { assoc, from, .. } | Op::Remap { assoc, from, .. } | Op::Unmap { assoc, from, .. } = &op
                && kept(*assoc).is_some()
            {
                ops.entry((*assoc, *from)).or_default().push((place, op));
            }
        }
        WrittenLists { ops }
    }

    /// Returns all of them, to be forgotten.
    pub(crate) fn stale(&self) -> Vec<Stale> {
        self.ops.keys().map(|(assoc, from)| Stale::list(*assoc, *from)).collect()
    }

    /// Returns those that got edges and lost none, and all others, to be forgotten.
    pub(crate) fn grown_and_stale(&self, written: &Written) -> (Vec<Grown>, Vec<Stale>) {
        if written.replayed {
            return (Vec::new(), self.stale());
        }
        let (mut grown, mut stale) = (Vec::new(), Vec::new());
        for (list, ops) in &self.ops {
            let mut growth = Grown { list: *list, new: Vec::new(), moved: Vec::new(), kept: kept(list.0).unwrap_or_default() };
            let mut is_growth = true;
            for (place, op) in ops {
                match (written.changed.get(*place), op) {
                    (Some(false), _) => {}
                    (Some(true), Op::Map { to, sequence, .. }) => growth.new.push((*to, *sequence)),
                    (Some(true), Op::Remap { to, sequence, .. }) => growth.moved.push((*to, *sequence)),
                    _ => is_growth = false,
                }
            }
            // Each edge once: the order of several says what became of it.
            let mut ends: Vec<Id> = growth.new.iter().chain(&growth.moved).map(|(to, _)| *to).collect();
            ends.sort_unstable();
            if is_growth && ends.windows(2).all(|pair| pair[0] != pair[1]) {
                grown.push(growth);
            } else {
                stale.push(Stale::list(list.0, list.1));
            }
        }
        (grown, stale)
    }
}

impl App {
    async fn lists(&self, keys: &[ListKey]) -> Result<Vec<Arc<List>>> {
        let storage = self.storage.clone();
        Ok(self.cache.lists(keys, move |wanted| async move { load(&storage, wanted).await }).await?)
    }

    /// Returns how many edges each of these associations has; same order and length.
    pub async fn counts_of(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        if wanted.iter().any(|(assoc, _)| kept(*assoc).is_none()) {
            return Ok(self.storage.counts(wanted).await?);
        }
        Ok(self.lists(wanted).await?.into_iter().map(|list| list.count).collect())
    }

    /// Returns how many edges an association has.
    pub async fn count_of(&self, assoc: Assoc, from: impl Into<Id>) -> Result<u64> {
        Ok(self.counts_of(&[(assoc, from.into())]).await?[0])
    }

    /// Reads the newest edges of an association from many objects; same order and length.
    pub async fn newest_of(&self, assoc: Assoc, froms: &[Id], limit: usize) -> Result<Vec<Vec<Edge>>> {
        if kept(assoc).is_none_or(|kept| kept < limit) {
            return Ok(self.storage.ranges(assoc, froms, Range::first(limit)).await?);
        }
        let keys: Vec<ListKey> = froms.iter().map(|from| (assoc, *from)).collect();
        Ok(self.lists(&keys).await?.into_iter().map(|list| edges(&list.newest).take(limit).collect()).collect())
    }

    /// Reads a page of edges, newest first, strictly after one.
    pub async fn page_of_edges(&self, assoc: Assoc, from: Id, after: Option<(i64, Id)>, limit: usize) -> Result<Vec<Edge>> {
        if kept(assoc).is_some_and(|kept| kept > 0) {
            let list = self.lists(&[(assoc, from)]).await?.remove(0);
            let is_behind = |edge: &Edge| after.is_none_or(|after| (edge.sequence, edge.to) < after);
            let page: Vec<Edge> = edges(&list.newest).filter(is_behind).take(limit).collect();
            if page.len() == limit || list.is_whole() {
                return Ok(page);
            }
        }
        Ok(self.storage.range(assoc, from, Range { after, limit, order: Order::Descending }).await?)
    }

    /// Reads the sequence of each edge that exists, in the order of `tos`.
    pub async fn edges_of(&self, assoc: Assoc, from: impl Into<Id>, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let from = from.into();
        if kept(assoc).is_some_and(|kept| kept > 0) {
            let list = self.lists(&[(assoc, from)]).await?.remove(0);
            if list.is_whole() {
                let sequence = |to: &Id| list.newest.iter().find(|(other, _)| other == to).map(|(_, sequence)| *sequence);
                return Ok(tos.iter().map(sequence).collect());
            }
        }
        Ok(self.storage.edges(assoc, from, tos).await?)
    }
}

fn edges(newest: &[(Id, i64)]) -> impl Iterator<Item = Edge> {
    newest.iter().map(|(to, sequence)| Edge { to: *to, sequence: *sequence })
}

/// Reads lists from storage: the edges of each association at once, then the counts of those of which there are more. Storage must say what is true
/// now: lists have no floors that would keep out what a replica says late.
async fn load(storage: &Storage, wanted: Vec<ListKey>) -> storage::Result<Vec<List>> {
    let mut by_assoc: BTreeMap<Assoc, Vec<usize>> = BTreeMap::new();
    for (index, (assoc, _)) in wanted.iter().enumerate() {
        by_assoc.entry(*assoc).or_default().push(index);
    }
    let with_edges = by_assoc.into_iter().filter_map(|(assoc, indexes)| Some((assoc, indexes, kept(assoc).filter(|kept| *kept > 0)?)));
    let ranges = with_edges.map(|(assoc, indexes, kept)| {
        let froms: Vec<Id> = indexes.iter().map(|index| wanted[*index].1).collect();
        async move { Ok::<_, storage::Error>((storage.ranges(assoc, &froms, Range::first(kept)).await?, indexes, kept)) }
    });
    let mut lists = vec![List::default(); wanted.len()];
    let mut uncounted: Vec<usize> = (0..wanted.len()).filter(|index| kept(wanted[*index].0) == Some(0)).collect();
    for (ranges, indexes, kept) in try_join_all(ranges).await? {
        for (index, range) in indexes.into_iter().zip(ranges) {
            if range.len() == kept {
                uncounted.push(index);
            }
            let newest: Vec<(Id, i64)> = range.into_iter().map(|edge| (edge.to, edge.sequence)).collect();
            lists[index] = List { count: newest.len() as u64, newest };
        }
    }
    if !uncounted.is_empty() {
        let keys: Vec<ListKey> = uncounted.iter().map(|index| wanted[*index]).collect();
        for (index, count) in uncounted.into_iter().zip(storage.counts(&keys).await?) {
            lists[index].count = count;
        }
    }
    Ok(lists)
}
