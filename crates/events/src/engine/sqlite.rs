//! The embedded engine: one SQLite file, group commit, one partition per topic.
//!
//! ```text
//! records   position = topic code (7 bits) << 56 | offset (56 bits)    so that a topic is one range of the primary key
//! topics    the last offset handed out, which outlives the records
//! groups    how far each consumer group has come
//! ```
//!
//! Activity has code 1: its offset 5 stands at position 0x0100_0000_0000_0005 = 72057594037927941.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use model::{Timestamp, Topic};
use rusqlite::{Connection, OptionalExtension, params};
use sqlite::{File, Options};
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::limits::SHORT_READ_RECORDS;
use crate::record::{GroupLag, TopicStats};

use super::{Engine, EngineStats, LogRow};

const MIGRATIONS: &[&str] = &["
CREATE TABLE records (position INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL);
CREATE UNIQUE INDEX records_by_id ON records (id);
CREATE TABLE topics (topic INTEGER PRIMARY KEY, last_offset INTEGER NOT NULL);
CREATE TABLE groups (
    name TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, committed INTEGER NOT NULL, committed_at INTEGER NOT NULL,
    PRIMARY KEY (name, topic, partition)
) WITHOUT ROWID;
"];

/// Bits of a position that are the offset.
const OFFSET_BITS: u32 = 56;

/// A log in one SQLite file.
pub struct SqliteEngine {
    file: File,
}

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine").field("path", &self.file.path()).finish()
    }
}

impl SqliteEngine {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<SqliteEngine> {
        // Consumers read what was just written, so that a small cache does.
        let options = Options { readers: 4, cache_kib: 1024 };
        Ok(SqliteEngine { file: File::open(path, MIGRATIONS, options)? })
    }

    async fn rows(
        &self,
        limit: usize,
        query: impl FnOnce(&Connection) -> sqlite::Result<Vec<(i64, String)>> + Send + 'static,
    ) -> Result<Vec<(i64, String)>> {
        if limit <= SHORT_READ_RECORDS { Ok(self.file.read_now(query)?) } else { Ok(self.file.read(query).await?) }
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn append(&self, rows: Vec<LogRow>) -> Result<()> {
        let bytes = rows.iter().map(|row| row.event.len()).sum();
        Ok(self.file.write_sized(bytes, move |connection| append(connection, &rows)).await?)
    }

    async fn read(&self, topic: Topic, partition: u32, after: i64, limit: usize) -> Result<Vec<(i64, String)>> {
        check_partition(partition)?;
        let (first, last) = range(topic);
        let after = first.saturating_add(after).min(last);
        self.rows(limit, move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT position, event FROM records WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3")?;
            let rows = statement.query_map(params![after, last, limit as i64], |row| Ok((row.get::<_, i64>(0)? - first, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn recent(&self, topic: Topic, partition: u32, limit: usize) -> Result<Vec<(i64, String)>> {
        check_partition(partition)?;
        let (first, last) = range(topic);
        self.rows(limit, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, event FROM records WHERE position > ?1 AND position <= ?2 ORDER BY position DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(params![first, last, limit as i64], |row| Ok((row.get::<_, i64>(0)? - first, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<TopicStats> {
        check_partition(partition)?;
        let (first, last) = range(topic);
        Ok(self.file.read_now(|connection| {
            let end = last_offset(connection, topic)?;
            let start = connection
                .prepare_cached("SELECT position FROM records WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT 1")?
                .query_row(params![first, last], |row| row.get::<_, i64>(0))
                .optional()?
                .map_or(end + 1, |position| position - first);
            Ok(TopicStats { topic, start, end })
        })?)
    }

    async fn join(&self, group: &str, topic: Topic, partition: u32, now: Timestamp) -> Result<i64> {
        check_partition(partition)?;
        let known = self.file.read_now(|connection| committed(connection, group, topic))?;
        if let Some(offset) = known {
            return Ok(offset);
        }
        let group = group.to_owned();
        let write = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "INSERT INTO groups (name, topic, partition, committed, committed_at) VALUES (?1, ?2, 0, 0, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![group, code(topic), now.0])?;
            Ok(committed(connection, &group, topic)?.unwrap_or(0))
        };
        Ok(self.file.write(write).await?)
    }

    async fn commit(&self, group: &str, topic: Topic, partition: u32, offset: i64, now: Timestamp) -> Result<()> {
        check_partition(partition)?;
        let group = group.to_owned();
        let write = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "INSERT INTO groups (name, topic, partition, committed, committed_at) VALUES (?1, ?2, 0, ?3, ?4)
                     ON CONFLICT (name, topic, partition) DO UPDATE SET committed = excluded.committed, committed_at = excluded.committed_at",
                )?
                .execute(params![group, code(topic), offset, now.0])?;
            Ok(())
        };
        Ok(self.file.write(write).await?)
    }

    async fn forget_group(&self, group: &str) -> Result<bool> {
        let group = group.to_owned();
        let write =
            move |connection: &Connection| Ok(connection.prepare_cached("DELETE FROM groups WHERE name = ?1")?.execute([group])? > 0);
        Ok(self.file.write(write).await?)
    }

    async fn groups(&self) -> Result<Vec<GroupLag>> {
        Ok(self.file.read_now(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, topic, committed, committed_at FROM groups ORDER BY name, topic")?;
            let mut rows = statement.query([])?;
            let mut groups = Vec::new();
            while let Some(row) = rows.next()? {
                let topic = topic_of(row.get(1)?)?;
                let end = last_offset(connection, topic)?;
                groups.push(GroupLag { group: row.get(0)?, topic, committed: row.get(2)?, end, committed_at: Timestamp(row.get(3)?) });
            }
            Ok(groups)
        })?)
    }

    async fn forget(&self, topic: Topic, partition: u32, before: Timestamp, unconsumed_before: Timestamp, limit: usize) -> Result<u64> {
        check_partition(partition)?;
        // Looked at first without the writer: most calls find nothing to do.
        let last = self.file.read(move |connection| forgettable(connection, topic, before, unconsumed_before, limit)).await?;
        if last.is_none() {
            return Ok(0);
        }
        let write = move |connection: &Connection| {
            let Some(last) = forgettable(connection, topic, before, unconsumed_before, limit)? else { return Ok(0) };
            let deleted = connection
                .prepare_cached("DELETE FROM records WHERE position > ?1 AND position <= ?2")?
                .execute(params![range(topic).0, last])?;
            Ok(deleted as u64)
        };
        Ok(self.file.write(write).await?)
    }

    async fn rewrite(&self, topic: Topic, partition: u32, rows: Vec<(i64, String)>) -> Result<()> {
        check_partition(partition)?;
        let (first, bytes) = (range(topic).0, rows.iter().map(|(_, event)| event.len()).sum());
        let write = move |connection: &Connection| {
            let mut update = connection.prepare_cached("UPDATE records SET event = ?2 WHERE position = ?1")?;
            rows.iter().try_for_each(|(offset, event)| update.execute(params![first + offset, event]).map(drop))?;
            Ok(())
        };
        Ok(self.file.write_sized(bytes, write).await?)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.file.watch()
    }

    async fn stats(&self) -> Result<EngineStats> {
        let stats = self.file.stats();
        Ok(EngineStats { file_bytes: stats.file_bytes, wal_bytes: stats.wal_bytes })
    }

    async fn close(&self) {
        if let Err(error) = self.file.checkpoint_and_close().await {
            tracing::warn!(%error, "the event log could not be settled; its write-ahead log stays and is read at the next start");
        }
    }
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Error {
        match error {
            sqlite::Error::Invalid(why) => Error::Invalid(why),
            sqlite::Error::Unavailable(why) | sqlite::Error::NotFound(why) => Error::Unavailable(why),
            sqlite::Error::Unknown(why) => Error::Unknown(why),
            // No closure here refuses by conflict: a constraint that is met shows rows that contradict each other.
            sqlite::Error::Corrupt(why) | sqlite::Error::Conflict(why) => Error::Corrupt(why),
        }
    }
}

fn append(connection: &Connection, rows: &[LogRow]) -> sqlite::Result<()> {
    let mut ends: [Option<i64>; Topic::ALL.len()] = [None; Topic::ALL.len()];
    {
        let mut insert = connection
            .prepare_cached("INSERT INTO records (position, id, at, event) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING")?;
        for row in rows {
            let end = &mut ends[(code(row.topic) - 1) as usize];
            let last = match *end {
                Some(last) => last,
                None => last_offset(connection, row.topic)?,
            };
            let inserted = insert.execute(params![range(row.topic).0 + last + 1, row.id, row.at.0, row.event])?;
            *end = Some(last + inserted as i64);
        }
    }
    let mut update = connection.prepare_cached(
        "INSERT INTO topics (topic, last_offset) VALUES (?1, ?2) ON CONFLICT (topic) DO UPDATE SET last_offset = excluded.last_offset",
    )?;
    for topic in Topic::ALL {
        if let Some(end) = ends[(code(topic) - 1) as usize] {
            update.execute(params![code(topic), end])?;
        }
    }
    Ok(())
}

/// Returns the position of the last record that may go now.
fn forgettable(
    connection: &Connection,
    topic: Topic,
    before: Timestamp,
    unconsumed_before: Timestamp,
    limit: usize,
) -> sqlite::Result<Option<i64>> {
    let (first, last) = range(topic);
    let consumed = connection
        .prepare_cached("SELECT min(committed) FROM groups WHERE topic = ?1")?
        .query_row([code(topic)], |row| row.get::<_, Option<i64>>(0))?
        .unwrap_or(i64::MAX);
    let mut statement =
        connection.prepare_cached("SELECT position, at FROM records WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3")?;
    let mut rows = statement.query(params![first, last, limit as i64])?;
    let mut found = None;
    while let Some(row) = rows.next()? {
        let (position, at): (i64, i64) = (row.get(0)?, row.get(1)?);
        let is_old = at < before.0 && (position - first <= consumed || at < unconsumed_before.0);
        if !is_old {
            break;
        }
        found = Some(position);
    }
    Ok(found)
}

fn last_offset(connection: &Connection, topic: Topic) -> sqlite::Result<i64> {
    let offset = connection
        .prepare_cached("SELECT last_offset FROM topics WHERE topic = ?1")?
        .query_row([code(topic)], |row| row.get(0))
        .optional()?;
    Ok(offset.unwrap_or(0))
}

fn committed(connection: &Connection, group: &str, topic: Topic) -> sqlite::Result<Option<i64>> {
    Ok(connection
        .prepare_cached("SELECT committed FROM groups WHERE name = ?1 AND topic = ?2 AND partition = 0")?
        .query_row(params![group, code(topic)], |row| row.get(0))
        .optional()?)
}

/// Returns the number that stands for a topic in the file. These numbers never change.
fn code(topic: Topic) -> i64 {
    match topic {
        Topic::Activity => 1,
        Topic::Impressions => 2,
        Topic::Errors => 3,
        Topic::Audit => 4,
    }
}

fn topic_of(number: i64) -> sqlite::Result<Topic> {
    Topic::ALL
        .into_iter()
        .find(|topic| code(*topic) == number)
        .ok_or_else(|| sqlite::Error::Corrupt(format!("topic {number} is not known; a newer program may have written it")))
}

/// Returns the position before a topic's first record, and the last one that it can have.
fn range(topic: Topic) -> (i64, i64) {
    let first = code(topic) << OFFSET_BITS;
    (first, first + (1 << OFFSET_BITS) - 1)
}

fn check_partition(partition: u32) -> Result<()> {
    if partition == 0 {
        return Ok(());
    }
    Err(Error::Invalid(format!("Partition {partition} does not exist: this log has one partition per topic, number 0.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_topic_and_offset() {
        assert_eq!(range(Topic::Activity).0 + 5, 72_057_594_037_927_941);
        for pair in Topic::ALL.windows(2) {
            assert!(range(pair[0]).1 < range(pair[1]).0);
        }
        for (index, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(code(topic), index as i64 + 1);
            assert_eq!(topic_of(code(topic)), Ok(topic));
        }
        assert!(topic_of(9).is_err());
    }
}
