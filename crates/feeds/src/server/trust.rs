//! Whose word counts for what this process holds, and whether it is whole.
//!
//! ```text
//!               ┌──────── clear ─────────┐
//! Unknown ── clear ──▶ Rebuilding ── complete ──▶ Whole(offset) ◀─┐ vouched for again
//!    └── restored offset: some ──▶ Restored ── vouched for ──▶────┘
//! ```
//!
//! Two things can go wrong here that can't where engine and consumer are in one process:
//! - The service is restarted without its consumer. So the consumer's word counts only if it has asked this very process where to go on;
//!   else it is told that something got lost, and asks.
//! - An engine in this process's memory comes back empty, or with a snapshot of a while ago. It does not know that anybody believed it
//!   to be whole, so reads are `Unavailable` until somebody has vouched for it here. Engines on servers know by themselves.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::Kept;
use crate::error::{Error, Result};

/// What became of one process's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Nobody has asked what is here.
    Unknown,
    /// Somebody goes on from what a snapshot held.
    Restored,
    Rebuilding,
    /// Everything is here that was applied, up to this offset of the log.
    Whole(i64),
}

#[derive(Debug)]
struct State {
    life: Life,
    /// The client that asked last where to go on, or cleared.
    asker: Option<u64>,
    written_at: Option<Instant>,
}

/// What a call to vouch comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vouching {
    /// The caller has not asked this process, or not last.
    Behind,
    /// It is true, and need not be written yet.
    Noted,
    /// The engine is to be asked.
    Write,
}

#[derive(Debug)]
pub(super) struct Trust {
    /// The engine's own memory is all there is.
    is_here: bool,
    /// How often writing is worth its cost.
    write_every: Duration,
    state: Mutex<State>,
}

impl Trust {
    pub(super) fn new(is_here: bool, write_every: Duration) -> Trust {
        Trust { is_here, write_every, state: Mutex::new(State { life: Life::Unknown, asker: None, written_at: None }) }
    }

    /// Refuses reads of what nobody has vouched for.
    pub(super) fn check_whole(&self) -> Result<()> {
        if !self.is_here || matches!(self.state.lock().life, Life::Whole(_)) {
            return Ok(());
        }
        Err(Error::Unavailable("the feeds service was restarted, and has not been filled again yet".to_owned()))
    }

    /// Notes who asks where to go on; `restored` is what the engine says. Returns the answer.
    pub(super) fn asked(&self, client: u64, restored: Option<i64>) -> Option<i64> {
        let mut state = self.state.lock();
        state.asker = Some(client);
        if !self.is_here {
            return restored;
        }
        match (state.life, restored) {
            (Life::Whole(offset), _) => Some(offset),
            (Life::Rebuilding, _) | (_, None) => None,
            (Life::Unknown | Life::Restored, Some(offset)) => {
                state.life = Life::Restored;
                Some(offset)
            }
        }
    }

    pub(super) fn cleared(&self, client: u64) {
        let mut state = self.state.lock();
        (state.asker, state.life) = (Some(client), Life::Rebuilding);
    }

    /// Refuses the end of a rebuild that was not begun here, or that another client has begun again.
    pub(super) fn check_completion(&self, client: u64) -> Result<()> {
        let state = self.state.lock();
        if state.asker == Some(client) && (!self.is_here || state.life == Life::Rebuilding) {
            return Ok(());
        }
        Err(Error::Unavailable("the rebuild was not begun in this process of the feeds service; it begins again".to_owned()))
    }

    pub(super) fn vouch(&self, client: u64, now: Instant) -> Vouching {
        let state = self.state.lock();
        if state.asker != Some(client) {
            return Vouching::Behind;
        }
        if !self.is_here {
            return Vouching::Write;
        }
        match state.life {
            Life::Unknown | Life::Rebuilding => Vouching::Behind,
            Life::Whole(_) if state.written_at.is_some_and(|at| now.duration_since(at) < self.write_every) => Vouching::Noted,
            Life::Restored | Life::Whole(_) => Vouching::Write,
        }
    }

    /// Notes that everything is here up to an offset; `written`: and with the engine.
    pub(super) fn whole(&self, client: u64, offset: i64, written: Option<Instant>) -> Kept {
        let mut state = self.state.lock();
        // Somebody else may have begun a rebuild meanwhile.
        if state.asker != Some(client) {
            return Kept::Behind;
        }
        state.life = Life::Whole(offset);
        state.written_at = written.or(state.written_at);
        Kept::Whole
    }

    /// Returns the offset that is to be written when the process ends.
    pub(super) fn unwritten(&self) -> Option<i64> {
        match self.state.lock().life {
            Life::Whole(offset) if self.is_here => Some(offset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(60);

    fn here() -> Trust {
        Trust::new(true, EVERY)
    }

    #[test]
    fn what_is_in_this_process_is_believed_once_its_consumer_has_vouched_for_it() {
        let (trust, now) = (here(), Instant::now());
        assert!(trust.check_whole().is_err());
        assert_eq!(trust.vouch(1, now), Vouching::Behind, "it has not asked this process");
        assert!(trust.check_completion(1).is_err(), "nor begun a rebuild here");
        assert_eq!(trust.asked(1, None), None);
        assert_eq!(trust.vouch(1, now), Vouching::Behind);
        trust.cleared(1);
        assert_eq!(trust.asked(1, Some(3)), None, "a rebuild that was begun has to be ended");
        assert!(trust.check_whole().is_err() && trust.check_completion(1).is_ok());
        assert_eq!(trust.whole(1, 5, Some(now)), Kept::Whole);
        assert!(trust.check_whole().is_ok());
        assert_eq!(trust.vouch(1, now), Vouching::Noted);
        assert_eq!(trust.whole(1, 6, None), Kept::Whole);
        assert_eq!(trust.vouch(1, now + EVERY), Vouching::Write);
        assert_eq!((trust.asked(2, None), trust.unwritten()), (Some(6), Some(6)), "a consumer that is restarted goes on");
        assert_eq!(trust.vouch(1, now), Vouching::Behind, "another one has taken over");
    }

    #[test]
    fn a_snapshot_is_believed_once_the_log_has_been_replayed() {
        let trust = here();
        assert_eq!(trust.asked(1, Some(3)), Some(3));
        assert!(trust.check_whole().is_err());
        assert_eq!(trust.vouch(1, Instant::now()), Vouching::Write);
        assert_eq!(trust.whole(1, 9, Some(Instant::now())), Kept::Whole);
        assert!(trust.check_whole().is_ok());
    }

    #[test]
    fn engines_on_servers_know_by_themselves_and_only_the_asker_counts() {
        let (trust, now) = (Trust::new(false, EVERY), Instant::now());
        assert!(trust.check_whole().is_ok());
        assert_eq!(trust.vouch(1, now), Vouching::Behind);
        assert_eq!((trust.asked(1, Some(4)), trust.asked(1, None)), (Some(4), None));
        assert_eq!((trust.vouch(1, now), trust.vouch(2, now)), (Vouching::Write, Vouching::Behind));
        assert!(trust.check_completion(1).is_ok() && trust.check_completion(2).is_err());
        trust.cleared(2);
        assert_eq!(trust.whole(1, 8, Some(now)), Kept::Behind);
        assert_eq!(trust.unwritten(), None);
    }
}
