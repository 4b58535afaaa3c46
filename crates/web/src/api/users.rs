//! `/user_account…` and `/users/{username}/interests/follow`.

use app::What;
use app::hydrate::PageRequest;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use feeds::Target;
use model::{Stored, User, UserId};
use std::sync::Arc;

use super::auth::{Access, READ_ACCOUNT, WRITE_ACCOUNT};
use super::boards::board_list;
use super::request::{Params, filled, sliced};
use super::respond::{Answer, Failure, no_content, ok};
use super::shapes::{self, List};
use crate::present::user_id;
use crate::server::Web;

/// Followed topics that are listed, the newest ones.
const TOPICS_READ_MAX: usize = 5_000;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/user_account", get(account))
        .route("/user_account/followers", get(followers))
        .route("/user_account/following", get(following))
        .route("/user_account/following/boards", get(following_boards))
        .route("/user_account/following/{username}", post(follow).delete(unfollow))
        .route("/users/{username}/interests/follow", get(interests))
}

/// Finds a person by user name or id: no user name is made of digits only.
pub async fn person(web: &Web, viewer: &app::Viewer, name: &str) -> Result<Arc<Stored<User>>, Failure> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let user: UserId = name.parse().map_err(|_| Failure::not_found(What::User))?;
        return Ok(web.app.user(viewer, user).await?);
    }
    Ok(web.app.user_named(viewer, name).await?)
}

async fn account(State(web): State<Web>, access: Access) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let profile = web.app.profile(&viewer, viewer.require()?).await?;
    ok(&shapes::account(&profile, &web.app.settings.base_url))
}

async fn followers(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let me = web.app.seen(&viewer, viewer.require()?).await?;
    let read = async |request: PageRequest| web.app.followers_of(&viewer, &me, &request).await;
    ok(&List::of(filled(&params.page()?, |_| true, read).await?, |user| shapes::user_summary(&user)))
}

async fn following(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let me = web.app.seen(&viewer, viewer.require()?).await?;
    let read = async |request: PageRequest| web.app.followed_by(&viewer, &me, &request).await;
    ok(&List::of(filled(&params.page()?, |_| true, read).await?, |user| shapes::user_summary(&user)))
}

async fn following_boards(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let me = viewer.require()?;
    let read = async |request: PageRequest| web.app.boards_followed_page(&viewer, me, &request).await;
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&board_list(&web, &access, page).await)
}

async fn follow(State(web): State<Web>, access: Access, Path(username): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    let user = person(&web, &viewer, &username).await?;
    web.app.follow(&viewer, Target::User(user_id(&user))).await?;
    ok(&shapes::user_summary(&user))
}

async fn unfollow(State(web): State<Web>, access: Access, Path(username): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_ACCOUNT)?;
    let user = person(&web, &viewer, &username).await?;
    web.app.unfollow(&viewer, Target::User(user_id(&user))).await?;
    no_content()
}

async fn interests(State(web): State<Web>, access: Access, Path(username): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let user = person(&web, &viewer, &username).await?;
    let topics = web.app.topics_followed_by(&viewer, user_id(&user), TOPICS_READ_MAX).await?;
    let page = sliced(topics, &params.page()?)?;
    ok(&List::of(page, |topic| shapes::interest(&topic, &web.app.settings.base_url)))
}
