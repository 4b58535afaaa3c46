//! The gRPC face of the storage service: what other processes call, over the front, in one process.
//!
//! ```text
//! Converse ─▶ identify ─▶ session.rs ─ reads  ─▶ permitted? ─▶ reads.rs joins look-ups ─▶ Storage (front) ─▶ answers as they come
//!                                    └ writes ─▶ permitted? ─▶ each batch on its own   ─▶ Storage (front) ─▶ … and watch.rs tells the others
//! Watch    ─▶ identify ─▶ commits, for as long as the caller listens
//! ```
//!
//! Invariants
//! - Nothing from the wire reaches an engine but through [`Storage`]: its checks, deadlines, spans and metrics hold for every caller.
//! - What an access list does not allow is refused, logged and counted; a key is never logged.
//! - Without an access list nobody but this machine can call.
//! - One question or batch that fails does not make another one fail.

mod reads;
mod session;
mod watch;

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{AccessList, Caller, OUTBOX, Right};
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::storage::Storage;
use crate::wire::proto::storage_server::{Storage as Face, StorageServer};
use crate::wire::proto::{self, write::What as WriteWhat};
use crate::wire::{self, MESSAGE_BYTES_MAX, Piece};
use session::Session;
use watch::Watchers;

type Answers<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// Serves a store to other processes until `shutdown`, then lets running calls end. Without an access list everybody may do everything,
/// so the listener must be on loopback.
pub async fn serve(
    listener: TcpListener,
    storage: Storage,
    access: Option<AccessList>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let has_access_list = access.is_some();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let service = Service { storage, access: access.map(Arc::new), watchers: Watchers::default(), stopped };
    let service = StorageServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    grpc::serve(listener, "storage", service, has_access_list, signal).await.map_err(|error| match error {
        grpc::NotServed::Open(message) => Error::Invalid(message),
        grpc::NotServed::Ended(message) => Error::Unavailable(message),
    })
}

struct Service {
    storage: Storage,
    access: Option<Arc<AccessList>>,
    watchers: Watchers,
    stopped: tokio::sync::watch::Receiver<bool>,
}

/// Counts and logs what an access list does not allow, and makes the error of it.
fn refused(caller: &str, call: &'static str, table: &str, missing: String) -> Error {
    tracing::warn!(caller, call, table, "a call of the storage service was refused");
    metrics::counter!(names::CALLS_REFUSED_TOTAL, "caller" => caller.to_owned(), "call" => call).increment(1);
    Error::Invalid(missing)
}

impl Service {
    /// Finds out who calls. `None` when there is no access list.
    fn identify(&self, metadata: &MetadataMap, call: &'static str) -> std::result::Result<Option<&Caller>, Status> {
        let Some(access) = &self.access else { return Ok(None) };
        let authorization = metadata.get("authorization").and_then(|value| value.to_str().ok());
        match access.identify(authorization) {
            Ok(caller) => Ok(Some(caller)),
            // The name that a stranger gives itself is no label: there is no end of them.
            Err(missing) => Err(Status::unauthenticated(refused("unknown", call, "", missing).to_string())),
        }
    }
}

#[tonic::async_trait]
impl Face for Service {
    type ConverseStream = Answers<proto::Answers>;
    type WatchStream = Answers<proto::Commits>;

    async fn converse(&self, request: Request<Streaming<proto::Asks>>) -> std::result::Result<Response<Self::ConverseStream>, Status> {
        let caller = self.identify(request.metadata(), "converse")?.cloned().map(Arc::new);
        let (storage, watchers, stopped) = (self.storage.clone(), self.watchers.clone(), self.stopped.clone());
        let session = Session::new(storage, watchers, caller, stopped, request.into_inner());
        let messages = stream::unfold(session, |mut session| async move { session.next().await.map(|message| (message, session)) });
        Ok(Response::new(messages.boxed()))
    }

    async fn watch(&self, request: Request<proto::WatchRequest>) -> std::result::Result<Response<Self::WatchStream>, Status> {
        self.identify(request.metadata(), "watch")?;
        let client = request.into_inner().client;
        let watcher = self.watchers.watch(client, &self.storage, self.stopped.clone());
        let commits = stream::unfold(watcher, |mut watcher| async move { watcher.next().await.map(|commits| (Ok(commits), watcher)) });
        Ok(Response::new(commits.boxed()))
    }
}

/// A write that its caller may do.
enum Intent {
    Batch(crate::Batch),
    Reserve { shard: model::Shard, kind: model::Kind, count: u64 },
    OutboxForget(Vec<i64>),
    SweepIdempotency(model::Timestamp),
}

impl Intent {
    /// Reads what is wanted, and refuses what the caller may not do.
    fn of(write: proto::Write, caller: Option<&Caller>) -> Result<Intent> {
        let intent = match write.what.ok_or_else(|| wire::empty("write"))? {
            WriteWhat::Batch(batch) => Intent::Batch(wire::batch_of(batch)?),
            WriteWhat::Reserve(reserve) => {
                Intent::Reserve { shard: wire::shard(reserve.shard)?, kind: wire::kind(&reserve.table)?, count: reserve.count }
            }
            WriteWhat::OutboxForget(forget) => Intent::OutboxForget(forget.positions),
            WriteWhat::SweepIdempotency(sweep) => Intent::SweepIdempotency(model::Timestamp(sweep.before)),
        };
        let Some(caller) = caller else { return Ok(intent) };
        let table = |table: &'static str| caller.may(Right::Write, table).map_err(|missing| (table, missing));
        let (call, permitted) = match &intent {
            Intent::Batch(batch) => ("write", caller.may_write(batch)),
            Intent::Reserve { kind, .. } => ("reserve", table(kind.table())),
            Intent::OutboxForget(_) => ("outbox_forget", table(OUTBOX)),
            Intent::SweepIdempotency(_) => ("sweep_idempotency", caller.may_operate().map_err(|missing| ("", missing))),
        };
        permitted.map_err(|(table, missing)| refused(&caller.name, call, table, missing))?;
        Ok(intent)
    }

    /// Writes. Whoever waits no longer than `deadline` does not learn what became of it.
    async fn carry_out(self, storage: &Storage, deadline: Instant) -> Result<Piece> {
        let work = async {
            Ok(match self {
                Intent::Batch(batch) => Piece::Written(storage.write(batch).await?.into()),
                Intent::Reserve { shard, kind, count } => Piece::Result(storage.reserve(shard, kind, count).await?),
                Intent::OutboxForget(positions) => {
                    storage.outbox_forget(&positions).await?;
                    Piece::Result(0)
                }
                Intent::SweepIdempotency(before) => Piece::Result(storage.sweep_idempotency_before(before).await?),
            })
        };
        let late = |_| Err(Error::Unknown("The write was not done when its caller's deadline came.".to_owned()));
        tokio::time::timeout_at(deadline, work).await.unwrap_or_else(late)
    }
}
