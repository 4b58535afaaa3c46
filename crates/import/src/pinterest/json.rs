//! JSON files of the archive and of tools that save what Pinterest's API answers (v3 and v5), wherever the objects are inside the file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Kind, Record};
use crate::limits::JSON_DEPTH_MAX;
use crate::metadata::normal_label;

/// Hands every pin, board and followed account of a file to `take`.
pub fn records(bytes: &[u8], take: &mut dyn FnMut(Record)) -> Result<(), String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    walk(&value, Kind::Other, None, 0, take);
    Ok(())
}

/// Looks at a value. `around` is what the name of the list says about its objects; `board` is the board whose object it lies in.
fn walk(value: &Value, around: Kind, board: Option<&str>, depth: usize, take: &mut dyn FnMut(Record)) {
    if depth > JSON_DEPTH_MAX {
        return;
    }
    match value {
        Value::Array(list) => list.iter().for_each(|value| walk(value, around, board, depth + 1, take)),
        Value::Object(object) => {
            let kind = kind_of(object, around);
            let mut inner_board = board;
            if kind != Kind::Other {
                let mut record = record(object, kind);
                if let (Kind::Pin | Kind::Section, Some(board)) = (kind, board) {
                    record.fields.entry("boardname".into()).or_insert_with(|| board.to_owned());
                }
                if kind == Kind::Board {
                    inner_board = ["name", "title"].iter().find_map(|name| object.get(*name)?.as_str());
                }
                take(record);
            }
            // A pin's own parts are no further pins.
            if kind != Kind::Pin {
                for (name, value) in object {
                    if value.is_array() || value.is_object() {
                        walk(value, kind_of_name(name), inner_board, depth + 1, take);
                    }
                }
            }
        }
        Value::String(name) if around == Kind::FollowedTopic => {
            take(Record { kind: around, link: None, fields: BTreeMap::from([("name".into(), name.clone())]) });
        }
        _ => {}
    }
}

fn kind_of_name(name: &str) -> Kind {
    let name = normal_label(name);
    let has = |word: &str| name.contains(word);
    match () {
        () if has("follow") && has("board") => Kind::FollowedBoard,
        () if has("follow") && (has("topic") || has("interest")) => Kind::FollowedTopic,
        () if has("following") || has("followedusers") || has("followedpeople") => Kind::FollowedPerson,
        () if has("section") => Kind::Section,
        () if has("pins") => Kind::Pin,
        () if has("boards") => Kind::Board,
        () => Kind::Other,
    }
}

fn kind_of(object: &Map<String, Value>, around: Kind) -> Kind {
    let has = |names: &[&str]| names.iter().any(|name| object.contains_key(*name));
    match around {
        Kind::FollowedBoard | Kind::FollowedPerson | Kind::FollowedTopic | Kind::Section => return around,
        _ => {}
    }
    let pictured = has(&["images", "media", "image", "image_url", "imageUrl", "image_signature", "Image"]);
    let placed = has(&["board", "board_id", "board_name", "boardName", "Board Name", "link", "Canonical Link", "canonical_link"]);
    if pictured && (placed || around == Kind::Pin) && !has(&["pin_count", "pinCount"]) {
        return Kind::Pin;
    }
    let is_board = has(&["name", "title"]) && (has(&["pin_count", "pinCount", "privacy", "pins", "sections"]) || around == Kind::Board);
    match around {
        _ if is_board => Kind::Board,
        Kind::Pin if has(&["link", "canonical_link", "url", "title", "note", "description"]) => Kind::Pin,
        _ => Kind::Other,
    }
}

fn record(object: &Map<String, Value>, kind: Kind) -> Record {
    let mut fields = BTreeMap::new();
    for (name, value) in object {
        let label = normal_label(name);
        if let Some(text) = flat(value) {
            fields.insert(label, text);
        }
    }
    if let Some(picture) = ["images", "media", "image"].iter().find_map(|name| largest_picture(object.get(*name)?, 0)) {
        fields.insert("image".into(), picture);
    }
    let address = |name: &str| object.get(name).and_then(Value::as_str);
    let own = ["url", "pin_url", "Pinterest Link", "pinterest_link"].iter().find_map(|name| address(name));
    let id = ["id", "pin_id", "pinId"].iter().find_map(|name| match object.get(*name)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    let own = own.map(|link| if link.starts_with('/') { format!("https://www.pinterest.com{link}") } else { link.to_owned() });
    let link = own.or_else(|| id.filter(|_| kind == Kind::Pin).map(|id| format!("https://www.pinterest.com/pin/{id}/")));
    Record { kind, link, fields }
}

/// Writes a value as one text; what has several parts gives the one that names it.
fn flat(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(list) => list.iter().take(200).filter_map(flat).collect::<Vec<_>>().join(", "),
        Value::Object(inner) => {
            ["name", "title", "full_name", "username", "url"].iter().find_map(|name| inner.get(*name)?.as_str())?.to_owned()
        }
        Value::Null => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Finds the address of the widest picture below a value.
fn largest_picture(value: &Value, depth: usize) -> Option<String> {
    widest(value, depth).map(|(_, url)| url)
}

fn widest(value: &Value, depth: usize) -> Option<(u64, String)> {
    if depth > 6 {
        return None;
    }
    match value {
        Value::String(url) => Some((0, url.clone())),
        Value::Array(list) => list.iter().filter_map(|value| widest(value, depth + 1)).max_by_key(|(width, _)| *width),
        Value::Object(object) => {
            let own = ["url", "src", "image_url"].iter().find_map(|name| object.get(*name)?.as_str());
            match own {
                Some(url) => Some((object.get("width").and_then(Value::as_u64).unwrap_or(0), url.to_owned())),
                None => {
                    let original = object.get("orig").or_else(|| object.get("originals"));
                    let parts = original.map_or_else(|| object.values().collect::<Vec<_>>(), |original| vec![original]);
                    parts
                        .into_iter()
                        .filter(|value| !value.is_string())
                        .filter_map(|value| widest(value, depth + 1))
                        .max_by_key(|(width, _)| *width)
                }
            }
        }
        _ => None,
    }
}
