//! From ids to what pages show: objects are read in batches through the cache, then filtered by pure functions.

use std::collections::BTreeSet;
use std::sync::Arc;

use feeds::{Relation, Standing};
use foldhash::HashMap;
use model::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use model::{Assoc, Board, BoardId, Bookmark, Id, Pin, PinId, Stored, User, UserId};
use storage::{Edge, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::ranking::Signal;
use crate::viewer::{Viewer, may_list_board, may_list_publicly, may_see_board, pin_stands};

/// One page of a list. `bookmark` asks for the next one; without it this was the last.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub bookmark: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, present: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(present).collect(), bookmark: self.bookmark }
    }

    pub fn empty() -> Page<T> {
        Page { items: Vec::new(), bookmark: None }
    }
}

/// A pin with what is always shown around it.
#[derive(Clone, Debug)]
pub struct PinView {
    pub pin: Arc<Stored<Pin>>,
    pub board: Arc<Stored<Board>>,
    pub owner: Arc<Stored<User>>,
    /// Why it is in the viewer's home feed.
    pub reason: Option<FeedReason>,
}

/// Why a pin is in a home feed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedReason {
    pub because: feeds::Reason,
    /// What the followed person, board or topic is called.
    pub name: String,
    /// What else speaks for the pin where it was ranked; `None` where the order is by time.
    pub signal: Option<Signal>,
}

impl PinView {
    pub fn id(&self) -> PinId {
        PinId::try_from(self.pin.id).expect("a pin's row has a pin's id")
    }
}

/// A board with what its card shows.
#[derive(Clone, Debug)]
pub struct BoardCard {
    pub board: Arc<Stored<Board>>,
    pub owner: Arc<Stored<User>>,
    pub pin_count: u64,
    /// The cover and the newest pins, at most [`COVER_PINS`].
    pub covers: Vec<Arc<Stored<Pin>>>,
}

impl BoardCard {
    pub fn id(&self) -> BoardId {
        BoardId::try_from(self.board.id).expect("a board's row has a board's id")
    }
}

/// Pictures on a board's card.
pub const COVER_PINS: usize = 4;

/// Reads of candidates for one page before it is given up to be filled: bounds the work when nearly everything is hidden.
const FILL_ROUNDS_MAX: usize = 40;
/// Candidates read in one of these rounds.
const FILL_STEP_MAX: usize = 500;

/// What page of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    pub bookmark: Option<String>,
    pub size: Option<usize>,
}

impl PageRequest {
    pub fn first(size: usize) -> PageRequest {
        PageRequest { bookmark: None, size: Some(size) }
    }

    /// Returns the wanted size within the limits.
    pub fn size(&self) -> Result<usize> {
        let size = self.size.unwrap_or(PAGE_SIZE_DEFAULT);
        if (1..=PAGE_SIZE_MAX).contains(&size) {
            return Ok(size);
        }
        Err(Error::invalid("page_size", format!("page_size is {size}; it must be from 1 to {PAGE_SIZE_MAX}.")))
    }

    /// Returns where the page starts: strictly after (position, id).
    pub fn after(&self, list: u8) -> Result<Option<(i64, u64)>> {
        let Some(text) = self.bookmark.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let bookmark = Bookmark::decode(text, list).map_err(|error| Error::invalid("bookmark", error.to_string()))?;
        Ok(Some((bookmark.position, bookmark.id)))
    }

    pub fn after_edge(&self, list: u8) -> Result<Option<(i64, Id)>> {
        let Some((sequence, id)) = self.after(list)? else { return Ok(None) };
        let id = Id::from_u64(id).map_err(|_| Error::invalid("bookmark", model::BookmarkError.to_string()))?;
        Ok(Some((sequence, id)))
    }
}

/// Numbers that keep the bookmarks of different lists apart.
pub mod lists {
    pub const HOME: u8 = 1;
    pub const PUBLIC: u8 = 2;
    pub const RANKED: u8 = 3;
    pub const SEARCH: u8 = 4;
    pub const MEMBERS: u8 = 5;
    /// A session of a best-first home feed. Position: a place in its list; id: the session.
    pub const BEST: u8 = 6;
    /// Lists of associations: 64 + the association's place in `Assoc::ALL`.
    pub fn of_assoc(assoc: model::Assoc) -> u8 {
        64 + model::Assoc::ALL.iter().position(|a| *a == assoc).expect("every association is in ALL") as u8
    }
}

/// Which pins a list shows to others than those on the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// Lists that are the same for everybody: public boards only, and nothing that was taken down.
    Public,
    /// Lists: public boards, and boards the viewer is on.
    Listed,
    /// The board's own page: whoever may open it.
    Opened,
}

/// Who sees to it that nothing shows of people who have blocked the viewer, or whom the viewer has blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Screening {
    /// Nobody yet: the pins' owners are asked about.
    Due,
    /// The feeds have: they left such people out in the very call that named the pins.
    ByFeeds,
    /// The caller has, or does with what it gets.
    ByCaller,
}

/// A person whom a viewer may see, and what stands between the two.
#[derive(Clone, Debug)]
pub struct Seen {
    pub user: Arc<Stored<User>>,
    /// From the viewer to the person. Nothing stands between a person and themselves, or a visitor.
    pub standing: Standing,
}

impl Seen {
    pub fn id(&self) -> UserId {
        UserId::try_from(self.user.id).expect("a user's row has a user's id")
    }
}

impl App {
    /// Hydrates pins and drops those that the viewer may not see. Order is kept.
    pub async fn hydrate(&self, viewer: &Viewer, ids: &[Id], strictness: Strictness) -> Result<Vec<PinView>> {
        self.hydrate_screened(viewer, ids, strictness, Screening::Due).await
    }

    /// The same, for pins of which somebody else keeps the blocked away.
    pub(crate) async fn hydrate_screened(
        &self,
        viewer: &Viewer,
        ids: &[Id],
        strictness: Strictness,
        screening: Screening,
    ) -> Result<Vec<PinView>> {
        let pins: Vec<_> = self.objects::<Pin>(ids).await?.into_iter().flatten().filter(|pin| pin_stands(pin, viewer)).collect();
        let boards = self.by_id::<Board>(pins.iter().map(|pin| pin.data.board.id())).await?;
        let owners = self.by_id::<User>(pins.iter().map(|pin| pin.data.owner.id())).await?;
        let blocked = match screening {
            Screening::Due => self.blocked_among(viewer, owners.keys().copied()).await?,
            Screening::ByFeeds | Screening::ByCaller => Vec::new(),
        };
        let may = match strictness {
            Strictness::Public => may_list_publicly,
            Strictness::Listed => may_list_board,
            Strictness::Opened => may_see_board,
        };
        let views = pins.into_iter().filter_map(|pin| {
            let board = boards.get(&pin.data.board.id())?.clone();
            let owner = owners.get(&pin.data.owner.id())?.clone();
            let taken_down = pin.data.hidden && strictness == Strictness::Public;
            let shown = may(&board, viewer) && !taken_down && stands(&owner) && !blocked.contains(&owner.id);
            shown.then_some(PinView { pin, board, owner, reason: None })
        });
        Ok(views.collect())
    }

    /// Reads objects and returns those that are there, by id.
    pub async fn by_id<T: model::Object>(&self, ids: impl Iterator<Item = Id>) -> Result<HashMap<Id, Arc<Stored<T>>>> {
        let mut wanted: Vec<Id> = ids.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let found = self.objects::<T>(&wanted).await?;
        Ok(found.into_iter().flatten().map(|stored| (stored.id, stored)).collect())
    }

    /// Returns those of `others` whom the viewer blocked or who blocked the viewer.
    pub(crate) async fn blocked_among(&self, viewer: &Viewer, others: impl Iterator<Item = Id>) -> Result<Vec<Id>> {
        self.kept_apart(viewer, others, Relation::is_blocked).await
    }

    /// Returns those of `others` who blocked the viewer.
    pub(crate) async fn blockers_among(&self, viewer: &Viewer, others: impl Iterator<Item = Id>) -> Result<Vec<Id>> {
        self.kept_apart(viewer, others, |relation| relation.blocked_by).await
    }

    /// Asks about all of them at once, each once.
    async fn kept_apart(&self, viewer: &Viewer, others: impl Iterator<Item = Id>, is_apart: fn(Relation) -> bool) -> Result<Vec<Id>> {
        let Some(me) = viewer.id() else { return Ok(Vec::new()) };
        let others: BTreeSet<Id> = others.filter(|other| *other != me.id()).collect();
        let others: Vec<UserId> =
            others.into_iter().map(UserId::try_from).collect::<std::result::Result<_, _>>().map_err(Error::internal)?;
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let relations = self.relations(me, &others).await?;
        Ok(others.into_iter().zip(relations).filter(|(_, relation)| is_apart(*relation)).map(|(other, _)| other.id()).collect())
    }

    /// Reads one pin for this viewer.
    pub async fn pin(&self, viewer: &Viewer, pin: PinId) -> Result<PinView> {
        self.hydrate(viewer, &[pin.id()], Strictness::Opened).await?.pop().ok_or(Error::NotFound(What::Pin))
    }

    /// Reads one board that the viewer may open.
    pub async fn board(&self, viewer: &Viewer, board: BoardId) -> Result<Arc<Stored<Board>>> {
        let found =
            self.object::<Board>(board).await?.filter(|stored| may_see_board(stored, viewer)).ok_or(Error::NotFound(What::Board))?;
        self.user(viewer, found.data.owner).await.map_err(|_| Error::NotFound(What::Board))?;
        Ok(found)
    }

    /// Reads a person whom the viewer may see: there, not suspended, not blocked either way.
    pub async fn user(&self, viewer: &Viewer, user: UserId) -> Result<Arc<Stored<User>>> {
        let found = self.object::<User>(user).await?.filter(|stored| stands(stored)).ok_or(Error::NotFound(What::User))?;
        if let Some(me) = viewer.id()
            && me != user
            && self.relations(me, &[user]).await?[0].blocked_by
            // Acts come this way too. The feeds may not have been told yet that the block is gone.
            && self.storage.edges(Assoc::UserBlocksUsers, user.id(), &[me.id()]).await?[0].is_some()
        {
            return Err(Error::NotFound(What::User));
        }
        Ok(found)
    }

    /// Reads a person whom the viewer may see, as [`App::user`] does, with all that stands between the two: for looking, not for acts.
    pub async fn seen(&self, viewer: &Viewer, user: UserId) -> Result<Seen> {
        let found = self.object::<User>(user).await?.ok_or(Error::NotFound(What::User))?;
        self.seen_among(viewer, &[found]).await?.pop().ok_or(Error::NotFound(What::User))
    }

    /// Keeps those people whom the viewer may see, with all that stands between: one question about all of them. Order is kept.
    pub async fn seen_among(&self, viewer: &Viewer, people: &[Arc<Stored<User>>]) -> Result<Vec<Seen>> {
        let mut seen: Vec<Seen> =
            people.iter().filter(|user| stands(user)).map(|user| Seen { user: user.clone(), standing: Standing::default() }).collect();
        let Some(me) = viewer.id() else { return Ok(seen) };
        let others: Vec<UserId> = seen.iter().map(Seen::id).filter(|other| *other != me).collect();
        if others.is_empty() {
            return Ok(seen);
        }
        let standings = self.standings(me, &others).await?;
        for (person, standing) in seen.iter_mut().filter(|person| person.id() != me).zip(standings) {
            person.standing = standing;
        }
        seen.retain(|person| !person.standing.relation.blocked_by);
        Ok(seen)
    }

    /// Reads a page of pins along an association, newest first, filled up to its size however much is hidden.
    pub async fn pins_along(
        &self,
        viewer: &Viewer,
        assoc: Assoc,
        from: Id,
        request: &PageRequest,
        strictness: Strictness,
    ) -> Result<Page<PinView>> {
        self.pins_along_screened(viewer, assoc, from, request, strictness, Screening::Due).await
    }

    /// The same, along an association of which somebody else keeps the blocked away.
    pub(crate) async fn pins_along_screened(
        &self,
        viewer: &Viewer,
        assoc: Assoc,
        from: Id,
        request: &PageRequest,
        strictness: Strictness,
        screening: Screening,
    ) -> Result<Page<PinView>> {
        let size = request.size()?;
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let mut items: Vec<(Edge, PinView)> = Vec::with_capacity(size + 1);
        let (mut wanted, mut ended) = ((size + 1).max(32), false);
        for _ in 0..FILL_ROUNDS_MAX {
            let edges = self.page_of_edges(assoc, from, after, wanted).await?;
            ended = edges.len() < wanted;
            // Where much is hidden, larger steps find the rest sooner.
            wanted = (wanted * 2).min(FILL_STEP_MAX.max(size + 1));
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            let mut views = self.hydrate_screened(viewer, &ids, strictness, screening).await?.into_iter().peekable();
            for edge in edges {
                if let Some(view) = views.next_if(|view| view.pin.id == edge.to) {
                    items.push((edge, view));
                }
            }
            if ended || items.len() > size {
                break;
            }
        }
        Ok(filled_page(items, size, assoc, after.filter(|_| !ended)))
    }

    /// Reads a page of people along an association.
    pub async fn users_along(&self, viewer: &Viewer, assoc: Assoc, from: Id, request: &PageRequest) -> Result<Page<Arc<Stored<User>>>> {
        let size = request.size()?;
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let (mut items, mut ended) = (Vec::with_capacity(size + 1), false);
        for _ in 0..FILL_ROUNDS_MAX {
            let edges = self.storage.range(assoc, from, Range { after, limit: size + 1, order: Order::Descending }).await?;
            ended = edges.len() <= size;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            let people = self.objects::<User>(&ids).await?;
            let blockers = self.blockers_among(viewer, people.iter().flatten().map(|user| user.id)).await?;
            for (edge, user) in edges.into_iter().zip(people) {
                if let Some(user) = user.filter(|user| stands(user) && !blockers.contains(&user.id)) {
                    items.push((edge, user));
                }
            }
            if ended || items.len() > size {
                break;
            }
        }
        Ok(filled_page(items, size, assoc, after.filter(|_| !ended)))
    }
}

/// Says whether a person is there for others.
pub fn stands(user: &Stored<User>) -> bool {
    user.active && !user.data.suspended && !user.data.deleting
}

/// Cuts what was collected along an association to a page. `given_up`: the look for more was given up there, and did not come to an end,
/// so that the next page goes on from there.
fn filled_page<T>(items: Vec<(Edge, T)>, size: usize, assoc: Assoc, given_up: Option<(i64, Id)>) -> Page<T> {
    let list = lists::of_assoc(assoc);
    let mut page = page_of(items, size, list);
    page.bookmark = page.bookmark.or_else(|| given_up.map(|(position, id)| Bookmark { list, position, id: id.as_u64() }.encode()));
    page
}

/// Cuts what was collected to a page and makes the bookmark of the next one.
pub fn page_of<T>(mut items: Vec<(Edge, T)>, size: usize, list: u8) -> Page<T> {
    let more = items.len() > size;
    items.truncate(size);
    let last = items.last().filter(|_| more).map(|(edge, _)| edge);
    let bookmark = last.map(|edge| Bookmark { list, position: edge.sequence, id: edge.to.as_u64() }.encode());
    Page { items: items.into_iter().map(|(_, item)| item).collect(), bookmark }
}
