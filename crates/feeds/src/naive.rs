//! The feeds against a naive model: random changes, delivered late, twice and in any order, with builders that read old truth,
//! sweeps, and restarts from snapshots. When everything has been delivered, every page equals what the truth says.

mod place;
mod step;
mod truth;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::time::ManualClock;
use model::{BoardId, PinId, Shard, Timestamp, TopicId, UserId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::contract::live::Servers;
use crate::contract::service::Service;
use crate::engine::MemoryEngine;
use crate::limits::BUILD_MS_MAX;
use crate::{BoardFacts, Change, Entry, Feeds, Kept, Limits, PinFacts, Position, PublicFeed, Rest, Standing, Target, TargetKind};
use place::Place;
use step::{Step, step};
use truth::Truth;

const USERS: u64 = 4;
const BOARDS: u64 = 6;
const TOPICS: u64 = 3;
const PINS: u64 = 24;
const DOMAINS: [&str; 3] = ["", "example.org", "example.net"];
/// Cases on real servers in each test run.
const LIVE_CASES: u32 = 16;
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LIMITS: Limits = Limits {
    home_entries_max: 6,
    public_entries_max: 8,
    merge_threshold: 2,
    fan_out_max: 1,
    idle_ms: i64::MAX,
    home_entries_total_max: 1_000,
};

fn user(n: u64) -> UserId {
    UserId::new(Shard(n as u16), n)
}
fn board(n: u64) -> BoardId {
    BoardId::new(Shard((n % USERS) as u16), n)
}
fn topic(n: u64) -> TopicId {
    TopicId::new(Shard(9), n)
}
fn pin(n: u64) -> PinId {
    PinId::new(Shard((n * 7 % 5) as u16), n)
}

/// What an event is about; whoever handles it reads the truth as it is by then.
#[derive(Clone, Copy, Debug)]
enum Subject {
    Follow(UserId, Target),
    LeftOut(UserId, BoardId),
    Block(UserId, UserId),
    Mute(UserId, UserId),
    Board(BoardId),
    Pin(PinId),
}

/// A builder that was told "absent" and has read the truth, but not filled yet.
struct Build {
    user: UserId,
    begun: Timestamp,
    entries: Vec<PinFacts>,
    end: Option<Position>,
}

struct World {
    truth: Truth,
    feeds: Feeds,
    clock: Arc<ManualClock>,
    /// Instant 0 of the steps: 1970, or just now, when engines may take another way for new pins.
    base: i64,
    /// All events, and which of them have been delivered since the last restart.
    log: Vec<(Subject, bool)>,
    builds: Vec<Build>,
    /// What is left of fan-outs, and the event that began each.
    rests: Vec<(usize, Rest)>,
    place: Place,
    /// The service through which the feeds are asked.
    service: Option<Service>,
    ticks: i64,
}

impl World {
    async fn new(place: Place, is_now: bool) -> World {
        let clock = Arc::new(ManualClock::at(NOW));
        let service = place.service(&clock);
        let url = service.as_ref().map_or_else(|| place.url(), Service::url);
        let feeds = Feeds::open(&url, clock.clone(), LIMITS).expect("feeds");
        feeds.clear().await.expect("cleared");
        feeds.complete(0).await.expect("complete");
        let base = if is_now { NOW.0 - 60 } else { 0 };
        let (log, builds, rests) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = World { truth: Truth::default(), feeds, clock, base, log, builds, rests, place, service, ticks: 0 };
        for n in 0..BOARDS {
            world.truth.boards.insert(board(n), BoardFacts { owner: user(n % USERS), listed: true });
            world.note(Subject::Board(board(n)));
        }
        world
    }

    fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        if let Some(servers) = self.place.servers() {
            servers.advance(ms);
        }
    }

    fn note(&mut self, subject: Subject) {
        self.log.push((subject, false));
    }

    fn change(&self, subject: Subject) -> Change {
        let truth = &self.truth;
        match subject {
            Subject::Follow(user, target) => {
                let at = truth.follows.get(&(user, target));
                Change::Follow { user, target, on: at.is_some(), at: at.copied().unwrap_or_default() }
            }
            Subject::LeftOut(user, board) => Change::LeftOut { user, board, on: truth.left_out.contains(&(user, board)) },
            Subject::Block(user, other) => Change::Block { user, other, on: truth.blocks.contains(&(user, other)) },
            Subject::Mute(user, other) => Change::Mute { user, other, on: truth.mutes.contains(&(user, other)) },
            Subject::Board(board) => Change::Board { board, facts: truth.boards.get(&board).copied() },
            Subject::Pin(pin) => truth.pins.get(&pin).map_or(Change::Retract(pin), |facts| Change::Publish(facts.clone())),
        }
    }

    async fn deliver(&mut self, index: usize) {
        let subject = self.log[index].0;
        let rests = self.feeds.apply(vec![self.change(subject)]).await.expect("applied");
        self.rests.extend(rests.into_iter().map(|rest| (index, rest)));
        self.log[index].1 = true;
    }

    /// Delivers some of what is left of a fan-out; `twice`: and forgets that it did.
    async fn deliver_rest(&mut self, n: usize, limit: usize, twice: bool) {
        let n = n % self.rests.len();
        let (index, rest) = if twice { self.rests[n] } else { self.rests.swap_remove(n) };
        let left = self.feeds.deliver(rest, limit).await.expect("delivered");
        self.rests.extend(left.map(|left| (index, left)));
    }

    async fn deliver_all(&mut self) {
        // Backwards: as wrong an order as any.
        for index in (0..self.log.len()).rev() {
            if !self.log[index].1 {
                self.deliver(index).await;
            }
        }
    }

    async fn deliver_rests(&mut self) {
        while !self.rests.is_empty() {
            self.deliver_rest(0, 1, false).await;
        }
    }

    /// Changes the truth.
    fn edit(&mut self, step: &Step) {
        self.ticks += 1;
        let set = |set: &mut BTreeSet<_>, edge, on| if on { set.insert(edge) } else { set.remove(&edge) };
        let is_there = |board: &BoardId| self.truth.boards.contains_key(board);
        match *step {
            Step::Follow(_, Target::Board(board), true) if !is_there(&board) => {}
            Step::LeftOut(_, b, true) if !is_there(&board(b)) => {}
            Step::Follow(u, target, on) if target != Target::User(user(u)) => {
                match on {
                    true => drop(self.truth.follows.entry((user(u), target)).or_insert(Timestamp(self.ticks))),
                    false => drop(self.truth.follows.remove(&(user(u), target))),
                }
                self.note(Subject::Follow(user(u), target));
            }
            Step::LeftOut(u, b, on) => {
                match on {
                    true => self.truth.left_out.insert((user(u), board(b))),
                    false => self.truth.left_out.remove(&(user(u), board(b))),
                };
                self.note(Subject::LeftOut(user(u), board(b)));
            }
            Step::Block(u, o, on) if u != o => {
                set(&mut self.truth.blocks, (user(u), user(o)), on);
                self.note(Subject::Block(user(u), user(o)));
            }
            Step::Mute(u, o, on) if u != o => {
                set(&mut self.truth.mutes, (user(u), user(o)), on);
                self.note(Subject::Mute(user(u), user(o)));
            }
            Step::Publish { pin: p, owner, board: b, topics, domain, at } if is_there(&board(b)) => {
                let topics = (0..TOPICS).filter(|n| topics >> n & 1 == 1).map(topic).collect();
                let domain = DOMAINS[domain].to_owned();
                let facts = PinFacts { pin: pin(p), owner: user(owner), board: board(b), topics, domain, at: Timestamp(self.base + at) };
                self.truth.pins.insert(pin(p), facts);
                self.note(Subject::Pin(pin(p)));
            }
            Step::Retract(p) => {
                self.truth.pins.remove(&pin(p));
                self.note(Subject::Pin(pin(p)));
            }
            _ => {}
        }
    }

    /// Boards change in front of the person, so their events are not late; the pins of one that shows again are published again.
    async fn set_board(&mut self, b: BoardId, owner: UserId, listed: bool) {
        self.truth.boards.insert(b, BoardFacts { owner, listed });
        self.note(Subject::Board(b));
        self.deliver(self.log.len() - 1).await;
        let pins: Vec<PinId> = self.truth.pins.values().filter(|pin| pin.board == b).map(|pin| pin.pin).collect();
        pins.into_iter().for_each(|pin| self.note(Subject::Pin(pin)));
    }

    async fn board_gone(&mut self, b: BoardId) {
        let subjects = self.truth.forget_board(b);
        subjects.into_iter().for_each(|subject| self.note(subject));
        self.deliver(self.log.len() - 1).await;
    }

    async fn user_gone(&mut self, gone: UserId) {
        let owned: Vec<BoardId> = self.truth.boards.iter().filter(|(_, facts)| facts.owner == gone).map(|(board, _)| *board).collect();
        for b in owned {
            self.board_gone(b).await;
        }
        let edges: Vec<(UserId, Target)> = self.truth.follows.keys().copied().collect();
        for (from, to) in edges.into_iter().filter(|(from, to)| *from == gone || *to == Target::User(gone)) {
            self.truth.follows.remove(&(from, to));
            self.note(Subject::Follow(from, to));
        }
        for n in 0..USERS {
            for (from, to) in [(gone, user(n)), (user(n), gone)] {
                self.truth.blocks.remove(&(from, to));
                self.truth.mutes.remove(&(from, to));
                self.note(Subject::Block(from, to));
                self.note(Subject::Mute(from, to));
            }
        }
        for n in 0..BOARDS {
            self.truth.left_out.remove(&(gone, board(n)));
            self.note(Subject::LeftOut(gone, board(n)));
        }
        let pins: Vec<PinId> = self.truth.pins.values().filter(|pin| pin.owner == gone).map(|pin| pin.pin).collect();
        for pin in pins {
            self.truth.pins.remove(&pin);
            self.note(Subject::Pin(pin));
        }
        self.feeds.forget_user(gone).await.expect("applied");
    }

    async fn restart(&mut self, should_save: bool) {
        let offset = self.log.iter().position(|(_, delivered)| !delivered).unwrap_or(self.log.len());
        // An event is done when its fan-out is.
        let offset = self.rests.iter().map(|(index, _)| *index).fold(offset, usize::min);
        if should_save {
            assert_eq!(self.feeds.snapshot(offset as i64).await, Ok(Kept::Whole));
            return;
        }
        let url = self.service.as_ref().map_or_else(|| self.place.url(), Service::url);
        self.feeds = Feeds::open(&url, self.clock.clone(), LIMITS).expect("feeds");
        self.builds.clear();
        let from = self.feeds.restored_offset().await.expect("an answer");
        self.log.iter_mut().skip(from.unwrap_or(0) as usize).for_each(|(_, delivered)| *delivered = false);
        // Without a snapshot this is the rebuild; with one, the log from its offset.
        if from.is_none() {
            self.feeds.clear().await.expect("cleared");
        }
        self.deliver_all().await;
        if from.is_none() {
            self.feeds.complete(self.log.len() as i64).await.expect("complete");
        }
    }

    async fn run(&mut self, step: &Step) {
        self.edit(step);
        match *step {
            Step::Board(b, listed) => self.set_board(board(b), user(b % USERS), listed).await,
            Step::BoardGone(b) if b < BOARDS => self.board_gone(board(b)).await,
            Step::UserGone(u) if u < USERS => self.user_gone(user(u)).await,
            Step::Deliver(n, twice) if !self.log.is_empty() => {
                let waiting: Vec<usize> = (0..self.log.len()).filter(|index| twice || !self.log[*index].1).collect();
                if !waiting.is_empty() {
                    self.deliver(waiting[n % waiting.len()]).await;
                }
            }
            Step::DeliverAll => self.deliver_all().await,
            Step::DeliverRest(n, limit, twice) if !self.rests.is_empty() => self.deliver_rest(n, limit, twice).await,
            Step::Read(u) => self.read(user(u)).await,
            Step::Refresh(u) => {
                let waiting = self.builds.len();
                self.read(user(u)).await;
                for build in self.builds.split_off(waiting) {
                    self.feeds.fill(build.user, build.entries, build.end).await.expect("filled");
                }
            }
            Step::Fill(n) if !self.builds.is_empty() => {
                let build = self.builds.swap_remove(n % self.builds.len());
                self.feeds.fill(build.user, build.entries, build.end).await.expect("filled");
            }
            Step::Wait(ms) => {
                self.advance(ms);
                let now = model::Clock::now(&*self.clock);
                self.builds.retain(|build| now.since(build.begun) < BUILD_MS_MAX);
            }
            Step::Sweep => self.feeds.maintain().await.expect("swept"),
            Step::Snapshot => self.restart(true).await,
            Step::Restart => self.restart(false).await,
            Step::Flush => {
                if let Some(servers) = self.place.servers() {
                    servers.flush();
                    assert!(matches!(self.feeds.home(user(0), None, 1).await, Err(crate::Error::Unavailable(_))));
                    assert_eq!(self.feeds.snapshot(0).await, Ok(Kept::Behind));
                } else if let Some(service) = &mut self.service {
                    service.kill();
                    let empty = MemoryEngine::open(None, self.clock.clone(), LIMITS);
                    *service = Service::start_at(Arc::new(empty), None, service.address);
                    assert!(matches!(self.feeds.home(user(0), None, 1).await, Err(crate::Error::Unavailable(_))));
                }
                self.restart(false).await;
            }
            _ => {}
        }
    }

    async fn read(&mut self, reader: UserId) {
        let page = self.feeds.home(reader, None, 3).await.expect("a page");
        if !page.present {
            let (entries, end) = self.truth.build(reader);
            self.builds.push(Build { user: reader, begun: model::Clock::now(&*self.clock), entries, end });
        }
    }

    /// Reads all of a home feed as a person would: from memory, then from storage. `None`: no feed in memory.
    async fn whole_home(&self, reader: UserId, limit: usize) -> Option<Vec<Entry>> {
        let mut whole: Vec<Entry> = Vec::new();
        let mut before = None;
        loop {
            let page = self.feeds.home(reader, before, limit).await.expect("a page");
            if !page.present {
                return None;
            }
            assert!(page.entries.len() <= limit);
            let is_full = page.entries.len() == limit;
            before = page.entries.last().map(Entry::position).or(before);
            whole.extend(page.entries);
            if let Some(end) = page.complete_to {
                whole.extend(self.truth.home(reader).into_iter().filter(|entry| entry.position() < end));
                return Some(whole);
            }
            if !is_full {
                return Some(whole);
            }
        }
    }

    async fn whole_public(&self, feed: &PublicFeed, limit: usize) -> Vec<Position> {
        let mut whole: Vec<Position> = Vec::new();
        loop {
            let page = self.feeds.public(feed.clone(), whole.last().copied(), limit).await.expect("a page");
            whole.extend(page.entries.iter().map(|entry| (entry.at, entry.pin)));
            if let Some(end) = page.complete_to {
                whole.extend(self.truth.public(feed).into_iter().filter(|position| *position < end));
                return whole;
            }
            if page.entries.len() < limit {
                return whole;
            }
        }
    }

    /// Everything has been delivered: every answer equals the truth.
    async fn check(&mut self) {
        self.deliver_all().await;
        self.deliver_rests().await;
        for limit in [1, 4, 100] {
            for reader in (0..USERS).map(user) {
                if let Some(whole) = self.whole_home(reader, limit).await {
                    assert_eq!(whole, self.truth.home(reader), "feed in memory of {reader:?} in pages of {limit}");
                }
            }
        }
        // Old builders have ended by now, so a new one must be taken.
        self.advance(BUILD_MS_MAX);
        self.builds.clear();
        for reader in (0..USERS).map(user) {
            if self.whole_home(reader, 3).await.is_none() {
                let (entries, end) = self.truth.build(reader);
                self.feeds.fill(reader, entries, end).await.expect("filled");
            }
            let whole = self.whole_home(reader, 3).await.expect("a feed that was filled is present");
            assert_eq!(whole, self.truth.home(reader), "filled feed of {reader:?}");
        }
        let feeds = (0..TOPICS).map(|n| PublicFeed::Topic(topic(n))).chain(DOMAINS[1..].iter().map(|d| PublicFeed::Domain((*d).into())));
        for feed in feeds.chain([PublicFeed::Everything]) {
            assert_eq!(self.whole_public(&feed, 3).await, self.truth.public(&feed), "{feed:?}");
        }
        self.check_graph().await;
    }

    async fn check_graph(&self) {
        for n in 0..BOARDS {
            let count = self.feeds.followers_of_board(board(n)).await.expect("a count");
            assert_eq!(count, self.truth.board_followers(board(n)), "followers of {:?}", board(n));
        }
        for one in (0..USERS).map(user) {
            let counts = self.feeds.counts(one).await.expect("counts");
            let followers = self.truth.follows.keys().filter(|(_, target)| *target == Target::User(one)).count() as u64;
            assert_eq!(counts.followers, followers);
            let mut followed: Vec<(Timestamp, Target)> =
                self.truth.follows.iter().filter(|((from, _), _)| *from == one).map(|((_, to), at)| (*at, *to)).collect();
            followed.sort_by_key(|edge| std::cmp::Reverse(*edge));
            let mut listed = Vec::new();
            for kind in [TargetKind::User, TargetKind::Board, TargetKind::Topic] {
                let mut cursor = None;
                loop {
                    let page = self.feeds.following(one, kind, cursor, 2).await.expect("a page");
                    listed.extend(page.entries.iter().map(|linked| (linked.at, linked.target)));
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
            let count = counts.following_users + counts.following_boards + counts.following_topics;
            assert_eq!(count as usize, followed.len());
            listed.sort_by_key(|edge| std::cmp::Reverse(*edge));
            assert_eq!(listed, followed);
            let others: Vec<UserId> = (0..USERS).map(user).collect();
            let standings: Vec<Standing> = others.iter().map(|other| self.truth.standing(one, *other)).collect();
            let relations = standings.iter().map(|standing| standing.relation).collect();
            assert_eq!(self.feeds.relations(one, &others).await, Ok(relations), "what keeps others from {one:?}");
            assert_eq!(self.feeds.standings(one, &others).await, Ok(standings), "what stands between others and {one:?}");
        }
    }
}

type Rounds = Vec<Vec<Step>>;

fn rounds() -> impl Strategy<Value = Rounds> {
    prop::collection::vec(prop::collection::vec(step(), 1..60), 1..5)
}

fn check(place: Place, is_now: bool, rounds: &Rounds) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(place, is_now).await;
        for steps in rounds {
            for step in steps {
                world.run(step).await;
            }
            world.check().await;
        }
    });
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, cases, ..ProptestConfig::default() }
}

/// Runs a few cases on real servers.
fn check_live(servers: Option<Servers>) {
    let Some(servers) = servers.map(Arc::new) else { return };
    check_some(|| Place::Servers(servers.clone()));
}

/// Runs a few cases; `PROPTEST_CASES` asks for more.
fn check_some(place: impl Fn() -> Place) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(LIVE_CASES);
    let mut runner = TestRunner::new(config(cases));
    let outcome = runner.run(&(rounds(), any::<bool>()), |(rounds, is_now)| {
        check(place(), is_now, &rounds);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

proptest! {
    #![proptest_config(config(ProptestConfig::default().cases))]

    #[test]
    fn feeds_equal_a_naive_model(rounds in rounds(), is_now in any::<bool>()) {
        let folder = tempfile::tempdir().expect("a folder");
        check(Place::Snapshot(folder.path().join("feeds.snapshot")), is_now, &rounds);
    }
}

#[test]
fn feeds_in_redis_equal_a_naive_model() {
    check_live(Servers::one("feeds::naive::feeds_in_redis_equal_a_naive_model"));
}

#[test]
fn feeds_in_a_service_equal_a_naive_model() {
    check_some(|| Place::Service);
}

#[test]
fn feeds_in_redis_through_a_service_equal_a_naive_model() {
    let Some(servers) = Servers::one("feeds::naive::feeds_in_redis_through_a_service_equal_a_naive_model").map(Arc::new) else { return };
    check_some(|| Place::ServersThroughService(servers.clone()));
}

#[test]
fn feeds_in_a_redis_cluster_equal_a_naive_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    check_live(runtime.block_on(Servers::cluster("feeds::naive::feeds_in_a_redis_cluster_equal_a_naive_model")));
}
