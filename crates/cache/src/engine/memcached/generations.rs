//! The generations of all nodes, kept on all nodes, and how processes agree on them.
//!
//! ```text
//! PREFIX:generation:LABEL ─▶ milliseconds since 1970 at which it was raised     no end; the highest one counts
//! ```
//! A process reads all of them before it puts a node in, and every second. Where a node knows less, it is told. A process asks nothing of a
//! node, and fills nothing in, before the node holds its own newest generation; and who writes looks, behind the write, whether it was made in
//! the one that the node holds. So nobody can fill in what a writer puts out of date in an older generation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use runtime::Pipelined;

use super::node::Node;
use super::protocol::{Reply, framed};
use super::{Shared, now_ms, untold};
use crate::error::Result;
use crate::metrics as names;

/// Rounds in which another process may be faster at telling a node.
const ROUNDS_MAX: usize = 4;

impl Shared {
    /// Looks at every node: reads generations, and connects where there is no connection.
    pub(super) async fn probe_all(&self) {
        let missed: Vec<usize> =
            (0..self.nodes.len()).filter(|place| self.nodes[*place].has_missed.swap(false, Ordering::AcqRel)).collect();
        for place in &missed {
            self.nodes[*place].raise(now_ms());
        }
        join_all((0..self.nodes.len()).map(|place| self.probe(place))).await;
        metrics::gauge!(names::NODES_IN).set(self.nodes.iter().filter(|node| node.is_in()).count() as f64);
    }

    async fn probe(&self, place: usize) {
        let node = &self.nodes[place];
        if let Some(connection) = node.connection() {
            self.agree(place, &connection).await;
            if node.is_in() {
                return;
            }
        }
        if !node.is_rested() {
            return;
        }
        match Pipelined::open(&node.address, self.limits.call, framed).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                match self.agree(place, &connection).await {
                    true => node.enter(connection),
                    false => node.refuse("it does not tell its generation"),
                }
            }
            Err(why) => node.refuse(&why),
        }
    }

    /// Raises the generations of nodes, and tells all nodes that can be reached. Fails when there is none.
    pub(super) async fn raise(&self, places: &[usize]) -> Result<()> {
        for place in places {
            self.nodes[*place].raise(now_ms());
        }
        if self.agree_with_all().await { Ok(()) } else { Err(untold()) }
    }

    pub(super) fn generation_name(&self, node: &Node) -> String {
        format!("{}:generation:{}", self.prefix, node.label)
    }

    /// Reads what all nodes know of all generations, and tells each what it does not know. Tells whether that was possible with one.
    pub(super) async fn agree_with_all(&self) -> bool {
        let agree = |place: usize| async move {
            match self.nodes[place].connection() {
                Some(connection) => self.agree(place, &connection).await,
                None => false,
            }
        };
        join_all((0..self.nodes.len()).map(agree)).await.contains(&true)
    }

    /// Reads what a node knows of all generations, and tells it what it does not know. Tells whether that was possible.
    async fn agree(&self, place: usize, connection: &Pipelined) -> bool {
        let node = &self.nodes[place];
        // Once more when another process was faster.
        for _ in 0..ROUNDS_MAX {
            let gets: String = self.nodes.iter().map(|node| format!("mg {} c v\r\n", self.generation_name(node))).collect();
            let Some((replies, _)) = node.call_by(connection, gets.into_bytes(), self.nodes.len(), self.limits.call).await else {
                return false;
            };
            let mut commands = String::new();
            let mut raised = Vec::new();
            for (index, reply) in replies.into_iter().enumerate() {
                let (other, known) = (&self.nodes[index], read(&reply));
                let newest = match index == place {
                    true => node.holds(known),
                    false => other.generation.fetch_max(known, Ordering::AcqRel).max(known),
                };
                let raise = match newest {
                    // Nobody has heard of this node. It gets its first generation from whoever comes first.
                    0 if index == place => now_ms(),
                    newest if newest > known => newest,
                    _ => continue,
                };
                let condition = if let Reply::Item(item) = &reply { format!("C{}", item.token) } else { "ME".to_owned() };
                commands.push_str(&format!("ms {} {} {condition}\r\n{raise}\r\n", self.generation_name(other), raise.to_string().len()));
                raised.push((index, raise));
            }
            if raised.is_empty() {
                return true;
            }
            let Some((replies, _)) = node.call_by(connection, commands.into_bytes(), raised.len(), self.limits.call).await else {
                return false;
            };
            let mut is_done = true;
            for ((index, generation), reply) in raised.into_iter().zip(replies) {
                match reply {
                    Reply::Done if index == place => _ = node.holds(generation),
                    Reply::Done => {}
                    _ => is_done = false,
                }
            }
            if is_done {
                return true;
            }
        }
        false
    }
}

/// Reads what a node says of a generation; 0 if it knows none.
pub(super) fn read(reply: &Reply) -> u64 {
    match reply {
        Reply::Item(item) => std::str::from_utf8(&item.data).ok().and_then(|text| text.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}
