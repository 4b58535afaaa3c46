//! What is known of other processes, and so for how long a near copy is believed.
//!
//! ```text
//! loaded ──▶ believed ── 1 s ──▶ believed while the others are silent ── 30 s; 9 min if read from storage ──▶ asked about
//!               │                       storage has been heard within a second, nobody else has written
//!               └── somebody has ───▶ asked about after its second
//! ```
//! Who has written tells the second level a little later. So what is loaded within some seconds of somebody else's commit may be what the
//! second level had of before, and is not believed for longer than its second. A writer that stands still for longer between the two is why
//! what comes from there is asked about after half a minute. What this process has read from storage itself, or made, has no such trouble: it is
//! believed as long as the second level would keep it.

use std::sync::atomic::{AtomicI64, Ordering};

use model::Timestamp;

use crate::limits::{FIRST_HAND_MS, NEAR_MS, SETTLE_MS, SILENT_MS};
use crate::metrics as names;

/// For how long a copy in memory is believed without a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Belief {
    /// When the load began that it comes from, or its last confirmation.
    begun: Timestamp,
    pub(crate) until: Timestamp,
    /// For so long while the others are silent.
    silent_until: Timestamp,
}

impl Belief {
    /// Until it is invalidated: for a process that is told of everything.
    pub(crate) const FOR_EVER: Belief = Belief { begun: Timestamp(0), until: Timestamp(i64::MAX), silent_until: Timestamp(i64::MAX) };

    /// For what the second level had.
    pub(crate) fn of(begun: Timestamp, for_ms: i64) -> Belief {
        Belief { begun, until: begun.plus(for_ms), silent_until: begun.plus(SILENT_MS) }
    }

    /// For what this process has read from storage, or made.
    pub(crate) fn at_first_hand(self) -> Belief {
        Belief { silent_until: self.silent_until.max(self.begun.plus(FIRST_HAND_MS)), ..self }
    }

    /// For twice as long.
    pub(crate) fn twice(self) -> Belief {
        if self == Belief::FOR_EVER { self } else { Belief { until: self.until.plus(self.until.since(self.begun)), ..self } }
    }
}

/// What storage has told of other processes' commits.
#[derive(Debug)]
pub(crate) struct Others {
    /// What was loaded before this may be older than what somebody else has written.
    settled_at: AtomicI64,
    /// Up to here silence is known, and a second longer.
    known_until: AtomicI64,
}

impl Others {
    /// Nothing is known.
    pub(crate) fn new() -> Others {
        Others { settled_at: AtomicI64::new(i64::MAX), known_until: AtomicI64::new(0) }
    }

    /// Somebody else has written.
    pub(crate) fn have_written(&self, now: Timestamp) {
        self.settled_at.store(now.plus(SETTLE_MS).0, Ordering::Release);
    }

    /// All that was committed by then has been told.
    pub(crate) fn are_known_at(&self, then: Timestamp, now: Timestamp) {
        self.known_until.store(then.plus(NEAR_MS).0, Ordering::Release);
        let is_silent = now < then.plus(NEAR_MS) && now.0 >= self.settled_at.load(Ordering::Acquire);
        metrics::gauge!(names::OTHERS_SILENT).set(if is_silent { 1.0 } else { 0.0 });
    }

    /// Tells whether a copy is believed without a question.
    pub(crate) fn believe(&self, belief: Belief, now: impl FnOnce() -> Timestamp) -> bool {
        if belief == Belief::FOR_EVER {
            return true;
        }
        let now = now();
        now < belief.until || (now < belief.silent_until && self.have_been_silent(belief, now))
    }

    /// Tells whether nobody else has written since a copy was loaded.
    pub(crate) fn have_been_silent(&self, belief: Belief, now: Timestamp) -> bool {
        // In this order: who tells of a commit does so before it says that all is known.
        let is_known = now.0 < self.known_until.load(Ordering::Acquire);
        is_known && belief.begun.0 >= self.settled_at.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_believed_while_silence_is_known_and_for_its_time_at_most() {
        let others = Others::new();
        let at = |ms: i64| Timestamp(1_000_000 + ms);
        let copy = Belief::of(at(0), NEAR_MS);
        let is_believed = |others: &Others, ms: i64| others.believe(copy, || at(ms));
        assert!(is_believed(&others, NEAR_MS - 1) && !is_believed(&others, NEAR_MS), "nothing is known");
        others.have_written(at(-SETTLE_MS));
        others.are_known_at(at(NEAR_MS), at(NEAR_MS));
        assert!(is_believed(&others, 2 * NEAR_MS - 1) && !is_believed(&others, 2 * NEAR_MS), "silence is known no longer");
        others.are_known_at(at(SILENT_MS), at(SILENT_MS));
        assert!(is_believed(&others, SILENT_MS - 1) && !is_believed(&others, SILENT_MS));
        others.are_known_at(at(FIRST_HAND_MS), at(FIRST_HAND_MS));
        let is_believed_at_first_hand = |ms: i64| others.believe(copy.at_first_hand(), || at(ms));
        assert!(is_believed_at_first_hand(FIRST_HAND_MS - 1) && !is_believed_at_first_hand(FIRST_HAND_MS));
        others.have_written(at(-SETTLE_MS + 1));
        assert!(!is_believed_at_first_hand(NEAR_MS), "at first hand or not");
        assert!(!is_believed(&others, NEAR_MS), "it was loaded when the second level may not have been told");
        assert!(is_believed(&others, NEAR_MS - 1), "its second stays");
        assert!(others.believe(Belief::FOR_EVER, || unreachable!("no clock is asked")));
    }
}
