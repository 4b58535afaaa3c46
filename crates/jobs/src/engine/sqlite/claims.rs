//! What moves a job from state to state. Every function runs inside a transaction and appends to `touched` the queues whose
//! watchers have something to hear.

use model::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::job::{Ack, Checkpoint, Job, JobId, Outcome};
use crate::metrics as names;
use crate::state::{self, Transition};

use super::super::{ClaimRequest, JobRow};
use super::{queues, schema};

/// A job in progress, as far as decisions need it.
struct Claimed {
    id: JobId,
    queue: String,
    attempts_allowed: u32,
    attempts_made: u32,
}

pub(super) fn enqueue(connection: &Connection, queue: &str, rows: &[JobRow], now: Timestamp) -> sqlite::Result<Vec<JobId>> {
    let queue = queues::ensure(connection, queue, now)?;
    let mut known = connection.prepare_cached("SELECT id FROM jobs WHERE queue = ?1 AND idempotency_key = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO jobs (queue, priority, run_after, attempts_allowed, created_at, idempotency_key, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(key) = &row.idempotency_key
            && let Some(id) = known.query_row(params![queue, key], |found| found.get(0)).optional()?
        {
            ids.push(JobId(id));
            continue;
        }
        let run_after = row.run_after.max(now);
        insert.execute(params![queue, row.priority, run_after.0, row.attempts, now.0, row.idempotency_key, row.payload])?;
        ids.push(JobId(connection.last_insert_rowid()));
    }
    Ok(ids)
}

/// Claims due jobs, the highest priority first, after taking back those whose lease ran out.
pub(super) fn claim(
    connection: &Connection,
    request: &ClaimRequest,
    now: Timestamp,
    touched: &mut Vec<String>,
) -> sqlite::Result<Vec<Job>> {
    if request.limit == 0 {
        return Ok(Vec::new());
    }
    let Some(queue) = queues::find(connection, &request.queue)? else { return Ok(Vec::new()) };
    expire(connection, Some(queue.id), now, touched)?;
    let allowance = queue.allowance.refilled(now);
    let limit = request.limit.min(allowance.whole_jobs());
    let mut jobs = Vec::new();
    for priority in queues::pending_priorities(connection, queue.id)? {
        if jobs.len() < limit {
            claim_priority(connection, request, queue.id, priority, limit - jobs.len(), now, &mut jobs)?;
        }
    }
    if !jobs.is_empty() {
        if allowance.rate_per_second.is_some() {
            queues::set_allowance(connection, queue.id, allowance.less(jobs.len()))?;
        }
        touch(touched, &request.queue);
    }
    Ok(jobs)
}

fn claim_priority(
    connection: &Connection,
    request: &ClaimRequest,
    queue: i64,
    priority: u8,
    limit: usize,
    now: Timestamp,
    jobs: &mut Vec<Job>,
) -> sqlite::Result<()> {
    let sql = "SELECT id, run_after, attempts_allowed, attempts_made, claims, created_at, custom_status, payload
        FROM jobs INDEXED BY jobs_pending WHERE queue = ?1 AND state = 0 AND priority = ?2 AND run_after <= ?3 ORDER BY run_after, id LIMIT ?4";
    let first = jobs.len();
    let lease_until = now.plus(request.lease_ms);
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![queue, priority, now.0, limit as i64])?;
    while let Some(row) = rows.next()? {
        let id = JobId(row.get(0)?);
        let (attempts_allowed, attempts_made): (u32, u32) = (row.get(2)?, row.get(3)?);
        let payload: String = row.get(7)?;
        jobs.push(Job {
            id,
            queue: request.queue.clone(),
            payload: schema::payload_of(id, &payload)?,
            priority,
            attempts_left: attempts_allowed.saturating_sub(attempts_made),
            attempts_made,
            claim: state::claim_name(id, row.get::<_, i64>(4)? + 1),
            custom_status: row.get(6)?,
            run_after: Timestamp(row.get(1)?),
            created_at: Timestamp(row.get(5)?),
            lease_until,
        });
    }
    // The index that is read is the index that is written, so that writing waits for the end of reading.
    let mut update =
        connection.prepare_cached("UPDATE jobs SET state = 1, claims = claims + 1, lease_until = ?2, worker = ?3 WHERE id = ?1")?;
    for job in &jobs[first..] {
        update.execute(params![job.id.0, lease_until.0, request.worker])?;
    }
    Ok(())
}

/// Finds the job that a claim is valid for.
fn find_claimed(connection: &Connection, id: JobId, claim: &str) -> sqlite::Result<Option<Claimed>> {
    let sql = "SELECT claims, queues.name, attempts_allowed, attempts_made FROM jobs JOIN queues ON queues.id = jobs.queue
        WHERE jobs.id = ?1 AND state = 1";
    let found = connection.prepare_cached(sql)?.query_row([id.0], |row| {
        let is_valid = claim == state::claim_name(id, row.get(0)?);
        Ok((is_valid, Claimed { id, queue: row.get(1)?, attempts_allowed: row.get(2)?, attempts_made: row.get(3)? }))
    });
    Ok(found.optional()?.filter(|(is_valid, _)| *is_valid).map(|(_, claimed)| claimed))
}

pub(super) fn apply_acks(connection: &Connection, acks: &[Ack], now: Timestamp, touched: &mut Vec<String>) -> sqlite::Result<Vec<bool>> {
    let mut accepted = Vec::with_capacity(acks.len());
    for ack in acks {
        let Some(claimed) = find_claimed(connection, ack.id, &ack.claim)? else {
            accepted.push(false);
            continue;
        };
        let transition = state::after_outcome(ack.id, claimed.attempts_allowed, claimed.attempts_made, &ack.outcome, now);
        let message = match &ack.outcome {
            Outcome::Succeeded => None,
            Outcome::Failed { message, .. } | Outcome::FailedPermanently { message } => Some(message.as_str()),
        };
        end_claim(&mut ending(connection)?, &claimed, transition, message)?;
        if !transition.state.is_finished() {
            touch(touched, &claimed.queue);
        }
        accepted.push(true);
    }
    Ok(accepted)
}

fn ending(connection: &Connection) -> sqlite::Result<CachedStatement<'_>> {
    Ok(connection.prepare_cached(
        "UPDATE jobs SET state = ?2, attempts_made = ?3, run_after = coalesce(?4, run_after), finished_at = ?5, message = coalesce(?6, message),
         lease_until = NULL WHERE id = ?1",
    )?)
}

fn end_claim(update: &mut CachedStatement<'_>, claimed: &Claimed, transition: Transition, message: Option<&str>) -> sqlite::Result<()> {
    let Transition { state, attempts_made, run_after, finished_at } = transition;
    update.execute(params![
        claimed.id.0,
        schema::code(state),
        attempts_made,
        run_after.map(|at| at.0),
        finished_at.map(|at| at.0),
        message
    ])?;
    Ok(())
}

pub(super) fn any_expired(connection: &Connection, now: Timestamp) -> sqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM queues WHERE EXISTS
        (SELECT 1 FROM jobs INDEXED BY jobs_claimed WHERE queue = queues.id AND state = 1 AND lease_until <= ?1))";
    Ok(connection.prepare_cached(sql)?.query_row([now.0], |row| row.get(0))?)
}

/// Takes back the jobs of a queue, or of all, whose lease ran out.
pub(super) fn expire(connection: &Connection, queue: Option<i64>, now: Timestamp, touched: &mut Vec<String>) -> sqlite::Result<u64> {
    let sql = "SELECT jobs.id, queues.name, attempts_allowed, attempts_made, worker
        FROM queues CROSS JOIN jobs INDEXED BY jobs_claimed ON jobs.queue = queues.id AND state = 1 AND lease_until <= ?1
        WHERE ?2 IS NULL OR queues.id = ?2 ORDER BY jobs.id";
    let mut select = connection.prepare_cached(sql)?;
    let expired = select
        .query_map(params![now.0, queue], |row| {
            let claimed = Claimed { id: JobId(row.get(0)?), queue: row.get(1)?, attempts_allowed: row.get(2)?, attempts_made: row.get(3)? };
            Ok((claimed, row.get::<_, Option<String>>(4)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for (claimed, worker) in &expired {
        let transition = state::after_timeout(claimed.attempts_allowed, claimed.attempts_made, now);
        let message = format!("The lease of {} ran out: it ended or stood still.", worker.as_deref().unwrap_or("a worker"));
        end_claim(&mut ending(connection)?, claimed, transition, Some(&message))?;
        touch(touched, &claimed.queue);
    }
    metrics::counter!(names::TIMED_OUT_TOTAL).increment(expired.len() as u64);
    Ok(expired.len() as u64)
}

pub(super) fn checkpoint(
    connection: &Connection,
    id: JobId,
    claim: &str,
    checkpoint: &Checkpoint,
    now: Timestamp,
    touched: &mut Vec<String>,
) -> sqlite::Result<bool> {
    let Some(claimed) = find_claimed(connection, id, claim)? else { return Ok(false) };
    let payload = checkpoint.payload.as_ref().map(serde_json::Value::to_string);
    let lease_until = checkpoint.extend_ms.map(|extend_ms| now.plus(extend_ms).0);
    let sql = "UPDATE jobs SET payload = coalesce(?2, payload), custom_status = coalesce(?3, custom_status), lease_until = coalesce(?4, lease_until)
        WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![id.0, payload, checkpoint.custom_status, lease_until])?;
    if let Some(run_after) = checkpoint.run_after {
        let sql = "UPDATE jobs SET state = 0, run_after = ?2, lease_until = NULL WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![id.0, run_after.max(now).0])?;
        touch(touched, &claimed.queue);
    }
    Ok(true)
}

pub(super) fn retry_failed(connection: &Connection, queue: &str, now: Timestamp) -> sqlite::Result<u64> {
    let sql = "UPDATE jobs SET state = 0, attempts_made = 0, run_after = ?2, finished_at = NULL
        WHERE queue = (SELECT id FROM queues WHERE name = ?1) AND state = 3";
    Ok(connection.prepare_cached(sql)?.execute(params![queue, now.0])? as u64)
}

fn touch(touched: &mut Vec<String>, queue: &str) {
    if !touched.iter().any(|known| known == queue) {
        touched.push(queue.to_owned());
    }
}
