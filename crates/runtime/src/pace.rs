//! Rounds of work that gather under load.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Returns an interval whose first tick comes at once, and each other one at least `every` after the one before, however late that was.
pub fn paced(every: Duration) -> Interval {
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}
