//! The whole site from outside: a private process per test, killed and started again. One binary, one module per test.
//!
//! ```text
//! commands.rs        commands beside a running server count at once
//! crash_cache.rs     kill -9 of a site that could not tell its cache what it wrote
//! crash_writes.rs    kill -9 while people write; nothing acknowledged is gone, nothing is there twice
//! crash_import.rs    kill -9 while an import runs; run again, everything is there once
//! crash_migrate.rs   kill -9 while the site moves to database servers; people write all the time and notice a pause
//! live_import.rs     thousands of real pictures with their metadata go in whole
//! silence.rs         a site believes what it has while nobody else writes; what a command writes then counts at once
//! split_storage.rs   storage in a process of its own, killed: the site says so and recovers, nothing acknowledged is gone
//! ```

mod commands;
mod crash_cache;
mod crash_import;
mod crash_migrate;
mod crash_writes;
mod live_import;
mod silence;
mod split_storage;
