//! What is done to the servers, and when: drawn from the seed alone, so that a seed says it all.

use std::fmt;
use std::time::Duration;

use testkit::redis::Persistence;
use testkit::{Cut, Random};

/// What is at the feeds' address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    One,
    /// A cluster of three masters. The client learns where they are from themselves, so that ways to them can't be cut.
    Cluster,
}

/// One thing that happens to a server, or ends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    KillSite,
    StartSite,
    KillRedis(usize),
    StartRedis(usize),
    FreezeRedis(usize),
    ThawRedis(usize),
    CutRedis(Cut),
    OpenRedis,
    /// `FLUSHALL` on every member.
    EmptyRedis,
    /// `SAVE`: what a snapshot then holds is old when it is needed.
    SaveRedis,
    KillNode(usize),
    StartNode(usize),
    FreezeNode(usize),
    ThawNode(usize),
    CutNode(usize, Cut),
    OpenNode(usize),
    EmptyNodes,
}

pub struct Schedule {
    pub seed: u64,
    pub servers: Servers,
    pub persistence: Persistence,
    /// memcached servers.
    pub nodes: usize,
    /// In order of their times, from the start of the load. Whatever begins also ends.
    pub acts: Vec<(Duration, Act)>,
    pub lasts: Duration,
}

/// Milliseconds between the end of one thing that is done to a server and the next.
const CALM_MS: (u64, u64) = (500, 3_500);
/// Milliseconds for which something is away.
const AWAY_MS: (u64, u64) = (50, 2_500);
/// Everything is mended this long before the load ends.
const MENDED_MS: u64 = 500;

impl Schedule {
    pub fn draw(seed: u64, seconds: u64) -> Schedule {
        let mut random = Random::new(seed);
        // The kinds take turns, so that a few seeds one after the other meet all of them.
        let servers = if seed % 4 == 3 { Servers::Cluster } else { Servers::One };
        let persistence = [Persistence::None, Persistence::Snapshot, Persistence::Aof][(seed % 3) as usize];
        let nodes = 2 + random.index(2);
        let lasts = Duration::from_secs(seconds);
        let mut acts = Vec::new();
        track(&mut random, lasts, 1, &mut acts, |_| (Act::KillSite, Act::StartSite));
        let members = if servers == Servers::One { 1 } else { 3 };
        track(&mut random, lasts, 2, &mut acts, |random| redis_trouble(random, servers, members));
        for node in 0..nodes {
            track(&mut random, lasts, 1, &mut acts, |random| match random.below(5) {
                0 | 1 => (Act::KillNode(node), Act::StartNode(node)),
                2 => (Act::FreezeNode(node), Act::ThawNode(node)),
                3 => (Act::CutNode(node, cut(random)), Act::OpenNode(node)),
                _ => (Act::EmptyNodes, Act::OpenNode(node)),
            });
        }
        acts.sort_by_key(|(at, _)| *at);
        Schedule { seed, servers, persistence, nodes, acts, lasts }
    }
}

fn redis_trouble(random: &mut Random, servers: Servers, members: usize) -> (Act, Act) {
    let member = random.index(members);
    match random.below(8) {
        0..3 => (Act::KillRedis(member), Act::StartRedis(member)),
        3 => (Act::FreezeRedis(member), Act::ThawRedis(member)),
        4 if servers == Servers::One => (Act::CutRedis(cut(random)), Act::OpenRedis),
        4 | 5 => (Act::EmptyRedis, Act::OpenRedis),
        6 => (Act::SaveRedis, Act::OpenRedis),
        _ => (Act::SaveRedis, Act::EmptyRedis),
    }
}

fn cut(random: &mut Random) -> Cut {
    if random.below(2) == 0 { Cut::Refuse } else { Cut::BlackHole }
}

/// Draws what happens to one server, one thing after the other. `pace`: how many times as often as usual.
fn track(
    random: &mut Random,
    lasts: Duration,
    pace: u64,
    acts: &mut Vec<(Duration, Act)>,
    mut draw: impl FnMut(&mut Random) -> (Act, Act),
) {
    let end = (lasts.as_millis() as u64).saturating_sub(MENDED_MS);
    let between = |random: &mut Random, (from, to): (u64, u64)| from + random.below(to - from);
    let mut at = between(random, CALM_MS) / pace;
    while at < end {
        let (begins, ends) = draw(random);
        let over = (at + between(random, AWAY_MS)).min(end);
        acts.push((Duration::from_millis(at), begins));
        acts.push((Duration::from_millis(over), ends));
        at = over + between(random, CALM_MS) / pace;
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, servers, persistence, nodes, acts, .. } = self;
        write!(f, "seed {seed}: Redis {servers:?} with persistence {persistence:?}, {nodes} cache nodes, {} steps", acts.len())
    }
}
