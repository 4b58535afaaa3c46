//! The query language: text as people type it ─▶ a [`Query`]. Pure and total: every text has a meaning, none is an error.
//!
//! ```text
//! query       = { clause }                       all clauses must hold
//! clause      = term { ("OR" | "|") term }       one of the terms must hold; binds closer than standing side by side
//! term        = [ "-" ] atom                     with "-": must not hold
//! atom        = word | "several words" | filter
//! filter      = by:NAME          of the person with this user name
//!             | board:"NAME"     on a board (for boards: itself) with these words in its name
//!             | site:example.org with a link to this site or one below it
//!             | #TAG | tag:TAG   with this tag
//!             | color:NAME       whose picture is mostly of this colour; #rrggbb is understood too
//!             | before:DATE      made before that day, month or year began (UTC)
//!             | after:DATE       made from the beginning of that day, month or year on (UTC)
//! DATE        = YYYY | YYYY-MM | YYYY-MM-DD
//! ```
//!
//! Values of filters can stand in quotes. `AND` says nothing new and is skipped. An operator that is not understood is left out,
//! with a note for the person who typed it. Letters' case and accents do not matter. A `Query` written out again
//! (`Display`) means the same.

use std::fmt;

use model::{limits::domain_of, text::tag_of_keyword};

use crate::{
    color::Color,
    date::DateStart,
    limits::{QUERY_ATOMS_MAX, QUERY_CHARS_MAX},
    text::is_word_char,
};

/// A query: clauses that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub clauses: Vec<Clause>,
    /// What was not understood, for the person.
    pub notes: Vec<String>,
    /// The text ends inside its last word, which may go on.
    pub is_open: bool,
}

/// Terms of which one must hold. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    pub any: Vec<Term>,
}

/// An atom that must hold, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub negated: bool,
    pub atom: Atom,
}

/// The smallest thing that can be asked for. Texts are never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// In lower case. More than one word in the index if it has punctuation inside: then they must follow each other.
    Word(String),
    Phrase(String),
    /// A user name in lower case.
    By(String),
    Board(String),
    /// A host in lower case without "www.".
    Site(String),
    /// In lower case without '#'.
    Tag(String),
    Color(Color),
    Before(DateStart),
    After(DateStart),
}

impl Query {
    /// Reads a query. Never fails.
    pub fn parse(text: &str) -> Query {
        let mut parser = Parser { rest: text, query: Query::default(), joins_next: false, atoms: 0 };
        if let Some((end, _)) = text.char_indices().nth(QUERY_CHARS_MAX) {
            parser.rest = &text[..end];
            parser.note(format!("Only the first {QUERY_CHARS_MAX} characters were read."));
        }
        parser.run();
        parser.query
    }

    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Returns the words and phrases that must hold or may hold, in the order in which they were typed.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.clauses.iter().flat_map(|clause| &clause.any).filter(|term| !term.negated).filter_map(|term| match &term.atom {
            Atom::Word(text) | Atom::Phrase(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, clause) in self.clauses.iter().enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            for (index, term) in clause.any.iter().enumerate() {
                f.write_str(if index > 0 { " OR " } else { "" })?;
                write!(f, "{}{}", if term.negated { "-" } else { "" }, term.atom)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Word(text) => f.write_str(text),
            Atom::Phrase(text) => write!(f, "\"{text}\""),
            Atom::By(name) => write!(f, "by:{name}"),
            Atom::Board(name) => write!(f, "board:\"{name}\""),
            Atom::Site(host) => write!(f, "site:{host}"),
            Atom::Tag(tag) => write!(f, "#{tag}"),
            Atom::Color(color) => write!(f, "color:{}", color.as_str()),
            Atom::Before(start) => write!(f, "before:{start}"),
            Atom::After(start) => write!(f, "after:{start}"),
        }
    }
}

/// Names of filters, with other words for them.
const FILTERS: [(&str, Filter); 9] = [
    ("by", Filter::By),
    ("board", Filter::Board),
    ("site", Filter::Site),
    ("tag", Filter::Tag),
    ("color", Filter::Color),
    ("colour", Filter::Color),
    ("before", Filter::Before),
    ("after", Filter::After),
    ("since", Filter::After),
];

#[derive(Clone, Copy)]
enum Filter {
    By,
    Board,
    Site,
    Tag,
    Color,
    Before,
    After,
}

impl Filter {
    fn example(self) -> &'static str {
        match self {
            Filter::By => "by:ada",
            Filter::Board => "board:\"still life\"",
            Filter::Site => "site:example.org",
            Filter::Tag => "tag:kittens",
            Filter::Color => "color:teal or color:#1e90ff",
            Filter::Before => "before:2024 or before:2024-12-31",
            Filter::After => "after:2024 or after:2024-12-31",
        }
    }

    /// Reads a value; `None` if it is not understood.
    fn atom(self, value: &str) -> Option<Atom> {
        let trimmed = value.trim_matches(|c: char| !is_word_char(c));
        match self {
            Filter::By => {
                let name = trimmed.to_lowercase();
                let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
                good.then_some(Atom::By(name))
            }
            Filter::Board => (!trimmed.is_empty()).then(|| Atom::Board(trimmed.to_owned())),
            Filter::Site => {
                let lower = value.trim().to_ascii_lowercase();
                let link = if lower.contains("://") { lower } else { format!("https://{lower}") };
                let host = domain_of(&link);
                let mut host = host.trim_matches(['.', '*', '-']);
                while let Some(below) = host.strip_prefix("www.") {
                    host = below.trim_start_matches(['.', '-']);
                }
                let good = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
                good.then(|| Atom::Site(host.to_owned()))
            }
            Filter::Tag => tag_of_keyword(value).map(Atom::Tag),
            Filter::Color => Color::parse(value).map(Atom::Color),
            Filter::Before => DateStart::parse(trimmed).map(Atom::Before),
            Filter::After => DateStart::parse(trimmed).map(Atom::After),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    query: Query,
    /// "OR" stands before what comes next.
    joins_next: bool,
    atoms: usize,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        while let Some(first) = self.rest.chars().next() {
            self.query.is_open = false;
            let negated = first == '-' && self.rest[1..].chars().next().is_some_and(|c| !c.is_whitespace() && c != '-');
            if negated {
                self.rest = &self.rest[1..];
            }
            match self.rest.chars().next() {
                Some(c) if is_quote(c) => self.phrase(negated),
                Some('#') => self.tag(negated),
                Some('|') => {
                    self.rest = &self.rest[1..];
                    self.joins_next = !self.query.clauses.is_empty();
                }
                Some(c) if is_word_char(c) => self.word(negated),
                Some(c) => self.rest = &self.rest[c.len_utf8()..],
                None => break,
            }
        }
    }

    /// Takes the text up to the closing quote, or all of it.
    fn quoted(&mut self) -> &'a str {
        let open = self.rest.chars().next().map_or(0, char::len_utf8);
        let inner = &self.rest[open..];
        let end = inner.find(is_quote).unwrap_or(inner.len());
        let close = inner[end..].chars().next().map_or(0, char::len_utf8);
        self.rest = &inner[end + close..];
        &inner[..end]
    }

    /// Takes the text up to white space or a quote.
    fn bare(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| c.is_whitespace() || is_quote(c) || c == '|').unwrap_or(self.rest.len());
        let (bare, rest) = self.rest.split_at(end);
        self.rest = rest;
        bare
    }

    fn phrase(&mut self, negated: bool) {
        let text = self.quoted().trim();
        if text.chars().any(is_word_char) {
            self.push(negated, Atom::Phrase(text.to_owned()));
        }
    }

    fn tag(&mut self, negated: bool) {
        let after = &self.rest[1..];
        let end = after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(after.len());
        match tag_of_keyword(&after[..end]) {
            Some(tag) => {
                self.rest = &after[end..];
                self.push(negated, Atom::Tag(tag));
            }
            // "#1" is a word with a sign before it.
            None => self.rest = after,
        }
    }

    fn word(&mut self, negated: bool) {
        if let Some((filter, value)) = self.filter() {
            match filter.atom(value) {
                Some(atom) => self.push(negated, atom),
                None => {
                    self.note(format!("\"{}\" was not understood and is left out; it should look like {}.", value.trim(), filter.example()))
                }
            }
            return;
        }
        let bare = self.bare();
        match bare {
            "OR" if !negated => self.joins_next = !self.query.clauses.is_empty(),
            "AND" if !negated => {}
            _ => {
                let lower = bare.to_lowercase();
                let text = lower.trim_matches(|c: char| !is_word_char(c));
                if !text.is_empty() {
                    self.push(negated, Atom::Word(text.to_owned()));
                    self.query.is_open = self.rest.is_empty() && bare.ends_with(is_word_char);
                }
            }
        }
    }

    /// Takes the name and the value of a filter if one stands here.
    fn filter(&mut self) -> Option<(Filter, &'a str)> {
        let colon = self.rest.find(|c: char| !c.is_ascii_alphabetic())?;
        let name = &self.rest[..colon];
        let value = self.rest[colon..].strip_prefix(':')?;
        let (_, filter) = FILTERS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.rest = value;
        let value = if value.starts_with(is_quote) { self.quoted() } else { self.bare() };
        Some((filter, value))
    }

    fn push(&mut self, negated: bool, atom: Atom) {
        let joins = std::mem::take(&mut self.joins_next);
        if self.atoms == QUERY_ATOMS_MAX {
            self.note(format!("Only the first {QUERY_ATOMS_MAX} words and filters were read."));
            return;
        }
        self.atoms += 1;
        let term = Term { negated, atom };
        match self.query.clauses.last_mut() {
            Some(clause) if joins => clause.any.push(term),
            _ => self.query.clauses.push(Clause { any: vec![term] }),
        }
    }

    fn note(&mut self, note: String) {
        if !self.query.notes.contains(&note) {
            self.query.notes.push(note);
        }
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»')
}

#[cfg(test)]
mod tests;
