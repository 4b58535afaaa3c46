//! Pins into feeds.
//!
//! ```text
//! facts, board ─▶ public lists ─▶ followers, step by step ─▶ few scripts: pushes to the feeds that are there
//!                     └─▶ lists of merged sources         └─▶ those beyond `fan_out_max` are left to `go_on`
//! ```
//!
//! One script takes all followers whose feeds lie together (on one server all, in a cluster those of a bucket): it costs less than a command for
//! each, on both sides, and its deadline keeps pushes away that a frozen server finds much later (`benches/feeds.rs` has the figures).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use model::{PinId, Timestamp, UserId};

use super::codec::{self, Known};
use super::command::Batch;
use super::graph::EDGE_STEP;
use super::keys::{self, Key, Kind, key};
use super::lists::LATE_MS;
use super::script::{INSERT, PINNED, PUSH, PUT, REMOVE};
use super::{MERGED_FOR, MergedSources, RedisEngine, cut_length};
use crate::error::Result;
use crate::facts::{Cursor, PinFacts, Position, Rest, Target};
use crate::metrics as names;

/// Pins published together.
pub(super) const PINS_STEP: usize = 250;
/// Followers read at once: their keys in one round of pushes.
const FOLLOWERS_STEP: usize = 5 * EDGE_STEP;
/// Keys that one script takes.
const KEYS_PER_SCRIPT: usize = 500;
/// Pins of a source that became merged go to its followers too for so long, until every process has noticed.
const BOTH_MS: i64 = 30 * Timestamp::SECOND;

/// Whether an entry goes to the head of a list, or is put where it belongs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    Push,
    Insert,
}

impl RedisEngine {
    /// Publishes different pins; returns what is left of their fan-outs.
    pub(super) async fn publish(&self, pins: &[PinFacts]) -> Result<Vec<Rest>> {
        let mut batch = Batch::new();
        let keep = self.facts_ms().to_string();
        for facts in pins {
            batch.script(&PUT, &[key(Kind::Pin, facts.pin)], &[&codec::pin(facts), keep.as_bytes()]);
            batch.script(&PINNED, &[key(Kind::Board, facts.board)], &[]);
            batch.script(&REMOVE, &[key(Kind::Gone, facts.owner)], &[]);
        }
        let answers = self.client.write(batch).await?;
        let owners = answers.chunks_exact(3).map(|answer| answer[1].bytes().and_then(codec::board).map(|facts| facts.owner));
        let merged = self.merged_sources(true).await?;
        let mut lists: BTreeMap<Place, Vec<Key>> = BTreeMap::new();
        let mut fans = Vec::new();
        for (facts, owner) in pins.iter().zip(owners) {
            self.guesses.learn(facts, owner);
            let position = facts.position();
            let mut add = |key: Key, max: usize| lists.entry(Place { position, max }).or_default().push(key);
            let max = self.limits.public_entries_max;
            add(keys::public(&crate::PublicFeed::Everything), max);
            if !facts.domain.is_empty() {
                add(keys::public(&crate::PublicFeed::Domain(facts.domain.clone())), max);
            }
            facts.topics.iter().for_each(|topic| add(key(Kind::Topic, *topic), max));
            let mut sources: Vec<Target> = facts.topics.iter().copied().map(Target::Topic).collect();
            if let Some(owner) = owner {
                for source in [Target::User(owner), Target::Board(facts.board)] {
                    if merged.contains_key(&source) {
                        add(keys::merged(source), self.limits.home_entries_max);
                    }
                    sources.push(source);
                }
            }
            let now = self.clock.now();
            sources.retain(|source| merged.get(source).is_none_or(|since| now.since(*since) < BOTH_MS));
            fans.push((position, sources));
        }
        if self.collected(&lists) {
            return Ok(Vec::new());
        }
        self.put(lists, b"LPUSH").await?;
        self.fan_out(fans).await
    }

    /// Keeps list entries of a rebuild for its end. Tells whether there is one.
    fn collected(&self, lists: &BTreeMap<Place, Vec<Key>>) -> bool {
        let mut rebuild = self.rebuild.lock();
        let Some(rebuild) = rebuild.as_mut() else { return false };
        for (place, keys) in lists {
            keys.iter().for_each(|key| rebuild.add(key.clone(), place.position, place.max));
        }
        true
    }

    /// Puts pins into the feeds in memory of those who follow one of their sources, of each source the first `fan_out_max`.
    async fn fan_out(&self, fans: Vec<(Position, Vec<Target>)>) -> Result<Vec<Rest>> {
        let mut rests = Vec::new();
        for (position, sources) in fans {
            rests.extend(self.fan_out_one(position, &sources).await?);
        }
        Ok(rests)
    }

    /// Most sources have few followers: the first ones of all sources are read in one round and reached in another.
    async fn fan_out_one(&self, position: Position, sources: &[Target]) -> Result<Vec<Rest>> {
        let max = self.limits.fan_out_max.max(1);
        let first = max.min(FOLLOWERS_STEP / sources.len().max(1));
        let mut reached: HashSet<UserId> = HashSet::new();
        let mut new_among = |mut followers: Vec<UserId>| {
            if sources.len() > 1 {
                followers.retain(|follower| reached.insert(*follower));
            }
            followers
        };
        let (mut followers, mut cursors) = (Vec::new(), Vec::with_capacity(sources.len()));
        for (found, next) in self.first_followers(sources, first).await? {
            followers.extend(new_among(found));
            cursors.push(next);
        }
        self.push(position, followers).await?;
        let mut rests = Vec::new();
        for (source, mut cursor) in sources.iter().zip(cursors) {
            let mut left = max - first;
            while cursor.is_some() && left > 0 {
                let step = left.min(FOLLOWERS_STEP);
                let (found, next) = self.follower_step(*source, cursor, step).await?;
                self.push(position, new_among(found)).await?;
                (cursor, left) = (next, left - step);
            }
            rests.extend(cursor.map(|after| Rest { pin: position.1, source: *source, after: Some(after) }));
        }
        Ok(rests)
    }

    /// Pushes an entry to the feeds of these people that are there.
    async fn push(&self, position: Position, followers: Vec<UserId>) -> Result<()> {
        metrics::counter!(names::PUSHES_TOTAL).increment(followers.len() as u64);
        let max = self.limits.home_entries_max;
        let feeds = followers.iter().map(|follower| key(Kind::Home, *follower)).collect();
        self.put(BTreeMap::from([(Place { position, max }, feeds)]), b"LPUSHX").await?;
        self.heads.note_pushed(position.1, &followers);
        Ok(())
    }

    /// Goes on with a fan-out: reads what the pin is by now, then the next followers, then pushes. A source that became merged
    /// meanwhile is served all the same, because its list lacks this pin.
    pub(super) async fn go_on(&self, rest: Rest, limit: usize) -> Result<Option<Rest>> {
        let mut batch = Batch::new();
        batch.plain("GET", &key(Kind::Pin, rest.pin), |cmd| cmd);
        let answers = self.client.peek(batch).await?;
        let after = match answers[0].bytes().and_then(|bytes| codec::known(rest.pin, bytes)) {
            Some(Known::Retracted) => return Ok(None),
            Some(Known::Shown(facts)) => {
                if !self.stands_on(&facts, rest.source).await? {
                    return Ok(None);
                }
                self.go_on_pushing(facts.position(), rest, limit).await?
            }
            // Expired, or evicted: where the entry belongs is not known here any more.
            None => {
                let (followers, next) = self.follower_step(rest.source, rest.after, limit).await?;
                self.widen_all(&followers).await?;
                next
            }
        };
        Ok(after.map(|after| Rest { after: Some(after), ..rest }))
    }

    async fn go_on_pushing(&self, position: Position, rest: Rest, limit: usize) -> Result<Option<Cursor>> {
        let (mut cursor, mut left) = (rest.after, limit);
        loop {
            let step = left.min(FOLLOWERS_STEP);
            let (followers, next) = self.follower_step(rest.source, cursor, step).await?;
            self.push(position, followers).await?;
            (cursor, left) = (next, left - step);
            if cursor.is_none() || left == 0 {
                return Ok(cursor);
            }
        }
    }

    /// Tells whether followers of the source are to have the pin, as `publish` decides it.
    async fn stands_on(&self, facts: &PinFacts, source: Target) -> Result<bool> {
        if let Target::Topic(topic) = source {
            return Ok(facts.topics.contains(&topic));
        }
        let mut batch = Batch::new();
        batch.plain("GET", &key(Kind::Board, facts.board), |cmd| cmd);
        let answers = self.client.peek(batch).await?;
        let owner = answers[0].bytes().and_then(codec::board).map(|board| board.owner);
        Ok(match source {
            Target::User(user) => owner == Some(user),
            Target::Board(board) => owner.is_some() && facts.board == board,
            Target::Topic(_) => false,
        })
    }

    /// Puts entries into lists: at the head if they are new, else where they belong.
    async fn put(&self, lists: BTreeMap<Place, Vec<Key>>, push: &[u8]) -> Result<()> {
        let now = self.clock.now();
        let mut batch = Batch::new();
        for (place, keys) in lists {
            let way = if now.since(place.position.0) > LATE_MS { Way::Insert } else { Way::Push };
            let script = if way == Way::Push { &PUSH } else { &INSERT };
            let (max, cut) = (place.max.to_string(), cut_length(place.max).to_string());
            for group in self.client.together(&keys, KEYS_PER_SCRIPT) {
                batch.script_together(
                    script,
                    group.iter().map(|place| &keys[*place]),
                    &[&codec::entry(place.position), max.as_bytes(), cut.as_bytes(), push],
                );
            }
        }
        self.client.write(batch).await.map(drop)
    }

    pub(super) async fn retract(&self, pin: PinId) -> Result<()> {
        let mut batch = Batch::new();
        let keep = self.facts_ms().to_string();
        batch.script(&PUT, &[key(Kind::Pin, pin)], &[&codec::retracted(self.clock.now()), keep.as_bytes()]);
        self.client.write(batch).await.map(drop)
    }

    /// Returns the sources that are merged at reading. For a writer also while the markers say that something is missing.
    pub(super) async fn merged_sources(&self, is_writer: bool) -> Result<Arc<MergedSources>> {
        if let Some((at, sources)) = &*self.merged.lock()
            && at.elapsed() < MERGED_FOR
        {
            return Ok(sources.clone());
        }
        let asked = Instant::now();
        let mut batch = Batch::new();
        batch.plain("ZRANGE", &keys::merged_sources(), |cmd| cmd.arg(0).arg(-1).arg("WITHSCORES"));
        let answers = if is_writer { self.client.peek(batch).await? } else { self.client.read(batch).await? };
        let pairs = answers[0].list().chunks_exact(2);
        let sources = pairs.filter_map(|pair| {
            let kind = model::Id::from_u64(u64::from_be_bytes(pair[0].bytes()?.try_into().ok()?)).ok()?.kind();
            let kind = match kind {
                model::Kind::User => crate::TargetKind::User,
                model::Kind::Board => crate::TargetKind::Board,
                _ => crate::TargetKind::Topic,
            };
            Some((super::graph::target(kind, pair[0].bytes()?)?, Timestamp(pair[1].score()?)))
        });
        let sources = Arc::new(sources.collect::<MergedSources>());
        *self.merged.lock() = Some((asked, sources.clone()));
        Ok(sources)
    }

    /// Keeps the sources' pins in lists of their own from now on. Earlier ones are in the feeds in memory, and whoever builds a
    /// feed finds them in storage.
    pub(super) async fn begin_merging(&self, sources: &HashSet<Target>) -> Result<()> {
        let known = self.merged_sources(true).await?;
        let new: Vec<Target> = sources.iter().copied().filter(|source| !known.contains_key(source)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let now = self.clock.now().0;
        let mut batch = Batch::new();
        batch.plain("ZADD", &keys::merged_sources(), |cmd| {
            cmd.arg("NX");
            new.iter().fold(cmd, |cmd, source| cmd.arg(now).arg(&super::graph::member(source.id())[..]))
        });
        self.client.write(batch).await?;
        *self.merged.lock() = None;
        Ok(())
    }
}

/// What is put into lists: the same entry with the same limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: Position,
    max: usize,
}
