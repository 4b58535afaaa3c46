//! When to stop asking a server: it failed so often that callers are better off with an answer at once.
//!
//! ```text
//! closed ─ fewer than 75 % of the last 100 calls succeeded ─▶ open ─ a minute, or a successful probe ─▶ closed, nothing remembered
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Calls that are looked back on.
const WINDOW_CALLS: usize = 100;
/// Calls before anything is decided: one failure after the start is no pattern.
const CALLS_MIN: usize = 20;
/// Share of successes, in percent, below which it opens.
const SUCCESS_PERCENT_MIN: usize = 75;
/// How long it stays open when nothing probes the server meanwhile.
pub(crate) const OPEN_TIME: Duration = Duration::from_secs(60);

/// One server's record. Time is handed in.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    calls: VecDeque<bool>,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Tells whether the server may be asked.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.close();
                true
            }
            None => true,
        }
    }

    /// Records a call. Returns true when this one opened the breaker.
    pub(crate) fn record(&mut self, succeeded: bool, now: Instant) -> bool {
        self.calls.push_back(succeeded);
        if self.calls.len() > WINDOW_CALLS {
            self.calls.pop_front();
        }
        let successes = self.calls.iter().filter(|succeeded| **succeeded).count();
        let opens = self.open_until.is_none() && self.calls.len() >= CALLS_MIN && successes * 100 < self.calls.len() * SUCCESS_PERCENT_MIN;
        if opens {
            self.open_until = Some(now + OPEN_TIME);
        }
        opens
    }

    /// Closes it: somebody has seen the server answer.
    pub(crate) fn close(&mut self) {
        self.calls.clear();
        self.open_until = None;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_when_a_quarter_fails_and_closes_after_a_minute() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for index in 0..WINDOW_CALLS {
            assert!(!breaker.record(index % 4 != 3, now), "75 % succeed");
        }
        assert!(!breaker.record(true, now));
        let opened = (0..10).any(|_| breaker.record(false, now));
        assert!(opened && breaker.is_open() && !breaker.allows(now + OPEN_TIME / 2));
        assert!(breaker.allows(now + OPEN_TIME) && !breaker.is_open());
    }

    #[test]
    fn a_few_failures_after_the_start_are_no_pattern() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        assert!(!(0..CALLS_MIN - 1).any(|_| breaker.record(false, now)));
        assert!(breaker.record(false, now));
        breaker.close();
        assert!(breaker.allows(now));
    }
}
