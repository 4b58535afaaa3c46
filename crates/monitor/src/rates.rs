//! Event rates: for each kind a ring of seconds and a ring of minutes. Pure.
//!
//! ```text
//! ring   slot = unit mod LENGTH, (unit, count)   a slot whose unit is too old counts as nothing
//! ```

use std::collections::BTreeMap;

use model::{EventKind, Timestamp};

const SECONDS: usize = 60;
const MINUTES: usize = 60;

#[derive(Clone, Default)]
struct Ring(Vec<(i64, u32)>);

impl Ring {
    fn count(&mut self, unit: i64, length: usize) {
        if self.0.is_empty() {
            self.0 = vec![(i64::MIN, 0); length];
        }
        let slot = &mut self.0[unit.rem_euclid(length as i64) as usize];
        if slot.0 < unit {
            *slot = (unit, 0);
        }
        // An event of longer ago than the ring is long counts nowhere.
        if slot.0 == unit {
            slot.1 += 1;
        }
    }

    fn at(&self, unit: i64) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        let (of, count) = self.0[unit.rem_euclid(self.0.len() as i64) as usize];
        if of == unit { count } else { 0 }
    }
}

/// Counts of the last minute by second, and of the last hour by minute.
#[derive(Clone, Default)]
pub struct Rates(BTreeMap<EventKind, (Ring, Ring)>);

impl Rates {
    pub fn count(&mut self, kind: EventKind, at: Timestamp) {
        let (seconds, minutes) = self.0.entry(kind).or_default();
        seconds.count(at.0.div_euclid(Timestamp::SECOND), SECONDS);
        minutes.count(at.0.div_euclid(Timestamp::MINUTE), MINUTES);
    }

    /// Returns events per second over the last whole minute, the busiest kind first.
    pub fn per_second(&self, now: Timestamp) -> Vec<(EventKind, f64)> {
        let second = now.0.div_euclid(Timestamp::SECOND);
        let sum = |ring: &Ring| (1..SECONDS as i64).map(|back| ring.at(second - back)).sum::<u32>();
        let mut rates: Vec<_> = self.0.iter().map(|(kind, (seconds, _))| (*kind, f64::from(sum(seconds)) / (SECONDS - 1) as f64)).collect();
        rates.sort_by(|a, b| b.1.total_cmp(&a.1));
        rates
    }

    /// Returns events per minute over the last hour, oldest first, the present minute last.
    pub fn minutes(&self, now: Timestamp) -> Vec<(EventKind, Vec<u32>)> {
        let minute = now.0.div_euclid(Timestamp::MINUTE);
        let row = |ring: &Ring| (0..MINUTES as i64).rev().map(|back| ring.at(minute - back)).collect();
        self.0.iter().map(|(kind, (_, minutes))| (*kind, row(minutes))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_second_and_minute_and_forgets() {
        let mut rates = Rates::default();
        let start = Timestamp(1_000 * Timestamp::MINUTE);
        for n in 0..59 {
            rates.count(EventKind::PinSaved, start.plus(n * Timestamp::SECOND));
        }
        let now = start.plus(59 * Timestamp::SECOND);
        assert_eq!(rates.per_second(now), [(EventKind::PinSaved, 1.0)]);
        assert_eq!(rates.minutes(now)[0].1.last(), Some(&59));
        let later = now.plus(2 * Timestamp::HOUR);
        assert_eq!(rates.per_second(later), [(EventKind::PinSaved, 0.0)]);
        assert!(rates.minutes(later)[0].1.iter().all(|count| *count == 0));
        // A late event of long ago does not overwrite what is newer.
        rates.count(EventKind::PinSaved, later);
        rates.count(EventKind::PinSaved, now);
        assert_eq!(rates.minutes(later)[0].1.iter().sum::<u32>(), 1);
    }
}
