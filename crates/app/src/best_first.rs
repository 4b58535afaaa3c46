//! The home feed in the order best-first: what was not shown yet, ranked; then what was shown, as it was; then what is older.
//!
//! ```text
//! first page    shown, window of the feed, taste  ──▶ hydrate ─▶ counts ─▶ rank ─▶ session ──┐
//! later page    shown ──▶ the session's list from the bookmark's place on ─▶ hydrate ─▶ filter ┴─▶ page ─▶ freeze what it shows
//! list ends     newest-first below the session's floor (home.rs), with that order's bookmarks
//! ```
//!
//! Cost of a first page beside that of newest-first: one read and one write of what was shown, the window in two reads instead of one
//! page, one read of counts; every ten minutes the taste. A later page: the same two calls, and the three that ask whether what was
//! ranked may still be shown. See `docs/decisions/0019-best-first-freezes-what-was-shown.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use feeds::{Position, Reason, Target};
use model::limits::PAGE_SIZE_MAX;
use model::object::HomeOrder;
use model::{Assoc, Bookmark, Id, Pin, PinId, Shard, Stored, Timestamp, TopicId, TopicObject, User, UserId};

use crate::compose::App;
use crate::error::Result;
use crate::follows::without_feeds;
use crate::home::{Candidates, tail_page};
use crate::hydrate::{FeedReason, Page, PageRequest, PinView, Screening, Strictness, lists};
use crate::ranking::{Candidate, Ranked, rank};
use crate::shown::{FeedSession, Shown};
use crate::viewer::Viewer;

/// Newest entries of the feed among which is ranked. What is older comes newest first: who gets there has seen all that is new.
const WINDOW: usize = 400;
/// Entries of a session's list that are looked at once for a page, beyond what it still wants.
const STEP_MIN: usize = 8;
/// Targets in one question to the feeds, which take so many at once.
const TARGETS_MAX: usize = 1_000;

impl App {
    /// Reads a page of the viewer's home feed in an order. A bookmark keeps the order that it came from.
    pub async fn home_in(&self, viewer: &Viewer, order: HomeOrder, request: &PageRequest) -> Result<Page<PinView>> {
        let me = viewer.require()?;
        let size = request.size()?;
        let bookmark = request.bookmark.as_deref().filter(|text| !text.is_empty());
        match bookmark.map(|text| Bookmark::decode(text, lists::BEST)) {
            Some(Ok(bookmark)) => self.best_after(viewer, me, bookmark, size).await,
            None if order == HomeOrder::Best => self.best_first_page(viewer, me, size).await,
            None | Some(Err(_)) => self.newest_first(viewer, request).await,
        }
    }

    async fn best_first_page(&self, viewer: &Viewer, me: UserId, size: usize) -> Result<Page<PinView>> {
        let _turn = self.turn_of(me).await;
        let (kept, window) = tokio::join!(self.feeds.shown(me), self.window(me, None));
        let mut shown = match kept {
            Ok(bytes) => bytes.map(|bytes| Shown::decode(&bytes)).unwrap_or_default(),
            Err(error) => {
                without_feeds(&error);
                return self.newest_first(viewer, &PageRequest::first(size)).await;
            }
        };
        let (window, floor) = window?;
        let id = self.begin_session(viewer, &mut shown, window, floor, false).await?;
        let (page, _) = self.page_of_session(viewer, me, &mut shown, id, 0, size).await?;
        match self.feeds.set_shown(me, shown.encode()).await {
            Ok(()) => Ok(page),
            Err(error) => {
                // Nobody would know the session that the bookmark names.
                without_feeds(&error);
                self.newest_first(viewer, &PageRequest::first(size)).await
            }
        }
    }

    async fn best_after(&self, viewer: &Viewer, me: UserId, bookmark: Bookmark, size: usize) -> Result<Page<PinView>> {
        let _turn = self.turn_of(me).await;
        let (kept, away) = match self.feeds.shown(me).await {
            Ok(kept) => (kept, None),
            Err(error) => {
                without_feeds(&error);
                (None, Some(error))
            }
        };
        let mut shown = kept.map(|bytes| Shown::decode(&bytes)).unwrap_or_default();
        let began = bookmark.id as i64;
        let (mut id, mut from) = (began, usize::try_from(bookmark.position).unwrap_or(0));
        if shown.session(id).is_none() {
            metrics::counter!(crate::metrics::FEED_SESSIONS_LOST_TOTAL).increment(1);
            // The window as it was when the session began: what it showed lies in there.
            let (_, floor) = self.window(me, Some((Timestamp(id), PinId::new(Shard(0), 0)))).await?;
            if !shown.remembers(id) {
                return match (floor, away) {
                    (Some(floor), _) => self.tail(viewer, me, Vec::new(), floor, size).await,
                    // Not the end: the same page can be had when they are back.
                    (None, Some(error)) => Err(error.into()),
                    (None, None) => Ok(Page::empty()),
                };
            }
            let (window, floor_now) = self.window(me, None).await?;
            // What that session showed lies above its own floor, so only what is below both is surely new.
            let floor = floor.zip(floor_now).map(|(then, now)| then.min(now));
            (id, from) = (self.begin_session(viewer, &mut shown, window, floor, true).await?, 0);
        }
        let (page, is_news) = self.page_of_session(viewer, me, &mut shown, id, from, size).await?;
        if (is_news || id != began)
            && let Err(error) = self.feeds.set_shown(me, shown.encode()).await
        {
            // What this page showed comes once more after a reload. Of a session that began just now the next page knows nothing either.
            without_feeds(&error);
        }
        Ok(page)
    }

    /// Reads the newest entries of a feed, strictly older than `before`, and the position of the last one if there may be older ones.
    async fn window(&self, me: UserId, mut before: Option<Position>) -> Result<(Candidates, Option<Position>)> {
        let mut window = Candidates { entries: Vec::with_capacity(WINDOW), screening: Screening::ByFeeds, ended: false };
        let mut from_storage = false;
        while window.entries.len() < WINDOW && !window.ended {
            let wanted = (WINDOW - window.entries.len()).min(PAGE_SIZE_MAX);
            let found = self.home_candidates(me, before, wanted, &mut from_storage).await?;
            before = found.entries.last().map(feeds::Entry::position).or(before);
            window.entries.extend(found.entries);
            window.ended = found.ended;
            if found.screening == Screening::Due {
                window.screening = Screening::Due;
            }
        }
        let floor = before.filter(|_| !window.ended);
        Ok((window, floor))
    }

    /// Ranks what was not shown yet and begins a session with it.
    async fn begin_session(
        &self,
        viewer: &Viewer,
        shown: &mut Shown,
        window: Candidates,
        floor: Option<Position>,
        continued: bool,
    ) -> Result<i64> {
        let (started, me) = (Instant::now(), viewer.require()?);
        let frozen = shown.frozen();
        let unseen: HashMap<Id, feeds::Entry> =
            window.entries.into_iter().filter(|entry| !frozen.contains(&entry.pin)).map(|entry| (entry.pin.id(), entry)).collect();
        let ids: Vec<Id> = unseen.keys().copied().collect();
        let views = self.hydrate_screened(viewer, &ids, Strictness::Public, window.screening).await?;
        let acts = [Assoc::PinHasSaves, Assoc::PinLikedByUsers, Assoc::PinHasComments];
        let wanted: Vec<(Assoc, Id)> = views.iter().flat_map(|view| acts.map(|assoc| (assoc, view.pin.id))).collect();
        let (taste, counts) = tokio::join!(self.taste(me), self.counts_of(&wanted));
        let (taste, counts) = (taste?, counts?);
        let candidates = views.iter().zip(counts.chunks(acts.len())).map(|(view, counts)| {
            let (entry, pin) = (&unseen[&view.pin.id], &view.pin.data);
            Candidate {
                pin: entry.pin,
                at: entry.at,
                reason: entry.reason,
                owner: pin.owner,
                board: pin.board,
                to_owner: taste.to(pin.owner.id()),
                to_board: taste.to(pin.board.id()),
                to_tags: taste.to_tags(&pin.tags),
                save_count: counts[0],
                like_count: counts[1],
                comment_count: counts[2],
                short_side: pin.picture.width.min(pin.picture.height),
            }
        });
        let now = self.now();
        let ranked = rank(&candidates.collect::<Vec<_>>(), now);
        metrics::counter!(crate::metrics::FEED_SESSIONS_TOTAL).increment(1);
        metrics::histogram!(crate::metrics::RANKING_SECONDS).record(started.elapsed());
        Ok(shown.begin(now, ranked, floor, continued))
    }

    /// Cuts a page out of a session's list and what follows it, and freezes what it shows. Says whether any of that was not frozen yet.
    async fn page_of_session(
        &self,
        viewer: &Viewer,
        me: UserId,
        shown: &mut Shown,
        id: i64,
        from: usize,
        size: usize,
    ) -> Result<(Page<PinView>, bool)> {
        let Some((list, floor)) = shown.session(id).map(|session: &FeedSession| (shown.list(session), session.floor)) else {
            return Ok((Page::empty(), false));
        };
        let (mut views, mut places, mut at) = (Vec::with_capacity(size + 1), Vec::with_capacity(size + 1), from);
        while at < list.len() && views.len() <= size {
            let step = (size + 1 - views.len()).max(STEP_MIN);
            let slice = &list[at..list.len().min(at + step)];
            for view in self.still_in_feed(viewer, me, slice).await? {
                let place = slice.iter().position(|entry| entry.pin == view.id()).unwrap_or_default();
                places.push(at + place);
                views.push(view);
            }
            at += slice.len();
        }
        let next = places.get(size).copied();
        views.truncate(size);
        let is_news = shown.freeze(id, places.iter().take(size).map(|place| list[*place]));
        let page = match (next, floor) {
            (Some(next), _) => {
                let bookmark = Bookmark { list: lists::BEST, position: next as i64, id: id as u64 }.encode();
                Page { items: views, bookmark: Some(bookmark) }
            }
            (None, Some(floor)) => self.tail(viewer, me, views, floor, size).await?,
            (None, None) => Page { items: views, bookmark: None },
        };
        Ok((page, is_news))
    }

    /// Fills a page with what is older than a session's floor.
    async fn tail(&self, viewer: &Viewer, me: UserId, mut views: Vec<PinView>, floor: Position, size: usize) -> Result<Page<PinView>> {
        let in_list = views.len();
        let (older, given_up) = self.newest_views(viewer, me, Some(floor), size + 1 - in_list).await?;
        views.extend(older);
        Ok(tail_page(views, in_list, floor, size, given_up))
    }

    /// Hydrates what was ranked or shown earlier and drops what stands no longer in the viewer's feed: the owner or the board muted,
    /// nothing followed that brings it. The reason is the present one.
    async fn still_in_feed(&self, viewer: &Viewer, me: UserId, entries: &[Ranked]) -> Result<Vec<PinView>> {
        let ids: Vec<Id> = entries.iter().map(|entry| entry.pin.id()).collect();
        let views = self.hydrate_screened(viewer, &ids, Strictness::Public, Screening::ByCaller).await?;
        let ranked: HashMap<Id, &Ranked> = entries.iter().map(|entry| (entry.pin.id(), entry)).collect();
        let people = distinct(views.iter().flat_map(|view| [view.pin.data.owner, view.board.data.owner]));
        let boards = distinct(views.iter().map(|view| view.pin.data.board));
        let topics = distinct(views.iter().filter_map(|view| match ranked[&view.pin.id].reason {
            Reason::Topic(topic) => Some(topic),
            Reason::Person(_) | Reason::Board(_) => None,
        }));
        let tags = self.by_id::<TopicObject>(topics.iter().map(|topic| topic.id())).await?;
        let mut targets: Vec<Target> = people.iter().map(|user| Target::User(*user)).collect();
        targets.extend(boards.iter().map(|board| Target::Board(*board)));
        targets.extend(topics.iter().map(|topic| Target::Topic(*topic)));
        let board_ids: Vec<Id> = boards.iter().map(|board| board.id()).collect();
        let (hidden, followed, left_out) = tokio::try_join!(self.hidden_among(me, &people), self.followed_among(me, &targets), async {
            Ok(self.storage.edges(Assoc::UserLeavesOutBoards, me, &board_ids).await?)
        },)?;
        let left_out: HashSet<Id> = board_ids.iter().zip(left_out).filter(|(_, edge)| edge.is_some()).map(|(id, _)| *id).collect();
        let mut kept = Vec::with_capacity(views.len());
        for view in views {
            let (pin, board, owner) = (&view.pin.data, view.pin.data.board, view.board.data.owner);
            if pin.owner == me || hidden.contains(&pin.owner) || hidden.contains(&owner) {
                continue;
            }
            let reason = if followed.contains(&Target::User(owner)) && !left_out.contains(&board.id()) {
                Some(Reason::Person(owner))
            } else if followed.contains(&Target::Board(board)) {
                Some(Reason::Board(board))
            } else {
                match ranked[&view.pin.id].reason {
                    Reason::Topic(topic) if followed.contains(&Target::Topic(topic)) && carries(pin, tags.get(&topic.id())) => {
                        Some(Reason::Topic(topic))
                    }
                    _ => None,
                }
            };
            kept.push((view, reason));
        }
        let topics = self.followed_topics(me, kept.iter().filter(|(_, reason)| reason.is_none()).map(|(view, _)| view)).await?;
        let present = |(mut view, reason): (PinView, Option<Reason>)| {
            let because = reason.or_else(|| topics.get(&view.pin.id).map(|topic| Reason::Topic(*topic)))?;
            view.reason = Some(FeedReason { because, name: String::new(), signal: Some(ranked[&view.pin.id].signal) });
            Some(view)
        };
        let mut kept: Vec<PinView> = kept.into_iter().filter_map(present).collect();
        self.name_reasons(&mut kept).await?;
        Ok(kept)
    }

    /// Returns for each pin a topic of it that the person follows, if there is one. Asked only for pins whose reason has gone.
    async fn followed_topics(&self, me: UserId, views: impl Iterator<Item = &PinView>) -> Result<HashMap<Id, TopicId>> {
        let mut topics_of = Vec::new();
        for view in views {
            topics_of.push((view.pin.id, self.topics_of(&view.pin.data).await?));
        }
        let targets = distinct(topics_of.iter().flat_map(|(_, topics)| topics).map(|topic| Target::Topic(*topic)));
        let followed = self.followed_among(me, &targets).await?;
        let first = |topics: Vec<TopicId>| topics.into_iter().find(|topic| followed.contains(&Target::Topic(*topic)));
        Ok(topics_of.into_iter().filter_map(|(pin, topics)| Some((pin, first(topics)?))).collect())
    }

    async fn followed_among(&self, me: UserId, targets: &[Target]) -> Result<HashSet<Target>> {
        let mut followed = HashSet::new();
        for targets in targets.chunks(TARGETS_MAX) {
            let follows = self.follows_of(me, targets).await?;
            followed.extend(targets.iter().zip(follows).filter(|(_, follows)| *follows).map(|(target, _)| *target));
        }
        Ok(followed)
    }

    /// Returns those of `others` who are blocked, either way, or whom the person has muted.
    async fn hidden_among(&self, me: UserId, others: &[UserId]) -> Result<HashSet<UserId>> {
        let relations = self.relations(me, others).await?;
        Ok(others.iter().zip(relations).filter(|(_, relation)| relation.is_hidden()).map(|(other, _)| *other).collect())
    }

    /// Writes into reasons what is followed, in the words that people know it by.
    pub(crate) async fn name_reasons(&self, views: &mut [PinView]) -> Result<()> {
        let reasons = || views.iter().filter_map(|view| Some((view, view.reason.as_ref()?.because)));
        let people = reasons().filter_map(|(view, because)| match because {
            Reason::Person(user) if user.id() != view.owner.id => Some(user.id()),
            _ => None,
        });
        let topics = reasons().filter_map(|(_, because)| if let Reason::Topic(topic) = because { Some(topic.id()) } else { None });
        let (people, topics) = (self.by_id::<User>(people).await?, self.by_id::<TopicObject>(topics).await?);
        for view in views {
            let Some(reason) = &mut view.reason else { continue };
            reason.name = match reason.because {
                Reason::Person(user) if user.id() == view.owner.id => view.owner.data.name.clone(),
                Reason::Person(user) => people.get(&user.id()).map(|user| user.data.name.clone()).unwrap_or_default(),
                Reason::Board(_) => view.board.data.name.clone(),
                Reason::Topic(topic) => topics.get(&topic.id()).map(|topic| topic.data.tag.clone()).unwrap_or_default(),
            };
        }
        Ok(())
    }
}

fn carries(pin: &Pin, topic: Option<&Arc<Stored<TopicObject>>>) -> bool {
    topic.is_some_and(|topic| pin.tags.contains(&topic.data.tag))
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}
