//! `/trash…` and `/pin/{id}/purge`: deleted pins, until they are gone for good.

use app::Error;
use app::hydrate::PageRequest;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use model::limits::PAGE_SIZE_MAX;
use model::{Board, Pin, PinId, Stored, Timestamp};
use serde_json::json;

use super::address::At;
use super::home::ListQuery;
use super::pin::board_choices;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done_with, frame, page};
use crate::server::Web;
use crate::view::page::Nav;
use crate::view::picture::Time;
use crate::view::pin::BoardChoice;
use crate::view::trash::{Trash, TrashedPin};

pub fn router() -> Router<Web> {
    Router::new().route("/trash", get(list)).route("/trash/empty", post(empty)).route("/pin/{id}/purge", post(purge))
}

async fn list(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    let found = web.app.trash(&context.viewer, &query.request()).await.told(&web, &context)?;
    let boards = web.app.by_id::<Board>(found.items.iter().map(|pin| pin.data.board.id())).await.told(&web, &context)?;
    let mut choices: Option<Vec<BoardChoice>> = None;
    let mut pins = Vec::with_capacity(found.items.len());
    for pin in found.items.iter().filter(|pin| pin.active) {
        let restorable = web.app.can_restore(&context.viewer, pin.data.board).await;
        if !restorable && choices.is_none() {
            choices = Some(board_choices(&web, &context, false).await.told(&web, &context)?);
        }
        let board = boards.get(&pin.data.board.id()).map(|board| &**board);
        let restore_to = choices.as_deref().filter(|_| !restorable).unwrap_or_default();
        pins.push(trashed(&web, &context, pin, board, restore_to));
    }
    let mut frame = frame(&web, &context, "Trash", Nav::Elsewhere).await;
    frame.unlisted = true;
    let next_url = found.bookmark.as_deref().map(|bookmark| format!("/trash?bookmark={bookmark}"));
    Ok(page(&context, &Trash { page: frame, pins, next_url }))
}

fn trashed(web: &Web, context: &Context, pin: &Stored<Pin>, board: Option<&Stored<Board>>, restore_to: &[BoardChoice]) -> TrashedPin {
    // The name of a board that one may not open any more is somebody else's secret.
    let own = |board: &&Stored<Board>| context.viewer.is(board.data.owner) || app::viewer::may_see_board(board, &context.viewer);
    let board_name = board.filter(own).map_or_else(|| "a board that is gone".to_owned(), |board| board.data.name.clone());
    let until = pin.data.trashed_at.unwrap_or_else(|| web.app.now()).plus(web.app.settings.trash_retention_ms);
    TrashedPin {
        id: PinId::try_from(pin.id).expect("a pin's row has a pin's id"),
        title: pin.data.title.clone(),
        picture: present::picture(&pin.data, &board_name),
        board_name,
        purged: Time { iso: present::iso(until), text: until_words(until, web.app.now()) },
        restore_to: restore_to.to_vec(),
    }
}

/// Says when something will be, seen from `now`. Begun days and hours count, so that a pin of this minute has its 30 days.
fn until_words(at: Timestamp, now: Timestamp) -> String {
    let left = at.since(now).max(0);
    let (days, hours) = (left + Timestamp::DAY - 1, left + Timestamp::HOUR - 1);
    match (days / Timestamp::DAY, hours / Timestamp::HOUR) {
        (_, ..=1) => "within the hour".into(),
        (_, hours @ 2..=24) => format!("in {hours} hours"),
        (days, _) => format!("in {days} days"),
    }
}

async fn empty(State(web): State<Web>, context: Context) -> Answer {
    let emptied = async {
        web.limit(&context, Category::Write)?;
        let found = web.app.trash(&context.viewer, &PageRequest::first(PAGE_SIZE_MAX)).await?;
        for pin in &found.items {
            let id = PinId::try_from(pin.id).map_err(Error::internal)?;
            match web.app.purge_from_trash(&context.viewer, id).await {
                // Restored or purged by somebody else meanwhile.
                Ok(()) | Err(Error::NotFound(_) | Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found.bookmark.is_some())
    };
    let note = match emptied.await.told(&web, &context)? {
        true => FlashNote::done(format!("The newest {PAGE_SIZE_MAX} pins are deleted. Press again for the rest.")),
        false => FlashNote::done("The trash is empty."),
    };
    Ok(done_with(&context, json!({ "message": note.text }), "/trash", &note))
}

async fn purge(State(web): State<Web>, context: Context, At(id): At<PinId>) -> Answer {
    web.app.purge_from_trash(&context.viewer, id).await.told(&web, &context)?;
    let note = FlashNote::done("The pin is deleted for ever.");
    Ok(done_with(&context, json!({ "message": note.text }), "/trash", &note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_is_left() {
        let now = Timestamp(1_700_000_000_000);
        let table = [
            (24 * 30, "in 30 days"),
            (24 * 29 + 1, "in 30 days"),
            (25, "in 2 days"),
            (24, "in 24 hours"),
            (2, "in 2 hours"),
            (1, "within the hour"),
            (0, "within the hour"),
        ];
        for (hours, text) in table {
            assert_eq!(until_words(now.plus(hours * Timestamp::HOUR), now), text);
        }
        assert_eq!(until_words(now.plus(-Timestamp::DAY), now), "within the hour");
    }
}
