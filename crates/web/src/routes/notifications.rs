//! `/notifications`: what happened around a person's pins, and invitations that wait for an answer.

use app::notifications::{NotificationGroup as Found, Subject};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use model::object::{NotificationKind, Role};
use model::{BoardId, Timestamp, User};

use super::home::ListQuery;
use crate::context::Context;
use crate::present;
use crate::respond::{Answer, Told, frame, html, page};
use crate::server::Web;
use crate::view::notifications::{Invitation, NotificationGroup, NotificationList, Notifications};
use crate::view::page::Nav;

/// People named in one line; the others are counted.
const PEOPLE_NAMED: usize = 3;

pub fn router() -> Router<Web> {
    Router::new().route("/notifications", get(show))
}

async fn show(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    let found = web.app.notifications(&context.viewer, &query.request()).await.told(&web, &context)?;
    let now = web.app.now();
    let mut groups = Vec::with_capacity(found.items.len());
    for group in found.items {
        groups.push(group_view(&web, &context, group, now).await.told(&web, &context)?);
    }
    let next_url = found.bookmark.as_deref().map(|bookmark| format!("/notifications?bookmark={bookmark}"));
    let list = NotificationList { groups, next_url };
    if context.wants("cards") {
        return Ok(html(&list));
    }
    let invitations = match query.bookmark {
        None => invitations(&web, &context, now).await.told(&web, &context)?,
        Some(_) => Vec::new(),
    };
    let mut frame = frame(&web, &context, "Notifications", Nav::Notifications).await;
    frame.unlisted = true;
    if query.bookmark.is_none() {
        // Whoever looks at them has read them; what is new stays marked on this page.
        web.app.read_notifications(&context.viewer).await.told(&web, &context)?;
        if let Some(viewer) = &mut frame.viewer {
            viewer.unread_notifications = 0;
        }
    }
    Ok(page(&context, &Notifications { page: frame, list, invitations }))
}

async fn invitations(web: &Web, context: &Context, now: Timestamp) -> app::Result<Vec<Invitation>> {
    let mut views = Vec::new();
    for (board, invitation, by) in web.app.invitations(&context.viewer).await? {
        let Some(owner) = web.app.object::<User>(board.data.owner).await?.filter(|owner| app::hydrate::stands(owner)) else { continue };
        // A secret board opens only after the invitation is accepted.
        let seen = app::viewer::may_see_board(&board, &context.viewer);
        views.push(Invitation {
            board: BoardId::try_from(board.id).map_err(app::Error::internal)?,
            board_name: board.data.name.clone(),
            board_url: if seen { present::board_url(&owner, &board) } else { "/notifications".into() },
            from: present::person(&by),
            allows: allows(invitation.role).into(),
            at: present::time(invitation.at, now),
        });
    }
    Ok(views)
}

fn allows(role: Role) -> &'static str {
    match role {
        Role::View => "look at",
        Role::Add => "add pins to",
        Role::Edit | Role::Owner => "add, change and order pins on",
    }
}

/// Says what they did, with its icon.
fn verb(kind: NotificationKind) -> (&'static str, &'static str) {
    use NotificationKind as K;
    match kind {
        K::Followed => ("follows you now", "person"),
        K::BoardFollowed => ("follows your board", "board"),
        K::Liked => ("liked", "heart"),
        K::Saved => ("saved", "save"),
        K::Commented => ("commented on", "comment"),
        K::Replied => ("replied to you on", "comment"),
        K::Mentioned => ("mentioned you on", "at"),
        K::CommentLiked => ("liked your comment on", "heart"),
        K::Invited => ("invited you to", "board"),
        K::InvitationAccepted => ("joined your board", "board"),
        K::Moderated => ("Taken down by the admins:", "shield"),
        K::TakedownUpheld => ("Your appeal was refused:", "shield"),
        K::TakedownReversed => ("It shows again:", "shield"),
    }
}

/// Says it of several people.
fn plural_verb(kind: NotificationKind) -> &'static str {
    match kind {
        NotificationKind::Followed => "follow you now",
        NotificationKind::BoardFollowed => "follow your board",
        other => verb(other).0,
    }
}

/// Says whether the site itself speaks: such a notice names nobody and leads to the records.
fn is_official(kind: NotificationKind) -> bool {
    matches!(kind, NotificationKind::Moderated | NotificationKind::TakedownUpheld | NotificationKind::TakedownReversed)
}

async fn group_view(web: &Web, context: &Context, group: Found, now: Timestamp) -> app::Result<NotificationGroup> {
    let (words, icon) = verb(group.kind);
    let first = group.actors.first().map(|actor| format!("/{}", actor.data.username)).unwrap_or_default();
    let (subject, picture, url) = match &group.subject {
        Subject::Pin(pin) => {
            let whose = if context.viewer.is(pin.data.owner) { "your pin" } else { "a pin" };
            let words = if pin.data.title.is_empty() { whose.to_owned() } else { pin.data.title.clone() };
            let at = group.comment.as_ref().map(|comment| format!("#comment-{}", comment.id)).unwrap_or_default();
            let url = format!("/pin/{}{at}", pin.id);
            (Some((words, url.clone())), Some(present::picture(&pin.data, "")), url)
        }
        Subject::Board(board) => {
            let owner = web.app.object::<User>(board.data.owner).await?;
            let seen = app::viewer::may_see_board(board, &context.viewer);
            let url = owner.filter(|_| seen).map_or_else(|| "/notifications".to_owned(), |owner| present::board_url(&owner, board));
            (Some((board.data.name.clone(), url.clone())), None, url)
        }
        Subject::Person => (None, None, first),
    };
    let official = is_official(group.kind);
    let (subject, url) = match official {
        true => (subject.or_else(|| Some(("your comment".into(), "/takedowns".into()))), "/takedowns".to_owned()),
        false => (subject, url),
    };
    let actors = if official { &[][..] } else { &group.actors[..] };
    let named: Vec<_> = actors.iter().take(PEOPLE_NAMED).map(|actor| present::person(actor)).collect();
    Ok(NotificationGroup {
        unread: group.unread,
        other_count: (actors.len() - named.len()) as u64,
        verb: if group.actors.len() > 1 { plural_verb(group.kind) } else { words }.to_owned(),
        people: named,
        subject,
        quote: group.comment.as_ref().map(|comment| comment.data.text.clone()),
        picture,
        url,
        icon,
        at: present::time(group.at, now),
    })
}
