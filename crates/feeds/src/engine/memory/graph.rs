//! The follower graph: who follows, leaves out, blocks and mutes whom, and what boards are.
//!
//! Every edge stands at both of its ends. A person's writer mutex keeps the two ends together, so that two changes of one
//! edge can't cross. A change that lets a person see more drops that person's feed (`widen`) *after* the edge is set: what
//! is built from then on sees it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use model::{BoardId, Id, Timestamp, TopicId, UserId};
use parking_lot::{Mutex, RwLock};

use super::edges::{EdgeList, Set};
use super::sharded::{IdHash, Sharded};
use super::{List, Memory, SharedList, WRITER_COUNT};
use crate::facts::{Away, BoardFacts, Counts, Cursor, EdgePage, Linked, Relation, Standing, Target, TargetKind, page_of_ids};
use crate::limits::{SUGGESTION_FOLLOWS_MAX, SUGGESTION_SOURCES_MAX};

/// Edges without a time of their own stand in the lists with this one.
const NO_TIME: Timestamp = Timestamp(0);

/// One person's edges.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) users: EdgeList<UserId>,
    pub(super) boards: EdgeList<BoardId>,
    pub(super) topics: EdgeList<TopicId>,
    pub(super) left_out: EdgeList<BoardId>,
    pub(super) blocks: EdgeList<UserId>,
    pub(super) blocked_by: EdgeList<UserId>,
    pub(super) mutes: EdgeList<UserId>,
    pub(super) followers: EdgeList<UserId>,
}

impl Node {
    pub(super) fn follows(&self, target: Target) -> bool {
        match target {
            Target::User(user) => self.users.contains(user),
            Target::Board(board) => self.boards.contains(board),
            Target::Topic(topic) => self.topics.contains(topic),
        }
    }

    /// Tells whether nothing of the other may show.
    pub(super) fn hides(&self, other: UserId) -> bool {
        self.relation(other).is_hidden()
    }

    fn relation(&self, other: UserId) -> Relation {
        Relation { blocks: self.blocks.contains(other), blocked_by: self.blocked_by.contains(other), muted: self.mutes.contains(other) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.boards.is_empty()
            && self.topics.is_empty()
            && self.left_out.is_empty()
            && self.blocks.is_empty()
            && self.blocked_by.is_empty()
            && self.mutes.is_empty()
            && self.followers.is_empty()
    }
}

/// One board.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    /// `None` until it is set: its pins show nowhere.
    pub(super) facts: Option<BoardFacts>,
    /// A pin on it was published; until then becoming known changes nobody's feed.
    pub(super) pinned: bool,
    /// Those who follow the board alone.
    pub(super) followers: EdgeList<UserId>,
    pub(super) left_out_by: EdgeList<UserId>,
}

/// One topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Topic {
    pub(super) followers: EdgeList<UserId>,
    /// Its public feed; also what is merged into home feeds when very many follow it.
    pub(super) list: SharedList,
}

/// Sets or removes an edge without a time; tells whether it changed.
fn set_plain<K: Copy + Ord + std::hash::Hash + Into<Id>>(edges: &mut EdgeList<K>, key: K, on: bool) {
    if on {
        edges.set(key, NO_TIME);
    } else {
        edges.remove(key);
    }
}

/// Changes the value under a key; makes one only to set something.
fn change<K: std::hash::Hash + Eq, V: Default>(map: &Sharded<K, V>, key: K, on: bool, work: impl FnOnce(&mut V)) {
    let mut shard = map.write(&key);
    if on {
        work(shard.entry(key).or_default());
    } else if let Some(value) = shard.get_mut(&key) {
        work(value);
    }
}

impl Memory {
    fn writer(&self, user: UserId) -> &Mutex<()> {
        &self.writers[self.nodes.index(&user) % WRITER_COUNT]
    }

    pub(super) fn set_follow(&self, user: UserId, target: Target, on: bool, at: Timestamp) {
        if target == Target::User(user) {
            return;
        }
        let _writer = self.writer(user).lock();
        let mut set = Set::Same;
        change(&self.nodes, user, on, |node| match (target, on) {
            (Target::User(other), true) => set = node.users.set(other, at),
            (Target::Board(board), true) => set = node.boards.set(board, at),
            (Target::Topic(topic), true) => set = node.topics.set(topic, at),
            (Target::User(other), false) => drop(node.users.remove(other)),
            (Target::Board(board), false) => drop(node.boards.remove(board)),
            (Target::Topic(topic), false) => drop(node.topics.remove(topic)),
        });
        let set_follower = |followers: &mut EdgeList<UserId>| {
            if on {
                followers.set(user, at);
            } else {
                followers.remove(user);
            }
            followers.len()
        };
        let mut follower_count = 0;
        match target {
            Target::User(other) => change(&self.nodes, other, on, |node| follower_count = set_follower(&mut node.followers)),
            Target::Board(board) => change(&self.boards, board, on, |board| follower_count = set_follower(&mut board.followers)),
            Target::Topic(topic) => change(&self.topics, topic, on, |topic| follower_count = set_follower(&mut topic.followers)),
        }
        if follower_count > self.merge_threshold.load(Ordering::Relaxed) {
            self.begin_merging(target);
        }
        if set != Set::Same {
            self.widen(user);
        }
    }

    /// Keeps the target's pins in one list from now on. Earlier ones were pushed to the feeds that are in memory, and whoever
    /// builds a feed reads them from storage. A source stays merged for the life of the process.
    fn begin_merging(&self, target: Target) {
        if self.merged.read().contains_key(&target) {
            return;
        }
        let list = match target {
            Target::Topic(topic) => self.topics.write(&topic).entry(topic).or_default().list.clone(),
            _ => SharedList::default(),
        };
        self.add_merged(target, list);
    }

    pub(super) fn add_merged(&self, target: Target, list: SharedList) {
        let mut merged = self.merged.write();
        merged.entry(target).or_insert(list);
        self.merged_count.store(merged.len(), Ordering::Release);
    }

    /// Returns the list of a merged source.
    pub(super) fn merged_list(&self, target: Target) -> Option<SharedList> {
        if self.merged_count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.merged.read().get(&target).cloned()
    }

    pub(super) fn set_left_out(&self, user: UserId, board: BoardId, on: bool) {
        let _writer = self.writer(user).lock();
        change(&self.nodes, user, on, |node| set_plain(&mut node.left_out, board, on));
        change(&self.boards, board, on, |board| set_plain(&mut board.left_out_by, user, on));
        if !on {
            self.widen(user);
        }
    }

    pub(super) fn set_block(&self, user: UserId, other: UserId, on: bool) {
        let _writer = self.writer(user).lock();
        change(&self.nodes, user, on, |node| set_plain(&mut node.blocks, other, on));
        change(&self.nodes, other, on, |node| set_plain(&mut node.blocked_by, user, on));
        if !on {
            self.widen(user);
            self.widen(other);
        }
    }

    pub(super) fn set_mute(&self, user: UserId, other: UserId, on: bool) {
        let _writer = self.writer(user).lock();
        change(&self.nodes, user, on, |node| set_plain(&mut node.mutes, other, on));
        if !on {
            self.widen(user);
        }
    }

    /// Sets a board's facts. When its pins may show where they did not, offers those that are known and drops the feeds of its
    /// followers, which were built without them.
    pub(super) fn set_board(&self, board: BoardId, facts: BoardFacts) {
        let mut shard = self.boards.write(&board);
        let known = shard.entry(board).or_default();
        let shows_more = match known.facts.replace(facts) {
            None => facts.listed && known.pinned,
            Some(was) => facts.listed && (!was.listed || was.owner != facts.owner),
        };
        drop(shard);
        if shows_more {
            self.publish_board(board);
            for follower in self.board_follower_ids(board, facts.owner) {
                self.widen(follower);
            }
        }
    }

    pub(super) fn forget_board(&self, board: BoardId) {
        let Some(known) = self.boards.write(&board).remove(&board) else { return };
        for follower in known.followers.keys() {
            self.set_follow(follower, Target::Board(board), false, NO_TIME);
        }
        for user in known.left_out_by.keys() {
            let _writer = self.writer(user).lock();
            change(&self.nodes, user, false, |node| set_plain(&mut node.left_out, board, false));
        }
    }

    /// Removes a person. Walks all boards and pins, which is seldom asked for.
    pub(super) fn forget_user(&self, user: UserId) {
        let node = self.nodes.read(&user).get(&user).cloned().unwrap_or_default();
        let targets = node.users.keys().map(Target::User);
        let targets = targets.chain(node.boards.keys().map(Target::Board)).chain(node.topics.keys().map(Target::Topic));
        for target in targets {
            self.set_follow(user, target, false, NO_TIME);
        }
        for follower in node.followers.keys() {
            self.set_follow(follower, Target::User(user), false, NO_TIME);
        }
        for board in node.left_out.keys() {
            self.set_left_out(user, board, false);
        }
        for other in node.blocks.keys() {
            self.set_block(user, other, false);
        }
        for other in node.blocked_by.keys() {
            self.set_block(other, user, false);
        }
        let owned = |board: &Board| board.facts.is_some_and(|facts| facts.owner == user);
        for shard in self.boards.shards() {
            let boards: Vec<BoardId> = shard.read().iter().filter(|(_, board)| owned(board)).map(|(id, _)| *id).collect();
            boards.into_iter().for_each(|board| self.forget_board(board));
        }
        self.retract_owned(user);
        self.slots.write(&user).remove(&user);
        self.shown.write(&user).remove(&user);
        self.nodes.write(&user).remove(&user);
    }

    /// Returns who follows the board: its owner's followers less those who left it out, and those who follow it alone. May name
    /// one twice.
    pub(super) fn board_follower_ids(&self, board: BoardId, owner: UserId) -> Vec<UserId> {
        let (explicit, left_out) = self.board_edges(board);
        let mut followers: Vec<UserId> = self.nodes.read(&owner).get(&owner).map_or_else(Vec::new, |node| node.followers.keys().collect());
        if !left_out.is_empty() {
            followers.retain(|follower| !left_out.contains(*follower));
        }
        followers.extend(explicit.keys());
        followers
    }

    /// Copies who follows the board alone and who left it out, so that no board is locked while people are looked at.
    fn board_edges(&self, board: BoardId) -> (EdgeList<UserId>, EdgeList<UserId>) {
        let boards = self.boards.read(&board);
        boards.get(&board).map(|board| (board.followers.clone(), board.left_out_by.clone())).unwrap_or_default()
    }

    pub(super) fn board_followers(&self, board: BoardId) -> u64 {
        let Some(facts) = self.boards.read(&board).get(&board).and_then(|board| board.facts) else { return 0 };
        let (explicit, left_out) = self.board_edges(board);
        let nodes = self.nodes.read(&facts.owner);
        let Some(owner) = nodes.get(&facts.owner) else { return explicit.len() as u64 };
        let left = left_out.keys().filter(|user| owner.followers.contains(*user)).count();
        let more = explicit.keys().filter(|user| !owner.followers.contains(*user) || left_out.contains(*user)).count();
        (owner.followers.len() - left + more) as u64
    }

    pub(super) fn follows(&self, user: UserId, targets: &[Target]) -> Vec<bool> {
        let nodes = self.nodes.read(&user);
        let node = nodes.get(&user);
        targets.iter().map(|target| node.is_some_and(|node| node.follows(*target))).collect()
    }

    pub(super) fn relations(&self, user: UserId, others: &[UserId]) -> Vec<Relation> {
        let nodes = self.nodes.read(&user);
        let Some(node) = nodes.get(&user) else { return vec![Relation::default(); others.len()] };
        others.iter().map(|other| node.relation(*other)).collect()
    }

    pub(super) fn standings(&self, user: UserId, others: &[UserId]) -> Vec<Standing> {
        let nodes = self.nodes.read(&user);
        let Some(node) = nodes.get(&user) else { return vec![Standing::default(); others.len()] };
        let standing = |other: &UserId| Standing {
            relation: node.relation(*other),
            follows: node.users.contains(*other),
            followed_by: node.followers.contains(*other),
        };
        others.iter().map(standing).collect()
    }

    pub(super) fn counts(&self, user: UserId) -> Counts {
        let nodes = self.nodes.read(&user);
        nodes.get(&user).map_or_else(Counts::default, |node| Counts {
            followers: node.followers.len() as u64,
            following_users: node.users.len() as u64,
            following_boards: node.boards.len() as u64,
            following_topics: node.topics.len() as u64,
        })
    }

    pub(super) fn followers(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> EdgePage {
        let list = |followers: &EdgeList<UserId>| page(followers, cursor, limit, Target::User);
        match target {
            Target::User(user) => self.nodes.read(&user).get(&user).map(|node| list(&node.followers)),
            Target::Board(board) => self.boards.read(&board).get(&board).map(|board| list(&board.followers)),
            Target::Topic(topic) => self.topics.read(&topic).get(&topic).map(|topic| list(&topic.followers)),
        }
        .unwrap_or_default()
    }

    pub(super) fn following(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> EdgePage {
        let nodes = self.nodes.read(&user);
        let Some(node) = nodes.get(&user) else { return EdgePage::default() };
        match kind {
            TargetKind::User => page(&node.users, cursor, limit, Target::User),
            TargetKind::Board => page(&node.boards, cursor, limit, Target::Board),
            TargetKind::Topic => page(&node.topics, cursor, limit, Target::Topic),
        }
    }

    pub(super) fn away(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Vec<Id> {
        let nodes = self.nodes.read(&user);
        let Some(node) = nodes.get(&user) else { return Vec::new() };
        let people = |edges: &EdgeList<UserId>| edges.keys().map(UserId::id).collect();
        let ids: Vec<Id> = match what {
            Away::LeftOut => node.left_out.keys().map(BoardId::id).collect(),
            Away::Blocks => people(&node.blocks),
            Away::BlockedBy => people(&node.blocked_by),
            Away::Mutes => people(&node.mutes),
        };
        drop(nodes);
        page_of_ids(ids, after, limit)
    }

    pub(super) fn suggestions(&self, user: UserId, limit: usize) -> Vec<UserId> {
        let newest = |user: UserId, max: usize| -> Vec<UserId> {
            let nodes = self.nodes.read(&user);
            nodes.get(&user).map_or_else(Vec::new, |node| node.users.page(None, max).map(|(_, other)| other).collect())
        };
        let mut shared_by: HashMap<UserId, u32, IdHash> = HashMap::default();
        for source in newest(user, SUGGESTION_SOURCES_MAX) {
            for candidate in newest(source, SUGGESTION_FOLLOWS_MAX) {
                *shared_by.entry(candidate).or_default() += 1;
            }
        }
        let nodes = self.nodes.read(&user);
        if let Some(node) = nodes.get(&user) {
            shared_by.retain(|candidate, _| *candidate != user && !node.users.contains(*candidate) && !node.hides(*candidate));
        }
        drop(nodes);
        let mut ranked: Vec<(u32, UserId)> = shared_by.into_iter().map(|(candidate, count)| (count, candidate)).collect();
        ranked.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        ranked.into_iter().take(limit).map(|(_, candidate)| candidate).collect()
    }
}

fn page<K: Copy + Ord + std::hash::Hash + Into<Id>>(
    edges: &EdgeList<K>,
    cursor: Option<Cursor>,
    limit: usize,
    target: impl Fn(K) -> Target,
) -> EdgePage {
    let mut entries: Vec<Linked> = edges.page(cursor, limit + 1).map(|(at, key)| Linked { target: target(key), at }).collect();
    let goes_on = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| goes_on).map(|last| (last.at, last.target.id()));
    EdgePage { entries, next }
}

/// Makes a list shared.
pub(super) fn share(list: List) -> SharedList {
    SharedList::new(RwLock::new(list))
}
