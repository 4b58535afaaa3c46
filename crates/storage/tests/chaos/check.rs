//! The end of a run: everything stands still, and what is stored is held against what writers were told.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use model::id::SHARD_COUNT;
use model::{Assoc, Id, NameKind, Pin};
use storage::{Edge, Range, Storage};

use crate::book::{Book, Fate, Known, Owner};
use crate::engine;
use crate::fleet::Fleet;
use crate::readers::Taken;
use crate::schedule::Role;
use crate::workload::{WRITERS, Workload};

/// More than any board or audit log of a run has.
const ROWS_MAX: usize = 10_000;
/// Numbers of the servers in the map, which positions in the outbox carry on top.
const NUMBER_OF_A: i64 = 1;
const NUMBER_OF_B: i64 = 2;
const POSITION_BITS: u32 = 48;

/// Compares everything; findings go to the history.
pub async fn check(fleet: &Fleet, workload: &Workload, taken: &Taken, old_position: Option<&str>) -> anyhow::Result<()> {
    let storage = fleet.open_direct().await?;
    verify(&storage, workload).await?;
    rights(fleet, workload)?;
    if let Some(old_position) = old_position {
        old_primary(fleet, workload, old_position)?;
    }
    outbox_of(fleet, taken)?;
    let taken = taken.all();
    for owner in &workload.owners {
        let book = workload.book(owner.index).clone();
        let findings = board(&storage, owner, &book).await?;
        let findings = findings.into_iter().chain(records(&storage, workload, owner, &book, &taken).await?);
        findings.for_each(|finding| workload.history.find(format!("writer {}: {finding}", owner.index)));
    }
    strange_events(workload, &taken);
    names(&storage, workload).await?;
    let kept: usize = (0..WRITERS).map(|index| workload.book(index).batches.values().filter(|batch| batch.0 == Fate::Kept).count()).sum();
    println!("{kept} batches were acknowledged");
    ensure!(kept > WRITERS * 5, "only {kept} batches were acknowledged; the run did not test");
    storage.close().await?;
    Ok(())
}

/// What the product itself says about its store: every look that it has at everything belongs here.
async fn verify(storage: &Storage, workload: &Workload) -> anyhow::Result<()> {
    for finding in storage.check().await? {
        workload.history.find(format!("check: {finding}"));
    }
    Ok(())
}

/// Every shard has one owner, nothing is half way, and no row is on a server that does not own its shard.
fn rights(fleet: &Fleet, workload: &Workload) -> anyhow::Result<()> {
    let mut owners: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (name, role) in [("a", Role::ReplicaOfA), ("b", Role::B)] {
        let Some(server) = fleet.server(role) else { continue };
        let rights = engine::rights(&server)?;
        rights.owned.iter().for_each(|shard| owners.entry(*shard).or_default().push(name));
        let findings = rights.unsettled.into_iter().chain(engine::strays(&server)?);
        findings.for_each(|finding| workload.history.find(format!("server {name}: {finding}")));
    }
    for (shard, names) in owners.iter().filter(|(_, names)| names.len() > 1) {
        workload.history.find(format!("shard {shard} is owned by {}", names.join(" and ")));
    }
    if owners.len() != usize::from(SHARD_COUNT) {
        workload.history.find(format!("{} shards have an owner, there are {SHARD_COUNT}", owners.len()));
    }
    Ok(())
}

/// Nothing was written to the old primary after it came back: nobody would ever see it.
fn old_primary(fleet: &Fleet, workload: &Workload, position: &str) -> anyhow::Result<()> {
    let Some(old) = fleet.server(Role::A) else { return Ok(()) };
    let now = old.position()?;
    if now != position {
        let writes = engine::last_writes(&old)?;
        workload
            .history
            .find(format!("the old primary of a was at {position} when it came back and is at {now}; its last events: {writes}"));
    }
    Ok(())
}

/// Adds what is left in the outboxes to what the relay has taken.
fn outbox_of(fleet: &Fleet, taken: &Taken) -> anyhow::Result<()> {
    for (number, role) in [(NUMBER_OF_A, Role::ReplicaOfA), (NUMBER_OF_B, Role::B)] {
        let Some(server) = fleet.server(role) else { continue };
        for (position, event) in engine::outbox(&server)? {
            taken.add(&event, number << POSITION_BITS | position);
        }
    }
    Ok(())
}

/// Compares a board and its pins.
async fn board(storage: &Storage, owner: &Owner, book: &Book) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let edges = storage.range(Assoc::BoardHasPins, owner.board, Range::first(ROWS_MAX)).await?;
    let count = storage.count(Assoc::BoardHasPins, owner.board).await?;
    if count != edges.len() as u64 {
        findings.push(format!("the board counts {count} pins and lists {}", edges.len()));
    }
    let listed: BTreeMap<Id, i64> = edges.iter().map(|Edge { to, sequence }| (*to, *sequence)).collect();
    if listed.len() != edges.len() {
        findings.push("the board lists a pin twice".to_owned());
    }
    findings.extend(listed.keys().filter(|id| !book.pins.contains_key(id)).map(|id| format!("the board lists {id}, which nobody made")));
    for (id, known) in &book.pins {
        let stored = storage.get::<Pin>(*id).await?;
        let row = stored.map(|stored| (stored.version, stored.active, stored.data.title));
        let (kind, key) = owner.name_of(*id);
        let name = storage.name(kind, &key).await?;
        let has_name = name.is_some_and(|name| name.id == *id && name.confirmed);
        let found = (row, listed.get(id).copied(), has_name);
        let whole = (Some((known.version, true, known.title.clone())), Some(known.sequence), true);
        let absent = (None, None, false);
        let is_right = match known {
            Known { fate: Fate::Kept, is_removed: true, .. } => found == (Some((known.version, false, known.title.clone())), None, false),
            Known { fate: Fate::Kept, .. } => found == whole,
            Known { fate: Fate::Open, .. } => found == whole || found == absent,
            Known { fate: Fate::Never, .. } => found == absent,
        };
        if !is_right {
            findings.push(format!("{id} is (row, edge, name) {found:?}, its writer knows {known:?}"));
        }
    }
    Ok(findings)
}

/// Compares events and audit entries with the batches: each once, or never.
async fn records(
    storage: &Storage,
    workload: &Workload,
    owner: &Owner,
    book: &Book,
    taken: &BTreeMap<String, BTreeSet<i64>>,
) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut audited: BTreeMap<String, usize> = BTreeMap::new();
    for entry in storage.audit_log(owner.shard(), 0, ROWS_MAX).await? {
        *audited.entry(entry.act).or_default() += 1;
    }
    let unfinished = workload.is_stopped() && book.pins.values().any(|pin| pin.is_changing);
    if unfinished {
        findings.push("a batch never came to its end".to_owned());
    }
    for (key, (fate, id)) in &book.batches {
        let events = taken.get(key).map_or(0, BTreeSet::len);
        let entries = audited.get(key).copied().unwrap_or(0);
        let is_there = storage.get::<Pin>(*id).await?.is_some();
        let wanted = match fate {
            Fate::Kept => 1,
            Fate::Open => usize::from(is_there),
            Fate::Never => 0,
        };
        if (events, entries) != (wanted, wanted) {
            let places = taken.get(key);
            findings
                .push(format!("{key} ({fate:?}) has {events} events at {places:?} and {entries} audit entries, it should have {wanted}"));
        }
    }
    Ok(findings)
}

/// Looks for events of batches that nobody wrote.
fn strange_events(workload: &Workload, taken: &BTreeMap<String, BTreeSet<i64>>) {
    let known: BTreeSet<String> = (0..WRITERS).flat_map(|index| workload.book(index).batches.keys().cloned().collect::<Vec<_>>()).collect();
    for event in taken.keys().filter(|event| !known.contains(*event)) {
        workload.history.find(format!("the event {event} belongs to no batch"));
    }
}

/// Each contested name is held by the one who was told so, and by nobody else.
async fn names(storage: &Storage, workload: &Workload) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<String, Vec<(usize, bool)>> = BTreeMap::new();
    for index in 0..WRITERS {
        for (name, got) in &workload.book(index).names {
            wanted.entry(name.clone()).or_default().push((index, *got));
        }
    }
    for (name, answers) in wanted {
        let holder = storage.name(NameKind::Username, &name).await?;
        let winners: Vec<usize> = answers.iter().filter(|(_, got)| *got).map(|(index, _)| *index).collect();
        let is_right = match (&holder, winners.as_slice()) {
            (Some(held), [winner]) => held.id == workload.owners[*winner].user.id() && held.confirmed,
            // Whoever holds it never heard of it, because its batch was given up.
            (Some(held), []) => answers.iter().all(|(index, _)| workload.owners[*index].user.id() != held.id),
            _ => false,
        };
        if !is_right {
            workload.history.find(format!("the name {name} is held by {holder:?}, its claimants were told {answers:?}"));
        }
    }
    Ok(())
}
