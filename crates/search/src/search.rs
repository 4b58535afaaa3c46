//! The front: validation, limits, deadlines, metrics and the background commits. Callers see only this.

use std::{path::Path, sync::Arc, time::Instant};

use model::{Id, UserId};
use runtime::SharedClock;
use tokio::{sync::Semaphore, task::AbortHandle};

use crate::{
    committer::Committer,
    document::{Change, Doc},
    engine::{Engine, TantivyEngine},
    error::{Error, Result},
    language::Query,
    limits::{OFFSET_MAX, PAGE_LIMIT_MAX, QUERY_CHARS_MAX, READ_DEADLINE, SUGGESTIONS_MAX, TOPICS_MAX},
    metrics,
    request::{Guide, Hit, Lookup, Page, SearchRequest, Seed, Stats, Suggestion},
};

/// The search service. Cheap to clone; the background commits end with the last clone.
#[derive(Clone)]
pub struct Search {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<dyn Engine>,
    clock: SharedClock,
    committer: Arc<Committer>,
    background: AbortHandle,
    /// Reads that run at once: more than there are cores would only slow each other down.
    readers: Semaphore,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.background.abort();
    }
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("engine", &self.inner.engine).finish_non_exhaustive()
    }
}

impl Search {
    /// Opens the index that a URL names: `tantivy:FOLDER`, or `memory:` for one that is gone with the process.
    /// Must be called on a tokio runtime, which then runs the commits.
    pub fn open(url: &str, clock: SharedClock) -> Result<Search> {
        let engine = match url.split_once(':') {
            Some(("tantivy", folder)) if !folder.is_empty() => TantivyEngine::open(Path::new(folder))?,
            Some(("memory", "")) => TantivyEngine::in_memory()?,
            _ => return Err(Error::Invalid(format!("'{url}' names no search index; known are tantivy:FOLDER and memory:"))),
        };
        Ok(Search::with_engine(Arc::new(engine), clock))
    }

    /// Puts the front before an engine.
    pub fn with_engine(engine: Arc<dyn Engine>, clock: SharedClock) -> Search {
        let committer = Arc::new(Committer::new(Arc::clone(&engine)));
        let background = tokio::spawn(Arc::clone(&committer).run()).abort_handle();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Search { inner: Arc::new(Inner { engine, clock, committer, background, readers: Semaphore::new(cores.max(2)) }) }
    }

    /// Puts documents, each in place of the one with the same id. Visible within a second.
    pub async fn put(&self, docs: Vec<Doc>) -> Result<()> {
        if docs.is_empty() {
            return Ok(());
        }
        self.inner.committer.push(docs.into_iter().map(|doc| Change::Put(Box::new(doc))).collect()).await
    }

    /// Removes documents; those that are not there are none. Invisible within a second.
    pub async fn remove(&self, ids: Vec<Id>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.inner.committer.push(ids.into_iter().map(Change::Remove).collect()).await
    }

    /// Remembers that every change up to this offset of the log has been put. Stored with the next commit, or after 30 s.
    pub fn put_offset(&self, offset: i64) {
        self.inner.committer.push_offset(offset);
    }

    /// Returns the offset from whose end the log has to be replayed; `None`: the index is new or was lost, fill it from storage.
    pub fn committed_offset(&self) -> Option<i64> {
        self.inner.engine.committed_offset()
    }

    /// Makes everything that was put, removed or remembered so far visible and durable.
    pub async fn flush(&self) -> Result<()> {
        self.inner.committer.flush().await
    }

    /// Forgets all documents and the offset, for a rebuild.
    pub async fn clear(&self) -> Result<()> {
        self.inner.committer.clear().await
    }

    /// Finds pins, boards or people. Any text is a query; what was not understood is in the notes.
    pub async fn query(&self, request: SearchRequest<'_>) -> Result<Page> {
        let query = Query::parse(request.text);
        let mut notes = query.notes.clone();
        if request.offset >= OFFSET_MAX {
            notes.push(format!("Only the first {OFFSET_MAX} hits can be reached; add words to find others."));
            return Ok(Page { hits: Vec::new(), more: false, notes });
        }
        let lookup = Lookup {
            query,
            kind: request.kind,
            viewer: request.viewer,
            owner: request.owner,
            order: request.order,
            offset: request.offset,
            limit: request.limit.clamp(1, PAGE_LIMIT_MAX),
            now: self.inner.clock.now(),
        };
        let mut page = self.read("query", self.inner.engine.query(lookup)).await?;
        notes.append(&mut page.notes);
        page.notes = notes;
        if page.hits.is_empty() && request.offset == 0 {
            ::metrics::counter!(metrics::EMPTY_PAGES_TOTAL).increment(1);
        }
        Ok(page)
    }

    /// Completes what was typed so far, from public documents only. The viewer is not suggested to themselves.
    pub async fn suggest(&self, prefix: &str, viewer: Option<UserId>, limit: usize) -> Result<Vec<Suggestion>> {
        let prefix: String = prefix.chars().take(QUERY_CHARS_MAX).collect();
        let limit = limit.min(SUGGESTIONS_MAX);
        if limit == 0 || prefix.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.read("suggest", self.inner.engine.suggest(prefix, viewer, limit)).await
    }

    /// Finds pins whose texts are like the seed's: a pin, or the texts of one that is not in the index yet. Each picture once.
    pub async fn similar(&self, seed: impl Into<Seed>, viewer: Option<UserId>, limit: usize) -> Result<Vec<Hit>> {
        let limit = limit.min(PAGE_LIMIT_MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.read("similar", self.inner.engine.similar(seed.into(), viewer, limit)).await
    }

    /// Lists the tags with the most public pins, and how many they have.
    pub async fn topics(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        self.read("topics", self.inner.engine.topics(limit.min(TOPICS_MAX))).await
    }

    /// Finds words that narrow a search for public pins down well, best first. None when the search finds few.
    pub async fn guides(&self, text: &str, limit: usize) -> Result<Vec<Guide>> {
        let query = Query::parse(text);
        if query.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        self.read("guides", self.inner.engine.guides(query, limit.min(SUGGESTIONS_MAX))).await
    }

    /// Counts documents, bytes, segments and what is pending.
    pub async fn stats(&self) -> Result<Stats> {
        let stats = self.read("stats", self.inner.engine.stats()).await?;
        Ok(Stats { pending: self.inner.committer.pending_count(), ..stats })
    }

    /// Runs a call that reads: few at once, with a deadline, measured.
    async fn read<T>(&self, call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let limited = async {
            let _permit = self.inner.readers.acquire().await.expect("the semaphore is never closed");
            work.await
        };
        let answer = tokio::time::timeout(READ_DEADLINE, limited).await.unwrap_or_else(|_| {
            Err(Error::Unavailable(format!("Search did not answer within {} s; try again in a moment.", READ_DEADLINE.as_secs())))
        });
        ::metrics::histogram!(metrics::READ_SECONDS, "call" => call).record(started.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            ::metrics::counter!(metrics::READ_FAILURES_TOTAL, "call" => call, "reason" => error.reason()).increment(1);
        }
        answer
    }
}

#[cfg(test)]
mod tests;
