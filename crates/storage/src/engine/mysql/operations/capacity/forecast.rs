//! From samples to a growth, pure: the median of the slopes between all pairs of samples (Theil–Sen), which a third of wild samples does
//! not move. A server that got or gave shards begins anew: what was before does not tell how it grows now.

/// Fewer samples, or a shorter time, tell nothing: days differ from nights, and weekdays from weekends.
pub(super) const SAMPLES_MIN: usize = 12;
pub(super) const DAYS_MIN: f64 = 3.0;
/// Samples that the slope is taken from; their pairs are half the square of it.
const POINTS_MAX: usize = 300;
/// A change between two samples of this part of the whole is no growth but shards that came or went.
const STEP_SHARE: f64 = 0.1;
/// Changes below this are no step, however small the server is: 64 MiB.
const STEP_BYTES_MIN: f64 = 67_108_864.0;
/// A disk counts as full here: logs, temporary tables and copies of shards on their way need the rest.
const FULL_SHARE: f64 = 0.9;
const DAY_MS: f64 = 86_400_000.0;

/// How large a server was at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub at_ms: i64,
    pub rows: u64,
    pub bytes: u64,
}

/// How fast it grows; `None` when too few samples tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    pub bytes_per_day: Option<f64>,
    pub rows_per_day: Option<f64>,
    /// Over how many days the samples go since shards came or went for the last time.
    pub days: f64,
}

/// Computes the growth from samples in the order of their time.
pub(super) fn growth(samples: &[Sample]) -> Growth {
    let recent = since_last_step(samples);
    let days = match (recent.first(), recent.last()) {
        (Some(first), Some(last)) => (last.at_ms - first.at_ms) as f64 / DAY_MS,
        _ => 0.0,
    };
    if recent.len() < SAMPLES_MIN || days < DAYS_MIN {
        return Growth { bytes_per_day: None, rows_per_day: None, days };
    }
    let stride = recent.len().div_ceil(POINTS_MAX);
    let points = |value: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        recent.iter().step_by(stride).map(|sample| (sample.at_ms as f64 / DAY_MS, value(sample) as f64)).collect()
    };
    Growth { bytes_per_day: median_slope(&points(|sample| sample.bytes)), rows_per_day: median_slope(&points(|sample| sample.rows)), days }
}

/// Returns the days until a disk is full at this growth; 0 when it is, `None` when it never will be.
pub(super) fn days_until(bytes: u64, bytes_per_day: f64, disk_bytes: u64) -> Option<f64> {
    let left = disk_bytes as f64 * FULL_SHARE - bytes as f64;
    if left <= 0.0 {
        return Some(0.0);
    }
    (bytes_per_day > 0.0).then(|| left / bytes_per_day)
}

/// Leaves out what was before the last time that shards came or went: a change against both samples before it that stays. One wild sample
/// is no step, and neither is the way back from it.
fn since_last_step(samples: &[Sample]) -> &[Sample] {
    let is_step = |from: &Sample, to: &Sample| {
        let change = (to.bytes as f64 - from.bytes as f64).abs();
        change > STEP_BYTES_MIN && change > STEP_SHARE * from.bytes as f64
    };
    let stays = |index: usize| samples.get(index + 1).is_none_or(|next| is_step(&samples[index - 1], next));
    let begins = |index: usize| samples[index.saturating_sub(2)..index].iter().all(|before| is_step(before, &samples[index]));
    let last = (1..samples.len()).rev().find(|index| begins(*index) && stays(*index));
    &samples[last.unwrap_or(0)..]
}

fn median_slope(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[index + 1..].iter().filter(|(later, _)| later > x).map(|(later, other)| (other - y) / (later - x)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A sample an hour, from 1,000 MiB on.
    fn hourly(hours: i64, bytes: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..hours).map(|hour| Sample { at_ms: hour * 3_600_000, rows: hour as u64, bytes: bytes(hour as u64) }).collect()
    }

    fn mib_per_day(samples: &[Sample]) -> Option<i64> {
        growth(samples).bytes_per_day.map(|bytes| (bytes / MIB as f64).round() as i64)
    }

    #[test]
    fn a_straight_line_is_found_whatever_some_samples_say() {
        let line = |hour: u64| (1_000 + hour) * MIB;
        assert_eq!(mib_per_day(&hourly(240, line)), Some(24));
        assert_eq!(growth(&hourly(240, line)).rows_per_day.map(f64::round), Some(24.0));
        // Every seventh sample is wild.
        assert_eq!(mib_per_day(&hourly(240, |hour| if hour % 7 == 3 { line(hour) * 2 } else { line(hour) })), Some(24));
        assert_eq!(mib_per_day(&hourly(1_000, line)), Some(24), "of many samples some are left out");
        assert_eq!(mib_per_day(&hourly(240, |_| 1_000 * MIB)), Some(0));
    }

    #[test]
    fn too_few_samples_tell_nothing() {
        assert_eq!(mib_per_day(&[]), None);
        assert_eq!(mib_per_day(&hourly(60, |hour| hour * MIB)), None, "two and a half days");
        let sparse: Vec<Sample> = hourly(240, |hour| hour * MIB).into_iter().step_by(24).collect();
        assert_eq!((sparse.len(), mib_per_day(&sparse)), (10, None));
        assert_eq!(growth(&hourly(25, |hour| hour)).days, 1.0);
    }

    #[test]
    fn shards_that_went_are_no_shrinking() {
        // 500 of 1,100 MiB went at hour 100; it grows by 1 MiB an hour before and after.
        let moved = |hour: u64| (1_000 + hour - if hour >= 100 { 500 } else { 0 }) * MIB;
        let found = growth(&hourly(300, moved));
        assert_eq!((mib_per_day(&hourly(300, moved)), found.days.round()), (Some(24), 8.0));
        assert_eq!(mib_per_day(&hourly(150, moved)), None, "two days since then are too few");
    }

    #[test]
    fn a_disk_is_full_a_little_before_its_end() {
        assert_eq!(days_until(450, 10.0, 1_000), Some(45.0));
        assert_eq!(days_until(950, 10.0, 1_000), Some(0.0));
        assert_eq!((days_until(450, 0.0, 1_000), days_until(450, -1.0, 1_000)), (None, None));
    }
}
