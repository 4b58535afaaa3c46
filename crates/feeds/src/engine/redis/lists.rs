//! Reading lists whose entries stand in the order of arrival, as if they stood in the order of their time.
//!
//! ```text
//! arrived   9 8 5 7 6 | 4 3 …     what is deeper than the line is newer than anything above it by `DISORDER_MS` at most:
//! settled   9 8                    so what is newer than the oldest read so far by more than that is in its place
//! ```

use model::Timestamp;

use super::RedisEngine;
use super::codec::{self, Tail};
use super::command::Batch;
use super::keys::Key;
use super::resp::Value;
use super::script::PAGE;
use crate::error::Result;
use crate::facts::Position;

/// A pin older than that when it is published is not pushed but put where it belongs.
pub(super) const LATE_MS: i64 = 5 * Timestamp::SECOND;
/// By how much an entry may be newer than one that stands above it: the lateness, differing clocks, and time on the way.
pub(super) const DISORDER_MS: i64 = LATE_MS + 15 * Timestamp::SECOND;
/// Entries read at once at most.
pub(super) const CHUNK_MAX: usize = 500;
/// How much more is read in each further round: where very much came within `DISORDER_MS`, rounds cost more than entries.
const CHUNK_GROWTH: usize = 4;

/// One list and how much of it was read.
struct Reading {
    key: Key,
    next: usize,
    chunk: usize,
    floor: Option<Position>,
    newest: i64,
    oldest: i64,
    is_done: bool,
}

/// Several lists, read as one: newest first, each position once.
pub(super) struct Merge {
    readings: Vec<Reading>,
    before: Option<Position>,
    /// Positions that were read and not taken, the newest last. What was read last is sorted in when something is taken.
    waiting: Vec<Position>,
    is_sorted: bool,
    /// The last one taken; what was pushed above it meanwhile is for another page.
    taken: Option<Position>,
}

impl Merge {
    pub(super) fn new(before: Option<Position>) -> Merge {
        Merge { readings: Vec::new(), before, waiting: Vec::new(), is_sorted: true, taken: None }
    }

    /// Down to here no list lacks anything.
    pub(super) fn floor(&self) -> Option<Position> {
        self.readings.iter().filter_map(|reading| reading.floor).max()
    }

    /// Returns from where storage goes on: the end of memory, or what was asked for when that is older still.
    pub(super) fn end_of_memory(&self) -> Option<Position> {
        self.floor().map(|floor| self.before.map_or(floor, |before| before.min(floor)))
    }

    /// Estimates how many entries of the first list had to be read for what was taken: whoever reads it again reads as many at once.
    pub(super) fn depth(&self) -> usize {
        let (Some(reading), Some(taken)) = (self.readings.first(), self.taken) else { return 0 };
        let whole = reading.newest.saturating_sub(reading.oldest).max(1);
        let part = reading.newest.saturating_sub(taken.0.0.saturating_sub(DISORDER_MS)).clamp(0, whole);
        let depth = reading.next as f64 * part as f64 / whole as f64;
        depth as usize
    }

    /// Takes what has its place, newest first, `max` at most.
    pub(super) fn take(&mut self, max: usize) -> Vec<Position> {
        let unread =
            self.readings.iter().filter(|reading| !reading.is_done).map(|reading| reading.oldest.saturating_add(DISORDER_MS)).max();
        let floor = self.floor();
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.waiting.sort_unstable();
            self.waiting.dedup();
        }
        let mut taken = Vec::with_capacity(max.min(self.waiting.len()));
        while taken.len() < max {
            let Some(newest) = self.waiting.last().copied() else { break };
            if unread.is_some_and(|unread| newest.0.0 <= unread) {
                break;
            }
            self.waiting.pop();
            if floor.is_none_or(|floor| newest >= floor) {
                taken.push(newest);
                self.taken = Some(newest);
            }
        }
        taken
    }

    pub(super) fn is_done(&self) -> bool {
        self.readings.iter().all(|reading| reading.is_done)
    }

    fn add(&mut self, entries: &[Value], index: usize) {
        let reading = &mut self.readings[index];
        reading.is_done = entries.len() < reading.chunk;
        reading.next += entries.len();
        reading.chunk = (reading.chunk * CHUNK_GROWTH).min(CHUNK_MAX);
        // They came newest first, nearly: so they are nearly sorted as they lie.
        self.waiting.reserve(entries.len());
        for value in entries.iter().rev() {
            let Some(bytes) = value.bytes().filter(|bytes| bytes.len() == codec::ENTRY_BYTES) else {
                // What stands last.
                reading.is_done = true;
                continue;
            };
            let Some(position) = codec::position(bytes) else { continue };
            reading.newest = reading.newest.max(position.0.0);
            reading.oldest = reading.oldest.min(position.0.0);
            if self.taken.or(self.before).is_none_or(|end| position < end) {
                self.waiting.push(position);
                self.is_sorted = false;
            }
        }
    }

    /// Asks for a list's first entries that can belong before `before`, and for what stands last in it.
    pub(super) fn begin(&self, batch: &mut Batch, key: &Key, chunk: usize) {
        match self.before {
            None => {
                batch.plain("LINDEX", key, |cmd| cmd.arg(-1));
                batch.plain("LRANGE", key, |cmd| cmd.arg(0).arg(chunk - 1));
            }
            Some((at, _)) => {
                let (bound, chunk) = (at.0.saturating_add(DISORDER_MS).to_string(), chunk.to_string());
                batch.script(&PAGE, std::slice::from_ref(key), &[bound.as_bytes(), chunk.as_bytes()]);
            }
        }
    }

    /// Takes the answers to [`Merge::begin`] off the front. Returns what stands last in the list, if it is there.
    pub(super) fn begun(&mut self, answers: &mut std::slice::Iter<'_, Value>, key: Key, chunk: usize) -> Option<Tail> {
        let nothing = &Value::Nil;
        let (start, tail, entries) = match self.before {
            None => (0, answers.next().unwrap_or(nothing), answers.next().unwrap_or(nothing).list()),
            Some(_) => {
                let list = answers.next().unwrap_or(nothing).list();
                (list.first().map_or(0, Value::int) as usize, list.get(1).unwrap_or(nothing), list.get(2..).unwrap_or_default())
            }
        };
        let tail = tail.bytes().and_then(Tail::parse);
        let floor = tail.and_then(|tail| tail.floor);
        self.readings.push(Reading { key, next: start, chunk, floor, newest: i64::MIN, oldest: i64::MAX, is_done: false });
        self.add(entries, self.readings.len() - 1);
        tail
    }
}

impl RedisEngine {
    /// Reads on in the lists that hold up the others. `Ok(false)`: a list has vanished meanwhile, so that nobody knows its end.
    pub(super) async fn read_on(&self, merge: &mut Merge) -> Result<bool> {
        let unread: Vec<usize> = (0..merge.readings.len()).filter(|index| !merge.readings[*index].is_done).collect();
        let mut batch = Batch::new();
        for index in &unread {
            let Reading { key, next, chunk, .. } = &merge.readings[*index];
            batch.plain("LRANGE", key, |cmd| cmd.arg(*next).arg(next + chunk - 1));
            batch.plain("LINDEX", key, |cmd| cmd.arg(-1));
        }
        let answers = self.client.read(batch).await?;
        for (index, answer) in unread.into_iter().zip(answers.chunks_exact(2)) {
            let Some(last) = answer[1].bytes() else { return Ok(false) };
            let floor = Tail::parse(last).and_then(|tail| tail.floor);
            // It may have been cut meanwhile.
            merge.readings[index].floor = merge.readings[index].floor.max(floor);
            merge.add(answer[0].list(), index);
        }
        Ok(true)
    }
}
