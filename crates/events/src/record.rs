//! What readers of the log get.

use model::{Event, Timestamp, Topic};

/// An event at its place in a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The place: 1 for the first event of the topic. Only ever grows.
    pub offset: i64,
    pub event: Event,
}

/// How far a consumer group has come in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    pub group: String,
    pub topic: Topic,
    /// The last offset that the group has done; 0 before the first.
    pub committed: i64,
    /// The last offset of the topic.
    pub end: i64,
    /// When the group last committed, or when it first came.
    pub committed_at: Timestamp,
}

impl GroupLag {
    /// Counts the records that the group has not done.
    pub fn records(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

/// What a topic holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicStats {
    pub topic: Topic,
    /// The first offset still kept; one behind `end` when nothing is kept.
    pub start: i64,
    /// The last offset handed out; 0 before the first.
    pub end: i64,
}

impl TopicStats {
    /// Counts the records kept.
    pub fn records(&self) -> i64 {
        self.end - self.start + 1
    }
}
