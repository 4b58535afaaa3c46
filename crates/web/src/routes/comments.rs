//! The comments of a pin: `/pin/{id}/comments` and `/comment/{id}…`.

use app::{Error, What};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use model::{Assoc, CommentId, PinId};
use serde::Deserialize;
use serde_json::json;

use super::address::At;
use super::form::Form;
use super::home::ListQuery;
use super::social::came_from;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, html, redirect, redirect_with};
use crate::server::Web;
use crate::view::picture::RichText;
use crate::view::pin::{Comment, Comments};

pub fn router() -> Router<Web> {
    Router::new()
        .route("/pin/{id}/comments", get(comments).post(add_comment))
        .route("/comment/{id}/delete", post(delete_comment))
        .route("/comment/{id}/like", post(like_comment))
        .route("/comment/{id}/unlike", post(unlike_comment))
}

/// Reads the comments of a pin for this viewer.
pub async fn comments_view(
    web: &Web,
    context: &Context,
    pin: PinId,
    query: &ListQuery,
    refused: Option<(String, String)>,
) -> app::Result<Comments> {
    let found = web.app.comments(&context.viewer, pin, &query.request()).await?;
    comments_read(web, context, pin, found, refused).await
}

/// Shows comments that were read already.
pub async fn comments_read(
    web: &Web,
    context: &Context,
    pin: PinId,
    found: app::Page<app::comments::CommentView>,
    refused: Option<(String, String)>,
) -> app::Result<Comments> {
    let now = web.app.now();
    let next_url = found.bookmark.as_deref().map(|bookmark| format!("/pin/{pin}/comments?bookmark={bookmark}"));
    Ok(Comments {
        pin,
        count: web.app.count_of(Assoc::PinHasComments, pin.id()).await?,
        comments: found.items.into_iter().map(|comment| comment_view(context, pin, comment, now)).collect(),
        next_url,
        writer: context.viewer.user.as_deref().map(present::person),
        refused,
    })
}

fn comment_view(context: &Context, pin: PinId, view: app::comments::CommentView, now: model::Timestamp) -> Comment {
    let id = CommentId::try_from(view.comment.id).expect("a comment's row has a comment's id");
    let data = &view.comment.data;
    Comment {
        id,
        pin,
        author: present::person(&view.author),
        text: RichText::of(&data.text),
        at: present::time(data.at, now),
        liked: view.liked,
        like_count: view.likes,
        may_delete: view.deletable,
        may_reply: context.viewer.user.is_some(),
        thread: data.parent.unwrap_or(id),
        replies: view.replies.into_iter().map(|reply| comment_view(context, pin, reply, now)).collect(),
    }
}

async fn comments(State(web): State<Web>, context: Context, At(pin): At<PinId>, Query(query): Query<ListQuery>) -> Answer {
    if !context.by_script() && query.bookmark.is_none() {
        return Ok(redirect(&format!("/pin/{pin}#comments")));
    }
    Ok(html(&comments_view(&web, &context, pin, &query, None).await.told(&web, &context)?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommentForm {
    text: String,
    parent: String,
}

async fn add_comment(State(web): State<Web>, context: Context, At(pin): At<PinId>, Form(form): Form<CommentForm>) -> Answer {
    let added = async {
        web.limit(&context, Category::Write)?;
        let parent = match form.parent.as_str() {
            "" => None,
            parent => Some(parent.parse().map_err(|_| Error::NotFound(What::Comment))?),
        };
        web.app.add_comment(&context.viewer, pin, &form.text, parent).await
    };
    let refused = match added.await {
        Ok(id) if !context.by_script() => return Ok(redirect(&format!("/pin/{pin}#comment-{id}"))),
        Ok(_) => None,
        Err(Error::Invalid(invalid)) => Some((form.text, invalid.message)),
        Err(error) => return Err(error).told(&web, &context),
    };
    if let Some((_, why)) = refused.as_ref().filter(|_| !context.by_script()) {
        let note = FlashNote { failed: true, ..FlashNote::done(why.clone()) };
        return Ok(redirect_with(&format!("/pin/{pin}#comments"), &note));
    }
    Ok(html(&comments_view(&web, &context, pin, &ListQuery::default(), refused).await.told(&web, &context)?))
}

async fn delete_comment(State(web): State<Web>, context: Context, At(id): At<CommentId>) -> Answer {
    let pin = web.app.comment(&context.viewer, id).await.told(&web, &context)?.data.pin;
    web.app.delete_comment(&context.viewer, id).await.told(&web, &context)?;
    if !context.by_script() {
        return Ok(redirect_with(&format!("/pin/{pin}#comments"), &FlashNote::done("The comment is deleted.")));
    }
    Ok(html(&comments_view(&web, &context, pin, &ListQuery::default(), None).await.told(&web, &context)?))
}

async fn set_comment_like(web: &Web, context: &Context, headers: &HeaderMap, id: CommentId, on: bool) -> Answer {
    let count = web.app.like_comment(&context.viewer, id, on).await.told(web, context)?;
    if context.by_script() {
        return Ok(axum::Json(json!({ "count": count })).into_response());
    }
    Ok(redirect(&came_from(headers)))
}

async fn like_comment(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<CommentId>) -> Answer {
    set_comment_like(&web, &context, &headers, id, true).await
}

async fn unlike_comment(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<CommentId>) -> Answer {
    set_comment_like(&web, &context, &headers, id, false).await
}
