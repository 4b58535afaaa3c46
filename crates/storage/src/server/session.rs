//! One caller's session: what it asks is carried out as it comes, and answered as each is known.
//!
//! ```text
//! Asks ─▶ reads: permitted? joined into units ─┐
//!      ─▶ writes: permitted? each on its own  ─┴▶ running ─▶ whatever is known by then ─▶ Answers
//! ```
//! Everything of one session runs in one task, so that what becomes known together travels together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::watch::Watchers;
use super::{Intent, reads};
use crate::access::Caller;
use crate::error::{Error, Result};
use crate::limits::LONG_DEADLINE;
use crate::storage::Storage;
use crate::wire::proto::{self, answer::What as AnswerWhat, ask::What};
use crate::wire::{self, Piece};

/// Answers that one message carries at most, and its bytes, about.
const ANSWERS_MAX: usize = 1_024;
const MESSAGE_BYTES: usize = 1 << 20;
/// Questions and writes of one session at a time. A caller that has more waits to be read.
const RUNNING_MAX: usize = 4_096;

/// What came of one question or write.
pub(super) type Answer = (u64, Result<Vec<Piece>>);

/// Questions that may be answered by one look.
struct Alike {
    freshness: Option<proto::Freshness>,
    patience_ms: u32,
    questions: Vec<(u64, proto::Read)>,
}

pub(super) struct Session {
    storage: Storage,
    watchers: Watchers,
    caller: Option<Arc<Caller>>,
    stopped: Receiver<bool>,
    /// `None` once the caller has ended its side.
    incoming: Option<Streaming<proto::Asks>>,
    running: FuturesUnordered<BoxFuture<'static, Vec<Answer>>>,
    messages: VecDeque<proto::Answers>,
    has_told_end: bool,
}

impl Session {
    pub(super) fn new(
        storage: Storage,
        watchers: Watchers,
        caller: Option<Arc<Caller>>,
        stopped: Receiver<bool>,
        incoming: Streaming<proto::Asks>,
    ) -> Session {
        let (running, messages) = (FuturesUnordered::new(), VecDeque::new());
        Session { storage, watchers, caller, stopped, incoming: Some(incoming), running, messages, has_told_end: false }
    }

    /// Returns the next message to the caller; `None` when it has ended its side and everything is answered, or is gone.
    pub(super) async fn next(&mut self) -> Option<std::result::Result<proto::Answers, Status>> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Some(Ok(message));
            }
            if self.incoming.is_none() && self.running.is_empty() {
                return None;
            }
            tokio::select! {
                () = end_of(&mut self.stopped), if !self.has_told_end => {
                    self.has_told_end = true;
                    return Some(Ok(proto::Answers { answers: Vec::new(), closing: true }));
                }
                asks = next_of(&mut self.incoming), if self.incoming.is_some() && self.running.len() < RUNNING_MAX => match asks {
                    Some(Ok(asks)) => self.begin(asks),
                    Some(Err(_)) => return None,
                    None => self.incoming = None,
                },
                Some(mut answers) = self.running.next() => {
                    while answers.len() < ANSWERS_MAX
                        && let Some(Some(more)) = self.running.next().now_or_never()
                    {
                        answers.extend(more);
                    }
                    self.messages = packed(answers);
                }
            }
        }
    }

    /// Begins everything of one message.
    fn begin(&mut self, message: proto::Asks) {
        let now = Instant::now();
        let mut questions: Vec<Alike> = Vec::new();
        for proto::Ask { number, patience_ms, freshness, what } in message.asks {
            match what {
                Some(What::Read(read)) => {
                    match questions.iter_mut().find(|alike| alike.patience_ms == patience_ms && alike.freshness == freshness) {
                        Some(alike) => alike.questions.push((number, read)),
                        None => questions.push(Alike { freshness, patience_ms, questions: vec![(number, read)] }),
                    }
                }
                Some(What::Write(write)) => self.begin_write(number, write, message.client, deadline(now, patience_ms)),
                None => self.answer(number, Err(wire::empty("question"))),
            }
        }
        for Alike { freshness, patience_ms, questions } in questions {
            let storage = match freshness.map(wire::freshness).transpose() {
                Ok(None) => self.storage.clone(),
                Ok(Some(freshness)) => self.storage.viewed(freshness),
                Err(error) => {
                    questions.iter().for_each(|(number, _)| self.answer(*number, Err(error.clone())));
                    continue;
                }
            };
            self.running.extend(reads::units(&storage, self.caller.as_deref(), questions, deadline(now, patience_ms)));
        }
    }

    fn begin_write(&mut self, number: u64, write: proto::Write, client: u64, deadline: Instant) {
        let intent = match Intent::of(write, self.caller.as_deref()) {
            Ok(intent) => intent,
            Err(error) => return self.answer(number, Err(error)),
        };
        let (storage, watchers) = (self.storage.clone(), self.watchers.clone());
        let work = async move {
            let result = intent.carry_out(&storage, deadline).await;
            if matches!(result, Ok(_) | Err(Error::Unknown(_))) {
                watchers.committed(client);
            }
            vec![(number, result.map(|piece| vec![piece]))]
        };
        self.running.push(work.boxed());
    }

    fn answer(&self, number: u64, result: Result<Vec<Piece>>) {
        self.running.push(std::future::ready(vec![(number, result)]).boxed());
    }
}

/// Waits until the service ends. One whose end nobody can tell any more has ended.
async fn end_of(stopped: &mut Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Waits for the next message of a caller.
async fn next_of(incoming: &mut Option<Streaming<proto::Asks>>) -> Option<std::result::Result<proto::Asks, Status>> {
    match incoming {
        Some(incoming) => incoming.message().await.transpose(),
        None => None,
    }
}

/// Returns the instant at which the caller stops listening. The front has shorter deadlines for whatever is short.
fn deadline(now: Instant, patience_ms: u32) -> Instant {
    let patience = if patience_ms == 0 { LONG_DEADLINE } else { Duration::from_millis(patience_ms.into()).min(LONG_DEADLINE) };
    now + patience
}

/// Puts answers into messages of about [`MESSAGE_BYTES`]; the pieces of one answer stay in order.
fn packed(answers: Vec<Answer>) -> VecDeque<proto::Answers> {
    let (mut messages, mut message, mut bytes) = (VecDeque::new(), Vec::with_capacity(answers.len()), 0);
    for (number, answer) in answers {
        let mut parts = answer.unwrap_or_else(|error| vec![AnswerWhat::Error((&error).into())]).into_iter().peekable();
        while let Some(what) = parts.next() {
            let answer = proto::Answer { number, more: parts.peek().is_some(), what: Some(what) };
            bytes += answer.encoded_len();
            message.push(answer);
            if bytes >= MESSAGE_BYTES {
                messages.push_back(proto::Answers { answers: std::mem::take(&mut message), closing: false });
                bytes = 0;
            }
        }
    }
    if !message.is_empty() {
        messages.push_back(proto::Answers { answers: message, closing: false });
    }
    messages
}
