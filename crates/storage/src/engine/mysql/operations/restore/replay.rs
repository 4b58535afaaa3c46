//! Changes of the archive, made again up to a moment.
//!
//! ```text
//! survey   which segments, is everything there, which servers had a shard in which epochs
//! run      for each shard its first tenure's changes, then its second's …: a shard that moved goes on where it went
//! ```
//!
//! It begins a while before the backup's moment: changes say what rows are afterwards, and of each row the last one wins, so that making
//! some again that the backup has already ends in the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use mysql::Taken;

use super::super::super::shape::{Change, changes_from_json, statements};
use super::super::Progress;
use super::super::archive::{FleetHead, Head, SegmentHead, fleet_name, folder, read_json, segment_name};
use super::super::backup::files::{FORMAT, instant, sum, unpack};
use super::{Target, broken, event};
use crate::backup_store::BackupStore;
use crate::error::{Error, Result};

/// Segments may overlap by as much in time: positions are given in another order than times, by moments.
const OVERLAP_MS: i64 = 60_000;
/// Rows' last states that are written together.
const CHANGES_AT_ONCE: usize = 500;

/// What is to be made again.
pub(super) struct Replay {
    until_ms: i64,
    parts: Vec<Part>,
    /// For each shard the epochs in which servers had it.
    tenures: BTreeMap<u16, BTreeSet<u64>>,
    pub changes: u64,
}

/// One server's part of the archive.
struct Part {
    folder: String,
    from_ms: i64,
    segments: RangeInclusive<u64>,
}

/// A line of a segment.
enum Line<'a> {
    Change { shard: u16, epoch: u64, at_ms: i64, changes: &'a str },
    Event { id: String, json: String },
}

impl Replay {
    /// Reads every segment that is needed, compares its sum, and notes who had which shard when.
    pub async fn survey(target: &Target<'_>, until_ms: i64, progress: &dyn Progress) -> Result<Replay> {
        let manifest = &target.manifest;
        if until_ms < manifest.at_ms {
            return Err(Error::Invalid(format!(
                "Backup {} is of {}, which is after {}. Take an earlier backup.",
                manifest.id,
                instant(manifest.at_ms),
                instant(until_ms)
            )));
        }
        let since = manifest.changes_since;
        if since == 0 {
            return Err(Error::Invalid(format!(
                "When backup {} was made, changes were not kept; only its own moment, {}, can be restored from it.",
                manifest.id,
                instant(manifest.at_ms)
            )));
        }
        let fleet: Option<FleetHead> = read_json(target.store, &fleet_name(since)).await?;
        let through_ms = fleet.as_ref().map_or(since, |fleet| fleet.through_ms);
        let Some(fleet) = fleet.filter(|fleet| fleet.through_ms >= until_ms) else {
            return Err(Error::Invalid(format!(
                "The changes since {} are archived until {}, not until {}. If the servers still run, `corkboard storage backup --changes` archives the rest; else choose an earlier time.",
                instant(since),
                instant(through_ms),
                instant(until_ms)
            )));
        };
        let mut replay = Replay { until_ms, parts: Vec::new(), tenures: BTreeMap::new(), changes: 0 };
        progress.begin("reading archived changes, segments", None);
        // One instant for all: a server that has given its shards away must not bring back what they were like then.
        let from_ms = manifest.servers.iter().map(|part| part.changes_from_ms).min().unwrap_or(since);
        for server in &fleet.servers {
            replay.survey_server(target, folder(since, server), from_ms, progress).await?;
        }
        Ok(replay)
    }

    async fn survey_server(&mut self, target: &Target<'_>, folder: String, from_ms: i64, progress: &dyn Progress) -> Result<()> {
        // A server that has been in the fleet without ever having shards has no head.
        let Some(head): Option<Head> = read_json(target.store, &format!("{folder}/head.json")).await? else { return Ok(()) };
        let first = first_segment(target.store, &folder, head.segments, from_ms).await?;
        let mut last = first.saturating_sub(1);
        for number in first..=head.segments {
            let name = segment_name(&folder, number);
            let (head, body) = segment(target.store, &name).await?;
            for line in body.lines() {
                let Line::Change { shard, epoch, at_ms, .. } = read_line(&name, line)? else { continue };
                if at_ms >= from_ms && at_ms <= self.until_ms && target.server_of(shard)?.is_some() {
                    self.tenures.entry(shard).or_default().insert(epoch);
                    self.changes += 1;
                }
            }
            last = number;
            progress.advance(1);
            if head.through_ms > self.until_ms + OVERLAP_MS {
                break;
            }
        }
        self.parts.push(Part { folder, from_ms, segments: first..=last });
        Ok(())
    }

    /// Makes the changes again. Returns how many, and how many events came along.
    pub async fn run(&self, target: &Target<'_>, progress: &dyn Progress) -> Result<(u64, u64)> {
        progress.begin("making changes again", Some(self.changes));
        let mut writers = BTreeMap::new();
        for (name, server) in &target.servers {
            let mut connection = server.take().await?;
            // Audit entries that the backup has already are put again as they are.
            connection.query("SET @corkboard_moves_shards = 1").await?;
            writers.insert(name.clone(), Writer { connection, waiting: BTreeMap::new() });
        }
        let passes = self.tenures.values().map(BTreeSet::len).max().unwrap_or(0);
        let (mut changes, mut events) = (0, 0);
        // Once at least, for the events.
        for pass in 0..passes.max(1) {
            for part in &self.parts {
                for number in part.segments.clone() {
                    let name = segment_name(&part.folder, number);
                    let (_, body) = segment(target.store, &name).await?;
                    let mut waiting = Vec::new();
                    for line in body.lines() {
                        match read_line(&name, line)? {
                            Line::Change { shard, epoch, at_ms, changes: json } => {
                                if at_ms < part.from_ms || at_ms > self.until_ms || !self.is_of_pass(shard, epoch, pass) {
                                    continue;
                                }
                                let Some(writer) = target.server_of(shard)?.and_then(|server| writers.get_mut(server)) else { continue };
                                writer.take(changes_from_json(json)?).await?;
                                changes += 1;
                                progress.advance(1);
                            }
                            Line::Event { id, json } if pass == 0 => waiting.push((id, json)),
                            Line::Event { .. } => {}
                        }
                    }
                    events += waiting.len() as u64;
                    target.put_events(&waiting).await?;
                }
            }
            for writer in writers.values_mut() {
                writer.flush().await?;
            }
        }
        Ok((changes, events))
    }

    /// Tells whether the changes of a shard in an epoch are made in this pass: each pass is one tenure further.
    fn is_of_pass(&self, shard: u16, epoch: u64, pass: usize) -> bool {
        self.tenures.get(&shard).and_then(|epochs| epochs.iter().nth(pass)) == Some(&epoch)
    }
}

/// Collects the last states of rows for one server.
struct Writer {
    connection: Taken,
    waiting: BTreeMap<(&'static str, String), Change>,
}

impl Writer {
    async fn take(&mut self, changes: Vec<Change>) -> Result<()> {
        for change in changes {
            let key = serde_json::to_string(&change.key).map_err(|error| Error::Corrupt(error.to_string()))?;
            self.waiting.insert((change.shape.name, key), change);
        }
        if self.waiting.len() >= CHANGES_AT_ONCE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        let changes: Vec<Change> = std::mem::take(&mut self.waiting).into_values().collect();
        for statement in statements(&changes) {
            self.connection.query(&statement).await?;
        }
        Ok(())
    }
}

/// Finds the first segment that may have changes from an instant on. Their ends ascend, so that few are read however many there are.
async fn first_segment(store: &dyn BackupStore, folder: &str, segments: u64, from_ms: i64) -> Result<u64> {
    let (mut low, mut high) = (1, segments + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let (head, _) = segment(store, &segment_name(folder, middle)).await?;
        if head.through_ms < from_ms { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Reads a segment and compares its sum.
async fn segment(store: &dyn BackupStore, name: &str) -> Result<(SegmentHead, String)> {
    let bytes = store.get(name).await?.ok_or_else(|| {
        Error::Corrupt(format!("The archive's file {name} is missing at {}. Choose a time before it, or find a copy.", store.place()))
    })?;
    let text = unpack(name, bytes).await?;
    let (first, body) = text.split_once('\n').ok_or_else(|| broken(name, "it has no first line"))?;
    let head: SegmentHead = serde_json::from_str(first).map_err(|error| broken(name, &error.to_string()))?;
    if head.format != FORMAT {
        return Err(Error::Invalid(format!("{name} has the form {}, and this program knows {FORMAT}. Use a newer program.", head.format)));
    }
    if sum(body.as_bytes()) != head.sha256 {
        return Err(broken(name, "its sum differs"));
    }
    Ok((head, body.to_owned()))
}

fn read_line<'a>(name: &str, line: &'a str) -> Result<Line<'a>> {
    if line.starts_with("[\"") {
        return event(name, line).map(|(id, json)| Line::Event { id, json });
    }
    let inner = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).ok_or_else(|| broken(name, "a line is no list"))?;
    let mut parts = inner.splitn(5, ',');
    let mut next = || parts.next().ok_or_else(|| broken(name, "a line is too short"));
    let (shard, epoch, _position, at_ms, changes) = (next()?, next()?, next()?, next()?, next()?);
    let wrong = |error: std::num::ParseIntError| broken(name, &error.to_string());
    Ok(Line::Change {
        shard: shard.parse().map_err(wrong)?,
        epoch: epoch.parse().map_err(wrong)?,
        at_ms: at_ms.parse().map_err(wrong)?,
        changes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_refused() {
        let Ok(Line::Change { shard, epoch, at_ms, changes }) = read_line("x", r#"[7,3,99,1700,[["pins",[1],0]]]"#) else {
            panic!("a change")
        };
        assert_eq!((shard, epoch, at_ms, changes), (7, 3, 1700, r#"[["pins",[1],0]]"#));
        assert!(matches!(read_line("x", r#"["e1","{}"]"#), Ok(Line::Event { id, json }) if id == "e1" && json == "{}"));
        for wrong in ["", "[]", "[1,2,3]", "[1,2,3,x,[]]", "[70000,1,1,1,[]]", "[\"e1\"]"] {
            assert!(matches!(read_line("some/file", wrong), Err(Error::Corrupt(message)) if message.contains("some/file")), "{wrong}");
        }
    }
}
