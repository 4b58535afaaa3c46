//! The scaled engine: shards on many MySQL or MariaDB servers, each with replicas.
//!
//! ```text
//! call ─▶ Cluster: which server has the shard? ─▶ Node ─ write ─▶ Lane: group commit on the primary, rights checked in the transaction
//!             ▲ a newer map                        │
//!             └─ Keeper: lease, commits of others, └ read ──▶ primary, or a replica that is fresh enough; then: do you have this shard?
//!                replicas' delay, newer maps
//! ```
//!
//! cluster.rs maps and where writes go, node.rs one server, keeper.rs what looks after it, lane.rs group commits, queue.rs what goes together, overlay.rs the pure
//! decision, ahead.rs reading ahead, ask.rs where is read, gather.rs look-ups that go together, read.rs statements that read, shape.rs tables and changes of rows, schema.rs the tables, check.rs the
//! look at everything, inspect.rs what verification lists and mends, samples.rs how large servers are, follow.rs what a process does whose site
//! comes from an embedded store.
//!
//! Invariants
//! - A write is held against the server's own list of shards, in its transaction: no row lands where it does not belong, whatever map
//!   the writer went by.
//! - Writers of one shard are ordered by the lock on its row in that list, over all processes.
//! - A server writes only under a lease, and one that lost it gets it back only after its replicas were asked.

mod ahead;
mod ask;
mod check;
mod cluster;
mod follow;
mod gather;
mod inspect;
mod keeper;
mod lane;
mod node;
mod operations;
mod overlay;
mod queue;
mod read;
mod samples;
mod schema;
pub(super) mod shape;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp, id::SHARD_COUNT};
use mysql::{Credentials, Limits, Row as Answer};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::inspection::{Inspection, ShardRange};
use crate::engine::{Engine, EngineStats, InTurn, Prepared, one_by_one};
use crate::error::{Error, Result};
use crate::row::{Edge, Freshness, Name, Range, Row, StaleClaim};
use crate::shard_map::ShardMap;
use crate::verify::{FINDINGS_MAX, Severity};

pub use operations::{
    ArchiveReport, BackupReport, BackupWish, CapacityReport, FailoverOptions, FailoverReport, FileEntry, FleetStatus, InitReport,
    ListedBackup, Manifest, MigrateOptions, MigrateReport, MigrateStop, MoveReport, MoveStop, Operator, Progress, Quiet, ReplicaStatus,
    RestoreReport, RestoreStop, RestoreWish, ServerCapacity, ServerPart, ServerStatus, check_backup, list_backups,
};

use cluster::Cluster;
use gather::{Found, Gather, Item};
use lane::{Done, Work};
use node::Process;

/// Bits of an outbox position below the server's number.
const POSITION_BITS: u32 = 48;
/// Lists of one call that one round trip asks for.
const RANGES_PER_TRIP: usize = 200;
/// Things of one call that are looked up together with others'.
const GATHERED_MAX: usize = 64;
/// Counting every table may take this part of the time (1/100).
const COUNTING_SHARE: u32 = 100;
/// Rows that one statement of housekeeping deletes.
pub(super) const SWEEP_ROWS: u64 = 2_000;

pub struct MysqlEngine {
    cluster: Arc<Cluster>,
    freshness: Freshness,
    counted: Arc<Mutex<Option<Counted>>>,
    /// `None` where reads may be stale: those go to replicas, each as fresh as its own caller wants it.
    gather: Option<Arc<Gather>>,
}

struct Counted {
    tables: Vec<(String, u64)>,
    at: Instant,
    took: Duration,
}

impl From<mysql::Error> for Error {
    /// Classifies errors of calls that change nothing, or the same when repeated.
    fn from(error: mysql::Error) -> Error {
        match error {
            mysql::Error::Corrupt(message) => Error::Corrupt(message),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

impl MysqlEngine {
    /// Opens the cluster that a shard map's file describes.
    pub async fn open(file: &Path, credentials: Credentials) -> Result<MysqlEngine> {
        MysqlEngine::start(cluster::read_map(file)?, credentials, Some(file))
    }

    /// Opens the cluster that one of its servers knows: `HOST:PORT/DATABASE`.
    pub async fn find(address: &str, credentials: Credentials) -> Result<MysqlEngine> {
        let server = node::server(address, &credentials, Limits::default())?;
        let told = server.query("SELECT map FROM shard_map WHERE id = 1").await;
        let map = match told {
            Ok(sets) => mysql::first(&sets).map(|row| ShardMap::parse(row.text(0)?)).transpose()?,
            Err(error) if error.code() == Some(1146) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(map) = map else {
            return Err(Error::Invalid(format!("{address} holds no fleet's tables yet. `corkboard storage init` makes them.")));
        };
        MysqlEngine::start(map, credentials, None)
    }

    /// Starts on a map.
    pub fn start(map: ShardMap, credentials: Credentials, file: Option<&Path>) -> Result<MysqlEngine> {
        let process = Process {
            writer: (runtime::random_u64() >> 1) as i64,
            credentials,
            counters: Arc::default(),
            commits: watch::Sender::new(0),
            others: watch::Sender::new(0),
        };
        let cluster = Cluster::start(map, process, file.map(Path::to_owned))?;
        let engine = |gather| MysqlEngine { cluster: cluster.clone(), freshness: Freshness::default(), counted: Arc::default(), gather };
        Ok(engine(Some(Gather::new(engine(None)))))
    }

    /// Returns the shard map that it goes by now.
    pub fn map(&self) -> ShardMap {
        self.cluster.map()
    }

    async fn table_rows(&self) -> Result<Vec<(String, u64)>> {
        if let Some(counted) = &*self.counted.lock()
            && counted.at.elapsed() < counted.took * COUNTING_SHARE
        {
            return Ok(counted.tables.clone());
        }
        let started = Instant::now();
        let mut tables: BTreeMap<String, u64> = BTreeMap::new();
        for (_, rows) in self.read_all(&check::table_rows_sql()).await? {
            for row in rows {
                *tables.entry(row.string(0)?).or_default() += row.u64(1)?;
            }
        }
        let tables: Vec<_> = tables.into_iter().collect();
        *self.counted.lock() = Some(Counted { tables: tables.clone(), at: Instant::now(), took: started.elapsed() });
        Ok(tables)
    }

    /// Who asks for few things asks together with others; many are worth a round trip of their own.
    fn gathers(&self, things: usize) -> Option<&Arc<Gather>> {
        self.gather.as_ref().filter(|_| things <= GATHERED_MAX)
    }

    async fn get_now(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        if let [id] = ids
            && self.freshness.at_most_stale_ms == 0
            && id.shard().0 < SHARD_COUNT
        {
            return Ok(vec![self.get_one(*id).await?]);
        }
        let shards: Vec<Shard> = ids.iter().map(|id| id.shard()).collect();
        let mut found: HashMap<Id, Row> = HashMap::with_capacity(ids.len());
        let statements = |places: &[usize]| read::get_sql(&places.iter().map(|place| ids[*place]).collect::<Vec<_>>());
        self.read_spread(&shards, statements, |_, sets| {
            for row in sets.iter().flatten() {
                let row = read::decode_row(row)?;
                found.insert(row.id, row);
            }
            Ok(())
        })
        .await?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn edges_now(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        if from.shard().0 >= SHARD_COUNT {
            return Ok(vec![None; tos.len()]);
        }
        let found = self.read(from.shard(), read::edges_sql(assoc, from, tos), |rows| decode_all(rows, read::decode_edge)).await?;
        let found: HashMap<Id, i64> = found.into_iter().map(|edge| (edge.to, edge.sequence)).collect();
        Ok(tos.iter().map(|to| found.get(to).copied()).collect())
    }

    async fn counts_now(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        let shards: Vec<Shard> = wanted.iter().map(|(_, from)| from.shard()).collect();
        let mut found: HashMap<(Assoc, Id), u64> = HashMap::new();
        let statements = |places: &[usize]| vec![read::counts_sql(&places.iter().map(|place| wanted[*place]).collect::<Vec<_>>())];
        self.read_spread(&shards, statements, |_, sets| {
            for row in sets.iter().flatten() {
                found.insert((ahead::assoc_of(row.text(1)?)?, read::decode_id(row.i64(0)?)?), row.u64(2)?);
            }
            Ok(())
        })
        .await?;
        Ok(wanted.iter().map(|key| found.get(key).copied().unwrap_or(0)).collect())
    }

    async fn name_now(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        if shard.0 >= SHARD_COUNT {
            return Ok(None);
        }
        self.read(shard, read::name_sql(shard, kind, key), |rows| rows.first().map(read::decode_name).transpose()).await
    }
}

impl MysqlEngine {
    /// Writes batches of one server in one transaction; when their shards have parted meanwhile, one after the other.
    async fn write_together(&self, batches: Vec<Prepared>, needed: usize) -> InTurn {
        let batches = Arc::new(batches);
        match self.cluster.write(Work::Batches { batches: batches.clone(), needed }).await {
            Ok(Some(Done::Written(answers))) => answers,
            Ok(Some(Done::Reserved(_))) => {
                vec![Some(Err(Error::Corrupt("A write was answered as a reservation.".to_owned()))); batches.len()]
            }
            Ok(None) => one_by_one(self, Arc::unwrap_or_clone(batches), needed).await,
            Err(error) => vec![Some(Err(error)); batches.len()],
        }
    }
}

fn decode_all<T>(rows: &[Answer], decode: impl Fn(&Answer) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(decode).collect()
}

#[async_trait]
impl Engine for MysqlEngine {
    async fn reserve(&self, shard: Shard, kind: Kind, count: u64) -> Result<u64> {
        match self.cluster.write(Work::Reserve { shard, kind, count }).await? {
            Some(Done::Reserved(first)) => Ok(first),
            _ => Err(Error::Corrupt("A reservation was answered as a write.".to_owned())),
        }
    }

    async fn get(&self, ids: &[Id]) -> Result<Vec<Option<Row>>> {
        let Some(gather) = self.gathers(ids.len()) else { return self.get_now(ids).await };
        let alone = async { Ok(self.get_now(ids).await?.into_iter().map(Found::Row).collect()) };
        let found = gather.look_up(ids.iter().map(|id| Item::Row(*id)).collect(), alone).await?;
        Ok(found.into_iter().map(|found| if let Found::Row(row) = found { row } else { None }).collect())
    }

    async fn write(&self, batch: Prepared) -> Result<Written> {
        let answers = self.write_together(vec![batch], 1).await;
        answers.into_iter().flatten().next().unwrap_or_else(|| Err(Error::Corrupt("A write was not answered.".to_owned())))
    }

    /// Those that follow one another on one server are one transaction there.
    async fn write_in_turn(&self, batches: Vec<Prepared>, needed: usize) -> InTurn {
        let mut answers: InTurn = vec![None; batches.len()];
        let shards: Vec<Shard> = batches.iter().map(|batch| batch.shard).collect();
        let servers = match self.cluster.servers_of(&shards) {
            Ok(servers) => servers,
            Err(error) => return vec![Some(Err(error)); batches.len()],
        };
        let mut waiting: Vec<Option<Prepared>> = batches.into_iter().map(Some).collect();
        let mut from = 0;
        while from < needed {
            let to = (from..needed).find(|place| servers[*place] != servers[from]).unwrap_or(needed);
            let mut places: Vec<usize> = (from..to).collect();
            if to == needed {
                places.extend((needed..servers.len()).filter(|place| servers[*place] == servers[from]));
            }
            let run = places.iter().filter_map(|place| waiting[*place].take()).collect();
            let written = self.write_together(run, to - from).await;
            places.iter().zip(written).for_each(|(place, written)| answers[*place] = written);
            if answers[from..to].iter().any(|answer| !matches!(answer, Some(Ok(_)))) {
                return answers;
            }
            from = to;
        }
        let rest = waiting.into_iter().enumerate().filter_map(|(place, batch)| Some((place, batch?)));
        let rest = join_all(rest.map(|(place, batch)| async move { (place, self.write(batch).await) })).await;
        rest.into_iter().for_each(|(place, written)| answers[place] = Some(written));
        answers
    }

    async fn ranges(&self, assoc: Assoc, froms: &[Id], range: Range) -> Result<Vec<Vec<Edge>>> {
        let mut lists: Vec<Vec<Edge>> = vec![Vec::new(); froms.len()];
        for (begin, chunk) in froms.chunks(RANGES_PER_TRIP).enumerate().map(|(index, chunk)| (index * RANGES_PER_TRIP, chunk)) {
            let shards: Vec<Shard> = chunk.iter().map(|from| from.shard()).collect();
            let statements = |places: &[usize]| places.iter().map(|place| read::range_sql(assoc, chunk[*place], range)).collect();
            self.read_spread(&shards, statements, |places, sets| {
                for (place, rows) in places.iter().zip(&sets) {
                    lists[begin + place] = decode_all(rows, read::decode_edge)?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(lists)
    }

    async fn edges(&self, assoc: Assoc, from: Id, tos: &[Id]) -> Result<Vec<Option<i64>>> {
        let Some(gather) = self.gathers(tos.len()) else { return self.edges_now(assoc, from, tos).await };
        let alone = async { Ok(self.edges_now(assoc, from, tos).await?.into_iter().map(Found::Edge).collect()) };
        let found = gather.look_up(tos.iter().map(|to| Item::Edge(assoc, from, *to)).collect(), alone).await?;
        Ok(found.into_iter().map(|found| if let Found::Edge(sequence) = found { sequence } else { None }).collect())
    }

    async fn counts(&self, wanted: &[(Assoc, Id)]) -> Result<Vec<u64>> {
        let Some(gather) = self.gathers(wanted.len()) else { return self.counts_now(wanted).await };
        let alone = async { Ok(self.counts_now(wanted).await?.into_iter().map(Found::Count).collect()) };
        let found = gather.look_up(wanted.iter().map(|(assoc, from)| Item::Count(*assoc, *from)).collect(), alone).await?;
        Ok(found.into_iter().map(|found| if let Found::Count(count) = found { count } else { 0 }).collect())
    }

    async fn name(&self, shard: Shard, kind: NameKind, key: &str) -> Result<Option<Name>> {
        let Some(gather) = self.gathers(1) else { return self.name_now(shard, kind, key).await };
        let alone = async { Ok(vec![Found::Name(self.name_now(shard, kind, key).await?)]) };
        let found = gather.look_up(vec![Item::Name(shard, kind, key.to_owned())], alone).await?.pop();
        Ok(if let Some(Found::Name(name)) = found { name } else { None })
    }

    async fn names_of(&self, owner: Id, kind: NameKind, limit: usize) -> Result<Vec<(String, Id)>> {
        if owner.shard().0 >= SHARD_COUNT {
            return Ok(Vec::new());
        }
        let decode = |row: &Answer| Ok((row.string(0)?, read::decode_id(row.i64(1)?)?));
        self.read(owner.shard(), read::names_of_sql(owner, kind, limit), |rows| decode_all(rows, decode)).await
    }

    async fn stale_claims(&self, before: Timestamp, after: Option<&StaleClaim>, limit: usize) -> Result<Vec<StaleClaim>> {
        let answers = self.read_all(&read::stale_claims_sql(before, after, limit)).await?;
        let mut claims = answers.iter().flat_map(|(_, rows)| rows).map(read::decode_claim).collect::<Result<Vec<_>>>()?;
        claims.sort_by(|(a_slot, a), (b_slot, b)| (a_slot, a.kind.as_str(), &a.key).cmp(&(b_slot, b.kind.as_str(), &b.key)));
        Ok(claims.into_iter().map(|(_, claim)| claim).take(limit).collect())
    }

    async fn scan(&self, kind: Kind, after: Option<Id>, limit: usize) -> Result<Vec<Row>> {
        let answers = self.read_all(&read::scan_sql(kind, after, limit)).await?;
        let mut rows = answers.iter().flat_map(|(_, rows)| rows).map(read::decode_row).collect::<Result<Vec<_>>>()?;
        rows.sort_by_key(|row| row.id);
        rows.truncate(limit);
        Ok(rows)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<(i64, String)>> {
        let topology = self.cluster.topology()?;
        // A primary that came back after it was replaced may hold events of writes that its successor never saw.
        let sql = format!("SELECT position, event FROM outbox WHERE {} ORDER BY position LIMIT {limit}", read::leased());
        let asks = topology.nodes.values().map(|node| async { Ok::<_, Error>((node.entry.number, node.primary.query(&sql).await)) });
        let mut answers = try_join_all(asks).await?;
        answers.sort_by_key(|(number, _)| *number);
        // A server that is away holds up its own events only.
        if let Some((_, Err(error))) = answers.iter().find(|(_, answer)| answer.is_err())
            && answers.iter().all(|(_, answer)| answer.is_err())
        {
            return Err(error.clone().into());
        }
        // One of each in turn, so that a busy server does not hold up the others.
        let mut lists: Vec<_> = answers.iter().map(|(number, answer)| (*number, answer.iter().flatten().flatten())).collect();
        let mut events = Vec::new();
        while events.len() < limit && !lists.is_empty() {
            let mut left = Vec::with_capacity(lists.len());
            for (number, mut list) in lists {
                if let Some(row) = list.next().filter(|_| events.len() < limit) {
                    events.push((i64::from(number) << POSITION_BITS | row.i64(0)?, row.string(1)?));
                    left.push((number, list));
                }
            }
            lists = left;
        }
        events.sort_by_key(|(position, _)| *position);
        Ok(events)
    }

    async fn outbox_forget(&self, positions: &[i64]) -> Result<()> {
        let topology = self.cluster.topology()?;
        let mut by_server: BTreeMap<u16, Vec<i64>> = BTreeMap::new();
        for position in positions {
            let number = (position >> POSITION_BITS) as u16;
            by_server.entry(number).or_default().push(position & ((1 << POSITION_BITS) - 1));
        }
        for (number, positions) in by_server {
            let Some(node) = topology.nodes.values().find(|node| node.entry.number == number) else { continue };
            for chunk in positions.chunks(SWEEP_ROWS as usize) {
                let sql = format!("DELETE FROM outbox WHERE position IN ({}) AND {}", mysql::list(chunk), read::leased());
                node.primary.query(&sql).await?;
            }
        }
        Ok(())
    }

    fn view(&self, freshness: &Freshness) -> Option<Arc<dyn Engine>> {
        let (cluster, counted) = (self.cluster.clone(), self.counted.clone());
        let is_exact = freshness.at_most_stale_ms == 0;
        let gather = self.gather.clone().filter(|_| is_exact);
        Some(Arc::new(MysqlEngine { cluster, freshness: freshness.clone(), counted, gather }))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.cluster.process.commits.subscribe()
    }

    fn watch_others(&self) -> watch::Receiver<u64> {
        self.cluster.process.others.subscribe()
    }

    fn others_known_until(&self) -> Option<Instant> {
        self.cluster.others_known_until()
    }

    async fn audit_log(&self, shard: Shard, after: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(shard, read::audit_log_sql(shard, after, limit), |rows| decode_all(rows, read::decode_audit)).await
    }

    async fn audit_recent(&self, limit: usize) -> Result<Vec<AuditRow>> {
        let answers = self.read_all(&read::audit_recent_sql(limit)).await?;
        let mut rows = answers.iter().flat_map(|(_, rows)| rows).map(read::decode_audit).collect::<Result<Vec<_>>>()?;
        rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.id)));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn sweep_idempotency(&self, before: Timestamp) -> Result<u64> {
        self.everywhere(&format!("DELETE FROM idempotency WHERE created_at < {}", before.0)).await
    }

    async fn stats(&self) -> Result<EngineStats> {
        let tables = self.table_rows().await?;
        let sizes = self.read_all(check::SIZES_SQL).await?;
        let (mut file_bytes, mut outbox) = (0, 0);
        for row in sizes.iter().flat_map(|(_, rows)| rows) {
            file_bytes += row.u64(0)?;
            outbox += row.u64(1)?;
        }
        let counters = &self.cluster.process.counters;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        let (writes, group_commits) = (load(&counters.writes), load(&counters.group_commits));
        Ok(EngineStats { tables, file_bytes, wal_bytes: 0, outbox, writes, group_commits })
    }

    async fn check(&self) -> Result<Vec<String>> {
        let topology = self.cluster.topology()?;
        let findings = check::examine(&topology, &self.cluster.process.credentials, ShardRange::ALL, FINDINGS_MAX).await?;
        Ok(findings.iter().filter(|finding| finding.severity == Severity::Error).map(ToString::to_string).collect())
    }

    fn inspection(&self) -> Option<&dyn Inspection> {
        Some(self)
    }

    async fn close(&self) -> Result<()> {
        self.cluster.close();
        Ok(())
    }
}
