//! The comparison of feeds with storage: nothing on a sound site, and each kind of difference when it is planted.

use app::App;
use app::pins::PinText;
use feeds::{PinFacts, Target};
use model::object::Privacy;
use model::{BoardId, PinId, TopicId, UserId};

use crate::site::{Person, Site};

struct Scene {
    site: Site,
    ada: UserId,
    bob: Person,
    board: BoardId,
    left_out: BoardId,
    topic: TopicId,
    pins: Vec<PinId>,
}

/// Bob follows Ada, a board and a topic, leaves a board out, blocks and mutes, and has a feed in memory.
async fn scene() -> Scene {
    let site = Site::start().await;
    let (ada, bob, cy) = (site.person("ada").await, site.person("bob").await, site.person("cyd").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let left_out = site.board(&ada, "Wool", Privacy::Public).await;
    let eyes = site.eyes(&bob).await;
    site.app.follow(&eyes, Target::User(ada.id)).await.unwrap();
    site.app.follow(&eyes, Target::Board(board)).await.unwrap();
    site.app.leave_out(&eyes, left_out, true).await.unwrap();
    site.app.block(&eyes, cy.id).await.unwrap();
    let mut pins = Vec::new();
    for title in ["One", "Two", "Three"] {
        pins.push(site.pin_text(&ada, board, PinText { title: title.into(), description: "#bobbin".into(), ..PinText::default() }).await);
    }
    site.settle().await;
    let topic = site.app.topic_id("bobbin").await.unwrap();
    site.app.follow(&eyes, Target::Topic(topic)).await.unwrap();
    site.settle().await;
    assert_eq!(site.home(&bob).await.len(), 3);
    Scene { site, ada: ada.id, bob, board, left_out, topic, pins }
}

async fn differences(app: &App, people: &[UserId]) -> Vec<String> {
    let mut found = app.verify_feeds_of_boards(|_| ()).await.unwrap();
    found.add(app.verify_public_feeds(|_, _| ()).await.unwrap());
    for person in people {
        found.add(app.verify_feeds_of(*person).await.unwrap());
    }
    assert!(found.lists >= 2);
    found.differences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_difference_is_found() {
    let Scene { site, ada, bob, board, left_out, topic, pins } = scene().await;
    let (app, feeds) = (&site.app, &site.app.feeds);
    let people = [ada, bob.id];
    assert_eq!(differences(app, &people).await, Vec::<String>::new(), "a sound site");
    let finds = async |what: &str, says: &[&str]| {
        let found = differences(app, &people).await;
        for says in says {
            assert!(found.iter().any(|difference| difference.contains(says)), "{what}: '{says}' is not among {found:#?}");
        }
    };
    let now = app.now();

    feeds.set_block(bob.id, ada, true).await.unwrap();
    finds("a block too much", &["the block of", "the block by", "should be gone", "the home feed lacks"]).await;
    feeds.set_block(bob.id, ada, false).await.unwrap();
    feeds.set_mute(bob.id, ada, true).await.unwrap();
    finds("a mute too much", &["the mute of"]).await;
    feeds.set_mute(bob.id, ada, false).await.unwrap();
    feeds.set_left_out(bob.id, board, true).await.unwrap();
    finds("a board left out too much", &["the leaving out of", "should be gone"]).await;
    feeds.set_left_out(bob.id, board, false).await.unwrap();
    feeds.set_left_out(bob.id, left_out, false).await.unwrap();
    finds("a board not left out", &["the leaving out of", "is missing", "somebody's leaving out differs"]).await;
    feeds.set_left_out(bob.id, left_out, true).await.unwrap();
    feeds.set_follow(bob.id, Target::Board(board), false, now).await.unwrap();
    finds("a board's follower missing", &["the follower", "is missing", "the follow of"]).await;
    app.rebuild_feeds_of(bob.id).await.unwrap();
    feeds.set_follow(ada, Target::Topic(topic), true, now).await.unwrap();
    finds("a topic's follower too much", &["should be gone"]).await;
    feeds.set_follow(ada, Target::Topic(topic), false, now).await.unwrap();
    feeds.set_follow(ada, Target::User(bob.id), true, now).await.unwrap();
    finds("a follower too much", &["1 followers are counted, and there are 0"]).await;
    feeds.set_follow(ada, Target::User(bob.id), false, now).await.unwrap();

    feeds.retract(pins[1]).await.unwrap();
    finds("a pin retracted", &[&format!("everything: {} is missing", pins[1]), &format!("topic {topic}: {} is missing", pins[1])]).await;
    app.reconcile_feeds(created(&site, pins[1]).await).await.unwrap();
    // Whatever widened above dropped the feed; half a minute later it is built anew.
    site.move_clock(31_000).await;
    assert_eq!(site.home(&bob).await.len(), 3);
    assert!(feeds.home(bob.id, None, 1).await.unwrap().present);
    let ghost = PinId::new(model::Shard(0), 4_711);
    let domain = "ghost.example".to_owned();
    feeds.publish(PinFacts { pin: ghost, owner: ada, board, topics: vec![topic], domain, at: now }).await.unwrap();
    finds("a pin that is not there", &[&format!("everything: {ghost} should be gone"), &format!("topic {topic}: {ghost} should be gone")])
        .await;
    finds("the same in a home feed", &[&format!("the home feed should not hold {ghost}")]).await;
    feeds.retract(ghost).await.unwrap();
    assert_eq!(differences(app, &people).await, Vec::<String>::new(), "all planted ones are gone");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mending_a_person_takes_back_what_storage_does_not_have() {
    let Scene { site, ada, bob, board, .. } = scene().await;
    let (app, feeds) = (&site.app, &site.app.feeds);
    feeds.set_block(bob.id, ada, true).await.unwrap();
    feeds.set_mute(bob.id, ada, true).await.unwrap();
    feeds.set_left_out(bob.id, board, true).await.unwrap();
    assert!(app.verify_feeds_of(bob.id).await.unwrap().differences.len() >= 3);
    app.rebuild_feeds_of(bob.id).await.unwrap();
    assert_eq!(site.home(&bob).await.len(), 3);
    assert_eq!(differences(app, &[ada, bob.id]).await, Vec::<String>::new());
    site.finish().await;
}

/// The event that made a pin.
async fn created(site: &Site, pin: PinId) -> model::Event {
    let events = site.events().await;
    events.into_iter().find(|event| event.kind == model::EventKind::PinCreated && event.subjects.contains(&pin.id())).unwrap()
}
