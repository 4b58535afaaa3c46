//! Boards: made, changed, archived, merged, deleted, listed.

use std::sync::Arc;

use model::limits::{self, BOARDS_PER_USER_MAX, check_name, check_text};
use model::object::{BoardOrder, Privacy, Role, SCHEMA_VERSION};
use model::text::slug_of;
use model::{Assoc, Board, BoardId, Bookmark, EventKind, Id, Kind, NameKind, Pin, PinId, Stored, User, UserId};
use serde_json::json;
use storage::Condition;

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{BoardCard, COVER_PINS, Page, PageRequest, PinView, Strictness, lists, stands};
use crate::jobs;
use crate::plan::Plan;
use crate::profiles::Profile;
use crate::viewer::{Viewer, may_list_board, pin_stands, require_role};

/// A board that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewBoard {
    pub name: String,
    pub description: String,
    pub privacy: Privacy,
}

/// How a board should change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct BoardEdit {
    pub name: Option<String>,
    pub description: Option<String>,
    pub privacy: Option<Privacy>,
    pub archived: Option<bool>,
    /// `Some(None)` goes back to the newest pins.
    pub cover: Option<Option<PinId>>,
    pub order: Option<BoardOrder>,
}

/// Boards with their place in their owner's order.
pub type BoardList = Vec<(i64, Arc<Stored<Board>>)>;

/// Which of a person's boards are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoardFilter {
    /// Not archived.
    #[default]
    Current,
    Archived,
    All,
    Only(Privacy),
    PublicAndSecret,
}

impl BoardFilter {
    fn takes(self, board: &Board) -> bool {
        match self {
            BoardFilter::Current => !board.archived,
            BoardFilter::Archived => board.archived,
            BoardFilter::All => true,
            BoardFilter::Only(privacy) => board.privacy == privacy,
            BoardFilter::PublicAndSecret => board.privacy != Privacy::Protected,
        }
    }
}

/// Addresses tried for boards of the same name before the person is asked for another one.
const SLUG_TRIES_MAX: usize = 100;

fn slug_key(owner: UserId, slug: &str) -> String {
    format!("{owner}/{slug}")
}

impl App {
    /// Makes a board.
    pub async fn create_board(&self, viewer: &Viewer, new: NewBoard) -> Result<BoardCard> {
        self.create_board_once(viewer, new, None).await
    }

    /// Makes a board; the owner's second one with the same source key is a conflict.
    pub async fn create_board_once(&self, viewer: &Viewer, new: NewBoard, source_key: Option<String>) -> Result<BoardCard> {
        let owner = viewer.require()?;
        if new.privacy == Privacy::Secret && !viewer.writes_secret {
            return Err(Error::Forbidden("This token may not make secret boards; it lacks the scope boards:write_secret.".into()));
        }
        let name = check_name("name", "The board's name", &new.name, limits::BOARD_NAME_CHARS_MAX)?;
        let description = check_text("description", "The description", &new.description, limits::BOARD_DESCRIPTION_CHARS_MAX)?;
        let id: BoardId = self.new_id(owner.shard(), Kind::Board).await?;
        let slug = self.free_slug(owner, &name, id).await?;
        let board = Board {
            v: SCHEMA_VERSION,
            owner,
            name,
            slug: slug.clone(),
            description,
            privacy: new.privacy,
            cover: None,
            order: BoardOrder::ByTime,
            archived: false,
            collaborators: Vec::new(),
            pins_modified_at: None,
        };
        let mut plan = Plan::decided_on(owner.shard());
        let key = slug_key(owner, &slug);
        plan.decision()
            .require(Condition::CountBelow(Assoc::UserHasBoards, owner.id(), BOARDS_PER_USER_MAX))
            .claim(NameKind::BoardSlug, &key, id.id())
            .create(id.id(), &board)
            .confirm(NameKind::BoardSlug, &key, id.id())
            .map(Assoc::UserHasBoards, owner.id(), id.id(), self.now().0)
            .emit(self.event(EventKind::BoardCreated, viewer, vec![id.id(), owner.id()]));
        if let Some(key) = source_key {
            let key = crate::pins::source_key(owner, &key);
            plan.decision().claim(NameKind::SourceKey, &key, id.id()).confirm(NameKind::SourceKey, &key, id.id());
        }
        self.carry_out(plan).await?;
        self.board_card(viewer, id).await
    }

    /// Finds an address for a board that none of the owner's other boards has.
    async fn free_slug(&self, owner: UserId, name: &str, board: BoardId) -> Result<String> {
        let wanted = slug_of(name);
        for n in 1..=SLUG_TRIES_MAX {
            let slug = if n == 1 { wanted.clone() } else { format!("{wanted}-{n}") };
            let holder = self.name(NameKind::BoardSlug, &slug_key(owner, &slug)).await?;
            if holder.is_none_or(|name| name.id == board.id()) {
                return Ok(slug);
            }
        }
        Err(Error::invalid("name", format!("You have {SLUG_TRIES_MAX} boards of this name already; choose another one.")))
    }

    /// Finds a board by its owner's user name and its slug.
    pub async fn board_at(&self, viewer: &Viewer, username: &str, slug: &str) -> Result<BoardId> {
        let owner = self.user_named(viewer, username).await.map_err(|_| Error::NotFound(What::Board))?;
        let (owner, slug) = (UserId::try_from(owner.id).map_err(Error::internal)?, slug.to_lowercase());
        let has_name = |board: &Stored<Board>| board.data.owner == owner && board.data.slug == slug;
        let id = self.object_named(NameKind::BoardSlug, &slug_key(owner, &slug), has_name).await?.ok_or(Error::NotFound(What::Board))?;
        BoardId::try_from(id).map_err(|_| Error::NotFound(What::Board))
    }

    /// Reads a board that the viewer may change in this role, past the cache.
    pub(crate) async fn board_for(&self, viewer: &Viewer, board: BoardId, role: Role) -> Result<Stored<Board>> {
        let stored = self.fresh::<Board>(board).await?.ok_or(Error::NotFound(What::Board))?;
        require_role(&stored, viewer, role)?;
        Ok(stored)
    }

    /// Changes a board.
    pub async fn edit_board(&self, viewer: &Viewer, board: BoardId, edit: BoardEdit) -> Result<BoardCard> {
        let changes_rights = edit.privacy.is_some() || edit.archived.is_some();
        let stored = self.board_for(viewer, board, if changes_rights { Role::Owner } else { Role::Edit }).await?;
        let mut data = stored.data.clone();
        if let Some(name) = edit.name {
            data.name = check_name("name", "The board's name", &name, limits::BOARD_NAME_CHARS_MAX)?;
        }
        if let Some(description) = edit.description {
            data.description = check_text("description", "The description", &description, limits::BOARD_DESCRIPTION_CHARS_MAX)?;
        }
        if edit.privacy == Some(Privacy::Secret) && !viewer.writes_secret {
            return Err(Error::Forbidden("This token may not make boards secret; it lacks the scope boards:write_secret.".into()));
        }
        data.privacy = edit.privacy.unwrap_or(data.privacy);
        data.archived = edit.archived.unwrap_or(data.archived);
        data.order = edit.order.unwrap_or(data.order);
        if let Some(cover) = edit.cover {
            if let Some(pin) = cover {
                let on_board = self.storage.edges(Assoc::BoardHasPins, board.id(), &[pin.id()]).await?[0].is_some();
                if !on_board {
                    return Err(Error::invalid("cover", "The cover must be a pin of this board."));
                }
            }
            data.cover = cover;
        }
        if slug_of(&data.name) != slug_of(&stored.data.name) {
            data.slug = self.free_slug(data.owner, &data.name, board).await?;
        }
        if data == stored.data {
            return self.board_card(viewer, board).await;
        }
        self.write_board(viewer, &stored, data).await?;
        self.board_card(viewer, board).await
    }

    /// Writes a new state of a board. Changes of who sees it reach its pins by a job; readers look at the board itself meanwhile.
    pub(crate) async fn write_board(&self, viewer: &Viewer, before: &Stored<Board>, data: Board) -> Result<()> {
        let id = before.id;
        let visibility = (data.privacy, data.archived, data.order) != (before.data.privacy, before.data.archived, before.data.order);
        let mut plan = Plan::decided_on(id.shard());
        if data.slug != before.data.slug {
            let (old, new) = (slug_key(data.owner, &before.data.slug), slug_key(data.owner, &data.slug));
            plan.decision().claim(NameKind::BoardSlug, &new, id).confirm(NameKind::BoardSlug, &new, id).release(
                NameKind::BoardSlug,
                &old,
                id,
            );
        }
        let details = json!({ "pins_affected": visibility || data.name != before.data.name });
        let event = self.event_with(EventKind::BoardChanged, viewer.id(), viewer.request_id.clone(), vec![id, data.owner.id()], details);
        plan.decision().update(id, before.version, &data).emit(event);
        self.carry_out(plan).await?;
        self.tell_feeds_of_board(BoardId::try_from(id).map_err(Error::internal)?).await;
        Ok(())
    }

    /// Deletes a board at once; its pins follow into the trash by a job.
    pub async fn delete_board(&self, viewer: &Viewer, board: BoardId) -> Result<()> {
        let stored = self.board_for(viewer, board, Role::Owner).await?;
        let mut plan = Plan::decided_on(board.shard());
        plan.decision()
            .require(Condition::Version(board.id(), stored.version))
            .delete(board.id())
            .release(NameKind::BoardSlug, slug_key(stored.data.owner, &stored.data.slug), board.id())
            .unmap(Assoc::UserHasBoards, stored.data.owner.id(), board.id())
            .emit(self.event(EventKind::BoardDeleted, viewer, vec![board.id(), stored.data.owner.id()]));
        for collaborator in &stored.data.collaborators {
            let assoc = if collaborator.accepted { Assoc::UserJoinsBoards } else { Assoc::UserInvitedToBoards };
            plan.on(collaborator.user.shard()).unmap(assoc, collaborator.user.id(), board.id());
        }
        self.carry_out(plan).await?;
        self.tell_feeds_of_board(board).await;
        Ok(())
    }

    /// Moves all pins of one board to another one of the same person and deletes the first.
    pub async fn merge_board(&self, viewer: &Viewer, from: BoardId, into: BoardId) -> Result<()> {
        if from == into {
            return Err(Error::invalid("into", "Choose another board to merge into."));
        }
        self.board_for(viewer, from, Role::Owner).await?;
        self.board_for(viewer, into, Role::Owner).await?;
        let job = jobs::MergeBoard { from, into, by: viewer.require()? };
        self.enqueue(job).await
    }

    /// Reads a board's card.
    pub async fn board_card(&self, viewer: &Viewer, board: BoardId) -> Result<BoardCard> {
        let stored = self.board(viewer, board).await?;
        self.board_cards(viewer, vec![stored]).await?.pop().ok_or(Error::NotFound(What::Board))
    }

    /// Says whether the viewer may have a board of somebody's listed: it is listed for them, its owner is there, and nobody blocks anybody.
    pub(crate) async fn may_list_board_of(&self, viewer: &Viewer, board: &Stored<Board>) -> Result<bool> {
        let owner = board.data.owner;
        if !may_list_board(board, viewer) || !self.object::<User>(owner).await?.is_some_and(|owner| stands(&owner)) {
            return Ok(false);
        }
        Ok(match viewer.id() {
            Some(me) if me != owner => !self.is_blocked(me, owner).await?,
            _ => true,
        })
    }

    /// Adds counts and covers to boards that the viewer may see.
    pub async fn board_cards(&self, viewer: &Viewer, boards: Vec<Arc<Stored<Board>>>) -> Result<Vec<BoardCard>> {
        let owners = self.by_id::<User>(boards.iter().map(|board| board.data.owner.id())).await?;
        let ids: Vec<Id> = boards.iter().map(|board| board.id).collect();
        let counts = self.pin_counts(&ids).await?;
        let newest = self.newest_of(Assoc::BoardHasPins, &ids, COVER_PINS).await?;
        let chosen = boards.iter().filter_map(|board| board.data.cover.map(Id::from));
        let pins = self.by_id::<Pin>(newest.iter().flatten().map(|edge| edge.to).chain(chosen)).await?;
        let cards = boards.into_iter().zip(counts).zip(newest).filter_map(|((board, pin_count), newest)| {
            let owner = owners.get(&board.data.owner.id()).filter(|owner| stands(owner))?.clone();
            let cover = board.data.cover.map(Id::from);
            let ids = cover.into_iter().chain(newest.iter().map(|edge| edge.to).filter(|id| Some(*id) != cover));
            let covers = ids
                .filter_map(|id| pins.get(&id))
                .filter(|pin| pin.data.board.id() == board.id && pin_stands(pin, viewer))
                .take(COVER_PINS)
                .cloned();
            Some(BoardCard { covers: covers.collect(), pin_count, owner, board })
        });
        Ok(cards.collect())
    }

    /// Counts the pins of boards, without those that were taken down; same order and length.
    pub async fn pin_counts(&self, boards: &[Id]) -> Result<Vec<u64>> {
        let wanted: Vec<_> = boards.iter().flat_map(|id| [(Assoc::BoardHasPins, *id), (Assoc::BoardHidesPins, *id)]).collect();
        Ok(self.counts_of(&wanted).await?.chunks(2).map(|counts| counts[0].saturating_sub(counts[1])).collect())
    }

    /// Counts the pins of a board, without those that were taken down.
    pub async fn pin_count(&self, board: Id) -> Result<u64> {
        Ok(self.pin_counts(&[board]).await?[0])
    }

    /// Lists a person's boards that the viewer may have listed, and those they collaborate on; in the owner's order.
    pub async fn boards_of(&self, viewer: &Viewer, owner: UserId, filter: BoardFilter, request: &PageRequest) -> Result<Page<BoardCard>> {
        let all = self.all_boards_of(viewer, owner).await?;
        self.page_of_boards(viewer, &all, filter, request).await
    }

    /// Lists the boards of a profile that was read already.
    pub async fn boards_on(
        &self,
        viewer: &Viewer,
        profile: &Profile,
        filter: BoardFilter,
        request: &PageRequest,
    ) -> Result<Page<BoardCard>> {
        self.page_of_boards(viewer, &profile.boards, filter, request).await
    }

    async fn page_of_boards(
        &self,
        viewer: &Viewer,
        all: &BoardList,
        filter: BoardFilter,
        request: &PageRequest,
    ) -> Result<Page<BoardCard>> {
        let size = request.size()?;
        let after = request.after(lists::MEMBERS)?;
        let mut wanted: BoardList = all.iter().filter(|(_, board)| filter.takes(&board.data)).cloned().collect();
        wanted.retain(|(sequence, board)| after.is_none_or(|(s, id)| (*sequence, board.id.as_u64()) < (s, id)));
        let more = wanted.len() > size;
        wanted.truncate(size);
        let last = wanted.last().filter(|_| more).map(|(position, board)| Bookmark {
            list: lists::MEMBERS,
            position: *position,
            id: board.id.as_u64(),
        });
        let cards = self.board_cards(viewer, wanted.into_iter().map(|(_, board)| board).collect()).await?;
        Ok(Page { items: cards, bookmark: last.map(Bookmark::encode) })
    }

    /// Reads all boards of a person that the viewer may have listed, with their sequence, in order. A person has few enough for that.
    pub async fn all_boards_of(&self, viewer: &Viewer, owner: UserId) -> Result<BoardList> {
        let edges = |assoc| self.page_of_edges(assoc, owner.id(), None, BOARDS_PER_USER_MAX as usize);
        let mut edges = [edges(Assoc::UserHasBoards).await?, edges(Assoc::UserJoinsBoards).await?].concat();
        edges.sort_by_key(|edge| std::cmp::Reverse((edge.sequence, edge.to)));
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let boards = self.objects::<Board>(&ids).await?;
        let listed = edges.iter().zip(boards).filter_map(|(edge, board)| Some((edge.sequence, board?)));
        Ok(listed.filter(|(_, board)| may_list_board(board, viewer)).collect())
    }

    /// Lists the boards that the viewer may add pins to, their own first as ordered, for pickers.
    pub async fn boards_to_add_to(&self, viewer: &Viewer) -> Result<Vec<Arc<Stored<Board>>>> {
        let me = viewer.require()?;
        let boards = self.all_boards_of(viewer, me).await?;
        let writable = boards.into_iter().map(|(_, board)| board);
        Ok(writable.filter(|board| !board.data.archived && require_role(board, viewer, Role::Add).is_ok()).collect())
    }

    /// Lists a board's pins in its order.
    pub async fn board_pins(&self, viewer: &Viewer, board: BoardId, request: &PageRequest) -> Result<Page<PinView>> {
        let stored = self.board(viewer, board).await?;
        let assoc = match stored.data.order {
            BoardOrder::ByTime => Assoc::BoardHasPins,
            BoardOrder::ByHand => Assoc::BoardOrdersPins,
        };
        self.pins_along(viewer, assoc, board.id(), request, Strictness::Opened).await
    }
}
