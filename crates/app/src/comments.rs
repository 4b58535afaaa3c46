//! Comments with replies and mentions.

use std::sync::Arc;

use model::limits::{self, MENTIONS_PER_COMMENT_MAX, check_text};
use model::object::{Role, SCHEMA_VERSION};
use model::text::mentions_of;
use model::{Assoc, Comment, CommentId, EventKind, Id, Kind, PinId, Stored, User, UserId};
use serde_json::json;
use storage::{Condition, Order, Range};

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, PinView, lists, page_of, stands};
use crate::plan::Plan;
use crate::viewer::Viewer;

/// A comment with what is shown around it.
#[derive(Clone, Debug)]
pub struct CommentView {
    pub comment: Arc<Stored<Comment>>,
    pub author: Arc<Stored<User>>,
    pub likes: u64,
    pub liked: bool,
    pub replies: Vec<CommentView>,
    /// The viewer may delete it: its author, the pin's owner, an admin.
    pub deletable: bool,
}

/// Replies shown below one comment.
const REPLIES_SHOWN_MAX: usize = 50;
/// Comments whose replies are read at once: 1,000 of them at most, as many authors as the feeds are asked about in one call.
const REPLIED_STEP: usize = 20;
const COMMENTS_PER_PIN_MAX: u64 = 20_000;

impl App {
    /// Writes a comment, or a reply to one.
    pub async fn add_comment(&self, viewer: &Viewer, pin: PinId, text: &str, reply_to: Option<CommentId>) -> Result<CommentId> {
        let me = viewer.require()?;
        let view = self.pin(viewer, pin).await?;
        if self.is_blocked_now(me, view.pin.data.owner).await? {
            return Err(Error::Forbidden("You can't comment on this pin.".into()));
        }
        let text = check_text("text", "The comment", text, limits::COMMENT_CHARS_MAX)?;
        if text.is_empty() {
            return Err(Error::invalid("text", "The comment is empty; write something first."));
        }
        let parent = match reply_to {
            Some(comment) => Some(self.top_of_thread(viewer, pin, comment).await?),
            None => None,
        };
        let mentions = self.mentioned(viewer, me, &text).await?;
        let id: CommentId = self.new_id(pin.shard(), Kind::Comment).await?;
        let now = self.now();
        let comment = Comment { v: SCHEMA_VERSION, pin, author: me, text, parent, mentions, at: now };
        let event = self.event_with(
            EventKind::CommentCreated,
            Some(me),
            viewer.request_id.clone(),
            vec![id.id(), pin.id()],
            json!({ "reply_to": reply_to }),
        );
        let mut plan = Plan::decided_on(pin.shard());
        plan.decision()
            .require(Condition::Active(pin.id()))
            .require(Condition::CountBelow(Assoc::PinHasComments, pin.id(), COMMENTS_PER_PIN_MAX))
            .create(id.id(), &comment)
            .map(Assoc::PinHasComments, pin.id(), id.id(), now.0)
            .emit(event);
        if let Some(parent) = parent {
            plan.decision().map(Assoc::CommentHasReplies, parent.id(), id.id(), now.0);
        }
        plan.wish(&[EdgeWish::new(Assoc::UserWritesComments, me, id, Some(now.0))]);
        self.carry_out(plan).await?;
        Ok(id)
    }

    async fn top_of_thread(&self, viewer: &Viewer, pin: PinId, comment: CommentId) -> Result<CommentId> {
        let stored = self.comment(viewer, comment).await?;
        if stored.data.pin != pin {
            return Err(Error::NotFound(What::Comment));
        }
        Ok(stored.data.parent.unwrap_or(comment))
    }

    async fn mentioned(&self, viewer: &Viewer, me: UserId, text: &str) -> Result<Vec<UserId>> {
        let mut mentioned = Vec::new();
        for name in mentions_of(text).into_iter().take(MENTIONS_PER_COMMENT_MAX) {
            let Ok(id) = self.id_named(&name).await else { continue };
            if id != me && self.object::<User>(id).await?.is_some_and(|user| stands(&user)) {
                mentioned.push(id);
            }
        }
        let blocked = self.blocked_among(viewer, mentioned.iter().map(|id| id.id())).await?;
        mentioned.retain(|id| !blocked.contains(&id.id()));
        Ok(mentioned)
    }

    /// Reads a comment on a pin that the viewer may see.
    pub async fn comment(&self, viewer: &Viewer, comment: CommentId) -> Result<Arc<Stored<Comment>>> {
        let stored = self.object::<Comment>(comment).await?.filter(|stored| stored.active).ok_or(Error::NotFound(What::Comment))?;
        self.pin(viewer, stored.data.pin).await.map_err(|_| Error::NotFound(What::Comment))?;
        Ok(stored)
    }

    /// Deletes a comment: its author, the pin's owner, an owner of the board, or an admin.
    pub async fn delete_comment(&self, viewer: &Viewer, comment: CommentId) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.comment(viewer, comment).await?;
        let pin = self.pin(viewer, stored.data.pin).await?;
        let owns_board = pin.board.data.role_of(me) == Some(Role::Owner);
        if stored.data.author != me && pin.pin.data.owner != me && !owns_board && !viewer.is_admin() {
            return Err(Error::Forbidden("Only its author or the pin's owner can delete this comment.".into()));
        }
        let mut plan = Plan::decided_on(comment.shard());
        plan.decision()
            .require(Condition::Version(comment.id(), stored.version))
            .delete(comment.id())
            .unmap(Assoc::PinHasComments, stored.data.pin.id(), comment.id())
            .emit(self.event(EventKind::CommentDeleted, viewer, vec![comment.id(), stored.data.pin.id()]));
        if let Some(parent) = stored.data.parent {
            plan.decision().unmap(Assoc::CommentHasReplies, parent.id(), comment.id());
        }
        // The author's own edge stays as long as the row, so that deleting the account finds it.
        self.carry_out(plan).await?;
        self.delete_replies(comment).await
    }

    /// Deletes the replies to a deleted comment: nothing shows them any more, so nothing may count them. Safe to repeat.
    pub(crate) async fn delete_replies(&self, comment: CommentId) -> Result<()> {
        loop {
            let range = Range { after: None, limit: REPLIES_SHOWN_MAX, order: Order::Ascending };
            let edges = self.storage.range(Assoc::CommentHasReplies, comment.id(), range).await?;
            if edges.is_empty() {
                return Ok(());
            }
            for edge in edges {
                let mut plan = Plan::decided_on(comment.shard());
                plan.decision().unmap(Assoc::CommentHasReplies, comment.id(), edge.to);
                if let Some(reply) = self.fresh::<Comment>(edge.to).await? {
                    let pin = reply.data.pin.id();
                    let event = self.event(EventKind::CommentDeleted, &Viewer::anonymous(), vec![edge.to, pin]);
                    plan.decision().delete(edge.to).unmap(Assoc::PinHasComments, pin, edge.to).emit(event);
                }
                self.carry_out(plan).await?;
            }
        }
    }

    /// Lists the comments of a pin, newest first, each with its replies, oldest first.
    pub async fn comments(&self, viewer: &Viewer, pin: PinId, request: &PageRequest) -> Result<Page<CommentView>> {
        let view = self.pin(viewer, pin).await?;
        self.comments_on(viewer, &view, request).await
    }

    /// Lists the comments of a pin that the viewer sees.
    pub async fn comments_on(&self, viewer: &Viewer, view: &PinView, request: &PageRequest) -> Result<Page<CommentView>> {
        let pin = view.id();
        let (size, assoc) = (request.size()?, Assoc::PinHasComments);
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let mut items = Vec::new();
        loop {
            let edges = self.storage.range(assoc, pin.id(), Range { after, limit: size + 1, order: Order::Descending }).await?;
            let ended = edges.len() <= size;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            let mut shown = self.comment_views(viewer, view.pin.data.owner, &ids, true).await?;
            for edge in edges {
                let at = shown.iter().position(|c| c.comment.id == edge.to && c.comment.data.parent.is_none());
                if let Some(at) = at {
                    items.push((edge, shown.swap_remove(at)));
                }
            }
            if ended || items.len() > size {
                break;
            }
        }
        let mut page = page_of(items, size, lists::of_assoc(assoc));
        for comments in page.items.chunks_mut(REPLIED_STEP) {
            let range = Range { after: None, limit: REPLIES_SHOWN_MAX, order: Order::Ascending };
            let tops: Vec<Id> = comments.iter().map(|comment| comment.comment.id).collect();
            let replies = self.storage.ranges(Assoc::CommentHasReplies, &tops, range).await?;
            let ids: Vec<Id> = replies.iter().flatten().map(|edge| edge.to).collect();
            let mut shown = self.comment_views(viewer, view.pin.data.owner, &ids, false).await?.into_iter().peekable();
            for (comment, replies) in comments.iter_mut().zip(replies) {
                for reply in replies {
                    comment.replies.extend(shown.next_if(|shown| shown.comment.id == reply.to));
                }
            }
        }
        Ok(page)
    }

    async fn comment_views(&self, viewer: &Viewer, pin_owner: UserId, ids: &[Id], tops_only: bool) -> Result<Vec<CommentView>> {
        let comments: Vec<_> = self.objects::<Comment>(ids).await?.into_iter().flatten().filter(|c| c.active).collect();
        let authors = self.by_id::<User>(comments.iter().map(|comment| comment.data.author.id())).await?;
        let blocked = self.blocked_among(viewer, authors.keys().copied()).await?;
        let ids: Vec<Id> = comments.iter().map(|comment| comment.id).collect();
        let wanted: Vec<_> = ids.iter().map(|id| (Assoc::CommentLikedByUsers, *id)).collect();
        let likes = self.counts_of(&wanted).await?;
        let liked = match viewer.id() {
            Some(me) => self.storage.edges(Assoc::UserLikesComments, me.id(), &ids).await?,
            None => vec![None; ids.len()],
        };
        let mut views = Vec::new();
        for ((comment, likes), liked) in comments.into_iter().zip(likes).zip(liked) {
            let Some(author) = authors.get(&comment.data.author.id()).filter(|author| stands(author)) else { continue };
            if tops_only && comment.data.parent.is_some() {
                continue;
            }
            if !blocked.contains(&author.id) {
                let deletable = viewer.is(comment.data.author) || viewer.is(pin_owner) || viewer.is_admin();
                views.push(CommentView { author: author.clone(), likes, liked: liked.is_some(), replies: Vec::new(), deletable, comment });
            }
        }
        Ok(views)
    }
}
