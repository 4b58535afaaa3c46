//! Batches to the servers that hold their buckets.
//!
//! ```text
//! batch ─▶ by server (slot map of the cluster; or the one server) ─▶ one pipeline each, at the same time ─▶ answers in order
//!              ▲                                                            │ MOVED, ASK, TRYAGAIN: these commands again
//!              └───────────────────── CLUSTER SLOTS ◀───────────────────────┘
//! read: … and last GET of a marker of each bucket ─▶ not there, or of another process of the server: `Unavailable`
//! ```
//!
//! A server may come back with nothing, or with what it held a while ago. So a page is believed only if the marker of every
//! bucket that it read says "complete, in the process of the server that you are connected to". Per pipeline one marker is
//! read; those of other buckets were read earlier over the same connection in the same era: a server loses all or nothing, and
//! a rebuild removes all markers first and makes a new era.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::{Mutex, RwLock};

use super::address::Address;
use super::codec::Marker;
use super::command::{Batch, Command};
use super::keys::{self, BUCKET_COUNT, Bucket, Key};
use super::node::{Lane, Link, Node, Sent};
use super::resp::Value;
use crate::error::{Error, Result};
use crate::metrics as names;

/// Redirections that one batch follows, with a pause after the first few.
const REDIRECTIONS_MAX: usize = 8;
const REDIRECTION_PAUSE: Duration = Duration::from_millis(25);
/// The map of a cluster is asked for at most so often.
const MAP_PAUSE: Duration = Duration::from_millis(200);

/// Which server holds which bucket.
struct Map {
    nodes: Vec<Arc<Node>>,
    owners: [Option<u16>; BUCKET_COUNT],
}

pub(super) struct Client {
    address: Address,
    map: RwLock<Arc<Map>>,
    mapped_at: Mutex<Option<Instant>>,
    mapping: tokio::sync::Mutex<()>,
    /// Per bucket the link over which its marker was last seen to be right, and the era that it said.
    seen: [AtomicU64; BUCKET_COUNT],
    rounds: AtomicU64,
}

/// What a batch may have done when it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    Read,
    Write,
}

impl Client {
    pub(super) fn new(address: Address) -> Client {
        let nodes: Vec<Arc<Node>> = address.hosts.iter().map(|host| Arc::new(Node::new(host.clone(), address.clone()))).collect();
        let owners = [(!address.is_cluster).then_some(0); BUCKET_COUNT];
        Client {
            address,
            map: RwLock::new(Arc::new(Map { nodes, owners })),
            mapped_at: Mutex::default(),
            mapping: tokio::sync::Mutex::default(),
            seen: [const { AtomicU64::new(0) }; BUCKET_COUNT],
            rounds: AtomicU64::new(0),
        }
    }

    /// Counts the rounds so far.
    #[cfg(test)]
    pub(super) fn round_count(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Reads what must be whole.
    pub(super) async fn read(&self, batch: Batch) -> Result<Vec<Value>> {
        self.run(batch, Lane::Read, Effect::Read, true).await
    }

    /// Adds the reading of values that must be whole: one command for all on one server, where keys of all buckets lie together.
    /// The answers are for [`Client::values`].
    pub(super) fn ask_values(&self, batch: &mut Batch, keys: &[Key]) {
        if self.address.is_cluster {
            keys.iter().for_each(|key| batch.plain("GET", key, |cmd| cmd));
        } else if let Some((first, more)) = keys.split_first() {
            batch.plain("MGET", first, |cmd| more.iter().fold(cmd, |cmd, key| cmd.arg(&key.name)));
        }
    }

    /// Returns the values of keys from the front of the answers to what [`Client::ask_values`] added, and the other answers.
    pub(super) fn values<'a>(&self, answers: &'a [Value], count: usize) -> (&'a [Value], &'a [Value]) {
        match (self.address.is_cluster, count) {
            (_, 0) => (&[], answers),
            (true, _) => answers.split_at(count),
            (false, _) => answers.split_first().map_or((&[], &[]), |(values, rest)| (values.list(), rest)),
        }
    }

    /// Sorts the places of keys into groups of at most `max` that one script can take: on one server keys of all buckets lie together,
    /// in a cluster those of one bucket.
    pub(super) fn together(&self, keys: &[Key], max: usize) -> Vec<Vec<usize>> {
        let mut places: Vec<usize> = (0..keys.len()).collect();
        places.sort_by_key(|place| keys[*place].bucket);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for place in places {
            let is_near = |first: usize| !self.address.is_cluster || keys[first].bucket == keys[place].bucket;
            match groups.last_mut().filter(|group| group.len() < max && is_near(group[0])) {
                Some(group) => group.push(place),
                None => groups.push(vec![place]),
            }
        }
        groups
    }

    /// Reads for writing: what is missing is made good by whoever rebuilds.
    pub(super) async fn peek(&self, batch: Batch) -> Result<Vec<Value>> {
        self.run(batch, Lane::Write, Effect::Read, false).await
    }

    /// Writes, also into what is not whole.
    pub(super) async fn write(&self, batch: Batch) -> Result<Vec<Value>> {
        self.run(batch, Lane::Write, Effect::Write, false).await
    }

    async fn run(&self, batch: Batch, lane: Lane, effect: Effect, is_trusted: bool) -> Result<Vec<Value>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = vec![Value::Nil; batch.len()];
        let mut waiting: Vec<usize> = (0..batch.len()).collect();
        let mut asked: HashMap<usize, String> = HashMap::new();
        let mut has_written = false;
        for round in 0..REDIRECTIONS_MAX {
            if waiting.is_empty() {
                return Ok(answers);
            }
            if round > 1 {
                tokio::time::sleep(REDIRECTION_PAUSE).await;
            }
            let groups = match self.grouped(&batch, &waiting, &asked).await {
                Ok(groups) => groups,
                Err(error) => return Err(failure(effect, has_written, error)),
            };
            asked.clear();
            self.rounds.fetch_add(1, Ordering::Relaxed);
            metrics::counter!(names::REDIS_ROUNDS_TOTAL).increment(1);
            metrics::counter!(names::REDIS_COMMANDS_TOTAL).increment(waiting.len() as u64);
            let sent = groups.into_iter().map(|((_, asking), (node, places))| {
                let batch = &batch;
                async move {
                    let sent = match is_trusted {
                        true => self.send_trusted(&node, batch, &places).await,
                        false => {
                            let commands: Vec<Command<'_>> = places.iter().map(|place| batch.command(*place)).collect();
                            node.send(lane, &commands, asking).await
                        }
                    };
                    (node, places, sent)
                }
            });
            waiting = Vec::new();
            let mut failed = None;
            for (node, places, sent) in join_all(sent).await {
                match sent {
                    Ok(Sent::Answered(values, link)) => {
                        for (place, value) in places.into_iter().zip(values) {
                            match redirection(&value) {
                                Some(Redirection::Elsewhere) => waiting.push(place),
                                Some(Redirection::Ask(address)) => {
                                    waiting.push(place);
                                    asked.insert(place, address);
                                }
                                None => {
                                    if let Some((kind, why)) = value.error() {
                                        if kind == "READONLY" || kind == "STALE" {
                                            node.drop_link(lane, &link);
                                        }
                                        failed = Some(Error::Unavailable(format!("{} says {why}", node.address)));
                                    } else {
                                        has_written = true;
                                    }
                                    answers[place] = value;
                                }
                            }
                        }
                    }
                    Ok(Sent::Lost(reason)) => {
                        has_written = true;
                        failed = Some(Error::Unknown(reason));
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                // The next call shall see where the buckets are now.
                if self.address.is_cluster {
                    self.refresh().await;
                }
                return Err(failure(effect, has_written, error));
            }
            if waiting.iter().any(|place| !asked.contains_key(place)) {
                self.refresh().await;
            }
            waiting.sort_unstable();
        }
        if waiting.is_empty() {
            return Ok(answers);
        }
        Err(failure(effect, has_written, Error::Unavailable("the cluster sends on and on".to_owned())))
    }

    /// Sorts commands by the server that they go to; those that are to be asked for elsewhere go there.
    #[allow(clippy::type_complexity)]
    async fn grouped(
        &self,
        batch: &Batch,
        places: &[usize],
        asked: &HashMap<usize, String>,
    ) -> Result<BTreeMap<(usize, bool), (Arc<Node>, Vec<usize>)>> {
        let is_unmapped = |map: &Map| places.iter().any(|place| map.owners[usize::from(batch.bucket(*place).0)].is_none());
        let mut map = self.map.read().clone();
        if is_unmapped(&map) {
            self.refresh().await;
            map = self.map.read().clone();
            if is_unmapped(&map) {
                return Err(Error::Unavailable("no server of the cluster says where everything is".to_owned()));
            }
        }
        let mut groups: BTreeMap<(usize, bool), (Arc<Node>, Vec<usize>)> = BTreeMap::new();
        for place in places {
            let (index, asking) = match asked.get(place) {
                Some(address) => (map.nodes.iter().position(|node| node.address == *address), true),
                None => (map.owners[usize::from(batch.bucket(*place).0)].map(usize::from), false),
            };
            let index = index.ok_or_else(|| Error::Unavailable("the cluster names a server that it does not list".to_owned()))?;
            groups.entry((index, asking)).or_insert_with(|| (map.nodes[index].clone(), Vec::new())).1.push(*place);
        }
        Ok(groups)
    }

    /// Sends reads followed by the markers that they need, and believes the answers only if the markers are right.
    async fn send_trusted(&self, node: &Arc<Node>, batch: &Batch, places: &[usize]) -> Result<Sent> {
        let mut buckets: Vec<Bucket> = places.iter().map(|place| batch.bucket(*place)).collect();
        buckets.sort_unstable();
        buckets.dedup();
        for is_careful in [false, true] {
            let last = buckets.last().copied();
            let link = node.link_number(Lane::Read);
            let is_seen = |bucket: &Bucket| !is_careful && link.is_some_and(|link| self.seen(*bucket).0 == link);
            let read: Vec<Bucket> = buckets.iter().copied().filter(|bucket| Some(*bucket) == last || !is_seen(bucket)).collect();
            let markers = markers(read.iter().copied());
            let commands: Vec<Command<'_>> = places.iter().map(|place| batch.command(*place)).chain(markers.commands()).collect();
            let (mut values, link) = match node.send(Lane::Read, &commands, false).await? {
                Sent::Answered(values, link) => (values, link),
                lost => return Ok(lost),
            };
            let found = values.split_off(places.len());
            if found.iter().any(|value| redirection(value).is_some()) {
                // The bucket is on its way to another server; the commands before it say the same, or are asked for again.
                let moved = values.iter().any(|value| redirection(value).is_some());
                if !moved {
                    self.refresh().await;
                    return Err(Error::Unavailable("a part of the feeds moves to another server".to_owned()));
                }
                return Ok(Sent::Answered(values, link));
            }
            let mut era = None;
            for (bucket, value) in read.iter().zip(&found) {
                era = Some(self.check(*bucket, value, &link)?);
            }
            let is_whole = buckets.iter().all(|bucket| self.seen(*bucket) == (link.number, era.unwrap_or_default() as u32));
            if is_whole {
                return Ok(Sent::Answered(values, link));
            }
        }
        Err(Error::Unavailable("the feeds are being rebuilt".to_owned()))
    }

    /// Notes that a bucket's marker is right and returns its era.
    fn check(&self, bucket: Bucket, value: &Value, link: &Link) -> Result<u64> {
        let Some(marker) = value.bytes().and_then(Marker::parse) else {
            return Err(Error::Unavailable("the feeds' Redis has lost what it held, or never had it; it must be rebuilt".to_owned()));
        };
        if marker.run_id != link.run_id {
            return Err(Error::Unavailable("the feeds' Redis was restarted and is catching up with the log".to_owned()));
        }
        self.seen[usize::from(bucket.0)].store(link.number << 32 | (marker.era & 0xFFFF_FFFF), Ordering::Relaxed);
        Ok(marker.era)
    }

    fn seen(&self, bucket: Bucket) -> (u64, u32) {
        let seen = self.seen[usize::from(bucket.0)].load(Ordering::Relaxed);
        (seen >> 32, seen as u32)
    }

    /// All servers that hold something, with the buckets that they hold.
    pub(super) async fn nodes(&self) -> Result<Vec<(Arc<Node>, Vec<Bucket>)>> {
        let batch = markers(Bucket::all());
        let places: Vec<usize> = (0..batch.len()).collect();
        let groups = self.grouped(&batch, &places, &HashMap::new()).await?;
        Ok(groups.into_values().map(|(node, places)| (node, places.into_iter().map(|place| batch.bucket(place)).collect())).collect())
    }

    /// Asks the servers of a cluster who holds what. Callers that come meanwhile wait for the one that asks.
    pub(super) async fn refresh(&self) {
        if !self.address.is_cluster {
            return;
        }
        let _one = self.mapping.lock().await;
        if self.mapped_at.lock().is_some_and(|at| at.elapsed() < MAP_PAUSE) {
            return;
        }
        let known = self.map.read().clone();
        let mut asked: Vec<Arc<Node>> = known.nodes.clone();
        let seeds = self.address.hosts.iter().filter(|host| known.nodes.iter().all(|node| node.address != **host));
        asked.extend(seeds.map(|host| Arc::new(Node::new(host.clone(), self.address.clone()))));
        for node in asked {
            if let Ok(answer) = node.ask(&[&"CLUSTER", &"SLOTS"]).await
                && let Some(map) = self.read_map(&known, &node, &answer)
            {
                *self.map.write() = Arc::new(map);
                break;
            }
        }
        *self.mapped_at.lock() = Some(Instant::now());
    }

    fn read_map(&self, known: &Map, asked: &Node, answer: &Value) -> Option<Map> {
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let mut ranges = Vec::new();
        for range in answer.list() {
            let [first, last, primary, ..] = range.list() else { return None };
            let [host, port, ..] = primary.list() else { return None };
            // A server that does not know its own name is where it was asked.
            let host = match host.bytes().map(String::from_utf8_lossy) {
                Some(host) if !host.is_empty() && host != "?" => host.into_owned(),
                _ => asked.address.rsplit_once(':')?.0.to_owned(),
            };
            let address = format!("{host}:{}", port.int());
            let index = nodes.iter().position(|node| node.address == address).unwrap_or_else(|| {
                let node = known.nodes.iter().find(|node| node.address == address).cloned();
                nodes.push(node.unwrap_or_else(|| Arc::new(Node::new(address, self.address.clone()))));
                nodes.len() - 1
            });
            ranges.push((first.int(), last.int(), index as u16));
        }
        if nodes.is_empty() {
            return None;
        }
        let mut owners = [None; BUCKET_COUNT];
        for bucket in Bucket::all() {
            let slot = i64::from(bucket.slot());
            owners[usize::from(bucket.0)] =
                ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(_, _, index)| *index);
        }
        Some(Map { nodes, owners })
    }
}

/// Reads the markers of buckets.
pub(super) fn markers(buckets: impl Iterator<Item = Bucket>) -> Batch {
    let mut batch = Batch::new();
    buckets.for_each(|bucket| batch.plain("GET", &keys::whole(bucket), |cmd| cmd));
    batch
}

/// Where a command is to be sent instead.
enum Redirection {
    Elsewhere,
    Ask(String),
}

fn redirection(value: &Value) -> Option<Redirection> {
    let (kind, text) = value.error()?;
    match kind {
        "MOVED" | "TRYAGAIN" | "CLUSTERDOWN" => Some(Redirection::Elsewhere),
        "ASK" => {
            let address = text.split_whitespace().nth(2);
            Some(address.map_or(Redirection::Elsewhere, |address| Redirection::Ask(address.to_owned())))
        }
        _ => None,
    }
}

/// Says what is known: a read did not happen, a write only if no server may have seen any of it.
fn failure(effect: Effect, has_written: bool, error: Error) -> Error {
    let text = match error {
        Error::Unavailable(text) | Error::Unknown(text) => text,
        other => return other,
    };
    if effect == Effect::Write && has_written { Error::Unknown(text) } else { Error::Unavailable(text) }
}
