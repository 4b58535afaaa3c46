//! Tables, the triggers that keep the counts, and how a row is read.

use model::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::job::{JobId, JobSnapshot, State};

/// States are 0 pending, 1 in progress, 2 succeeded, 3 failed. `claims` counts the claims of a job; the claim that is valid
/// is called by the last number. `generation` grows with everything that may change what can be claimed and when.
pub(super) const MIGRATIONS: &[&str] = &["
CREATE TABLE queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, rate_limit REAL, allowance REAL NOT NULL,
    allowance_at INTEGER NOT NULL, generation INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL
);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL,
    run_after INTEGER NOT NULL, attempts_allowed INTEGER NOT NULL, attempts_made INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0, lease_until INTEGER, finished_at INTEGER, created_at INTEGER NOT NULL,
    worker TEXT, idempotency_key TEXT, custom_status TEXT, message TEXT, payload TEXT NOT NULL
);
CREATE INDEX jobs_pending ON jobs (queue, priority, run_after, id) WHERE state = 0;
CREATE INDEX jobs_claimed ON jobs (queue, lease_until) WHERE state = 1;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state >= 2;
CREATE INDEX jobs_by_state ON jobs (queue, state, id);
CREATE UNIQUE INDEX jobs_by_key ON jobs (queue, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE TABLE counts (
    queue INTEGER NOT NULL, state INTEGER NOT NULL, priority INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (queue, state, priority)
) WITHOUT ROWID;
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO counts VALUES (new.queue, new.state, new.priority, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE counts SET count = count - 1 WHERE queue = old.queue AND state = old.state AND priority = old.priority;
    INSERT INTO counts VALUES (new.queue, new.state, new.priority, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE counts SET count = count - 1 WHERE queue = old.queue AND state = old.state AND priority = old.priority;
END;
"];

/// Returns the number that stands for a state in the file. These numbers never change.
pub(super) fn code(state: State) -> i64 {
    match state {
        State::Pending => 0,
        State::InProgress => 1,
        State::Succeeded => 2,
        State::Failed => 3,
    }
}

pub(super) fn state_of(number: i64) -> sqlite::Result<State> {
    State::ALL
        .into_iter()
        .find(|state| code(*state) == number)
        .ok_or_else(|| sqlite::Error::Corrupt(format!("state {number} of a job is not known; a newer program may have written it")))
}

pub(super) fn payload_of(id: JobId, json: &str) -> sqlite::Result<serde_json::Value> {
    serde_json::from_str(json)
        .map_err(|error| sqlite::Error::Corrupt(format!("the payload of job {id} can't be read: {error}. Delete the job.")))
}

const SNAPSHOT: &str = "SELECT jobs.id, queues.name, state, priority, run_after, attempts_allowed, attempts_made, lease_until, finished_at,
    jobs.created_at, worker, idempotency_key, custom_status, message, payload FROM jobs JOIN queues ON queues.id = jobs.queue";

fn snapshot_of(row: &Row<'_>) -> sqlite::Result<JobSnapshot> {
    let id = JobId(row.get(0)?);
    let state = state_of(row.get(2)?)?;
    let (attempts_allowed, attempts_made): (u32, u32) = (row.get(5)?, row.get(6)?);
    let payload: String = row.get(14)?;
    Ok(JobSnapshot {
        id,
        queue: row.get(1)?,
        state,
        payload: payload_of(id, &payload)?,
        priority: row.get(3)?,
        attempts_left: attempts_allowed.saturating_sub(attempts_made),
        attempts_made,
        custom_status: row.get(12)?,
        message: row.get(13)?,
        worker: row.get(10)?,
        idempotency_key: row.get(11)?,
        run_after: Timestamp(row.get(4)?),
        created_at: Timestamp(row.get(9)?),
        lease_until: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        finished_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

pub(super) fn snapshot(connection: &Connection, id: JobId) -> sqlite::Result<Option<JobSnapshot>> {
    let mut statement = connection.prepare_cached(&format!("{SNAPSHOT} WHERE jobs.id = ?1"))?;
    let found = statement.query_row([id.0], |row| Ok(snapshot_of(row))).optional()?;
    found.transpose()
}

pub(super) fn scan(
    connection: &Connection,
    queue: &str,
    state: State,
    after: Option<JobId>,
    limit: usize,
) -> sqlite::Result<Vec<JobSnapshot>> {
    let sql = format!(
        "{SNAPSHOT} WHERE jobs.queue = (SELECT id FROM queues WHERE name = ?1) AND state = ?2 AND jobs.id > ?3 ORDER BY jobs.id LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let after = after.map_or(0, |id| id.0);
    let mut rows = statement.query(params![queue, code(state), after, limit as i64])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(snapshot_of(row)?);
    }
    Ok(jobs)
}

/// Compares the counts with the jobs, and the jobs with the queues.
pub(super) fn check(connection: &Connection) -> sqlite::Result<Vec<String>> {
    let mut findings = Vec::new();
    let sql = "WITH counted AS (SELECT queue, state, priority, count(*) AS count FROM jobs GROUP BY queue, state, priority)
        SELECT queue, state, priority, coalesce(counts.count, 0), coalesce(counted.count, 0)
        FROM counts FULL JOIN counted USING (queue, state, priority) WHERE coalesce(counts.count, 0) <> coalesce(counted.count, 0)";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (queue, state, priority, kept, counted): (i64, i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        let state = state_of(state)?.as_str();
        findings.push(format!("Queue {queue} counts {kept} {state} jobs of priority {priority} and has {counted}."));
    }
    let orphans: i64 =
        connection.query_row("SELECT count(*) FROM jobs WHERE queue NOT IN (SELECT id FROM queues)", [], |row| row.get(0))?;
    if orphans > 0 {
        findings.push(format!("{orphans} jobs are in no queue."));
    }
    Ok(findings)
}
