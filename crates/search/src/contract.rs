//! What every engine must do, seen through the front: one list of tests, one line per engine to run it.

mod finding;
mod offering;
mod secrets;

use std::sync::Arc;

use model::{BoardId, Id, PinId, Shard, Timestamp, UserId, time::ManualClock};

use crate::{Doc, Faulty, Kind, Order, Page, Search, SearchRequest, TantivyEngine, Viewers};

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($module:ident :: $test:ident),* $(,)?) => {
        mod folder { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = super::TantivyEngine::open(&folder.path().join("index")).expect("an engine");
            super::$module::$test(super::front(std::sync::Arc::new(engine))).await;
        })* }
        mod memory { $(#[tokio::test] async fn $test() {
            let engine = super::TantivyEngine::in_memory().expect("an engine");
            super::$module::$test(super::front(std::sync::Arc::new(engine))).await;
        })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            let inner = std::sync::Arc::new(super::TantivyEngine::in_memory().expect("an engine"));
            super::$module::$test(super::front(std::sync::Arc::new(super::Faulty::new(inner)))).await;
        })* }
    };
}

contract!(
    finding::what_was_put_is_found_until_it_is_removed,
    finding::a_second_put_replaces,
    finding::the_last_change_of_an_id_counts,
    finding::kinds_are_apart,
    finding::every_text_of_a_pin_is_searched,
    finding::all_words_must_be_there_in_any_field,
    finding::phrases_negation_and_alternatives,
    finding::filters_narrow,
    finding::stems_accents_and_case_do_not_matter,
    finding::scripts_without_spaces_are_found_in_parts,
    finding::typos_are_forgiven_only_when_little_is_found,
    finding::the_last_word_is_completed_only_when_little_is_found,
    finding::common_words_are_not_insisted_on,
    finding::some_words_are_better_than_nothing,
    finding::better_fields_saves_and_freshness_rank_higher,
    finding::the_typed_user_name_is_the_first_person,
    finding::newest_first_is_by_time,
    finding::pages_follow_each_other_without_gaps_or_repeats,
    finding::filters_alone_are_a_search,
    finding::odd_queries_are_answered,
    finding::clearing_forgets_everything,
    finding::offsets_are_committed_with_the_changes_before_them,
    secrets::are_found_by_their_viewers_only,
    secrets::stay_hidden_when_a_public_document_becomes_secret,
    secrets::are_not_suggested,
    secrets::are_not_in_topics,
    secrets::are_not_in_guides,
    secrets::are_not_similar_to_anything,
    secrets::have_nothing_similar_for_others,
    secrets::do_not_speak_through_notes,
    secrets::do_not_change_what_others_find,
    offering::suggestions_complete_words_topics_boards_and_people,
    offering::suggestions_know_the_words_before,
    offering::suggestions_of_odd_prefixes_are_none,
    offering::topics_are_counted_exactly,
    offering::similar_pins_share_words_and_show_each_picture_once,
    offering::similar_pins_of_a_text,
    offering::guides_split_what_was_found,
);

/// No pin is found.
pub(crate) const NONE: [u64; 0] = [];
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) fn front(engine: Arc<dyn crate::Engine>) -> Search {
    Search::with_engine(engine, Arc::new(ManualClock::at(NOW)))
}

pub(crate) fn user(number: u64) -> UserId {
    UserId::new(Shard(1), number)
}

pub(crate) fn pin_id(number: u64) -> PinId {
    PinId::new(Shard(1), number)
}

pub(crate) fn board_id(number: u64) -> BoardId {
    BoardId::new(Shard(1), number)
}

/// A pin to be put: public, of user 1 ("ada"), a day old, with a picture of its own.
#[derive(Clone)]
pub(crate) struct Pin {
    pub number: u64,
    pub owner: u64,
    pub title: &'static str,
    pub description: &'static str,
    pub alt_text: &'static str,
    pub tags: &'static [&'static str],
    pub board: &'static str,
    pub username: &'static str,
    pub domain: &'static str,
    pub color: &'static str,
    pub at: Timestamp,
    pub saves: u64,
    pub secret_to: Option<&'static [u64]>,
    pub picture: Option<&'static str>,
}

pub(crate) fn pin(number: u64, title: &'static str) -> Pin {
    Pin {
        number,
        owner: 1,
        title,
        description: "",
        alt_text: "",
        tags: &[],
        board: "",
        username: "ada",
        domain: "",
        color: "",
        at: NOW.plus(-Timestamp::DAY),
        saves: 0,
        secret_to: None,
        picture: None,
    }
}

impl From<Pin> for Doc {
    fn from(pin: Pin) -> Doc {
        Doc::Pin {
            id: pin_id(pin.number),
            owner: user(pin.owner),
            title: pin.title.to_owned(),
            description: pin.description.to_owned(),
            alt_text: pin.alt_text.to_owned(),
            tags: pin.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            board_name: pin.board.to_owned(),
            owner_username: pin.username.to_owned(),
            owner_name: "Ada Lovelace".to_owned(),
            domain: pin.domain.to_owned(),
            color: pin.color.to_owned(),
            at: pin.at,
            saves: pin.saves,
            viewers: viewers(pin.secret_to),
            image_hash: pin.picture.map_or_else(|| format!("picture {}", pin.number), str::to_owned),
        }
    }
}

pub(crate) fn viewers(secret_to: Option<&[u64]>) -> Viewers {
    secret_to.map_or(Viewers::Everyone, |people| Viewers::Only(people.iter().map(|number| user(*number)).collect()))
}

pub(crate) fn board(number: u64, name: &str, secret_to: Option<&[u64]>) -> Doc {
    Doc::Board {
        id: board_id(number),
        owner: user(1),
        name: name.to_owned(),
        description: String::new(),
        owner_username: "ada".to_owned(),
        owner_name: "Ada Lovelace".to_owned(),
        pins: 3,
        at: NOW,
        viewers: viewers(secret_to),
    }
}

pub(crate) fn person(number: u64, username: &str, name: &str) -> Doc {
    Doc::User { id: user(number), username: username.to_owned(), name: name.to_owned(), about: String::new(), followers: number }
}

/// Puts documents and makes them visible.
pub(crate) async fn put(search: &Search, docs: impl IntoIterator<Item = impl Into<Doc>>) {
    search.put(docs.into_iter().map(Into::into).collect()).await.expect("a put");
    search.flush().await.expect("a flush");
}

pub(crate) fn request(text: &str) -> SearchRequest<'_> {
    SearchRequest { text, kind: Kind::Pins, viewer: None, owner: None, order: Order::Best, offset: 0, limit: 25 }
}

pub(crate) async fn page(search: &Search, request: SearchRequest<'_>) -> Page {
    search.query(request).await.expect("a page")
}

/// Returns the numbers of the pins that a query finds, best first.
pub(crate) async fn found(search: &Search, text: &str) -> Vec<u64> {
    numbers(&page(search, request(text)).await)
}

/// Like [`found`], in the order of the numbers: for tests that are not about ranking.
pub(crate) async fn found_set(search: &Search, text: &str) -> Vec<u64> {
    let mut numbers = found(search, text).await;
    numbers.sort_unstable();
    numbers
}

pub(crate) fn numbers(page: &Page) -> Vec<u64> {
    page.hits.iter().map(|hit| hit.id.local()).collect()
}

pub(crate) fn id(number: u64) -> Id {
    pin_id(number).id()
}
