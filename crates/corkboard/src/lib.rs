//! What `corkboard serve` is made of, for tests that start the whole site inside their own process.

pub mod config;
pub mod metrics;
pub mod settings;
pub mod tasks;
pub mod wiring;
