//! The archive that people get from Pinterest ("Request your data"), and what other tools make of it.
//!
//! ```text
//! zip · unpacked folder · single file
//!   *.html  lines of "Label: value" under headings      pinterest/html.rs ─┐
//!   *.json  objects in the shapes of Pinterest's API    pinterest/json.rs ─┼─▶ Record ─▶ Board · Item · Follow
//!   *.csv   a table with a header row                   table.rs          ─┘
//! ```
//!
//! Pinterest has changed the archive several times and documents none of it, so nothing is relied on: a record is what has the right
//! labels. Files in which nothing was recognised are named. A picture is given by its signature, from which its addresses follow.

mod html;
mod json;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::archive::Archive;
use crate::date;
use crate::error::ImportError;
use crate::item::{Author, Board, BoardList, Draft, Entry, Follow, PictureSource, Privacy, Reader, Refused, key};
use crate::limits::ITEMS_MAX;
use crate::metadata::{Metadata, is_yes, split_keywords};
use crate::table::Table;
use crate::text::{decode, fit, http_link, is_picture_link};

/// The board of pins that name none.
const NO_BOARD: &str = "Pinterest";
/// Files that are part of the archive's looks, not of its content.
const DECORATION: &[&str] = &["css", "js", "ico", "svg", "woff", "woff2", "ttf", "txt", "md", "jpg", "jpeg", "png", "gif", "webp", "mp4"];

/// Reads a Pinterest archive.
pub struct Pinterest {
    entries: std::vec::IntoIter<Entry>,
    items: u64,
}

impl Pinterest {
    pub fn open(path: &Path) -> Result<Pinterest, ImportError> {
        let mut archive = Archive::open(path)?;
        let mut harvest = Harvest::default();
        harvest.rest.extend(archive.refused.drain(..).map(Entry::Refused));
        for name in archive.names.clone() {
            harvest.read_file(&mut archive, &name);
        }
        if harvest.recognised == 0 {
            return Err(ImportError::Unrecognised {
                path: path.to_owned(),
                expected: "a Pinterest archive",
                why:
                    "no board, pin or followed account was found in it; give the zip file that Pinterest sent, or the folder it unpacks to"
                        .into(),
            });
        }
        let items = harvest.seen.len() as u64;
        let entries: Vec<Entry> = harvest.boards.into_entries().chain(harvest.rest).collect();
        Ok(Pinterest { entries: entries.into_iter(), items })
    }
}

impl Iterator for Pinterest {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entries.next()
    }
}

impl Reader for Pinterest {
    fn estimate(&self) -> Option<u64> {
        Some(self.items)
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pin,
    Board,
    Section,
    FollowedPerson,
    FollowedBoard,
    FollowedTopic,
    /// Something of the archive that a pinboard has no use for: sessions, devices, searches.
    Other,
}

/// Labelled values, from whatever file.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    kind: Kind,
    /// The address on Pinterest.
    link: Option<String>,
    /// By label in lower case without blanks: "boardname".
    fields: BTreeMap<String, String>,
}

impl Record {
    fn field(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    fn is(&self, names: &[&str]) -> bool {
        self.field(names).is_some_and(is_yes)
    }
}

/// Everything found so far.
#[derive(Default)]
struct Harvest {
    boards: BoardList,
    rest: Vec<Entry>,
    /// Keys of the pins: an archive may hold the same pin in several files.
    seen: HashSet<String>,
    recognised: usize,
}

impl Harvest {
    fn read_file(&mut self, archive: &mut Archive, name: &str) {
        let file_name = name.rsplit('/').next().unwrap_or(name);
        let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
        if file_name.starts_with('.') || name.starts_with("__MACOSX/") || DECORATION.contains(&extension.as_str()) {
            return;
        }
        if !["html", "htm", "json", "csv", "tsv"].contains(&extension.as_str()) {
            return self.refuse(name, "a file of this kind is not read");
        }
        let bytes = match archive.read(name) {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(name, &format!("it can't be read: {error}")),
        };
        let before = self.recognised;
        let found = match extension.as_str() {
            "html" | "htm" => {
                html::records(&decode(&bytes), &mut |record| self.take(record, archive));
                Ok(())
            }
            "json" => json::records(&bytes, &mut |record| self.take(record, archive)),
            _ => self.read_table(&bytes, name),
        };
        match found {
            Err(why) => self.refuse(name, &why),
            Ok(()) if self.recognised == before => self.refuse(name, "no board, pin or followed account was recognised in it"),
            Ok(()) => {}
        }
    }

    fn refuse(&mut self, what: &str, why: &str) {
        self.rest.push(Refused::entry(what, why));
    }

    fn read_table(&mut self, bytes: &[u8], name: &str) -> Result<(), String> {
        for entry in Table::read(bytes, NO_BOARD)? {
            match entry {
                Entry::Item(item) => {
                    self.recognised += 1;
                    if self.has_room() && self.seen.insert(item.key.clone()) {
                        self.boards.add_place(&item.board, item.section.as_deref());
                        self.rest.push(Entry::Item(item));
                    }
                }
                Entry::Refused(refused) => self.refuse(&format!("{name}, {}", refused.what), &refused.why),
                other => self.rest.push(other),
            }
        }
        Ok(())
    }

    /// Says once when there are too many pins.
    fn has_room(&mut self) -> bool {
        if self.seen.len() == ITEMS_MAX {
            self.seen.insert(String::new());
            self.refuse("the rest of the archive", &format!("at most {ITEMS_MAX} pins are imported from one archive"));
        }
        self.seen.len() < ITEMS_MAX
    }

    fn take(&mut self, record: Record, archive: &Archive) {
        let name = record.field(&["name", "boardname", "title", "fullname", "username", "topic", "interest"]).map(str::to_owned);
        let link = record.link.clone();
        match record.kind {
            Kind::Other => return,
            Kind::Pin => self.take_pin(&record, archive),
            Kind::Board => {
                let from_link =
                    || link.as_deref().and_then(|link| link.trim_end_matches('/').rsplit('/').next()).map(|slug| slug.replace('-', " "));
                let Some(name) = name.or_else(from_link) else { return };
                let mut board = Board::named(&name).described(record.field(&["description", "details", "about"]));
                board.privacy = privacy(&record);
                board.sections = record.fields.get("sections").map(|list| split_keywords(list, false)).unwrap_or_default();
                board.sections.retain_mut(|section| match crate::item::section_name(section) {
                    Some(tidy) => {
                        *section = tidy;
                        true
                    }
                    None => false,
                });
                self.boards.add(board);
            }
            Kind::Section => {
                let (Some(board), Some(section)) = (record.field(&["boardname", "board"]), record.field(&["sectionname", "name", "title"]))
                else {
                    return;
                };
                let board = crate::item::board_name(board);
                self.boards.add_place(&board, crate::item::section_name(section).as_deref());
            }
            Kind::FollowedPerson | Kind::FollowedBoard | Kind::FollowedTopic => {
                let Some(name) = name.or_else(|| name_in(link.as_deref()?)).and_then(|name| fit(&name, 180)) else { return };
                self.rest.push(Entry::Follow(match record.kind {
                    Kind::FollowedPerson => Follow::Person { name, link },
                    Kind::FollowedBoard => Follow::Board { name, link },
                    _ => Follow::Topic { name },
                }));
            }
        }
        self.recognised += 1;
    }

    fn take_pin(&mut self, record: &Record, archive: &Archive) {
        let id = record.link.as_deref().and_then(pin_id).or_else(|| record.field(&["id", "pinid"]).map(str::to_owned));
        let what = match (record.field(&["title"]), &id) {
            (Some(title), Some(id)) => format!("pin {id} ({})", title.chars().take(80).collect::<String>()),
            (None, Some(id)) => format!("pin {id}"),
            (title, None) => format!("a pin without a number ({})", title.unwrap_or("untitled").chars().take(80).collect::<String>()),
        };
        if record.field(&["alive"]).is_some_and(|alive| !is_yes(alive)) {
            return self.refuse(&what, "it was deleted on Pinterest");
        }
        let source = record.field(&["canonicallink", "link", "sourceurl", "source", "originallink", "destinationlink"]).and_then(http_link);
        let Some(picture) = picture(record, source.as_deref(), archive) else {
            return self.refuse(&what, "the archive names neither its picture nor where it came from");
        };
        let key = match &id {
            Some(id) => key("pinterest", &[id.as_bytes()]),
            None => key("pinterest", &[format!("{:?}", record.fields).as_bytes()]),
        };
        if !self.has_room() || !self.seen.insert(key.clone()) {
            return;
        }
        let author = record
            .field(&["author", "creator", "pinner", "nativecreator"])
            .map(|name| Author { name: name.to_owned(), username_hint: None });
        let metadata = Metadata {
            title: record.field(&["title", "gridtitle"]).map(str::to_owned),
            description: record.field(&["details", "description", "note", "notes"]).map(str::to_owned),
            alt_text: record.field(&["alttext", "alt", "autoalttext"]).map(str::to_owned),
            link: source.or_else(|| record.link.clone()),
            keywords: record.field(&["keywords", "tags", "hashtags"]).map(|tags| split_keywords(tags, false)).unwrap_or_default(),
            author,
            at: record.field(&["createdat", "created", "date", "savedat", "pincreationtime", "timestamp"]).and_then(date::parse),
            license: None,
        };
        let draft = Draft {
            key,
            origin: what,
            board: record.field(&["boardname", "board", "boardtitle"]).unwrap_or(NO_BOARD).to_owned(),
            section: record.field(&["sectionname", "boardsection", "boardsectionname", "section"]).map(str::to_owned),
            metadata,
            picture,
            private: record.is(&["private", "isprivate", "secret"]),
            embedded_metadata: false,
        };
        let item = draft.finish();
        self.boards.add_place(&item.board, item.section.as_deref());
        self.rest.push(item.into());
    }
}

fn privacy(record: &Record) -> Option<Privacy> {
    if record.is(&["secret", "issecret", "private", "isprivate"]) {
        return Some(Privacy::Secret);
    }
    match record.field(&["privacy", "visibility"])?.to_ascii_lowercase().as_str() {
        "secret" | "private" => Some(Privacy::Secret),
        "protected" => Some(Privacy::Protected),
        "public" => Some(Privacy::Public),
        _ => None,
    }
}

/// Finds where a pin's picture is: in the archive, at Pinterest by its signature, or on the page it came from.
fn picture(record: &Record, source: Option<&str>, archive: &Archive) -> Option<PictureSource> {
    let named = record.field(&["image", "imageurl", "media", "mediaurl", "picture", "imagesignature", "storypinmedia"]);
    if let Some(named) = named {
        if let Some(signature) = signature_in(named) {
            return Some(PictureSource::FirstOf(addresses(&signature)));
        }
        if let Some(url) = http_link(named) {
            return Some(PictureSource::Url(url));
        }
        if archive.names.contains(named) {
            return Some(archive.picture(named));
        }
    }
    let page = source.map(str::to_owned).or_else(|| record.link.clone())?;
    Some(if is_picture_link(&page) { PictureSource::Url(page) } else { PictureSource::Page(page) })
}

/// Finds the signature of a picture, 32 hexadecimal digits, in a value that is no address.
fn signature_in(value: &str) -> Option<String> {
    if value.contains("://") {
        return None;
    }
    let is_signature = |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    value.split(|c: char| !c.is_ascii_alphanumeric()).find(is_signature).map(str::to_ascii_lowercase)
}

/// Lists where Pinterest keeps a picture: the original, whose form is not known, then the large rendition, always a JPEG.
fn addresses(signature: &str) -> Vec<String> {
    let path = format!("{}/{}/{}/{signature}", &signature[..2], &signature[2..4], &signature[4..6]);
    let original = ["jpg", "png", "gif", "webp"].map(|extension| format!("https://i.pinimg.com/originals/{path}.{extension}"));
    original.into_iter().chain([format!("https://i.pinimg.com/736x/{path}.jpg")]).collect()
}

/// Returns the number in an address like `https://www.pinterest.com/pin/123/`.
fn pin_id(link: &str) -> Option<String> {
    let (_, rest) = link.split_once("/pin/")?;
    let id: String = rest.chars().take_while(|c| !matches!(c, '/' | '?' | '#')).collect();
    (!id.is_empty()).then_some(id)
}

fn is_pinterest(link: &str) -> bool {
    url::Url::parse(link)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .is_some_and(|host| host.split('.').any(|part| part == "pinterest"))
}

/// Returns the last part of a profile's or board's address.
fn name_in(link: &str) -> Option<String> {
    let url = url::Url::parse(link).ok()?;
    url.path_segments()?.rev().find(|part| !part.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
