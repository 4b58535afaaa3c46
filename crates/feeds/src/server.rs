//! The gRPC face of the feeds: what other processes call, over the front, in one process.
//!
//! ```text
//! Call ─▶ identify ─▶ wire.rs reads it ─▶ permitted? ─▶ trust.rs: whole? ─▶ Feeds (front) ─▶ answer, or the error in its place
//! ```
//!
//! Invariants
//! - Nothing from the wire reaches an engine but through [`Feeds`]: its checks, deadlines and metrics hold for every caller.
//! - What an access list does not allow is refused, logged and counted; a key is never logged.
//! - Without an access list nobody but this machine can call.
//! - What was lost with an earlier process is not believed to be here.

mod trust;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::access::{AccessList, Caller, Right};
use crate::engine::Kept;
use crate::error::{Error, Result};
use crate::feeds::Feeds;
use crate::metrics as names;
use crate::wire::proto::answer::What;
use crate::wire::proto::feeds_server::{Feeds as Face, FeedsServer};
use crate::wire::{MESSAGE_BYTES_MAX, Wanted, answered, proto, wanted};
use trust::{Trust, Vouching};

/// How long a call works for somebody who does not say how long they wait: rebuilds and snapshots take their time.
const PATIENCE_MAX: Duration = Duration::from_secs(600);

/// Serves graph and feeds to other processes until `shutdown`, then lets running calls end. Without an access list everybody may do
/// everything, so the listener must be on loopback.
pub async fn serve(
    listener: TcpListener,
    feeds: Feeds,
    access: Option<AccessList>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let has_access_list = access.is_some();
    let trust = Arc::new(Trust::new(!feeds.can_lose(), feeds.snapshot_every()));
    let service = Service { feeds: feeds.clone(), access: access.map(Arc::new), trust: trust.clone() };
    let service = FeedsServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    grpc::serve(listener, "feeds", service, has_access_list, shutdown).await.map_err(|error| match error {
        grpc::NotServed::Open(message) => Error::Invalid(message),
        grpc::NotServed::Ended(message) => Error::Unavailable(message),
    })?;
    if let Some(offset) = trust.unwritten() {
        feeds.snapshot(offset).await?;
    }
    Ok(())
}

struct Service {
    feeds: Feeds,
    access: Option<Arc<AccessList>>,
    trust: Arc<Trust>,
}

/// Counts and logs what an access list does not allow.
fn refused(caller: &str, call: &'static str) {
    tracing::warn!(caller, call, "a call of the feeds service was refused");
    metrics::counter!(names::CALLS_REFUSED_TOTAL, "caller" => caller.to_owned(), "call" => call).increment(1);
}

#[tonic::async_trait]
impl Face for Service {
    async fn call(&self, request: Request<proto::Ask>) -> std::result::Result<Response<proto::Answer>, Status> {
        let caller = self.identify(request.metadata())?;
        let what = self.answer(caller, request.into_inner()).await.unwrap_or_else(|error| What::Error((&error).into()));
        Ok(Response::new(proto::Answer { what: Some(what) }))
    }
}

impl Wanted {
    /// Names the call for logs and metrics, and says what it takes.
    fn needs(&self) -> (&'static str, Right) {
        match self {
            Wanted::Apply { .. } => ("apply", Right::Write),
            Wanted::Deliver(..) => ("deliver", Right::Write),
            Wanted::Fill { .. } => ("fill", Right::Write),
            Wanted::Home(..) => ("home", Right::Read),
            Wanted::Public(..) => ("public", Right::Read),
            Wanted::Follows(..) => ("follows", Right::Read),
            Wanted::Relations(..) => ("relations", Right::Read),
            Wanted::Standings(..) => ("standings", Right::Read),
            Wanted::Counts(_) => ("counts", Right::Read),
            Wanted::BoardFollowers(_) => ("board_followers", Right::Read),
            Wanted::Followers(..) => ("followers", Right::Read),
            Wanted::Following(..) => ("following", Right::Read),
            Wanted::Away(..) => ("away", Right::Read),
            Wanted::Suggestions(..) => ("suggestions", Right::Read),
            Wanted::Shown(_) => ("shown", Right::Read),
            Wanted::SetShown(..) => ("set_shown", Right::Write),
            Wanted::Snapshot(_) => ("snapshot", Right::Operate),
            Wanted::RestoredOffset => ("restored_offset", Right::Operate),
            Wanted::Complete(_) => ("complete", Right::Operate),
            Wanted::Maintain => ("maintain", Right::Operate),
            Wanted::Stats => ("stats", Right::Operate),
            Wanted::Clear => ("clear", Right::Operate),
        }
    }
}

impl Service {
    /// Finds out who calls. `None` when there is no access list.
    fn identify(&self, metadata: &MetadataMap) -> std::result::Result<Option<&Caller>, Status> {
        let Some(access) = &self.access else { return Ok(None) };
        let authorization = metadata.get("authorization").and_then(|value| value.to_str().ok());
        access.identify(authorization).map(Some).map_err(|missing| {
            // The name that a stranger gives itself is no label: there is no end of them.
            refused("unknown", "call");
            Status::unauthenticated(missing)
        })
    }

    async fn answer(&self, caller: Option<&Caller>, ask: proto::Ask) -> Result<What> {
        let (client, patience_ms) = (ask.client, u64::from(ask.patience_ms));
        let wanted = wanted(ask)?;
        let (call, right) = wanted.needs();
        if let Some(caller) = caller {
            caller.may(right).map_err(|missing| {
                refused(&caller.name, call);
                Error::Invalid(missing)
            })?;
        }
        let patience = if patience_ms == 0 { PATIENCE_MAX } else { Duration::from_millis(patience_ms).min(PATIENCE_MAX) };
        tokio::time::timeout(patience, self.carry_out(wanted, client)).await.unwrap_or_else(|_| {
            let late = format!("{call} was not done when its caller's deadline came");
            Err(if right == Right::Read { Error::Unavailable(late) } else { Error::Unknown(late) })
        })
    }

    async fn carry_out(&self, wanted: Wanted, client: u64) -> Result<What> {
        let feeds = &self.feeds;
        Ok(match wanted {
            Wanted::Apply { changes, merge_threshold } => {
                if let Some(followers) = merge_threshold {
                    feeds.set_merge_threshold(followers);
                }
                answered::rests(feeds.apply(changes).await?)
            }
            Wanted::Deliver(rest, limit) => answered::rests(feeds.deliver(rest, limit).await?),
            Wanted::SetShown(user, shown) => {
                feeds.set_shown(user, shown).await?;
                answered::done()
            }
            Wanted::Shown(user) => answered::shown(feeds.shown(user).await?),
            Wanted::Stats => answered::stats(feeds.stats().await?),
            Wanted::Maintain => {
                feeds.maintain().await?;
                answered::done()
            }
            Wanted::RestoredOffset => answered::offset(self.trust.asked(client, feeds.restored_offset().await?)),
            Wanted::Snapshot(offset) => answered::kept(self.vouch(client, offset).await?),
            Wanted::Clear => {
                self.trust.cleared(client);
                feeds.clear().await?;
                answered::done()
            }
            Wanted::Complete(offset) => {
                self.trust.check_completion(client)?;
                feeds.complete(offset).await?;
                self.trust.whole(client, offset, None);
                answered::done()
            }
            read => {
                self.trust.check_whole()?;
                self.read(read).await?
            }
        })
    }

    async fn vouch(&self, client: u64, offset: i64) -> Result<Kept> {
        let written = match self.trust.vouch(client, Instant::now()) {
            Vouching::Behind => return Ok(Kept::Behind),
            Vouching::Noted => None,
            Vouching::Write => match self.feeds.snapshot(offset).await? {
                Kept::Behind => return Ok(Kept::Behind),
                Kept::Whole => Some(Instant::now()),
            },
        };
        Ok(self.trust.whole(client, offset, written))
    }

    /// Answers what is only true where everything is.
    async fn read(&self, wanted: Wanted) -> Result<What> {
        let feeds = &self.feeds;
        Ok(match wanted {
            Wanted::Home(user, before, limit) => answered::home(feeds.home(user, before, limit).await?),
            Wanted::Public(feed, before, limit) => answered::public(feeds.public(feed, before, limit).await?),
            Wanted::Follows(user, targets) => answered::flags(feeds.follows(user, &targets).await?),
            Wanted::Relations(user, others) => answered::relations(feeds.relations(user, &others).await?),
            Wanted::Standings(user, others) => answered::standings(feeds.standings(user, &others).await?),
            Wanted::Counts(users) => answered::counts(feeds.counts_many(&users).await?),
            Wanted::BoardFollowers(boards) => answered::numbers(feeds.followers_of_boards(boards).await?),
            Wanted::Followers(target, cursor, limit) => answered::edges(feeds.target_followers(target, cursor, limit).await?),
            Wanted::Following(user, kind, cursor, limit) => answered::edges(feeds.following(user, kind, cursor, limit).await?),
            Wanted::Away(user, what, after, limit) => answered::ids(feeds.away(user, what, after, limit).await?),
            Wanted::Suggestions(user, limit) => answered::users(feeds.suggestions(user, limit).await?),
            // Built from storage by whoever found no feed here; it may lack what a rebuild has not brought yet.
            Wanted::Fill { user, entries, complete_to } => {
                feeds.fill(user, entries, complete_to).await?;
                answered::done()
            }
            other => return Err(Error::Invalid(format!("{} is no question about feeds.", other.needs().0))),
        })
    }
}
