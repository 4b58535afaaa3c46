//! Deletes everything of a person: pins with their pictures, boards, comments, likes, follows, names, sessions, tokens.
//!
//! The person's row goes last, so that a crash anywhere before leaves a job that does the rest.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Assoc, Board, BoardId, Comment, Id, NameKind, PinId, User, UserId};
use serde::{Deserialize, Serialize};
use storage::{Batch, Range};

use super::AppJob;
use crate::admin::site_id;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result};

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
        let me = self.user.id();
        let Some(stored) = app.storage.get::<User>(me).await? else { return Ok(()) };
        if !stored.data.deleting {
            return Ok(());
        }
        for assoc in [Assoc::UserHasPins, Assoc::UserTrashesPins] {
            while let Some(ids) = app.some_of(assoc, me).await? {
                for pin in ids {
                    app.purge_pin(PinId::try_from(pin).map_err(Error::internal)?).await?;
                    app.mend_edges(&[EdgeWish::new(assoc, self.user, pin, None)]).await?;
                }
                context.heartbeat().await.map_err(Error::internal)?;
            }
        }
        while let Some(ids) = app.some_of(Assoc::UserWritesComments, me).await? {
            for comment in ids {
                if let Some(written) = app.storage.get::<Comment>(comment).await? {
                    app.purge_comment(comment, written.data.pin).await?;
                }
                app.mend_edges(&[EdgeWish::new(Assoc::UserWritesComments, self.user, comment, None)]).await?;
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
        app.delete_boards_of(self.user).await?;
        for assoc in MIRRORED {
            app.drop_mirrored(assoc, me).await?;
        }
        for assoc in OWN_OBJECTS {
            app.purge_owned(assoc, me).await?;
        }
        for assoc in [Assoc::UserMutesUsers, Assoc::UserHasImages] {
            app.drop_edges(assoc, me).await?;
        }
        for kind in [NameKind::SourceKey, NameKind::BoardSlug] {
            app.release_names_of(self.user, kind).await?;
        }
        if let Some(picture) = &stored.data.picture {
            app.let_go_of_profile_picture(&picture.hash, self.user).await?;
        }
        app.mend_edges(&[EdgeWish::new(Assoc::SiteHasUsers, site_id(), self.user, None)]).await?;
        app.release_name(NameKind::Username, &stored.data.username, self.user).await?;
        if !stored.data.email.is_empty() {
            app.release_name(NameKind::Email, &stored.data.email, self.user).await?;
        }
        let mut batch = Batch::on(self.user.shard());
        batch.purge(me);
        app.commit(batch).await?;
        app.cache.invalidate(me, u64::MAX);
        Ok(())
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

impl App {
    /// Reads some ends of an association, or `None` when there are no more.
    async fn some_of(&self, assoc: Assoc, from: Id) -> Result<Option<Vec<Id>>> {
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
            for id in ids {
                self.cache.invalidate(id, u64::MAX);
            }
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
