//! The bench `start`: from the start of the process to the first page, and memory at rest.

use std::{path::Path, thread, time::Duration};

use anyhow::Context as _;
use testkit::{Figure, Site, procfs};

const ROUNDS: usize = 5;
const FIRST_PAGE_MS_GOAL: f64 = 1_000.0;
const IDLE_RSS_MB_GOAL: f64 = 150.0;
/// After this long nothing of the start is left to do.
const REST: Duration = Duration::from_secs(5);

/// Starts the site several times, each time with an empty data folder and once more with what is there then.
/// Gives medians.
pub fn measure(binary: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut resident = Vec::new();
    for round in 1..=ROUNDS {
        let mut site = Site::prepare(binary, &[])?;
        first.push(site.start_until("/")?.as_secs_f64() * 1_000.0);
        // Not a wait for a state: memory is looked at after a fixed time at rest.
        thread::sleep(REST);
        let pid = site.pid().context("the site has ended")?;
        resident.push(procfs::resident_bytes(pid)? as f64 / 1e6);
        site.terminate()?;
        again.push(site.start_until("/")?.as_secs_f64() * 1_000.0);
        site.terminate()?;
        eprintln!("round {round} of {ROUNDS}: {:.0} ms, again {:.0} ms, {:.0} MB", first[round - 1], again[round - 1], resident[round - 1]);
    }
    Ok(vec![
        Figure::new("start", "first_page_ms", median(first), "ms").at_most(FIRST_PAGE_MS_GOAL),
        Figure::new("start", "first_page_again_ms", median(again), "ms").at_most(FIRST_PAGE_MS_GOAL),
        Figure::new("start", "idle_rss_mb", median(resident), "MB").at_most(IDLE_RSS_MB_GOAL),
    ])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
