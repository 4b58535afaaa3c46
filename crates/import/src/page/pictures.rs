//! Finding a page's pictures and telling the good ones from icons, trackers and placeholders.

use std::collections::HashMap;

use url::Url;

use super::{PagePicture, absolute};
use crate::limits::{PAGE_CANDIDATES_MAX, PAGE_PICTURES_MAX};
use crate::markup::Tag;
use crate::text::{fit, is_picture_link, one_line};

/// How much a page says for a picture, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `og:image`: chosen by the page for being shared.
    OpenGraph,
    /// `twitter:image`, `link rel=image_src`.
    Card,
    JsonLd,
    /// An element with a large size.
    Large,
    /// An element that tells no size, a link to a picture, a film's poster.
    Unsized,
    /// An element with a size under [`LARGE_PIXELS_MIN`] on a side, or a name like "logo".
    Small,
}

/// Pixels on each side from which a picture is worth a pin.
const LARGE_PIXELS_MIN: u32 = 240;
/// Pixels on a side up to which it is an icon or a tracker.
const ICON_PIXELS_MAX: u32 = 64;
/// Where lazy-loading scripts keep the true address, the most telling first.
const LAZY: &[&str] = &[
    "data-pin-media",
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-orig-file",
    "data-full",
    "data-full-src",
    "data-large_image",
    "data-zoom-image",
    "data-hi-res-src",
    "data-image",
    "data-url",
];
/// Words in an address that speak against a picture.
const POOR_WORDS: &[&str] = &[
    "logo",
    "icon",
    "avatar",
    "sprite",
    "emoji",
    "badge",
    "button",
    "placeholder",
    "spinner",
    "loading",
    "blank",
    "spacer",
    "gravatar",
    "banner",
];
/// Words in an address that tell a tracker.
const TRACKER_WORDS: &[&str] =
    &["/pixel", "pixel.gif", "1x1", "beacon", "/track", "doubleclick.net", "facebook.com/tr", "analytics", "spacer.gif", "blank.gif"];

/// The pictures met so far.
#[derive(Default)]
pub struct Pictures {
    found: Vec<(Rank, PagePicture)>,
    positions: HashMap<String, usize>,
    /// The one that the following metadata describes.
    last: Option<usize>,
}

impl Pictures {
    /// Adds a picture by an address of the page; one that is known already keeps its better rank.
    pub fn add(&mut self, link: &str, base: &Url, rank: Rank) {
        self.last = None;
        if link.trim_start().starts_with("data:") {
            return;
        }
        let Some(mut url) = absolute(link, base) else { return };
        if let Some(hash) = url.find('#') {
            url.truncate(hash);
        }
        if cannot_be_taken(&url) {
            return;
        }
        let mut rank = rank;
        if rank > Rank::JsonLd && POOR_WORDS.iter().any(|word| path_of(&url).contains(word)) {
            rank = Rank::Small;
        }
        let position = match self.positions.get(&url) {
            Some(position) => *position,
            None if self.found.len() >= PAGE_CANDIDATES_MAX => return,
            None => {
                self.found.push((rank, PagePicture { url: url.clone(), width: None, height: None, alt: None }));
                self.positions.insert(url, self.found.len() - 1);
                self.found.len() - 1
            }
        };
        self.found[position].0 = self.found[position].0.min(rank);
        self.last = Some(position);
    }

    /// Adds to what is known about the picture added last.
    pub fn describe_last(&mut self, describe: impl FnOnce(&mut PagePicture)) {
        if let Some(last) = self.last {
            describe(&mut self.found[last].1);
        }
    }

    /// Gives the picture added last another address.
    pub fn replace_last(&mut self, link: &str, base: &Url) {
        match (self.last, absolute(link, base)) {
            (Some(last), Some(url)) if !self.positions.contains_key(&url) && !cannot_be_taken(&url) => {
                self.positions.insert(url.clone(), last);
                self.found[last].1.url = url;
            }
            (None, Some(_)) => self.add(link, base, Rank::OpenGraph),
            _ => {}
        }
    }

    /// Reads an element that shows or links a picture.
    pub fn element(&mut self, tag: &Tag<'_>, base: &Url) {
        if tag.is("a") {
            // Thumbnails link to their large form.
            if let Some(href) = tag.attribute("href").filter(|href| base.join(href).is_ok_and(|url| is_picture_link(url.as_str()))) {
                self.add(&href, base, Rank::Unsized);
            }
            return;
        }
        if tag.is("video") {
            if let Some(poster) = tag.attribute("poster") {
                self.add(&poster, base, Rank::Unsized);
            }
            return;
        }
        let kind = tag.attribute("type").unwrap_or_default();
        if kind.starts_with("video/") || kind.starts_with("audio/") || kind.contains("avif") || kind.contains("svg") {
            return;
        }
        let (width, height) = (side(tag, "width"), side(tag, "height"));
        if [width, height].into_iter().flatten().any(|side| side <= ICON_PIXELS_MAX) {
            return;
        }
        let Some((link, srcset_width)) = best_source(tag) else { return };
        let width_known = srcset_width.or(width);
        let rank = match (width_known, height) {
            (None, None) => Rank::Unsized,
            (width, height) if [width, height].into_iter().flatten().all(|side| side >= LARGE_PIXELS_MIN) => Rank::Large,
            _ => Rank::Small,
        };
        self.add(&link, base, rank);
        let alt = tag.attribute("alt").and_then(|alt| alt_text(&alt));
        self.describe_last(|picture| {
            picture.alt = picture.alt.take().or(alt);
            if picture.width.is_none() {
                // The height of the element belongs to its width, not to that of the chosen source.
                let scaled = || u32::try_from(u64::from(height?) * u64::from(width_known?) / u64::from(width?.max(1))).ok();
                picture.height = if width_known == width { height } else { scaled() };
                picture.width = width_known;
            }
        });
    }

    /// Returns the best, in order.
    pub fn best(mut self) -> Vec<PagePicture> {
        // Within a rank the larger first, then as the page has them: the sort is stable.
        let area = |picture: &PagePicture| u64::from(picture.width.unwrap_or(0)) * u64::from(picture.height.or(picture.width).unwrap_or(0));
        self.found.retain(|(_, picture)| ![picture.width, picture.height].into_iter().flatten().any(|side| side <= ICON_PIXELS_MAX));
        self.found.sort_by_key(|(rank, picture)| {
            let declared = matches!(rank, Rank::OpenGraph | Rank::Card | Rank::JsonLd);
            (*rank, std::cmp::Reverse(if declared { 0 } else { area(picture) }))
        });
        self.found.into_iter().map(|(_, picture)| picture).take(PAGE_PICTURES_MAX).collect()
    }
}

pub fn alt_text(text: &str) -> Option<String> {
    fit(&one_line(text), model::limits::PIN_ALT_TEXT_CHARS_MAX)
}

/// Tells drawings and icons, which no pin can have, and trackers by their address.
fn cannot_be_taken(url: &str) -> bool {
    let path = path_of(url);
    let path_end = path.split('?').next().unwrap_or_default();
    [".svg", ".svgz", ".ico", ".cur", ".avif", ".mp4", ".webm", ".js", ".css"].iter().any(|end| path_end.ends_with(end))
        || TRACKER_WORDS.iter().any(|word| path.contains(word))
}

/// Returns an address in lower case without its scheme: host, path and query.
fn path_of(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, rest)| rest).to_ascii_lowercase()
}

fn side(tag: &Tag<'_>, name: &str) -> Option<u32> {
    let text = tag.attribute(name)?;
    text.trim().trim_end_matches("px").parse::<f64>().ok().filter(|side| (0.0..100_000.0).contains(side)).map(|side| side as u32)
}

/// Chooses the largest source of an element, and its width if the list of sources tells it.
fn best_source(tag: &Tag<'_>) -> Option<(String, Option<u32>)> {
    let listed = ["data-srcset", "data-lazy-srcset", "srcset"].iter().find_map(|name| largest_of_srcset(&tag.attribute(name)?));
    if let Some((link, Some(width))) = listed {
        return Some((link, Some(width)));
    }
    let usable = |link: &String| !link.trim().is_empty() && !link.trim_start().starts_with("data:");
    let lazy = LAZY.iter().find_map(|name| tag.attribute(name).filter(usable));
    let link = lazy.or(listed.map(|(link, _)| link)).or_else(|| tag.attribute("src").filter(usable))?;
    Some((link, None))
}

/// Returns the source with the greatest width or density, and its width.
fn largest_of_srcset(srcset: &str) -> Option<(String, Option<u32>)> {
    let mut best: Option<(f64, String, Option<u32>)> = None;
    let mut rest = srcset;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (link, after) = rest.split_at(end);
        if link.is_empty() {
            break;
        }
        // An address may hold commas; one that ends with a comma has no descriptor.
        let (link, descriptor) = match link.strip_suffix(',') {
            Some(bare) => {
                rest = after;
                (bare, "")
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                rest = &after[end..];
                (link, after[..end].trim())
            }
        };
        let number = descriptor.get(..descriptor.len().saturating_sub(1)).and_then(|number| number.parse::<f64>().ok());
        let (size, width) = match (number, descriptor.as_bytes().last()) {
            (Some(width), Some(b'w')) if (0.0..100_000.0).contains(&width) => (width, Some(width as u32)),
            (Some(density), Some(b'x')) if density.is_finite() => (density, None),
            _ => (1.0, None),
        };
        if !link.starts_with("data:") && best.as_ref().is_none_or(|(known, _, _)| size > *known) {
            best = Some((size, link.to_owned(), width));
        }
    }
    best.map(|(_, link, width)| (link, width))
}
