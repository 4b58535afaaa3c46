//! The front: limits, deadlines and metrics before the port. Callers see only this.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grpc::Identity;
use model::{BoardId, Id, PinId, Timestamp, UserId};
use runtime::SharedClock;

use crate::engine::{Change, Engine, Kept, MemoryEngine, RedisEngine, RemoteEngine};
use crate::error::{Error, Result};
use crate::facts::{
    Away, BoardFacts, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats,
    Target, TargetKind,
};
use crate::limits::{
    BATCH_ITEMS_MAX, CALL_MS_MAX, CHANGES_PER_CALL_MAX, DELIVERIES_PER_CALL_MAX, Limits, PAGE_ENTRIES_MAX, SHOWN_BYTES_MAX,
};
use crate::metrics as names;

/// The follower graph and the feeds.
#[derive(Clone, Debug)]
pub struct Feeds {
    engine: Arc<dyn Engine>,
}

impl Feeds {
    /// Opens an engine. `memory:` keeps everything in the process, `memory:?snapshot=PATH` also starts from the snapshot at PATH and
    /// writes it there; one that can't be read is said loudly and leaves the feeds empty ([`Feeds::restored_offset`]).
    /// `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]` is a server, `redis://HOST:PORT,HOST:PORT,…` or `?cluster=true` a Redis Cluster;
    /// they are connected to when they are first needed. `remote:HOST:PORT[,HOST:PORT…]` are services in other processes, over one store, with
    /// limits of their own.
    pub fn open(url: &str, clock: SharedClock, limits: Limits) -> Result<Feeds> {
        Feeds::open_as(url, &Identity::default(), clock, limits)
    }

    /// The same, as a caller whom services with an access list know.
    pub fn open_as(url: &str, identity: &Identity, clock: SharedClock, limits: Limits) -> Result<Feeds> {
        if limits.home_entries_max == 0 || limits.public_entries_max == 0 {
            return Err(Error::Invalid("A feed must hold at least one entry; set its limit to 1 or more.".to_owned()));
        }
        if limits.fan_out_max == 0 {
            return Err(Error::Invalid("Publishing must reach at least one follower at once; set its limit to 1 or more.".to_owned()));
        }
        if let Some(addresses) = url.strip_prefix("remote:") {
            return Ok(Feeds::with_engine(Arc::new(RemoteEngine::open(addresses, identity)?)));
        }
        if url.starts_with("redis://") {
            return Ok(Feeds::with_engine(Arc::new(RedisEngine::open(url, clock, limits)?)));
        }
        let invalid = || {
            Error::Invalid(format!(
                "'{url}' is no address for feeds; known are 'memory:', 'memory:?snapshot=PATH', 'redis://HOST:PORT' and 'remote:HOST:PORT'."
            ))
        };
        let rest = url.strip_prefix("memory:").ok_or_else(invalid)?;
        let snapshot = match rest {
            "" => None,
            _ => Some(rest.strip_prefix("?snapshot=").filter(|path| !path.is_empty()).ok_or_else(invalid)?),
        };
        Ok(Feeds::with_engine(Arc::new(MemoryEngine::open(snapshot.map(Into::into), clock, limits))))
    }

    /// Wraps an engine.
    pub fn with_engine(engine: Arc<dyn Engine>) -> Feeds {
        Feeds { engine }
    }

    /// Applies changes in their order, at most 10,000 in one call: for log consumers and rebuilds. Returns what is left for
    /// [`Feeds::deliver`]; only published pins leave something.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        check_batch("changes", changes.len(), CHANGES_PER_CALL_MAX)?;
        metrics::counter!(names::CHANGES_TOTAL).increment(changes.len() as u64);
        self.call("apply", self.engine.apply(changes)).await
    }

    /// Puts a pin into the feeds of the next `limit` followers of a source, at most 10,000, and says what is left.
    pub async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        if limit == 0 {
            return Err(Error::Invalid("A delivery to nobody would never end; ask for 1 follower or more.".to_owned()));
        }
        check_batch("followers", limit, DELIVERIES_PER_CALL_MAX)?;
        self.call("deliver", self.engine.deliver(rest, limit)).await
    }

    /// Sets one thing that leaves nothing to deliver.
    async fn set(&self, change: Change) -> Result<()> {
        self.apply(vec![change]).await.map(drop)
    }

    /// Sets whether the user follows the target. `at` orders the lists of follows; use the edge's own time.
    pub async fn set_follow(&self, user: UserId, target: Target, on: bool, at: Timestamp) -> Result<()> {
        self.set(Change::Follow { user, target, on, at }).await
    }

    /// Sets whether the user leaves the board out of its followed owner.
    pub async fn set_left_out(&self, user: UserId, board: BoardId, on: bool) -> Result<()> {
        self.set(Change::LeftOut { user, board, on }).await
    }

    /// Sets whether the user blocks the other.
    pub async fn set_block(&self, user: UserId, other: UserId, on: bool) -> Result<()> {
        self.set(Change::Block { user, other, on }).await
    }

    /// Sets whether the user mutes the other.
    pub async fn set_mute(&self, user: UserId, other: UserId, on: bool) -> Result<()> {
        self.set(Change::Mute { user, other, on }).await
    }

    /// Sets what feeds need to know about a board. Pins of a board that was never set show nowhere. When a board becomes listed,
    /// publish its pins after this, because those that were not published while it was hidden are not known.
    pub async fn set_board(&self, board: BoardId, facts: BoardFacts) -> Result<()> {
        self.set(Change::Board { board, facts: Some(facts) }).await
    }

    /// Forgets a board with its follows; its pins show nowhere.
    pub async fn forget_board(&self, board: BoardId) -> Result<()> {
        self.set(Change::Board { board, facts: None }).await
    }

    /// Forgets a person: edges of both directions, boards, pins and feed.
    pub async fn forget_user(&self, user: UserId) -> Result<()> {
        self.set(Change::UserGone { user }).await
    }

    /// Puts a pin into the home feeds of its board's and its topics' followers and into the public feeds. Publishing it again
    /// replaces what was known (a move, other topics). Returns what is left for [`Feeds::deliver`].
    pub async fn publish(&self, facts: PinFacts) -> Result<Vec<Rest>> {
        self.apply(vec![Change::Publish(facts)]).await
    }

    /// Takes a pin out of all feeds.
    pub async fn retract(&self, pin: PinId) -> Result<()> {
        self.set(Change::Retract(pin)).await
    }

    /// Reads a page of the user's home feed: entries strictly older than `before`.
    pub async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        check_page(limit)?;
        let page = self.call("home", self.engine.home(user, before, limit)).await?;
        if !page.present {
            metrics::counter!(names::HOME_ABSENT_TOTAL).increment(1);
        } else if page.complete_to.is_some() {
            metrics::counter!(names::HOME_STORAGE_TOTAL).increment(1);
        }
        Ok(page)
    }

    /// Installs a feed that was built from storage after [`Feeds::home`] answered `present: false`; without that answer it is not
    /// taken. `complete_to`: `entries` hold everything down to there; `None`: everything there is. Give
    /// [`Limits::home_entries_max`] entries at most; more are cut.
    pub async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        self.call("fill", self.engine.fill(user, entries, complete_to)).await
    }

    /// Reads a page of a public feed: entries strictly older than `before`.
    pub async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        check_page(limit)?;
        self.call("public", self.engine.public(feed, before, limit)).await
    }

    /// Tells of each target whether the user follows it; same order and length.
    pub async fn follows(&self, user: UserId, targets: &[Target]) -> Result<Vec<bool>> {
        check_batch("targets", targets.len(), BATCH_ITEMS_MAX)?;
        self.call("follows", self.engine.follows(user, targets.to_vec())).await
    }

    /// Tells whether one of the two blocked the other, whichever.
    pub async fn blocked(&self, user: UserId, other: UserId) -> Result<bool> {
        Ok(self.blocked_among(user, &[other]).await?.first().copied().unwrap_or_default())
    }

    /// Tells whether the user muted the other.
    pub async fn muted(&self, user: UserId, other: UserId) -> Result<bool> {
        Ok(self.relations(user, &[other]).await?.first().is_some_and(|relation| relation.muted))
    }

    /// Tells of each other whether one of the two blocked the other; same order and length.
    pub async fn blocked_among(&self, user: UserId, others: &[UserId]) -> Result<Vec<bool>> {
        Ok(self.relations(user, others).await?.into_iter().map(Relation::is_blocked).collect())
    }

    /// Tells of each other whether the user wants to see nothing of them: blocked either way, or muted. Same order and length.
    pub async fn hidden(&self, user: UserId, others: &[UserId]) -> Result<Vec<bool>> {
        Ok(self.relations(user, others).await?.into_iter().map(Relation::is_hidden).collect())
    }

    /// Tells what keeps the user and each other apart; same order and length.
    pub async fn relations(&self, user: UserId, others: &[UserId]) -> Result<Vec<Relation>> {
        check_batch("people", others.len(), BATCH_ITEMS_MAX)?;
        self.call("relations", self.engine.relations(user, others.to_vec())).await
    }

    /// Tells all that stands between the user and each other; same order and length.
    pub async fn standings(&self, user: UserId, others: &[UserId]) -> Result<Vec<Standing>> {
        check_batch("people", others.len(), BATCH_ITEMS_MAX)?;
        self.call("standings", self.engine.standings(user, others.to_vec())).await
    }

    /// Counts followers and follows of one person, exactly.
    pub async fn counts(&self, user: UserId) -> Result<Counts> {
        Ok(self.counts_many(&[user]).await?.pop().unwrap_or_default())
    }

    /// Counts followers and follows of several people; same order and length.
    pub async fn counts_many(&self, users: &[UserId]) -> Result<Vec<Counts>> {
        check_batch("people", users.len(), BATCH_ITEMS_MAX)?;
        self.call("counts", self.engine.counts(users.to_vec())).await
    }

    /// Counts the board's followers exactly: those of its owner less those who left it out, and those who follow it alone.
    pub async fn followers_of_board(&self, board: BoardId) -> Result<u64> {
        Ok(self.followers_of_boards(vec![board]).await?.first().copied().unwrap_or(0))
    }

    pub(crate) async fn followers_of_boards(&self, boards: Vec<BoardId>) -> Result<Vec<u64>> {
        check_batch("boards", boards.len(), BATCH_ITEMS_MAX)?;
        self.call("board_followers", self.engine.board_followers(boards)).await
    }

    /// Lists a person's followers, newest first.
    pub async fn followers(&self, user: UserId, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.target_followers(Target::User(user), cursor, limit).await
    }

    /// Lists who follows the person, the board alone, or the topic, newest first.
    pub async fn target_followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        check_page(limit)?;
        self.call("followers", self.engine.followers(target, cursor, limit)).await
    }

    /// Lists what the user follows of one kind, newest first.
    pub async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        check_page(limit)?;
        self.call("following", self.engine.following(user, kind, cursor, limit)).await
    }

    /// Lists what the user keeps away, or is kept away by: ids greater than `after`, in their order.
    pub async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        check_page(limit)?;
        self.call("away", self.engine.away(user, what, after, limit)).await
    }

    /// Suggests people: those followed by the people whom the user follows, the most shared first.
    pub async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        check_page(limit)?;
        self.call("suggestions", self.engine.suggestions(user, limit)).await
    }

    /// Returns what [`Feeds::set_shown`] last kept for the user; `None` when nothing is kept, or no longer.
    pub async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        self.call("shown", self.engine.shown(user)).await
    }

    /// Keeps at most 64 KiB about what the user was shown, in place of the earlier ones; only the caller knows what they mean.
    pub async fn set_shown(&self, user: UserId, shown: Vec<u8>) -> Result<()> {
        check_batch("bytes", shown.len(), SHOWN_BYTES_MAX)?;
        self.call("set_shown", self.engine.set_shown(user, shown)).await
    }

    /// Drops idle feeds, feeds beyond the total limit and pins that no list holds. Snapshots do it too.
    pub async fn maintain(&self) -> Result<()> {
        let started = Instant::now();
        let answer = self.engine.maintain().await;
        finish("maintain", started, &answer);
        answer
    }

    /// Vouches for everything up to the log's offset having been applied and being there; makes it durable where the engine itself
    /// does that, and drops idle feeds. [`Kept::Behind`]: something got lost; go on from [`Feeds::restored_offset`]. Takes as long
    /// as the disk needs, so it has no deadline.
    pub async fn snapshot(&self, offset: i64) -> Result<Kept> {
        let started = Instant::now();
        let answer = self.engine.snapshot(offset).await;
        finish("snapshot", started, &answer);
        answer
    }

    /// Returns the log's offset up to which what is there is complete, for the one consumer to go on from there. `None`: rebuild
    /// from storage, that is [`Feeds::clear`], apply everything, [`Feeds::complete`].
    pub async fn restored_offset(&self) -> Result<Option<i64>> {
        self.call("restored_offset", self.engine.restored_offset()).await
    }

    /// Ends a rebuild: everything was applied since [`Feeds::clear`], up to the log's offset. Has no deadline, as it may write much.
    pub async fn complete(&self, offset: i64) -> Result<()> {
        let started = Instant::now();
        let answer = self.engine.complete(offset).await;
        finish("complete", started, &answer);
        answer
    }

    /// How often [`Feeds::snapshot`] is worth its cost.
    pub fn snapshot_every(&self) -> Duration {
        self.engine.snapshot_every()
    }

    /// Tells whether what was applied can get lost while the process lives, as in a server that is restarted.
    pub fn can_lose(&self) -> bool {
        self.engine.can_lose()
    }

    /// Sets, while it runs, the number of followers above which a source is merged at reading. What is merged stays so until a
    /// rebuild, so that going up and down harms nobody.
    pub fn set_merge_threshold(&self, followers: usize) {
        self.engine.set_merge_threshold(followers);
    }

    pub async fn stats(&self) -> Result<Stats> {
        self.call("stats", self.engine.stats()).await
    }

    /// Forgets everything and begins a rebuild. Has no deadline, because it takes longer the more there is.
    pub async fn clear(&self) -> Result<()> {
        let started = Instant::now();
        let answer = self.engine.clear().await;
        finish("clear", started, &answer);
        answer
    }

    async fn call<T>(&self, name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let answer = tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), work)
            .await
            .unwrap_or_else(|_| Err(Error::Unknown(format!("{name} took longer than {CALL_MS_MAX} ms"))));
        finish(name, started, &answer);
        answer
    }
}

fn finish<T>(name: &'static str, started: Instant, answer: &Result<T>) {
    metrics::histogram!(names::CALL_SECONDS, "call" => name).record(started.elapsed());
    if answer.is_err() {
        metrics::counter!(names::ERRORS_TOTAL, "call" => name).increment(1);
    }
}

fn check_page(limit: usize) -> Result<()> {
    if (1..=PAGE_ENTRIES_MAX).contains(&limit) {
        return Ok(());
    }
    Err(Error::Invalid(format!("A page has 1 to {PAGE_ENTRIES_MAX} entries; {limit} were asked for.")))
}

fn check_batch(what: &str, count: usize, max: usize) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    Err(Error::Invalid(format!("{count} {what} in one call; at most {max} are taken. Split them.")))
}
