//! Deleting pins: into the trash with undo for 30 days, then for ever.
//!
//! ```text
//! hide it from everybody ─▶ comments ─▶ likes, saves, topics, edges elsewhere ─▶ the row, with the event that lets go of the picture
//!                       └──────────┴── each asks for legal holds inside its batch ──┘
//! ```

use model::{Assoc, Board, BoardId, Comment, CommentId, EventKind, Id, ImageId, NameKind, Pin, PinId, Stored};
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::holds::{Guard, Purge};
use crate::hydrate::{Page, PageRequest, PinView, lists, page_of};
use crate::jobs;
use crate::pins::{Place, source_key};
use crate::viewer::Viewer;

/// Edges that are taken away in one batch of a purge.
const PURGE_STEP: usize = 200;
/// Holders of a picture among which another pin of the same person is looked for.
const HOLDERS_MAX: usize = 500;

impl App {
    /// Moves a pin to its owner's trash.
    pub async fn trash_pin(&self, viewer: &Viewer, pin: PinId) -> Result<()> {
        let (stored, board) = self.editable_pin(viewer, pin).await?;
        if stored.data.trashed_at.is_some() {
            return Ok(());
        }
        let data = Pin { trashed_at: Some(self.now()), ..stored.data.clone() };
        self.write_pin(viewer, &stored, data, EventKind::PinTrashed, &board).await
    }

    /// Takes a pin out of the trash, to its old board or, when that is gone, to `place`.
    pub async fn restore_pin(&self, viewer: &Viewer, pin: PinId, place: Option<Place>) -> Result<PinView> {
        let me = viewer.require()?;
        let stored = self.fresh::<Pin>(pin).await?.filter(|pin| pin.data.owner == me).ok_or(Error::NotFound(What::Pin))?;
        if stored.data.trashed_at.is_none() {
            return self.pin(viewer, pin).await;
        }
        let place = place.unwrap_or(Place { board: stored.data.board, section: stored.data.section });
        let board = self.restore_place(viewer, place).await?;
        let mut data = Pin { trashed_at: None, board: place.board, section: place.section, ..stored.data.clone() };
        if let Some(section) = data.section
            && self.fresh::<model::Section>(section).await?.is_none()
        {
            data.section = None;
        }
        self.write_pin(viewer, &stored, data, EventKind::PinRestored, &board).await?;
        self.pin(viewer, pin).await
    }

    async fn restore_place(&self, viewer: &Viewer, place: Place) -> Result<Stored<Board>> {
        let without_section = Place { section: None, ..place };
        self.writable_place(viewer, without_section).await.map_err(|error| match error {
            Error::NotFound(What::Board) => Error::Conflict("The board of this pin is gone. Choose another board to restore it to.".into()),
            other => other,
        })
    }

    /// Lists the viewer's trash, newest first.
    pub async fn trash(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<std::sync::Arc<Stored<Pin>>>> {
        let me = viewer.require()?;
        let (size, assoc) = (request.size()?, Assoc::UserTrashesPins);
        let after = request.after_edge(lists::of_assoc(assoc))?;
        let edges = self.storage.range(assoc, me.id(), Range { after, limit: size + 1, order: Order::Descending }).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let pins = self.objects::<Pin>(&ids).await?;
        let items = edges.into_iter().zip(pins).filter_map(|(edge, pin)| Some((edge, pin?))).collect();
        Ok(page_of(items, size, lists::of_assoc(assoc)))
    }

    /// Deletes a pin of one's own trash for ever.
    pub async fn purge_from_trash(&self, viewer: &Viewer, pin: PinId) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<Pin>(pin).await?.filter(|pin| pin.data.owner == me).ok_or(Error::NotFound(What::Pin))?;
        if stored.data.trashed_at.is_none() {
            return Err(Error::Conflict("This pin is not in the trash.".into()));
        }
        // Held or not, for its owner it is gone.
        self.purge_pin(pin).await.map(|_| ())
    }

    /// Deletes a pin and everything that hangs on it, or hides it until the legal holds on it end. Repeating it after a crash finishes
    /// it: the row goes last.
    pub async fn purge_pin(&self, pin: PinId) -> Result<Purge> {
        if self.try_purge_pin(pin).await? == Purge::Postponed {
            if self.note_postponed(Assoc::SitePostponesPins, pin.id()).await? {
                // Feeds and index look at it anew, and find it hidden.
                self.touch_pin(pin).await?;
            }
            // A hold that was released between the two found nothing to do: look once more.
            if self.try_purge_pin(pin).await? == Purge::Postponed {
                return Ok(Purge::Postponed);
            }
        }
        self.forget_postponed(Assoc::SitePostponesPins, pin.id()).await?;
        Ok(Purge::Done)
    }

    async fn try_purge_pin(&self, pin: PinId) -> Result<Purge> {
        let Some(stored) = self.storage.get::<Pin>(pin).await? else { return Ok(Purge::Done) };
        let owner = stored.data.owner;
        let guard = Guard::of_pin(pin, Some(owner));
        if stored.active {
            let mut batch = Batch::on(pin.shard());
            batch.delete(pin.id()).unmap(Assoc::UserHasPins, owner.id(), pin.id()).unmap(Assoc::UserTrashesPins, owner.id(), pin.id());
            self.commit(batch).await?;
        }
        let gone = Stored { active: false, ..stored.clone() };
        self.mend_edges(&crate::edges::pin_edges(&gone, None)).await?;
        if self.ask_unheld(&guard).await? == Purge::Postponed || self.purge_comments_of(pin).await? == Purge::Postponed {
            return Ok(Purge::Postponed);
        }
        self.drop_mirrored(Assoc::PinLikedByUsers, pin.id()).await?;
        self.drop_edges(Assoc::PinHasSaves, pin.id()).await?;
        for tag in &stored.data.tags {
            if let Some(topic) = self.name(NameKind::Tag, tag).await? {
                self.mend_edges(&[EdgeWish::new(Assoc::TopicHasPins, topic.id, pin, None)]).await?;
            }
        }
        let holds_name = self.storage.edges(Assoc::UserHasImages, owner.id(), &[stored.data.image.id()]).await?[0];
        if holds_name == Some(pin.id().as_i64()) {
            self.pass_picture_on(&stored).await?;
        }
        let mut batch = Batch::on(pin.shard());
        if let Some(key) = &stored.data.source_key {
            batch.release(NameKind::SourceKey, source_key(owner, key), pin.id());
        }
        // The picture is a subject and not a detail: details are blanked when a person is erased.
        let subjects = vec![pin.id(), stored.data.board.id(), stored.data.image.id()];
        batch.purge(pin.id()).emit(self.event_with(EventKind::PinPurged, None, String::new(), subjects, serde_json::json!({})));
        self.commit_unheld(batch, &guard).await
    }

    /// Lets go of the picture of a pin that is purged, or was never made: only now nothing can bring the pin back.
    pub(crate) async fn after_purge(&self, pin: PinId, image: ImageId) -> Result<()> {
        if self.storage.get::<Pin>(pin).await?.is_some() {
            return Ok(());
        }
        self.mend_edges(&[EdgeWish::new(Assoc::ImageHasPins, image, pin, None)]).await?;
        self.enqueue_after(jobs::DeletePicture { image }, self.settings.picture_grace_ms).await
    }

    /// Makes another of the owner's pins of the same picture the one that says "already on board X", if there is one.
    async fn pass_picture_on(&self, gone: &Stored<Pin>) -> Result<()> {
        let (owner, image) = (gone.data.owner, gone.data.image);
        let edges = self.storage.range(Assoc::ImageHasPins, image.id(), Range::first(HOLDERS_MAX)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).filter(|id| *id != gone.id).collect();
        let next = self.objects::<Pin>(&ids).await?.into_iter().flatten().find(|pin| pin.active && pin.data.owner == owner);
        let mut batch = Batch::on(owner.shard());
        match next {
            Some(pin) => batch.remap(Assoc::UserHasImages, owner.id(), image.id(), pin.id.as_i64()),
            None => batch.unmap(Assoc::UserHasImages, owner.id(), image.id()),
        };
        self.commit(batch).await.map(drop)
    }

    async fn purge_comments_of(&self, pin: PinId) -> Result<Purge> {
        loop {
            let edges = self.storage.range(Assoc::PinHasComments, pin.id(), Range::first(PURGE_STEP)).await?;
            if edges.is_empty() {
                return Ok(Purge::Done);
            }
            for edge in edges {
                if self.purge_comment(edge.to, pin).await? == Purge::Postponed {
                    return Ok(Purge::Postponed);
                }
            }
        }
    }

    /// Deletes one comment with its likes and replies, unless a legal hold stands on its author, on the pin or on the pin's owner.
    pub async fn purge_comment(&self, comment: Id, pin: PinId) -> Result<Purge> {
        let stored = self.storage.get::<Comment>(comment).await?;
        let owner = self.storage.get::<Pin>(pin).await?.map(|pin| pin.data.owner);
        let guard = Guard::of_pin(pin, owner);
        let author = stored.as_ref().map(|stored| stored.data.author);
        for guard in author.map(Guard::of).iter().chain([&guard]) {
            if self.ask_unheld(guard).await? == Purge::Postponed {
                return Ok(Purge::Postponed);
            }
        }
        self.drop_mirrored(Assoc::CommentLikedByUsers, comment).await?;
        self.delete_replies(CommentId::try_from(comment).map_err(Error::internal)?).await?;
        let mut batch = Batch::on(pin.shard());
        batch.unmap(Assoc::PinHasComments, pin.id(), comment);
        if let Some(stored) = &stored {
            if let Some(parent) = stored.data.parent {
                batch.unmap(Assoc::CommentHasReplies, parent.id(), comment);
            }
            batch.purge(comment);
        }
        if self.commit_unheld(batch, &guard).await? == Purge::Postponed {
            return Ok(Purge::Postponed);
        }
        if let Some(author) = author {
            self.mend_edges(&[EdgeWish::new(Assoc::UserWritesComments, author, comment, None)]).await?;
        }
        Ok(Purge::Done)
    }

    /// Takes away all edges of one association of one object.
    pub async fn drop_edges(&self, assoc: Assoc, from: Id) -> Result<()> {
        loop {
            let edges = self.storage.range(assoc, from, Range::first(PURGE_STEP)).await?;
            if edges.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::on(from.shard());
            for edge in &edges {
                batch.unmap(assoc, from, edge.to);
            }
            self.commit(batch).await?;
        }
    }

    /// Takes away all edges of one association, the mirrored ones on the other shards first.
    pub async fn drop_mirrored(&self, assoc: Assoc, from: Id) -> Result<()> {
        let mirror = assoc.mirror().expect("only called for mirrored associations");
        loop {
            let edges = self.storage.range(assoc, from, Range::first(PURGE_STEP)).await?;
            if edges.is_empty() {
                return Ok(());
            }
            let mirrored: Vec<_> = edges.iter().map(|edge| EdgeWish::new(mirror, edge.to, from, None)).collect();
            self.mend_edges(&mirrored).await?;
            let mut batch = Batch::on(from.shard());
            for edge in &edges {
                batch.unmap(assoc, from, edge.to);
            }
            self.commit(batch).await?;
        }
    }

    /// Says whether the board that a trashed pin would go back to is still there for the viewer.
    pub async fn can_restore(&self, viewer: &Viewer, board: BoardId) -> bool {
        self.writable_place(viewer, Place { board, section: None }).await.is_ok()
    }
}
