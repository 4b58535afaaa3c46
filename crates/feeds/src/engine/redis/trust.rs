//! Whether what is in Redis is whole: the markers, and the life of a rebuild.
//!
//! ```text
//! clear ──▶ every marker: "rebuild NONCE" ──▶ keys removed ──▶ everything applied anew ──▶ complete(offset)
//!                                                                                             │ ERA RUN_ID OFFSET
//! restored_offset: the oldest offset of all markers; one is missing: none                     ▼
//! snapshot(offset): every marker still what was last seen, in the same process? ── yes ──▶ ERA RUN_ID NEW OFFSET
//!                                                                               └─ no ───▶ `Behind`
//! ```
//!
//! A server loses what it holds by being emptied, by coming back without its data, or with data of a while ago; also when a
//! replica takes over that had not got everything. Emptied: the markers are gone. Else: another process (`run_id`) holds the
//! old markers, whose offset says from where the log mends it. Markers are written over the very connection over which they were
//! read, so that they can't end up in a process that was not looked at.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::RedisEngine;
use super::client::markers;
use super::codec::{self, ENTRY_BYTES, Marker, READY};
use super::command::Batch;
use super::keys::{self, Bucket, Key};
use super::node::{Lane, Node};
use super::resp::Value;
use super::script::MARK;
use crate::engine::Kept;
use crate::error::{Error, Result};
use crate::facts::Position;

/// Keys looked at in one step of a walk.
pub(super) const SCAN_STEP: usize = 1_000;
/// Entries written at once when a rebuild's lists are stored.
const STORED_STEP: usize = 500;

/// What every bucket's marker was when it was last looked at, and the process that held it.
pub(super) type Seen = HashMap<Bucket, (Vec<u8>, String)>;

/// Public and merged lists of a rebuild. They are collected here, because pins come in the order of their ids, and putting one
/// into the middle of a long list costs a walk over the list.
#[derive(Default)]
pub(super) struct Rebuild {
    lists: HashMap<Key, Collected>,
}

#[derive(Default)]
struct Collected {
    positions: Vec<Position>,
    floor: Option<Position>,
}

impl Rebuild {
    pub(super) fn add(&mut self, key: Key, position: Position, max: usize) {
        let list = self.lists.entry(key).or_default();
        list.positions.push(position);
        if list.positions.len() > 2 * max + 1_000 {
            list.cut(max);
        }
    }
}

impl Collected {
    /// Keeps the newest, once each, newest first.
    fn cut(&mut self, max: usize) {
        self.positions.sort_unstable_by(|a, b| b.cmp(a));
        self.positions.dedup();
        if self.positions.len() > max {
            self.positions.truncate(max);
            self.floor = self.floor.max(self.positions.last().copied());
        }
        if let Some(floor) = self.floor {
            self.positions.retain(|position| *position >= floor);
        }
    }
}

impl RedisEngine {
    pub(super) async fn find_restored_offset(&self) -> Result<Option<i64>> {
        let mut seen = Seen::new();
        let mut markers = Vec::new();
        for (node, buckets) in self.client.nodes().await? {
            let (found, run_id) = self.markers_of(&node, &buckets).await?;
            for (bucket, bytes) in buckets.into_iter().zip(found) {
                let Some(marker) = bytes.as_deref().and_then(Marker::parse) else { return Ok(None) };
                markers.push(marker);
                seen.insert(bucket, (bytes.unwrap_or_default(), run_id.clone()));
            }
        }
        if markers.iter().any(|marker| marker.era != markers[0].era) {
            return Ok(None);
        }
        *self.seen.lock() = seen;
        Ok(markers.iter().map(|marker| marker.offset).min())
    }

    async fn markers_of(&self, node: &Arc<Node>, buckets: &[Bucket]) -> Result<(Vec<Option<Vec<u8>>>, String)> {
        let link = node.writing_link().await?;
        let values =
            node.send_over(&link, Lane::Write, &markers(buckets.iter().copied()).commands(), false).await.map_err(Error::Unavailable)?;
        self.refuse_errors(node, &values).await?;
        Ok((values.iter().map(|value| value.bytes().map(<[u8]>::to_vec)).collect(), link.run_id.clone()))
    }

    async fn refuse_errors(&self, node: &Node, values: &[Value]) -> Result<()> {
        let Some((_, error)) = values.iter().find_map(Value::error) else { return Ok(()) };
        self.client.refresh().await;
        Err(Error::Unavailable(format!("{} says {error}", node.address)))
    }

    pub(super) async fn mark(&self, offset: i64) -> Result<Kept> {
        let mut seen = self.seen.lock().clone();
        for (node, buckets) in self.client.nodes().await? {
            let link = node.writing_link().await?;
            let mut marks = Vec::new();
            for bucket in &buckets {
                let Some((bytes, run_id)) = seen.get(bucket) else { return Ok(Kept::Behind) };
                let Some(marker) = Marker::parse(bytes) else { return Ok(Kept::Behind) };
                if *run_id != link.run_id {
                    return Ok(Kept::Behind);
                }
                let marker = Marker { era: marker.era, run_id: link.run_id.clone(), offset };
                marks.push((*bucket, bytes.clone(), marker.to_text().into_bytes()));
            }
            if !self.write_marks(&node, &link, &marks).await? {
                return Ok(Kept::Behind);
            }
            for (bucket, _, new) in marks {
                seen.insert(bucket, (new, link.run_id.clone()));
            }
        }
        *self.seen.lock() = seen;
        Ok(Kept::Whole)
    }

    /// Replaces markers that are what they should be; tells whether all were.
    async fn write_marks(&self, node: &Arc<Node>, link: &Arc<super::node::Link>, marks: &[(Bucket, Vec<u8>, Vec<u8>)]) -> Result<bool> {
        let mut batch = Batch::new();
        for (bucket, seen, new) in marks {
            batch.script(&MARK, &[keys::whole(*bucket)], &[seen, new]);
        }
        let values = node.send_over(link, Lane::Write, &batch.commands(), false).await.map_err(Error::Unknown)?;
        self.refuse_errors(node, &values).await?;
        Ok(values.iter().all(|value| value.int() == 1))
    }

    pub(super) async fn begin_rebuild(&self) -> Result<()> {
        let marker = format!("rebuild {}", runtime::random_u64()).into_bytes();
        let mut seen = Seen::new();
        let nodes = self.client.nodes().await?;
        for (node, buckets) in &nodes {
            let link = node.writing_link().await?;
            let mut batch = Batch::new();
            buckets.iter().for_each(|bucket| batch.plain("SET", &keys::whole(*bucket), |cmd| cmd.arg(&marker)));
            let values = node.send_over(&link, Lane::Write, &batch.commands(), false).await.map_err(Error::Unknown)?;
            self.refuse_errors(node, &values).await?;
            seen.extend(buckets.iter().map(|bucket| (*bucket, (marker.clone(), link.run_id.clone()))));
        }
        for (node, buckets) in &nodes {
            self.remove_keys(node, buckets).await?;
        }
        *self.seen.lock() = seen;
        *self.merged.lock() = None;
        *self.rebuild.lock() = Some(Rebuild::default());
        Ok(())
    }

    /// Removes all keys but the markers from one server.
    async fn remove_keys(&self, node: &Arc<Node>, buckets: &[Bucket]) -> Result<()> {
        let kept: HashSet<Vec<u8>> = buckets.iter().map(|bucket| keys::whole(*bucket).name).collect();
        let mut cursor = 0;
        loop {
            let (next, found) = self.scan(node, cursor).await?;
            let mut removals = Batch::new();
            found.iter().filter(|name| !kept.contains(*name)).for_each(|name| removals.keyless(&[&"UNLINK", name]));
            let link = node.writing_link().await?;
            if !removals.is_empty() {
                let values = node.send_over(&link, Lane::Write, &removals.commands(), false).await.map_err(Error::Unknown)?;
                self.refuse_errors(node, &values).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    /// Walks over the names of our keys on one server.
    pub(super) async fn scan(&self, node: &Arc<Node>, cursor: u64) -> Result<(u64, Vec<Vec<u8>>)> {
        let answer = node.ask(&[&"SCAN", &cursor, &"MATCH", &keys::PATTERN, &"COUNT", &SCAN_STEP]).await?;
        let next = answer.list().first().and_then(|next| std::str::from_utf8(next.bytes()?).ok()?.parse().ok());
        let names = answer.list().get(1).map(|names| names.list().iter().filter_map(|name| Some(name.bytes()?.to_vec())).collect());
        next.zip(names).ok_or_else(|| Error::Unavailable(format!("{} does not list its keys", node.address)))
    }

    pub(super) async fn end_rebuild(&self, offset: i64) -> Result<()> {
        let lists = self.rebuild.lock().as_mut().map(|rebuild| std::mem::take(&mut rebuild.lists)).unwrap_or_default();
        for (key, mut list) in lists {
            let max = self.list_max(&key);
            list.cut(max);
            self.store_list(&key, &list).await?;
        }
        let era = runtime::random_u64() & 0xFFFF_FFFF;
        let mut seen = self.seen.lock().clone();
        let lost = || Error::Unavailable("the feeds' Redis lost what was rebuilt while it was; it begins again".to_owned());
        for (node, buckets) in self.client.nodes().await? {
            let link = node.writing_link().await?;
            let new = Marker { era, run_id: link.run_id.clone(), offset }.to_text().into_bytes();
            let mut marks = Vec::new();
            for bucket in buckets {
                let (bytes, run_id) = seen.get(&bucket).ok_or_else(lost)?;
                if *run_id != link.run_id {
                    return Err(lost());
                }
                marks.push((bucket, bytes.clone(), new.clone()));
            }
            if !self.write_marks(&node, &link, &marks).await? {
                return Err(lost());
            }
            seen.extend(marks.into_iter().map(|(bucket, _, new)| (bucket, (new, link.run_id.clone()))));
        }
        *self.seen.lock() = seen;
        *self.rebuild.lock() = None;
        Ok(())
    }

    async fn store_list(&self, key: &Key, list: &Collected) -> Result<()> {
        let mut batch = Batch::new();
        batch.plain("DEL", key, |cmd| cmd);
        for step in list.positions.chunks(STORED_STEP) {
            batch.plain("RPUSH", key, |cmd| step.iter().fold(cmd, |cmd, position| cmd.arg(&codec::entry(*position)[..])));
        }
        if let Some(floor) = list.floor {
            let mut tail = Vec::with_capacity(1 + ENTRY_BYTES);
            tail.push(READY);
            tail.extend_from_slice(&codec::entry(floor));
            batch.plain("RPUSH", key, |cmd| cmd.arg(tail));
        }
        self.client.write(batch).await.map(drop)
    }
}
