//! The steps of a move on the two servers.

use std::collections::BTreeMap;

use mysql::Server;

use super::super::super::lane::SERVER_CLOCK;
use super::super::super::shape::{Cell, Change, Shape, changes_from_json, shapes, statements};
use super::super::Operator;
use super::Stretch;
use crate::error::{Error, Result};

/// Rows that one statement deletes, so that nobody waits long for its locks.
const DELETE_ROWS: u64 = 2_000;
/// Recorded commits that are applied per round trip.
const CHANGES_AT_ONCE: usize = 500;
/// How long a freeze lasts at most.
pub(super) const FREEZE_MS: u64 = 900;

/// Returns the epoch at which an earlier attempt decided the move of the whole stretch.
pub(in super::super) async fn decided_epoch(source: &Server, first: u16, last: u16, to: &str) -> Result<Option<u64>> {
    let sql = format!(
        "SELECT MIN(epoch), COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state = 'moved' AND other = '{to}'"
    );
    let sets = source.query(&sql).await?;
    let Some(row) = mysql::first(&sets) else { return Ok(None) };
    match (row.u64(1)?, u64::from(last - first) + 1) {
        (0, _) => Ok(None),
        (moved, wanted) if moved == wanted => Ok(Some(row.u64(0)?)),
        (moved, wanted) => Err(Error::Conflict(format!(
            "{moved} of the {wanted} shards {first}–{last} have moved already. Run the move that was interrupted again, with its own range."
        ))),
    }
}

/// Reads the next rows of a table on a range of shards.
pub(in super::super) async fn page(
    server: &Server,
    shape: &'static Shape,
    (first, last): (u16, u16),
    after: Option<&[Cell]>,
    limit: usize,
) -> Result<Vec<Vec<Cell>>> {
    let sets = server.query(&shape.page(first, last, after, limit)).await?;
    sets.first().into_iter().flatten().map(|row| shape.decode(row)).collect()
}

/// Makes changes on a server, each statement by itself: they say what rows are afterwards, so that repeating them does no harm. An audit
/// entry may come twice as well, with its row and as a change; the log lets it be put again when it hears that shards are moved.
pub(in super::super) async fn apply(server: &Server, changes: &[Change]) -> Result<()> {
    let mut connection = server.take().await?;
    for statement in statements(changes) {
        connection.query(&format!("SET @corkboard_moves_shards = 1; {statement}; SET @corkboard_moves_shards = NULL")).await?;
    }
    connection.put_back();
    Ok(())
}

/// Applies what was recorded since the last time. Returns how many commits that were.
pub(in super::super) async fn catch_up(stretch: &Stretch<'_>, seen: &mut BTreeMap<u16, i64>) -> Result<usize> {
    let wanted: Vec<String> = seen.iter().map(|(shard, position)| format!("(shard = {shard} AND position > {position})")).collect();
    let sql =
        format!("SELECT shard, position, changes FROM changes WHERE {} ORDER BY position LIMIT {CHANGES_AT_ONCE}", wanted.join(" OR "));
    let sets = stretch.source.query(&sql).await?;
    let rows = sets.first().map_or(&[][..], Vec::as_slice);
    // Of each row only its last state counts.
    let mut last: BTreeMap<(usize, String), Change> = BTreeMap::new();
    for row in rows {
        for change in changes_from_json(row.text(2)?)? {
            let key = serde_json::to_string(&change.key).map_err(|error| Error::Corrupt(error.to_string()))?;
            last.insert((std::ptr::from_ref(change.shape) as usize, key), change);
        }
    }
    let changes: Vec<Change> = last.into_values().collect();
    apply(&stretch.target, &changes).await?;
    for row in rows {
        seen.insert(row.u64(0)? as u16, row.i64(1)?);
    }
    Ok(rows.len())
}

/// Lets writers wait. Returns when nobody writes any more.
pub(in super::super) async fn freeze(stretch: &Stretch<'_>) -> Result<()> {
    let Stretch { first, last, .. } = stretch;
    stretch
        .source
        .query(&format!(
            "UPDATE owned_shards SET state = 'frozen', frozen_until = {SERVER_CLOCK} + {FREEZE_MS} \
             WHERE shard BETWEEN {first} AND {last} AND state IN ('copying','frozen')"
        ))
        .await?;
    Ok(())
}

pub(in super::super) async fn unfreeze(stretch: &Stretch<'_>) -> Result<()> {
    let Stretch { first, last, .. } = stretch;
    let sql =
        format!("UPDATE owned_shards SET state = 'copying', frozen_until = 0 WHERE shard BETWEEN {first} AND {last} AND state = 'frozen'");
    stretch.source.query(&sql).await?;
    Ok(())
}

/// Gives the shards up on the source, all or none, if the freeze still holds. From here on they are the target's.
pub(in super::super) async fn decide(stretch: &Stretch<'_>) -> Result<bool> {
    let Stretch { first, last, epoch, .. } = stretch;
    let mut connection = stretch.source.take().await?;
    let sql = format!(
        "BEGIN; UPDATE owned_shards SET state = 'moved', epoch = {epoch}, other = '{}' \
         WHERE shard BETWEEN {first} AND {last} AND state = 'frozen' AND frozen_until > {SERVER_CLOCK}; SELECT ROW_COUNT()",
        stretch.target_name
    );
    let sets = connection.query(&sql).await?;
    let changed = mysql::first(&sets).map(|row| row.u64(0)).transpose()?;
    let is_whole = changed == Some(u64::from(last - first) + 1);
    connection.query(if is_whole { "COMMIT" } else { "ROLLBACK" }).await?;
    connection.put_back();
    if !is_whole {
        unfreeze(stretch).await?;
    }
    Ok(is_whole)
}

/// Compares the sums of every table on both sides. Both stand still.
pub(in super::super) async fn differences(stretch: &Stretch<'_>) -> Result<Vec<String>> {
    let sums: Vec<String> = shapes().iter().map(|shape| shape.sum(stretch.first, stretch.last)).collect();
    let sql = sums.join(" UNION ALL ");
    let (source, target) = tokio::join!(stretch.source.query(&sql), stretch.target.query(&sql));
    let (source, target) = (source?, target?);
    let mut differences = Vec::new();
    for (ours, theirs) in source.iter().flatten().zip(target.iter().flatten()) {
        if ours != theirs {
            differences.push(format!(
                "{} has {} rows on {} and {} on {}, or other contents.",
                ours.text(0)?,
                ours.i64(1)?,
                stretch.source_name,
                theirs.i64(1)?,
                stretch.target_name
            ));
        }
    }
    Ok(differences)
}

/// Deletes the rows of shards that the server does not have, a few at a time.
pub(in super::super) async fn delete_rows(server: &Server, first: u16, last: u16, operator: &Operator) -> Result<()> {
    operator.progress.begin(&format!("removing shards {first}–{last} from {}", server.address()), None);
    let mut connection = server.take().await?;
    for shape in shapes() {
        let (low, high) = shape.bounds(first, last);
        loop {
            // Looked at in the same statement: a shard that has come back meanwhile is left alone.
            let sql = format!(
                "SET @corkboard_moves_shards = 1; DELETE FROM {} WHERE {} BETWEEN {low} AND {high} AND NOT EXISTS \
                 (SELECT 1 FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state IN ('owned','copying','frozen')) LIMIT {DELETE_ROWS}; \
                 SELECT ROW_COUNT(); SET @corkboard_moves_shards = NULL",
                shape.name, shape.columns[0]
            );
            let sets = connection.query(&sql).await?;
            let rows = mysql::first(&sets).map(|row| row.u64(0)).transpose()?.unwrap_or(0);
            operator.progress.advance(rows);
            if rows < DELETE_ROWS {
                break;
            }
        }
    }
    connection.put_back();
    Ok(())
}

/// Forgets recorded commits of shards that have gone, unless they are kept for recovery.
pub(in super::super) async fn forget_changes(server: &Server, first: u16, last: u16) -> Result<()> {
    let sql = format!(
        "DELETE FROM changes WHERE shard BETWEEN {first} AND {last} AND NOT EXISTS \
         (SELECT 1 FROM owned_shards o WHERE o.shard BETWEEN {first} AND {last} AND o.records <> 0)"
    );
    server.query(&sql).await?;
    Ok(())
}
