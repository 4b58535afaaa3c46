//! What is derived follows from storage, whatever order events come in, and however often.

use std::collections::BTreeMap;

use app::Viewer;
use app::boards::BoardEdit;
use app::hydrate::PageRequest;
use app::pins::{PinEdit, PinText};
use feeds::{PublicFeed, Target};
use model::object::{BoardOrder, Privacy, Role};
use model::{Assoc, Board, BoardId, Comment, Event, Id, Image, Object, Pin, Section, TopicObject, User, UserId};

use crate::site::{PASSWORD, Person, Site, at};

/// A little of everything, with second thoughts.
async fn busy(site: &Site) -> Vec<Person> {
    site.person("root-admin").await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve", "kim"] {
        people.push(site.person(name).await);
    }
    let [ada, bob, eve, kim] = &people[..] else { unreachable!() };
    let (adas, bobs, eves, kims) = (site.eyes(ada).await, site.eyes(bob).await, site.eyes(eve).await, site.eyes(kim).await);
    let tagged = |title: &str, tag: &str| PinText { title: title.into(), description: format!("#{tag} #common"), ..PinText::default() };
    let (a1, a2) = (site.board(ada, "Lace", Privacy::Public).await, site.board(ada, "Knots", Privacy::Public).await);
    let (b1, e1) = (site.board(bob, "Finds", Privacy::Public).await, site.board(eve, "Vault", Privacy::Secret).await);
    let hand = site.board(ada, "By hand", Privacy::Public).await;
    site.app.set_order(&adas, hand, BoardOrder::ByHand).await.unwrap();
    let mut pins = Vec::new();
    for (n, board) in [a1, a2, a1, hand, hand, a2].into_iter().enumerate() {
        pins.push(site.pin_text(ada, board, tagged(&format!("Pin {n}"), ["red", "blue"][n % 2])).await);
    }
    site.app.follow(&bobs, Target::User(ada.id)).await.unwrap();
    site.app.follow(&eves, Target::User(ada.id)).await.unwrap();
    site.app.follow(&eves, Target::Board(b1)).await.unwrap();
    site.app.leave_out(&eves, a2, true).await.unwrap();
    site.app.leave_out(&bobs, a1, true).await.unwrap();
    site.app.leave_out(&bobs, a1, false).await.unwrap();
    site.app.unfollow(&eves, Target::Board(b1)).await.unwrap();
    site.settle().await;
    site.app.follow(&kims, Target::Topic(site.app.topic_id("red").await.unwrap())).await.unwrap();
    let saved = site.app.save_pin(&bobs, pins[0], at(b1)).await.unwrap().id();
    site.app.save_pin(&eves, pins[1], at(e1)).await.unwrap();
    site.app.edit_pin(&adas, pins[2], PinEdit { place: Some(at(a2)), ..PinEdit::default() }).await.unwrap();
    site.app.edit_pin(&adas, pins[2], PinEdit { place: Some(at(a1)), ..PinEdit::default() }).await.unwrap();
    site.app.edit_pin(&adas, pins[3], PinEdit { description: Some("#green now".into()), ..PinEdit::default() }).await.unwrap();
    site.app.trash_pin(&adas, pins[4]).await.unwrap();
    site.app.trash_pin(&adas, pins[5]).await.unwrap();
    site.app.restore_pin(&adas, pins[5], None).await.unwrap();
    for (viewer, pin, on) in [(&bobs, pins[0], true), (&eves, pins[0], true), (&eves, pins[0], false), (&kims, saved, true)] {
        site.app.like_pin(viewer, pin, on).await.unwrap();
    }
    let comment = site.app.add_comment(&eves, pins[0], "Hello @kim", None).await.unwrap();
    let reply = site.app.add_comment(&kims, pins[0], "Hello @eve", Some(comment)).await.unwrap();
    site.app.like_comment(&adas, reply, true).await.unwrap();
    site.app.delete_comment(&kims, reply).await.unwrap();
    site.app.invite(&adas, a1, bob.id, Role::Edit).await.unwrap();
    site.app.accept_invitation(&bobs, a1).await.unwrap();
    site.app.invite(&adas, a2, kim.id, Role::View).await.unwrap();
    site.app.remove_collaborator(&adas, a2, kim.id).await.unwrap();
    site.pin_text(bob, a1, tagged("Bob's on Ada's", "red")).await;
    for privacy in [Privacy::Secret, Privacy::Public, Privacy::Protected] {
        site.app.edit_board(&adas, a2, BoardEdit { privacy: Some(privacy), ..BoardEdit::default() }).await.unwrap();
    }
    site.app.block(&kims, bob.id).await.unwrap();
    site.app.block(&bobs, kim.id).await.unwrap();
    site.app.unblock(&kims, bob.id).await.unwrap();
    site.app.block(&adas, eve.id).await.unwrap();
    site.app.unblock(&adas, eve.id).await.unwrap();
    site.app.follow(&eves, Target::User(ada.id)).await.unwrap();
    site.app.mute(&kims, eve.id, true).await.unwrap();
    let gone = site.board(bob, "Gone", Privacy::Public).await;
    site.pin_text(bob, gone, tagged("Goes with it", "blue")).await;
    site.app.delete_board(&bobs, gone).await.unwrap();
    let (from, into) = (site.board(kim, "From", Privacy::Public).await, site.board(kim, "Into", Privacy::Public).await);
    site.pin_text(kim, from, tagged("Merged", "red")).await;
    site.settle().await;
    site.app.merge_board(&kims, from, into).await.unwrap();
    let shady = site.person("shady").await;
    let shop = site.board(&shady, "Shop", Privacy::Public).await;
    site.pin_text(&shady, shop, tagged("Shady", "red")).await;
    site.app.follow(&bobs, Target::User(shady.id)).await.unwrap();
    let admin = site.app.user_named(&Viewer::anonymous(), "root-admin").await.unwrap();
    site.app.suspend(&Viewer::signed_in(admin), shady.id, true).await.unwrap();
    let leaver = site.person("leaver").await;
    let theirs = site.board(&leaver, "Left", Privacy::Public).await;
    site.pin_text(&leaver, theirs, tagged("Leaves", "red")).await;
    site.app.follow(&site.eyes(&leaver).await, Target::User(ada.id)).await.unwrap();
    site.app.follow(&bobs, Target::User(leaver.id)).await.unwrap();
    site.app.delete_account(&site.eyes(&leaver).await, PASSWORD).await.unwrap();
    site.settle().await;
    people
}

async fn all<T: Object>(site: &Site) -> Vec<Id> {
    site.app.storage.scan::<T>(None, 500).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// Every edge in storage.
async fn edges(site: &Site) -> BTreeMap<String, Vec<(Id, i64)>> {
    let mut froms = all::<User>(site).await;
    froms.extend(all::<Board>(site).await);
    froms.extend(all::<Pin>(site).await);
    froms.extend(all::<Section>(site).await);
    froms.extend(all::<Comment>(site).await);
    froms.extend(all::<Image>(site).await);
    froms.extend(all::<TopicObject>(site).await);
    let mut found = BTreeMap::new();
    for assoc in Assoc::ALL {
        for from in froms.iter().filter(|from| from.kind() == assoc.ends().0) {
            let edges = site.edges(*assoc, *from).await;
            if !edges.is_empty() {
                found.insert(format!("{assoc:?} {from}"), edges);
            }
        }
    }
    found
}

/// Everything that feeds and index answer.
async fn derived(site: &Site, people: &[Person]) -> BTreeMap<String, String> {
    let app = &site.app;
    let mut seen = BTreeMap::new();
    let ids = all::<User>(site).await;
    for person in people {
        seen.insert(format!("home of {}", person.name), format!("{:?}", site.home(person).await));
        seen.insert(format!("counts of {}", person.name), format!("{:?}", app.feeds.counts(person.id).await.unwrap()));
        for other in &ids {
            let other = UserId::try_from(*other).unwrap();
            let relation = (app.feeds.blocked(person.id, other).await.unwrap(), app.feeds.muted(person.id, other).await.unwrap());
            let follows = app.feeds.follows(person.id, &[Target::User(other)]).await.unwrap();
            seen.insert(format!("{} to {other}", person.name), format!("{relation:?} {follows:?}"));
        }
        let viewer = site.eyes(person).await;
        let first = PageRequest::first(100);
        for word in ["common", "red", "Pin", "Vault", "Lace", "Gone", "Merged", "Leaves", "now"] {
            let mut pins = crate::site::ids(app.search_pins(&viewer, word, Default::default(), &first).await.unwrap().page);
            pins.sort();
            let boards = app.search_boards(&viewer, word, Default::default(), &first).await.unwrap().page.items;
            let mut boards: Vec<_> = boards.iter().map(app::BoardCard::id).collect();
            boards.sort();
            seen.insert(format!("{} searches {word}", person.name), format!("{pins:?} {boards:?}"));
        }
    }
    for board in all::<Board>(site).await {
        let board = BoardId::try_from(board).unwrap();
        let followers = app.feeds.followers_of_board(board).await.unwrap();
        seen.insert(format!("followers of {board}"), followers.to_string());
    }
    let mut lists = vec![PublicFeed::Everything];
    for tag in ["red", "blue", "green", "common"] {
        lists.push(PublicFeed::Topic(app.topic_id(tag).await.unwrap()));
    }
    for list in lists {
        let entries = app.feeds.public(list.clone(), None, 200).await.unwrap().entries;
        seen.insert(format!("{list:?}"), format!("{:?}", entries.iter().map(|entry| entry.pin).collect::<Vec<_>>()));
    }
    let mut topics = app.popular_topics(50).await.unwrap();
    topics.sort();
    seen.insert("topics".into(), format!("{topics:?}"));
    seen.insert("documents".into(), app.search.stats().await.unwrap().documents.to_string());
    seen
}

/// Says what differs, line by line.
fn same<T: PartialEq + std::fmt::Debug>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>, when: &str) {
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    let differing = keys.filter(|key| before.get(*key) != after.get(*key));
    let lines: Vec<String> = differing.map(|key| format!("{key}:\n  {:?}\n  {:?}", before.get(key), after.get(key))).collect();
    assert!(lines.is_empty(), "{when}:\n{}", lines.join("\n"));
}

fn shuffle(events: &mut [Event], seed: u64) {
    let mut state = seed;
    for n in (1..events.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        events.swap(n, (state >> 33) as usize % (n + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_any_order_any_number_of_times_end_in_the_same() {
    let site = Site::start().await;
    let people = busy(&site).await;
    let (edges_before, before) = (edges(&site).await, derived(&site, &people).await);
    let mails = site.mails().len();
    for seed in [0, 20_260_721] {
        let mut events = site.events().await;
        if seed != 0 {
            shuffle(&mut events, seed);
        }
        for event in events {
            site.app.follow_up(event.clone()).await.unwrap();
            site.app.reconcile_feeds(event.clone()).await.unwrap();
            site.app.reconcile_index(event).await.unwrap();
        }
        site.settle().await;
        same(&edges_before, &edges(&site).await, &format!("edges after seed {seed}"));
        same(&before, &derived(&site, &people).await, &format!("feeds and index after seed {seed}"));
    }
    assert_eq!(site.mails().len(), mails, "no mail is sent again");
    site.finish().await;
}

/// What a pin's writer has written whole is not looked at again, unless the board is another by then, or nobody knows that it was whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follow_up_looks_at_a_new_pins_edges_only_where_they_may_be_wrong() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let bobs = site.eyes(&bob).await;
    let (source, finds) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&bob, "Finds", Privacy::Public).await);
    let pin = site.pin(&ada, source, "Lace").await;
    let begun = std::time::Instant::now();
    let saved = site.app.save_pin(&bobs, pin, at(finds)).await.unwrap().id();
    site.settle().await;
    let event = site.events().await.into_iter().rfind(|event| event.subjects.first() == Some(&saved.id())).unwrap();
    let saves = async || site.edges(Assoc::PinHasSaves, pin).await.len();
    let set = async |on: bool| {
        let mut batch = storage::Batch::on(pin.shard());
        match on {
            true => batch.map(Assoc::PinHasSaves, pin, saved, 1),
            false => batch.unmap(Assoc::PinHasSaves, pin, saved),
        };
        site.app.commit(batch).await.unwrap();
    };
    assert_eq!(saves().await, 1);
    set(false).await;
    site.app.follow_up_read(event.clone(), Some(std::time::Instant::now())).await.unwrap();
    assert_eq!(saves().await, 0, "its writer had written it");
    site.app.follow_up_read(event.clone(), Some(begun)).await.unwrap();
    assert_eq!(saves().await, 1, "it was read before all was written");
    site.app.edit_board(&bobs, finds, BoardEdit { privacy: Some(Privacy::Secret), ..BoardEdit::default() }).await.unwrap();
    site.settle().await;
    set(true).await;
    site.app.follow_up_read(event, Some(std::time::Instant::now())).await.unwrap();
    assert_eq!(saves().await, 0, "the board is secret by now: its saves must not show in counts");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_from_storage_ends_in_the_same() {
    let site = Site::start().await;
    let people = busy(&site).await;
    let before = derived(&site, &people).await;
    let end = site.app.events.end(model::Topic::Activity).await.unwrap();
    site.app.rebuild_feeds(end).await.unwrap();
    site.app.rebuild_index().await.unwrap();
    same(&before, &derived(&site, &people).await, "rebuilt");
    assert!(site.app.newest(&Viewer::anonymous(), &PageRequest::first(50)).await.unwrap().items.len() > 3);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_that_missed_a_block_and_its_end_forget_the_follow_that_it_ended() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (adas, bobs) = (site.eyes(&ada).await, site.eyes(&bob).await);
    site.app.follow(&bobs, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    site.app.block(&adas, bob.id).await.unwrap();
    site.app.unblock(&adas, bob.id).await.unwrap();
    site.settle().await;
    // As after a server of the feeds came back with what it held before the block.
    site.app.feeds.set_follow(bob.id, Target::User(ada.id), true, model::Timestamp(1)).await.unwrap();
    for event in site.events().await {
        if matches!(event.kind, model::EventKind::UserBlocked | model::EventKind::UserUnblocked) {
            site.app.reconcile_feeds(event).await.unwrap();
        }
    }
    assert_eq!(site.app.feeds.follows(bob.id, &[Target::User(ada.id)]).await.unwrap(), [false]);
    assert_eq!(site.app.verify_feeds_of(bob.id).await.unwrap().differences, Vec::<String>::new());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_decided_by_storage_when_feeds_know_a_block_too_long_or_not_yet() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (adas, bobs) = (site.eyes(&ada).await, site.eyes(&bob).await);
    let board = site.board(&ada, "Lace", model::object::Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    site.settle().await;
    // As when a consumer tells the feeds what it read before the block was taken back.
    site.app.feeds.set_block(bob.id, ada.id, true).await.unwrap();
    site.app.follow(&bobs, Target::User(ada.id)).await.expect("storage knows of no block");
    site.app.block(&adas, bob.id).await.unwrap();
    site.settle().await;
    for (who, other) in [(ada.id, bob.id), (bob.id, ada.id)] {
        site.app.feeds.set_block(who, other, false).await.unwrap();
    }
    assert!(matches!(site.app.follow(&adas, Target::User(bob.id)).await, Err(app::Error::Forbidden(_))), "ada blocks bob");
    assert!(site.app.add_comment(&bobs, pin, "Fine.", None).await.is_err(), "ada blocks bob");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_in_the_middle_of_a_like_still_sees_it() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", model::object::Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    let eyes = site.eyes(&bob).await;
    let (mut on, mut cut) = (true, 0);
    for round in 0..60_u64 {
        site.app.likes(&eyes, &[pin.id()]).await.unwrap();
        let limit = std::time::Duration::from_micros(20 * round);
        cut += u64::from(tokio::time::timeout(limit, site.app.like_pin(&eyes, pin, on)).await.is_err());
        // What was begun ends within moments.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let there = site.app.storage.edges(model::Assoc::UserLikesPins, bob.id.id(), &[pin.id()]).await.unwrap()[0].is_some();
        assert_eq!(site.app.likes(&eyes, &[pin.id()]).await.unwrap(), [there], "round {round}");
        on = !there;
    }
    assert!(cut > 0, "nobody went away");
    site.finish().await;
}
