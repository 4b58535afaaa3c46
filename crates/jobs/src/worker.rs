//! Workers: pools that run the jobs of queues.
//!
//! ```text
//! pool of a queue:  ┌▶ dequeue (free places, acks of what has ended) ─▶ one task per job ─┐
//!                   └── wait: a job ends · work is due · shutdown ◀──────────────────────┘
//! task of a job:    handler │ lease kept up every third of it │ no progress for too long: failed │ claim lost: dropped
//! drain:            no more claims ─▶ handlers hear `cancelled` ─▶ after the patience the rest is given back, pending
//! ```
//!
//! Invariants: every claimed job ends in an ack, is given back, or loses its lease; a pool never runs more jobs than its
//! concurrency; a pool without work does nothing at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::Backoff;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument;

use crate::context::{Handler, JobContext, JobError};
use crate::job::{Ack, Checkpoint, Job, Outcome};
use crate::jobs::Jobs;
use crate::limits::{
    CONCURRENCY_MAX, DRAIN_PATIENCE, LAST_ACKS_TRIES, WORKER_LEASE_MS, WORKER_RETRY_FIRST, WORKER_RETRY_MAX, WORKER_RUN_MAX,
};
use crate::metrics as names;

/// How a pool runs the jobs of its queue.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    /// Jobs at once.
    pub concurrency: usize,
    /// How long after the death of this process its jobs are tried again, in milliseconds.
    pub lease_ms: i64,
    /// How long a job may run without progress.
    pub run_max: Duration,
}

impl PoolOptions {
    /// The usual times with a concurrency.
    pub fn new(concurrency: usize) -> PoolOptions {
        PoolOptions { concurrency: concurrency.clamp(1, CONCURRENCY_MAX), lease_ms: WORKER_LEASE_MS, run_max: WORKER_RUN_MAX }
    }
}

/// Hears of every run that failed.
type FailureListener = Arc<dyn Fn(&Job, &JobError) + Send + Sync>;

/// Runs the jobs of some queues.
#[derive(Clone)]
pub struct Worker {
    jobs: Jobs,
    name: String,
    drain_patience: Duration,
    on_failure: Option<FailureListener>,
    pools: Vec<(String, PoolOptions, Arc<dyn Handler>)>,
}

impl Worker {
    /// Makes a worker without queues. The name stands with every job that it claims.
    pub fn new(jobs: Jobs, name: impl Into<String>) -> Worker {
        Worker { jobs, name: name.into(), drain_patience: DRAIN_PATIENCE, on_failure: None, pools: Vec::new() }
    }

    /// Adds a queue, of which up to `concurrency` jobs run at once.
    pub fn queue(self, queue: impl Into<String>, concurrency: usize, handler: Arc<dyn Handler>) -> Worker {
        self.queue_with(queue, PoolOptions::new(concurrency), handler)
    }

    /// Adds a queue with other times than the usual.
    pub fn queue_with(mut self, queue: impl Into<String>, options: PoolOptions, handler: Arc<dyn Handler>) -> Worker {
        let concurrency = options.concurrency.clamp(1, CONCURRENCY_MAX);
        self.pools.push((queue.into(), PoolOptions { concurrency, ..options }, handler));
        self
    }

    /// Changes how long running jobs may go on after shutdown.
    pub fn drain_patience(self, drain_patience: Duration) -> Worker {
        Worker { drain_patience, ..self }
    }

    /// Calls `listener` for every run that failed, the last attempt or not (`Job::attempts_left` tells). It must not block.
    pub fn on_failure(self, listener: impl Fn(&Job, &JobError) + Send + Sync + 'static) -> Worker {
        Worker { on_failure: Some(Arc::new(listener)), ..self }
    }

    /// Runs until `shutdown` is true (or its sender gone) and everything has ended or is given back. When this future is
    /// dropped instead, handlers stop where they are and their leases run out.
    pub async fn run(&self, shutdown: watch::Receiver<bool>) {
        let mut pools = JoinSet::new();
        for (queue, options, handler) in &self.pools {
            let pool = Pool {
                jobs: self.jobs.clone(),
                worker: self.name.clone(),
                queue: queue.clone(),
                options: *options,
                handler: Arc::clone(handler),
                on_failure: self.on_failure.clone(),
                drain_patience: self.drain_patience,
                draining: watch::Sender::new(false),
                give_back: watch::Sender::new(false),
                running: JoinSet::new(),
                acks: Vec::new(),
            };
            pools.spawn(pool.run(shutdown.clone()));
        }
        while let Some(ended) = pools.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a pool of jobs ended badly; its jobs' leases run out");
            }
        }
    }
}

/// What a job's task leaves behind: an ack, or nothing when the job was given back or lost.
type Ended = Option<Ack>;

struct Pool {
    jobs: Jobs,
    worker: String,
    queue: String,
    options: PoolOptions,
    handler: Arc<dyn Handler>,
    on_failure: Option<FailureListener>,
    drain_patience: Duration,
    draining: watch::Sender<bool>,
    give_back: watch::Sender<bool>,
    running: JoinSet<Ended>,
    acks: Vec<Ack>,
}

impl Pool {
    async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(WORKER_RETRY_FIRST, WORKER_RETRY_MAX);
        let mut is_away = false;
        while !*shutdown.borrow_and_update() {
            self.gather();
            let free = self.options.concurrency - self.running.len();
            let dequeued = self.jobs.dequeue(&self.queue, &self.worker, free, self.options.lease_ms, self.acks.clone()).await;
            match dequeued {
                Ok(claimed) => {
                    self.acks.clear();
                    backoff.reset();
                    is_away = false;
                    claimed.into_iter().for_each(|job| self.start(job));
                }
                Err(error) => {
                    if !is_away {
                        tracing::warn!(queue = self.queue, %error, "jobs can't be claimed; trying again");
                        is_away = true;
                    }
                    let delay = backoff.next_delay();
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        changed = shutdown.changed() => if changed.is_err() { break },
                    }
                    continue;
                }
            }
            tokio::select! {
                ended = self.running.join_next(), if !self.running.is_empty() => self.ended(ended),
                () = self.jobs.wait_for_work(&self.queue), if self.running.len() < self.options.concurrency => {}
                changed = shutdown.changed() => if changed.is_err() { break },
            }
        }
        self.drain().await;
    }

    /// Starts a claimed job in a task of its own.
    fn start(&mut self, job: Job) {
        let context = JobContext::new(self.jobs.clone(), &job, self.options.lease_ms, self.draining.subscribe());
        let run = Run {
            jobs: self.jobs.clone(),
            job,
            context,
            options: self.options,
            handler: Arc::clone(&self.handler),
            on_failure: self.on_failure.clone(),
            give_back: self.give_back.subscribe(),
        };
        self.running.spawn(run.run());
    }

    /// Takes the acks of all jobs that have ended by now, so that they go in one write.
    fn gather(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.ended(Some(ended));
        }
    }

    fn ended(&mut self, ended: Option<std::result::Result<Ended, tokio::task::JoinError>>) {
        match ended {
            Some(Ok(Some(ack))) => self.acks.push(ack),
            Some(Ok(None)) | None => {}
            Some(Err(error)) => tracing::error!(%error, queue = self.queue, "the task of a job ended badly; its lease runs out"),
        }
    }

    async fn drain(mut self) {
        self.draining.send_replace(true);
        let deadline = tokio::time::Instant::now() + self.drain_patience;
        loop {
            self.gather();
            self.send_acks(1).await;
            if self.running.is_empty() {
                break;
            }
            let ended = tokio::select! {
                ended = self.running.join_next() => ended,
                () = tokio::time::sleep_until(deadline), if !*self.give_back.borrow() => {
                    tracing::info!(queue = self.queue, count = self.running.len(), "giving back jobs that did not end in time");
                    self.give_back.send_replace(true);
                    continue;
                }
            };
            self.ended(ended);
        }
        self.send_acks(LAST_ACKS_TRIES).await;
    }

    /// Tells what became of jobs. What can't be told stays for the next time.
    async fn send_acks(&mut self, tries: u32) {
        let mut backoff = Backoff::new(WORKER_RETRY_FIRST, WORKER_RETRY_MAX);
        for attempt in 1..=tries {
            if self.acks.is_empty() {
                return;
            }
            match self.jobs.ack(self.acks.clone()).await {
                Ok(_) => self.acks.clear(),
                Err(error) if attempt == tries => {
                    tracing::warn!(%error, queue = self.queue, count = self.acks.len(), "what became of jobs could not be told; they may run again");
                }
                Err(_) => tokio::time::sleep(backoff.next_delay()).await,
            }
        }
    }
}

/// One run of a job.
struct Run {
    jobs: Jobs,
    job: Job,
    context: JobContext,
    options: PoolOptions,
    handler: Arc<dyn Handler>,
    on_failure: Option<FailureListener>,
    give_back: watch::Receiver<bool>,
}

/// How a run ended.
enum End {
    Succeeded,
    Failed(&'static str, JobError),
    GivenBack,
    /// The claim has ended: the job is somebody else's, or gone.
    Lost,
}

/// Ends the handler's task with the run that watches over it.
struct Task(JoinHandle<std::result::Result<(), JobError>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Run {
    async fn run(mut self) -> Ended {
        let started = Instant::now();
        let end = self.watch_over().await;
        metrics::histogram!(names::RUN_SECONDS, "queue" => self.job.queue.clone()).record(started.elapsed());
        let label = match &end {
            End::Succeeded => "succeeded",
            End::Failed(label, _) => *label,
            End::GivenBack => "given_back",
            End::Lost => "lost",
        };
        metrics::counter!(names::RUNS_TOTAL, "queue" => self.job.queue.clone(), "outcome" => label).increment(1);
        let outcome = match end {
            End::Succeeded => Some(Outcome::Succeeded),
            End::Failed(_, error) => Some(self.failed(error)),
            End::GivenBack => {
                self.hand_back().await;
                None
            }
            End::Lost => {
                tracing::warn!(job.id = self.job.id.0, job.queue = self.job.queue, "a job was taken back while it ran");
                None
            }
        };
        outcome.map(|outcome| Ack::new(&self.job, outcome))
    }

    /// Runs the handler, keeps the lease up and ends the handler when it must not go on.
    async fn watch_over(&mut self) -> End {
        let lease = Duration::from_millis(self.options.lease_ms.max(1) as u64);
        let (handler, job, context) = (Arc::clone(&self.handler), self.job.clone(), self.context.clone());
        let span = tracing::info_span!("jobs.run", job.id = job.id.0, job.queue = job.queue);
        let mut task = Task(tokio::spawn(async move { handler.run(&job, &context).await }.instrument(span)));
        let mut give_back = self.give_back.clone();
        loop {
            let too_long_at = self.context.progress_at() + self.options.run_max;
            tokio::select! {
                ended = &mut task.0 => return self.judge(ended),
                () = tokio::time::sleep(lease / 3) => {
                    match self.jobs.heartbeat(self.job.id, &self.job.claim, self.options.lease_ms).await {
                        Ok(true) => {}
                        Ok(false) => {
                            self.context.set_lost();
                            return End::Lost;
                        }
                        // Two more tries fit into the lease.
                        Err(error) => tracing::warn!(%error, job.id = self.job.id.0, "a job's lease could not be extended"),
                    }
                }
                () = tokio::time::sleep_until(too_long_at.into()) => {
                    if self.context.progress_at() + self.options.run_max <= Instant::now() {
                        let seconds = self.options.run_max.as_secs_f64();
                        return End::Failed("too_long", JobError::Retry(format!("The job showed no progress for {seconds} s and was ended.")));
                    }
                }
                () = until_true(&mut give_back) => return End::GivenBack,
            }
        }
    }

    fn judge(&self, ended: std::result::Result<std::result::Result<(), JobError>, tokio::task::JoinError>) -> End {
        match ended {
            Ok(Ok(())) => End::Succeeded,
            Ok(Err(JobError::Retry(_))) if self.context.cancelled() => End::GivenBack,
            Ok(Err(error)) if error.is_permanent() => End::Failed("failed_permanently", error),
            Ok(Err(error)) => End::Failed("failed", error),
            Err(error) => End::Failed("panicked", JobError::Retry(format!("The handler panicked: {}", panic_message(error)))),
        }
    }

    /// Says that a run failed, once, and turns the failure into what the queue is told.
    fn failed(&self, error: JobError) -> Outcome {
        let (id, queue, attempts_left) = (self.job.id.0, &self.job.queue, self.job.attempts_left.saturating_sub(1));
        tracing::warn!(job.id = id, job.queue = queue, attempts_left, %error, "a job failed");
        if let Some(listener) = &self.on_failure {
            listener(&self.job, &error);
        }
        match error {
            JobError::Retry(message) => Outcome::Failed { message, retry_after_ms: None },
            JobError::Permanent(message) => Outcome::FailedPermanently { message },
        }
    }

    async fn hand_back(&self) {
        let checkpoint = Checkpoint { run_after: Some(self.jobs.now()), ..Checkpoint::default() };
        if let Err(error) = self.jobs.checkpoint(self.job.id, &self.job.claim, checkpoint).await {
            tracing::warn!(%error, job.id = self.job.id.0, "a job could not be given back; its lease runs out");
        }
    }
}

/// Waits for the value, or for the pool to be gone, which ends its runs as well.
async fn until_true(receiver: &mut watch::Receiver<bool>) {
    let _ = receiver.wait_for(|value| *value).await;
}

fn panic_message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(message), _) => (*message).to_owned(),
            (_, Some(message)) => message.clone(),
            _ => "no message".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}
