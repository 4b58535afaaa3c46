//! `/explore…` and `/topic/{tag}`: what is on the site for everybody.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;

use super::home::{ListQuery, pin_cards, topic_tiles};
use crate::context::Context;
use crate::respond::{Answer, Told, frame, html, page};
use crate::server::Web;
use crate::view::explore::{Explore, ExploreTab, Topic, Topics};
use crate::view::form::Pressed;
use crate::view::page::Nav;
use crate::view::ui::encoded;

const TOPICS_SHOWN: usize = 48;
/// Tags that stand beside a topic's newest pins.
const RELATED_TAGS: usize = 10;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/explore", get(newest))
        .route("/explore/popular", get(popular))
        .route("/explore/topics", get(topics))
        .route("/topic/{tag}", get(topic))
}

async fn newest(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    let found = web.app.newest(&context.viewer, &query.request()).await;
    explore(&web, &context, ExploreTab::Newest, found, "/explore").await
}

async fn popular(State(web): State<Web>, context: Context, Query(query): Query<ListQuery>) -> Answer {
    let found = web.app.popular(&context.viewer, &query.request()).await;
    explore(&web, &context, ExploreTab::Popular, found, "/explore/popular").await
}

async fn explore(web: &Web, context: &Context, tab: ExploreTab, found: app::Result<app::Page<app::PinView>>, base: &str) -> Answer {
    let (found, notice) = without_feeds(context, found).told(web, context)?;
    let cards = pin_cards(web, context, found, false, |bookmark| format!("{base}?bookmark={bookmark}")).await.told(web, context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let title = if tab == ExploreTab::Newest { "Explore: newest" } else { "Explore: popular" };
    let mut frame = frame(web, context, title, Nav::Explore).await;
    frame.notices.extend(notice);
    Ok(page(context, &Explore { page: frame, tab, cards }))
}

/// Lets a page stand without its list when the feeds are away: an empty page and what to say there. A script that asks for more cards
/// gets the error, so that it can try again.
pub fn without_feeds<T>(context: &Context, found: app::Result<app::Page<T>>) -> app::Result<(app::Page<T>, Option<String>)> {
    match found {
        Err(app::Error::Unavailable(reason)) if !context.wants("cards") => {
            tracing::warn!(reason, "a list for everybody is missing: the feeds are away");
            Ok((app::Page::empty(), Some("This list is away for a moment. Everything else works; try again soon.".into())))
        }
        found => found.map(|page| (page, None)),
    }
}

async fn topics(State(web): State<Web>, context: Context) -> Answer {
    let mut frame = frame(&web, &context, "Topics", Nav::Explore).await;
    let popular = match web.app.popular_topics(TOPICS_SHOWN).await {
        Ok(topics) => topics,
        Err(error) => {
            tracing::warn!(%error, "topics are missing: the index is away");
            frame.notices.push("Search is away for a moment, so topics are missing here.".into());
            Vec::new()
        }
    };
    let followed = match context.viewer.user.is_some() {
        true => web.app.topics_followed(&context.viewer, TOPICS_SHOWN).await.told(&web, &context)?,
        false => Vec::new(),
    };
    let mut followed_tags = Vec::with_capacity(followed.len());
    for topic in followed {
        let count = web.app.count_of(model::Assoc::TopicHasPins, topic.id).await.told(&web, &context)?;
        followed_tags.push((topic.data.tag.clone(), count));
    }
    let view = Topics {
        page: frame,
        followed: topic_tiles(&web, &context, followed_tags).await.told(&web, &context)?,
        topics: topic_tiles(&web, &context, popular).await.told(&web, &context)?,
    };
    Ok(page(&context, &view))
}

async fn topic(State(web): State<Web>, context: Context, Path(tag): Path<String>, Query(query): Query<ListQuery>) -> Answer {
    let topic = web.app.topic(&context.viewer, &tag).await.told(&web, &context)?;
    let found = web.app.topic_pins(&context.viewer, topic.id, &query.request()).await.told(&web, &context)?;
    let related = related_tags(&topic.tag, &found);
    let base = format!("/topic/{}", encoded(&topic.tag));
    let cards = pin_cards(&web, &context, found, false, |bookmark| format!("{base}?bookmark={bookmark}")).await.told(&web, &context)?;
    if context.wants("cards") {
        return Ok(html(&cards));
    }
    let pin_count = web.app.count_of(model::Assoc::TopicHasPins, topic.id.id()).await.told(&web, &context)?;
    let view = Topic {
        page: frame(&web, &context, &format!("#{}", topic.tag), Nav::Explore).await,
        pin_count,
        follower_count: topic.follower_count,
        follow: Pressed::follow("topic", topic.id, &format!("the topic {}", topic.tag), topic.followed),
        related,
        cards,
        tag: topic.tag,
    };
    Ok(page(&context, &view))
}

fn related_tags(tag: &str, found: &app::Page<app::PinView>) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for other in found.items.iter().flat_map(|view| &view.pin.data.tags).filter(|other| *other != tag) {
        *counts.entry(other).or_default() += 1;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked.into_iter().take(RELATED_TAGS).map(|(other, _)| other.to_owned()).collect()
}
