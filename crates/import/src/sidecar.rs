//! Sidecar JSON as gallery-dl and its like write it: one object per picture, its fields named as the site names them.
//!
//! No two sites agree, so each field is looked for under all names in use, the most telling first.

use serde_json::{Map, Value};

use crate::date;
use crate::item::Author;
use crate::limits::JSON_DEPTH_MAX;
use crate::markup::{looks_like_html, plain_text};
use crate::metadata::{Metadata, split_keywords};
use crate::text::{http_link, is_picture_link};

const TITLE: &[&str] = &["title", "grid_title", "headline", "subject", "seo_title", "name"];
const DESCRIPTION: &[&str] = &[
    "description",
    "content",
    "caption",
    "text",
    "body",
    "details",
    "note",
    "summary",
    "selftext",
    "closeup_unified_description",
    "message",
];
const ALT_TEXT: &[&str] = &["alt_text", "alt", "accessibility_caption", "seo_alt_text", "auto_alt_text"];
/// Addresses of the page come before those of the file.
const LINK: &[&str] = &[
    "link",
    "post_url",
    "page_url",
    "webpage_url",
    "permalink",
    "html_url",
    "source_url",
    "source",
    "sources",
    "original_url",
    "tracked_link",
    "url",
    "file_url",
];
const KEYWORDS: &[&str] = &["tags", "keywords", "hashtags", "tag_string", "tags_string", "labels", "topics", "categories"];
const AUTHOR: &[&str] = &[
    "author",
    "artist",
    "user",
    "creator",
    "native_creator",
    "pinner",
    "uploader",
    "photographer",
    "owner",
    "account",
    "tag_string_artist",
    "author_name",
    "username",
    "user_name",
    "blog_name",
    "channel",
    "by",
];
const AT: &[&str] = &[
    "date",
    "created_at",
    "created_utc",
    "createdAt",
    "created",
    "published_at",
    "published",
    "publish_date",
    "date_created",
    "datetime",
    "photoTakenTime",
    "taken_at",
    "date_taken",
    "upload_date",
    "uploaded_at",
    "posted",
    "timestamp",
    "creationTime",
];
const LICENSE: &[&str] = &["license_url", "license", "licence", "rights", "copyright"];
/// Names of a person inside an author object: what is shown, then what is typed.
const SHOWN_NAME: &[&str] =
    &["nick", "display_name", "displayname", "displayName", "full_name", "fullname", "fullName", "real_name", "realname", "name", "title"];
const TYPED_NAME: &[&str] = &["username", "user_name", "screen_name", "account", "acct", "handle", "login", "unique_name", "slug"];

/// Reads the sidecar of the picture `file_name`.
pub fn read(json: &[u8], file_name: &str) -> Result<Metadata, String> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    match serde_json::from_slice::<Value>(json) {
        Ok(Value::Object(object)) => Ok(from_object(&object, file_name)),
        Ok(Value::Array(list)) => match list.iter().find_map(Value::as_object) {
            Some(object) => Ok(from_object(object, file_name)),
            None => Err("its JSON is a list without an object".into()),
        },
        Ok(_) => Err("its JSON is not an object".into()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// Reads the fields of one object.
pub fn from_object(object: &Map<String, Value>, file_name: &str) -> Metadata {
    let title = first(object, TITLE, text_of).filter(|title| title != file_name);
    let mut description = first(object, DESCRIPTION, text_of);
    if title.is_some() && description == title {
        description = None;
    }
    Metadata {
        title,
        description,
        alt_text: first(object, ALT_TEXT, text_of),
        link: link_of(object),
        keywords: first(object, KEYWORDS, keywords_of).unwrap_or_default(),
        author: first(object, AUTHOR, |value| author_of(value, 0)),
        at: first(object, AT, |value| date_of(value, 0)),
        license: first(object, LICENSE, license_of),
    }
}

/// Returns the first of the named fields from which something can be read.
pub fn first<T>(object: &Map<String, Value>, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    names.iter().find_map(|name| object.get(*name).and_then(&read))
}

/// Reads a text, which may be HTML, or the text inside an object (`{"content": …}`, `{"_content": …}`).
pub fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(object) => {
            ["_content", "content", "text", "rendered", "value", "en"].iter().find_map(|name| object.get(*name)?.as_str())?
        }
        _ => return None,
    };
    let text = if looks_like_html(text) { plain_text(text) } else { crate::markup::unescape(text).into_owned() };
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn link_of(object: &Map<String, Value>) -> Option<String> {
    let mut picture_link = None;
    for name in LINK {
        let link = object.get(*name).and_then(|value| match value {
            Value::String(text) => text.split_whitespace().find_map(http_link),
            Value::Array(list) => list.iter().filter_map(Value::as_str).find_map(http_link),
            Value::Object(inner) => ["url", "href"].iter().find_map(|name| inner.get(*name)?.as_str()).and_then(http_link),
            _ => None,
        });
        match link {
            Some(link) if is_picture_link(&link) => picture_link = picture_link.or(Some(link)),
            Some(link) => return Some(link),
            None => {}
        }
    }
    picture_link
}

fn keywords_of(value: &Value) -> Option<Vec<String>> {
    let mut keywords = Vec::new();
    collect_keywords(value, 0, &mut keywords);
    (!keywords.is_empty()).then_some(keywords)
}

fn collect_keywords(value: &Value, depth: usize, keywords: &mut Vec<String>) {
    if depth > JSON_DEPTH_MAX || keywords.len() > 4 * crate::limits::KEYWORDS_MAX {
        return;
    }
    match value {
        Value::String(text) if depth == 0 => keywords.extend(split_keywords(text, true)),
        Value::String(text) => keywords.push(text.trim().to_owned()),
        Value::Array(list) => list.iter().for_each(|value| collect_keywords(value, depth + 1, keywords)),
        Value::Object(object) => match first(object, &["translated_name", "name", "tag", "title", "text", "label"], text_of) {
            Some(name) => keywords.push(name),
            // Lists by kind: {"artist": […], "general": […]}.
            None => object.values().filter(|value| value.is_array()).for_each(|value| collect_keywords(value, depth + 1, keywords)),
        },
        _ => {}
    }
}

fn author_of(value: &Value, depth: usize) -> Option<Author> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            // A bare name without spaces may be what the person types to sign in.
            let hint = (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned());
            (!text.is_empty()).then(|| Author { name: text.to_owned(), username_hint: hint })
        }
        Value::Object(object) => {
            let shown = first(object, SHOWN_NAME, text_of);
            let typed = first(object, TYPED_NAME, text_of);
            // Where "nick" is shown, "name" is what is typed.
            let name = object.get("name").and_then(text_of).filter(|name| shown.as_ref().is_some_and(|shown| shown != name));
            let hint = typed.or(name).filter(|hint| !hint.contains(char::is_whitespace));
            Some(Author { name: shown.or_else(|| hint.clone())?, username_hint: hint })
        }
        Value::Array(list) if depth < 2 => list.iter().find_map(|value| author_of(value, depth + 1)),
        _ => None,
    }
}

pub fn date_of(value: &Value, depth: usize) -> Option<model::Timestamp> {
    match value {
        Value::String(text) => date::parse(text),
        Value::Number(number) => date::from_epoch(number.as_f64()?),
        Value::Object(object) if depth < 2 => {
            first(object, &["timestamp", "$date", "date", "value", "formatted"], |value| date_of(value, depth + 1))
        }
        _ => None,
    }
}

fn license_of(value: &Value) -> Option<String> {
    match value {
        Value::Object(object) => first(object, &["url", "name", "title"], text_of),
        _ => text_of(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(json: &str) -> Metadata {
        read(json.as_bytes(), "a.jpg").unwrap()
    }

    #[test]
    fn reads_a_microblog() {
        let metadata = sidecar(
            r#"{"category":"twitter","content":"A red &amp; a blue one","author":{"id":1,"name":"jack","nick":"Jack D"},
                "date":"2020-05-01 12:00:00","hashtags":["red","blue"],"tweet_id":20}"#,
        );
        assert_eq!(metadata.description.as_deref(), Some("A red & a blue one"));
        assert_eq!(metadata.author, Some(Author { name: "Jack D".into(), username_hint: Some("jack".into()) }));
        assert_eq!(metadata.keywords, ["red", "blue"]);
        assert_eq!(metadata.at.unwrap().0, 1_588_334_400_000);
    }

    #[test]
    fn reads_an_art_site() {
        let metadata = sidecar(
            r#"{"title":"Sea","caption":"<p>One<br/>two</p>","user":{"name":"Ann B","account":"annb"},
                "tags":[{"name":"海","translated_name":"sea"},"waves"],"url":"https://img.example.org/1.png",
                "source":"https://example.org/art/1","create_date":"x","created_at":1588334400}"#,
        );
        assert_eq!(metadata.description.as_deref(), Some("One\ntwo"));
        assert_eq!(metadata.author, Some(Author { name: "Ann B".into(), username_hint: Some("annb".into()) }));
        assert_eq!(metadata.keywords, ["sea", "waves"]);
        assert_eq!(metadata.link.as_deref(), Some("https://example.org/art/1"));
        assert_eq!(metadata.at.unwrap().0, 1_588_334_400_000);
    }

    #[test]
    fn reads_boorus_photo_sites_and_plain_ones() {
        let booru = sidecar(r#"{"tag_string":"red_hair solo","tag_string_artist":"some_artist","source":""}"#);
        assert_eq!((booru.keywords, booru.author.unwrap().name), (vec!["red_hair".into(), "solo".into()], "some_artist".into()));
        let kinds = sidecar(r#"{"tags":{"artist":["x"],"general":["y","z"]},"sources":["not a link","https://example.org/p"]}"#);
        assert_eq!((kinds.keywords.len(), kinds.link.as_deref()), (3, Some("https://example.org/p")));
        let photo = sidecar(r#"{"title":{"_content":"Hill"},"photoTakenTime":{"timestamp":"1588334400"},"tags":"hill, green grass"}"#);
        assert_eq!((photo.title.as_deref(), photo.at.map(|t| t.0)), (Some("Hill"), Some(1_588_334_400_000)));
        assert_eq!(photo.keywords, ["hill", "green grass"]);
        assert_eq!(sidecar(r#"{"title":"a.jpg"}"#).title, None);
        assert_eq!(sidecar(r#"{"author":["","Z z"]}"#).author.unwrap().username_hint, None);
    }

    #[test]
    fn names_what_is_no_sidecar() {
        assert!(read(b"{", "a").unwrap_err().contains("not JSON"));
        assert!(read(b"7", "a").is_err());
        assert!(read(b"[1]", "a").is_err());
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes(), "a").is_err());
        assert_eq!(read(b"\xef\xbb\xbf[{\"title\":\"T\"}]", "a").unwrap().title.as_deref(), Some("T"));
    }
}
