//! The front `Jobs`: what callers see. Limits, defaults, deadlines, spans and metrics are here, once, before the port; and the
//! memory of queues where nothing is due, which makes empty polls free.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use parking_lot::Mutex;
use runtime::SharedClock;
use tokio::sync::watch;
use tracing::instrument;

use crate::engine::{ClaimRequest, Engine, EngineStats, JobRow, SqliteEngine};
use crate::error::{Error, Result};
use crate::job::{Ack, Checkpoint, Job, JobId, JobSnapshot, NewJob, Outcome, QueueOptions, QueueStatus, State};
use crate::limits::{
    ACKS_MAX, ATTEMPTS_MAX, COLLECT_JOBS, CUSTOM_STATUS_BYTES_MAX, DEADLINE, DEQUEUE_JOBS_MAX, ENQUEUE_JOBS_MAX, IDEMPOTENCY_KEY_BYTES_MAX,
    IDS_MAX, LEASE_MS_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX, PRIORITY_LOWEST, QUEUE_NAME_BYTES_MAX, RATE_LIMIT_MAX, SCAN_JOBS_MAX,
    SLEEP_MAX, WORKER_NAME_BYTES_MAX,
};
use crate::metrics as names;

/// Durable job queues. Clones share everything.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    clock: SharedClock,
    queues: Mutex<HashMap<String, Watched>>,
}

/// What is remembered of a queue that was polled.
struct Watched {
    changes: watch::Receiver<u64>,
    quiet: Option<Quiet>,
}

/// Nothing could be claimed at change `seen`; nothing can before `next_due` or the next change.
#[derive(Clone, Copy)]
struct Quiet {
    seen: u64,
    next_due: Option<Timestamp>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

impl Jobs {
    /// Opens the queues by their URL, `sqlite:PATH`. Must be called inside a tokio runtime.
    pub fn open(url: &str, clock: SharedClock) -> Result<Jobs> {
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Jobs::with_engine(Arc::new(SqliteEngine::open(Path::new(path))?), clock)),
            _ => Err(Error::Invalid(format!("The job queues' URL is {url:?}; write sqlite: and a file, as in \"sqlite:data/jobs.db\"."))),
        }
    }

    /// Puts the front before an engine.
    pub fn with_engine(engine: Arc<dyn Engine>, clock: SharedClock) -> Jobs {
        Jobs { shared: Arc::new(Shared { engine, clock, queues: Mutex::default() }) }
    }

    /// Returns the time by the clock of these queues.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Creates a queue, or changes the options of the one that is there. Workers follow at once.
    #[instrument(name = "jobs.create_queue", skip(self))]
    pub async fn create_queue(&self, queue: &str, options: QueueOptions) -> Result<()> {
        check_queue(queue)?;
        if let Some(rate) = options.rate_limit_per_second
            && !(0.0..=RATE_LIMIT_MAX).contains(&rate)
        {
            return Err(Error::Invalid(format!("A rate limit of {rate} jobs per second; use 0 (paused) to {RATE_LIMIT_MAX}, or none.")));
        }
        write("create_queue", self.shared.engine.create_queue(queue, options, self.now())).await
    }

    /// Deletes a queue with its finished jobs. `Conflict` while others are in it.
    #[instrument(name = "jobs.delete_queue", skip(self))]
    pub async fn delete_queue(&self, queue: &str) -> Result<()> {
        check_queue(queue)?;
        write("delete_queue", self.shared.engine.delete_queue(queue)).await
    }

    /// Lists all queues by name, with their counts, and sets the depth metrics.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>> {
        let queues = read("queues", self.shared.engine.queues(self.now())).await?;
        for queue in &queues {
            for state in State::ALL {
                metrics::gauge!(names::DEPTH, "queue" => queue.name.clone(), "state" => state.as_str()).set(queue.count(state) as f64);
            }
        }
        Ok(queues)
    }

    /// Puts jobs into a queue, all or none, durably. The queue is made when it is new. Returns one id per job; a job whose
    /// idempotency key is known gives the id of the job that has it.
    #[instrument(name = "jobs.enqueue", skip_all, fields(jobs.queue = queue, jobs.count = jobs.len()))]
    pub async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<JobId>> {
        check_queue(queue)?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        if jobs.len() > ENQUEUE_JOBS_MAX {
            let count = jobs.len();
            return Err(Error::Invalid(format!("{count} jobs in one enqueue; the limit is {ENQUEUE_JOBS_MAX}. Enqueue them in parts.")));
        }
        let rows = jobs.into_iter().map(|job| encode(queue, job)).collect::<Result<Vec<JobRow>>>()?;
        let count = rows.len() as u64;
        let ids = write("enqueue", self.shared.engine.enqueue(queue, rows, self.now())).await?;
        metrics::counter!(names::ENQUEUED_TOTAL, "queue" => queue.to_owned()).increment(count);
        Ok(ids)
    }

    /// In one step: applies `acks`, takes back jobs of the queue whose lease ran out, and claims up to `limit` due jobs for
    /// `lease_ms`, the highest priority first. Empty when nothing is due; then nothing is asked of the engine until that
    /// can have changed.
    #[instrument(name = "jobs.dequeue", level = "debug", skip_all, fields(jobs.queue = queue))]
    pub async fn dequeue(&self, queue: &str, worker: &str, limit: usize, lease_ms: i64, acks: Vec<Ack>) -> Result<Vec<Job>> {
        check_queue(queue)?;
        check_lease(lease_ms)?;
        if worker.is_empty() || worker.len() > WORKER_NAME_BYTES_MAX {
            return Err(Error::Invalid(format!(
                "A worker's name has 1 to {WORKER_NAME_BYTES_MAX} bytes; {worker:?} has {}.",
                worker.len()
            )));
        }
        let acks = checked_acks(acks)?;
        if acks.is_empty() && (limit == 0 || self.quiet_until(queue).is_some()) {
            return Ok(Vec::new());
        }
        let seen = self.seen(queue);
        let request = ClaimRequest { queue: queue.to_owned(), worker: worker.to_owned(), limit: limit.min(DEQUEUE_JOBS_MAX), lease_ms };
        let now = self.now();
        let outcomes: Vec<&'static str> = acks.iter().map(|ack| outcome_label(&ack.outcome)).collect();
        let dequeued = write("dequeue", self.shared.engine.dequeue(request, acks, now)).await?;
        count_acks(&outcomes, &dequeued.accepted);
        if limit > 0 {
            let quiet = dequeued.jobs.is_empty().then_some(Quiet { seen, next_due: dequeued.next_due });
            self.remember(queue, quiet);
        }
        if !dequeued.jobs.is_empty() {
            metrics::counter!(names::CLAIMED_TOTAL, "queue" => queue.to_owned()).increment(dequeued.jobs.len() as u64);
            for job in &dequeued.jobs {
                let waited_ms = now.since(job.run_after).max(0);
                metrics::histogram!(names::WAIT_SECONDS, "queue" => queue.to_owned()).record(waited_ms as f64 / 1_000.0);
            }
        }
        Ok(dequeued.jobs)
    }

    /// Waits until a dequeue of this queue may find something. Costs nothing while it waits. Safe to cancel.
    pub async fn wait_for_work(&self, queue: &str) {
        while let Some((next_due, mut changes)) = self.quiet_until(queue) {
            let sleep = next_due.map(|due| Duration::from_millis(due.since(self.now()).max(1) as u64).min(SLEEP_MAX));
            let timer = async {
                match sleep {
                    Some(sleep) => tokio::time::sleep(sleep).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                changed = changes.changed() => if changed.is_err() {
                    // The engine is closed; the next dequeue says so.
                    return;
                },
            }
        }
    }

    /// Applies acks; each answer tells whether it changed anything. False: the claim had ended before.
    pub async fn ack(&self, acks: Vec<Ack>) -> Result<Vec<bool>> {
        let acks = checked_acks(acks)?;
        if acks.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes: Vec<&'static str> = acks.iter().map(|ack| outcome_label(&ack.outcome)).collect();
        let accepted = write("ack", self.shared.engine.ack(acks, self.now())).await?;
        count_acks(&outcomes, &accepted);
        Ok(accepted)
    }

    /// Changes a claimed job: payload, status, lease, or back to pending. False, and nothing changed, when the claim has ended.
    pub async fn checkpoint(&self, id: JobId, claim: &str, checkpoint: Checkpoint) -> Result<bool> {
        if let Some(payload) = &checkpoint.payload {
            check_payload(&payload.to_string())?;
        }
        if let Some(status) = &checkpoint.custom_status
            && status.len() > CUSTOM_STATUS_BYTES_MAX
        {
            let bytes = status.len();
            return Err(Error::Invalid(format!("A custom status of {bytes} bytes; the limit is {CUSTOM_STATUS_BYTES_MAX}. Shorten it.")));
        }
        if let Some(extend_ms) = checkpoint.extend_ms {
            check_lease(extend_ms)?;
        }
        write("checkpoint", self.shared.engine.checkpoint(id, claim, checkpoint, self.now())).await
    }

    /// Makes a claim last `extend_ms` from now. False when it has ended.
    pub async fn heartbeat(&self, id: JobId, claim: &str, extend_ms: i64) -> Result<bool> {
        self.checkpoint(id, claim, Checkpoint { extend_ms: Some(extend_ms), ..Checkpoint::default() }).await
    }

    /// Looks jobs up, in the order asked for. `None`: never was, collected or deleted.
    pub async fn lookup(&self, ids: &[JobId]) -> Result<Vec<Option<JobSnapshot>>> {
        check_ids(ids)?;
        read("lookup", self.shared.engine.lookup(ids)).await
    }

    /// Counts the jobs of a queue in a state, of one priority or of all. Zero for a queue that is not there.
    pub async fn count(&self, queue: &str, state: State, priority: Option<u8>) -> Result<u64> {
        check_queue(queue)?;
        let queues = read("queues", self.shared.engine.queues(self.now())).await?;
        let counts = queues.into_iter().find(|status| status.name == queue).map(|status| status.counts).unwrap_or_default();
        let is_wanted = |count: &&crate::job::Count| count.state == state && priority.is_none_or(|priority| priority == count.priority);
        Ok(counts.iter().filter(is_wanted).map(|count| count.count).sum())
    }

    /// Lists jobs of a queue in a state by number, behind `cursor`. The last one's id is the next cursor.
    pub async fn scan(&self, queue: &str, state: State, cursor: Option<JobId>, limit: usize) -> Result<Vec<JobSnapshot>> {
        check_queue(queue)?;
        read("scan", self.shared.engine.scan(queue, state, cursor, limit.min(SCAN_JOBS_MAX))).await
    }

    /// Makes all failed jobs of a queue pending, with all their attempts; returns how many.
    #[instrument(name = "jobs.retry_failed", skip(self))]
    pub async fn retry_failed(&self, queue: &str) -> Result<u64> {
        check_queue(queue)?;
        write("retry_failed", self.shared.engine.retry_failed(queue, self.now())).await
    }

    /// Deletes jobs in any state; returns how many were there. A worker that runs one notices at its next heartbeat.
    pub async fn delete(&self, ids: &[JobId]) -> Result<u64> {
        check_ids(ids)?;
        write("delete", self.shared.engine.delete(ids)).await
    }

    /// Takes back the jobs of all queues whose lease ran out; returns how many. Workers do this for their own queues.
    pub async fn expire_claims(&self) -> Result<u64> {
        write("expire_claims", self.shared.engine.expire_claims(self.now())).await
    }

    /// Deletes jobs that were finished more than `retention_ms` ago; returns how many.
    #[instrument(name = "jobs.collect", skip(self))]
    pub async fn collect(&self, retention_ms: i64) -> Result<u64> {
        if retention_ms < 0 {
            return Err(Error::Invalid(format!("A retention of {retention_ms} ms; use 0 or more.")));
        }
        let finished_before = self.now().plus(-retention_ms);
        let mut collected = 0;
        loop {
            let went = write("collect", self.shared.engine.collect(finished_before, COLLECT_JOBS)).await?;
            collected += went;
            if went < COLLECT_JOBS as u64 {
                return Ok(collected);
            }
        }
    }

    /// Waits until no job is in progress, and none is pending and due except in paused queues.
    pub async fn idle(&self) -> Result<()> {
        let mut written = self.shared.engine.watch();
        loop {
            written.borrow_and_update();
            if !read("is_busy", self.shared.engine.is_busy(self.now())).await? {
                return Ok(());
            }
            if written.changed().await.is_err() {
                return Err(Error::Unavailable("the job queues were closed".to_owned()));
            }
        }
    }

    /// Compares the counts with the jobs; returns what does not agree. Reads every job.
    pub async fn check(&self) -> Result<Vec<String>> {
        read("check", self.shared.engine.check()).await
    }

    /// Returns a watch that changes after anything was written. It may change for nothing.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.engine.watch()
    }

    /// Returns what the engine takes on disk.
    pub async fn stats(&self) -> Result<EngineStats> {
        read("stats", self.shared.engine.stats()).await
    }

    /// Settles everything on disk. Calls on any clone fail after this.
    pub async fn close(&self) {
        self.shared.engine.close().await;
    }

    /// Returns the last change of a queue that was seen, from before whatever is read next.
    fn seen(&self, queue: &str) -> u64 {
        let mut queues = self.shared.queues.lock();
        if let Some(watched) = queues.get(queue) {
            return *watched.changes.borrow();
        }
        let changes = self.shared.engine.watch_queue(queue);
        let seen = *changes.borrow();
        queues.insert(queue.to_owned(), Watched { changes, quiet: None });
        seen
    }

    fn remember(&self, queue: &str, quiet: Option<Quiet>) {
        if let Some(watched) = self.shared.queues.lock().get_mut(queue) {
            watched.quiet = quiet;
        }
    }

    /// Returns until when a queue is quiet, and who tells that it no longer is. `None`: look.
    fn quiet_until(&self, queue: &str) -> Option<(Option<Timestamp>, watch::Receiver<u64>)> {
        let queues = self.shared.queues.lock();
        let watched = queues.get(queue)?;
        let quiet = watched.quiet?;
        let mut changes = watched.changes.clone();
        if *changes.borrow_and_update() != quiet.seen || changes.has_changed().is_err() {
            return None;
        }
        match quiet.next_due {
            Some(due) if due <= self.now() => None,
            next_due => Some((next_due, changes)),
        }
    }
}

async fn read<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let missing = || Error::Unavailable(format!("no answer to {name} within {} s", DEADLINE.as_secs()));
    measured(name, async { tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(missing())) }).await
}

async fn write<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let missing = || Error::Unknown(format!("no answer to {name} within {} s", DEADLINE.as_secs()));
    measured(name, async { tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(missing())) }).await
}

async fn measured<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    let answer = work.await;
    metrics::histogram!(names::CALL_SECONDS, "call" => name).record(started.elapsed());
    if answer.is_err() {
        metrics::counter!(names::FAILURES_TOTAL, "call" => name).increment(1);
    }
    answer
}

fn outcome_label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::FailedPermanently { .. } => "failed_permanently",
    }
}

fn count_acks(outcomes: &[&'static str], accepted: &[bool]) {
    for (outcome, accepted) in outcomes.iter().zip(accepted) {
        if *accepted {
            metrics::counter!(names::ACKED_TOTAL, "outcome" => *outcome).increment(1);
        } else {
            metrics::counter!(names::LATE_ACKS_TOTAL).increment(1);
        }
    }
}

fn encode(queue: &str, job: NewJob) -> Result<JobRow> {
    let NewJob { payload, priority, run_after, attempts, idempotency_key } = job;
    if !(1..=PRIORITY_LOWEST).contains(&priority) {
        return Err(Error::Invalid(format!("Priority {priority} for a job of {queue}; use 1 (highest) to {PRIORITY_LOWEST}.")));
    }
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        return Err(Error::Invalid(format!("{attempts} attempts for a job of {queue}; use 1 to {ATTEMPTS_MAX}.")));
    }
    if let Some(key) = &idempotency_key
        && (key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX)
    {
        let bytes = key.len();
        return Err(Error::Invalid(format!("An idempotency key of {bytes} bytes; use 1 to {IDEMPOTENCY_KEY_BYTES_MAX}.")));
    }
    let payload = payload.to_string();
    check_payload(&payload)?;
    Ok(JobRow { payload, priority, run_after, attempts, idempotency_key })
}

fn check_payload(json: &str) -> Result<()> {
    let bytes = json.len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Error::Invalid(format!(
            "A payload of {bytes} bytes; the limit is {PAYLOAD_BYTES_MAX}. Name things instead of carrying them."
        )));
    }
    Ok(())
}

fn check_queue(queue: &str) -> Result<()> {
    let is_plain = queue.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if queue.is_empty() || queue.len() > QUEUE_NAME_BYTES_MAX || !is_plain {
        return Err(Error::Invalid(format!("{queue:?} is no queue; use 1 to {QUEUE_NAME_BYTES_MAX} letters, digits, '-', '_' and '.'.")));
    }
    Ok(())
}

fn check_lease(lease_ms: i64) -> Result<()> {
    if !(1..=LEASE_MS_MAX).contains(&lease_ms) {
        return Err(Error::Invalid(format!("A lease of {lease_ms} ms; use 1 to {LEASE_MS_MAX}.")));
    }
    Ok(())
}

fn check_ids(ids: &[JobId]) -> Result<()> {
    if ids.len() > IDS_MAX {
        return Err(Error::Invalid(format!("{} jobs in one call; the limit is {IDS_MAX}. Ask in parts.", ids.len())));
    }
    Ok(())
}

/// Refuses too many acks, and cuts failure messages that are too long: a failure must not fail.
fn checked_acks(mut acks: Vec<Ack>) -> Result<Vec<Ack>> {
    if acks.len() > ACKS_MAX {
        return Err(Error::Invalid(format!("{} acks in one call; the limit is {ACKS_MAX}. Send them in parts.", acks.len())));
    }
    for ack in &mut acks {
        match &mut ack.outcome {
            Outcome::Succeeded => {}
            Outcome::Failed { message, .. } | Outcome::FailedPermanently { message } => {
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            }
        }
    }
    Ok(acks)
}
