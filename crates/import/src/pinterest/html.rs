//! HTML pages of the archive: headings, and under each records of labelled lines.
//!
//! ```text
//! <h1>Pins</h1>                                        what follows is about pins
//! <a href="https://www.pinterest.com/pin/1/">…</a>     an address alone on a line starts a record
//! <br>Title: No data,                                  "Label: value"; the comma belongs to the page, not to the value
//! <br>Details: some text,
//! more of it,                                          lines without a known label continue the value
//! <br>Canonical Link: <a href="…">…</a>,
//! <br><br>
//! ```
//!
//! Tables (`<td>Label</td><td>value</td>`) and definition lists read the same way.

use std::collections::BTreeMap;

use super::{Kind, Record, is_pinterest};
use crate::markup::{Dialect, Scanner, Tag, Token, unescape};
use crate::metadata::normal_label;

/// Labels of the archive. Only these start a field: a description may hold any "word: text" itself.
const LABELS: &[&str] = &[
    "title",
    "details",
    "description",
    "note",
    "notes",
    "image",
    "imageurl",
    "imagesignature",
    "isnative",
    "boardid",
    "boardname",
    "board",
    "isvideo",
    "ipaddress",
    "username",
    "alttext",
    "canonicallink",
    "storypinmedia",
    "video",
    "createdat",
    "alive",
    "isarepin",
    "private",
    "sectionname",
    "section",
    "boardsection",
    "name",
    "fullname",
    "about",
    "privacy",
    "visibility",
    "secret",
    "issecret",
    "isprivate",
    "category",
    "collaborators",
    "sections",
    "link",
    "url",
    "sourceurl",
    "keywords",
    "tags",
    "hashtags",
    "topic",
    "interest",
    "followedat",
    "lastmodified",
    "updatedat",
    "date",
    "id",
    "pinid",
    "author",
    "creator",
    "pinner",
];
/// Bytes of one value; a description on Pinterest has at most 800 characters.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// A line of the page as a reader sees it.
#[derive(Default)]
struct Line {
    text: String,
    /// The first address linked in it.
    href: Option<String>,
    /// Where the text of a heading, or that of the first cell of a row, ends.
    label_end: Option<usize>,
    heading: bool,
}

/// Hands every record of a page to `take`.
pub fn records(html: &str, take: &mut dyn FnMut(Record)) {
    let mut builder = Builder { heading: Kind::Other, record: None, last: None, take };
    let mut line = Line::default();
    for token in Scanner::new(html, Dialect::Html) {
        match token {
            Token::Text(text) => {
                // Line breaks in the source are blanks; only <br> and blocks end a line.
                if line.text.len() < VALUE_BYTES_MAX {
                    line.text.push_str(&unescape(text));
                }
            }
            Token::Open(tag) if is_break(&tag) => {
                builder.line(std::mem::take(&mut line));
                line.heading = is_heading(tag.name);
            }
            Token::Open(tag) if tag.is("a") && line.href.is_none() => line.href = tag.attribute("href"),
            Token::Open(tag) if tag.is("img") && line.href.is_none() => {
                line.href = tag.attribute("src").filter(|src| !src.starts_with("data:"))
            }
            Token::Close(name) if ["td", "th", "dt"].iter().any(|cell| name.eq_ignore_ascii_case(cell)) => {
                let end = line.text.len();
                line.label_end.get_or_insert(end);
                line.text.push(' ');
            }
            Token::Close(name)
                if is_heading(name) || ["tr", "li", "p", "div", "dd"].iter().any(|block| name.eq_ignore_ascii_case(block)) =>
            {
                builder.line(std::mem::take(&mut line));
            }
            Token::Open(_) | Token::Close(_) | Token::Verbatim(_) => {}
        }
    }
    builder.line(line);
    builder.finish();
}

fn is_break(tag: &Tag<'_>) -> bool {
    is_heading(tag.name) || ["br", "p", "div", "li", "tr", "dt", "table", "ul", "hr", "body"].iter().any(|name| tag.is(name))
}

fn is_heading(name: &str) -> bool {
    ["h1", "h2", "h3"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

struct Builder<'a> {
    /// What the current heading announces.
    heading: Kind,
    record: Option<Record>,
    /// The label of the last field, to which further lines belong.
    last: Option<String>,
    take: &'a mut dyn FnMut(Record),
}

impl Builder<'_> {
    fn line(&mut self, line: Line) {
        let text = line.text.trim();
        if text.is_empty() && line.href.is_none() {
            return;
        }
        if line.heading {
            self.finish();
            self.heading = kind_of_heading(text);
            return;
        }
        if let Some((label, value)) = labelled(&line, text) {
            return self.field(label, value, line.href.as_deref());
        }
        // An address alone on its line starts a record; in the middle of a text it is part of it.
        let href = line.href.filter(|href| is_pinterest(href) || self.record.is_none());
        let alone = href.is_some() && (text.contains("://") || text.split_whitespace().count() <= 12);
        if let (true, Some(href)) = (alone, href) {
            self.finish();
            let mut fields = BTreeMap::new();
            if !text.is_empty() && !text.contains("://") {
                fields.insert("name".to_owned(), text.to_owned());
            }
            self.record = Some(Record { kind: self.kind_of_link(&href), link: Some(href), fields });
            return;
        }
        if let (Some(record), Some(last)) = (&mut self.record, &self.last)
            && let Some(value) = record.fields.get_mut(last)
            && value.len() < VALUE_BYTES_MAX
        {
            value.push('\n');
            value.push_str(text);
        } else if self.heading == Kind::FollowedTopic {
            let fields = BTreeMap::from([("name".to_owned(), text.trim_end_matches(',').to_owned())]);
            (self.take)(Record { kind: Kind::FollowedTopic, link: None, fields });
        }
    }

    fn field(&mut self, label: String, value: String, href: Option<&str>) {
        // Records without an address follow each other without a mark: a label seen before starts the next.
        if self.record.as_ref().is_some_and(|record| record.link.is_none() && record.fields.contains_key(&label)) {
            self.finish();
        }
        let heading = self.heading;
        let record = self.record.get_or_insert_with(|| Record { kind: heading, link: None, fields: BTreeMap::new() });
        let value = match href {
            Some(href) if label.ends_with("link") || label.ends_with("url") || label == "image" => href.to_owned(),
            _ => value,
        };
        if label == "url" && is_pinterest(&value) {
            record.link.get_or_insert(value);
            return;
        }
        self.last = Some(label.clone());
        // The first value counts: a description can't overwrite what the page said before.
        record.fields.entry(label).or_insert(value);
    }

    fn kind_of_link(&self, href: &str) -> Kind {
        if is_pinterest(href) && href.contains("/pin/") {
            return if matches!(self.heading, Kind::Other | Kind::Pin) { Kind::Pin } else { self.heading };
        }
        self.heading
    }

    fn finish(&mut self) {
        self.last = None;
        let Some(mut record) = self.record.take() else { return };
        for value in record.fields.values_mut() {
            *value = value.trim().trim_end_matches(',').trim().to_owned();
        }
        record.fields.retain(|_, value| !matches!(value.to_ascii_lowercase().as_str(), "" | "no data" | "none" | "null" | "n/a"));
        let has = |label: &str| record.fields.contains_key(label);
        if record.kind == Kind::Other && (has("image") || has("canonicallink")) && (has("boardname") || has("alive") || has("details")) {
            record.kind = Kind::Pin;
        }
        (self.take)(record);
    }
}

/// Cuts a line into a known label and its value.
fn labelled(line: &Line, text: &str) -> Option<(String, String)> {
    let (label, value) = match line.label_end {
        Some(end) => {
            let (label, value) = line.text.split_at(end);
            (label.trim().trim_end_matches(':'), value)
        }
        None => text.split_once(':')?,
    };
    let label = normal_label(label);
    LABELS.contains(&label.as_str()).then(|| (label, value.trim().to_owned()))
}

fn kind_of_heading(text: &str) -> Kind {
    let text = text.to_lowercase();
    let has = |word: &str| text.contains(word);
    if has("follow") && !has("followers") {
        return match () {
            () if has("board") => Kind::FollowedBoard,
            () if has("interest") || has("topic") => Kind::FollowedTopic,
            () => Kind::FollowedPerson,
        };
    }
    if has("section") {
        return Kind::Section;
    }
    let last = text.split_whitespace().last().unwrap_or_default().to_owned();
    match last.trim_end_matches(':') {
        "pins" | "pin" => Kind::Pin,
        "boards" | "board" => Kind::Board,
        _ => Kind::Other,
    }
}
