//! Invalidations: to the home and the spare of each key, or else the generation of what could not be reached is raised.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use model::Id;

use super::protocol::{Item, Reply, flags_of};
use super::{Shared, untold};
use crate::engine::Key;
use crate::error::Result;
use crate::limits::FLOOR_MS;

/// Ids that are invalidated at once.
pub(super) const PART: usize = 256;
/// Rounds in which somebody else may change an item between our look and our compare and swap; then it is replaced without one.
const ROUNDS_MAX: usize = 4;
/// Times that a node is asked: the second failure in a row puts it out.
const TRIES_MAX: usize = 3;

/// One key to be put out of date on a node.
#[derive(Clone)]
struct Order {
    key: Key,
    version: u64,
}

impl Shared {
    pub(super) async fn invalidate(&self, ids: &[(Id, u64)]) -> Result<()> {
        let orders: Vec<Order> = ids.iter().map(|(id, version)| Order { key: Key::Object(*id), version: *version }).collect();
        self.everywhere(&orders).await
    }

    /// Deletes a value: its lease goes with it.
    pub(super) async fn forget(&self, key: &Key) -> Result<()> {
        self.everywhere(&[Order { key: key.clone(), version: 0 }]).await
    }

    /// Delivers orders to both places of their keys. What can't be reached is no longer believed.
    async fn everywhere(&self, orders: &[Order]) -> Result<()> {
        let mut groups: Vec<Vec<Order>> = vec![Vec::new(); self.nodes.len()];
        for order in orders {
            let (home, spare) = self.places(&order.key);
            for place in [Some(home), spare].into_iter().flatten() {
                groups[place].push(order.clone());
            }
        }
        let deliver = |(place, orders): (usize, Vec<Order>)| async move {
            for _ in 0..TRIES_MAX {
                if orders.is_empty() || self.deliver(place, orders.clone()).await {
                    return None;
                }
                if !self.nodes[place].is_in() {
                    break;
                }
            }
            Some(place)
        };
        let missed: Vec<usize> = join_all(groups.into_iter().enumerate().map(deliver)).await.into_iter().flatten().collect();
        if missed.is_empty() {
            return Ok(());
        }
        self.missed(&missed).await
    }

    /// Raises generations: at once for a node that has newly missed something, else at the keeper's next round, so that a node that is down
    /// for long does not cost every write a round trip to all others.
    async fn missed(&self, places: &[usize]) -> Result<()> {
        let fresh: Vec<usize> =
            places.iter().copied().filter(|place| !self.nodes[*place].has_missed.swap(true, Ordering::AcqRel)).collect();
        if !fresh.is_empty() {
            return self.raise(&fresh).await;
        }
        if self.nodes.iter().any(super::Node::is_in) { Ok(()) } else { Err(untold()) }
    }

    /// Brings orders to one node; `false` when it did not answer.
    async fn deliver(&self, place: usize, mut orders: Vec<Order>) -> bool {
        for round in 0..ROUNDS_MAX {
            let is_last = round + 1 == ROUNDS_MAX;
            let named: Vec<(String, Order)> = orders.into_iter().filter_map(|order| Some((self.name(place, &order.key)?, order))).collect();
            let looks: String = named.iter().map(|(name, _)| format!("mg {name} f c v\r\n")).collect();
            let Some((replies, _)) = self.call(place, looks.into_bytes(), named.len()).await else { return false };
            let mut commands = String::new();
            let mut sent: Vec<Order> = Vec::new();
            for ((name, order), reply) in named.into_iter().zip(replies) {
                if let Some(command) = replacing(&name, &order, &reply, is_last) {
                    commands.push_str(&command);
                    sent.push(order);
                }
            }
            if sent.is_empty() {
                return true;
            }
            let count = sent.len() * 2;
            let Some((replies, _)) = self.call(place, commands.into_bytes(), count).await else { return false };
            let is_lost = |replies: &[Reply]| matches!(replies.first(), Some(Reply::Conflict | Reply::Missing | Reply::Refused(_)));
            let lost =
                sent.into_iter().zip(replies.chunks(2)).filter(|(order, replies)| matches!(order.key, Key::Object(_)) && is_lost(replies));
            orders = lost.map(|(order, _)| order).collect();
            if orders.is_empty() {
                return true;
            }
        }
        // It answers and does not do it: out of memory, say.
        false
    }
}

/// Two commands that put one item out of date; none when it is new enough.
fn replacing(name: &str, order: &Order, reply: &Reply, is_last: bool) -> Option<String> {
    if matches!(order.key, Key::Value(_)) {
        return Some(format!("md {name}\r\nmn\r\n"));
    }
    let flags = flags_of(order.version);
    let seconds = FLOOR_MS / 1_000;
    let (condition, floor) = match reply {
        Reply::Item(Item { data, flags: held, .. }) if !data.is_empty() && *held >= flags => return None,
        _ if is_last => (String::new(), flags),
        Reply::Item(Item { data, flags: held, token, .. }) => {
            (format!(" C{token}"), if data.is_empty() { flags.max(*held) } else { flags })
        }
        _ => (" ME".to_owned(), flags),
    };
    // Stale from the start: so the first who asks is told to refill, and who comes meanwhile that somebody does.
    Some(format!("ms {name} 0{condition} F{floor} T{seconds}\r\n\r\nmd {name} I T{seconds}\r\n"))
}
