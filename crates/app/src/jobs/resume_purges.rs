//! Purges what waited for the end of a legal hold.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Assoc, Board, Id, ImageId, Pin, PinId, Section, Session, Token, User, UserId};
use serde::{Deserialize, Serialize};
use storage::Batch;

use super::AppJob;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result};
use crate::holds::{Guard, Purge};

/// Looks at everything that waits and purges what no hold stands on any more. What is still held goes on waiting.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResumePurges {
    /// The release or the sweep that asks: one job each.
    pub cause: String,
}

#[async_trait]
impl AppJob for ResumePurges {
    const QUEUE: &'static str = "resume_purges";
    const CONCURRENCY: usize = 1;
    const PRIORITY: u8 = 8;

    fn key(&self) -> Option<String> {
        Some(self.cause.clone())
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        // People first: their traces are told by the pins that are still there.
        for assoc in [Assoc::SitePostponesUsers, Assoc::SitePostponesPins] {
            let mut after = None;
            loop {
                let edges = app.postponed(assoc, after).await?;
                let Some(last) = edges.last() else { break };
                after = Some((last.sequence, last.to));
                for edge in edges {
                    app.resume_purge(edge.to, context).await?;
                }
                context.heartbeat().await.map_err(Error::internal)?;
            }
        }
        Ok(())
    }
}

impl App {
    async fn resume_purge(&self, subject: Id, context: &JobContext) -> Result<()> {
        if let Ok(pin) = PinId::try_from(subject) {
            let owner = self.storage.get::<Pin>(pin).await?.map(|stored| stored.data.owner);
            // Asked first, because a purge that meets a hold writes.
            if self.ask_unheld(&Guard::of_pin(pin, owner)).await? == Purge::Done {
                let _ = self.purge_pin(pin).await?;
            }
            return Ok(());
        }
        let user = UserId::try_from(subject).map_err(Error::internal)?;
        if self.ask_unheld(&Guard::of(user)).await? == Purge::Postponed {
            return Ok(());
        }
        match self.storage.get::<User>(user).await? {
            Some(stored) if stored.data.deleting => self.delete_user(user, context).await.map(drop),
            _ => self.purge_kept(user).await,
        }
    }

    /// Purges what only a legal hold on a person kept: ended sessions, revoked tokens, sections of deleted boards, former profile
    /// pictures. A hold that comes meanwhile stops it; the person's note then stays.
    pub(crate) async fn purge_kept(&self, user: UserId) -> Result<()> {
        let (shard, guard) = (user.shard(), Guard::of(user));
        let sessions = self.rows_of_shard::<Session>(shard, |session| session.user == user).await?;
        let tokens = self.rows_of_shard::<Token>(shard, |token| token.user == user).await?;
        let mut ended: Vec<Id> = sessions.iter().filter(|row| !row.active).map(|row| row.id).collect();
        ended.extend(tokens.iter().filter(|row| !row.active).map(|row| row.id));
        for section in self.rows_of_shard::<Section>(shard, |_| true).await?.iter().filter(|row| !row.active) {
            let board = self.storage.get::<Board>(section.data.board).await?;
            ended.extend(board.filter(|board| board.data.owner == user).map(|_| section.id));
        }
        for id in ended {
            let mut batch = Batch::on(shard);
            batch.purge(id);
            if self.commit_unheld(batch, &guard).await? == Purge::Postponed {
                return Ok(());
            }
        }
        while let Some(images) = self.some_of(Assoc::UserKeepsImages, user.id()).await? {
            for image in images {
                if self.ask_unheld(&guard).await? == Purge::Postponed {
                    return Ok(());
                }
                let kept = ImageId::try_from(image).map_err(Error::internal)?;
                let shown = self.storage.get::<User>(user).await?.and_then(|stored| stored.data.picture).map(|picture| picture.hash);
                let hash = self.storage.get::<model::Image>(kept).await?.map(|stored| stored.data.picture.hash);
                // The profile may show the same picture again by now.
                if shown.is_none() || shown != hash {
                    self.let_go_of_image(user, kept).await?;
                }
                self.mend_edges(&[EdgeWish::new(Assoc::UserKeepsImages, user, image, None)]).await?;
            }
        }
        self.forget_postponed(Assoc::SitePostponesUsers, user.id()).await
    }
}
