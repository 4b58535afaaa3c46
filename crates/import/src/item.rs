//! What comes out of every reader.
//!
//! Invariant: an [`Item`] made by [`Draft::finish`] fits the limits of `model`: it can be stored as it is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use model::Timestamp;
use model::limits::{
    BOARD_DESCRIPTION_CHARS_MAX, BOARD_NAME_CHARS_MAX, NAME_CHARS_MAX, PIN_ALT_TEXT_CHARS_MAX, PIN_DESCRIPTION_CHARS_MAX,
    PIN_TITLE_CHARS_MAX, SECTION_NAME_CHARS_MAX,
};
use sha2::{Digest, Sha256};

use crate::limits::{KEYWORD_CHARS_MAX, KEYWORDS_MAX};
use crate::metadata::Metadata;
use crate::text::{fit, http_link, one_line};

/// Reads a source entry by entry. A board comes before its items.
pub trait Reader: Iterator<Item = Entry> + Send {
    /// Returns how many items will come in all, for progress; about right, and `None` when it can't be known.
    fn estimate(&self) -> Option<u64>;
}

/// One thing that a source holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Board(Board),
    Item(Box<Item>),
    Follow(Follow),
    Refused(Refused),
}

/// A board, as far as the source describes it. Items may name boards and sections that no `Board` announced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    pub name: String,
    pub description: Option<String>,
    pub privacy: Option<Privacy>,
    pub sections: Vec<String>,
}

/// Who may see a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    Public,
    Protected,
    Secret,
}

/// Whom or what the person followed where the source comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Follow {
    Person { name: String, link: Option<String> },
    Board { name: String, link: Option<String> },
    Topic { name: String },
}

/// What could not be read, and why. Never fatal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The file, row or address, as a person finds it again.
    pub what: String,
    /// What is wrong with it, and what became of it.
    pub why: String,
}

/// A pin to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The same for the same source item on every run, about 45 ASCII characters; tells what was imported already.
    pub key: String,
    /// Where a person finds it in the source, for reports.
    pub origin: String,
    pub board: String,
    pub section: Option<String>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub alt_text: Option<String>,
    /// An http or https address.
    pub link: Option<String>,
    pub keywords: Vec<String>,
    pub author: Option<Author>,
    /// When it was made, posted or saved, by the source's word.
    pub at: Option<Timestamp>,
    /// The address or the name of its license.
    pub license: Option<String>,
    pub picture: PictureSource,
    /// True when the source keeps it from others; it belongs on a secret board.
    pub private: bool,
    /// True when fields that are missing here may be filled from the picture's own EXIF, IPTC and XMP.
    pub embedded_metadata: bool,
}

/// Who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    /// The user name at the source; not yet one that this site allows.
    pub username_hint: Option<String>,
}

/// Where an item's picture is to be had.
#[derive(Clone, Debug, PartialEq)]
pub enum PictureSource {
    /// A regular file, checked to lie in the imported folder.
    File(PathBuf),
    /// A file inside a zip archive.
    ZipEntry {
        archive: PathBuf,
        name: String,
    },
    Bytes(Vec<u8>),
    /// The address of a picture.
    Url(String),
    /// The same picture at several addresses, the best first; the first that answers is taken.
    FirstOf(Vec<String>),
    /// The address of a page whose best picture is taken.
    Page(String),
}

impl PictureSource {
    /// Reads at most `bytes_max` bytes of a local picture; `None` when it has to be fetched.
    pub fn read(&self, bytes_max: u64) -> Option<io::Result<Vec<u8>>> {
        match self {
            PictureSource::File(path) => Some(read_regular(path, bytes_max)),
            PictureSource::ZipEntry { archive, name } => Some(crate::archive::read_zip_entry(archive, name, bytes_max)),
            PictureSource::Bytes(bytes) => Some(Ok(bytes.clone())),
            PictureSource::Url(_) | PictureSource::FirstOf(_) | PictureSource::Page(_) => None,
        }
    }
}

/// Reads a regular file whole; refuses devices, pipes and files over the limit.
pub(crate) fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // A file may grow meanwhile; the limit holds for what is read.
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

impl From<Item> for Entry {
    fn from(item: Item) -> Entry {
        Entry::Item(Box::new(item))
    }
}

impl Refused {
    pub(crate) fn entry(what: impl Into<String>, why: impl Into<String>) -> Entry {
        Entry::Refused(Refused { what: what.into(), why: why.into() })
    }
}

impl Board {
    pub(crate) fn named(name: &str) -> Board {
        Board { name: board_name(name), ..Board::default() }
    }

    pub(crate) fn described(mut self, description: Option<&str>) -> Board {
        self.description = description.and_then(|text| fit(text, BOARD_DESCRIPTION_CHARS_MAX));
        self
    }
}

/// Cuts a board's name to what the site allows; "Untitled" when nothing is left.
pub(crate) fn board_name(name: &str) -> String {
    fit(&one_line(name), BOARD_NAME_CHARS_MAX).unwrap_or_else(|| "Untitled".into())
}

pub(crate) fn section_name(name: &str) -> Option<String> {
    fit(&one_line(name), SECTION_NAME_CHARS_MAX)
}

/// Makes a key: what kind of source, and a hash of what tells this item from all others of that kind.
pub(crate) fn key(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    format!("{kind}:{}", model::text::hex(&digest[..16]))
}

/// Collects the boards and sections that items name, each once, in the order in which they are first named.
#[derive(Default)]
pub(crate) struct BoardList {
    boards: Vec<Board>,
    positions: HashMap<String, usize>,
    sections: HashSet<(usize, String)>,
}

impl BoardList {
    /// Adds a board, or what is newly known about it.
    pub fn add(&mut self, board: Board) {
        let position = self.position(&board.name);
        for section in &board.sections {
            self.add_section(position, section);
        }
        let known = &mut self.boards[position];
        known.description = known.description.take().or(board.description);
        known.privacy = known.privacy.or(board.privacy);
    }

    /// Adds the board and section of an item.
    pub fn add_place(&mut self, board: &str, section: Option<&str>) {
        let position = self.position(board);
        if let Some(section) = section {
            self.add_section(position, section);
        }
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(position) = self.positions.get(name) {
            return *position;
        }
        self.boards.push(Board::named(name));
        self.positions.insert(name.to_owned(), self.boards.len() - 1);
        self.boards.len() - 1
    }

    fn add_section(&mut self, position: usize, section: &str) {
        if self.sections.insert((position, section.to_owned())) {
            self.boards[position].sections.push(section.to_owned());
        }
    }

    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.boards.into_iter().map(Entry::Board)
    }
}

/// An item before its fields are cut to size.
pub(crate) struct Draft {
    pub key: String,
    pub origin: String,
    pub board: String,
    pub section: Option<String>,
    pub metadata: Metadata,
    pub picture: PictureSource,
    pub private: bool,
    pub embedded_metadata: bool,
}

impl Draft {
    /// Cuts every field to the limits of `model`.
    pub(crate) fn finish(self) -> Item {
        let Metadata { title, description, alt_text, link, keywords, author, at, license } = self.metadata;
        Item {
            key: self.key,
            origin: self.origin,
            board: board_name(&self.board),
            section: self.section.as_deref().and_then(section_name),
            title: title.and_then(|text| fit(&one_line(&text), PIN_TITLE_CHARS_MAX)),
            description: description.and_then(|text| fit(&text, PIN_DESCRIPTION_CHARS_MAX)),
            alt_text: alt_text.and_then(|text| fit(&one_line(&text), PIN_ALT_TEXT_CHARS_MAX)),
            link: link.and_then(|link| http_link(&link)),
            keywords: tidy_keywords(keywords),
            author: author.and_then(tidy_author),
            at,
            license: license.and_then(|text| fit(&one_line(&text), PIN_TITLE_CHARS_MAX)),
            picture: self.picture,
            private: self.private,
            embedded_metadata: self.embedded_metadata,
        }
    }
}

fn tidy_keywords(keywords: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    keywords
        .into_iter()
        .filter_map(|keyword| {
            let keyword = one_line(keyword.trim().trim_start_matches('#'));
            let chars = keyword.chars().count();
            (chars > 0 && chars <= KEYWORD_CHARS_MAX && seen.insert(keyword.to_lowercase())).then_some(keyword)
        })
        .take(KEYWORDS_MAX)
        .collect()
}

fn tidy_author(author: Author) -> Option<Author> {
    let username_hint = author.username_hint.and_then(|hint| fit(&one_line(hint.trim().trim_start_matches('@')), NAME_CHARS_MAX));
    let name = fit(&one_line(author.name.trim().trim_start_matches('@')), NAME_CHARS_MAX).or_else(|| username_hint.clone())?;
    Some(Author { name, username_hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable_and_tell_parts_apart() {
        assert_eq!(key("csv", &[b"a", b"b"]), key("csv", &[b"a", b"b"]));
        assert_ne!(key("csv", &[b"ab", b"c"]), key("csv", &[b"a", b"bc"]));
        // Written down: a change here would import everything twice.
        assert_eq!(key("csv", &[b"x"]), "csv:f91b14e7bbea4c5bfa0e1a7040177166");
    }

    #[test]
    fn finished_items_fit_the_model() {
        let metadata = Metadata {
            title: Some(format!("a\u{0}b\n{}", "é".repeat(300))),
            description: Some("word ".repeat(1_000)),
            alt_text: Some("x".repeat(5_000)),
            link: Some("javascript:alert(1)".into()),
            keywords: (0..500).map(|n| format!("#Tag {n}")).chain(["tag 1".into(), " ".into(), "y".repeat(200)]).collect(),
            author: Some(Author { name: "@someone".into(), username_hint: None }),
            ..Metadata::default()
        };
        let draft = Draft {
            key: "k".into(),
            origin: "o".into(),
            board: " \u{7} ".into(),
            section: Some("".into()),
            metadata,
            picture: PictureSource::Bytes(vec![]),
            private: false,
            embedded_metadata: false,
        };
        let item = draft.finish();
        assert_eq!(item.board, "Untitled");
        assert_eq!(item.section, None);
        assert_eq!(item.link, None);
        assert_eq!(item.keywords.len(), KEYWORDS_MAX);
        assert_eq!(item.keywords[1], "Tag 1");
        assert_eq!(item.author.unwrap().name, "someone");
        let title = item.title.unwrap();
        assert!(title.starts_with("ab é") && title.chars().count() <= PIN_TITLE_CHARS_MAX);
        model::limits::check_text("title", "The title", &title, PIN_TITLE_CHARS_MAX).unwrap();
        model::limits::check_text("description", "It", &item.description.unwrap(), PIN_DESCRIPTION_CHARS_MAX).unwrap();
    }

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, [7; 10]).unwrap();
        assert_eq!(PictureSource::File(path.clone()).read(10).unwrap().unwrap(), [7; 10]);
        assert!(PictureSource::File(path).read(9).unwrap().is_err());
        assert!(PictureSource::File(folder.path().to_owned()).read(9).unwrap().is_err());
        assert!(PictureSource::Url("https://example.org/a.png".into()).read(9).is_none());
    }
}
