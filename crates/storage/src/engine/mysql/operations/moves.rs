//! `move`: shards to another server, while people write to them.
//!
//! ```text
//! source                            target
//! owned                             –
//! copying   commits are recorded    arriving     rows are copied, then what was recorded is applied again and again
//! frozen    writers wait, < 1 s     arriving     the last of it is applied, sums are compared
//! moved ──▶ epoch + 1               arriving     one transaction on the source decides
//! moved                             owned        anybody who sees both may finish it: keeper.rs does
//! moved     rows are deleted        owned        the map is told
//! ```
//!
//! Killed anywhere, it is run again: before the decision it begins anew with what it finds, after it it goes on. A freeze that nobody ends
//! runs out by itself, and then the decision can't be made any more without another one.

mod steps;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mysql::Server;

use self::steps::{FREEZE_MS, apply, catch_up, decide, decided_epoch, differences, freeze, page, unfreeze};
pub(super) use self::steps::{delete_rows, forget_changes};
use super::super::keeper::arrive;
use super::super::shape::{Cell, Change, shapes};
use super::{Operator, entry};
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;

/// Shards that are moved at once: they are frozen together, so that few of them are frozen for long.
const SHARDS_AT_ONCE: u16 = 64;
/// Rows per page of the copy.
const PAGE_ROWS: usize = 1_000;
/// The freeze begins when a round of catching up found no more than this.
const CAUGHT_UP_CHANGES: usize = 20;
/// Rounds of catching up before it is said that writers are faster than the copy.
const CATCH_UP_ROUNDS: usize = 1_000;
/// Freezes that are tried before the move is given up.
const FREEZES: usize = 20;
/// Time within a freeze to compare sums; larger shards are compared by `verify` afterwards.
const COMPARE_TIME: Duration = Duration::from_millis(300);

/// What a move did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MoveReport {
    pub shards: usize,
    pub rows: u64,
    /// The longest time that any shard took no writes.
    pub frozen_ms_max: u64,
    /// Shards whose sums were too large to be compared while they were frozen.
    pub not_compared: usize,
    /// What would be done, or was.
    pub steps: Vec<String>,
}

/// Where a test ends a move, as a kill would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStop {
    Prepared,
    Copied,
    Frozen,
    Decided,
    Arrived,
    Published,
}

/// One stretch of shards on its way.
struct Stretch<'a> {
    first: u16,
    last: u16,
    source_name: &'a str,
    target_name: &'a str,
    source: Server,
    target: Server,
    epoch: u64,
}

impl Operator {
    /// Moves shards `first` to `last`, whichever servers have them, to server `to`.
    pub async fn move_shards(&self, first: u16, last: u16, to: &str, dry_run: bool, stop: Option<MoveStop>) -> Result<MoveReport> {
        if first > last || last >= model::id::SHARD_COUNT {
            return Err(Error::Invalid(format!("{first}–{last} is no range of shards; they go from 0 to {}.", model::id::SHARD_COUNT - 1)));
        }
        let map = self.map().await?;
        entry(&map, to)?;
        let _lock = self.lock(&map).await?;
        let mut map = self.settle(map, dry_run).await?;
        let mut report = MoveReport::default();
        // What an interrupted move left on its old server goes now.
        if !dry_run {
            self.clean_up(&map, first, last, to).await?;
        }
        for (from, first, last) in stretches(&map, first, last, to) {
            report.steps.push(format!("shards {first}–{last}: {from} → {to}"));
            self.check_move(&map, &from, to).await?;
            if dry_run {
                continue;
            }
            map = self.move_stretch(&map, &from, to, (first, last), stop, &mut report).await?;
        }
        if report.steps.is_empty() {
            report.steps.push(format!("shards {first}–{last} are on {to} already"));
        }
        Ok(report)
    }

    /// Moves the upper half of a server's shards, or those from `at` on, to another one.
    pub async fn split(&self, server: &str, to: &str, at: Option<u16>, dry_run: bool) -> Result<MoveReport> {
        let map = self.map().await?;
        entry(&map, server)?;
        let shards: Vec<u16> = map.ranges_of(server).flat_map(|range| range.first..=range.last).collect();
        let from = at.unwrap_or_else(|| shards.get(shards.len() / 2).copied().unwrap_or(0));
        let moving: Vec<u16> = shards.iter().copied().filter(|shard| *shard >= from).collect();
        let (Some(first), true) = (moving.first(), moving.len() < shards.len()) else {
            return Err(Error::Invalid(format!(
                "Server {server} has {} shards; a split leaves at least one on either side.",
                shards.len()
            )));
        };
        let mut report = MoveReport::default();
        // The stretch may have gaps that belong to others: each run is moved by itself.
        let mut runs: Vec<(u16, u16)> = vec![(*first, *first)];
        for shard in &moving[1..] {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == *shard => run.1 = *shard,
                _ => runs.push((*shard, *shard)),
            }
        }
        for (first, last) in runs {
            report.add(self.move_shards(first, last, to, dry_run, None).await?);
        }
        Ok(report)
    }

    /// Takes back a move that was not decided: its shards are their old server's alone again.
    pub async fn abort_move(&self, first: u16, last: u16) -> Result<MoveReport> {
        let map = self.map().await?;
        let _lock = self.lock(&map).await?;
        let map = self.settle(map, false).await?;
        let mut report = MoveReport::default();
        for target in &map.servers {
            let server = self.server(&target.primary)?;
            let sql = format!("SELECT shard FROM owned_shards WHERE state = 'arriving' AND shard BETWEEN {first} AND {last}");
            for row in server.query(&sql).await?.iter().flatten() {
                let shard = row.u64(0)? as u16;
                let source = map.range_of(model::Shard(shard)).map(|range| range.server.clone()).unwrap_or_default();
                let source = self.server(&entry(&map, &source)?.primary)?;
                let sql = format!(
                    "UPDATE owned_shards SET state = 'owned', other = '', frozen_until = 0 WHERE shard = {shard} AND state IN ('copying','frozen'); \
                     SELECT COUNT(*) FROM owned_shards WHERE shard = {shard} AND state = 'owned'"
                );
                let sets = source.query(&sql).await?;
                if mysql::first(&sets).map(|row| row.i64(0)).transpose()? != Some(1) {
                    report.steps.push(format!("shard {shard}: its move was decided; run the move again to finish it"));
                    continue;
                }
                delete_rows(&server, shard, shard, self).await?;
                server.query(&format!("DELETE FROM owned_shards WHERE shard = {shard} AND state = 'arriving'")).await?;
                report.shards += 1;
                report.steps.push(format!("shard {shard}: back on its server alone, its copy on {} removed", target.name));
            }
        }
        Ok(report)
    }

    /// Looks whether both servers can take part.
    async fn check_move(&self, map: &ShardMap, from: &str, to: &str) -> Result<()> {
        for name in [from, to] {
            let server = self.server(&entry(map, name)?.primary)?;
            let sets = server
                .query("SELECT @@read_only; SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()")
                .await
                .map_err(|error| Error::Unavailable(format!("Server {name} does not answer: {error} Nothing was moved.")))?;
            let number = |index: usize| sets.get(index).and_then(|rows| rows.first()).map(|row| row.u64(0)).transpose();
            if number(0)? == Some(1) {
                return Err(Error::Unavailable(format!("Server {name} takes no writes (read_only is on). Nothing was moved.")));
            }
            let (wanted, found) = (super::super::schema::names().len() as u64, number(1)?.unwrap_or(0));
            if found < wanted {
                return Err(Error::Invalid(format!(
                    "Server {name} has {found} of {wanted} tables. Run `corkboard storage init` first; nothing was moved."
                )));
            }
        }
        Ok(())
    }

    async fn move_stretch(
        &self,
        map: &ShardMap,
        from: &str,
        to: &str,
        (first, last): (u16, u16),
        stop: Option<MoveStop>,
        report: &mut MoveReport,
    ) -> Result<ShardMap> {
        let (source, target) = (self.server(&entry(map, from)?.primary)?, self.server(&entry(map, to)?.primary)?);
        let decided = decided_epoch(&source, first, last, to).await?;
        let stretch = Stretch { first, last, source_name: from, target_name: to, source, target, epoch: decided.unwrap_or(map.epoch + 1) };
        if decided.is_none() {
            self.carry_over(&stretch, stop, report).await?;
            stop_at(stop, MoveStop::Decided)?;
        }
        for shard in first..=last {
            arrive(&stretch.target, shard, stretch.epoch).await?;
        }
        stop_at(stop, MoveStop::Arrived)?;
        let map = map.with_moved_at(first, last, to, stretch.epoch);
        self.publish(&map).await?;
        stop_at(stop, MoveStop::Published)?;
        delete_rows(&stretch.source, first, last, self).await?;
        forget_changes(&stretch.source, first, last).await?;
        report.shards += usize::from(last - first) + 1;
        Ok(map)
    }

    /// Copies, catches up, freezes and decides.
    async fn carry_over(&self, stretch: &Stretch<'_>, stop: Option<MoveStop>, report: &mut MoveReport) -> Result<()> {
        let mut seen = self.prepare(stretch).await?;
        stop_at(stop, MoveStop::Prepared)?;
        report.rows += self.copy(stretch).await?;
        stop_at(stop, MoveStop::Copied)?;
        for _ in 0..FREEZES {
            for _ in 0..CATCH_UP_ROUNDS {
                if catch_up(stretch, &mut seen).await? <= CAUGHT_UP_CHANGES {
                    break;
                }
            }
            let frozen = Instant::now();
            freeze(stretch).await?;
            stop_at(stop, MoveStop::Frozen)?;
            while catch_up(stretch, &mut seen).await? > 0 {}
            let compared = match tokio::time::timeout(COMPARE_TIME, differences(stretch)).await {
                Ok(differences) => {
                    let differences = differences?;
                    if let Some(difference) = differences.first() {
                        unfreeze(stretch).await?;
                        return Err(Error::Corrupt(format!(
                            "The copy differs: {difference} Nothing was moved; `corkboard storage move --abort` takes the copy away."
                        )));
                    }
                    true
                }
                Err(_) => false,
            };
            if decide(stretch).await? {
                report.frozen_ms_max = report.frozen_ms_max.max(frozen.elapsed().as_millis() as u64);
                report.not_compared += if compared { 0 } else { usize::from(stretch.last - stretch.first) + 1 };
                return Ok(());
            }
            self.progress.say("the freeze ran out before everything was over; trying again");
        }
        unfreeze(stretch).await?;
        Err(Error::Unavailable(format!(
            "Shards {}–{} could not be brought over within {FREEZE_MS} ms in {FREEZES} attempts. They stay on {}; try again when less is written.",
            stretch.first, stretch.last, stretch.source_name
        )))
    }

    /// Removes what an earlier attempt left on the target, and begins to record commits on the source. Returns what was recorded before.
    async fn prepare(&self, stretch: &Stretch<'_>) -> Result<BTreeMap<u16, i64>> {
        let Stretch { first, last, epoch, .. } = stretch;
        let held = stretch
            .target
            .query(&format!(
                "SELECT COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state IN ('owned','copying','frozen')"
            ))
            .await?;
        if mysql::first(&held).map(|row| row.i64(0)).transpose()? != Some(0) {
            return Err(Error::Corrupt(format!(
                "Server {} says that it has some of the shards {first}–{last} already, and the map says otherwise. Nothing was moved; `corkboard storage verify` looks closer.",
                stretch.target_name
            )));
        }
        delete_rows(&stretch.target, *first, *last, self).await?;
        // Whether changes are kept for recovery goes along with the shard.
        let kept = stretch.source.query(&format!("SELECT shard, records FROM owned_shards WHERE shard BETWEEN {first} AND {last}")).await?;
        let row = |row: &mysql::Row| Ok(format!("({},{epoch},'arriving','{}',{})", row.u64(0)?, stretch.source_name, row.i64(1)?));
        let rows: Vec<String> = kept.iter().flatten().map(row).collect::<Result<_>>()?;
        if rows.len() != usize::from(last - first) + 1 {
            return Err(Error::Corrupt(format!(
                "Server {} does not list all of the shards {first}–{last}, though the map says so. `corkboard storage verify` looks closer.",
                stretch.source_name
            )));
        }
        stretch
            .target
            .query(&format!(
                "INSERT INTO owned_shards (shard, epoch, state, other, records) VALUES {} ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), \
                 state = VALUES(state), other = VALUES(other), records = VALUES(records), frozen_until = 0",
                rows.join(",")
            ))
            .await?;
        let mut connection = stretch.source.take().await?;
        // Under the locks of the shards' rows: what was recorded before is in the rows already, what comes after is not missed.
        let sql = format!(
            "BEGIN; UPDATE owned_shards SET state = 'copying', other = '{}', frozen_until = 0 \
             WHERE shard BETWEEN {first} AND {last} AND state IN ('owned','copying','frozen'); SELECT ROW_COUNT(); \
             SELECT shard, MAX(position) FROM changes WHERE shard BETWEEN {first} AND {last} GROUP BY shard; \
             SELECT COUNT(*) FROM owned_shards WHERE shard BETWEEN {first} AND {last} AND state = 'copying'; COMMIT",
            stretch.target_name
        );
        let sets = connection.query(&sql).await?;
        connection.put_back();
        let wanted = i64::from(last - first) + 1;
        if sets.get(2).and_then(|rows| rows.first()).map(|row| row.i64(0)).transpose()? != Some(wanted) {
            return Err(Error::Corrupt(format!(
                "Server {} does not have all of the shards {first}–{last}, though the map says so. `corkboard storage verify` looks closer.",
                stretch.source_name
            )));
        }
        let mut seen: BTreeMap<u16, i64> = (*first..=*last).map(|shard| (shard, 0)).collect();
        for row in sets.get(1).into_iter().flatten() {
            seen.insert(row.u64(0)? as u16, row.i64(1)?);
        }
        Ok(seen)
    }

    async fn copy(&self, stretch: &Stretch<'_>) -> Result<u64> {
        let mut copied = 0;
        self.progress.begin(&format!("copying shards {}–{}", stretch.first, stretch.last), None);
        for shape in shapes() {
            let mut after: Option<Vec<Cell>> = None;
            loop {
                let rows = page(&stretch.source, shape, (stretch.first, stretch.last), after.as_deref(), PAGE_ROWS).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last[..shape.key].to_vec());
                let count = rows.len();
                let changes: Vec<Change> = rows.into_iter().map(|row| Change::put(shape, row)).collect();
                apply(&stretch.target, &changes).await?;
                copied += count as u64;
                self.progress.advance(count as u64);
                if count < PAGE_ROWS {
                    break;
                }
            }
        }
        Ok(copied)
    }

    /// Removes rows that moves left behind after their end.
    async fn clean_up(&self, map: &ShardMap, first: u16, last: u16, to: &str) -> Result<()> {
        for other in map.servers.iter().filter(|other| other.name != to) {
            let server = self.server(&other.primary)?;
            let sql = format!(
                "SELECT shard FROM owned_shards WHERE state = 'moved' AND other = '{to}' AND shard BETWEEN {first} AND {last} ORDER BY shard"
            );
            let mut shards = Vec::new();
            for row in server.query(&sql).await?.iter().flatten() {
                shards.push(row.u64(0)? as u16);
            }
            for run in shards.chunk_by(|shard, next| shard + 1 == *next) {
                let (first, last) = (run[0], run[run.len() - 1]);
                delete_rows(&server, first, last, self).await?;
                forget_changes(&server, first, last).await?;
            }
        }
        Ok(())
    }
}

impl MoveReport {
    fn add(&mut self, other: MoveReport) {
        self.shards += other.shards;
        self.rows += other.rows;
        self.frozen_ms_max = self.frozen_ms_max.max(other.frozen_ms_max);
        self.not_compared += other.not_compared;
        self.steps.extend(other.steps);
    }
}

/// Cuts a range of shards by the servers that have them, and into stretches that are moved at once. What is on the target is left out.
fn stretches(map: &ShardMap, first: u16, last: u16, to: &str) -> Vec<(String, u16, u16)> {
    let mut stretches = Vec::new();
    for range in map.ranges.iter().filter(|range| range.server != to && range.last >= first && range.first <= last) {
        let (mut begin, end) = (range.first.max(first), range.last.min(last));
        loop {
            let stop = end.min(begin.saturating_add(SHARDS_AT_ONCE - 1));
            stretches.push((range.server.clone(), begin, stop));
            if stop == end {
                break;
            }
            begin = stop + 1;
        }
    }
    stretches
}

fn stop_at(stop: Option<MoveStop>, here: MoveStop) -> Result<()> {
    if stop == Some(here) { Err(Error::Unavailable(format!("Stopped at {here:?}, as asked."))) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
