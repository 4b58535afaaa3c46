//! The generations of all nodes, kept on all nodes, and how processes agree on them.
//!
//! ```text
//! PREFIX:generation:LABEL ─▶ milliseconds since 1970 at which it was raised     no end; the highest one counts
//! ```
//! A process reads all of them before it puts a node in, and every second. Where a node knows less, it is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::connection::Connection;
use super::node::Node;
use super::protocol::Reply;
use super::{Shared, now_ms, untold};
use crate::error::Result;
use crate::metrics as names;

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
        match Connection::open(&node.address, self.limits.call).await {
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
        let tell = |place: usize| async move {
            match self.nodes[place].connection() {
                Some(connection) => self.agree(place, &connection).await,
                None => false,
            }
        };
        let told = join_all((0..self.nodes.len()).map(tell)).await;
        if told.contains(&true) { Ok(()) } else { Err(untold()) }
    }

    fn generation_name(&self, node: &Node) -> String {
        format!("{}:generation:{}", self.prefix, node.label)
    }

    /// Reads what a node knows of all generations, and tells it what it does not know. Tells whether that was possible.
    async fn agree(&self, place: usize, connection: &Connection) -> bool {
        let node = &self.nodes[place];
        // Once more when another process was faster at giving a new node its first generation.
        for _ in 0..2 {
            let gets: String = self.nodes.iter().map(|node| format!("mg {} v\r\n", self.generation_name(node))).collect();
            let Some((replies, _)) = node.call_by(connection, gets.into_bytes(), self.nodes.len(), self.limits.call).await else {
                return false;
            };
            let mut commands = String::new();
            let mut count = 0;
            let mut is_new = false;
            for (index, reply) in replies.into_iter().enumerate() {
                let (other, known) = (&self.nodes[index], read(&reply));
                let own = other.generation.fetch_max(known, Ordering::AcqRel).max(known);
                let (mode, text) = match own {
                    // Nobody has heard of this node. It gets its first generation from whoever comes first.
                    0 if index == place => ("ME", now_ms().to_string()),
                    0 => continue,
                    own if own > known => ("MS", own.to_string()),
                    _ => continue,
                };
                is_new |= own == 0;
                commands.push_str(&format!("ms {} {} {mode}\r\n{text}\r\n", self.generation_name(other), text.len()));
                count += 1;
            }
            if count > 0 && node.call_by(connection, commands.into_bytes(), count, self.limits.call).await.is_none() {
                return false;
            }
            if !is_new {
                return true;
            }
        }
        node.generation.load(Ordering::Acquire) > 0
    }
}

fn read(reply: &Reply) -> u64 {
    match reply {
        Reply::Item(item) => std::str::from_utf8(&item.data).ok().and_then(|text| text.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}
