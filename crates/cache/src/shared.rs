//! How the second level is asked: what is there, what to load, and with which lease. Whatever goes wrong is a counted miss.

use std::sync::Arc;
use std::time::Duration;

use model::{Id, Object, Stored};

use crate::engine::{Asked, Cell, Engine, Key, Lease, Looked, Refill};
use crate::error::Result;
use crate::limits::{CELL_MS, CELL_STALE_MS, ENGINE_MS_MAX, LEASE_POLL_MS, LEASE_POLLS_MAX, NEGATIVE_MS};
use crate::metrics as names;
use crate::objects::{Near, decode, encode};

/// What the second level said of one id.
pub(crate) enum Told<T> {
    Found(Option<Stored<T>>),
    /// What is in memory, of this version, is the newest.
    Current(u64),
    /// The caller loads it, and fills it in when it has a lease.
    Load(Option<Lease>),
    /// Nobody could tell.
    Away,
}

/// Asks for objects. Waits briefly for what other processes refill.
pub(crate) async fn ask<T: Object>(engine: &dyn Engine, wanted: &[(Id, Near)]) -> Vec<(Id, Told<T>)> {
    let asked = wanted.iter().map(|(id, near)| Asked { key: Key::Object(*id), held: near.held, stale_ms: CELL_STALE_MS }).collect();
    let told = |((id, near), looked): (&(Id, Near), Looked)| {
        let told = match looked {
            // An invalidation of this process may not have arrived there yet: what is older than it is no answer.
            Looked::Found(cell, _) if cell.version < near.version_min => Told::Load(None),
            Looked::Found(_, Some(lease)) | Looked::Current(Some(lease)) | Looked::Lease(lease) | Looked::Busy(lease) => {
                Told::Load(Some(lease))
            }
            Looked::Found(cell, None) => match decode(*id, &cell) {
                Ok(object) => Told::Found(object),
                Err(_) => {
                    metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1);
                    Told::Load(None)
                }
            },
            Looked::Current(None) => Told::Current(near.version_min),
            Looked::Away => Told::Away,
        };
        (*id, told)
    };
    let told: Vec<(Id, Told<T>)> = wanted.iter().zip(look(engine, asked).await).map(told).collect();
    let count = |is: fn(&Told<T>) -> bool| told.iter().filter(|(_, told)| is(told)).count() as u64;
    metrics::counter!(names::ENGINE_HITS_TOTAL).increment(count(|told| matches!(told, Told::Found(_) | Told::Current(_))));
    metrics::counter!(names::ENGINE_MISSES_TOTAL).increment(count(|told| matches!(told, Told::Load(_))));
    metrics::counter!(names::ENGINE_AWAY_TOTAL).increment(count(|told| matches!(told, Told::Away)));
    metrics::counter!(names::NEAR_RENEWED_TOTAL).increment(count(|told| matches!(told, Told::Current(_))));
    told
}

/// Looks keys up; same order and length. While others refill some and the caller has nothing to load itself, waits for them a little.
pub(crate) async fn look(engine: &dyn Engine, asked: Vec<Asked>) -> Vec<Looked> {
    let mut looked = vec![Looked::Away; asked.len()];
    let mut open: Vec<usize> = (0..asked.len()).collect();
    for poll in 0..=LEASE_POLLS_MAX {
        let question = open.iter().map(|index| asked[*index].clone()).collect();
        let Some(answers) = within_deadline(engine.get_many(question)).await else { break };
        for (index, answer) in open.iter().zip(answers) {
            looked[*index] = answer;
        }
        // Where nothing will do, nobody can fill, and there is nothing to wait for.
        let is_filling = |looked: &Looked| matches!(looked, Looked::Busy(lease) if lease.version_min < u64::MAX);
        let is_loading =
            looked.iter().any(|looked| matches!(looked, Looked::Lease(_) | Looked::Found(_, Some(_)) | Looked::Current(Some(_))));
        open.retain(|index| is_filling(&looked[*index]));
        // Whoever holds a lease loads at once: others wait for it.
        if open.is_empty() || is_loading || poll == LEASE_POLLS_MAX {
            break;
        }
        if poll == 0 {
            metrics::counter!(names::STAMPEDES_AVOIDED_TOTAL).increment(open.len() as u64);
        }
        tokio::time::sleep(Duration::from_millis(LEASE_POLL_MS)).await;
    }
    looked
}

/// Hands loaded objects to the second level.
pub(crate) async fn share<T: Object>(engine: &dyn Engine, leases: &[(Id, Lease)], objects: &[(Id, Option<Arc<Stored<T>>>)]) {
    let refill_of = |(id, lease): &(Id, Lease)| {
        let (_, object) = objects.iter().find(|(other, _)| other == id)?;
        let cell = encode(object.as_deref())?;
        // What is refused anyway is not sent.
        let is_fit = cell.version >= lease.version_min;
        let life_ms = if cell.row.is_some() { CELL_MS } else { NEGATIVE_MS as u64 };
        is_fit.then_some(Refill { key: Key::Object(*id), lease: *lease, cell, life_ms })
    };
    fill(engine, leases.iter().filter_map(refill_of).collect()).await;
}

/// Hands a loaded value to the second level.
pub(crate) async fn share_value(engine: &dyn Engine, name: Arc<str>, lease: Lease, row: Vec<u8>, life_ms: u64) {
    let cell = Cell { version: 0, row: Some(row) };
    fill(engine, vec![Refill { key: Key::Value(name), lease, cell, life_ms }]).await;
}

/// Hands refills to the second level.
pub(crate) async fn fill(engine: &dyn Engine, refills: Vec<Refill>) {
    if refills.is_empty() {
        return;
    }
    if let Some(kept) = within_deadline(engine.fill(refills)).await {
        metrics::counter!(names::ENGINE_REFUSED_TOTAL).increment(kept.iter().filter(|kept| !**kept).count() as u64);
    }
}

/// Calls the second level; an error or a late answer is counted and is no answer.
pub(crate) async fn within_deadline<T>(call: impl Future<Output = Result<T>>) -> Option<T> {
    match tokio::time::timeout(Duration::from_millis(ENGINE_MS_MAX), call).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(_)) | Err(_) => {
            metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1);
            None
        }
    }
}
