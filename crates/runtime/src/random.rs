//! Randomness from the operating system.

use std::cell::Cell;

use model::Timestamp;

/// Returns `N` random bytes fit for secrets. A machine without randomness can't run a site, so failure ends the process.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns a random number.
pub fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// Says yes once in so many times. It costs nearly nothing, and is no secret.
pub fn once_in(times: u64) -> bool {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(random_u64() | 1);
    }
    // Xorshift, as Marsaglia gives it.
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    state.is_multiple_of(times)
}

/// Returns a new event id: the instant in hexadecimal, so that ids sort roughly by time, then 80 random bits.
pub fn new_event_id(now: Timestamp) -> String {
    let random: [u8; 10] = random_bytes();
    format!("{:012x}{}", now.0.max(0), model::text::hex(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_eight_is_about_an_eighth() {
        let count = (0..80_000).filter(|_| once_in(8)).count();
        assert!((9_000..11_000).contains(&count), "{count} of 80,000");
        assert!(once_in(1));
    }
}
