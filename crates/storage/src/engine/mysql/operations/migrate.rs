//! `migrate`: an embedded site to a fleet, while people use it.
//!
//! ```text
//! file                                target
//! none                                owned, empty
//! copying   touched rows are noted    arriving, marked     tables are copied page by page, then what was touched, again and again
//! copying   one snapshot of it        arriving, marked     equal to the snapshot: counts and sums of every table are compared
//! locked    writers wait, < 1 s       arriving, marked     the last touched rows and the outbox, each row read back
//! moved  ◀─ the lock's own commit     arriving, marked     one transaction on the file decides
//! moved                               owned                anybody who sees both may finish it: engine/successor.rs does
//! ```
//!
//! The target equals a snapshot once all that was touched up to it is carried over, and again after each further delta whose rows were read
//! back: so the comparison of everything takes as long as it takes, outside of the freeze, and what the freeze compares is small.
//!
//! Killed anywhere, it is run again: before the decision it begins anew, after it it goes on. The freeze ends with the process.

mod target;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::target::Target;
use super::super::shape::{Cell, Change, Shape};
use super::Operator;
use crate::engine::sqlite::SqliteEngine;
use crate::engine::sqlite::migration::{Migration, Source, State};
use crate::error::{Error, Result};

/// Rows and bytes of one page of the copy: a few statements of the size that servers like.
const PAGE_ROWS: usize = 2_000;
const PAGE_BYTES: usize = 4 << 20;
/// Pages that are on their way to the target at once: as many as an operation has connections to one server.
const PAGES_AT_ONCE: usize = 4;
/// Touches of one round of catching up.
const ROUND_TOUCHES: usize = 5_000;
/// The freeze begins when a round found no more than this.
const CAUGHT_UP_TOUCHES: usize = 50;
/// Rounds of catching up before it is said that writers are faster than the copy.
const CATCH_UP_ROUNDS: usize = 1_000;
/// Touches, and events that were not relayed yet, with which a freeze goes on while a server runs: some 11 µs each.
const FREEZE_ROWS: usize = 10_000;
/// How long a freeze lasts at most while a server runs. Without one nobody waits.
const FREEZE: Duration = Duration::from_millis(900);
const FREEZE_ALONE: Duration = Duration::from_secs(300);
/// Freezes that are tried before the migration is given up.
const FREEZES: usize = 20;
/// How long a running server may take to say that it can follow; it hears of other processes within a quarter of a second.
const FOLLOWER_WAIT: Duration = Duration::from_secs(15);
/// Between two looks whether it has.
const FOLLOWER_LOOK: Duration = Duration::from_millis(50);

/// How a site is migrated.
#[derive(Clone, Copy, Debug, Default)]
pub struct MigrateOptions {
    /// Looks and says; changes nothing.
    pub dry_run: bool,
    /// A server uses the file: it must say that it can follow before anything is copied.
    pub server_runs: bool,
    /// For tests: where to end, as a kill would.
    pub stop: Option<MigrateStop>,
}

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MigrateReport {
    pub rows: u64,
    pub copy_ms: u64,
    /// How long nobody could write.
    pub frozen_ms: u64,
    /// Events that had not been relayed and came along.
    pub events: usize,
    /// What storage.url is from now on.
    pub url: String,
    /// What would be done, or was.
    pub steps: Vec<String>,
}

/// Where a test ends a migration, as a kill would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateStop {
    Recording,
    Marked,
    Copied,
    Compared,
    Frozen,
    Decided,
}

/// A migration under way.
struct Run<'a> {
    source: Source,
    target: Target,
    options: MigrateOptions,
    operator: &'a Operator,
    /// The last touch that was carried over.
    position: i64,
}

impl Operator {
    /// Moves the site that is in a file to this fleet.
    pub async fn migrate(&self, file: &Path, options: MigrateOptions) -> Result<MigrateReport> {
        let (source, before) = self.open_file(file)?;
        let url = self.url()?;
        let (map, mut report) = (self.map().await?, MigrateReport { url: url.clone(), ..MigrateReport::default() });
        let migration = planned(before, url)?;
        let _lock = self.lock(&map).await?;
        let target = Target::open(self, &map, &migration.token)?;
        if migration.state == State::Moved {
            if !options.dry_run {
                target.own().await?;
            }
            report.steps.push(format!("the site is at {} already", migration.target));
            return Ok(report);
        }
        self.check_site_login(&map).await?;
        target.check().await?;
        self.check_file(file).await?;
        let totals = source.totals()?;
        let rows: u64 = totals.iter().map(|(_, rows)| rows).sum();
        report.steps.push(format!("{rows} rows of {} tables: {} → {}", totals.len(), file.display(), migration.target));
        report.steps.extend(target.servers().map(|(name, shards)| format!("{name}: {shards} shards")));
        if options.dry_run {
            return Ok(report);
        }
        source.begin(&migration)?;
        stop_at(options.stop, MigrateStop::Recording)?;
        let mut run = Run { source, target, options, operator: self, position: 0 };
        if let Err(error) = run.prepare().await {
            // Nothing was copied: the site goes on as if nothing had been. Servers that can't be asked know the site by its token.
            run.source.take_back()?;
            let _ = run.target.give_back().await;
            return Err(error);
        }
        stop_at(options.stop, MigrateStop::Marked)?;
        run.carry_over(&totals, &mut report).await?;
        stop_at(options.stop, MigrateStop::Decided)?;
        run.target.own().await.map_err(|error| {
            Error::Unavailable(format!(
                "The site has moved, but {error} Run the migration again to finish it; the site may do so by itself."
            ))
        })?;
        Ok(report)
    }

    /// Takes back a migration that was not decided: the file stays the store, and what was copied goes.
    pub async fn abort_migration(&self, file: &Path) -> Result<MigrateReport> {
        let (source, migration) = self.open_file(file)?;
        let (url, mut report) = (self.url()?, MigrateReport::default());
        if migration.state == State::Moved {
            return Err(Error::Invalid(format!(
                "The migration was decided: the site is at {} and has changed there since. {} is what it was at that moment; there is no way back to it by command.",
                migration.target,
                file.display()
            )));
        }
        if migration.state == State::Copying && migration.target != url {
            return Err(Error::Invalid(format!("The migration that was begun goes to {}; give its map with --map.", migration.target)));
        }
        source.take_back()?;
        report.steps.push(format!("{} is the site's store, as before", file.display()));
        if migration.token.is_empty() || migration.target != url {
            report.steps.push("nothing had been copied".to_owned());
            return Ok(report);
        }
        let removed = async {
            let map = self.map().await?;
            let _lock = self.lock(&map).await?;
            Target::open(self, &map, &migration.token)?.give_back().await
        };
        removed.await.map_err(|error| {
            Error::Unavailable(format!(
                "The file is the site's store, as before, but what was copied is still there: {error} Run it again."
            ))
        })?;
        report.steps.push("what had been copied is gone; the servers are empty".to_owned());
        Ok(report)
    }

    /// Opens the file for the migrating process, with the schema of this version.
    fn open_file(&self, file: &Path) -> Result<(Source, Migration)> {
        if !file.is_file() {
            return Err(Error::Invalid(format!(
                "{} is not there: no embedded site to migrate. Check --data and storage.url.",
                file.display()
            )));
        }
        drop(SqliteEngine::open(file)?);
        let source = Source::open(file)?;
        let migration = source.migration()?;
        Ok((source, migration))
    }

    /// Returns the storage URL of this fleet, for every process on this machine.
    fn url(&self) -> Result<String> {
        let file = std::fs::canonicalize(&self.file).map_err(|error| {
            Error::Invalid(format!("The shard map {} can't be read: {error}. `corkboard storage init` makes it.", self.file.display()))
        })?;
        Ok(format!("mysql:{}", file.display()))
    }

    /// Lets the file look at itself: what is wrong there is not carried anywhere.
    async fn check_file(&self, file: &Path) -> Result<()> {
        self.progress.begin("looking whether the file is sound", None);
        let engine = SqliteEngine::open(file)?;
        let findings = engine.check_rows().await?;
        match findings.first() {
            None => Ok(()),
            Some(finding) => Err(Error::Corrupt(format!(
                "{} is not sound ({} findings), so nothing was moved. The first: {finding} `corkboard doctor` lists them.",
                file.display(),
                findings.len()
            ))),
        }
    }
}

/// Decides whether a file with this past may go there, and under which token.
fn planned(before: Migration, url: String) -> Result<Migration> {
    let is_same = before.target == url;
    match before.state {
        State::Moved if !is_same => Err(Error::Invalid(format!(
            "The site has moved to {} already. Moving from fleet to fleet is not what this command does.",
            before.target
        ))),
        State::Copying if !is_same => Err(Error::Invalid(format!(
            "A migration to {} was begun. Finish it with that map, or take it back with --abort first.",
            before.target
        ))),
        // The same token again: what an earlier attempt left on the servers is known by it.
        _ if is_same && !before.token.is_empty() => Ok(before),
        _ => Ok(Migration {
            state: State::None,
            token: format!("{:016x}{:016x}", runtime::random_u64(), runtime::random_u64()),
            target: url,
        }),
    }
}

impl Run<'_> {
    /// Waits for whoever must follow, and makes the target this site's.
    async fn prepare(&mut self) -> Result<()> {
        self.wait_for_followers().await?;
        self.target.take().await
    }

    async fn wait_for_followers(&self) -> Result<()> {
        let until = Instant::now() + FOLLOWER_WAIT;
        loop {
            let followers = self.source.followers()?;
            check_followers(&followers)?;
            if !self.options.server_runs || !followers.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Error::Unavailable(format!(
                    "The running server has not said within {} s that it can follow. It may be an older version: start it anew with this one. Nothing was moved.",
                    FOLLOWER_WAIT.as_secs()
                )));
            }
            tokio::time::sleep(FOLLOWER_LOOK).await;
        }
    }

    async fn carry_over(&mut self, totals: &[(&'static Shape, u64)], report: &mut MigrateReport) -> Result<()> {
        let started = Instant::now();
        report.rows = self.copy(totals).await?;
        report.copy_ms = started.elapsed().as_millis() as u64;
        stop_at(self.options.stop, MigrateStop::Copied)?;
        self.catch_up().await?;
        self.compare(totals).await?;
        stop_at(self.options.stop, MigrateStop::Compared)?;
        for _ in 0..FREEZES {
            self.catch_up().await?;
            if self.freeze(report).await? {
                return Ok(());
            }
            self.operator.progress.say("too much was written for a short freeze; catching up once more");
        }
        Err(Error::Unavailable(format!(
            "The last changes could not be brought over within {} ms in {FREEZES} attempts. The site stays where it is; run the migration again when less is written.",
            FREEZE.as_millis()
        )))
    }

    /// Copies every table, page by page. Each page is a moment of its own; what is touched meanwhile is carried over afterwards.
    async fn copy(&self, totals: &[(&'static Shape, u64)]) -> Result<u64> {
        let progress = &self.operator.progress;
        progress.begin("copying", Some(totals.iter().map(|(_, rows)| rows).sum()));
        let (mut copied, mut under_way) = (0, JoinSet::new());
        for (shape, _) in totals {
            let mut after: Option<Vec<Cell>> = None;
            loop {
                let rows = self.source.page(shape, after.as_deref(), PAGE_ROWS, PAGE_BYTES)?;
                let Some(last) = rows.last() else { break };
                after = Some(last[..shape.key].to_vec());
                let count = rows.len() as u64;
                let changes: Vec<Change> = rows.into_iter().map(|row| Change::put(shape, row)).collect();
                if under_way.len() == PAGES_AT_ONCE {
                    arrived(under_way.join_next().await)?;
                }
                let target = self.target.clone();
                under_way.spawn(async move { target.apply(&changes).await });
                copied += count;
                progress.advance(count);
            }
        }
        while let Some(page) = under_way.join_next().await {
            arrived(Some(page))?;
        }
        Ok(copied)
    }

    /// Carries over what was touched, until little is.
    async fn catch_up(&mut self) -> Result<()> {
        self.operator.progress.begin("catching up", None);
        for _ in 0..CATCH_UP_ROUNDS {
            self.source.snapshot()?;
            let delta = self.source.delta(self.position, ROUND_TOUCHES);
            self.source.end()?;
            let delta = delta?;
            self.target.apply(&delta.changes).await?;
            self.target.read_back(&delta.changes).await?;
            self.position = delta.position;
            self.operator.progress.advance(delta.touches as u64);
            if delta.touches <= CAUGHT_UP_TOUCHES {
                return Ok(());
            }
        }
        Err(Error::Unavailable("People write faster than is copied; run the migration again when less is written.".to_owned()))
    }

    /// Brings the target to one snapshot of the file and compares counts and sums of every table.
    async fn compare(&mut self, totals: &[(&'static Shape, u64)]) -> Result<()> {
        self.operator.progress.begin("comparing", Some(totals.iter().map(|(_, rows)| rows).sum()));
        self.source.snapshot()?;
        let compared = self.compare_snapshot(totals).await;
        self.source.end()?;
        compared
    }

    async fn compare_snapshot(&mut self, totals: &[(&'static Shape, u64)]) -> Result<()> {
        let delta = self.source.delta(self.position, usize::MAX)?;
        self.target.apply(&delta.changes).await?;
        self.position = delta.position;
        let target = self.target.clone();
        let theirs = tokio::spawn(async move { target.sums().await });
        let mut ours = BTreeMap::new();
        for (shape, _) in totals {
            let sum = self.source.sum(shape)?;
            self.operator.progress.advance(sum.0);
            ours.insert(shape.name.to_owned(), sum);
            // Lets the other side run where there is one thread.
            tokio::task::yield_now().await;
        }
        let theirs = theirs.await.map_err(|error| Error::Unavailable(format!("The comparison was ended: {error}.")))??;
        for (table, (rows, sum)) in &ours {
            let (their_rows, their_sum) = theirs.get(table).copied().unwrap_or((0, 0));
            if (*rows, *sum) != (their_rows, their_sum) {
                return Err(Error::Corrupt(format!(
                    "The copy differs: {table} has {rows} rows in the file and {their_rows} on the servers, or other contents. Nothing has moved; run the migration again, or take it back with --abort."
                )));
            }
        }
        Ok(())
    }

    /// Lets everybody wait, carries over the last of it, and decides. False when that would take too long; nothing has changed then.
    async fn freeze(&self, report: &mut MigrateReport) -> Result<bool> {
        let limit = if self.options.server_runs { FREEZE } else { FREEZE_ALONE };
        self.source.freeze()?;
        let begun = Instant::now();
        let carried = match tokio::time::timeout(limit, self.last_delta()).await {
            Ok(carried) => carried,
            // What was sent may yet arrive, after later states of the same rows: this copy is of no use any more.
            Err(_) => Err(Error::Unavailable(format!(
                "The servers did not take the last changes within {} ms. The site stays where it is; run the migration again.",
                limit.as_millis()
            ))),
        };
        let stopped = stop_at(self.options.stop, MigrateStop::Frozen);
        match (carried, stopped) {
            (Ok(Some(events)), Ok(())) => {
                self.source.decide()?;
                report.frozen_ms = begun.elapsed().as_millis() as u64;
                report.events = events;
                Ok(true)
            }
            (Ok(Some(_)), Err(error)) | (Err(error), _) => {
                self.source.thaw();
                Err(error)
            }
            (Ok(None), _) => {
                self.source.thaw();
                Ok(false)
            }
        }
    }

    /// Returns how many events came along; `None` when there is more than fits into a short freeze.
    async fn last_delta(&self) -> Result<Option<usize>> {
        let rows_max = if self.options.server_runs { FREEZE_ROWS } else { usize::MAX };
        let delta = self.source.delta(self.position, rows_max)?;
        if delta.touches >= rows_max || self.source.outbox_count()? >= rows_max as u64 {
            return Ok(None);
        }
        check_followers(&self.source.followers()?)?;
        let events = self.source.outbox()?;
        self.target.apply(&delta.changes).await?;
        self.target.read_back(&delta.changes).await?;
        self.target.replace_outbox(&events).await?;
        Ok(Some(events.len()))
    }
}

/// Refuses to go on while a process could not follow.
fn check_followers(problems: &[String]) -> Result<()> {
    match problems.iter().find(|problem| !problem.is_empty()) {
        None => Ok(()),
        Some(problem) => Err(Error::Unavailable(format!(
            "A running server could not follow: {problem} Give it storage.user and storage.password (CORKBOARD_STORAGE_USER, …_PASSWORD), start it anew and run the migration again. Nothing was moved."
        ))),
    }
}

fn arrived(page: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match page {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(Error::Unavailable(format!("A page of the copy was not written: {error}."))),
    }
}

fn stop_at(stop: Option<MigrateStop>, here: MigrateStop) -> Result<()> {
    if stop == Some(here) { Err(Error::Unavailable(format!("Stopped at {here:?}, as asked."))) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
