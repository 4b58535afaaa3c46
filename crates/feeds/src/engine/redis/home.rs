//! Pages of home feeds and of public feeds, and built feeds installed.
//!
//! ```text
//! feed, merged sources ─▶ lists ─▶ positions ─▶ pins' facts ─▶ boards' facts, the viewer's edges to all of them ─▶ reasons
//! ```
//! Each arrow is one round to the servers, with everything in it for the whole page. What is decided is decided by the graph as it
//! is then.

use std::collections::{BTreeSet, HashMap, HashSet};

use model::{BoardId, PinId, TopicId, UserId};
use redis::Value;

use super::RedisEngine;
use super::codec::{self, Known, Tail};
use super::command::{Answer, Batch};
use super::graph::{feed_keys, member, members};
use super::keys::{self, Key, Kind, key};
use super::lists::Merge;
use super::script::{BEGIN, FILL, LEARN};
use crate::error::Result;
use crate::facts::{BoardFacts, Entry, HomePage, PinFacts, Position, PublicEntry, PublicFeed, PublicPage, Reason, Target};
use crate::limits::{BUILD_MS_MAX, RETRACTED_MS};
use crate::metrics as names;

/// One page in so many prolongs the life of the facts that it shows.
const PROLONGED_ONE_IN: u64 = 8;
/// Pins learnt of in one script: a quarter of a millisecond, so that pages in between don't wait for it.
const LEARN_STEP: usize = 100;
/// Merged sources asked about in one command.
const SOURCES_STEP: usize = 500;

/// What is known of candidates.
#[derive(Default)]
struct Hydrated {
    pins: HashMap<PinId, Known>,
    boards: HashMap<BoardId, BoardFacts>,
    /// People whose pins show nowhere.
    gone: HashSet<UserId>,
}

/// The viewer's edges to what a page is about.
#[derive(Default)]
struct Edges {
    hidden: HashSet<UserId>,
    users: HashSet<UserId>,
    left_out: HashSet<BoardId>,
    boards: HashSet<BoardId>,
    topics: HashSet<TopicId>,
}

/// A candidate after hydration.
enum Candidate<'a> {
    /// Its facts are gone: memory ends above it.
    Unknown,
    Hidden,
    Shown(&'a PinFacts, BoardFacts),
}

impl Hydrated {
    fn candidate(&self, (at, pin): Position) -> Candidate<'_> {
        match self.pins.get(&pin) {
            None => Candidate::Unknown,
            Some(Known::Retracted) => Candidate::Hidden,
            Some(Known::Shown(facts)) if facts.at != at => Candidate::Hidden,
            Some(Known::Shown(facts)) => match self.boards.get(&facts.board) {
                Some(board) if board.listed && !self.gone.contains(&facts.owner) => Candidate::Shown(facts, *board),
                _ => Candidate::Hidden,
            },
        }
    }
}

impl RedisEngine {
    pub(super) async fn home_page(&self, user: UserId, before: Option<Position>, limit: usize) -> Result<HomePage> {
        let sources: Vec<Target> = self.merged_sources(false).await?.keys().copied().collect();
        let [home, missed, _] = feed_keys(user);
        let mut merge = Merge::new(before);
        let chunk = limit + limit / 4 + 8;
        let mut batch = Batch::new();
        merge.begin(&mut batch, &home, chunk);
        batch.plain("PTTL", &home, |cmd| cmd);
        let asked = ask_follows(&mut batch, user, &sources);
        let answers = self.client.read(batch).await?;
        let mut answers = answers.iter();
        let tail = merge.begun(&mut answers, home.clone(), chunk);
        let left_ms = answers.next().map_or(0, Answer::int);
        if !tail.is_some_and(|tail| tail.is_ready) {
            return self.miss(home, missed).await;
        }
        self.prolong_feed(&home, left_ms).await;
        let followed: Vec<Target> =
            asked.into_iter().zip(answers.flat_map(Answer::list)).filter(|(_, it)| **it != Value::Nil).map(|(it, _)| it).collect();
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

        let mut entries = Vec::with_capacity(limit);
        let mut last = before;
        loop {
            let positions = merge.take(limit - entries.len() + limit / 8 + 1);
            if positions.is_empty() {
                if merge.is_done() {
                    return Ok(HomePage { entries, complete_to: merge.end_of_memory(), present: true });
                }
                if !self.read_on(&mut merge).await? {
                    // The feed was dropped meanwhile, or a merged list with all the rest.
                    return Ok(HomePage::default());
                }
                continue;
            }
            let (hydrated, edges) = self.hydrate(Some(user), &positions).await?;
            for position in positions {
                match hydrated.candidate(position) {
                    Candidate::Unknown => {
                        return Ok(HomePage { entries, complete_to: Some(last.unwrap_or_else(|| just_above(position))), present: true });
                    }
                    Candidate::Hidden => {}
                    Candidate::Shown(facts, board) => {
                        if let Some(reason) = edges.reason(user, facts, board) {
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

    /// Reads the facts of pins, and of their boards. With a viewer also the viewer's edges to what they are about, in the same
    /// round: that a pin's maker owns its board is guessed, and what was guessed wrong is asked for again.
    async fn hydrate(&self, viewer: Option<UserId>, positions: &[Position]) -> Result<(Hydrated, Edges)> {
        let keys: Vec<Key> = positions.iter().map(|(_, pin)| key(Kind::Pin, *pin)).collect();
        let mut batch = Batch::new();
        self.client.ask_values(&mut batch, &keys);
        let answers = self.client.read(batch).await?;
        let mut hydrated = Hydrated::default();
        for ((_, pin), answer) in positions.iter().zip(self.client.values(&answers, keys.len()).0) {
            if let Some(known) = answer.bytes().and_then(|bytes| codec::known(*pin, bytes)) {
                hydrated.pins.insert(*pin, known);
            }
        }
        let shown = || hydrated.pins.values().filter_map(|known| if let Known::Shown(facts) = known { Some(facts) } else { None });
        let mut about = About::default();
        for facts in shown() {
            about.people.insert(facts.owner);
            about.boards.insert(facts.board);
            about.topics.extend(facts.topics.iter().copied());
        }
        if about.boards.is_empty() {
            return Ok((hydrated, Edges::default()));
        }
        let boards: Vec<Key> = about.boards.iter().map(|board| key(Kind::Board, *board)).collect();
        let mut batch = Batch::new();
        self.client.ask_values(&mut batch, &boards);
        if let Some(viewer) = viewer {
            about.ask(&mut batch, viewer);
        }
        let asked = batch.len();
        if runtime::random_u64().is_multiple_of(PROLONGED_ONE_IN) {
            // It goes along with what is read, and costs no round of its own.
            keys.iter().for_each(|pin| batch.plain("PEXPIRE", pin, |cmd| cmd.arg(self.facts_ms())));
        }
        let answers = self.client.read(batch).await?;
        let (facts, answers) = self.client.values(&answers[..asked], boards.len());
        let known = about.boards.iter().zip(facts).filter_map(|(board, answer)| Some((*board, codec::board(answer.bytes()?)?)));
        let boards: HashMap<BoardId, BoardFacts> = known.collect();
        let mut edges = about.edges(answers);
        // The pins of somebody who is gone went with their boards; on other people's boards they have to be asked for.
        let guests = shown().filter(|facts| boards.get(&facts.board).is_some_and(|board| board.owner != facts.owner));
        let guests: BTreeSet<UserId> = guests.map(|facts| facts.owner).collect();
        let hosts = boards.values().map(|board| board.owner).filter(|owner| !about.people.contains(owner));
        let missed = About { people: hosts.collect(), ..About::default() };
        let mut batch = Batch::new();
        guests.iter().for_each(|guest| batch.plain("EXISTS", &key(Kind::Gone, *guest), |cmd| cmd));
        if let Some(viewer) = viewer {
            missed.ask(&mut batch, viewer);
        }
        let answers = self.client.read(batch).await?;
        let (gone, answers) = answers.split_at(guests.len());
        hydrated.gone = guests.into_iter().zip(gone).filter(|(_, gone)| gone.int() == 1).map(|(guest, _)| guest).collect();
        let more = missed.edges(answers);
        edges.hidden.extend(more.hidden);
        edges.users.extend(more.users);
        hydrated.boards = boards;
        Ok((hydrated, edges))
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
        loop {
            let positions = merge.take(limit - entries.len() + limit / 8 + 1);
            if positions.is_empty() {
                if merge.is_done() || !self.read_on(&mut merge).await? {
                    return Ok(PublicPage { entries, complete_to: merge.end_of_memory() });
                }
                continue;
            }
            let (hydrated, _) = self.hydrate(None, &positions).await?;
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
            let keys: Vec<Key> = step.iter().map(|place| keys[*place].clone()).collect();
            batch.script_together(&LEARN, &keys, &arguments);
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

/// What a viewer's edges are asked for.
#[derive(Default)]
struct About {
    people: BTreeSet<UserId>,
    boards: BTreeSet<BoardId>,
    topics: BTreeSet<TopicId>,
}

impl About {
    /// Asks for the viewer's edges to all of it.
    fn ask(&self, batch: &mut Batch, viewer: UserId) {
        let mut scores = |kind: Kind, ids: &mut dyn Iterator<Item = model::Id>| {
            batch.plain("ZMSCORE", &key(kind, viewer), |cmd| ids.fold(cmd, |cmd, id| cmd.arg(&member(id)[..])));
        };
        if !self.people.is_empty() {
            scores(Kind::Users, &mut self.people.iter().map(|person| person.id()));
        }
        if !self.boards.is_empty() {
            scores(Kind::Boards, &mut self.boards.iter().map(|board| board.id()));
        }
        if !self.topics.is_empty() {
            scores(Kind::Topics, &mut self.topics.iter().map(|topic| topic.id()));
        }
        if !self.boards.is_empty() {
            members(batch, key(Kind::LeftOut, viewer), self.boards.iter().map(|board| board.id()));
        }
        if !self.people.is_empty() {
            for kind in [Kind::Blocks, Kind::BlockedBy, Kind::Mutes] {
                members(batch, key(kind, viewer), self.people.iter().map(|person| person.id()));
            }
        }
    }

    /// Reads the answers to [`About::ask`]; without any there are no edges.
    fn edges(&self, answers: &[Value]) -> Edges {
        let mut answers = answers.iter();
        let mut edges = Edges::default();
        let nothing = &Value::Nil;
        if !self.people.is_empty() {
            edges.users = marked(&self.people, answers.next().unwrap_or(nothing)).collect();
        }
        if !self.boards.is_empty() {
            edges.boards = marked(&self.boards, answers.next().unwrap_or(nothing)).collect();
        }
        if !self.topics.is_empty() {
            edges.topics = marked(&self.topics, answers.next().unwrap_or(nothing)).collect();
        }
        if !self.boards.is_empty() {
            edges.left_out = marked(&self.boards, answers.next().unwrap_or(nothing)).collect();
        }
        edges.hidden = answers.flat_map(|answer| marked(&self.people, answer)).collect();
        edges
    }
}

impl Edges {
    /// Decides whether a pin shows to the viewer, and why. Follows are those of the board's owner; who is blocked or muted shows
    /// neither as the pin's maker nor as the board's owner.
    fn reason(&self, viewer: UserId, pin: &PinFacts, board: BoardFacts) -> Option<Reason> {
        if pin.owner == viewer || self.hidden.contains(&pin.owner) || self.hidden.contains(&board.owner) {
            return None;
        }
        if self.users.contains(&board.owner) && !self.left_out.contains(&pin.board) {
            return Some(Reason::Person(board.owner));
        }
        if self.boards.contains(&pin.board) {
            return Some(Reason::Board(pin.board));
        }
        pin.topics.iter().find(|topic| self.topics.contains(topic)).map(|topic| Reason::Topic(*topic))
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

/// Returns those of the ids that an answer in their order has a score or a 1 for.
fn marked<'a, T: Copy>(ids: &'a BTreeSet<T>, answer: &'a Value) -> impl Iterator<Item = T> + 'a {
    let is_marked = |value: &Value| !matches!(value, Value::Nil | Value::Int(0));
    ids.iter().zip(answer.list()).filter(move |(_, value)| is_marked(value)).map(|(id, _)| *id)
}

/// The oldest position that is newer than all of the same instant.
fn just_above((at, _): Position) -> Position {
    (at.plus(1), PinId::new(model::Shard(0), 0))
}
