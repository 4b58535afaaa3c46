//! `/admin/reports` and `/admin/people`: what admins decide about what others report, and about people.

use app::Error;
use app::hydrate::PageRequest;
use app::reports::{Decision, ReportView};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use model::limits::PAGE_SIZE_MAX;
use model::object::{ReportReason, ReportState};
use model::{Assoc, Id, Kind, Pin, Report, ReportId, Stored, Timestamp, User, UserId};
use serde::Deserialize;

use super::address::At;
use super::admin::admin_frame;
use super::form::Form;
use super::social::came_from;
use crate::context::{Context, FlashNote};
use crate::present;
use crate::respond::{Answer, Told, page, redirect_with};
use crate::server::Web;
use crate::view::admin::{AdminPeople, AdminPerson, AdminReports, ReportRow};
use crate::view::picture::Person;

/// People whom a search of admins shows.
const PEOPLE_FOUND_MAX: usize = 100;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/admin/reports", get(reports_page))
        .route("/admin/reports/{id}", post(decide))
        .route("/admin/people", get(people_page))
        .route("/admin/people/{id}/suspend", post(suspend))
        .route("/admin/people/{id}/unsuspend", post(unsuspend))
        .route("/admin/people/{id}/admin", post(make_admin))
        .route("/admin/people/{id}/unadmin", post(unmake_admin))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AdminQuery {
    state: String,
    q: String,
    bookmark: Option<String>,
}

impl AdminQuery {
    fn request(&self) -> PageRequest {
        PageRequest { bookmark: self.bookmark.clone(), size: None }
    }
}

async fn reports_page(State(web): State<Web>, context: Context, Query(query): Query<AdminQuery>) -> Answer {
    let decided = query.state == "decided";
    let found = web.app.reports(&context.viewer, decided, &query.request()).await.told(&web, &context)?;
    let now = web.app.now();
    let next_url = found.bookmark.as_deref().map(|bookmark| match decided {
        true => format!("/admin/reports?state=decided&bookmark={bookmark}"),
        false => format!("/admin/reports?bookmark={bookmark}"),
    });
    let mut rows: Vec<(Id, ReportRow)> = Vec::with_capacity(found.items.len());
    for report in found.items {
        let subject = report.report.data.subject;
        // What several people report is decided once.
        if let Some((_, row)) = rows.iter_mut().find(|(id, _)| !decided && *id == subject) {
            row.count += 1;
            let note = &report.report.data.note;
            if !note.is_empty() {
                row.note = [row.note.as_str(), note].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
            }
            continue;
        }
        rows.push((subject, report_row(&web, &context, &report, now).await.told(&web, &context)?));
    }
    let view = AdminReports {
        page: admin_frame(&web, &context, "Reports").await,
        reports: rows.into_iter().map(|(_, row)| row).collect(),
        decided,
        next_url,
    };
    Ok(page(&context, &view))
}

fn reason_words(reason: ReportReason) -> &'static str {
    match reason {
        ReportReason::Spam => "Spam",
        ReportReason::Nudity => "Nudity",
        ReportReason::Hate => "Hate",
        ReportReason::Harassment => "Harassment",
        ReportReason::SelfHarm => "Self-harm",
        ReportReason::Violence => "Violence",
        ReportReason::Misinformation => "Misinformation",
        ReportReason::Copyright => "Copyright",
        ReportReason::Privacy => "Privacy",
        ReportReason::Other => "Something else",
    }
}

async fn report_row(web: &Web, context: &Context, view: &ReportView, now: Timestamp) -> app::Result<ReportRow> {
    let report = &view.report.data;
    let owner = match web.app.owner_of(report.subject).await? {
        Some(owner) => web.app.object::<User>(owner).await?,
        None => None,
    };
    let pin = web.app.object::<Pin>(report.subject).await?;
    let id = ReportId::try_from(view.report.id).map_err(Error::internal)?;
    let reporter = view.reporter.as_deref().map(present::person);
    Ok(ReportRow {
        id,
        reason: reason_words(report.reason).into(),
        note: report.note.clone(),
        reporter: reporter.unwrap_or_else(|| nobody(report.reporter)),
        at: present::time(report.at, now),
        subject: (view.label.clone(), if view.link.is_empty() { "/admin/reports".into() } else { view.link.clone() }),
        // The viewer's own things offer no suspension.
        owner: owner.as_deref().filter(|owner| !context.viewer.is(present::user_id(owner))).map(present::person),
        picture: pin.map(|pin| present::picture(&pin.data, &view.label)),
        takedown_of: matches!(report.subject.kind(), Kind::Pin | Kind::Comment).then_some(report.subject),
        count: 1,
        decision: decision_words(web, report).await?,
    })
}

/// Stands for somebody whose account is gone.
fn nobody(id: UserId) -> Person {
    Person { id, username: String::new(), name: "Somebody who left".into(), picture_url: None }
}

async fn decision_words(web: &Web, report: &Report) -> app::Result<Option<String>> {
    let verb = match report.state {
        ReportState::Open => return Ok(None),
        ReportState::Resolved => "Taken down",
        ReportState::Dismissed => "Dismissed",
    };
    let by = match report.decided_by {
        Some(admin) => web.app.object::<User>(admin).await?.map(|user| user.data.name.clone()),
        None => None,
    };
    Ok(Some(by.map_or_else(|| verb.to_owned(), |name| format!("{verb} by {name}"))))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DecisionForm {
    decision: String,
}

fn parse_decision(text: &str) -> app::Result<Decision> {
    match text {
        "dismiss" => Ok(Decision::Dismiss),
        "hide" => Ok(Decision::TakeDown),
        "suspend" => Ok(Decision::Suspend),
        _ => Err(Error::invalid("decision", "Choose a decision: dismiss, take down, or take down and suspend.")),
    }
}

async fn decide(State(web): State<Web>, context: Context, At(id): At<ReportId>, Form(form): Form<DecisionForm>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let decided = async {
        let decision = parse_decision(&form.decision)?;
        let report = web.app.object::<Report>(id).await?.ok_or(Error::NotFound(app::What::Report))?;
        web.app.decide_report(&context.viewer, id, decision).await?;
        // Whoever else reported the same thing gets the same decision.
        let open = web.app.reports(&context.viewer, false, &PageRequest::first(PAGE_SIZE_MAX)).await?;
        for other in open.items.iter().filter(|other| other.report.data.subject == report.data.subject) {
            web.app.decide_report(&context.viewer, ReportId::try_from(other.report.id).map_err(Error::internal)?, decision).await?;
        }
        Ok((decision, report.data.subject.kind()))
    };
    let note = match decided.await {
        Ok((Decision::Dismiss, _)) => FlashNote::done("The report is dismissed."),
        Ok((Decision::TakeDown, Kind::User)) => FlashNote::done("The person is suspended."),
        Ok((Decision::TakeDown, _)) => FlashNote::done("It is taken down."),
        Ok((Decision::Suspend, _)) => FlashNote::done("It is taken down, and its owner is suspended."),
        Err(error @ (Error::Invalid(_) | Error::Conflict(_))) => FlashNote { failed: true, ..FlashNote::done(error.to_string()) },
        Err(error) => return Err(error).told(&web, &context),
    };
    Ok(redirect_with("/admin/reports", &note))
}

async fn people_page(State(web): State<Web>, context: Context, Query(query): Query<AdminQuery>) -> Answer {
    context.viewer.require_admin().told(&web, &context)?;
    let found = async {
        if query.q.trim().is_empty() {
            return web.app.people(&context.viewer, &query.request()).await;
        }
        let items = web.app.find_people(&context.viewer, &query.q, PEOPLE_FOUND_MAX).await?;
        Ok(app::Page { items, bookmark: None })
    };
    let found = found.await.told(&web, &context)?;
    let wanted: Vec<_> = found.items.iter().map(|user| (Assoc::UserHasPins, user.id)).collect();
    let counts = web.app.storage.counts(&wanted).await.map_err(Error::from).told(&web, &context)?;
    let now = web.app.now();
    let rows = found.items.iter().zip(counts).map(|(user, pin_count)| person_row(&context, user, pin_count, now));
    let view = AdminPeople {
        page: admin_frame(&web, &context, "People").await,
        people: rows.collect(),
        query: query.q,
        next_url: found.bookmark.as_deref().map(|bookmark| format!("/admin/people?bookmark={bookmark}")),
    };
    Ok(page(&context, &view))
}

fn person_row(context: &Context, user: &Stored<User>, pin_count: u64, now: Timestamp) -> AdminPerson {
    AdminPerson {
        person: present::person(user),
        email: user.data.email.clone(),
        joined: present::time(user.data.joined_at, now),
        pin_count,
        admin: user.data.admin,
        suspended: user.data.suspended,
        is_viewer: context.viewer.is(present::user_id(user)),
    }
}

/// Answers a decision about a person: back to the list, with what happened or why not.
fn told_of_person(web: &Web, context: &Context, headers: &HeaderMap, result: app::Result<&str>) -> Answer {
    let note = match result {
        Ok(text) => FlashNote::done(text),
        Err(Error::Invalid(invalid)) => FlashNote { failed: true, ..FlashNote::done(invalid.message) },
        Err(error) => return Err(error).told(web, context),
    };
    let back = came_from(headers);
    let back = if back.starts_with("/admin/people") { back } else { "/admin/people".to_owned() };
    Ok(redirect_with(&back, &note))
}

async fn suspend(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<UserId>) -> Answer {
    let result = web.app.suspend(&context.viewer, id, true).await.map(|()| "Suspended: nobody sees them, and they can't log in.");
    told_of_person(&web, &context, &headers, result)
}

async fn unsuspend(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<UserId>) -> Answer {
    let result = web.app.suspend(&context.viewer, id, false).await.map(|()| "They are back.");
    told_of_person(&web, &context, &headers, result)
}

async fn set_admin(web: &Web, context: &Context, headers: &HeaderMap, id: UserId, admin: bool) -> Answer {
    let set = async {
        let me = context.viewer.require_admin()?;
        if me == id {
            return Err(Error::invalid("user", "Another admin has to do this for you."));
        }
        web.app.set_admin(&context.viewer, id, admin).await?;
        Ok(if admin { "They are an admin now." } else { "They are no admin any more." })
    };
    told_of_person(web, context, headers, set.await)
}

async fn make_admin(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<UserId>) -> Answer {
    set_admin(&web, &context, &headers, id, true).await
}

async fn unmake_admin(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<UserId>) -> Answer {
    set_admin(&web, &context, &headers, id, false).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_read() {
        assert_eq!(parse_decision("hide").unwrap(), Decision::TakeDown);
        assert!(matches!(parse_decision("shrug"), Err(Error::Invalid(_))));
    }
}
