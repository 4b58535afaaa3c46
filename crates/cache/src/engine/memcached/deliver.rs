//! Invalidations: to the home and the spare of each key, or else the generation of what could not be reached is raised.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::generations::read;
use super::protocol::{Item, Reply, flags_of};
use super::{Shared, untold};
use crate::engine::{Key, Stale};
use crate::error::Result;
use crate::limits::FLOOR_MS;

/// Keys that are invalidated at once.
pub(super) const PART: usize = 256;
/// Rounds in which somebody else may change an item between our look and our compare and swap; then it is replaced without one.
const ROUNDS_MAX: usize = 4;
/// Times that a node is asked: the second failure in a row puts it out.
const TRIES_MAX: usize = 3;

impl Shared {
    /// Puts keys out of date at both of their places. What can't be reached is no longer believed.
    pub(super) async fn invalidate(&self, stale: &[Stale]) -> Result<()> {
        let mut groups: Vec<Vec<Stale>> = vec![Vec::new(); self.nodes.len()];
        for one in stale {
            let (home, spare) = self.places(&one.key);
            for place in [Some(home), spare].into_iter().flatten() {
                groups[place].push(one.clone());
            }
        }
        let deliver = |(place, stale): (usize, Vec<Stale>)| async move {
            for _ in 0..TRIES_MAX {
                if stale.is_empty() || self.deliver(place, stale.clone()).await {
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

    /// Tells one node, in the generation that it holds; `false` when it did not answer.
    async fn deliver(&self, place: usize, stale: Vec<Stale>) -> bool {
        let node = &self.nodes[place];
        for _ in 0..ROUNDS_MAX {
            let generation = node.generation.load(Ordering::Acquire);
            let Some(held) = self.deliver_in(generation, place, stale.clone()).await else { return false };
            if held == 0 {
                // It was emptied, and what it knew of generations went as well.
                self.agree_with_all().await;
            }
            if node.holds(held) == generation {
                return true;
            }
        }
        false
    }

    /// Tells one node in this generation. Returns the one that the node held after that, 0 if it knew none; `None` when it did not answer.
    async fn deliver_in(&self, generation: u64, place: usize, mut stale: Vec<Stale>) -> Option<u64> {
        let generation_look = format!("mg {} v\r\n", self.generation_name(&self.nodes[place]));
        for round in 0..ROUNDS_MAX {
            let is_last = round + 1 == ROUNDS_MAX;
            let named: Vec<(String, Stale)> = stale.into_iter().filter_map(|one| Some((self.name(generation, &one.key)?, one))).collect();
            let (objects, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, one)| matches!(one.key, Key::Object(_)));
            // Lists and values have no versions to look at: they go, and their leases with them.
            let mut commands: String = others.iter().map(|(name, _)| format!("md {name}\r\n")).collect();
            let deleted = others.len();
            let mut sent: Vec<Stale> = Vec::new();
            if !objects.is_empty() {
                let looks: String = objects.iter().map(|(name, _)| format!("mg {name} f c v\r\n")).collect();
                let (replies, _) = self.call(place, looks.into_bytes(), objects.len()).await?;
                for ((name, one), reply) in objects.into_iter().zip(replies) {
                    if let Some(command) = replacing(&name, one.version, &reply, is_last) {
                        commands.push_str(&command);
                        sent.push(one);
                    }
                }
            }
            commands.push_str(&generation_look);
            let count = deleted + sent.len() * 2 + 1;
            let (mut replies, _) = self.call(place, commands.into_bytes(), count).await?;
            let held = replies.pop().map_or(0, |reply| read(&reply));
            let is_lost = |replies: &[Reply]| matches!(replies.first(), Some(Reply::Conflict | Reply::Missing | Reply::Refused(_)));
            let lost = sent.into_iter().zip(replies[deleted.min(replies.len())..].chunks(2)).filter(|(_, replies)| is_lost(replies));
            stale = lost.map(|(one, _)| one).collect();
            if stale.is_empty() {
                return Some(held);
            }
        }
        // It answers and does not do it: out of memory, say.
        None
    }
}

/// Two commands that put one object out of date; none when it is new enough.
fn replacing(name: &str, version: u64, reply: &Reply, is_last: bool) -> Option<String> {
    let flags = flags_of(version);
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
