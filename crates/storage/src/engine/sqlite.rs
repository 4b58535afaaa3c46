//! The embedded engine: all shards in one SQLite file.
//!
//! schema.rs the tables and their statements, write.rs what a batch does, read.rs look-ups and lists, check.rs the look at
//! everything, inspect.rs what verification lists and mends, migration.rs the way to a fleet of servers, with crc32.rs for its sums. Reads of
//! few rows run on the calling thread, because they take microseconds; long ones on a blocking thread.

mod check;
mod crc32;
mod inspect;
pub(crate) mod migration;
mod read;
mod schema;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use parking_lot::Mutex;
use sqlite::{File, Options};

use self::migration::Migration;
use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::inspection::{Inspection, ShardRange};
use crate::engine::{Engine, EngineStats, Prepared};
use crate::error::Result;
use crate::row::{Edge, Name, Range, Row, StaleClaim};
use crate::verify::FINDINGS_MAX;

/// Connections that read. More than threads that can run at once are of no use, except for long reads.
const READERS: usize = 8;
/// Page cache per connection, in KiB. The system's cache holds the rest.
const CACHE_KIB: i64 = 4_096;
/// Look-ups that run on the calling thread: some 10 µs each at worst, so a thread is held for about a millisecond.
const LOOK_UPS_NOW_MAX: usize = 128;
/// Rows of lists that are read on the calling thread: about a microsecond each.
const ROWS_NOW_MAX: usize = 2_048;
/// Counting every table may take this part of the time (1/100).
const COUNTING_SHARE: u32 = 100;

pub struct SqliteEngine {
    file: File,
    counted: Mutex<Option<Counted>>,
}

struct Counted {
    tables: Vec<(String, u64)>,
    at: Instant,
    took: Duration,
}

impl SqliteEngine {
    /// Opens or creates the file, and makes the tables that the vocabulary has and the file has not.
    pub fn open(path: &Path) -> Result<SqliteEngine> {
        let options = Options { readers: READERS, cache_kib: CACHE_KIB };
        let file = File::open_ensuring(path, schema::MIGRATIONS, &schema::vocabulary_tables(), options)?;
        Ok(SqliteEngine { file, counted: Mutex::new(None) })
    }

    /// Runs a read here and now when it is short, else on a blocking thread.
    async fn read<T: Send + 'static>(
        &self,
        short: bool,
        f: impl FnOnce(&sqlite::rusqlite::Connection) -> sqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let result = if short { self.file.read_now(f) } else { self.file.read(f).await };
        Ok(result?)
    }

    /// Writes a batch that the caller keeps, so that it can be written elsewhere when the site has moved.
    pub(crate) async fn write_shared(&self, batch: Arc<Prepared>) -> Result<Written> {
        Ok(self.file.write_sized(batch.bytes, move |connection| write::apply(connection, &batch)).await?)
    }

    /// Looks at everything that is stored, and not at what is done with it.
    pub(crate) async fn check_rows(&self) -> Result<Vec<String>> {
        let findings = self.examine(ShardRange::ALL, FINDINGS_MAX).await?;
        Ok(findings.iter().map(ToString::to_string).collect())
    }

    /// Tells how far the site's migration to a fleet is.
    pub(crate) fn migration(&self) -> Result<Migration> {
        Ok(self.file.read_now(migration::migration)?)
    }

    /// Returns what this process has said of its way to the target.
    pub(crate) fn announced(&self, process: i64) -> Result<Option<String>> {
        Ok(self.file.read_now(|connection| migration::announced(connection, process))?)
    }

    /// Tells the migrating process that this one has ended.
    pub(crate) async fn withdraw(&self, process: i64) -> Result<()> {
        Ok(self.file.write(move |connection| migration::withdraw(connection, process)).await?)
    }

    /// Tells the migrating process whether this one could follow.
    pub(crate) async fn announce(&self, process: i64, problem: String) -> Result<()> {
        Ok(self.file.write(move |connection| migration::announce(connection, process, &problem)).await?)
    }

    async fn table_rows(&self) -> Result<Vec<(String, u64)>> {
        if let Some(counted) = &*self.counted.lock()
            && counted.at.elapsed() < counted.took * COUNTING_SHARE
        {
            return Ok(counted.tables.clone());
        }
        let started = Instant::now();
        let tables = self.file.read(read::table_rows).await?;
        *self.counted.lock() = Some(Counted { tables: tables.clone(), at: Instant::now(), took: started.elapsed() });
        Ok(tables)
    }
}

#[async_trait]
impl Engine for SqliteEngine {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        Ok(self.file.write(move |connection| write::reserve(connection, shard, kind, count)).await?)
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        if ids.len() <= LOOK_UPS_NOW_MAX {
            return Ok(self.file.read_now(|connection| read::get(connection, ids))?);
        }
        let ids = ids.to_vec();
        Ok(self.file.read(move |connection| read::get(connection, &ids)).await?)
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        self.write_shared(Arc::new(batch)).await
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        if froms.len() <= LOOK_UPS_NOW_MAX && froms.len() * range.limit <= ROWS_NOW_MAX {
            return Ok(self.file.read_now(|connection| read::ranges(connection, assoc, froms, range))?);
        }
        let froms = froms.to_vec();
        Ok(self.file.read(move |connection| read::ranges(connection, assoc, &froms, range)).await?)
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let (short, tos) = (tos.len() <= LOOK_UPS_NOW_MAX, tos.to_vec());
        self.read(short, move |connection| read::edges(connection, assoc, from, &tos)).await
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        let (short, wanted) = (wanted.len() <= LOOK_UPS_NOW_MAX, wanted.to_vec());
        self.read(short, move |connection| read::counts(connection, &wanted)).await
    }

    async fn name(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        Ok(self.file.read_now(|connection| read::name(connection, shard, kind, key))?)
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        self.read(false, move |connection| read::names_of(connection, owner, kind, limit)).await
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        let after = after.cloned();
        self.read(false, move |connection| read::stale_claims(connection, before, after.as_ref(), limit)).await
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        self.read(false, move |connection| read::scan(connection, kind, after, limit)).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        self.read(limit <= ROWS_NOW_MAX, move |connection| read::outbox(connection, limit)).await
    }

    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        let positions = positions.to_vec();
        Ok(self.file.write(move |connection| write::outbox_forget(connection, &positions)).await?)
    }

    fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.file.watch()
    }

    fn watch_others(&self) -> tokio::sync::watch::Receiver<u64> {
        self.file.watch_others()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(false, move |connection| read::audit_log(connection, shard, after, limit)).await
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(limit <= ROWS_NOW_MAX, move |connection| read::audit_recent(connection, limit)).await
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        Ok(self.file.write(move |connection| write::sweep_idempotency(connection, before)).await?)
    }

    async fn stats(&self) -> Result<EngineStats> {
        let tables = self.table_rows().await?;
        let outbox = self.read(false, read::outbox_count).await?;
        let file = self.file.stats();
        Ok(EngineStats {
            tables,
            file_bytes: file.file_bytes,
            wal_bytes: file.wal_bytes,
            outbox,
            writes: file.writes,
            group_commits: file.group_commits,
        })
    }

    async fn check(&self) -> Result<Vec<String>> {
        let mut findings = self.check_rows().await?;
        findings.extend(self.file.read_now(migration::unfinished)?);
        Ok(findings)
    }

    fn inspection(&self) -> Option<&dyn Inspection> {
        Some(self)
    }

    async fn close(&self) -> Result<()> {
        Ok(self.file.checkpoint_and_close().await?)
    }
}

#[cfg(test)]
mod tests {
    use model::{Assoc, Kind, Pin, Shard};
    use sqlite::rusqlite::Connection;

    use crate::contract::{Place, SHARD, Setup, a_pin, batch, board, pin};
    use crate::{Error, Range, Storage};

    /// Changes the file behind the engine's back.
    fn tamper(place: &Place, sql: &str) {
        Connection::open(place.path()).and_then(|connection| connection.execute_batch(sql)).expect("a change");
    }

    async fn filled(place: &Place) -> Storage {
        let storage = place.open();
        let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
        for _ in 0..3 {
            storage.write(batch(SHARD, |b| b.audit(None, "x", vec![], serde_json::Value::Null))).await.expect("a write");
        }
        storage.write(batch(SHARD, |b| b.create(id, &a_pin("a")).map(Assoc::BoardHasPins, board(1), id, 1))).await.expect("a write");
        assert_eq!(storage.check().await, Ok(vec![]));
        storage
    }

    #[tokio::test]
    async fn the_check_finds_what_was_tampered_with() {
        let cases = [
            ("board_has_pins of", "UPDATE mapping_counts SET count = 7"),
            ("board_has_pins of", "DELETE FROM mapping_counts"),
            ("board_has_pins of", "DELETE FROM board_has_pins"),
            ("never handed out", "DELETE FROM sequences"),
            ("id of another kind", "INSERT INTO boards SELECT * FROM pins"),
            ("no JSON", "UPDATE pins SET data = '{'"),
            ("the entry was changed", "DROP TRIGGER audit_is_never_changed; UPDATE audit SET act = 'y' WHERE (id & 15) = 2"),
            ("Entries are missing", "DROP TRIGGER audit_is_never_deleted; DELETE FROM audit WHERE (id & 15) = 2"),
        ];
        for (wanted, sql) in cases {
            let place = Place::new(Setup::Sqlite);
            let storage = filled(&place).await;
            tamper(&place, sql);
            let findings = storage.check().await.expect("a check");
            assert!(findings.iter().any(|finding| finding.contains(wanted)), "{sql}: {findings:?}");
            if sql.contains("audit") {
                let error = storage.audit_verify(SHARD).await.expect_err("a broken chain");
                assert!(matches!(&error, Error::Corrupt(message) if message.contains(wanted)), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn the_audit_log_refuses_changes() {
        let place = Place::new(Setup::Sqlite);
        drop(filled(&place).await);
        let connection = Connection::open(place.path()).expect("the file");
        for sql in ["UPDATE audit SET act = 'y'", "DELETE FROM audit"] {
            let error = connection.execute(sql, []).expect_err("append-only");
            assert!(error.to_string().contains("append-only"), "{error}");
        }
    }

    #[tokio::test]
    async fn unreadable_rows_are_corrupt_and_name_their_id() {
        let place = Place::new(Setup::Sqlite);
        let storage = filled(&place).await;
        tamper(&place, "UPDATE pins SET data = '{}'");
        let error = storage.get::<Pin>(pin(1)).await.expect_err("no pin");
        assert!(matches!(&error, Error::Corrupt(message) if message.contains(&pin(1).to_string())), "{error}");
        tamper(&place, "UPDATE board_has_pins SET to_id = 5");
        assert!(matches!(storage.range(Assoc::BoardHasPins, board(1), Range::first(1)).await, Err(Error::Corrupt(_))));
    }

    #[tokio::test]
    async fn tables_of_a_grown_vocabulary_are_made_on_opening() {
        let place = Place::new(Setup::Sqlite);
        drop(filled(&place).await);
        tamper(&place, "DROP TABLE topic_has_pins; DROP TABLE sites");
        let storage = place.open();
        let site = storage.new_id(Shard(0), Kind::Site).await.expect("an id");
        assert_eq!(storage.get::<model::Site>(site).await, Ok(None));
        assert_eq!(storage.check().await, Ok(vec![]));
    }

    #[tokio::test]
    async fn urls_name_the_engine() {
        let clock = std::sync::Arc::new(model::time::ManualClock::default());
        let nobody = crate::Logins::default();
        for url in ["oracle://localhost/corkboard", "sqlite:", "remote:", "", "corkboard.db"] {
            let error = Storage::open(url, &nobody, clock.clone()).await.err().expect("a refusal");
            assert!(matches!(&error, Error::Invalid(message) if message.contains("sqlite:")), "{error}");
        }
        let place = Place::new(Setup::Sqlite);
        Storage::open(&format!("sqlite:{}", place.path().display()), &nobody, clock.clone()).await.expect("a store");
        Storage::open("remote:127.0.0.1:1", &nobody, clock).await.expect("a store that may come later");
    }

    /// Every statement of a list must go along an index; a forgotten one would sort or scan a whole table.
    #[tokio::test]
    async fn lists_go_along_their_index() {
        let place = Place::new(Setup::Sqlite);
        drop(filled(&place).await);
        let connection = Connection::open(place.path()).expect("the file");
        let mapping = super::schema::mapping_sql(Assoc::BoardHasPins);
        let object = super::schema::object_sql(Kind::Pin);
        for sql in [&mapping.descending, &mapping.ascending, &mapping.edge, &object.scan, &object.get] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
            let arguments = vec![1_i64; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(sqlite::rusqlite::params_from_iter(arguments), |row| row.get(3))
                .and_then(Iterator::collect)
                .expect("lines");
            assert!(plan.iter().all(|line| line.starts_with("SEARCH")), "{sql}: {plan:?}");
        }
    }
}
