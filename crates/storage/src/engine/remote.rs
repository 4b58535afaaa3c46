//! The network as an engine: storage that runs in another process, or in several.
//!
//! ```text
//! get · edges · counts · ranges · name ─▶ gather.rs ─▶ Read  ┐
//! write · reserve · …                  ─▶ gather.rs ─▶ Write ├─▶ targets.rs: which address ─▶ service (server.rs) ─▶ front ─▶ engine
//! scan · outbox · check · …, large reads ────────────▶ Read  ┘
//! watch ◀─ watch.rs ◀───────────────────────────────── Watch
//! ```
//!
//! What is known when there is no answer
//! - Nobody could be reached: it did not happen (`Unavailable`). Another address is tried before that is said.
//! - A read was lost: it is asked once more, elsewhere if there is an elsewhere. Then `Unavailable`.
//! - A write was lost: it may have happened (`Unknown`). It is not sent again, because it may have no idempotency key.

mod gather;
mod targets;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::{Engine, EngineStats, Prepared};
use crate::error::{Error, Result};
use crate::limits::{BATCH_BYTES_MAX, DEADLINE, LONG_DEADLINE};
use crate::metrics as names;
use crate::row::{Edge, Freshness, Name, Range, Row, StaleClaim};
use crate::wire::proto::{self, read::What as Question, read_answer, write::What as Intent, write_answer};
use crate::wire::{self, Piece, answer_of};
use gather::{Gather, Limits};
use targets::{Failure, Held, Targets};
use watch::Watches;

pub use targets::Identity;

/// Reads that are gathered have at most this many look-ups or rows. Larger ones go alone, so that small ones don't wait for them.
const SMALL_MAX: usize = 256;
/// What one gathered read call carries.
const READ_LIMITS: Limits = Limits { carriers_max: 2, items_max: 1_024, bytes_max: 64 << 10 };
/// What one gathered write call carries: no more data than one batch may have.
const WRITE_LIMITS: Limits = Limits { carriers_max: 2, items_max: 512, bytes_max: BATCH_BYTES_MAX };
/// A call that takes longer gives its place away. Look-ups take less than a millisecond, commits as long as the disk needs.
const READ_TURN_MAX: Duration = Duration::from_millis(5);
const WRITE_TURN_MAX: Duration = Duration::from_millis(20);
/// Bytes that an operation has on the wire besides its data, about.
const OP_BYTES: usize = 64;

/// Storage in another process.
pub struct RemoteEngine {
    client: Arc<Client>,
    freshness: Option<Arc<Freshness>>,
}

/// What all views of one engine share.
struct Client {
    targets: Arc<Targets>,
    /// Tells this client's commits from those of others.
    number: u64,
    reads: Gather<Asked>,
    writes: Gather<Wanted>,
    watches: Arc<Watches>,
    listening: JoinHandle<()>,
    is_closed: AtomicBool,
    /// Calls so far, for tests.
    #[cfg(test)]
    calls: std::sync::atomic::AtomicUsize,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A question that waits.
struct Asked {
    question: Question,
    freshness: Option<Arc<Freshness>>,
    reply: oneshot::Sender<Result<Vec<Piece>>>,
}

/// A write that waits.
struct Wanted {
    intent: Intent,
    reply: oneshot::Sender<Result<write_answer::What>>,
}

impl RemoteEngine {
    /// Prepares calls to `HOST:PORT[,HOST:PORT…]`. Nothing is connected yet: a service that is away is no reason not to start.
    pub fn open(addresses: &str, identity: &Identity) -> Result<RemoteEngine> {
        let targets = Arc::new(Targets::parse(addresses, identity)?);
        let (number, watches) = (runtime::random_u64(), Arc::new(Watches::new()));
        let listening = tokio::spawn(watch::listen(targets.clone(), watches.clone(), number));
        let client = Client {
            targets,
            number,
            reads: Gather::new(READ_LIMITS),
            writes: Gather::new(WRITE_LIMITS),
            watches,
            listening,
            is_closed: AtomicBool::new(false),
            #[cfg(test)]
            calls: Default::default(),
        };
        Ok(RemoteEngine { client: Arc::new(client), freshness: None })
    }

    /// Asks a question: together with others when it is small.
    async fn ask(&self, question: Question, size: usize) -> Result<Vec<Piece>> {
        self.client.check_open()?;
        if size > SMALL_MAX {
            return self.ask_alone(question, DEADLINE).await;
        }
        let (reply, answer) = oneshot::channel();
        let asked = Asked { question, freshness: self.freshness.clone(), reply };
        if self.client.reads.push(32 + 8 * size, asked) {
            tokio::spawn(self.client.clone().carry_reads());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn ask_alone(&self, question: Question, patience: Duration) -> Result<Vec<Piece>> {
        self.client.check_open()?;
        let request =
            proto::ReadRequest { freshness: self.freshness.as_deref().map(Into::into), reads: vec![proto::Read { what: Some(question) }] };
        let mut answer = None;
        self.client.read(request, patience, |_, result| answer = Some(result)).await;
        answer.unwrap_or_else(|| Err(stopped()))
    }

    /// Writes, together with others.
    async fn want(&self, intent: Intent, bytes: usize) -> Result<write_answer::What> {
        self.client.check_open()?;
        let (reply, answer) = oneshot::channel();
        if self.client.writes.push(bytes, Wanted { intent, reply }) {
            tokio::spawn(self.client.clone().carry_writes());
        }
        answer.await.unwrap_or_else(|_| Err(Error::Unknown("The process ends; nobody waited for the write's answer.".to_owned())))
    }

    async fn want_number(&self, intent: Intent, bytes: usize) -> Result<u64> {
        match self.want(intent, bytes).await? {
            write_answer::What::Number(number) => Ok(number),
            _ => Err(Error::Corrupt("The storage service did not answer with a number.".to_owned())),
        }
    }
}

fn stopped() -> Error {
    Error::Unavailable("The process ends; nobody waited for the answer.".to_owned())
}

/// What becomes of the answers of one call: called once per question, with its place in the call.
trait Deliver<T>: FnMut(usize, Result<T>) + Send {}
impl<T, F: FnMut(usize, Result<T>) + Send> Deliver<T> for F {}

impl Client {
    fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("Storage is closed.".to_owned()));
        }
        Ok(())
    }

    /// Carries questions to the service until none waits. Boxed, because a carrier may start another one.
    fn carry_reads(self: Arc<Client>) -> BoxFuture<'static, ()> {
        let alike = |first: &Asked, other: &Asked| first.freshness == other.freshness;
        async move {
            while let Some(mut asked) = self.reads.take(alike) {
                // Whoever gave up needs no answer.
                asked.retain(|asked| !asked.reply.is_closed());
                let Some(first) = asked.first() else { continue };
                let freshness = first.freshness.as_deref().map(Into::into);
                let (reads, mut replies): (Vec<_>, Vec<_>) =
                    asked.into_iter().map(|asked| (proto::Read { what: Some(asked.question) }, Some(asked.reply))).unzip();
                let request = proto::ReadRequest { freshness, reads };
                let call = self.read(request, DEADLINE, |index, result| answer(&mut replies, index, result));
                let give_way = || {
                    if self.reads.give_way() {
                        tokio::spawn(self.clone().carry_reads());
                    }
                };
                if !in_turn(call, READ_TURN_MAX, give_way).await {
                    return;
                }
            }
        }
        .boxed()
    }

    /// Carries writes to the service until none waits.
    fn carry_writes(self: Arc<Client>) -> BoxFuture<'static, ()> {
        async move {
            while let Some(mut wanted) = self.writes.take(|_, _| true) {
                wanted.retain(|wanted| !wanted.reply.is_closed());
                if wanted.is_empty() {
                    continue;
                }
                let (writes, mut replies): (Vec<_>, Vec<_>) =
                    wanted.into_iter().map(|wanted| (proto::Write { what: Some(wanted.intent) }, Some(wanted.reply))).unzip();
                let call = self.write(writes, |index, result| answer(&mut replies, index, result));
                let give_way = || {
                    if self.writes.give_way() {
                        tokio::spawn(self.clone().carry_writes());
                    }
                };
                if !in_turn(call, WRITE_TURN_MAX, give_way).await {
                    return;
                }
            }
        }
        .boxed()
    }

    /// Counts a call and what it carries.
    fn count(&self, call: &'static str, carried: usize) {
        metrics::counter!(names::REMOTE_CALLS_TOTAL, "call" => call).increment(1);
        metrics::histogram!(names::REMOTE_GATHERED, "call" => call).record(carried as f64);
        #[cfg(test)]
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads in one call, and once more what was not answered. Delivers one answer per question.
    async fn read(&self, request: proto::ReadRequest, patience: Duration, mut deliver: impl Deliver<Vec<Piece>>) {
        self.count("read", request.reads.len());
        let deadline = tokio::time::Instant::now() + patience;
        let mut open: Vec<Option<Vec<Piece>>> = request.reads.iter().map(|_| Some(Vec::new())).collect();
        let (mut except, mut again) = (None, true);
        let error = loop {
            let held = self.targets.hold(except);
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let message = request.clone();
            let reading = read_once(&held, message, left, &mut open, &mut deliver);
            let failure = match tokio::time::timeout_at(deadline, reading).await {
                Ok(Ok(())) => {
                    held.answered();
                    break Error::Unavailable(format!("The storage service at {} left a question unanswered.", held.address()));
                }
                Ok(Err(failure)) => failure,
                Err(_) => {
                    again = false;
                    Failure::Lost(format!("no answer within {} s", patience.as_secs()))
                }
            };
            match failure {
                Failure::Refused(message) => break Error::Invalid(message),
                Failure::NotSent(reason) | Failure::Lost(reason) => {
                    held.lost(&reason);
                    if !again {
                        break away(&held, &reason);
                    }
                    again = false;
                    except = Some(held.index);
                    // A list that came in part comes whole the next time.
                    open.iter_mut().flatten().for_each(Vec::clear);
                }
            }
        };
        for (index, _) in open.iter().enumerate().filter(|(_, open)| open.is_some()) {
            deliver(index, Err(error.clone()));
        }
    }

    /// Writes in one call. Delivers one answer per write.
    async fn write(&self, writes: Vec<proto::Write>, mut deliver: impl Deliver<write_answer::What>) {
        self.count("write", writes.len());
        let mut open = vec![true; writes.len()];
        let request = proto::WriteRequest { client: self.number, writes };
        let mut except = None;
        let mut tries = self.targets.count().max(2);
        let error = loop {
            let held = self.targets.hold(except);
            let writing = write_once(&held, request.clone(), &mut open, &mut deliver);
            let failure = match tokio::time::timeout(DEADLINE, writing).await {
                Ok(Ok(())) => {
                    held.answered();
                    break Error::Unknown(format!("The storage service at {} did not say what became of a write.", held.address()));
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Lost(format!("no answer within {} s", DEADLINE.as_secs())),
            };
            match failure {
                Failure::Refused(message) => break Error::Invalid(message),
                Failure::Lost(reason) => {
                    held.lost(&reason);
                    let address = held.address();
                    break Error::Unknown(format!(
                        "The storage service at {address} was lost on the way ({reason}); the write may have happened."
                    ));
                }
                Failure::NotSent(reason) => {
                    held.lost(&reason);
                    tries -= 1;
                    if tries == 0 {
                        break away(&held, &reason);
                    }
                    except = Some(held.index);
                }
            }
        };
        for (index, _) in open.iter().enumerate().filter(|(_, is_open)| **is_open) {
            deliver(index, Err(error.clone()));
        }
    }
}

fn away(held: &Held, reason: &str) -> Error {
    Error::Unavailable(format!("The storage service at {} can't be reached: {reason}.", held.address()))
}

/// Gives an answer to whoever waits for it.
fn answer<T>(replies: &mut [Option<oneshot::Sender<T>>], index: usize, result: T) {
    if let Some(reply) = replies.get_mut(index).and_then(Option::take) {
        // Whoever gave up meanwhile has been told so by its own deadline.
        let _ = reply.send(result);
    }
}

/// Runs a call; after `turn` its place goes to others while it goes on. True when it ended within its turn.
async fn in_turn(call: impl Future<Output = ()>, turn: Duration, give_way: impl FnOnce()) -> bool {
    tokio::pin!(call);
    tokio::select! {
        biased;
        () = &mut call => true,
        () = tokio::time::sleep(turn) => {
            give_way();
            call.await;
            false
        }
    }
}

/// Sends questions to one address and delivers what is answered; `open` keeps the pieces of what is not whole yet.
async fn read_once(
    held: &Held,
    request: proto::ReadRequest,
    patience: Duration,
    open: &mut [Option<Vec<Piece>>],
    deliver: &mut impl Deliver<Vec<Piece>>,
) -> std::result::Result<(), Failure> {
    let (mut service, request) = held.call(request, Some(patience));
    let mut answers = service.read(request).await.map_err(|status| Failure::of(&status))?.into_inner();
    while let Some(message) = answers.message().await.map_err(|status| Failure::of(&status))? {
        for proto::ReadAnswer { index, more, what } in message.answers {
            let index = index as usize;
            let Some(slot) = open.get_mut(index) else { continue };
            let Some(pieces) = slot else { continue };
            match what {
                Some(read_answer::What::Error(error)) => {
                    *slot = None;
                    deliver(index, Err(error.into()));
                }
                piece => {
                    pieces.extend(piece);
                    if !more && let Some(pieces) = slot.take() {
                        deliver(index, Ok(pieces));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Sends writes to one address and delivers what became of them.
async fn write_once(
    held: &Held,
    request: proto::WriteRequest,
    open: &mut [bool],
    deliver: &mut impl Deliver<write_answer::What>,
) -> std::result::Result<(), Failure> {
    let (mut service, request) = held.call(request, Some(DEADLINE));
    let mut answers = service.write(request).await.map_err(|status| Failure::of(&status))?.into_inner();
    while let Some(message) = answers.message().await.map_err(|status| Failure::of(&status))? {
        for proto::WriteAnswer { index, what } in message.answers {
            let index = index as usize;
            if open.get(index) != Some(&true) {
                continue;
            }
            open[index] = false;
            deliver(
                index,
                match what {
                    Some(write_answer::What::Error(error)) => Err(error.into()),
                    Some(done) => Ok(done),
                    None => Err(Error::Unknown("The storage service said nothing that this version understands about a write.".to_owned())),
                },
            );
        }
    }
    Ok(())
}

#[async_trait]
impl Engine for RemoteEngine {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        let reserve = proto::write::Reserve { shard: u32::from(shard.0), table: kind.table().to_owned(), count };
        self.want_number(Intent::Reserve(reserve), OP_BYTES).await
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        let question = Question::Get(proto::read::Get { ids: ids.iter().map(|id| id.as_u64()).collect() });
        answer_of::found(self.ask(question, ids.len()).await?, ids.len())
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        let bytes = batch.bytes + OP_BYTES * (batch.ops.len() + batch.conditions.len() + 1);
        let batch = proto::Batch {
            shard: u32::from(batch.shard.0),
            idempotency_key: batch.idempotency.map(|idempotency| idempotency.key).unwrap_or_default(),
            conditions: wire::conditions_to(&batch.conditions),
            ops: wire::ops_to(batch.ops),
        };
        match self.want(Intent::Batch(batch), bytes).await? {
            write_answer::What::Written(written) => answer_of::written(written),
            _ => Err(Error::Unknown("The storage service did not say what the batch did.".to_owned())),
        }
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        let question = Question::Ranges(wire::ranges_to(assoc, froms, range));
        answer_of::ranges(self.ask(question, froms.len().saturating_mul(range.limit)).await?, froms.len())
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let edges =
            proto::read::Edges { assoc: assoc.table().to_owned(), from: from.as_u64(), tos: tos.iter().map(|to| to.as_u64()).collect() };
        answer_of::sequences(self.ask(Question::Edges(edges), tos.len()).await?, tos.len())
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        let count = |(assoc, from): &(Assoc, Id)| proto::read::counts::Wanted { assoc: assoc.table().to_owned(), from: from.as_u64() };
        let question = Question::Counts(proto::read::Counts { wanted: wanted.iter().map(count).collect() });
        answer_of::counts(self.ask(question, wanted.len()).await?, wanted.len())
    }

    /// The shard of a name follows from its kind and key, and so is not sent.
    async fn name(&self, _shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        let question = Question::Name(proto::read::NameHolder { kind: kind.as_str().to_owned(), key: key.to_owned() });
        answer_of::name(self.ask(question, 1).await?)
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        let names = proto::read::NamesOf { owner: owner.as_u64(), kind: kind.as_str().to_owned(), limit: limit as u32 };
        answer_of::names_of(self.ask_alone(Question::NamesOf(names), DEADLINE).await?)
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        let held =
            |claim: &StaleClaim| proto::HeldName { kind: claim.kind.as_str().to_owned(), key: claim.key.clone(), id: claim.id.as_u64() };
        let claims = proto::read::StaleClaims { before: before.0, after: after.map(held), limit: limit as u32 };
        answer_of::claims(self.ask_alone(Question::StaleClaims(claims), DEADLINE).await?)
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        let scan = proto::read::Scan { table: kind.table().to_owned(), after: after.map_or(0, Id::as_u64), limit: limit as u32 };
        answer_of::rows(self.ask_alone(Question::Scan(scan), DEADLINE).await?)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        let outbox = proto::read::Outbox { limit: limit as u32 };
        answer_of::events(self.ask_alone(Question::Outbox(outbox), DEADLINE).await?)
    }

    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        let forget = proto::write::OutboxForget { positions: positions.to_vec() };
        self.want_number(Intent::OutboxForget(forget), OP_BYTES + 8 * positions.len()).await.map(drop)
    }

    fn view(&self, freshness: &Freshness) -> Option<Arc<dyn Engine>> {
        Some(Arc::new(RemoteEngine { client: self.client.clone(), freshness: Some(Arc::new(freshness.clone())) }))
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.client.watches.all.subscribe()
    }

    fn watch_others(&self) -> tokio::sync::watch::Receiver<u64> {
        self.client.watches.others.subscribe()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        let log = proto::read::AuditLog { shard: u32::from(shard.0), after, limit: limit as u32 };
        answer_of::audit(self.ask_alone(Question::AuditLog(log), DEADLINE).await?)
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        let recent = proto::read::AuditRecent { limit: limit as u32 };
        answer_of::audit(self.ask_alone(Question::AuditRecent(recent), DEADLINE).await?)
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        let sweep = proto::write::SweepIdempotency { before: before.0 };
        self.want_number(Intent::SweepIdempotency(sweep), OP_BYTES).await
    }

    async fn stats(&self) -> Result<EngineStats> {
        answer_of::figures(self.ask_alone(Question::Stats(proto::read::Stats {}), LONG_DEADLINE).await?)
    }

    async fn check(&self) -> Result<Vec<String>> {
        answer_of::findings(self.ask_alone(Question::Check(proto::read::Check {}), LONG_DEADLINE).await?)
    }

    /// Closes this client. The service and its other clients go on.
    async fn close(&self) -> Result<()> {
        self.client.is_closed.store(true, Ordering::Relaxed);
        self.client.listening.abort();
        Ok(())
    }
}
