//! What is done to the fleet, and when: a pure function of the seed, so that a failing seed can be run again.
//!
//! ```text
//! lane processes    kill and freeze storage processes         one act after the other, in each lane
//! lane servers      kill and freeze database servers, cut ways
//! lane operations   moves · a move that is left half done · the primary of `a` dies for good · failover · the old primary comes back · moves
//! ```
//!
//! The lanes run beside each other. The run is over when the operations have ended; the other two lanes have acts for much longer.

use std::fmt;

use testkit::{Cut, Random};

/// The shards that people live on: on both sides of the border between the two servers at the start.
pub const FIRST_SHARD: u16 = 2_036;
pub const LAST_SHARD: u16 = 2_059;
/// Every shard that a move may touch.
pub const MOVED_FIRST: u16 = FIRST_SHARD - 20;
pub const MOVED_LAST: u16 = MOVED_FIRST + 100;
/// Acts in the lanes that go on until the operations have ended.
const ACTS: usize = 200;

/// One of the database servers: two shard servers, each with a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    A,
    ReplicaOfA,
    B,
    ReplicaOfB,
}

/// A way that can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the storage processes and the operations to a server.
    To(Role),
    /// From a primary to its replica.
    ReplicationOfA,
    ReplicationOfB,
}

#[derive(Clone, Debug)]
pub enum Act {
    KillProcess {
        index: usize,
        down_ms: u64,
    },
    FreezeProcess {
        index: usize,
        ms: u64,
    },
    KillServer {
        role: Role,
        down_ms: u64,
    },
    FreezeServer {
        role: Role,
        ms: u64,
    },
    CutWay {
        way: Way,
        cut: Cut,
        ms: u64,
    },
    /// Moves a range of shards; the command is killed after each of these times and run again, and then runs to its end.
    Move {
        first: u16,
        last: u16,
        to: &'static str,
        kills_ms: Vec<u64>,
    },
    /// The same, but whoever started it gives up: the next operation finds what is there.
    LeaveMove {
        first: u16,
        last: u16,
        to: &'static str,
        after_ms: u64,
    },
    KillPrimaryForGood,
    /// It stands still instead, with everything on its way, until it is brought back.
    FreezePrimaryForGood,
    Failover {
        kills_ms: Vec<u64>,
    },
    /// The old primary of `a` comes back as it was when it died, or stood still.
    ReviveOldPrimary,
}

/// An act, and how long its lane rests before it.
#[derive(Clone, Debug)]
pub struct Step {
    pub rest_ms: u64,
    pub act: Act,
}

pub struct Schedule {
    pub seed: u64,
    /// Whether `b` has a replica as well.
    pub has_replica_of_b: bool,
    /// Whether storage processes and operations share one file of the map, or have one each.
    pub shares_map_file: bool,
    pub processes: Vec<Step>,
    pub servers: Vec<Step>,
    pub operations: Vec<Step>,
}

impl Schedule {
    /// Draws a run that lasts at least `seconds`.
    pub fn draw(seed: u64, seconds: u64) -> Schedule {
        let mut random = Random::new(seed);
        let has_replica_of_b = random.below(2) == 0;
        let shares_map_file = random.below(2) == 0;
        let processes = (0..ACTS).map(|_| process_step(&mut random)).collect();
        let servers = (0..ACTS).map(|_| server_step(&mut random, has_replica_of_b)).collect();
        Schedule { seed, has_replica_of_b, shares_map_file, processes, servers, operations: operations(&mut random, seconds) }
    }
}

fn between(random: &mut Random, from: u64, to: u64) -> u64 {
    from + random.below(to - from)
}

fn process_step(random: &mut Random) -> Step {
    let (index, rest_ms) = (random.index(2), between(random, 700, 2_500));
    let act = match random.below(3) {
        0 => Act::FreezeProcess { index, ms: between(random, 200, 2_500) },
        _ => Act::KillProcess { index, down_ms: between(random, 0, 800) },
    };
    Step { rest_ms, act }
}

fn server_step(random: &mut Random, has_replica_of_b: bool) -> Step {
    let rest_ms = between(random, 500, 2_500);
    let roles: &[Role] = if has_replica_of_b {
        &[Role::A, Role::ReplicaOfA, Role::B, Role::ReplicaOfB]
    } else {
        &[Role::A, Role::ReplicaOfA, Role::B, Role::B]
    };
    let role = *random.pick(roles);
    let act = match random.below(8) {
        0..3 => Act::KillServer { role, down_ms: between(random, 0, 1_000) },
        // Now and then longer than a lease.
        3 => Act::FreezeServer { role, ms: between(random, 200, 6_500) },
        4 => Act::FreezeServer { role, ms: between(random, 200, 1_500) },
        kind => {
            let way = match (random.below(4), has_replica_of_b) {
                (0, _) => Way::ReplicationOfA,
                (1, true) => Way::ReplicationOfB,
                _ => Way::To(role),
            };
            let cut = if kind == 5 { Cut::Refuse } else { Cut::BlackHole };
            Act::CutWay { way, cut, ms: between(random, 100, 2_500) }
        }
    };
    Step { rest_ms, act }
}

/// Draws the operations: half of the moves come before the failover, which finds one of them half done.
fn operations(random: &mut Random, seconds: u64) -> Vec<Step> {
    let moves = (seconds / 4).max(1);
    let mut steps: Vec<Step> = (0..moves).map(|_| move_step(random)).collect();
    if random.below(4) > 0 {
        let (first, last, to) = stretch(random);
        steps.push(Step { rest_ms: between(random, 0, 500), act: Act::LeaveMove { first, last, to, after_ms: between(random, 20, 700) } });
    }
    let end = if random.below(3) == 0 { Act::FreezePrimaryForGood } else { Act::KillPrimaryForGood };
    steps.push(Step { rest_ms: between(random, 0, 700), act: end });
    let kills_ms = (0..random.below(4)).map(|_| between(random, 50, 9_500)).collect();
    steps.push(Step { rest_ms: 0, act: Act::Failover { kills_ms } });
    let revive = Step { rest_ms: between(random, 0, 400), act: Act::ReviveOldPrimary };
    let later: Vec<Step> = (0..moves).map(|_| move_step(random)).collect();
    let place = random.index(later.len() + 1);
    steps.extend_from_slice(&later[..place]);
    steps.push(revive);
    steps.extend_from_slice(&later[place..]);
    // Somebody looks at what the old primary does while the others go on.
    steps.push(move_step(random));
    steps
}

fn move_step(random: &mut Random) -> Step {
    let (first, last, to) = stretch(random);
    let kills_ms = (0..random.below(4)).map(|_| between(random, 20, 700)).collect();
    Step { rest_ms: between(random, 0, 700), act: Act::Move { first, last, to, kills_ms } }
}

/// Draws a range of shards that touches where people live, now and then longer than what is moved at once.
fn stretch(random: &mut Random) -> (u16, u16, &'static str) {
    let span = u64::from(LAST_SHARD - FIRST_SHARD) + 1;
    let first = FIRST_SHARD + random.below(span) as u16;
    let length = if random.below(4) == 0 { between(random, 65, 100) } else { between(random, 1, span) };
    let (first, last) = if length > span { (MOVED_FIRST, MOVED_FIRST + length as u16) } else { (first, first + length as u16 - 1) };
    (first, last, if random.below(2) == 0 { "a" } else { "b" })
}

impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "schedule of seed {}:", self.seed)?;
        writeln!(out, "  b has a replica: {}; one file of the map for all: {}", self.has_replica_of_b, self.shares_map_file)?;
        for step in &self.operations {
            writeln!(out, "  operations: rest {} ms, {:?}", step.rest_ms, step.act)?;
        }
        // What came later than this nobody waited for; the history says how far the lanes got.
        for (lane, steps) in [("processes", &self.processes), ("servers", &self.servers)] {
            for step in steps.iter().take(12) {
                writeln!(out, "  {lane}: rest {} ms, {:?}", step.rest_ms, step.act)?;
            }
        }
        Ok(())
    }
}
