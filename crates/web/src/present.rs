//! From what the application hands out to what pages show. Pure.

use std::sync::Arc;

use app::hydrate::FeedReason;
use app::ranking::Signal;
use app::{BoardCard, Page, PinView};
use feeds::Reason;
use model::object::Picture as StoredPicture;
use model::{Board, Pin, Stored, Timestamp, User, UserId};

use crate::view::card::{self, Cards, PinCard};
use crate::view::picture::{Person, Picture, Time};

/// Names of rendition files: `/media/<hash>/<kind>.<extension>`.
pub fn media_url(picture: &StoredPicture, kind: &str) -> String {
    let extension = match (kind, picture.format.as_str()) {
        ("originals", "jpeg") => "jpg",
        ("originals", format) => format,
        _ if picture.alpha => "png",
        _ => "jpg",
    };
    format!("/media/{}/{kind}.{extension}", picture.hash)
}

pub fn person(user: &Stored<User>) -> Person {
    Person {
        id: user_id(user),
        username: user.data.username.clone(),
        name: user.data.name.clone(),
        picture_url: user.data.picture.as_ref().map(|picture| media_url(picture, "150x150")),
    }
}

pub fn user_id(user: &Stored<User>) -> UserId {
    UserId::try_from(user.id).expect("a user's row has a user's id")
}

/// Says what a picture shows to those who can't see it: its alt text, else its title, else where it is.
pub fn alt_of(pin: &Pin, board: &str) -> String {
    [pin.alt_text.as_str(), pin.title.as_str()]
        .into_iter()
        .find(|text| !text.is_empty())
        .map_or_else(|| format!("Picture on the board {board}"), str::to_owned)
}

pub fn picture(pin: &Pin, board: &str) -> Picture {
    Picture::of(&pin.picture, alt_of(pin, board))
}

pub fn board_url(owner: &Stored<User>, board: &Stored<Board>) -> String {
    format!("/{}/{}", owner.data.username, board.data.slug)
}

/// What is known of a page of pins beyond the pins.
#[derive(Default)]
pub struct CardFacts {
    pub liked: Vec<bool>,
    pub saved: Vec<Option<app::save::AlreadySaved>>,
    /// The board's name says nothing new on its own page.
    pub on_board_page: bool,
}

/// Makes the cards of a page of pins.
pub fn cards(page: Page<PinView>, facts: CardFacts, next_url: impl FnOnce(&str) -> String) -> Cards {
    let mut liked = facts.liked.into_iter();
    let mut saved = facts.saved.into_iter();
    let on_board_page = facts.on_board_page;
    let pins = page.items.iter().map(|view| pin_card(view, liked.next().unwrap_or(false), saved.next().flatten(), on_board_page)).collect();
    Cards { pins, next_url: page.bookmark.as_deref().map(next_url) }
}

fn pin_card(view: &PinView, liked: bool, saved: Option<app::save::AlreadySaved>, on_board_page: bool) -> PinCard {
    let pin = &view.pin.data;
    // The pin itself is no news: only other places where the viewer has the picture.
    let saved_on = saved.filter(|saved| saved.pin != view.id()).map(|saved| saved.board_name);
    PinCard {
        id: view.id(),
        title: pin.title.clone(),
        picture: picture(pin, &view.board.data.name),
        domain: pin.domain.clone(),
        link: pin.link.clone(),
        owner: person(&view.owner),
        board: (!on_board_page && pin.owner == view.board.data.owner)
            .then(|| (view.board.data.name.clone(), board_url(&view.owner, &view.board))),
        liked,
        saved_on,
        why: view.reason.as_ref().and_then(|reason| why_on_card(reason, view)),
    }
}

/// Says in words why a pin stands in a home feed.
pub fn why(reason: &FeedReason) -> String {
    let followed = match reason.because {
        Reason::Topic(_) => format!("#{}", reason.name),
        Reason::Person(_) | Reason::Board(_) => reason.name.clone(),
    };
    match (reason.signal, reason.because) {
        (Some(Signal::Owner), Reason::Person(_)) => format!("Because you often like or save what {followed} pins"),
        (Some(Signal::Owner), _) => format!("Because you follow {followed}, and often like or save this person's pins"),
        (Some(Signal::Board), Reason::Board(_)) => format!("Because you often like or save pins from {followed}"),
        (Some(Signal::Board), _) => format!("Because you follow {followed}, and often like or save pins from this board"),
        (Some(Signal::Popularity), _) => format!("Popular, and you follow {followed}"),
        (Some(Signal::Follow) | None, _) => format!("Because you follow {followed}"),
    }
}

/// Says why on a card. By time, it is nothing new that a person whose name stands on the card is followed.
fn why_on_card(reason: &FeedReason, view: &PinView) -> Option<String> {
    let plain = reason.signal.is_none() && matches!(reason.because, Reason::Person(user) if user == view.pin.data.owner);
    (!plain).then(|| why(reason))
}

/// Makes a board's card. `with_owner` where boards of several people stand together.
pub fn board_card(card: &BoardCard, with_owner: bool) -> card::BoardCard {
    let board = &card.board.data;
    card::BoardCard {
        id: card.id(),
        name: board.name.clone(),
        url: board_url(&card.owner, &card.board),
        owner: with_owner.then(|| person(&card.owner)),
        pin_count: card.pin_count,
        section_count: 0,
        covers: card.covers.iter().take(3).map(|pin: &Arc<Stored<Pin>>| picture(&pin.data, &board.name)).collect(),
        privacy: board.privacy,
        archived: board.archived,
        collaborators: Vec::new(),
        updated: None,
        follow: None,
    }
}

/// Writes an instant for machines and, seen from `now`, for people.
pub fn time(at: Timestamp, now: Timestamp) -> Time {
    let iso = iso(at);
    let age = now.since(at);
    let minutes = age / Timestamp::MINUTE;
    let ago = |n: i64, one: &str| if n == 1 { format!("{n} {one} ago") } else { format!("{n} {one}s ago") };
    let text = match minutes {
        ..1 => "just now".to_owned(),
        1..60 => ago(minutes, "minute"),
        60..1_440 => ago(minutes / 60, "hour"),
        1_440..43_200 => ago(minutes / 1_440, "day"),
        _ => iso[..10].to_owned(),
    };
    Time { iso, text }
}

/// Writes an instant as ISO 8601 in UTC, to the second.
pub fn iso(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let now = Timestamp(1_700_000_000_000);
        for (age, text) in
            [(0, "just now"), (60, "1 minute ago"), (7_200, "2 hours ago"), (86_400 * 3, "3 days ago"), (86_400 * 400, "2022-10-10")]
        {
            assert_eq!(time(now.plus(-age * 1_000), now).text, text);
        }
        assert_eq!(iso(now), "2023-11-14T22:13:20Z");
    }
}
