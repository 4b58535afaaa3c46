//! Decoded objects by id: what is kept, what is believed, and what the second level adds.

use std::any::Any;
use std::io::Write;
use std::sync::Arc;

use model::{Id, Object, Stored, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::Cell;
use crate::error::{Error, Result};
use crate::limits::{ENTRY_BYTES, FLOOR_MS, NEGATIVE_MS};
use crate::metrics as names;
use crate::others::{Belief, Others};
use crate::shelf::Shelf;

type Erased = Arc<dyn Any + Send + Sync>;

/// What is known about one id.
enum Known {
    /// When it is not believed any more, it may be renewed.
    Object { object: Erased, version: u64, belief: Belief },
    /// There was none when it was last looked for.
    Absent { until: Timestamp },
    /// It was written: what a load brings must be of this version at least.
    Floor { version: u64, until: Timestamp },
}

/// What the first level can say to a look-up in the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Near {
    /// The version in memory, whose time is up.
    pub(crate) held: Option<u64>,
    /// Nothing older will do.
    pub(crate) version_min: u64,
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
    pub(crate) fn get<T: Object>(&self, id: Id, others: &Others, now: impl FnOnce() -> Timestamp) -> Option<Option<Arc<Stored<T>>>> {
        let found = self.shelf.get(&id, |known| match known {
            Known::Object { object, belief, .. } => others.believe(*belief, now).then(|| Some(object.clone())),
            Known::Absent { until } => (now() < *until).then_some(None),
            Known::Floor { .. } => None,
        })??;
        match found {
            None => Some(None),
            Some(object) => object.downcast::<Stored<T>>().ok().map(Some),
        }
    }

    pub(crate) fn near(&self, id: Id, now: Timestamp) -> Near {
        let near = self.shelf.get(&id, |known| match known {
            Known::Object { version, .. } => Near { held: Some(*version), version_min: *version },
            Known::Floor { version, until } if now < *until => Near { held: None, version_min: *version },
            _ => Near::default(),
        });
        near.unwrap_or_default()
    }

    /// Believes an object anew, if it is still of this version (or any, if none is named) and `may` allows it.
    pub(crate) fn renew<T: Object>(
        &self,
        id: Id,
        version: Option<u64>,
        anew: Belief,
        may: impl FnOnce(Belief) -> bool,
    ) -> Option<Arc<Stored<T>>> {
        let renewed = self.shelf.change(&id, |known| match known {
            Known::Object { object, version: held, belief } if version.is_none_or(|version| *held == version) && may(*belief) => {
                *belief = anew;
                Some(object.clone())
            }
            _ => None,
        });
        renewed??.downcast::<Stored<T>>().ok()
    }

    /// Keeps what a load brought, unless something newer is known.
    pub(crate) fn keep<T: Object>(&self, id: Id, object: Option<Arc<Stored<T>>>, belief: Belief, now: Timestamp) {
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
                Some(object) => Known::Object { object, version, belief },
                None => Known::Absent { until: belief.until.min(now.plus(NEGATIVE_MS)) },
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

/// Encodes what a load brought.
pub(crate) fn encode<T: Object>(object: Option<&Stored<T>>) -> Option<Cell> {
    let Some(object) = object else { return Some(Cell { version: 0, row: None }) };
    let row = Row {
        version: object.version,
        created_at: object.created_at,
        updated_at: object.updated_at,
        active: object.active,
        data: &object.data,
    };
    Some(Cell { version: object.version, row: Some(serde_json::to_vec(&row).ok()?) })
}

pub(crate) fn decode<T: Object>(id: Id, cell: &Cell) -> Result<Option<Stored<T>>> {
    let Some(row) = &cell.row else { return Ok(None) };
    let row: Row<T> = serde_json::from_slice(row).map_err(|error| Error::Invalid(format!("the cell of {id} can't be read: {error}")))?;
    let Row { version, created_at, updated_at, active, data } = row;
    Ok(Some(Stored { id, version, created_at, updated_at, active, data }))
}
