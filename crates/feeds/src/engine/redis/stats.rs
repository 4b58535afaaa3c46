//! How much is there: a walk over the keys, which ends early where there are very many and is projected from there.

use std::collections::HashSet;
use std::sync::Arc;

use super::RedisEngine;
use super::codec::{BUILDING, ENTRY_BYTES};
use super::command::Batch;
use super::keys;
use super::node::{Lane, Node};
use super::resp::Value;
use crate::error::{Error, Result};
use crate::facts::Stats;

/// Keys of one server that are looked at. A walk in a hash's order is a fair sample.
const WALKED_MAX: usize = 100_000;

/// Counts of one server.
#[derive(Default)]
struct Walk {
    people: HashSet<Vec<u8>>,
    stats: Stats,
}

impl RedisEngine {
    pub(super) async fn collect_stats(&self) -> Result<Stats> {
        let mut sum = Stats::default();
        for (node, _) in self.client.nodes().await? {
            let stats = self.stats_of(&node).await?;
            sum.users += stats.users;
            sum.boards += stats.boards;
            sum.edges += stats.edges;
            sum.feeds += stats.feeds;
            sum.entries += stats.entries;
            sum.pins += stats.pins;
        }
        // An edge stands at both ends, 100 bytes each in a large set; keys and values as measured (docs/feeds.md).
        sum.bytes_estimate = sum.users * 200 + sum.edges * 200 + sum.feeds * 100 + sum.entries * 18 + sum.pins * 180 + sum.boards * 100;
        Ok(sum)
    }

    async fn stats_of(&self, node: &Arc<Node>) -> Result<Stats> {
        let mut walk = Walk::default();
        let (mut cursor, mut walked) = (0, 0);
        loop {
            let (next, names) = self.scan(node, cursor).await?;
            walked += names.len();
            self.look_at(node, &names, &mut walk).await?;
            cursor = next;
            if cursor == 0 || walked >= WALKED_MAX {
                break;
            }
        }
        let mut stats = Stats { users: walk.people.len() as u64, ..walk.stats };
        if cursor != 0 {
            let total = node.ask(&[&"DBSIZE"]).await?.int() as u64;
            let project = |count: &mut u64| *count = *count * total / walked.max(1) as u64;
            let Stats { users, boards, edges, feeds, entries, pins, .. } = &mut stats;
            [users, boards, edges, feeds, entries, pins].into_iter().for_each(project);
        }
        Ok(stats)
    }

    async fn look_at(&self, node: &Arc<Node>, names: &[Vec<u8>], walk: &mut Walk) -> Result<()> {
        let mut batch = Batch::new();
        let mut asked = Vec::new();
        for name in names {
            let Some((kind, id)) = keys::parsed(name) else { continue };
            let key = keys::Key { bucket: keys::Bucket::SITE, name: name.clone() };
            let is_list = matches!(kind, "h" | "x" | "pt" | "pe" | "pd");
            match kind {
                "u" | "b" | "t" | "fo" => batch.plain("ZCARD", &key, |cmd| cmd),
                "lo" | "bl" | "bb" | "mu" => batch.plain("SCARD", &key, |cmd| cmd),
                "p" => batch.plain("GETRANGE", &key, |cmd| cmd.arg(0).arg(0)),
                "bf" => batch.plain("STRLEN", &key, |cmd| cmd),
                _ if is_list => batch.plain("LLEN", &key, |cmd| cmd),
                _ => continue,
            }
            match is_list {
                true => batch.plain("LINDEX", &key, |cmd| cmd.arg(-1)),
                false => batch.plain("EXISTS", &key, |cmd| cmd),
            }
            asked.push((kind, id));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let link = node.writing_link().await?;
        let answers = node.send_over(&link, Lane::Write, &batch.commands(), false).await.map_err(Error::Unavailable)?;
        for ((kind, id), answer) in asked.into_iter().zip(answers.chunks_exact(2)) {
            walk.count(kind, id, &answer[0], &answer[1]);
        }
        Ok(())
    }
}

impl Walk {
    fn count(&mut self, kind: &str, id: &str, size: &Value, last: &Value) {
        let count = size.int() as u64;
        let is_person = id.parse::<model::Id>().is_ok_and(|id| id.kind() == model::Kind::User);
        match kind {
            "u" | "b" | "t" | "lo" | "bl" | "mu" => self.stats.edges += count,
            "h" | "x" | "pt" | "pe" | "pd" => {
                let last = last.bytes().unwrap_or_default();
                let is_marked = !last.is_empty() && last.len() != ENTRY_BYTES;
                self.stats.entries += count.saturating_sub(u64::from(is_marked));
                self.stats.feeds += u64::from(kind == "h" && last.first() != Some(&BUILDING) && count > 0);
            }
            "p" => self.stats.pins += u64::from(size.bytes() == Some(b"P")),
            "bf" => self.stats.boards += 1,
            _ => {}
        }
        if is_person && matches!(kind, "u" | "b" | "t" | "fo" | "lo" | "bl" | "bb" | "mu") {
            self.people.insert(id.as_bytes().to_vec());
        }
    }
}
