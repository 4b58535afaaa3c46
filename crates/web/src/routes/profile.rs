//! `/{username}` and its tabs: boards, pins, likes, followers, following.

use app::boards::BoardFilter;
use app::profiles::Profile as Overview;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use model::{Assoc, UserId};

use super::address::At;
use super::home::{ListQuery, person_cards, pin_cards};
use crate::context::Context;
use crate::present;
use crate::respond::{Answer, Told, frame, html, page};
use crate::server::Web;
use crate::view::card::{BoardCard, BoardCards, Cards, PersonCards};
use crate::view::form::Pressed;
use crate::view::page::{Meta, Nav};
use crate::view::picture::RichText;
use crate::view::profile::{Profile, ProfileContent, ProfileHeader, ProfileTab};

pub fn router() -> Router<Web> {
    Router::new()
        .route("/{username}", get(boards))
        .route("/{username}/boards", get(boards))
        .route("/{username}/pins", get(pins))
        .route("/{username}/likes", get(likes))
        .route("/{username}/followers", get(followers))
        .route("/{username}/following", get(following))
}

async fn boards(State(web): State<Web>, context: Context, At(username): At<String>, Query(query): Query<ListQuery>) -> Answer {
    tab(&web, &context, &username, ProfileTab::Boards, &query).await
}

async fn pins(State(web): State<Web>, context: Context, At(username): At<String>, Query(query): Query<ListQuery>) -> Answer {
    tab(&web, &context, &username, ProfileTab::Pins, &query).await
}

async fn likes(State(web): State<Web>, context: Context, At(username): At<String>, Query(query): Query<ListQuery>) -> Answer {
    tab(&web, &context, &username, ProfileTab::Likes, &query).await
}

async fn followers(State(web): State<Web>, context: Context, At(username): At<String>, Query(query): Query<ListQuery>) -> Answer {
    tab(&web, &context, &username, ProfileTab::Followers, &query).await
}

async fn following(State(web): State<Web>, context: Context, At(username): At<String>, Query(query): Query<ListQuery>) -> Answer {
    tab(&web, &context, &username, ProfileTab::Following, &query).await
}

async fn tab(web: &Web, context: &Context, username: &str, tab: ProfileTab, query: &ListQuery) -> Answer {
    let overview = web.app.profile_named(&context.viewer, username).await.told(web, context)?;
    let user = &overview.seen.user;
    let content = match overview.seen.standing.relation.blocks {
        // The page says that they are blocked, and shows nothing of theirs.
        true => ProfileContent::Pins(Cards::default()),
        false => content(web, context, &overview, tab, query).await.told(web, context)?,
    };
    if context.wants("cards") {
        return Ok(match &content {
            ProfileContent::Boards { boards, .. } => html(boards),
            ProfileContent::Pins(cards) => html(cards),
            ProfileContent::People(people) => html(people),
        });
    }
    let header = header(web, context, &overview).await.told(web, context)?;
    let nav = if header.is_own { Nav::Profile } else { Nav::Elsewhere };
    let mut frame = frame(web, context, &user.data.name, nav).await;
    frame.unlisted = !user.data.settings.discoverable;
    if !frame.unlisted {
        let base = &web.app.settings.base_url;
        frame.meta = Some(Meta {
            description: user.data.about.clone(),
            canonical_url: format!("{base}/{}", user.data.username),
            image_url: user.data.picture.as_ref().map(|picture| format!("{base}{}", present::media_url(picture, "150x150"))),
        });
    }
    Ok(page(context, &Profile { page: frame, header, tab, content }))
}

async fn header(web: &Web, context: &Context, overview: &Overview) -> app::Result<ProfileHeader> {
    let (id, user, standing) = (overview.id(), &overview.seen.user.data, overview.seen.standing);
    let me = context.viewer.id();
    let is_own = context.viewer.is(id);
    let other = me.filter(|_| !is_own);
    // Likes of pins on secret boards are in the count, so that it is for the person alone.
    let like_count = if is_own { web.app.count_of(Assoc::UserLikesPins, id.id()).await? } else { 0 };
    Ok(ProfileHeader {
        person: present::person(&overview.seen.user),
        about: RichText::of(&user.about),
        website: user.website.clone(),
        website_domain: model::limits::domain_of(&user.website),
        follower_count: overview.follower_count,
        following_count: overview.following_count,
        pin_count: overview.pin_count,
        board_count: overview.board_count,
        like_count,
        follow: other.filter(|_| !standing.relation.blocks).map(|_| Pressed::follow("user", id, &user.name, standing.follows)),
        is_own,
        follows_viewer: standing.followed_by,
        blocked: standing.relation.blocks,
        muted: standing.relation.muted,
        may_block: other.is_some(),
        suspended: user.suspended,
    })
}

async fn content(web: &Web, context: &Context, overview: &Overview, tab: ProfileTab, query: &ListQuery) -> app::Result<ProfileContent> {
    let (viewer, seen, request) = (&context.viewer, &overview.seen, query.request());
    let next = |tab: &str| {
        let base = format!("/{}/{tab}", overview.seen.user.data.username);
        move |bookmark: &str| format!("{base}?bookmark={bookmark}")
    };
    Ok(match tab {
        ProfileTab::Boards => boards_content(web, context, overview, query, next("boards")).await?,
        ProfileTab::Pins => {
            let found = web.app.pins_of(viewer, seen, &request).await?;
            ProfileContent::Pins(pin_cards(web, context, found, false, next("pins")).await?)
        }
        ProfileTab::Likes => {
            let found = web.app.liked_pins(viewer, seen, &request).await?;
            ProfileContent::Pins(pin_cards(web, context, found, false, next("likes")).await?)
        }
        ProfileTab::Followers => {
            let found = web.app.followers_of(viewer, seen, &request).await?;
            let next_url = found.bookmark.as_deref().map(next("followers"));
            ProfileContent::People(PersonCards { people: person_cards(web, context, &found.items).await?, next_url })
        }
        ProfileTab::Following => {
            let found = web.app.followed_by(viewer, seen, &request).await?;
            let next_url = found.bookmark.as_deref().map(next("following"));
            ProfileContent::People(PersonCards { people: person_cards(web, context, &found.items).await?, next_url })
        }
    })
}

async fn boards_content(
    web: &Web,
    context: &Context,
    overview: &Overview,
    query: &ListQuery,
    next: impl FnOnce(&str) -> String,
) -> app::Result<ProfileContent> {
    let (viewer, owner) = (&context.viewer, overview.id());
    let found = web.app.boards_on(viewer, overview, BoardFilter::Current, &query.request()).await?;
    let boards = BoardCards {
        boards: board_cards(web, context, owner, &found.items).await?,
        next_url: found.bookmark.as_deref().map(next),
        order_url: viewer.is(owner).then(|| "/boards/order".to_owned()),
    };
    // Archived boards are put away: only whose they are still has them on the page.
    let archived = match viewer.is(owner) && query.bookmark.is_none() {
        true => {
            let request = app::hydrate::PageRequest::first(model::limits::PAGE_SIZE_MAX);
            let found = web.app.boards_on(viewer, overview, BoardFilter::Archived, &request).await?;
            board_cards(web, context, owner, &found.items).await?
        }
        false => Vec::new(),
    };
    Ok(ProfileContent::Boards { boards, archived })
}

/// Makes the cards of boards on the profile of `owner`, with their sections and who works on them.
async fn board_cards(web: &Web, context: &Context, owner: UserId, cards: &[app::BoardCard]) -> app::Result<Vec<BoardCard>> {
    let wanted: Vec<_> = cards.iter().map(|card| (Assoc::BoardHasSections, card.board.id)).collect();
    let counts = web.app.counts_of(&wanted).await?;
    let mut made = Vec::with_capacity(cards.len());
    for (card, section_count) in cards.iter().zip(counts) {
        let mut view = present::board_card(card, card.board.data.owner != owner);
        view.section_count = section_count;
        if !card.board.data.collaborators.is_empty() {
            let people = web.app.collaborators(&context.viewer, card.id()).await?;
            view.collaborators = people.iter().filter(|(c, _)| c.accepted).map(|(_, user)| present::person(user)).collect();
        }
        made.push(view);
    }
    Ok(made)
}
