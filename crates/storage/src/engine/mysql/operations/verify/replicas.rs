//! Replicas: the sums of every table on them and on their primary.
//!
//! ```text
//! primary  ── sum ── position ───────────────────── sum ──▶    the same before and after: nothing was written,
//! replica                 └─ wait for it ── sum ─┘             so the replica's must be that one too
//! ```
//!
//! Where something was written in between, the tables in question are compared again.

use std::time::Duration;

use mysql::{Replication, Server};

use crate::engine::mysql::Operator;
use crate::engine::mysql::shape::{Shape, shapes};
use crate::error::{Error, Result};
use crate::shard_map::{ServerEntry, ShardMap};
use crate::verify::{Finding, ShardRange, VerifyReport, advice};

/// Shards that are summed in one statement.
const SUMMED_SHARDS: u16 = 256;
/// How long a replica may take to get where its primary is.
const CATCH_UP_TIME: Duration = Duration::from_secs(30);
/// Attempts at tables that are written to all the time.
const ATTEMPTS: usize = 8;
/// Findings per replica; one that differs in more has to be built anew anyway.
const FINDINGS_MAX: usize = 20;

/// How many rows a table has on some shards, and the sum over all that is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sum {
    rows: i64,
    sum: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Different,
    /// It was written to meanwhile.
    Changed,
}

/// Tables that differ, each with both numbers of rows, and tables that were written to at every attempt.
#[derive(Debug, Default)]
struct Compared {
    different: Vec<(&'static str, i64, i64)>,
    busy: Vec<&'static str>,
    rows: u64,
}

impl Operator {
    /// Compares every replica with its primary.
    pub(super) async fn compare_replicas(&self, map: &ShardMap, shards: ShardRange) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        for entry in &map.servers {
            for address in &entry.replicas {
                let compared = self.compare_replica(map, entry, address, shards, &mut report).await;
                if let Err(error) = compared {
                    let what = format!("The replica {address} can't be compared: {error}");
                    report.findings.push(Finding::warning("replica", what, advice::REPLICA_AWAY).on(Some(entry.name.clone())));
                }
            }
        }
        Ok(report)
    }

    async fn compare_replica(
        &self,
        map: &ShardMap,
        entry: &ServerEntry,
        address: &str,
        shards: ShardRange,
        report: &mut VerifyReport,
    ) -> Result<()> {
        let (primary, replica) = (self.server(&entry.primary)?, self.server(address)?);
        match Replication(&replica).state().await? {
            Some(state) if state.applies && state.sees_primary => {}
            Some(state) => return Err(Error::Unavailable(format!("it does not replicate. {}", state.error))),
            None => return Err(Error::Unavailable("it follows no primary.".to_owned())),
        }
        let ranges: Vec<ShardRange> = map.ranges_of(&entry.name).filter_map(|range| shards.common(range.first, range.last)).collect();
        let total = ranges.iter().map(|range| u64::from(range.last - range.first) + 1).sum();
        self.progress.begin(&format!("comparing {address} with {}", entry.name), Some(total));
        let mut left = FINDINGS_MAX;
        for piece in ranges.into_iter().flat_map(|range| range.pieces(SUMMED_SHARDS)) {
            let compared = compare(&primary, &replica, piece).await?;
            report.rows += compared.rows;
            // Which shards they are is asked only where something differs.
            let narrowed = if compared.different.is_empty() { Vec::new() } else { piece.pieces(1) };
            for shard in narrowed {
                for (table, ours, theirs) in compare(&primary, &replica, shard).await?.different {
                    let rows = if ours == theirs {
                        format!("other contents in its {ours} rows")
                    } else {
                        format!("{theirs} rows where its primary has {ours}")
                    };
                    let what = format!("The replica {address} has {rows} of {table} on shard {}.", shard.first);
                    report.findings.push(Finding::error(table, what, advice::REPLICA).on(Some(entry.name.clone())));
                    left = left.saturating_sub(1);
                }
            }
            for table in compared.busy {
                let what = format!(
                    "{table} on shards {}–{} changed each time it was compared with the replica {address}.",
                    piece.first, piece.last
                );
                report.findings.push(Finding::warning(table, what, advice::REPLICA_BUSY).on(Some(entry.name.clone())));
            }
            if left == 0 {
                report.is_cut = true;
                return Ok(());
            }
            self.progress.advance(u64::from(piece.last - piece.first) + 1);
        }
        Ok(())
    }
}

/// Compares all tables on a range of shards, until each is known to be the same or not.
async fn compare(primary: &Server, replica: &Server, range: ShardRange) -> Result<Compared> {
    let (mut compared, mut open): (Compared, Vec<&'static Shape>) = (Compared::default(), shapes().iter().collect());
    for _ in 0..ATTEMPTS {
        let before = sums(primary, &open, range).await?;
        let position = Replication(primary).applied().await?;
        if !Replication(replica).wait_for(&position, CATCH_UP_TIME).await? {
            return Err(Error::Unavailable(format!("it did not get where its primary is within {} s.", CATCH_UP_TIME.as_secs())));
        }
        let theirs = sums(replica, &open, range).await?;
        let after = sums(primary, &open, range).await?;
        let mut changed = Vec::new();
        for (index, shape) in open.iter().enumerate() {
            match judge(&before[index], &theirs[index], &after[index]) {
                Verdict::Same => compared.rows += theirs[index].rows as u64,
                Verdict::Different => compared.different.push((shape.name, before[index].rows, theirs[index].rows)),
                Verdict::Changed => changed.push(*shape),
            }
        }
        open = changed;
        if open.is_empty() {
            break;
        }
    }
    compared.busy = open.iter().map(|shape| shape.name).collect();
    Ok(compared)
}

/// Decides on one table. The replica was summed between the two sums of the primary, and had everything that the first one saw.
fn judge(before: &Sum, theirs: &Sum, after: &Sum) -> Verdict {
    if theirs == before || theirs == after {
        Verdict::Same
    } else if before == after {
        Verdict::Different
    } else {
        Verdict::Changed
    }
}

/// Sums tables, in their order.
async fn sums(server: &Server, shapes: &[&'static Shape], range: ShardRange) -> Result<Vec<Sum>> {
    let sql: Vec<String> = shapes.iter().map(|shape| shape.sum(range.first, range.last)).collect();
    let sets = server.query(&sql.join(";")).await?;
    let sum = |rows: &Vec<mysql::Row>| match rows.first() {
        Some(row) => Ok(Sum { rows: row.i64(1)?, sum: row.string(2)? }),
        None => Err(Error::Corrupt(format!("{} did not sum what it was asked for.", server.address()))),
    };
    let sums = sets.iter().map(sum).collect::<Result<Vec<_>>>()?;
    if sums.len() != shapes.len() {
        return Err(Error::Corrupt(format!("{} summed {} of {} tables.", server.address(), sums.len(), shapes.len())));
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_meanwhile_is_not_called_different() {
        let sum = |rows| Sum { rows, sum: rows.to_string() };
        for (before, theirs, after, wanted) in [
            (1, 1, 1, Verdict::Same),
            (1, 2, 2, Verdict::Same),
            (1, 1, 2, Verdict::Same),
            (1, 2, 3, Verdict::Changed),
            (1, 2, 1, Verdict::Different),
        ] {
            assert_eq!(judge(&sum(before), &sum(theirs), &sum(after)), wanted);
        }
    }
}
