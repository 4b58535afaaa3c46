//! The front `File`: what engines see.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::error::{Error, Result};
use crate::readers::Readers;
use crate::schema::open_writer;
use crate::writer::{Message, Pending, QUEUE_WRITES_MAX, Request, Writer, data_version};

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections that read; half of them, at least one, may be busy with long reads at a time.
    pub readers: usize,
    /// Page cache per connection, in KiB.
    pub cache_kib: i64,
}

impl Default for Options {
    fn default() -> Options {
        Options { readers: 8, cache_kib: 4096 }
    }
}

/// What a file has done and how large it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub file_bytes: u64,
    /// The write-ahead log beside the file.
    pub wal_bytes: u64,
    /// Transactions committed since the file was opened: one fsync each.
    pub group_commits: u64,
    /// Writes that were in them.
    pub writes: u64,
}

/// One SQLite file. Clones share the writer and the readers.
#[derive(Clone)]
pub struct File {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    readers: Readers,
    long_reads: Semaphore,
    queue: mpsc::Sender<Message>,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
    commits: watch::Receiver<u64>,
    others: watch::Receiver<u64>,
}

#[derive(Default)]
pub(crate) struct Counters {
    group_commits: AtomicU64,
    writes: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self, writes: usize) {
        self.group_commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
    }
}

impl File {
    /// Opens or creates a file and applies the migrations that it has not seen, in order; their number stands in the file.
    /// A file that a newer program wrote is refused. Blocks for as long as the migrations take.
    pub fn open(path: &Path, migrations: &'static [&'static str], options: Options) -> Result<File> {
        File::open_ensuring(path, migrations, "", options)
    }

    /// Does what [`File::open`] does, and then runs `ensure` in a transaction of its own: statements that change nothing when they
    /// have been run before (`CREATE … IF NOT EXISTS`), for tables that follow from the program's vocabulary.
    pub fn open_ensuring(path: &Path, migrations: &[&str], ensure: &str, options: Options) -> Result<File> {
        if options.readers == 0 || options.cache_kib < 0 {
            return Err(Error::Invalid("A database needs at least one reader and a page cache that is not negative.".to_owned()));
        }
        let connection = open_writer(path, migrations, ensure, &options)?;
        let readers = Readers::open(path.to_owned(), options)?;
        let (queue, inbox) = mpsc::channel();
        let (commits_sender, commits) = watch::channel(0);
        let (others_sender, others) = watch::channel(0);
        let counters = Arc::new(Counters::default());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let writer = Writer {
            data_version: data_version(&connection)?,
            connection,
            bell: crate::checkpointer::start(path, &name, &options)?,
            name: name.clone(),
            counters: counters.clone(),
            commits: commits_sender,
            others: others_sender,
            polled_at: Instant::now(),
            gather_until: Instant::now(),
        };
        std::thread::Builder::new()
            .name(format!("sqlite {name}"))
            .spawn(move || writer.serve(inbox))
            .map_err(|error| Error::Unavailable(format!("The writer's thread could not be started: {error}.")))?;
        let shared = Shared {
            path: path.to_owned(),
            readers,
            long_reads: Semaphore::new((options.readers / 2).max(1)),
            queue,
            places: Arc::new(Semaphore::new(QUEUE_WRITES_MAX)),
            counters,
            commits,
            others,
        };
        Ok(File { shared: Arc::new(shared) })
    }

    /// Runs `f` in the next group's transaction and returns when it is on disk. When `f` fails, nothing of it is kept. A caller
    /// that stops waiting before its turn has written nothing; after that the write may stand.
    pub async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.write_sized(0, f).await
    }

    /// Does what [`File::write`] does, and announces how many bytes `f` will write, so that groups stay below their limit.
    pub async fn write_sized<T, F>(&self, bytes: usize, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let place = self.shared.places.clone().acquire_owned().await.map_err(|_| self.closed())?;
        let (reply, answer) = oneshot::channel();
        let work = Box::new(Pending { closure: Some(f), outcome: None, reply });
        self.shared.queue.send(Message::Write(Request { work, bytes, place })).map_err(|_| self.closed())?;
        match answer.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The writer drops what waits behind the order to close without having begun it.
            Err(_) => Err(self.closed()),
        }
    }

    /// Runs `f` on the calling thread, in one snapshot. For reads of microseconds on hot paths: cheaper than a hop to another
    /// thread. `f` must not block or scan.
    pub fn read_now<T>(&self, f: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.shared.readers.run(f)
    }

    /// Runs `f` on a blocking thread, in one snapshot. For scans and whatever else takes milliseconds.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let _turn = self.shared.long_reads.acquire().await.map_err(|_| self.closed())?;
        let file = self.clone();
        match tokio::task::spawn_blocking(move || file.shared.readers.run(f)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(self.closed()),
            },
        }
    }

    /// Returns a receiver that changes after every commit of this process, and within [`crate::POLL_INTERVAL`] after those of others.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.commits.clone()
    }

    /// Returns a receiver that changes within [`crate::POLL_INTERVAL`] after another process has committed: what is cached may be old.
    pub fn watch_others(&self) -> watch::Receiver<u64> {
        self.shared.others.clone()
    }

    /// Returns the size of the file and what was written since it was opened.
    pub fn stats(&self) -> Stats {
        let mut wal = self.shared.path.clone().into_os_string();
        wal.push("-wal");
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Stats {
            file_bytes: bytes(&self.shared.path),
            wal_bytes: bytes(Path::new(&wal)),
            group_commits: self.shared.counters.group_commits.load(Ordering::Relaxed),
            writes: self.shared.counters.writes.load(Ordering::Relaxed),
        }
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Finishes the writes that wait, puts the log into the file, and closes it. Later calls are refused; a second close is none.
    pub async fn checkpoint_and_close(&self) -> Result<()> {
        self.shared.places.close();
        self.shared.long_reads.close();
        self.shared.readers.close();
        let (reply, answer) = oneshot::channel();
        if self.shared.queue.send(Message::Close(reply)).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    fn closed(&self) -> Error {
        Error::Unavailable(format!("{} is closed: the program is shutting down.", self.shared.path.display()))
    }
}
