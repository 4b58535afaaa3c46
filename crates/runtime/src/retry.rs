//! Exponential back-off with jitter.

use std::time::Duration;

use crate::random::random_u64;

/// Waits that double from `first` to `max`, each shortened by up to a half at random, so that callers don't come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max, failures: 0 }
    }

    /// Counts a failure and returns how long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.first.saturating_mul(2u32.saturating_pow(self.failures.min(20))).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        half + Duration::from_nanos(random_u64() % (half.as_nanos() as u64 + 1))
    }

    /// Forgets the failures after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for whole in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.next_delay().as_millis();
            assert!((whole / 2..=whole).contains(&delay), "{delay} is not within {whole}");
        }
        backoff.reset();
        assert!(backoff.next_delay().as_millis() <= 100);
    }
}
