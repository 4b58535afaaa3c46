//! The home feed in the order best-first: nothing twice, what was shown stays, what may not be seen goes at once.

use std::collections::HashSet;

use app::hydrate::PageRequest;
use app::ranking::Signal;
use app::{Page, PinView};
use feeds::Target;
use model::object::{HomeOrder, Privacy};
use model::{BoardId, PinId};

use crate::site::{Person, Site, at, ids, text};

/// Reads one page of a person's best-first feed.
async fn page(site: &Site, person: &Person, bookmark: Option<String>, size: usize) -> Page<PinView> {
    let request = PageRequest { bookmark, size: Some(size) };
    site.app.home_in(&site.eyes(person).await, HomeOrder::Best, &request).await.unwrap()
}

/// Reads on from a bookmark to the end.
async fn rest(site: &Site, person: &Person, mut bookmark: Option<String>, size: usize) -> Vec<PinId> {
    let mut all = Vec::new();
    while bookmark.is_some() {
        let read = page(site, person, bookmark, size).await;
        bookmark = read.bookmark.clone();
        assert!(!read.items.is_empty() || bookmark.is_none(), "an empty page in the middle");
        all.extend(ids(read));
    }
    all
}

/// Reads a whole scroll.
async fn scroll(site: &Site, person: &Person, size: usize) -> Vec<PinId> {
    let first = page(site, person, None, size).await;
    let bookmark = first.bookmark.clone();
    let mut all = ids(first);
    all.extend(rest(site, person, bookmark, size).await);
    all
}

fn assert_once(pins: &[PinId]) {
    let distinct: HashSet<_> = pins.iter().collect();
    assert_eq!(distinct.len(), pins.len(), "a pin stands twice");
}

async fn pins(site: &Site, person: &Person, board: BoardId, count: usize) -> Vec<PinId> {
    let eyes = site.eyes(person).await;
    let picture = site.new_picture();
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let pin = site.app.pin_upload(&eyes, at(board), text(&format!("Pin {number}")), picture.clone()).await.unwrap();
        made.push(pin.id());
    }
    made
}

/// A site on which bob follows ada and grace, who have so many pins each.
async fn scene(count: usize) -> (Site, Person, Person, Person, Vec<PinId>, Vec<PinId>) {
    let site = Site::start().await;
    let (ada, bob, grace) = (site.person("ada").await, site.person("bob").await, site.person("grace").await);
    let (lace, knots) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&grace, "Knots", Privacy::Public).await);
    let (adas, graces) = (pins(&site, &ada, lace, count).await, pins(&site, &grace, knots, count).await);
    for person in [&ada, &grace] {
        site.app.follow(&site.eyes(&bob).await, Target::User(person.id)).await.unwrap();
    }
    site.settle().await;
    (site, ada, bob, grace, adas, graces)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_scroll_shows_every_pin_once_whatever_arrives() {
    let (site, ada, bob, _, mut adas, graces) = scene(250).await;
    let more = site.board(&ada, "More", Privacy::Public).await;
    let (mut seen, mut bookmark, mut pages) = (Vec::new(), None, 0);
    loop {
        let read = page(&site, &bob, bookmark, 25).await;
        bookmark = read.bookmark.clone();
        seen.extend(ids(read));
        pages += 1;
        if bookmark.is_none() {
            break;
        }
        if pages % 4 == 0 {
            pins(&site, &ada, more, 3).await;
            site.settle().await;
        }
    }
    assert_once(&seen);
    adas.extend(graces);
    assert_eq!(
        seen.iter().copied().collect::<HashSet<_>>(),
        adas.iter().copied().collect(),
        "every pin that was there, below the window too"
    );
    assert_eq!(seen.len(), 500);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_stays_in_its_order_below_what_is_new() {
    let (site, ada, bob, _, adas, graces) = scene(20).await;
    let first = page(&site, &bob, None, 10).await;
    let again = page(&site, &bob, first.bookmark.clone(), 5).await;
    let repeated = page(&site, &bob, first.bookmark.clone(), 5).await;
    assert_eq!(ids(again.clone()), ids(repeated), "a page that is asked for twice is the same");
    let mut shown = ids(first);
    shown.extend(ids(again));
    let newcomers = pins(&site, &ada, site.board(&ada, "More", Privacy::Public).await, 2).await;
    site.settle().await;
    let all = scroll(&site, &bob, 7).await;
    assert_once(&all);
    assert_eq!(all.len(), adas.len() + graces.len() + 2);
    assert!(newcomers.iter().all(|pin| all[..7].contains(pin)), "the newest come first");
    assert_eq!(all[all.len() - 15..], shown, "frozen, after all that was not seen");
    // Now everything has been shown, and a reload shows it as it was.
    assert_eq!(scroll(&site, &bob, 9).await, all);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_and_sessions_that_are_forgotten_repeat_nothing() {
    let (site, _, bob, _, adas, graces) = scene(40).await;
    let (one, other) = (page(&site, &bob, None, 10).await, page(&site, &bob, None, 10).await);
    let (mut one_seen, mut other_seen) = (ids(one.clone()), ids(other.clone()));
    assert!(one_seen.iter().all(|pin| !other_seen.contains(pin)), "the second tab begins with what the first did not show");
    let (one_next, other_next) = (page(&site, &bob, one.bookmark, 10).await, page(&site, &bob, other.bookmark, 10).await);
    one_seen.extend(ids(one_next.clone()));
    other_seen.extend(ids(other_next.clone()));
    let five = page(&site, &bob, None, 10).await;
    let mut five_seen = ids(five.clone());
    let (one_rest, other_rest) = tokio::join!(rest(&site, &bob, one_next.bookmark, 10), rest(&site, &bob, other_next.bookmark, 10));
    one_seen.extend(one_rest);
    other_seen.extend(other_rest);
    for seen in [&one_seen, &other_seen] {
        assert_once(seen);
        assert_eq!(seen.len(), adas.len() + graces.len());
    }
    // Four newer sessions later the feeds have forgotten the fifth one: it goes on with what was not shown, and repeats nothing.
    for _ in 0..4 {
        page(&site, &bob, None, 1).await;
    }
    five_seen.extend(rest(&site, &bob, five.bookmark, 10).await);
    assert_once(&five_seen);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_session_repeats_nothing_when_the_window_has_moved() {
    let (site, ada, bob, _, adas, graces) = scene(195).await;
    let first = page(&site, &bob, None, 250).await;
    let mut seen = ids(first.clone());
    pins(&site, &ada, site.board(&ada, "More", Privacy::Public).await, 50).await;
    site.settle().await;
    for _ in 0..4 {
        page(&site, &bob, None, 1).await;
    }
    seen.extend(rest(&site, &bob, first.bookmark, 50).await);
    assert_once(&seen);
    assert!(seen.len() > 250 + 100, "it goes on: {}", seen.len());
    let all = scroll(&site, &bob, 50).await;
    assert_once(&all);
    assert_eq!(all.len(), adas.len() + graces.len() + 50, "a reload has everything");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfollowing_muting_and_hiding_take_effect_in_a_running_session() {
    let (site, ada, bob, grace, adas, graces) = scene(20).await;
    let eyes = site.eyes(&bob).await;
    let shown = scroll(&site, &bob, 10).await;
    assert_eq!(shown.len(), 40);
    let fresh = pins(&site, &ada, site.board(&ada, "More", Privacy::Public).await, 12).await;
    site.settle().await;
    let first = page(&site, &bob, None, 5).await;
    assert!(ids(first.clone()).iter().all(|pin| fresh.contains(pin)));
    site.app.unfollow(&eyes, Target::User(ada.id)).await.unwrap();
    let after = rest(&site, &bob, first.bookmark.clone(), 10).await;
    assert_eq!(after.iter().collect::<HashSet<_>>(), graces.iter().collect(), "neither ranked nor frozen ones of the unfollowed");
    site.app.follow(&eyes, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    assert_eq!(rest(&site, &bob, first.bookmark.clone(), 10).await.len(), 7 + 40, "followed again, all are there again");
    site.app.mute(&eyes, grace.id, true).await.unwrap();
    let after = rest(&site, &bob, first.bookmark.clone(), 10).await;
    assert!(after.iter().all(|pin| !graces.contains(pin)), "muted");
    site.app.mute(&eyes, grace.id, false).await.unwrap();
    let lace = site.app.board_at(&eyes, "ada", "lace").await.unwrap();
    site.app.leave_out(&eyes, lace, true).await.unwrap();
    let after = rest(&site, &bob, first.bookmark.clone(), 10).await;
    assert!(after.iter().all(|pin| !adas.contains(pin)), "left out");
    site.app.leave_out(&eyes, lace, false).await.unwrap();
    let edit = app::boards::BoardEdit { privacy: Some(Privacy::Secret), ..Default::default() };
    site.app.edit_board(&site.eyes(&ada).await, lace, edit).await.unwrap();
    let after = rest(&site, &bob, first.bookmark.clone(), 10).await;
    assert!(after.iter().all(|pin| !adas.contains(pin)), "secret");
    site.app.block(&site.eyes(&grace).await, bob.id).await.unwrap();
    let after = rest(&site, &bob, first.bookmark.clone(), 10).await;
    assert_eq!(after.iter().filter(|pin| graces.contains(pin)).count(), 0, "blocked");
    site.app.trash_pin(&site.eyes(&ada).await, after[0]).await.unwrap();
    assert!(!rest(&site, &bob, first.bookmark, 10).await.contains(&after[0]), "deleted");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_may_be_lost_and_the_feeds_may_be_away() {
    let (site, _, bob, _, adas, graces) = scene(230).await;
    let first = page(&site, &bob, None, 25).await;
    // Lost: everything counts as unseen, and a scroll that went on repeats nothing.
    site.app.feeds.set_shown(bob.id, b"not ours".to_vec()).await.unwrap();
    let mut seen = ids(first.clone());
    seen.extend(rest(&site, &bob, first.bookmark.clone(), 25).await);
    assert_once(&seen);
    assert_eq!(seen.len(), 25 + 60, "what lies below the window of 400");
    assert_eq!(scroll(&site, &bob, 100).await.len(), adas.len() + graces.len());
    // Away: newest first, from storage.
    site.feeds_faults.inject(std::iter::repeat_n(feeds::Fault::Unavailable, 100_000));
    let all: Vec<PinId> = scroll(&site, &bob, 100).await;
    let newest: Vec<PinId> = graces.iter().rev().chain(adas.iter().rev()).copied().collect();
    assert_eq!(all, newest);
    let on = page(&site, &bob, first.bookmark, 25).await;
    assert!(!on.items.is_empty(), "a session goes on below its window");
    let mut browser = site.browser(&bob);
    let notice = "Best first is away for a moment";
    assert!(!browser.get("/").text().contains(notice), "who wants newest first misses nothing");
    assert_eq!(browser.post("/settings/home-order", &[("home_order", "best")]).status, 303);
    assert!(browser.get("/").text().contains(notice), "the page says what is missing");
    site.feeds_faults.heal();
    assert!(!browser.get("/").text().contains(notice));
    site.until("all parts to be up", || async { site.app.health.parts().values().all(|state| *state == runtime::PartState::Up) }).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_call_of_the_feeds_fails_nothing_is_shown_twice() {
    let (site, _, bob, _, adas, graces) = scene(15).await;
    for fault in [feeds::Fault::Unavailable, feeds::Fault::AnswerLost] {
        for passed in 0..40 {
            site.feeds_faults.inject(std::iter::repeat_n(feeds::Fault::Pass, passed).chain([fault]));
            let (mut seen, mut bookmark, mut failed) = (Vec::new(), None, 0);
            loop {
                let request = PageRequest { bookmark: bookmark.clone(), size: Some(6) };
                match site.app.home_in(&site.eyes(&bob).await, HomeOrder::Best, &request).await {
                    Ok(read) => {
                        bookmark = read.bookmark.clone();
                        seen.extend(ids(read));
                    }
                    Err(app::Error::Unavailable(_)) if bookmark.is_some() => failed += 1,
                    Err(error) => panic!("after {passed} calls, {fault:?}: {error}"),
                }
                if bookmark.is_none() {
                    break;
                }
            }
            site.feeds_faults.heal();
            assert_once(&seen);
            assert!(failed <= 1, "a page can be asked for again");
            assert_eq!(seen.len(), adas.len() + graces.len(), "after {passed} calls, {fault:?}");
        }
    }
    site.until("all parts to be up", || async { site.app.health.parts().values().all(|state| *state == runtime::PartState::Up) }).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taste_and_popularity_rank_and_say_so() {
    let (site, ada, bob, grace, adas, graces) = scene(12).await;
    let finds = site.board(&bob, "Finds", Privacy::Public).await;
    for pin in &adas[..5] {
        site.app.save_pin(&site.eyes(&bob).await, *pin, at(finds)).await.unwrap();
    }
    for person in [&ada, &site.person("eve").await, &site.person("mallory").await] {
        let board = site.board(person, "Saved", Privacy::Public).await;
        site.app.save_pin(&site.eyes(person).await, graces[0], at(board)).await.unwrap();
        site.app.like_pin(&site.eyes(person).await, graces[0], true).await.unwrap();
    }
    site.settle().await;
    let first = page(&site, &bob, None, 30).await;
    let of = |pin: PinId| first.items.iter().find(|view| view.id() == pin).and_then(|view| view.reason.clone()).unwrap();
    assert_eq!(of(adas[7]).signal, Some(Signal::Owner), "bob saves what ada pins");
    assert_eq!(of(graces[0]).signal, Some(Signal::Popularity));
    assert_eq!(of(graces[5]).signal, Some(Signal::Follow));
    assert_eq!(of(graces[5]).name, "grace of the tests");
    let order = ids(first.clone());
    let rank_of = |pin: PinId| order.iter().position(|other| *other == pin).unwrap();
    assert!(adas[5..].iter().all(|pin| rank_of(*pin) < 20) && rank_of(graces[0]) < 12, "{order:?}");
    let owners: Vec<_> = first.items.iter().map(|view| view.owner.id).collect();
    assert!(owners[..12].windows(3).all(|three| three[0] != three[1] || three[1] != three[2]), "no three in a row");
    assert!(first.items.iter().any(|view| view.owner.id == grace.id.id()));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_is_chosen_on_the_page_and_in_the_settings() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    site.pin(&ada, board, "A collar").await;
    site.app.follow(&site.eyes(&bob).await, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    let mut browser = site.browser(&bob);
    let pressed = |html: &str| -> Vec<String> {
        html.split("aria-pressed=\"true\">").skip(1).filter_map(|rest| rest.split('<').next()).map(str::to_owned).collect()
    };
    let home = browser.get("/").text();
    assert!(pressed(&home).contains(&"Newest first".to_owned()) && !home.contains("Because you follow"), "{home}");
    let answer = browser.post("/settings/home-order", &[("home_order", "best")]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let home = browser.get("/").text();
    assert!(pressed(&home).contains(&"Best first".to_owned()) && home.contains("Because you follow ada of the tests"), "{home}");
    let settings = browser.get("/settings/preferences").text();
    assert!(settings.contains("value=\"best\" checked"), "{settings}");
    assert_eq!(browser.post("/settings/home-order", &[("home_order", "worst")]).status, 400);
    assert_eq!(site.anonymous().post("/settings/home-order", &[("home_order", "best")]).status, 303, "asked to log in");
    let fields = [("theme", "dark"), ("home_order", "newest"), ("infinite_scroll", "true")];
    assert_eq!(browser.post("/settings/preferences", &fields).status, 303);
    assert!(pressed(&browser.get("/").text()).contains(&"Newest first".to_owned()));
    site.finish().await;
}
