//! What v5 lacks, under its conventions: home feed, related pins, reactions, comments, notifications, collaborators, and following of
//! boards and topics.

use app::hydrate::PageRequest;
use app::{Viewer, What};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post, put};
use feeds::Target;
use model::object::{HomeOrder, Privacy, Role};
use model::{BoardId, CommentId, PinId};
use serde::Deserialize;

use super::auth::{Access, REACT, READ_ACCOUNT, READ_BOARDS, READ_PINS, WRITE_ACCOUNT, WRITE_BOARDS};
use super::pins::{pin_list, pin_shapes};
use super::request::{JsonBody, Params, filled, id};
use super::respond::{Answer, Failure, created, no_content, ok};
use super::shapes::{self, List, Reactions};
use super::users::person;
use crate::present::user_id;
use crate::server::Web;

/// Related pins of one answer: it has no second page.
const RELATED_MAX: usize = 100;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/home/feed", get(home))
        .route("/pins/{pin_id}/related", get(related))
        .route("/pins/{pin_id}/reactions", put(like_pin).delete(unlike_pin))
        .route("/pins/{pin_id}/comments", get(comments).post(comment))
        .route("/comments/{comment_id}", delete(delete_comment))
        .route("/comments/{comment_id}/reactions", put(like_comment).delete(unlike_comment))
        .route("/notifications/inbox", get(notifications))
        .route("/notifications/inbox/read", post(read_notifications))
        .route("/boards/{board_id}/collaborators", get(collaborators).post(invite))
        .route("/boards/{board_id}/collaborators/accept", post(accept))
        .route("/boards/{board_id}/collaborators/{username}", delete(remove_collaborator))
        .route("/user_account/following/boards/{board_id}", post(follow_board).delete(unfollow_board))
        .route("/user_account/following/topics/{tag}", post(follow_topic).delete(unfollow_topic))
}

async fn home(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let order = match params.get("order") {
        None => viewer.user.as_ref().map(|user| user.data.settings.home_order).unwrap_or_default(),
        Some(text) => {
            HomeOrder::parse(text).ok_or_else(|| Failure::invalid(format!("'{text}' is no order; it must be newest or best.")))?
        }
    };
    let read = async |request: PageRequest| web.app.home_in(&viewer, order, &request).await;
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&pin_list(&web, &viewer, page).await?)
}

async fn related(State(web): State<Web>, access: Access, Path(pin): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let size = params.page()?.size()?.min(RELATED_MAX);
    let view = web.app.pin(&viewer, id(&pin, What::Pin)?).await?;
    let views = web.app.related(&viewer, &view, size).await?;
    ok(&List { items: pin_shapes(&web, &viewer, &views).await?, bookmark: None })
}

async fn like_pin(State(web): State<Web>, access: Access, Path(pin): Path<String>) -> Answer {
    let viewer = access.viewer(REACT)?;
    let count = web.app.like_pin(&viewer, visible_pin(&web, &access, &pin).await?, true).await?;
    ok(&Reactions { reaction_count: count, is_reacted: true })
}

async fn unlike_pin(State(web): State<Web>, access: Access, Path(pin): Path<String>) -> Answer {
    let viewer = access.viewer(REACT)?;
    web.app.like_pin(&viewer, visible_pin(&web, &access, &pin).await?, false).await?;
    no_content()
}

/// Reads a pin's id, if the token may see the pin.
async fn visible_pin(web: &Web, access: &Access, pin: &str) -> Result<PinId, Failure> {
    let pin = id(pin, What::Pin)?;
    web.app.pin(&access.viewer(&[])?, pin).await?;
    Ok(pin)
}

async fn comments(State(web): State<Web>, access: Access, Path(pin): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let pin = id(&pin, What::Pin)?;
    let read = async |request: PageRequest| web.app.comments(&viewer, pin, &request).await;
    ok(&List::of(filled(&params.page()?, |_| true, read).await?, |view| shapes::comment(&view)))
}

#[derive(Deserialize)]
struct CommentBody {
    text: String,
    #[serde(default)]
    parent_comment_id: Option<String>,
}

async fn comment(State(web): State<Web>, access: Access, Path(pin): Path<String>, JsonBody(body): JsonBody<CommentBody>) -> Answer {
    let viewer = access.viewer(REACT)?;
    let pin = visible_pin(&web, &access, &pin).await?;
    let parent = body.parent_comment_id.as_deref().map(|parent| id::<CommentId>(parent, What::Comment)).transpose()?;
    let made = web.app.add_comment(&viewer, pin, &body.text, parent).await?;
    let stored = web.app.comment(&viewer, made).await?;
    let author = web.app.user(&viewer, stored.data.author).await?;
    let view = app::comments::CommentView { comment: stored, author, likes: 0, liked: false, replies: Vec::new(), deletable: true };
    created(&shapes::comment(&view))
}

async fn delete_comment(State(web): State<Web>, access: Access, Path(comment): Path<String>) -> Answer {
    let viewer = secretive(&access, access.viewer(REACT)?)?;
    web.app.delete_comment(&viewer, id(&comment, What::Comment)?).await?;
    no_content()
}

async fn like_comment(State(web): State<Web>, access: Access, Path(comment): Path<String>) -> Answer {
    let viewer = secretive(&access, access.viewer(REACT)?)?;
    let count = web.app.like_comment(&viewer, id(&comment, What::Comment)?, true).await?;
    ok(&Reactions { reaction_count: count, is_reacted: true })
}

async fn unlike_comment(State(web): State<Web>, access: Access, Path(comment): Path<String>) -> Answer {
    let viewer = secretive(&access, access.viewer(REACT)?)?;
    web.app.like_comment(&viewer, id(&comment, What::Comment)?, false).await?;
    no_content()
}

/// Narrows a viewer to what a call sees that needs both areas.
fn secretive(access: &Access, viewer: Viewer) -> Result<Viewer, Failure> {
    let both = access.viewer(&[])?;
    Ok(Viewer { sees_secret: both.sees_secret, writes_secret: both.writes_secret, ..viewer })
}

async fn notifications(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let read = async |request: PageRequest| web.app.notifications(&viewer, &request).await;
    ok(&List::of(filled(&params.page()?, |_| true, read).await?, |group| shapes::notification(&group)))
}

async fn read_notifications(State(web): State<Web>, access: Access) -> Answer {
    web.app.read_notifications(&access.viewer(WRITE_ACCOUNT)?).await?;
    no_content()
}

async fn collaborators(State(web): State<Web>, access: Access, Path(board): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_BOARDS)?;
    let all = web.app.collaborators(&viewer, id(&board, What::Board)?).await?;
    let page = super::request::sliced(all, &params.page()?)?;
    ok(&List::of(page, |(collaborator, user)| shapes::collaborator(&collaborator, &user)))
}

#[derive(Deserialize)]
struct InviteBody {
    username: String,
    role: Role,
}

async fn invite(State(web): State<Web>, access: Access, Path(board): Path<String>, JsonBody(body): JsonBody<InviteBody>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let board = id(&board, What::Board)?;
    let user = person(&web, &viewer, &body.username).await?;
    web.app.invite(&viewer, board, user_id(&user), body.role).await?;
    let all = web.app.collaborators(&viewer, board).await?;
    let invited = all.iter().find(|(collaborator, _)| collaborator.user == user_id(&user));
    let (collaborator, user) = invited.ok_or_else(|| Failure::not_found(What::Invitation))?;
    created(&shapes::collaborator(collaborator, user))
}

/// Reads a board's id, if it is not secret or the token may write secret boards. Invited people can't see the board itself yet.
async fn writable_membership(web: &Web, viewer: &Viewer, board: &str) -> Result<BoardId, Failure> {
    let board = id(board, What::Board)?;
    let stored = web.app.object::<model::Board>(board).await?;
    let secret = stored.is_none_or(|stored| !stored.active || stored.data.privacy == Privacy::Secret);
    if secret && !(viewer.sees_secret && viewer.writes_secret) {
        return Err(Failure::not_found(What::Board));
    }
    Ok(board)
}

async fn accept(State(web): State<Web>, access: Access, Path(board): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let board = writable_membership(&web, &viewer, &board).await?;
    web.app.accept_invitation(&viewer, board).await?;
    no_content()
}

async fn remove_collaborator(State(web): State<Web>, access: Access, Path((board, username)): Path<(String, String)>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let board = writable_membership(&web, &viewer, &board).await?;
    let user = person(&web, &viewer, &username).await?;
    web.app.remove_collaborator(&viewer, board, user_id(&user)).await?;
    no_content()
}

async fn follow_board(State(web): State<Web>, access: Access, Path(board): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    web.app.follow(&viewer, Target::Board(id(&board, What::Board)?)).await?;
    no_content()
}

async fn unfollow_board(State(web): State<Web>, access: Access, Path(board): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    web.app.unfollow(&viewer, Target::Board(id(&board, What::Board)?)).await?;
    no_content()
}

async fn follow_topic(State(web): State<Web>, access: Access, Path(tag): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    web.app.follow(&viewer, Target::Topic(web.app.topic_id(&tag).await?)).await?;
    no_content()
}

async fn unfollow_topic(State(web): State<Web>, access: Access, Path(tag): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    web.app.unfollow(&viewer, Target::Topic(web.app.topic_id(&tag).await?)).await?;
    no_content()
}
