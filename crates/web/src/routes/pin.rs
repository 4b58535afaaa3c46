//! `/pin/{id}…`: the page of a pin and everything done from it.

use app::boards::NewBoard;
use app::pins::{PinEdit, Place};
use app::{Error, PinView};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use feeds::Target;
use model::legal::TakedownState;
use model::object::{Privacy, Role};
use model::{Assoc, BoardId, PinId, Section, SectionId, TakedownId};
use serde::Deserialize;
use serde_json::json;

use super::address::At;
use super::form::Form;
use super::home::{ListQuery, pin_cards};
use super::social::came_from;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done_with, frame, html, page, redirect, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::form::Pressed;
use crate::view::page::{Meta, Nav};
use crate::view::picture::RichText;
use crate::view::pin::{BoardChoice, BoardRef, PinDetail, PinPage, PinRights, PinTakedown, SaveAction, SavePage, SavePicker, Source};
use crate::view::pin_edit::{EditPin, parse_board_choice};

/// Pins shown below a pin.
const RELATED: usize = 24;
const LIKERS_SHOWN: usize = 5;
/// Steps of the chain of saves that are shown.
const SOURCES_SHOWN: usize = 3;
const RECENT_BOARDS: usize = 3;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/pin/{id}", get(show))
        .route("/pin/{id}/edit", get(edit_page).post(edit))
        .route("/pin/{id}/save", get(save_page).post(save))
        .route("/pin/{id}/move", get(move_page).post(move_pin))
        .route("/pin/{id}/copy", get(copy_page).post(copy))
        .route("/pin/{id}/delete", post(delete))
        .route("/pin/{id}/restore", post(restore))
        .route("/pin/{id}/like", post(like))
        .route("/pin/{id}/unlike", post(unlike))
}

async fn show(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    let view = web.app.pin(&context.viewer, id).await.told(&web, &context)?;
    let pin = pin_detail(&web, &context, &view).await.told(&web, &context)?;
    let comments = web.app.comments_on(&context.viewer, &view, &ListQuery::default().request()).await.told(&web, &context)?;
    let comments = super::comments::comments_read(&web, &context, id, comments, None).await.told(&web, &context)?;
    let related = web.app.related(&context.viewer, &view, RELATED).await.told(&web, &context)?;
    let related = app::Page { items: related, bookmark: None };
    let more = pin_cards(&web, &context, related, false, |_| String::new()).await.told(&web, &context)?;
    let title = if pin.title.is_empty() { format!("Pin by {}", view.owner.data.name) } else { pin.title.clone() };
    let mut frame = frame(&web, &context, &title, Nav::Elsewhere).await;
    frame.unlisted = view.board.data.privacy != Privacy::Public;
    if !frame.unlisted {
        let base = &web.app.settings.base_url;
        frame.meta = Some(Meta {
            description: view.pin.data.description.clone(),
            canonical_url: format!("{base}/pin/{id}"),
            image_url: Some(format!("{base}{}", present::media_url(&view.pin.data.picture, "1200x"))),
        });
    }
    Ok(page(&context, &PinPage { page: frame, pin, comments, more }))
}

async fn pin_detail(web: &Web, context: &Context, view: &PinView) -> app::Result<PinDetail> {
    let (viewer, pin, id) = (&context.viewer, &view.pin.data, view.id());
    let owner = present::user_id(&view.owner);
    let counts = web
        .app
        .storage
        .counts(&[(Assoc::PinLikedByUsers, id.id()), (Assoc::PinHasSaves, id.id()), (Assoc::UserFollowedByUsers, owner.id())])
        .await?;
    let likers = web.app.users_along(viewer, Assoc::PinLikedByUsers, id.id(), &app::hydrate::PageRequest::first(LIKERS_SHOWN)).await?;
    let follow = match viewer.user.is_some() && !viewer.is(owner) {
        true => Some(Pressed::follow("user", owner, &view.owner.data.name, web.app.follows(viewer, &[Target::User(owner)]).await?[0])),
        false => None,
    };
    let saved = web.app.already_saved(viewer, &[view]).await?.pop().flatten().filter(|saved| saved.pin != id);
    let saved_on = match saved {
        Some(saved) => board_ref(web, context, saved.board, None).await?,
        None => None,
    };
    let role = app::viewer::role_on(&view.board, viewer);
    let owns = viewer.is(pin.owner);
    Ok(PinDetail {
        id,
        title: pin.title.clone(),
        description: RichText::of(&pin.description),
        alt_text: pin.alt_text.clone(),
        picture: present::picture(pin, &view.board.data.name),
        link: pin.link.clone(),
        domain: pin.domain.clone(),
        at: present::time(pin.at, web.app.now()),
        owner: present::person(&view.owner),
        owner_follower_count: counts[2],
        follow,
        board: board_ref(web, context, pin.board, pin.section).await?.ok_or(Error::NotFound(app::What::Pin))?,
        liked: web.app.likes(viewer, &[id.id()]).await?[0],
        like_count: counts[0],
        likers: likers.items.iter().map(|user| present::person(user)).collect(),
        save_count: counts[1],
        saved_on,
        sources: sources(web, context, view).await?,
        share_url: format!("{}/pin/{id}", web.app.settings.base_url),
        rights: PinRights {
            edit: owns || role >= Some(Role::Edit),
            delete: owns || role >= Some(Role::Edit),
            comment: viewer.user.is_some(),
            report: viewer.user.is_some() && !owns,
            take_down: viewer.is_admin() && !owns && !pin.hidden,
            cover_of: (role >= Some(Role::Edit)).then_some(pin.board),
        },
        hidden: pin.hidden,
        takedown: pin_takedown(web, context, view).await?,
    })
}

async fn pin_takedown(web: &Web, context: &Context, view: &PinView) -> app::Result<Option<PinTakedown>> {
    if !view.pin.data.hidden {
        return Ok(None);
    }
    let Some(takedown) = web.app.takedown_of_pin(&context.viewer, &view.pin).await? else { return Ok(None) };
    let own = context.viewer.is(view.pin.data.owner);
    Ok(Some(PinTakedown {
        id: TakedownId::try_from(takedown.id).map_err(Error::internal)?,
        reason: takedown.data.reason,
        own,
        can_appeal: own && takedown.data.state.may_become(TakedownState::Appealed),
    }))
}

async fn board_ref(web: &Web, context: &Context, board: BoardId, section: Option<SectionId>) -> app::Result<Option<BoardRef>> {
    let Ok(card) = web.app.board(&context.viewer, board).await else { return Ok(None) };
    let Some(owner) = web.app.object::<model::User>(card.data.owner).await? else { return Ok(None) };
    let url = present::board_url(&owner, &card);
    let section = match section {
        Some(id) => web
            .app
            .object::<Section>(id)
            .await?
            .filter(|section| section.active)
            .map(|section| (section.data.name.clone(), format!("{url}/{id}"))),
        None => None,
    };
    Ok(Some(BoardRef { name: card.data.name.clone(), url, privacy: card.data.privacy, section }))
}

async fn sources(web: &Web, context: &Context, view: &PinView) -> app::Result<Vec<Source>> {
    let (mut sources, mut at) = (Vec::new(), view.clone());
    while sources.len() < SOURCES_SHOWN {
        let Some(source) = web.app.source_of(&context.viewer, &at).await? else { break };
        let board = (source.pin.data.owner == source.board.data.owner)
            .then(|| (source.board.data.name.clone(), present::board_url(&source.owner, &source.board)));
        sources.push(Source { url: format!("/pin/{}", source.id()), owner: present::person(&source.owner), board });
        at = source;
    }
    Ok(sources)
}

/// Lists the boards that the viewer may add to, for pickers and selects.
pub async fn board_choices(web: &Web, context: &Context, with_sections: bool) -> app::Result<Vec<BoardChoice>> {
    let boards = web.app.boards_to_add_to(&context.viewer).await?;
    let cards = web.app.board_cards(&context.viewer, boards).await?;
    let mut choices = Vec::with_capacity(cards.len());
    for card in cards {
        let sections = match with_sections {
            true => web.app.all_sections(&context.viewer, card.id()).await?,
            false => Vec::new(),
        };
        choices.push(BoardChoice {
            id: card.id(),
            name: card.board.data.name.clone(),
            privacy: card.board.data.privacy,
            cover: card.covers.first().map(|pin| present::picture(&pin.data, &card.board.data.name)),
            sections: sections
                .iter()
                .filter_map(|section| Some((SectionId::try_from(section.id).ok()?, section.data.name.clone())))
                .collect(),
            owner_name: (!context.viewer.is(card.board.data.owner)).then(|| card.owner.data.name.clone()),
        });
    }
    Ok(choices)
}

async fn picker(web: &Web, context: &Context, view: &PinView, action: SaveAction, errors: FormErrors) -> app::Result<SavePicker> {
    let boards = board_choices(web, context, true).await?;
    let saved = match action {
        SaveAction::Save => web.app.already_saved(&context.viewer, &[view]).await?.pop().flatten(),
        SaveAction::Move | SaveAction::Copy => None,
    };
    let already_on = match saved {
        Some(saved) => board_ref(web, context, saved.board, None).await?,
        None => None,
    };
    Ok(SavePicker { pin: view.id(), already_on, recent: recent_boards(web, context, &boards).await?, boards, errors, action })
}

/// Picks the boards of the viewer's newest pins, if there are enough boards for that to help.
async fn recent_boards(web: &Web, context: &Context, boards: &[BoardChoice]) -> app::Result<Vec<BoardChoice>> {
    if boards.len() <= RECENT_BOARDS + 1 {
        return Ok(Vec::new());
    }
    let me = context.viewer.require()?;
    let me = web.app.seen(&context.viewer, me).await?;
    let newest = web.app.pins_of(&context.viewer, &me, &app::hydrate::PageRequest::first(30)).await?;
    let mut recent: Vec<BoardChoice> = Vec::new();
    for view in newest.items {
        let known = recent.iter().any(|choice| choice.id == view.pin.data.board);
        if let Some(choice) =
            boards.iter().find(|choice| choice.id == view.pin.data.board).filter(|_| !known && recent.len() < RECENT_BOARDS)
        {
            recent.push(BoardChoice { sections: Vec::new(), ..choice.clone() });
        }
    }
    Ok(recent)
}

async fn picker_answer(web: &Web, context: &Context, id: PinId, action: SaveAction, errors: FormErrors) -> Answer {
    context.viewer.require().told(web, context)?;
    let view = web.app.pin(&context.viewer, id).await.told(web, context)?;
    let picker = picker(web, context, &view, action, errors).await.told(web, context)?;
    if context.wants("save") {
        return Ok(html(&picker));
    }
    let pin = &view.pin.data;
    let title = format!("{} to a board", action.verb());
    let view = SavePage {
        page: frame(web, context, &title, Nav::Elsewhere).await,
        title: pin.title.clone(),
        picture: present::picture(pin, &view.board.data.name),
        picker,
    };
    Ok(page(context, &view))
}

async fn save_page(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    picker_answer(&web, &context, id, SaveAction::Save, FormErrors::none()).await
}

async fn move_page(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    picker_answer(&web, &context, id, SaveAction::Move, FormErrors::none()).await
}

async fn copy_page(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    picker_answer(&web, &context, id, SaveAction::Copy, FormErrors::none()).await
}

/// Where a form wants a pin: a board, a section, a select's "board/section", or a board that is to be made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PlaceForm {
    pub board_id: String,
    pub section_id: String,
    pub to: String,
    pub board_name: String,
    pub secret: String,
}

impl PlaceForm {
    /// Finds the place, making the board if the form names a new one.
    pub async fn place(&self, web: &Web, context: &Context) -> app::Result<Place> {
        if !self.board_name.trim().is_empty() {
            let privacy = if self.secret.is_empty() { Privacy::Public } else { Privacy::Secret };
            let new = NewBoard { name: self.board_name.clone(), privacy, ..NewBoard::default() };
            return Ok(Place { board: web.app.create_board(&context.viewer, new).await?.id(), section: None });
        }
        if let Some((board, section)) = parse_board_choice(&self.to) {
            return Ok(Place { board, section });
        }
        if let Ok(section) = self.section_id.parse::<SectionId>() {
            let stored =
                web.app.object::<Section>(section).await?.filter(|stored| stored.active).ok_or(Error::NotFound(app::What::Section))?;
            return Ok(Place { board: stored.data.board, section: Some(section) });
        }
        let board = self.board_id.parse().map_err(|_| Error::invalid("to", "Choose a board."))?;
        Ok(Place { board, section: None })
    }
}

/// Saves, moves or copies a pin to where the form says.
async fn put(web: &Web, context: &Context, id: PinId, form: &PlaceForm, action: SaveAction) -> Answer {
    let placed = async {
        web.limit(context, Category::Write)?;
        let place = form.place(web, context).await?;
        match action {
            SaveAction::Save => web.app.save_pin(&context.viewer, id, place).await,
            SaveAction::Copy => web.app.copy_pin(&context.viewer, id, place).await,
            SaveAction::Move => web.app.edit_pin(&context.viewer, id, PinEdit { place: Some(place), ..PinEdit::default() }).await,
        }
    };
    let view = match placed.await {
        Err(Error::Invalid(invalid)) if !context.by_script() => {
            return refused(picker_answer(web, context, id, action, FormErrors(vec![invalid])).await);
        }
        other => other.told(web, context)?,
    };
    let board = board_ref(web, context, view.pin.data.board, None).await.told(web, context)?;
    let (name, url) = board.map_or_else(Default::default, |board| (board.name, board.url));
    let verb = match action {
        SaveAction::Save => "Saved",
        SaveAction::Move => "Moved",
        SaveAction::Copy => "Copied",
    };
    let message = format!("{verb} to {name}");
    let undo = (action != SaveAction::Move).then(|| format!("/pin/{}/delete", view.id()));
    let note = FlashNote { undo: undo.clone(), link: Some((url.clone(), name.clone())), ..FlashNote::done(message.clone()) };
    Ok(done_with(context, json!({ "message": message, "board": name, "url": url, "undo": undo }), &format!("/pin/{}", view.id()), &note))
}

async fn save(State(web): State<Web>, context: Context, At(id): At<PinId>, Form(form): Form<PlaceForm>) -> Answer {
    put(&web, &context, id, &form, SaveAction::Save).await
}

async fn move_pin(State(web): State<Web>, context: Context, At(id): At<PinId>, Form(form): Form<PlaceForm>) -> Answer {
    put(&web, &context, id, &form, SaveAction::Move).await
}

async fn copy(State(web): State<Web>, context: Context, At(id): At<PinId>, Form(form): Form<PlaceForm>) -> Answer {
    put(&web, &context, id, &form, SaveAction::Copy).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EditForm {
    title: String,
    description: String,
    alt_text: String,
    link: String,
    to: String,
}

async fn edit_view(web: &Web, context: &Context, id: PinId, form: Option<EditForm>, errors: FormErrors) -> Answer {
    let view = web.app.pin(&context.viewer, id).await.told(web, context)?;
    web.app.editable_pin(&context.viewer, id).await.told(web, context)?;
    let pin = &view.pin.data;
    let form = form.unwrap_or_else(|| EditForm {
        title: pin.title.clone(),
        description: pin.description.clone(),
        alt_text: pin.alt_text.clone(),
        link: pin.link.clone(),
        to: String::new(),
    });
    let (board, section) = parse_board_choice(&form.to).unwrap_or((pin.board, pin.section));
    let view = EditPin {
        page: frame(web, context, "Edit pin", Nav::Elsewhere).await,
        id,
        picture: present::picture(pin, &view.board.data.name),
        title: form.title,
        description: form.description,
        alt_text: form.alt_text,
        link: form.link,
        board,
        section,
        boards: board_choices(web, context, true).await.told(web, context)?,
        errors,
    };
    Ok(page(context, &view))
}

async fn edit_page(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    context.viewer.require().told(&web, &context)?;
    edit_view(&web, &context, id, None, FormErrors::none()).await
}

async fn edit(State(web): State<Web>, context: Context, At(id): At<PinId>, Form(form): Form<EditForm>) -> Answer {
    let change = PinEdit {
        title: Some(form.title.clone()),
        description: Some(form.description.clone()),
        alt_text: Some(form.alt_text.clone()),
        link: Some(form.link.clone()),
        place: parse_board_choice(&form.to).map(|(board, section)| Place { board, section }),
    };
    match super::auth::form_errors(web.app.edit_pin(&context.viewer, id, change).await).told(&web, &context)? {
        Ok(_) => Ok(redirect_with(&format!("/pin/{id}"), &FlashNote::done("The pin is changed."))),
        Err(errors) => refused(edit_view(&web, &context, id, Some(form), errors).await),
    }
}

async fn delete(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    let view = web.app.pin(&context.viewer, id).await.told(&web, &context)?;
    web.app.trash_pin(&context.viewer, id).await.told(&web, &context)?;
    let board = board_ref(&web, &context, view.pin.data.board, None).await.told(&web, &context)?;
    let undo = format!("/pin/{id}/restore");
    let note = FlashNote { undo: Some(undo.clone()), ..FlashNote::done("The pin is in your trash for 30 days.") };
    let back = board.map_or_else(|| "/".to_owned(), |board| board.url);
    Ok(done_with(&context, json!({ "message": note.text, "undo": undo }), &back, &note))
}

async fn restore(State(web): State<Web>, context: Context, At(id): At<PinId>, body: String) -> Answer {
    // Undo sends no form at all; the trash page sends the board to restore to.
    let to = url::form_urlencoded::parse(body.as_bytes()).find(|(key, _)| key == "to").map(|(_, value)| value.into_owned());
    let place = to.and_then(|to| parse_board_choice(&to)).map(|(board, section)| Place { board, section });
    let view = web.app.restore_pin(&context.viewer, id, place).await.told(&web, &context)?;
    let note = FlashNote::done(format!("The pin is back on {}.", view.board.data.name));
    Ok(done_with(&context, json!({ "message": note.text }), &format!("/pin/{id}"), &note))
}

async fn set_like(web: &Web, context: &Context, headers: &HeaderMap, id: PinId, on: bool) -> Answer {
    let count = web.app.like_pin(&context.viewer, id, on).await.told(web, context)?;
    if context.by_script() {
        return Ok(axum::Json(json!({ "count": count })).into_response());
    }
    Ok(redirect(&came_from(headers)))
}

async fn like(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<PinId>) -> Answer {
    set_like(&web, &context, &headers, id, true).await
}

async fn unlike(State(web): State<Web>, context: Context, headers: HeaderMap, At(id): At<PinId>) -> Answer {
    set_like(&web, &context, &headers, id, false).await
}
