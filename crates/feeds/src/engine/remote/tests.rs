//! What only the network does: services that die, come back, refuse, are late, and calls that are too large. The rest is in the contract.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpc::Identity;
use model::time::ManualClock;
use model::{BoardId, PinId, Shard, Timestamp, TopicId, UserId};

use super::{FeedsClient, RemoteEngine, What, ask, proto};
use crate::contract::service::Service;
use crate::engine::{Change, Engine, Fault, MemoryEngine};
use crate::{AccessList, BoardFacts, Caller, Error, Feeds, Kept, Limits, PinFacts, Target};

/// A busy machine needs some time until a service is back.
const RECOVERY_LIMIT: Duration = Duration::from_secs(20);

fn user(n: u64) -> UserId {
    UserId::new(Shard(1), n)
}

fn memory() -> Arc<MemoryEngine> {
    Arc::new(MemoryEngine::open(None, Arc::new(ManualClock::at(Timestamp(9))), Limits::default()))
}

fn feeds_at(addresses: &[SocketAddr]) -> Feeds {
    let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    Feeds::with_engine(Arc::new(RemoteEngine::open(&addresses.join(","), &Identity::default()).expect("an engine")))
}

async fn rebuild(feeds: &Feeds, offset: i64) {
    feeds.clear().await.expect("cleared");
    feeds.set_follow(user(2), Target::User(user(1)), true, Timestamp(1)).await.expect("applied");
    feeds.complete(offset).await.expect("complete");
}

/// Repeats a call until it is answered; until then it must say that nothing is known.
async fn until_answered<T>(call: impl AsyncFn() -> crate::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(matches!(error, Error::Unavailable(_)) && started.elapsed() < RECOVERY_LIMIT, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Changes something until nobody can be reached.
async fn until_away(feeds: &Feeds) -> String {
    let started = Instant::now();
    loop {
        match feeds.set_mute(user(8), user(9), true).await {
            Ok(()) | Err(Error::Unknown(_)) => assert!(started.elapsed() < RECOVERY_LIMIT, "a dead service is noticed"),
            Err(Error::Unavailable(message)) => return message,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_is_away_and_what_was_in_its_memory_is_not_believed_to_be_there() {
    let mut service = Service::start(memory());
    let feeds = feeds_at(&[service.address]);
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(_))), "nobody has filled it");
    rebuild(&feeds, 7).await;
    assert_eq!(feeds.counts(user(1)).await.expect("counts").followers, 1);
    assert_eq!(feeds.snapshot(8).await, Ok(Kept::Whole));
    service.kill();
    assert!(until_away(&feeds).await.contains(&service.address.to_string()));
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(_))));
    let _again = Service::start_at(memory(), None, service.address);
    assert_eq!(until_answered(async || feeds.snapshot(9).await).await, Kept::Behind, "it has come back with nothing");
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(_))), "and does not say that nobody follows");
    assert!(matches!(feeds.complete(9).await, Err(Error::Unavailable(_))), "a rebuild has to be begun here");
    assert_eq!(feeds.restored_offset().await, Ok(None));
    rebuild(&feeds, 9).await;
    assert_eq!(feeds.counts(user(1)).await.expect("counts").followers, 1);
    assert_eq!(feeds.restored_offset().await, Ok(Some(9)), "a consumer that is restarted finds it whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_addresses_the_one_that_answers_is_taken() {
    let (mut first, second) = (Service::start(memory()), Service::start(memory()));
    let feeds = feeds_at(&[first.address, second.address]);
    rebuild(&feeds, 1).await;
    first.kill();
    // One change may be lost on the way; then the other address is asked, which is another memory here and has been told nothing.
    let kept = until_known(async || feeds.snapshot(2).await).await;
    assert_eq!(kept, Kept::Behind, "whoever takes over asks where to go on");
    rebuild(&feeds, 3).await;
    for _ in 0..50 {
        assert_eq!(feeds.counts(user(1)).await.expect("counts").followers, 1);
        feeds.set_mute(user(8), user(9), true).await.expect("applied");
    }
}

/// Repeats a change whose answer may get lost.
async fn until_known<T>(call: impl AsyncFn() -> crate::Result<T>) -> T {
    let started = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(matches!(error, Error::Unavailable(_) | Error::Unknown(_)) && started.elapsed() < RECOVERY_LIMIT, "{error}");
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn errors_come_with_their_kind() {
    let service = Service::start(memory());
    let feeds = feeds_at(&[service.address]);
    rebuild(&feeds, 1).await;
    service.faults.inject([Fault::Unavailable, Fault::AnswerLost, Fault::AnswerLost]);
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(message)) if message.contains("injected")));
    assert!(matches!(feeds.set_block(user(1), user(2), true).await, Err(Error::Unknown(message)) if message.contains("injected")));
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unknown(_))));
    assert_eq!(feeds.blocked(user(1), user(2)).await, Ok(true), "it had happened");
    // Past the caller's own front, so that the service's is what refuses.
    let engine = RemoteEngine::open(&service.address.to_string(), &Identity::default()).expect("an engine");
    assert!(matches!(engine.home(user(1), None, 0).await, Err(Error::Invalid(_))));
    assert!(matches!(engine.counts(vec![user(1); 1_001]).await, Err(Error::Invalid(_))));
    assert!(matches!(engine.set_shown(user(1), vec![0; (64 << 10) + 1]).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_call_that_is_too_large_is_refused_and_the_next_one_goes_through() {
    let service = Service::start(memory());
    let engine = RemoteEngine::open(&service.address.to_string(), &Identity::default()).expect("an engine");
    engine.clear().await.expect("cleared");
    let refusal = engine.set_shown(user(1), vec![0; 9 << 20]).await;
    assert!(matches!(&refusal, Err(Error::Invalid(message)) if message.contains("too large")), "{refusal:?}");
    // As much as a call may hold of what is longest.
    let facts = |n| PinFacts {
        pin: PinId::new(Shard(1), n),
        owner: user(1),
        board: BoardId::new(Shard(1), 1),
        topics: (1..=20).map(|topic| TopicId::new(Shard(1), topic)).collect(),
        domain: "d".repeat(253),
        at: Timestamp(n as i64),
    };
    let board = Change::Board { board: BoardId::new(Shard(1), 1), facts: Some(BoardFacts { owner: user(1), listed: true }) };
    let changes = [board].into_iter().chain((1..10_000).map(|n| Change::Publish(facts(n)))).collect();
    assert_eq!(engine.apply(changes).await, Ok(vec![]));
    engine.complete(1).await.expect("complete");
}

#[tokio::test]
async fn whoever_is_not_on_the_list_or_may_not_is_refused() {
    let (reader, key) = Caller::fresh("reader", true, false, false).expect("an entry");
    let (site, site_key) = Caller::fresh("site", true, true, true).expect("an entry");
    let list = AccessList { callers: vec![reader, site] };
    let service = Service::start_at(memory(), Some(list), "127.0.0.1:0".parse().expect("an address"));
    let feeds_of = |caller: &str, key: &str| {
        let identity = Identity { caller: caller.to_owned(), key: key.to_owned() };
        Feeds::open_as(&service.url(), &identity, Arc::new(ManualClock::at(Timestamp(9))), Limits::default()).expect("feeds")
    };
    rebuild(&feeds_of("site", &site_key), 1).await;
    let reader = feeds_of("reader", &key);
    assert_eq!(reader.counts(user(1)).await.expect("counts").followers, 1);
    for (refusal, verb) in [
        (reader.set_mute(user(1), user(2), true).await, "\"write\""),
        (reader.set_shown(user(1), vec![1]).await, "\"write\""),
        (reader.clear().await, "\"operate\""),
        (reader.snapshot(1).await.map(drop), "\"operate\""),
    ] {
        assert!(matches!(&refusal, Err(Error::Invalid(message)) if message.contains(verb)), "{refusal:?}");
    }
    for stranger in [feeds_of("", ""), feeds_of("reader", &site_key), feeds_of("nobody", &key)] {
        let refusal = stranger.counts(user(1)).await;
        assert!(matches!(&refusal, Err(Error::Invalid(message)) if message.contains("feeds.key")), "{refusal:?}");
    }
    let everybody = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a listener");
    let refusal = crate::serve(everybody, Feeds::with_engine(memory()), None, pending()).await;
    assert!(refusal.expect_err("a refusal").to_string().contains("feeds.access"));
}

/// A service keeps the deadline of its caller, and says what is known then.
#[tokio::test]
async fn a_late_caller_is_told_what_is_known() {
    let service = Service::start(memory());
    let mut client = FeedsClient::connect(format!("http://{}", service.address)).await.expect("a connection");
    service.faults.inject([Fault::Hang, Fault::Hang]);
    let shown = What::Shown(ask::Shown { user: user(1).as_u64() });
    let set = What::SetShown(ask::SetShown { user: user(1).as_u64(), shown: vec![1] });
    for (what, kind) in [(shown, "unavailable"), (set, "unknown")] {
        let answer = client.call(proto::Ask { patience_ms: 1, client: 1, what: Some(what) }).await.expect("an answer").into_inner();
        assert!(matches!(&answer.what, Some(proto::answer::What::Error(error)) if error.kind == kind), "{answer:?}");
    }
}

/// A service that takes calls and never answers: a read ends, and then nobody waits for it for a while.
#[tokio::test]
async fn a_service_that_hangs_is_left_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let feeds = feeds_at(&[listener.local_addr().expect("an address")]);
    assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(_))));
    let refusal = feeds.set_mute(user(1), user(2), true).await;
    assert!(matches!(&refusal, Err(Error::Unavailable(message)) if message.contains("a moment ago")), "{refusal:?}");
}
