//! The embedded engine: one SQLite file, group commit, one owner of every queue.
//!
//! ```text
//! schema.rs   tables and triggers: the triggers keep the counts
//! claims.rs   what moves a job from state to state
//! queues.rs   queues, counts, what is due
//! watch.rs    who is told when a queue changes, in this process and from others
//! ```

mod claims;
mod queues;
mod schema;
mod watch;

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use model::Timestamp;
use rusqlite::{Connection, params};
use sqlite::{File, Options};
use tokio::sync::watch as tokio_watch;

use crate::error::{Error, Result};
use crate::job::{Ack, Checkpoint, JobId, JobSnapshot, QueueOptions, QueueStatus, State};

use super::{ClaimRequest, Dequeued, Engine, EngineStats, JobRow};

use self::watch::Watchers;

/// Job queues in one SQLite file.
pub struct SqliteEngine {
    file: File,
    watchers: Watchers,
}

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine").field("path", &self.file.path()).finish()
    }
}

/// What a write did and whom to tell once it is on disk.
struct Told<T> {
    answer: T,
    queues: Vec<String>,
}

impl SqliteEngine {
    /// Opens or creates the file. Must be called inside a tokio runtime, which listens for other processes.
    pub fn open(path: &Path) -> Result<SqliteEngine> {
        // Claims touch the heads of a few indexes, so that a small cache does.
        let options = Options { readers: 4, cache_kib: 1024 };
        let file = File::open(path, schema::MIGRATIONS, options)?;
        let watchers = Watchers::listen(&file)?;
        Ok(SqliteEngine { file, watchers })
    }

    /// Writes, and tells the watchers of the queues that it names.
    async fn write<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> sqlite::Result<Told<T>> + Send + 'static) -> Result<T> {
        let told = self
            .file
            .write(move |connection| {
                let told = work(connection)?;
                for queue in &told.queues {
                    queues::touch(connection, queue)?;
                }
                Ok(told)
            })
            .await?;
        self.watchers.tell(&told.queues);
        Ok(told.answer)
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn create_queue(&self, queue: &str, options: QueueOptions, now: Timestamp) -> Result<()> {
        let queue = queue.to_owned();
        self.write(move |connection| {
            queues::create(connection, &queue, options, now)?;
            Ok(Told { answer: (), queues: vec![queue] })
        })
        .await
    }

    async fn delete_queue(&self, queue: &str) -> Result<()> {
        let queue = queue.to_owned();
        self.write(move |connection| {
            queues::delete(connection, &queue)?;
            Ok(Told { answer: (), queues: vec![queue] })
        })
        .await
    }

    async fn queues(&self, now: Timestamp) -> Result<Vec<QueueStatus>> {
        Ok(self.file.read(move |connection| queues::list(connection, now)).await?)
    }

    async fn enqueue(&self, queue: &str, rows: Vec<JobRow>, now: Timestamp) -> Result<Vec<JobId>> {
        let queue = queue.to_owned();
        self.write(move |connection| {
            let answer = claims::enqueue(connection, &queue, &rows, now)?;
            Ok(Told { answer, queues: vec![queue] })
        })
        .await
    }

    async fn dequeue(&self, request: ClaimRequest, acks: Vec<Ack>, now: Timestamp) -> Result<Dequeued> {
        if acks.is_empty() {
            let due = self.file.read_now(|connection| queues::due(connection, &request.queue, now))?;
            if due.is_none_or(|due| due > now) {
                return Ok(Dequeued { next_due: due, ..Dequeued::default() });
            }
        }
        self.write(move |connection| {
            let mut touched = Vec::new();
            let accepted = claims::apply_acks(connection, &acks, now, &mut touched)?;
            let jobs = claims::claim(connection, &request, now, &mut touched)?;
            let next_due = if jobs.is_empty() { queues::due(connection, &request.queue, now)? } else { None };
            Ok(Told { answer: Dequeued { jobs, accepted, next_due }, queues: touched })
        })
        .await
    }

    async fn ack(&self, acks: Vec<Ack>, now: Timestamp) -> Result<Vec<bool>> {
        self.write(move |connection| {
            let mut touched = Vec::new();
            let answer = claims::apply_acks(connection, &acks, now, &mut touched)?;
            Ok(Told { answer, queues: touched })
        })
        .await
    }

    async fn checkpoint(&self, id: JobId, claim: &str, checkpoint: Checkpoint, now: Timestamp) -> Result<bool> {
        let claim = claim.to_owned();
        self.write(move |connection| {
            let mut touched = Vec::new();
            let answer = claims::checkpoint(connection, id, &claim, &checkpoint, now, &mut touched)?;
            Ok(Told { answer, queues: touched })
        })
        .await
    }

    async fn lookup(&self, ids: &[JobId]) -> Result<Vec<Option<JobSnapshot>>> {
        let ids = ids.to_vec();
        Ok(self.file.read(move |connection| ids.iter().map(|id| schema::snapshot(connection, *id)).collect()).await?)
    }

    async fn scan(&self, queue: &str, state: State, after: Option<JobId>, limit: usize) -> Result<Vec<JobSnapshot>> {
        let queue = queue.to_owned();
        Ok(self.file.read(move |connection| schema::scan(connection, &queue, state, after, limit)).await?)
    }

    async fn retry_failed(&self, queue: &str, now: Timestamp) -> Result<u64> {
        let queue = queue.to_owned();
        self.write(move |connection| {
            let answer = claims::retry_failed(connection, &queue, now)?;
            Ok(Told { answer, queues: vec![queue] })
        })
        .await
    }

    async fn delete(&self, ids: &[JobId]) -> Result<u64> {
        let ids = ids.to_vec();
        self.write(move |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM jobs WHERE id = ?1")?;
            let mut deleted = 0;
            for id in ids {
                deleted += delete.execute([id.0])? as u64;
            }
            Ok(Told { answer: deleted, queues: Vec::new() })
        })
        .await
    }

    async fn expire_claims(&self, now: Timestamp) -> Result<u64> {
        let any = self.file.read_now(|connection| claims::any_expired(connection, now))?;
        if !any {
            return Ok(0);
        }
        self.write(move |connection| {
            let mut touched = Vec::new();
            let answer = claims::expire(connection, None, now, &mut touched)?;
            Ok(Told { answer, queues: touched })
        })
        .await
    }

    async fn collect(&self, finished_before: Timestamp, limit: usize) -> Result<u64> {
        let sql_any = "SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_finished WHERE state >= 2 AND finished_at < ?1)";
        let any: bool =
            self.file.read_now(|connection| Ok(connection.prepare_cached(sql_any)?.query_row([finished_before.0], |row| row.get(0))?))?;
        if !any {
            return Ok(0);
        }
        self.write(move |connection| {
            let sql = "DELETE FROM jobs WHERE id IN
                (SELECT id FROM jobs INDEXED BY jobs_finished WHERE state >= 2 AND finished_at < ?1 ORDER BY finished_at LIMIT ?2)";
            let deleted = connection.prepare_cached(sql)?.execute(params![finished_before.0, limit as i64])?;
            Ok(Told { answer: deleted as u64, queues: Vec::new() })
        })
        .await
    }

    async fn is_busy(&self, now: Timestamp) -> Result<bool> {
        Ok(self.file.read_now(|connection| queues::is_busy(connection, now))?)
    }

    async fn check(&self) -> Result<Vec<String>> {
        Ok(self.file.read(schema::check).await?)
    }

    fn watch_queue(&self, queue: &str) -> tokio_watch::Receiver<u64> {
        self.watchers.subscribe(queue)
    }

    fn watch(&self) -> tokio_watch::Receiver<u64> {
        self.file.watch()
    }

    async fn stats(&self) -> Result<EngineStats> {
        let stats = self.file.stats();
        Ok(EngineStats { file_bytes: stats.file_bytes, wal_bytes: stats.wal_bytes })
    }

    async fn close(&self) {
        if let Err(error) = self.file.checkpoint_and_close().await {
            tracing::warn!(%error, "the job queues could not be settled; their write-ahead log stays and is read at the next start");
        }
    }
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Error {
        match error {
            sqlite::Error::Invalid(why) => Error::Invalid(why),
            sqlite::Error::Conflict(why) => Error::Conflict(why),
            sqlite::Error::NotFound(why) => Error::NotFound(why),
            sqlite::Error::Unavailable(why) => Error::Unavailable(why),
            sqlite::Error::Unknown(why) => Error::Unknown(why),
            sqlite::Error::Corrupt(why) => Error::Corrupt(why),
        }
    }
}
