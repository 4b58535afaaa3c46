//! Listening for commits: one call that lasts, made again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use runtime::Backoff;
use tokio::sync::watch;

use super::targets::{Failure, Targets};
use crate::wire::proto::{Commits, WatchRequest};

/// Waits between tries to listen: the first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What the engine's watchers hold on to.
pub(super) struct Watches {
    pub(super) all: watch::Sender<u64>,
    pub(super) others: watch::Sender<u64>,
}

impl Watches {
    pub(super) fn new() -> Watches {
        Watches { all: watch::Sender::new(0), others: watch::Sender::new(0) }
    }

    fn tell(&self, commits: &Commits) {
        self.all.send_modify(|count| *count += 1);
        if commits.others {
            self.others.send_modify(|count| *count += 1);
        }
    }
}

/// Listens until the task is aborted. Every beginning counts as a commit of others: what happened before it is not known.
pub(super) async fn listen(targets: Arc<Targets>, watches: Arc<Watches>, client: u64) {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut except = None;
    loop {
        let held = targets.hold(except);
        let (mut service, request) = held.call(WatchRequest { client });
        let failure = match service.watch(request).await {
            Ok(response) => {
                held.answered();
                let mut commits = response.into_inner();
                loop {
                    match commits.message().await {
                        Ok(Some(commit)) => {
                            backoff.reset();
                            watches.tell(&commit);
                        }
                        // The service ends in good order.
                        Ok(None) => break None,
                        Err(status) => break Some(Failure::of(&status)),
                    }
                }
            }
            Err(status) => Some(Failure::of(&status)),
        };
        match failure {
            Some(Failure::NotSent(reason) | Failure::Lost(reason)) => held.lost(&reason),
            Some(Failure::Answered(error)) => held.lost(&error.to_string()),
            Some(Failure::Refused(reason)) => tracing::warn!(address = held.address(), reason, "the storage service does not let us watch"),
            None => {}
        }
        except = Some(held.index);
        drop(held);
        tokio::time::sleep(backoff.next_delay()).await;
    }
}
