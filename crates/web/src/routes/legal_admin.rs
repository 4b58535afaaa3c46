//! `/admin/takedowns` and `/admin/holds`: what admins do for the law.

use app::holds::NewHold;
use app::hydrate::PageRequest;
use app::takedowns::NewTakedown;
use app::{Error, What};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use model::legal::{TakedownReason, TakedownState};
use model::{Id, Kind, LegalHoldId, ReportId, TakedownId, User, UserId};
use serde::Deserialize;

use super::address::At;
use super::admin::admin_frame;
use super::auth::form_errors;
use super::form::Form;
use super::legal::row;
use crate::context::{Context, FlashNote};
use crate::present;
use crate::respond::{Answer, Told, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::legal::{AdminHolds, AdminTakedowns, HoldRow, TakedownForm};

pub fn router() -> Router<Web> {
    Router::new()
        .route("/admin/takedowns", get(takedowns_page).post(take_down))
        .route("/admin/takedowns/new", get(form_page))
        .route("/admin/takedowns/{id}", post(decide))
        .route("/admin/holds", get(holds_page).post(place_hold))
        .route("/admin/holds/{id}/release", post(release_hold))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LegalQuery {
    state: String,
    bookmark: Option<String>,
}

impl LegalQuery {
    fn request(&self) -> PageRequest {
        PageRequest { bookmark: self.bookmark.clone(), size: None }
    }
}

/// Names who acted: an admin, or whoever runs the site.
async fn by_words(web: &Web, by: Option<UserId>) -> app::Result<String> {
    let Some(by) = by else { return Ok("by whoever runs the site".into()) };
    let admin = web.app.object::<User>(by).await?;
    Ok(admin.map_or_else(|| "by an admin who left".to_owned(), |admin| format!("by {}", admin.data.name)))
}

async fn takedowns_page(State(web): State<Web>, context: Context, Query(query): Query<LegalQuery>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let state = TakedownState::parse(&query.state);
    let found = web.app.takedowns(&context.viewer, state, &query.request()).await.told(&web, &context)?;
    let now = web.app.now();
    let mut takedowns = Vec::with_capacity(found.items.len());
    for view in &found.items {
        let mut row = row(view, now).told(&web, &context)?;
        row.by = by_words(&web, view.takedown.data.by).await.told(&web, &context)?;
        takedowns.push(row);
    }
    let next_url = found.bookmark.as_deref().map(|bookmark| match state {
        Some(state) => format!("/admin/takedowns?state={}&bookmark={bookmark}", state.as_str()),
        None => format!("/admin/takedowns?bookmark={bookmark}"),
    });
    Ok(page(&context, &AdminTakedowns { page: admin_frame(&web, &context, "Takedowns").await, takedowns, state, next_url }))
}

/// What a form for a takedown holds; `subject` and `report` come with the link to it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TakedownFields {
    subject: String,
    report: String,
    reason: String,
    note: String,
    complainant: String,
}

impl TakedownFields {
    fn subject(&self) -> app::Result<Id> {
        let subject = self.subject.parse::<Id>().ok().filter(|id| matches!(id.kind(), Kind::Pin | Kind::Comment));
        subject.ok_or_else(|| Error::invalid("subject", "Only a pin or a comment can be taken down. Open the form from there."))
    }

    fn report(&self) -> Option<ReportId> {
        self.report.parse().ok()
    }

    fn parse(&self) -> app::Result<NewTakedown> {
        let reason = TakedownReason::parse(&self.reason).ok_or_else(|| Error::invalid("reason", "Choose why it is taken down."))?;
        let (note, complainant) = (self.note.clone(), self.complainant.clone());
        Ok(NewTakedown { note, complainant, report: self.report(), ..NewTakedown::new(self.subject()?, reason) })
    }
}

async fn takedown_form(web: &Web, context: &Context, fields: TakedownFields, errors: FormErrors) -> Answer {
    context.viewer.require_admin().told(web, context)?;
    let subject = fields.subject().map_err(|_| Error::NotFound(What::Page)).told(web, context)?;
    let subject_text = web.app.legal_label(&context.viewer, subject).await.told(web, context)?;
    let view = TakedownForm {
        page: admin_frame(web, context, "Take down").await,
        subject,
        subject_text,
        report: fields.report(),
        reason: fields.reason,
        note: fields.note,
        complainant: fields.complainant,
        errors,
    };
    Ok(page(context, &view))
}

async fn form_page(State(web): State<Web>, context: Context, Query(fields): Query<TakedownFields>) -> Answer {
    takedown_form(&web, &context, fields, FormErrors::none()).await
}

async fn take_down(State(web): State<Web>, context: Context, Form(fields): Form<TakedownFields>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let done = async {
        let new = fields.parse()?;
        match new.report {
            // The report is decided by it.
            Some(report) => web.app.take_down_for_report(&context.viewer, report, new).await,
            None => web.app.take_down(&context.viewer, new).await.map(drop),
        }
    };
    match form_errors(done.await).told(&web, &context)? {
        Ok(()) => Ok(redirect_with("/admin/takedowns", &FlashNote::done("It is taken down, and its owner is told."))),
        Err(errors) => refused(takedown_form(&web, &context, fields, errors).await),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DecisionForm {
    decision: String,
    note: String,
}

async fn decide(State(web): State<Web>, context: Context, At(id): At<TakedownId>, Form(form): Form<DecisionForm>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let decided = async {
        let state = TakedownState::parse(&form.decision);
        let state = state.ok_or_else(|| Error::invalid("decision", "Choose a decision: uphold or reverse."))?;
        web.app.decide_takedown(&context.viewer, id, state, &form.note).await?;
        Ok(if state == TakedownState::Reversed {
            "It shows again, and its owner is told."
        } else {
            "It stays down, and its owner is told."
        })
    };
    answer_with(&web, &context, "/admin/takedowns", decided.await)
}

/// Goes back to a list with what happened or why not.
fn answer_with(web: &Web, context: &Context, back: &str, result: app::Result<&str>) -> Answer {
    let note = match result {
        Ok(text) => FlashNote::done(text),
        Err(error @ (Error::Invalid(_) | Error::Conflict(_))) => FlashNote { failed: true, ..FlashNote::done(error.to_string()) },
        Err(error) => return Err(error).told(web, context),
    };
    Ok(redirect_with(back, &note))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct HoldFields {
    subject: String,
    reason: String,
    reference: String,
}

async fn holds_view(web: &Web, context: &Context, query: &LegalQuery, fields: HoldFields, errors: FormErrors) -> Answer {
    context.viewer.require_admin().told(web, context)?;
    let all = query.state == "all";
    let found = web.app.holds(&context.viewer, all, &query.request()).await.told(web, context)?;
    let now = web.app.now();
    let mut holds = Vec::with_capacity(found.items.len());
    for view in &found.items {
        let data = &view.hold.data;
        let release = match &data.release {
            Some(release) => {
                let words = format!("{} {}", release.reason, by_words(web, release.by).await.told(web, context)?);
                Some((words, present::time(release.at, now)))
            }
            None => None,
        };
        holds.push(HoldRow {
            id: LegalHoldId::try_from(view.hold.id).map_err(Error::internal).told(web, context)?,
            subject: (view.label.clone(), view.link.clone()),
            reason: data.reason.clone(),
            reference: data.reference.clone(),
            by: by_words(web, data.placed_by).await.told(web, context)?,
            at: present::time(data.placed_at, now),
            release,
        });
    }
    let state = if all { "state=all&" } else { "" };
    let view = AdminHolds {
        page: admin_frame(web, context, "Legal holds").await,
        holds,
        all,
        waiting: web.app.count_postponed().await.told(web, context)?,
        subject: fields.subject,
        reason: fields.reason,
        reference: fields.reference,
        errors,
        next_url: found.bookmark.as_deref().map(|bookmark| format!("/admin/holds?{state}bookmark={bookmark}")),
    };
    Ok(page(context, &view))
}

async fn holds_page(State(web): State<Web>, context: Context, Query(query): Query<LegalQuery>) -> Answer {
    holds_view(&web, &context, &query, HoldFields::default(), FormErrors::none()).await
}

async fn place_hold(State(web): State<Web>, context: Context, Form(fields): Form<HoldFields>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let placed = async {
        let subject = web.app.legal_subject(&fields.subject).await?;
        let new = NewHold { subject, reason: fields.reason.clone(), reference: fields.reference.clone() };
        web.app.place_hold(&context.viewer, new).await
    };
    match form_errors(placed.await).told(&web, &context)? {
        Ok(_) => Ok(redirect_with("/admin/holds", &FlashNote::done("The hold stands: nothing of it is deleted for good."))),
        Err(errors) => refused(holds_view(&web, &context, &LegalQuery::default(), fields, errors).await),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReleaseForm {
    reason: String,
}

async fn release_hold(State(web): State<Web>, context: Context, At(id): At<LegalHoldId>, Form(form): Form<ReleaseForm>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let released = web.app.release_hold(&context.viewer, id, &form.reason).await;
    answer_with(&web, &context, "/admin/holds", released.map(|()| "The hold is released. What waited for it goes soon."))
}
