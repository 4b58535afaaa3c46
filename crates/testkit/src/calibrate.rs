//! How fast this machine is just now: two fixed pieces of work whose figures stand at the head of every bench run, so that
//! figures of different machines and hours can be told apart.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Instant,
};

use crate::Figure;

/// Rounds of the mixing loop: about a tenth of a second on a machine of 2024.
const LOOPS: u64 = 50_000_000;
const BLOCK_BYTES: usize = 4_096;
const SYNCS: u32 = 100;

/// Measures the CPU and the disk under `folder`.
pub fn calibrate(bench: &str, folder: &Path) -> anyhow::Result<[Figure; 2]> {
    let started = Instant::now();
    let mut state = 1_u64;
    for round in 0..LOOPS {
        state = (state ^ round).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
    }
    std::hint::black_box(state);
    let cpu_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let mut file: File = tempfile::tempfile_in(folder)?;
    let started = Instant::now();
    for _ in 0..SYNCS {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; BLOCK_BYTES])?;
        file.sync_data()?;
    }
    let sync_ms = started.elapsed().as_secs_f64() * 1_000.0 / f64::from(SYNCS);
    Ok([Figure::new(bench, "calibration_cpu", cpu_ms, "ms"), Figure::new(bench, "calibration_write_4k_fsync", sync_ms, "ms")])
}
