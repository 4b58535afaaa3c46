//! Those who read while all of it happens: readers who hold what they see against what writers have been told, and the relay that takes
//! events out of the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Assoc, Id};
use storage::{Edge, Error, Range, Storage};
use testkit::Random;

use crate::book::{Book, Fate};
use crate::workload::{WRITERS, Workload};

pub const READERS: usize = 4;
/// Edges of one look; a board has fewer.
const EDGES_MAX: usize = 5_000;
/// Events that the relay takes at once.
const EVENTS_AT_ONCE: usize = 50;

/// Reads boards at random until told to stop.
pub async fn read(workload: Arc<Workload>, storage: Storage, seed: u64) {
    let mut random = Random::new(seed);
    while !workload.is_stopped() {
        let index = random.index(WRITERS);
        let board = workload.owners[index].board;
        let before = workload.book(index).clone();
        let range = storage.range(Assoc::BoardHasPins, board, Range::first(EDGES_MAX)).await;
        let after = workload.book(index).clone();
        match range {
            Ok(edges) => {
                for finding in differences(&before, &after, &edges) {
                    workload.history.find(format!("a reader of board {index}: {finding}"));
                }
                halves(&workload, &storage, index, &edges).await;
            }
            Err(Error::Unavailable(error)) => workload.history.note(format!("a reader of board {index}: {error}")),
            Err(error) => workload.history.find(format!("a reader of board {index}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(10 + random.below(40))).await;
    }
}

/// Compares a board as it was read with what its writer knew before and after. What was the same both times was so in between.
fn differences(before: &Book, after: &Book, edges: &[Edge]) -> Vec<String> {
    let seen: BTreeMap<Id, i64> = edges.iter().map(|edge| (edge.to, edge.sequence)).collect();
    let mut findings = Vec::new();
    if seen.len() != edges.len() {
        findings.push("a pin is there twice".to_owned());
    }
    for (id, known) in before.pins.iter().filter(|(id, known)| !known.is_changing && after.pins.get(id) == Some(known)) {
        let there = seen.get(id).copied();
        let expected = match known.fate {
            Fate::Open => continue,
            Fate::Never => None,
            Fate::Kept if known.is_removed => None,
            Fate::Kept => Some(known.sequence),
        };
        if there != expected {
            findings.push(format!("{id} ({}) is seen at {there:?}, it should be at {expected:?}: {known:?}", known.title));
        }
    }
    for id in seen.keys().filter(|id| !after.pins.contains_key(id)) {
        findings.push(format!("{id} is there, and nobody made it"));
    }
    findings
}

/// Looks for edges without their pin: a batch of which only half can be seen.
async fn halves(workload: &Workload, storage: &Storage, index: usize, edges: &[Edge]) {
    let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
    let Ok(pins) = storage.get_many::<model::Pin>(&ids).await else { return };
    for (id, _) in ids.iter().zip(&pins).filter(|(_, pin)| pin.is_none()) {
        workload.history.find(format!("a reader of board {index}: {id} has an edge and no row"));
    }
}

/// What the relay has taken: the positions at which each event stood.
#[derive(Default)]
pub struct Taken {
    positions: Mutex<BTreeMap<String, BTreeSet<i64>>>,
}

impl Taken {
    pub fn add(&self, event: &str, position: i64) {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).entry(event.to_owned()).or_default().insert(position);
    }

    pub fn all(&self) -> BTreeMap<String, BTreeSet<i64>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes events out of the outbox until told to stop. One that is not forgotten comes again, at the same position.
pub async fn relay(workload: Arc<Workload>, storage: Storage, taken: Arc<Taken>) {
    while !workload.is_stopped() {
        if let Ok(events) = storage.outbox(EVENTS_AT_ONCE).await {
            let positions: Vec<i64> = events.iter().map(|(position, _)| *position).collect();
            for (position, event) in &events {
                taken.add(&event.id, *position);
            }
            if let Err(error) = storage.outbox_forget(&positions).await {
                workload.history.note(format!("the relay: {error}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}
