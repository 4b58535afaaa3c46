//! Comparing feeds with the truth in storage, person by person, and mending one person's.

use std::collections::BTreeMap;

use feeds::{Target, TargetKind};
use model::{Assoc, Id, PinId, Timestamp, UserId};
use storage::{Order, Range};

use crate::compose::App;
use crate::consumers::feeds::target_of;
use crate::error::{Error, Result};

/// Edges and entries read at once.
const STEP: usize = 200;
/// Entries of a home feed that are compared: storage merges as many from everything that the person follows.
const HOME_ENTRIES_MAX: usize = 500;

/// What one person's comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedsFound {
    /// A home feed was in memory and was compared.
    pub has_feed: bool,
    pub edges: u64,
    /// In words: what is missing, too much, or out of order.
    pub differences: Vec<String>,
}

impl App {
    /// Compares a person's graph, counts and home feed with storage. On a running site what is on its way may differ for a moment.
    pub async fn verify_feeds_of(&self, user: UserId) -> Result<FeedsFound> {
        let mut found = FeedsFound::default();
        for (kind, assoc) in FOLLOWS {
            let truth = self.followed_in_storage(user, assoc).await?;
            let known = self.followed_in_feeds(user, kind).await?;
            found.edges += truth.len() as u64;
            let missing = truth.iter().filter(|(target, at)| known.get(*target) != Some(*at));
            found.differences.extend(missing.map(|(target, _)| format!("{user}: the follow of {} is missing", target.id())));
            let more = known.keys().filter(|target| !truth.contains_key(target));
            found.differences.extend(more.map(|target| format!("{user}: the follow of {} should be gone", target.id())));
        }
        let followers = self.storage.counts(&[(Assoc::UserFollowedByUsers, user.id())]).await?[0];
        let counted = self.feeds.counts(user).await?.followers;
        if counted != followers {
            found.differences.push(format!("{user}: {counted} followers are counted, and there are {followers}"));
        }
        for (assoc, what) in [(Assoc::UserBlocksUsers, "block"), (Assoc::UserMutesUsers, "mute")] {
            let others = self.people_in_storage(user, assoc).await?;
            found.edges += others.len() as u64;
            for others in others.chunks(STEP) {
                let hidden = self.feeds.hidden(user, others).await?;
                let missing = others.iter().zip(hidden).filter(|(_, hidden)| !hidden);
                found.differences.extend(missing.map(|(other, _)| format!("{user}: the {what} of {other} is missing")));
            }
        }
        self.verify_home(user, &mut found).await?;
        Ok(found)
    }

    async fn verify_home(&self, user: UserId, found: &mut FeedsFound) -> Result<()> {
        let mut known: Vec<(Timestamp, PinId)> = Vec::new();
        let mut is_whole = false;
        while known.len() < HOME_ENTRIES_MAX && !is_whole {
            let page = self.feeds.home(user, known.last().copied(), STEP).await?;
            if !page.present {
                return Ok(());
            }
            is_whole = page.complete_to.is_some() || page.entries.len() < STEP;
            known.extend(page.entries.iter().map(feeds::Entry::position));
        }
        found.has_feed = true;
        known.truncate(HOME_ENTRIES_MAX);
        let (truth, _) = self.home_from_storage(user, None, known.len()).await?;
        let truth: Vec<(Timestamp, PinId)> =
            truth.into_iter().map(|(facts, _)| facts.position()).filter(|at| Some(at) >= known.last()).collect();
        if !known.is_sorted_by(|a, b| a > b) {
            found.differences.push(format!("{user}: the home feed is out of order, or holds a pin twice"));
        }
        let missing = truth.iter().filter(|at| !known.contains(at));
        found.differences.extend(missing.map(|(_, pin)| format!("{user}: the home feed lacks {pin}")));
        if truth.len() == known.len() {
            let more = known.iter().filter(|at| !truth.contains(at));
            found.differences.extend(more.map(|(_, pin)| format!("{user}: the home feed should not hold {pin}")));
        }
        Ok(())
    }

    /// Makes a person's edges in the feeds equal to storage, and drops the home feed, which is built anew when it is read.
    pub async fn rebuild_feeds_of(&self, user: UserId) -> Result<()> {
        for (kind, assoc) in FOLLOWS {
            let truth = self.followed_in_storage(user, assoc).await?;
            for target in self.followed_in_feeds(user, kind).await?.into_keys().filter(|target| !truth.contains_key(target)) {
                self.feeds.set_follow(user, target, false, self.now()).await?;
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

    async fn people_in_storage(&self, user: UserId, assoc: Assoc) -> Result<Vec<UserId>> {
        let mut ids: Vec<Id> = Vec::new();
        let mut after = None;
        loop {
            let edges = self.storage.range(assoc, user.id(), Range { after, limit: STEP, order: Order::Descending }).await?;
            let Some(last) = edges.last() else { break };
            after = Some((last.sequence, last.to));
            ids.extend(edges.iter().map(|edge| edge.to));
        }
        ids.into_iter().map(|id| UserId::try_from(id).map_err(Error::internal)).collect()
    }
}

const FOLLOWS: [(TargetKind, Assoc); 3] = [
    (TargetKind::User, Assoc::UserFollowsUsers),
    (TargetKind::Board, Assoc::UserFollowsBoards),
    (TargetKind::Topic, Assoc::UserFollowsTopics),
];
