//! `/boards`, `/boards/{id}`, `/boards/{id}/pins`.

use app::boards::{BoardEdit, BoardFilter, NewBoard};
use app::{BoardCard, What};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use futures_util::future::join_all;
use model::BoardId;
use model::object::Privacy;
use serde::Deserialize;

use super::auth::{Access, READ_BOARDS, READ_PINS, WRITE_BOARDS};
use super::pins::pin_list;
use super::request::{JsonBody, Params, filled, id, idempotency_key, key_is_spent, made_before, present};
use super::respond::{Answer, Failure, created, no_content, ok};
use super::shapes::{self, BoardShape, List};
use crate::server::Web;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/boards", get(list).post(create))
        .route("/boards/{board_id}", get(read).patch(update).delete(delete))
        .route("/boards/{board_id}/pins", get(pins))
}

/// Makes the shapes of boards, with how many follow each.
pub async fn board_shapes(web: &Web, access: &Access, cards: &[BoardCard]) -> Vec<BoardShape> {
    let counts = join_all(cards.iter().map(|card| follower_count(web, card))).await;
    let shape = |(card, count): (&BoardCard, u64)| {
        let with_pins = card.board.data.privacy != Privacy::Secret || access.sees_secret_pins();
        shapes::board(card, count, &web.app.settings.base_url, with_pins)
    };
    cards.iter().zip(counts).map(shape).collect()
}

async fn follower_count(web: &Web, card: &BoardCard) -> u64 {
    // Nobody but those on it knows of such a board, so nobody counts as following it.
    if card.board.data.privacy != Privacy::Public {
        return 0;
    }
    web.app.feeds.followers_of_board(card.id()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "a board's followers were not counted: the feeds are away");
        metrics::counter!(app::metrics::DEGRADED_READS_TOTAL, "part" => "feeds").increment(1);
        0
    })
}

pub async fn board_list(web: &Web, access: &Access, page: app::Page<BoardCard>) -> List<BoardShape> {
    List { items: board_shapes(web, access, &page.items).await, bookmark: page.bookmark }
}

async fn board_shape(web: &Web, access: &Access, card: BoardCard) -> Result<BoardShape, Failure> {
    board_shapes(web, access, &[card]).await.pop().ok_or_else(|| Failure::not_found(What::Board))
}

fn privacy(text: &str) -> Result<Privacy, Failure> {
    match text {
        "PUBLIC" => Ok(Privacy::Public),
        "PROTECTED" => Ok(Privacy::Protected),
        "SECRET" => Ok(Privacy::Secret),
        other => Err(Failure::invalid(format!("'{other}' is no privacy; it must be PUBLIC, PROTECTED or SECRET."))),
    }
}

async fn list(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_BOARDS)?;
    let filter = match params.get("privacy") {
        None | Some("ALL") => BoardFilter::All,
        Some("PUBLIC_AND_SECRET") => BoardFilter::PublicAndSecret,
        Some(text) => BoardFilter::Only(privacy(text)?),
    };
    let me = viewer.require()?;
    let page = filled(&params.page()?, |_| true, async |request| web.app.boards_of(&viewer, me, filter, &request).await).await?;
    ok(&board_list(&web, &access, page).await)
}

#[derive(Deserialize)]
struct CreateBody {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    privacy: Option<String>,
}

async fn create(State(web): State<Web>, access: Access, headers: HeaderMap, JsonBody(body): JsonBody<CreateBody>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let key = idempotency_key(&headers, "boards")?;
    let privacy = body.privacy.as_deref().map(privacy).transpose()?.unwrap_or_default();
    // A board that the token could not see again is refused before it is made.
    if privacy == Privacy::Secret && !viewer.sees_secret {
        return Err(app::Error::Forbidden("This token may not make secret boards; it lacks the scope boards:read_secret.".into()).into());
    }
    let me = viewer.require()?;
    let new = NewBoard { name: body.name, description: body.description.unwrap_or_default(), privacy };
    let card = match made_before(&web, me, key.as_deref()).await? {
        Some(board) => made_again(&web, &viewer, board).await?,
        None => match web.app.create_board_once(&viewer, new, key.clone()).await {
            Ok(card) => card,
            // The same call came twice at once; the other one made it.
            Err(app::Error::Conflict(reason)) => match made_before(&web, me, key.as_deref()).await? {
                Some(board) => made_again(&web, &viewer, board).await?,
                None => return Err(app::Error::Conflict(reason).into()),
            },
            Err(error) => return Err(error.into()),
        },
    };
    created(&board_shape(&web, &access, card).await?)
}

async fn made_again(web: &Web, viewer: &app::Viewer, board: BoardId) -> Result<BoardCard, Failure> {
    web.app.board_card(viewer, board).await.map_err(|error| match error {
        app::Error::NotFound(_) => key_is_spent(),
        other => other.into(),
    })
}

async fn read(State(web): State<Web>, access: Access, Path(board): Path<String>) -> Answer {
    let viewer = access.viewer(READ_BOARDS)?;
    let card = web.app.board_card(&viewer, id(&board, What::Board)?).await?;
    ok(&board_shape(&web, &access, card).await?)
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default)]
    privacy: Option<String>,
}

async fn update(State(web): State<Web>, access: Access, Path(board): Path<String>, JsonBody(body): JsonBody<UpdateBody>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let edit = BoardEdit {
        name: body.name,
        description: body.description.map(Option::unwrap_or_default),
        privacy: body.privacy.as_deref().map(privacy).transpose()?,
        ..BoardEdit::default()
    };
    if edit.privacy == Some(Privacy::Secret) && !viewer.sees_secret {
        return Err(app::Error::Forbidden("This token may not make boards secret; it lacks the scope boards:read_secret.".into()).into());
    }
    let card = web.app.edit_board(&viewer, id(&board, What::Board)?, edit).await?;
    ok(&board_shape(&web, &access, card).await?)
}

async fn delete(State(web): State<Web>, access: Access, Path(board): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    web.app.delete_board(&viewer, id(&board, What::Board)?).await?;
    no_content()
}

async fn pins(State(web): State<Web>, access: Access, Path(board): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let board: BoardId = id(&board, What::Board)?;
    let regular = super::pins::wants_regular(&params);
    let page = filled(&params.page()?, |_| regular, async |request| web.app.board_pins(&viewer, board, &request).await).await?;
    ok(&pin_list(&web, &viewer, page).await?)
}
