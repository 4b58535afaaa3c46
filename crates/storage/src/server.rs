//! The gRPC face of the storage service: what other processes call, over the front, in one process.
//!
//! ```text
//! Read  ─▶ identify ─▶ permitted? ─▶ reads.rs joins look-ups ─▶ Storage (front) ─▶ answers as they come
//! Write ─▶ identify ─▶ permitted? ─▶ each batch on its own   ─▶ Storage (front) ─▶ answers as they come ─▶ watch.rs tells the others
//! Watch ─▶ identify ─▶ commits, for as long as the caller listens
//! ```
//!
//! Invariants
//! - Nothing from the wire reaches an engine but through [`Storage`]: its checks, deadlines, spans and metrics hold for every caller.
//! - What an access list does not allow is refused, logged and counted; a key is never logged.
//! - Without an access list nobody but this machine can call.
//! - One question or batch that fails does not make another one fail.

mod reads;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::access::{AccessList, Caller, OUTBOX, Right};
use crate::error::{Error, Result};
use crate::limits::LONG_DEADLINE;
use crate::metrics as names;
use crate::storage::Storage;
use crate::wire::proto::storage_server::{Storage as Face, StorageServer};
use crate::wire::proto::{self, write::What as WriteWhat, write_answer::What as WriteAnswerWhat};
use crate::wire::{self, MESSAGE_BYTES_MAX};
use watch::Watchers;

/// Calls of one connection at a time. A client gathers what it has, so more means that it is broken; they wait.
const STREAMS_MAX: u32 = 1_024;
/// Bytes on their way to us that we have not looked at yet, per call and per connection: a whole batch at full speed.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A client that has said nothing for this long is asked whether it is there, and given up after the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long calls may take to end once the service should. What was acknowledged is durable; what was not is unknown to its caller.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// Answers that one message carries at most.
const ANSWERS_MAX: usize = 256;

type Answers<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// Serves a store to other processes until `shutdown`, then lets running calls end. Without an access list everybody may do everything,
/// so the listener must be on loopback.
pub async fn serve(
    listener: TcpListener,
    storage: Storage,
    access: Option<AccessList>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::Unavailable(format!("The storage service can't listen: {error}.")))?;
    if access.is_none() && !address.ip().is_loopback() {
        return Err(Error::Invalid(format!(
            "The storage service would let everybody on the network of {address} do everything. Give it an access list (storage.access), or listen on 127.0.0.1."
        )));
    }
    if access.is_none() {
        tracing::warn!(%address, "the storage service has no access list: every process on this machine may do everything");
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let service = Service { storage, access: access.map(Arc::new), watchers: Watchers::default(), stopped: stopped.clone() };
    let service = StorageServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let serving = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), signal);
    tracing::info!(%address, "the storage service listens");
    tokio::select! {
        served = serving => served.map_err(|error| Error::Unavailable(format!("The storage service ended: {error}."))),
        () = drained(stopped) => {
            tracing::warn!("some calls of the storage service did not end in time; their callers don't know what became of them");
            Ok(())
        }
    }
}

/// Waits until calls have had their time to end.
async fn drained(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // The sender lives in the serving future, which is waited for beside this one.
    if stopped.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_MAX).await;
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

/// Reads how long the caller will wait; `None` when it does not say.
fn patience(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(number.saturating_mul(60))),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Returns the instant at which the caller stops listening. The front has shorter deadlines for whatever is short.
fn deadline(metadata: &MetadataMap) -> Instant {
    Instant::now() + patience(metadata).unwrap_or(LONG_DEADLINE).min(LONG_DEADLINE)
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
    type ReadStream = Answers<proto::ReadAnswers>;
    type WriteStream = Answers<proto::WriteAnswers>;
    type WatchStream = Answers<proto::Commits>;

    async fn read(&self, request: Request<proto::ReadRequest>) -> std::result::Result<Response<Self::ReadStream>, Status> {
        let caller = self.identify(request.metadata(), "read")?;
        let deadline = deadline(request.metadata());
        let proto::ReadRequest { freshness, reads } = request.into_inner();
        let storage = match freshness.map(wire::freshness).transpose() {
            Ok(Some(freshness)) => self.storage.viewed(freshness),
            Ok(None) => self.storage.clone(),
            Err(error) => return Err(Status::invalid_argument(error.to_string())),
        };
        Ok(Response::new(reads::answers(storage, caller, reads, deadline)))
    }

    async fn write(&self, request: Request<proto::WriteRequest>) -> std::result::Result<Response<Self::WriteStream>, Status> {
        let caller = self.identify(request.metadata(), "write")?;
        let deadline = deadline(request.metadata());
        let proto::WriteRequest { client, writes } = request.into_inner();
        let running = FuturesUnordered::new();
        for (index, write) in writes.into_iter().enumerate() {
            let intent = Intent::of(write, caller);
            let (storage, watchers) = (self.storage.clone(), self.watchers.clone());
            running.push(async move {
                let result = match intent {
                    Ok(intent) => intent.carry_out(&storage, deadline).await,
                    Err(error) => Err(error),
                };
                if matches!(result, Ok(_) | Err(Error::Unknown(_))) {
                    watchers.committed(client);
                }
                proto::WriteAnswer {
                    index: index as u32,
                    what: Some(result.unwrap_or_else(|error| WriteAnswerWhat::Error((&error).into()))),
                }
            });
        }
        let messages = running.ready_chunks(ANSWERS_MAX).map(|answers| Ok(proto::WriteAnswers { answers }));
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
    async fn carry_out(self, storage: &Storage, deadline: Instant) -> Result<WriteAnswerWhat> {
        let work = async {
            Ok(match self {
                Intent::Batch(batch) => WriteAnswerWhat::Written(storage.write(batch).await?.into()),
                Intent::Reserve { shard, kind, count } => WriteAnswerWhat::Number(storage.reserve(shard, kind, count).await?),
                Intent::OutboxForget(positions) => {
                    storage.outbox_forget(&positions).await?;
                    WriteAnswerWhat::Number(0)
                }
                Intent::SweepIdempotency(before) => WriteAnswerWhat::Number(storage.sweep_idempotency_before(before).await?),
            })
        };
        let late = |_| Err(Error::Unknown("The write was not done when its caller's deadline came.".to_owned()));
        tokio::time::timeout_at(deadline, work).await.unwrap_or_else(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let read = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().expect("a value"));
            patience(&metadata)
        };
        let cases = [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("9999999u", Some(Duration::from_micros(9_999_999))),
            ("1n", Some(Duration::from_nanos(1))),
            ("5", None),
            ("S", None),
            ("-1S", None),
            ("1x", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(read(text), wanted, "{text}");
        }
        assert_eq!(patience(&MetadataMap::new()), None);
    }
}
