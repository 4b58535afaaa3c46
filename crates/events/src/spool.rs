//! The spool: emitted events that wait on disk, one JSON line each, while the log is away.
//!
//! ```text
//! write: lock · end a torn line · append lines · sync · unlock
//! drain: lock · lines ─▶ log, in chunks · truncate to 0 · sync · unlock
//! ```
//!
//! Invariants: the file is never removed, only truncated, and only under its lock, so that several processes can share it.
//! A crash in the middle of a drain repeats lines, which the log ignores by their ids.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use model::Event;

use crate::limits::SPOOL_BYTES_MAX;

/// A file of events beside the log.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    bytes: u64,
}

/// What became of the events of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spooled {
    Written,
    /// Nothing was written: the spool would grow over its limit.
    Full,
}

impl Spool {
    /// Looks at the file; it need not exist yet. What an earlier process left in it waits for the next drain.
    pub(crate) fn open(path: PathBuf) -> Spool {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Spool { path, bytes }
    }

    /// Returns the size as of the last look.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts events at the end, durably.
    pub(crate) async fn write(&mut self, events: &[Event]) -> io::Result<Spooled> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let path = self.path.clone();
        let (spooled, bytes) = blocking(move || {
            let mut file = locked(&path)?;
            let end = file.seek(SeekFrom::End(0))?;
            if end + lines.len() as u64 > SPOOL_BYTES_MAX {
                return Ok((Spooled::Full, end));
            }
            if end > 0 && !ends_with_newline(&mut file)? {
                lines.insert(0, b'\n');
            }
            file.write_all(&lines)?;
            file.sync_data()?;
            Ok((Spooled::Written, end + lines.len() as u64))
        })
        .await?;
        self.bytes = bytes;
        Ok(spooled)
    }

    /// Locks the file for a drain.
    pub(crate) async fn drain(&mut self) -> io::Result<Drain> {
        let path = self.path.clone();
        let file = blocking(move || {
            let mut file = locked(&path)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        })
        .await?;
        Ok(Drain { reader: Some(BufReader::new(file)) })
    }

    /// Notes that a drain has emptied the file.
    pub(crate) fn set_empty(&mut self) {
        self.bytes = 0;
    }
}

/// A drain under way; holds the lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Drain {
    /// `None` only while a blocking thread reads.
    reader: Option<BufReader<File>>,
}

impl Drain {
    /// Reads up to `count_max` events and the number of lines that were not events. No event and no such line: the end.
    pub(crate) async fn next(&mut self, count_max: usize) -> io::Result<(Vec<Event>, u64)> {
        let Some(mut reader) = self.reader.take() else {
            return Err(io::Error::other("an earlier read of the spool failed"));
        };
        let (reader, events, broken) = blocking(move || {
            let (mut events, mut broken) = (Vec::new(), 0);
            let mut line = Vec::new();
            while events.len() < count_max {
                line.clear();
                if reader.read_until(b'\n', &mut line)? == 0 {
                    break;
                }
                match serde_json::from_slice(&line) {
                    Ok(event) => events.push(event),
                    Err(_) if line.trim_ascii().is_empty() => {}
                    Err(_) => broken += 1,
                }
            }
            Ok((reader, events, broken))
        })
        .await?;
        self.reader = Some(reader);
        Ok((events, broken))
    }

    /// Empties the file: everything in it is in the log.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        let Some(reader) = self.reader.take() else {
            return Err(io::Error::other("an earlier read of the spool failed"));
        };
        blocking(move || {
            let file = reader.into_inner();
            file.set_len(0)?;
            file.sync_data()
        })
        .await
    }
}

fn locked(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    // Events say who did what; only the owner of the site reads that.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use model::{EventKind, Timestamp};

    use super::*;

    fn event(id: &str) -> Event {
        Event {
            id: id.to_owned(),
            kind: EventKind::PageViewed,
            at: Timestamp(7),
            actor: None,
            subjects: Vec::new(),
            request_id: String::new(),
            role: String::new(),
            host: String::new(),
            data: serde_json::json!({ "path": "/a\nb" }),
        }
    }

    async fn drained(spool: &mut Spool) -> (Vec<String>, u64) {
        let mut drain = spool.drain().await.expect("a drain");
        let (mut ids, mut broken_all) = (Vec::new(), 0);
        loop {
            let (events, broken) = drain.next(2).await.expect("a chunk");
            if events.is_empty() && broken == 0 {
                drain.finish().await.expect("an end");
                spool.set_empty();
                return (ids, broken_all);
            }
            ids.extend(events.into_iter().map(|event| event.id));
            broken_all += broken;
        }
    }

    #[tokio::test]
    async fn what_was_written_is_drained_in_order_over_processes_and_torn_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.spool.jsonl");
        let mut spool = Spool::open(path.clone());
        assert_eq!(spool.bytes(), 0);
        spool.write(&[event("1"), event("2")]).await.expect("a write");
        OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(br#"{"id":"torn","#)).expect("a torn line");

        let mut later = Spool::open(path.clone());
        assert!(later.bytes() > 0);
        later.write(&[event("3")]).await.expect("a write");
        let (ids, broken) = drained(&mut later).await;
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(broken, 1);
        assert_eq!(std::fs::metadata(&path).expect("a file").len(), 0);
        assert_eq!(drained(&mut later).await, (Vec::new(), 0));
    }

    #[tokio::test]
    async fn a_full_spool_takes_nothing_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.spool.jsonl");
        File::create(&path).and_then(|file| file.set_len(SPOOL_BYTES_MAX - 10)).expect("a large file");
        let mut spool = Spool::open(path);
        assert_eq!(spool.write(&[event("1")]).await.expect("an answer"), Spooled::Full);
        assert_eq!(spool.bytes(), SPOOL_BYTES_MAX - 10);
    }
}
