//! Boards in order: organise mode, order by hand of boards, sections and pins, and sections themselves.

use app::Error;
use app::hydrate::Strictness;
use app::pins::{PinEdit, Place};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use model::object::{BoardOrder, Role};
use model::{Assoc, BoardId, Id, PinId, SectionId};
use serde::Deserialize;
use serde_json::json;

use super::address::At;
use super::auth::form_errors;
use super::boards::{BoardQuery, Opened, header, open_as};
use super::form::Form;
use super::pin::board_choices;
use super::social::came_from;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done, done_with, frame, page, redirect, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::board::{Organise, OrganisePin, SectionRef, SectionTile};
use crate::view::board_edit::SectionForm;
use crate::view::page::Nav;
use crate::view::pin_edit::parse_board_choice;

/// Small tiles on one page of organise mode.
const TILES: usize = 100;
/// Pins of one form that moves, copies or deletes: two pages of tiles and then some. What is beyond is refused.
const CHOSEN_MAX: usize = 250;
const SECTION_COVERS: usize = 3;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/boards/order", post(order_boards))
        .route("/board/{id}/order", post(order_pins))
        .route("/board/{id}/organise", post(change_chosen))
        .route("/board/{id}/sections/order", post(order_sections))
        .route("/board/{id}/sections/new", get(new_section_page).post(new_section))
        .route("/board/{id}/sections/{section}/edit", get(edit_section_page).post(edit_section))
        .route("/board/{id}/sections/{section}/delete", post(delete_section))
        .route("/board/{id}/sections/{section}/order", post(order_section_pins))
}

/// Shows a board, or one section of it, in organise mode.
pub async fn page_of_board(web: &Web, context: &Context, opened: Opened, section: Option<SectionRef>, query: &BoardQuery) -> Answer {
    context.viewer.require().told(web, context)?;
    app::viewer::require_role(&opened.board, &context.viewer, Role::Edit).told(web, context)?;
    let (id, request) = (opened.id, query.request(Some(TILES)));
    let (found, url, order_url) = match &section {
        Some(part) => (
            web.app.section_pins(&context.viewer, id, part.id, &request).await.told(web, context)?,
            part.url.clone(),
            format!("/board/{id}/sections/{}/order", part.id),
        ),
        None => {
            (web.app.board_pins(&context.viewer, id, &request).await.told(web, context)?, opened.url.clone(), format!("/board/{id}/order"))
        }
    };
    let sections = match &section {
        Some(_) => Vec::new(),
        None => section_tiles(web, context, &opened).await.told(web, context)?,
    };
    let mut frame = frame(web, context, "Organise", Nav::Elsewhere).await;
    frame.unlisted = true;
    let pins = found.items.iter().map(|view| OrganisePin {
        id: view.id(),
        title: view.pin.data.title.clone(),
        picture: present::picture(&view.pin.data, &opened.board.data.name),
    });
    let view = Organise {
        page: frame,
        board: header(web, context, &opened).await.told(web, context)?,
        section,
        pins: pins.collect(),
        next_url: found.bookmark.as_deref().map(|bookmark| format!("{url}?organise=1&bookmark={bookmark}")),
        order_url,
        sections,
        sections_order_url: format!("/board/{id}/sections/order"),
        boards: board_choices(web, context, true).await.told(web, context)?,
    };
    Ok(page(context, &view))
}

/// Makes the tiles of a board's sections, each with its newest pictures.
pub async fn section_tiles(web: &Web, context: &Context, opened: &Opened) -> app::Result<Vec<SectionTile>> {
    let sections = web.app.all_sections(&context.viewer, opened.id).await?;
    let ids: Vec<Id> = sections.iter().map(|section| section.id).collect();
    let counts = web.app.counts_of(&ids.iter().map(|id| (Assoc::SectionHasPins, *id)).collect::<Vec<_>>()).await?;
    let newest = web.app.newest_of(Assoc::SectionHasPins, &ids, SECTION_COVERS).await?;
    let pins: Vec<Id> = newest.iter().flatten().map(|edge| edge.to).collect();
    let views = web.app.hydrate(&context.viewer, &pins, Strictness::Opened).await?;
    let mut tiles = Vec::with_capacity(sections.len());
    for ((section, pin_count), edges) in sections.iter().zip(counts).zip(newest) {
        let covers = edges.iter().filter_map(|edge| views.iter().find(|view| view.pin.id == edge.to));
        tiles.push(SectionTile {
            id: SectionId::try_from(section.id).map_err(Error::internal)?,
            name: section.data.name.clone(),
            url: format!("{}/{}", opened.url, section.id),
            pin_count,
            covers: covers.map(|view| present::picture(&view.pin.data, &opened.board.data.name)).collect(),
        });
    }
    Ok(tiles)
}

/// Where something goes: right behind `after` (empty: first), or one place up or down. For a board's pins also just an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OrderForm {
    id: String,
    after: Option<String>,
    direction: String,
    order: String,
}

/// A form about order, read.
#[derive(Debug, PartialEq, Eq)]
enum Spot<T> {
    Behind(Option<T>),
    Step { up: bool },
}

impl OrderForm {
    /// Reads what is moved, and where to.
    fn read<T: std::str::FromStr>(&self) -> app::Result<(T, Spot<T>)> {
        let unknown = || Error::invalid("id", "What is to be moved is not there any more. Load the page again.");
        let moved = self.id.parse().map_err(|_| unknown())?;
        let spot = match (self.direction.as_str(), self.after.as_deref()) {
            ("up", _) => Spot::Step { up: true },
            ("down", _) => Spot::Step { up: false },
            (_, Some("")) => Spot::Behind(None),
            (_, Some(after)) => Spot::Behind(Some(after.parse().map_err(|_| unknown())?)),
            (_, None) => return Err(Error::invalid("direction", "Say where to move it: 'after', or 'direction' up or down.")),
        };
        Ok((moved, spot))
    }
}

impl<T: Copy + PartialEq> Spot<T> {
    /// Returns what it goes behind in a list of this order (`Some(None)`: it goes first), or `None` if it stays where it is.
    fn behind(self, moved: T, order: &[T]) -> Option<Option<T>> {
        match self {
            Spot::Behind(behind) => (behind != Some(moved)).then_some(behind),
            Spot::Step { up } => {
                let at = order.iter().position(|one| *one == moved)?;
                match up {
                    true if at == 0 => None,
                    true => Some(at.checked_sub(2).map(|before| order[before])),
                    false => order.get(at + 1).map(|next| Some(*next)),
                }
            }
        }
    }
}

async fn order_boards(State(web): State<Web>, context: Context, headers: HeaderMap, Form(form): Form<OrderForm>) -> Answer {
    let ordered = async {
        web.limit(&context, Category::Write)?;
        let me = context.viewer.require()?;
        let (moved, spot) = form.read::<BoardId>()?;
        let shown = web.app.all_boards_of(&context.viewer, me).await?;
        let shown = shown.into_iter().filter(|(_, board)| !board.data.archived);
        let order: Vec<BoardId> = shown.filter_map(|(_, board)| BoardId::try_from(board.id).ok()).collect();
        match spot.behind(moved, &order) {
            Some(behind) => web.app.place_board(&context.viewer, moved, behind).await,
            None => Ok(()),
        }
    };
    ordered.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn order_pins(
    State(web): State<Web>,
    context: Context,
    headers: HeaderMap,
    At(id): At<BoardId>,
    Form(form): Form<OrderForm>,
) -> Answer {
    let ordered = async {
        web.limit(&context, Category::Write)?;
        open_as(&web, &context, id, Role::Edit).await?;
        match form.order.as_str() {
            "by_hand" => return web.app.set_order(&context.viewer, id, BoardOrder::ByHand).await,
            "by_time" => return web.app.set_order(&context.viewer, id, BoardOrder::ByTime).await,
            _ => {}
        }
        let (moved, spot) = form.read::<PinId>()?;
        let order = web.app.pin_order(&context.viewer, id, None).await?;
        match spot.behind(moved, &order) {
            Some(behind) => web.app.place_pin(&context.viewer, id, moved, behind).await,
            None => Ok(()),
        }
    };
    ordered.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn order_section_pins(
    State(web): State<Web>,
    context: Context,
    headers: HeaderMap,
    At((id, section)): At<(BoardId, SectionId)>,
    Form(form): Form<OrderForm>,
) -> Answer {
    let ordered = async {
        web.limit(&context, Category::Write)?;
        let (moved, spot) = form.read::<PinId>()?;
        let order = web.app.pin_order(&context.viewer, id, Some(section)).await?;
        match spot.behind(moved, &order) {
            Some(behind) => web.app.place_pin_in_section(&context.viewer, id, section, moved, behind).await,
            None => Ok(()),
        }
    };
    ordered.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

async fn order_sections(
    State(web): State<Web>,
    context: Context,
    headers: HeaderMap,
    At(id): At<BoardId>,
    Form(form): Form<OrderForm>,
) -> Answer {
    let ordered = async {
        web.limit(&context, Category::Write)?;
        let (moved, spot) = form.read::<SectionId>()?;
        let sections = web.app.all_sections(&context.viewer, id).await?;
        let order: Vec<SectionId> = sections.iter().filter_map(|section| SectionId::try_from(section.id).ok()).collect();
        match spot.behind(moved, &order) {
            Some(behind) => web.app.place_section(&context.viewer, id, moved, behind).await,
            None => Ok(()),
        }
    };
    ordered.await.told(&web, &context)?;
    Ok(done(&context, &came_from(&headers)))
}

/// What is done with the ticked pins.
#[derive(Clone, Copy)]
enum Act {
    Move(Place),
    Copy(Place),
    Delete,
}

fn read_act(form: &[(String, String)]) -> app::Result<(Act, Vec<PinId>)> {
    let value = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let chosen = form.iter().filter(|(key, _)| key == "pin").filter_map(|(_, value)| value.parse().ok());
    let pins: Vec<PinId> = chosen.collect();
    if pins.is_empty() {
        return Err(Error::invalid("pin", "Tick at least one pin."));
    }
    if pins.len() > CHOSEN_MAX {
        return Err(Error::invalid("pin", format!("{} pins are ticked; at most {CHOSEN_MAX} go at once.", pins.len())));
    }
    let place = || {
        let (board, section) = parse_board_choice(value("to")).ok_or_else(|| Error::invalid("to", "Choose a board."))?;
        Ok::<_, Error>(Place { board, section })
    };
    let act = match value("action") {
        "move" => Act::Move(place()?),
        "copy" => Act::Copy(place()?),
        "delete" => Act::Delete,
        _ => return Err(Error::invalid("action", "Choose what to do with the pins: move, copy or delete.")),
    };
    Ok((act, pins))
}

async fn change_chosen(
    State(web): State<Web>,
    context: Context,
    headers: HeaderMap,
    At(id): At<BoardId>,
    Form(form): Form<Vec<(String, String)>>,
) -> Answer {
    let opened = open_as(&web, &context, id, Role::Edit).await.told(&web, &context)?;
    let mut count = 0;
    let changed = async {
        web.limit(&context, Category::Write)?;
        let (act, pins) = read_act(&form)?;
        for pin in pins {
            match act {
                Act::Move(place) => {
                    web.app.edit_pin(&context.viewer, pin, PinEdit { place: Some(place), ..PinEdit::default() }).await.map(drop)?;
                }
                Act::Copy(place) => web.app.copy_pin(&context.viewer, pin, place).await.map(drop)?,
                Act::Delete => web.app.trash_pin(&context.viewer, pin).await?,
            }
            count += 1;
        }
        Ok::<_, Error>(act)
    };
    let result = changed.await;
    let pins = if count == 1 { "1 pin".to_owned() } else { format!("{count} pins") };
    let note = match result {
        Ok(Act::Move(_)) => FlashNote::done(format!("Moved {pins}.")),
        Ok(Act::Copy(_)) => FlashNote::done(format!("Copied {pins}.")),
        Ok(Act::Delete) => {
            FlashNote { link: Some(("/trash".into(), "Trash".into())), ..FlashNote::done(format!("{pins} are in the trash.")) }
        }
        Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::SignInNeeded)) => return Err(error).told(&web, &context),
        Err(error) if context.by_script() => return Err(error).told(&web, &context),
        Err(error) if count == 0 => FlashNote { failed: true, ..FlashNote::done(error.to_string()) },
        Err(error) => FlashNote { failed: true, ..FlashNote::done(format!("Done for {pins}, then: {error}")) },
    };
    let back = match came_from(&headers).as_str() {
        "/" => format!("{}?organise=1", opened.url),
        path => path.to_owned(),
    };
    Ok(done_with(&context, json!({ "message": note.text, "count": count }), &back, &note))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NameForm {
    name: String,
}

async fn section_view(
    web: &Web,
    context: &Context,
    board: BoardId,
    id: Option<SectionId>,
    name: Option<String>,
    errors: FormErrors,
) -> Answer {
    let opened = open_as(web, context, board, Role::Edit).await.told(web, context)?;
    let (present_name, back_url) = match id {
        Some(section) => {
            let stored = web.app.section(&context.viewer, board, section).await.told(web, context)?;
            (stored.data.name.clone(), format!("{}/{section}", opened.url))
        }
        None => (String::new(), opened.url),
    };
    let mut frame = frame(web, context, if id.is_some() { "Edit section" } else { "New section" }, Nav::Elsewhere).await;
    frame.unlisted = true;
    let view = SectionForm {
        page: frame,
        board,
        board_name: opened.board.data.name.clone(),
        back_url,
        id,
        name: name.unwrap_or(present_name),
        errors,
    };
    Ok(page(context, &view))
}

/// A conflict about a section is one about its name: it stands beside the field.
fn beside_name(errors: FormErrors) -> FormErrors {
    let named = |error: model::Invalid| if error.field.is_empty() { model::Invalid::new("name", error.message) } else { error };
    FormErrors(errors.0.into_iter().map(named).collect())
}

async fn new_section_page(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    section_view(&web, &context, id, None, None, FormErrors::none()).await
}

async fn new_section(State(web): State<Web>, context: Context, At(id): At<BoardId>, Form(form): Form<NameForm>) -> Answer {
    let opened = open_as(&web, &context, id, Role::Edit).await.told(&web, &context)?;
    let made = async {
        web.limit(&context, Category::Write)?;
        web.app.create_section(&context.viewer, id, &form.name).await
    };
    match form_errors(made.await).told(&web, &context)? {
        Ok(section) => Ok(redirect(&format!("{}/{}", opened.url, section.id))),
        Err(errors) => refused(section_view(&web, &context, id, None, Some(form.name), beside_name(errors)).await),
    }
}

async fn edit_section_page(State(web): State<Web>, context: Context, At((id, section)): At<(BoardId, SectionId)>) -> Answer {
    section_view(&web, &context, id, Some(section), None, FormErrors::none()).await
}

async fn edit_section(
    State(web): State<Web>,
    context: Context,
    At((id, section)): At<(BoardId, SectionId)>,
    Form(form): Form<NameForm>,
) -> Answer {
    let opened = open_as(&web, &context, id, Role::Edit).await.told(&web, &context)?;
    web.app.section(&context.viewer, id, section).await.told(&web, &context)?;
    let changed = async {
        web.limit(&context, Category::Write)?;
        web.app.rename_section(&context.viewer, section, &form.name).await
    };
    match form_errors(changed.await).told(&web, &context)? {
        Ok(_) => Ok(redirect_with(&format!("{}/{section}", opened.url), &FlashNote::done("The section is changed."))),
        Err(errors) => refused(section_view(&web, &context, id, Some(section), Some(form.name), beside_name(errors)).await),
    }
}

async fn delete_section(State(web): State<Web>, context: Context, At((id, section)): At<(BoardId, SectionId)>) -> Answer {
    let opened = open_as(&web, &context, id, Role::Edit).await.told(&web, &context)?;
    web.app.section(&context.viewer, id, section).await.told(&web, &context)?;
    web.app.delete_section(&context.viewer, section).await.told(&web, &context)?;
    let note = FlashNote::done("The section is gone; its pins are still on the board.");
    Ok(done_with(&context, json!({ "message": note.text }), &opened.url, &note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_one_place_and_stop_at_the_ends() {
        let order = [1, 2, 3];
        let step = |moved, up| Spot::Step { up }.behind(moved, &order);
        assert_eq!(step(1, true), None);
        assert_eq!(step(2, true), Some(None));
        assert_eq!(step(3, true), Some(Some(1)));
        assert_eq!(step(1, false), Some(Some(2)));
        assert_eq!(step(3, false), None);
        assert_eq!(step(9, true), None);
        assert_eq!(Spot::Behind(Some(2)).behind(2, &order), None);
        assert_eq!(Spot::Behind(None).behind(3, &order), Some(None));
    }

    #[test]
    fn forms_about_order_are_read() {
        let form = |id: &str, after: Option<&str>, direction: &str| OrderForm {
            id: id.into(),
            after: after.map(str::to_owned),
            direction: direction.into(),
            order: String::new(),
        };
        assert_eq!(form("7", Some(""), "").read::<u32>().unwrap(), (7, Spot::Behind(None)));
        assert_eq!(form("7", Some("8"), "").read::<u32>().unwrap(), (7, Spot::Behind(Some(8))));
        assert_eq!(form("7", None, "down").read::<u32>().unwrap(), (7, Spot::Step { up: false }));
        for bad in [form("x", Some(""), ""), form("7", Some("y"), ""), form("7", None, ""), form("", None, "up")] {
            assert!(matches!(bad.read::<u32>(), Err(Error::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn chosen_pins_are_read() {
        let (pin, board) = (PinId::new(model::Shard(1), 2), BoardId::new(model::Shard(1), 3));
        let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let (pin, board) = (pin.to_string(), board.to_string());
        let (act, pins) = read_act(&form(&[("pin", &pin), ("to", &board), ("action", "move")])).unwrap();
        assert!(matches!(act, Act::Move(place) if place.board.to_string() == board) && pins.len() == 1);
        assert!(matches!(read_act(&form(&[("pin", &pin), ("action", "delete")])), Ok((Act::Delete, _))));
        for bad in [vec![("action", "delete")], vec![("pin", pin.as_str()), ("action", "move"), ("to", "")], vec![("pin", pin.as_str())]] {
            assert!(matches!(read_act(&form(&bad)), Err(Error::Invalid(_))), "{bad:?}");
        }
    }
}
