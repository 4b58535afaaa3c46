//! One client of the service: what waits is carried there in calls, and what comes back is given to whoever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::gather::{Gather, Limits};
use super::targets::{Failure, Held, Identity, Targets};
use super::watch::{self, Watches};
use crate::error::{Error, Result};
use crate::limits::{BATCH_BYTES_MAX, DEADLINE};
use crate::metrics as names;
use crate::row::Freshness;
use crate::wire::Piece;
use crate::wire::proto::{self, read::What as Question, read_answer, write::What as Intent, write_answer};

/// What one gathered read call carries.
const READ_LIMITS: Limits = Limits { carriers_max: 2, items_max: 1_024, bytes_max: 64 << 10 };
/// What one gathered write call carries: no more data than one batch may have. More calls at a time than for reads, because each lasts as
/// long as the slowest commit in it, and what waits here is missing in the groups of the service.
const WRITE_LIMITS: Limits = Limits { carriers_max: 16, items_max: 512, bytes_max: BATCH_BYTES_MAX };
/// A call that takes longer gives its place away. Look-ups take less than a millisecond, commits as long as the disk needs.
const READ_TURN_MAX: Duration = Duration::from_millis(5);
const WRITE_TURN_MAX: Duration = Duration::from_millis(20);
/// A service keeps the deadline that it is given and says so in its answer. One that is silent for this long after it is taken for lost.
const GRACE: Duration = Duration::from_secs(1);
/// What all views of one engine share.
pub(super) struct Client {
    pub(super) targets: Arc<Targets>,
    /// Tells this client's commits from those of others.
    number: u64,
    reads: Gather<Asked>,
    writes: Gather<Wanted>,
    pub(super) watches: Arc<Watches>,
    listening: JoinHandle<()>,
    is_closed: AtomicBool,
    /// Calls so far, for tests.
    #[cfg(test)]
    pub(super) calls: std::sync::atomic::AtomicUsize,
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

fn stopped() -> Error {
    Error::Unavailable("The process ends; nobody waited for the answer.".to_owned())
}

/// What becomes of the answers of one call: called once per question, with its place in the call.
trait Deliver<T>: FnMut(usize, Result<T>) + Send {}
impl<T, F: FnMut(usize, Result<T>) + Send> Deliver<T> for F {}

impl Client {
    /// Prepares calls, and begins to listen for commits.
    pub(super) fn open(addresses: &str, identity: &Identity) -> Result<Arc<Client>> {
        let targets = Arc::new(Targets::parse(addresses, identity)?);
        let (number, watches) = (runtime::random_u64(), Arc::new(Watches::new()));
        let listening = tokio::spawn(watch::listen(targets.clone(), watches.clone(), number));
        Ok(Arc::new(Client {
            targets,
            number,
            reads: Gather::new(READ_LIMITS),
            writes: Gather::new(WRITE_LIMITS),
            watches,
            listening,
            is_closed: AtomicBool::new(false),
            #[cfg(test)]
            calls: Default::default(),
        }))
    }

    /// Ends the client: later calls are refused, and nobody listens any more. What runs is answered.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.listening.abort();
    }

    /// Asks a question of about `bytes`, together with others.
    pub(super) async fn ask(self: &Arc<Client>, question: Question, freshness: Option<Arc<Freshness>>, bytes: usize) -> Result<Vec<Piece>> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        if self.reads.push(bytes, Asked { question, freshness, reply }) {
            tokio::spawn(self.clone().carry_reads());
        }
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Asks a question in a call of its own.
    pub(super) async fn ask_alone(&self, question: Question, freshness: Option<&Freshness>, patience: Duration) -> Result<Vec<Piece>> {
        self.check_open()?;
        let request = proto::ReadRequest { freshness: freshness.map(Into::into), reads: vec![proto::Read { what: Some(question) }] };
        let mut answer = None;
        self.read(request, patience, |_, result| answer = Some(result)).await;
        answer.unwrap_or_else(|| Err(stopped()))
    }

    /// Writes about `bytes`, together with others.
    pub(super) async fn want(self: &Arc<Client>, intent: Intent, bytes: usize) -> Result<write_answer::What> {
        self.check_open()?;
        let (reply, answer) = oneshot::channel();
        if self.writes.push(bytes, Wanted { intent, reply }) {
            tokio::spawn(self.clone().carry_writes());
        }
        answer.await.unwrap_or_else(|_| Err(Error::Unknown("The process ends; nobody waited for the write's answer.".to_owned())))
    }

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
            let failure = match tokio::time::timeout_at(deadline + GRACE, reading).await {
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
            let failure = match tokio::time::timeout(DEADLINE + GRACE, writing).await {
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
