//! `verify`: the whole fleet compared with itself.
//!
//! ```text
//! Storage::verify (crate::verify)   every shard on its primary: rights, counts, mirrors, names, data, audit chains, strays
//! strays          rows that a move left behind: deleted on --repair once the new server is seen to have what only grows
//! on their way    moves that nobody finished
//! replicas.rs     sums of every table, at one position of the primary's history
//! ```

mod replicas;

use std::sync::Arc;

use mysql::Server;
use runtime::SystemClock;

use super::moves::{delete_rows, forget_changes};
use super::{Operator, entry};
use crate::engine::mysql::MysqlEngine;
use crate::engine::mysql::read::HELD;
use crate::engine::mysql::shape::shape;
use crate::error::{Error, Result};
use crate::shard_map::ShardMap;
use crate::storage::Storage;
use crate::verify::{Finding, Repair, ShardRange, VerifyOptions, VerifyReport, advice};

impl Operator {
    /// Compares everything, and returns what differs. With `repair`, holds the fleet's lock, so that no move is under way meanwhile.
    pub async fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        let map = self.map().await?;
        let _lock = if options.repair { Some(self.lock(&map).await?) } else { None };
        let engine = MysqlEngine::start(map.clone(), self.site.clone(), None)?;
        let storage = Storage::with_engine(Arc::new(engine), SystemClock::shared());
        let verified = storage.verify(options, &*self.progress).await;
        storage.close().await?;
        let mut report = verified?;
        if options.repair {
            self.mend_strays(&map, &mut report).await;
        }
        report.findings.extend(self.on_their_way(&map, options.shards).await?);
        report.add(self.compare_replicas(&map, options.shards).await?);
        Ok(report)
    }

    /// Deletes what moves left behind, where that is safe.
    async fn mend_strays(&self, map: &ShardMap, report: &mut VerifyReport) {
        for finding in std::mem::take(&mut report.findings) {
            let (Some(Repair::DeleteStrays { shard }), Some(name)) = (&finding.repair, &finding.server) else {
                report.findings.push(finding);
                continue;
            };
            match self.delete_strays(map, name, *shard).await {
                Ok(()) => report.mended.push(format!("{finding} They were deleted.")),
                Err(error) => report.findings.push(Finding {
                    advice: format!("They were not deleted: {error}"),
                    repairable: false,
                    repair: None,
                    ..finding
                }),
            }
        }
    }

    /// Deletes the rows of a shard that has moved away, once its new server is seen to have it: at the epoch of the map, with every
    /// audit entry and every sequence, which only grow. What else differs may have been changed there since.
    async fn delete_strays(&self, map: &ShardMap, name: &str, shard: u16) -> Result<()> {
        let range = map.range_of(model::Shard(shard)).ok_or_else(|| Error::Invalid(format!("Shard {shard} does not exist.")))?;
        let (here, there) = (self.server(&entry(map, name)?.primary)?, self.server(&entry(map, &range.server)?.primary)?);
        let holds = format!("SELECT COUNT(*) FROM owned_shards WHERE shard = {shard} AND epoch = {} AND state IN {HELD}", range.epoch);
        let gave_up = format!("SELECT COUNT(*) FROM owned_shards WHERE shard = {shard} AND epoch <= {} AND state = 'moved'", range.epoch);
        if range.server == name || number(&there, &holds).await? != 1 || number(&here, &gave_up).await? != 1 {
            return Err(Error::Conflict(format!(
                "Server {} does not have shard {shard} at epoch {} as the map says. Finish its move first.",
                range.server, range.epoch
            )));
        }
        let (low, high) = shape("audit")?.bounds(shard, shard);
        let last = here.query(&format!("SELECT id, hash FROM audit WHERE id BETWEEN {low} AND {high} ORDER BY id DESC LIMIT 1")).await?;
        if let Some(row) = last.first().and_then(|rows| rows.first()) {
            let mut hash = String::new();
            mysql::quote(&mut hash, row.text(1)?);
            // The chain's hash stands for every entry before it.
            if number(&there, &format!("SELECT COUNT(*) FROM audit WHERE id = {} AND hash = {hash}", row.i64(0)?)).await? != 1 {
                return Err(Error::Conflict(format!(
                    "The audit log of shard {shard} on {} does not go on from the one that {name} has. Compare them by hand.",
                    range.server
                )));
            }
        }
        let (low, high) = shape("sequences")?.bounds(shard, shard);
        for row in here.query(&format!("SELECT slot, next FROM sequences WHERE slot BETWEEN {low} AND {high}")).await?.iter().flatten() {
            let (slot, next) = (row.i64(0)?, row.i64(1)?);
            if number(&there, &format!("SELECT COUNT(*) FROM sequences WHERE slot = {slot} AND next >= {next}")).await? != 1 {
                return Err(Error::Conflict(format!(
                    "Server {} has handed out fewer ids of shard {shard} than {name} had: its copy is not whole. Compare them by hand.",
                    range.server
                )));
            }
        }
        delete_rows(&here, shard, shard, self).await?;
        forget_changes(&here, shard, shard).await
    }

    /// Lists the shards that are on their way, a line per server and state.
    async fn on_their_way(&self, map: &ShardMap, shards: ShardRange) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for entry in &map.servers {
            let sql = format!(
                "SELECT state, other, COUNT(*), MIN(shard), MAX(shard) FROM owned_shards WHERE shard BETWEEN {} AND {} \
                 AND state IN ('copying','frozen','arriving') GROUP BY state, other",
                shards.first, shards.last
            );
            for row in self.server(&entry.primary)?.query(&sql).await?.iter().flatten() {
                let (state, other) = (row.text(0)?, row.text(1)?);
                let what =
                    format!("{} of the shards {}–{} are {state}, with {other} at the other end.", row.u64(2)?, row.u64(3)?, row.u64(4)?);
                findings.push(Finding::warning("owned_shards", what, advice::ON_ITS_WAY).on(Some(entry.name.clone())));
            }
        }
        Ok(findings)
    }
}

/// Asks for one number.
async fn number(server: &Server, sql: &str) -> Result<i64> {
    let sets = server.query(sql).await?;
    let row = mysql::first(&sets);
    Ok(row.ok_or_else(|| Error::Corrupt(format!("{} did not answer with a number.", server.address())))?.i64(0)?)
}

#[cfg(test)]
mod tests;
