//! Bookmark files in the Netscape form, as Firefox, Chrome, Safari, Pinboard, Raindrop and Pocket export them.
//!
//! ```text
//! <H3>Recipes</H3>                      board "Recipes"
//! <DL><DT><A HREF ADD_DATE TAGS>…</A>   item on it
//!     <DD>a description
//!     <DT><H3>Cakes</H3><DL>…</DL>      section "Cakes"; deeper folders join as "Cakes / Small"
//! </DL>
//! ```
//!
//! The browser's own roots ("Bookmarks bar", "Other bookmarks") are seen through: a folder in them is a board, and only what lies in
//! them directly is on a board of their name. The picture comes from the bookmarked page.

use std::path::Path;

use crate::date;
use crate::error::ImportError;
use crate::item::{BoardList, Draft, Entry, PictureSource, Reader, Refused, board_name, key, read_regular};
use crate::limits::{BOOKMARK_DEPTH_MAX, BOOKMARKS_BYTES_MAX, ITEMS_MAX};
use crate::markup::{Dialect, Scanner, Tag, Token, unescape};
use crate::metadata::{Metadata, is_yes, split_keywords};
use crate::text::{decode, http_link, is_picture_link, one_line};

/// Folders that browsers make themselves, in lower case.
const BROWSER_ROOTS: &[&str] = &[
    "bookmarks bar",
    "bookmarks toolbar",
    "bookmarks menu",
    "other bookmarks",
    "mobile bookmarks",
    "bookmarksbar",
    "bookmarksmenu",
    "favorites bar",
    "other favorites",
    "lesezeichen-symbolleiste",
    "lesezeichenleiste",
    "weitere lesezeichen",
];
/// The board of bookmarks that lie in no folder.
const ROOT_BOARD: &str = "Bookmarks";

/// Reads a bookmark file.
pub struct Bookmarks {
    entries: std::vec::IntoIter<Entry>,
    items: u64,
}

impl Bookmarks {
    pub fn open(path: &Path) -> Result<Bookmarks, ImportError> {
        let bytes = read_whole(path, BOOKMARKS_BYTES_MAX)?;
        let text = decode(&bytes);
        let unrecognised = |why: &str| ImportError::Unrecognised { path: path.to_owned(), expected: "a bookmark file", why: why.into() };
        let head = text.get(..text.floor_char_boundary(4_096)).unwrap_or_default().to_ascii_lowercase();
        if !head.contains('<') {
            return Err(unrecognised("it holds no HTML; export the bookmarks as HTML"));
        }
        let entries = parse(&text);
        if !entries.iter().any(|entry| matches!(entry, Entry::Item(_) | Entry::Refused(_))) && !head.contains("netscape-bookmark") {
            return Err(unrecognised("it holds no links; export the bookmarks as HTML"));
        }
        let items = entries.iter().filter(|entry| matches!(entry, Entry::Item(_))).count() as u64;
        Ok(Bookmarks { entries: entries.into_iter(), items })
    }
}

/// Reads a file that is the source itself.
pub(crate) fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, ImportError> {
    let bytes = std::fs::metadata(path).map_err(|error| ImportError::unreadable(path, error))?.len();
    if bytes > limit {
        return Err(ImportError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    read_regular(path, limit).map_err(|error| ImportError::unreadable(path, error))
}

impl Iterator for Bookmarks {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entries.next()
    }
}

impl Reader for Bookmarks {
    fn estimate(&self) -> Option<u64> {
        Some(self.items)
    }
}

/// What the text between two tags belongs to.
enum Writing {
    Nothing,
    Folder(String),
    Link(String),
    Description(String),
}

#[derive(Default)]
struct Parser {
    /// Open folders, the outermost first.
    path: Vec<String>,
    /// Lists opened beyond the depth that is told apart, and lists without a folder.
    unnamed: Vec<bool>,
    next_folder: Option<String>,
    boards: BoardList,
    items: Vec<Entry>,
    open: Option<Bookmark>,
}

struct Bookmark {
    href: String,
    title: String,
    description: String,
    tags: String,
    added: String,
    cover: Option<String>,
    private: bool,
}

fn parse(text: &str) -> Vec<Entry> {
    let mut parser = Parser::default();
    let mut writing = Writing::Nothing;
    for token in Scanner::new(text, Dialect::Html) {
        match token {
            Token::Text(piece) => match &mut writing {
                Writing::Nothing => {}
                Writing::Folder(text) | Writing::Link(text) | Writing::Description(text) => text.push_str(&unescape(piece)),
            },
            Token::Verbatim(_) => {}
            Token::Open(tag) => writing = parser.open_tag(tag, writing),
            Token::Close(name) => writing = parser.close_tag(name, writing),
        }
        if parser.items.len() >= ITEMS_MAX {
            parser
                .items
                .push(Refused::entry("the rest of the file", format!("at most {ITEMS_MAX} bookmarks are imported from one file; cut it")));
            break;
        }
    }
    parser.settle(writing);
    parser.finish_bookmark();
    parser.boards.into_entries().chain(parser.items).collect()
}

impl Parser {
    fn open_tag(&mut self, tag: Tag<'_>, writing: Writing) -> Writing {
        // Inside of a description or title, other tags are decoration.
        let structural = ["dl", "dt", "dd", "a", "h1", "h2", "h3", "h4", "hr"].iter().any(|name| tag.is(name));
        if !structural {
            return writing;
        }
        self.settle(writing);
        if tag.is("dd") {
            return Writing::Description(String::new());
        }
        self.finish_bookmark();
        if tag.is("dl") {
            let named = match self.next_folder.take() {
                Some(name) if self.path.len() < BOOKMARK_DEPTH_MAX => {
                    self.path.push(name);
                    true
                }
                _ => false,
            };
            self.unnamed.push(!named);
        } else if tag.is("h2") || tag.is("h3") || tag.is("h4") {
            return Writing::Folder(String::new());
        } else if tag.is("a") {
            let attribute = |name: &str| tag.attribute(name).unwrap_or_default();
            let added = [attribute("add_date"), attribute("time_added")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
            self.open = Some(Bookmark {
                href: attribute("href"),
                title: String::new(),
                description: String::new(),
                tags: attribute("tags"),
                added,
                cover: tag.attribute("data-cover").and_then(|cover| http_link(&cover)),
                private: is_yes(&attribute("private")),
            });
            return Writing::Link(String::new());
        }
        Writing::Nothing
    }

    fn close_tag(&mut self, name: &str, writing: Writing) -> Writing {
        let closes = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if closes(&["a", "h2", "h3", "h4", "dd", "dl"]) {
            self.settle(writing);
        } else {
            return writing;
        }
        if closes(&["dl"]) {
            self.finish_bookmark();
            if self.unnamed.pop() == Some(false) {
                self.path.pop();
            }
        }
        Writing::Nothing
    }

    /// Hands a finished text to what it belongs to.
    fn settle(&mut self, writing: Writing) {
        match (writing, &mut self.open) {
            (Writing::Folder(name), _) => self.next_folder = Some(one_line(&name)),
            (Writing::Link(text), Some(bookmark)) => bookmark.title = text,
            (Writing::Description(text), Some(bookmark)) => bookmark.description = text,
            _ => {}
        }
    }

    fn finish_bookmark(&mut self) {
        let Some(bookmark) = self.open.take() else { return };
        let title = one_line(&bookmark.title);
        let what = if title.is_empty() { bookmark.href.clone() } else { format!("{title} ({})", bookmark.href) };
        let what: String = what.chars().take(300).collect();
        let Some(link) = http_link(&bookmark.href) else {
            let why =
                if bookmark.href.is_empty() { "it has no address" } else { "only http and https addresses of usual length can be pinned" };
            self.items.push(Refused::entry(what, why));
            return;
        };
        let (board, section) = self.place();
        let picture = match bookmark.cover {
            Some(cover) => PictureSource::Url(cover),
            None if is_picture_link(&link) => PictureSource::Url(link.clone()),
            None => PictureSource::Page(link.clone()),
        };
        let metadata = Metadata {
            title: (!title.is_empty() && title != bookmark.href).then_some(title),
            description: Some(bookmark.description),
            link: Some(link.clone()),
            keywords: split_keywords(&bookmark.tags, true),
            at: date::parse(&bookmark.added),
            ..Metadata::default()
        };
        let draft = Draft {
            key: key("bookmark", &[link.as_bytes(), board.as_bytes(), section.as_deref().unwrap_or_default().as_bytes()]),
            origin: what,
            board,
            section,
            metadata,
            picture,
            private: bookmark.private,
            embedded_metadata: false,
        };
        let item = draft.finish();
        self.boards.add_place(&item.board, item.section.as_deref());
        self.items.push(item.into());
    }

    /// Tells the board and section of the open folders.
    fn place(&self) -> (String, Option<String>) {
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let is_root = |name: &str| BROWSER_ROOTS.contains(&name.to_lowercase().as_str());
        while path.len() > 1 && is_root(path[0]) {
            path.remove(0);
        }
        match path.split_first() {
            None => (ROOT_BOARD.into(), None),
            Some((board, [])) => (board_name(board), None),
            Some((board, sections)) => (board_name(board), Some(sections.join(" / "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Item;

    fn items(entries: &[Entry]) -> Vec<&Item> {
        entries.iter().filter_map(|entry| if let Entry::Item(item) = entry { Some(&**item) } else { None }).collect()
    }

    const FIREFOX: &str = r#"<!DOCTYPE NETSCAPE-Bookmark-file-1>
<!-- This is an automatically generated file. -->
<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=UTF-8">
<TITLE>Bookmarks</TITLE>
<H1>Bookmarks Menu</H1>
<DL><p>
    <DT><A HREF="https://example.org/root" ADD_DATE="1588334400">Root</A>
    <DT><H3 ADD_DATE="1">Recipes &amp; more</H3>
    <DD>A folder's own description
    <DL><p>
        <DT><A HREF="https://example.org/bread" ADD_DATE="1588334400" LAST_MODIFIED="9" TAGS="baking,rye bread" ICON="data:image/png;base64,AAAA">Bread &#8211; rye</A>
        <DD>With <b>sourdough</b>,
two days
        <DT><H3>Cakes</H3>
        <DL><p>
            <DT><A HREF="https://example.org/cake.jpg">Cake</A>
            <DT><H3>Small</H3>
            <DL><p><DT><A HREF="https://example.org/muffin">Muffin</A></DL><p>
        </DL><p>
        <DT><A HREF="https://example.org/soup">Soup</A>
        <HR>
    </DL><p>
    <DT><A HREF="javascript:alert(1)">Bookmarklet</A>
    <DT><A HREF="place:sort=8&amp;maxResults=10">Recent</A>
    <DT><H3 PERSONAL_TOOLBAR_FOLDER="true">Bookmarks Toolbar</H3>
    <DL><p>
        <DT><A HREF="https://example.org/bar" PRIVATE="1">Bar</A>
        <DT><H3>Art</H3>
        <DL><p><DT><A HREF="https://example.org/art">Art</A></DL><p>
    </DL><p>
</DL>"#;

    #[test]
    fn reads_folders_dates_tags_and_descriptions() {
        let entries = parse(FIREFOX);
        let items = items(&entries);
        let places: Vec<_> =
            items.iter().map(|item| (item.title.as_deref().unwrap(), item.board.as_str(), item.section.as_deref())).collect();
        assert_eq!(
            places,
            [
                ("Root", "Bookmarks", None),
                ("Bread – rye", "Recipes & more", None),
                ("Cake", "Recipes & more", Some("Cakes")),
                ("Muffin", "Recipes & more", Some("Cakes / Small")),
                ("Soup", "Recipes & more", None),
                ("Bar", "Bookmarks Toolbar", None),
                ("Art", "Art", None),
            ]
        );
        let bread = items[1];
        assert_eq!(bread.keywords, ["baking", "rye bread"]);
        assert_eq!(bread.description.as_deref(), Some("With sourdough,\ntwo days"));
        assert_eq!(bread.at.unwrap().0, 1_588_334_400_000);
        assert_eq!(bread.picture, PictureSource::Page("https://example.org/bread".into()));
        assert_eq!(items[2].picture, PictureSource::Url("https://example.org/cake.jpg".into()));
        assert_eq!(items[4].description, None);
        assert!(items[5].private && !items[4].private);
        let refused: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::Refused(_))).collect();
        assert_eq!(refused.len(), 2);
        let Entry::Board(recipes) = &entries[1] else { panic!("boards come first") };
        assert_eq!(recipes.sections, ["Cakes", "Cakes / Small"]);
        let keys: std::collections::BTreeSet<_> = items.iter().map(|item| &item.key).collect();
        assert_eq!(keys.len(), items.len());
        assert_eq!(parse(FIREFOX), entries);
    }

    #[test]
    fn reads_pinboard_pocket_and_raindrop() {
        let pinboard =
            parse(r#"<DL><p><DT><A HREF="https://a.example" ADD_DATE="1588334400" PRIVATE="1" TOREAD="0" TAGS="x,y">A</A><DD>note</DL>"#);
        assert!(items(&pinboard)[0].private);
        let pocket = parse(r#"<h1>Unread</h1><ul><li><a href="https://b.example" time_added="1588334400" tags="x">B</a></li></ul>"#);
        assert_eq!(items(&pocket)[0].at.unwrap().0, 1_588_334_400_000);
        let raindrop = parse(r#"<DL><DT><A HREF="https://c.example" TAGS="" DATA-COVER="https://c.example/c.png">C</A></DL>"#);
        assert_eq!(items(&raindrop)[0].picture, PictureSource::Url("https://c.example/c.png".into()));
    }

    #[test]
    fn hostile_files_are_read_in_linear_time() {
        let deep = "<DL><DT><H3>f</H3>".repeat(200_000) + "<DL><A HREF=https://a.example>x</A>";
        let entries = parse(&deep);
        assert_eq!(items(&entries).len(), 1);
        assert!(items(&entries)[0].section.as_ref().unwrap().chars().count() <= 180);
        parse(&"</DL>".repeat(500_000));
        parse(&"<A HREF=x>".repeat(100_000));
    }

    #[test]
    fn what_is_no_bookmark_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.html");
        let open = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Bookmarks::open(&path).err().map(|error| error.to_string())
        };
        assert!(open(b"hello").unwrap().contains("not a bookmark file"));
        assert!(open(b"<p>hello</p>").unwrap().contains("no links"));
        assert_eq!(open(b"<!DOCTYPE NETSCAPE-Bookmark-file-1><DL></DL>"), None);
        assert!(Bookmarks::open(&folder.path().join("none")).err().unwrap().to_string().contains("can't be read"));
        std::fs::write(&path, FIREFOX).unwrap();
        assert_eq!(Bookmarks::open(&path).unwrap().estimate(), Some(7));
    }
}
