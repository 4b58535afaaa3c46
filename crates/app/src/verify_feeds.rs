//! Comparing what the feeds hold of people with the truth in storage, person by person, and mending one person's. Boards, topics and
//! public lists are compared in `verify_lists.rs`.

use std::collections::{BTreeMap, BTreeSet};

use feeds::{Away, Position, Target, TargetKind};
use model::{Assoc, Id, Pin, PinId, Timestamp, UserId};
use storage::{Order, Range};

use crate::compose::App;
use crate::consumers::feeds::target_of;
use crate::error::Result;

/// Edges and entries read at once.
const STEP: usize = 200;
/// Entries of a home feed that storage merges at once from everything that the person follows.
const HOME_STEP: usize = 500;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedsFound {
    /// Home feeds that were in memory and were compared.
    pub feeds: u64,
    /// Public lists that were compared.
    pub lists: u64,
    pub edges: u64,
    pub entries: u64,
    /// In words: what is missing, too much, or out of order.
    pub differences: Vec<String>,
}

impl FeedsFound {
    pub fn add(&mut self, other: FeedsFound) {
        self.feeds += other.feeds;
        self.lists += other.lists;
        self.edges += other.edges;
        self.entries += other.entries;
        self.differences.extend(other.differences);
    }

    /// Says what only one of the two has.
    pub(crate) fn compare<T: Ord>(&mut self, truth: &BTreeSet<T>, known: &BTreeSet<T>, say: impl Fn(&T, &str) -> String) {
        self.differences.extend(truth.difference(known).map(|it| say(it, "is missing")));
        self.differences.extend(known.difference(truth).map(|it| say(it, "should be gone")));
    }
}

impl App {
    /// Compares a person's graph, counts and home feed with storage. On a running site what is on its way may differ for a moment.
    pub async fn verify_feeds_of(&self, user: UserId) -> Result<FeedsFound> {
        let mut found = FeedsFound::default();
        for (kind, assoc) in FOLLOWS {
            let truth = self.followed_in_storage(user, assoc).await?;
            let known = self.followed_in_feeds(user, kind).await?;
            found.edges += truth.len() as u64;
            found.compare(&truth.into_iter().collect(), &known.into_iter().collect(), |(target, at), what| {
                format!("{user}: the follow of {} since {} {what}", target.id(), at.0)
            });
        }
        self.compare_followers(Target::User(user), Assoc::UserFollowedByUsers, &mut found).await?;
        let followers = self.storage.counts(&[(Assoc::UserFollowedByUsers, user.id())]).await?[0];
        let counted = self.feeds.counts(user).await?.followers;
        if counted != followers {
            found.differences.push(format!("{user}: {counted} followers are counted, and there are {followers}"));
        }
        for (away, assoc, what) in AWAY {
            let truth = self.ends_in_storage(assoc, user.id()).await?;
            let known = self.away_in_feeds(user, away).await?;
            found.edges += truth.len() as u64;
            found.compare(&truth, &known, |other, is| format!("{user}: the {what} {other} {is}"));
        }
        self.verify_home(user, &mut found).await?;
        Ok(found)
    }

    /// Compares who follows the target itself; returns who does in storage.
    pub(crate) async fn compare_followers(&self, target: Target, assoc: Assoc, found: &mut FeedsFound) -> Result<BTreeSet<Id>> {
        let truth = self.ends_in_storage(assoc, target.id()).await?;
        let (mut known, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = self.feeds.target_followers(target, cursor, STEP).await?;
            known.extend(page.entries.iter().map(|linked| linked.target.id()));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        found.compare(&truth, &known, |follower, what| format!("{}: the follower {follower} {what}", target.id()));
        Ok(truth)
    }

    /// Compares a home feed down to where memory ends.
    async fn verify_home(&self, user: UserId, found: &mut FeedsFound) -> Result<()> {
        let mut known: Vec<Position> = Vec::new();
        let end = loop {
            let page = self.feeds.home(user, known.last().copied(), STEP).await?;
            if !page.present {
                return Ok(());
            }
            known.extend(page.entries.iter().map(feeds::Entry::position));
            if page.complete_to.is_some() || page.entries.len() < STEP {
                break page.complete_to;
            }
        };
        found.feeds += 1;
        found.entries += known.len() as u64;
        if !known.is_sorted_by(|a, b| a > b) {
            found.differences.push(format!("{user}: the home feed is out of order, or holds a pin twice"));
        }
        let (mut truth, mut before) = (BTreeSet::new(), None);
        loop {
            let (entries, next) = self.home_from_storage(user, before, HOME_STEP).await?;
            truth.extend(entries.iter().map(|(facts, _)| facts.position()));
            before = next;
            if before.is_none_or(|next| end.is_some_and(|end| next < end)) {
                break;
            }
        }
        truth.retain(|position| end.is_none_or(|end| *position >= end));
        let known: BTreeSet<Position> = known.into_iter().collect();
        // Storage lists what people have made, the feeds what stands on their boards: on shared boards the rule itself decides.
        for (_, pin) in truth.difference(&known) {
            if self.is_for(user, *pin).await? {
                found.differences.push(format!("{user}: the home feed lacks {pin}"));
            }
        }
        for (_, pin) in known.difference(&truth) {
            if !self.is_for(user, *pin).await? {
                found.differences.push(format!("{user}: the home feed should not hold {pin}"));
            }
        }
        Ok(())
    }

    /// Tells from storage whether a pin belongs into a person's home feed.
    async fn is_for(&self, user: UserId, pin: PinId) -> Result<bool> {
        let Some(stored) = self.storage.get::<Pin>(pin).await? else { return Ok(false) };
        let Some(board) = self.board_of_travelling(&stored).await? else { return Ok(false) };
        let owner = board.data.owner;
        for other in [stored.data.owner, owner] {
            let hides = [Assoc::UserBlocksUsers, Assoc::UserBlockedByUsers, Assoc::UserMutesUsers];
            for assoc in hides {
                if self.storage.edges(assoc, user.id(), &[other.id()]).await?[0].is_some() {
                    return Ok(false);
                }
            }
        }
        if stored.data.owner == user {
            return Ok(false);
        }
        let has = async |assoc, id: Id| self.storage.edges(assoc, user.id(), &[id]).await.map(|found| found[0].is_some());
        let follows_owner = has(Assoc::UserFollowsUsers, owner.id()).await?;
        if follows_owner && !has(Assoc::UserLeavesOutBoards, board.id).await? || has(Assoc::UserFollowsBoards, board.id).await? {
            return Ok(true);
        }
        for topic in self.topics_of(&stored.data).await? {
            if has(Assoc::UserFollowsTopics, topic.id()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a person's edges in the feeds equal to storage, and drops the home feed, which is built anew when it is read.
    pub async fn rebuild_feeds_of(&self, user: UserId) -> Result<()> {
        for (kind, assoc) in FOLLOWS {
            let truth = self.followed_in_storage(user, assoc).await?;
            for target in self.followed_in_feeds(user, kind).await?.into_keys().filter(|target| !truth.contains_key(target)) {
                self.feeds.set_follow(user, target, false, self.now()).await?;
            }
        }
        for (away, assoc, _) in AWAY {
            let truth = self.ends_in_storage(assoc, user.id()).await?;
            for other in self.away_in_feeds(user, away).await?.difference(&truth) {
                match (away, UserId::try_from(*other), model::BoardId::try_from(*other)) {
                    (Away::LeftOut, _, Ok(board)) => self.feeds.set_left_out(user, board, false).await?,
                    (Away::Blocks, Ok(other), _) => self.feeds.set_block(user, other, false).await?,
                    (Away::BlockedBy, Ok(other), _) => self.feeds.set_block(other, user, false).await?,
                    (Away::Mutes, Ok(other), _) => self.feeds.set_mute(user, other, false).await?,
                    _ => {}
                }
            }
        }
        self.rebuild_graph_of(user).await?;
        // Taking back a mute that is none changes nothing but that the feed may lack something.
        self.feeds.set_mute(user, user, false).await?;
        Ok(())
    }

    async fn followed_in_storage(&self, user: UserId, assoc: Assoc) -> Result<BTreeMap<Target, Timestamp>> {
        let mut followed = BTreeMap::new();
        let mut after = None;
        loop {
            let edges = self.storage.range(assoc, user.id(), Range { after, limit: STEP, order: Order::Descending }).await?;
            let Some(last) = edges.last() else { return Ok(followed) };
            after = Some((last.sequence, last.to));
            followed.extend(edges.iter().filter_map(|edge| Some((target_of(edge.to)?, Timestamp(edge.sequence)))));
        }
    }

    async fn followed_in_feeds(&self, user: UserId, kind: TargetKind) -> Result<BTreeMap<Target, Timestamp>> {
        let mut followed = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = self.feeds.following(user, kind, cursor, STEP).await?;
            followed.extend(page.entries.iter().map(|linked| (linked.target, linked.at)));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(followed);
            }
        }
    }

    async fn away_in_feeds(&self, user: UserId, what: Away) -> Result<BTreeSet<Id>> {
        let mut ids = BTreeSet::new();
        loop {
            let page = self.feeds.away(user, what, ids.last().copied(), STEP).await?;
            let is_last = page.len() < STEP;
            ids.extend(page);
            if is_last {
                return Ok(ids);
            }
        }
    }
}

const FOLLOWS: [(TargetKind, Assoc); 3] = [
    (TargetKind::User, Assoc::UserFollowsUsers),
    (TargetKind::Board, Assoc::UserFollowsBoards),
    (TargetKind::Topic, Assoc::UserFollowsTopics),
];

/// What a person keeps away, as storage has it, and in words.
const AWAY: [(Away, Assoc, &str); 4] = [
    (Away::LeftOut, Assoc::UserLeavesOutBoards, "leaving out of"),
    (Away::Blocks, Assoc::UserBlocksUsers, "block of"),
    (Away::BlockedBy, Assoc::UserBlockedByUsers, "block by"),
    (Away::Mutes, Assoc::UserMutesUsers, "mute of"),
];
