//! A session: one stream of questions and writes to a service, and one of answers back.
//!
//! ```text
//! ask ─▶ queue ─▶ message: all that waits ─▶ service ─▶ answers, in any order ─▶ whoever asked
//!          └─ as long as too many messages are under way ◀─ one is answered, or older than its turn
//! ```
//!
//! There is no timer to wait for: an idle session's question goes out at once, and the busier the session is the more each message
//! carries. A message that is slow gives its place away after its turn, so that a question that takes long does not hold up others.
//!
//! When a session ends, what it never sent did not happen; of the rest nobody knows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::targets::Failure;
use crate::metrics as names;
use crate::wire::Piece;
use crate::wire::proto::{Answer, Answers, Ask, Asks, answer};

/// How much goes into one message, and how many messages there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Messages under way at a time, those older than their turn not counted.
    pub(super) messages_max: usize,
    pub(super) turn: Duration,
    /// Questions or writes of one message.
    pub(super) items_max: usize,
    /// Bytes of one message, about; an item that is larger goes alone.
    pub(super) bytes_max: usize,
}

/// What became of a question or a write.
pub(super) type Outcome = Result<Vec<Piece>, Failure>;

/// The asking side of a session. Ends with it.
pub(super) struct Session {
    table: Arc<Table>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.table.end(&Failure::NotSent("the client was closed".to_owned()));
    }
}

/// Who waits for what. Shared by those who ask and the two ends of the stream.
pub(super) struct Table {
    /// Tells this client's commits from those of others.
    client: u64,
    flow: Flow,
    state: Mutex<State>,
    /// Wakes the sending end.
    wake: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(usize, Ask)>,
    waiting: HashMap<u64, Waiting>,
    under_way: Vec<Message>,
    /// The last numbers that were given.
    number: u64,
    message: u64,
    /// Nothing more is taken, but what is here is sent and answered.
    is_closing: bool,
    has_ended: bool,
}

struct Waiting {
    reply: oneshot::Sender<Outcome>,
    /// What has come of an answer that comes in several pieces.
    pieces: Vec<Piece>,
    /// The message that it went with.
    message: Option<u64>,
}

struct Message {
    number: u64,
    unanswered: usize,
    sent: Instant,
}

/// Takes a question back when nobody waits for its answer any more.
struct Asked<'a> {
    table: &'a Table,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let given_up = self.table.state.lock().take(self.number);
        if given_up.is_some_and(|(_, is_answered)| is_answered) {
            self.table.wake.notify_one();
        }
    }
}

/// What the sending end does next.
enum Next {
    Send(Vec<Ask>),
    /// Wait to be woken, or until then.
    Wait(Option<Instant>),
    End,
}

impl State {
    /// Removes who waits under a number. The flag says whether a message was answered completely by that.
    fn take(&mut self, number: u64) -> Option<(Waiting, bool)> {
        let waiting = self.waiting.remove(&number)?;
        let place = self.under_way.iter().position(|message| Some(message.number) == waiting.message);
        let is_answered = place.is_some_and(|place| {
            self.under_way[place].unanswered -= 1;
            self.under_way[place].unanswered == 0
        });
        if let Some(place) = place.filter(|_| is_answered) {
            self.under_way.swap_remove(place);
        }
        Some((waiting, is_answered))
    }

    fn next(&mut self, flow: &Flow, now: Instant) -> Next {
        // Whoever gave up before it was sent needs no answer.
        while let Some((_, ask)) = self.queue.front()
            && !self.waiting.contains_key(&ask.number)
        {
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            return if self.is_closing || self.has_ended { Next::End } else { Next::Wait(None) };
        }
        let young = self.under_way.iter().map(|message| message.sent + flow.turn).filter(|end| *end > now);
        if young.clone().count() >= flow.messages_max {
            return Next::Wait(young.min());
        }
        let (mut asks, mut bytes) = (Vec::new(), 0);
        self.message += 1;
        while asks.len() < flow.items_max
            && let Some((more, ask)) = self.queue.pop_front()
        {
            if !asks.is_empty() && bytes + more > flow.bytes_max {
                self.queue.push_front((more, ask));
                break;
            }
            if let Some(waiting) = self.waiting.get_mut(&ask.number) {
                waiting.message = Some(self.message);
                bytes += more;
                asks.push(ask);
            }
        }
        self.under_way.push(Message { number: self.message, unanswered: asks.len(), sent: now });
        Next::Send(asks)
    }
}

impl Session {
    pub(super) fn new(client: u64, flow: Flow) -> Session {
        Session { table: Arc::new(Table { client, flow, state: Mutex::default(), wake: Notify::new() }) }
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// Tells whether it takes questions.
    pub(super) fn is_open(&self) -> bool {
        let state = self.table.state.lock();
        !state.is_closing && !state.has_ended
    }

    /// Asks, together with others. `bytes`: how long the message is, about.
    pub(super) async fn ask(&self, ask: Ask, bytes: usize) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let number = {
            let mut state = self.table.state.lock();
            if state.is_closing || state.has_ended {
                return Err(Failure::NotSent("the session has ended".to_owned()));
            }
            state.number += 1;
            let number = state.number;
            state.queue.push_back((bytes, Ask { number, ..ask }));
            state.waiting.insert(number, Waiting { reply, pieces: Vec::new(), message: None });
            number
        };
        self.table.wake.notify_one();
        let _asked = Asked { table: &self.table, number };
        answer.await.unwrap_or_else(|_| Err(Failure::Lost("the process ends".to_owned())))
    }

    /// Counts the messages that were sent.
    #[cfg(test)]
    pub(super) fn messages(&self) -> u64 {
        self.table.state.lock().message
    }

    /// Takes no more questions; what was asked is answered.
    pub(super) fn close(&self) {
        self.table.state.lock().is_closing = true;
        self.table.wake.notify_one();
    }
}

impl Table {
    /// The messages to the service, made when they can go.
    pub(super) fn messages(self: Arc<Table>) -> impl Stream<Item = Asks> + Send + 'static {
        stream::unfold(self, |table| async move {
            let asks = table.next().await?;
            metrics::counter!(names::REMOTE_MESSAGES_TOTAL).increment(1);
            metrics::histogram!(names::REMOTE_GATHERED).record(asks.len() as f64);
            Some((Asks { client: table.client, asks }, table))
        })
    }

    async fn next(&self) -> Option<Vec<Ask>> {
        loop {
            let next = self.state.lock().next(&self.flow, Instant::now());
            match next {
                Next::Send(asks) => return Some(asks),
                Next::End => return None,
                Next::Wait(None) => self.wake.notified().await,
                Next::Wait(Some(until)) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
            // Those who were woken together with this one get to ask first, and go with the same message.
            tokio::task::yield_now().await;
        }
    }

    /// Gives answers to whoever waits for them.
    pub(super) fn deliver(&self, message: Answers) {
        let mut outcomes = Vec::with_capacity(message.answers.len());
        let mut is_woken = message.closing;
        {
            let mut state = self.state.lock();
            state.is_closing |= message.closing;
            for Answer { number, more, what } in message.answers {
                let Some(waiting) = state.waiting.get_mut(&number) else { continue };
                let failed = match what {
                    Some(answer::What::Error(error)) => Some(Failure::Answered(error.into())),
                    piece => {
                        waiting.pieces.extend(piece);
                        None
                    }
                };
                if more && failed.is_none() {
                    continue;
                }
                if let Some((waiting, is_answered)) = state.take(number) {
                    is_woken |= is_answered;
                    outcomes.push((waiting.reply, failed.map_or(Ok(waiting.pieces), Err)));
                }
            }
        }
        if is_woken {
            self.wake.notify_one();
        }
        for (reply, outcome) in outcomes {
            // Whoever gave up meanwhile has been told so by its own deadline.
            let _ = reply.send(outcome);
        }
    }

    /// Tells whether somebody waits for an answer.
    pub(super) fn has_waiting(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// Ends the session: nobody will answer any more.
    pub(super) fn end(&self, failure: &Failure) {
        let waiting = {
            let mut state = self.state.lock();
            state.has_ended = true;
            state.queue.clear();
            state.under_way.clear();
            std::mem::take(&mut state.waiting)
        };
        self.wake.notify_one();
        for waiting in waiting.into_values() {
            let outcome = match failure {
                Failure::Lost(reason) if waiting.message.is_none() => Failure::NotSent(reason.clone()),
                failure => failure.clone(),
            };
            let _ = waiting.reply.send(Err(outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{BoxFuture, FutureExt, join_all};

    use super::*;

    const FLOW: Flow = Flow { messages_max: 1, turn: Duration::from_secs(5), items_max: 4, bytes_max: 100 };

    struct Here {
        session: Arc<Session>,
        table: Arc<Table>,
    }

    impl Here {
        fn new() -> Here {
            let session = Arc::new(Session::new(7, FLOW));
            Here { table: session.table(), session }
        }

        /// Asks, and has the question in the queue.
        fn ask(&self, bytes: usize) -> BoxFuture<'static, Outcome> {
            let session = self.session.clone();
            let mut asking = async move { session.ask(Ask::default(), bytes).await }.boxed();
            assert!(asking.as_mut().now_or_never().is_none());
            asking
        }

        /// Returns the numbers that the next message carries; none when it has to wait.
        fn message(&self) -> Vec<u64> {
            match self.table.state.lock().next(&FLOW, Instant::now()) {
                Next::Send(asks) => asks.into_iter().map(|ask| ask.number).collect(),
                Next::Wait(_) | Next::End => Vec::new(),
            }
        }

        fn answer(&self, numbers: &[u64]) {
            let answer = |number: &u64| Answer { number: *number, more: false, what: Some(Piece::Result(*number)) };
            self.table.deliver(Answers { answers: numbers.iter().map(answer).collect(), closing: false });
        }
    }

    #[tokio::test]
    async fn the_first_goes_at_once_and_the_rest_together() {
        let here = Here::new();
        let first = here.ask(1);
        assert_eq!(here.message(), [1]);
        let rest = [here.ask(1), here.ask(1)];
        assert!(here.message().is_empty(), "a message is under way");
        here.answer(&[1]);
        assert_eq!(first.await, Ok(vec![Piece::Result(1)]));
        assert_eq!(here.message(), [2, 3]);
        here.answer(&[3]);
        assert!(here.message().is_empty());
        here.answer(&[2]);
        assert_eq!(join_all(rest).await, [Ok(vec![Piece::Result(2)]), Ok(vec![Piece::Result(3)])]);
    }

    #[tokio::test]
    async fn messages_have_limits_and_keep_the_order() {
        let here = Here::new();
        let asked: Vec<_> = [1, 1, 1, 1, 60, 60, 500, 1].map(|bytes| here.ask(bytes)).into();
        for wanted in [vec![1, 2, 3, 4], vec![5], vec![6], vec![7], vec![8]] {
            assert_eq!(here.message(), wanted);
            here.answer(&wanted);
        }
        assert!(join_all(asked).await.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_message_gives_its_place_away() {
        let here = Here::new();
        let (_slow, _next) = (here.ask(1), here.ask(1));
        assert_eq!(here.message(), [1, 2]);
        let _third = here.ask(1);
        assert!(here.message().is_empty());
        tokio::time::advance(FLOW.turn).await;
        assert_eq!(here.message(), [3]);
    }

    #[tokio::test]
    async fn whoever_gives_up_holds_up_nobody() {
        let here = Here::new();
        let (sent, unsent) = (here.ask(1), here.ask(500));
        assert_eq!(here.message(), [1]);
        drop((sent, unsent));
        let _third = here.ask(1);
        assert_eq!(here.message(), [3]);
        assert_eq!(here.table.state.lock().waiting.len(), 1);
    }

    #[tokio::test]
    async fn the_end_tells_what_was_never_sent() {
        let here = Here::new();
        let (sent, unsent) = (here.ask(1), here.ask(500));
        assert_eq!(here.message(), [1]);
        assert!(here.table.has_waiting());
        here.table.end(&Failure::Lost("cut".to_owned()));
        assert_eq!(sent.await, Err(Failure::Lost("cut".to_owned())));
        assert_eq!(unsent.await, Err(Failure::NotSent("cut".to_owned())));
        assert!(matches!(here.session.ask(Ask::default(), 1).await, Err(Failure::NotSent(_))));
        assert!(!here.session.is_open() && !here.table.has_waiting());
    }

    #[tokio::test]
    async fn a_service_that_closes_answers_what_was_asked() {
        let here = Here::new();
        let asked = here.ask(1);
        here.table.deliver(Answers { answers: Vec::new(), closing: true });
        assert!(!here.session.is_open());
        assert_eq!(here.message(), [1]);
        here.answer(&[1]);
        assert!(asked.await.is_ok());
        assert!(matches!(here.table.state.lock().next(&FLOW, Instant::now()), Next::End));
    }

    #[tokio::test]
    async fn answers_come_in_pieces() {
        let here = Here::new();
        let asked = here.ask(1);
        assert_eq!(here.message(), [1]);
        for (part, more) in [(1, true), (2, true), (3, false)] {
            let answer = Answer { number: 1, more, what: Some(Piece::Result(part)) };
            here.table.deliver(Answers { answers: vec![answer], closing: false });
        }
        assert_eq!(asked.await, Ok(vec![Piece::Result(1), Piece::Result(2), Piece::Result(3)]));
    }
}
