//! Workers: everything that can become of a running job, over an engine that fails too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use runtime::SystemClock;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::{
    Engine, Faulty, Handler, Job, JobContext, JobError, JobId, JobSnapshot, Jobs, NewJob, PoolOptions, SqliteEngine, State, Worker,
};

/// Does what a job's payload says, and remembers it.
#[derive(Default)]
struct Script {
    runs: Mutex<BTreeMap<JobId, Vec<String>>>,
    at_once: AtomicUsize,
    at_once_most: AtomicUsize,
    started: Notify,
    go: Notify,
}

#[async_trait]
impl Handler for Script {
    async fn run(&self, job: &Job, context: &JobContext) -> Result<(), JobError> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_most.fetch_max(at_once, Ordering::SeqCst);
        let ended = self.act(job, context).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        ended
    }
}

impl Script {
    async fn act(&self, job: &Job, context: &JobContext) -> Result<(), JobError> {
        let payload: String = job.decode()?;
        let run = {
            let mut runs = self.runs.lock();
            let runs = runs.entry(job.id).or_default();
            runs.push(payload.clone());
            runs.len()
        };
        self.started.notify_one();
        match payload.as_str() {
            "retry" => Err(JobError::retry("not now")),
            "never" => Err(JobError::permanent("never")),
            "panic" => panic!("on purpose"),
            "yield" => {
                tokio::task::yield_now().await;
                Ok(())
            }
            "hang" => std::future::pending().await,
            "until cancelled" => {
                context.until_cancelled().await;
                assert!(context.cancelled());
                Err(JobError::retry("asked to end"))
            }
            "in two steps" => {
                context.status("half done").await?;
                context.checkpoint(json!("second step")).await?;
                assert_eq!(run, 1);
                Err(JobError::retry("the first step is done"))
            }
            "wait" => {
                self.go.notified().await;
                context.heartbeat().await
            }
            _ => Ok(()),
        }
    }

    fn runs_of(&self, id: JobId) -> usize {
        self.runs.lock().get(&id).map_or(0, Vec::len)
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    engine: Arc<Faulty>,
    jobs: Jobs,
    script: Arc<Script>,
    shutdown: watch::Sender<bool>,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Arc::new(Faulty::seeded(Arc::new(SqliteEngine::open(&folder.path().join("jobs.db")).expect("an engine")), 1, 0));
    let jobs = Jobs::with_engine(engine.clone(), SystemClock::shared());
    Bench { _folder: folder, engine, jobs, script: Arc::default(), shutdown: watch::Sender::new(false) }
}

impl Bench {
    fn worker(&self, options: PoolOptions) -> Worker {
        Worker::new(self.jobs.clone(), "w").queue_with("q", options, self.script.clone())
    }

    fn start(&self, worker: Worker) -> JoinHandle<()> {
        let shutdown = self.shutdown.subscribe();
        tokio::spawn(async move { worker.run(shutdown).await })
    }

    async fn enqueue(&self, payload: &str, attempts: u32) -> JobId {
        self.jobs.enqueue("q", vec![NewJob::new(json!(payload)).attempts(attempts)]).await.expect("an enqueue")[0]
    }

    async fn look(&self, id: JobId) -> JobSnapshot {
        self.jobs.lookup(&[id]).await.expect("a look-up").remove(0).expect("a job")
    }

    /// Waits until a job is as wanted.
    async fn until(&self, id: JobId, is_wanted: impl Fn(&JobSnapshot) -> bool) -> JobSnapshot {
        let mut written = self.jobs.watch();
        loop {
            written.borrow_and_update();
            let seen = self.look(id).await;
            if is_wanted(&seen) {
                return seen;
            }
            written.changed().await.expect("a change");
        }
    }

    async fn stop(&self, worker: JoinHandle<()>) {
        self.shutdown.send_replace(true);
        worker.await.expect("a worker");
    }
}

#[tokio::test]
async fn every_ending_is_told_to_the_queue() {
    let bench = bench();
    let failures: Arc<Mutex<Vec<(JobId, bool)>>> = Arc::default();
    let heard = failures.clone();
    let listener = move |job: &Job, error: &JobError| heard.lock().push((job.id, error.is_permanent()));
    let worker = bench.start(bench.worker(PoolOptions::new(2)).on_failure(listener));
    let (fine, last, never, panics) =
        (bench.enqueue("fine", 1).await, bench.enqueue("retry", 1).await, bench.enqueue("never", 5).await, bench.enqueue("panic", 1).await);
    let unreadable = bench.jobs.enqueue("q", vec![NewJob::new(json!({ "not": "text" }))]).await.expect("an enqueue")[0];
    bench.jobs.idle().await.expect("an end");
    assert_eq!(bench.look(fine).await.state, State::Succeeded);
    for (id, message) in [(last, "not now"), (never, "never"), (panics, "on purpose"), (unreadable, "payload")] {
        let seen = bench.look(id).await;
        assert_eq!(seen.state, State::Failed);
        assert!(seen.message.as_deref().is_some_and(|said| said.contains(message)), "{seen:?}");
    }
    let mut failures = failures.lock().clone();
    failures.sort();
    assert_eq!(failures, [(last, false), (never, true), (panics, false), (unreadable, true)]);
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_failure_comes_back_later_and_goes_on_from_its_checkpoint() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions::new(1)));
    let id = bench.enqueue("in two steps", 3).await;
    let seen = bench.until(id, |seen| seen.attempts_made == 1).await;
    assert_eq!((seen.state, seen.custom_status.as_deref(), seen.payload), (State::Pending, Some("half done"), json!("second step")));
    // The back-off after the first failure is at most a second.
    bench.until(id, |seen| seen.state == State::Succeeded).await;
    assert_eq!(bench.script.runs.lock()[&id], ["in two steps", "second step"]);
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_pool_runs_as_many_at_once_as_it_may() {
    let bench = bench();
    let jobs = (0..60).map(|_| NewJob::new(json!("yield"))).collect();
    bench.jobs.enqueue("q", jobs).await.expect("an enqueue");
    let worker = bench.start(bench.worker(PoolOptions::new(4)));
    bench.jobs.idle().await.expect("an end");
    assert_eq!(bench.jobs.count("q", State::Succeeded, None).await.expect("a count"), 60);
    assert_eq!(bench.script.at_once_most.load(Ordering::SeqCst), 4);
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_worker_without_work_asks_nothing_of_the_engine() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions::new(2)));
    let id = bench.enqueue("fine", 1).await;
    bench.until(id, |seen| seen.state == State::Succeeded).await;
    // The notices of the last writes die away; then a whole while passes without one call. Polling would never let it pass.
    let mut is_quiet = false;
    for _ in 0..20 {
        let calls = bench.engine.calls_count();
        tokio::time::timeout(Duration::from_millis(500), std::future::pending::<()>()).await.expect_err("time passes");
        is_quiet = bench.engine.calls_count() == calls;
        if is_quiet {
            break;
        }
    }
    assert!(is_quiet);
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions { lease_ms: 90, ..PoolOptions::new(1) }));
    let id = bench.enqueue("wait", 1).await;
    bench.script.started.notified().await;
    let first = bench.look(id).await.lease_until;
    bench.until(id, |seen| seen.lease_until > first.map(|at| at.plus(150))).await;
    bench.script.go.notify_one();
    let seen = bench.until(id, |seen| seen.state.is_finished()).await;
    assert_eq!((seen.state, seen.attempts_made), (State::Succeeded, 0));
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_job_without_progress_fails() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions { run_max: Duration::from_millis(50), ..PoolOptions::new(1) }));
    let id = bench.enqueue("hang", 1).await;
    let seen = bench.until(id, |seen| seen.state == State::Failed).await;
    assert!(seen.message.is_some_and(|message| message.contains("no progress")));
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_deleted_job_is_ended() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions { lease_ms: 60, ..PoolOptions::new(1) }));
    let id = bench.enqueue("hang", 1).await;
    bench.script.started.notified().await;
    bench.jobs.delete(&[id]).await.expect("a deletion");
    // The only place becomes free.
    let next = bench.enqueue("fine", 1).await;
    bench.until(next, |seen| seen.state == State::Succeeded).await;
    bench.stop(worker).await;
}

#[tokio::test]
async fn a_drain_waits_and_gives_back_the_rest() {
    let bench = bench();
    let options = PoolOptions::new(3);
    let worker = bench.start(bench.worker(options).drain_patience(Duration::from_millis(100)));
    let (polite, stubborn, ends) =
        (bench.enqueue("until cancelled", 1).await, bench.enqueue("hang", 1).await, bench.enqueue("wait", 1).await);
    let waits = bench.enqueue("fine", 1).await;
    for id in [polite, stubborn, ends] {
        bench.until(id, |seen| seen.state == State::InProgress).await;
    }
    while bench.script.at_once.load(Ordering::SeqCst) < 3 {
        bench.script.started.notified().await;
    }
    bench.script.go.notify_one();
    bench.stop(worker).await;
    assert_eq!(bench.look(ends).await.state, State::Succeeded);
    for id in [polite, stubborn] {
        let seen = bench.look(id).await;
        assert_eq!((seen.state, seen.attempts_made), (State::Pending, 0));
    }
    assert!(matches!(bench.look(waits).await.state, State::Pending | State::Succeeded));
}

#[tokio::test]
async fn a_dead_worker_s_jobs_come_back() {
    let bench = bench();
    let worker = bench.start(bench.worker(PoolOptions { lease_ms: 200, ..PoolOptions::new(1) }));
    let id = bench.enqueue("hang", 2).await;
    bench.script.started.notified().await;
    // As in a crash: nothing is given back.
    worker.abort();
    assert!(worker.await.expect_err("an abort").is_cancelled());
    let second = bench.start(bench.worker(PoolOptions::new(1)));
    bench.script.started.notified().await;
    assert_eq!(bench.script.runs_of(id), 2);
    assert_eq!(bench.look(id).await.attempts_made, 1);
    bench.jobs.delete(&[id]).await.expect("a deletion");
    second.abort();
}

#[tokio::test]
async fn under_random_failures_every_job_is_done() {
    for seed in [1, 7, 2_024] {
        let folder = tempfile::tempdir().expect("a folder");
        let inner: Arc<dyn Engine> = Arc::new(SqliteEngine::open(&folder.path().join("jobs.db")).expect("an engine"));
        let faulty = Arc::new(Faulty::seeded(inner.clone(), seed, 20));
        // Tests look past the failures.
        let (jobs, sure) = (Jobs::with_engine(faulty, SystemClock::shared()), Jobs::with_engine(inner, SystemClock::shared()));
        let script = Arc::new(Script::default());
        let options = PoolOptions { lease_ms: 150, ..PoolOptions::new(8) };
        let worker = Worker::new(jobs, "w").queue_with("q", options, script.clone());
        let new = (0..50).map(|_| NewJob::new(json!("yield")).attempts(100)).collect();
        let ids = sure.enqueue("q", new).await.expect("an enqueue");
        let (shutdown, stopped) = watch::channel(false);
        let worker = tokio::spawn(async move { worker.run(stopped).await });
        sure.idle().await.expect("an end");
        shutdown.send_replace(true);
        worker.await.expect("a worker");
        assert_eq!(sure.count("q", State::Succeeded, None).await.expect("a count"), 50, "seed {seed}");
        assert!(ids.iter().all(|id| script.runs_of(*id) >= 1), "seed {seed}");
        assert_eq!(sure.check().await.expect("a check"), [""; 0], "seed {seed}");
    }
}
