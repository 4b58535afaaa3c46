//! `/search/…`: one's own pins and boards as v5 has it, public pins for partners, and everything that one may see, which is ours.

use app::hydrate::PageRequest;
use app::search::Scope;
use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::auth::{Access, READ_ACCOUNT, READ_BOARDS, READ_PINS};
use super::boards::board_list;
use super::pins::pin_list;
use super::request::{Params, filled};
use super::respond::{Answer, ok};
use super::shapes::{self, List};
use crate::server::Web;

/// Public pins of one partner search, and how many when nothing is said.
const PARTNER_LIMIT_MAX: usize = 50;
const PARTNER_LIMIT_DEFAULT: usize = 10;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/search/pins", get(own_pins))
        .route("/search/boards", get(own_boards))
        .route("/search/partner/pins", get(partner_pins))
        .route("/search/all/pins", get(all_pins))
        .route("/search/all/boards", get(all_boards))
        .route("/search/all/users", get(all_users))
}

async fn pins(web: &Web, access: &Access, params: &Params, scope: Scope) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let text = params.required("query")?;
    let read = async |request: PageRequest| web.app.search_pins(&viewer, text, scope, &request).await.map(|found| found.page);
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&pin_list(web, &viewer, page).await?)
}

async fn boards(web: &Web, access: &Access, params: &Params, scope: Scope) -> Answer {
    let viewer = access.viewer(READ_BOARDS)?;
    let text = params.required("query")?;
    let read = async |request: PageRequest| web.app.search_boards(&viewer, text, scope, &request).await.map(|found| found.page);
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&board_list(web, access, page).await)
}

async fn own_pins(State(web): State<Web>, access: Access, params: Params) -> Answer {
    pins(&web, &access, &params, Scope::Own).await
}

async fn own_boards(State(web): State<Web>, access: Access, params: Params) -> Answer {
    // Without a query this lists them all, as v5 does.
    if params.get("query").is_none() {
        let viewer = access.viewer(READ_BOARDS)?;
        let me = viewer.require()?;
        let filter = app::boards::BoardFilter::All;
        let page = filled(&params.page()?, |_| true, async |request| web.app.boards_of(&viewer, me, filter, &request).await).await?;
        return ok(&board_list(&web, &access, page).await);
    }
    boards(&web, &access, &params, Scope::Own).await
}

async fn partner_pins(State(web): State<Web>, access: Access, params: Params) -> Answer {
    access.viewer(READ_PINS)?;
    let text = params.required("term")?;
    let size = params.number("limit", PARTNER_LIMIT_DEFAULT, 1..=PARTNER_LIMIT_MAX)?;
    let request = PageRequest { bookmark: params.get("bookmark").map(str::to_owned), size: Some(size) };
    // Partners see what everybody sees.
    let anybody = app::Viewer::anonymous();
    let read = async |request: PageRequest| web.app.search_pins(&anybody, text, Scope::Everything, &request).await.map(|found| found.page);
    let page = filled(&request, |_| true, read).await?;
    ok(&List::of(page, |view| shapes::summary_pin(&view, &web.app.settings.base_url)))
}

async fn all_pins(State(web): State<Web>, access: Access, params: Params) -> Answer {
    pins(&web, &access, &params, Scope::Everything).await
}

async fn all_boards(State(web): State<Web>, access: Access, params: Params) -> Answer {
    boards(&web, &access, &params, Scope::Everything).await
}

async fn all_users(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_ACCOUNT)?;
    let text = params.required("query")?;
    let read = async |request: PageRequest| web.app.search_people(&viewer, text, &request).await.map(|found| found.page);
    let page = filled(&params.page()?, |_| true, read).await?;
    ok(&List::of(page, |user| shapes::user_summary(&user)))
}
