//! An embedded store that may move to a fleet while it is in use: a decorator that goes on there, so that callers notice a pause.
//!
//! ```text
//! call ─▶ Successor ─▶ sqlite: file ──── moved ────▶ mysql: the target that the file names
//!            ▲ watches the file: whenever another process has committed, it looks how far the migration is
//!            │   copying: looks whether it could follow, and says so in the file, where the migrating process reads it
//!            └   moved: opens the target, lets its servers own the shards, and goes on there
//! ```
//!
//! A write after the move is refused by the file in its transaction, and then made at the target: none is lost and none is made twice. A
//! read may tell what was true when the site moved for as long as it takes to hear of other processes' commits, a quarter of a second.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use mysql::Credentials;
use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};

use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::mysql::MysqlEngine;
use crate::engine::sqlite::SqliteEngine;
use crate::engine::sqlite::migration::{Migration, State};
use crate::engine::{Engine, EngineStats, InTurn, Prepared, one_by_one};
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::row::{Edge, Freshness, Name, Range, Row, StaleClaim};

/// Between two attempts to let a server own its shards that did not answer at the first.
const OWN_AGAIN: Duration = Duration::from_secs(1);

/// An embedded store, or the one that it has moved to.
pub(crate) struct Successor {
    current: RwLock<Current>,
    /// Who is switching; everybody else waits for the outcome.
    switching: Mutex<()>,
    credentials: Credentials,
    /// This process among those that could follow.
    process: i64,
    commits: watch::Sender<u64>,
    others: watch::Sender<u64>,
}

#[derive(Clone)]
struct Current {
    engine: Arc<dyn Engine>,
    /// The file, for as long as it is the store.
    file: Option<Arc<SqliteEngine>>,
}

impl Successor {
    /// Opens a file's store, or the one that it has moved to. `credentials` is this process's login on database servers.
    pub async fn open(file: SqliteEngine, credentials: Credentials) -> Result<Arc<Successor>> {
        let migration = file.migration()?;
        let successor = Successor::put_before(file, credentials);
        let Current { file: Some(file), .. } = successor.current() else { return Ok(successor) };
        match migration.state {
            State::Moved => {
                successor.follow().await?;
                tracing::warn!(
                    fleet = migration.target,
                    "the configured file is what it was when the site moved, and is not used any more"
                );
            }
            _ => successor.look(&file).await?,
        }
        Ok(successor)
    }

    /// Puts the decorator before a file and looks after it from now on.
    pub fn put_before(file: SqliteEngine, credentials: Credentials) -> Arc<Successor> {
        let file = Arc::new(file);
        let others = file.watch_others();
        let successor = Arc::new(Successor {
            current: RwLock::new(Current { engine: file.clone(), file: Some(file) }),
            switching: Mutex::default(),
            credentials,
            process: (runtime::random_u64() >> 1) as i64,
            commits: watch::Sender::new(0),
            others: watch::Sender::new(0),
        });
        tokio::spawn(pass_on(Arc::downgrade(&successor)));
        tokio::spawn(look_after(Arc::downgrade(&successor), others));
        successor
    }

    fn current(&self) -> Current {
        self.current.read().clone()
    }

    /// Runs a call on the present store, and once more when it has moved meanwhile. Only what is known not to have happened is repeated.
    async fn run<T, F>(&self, call: impl Fn(Arc<dyn Engine>) -> F + Send + Sync) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let current = self.current();
        match call(current.engine).await {
            Err(Error::Unavailable(_)) if current.file.is_some() && self.follow().await? => call(self.current().engine).await,
            result => result,
        }
    }

    /// Goes on at the target if the site has moved. Tells whether it is there.
    async fn follow(&self) -> Result<bool> {
        let _turn = self.switching.lock().await;
        let Some(file) = self.current().file else { return Ok(true) };
        // A closed file can't be asked; then this process is ending.
        let Ok(Migration { state: State::Moved, token, target }) = file.migration() else { return Ok(false) };
        let opened = MysqlEngine::open_url(&target, self.credentials.clone()).await;
        let engine = Arc::new(opened.map_err(|error| {
            Error::Unavailable(format!(
                "The site has moved to {target}, which this process can't open: {error} See to that, and set storage.url = \"{target}\"."
            ))
        })?);
        if let Err(error) = engine.own(&token).await {
            tracing::error!(%error, "the site has moved, and a server of the target did not answer; its shards can't be used until it does");
            tokio::spawn(own_later(Arc::downgrade(&engine), token));
        }
        tracing::warn!(
            fleet = target,
            "the site has moved, and this process goes on there; set storage.url = {target:?} before the next start"
        );
        metrics::counter!(names::SUCCESSIONS_TOTAL).increment(1);
        *self.current.write() = Current { engine, file: None };
        // What still runs on the file is turned away and comes here; the file is left whole, without a log beside it.
        tokio::spawn(async move { file.close().await });
        // Whatever anybody has cached or not yet relayed may have changed hands.
        self.commits.send_modify(|count| *count += 1);
        self.others.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Looks how far the migration is, and does what is this process's part.
    async fn look(&self, file: &SqliteEngine) -> Result<()> {
        let migration = file.migration()?;
        match migration.state {
            State::None => Ok(()),
            State::Moved => self.follow().await.map(drop),
            // Said once: whoever says it commits, and every commit makes all others look.
            State::Copying if file.announced(self.process)?.is_some_and(|problem| problem.is_empty()) => Ok(()),
            State::Copying => {
                let problem = match MysqlEngine::can_follow(&migration.target, &self.credentials).await {
                    Ok(()) => String::new(),
                    Err(error) => error.to_string(),
                };
                if !problem.is_empty() {
                    tracing::warn!(problem, fleet = migration.target, "the site is being migrated, and this process could not follow");
                }
                if file.announced(self.process)?.as_ref() == Some(&problem) {
                    return Ok(());
                }
                file.announce(self.process, problem).await
            }
        }
    }
}

/// Looks how far the migration is whenever another process has committed, until the file is closed.
async fn look_after(successor: Weak<Successor>, mut others: watch::Receiver<u64>) {
    while others.changed().await.is_ok() {
        let Some(strong) = successor.upgrade() else { return };
        let Some(file) = strong.current().file else { return };
        if let Err(error) = strong.look(&file).await {
            tracing::warn!(%error, "the file could not be asked whether its site has moved; it is asked again");
        }
    }
}

/// Passes on what the present store tells of commits, until it is dropped or closed.
async fn pass_on(successor: Weak<Successor>) {
    let mut is_first = true;
    while let Some(strong) = successor.upgrade() {
        let engine = strong.current().engine;
        let (mut commits, mut others) = (engine.watch(), engine.watch_others());
        if !is_first {
            // What was committed between the change of stores and now is not told again.
            strong.commits.send_modify(|count| *count += 1);
            strong.others.send_modify(|count| *count += 1);
        }
        is_first = false;
        drop(strong);
        // Held weakly, so that a file that nobody uses any more is closed, which ends the receivers.
        let watched = Arc::downgrade(&engine);
        drop(engine);
        loop {
            let (told, by_others) = tokio::select! {
                told = commits.changed() => (told, false),
                told = others.changed() => (told, true),
            };
            let Some(strong) = successor.upgrade() else { return };
            match (told, by_others) {
                (Ok(()), false) => strong.commits.send_modify(|count| *count += 1),
                (Ok(()), true) => strong.others.send_modify(|count| *count += 1),
                (Err(_), _) if Weak::ptr_eq(&watched, &Arc::downgrade(&strong.current().engine)) => return,
                (Err(_), _) => break,
            }
        }
    }
}

/// Lets the target's servers own their shards until all have answered.
async fn own_later(engine: Weak<MysqlEngine>, token: String) {
    loop {
        tokio::time::sleep(OWN_AGAIN).await;
        let Some(engine) = engine.upgrade() else { return };
        if engine.own(&token).await.is_ok() {
            return tracing::info!("all servers of the target own their shards now");
        }
    }
}

#[async_trait]
impl Engine for Successor {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        self.run(|engine| async move { engine.reserve(shard, kind, count).await }).await
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        self.run(|engine| async move { engine.get(ids).await }).await
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        let current = self.current();
        let Some(file) = current.file else { return current.engine.write(batch).await };
        let batch = Arc::new(batch);
        match file.write_shared(batch.clone()).await {
            Err(Error::Unavailable(_)) if self.follow().await? => self.current().engine.write(Arc::unwrap_or_clone(batch)).await,
            result => result,
        }
    }

    async fn write_in_turn(&self, batches: Vec<Prepared>, needed: usize) -> InTurn {
        let current = self.current();
        match current.file {
            None => current.engine.write_in_turn(batches, needed).await,
            Some(_) => one_by_one(self, batches, needed).await,
        }
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        self.run(|engine| async move { engine.ranges(assoc, froms, range).await }).await
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        self.run(|engine| async move { engine.edges(assoc, from, tos).await }).await
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        self.run(|engine| async move { engine.counts(wanted).await }).await
    }

    async fn name(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        self.run(|engine| async move { engine.name(shard, kind, key).await }).await
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        self.run(|engine| async move { engine.names_of(owner, kind, limit).await }).await
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        self.run(|engine| async move { engine.stale_claims(before, after, limit).await }).await
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        self.run(|engine| async move { engine.scan(kind, after, limit).await }).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        self.run(|engine| async move { engine.outbox(limit).await }).await
    }

    /// Positions of the file mean nothing at the target, which takes them for those of no server: such events are relayed once more, and
    /// the log keeps each once.
    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        self.run(|engine| async move { engine.outbox_forget(positions).await }).await
    }

    fn view(&self, freshness: &Freshness) -> Option<Arc<dyn Engine>> {
        self.current().engine.view(freshness)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    fn watch_others(&self) -> watch::Receiver<u64> {
        self.others.subscribe()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.run(|engine| async move { engine.audit_log(shard, after, limit).await }).await
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        self.run(|engine| async move { engine.audit_recent(limit).await }).await
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        self.run(|engine| async move { engine.sweep_idempotency(before).await }).await
    }

    async fn stats(&self) -> Result<EngineStats> {
        self.run(|engine| async move { engine.stats().await }).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.run(|engine| async move { engine.check().await }).await
    }

    async fn close(&self) -> Result<()> {
        let current = self.current();
        if let Some(file) = &current.file
            && file.announced(self.process).is_ok_and(|said| said.is_some())
            && let Err(error) = file.withdraw(self.process).await
        {
            tracing::warn!(%error, "a migration that is under way may still count on this process");
        }
        current.engine.close().await
    }
}
