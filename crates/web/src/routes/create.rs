//! `/create…`: pins from files, and from a page of the web.

use app::pins::PinText;
use app::{Error, PinView};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use model::BoardId;
use serde::Deserialize;
use serde_json::json;

use super::form::{Form, Multipart};
use super::pin::{PlaceForm, board_choices};
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::respond::{Answer, Told, frame, html, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::create::{Create, CreateFromUrl, FoundPicture, FoundPictures};
use crate::view::page::Nav;
use crate::view::ui::encoded;

/// Files of one form. More are sent in several forms, or one by one by the script.
const FILES_MAX: usize = 50;
/// A form's texts are small; what is longer is refused before it is read whole.
const FIELD_BYTES_MAX: usize = 64 << 10;
/// Sides of a picture whose size its page does not tell, in the list to choose from.
const UNKNOWN_SIDE: u32 = 400;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/create", get(create_page).post(create))
        .route("/create/from-url", get(from_url_page).post(from_url))
        .route("/create/preview", get(preview))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CreateQuery {
    board: String,
    url: Option<String>,
}

async fn create_view(web: &Web, context: &Context, board: Option<BoardId>, refused: Vec<(String, String)>, errors: FormErrors) -> Answer {
    context.viewer.require().told(web, context)?;
    let view = Create {
        page: frame(web, context, "Create pins", Nav::Create).await,
        boards: board_choices(web, context, true).await.told(web, context)?,
        board,
        file_bytes_max: web.app.media.limits().body_bytes_max,
        refused,
        errors,
    };
    Ok(page(context, &view))
}

async fn create_page(State(web): State<Web>, context: Context, Query(query): Query<CreateQuery>) -> Answer {
    create_view(&web, &context, query.board.parse().ok(), Vec::new(), FormErrors::none()).await
}

/// A form with files, read part by part.
#[derive(Default)]
struct Upload {
    files: Vec<(String, Bytes)>,
    place: PlaceForm,
    text: PinText,
}

async fn read_upload(mut multipart: axum::extract::Multipart) -> app::Result<Upload> {
    let broken =
        |error: axum::extract::multipart::MultipartError| Error::invalid("file", format!("The upload broke off: {}", error.body_text()));
    let mut upload = Upload::default();
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or("").to_owned();
        if name == "file" {
            let file_name = field.file_name().unwrap_or("picture").chars().take(200).collect::<String>();
            let bytes = field.bytes().await.map_err(broken)?;
            // A browser sends an empty part for an input without files.
            if !(bytes.is_empty() && file_name.is_empty()) {
                upload.files.push((file_name, bytes));
            }
            if upload.files.len() > FILES_MAX {
                return Err(Error::invalid("file", format!("One form takes at most {FILES_MAX} files; send the others in another one.")));
            }
            continue;
        }
        let bytes = field.bytes().await.map_err(broken)?;
        if bytes.len() > FIELD_BYTES_MAX {
            return Err(Error::invalid("file", format!("The field '{name}' is too long.")));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match name.as_str() {
            "title" => upload.text.title = text,
            "description" => upload.text.description = text,
            "alt_text" => upload.text.alt_text = text,
            "link" => upload.text.link = text,
            "to" => upload.place.to = text,
            "board_id" => upload.place.board_id = text,
            "board_name" => upload.place.board_name = text,
            "secret" => upload.place.secret = text,
            _ => {}
        }
    }
    Ok(upload)
}

async fn create(State(web): State<Web>, context: Context, Multipart(multipart): Multipart) -> Answer {
    context.viewer.require().told(&web, &context)?;
    let prepared = async {
        web.limit(&context, Category::Write)?;
        let upload = read_upload(multipart).await?;
        if upload.files.is_empty() {
            return Err(Error::invalid("file", "Choose at least one picture."));
        }
        let place = upload.place.place(&web, &context).await?;
        Ok((upload, place))
    };
    let (upload, place) = match prepared.await {
        Err(Error::Invalid(invalid)) if !context.by_script() => {
            let shown = if invalid.field == "board_name" { invalid } else { model::Invalid::new("", invalid.message) };
            return refused(create_view(&web, &context, None, Vec::new(), FormErrors(vec![shown])).await);
        }
        other => other.told(&web, &context)?,
    };
    let mut made: Vec<PinView> = Vec::new();
    let mut refused = Vec::new();
    for (name, bytes) in upload.files {
        match web.app.pin_upload(&context.viewer, place, upload.text.clone(), bytes).await {
            Ok(view) => made.push(view),
            Err(Error::Invalid(invalid)) if !context.by_script() => refused.push((name, invalid.message)),
            Err(error) => return Err(error).told(&web, &context),
        }
    }
    let Some(first) = made.first() else {
        return crate::respond::refused(create_view(&web, &context, Some(place.board), refused, FormErrors::none()).await);
    };
    let owner = board_owner(&web, first).await.told(&web, &context)?;
    let board = crate::present::board_url(&owner, &first.board);
    if context.by_script() {
        return Ok(axum::Json(json!({ "url": format!("/pin/{}", first.id()), "message": format!("Pinned to {}", first.board.data.name), "to": first.board.id, "board_url": board }))
            .into_response());
    }
    if !refused.is_empty() {
        return create_view(&web, &context, Some(place.board), refused, FormErrors::none()).await;
    }
    let text = if made.len() == 1 { "Your pin is there.".to_owned() } else { format!("Your {} pins are there.", made.len()) };
    let to = if made.len() == 1 { format!("/pin/{}", first.id()) } else { board };
    Ok(redirect_with(&to, &FlashNote::done(text)))
}

async fn board_owner(web: &Web, view: &PinView) -> app::Result<std::sync::Arc<model::Stored<model::User>>> {
    web.app.object::<model::User>(view.board.data.owner).await?.ok_or(Error::NotFound(app::What::User))
}

async fn from_url_view(web: &Web, context: &Context, url: String, found: Option<FoundPictures>, errors: FormErrors) -> Answer {
    let frame = frame(web, context, "Pin from a web page", Nav::Create).await;
    Ok(page(context, &CreateFromUrl { page: frame, url, errors, found }))
}

async fn from_url_page(State(web): State<Web>, context: Context, Query(query): Query<CreateQuery>) -> Answer {
    context.viewer.require().told(&web, &context)?;
    let Some(url) = query.url.filter(|url| !url.trim().is_empty()) else {
        return from_url_view(&web, &context, String::new(), None, FormErrors::none()).await;
    };
    let read = async {
        web.limit(&context, Category::Fetch)?;
        web.app.read_web_page(&context.viewer, &url).await
    };
    let found = match read.await {
        Err(Error::Invalid(invalid)) if !context.by_script() => {
            return refused(from_url_view(&web, &context, url, None, FormErrors(vec![invalid])).await);
        }
        other => other.told(&web, &context)?,
    };
    let pictures = found.pictures.into_iter().map(|picture| FoundPicture {
        preview_url: format!("/create/preview?url={}", encoded(&picture.url)),
        width: picture.width.unwrap_or(UNKNOWN_SIDE),
        height: picture.height.unwrap_or(UNKNOWN_SIDE),
        alt: picture.alt.unwrap_or_default(),
        url: picture.url,
    });
    let found = FoundPictures {
        domain: model::limits::domain_of(&found.url),
        url: found.url,
        title: found.title,
        description: found.description,
        pictures: pictures.collect(),
        boards: board_choices(&web, &context, true).await.told(&web, &context)?,
        board: query.board.parse().ok(),
    };
    if context.wants("pictures") {
        return Ok(html(&found));
    }
    from_url_view(&web, &context, url, Some(found), FormErrors::none()).await
}

/// Reads the chosen pictures of the form: `picture` may stand in it many times.
fn chosen(form: &[(String, String)], name: &str) -> Vec<String> {
    form.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

async fn from_url(State(web): State<Web>, context: Context, Form(form): Form<Vec<(String, String)>>) -> Answer {
    context.viewer.require().told(&web, &context)?;
    let first = |name: &str| chosen(&form, name).into_iter().next().unwrap_or_default();
    let pictures = chosen(&form, "picture");
    let url = first("url");
    let pinned = async {
        web.limit(&context, Category::Fetch)?;
        if pictures.is_empty() {
            return Err(Error::invalid("", "Choose at least one picture."));
        }
        let place = PlaceForm { to: first("to"), board_name: first("board_name"), ..PlaceForm::default() }.place(&web, &context).await?;
        let mut last = None;
        for picture in pictures.iter().take(FILES_MAX) {
            let text = PinText { title: first("title"), description: first("description"), alt_text: String::new(), link: url.clone() };
            last = Some(web.app.pin_from_url(&context.viewer, place, text, picture).await?);
        }
        last.ok_or_else(|| Error::invalid("", "Choose at least one picture."))
    };
    match super::auth::form_errors(pinned.await).told(&web, &context)? {
        Ok(view) => Ok(redirect_with(&format!("/pin/{}", view.id()), &FlashNote::done(format!("Pinned to {}.", view.board.data.name)))),
        Err(errors) => refused(from_url_view(&web, &context, url, None, errors).await),
    }
}

/// Shows a picture of another site to choose from. Pages of this site load nothing from elsewhere, so that nobody learns who looks.
async fn preview(State(web): State<Web>, context: Context, Query(query): Query<CreateQuery>) -> Answer {
    let read = async {
        context.viewer.require()?;
        web.limit(&context, Category::Fetch)?;
        web.app.preview_picture(query.url.as_deref().unwrap_or("")).await
    };
    let (content_type, bytes) = read.await.told(&web, &context)?;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "private, max-age=600"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((headers, bytes).into_response())
}
