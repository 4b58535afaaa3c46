//! The front: what it refuses, and what empty polls cost.

use std::sync::Arc;

use model::time::ManualClock;
use model::{Clock, Timestamp};
use serde_json::json;

use crate::{Ack, Error, Faulty, Job, JobId, Jobs, NewJob, Outcome, QueueOptions, SqliteEngine, State};

struct Bench {
    _folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    engine: Arc<Faulty>,
    jobs: Jobs,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let engine = Arc::new(Faulty::new(Arc::new(SqliteEngine::open(&folder.path().join("jobs.db")).expect("an engine"))));
    let jobs = Jobs::with_engine(engine.clone(), clock.clone());
    Bench { _folder: folder, clock, engine, jobs }
}

impl Bench {
    async fn poll(&self) -> Vec<Job> {
        self.jobs.dequeue("q", "w", 10, 1_000, Vec::new()).await.expect("a dequeue")
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let Bench { jobs, clock, .. } = &bench();
    let is_invalid = |answer: crate::Result<Vec<JobId>>| matches!(answer, Err(Error::Invalid(_)));
    assert!(is_invalid(jobs.enqueue("a b", vec![NewJob::new(json!(1))]).await));
    assert!(is_invalid(jobs.enqueue("", vec![NewJob::new(json!(1))]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!(1)).priority(0)]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!(1)).priority(10)]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!(1)).attempts(0)]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!(1)).idempotency_key("")]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!("x".repeat(crate::PAYLOAD_BYTES_MAX)))]).await));
    assert!(is_invalid(jobs.enqueue("q", vec![NewJob::new(json!(1)); crate::ENQUEUE_JOBS_MAX + 1]).await));
    assert!(matches!(jobs.dequeue("q", "", 1, 1_000, Vec::new()).await, Err(Error::Invalid(_))));
    assert!(matches!(jobs.dequeue("q", "w", 1, 0, Vec::new()).await, Err(Error::Invalid(_))));
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        let options = QueueOptions { rate_limit_per_second: Some(rate) };
        assert!(matches!(jobs.create_queue("q", options).await, Err(Error::Invalid(_))));
    }
    assert!(matches!(Jobs::open("mysql://x", clock.clone()), Err(Error::Invalid(why)) if why.contains("sqlite:")));
    assert_eq!(jobs.queues().await.expect("queues"), []);
}

#[tokio::test]
async fn empty_polls_cost_the_engine_nothing() {
    let bench = bench();
    assert_eq!(bench.poll().await, []);
    let calls = bench.engine.calls_count();
    for _ in 0..100 {
        assert_eq!(bench.poll().await, []);
    }
    assert_eq!(bench.engine.calls_count(), calls);
    bench.jobs.enqueue("q", vec![NewJob::new(json!("a"))]).await.expect("an enqueue");
    assert_eq!(bench.poll().await.len(), 1);
}

#[tokio::test]
async fn a_quiet_queue_is_looked_at_when_something_is_due() {
    let bench = bench();
    let run_after = bench.clock.now().plus(500);
    bench.jobs.enqueue("q", vec![NewJob::new(json!("a")).run_after(run_after)]).await.expect("an enqueue");
    assert_eq!(bench.poll().await, []);
    bench.clock.advance(499);
    assert_eq!(bench.poll().await, []);
    bench.clock.advance(1);
    assert_eq!(bench.poll().await.len(), 1);
    // The lease of what was just claimed.
    assert_eq!(bench.poll().await, []);
    bench.clock.advance(1_000);
    assert_eq!(bench.poll().await[0].attempts_made, 1);
}

#[tokio::test]
async fn waiting_ends_with_an_enqueue() {
    let bench = bench();
    assert_eq!(bench.poll().await, []);
    let jobs = bench.jobs.clone();
    let waiting = tokio::spawn(async move { jobs.wait_for_work("q").await });
    bench.jobs.enqueue("other", vec![NewJob::new(json!("a"))]).await.expect("an enqueue");
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    bench.jobs.enqueue("q", vec![NewJob::new(json!("a"))]).await.expect("an enqueue");
    waiting.await.expect("a task");
    assert_eq!(bench.poll().await.len(), 1);
}

#[tokio::test]
async fn counts_are_by_state_and_priority() {
    let bench = bench();
    let jobs = vec![NewJob::new(json!(1)), NewJob::new(json!(2)).priority(1), NewJob::new(json!(3)).priority(1)];
    bench.jobs.enqueue("q", jobs).await.expect("an enqueue");
    assert_eq!(bench.jobs.count("q", State::Pending, None).await.expect("a count"), 3);
    assert_eq!(bench.jobs.count("q", State::Pending, Some(1)).await.expect("a count"), 2);
    assert_eq!(bench.jobs.count("q", State::Failed, None).await.expect("a count"), 0);
    assert_eq!(bench.jobs.count("nowhere", State::Pending, None).await.expect("a count"), 0);
}

#[tokio::test]
async fn long_messages_are_cut_and_collection_goes_by_age() {
    let bench = bench();
    let id = bench.jobs.enqueue("q", vec![NewJob::new(json!(1)).attempts(1)]).await.expect("an enqueue")[0];
    let job = bench.poll().await.remove(0);
    let message = "ä".repeat(crate::limits::MESSAGE_BYTES_MAX);
    let outcome = Outcome::Failed { message, retry_after_ms: None };
    assert_eq!(bench.jobs.ack(vec![Ack::new(&job, outcome)]).await.expect("an ack"), [true]);
    let seen = bench.jobs.lookup(&[id]).await.expect("a look-up").remove(0).expect("a job");
    assert_eq!(seen.message.map(|message| message.len()), Some(crate::limits::MESSAGE_BYTES_MAX));
    bench.clock.advance(1_000);
    assert_eq!(bench.jobs.collect(1_000).await.expect("an answer"), 0);
    assert_eq!(bench.jobs.collect(999).await.expect("an answer"), 1);
    assert!(matches!(bench.jobs.collect(-1).await, Err(Error::Invalid(_))));
}
