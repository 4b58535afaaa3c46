//! Rebuilding what is derived: the follower graph with the public feeds, and the search index, from storage.

use feeds::{BoardFacts, Change, Target};
use model::{Assoc, Board, BoardId, Id, Object, Pin, PinId, Stored, User, UserId};
use storage::{Order, Range};

use crate::compose::App;
use crate::consumers::feeds::target_of;
use crate::error::{Error, Result};

/// Rows read at once.
const STEP: usize = 500;

impl App {
    /// Rebuilds graph and public feeds, as the truth stood at this offset of the log or later. Home feeds come back one by one, when
    /// they are read.
    pub async fn rebuild_feeds(&self, offset: i64) -> Result<()> {
        self.feeds.clear().await?;
        let mut after = None;
        loop {
            let boards = self.step::<Board>(&mut after).await?;
            if boards.is_empty() {
                break;
            }
            let facts = boards.iter().filter(|board| board.active).filter_map(|board| {
                let facts = BoardFacts { owner: board.data.owner, listed: crate::viewer::is_listed(board) };
                Some(Change::Board { board: BoardId::try_from(board.id).ok()?, facts: Some(facts) })
            });
            self.feeds.apply(facts.collect()).await?;
        }
        let mut after = None;
        loop {
            let users = self.step::<User>(&mut after).await?;
            if users.is_empty() {
                break;
            }
            for user in users.iter().filter(|user| user.active && !user.data.deleting) {
                self.rebuild_graph_of(UserId::try_from(user.id).map_err(Error::internal)?).await?;
            }
        }
        let mut after = None;
        let mut count = 0u64;
        loop {
            let pins = self.step::<Pin>(&mut after).await?;
            if pins.is_empty() {
                break;
            }
            for pin in pins.iter().filter(|pin| pin.active && pin.data.trashed_at.is_none()) {
                // Nothing is left to deliver: no feed is older than the rebuild, and whoever builds one finds the pin in storage.
                drop(self.reconcile_pin_in_feeds(PinId::try_from(pin.id).map_err(Error::internal)?).await?);
                count += 1;
            }
        }
        self.feeds.complete(offset).await?;
        tracing::info!(pins = count, "feeds were rebuilt from storage");
        Ok(())
    }

    pub(crate) async fn rebuild_graph_of(&self, user: UserId) -> Result<()> {
        for assoc in [Assoc::UserFollowsUsers, Assoc::UserFollowsBoards, Assoc::UserFollowsTopics] {
            self.each_edge(user, assoc, |edge| {
                let target: Target = target_of(edge.to)?;
                Some(Change::Follow { user, target, on: true, at: model::Timestamp(edge.sequence) })
            })
            .await?;
        }
        self.each_edge(user, Assoc::UserLeavesOutBoards, |edge| {
            Some(Change::LeftOut { user, board: BoardId::try_from(edge.to).ok()?, on: true })
        })
        .await?;
        self.each_edge(user, Assoc::UserBlocksUsers, |edge| Some(Change::Block { user, other: UserId::try_from(edge.to).ok()?, on: true }))
            .await?;
        self.each_edge(user, Assoc::UserMutesUsers, |edge| Some(Change::Mute { user, other: UserId::try_from(edge.to).ok()?, on: true }))
            .await
    }

    async fn each_edge(&self, user: UserId, assoc: Assoc, change: impl Fn(&storage::Edge) -> Option<Change> + Send) -> Result<()> {
        let mut after = None;
        loop {
            let edges = self.storage.range(assoc, user.id(), Range { after, limit: STEP, order: Order::Descending }).await?;
            let Some(last) = edges.last() else { return Ok(()) };
            after = Some((last.sequence, last.to));
            self.feeds.apply(edges.iter().filter_map(&change).collect()).await?;
        }
    }

    /// Rebuilds the search index.
    pub async fn rebuild_index(&self) -> Result<()> {
        self.search.clear().await?;
        let pins = self.index_all::<Pin>().await?;
        let boards = self.index_all::<Board>().await?;
        let people = self.index_all::<User>().await?;
        self.search.flush().await?;
        tracing::info!(pins, boards, people, "the search index was rebuilt from storage");
        Ok(())
    }

    async fn index_all<T: Object>(&self) -> Result<u64> {
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = self.step::<T>(&mut after).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            let active = rows.iter().filter(|row| row.active).map(|row| row.id);
            let docs: Vec<_> = self.documents(active).await?.into_iter().filter_map(|(_, document)| document).collect();
            count += docs.len() as u64;
            self.search.put(docs).await?;
        }
    }

    /// Walks over all objects of a kind.
    pub(crate) async fn step<T: Object>(&self, after: &mut Option<Id>) -> Result<Vec<Stored<T>>> {
        let rows = self.storage.scan::<T>(*after, STEP).await?;
        *after = rows.last().map(|row| row.id).or(*after);
        Ok(rows)
    }
}
