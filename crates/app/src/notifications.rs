//! Notifications: made by the consumer from events, once per event and person, and shown in groups.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cache::Stale;
use model::object::{NotificationKind, Privacy, SCHEMA_VERSION};
use model::{Assoc, Board, Comment, CommentId, Id, Kind, NameKind, Notification, NotificationId, Pin, Stored, User, UserId};
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, lists, page_of, stands};
use crate::pins::source_key;
use crate::viewer::{Viewer, may_see_board, pin_stands};

/// What a notification is about.
#[derive(Clone, Debug)]
pub enum Subject {
    Pin(Arc<Stored<Pin>>),
    Board(Arc<Stored<Board>>),
    Person,
}

/// Notifications of one kind about one subject.
#[derive(Clone, Debug)]
pub struct NotificationGroup {
    pub kind: NotificationKind,
    pub subject: Subject,
    /// The newest first, each once.
    pub actors: Vec<Arc<Stored<User>>>,
    pub comment: Option<Arc<Stored<Comment>>>,
    pub at: model::Timestamp,
    pub unread: bool,
}

/// A notification with all that it takes to show it.
struct Showable {
    notification: Arc<Stored<Notification>>,
    actor: Arc<Stored<User>>,
    subject: Subject,
    comment: Option<Arc<Stored<Comment>>>,
}

/// More unread ones than this are shown as "20+".
pub const UNREAD_SHOWN_MAX: usize = 20;
/// How long the number of unread ones is believed when nothing new has come: what was hidden or deleted meanwhile still counts.
const UNREAD_KEPT: Duration = Duration::from_secs(5);

fn unread_key(user: UserId) -> String {
    format!("unread/{user}")
}

/// Somebody who is to be told something.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub to: UserId,
    pub kind: NotificationKind,
    pub actor: UserId,
    pub subject: Id,
    pub comment: Option<CommentId>,
}

impl App {
    /// Tells somebody something, once per event however often the event is handled.
    pub(crate) async fn notify(&self, notice: Notice, event: &model::Event) -> Result<()> {
        if notice.to == notice.actor || self.relations(notice.to, &[notice.actor]).await?[0].is_hidden() {
            return Ok(());
        }
        self.tell(notice, event).await
    }

    /// Tells somebody something whatever they have muted or blocked, once per event.
    pub(crate) async fn tell(&self, notice: Notice, event: &model::Event) -> Result<()> {
        let key = source_key(notice.to, &format!("event/{}/{:?}", event.id, notice.kind));
        let id: NotificationId = self.new_id(notice.to.shard(), Kind::Notification).await?;
        let notification = Notification {
            v: SCHEMA_VERSION,
            user: notice.to,
            kind: notice.kind,
            actor: notice.actor,
            subject: notice.subject,
            comment: notice.comment,
            at: event.at,
            event: event.id.clone(),
        };
        let now = self.now();
        let stored = Stored { id: id.id(), version: 1, created_at: now, updated_at: now, active: true, data: notification };
        let began = self.cache.begin();
        let mut batch = Batch::on(notice.to.shard());
        batch.claim(NameKind::SourceKey, &key, id.id()).confirm(NameKind::SourceKey, &key, id.id()).create(id.id(), &stored.data).map(
            Assoc::UserHasNotifications,
            notice.to.id(),
            id.id(),
            event.at.0,
        );
        match self.commit(batch).await {
            // The same event was handled before, or is handled by another worker.
            Err(Error::Conflict(_)) => Ok(()),
            Ok(_) => {
                self.cache.keep(began, Arc::new(stored));
                self.cache.invalidate(Stale::value(unread_key(notice.to)));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Counts the viewer's unread notifications among the newest [`UNREAD_SHOWN_MAX`] + 1. One that can't be shown is not counted: the
    /// number alone would tell that something happened where the viewer may not look.
    pub async fn unread_notifications(&self, viewer: &Viewer) -> Result<usize> {
        let Some(me) = viewer.id() else { return Ok(0) };
        Ok(*self.cache.value(&unread_key(me), UNREAD_KEPT, || self.count_unread(viewer)).await?)
    }

    async fn count_unread(&self, viewer: &Viewer) -> Result<usize> {
        let Some(user) = &viewer.user else { return Ok(0) };
        let edges = self.page_of_edges(Assoc::UserHasNotifications, user.id, None, UNREAD_SHOWN_MAX + 1).await?;
        let unread = edges.iter().take_while(|edge| edge.sequence > user.data.notifications_read_at.0);
        let ids: Vec<Id> = unread.map(|edge| edge.to).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let found = self.objects::<Notification>(&ids).await?.into_iter().flatten().collect();
        Ok(self.showable(viewer, found).await?.len())
    }

    /// Lists the viewer's notifications, grouped within the page.
    pub async fn notifications(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<NotificationGroup>> {
        let me = viewer.require()?;
        let read_at = viewer.user.as_ref().map_or(model::Timestamp(0), |user| user.data.notifications_read_at);
        let (size, assoc) = (request.size()?, Assoc::UserHasNotifications);
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        loop {
            let edges = self.storage.range(assoc, me.id(), Range { after, limit: size + 1, order: Order::Descending }).await?;
            let ended = edges.len() <= size;
            after = edges.get(size.saturating_sub(1)).map(|edge| (edge.sequence, edge.to));
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            let stored = self.objects::<Notification>(&ids).await?;
            let page = page_of(edges.into_iter().zip(stored).collect(), size, lists::of_assoc(assoc));
            let found: Vec<_> = page.items.into_iter().flatten().collect();
            let groups = self.group(viewer, found, read_at).await?;
            // A page in which everything is gone must not look like the end.
            if !groups.is_empty() || ended {
                return Ok(Page { items: groups, bookmark: page.bookmark });
            }
        }
    }

    /// Keeps the notifications whose actor, subject and comment the viewer may see now.
    async fn showable(&self, viewer: &Viewer, notifications: Vec<Arc<Stored<Notification>>>) -> Result<Vec<Showable>> {
        let actors = self.by_id::<User>(notifications.iter().map(|n| n.data.actor.id())).await?;
        let blocked = self.blocked_among(viewer, actors.keys().copied()).await?;
        let mut showable = Vec::with_capacity(notifications.len());
        for notification in notifications {
            let data = &notification.data;
            let Some(actor) = actors.get(&data.actor.id()).filter(|actor| stands(actor) && !blocked.contains(&actor.id)).cloned() else {
                continue;
            };
            let Some(subject) = self.subject(viewer, data.subject).await? else { continue };
            let comment = match data.comment {
                Some(comment) => match self.object::<Comment>(comment).await?.filter(|c| c.active) {
                    Some(comment) => Some(comment),
                    None => continue,
                },
                None => None,
            };
            showable.push(Showable { notification, actor, subject, comment });
        }
        Ok(showable)
    }

    async fn group(
        &self,
        viewer: &Viewer,
        notifications: Vec<Arc<Stored<Notification>>>,
        read_at: model::Timestamp,
    ) -> Result<Vec<NotificationGroup>> {
        let mut groups: Vec<NotificationGroup> = Vec::new();
        let mut places: HashMap<(NotificationKind, Id), usize> = HashMap::new();
        for Showable { notification, actor, subject, comment } in self.showable(viewer, notifications).await? {
            let data = &notification.data;
            let alone = matches!(data.kind, NotificationKind::Commented | NotificationKind::Replied | NotificationKind::Mentioned);
            if !alone && let Some(at) = places.get(&(data.kind, data.subject)) {
                let group = &mut groups[*at];
                if !group.actors.iter().any(|known| known.id == actor.id) {
                    group.actors.push(actor.clone());
                }
                continue;
            }
            places.insert((data.kind, data.subject), groups.len());
            groups.push(NotificationGroup {
                kind: data.kind,
                subject,
                actors: vec![actor.clone()],
                comment,
                at: data.at,
                unread: data.at > read_at,
            });
        }
        Ok(groups)
    }

    async fn subject(&self, viewer: &Viewer, id: Id) -> Result<Option<Subject>> {
        Ok(match id.kind() {
            Kind::Pin => match self.object::<Pin>(id).await?.filter(|pin| pin_stands(pin, viewer)) {
                Some(pin) => {
                    let seen = self.object::<Board>(pin.data.board).await?.is_some_and(|board| may_see_board(&board, viewer));
                    seen.then_some(Subject::Pin(pin))
                }
                None => None,
            },
            Kind::Board => {
                let invited = |board: &Board| viewer.id().is_some_and(|me| board.collaborators.iter().any(|c| c.user == me));
                self.object::<Board>(id)
                    .await?
                    .filter(|board| {
                        may_see_board(board, viewer)
                            || (board.active && invited(&board.data) && (board.data.privacy != Privacy::Secret || viewer.sees_secret))
                    })
                    .map(Subject::Board)
            }
            _ => Some(Subject::Person),
        })
    }

    /// Marks everything up to now as read.
    pub async fn read_notifications(&self, viewer: &Viewer) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        let newest = self.storage.range(Assoc::UserHasNotifications, me.id(), Range::first(1)).await?;
        let Some(newest) = newest.first().filter(|edge| edge.sequence > stored.data.notifications_read_at.0) else { return Ok(()) };
        let mut batch = Batch::on(me.shard());
        batch.update(me.id(), stored.version, &User { notifications_read_at: model::Timestamp(newest.sequence), ..stored.data });
        self.commit(batch).await?;
        self.cache.invalidate(Stale::value(unread_key(me)));
        Ok(())
    }
}
