//! `/search`: pins, boards and people, with suggestions while one types.

use app::search::Scope;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::routing::get;
use model::EventKind;
use serde::Deserialize;
use serde_json::json;

use super::home::{person_cards, pin_cards};
use crate::context::Context;
use crate::present;
use crate::respond::{Answer, Told, frame, html, page};
use crate::server::Web;
use crate::view::card::{BoardCards, PersonCards};
use crate::view::page::Nav;
use crate::view::search::{Guide, Results, Search};
use crate::view::ui::encoded;

const SUGGESTIONS: usize = 8;
const GUIDES: usize = 8;
const TRENDING: usize = 12;

pub fn router() -> Router<Web> {
    Router::new().route("/search", get(search)).route("/search/suggest", get(suggest))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SearchQuery {
    q: String,
    kind: String,
    bookmark: Option<String>,
}

async fn search(State(web): State<Web>, context: Context, Query(query): Query<SearchQuery>) -> Answer {
    let mut frame = frame(&web, &context, "Search", Nav::Explore).await;
    frame.query.clone_from(&query.q);
    frame.unlisted = true;
    match results(&web, &context, &query).await {
        Ok((results, notes)) => {
            if context.wants("cards") {
                return Ok(match &results {
                    Results::Pins(cards) => html(cards),
                    Results::Boards(boards) => html(boards),
                    Results::People(people) => html(people),
                });
            }
            let guides = web.app.search.guides(&query.q, GUIDES).await.unwrap_or_default();
            let guides =
                guides.into_iter().map(|guide| Guide { url: format!("/search?q={}", encoded(&guide.query)), text: guide.word }).collect();
            let trending = if query.q.trim().is_empty() { trending(&web).await } else { Vec::new() };
            note_search(&web, &context, &query, &results);
            Ok(page(&context, &Search { page: frame, results, notes, guides, trending }))
        }
        Err(error @ app::Error::Invalid(_)) => Err(error).told(&web, &context),
        Err(error) => {
            // A dead index takes down no page: it says what is missing.
            crate::respond::log_cause(&error, &context.request_id);
            metrics::counter!(app::metrics::DEGRADED_READS_TOTAL, "part" => "search").increment(1);
            frame.notices.push("Search is away for a moment. Everything else works; try again soon.".into());
            let results = Results::Pins(crate::view::Cards::default());
            Ok(page(&context, &Search { page: frame, results, notes: Vec::new(), guides: Vec::new(), trending: Vec::new() }))
        }
    }
}

async fn results(web: &Web, context: &Context, query: &SearchQuery) -> app::Result<(Results, Vec<String>)> {
    let request = app::hydrate::PageRequest { bookmark: query.bookmark.clone(), size: None };
    let next = |kind: &str| {
        let base = format!("/search?q={}&kind={kind}", encoded(&query.q));
        move |bookmark: &str| format!("{base}&bookmark={bookmark}")
    };
    Ok(match query.kind.as_str() {
        "boards" => {
            let found = web.app.search_boards(&context.viewer, &query.q, Scope::Everything, &request).await?;
            let next_url = found.page.bookmark.as_deref().map(next("boards"));
            let boards = found.page.items.iter().map(|card| present::board_card(card, true)).collect();
            (Results::Boards(BoardCards { boards, next_url, order_url: None }), found.notes)
        }
        "people" => {
            let found = web.app.search_people(&context.viewer, &query.q, &request).await?;
            let next_url = found.page.bookmark.as_deref().map(next("people"));
            let people = person_cards(web, context, &found.page.items).await?;
            (Results::People(PersonCards { people, next_url }), found.notes)
        }
        _ => {
            let found = web.app.search_pins(&context.viewer, &query.q, Scope::Everything, &request).await?;
            (Results::Pins(pin_cards(web, context, found.page, false, next("pins")).await?), found.notes)
        }
    })
}

async fn trending(web: &Web) -> Vec<String> {
    let topics = web.app.popular_topics(TRENDING).await.unwrap_or_default();
    topics.into_iter().map(|(tag, _)| tag).collect()
}

fn note_search(web: &Web, context: &Context, query: &SearchQuery, results: &Results) {
    let count = match results {
        Results::Pins(cards) => cards.pins.len(),
        Results::Boards(boards) => boards.boards.len(),
        Results::People(people) => people.people.len(),
    };
    let details = json!({ "query": query.q.chars().take(200).collect::<String>(), "kind": query.kind, "first_page": count });
    web.app.events.emit(web.app.event_with(EventKind::SearchMade, context.viewer.id(), context.request_id.clone(), Vec::new(), details));
}

async fn suggest(State(web): State<Web>, context: Context, Query(query): Query<SearchQuery>) -> Answer {
    let found = web.app.suggest(&context.viewer, &query.q, SUGGESTIONS).await.unwrap_or_default();
    let mut list = Vec::with_capacity(found.len());
    for suggestion in found {
        use ::search::SuggestionKind as K;
        let (kind, url) = match suggestion.kind {
            K::Term => ("query", format!("/search?q={}", encoded(&suggestion.text))),
            K::Topic => ("topic", format!("/topic/{}", encoded(&suggestion.text))),
            K::Person(_, username) => ("person", format!("/{username}")),
            K::Board(board) => match web.app.board_card(&context.viewer, board).await {
                Ok(card) => ("board", present::board_url(&card.owner, &card.board)),
                Err(_) => continue,
            },
        };
        list.push(json!({ "text": suggestion.text, "kind": kind, "url": url }));
    }
    Ok(axum::Json(list).into_response())
}
