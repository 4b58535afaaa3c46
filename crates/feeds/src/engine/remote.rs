//! The network as an engine: graph and feeds that live in another process, or in several over one store.
//!
//! ```text
//! home · public · follows · counts · …        reads    any address: the least busy ┐
//! apply · deliver · fill · set_shown          changes  ┐ one address, as long as   ├─▶ service (server.rs) ─▶ front ─▶ engine
//! restored_offset · snapshot · complete · …   life     ┘ it answers                ┘
//! ```
//!
//! Calls carry batches, so each goes alone: a page makes a few of them. All of the life of a rebuild goes to one address, because an
//! engine collects there what it will store at the end.
//!
//! What is known when there is no answer
//! - Nobody could be reached: it did not happen (`Unavailable`). Another address is tried before that is said.
//! - A read was lost: it is asked once more, elsewhere if there is an elsewhere. Then `Unavailable`.
//! - A change was lost: it may have happened (`Unknown`). Its caller does it again, because every change sets a state.
//! - Everybody was lost a moment ago: `Unavailable` at once. Pages come from storage meanwhile and don't wait.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use grpc::{Addresses, Failure, Held, Identity};
use model::{BoardId, Id, UserId};
use prost::Message as _;
use tonic::transport::Channel;

use super::{Change, Engine, Kept};
use crate::error::{Error, Result};
use crate::facts::{
    Away, Counts, Cursor, EdgePage, HomePage, PinFacts, Position, PublicFeed, PublicPage, Relation, Rest, Standing, Stats, Target,
    TargetKind,
};
use crate::metrics as names;
use crate::wire::proto::ask::public::Feed;
use crate::wire::proto::ask::{self, What};
use crate::wire::proto::feeds_client::FeedsClient;
use crate::wire::{MESSAGE_BYTES_MAX, apply, cursor_to, pin_to, position_to, proto, read, rest_to};

const SERVICE: grpc::Service = grpc::Service { name: "feeds", lost_total: names::REMOTE_LOST_TOTAL };
/// How often it is asked whether the service still is what it was. The service writes as often as its own engine finds worth it.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(2);
/// How long a service may take. It keeps the deadline that it is given and says so; one that is silent for the grace after it is
/// taken for lost. Two reads, or one change, end within the front's five seconds.
const READ_PATIENCE: Duration = Duration::from_millis(2_000);
const CHANGE_PATIENCE: Duration = Duration::from_millis(4_500);
/// Clearing, completing and snapshots take longer the more there is.
const LONG_PATIENCE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_millis(250);
/// What fails within this time does so because the connection broke, not because nobody answers.
const QUICK: Duration = Duration::from_millis(500);
/// No merge threshold was set here: the service's own holds.
const NOT_SET: u64 = u64::MAX;

/// Graph and feeds in another process.
pub struct RemoteEngine {
    addresses: Arc<Addresses<FeedsClient<Channel>>>,
    /// Tells this client's word from that of others.
    client: u64,
    /// Where changes go as long as it answers.
    steady: AtomicUsize,
    merge_threshold: AtomicU64,
}

impl fmt::Debug for RemoteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEngine").field("addresses", &self.addresses.count()).finish_non_exhaustive()
    }
}

/// What is known of a call, and how long it may take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    /// A read about the life of the feeds: it goes where changes go.
    Life,
    Change,
    Long,
}

impl Call {
    fn patience(self) -> Duration {
        match self {
            Call::Read | Call::Life => READ_PATIENCE,
            Call::Change => CHANGE_PATIENCE,
            Call::Long => LONG_PATIENCE,
        }
    }

    /// Tells whether asking again does nothing twice.
    fn is_read(self) -> bool {
        matches!(self, Call::Read | Call::Life)
    }
}

impl RemoteEngine {
    /// Prepares calls to `HOST:PORT[,HOST:PORT…]`. Nothing is connected yet: a service that is away is no reason not to start.
    pub fn open(addresses: &str, identity: &Identity) -> Result<RemoteEngine> {
        let connect = |endpoint: tonic::transport::Endpoint| {
            FeedsClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        let addresses = Arc::new(Addresses::parse(SERVICE, addresses, identity, connect).map_err(Error::Invalid)?);
        let client = runtime::random_u64();
        Ok(RemoteEngine { addresses, client, steady: AtomicUsize::new(0), merge_threshold: AtomicU64::new(NOT_SET) })
    }

    async fn call(&self, call: Call, what: What) -> Result<proto::answer::What> {
        let (mut except, started) = (None, Instant::now());
        // A read is asked twice at most; what never left is tried everywhere.
        let mut tries = if call.is_read() { 2 } else { self.addresses.count().max(2) };
        loop {
            let prefer = (call != Call::Read).then(|| self.steady.load(Ordering::Relaxed));
            let held = match self.addresses.hold_present(prefer, except) {
                Ok(held) => held,
                // A connection that broke is made anew at once; a service that was silent is not waited for again.
                Err(_) if except.is_some() && started.elapsed() < QUICK => self.addresses.hold(except),
                Err(address) => return Err(Error::Unavailable(format!("the service at {address} did not answer a moment ago"))),
            };
            let reason = match self.try_at(&held, call, what.clone()).await {
                Ok(answer) => {
                    if call != Call::Read {
                        self.steady.store(held.index, Ordering::Relaxed);
                    }
                    return answered(answer);
                }
                Err(Failure::Refused(message)) => return Err(Error::Invalid(message)),
                Err(Failure::Lost(reason)) if !call.is_read() => {
                    return Err(Error::Unknown(format!("the service at {} was lost on the way ({reason})", held.name())));
                }
                Err(Failure::Lost(reason) | Failure::NotSent(reason)) => reason,
            };
            tries -= 1;
            if tries == 0 {
                return Err(Error::Unavailable(format!("the service at {} can't be reached: {reason}", held.name())));
            }
            except = Some(held.index);
        }
    }

    async fn try_at(&self, held: &Held<FeedsClient<Channel>>, call: Call, what: What) -> std::result::Result<proto::Answer, Failure> {
        let patience = call.patience();
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let ask = proto::Ask { patience_ms, client: self.client, what: Some(what) };
        let bytes = ask.encoded_len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Failure::Refused(format!(
                "The call is too large: {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken. Split it."
            )));
        }
        let ask = self.addresses.request(ask);
        let mut service = held.at().clone();
        let failure = match tokio::time::timeout(patience + GRACE, service.call(ask)).await {
            Ok(Ok(response)) => {
                held.answered();
                return Ok(response.into_inner());
            }
            Ok(Err(status)) => Failure::of(&status),
            Err(_) => Failure::Lost(format!("no answer within {} ms", patience.as_millis())),
        };
        match &failure {
            Failure::NotSent(reason) | Failure::Lost(reason) => held.lost(reason),
            // Whoever refuses is there.
            Failure::Refused(_) => held.answered(),
        }
        Err(failure)
    }

    async fn ask(&self, what: What) -> Result<proto::answer::What> {
        self.call(Call::Read, what).await
    }
}

fn answered(answer: proto::Answer) -> Result<proto::answer::What> {
    match answer.what {
        Some(proto::answer::What::Error(error)) => Err(error.into()),
        Some(what) => Ok(what),
        None => Err(Error::Unknown("the service said nothing that this version understands".to_owned())),
    }
}

fn numbers<T: Copy>(ids: &[T], number: impl Fn(T) -> u64) -> Vec<u64> {
    ids.iter().map(|id| number(*id)).collect()
}

#[async_trait]
impl Engine for RemoteEngine {
    async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        let set = self.merge_threshold.load(Ordering::Relaxed);
        let merge_threshold = (set != NOT_SET).then(|| usize::try_from(set).unwrap_or(usize::MAX));
        read::rests(self.call(Call::Change, apply(changes, merge_threshold)).await?)
    }

    async fn deliver(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        let deliver = ask::Deliver { rest: Some(rest_to(rest)), limit: limit as u32 };
        Ok(read::rests(self.call(Call::Change, What::Deliver(deliver)).await?)?.pop())
    }

    async fn fill(&self, user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        let entries = entries.into_iter().map(pin_to).collect();
        let fill = ask::Fill { user: user.as_u64(), entries, complete_to: complete_to.map(position_to) };
        read::done(self.call(Call::Change, What::Fill(fill)).await?)
    }

    async fn home(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        let home = ask::Home { user: user.as_u64(), before: before.map(position_to), limit: limit as u32 };
        read::home(self.ask(What::Home(home)).await?)
    }

    async fn public(&self, feed: PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        let feed = match feed {
            PublicFeed::Everything => Feed::Everything(ask::public::Everything {}),
            PublicFeed::Topic(topic) => Feed::Topic(topic.as_u64()),
            PublicFeed::Domain(domain) => Feed::Domain(domain),
        };
        let public = ask::Public { feed: Some(feed), before: before.map(position_to), limit: limit as u32 };
        read::public(self.ask(What::Public(public)).await?)
    }

    async fn follows(&self, user: UserId, targets: Vec<Target>) -> Result<Vec<bool>> {
        let follows = ask::Follows { user: user.as_u64(), targets: numbers(&targets, |target| target.id().as_u64()) };
        read::flags(self.ask(What::Follows(follows)).await?, targets.len())
    }

    async fn relations(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Relation>> {
        let relations = ask::Relations { user: user.as_u64(), others: numbers(&others, UserId::as_u64) };
        read::relations(self.ask(What::Relations(relations)).await?, others.len())
    }

    async fn standings(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<Standing>> {
        let standings = ask::Standings { user: user.as_u64(), others: numbers(&others, UserId::as_u64) };
        read::standings(self.ask(What::Standings(standings)).await?, others.len())
    }

    async fn counts(&self, users: Vec<UserId>) -> Result<Vec<Counts>> {
        let counts = ask::Counts { users: numbers(&users, UserId::as_u64) };
        read::counts(self.ask(What::Counts(counts)).await?, users.len())
    }

    async fn board_followers(&self, boards: Vec<BoardId>) -> Result<Vec<u64>> {
        let followers = ask::BoardFollowers { boards: numbers(&boards, BoardId::as_u64) };
        read::numbers(self.ask(What::BoardFollowers(followers)).await?, boards.len())
    }

    async fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        let followers = ask::Followers { target: target.id().as_u64(), cursor: cursor.map(cursor_to), limit: limit as u32 };
        read::edges(self.ask(What::Followers(followers)).await?)
    }

    async fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        let (user, kind) = (user.as_u64(), kind.name().to_owned());
        let following = ask::Following { user, kind, cursor: cursor.map(cursor_to), limit: limit as u32 };
        read::edges(self.ask(What::Following(following)).await?)
    }

    async fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        let (user, what, after) = (user.as_u64(), what.name().to_owned(), after.map_or(0, Id::as_u64));
        read::ids(self.ask(What::Away(ask::Away { user, what, after, limit: limit as u32 })).await?)
    }

    async fn suggestions(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        let suggestions = ask::Suggestions { user: user.as_u64(), limit: limit as u32 };
        read::users(self.ask(What::Suggestions(suggestions)).await?)
    }

    async fn shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        read::shown(self.ask(What::Shown(ask::Shown { user: user.as_u64() })).await?)
    }

    async fn set_shown(&self, user: UserId, shown: Vec<u8>) -> Result<()> {
        read::done(self.call(Call::Change, What::SetShown(ask::SetShown { user: user.as_u64(), shown })).await?)
    }

    async fn snapshot(&self, offset: i64) -> Result<Kept> {
        read::kept(self.call(Call::Long, What::Snapshot(ask::Snapshot { offset })).await?)
    }

    async fn restored_offset(&self) -> Result<Option<i64>> {
        read::offset(self.call(Call::Life, What::RestoredOffset(ask::RestoredOffset {})).await?)
    }

    async fn complete(&self, offset: i64) -> Result<()> {
        read::done(self.call(Call::Long, What::Complete(ask::Complete { offset })).await?)
    }

    fn snapshot_every(&self) -> Duration {
        SNAPSHOT_EVERY
    }

    /// A service may be restarted at any time.
    fn can_lose(&self) -> bool {
        true
    }

    /// Goes with every call of `apply`, so that it holds in services that are restarted as well.
    fn set_merge_threshold(&self, followers: usize) {
        self.merge_threshold.store(followers as u64, Ordering::Relaxed);
    }

    async fn maintain(&self) -> Result<()> {
        read::done(self.call(Call::Long, What::Maintain(ask::Maintain {})).await?)
    }

    async fn stats(&self) -> Result<Stats> {
        read::stats(self.call(Call::Life, What::Stats(ask::Stats {})).await?)
    }

    async fn clear(&self) -> Result<()> {
        read::done(self.call(Call::Long, What::Clear(ask::Clear {})).await?)
    }
}
