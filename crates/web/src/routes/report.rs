//! `/report/{id}`: telling the admins that something is wrong with a pin, a comment, a board or a person.

use app::{Error, What};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::object::ReportReason;
use model::{BoardId, CommentId, Id, Kind, PinId, User, UserId};
use serde::Deserialize;
use serde_json::json;

use super::address::At;
use super::auth::form_errors;
use super::boards::open;
use super::form::Form;
use crate::context::Context;
use crate::limits::Category;
use crate::respond::{Answer, Told, frame, page, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::page::Nav;
use crate::view::report::ReportForm;

/// Characters of a comment that name it.
const QUOTE_CHARS: usize = 60;

pub fn router() -> Router<Web> {
    Router::new().route("/report/{id}", get(form_page).post(send))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    reason: String,
    note: String,
}

fn parse_reason(text: &str) -> app::Result<ReportReason> {
    serde_json::from_value(json!(text)).map_err(|_| Error::invalid("reason", "Choose what is wrong with it."))
}

/// Says in words what is reported, and where it is. Only what the viewer may see can be.
async fn subject(web: &Web, context: &Context, id: Id) -> app::Result<(String, String)> {
    let (app, viewer) = (&web.app, &context.viewer);
    viewer.require()?;
    Ok(match id.kind() {
        Kind::Pin => {
            let view = app.pin(viewer, PinId::try_from(id).map_err(Error::internal)?).await?;
            let (title, owner) = (&view.pin.data.title, &view.owner.data.name);
            let words = if title.is_empty() { format!("the pin by {owner}") } else { format!("the pin “{title}” by {owner}") };
            (words, format!("/pin/{id}"))
        }
        Kind::Comment => {
            let comment = app.comment(viewer, CommentId::try_from(id).map_err(Error::internal)?).await?;
            let author = app.object::<User>(comment.data.author).await?.ok_or(Error::NotFound(What::Comment))?;
            let quote: String = comment.data.text.chars().take(QUOTE_CHARS).collect();
            (format!("the comment “{quote}” by {}", author.data.name), format!("/pin/{}#comment-{id}", comment.data.pin))
        }
        Kind::Board => {
            let opened = open(web, context, BoardId::try_from(id).map_err(Error::internal)?).await?;
            (format!("the board “{}” by {}", opened.board.data.name, opened.owner.data.name), opened.url)
        }
        Kind::User => {
            let user = app.user(viewer, UserId::try_from(id).map_err(Error::internal)?).await?;
            (user.data.name.clone(), format!("/{}", user.data.username))
        }
        _ => return Err(Error::NotFound(What::Page)),
    })
}

async fn view(web: &Web, context: &Context, id: Id, fields: Fields, errors: FormErrors, sent: bool) -> Answer {
    let (subject_text, back_url) = subject(web, context, id).await.told(web, context)?;
    let mut frame = frame(web, context, "Report", Nav::Elsewhere).await;
    frame.unlisted = true;
    let view = ReportForm { page: frame, subject: id, subject_text, back_url, reason: fields.reason, note: fields.note, errors, sent };
    Ok(page(context, &view))
}

async fn form_page(State(web): State<Web>, context: Context, At(id): At<Id>) -> Answer {
    view(&web, &context, id, Fields::default(), FormErrors::none(), false).await
}

async fn send(State(web): State<Web>, context: Context, At(id): At<Id>, Form(fields): Form<Fields>) -> Answer {
    let sent = async {
        web.limit(&context, Category::Write)?;
        web.app.report(&context.viewer, id, parse_reason(&fields.reason)?, &fields.note).await
    };
    match form_errors(sent.await).told(&web, &context)? {
        Ok(_) => view(&web, &context, id, fields, FormErrors::none(), true).await,
        Err(errors) => refused(view(&web, &context, id, fields, errors, false).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_form() {
        assert_eq!(parse_reason("self_harm").unwrap(), ReportReason::SelfHarm);
        assert!(matches!(parse_reason(""), Err(Error::Invalid(_))));
        assert!(parse_reason("boring").is_err());
    }
}
