//! What the API shows: structs that serialise to the shapes of Pinterest's API v5, and pure functions that fill them.
//!
//! Clients read by key, so every key is always there, null where there is nothing. Ids are strings, widths and heights numbers.

use app::comments::CommentView;
use app::hydrate::{FeedReason, Page};
use app::notifications::{NotificationGroup, Subject};
use app::profiles::Profile;
use app::ranking::Signal;
use app::{BoardCard, PinView};
use feeds::Reason;
use media::Rendition;
use model::object::{Collaborator, NotificationKind, Picture, Privacy, Role};
use model::{Board, CommentId, Id, PinId, SectionId, Stored, TopicObject, User, UserId};
use serde::Serialize;

use crate::present::{iso, media_url, why};

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct List<T> {
    pub items: Vec<T>,
    pub bookmark: Option<String>,
}

impl<T> List<T> {
    pub fn of<U>(page: Page<U>, shape: impl FnMut(U) -> T) -> List<T> {
        let page = page.map(shape);
        List { items: page.items, bookmark: page.bookmark }
    }
}

#[derive(Debug, Serialize)]
pub struct Username {
    pub username: String,
}

impl Username {
    pub fn of(user: &Stored<User>) -> Username {
        Username { username: user.data.username.clone() }
    }
}

#[derive(Debug, Serialize)]
pub struct BoardShape {
    id: Id,
    name: String,
    description: Option<String>,
    privacy: Privacy,
    owner: Username,
    created_at: String,
    board_pins_modified_at: String,
    pin_count: u64,
    follower_count: u64,
    collaborator_count: usize,
    media: BoardMedia,
    is_ads_only: bool,
}

#[derive(Debug, Serialize)]
struct BoardMedia {
    image_cover_url: Option<String>,
    pin_thumbnail_urls: Vec<String>,
}

/// Shows a board. `with_pins` is false for secret boards and callers who may not see secret pins.
pub fn board(card: &BoardCard, follower_count: u64, base_url: &str, with_pins: bool) -> BoardShape {
    let data: &Board = &card.board.data;
    let covers = card.covers.iter().filter(|_| with_pins);
    let url = |picture: &Picture, kind| format!("{base_url}{}", media_url(picture, kind));
    BoardShape {
        id: card.board.id,
        name: data.name.clone(),
        description: text(&data.description),
        privacy: data.privacy,
        owner: Username::of(&card.owner),
        created_at: iso(card.board.created_at),
        board_pins_modified_at: iso(data.pins_modified_at.unwrap_or(card.board.created_at)),
        pin_count: card.pin_count,
        follower_count,
        collaborator_count: data.collaborators.iter().filter(|collaborator| collaborator.accepted).count(),
        media: BoardMedia {
            image_cover_url: covers.clone().next().map(|pin| url(&pin.data.picture, "400x300")),
            pin_thumbnail_urls: covers.map(|pin| url(&pin.data.picture, "150x150")).collect(),
        },
        is_ads_only: false,
    }
}

#[derive(Debug, Serialize)]
pub struct SectionShape {
    id: Id,
    name: String,
}

pub fn section(section: &Stored<model::Section>) -> SectionShape {
    SectionShape { id: section.id, name: section.data.name.clone() }
}

#[derive(Debug, Serialize)]
pub struct PinShape {
    id: PinId,
    created_at: String,
    link: Option<String>,
    title: Option<String>,
    description: Option<String>,
    alt_text: Option<String>,
    dominant_color: Option<String>,
    board_id: Id,
    board_section_id: Option<SectionId>,
    board_owner: Username,
    /// Who made the pin; ours.
    pinner: Username,
    parent_pin_id: Option<PinId>,
    media: PinMedia,
    creative_type: &'static str,
    is_owner: bool,
    is_standard: bool,
    has_been_promoted: bool,
    pin_metrics: Option<()>,
    /// Why it stands in the home feed; ours, null elsewhere.
    feed_reason: Option<FeedReasonShape>,
}

#[derive(Debug, Serialize)]
struct FeedReasonShape {
    /// What is followed: "user", "board" or "interest".
    #[serde(rename = "type")]
    kind: &'static str,
    id: Id,
    name: String,
    /// What spoke for the pin in the order best-first; null where the order is by time.
    signal: Option<&'static str>,
    text: String,
}

fn feed_reason(reason: &FeedReason) -> FeedReasonShape {
    let (kind, id) = match reason.because {
        Reason::Person(user) => ("user", user.id()),
        Reason::Board(board) => ("board", board.id()),
        Reason::Topic(topic) => ("interest", topic.id()),
    };
    let signal = reason.signal.map(|signal| match signal {
        Signal::Follow => "follow",
        Signal::Owner => "user_affinity",
        Signal::Board => "board_affinity",
        Signal::Popularity => "popularity",
    });
    FeedReasonShape { kind, id, name: reason.name.clone(), signal, text: why(reason) }
}

#[derive(Debug, Serialize)]
pub struct PinMedia {
    media_type: &'static str,
    images: Images,
}

#[derive(Debug, Serialize)]
struct Images {
    #[serde(rename = "150x150")]
    square: ImageShape,
    #[serde(rename = "400x300")]
    crop: ImageShape,
    #[serde(rename = "600x")]
    w600: ImageShape,
    #[serde(rename = "1200x")]
    w1200: ImageShape,
    /// Ours, under the name that pictures have always had there.
    originals: ImageShape,
}

#[derive(Debug, Serialize)]
struct ImageShape {
    width: u32,
    height: u32,
    url: String,
}

fn pin_media(picture: &Picture, base_url: &str) -> PinMedia {
    let image = |rendition: Rendition| {
        let (width, height) = media::dimensions(rendition, picture.width, picture.height);
        ImageShape { width, height, url: format!("{base_url}{}", media_url(picture, rendition.name())) }
    };
    let images = Images {
        square: image(Rendition::Square150),
        crop: image(Rendition::Crop400x300),
        w600: image(Rendition::W600),
        w1200: image(Rendition::W1200),
        originals: image(Rendition::Original),
    };
    PinMedia { media_type: "image", images }
}

/// Shows a pin. Its board may be somebody else's; `parent` is what it was saved from, if the viewer may see that.
pub fn pin(view: &PinView, board_owner: &Stored<User>, parent: Option<PinId>, viewer: Option<UserId>, base_url: &str) -> PinShape {
    let data = &view.pin.data;
    PinShape {
        id: view.id(),
        created_at: iso(data.at),
        link: text(&data.link),
        title: text(&data.title),
        description: text(&data.description),
        alt_text: text(&data.alt_text),
        dominant_color: text(&data.picture.color),
        board_id: view.board.id,
        board_section_id: data.section,
        board_owner: Username::of(board_owner),
        pinner: Username::of(&view.owner),
        parent_pin_id: parent,
        media: pin_media(&data.picture, base_url),
        creative_type: "REGULAR",
        is_owner: viewer == Some(data.owner),
        is_standard: true,
        has_been_promoted: false,
        pin_metrics: None,
        feed_reason: view.reason.as_ref().map(feed_reason),
    }
}

#[derive(Debug, Serialize)]
pub struct SummaryPinShape {
    id: PinId,
    title: Option<String>,
    description: Option<String>,
    alt_text: Option<String>,
    link: Option<String>,
    media: PinMedia,
}

pub fn summary_pin(view: &PinView, base_url: &str) -> SummaryPinShape {
    let data = &view.pin.data;
    SummaryPinShape {
        id: view.id(),
        title: text(&data.title),
        description: text(&data.description),
        alt_text: text(&data.alt_text),
        link: text(&data.link),
        media: pin_media(&data.picture, base_url),
    }
}

#[derive(Debug, Serialize)]
pub struct AccountShape {
    id: UserId,
    username: String,
    about: String,
    account_type: &'static str,
    business_name: Option<()>,
    profile_image: String,
    website_url: String,
    board_count: u64,
    pin_count: u64,
    follower_count: u64,
    following_count: u64,
    monthly_views: Option<()>,
}

pub fn account(profile: &Profile, base_url: &str) -> AccountShape {
    let data = &profile.seen.user.data;
    AccountShape {
        id: profile.id(),
        username: data.username.clone(),
        about: data.about.clone(),
        account_type: "PINNER",
        business_name: None,
        profile_image: data.picture.as_ref().map(|picture| format!("{base_url}{}", media_url(picture, "600x"))).unwrap_or_default(),
        website_url: data.website.clone(),
        board_count: profile.board_count,
        pin_count: profile.pin_count,
        follower_count: profile.follower_count,
        following_count: profile.following_count,
        monthly_views: None,
    }
}

#[derive(Debug, Serialize)]
pub struct UserSummary {
    username: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

pub fn user_summary(user: &Stored<User>) -> UserSummary {
    UserSummary { username: user.data.username.clone(), kind: "user" }
}

#[derive(Debug, Serialize)]
pub struct Interest {
    id: Id,
    key: String,
    name: String,
    canonical_url: String,
}

pub fn interest(topic: &Stored<TopicObject>, base_url: &str) -> Interest {
    let tag = &topic.data.tag;
    let canonical_url = format!("{base_url}/topic/{}", crate::view::ui::encoded(tag));
    Interest { id: topic.id, key: tag.clone(), name: tag.replace('_', " "), canonical_url }
}

#[derive(Debug, Serialize)]
pub struct CommentShape {
    id: Id,
    pin_id: PinId,
    parent_comment_id: Option<CommentId>,
    text: String,
    created_at: String,
    author: Username,
    reaction_count: u64,
    is_reacted: bool,
    replies: Vec<CommentShape>,
}

pub fn comment(view: &CommentView) -> CommentShape {
    let data = &view.comment.data;
    CommentShape {
        id: view.comment.id,
        pin_id: data.pin,
        parent_comment_id: data.parent,
        text: data.text.clone(),
        created_at: iso(data.at),
        author: Username::of(&view.author),
        reaction_count: view.likes,
        is_reacted: view.liked,
        replies: view.replies.iter().map(comment).collect(),
    }
}

#[derive(Debug, Serialize)]
pub struct CollaboratorShape {
    username: String,
    role: Role,
    /// "accepted" or "invited".
    status: &'static str,
    invited_at: String,
}

pub fn collaborator(collaborator: &Collaborator, user: &Stored<User>) -> CollaboratorShape {
    CollaboratorShape {
        username: user.data.username.clone(),
        role: collaborator.role,
        status: if collaborator.accepted { "accepted" } else { "invited" },
        invited_at: iso(collaborator.at),
    }
}

#[derive(Debug, Serialize)]
pub struct NotificationShape {
    kind: NotificationKind,
    at: String,
    unread: bool,
    actors: Vec<UserSummary>,
    pin_id: Option<Id>,
    board_id: Option<Id>,
    comment_id: Option<Id>,
    comment_text: Option<String>,
}

pub fn notification(group: &NotificationGroup) -> NotificationShape {
    let (pin_id, board_id) = match &group.subject {
        Subject::Pin(pin) => (Some(pin.id), None),
        Subject::Board(board) => (None, Some(board.id)),
        Subject::Person => (None, None),
    };
    NotificationShape {
        kind: group.kind,
        at: iso(group.at),
        unread: group.unread,
        actors: group.actors.iter().map(|actor| user_summary(actor)).collect(),
        pin_id,
        board_id,
        comment_id: group.comment.as_ref().map(|comment| comment.id),
        comment_text: group.comment.as_ref().map(|comment| comment.data.text.clone()),
    }
}

#[derive(Debug, Serialize)]
pub struct Reactions {
    pub reaction_count: u64,
    pub is_reacted: bool,
}

#[derive(Debug, Serialize)]
pub struct RelatedTerms {
    pub id: String,
    pub related_term_count: usize,
    pub related_terms_list: Vec<RelatedTerm>,
}

#[derive(Debug, Serialize)]
pub struct RelatedTerm {
    pub term: String,
    pub related_terms: Vec<String>,
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rendition_has_an_address_and_whole_sides() {
        let picture = Picture {
            hash: "ab".repeat(32),
            width: 900,
            height: 1_350,
            color: "#102030".into(),
            placeholder: String::new(),
            format: "png".into(),
            alpha: false,
            animated: false,
        };
        let json = serde_json::to_value(pin_media(&picture, "https://pins.example.org")).unwrap();
        let hash = &picture.hash;
        for (name, width, height, file) in [
            ("150x150", 150, 150, "150x150.jpg"),
            ("400x300", 400, 300, "400x300.jpg"),
            ("600x", 600, 900, "600x.jpg"),
            ("1200x", 900, 1_350, "1200x.jpg"),
            ("originals", 900, 1_350, "originals.png"),
        ] {
            let url = format!("https://pins.example.org/media/{hash}/{file}");
            assert_eq!(json["images"][name], serde_json::json!({ "width": width, "height": height, "url": url }));
        }
    }
}
