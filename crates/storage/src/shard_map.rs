//! The shard map: which server has which shard. Pure; the files, tables and registries that hold one are elsewhere.
//!
//! ```text
//! { "epoch": 7,
//!   "servers": [ { "name": "a", "number": 1, "primary": "10.0.0.1:3306/corkboard", "replicas": ["10.0.0.2:3306/corkboard"] }, … ],
//!   "ranges":  [ { "first": 0, "last": 2047, "server": "a", "epoch": 3 }, … ] }
//! ```
//!
//! The map is a guide, not the law: each server keeps its own list of the shards that it owns, with the epoch at which it got them, and
//! every write is held against that list in its transaction. Whoever goes by an old map is told so, and nothing is written.

use model::{Shard, id::SHARD_COUNT};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Servers that a map may name. Each has 4,096 / 256 = 16 shards then; numbers travel in 12 bits of an outbox position.
pub const SERVERS_MAX: usize = 256;

/// Which server has which shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardMap {
    /// Grows with each change of the map; of two maps the one with the larger epoch holds.
    pub epoch: u64,
    pub servers: Vec<ServerEntry>,
    /// Every shard once, ascending.
    pub ranges: Vec<RangeEntry>,
}

/// One server with its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    pub name: String,
    /// 1 to 4,095; stays with the server for good, and is never given to another one.
    pub number: u16,
    /// `HOST:PORT/DATABASE`.
    pub primary: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
    /// How much the server's disk holds, for `corkboard storage capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
}

/// A contiguous range of shards, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeEntry {
    pub first: u16,
    pub last: u16,
    pub server: String,
    /// The epoch at which the server got these shards.
    pub epoch: u64,
}

impl ShardMap {
    /// Spreads all shards evenly over servers, in their order.
    pub fn even(servers: Vec<ServerEntry>) -> ShardMap {
        let count = servers.len().max(1);
        let bound = |index: usize| (index * usize::from(SHARD_COUNT) / count) as u16;
        let range = |(index, server): (usize, &ServerEntry)| RangeEntry {
            first: bound(index),
            last: bound(index + 1) - 1,
            server: server.name.clone(),
            epoch: 1,
        };
        ShardMap { epoch: 1, ranges: servers.iter().enumerate().map(range).collect(), servers }
    }

    /// Reads a map from JSON and checks it.
    pub fn parse(text: &str) -> Result<ShardMap> {
        let map: ShardMap = serde_json::from_str(text).map_err(|error| Error::Invalid(format!("The shard map can't be read: {error}.")))?;
        map.check()?;
        Ok(map)
    }

    /// Writes the map as JSON, for people to read.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| Error::Invalid(format!("The shard map can't be written: {error}.")))
    }

    /// Refuses a map that names a server twice or not at all, or has a shard on no server or on two.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Invalid(format!("The shard map is wrong: {what}.")));
        if self.servers.is_empty() || self.servers.len() > SERVERS_MAX {
            return wrong(format!("it has {} servers; 1 to {SERVERS_MAX} are possible", self.servers.len()));
        }
        for (index, server) in self.servers.iter().enumerate() {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if server.name.is_empty() || !server.name.chars().all(is_plain) {
                return wrong(format!("'{}' is no name of a server; use letters, digits, - and _", server.name));
            }
            if !(1..=4_095).contains(&server.number) {
                return wrong(format!("server {} has the number {}; 1 to 4095 are possible", server.name, server.number));
            }
            if self.servers[..index].iter().any(|other| other.name == server.name || other.number == server.number) {
                return wrong(format!("the name or number of server {} ({}) stands twice", server.name, server.number));
            }
        }
        let mut next = 0_u32;
        for range in &self.ranges {
            if u32::from(range.first) != next || range.last < range.first {
                return wrong(format!(
                    "after shard {} comes the range {}–{}; every shard must stand once, ascending",
                    next, range.first, range.last
                ));
            }
            if self.server(&range.server).is_none() {
                return wrong(format!("shards {}–{} are on '{}', which is no server of the map", range.first, range.last, range.server));
            }
            if range.epoch > self.epoch {
                return wrong(format!("shards {}–{} have epoch {}, the map {}", range.first, range.last, range.epoch, self.epoch));
            }
            next = u32::from(range.last) + 1;
        }
        if next != u32::from(SHARD_COUNT) {
            return wrong(format!("it ends at shard {next}; there are {SHARD_COUNT}"));
        }
        Ok(())
    }

    pub fn server(&self, name: &str) -> Option<&ServerEntry> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Returns the range that a shard is in. `None` for a shard that does not exist.
    pub fn range_of(&self, shard: Shard) -> Option<&RangeEntry> {
        let index = self.ranges.partition_point(|range| range.last < shard.0);
        self.ranges.get(index).filter(|range| range.first <= shard.0)
    }

    /// Lists the ranges of one server.
    pub fn ranges_of<'a>(&'a self, server: &'a str) -> impl Iterator<Item = &'a RangeEntry> {
        self.ranges.iter().filter(move |range| range.server == server)
    }

    /// Returns the map after a range of shards has gone to a server, with the next epoch.
    pub fn with_moved(&self, first: u16, last: u16, server: &str) -> ShardMap {
        self.with_moved_at(first, last, server, self.epoch + 1)
    }

    /// Returns the map after moves that were decided and that nobody has told: (shard, server that has it now, epoch at which it got it).
    /// `None` when there is no news among them. Whoever has this map and hears of the same moves gets the same map.
    pub fn with_decided(&self, moves: &[(u16, String, u64)]) -> Option<ShardMap> {
        let mut map = self.clone();
        for (shard, server, epoch) in moves {
            if self.server(server).is_some() && self.range_of(Shard(*shard)).is_some_and(|range| range.epoch < *epoch) {
                map = map.with_moved_at(*shard, *shard, server, *epoch);
            }
        }
        // A failover may have used up the epoch of the move meanwhile; two different maps must not have one epoch.
        map.epoch = map.epoch.max(self.epoch + 1);
        (map.ranges != self.ranges).then_some(map)
    }

    /// Does what [`ShardMap::with_moved`] does, with an epoch that is known.
    pub fn with_moved_at(&self, first: u16, last: u16, server: &str, epoch: u64) -> ShardMap {
        let mut ranges = Vec::new();
        for range in &self.ranges {
            if range.last < first || range.first > last {
                ranges.push(range.clone());
                continue;
            }
            if range.first < first {
                ranges.push(RangeEntry { last: first - 1, ..range.clone() });
            }
            if range.first <= first {
                ranges.push(RangeEntry { first, last, server: server.to_owned(), epoch });
            }
            if range.last > last {
                ranges.push(RangeEntry { first: last + 1, ..range.clone() });
            }
        }
        ShardMap { epoch: epoch.max(self.epoch), servers: self.servers.clone(), ranges: joined(ranges) }
    }
}

/// Makes one range of neighbours that are on one server since the same epoch.
fn joined(ranges: Vec<RangeEntry>) -> Vec<RangeEntry> {
    let mut joined: Vec<RangeEntry> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.server == range.server && last.epoch == range.epoch => last.last = range.last,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, number: u16) -> ServerEntry {
        ServerEntry { name: name.to_owned(), number, primary: "127.0.0.1:1/x".to_owned(), replicas: vec![], disk_gib: None }
    }

    fn shown(map: &ShardMap) -> Vec<String> {
        map.ranges.iter().map(|range| format!("{}-{} {} @{}", range.first, range.last, range.server, range.epoch)).collect()
    }

    #[test]
    fn an_even_map_covers_every_shard() {
        let map = ShardMap::even(vec![server("a", 1), server("b", 2), server("c", 3)]);
        map.check().expect("a sound map");
        assert_eq!(shown(&map), ["0-1364 a @1", "1365-2729 b @1", "2730-4095 c @1"]);
        assert_eq!(map.range_of(Shard(1365)).map(|range| range.server.as_str()), Some("b"));
        assert_eq!(map.range_of(Shard(4096)), None);
        assert_eq!(ShardMap::parse(&map.to_json().expect("JSON")), Ok(map));
    }

    #[test]
    fn a_move_cuts_ranges_and_raises_the_epoch() {
        let map = ShardMap::even(vec![server("a", 1), server("b", 2)]).with_moved(100, 199, "b");
        assert_eq!(shown(&map), ["0-99 a @1", "100-199 b @2", "200-2047 a @1", "2048-4095 b @1"]);
        let map = map.with_moved(0, 150, "a");
        assert_eq!(shown(&map), ["0-150 a @3", "151-199 b @2", "200-2047 a @1", "2048-4095 b @1"]);
        let map = map.with_moved(150, 3000, "b");
        assert_eq!(shown(&map), ["0-149 a @3", "150-3000 b @4", "3001-4095 b @1"]);
        assert_eq!(map.check(), Ok(()));
        assert_eq!(shown(&map.with_moved(0, 4095, "a")), ["0-4095 a @5"]);
    }

    #[test]
    fn a_move_that_nobody_told_is_news_until_it_is_in_the_map() {
        let map = ShardMap::even(vec![server("a", 1), server("b", 2)]);
        let decided = [(7, "b".to_owned(), 2), (8, "b".to_owned(), 2), (9, "gone".to_owned(), 2)];
        let told = map.with_decided(&decided).expect("news");
        assert_eq!((told.epoch, shown(&told)), (2, ["0-6 a @1", "7-8 b @2", "9-2047 a @1", "2048-4095 b @1"].map(str::to_owned).to_vec()));
        assert_eq!(told.with_decided(&decided), None);
        // Another change took epoch 2: the map that has both is a third one.
        let other = map.with_moved(4_000, 4_000, "a");
        assert_eq!(other.with_decided(&decided).map(|map| (map.epoch, map.check())), Some((3, Ok(()))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let map = ShardMap::even(vec![server("a", 1), server("b", 2)]);
        type Change = fn(&mut ShardMap);
        let cases: [(&str, Change); 7] = [
            ("ends at shard 2048", |map| drop(map.ranges.pop())),
            ("every shard must stand once", |map| map.ranges[1].first = 2047),
            ("no server of the map", |map| map.ranges[0].server = "x".to_owned()),
            ("stands twice", |map| map.servers[1].number = 1),
            ("no name of a server", |map| map.servers[0].name = "a b".to_owned()),
            ("4095 are possible", |map| map.servers[0].number = 0),
            ("have epoch 9", |map| map.ranges[0].epoch = 9),
        ];
        for (wanted, change) in cases {
            let mut changed = map.clone();
            change(&mut changed);
            let error = changed.check().expect_err("a wrong map");
            assert!(error.to_string().contains(wanted), "{error} should say {wanted}");
        }
    }
}
