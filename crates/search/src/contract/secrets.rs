//! Secret documents never reach others, in no form.

use crate::{Doc, Kind, Order, Search, SearchRequest, Seed, Suggestion, SuggestionKind, Viewers};

use super::{NONE, Pin, board, found, id, numbers, page, pin, pin_id, put, request, user};

/// User 1 owns them, user 2 collaborates, user 3 is somebody else.
const INSIDERS: [u64; 2] = [1, 2];

fn secret(number: u64, title: &'static str) -> Pin {
    Pin { secret_to: Some(&INSIDERS), ..pin(number, title) }
}

pub(super) async fn are_found_by_their_viewers_only(search: Search) {
    let hidden = Pin {
        description: "zebra finch",
        tags: &["surprise"],
        board: "Wedding plans",
        domain: "rings.example",
        color: "#ff0000",
        ..secret(1, "gold ring")
    };
    put(&search, [Doc::from(hidden), board(2, "Wedding plans", Some(&INSIDERS)), pin(3, "gold bar").into()]).await;
    let texts = [
        "ring",
        "\"gold ring\"",
        "gold",
        "zebra",
        "surprise",
        "#surprise",
        "wedding",
        "board:wedding",
        "site:rings.example",
        "rings",
        "color:red",
        "by:ada",
        "-bar",
        "gold -bar",
        "rin",
        "rng OR zebar",
        "weding",
        "",
        "after:2000",
        "ring OR -bar",
        "gold ring submarine",
    ];
    for viewer in [None, Some(user(3))] {
        for text in texts {
            for kind in [Kind::Pins, Kind::Boards, Kind::People] {
                for order in [Order::Best, Order::Newest] {
                    for owner in [None, Some(user(1))] {
                        let page = page(&search, SearchRequest { kind, viewer, order, owner, ..request(text) }).await;
                        assert!(page.hits.iter().all(|hit| hit.id == id(3)), "{text:?} {kind:?} {viewer:?}");
                    }
                }
            }
        }
    }
    for insider in INSIDERS {
        let mine = |kind, text| SearchRequest { kind, viewer: Some(user(insider)), ..request(text) };
        assert_eq!(numbers(&page(&search, mine(Kind::Pins, "gold ring")).await), [1]);
        assert_eq!(numbers(&page(&search, mine(Kind::Pins, "#surprise")).await), [1]);
        assert_eq!(numbers(&page(&search, mine(Kind::Pins, "zebar")).await), [1], "typos are forgiven in one's own secrets too");
        assert_eq!(numbers(&page(&search, mine(Kind::Boards, "wedding")).await), [2]);
    }
}

pub(super) async fn stay_hidden_when_a_public_document_becomes_secret(search: Search) {
    let public = Pin { tags: &["opal"], board: "Opals", ..pin(1, "opal brooch") };
    put(&search, [Doc::from(public.clone()), board(2, "Opals", None)]).await;
    assert_eq!(found(&search, "opal").await, [1]);
    assert!(!search.suggest("op", None, 10).await.expect("suggestions").is_empty());
    assert_eq!(search.topics(10).await.expect("topics").len(), 1);
    put(&search, [Doc::from(Pin { secret_to: Some(&INSIDERS), ..public.clone() }), board(2, "Opals", Some(&INSIDERS))]).await;
    assert_eq!(found(&search, "opal").await, NONE);
    assert_eq!(search.suggest("op", None, 10).await.expect("suggestions"), []);
    assert_eq!(search.suggest("bro", Some(user(3)), 10).await.expect("suggestions"), []);
    assert_eq!(search.topics(10).await.expect("topics"), []);
    put(&search, [Doc::from(public)]).await;
    assert_eq!(found(&search, "opal").await, [1], "and back");
}

pub(super) async fn are_not_suggested(search: Search) {
    let hidden = Pin {
        tags: &["quartz_tag"],
        board: "Quartzboard",
        description: "quartzdescription",
        domain: "quartzsite.org",
        ..secret(1, "quartztitle")
    };
    put(&search, [Doc::from(hidden), board(2, "Quartz board", Some(&INSIDERS)), pin(3, "agate").into()]).await;
    // Not even to their owners: what is suggested ends up on screens that others see.
    for viewer in [None, Some(user(1)), Some(user(3))] {
        for prefix in ["q", "quartz", "Quartz b", "quartz_", "#quartz", "agate q", "board", "tag", "ada", "lovelace"] {
            assert_eq!(search.suggest(prefix, viewer, 20).await.expect("suggestions"), [], "{prefix}");
        }
    }
    let agate = Suggestion { text: "agate".to_owned(), kind: SuggestionKind::Term };
    assert_eq!(search.suggest("ag", None, 20).await.expect("suggestions"), [agate]);
}

pub(super) async fn are_not_in_topics(search: Search) {
    let hidden = |number| Pin { tags: &["hidden", "shared"], ..secret(number, "x") };
    put(&search, [hidden(1), hidden(2), Pin { tags: &["shared"], ..pin(3, "y") }]).await;
    assert_eq!(search.topics(10).await.expect("topics"), [("shared".to_owned(), 1)]);
}

pub(super) async fn are_not_in_guides(search: Search) {
    let public = ["lamp wood", "lamp steel", "lamp wood", "lamp steel", "lamp oak", "lamp oak"];
    let mut docs: Vec<Pin> = (1_u64..).zip(public).map(|(number, title)| pin(number, title)).collect();
    docs.extend((11..14).map(|number| Pin { board: "Hideout", tags: &["clandestine"], ..secret(number, "lamp covert") }));
    put(&search, docs).await;
    let guides = search.guides("lamp", 20).await.expect("guides");
    let mut words: Vec<_> = guides.iter().map(|guide| guide.word.as_str()).collect();
    words.sort_unstable();
    assert_eq!(words, ["oak", "steel", "wood"]);
    assert_eq!(search.guides("covert", 20).await.expect("guides"), []);
}

pub(super) async fn are_not_similar_to_anything(search: Search) {
    put(&search, [pin(1, "blue china vase"), secret(2, "blue china vase"), pin(3, "blue vase")]).await;
    let seed = Seed::Text { text: "blue china vase".to_owned(), tags: vec![] };
    for viewer in [None, Some(user(3))] {
        let hits = search.similar(pin_id(1), viewer, 10).await.expect("hits");
        assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [id(3)]);
        let hits = search.similar(seed.clone(), viewer, 10).await.expect("hits");
        assert!(hits.len() == 2 && hits.iter().all(|hit| hit.id != id(2)));
    }
    let own = search.similar(pin_id(1), Some(user(2)), 10).await.expect("hits");
    assert_eq!(own.len(), 2, "their viewers see them");
}

pub(super) async fn have_nothing_similar_for_others(search: Search) {
    put(&search, [secret(1, "emerald necklace"), pin(2, "emerald necklace")]).await;
    // What is similar would tell what the secret pin is about.
    assert_eq!(search.similar(pin_id(1), None, 10).await.expect("hits"), []);
    assert_eq!(search.similar(pin_id(1), Some(user(3)), 10).await.expect("hits"), []);
    assert_eq!(search.similar(pin_id(1), Some(user(1)), 10).await.expect("hits").len(), 1);
}

pub(super) async fn do_not_speak_through_notes(search: Search) {
    put(&search, [secret(1, "malachite"), pin(2, "granite")]).await;
    for (viewer, notes) in [(None, 0), (Some(user(3)), 0), (Some(user(1)), 1)] {
        let page = page(&search, SearchRequest { viewer, ..request("malachita ") }).await;
        assert_eq!((page.hits.len(), page.notes.len()), (notes, notes), "{viewer:?}");
    }
}

pub(super) async fn do_not_change_what_others_find(search: Search) {
    // With its secret owners out of sight, "kiten" is a typo; that three secret pins have it must not change that.
    let mut docs = vec![pin(1, "kitten")];
    docs.extend((2..6).map(|number| secret(number, "kiten")));
    put(&search, docs).await;
    let page = page(&search, SearchRequest { viewer: Some(user(3)), ..request("kiten") }).await;
    assert_eq!(numbers(&page), [1]);
    assert_eq!(page.notes, ["Nothing has \"kiten\"; searched for \"kitten\"."]);
    assert!(!Doc::from(secret(9, "x")).is_public());
    assert_ne!(Viewers::Only(vec![]), Viewers::Everyone);
}
