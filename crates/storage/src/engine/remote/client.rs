//! One client of the service: what is asked goes to an address in a session, and once more when that is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Identity;
use super::targets::{Failure, Held, Lane, Targets};
use super::watch::{self, Watches};
use crate::error::{Error, Result};
use crate::limits::DEADLINE;
use crate::row::Freshness;
use crate::wire::Piece;
use crate::wire::proto::{self, ask::What, read::What as Question, write::What as Intent};

/// A service keeps the deadline that it is given and says so in its answer. One that is silent for this long after it is taken for lost.
const GRACE: Duration = Duration::from_secs(1);

/// What all views of one engine share.
pub(super) struct Client {
    pub(super) targets: Arc<Targets>,
    pub(super) watches: Arc<Watches>,
    listening: JoinHandle<()>,
    is_closed: AtomicBool,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Client {
    /// Prepares calls, and begins to listen for commits.
    pub(super) fn open(addresses: &str, identity: &Identity) -> Result<Arc<Client>> {
        let number = runtime::random_u64();
        let targets = Arc::new(Targets::parse(addresses, identity, number)?);
        let watches = Arc::new(Watches::new());
        let listening = tokio::spawn(watch::listen(targets.clone(), watches.clone(), number));
        Ok(Arc::new(Client { targets, watches, listening, is_closed: AtomicBool::new(false) }))
    }

    /// Ends the client: later calls are refused, and nobody listens any more. What runs is answered.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.listening.abort();
        self.targets.close();
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Error::Unavailable("Storage is closed.".to_owned()));
        }
        Ok(())
    }

    /// Asks a question of about `bytes`, and once more when it was lost.
    pub(super) async fn ask(
        &self,
        lane: Lane,
        question: Question,
        freshness: Option<&Freshness>,
        bytes: usize,
        patience: Duration,
    ) -> Result<Vec<Piece>> {
        self.check_open()?;
        let deadline = Instant::now() + patience;
        let (mut except, mut again) = (None, true);
        loop {
            let held = self.targets.hold(except);
            let left = deadline.saturating_duration_since(Instant::now());
            let what = What::Read(proto::Read { what: Some(question.clone()) });
            let ask = proto::Ask { number: 0, patience_ms: patience_ms(left), freshness: freshness.map(Into::into), what: Some(what) };
            let reason = match tokio::time::timeout_at(deadline + GRACE, held.session(lane).ask(ask, bytes)).await {
                Ok(Ok(pieces)) => return Ok(pieces),
                Ok(Err(Failure::Answered(error))) => return Err(error),
                Ok(Err(Failure::Refused(message))) => return Err(Error::Invalid(message)),
                Ok(Err(Failure::NotSent(reason) | Failure::Lost(reason))) => reason,
                Err(_) => {
                    again = false;
                    silent(&held, patience)
                }
            };
            if !again {
                return Err(away(&held, &reason));
            }
            again = false;
            except = Some(held.index);
        }
    }

    /// Writes about `bytes`. What is lost on the way is not sent again, because it may have no idempotency key.
    pub(super) async fn want(&self, intent: Intent, bytes: usize) -> Result<Piece> {
        self.check_open()?;
        let mut except = None;
        let mut tries = self.targets.count().max(2);
        loop {
            let held = self.targets.hold(except);
            let what = What::Write(proto::Write { what: Some(intent.clone()) });
            let ask = proto::Ask { number: 0, patience_ms: patience_ms(DEADLINE), freshness: None, what: Some(what) };
            let lost = match tokio::time::timeout(DEADLINE + GRACE, held.session(Lane::Writes).ask(ask, bytes)).await {
                Ok(Ok(mut pieces)) => {
                    return pieces.pop().ok_or_else(|| {
                        Error::Unknown("The storage service said nothing that this version understands about a write.".to_owned())
                    });
                }
                Ok(Err(Failure::Answered(error))) => return Err(error),
                Ok(Err(Failure::Refused(message))) => return Err(Error::Invalid(message)),
                Ok(Err(Failure::NotSent(reason))) => {
                    tries -= 1;
                    if tries == 0 {
                        return Err(away(&held, &reason));
                    }
                    except = Some(held.index);
                    continue;
                }
                Ok(Err(Failure::Lost(reason))) => reason,
                Err(_) => silent(&held, DEADLINE),
            };
            return Err(Error::Unknown(format!(
                "The storage service at {} was lost on the way ({lost}); the write may have happened.",
                held.address()
            )));
        }
    }
}

fn patience_ms(patience: Duration) -> u32 {
    u32::try_from(patience.as_millis().max(1)).unwrap_or(u32::MAX)
}

/// Takes notice of a service that let a deadline pass and says nothing.
fn silent(held: &Held, patience: Duration) -> String {
    let reason = format!("no answer within {} s", patience.as_secs());
    held.lost(&reason);
    reason
}

fn away(held: &Held, reason: &str) -> Error {
    Error::Unavailable(format!("The storage service at {} can't be reached: {reason}.", held.address()))
}
