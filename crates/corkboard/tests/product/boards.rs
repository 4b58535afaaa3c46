//! Boards: addresses, order by hand, covers, merging, deleting.

use app::boards::{BoardEdit, BoardFilter};
use app::hydrate::PageRequest;
use app::pins::Place;
use app::{Error, Viewer};
use model::object::{BoardOrder, Privacy};
use model::{Assoc, SectionId};

use crate::site::{Site, at, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_unique_and_follow_the_name() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (first, second) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&ada, "lace", Privacy::Public).await);
    let bobs = site.board(&bob, "Lace", Privacy::Public).await;
    let nobody = Viewer::anonymous();
    for (user, slug, board) in [("ada", "lace", first), ("ada", "lace-2", second), ("bob", "lace", bobs)] {
        assert_eq!(site.app.board_at(&nobody, user, slug).await.unwrap(), board, "{user}/{slug}");
    }
    let eyes = site.eyes(&ada).await;
    let rename = |name: &str| BoardEdit { name: Some(name.into()), ..BoardEdit::default() };
    let card = site.app.edit_board(&eyes, first, rename("Bobbins")).await.unwrap();
    assert_eq!(card.board.data.slug, "bobbins");
    let mut page = site.anonymous();
    assert_eq!((page.get("/ada/bobbins").status, page.get("/ada/lace").status), (200, 404), "the old address is free");
    // Only letters' case or punctuation: the address stays.
    assert_eq!(site.app.edit_board(&eyes, first, rename("BOBBINS!")).await.unwrap().board.data.slug, "bobbins");
    assert_eq!(site.app.edit_board(&eyes, second, rename("Bobbins")).await.unwrap().board.data.slug, "bobbins-2");
    let third = site.board(&ada, "Lace", Privacy::Public).await;
    assert_eq!(site.app.board_at(&nobody, "ada", "lace").await.unwrap(), third);
    // Many at once: each gets its own or is told to try again.
    let mut made = Vec::new();
    for _ in 0..6 {
        let (app, eyes) = (site.app.clone(), eyes.clone());
        let new = app::boards::NewBoard { name: "Race".into(), ..app::boards::NewBoard::default() };
        made.push(tokio::spawn(async move { app.create_board(&eyes, new).await }));
    }
    let mut slugs = Vec::new();
    for board in made {
        match board.await.unwrap() {
            Ok(card) => slugs.push(card.board.data.slug.clone()),
            Err(Error::Conflict(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let count = slugs.len();
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), count, "{slugs:?}");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_moves_the_pins_and_deleting_trashes_them() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (from, into) = (site.board(&ada, "From", Privacy::Public).await, site.board(&ada, "Into", Privacy::Public).await);
    let eyes = site.eyes(&ada).await;
    let section = SectionId::try_from(site.app.create_section(&eyes, from, "Part").await.unwrap().id).unwrap();
    let one = site.pin(&ada, from, "One").await;
    let place = Place { board: from, section: Some(section) };
    let two = site.app.pin_upload(&eyes, place, text("Two"), site.new_picture()).await.unwrap().id();
    let there = site.pin(&ada, into, "There").await;
    site.settle().await;
    let refused = site.app.merge_board(&site.eyes(&bob).await, from, into).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    site.app.merge_board(&eyes, from, into).await.unwrap();
    site.settle().await;
    assert_eq!(site.board_pins(&ada, into).await, [there, two, one]);
    assert_eq!(site.anonymous().get("/ada/from").status, 404);
    assert_eq!(site.edges(Assoc::SectionHasPins, section.id()).await, []);
    assert_eq!(site.app.profile(&Viewer::anonymous(), ada.id).await.unwrap().pin_count, 3);
    assert_eq!(site.app.storage.count(Assoc::UserTrashesPins, ada.id.id()).await.unwrap(), 0, "merging deletes no pin");

    let mut page = site.browser(&ada);
    assert_eq!(page.post(&format!("/board/{into}/delete"), &[]).status, 303);
    assert_eq!(page.get("/ada/into").status, 404);
    site.settle().await;
    assert_eq!(site.app.storage.count(Assoc::UserTrashesPins, ada.id.id()).await.unwrap(), 3);
    assert_eq!(site.edges(Assoc::BoardHasPins, into.id()).await, []);
    assert_eq!(site.app.storage.count(Assoc::UserHasPins, ada.id.id()).await.unwrap(), 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_by_hand_stays() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let eyes = site.eyes(&ada).await;
    let (a, b, c) = (
        site.board(&ada, "A", Privacy::Public).await,
        site.board(&ada, "B", Privacy::Public).await,
        site.board(&ada, "C", Privacy::Public).await,
    );
    let order = || async {
        let page = site.app.boards_of(&Viewer::anonymous(), ada.id, BoardFilter::All, &PageRequest::first(9)).await.unwrap();
        page.items.iter().map(|card| card.id()).collect::<Vec<_>>()
    };
    assert_eq!(order().await, [c, b, a], "new boards come first");
    site.app.place_board(&eyes, a, None).await.unwrap();
    site.app.place_board(&eyes, c, Some(b)).await.unwrap();
    assert_eq!(order().await, [a, b, c]);

    let mut sections = Vec::new();
    for name in ["x", "y", "z"] {
        sections.push(SectionId::try_from(site.app.create_section(&eyes, a, name).await.unwrap().id).unwrap());
    }
    let names = || async {
        let all = site.app.all_sections(&eyes, a).await.unwrap();
        all.iter().map(|section| section.data.name.clone()).collect::<String>()
    };
    assert_eq!(names().await, "xyz", "sections stand as they were made");
    site.app.place_section(&eyes, a, sections[2], None).await.unwrap();
    site.app.place_section(&eyes, a, sections[0], Some(sections[1])).await.unwrap();
    assert_eq!(names().await, "zyx");
    assert!(matches!(site.app.create_section(&eyes, a, "X").await, Err(Error::Conflict(_))), "one name, one section");

    let (one, two, three) = (site.pin(&ada, a, "1").await, site.pin(&ada, a, "2").await, site.pin(&ada, a, "3").await);
    assert_eq!(site.board_pins(&ada, a).await, [three, two, one]);
    site.app.place_pin(&eyes, a, one, None).await.unwrap();
    site.settle().await;
    assert_eq!(site.board_pins(&ada, a).await, [one, three, two]);
    let four = site.pin(&ada, a, "4").await;
    site.app.place_pin(&eyes, a, two, Some(one)).await.unwrap();
    site.settle().await;
    assert_eq!(site.board_pins(&ada, a).await.len(), 4, "a new pin joins a board ordered by hand");
    let by_hand: Vec<_> = site.board_pins(&ada, a).await.into_iter().filter(|pin| *pin != four).collect();
    assert_eq!(by_hand, [one, two, three]);
    // Out and back: a moved pin comes in again, a trashed one leaves.
    site.app.trash_pin(&eyes, three).await.unwrap();
    assert!(!site.board_pins(&ada, a).await.contains(&three));
    site.app.set_order(&eyes, a, BoardOrder::ByTime).await.unwrap();
    site.settle().await;
    assert_eq!(site.board_pins(&ada, a).await, [four, two, one]);
    site.app.set_order(&eyes, a, BoardOrder::ByHand).await.unwrap();
    let by_hand: Vec<_> = site.board_pins(&ada, a).await.into_iter().filter(|pin| *pin != four).collect();
    assert_eq!(by_hand, [one, two], "the order by hand is remembered");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cover_is_chosen_from_the_board() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let eyes = site.eyes(&ada).await;
    let (board, other) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&ada, "Other", Privacy::Public).await);
    let (old, new, elsewhere) = (site.pin(&ada, board, "Old").await, site.pin(&ada, board, "New").await, site.pin(&ada, other, "E").await);
    let cover = |pin| BoardEdit { cover: Some(pin), ..BoardEdit::default() };
    let covers = |card: app::BoardCard| card.covers.iter().map(|pin| pin.id).collect::<Vec<_>>();
    assert_eq!(covers(site.app.board_card(&eyes, board).await.unwrap()), [new.id(), old.id()]);
    assert_eq!(covers(site.app.edit_board(&eyes, board, cover(Some(old))).await.unwrap()), [old.id(), new.id()]);
    assert!(matches!(site.app.edit_board(&eyes, board, cover(Some(elsewhere))).await, Err(Error::Invalid(_))));
    site.app.edit_pin(&eyes, old, app::pins::PinEdit { place: Some(at(other)), ..Default::default() }).await.unwrap();
    assert_eq!(covers(site.app.board_card(&eyes, board).await.unwrap()), [new.id()], "a cover that moved away is none");
    assert_eq!(covers(site.app.edit_board(&eyes, board, cover(None)).await.unwrap()), [new.id()]);
    site.finish().await;
}
