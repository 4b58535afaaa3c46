//! One server of the map: its primary with the lanes that write there, its replicas, and the keeper that looks after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use mysql::{Credentials, Limits, Server};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::lane::{Counters, Done, Lane, Request, Turned, Work};
use super::queue::Queue;
use crate::error::{Error, Result};
use crate::row::Freshness;
use crate::shard_map::ServerEntry;

/// Connections that write to one server: transactions that are on their way at once. Two, so that one is decided while the other commits.
const LANES: u16 = 2;
/// How long a read waits for a replica to have seen the reader's own writes, before it asks the primary.
pub(super) const SEEN_WAIT: Duration = Duration::from_millis(50);

/// What lanes share with the rest of the process.
#[derive(Clone)]
pub(super) struct Process {
    /// This process among all that write, at random.
    pub writer: i64,
    pub credentials: Credentials,
    pub counters: Arc<Counters>,
    pub commits: watch::Sender<u64>,
    pub others: watch::Sender<u64>,
}

pub(super) struct Node {
    pub entry: ServerEntry,
    pub primary: Server,
    pub replicas: Vec<Replica>,
    queue: Arc<Queue<Request>>,
    keeper: Mutex<Option<AbortHandle>>,
    /// When the keeper last asked for the commits of others, and heard of all.
    pub heard_at: Mutex<Option<Instant>>,
}

pub(super) struct Replica {
    pub server: Server,
    /// How far it was behind at the last look, in milliseconds; negative when nobody knows.
    behind_ms: AtomicI64,
}

impl Replica {
    pub fn behind_ms(&self) -> Option<u64> {
        u64::try_from(self.behind_ms.load(Ordering::Relaxed)).ok()
    }

    pub fn set_behind(&self, behind_ms: Option<i64>) {
        self.behind_ms.store(behind_ms.map_or(-1, |ms| ms.max(0)), Ordering::Relaxed);
    }
}

/// Names a server of the map.
pub(crate) fn server(address: &str, credentials: &Credentials, limits: Limits) -> Result<Server> {
    let address = address.parse().map_err(|error| Error::Invalid(format!("The shard map is wrong: {error}.")))?;
    Ok(Server::new(address, credentials.clone(), limits))
}

impl Node {
    /// Names the servers and starts the lanes. Nothing is asked yet.
    pub fn start(entry: &ServerEntry, process: &Process) -> Result<Node> {
        let primary = server(&entry.primary, &process.credentials, Limits::default())?;
        let replica = |address: &String| {
            Ok(Replica { server: server(address, &process.credentials, Limits::default())?, behind_ms: AtomicI64::new(-1) })
        };
        let queue = Arc::new(Queue::default());
        for number in 0..LANES {
            let lane = Lane {
                primary: primary.clone(),
                number: entry.number,
                name: entry.name.clone(),
                writer: process.writer,
                lane: number,
                has_replicas: !entry.replicas.is_empty(),
                counters: process.counters.clone(),
                commits: process.commits.clone(),
            };
            tokio::spawn(lane.serve(queue.clone()));
        }
        let replicas = entry.replicas.iter().map(replica).collect::<Result<_>>()?;
        Ok(Node { entry: entry.clone(), primary, replicas, queue, keeper: Mutex::default(), heard_at: Mutex::default() })
    }

    /// Names the primary anew, with time for statements that look at everything.
    pub fn patient_primary(&self, credentials: &Credentials) -> Result<Server> {
        server(&self.entry.primary, credentials, Limits::long())
    }

    /// Hands over the task that looks after this node; it ends with it.
    pub fn keep(&self, keeper: AbortHandle) {
        if let Some(old) = self.keeper.lock().replace(keeper) {
            old.abort();
        }
    }

    /// Writes in one of the next groups.
    pub async fn write(&self, work: Work, epochs: Vec<u64>) -> std::result::Result<Done, Turned> {
        let (reply, answer) = oneshot::channel();
        let bytes = work.bytes();
        if !self.queue.push(Request { work, epochs, reply }, bytes).await {
            return Err(Turned::Final(Error::Unavailable("Storage is closed.".to_owned())));
        }
        let lost = |_| Turned::Final(Error::Unknown("The writer ended before it answered.".to_owned()));
        answer.await.map_err(lost)?
    }

    /// Chooses where to read: a replica that is fresh enough, in turn, else the primary. The text is a condition that must come out as 0
    /// before the answer counts.
    pub fn reader<'a>(&'a self, freshness: &'a Freshness) -> (&'a Server, Option<&'a str>) {
        let fit = |replica: &&Replica| {
            !replica.server.is_resting() && replica.behind_ms().is_some_and(|behind| behind <= freshness.at_most_stale_ms)
        };
        let fresh: Vec<&Replica> = self.replicas.iter().filter(fit).collect();
        if freshness.at_most_stale_ms == 0 || fresh.is_empty() {
            return (&self.primary, None);
        }
        let seen = freshness.after.iter().rfind(|commit| commit.server == self.entry.number).map(|commit| commit.gtid.as_str());
        let chosen = fresh[(runtime::random_u64() % fresh.len() as u64) as usize];
        (&chosen.server, seen.filter(|gtid| !gtid.is_empty()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.abort();
        }
    }
}
