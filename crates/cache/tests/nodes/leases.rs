//! Many processes that lack the same things at the same time.

use std::sync::atomic::Ordering;

use testkit::memcached;

use crate::fleet::{Fleet, NODES};

const PROCESSES: usize = 8;
const KEYS: u64 = 50;
/// Who has waited 60 ms loads as well: a machine that stands still for so long spoils a round. Without leases every round would be spoilt.
const ROUNDS: u64 = 10;

#[test]
fn one_of_many_processes_refills() -> anyhow::Result<()> {
    if !memcached::is_available("one_of_many_processes_refills") {
        return Ok(());
    }
    let fleet = Fleet::start(NODES, PROCESSES)?;
    let loads = || fleet.truth.loads.load(Ordering::SeqCst);
    let read = |process: &std::sync::Arc<crate::fleet::Process>, keys: &[u64]| {
        let (process, keys) = (process.clone(), keys.to_vec());
        fleet.runtime.spawn(async move { process.read(&keys).await })
    };
    let (mut cold, mut changed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let keys: Vec<u64> = (round * KEYS..(round + 1) * KEYS).collect();
        let before = loads();
        let reads: Vec<_> = fleet.processes.iter().map(|process| read(process, &keys)).collect();
        for read in reads {
            fleet.runtime.block_on(read)?;
        }
        cold.push(loads() - before);
        for key in &keys {
            fleet.runtime.block_on(fleet.processes[0].write(*key));
        }
        let before = loads();
        for index in 0..PROCESSES {
            let seen = || fleet.runtime.block_on(fleet.processes[index].read(&keys));
            testkit::wait_for("the writes to be seen", std::time::Duration::from_secs(30), || match seen() {
                versions if versions.iter().all(|version| *version == 2) => Ok(()),
                versions => Err(format!("{versions:?}")),
            })?;
        }
        changed.push(loads() - before);
        let is_shared = |rounds: &[u64]| rounds.iter().any(|loads| *loads < 2 * KEYS);
        if is_shared(&cold) && is_shared(&changed) {
            return Ok(());
        }
    }
    panic!("{PROCESSES} processes loaded {KEYS} keys {cold:?} times, and {changed:?} times when they had changed");
}
