//! Following, leaving out, blocking, muting: toggles that stand on many pages.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use feeds::Target;
use model::{BoardId, UserId};

use super::address::At;
use crate::context::Context;
use crate::limits::Category;
use crate::respond::{Answer, Told, done};
use crate::server::Web;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/follow/{kind}/{id}", post(follow))
        .route("/unfollow/{kind}/{id}", post(unfollow))
        .route("/leave-out/{board}", post(leave_out))
        .route("/take-back/{board}", post(take_back))
        .route("/block/{user}", post(block))
        .route("/unblock/{user}", post(unblock))
        .route("/mute/{user}", post(mute))
        .route("/unmute/{user}", post(unmute))
}

/// Returns the page that a form was on, to go back to it. Only a path of this site.
pub fn came_from(headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|value| value.to_str().ok()).unwrap_or("");
    let path = referer.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).unwrap_or("/");
    if crate::context::is_local_path(path) { path.to_owned() } else { "/".into() }
}

fn target(kind: &str, id: &str) -> app::Result<Target> {
    let missing = |what| app::Error::NotFound(what);
    match kind {
        "user" => id.parse().map(Target::User).map_err(|_| missing(app::What::User)),
        "board" => id.parse().map(Target::Board).map_err(|_| missing(app::What::Board)),
        "topic" => id.parse().map(Target::Topic).map_err(|_| missing(app::What::Topic)),
        _ => Err(missing(app::What::Page)),
    }
}

async fn follow(State(web): State<Web>, context: Context, headers: HeaderMap, At((kind, id)): At<(String, String)>) -> Answer {
    let result = async {
        web.limit(&context, Category::Write)?;
        web.app.follow(&context.viewer, target(&kind, &id)?).await
    };
    result.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn unfollow(State(web): State<Web>, context: Context, headers: HeaderMap, At((kind, id)): At<(String, String)>) -> Answer {
    let result = async { web.app.unfollow(&context.viewer, target(&kind, &id)?).await };
    result.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn set_left_out(web: &Web, context: &Context, headers: &HeaderMap, board: BoardId, on: bool) -> Answer {
    web.app.leave_out(&context.viewer, board, on).await.told(web, context)?;
    Ok(done(context, &came_from(headers)))
}

async fn leave_out(State(web): State<Web>, context: Context, headers: HeaderMap, At(board): At<BoardId>) -> Answer {
    set_left_out(&web, &context, &headers, board, true).await
}

async fn take_back(State(web): State<Web>, context: Context, headers: HeaderMap, At(board): At<BoardId>) -> Answer {
    set_left_out(&web, &context, &headers, board, false).await
}

async fn block(State(web): State<Web>, context: Context, headers: HeaderMap, At(user): At<UserId>) -> Answer {
    web.app.block(&context.viewer, user).await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn unblock(State(web): State<Web>, context: Context, headers: HeaderMap, At(user): At<UserId>) -> Answer {
    web.app.unblock(&context.viewer, user).await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn mute(State(web): State<Web>, context: Context, headers: HeaderMap, At(user): At<UserId>) -> Answer {
    web.app.mute(&context.viewer, user, true).await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn unmute(State(web): State<Web>, context: Context, headers: HeaderMap, At(user): At<UserId>) -> Answer {
    web.app.mute(&context.viewer, user, false).await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}
