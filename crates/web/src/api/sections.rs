//! `/boards/{id}/sections…`.

use app::What;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, patch};
use model::{BoardId, SectionId};
use serde::Deserialize;

use super::auth::{Access, READ_BOARDS, READ_PINS, WRITE_BOARDS};
use super::pins::pin_list;
use super::request::{JsonBody, Params, filled, id};
use super::respond::{Answer, Failure, created, no_content, ok};
use super::shapes::{self, List};
use crate::server::Web;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/boards/{board_id}/sections", get(list).post(create))
        .route("/boards/{board_id}/sections/{section_id}", patch(rename).delete(delete))
        .route("/boards/{board_id}/sections/{section_id}/pins", get(pins))
}

fn ids(board: &str, section: &str) -> Result<(BoardId, SectionId), Failure> {
    Ok((id(board, What::Board)?, id(section, What::Section)?))
}

async fn list(State(web): State<Web>, access: Access, Path(board): Path<String>, params: Params) -> Answer {
    let viewer = access.viewer(READ_BOARDS)?;
    let board = id(&board, What::Board)?;
    let page = filled(&params.page()?, |_| true, async |request| web.app.sections_of(&viewer, board, &request).await).await?;
    ok(&List::of(page, |section| shapes::section(&section)))
}

#[derive(Deserialize)]
struct SectionBody {
    name: String,
}

async fn create(State(web): State<Web>, access: Access, Path(board): Path<String>, JsonBody(body): JsonBody<SectionBody>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let section = web.app.create_section(&viewer, id(&board, What::Board)?, &body.name).await?;
    created(&shapes::section(&section))
}

async fn rename(
    State(web): State<Web>,
    access: Access,
    Path((board, section)): Path<(String, String)>,
    JsonBody(body): JsonBody<SectionBody>,
) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let (board, section) = ids(&board, &section)?;
    web.app.section(&viewer, board, section).await?;
    ok(&shapes::section(&*web.app.rename_section(&viewer, section, &body.name).await?))
}

async fn delete(State(web): State<Web>, access: Access, Path((board, section)): Path<(String, String)>) -> Answer {
    let viewer = access.viewer(WRITE_BOARDS)?;
    let (board, section) = ids(&board, &section)?;
    web.app.section(&viewer, board, section).await?;
    web.app.delete_section(&viewer, section).await?;
    no_content()
}

async fn pins(State(web): State<Web>, access: Access, Path((board, section)): Path<(String, String)>, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let (board, section) = ids(&board, &section)?;
    let read = async |request| web.app.section_pins(&viewer, board, section, &request).await;
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&pin_list(&web, &viewer, page).await?)
}
