//! The relay: events from storage's outbox into the log. At least once; the log keeps each event id once.

use std::time::Duration;

use runtime::Shutdown;

use crate::compose::App;
use crate::error::Result;

/// Events moved in one step.
const STEP: usize = 500;
/// Time between two looks at what is known of other processes: the keepers of servers ask as often.
const OTHERS_LOOK: Duration = Duration::from_millis(250);
/// Least time between two looks at the outbox: the first event goes at once, and under load those behind it gather.
const GATHER: Duration = Duration::from_millis(20);

impl App {
    /// Moves events until shutdown. Woken by commits of this process and of others.
    pub async fn run_relay(&self, shutdown: Shutdown) -> Result<()> {
        let mut commits = self.storage.watch();
        let mut rounds = runtime::paced(GATHER);
        loop {
            rounds.tick().await;
            commits.borrow_and_update();
            while self.relay_step().await? == STEP {}
            tokio::select! {
                () = shutdown.wait() => break,
                changed = commits.changed() => if changed.is_err() { break },
            }
        }
        while self.relay_step().await? > 0 {}
        Ok(())
    }

    /// Tells the cache whenever another process has written to storage: a command that ended a session or changed a password must count
    /// at once. A cache that only this process has then forgets everything; a shared one was told by who wrote, and is told here for how long
    /// nobody did.
    pub async fn run_cache_watch(&self, shutdown: Shutdown) -> Result<()> {
        let mut others = self.storage.watch_others();
        // What happened before is not known.
        others.mark_changed();
        let mut looks = runtime::paced(OTHERS_LOOK);
        loop {
            // Asked before it is looked whether they have written: then that is known up to here.
            let known_until = self.storage.others_known_until();
            match others.has_changed() {
                Err(_) => return Ok(()),
                Ok(true) => {
                    others.mark_unchanged();
                    self.cache.others_have_written();
                    metrics::counter!(crate::metrics::CACHE_CLEARED_TOTAL).increment(1);
                }
                Ok(false) => {}
            }
            if let Some(until) = known_until {
                self.cache.others_are_known(until.elapsed());
            }
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                changed = others.changed() => match changed {
                    Ok(()) => others.mark_changed(),
                    Err(_) => return Ok(()),
                },
                _ = looks.tick(), if self.cache.is_shared() => {}
            }
        }
    }

    /// Moves the oldest events. Returns how many.
    pub async fn relay_step(&self) -> Result<usize> {
        let waiting = self.storage.outbox(STEP).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let (positions, events): (Vec<i64>, Vec<_>) = waiting.into_iter().unzip();
        self.events.append(&events).await?;
        self.storage.outbox_forget(&positions).await?;
        metrics::counter!(crate::metrics::EVENTS_RELAYED_TOTAL).increment(events.len() as u64);
        Ok(events.len())
    }
}
