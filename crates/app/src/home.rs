//! The home feed: what the people, boards and topics that one follows have pinned, newest first. The other order: `best_first.rs`.
//!
//! ```text
//! candidates   feeds.home ── memory ends? ──▶ storage: k-way merge of what the followed ones pinned, strictly older
//! hydrate      pins, boards, owners through the cache
//! filter       may this viewer see it now? listed; not blocked, muted, left out, as far as the candidates' source has not seen to it
//! ```
//!
//! The feed never ends falsely: what memory does not hold comes from storage, and a page is filled until there is nothing older.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use feeds::{PinFacts, Reason, Target};
use model::{Assoc, Bookmark, Id, PinId, Timestamp, TopicId, UserId};
use storage::{Edge, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result};
use crate::hydrate::{FeedReason, Page, PageRequest, PinView, Screening, Strictness, lists, stands};
use crate::shown::reason_of;
use crate::viewer::{Viewer, is_listed};

/// Where a page of a feed starts: strictly older than this.
type Position = (Timestamp, PinId);

/// Entries that a rebuilt feed starts with; older ones come from storage when somebody scrolls that far.
const REBUILT_ENTRIES: usize = 500;

/// Newest pins read of each followed thing in one step of a merge.
const MERGE_STEP: usize = 32;

/// Followed things whose pins are merged on one read; beyond it the most recently followed ones count.
const MERGED_SOURCES_MAX: usize = 5_000;

/// Ends of an association read at once: nearly everybody's blocks and mutes in one look, and a celebrity's in a few.
const ENDS_STEP: usize = 5_000;

/// Rounds of candidates for one page.
const ROUNDS_MAX: usize = 40;

/// Pins that a home feed proposes, newest first.
pub(crate) struct Candidates {
    pub(crate) entries: Vec<feeds::Entry>,
    /// Who kept the blocked away.
    pub(crate) screening: Screening,
    /// There is nothing older.
    pub(crate) ended: bool,
}

impl App {
    /// Reads a page of the viewer's home feed in the order that the viewer has chosen.
    pub async fn home(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<PinView>> {
        let order = viewer.user.as_ref().map(|user| user.data.settings.home_order).unwrap_or_default();
        self.home_in(viewer, order, request).await
    }

    /// Reads a page of the viewer's home feed, newest first.
    pub(crate) async fn newest_first(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<PinView>> {
        let me = viewer.require()?;
        let size = request.size()?;
        let before = position(request.after(lists::HOME)?)?;
        let (views, given_up) = self.newest_views(viewer, me, before, size + 1).await?;
        Ok(page_by_time(views, size, lists::HOME, given_up))
    }

    /// Reads at least `wanted` pins of the feed strictly older than `before`, or all that there are. The position says where the look for
    /// more was given up before there were so many.
    pub(crate) async fn newest_views(
        &self,
        viewer: &Viewer,
        me: UserId,
        mut before: Option<Position>,
        wanted: usize,
    ) -> Result<(Vec<PinView>, Option<Position>)> {
        let mut views: Vec<PinView> = Vec::with_capacity(wanted);
        let (mut from_storage, mut ended) = (false, false);
        for _ in 0..ROUNDS_MAX {
            let missing = wanted - views.len();
            let limit = missing.clamp(8, model::limits::PAGE_SIZE_MAX);
            let candidates = self.home_candidates(me, before, limit, &mut from_storage).await?;
            ended = candidates.ended;
            before = candidates.entries.last().map(feeds::Entry::position).or(before);
            views.extend(self.present_candidates(viewer, &candidates).await?);
            if ended || views.len() >= wanted {
                break;
            }
        }
        Ok((views, before.filter(|_| !ended)))
    }

    /// Reads the next candidates.
    pub(crate) async fn home_candidates(
        &self,
        me: UserId,
        before: Option<Position>,
        limit: usize,
        from_storage: &mut bool,
    ) -> Result<Candidates> {
        if !*from_storage {
            let page = match self.home_in_memory(me, before, limit).await {
                Ok(page) => page,
                Err(Error::Unavailable(reason)) => {
                    tracing::warn!(reason, "a home feed is read from storage");
                    metrics::counter!(crate::metrics::DEGRADED_READS_TOTAL, "part" => "feeds").increment(1);
                    feeds::HomePage::default()
                }
                Err(error) => return Err(error),
            };
            let memory_ends = page.complete_to.is_some() || !page.present;
            if !page.entries.is_empty() {
                // What memory has is shown first; when it ends there, the next round continues from storage.
                *from_storage = memory_ends;
                let ended = !memory_ends && page.entries.len() < limit;
                return Ok(Candidates { entries: page.entries, screening: Screening::ByFeeds, ended });
            }
            if !memory_ends {
                return Ok(Candidates { entries: Vec::new(), screening: Screening::ByFeeds, ended: true });
            }
            *from_storage = true;
        }
        let (entries, complete_to) = self.home_from_storage(me, before, limit).await?;
        let entries = entries.into_iter().map(|(facts, reason)| feeds::Entry { pin: facts.pin, at: facts.at, reason }).collect();
        // It went by this end's mirror of who blocks the person, which may lag.
        Ok(Candidates { entries, screening: Screening::Due, ended: complete_to.is_none() })
    }

    /// Reads a page of the feed that is in memory, building it first for somebody who has been away.
    async fn home_in_memory(&self, me: UserId, before: Option<Position>, limit: usize) -> Result<feeds::HomePage> {
        let page = self.feeds.home(me, before, limit).await?;
        if page.present {
            return Ok(page);
        }
        self.rebuild_home(me).await?;
        Ok(self.feeds.home(me, before, limit).await?)
    }

    /// Hydrates and filters candidates of feeds, keeping their reasons.
    async fn present_candidates(&self, viewer: &Viewer, candidates: &Candidates) -> Result<Vec<PinView>> {
        let ids: Vec<Id> = candidates.entries.iter().map(|entry| entry.pin.id()).collect();
        let mut views = self.hydrate_screened(viewer, &ids, Strictness::Public, candidates.screening).await?;
        for view in &mut views {
            let entry = candidates.entries.iter().find(|entry| entry.pin.id() == view.pin.id);
            view.reason = entry.map(|entry| FeedReason { because: entry.reason, name: String::new(), signal: None });
        }
        self.name_reasons(&mut views).await?;
        Ok(views)
    }

    /// Builds a person's feed from storage and hands it to the feeds.
    pub async fn rebuild_home(&self, user: UserId) -> Result<()> {
        let (entries, complete_to) = self.home_from_storage(user, None, REBUILT_ENTRIES).await?;
        let facts = entries.into_iter().map(|(facts, _)| facts).collect();
        self.feeds.fill(user, facts, complete_to).await?;
        metrics::counter!(crate::metrics::HOME_FEEDS_REBUILT_TOTAL).increment(1);
        Ok(())
    }

    /// Merges the newest pins of everything that a person follows, strictly before a position. The second value says from where on
    /// there may be more; `None` when this is all.
    pub async fn home_from_storage(
        &self,
        user: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<(Vec<(PinFacts, Reason)>, Option<Position>)> {
        let sources = self.followed_sources(user).await?;
        let after = before.map(|(at, pin)| (at.0, pin.id()));
        let mut merged = Merge::default();
        for (assoc, froms) in &sources {
            let ids: Vec<Id> = froms.iter().map(|(id, _)| *id).collect();
            let range = Range { after, limit: MERGE_STEP, order: Order::Descending };
            for ((from, reason), edges) in froms.iter().zip(self.storage.ranges(*assoc, &ids, range).await?) {
                merged.add(*assoc, *from, *reason, edges);
            }
        }
        let (mut entries, mut seen) = (Vec::new(), HashSet::new());
        // Storage's own, so that feeds that lack a block are found out, and don't build themselves from their own mistake.
        let (left_out, mutes, blocks, blocked_by) = tokio::try_join!(
            self.ends_in_storage(Assoc::UserLeavesOutBoards, user.id()),
            self.ends_in_storage(Assoc::UserMutesUsers, user.id()),
            self.ends_in_storage(Assoc::UserBlocksUsers, user.id()),
            self.ends_in_storage(Assoc::UserBlockedByUsers, user.id()),
        )?;
        let mut hidden: HashMap<Id, bool> = [mutes, blocks, blocked_by].into_iter().flatten().map(|other| (other, true)).collect();
        let mut last = None;
        while entries.len() < limit {
            let Some((edge, source, exhausted)) = merged.pop() else { return Ok((entries, None)) };
            if exhausted && merged.sources[source].more {
                let (assoc, from) = (merged.sources[source].assoc, merged.sources[source].from);
                let range = Range { after: Some((edge.sequence, edge.to)), limit: MERGE_STEP, order: Order::Descending };
                let edges = self.storage.range(assoc, from, range).await?;
                merged.refill(source, edges);
            }
            let pin = PinId::try_from(edge.to).map_err(Error::internal)?;
            last = Some((Timestamp(edge.sequence), pin));
            if !seen.insert(pin) {
                continue;
            }
            let reason = merged.sources[source].reason;
            let Some(stored) = self.object::<model::Pin>(pin).await? else { continue };
            let data = &stored.data;
            let own = data.owner == user;
            let is_hidden = match hidden.entry(data.owner.id()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(self.is_away(data.owner).await?),
            };
            let outside = matches!(reason, Reason::Person(_)) && left_out.contains(&data.board.id());
            if !own
                && !is_hidden
                && !outside
                && stored.active
                && data.trashed_at.is_none()
                && !data.hidden
                && self.board_travels(data.board).await?
            {
                let facts = PinFacts {
                    pin,
                    owner: data.owner,
                    board: data.board,
                    topics: self.topics_of(data).await?,
                    domain: data.domain.clone(),
                    at: data.at,
                };
                entries.push((facts, reason));
            }
        }
        Ok((entries, last))
    }

    /// Tells whether a person is gone or suspended, so that their pins show nowhere.
    async fn is_away(&self, person: UserId) -> Result<bool> {
        Ok(!self.object::<model::User>(person).await?.is_some_and(|person| stands(&person)))
    }

    async fn board_travels(&self, board: model::BoardId) -> Result<bool> {
        Ok(self.object::<model::Board>(board).await?.is_some_and(|board| is_listed(&board)))
    }

    /// Returns what a person follows, by the association along which its pins are read.
    async fn followed_sources(&self, user: UserId) -> Result<Vec<(Assoc, Vec<(Id, Reason)>)>> {
        let people = self.edge_ends(Assoc::UserFollowsUsers, user).await?;
        let boards = self.edge_ends(Assoc::UserFollowsBoards, user).await?;
        let topics = self.edge_ends(Assoc::UserFollowsTopics, user).await?;
        let reasons = |ids: Vec<Id>| ids.into_iter().filter_map(|id| Some((id, reason_of(id)?))).collect();
        Ok(vec![(Assoc::UserHasPins, reasons(people)), (Assoc::BoardHasPins, reasons(boards)), (Assoc::TopicHasPins, reasons(topics))])
    }

    /// Lists all ends of an association.
    pub(crate) async fn ends_in_storage(&self, assoc: Assoc, from: Id) -> Result<BTreeSet<Id>> {
        let (mut ids, mut after) = (BTreeSet::new(), None);
        loop {
            let edges = self.storage.range(assoc, from, Range { after, limit: ENDS_STEP, order: Order::Descending }).await?;
            ids.extend(edges.iter().map(|edge| edge.to));
            match edges.last() {
                Some(last) if edges.len() == ENDS_STEP => after = Some((last.sequence, last.to)),
                _ => return Ok(ids),
            }
        }
    }

    /// Lists the newest ends of an association, as many as are merged.
    async fn edge_ends(&self, assoc: Assoc, user: UserId) -> Result<Vec<Id>> {
        let range = Range { after: None, limit: MERGED_SOURCES_MAX, order: Order::Descending };
        Ok(self.storage.range(assoc, user.id(), range).await?.into_iter().map(|edge| edge.to).collect())
    }

    /// Returns the topics of a pin that exist already.
    pub(crate) async fn topics_of(&self, pin: &model::Pin) -> Result<Vec<TopicId>> {
        let mut topics = Vec::with_capacity(pin.tags.len());
        for tag in &pin.tags {
            if let Some(name) = self.name(model::NameKind::Tag, tag).await? {
                topics.extend(TopicId::try_from(name.id).ok());
            }
        }
        Ok(topics)
    }

    /// Suggests people to a person whose feed is thin.
    pub async fn people_to_follow(&self, viewer: &Viewer, limit: usize) -> Result<Vec<std::sync::Arc<model::Stored<model::User>>>> {
        let me = viewer.require()?;
        let suggested = self.feeds.suggestions(me, limit).await.unwrap_or_else(|error| {
            crate::follows::without_feeds(&error);
            Vec::new()
        });
        let mut ids: Vec<Id> = suggested.into_iter().map(Id::from).collect();
        if ids.len() < limit {
            let newest = self.storage.range(Assoc::SiteHasUsers, crate::admin::site_id().id(), Range::first(limit * 4)).await?;
            ids.extend(newest.into_iter().map(|edge| edge.to));
        }
        let mut seen = HashSet::from([me.id()]);
        ids.retain(|id| seen.insert(*id));
        let targets: Vec<Target> = ids.iter().filter_map(|id| UserId::try_from(*id).ok().map(Target::User)).collect();
        let followed = self.follows(viewer, &targets).await?;
        let people = self.objects::<model::User>(&ids).await?.into_iter().zip(followed);
        let fit = |user: &model::Stored<model::User>| stands(user) && user.data.settings.discoverable;
        let mut users: Vec<_> = people.filter(|(_, followed)| !followed).filter_map(|(user, _)| user.filter(|user| fit(user))).collect();
        let blocked = self.blocked_among(viewer, users.iter().map(|user| user.id)).await?;
        users.retain(|user| !blocked.contains(&user.id));
        users.truncate(limit);
        Ok(users)
    }
}

/// Turns a bookmark's two numbers into a position in a feed.
pub(crate) fn position(after: Option<(i64, u64)>) -> Result<Option<Position>> {
    let Some((at, id)) = after else { return Ok(None) };
    let pin = Id::from_u64(id).and_then(PinId::try_from).map_err(|_| Error::invalid("bookmark", model::BookmarkError.to_string()))?;
    Ok(Some((Timestamp(at), pin)))
}

/// Cuts views that are ordered by their pins' time to a page. `given_up`: the look for more was given up there, and did not come to an end.
pub(crate) fn page_by_time(mut views: Vec<PinView>, size: usize, list: u8, given_up: Option<Position>) -> Page<PinView> {
    let next = match views.get(size.saturating_sub(1)).filter(|_| views.len() > size) {
        Some(last) => Some((last.pin.data.at, last.id())),
        None => given_up,
    };
    views.truncate(size);
    let bookmark = next.map(|(at, pin)| Bookmark { list, position: at.0, id: pin.id().as_u64() }.encode());
    Page { bookmark, items: views }
}

/// Cuts a page whose first `in_list` views are in another order, and the rest newest first, strictly older than `floor`.
pub(crate) fn tail_page(views: Vec<PinView>, in_list: usize, floor: Position, size: usize, given_up: Option<Position>) -> Page<PinView> {
    let more = views.len() > size;
    let mut page = page_by_time(views, size, lists::HOME, given_up);
    if more && in_list >= size {
        // The page ends where the other order does: the next one begins at the floor, not at the time of its last pin.
        page.bookmark = Some(Bookmark { list: lists::HOME, position: floor.0.0, id: floor.1.id().as_u64() }.encode());
    }
    page
}

/// A k-way merge of lists that are each ordered from the newest down.
#[derive(Default)]
struct Merge {
    sources: Vec<Source>,
    /// The newest edge of each source that has one.
    heads: BinaryHeap<(i64, Id, usize)>,
}

struct Source {
    assoc: Assoc,
    from: Id,
    reason: Reason,
    /// Edges behind the head, oldest first.
    queue: Vec<Edge>,
    more: bool,
}

impl Merge {
    fn add(&mut self, assoc: Assoc, from: Id, reason: Reason, edges: Vec<Edge>) {
        let source = self.sources.len();
        self.sources.push(Source { assoc, from, reason, queue: Vec::new(), more: false });
        self.load(source, edges);
        self.advance(source);
    }

    fn load(&mut self, source: usize, mut edges: Vec<Edge>) {
        self.sources[source].more = edges.len() == MERGE_STEP;
        edges.reverse();
        self.sources[source].queue = edges;
    }

    /// Gives a source its next edges, after its last one was taken.
    fn refill(&mut self, source: usize, edges: Vec<Edge>) {
        self.load(source, edges);
        self.advance(source);
    }

    fn advance(&mut self, source: usize) {
        if let Some(edge) = self.sources[source].queue.pop() {
            self.heads.push((edge.sequence, edge.to, source));
        }
    }

    /// Takes the newest edge of all. The flag says that it was the last one loaded of its source, which must be refilled, if it has more,
    /// before the next call.
    fn pop(&mut self) -> Option<(Edge, usize, bool)> {
        let (sequence, to, source) = self.heads.pop()?;
        let exhausted = self.sources[source].queue.is_empty();
        if !exhausted {
            self.advance(source);
        }
        Some((Edge { to, sequence }, source, exhausted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Shard;

    fn edge(sequence: i64) -> Edge {
        Edge { to: PinId::new(Shard(0), sequence as u64).id(), sequence }
    }

    #[test]
    fn merges_from_the_newest_down() {
        let user = UserId::new(Shard(0), 1);
        let mut merge = Merge::default();
        merge.add(Assoc::UserHasPins, user.id(), Reason::Person(user), vec![edge(9), edge(4), edge(1)]);
        merge.add(Assoc::UserHasPins, user.id(), Reason::Person(user), Vec::new());
        merge.add(Assoc::UserHasPins, user.id(), Reason::Person(user), vec![edge(7), edge(5)]);
        let order: Vec<i64> = std::iter::from_fn(|| merge.pop().map(|(edge, _, _)| edge.sequence)).collect();
        assert_eq!(order, [9, 7, 5, 4, 1]);
    }
}
