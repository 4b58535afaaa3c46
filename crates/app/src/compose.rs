//! The application: the services it composes and the settings it runs with.

use std::sync::Arc;

use cache::Stale;
use model::id::Shard;
use model::{Event, EventKind, Id, NameKind, Object, Stored, Timestamp, UserId};
use runtime::{Health, SharedClock, new_event_id};
use serde_json::Value;

use crate::error::Result;
use crate::lists::WrittenLists;
use crate::plan::Whole;
use crate::viewer::Viewer;

/// Everything an action needs, handed in by the binary.
pub struct Parts {
    pub storage: storage::Storage,
    pub cache: cache::Cache,
    pub feeds: feeds::Feeds,
    pub jobs: ::jobs::Jobs,
    pub events: events::Events,
    pub search: ::search::Search,
    pub media: media::Media,
    pub fetcher: media::Fetcher,
    pub clock: SharedClock,
    pub health: Health,
    pub settings: Settings,
}

/// What whoever runs the site can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site's own address as people type it, without a slash at the end; it stands in mails.
    pub base_url: String,
    pub site_title: String,
    pub mail_url: String,
    pub mail_from: String,
    /// How long deleted pins can be restored.
    pub trash_retention_ms: i64,
    /// How long the bytes of a picture stay after the last pin of it is gone.
    pub picture_grace_ms: i64,
    pub session_lifetime_ms: i64,
    /// Name of this process in events.
    pub host: String,
    pub role: String,
    /// Memory and passes of Argon2id; smaller only in tests.
    pub password_cost: PasswordCost,
}

#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            base_url: "http://localhost:8080".into(),
            site_title: "Corkboard".into(),
            mail_url: "file:data/mail".into(),
            mail_from: "corkboard@localhost".into(),
            trash_retention_ms: 30 * Timestamp::DAY,
            picture_grace_ms: Timestamp::HOUR,
            session_lifetime_ms: 90 * Timestamp::DAY,
            host: "localhost".into(),
            role: "all".into(),
            // OWASP's second choice for Argon2id: 19 MiB, two passes, one lane.
            password_cost: PasswordCost { memory_kib: 19 * 1024, passes: 2 },
        }
    }
}

/// A write that nobody got an answer of has happened by then, or never will: statements and calls have shorter limits.
const UNKNOWN_WRITES_END_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Locks that people share by chance: enough for two who read at the same moment to seldom wait for each other.
const TURNS: usize = 256;

struct Turns([tokio::sync::Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Turns {
        Turns(std::array::from_fn(|_| tokio::sync::Mutex::new(())))
    }
}

/// The application. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    parts: Parts,
    turns: Turns,
    whole: Whole,
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl App {
    pub fn new(parts: Parts) -> App {
        App(Arc::new(Inner { parts, turns: Turns::default(), whole: Whole::default() }))
    }

    /// Waits until nobody else in this process reads and writes what this person was shown, and holds that until the guard goes.
    pub(crate) async fn turn_of(&self, user: UserId) -> tokio::sync::MutexGuard<'_, ()> {
        // Fibonacci hashing: the high bits depend on both shard and number.
        let turn = user.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.0.turns.0[turn as usize % TURNS].lock().await
    }

    pub(crate) fn whole(&self) -> &Whole {
        &self.0.whole
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes an event of this process, now.
    pub fn event(&self, kind: EventKind, viewer: &Viewer, subjects: Vec<Id>) -> Event {
        self.event_with(kind, viewer.id(), viewer.request_id.clone(), subjects, Value::Null)
    }

    pub fn event_with(&self, kind: EventKind, actor: Option<UserId>, request_id: String, subjects: Vec<Id>, data: Value) -> Event {
        let at = self.now();
        let (role, host) = (self.settings.role.clone(), self.settings.host.clone());
        Event { id: new_event_id(at), kind, at, actor, subjects, request_id, role, host, data }
    }

    /// Writes a batch and forgets the cached copies of what it changed, also those that other processes share. Both go on when the caller
    /// goes away: a write that happened must not leave what was cached of before.
    pub async fn commit(&self, batch: storage::Batch) -> Result<storage::Written> {
        let mut answers = self.commit_in_turn(vec![batch], 1).await?;
        answers.pop().flatten().unwrap_or_else(|| Err(crate::error::Error::internal("a write was not answered")))
    }

    /// Does the same with batches that are written in turn ([`storage::Storage::write_in_turn`]): the first `needed` need each other, the others
    /// need those. `None`: it was not tried.
    pub async fn commit_in_turn(&self, batches: Vec<storage::Batch>, needed: usize) -> Result<Vec<Option<Result<storage::Written>>>> {
        let app = self.clone();
        tokio::spawn(async move { app.write_and_forget(batches, needed).await }).await.map_err(crate::error::Error::internal)
    }

    async fn write_and_forget(&self, mut batches: Vec<storage::Batch>, needed: usize) -> Vec<Option<Result<storage::Written>>> {
        let lists: Vec<WrittenLists> = batches.iter().map(WrittenLists::of).collect();
        let began = self.cache.begin();
        let answers = match batches.len() {
            1 => vec![Some(self.storage.write(batches.remove(0)).await)],
            _ => self.storage.write_in_turn(batches, needed).await,
        };
        let (mut stale, mut grown, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (lists, answer) in lists.iter().zip(&answers) {
            match answer {
                Some(Ok(written)) => {
                    stale.extend(written.versions.iter().map(|(id, version)| Stale::object(*id, *version)));
                    let (grew, others) = lists.grown_and_stale(written);
                    grown.extend(grew);
                    stale.extend(others);
                }
                // It may have happened, or still be on its way.
                Some(Err(storage::Error::Unknown(_))) => unknown.extend(lists.stale()),
                Some(Err(_)) | None => {}
            }
        }
        stale.extend(unknown.iter().cloned());
        if !stale.is_empty() || !grown.is_empty() {
            self.cache.invalidate_written(began, stale, grown).await;
        }
        if !unknown.is_empty() {
            let cache = self.cache.clone();
            tokio::spawn(async move {
                tokio::time::sleep(UNKNOWN_WRITES_END_WITHIN).await;
                cache.invalidate_many(unknown).await;
            });
        }
        answers.into_iter().map(|answer| answer.map(|written| Ok(written?))).collect()
    }

    /// Looks a unique name up. What can't be a name, because it is empty or too long, is nobody's.
    pub async fn name(&self, kind: NameKind, key: &str) -> Result<Option<storage::Name>> {
        if key.is_empty() || key.len() > storage::NAME_KEY_BYTES_MAX {
            return Ok(None);
        }
        Ok(self.storage.name(kind, key).await?)
    }

    /// Finds an object by a unique name. What the name led to the last time will do while the object itself still says that it has the name.
    pub(crate) async fn object_named<T: Object>(
        &self,
        kind: NameKind,
        key: &str,
        has_name: impl Fn(&Stored<T>) -> bool,
    ) -> Result<Option<Id>> {
        let hint = format!("{}/{key}", kind.as_str());
        if let Some(id) = self.cache.hint(&hint)
            && self.object::<T>(id).await?.is_some_and(|object| object.active && has_name(&object))
        {
            return Ok(Some(id));
        }
        let Some(name) = self.name(kind, key).await? else { return Ok(None) };
        self.cache.keep_hint(&hint, name.id);
        Ok(Some(name.id))
    }

    /// Reads one object through the cache. Inactive rows come too.
    pub async fn object<T: Object>(&self, id: impl Into<Id>) -> Result<Option<Arc<Stored<T>>>> {
        let id = id.into();
        if id.kind() != T::KIND {
            return Ok(None);
        }
        Ok(self.objects::<T>(&[id]).await?.pop().flatten())
    }

    /// Reads objects through the cache, in the order of `ids`.
    pub async fn objects<T: Object>(&self, ids: &[Id]) -> Result<Vec<Option<Arc<Stored<T>>>>> {
        let storage = self.storage.clone();
        let found = self.cache.get_many(ids, move |missing| async move { storage.get_many::<T>(&missing).await }).await?;
        Ok(found)
    }

    /// Reads one object past the cache: for changes, which name the version they read.
    pub async fn fresh<T: Object>(&self, id: impl Into<Id>) -> Result<Option<Stored<T>>> {
        let id = id.into();
        if id.kind() != T::KIND {
            return Ok(None);
        }
        Ok(self.storage.get::<T>(id).await?.filter(|stored| stored.active))
    }

    pub async fn new_id<T: TryFrom<Id, Error = model::IdError>>(&self, shard: Shard, kind: model::Kind) -> Result<T> {
        let id = self.storage.new_id(shard, kind).await?;
        T::try_from(id).map_err(crate::error::Error::internal)
    }
}
