//! Private servers that keep things in memory, by themselves: what all tests on top of them rely on.
//!
//! ```text
//! redis.rs       start, kill -9, stop, restart, freeze with each persistence; clusters
//! memcached.rs   start, kill -9, restart, freeze, flush
//! ```

mod memcached;
mod redis;
