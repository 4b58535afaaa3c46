//! A consumer: a group's place in a topic.

use std::time::Duration;

use model::Topic;
use tokio::sync::watch;
use tokio::time::Interval;

use crate::error::{Error, Result};
use crate::events::{Effect, Events, PARTITION, call};
use crate::metrics as names;
use crate::record::Record;

/// Least time between two reads that find less than they asked for: the first record is handed out at once, and under load those
/// behind it gather, so that a consumer's work and its commits are shared among them.
const GATHER: Duration = Duration::from_millis(20);

/// Reads a topic record by record from where its group has committed. One consumer per group and topic at a time: two
/// would both get every record.
#[derive(Debug)]
pub struct Consumer {
    events: Events,
    group: String,
    topic: Topic,
    position: i64,
    written: watch::Receiver<u64>,
    rounds: Interval,
    has_more: bool,
}

impl Consumer {
    pub(crate) fn new(events: Events, group: String, topic: Topic, position: i64) -> Consumer {
        let written = events.watch();
        let rounds = runtime::paced(GATHER);
        Consumer { events, group, topic, position, written, rounds, has_more: false }
    }

    /// Waits for records behind the position, returns up to `limit` of them (at least one) and moves the position behind
    /// the last. Safe to cancel: the position moves only when the records are handed out.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Record>> {
        loop {
            if !self.has_more {
                self.rounds.tick().await;
            }
            // Seen before the read: what is written after the read changes the watch again.
            self.written.borrow_and_update();
            let records = self.events.read(self.topic, self.position, limit.max(1)).await?;
            self.has_more = records.len() >= limit;
            if let Some(last) = records.last() {
                self.position = last.offset;
                metrics::counter!(names::CONSUMED_TOTAL, "group" => self.group.clone(), "topic" => self.topic.as_str())
                    .increment(records.len() as u64);
                return Ok(records);
            }
            if self.written.changed().await.is_err() {
                return Err(Error::Unavailable("the log was closed".to_owned()));
            }
        }
    }

    /// Remembers that everything up to and with `offset` is done: the group goes on behind it after a restart.
    pub async fn commit(&mut self, offset: i64) -> Result<()> {
        if offset < 0 {
            return Err(Error::Invalid(format!("{offset} is no offset; 0 stands before the first record.")));
        }
        let shared = &self.events.shared;
        let now = shared.clock.now();
        call("commit", Effect::Write, shared.engine.commit(&self.group, self.topic, PARTITION, offset, now)).await
    }

    /// Returns the offset behind which `next` goes on.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Goes to an offset: `next` returns what is behind it. Nothing is committed.
    pub fn seek(&mut self, offset: i64) {
        self.position = offset.max(0);
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn topic(&self) -> Topic {
        self.topic
    }
}
