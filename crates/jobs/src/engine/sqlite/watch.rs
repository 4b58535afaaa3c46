//! Who is told when a queue changes: watchers in this process at once, and after other processes' commits within a moment.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use sqlite::File;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::limits::LISTEN_EVERY;

/// The watched queues of one engine.
pub(super) struct Watchers {
    queues: Arc<Mutex<HashMap<String, Watched>>>,
    listener: JoinHandle<()>,
}

struct Watched {
    sender: watch::Sender<u64>,
    /// The queue's number and generation as last read; both, because a queue may be deleted and made again.
    known: Option<(i64, i64)>,
}

impl Drop for Watchers {
    fn drop(&mut self) {
        // The listener holds the file open.
        self.listener.abort();
    }
}

impl Watchers {
    /// Starts listening for commits. The listener sleeps while nobody commits.
    pub(super) fn listen(file: &File) -> Result<Watchers> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::Invalid("The job queues were opened outside a tokio runtime; open them inside one.".to_owned()))?;
        let queues = Arc::default();
        let listener = runtime.spawn(listen(Arc::clone(&queues), file.clone()));
        Ok(Watchers { queues, listener })
    }

    pub(super) fn subscribe(&self, queue: &str) -> watch::Receiver<u64> {
        let mut queues = self.queues.lock();
        if let Some(watched) = queues.get(queue) {
            return watched.sender.subscribe();
        }
        let (sender, receiver) = watch::channel(0);
        queues.insert(queue.to_owned(), Watched { sender, known: None });
        receiver
    }

    /// Tells the watchers of these queues.
    pub(super) fn tell(&self, touched: &[String]) {
        if touched.is_empty() {
            return;
        }
        let queues = self.queues.lock();
        for watched in touched.iter().filter_map(|queue| queues.get(queue)) {
            watched.sender.send_modify(|count| *count += 1);
        }
    }
}

async fn listen(queues: Arc<Mutex<HashMap<String, Watched>>>, file: File) {
    let mut commits = file.watch();
    while commits.changed().await.is_ok() {
        if !queues.lock().is_empty() {
            match file.read_now(generations) {
                Ok(read) => compare(&mut queues.lock(), read),
                Err(error) => {
                    tracing::warn!(%error, "other processes' changes to the job queues could not be read; the next commit tries again")
                }
            }
        }
        // Commits come in bursts; one look serves them all.
        tokio::time::sleep(LISTEN_EVERY).await;
    }
}

fn generations(connection: &Connection) -> sqlite::Result<Vec<(String, i64, i64)>> {
    let mut statement = connection.prepare_cached("SELECT name, id, generation FROM queues")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Tells the watchers of every queue whose generation is not the one that was read last.
fn compare(queues: &mut HashMap<String, Watched>, read: Vec<(String, i64, i64)>) {
    for (name, id, generation) in read {
        if let Some(watched) = queues.get_mut(&name)
            && watched.known != Some((id, generation))
        {
            watched.known = Some((id, generation));
            watched.sender.send_modify(|count| *count += 1);
        }
    }
}
