//! The decisions about a job, as pure functions of values: what a failure leads to, when it is tried again, what a claim is
//! called, and how many jobs a rate limit hands out.

use model::Timestamp;

use crate::job::{JobId, Outcome, State};
use crate::limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS};

/// What an ack or a time-out makes of a job in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub state: State,
    pub attempts_made: u32,
    /// Only for a job that is pending again.
    pub run_after: Option<Timestamp>,
    /// Only for a job that is finished.
    pub finished_at: Option<Timestamp>,
}

/// Decides what an outcome makes of a job that has failed `attempts_made` times of `attempts_allowed`.
pub(crate) fn after_outcome(id: JobId, attempts_allowed: u32, attempts_made: u32, outcome: &Outcome, now: Timestamp) -> Transition {
    match outcome {
        Outcome::Succeeded => Transition { state: State::Succeeded, attempts_made, run_after: None, finished_at: Some(now) },
        Outcome::Failed { retry_after_ms, .. } => {
            let wait_ms = retry_after_ms.unwrap_or_else(|| backoff_ms(id, attempts_made + 1));
            after_attempt(attempts_allowed, attempts_made, now.plus(wait_ms), now)
        }
        Outcome::FailedPermanently { .. } => failed(attempts_made + 1, now),
    }
}

/// Decides what becomes of a job whose lease ran out: it is tried again at once, because its worker is gone.
pub(crate) fn after_timeout(attempts_allowed: u32, attempts_made: u32, now: Timestamp) -> Transition {
    after_attempt(attempts_allowed, attempts_made, now, now)
}

fn after_attempt(attempts_allowed: u32, attempts_made: u32, run_after: Timestamp, now: Timestamp) -> Transition {
    let attempts_made = attempts_made + 1;
    if attempts_made >= attempts_allowed {
        return failed(attempts_made, now);
    }
    Transition { state: State::Pending, attempts_made, run_after: Some(run_after), finished_at: None }
}

fn failed(attempts_made: u32, now: Timestamp) -> Transition {
    Transition { state: State::Failed, attempts_made, run_after: None, finished_at: Some(now) }
}

/// Returns how long to wait after the `failures`th failure: 1 s doubled with each, at most an hour, shortened by up to a half.
/// The jitter comes from the job's number, so that jobs which failed together don't come back together, and a replay waits
/// the same.
pub(crate) fn backoff_ms(id: JobId, failures: u32) -> i64 {
    let doublings = failures.saturating_sub(1).min(30);
    let whole = BACKOFF_FIRST_MS.saturating_mul(1 << doublings).min(BACKOFF_MAX_MS);
    // splitmix64: neighbouring numbers come out far apart.
    let mut mixed = (id.0 as u64).wrapping_add(u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 27;
    whole - (mixed % (whole as u64 / 2 + 1)) as i64
}

/// Names the `number`th claim of a job. A job counts its claims, so that no name comes twice.
pub(crate) fn claim_name(id: JobId, number: i64) -> String {
    format!("{id}-{number}")
}

/// How many jobs a queue may still hand out: a bucket that fills with the rate and holds what flows in within a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allowance {
    /// `None`: no limit.
    pub rate_per_second: Option<f64>,
    pub jobs: f64,
    pub at: Timestamp,
}

impl Allowance {
    /// Returns a full bucket.
    pub(crate) fn full(rate_per_second: Option<f64>, at: Timestamp) -> Allowance {
        Allowance { rate_per_second, jobs: rate_per_second.map_or(0.0, capacity), at }
    }

    /// Lets flow in what came until `now`. A clock that went back lets nothing in.
    pub(crate) fn refilled(self, now: Timestamp) -> Allowance {
        let Some(rate) = self.rate_per_second else { return self };
        let seconds = now.since(self.at).max(0) as f64 / 1_000.0;
        Allowance { jobs: (self.jobs + rate * seconds).min(capacity(rate)), at: now, ..self }
    }

    /// Returns how many jobs may go out now.
    pub(crate) fn whole_jobs(self) -> usize {
        match self.rate_per_second {
            None => usize::MAX,
            // What is missing by rounding alone is there.
            Some(_) => (self.jobs + 1e-6).floor() as usize,
        }
    }

    /// Takes out what was handed out.
    pub(crate) fn less(self, jobs: usize) -> Allowance {
        match self.rate_per_second {
            None => self,
            Some(_) => Allowance { jobs: (self.jobs - jobs as f64).max(0.0), ..self },
        }
    }

    /// Returns when the next job may go out; `None` while the queue is paused.
    pub(crate) fn next_at(self) -> Option<Timestamp> {
        match self.rate_per_second {
            None => Some(self.at),
            Some(_) if self.whole_jobs() > 0 => Some(self.at),
            Some(rate) if rate <= 0.0 => None,
            Some(rate) => Some(self.at.plus(((1.0 - self.jobs) / rate * 1_000.0).ceil() as i64)),
        }
    }
}

fn capacity(rate: f64) -> f64 {
    if rate <= 0.0 { 0.0 } else { rate.max(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// The whole table: outcome, attempts made of allowed → state, attempts made.
    #[test]
    fn every_outcome_leads_where_it_should() {
        let failed = Outcome::Failed { message: String::new(), retry_after_ms: Some(7) };
        let permanently = Outcome::FailedPermanently { message: String::new() };
        let table = [
            (&Outcome::Succeeded, 0, 3, State::Succeeded, 0),
            (&Outcome::Succeeded, 2, 3, State::Succeeded, 2),
            (&failed, 0, 3, State::Pending, 1),
            (&failed, 1, 3, State::Pending, 2),
            (&failed, 2, 3, State::Failed, 3),
            (&failed, 0, 1, State::Failed, 1),
            (&permanently, 0, 3, State::Failed, 1),
            (&permanently, 2, 3, State::Failed, 3),
        ];
        for (outcome, made, allowed, state, made_after) in table {
            let transition = after_outcome(JobId(1), allowed, made, outcome, NOW);
            assert_eq!((transition.state, transition.attempts_made), (state, made_after), "{outcome:?} after {made} of {allowed}");
            assert_eq!(transition.finished_at, state.is_finished().then_some(NOW));
            assert_eq!(transition.run_after, (state == State::Pending).then_some(NOW.plus(7)));
        }
        assert_eq!(after_timeout(2, 0, NOW).run_after, Some(NOW));
        assert_eq!(after_timeout(2, 1, NOW).state, State::Failed);
    }

    #[test]
    fn waits_double_up_to_an_hour_and_differ_between_jobs() {
        for (failures, whole) in [(1, 1_000), (2, 2_000), (3, 4_000), (12, 2_048_000), (13, 3_600_000), (100, 3_600_000)] {
            let waits: std::collections::BTreeSet<i64> = (1..=100).map(|id| backoff_ms(JobId(id), failures)).collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{failures}: {waits:?}");
            assert!(waits.len() > 50, "{failures}: jobs come back together");
        }
    }

    #[test]
    fn an_allowance_fills_with_its_rate_and_not_over_a_second() {
        let slow = Allowance::full(Some(0.5), NOW);
        assert_eq!(slow.whole_jobs(), 1);
        let empty = slow.less(1);
        assert_eq!(empty.whole_jobs(), 0);
        assert_eq!(empty.next_at(), Some(NOW.plus(2_000)));
        assert_eq!(empty.refilled(NOW.plus(1_999)).whole_jobs(), 0);
        assert_eq!(empty.refilled(NOW.plus(2_000)).whole_jobs(), 1);
        assert_eq!(empty.refilled(NOW.plus(-5_000)).whole_jobs(), 0);
        assert_eq!(Allowance::full(Some(10.0), NOW).less(10).refilled(NOW.plus(60_000)).whole_jobs(), 10);
        assert_eq!(Allowance::full(Some(0.0), NOW).refilled(NOW.plus(60_000)).next_at(), None);
        assert_eq!(Allowance::full(None, NOW).less(10_000).whole_jobs(), usize::MAX);
    }
}
