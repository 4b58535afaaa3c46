//! Waiting for a state instead of sleeping for a time.

use std::time::{Duration, Instant};

/// Between two looks at a state: short enough to add nothing to a test or a measured start, long enough to leave the CPU to what is waited for.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Calls `look` until it gives a value; fails after `limit` with what was waited for and what was seen last.
///
/// `look` returns `Err` with a description of the present state while it is not yet the wanted one.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> anyhow::Result<T> {
    let until = Instant::now() + limit;
    loop {
        let seen = match look() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if Instant::now() >= until {
            anyhow::bail!("waited {:.0} s for {what}; the last look saw: {seen}", limit.as_secs_f64());
        }
        std::thread::sleep(POLL_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_or_says_what_was_seen() {
        let mut looks = 0;
        let third = wait_for("the third look", Duration::from_secs(5), || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("look {looks}")) }
        });
        assert_eq!(third.unwrap(), 3);
        let never = wait_for::<()>("rain", Duration::ZERO, || Err("sunshine".into())).unwrap_err().to_string();
        assert_eq!(never, "waited 0 s for rain; the last look saw: sunshine");
    }
}
