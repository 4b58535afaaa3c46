//! Dropping what nobody needs: idle feeds, feeds beyond the total, pins that no list holds.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{PinId, UserId};

use super::Memory;
use super::graph::Node;
use super::home::State;
use super::list::List;
use super::pins::{Known, Record};
use super::sharded::IdHash;
use crate::facts::{Stats, Target};
use crate::limits::{RETRACTED_MS, SWEEP_PINS_MIN};
use crate::metrics as names;

type Held = HashSet<PinId, IdHash>;

impl Memory {
    pub(super) fn is_sweep_wanted(&self) -> bool {
        self.pin_count.load(Ordering::Relaxed) > self.sweep_at.load(Ordering::Relaxed)
            || self.home_entry_count.load(Ordering::Relaxed) > self.limits.home_entries_total_max
    }

    /// Drops idle feeds and forgets pins that no list holds.
    pub(super) fn sweep(&self) {
        let _one = self.sweeping.lock();
        // Waits for whoever is putting pins into lists; who comes later has the new generation, so that its pins stay.
        let generation = {
            let mut gate = self.gate.write();
            *gate = gate.wrapping_add(1);
            *gate
        };
        self.drop_feeds();
        let held = self.tidy_lists();
        self.forget_pins(generation, &held);
    }

    fn drop_feeds(&self) {
        let now = self.clock.now();
        for shard in self.shown.shards() {
            shard.write().retain(|_, shown| now.0.saturating_sub(shown.at.0) < self.limits.idle_ms);
        }
        let mut ready: Vec<(i64, UserId, usize)> = Vec::new();
        for shard in self.slots.shards() {
            let mut slots = shard.write();
            slots.retain(|_, slot| match slot.state {
                State::Ready => now.0.saturating_sub(slot.read_at.load(Ordering::Relaxed)) < self.limits.idle_ms,
                State::Building | State::Absent => slot.is_awaited(now),
            });
            let filled = slots.iter().filter(|(_, slot)| slot.state == State::Ready);
            ready.extend(filled.map(|(user, slot)| (slot.read_at.load(Ordering::Relaxed), *user, slot.list.len())));
        }
        let mut total: usize = ready.iter().map(|(_, _, len)| len).sum();
        if total > self.limits.home_entries_total_max {
            ready.sort_unstable();
            // A tenth below the limit, so that the next feed does not start the next sweep.
            let goal = self.limits.home_entries_total_max / 10 * 9;
            for (_, user, len) in ready {
                if total <= goal {
                    break;
                }
                self.widen(user);
                total -= len;
            }
        }
        self.home_entry_count.store(total, Ordering::Relaxed);
    }

    /// Removes entries that stand for nothing from all lists, and lists that hold nothing; returns the pins that are held.
    fn tidy_lists(&self) -> Held {
        let mut held = Held::default();
        let mut tidy = |list: &mut List| {
            list.retain(|(at, pin)| {
                let stands = matches!(self.pins.read(pin).get(pin), Some(Known::Shown(record)) if record.at == *at);
                if stands {
                    held.insert(*pin);
                }
                stands
            });
        };
        for shard in self.slots.shards() {
            shard.write().values_mut().for_each(|slot| tidy(&mut slot.list));
        }
        tidy(&mut self.everything.write());
        let merged: Vec<_> = self.merged.read().values().cloned().collect();
        merged.iter().for_each(|list| tidy(&mut list.write()));
        for shard in self.topics.shards() {
            let lists: Vec<_> = shard.read().values().map(|topic| topic.list.clone()).collect();
            lists.iter().for_each(|list| tidy(&mut list.write()));
            drop(lists);
            // A list that someone else holds at this moment may be about to get a pin.
            shard
                .write()
                .retain(|_, topic| !topic.followers.is_empty() || Arc::strong_count(&topic.list) > 1 || !topic.list.read().is_blank());
        }
        for shard in self.domains.shards() {
            let lists: Vec<_> = shard.read().values().cloned().collect();
            lists.iter().for_each(|list| tidy(&mut list.write()));
            drop(lists);
            shard.write().retain(|_, list| Arc::strong_count(list) > 1 || !list.read().is_blank());
        }
        held
    }

    fn forget_pins(&self, generation: u32, held: &Held) {
        let now = self.clock.now();
        let mut left = 0;
        let mut forgotten = 0;
        for shard in self.pins.shards() {
            let mut pins = shard.write();
            let before = pins.len();
            pins.retain(|pin, known| match known {
                Known::Shown(record) => record.generation == generation || held.contains(pin),
                Known::Retracted(then) => now.since(*then) < RETRACTED_MS,
            });
            left += pins.len();
            forgotten += before - pins.len();
        }
        self.pin_count.store(left, Ordering::Relaxed);
        self.sweep_at.store((left * 2).max(SWEEP_PINS_MIN), Ordering::Relaxed);
        metrics::counter!(names::SWEPT_PINS_TOTAL).increment(forgotten as u64);
        // People without any edge left behind by forgotten ones.
        for shard in self.nodes.shards() {
            shard.write().retain(|_, node| !node.is_empty());
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let mut stats = Stats { users: self.nodes.len() as u64, boards: self.boards.len() as u64, ..Stats::default() };
        for shard in self.nodes.shards() {
            for node in shard.read().values() {
                let plain = node.left_out.len() + node.blocks.len() + node.mutes.len();
                stats.edges += (node.users.len() + node.boards.len() + node.topics.len() + plain) as u64;
            }
        }
        for shard in self.slots.shards() {
            for slot in shard.read().values() {
                stats.feeds += u64::from(slot.state == State::Ready);
                stats.entries += slot.list.len() as u64;
            }
        }
        stats.entries += self.everything.read().len() as u64;
        for shard in self.topics.shards() {
            stats.entries += shard.read().values().map(|topic| topic.list.read().len() as u64).sum::<u64>();
        }
        for shard in self.domains.shards() {
            stats.entries += shard.read().values().map(|list| list.read().len() as u64).sum::<u64>();
        }
        let merged = self.merged.read();
        let own = merged.iter().filter(|(target, _)| !matches!(target, Target::Topic(_)));
        stats.entries += own.map(|(_, list)| list.read().len() as u64).sum::<u64>();
        drop(merged);
        stats.pins = self.pins.len() as u64;
        // An edge stands at both ends, mostly with a place in a map; a pin has a record, its key and some topics.
        let bytes = stats.users * size_of::<(UserId, Node)>() as u64
            + stats.edges * 64
            + stats.entries * 16
            + stats.pins * (size_of::<(PinId, Record)>() as u64 + 24)
            + stats.boards * 160;
        stats.bytes_estimate = bytes;
        stats
    }
}
