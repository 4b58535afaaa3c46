//! What pages ask the feeds. Each call is a round trip or more where the feeds run elsewhere, and one more in a loop is soon a hundred.

use std::collections::BTreeMap;

use app::Viewer;
use app::pins::PinText;
use feeds::{Fault, Relation, Standing, Target};
use model::object::{HomeOrder, Privacy};

use crate::site::{Person, Site, text};

/// What the consumer of the log and the monitor call at any time.
const IN_THE_BACKGROUND: [&str; 7] = ["apply", "deliver", "snapshot", "restored_offset", "complete", "stats", "maintain"];

fn reads(site: &Site) -> BTreeMap<&'static str, u64> {
    let mut counts = site.feeds_faults.call_counts();
    counts.retain(|call, _| !IN_THE_BACKGROUND.contains(call));
    counts
}

/// Counts the calls of one request.
fn asked<T>(site: &Site, work: impl FnOnce() -> T) -> (Vec<(&'static str, u64)>, T) {
    let before = reads(site);
    let answer = work();
    let more = reads(site).into_iter().map(|(call, count)| (call, count - before.get(call).copied().unwrap_or(0)));
    (more.filter(|(_, count)| *count > 0).collect(), answer)
}

async fn set_order(site: &Site, person: &Person, order: HomeOrder) {
    let edit = app::profiles::ProfileEdit { home_order: Some(order), ..Default::default() };
    site.app.edit_profile(&site.eyes(person).await, edit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_asks_the_feeds_once_however_much_stands_on_it() {
    let site = Site::start().await;
    let (ada, bob, eve, grace) = (site.person("ada").await, site.person("bob").await, site.person("eve").await, site.person("grace").await);
    for person in [&bob, &eve, &grace] {
        site.app.follow(&site.eyes(person).await, Target::User(ada.id)).await.unwrap();
        site.app.follow(&site.eyes(&ada).await, Target::User(person.id)).await.unwrap();
    }
    let mut pin = None;
    for person in [&ada, &eve, &grace] {
        let board = site.board(person, "Lace", Privacy::Public).await;
        for number in 0..30 {
            let words = format!("#one #two #three #lace{number}");
            let made = site.pin_text(person, board, PinText { description: words, ..text("Lace") }).await;
            site.app.like_pin(&site.eyes(&ada).await, made, true).await.unwrap();
            pin = Some(made);
        }
    }
    site.settle().await;
    for tag in ["one", "lace7"] {
        let topic = site.app.topic_id(tag).await.unwrap();
        site.app.follow(&site.eyes(&bob).await, Target::Topic(topic)).await.unwrap();
    }
    let mut page = site.browser(&bob);
    assert_eq!(page.get("/").status, 200);
    let pin = pin.unwrap();
    for (person, words) in [(&ada, "How fine"), (&eve, "Which thread?"), (&grace, "Mine")] {
        let top = site.app.add_comment(&site.eyes(person).await, pin, words, None).await.unwrap();
        for person in [&ada, &eve] {
            site.app.add_comment(&site.eyes(person).await, pin, "Yes", Some(top)).await.unwrap();
        }
    }
    // Who is told of comments is asked about in the background.
    site.settle().await;
    let pin = format!("/pin/{pin}");
    let cases: [(&str, &[(&str, u64)]); 11] = [
        ("/", &[("home", 1)]),
        ("/ada", &[("standings", 1)]),
        ("/ada/boards", &[("standings", 1)]),
        ("/ada/pins", &[("standings", 1)]),
        // Whoever made what she likes may have blocked the viewer.
        ("/ada/likes", &[("relations", 1), ("standings", 1)]),
        // One for the profile; whom of the list the viewer may see; how the viewer stands to them.
        ("/ada/followers", &[("relations", 1), ("standings", 2)]),
        ("/ada/following", &[("relations", 1), ("standings", 2)]),
        ("/bob", &[]),
        ("/bob/followers", &[("relations", 1), ("standings", 1)]),
        // Two lists of topics: those that are followed, and popular ones.
        ("/explore/topics", &[("follows", 2), ("relations", 2)]),
        // The pin and its board, who likes it, comments, replies, what stands beside it and what is like it.
        (&pin, &[("follows", 1), ("relations", 7)]),
    ];
    for (path, expected) in cases {
        let (calls, answer) = asked(&site, || page.get(path));
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(calls, expected, "{path}");
    }
    let home = page.get("/").text();
    let next = home.split("href=\"/?bookmark=").nth(1).and_then(|rest| rest.split('"').next()).expect("a second page");
    let (calls, answer) = asked(&site, || page.get(&format!("/?bookmark={next}")));
    assert_eq!((calls, answer.status), (vec![("home", 1)], 200), "later pages too");

    set_order(&site, &bob, HomeOrder::Best).await;
    page.get("/");
    let (calls, answer) = asked(&site, || page.get("/"));
    assert_eq!(answer.status, 200);
    assert_eq!(calls, [("follows", 1), ("home", 1), ("relations", 1), ("set_shown", 1), ("shown", 1)], "best first");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_between_people_is_the_same_without_the_feeds() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let mut others = Vec::new();
    for name in ["bob", "eve", "grace", "joan", "mary", "rosa"] {
        others.push(site.person(name).await);
    }
    let [bob, eve, grace, joan, mary, _] = &others[..] else { unreachable!("six people") };
    let eyes = site.eyes(&ada).await;
    site.app.block(&eyes, bob.id).await.unwrap();
    site.app.block(&site.eyes(eve).await, ada.id).await.unwrap();
    site.app.mute(&eyes, grace.id, true).await.unwrap();
    site.app.follow(&eyes, Target::User(grace.id)).await.unwrap();
    site.app.follow(&site.eyes(joan).await, Target::User(ada.id)).await.unwrap();
    site.app.follow(&eyes, Target::User(mary.id)).await.unwrap();
    site.app.follow(&site.eyes(mary).await, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    let (nothing, apart) = (Standing::default(), Relation::default());
    let expected = [
        Some(Standing { relation: Relation { blocks: true, ..apart }, ..nothing }),
        None,
        Some(Standing { relation: Relation { muted: true, ..apart }, follows: true, ..nothing }),
        Some(Standing { followed_by: true, ..nothing }),
        Some(Standing { follows: true, followed_by: true, ..nothing }),
        Some(nothing),
    ];
    for is_away in [false, true] {
        if is_away {
            site.feeds_faults.inject(std::iter::repeat_n(Fault::Unavailable, 100_000));
        }
        for (other, expected) in others.iter().zip(expected) {
            let seen = site.app.seen(&eyes, other.id).await.ok().map(|seen| seen.standing);
            assert_eq!(seen, expected, "{} (feeds away: {is_away})", other.name);
            assert_eq!(site.app.profile_named(&eyes, &other.name).await.is_ok(), expected.is_some());
            assert_eq!(site.app.user(&eyes, other.id).await.is_ok(), expected.is_some());
        }
        let people: Vec<_> = stored(&site, &others).await;
        let seen = site.app.seen_among(&eyes, &people).await.unwrap();
        assert_eq!(seen.iter().map(|seen| Some(seen.standing)).collect::<Vec<_>>(), [0, 2, 3, 4, 5].map(|n| expected[n]));
        let visitor = site.app.seen_among(&Viewer::anonymous(), &people).await.unwrap();
        assert!(visitor.len() == 6 && visitor.iter().all(|seen| seen.standing == nothing), "nothing stands between a visitor and people");
        assert_eq!(site.app.seen(&eyes, ada.id).await.unwrap().standing, nothing, "nor between a person and themselves");
        let mut page = site.browser(&ada);
        let bobs = page.get("/bob").text();
        assert!(bobs.contains("Unblock"), "who blocked finds the profile to unblock it");
    }
    site.feeds_faults.heal();
    site.until("all parts to be up", || async { site.app.health.parts().values().all(|state| *state == runtime::PartState::Up) }).await;
    site.finish().await;
}

async fn stored(site: &Site, people: &[Person]) -> Vec<std::sync::Arc<model::Stored<model::User>>> {
    let mut found = Vec::with_capacity(people.len());
    for person in people {
        found.push(site.app.object::<model::User>(person.id).await.unwrap().unwrap());
    }
    found
}
