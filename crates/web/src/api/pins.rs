//! `/pins`, `/pins/{id}`, `/pins/{id}/save`.

use app::hydrate::{Page, Strictness};
use app::pictures::StoredPicture;
use app::pins::{NewPin, PinEdit, PinText, Place, Source};
use app::{PinView, Viewer, What};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::object::Privacy;
use model::{Id, PinId, User, UserId};
use serde::Deserialize;

use super::auth::{Access, READ_PINS, WRITE_PINS};
use super::request::{JsonBody, Params, filled, id, idempotency_key, key_is_spent, made_before, present};
use super::respond::{Answer, Failure, created, no_content, ok};
use super::shapes::{self, List, PinShape};
use crate::limits::Category;
use crate::server::Web;

/// Pictures of a page that are tried before it is given up.
const PAGE_PICTURES_MAX: usize = 5;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/pins", get(list).post(create))
        .route("/pins/{pin_id}", get(read).patch(update).delete(delete))
        .route("/pins/{pin_id}/save", post(save))
}

/// Makes the shapes of pins, with the owners of their boards, and with what they were saved from as far as the viewer may see that.
pub async fn pin_shapes(web: &Web, viewer: &Viewer, views: &[PinView]) -> Result<Vec<PinShape>, Failure> {
    let foreign = views.iter().filter(|view| view.board.data.owner != view.pin.data.owner);
    let owners = web.app.by_id::<User>(foreign.map(|view| view.board.data.owner.id())).await?;
    let mut parents: Vec<Id> = views.iter().filter_map(|view| view.pin.data.parent.map(Id::from)).collect();
    parents.sort_unstable();
    parents.dedup();
    let parents = web.app.hydrate(viewer, &parents, Strictness::Opened).await?;
    let base_url = &web.app.settings.base_url;
    let shape = |view: &PinView| {
        let owner = owners.get(&view.board.data.owner.id()).unwrap_or(&view.owner);
        let parent = view.pin.data.parent.filter(|parent| parents.iter().any(|seen| seen.pin.id == parent.id()));
        shapes::pin(view, owner, parent, viewer.id(), base_url)
    };
    Ok(views.iter().map(shape).collect())
}

pub async fn pin_list(web: &Web, viewer: &Viewer, page: Page<PinView>) -> Result<List<PinShape>, Failure> {
    Ok(List { items: pin_shapes(web, viewer, &page.items).await?, bookmark: page.bookmark })
}

async fn pin_shape(web: &Web, viewer: &Viewer, view: PinView) -> Result<PinShape, Failure> {
    pin_shapes(web, viewer, &[view]).await?.pop().ok_or_else(|| Failure::not_found(What::Pin))
}

/// Says whether pictures are among the wanted creative types: all pins here are.
pub fn wants_regular(params: &Params) -> bool {
    let types = params.list("creative_types");
    types.is_empty() || types.contains(&"REGULAR")
}

/// Which of one's own pins are wanted.
struct PinFilter {
    saved: Option<bool>,
    only_secret: bool,
    with_protected: bool,
    none: bool,
}

impl PinFilter {
    fn read(params: &Params) -> Result<PinFilter, Failure> {
        let (mut saved, mut none) = (None, !wants_regular(params));
        match params.get("pin_filter") {
            None => {}
            Some("exclude_native") => saved = Some(true),
            Some("exclude_repins") => saved = Some(false),
            Some("has_been_promoted") => none = true,
            Some(other) => {
                let known = "exclude_native, exclude_repins or has_been_promoted";
                return Err(Failure::invalid(format!("'{other}' is no pin_filter; it must be {known}.")));
            }
        }
        let only_secret = match params.get("pin_type") {
            None => false,
            Some("PRIVATE") => true,
            Some(other) => return Err(Failure::invalid(format!("'{other}' is no pin_type; it must be PRIVATE."))),
        };
        Ok(PinFilter { saved, only_secret, with_protected: params.flag("include_protected_pins")?, none })
    }

    fn takes(&self, view: &PinView) -> bool {
        let privacy = view.board.data.privacy;
        !self.none
            && self.saved.is_none_or(|saved| view.pin.data.parent.is_some() == saved)
            && (!self.only_secret || privacy == Privacy::Secret)
            && (self.with_protected || privacy != Privacy::Protected)
    }
}

async fn list(State(web): State<Web>, access: Access, params: Params) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let me = web.app.seen(&viewer, viewer.require()?).await?;
    let filter = PinFilter::read(&params)?;
    let read = async |request| web.app.pins_of(&viewer, &me, &request).await;
    let page = filled(&params.page()?, |view| filter.takes(view), read).await?;
    ok(&pin_list(&web, &viewer, page).await?)
}

#[derive(Deserialize)]
struct CreateBody {
    board_id: String,
    #[serde(default)]
    board_section_id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    alt_text: Option<String>,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    parent_pin_id: Option<String>,
    media_source: MediaSource,
}

/// Where a new pin's picture comes from.
#[derive(Deserialize)]
#[serde(tag = "source_type", rename_all = "snake_case")]
enum MediaSource {
    ImageUrl { url: String },
    ImageBase64 { content_type: String, data: String },
    PinUrl {},
    MultipleImageUrls {},
    MultipleImageBase64 {},
    VideoId {},
}

fn place(board: &str, section: Option<&str>) -> Result<Place, Failure> {
    let section = section.map(|section| id(section, What::Section)).transpose()?;
    Ok(Place { board: id(board, What::Board)?, section })
}

async fn create(State(web): State<Web>, access: Access, headers: HeaderMap, JsonBody(body): JsonBody<CreateBody>) -> Answer {
    let viewer = access.viewer(WRITE_PINS)?;
    let key = idempotency_key(&headers, "pins")?;
    let me = viewer.require()?;
    if let Some(pin) = made_before(&web, me, key.as_deref()).await? {
        return made_again(&web, &viewer, pin).await;
    }
    let place = place(&body.board_id, body.board_section_id.as_deref())?;
    web.app.writable_place(&viewer, place).await?;
    let text = PinText {
        title: body.title.unwrap_or_default(),
        description: body.description.unwrap_or_default(),
        alt_text: body.alt_text.unwrap_or_default(),
        link: body.link.unwrap_or_default(),
    }
    .checked()?;
    let source = match body.parent_pin_id {
        Some(parent) => Some(source(&web, &viewer, &parent).await?),
        None => None,
    };
    let picture = picture(&web, &access, &viewer, body.media_source, &text.link).await?;
    let new = NewPin { source, source_key: key.clone(), ..NewPin::new(place, text, picture) };
    match web.app.create_pin(&viewer, new).await {
        Ok(view) => created(&pin_shape(&web, &viewer, view).await?),
        Err(error) => after_conflict(&web, &viewer, me, key.as_deref(), error).await,
    }
}

async fn source(web: &Web, viewer: &Viewer, parent: &str) -> Result<Source, Failure> {
    let parent: PinId = id(parent, What::Pin)?;
    let view = web.app.pin(viewer, parent).await?;
    Ok(Source { parent, root: view.pin.data.root.unwrap_or(parent) })
}

/// Answers a repeated call with the pin that the first one made.
async fn made_again(web: &Web, viewer: &Viewer, pin: PinId) -> Answer {
    match web.app.pin(viewer, pin).await {
        Ok(view) => created(&pin_shape(web, viewer, view).await?),
        Err(app::Error::NotFound(_)) => Err(key_is_spent()),
        Err(error) => Err(error.into()),
    }
}

/// Answers the slower one of two equal calls at once with what the faster one made.
async fn after_conflict(web: &Web, viewer: &Viewer, me: UserId, key: Option<&str>, error: app::Error) -> Answer {
    if matches!(error, app::Error::Conflict(_))
        && let Some(pin) = made_before(web, me, key).await?
    {
        return made_again(web, viewer, pin).await;
    }
    Err(error.into())
}

async fn picture(web: &Web, access: &Access, viewer: &Viewer, source: MediaSource, link: &str) -> Result<StoredPicture, Failure> {
    match source {
        MediaSource::ImageUrl { url } => {
            if !url.strip_prefix(&web.app.settings.base_url).is_some_and(|path| path.starts_with("/media/")) {
                count_fetch(web, access)?;
            }
            Ok(web.app.picture_at(&url).await?)
        }
        MediaSource::ImageBase64 { content_type, data } => {
            if !matches!(content_type.as_str(), "image/jpeg" | "image/png") {
                return Err(Failure::invalid("media_source.content_type must be image/jpeg or image/png."));
            }
            let bytes =
                STANDARD.decode(data.as_bytes()).map_err(|error| Failure::invalid(format!("media_source.data is not base64: {error}.")))?;
            Ok(web.app.store_picture(bytes.into()).await?)
        }
        MediaSource::PinUrl {} => {
            if link.is_empty() {
                return Err(Failure::invalid("With the source_type pin_url, 'link' must name the page whose picture is pinned."));
            }
            count_fetch(web, access)?;
            picture_of_page(web, viewer, link).await
        }
        MediaSource::MultipleImageUrls {} | MediaSource::MultipleImageBase64 {} => {
            Err(Failure::invalid("A pin has one picture here. Send each picture as a pin of its own, with image_url or image_base64."))
        }
        MediaSource::VideoId {} => {
            Err(Failure::invalid("Pins of videos are not supported here. Send a picture with image_url or image_base64."))
        }
    }
}

fn count_fetch(web: &Web, access: &Access) -> Result<(), Failure> {
    let standing = web.limiter.check(Category::Fetch, access.subject());
    if standing.allowed { Ok(()) } else { Err(app::Error::TooMany { retry_after_seconds: standing.reset_seconds }.into()) }
}

async fn picture_of_page(web: &Web, viewer: &Viewer, url: &str) -> Result<StoredPicture, Failure> {
    let page = web.app.read_web_page(viewer, url).await?;
    let mut last = Failure::invalid("The page at 'link' has no picture to pin.");
    for picture in page.pictures.iter().take(PAGE_PICTURES_MAX) {
        match web.app.picture_at(&picture.url).await {
            Ok(stored) => return Ok(stored),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn read(State(web): State<Web>, access: Access, Path(pin): Path<String>) -> Answer {
    let viewer = access.viewer(READ_PINS)?;
    let view = web.app.pin(&viewer, id(&pin, What::Pin)?).await?;
    ok(&pin_shape(&web, &viewer, view).await?)
}

#[derive(Deserialize)]
struct UpdateBody {
    #[serde(default, deserialize_with = "present")]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    alt_text: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    link: Option<Option<String>>,
    #[serde(default)]
    board_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    board_section_id: Option<Option<String>>,
    #[serde(default)]
    carousel_slots: Vec<serde::de::IgnoredAny>,
}

async fn update(State(web): State<Web>, access: Access, Path(pin): Path<String>, JsonBody(body): JsonBody<UpdateBody>) -> Answer {
    let viewer = access.viewer(WRITE_PINS)?;
    if !body.carousel_slots.is_empty() {
        return Err(Failure::invalid("A pin has one picture here, so it has no carousel_slots."));
    }
    let pin: PinId = id(&pin, What::Pin)?;
    let view = web.app.pin(&viewer, pin).await?;
    let place = match (&body.board_id, &body.board_section_id) {
        (None, None) => None,
        (Some(board), section) => Some(place(board, section.as_ref().and_then(Option::as_deref))?),
        (None, Some(section)) => Some(place(&view.board.id.to_string(), section.as_deref())?),
    };
    // A new board without a section leaves the old board's section; the same board without one changes nothing.
    let place = place.map(|place| match (&body.board_section_id, place.board == view.pin.data.board) {
        (None, true) => Place { section: view.pin.data.section, ..place },
        _ => place,
    });
    let text = |field: Option<Option<String>>| field.map(Option::unwrap_or_default);
    let edit = PinEdit {
        title: text(body.title),
        description: text(body.description),
        alt_text: text(body.alt_text),
        link: text(body.link),
        place,
    };
    let view = web.app.edit_pin(&viewer, pin, edit).await?;
    ok(&pin_shape(&web, &viewer, view).await?)
}

async fn delete(State(web): State<Web>, access: Access, Path(pin): Path<String>) -> Answer {
    let viewer = access.viewer(WRITE_PINS)?;
    let pin = id(&pin, What::Pin)?;
    // What is in the trash already is gone for clients.
    web.app.pin(&viewer, pin).await?;
    web.app.trash_pin(&viewer, pin).await?;
    no_content()
}

#[derive(Deserialize)]
struct SaveBody {
    #[serde(default)]
    board_id: Option<String>,
    #[serde(default)]
    board_section_id: Option<String>,
}

async fn save(
    State(web): State<Web>,
    access: Access,
    headers: HeaderMap,
    Path(pin): Path<String>,
    JsonBody(body): JsonBody<SaveBody>,
) -> Answer {
    let viewer = access.viewer(WRITE_PINS)?;
    let key = idempotency_key(&headers, "pins")?;
    let me = viewer.require()?;
    if let Some(pin) = made_before(&web, me, key.as_deref()).await? {
        return made_again(&web, &viewer, pin).await;
    }
    let board = body.board_id.ok_or_else(|| Failure::invalid("'board_id' is missing: say to which board the pin is saved."))?;
    let place = place(&board, body.board_section_id.as_deref())?;
    match web.app.save_pin_once(&viewer, id(&pin, What::Pin)?, place, key.clone()).await {
        Ok(view) => created(&pin_shape(&web, &viewer, view).await?),
        Err(error) => after_conflict(&web, &viewer, me, key.as_deref(), error).await,
    }
}
