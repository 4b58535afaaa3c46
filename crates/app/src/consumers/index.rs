//! Keeps the search index equal to storage.

use std::collections::BTreeSet;

use ::search::{Doc, Viewers};
use model::{Assoc, Board, BoardId, Event, EventKind, Id, Pin, PinId, Stored, Topic, User, UserId};
use runtime::Shutdown;

use crate::compose::App;
use crate::error::Result;
use crate::hydrate::stands;
use crate::viewer::is_listed;

/// Events read at once.
const STEP: usize = 256;
/// Pins read at once.
const PINS_AT_ONCE: usize = 100;

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
            // Together it costs a few reads; one by one only when that failed, to find out which is at fault.
            if let Err(error) = self.reindex_all(records.iter().flat_map(|record| subjects_of(&record.event)).collect()).await {
                tracing::debug!(%error, "a step of events is indexed one by one");
                for record in records {
                    self.handle_with_patience("index", record, &|event| self.reconcile_index(event)).await?;
                }
            }
            consumer.commit(last).await?;
            self.search.put_offset(last);
        }
        self.search.flush().await?;
        Ok(())
    }

    /// Makes the index equal to storage for what one event is about. Safe to repeat.
    pub async fn reconcile_index(&self, event: Event) -> Result<()> {
        self.reindex_all(subjects_of(&event).collect()).await
    }

    /// Puts objects into the index, or takes them out if they are not to be found any more.
    async fn reindex_all(&self, ids: BTreeSet<Id>) -> Result<()> {
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for (id, document) in self.documents(ids).await? {
            match document {
                Some(document) => put.push(document),
                None => gone.push(id),
            }
        }
        self.search.put(put).await?;
        Ok(self.search.remove(gone).await?)
    }

    /// Reads the documents of pins, boards and people; `None` when there is nothing to find. Pins are read together.
    pub async fn documents(&self, ids: impl IntoIterator<Item = Id>) -> Result<Vec<(Id, Option<Doc>)>> {
        let (pins, others): (Vec<Id>, Vec<Id>) = ids.into_iter().partition(|id| id.kind() == model::Kind::Pin);
        let mut documents = Vec::with_capacity(pins.len() + others.len());
        for pins in pins.chunks(PINS_AT_ONCE) {
            let saves: Vec<_> = pins.iter().map(|id| (Assoc::PinHasSaves, *id)).collect();
            let (found, saves) = tokio::try_join!(self.storage.get_many::<Pin>(pins), self.storage.counts(&saves))?;
            for ((id, found), saves) in pins.iter().zip(found).zip(saves) {
                let document = match found {
                    Some(stored) => self.document_of_pin(stored, saves).await?,
                    None => None,
                };
                documents.push((*id, document));
            }
        }
        for id in others {
            let document = match id.kind() {
                model::Kind::Board => self.board_document(id).await?,
                model::Kind::User => self.user_document(id).await?,
                _ => None,
            };
            documents.push((id, document));
        }
        Ok(documents)
    }

    async fn document_of_pin(&self, stored: Stored<Pin>, saves: u64) -> Result<Option<Doc>> {
        let (id, pin) = (stored.id, stored.data);
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
            saves,
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

/// Returns the objects whose documents an event may have changed.
fn subjects_of(event: &Event) -> impl Iterator<Item = Id> {
    use EventKind as K;
    let first = |kind| event.subjects.first().copied().filter(|id| id.kind() == kind);
    let (subject, parent) = match event.kind {
        // A save makes the pin it came from rank higher.
        K::PinSaved => (first(model::Kind::Pin), event.subject::<PinId>(2).map(Id::from)),
        K::PinCreated | K::PinChanged | K::PinMoved | K::PinTrashed | K::PinRestored | K::PinPurged => (first(model::Kind::Pin), None),
        K::BoardCreated | K::BoardChanged | K::BoardDeleted | K::CollaboratorJoined | K::CollaboratorLeft => {
            (first(model::Kind::Board), None)
        }
        K::UserSignedUp | K::UserChanged | K::UserDeleted | K::UserFollowed | K::UserUnfollowed => (first(model::Kind::User), None),
        _ => (None, None),
    };
    subject.into_iter().chain(parent)
}

/// Returns who may find what is on a board: everybody if it is listed, else those who are on it.
fn viewers_of(board: &Stored<Board>) -> Viewers {
    if is_listed(board) {
        return Viewers::Everyone;
    }
    let collaborators = board.data.collaborators.iter().filter(|c| c.accepted).map(|c| c.user);
    Viewers::Only(std::iter::once(board.data.owner).chain(collaborators).collect())
}
