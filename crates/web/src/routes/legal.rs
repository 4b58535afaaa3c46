//! `/takedowns`: what was taken down of the viewer's own, why, and their appeal.

use app::Error;
use app::takedowns::TakedownView;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use model::{TakedownId, Timestamp};
use serde::Deserialize;

use super::address::At;
use super::auth::form_errors;
use super::form::Form;
use super::home::ListQuery;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, frame, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::legal::{TakedownRow, Takedowns};
use crate::view::page::Nav;

pub fn router() -> Router<Web> {
    Router::new().route("/takedowns", get(list)).route("/takedowns/{id}/appeal", post(appeal))
}

async fn list(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    view(&web, &context, &query, None).await
}

async fn view(web: &Web, context: &Context, query: &ListQuery, draft: Option<(TakedownId, String, FormErrors)>) -> Answer {
    let found = web.app.own_takedowns(&context.viewer, &query.request()).await.told(web, context)?;
    let now = web.app.now();
    let rows: app::Result<Vec<TakedownRow>> = found.items.iter().map(|view| row(view, now)).collect();
    let takedowns = rows.told(web, context)?.into_iter().map(for_owner).collect();
    let mut frame = frame(web, context, "Takedowns", Nav::Elsewhere).await;
    frame.unlisted = true;
    let next_url = found.bookmark.as_deref().map(|bookmark| format!("/takedowns?bookmark={bookmark}"));
    Ok(page(context, &Takedowns { page: frame, takedowns, draft, next_url }))
}

/// Turns a takedown into a row with everything that an admin sees; who acted is left to the caller.
pub fn row(view: &TakedownView, now: Timestamp) -> app::Result<TakedownRow> {
    let data = &view.takedown.data;
    Ok(TakedownRow {
        id: TakedownId::try_from(view.takedown.id).map_err(Error::internal)?,
        subject: (view.label.clone(), view.link.clone()),
        picture: view.pin.as_ref().map(|pin| present::picture(&pin.data, &view.label)),
        reason: data.reason,
        note: data.note.clone(),
        state: data.state,
        at: present::time(data.at, now),
        appeal: data.appeal.as_ref().map(|appeal| (appeal.text.clone(), present::time(appeal.at, now))),
        decision: data.decision.as_ref().map(|decision| (decision.note.clone(), present::time(decision.at, now))),
        owner: view.owner.as_deref().map(present::person),
        complainant: data.complainant.clone(),
        by: String::new(),
    })
}

/// Takes out what is no business of the owner's: who complained.
fn for_owner(row: TakedownRow) -> TakedownRow {
    TakedownRow { complainant: String::new(), owner: None, ..row }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AppealForm {
    text: String,
}

async fn appeal(State(web): State<Web>, context: Context, At(id): At<TakedownId>, Form(form): Form<AppealForm>) -> Answer {
    let sent = async {
        web.limit(&context, Category::Write)?;
        web.app.appeal(&context.viewer, id, &form.text).await
    };
    match form_errors(sent.await).told(&web, &context)? {
        Ok(()) => Ok(redirect_with("/takedowns", &FlashNote::done("Your appeal is sent. You are told what becomes of it."))),
        Err(errors) => refused(view(&web, &context, &ListQuery::default(), Some((id, form.text, errors))).await),
    }
}
