//! Pictures, people, instants and rich text, as pages show them.

use askama::Template;
use askama::filters::HtmlSafe;
use model::UserId;
use model::text::Span;

/// A picture with all that lays it out before a byte of it has arrived.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its address in the media store.
    pub hash: String,
    /// Of its renditions: png when it has transparent parts, else jpg.
    pub extension: &'static str,
    /// Of the original: jpg, png, gif or webp.
    pub original_extension: &'static str,
    pub width: u32,
    pub height: u32,
    /// "#rrggbb", shown until the picture arrives.
    pub color: String,
    /// What a person who can't see it is told; empty only if nothing at all is known.
    pub alt: String,
    /// Has transparent parts, which lie on light paper in both themes.
    pub alpha: bool,
    pub animated: bool,
}

/// Cards are at most this many times as high as wide; the rest of a taller picture shows on its own page.
const CARD_RATIO_MAX: u32 = 5;
const CARD_RATIO_MAX_DIVISOR: u32 = 2;
/// And never flatter than a third of their width, so that a panorama remains a target to hit.
const CARD_FLATNESS_MAX: u32 = 3;

impl Picture {
    /// Makes it from what a pin carries.
    pub fn of(picture: &model::object::Picture, alt: impl Into<String>) -> Picture {
        Picture {
            hash: picture.hash.clone(),
            extension: if picture.alpha { "png" } else { "jpg" },
            original_extension: match picture.format.as_str() {
                "png" => "png",
                "gif" => "gif",
                "webp" => "webp",
                _ => "jpg",
            },
            width: picture.width.max(1),
            height: picture.height.max(1),
            color: picture.color.clone(),
            alt: alt.into(),
            alpha: picture.alpha,
            animated: picture.animated,
        }
    }

    /// Gives what is painted behind it: its own colour, or paper behind transparent parts.
    pub fn ground(&self) -> &str {
        if self.alpha { "#f7f3ec" } else { &self.color }
    }

    /// Gives the size of its widest rendition up to `width_max`; nothing is enlarged.
    pub fn scaled(&self, width_max: u32) -> (u32, u32) {
        if self.width <= width_max {
            return (self.width, self.height);
        }
        let height = u64::from(self.height) * u64::from(width_max) / u64::from(self.width);
        (width_max, u32::try_from(height).unwrap_or(u32::MAX).max(1))
    }

    /// Gives the height that a card reserves, in the units of `width`.
    pub fn card_height(&self) -> u32 {
        let tallest = self.width.saturating_mul(CARD_RATIO_MAX) / CARD_RATIO_MAX_DIVISOR;
        self.height.clamp((self.width / CARD_FLATNESS_MAX).max(1), tallest.max(1))
    }
}

/// Somebody, in one line.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: UserId,
    pub username: String,
    pub name: String,
    /// The 150×150 rendition.
    pub picture_url: Option<String>,
}

impl Person {
    pub fn initial(&self) -> char {
        self.name.chars().chain(self.username.chars()).find(|c| c.is_alphanumeric()).unwrap_or('?').to_uppercase().next().unwrap_or('?')
    }

    /// Picks one of eight avatar colours, always the same one for the same person.
    pub fn hue(&self) -> u64 {
        // People differ in the high bits of their ids, by shard: Fibonacci hashing brings them down.
        self.id.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61
    }
}

/// An instant: for machines in ISO 8601, for people in words ("3 hours ago").
#[derive(Clone, Debug, Template)]
#[template(source = "<time datetime=\"{{ iso }}\">{{ text }}</time>", ext = "html")]
pub struct Time {
    pub iso: String,
    pub text: String,
}

impl HtmlSafe for Time {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextSpan {
    Plain(String),
    /// Without '#'.
    Tag(String),
    /// Without '@'.
    Mention(String),
    Link(String),
}

/// What people wrote, with its tags, mentions and links made clickable.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/rich_text.html")]
pub struct RichText(pub Vec<TextSpan>);

impl HtmlSafe for RichText {}

impl RichText {
    pub fn of(text: &str) -> RichText {
        let spans = model::text::spans(text).into_iter();
        RichText(
            spans
                .map(|span| match span {
                    Span::Plain(text) => TextSpan::Plain(text.to_owned()),
                    Span::Tag(tag) => TextSpan::Tag(tag.to_owned()),
                    Span::Mention(name) => TextSpan::Mention(name.to_owned()),
                    Span::Link(link) => TextSpan::Link(link.to_owned()),
                })
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
