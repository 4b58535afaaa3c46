//! What is stored under an id. Each object is JSON with a schema version in `v`; old versions are upgraded when they are read.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::id::{BoardId, CommentId, Id, ImageId, Kind, PinId, SectionId, UserId};
use crate::legal::{LegalHold, Takedown};
use crate::time::Timestamp;

pub use crate::settings::{HomeOrder, Theme, UserSettings};

/// A type of object: its table and its schema.
pub trait Object: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    const KIND: Kind;
}

/// An object as it was read: its row and its decoded data.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    pub id: Id,
    /// Counts the writes to this object; an update names the version it read.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// False after a soft delete, until the row is purged.
    pub active: bool,
    pub data: T,
}

macro_rules! objects {
    ($($name:ident),+ $(,)?) => {$(
        impl Object for $name {
            const KIND: Kind = Kind::$name;
        }
    )+
        /// Checks that `json` is of the schema of `kind`, and says what is wrong with it if not.
        pub fn check_schema(kind: Kind, json: &[u8]) -> Result<(), serde_json::Error> {
            match kind {
                $(Kind::$name => serde_json::from_slice::<$name>(json).map(drop),)+
                Kind::Topic => serde_json::from_slice::<TopicObject>(json).map(drop),
                Kind::Audit => serde_json::from_slice::<serde_json::Value>(json).map(drop),
            }
        }
    };
}

objects!(Pin, Board, User, Section, Comment, Image, Session, Token, Notification, Report, Site, LegalHold, Takedown);

impl Object for TopicObject {
    const KIND: Kind = Kind::Topic;
}

/// The schema version that this code writes.
pub const SCHEMA_VERSION: u16 = 1;

fn schema_version() -> u16 {
    SCHEMA_VERSION
}

fn yes() -> bool {
    true
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub username: String,
    /// Empty for people whom an import made: nobody can sign in as them.
    pub email: String,
    /// PHC string of Argon2id; empty when nobody can sign in.
    pub password_hash: String,
    pub name: String,
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub website: String,
    #[serde(default)]
    pub picture: Option<Picture>,
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub suspended: bool,
    #[serde(default)]
    pub settings: UserSettings,
    /// Everything up to here in the notifications has been seen.
    #[serde(default)]
    pub notifications_read_at: Timestamp,
    #[serde(default)]
    pub password_reset: Option<PasswordReset>,
    /// Set while the account is being deleted by a job; nobody sees it any more.
    #[serde(default)]
    pub deleting: bool,
    pub joined_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordReset {
    /// SHA-256 of the secret in the mail, hexadecimal.
    pub secret_hash: String,
    pub expires_at: Timestamp,
}

/// A picture as pins carry it: all that a page needs to lay it out before a byte of it has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// SHA-256 of the original, hexadecimal: its address in `media`.
    pub hash: String,
    pub width: u32,
    pub height: u32,
    /// "#rrggbb"
    pub color: String,
    /// ThumbHash, base64; empty when there is none.
    #[serde(default)]
    pub placeholder: String,
    /// "jpeg", "png", "gif" or "webp": what the original is.
    pub format: String,
    #[serde(default)]
    pub alpha: bool,
    #[serde(default)]
    pub animated: bool,
}

/// Who may see a board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Privacy {
    /// Everybody, everywhere.
    #[default]
    Public,
    /// Whoever has its address; it is listed nowhere to others: not in profiles, feeds, search, suggestions or counts.
    Protected,
    /// Its owner and collaborators.
    Secret,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoardOrder {
    #[default]
    ByTime,
    ByHand,
}

/// What a collaborator may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    View,
    Add,
    Edit,
    Owner,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collaborator {
    pub user: UserId,
    pub role: Role,
    /// False until the invitation is accepted.
    pub accepted: bool,
    pub invited_by: UserId,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub owner: UserId,
    pub name: String,
    /// The last part of its address, unique per owner.
    pub slug: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub privacy: Privacy,
    /// Chosen by hand; without it the newest pins are the cover.
    #[serde(default)]
    pub cover: Option<PinId>,
    #[serde(default)]
    pub order: BoardOrder,
    #[serde(default)]
    pub archived: bool,
    #[serde(default)]
    pub collaborators: Vec<Collaborator>,
    #[serde(default)]
    pub pins_modified_at: Option<Timestamp>,
}

impl Board {
    /// Returns what `viewer` may do on this board, or `None` if only what its privacy allows.
    pub fn role_of(&self, viewer: UserId) -> Option<Role> {
        if viewer == self.owner {
            return Some(Role::Owner);
        }
        self.collaborators.iter().find(|c| c.user == viewer && c.accepted).map(|c| c.role)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub board: BoardId,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub owner: UserId,
    pub board: BoardId,
    #[serde(default)]
    pub section: Option<SectionId>,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub alt_text: String,
    #[serde(default)]
    pub link: String,
    /// The host of `link` without "www."; empty without a link.
    #[serde(default)]
    pub domain: String,
    pub image: ImageId,
    pub picture: Picture,
    /// The pin that this one was saved from.
    #[serde(default)]
    pub parent: Option<PinId>,
    /// The first pin of the chain of saves.
    #[serde(default)]
    pub root: Option<PinId>,
    /// Lower case, without '#', sorted.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// The pin's own time: when it was made, or what an import says.
    pub at: Timestamp,
    #[serde(default)]
    pub trashed_at: Option<Timestamp>,
    /// Taken down by an admin; only its owner sees that it was.
    #[serde(default)]
    pub hidden: bool,
    /// What the pin is at the source of an import or of an idempotent request; its owner has one pin of that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub pin: PinId,
    pub author: UserId,
    pub text: String,
    /// Replies are one level deep: a reply to a reply hangs below the same comment.
    #[serde(default)]
    pub parent: Option<CommentId>,
    #[serde(default)]
    pub mentions: Vec<UserId>,
    pub at: Timestamp,
}

/// One stored picture, shared by all pins that show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub picture: Picture,
    pub bytes: u64,
    /// Set while its bytes are being deleted; whoever needs the picture meanwhile waits for the end of it.
    #[serde(default)]
    pub deleting_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub user: UserId,
    /// SHA-256 of the secret in the cookie, hexadecimal.
    pub secret_hash: String,
    pub user_agent: String,
    pub address: String,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub user: UserId,
    pub name: String,
    /// SHA-256 of the secret, hexadecimal.
    pub secret_hash: String,
    pub scopes: BTreeSet<Scope>,
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
}

/// What an API token may do. The `_secret` ones extend the plain ones to secret boards and their pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    #[serde(rename = "boards:read")]
    BoardsRead,
    #[serde(rename = "boards:read_secret")]
    BoardsReadSecret,
    #[serde(rename = "boards:write")]
    BoardsWrite,
    #[serde(rename = "boards:write_secret")]
    BoardsWriteSecret,
    #[serde(rename = "pins:read")]
    PinsRead,
    #[serde(rename = "pins:read_secret")]
    PinsReadSecret,
    #[serde(rename = "pins:write")]
    PinsWrite,
    #[serde(rename = "pins:write_secret")]
    PinsWriteSecret,
    #[serde(rename = "user_accounts:read")]
    UserAccountsRead,
    #[serde(rename = "user_accounts:write")]
    UserAccountsWrite,
}

impl Scope {
    pub const ALL: [Scope; 10] = [
        Scope::BoardsRead,
        Scope::BoardsReadSecret,
        Scope::BoardsWrite,
        Scope::BoardsWriteSecret,
        Scope::PinsRead,
        Scope::PinsReadSecret,
        Scope::PinsWrite,
        Scope::PinsWriteSecret,
        Scope::UserAccountsRead,
        Scope::UserAccountsWrite,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::BoardsRead => "boards:read",
            Scope::BoardsReadSecret => "boards:read_secret",
            Scope::BoardsWrite => "boards:write",
            Scope::BoardsWriteSecret => "boards:write_secret",
            Scope::PinsRead => "pins:read",
            Scope::PinsReadSecret => "pins:read_secret",
            Scope::PinsWrite => "pins:write",
            Scope::PinsWriteSecret => "pins:write_secret",
            Scope::UserAccountsRead => "user_accounts:read",
            Scope::UserAccountsWrite => "user_accounts:write",
        }
    }

    pub fn parse(text: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// Why somebody is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationKind {
    Followed,
    BoardFollowed,
    Liked,
    Saved,
    Commented,
    Replied,
    Mentioned,
    CommentLiked,
    Invited,
    InvitationAccepted,
    /// Something of the person's was taken down.
    Moderated,
    /// An appeal was decided: it stays down.
    TakedownUpheld,
    /// A takedown was taken back.
    TakedownReversed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub user: UserId,
    pub kind: NotificationKind,
    pub actor: UserId,
    /// The pin, board or person it is about; notifications of one kind about one subject are shown as a group.
    pub subject: Id,
    #[serde(default)]
    pub comment: Option<CommentId>,
    pub at: Timestamp,
    /// The id of the event it came from: the same event never notifies twice.
    pub event: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportReason {
    Spam,
    Nudity,
    Hate,
    Harassment,
    SelfHarm,
    Violence,
    Misinformation,
    Copyright,
    Privacy,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    Open,
    Resolved,
    Dismissed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub reporter: UserId,
    pub subject: Id,
    pub reason: ReportReason,
    #[serde(default)]
    pub note: String,
    pub state: ReportState,
    #[serde(default)]
    pub decided_by: Option<UserId>,
    pub at: Timestamp,
}

/// A topic that can be followed: a tag with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicObject {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub tag: String,
}

/// The one object that stands for the whole site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    #[serde(default = "schema_version")]
    pub v: u16,
    pub title: String,
    #[serde(default)]
    pub about: String,
    #[serde(default = "yes")]
    pub sign_up_open: bool,
}
