//! Searching pins, boards and people. The index proposes; storage decides what the viewer may see.

use std::sync::Arc;

use ::search::{Kind, SearchRequest};
use model::{Board, Bookmark, Id, Stored, User};

use crate::compose::App;
use crate::error::Result;
use crate::hydrate::{BoardCard, Page, PageRequest, PinView, Strictness, lists, stands};
use crate::viewer::{Viewer, may_list_board};

/// A page of a search, and what the index wants to say about the query.
#[derive(Clone, Debug)]
pub struct Found<T> {
    pub page: Page<T>,
    pub notes: Vec<String>,
}

/// Where to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Everything,
    /// Only what the viewer owns.
    Own,
}

/// Rounds of candidates for one page.
const ROUNDS_MAX: usize = 20;

impl App {
    /// Searches pins.
    pub async fn search_pins(&self, viewer: &Viewer, text: &str, scope: Scope, request: &PageRequest) -> Result<Found<PinView>> {
        let size = request.size()?;
        let mut from = offset(request)?;
        let (mut items, mut notes, mut more) = (Vec::with_capacity(size), Vec::new(), true);
        for _ in 0..ROUNDS_MAX {
            let hits = self.hits(viewer, text, Kind::Pins, scope, from, size - items.len()).await?;
            from += hits.ids.len();
            (notes, more) = (hits.notes, hits.more);
            items.extend(self.hydrate(viewer, &hits.ids, Strictness::Listed).await?);
            if !more || items.len() >= size || hits.ids.is_empty() {
                break;
            }
        }
        Ok(Found { page: ranked_page(items, from, more), notes })
    }

    /// Searches boards.
    pub async fn search_boards(&self, viewer: &Viewer, text: &str, scope: Scope, request: &PageRequest) -> Result<Found<BoardCard>> {
        let size = request.size()?;
        let mut from = offset(request)?;
        let (mut boards, mut notes, mut more) = (Vec::<Arc<Stored<Board>>>::new(), Vec::new(), true);
        for _ in 0..ROUNDS_MAX {
            let hits = self.hits(viewer, text, Kind::Boards, scope, from, size - boards.len()).await?;
            from += hits.ids.len();
            (notes, more) = (hits.notes, hits.more);
            let listed = self.objects::<Board>(&hits.ids).await?.into_iter().flatten().filter(|board| may_list_board(board, viewer));
            let listed: Vec<Arc<Stored<Board>>> = listed.collect();
            let owners = self.by_id::<User>(listed.iter().map(|board| board.data.owner.id())).await?;
            let blockers = self.blockers_among(viewer, owners.keys().copied()).await?;
            let is_there = |owner: Id| owners.get(&owner).is_some_and(|owner| stands(owner)) && !blockers.contains(&owner);
            boards.extend(listed.into_iter().filter(|board| is_there(board.data.owner.id())));
            if !more || boards.len() >= size || hits.ids.is_empty() {
                break;
            }
        }
        let cards = self.board_cards(viewer, boards).await?;
        Ok(Found { page: ranked_page(cards, from, more), notes })
    }

    /// Searches people.
    pub async fn search_people(&self, viewer: &Viewer, text: &str, request: &PageRequest) -> Result<Found<Arc<Stored<User>>>> {
        let size = request.size()?;
        let from = offset(request)?;
        let hits = self.hits(viewer, text, Kind::People, Scope::Everything, from, size).await?;
        let found = self.objects::<User>(&hits.ids).await?.into_iter().flatten();
        let mut people: Vec<Arc<Stored<User>>> = found.filter(|user| stands(user) && user.data.settings.discoverable).collect();
        let blocked = self.blocked_among(viewer, people.iter().map(|user| user.id)).await?;
        people.retain(|user| !blocked.contains(&user.id));
        Ok(Found { page: ranked_page(people, from + hits.ids.len(), hits.more), notes: hits.notes })
    }

    async fn hits(&self, viewer: &Viewer, text: &str, kind: Kind, scope: Scope, offset: usize, limit: usize) -> Result<Hits> {
        // A token without a secret scope looks as somebody who has no secret boards.
        let as_viewer = viewer.id().filter(|_| viewer.sees_secret);
        let owner = match scope {
            Scope::Everything => None,
            Scope::Own => Some(viewer.require()?),
        };
        let request = SearchRequest { text, kind, viewer: as_viewer, owner, order: Default::default(), offset, limit };
        let found = self.search.query(request).await?;
        let ids: Vec<Id> = found.hits.into_iter().map(|hit| hit.id).collect();
        Ok(Hits { ids, more: found.more, notes: found.notes })
    }

    /// Suggests completions of what is being typed.
    pub async fn suggest(&self, viewer: &Viewer, prefix: &str, limit: usize) -> Result<Vec<::search::Suggestion>> {
        Ok(self.search.suggest(prefix, viewer.id().filter(|_| viewer.sees_secret), limit).await?)
    }
}

struct Hits {
    ids: Vec<Id>,
    more: bool,
    notes: Vec<String>,
}

fn offset(request: &PageRequest) -> Result<usize> {
    Ok(request.after(lists::SEARCH)?.map_or(0, |(rank, _)| usize::try_from(rank).unwrap_or(0)))
}

fn ranked_page<T>(items: Vec<T>, from: usize, more: bool) -> Page<T> {
    let bookmark = (more && !items.is_empty()).then(|| Bookmark { list: lists::SEARCH, position: from as i64, id: 0 }.encode());
    Page { items, bookmark }
}
