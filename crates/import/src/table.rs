//! CSV tables with a header row: Pinterest's bulk file, exports of bookmark tools, and what people make in a spreadsheet.
//!
//! Columns are known by their names in any order (see `metadata.rs`); the delimiter is guessed from the header; UTF-8, UTF-16 and
//! Windows-1252 are told apart.

use std::path::{Component, Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, StringRecordsIntoIter};

use crate::bookmarks::read_whole;
use crate::date;
use crate::error::ImportError;
use crate::item::{Author, Draft, Entry, PictureSource, Reader, Refused, key};
use crate::limits::{ITEMS_MAX, TABLE_BYTES_MAX};
use crate::metadata::{Field, Metadata, field_of_column, is_yes, normal_label, split_keywords};
use crate::text::{decode, has_picture_extension, http_link, is_picture_link, title_of_file_name};

/// Reads a CSV file.
pub struct Table {
    columns: Vec<Option<Field>>,
    /// The board column is Pinterest's, where "Board/Section" names both.
    board_with_section: bool,
    rows: StringRecordsIntoIter<std::io::Cursor<Vec<u8>>>,
    /// Where pictures named by a relative path are looked for.
    folder: Option<PathBuf>,
    /// The board of rows that name none.
    default_board: String,
    read: usize,
    row_count: u64,
}

impl Table {
    pub fn open(path: &Path) -> Result<Table, ImportError> {
        let bytes = read_whole(path, TABLE_BYTES_MAX)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unrecognised = |why| ImportError::Unrecognised { path: path.to_owned(), expected: "a table that can be imported", why };
        let mut table = Table::read(&bytes, &title_of_file_name(&name)).map_err(unrecognised)?;
        table.folder = path
            .parent()
            .and_then(|folder| std::fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).ok());
        Ok(table)
    }

    /// Reads a table from bytes; pictures with a relative path are then refused.
    pub(crate) fn read(bytes: &[u8], default_board: &str) -> Result<Table, String> {
        let text = decode(bytes);
        let delimiter = guess_delimiter(&text);
        let reader = |text: String| {
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(std::io::Cursor::new(text.into_bytes()))
        };
        let row_count = reader(text.clone()).byte_records().count().saturating_sub(1).min(ITEMS_MAX) as u64;
        let mut rows = reader(text).into_records();
        let header = rows.next().and_then(Result::ok).unwrap_or_default();
        let columns: Vec<Option<Field>> = header.iter().map(field_of_column).collect();
        if !columns.iter().any(|column| matches!(column, Some(Field::Link | Field::Picture))) {
            return Err(format!(
                "its first row must name the columns, one of them \"link\" or \"image\"; it reads: {}",
                header.iter().take(10).map(|name| name.chars().take(40).collect::<String>()).collect::<Vec<_>>().join(", ")
            ));
        }
        let board_with_section = header.iter().any(|name| normal_label(name) == "pinterestboard");
        Ok(Table { columns, board_with_section, rows, folder: None, default_board: default_board.to_owned(), read: 0, row_count })
    }

    /// Makes an item of a row; `None` for an empty one.
    fn item(&self, row: &StringRecord) -> Option<Entry> {
        let cell = |field: Field| {
            let cells = self.columns.iter().zip(row.iter()).filter(|(column, _)| **column == Some(field));
            cells.map(|(_, cell)| cell.trim()).find(|cell| !cell.is_empty())
        };
        if row.iter().all(|cell| cell.trim().is_empty()) {
            return None;
        }
        let what = format!(
            "row {}{}",
            self.read + 1,
            cell(Field::Title).map(|title| format!(" ({})", title.chars().take(80).collect::<String>())).unwrap_or_default()
        );
        let link = cell(Field::Link).and_then(http_link);
        let picture = match self.picture(cell(Field::Picture), link.as_deref()) {
            Ok(picture) => picture,
            Err(why) => return Some(Refused::entry(what, why)),
        };
        let mut board = cell(Field::Board).unwrap_or(&self.default_board);
        let mut section = cell(Field::Section);
        if let (true, None, Some((name, rest))) = (self.board_with_section, section, board.split_once('/')) {
            (board, section) = (name.trim(), Some(rest.trim()));
        }
        let author = cell(Field::Author).map(|name| Author { name: name.to_owned(), username_hint: None });
        let metadata = Metadata {
            title: cell(Field::Title).map(str::to_owned),
            description: cell(Field::Description).map(str::to_owned),
            alt_text: cell(Field::AltText).map(str::to_owned),
            link: link.clone().filter(|link| picture != PictureSource::Url(link.clone())),
            keywords: cell(Field::Keywords).map(|tags| split_keywords(tags, true)).unwrap_or_default(),
            author,
            at: cell(Field::At).and_then(date::parse),
            license: cell(Field::License).map(str::to_owned),
        };
        let identity: Vec<&[u8]> = [Field::Picture, Field::Link, Field::Board, Field::Section, Field::Title]
            .iter()
            .map(|field| cell(*field).unwrap_or_default().as_bytes())
            .collect();
        let draft = Draft {
            key: key("csv", &identity),
            origin: what,
            board: board.to_owned(),
            section: section.map(str::to_owned),
            metadata,
            embedded_metadata: matches!(picture, PictureSource::File(_)),
            picture,
            private: cell(Field::Private).is_some_and(is_yes),
        };
        Some(draft.finish().into())
    }

    fn picture(&self, picture: Option<&str>, link: Option<&str>) -> Result<PictureSource, String> {
        let Some(picture) = picture else {
            return match link {
                Some(link) if is_picture_link(link) => Ok(PictureSource::Url(link.to_owned())),
                Some(link) => Ok(PictureSource::Page(link.to_owned())),
                None => Err("it has neither a picture nor an http or https link".into()),
            };
        };
        // Several pictures in one cell: the first is the pin's.
        let first = picture.split([',', ' ', '|']).next().unwrap_or(picture);
        if let Some(url) = http_link(picture).filter(|_| first == picture).or_else(|| http_link(first)) {
            return Ok(PictureSource::Url(url));
        }
        self.local_picture(picture)
    }

    /// Finds a picture named by a path relative to the table's own folder.
    fn local_picture(&self, name: &str) -> Result<PictureSource, String> {
        let path = Path::new(name);
        let stays_below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !stays_below || !has_picture_extension(name) || name.contains("://") {
            return Err(format!(
                "its picture \"{}\" is neither an http or https address nor a file beside the table",
                name.chars().take(120).collect::<String>()
            ));
        }
        let folder = self.folder.as_ref().ok_or("its picture is a file that is not part of the archive")?;
        match std::fs::canonicalize(folder.join(path)) {
            Ok(found) if found.starts_with(folder) && found.is_file() => Ok(PictureSource::File(found)),
            Ok(_) => Err(format!("its picture \"{name}\" is not a file in the table's folder")),
            Err(error) => Err(format!("its picture \"{name}\" can't be read: {error}")),
        }
    }
}

/// Counts the possible delimiters in the header, outside of quotes.
fn guess_delimiter(text: &str) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in text.bytes().skip_while(|byte| byte.is_ascii_whitespace()) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => counts.iter_mut().filter(|(delimiter, _)| *delimiter == byte).for_each(|(_, count)| *count += 1),
            _ => {}
        }
    }
    // Among equals the first of the list wins.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

impl Iterator for Table {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if self.read == ITEMS_MAX {
                self.read += 1;
                return Some(Refused::entry(
                    "the rest of the table",
                    format!("at most {ITEMS_MAX} rows are imported from one file; cut it"),
                ));
            }
            if self.read > ITEMS_MAX {
                return None;
            }
            let row = self.rows.next()?;
            self.read += 1;
            match row {
                Ok(row) => {
                    if let Some(entry) = self.item(&row) {
                        return Some(entry);
                    }
                }
                Err(error) => return Some(Refused::entry(format!("row {}", self.read + 1), format!("it can't be read: {error}"))),
            }
        }
    }
}

impl Reader for Table {
    fn estimate(&self) -> Option<u64> {
        Some(self.row_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Item;

    fn entries(text: &[u8]) -> Vec<Entry> {
        Table::read(text, "File").unwrap().collect()
    }

    fn item(text: &[u8]) -> Item {
        match entries(text).remove(0) {
            Entry::Item(item) => *item,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_pinterests_bulk_file() {
        let text = "\u{feff}Title,Media URL,Pinterest board,Thumbnail,Description,Link,Publish date,Keywords\r\n\
            \"Bread, rye\",https://img.example.org/b.jpg,Recipes/Bread,,\"Two\nlines\",https://example.org/b,2024-12-25T08:30:00,\"bread, rye\"\r\n";
        let item = item(text.as_bytes());
        assert_eq!((item.title.as_deref(), item.board.as_str(), item.section.as_deref()), (Some("Bread, rye"), "Recipes", Some("Bread")));
        assert_eq!(item.picture, PictureSource::Url("https://img.example.org/b.jpg".into()));
        assert_eq!((item.link.as_deref(), item.description.as_deref()), (Some("https://example.org/b"), Some("Two\nlines")));
        assert_eq!((item.keywords.len(), item.at.unwrap().0), (2, 1_735_115_400_000));
    }

    #[test]
    fn guesses_delimiters_and_encodings() {
        for text in [
            &b"url;title;tags\nhttps://a.example;Zo\xeb;x y"[..],
            b"url\ttitle\ttags\nhttps://a.example\tZo\xc3\xab\tx,y",
            b"\xef\xbb\xbfurl,title,tags\nhttps://a.example,Zo\xc3\xab,x y\n",
        ] {
            let item = item(text);
            assert_eq!((item.title.as_deref(), item.keywords.len(), item.board.as_str()), (Some("Zoë"), 2, "File"));
            assert_eq!(item.picture, PictureSource::Page("https://a.example/".into()));
        }
        let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain("url\na.example\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert!(matches!(entries(&utf16)[0], Entry::Refused(_)));
    }

    #[test]
    fn names_rows_it_cannot_take() {
        let all = entries(b"title,link\nA,\nB,javascript:x\n,,\nC,https://c.example/c.png,extra,cells\n\"unclosed,https://d.example");
        let why: Vec<_> =
            all.iter().filter_map(|entry| if let Entry::Refused(refused) = entry { Some(refused.what.as_str()) } else { None }).collect();
        assert_eq!(why, ["row 2 (A)", "row 3 (B)", "row 6 (unclosed,https://d.example)"]);
        assert!(
            matches!(&all[2], Entry::Item(item) if item.picture == PictureSource::Url("https://c.example/c.png".into()) && item.link.is_none())
        );
        assert!(Table::read(b"foo,bar\n1,2", "x").err().unwrap().contains("foo, bar"));
        assert!(Table::read(b"", "x").is_err());
        assert!(Table::read(&[0, 159, 146, 150, 10, 0], "x").is_err());
    }

    #[test]
    fn keys_depend_on_the_row_not_on_its_place() {
        let first = entries(b"link\nhttps://a.example\nhttps://b.example");
        let second = entries(b"link\nhttps://b.example\nhttps://a.example");
        let keys = |entries: &[Entry]| -> std::collections::BTreeSet<String> {
            entries.iter().filter_map(|entry| if let Entry::Item(item) = entry { Some(item.key.clone()) } else { None }).collect()
        };
        assert_eq!(keys(&first), keys(&second));
        assert_eq!(keys(&first).len(), 2);
    }

    #[test]
    fn local_pictures_stay_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("in");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("a.png"), b"x").unwrap();
        std::fs::write(folder.path().join("secret.png"), b"x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret.png"), inner.join("link.png")).unwrap();
        let table = inner.join("t.csv");
        std::fs::write(&table, "image\na.png\n../secret.png\nlink.png\n/etc/passwd\nnone.png\nftp://x/a.png\n").unwrap();
        let all: Vec<Entry> = Table::open(&table).unwrap().collect();
        assert!(matches!(&all[0], Entry::Item(item) if matches!(item.picture, PictureSource::File(_)) && item.embedded_metadata));
        assert_eq!(all[1..].iter().filter(|entry| matches!(entry, Entry::Refused(_))).count(), 5);
    }
}
