//! Pins: made, edited, moved, copied. Deleting them is in `trash.rs`, saving somebody else's in `save.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use model::limits::{self, PINS_PER_BOARD_MAX, check_link, check_text, domain_of};
use model::object::{Role, SCHEMA_VERSION};
use model::text::{tag_of_keyword, tags_of};
use model::{Assoc, Board, BoardId, EventKind, Id, Kind, NameKind, Pin, PinId, Section, SectionId, Stored, Timestamp, UserId};
use serde_json::json;
use storage::Condition;

use crate::compose::App;
use crate::edges::{EdgeWish, left_behind, pin_edges};
use crate::error::{Error, Result, What};
use crate::hydrate::PinView;
use crate::pictures::StoredPicture;
use crate::plan::Plan;
use crate::viewer::{Viewer, may_see_board, require_role};

/// What people write about a pin.
#[derive(Clone, Debug, Default)]
pub struct PinText {
    pub title: String,
    pub description: String,
    pub alt_text: String,
    pub link: String,
}

impl PinText {
    /// Checks all texts and returns them as they are stored.
    pub fn checked(self) -> Result<PinText> {
        Ok(PinText {
            title: check_text("title", "The title", &self.title, limits::PIN_TITLE_CHARS_MAX)?
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            description: check_text("description", "The description", &self.description, limits::PIN_DESCRIPTION_CHARS_MAX)?,
            alt_text: check_text("alt_text", "The alt text", &self.alt_text, limits::PIN_ALT_TEXT_CHARS_MAX)?,
            link: check_link("link", &self.link)?,
        })
    }

    fn tags(&self, keywords: &[String]) -> BTreeSet<String> {
        let mut tags = tags_of(&self.description);
        tags.extend(tags_of(&self.title));
        tags.extend(keywords.iter().filter_map(|keyword| tag_of_keyword(keyword)));
        while tags.len() > limits::TAGS_PER_PIN_MAX {
            tags.pop_last();
        }
        tags
    }
}

/// Where a pin goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub board: BoardId,
    pub section: Option<SectionId>,
}

/// Where a pin comes from, when it is somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub parent: PinId,
    pub root: PinId,
}

/// A pin that is to be made of a stored picture.
#[derive(Clone, Debug)]
pub struct NewPin {
    pub place: Place,
    pub text: PinText,
    /// Become tags beside the #tags in the text.
    pub keywords: Vec<String>,
    pub picture: StoredPicture,
    pub source: Option<Source>,
    /// The pin's own time; now, if nothing is said.
    pub at: Option<Timestamp>,
    /// What it is at its source; the owner's second pin with the same key is a conflict.
    pub source_key: Option<String>,
}

impl NewPin {
    pub fn new(place: Place, text: PinText, picture: StoredPicture) -> NewPin {
        NewPin { place, text, keywords: Vec::new(), picture, source: None, at: None, source_key: None }
    }
}

/// How a pin should change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct PinEdit {
    pub title: Option<String>,
    pub description: Option<String>,
    pub alt_text: Option<String>,
    pub link: Option<String>,
    pub place: Option<Place>,
}

impl App {
    /// Stores a picture and pins it.
    pub async fn pin_upload(&self, viewer: &Viewer, place: Place, text: PinText, bytes: Bytes) -> Result<PinView> {
        let text = text.checked()?;
        self.writable_place(viewer, place).await?;
        let picture = self.store_picture(bytes.clone()).await?;
        match self.create_pin(viewer, NewPin::new(place, text.clone(), picture)).await {
            // The last other pin of it is gone, and its bytes went before this one took hold of them.
            Err(Error::NotFound(What::Picture)) => {
                let picture = self.store_picture(bytes).await?;
                self.create_pin(viewer, NewPin::new(place, text, picture)).await
            }
            made => made,
        }
    }

    /// Makes a pin of a stored picture.
    pub async fn create_pin(&self, viewer: &Viewer, new: NewPin) -> Result<PinView> {
        let owner = viewer.require()?;
        let board = self.writable_place(viewer, new.place).await?;
        // Of a board that lives elsewhere the decision can't know how many there are at that moment.
        let is_beside = board.id.shard() == owner.shard();
        if !is_beside {
            self.check_room(board.id).await?;
        }
        let text = new.text.checked()?;
        let pin: PinId = self.new_id(owner.shard(), Kind::Pin).await?;
        let now = self.now();
        let hold = self.hold_on_picture(&new.picture, pin).await?;
        let held = new.picture.clone();
        let data = Pin {
            v: SCHEMA_VERSION,
            owner,
            board: new.place.board,
            section: new.place.section,
            tags: text.tags(&new.keywords),
            domain: domain_of(&text.link),
            title: text.title,
            description: text.description,
            alt_text: text.alt_text,
            link: text.link,
            image: new.picture.image,
            picture: new.picture.picture,
            parent: new.source.map(|source| source.parent),
            root: new.source.map(|source| source.root),
            at: new.at.unwrap_or(now).min(now),
            trashed_at: None,
            hidden: false,
            source_key: new.source_key,
        };
        let kind = if data.parent.is_some() { EventKind::PinSaved } else { EventKind::PinCreated };
        let mut subjects = vec![pin.id(), data.board.id()];
        subjects.extend(data.parent.map(Id::from));
        let stored = Stored { id: pin.id(), version: 1, created_at: now, updated_at: now, active: true, data };
        let began = self.cache.begin();
        let mut plan = Plan::decided_on(owner.shard());
        let decision = plan.decision();
        if is_beside {
            decision.require(Condition::Active(board.id)).require(Condition::CountBelow(Assoc::BoardHasPins, board.id, PINS_PER_BOARD_MAX));
        }
        decision.create(stored.id, &stored.data);
        decision.remap(Assoc::UserHasImages, owner.id(), stored.data.image.id(), stored.id.as_i64());
        if let Some(key) = &stored.data.source_key {
            let key = source_key(owner, key);
            decision.claim(NameKind::SourceKey, &key, stored.id).confirm(NameKind::SourceKey, &key, stored.id);
        }
        plan.begin(self.event(kind, viewer, subjects), (board.id, board.version));
        // What should not be there is not there yet.
        let wishes: Vec<EdgeWish> = pin_edges(&stored, Some(&board)).into_iter().filter(|wish| wish.wanted.is_some()).collect();
        plan.wish(&wishes);
        // A picture seldom changes: as it is known here it will nearly always do.
        let mut written = match hold {
            Some(hold) => self.carry_out_behind(hold, plan.clone()).await,
            None => Ok(None),
        };
        if let Ok(None) = written {
            self.hold_picture(&held, pin).await?;
            written = self.carry_out(plan).await.map(Some);
        }
        if let Err(error) = written {
            // Where it is not known whether there is a pin, its hold stays.
            if let Error::Conflict(_) = error {
                self.after_purge(pin, stored.data.image).await?;
                if let Err(full @ Error::Conflict(_)) = self.check_room(board.id).await {
                    return Err(full);
                }
            }
            return Err(error);
        }
        metrics::counter!(crate::metrics::PINS_CREATED_TOTAL).increment(1);
        let owner = viewer.user.clone().ok_or(Error::SignInNeeded)?;
        let pin = Arc::new(stored);
        // Consumers and the next page want it at once.
        self.cache.keep(began, pin.clone());
        Ok(PinView { pin, board: Arc::new(board), owner, reason: None })
    }

    /// Refuses a board that is full.
    async fn check_room(&self, board: Id) -> Result<()> {
        if self.storage.count(Assoc::BoardHasPins, board).await? >= PINS_PER_BOARD_MAX {
            return Err(Error::Conflict(format!("This board is full: it holds {PINS_PER_BOARD_MAX} pins. Use another board.")));
        }
        Ok(())
    }

    /// Returns the board of a place if the viewer may add pins there.
    pub async fn writable_place(&self, viewer: &Viewer, place: Place) -> Result<Stored<Board>> {
        viewer.require()?;
        let board =
            self.object::<Board>(place.board).await?.filter(|board| may_see_board(board, viewer)).ok_or(Error::NotFound(What::Board))?;
        require_role(&board, viewer, Role::Add)?;
        if let Some(section) = place.section {
            let section = self.object::<Section>(section).await?.filter(|stored| stored.active && stored.data.board == place.board);
            section.ok_or(Error::NotFound(What::Section))?;
        }
        Ok((*board).clone())
    }

    /// Reads a pin that the viewer may change: their own, or one on a board that they may edit.
    pub async fn editable_pin(&self, viewer: &Viewer, pin: PinId) -> Result<(Stored<Pin>, Stored<Board>)> {
        let me = viewer.require()?;
        let stored = self.fresh::<Pin>(pin).await?.ok_or(Error::NotFound(What::Pin))?;
        let board = self.storage.get::<Board>(stored.data.board).await?.ok_or(Error::NotFound(What::Pin))?;
        let seen = may_see_board(&board, viewer)
            || (stored.data.owner == me && (!board.active || board.data.privacy != model::object::Privacy::Secret));
        if !seen {
            return Err(Error::NotFound(What::Pin));
        }
        if stored.data.owner == me && (board.data.privacy != model::object::Privacy::Secret || viewer.writes_secret) {
            return Ok((stored, board));
        }
        require_role(&board, viewer, Role::Edit).map_err(|error| match error {
            Error::Forbidden(_) => Error::Forbidden("Only its owner, or who may edit the board, can change this pin.".into()),
            other => other,
        })?;
        Ok((stored, board))
    }

    /// Changes a pin's texts and place.
    pub async fn edit_pin(&self, viewer: &Viewer, pin: PinId, edit: PinEdit) -> Result<PinView> {
        let (stored, board) = self.editable_pin(viewer, pin).await?;
        if stored.data.trashed_at.is_some() {
            return Err(Error::Conflict("This pin is in the trash. Restore it before you change it.".into()));
        }
        let mut data = stored.data.clone();
        let text = PinText {
            title: edit.title.unwrap_or_else(|| data.title.clone()),
            description: edit.description.unwrap_or_else(|| data.description.clone()),
            alt_text: edit.alt_text.unwrap_or_else(|| data.alt_text.clone()),
            link: edit.link.unwrap_or_else(|| data.link.clone()),
        }
        .checked()?;
        // Keywords that came with an import are in no text; they stay until the text's own tags replace them.
        let written_before: BTreeSet<String> = tags_of(&data.description).union(&tags_of(&data.title)).cloned().collect();
        let keywords: Vec<String> = data.tags.difference(&written_before).cloned().collect();
        data.tags = text.tags(&keywords);
        data.domain = domain_of(&text.link);
        (data.title, data.description, data.alt_text, data.link) = (text.title, text.description, text.alt_text, text.link);
        let place = edit.place.unwrap_or(Place { board: data.board, section: data.section });
        let moved = (place.board, place.section) != (data.board, data.section);
        let target = if moved { self.writable_place(viewer, place).await? } else { board };
        (data.board, data.section) = (place.board, place.section);
        if data == stored.data {
            return self.pin(viewer, pin).await;
        }
        self.write_pin(viewer, &stored, data, if moved { EventKind::PinMoved } else { EventKind::PinChanged }, &target).await?;
        self.pin(viewer, pin).await
    }

    /// Writes a new state of a pin with its event and edges; the event carries what consumers need to take back of the old state.
    pub async fn write_pin(&self, viewer: &Viewer, before: &Stored<Pin>, data: Pin, kind: EventKind, board: &Stored<Board>) -> Result<()> {
        let old = json!({ "old_board": before.data.board, "old_section": before.data.section, "old_tags": before.data.tags });
        let subjects = vec![before.id, data.board.id()];
        let after = Stored { data, version: before.version + 1, ..before.clone() };
        let mut plan = Plan::decided_on(before.id.shard());
        plan.decision().update(before.id, before.version, &after.data).emit(self.event_with(
            kind,
            viewer.id(),
            viewer.request_id.clone(),
            subjects,
            old,
        ));
        plan.wish(&left_behind(before.id, Some(before.data.board), before.data.section, Some(&after.data)));
        plan.wish(&pin_edges(&after, Some(board)));
        self.carry_out(plan).await?;
        Ok(())
    }

    /// Copies one's own pin to another board; the copy has no source chain of its own beyond the original's.
    pub async fn copy_pin(&self, viewer: &Viewer, pin: PinId, place: Place) -> Result<PinView> {
        let view = self.pin(viewer, pin).await?;
        let data = &view.pin.data;
        let text = PinText {
            title: data.title.clone(),
            description: data.description.clone(),
            alt_text: data.alt_text.clone(),
            link: data.link.clone(),
        };
        let picture = StoredPicture { image: data.image, picture: data.picture.clone() };
        let mut new = NewPin::new(place, text, picture);
        new.keywords = data.tags.iter().cloned().collect();
        new.source = data.parent.zip(data.root).map(|(parent, root)| Source { parent, root });
        self.create_pin(viewer, new).await
    }

    /// Returns the owner of a pin's row, for pages that show who made the pin this one was saved from.
    pub async fn source_of(&self, viewer: &Viewer, view: &PinView) -> Result<Option<PinView>> {
        let Some(parent) = view.pin.data.parent else { return Ok(None) };
        match self.pin(viewer, parent).await {
            Ok(source) => Ok(Some(source)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the unique name of what `owner` made of a source.
pub fn source_key(owner: UserId, key: &str) -> String {
    format!("{owner}/{key}")
}
