//! What is put into the index: pins, boards and people as others find them.

use model::{BoardId, Id, PinId, Timestamp, UserId};

/// Who may find a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewers {
    Everyone,
    /// Secret: the owner and the collaborators, nobody else.
    Only(Vec<UserId>),
}

/// A document. Putting one replaces the one with the same id.
#[derive(Clone, Debug, PartialEq)]
pub enum Doc {
    Pin {
        id: PinId,
        owner: UserId,
        title: String,
        description: String,
        alt_text: String,
        /// Lower case, without '#'.
        tags: Vec<String>,
        board_name: String,
        owner_username: String,
        owner_name: String,
        /// The host of the link without "www."; empty without a link.
        domain: String,
        /// The dominant colour as "#rrggbb"; empty when unknown.
        color: String,
        at: Timestamp,
        /// How often it was saved: makes it rank higher.
        saves: u64,
        viewers: Viewers,
        /// Equal for pins that show the same picture: similar pins show each picture once.
        image_hash: String,
    },
    Board {
        id: BoardId,
        owner: UserId,
        name: String,
        description: String,
        owner_username: String,
        owner_name: String,
        /// How many pins it has: makes it rank higher.
        pins: u64,
        at: Timestamp,
        viewers: Viewers,
    },
    /// Only people who want to be found are put.
    User {
        id: UserId,
        username: String,
        name: String,
        about: String,
        /// How many follow: makes them rank higher.
        followers: u64,
    },
}

impl Doc {
    /// Returns the id of what the document stands for.
    pub fn id(&self) -> Id {
        match self {
            Doc::Pin { id, .. } => id.id(),
            Doc::Board { id, .. } => id.id(),
            Doc::User { id, .. } => id.id(),
        }
    }

    /// Tells whether everyone may find it.
    pub fn is_public(&self) -> bool {
        match self {
            Doc::Pin { viewers, .. } | Doc::Board { viewers, .. } => *viewers == Viewers::Everyone,
            Doc::User { .. } => true,
        }
    }
}

/// A change of the index. The last one of an id counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Put(Box<Doc>),
    Remove(Id),
}

impl Change {
    /// Returns the id whose document changes.
    pub fn id(&self) -> Id {
        match self {
            Change::Put(doc) => doc.id(),
            Change::Remove(id) => *id,
        }
    }
}
