//! Rate limits: per address for what strangers can do, per person for writes, per token and category for the API.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// What is limited on its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Category {
    /// Signing up, logging in, resetting passwords: per address.
    SignIn,
    /// Everything that a person changes through pages.
    Write,
    /// Fetching foreign addresses.
    Fetch,
    OrgRead,
    OrgWrite,
}

impl Category {
    /// Returns how many in a burst, and over which time they come back.
    fn quota(self) -> (u32, Duration) {
        match self {
            Category::SignIn => (30, Duration::from_secs(300)),
            Category::Write => (600, Duration::from_secs(60)),
            Category::Fetch => (60, Duration::from_secs(60)),
            Category::OrgRead => (1_000, Duration::from_secs(60)),
            Category::OrgWrite => (600, Duration::from_secs(60)),
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Subject {
    Address(IpAddr),
    /// A person's or a token's id.
    Id(u64),
}

/// How a limit stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub allowed: bool,
    pub limit: u32,
    pub remaining: u32,
    /// Until the next request is allowed, or, when it is, until the whole burst is back.
    pub reset_seconds: u64,
}

/// All rate limits of a process.
pub struct Limiter {
    limits: Vec<(Category, Keyed<Subject>)>,
    clock: DefaultClock,
    scale: u32,
}

impl Limiter {
    /// Makes the limits. `scale` multiplies all of them: 1 for sites; a load test on one address needs more.
    pub fn new(scale: u32) -> Limiter {
        let categories = [Category::SignIn, Category::Write, Category::Fetch, Category::OrgRead, Category::OrgWrite];
        let limits = categories.map(|category| {
            let (burst, period) = category.quota();
            let burst = burst.saturating_mul(scale.max(1));
            let quota = Quota::with_period(period / burst).expect("every period is longer than its burst is large");
            let quota = quota.allow_burst(NonZeroU32::new(burst).expect("every burst is at least one"));
            (category, RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>())
        });
        Limiter { limits: limits.into(), clock: DefaultClock::default(), scale: scale.max(1) }
    }

    /// Counts a request.
    pub fn check(&self, category: Category, subject: Subject) -> Standing {
        let limit = category.quota().0.saturating_mul(self.scale);
        let Some((_, limiter)) = self.limits.iter().find(|(of, _)| *of == category) else {
            return Standing { allowed: true, limit, remaining: limit, reset_seconds: 0 };
        };
        match limiter.check_key(&subject) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let refill = state.quota().replenish_interval() * (limit - remaining.min(limit));
                Standing { allowed: true, limit, remaining, reset_seconds: refill.as_secs().max(1) }
            }
            Err(until) => {
                metrics::counter!(crate::metrics::RATE_LIMITED_TOTAL, "category" => format!("{category:?}")).increment(1);
                let wait = until.wait_time_from(self.clock.now()).as_secs() + 1;
                Standing { allowed: false, limit, remaining: 0, reset_seconds: wait }
            }
        }
    }

    /// Forgets subjects that have not been seen for long enough to have their whole burst back.
    pub fn shrink(&self) {
        for (_, limiter) in &self.limits {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_per_subject_and_category() {
        let limiter = Limiter::new(1);
        let (a, b) = (Subject::Id(1), Subject::Id(2));
        for left in (0..30).rev() {
            let standing = limiter.check(Category::SignIn, a);
            assert!(standing.allowed && standing.remaining == left, "{standing:?}");
        }
        let refused = limiter.check(Category::SignIn, a);
        assert!(!refused.allowed && refused.reset_seconds >= 1);
        assert!(limiter.check(Category::SignIn, b).allowed);
        assert!(limiter.check(Category::OrgRead, a).allowed);
    }
}
