//! Snapshots: the whole memory in one file, so that a restart need not rebuild from storage.
//!
//! ```text
//! "CORKFEED" | format u32 | log offset i64 | people | boards | merged | feeds | public lists | pins | checksum u64
//! ```
//!
//! Little endian; ids and instants in 8 bytes, counts in 4. The checksum is FNV-1a over all before it. Only one end of each edge is
//! written; the other is rebuilt. Each part is read shard by shard while changes go on. **The order of the parts matters**: the
//! log is replayed from the offset, and a change must find the graph as old as the feeds or older, or it would not know that
//! it has to drop a feed; and pins come last, so that every entry finds its record.
//!
//! Written to a temporary file, flushed to disk, then renamed: whatever dies meanwhile, a whole snapshot is there.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::{BoardId, Id, PinId, Timestamp, TopicId, UserId};
use parking_lot::RwLock;

use super::edges::EdgeList;
use super::graph::{Node, share};
use super::home::{Slot, State};
use super::list::List;
use super::pins::{Known, Record};
use super::{Memory, SharedList};
use crate::error::{Error, Result};
use crate::facts::{BoardFacts, Position, Target};
use crate::metrics as names;

const MAGIC: &[u8; 8] = b"CORKFEED";
/// Counts the changes of this layout. A snapshot of another format is not read: the feeds are rebuilt.
const FORMAT: u32 = 1;
const CHECKSUM_BYTES: usize = 8;

const BOARD_IS_KNOWN: u8 = 1;
const BOARD_IS_LISTED: u8 = 2;
const BOARD_IS_PINNED: u8 = 4;

fn checksum(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const CHECKSUM_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Writes through a buffer, so that no lock is held while the disk works.
struct Writer {
    file: File,
    buffer: Vec<u8>,
    checksum: u64,
    bytes: u64,
}

impl Writer {
    fn flush(&mut self) -> std::io::Result<()> {
        self.checksum = checksum(self.checksum, &self.buffer);
        self.bytes += self.buffer.len() as u64;
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn u8(&mut self, number: u8) {
        self.buffer.push(number);
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("no table in memory has four thousand million rows in one shard");
        self.buffer.extend_from_slice(&count.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn id(&mut self, id: impl Into<Id>) {
        self.u64(id.into().as_u64());
    }

    fn at(&mut self, at: Timestamp) {
        self.u64(at.0 as u64);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.buffer.extend_from_slice(text.as_bytes());
    }

    fn edges<K: Copy + Ord + std::hash::Hash + Into<Id>>(&mut self, edges: &EdgeList<K>) {
        self.count(edges.len());
        for (at, key) in edges.as_slice() {
            self.at(*at);
            self.id(*key);
        }
    }

    fn list(&mut self, list: &List) {
        self.u8(u8::from(list.floor().is_some()));
        if let Some((at, pin)) = list.floor() {
            self.at(at);
            self.id(pin);
        }
        self.count(list.len());
        for (at, pin) in list.entries() {
            self.at(*at);
            self.id(*pin);
        }
    }
}

/// Reads what `Writer` wrote. Believes no count that the bytes left can't hold.
struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, left)) = self.left.split_at_checked(count) else {
            return Err(Error::Corrupt("it ends in the middle".to_owned()));
        };
        self.left = left;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(self.u64()? as i64)
    }

    fn at(&mut self) -> Result<Timestamp> {
        Ok(Timestamp(self.i64()?))
    }

    fn any_id(&mut self) -> Result<Id> {
        Id::from_u64(self.u64()?).map_err(|error| Error::Corrupt(error.to_string()))
    }

    fn id<K: TryFrom<Id, Error = model::IdError>>(&mut self) -> Result<K> {
        K::try_from(self.any_id()?).map_err(|error| Error::Corrupt(error.to_string()))
    }

    /// Reads a count of things that take `bytes_min` each.
    fn count(&mut self, bytes_min: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count > self.left.len() / bytes_min {
            return Err(Error::Corrupt("it counts more than it holds".to_owned()));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<&'a str> {
        let count = self.count(1)?;
        std::str::from_utf8(self.take(count)?).map_err(|_| Error::Corrupt("a text in it is no UTF-8".to_owned()))
    }

    fn edges<K>(&mut self) -> Result<EdgeList<K>>
    where
        K: Copy + Ord + std::hash::Hash + Into<Id> + TryFrom<Id, Error = model::IdError>,
    {
        let mut edges = EdgeList::default();
        for _ in 0..self.count(16)? {
            let at = self.at()?;
            edges.set(self.id()?, at);
        }
        Ok(edges)
    }

    fn position(&mut self) -> Result<Position> {
        Ok((self.at()?, self.id()?))
    }

    fn list(&mut self) -> Result<List> {
        let floor = if self.u8()? == 0 { None } else { Some(self.position()?) };
        let count = self.count(16)?;
        let entries = (0..count).map(|_| self.position()).collect::<Result<Vec<_>>>()?;
        List::from_parts(entries, floor).ok_or_else(|| Error::Corrupt("a list in it is out of order".to_owned()))
    }
}

impl Memory {
    /// Writes the snapshot, if this engine has a place for one.
    pub(super) fn save(&self, offset: i64) -> Result<()> {
        let Some(path) = &self.snapshot else { return Ok(()) };
        let _one = self.sweeping.lock();
        let bytes = self.write_snapshot(path, offset).map_err(|error| {
            Error::Unavailable(format!("the snapshot {} can't be written: {error}; check the disk's space and rights", path.display()))
        })?;
        metrics::gauge!(names::SNAPSHOT_BYTES).set(bytes as f64);
        Ok(())
    }

    fn write_snapshot(&self, path: &Path, offset: i64) -> std::io::Result<u64> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let mut out = Writer { file: File::create(&temporary)?, buffer: Vec::new(), checksum: CHECKSUM_START, bytes: 0 };
        out.buffer.extend_from_slice(MAGIC);
        out.buffer.extend_from_slice(&FORMAT.to_le_bytes());
        out.u64(offset as u64);
        self.write_graph(&mut out)?;
        self.write_lists(&mut out)?;
        self.write_pins(&mut out)?;
        let sum = out.checksum;
        out.file.write_all(&sum.to_le_bytes())?;
        out.file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()?;
        Ok(out.bytes + CHECKSUM_BYTES as u64)
    }

    fn write_graph(&self, out: &mut Writer) -> std::io::Result<()> {
        for shard in self.nodes.shards() {
            let nodes = shard.read();
            out.count(nodes.len());
            for (user, node) in nodes.iter() {
                out.id(*user);
                out.edges(&node.users);
                out.edges(&node.boards);
                out.edges(&node.topics);
                out.edges(&node.left_out);
                out.edges(&node.blocks);
                out.edges(&node.mutes);
            }
            drop(nodes);
            out.flush()?;
        }
        for shard in self.boards.shards() {
            let boards = shard.read();
            out.count(boards.len());
            for (id, board) in boards.iter() {
                out.id(*id);
                let is_listed = board.facts.is_some_and(|facts| facts.listed);
                let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
                let known = flag(board.facts.is_some(), BOARD_IS_KNOWN);
                out.u8(known | flag(is_listed, BOARD_IS_LISTED) | flag(board.pinned, BOARD_IS_PINNED));
                out.u64(board.facts.map_or(0, |facts| facts.owner.as_u64()));
            }
            drop(boards);
            out.flush()?;
        }
        Ok(())
    }

    fn write_lists(&self, out: &mut Writer) -> std::io::Result<()> {
        let merged: Vec<(Target, SharedList)> = self.merged.read().iter().map(|(target, list)| (*target, list.clone())).collect();
        out.count(merged.len());
        for (target, list) in merged {
            out.id(target.id());
            // A topic's list follows with the public ones.
            match target {
                Target::Topic(_) => out.list(&List::default()),
                Target::User(_) | Target::Board(_) => out.list(&list.read()),
            }
            out.flush()?;
        }
        for shard in self.slots.shards() {
            let slots = shard.read();
            let ready = || slots.iter().filter(|(_, slot)| slot.state == State::Ready);
            out.count(ready().count());
            for (user, slot) in ready() {
                out.id(*user);
                out.u64(slot.read_at.load(Ordering::Relaxed) as u64);
                out.list(&slot.list);
            }
            drop(slots);
            out.flush()?;
        }
        out.list(&self.everything.read());
        for shard in self.topics.shards() {
            let topics = shard.read();
            out.count(topics.len());
            for (id, topic) in topics.iter() {
                out.id(*id);
                out.list(&topic.list.read());
            }
            drop(topics);
            out.flush()?;
        }
        for shard in self.domains.shards() {
            let domains = shard.read();
            out.count(domains.len());
            for (domain, list) in domains.iter() {
                out.text(domain);
                out.list(&list.read());
            }
            drop(domains);
            out.flush()?;
        }
        Ok(())
    }

    fn write_pins(&self, out: &mut Writer) -> std::io::Result<()> {
        for shard in self.pins.shards() {
            let pins = shard.read();
            let shown = || pins.iter().filter_map(|(pin, known)| if let Known::Shown(record) = known { Some((pin, record)) } else { None });
            out.count(shown().count());
            for (pin, record) in shown() {
                out.id(*pin);
                out.at(record.at);
                out.id(record.owner);
                out.id(record.board);
                out.text(record.domain.as_deref().unwrap_or(""));
                out.count(record.topics.len());
                record.topics.iter().for_each(|topic| out.id(*topic));
            }
            drop(pins);
            out.flush()?;
        }
        Ok(())
    }

    /// Reads the snapshot into this empty memory; returns its offset, or `None` when there is none. After an error what was
    /// read so far must be thrown away.
    pub(super) fn restore(&mut self, path: &Path) -> Result<Option<i64>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::Unavailable(format!("the snapshot can't be read: {error}"))),
        };
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| Error::Corrupt("it is too short".to_owned()))?;
        let (body, sum) = bytes.split_at(body);
        let mut input = Reader { left: body };
        if input.take(MAGIC.len())? != MAGIC {
            return Err(Error::Corrupt("it is no snapshot of feeds".to_owned()));
        }
        let format = input.u32()?;
        if format != FORMAT {
            return Err(Error::Corrupt(format!("it has format {format}; this version reads format {FORMAT}")));
        }
        if checksum(CHECKSUM_START, body).to_le_bytes() != sum {
            return Err(Error::Corrupt("its checksum is wrong: it was cut or changed".to_owned()));
        }
        let offset = input.i64()?;
        self.read_graph(&mut input)?;
        self.read_lists(&mut input)?;
        self.read_pins(&mut input)?;
        if !input.left.is_empty() {
            return Err(Error::Corrupt("it goes on behind its end".to_owned()));
        }
        Ok(Some(offset))
    }

    fn read_graph(&self, input: &mut Reader<'_>) -> Result<()> {
        for _ in self.nodes.shards() {
            for _ in 0..input.count(8)? {
                let user: UserId = input.id()?;
                let node = Node {
                    users: input.edges()?,
                    boards: input.edges()?,
                    topics: input.edges()?,
                    left_out: input.edges()?,
                    blocks: input.edges()?,
                    mutes: input.edges()?,
                    ..Node::default()
                };
                self.restore_other_ends(user, &node);
                let mut nodes = self.nodes.write(&user);
                let known = nodes.entry(user).or_default();
                *known =
                    Node { followers: std::mem::take(&mut known.followers), blocked_by: std::mem::take(&mut known.blocked_by), ..node };
            }
        }
        for _ in self.boards.shards() {
            for _ in 0..input.count(17)? {
                let id: BoardId = input.id()?;
                let flags = input.u8()?;
                let owner = input.u64()?;
                let facts = if flags & BOARD_IS_KNOWN != 0 {
                    let owner = Id::from_u64(owner).and_then(UserId::try_from).map_err(|error| Error::Corrupt(error.to_string()))?;
                    Some(BoardFacts { owner, listed: flags & BOARD_IS_LISTED != 0 })
                } else {
                    None
                };
                let mut boards = self.boards.write(&id);
                let board = boards.entry(id).or_default();
                board.facts = facts;
                board.pinned = flags & BOARD_IS_PINNED != 0;
            }
        }
        Ok(())
    }

    fn restore_other_ends(&self, user: UserId, node: &Node) {
        for (at, other) in node.users.as_slice() {
            self.nodes.write(other).entry(*other).or_default().followers.set(user, *at);
        }
        for other in node.blocks.keys() {
            self.nodes.write(&other).entry(other).or_default().blocked_by.set(user, Timestamp(0));
        }
        for (at, board) in node.boards.as_slice() {
            self.boards.write(board).entry(*board).or_default().followers.set(user, *at);
        }
        for board in node.left_out.keys() {
            self.boards.write(&board).entry(board).or_default().left_out_by.set(user, Timestamp(0));
        }
        for (at, topic) in node.topics.as_slice() {
            self.topics.write(topic).entry(*topic).or_default().followers.set(user, *at);
        }
    }

    fn read_lists(&mut self, input: &mut Reader<'_>) -> Result<()> {
        let mut merged_topics = Vec::new();
        for _ in 0..input.count(13)? {
            let id = input.any_id()?;
            let list = input.list()?;
            match id.kind() {
                model::Kind::User => self.add_merged(Target::User(UserId::try_from(id).expect("a user's id")), share(list)),
                model::Kind::Board => self.add_merged(Target::Board(BoardId::try_from(id).expect("a board's id")), share(list)),
                model::Kind::Topic => merged_topics.push(TopicId::try_from(id).expect("a topic's id")),
                kind => return Err(Error::Corrupt(format!("a {kind:?} can't be followed"))),
            }
        }
        let mut home_entries = 0;
        for _ in self.slots.shards() {
            for _ in 0..input.count(21)? {
                let user: UserId = input.id()?;
                let read_at = input.i64()?;
                let list = input.list()?;
                home_entries += list.len();
                self.slots.write(&user).insert(user, Slot::ready(list, read_at));
            }
        }
        self.home_entry_count.store(home_entries, Ordering::Relaxed);
        self.everything = RwLock::new(input.list()?);
        for _ in self.topics.shards() {
            for _ in 0..input.count(13)? {
                let id: TopicId = input.id()?;
                self.topics.write(&id).entry(id).or_default().list = share(input.list()?);
            }
        }
        for topic in merged_topics {
            let list = self.topics.write(&topic).entry(topic).or_default().list.clone();
            self.add_merged(Target::Topic(topic), list);
        }
        for _ in self.domains.shards() {
            for _ in 0..input.count(9)? {
                let domain = input.text()?;
                let list = share(input.list()?);
                self.domains.write(domain).insert(domain.into(), list);
            }
        }
        Ok(())
    }

    fn read_pins(&self, input: &mut Reader<'_>) -> Result<()> {
        let mut pins = 0;
        for _ in self.pins.shards() {
            for _ in 0..input.count(40)? {
                let pin: PinId = input.id()?;
                let at = input.at()?;
                let owner = input.id()?;
                let board = input.id()?;
                let domain = input.text()?;
                let domain = (!domain.is_empty()).then(|| self.domain_name(domain));
                let topics = (0..input.count(8)?).map(|_| input.id()).collect::<Result<Vec<TopicId>>>()?.into_boxed_slice();
                let record = Record { at, owner, board, topics, domain, generation: 0 };
                self.pins.write(&pin).insert(pin, Known::Shown(record));
                pins += 1;
            }
        }
        self.pin_count.store(pins, Ordering::Relaxed);
        Ok(())
    }
}
