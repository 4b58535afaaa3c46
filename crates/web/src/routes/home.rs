//! `/`: the home feed, or the landing page of somebody who is not logged in.

use app::hydrate::PageRequest;
use app::{Page, PinView};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use model::object::HomeOrder;
use serde::Deserialize;

use super::explore::without_feeds;
use crate::context::Context;
use crate::present::{self, CardFacts};
use crate::respond::{Answer, Told, frame, html, page};
use crate::server::Web;
use crate::view::card::{Cards, PersonCard, TopicTile};
use crate::view::form::Pressed;
use crate::view::home::{Home, Landing, Suggestions};
use crate::view::page::Nav;

/// People and topics offered to somebody whose feed is empty.
const SUGGESTED_PEOPLE: usize = 6;
const SUGGESTED_TOPICS: usize = 12;

pub fn router() -> Router<Web> {
    Router::new().route("/", get(home))
}

/// A page of a list: where it goes on.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ListQuery {
    pub bookmark: Option<String>,
}

impl ListQuery {
    pub fn request(&self) -> PageRequest {
        PageRequest { bookmark: self.bookmark.clone(), size: None }
    }
}

async fn home(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    if context.viewer.user.is_none() {
        return landing(&web, &context, &query).await;
    }
    let found = web.app.home(&context.viewer, &query.request()).await.told(&web, &context)?;
    let order = context.viewer.user.as_ref().map(|user| user.data.settings.home_order).unwrap_or_default();
    // The first page of a ranked feed begins with what was ranked, unless there was nobody to keep what is shown.
    let is_by_time = found.items.first().and_then(|view| view.reason.as_ref()).is_some_and(|reason| reason.signal.is_none());
    let unranked = order == HomeOrder::Best && query.bookmark.is_none() && is_by_time;
    let cards = pin_cards(&web, &context, found, false, |bookmark| format!("/?bookmark={bookmark}")).await.told(&web, &context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let suggestions = if cards.is_empty() { suggestions(&web, &context).await.told(&web, &context)? } else { Suggestions::default() };
    let mut frame = frame(&web, &context, "Home", Nav::Home).await;
    if unranked {
        frame.notices.push("Best first is away for a moment. Here is your feed, newest first.".into());
    }
    let view = Home { page: frame, order, cards, suggestions };
    Ok(page(&context, &view))
}

async fn landing(web: &Web, context: &Context, query: &ListQuery) -> Answer {
    let found = web.app.popular(&context.viewer, &query.request()).await;
    let (found, notice) = without_feeds(context, found).told(web, context)?;
    let cards = pin_cards(web, context, found, false, |bookmark| format!("/?bookmark={bookmark}")).await.told(web, context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let mut frame = frame(web, context, "Welcome", Nav::Home).await;
    frame.notices.extend(notice);
    let view = Landing { page: frame, about: String::new(), cards };
    Ok(page(context, &view))
}

/// Makes the cards of a page of pins: with what the viewer likes and has saved already.
pub async fn pin_cards(
    web: &Web,
    context: &Context,
    found: Page<PinView>,
    on_board_page: bool,
    next_url: impl FnOnce(&str) -> String,
) -> app::Result<Cards> {
    let ids: Vec<_> = found.items.iter().map(|view| view.pin.id).collect();
    let liked = web.app.likes(&context.viewer, &ids).await?;
    let saved = web.app.already_saved(&context.viewer, &found.items.iter().collect::<Vec<_>>()).await?;
    Ok(present::cards(found, CardFacts { liked, saved, on_board_page }, next_url))
}

async fn suggestions(web: &Web, context: &Context) -> app::Result<Suggestions> {
    let people = web.app.people_to_follow(&context.viewer, SUGGESTED_PEOPLE).await?;
    let topics = match web.app.popular_topics(SUGGESTED_TOPICS).await {
        Ok(topics) => topics,
        Err(error) => {
            tracing::warn!(%error, "topics are missing on the home page: the index is away");
            Vec::new()
        }
    };
    Ok(Suggestions {
        people: person_cards(web, context, &people).await?,
        topics: topic_tiles(web, context, topics).await?,
        boards: Vec::new(),
    })
}

/// Makes the cards of people.
pub async fn person_cards(
    web: &Web,
    context: &Context,
    people: &[std::sync::Arc<model::Stored<model::User>>],
) -> app::Result<Vec<PersonCard>> {
    let mut cards = Vec::with_capacity(people.len());
    // Without those who are gone since the list was made, or block the viewer.
    for seen in web.app.seen_among(&context.viewer, people).await? {
        let (id, user) = (seen.id(), seen.user.clone());
        let recent = web.app.pins_of(&context.viewer, &seen, &PageRequest::first(3)).await?;
        let profile = web.app.profile_of(&context.viewer, seen).await?;
        let follow = (context.viewer.user.is_some() && !context.viewer.is(id))
            .then(|| Pressed::follow("user", id, &user.data.name, profile.seen.standing.follows));
        cards.push(PersonCard {
            person: present::person(&user),
            about: user.data.about.clone(),
            follower_count: profile.follower_count,
            pin_count: profile.pin_count,
            pictures: recent.items.iter().map(|view| present::picture(&view.pin.data, &view.board.data.name)).collect(),
            follow,
            why: None,
        });
    }
    Ok(cards)
}

/// Makes the tiles of topics, each with the newest picture of it.
pub async fn topic_tiles(web: &Web, context: &Context, topics: Vec<(String, u64)>) -> app::Result<Vec<TopicTile>> {
    let tags: Vec<&str> = topics.iter().map(|(tag, _)| tag.as_str()).collect();
    let found = web.app.topics_tagged(&context.viewer, &tags).await?;
    let ids: Vec<_> = found.iter().flatten().map(|topic| topic.id).collect();
    let mut newest = web.app.newest_of_topics(&context.viewer, &ids).await?.into_iter();
    let mut tiles = Vec::with_capacity(topics.len());
    for ((tag, pin_count), topic) in topics.into_iter().zip(found) {
        let Some(topic) = topic else { continue };
        let newest = newest.next().flatten();
        let picture = newest.map(|view| present::picture(&view.pin.data, &view.board.data.name));
        let follow = context.viewer.user.is_some().then(|| Pressed::follow("topic", topic.id, &format!("the topic {tag}"), topic.followed));
        tiles.push(TopicTile { tag, pin_count, picture, follow });
    }
    Ok(tiles)
}
