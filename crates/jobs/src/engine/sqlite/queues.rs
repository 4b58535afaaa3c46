//! Queues: their options, their counts, and when something in them is due.

use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::job::{Count, QueueOptions, QueueStatus};
use crate::state::Allowance;

use super::schema;

/// A queue as it stands in the file.
pub(super) struct Queue {
    pub(super) id: i64,
    pub(super) allowance: Allowance,
}

pub(super) fn find(connection: &Connection, name: &str) -> sqlite::Result<Option<Queue>> {
    let sql = "SELECT id, rate_limit, allowance, allowance_at FROM queues WHERE name = ?1";
    let queue = connection.prepare_cached(sql)?.query_row([name], |row| {
        let allowance = Allowance { rate_per_second: row.get(1)?, jobs: row.get(2)?, at: Timestamp(row.get(3)?) };
        Ok(Queue { id: row.get(0)?, allowance })
    });
    Ok(queue.optional()?)
}

/// Returns the queue's number and makes the queue, without a limit, when it is new.
pub(super) fn ensure(connection: &Connection, name: &str, now: Timestamp) -> sqlite::Result<i64> {
    if let Some(queue) = find(connection, name)? {
        return Ok(queue.id);
    }
    let sql = "INSERT INTO queues (name, allowance, allowance_at, created_at) VALUES (?1, 0, ?2, ?2) RETURNING id";
    Ok(connection.prepare_cached(sql)?.query_row(params![name, now.0], |row| row.get(0))?)
}

pub(super) fn create(connection: &Connection, name: &str, options: QueueOptions, now: Timestamp) -> sqlite::Result<()> {
    let id = ensure(connection, name, now)?;
    let allowance = Allowance::full(options.rate_limit_per_second, now);
    let sql = "UPDATE queues SET rate_limit = ?2, allowance = ?3, allowance_at = ?4 WHERE id = ?1 AND rate_limit IS NOT ?2";
    connection.prepare_cached(sql)?.execute(params![id, allowance.rate_per_second, allowance.jobs, allowance.at.0])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, name: &str) -> sqlite::Result<()> {
    let Some(queue) = find(connection, name)? else {
        return Err(sqlite::Error::NotFound(format!("There is no queue {name:?}.")));
    };
    let sql = "SELECT coalesce(sum(count), 0) FROM counts WHERE queue = ?1 AND state < 2";
    let unfinished: i64 = connection.prepare_cached(sql)?.query_row([queue.id], |row| row.get(0))?;
    if unfinished > 0 {
        return Err(sqlite::Error::Conflict(format!(
            "Queue {name:?} has {unfinished} jobs that are not finished; let them run or delete them first."
        )));
    }
    connection.prepare_cached("DELETE FROM jobs WHERE queue = ?1")?.execute([queue.id])?;
    connection.prepare_cached("DELETE FROM counts WHERE queue = ?1")?.execute([queue.id])?;
    connection.prepare_cached("DELETE FROM queues WHERE id = ?1")?.execute([queue.id])?;
    Ok(())
}

/// Notes that what can be claimed from a queue, or when, may have changed.
pub(super) fn touch(connection: &Connection, name: &str) -> sqlite::Result<()> {
    connection.prepare_cached("UPDATE queues SET generation = generation + 1 WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// Writes down what is left of a rate limit.
pub(super) fn set_allowance(connection: &Connection, queue: i64, allowance: Allowance) -> sqlite::Result<()> {
    let sql = "UPDATE queues SET allowance = ?2, allowance_at = ?3 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![queue, allowance.jobs, allowance.at.0])?;
    Ok(())
}

/// Returns the priorities of a queue's pending jobs, the highest first.
pub(super) fn pending_priorities(connection: &Connection, queue: i64) -> sqlite::Result<Vec<u8>> {
    let sql = "SELECT priority FROM counts WHERE queue = ?1 AND state = 0 AND count > 0 ORDER BY priority";
    let mut statement = connection.prepare_cached(sql)?;
    let priorities = statement.query_map([queue], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(priorities)
}

/// Returns the earliest time to run of a queue's pending jobs: one seek per priority in use.
fn first_run_after(connection: &Connection, queue: i64) -> sqlite::Result<Option<Timestamp>> {
    let sql =
        "SELECT run_after FROM jobs INDEXED BY jobs_pending WHERE queue = ?1 AND state = 0 AND priority = ?2 ORDER BY run_after LIMIT 1";
    let mut first = None;
    for priority in pending_priorities(connection, queue)? {
        let run_after = connection.prepare_cached(sql)?.query_row(params![queue, priority], |row| row.get(0)).optional()?.map(Timestamp);
        first = [first, run_after].into_iter().flatten().min();
    }
    Ok(first)
}

/// Returns when a job may be claimed or a lease may run out; `None` when that is never by itself.
pub(super) fn due(connection: &Connection, name: &str, now: Timestamp) -> sqlite::Result<Option<Timestamp>> {
    let Some(queue) = find(connection, name)? else { return Ok(None) };
    let sql = "SELECT lease_until FROM jobs INDEXED BY jobs_claimed WHERE queue = ?1 AND state = 1 ORDER BY lease_until LIMIT 1";
    let lease = connection.prepare_cached(sql)?.query_row([queue.id], |row| row.get(0)).optional()?.map(Timestamp);
    let pending = match queue.allowance.refilled(now).next_at() {
        // Without a limit a bucket is always ready, since whenever.
        Some(_) if queue.allowance.rate_per_second.is_none() => first_run_after(connection, queue.id)?,
        Some(allowed_at) => first_run_after(connection, queue.id)?.map(|run_after| run_after.max(allowed_at)),
        None => None,
    };
    Ok([lease, pending].into_iter().flatten().min())
}

pub(super) fn list(connection: &Connection, now: Timestamp) -> sqlite::Result<Vec<QueueStatus>> {
    let mut statement = connection.prepare_cached("SELECT id, name, rate_limit FROM queues ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut queues = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let oldest_pending_at = first_run_after(connection, id)?.filter(|run_after| *run_after <= now);
        let counts = counts(connection, id)?;
        queues.push(QueueStatus { name: row.get(1)?, counts, rate_limit_per_second: row.get(2)?, oldest_pending_at });
    }
    Ok(queues)
}

fn counts(connection: &Connection, queue: i64) -> sqlite::Result<Vec<Count>> {
    let sql = "SELECT state, priority, count FROM counts WHERE queue = ?1 AND count > 0 ORDER BY state, priority";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([queue])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        counts.push(Count { state: schema::state_of(row.get(0)?)?, priority: row.get(1)?, count: row.get::<_, i64>(2)?.max(0) as u64 });
    }
    Ok(counts)
}

pub(super) fn is_busy(connection: &Connection, now: Timestamp) -> sqlite::Result<bool> {
    let claimed: bool =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM counts WHERE state = 1 AND count > 0)")?.query_row([], |row| row.get(0))?;
    if claimed {
        return Ok(true);
    }
    let mut statement = connection.prepare_cached("SELECT id FROM queues WHERE rate_limit IS NOT 0")?;
    let ids: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in ids {
        if first_run_after(connection, id)?.is_some_and(|run_after| run_after <= now) {
            return Ok(true);
        }
    }
    Ok(false)
}
