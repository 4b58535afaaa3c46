//! The front `Storage`: what callers see. Checks, deadlines, metrics and spans are here, once, before the port.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Assoc, Event, Id, Kind, NameKind, Object, Shard, Stored, Timestamp, id::SHARD_COUNT};
use runtime::SharedClock;
use tracing::Instrument;

use crate::audit::{AuditEntry, AuditHead, AuditRow, ChainCheck};
use crate::batch::{Batch, Written};
use crate::engine::mysql::MysqlEngine;
use crate::engine::remote::{Identity, RemoteEngine};
use crate::engine::sqlite::SqliteEngine;
use crate::engine::successor::Successor;
use crate::engine::{Engine, InTurn, Prepared};
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::limits::{DEADLINE, LIST_ROWS_MAX, LONG_DEADLINE, SWEEP_CLAIMS};
use crate::metrics as names;
use crate::refusal::{
    check_batch, check_ends, check_id_count, check_ids, check_limit, check_name_key, check_object_kind, check_schemas, check_shard,
    idempotency, owner_in_key,
};
use crate::row::{Edge, Freshness, Name, Range, Row, Stats};

/// Who a process is when it opens storage.
#[derive(Clone, Default)]
pub struct Logins {
    /// What it calls itself to a storage service.
    pub identity: Identity,
    /// Its login on database servers.
    pub database: mysql::Credentials,
}

/// The system of record. Clones share everything.
#[derive(Clone)]
pub struct Storage {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
}

struct Shared {
    clock: SharedClock,
    ids: Ids,
}

/// Returns the shard on which a unique name lives: the one that a hash of the key picks, for board addresses and source keys the owner's.
pub fn name_shard(kind: NameKind, key: &str) -> Shard {
    let owner = if matches!(kind, NameKind::BoardSlug | NameKind::SourceKey) { owner_in_key(key) } else { None };
    owner.map_or_else(|| Shard::of_key(kind.as_str(), key), Id::shard)
}

impl Storage {
    /// Opens the store that a URL names: `sqlite:PATH`, whose file is created when it is not there, or `remote:HOST:PORT[,HOST:PORT…]`, a
    /// storage service, which need not be there yet; `mysql:FILE`, a shard map, or `mysql://HOST:PORT/DATABASE`, one server of a fleet that
    /// knows the map. `logins` says who this process is.
    pub async fn open(url: &str, logins: &Logins, clock: SharedClock) -> Result<Storage> {
        let engine: Arc<dyn Engine> = match url.split_once(':') {
            Some(("mysql", place)) if !place.is_empty() => Arc::new(MysqlEngine::open_url(url, logins.database.clone()).await?),
            Some(("sqlite", path)) if !path.is_empty() => {
                Successor::open(SqliteEngine::open(Path::new(path))?, logins.database.clone()).await?
            }
            Some(("remote", addresses)) if !addresses.is_empty() => Arc::new(RemoteEngine::open(addresses, &logins.identity)?),
            _ => {
                return Err(Error::Invalid(format!(
                    "The storage URL is {url:?}; write sqlite: and a file, as in \"sqlite:data/corkboard.db\", remote: and the addresses of a storage service, as in \"remote:10.0.0.5:8090\", or mysql: and the file of a shard map, as in \"mysql:/etc/corkboard/shards.json\". Other engines are not known."
                )));
            }
        };
        Ok(Storage::with_engine(engine, clock))
    }

    /// Puts the front before an engine.
    pub fn with_engine(engine: Arc<dyn Engine>, clock: SharedClock) -> Storage {
        Storage { engine, shared: Arc::new(Shared { clock, ids: Ids::default() }) }
    }

    /// Returns an id that nobody had or will have. Usually from memory; now and then after one durable reservation.
    pub async fn new_id(&self, shard: Shard, kind: Kind) -> Result<Id> {
        check_shard(shard)?;
        check_object_kind(kind)?;
        writing("new_id", self.shared.ids.next(self.engine(), shard, kind)).await
    }

    /// Returns a random open shard, for a new person with everything that will be theirs. All shards are open.
    pub fn open_shard(&self) -> Shard {
        Shard((runtime::random_u64() % u64::from(SHARD_COUNT)) as u16)
    }

    /// Reads an object. `None` when it never was or has been purged; a deleted one comes with `active` false.
    pub async fn get<T: Object>(&self, id: impl Into<Id>) -> Result<Option<Stored<T>>> {
        Ok(self.get_many(&[id.into()]).await?.pop().flatten())
    }

    /// Reads objects of one kind, in the order and number of `ids`.
    pub async fn get_many<T: Object>(&self, ids: &[Id]) -> Result<Vec<Option<Stored<T>>>> {
        check_ids(T::KIND, ids)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = reading("get", self.engine().get(ids)).await?;
        rows.into_iter().map(|row| row.map(decode).transpose()).collect()
    }

    /// Writes a batch, whole or not at all, in one transaction on one shard. Durable when it returns.
    pub async fn write(&self, batch: Batch) -> Result<Written> {
        writing("write", async { self.engine().write(self.prepare(batch)?).await }).await
    }

    /// Writes batches in turn, each like [`Storage::write`]. The first `needed` need each other: after one that fails nothing more is written.
    /// The others need those, and not each other. Answers in their order, with `None` for what was not tried. Several may be one transaction: so
    /// what is written together is best written with one call.
    pub async fn write_in_turn(&self, batches: Vec<Batch>, needed: usize) -> InTurn {
        let count = batches.len();
        let prepared: Result<Vec<Prepared>> = batches.into_iter().map(|batch| self.prepare(batch)).collect();
        let written = writing("write_in_turn", async { Ok(self.engine().write_in_turn(prepared?, needed.min(count)).await) }).await;
        match written {
            Ok(answers) => {
                answers.iter().flatten().filter_map(|answer| answer.as_ref().err()).for_each(|error| count_error("write_in_turn", error));
                answers
            }
            // What is wrong with one of them, or not known of any, is so of all.
            Err(error) => vec![Some(Err(error)); count],
        }
    }

    fn prepare(&self, batch: Batch) -> Result<Prepared> {
        let bytes = check_batch(&batch)?;
        if !self.engine().has_front() {
            check_schemas(&batch)?;
        }
        metrics::histogram!(names::WRITE_OPS).record(batch.ops.len() as f64);
        Ok(Prepared {
            shard: batch.shard,
            at: self.now(),
            idempotency: idempotency(&batch),
            conditions: batch.conditions,
            ops: batch.ops,
            bytes,
        })
    }

    /// Reads a page of an association.
    pub async fn range(&self, assoc: Assoc, from: impl Into<Id>, range: Range) -> Result<Vec<Edge>> {
        Ok(self.ranges(assoc, &[from.into()], range).await?.pop().unwrap_or_default())
    }

    /// Reads the same page of an association for each of `froms`, in their order: what a merge of many lists begins with.
    pub async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        check_ids(assoc.ends().0, froms)?;
        check_limit(range.limit)?;
        if froms.is_empty() || range.limit == 0 {
            return Ok(vec![Vec::new(); froms.len()]);
        }
        reading("ranges", self.engine().ranges(assoc, froms, range)).await
    }

    /// Reads the sequence of each edge that exists, in the order of `tos`.
    pub async fn edges(&self, assoc: Assoc, from: impl Into<Id>, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let from = from.into();
        check_ends(assoc, from, tos)?;
        check_id_count(tos.len())?;
        if tos.is_empty() {
            return Ok(Vec::new());
        }
        reading("edges", self.engine().edges(assoc, from, tos)).await
    }

    /// Returns how many edges an association has: exact, one look-up.
    pub async fn count(&self, assoc: Assoc, from: impl Into<Id>) -> Result<u64> {
        Ok(self.counts(&[(assoc, from.into())]).await?.pop().unwrap_or(0))
    }

    /// Does what [`Storage::count`] does for many, in their order.
    pub async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        check_id_count(wanted.len())?;
        for (assoc, from) in wanted {
            check_ends(*assoc, *from, &[])?;
        }
        reading("counts", self.engine().counts(wanted)).await
    }

    /// Tells who holds a unique name.
    pub async fn name(&self, kind: NameKind, key: &str) -> Result<Option<Name>> {
        check_name_key(kind, key)?;
        reading("name", self.engine().name(name_shard(kind, key), kind, key)).await
    }

    /// Lists names of a kind that lives with its owner, at most `limit`, with who holds them. For whoever releases them all: a look at
    /// every name of the owner's shard at worst.
    pub async fn names_of(&self, owner: model::UserId, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        check_limit(limit)?;
        if !matches!(kind, NameKind::BoardSlug | NameKind::SourceKey) {
            return Err(Error::Invalid(format!(
                "Names of the kind '{}' don't live with an owner; look them up one by one.",
                kind.as_str()
            )));
        }
        reading("names_of", self.engine().names_of(owner.id(), kind, limit)).await
    }

    /// Lists objects by id, ascending, deleted ones included: for rebuilds.
    pub async fn scan<T: Object>(&self, after: Option<Id>, limit: usize) -> Result<Vec<Stored<T>>> {
        check_limit(limit)?;
        if let Some(after) = after {
            check_ids(T::KIND, &[after])?;
        }
        let rows = reading("scan", self.engine().scan(T::KIND, after, limit)).await?;
        rows.into_iter().map(decode).collect()
    }

    /// Lists the oldest events that have not been forgotten, with their positions.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<(i64, Event)>> {
        check_limit(limit)?;
        let events = reading("outbox", self.engine().outbox(limit)).await?;
        let decode = |(position, json): (i64, String)| match serde_json::from_str(&json) {
            Ok(event) => Ok((position, event)),
            Err(error) => Err(Error::Corrupt(format!("The event at position {position} of the outbox can't be read: {error}."))),
        };
        events.into_iter().map(decode).collect()
    }

    /// Forgets the events at these positions, once the log has them.
    pub async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        check_limit(positions.len())?;
        writing("outbox_forget", self.engine().outbox_forget(positions)).await
    }

    /// Returns the same store for readers who don't need the newest: what its reads tell was true at most `ms` milliseconds ago, and
    /// may come from a replica. Writes go where they always go.
    pub fn at_most_stale(&self, ms: u64) -> Storage {
        self.viewed(Freshness { at_most_stale_ms: ms, after: Vec::new() })
    }

    /// Returns the same store for somebody who has just written: reads may be `ms` milliseconds old, but they have seen these writes.
    pub fn after<'a>(&self, ms: u64, writes: impl IntoIterator<Item = &'a Written>) -> Storage {
        self.viewed(Freshness { at_most_stale_ms: ms, after: writes.into_iter().filter_map(|written| written.commit.clone()).collect() })
    }

    /// Returns the same store with reads of this freshness.
    pub(crate) fn viewed(&self, freshness: Freshness) -> Storage {
        match self.engine().view(&freshness) {
            Some(engine) => Storage { engine, shared: self.shared.clone() },
            None => self.clone(),
        }
    }

    /// Returns a receiver that changes after commits, those of other processes on the same file included.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.engine().watch()
    }

    /// Returns a receiver that changes after commits of other processes only: what this one caches may be old.
    pub fn watch_others(&self) -> tokio::sync::watch::Receiver<u64> {
        self.engine().watch_others()
    }

    /// Returns an instant up to which every commit of other processes has been told to receivers of [`Storage::watch_others`]: ask first,
    /// then look at them. `None` where that can't be said.
    pub fn others_known_until(&self) -> Option<std::time::Instant> {
        self.engine().others_known_until()
    }

    /// Lists a shard's audit entries by number, from the one after `after` (0 = from the first).
    pub async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditEntry>> {
        check_shard(shard)?;
        check_limit(limit)?;
        decode_audit(reading("audit_log", self.engine().audit_log(shard, after, limit)).await?)
    }

    /// Lists the newest audit entries of all shards, newest first.
    pub async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditEntry>> {
        check_limit(limit)?;
        decode_audit(reading("audit_recent", self.engine().audit_recent(limit)).await?)
    }

    /// Checks the chain of a shard's audit log and returns how many entries it has. Corrupt names the first broken link.
    pub async fn audit_verify(&self, shard: Shard) -> Result<u64> {
        Ok(self.audit_head(shard).await?.map_or(0, |head| head.number))
    }

    /// Checks the chain of a shard's audit log and returns its end; `None` when it has no entry. Corrupt names the first broken link.
    pub async fn audit_head(&self, shard: Shard) -> Result<Option<AuditHead>> {
        check_shard(shard)?;
        let walk = async {
            let (mut chain, mut head, mut after) = (ChainCheck::default(), None, 0);
            loop {
                let page = self.engine().audit_log(shard, after, LIST_ROWS_MAX).await?;
                for row in &page {
                    chain.next(row).map_err(Error::Corrupt)?;
                }
                let Some(last) = page.last() else { return Ok(head) };
                after = Id::from_u64(last.id).map_err(|error| Error::Corrupt(format!("An audit entry has no id: {error}.")))?.local();
                head = Some(AuditHead { shard, number: after, hash: last.hash.clone() });
                if page.len() < LIST_ROWS_MAX {
                    return Ok(head);
                }
            }
        };
        call("audit_verify", LONG_DEADLINE, Error::Unavailable, walk).await
    }

    /// Says what is wrong if a shard's audit log does not hold the entry that was its end when `kept` was taken.
    pub async fn audit_reaches(&self, kept: &AuditHead) -> Result<std::result::Result<(), String>> {
        let (shard, number) = (kept.shard, kept.number);
        if number == 0 {
            return Err(Error::Invalid(format!("The kept end of shard {} names entry 0; entries count from 1.", shard.0)));
        }
        let entry = self.audit_log(shard, number - 1, 1).await?.into_iter().find(|entry| entry.number == number);
        Ok(match entry {
            Some(entry) if entry.hash == kept.hash => Ok(()),
            Some(_) => Err(format!("Entry {number} of the audit log of shard {} is another one than when its end was kept.", shard.0)),
            None => {
                Err(format!("The audit log of shard {} reached to entry {number} when its end was kept: its end was cut off.", shard.0))
            }
        })
    }

    /// Frees names that were claimed more than `older_than_ms` milliseconds ago, never confirmed, and whose owner's object does
    /// not exist: claims whose owner died on the way. Returns how many. `older_than_ms` must be longer than any sign-up takes.
    pub async fn sweep_names(&self, older_than_ms: i64) -> Result<u64> {
        let before = self.before(older_than_ms)?;
        let sweep = async {
            let (mut freed, mut after) = (0, None);
            loop {
                let claims = self.engine().stale_claims(before, after.as_ref(), SWEEP_CLAIMS).await?;
                let owners: Vec<Id> = claims.iter().map(|claim| claim.id).collect();
                let rows = self.engine().get(&owners).await?;
                let orphans = claims.iter().zip(&rows).filter(|(_, row)| row.is_none());
                for (claim, _) in orphans {
                    let mut batch = Batch::on(name_shard(claim.kind, &claim.key));
                    batch.release_unconfirmed(claim.kind, claim.key.clone(), claim.id);
                    freed += u64::from(self.write(batch).await?.changed == [true]);
                }
                if claims.len() < SWEEP_CLAIMS {
                    return Ok(freed);
                }
                after = claims.into_iter().last();
            }
        };
        let freed = call("sweep_names", LONG_DEADLINE, Error::Unknown, sweep).await?;
        metrics::counter!(names::CLAIMS_SWEPT_TOTAL).increment(freed);
        Ok(freed)
    }

    /// Removes idempotency keys that were used more than `older_than_ms` milliseconds ago; a day is what callers are promised.
    pub async fn sweep_idempotency(&self, older_than_ms: i64) -> Result<u64> {
        let before = self.before(older_than_ms)?;
        writing("sweep_idempotency", self.engine().sweep_idempotency(before)).await
    }

    /// Returns how much is stored.
    pub async fn stats(&self) -> Result<Stats> {
        let stats = call("stats", LONG_DEADLINE, Error::Unavailable, self.engine().stats()).await?;
        Ok(Stats {
            tables: stats.tables,
            file_bytes: stats.file_bytes,
            wal_bytes: stats.wal_bytes,
            outbox: stats.outbox,
            writes: stats.writes,
            group_commits: stats.group_commits,
        })
    }

    /// Looks at everything that is stored and returns what is wrong with it; empty means clean.
    pub async fn check(&self) -> Result<Vec<String>> {
        call("check", LONG_DEADLINE, Error::Unavailable, self.engine().check()).await
    }

    /// Finishes what runs and closes. Later calls fail as unavailable.
    pub async fn close(&self) -> Result<()> {
        self.engine().close().await
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn before(&self, older_than_ms: i64) -> Result<Timestamp> {
        if older_than_ms < 0 {
            return Err(Error::Invalid(format!("An age of {older_than_ms} ms lies in the future.")));
        }
        Ok(self.now().plus(-older_than_ms))
    }
}

/// Runs a short call that changes nothing.
pub(crate) async fn reading<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    call(name, DEADLINE, Error::Unavailable, work).await
}

/// Runs a short call that writes: after the deadline nobody knows whether it did.
pub(crate) async fn writing<T>(name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    call(name, DEADLINE, Error::Unknown, work).await
}

async fn call<T>(name: &'static str, deadline: Duration, late: fn(String) -> Error, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    let span = tracing::debug_span!("storage.call", call = name);
    let result = match tokio::time::timeout(deadline, work.instrument(span)).await {
        Ok(result) => result,
        Err(_) => Err(late(format!("Storage did not answer `{name}` within {} s.", deadline.as_secs()))),
    };
    metrics::histogram!(names::CALL_SECONDS, "call" => name).record(started.elapsed());
    result.inspect_err(|error| count_error(name, error))
}

fn count_error(call: &'static str, error: &Error) {
    metrics::counter!(names::ERRORS_TOTAL, "call" => call, "reason" => error.reason()).increment(1);
}

fn decode<T: Object>(row: Row) -> Result<Stored<T>> {
    match serde_json::from_str(&row.data) {
        Ok(data) => Ok(Stored {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            active: row.active,
            data,
        }),
        Err(error) => Err(Error::Corrupt(format!("The data of {:?} {} can't be read: {error}.", T::KIND, row.id))),
    }
}

fn decode_audit(rows: Vec<AuditRow>) -> Result<Vec<AuditEntry>> {
    rows.into_iter().map(|row| row.decode().map_err(Error::Corrupt)).collect()
}
