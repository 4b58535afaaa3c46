//! The whole state machine: random calls against the engine and against a model that is as simple as can be. After every
//! call the answers are the same, and so is every job.

use std::collections::BTreeMap;

use model::Timestamp;
use proptest::prelude::*;

use crate::engine::{ClaimRequest, Engine, JobRow, SqliteEngine};
use crate::job::{Ack, Checkpoint, Job, JobId, Outcome, State};

const LEASE_MS: i64 = 100;
const QUEUES: [&str; 2] = ["a", "b"];

#[derive(Clone, Debug)]
enum Call {
    Enqueue { queue: usize, priority: u8, delay_ms: i64, attempts: u32, key: Option<u8> },
    Dequeue { queue: usize, limit: usize, ack: Option<(usize, End)> },
    Ack { claim: usize, end: End },
    GiveBack { claim: usize, delay_ms: i64 },
    Heartbeat { claim: usize },
    Expire,
    RetryFailed { queue: usize },
    Delete { job: i64 },
    Collect { age_ms: i64 },
    Wait { ms: i64 },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Succeeded,
    Failed { retry_after_ms: i64 },
    Permanently,
}

impl End {
    fn outcome(self) -> Outcome {
        match self {
            End::Succeeded => Outcome::Succeeded,
            End::Failed { retry_after_ms } => Outcome::Failed { message: "no".to_owned(), retry_after_ms: Some(retry_after_ms) },
            End::Permanently => Outcome::FailedPermanently { message: "never".to_owned() },
        }
    }
}

fn an_end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Succeeded), (0..80_i64).prop_map(|retry_after_ms| End::Failed { retry_after_ms }), Just(End::Permanently)]
}

fn a_call() -> impl Strategy<Value = Call> {
    // Claims are named by how long ago they were made, so that most are valid and some are old.
    let claim = 0..6_usize;
    prop_oneof![
        4 => (0..2_usize, 1..4_u8, 0..120_i64, 1..4_u32, prop::option::weighted(0.3, 0..3_u8))
            .prop_map(|(queue, priority, delay_ms, attempts, key)| Call::Enqueue { queue, priority, delay_ms, attempts, key }),
        5 => (0..2_usize, 0..4_usize, prop::option::of((claim.clone(), an_end())))
            .prop_map(|(queue, limit, ack)| Call::Dequeue { queue, limit, ack }),
        3 => (claim.clone(), an_end()).prop_map(|(claim, end)| Call::Ack { claim, end }),
        1 => (claim.clone(), 0..80_i64).prop_map(|(claim, delay_ms)| Call::GiveBack { claim, delay_ms }),
        1 => claim.prop_map(|claim| Call::Heartbeat { claim }),
        2 => Just(Call::Expire),
        1 => (0..2_usize).prop_map(|queue| Call::RetryFailed { queue }),
        1 => (1..20_i64).prop_map(|job| Call::Delete { job }),
        1 => (0..200_i64).prop_map(|age_ms| Call::Collect { age_ms }),
        4 => (1..90_i64).prop_map(|ms| Call::Wait { ms }),
    ]
}

/// A job of the model.
#[derive(Clone, Debug)]
struct Known {
    queue: usize,
    state: State,
    priority: u8,
    run_after: i64,
    allowed: u32,
    made: u32,
    claim: Option<String>,
    lease_until: i64,
    finished_at: i64,
    key: Option<u8>,
}

/// What the engine must do, without indexes, counters or SQL.
#[derive(Default)]
struct Model {
    now: i64,
    jobs: BTreeMap<i64, Known>,
    /// Every claim ever made, the youngest last.
    claims: Vec<(JobId, String)>,
}

impl Model {
    fn claim(&self, ago: usize) -> (JobId, String) {
        let index = self.claims.len().checked_sub(ago + 1);
        index.map_or((JobId(1), "none".to_owned()), |index| self.claims[index].clone())
    }

    fn end(&mut self, id: JobId, claim: &str, end: End) -> bool {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id.0).filter(|job| job.claim.as_deref() == Some(claim)) else { return false };
        job.claim = None;
        match end {
            End::Succeeded => (job.state, job.finished_at) = (State::Succeeded, now),
            End::Permanently => (job.state, job.finished_at, job.made) = (State::Failed, now, job.made + 1),
            End::Failed { retry_after_ms } => job.fail(now + retry_after_ms, now),
        }
        true
    }

    fn expire(&mut self, queue: Option<usize>) -> u64 {
        let now = self.now;
        let mut expired = 0;
        for job in self.jobs.values_mut() {
            if job.claim.is_some() && job.lease_until <= now && queue.is_none_or(|queue| queue == job.queue) {
                job.claim = None;
                job.fail(now, now);
                expired += 1;
            }
        }
        expired
    }

    fn dequeue(&mut self, queue: usize, limit: usize) -> Vec<i64> {
        if limit == 0 {
            return Vec::new();
        }
        self.expire(Some(queue));
        let is_due = |job: &Known| job.queue == queue && job.state == State::Pending && job.run_after <= self.now;
        let mut due: Vec<(u8, i64, i64)> =
            self.jobs.iter().filter(|(_, job)| is_due(job)).map(|(id, job)| (job.priority, job.run_after, *id)).collect();
        due.sort();
        due.into_iter().take(limit).map(|(_, _, id)| id).collect()
    }
}

impl Known {
    fn fail(&mut self, run_after: i64, now: i64) {
        self.made += 1;
        if self.made >= self.allowed {
            (self.state, self.finished_at) = (State::Failed, now);
        } else {
            (self.state, self.run_after) = (State::Pending, run_after);
        }
    }
}

/// Makes a call of both, and compares what they answer.
async fn step(engine: &SqliteEngine, model: &mut Model, call: &Call) {
    let now = Timestamp(model.now);
    match call.clone() {
        Call::Enqueue { queue, priority, delay_ms, attempts, key } => {
            let run_after = now.plus(delay_ms);
            let idempotency_key = key.map(|key| format!("key {key}"));
            let row = JobRow { payload: "1".to_owned(), priority, run_after, attempts, idempotency_key };
            let id = engine.enqueue(QUEUES[queue], vec![row], now).await.expect("an enqueue")[0].0;
            let known = model.jobs.iter().find(|(_, job)| key.is_some() && job.key == key && job.queue == queue).map(|(id, _)| *id);
            if let Some(known) = known {
                assert_eq!(id, known);
                return;
            }
            let (state, run_after) = (State::Pending, run_after.0);
            let job =
                Known { queue, state, priority, run_after, allowed: attempts, made: 0, claim: None, lease_until: 0, finished_at: 0, key };
            assert!(model.jobs.insert(id, job).is_none(), "job {id} came twice");
        }
        Call::Dequeue { queue, limit, ack } => {
            let ack = ack.map(|(ago, end)| (model.claim(ago), end));
            let acks = ack.iter().map(|((id, claim), end)| Ack { id: *id, claim: claim.clone(), outcome: end.outcome() }).collect();
            let request = ClaimRequest { queue: QUEUES[queue].to_owned(), worker: "w".to_owned(), limit, lease_ms: LEASE_MS };
            let dequeued = engine.dequeue(request, acks, now).await.expect("a dequeue");
            let accepted: Vec<bool> = ack.into_iter().map(|((id, claim), end)| model.end(id, &claim, end)).collect();
            assert_eq!(dequeued.accepted, accepted);
            let expected = model.dequeue(queue, limit);
            assert_eq!(dequeued.jobs.iter().map(|job| job.id.0).collect::<Vec<i64>>(), expected);
            dequeued.jobs.into_iter().for_each(|job| note_claim(model, job));
        }
        Call::Ack { claim, end } => {
            let (id, claim) = model.claim(claim);
            let accepted = engine.ack(vec![Ack { id, claim: claim.clone(), outcome: end.outcome() }], now).await.expect("an ack");
            assert_eq!(accepted, [model.end(id, &claim, end)]);
        }
        Call::GiveBack { claim, delay_ms } => {
            let (id, claim) = model.claim(claim);
            let checkpoint = Checkpoint { run_after: Some(now.plus(delay_ms)), ..Checkpoint::default() };
            let accepted = engine.checkpoint(id, &claim, checkpoint, now).await.expect("a checkpoint");
            let job = model.jobs.get_mut(&id.0).filter(|job| job.claim.as_deref() == Some(claim.as_str()));
            assert_eq!(accepted, job.is_some());
            if let Some(job) = job {
                (job.state, job.claim, job.run_after) = (State::Pending, None, now.0 + delay_ms);
            }
        }
        Call::Heartbeat { claim } => {
            let (id, claim) = model.claim(claim);
            let checkpoint = Checkpoint { extend_ms: Some(LEASE_MS), ..Checkpoint::default() };
            let accepted = engine.checkpoint(id, &claim, checkpoint, now).await.expect("a checkpoint");
            let job = model.jobs.get_mut(&id.0).filter(|job| job.claim.as_deref() == Some(claim.as_str()));
            assert_eq!(accepted, job.is_some());
            if let Some(job) = job {
                job.lease_until = now.0 + LEASE_MS;
            }
        }
        Call::Expire => assert_eq!(engine.expire_claims(now).await.expect("an answer"), model.expire(None)),
        Call::RetryFailed { queue } => {
            let retried = engine.retry_failed(QUEUES[queue], now).await.expect("an answer");
            let failed = model.jobs.values_mut().filter(|job| job.queue == queue && job.state == State::Failed);
            let mut expected = 0;
            for job in failed {
                (job.state, job.made, job.run_after) = (State::Pending, 0, now.0);
                expected += 1;
            }
            assert_eq!(retried, expected);
        }
        Call::Delete { job } => {
            let deleted = engine.delete(&[JobId(job)]).await.expect("an answer");
            assert_eq!(deleted, u64::from(model.jobs.remove(&job).is_some()));
        }
        Call::Collect { age_ms } => {
            let before = now.plus(-age_ms);
            let collected = engine.collect(before, 1_000).await.expect("an answer");
            let count = model.jobs.len();
            model.jobs.retain(|_, job| !job.state.is_finished() || job.finished_at >= before.0);
            assert_eq!(collected, (count - model.jobs.len()) as u64);
        }
        Call::Wait { ms } => model.now += ms,
    }
}

fn note_claim(model: &mut Model, job: Job) {
    assert!(model.claims.iter().all(|(_, claim)| *claim != job.claim), "claim {} came twice", job.claim);
    let now = model.now;
    let known = model.jobs.get_mut(&job.id.0).expect("a job of the model");
    assert_eq!((job.attempts_made, job.attempts_left), (known.made, known.allowed - known.made));
    (known.state, known.claim, known.lease_until) = (State::InProgress, Some(job.claim.clone()), now + LEASE_MS);
    model.claims.push((job.id, job.claim));
}

/// Compares every job, and the counts with a recount.
async fn compare(engine: &SqliteEngine, model: &Model) {
    let ids: Vec<JobId> = model.jobs.keys().map(|id| JobId(*id)).collect();
    let seen = engine.lookup(&ids).await.expect("a look-up");
    for (seen, (id, known)) in seen.into_iter().zip(&model.jobs) {
        let seen = seen.unwrap_or_else(|| panic!("job {id} is gone"));
        assert_eq!((seen.state, seen.attempts_made), (known.state, known.made), "job {id}");
        assert_eq!(seen.attempts_left, known.allowed.saturating_sub(known.made), "job {id}");
        if known.state == State::Pending {
            assert_eq!(seen.run_after.0, known.run_after, "job {id}");
        }
        assert_eq!(seen.lease_until.map(|at| at.0), (known.state == State::InProgress).then_some(known.lease_until), "job {id}");
        assert_eq!(seen.finished_at.map(|at| at.0), known.state.is_finished().then_some(known.finished_at), "job {id}");
    }
    for status in engine.queues(Timestamp(model.now)).await.expect("queues") {
        for state in State::ALL {
            let counted = model.jobs.values().filter(|job| QUEUES[job.queue] == status.name && job.state == state).count();
            assert_eq!(status.count(state), counted as u64, "{} {}", status.name, state.as_str());
        }
    }
    assert_eq!(engine.check().await.expect("a check"), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_does(calls in prop::collection::vec(a_call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = SqliteEngine::open(&folder.path().join("jobs.db")).expect("an engine");
            let mut model = Model { now: 1_000_000, ..Model::default() };
            for call in &calls {
                step(&engine, &mut model, call).await;
            }
            compare(&engine, &model).await;
        });
    }
}
