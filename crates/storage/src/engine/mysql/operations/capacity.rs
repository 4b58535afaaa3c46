//! `capacity`: how large every server is, how fast it grows, the day it fills, and what to do before.
//!
//! samples.rs takes a sample an hour; capacity/forecast.rs makes a growth of them, capacity/plan.rs a recommendation. Both are pure.

mod forecast;
mod plan;

use futures_util::future::join_all;
use model::Timestamp;
use serde::Serialize;

use self::forecast::{Growth, Sample, days_until, growth};
use self::plan::{Load, plan};
use super::Operator;
use crate::engine::mysql::lane::now_ms;
use crate::engine::mysql::samples::SIZES;
use crate::error::Result;
use crate::shard_map::{ServerEntry, ShardMap};

const DAY_MS: f64 = 86_400_000.0;
/// Days beyond which nobody believes a straight line.
const DAYS_MAX: f64 = 3_650.0;

#[derive(Clone, Debug, Serialize)]
pub struct CapacityReport {
    pub servers: Vec<ServerCapacity>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerCapacity {
    pub name: String,
    pub shards: usize,
    /// As the server estimates them.
    pub rows: u64,
    /// Tables and their indexes; logs are not counted.
    pub bytes: u64,
    /// `None` while there are too few samples to tell.
    pub growth_rows_per_day: Option<f64>,
    pub growth_bytes_per_day: Option<f64>,
    pub samples: usize,
    /// Over how many days the samples go that the growth was taken from.
    pub sampled_days: f64,
    pub disk_bytes: Option<u64>,
    /// When it is full if it goes on like this; `None` when nobody can tell, or not within ten years.
    pub fills_at: Option<Timestamp>,
    /// What to do, a sentence each; empty when there is nothing to do.
    pub advice: Vec<String>,
}

impl Operator {
    /// Forecasts the day on which each server fills.
    pub async fn capacity(&self) -> Result<CapacityReport> {
        let map = self.map().await?;
        let mut servers: Vec<ServerCapacity> = join_all(map.servers.iter().map(|entry| self.measure(&map, entry))).await;
        let loads: Vec<Load> = servers.iter().map(|server| load(&map, server)).collect();
        for (index, server) in servers.iter_mut().enumerate() {
            // A server that does not answer has said so already.
            if server.advice.is_empty() {
                server.advice = plan(&loads, index);
            }
        }
        Ok(CapacityReport { servers })
    }

    async fn measure(&self, map: &ShardMap, entry: &ServerEntry) -> ServerCapacity {
        let shards = map.ranges_of(&entry.name).map(|range| usize::from(range.last - range.first) + 1).sum();
        let disk_bytes = entry.disk_gib.map(|gib| gib << 30);
        let mut capacity = ServerCapacity { name: entry.name.clone(), shards, disk_bytes, ..ServerCapacity::default() };
        if let Err(error) = self.read_samples(entry, &mut capacity).await {
            capacity.advice = vec![format!("It does not answer: {error} `corkboard storage status` looks closer.")];
        }
        capacity
    }

    async fn read_samples(&self, entry: &ServerEntry, capacity: &mut ServerCapacity) -> Result<()> {
        let server = self.server(&entry.primary)?;
        let fresh = server.dialect().await?.fresh_statistics();
        let sets = server.query(&format!("{fresh}{SIZES}; SELECT at_ms, row_count, bytes FROM capacity_samples ORDER BY at_ms")).await?;
        // Statements without an answer of rows may or may not have a place in the list: the wanted two are the last.
        let mut sets = sets.into_iter().rev();
        let samples: Vec<Sample> = sets.next().unwrap_or_default().iter().map(read_sample).collect::<Result<_>>()?;
        if let Some(row) = sets.next().unwrap_or_default().first() {
            (capacity.rows, capacity.bytes) = (row.u64(0)?, row.u64(1)?);
        }
        let Growth { bytes_per_day, rows_per_day, days } = growth(&samples);
        (capacity.samples, capacity.sampled_days) = (samples.len(), days);
        (capacity.growth_bytes_per_day, capacity.growth_rows_per_day) = (bytes_per_day, rows_per_day);
        if let (Some(per_day), Some(disk)) = (bytes_per_day, capacity.disk_bytes) {
            let days = days_until(capacity.bytes, per_day, disk).filter(|days| *days <= DAYS_MAX);
            capacity.fills_at = days.map(|days| Timestamp(now_ms() + (days * DAY_MS) as i64));
        }
        Ok(())
    }
}

fn read_sample(row: &mysql::Row) -> Result<Sample> {
    Ok(Sample { at_ms: row.i64(0)?, rows: row.u64(1)?, bytes: row.u64(2)? })
}

fn load(map: &ShardMap, server: &ServerCapacity) -> Load {
    Load {
        name: server.name.clone(),
        bytes: server.bytes,
        disk_bytes: server.disk_bytes,
        bytes_per_day: server.growth_bytes_per_day,
        samples: server.samples,
        ranges: map.ranges_of(&server.name).map(|range| (range.first, range.last)).collect(),
    }
}

#[cfg(test)]
mod tests;
