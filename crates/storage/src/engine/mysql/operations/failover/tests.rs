use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::{Assoc, Pin, PinId, Shard, UserId};
use mysql::Credentials;
use testkit::mariadb::{self, Options, REPLICATION, Server};
use testkit::{Cut, Proxy};

use super::FailoverOptions;
use crate::contract::fleet::{operator, site};
use crate::contract::{a_pin, batch};
use crate::engine::mysql::{MysqlEngine, Operator, cluster, keeper};
use crate::{Batch, Error, ServerEntry, Storage};

const SHARD: Shard = Shard(7);
/// Long enough that no commit ever goes on without its replica.
const SEMI_SYNC: Option<Duration> = Some(Duration::from_secs(3_600));

fn pin(local: u64) -> PinId {
    PinId::new(SHARD, local)
}

fn write_pin(local: u64) -> Batch {
    let user = UserId::new(SHARD, 1);
    batch(SHARD, |b| b.create(pin(local), &a_pin("kept")).map(Assoc::UserHasPins, user, pin(local), local as i64))
}

/// A server with a replica, each behind a way of its own from here, that can be cut.
struct Pair {
    primary: Server,
    replica: Server,
    to_primary: Proxy,
    to_replica: Proxy,
    operator: Operator,
    folder: tempfile::TempDir,
}

impl Pair {
    async fn start(test: &str) -> Option<Pair> {
        if !mariadb::is_available(test) {
            return None;
        }
        let primary = Server::start(Options { semi_sync: SEMI_SYNC, ..Options::default() }).expect("a primary");
        let replica = Server::replica_of(&primary, Options::replica(2)).expect("a replica");
        let to_primary = Proxy::start(primary.socket_address()).expect("a way");
        let to_replica = Proxy::start(replica.socket_address()).expect("a way");
        let folder = tempfile::tempdir().expect("a folder");
        let operator = operator(folder.path().join("shards.json"));
        let entry = ServerEntry {
            name: "a".to_owned(),
            number: 1,
            primary: format!("{}/corkboard", to_primary.address()),
            replicas: vec![format!("{}/corkboard", to_replica.address())],
            disk_gib: None,
        };
        operator.init(vec![entry], false).await.expect("tables");
        replica.wait_until_caught_up(&primary).unwrap_or_else(|error| panic!("{error:#}: {:?}", replica.replication()));
        Some(Pair { primary, replica, to_primary, to_replica, operator, folder })
    }

    async fn open(&self) -> Storage {
        let engine = MysqlEngine::open(&self.folder.path().join("shards.json"), site()).await.expect("an engine");
        Storage::with_engine(Arc::new(engine), runtime::SystemClock::shared())
    }

    fn replica_count(&self) -> String {
        self.replica.admin().value("SELECT COUNT(*) FROM corkboard.pins").expect("a count")
    }
}

/// Waits until something holds; what is waited for is looked at every few milliseconds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} never came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_primary_is_killed() {
    let Some(mut pair) = Pair::start("nothing_acknowledged_is_lost").await else { return };
    let (storage, stop, next) = (pair.open().await, Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)));
    let done = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (storage, stop, next, done) = (storage.clone(), stop.clone(), next.clone(), done.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let local = next.fetch_add(1, Ordering::Relaxed);
                    match storage.write(write_pin(local)).await {
                        Ok(_) => {
                            acknowledged.push(local);
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(Error::Unavailable(_) | Error::Unknown(_)) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
                acknowledged
            })
        })
        .collect();
    until("some writes", || async { done.load(Ordering::Relaxed) > 200 }).await;
    // The keeper has told the replica that commits wait for it.
    until("the lease", || async { pair.replica.admin().value("SELECT semi_sync FROM corkboard.lease").expect("a value") == "1" }).await;
    let alive = pair.operator.failover("a", &FailoverOptions::default()).await.expect_err("it lives");
    assert!(alive.to_string().contains("it is alive"), "{alive}");
    pair.primary.kill9();
    let planned = pair.operator.failover("a", &FailoverOptions { dry_run: true, ..FailoverOptions::default() }).await.expect("a plan");
    assert_eq!((planned.promoted, planned.epoch), (None, 3));
    let report = pair.operator.failover("a", &FailoverOptions::default()).await.expect("a failover");
    assert_eq!(report.promoted, Some(format!("{}/corkboard", pair.to_replica.address())));
    // As if it had been killed when servers were told and the file was not written yet, and the only replica is one no longer.
    let file = pair.folder.path().join("of-the-operator.json");
    cluster::write_map(&file, &old_map(&pair)).expect("the old map");
    let again = operator(file.clone()).failover("a", &FailoverOptions::default()).await.expect("brought to its end");
    assert!(again.steps[0].contains("interrupted"), "{again:?}");
    assert_eq!(cluster::read_map(&file).expect("a map").epoch, report.epoch);
    let before = done.load(Ordering::Relaxed);
    until("writes on the new primary", || async { done.load(Ordering::Relaxed) > before + 200 }).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("a writer"));
    }
    let count: u64 = pair.replica_count().parse().expect("a number");
    for chunk in acknowledged.chunks(1_000) {
        let ids: Vec<_> = chunk.iter().map(|local| pin(*local).id()).collect();
        let found = storage.get_many::<Pin>(&ids).await.expect("a read");
        let missing: Vec<u64> = chunk.iter().zip(&found).filter(|(_, row)| row.is_none()).map(|(local, _)| *local).collect();
        assert_eq!(missing, Vec::<u64>::new(), "acknowledged and gone");
    }
    assert!(count >= acknowledged.len() as u64);
    // The old primary comes back and is given to by nobody: it is in no map, and its lease has run out.
    pair.primary.restart().expect("a restart");
    let old = MysqlEngine::start(old_map(&pair), site(), None).expect("a process with the old map");
    let (cluster, node) = (old.cluster.clone(), old.cluster.topology().expect("open").nodes["a"].clone());
    let old = Storage::with_engine(Arc::new(old), runtime::SystemClock::shared());
    // Not what the old primary remembers: it does not have the last of them.
    let newest = pin(acknowledged.iter().copied().max().expect("writes"));
    assert!(old.get::<Pin>(newest).await.expect("a read").is_some(), "a primary without a lease was believed");
    old.write(write_pin(900_000)).await.expect("it hears of the new primary");
    assert_eq!(pair.primary.admin().value("SELECT COUNT(*) FROM corkboard.pins WHERE id & 68719476735 = 900000").expect("a count"), "0");
    assert!(storage.get::<Pin>(pin(900_000)).await.expect("a read").is_some());
    // A keeper of the old primary that was still at work when the new map came.
    let refused = keeper::reopen(&cluster, &node).await.expect_err("the old primary was given a lease");
    assert!(refused.to_string().contains("has been replaced"), "{refused}");
}

/// The map as it was before the failover.
fn old_map(pair: &Pair) -> crate::ShardMap {
    let entry = ServerEntry {
        name: "a".to_owned(),
        number: 1,
        primary: format!("{}/corkboard", pair.to_primary.address()),
        replicas: vec![format!("{}/corkboard", pair.to_replica.address())],
        disk_gib: None,
    };
    crate::ShardMap::even(vec![entry])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_no_death() {
    let Some(pair) = Pair::start("a_partition_is_no_death").await else { return };
    let storage = pair.open().await;
    storage.write(write_pin(1)).await.expect("a write");
    pair.to_primary.cut_off(Cut::Refuse);
    let error = pair.operator.failover("a", &FailoverOptions::default()).await.expect_err("the replica sees it");
    assert!(matches!(&error, Error::Conflict(message) if message.contains("still sees the primary")), "{error}");
    pair.to_primary.reconnect();
    // Nothing was changed: writes go on where they went.
    until("a write", || async {
        storage.write(write_pin(2)).await.is_ok() || storage.get::<Pin>(pin(2)).await.is_ok_and(|pin| pin.is_some())
    })
    .await;
    assert_eq!(pair.operator.map().await.expect("a map").epoch, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_hands_over_and_becomes_a_replica() {
    let Some(pair) = Pair::start("a_primary_hands_over").await else { return };
    let storage = pair.open().await;
    storage.write(write_pin(1)).await.expect("a write");
    let login = Credentials { user: REPLICATION.user.to_owned(), password: REPLICATION.password.to_owned() };
    let operator = pair.operator.clone().with_replication(login);
    let planned = FailoverOptions { planned: true, ..FailoverOptions::default() };
    operator.failover("a", &planned).await.expect("a change of primaries");
    storage.write(write_pin(2)).await.expect("a write on the new primary");
    assert_eq!(pair.replica_count(), "2");
    until("the old primary follows", || async {
        pair.primary.admin().value("SELECT COUNT(*) FROM corkboard.pins").is_ok_and(|count| count == "2")
    })
    .await;
    let status = operator.status().await.expect("a status");
    // The servers of tests don't wait for a disk, and that is said.
    assert!(matches!(status.problems.as_slice(), [one] if one.contains("innodb_flush_log_at_trx_commit")), "{:?}", status.problems);
    assert_eq!(status.servers[0].replicas.len(), 1);
    // And back again.
    operator.failover("a", &planned).await.expect("a change back");
    storage.write(write_pin(3)).await.expect("a write");
    assert_eq!(pair.primary.admin().value("SELECT COUNT(*) FROM corkboard.pins").expect("a count"), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_answer_who_does_not_mind_age_and_are_left_out_when_they_lag() {
    let Some(mut pair) = Pair::start("replicas_answer").await else { return };
    let storage = pair.open().await;
    storage.write(write_pin(1)).await.expect("a write");
    pair.replica.wait_until_caught_up(&pair.primary).expect("a replica that has everything");
    let stale = storage.at_most_stale(3_600_000);
    // Seen on the replica alone: it is really asked.
    pair.replica.admin().sql("SET SESSION sql_log_bin = 0; UPDATE corkboard.pins SET version = 77").expect("a mark");
    until("the replica's answer", || async { stale.get::<Pin>(pin(1)).await.expect("a read").expect("a pin").version == 77 }).await;
    assert_eq!(storage.get::<Pin>(pin(1)).await.expect("a read").expect("a pin").version, 1);
    // It stops applying: who allows any age reads the past, who has written reads that.
    pair.replica.admin().sql("STOP SLAVE SQL_THREAD").expect("a stop");
    let written = storage.write(write_pin(2)).await.expect("a write");
    assert_eq!(stale.get::<Pin>(pin(2)).await, Ok(None));
    assert!(storage.after(3_600_000, [&written]).get::<Pin>(pin(2)).await.expect("a read").is_some());
    // Who allows a second is sent to the primary once the replica is further behind.
    let second = storage.at_most_stale(1_000);
    until("the replica is left out", || async { second.get::<Pin>(pin(2)).await.expect("a read").is_some() }).await;
    pair.replica.admin().sql("START SLAVE SQL_THREAD").expect("a start");
    until("the replica is back", || async { second.get::<Pin>(pin(1)).await.expect("a read").expect("a pin").version == 77 }).await;
    assert!(storage.after(3_600_000, [&written]).get::<Pin>(pin(2)).await.expect("a read").is_some());
    // It dies: nobody notices.
    pair.replica.kill9();
    for _ in 0..20 {
        assert!(stale.get::<Pin>(pin(1)).await.expect("a read").is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_restarted_is_opened_only_after_its_replicas_were_asked() {
    let Some(mut pair) = Pair::start("a_primary_that_was_restarted").await else { return };
    drop(pair.open().await);
    pair.primary.kill9();
    pair.replica.kill9();
    pair.primary.restart().expect("a restart");
    pair.primary
        .admin()
        .sql("SET GLOBAL rpl_semi_sync_master_enabled = 0; UPDATE corkboard.lease SET until_ms = 0")
        .expect("a lease that has run out");
    let storage = pair.open().await;
    let error = storage.write(write_pin(1)).await.expect_err("no lease");
    assert!(matches!(&error, Error::Unavailable(message) if message.contains("lease has run out")), "{error}");
    pair.replica.restart().expect("a restart");
    until("the lease", || async { storage.write(write_pin(2)).await.is_ok() }).await;
}

fn at(server: &Server) -> String {
    format!("{}/corkboard", server.address())
}

fn follows(replica: &Server, primary: &Server) -> bool {
    replica.replication().is_ok_and(|state| {
        state.get("Master_Port") == Some(&primary.port().to_string())
            && state.get("Slave_IO_Running").is_some_and(|running| running == "Yes")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_one_takes_over_and_the_other_follows_it_later_if_it_was_away() {
    if !mariadb::is_available("of_two_replicas") {
        return;
    }
    let primary = Server::start(Options { semi_sync: SEMI_SYNC, ..Options::default() }).expect("a primary");
    let second = Server::replica_of(&primary, Options::replica(2)).expect("a replica");
    let third = Server::replica_of(&primary, Options::replica(3)).expect("a replica");
    let to_third = Proxy::start(third.socket_address()).expect("a way");
    let folder = tempfile::tempdir().expect("a folder");
    let login = Credentials { user: REPLICATION.user.to_owned(), password: REPLICATION.password.to_owned() };
    let operator = operator(folder.path().join("shards.json")).with_replication(login);
    let entry = ServerEntry {
        name: "a".to_owned(),
        number: 1,
        primary: at(&primary),
        replicas: vec![at(&second), format!("{}/corkboard", to_third.address())],
        disk_gib: None,
    };
    operator.init(vec![entry], false).await.expect("tables");
    let engine = MysqlEngine::open(&folder.path().join("shards.json"), site()).await.expect("an engine");
    let storage = Storage::with_engine(Arc::new(engine), runtime::SystemClock::shared());
    storage.write(write_pin(1)).await.expect("a write");
    for replica in [&second, &third] {
        replica.wait_until_caught_up(&primary).expect("a replica that has everything");
    }

    // Planned, to the one that is named; the other two follow it.
    let planned = FailoverOptions { planned: true, to: Some(at(&second)), ..FailoverOptions::default() };
    let report = operator.failover("a", &planned).await.expect("a change of primaries");
    assert_eq!(report.promoted, Some(at(&second)));
    storage.write(write_pin(2)).await.expect("a write on the second");
    until("both follow the second", || async { follows(&third, &second) && follows(&primary, &second) }).await;

    // The third is away while the first takes over again, and so is not told whom to follow.
    to_third.cut_off(Cut::Refuse);
    let planned = FailoverOptions { planned: true, ..FailoverOptions::default() };
    let report = operator.failover("a", &planned).await.expect("a change of primaries");
    assert_eq!(report.promoted, Some(at(&primary)));
    assert!(report.steps.iter().any(|step| step.contains("does not follow it yet")), "{report:?}");
    to_third.reconnect();
    let again = operator.failover("a", &FailoverOptions::default()).await.expect("brought to its end");
    assert!(again.steps[0].contains("interrupted"), "{again:?}");
    until("the third follows the first", || async { follows(&third, &primary) }).await;
    let alive = operator.failover("a", &FailoverOptions::default()).await.expect_err("nothing is left to do");
    assert!(alive.to_string().contains("it is alive"), "{alive}");
    storage.write(write_pin(3)).await.expect("a write");
    until("the third has everything", || async {
        third.admin().value("SELECT COUNT(*) FROM corkboard.pins").is_ok_and(|count| count == "3")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_that_died_together_are_replaced_one_after_the_other() {
    if !mariadb::is_available("two_primaries") {
        return;
    }
    let start =
        |id| Server::start(Options { semi_sync: SEMI_SYNC, server_id: id, gtid_domain: id, ..Options::default() }).expect("a primary");
    let mut primaries = [start(1), start(2)];
    let replicas = [(11, 1), (12, 2)].map(|(id, domain)| {
        let options = Options { gtid_domain: domain, ..Options::replica(id) };
        Server::replica_of(&primaries[domain as usize - 1], options).expect("a replica")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let operator = operator(folder.path().join("shards.json"));
    let entry = |name: &str, number: u16| ServerEntry {
        name: name.to_owned(),
        number,
        primary: at(&primaries[usize::from(number) - 1]),
        replicas: vec![at(&replicas[usize::from(number) - 1])],
        disk_gib: None,
    };
    operator.init(vec![entry("a", 1), entry("b", 2)], false).await.expect("tables");
    let engine = MysqlEngine::open(&folder.path().join("shards.json"), site()).await.expect("an engine");
    let storage = Storage::with_engine(Arc::new(engine), runtime::SystemClock::shared());
    let (low, high) = (Shard(7), Shard(4_000));
    let write = |shard: Shard, local: u64| batch(shard, |b| b.create(PinId::new(shard, local), &a_pin("kept")));
    for shard in [low, high] {
        storage.write(write(shard, 1)).await.expect("a write");
    }
    for replica in &replicas {
        until("the lease", || async { replica.admin().value("SELECT semi_sync FROM corkboard.lease").is_ok_and(|value| value == "1") })
            .await;
    }
    primaries.iter_mut().for_each(Server::kill9);
    for (name, replica) in [("a", &replicas[0]), ("b", &replicas[1])] {
        let report = operator.failover(name, &FailoverOptions::default()).await.expect("a failover");
        assert_eq!(report.promoted, Some(at(replica)));
    }
    for shard in [low, high] {
        until("a write", || async {
            storage.write(write(shard, 2)).await.is_ok() || storage.get::<Pin>(PinId::new(shard, 2)).await.is_ok_and(|pin| pin.is_some())
        })
        .await;
        assert!(storage.get::<Pin>(PinId::new(shard, 1)).await.expect("a read").is_some());
    }
}
