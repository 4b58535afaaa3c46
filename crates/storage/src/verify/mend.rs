//! Repairs: what follows from something else is made equal to it, through the front, so that counts, rights and caches hold. Each looks
//! once more at what it follows from when it is done, and takes itself back when that has changed meanwhile.

use model::{Assoc, Id};

use super::finding::Repair;
use super::judge::borne_names;
use crate::batch::Batch;
use crate::engine::inspection::Inspection;
use crate::error::Result;
use crate::storage::{Storage, name_shard};

/// Mends one thing, and says what was done.
pub(super) async fn mend(storage: &Storage, inspection: &dyn Inspection, repair: &Repair) -> Result<String> {
    match repair {
        Repair::Recount { assoc, from } => {
            inspection.recount(*assoc, *from).await?;
            Ok(format!("The count is {} now.", storage.count(*assoc, *from).await?))
        }
        Repair::AddMirror { mirror, from, to } | Repair::DropMirror { mirror, from, to } => {
            // Twice at most: a third change within this moment is a new act, whose own second half is still to come.
            let is_there = follow_first(storage, *mirror, *from, *to).await?;
            if is_there != follow_first(storage, *mirror, *from, *to).await? {
                follow_first(storage, *mirror, *from, *to).await?;
            }
            Ok(format!("The edge in {} was {}.", mirror.table(), if is_there { "added" } else { "removed" }))
        }
        Repair::Claim { kind, key, id } => {
            let on = || Batch::on(name_shard(*kind, key));
            let mut batch = on();
            batch.claim(*kind, key, *id).confirm(*kind, key, *id);
            storage.write(batch).await?;
            let row = storage.engine().get(&[*id]).await?.pop().flatten();
            let is_called_so = row.is_some_and(|row| {
                borne_names(&row).is_ok_and(|names| names.iter().any(|borne| borne.kind == *kind && borne.key == *key && borne.must))
            });
            if !is_called_so {
                let mut batch = on();
                batch.release(*kind, key, *id);
                storage.write(batch).await?;
                return Ok("Nothing is called so any more.".to_owned());
            }
            Ok("It was claimed and confirmed.".to_owned())
        }
        Repair::Confirm { kind, key, id } => {
            let mut batch = Batch::on(name_shard(*kind, key));
            batch.confirm(*kind, key, *id);
            storage.write(batch).await?;
            Ok("It was confirmed.".to_owned())
        }
        Repair::Release { kind, key, id } => {
            let mut batch = Batch::on(name_shard(*kind, key));
            batch.release(*kind, key, *id);
            storage.write(batch).await?;
            Ok("It was released.".to_owned())
        }
        // Not the front's: whoever runs the fleet does it.
        Repair::DeleteStrays { shard } => Ok(format!("Rows of shard {shard} are left to the fleet's own repair.")),
    }
}

/// Makes a mirror equal to its first side. Returns whether that is there.
async fn follow_first(storage: &Storage, mirror: Assoc, from: Id, to: Id) -> Result<bool> {
    let first = mirror.mirror().unwrap_or(mirror);
    let sequence = storage.edges(first, to, &[from]).await?.pop().flatten();
    let mut batch = Batch::on(from.shard());
    match sequence {
        Some(sequence) => batch.map(mirror, from, to, sequence),
        None => batch.unmap(mirror, from, to),
    };
    storage.write(batch).await?;
    Ok(sequence.is_some())
}
