//! What every engine must do: one list of tests, one line per engine to run it.

use std::path::Path;
use std::sync::Arc;

use model::Timestamp;

use crate::engine::{ClaimRequest, Dequeued, Engine, Fault, Faulty, JobRow, SqliteEngine};
use crate::error::Error;
use crate::job::{Ack, Checkpoint, Job, JobId, JobSnapshot, Outcome, QueueOptions, State};
use crate::state::backoff_ms;

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = super::open(folder.path());
            super::$test(engine.clone()).await;
            super::counts_are_right(&engine).await;
        })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            let engine: std::sync::Arc<dyn super::Engine> = std::sync::Arc::new(super::Faulty::new(super::open(folder.path())));
            super::$test(engine.clone()).await;
            super::counts_are_right(&engine).await;
        })* }
    };
}

contract!(
    higher_priority_goes_first_then_time_then_age,
    a_job_runs_not_before_its_time,
    a_claimed_job_is_not_handed_out_again,
    an_empty_queue_says_when_to_come_back,
    an_ack_needs_the_claim_that_is_valid,
    a_success_ends_a_job,
    a_failure_uses_an_attempt_and_waits,
    the_last_failure_is_final,
    a_permanent_failure_is_final_at_once,
    a_lease_that_ran_out_uses_an_attempt,
    a_dequeue_takes_back_what_ran_out,
    acks_ride_on_a_dequeue,
    a_checkpoint_changes_a_claimed_job,
    a_job_given_back_keeps_its_attempts,
    a_heartbeat_keeps_a_lease,
    a_key_makes_one_job,
    failed_jobs_are_retried_whole,
    deleted_jobs_are_gone,
    finished_jobs_are_collected_by_age,
    scans_go_on_where_they_stopped,
    queues_show_their_counts,
    a_queue_is_deleted_only_when_nothing_waits,
    a_rate_limit_holds_and_changes_live,
    a_paused_queue_hands_out_nothing,
    watchers_hear_of_what_may_be_claimed,
    concurrent_claims_never_meet,
    busy_is_what_runs_or_could_run,
);

const NOW: Timestamp = Timestamp(1_000_000_000);
const LEASE_MS: i64 = 1_000;

fn open(folder: &Path) -> Arc<dyn Engine> {
    Arc::new(SqliteEngine::open(&folder.join("jobs.db")).expect("an engine"))
}

async fn counts_are_right(engine: &Arc<dyn Engine>) {
    assert_eq!(engine.check().await.expect("a check"), [""; 0]);
}

fn row(name: &str) -> JobRow {
    JobRow { payload: format!("{name:?}"), priority: 5, run_after: Timestamp(0), attempts: 2, idempotency_key: None }
}

async fn enqueue(engine: &Arc<dyn Engine>, rows: Vec<JobRow>) -> Vec<JobId> {
    engine.enqueue("q", rows, NOW).await.expect("an enqueue")
}

async fn poll(engine: &Arc<dyn Engine>, limit: usize, acks: Vec<Ack>, now: Timestamp) -> Dequeued {
    let request = ClaimRequest { queue: "q".to_owned(), worker: "w".to_owned(), limit, lease_ms: LEASE_MS };
    engine.dequeue(request, acks, now).await.expect("a dequeue")
}

async fn claim(engine: &Arc<dyn Engine>, limit: usize, now: Timestamp) -> Vec<Job> {
    poll(engine, limit, Vec::new(), now).await.jobs
}

async fn claim_one(engine: &Arc<dyn Engine>, now: Timestamp) -> Job {
    claim(engine, 1, now).await.pop().expect("a job")
}

async fn ack(engine: &Arc<dyn Engine>, job: &Job, outcome: Outcome, now: Timestamp) -> bool {
    engine.ack(vec![Ack::new(job, outcome)], now).await.expect("an ack")[0]
}

async fn look(engine: &Arc<dyn Engine>, id: JobId) -> JobSnapshot {
    engine.lookup(&[id]).await.expect("a look-up").pop().flatten().expect("a job")
}

fn failed() -> Outcome {
    Outcome::Failed { message: "no".to_owned(), retry_after_ms: None }
}

fn names(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().filter_map(|job| job.payload.as_str()).collect()
}

async fn higher_priority_goes_first_then_time_then_age(engine: Arc<dyn Engine>) {
    let rows = vec![
        JobRow { priority: 9, ..row("low") },
        JobRow { run_after: NOW.plus(2), ..row("later") },
        JobRow { run_after: NOW.plus(1), ..row("sooner") },
        JobRow { run_after: NOW.plus(1), ..row("sooner, younger") },
        JobRow { priority: 1, run_after: NOW.plus(3), ..row("high") },
        // A time in the past counts as now.
        JobRow { run_after: NOW.plus(-500), ..row("past") },
        row("now"),
    ];
    enqueue(&engine, rows).await;
    let order = ["high", "past", "now", "sooner", "sooner, younger", "later", "low"];
    let mut jobs = claim(&engine, 3, NOW.plus(10)).await;
    jobs.extend(claim(&engine, 100, NOW.plus(10)).await);
    assert_eq!(names(&jobs), order);
}

async fn a_job_runs_not_before_its_time(engine: Arc<dyn Engine>) {
    enqueue(&engine, vec![JobRow { run_after: NOW.plus(10), ..row("a") }, JobRow { priority: 1, run_after: NOW.plus(20), ..row("b") }])
        .await;
    assert_eq!(claim(&engine, 10, NOW.plus(9)).await, []);
    assert_eq!(names(&claim(&engine, 10, NOW.plus(10)).await), ["a"]);
    assert_eq!(names(&claim(&engine, 10, NOW.plus(20)).await), ["b"]);
}

async fn a_claimed_job_is_not_handed_out_again(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    assert_eq!((job.id, job.attempts_left, job.attempts_made, job.lease_until), (id, 2, 0, NOW.plus(LEASE_MS)));
    assert_eq!(claim(&engine, 10, NOW.plus(LEASE_MS - 1)).await, []);
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.worker.as_deref(), seen.lease_until), (State::InProgress, Some("w"), Some(NOW.plus(LEASE_MS))));
}

async fn an_empty_queue_says_when_to_come_back(engine: Arc<dyn Engine>) {
    assert_eq!(poll(&engine, 1, Vec::new(), NOW).await, Dequeued::default());
    enqueue(&engine, vec![JobRow { run_after: NOW.plus(50), ..row("a") }, JobRow { priority: 9, run_after: NOW.plus(30), ..row("b") }])
        .await;
    assert_eq!(poll(&engine, 1, Vec::new(), NOW).await.next_due, Some(NOW.plus(30)));
    claim_one(&engine, NOW.plus(30)).await;
    assert_eq!(poll(&engine, 1, Vec::new(), NOW.plus(31)).await.next_due, Some(NOW.plus(50)));
    claim_one(&engine, NOW.plus(50)).await;
    // What is left to wait for is the first lease.
    assert_eq!(poll(&engine, 1, Vec::new(), NOW.plus(51)).await.next_due, Some(NOW.plus(30 + LEASE_MS)));
}

async fn an_ack_needs_the_claim_that_is_valid(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let first = claim_one(&engine, NOW).await;
    assert!(!ack(&engine, &Job { claim: "guess".to_owned(), ..first.clone() }, Outcome::Succeeded, NOW).await);
    assert!(!ack(&engine, &Job { id: JobId(77), ..first.clone() }, Outcome::Succeeded, NOW).await);
    engine.expire_claims(NOW.plus(LEASE_MS)).await.expect("an answer");
    let before = look(&engine, id).await;
    for outcome in [Outcome::Succeeded, failed(), Outcome::FailedPermanently { message: "no".to_owned() }] {
        assert!(!ack(&engine, &first, outcome, NOW.plus(LEASE_MS)).await);
    }
    assert!(
        !engine.checkpoint(id, &first.claim, Checkpoint { run_after: Some(NOW), ..Checkpoint::default() }, NOW).await.expect("an answer")
    );
    assert_eq!(look(&engine, id).await, before);
    let second = claim_one(&engine, NOW.plus(LEASE_MS)).await;
    assert_ne!(second.claim, first.claim);
    assert!(!ack(&engine, &first, Outcome::Succeeded, NOW.plus(LEASE_MS)).await);
    assert!(ack(&engine, &second, Outcome::Succeeded, NOW.plus(LEASE_MS)).await);
    assert!(!ack(&engine, &second, failed(), NOW.plus(LEASE_MS)).await);
    assert_eq!(look(&engine, id).await.state, State::Succeeded);
}

async fn a_success_ends_a_job(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    assert!(ack(&engine, &job, Outcome::Succeeded, NOW.plus(5)).await);
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.attempts_left, seen.finished_at, seen.lease_until), (State::Succeeded, 2, Some(NOW.plus(5)), None));
    assert_eq!(poll(&engine, 1, Vec::new(), NOW.plus(1 << 40)).await, Dequeued::default());
}

async fn a_failure_uses_an_attempt_and_waits(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    assert!(ack(&engine, &job, failed(), NOW).await);
    let seen = look(&engine, id).await;
    let wait_ms = backoff_ms(id, 1);
    assert_eq!((seen.state, seen.attempts_left, seen.attempts_made), (State::Pending, 1, 1));
    assert_eq!((seen.run_after, seen.message.as_deref()), (NOW.plus(wait_ms), Some("no")));
    assert_eq!(claim(&engine, 1, NOW.plus(wait_ms - 1)).await, []);
    assert_eq!(claim_one(&engine, NOW.plus(wait_ms)).await.attempts_left, 1);
}

async fn the_last_failure_is_final(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    for attempt in 0..2 {
        let job = claim_one(&engine, NOW.plus(attempt)).await;
        let outcome = Outcome::Failed { message: "no".to_owned(), retry_after_ms: Some(1) };
        assert!(ack(&engine, &job, outcome, NOW.plus(attempt)).await);
    }
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.attempts_left, seen.attempts_made, seen.finished_at), (State::Failed, 0, 2, Some(NOW.plus(1))));
    assert_eq!(poll(&engine, 1, Vec::new(), NOW.plus(1 << 40)).await, Dequeued::default());
}

async fn a_permanent_failure_is_final_at_once(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    assert!(ack(&engine, &job, Outcome::FailedPermanently { message: "never".to_owned() }, NOW).await);
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.attempts_made, seen.message.as_deref()), (State::Failed, 1, Some("never")));
}

async fn a_lease_that_ran_out_uses_an_attempt(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    claim_one(&engine, NOW).await;
    assert_eq!(engine.expire_claims(NOW.plus(LEASE_MS - 1)).await.expect("an answer"), 0);
    assert_eq!(engine.expire_claims(NOW.plus(LEASE_MS)).await.expect("an answer"), 1);
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.attempts_left, seen.run_after), (State::Pending, 1, NOW.plus(LEASE_MS)));
    assert!(seen.message.is_some_and(|message| message.contains("lease of w")));
    claim_one(&engine, NOW.plus(LEASE_MS)).await;
    assert_eq!(engine.expire_claims(NOW.plus(2 * LEASE_MS)).await.expect("an answer"), 1);
    assert_eq!(look(&engine, id).await.state, State::Failed);
}

async fn a_dequeue_takes_back_what_ran_out(engine: Arc<dyn Engine>) {
    enqueue(&engine, vec![row("a")]).await;
    let first = claim_one(&engine, NOW).await;
    let second = claim_one(&engine, NOW.plus(LEASE_MS)).await;
    assert_eq!((second.id, second.attempts_left), (first.id, 1));
    assert_eq!(claim(&engine, 1, NOW.plus(2 * LEASE_MS)).await, []);
    assert_eq!(look(&engine, first.id).await.state, State::Failed);
}

async fn acks_ride_on_a_dequeue(engine: Arc<dyn Engine>) {
    enqueue(&engine, vec![row("a"), row("b")]).await;
    let job = claim_one(&engine, NOW).await;
    let acks = vec![Ack::new(&job, Outcome::Succeeded), Ack { claim: "x".to_owned(), ..Ack::new(&job, Outcome::Succeeded) }];
    let dequeued = poll(&engine, 5, acks, NOW).await;
    assert_eq!(dequeued.accepted, [true, false]);
    assert_eq!(names(&dequeued.jobs), ["b"]);
    let last = poll(&engine, 0, vec![Ack::new(&dequeued.jobs[0], Outcome::Succeeded)], NOW).await;
    assert_eq!((last.accepted, last.jobs.len()), (vec![true], 0));
}

async fn a_checkpoint_changes_a_claimed_job(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    let checkpoint =
        Checkpoint { payload: Some("half".into()), custom_status: Some("50 %".to_owned()), extend_ms: Some(5_000), run_after: None };
    assert!(engine.checkpoint(id, &job.claim, checkpoint, NOW.plus(10)).await.expect("an answer"));
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.payload, seen.custom_status.as_deref()), (State::InProgress, "half".into(), Some("50 %")));
    assert_eq!(seen.lease_until, Some(NOW.plus(5_010)));
    assert!(engine.checkpoint(id, &job.claim, Checkpoint::default(), NOW).await.expect("an answer"));
    assert_eq!(look(&engine, id).await.custom_status.as_deref(), Some("50 %"));
    assert!(ack(&engine, &job, Outcome::Succeeded, NOW).await);
}

async fn a_job_given_back_keeps_its_attempts(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    let checkpoint = Checkpoint { payload: Some("half".into()), run_after: Some(NOW.plus(10)), ..Checkpoint::default() };
    assert!(engine.checkpoint(id, &job.claim, checkpoint, NOW).await.expect("an answer"));
    let seen = look(&engine, id).await;
    assert_eq!((seen.state, seen.attempts_left, seen.run_after, seen.lease_until), (State::Pending, 2, NOW.plus(10), None));
    assert!(!ack(&engine, &job, Outcome::Succeeded, NOW).await);
    assert_eq!(claim(&engine, 1, NOW.plus(9)).await, []);
    assert_eq!(names(&claim(&engine, 1, NOW.plus(10)).await), ["half"]);
}

async fn a_heartbeat_keeps_a_lease(engine: Arc<dyn Engine>) {
    let id = enqueue(&engine, vec![row("a")]).await[0];
    let job = claim_one(&engine, NOW).await;
    let beat = Checkpoint { extend_ms: Some(LEASE_MS), ..Checkpoint::default() };
    assert!(engine.checkpoint(id, &job.claim, beat.clone(), NOW.plus(900)).await.expect("an answer"));
    assert_eq!(engine.expire_claims(NOW.plus(LEASE_MS)).await.expect("an answer"), 0);
    assert_eq!(engine.expire_claims(NOW.plus(900 + LEASE_MS)).await.expect("an answer"), 1);
    assert!(!engine.checkpoint(id, &job.claim, beat, NOW.plus(900 + LEASE_MS)).await.expect("an answer"));
}

async fn a_key_makes_one_job(engine: Arc<dyn Engine>) {
    let keyed = |name: &str| JobRow { idempotency_key: Some("k".to_owned()), ..row(name) };
    let ids = enqueue(&engine, vec![keyed("a"), row("b"), keyed("c")]).await;
    assert_eq!(ids[0], ids[2]);
    assert_eq!(enqueue(&engine, vec![keyed("d")]).await, [ids[0]]);
    let elsewhere = engine.enqueue("other", vec![keyed("e")], NOW).await.expect("an enqueue");
    assert_ne!(elsewhere, [ids[0]]);
    let jobs = claim(&engine, 10, NOW).await;
    assert_eq!(names(&jobs), ["a", "b"]);
    assert!(ack(&engine, &jobs[0], Outcome::Succeeded, NOW).await);
    // While the job is kept the key is known, whatever became of the job.
    assert_eq!(enqueue(&engine, vec![keyed("f")]).await, [ids[0]]);
    engine.delete(&[ids[0]]).await.expect("a deletion");
    assert_ne!(enqueue(&engine, vec![keyed("g")]).await, [ids[0]]);
}

async fn failed_jobs_are_retried_whole(engine: Arc<dyn Engine>) {
    let ids = enqueue(&engine, vec![row("a"), row("b"), row("c")]).await;
    let jobs = claim(&engine, 2, NOW).await;
    for job in &jobs {
        assert!(ack(&engine, job, Outcome::FailedPermanently { message: "no".to_owned() }, NOW).await);
    }
    assert_eq!(engine.retry_failed("other", NOW).await.expect("an answer"), 0);
    assert_eq!(engine.retry_failed("q", NOW.plus(5)).await.expect("an answer"), 2);
    let seen = look(&engine, ids[0]).await;
    assert_eq!((seen.state, seen.attempts_left, seen.run_after, seen.finished_at), (State::Pending, 2, NOW.plus(5), None));
    assert_eq!(names(&claim(&engine, 10, NOW.plus(5)).await), ["c", "a", "b"]);
}

async fn deleted_jobs_are_gone(engine: Arc<dyn Engine>) {
    let ids = enqueue(&engine, vec![row("a"), row("b"), row("c")]).await;
    let job = claim_one(&engine, NOW).await;
    assert_eq!(engine.delete(&[ids[0], ids[2], JobId(99)]).await.expect("an answer"), 2);
    assert!(!ack(&engine, &job, Outcome::Succeeded, NOW).await);
    let seen = engine.lookup(&ids).await.expect("a look-up");
    assert_eq!(seen.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    assert!(enqueue(&engine, vec![row("d")]).await[0] > ids[2]);
}

async fn finished_jobs_are_collected_by_age(engine: Arc<dyn Engine>) {
    let ids = enqueue(&engine, vec![row("a"), row("b"), row("c"), row("d")]).await;
    let jobs = claim(&engine, 3, NOW).await;
    assert!(ack(&engine, &jobs[0], Outcome::Succeeded, NOW.plus(10)).await);
    assert!(ack(&engine, &jobs[1], Outcome::FailedPermanently { message: "no".to_owned() }, NOW.plus(20)).await);
    assert!(ack(&engine, &jobs[2], Outcome::Succeeded, NOW.plus(30)).await);
    assert_eq!(engine.collect(NOW.plus(10), 10).await.expect("an answer"), 0);
    assert_eq!(engine.collect(NOW.plus(31), 1).await.expect("an answer"), 1);
    assert_eq!(engine.collect(NOW.plus(30), 10).await.expect("an answer"), 1);
    let seen = engine.lookup(&ids).await.expect("a look-up");
    assert_eq!(seen.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, true]);
}

async fn scans_go_on_where_they_stopped(engine: Arc<dyn Engine>) {
    let ids = enqueue(&engine, (0..10).map(|number| row(&number.to_string())).collect()).await;
    claim(&engine, 3, NOW).await;
    for limit in [1, 3, 7, 10] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = engine.scan("q", State::Pending, after, limit).await.expect("a page");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            all.extend(page.into_iter().map(|job| job.id));
        }
        assert_eq!(all, ids[3..], "by {limit}");
    }
    assert_eq!(engine.scan("q", State::InProgress, None, 10).await.expect("a page").len(), 3);
    assert_eq!(engine.scan("other", State::Pending, None, 10).await.expect("a page"), []);
}

async fn queues_show_their_counts(engine: Arc<dyn Engine>) {
    enqueue(&engine, vec![row("a"), row("b"), JobRow { priority: 1, ..row("c") }, JobRow { run_after: NOW.plus(90), ..row("d") }]).await;
    engine.create_queue("an empty one", QueueOptions::default(), NOW).await.expect("a queue");
    claim(&engine, 2, NOW.plus(1)).await;
    let queues = engine.queues(NOW.plus(1)).await.expect("queues");
    assert_eq!(queues.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["an empty one", "q"]);
    assert_eq!((queues[1].count(State::Pending), queues[1].count(State::InProgress), queues[1].count(State::Failed)), (2, 2, 0));
    let by_priority: Vec<_> = queues[1].counts.iter().map(|count| (count.state, count.priority, count.count)).collect();
    assert_eq!(by_priority, [(State::Pending, 5, 2), (State::InProgress, 1, 1), (State::InProgress, 5, 1)]);
    assert_eq!(queues[1].oldest_pending_at, Some(NOW));
    claim(&engine, 1, NOW.plus(1)).await;
    assert_eq!(engine.queues(NOW.plus(1)).await.expect("queues")[1].oldest_pending_at, None);
}

async fn a_queue_is_deleted_only_when_nothing_waits(engine: Arc<dyn Engine>) {
    assert!(matches!(engine.delete_queue("q").await, Err(Error::NotFound(_))));
    enqueue(&engine, vec![row("a")]).await;
    assert!(matches!(engine.delete_queue("q").await, Err(Error::Conflict(_))));
    let job = claim_one(&engine, NOW).await;
    assert!(matches!(engine.delete_queue("q").await, Err(Error::Conflict(_))));
    assert!(ack(&engine, &job, Outcome::Succeeded, NOW).await);
    engine.delete_queue("q").await.expect("a deletion");
    assert_eq!(engine.lookup(&[job.id]).await.expect("a look-up"), [None]);
    assert_eq!(engine.queues(NOW).await.expect("queues"), []);
}

async fn a_rate_limit_holds_and_changes_live(engine: Arc<dyn Engine>) {
    engine.create_queue("q", QueueOptions { rate_limit_per_second: Some(2.0) }, NOW).await.expect("a queue");
    enqueue(&engine, (0..20).map(|number| row(&number.to_string())).collect()).await;
    assert_eq!(claim(&engine, 10, NOW).await.len(), 2);
    let empty = poll(&engine, 10, Vec::new(), NOW).await;
    assert_eq!((empty.jobs.len(), empty.next_due), (0, Some(NOW.plus(500))));
    assert_eq!(claim(&engine, 10, NOW.plus(499)).await.len(), 0);
    assert_eq!(claim(&engine, 10, NOW.plus(500)).await.len(), 1);
    assert_eq!(claim(&engine, 10, NOW.plus(999)).await.len(), 0);
    // The same limit again fills nothing up.
    engine.create_queue("q", QueueOptions { rate_limit_per_second: Some(2.0) }, NOW.plus(999)).await.expect("a queue");
    assert_eq!(claim(&engine, 10, NOW.plus(999)).await.len(), 0);
    engine.create_queue("q", QueueOptions::default(), NOW.plus(999)).await.expect("a queue");
    assert_eq!(claim(&engine, 10, NOW.plus(999)).await.len(), 10);
}

async fn a_paused_queue_hands_out_nothing(engine: Arc<dyn Engine>) {
    engine.create_queue("q", QueueOptions { rate_limit_per_second: Some(0.0) }, NOW).await.expect("a queue");
    enqueue(&engine, vec![row("a")]).await;
    assert_eq!(poll(&engine, 1, Vec::new(), NOW.plus(1 << 40)).await, Dequeued::default());
    assert!(engine.queues(NOW).await.expect("queues")[0].is_paused());
    engine.create_queue("q", QueueOptions::default(), NOW).await.expect("a queue");
    assert_eq!(names(&claim(&engine, 1, NOW).await), ["a"]);
}

async fn watchers_hear_of_what_may_be_claimed(engine: Arc<dyn Engine>) {
    let mut watch = engine.watch_queue("q");
    let mut heard = async || {
        watch.changed().await.expect("a change");
        watch.mark_unchanged();
    };
    enqueue(&engine, vec![row("a")]).await;
    heard().await;
    let job = claim_one(&engine, NOW).await;
    heard().await;
    assert!(ack(&engine, &job, failed(), NOW).await);
    heard().await;
    let job = claim_one(&engine, NOW.plus(10_000)).await;
    heard().await;
    engine.expire_claims(job.lease_until).await.expect("an answer");
    heard().await;
    engine.retry_failed("q", NOW.plus(20_000)).await.expect("an answer");
    heard().await;
    let job = claim_one(&engine, NOW.plus(20_000)).await;
    heard().await;
    let back = Checkpoint { run_after: Some(NOW), ..Checkpoint::default() };
    assert!(engine.checkpoint(job.id, &job.claim, back, NOW).await.expect("an answer"));
    heard().await;
    engine.create_queue("q", QueueOptions { rate_limit_per_second: Some(1.0) }, NOW).await.expect("a queue");
    heard().await;
}

async fn concurrent_claims_never_meet(engine: Arc<dyn Engine>) {
    let ids = enqueue(&engine, (0..100).map(|number| row(&number.to_string())).collect()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move { claim(&engine, 7, NOW).await });
    }
    let mut claimed = Vec::new();
    while let Some(jobs) = tasks.join_next().await {
        claimed.extend(jobs.expect("a task").into_iter().map(|job| job.id));
    }
    claimed.sort();
    assert_eq!(claimed, ids);
}

async fn busy_is_what_runs_or_could_run(engine: Arc<dyn Engine>) {
    assert!(!engine.is_busy(NOW).await.expect("an answer"));
    enqueue(&engine, vec![JobRow { run_after: NOW.plus(10), ..row("a") }]).await;
    assert!(!engine.is_busy(NOW.plus(9)).await.expect("an answer"));
    assert!(engine.is_busy(NOW.plus(10)).await.expect("an answer"));
    engine.create_queue("q", QueueOptions { rate_limit_per_second: Some(0.0) }, NOW).await.expect("a queue");
    assert!(!engine.is_busy(NOW.plus(10)).await.expect("an answer"));
    engine.create_queue("q", QueueOptions::default(), NOW).await.expect("a queue");
    let job = claim_one(&engine, NOW.plus(10)).await;
    assert!(engine.is_busy(NOW).await.expect("an answer"));
    assert!(ack(&engine, &job, Outcome::Succeeded, NOW).await);
    assert!(!engine.is_busy(NOW.plus(10)).await.expect("an answer"));
}

#[tokio::test]
async fn injected_faults_say_what_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let faulty = Faulty::new(open(folder.path()));
    faulty.inject([Fault::Unavailable, Fault::AnswerLost]);
    assert!(matches!(faulty.enqueue("q", vec![row("a")], NOW).await, Err(Error::Unavailable(_))));
    assert!(matches!(faulty.enqueue("q", vec![row("b")], NOW).await, Err(Error::Unknown(_))));
    assert_eq!(faulty.queues(NOW).await.expect("queues")[0].count(State::Pending), 1);
}

#[tokio::test]
async fn another_process_wakes_watchers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (open(folder.path()), open(folder.path()));
    let mut watch = here.watch_queue("q");
    watch.mark_unchanged();
    enqueue(&there, vec![row("a")]).await;
    watch.changed().await.expect("a change");
    assert_eq!(names(&claim(&here, 1, NOW).await), ["a"]);
}

#[tokio::test]
async fn a_closed_engine_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path());
    enqueue(&engine, vec![row("a")]).await;
    engine.close().await;
    engine.close().await;
    assert!(matches!(engine.enqueue("q", vec![row("a")], NOW).await, Err(Error::Unavailable(_))));
    drop(engine);
    assert_eq!(names(&claim(&open(folder.path()), 1, NOW).await), ["a"]);
}
