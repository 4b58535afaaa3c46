//! The port: what a holder of graph and feeds must do.
//!
//! Calls carry batches, so that an engine over the network needs one round trip each. All calls may be repeated safely: a
//! change *sets* a state. Errors: `Unavailable` when nothing happened, `Unknown` when it may have.

mod faulty;
mod memory;
mod redis;
mod remote;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::{BoardId, Id, PinId, Timestamp, UserId};

use crate::error::Result;
use crate::facts::{
    Away, BoardFacts, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats,
    Target, TargetKind,
};

pub use faulty::{Fault, Faulty};
pub use memory::MemoryEngine;
pub use redis::{Persistence, RedisEngine, ServerConfig, ServerSettings, survey};
pub use remote::RemoteEngine;

/// One change of the graph or of a pin, as the truth now stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Follow {
        user: UserId,
        target: Target,
        on: bool,
        at: Timestamp,
    },
    LeftOut {
        user: UserId,
        board: BoardId,
        on: bool,
    },
    Block {
        user: UserId,
        other: UserId,
        on: bool,
    },
    Mute {
        user: UserId,
        other: UserId,
        on: bool,
    },
    /// `None`: the board is gone, its follows with it, and its pins show nowhere.
    Board {
        board: BoardId,
        facts: Option<BoardFacts>,
    },
    /// The person is gone: edges of both directions, boards, pins and feed.
    UserGone {
        user: UserId,
    },
    /// The pin stands on this board with these topics at this time; replaces what was known of it.
    Publish(PinFacts),
    Retract(PinId),
}

/// What [`Engine::snapshot`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// Everything that was applied is there.
    Whole,
    /// Something that was applied is there no more: a server was restarted, emptied or replaced.
    Behind,
}

/// A holder of graph and feeds.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Applies changes in their order. Each change is atomic for readers of one feed; the batch is not. After `Ok`, every page
    /// shows their effect, but for the rests: of each source of a published pin, the first [`Limits::fan_out_max`] followers have it
    /// at once, and the rests say for whom `deliver` is to be called. Publishing costs a step per follower.
    ///
    /// [`Limits::fan_out_max`]: crate::Limits::fan_out_max
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>>;

    /// Puts a pin into the feeds of the next `limit` followers of a source, and says what is left; `None`: nothing. The pin's and
    /// the graph's present state counts: a pin that was retracted, or does not stand on the source any more, reaches nobody. Where
    /// the pin's facts are gone (they expire), the followers' feeds are dropped instead, to be built anew. Any rest may be
    /// delivered in any order and again.
    async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>>;

    /// Installs a feed that was built from storage after `home` said that none is present, and merges what was published
    /// meanwhile. `complete_to`: the entries hold everything down to there; `None`: everything there is. Entries in any order,
    /// repeated ones count once. Not taken (which is no error) when the graph may have widened since the building began.
    async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()>;

    /// Reads at most `limit` entries strictly older than `before`, filtered by the present graph. Without a feed in memory,
    /// answers `present: false` and collects from now on what is published, for the `fill` to come.
    async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage>;

    /// Reads at most `limit` entries of a public feed strictly older than `before`: pins of listed boards.
    async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage>;

    /// Tells of each target whether the user follows it; same order and length.
    async fn follows(&self, user: UserId, targets: Vec<Target>) -> Result<Vec<bool>>;

    /// Tells what keeps the user and each other apart; same order and length.
    async fn relations(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Relation>>;

    /// Tells all that stands between the user and each other; same order and length. Costs little more than `relations`: the user's
    /// own ends of the edges say all of it.
    async fn standings(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Standing>>;

    /// Counts exactly; same order and length. Who is not known counts zero.
    async fn counts(&self, users: Vec<UserId>) -> Result<Vec<Counts>>;

    /// Counts `(followers(owner) − left(board)) ∪ explicit(board)` exactly; same order and length. Costs a step for each who
    /// left the board out or follows it alone.
    async fn board_followers(&self, boards: Vec<BoardId>) -> Result<Vec<u64>>;

    /// Lists who follows the target itself, newest first.
    async fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage>;

    /// Lists what the user follows of one kind, newest first.
    async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage>;

    /// Lists what the user keeps away, or is kept away by: at most `limit` ids greater than `after`, in their order. Costs a step
    /// for each that there is.
    async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>>;

    /// Lists people followed by those whom the user follows: the most shared first; none already followed, blocked or muted.
    async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>>;

    /// Returns what `set_shown` last kept for the user; `None` when nothing is kept, or no longer.
    async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>>;

    /// Keeps bytes about what the user was shown, in place of the earlier ones; the ranking alone knows what they mean. Dropped
    /// when the user has been away for long, and with the user.
    async fn set_shown(&self, user: UserId, shown: Vec<u8>) -> Result<()>;

    /// Vouches for everything that was applied being there, up to the log's offset, and makes it durable where the engine itself
    /// does that; does what `maintain` does. [`Kept::Behind`]: something of it got lost since [`Engine::restored_offset`] was asked; ask it again and go on
    /// from there. Call it only with an offset up to which every event has been applied since then.
    async fn snapshot(&self, offset: i64) -> Result<Kept>;

    /// Returns the log's offset up to which what is there is complete; `None`: something is missing, clear and rebuild. Asked by
    /// the one consumer, when it starts and when `snapshot` says that it must.
    async fn restored_offset(&self) -> Result<Option<i64>>;

    /// Ends a rebuild that `clear` began: everything was applied anew, up to the log's offset. An engine that can lose what it
    /// holds answers reads with `Unavailable` until then.
    async fn complete(&self, offset: i64) -> Result<()>;

    /// How often `snapshot` is worth its cost.
    fn snapshot_every(&self) -> Duration;

    /// Tells whether what was applied can get lost while the process lives, so that `snapshot` finds out something even when
    /// nothing was applied since.
    fn can_lose(&self) -> bool;

    /// Sets the number of followers above which a source is merged at reading. What is merged stays so until a rebuild.
    fn set_merge_threshold(&self, followers: usize);

    /// Drops idle feeds, feeds beyond the total limit, and pins that no list holds. Changes no answer but `present`.
    async fn maintain(&self) -> Result<()>;

    async fn stats(&self) -> Result<Stats>;

    /// Forgets everything and begins a rebuild.
    async fn clear(&self) -> Result<()>;
}
