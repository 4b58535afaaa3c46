//! Sudden death: a child process enqueues and acks until it is killed with SIGKILL. Whatever it had been told was done is
//! there afterwards, what it held comes back when its lease runs out, and the counts are right.
//!
//! The child is this test binary, run again for the one test that is the child.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use model::time::ManualClock;
use model::{Clock, Timestamp};
use runtime::SystemClock;
use serde_json::json;

use crate::{Ack, JobId, Jobs, NewJob, Outcome, State};

const FILE_VARIABLE: &str = "JOBS_CRASH_FILE";
/// So long that no lease runs out while the child lives.
const LEASE_MS: i64 = 60_000;

/// Says what was acknowledged, whole lines at a time, as soon as it was.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // When the parent is gone the child has nothing left to do.
    if writeln!(out, "\n{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(file) = std::env::var(FILE_VARIABLE) else { return };
    let jobs = Jobs::open(&format!("sqlite:{file}"), SystemClock::shared()).expect("queues");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let jobs = jobs.clone();
        tasks.spawn(async move {
            for number in 0.. {
                let new = (0..3).map(|part| NewJob::new(json!(format!("{writer}-{number}-{part}")))).collect();
                let ids = jobs.enqueue("q", new).await.expect("an enqueue");
                say(&format!("enqueued {}", ids.iter().map(JobId::to_string).collect::<Vec<_>>().join(" ")));
            }
        });
    }
    tasks.spawn(async move {
        let mut acks: Vec<Ack> = Vec::new();
        loop {
            let told: Vec<JobId> = acks.iter().map(|ack| ack.id).collect();
            let claimed = jobs.dequeue("q", "child", 4, LEASE_MS, std::mem::take(&mut acks)).await.expect("a dequeue");
            told.iter().for_each(|id| say(&format!("acked {id}")));
            claimed.iter().for_each(|job| say(&format!("claimed {}", job.id)));
            acks = claimed.iter().map(|job| Ack::new(job, Outcome::Succeeded)).collect();
        }
    });
    tasks.join_next().await;
}

/// Ends the child with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Default)]
struct Told {
    enqueued: BTreeSet<JobId>,
    claimed: BTreeSet<JobId>,
    acked: BTreeSet<JobId>,
}

impl Told {
    fn note(&mut self, line: &str) {
        let Some((what, ids)) = line.split_once(' ') else { return };
        let told = match what {
            "enqueued" => &mut self.enqueued,
            "claimed" => &mut self.claimed,
            "acked" => &mut self.acked,
            _ => return,
        };
        told.extend(ids.split(' ').filter_map(|id| id.parse().ok()).map(JobId));
    }
}

/// Runs the child, kills it once it has acked enough, and returns what it had been told.
fn run_and_kill(file: &Path, acks_wanted: usize) -> Told {
    let mut child = Command::new(std::env::current_exe().expect("this binary"));
    child.args(["--exact", "tests::crash::child", "--nocapture"]).env(FILE_VARIABLE, file).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(child.spawn().expect("a child"));
    let lines = BufReader::new(child.0.stdout.take().expect("the child's output"));
    let (mut told, mut is_killed) = (Told::default(), false);
    // A line without an end was cut by the kill: nobody was told it.
    for line in lines.split(b'\n') {
        told.note(&String::from_utf8_lossy(&line.expect("a line")));
        if told.acked.len() >= acks_wanted && !is_killed {
            child.0.kill().expect("a kill");
            is_killed = true;
        }
    }
    assert!(is_killed, "the child ended by itself");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jobs.db");
    let mut told = Told::default();
    for round in 1..=3 {
        let killed = run_and_kill(&file, 20 * round);
        told.enqueued.extend(killed.enqueued);
        told.claimed.extend(killed.claimed);
        told.acked.extend(killed.acked);

        let later = Arc::new(ManualClock::at(SystemClock.now()));
        let jobs = Jobs::open(&format!("sqlite:{}", file.display()), later.clone()).expect("queues");
        assert_eq!(jobs.check().await.expect("a check"), [""; 0]);
        let ids: Vec<JobId> = told.enqueued.iter().copied().collect();
        for part in ids.chunks(1_000) {
            for (id, seen) in part.iter().zip(jobs.lookup(part).await.expect("a look-up")) {
                let seen = seen.unwrap_or_else(|| panic!("job {id} was acknowledged and is gone"));
                let is_acked = told.acked.contains(id);
                assert!(!is_acked || seen.state == State::Succeeded, "job {id} was acked and is {:?}", seen.state);
            }
        }
        // What the child held when it died comes back, once its leases have run out, with one attempt fewer.
        let held = jobs.scan("q", State::InProgress, None, 1_000).await.expect("a scan");
        let is_left = |at: Option<Timestamp>| at.is_some_and(|at| at > later.now());
        assert!(held.iter().all(|job| is_left(job.lease_until)));
        later.advance(LEASE_MS);
        assert_eq!(jobs.expire_claims().await.expect("an answer"), held.len() as u64);
        for job in held {
            let seen = jobs.lookup(&[job.id]).await.expect("a look-up").remove(0).expect("a job");
            assert_eq!((seen.state, seen.attempts_made), (State::Pending, job.attempts_made + 1));
        }
        assert_eq!(jobs.check().await.expect("a check"), [""; 0]);
        jobs.close().await;
    }
    assert!(told.acked.is_subset(&told.claimed));
    assert!(told.acked.len() >= 60);
}
