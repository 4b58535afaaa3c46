//! Who watches, and what they are told: that something was committed, and whether by others than themselves.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch::{self, Receiver, Sender};

use crate::storage::Storage;
use crate::wire::proto::Commits;

/// A watcher is told at once, and then again after this time at the earliest: thousands of commits per second become some hundred messages.
const PAUSE: Duration = Duration::from_millis(3);

/// All watchers of one service.
#[derive(Clone, Default)]
pub(super) struct Watchers(Arc<Mutex<Vec<Told>>>);

struct Told {
    client: u64,
    /// Bumped when another client has committed through this service.
    others: Sender<()>,
}

/// One client's watch.
pub(super) struct Watcher {
    /// Commits of anybody, as the engine reports them.
    all: Receiver<u64>,
    /// Commits of processes beside this service.
    foreign: Receiver<u64>,
    /// Commits of other clients of this service.
    others: Receiver<()>,
    stopped: Receiver<bool>,
    is_first: bool,
}

impl Watchers {
    pub(super) fn watch(&self, client: u64, storage: &Storage, stopped: Receiver<bool>) -> Watcher {
        let (sender, others) = watch::channel(());
        let mut list = self.0.lock();
        list.retain(|told| !told.others.is_closed());
        list.push(Told { client, others: sender });
        let (mut all, mut foreign) = (storage.watch(), storage.watch_others());
        all.mark_unchanged();
        foreign.mark_unchanged();
        Watcher { all, foreign, others, stopped, is_first: true }
    }

    /// Tells everybody but `client` that it has committed.
    pub(super) fn committed(&self, client: u64) {
        for told in self.0.lock().iter().filter(|told| told.client != client) {
            told.others.send_replace(());
        }
    }
}

impl Watcher {
    /// Waits for the next commits. `None` when the service ends.
    pub(super) async fn next(&mut self) -> Option<Commits> {
        if std::mem::take(&mut self.is_first) {
            // What happened before the watch began is not known here, and so anybody may have done it.
            return Some(Commits { others: true });
        }
        tokio::select! {
            _ = self.stopped.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let mut others = false;
        tokio::select! {
            _ = self.stopped.wait_for(|stop| *stop) => return None,
            changed = self.all.changed() => changed.ok()?,
            changed = self.foreign.changed() => {
                changed.ok()?;
                others = true;
            }
            changed = self.others.changed() => {
                changed.ok()?;
                others = true;
            }
        }
        others |= take(&mut self.foreign) | take(&mut self.others);
        take(&mut self.all);
        Some(Commits { others })
    }
}

/// Takes notice of a change; tells whether there was one.
fn take<T>(receiver: &mut Receiver<T>) -> bool {
    let is_changed = receiver.has_changed().unwrap_or(false);
    receiver.mark_unchanged();
    is_changed
}
