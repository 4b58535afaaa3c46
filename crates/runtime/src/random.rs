//! Randomness from the operating system.

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

/// Returns a new event id: the instant in hexadecimal, so that ids sort roughly by time, then 80 random bits.
pub fn new_event_id(now: Timestamp) -> String {
    let random: [u8; 10] = random_bytes();
    let mut id = format!("{:012x}", now.0.max(0));
    for byte in random {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}
