//! Many processes that lack the same things at the same time.

use std::sync::atomic::Ordering;

use testkit::memcached;

use crate::fleet::{Fleet, NODES};

const PROCESSES: usize = 8;
const KEYS: u64 = 50;

#[test]
fn one_of_many_processes_refills() -> anyhow::Result<()> {
    if !memcached::is_available("one_of_many_processes_refills") {
        return Ok(());
    }
    let fleet = Fleet::start(NODES, PROCESSES)?;
    let keys: Vec<u64> = (0..KEYS).collect();
    let read = |process: &std::sync::Arc<crate::fleet::Process>| {
        let (process, keys) = (process.clone(), keys.clone());
        fleet.runtime.spawn(async move { process.read(&keys).await })
    };
    let reads: Vec<_> = fleet.processes.iter().map(read).collect();
    for read in reads {
        fleet.runtime.block_on(read)?;
    }
    let cold = fleet.truth.loads.load(Ordering::SeqCst);
    assert!(cold < 2 * KEYS, "{cold} loads of {KEYS} keys by {PROCESSES} processes");
    for n in 0..KEYS {
        fleet.runtime.block_on(fleet.processes[0].write(n));
    }
    for index in 0..PROCESSES {
        let seen = || fleet.runtime.block_on(fleet.processes[index].read(&keys));
        testkit::wait_for("the writes to be seen", std::time::Duration::from_secs(30), || match seen() {
            versions if versions.iter().all(|version| *version == 2) => Ok(()),
            versions => Err(format!("{versions:?}")),
        })?;
    }
    let all = fleet.truth.loads.load(Ordering::SeqCst) - cold;
    assert!(all < 2 * KEYS, "{all} loads of {KEYS} changed keys by {PROCESSES} processes");
    Ok(())
}
