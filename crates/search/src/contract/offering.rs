//! Suggestions, topics, similar pins and guides.

use crate::{Doc, Search, Seed, Suggestion, SuggestionKind};

use super::{NONE, Pin, board, board_id, id, person, pin, pin_id, put, user};

async fn suggested(search: &Search, prefix: &str) -> Vec<Suggestion> {
    search.suggest(prefix, None, 12).await.expect("suggestions")
}

fn term(text: &str) -> Suggestion {
    Suggestion { text: text.to_owned(), kind: SuggestionKind::Term }
}

pub(super) async fn suggestions_complete_words_topics_boards_and_people(search: Search) {
    put(
        &search,
        [
            Doc::from(Pin { tags: &["kitchen_design"], ..pin(1, "kitten") }),
            pin(2, "Kittens").into(),
            pin(3, "kitten").into(),
            pin(4, "kite").into(),
            board(5, "Kites & more", None),
            board(6, "Other", None),
            person(7, "kit.carson", "Christopher"),
            person(8, "sam", "Kit Harington"),
        ],
    )
    .await;
    let suggestions = suggested(&search, "Kit").await;
    let (terms, others): (Vec<_>, Vec<_>) = suggestions.into_iter().partition(|suggestion| suggestion.kind == SuggestionKind::Term);
    assert_eq!(terms, [term("kitten"), term("kitchen"), term("kite")], "most used first, one form of each word");
    assert_eq!(
        others,
        [
            Suggestion { text: "kitchen_design".to_owned(), kind: SuggestionKind::Topic },
            Suggestion { text: "Kites & more".to_owned(), kind: SuggestionKind::Board(board_id(5)) },
            Suggestion { text: "Kit Harington".to_owned(), kind: SuggestionKind::Person(user(8), "sam".to_owned()) },
            Suggestion { text: "Christopher".to_owned(), kind: SuggestionKind::Person(user(7), "kit.carson".to_owned()) },
        ]
    );
    let mine = search.suggest("kit", Some(user(8)), 12).await.expect("suggestions");
    assert!(
        mine.iter().all(|suggestion| !matches!(suggestion.kind, SuggestionKind::Person(id, _) if id == user(8))),
        "nobody is suggested to themselves"
    );
    assert_eq!(search.suggest("kit", None, 2).await.expect("suggestions").len(), 2);
}

pub(super) async fn suggestions_know_the_words_before(search: Search) {
    put(&search, [pin(1, "red car"), pin(2, "red carpet"), pin(3, "blue cart")]).await;
    assert_eq!(suggested(&search, "Red  ca").await, [term("red car"), term("red carpet")]);
    assert_eq!(suggested(&search, "green ca").await, []);
}

pub(super) async fn suggestions_of_odd_prefixes_are_none(search: Search) {
    put(&search, [pin(1, "the plain")]).await;
    for prefix in ["", "  ", "-", "#", "\"", "\u{0}", "zzz", "plain x", "the"] {
        assert_eq!(suggested(&search, prefix).await, [], "{prefix:?}");
    }
    assert_eq!(search.suggest("pl", None, 0).await.expect("suggestions"), []);
}

pub(super) async fn topics_are_counted_exactly(search: Search) {
    put(
        &search,
        [Pin { tags: &["oak", "öl"], ..pin(1, "a") }, Pin { tags: &["oak"], ..pin(2, "b") }, Pin { tags: &["oak", "ash"], ..pin(3, "c") }],
    )
    .await;
    put(&search, [Pin { tags: &["ash"], ..pin(4, "d") }]).await;
    let topics = async |limit| search.topics(limit).await.expect("topics");
    let named = |list: &[(&str, u64)]| list.iter().map(|(tag, count)| ((*tag).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(topics(10).await, named(&[("oak", 3), ("ash", 2), ("öl", 1)]));
    assert_eq!(topics(1).await, named(&[("oak", 3)]));
    search.remove(vec![id(1), id(2)]).await.expect("a removal");
    put(&search, [Pin { tags: &["oak"], ..pin(3, "c") }]).await;
    assert_eq!(topics(10).await, named(&[("ash", 1), ("oak", 1)]), "what was removed does not count");
    assert_eq!(topics(0).await, []);
}

pub(super) async fn similar_pins_share_words_and_show_each_picture_once(search: Search) {
    put(
        &search,
        [
            Pin { tags: &["pottery"], board: "Ceramics", picture: Some("same"), ..pin(1, "Blue china vase") },
            Pin { picture: Some("same"), ..pin(2, "Blue china vase") },
            Pin { tags: &["pottery"], picture: Some("other"), ..pin(3, "China vases") },
            Pin { picture: Some("other"), ..pin(4, "China vase") },
            Pin { tags: &["pottery"], ..pin(5, "Red bowl") },
            pin(6, "Racing car"),
        ],
    )
    .await;
    let similar = async |number, limit| {
        let hits = search.similar(pin_id(number), None, limit).await.expect("hits");
        hits.iter().map(|hit| hit.id.local()).collect::<Vec<_>>()
    };
    assert_eq!(similar(1, 10).await, [3, 5], "not itself, not its picture again, not the same other picture twice");
    assert_eq!(similar(1, 1).await, [3]);
    assert_eq!(similar(6, 10).await, NONE);
    assert_eq!(similar(99, 10).await, NONE);
    assert_eq!(similar(1, 0).await, NONE);
}

pub(super) async fn similar_pins_of_a_text(search: Search) {
    put(&search, [Pin { tags: &["pottery"], ..pin(1, "Bowl") }, pin(2, "Vase"), pin(3, "Car")]).await;
    let seed = |text: &str, tags: &[&str]| Seed::Text { text: text.to_owned(), tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
    let hits = search.similar(seed("a vase", &["pottery"]), None, 10).await.expect("hits");
    let mut numbers: Vec<_> = hits.iter().map(|hit| hit.id.local()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(search.similar(seed("", &[]), None, 10).await.expect("hits"), []);
}

pub(super) async fn guides_split_what_was_found(search: Search) {
    let titles = ["sofa green velvet", "green sofa", "leather sofa", "brown leather sofa", "sofa", "velvet sofa 1974", "sofas the best"];
    let mut docs: Vec<Pin> = (1_u64..).zip(titles).map(|(number, title)| Pin { board: "Living room", ..pin(number, title) }).collect();
    docs.push(Pin { board: "Living room", ..pin(20, "green armchair") });
    put(&search, docs).await;
    let guides = search.guides("Sofa", 3).await.expect("guides");
    let mut words: Vec<_> = guides.iter().map(|guide| guide.word.as_str()).collect();
    words.sort_unstable();
    assert_eq!(words, ["green", "leather", "velvet"], "not what all have, not what one has, not what was asked");
    assert!(guides.iter().all(|guide| guide.query == format!("sofa {}", guide.word)));
    assert_eq!(search.guides("armchair", 3).await.expect("guides"), [], "one hit needs no guide");
    assert_eq!(search.guides("", 3).await.expect("guides"), []);
}
