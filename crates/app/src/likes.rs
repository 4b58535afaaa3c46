//! Likes of pins and of comments.

use model::{Assoc, CommentId, EventKind, Id, PinId, UserId};

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::Result;
use crate::hydrate::{Page, PageRequest, PinView, Seen, Strictness};
use crate::plan::Plan;
use crate::viewer::Viewer;

impl App {
    /// Likes a pin or takes the like back. Returns the likes it has then.
    pub async fn like_pin(&self, viewer: &Viewer, pin: PinId, on: bool) -> Result<u64> {
        let me = viewer.require()?;
        self.pin(viewer, pin).await?;
        let kind = if on { EventKind::PinLiked } else { EventKind::PinUnliked };
        self.set_like(viewer, me, Assoc::UserLikesPins, pin.id(), on, kind, vec![pin.id()]).await?;
        self.count_of(Assoc::PinLikedByUsers, pin.id()).await
    }

    /// Likes a comment or takes the like back. Returns the likes it has then.
    pub async fn like_comment(&self, viewer: &Viewer, comment: CommentId, on: bool) -> Result<u64> {
        let me = viewer.require()?;
        let stored = self.comment(viewer, comment).await?;
        let kind = if on { EventKind::CommentLiked } else { EventKind::CommentUnliked };
        let subjects = vec![comment.id(), stored.data.pin.id()];
        self.set_like(viewer, me, Assoc::UserLikesComments, comment.id(), on, kind, subjects).await?;
        self.count_of(Assoc::CommentLikedByUsers, comment.id()).await
    }

    #[allow(clippy::too_many_arguments)] // One private place where an edge, its event and its subjects meet.
    async fn set_like(
        &self,
        viewer: &Viewer,
        me: UserId,
        assoc: Assoc,
        to: Id,
        on: bool,
        kind: EventKind,
        subjects: Vec<Id>,
    ) -> Result<()> {
        let there = self.storage.edges(assoc, me.id(), &[to]).await?[0].is_some();
        if there == on {
            return Ok(());
        }
        let sequence = on.then_some(self.now().0);
        let mirror = assoc.mirror().expect("likes are mirrored");
        let mut plan = Plan::decided_on(me.shard());
        plan.decision().emit(self.event(kind, viewer, subjects));
        plan.wish(&[EdgeWish::new(assoc, me, to, sequence), EdgeWish::new(mirror, to, me, sequence)]);
        self.carry_out(plan).await?;
        Ok(())
    }

    /// Says which of the pins the viewer likes.
    pub async fn likes(&self, viewer: &Viewer, pins: &[Id]) -> Result<Vec<bool>> {
        let Some(me) = viewer.id() else { return Ok(vec![false; pins.len()]) };
        Ok(self.edges_of(Assoc::UserLikesPins, me.id(), pins).await?.into_iter().map(|edge| edge.is_some()).collect())
    }

    /// Lists the pins that a person likes, as far as the viewer may see them.
    pub async fn liked_pins(&self, viewer: &Viewer, seen: &Seen, request: &PageRequest) -> Result<Page<PinView>> {
        self.pins_along(viewer, Assoc::UserLikesPins, seen.id().id(), request, Strictness::Listed).await
    }
}
