//! Imports: what a reader of a foreign collection yields becomes people, boards, sections and pins.
//!
//! ```text
//! reader ─▶ author? ─▶ board, section ─▶ picture ─▶ pin, claimed under (owner, key of the item) in the same transaction
//! ```
//!
//! Safe to stop anywhere and to run again: an item whose key is claimed is skipped before its picture is even read.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use import::{Entry, Item, PictureSource, Reader};
use media::FetchLimits;
use model::limits::{NAME_CHARS_MAX, check_name, check_username};
use model::object::Privacy;
use model::text::slug_of;
use model::{BoardId, EventKind, NameKind, SectionId, Stored, User, UserId};
use parking_lot::Mutex;
use serde_json::json;
use storage::Batch;
use tokio::sync::Mutex as AsyncMutex;

use crate::accounts::NewUser;
use crate::boards::NewBoard;
use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::pictures::StoredPicture;
use crate::pins::{NewPin, PinText, Place, source_key};
use crate::viewer::Viewer;

/// Items in work at once: enough to fill a group commit and both cores.
const IN_WORK_MAX: usize = 8;
/// Refusals kept for the report; more are only counted.
const REFUSALS_KEPT_MAX: usize = 10_000;
/// User names tried for an author before their pins are refused.
const USERNAME_TRIES_MAX: usize = 50;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Whose import it is; the pins' owner unless authors become people.
    pub user: UserId,
    /// Makes a person of each author, who owns the pins.
    pub people_from_author: bool,
}

/// What became of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportReport {
    pub made: u64,
    /// Were there already.
    pub skipped: u64,
    pub refused: u64,
    pub people_made: u64,
    pub boards_made: u64,
    /// What was refused and why, the first ones.
    pub refusals: Vec<(String, String)>,
}

/// What an item became.
enum Fate {
    Made,
    Skipped,
    Refused(String, String),
}

/// One import while it runs.
struct Import {
    app: App,
    options: ImportOptions,
    importer: Viewer,
    report: Mutex<ImportReport>,
    /// Authors, boards and sections met so far. One at a time is made, so that nothing is made twice.
    people: AsyncMutex<HashMap<String, Viewer>>,
    boards: AsyncMutex<HashMap<(UserId, String, bool), BoardId>>,
    sections: AsyncMutex<HashMap<(BoardId, String), SectionId>>,
    described: Mutex<HashMap<String, import::Board>>,
}

impl App {
    /// Imports everything that `reader` yields. `progress` is called after each item.
    pub async fn import(
        &self,
        options: ImportOptions,
        reader: Box<dyn Reader>,
        progress: impl Fn(&ImportReport) + Send + Sync,
    ) -> Result<ImportReport> {
        let user = self.object::<User>(options.user).await?.filter(|user| user.active).ok_or(Error::NotFound(What::User))?;
        let import = Import {
            app: self.clone(),
            options,
            importer: Viewer::signed_in(user),
            report: Mutex::default(),
            people: AsyncMutex::default(),
            boards: AsyncMutex::default(),
            sections: AsyncMutex::default(),
            described: Mutex::default(),
        };
        let import = &import;
        futures_util::stream::iter(reader)
            .map(|entry| async move { import.take(entry).await })
            .buffer_unordered(IN_WORK_MAX)
            .for_each(|fate| {
                if let Some(fate) = fate {
                    import.note(fate);
                    progress(&import.report.lock());
                }
                std::future::ready(())
            })
            .await;
        Ok(import.report.lock().clone())
    }
}

impl Import {
    async fn take(&self, entry: Entry) -> Option<Fate> {
        match entry {
            Entry::Board(board) => {
                self.described.lock().insert(board.name.clone(), board);
                None
            }
            Entry::Item(item) => {
                let origin = item.origin.clone();
                let fate = match self.item((*item).clone()).await {
                    // The last other pin of its picture is gone, and the bytes went before this one took hold of them.
                    Err(Error::NotFound(What::Picture)) => self.item(*item).await,
                    fate => fate,
                };
                Some(fate.unwrap_or_else(|error| Fate::Refused(origin, reason(&error))))
            }
            Entry::Follow(follow) => self.follow(follow).await,
            Entry::Refused(refused) => Some(Fate::Refused(refused.what, refused.why)),
        }
    }

    fn note(&self, fate: Fate) {
        let mut report = self.report.lock();
        match fate {
            Fate::Made => report.made += 1,
            Fate::Skipped => report.skipped += 1,
            Fate::Refused(what, why) => {
                report.refused += 1;
                let details = json!({ "what": what, "why": why });
                let event = self.app.event_with(EventKind::ImportRefused, Some(self.options.user), String::new(), Vec::new(), details);
                self.app.events.emit(event);
                if report.refusals.len() < REFUSALS_KEPT_MAX {
                    report.refusals.push((what, why));
                }
            }
        }
    }

    async fn item(&self, item: Item) -> Result<Fate> {
        let owner = self.owner_of(&item).await?;
        let owner_id = owner.require()?;
        let key = source_key(owner_id, &item.key);
        if self.app.name(NameKind::SourceKey, &key).await?.is_some() {
            return Ok(Fate::Skipped);
        }
        let (picture, bytes) = self.picture_of(&item.picture).await?;
        let found = match bytes.filter(|_| item.embedded_metadata) {
            Some(bytes) => media::read_metadata(&bytes),
            None => media::PictureMetadata::default(),
        };
        let board = self.board_of(&owner, owner_id, &item).await?;
        let section = self.section_of(&owner, board, item.section.as_deref()).await?;
        let text = PinText {
            title: item.title.or(found.title).unwrap_or_default().chars().take(model::limits::PIN_TITLE_CHARS_MAX).collect(),
            description: item
                .description
                .or(found.description)
                .unwrap_or_default()
                .chars()
                .take(model::limits::PIN_DESCRIPTION_CHARS_MAX)
                .collect(),
            alt_text: item.alt_text.unwrap_or_default(),
            link: item.link.or(found.link).unwrap_or_default(),
        };
        let mut new = NewPin::new(Place { board, section }, text, picture);
        new.keywords = if item.keywords.is_empty() { found.keywords } else { item.keywords };
        new.at = item.at.or(found.taken_at.map(model::Timestamp));
        new.source_key = Some(item.key);
        match self.app.create_pin(&owner, new).await {
            Ok(_) => Ok(Fate::Made),
            // The same item twice in one source, or two imports at once.
            Err(Error::Conflict(_)) if self.app.name(NameKind::SourceKey, &key).await?.is_some() => Ok(Fate::Skipped),
            Err(error) => Err(error),
        }
    }

    async fn picture_of(&self, source: &PictureSource) -> Result<(StoredPicture, Option<Bytes>)> {
        let limit = self.app.media.limits().body_bytes_max;
        let local = source.clone();
        let read = tokio::task::spawn_blocking(move || local.read(limit)).await.map_err(Error::internal)?;
        if let Some(read) = read {
            let bytes = Bytes::from(read.map_err(|error| Error::invalid("picture", format!("The file can't be read: {error}")))?);
            return Ok((self.app.store_picture(bytes.clone()).await?, Some(bytes)));
        }
        match source {
            PictureSource::Page(url) => self.app.best_picture_of_page(url).await,
            PictureSource::Url(url) => self.fetched(url).await,
            PictureSource::FirstOf(urls) => {
                let mut last = Error::invalid("picture", "There is no address of a picture.");
                for url in urls {
                    match self.fetched(url).await {
                        Ok(found) => return Ok(found),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            PictureSource::File(_) | PictureSource::ZipEntry { .. } | PictureSource::Bytes(_) => {
                Err(Error::internal("a local picture was not read"))
            }
        }
    }

    async fn fetched(&self, url: &str) -> Result<(StoredPicture, Option<Bytes>)> {
        let fetched = self.app.fetch(url, FetchLimits::PICTURE).await?;
        Ok((self.app.store_picture(fetched.bytes.clone()).await?, Some(fetched.bytes)))
    }

    /// Returns who owns the pin: its author as a person, or the importer.
    async fn owner_of(&self, item: &Item) -> Result<Viewer> {
        let Some(author) = item.author.as_ref().filter(|_| self.options.people_from_author) else { return Ok(self.importer.clone()) };
        let known = author.username_hint.as_ref().unwrap_or(&author.name).trim().to_lowercase();
        let mut people = self.people.lock().await;
        if let Some(person) = people.get(&known) {
            return Ok(person.clone());
        }
        let person = self.person(&known, author).await?;
        people.insert(known, person.clone());
        Ok(person)
    }

    async fn person(&self, known: &str, author: &import::Author) -> Result<Viewer> {
        let key = source_key(self.options.user, &format!("author/{known}"));
        if let Some(name) = self.app.name(NameKind::SourceKey, &key).await?
            && let Some(user) = self.app.object::<User>(name.id).await?
        {
            return Ok(Viewer::signed_in(user));
        }
        let id = self.make_person(known, author).await?;
        let mut batch = Batch::on(self.options.user.shard());
        batch.claim(NameKind::SourceKey, &key, id.id()).confirm(NameKind::SourceKey, &key, id.id());
        self.app.commit(batch).await?;
        let user = self.app.object::<User>(id).await?.ok_or(Error::NotFound(What::User))?;
        Ok(Viewer::signed_in(user))
    }

    /// Makes an author's account under the first user name that is free. One that an earlier run made, and that nobody can log in to, is
    /// the same author.
    async fn make_person(&self, known: &str, author: &import::Author) -> Result<UserId> {
        let name = check_name("name", "The author's name", &author.name.chars().take(NAME_CHARS_MAX).collect::<String>(), NAME_CHARS_MAX)?;
        let base = username_from(author.username_hint.as_deref().unwrap_or(known));
        for n in 1..=USERNAME_TRIES_MAX {
            let username = if n == 1 {
                base.clone()
            } else {
                format!("{}-{n}", base.chars().take(25).collect::<String>().trim_end_matches(['-', '.', '_']))
            };
            if check_username(&username).is_err() {
                continue;
            }
            if let Some(holder) = self.app.name(NameKind::Username, &username).await? {
                let stored: Option<Stored<User>> = self.app.fresh::<User>(holder.id).await?;
                if let Some(user) = stored.filter(|user| user.data.password_hash.is_empty() && user.data.name == name) {
                    return UserId::try_from(user.id).map_err(Error::internal);
                }
                continue;
            }
            let new = NewUser { username, name: name.clone(), without_login: true, ..NewUser::default() };
            match self.app.sign_up(&Viewer::anonymous(), new).await {
                Ok(id) => {
                    self.report.lock().people_made += 1;
                    return Ok(id);
                }
                Err(Error::Invalid(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict(format!("No free user name was found for the author '{name}'.")))
    }

    async fn board_of(&self, owner: &Viewer, owner_id: UserId, item: &Item) -> Result<BoardId> {
        let mut boards = self.boards.lock().await;
        let cache_key = (owner_id, item.board.clone(), item.private);
        if let Some(board) = boards.get(&cache_key) {
            return Ok(*board);
        }
        let described = self.described.lock().get(&item.board).cloned().unwrap_or_default();
        let secret = item.private || described.privacy == Some(import::Privacy::Secret);
        let name = if item.private && described.privacy != Some(import::Privacy::Secret) {
            format!("{} (private)", item.board)
        } else {
            item.board.clone()
        };
        let existing = self.app.name(NameKind::BoardSlug, &format!("{owner_id}/{}", slug_of(&name))).await?;
        let board = match existing {
            Some(found) => {
                let board = BoardId::try_from(found.id).map_err(Error::internal)?;
                let stored = self.app.fresh::<model::Board>(board).await?;
                // Private things never go to a board that others see.
                if secret && stored.is_some_and(|stored| stored.data.privacy != Privacy::Secret) {
                    return Err(Error::Conflict(format!(
                        "The board '{name}' is not secret, and this is private. Make the board secret and import again."
                    )));
                }
                board
            }
            None => {
                let privacy = match described.privacy {
                    _ if secret => Privacy::Secret,
                    Some(import::Privacy::Protected) => Privacy::Protected,
                    _ => Privacy::Public,
                };
                let new = NewBoard { name, description: described.description.unwrap_or_default(), privacy };
                let card = self.app.create_board(owner, new).await?;
                self.report.lock().boards_made += 1;
                card.id()
            }
        };
        boards.insert(cache_key, board);
        Ok(board)
    }

    async fn section_of(&self, owner: &Viewer, board: BoardId, name: Option<&str>) -> Result<Option<SectionId>> {
        let Some(name) = name else { return Ok(None) };
        let mut sections = self.sections.lock().await;
        let key = (board, name.to_lowercase());
        if let Some(section) = sections.get(&key) {
            return Ok(Some(*section));
        }
        let there = self.app.all_sections(owner, board).await?;
        let found = there.iter().find(|section| section.data.name.eq_ignore_ascii_case(name)).map(Arc::clone);
        let section = match found {
            Some(section) => section,
            None => self.app.create_section(owner, board, name).await?,
        };
        let id = SectionId::try_from(section.id).map_err(Error::internal)?;
        sections.insert(key, id);
        Ok(Some(id))
    }

    /// Follows topics again; people and boards of another site are not here to be followed.
    async fn follow(&self, follow: import::Follow) -> Option<Fate> {
        let import::Follow::Topic { name } = follow else { return None };
        let tag = model::text::tag_of_keyword(&name)?;
        let followed = async {
            let topic = self.app.ensure_topic(&tag).await?;
            self.app.follow(&self.importer, feeds::Target::Topic(topic)).await
        };
        followed.await.err().map(|error| Fate::Refused(format!("topic {name}"), reason(&error)))
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Internal(cause) => format!("{cause:#}"),
        other => other.to_string(),
    }
}

/// Makes a user name of a person's name: "Ada Lovelace" becomes "ada-lovelace".
fn username_from(name: &str) -> String {
    let mut username = String::new();
    for c in name.to_lowercase().chars().take(NAME_CHARS_MAX) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') {
            username.push(c);
        } else if !username.ends_with('-') && !username.is_empty() {
            username.push('-');
        }
    }
    let username: String = username.chars().take(28).collect();
    let username = username.trim_matches(['-', '.', '_']);
    match check_username(username) {
        Ok(name) => name,
        Err(_) if username.is_empty() => "author".into(),
        Err(_) => format!("{username}-author"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_of_authors() {
        for (name, username) in [
            ("Ada Lovelace", "ada-lovelace"),
            ("  --Ünal Çelik ", "nal-elik"),
            ("12345", "12345-author"),
            ("x", "x-author"),
            ("日本", "author"),
            ("Admin", "admin-author"),
        ] {
            assert_eq!(username_from(name), username);
            assert!(check_username(&username_from(name)).is_ok());
        }
    }
}
