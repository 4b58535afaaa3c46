//! The home feed: from signing up to a follower's page.

use app::Error;
use app::hydrate::PageRequest;
use app::pins::PinText;
use feeds::Target;
use model::object::Privacy;

use crate::site::{PASSWORD, Site, ids};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sign_up_to_the_followers_feed() {
    let site = Site::start().await;
    let mut ada = site.anonymous();
    let fields = [("username", "ada"), ("email", "ada@example.org"), ("password", PASSWORD)];
    assert_eq!(ada.post("/signup", &fields).status, 303);
    assert_eq!(ada.post("/board/new", &[("name", "Lace"), ("privacy", "PUBLIC")]).status, 303);
    let page = ada.get("/ada/lace");
    assert_eq!(page.status, 200, "{}", page.text());
    let board = site.app.board_at(&app::Viewer::anonymous(), "ada", "lace").await.unwrap();
    let fields = [("title", "A collar"), ("board_id", &board.to_string())];
    let made = ada.upload("/create", &fields, "collar.png", &site.new_picture());
    assert_eq!(made.status, 303, "{}", made.text());
    let pin = made.header("location").unwrap().trim_start_matches("/pin/").to_owned();
    assert!(ada.get(&format!("/pin/{pin}")).text().contains("A collar"));

    let bob = site.person("bob").await;
    let mut page = site.browser(&bob);
    let ada_id = site.app.user_named(&app::Viewer::anonymous(), "ada").await.unwrap().id;
    site.settle().await;
    assert!(!page.get("/").text().contains(&format!("data-pin=\"{pin}\"")), "nobody is followed yet");
    assert_eq!(page.post(&format!("/follow/user/{ada_id}"), &[]).status, 303);
    for settled in [false, true] {
        if settled {
            site.settle().await;
        }
        let home = page.get("/").text();
        assert_eq!(home.matches(&format!("data-pin=\"{pin}\"")).count(), 1, "exactly once (settled: {settled})");
    }
    assert_eq!(page.post(&format!("/unfollow/user/{ada_id}"), &[]).status, 303);
    assert!(!page.get("/").text().contains(&format!("data-pin=\"{pin}\"")), "an unfollowed person's pins go at once");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_followed_three_ways_stands_once() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let first = site.pin_text(&ada, board, PinText { title: "One".into(), description: "#bobbin".into(), ..PinText::default() }).await;
    site.settle().await;
    let eyes = site.eyes(&bob).await;
    let topic = site.app.topic_id("bobbin").await.unwrap();
    for target in [Target::Topic(topic), Target::Board(board), Target::User(ada.id)] {
        site.app.follow(&eyes, target).await.unwrap();
        assert_eq!(site.home(&bob).await, [first], "{target:?}");
    }
    let second = site.pin_text(&ada, board, PinText { description: "#bobbin again".into(), ..PinText::default() }).await;
    site.settle().await;
    assert_eq!(site.home(&bob).await, [second, first]);
    // Left out of the person, the board still comes: it is followed itself; then by the topic alone; then not at all.
    site.app.leave_out(&eyes, board, true).await.unwrap();
    site.app.unfollow(&eyes, Target::Board(board)).await.unwrap();
    assert_eq!(site.home(&bob).await, [second, first], "the topic still brings them");
    site.app.unfollow(&eyes, Target::Topic(topic)).await.unwrap();
    assert_eq!(site.home(&bob).await, [], "the only board is left out");
    site.app.leave_out(&eyes, board, false).await.unwrap();
    assert_eq!(site.home(&bob).await, [second, first]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_hides_both_ways_and_muting_hides_from_feeds() {
    let site = Site::start().await;
    let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    let bobs = site.board(&bob, "Knots", Privacy::Public).await;
    let knot = site.pin(&bob, bobs, "A reef knot").await;
    site.app.follow(&site.eyes(&bob).await, Target::User(ada.id)).await.unwrap();
    site.app.follow(&site.eyes(&ada).await, Target::User(bob.id)).await.unwrap();
    site.app.follow(&site.eyes(&eve).await, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    assert_eq!((site.home(&bob).await, site.home(&ada).await), (vec![pin], vec![knot]));

    site.app.mute(&site.eyes(&bob).await, ada.id, true).await.unwrap();
    assert_eq!(site.home(&bob).await, [], "muted");
    assert_eq!(site.browser(&bob).get("/ada").status, 200, "a muted person can still be looked at");
    site.app.mute(&site.eyes(&bob).await, ada.id, false).await.unwrap();
    assert_eq!(site.home(&bob).await, [pin], "no longer muted");

    let mut page = site.browser(&ada);
    assert_eq!(page.post(&format!("/block/{}", bob.id), &[]).status, 303);
    for _ in 0..2 {
        assert_eq!((site.home(&bob).await, site.home(&ada).await), (vec![], vec![]), "blocked both ways");
        let mut bobs_page = site.browser(&bob);
        for path in ["/ada", "/ada/lace", "/ada/pins", &format!("/pin/{pin}")] {
            assert_eq!(bobs_page.get(path).status, 404, "{path} for the blocked");
        }
        assert_eq!(page.get(&format!("/pin/{knot}")).status, 404, "the blocked one's pins for who blocked");
        assert_eq!(page.get("/bob").status, 200, "who blocked must find the profile to unblock it");
        let newest = ids(site.app.newest(&site.eyes(&bob).await, &PageRequest::first(50)).await.unwrap());
        assert_eq!(newest, [knot]);
        site.settle().await;
    }
    let refused = site.app.follow(&site.eyes(&bob).await, Target::User(ada.id)).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    let counts = site.app.profile(&site.eyes(&eve).await, ada.id).await.unwrap();
    assert_eq!((counts.follower_count, counts.following_count), (1, 0), "blocking ends following both ways");

    site.app.unblock(&site.eyes(&ada).await, bob.id).await.unwrap();
    site.settle().await;
    assert_eq!(site.browser(&bob).get("/ada").status, 200);
    assert_eq!(site.home(&bob).await, [], "unblocking does not follow again");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocked_each_other_stay_apart_until_both_unblock() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    site.app.block(&site.eyes(&ada).await, bob.id).await.unwrap();
    site.app.block(&site.eyes(&bob).await, ada.id).await.unwrap();
    site.app.unblock(&site.eyes(&ada).await, bob.id).await.unwrap();
    site.settle().await;
    assert!(site.app.is_blocked(ada.id, bob.id).await.unwrap());
    assert!(matches!(site.app.user(&site.eyes(&ada).await, bob.id).await, Err(Error::NotFound(_))));
    site.app.unblock(&site.eyes(&bob).await, ada.id).await.unwrap();
    site.settle().await;
    assert!(!site.app.is_blocked(ada.id, bob.id).await.unwrap());
    site.finish().await;
}
