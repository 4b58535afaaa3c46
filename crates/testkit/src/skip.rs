//! Skipping loudly. A test that can't have what it needs says so here, and `cargo xtask test` counts it; with
//! `--require-live` nothing may be skipped, and the test fails instead.

use std::io::Write as _;

/// Set by `cargo xtask test --require-live`.
pub const REQUIRE_VARIABLE: &str = "CORKBOARD_REQUIRE_LIVE";
/// Names the file that collects one line per skipped test.
pub const SKIPS_VARIABLE: &str = "CORKBOARD_SKIPS";

/// Tells whether a test can run: nothing is `missing`. If something is, records that it does not; then return from it.
///
/// # Panics
/// When something is missing and everything is required.
pub fn can_run(test: &str, missing: Option<String>) -> bool {
    if let Some(reason) = &missing {
        skip(test, reason);
    }
    missing.is_none()
}

/// Records that a test does not run, and why. Return from the test right after it.
///
/// # Panics
/// When everything is required.
pub fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os(REQUIRE_VARIABLE).is_none(), "{test} can't run, and --require-live allows no skipping: {reason}");
    eprintln!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os(SKIPS_VARIABLE) else { return };
    let line = format!("{test}: {}\n", reason.replace('\n', " "));
    let written = std::fs::OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("{test} was skipped ({reason}), and that could not be written to {}: {error}", path.to_string_lossy());
    }
}
