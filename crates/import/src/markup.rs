//! A scanner of markup: HTML as pages and exports have it, and XML that a parser refuses.
//!
//! It gives tags and texts in order and builds no tree, so that its time and memory grow linearly with the input whatever the nesting,
//! and a missing or misplaced end tag changes nothing for what follows. Attributes are only read when they are asked for.
//!
//! ```text
//! <a href="x">A &amp; B</a>  ─▶  Open(a)  Text("A &amp; B")  Close("a")
//! ```

use std::borrow::Cow;

use crate::entities::named;
use crate::limits::TAG_ATTRIBUTES_MAX;
use crate::text::windows_1252;

/// One piece of markup. Texts are as written: see [`unescape`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    Open(Tag<'a>),
    Close(&'a str),
    Text(&'a str),
    /// Text in which '&' is only itself.
    Verbatim(&'a str),
}

/// A start tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tag<'a> {
    /// The name as written, with its prefix.
    pub name: &'a str,
    /// Everything between the name and '>'.
    inside: &'a str,
    /// How many attributes it has.
    pub attributes: usize,
    pub self_closing: bool,
}

/// What the scanner reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Scripts, styles and titles hold text only.
    Html,
    /// Every element may hold elements.
    Xml,
}

/// Scans a text into tokens.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    /// The element whose content is text up to its end tag.
    raw: Option<&'a str>,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str, dialect: Dialect) -> Scanner<'a> {
        Scanner { text, at: 0, dialect, raw: None }
    }

    fn raw_text(&mut self, name: &'a str) -> Option<Token<'a>> {
        let rest = &self.text[self.at..];
        let end = find_end_tag(rest, name).unwrap_or(rest.len());
        self.at += end;
        if end == 0 {
            return None;
        }
        let escapable = ["title", "textarea"].iter().any(|known| name.eq_ignore_ascii_case(known));
        Some(if escapable { Token::Text(&rest[..end]) } else { Token::Verbatim(&rest[..end]) })
    }

    /// Reads what starts with '<'; `None` when it is no markup but text.
    fn tag(&mut self) -> Option<Option<Token<'a>>> {
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let skip = |until: &str, from: usize| rest[from..].find(until).map_or(rest.len(), |found| from + found + until.len());
        match bytes.get(1)? {
            b'!' if rest.starts_with("<!--") => self.at += skip("-->", 4),
            b'!' if rest.starts_with("<![CDATA[") => {
                let end = rest[9..].find("]]>").map_or(rest.len(), |found| 9 + found);
                self.at += (end + 3).min(rest.len());
                return Some(Some(Token::Verbatim(&rest[9..end])));
            }
            b'!' | b'?' => self.at += skip(">", 1),
            b'/' if bytes.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                let end = skip(">", 2);
                self.at += end;
                let name_end = rest[2..end].find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).map_or(end, |found| 2 + found);
                return Some(Some(Token::Close(&rest[2..name_end])));
            }
            first if first.is_ascii_alphabetic() || *first == b'_' => return Some(self.open_tag(rest)),
            _ => return None,
        }
        Some(None)
    }

    fn open_tag(&mut self, rest: &'a str) -> Option<Token<'a>> {
        let name_end = rest.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).unwrap_or(rest.len());
        let name = &rest[1..name_end];
        let mut attributes = Attributes { text: &rest[name_end..], at: 0 };
        let mut count = 0;
        while attributes.next().is_some() {
            count += 1;
        }
        let inside_end = name_end + attributes.at;
        // A tag that the text's end cuts off is no tag.
        if inside_end >= rest.len() {
            self.at = self.text.len();
            return None;
        }
        self.at += inside_end + 1;
        let inside = &rest[name_end..inside_end];
        let self_closing = inside.ends_with('/');
        let holds_text = ["script", "style", "title", "textarea", "xmp"].iter().any(|known| name.eq_ignore_ascii_case(known));
        if self.dialect == Dialect::Html && holds_text {
            self.raw = Some(name);
        }
        Some(Token::Open(Tag { name, inside, attributes: count, self_closing }))
    }
}

fn find_end_tag(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find("</") {
        let at = from + found;
        let after = text.as_bytes().get(at + 2..at + 2 + name.len());
        if after.is_some_and(|bytes| bytes.eq_ignore_ascii_case(name.as_bytes())) {
            return Some(at);
        }
        from = at + 2;
    }
    None
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.raw.take()
            && let Some(token) = self.raw_text(name)
        {
            return Some(token);
        }
        while self.at < self.text.len() {
            let start = self.at;
            if self.text.as_bytes()[start] == b'<' {
                match self.tag() {
                    Some(Some(token)) => return Some(token),
                    Some(None) => continue,
                    None => self.at += 1,
                }
            }
            // A '<' that starts nothing belongs to the text.
            let end = self.text[self.at..].find('<').map_or(self.text.len(), |found| self.at + found);
            self.at = end;
            return Some(Token::Text(&self.text[start..end]));
        }
        None
    }
}

impl Tag<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns an attribute's value, unescaped; empty when it has none.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let found = Attributes { text: self.inside, at: 0 }.take(TAG_ATTRIBUTES_MAX).find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| unescape(value).into_owned())
    }
}

/// Reads `name="value"` up to '>' or the end; `at` is then where that is.
struct Attributes<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        let skip_while = |from: usize, test: fn(u8) -> bool| from + bytes[from..].iter().take_while(|b| test(**b)).count();
        self.at = skip_while(self.at, |b| b.is_ascii_whitespace() || b == b'/');
        if matches!(bytes.get(self.at), None | Some(b'>')) {
            return None;
        }
        let start = self.at;
        // A name may start with '=', by the rules of HTML.
        self.at = skip_while(start + 1, |b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'>' | b'='));
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        let name = self.text.get(start..self.at)?;
        let equals = skip_while(self.at, |b| b.is_ascii_whitespace());
        if bytes.get(equals) != Some(&b'=') {
            return Some((name, ""));
        }
        let value_start = skip_while(equals + 1, |b| b.is_ascii_whitespace());
        match bytes.get(value_start) {
            Some(quote @ (b'"' | b'\'')) => {
                let length = bytes[value_start + 1..].iter().take_while(|b| *b != quote).count();
                let value_end = value_start + 1 + length;
                self.at = (value_end + 1).min(bytes.len());
                Some((name, &self.text[value_start + 1..value_end]))
            }
            _ => {
                self.at = skip_while(value_start, |b| !b.is_ascii_whitespace() && b != b'>');
                Some((name, &self.text[value_start..self.at]))
            }
        }
    }
}

/// Returns a name without its prefix: "title" of "dc:title".
pub fn local_name(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Replaces character references; what is none stays as written.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        match reference(rest) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reads the reference that `text` starts with, and its length in bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    /// Bytes of the longest name of the table, and of the longest number.
    const NAME_BYTES_MAX: usize = 10;
    let body = &text.as_bytes()[1..];
    let end = body.iter().take(NAME_BYTES_MAX).position(|b| *b == b';')?;
    let name = text.get(1..1 + end)?;
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            match code {
                0x80..=0x9f => windows_1252(code as u8),
                _ => char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER),
            }
        }
        None => named(name)?,
    };
    Some((c, end + 2))
}

/// Returns the text of a piece of HTML: without tags, with line breaks where they were meant.
pub fn plain_text(html: &str) -> String {
    let mut out = String::new();
    let mut hidden = false;
    for token in Scanner::new(html, Dialect::Html) {
        match token {
            Token::Open(tag) => {
                hidden = tag.is("script") || tag.is("style");
                if ["br", "p", "div", "li", "tr", "h1", "h2", "h3"].iter().any(|known| tag.is(known)) && !out.is_empty() {
                    out.push('\n');
                }
            }
            Token::Close(_) => hidden = false,
            Token::Text(text) if !hidden => out.push_str(&unescape(text)),
            Token::Verbatim(text) if !hidden => out.push_str(text),
            Token::Text(_) | Token::Verbatim(_) => {}
        }
    }
    out.trim().to_owned()
}

/// Tells whether a text holds HTML tags rather than only a '<'.
pub fn looks_like_html(text: &str) -> bool {
    let Some(last_end) = text.rfind('>') else { return false };
    text[..last_end].match_indices('<').any(|(at, _)| {
        let rest = &text.as_bytes()[at + 1..];
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        rest.first().is_some_and(u8::is_ascii_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn html(text: &str) -> Vec<String> {
        Scanner::new(text, Dialect::Html)
            .map(|token| match token {
                Token::Open(tag) => format!("<{}>", tag.name),
                Token::Close(name) => format!("</{name}>"),
                Token::Text(text) => text.to_owned(),
                Token::Verbatim(text) => format!("={text}"),
            })
            .collect()
    }

    #[test]
    fn scans_tags_and_texts() {
        assert_eq!(html("a<b>c</b>d"), ["a", "<b>", "c", "</b>", "d"]);
        assert_eq!(html("1 < 2 <3"), ["1 ", "< 2 ", "<3"]);
        assert_eq!(html("<!-- <b> --><!DOCTYPE x><?php y?>z"), ["z"]);
        assert_eq!(html("<script>if (a<b) \"</b>\"</SCRIPT>x"), ["<script>", "=if (a<b) \"</b>\"", "</SCRIPT>", "x"]);
        assert_eq!(html("<title>A<b>&amp;</title>"), ["<title>", "A<b>&amp;", "</title>"]);
        assert_eq!(html("<![CDATA[a<b]]>c"), ["=a<b", "c"]);
        assert_eq!(html("x<a href='"), ["x"]);
        assert_eq!(html("x<!-- y"), ["x"]);
        assert_eq!(html("<"), ["<"]);
    }

    #[test]
    fn reads_attributes_as_browsers_do() {
        let Some(Token::Open(tag)) = Scanner::new("<a HREF = 'x>y' b=c/d e \"f title=\"A &amp; B\" b=2>", Dialect::Html).next() else {
            panic!("no tag");
        };
        assert_eq!(tag.attribute("href").as_deref(), Some("x>y"));
        assert_eq!(tag.attribute("b").as_deref(), Some("c/d"));
        assert_eq!(tag.attribute("e").as_deref(), Some(""));
        assert_eq!(tag.attribute("title").as_deref(), Some("A & B"));
        assert_eq!(tag.attribute("none"), None);
    }

    #[test]
    fn unescapes() {
        assert_eq!(
            unescape("A &amp; B &lt; &#233;&#xE9; &hellip; &#150; &nonsense; &amp &;&#0;&#x110000;"),
            "A & B < éé … – &nonsense; &amp &;\u{fffd}\u{fffd}"
        );
        assert_eq!(unescape("?a=1&copy=2"), "?a=1&copy=2");
        assert_eq!(unescape("&ü;"), "&ü;");
    }

    #[test]
    fn plain_text_keeps_lines() {
        assert_eq!(plain_text("A<br>B <a href=x>C</a><script>no</script>&amp;"), "A\nB C&");
        assert!(looks_like_html("a <b>c</b>"));
        assert!(!looks_like_html("a < b > c"));
    }

    #[test]
    fn hostile_markup_takes_linear_time() {
        for text in ["<b>".repeat(500_000), "<a b".repeat(500_000), "</".repeat(500_000), "<!--".repeat(300_000), "&".repeat(1_000_000)] {
            assert!(html(&text).len() <= 1_000_001);
            let _ = unescape(&text);
        }
        let attributes = format!("<a {}>", "b=1 ".repeat(500_000));
        let Some(Token::Open(tag)) = Scanner::new(&attributes, Dialect::Html).next() else { panic!("no tag") };
        assert_eq!(tag.attributes, 500_000);
        assert_eq!(tag.attribute("c"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[<>/a&;#x=\"' é!-]{0,60}", any: String) {
            for text in [&text, &any] {
                for dialect in [Dialect::Html, Dialect::Xml] {
                    for token in Scanner::new(text, dialect) {
                        if let Token::Open(tag) = token {
                            let _ = tag.attribute("a");
                        }
                    }
                }
                let _ = (unescape(text), plain_text(text), looks_like_html(text));
            }
        }
    }
}
