//! Deleting pins: into the trash with undo for 30 days, then for ever.

use model::{Assoc, Board, BoardId, Comment, CommentId, EventKind, Id, NameKind, Pin, PinId, Stored};
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
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
        self.purge_pin(pin).await
    }

    /// Deletes a pin and everything that hangs on it. Repeating it after a crash finishes it: the row goes last.
    pub async fn purge_pin(&self, pin: PinId) -> Result<()> {
        let Some(stored) = self.storage.get::<Pin>(pin).await? else { return Ok(()) };
        if stored.active {
            let mut batch = Batch::on(pin.shard());
            batch.delete(pin.id());
            self.commit(batch).await?;
        }
        self.purge_comments_of(pin).await?;
        self.drop_mirrored(Assoc::PinLikedByUsers, pin.id()).await?;
        self.drop_edges(Assoc::PinHasSaves, pin.id()).await?;
        for tag in &stored.data.tags {
            if let Some(topic) = self.name(NameKind::Tag, tag).await? {
                self.mend_edges(&[EdgeWish::new(Assoc::TopicHasPins, topic.id, pin, None)]).await?;
            }
        }
        let gone = Stored { active: false, ..stored.clone() };
        let mut wishes = crate::edges::pin_edges(&gone, None);
        let holds_name = self.storage.edges(Assoc::UserHasImages, stored.data.owner.id(), &[stored.data.image.id()]).await?[0];
        if holds_name == Some(pin.id().as_i64()) {
            self.pass_picture_on(&stored).await?;
        }
        wishes.push(EdgeWish::new(Assoc::ImageHasPins, stored.data.image, pin, None));
        self.mend_edges(&wishes).await?;
        let unheld = jobs::DeletePicture { image: stored.data.image };
        self.enqueue_after(unheld, self.settings.picture_grace_ms).await?;
        let mut batch = Batch::on(pin.shard());
        if let Some(key) = &stored.data.source_key {
            batch.release(NameKind::SourceKey, source_key(stored.data.owner, key), pin.id());
        }
        batch.purge(pin.id()).emit(self.event_with(
            EventKind::PinPurged,
            None,
            String::new(),
            vec![pin.id(), stored.data.board.id()],
            serde_json::json!({}),
        ));
        self.commit(batch).await?;
        Ok(())
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

    async fn purge_comments_of(&self, pin: PinId) -> Result<()> {
        loop {
            let edges = self.storage.range(Assoc::PinHasComments, pin.id(), Range::first(PURGE_STEP)).await?;
            if edges.is_empty() {
                return Ok(());
            }
            for edge in edges {
                self.purge_comment(edge.to, pin).await?;
            }
        }
    }

    /// Deletes one comment with its likes and replies.
    pub async fn purge_comment(&self, comment: Id, pin: PinId) -> Result<()> {
        let stored = self.storage.get::<Comment>(comment).await?;
        self.drop_mirrored(Assoc::CommentLikedByUsers, comment).await?;
        self.delete_replies(CommentId::try_from(comment).map_err(Error::internal)?).await?;
        let mut batch = Batch::on(pin.shard());
        batch.unmap(Assoc::PinHasComments, pin.id(), comment);
        if let Some(stored) = &stored {
            self.mend_edges(&[EdgeWish::new(Assoc::UserWritesComments, stored.data.author, comment, None)]).await?;
            if let Some(parent) = stored.data.parent {
                batch.unmap(Assoc::CommentHasReplies, parent.id(), comment);
            }
            batch.purge(comment);
        }
        self.commit(batch).await?;
        Ok(())
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
