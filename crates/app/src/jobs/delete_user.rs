//! Deletes everything of a person: pins with their pictures, boards, comments, likes, follows, names, sessions, tokens, and the traces
//! in logs and others' records (`erasure.rs`).
//!
//! The person's row goes last, so that a crash anywhere before leaves a job that does the rest. A legal hold stops it at any step.

use ::jobs::JobContext;
use async_trait::async_trait;
use cache::Stale;
use model::{Assoc, Board, BoardId, Comment, Id, NameKind, Pin, PinId, Section, User, UserId};
use serde::{Deserialize, Serialize};
use storage::{Batch, Order, Range};

use super::AppJob;
use crate::admin::site_id;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result};
use crate::holds::{Guard, Purge};

const STEP: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteUser {
    pub user: UserId,
}

#[async_trait]
impl AppJob for DeleteUser {
    const QUEUE: &'static str = "delete_user";
    const ATTEMPTS: u32 = 20;

    fn key(&self) -> Option<String> {
        Some(self.user.to_string())
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        // Postponed by a legal hold, it is done for this job: its release asks again.
        app.delete_user(self.user, context).await.map(drop)
    }
}

/// Associations of a person that stand on the other's shard too.
const MIRRORED: [Assoc; 9] = [
    Assoc::UserLikesPins,
    Assoc::UserLikesComments,
    Assoc::UserFollowsUsers,
    Assoc::UserFollowedByUsers,
    Assoc::UserFollowsBoards,
    Assoc::UserLeavesOutBoards,
    Assoc::UserFollowsTopics,
    Assoc::UserBlocksUsers,
    Assoc::UserBlockedByUsers,
];

/// Objects that belong to a person alone.
const OWN_OBJECTS: [Assoc; 3] = [Assoc::UserHasSessions, Assoc::UserHasTokens, Assoc::UserHasNotifications];

/// Edges of a person that lead nowhere once the rest is gone.
const OWN_EDGES: [Assoc; 6] = [
    Assoc::UserHasPins,
    Assoc::UserTrashesPins,
    Assoc::UserMutesUsers,
    Assoc::UserHasImages,
    Assoc::UserKeepsImages,
    Assoc::UserHasTakedowns,
];

impl App {
    /// Deletes everything of a person whose account is being deleted, or as much as legal holds allow: the rest waits for their end.
    pub(crate) async fn delete_user(&self, user: UserId, context: &JobContext) -> Result<Purge> {
        if self.try_delete_user(user, context).await? == Purge::Postponed {
            let _ = self.note_postponed(Assoc::SitePostponesUsers, user.id()).await?;
            // A hold that was released between the two found nothing to do: look once more.
            if self.try_delete_user(user, context).await? == Purge::Postponed {
                return Ok(Purge::Postponed);
            }
        }
        self.forget_postponed(Assoc::SitePostponesUsers, user.id()).await?;
        Ok(Purge::Done)
    }

    async fn try_delete_user(&self, user: UserId, context: &JobContext) -> Result<Purge> {
        let (me, guard) = (user.id(), Guard::of(user));
        let Some(stored) = self.storage.get::<User>(me).await?.filter(|stored| stored.data.deleting) else { return Ok(Purge::Done) };
        // A hold on one of their pins keeps what is told of it elsewhere too, so that nothing is begun.
        if self.ask_unheld(&guard).await? == Purge::Postponed || !self.holds_on(user).await?.is_empty() {
            return Ok(Purge::Postponed);
        }
        // First, while what is theirs can still be told: the traces in logs and in others' records.
        let traces = self.traces_of(&stored, user).await?;
        self.erase_traces(&traces, context).await?;
        let (pins, comments) = (self.purge_pins_of(user, context).await?, self.purge_comments_by(user, context).await?);
        if pins == Purge::Postponed || comments == Purge::Postponed || self.ask_unheld(&guard).await? == Purge::Postponed {
            return Ok(Purge::Postponed);
        }
        self.delete_boards_of(user).await?;
        if self.purge_boards_of(user, context).await? == Purge::Postponed {
            return Ok(Purge::Postponed);
        }
        for assoc in MIRRORED {
            self.drop_mirrored(assoc, me).await?;
        }
        for assoc in OWN_OBJECTS {
            self.purge_owned(assoc, me).await?;
        }
        self.purge_kept(user).await?;
        for assoc in OWN_EDGES {
            self.drop_edges(assoc, me).await?;
        }
        for kind in [NameKind::SourceKey, NameKind::BoardSlug] {
            self.release_names_of(user, kind).await?;
        }
        if let Some(picture) = &stored.data.picture {
            self.let_go_of_profile_picture(&picture.hash, user).await?;
        }
        self.mend_edges(&[EdgeWish::new(Assoc::SiteHasUsers, site_id(), user, None)]).await?;
        // What was noted on the way: by jobs, by consumers.
        self.erase_traces(&traces, context).await?;
        self.release_name(NameKind::Username, &stored.data.username, user).await?;
        if !stored.data.email.is_empty() {
            self.release_name(NameKind::Email, &stored.data.email, user).await?;
        }
        let mut batch = Batch::on(user.shard());
        batch.purge(me);
        if self.commit_unheld(batch, &guard).await? == Purge::Postponed {
            return Ok(Purge::Postponed);
        }
        self.cache.invalidate_many(vec![Stale::object(me, u64::MAX)]).await;
        metrics::counter!(crate::metrics::PEOPLE_ERASED_TOTAL).increment(1);
        Ok(Purge::Done)
    }

    async fn purge_pins_of(&self, user: UserId, context: &JobContext) -> Result<Purge> {
        let mut purged = Purge::Done;
        for stored in self.rows_of_shard::<Pin>(user.shard(), |pin| pin.owner == user).await? {
            match self.purge_pin(PinId::try_from(stored.id).map_err(Error::internal)?).await? {
                Purge::Postponed => purged = Purge::Postponed,
                Purge::Done => self.end_unused_topics(&stored.data.tags).await?,
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
        Ok(purged)
    }

    async fn purge_comments_by(&self, user: UserId, context: &JobContext) -> Result<Purge> {
        let (mut purged, mut after) = (Purge::Done, None);
        loop {
            let range = Range { after, limit: STEP, order: Order::Ascending };
            let edges = self.storage.range(Assoc::UserWritesComments, user.id(), range).await?;
            let Some(last) = edges.last() else { return Ok(purged) };
            after = Some((last.sequence, last.to));
            for edge in edges {
                let written = self.storage.get::<Comment>(edge.to).await?;
                if let Some(written) = written
                    && self.purge_comment(edge.to, written.data.pin).await? == Purge::Postponed
                {
                    purged = Purge::Postponed;
                    continue;
                }
                self.mend_edges(&[EdgeWish::new(Assoc::UserWritesComments, user, edge.to, None)]).await?;
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
    }

    /// Purges the rows of a person's boards, those that were deleted long ago too. What others had pinned there goes to their trash.
    async fn purge_boards_of(&self, user: UserId, context: &JobContext) -> Result<Purge> {
        let guard = Guard::of(user);
        for stored in self.rows_of_shard::<Board>(user.shard(), |board| board.owner == user).await? {
            let board = BoardId::try_from(stored.id).map_err(Error::internal)?;
            super::TrashBoardPins { board }.run(self, context).await?;
            for section in self.rows_of_shard::<Section>(user.shard(), |section| section.board == board).await? {
                let mut batch = Batch::on(user.shard());
                batch.purge(section.id);
                if self.commit_unheld(batch, &guard).await? == Purge::Postponed {
                    return Ok(Purge::Postponed);
                }
            }
            let mut batch = Batch::on(user.shard());
            batch.purge(stored.id);
            if self.commit_unheld(batch, &guard).await? == Purge::Postponed {
                return Ok(Purge::Postponed);
            }
        }
        Ok(Purge::Done)
    }

    /// Reads some ends of an association, or `None` when there are no more.
    pub(crate) async fn some_of(&self, assoc: Assoc, from: Id) -> Result<Option<Vec<Id>>> {
        let edges = self.storage.range(assoc, from, Range::first(STEP)).await?;
        Ok((!edges.is_empty()).then(|| edges.into_iter().map(|edge| edge.to).collect()))
    }

    async fn release_names_of(&self, user: UserId, kind: NameKind) -> Result<()> {
        loop {
            let names = self.storage.names_of(user, kind, STEP).await?;
            if names.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::on(user.shard());
            for (key, holder) in &names {
                batch.release(kind, key, *holder);
            }
            self.commit(batch).await?;
        }
    }

    async fn purge_owned(&self, assoc: Assoc, from: Id) -> Result<()> {
        while let Some(ids) = self.some_of(assoc, from).await? {
            let mut batch = Batch::on(from.shard());
            for id in &ids {
                batch.unmap(assoc, from, *id).purge(*id);
            }
            self.commit(batch).await?;
            self.cache.invalidate_many(ids.into_iter().map(|id| Stale::object(id, u64::MAX)).collect()).await;
        }
        Ok(())
    }

    async fn delete_boards_of(&self, user: UserId) -> Result<()> {
        while let Some(ids) = self.some_of(Assoc::UserHasBoards, user.id()).await? {
            for id in ids {
                let board = BoardId::try_from(id).map_err(Error::internal)?;
                self.drop_mirrored(Assoc::BoardFollowedByUsers, id).await?;
                self.drop_mirrored(Assoc::BoardLeftOutByUsers, id).await?;
                if let Some(stored) = self.storage.get::<Board>(id).await? {
                    self.end_board(board, &stored.data).await?;
                }
                self.mend_edges(&[EdgeWish::new(Assoc::UserHasBoards, user, id, None)]).await?;
            }
        }
        // Boards of others lose a collaborator, or an invitation that nobody will answer.
        for assoc in [Assoc::UserJoinsBoards, Assoc::UserInvitedToBoards] {
            while let Some(ids) = self.some_of(assoc, user.id()).await? {
                for id in ids {
                    self.take_off_board(user, id).await?;
                    self.mend_edges(&[EdgeWish::new(assoc, user, id, None)]).await?;
                }
            }
        }
        Ok(())
    }

    async fn take_off_board(&self, user: UserId, board: Id) -> Result<()> {
        let Some(stored) = self.fresh::<Board>(board).await? else { return Ok(()) };
        let mut data = stored.data.clone();
        data.collaborators.retain(|c| c.user != user);
        if data != stored.data {
            let mut batch = Batch::on(board.shard());
            batch.update(board, stored.version, &data);
            self.commit(batch).await?;
        }
        Ok(())
    }

    async fn end_board(&self, board: BoardId, data: &Board) -> Result<()> {
        let event =
            self.event_with(model::EventKind::BoardDeleted, None, String::new(), vec![board.id(), data.owner.id()], serde_json::json!({}));
        let mut batch = Batch::on(board.shard());
        let key = format!("{}/{}", data.owner, data.slug);
        batch.delete(board.id()).release(NameKind::BoardSlug, &key, board.id()).emit(event);
        match self.commit(batch).await {
            // It was deleted before.
            Err(Error::Conflict(_)) => Ok(()),
            other => other.map(drop),
        }
    }
}
