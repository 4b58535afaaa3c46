//! `/board/…` and `/{username}/{slug}…`: boards as people look at them; making, changing, archiving, merging and deleting them.

use std::sync::Arc;

use app::boards::{BoardEdit, NewBoard};
use app::{Error, What};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use feeds::Target;
use model::object::{Privacy, Role};
use model::{Assoc, Board, BoardId, SectionId, Stored, User};
use serde::Deserialize;
use serde_json::json;

use super::address::At;
use super::auth::form_errors;
use super::form::Form;
use super::home::pin_cards;
use super::organise;
use super::social::came_from;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done_with, frame, html, page, redirect, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::board::{BoardHeader, BoardPage, BoardRights, SectionRef};
use crate::view::board_edit::{BoardForm, DeleteBoard, MergeBoard};
use crate::view::form::Pressed;
use crate::view::page::{Meta, Nav, Page};
use crate::view::picture::RichText;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/board/new", get(new_page).post(create))
        .route("/board/{id}", get(by_id))
        .route("/board/{id}/edit", get(edit_page).post(edit))
        .route("/board/{id}/cover", post(set_cover))
        .route("/board/{id}/archive", post(archive))
        .route("/board/{id}/unarchive", post(unarchive))
        .route("/board/{id}/delete", get(delete_page).post(delete))
        .route("/board/{id}/merge", get(merge_page).post(merge))
        .route("/{username}/{slug}", get(show))
        .route("/{username}/{slug}/{section}", get(show_section))
}

/// A board that the viewer may open, with whose it is and where.
pub struct Opened {
    pub id: BoardId,
    pub board: Arc<Stored<Board>>,
    pub owner: Arc<Stored<User>>,
    pub url: String,
}

/// Reads a board that the viewer may open.
pub async fn open(web: &Web, context: &Context, id: BoardId) -> app::Result<Opened> {
    let board = web.app.board(&context.viewer, id).await?;
    let owner = web.app.object::<User>(board.data.owner).await?.ok_or(Error::NotFound(What::Board))?;
    let url = present::board_url(&owner, &board);
    Ok(Opened { id, board, owner, url })
}

/// Reads a board on which the viewer has at least this role.
pub async fn open_as(web: &Web, context: &Context, id: BoardId, role: Role) -> app::Result<Opened> {
    context.viewer.require()?;
    let opened = open(web, context, id).await?;
    app::viewer::require_role(&opened.board, &context.viewer, role)?;
    Ok(opened)
}

/// Makes what stands above a board's pins.
pub async fn header(web: &Web, context: &Context, opened: &Opened) -> app::Result<BoardHeader> {
    let (viewer, board) = (&context.viewer, &opened.board.data);
    let role = app::viewer::role_on(&opened.board, viewer);
    let stranger = viewer.user.is_some() && !viewer.is(board.owner);
    let (mut follow, mut leave_out) = (None, None);
    if stranger && board.privacy == Privacy::Public {
        let me = viewer.require()?;
        let follows = web.app.storage.edges(Assoc::UserFollowsBoards, me.id(), &[opened.id.id()]).await?[0].is_some();
        let follows_owner = web.app.follows(viewer, &[Target::User(board.owner)]).await?[0];
        if follows || !follows_owner {
            follow = Some(Pressed::follow("board", opened.id, &format!("the board {}", board.name), follows));
        }
        if follows_owner {
            let left_out = web.app.storage.edges(Assoc::UserLeavesOutBoards, me.id(), &[opened.id.id()]).await?[0].is_some();
            leave_out = Some(Pressed::leave_out(opened.id, &format!("the board {}", board.name), left_out));
        }
    }
    let collaborators = web.app.collaborators(viewer, opened.id).await?;
    Ok(BoardHeader {
        id: opened.id,
        name: board.name.clone(),
        url: opened.url.clone(),
        description: RichText::of(&board.description),
        privacy: board.privacy,
        archived: board.archived,
        order: board.order,
        owner: present::person(&opened.owner),
        collaborators: collaborators.iter().filter(|(c, _)| c.accepted).map(|(_, user)| present::person(user)).collect(),
        pin_count: web.app.pin_count(opened.id.id()).await?,
        follower_count: follower_count(web, opened).await,
        follow,
        leave_out,
        rights: BoardRights {
            add: role >= Some(Role::Add),
            edit: role >= Some(Role::Edit),
            own: role == Some(Role::Owner),
            leave: role.is_some_and(|role| role < Role::Owner),
            report: stranger,
        },
    })
}

/// Counts the followers of a public board; with the feeds away the page goes without.
async fn follower_count(web: &Web, opened: &Opened) -> u64 {
    if opened.board.data.privacy != Privacy::Public {
        return 0;
    }
    web.app.feeds.followers_of_board(opened.id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, board.id = %opened.id, "the followers of a board were not counted");
        0
    })
}

/// Makes the frame of a board's page: only public boards are for search engines and previews.
async fn board_frame(web: &Web, context: &Context, opened: &Opened, title: &str, url: &str) -> Page {
    let mut frame = frame(web, context, title, Nav::Elsewhere).await;
    let board = &opened.board.data;
    frame.unlisted = board.privacy != Privacy::Public;
    if !frame.unlisted {
        let base = &web.app.settings.base_url;
        let card = web.app.board_card(&context.viewer, opened.id).await.ok();
        let cover = card.and_then(|card| card.covers.first().map(|pin| present::media_url(&pin.data.picture, "1200x")));
        frame.meta = Some(Meta {
            description: board.description.clone(),
            canonical_url: format!("{base}{url}"),
            image_url: cover.map(|path| format!("{base}{path}")),
        });
    }
    frame
}

/// How a board's page is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BoardQuery {
    pub bookmark: Option<String>,
    pub organise: Option<String>,
}

impl BoardQuery {
    pub fn request(&self, size: Option<usize>) -> app::hydrate::PageRequest {
        app::hydrate::PageRequest { bookmark: self.bookmark.clone(), size }
    }
}

async fn show(
    State(web): State<Web>,
    context: Context,
    At((username, slug)): At<(String, String)>,
    Query(query): Query<BoardQuery>,
) -> Answer {
    let id = web.app.board_at(&context.viewer, &username, &slug).await.told(&web, &context)?;
    let opened = open(&web, &context, id).await.told(&web, &context)?;
    if query.organise.is_some() {
        return organise::page_of_board(&web, &context, opened, None, &query).await;
    }
    let found = web.app.board_pins(&context.viewer, id, &query.request(None)).await.told(&web, &context)?;
    let next = |bookmark: &str| format!("{}?bookmark={bookmark}", opened.url);
    let cards = pin_cards(&web, &context, found, true, next).await.told(&web, &context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let sections = match query.bookmark {
        None => organise::section_tiles(&web, &context, &opened).await.told(&web, &context)?,
        Some(_) => Vec::new(),
    };
    let board = header(&web, &context, &opened).await.told(&web, &context)?;
    let frame = board_frame(&web, &context, &opened, &board.name, &opened.url).await;
    Ok(page(&context, &BoardPage { page: frame, board, section: None, sections, cards }))
}

/// Reads one section of a board for the head of its page.
pub async fn section_ref(web: &Web, context: &Context, opened: &Opened, section: SectionId) -> app::Result<SectionRef> {
    let stored = web.app.section(&context.viewer, opened.id, section).await?;
    let pin_count = web.app.count_of(Assoc::SectionHasPins, section.id()).await?;
    Ok(SectionRef { id: section, name: stored.data.name.clone(), url: format!("{}/{section}", opened.url), pin_count })
}

async fn show_section(
    State(web): State<Web>,
    context: Context,
    At((username, slug, section)): At<(String, String, SectionId)>,
    Query(query): Query<BoardQuery>,
) -> Answer {
    let id = web.app.board_at(&context.viewer, &username, &slug).await.told(&web, &context)?;
    let opened = open(&web, &context, id).await.told(&web, &context)?;
    let part = section_ref(&web, &context, &opened, section).await.told(&web, &context)?;
    if query.organise.is_some() {
        return organise::page_of_board(&web, &context, opened, Some(part), &query).await;
    }
    let found = web.app.section_pins(&context.viewer, id, section, &query.request(None)).await.told(&web, &context)?;
    let next = |bookmark: &str| format!("{}?bookmark={bookmark}", part.url);
    let cards = pin_cards(&web, &context, found, true, next).await.told(&web, &context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let board = header(&web, &context, &opened).await.told(&web, &context)?;
    let frame = board_frame(&web, &context, &opened, &format!("{} / {}", board.name, part.name), &part.url).await;
    Ok(page(&context, &BoardPage { page: frame, board, section: Some(part), sections: Vec::new(), cards }))
}

/// Goes to a board's address by its id, which outlives its name.
async fn by_id(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    let opened = open(&web, &context, id).await.told(&web, &context)?;
    Ok(redirect(&opened.url))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct FieldsOfBoard {
    name: String,
    description: String,
    privacy: String,
}

impl FieldsOfBoard {
    fn privacy(&self) -> app::Result<Privacy> {
        parse_privacy(&self.privacy).ok_or_else(|| Error::invalid("privacy", "Choose who may see the board."))
    }
}

fn parse_privacy(text: &str) -> Option<Privacy> {
    match text {
        "PUBLIC" => Some(Privacy::Public),
        "PROTECTED" => Some(Privacy::Protected),
        "SECRET" => Some(Privacy::Secret),
        _ => None,
    }
}

async fn new_view(web: &Web, context: &Context, fields: FieldsOfBoard, errors: FormErrors) -> Answer {
    let me = context.viewer.user.as_ref().ok_or(Error::SignInNeeded).told(web, context)?;
    let view = BoardForm {
        page: frame(web, context, "New board", Nav::Elsewhere).await,
        id: None,
        back_url: format!("/{}", me.data.username),
        privacy: parse_privacy(&fields.privacy).unwrap_or_default(),
        name: fields.name,
        description: fields.description,
        errors,
    };
    Ok(page(context, &view))
}

async fn new_page(State(web): State<Web>, context: Context) -> Answer {
    new_view(&web, &context, FieldsOfBoard::default(), FormErrors::none()).await
}

async fn create(State(web): State<Web>, context: Context, Form(form): Form<FieldsOfBoard>) -> Answer {
    let made = async {
        web.limit(&context, Category::Write)?;
        let new = NewBoard { name: form.name.clone(), description: form.description.clone(), privacy: form.privacy()? };
        web.app.create_board(&context.viewer, new).await
    };
    match form_errors(made.await).told(&web, &context)? {
        Ok(card) => Ok(redirect(&present::board_url(&card.owner, &card.board))),
        Err(errors) => refused(new_view(&web, &context, form, errors).await),
    }
}

async fn edit_view(web: &Web, context: &Context, id: BoardId, form: Option<FieldsOfBoard>, errors: FormErrors) -> Answer {
    let opened = open_as(web, context, id, Role::Owner).await.told(web, context)?;
    let board = &opened.board.data;
    let mut frame = frame(web, context, "Edit board", Nav::Elsewhere).await;
    frame.unlisted = true;
    let (name, description, privacy) = match form {
        Some(form) => (form.name, form.description, parse_privacy(&form.privacy).unwrap_or(board.privacy)),
        None => (board.name.clone(), board.description.clone(), board.privacy),
    };
    let view = BoardForm { page: frame, id: Some(id), back_url: opened.url, name, description, privacy, errors };
    Ok(page(context, &view))
}

async fn edit_page(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    edit_view(&web, &context, id, None, FormErrors::none()).await
}

async fn edit(State(web): State<Web>, context: Context, At(id): At<BoardId>, Form(form): Form<FieldsOfBoard>) -> Answer {
    let changed = async {
        web.limit(&context, Category::Write)?;
        let edit = BoardEdit {
            name: Some(form.name.clone()),
            description: Some(form.description.clone()),
            privacy: Some(form.privacy()?),
            ..BoardEdit::default()
        };
        web.app.edit_board(&context.viewer, id, edit).await
    };
    match form_errors(changed.await).told(&web, &context)? {
        Ok(card) => Ok(redirect_with(&present::board_url(&card.owner, &card.board), &FlashNote::done("The board is changed."))),
        Err(errors) => refused(edit_view(&web, &context, id, Some(form), errors).await),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CoverForm {
    /// Empty goes back to the newest pin.
    pin_id: String,
}

async fn set_cover(
    State(web): State<Web>,
    context: Context,
    headers: HeaderMap,
    At(id): At<BoardId>,
    Form(form): Form<CoverForm>,
) -> Answer {
    let changed = async {
        web.limit(&context, Category::Write)?;
        let cover = match form.pin_id.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| Error::NotFound(What::Pin))?),
        };
        web.app.edit_board(&context.viewer, id, BoardEdit { cover: Some(cover), ..BoardEdit::default() }).await
    };
    let card = changed.await.told(&web, &context)?;
    let (name, url) = (card.board.data.name.clone(), present::board_url(&card.owner, &card.board));
    let note = FlashNote { link: Some((url, name.clone())), ..FlashNote::done(format!("This is the cover of {name} now.")) };
    Ok(done_with(&context, json!({ "message": note.text }), &came_from(&headers), &note))
}

async fn set_archived(web: &Web, context: &Context, id: BoardId, archived: bool) -> Answer {
    let edit = BoardEdit { archived: Some(archived), ..BoardEdit::default() };
    let card = web.app.edit_board(&context.viewer, id, edit).await.told(web, context)?;
    let (text, back) = match archived {
        true => ("The board is archived: its pins stay, but they show nowhere else.", format!("/board/{id}/unarchive")),
        false => ("The board is back from the archive.", format!("/board/{id}/archive")),
    };
    let note = FlashNote { undo: Some(back.clone()), ..FlashNote::done(text) };
    let url = present::board_url(&card.owner, &card.board);
    Ok(done_with(context, json!({ "message": note.text, "undo": back }), &url, &note))
}

async fn archive(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    set_archived(&web, &context, id, true).await
}

async fn unarchive(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    set_archived(&web, &context, id, false).await
}

async fn delete_page(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    let opened = open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    let mut frame = frame(&web, &context, "Delete board", Nav::Elsewhere).await;
    frame.unlisted = true;
    let view = DeleteBoard {
        page: frame,
        board: id,
        board_name: opened.board.data.name.clone(),
        pin_count: web.app.pin_count(id.id()).await.told(&web, &context)?,
        board_url: opened.url,
    };
    Ok(page(&context, &view))
}

async fn delete(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    let opened = open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    web.app.delete_board(&context.viewer, id).await.told(&web, &context)?;
    let text = format!("The board {} is deleted; its pins move to the trash.", opened.board.data.name);
    let note = FlashNote { link: Some(("/trash".into(), "Trash".into())), ..FlashNote::done(text) };
    Ok(gone(&context, &opened, &note))
}

/// Answers a write after which a board's own page is no more.
fn gone(context: &Context, opened: &Opened, note: &FlashNote) -> Response {
    done_with(context, json!({ "message": note.text }), &format!("/{}", opened.owner.data.username), note)
}

async fn merge_view(web: &Web, context: &Context, id: BoardId, errors: FormErrors) -> Answer {
    let opened = open_as(web, context, id, Role::Owner).await.told(web, context)?;
    let all = web.app.all_boards_of(&context.viewer, opened.board.data.owner).await.told(web, context)?;
    let own = all.into_iter().filter(|(_, board)| context.viewer.is(board.data.owner) && board.id != id.id());
    let targets = own.filter_map(|(_, board)| Some((BoardId::try_from(board.id).ok()?, board.data.name.clone()))).collect();
    let mut frame = frame(web, context, "Merge board", Nav::Elsewhere).await;
    frame.unlisted = true;
    let view = MergeBoard {
        page: frame,
        board: id,
        board_name: opened.board.data.name.clone(),
        pin_count: web.app.pin_count(id.id()).await.told(web, context)?,
        board_url: opened.url,
        targets,
        errors,
    };
    Ok(page(context, &view))
}

async fn merge_page(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    merge_view(&web, &context, id, FormErrors::none()).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MergeForm {
    into: String,
}

async fn merge(State(web): State<Web>, context: Context, At(id): At<BoardId>, Form(form): Form<MergeForm>) -> Answer {
    let from = open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    let merged = async {
        web.limit(&context, Category::Write)?;
        let into: BoardId = form.into.parse().map_err(|_| Error::invalid("", "Choose a board to merge into."))?;
        let into = open_as(&web, &context, into, Role::Owner).await?;
        web.app.merge_board(&context.viewer, id, into.id).await.map_err(|error| match error {
            // The form has one field, so what is wrong with it stands above the form.
            Error::Invalid(invalid) => Error::invalid("", invalid.message),
            other => other,
        })?;
        Ok(into)
    };
    match form_errors(merged.await).told(&web, &context)? {
        Ok(into) => {
            let text = format!("The pins of {} are moving to {}.", from.board.data.name, into.board.data.name);
            Ok(redirect_with(&into.url, &FlashNote::done(text)))
        }
        Err(errors) => refused(merge_view(&web, &context, id, errors).await),
    }
}
