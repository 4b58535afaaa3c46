//! What happens at a steady load when cache nodes die: what MariaDB is asked for per second (statements, and rows that they read), and p99 of
//! each second.
//!
//! ```text
//! steady ── 12 s ──▶ one node killed ── 35 s ──▶ all killed ── 35 s ──▶ back ── 12 s, steady again ──▶ flushed ── 35 s
//! ```
//! Goals: no error, storage never asked for more than twice as much as in the steady seconds, p99 back within 30 s: that is, at most half as
//! much again as in the steady seconds, from then on. Single seconds belong to the machine: medians of five count.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use testkit::{Figure, Histogram, load};

use super::{Ready, fleet, load_of};

/// Requests per second: less than half of what the machine holds, so that what a lost node costs shows as latency, not as collapse.
pub const RATE: f64 = 250.0;
/// Long enough for every home feed to be built: one that is built later costs storage thousands of rows in a second.
const WARM_UP_SECONDS: f64 = 60.0;
const STEADY_SECONDS: u64 = 12;
const AFTER_SECONDS: u64 = 35;
/// The machine's noise.
const BACK_RATIO: f64 = 1.5;
const MEDIAN_SECONDS: usize = 5;
const LOAD_RATIO_GOAL: f64 = 2.0;
const BACK_SECONDS_GOAL: f64 = 30.0;

/// What one second saw.
#[derive(Clone, Copy, Debug)]
struct Second {
    selects: f64,
    rows: f64,
    p99_ms: f64,
}

pub fn bench(runtime: &tokio::runtime::Runtime, graph: &Path, rate: f64) -> anyhow::Result<()> {
    if !testkit::skip::can_run("bench site --nodes", fleet::missing()) {
        return Ok(());
    }
    let mut fleet = fleet::Fleet::start()?;
    let ready = Ready::prepare(runtime, fleet.site()?, graph, rate, WARM_UP_SECONDS)?;
    let lasts = 2 * STEADY_SECONDS + 3 * AFTER_SECONDS;
    let seconds: Arc<Vec<Mutex<Histogram>>> = Arc::new((0..=lasts).map(|_| Mutex::default()).collect());
    let mut load = load_of(&ready.address, &ready.request, rate, lasts as f64);
    let seen = Arc::clone(&seconds);
    load.observer = Some(Arc::new(move |at, took| {
        if let (Some(second), Some(took)) = (seen.get(at.as_secs() as usize), took) {
            second.lock().unwrap_or_else(PoisonError::into_inner).record(took);
        }
    }));
    let (outcome, reads) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let started = Instant::now();
            let mut reads = Vec::new();
            for second in 0..=lasts {
                std::thread::sleep(Duration::from_secs(second).saturating_sub(started.elapsed()));
                trouble(&mut fleet, second)?;
                reads.push(asked(&fleet)?);
            }
            anyhow::Ok(reads)
        });
        let outcome = runtime.block_on(load::run(&load));
        (outcome, sampler.join())
    });
    let reads = reads.map_err(|_| anyhow::anyhow!("the sampler panicked"))??;
    let of = |second: usize| Second {
        selects: reads[second + 1].0 - reads[second].0,
        rows: reads[second + 1].1 - reads[second].1,
        p99_ms: seconds[second].lock().unwrap_or_else(PoisonError::into_inner).quantile_ms(0.99),
    };
    let all: Vec<Second> = (0..lasts as usize).map(of).collect();
    for (second, Second { selects, rows, p99_ms }) in all.iter().enumerate() {
        eprintln!("{second:>4} s: {selects:>6.0} statements that read, {rows:>7.0} rows, p99 {p99_ms:>7.2} ms");
    }
    for figure in figures(&all, rate) {
        println!("{}", figure.json());
    }
    println!("{}", Figure::new("site_nodes", "errors", outcome.errors as f64, "requests").at_most(0.0).json());
    eprintln!("the first error: {:?}", outcome.first_error);
    Ok(())
}

/// Does to the nodes what the plan has for this second.
fn trouble(fleet: &mut fleet::Fleet, second: u64) -> anyhow::Result<()> {
    let [one, all, back, flushed] = starts();
    if second == one {
        fleet.nodes[0].kill9();
    } else if second == all {
        fleet.nodes.iter_mut().for_each(testkit::memcached::Server::kill9);
    } else if second == back {
        for node in &mut fleet.nodes {
            node.restart()?;
        }
    } else if second == flushed {
        for node in &fleet.nodes {
            node.flush()?;
        }
    }
    Ok(())
}

/// The seconds at which one node is killed, all are killed, all are back, and all are flushed.
fn starts() -> [u64; 4] {
    let (one, all) = (STEADY_SECONDS, STEADY_SECONDS + AFTER_SECONDS);
    [one, all, all + AFTER_SECONDS, all + AFTER_SECONDS + STEADY_SECONDS]
}

fn figures(all: &[Second], rate: f64) -> Vec<Figure> {
    let of = |name: &str, value: f64, unit: &str| Figure::new("site_nodes", name, value, unit);
    // The first seconds still warm up.
    let steady = &all[2..STEADY_SECONDS as usize];
    let mean = |seconds: &[Second], of: fn(&Second) -> f64| seconds.iter().map(of).sum::<f64>() / seconds.len() as f64;
    let worst = |seconds: &[Second], of: fn(&Second) -> f64| seconds.iter().map(of).fold(0.0, f64::max);
    let (selects, rows, p99) = (mean(steady, |it| it.selects), mean(steady, |it| it.rows), median_p99(steady));
    let mut figures = vec![
        of("rate", rate, "1/s"),
        of("steady_selects_per_s", selects, "1/s"),
        of("steady_rows_per_s", rows, "1/s"),
        of("steady_p99_median_second", p99, "ms"),
    ];
    let [one, dead, _, flushed] = starts();
    for (name, from) in [("one_killed", one), ("all_killed", dead), ("flushed", flushed)] {
        let after = &all[from as usize..(from + AFTER_SECONDS) as usize];
        let medians: Vec<f64> = after.windows(MEDIAN_SECONDS).map(median_p99).collect();
        let back = medians.iter().rposition(|median| *median > p99 * BACK_RATIO).map_or(0, |last| last + 1);
        figures.extend([
            of(&format!("{name}_selects_worst_second"), worst(after, |it| it.selects) / selects, "x").at_most(LOAD_RATIO_GOAL),
            of(&format!("{name}_rows_worst_second"), worst(after, |it| it.rows) / rows, "x").at_most(LOAD_RATIO_GOAL),
            of(&format!("{name}_rows_mean"), mean(after, |it| it.rows) / rows, "x").at_most(LOAD_RATIO_GOAL),
            of(&format!("{name}_p99_median_second"), median_p99(after), "ms"),
            of(&format!("{name}_p99_worst_second"), worst(after, |it| it.p99_ms), "ms"),
            of(&format!("{name}_p99_back_after"), back as f64, "s").at_most(BACK_SECONDS_GOAL),
        ]);
    }
    figures
}

fn median_p99(seconds: &[Second]) -> f64 {
    let mut all: Vec<f64> = seconds.iter().map(|second| second.p99_ms).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Statements that read since MariaDB's start, and rows that they read.
fn asked(fleet: &fleet::Fleet) -> anyhow::Result<(f64, f64)> {
    let counts = fleet.database.sql("SHOW GLOBAL STATUS WHERE Variable_name = 'Com_select' OR Variable_name LIKE 'Handler_read_%'")?;
    let sum = |prefix: &str| counts.iter().filter(|row| row[0].starts_with(prefix)).filter_map(|row| row[1].parse::<f64>().ok()).sum();
    Ok((sum("Com_select"), sum("Handler_read_")))
}
