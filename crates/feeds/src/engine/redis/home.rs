//! Pages of home feeds and of public feeds, and built feeds installed.
//!
//! ```text
//! feed, merged sources ─▶ lists ─▶ positions ─▶ pins' facts ─▶ boards' facts, the viewer's edges to all of them ─▶ reasons
//! ```
//! Each arrow is one round to the servers, with everything in it for the whole page. What is decided is decided by the graph as it
//! is then. Nearly always the newest page is about what it was about the last time, and a few pins more: so the first round asks for all that
//! again behind the feed itself, and the others only for what is new. Nothing of what was answered then is believed.

use model::{PinId, UserId};

use super::RedisEngine;
use super::codec::{self, Known, Tail};
use super::command::Batch;
use super::graph::{feed_keys, member};
use super::hints::Head;
use super::hydrate::{Asked, Candidate, Hydrated, Viewing};
use super::keys::{self, Key, Kind, key};
use super::lists::{CHUNK_MAX, Merge};
use super::resp::Value;
use super::script::{BEGIN, FILL, LEARN};
use crate::error::Result;
use crate::facts::{Entry, HomePage, PinFacts, Position, PublicEntry, PublicFeed, PublicPage, Target};
use crate::limits::{BUILD_MS_MAX, RETRACTED_MS};
use crate::metrics as names;

/// Pins learnt of in one script: a quarter of a millisecond, so that pages in between don't wait for it.
const LEARN_STEP: usize = 100;
/// Merged sources asked about in one command.
const SOURCES_STEP: usize = 500;

impl RedisEngine {
    pub(super) async fn home_page(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        let sources: Vec<Target> = self.merged_sources(false).await?.keys().copied().collect();
        let [home, missed, _] = feed_keys(user);
        let mut merge = Merge::new(before);
        let hinted = if before.is_none() { self.heads.of(user) } else { None };
        let hinted = hinted.map(|(head, pushed)| (self.guesses.with(&head.asked, pushed), head));
        let usual = limit + limit / 4 + 8;
        let chunk = hinted.as_ref().map_or(usual, |(_, head)| usual.max(head.depth + head.depth / 8).min(CHUNK_MAX));
        let mut batch = Batch::new();
        merge.begin(&mut batch, &home, chunk);
        batch.plain("PTTL", &home, |cmd| cmd);
        Viewing::ask(&mut batch, user);
        let asked = ask_follows(&mut batch, user, &sources);
        let own_count = batch.len();
        if let Some((asked, head)) = &hinted {
            asked.ask(&self.client, &mut batch, Some(&head.viewing));
            self.prolong_facts(&mut batch, &asked.pins);
        }
        let answers = self.client.read(batch).await?;
        let (own, of_hinted) = answers.split_at(own_count);
        let mut answers = own.iter();
        let tail = merge.begun(&mut answers, home.clone(), chunk);
        let left_ms = answers.next().map_or(0, Value::int);
        let viewing = Viewing::of(user, &mut answers);
        if !tail.is_some_and(|tail| tail.is_ready) {
            return self.miss(home, missed).await;
        }
        let mut hydrated = Hydrated::default();
        // Whose sets hold something that did not asks for everything again.
        if let Some((asked, _)) = hinted.filter(|(_, head)| head.viewing == viewing) {
            hydrated.take(&self.client, &asked, Some(&viewing), of_hinted);
        }
        self.prolong_feed(&home, left_ms).await;
        let followed: Vec<Target> =
            asked.into_iter().zip(answers.flat_map(Value::list)).filter(|(_, it)| **it != Value::Nil).map(|(it, _)| it).collect();
        if !followed.is_empty() {
            let lists: Vec<Key> = followed.into_iter().map(keys::merged).collect();
            let mut batch = Batch::new();
            lists.iter().for_each(|list| merge.begin(&mut batch, list, chunk));
            let answers = self.client.read(batch).await?;
            let mut answers = answers.iter();
            for list in lists {
                merge.begun(&mut answers, list, chunk);
            }
        }

        let mut seen = Asked::default();
        let page = self.shown_of(&viewing, &mut merge, &mut hydrated, &mut seen, (before, limit)).await?;
        if before.is_none() && page.present {
            self.heads.keep(Head { viewing, asked: seen.settled(), depth: merge.depth() });
        }
        Ok(page)
    }

    /// Takes candidates until a page is full, and keeps those that show. Notes in `seen` what they were about.
    async fn shown_of(
        &self,
        viewing: &Viewing,
        merge: &mut Merge,
        hydrated: &mut Hydrated,
        seen: &mut Asked,
        (before, limit): (Option<Position>, usize),
    ) -> Result<HomePage> {
        let mut entries = Vec::with_capacity(limit);
        let mut last = before;
        loop {
            let positions = merge.take(limit - entries.len() + limit / 8 + 1);
            if positions.is_empty() {
                if merge.is_done() {
                    return Ok(HomePage { entries, complete_to: merge.end_of_memory(), present: true });
                }
                if !self.read_on(merge).await? {
                    // The feed was dropped meanwhile, or a merged list with all the rest.
                    return Ok(HomePage::default());
                }
                continue;
            }
            self.hydrate(Some(viewing), &positions, hydrated).await?;
            hydrated.note(&positions, seen);
            for position in positions {
                match hydrated.candidate(position) {
                    Candidate::Unknown => {
                        return Ok(HomePage { entries, complete_to: Some(last.unwrap_or_else(|| just_above(position))), present: true });
                    }
                    Candidate::Hidden => {}
                    Candidate::Shown(facts, board) => {
                        if let Some(reason) = hydrated.edges.reason(viewing.viewer, facts, board) {
                            entries.push(Entry { pin: facts.pin, at: facts.at, reason });
                            if entries.len() == limit {
                                return Ok(HomePage { entries, complete_to: None, present: true });
                            }
                        }
                    }
                }
                last = Some(position);
            }
        }
    }

    async fn miss(&self, home: Key, missed: Key) -> Result<HomePage> {
        let mut batch = Batch::new();
        batch.script(&BEGIN, &[home, missed], &[BUILD_MS_MAX.to_string().as_bytes()]);
        self.client.write(batch).await?;
        Ok(HomePage::default())
    }

    /// Notes that a feed is read, when a sixteenth of its time to live has passed. It may fail: the next page does it.
    async fn prolong_feed(&self, home: &Key, left_ms: i64) {
        let idle_ms = self.idle_ms();
        if left_ms >= idle_ms - idle_ms / 16 {
            return;
        }
        let mut batch = Batch::new();
        batch.plain("PEXPIRE", home, |cmd| cmd.arg(idle_ms));
        if let Err(error) = self.client.write(batch).await {
            tracing::debug!(%error, "the life of a feed in Redis was not prolonged now");
        }
    }

    pub(super) async fn public_page(&self, feed: &PublicFeed, before: Option<Position>, limit: usize) -> Result<PublicPage> {
        let list = keys::public(feed);
        let mut merge = Merge::new(before);
        let chunk = limit + limit / 4 + 8;
        let mut batch = Batch::new();
        merge.begin(&mut batch, &list, chunk);
        let answers = self.client.read(batch).await?;
        merge.begun(&mut answers.iter(), list, chunk);
        let belongs = |facts: &PinFacts| match feed {
            PublicFeed::Everything => true,
            PublicFeed::Topic(topic) => facts.topics.contains(topic),
            PublicFeed::Domain(domain) => facts.domain == *domain,
        };
        let mut entries = Vec::with_capacity(limit);
        let mut last = before;
        let mut hydrated = Hydrated::default();
        loop {
            let positions = merge.take(limit - entries.len() + limit / 8 + 1);
            if positions.is_empty() {
                if merge.is_done() || !self.read_on(&mut merge).await? {
                    return Ok(PublicPage { entries, complete_to: merge.end_of_memory() });
                }
                continue;
            }
            self.hydrate(None, &positions, &mut hydrated).await?;
            for position in positions {
                match hydrated.candidate(position) {
                    Candidate::Unknown => {
                        return Ok(PublicPage { entries, complete_to: Some(last.unwrap_or_else(|| just_above(position))) });
                    }
                    Candidate::Shown(facts, _) if belongs(facts) => {
                        entries.push(PublicEntry { pin: facts.pin, at: facts.at, owner: facts.owner, board: facts.board });
                        if entries.len() == limit {
                            return Ok(PublicPage { entries, complete_to: None });
                        }
                    }
                    Candidate::Shown(..) | Candidate::Hidden => {}
                }
                last = Some(position);
            }
        }
    }

    pub(super) async fn install(&self, user: UserId, mut entries: Vec<PinFacts>, complete_to: Option<Position>) -> Result<()> {
        let [home, _, refuse] = feed_keys(user);
        // Most fills that are not taken are known for it, and need not tell anybody about pins.
        let mut batch = Batch::new();
        batch.plain("LINDEX", &home, |cmd| cmd.arg(-1));
        let tail = self.client.read(batch).await?[0].bytes().and_then(Tail::parse);
        if tail.is_none_or(|tail| tail.is_ready) {
            return Ok(());
        }
        let mut floor = complete_to;
        entries.retain(|facts| complete_to.is_none_or(|end| facts.position() >= end));
        entries.sort_unstable_by_key(|facts| std::cmp::Reverse(facts.position()));
        entries.dedup_by_key(|facts| facts.pin);
        if entries.len() > self.limits.home_entries_max {
            entries.truncate(self.limits.home_entries_max);
            floor = entries.last().map(PinFacts::position);
        }
        let mut positions = self.learn(&entries).await?;
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions.dedup();
        let bytes: Vec<u8> = positions.into_iter().flat_map(codec::entry).collect();
        let floor = floor.map(codec::entry);
        let (idle, max) = (self.idle_ms().to_string(), self.limits.home_entries_max.to_string());
        let mut batch = Batch::new();
        let floor = floor.as_ref().map_or(&[][..], |floor| &floor[..]);
        batch.script(&FILL, &[home, refuse], &[idle.as_bytes(), max.as_bytes(), floor, &bytes]);
        let answers = self.client.write(batch).await?;
        if answers[0].int() < 0 {
            metrics::counter!(names::FILLS_REFUSED_TOTAL).increment(1);
        }
        Ok(())
    }

    /// Learns of pins that a built feed holds. What is known already is newer than what the builder read. Returns their places,
    /// without those that were retracted meanwhile.
    async fn learn(&self, entries: &[PinFacts]) -> Result<Vec<Position>> {
        let (keep, now) = (self.facts_ms().to_string(), self.clock.now().0.to_string());
        let counts = RETRACTED_MS.to_string();
        let keys: Vec<Key> = entries.iter().map(|facts| key(Kind::Pin, facts.pin)).collect();
        let steps = self.client.together(&keys, LEARN_STEP);
        let mut batch = Batch::new();
        for step in &steps {
            let bytes: Vec<Vec<u8>> = step.iter().map(|place| codec::pin(&entries[*place])).collect();
            let mut arguments = vec![keep.as_bytes(), now.as_bytes(), counts.as_bytes()];
            arguments.extend(bytes.iter().map(Vec::as_slice));
            batch.script_together(&LEARN, step.iter().map(|place| &keys[*place]), &arguments);
        }
        let answers = self.client.write(batch).await?;
        let learnt = steps.iter().zip(&answers).flat_map(|(step, answer)| step.iter().zip(answer.list()));
        let known = learnt.filter_map(|(place, answer)| codec::known(entries[*place].pin, answer.bytes()?));
        Ok(known.filter_map(|known| if let Known::Shown(facts) = known { Some(facts.position()) } else { None }).collect())
    }

    pub(super) async fn read_shown(&self, user: UserId) -> Result<Option<Vec<u8>>> {
        let mut batch = Batch::new();
        batch.plain("GET", &key(Kind::Shown, user), |cmd| cmd);
        Ok(self.client.read(batch).await?[0].bytes().map(<[u8]>::to_vec))
    }

    pub(super) async fn write_shown(&self, user: UserId, shown: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.plain("SET", &key(Kind::Shown, user), |cmd| cmd.arg(shown).arg("PX").arg(self.idle_ms()));
        self.client.write(batch).await.map(drop)
    }
}

/// Asks which of the sources the viewer follows; returns them in the order of the answers.
fn ask_follows(batch: &mut Batch, user: UserId, sources: &[Target]) -> Vec<Target> {
    let mut asked = Vec::with_capacity(sources.len());
    for (kind, set) in [(0, Kind::Users), (1, Kind::Boards), (2, Kind::Topics)] {
        let of_kind: Vec<Target> = sources.iter().copied().filter(|source| super::graph::kind_of(*source) as usize == kind).collect();
        for step in of_kind.chunks(SOURCES_STEP) {
            batch.plain("ZMSCORE", &key(set, user), |cmd| step.iter().fold(cmd, |cmd, source| cmd.arg(&member(source.id())[..])));
        }
        asked.extend(of_kind);
    }
    asked
}

/// The oldest position that is newer than all of the same instant.
fn just_above((at, _): Position) -> Position {
    (at.plus(1), PinId::new(model::Shard(0), 0))
}
