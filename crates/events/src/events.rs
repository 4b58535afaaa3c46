//! The front `Events`: what callers see. Limits, encoding, deadlines, spans and metrics are here, once, before the port.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use model::{Event, Timestamp, Topic};
use runtime::SharedClock;
use tokio::sync::watch;
use tracing::instrument;

use crate::buffer::{Buffer, Flusher};
use crate::consumer::Consumer;
use crate::engine::{Engine, EngineStats, LogRow, SqliteEngine};
use crate::error::{Error, Result};
use crate::limits::{
    APPEND_EVENTS_MAX, BLANK_RECORDS, CONSUMER_ABSENCE_MS_MAX, DEADLINE, EVENT_BYTES_MAX, FORGET_RECORDS, GROUP_NAME_BYTES_MAX,
    READ_RECORDS_MAX,
};
use crate::metrics as names;
use crate::record::{GroupLag, Record, TopicStats};
use crate::spool::Spool;

/// The partition of a topic that this front uses: embedded engines have one.
pub(crate) const PARTITION: u32 = 0;

/// The log. Clones share everything; when the last one goes, what was emitted is still put away in the background.
#[derive(Clone, Debug)]
pub struct Events {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: ClockHandle,
    buffer: Arc<Buffer>,
    flusher: parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// The clock, with a `Debug` that says nothing.
#[derive(Clone)]
pub(crate) struct ClockHandle(pub(crate) SharedClock);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl ClockHandle {
    pub(crate) fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.buffer.close();
    }
}

/// What the log holds, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    pub topics: Vec<TopicStats>,
    /// Emitted events in memory.
    pub buffered: u64,
    /// Bytes on disk that wait because the log was away.
    pub spool_bytes: u64,
    /// Events lost since the start of the process.
    pub dropped: u64,
    pub engine: EngineStats,
}

impl Events {
    /// Opens a log by its URL, `sqlite:PATH`. Its spool is `PATH.spool.jsonl`. Must be called inside a tokio runtime.
    pub fn open(url: &str, clock: SharedClock) -> Result<Events> {
        match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                let engine = SqliteEngine::open(Path::new(path))?;
                Events::with_engine(Arc::new(engine), Some(PathBuf::from(format!("{path}.spool.jsonl"))), clock)
            }
            _ => Err(Error::Invalid(format!("The event log's URL is {url:?}; write sqlite: and a file, as in \"sqlite:data/events.db\"."))),
        }
    }

    /// Puts the front before an engine. Without a spool, what the engine does not take is dropped.
    pub fn with_engine(engine: Arc<dyn Engine>, spool: Option<PathBuf>, clock: SharedClock) -> Result<Events> {
        let handle = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::Invalid("The event log was opened outside a tokio runtime; open it inside one.".to_owned()))?;
        let buffer = Arc::new(Buffer::default());
        let flusher = Flusher::new(Arc::clone(&buffer), Arc::clone(&engine), spool.map(Spool::open), Arc::clone(&clock));
        let flusher = parking_lot::Mutex::new(Some(handle.spawn(flusher.run())));
        Ok(Events { shared: Arc::new(Shared { engine, clock: ClockHandle(clock), buffer, flusher }) })
    }

    /// Appends events, all or none, durably. Each goes to the topic of its kind; an id that is there already is ignored.
    #[instrument(name = "events.append", skip_all, fields(events.count = events.len()))]
    pub async fn append(&self, events: &[Event]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        if events.len() > APPEND_EVENTS_MAX {
            let count = events.len();
            return Err(Error::Invalid(format!("{count} events in one append; the limit is {APPEND_EVENTS_MAX}. Append them in parts.")));
        }
        let rows = events.iter().map(encode).collect::<Result<Vec<LogRow>>>()?;
        call("append", Effect::Write, self.shared.engine.append(rows)).await?;
        metrics::counter!(names::APPENDED_TOTAL).increment(events.len() as u64);
        Ok(())
    }

    /// Takes an event to append within about 200 ms. Never waits and never fails: while the log is away events wait on disk,
    /// and what can't be kept is dropped, counted and logged. For what must not be lost use `append`.
    pub fn emit(&self, event: Event) {
        self.shared.buffer.push(event, self.shared.clock.now());
    }

    /// Returns up to `limit` records of a topic behind the offset `after` (0: from the start), oldest first.
    pub async fn read(&self, topic: Topic, after: i64, limit: usize) -> Result<Vec<Record>> {
        let limit = limit.min(READ_RECORDS_MAX);
        let rows = call("read", Effect::Read, self.shared.engine.read(topic, PARTITION, after.max(0), limit)).await?;
        decode(topic, rows)
    }

    /// Returns the last `limit` records of a topic, newest first.
    pub async fn recent(&self, topic: Topic, limit: usize) -> Result<Vec<Record>> {
        let limit = limit.min(READ_RECORDS_MAX);
        let rows = call("recent", Effect::Read, self.shared.engine.recent(topic, PARTITION, limit)).await?;
        decode(topic, rows)
    }

    /// Returns the last offset of a topic; 0 before the first event.
    pub async fn end(&self, topic: Topic) -> Result<i64> {
        Ok(self.bounds(topic).await?.end)
    }

    /// Returns the first offset that retention has left; one behind the end when nothing is kept. Whoever wants to go on
    /// from an offset below `start − 1` has missed something and rebuilds.
    pub async fn start(&self, topic: Topic) -> Result<i64> {
        Ok(self.bounds(topic).await?.start)
    }

    async fn bounds(&self, topic: Topic) -> Result<TopicStats> {
        call("bounds", Effect::Read, self.shared.engine.bounds(topic, PARTITION)).await
    }

    /// Opens a group's place in a topic, at the start when the group is new. One consumer per group and topic at a time.
    pub async fn consumer(&self, group: &str, topic: Topic) -> Result<Consumer> {
        check_group(group)?;
        let now = self.shared.clock.now();
        let position = call("join", Effect::Write, self.shared.engine.join(group, topic, PARTITION, now)).await?;
        Ok(Consumer::new(self.clone(), group.to_owned(), topic, position))
    }

    /// Forgets a group, so that retention no longer waits for it; false when it was not known.
    pub async fn forget_group(&self, group: &str) -> Result<bool> {
        check_group(group)?;
        call("forget_group", Effect::Write, self.shared.engine.forget_group(group)).await
    }

    /// Lists how far every group has come in every topic that it reads, and sets the lag metrics.
    pub async fn lag(&self) -> Result<Vec<GroupLag>> {
        let groups = call("groups", Effect::Read, self.shared.engine.groups()).await?;
        for group in &groups {
            metrics::gauge!(names::LAG_RECORDS, "group" => group.group.clone(), "topic" => group.topic.as_str())
                .set(group.records() as f64);
        }
        Ok(groups)
    }

    /// Deletes records older than `timestamp` in all topics and returns how many went. What a group has not committed
    /// stays, but for at most `CONSUMER_ABSENCE_MS_MAX` longer.
    #[instrument(name = "events.forget_before", skip(self), fields(timestamp = timestamp.0))]
    pub async fn forget_before(&self, timestamp: Timestamp) -> Result<u64> {
        let unconsumed_before = timestamp.plus(-CONSUMER_ABSENCE_MS_MAX);
        let mut forgotten = 0;
        for topic in Topic::ALL {
            loop {
                let engine = &self.shared.engine;
                let went =
                    call("forget", Effect::Write, engine.forget(topic, PARTITION, timestamp, unconsumed_before, FORGET_RECORDS)).await?;
                forgotten += went;
                if went < FORGET_RECORDS as u64 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    /// Blanks the details of every kept event that `concerns` picks, for erasing a person: what happened, when and between which ids
    /// stays. Returns how many were blanked. Reads the whole log; safe to repeat.
    #[instrument(name = "events.blank", skip_all)]
    pub async fn blank(&self, concerns: impl Fn(&Event) -> bool + Send) -> Result<u64> {
        self.flush().await?;
        let mut blanked = 0;
        for topic in Topic::ALL {
            let mut after = 0;
            loop {
                let records = self.read(topic, after, BLANK_RECORDS).await?;
                let Some(last) = records.last() else { break };
                after = last.offset;
                let concerned = records.into_iter().filter(|record| !record.event.data.is_null() && concerns(&record.event));
                let rows = concerned
                    .map(|record| Ok((record.offset, encode(&Event { data: serde_json::Value::Null, ..record.event })?.event)))
                    .collect::<Result<Vec<_>>>()?;
                if !rows.is_empty() {
                    blanked += rows.len() as u64;
                    call("rewrite", Effect::Write, self.shared.engine.rewrite(topic, PARTITION, rows)).await?;
                }
            }
        }
        Ok(blanked)
    }

    /// Returns what the log holds and what waits before it.
    pub async fn stats(&self) -> Result<Stats> {
        let mut topics = Vec::with_capacity(Topic::ALL.len());
        for topic in Topic::ALL {
            topics.push(self.bounds(topic).await?);
        }
        let engine = call("stats", Effect::Read, self.shared.engine.stats()).await?;
        let buffer = &self.shared.buffer;
        Ok(Stats { topics, buffered: buffer.len() as u64, spool_bytes: buffer.spool_bytes(), dropped: buffer.dropped(), engine })
    }

    /// Returns a watch that changes after anything was appended, here or in another process. It may change for nothing.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.engine.watch()
    }

    /// Waits until everything emitted so far is in the log; an error says that it waits in the spool, and why.
    pub async fn flush(&self) -> Result<()> {
        let gone = || Error::Unavailable("the log was closed".to_owned());
        self.shared.buffer.flush().await.map_err(|_| gone())?
    }

    /// Puts away what was emitted and settles everything on disk. Calls on any clone fail after this.
    pub async fn close(&self) {
        self.shared.buffer.close();
        let flusher = self.shared.flusher.lock().take();
        if let Some(flusher) = flusher
            && let Err(error) = flusher.await
        {
            tracing::error!(%error, "the events' flusher ended badly; what was emitted last may be lost");
        }
        self.shared.engine.close().await;
    }
}

/// What a call of the engine does, which decides what is known when its answer does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
}

/// Waits for a call of the engine, up to the deadline, and measures it.
pub(crate) async fn call<T>(name: &'static str, effect: Effect, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    let answer = match tokio::time::timeout(DEADLINE, work).await {
        Ok(answer) => answer,
        Err(_) if effect == Effect::Read => Err(Error::Unavailable(format!("no answer to {name} within {} s", DEADLINE.as_secs()))),
        Err(_) => Err(Error::Unknown(format!("no answer to {name} within {} s", DEADLINE.as_secs()))),
    };
    metrics::histogram!(names::CALL_SECONDS, "call" => name).record(started.elapsed());
    if answer.is_err() {
        metrics::counter!(names::FAILURES_TOTAL, "call" => name).increment(1);
    }
    answer
}

/// Turns an event into what the engine keeps; refuses one without an id and one that is too large.
pub(crate) fn encode(event: &Event) -> Result<LogRow> {
    let kind = event.kind.as_str();
    if event.id.is_empty() {
        return Err(Error::Invalid(format!("An event {kind} has no id; give it a new one.")));
    }
    let json = serde_json::to_string(event).map_err(|error| Error::Invalid(format!("The event {kind} is no JSON: {error}")))?;
    if json.len() > EVENT_BYTES_MAX {
        let bytes = json.len();
        return Err(Error::Invalid(format!(
            "The event {kind} has {bytes} bytes; the limit is {EVENT_BYTES_MAX}. Carry facts, not contents."
        )));
    }
    Ok(LogRow { topic: event.kind.topic(), id: event.id.clone(), at: event.at, event: json })
}

/// Reads rows up to the first that can't be read; fails only when that is the very first, so that readers get to it.
fn decode(topic: Topic, rows: Vec<(i64, String)>) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(rows.len());
    for (offset, json) in rows {
        match serde_json::from_str(&json) {
            Ok(event) => records.push(Record { offset, event }),
            Err(_) if !records.is_empty() => break,
            Err(error) => {
                let topic = topic.as_str();
                return Err(Error::Corrupt(format!(
                    "the record {offset} of {topic} can't be read: {error}. Go on behind it with seek({offset})."
                )));
            }
        }
    }
    Ok(records)
}

fn check_group(group: &str) -> Result<()> {
    let is_plain = group.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if group.is_empty() || group.len() > GROUP_NAME_BYTES_MAX || !is_plain {
        return Err(Error::Invalid(format!(
            "{group:?} is no consumer group; use 1 to {GROUP_NAME_BYTES_MAX} letters, digits, '-', '_' and '.'."
        )));
    }
    Ok(())
}
