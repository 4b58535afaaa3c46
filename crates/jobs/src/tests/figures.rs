//! What jobs cost. The small input runs in every test run, so that this does not rot; `JOBS_FIGURE_COUNT` makes it a measurement.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use runtime::SystemClock;
use serde_json::json;
use tokio::sync::watch;

use crate::{Handler, Job, JobContext, JobError, Jobs, NewJob, State, Worker};

struct Nothing;

#[async_trait]
impl Handler for Nothing {
    async fn run(&self, _job: &Job, _context: &JobContext) -> Result<(), JobError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_go_through_a_worker() {
    let count = std::env::var("JOBS_FIGURE_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(200_u64);
    let folder = tempfile::tempdir().expect("a folder");
    let jobs = Jobs::open(&format!("sqlite:{}", folder.path().join("jobs.db").display()), SystemClock::shared()).expect("queues");
    let (shutdown, stopped) = watch::channel(false);
    let worker = Worker::new(jobs.clone(), "w").queue("q", 16, Arc::new(Nothing));
    let worker = tokio::spawn(async move { worker.run(stopped).await });

    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for part in 0..8 {
        let jobs = jobs.clone();
        tasks.spawn(async move {
            for number in 0..count / 8 {
                jobs.enqueue("q", vec![NewJob::new(json!({ "part": part, "number": number }))]).await.expect("an enqueue");
            }
        });
    }
    tasks.join_all().await;
    let enqueued = started.elapsed();
    jobs.idle().await.expect("an end");
    let done = started.elapsed();
    assert_eq!(jobs.count("q", State::Succeeded, None).await.expect("a count"), count / 8 * 8);
    eprintln!("{count} jobs: enqueued one by one by 8 tasks in {enqueued:?}, all run in {done:?}");
    shutdown.send_replace(true);
    worker.await.expect("a worker");
}
