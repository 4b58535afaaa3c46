//! The front `Media`: what callers see. Limits, turns, single flight, spans and metrics are here, once, before the port.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tracing::instrument;

use crate::{
    container,
    encode::JPEG_QUALITY,
    engine::{BlobEntry, BlobKey, BlobName, Engine, FileEngine, MemoryEngine},
    error::{EngineError, MediaError, Refusal},
    limits::Limits,
    metrics as names,
    picture::{Hash, Picture},
    render::{self, Inspected},
    rendition::{Rendition, StoredRendition},
};

/// Part of every entity tag; raised when renditions are made in another way.
const RENDITION_VERSION: u32 = 1;
/// The unit in which memory is shared out: semaphores count in 32 bits.
const MEMORY_UNIT_BYTES: u64 = 1024 * 1024;
/// Blobs asked for in one page when all are counted.
const LIST_PAGE_COUNT: usize = 2_000;
/// Counting looks at every blob, so an answer serves for this long.
const USAGE_AGE_MAX: Duration = Duration::from_secs(10);

/// Pictures: takes them in, makes their renditions, serves and removes them. Clones share everything.
#[derive(Clone, Debug)]
pub struct Media {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<dyn Engine>,
    limits: Limits,
    cores: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    flights: Mutex<HashMap<Hash, Weak<AsyncMutex<()>>>>,
    usage: AsyncMutex<Option<(Instant, Usage)>>,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs: originals, renditions and what is known about them.
    pub objects: u64,
    pub bytes: u64,
}

impl Media {
    /// Opens a store by its URL: `file:PATH`, or `memory:` for trials.
    pub async fn open(url: &str, limits: Limits) -> Result<Media, MediaError> {
        let engine: Arc<dyn Engine> = match url.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Arc::new(FileEngine::open(PathBuf::from(path)).await?),
            Some(("memory", "")) => Arc::new(MemoryEngine::default()),
            _ => {
                return Err(MediaError::Invalid(format!(
                    "The picture store's URL is {url:?}; write file: and a folder, as in \"file:data/media\"."
                )));
            }
        };
        Ok(Media::with_engine(engine, limits))
    }

    /// Puts the front before an engine.
    pub fn with_engine(engine: Arc<dyn Engine>, limits: Limits) -> Media {
        let cores = match limits.workers_max {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let shared = Shared {
            engine,
            limits,
            cores: Arc::new(Semaphore::new(cores)),
            memory: Arc::new(Semaphore::new(memory_units(limits.working_bytes_max) as usize)),
            flights: Mutex::default(),
            usage: AsyncMutex::default(),
        };
        Media { shared: Arc::new(shared) }
    }

    /// Takes in a received file: checks it whole, strips its metadata and stores it durably. The same bytes a second
    /// time give the same answer and cost next to nothing.
    #[instrument(name = "media.ingest", skip_all, fields(bytes = bytes.len()))]
    pub async fn ingest(&self, bytes: Bytes) -> Result<Picture, MediaError> {
        let started = Instant::now();
        let taken = self.take_in(bytes).await;
        let outcome = match &taken {
            Ok((_, true)) => "stored",
            Ok((_, false)) => "duplicate",
            Err(MediaError::Refused(refusal)) => {
                metrics::counter!(names::REFUSALS_TOTAL, "reason" => refusal.reason()).increment(1);
                "refused"
            }
            Err(_) => "failed",
        };
        metrics::counter!(names::INGESTS_TOTAL, "outcome" => outcome).increment(1);
        metrics::histogram!(names::INGEST_SECONDS).record(started.elapsed());
        taken.map(|(picture, _)| picture)
    }

    /// Takes in a file; tells whether it is new.
    async fn take_in(&self, bytes: Bytes) -> Result<(Picture, bool), MediaError> {
        let limits = self.shared.limits;
        if bytes.len() as u64 > limits.body_bytes_max {
            return Err(Refusal::TooLarge { bytes: bytes.len() as u64, limit: limits.body_bytes_max }.into());
        }
        container::sniff(&bytes)?;
        let received = bytes.clone();
        // Hashing twenty megabytes would hold up everything else on this thread.
        let looked_at = tokio::task::spawn_blocking(move || (Hash::of(&received), render::working_bytes(&received, &limits))).await;
        let (hash, cost) = looked_at.map_err(thread_died)?;
        let flight = self.flight(hash);
        let _turn = flight.lock().await;
        if let Some(known) = self.known(hash).await? {
            return Ok((known, false));
        }
        let inspected = self.on_a_core(cost, move || render::inspect(&bytes, &limits)).await?;
        let Inspected { picture, original } = inspected?;
        self.put(BlobKey::rendition(hash, Rendition::Original), Bytes::from(original)).await?;
        let known = serde_json::to_vec(&picture).map_err(|error| MediaError::Invalid(error.to_string()))?;
        // Written last: it says that the original before it is durable.
        self.put(BlobKey::new(hash, BlobName::Picture), Bytes::from(known)).await?;
        Ok((picture, true))
    }

    /// Reads what is known about a stored picture; `None` when it isn't stored whole.
    async fn known(&self, hash: Hash) -> Result<Option<Picture>, MediaError> {
        let Some(json) = self.get(BlobKey::new(hash, BlobName::Picture)).await? else {
            return Ok(None);
        };
        if !self.contains(hash).await? {
            return Ok(None);
        }
        // What an older version wrote otherwise is computed anew.
        Ok(serde_json::from_slice(&json).ok().filter(|picture: &Picture| picture.hash == hash))
    }

    /// Answers what is known about a stored picture.
    pub async fn picture(&self, hash: Hash) -> Result<Picture, MediaError> {
        self.known(hash).await?.ok_or(MediaError::NotFound(hash))
    }

    /// Makes all renditions that are missing, in one decode. Doing it again costs a look.
    #[instrument(name = "media.make_renditions", skip_all, fields(picture.hash = %hash))]
    pub async fn make_renditions(&self, hash: Hash) -> Result<(), MediaError> {
        let flight = self.flight(hash);
        let _turn = flight.lock().await;
        self.make_missing(hash).await
    }

    /// Makes what is missing; the caller holds the picture's turn.
    async fn make_missing(&self, hash: Hash) -> Result<(), MediaError> {
        let mut missing = Vec::new();
        for rendition in Rendition::MADE {
            if !self.exists(BlobKey::rendition(hash, rendition)).await? {
                missing.push(rendition);
            }
        }
        if missing.is_empty() {
            // Renditions without an original are remains of a removal that was cut short.
            return if self.contains(hash).await? { Ok(()) } else { Err(MediaError::NotFound(hash)) };
        }
        let original = self.get(BlobKey::rendition(hash, Rendition::Original)).await?.ok_or(MediaError::NotFound(hash))?;
        // What was taken in under other limits is still shown.
        let limits = Limits { body_bytes_max: u64::MAX, ..self.shared.limits };
        let cost = render::working_bytes(&original, &limits);
        let work = move || {
            let started = Instant::now();
            let made = render::render(&original, &missing, &limits, JPEG_QUALITY);
            metrics::histogram!(names::RENDER_SECONDS).record(started.elapsed());
            made
        };
        let made = self.on_a_core(cost, work).await?.map_err(|refusal| MediaError::Corrupt { hash, why: refusal.to_string() })?;
        for (rendition, encoded) in made {
            self.put(BlobKey::rendition(hash, rendition), Bytes::from(encoded)).await?;
            metrics::counter!(names::RENDITIONS_MADE_TOTAL).increment(1);
        }
        Ok(())
    }

    /// Serves a rendition; one that is not there yet is made first, once for all who ask at the same time.
    #[instrument(name = "media.rendition", skip_all, fields(picture.hash = %hash, rendition = %rendition))]
    pub async fn rendition(&self, hash: Hash, rendition: Rendition) -> Result<StoredRendition, MediaError> {
        let served = self.serve(hash, rendition).await;
        let outcome = match &served {
            Ok((_, false)) => "stored",
            Ok((_, true)) => "made",
            Err(MediaError::NotFound(_)) => "absent",
            Err(_) => "failed",
        };
        metrics::counter!(names::RENDITION_REQUESTS_TOTAL, "outcome" => outcome).increment(1);
        served.map(|(stored, _)| stored)
    }

    /// Serves a rendition; tells whether it had to be made.
    async fn serve(&self, hash: Hash, rendition: Rendition) -> Result<(StoredRendition, bool), MediaError> {
        let key = BlobKey::rendition(hash, rendition);
        if let Some(bytes) = self.get(key).await? {
            return Ok((stored(hash, rendition, bytes)?, false));
        }
        if rendition == Rendition::Original {
            return Err(MediaError::NotFound(hash));
        }
        let flight = self.flight(hash);
        let _turn = flight.lock().await;
        if let Some(bytes) = self.get(key).await? {
            return Ok((stored(hash, rendition, bytes)?, false));
        }
        self.make_missing(hash).await?;
        let bytes = self.get(key).await?.ok_or(MediaError::NotFound(hash))?;
        Ok((stored(hash, rendition, bytes)?, true))
    }

    /// Tells whether the original is stored.
    pub async fn contains(&self, hash: Hash) -> Result<bool, MediaError> {
        self.exists(BlobKey::rendition(hash, Rendition::Original)).await
    }

    /// Deletes a picture with all its renditions, the original last, so that a removal that was cut short can be
    /// repeated. Tells whether there was anything.
    #[instrument(name = "media.remove", skip_all, fields(picture.hash = %hash))]
    pub async fn remove(&self, hash: Hash) -> Result<bool, MediaError> {
        let flight = self.flight(hash);
        let _turn = flight.lock().await;
        let mut has_deleted = false;
        for name in BlobName::ALL {
            has_deleted |= count_errors(self.shared.engine.delete(BlobKey::new(hash, name)).await)?;
        }
        Ok(has_deleted)
    }

    /// Counts what is stored. Looks at every blob; an answer serves for ten seconds.
    pub async fn usage(&self) -> Result<Usage, MediaError> {
        let mut last = self.shared.usage.lock().await;
        if let Some((counted_at, usage)) = *last
            && counted_at.elapsed() < USAGE_AGE_MAX
        {
            return Ok(usage);
        }
        let mut usage = Usage::default();
        let mut after = None;
        loop {
            let page = self.list(after, LIST_PAGE_COUNT).await?;
            usage.objects += page.len() as u64;
            usage.bytes += page.iter().map(|entry| entry.bytes).sum::<u64>();
            after = page.last().map(|entry| entry.key);
            if page.len() < LIST_PAGE_COUNT {
                break;
            }
        }
        *last = Some((Instant::now(), usage));
        Ok(usage)
    }

    /// Lists at most `count_max` blobs behind `after`, in the order of keys. Fewer than `count_max` means the end.
    pub async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, MediaError> {
        Ok(count_errors(self.shared.engine.list(after, count_max).await)?)
    }

    /// Gives the limits in force.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), MediaError> {
        Ok(count_errors(self.shared.engine.put(key, bytes).await)?)
    }

    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, MediaError> {
        Ok(count_errors(self.shared.engine.get(key).await)?)
    }

    async fn exists(&self, key: BlobKey) -> Result<bool, MediaError> {
        Ok(count_errors(self.shared.engine.exists(key).await)?)
    }

    /// Gives the lock under which a picture is written, made or removed.
    fn flight(&self, hash: Hash) -> Arc<AsyncMutex<()>> {
        let mut flights = self.shared.flights.lock();
        if let Some(flight) = flights.get(&hash).and_then(Weak::upgrade) {
            return flight;
        }
        // Finished flights are cleared when a new one begins and they are many.
        const FLIGHTS_KEPT: usize = 256;
        if flights.len() >= FLIGHTS_KEPT {
            flights.retain(|_, flight| flight.strong_count() > 0);
        }
        let flight = Arc::new(AsyncMutex::new(()));
        flights.insert(hash, Arc::downgrade(&flight));
        flight
    }

    /// Runs work on pixels on a thread of its own, when a core and so much memory are free.
    async fn on_a_core<T: Send + 'static>(&self, cost_bytes: u64, work: impl FnOnce() -> T + Send + 'static) -> Result<T, MediaError> {
        let closed = |_| MediaError::Unavailable("The picture store is closing.".to_owned());
        let units = memory_units(cost_bytes.min(self.shared.limits.working_bytes_max));
        let waiting = metrics::gauge!(names::WAITING);
        waiting.increment(1);
        let memory = Arc::clone(&self.shared.memory).acquire_many_owned(units).await;
        let core = Arc::clone(&self.shared.cores).acquire_owned().await;
        waiting.decrement(1);
        let (memory, core) = (memory.map_err(closed)?, core.map_err(closed)?);
        // The permits go into the thread: it goes on when the caller has gone away.
        let thread = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((memory, core));
            done
        });
        thread.await.map_err(thread_died)
    }
}

fn thread_died(error: tokio::task::JoinError) -> MediaError {
    MediaError::Unavailable(format!("The thread that worked on the picture died: {error}"))
}

fn memory_units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES)).unwrap_or(u32::MAX).max(1)
}

fn count_errors<T>(answer: Result<T, EngineError>) -> Result<T, EngineError> {
    if answer.is_err() {
        metrics::counter!(names::ENGINE_ERRORS_TOTAL).increment(1);
    }
    answer
}

fn stored(hash: Hash, rendition: Rendition, bytes: Bytes) -> Result<StoredRendition, MediaError> {
    let format = container::sniff(&bytes).map_err(|refusal| MediaError::Corrupt { hash, why: refusal.to_string() })?;
    Ok(StoredRendition { bytes, content_type: format.content_type(), etag: format!("\"{hash}-{rendition}-{RENDITION_VERSION}\"") })
}
