//! A lane: one connection that writes what waits for it, group by group, each in one transaction.
//!
//! ```text
//! round trip 1   BEGIN · lock the shards' rows of owned_shards · is the lease good? · read ahead
//!                decide: each batch in turn on the overlay (pure); those that may not write are turned away
//! round trip 2   the rows' last states · the events · this writer's count of commits · COMMIT · where did that land, for replicas?
//! ```
//!
//! The lock on a shard's row orders all writers of that shard, over all processes: what a batch was decided on is still true when it
//! commits, a shard that is frozen or has moved away is seen by everybody who comes after, and nobody waits for more than one lock
//! order, because a group locks its shards ascending.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Kind, Shard};
use mysql::{Row, Server, Taken};
use tokio::sync::oneshot;

use super::ahead::Ahead;
use super::overlay::Overlay;
use super::queue::Queue;
use super::shape::{Change, changes_to_json, insert_events, packets, statements};
use crate::engine::apply::apply;
use crate::engine::{InTurn, Prepared};
use crate::error::Error;
use crate::metrics as names;
use crate::row::Commit;

/// Attempts at a group that met a deadlock or a lock that was held too long.
const ATTEMPTS: usize = 4;
/// What is to be written.
#[derive(Clone)]
pub(super) enum Work {
    /// In turn, as [`crate::engine::Engine::write_in_turn`] has it.
    Batches {
        batches: Arc<Vec<Prepared>>,
        needed: usize,
    },
    Reserve {
        shard: Shard,
        kind: Kind,
        count: u64,
    },
}

/// What was written.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Written(InTurn),
    Reserved(u64),
}

/// Why it was not.
#[derive(Clone, Debug)]
pub(super) enum Turned {
    /// The answer stands.
    Final(Error),
    /// This server does not have the shard (any more), or not at this epoch: look for the one that has it.
    Elsewhere(String),
    /// The shard is frozen for a moment.
    Frozen(String),
    /// The server may not take writes now: its lease has run out.
    NoLease(String),
}

pub(super) struct Request {
    pub work: Work,
    /// The epochs at which the caller believes that this server got the shards, in their order.
    pub epochs: Vec<u64>,
    pub reply: oneshot::Sender<std::result::Result<Done, Turned>>,
}

/// Counts of one process, for figures.
#[derive(Default)]
pub(super) struct Counters {
    pub writes: AtomicU64,
    pub group_commits: AtomicU64,
}

pub(super) struct Lane {
    pub primary: Server,
    pub number: u16,
    pub name: String,
    pub writer: i64,
    pub lane: u16,
    /// Readers of replicas want to know where a commit stands.
    pub has_replicas: bool,
    pub counters: Arc<Counters>,
    pub commits: tokio::sync::watch::Sender<u64>,
}

impl Work {
    /// The shards that it writes on, in its order.
    pub fn shards(&self) -> Vec<Shard> {
        match self {
            Work::Batches { batches, .. } => batches.iter().map(|batch| batch.shard).collect(),
            Work::Reserve { shard, .. } => vec![*shard],
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Work::Batches { batches, .. } => batches.iter().map(|batch| batch.bytes).sum(),
            Work::Reserve { .. } => 0,
        }
    }
}

impl Lane {
    /// Serves until the queue is closed and empty.
    pub async fn serve(self, queue: Arc<Queue<Request>>) {
        while let Some(mut taken) = queue.take().await {
            taken.group.retain(|request| !request.reply.is_closed());
            if !taken.group.is_empty() {
                self.run_group(std::mem::take(&mut taken.group)).await;
            }
        }
    }

    async fn run_group(&self, group: Vec<Request>) {
        let started = Instant::now();
        let (mut answers, mut looks_at_all) = (Vec::new(), false);
        for attempt in 1..=ATTEMPTS {
            answers = match self.attempt(&group, looks_at_all).await {
                Ok(answers) => answers,
                Err(Failure::Exists(_)) if !looks_at_all => {
                    looks_at_all = true;
                    continue;
                }
                Err(Failure::Again(_)) if attempt < ATTEMPTS => continue,
                Err(Failure::Exists(turned) | Failure::Again(turned) | Failure::Ended(turned)) => vec![Err(turned); group.len()],
            };
            break;
        }
        metrics::histogram!(names::GROUP_BATCHES).record(group.len() as f64);
        metrics::histogram!(names::GROUP_SECONDS).record(started.elapsed());
        for (request, answer) in group.into_iter().zip(answers) {
            // Whoever asked may have gone; the write stands all the same.
            let _ = request.reply.send(answer);
        }
    }

    async fn attempt(&self, group: &[Request], looks_at_all: bool) -> std::result::Result<Vec<std::result::Result<Done, Turned>>, Failure> {
        let shards: BTreeSet<u16> = group.iter().flat_map(|request| request.work.shards()).map(|shard| shard.0).collect();
        let mut overlay = Overlay::default();
        for request in group {
            match &request.work {
                Work::Batches { batches, .. } => overlay.want_batches(batches, looks_at_all),
                Work::Reserve { shard, kind, .. } => overlay.sequences.want((*shard, *kind)),
            }
        }
        let (mut taken, rights) = self.begin(&shards, &mut overlay).await?;
        let mut answers: Vec<_> = group.iter().map(|request| decide(&rights, &mut overlay, request)).collect();
        let changes = overlay.changes().map_err(|error| Failure::Ended(Turned::Final(error)))?;
        if changes.is_empty() && overlay.events().is_empty() {
            let ended = taken.query("ROLLBACK").await;
            if ended.is_ok() {
                taken.put_back();
            }
            self.count(group, false);
            return Ok(answers);
        }
        let gtid = self.commit(&mut taken, &rights, &overlay, changes).await?;
        taken.put_back();
        self.count(group, true);
        for done in answers.iter_mut().flatten() {
            let Done::Written(answers) = done else { continue };
            for written in answers.iter_mut().flatten().flatten().filter(|written| !written.replayed) {
                written.commit = gtid.clone().map(|gtid| Commit { server: self.number, gtid });
            }
        }
        Ok(answers)
    }

    /// Begins a transaction, locks the shards and reads ahead: one round trip.
    async fn begin(&self, shards: &BTreeSet<u16>, overlay: &mut Overlay) -> std::result::Result<(Taken, BTreeMap<u16, Right>), Failure> {
        let mut ahead = Ahead::of(overlay);
        let mut statements = vec![
            "BEGIN".to_owned(),
            format!(
                "SELECT shard, epoch, state, other, frozen_until > {SERVER_NOW}, records FROM owned_shards WHERE shard IN ({}) ORDER BY shard FOR UPDATE",
                mysql::list(shards)
            ),
            format!("SELECT until_ms > {SERVER_NOW} FROM lease WHERE id = 1"),
        ];
        statements.append(&mut ahead.statements);
        let sql = statements.join(";");
        let mut is_retry = false;
        let (taken, mut sets) = loop {
            let mut taken = self.primary.take().await.map_err(|error| nothing_happened(&self.name, error))?;
            let was_idle = taken.was_idle();
            match taken.query(&sql).await {
                Ok(sets) => break (taken, sets),
                // An idle connection had died; the transaction never began.
                Err(mysql::Error::Lost(_)) if was_idle && !is_retry => is_retry = true,
                Err(error) => {
                    end(taken).await;
                    return Err(nothing_happened(&self.name, error));
                }
            }
        };
        let corrupt = |error: Error| Failure::Ended(Turned::Final(error));
        if sets.len() < 2 {
            return Err(corrupt(Error::Corrupt(format!("Server {} did not answer what it was asked.", self.name))));
        }
        let rest = sets.split_off(2);
        let lease = sets[1].first().map(|row| row.bool(0)).transpose().map_err(|error| corrupt(error.into()))?;
        if lease != Some(true) {
            end(taken).await;
            return Err(Failure::Ended(Turned::NoLease(format!(
                "Server {} may not take writes: its lease has run out and was not renewed. `corkboard storage status` says why.",
                self.name
            ))));
        }
        let rights = sets[0].iter().map(Right::decode).collect::<mysql::Result<_>>().map_err(|error| corrupt(error.into()))?;
        ahead.fill(overlay, rest).map_err(corrupt)?;
        Ok((taken, rights))
    }

    /// Writes the changes and commits. Returns where the commit stands, if anybody will ask.
    async fn commit(
        &self,
        taken: &mut Taken,
        rights: &BTreeMap<u16, Right>,
        overlay: &Overlay,
        changes: Vec<(Shard, Change)>,
    ) -> std::result::Result<Option<String>, Failure> {
        let now = now_ms();
        let mut sql = Vec::new();
        sql.extend(record(rights, &changes).map_err(|error| Failure::Ended(Turned::Final(error)))?);
        let changes: Vec<Change> = changes.into_iter().map(|(_, change)| change).collect();
        sql.extend(statements(&changes));
        sql.extend(events(overlay));
        sql.push(format!(
            "INSERT INTO commits (writer, lane, count, at_ms) VALUES ({}, {}, 1, {now}) ON DUPLICATE KEY UPDATE count = count + 1, at_ms = VALUES(at_ms)",
            self.writer, self.lane
        ));
        let mut packed = packets(sql);
        let last = packed.pop().unwrap_or_default();
        for packet in packed {
            if let Err(error) = taken.query(&packet).await {
                let _ = taken.query("ROLLBACK").await;
                return Err(nothing_happened(&self.name, error));
            }
        }
        let where_it_stands = match self.has_replicas {
            true => format!(";SELECT {}", taken.dialect().last_commit()),
            false => String::new(),
        };
        match taken.query(&format!("{last};COMMIT{where_it_stands}")).await {
            Ok(sets) => Ok(self.has_replicas.then(|| mysql::first(&sets).and_then(|row| row.string(0).ok()).unwrap_or_default())),
            Err(error @ mysql::Error::Refused { .. }) if is_of_a_statement(&error) => {
                let _ = taken.query("ROLLBACK").await;
                Err(nothing_happened(&self.name, error))
            }
            Err(error) => Err(Failure::Ended(Turned::Final(Error::Unknown(format!(
                "Server {} may or may not have kept the write: {error} Read before trying again, or try again with the same idempotency key.",
                self.name
            ))))),
        }
    }

    fn count(&self, group: &[Request], changed: bool) {
        let writes: usize = group.iter().map(|request| request.epochs.len()).sum();
        self.counters.writes.fetch_add(writes as u64, Ordering::Relaxed);
        self.counters.group_commits.fetch_add(1, Ordering::Relaxed);
        if changed {
            self.commits.send_modify(|count| *count += 1);
        }
    }
}

/// The server's own clock in milliseconds: what leases and freezes are measured by.
pub(super) const SERVER_NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// The same at the very moment that a row is looked at, and not at the beginning of the statement, which may have waited for locks.
pub(super) const SERVER_CLOCK: &str = "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)";

/// What a server says of one of its shards.
struct Right {
    epoch: u64,
    state: String,
    other: String,
    is_frozen: bool,
    /// Since when everything that changes is kept for recovery, in milliseconds since 1970; 0 when it is not.
    records: i64,
}

impl Right {
    fn decode(row: &Row) -> mysql::Result<(u16, Right)> {
        let right =
            Right { epoch: row.u64(1)?, state: row.string(2)?, other: row.string(3)?, is_frozen: row.bool(4)?, records: row.i64(5)? };
        Ok((row.u64(0)? as u16, right))
    }
}

/// Why a whole group was not written.
enum Failure {
    /// Nothing happened, and the next attempt may go better.
    Again(Turned),
    /// Nothing happened, because a row is there that was taken to be new.
    Exists(Turned),
    Ended(Turned),
}

fn nothing_happened(server: &str, error: mysql::Error) -> Failure {
    let turned = match &error {
        // Read-only: it has become a replica, or is about to.
        mysql::Error::Refused { code: 1290 | 1836, .. } => {
            Turned::Elsewhere(format!("Server {server} takes no writes; it may have been replaced. `corkboard storage status` tells."))
        }
        mysql::Error::Refused { code: 1062, message } => Turned::Final(Error::Corrupt(format!(
            "Server {server} already has a row that was not there a moment ago: {message}. Somebody writes past the shard locks."
        ))),
        mysql::Error::Corrupt(message) => Turned::Final(Error::Corrupt(message.clone())),
        _ => Turned::Final(Error::Unavailable(format!("Server {server} did not take the write; nothing was written. {error}"))),
    };
    match error.code() {
        Some(1205 | 1213) => Failure::Again(turned),
        Some(1062) => Failure::Exists(turned),
        _ => Failure::Ended(turned),
    }
}

/// Tells whether the server refused a statement before the COMMIT, so that nothing was kept: a commit itself fails for other reasons.
fn is_of_a_statement(error: &mysql::Error) -> bool {
    // Locks, duplicates, read-only, too long, unknown tables and columns, statement time limit, full disk or table.
    matches!(
        error.code(),
        Some(1205 | 1213 | 1062 | 1290 | 1836 | 1406 | 1146 | 1054 | 1064 | 1142 | 1969 | 3024 | 1114 | 1021 | 1366 | 1264)
    )
}

async fn end(mut taken: Taken) {
    if taken.query("ROLLBACK").await.is_ok() {
        taken.put_back();
    }
}

/// Decides one request on what was read. Whoever may not write on one of its shards does nothing at all.
fn decide(rights: &BTreeMap<u16, Right>, overlay: &mut Overlay, request: &Request) -> std::result::Result<Done, Turned> {
    for (shard, epoch) in request.work.shards().into_iter().zip(&request.epochs) {
        may_write(rights, shard, *epoch)?;
    }
    match &request.work {
        Work::Batches { batches, needed } => {
            let mut answers: InTurn = vec![None; batches.len()];
            for (place, batch) in batches.iter().enumerate() {
                let written = apply(overlay, batch);
                overlay.end_batch(written.is_ok());
                let has_failed = written.is_err();
                answers[place] = Some(written);
                if has_failed && place < *needed {
                    break;
                }
            }
            Ok(Done::Written(answers))
        }
        Work::Reserve { shard, kind, count } => {
            let first = overlay.reserve(*shard, *kind, *count);
            overlay.end_batch(first.is_ok());
            first.map(Done::Reserved).map_err(Turned::Final)
        }
    }
}

fn may_write(rights: &BTreeMap<u16, Right>, shard: Shard, epoch: u64) -> std::result::Result<(), Turned> {
    let Some(right) = rights.get(&shard.0) else {
        return Err(Turned::Elsewhere(format!("Shard {} is not on this server; the shard map is old.", shard.0)));
    };
    match right.state.as_str() {
        "owned" | "copying" | "frozen" => {}
        "moved" => {
            return Err(Turned::Elsewhere(format!("Shard {} has moved to server {} at epoch {}.", shard.0, right.other, right.epoch)));
        }
        other => return Err(Turned::Elsewhere(format!("Shard {} is {other} on this server.", shard.0))),
    }
    if right.epoch != epoch {
        return Err(Turned::Elsewhere(format!(
            "The write goes by epoch {epoch} of shard {}, but the server has it since epoch {}: the shard map is old.",
            shard.0, right.epoch
        )));
    }
    if right.is_frozen && right.state == "frozen" {
        return Err(Turned::Frozen(format!("Shard {} is frozen for the last step of its move.", shard.0)));
    }
    Ok(())
}

/// Keeps what changed on shards that are being copied or whose changes are kept for recovery.
fn record(rights: &BTreeMap<u16, Right>, changes: &[(Shard, Change)]) -> crate::Result<Vec<String>> {
    let mut by_shard: BTreeMap<u16, (&Right, Vec<Change>)> = BTreeMap::new();
    for (shard, change) in changes {
        if let Some(right) = rights.get(&shard.0).filter(|right| right.records != 0 || right.state != "owned") {
            by_shard.entry(shard.0).or_insert_with(|| (right, Vec::new())).1.push(change.clone());
        }
    }
    let line = |(shard, (right, changes)): (u16, (&Right, Vec<Change>))| {
        // By the server's clock, under the shard's lock: of one shard the instants are in the order of the commits.
        let (epoch, records) = (right.epoch, right.records);
        let mut sql =
            format!("INSERT INTO changes (shard, epoch, records, at_ms, changes) VALUES ({shard}, {epoch}, {records}, {SERVER_NOW}, ");
        mysql::quote(&mut sql, &changes_to_json(&changes)?);
        Ok(sql + ")")
    };
    by_shard.into_iter().map(line).collect()
}

fn events(overlay: &Overlay) -> Vec<String> {
    let line = |events: &[(Shard, String, String)]| insert_events(events.iter().map(|(_, id, json)| (id.as_str(), json.as_str())));
    overlay.events().chunks(200).map(line).collect()
}

pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_millis() as i64
}
