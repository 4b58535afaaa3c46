//! What follows from an action: mirrored edges, topics, notifications, jobs.

use std::sync::Arc;
use std::time::Instant;

use model::object::NotificationKind as Notify;
use model::{Assoc, Board, BoardId, Comment, CommentId, Event, EventKind, ImageId, Pin, PinId, SectionId, Stored, UserId};
use runtime::Shutdown;

use crate::collaborators::collaborator_edges;
use crate::compose::App;
use crate::edges::{EdgeWish, left_behind};
use crate::error::Result;
use crate::follows::end_of_following;
use crate::jobs;
use crate::notifications::Notice;
use crate::plan::Seen;
use crate::viewer::is_listed;

impl App {
    pub async fn run_follow_up(&self, shutdown: Shutdown) -> Result<()> {
        self.consume("follow_up", shutdown, |event, read_at| self.follow_up_read(event, Some(read_at))).await
    }

    /// Does everything that follows from one event. Safe to repeat.
    pub async fn follow_up(&self, event: Event) -> Result<()> {
        self.follow_up_read(event, None).await
    }

    /// The same for an event that was read from the log at that instant: what its writer had written whole by then is not looked at again.
    pub async fn follow_up_read(&self, event: Event, read_at: Option<Instant>) -> Result<()> {
        use EventKind as K;
        match event.kind {
            K::PinCreated | K::PinSaved | K::PinChanged | K::PinMoved | K::PinTrashed | K::PinRestored => {
                let seen = read_at.and_then(|at| self.whole().at(&event.id, at));
                self.after_pin(&event, seen).await
            }
            K::BoardChanged | K::BoardDeleted | K::CollaboratorInvited | K::CollaboratorJoined | K::CollaboratorLeft => {
                self.after_board(&event).await
            }
            K::PinLiked | K::PinUnliked => self.after_edge(&event, Assoc::UserLikesPins, Some(Notify::Liked)).await,
            K::CommentLiked | K::CommentUnliked => self.after_edge(&event, Assoc::UserLikesComments, Some(Notify::CommentLiked)).await,
            K::UserFollowed | K::UserUnfollowed => self.after_edge(&event, Assoc::UserFollowsUsers, Some(Notify::Followed)).await,
            K::BoardFollowed | K::BoardUnfollowed => self.after_edge(&event, Assoc::UserFollowsBoards, Some(Notify::BoardFollowed)).await,
            K::TopicFollowed | K::TopicUnfollowed => self.after_edge(&event, Assoc::UserFollowsTopics, None).await,
            K::BoardLeftOut | K::BoardTakenBack => self.after_edge(&event, Assoc::UserLeavesOutBoards, None).await,
            K::UserBlocked | K::UserUnblocked => self.after_block(&event).await,
            K::CommentCreated | K::CommentDeleted => self.after_comment(&event).await,
            K::UserSignedUp => self.after_sign_up(&event).await,
            K::UserChanged => self.after_user(&event).await,
            K::PinPurged => match (event.subject::<PinId>(0), event.subject::<ImageId>(2)) {
                (Some(pin), Some(image)) => self.after_purge(pin, image).await,
                _ => Ok(()),
            },
            K::TakedownMade | K::TakedownAppealed | K::TakedownDecided => self.after_takedown(&event).await,
            K::LegalHoldReleased => self.enqueue(jobs::ResumePurges { cause: event.id.clone() }).await,
            K::UserDeleted => match event.subject::<UserId>(0) {
                Some(user) => self.enqueue(jobs::DeleteUser { user }).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn after_pin(&self, event: &Event, seen: Option<Seen>) -> Result<()> {
        let Some(id) = event.subject::<PinId>(0) else { return Ok(()) };
        if let Some(seen) = seen
            && let Some((pin, board)) = self.pin_as_it_began(id, seen).await?
        {
            return self.after_mended_pin(id, &pin, Some(&board), event).await;
        }
        let mended = self.mend_pin(id).await?;
        self.leave_old_place(id, mended.as_ref().map(|(stored, _)| &stored.data), event).await?;
        let Some((stored, board)) = mended else { return Ok(()) };
        self.after_mended_pin(id, &stored, board.as_ref(), event).await
    }

    /// Reads a pin and its board if its writer had written all edges before the event was read, by the board as it still is: then nobody has to
    /// look for them, and what has happened to the pin since has events of its own.
    async fn pin_as_it_began(&self, id: PinId, (board, version): Seen) -> Result<Option<(Arc<Stored<Pin>>, Stored<Board>)>> {
        let Some(mut pin) = self.pin_at_its_beginning(id).await? else { return Ok(None) };
        if !pin.data.tags.is_empty() {
            // Topics are written by what the pin is now, side by side with what follows from its other events.
            let Some(now) = self.storage.get::<Pin>(id).await? else { return Ok(None) };
            pin = Arc::new(now);
        }
        let is_there = pin.data.board.id() == board;
        let board = self.storage.get::<Board>(board).await?.filter(|board| is_there && board.version == version);
        Ok(board.map(|board| (pin, board)))
    }

    /// Reads a pin of whose beginning an event tells. A copy in memory will do: whatever changed the pin since has an event of its own, which
    /// reads it from storage.
    pub(super) async fn pin_at_its_beginning(&self, pin: PinId) -> Result<Option<Arc<Stored<Pin>>>> {
        // Somebody may have asked for it before it was there.
        match self.object::<Pin>(pin).await? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.storage.get::<Pin>(pin).await?.map(Arc::new)),
        }
    }

    async fn after_mended_pin(&self, id: PinId, stored: &Stored<Pin>, board: Option<&Stored<Board>>, event: &Event) -> Result<()> {
        if !stored.active {
            return Ok(());
        }
        if stored.data.trashed_at.is_none()
            && let Some(deleted) = board.filter(|board| !board.active)
        {
            // It came, or was mended, after its board was deleted: no list of that board leads the board's own job to it any more.
            return self.trash_with_board(id.id(), deleted).await;
        }
        let listed = stored.data.trashed_at.is_none() && !stored.data.hidden && board.is_some_and(is_listed);
        self.mend_topics(id, &stored.data, listed, event).await?;
        match event.kind {
            EventKind::PinTrashed => {
                if let Some(trashed_at) = stored.data.trashed_at {
                    self.enqueue_after(jobs::PurgePin { pin: id, trashed_at }, self.settings.trash_retention_ms).await?;
                }
            }
            EventKind::PinCreated | EventKind::PinSaved if !self.has_picture_of_parent(&stored.data).await? => {
                self.enqueue(jobs::MakeRenditions { hash: stored.data.picture.hash.clone() }).await?;
            }
            _ => {}
        }
        if event.kind == EventKind::PinSaved && listed {
            self.notify_saved(&stored.data, event).await?;
        }
        Ok(())
    }

    /// Says whether a pin shows the picture of the pin that it was saved from: then the renditions are there, or on their way.
    async fn has_picture_of_parent(&self, pin: &Pin) -> Result<bool> {
        let Some(parent) = pin.parent else { return Ok(false) };
        Ok(self.object::<Pin>(parent).await?.is_some_and(|parent| parent.data.image == pin.image))
    }

    async fn notify_saved(&self, saved: &Pin, event: &Event) -> Result<()> {
        let Some(parent) = saved.parent else { return Ok(()) };
        let Some(source) = self.object::<Pin>(parent).await? else { return Ok(()) };
        let notice = Notice { to: source.data.owner, kind: Notify::Saved, actor: saved.owner, subject: parent.id(), comment: None };
        self.notify(notice, event).await
    }

    async fn leave_old_place(&self, id: PinId, now: Option<&Pin>, event: &Event) -> Result<()> {
        let old_board = event.data["old_board"].as_str().and_then(|text| text.parse::<BoardId>().ok());
        let old_section = event.data["old_section"].as_str().and_then(|text| text.parse::<SectionId>().ok());
        self.mend_edges(&left_behind(id.id(), old_board, old_section, now)).await.map(drop)
    }

    async fn mend_topics(&self, id: PinId, pin: &Pin, listed: bool, event: &Event) -> Result<()> {
        let old = event.data["old_tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str());
        for tag in old.filter(|tag| !pin.tags.contains(*tag)) {
            if let Ok(topic) = self.topic_id(tag).await {
                self.mend_edges(&[EdgeWish::new(Assoc::TopicHasPins, topic, id, None)]).await?;
            }
        }
        for tag in &pin.tags {
            let topic = if listed { self.ensure_topic(tag).await.map(Some)? } else { self.topic_id(tag).await.ok() };
            if let Some(topic) = topic {
                self.mend_edges(&[EdgeWish::new(Assoc::TopicHasPins, topic, id, listed.then_some(pin.at.0))]).await?;
            }
        }
        Ok(())
    }

    async fn after_board(&self, event: &Event) -> Result<()> {
        let Some(id) = event.subject::<BoardId>(0) else { return Ok(()) };
        let Some(stored) = self.storage.get::<Board>(id).await? else { return Ok(()) };
        if let Some(user) = event.subject::<UserId>(1) {
            if stored.active {
                self.mend_edges(&collaborator_edges(id.id(), &stored.data, user)).await?;
            }
            self.notify_collaborator(&stored.data, id, user, event).await?;
        }
        if event.kind == EventKind::BoardDeleted {
            return self.enqueue(jobs::TrashBoardPins { board: id }).await;
        }
        if event.data["pins_affected"].as_bool().unwrap_or(false) {
            return self.enqueue(jobs::ReconcileBoard { board: id, version: stored.version }).await;
        }
        Ok(())
    }

    async fn notify_collaborator(&self, board: &Board, id: BoardId, user: UserId, event: &Event) -> Result<()> {
        let (to, kind) = match event.kind {
            EventKind::CollaboratorInvited => (user, Notify::Invited),
            EventKind::CollaboratorJoined => (board.owner, Notify::InvitationAccepted),
            _ => return Ok(()),
        };
        let Some(actor) = event.actor else { return Ok(()) };
        self.notify(Notice { to, kind, actor, subject: id.id(), comment: None }, event).await?;
        if kind == Notify::Invited
            && let (Some(invited), Some(by)) = (self.fresh::<model::User>(user).await?, self.fresh::<model::User>(actor).await?)
            && invited.data.settings.mail_notifications
        {
            let text = format!(
                "{} invites you to the board “{}”.\n\nAccept or decline here:\n{}/notifications",
                by.data.name, board.name, self.settings.base_url
            );
            let mail = jobs::SendMail::new(&invited, "You are invited to a board", text).naming(by.id).naming(board.owner.id());
            self.enqueue(mail.once(format!("invite/{}", event.id))).await?;
        }
        Ok(())
    }

    /// Mirrors an edge of the actor as it is now, and tells whoever it concerns if it is there.
    async fn after_edge(&self, event: &Event, assoc: Assoc, notify: Option<Notify>) -> Result<()> {
        let (Some(actor), Some(to)) = (event.actor, event.subjects.first().copied()) else { return Ok(()) };
        if to.kind() != assoc.ends().1 {
            return Ok(());
        }
        let sequence = self.storage.edges(assoc, actor.id(), &[to]).await?[0];
        if let Some(mirror) = assoc.mirror() {
            self.mend_edges(&[EdgeWish::new(mirror, to, actor, sequence)]).await?;
        }
        let (Some(kind), Some(_)) = (notify, sequence) else { return Ok(()) };
        let owner = match kind {
            Notify::Followed => UserId::try_from(to).ok(),
            Notify::BoardFollowed => self.object::<Board>(to).await?.map(|board| board.data.owner),
            Notify::Liked => self.object::<Pin>(to).await?.map(|pin| pin.data.owner),
            Notify::CommentLiked => self.object::<Comment>(to).await?.map(|comment| comment.data.author),
            _ => None,
        };
        let Some(owner) = owner else { return Ok(()) };
        let (subject, comment) = match kind {
            Notify::CommentLiked => (event.subjects.get(1).copied().unwrap_or(to), CommentId::try_from(to).ok()),
            _ => (to, None),
        };
        self.notify(Notice { to: owner, kind, actor, subject, comment }, event).await
    }

    async fn after_block(&self, event: &Event) -> Result<()> {
        self.after_edge(event, Assoc::UserBlocksUsers, None).await?;
        let (Some(actor), Some(other)) = (event.actor, event.subject::<UserId>(0)) else { return Ok(()) };
        if self.storage.edges(Assoc::UserBlocksUsers, actor.id(), &[other.id()]).await?[0].is_some() {
            self.mend_edges(&end_of_following(actor, other)).await?;
        }
        Ok(())
    }

    async fn after_comment(&self, event: &Event) -> Result<()> {
        let (Some(id), Some(pin)) = (event.subject::<CommentId>(0), event.subject::<PinId>(1)) else { return Ok(()) };
        let Some(stored) = self.storage.get::<Comment>(id).await? else { return Ok(()) };
        self.mend_edges(&[EdgeWish::new(Assoc::UserWritesComments, stored.data.author, id, Some(stored.data.at.0))]).await?;
        if !stored.active {
            return self.delete_replies(id).await;
        }
        if event.kind != EventKind::CommentCreated {
            return Ok(());
        }
        let author = stored.data.author;
        let mut told = vec![author];
        let replied_to = event.data["reply_to"].as_str().and_then(|text| text.parse::<CommentId>().ok());
        let mut notices: Vec<(UserId, Notify)> = stored.data.mentions.iter().map(|user| (*user, Notify::Mentioned)).collect();
        if let Some(comment) = replied_to
            && let Some(parent) = self.object::<Comment>(comment).await?
        {
            notices.push((parent.data.author, Notify::Replied));
        }
        if let Some(pin) = self.object::<Pin>(pin).await? {
            notices.push((pin.data.owner, Notify::Commented));
        }
        for (to, kind) in notices {
            if !told.contains(&to) {
                told.push(to);
                self.notify(Notice { to, kind, actor: author, subject: pin.id(), comment: Some(id) }, event).await?;
            }
        }
        Ok(())
    }

    /// What stands with a person on their pins and boards follows: their names, and whether they are there at all.
    async fn after_user(&self, event: &Event) -> Result<()> {
        let Some(user) = event.subject::<UserId>(0).filter(|_| event.data["pins_affected"].as_bool().unwrap_or(false)) else {
            return Ok(());
        };
        let Some(stored) = self.storage.get::<model::User>(user).await?.filter(|user| user.active) else { return Ok(()) };
        self.enqueue(jobs::ReconcileUser { user, version: stored.version }).await
    }

    async fn after_sign_up(&self, event: &Event) -> Result<()> {
        let Some(id) = event.subject::<UserId>(0) else { return Ok(()) };
        let Some(user) = self.storage.get::<model::User>(id).await?.filter(|user| user.active) else { return Ok(()) };
        // A crash between writing the person and confirming the names would leave the names to the sweeper.
        self.confirm_names(id, &user.data.username, &user.data.email).await?;
        self.mend_edges(&[EdgeWish::new(Assoc::SiteHasUsers, crate::admin::site_id(), id, Some(user.data.joined_at.0))]).await?;
        if user.data.email.is_empty() {
            return Ok(());
        }
        let text = format!(
            "Welcome, {}!\n\nYour profile: {}/{}\n\nMake a board, pin the first picture, and follow people whose taste you like.",
            user.data.name, self.settings.base_url, user.data.username
        );
        self.enqueue(jobs::SendMail::new(&user, &format!("Welcome to {}", self.settings.site_title), text).once(format!("welcome/{id}")))
            .await
    }
}
