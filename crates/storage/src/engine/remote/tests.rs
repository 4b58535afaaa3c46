//! What only the network does: services that die, come back, refuse, are late, and tell of commits. The rest is in the contract.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::{Assoc, Kind, Pin};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::targets::{Failure, Lane};
use super::{Identity, RemoteEngine};
use crate::access::{AccessList, Caller};
use crate::contract::{Place, SHARD, Setup, a_pin, batch, board, event, pin, serve_here, user};
use crate::engine::faulty::{Fault, Faults, Faulty};
use crate::engine::sqlite::SqliteEngine;
use crate::{Batch, Error, Range, Storage};

/// A service in a runtime of its own, which can be killed as a process is: its sockets close, whatever is going on.
struct Killable {
    runtime: Option<Runtime>,
    address: SocketAddr,
    faults: Arc<Faulty>,
}

impl Killable {
    fn start(place: &Place) -> Killable {
        Killable::start_at(place, "127.0.0.1:0".parse().expect("an address"))
    }

    /// Starts on an address, perhaps that of one that was killed.
    fn start_at(place: &Place, address: SocketAddr) -> Killable {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let faults = Arc::new(Faulty::new(Arc::new(SqliteEngine::open(&place.path()).expect("an engine")), 1, Faults::default()));
        let storage = Storage::with_engine(faults.clone(), place.clock.clone());
        let address = std::thread::scope(|scope| {
            let listen = async move {
                let listener = tokio::time::timeout(Duration::from_secs(20), listen_on(address)).await.expect("the port");
                let address = listener.local_addr().expect("an address");
                tokio::spawn(crate::serve(listener, storage, None, std::future::pending()));
                address
            };
            scope.spawn(|| runtime.block_on(listen)).join().expect("a listening service")
        });
        Killable { runtime: Some(runtime), address, faults }
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Listens on an address; that of a killed service takes a moment to be free.
async fn listen_on(address: SocketAddr) -> tokio::net::TcpListener {
    loop {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        if socket.bind(address).is_ok()
            && let Ok(listener) = socket.listen(64)
        {
            return listener;
        }
        tokio::task::yield_now().await;
    }
}

fn client_of(place: &Place, addresses: &[SocketAddr]) -> (Storage, Arc<RemoteEngine>) {
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let engine = Arc::new(RemoteEngine::open(&addresses.join(","), &Identity::default()).expect("an engine"));
    (Storage::with_engine(engine.clone(), place.clock.clone()), engine)
}

fn mapping(local: u64) -> Batch {
    batch(SHARD, |b| b.map(Assoc::UserHasPins, user(1), pin(local), 0))
}

/// Asks until the service answers; what it says meanwhile must be that nothing is known or that it is away.
async fn until_answered(storage: &Storage) {
    let answered = async {
        while let Err(error) = storage.count(Assoc::UserHasPins, user(1)).await {
            assert!(matches!(error, Error::Unavailable(_)), "{error}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answered).await.expect("it comes back by itself");
}

/// Writes until nobody can be reached. Returns which write it was that never left, and what was said.
async fn write_until_away(storage: &Storage) -> (u64, String) {
    let writes = async {
        let mut local = 1_000;
        loop {
            match storage.write(mapping(local)).await {
                Ok(_) | Err(Error::Unknown(_)) => local += 1,
                Err(Error::Unavailable(message)) => return (local, message),
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), writes).await.expect("a dead service is noticed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_away_and_comes_back_by_itself() {
    let place = Place::new(Setup::Sqlite);
    let mut service = Killable::start(&place);
    let (storage, _) = client_of(&place, &[service.address]);
    storage.write(mapping(1)).await.expect("a write");
    service.kill();
    // Calls may be on their way while the connection breaks; once nobody can be reached, that is known.
    let (away, error) = write_until_away(&storage).await;
    assert!(error.contains(&service.address.to_string()), "{error}");
    assert!(matches!(storage.get::<Pin>(pin(1)).await, Err(Error::Unavailable(_))));
    let again = Killable::start_at(&place, service.address);
    until_answered(&storage).await;
    storage.write(mapping(9_999)).await.expect("a write");
    let edges = storage.edges(Assoc::UserHasPins, user(1), &[pin(1).into(), pin(away).into(), pin(9_999).into()]).await.expect("a read");
    assert_eq!(edges, [Some(0), None, Some(0)], "what was unavailable did not happen");
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_unknown_and_can_be_repeated_by_its_key() {
    let place = Place::new(Setup::Sqlite);
    let mut service = Killable::start(&place);
    let (storage, _) = client_of(&place, &[service.address]);
    storage.write(mapping(1)).await.expect("a write");
    service.faults.inject([Fault::Delay(Duration::from_secs(600))]);
    let mut late = mapping(2);
    late.idempotency_key("late");
    let (writing, faults) = (
        tokio::spawn({
            let (storage, late) = (storage.clone(), late.clone());
            async move { storage.write(late).await }
        }),
        service.faults.clone(),
    );
    // Once its fault is taken the write is under way.
    let under_way = async {
        while faults.pending_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), under_way).await.expect("the write arrives");
    service.kill();
    let error = writing.await.expect("a task").expect_err("no answer");
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    let again = Killable::start_at(&place, service.address);
    until_answered(&storage).await;
    storage.write(late).await.expect("the same write again");
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(2));
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_address_of_two_costs_nothing() {
    let place = Place::new(Setup::Sqlite);
    let (mut first, second) = (Killable::start(&place), Killable::start(&place));
    let (storage, engine) = client_of(&place, &[first.address, second.address]);
    assert_eq!(engine.client.targets.count(), 2);
    let read_and_write = |local: u64| {
        let storage = storage.clone();
        async move {
            storage.count(Assoc::UserHasPins, user(1)).await.expect("a read");
            storage.write(mapping(local)).await.expect("a write");
        }
    };
    join_all((0..50).map(read_and_write)).await;
    first.kill();
    // Reads find out what was lost, and are asked elsewhere; the writes behind them are never sent to the dead one.
    for _ in 0..10 {
        storage.count(Assoc::UserHasPins, user(1)).await.expect("a read");
    }
    for local in 100..200 {
        read_and_write(local).await;
    }
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(150));
}

#[tokio::test]
async fn what_waits_goes_together() {
    let place = Place::new(Setup::Sqlite);
    let sqlite = Arc::new(SqliteEngine::open(&place.path()).expect("an engine"));
    let address = serve_here(Storage::with_engine(sqlite, place.clock.clone()));
    let (storage, engine) = client_of(&place, &[address]);
    for local in 1..=100 {
        storage.write(batch(SHARD, |b| b.create(pin(local), &a_pin(&local.to_string())))).await.expect("a write");
    }
    let messages = |lane| engine.client.targets.hold(None).session(lane).messages();
    let before = messages(Lane::Reads);
    let found = join_all((1..=100).map(|local| storage.get::<Pin>(pin(local)))).await;
    for (index, found) in found.into_iter().enumerate() {
        assert_eq!(found.expect("a read").expect("a pin").data.title, (index + 1).to_string());
    }
    let sent = messages(Lane::Reads) - before;
    assert!(sent <= 3, "{sent} messages for 100 gets");
    let before = messages(Lane::Writes);
    let writes = join_all((1..=100).map(|local| storage.write(mapping(local)))).await;
    assert!(writes.iter().all(Result::is_ok));
    let sent = messages(Lane::Writes) - before;
    assert!(sent <= 3, "{sent} messages for 100 writes");
    assert_eq!(storage.count(Assoc::UserHasPins, user(1)).await, Ok(100));
}

#[tokio::test]
async fn one_that_fails_takes_no_other_with_it() {
    let place = Place::new(Setup::RemoteSqlite);
    let storage = place.open();
    let update = |local: u64| batch(SHARD, |b| b.update(pin(local), 1, &a_pin("new")));
    storage.write(batch(SHARD, |b| b.create(pin(1), &a_pin("a")))).await.expect("a write");
    let (good, missing, twice) =
        tokio::join!(storage.write(mapping(1)), storage.write(update(9)), storage.write(batch(SHARD, |b| b.create(pin(1), &a_pin("b")))),);
    assert!(good.is_ok());
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
    // The engine behind the front is asked for what the front would refuse, as another version might.
    let engine = place.engine();
    let odd = [model::Id::new(SHARD, Kind::Audit, 1)];
    let even = [pin(1).into()];
    let (good, odd) = tokio::join!(engine.get(&even), engine.get(&odd));
    assert_eq!(good.expect("a read").len(), 1);
    assert!(matches!(odd, Err(Error::Invalid(_))), "{odd:?}");
}

#[tokio::test]
async fn large_answers_come_whole() {
    let place = Place::new(Setup::RemoteSqlite);
    let storage = place.open();
    let text = "x".repeat(200_000);
    for local in 1..=40 {
        storage.write(batch(SHARD, |b| b.create(pin(local), &a_pin(&text)))).await.expect("a write");
    }
    let ids: Vec<model::Id> = (1..=40).map(|local| pin(local).into()).collect();
    let found = storage.get_many::<Pin>(&ids).await.expect("eight megabytes");
    assert!(found.iter().all(|pin| pin.as_ref().is_some_and(|pin| pin.data.title.len() == text.len())));
    assert_eq!(storage.scan::<Pin>(None, 100).await.expect("eight megabytes").len(), 40);
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

/// Starts a service with an access list that knows one caller, and returns clients with its key and with others.
fn guarded(place: &Place) -> (Storage, Vec<Storage>) {
    let (caller, key) = Caller::fresh("site", words("pins,user_has_pins"), words("pins,outbox"), words("pins"), false).expect("an entry");
    let sqlite = Arc::new(SqliteEngine::open(&place.path()).expect("an engine"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address").to_string();
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let access = AccessList { callers: vec![caller] };
    tokio::spawn(crate::serve(listener, Storage::with_engine(sqlite, place.clock.clone()), Some(access), std::future::pending()));
    let client = |caller: &str, key: &str| {
        let identity = Identity { caller: caller.to_owned(), key: key.to_owned() };
        Storage::with_engine(Arc::new(RemoteEngine::open(&address, &identity).expect("an engine")), place.clock.clone())
    };
    (client("site", &key), vec![client("", ""), client("site", "wrong"), client("other", &key)])
}

#[tokio::test]
async fn callers_do_what_the_access_list_lets_them() {
    let place = Place::new(Setup::Sqlite);
    let (site, strangers) = guarded(&place);
    site.write(batch(SHARD, |b| b.create(pin(1), &a_pin("a")).emit(event("e")))).await.expect("it may");
    assert!(site.get::<Pin>(pin(1)).await.expect("it may").is_some());
    assert_eq!(site.scan::<Pin>(None, 9).await.expect("it may").len(), 1);
    let refused = [
        (
            "may not write board_has_pins",
            site.write(batch(SHARD, |b| b.delete(pin(1)).map(Assoc::BoardHasPins, board(1), pin(1), 1))).await.map(drop),
        ),
        ("may not write audit", site.write(batch(SHARD, |b| b.audit(None, "act", vec![], serde_json::Value::Null))).await.map(drop)),
        ("may not read board_has_pins", site.range(Assoc::BoardHasPins, board(1), Range::first(1)).await.map(drop)),
        ("may not read names", site.name(model::NameKind::Tag, "x").await.map(drop)),
        ("may not scan outbox", site.outbox(1).await.map(drop)),
        ("may not scan boards", site.scan::<model::Board>(None, 1).await.map(drop)),
        ("may not write boards", site.new_id(SHARD, Kind::Board).await.map(drop)),
        ("may do no operations", site.check().await.map(drop)),
        ("may do no operations", site.stats().await.map(drop)),
        ("may do no operations", site.sweep_idempotency(1).await.map(drop)),
    ];
    for (wanted, result) in refused {
        assert!(matches!(&result, Err(Error::Invalid(message)) if message.contains(wanted)), "{result:?} should say {wanted}");
    }
    assert!(site.get::<Pin>(pin(1)).await.expect("a read").expect("a pin").active, "a batch that was refused did nothing");
    for stranger in strangers {
        for result in [stranger.get::<Pin>(pin(1)).await.map(drop), stranger.write(mapping(1)).await.map(drop)] {
            assert!(matches!(&result, Err(Error::Invalid(message)) if message.contains("storage.key")), "{result:?}");
        }
    }
}

#[tokio::test]
async fn without_an_access_list_only_this_machine_may_call() {
    let place = Place::new(Setup::Sqlite);
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let error = crate::serve(listener, place.open(), None, std::future::ready(())).await.expect_err("a refusal");
    assert!(matches!(&error, Error::Invalid(message) if message.contains("storage.access")), "{error}");
}

#[tokio::test]
async fn a_callers_deadline_ends_the_work() {
    let place = Place::new(Setup::Sqlite);
    let faults = Arc::new(Faulty::new(Arc::new(SqliteEngine::open(&place.path()).expect("an engine")), 1, Faults::default()));
    let address = serve_here(Storage::with_engine(faults.clone(), place.clock.clone()));
    let (_, engine) = client_of(&place, &[address]);
    let get = || super::Question::Get(super::proto::read::Get { ids: vec![model::Id::from(pin(1)).as_u64()] });
    let (delay, patience) = (Fault::Delay(Duration::from_secs(600)), Duration::from_millis(50));
    faults.inject([delay]);
    let late = engine.client.ask(Lane::Reads, get(), None, 1, patience).await.expect_err("no answer");
    assert!(matches!(&late, Error::Unavailable(message) if message.contains("deadline")), "{late}");
    faults.inject([delay]);
    let sweep = super::Intent::SweepIdempotency(super::proto::write::SweepIdempotency { before: 1 });
    let what = super::proto::ask::What::Write(super::proto::Write { what: Some(sweep) });
    let ask = super::proto::Ask { patience_ms: 50, what: Some(what), ..Default::default() };
    let late = engine.client.targets.hold(None).session(Lane::Writes).ask(ask, 1).await.expect_err("no answer");
    assert!(matches!(&late, Failure::Answered(Error::Unknown(message)) if message.contains("deadline")), "{late:?}");
}

/// Waits for a change, and takes notice of it.
async fn changed(watch: &mut tokio::sync::watch::Receiver<u64>, what: &str) {
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap_or_else(|_| panic!("{what}")).expect("open");
}

#[tokio::test]
async fn others_commits_are_told_apart_from_ones_own() {
    let place = Place::new(Setup::RemoteSqlite);
    let (mine, yours) = (place.open(), place.open());
    let (mut all, mut others) = (mine.watch(), mine.watch_others());
    changed(&mut all, "the beginning of the watch").await;
    changed(&mut others, "the beginning of the watch").await;
    for local in 1..=20 {
        mine.write(mapping(local)).await.expect("a write");
        changed(&mut all, "one's own commit").await;
    }
    assert!(!others.has_changed().expect("open"), "nobody else has written");
    yours.write(mapping(30)).await.expect("a write");
    changed(&mut others, "another client's commit").await;
    // A process beside the service, on the same file.
    let beside = SqliteEngine::open(&place.path()).expect("an engine");
    Storage::with_engine(Arc::new(beside), place.clock.clone()).write(mapping(31)).await.expect("a write");
    changed(&mut others, "a commit beside the service").await;
}

/// On one thread, so that the client begins to listen after the test does.
#[tokio::test]
async fn a_watch_begins_anew_and_says_so() {
    let place = Place::new(Setup::Sqlite);
    let mut service = Killable::start(&place);
    let (storage, _) = client_of(&place, &[service.address]);
    let (mut all, mut others) = (storage.watch(), storage.watch_others());
    changed(&mut all, "the beginning").await;
    changed(&mut others, "the beginning").await;
    service.kill();
    let again = Killable::start_at(&place, service.address);
    changed(&mut all, "the beginning after the end").await;
    changed(&mut others, "the beginning after the end").await;
    drop(again);
}

#[tokio::test]
async fn a_service_that_ends_lets_calls_end_and_takes_no_more() {
    let place = Place::new(Setup::Sqlite);
    let faults = Arc::new(Faulty::new(Arc::new(SqliteEngine::open(&place.path()).expect("an engine")), 1, Faults::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = Arc::new(Notify::new());
    let stopping = stop.clone();
    let serving = tokio::spawn(crate::serve(listener, Storage::with_engine(faults.clone(), place.clock.clone()), None, async move {
        stopping.notified().await;
    }));
    let (storage, _) = client_of(&place, &[address]);
    storage.write(mapping(1)).await.expect("a write");
    faults.inject([Fault::Delay(Duration::from_millis(300))]);
    let writing = tokio::spawn({
        let storage = storage.clone();
        async move { storage.write(mapping(2)).await }
    });
    while faults.pending_count() > 0 {
        tokio::task::yield_now().await;
    }
    stop.notify_one();
    writing.await.expect("a task").expect("a call that was running ends well");
    serving.await.expect("a task").expect("a good end");
    assert!(matches!(storage.write(mapping(3)).await, Err(Error::Unavailable(_))));
}
