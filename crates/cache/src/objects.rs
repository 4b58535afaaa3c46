//! Decoded objects by id: what is kept, what is believed, and what the second level adds.

use std::any::Any;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use model::{Id, Object, Stored, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::{Cell, Engine, Looked};
use crate::error::{Error, Result};
use crate::limits::{ENGINE_MS_MAX, ENTRY_BYTES, FLOOR_MS, LEASE_POLL_MS, LEASE_POLLS_MAX, NEGATIVE_MS};
use crate::metrics as names;
use crate::shelf::Shelf;

type Erased = Arc<dyn Any + Send + Sync>;

/// What is known about one id.
enum Known {
    Object {
        object: Erased,
        version: u64,
    },
    /// There was none when it was last looked for.
    Absent {
        until: Timestamp,
    },
    /// It was written: what a load brings must be of this version at least.
    Floor {
        version: u64,
        until: Timestamp,
    },
}

/// Objects in memory.
pub(crate) struct Objects {
    shelf: Shelf<Id, Known>,
}

impl Objects {
    pub(crate) fn new(bytes_max: usize) -> Objects {
        Objects { shelf: Shelf::new(bytes_max) }
    }

    /// Looks an id up: `Some(None)` is "there is no such object", `None` a miss. An object of another type is a miss.
    pub(crate) fn get<T: Object>(&self, id: Id, now: impl FnOnce() -> Timestamp) -> Option<Option<Arc<Stored<T>>>> {
        let found = self.shelf.get(&id, |known| match known {
            Known::Object { object, .. } => Some(Some(object.clone())),
            Known::Absent { until } => (now() < *until).then_some(None),
            Known::Floor { .. } => None,
        })??;
        match found {
            None => Some(None),
            Some(object) => object.downcast::<Stored<T>>().ok().map(Some),
        }
    }

    /// Keeps what a load brought, unless something newer is known.
    pub(crate) fn keep<T: Object>(&self, id: Id, object: Option<Arc<Stored<T>>>, now: Timestamp) {
        let version = object.as_ref().map_or(0, |object| object.version);
        let weight = object.as_ref().map_or(ENTRY_BYTES, |object| ENTRY_BYTES + estimate(object));
        let is_kept = self.shelf.update(&id, |old| {
            let version_min = match old {
                Some(Known::Object { version, .. }) => *version,
                Some(Known::Floor { version, until }) if now < *until => *version,
                _ => 0,
            };
            let known = match object {
                _ if version < version_min => return None,
                Some(object) => Known::Object { object, version },
                None => Known::Absent { until: now.plus(NEGATIVE_MS) },
            };
            Some((known, weight))
        });
        if !is_kept {
            metrics::counter!(names::STALE_REFILLS_TOTAL).increment(1);
        }
    }

    pub(crate) fn invalidate(&self, id: Id, version: u64, now: Timestamp) {
        self.shelf.update(&id, |old| {
            let version = match old {
                Some(Known::Object { version: held, .. }) if *held >= version => return None,
                Some(Known::Floor { version: floor, until }) if now < *until => version.max(*floor),
                _ => version,
            };
            Some((Known::Floor { version, until: now.plus(FLOOR_MS) }, ENTRY_BYTES))
        });
        // Marked as used, because it must outlive the loads that it stops.
        self.shelf.get(&id, |_| ());
    }

    pub(crate) fn clear(&self) {
        self.shelf.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shelf.weight()
    }
}

/// Counts bytes instead of writing them.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Estimates an object's bytes in memory: its own size, and its texts and lists by the length of its JSON.
fn estimate<T: Object>(object: &Stored<T>) -> usize {
    let mut count = Count(0);
    // What can't be written as JSON could not have been read from it; its own size is then as good a guess.
    let _ = serde_json::to_writer(&mut count, &object.data);
    size_of::<Stored<T>>() + count.0
}

/// An object's row as the second level keeps it.
#[derive(Serialize, Deserialize)]
struct Row<T> {
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    active: bool,
    data: T,
}

fn encode<T: Object>(object: &Stored<T>) -> Option<Cell> {
    let row = Row {
        version: object.version,
        created_at: object.created_at,
        updated_at: object.updated_at,
        active: object.active,
        data: &object.data,
    };
    Some(Cell { version: object.version, bytes: serde_json::to_vec(&row).ok()? })
}

fn decode<T: Object>(id: Id, cell: &Cell) -> Result<Stored<T>> {
    let row: Row<T> =
        serde_json::from_slice(&cell.bytes).map_err(|error| Error::Invalid(format!("the cell of {id} can't be read: {error}")))?;
    let Row { version, created_at, updated_at, active, data } = row;
    Ok(Stored { id, version, created_at, updated_at, active, data })
}

/// What the second level had: objects found, and leases for ids to refill.
pub(crate) struct Shared<T> {
    pub(crate) found: Vec<(Id, Stored<T>)>,
    pub(crate) leases: Vec<(Id, u64)>,
}

/// Asks the second level. Waits briefly for what other processes refill; whatever goes wrong is a counted miss.
pub(crate) async fn ask<T: Object>(engine: &dyn Engine, ids: &[Id]) -> Shared<T> {
    let mut shared = Shared { found: Vec::new(), leases: Vec::new() };
    let mut wanted = ids.to_vec();
    for poll in 0..=LEASE_POLLS_MAX {
        let Some(answers) = within_deadline(engine.get_many(wanted.clone())).await else { return shared };
        let mut busy = Vec::new();
        for (id, looked) in wanted.into_iter().zip(answers) {
            match looked {
                Looked::Found(cell) => match decode(id, &cell) {
                    Ok(object) => shared.found.push((id, object)),
                    Err(_) => metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1),
                },
                Looked::Lease(lease) => shared.leases.push((id, lease)),
                Looked::Busy => busy.push(id),
            }
        }
        // Whoever holds a lease loads at once: others wait for it.
        if busy.is_empty() || !shared.leases.is_empty() || poll == LEASE_POLLS_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(LEASE_POLL_MS)).await;
        wanted = busy;
    }
    metrics::counter!(names::ENGINE_HITS_TOTAL).increment(shared.found.len() as u64);
    shared
}

/// Hands loaded objects to the second level.
pub(crate) async fn share<T: Object>(engine: &dyn Engine, leases: &[(Id, u64)], objects: &[(Id, Option<Arc<Stored<T>>>)]) {
    let cell_of = |id: Id| objects.iter().find(|(other, _)| *other == id).and_then(|(_, object)| encode(object.as_ref()?));
    let cells: Vec<_> = leases.iter().filter_map(|(id, lease)| Some((*id, *lease, cell_of(*id)?))).collect();
    if !cells.is_empty() {
        within_deadline(engine.fill(cells)).await;
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
