//! What queries find, and in which order.

use model::Timestamp;

use crate::{Doc, Kind, Order, Search, SearchRequest};

use super::{NONE, NOW, Pin, board, board_id, found, found_set, id, numbers, page, person, pin, put, request, user};

pub(super) async fn what_was_put_is_found_until_it_is_removed(search: Search) {
    put(&search, [pin(1, "Red kitten"), pin(2, "Blue kitten")]).await;
    assert_eq!(found_set(&search, "kitten").await, [1, 2]);
    assert_eq!(search.stats().await.expect("stats").documents, 2);
    search.remove(vec![id(1), id(99)]).await.expect("a removal");
    search.flush().await.expect("a flush");
    assert_eq!(found(&search, "kitten").await, [2]);
    assert_eq!(search.stats().await.expect("stats").documents, 1);
}

pub(super) async fn a_second_put_replaces(search: Search) {
    put(&search, [pin(1, "Red kitten")]).await;
    put(&search, [pin(1, "Green puppy")]).await;
    assert_eq!(found(&search, "kitten").await, NONE);
    assert_eq!(found(&search, "puppy").await, [1]);
}

pub(super) async fn the_last_change_of_an_id_counts(search: Search) {
    search.put(vec![pin(1, "first").into(), pin(1, "second").into(), pin(2, "other").into()]).await.expect("a put");
    search.remove(vec![id(2)]).await.expect("a removal");
    search.remove(vec![id(3)]).await.expect("a removal");
    search.put(vec![pin(3, "third").into()]).await.expect("a put");
    search.flush().await.expect("a flush");
    assert_eq!(found_set(&search, "first OR second OR other OR third").await, [1, 3]);
    assert_eq!(found(&search, "second").await, [1]);
}

pub(super) async fn kinds_are_apart(search: Search) {
    put(&search, [Doc::from(pin(1, "garden")), board(2, "Garden", None), person(3, "garden.er", "Gerd Garden")]).await;
    for (kind, number) in [(Kind::Pins, 1), (Kind::Boards, 2), (Kind::People, 3)] {
        let page = page(&search, SearchRequest { kind, ..request("garden") }).await;
        assert_eq!(numbers(&page), [number], "{kind:?}");
        assert!(page.hits.iter().all(|hit| hit.id.kind() == kind.of_ids()));
    }
}

pub(super) async fn every_text_of_a_pin_is_searched(search: Search) {
    let everything = Pin {
        description: "a description of dahlias",
        alt_text: "alternative asters",
        tags: &["still_life"],
        board: "Board of begonias",
        domain: "shop.etsy.com",
        ..pin(1, "Title with tulips")
    };
    put(&search, [everything]).await;
    for word in ["tulips", "dahlias", "asters", "still", "life", "begonias", "ada", "lovelace", "etsy", "shop"] {
        assert_eq!(found(&search, word).await, [1], "{word}");
    }
    assert_eq!(found(&search, "roses").await, NONE);
}

pub(super) async fn all_words_must_be_there_in_any_field(search: Search) {
    put(&search, [Pin { board: "Pets", ..pin(1, "red kitten") }, pin(2, "red car"), Pin { board: "Pets", ..pin(3, "puppy") }]).await;
    assert_eq!(found(&search, "pets red").await, [1]);
    assert_eq!(found_set(&search, "red").await, [1, 2]);
}

pub(super) async fn phrases_negation_and_alternatives(search: Search) {
    // The excluded phrase comes after the first hit: a scorer of phrases must not be asked backwards.
    put(&search, [pin(3, "wild life photo"), pin(2, "life is still"), pin(1, "still life with fruit")]).await;
    assert_eq!(found(&search, "\"still life\"").await, [1]);
    assert_eq!(found(&search, "life -still").await, [3]);
    assert_eq!(found_set(&search, "life -\"still life\"").await, [2, 3]);
    assert_eq!(found_set(&search, "fruit OR photo").await, [1, 3]);
    assert_eq!(found(&search, "fruit OR photo wild").await, [3]);
    assert_eq!(found_set(&search, "photo OR -wild").await, [1, 2, 3]);
    assert_eq!(found_set(&search, "-photo").await, [1, 2]);
}

pub(super) async fn filters_narrow(search: Search) {
    let day = |text: &str| crate::date::DateStart::parse(text).expect("a date").timestamp();
    put(
        &search,
        [
            Pin {
                board: "Still Life",
                tags: &["fruit"],
                domain: "shop.example.org",
                color: "#ff0000",
                at: day("2020-02-29"),
                ..pin(1, "apple")
            },
            Pin {
                owner: 2,
                username: "bob.b",
                board: "Life",
                domain: "example.com",
                color: "#1e90ff",
                at: day("2021-01-01"),
                ..pin(2, "apple")
            },
        ],
    )
    .await;
    for (filter, number) in [
        ("by:ada", 1),
        ("by:Bob.B", 2),
        ("board:\"still life\"", 1),
        ("-board:still", 2),
        ("site:example.org", 1),
        ("site:shop.example.org", 1),
        ("site:example.com", 2),
        ("#fruit", 1),
        ("-#fruit", 2),
        ("color:red", 1),
        ("color:#0000ff", 2),
        ("before:2021", 1),
        ("after:2021", 2),
        ("after:2020-03", 2),
        ("before:2020-03-01", 1),
        ("after:2020-02-29 before:2020-03", 1),
    ] {
        assert_eq!(found(&search, &format!("apple {filter}")).await, [number], "{filter}");
    }
    for filter in ["by:ad", "site:ample.org", "site:org.example", "#fru", "color:green", "before:2020-02-29", "board:\"life still\""] {
        assert_eq!(found(&search, &format!("apple {filter}")).await, NONE, "{filter}");
    }
    let own = page(&search, SearchRequest { owner: Some(user(2)), ..request("apple") }).await;
    assert_eq!(numbers(&own), [2]);
}

pub(super) async fn stems_accents_and_case_do_not_matter(search: Search) {
    put(&search, [pin(1, "Kittens PLAYING at the Café"), pin(2, "Größe Μάιος Ёлка"), pin(3, "naive cafe\u{301}")]).await;
    for (text, numbers) in [
        ("kitten", vec![1]),
        ("KITTENS played", vec![1]),
        ("cafes", vec![1, 3]),
        ("café", vec![1, 3]),
        ("NAÏVE", vec![3]),
        ("grosse", vec![2]),
        ("μαιος", vec![2]),
        ("елка", vec![2]),
        ("kitten's", vec![1]),
    ] {
        assert_eq!(found_set(&search, text).await, numbers, "{text}");
    }
}

pub(super) async fn scripts_without_spaces_are_found_in_parts(search: Search) {
    put(&search, [pin(1, "東京の猫カフェ"), pin(2, "京東商店"), pin(3, "고양이 사진"), pin(4, "ภาพแมวน่ารัก")]).await;
    for (text, number) in [("東京", 1), ("猫", 1), ("カフェ", 1), ("商店", 2), ("양이", 3), ("แมว", 4)] {
        assert_eq!(found(&search, text).await, [number], "{text}");
    }
    assert_eq!(found(&search, "\"京の商\"").await, NONE);
}

pub(super) async fn typos_are_forgiven_only_when_little_is_found(search: Search) {
    put(
        &search,
        [pin(1, "a kitten"), pin(2, "an elephant"), pin(3, "2024"), pin(4, "cats"), pin(5, "mitten"), pin(6, "mitten"), pin(7, "mitten")],
    )
    .await;
    for (text, number) in [("kiten", 1), ("ktiten", 1), ("elehpnat", 2), ("kittan", 1)] {
        assert_eq!(found(&search, text).await, [number], "{text}");
    }
    let page = page(&search, request("kiten")).await;
    assert_eq!(page.notes, ["Nothing has \"kiten\"; searched for \"kitten\"."]);
    assert_eq!(found(&search, "2025").await, NONE, "numbers are what they are");
    assert_eq!(found(&search, "bats").await, [4], "four letters may have one typo");
    assert_eq!(found(&search, "car ").await, NONE, "three letters may have none");
    assert_eq!(found_set(&search, "mitten").await, [5, 6, 7], "a word that is there is not corrected");
    assert_eq!(found(&search, "\"kiten\"").await, NONE, "a phrase is meant as it is");
    assert_eq!(found(&search, "cats -kiten").await, [4]);
}

pub(super) async fn the_last_word_is_completed_only_when_little_is_found(search: Search) {
    put(&search, [pin(1, "photograph"), pin(2, "garden photograph"), pin(3, "art"), pin(4, "art"), pin(5, "art"), pin(6, "artist")]).await;
    assert_eq!(found_set(&search, "phot").await, [1, 2]);
    assert_eq!(found(&search, "garden phot").await, [2]);
    assert_eq!(found(&search, "phot garden").await, [2], "nothing has both words, but one has one of them");
    assert_eq!(found(&search, "phot ").await, NONE, "a finished word is not completed");
    assert_eq!(found_set(&search, "art").await, [3, 4, 5]);
}

pub(super) async fn common_words_are_not_insisted_on(search: Search) {
    put(&search, [pin(1, "lord of the rings"), pin(2, "rings"), pin(3, "the who")]).await;
    assert_eq!(found_set(&search, "the rings").await, [1, 2]);
    assert_eq!(found(&search, "the rings").await[0], 1, "they help the ranking");
    assert_eq!(found_set(&search, "the").await, [1, 3], "alone they are looked for");
}

pub(super) async fn some_words_are_better_than_nothing(search: Search) {
    put(&search, [pin(1, "purple kitten"), pin(2, "purple car"), pin(3, "tree")]).await;
    let page = page(&search, request("purple kitten submarine")).await;
    assert_eq!(numbers(&page), [1, 2]);
    assert_eq!(page.notes, ["Nothing has all of these words; these have some of them."]);
}

pub(super) async fn better_fields_saves_and_freshness_rank_higher(search: Search) {
    let filler = |number| Pin { board: "Else", ..pin(number, "something else") };
    let mut docs = vec![
        Pin { description: "oak", ..pin(1, "leaf") },
        Pin { board: "oak", ..pin(2, "leaf") },
        Pin { tags: &["oak"], ..pin(3, "leaf") },
        pin(4, "oak leaf"),
        Pin { saves: 500, ..pin(5, "birch") },
        pin(6, "birch"),
        Pin { at: NOW.plus(-900 * Timestamp::DAY), ..pin(7, "birch") },
    ];
    docs.extend((20..60).map(filler));
    put(&search, docs).await;
    assert_eq!(found(&search, "oak").await, [4, 3, 2, 1]);
    assert_eq!(found(&search, "birch").await, [5, 6, 7]);
}

pub(super) async fn the_typed_user_name_is_the_first_person(search: Search) {
    put(
        &search,
        [person(9, "anna.bell", "Anna"), person(2, "anna", "Somebody Else"), person(5, "bob", "Anna Banana"), person(6, "carl", "Carl")],
    )
    .await;
    let people = |text| SearchRequest { kind: Kind::People, ..request(text) };
    assert_eq!(numbers(&page(&search, people("anna")).await)[0], 2);
    let mut all = numbers(&page(&search, people("anna")).await);
    all.sort_unstable();
    assert_eq!(all, [2, 5, 9]);
    assert_eq!(numbers(&page(&search, people("car")).await), [6], "people are found while their names are typed");
    assert_eq!(numbers(&page(&search, people("anna ban")).await), [5]);
    assert_eq!(numbers(&page(&search, people("by:bob")).await), [5]);
}

pub(super) async fn newest_first_is_by_time(search: Search) {
    let at = |days: i64| NOW.plus(-days * Timestamp::DAY);
    put(
        &search,
        [Pin { at: at(3), saves: 900, ..pin(1, "fern") }, Pin { at: at(1), ..pin(2, "fern") }, Pin { at: at(2), ..pin(3, "fern") }],
    )
    .await;
    let newest = page(&search, SearchRequest { order: Order::Newest, ..request("fern") }).await;
    assert_eq!(numbers(&newest), [2, 3, 1]);
}

pub(super) async fn pages_follow_each_other_without_gaps_or_repeats(search: Search) {
    for part in 0..3 {
        put(&search, (0..10).map(|n| Pin { at: NOW, saves: n % 3, ..pin(part * 10 + n, "moss") })).await;
    }
    for order in [Order::Best, Order::Newest] {
        let whole = numbers(&page(&search, SearchRequest { order, limit: 100, ..request("moss") }).await);
        assert_eq!(whole.len(), 30);
        let mut paged = Vec::new();
        loop {
            let page = page(&search, SearchRequest { order, offset: paged.len(), limit: 7, ..request("moss") }).await;
            assert_eq!(page.more, paged.len() + page.hits.len() < 30);
            paged.extend(numbers(&page));
            if !page.more {
                break;
            }
        }
        assert_eq!(paged, whole, "{order:?}");
    }
    let end = page(&search, SearchRequest { offset: 30, ..request("moss") }).await;
    assert_eq!((end.hits.len(), end.more), (0, false));
}

pub(super) async fn filters_alone_are_a_search(search: Search) {
    put(
        &search,
        [Pin { saves: 3, ..pin(1, "one") }, Pin { saves: 30, ..pin(2, "two") }, Pin { owner: 2, username: "bob", ..pin(3, "three") }],
    )
    .await;
    assert_eq!(found(&search, "by:ada").await, [2, 1], "the most saved first");
    assert_eq!(found(&search, "").await, [2, 1, 3], "nothing asked for is everything");
}

pub(super) async fn odd_queries_are_answered(search: Search) {
    put(&search, [pin(1, "plain")]).await;
    let long = "x".repeat(5_000);
    let many = "plain ".repeat(400);
    let pieces = [
        "\"",
        "-",
        "OR",
        "by:",
        "before:9999-12-31",
        "\u{0}",
        "猫",
        "e\u{301}\u{301}",
        "#",
        "|",
        "ﬁ",
        "İ",
        "\u{feff}",
        "a'",
        "()",
        "site:[::1]",
    ];
    let mut texts = vec![long, many, "plain by: plain".to_owned()];
    for one in pieces {
        texts.push(one.to_owned());
        for other in pieces {
            texts.push(format!("{one}{other}"));
            texts.push(format!("plain {one} {other}"));
        }
    }
    for kind in [Kind::Pins, Kind::Boards, Kind::People] {
        for text in &texts {
            page(&search, SearchRequest { kind, viewer: Some(user(1)), ..request(text) }).await;
        }
    }
    let extremes = SearchRequest { offset: usize::MAX, limit: usize::MAX, ..request("plain") };
    assert_eq!(page(&search, extremes).await.hits, []);
    let none = SearchRequest { limit: 0, ..request("plain") };
    assert_eq!(page(&search, none).await.hits.len(), 1);
}

pub(super) async fn clearing_forgets_everything(search: Search) {
    put(&search, [pin(1, "moth")]).await;
    search.put_offset(5);
    search.put(vec![pin(2, "moth").into()]).await.expect("a put");
    search.clear().await.expect("a clearing");
    search.flush().await.expect("a flush");
    assert_eq!((found(&search, "moth").await, search.committed_offset()), (vec![], None));
    put(&search, [Doc::from(pin(3, "moth")), board(4, "moth", None)]).await;
    assert_eq!(found(&search, "moth").await, [3]);
    assert_eq!(board_id(4).id().local(), 4);
}

pub(super) async fn offsets_are_committed_with_the_changes_before_them(search: Search) {
    assert_eq!(search.committed_offset(), None);
    search.put(vec![pin(1, "wasp").into()]).await.expect("a put");
    search.put_offset(7);
    search.flush().await.expect("a flush");
    assert_eq!((found(&search, "wasp").await, search.committed_offset()), (vec![1], Some(7)));
    put(&search, [pin(2, "wasp")]).await;
    assert_eq!(search.committed_offset(), Some(7), "changes alone keep the offset");
    search.put_offset(9);
    search.flush().await.expect("a flush");
    assert_eq!(search.committed_offset(), Some(9), "an offset alone is committed too");
}
