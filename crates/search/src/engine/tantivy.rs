//! The embedded engine: one tantivy index in a folder, or in memory.
//!
//! ```text
//! changes ─▶ delete by id + add ─▶ commit (payload: format, offset) ─▶ reload ─▶ visible
//! query   ─▶ compile (AST → tantivy) ─▶ top documents by score × saves × freshness ─▶ ids
//! ```
//!
//! Invariants
//! - A commit is atomic: after a crash the index is that of the last commit, and its payload says which offset that was.
//! - Whatever is not of this format, or is broken, starts over empty and without an offset: the log or the store fill it again.
//! - Every read has the term of its viewer in it, and what it found is looked at once more before it leaves (`View::best`, `View::run`).

mod analyzer;
mod compile;
mod discover;
mod excluded;
mod fields;
mod similar;
mod view;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use model::UserId;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError, Term,
    directory::{Directory, INDEX_WRITER_LOCK, MmapDirectory},
    indexer::IndexWriterOptions,
    merge_policy::LogMergePolicy,
};

use crate::{
    document::Change,
    error::{Error, Result},
    language::Query,
    request::{Guide, Hit, Lookup, Page, Seed, Stats, Suggestion},
};

use self::{analyzer::Analyzers, fields::Fields, view::View};

use super::Engine;

/// Grows whenever the same fields mean something else. The schema itself is compared too.
const FORMAT: u32 = 1;
/// Bytes of the buffer in which a commit is built: the least that tantivy takes. A larger commit is written in parts.
const WRITER_BYTES: usize = 15_000_000;
/// Segments of a size that are merged into one. Fewer make reads faster and commits dearer.
const MERGE_SEGMENTS_MIN: usize = 8;
/// Documents below which segments count as of the same size: about what a few commits make.
const MERGE_LAYER_DOCUMENTS_MIN: u32 = 1_000;
/// The share of deleted documents above which a segment is rewritten alone. Documents change with every save.
const MERGE_DELETED_RATIO: f32 = 0.3;

/// Blocks of 16 KiB of stored texts that each segment keeps at hand. They are mapped from the file and not compressed, so that the
/// system's own cache does as well.
const CARD_BLOCKS_CACHED: usize = 8;

/// What a commit says about itself.
#[derive(Serialize, Deserialize)]
struct Payload {
    format: u32,
    offset: Option<i64>,
}

/// The embedded engine. Cheap to clone.
#[derive(Clone)]
pub struct TantivyEngine {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` in memory.
    folder: Option<PathBuf>,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    analyzers: Analyzers,
    /// Made at the first change, so that a process that only reads needs neither the memory nor the lock.
    writer: Mutex<Option<IndexWriter>>,
    offset: RwLock<Option<i64>>,
    topics: discover::TopicsMemo,
}

impl fmt::Debug for TantivyEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TantivyEngine").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl TantivyEngine {
    /// Opens the index in `folder`, or makes it. An index that can't be used starts over empty, which is said in the log.
    pub fn open(folder: &Path) -> Result<TantivyEngine> {
        check_folder(folder)?;
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        match TantivyEngine::open_existing(folder) {
            Ok(engine) => Ok(engine),
            Err(error @ (Error::Unavailable(_) | Error::Conflict(_))) => Err(error),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the search index can't be used; it starts over empty and has to be filled again");
                empty_folder(folder)?;
                TantivyEngine::open_existing(folder)
            }
        }
    }

    /// Makes an empty index in memory.
    pub fn in_memory() -> Result<TantivyEngine> {
        let (schema, fields) = Fields::schema();
        TantivyEngine::with_index(None, Index::create_in_ram(schema), fields)
    }

    fn open_existing(folder: &Path) -> Result<TantivyEngine> {
        let directory = MmapDirectory::open(folder).map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
        let (schema, fields) = Fields::schema();
        // tantivy panics on some kinds of damage.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let index = Index::open_or_create(directory, schema).map_err(from_tantivy)?;
            TantivyEngine::with_index(Some(folder.to_owned()), index, fields)
        }));
        opened.unwrap_or_else(|_| Err(Error::Corrupt(format!("The search index in {} is damaged.", folder.display()))))
    }

    fn with_index(folder: Option<PathBuf>, index: Index, fields: Fields) -> Result<TantivyEngine> {
        let analyzers = Analyzers::new();
        analyzers.register(index.tokenizers());
        let payload = index.load_metas().map_err(from_tantivy)?.payload;
        let offset = match payload {
            None => None,
            Some(payload) => match serde_json::from_str::<Payload>(&payload) {
                Ok(payload) if payload.format == FORMAT => payload.offset,
                _ => return Err(Error::Corrupt("The search index was written by another version of this program.".to_owned())),
            },
        };
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CARD_BLOCKS_CACHED)
            .try_into()
            .map_err(from_tantivy)?;
        let inner = Inner {
            folder,
            index,
            reader,
            fields,
            analyzers,
            writer: Mutex::default(),
            offset: RwLock::new(offset),
            topics: discover::TopicsMemo::default(),
        };
        Ok(TantivyEngine { inner: Arc::new(inner) })
    }

    /// Runs `work` where waiting for a disk is allowed.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|error| Err(Error::Corrupt(format!("The search index failed in a way that it should not: {error}"))))
    }
}

impl Inner {
    fn view(&self) -> View {
        View { searcher: self.reader.searcher(), fields: self.fields, analyzers: self.analyzers.clone() }
    }

    /// Runs `work` with the writer and commits. After a failure the writer is thrown away with all that it holds.
    fn commit(&self, offset: Option<i64>, work: impl FnOnce(&mut IndexWriter) -> tantivy::Result<()>) -> Result<()> {
        let mut slot = self.writer.lock();
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => self.open_writer()?,
        };
        work(&mut writer).map_err(from_tantivy)?;
        let payload = Payload { format: FORMAT, offset };
        let mut prepared = writer.prepare_commit().map_err(from_tantivy)?;
        prepared.set_payload(&serde_json::to_string(&payload).expect("a payload is plain"));
        prepared.commit().map_err(|error| Error::Unknown(format!("The search index could not be written: {error}")))?;
        *self.offset.write() = offset;
        *slot = Some(writer);
        self.reader.reload().map_err(from_tantivy)
    }

    fn open_writer(&self) -> Result<IndexWriter> {
        let options =
            IndexWriterOptions::builder().memory_budget_per_thread(WRITER_BYTES).num_worker_threads(1).num_merge_threads(1).build();
        let writer: IndexWriter = self.index.writer_with_options(options).map_err(from_tantivy)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(MERGE_SEGMENTS_MIN);
        policy.set_min_layer_size(MERGE_LAYER_DOCUMENTS_MIN);
        policy.set_del_docs_ratio_before_merge(MERGE_DELETED_RATIO);
        writer.set_merge_policy(Box::new(policy));
        Ok(writer)
    }

    fn apply(&self, changes: &[Change], offset: Option<i64>) -> Result<()> {
        let offset = offset.or(*self.offset.read());
        self.commit(offset, |writer| {
            for change in changes {
                writer.delete_term(Term::from_field_u64(self.fields.id, change.id().as_u64()));
                if let Change::Put(doc) = change {
                    writer.add_document(self.fields.document(doc))?;
                }
            }
            Ok(())
        })
    }

    fn stats(&self) -> Result<Stats> {
        let searcher = self.reader.searcher();
        let bytes = match &self.folder {
            Some(folder) => folder_bytes(folder).map_err(|error| unusable(folder, &error))?,
            None => searcher.space_usage().map_err(|error| Error::Unavailable(error.to_string()))?.total().get_bytes(),
        };
        Ok(Stats {
            documents: searcher.num_docs(),
            bytes,
            segments: searcher.segment_readers().len() as u64,
            pending: 0,
            committed_offset: *self.offset.read(),
        })
    }
}

#[async_trait]
impl Engine for TantivyEngine {
    async fn apply(&self, changes: Arc<Vec<Change>>, offset: Option<i64>) -> Result<()> {
        self.blocking(move |inner| inner.apply(&changes, offset)).await
    }

    async fn clear(&self) -> Result<()> {
        self.blocking(|inner| inner.commit(None, |writer| writer.delete_all_documents().map(drop))).await
    }

    fn committed_offset(&self) -> Option<i64> {
        *self.inner.offset.read()
    }

    async fn query(&self, lookup: Lookup) -> Result<Page> {
        self.blocking(move |inner| inner.view().query(&lookup).map_err(from_tantivy)).await
    }

    async fn suggest(&self, prefix: String, viewer: Option<UserId>, limit: usize) -> Result<Vec<Suggestion>> {
        self.blocking(move |inner| inner.view().suggest(&prefix, viewer, limit).map_err(from_tantivy)).await
    }

    async fn similar(&self, seed: Seed, viewer: Option<UserId>, limit: usize) -> Result<Vec<Hit>> {
        self.blocking(move |inner| inner.view().similar(&seed, viewer, limit).map_err(from_tantivy)).await
    }

    async fn topics(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        self.blocking(move |inner| inner.topics.get(&inner.view(), limit).map_err(from_tantivy)).await
    }

    async fn guides(&self, query: Query, limit: usize) -> Result<Vec<Guide>> {
        self.blocking(move |inner| inner.view().guides(&query, limit).map_err(from_tantivy)).await
    }

    async fn stats(&self) -> Result<Stats> {
        self.blocking(|inner| inner.stats()).await
    }
}

/// Refuses a folder that holds something that is no index: opening would strew files among it.
fn check_folder(folder: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(folder, &error)),
    };
    let names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let is_index = names.iter().any(|name| name == "meta.json" || name == ".managed.json");
    match names.into_iter().find(|name| !name.starts_with('.')) {
        Some(name) if !is_index => Err(Error::Invalid(format!(
            "{} holds '{name}' and no search index; name an empty folder or one that is not there yet.",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Removes the files of an index, unless another process writes it.
fn empty_folder(folder: &Path) -> Result<()> {
    let directory = MmapDirectory::open(folder).map_err(|error| Error::Unavailable(format!("{}: {error}", folder.display())))?;
    let _lock = directory
        .acquire_lock(&INDEX_WRITER_LOCK)
        .map_err(|_| Error::Conflict(format!("Another process writes the search index in {}; stop it first.", folder.display())))?;
    for entry in std::fs::read_dir(folder).map_err(|error| unusable(folder, &error))? {
        let entry = entry.map_err(|error| unusable(folder, &error))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) && !entry.file_name().to_string_lossy().ends_with(".lock") {
            std::fs::remove_file(entry.path()).map_err(|error| unusable(folder, &error))?;
        }
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    // Merges delete files while we look.
    std::fs::read_dir(folder)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata().map_or(0, |file| file.len())))
}

fn unusable(folder: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("The folder of the search index, {}, can't be used: {error}", folder.display()))
}

/// Says what is known from an error of tantivy.
fn from_tantivy(error: TantivyError) -> Error {
    match error {
        TantivyError::LockFailure(..) => Error::Conflict("Another process writes the search index; stop it first.".to_owned()),
        TantivyError::IoError(_)
        | TantivyError::OpenWriteError(_)
        | TantivyError::OpenDirectoryError(_)
        | TantivyError::ErrorInThread(_) => Error::Unavailable(format!("The search index could not be used: {error}")),
        other => Error::Corrupt(format!("The search index can't be read: {other}")),
    }
}
