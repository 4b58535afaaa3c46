//! What Redis can do to the feeds: die, come back with nothing or with old data, be emptied, freeze; alone and in a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use model::time::ManualClock;
use testkit::redis::{Cluster, Options, Persistence, Server, is_available};

use super::{LIMITS, NOW, World, board, facts, live::Servers, user};
use crate::{BoardFacts, Change, Error, Feeds, Kept, Target};

/// A connection is tried again after two seconds at most; a busy machine needs some more.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

fn truth() -> Vec<Change> {
    vec![
        Change::Board { board: board(1), facts: Some(BoardFacts { owner: user(1), listed: true }) },
        Change::Follow { user: user(2), target: Target::User(user(1)), on: true, at: Timestamp(5) },
        Change::Publish(facts(7)),
    ]
}

async fn rebuild(feeds: &Feeds, changes: Vec<Change>, offset: i64) {
    feeds.clear().await.expect("cleared");
    feeds.apply(changes).await.expect("applied");
    feeds.complete(offset).await.expect("complete");
}

/// Waits for an answer that says something, whatever it is, instead of that nobody answers.
async fn restored_offset(feeds: &Feeds) -> Option<i64> {
    let started = Instant::now();
    loop {
        match feeds.restored_offset().await {
            Ok(offset) => return offset,
            Err(error) => assert!(started.elapsed() < RECOVERY_LIMIT, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_trusted(feeds: &Feeds) -> bool {
    let answers = [
        feeds.home(user(2), None, 5).await.map(drop),
        feeds.follows(user(2), &[Target::User(user(1))]).await.map(drop),
        feeds.blocked(user(1), user(2)).await.map(drop),
        feeds.counts(user(1)).await.map(drop),
        feeds.public(crate::PublicFeed::Everything, None, 5).await.map(drop),
    ];
    let is_trusted = answers[0].is_ok();
    for answer in answers {
        assert!(matches!(answer, Ok(()) | Err(Error::Unavailable(_))), "{answer:?}");
        assert_eq!(answer.is_ok(), is_trusted, "all or nothing");
    }
    is_trusted
}

fn open(server: &Server) -> Feeds {
    Feeds::open(&server.url(), Arc::new(ManualClock::at(NOW)), LIMITS).expect("feeds")
}

#[tokio::test]
async fn what_was_never_filled_is_not_believed() {
    if !is_available("feeds::contract::faults::what_was_never_filled_is_not_believed") {
        return;
    }
    let server = Server::start(Options::default()).expect("a server");
    let feeds = open(&server);
    assert!(!is_trusted(&feeds).await);
    assert_eq!(feeds.restored_offset().await, Ok(None));
    assert_eq!(feeds.snapshot(4).await, Ok(Kept::Behind), "nobody rebuilt it");
    rebuild(&feeds, truth(), 9).await;
    assert!(is_trusted(&feeds).await);
    assert_eq!(feeds.snapshot(11).await, Ok(Kept::Whole));
    let again = open(&server);
    assert_eq!(again.restored_offset().await, Ok(Some(11)));
    assert_eq!(again.snapshot(12).await, Ok(Kept::Whole));
    assert_eq!(feeds.snapshot(13).await, Ok(Kept::Behind), "another consumer has taken over");
}

#[tokio::test]
async fn a_server_that_comes_back_empty_is_not_believed_until_it_is_rebuilt() {
    if !is_available("feeds::contract::faults::a_server_that_comes_back_empty_is_not_believed_until_it_is_rebuilt") {
        return;
    }
    let mut server = Server::start(Options::default()).expect("a server");
    let feeds = open(&server);
    rebuild(&feeds, truth(), 1).await;
    server.kill9();
    assert!(!is_trusted(&feeds).await);
    assert!(matches!(feeds.set_block(user(1), user(2), true).await, Err(Error::Unavailable(_) | Error::Unknown(_))));
    server.restart().expect("it comes back");
    assert_eq!(restored_offset(&feeds).await, None);
    assert!(!is_trusted(&feeds).await);
    assert_eq!(feeds.snapshot(2).await, Ok(Kept::Behind));
    rebuild(&feeds, truth(), 2).await;
    assert!(is_trusted(&feeds).await);
    assert_eq!(feeds.counts(user(1)).await.expect("counts").followers, 1);
}

#[tokio::test]
async fn a_server_that_comes_back_with_old_data_is_believed_after_it_has_caught_up() {
    if !is_available("feeds::contract::faults::a_server_that_comes_back_with_old_data_is_believed_after_it_has_caught_up") {
        return;
    }
    let mut server = Server::start(Options { persistence: Persistence::Snapshot, ..Options::default() }).expect("a server");
    let feeds = open(&server);
    rebuild(&feeds, truth(), 10).await;
    server.command(&["SAVE"]).expect("saved");
    feeds.set_block(user(1), user(2), true).await.expect("applied");
    assert_eq!(feeds.snapshot(20).await, Ok(Kept::Whole));
    assert_eq!(feeds.blocked(user(2), user(1)).await, Ok(true));
    server.kill9();
    server.restart().expect("it comes back");
    let started = Instant::now();
    while feeds.snapshot(21).await.is_err() {
        assert!(started.elapsed() < RECOVERY_LIMIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(feeds.snapshot(21).await, Ok(Kept::Behind));
    assert!(!is_trusted(&feeds).await, "the block is missing");
    assert_eq!(feeds.restored_offset().await, Ok(Some(10)), "the log goes on from what the snapshot holds");
    feeds.set_block(user(1), user(2), true).await.expect("applied");
    assert!(!is_trusted(&feeds).await);
    assert_eq!(feeds.snapshot(22).await, Ok(Kept::Whole));
    assert!(is_trusted(&feeds).await);
    assert_eq!(feeds.blocked(user(2), user(1)).await, Ok(true));
}

/// Everything is lost while others write and read: nobody is told anything wrong, and a rebuild makes it good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_is_said_when_a_server_is_emptied_under_load() {
    let Some(servers) = Servers::one("feeds::contract::faults::nothing_wrong_is_said_when_a_server_is_emptied_under_load") else { return };
    let world = World::live(servers, LIMITS).await;
    rebuild(&world.feeds, truth(), 1).await;
    world.feeds.set_block(user(3), user(2), true).await.expect("applied");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (feeds, stop) = (world.feeds.clone(), stop.clone());
            tokio::spawn(async move {
                let mut refused = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    match feeds.blocked(user(2), user(3)).await {
                        Ok(is_blocked) => assert!(is_blocked, "a block is forgotten"),
                        Err(Error::Unavailable(_)) => refused += 1,
                        Err(error) => panic!("{error}"),
                    }
                    match feeds.counts(user(1)).await {
                        Ok(counts) => assert_eq!(counts.followers, 1),
                        Err(error) => assert!(matches!(error, Error::Unavailable(_))),
                    }
                }
                refused
            })
        })
        .collect();
    for offset in 2..6 {
        world.servers.as_ref().expect("servers").flush();
        assert_eq!(world.feeds.snapshot(offset).await, Ok(Kept::Behind));
        assert_eq!(world.feeds.restored_offset().await, Ok(None));
        let block = Change::Block { user: user(3), other: user(2), on: true };
        rebuild(&world.feeds, truth().into_iter().chain([block]).collect(), offset).await;
        assert!(is_trusted(&world.feeds).await);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.expect("no wrong answer") > 0, "some were refused");
    }
}

#[tokio::test]
async fn a_frozen_server_is_left_alone_and_does_nothing_late() {
    if !is_available("feeds::contract::faults::a_frozen_server_is_left_alone_and_does_nothing_late") {
        return;
    }
    let mut server = Server::start(Options::default()).expect("a server");
    let feeds = open(&server);
    rebuild(&feeds, truth(), 1).await;
    server.freeze().expect("frozen");
    let late = feeds.set_follow(user(5), Target::User(user(1)), true, Timestamp(9)).await;
    assert!(matches!(late, Err(Error::Unknown(_))), "{late:?}");
    // Nobody else waits: the first failures have opened the breaker.
    for _ in 0..200 {
        assert!(matches!(feeds.counts(user(1)).await, Err(Error::Unavailable(_))));
    }
    server.thaw().expect("thawed");
    let started = Instant::now();
    let counts = loop {
        match feeds.counts(user(1)).await {
            Ok(counts) => break counts,
            Err(_) => assert!(started.elapsed() < RECOVERY_LIMIT, "it answers again"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(counts.followers, 1, "what was given up has not happened afterwards");
    assert_eq!(feeds.snapshot(2).await, Ok(Kept::Whole), "nothing was lost");
}

#[tokio::test]
async fn a_member_of_a_cluster_dies_and_comes_back() {
    if !is_available("feeds::contract::faults::a_member_of_a_cluster_dies_and_comes_back") {
        return;
    }
    let mut cluster = Cluster::start(Options::default()).expect("a cluster");
    let feeds = Feeds::open(&cluster.url(), Arc::new(ManualClock::at(NOW)), LIMITS).expect("feeds");
    rebuild(&feeds, truth(), 1).await;
    let people: Vec<_> = (1..60).map(user).collect();
    for person in &people {
        feeds.counts(*person).await.expect("counts");
    }
    cluster.server_mut(1).kill9();
    let mut refused = 0;
    for person in &people {
        match feeds.counts(*person).await {
            Ok(_) => {}
            Err(Error::Unavailable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "a third of the people is not known");
    cluster.server_mut(1).restart().expect("it comes back");
    cluster.wait_until_complete().expect("complete");
    assert_eq!(restored_offset(&feeds).await, None, "it came back empty");
    rebuild(&feeds, truth(), 2).await;
    assert!(is_trusted(&feeds).await);
    for person in &people {
        feeds.counts(*person).await.expect("counts");
    }
    assert_eq!(feeds.snapshot(3).await, Ok(Kept::Whole));
}
