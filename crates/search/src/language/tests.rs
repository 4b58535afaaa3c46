use proptest::prelude::*;

use super::*;

/// Checks what a text means, written in the canonical form.
fn check(text: &str, meaning: &str) {
    let query = Query::parse(text);
    assert_eq!(query.to_string(), meaning, "of {text:?}");
    assert_eq!(query.notes, Vec::<String>::new(), "of {text:?}");
}

fn check_noted(text: &str, meaning: &str, note: &str) {
    let query = Query::parse(text);
    assert_eq!((query.to_string().as_str(), query.notes), (meaning, vec![note.to_owned()]), "of {text:?}");
}

#[test]
fn words_and_phrases() {
    check("  Red   Kittens! ", "red kittens");
    check("\"Still Life\" oil", "\"Still Life\" oil");
    check("“still life” „öl“", "\"still life\" \"öl\"");
    check("\"not closed", "\"not closed\"");
    check("\"\" \" \" ... - -- ()", "");
    check("café-noir 3:15 http://example.org/a", "café-noir 3:15 http://example.org/a");
    check("a\"b c\"d", "a \"b c\" d");
    check("🔥 猫の絵", "🔥 猫の絵");
}

#[test]
fn negation_and_alternatives() {
    check("cats -dogs -\"wild life\" -#pets", "cats -dogs -\"wild life\" -#pets");
    check("cats OR dogs fish", "cats OR dogs fish");
    check("cats|dogs | -fish", "cats OR dogs OR -fish");
    check("OR cats OR", "cats");
    check("cats OR OR dogs", "cats OR dogs");
    check("cats AND dogs or fish", "cats dogs or fish");
    check("well-known - cats", "well-known cats");
    check("(cats OR -dogs)", "cats OR -dogs");
}

#[test]
fn filters() {
    check("by:Ada kittens", "by:ada kittens");
    check("By:\"ada\" (by:@bob)", "by:ada by:bob");
    check("board:\"Still Life\" board:oil", "board:\"Still Life\" board:\"oil\"");
    check("site:https://www.Example.org/page?x site:shop.example.org", "site:example.org site:shop.example.org");
    check("#StillLife #still-life tag:still-life tag:\"Still Life\" #1", "#stilllife #still_life #still_life #still_life 1");
    check("color:Grey colour:#1e90ff -color:red", "color:gray color:blue -color:red");
    check("before:2024 after:2023-02 since:2023-02-28", "before:2024-01-01 after:2023-02-01 after:2023-02-28");
    check("unknown:thing re:zero", "unknown:thing re:zero");
}

#[test]
fn what_is_not_understood_is_said() {
    check_noted(
        "cats before:soon",
        "cats",
        "\"soon\" was not understood and is left out; it should look like before:2024 or before:2024-12-31.",
    );
    check_noted("by: cats", "cats", "\"\" was not understood and is left out; it should look like by:ada.");
    check_noted(
        "after:2023-02-29",
        "",
        "\"2023-02-29\" was not understood and is left out; it should look like after:2024 or after:2024-12-31.",
    );
    check_noted("color:loud", "", "\"loud\" was not understood and is left out; it should look like color:teal or color:#1e90ff.");
    check_noted(&"a ".repeat(33), &["a"; 32].join(" "), "Only the first 32 words and filters were read.");
    check_noted(&"ü".repeat(501), &"ü".repeat(500), "Only the first 500 characters were read.");
}

#[test]
fn only_a_last_bare_word_is_open() {
    for (text, is_open) in
        [("red ki", true), ("red ki ", false), ("\"ki", false), ("red by:ki", false), ("ki\"", false), ("ki!", false), ("", false)]
    {
        assert_eq!(Query::parse(text).is_open, is_open, "{text:?}");
    }
}

/// Texts that look like queries more often than chance makes them.
fn query_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zäé]{1,6}",
        Just(" ".to_owned()),
        Just("-".to_owned()),
        Just("\"".to_owned()),
        Just("#".to_owned()),
        Just(" OR ".to_owned()),
        Just("|".to_owned()),
        prop::sample::select(vec![
            "by:",
            "board:",
            "site:",
            "tag:",
            "color:",
            "before:",
            "after:",
            "2024-02-29",
            "red",
            "example.org",
            "猫",
            "🔥"
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_query(text: String) {
        let query = Query::parse(&text);
        prop_assert!(query.clauses.iter().all(|clause| !clause.any.is_empty()));
        prop_assert!(query.clauses.iter().map(|clause| clause.any.len()).sum::<usize>() <= QUERY_ATOMS_MAX);
    }

    #[test]
    fn a_query_written_out_means_the_same(text in query_like()) {
        let query = Query::parse(&text);
        let again = Query::parse(&query.to_string());
        prop_assert_eq!(&again.clauses, &query.clauses, "{:?} was written as {:?}", text, query.to_string());
        prop_assert_eq!(again.notes, Vec::<String>::new());
    }
}
