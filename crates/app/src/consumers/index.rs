//! Keeps the search index equal to storage.

use ::search::{Doc, Viewers};
use model::{Assoc, Board, BoardId, Event, EventKind, Id, Pin, PinId, Stored, Topic, User, UserId};
use runtime::Shutdown;

use crate::compose::App;
use crate::error::Result;
use crate::hydrate::stands;
use crate::viewer::is_listed;

/// Events read at once.
const STEP: usize = 256;

impl App {
    /// Follows the log until shutdown. The index keeps the offset up to which it is complete; without one it is rebuilt.
    pub async fn run_index(&self, shutdown: Shutdown) -> Result<()> {
        let mut consumer = self.events.consumer("index", Topic::Activity).await?;
        match self.search.committed_offset() {
            Some(offset) => consumer.seek(offset),
            None => {
                let end = self.events.end(Topic::Activity).await?;
                self.rebuild_index().await?;
                self.search.put_offset(end);
                consumer.seek(end);
            }
        }
        loop {
            let records = tokio::select! {
                () = shutdown.wait() => break,
                records = consumer.next(STEP) => records?,
            };
            let Some(last) = records.last().map(|record| record.offset) else { continue };
            for record in records {
                self.handle_with_patience("index", record, &|event| self.reconcile_index(event)).await?;
            }
            consumer.commit(last).await?;
            self.search.put_offset(last);
        }
        self.search.flush().await?;
        Ok(())
    }

    /// Makes the index equal to storage for what one event is about. Safe to repeat.
    pub async fn reconcile_index(&self, event: Event) -> Result<()> {
        use EventKind as K;
        match event.kind {
            K::PinCreated | K::PinSaved | K::PinChanged | K::PinMoved | K::PinTrashed | K::PinRestored | K::PinPurged => {
                if let Some(pin) = event.subject::<PinId>(0) {
                    self.reindex(pin.id()).await?;
                }
                // A save makes the pin it came from rank higher.
                if let (K::PinSaved, Some(parent)) = (event.kind, event.subject::<PinId>(2)) {
                    self.reindex(parent.id()).await?;
                }
            }
            K::BoardCreated | K::BoardChanged | K::BoardDeleted | K::CollaboratorJoined | K::CollaboratorLeft => {
                if let Some(board) = event.subject::<BoardId>(0) {
                    self.reindex(board.id()).await?;
                }
            }
            K::UserSignedUp | K::UserChanged | K::UserDeleted | K::UserFollowed | K::UserUnfollowed => {
                if let Some(user) = event.subject::<UserId>(0) {
                    self.reindex(user.id()).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts one object into the index, or takes it out if it is not to be found any more.
    pub async fn reindex(&self, id: Id) -> Result<()> {
        match self.document(id).await? {
            Some(doc) => self.search.put(vec![doc]).await?,
            None => self.search.remove(vec![id]).await?,
        }
        Ok(())
    }

    /// Reads the document of a pin, a board or a person; `None` when there is nothing to find.
    pub async fn document(&self, id: Id) -> Result<Option<Doc>> {
        match id.kind() {
            model::Kind::Pin => self.pin_document(id).await,
            model::Kind::Board => self.board_document(id).await,
            model::Kind::User => self.user_document(id).await,
            _ => Ok(None),
        }
    }

    async fn pin_document(&self, id: Id) -> Result<Option<Doc>> {
        let Some(stored) = self.storage.get::<Pin>(id).await? else { return Ok(None) };
        let pin = stored.data;
        if !stored.active || pin.trashed_at.is_some() || pin.hidden {
            return Ok(None);
        }
        let Some(board) = self.object::<Board>(pin.board).await?.filter(|board| board.active) else { return Ok(None) };
        let Some(owner) = self.object::<User>(pin.owner).await?.filter(|owner| stands(owner)) else { return Ok(None) };
        Ok(Some(Doc::Pin {
            id: PinId::try_from(id).map_err(crate::Error::internal)?,
            owner: pin.owner,
            title: pin.title,
            description: pin.description,
            alt_text: pin.alt_text,
            tags: pin.tags.into_iter().collect(),
            board_name: board.data.name.clone(),
            owner_username: owner.data.username.clone(),
            owner_name: owner.data.name.clone(),
            domain: pin.domain,
            color: pin.picture.color,
            at: pin.at,
            saves: self.storage.count(Assoc::PinHasSaves, id).await?,
            viewers: viewers_of(&board),
            image_hash: pin.picture.hash,
        }))
    }

    async fn board_document(&self, id: Id) -> Result<Option<Doc>> {
        let Some(board) = self.storage.get::<Board>(id).await?.filter(|board| board.active) else { return Ok(None) };
        let Some(owner) = self.object::<User>(board.data.owner).await?.filter(|owner| stands(owner)) else { return Ok(None) };
        Ok(Some(Doc::Board {
            id: BoardId::try_from(id).map_err(crate::Error::internal)?,
            owner: board.data.owner,
            viewers: viewers_of(&board),
            name: board.data.name,
            description: board.data.description,
            owner_username: owner.data.username.clone(),
            owner_name: owner.data.name.clone(),
            pins: self.pin_count(id).await?,
            at: board.created_at,
        }))
    }

    async fn user_document(&self, id: Id) -> Result<Option<Doc>> {
        let Some(user) = self.storage.get::<User>(id).await?.filter(|user| stands(user) && user.data.settings.discoverable) else {
            return Ok(None);
        };
        Ok(Some(Doc::User {
            id: UserId::try_from(id).map_err(crate::Error::internal)?,
            username: user.data.username,
            name: user.data.name,
            about: user.data.about,
            followers: self.storage.count(Assoc::UserFollowedByUsers, id).await?,
        }))
    }
}

/// Returns who may find what is on a board: everybody if it is listed, else those who are on it.
fn viewers_of(board: &Stored<Board>) -> Viewers {
    if is_listed(board) {
        return Viewers::Everyone;
    }
    let collaborators = board.data.collaborators.iter().filter(|c| c.accepted).map(|c| c.user);
    Viewers::Only(std::iter::once(board.data.owner).chain(collaborators).collect())
}
