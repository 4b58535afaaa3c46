//! What the front, snapshots and many threads do: promises that are not each engine's own.

use std::sync::Arc;

use model::Timestamp;
use model::time::ManualClock;

use super::{LIMITS, NOW, World, board, facts, pin, topic, user};
use crate::engine::{Change, Fault, Faulty, MemoryEngine};
use crate::{BoardFacts, Error, Feeds, Limits, PinFacts, PublicFeed, Target};

#[tokio::test]
async fn an_engine_that_fails_is_told_apart_from_one_that_may_have_done_it() {
    let faulty = Arc::new(Faulty::new(Arc::new(MemoryEngine::open(None, Arc::new(ManualClock::at(NOW)), LIMITS))));
    let feeds = Feeds::with_engine(faulty.clone());
    faulty.inject([Fault::Unavailable, Fault::AnswerLost, Fault::Pass]);
    let follow = async || feeds.set_follow(user(1), Target::User(user(2)), true, NOW).await;
    assert!(matches!(follow().await, Err(Error::Unavailable(_))));
    assert!(matches!(follow().await, Err(Error::Unknown(_))));
    assert_eq!(follow().await, Ok(()), "again is safe");
    assert_eq!((feeds.counts(user(2)).await.expect("counts").followers, faulty.pending_count()), (1, 0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let feeds = World::new(|engine| engine).feeds;
    for limit in [0, 251] {
        assert!(matches!(feeds.home(user(1), None, limit).await, Err(Error::Invalid(_))));
    }
    assert!(matches!(feeds.apply(vec![Change::Retract(pin(1)); 10_001]).await, Err(Error::Invalid(_))));
    let open = |url: &str, limits| Feeds::open(url, Arc::new(ManualClock::at(NOW)), limits);
    for url in ["rediss://localhost", "memory", "memory:?snapshot=", "memory:?path=x", ""] {
        assert!(matches!(open(url, LIMITS), Err(Error::Invalid(message)) if message.contains("memory:?snapshot=PATH")), "{url}");
    }
    assert!(matches!(open("memory:", Limits { home_entries_max: 0, ..LIMITS }), Err(Error::Invalid(_))));
    assert!(matches!(open("memory:", Limits { fan_out_max: 0, ..LIMITS }), Err(Error::Invalid(_))));
    assert_eq!(open("memory:", LIMITS).expect("feeds").restored_offset().await, Ok(None));
}

#[tokio::test]
async fn a_snapshot_comes_back_whole_and_a_damaged_one_means_rebuild() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep").join("feeds.snapshot");
    let open = || {
        let clock = Arc::new(ManualClock::at(NOW));
        let url = format!("memory:?snapshot={}", path.display());
        World { feeds: Feeds::open(&url, clock.clone(), LIMITS).expect("feeds"), clock, servers: None, _service: None }
    };
    let world = open();
    assert_eq!(world.feeds.restored_offset().await, Ok(None));
    world.boards(3).await;
    for follower in 2..=9 {
        world.follow(follower, Target::User(user(1))).await;
    }
    world.follow(2, Target::Topic(topic(1))).await;
    world.follow(2, Target::Board(board(3))).await;
    world.feeds.set_left_out(user(3), board(1), true).await.expect("applied");
    world.feeds.set_block(user(4), user(5), true).await.expect("applied");
    world.feeds.set_mute(user(5), user(6), true).await.expect("applied");
    world.begin(2).await;
    let tagged = |n| PinFacts { topics: vec![topic(1)], domain: "example.org".into(), board: board(1 + n % 3), ..facts(n) };
    world.apply((1..=15).map(|n| Change::Publish(tagged(n)))).await;
    world.feeds.snapshot(4_711).await.expect("a snapshot");
    let (page, stats) = (world.page(2).await, world.feeds.stats().await.expect("stats"));
    assert!(page.present && page.entries.len() > 5);

    let again = open();
    assert_eq!(again.feeds.restored_offset().await, Ok(Some(4_711)));
    assert_eq!((again.page(2).await, again.feeds.stats().await.expect("stats")), (page, stats));
    for board in (1..=3).map(board) {
        assert_eq!(again.feeds.followers_of_board(board).await, world.feeds.followers_of_board(board).await);
    }
    for n in 1..=9 {
        assert_eq!(again.feeds.counts(user(n)).await, world.feeds.counts(user(n)).await);
        assert_eq!(
            again.feeds.hidden(user(n), &[user(4), user(5), user(6)]).await,
            world.feeds.hidden(user(n), &[user(4), user(5), user(6)]).await
        );
        assert_eq!(again.feeds.followers(user(n), None, 50).await, world.feeds.followers(user(n), None, 50).await);
    }
    for feed in [PublicFeed::Everything, PublicFeed::Topic(topic(1)), PublicFeed::Domain("example.org".into())] {
        assert_eq!(again.feeds.public(feed.clone(), None, 9).await, world.feeds.public(feed, None, 9).await);
    }

    let whole = std::fs::read(&path).expect("the snapshot");
    let cuts = (0..whole.len()).step_by(whole.len() / 40).map(|length| whole[..length].to_vec());
    let flips = (0..whole.len()).step_by(whole.len() / 40).map(|index| {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x10;
        bytes
    });
    let longer = [whole.iter().copied().chain([0]).collect::<Vec<u8>>()];
    for (case, bytes) in cuts.chain(flips).chain(longer).enumerate() {
        std::fs::write(&path, bytes).expect("written");
        let broken = open();
        assert_eq!(broken.feeds.restored_offset().await, Ok(None), "case {case}");
        assert_eq!(broken.feeds.stats().await.expect("stats"), crate::Stats::default(), "case {case}");
    }
    // A rebuilt one writes over the damaged file.
    let rebuilt = open();
    rebuilt.feeds.snapshot(1).await.expect("a snapshot");
    assert_eq!(open().feeds.restored_offset().await, Ok(Some(1)));
    assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("a listing").count(), 1, "no temporary file is left");
}

/// Everything at once from many threads: nobody waits for ever, and pages stay in order without doubles.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_calls_at_once_get_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("memory:?snapshot={}", folder.path().join("feeds").display());
    let limits = Limits { merge_threshold: 3, ..LIMITS };
    let feeds = Feeds::open(&url, Arc::new(ManualClock::at(NOW)), limits).expect("feeds");
    let work = |worker: u64| {
        let feeds = feeds.clone();
        async move {
            for n in 0..400_u64 {
                let (me, other) = (user(worker), user((worker + n) % 8));
                let tagged = PinFacts { topics: vec![topic(n % 3)], domain: format!("d{}", n % 5), owner: me, ..facts(worker * 1_000 + n) };
                let changes = vec![
                    Change::Board { board: board(worker), facts: Some(BoardFacts { owner: me, listed: n % 5 != 0 }) },
                    Change::Follow { user: me, target: Target::User(other), on: n % 7 != 0, at: Timestamp(n as i64) },
                    Change::Follow { user: me, target: Target::Topic(topic(n % 3)), on: n % 11 != 0, at: Timestamp(n as i64) },
                    Change::Block { user: me, other, on: n % 13 == 0 },
                    Change::LeftOut { user: me, board: board(n % 8), on: n % 3 == 0 },
                    Change::Publish(PinFacts { board: board(worker), ..tagged.clone() }),
                    Change::Retract(pin(worker * 1_000 + n / 2)),
                ];
                feeds.apply(changes).await.expect("applied");
                let page = feeds.home(me, None, 25).await.expect("a page");
                assert!(page.entries.is_sorted_by(|a, b| a.position() > b.position()), "{page:?}");
                feeds.fill(me, vec![PinFacts { board: board(worker), ..tagged }], None).await.expect("filled");
                feeds.public(PublicFeed::Topic(topic(n % 3)), None, 25).await.expect("a page");
                feeds.followers_of_board(board(n % 8)).await.expect("a count");
                if n % 50 == 0 {
                    feeds.snapshot(n as i64).await.expect("a snapshot");
                }
            }
        }
    };
    let workers: Vec<_> = (0..8).map(|worker| tokio::spawn(work(worker))).collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    let again = Feeds::open(&url, Arc::new(ManualClock::at(NOW)), limits).expect("feeds");
    assert!(again.restored_offset().await.expect("an answer").is_some());
}

/// Publishes to 10,000 feeds and reads pages of 1,000 entries among 300 follows; prints what it costs. The bounds are far above
/// it and catch only a change of kind (`cargo nextest run --release -p feeds costs --no-capture` for the figures).
#[tokio::test]
async fn a_pin_reaches_ten_thousand_followers() {
    let world = World::with_limits(Limits::default(), |engine| engine);
    world.boards(1).await;
    let followers: Vec<u64> = (2..10_002).collect();
    for follower in &followers {
        world.follow(*follower, Target::User(user(1))).await;
        world.begin(*follower).await;
    }
    for n in 2_000..2_050 {
        for rest in world.feeds.publish(facts(n)).await.expect("published") {
            assert_eq!(world.feeds.deliver(rest, 5_000).await, Ok(None), "the other half");
        }
    }
    for follower in followers {
        let page = world.feeds.home(user(follower), None, 60).await.expect("a page");
        assert_eq!(page.entries.len(), 50, "follower {follower}");
    }
}
