//! What the writers know: the state that each of them has been promised, and what it has asked for since.
//!
//! Every writer is the only one on its board, and does one thing after the other. What it was told last is what must be there.

use std::collections::BTreeMap;

use model::object::SCHEMA_VERSION;
use model::{BoardId, Event, EventKind, Id, ImageId, NameKind, Picture, Pin, PinId, Shard, Timestamp, UserId};

/// What became of a batch as far as its writer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged.
    Kept,
    /// Its writer gave up after an answer that leaves it open: whole or not at all.
    Open,
    /// Its writer gave up after answers that all said that nothing happened.
    Never,
}

/// One pin as its writer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub fate: Fate,
    pub title: String,
    pub version: u64,
    pub sequence: i64,
    pub is_removed: bool,
    /// A batch about it is on its way.
    pub is_changing: bool,
    /// Grows with each batch about it: two looks that find the same saw the same pin all the while.
    pub revision: u64,
}

/// Everything that one writer knows.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub pins: BTreeMap<Id, Known>,
    /// Each batch by its key: what became of it, and the pin that it is about.
    pub batches: BTreeMap<String, (Fate, Id)>,
    /// Names that this writer asked for: whether it got them.
    pub names: BTreeMap<String, bool>,
}

/// Somebody who writes.
#[derive(Clone, Debug)]
pub struct Owner {
    pub index: usize,
    pub user: UserId,
    pub board: BoardId,
}

impl Owner {
    pub fn new(index: usize, shard: Shard) -> Owner {
        let local = index as u64 + 1;
        Owner { index, user: UserId::new(shard, local), board: BoardId::new(shard, local) }
    }

    pub fn shard(&self) -> Shard {
        self.board.id().shard()
    }

    /// Returns the name that goes with a pin: on the owner's shard, so that it is in the same batch.
    pub fn name_of(&self, pin: Id) -> (NameKind, String) {
        (NameKind::BoardSlug, format!("{}/p{}", self.user, pin.local()))
    }

    pub fn pin(&self, title: &str) -> Pin {
        let picture = Picture {
            hash: "0".repeat(64),
            width: 600,
            height: 400,
            color: "#aabbcc".to_owned(),
            placeholder: String::new(),
            format: "jpeg".to_owned(),
            alpha: false,
            animated: false,
        };
        Pin {
            v: SCHEMA_VERSION,
            owner: self.user,
            board: self.board,
            section: None,
            title: title.to_owned(),
            description: String::new(),
            alt_text: String::new(),
            link: String::new(),
            domain: String::new(),
            image: ImageId::new(self.shard(), 1),
            picture,
            parent: None,
            root: None,
            tags: Default::default(),
            at: Timestamp(1),
            trashed_at: None,
            hidden: false,
            source_key: None,
        }
    }

    pub fn event(&self, key: &str, pin: PinId) -> Event {
        Event {
            id: key.to_owned(),
            kind: EventKind::PinCreated,
            at: Timestamp(1),
            actor: None,
            subjects: vec![pin.id()],
            request_id: String::new(),
            role: String::new(),
            host: String::new(),
            data: serde_json::Value::Null,
        }
    }
}
