//! memcached, one node or several, by the meta protocol.
//!
//! ```text
//! key ─▶ ring ─▶ home, spare      reads go to the home; while it is out, to the spare; with both out there is no cache
//!                                 invalidations go to both, so that neither holds anything old
//! item = PREFIX GENERATION . ID   flags: the version; data: the row; no data: a floor, below which nothing is filled in
//!        … ID . ASSOCIATION       data: the list; flags 0. It is deleted when it is written, and the lease with it
//!        … / NAME                 the same for a value
//! ```
//! What keeps answers right, by race:
//! - *Load, write, fill.* A lease is the item's CAS token from before the load. An invalidation replaces the item; the fill is refused.
//! - *Write, load from a replica that lags, fill.* An invalidation leaves a floor for a minute, and nothing older is filled in.
//! - *Two invalidations cross.* Floors are raised by compare and swap, and the higher one stays.
//! - *A node was restarted between lease and fill.* Tokens begin anew then; a lease counts only on the connection by which it came.
//! - *An invalidation can't be delivered.* The node's generation is raised, and with it all keys change. Generations are kept on all nodes:
//!   every process reads them every second, and before it puts a node in. So whoever still reaches the node stops believing it within two
//!   seconds, as long as writer and reader have one node in common; and the node can't bring back anything old for anyone who writes.
//! - *A process writes and has not heard of a new generation.* It looks behind the write which one the node holds ([`generations`]).
//! - *Processes see different nodes.* A key's home and spare are the same for all of them.
//!
//! What remains: a process that commits and dies, or is cut off from all nodes, before it has invalidated. A server that starts after such a
//! death drops everything ([`crate::Cache::begin_anew`]); until then, and where nobody starts it, cells go by themselves after
//! [`crate::limits::CELL_MS`].

mod address;
mod check;
mod deliver;
mod generations;
mod node;
mod protocol;
mod ring;

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::{Notify, OnceCell};

use super::{Asked, Cell, Engine, Key, Lease, Looked, Refill, Stale};
use crate::error::{Error, Result};
use address::Address;
use node::Node;
use protocol::{ABSENT, Item, Reply, flags_of};

pub use check::{Checked, check_address};

/// Largest row that is shared: memcached refuses items beyond 1 MiB unless it is told otherwise.
const ROW_BYTES_MAX: usize = 1_000_000;
/// Longest name of a value, so that keys stay within 250 bytes.
const NAME_BYTES_MAX: usize = 180;
/// The bits of a lease's place that name the node.
const PLACE_BITS: u32 = 8;

/// How long things may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemcachedLimits {
    /// Time of one round trip, and of one attempt to connect.
    pub call: Duration,
    /// Time after which a lease is given to somebody else; whole seconds.
    pub lease: Duration,
    /// Time between two looks at every node.
    pub probe: Duration,
}

impl Default for MemcachedLimits {
    fn default() -> MemcachedLimits {
        MemcachedLimits { call: Duration::from_millis(150), lease: Duration::from_secs(10), probe: Duration::from_secs(1) }
    }
}

/// A cache on memcached.
#[derive(Debug)]
pub struct Memcached {
    shared: Arc<Shared>,
    /// Set once every node has been tried.
    begun: OnceCell<()>,
}

/// What calls and the keeper share.
#[derive(Debug)]
struct Shared {
    prefix: String,
    nodes: Vec<Node>,
    hashes: Vec<u64>,
    limits: MemcachedLimits,
    /// Wakes the keeper before its time: something is wrong.
    wake: Notify,
}

impl Memcached {
    /// Names the nodes. Nothing is connected before the first call.
    pub fn new(url: &str, limits: MemcachedLimits) -> Result<Memcached> {
        let ways = Address::parse(url)?.nodes;
        Memcached::by_ways(url, limits, ways)
    }

    /// Names the nodes, and reaches them by other addresses, in the same order: through tunnels, or ways that a test can cut. What processes
    /// must agree on are the names.
    pub fn by_ways(url: &str, limits: MemcachedLimits, ways: Vec<String>) -> Result<Memcached> {
        let Address { nodes, prefix } = Address::parse(url)?;
        if ways.len() != nodes.len() {
            return Err(Error::Invalid(format!("{} ways lead to {} nodes; give one for each.", ways.len(), nodes.len())));
        }
        let hashes = nodes.iter().map(|node| ring::hash(node.as_bytes())).collect();
        let nodes = nodes.into_iter().zip(ways).map(|(node, way)| Node::new(node, way)).collect();
        Ok(Memcached { shared: Arc::new(Shared { prefix, nodes, hashes, limits, wake: Notify::new() }), begun: OnceCell::new() })
    }

    /// Connects to all nodes at the first call, and leaves a task behind that keeps looking after them.
    async fn begun(&self) -> &Arc<Shared> {
        let begin = || async {
            self.shared.probe_all().await;
            tokio::spawn(keep(Arc::downgrade(&self.shared)));
        };
        self.begun.get_or_init(begin).await;
        &self.shared
    }
}

/// Looks after the nodes until the engine is gone.
async fn keep(shared: Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let wait = strong.limits.probe;
        // The engine must be able to go while this waits.
        let woken = tokio::time::timeout(wait, strong.wake.notified());
        let _ = woken.await;
        strong.probe_all().await;
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Shared {
    /// The nodes of a key by place: its home and its spare.
    fn places(&self, key: &Key) -> (usize, Option<usize>) {
        match key {
            Key::Object(id) => ring::places(&self.hashes, &id.as_u64().to_be_bytes()),
            Key::List(assoc, from) => {
                let [id, table] = [&from.as_u64().to_be_bytes()[..], assoc.table().as_bytes()];
                ring::places(&self.hashes, &[id, table].concat())
            }
            Key::Value(name) => ring::places(&self.hashes, name.as_bytes()),
        }
    }

    /// The node to ask for a key.
    fn place(&self, key: &Key) -> Option<usize> {
        let (home, spare) = self.places(key);
        let is_in = |place: &usize| self.nodes[*place].is_in();
        Some(home).filter(is_in).or(spare.filter(is_in))
    }

    /// The key's name in a generation; `None` for one that memcached would not take.
    fn name(&self, generation: u64, key: &Key) -> Option<String> {
        match key {
            Key::Object(id) => Some(format!("{}{generation:x}.{:x}", self.prefix, id.as_u64())),
            Key::List(assoc, from) => Some(format!("{}{generation:x}.{:x}.{}", self.prefix, from.as_u64(), assoc.table())),
            Key::Value(name) => {
                let is_plain = name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
                is_plain.then(|| format!("{}{generation:x}/{name}", self.prefix))
            }
        }
    }

    async fn call(&self, place: usize, commands: Vec<u8>, count: usize) -> node::Answer {
        let connection = self.nodes[place].connection()?;
        let answer = self.nodes[place].call_by(&connection, commands, count, self.limits.call).await;
        if answer.is_none() {
            self.wake.notify_one();
        }
        answer
    }

    /// Asks one node for keys by their index.
    async fn look(&self, place: usize, asked: &[Asked], indexes: Vec<usize>) -> Vec<(usize, Looked)> {
        let mut commands = Vec::with_capacity(indexes.len() * 64);
        let mut sent = Vec::with_capacity(indexes.len());
        let mut looked = Vec::with_capacity(indexes.len());
        let generation = self.nodes[place].agreed();
        for index in indexes {
            let Asked { key, stale_ms, .. } = &asked[index];
            match generation.and_then(|generation| self.name(generation, key)) {
                Some(name) => {
                    let command = format!("mg {name} f c v N{} R{}\r\n", self.limits.lease.as_secs(), stale_ms / 1_000);
                    commands.extend_from_slice(command.as_bytes());
                    sent.push(index);
                }
                None => looked.push((index, Looked::Away)),
            }
        }
        if sent.is_empty() {
            return looked;
        }
        let count = sent.len();
        match self.call(place, commands, count).await {
            Some((replies, connection)) => {
                let at = connection << PLACE_BITS | place as u64;
                looked.extend(sent.into_iter().zip(replies).map(|(index, reply)| (index, found(reply, at, asked[index].held))));
            }
            None => looked.extend(sent.into_iter().map(|index| (index, Looked::Away))),
        }
        looked
    }

    /// Fills keys on one node, by their index.
    async fn put(&self, place: usize, refills: &[Refill], indexes: Vec<usize>) -> Vec<(usize, bool)> {
        let (Some(connection), Some(generation)) = (self.nodes[place].connection(), self.nodes[place].agreed()) else { return Vec::new() };
        let mut commands = Vec::new();
        let mut sent = Vec::with_capacity(indexes.len());
        for index in indexes {
            let Refill { key, lease, cell, life_ms } = &refills[index];
            let row = cell.row.as_deref().unwrap_or(ABSENT);
            let is_fit = lease.place >> PLACE_BITS == connection.number && cell.version >= lease.version_min && row.len() <= ROW_BYTES_MAX;
            if let (true, Some(name)) = (is_fit, self.name(generation, key)) {
                let (size, token, flags, life) = (row.len(), lease.token, flags_of(cell.version), life_ms.div_ceil(1_000));
                commands.extend_from_slice(format!("ms {name} {size} C{token} F{flags} T{life}\r\n").as_bytes());
                commands.extend_from_slice(row);
                commands.extend_from_slice(b"\r\n");
                sent.push(index);
            }
        }
        if sent.is_empty() {
            return Vec::new();
        }
        let count = sent.len();
        let answer = self.nodes[place].call_by(&connection, commands, count, self.limits.call).await;
        let replies = answer.map(|(replies, _)| replies).unwrap_or_default();
        sent.into_iter().zip(replies).map(|(index, reply)| (index, reply == Reply::Done)).collect()
    }
}

/// What a reply to a look-up means.
fn found(reply: Reply, at: u64, held: Option<u64>) -> Looked {
    let Reply::Item(Item { data, flags, token, is_won }) = reply else { return Looked::Away };
    let version = if flags == u32::MAX { u64::MAX } else { u64::from(flags) };
    let lease = |version_min| Lease { token, place: at, version_min };
    if data.is_empty() {
        return if is_won { Looked::Lease(lease(version)) } else { Looked::Busy(lease(version)) };
    }
    // What refills a cell is not older than the cell: what it was read from may lag.
    let old = is_won.then(|| lease(version));
    if held == Some(version) && data != ABSENT {
        return Looked::Current(old);
    }
    Looked::Found(Cell { version, row: (data != ABSENT).then_some(data) }, old)
}

/// Sorts indexes by where they go.
fn by_place<T>(items: &[T], place_of: impl Fn(&T) -> Option<usize>) -> Vec<(usize, Vec<usize>)> {
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(place) = place_of(item) else { continue };
        match groups.iter_mut().find(|(other, _)| *other == place) {
            Some((_, indexes)) => indexes.push(index),
            None => groups.push((place, vec![index])),
        }
    }
    groups
}

#[async_trait]
impl Engine for Memcached {
    async fn get_many(&self, asked: Vec<Asked>) -> Result<Vec<Looked>> {
        let shared = self.begun().await;
        let mut looked = vec![Looked::Away; asked.len()];
        let groups = by_place(&asked, |asked| shared.place(&asked.key));
        let answers = join_all(groups.into_iter().map(|(place, indexes)| shared.look(place, &asked, indexes))).await;
        for (index, answer) in answers.into_iter().flatten() {
            looked[index] = answer;
        }
        Ok(looked)
    }

    async fn fill(&self, refills: Vec<Refill>) -> Result<Vec<bool>> {
        let shared = self.begun().await;
        let mut kept = vec![false; refills.len()];
        let groups = by_place(&refills, |refill| usize::try_from(refill.lease.place & ((1 << PLACE_BITS) - 1)).ok());
        let answers = join_all(groups.into_iter().map(|(place, indexes)| shared.put(place, &refills, indexes))).await;
        for (index, answer) in answers.into_iter().flatten() {
            kept[index] = answer;
        }
        Ok(kept)
    }

    async fn invalidate(&self, stale: Vec<Stale>) -> Result<()> {
        let shared = self.begun().await;
        // A few hundred at once are one write; more would keep others waiting.
        for part in stale.chunks(deliver::PART) {
            shared.invalidate(part).await?;
        }
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        let shared = self.begun().await;
        let all: Vec<usize> = (0..shared.nodes.len()).collect();
        shared.raise(&all).await
    }

    fn has_told(&self) -> bool {
        self.shared.nodes.iter().all(|node| node.is_in() && !node.has_missed.load(std::sync::atomic::Ordering::Acquire))
    }
}

fn untold() -> Error {
    Error::Unavailable("no node can be told that something is out of date; other processes may keep it for some minutes".to_owned())
}
