//! The vocabulary of Corkboard: ids, objects, associations, events, cursors and limits. No I/O, no clock of its own, no runtime.
//!
//! ```text
//! id.rs         64-bit ids that carry shard and type
//! time.rs       instants in milliseconds, and the `Clock` that hands them in
//! object.rs     what is stored under an id: people, boards, pins, …
//! settings.rs   what a person has chosen: part of the person's object
//! legal.rs      what is stored for the law: holds, takedowns
//! assoc.rs      what is stored between two ids: board_has_pins, user_likes_pins, …
//! event.rs      what happened
//! text.rs       names, slugs, #tags and @mentions inside what people write
//! limits.rs     how long, how many, and what is said when it is more
//! cursor.rs     positions in lists, as they travel through URLs
//! ```
//!
//! Invariants: an id never changes; every stored object carries a schema version in `v`; every limit is a constant here with its
//! unit and reason.

pub mod assoc;
pub mod cursor;
pub mod event;
pub mod id;
pub mod legal;
pub mod limits;
pub mod object;
pub mod settings;
pub mod text;
pub mod time;

pub use assoc::{Assoc, NameKind};
pub use cursor::{Bookmark, BookmarkError};
pub use event::{Event, EventKind, Topic};
pub use id::{
    BoardId, CommentId, Id, IdError, ImageId, Kind, LegalHoldId, NotificationId, PinId, ReportId, SectionId, SessionId, Shard, SiteId,
    TakedownId, TokenId, TopicId, UserId,
};
pub use legal::{LegalHold, Takedown};
pub use limits::Invalid;
pub use object::{
    Board, Comment, Image, Notification, Object, Picture, Pin, Report, Section, Session, Site, Stored, Token, TopicObject, User,
};
pub use time::{Clock, Timestamp};
