//! What a web page says about itself: its title and description, and the pictures a person may want to pin, the best first.
//!
//! ```text
//! og:image ▸ twitter:image, link rel=image_src ▸ JSON-LD ▸ large <img> ▸ the others      each address once, at most 60
//! ```
//!
//! The page is scanned once, in linear time, whatever it holds: it comes from anywhere.

mod pictures;

use serde_json::Value;
use url::Url;

use crate::limits::{JSON_DEPTH_MAX, JSON_LD_BYTES_MAX, KEYWORD_CHARS_MAX, KEYWORDS_MAX, PAGE_BYTES_MAX};
use crate::markup::{Dialect, Scanner, Tag, Token, unescape};
use crate::metadata::split_keywords;
use crate::text::{fit, one_line};
use model::limits::{NAME_CHARS_MAX, PIN_DESCRIPTION_CHARS_MAX, PIN_TITLE_CHARS_MAX};
use pictures::{Pictures, Rank};

/// What a page says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Fits a pin's title.
    pub title: Option<String>,
    /// Fits a pin's description.
    pub description: Option<String>,
    /// The name of the site; its host when it names none.
    pub site_name: Option<String>,
    /// The address that the page wants to be known by.
    pub canonical: Option<String>,
    pub author: Option<String>,
    /// The best first, each once, absolute http and https addresses.
    pub pictures: Vec<PagePicture>,
    pub tags: Vec<String>,
}

/// A picture of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct PagePicture {
    pub url: String,
    /// Pixels, as the page says.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub alt: Option<String>,
}

/// Reads a page that came from `base`.
pub fn read_page(html: &str, base: &Url) -> Page {
    let html = &html[..html.floor_char_boundary(PAGE_BYTES_MAX)];
    let mut reader = PageReader { base: base.clone(), based: false, found: Found::default(), pictures: Pictures::default() };
    let mut text_of = Holder::None;
    for token in Scanner::new(html, Dialect::Html) {
        match token {
            Token::Open(tag) => text_of = reader.tag(&tag),
            Token::Text(text) if text_of == Holder::Title => {
                reader.found.html_title.get_or_insert_with(|| unescape(text).into_owned());
                text_of = Holder::None;
            }
            Token::Verbatim(text) if text_of == Holder::JsonLd => {
                reader.json_ld(text);
                text_of = Holder::None;
            }
            Token::Close(_) => text_of = Holder::None,
            Token::Text(_) | Token::Verbatim(_) => {}
        }
    }
    reader.finish(base)
}

/// The element whose text is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Holder {
    None,
    Title,
    JsonLd,
}

/// Texts by where they were found; the most telling is taken in the end.
#[derive(Default)]
struct Found {
    og_title: Option<String>,
    twitter_title: Option<String>,
    json_title: Option<String>,
    html_title: Option<String>,
    og_description: Option<String>,
    twitter_description: Option<String>,
    json_description: Option<String>,
    html_description: Option<String>,
    site_name: Option<String>,
    canonical: Option<String>,
    og_url: Option<String>,
    author: Option<String>,
    tags: Vec<String>,
}

struct PageReader {
    base: Url,
    /// A `<base>` was met; only the first counts.
    based: bool,
    found: Found,
    pictures: Pictures,
}

impl PageReader {
    fn tag(&mut self, tag: &Tag<'_>) -> Holder {
        if tag.is("meta") {
            self.meta(tag);
        } else if tag.is("img") || tag.is("source") || tag.is("video") || tag.is("a") || tag.is("amp-img") {
            self.pictures.element(tag, &self.base);
        } else if tag.is("link") {
            self.link(tag);
        } else if tag.is("base") && !self.based {
            if let Some(base) = tag.attribute("href").and_then(|href| self.base.join(href.trim()).ok()) {
                self.based = true;
                self.base = base;
            }
        } else if tag.is("title") {
            return Holder::Title;
        } else if tag.is("script") && tag.attribute("type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/ld+json")) {
            return Holder::JsonLd;
        }
        Holder::None
    }

    fn meta(&mut self, tag: &Tag<'_>) {
        let name = ["property", "name", "itemprop"].iter().find_map(|name| tag.attribute(name));
        let (Some(name), Some(content)) = (name, tag.attribute("content")) else { return };
        if content.trim().is_empty() {
            return;
        }
        let found = &mut self.found;
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "og:title" => &mut found.og_title,
            "twitter:title" => &mut found.twitter_title,
            "og:description" => &mut found.og_description,
            "twitter:description" => &mut found.twitter_description,
            "description" | "dc.description" => &mut found.html_description,
            "og:site_name" | "application-name" => &mut found.site_name,
            "og:url" => &mut found.og_url,
            "author" | "article:author" | "dc.creator" | "parsely-author" => &mut found.author,
            "keywords" | "news_keywords" => return found.tags.extend(split_keywords(&content, false).into_iter().take(KEYWORDS_MAX)),
            "article:tag" | "og:article:tag" | "video:tag" if found.tags.len() < KEYWORDS_MAX => return found.tags.push(content),
            "og:image" | "og:image:url" => return self.pictures.add(&content, &self.base, Rank::OpenGraph),
            // The same picture by its safer address: it takes the place of the one before.
            "og:image:secure_url" => return self.pictures.replace_last(&content, &self.base),
            "og:image:width" => return self.pictures.describe_last(|picture| picture.width = content.trim().parse().ok()),
            "og:image:height" => return self.pictures.describe_last(|picture| picture.height = content.trim().parse().ok()),
            "og:image:alt" | "twitter:image:alt" => {
                return self.pictures.describe_last(|picture| picture.alt = picture.alt.take().or_else(|| pictures::alt_text(&content)));
            }
            "twitter:image" | "twitter:image:src" | "thumbnail" | "image" | "pin:media" | "sailthru.image.full" => {
                return self.pictures.add(&content, &self.base, Rank::Card);
            }
            _ => return,
        };
        slot.get_or_insert(content);
    }

    fn link(&mut self, tag: &Tag<'_>) {
        let (Some(rel), Some(href)) = (tag.attribute("rel"), tag.attribute("href")) else { return };
        for rel in rel.to_ascii_lowercase().split_whitespace() {
            match rel {
                "canonical" if self.found.canonical.is_none() => self.found.canonical = absolute(&href, &self.base),
                "image_src" => self.pictures.add(&href, &self.base, Rank::Card),
                "preload" if tag.attribute("as").is_some_and(|kind| kind.eq_ignore_ascii_case("image")) => {
                    self.pictures.add(&href, &self.base, Rank::Unsized);
                }
                _ => {}
            }
        }
    }

    fn json_ld(&mut self, text: &str) {
        if text.len() > JSON_LD_BYTES_MAX {
            return;
        }
        let text = text.trim().trim_start_matches("<!--").trim_end_matches("-->");
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            self.json_node(&value, 0);
        }
    }

    fn json_node(&mut self, value: &Value, depth: usize) {
        if depth > JSON_DEPTH_MAX {
            return;
        }
        match value {
            Value::Array(list) => list.iter().for_each(|value| self.json_node(value, depth + 1)),
            Value::Object(object) => {
                let text =
                    |names: &[&str]| names.iter().find_map(|name| object.get(*name)?.as_str()).map(|text| unescape(text).into_owned());
                let about_site = object.get("@type").and_then(Value::as_str).is_some_and(|kind| {
                    matches!(kind, "Organization" | "WebSite" | "Person" | "BreadcrumbList" | "ListItem" | "ImageObject" | "SearchAction")
                });
                if !about_site {
                    let found = &mut self.found;
                    found.json_title = found.json_title.take().or_else(|| text(&["headline", "name"]));
                    found.json_description = found.json_description.take().or_else(|| text(&["description"]));
                    if found.author.is_none() {
                        found.author = object.get("author").and_then(name_of);
                    }
                    if found.tags.is_empty() {
                        found.tags = object.get("keywords").map(words_of).unwrap_or_default();
                    }
                    for name in ["image", "primaryImageOfPage", "thumbnailUrl", "photo"] {
                        if let Some(value) = object.get(name) {
                            self.json_picture(value, depth + 1);
                        }
                    }
                }
                for name in ["@graph", "mainEntity", "mainEntityOfPage", "itemListElement", "item"] {
                    if let Some(value) = object.get(name) {
                        self.json_node(value, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn json_picture(&mut self, value: &Value, depth: usize) {
        if depth > JSON_DEPTH_MAX {
            return;
        }
        match value {
            Value::String(url) => self.pictures.add(url, &self.base, Rank::JsonLd),
            Value::Array(list) => list.iter().for_each(|value| self.json_picture(value, depth + 1)),
            Value::Object(object) => {
                let Some(url) = ["contentUrl", "url", "@id"].iter().find_map(|name| object.get(*name)?.as_str()) else { return };
                self.pictures.add(url, &self.base, Rank::JsonLd);
                let side = |name: &str| match object.get(name)? {
                    Value::Number(number) => number.as_u64().and_then(|side| u32::try_from(side).ok()),
                    Value::String(text) => text.trim_end_matches("px").trim().parse().ok(),
                    Value::Object(inner) => inner.get("value")?.as_u64().and_then(|side| u32::try_from(side).ok()),
                    _ => None,
                };
                let caption = object.get("caption").and_then(Value::as_str).and_then(pictures::alt_text);
                self.pictures.describe_last(|picture| {
                    picture.width = picture.width.or(side("width"));
                    picture.height = picture.height.or(side("height"));
                    picture.alt = picture.alt.take().or(caption);
                });
            }
            _ => {}
        }
    }

    fn finish(self, base: &Url) -> Page {
        let found = self.found;
        let pick = |texts: [Option<String>; 4], chars_max: usize, lines: bool| {
            texts.into_iter().flatten().find_map(|text| fit(&if lines { text } else { one_line(&text) }, chars_max))
        };
        let mut seen = std::collections::BTreeSet::new();
        let tags = found.tags.iter().map(|tag| one_line(tag.trim().trim_start_matches('#')));
        let tags = tags.filter(|tag| !tag.is_empty() && tag.chars().count() <= KEYWORD_CHARS_MAX && seen.insert(tag.to_lowercase()));
        Page {
            tags: tags.take(KEYWORDS_MAX).collect(),
            title: pick([found.og_title, found.twitter_title, found.html_title, found.json_title], PIN_TITLE_CHARS_MAX, false),
            description: pick(
                [found.og_description, found.twitter_description, found.html_description, found.json_description],
                PIN_DESCRIPTION_CHARS_MAX,
                true,
            ),
            site_name: found
                .site_name
                .and_then(|name| fit(&one_line(&name), NAME_CHARS_MAX))
                .or_else(|| base.host_str().map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())),
            canonical: found.canonical.or_else(|| found.og_url.and_then(|url| absolute(&url, base))),
            // Some sites give the address of a profile here.
            author: found.author.and_then(|name| fit(&one_line(&name), NAME_CHARS_MAX)).filter(|name| !name.contains("://")),
            pictures: self.pictures.best(),
        }
    }
}

fn name_of(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        Value::Object(object) => object.get("name")?.as_str().map(str::to_owned),
        Value::Array(list) => name_of(list.first().filter(|value| !value.is_array())?),
        _ => None,
    }
}

fn words_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => split_keywords(text, false),
        Value::Array(list) => list.iter().filter_map(Value::as_str).take(KEYWORDS_MAX).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Makes an address absolute; `None` unless it is http or https and of usual length.
fn absolute(link: &str, base: &Url) -> Option<String> {
    let url = base.join(link.trim()).ok()?;
    crate::text::http_link(url.as_str())
}

#[cfg(test)]
mod tests;
