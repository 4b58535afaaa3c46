//! Words that mean something inside what people write: #tags, @mentions, and the slugs of board names; and bytes in hexadecimal.

use std::collections::BTreeSet;

use crate::limits::{TAG_CHARS_MAX, TAGS_PER_PIN_MAX};

/// A stretch of text and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span<'a> {
    Plain(&'a str),
    /// A tag as written, without '#'.
    Tag(&'a str),
    /// A user name as written, without '@'.
    Mention(&'a str),
    /// An http or https address.
    Link(&'a str),
}

/// Writes bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("four bits are a digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Cuts `text` into plain stretches, #tags, @mentions and links; put together again they are the text.
pub fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let (mut plain_from, mut at) = (0, 0);
    let mut before: Option<char> = None;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().expect("at is inside the text");
        let starts_word = before.is_none_or(|b| !b.is_alphanumeric() && b != '_' && b != '/' && b != '&');
        let found = if starts_word { special(rest, c) } else { None };
        if let Some((span, length)) = found {
            if plain_from < at {
                spans.push(Span::Plain(&text[plain_from..at]));
            }
            spans.push(span);
            at += length;
            plain_from = at;
            before = text[..at].chars().next_back();
        } else {
            at += c.len_utf8();
            before = Some(c);
        }
    }
    if plain_from < text.len() {
        spans.push(Span::Plain(&text[plain_from..]));
    }
    spans
}

fn special(rest: &str, first: char) -> Option<(Span<'_>, usize)> {
    match first {
        '#' => {
            let length = rest[1..].find(|c: char| !is_tag_char(c)).unwrap_or(rest.len() - 1);
            let tag = &rest[1..1 + length];
            let good = !tag.is_empty() && tag.chars().count() <= TAG_CHARS_MAX && !tag.chars().all(|c| c.is_numeric());
            good.then_some((Span::Tag(tag), 1 + length))
        }
        '@' => {
            let length = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len() - 1);
            // A full stop that ends the sentence does not belong to the name.
            let name = rest[1..1 + length].trim_end_matches(['.', '-', '_']);
            (name.len() >= crate::limits::USERNAME_CHARS_MIN).then_some((Span::Mention(name), 1 + name.len()))
        }
        'h' if rest.starts_with("http://") || rest.starts_with("https://") => {
            let length = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(rest.len());
            let link = rest[..length].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'']);
            (link.len() > "https://".len()).then_some((Span::Link(link), link.len()))
        }
        _ => None,
    }
}

fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the tags of a text: lower case, without '#', at most [`TAGS_PER_PIN_MAX`] of them, the first ones.
pub fn tags_of(text: &str) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    for span in spans(text) {
        if let Span::Tag(tag) = span {
            if tags.len() == TAGS_PER_PIN_MAX {
                break;
            }
            tags.insert(tag.to_lowercase());
        }
    }
    tags
}

/// Turns a keyword ("Still life") into a tag ("still_life"); `None` if nothing is left of it.
pub fn tag_of_keyword(keyword: &str) -> Option<String> {
    let tag: String = keyword.trim().trim_start_matches('#').to_lowercase().chars().map(|c| if is_tag_char(c) { c } else { '_' }).collect();
    let tag = tag.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let good = !tag.is_empty() && tag.chars().count() <= TAG_CHARS_MAX && !tag.chars().all(|c| c.is_numeric());
    good.then_some(tag)
}

/// Returns the user names mentioned in a text, in lower case, each once, in order.
pub fn mentions_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for span in spans(text) {
        if let Span::Mention(name) = span {
            let name = name.to_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Returns the last part of a board's address: lower case, words joined by '-'. Never empty, never digits only (that is an id).
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_alphanumeric() || c == '_' {
            slug.push(c);
        } else if (c.is_whitespace() || c == '-') && !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() || slug.bytes().all(|b| b.is_ascii_digit()) || RESERVED_SLUGS.contains(&slug) {
        format!("board-{slug}").trim_end_matches('-').to_owned()
    } else {
        slug.to_owned()
    }
}

/// Words that stand after a user name in the site's own addresses.
pub const RESERVED_SLUGS: &[&str] = &["followers", "following", "pins", "likes", "boards", "created", "saved", "more", "about", "topics"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_written_with_two_digits_each() {
        assert_eq!(hex(&[0, 0x0a, 0x7f, 0xff]), "000a7fff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn finds_tags_mentions_and_links() {
        let text = "By @ada.lovelace. See https://example.org/#top, #StillLife #1 a#b @x (#öl)";
        assert_eq!(
            spans(text).into_iter().filter(|s| !matches!(s, Span::Plain(_))).collect::<Vec<_>>(),
            [Span::Mention("ada.lovelace"), Span::Link("https://example.org/#top"), Span::Tag("StillLife"), Span::Tag("öl")]
        );
        assert_eq!(tags_of(text).into_iter().collect::<Vec<_>>(), ["stilllife", "öl"]);
        assert_eq!(mentions_of("@Ada_1 and @ada_1"), ["ada_1"]);
    }

    #[test]
    fn slugs() {
        for (name, slug) in [
            ("Still Life", "still-life"),
            ("  A -- b ", "a-b"),
            ("2024", "board-2024"),
            ("!!!", "board"),
            ("Pins", "board-pins"),
            ("Öl & Wasser", "öl-wasser"),
        ] {
            assert_eq!(slug_of(name), slug);
        }
    }

    #[test]
    fn keywords_become_tags() {
        assert_eq!(tag_of_keyword(" Still life "), Some("still_life".into()));
        assert_eq!(tag_of_keyword("#a/b"), Some("a_b".into()));
        assert_eq!(tag_of_keyword("123"), None);
        assert_eq!(tag_of_keyword(" - "), None);
    }

    proptest! {
        #[test]
        fn spans_put_together_are_the_text(text: String) {
            let whole: String = spans(&text).iter().map(|s| match s {
                Span::Plain(t) | Span::Link(t) => (*t).to_owned(),
                Span::Tag(t) => format!("#{t}"),
                Span::Mention(t) => format!("@{t}"),
            }).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
