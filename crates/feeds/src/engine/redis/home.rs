//! Pages of home feeds and of public feeds, and built feeds installed.
//!
//! ```text
//! feed, merged sources ─▶ lists ─▶ positions ─▶ pins' facts ─▶ boards' facts, the viewer's edges to all of them ─▶ reasons
//! ```
//! Each arrow is one round to the servers, with everything in it for the whole page. What is decided is decided by the graph as it
//! is then. Nearly always the newest page is about what it was about the last time, and a few pins more: so the first round asks for all that
//! again behind the feed itself, and the others only for what is new. Nothing of what was answered then is believed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{BoardId, Id, PinId, TopicId, UserId};
use parking_lot::Mutex;
use redis::Value;

use super::RedisEngine;
use super::client::Client;
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

/// What one round asks for.
#[derive(Clone, Default)]
struct Asked {
    pins: BTreeSet<PinId>,
    boards: BTreeSet<BoardId>,
    people: BTreeSet<UserId>,
    topics: BTreeSet<TopicId>,
    /// People on other people's boards: the pins of somebody who is gone went with their boards, but for these.
    guests: BTreeSet<UserId>,
}

/// What is known of candidates, and of the viewer's edges to what they are about.
#[derive(Default)]
struct Hydrated {
    asked: Asked,
    pins: HashMap<PinId, Known>,
    boards: HashMap<BoardId, BoardFacts>,
    /// People whose pins show nowhere.
    gone: HashSet<UserId>,
    edges: Edges,
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

/// What the newest pages were about the last time, by viewer. Bounded; whoever is forgotten asks in more rounds.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<UserId, Arc<(Viewing, Asked)>>>);

/// Newest pages that are remembered, a kibibyte each, and pins of one: the ranking reads hundreds, and seldom.
const HEADS_MAX: usize = 10_000;
const HEAD_PINS_MAX: usize = 64;

impl Heads {
    fn of(&self, viewer: UserId) -> Option<Arc<(Viewing, Asked)>> {
        self.0.lock().get(&viewer).cloned()
    }

    fn keep(&self, viewing: Viewing, asked: Asked) {
        if asked.pins.len() > HEAD_PINS_MAX {
            return;
        }
        let mut heads = self.0.lock();
        if heads.len() >= HEADS_MAX && !heads.contains_key(&viewing.viewer) {
            heads.clear();
        }
        heads.insert(viewing.viewer, Arc::new((viewing, asked)));
    }
}

/// A viewer, and which of the sets that keep something away from the viewer hold anything: most people's are empty, and nobody asks for
/// twenty ids in those.
#[derive(Clone, PartialEq, Eq)]
struct Viewing {
    viewer: UserId,
    has_left_out: bool,
    hiding: Vec<Kind>,
}

impl Viewing {
    const HIDING: [Kind; 3] = [Kind::Blocks, Kind::BlockedBy, Kind::Mutes];

    fn ask(batch: &mut Batch, viewer: UserId) {
        for kind in std::iter::once(Kind::LeftOut).chain(Viewing::HIDING) {
            batch.plain("SCARD", &key(kind, viewer), |cmd| cmd);
        }
    }

    fn of<'a>(viewer: UserId, answers: &mut impl Iterator<Item = &'a Value>) -> Viewing {
        let mut holds = || answers.next().is_none_or(|count| count.int() > 0);
        let has_left_out = holds();
        Viewing { viewer, has_left_out, hiding: Viewing::HIDING.into_iter().filter(|_| holds()).collect() }
    }
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
        let head = if before.is_none() { self.heads.of(user) } else { None };
        let mut batch = Batch::new();
        merge.begin(&mut batch, &home, chunk);
        batch.plain("PTTL", &home, |cmd| cmd);
        Viewing::ask(&mut batch, user);
        let asked = ask_follows(&mut batch, user, &sources);
        let own_count = batch.len();
        if let Some((viewing, head)) = head.as_deref() {
            head.ask(&self.client, &mut batch, Some(viewing));
            self.prolong_facts(&mut batch, &head.pins);
        }
        let answers = self.client.read(batch).await?;
        let (own, of_head) = answers.split_at(own_count);
        let mut answers = own.iter();
        let tail = merge.begun(&mut answers, home.clone(), chunk);
        let left_ms = answers.next().map_or(0, Answer::int);
        let viewing = Viewing::of(user, &mut answers);
        if !tail.is_some_and(|tail| tail.is_ready) {
            return self.miss(home, missed).await;
        }
        let mut hydrated = Hydrated::default();
        // Whose sets hold something that did not asks for everything again.
        if let Some((as_it_was, head)) = head.as_deref().filter(|(as_it_was, _)| *as_it_was == viewing) {
            hydrated.take(&self.client, head, Some(as_it_was), of_head);
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

        let mut seen = Asked::default();
        let page = self.shown_of(&viewing, &mut merge, &mut hydrated, &mut seen, (before, limit)).await?;
        if before.is_none() && page.present {
            self.heads.keep(viewing, seen);
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

    /// Prolongs the life of facts along with what is read, in one page of some.
    fn prolong_facts(&self, batch: &mut Batch, pins: &BTreeSet<PinId>) {
        if runtime::random_u64().is_multiple_of(PROLONGED_ONE_IN) {
            pins.iter().for_each(|pin| batch.plain("PEXPIRE", &key(Kind::Pin, *pin), |cmd| cmd.arg(self.facts_ms())));
        }
    }

    /// Reads the facts of pins, and of their boards, as far as they were not read yet. With a viewer also the viewer's edges to what they are
    /// about, in the same round: that a pin's maker owns its board is guessed, and what was guessed wrong is asked for again.
    async fn hydrate(&self, viewer: Option<&Viewing>, positions: &[Position], hydrated: &mut Hydrated) -> Result<()> {
        let pins = positions.iter().map(|(_, pin)| *pin).filter(|pin| !hydrated.pins.contains_key(pin)).collect();
        self.ask(viewer, Asked { pins, ..Asked::default() }, hydrated).await?;
        let about = hydrated.about(positions);
        self.ask(viewer, about, hydrated).await?;
        let others = hydrated.guests_and_hosts(positions);
        self.ask(viewer, others, hydrated).await
    }

    async fn ask(&self, viewer: Option<&Viewing>, asked: Asked, hydrated: &mut Hydrated) -> Result<()> {
        let mut batch = Batch::new();
        asked.ask(&self.client, &mut batch, viewer);
        self.prolong_facts(&mut batch, &asked.pins);
        let answers = self.client.read(batch).await?;
        hydrated.take(&self.client, &asked, viewer, &answers);
        Ok(())
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

impl Asked {
    /// Asks for facts, and for the viewer's edges to all of it.
    fn ask(&self, client: &Client, batch: &mut Batch, viewer: Option<&Viewing>) {
        let pins: Vec<Key> = self.pins.iter().map(|pin| key(Kind::Pin, *pin)).collect();
        let boards: Vec<Key> = self.boards.iter().map(|board| key(Kind::Board, *board)).collect();
        client.ask_values(batch, &pins);
        client.ask_values(batch, &boards);
        self.guests.iter().for_each(|guest| batch.plain("EXISTS", &key(Kind::Gone, *guest), |cmd| cmd));
        let Some(Viewing { viewer, has_left_out, hiding }) = viewer else { return };
        let mut scores = |kind: Kind, ids: &mut dyn ExactSizeIterator<Item = Id>| {
            if ids.len() > 0 {
                batch.plain("ZMSCORE", &key(kind, *viewer), |cmd| ids.fold(cmd, |cmd, id| cmd.arg(&member(id)[..])));
            }
        };
        scores(Kind::Users, &mut self.people.iter().map(|person| person.id()));
        scores(Kind::Boards, &mut self.boards.iter().map(|board| board.id()));
        scores(Kind::Topics, &mut self.topics.iter().map(|topic| topic.id()));
        if *has_left_out && !self.boards.is_empty() {
            members(batch, key(Kind::LeftOut, *viewer), self.boards.iter().map(|board| board.id()));
        }
        if !self.people.is_empty() {
            for kind in hiding {
                members(batch, key(*kind, *viewer), self.people.iter().map(|person| person.id()));
            }
        }
    }
}

impl Hydrated {
    /// Takes in the answers to [`Asked::ask`].
    fn take(&mut self, client: &Client, asked: &Asked, viewer: Option<&Viewing>, answers: &[Value]) {
        let (pins, answers) = client.values(answers, asked.pins.len());
        let (boards, answers) = client.values(answers, asked.boards.len());
        let pins = asked.pins.iter().zip(pins);
        self.pins.extend(pins.filter_map(|(pin, answer)| Some((*pin, codec::known(*pin, answer.bytes()?)?))));
        let boards = asked.boards.iter().zip(boards);
        self.boards.extend(boards.filter_map(|(board, answer)| Some((*board, codec::board(answer.bytes()?)?))));
        let (gone, answers) = answers.split_at(asked.guests.len());
        self.gone.extend(asked.guests.iter().zip(gone).filter(|(_, gone)| gone.int() == 1).map(|(guest, _)| *guest));
        if let Some(viewer) = viewer {
            let mut answers = answers.iter();
            let nothing = &Value::Nil;
            let mut next = |is_asked: bool| if is_asked { answers.next().unwrap_or(nothing) } else { nothing };
            self.edges.users.extend(marked(&asked.people, next(!asked.people.is_empty())));
            self.edges.boards.extend(marked(&asked.boards, next(!asked.boards.is_empty())));
            self.edges.topics.extend(marked(&asked.topics, next(!asked.topics.is_empty())));
            self.edges.left_out.extend(marked(&asked.boards, next(viewer.has_left_out && !asked.boards.is_empty())));
            for _ in &viewer.hiding {
                self.edges.hidden.extend(marked(&asked.people, next(!asked.people.is_empty())));
            }
        }
        self.asked.boards.extend(&asked.boards);
        self.asked.people.extend(&asked.people);
        self.asked.topics.extend(&asked.topics);
        self.asked.guests.extend(&asked.guests);
    }

    fn facts<'a>(&'a self, positions: &'a [Position]) -> impl Iterator<Item = &'a PinFacts> {
        positions.iter().filter_map(|(_, pin)| if let Some(Known::Shown(facts)) = self.pins.get(pin) { Some(facts) } else { None })
    }

    /// Returns what pins are about and was not asked for.
    fn about(&self, positions: &[Position]) -> Asked {
        let mut about = Asked::default();
        for facts in self.facts(positions) {
            if !self.boards.contains_key(&facts.board) {
                about.boards.insert(facts.board);
            }
            if !self.asked.people.contains(&facts.owner) {
                about.people.insert(facts.owner);
            }
            about.topics.extend(facts.topics.iter().filter(|topic| !self.asked.topics.contains(topic)));
        }
        about
    }

    /// Returns whom only the boards tell of: those on boards of others, and the owners of these.
    fn guests_and_hosts(&self, positions: &[Position]) -> Asked {
        let mut others = Asked::default();
        for facts in self.facts(positions) {
            let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) else { continue };
            if !self.asked.guests.contains(&facts.owner) {
                others.guests.insert(facts.owner);
            }
            if !self.asked.people.contains(&board.owner) {
                others.people.insert(board.owner);
            }
        }
        others
    }

    /// Notes what pins are about: what the next one who reads them may ask for at once.
    fn note(&self, positions: &[Position], seen: &mut Asked) {
        seen.pins.extend(positions.iter().map(|(_, pin)| *pin));
        for facts in self.facts(positions) {
            seen.boards.insert(facts.board);
            seen.people.insert(facts.owner);
            seen.topics.extend(&facts.topics);
            if let Some(board) = self.boards.get(&facts.board).filter(|board| board.owner != facts.owner) {
                seen.people.insert(board.owner);
                seen.guests.insert(facts.owner);
            }
        }
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
