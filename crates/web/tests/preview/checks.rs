//! What must be true of every page, found by reading its tags.

use std::collections::{HashMap, HashSet};

pub struct Tag {
    pub name: String,
    pub attributes: HashMap<String, String>,
}

/// Reads the opening tags of a page that this project wrote: attributes are quoted or bare words.
pub fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric()).expect("a tag ends");
        let mut tag = Tag { name: rest[..name_end].to_ascii_lowercase(), attributes: HashMap::new() };
        rest = &rest[name_end..];
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            if let Some(after) = rest.strip_prefix('/') {
                rest = after;
                continue;
            }
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).expect("an attribute ends");
            let attribute = rest[..end].to_owned();
            assert!(
                !attribute.is_empty() && !attribute.contains('"'),
                "a broken attribute in <{}>: {}",
                tag.name,
                &rest[..rest.len().min(60)]
            );
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(quoted) = rest.strip_prefix("=\"") {
                let close = quoted.find('"').expect("a quoted value ends");
                value = quoted[..close].to_owned();
                rest = &quoted[close + 1..];
            } else {
                assert!(!rest.starts_with('='), "an unquoted value in <{}>", tag.name);
            }
            assert!(tag.attributes.insert(attribute.clone(), value).is_none(), "{attribute} stands twice in <{}>", tag.name);
        }
        tags.push(tag);
    }
    tags
}

/// Checks a page; `name` is its name in messages.
pub fn check_page(name: &str, html: &str) {
    let tags = tags(html);
    assert_eq!(tags.iter().filter(|tag| tag.name == "h1").count(), 1, "{name}: a page has one h1");
    assert_eq!(tags.iter().filter(|tag| tag.name == "main").count(), 1, "{name}: a page has one main");
    check_fragment(name, html);
}

/// Checks what is true of every piece of HTML.
pub fn check_fragment(name: &str, html: &str) {
    let tags = tags(html);
    let has = |tag: &Tag, attribute: &str| tag.attributes.contains_key(attribute);
    let mut ids = HashSet::new();
    for tag in &tags {
        for (attribute, value) in &tag.attributes {
            assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: inline {attribute} in <{}>", tag.name);
            if matches!(attribute.as_str(), "href" | "src" | "action") {
                assert!(!value.trim().is_empty() && !value.starts_with("javascript:"), "{name}: {attribute}=\"{value}\" in <{}>", tag.name);
            }
            if attribute == "id" {
                assert!(ids.insert(value.clone()), "{name}: the id {value} stands twice");
            }
        }
        match tag.name.as_str() {
            "style" => panic!("{name}: an inline stylesheet"),
            "script" => assert!(tag.attributes["src"].starts_with("/static/"), "{name}: a script without a file"),
            "img" => assert!(["width", "height", "alt", "src"].iter().all(|a| has(tag, a)), "{name}: an img without {:?}", tag.attributes),
            "form" if tag.attributes.get("method").is_some_and(|method| method == "post") => {
                assert!(has(tag, "action"), "{name}: a form that posts to itself")
            }
            _ => {}
        }
    }
    check_labels(name, html, &tags, &ids);
    check_balance(name, html);
}

fn check_labels(name: &str, html: &str, tags: &[Tag], ids: &HashSet<String>) {
    let targets: HashSet<&String> = tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.attributes.get("for")).collect();
    for target in &targets {
        assert!(ids.contains(*target), "{name}: a label for {target}, which is not there");
    }
    for attribute in ["aria-labelledby", "aria-describedby", "form"] {
        for value in tags.iter().filter_map(|tag| tag.attributes.get(attribute)) {
            assert!(ids.contains(value), "{name}: {attribute} names {value}, which is not there");
        }
    }
    let fields = tags.iter().filter(|tag| matches!(tag.name.as_str(), "input" | "textarea" | "select"));
    for field in fields
        .filter(|field| field.attributes.get("type").is_none_or(|kind| kind != "hidden") && !field.attributes.contains_key("data-field"))
    {
        let by_id = field.attributes.get("id").is_some_and(|id| targets.contains(id));
        let named = field.attributes.get("name").is_some_and(|field_name| {
            // A field inside its label: the nearest tag before it that is a label still open.
            html.match_indices(&format!("name=\"{field_name}\"")).any(|(at, _)| {
                let before = &html[..at];
                before.rfind("<label").is_some_and(|open| !before[open..].contains("</label"))
            })
        });
        assert!(by_id || named, "{name}: the field {:?} has no label", field.attributes);
    }
}

const VOID: [&str; 11] = ["meta", "link", "img", "input", "br", "hr", "rect", "use", "polyline", "path", "circle"];

/// Checks that tags close in the order in which they open.
fn check_balance(name: &str, html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let closing = rest.starts_with('/');
        let text = rest.trim_start_matches('/');
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let tag = &text[..text.find(|c: char| !c.is_ascii_alphanumeric()).expect("a tag ends")];
        if VOID.contains(&tag) {
            continue;
        }
        if closing {
            let last = open.pop();
            assert_eq!(
                last,
                Some(tag),
                "{name}: </{tag}> closes {last:?} near {}",
                &html[html.len() - rest.len()..].chars().take(80).collect::<String>()
            );
        } else {
            open.push(tag);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} stay open");
}
