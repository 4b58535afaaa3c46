//! Carries out the schedule: three lanes, each in a thread of its own, one act after the other.
//!
//! What is promised has limits, and the nemesis keeps within them: of a primary and its replica one may die for good, not both. A replica
//! that is killed forgets what it has received and not yet applied, so that it must be back before its primary dies for good.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use testkit::mariadb::Server;
use testkit::site::send_signal;
use testkit::wait_for;

use crate::fleet::{Ended, Fleet, PROCESSES};
use crate::history::History;
use crate::schedule::{Act, MOVED_FIRST, MOVED_LAST, Role, Schedule, Step};

/// How long an operation may take to succeed, run again and again, whatever else happens.
const OPERATION_LIMIT: Duration = Duration::from_secs(60);
/// Between two tries of an operation that failed.
const OPERATION_PAUSE: Duration = Duration::from_millis(150);
const REPLICATION_LIMIT: Duration = Duration::from_secs(30);

pub struct Nemesis<'a> {
    pub fleet: &'a Fleet,
    pub history: &'a History,
    pub schedule: &'a Schedule,
    /// The operations have ended; the other lanes end as well.
    is_over: AtomicBool,
    /// The first primary of `a` is lost, by death or by standing still.
    is_lost: AtomicBool,
    /// A replica has taken its place.
    is_replaced: AtomicBool,
}

impl<'a> Nemesis<'a> {
    pub fn new(fleet: &'a Fleet, history: &'a History, schedule: &'a Schedule) -> Nemesis<'a> {
        let off = || AtomicBool::new(false);
        Nemesis { fleet, history, schedule, is_over: off(), is_lost: off(), is_replaced: off() }
    }

    /// Runs all lanes for at least `least`, and mends everything at the end. Returns where the old primary's own history ended,
    /// if it died.
    pub fn run(&self, least: Duration) -> anyhow::Result<Option<String>> {
        let started = Instant::now();
        let old_position = std::thread::scope(|scope| {
            let lanes = [&self.schedule.processes, &self.schedule.servers].map(|steps| scope.spawn(|| self.lane(steps)));
            let operated = self.operations();
            while operated.is_ok() && started.elapsed() < least {
                self.rest(50);
            }
            self.is_over.store(true, Ordering::SeqCst);
            for lane in lanes {
                lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??;
            }
            operated
        })?;
        self.mend()?;
        Ok(old_position)
    }

    /// Not a wait for a state: how long each state lasts is drawn from the seed.
    fn rest(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn lane(&self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            self.rest(step.rest_ms);
            if self.is_over.load(Ordering::SeqCst) {
                return Ok(());
            }
            self.history.note(format!("nemesis {:?}", step.act));
            self.act(&step.act).with_context(|| format!("{:?}", step.act))?;
            self.history.note(format!("nemesis {:?}: over", step.act));
        }
        Ok(())
    }

    fn act(&self, act: &Act) -> anyhow::Result<()> {
        match act {
            Act::KillProcess { index, down_ms } => {
                let mut process = self.fleet.process(*index);
                self.fleet.kill_process(&mut process, *index);
                self.rest(*down_ms);
                process.restart()?;
            }
            Act::FreezeProcess { index, ms } => {
                let process = self.fleet.process(*index);
                let pid = process.pid().context("a storage process that does not run")?;
                send_signal(pid, "STOP")?;
                self.rest(*ms);
                send_signal(pid, "CONT")?;
            }
            Act::KillServer { role, down_ms } => self.kill_server(*role, *down_ms)?,
            Act::FreezeServer { role, ms } => {
                let Some(mut server) = self.present(*role) else { return Ok(()) };
                server.freeze()?;
                self.rest(*ms);
                server.thaw()?;
            }
            Act::CutWay { way, cut, ms } => {
                let Some(way) = self.fleet.way(*way) else { return Ok(()) };
                way.cut_off(*cut);
                self.rest(*ms);
                way.reconnect();
            }
            _ => anyhow::bail!("an operation in another lane"),
        }
        Ok(())
    }

    /// `None` for a server that this run does not have, and for the primary that was lost: only its own act brings that one back.
    fn present(&self, role: Role) -> Option<MutexGuard<'a, Server>> {
        let server = self.fleet.server(role)?;
        let is_lost = role == Role::A && self.is_lost.load(Ordering::SeqCst);
        (!is_lost && server.pid().is_some()).then_some(server)
    }

    /// Kills a server and starts it again on the same data.
    fn kill_server(&self, role: Role, down_ms: u64) -> anyhow::Result<()> {
        let Some(mut server) = self.present(role) else { return Ok(()) };
        server.kill9();
        self.rest(down_ms);
        server.restart()?;
        let follows = match role {
            Role::ReplicaOfA => !self.is_replaced.load(Ordering::SeqCst),
            Role::ReplicaOfB => true,
            _ => return Ok(()),
        };
        if follows { self.wait_for_replication(role, &server) } else { take_writes(&server) }
    }

    /// Waits until a replica hears its primary again, so that what it forgot is there before anything else happens.
    fn wait_for_replication(&self, role: Role, server: &Server) -> anyhow::Result<()> {
        wait_for("the replica to hear its primary", REPLICATION_LIMIT, || {
            let status = server.replication().map_err(|error| format!("{error:#}"))?;
            let running = status.get("Slave_IO_Running").map_or("", String::as_str);
            let seconds = status.get("Seconds_Behind_Master").map_or("", String::as_str);
            if running == "Yes" && seconds == "0" { Ok(()) } else { Err(format!("{role:?}: {running}, {seconds} s behind")) }
        })
    }

    /// Runs the operations. Returns where the history of the old primary ended when it came back from its death.
    fn operations(&self) -> anyhow::Result<Option<String>> {
        let mut position = None;
        let mut replica = None;
        for step in &self.schedule.operations {
            self.rest(step.rest_ms);
            self.history.note(format!("nemesis {:?}", step.act));
            match &step.act {
                Act::Move { first, last, to, kills_ms } => {
                    self.until_done(&["storage", "move", "--shards", &format!("{first}-{last}"), "--to", to], kills_ms, || false)?;
                }
                Act::LeaveMove { first, last, to, after_ms } => {
                    let shards = format!("{first}-{last}");
                    let arguments = ["storage", "move", "--shards", &shards, "--to", to];
                    self.fleet.operate(&arguments, Some(Duration::from_millis(*after_ms)), self.history)?;
                }
                end @ (Act::KillPrimaryForGood | Act::FreezePrimaryForGood) => {
                    // Held until the replica has taken the place: two deaths are more than is promised.
                    let held = self.fleet.server(Role::ReplicaOfA).context("no replica of a")?;
                    self.wait_for_replication(Role::ReplicaOfA, &held)?;
                    let mut primary = self.fleet.server(Role::A).context("no a")?;
                    self.is_lost.store(true, Ordering::SeqCst);
                    if matches!(end, Act::KillPrimaryForGood) {
                        primary.kill9()
                    } else {
                        primary.freeze()?
                    }
                    replica = Some(held);
                }
                Act::Failover { kills_ms } => {
                    let wanted = self.fleet.place(Role::ReplicaOfA)?;
                    let is_done = || self.fleet.primary_of_a().is_ok_and(|primary| primary == wanted);
                    self.until_done(&["storage", "failover", "a"], kills_ms, is_done)?;
                    self.is_replaced.store(true, Ordering::SeqCst);
                    replica = None;
                }
                Act::ReviveOldPrimary => {
                    let mut old = self.fleet.server(Role::A).context("no a")?;
                    // One that stood still ends what was on its way: written, and acknowledged to nobody.
                    if old.pid().is_some() {
                        old.thaw()?;
                    } else {
                        old.restart()?;
                        position = Some(old.position()?);
                    }
                }
                other => anyhow::bail!("{other:?} is no operation"),
            }
        }
        drop(replica);
        Ok(position)
    }

    /// Runs a command again and again until it succeeds, killed after each of some times first. `is_done` tells that an earlier run that
    /// was killed had done everything.
    fn until_done(&self, arguments: &[&str], kills_ms: &[u64], is_done: impl Fn() -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut kills = kills_ms.iter();
        let mut last = String::new();
        while started.elapsed() < OPERATION_LIMIT {
            let kill_after = kills.next().map(|ms| Duration::from_millis(*ms));
            match self.fleet.operate(arguments, kill_after, self.history)? {
                Ended::Well => return Ok(()),
                Ended::Badly(_) if is_done() => return Ok(()),
                Ended::Badly(said) => last = said,
                Ended::Killed => continue,
            }
            std::thread::sleep(OPERATION_PAUSE);
        }
        anyhow::bail!("`corkboard {}` did not succeed within {} s; it says: {last}", arguments.join(" "), OPERATION_LIMIT.as_secs())
    }

    /// Lets everything run again that should.
    fn mend(&self) -> anyhow::Result<()> {
        self.fleet.mend_ways();
        for index in 0..PROCESSES {
            let mut process = self.fleet.process(index);
            if process.pid().is_none() {
                process.restart()?;
            }
        }
        for role in [Role::ReplicaOfA, Role::B, Role::ReplicaOfB] {
            if let Some(mut server) = self.fleet.server(role) {
                server.thaw()?;
                if server.pid().is_none() {
                    server.restart()?;
                }
            }
        }
        self.history.note("nemesis: everything is mended");
        // What interrupted moves left is settled by moving everything once to either side, whichever way each of them went.
        let shards = format!("{MOVED_FIRST}-{MOVED_LAST}");
        for to in ["a", "b"] {
            self.until_done(&["storage", "move", "--shards", &shards, "--to", to], &[], || false)?;
        }
        Ok(())
    }
}

/// Lets a former replica take writes: the command line with which it was started says that it only reads.
fn take_writes(server: &Server) -> anyhow::Result<()> {
    server.sql("SET GLOBAL read_only = 0")?;
    Ok(())
}
