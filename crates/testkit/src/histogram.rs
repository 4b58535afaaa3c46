//! Latencies in logarithmic buckets: 64 per power of two, so that every figure is within 1.6 % of what was measured.
//!
//! ```text
//! value (µs)   0 … 127    one bucket each
//!              128 … 255  2 wide, 64 buckets
//!              256 … 511  4 wide, 64 buckets, and so on
//! ```

use std::time::Duration;

const SUB_BITS: u32 = 6;
const SUB_COUNT: u64 = 1 << SUB_BITS;
/// Larger values (over an hour) are counted in the last bucket.
const VALUE_BITS_MAX: u32 = 32;
const BUCKETS: usize = ((VALUE_BITS_MAX - SUB_BITS) as usize + 1) * SUB_COUNT as usize;

/// Counts of latencies, in microseconds. Memory is constant; recording is a few instructions.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket_of(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Gives the value that `quantile` (0 to 1) of all recorded ones do not exceed, in milliseconds; 0 when empty.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let wanted = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return end_of(bucket).min(self.max) as f64 / 1_000.0;
            }
        }
        0.0
    }

    pub fn max_ms(&self) -> f64 {
        self.max as f64 / 1_000.0
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < 2 * SUB_COUNT {
        return micros as usize;
    }
    let shift = micros.ilog2() - SUB_BITS;
    let bucket = u64::from(shift) * SUB_COUNT + (micros >> shift);
    (bucket as usize).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * SUB_COUNT {
        return bucket;
    }
    let shift = bucket / SUB_COUNT - 1;
    let mantissa = bucket - shift * SUB_COUNT;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_every_value_once() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(end_of(bucket)), bucket);
            assert_eq!(bucket_of(end_of(bucket) + 1), bucket + 1);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.99), 0.0);
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (quantile, exact) in [(0.5, 5.0), (0.99, 9.9), (1.0, 10.0)] {
            let seen = histogram.quantile_ms(quantile);
            assert!((seen - exact).abs() / exact < 0.016, "{quantile}: {seen} instead of {exact}");
        }
        let mut sum = Histogram::default();
        sum.merge(&histogram);
        sum.record(Duration::from_secs(2));
        assert_eq!((sum.count(), sum.max_ms()), (10_001, 2_000.0));
    }
}
