//! What others must not see shows nowhere: every page, every list, every count, the API. One word stands in everything hidden; no
//! answer to others may hold it, nor the ids.
//!
//! Bytes of pictures are the one exception, by design: `/media/<hash>/…` answers whoever has the 256 bits of the hash, which stand in
//! no list that others can read.

use app::Viewer;
use app::boards::BoardEdit;
use app::hydrate::PageRequest;
use app::pins::{PinEdit, PinText};
use app::takedowns::NewTakedown;
use feeds::Target;
use model::legal::TakedownReason;
use model::object::Privacy;
use model::{Assoc, BoardId, Id, Pin, PinId};

use crate::site::{Answered, Browser, PASSWORD, Person, Site, at};

const WORD: &str = "zanzibarite";
/// Its beginning, for suggestions and misspellings: the site may echo it, but must not complete it.
const PART: &str = "zanzibari";

struct Scene {
    site: Site,
    ada: Person,
    bob: Person,
    /// Bob's public pin, which Ada saved to the hidden board.
    bobs_pin: PinId,
    /// Ada's public pin, which stays.
    open_pin: PinId,
    open_board: BoardId,
    board: BoardId,
    /// Pins on the board: made there, moved there, saved there.
    pins: Vec<PinId>,
}

fn words(title: &str) -> PinText {
    PinText { title: format!("{title} common"), description: format!("A {title} thing #{title} #common"), ..PinText::default() }
}

/// Makes the people and a board full of the word. Bob follows Ada and, if it is public, the board and the topic.
async fn scene(privacy: Privacy) -> Scene {
    let site = Site::start().await;
    // The first account is the admin, and is none of these two.
    site.person("root-admin").await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let bobs_board = site.board(&bob, "Finds", Privacy::Public).await;
    let bobs_pin = site.pin_text(&bob, bobs_board, words("plain")).await;
    let open_board = site.board(&ada, "Open", Privacy::Public).await;
    let open_pin = site.pin_text(&ada, open_board, words("plain")).await;
    let board = site.board(&ada, &format!("The {WORD} vault"), privacy).await;
    let eyes = site.eyes(&ada).await;
    let made = site.pin_text(&ada, board, words(WORD)).await;
    let moved = site.pin_text(&ada, open_board, words(WORD)).await;
    site.settle().await;
    site.app.edit_pin(&eyes, moved, PinEdit { place: Some(at(board)), ..PinEdit::default() }).await.unwrap();
    let saved = site.app.save_pin(&eyes, bobs_pin, at(board)).await.unwrap().id();
    let title = Some(format!("{WORD} common saved"));
    site.app.edit_pin(&eyes, saved, PinEdit { title, ..PinEdit::default() }).await.unwrap();
    site.app.create_section(&eyes, board, &format!("{WORD} section")).await.unwrap();
    site.app.like_pin(&eyes, made, true).await.unwrap();
    site.app.add_comment(&eyes, made, &format!("{WORD} for @bob"), None).await.unwrap();
    let bobs_eyes = site.eyes(&bob).await;
    site.app.follow(&bobs_eyes, Target::User(ada.id)).await.unwrap();
    if privacy == Privacy::Public {
        site.app.follow(&bobs_eyes, Target::Board(board)).await.unwrap();
        site.app.like_pin(&bobs_eyes, made, true).await.unwrap();
        site.app.add_comment(&bobs_eyes, moved, &format!("How {WORD}!"), None).await.unwrap();
    }
    site.settle().await;
    Scene { site, ada, bob, bobs_pin, open_pin, open_board, board, pins: vec![made, moved, saved] }
}

/// Where others look. The flag says that the address itself holds the word, which the page then repeats.
fn pages(scene: &Scene) -> Vec<(String, bool)> {
    let plain = [
        "/",
        "/ada",
        "/ada/boards",
        "/ada/pins",
        "/ada/likes",
        "/ada/followers",
        "/ada/following",
        "/bob",
        "/bob/likes",
        "/bob/following",
        "/explore",
        "/explore/popular",
        "/explore/topics",
        "/topic/common",
        "/notifications",
        "/search",
        "/search?q=common",
        "/search?q=plain",
        "/search?q=vault&kind=boards",
        "/search?q=ada&kind=people",
        "/search?q=thing",
        "/trash",
        "/robots.txt",
        "/ada/open",
        "/bob/finds",
        "/settings/blocked",
    ];
    let mut pages: Vec<(String, bool)> = plain.into_iter().map(|path| (path.to_owned(), false)).collect();
    for pin in [scene.open_pin, scene.bobs_pin] {
        pages.push((format!("/pin/{pin}"), false));
        pages.push((format!("/pin/{pin}/comments"), false));
    }
    for part in ["z", "zanz", PART] {
        pages.push((format!("/search/suggest?q={part}"), false));
        pages.push((format!("/search?q={part}"), false));
        pages.push((format!("/search?q={part}&kind=boards"), false));
    }
    pages.push((format!("/search?q={WORD}"), true));
    pages.push((format!("/search?q={WORD}&kind=boards"), true));
    pages.push((format!("/search?q={WORD}&kind=people"), true));
    pages
}

fn calls(scene: &Scene) -> Vec<(String, bool)> {
    let (open, open_board) = (scene.open_pin, scene.open_board);
    let mut calls: Vec<(String, bool)> = [
        "/v5/boards",
        "/v5/pins",
        "/v5/home/feed",
        "/v5/home/feed?order=best",
        "/v5/notifications/inbox",
        "/v5/user_account/following/boards",
        "/v5/user_account/following",
        "/v5/search/all/pins?query=common",
        "/v5/search/all/boards?query=vault",
        "/v5/search/all/users?query=ada",
        "/v5/search/pins?query=common",
        "/v5/search/boards?query=vault",
        "/v5/terms/suggested?term=zanz",
        "/v5/terms/related?terms=common",
        "/v5/users/ada/interests/follow",
    ]
    .into_iter()
    .map(|path| (path.to_owned(), false))
    .collect();
    for path in [format!("/v5/pins/{open}"), format!("/v5/pins/{open}/related"), format!("/v5/boards/{open_board}/pins")] {
        calls.push((path, false));
    }
    calls.push((format!("/v5/search/all/pins?query={WORD}"), true));
    calls.push((format!("/v5/search/all/boards?query={WORD}"), true));
    calls
}

/// Looks everywhere and names all that leaks at once.
fn leaks(browser: &mut Browser, who: &str, paths: &[(String, bool)], hidden: &[Id], shown_at: &[&str]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (path, echoes) in paths.iter().filter(|(path, _)| !shown_at.contains(&path.as_str())) {
        let answer = browser.get(path);
        let text = answer.text();
        if answer.status >= 500 {
            leaks.push(format!("{who} {path}: status {}", answer.status));
        }
        for id in hidden.iter().filter(|id| text.contains(&id.to_string())) {
            leaks.push(format!("{who} {path}: the id {id} ({:?})", id.kind()));
        }
        if !echoes && text.to_lowercase().contains(WORD) {
            let at = text.to_lowercase().find(WORD).unwrap();
            let around: String = text[text.floor_char_boundary(at.saturating_sub(60))..].chars().take(140).collect();
            leaks.push(format!("{who} {path}: the word, in …{around}…"));
        }
    }
    leaks
}

/// Fails on any trace of the hidden things for strangers, for nobody, and through the API.
async fn assert_nowhere(scene: &Scene, hidden: &[Id], shown_at: &[&str]) {
    let (pages, calls) = (pages(scene), calls(scene));
    let mut found = leaks(&mut scene.site.anonymous(), "nobody", &pages, hidden, shown_at);
    found.extend(leaks(&mut scene.site.browser(&scene.bob), "bob", &pages, hidden, shown_at));
    found.extend(leaks(&mut scene.site.api(&scene.bob).await, "bob's token", &calls, hidden, shown_at));
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
}

async fn assert_addresses(scene: &Scene, board: Option<u16>, pins: u16) {
    let mut api = scene.site.api(&scene.bob).await;
    for (who, mut browser) in [("nobody", scene.site.anonymous()), ("bob", scene.site.browser(&scene.bob))] {
        for pin in &scene.pins {
            assert_eq!(browser.get(&format!("/pin/{pin}")).status, pins, "{who} /pin/{pin}");
        }
        if let Some(board) = board {
            let path = format!("/ada/the-{WORD}-vault");
            assert_eq!(browser.get(&path).status, board, "{who} {path}");
            let section = browser.get(&format!("{path}/{WORD}-section")).status;
            assert!(board == 200 || section == 404, "{who}: the section answers {section}");
        }
    }
    for pin in &scene.pins {
        assert_eq!(api.get(&format!("/v5/pins/{pin}")).status, pins, "API pin {pin}");
        assert_eq!(api.get(&format!("/v5/pins/{pin}/comments")).status, pins, "API comments of {pin}");
    }
    if let Some(board) = board {
        for path in ["", "/pins", "/sections"] {
            assert_eq!(api.get(&format!("/v5/boards/{}{path}", scene.board)).status, board, "API board{path}");
        }
    }
}

/// The counts that others read cover nothing hidden.
async fn assert_counts(scene: &Scene) {
    for viewer in [Viewer::anonymous(), scene.site.eyes(&scene.bob).await] {
        let profile = scene.site.app.profile(&viewer, scene.ada.id).await.unwrap();
        assert_eq!((profile.board_count, profile.pin_count), (1, 1), "of Ada's profile");
    }
    assert_eq!(scene.site.app.storage.count(Assoc::PinHasSaves, scene.bobs_pin.id()).await.unwrap(), 0, "saves of Bob's pin");
    let unread = scene.site.app.unread_notifications(&scene.site.eyes(&scene.bob).await).await.unwrap();
    let shown = scene.site.app.notifications(&scene.site.eyes(&scene.bob).await, &PageRequest::first(50)).await.unwrap();
    assert!(shown.items.is_empty(), "{:?}", shown.items);
    assert_eq!(unread, 0, "unread notifications are counted that can't be shown");
}

fn everything(scene: &Scene) -> Vec<Id> {
    scene.pins.iter().map(|pin| pin.id()).chain([scene.board.id()]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_board_shows_nowhere() {
    let scene = scene(Privacy::Secret).await;
    // Before anything is looked at: looking reads notifications.
    assert_counts(&scene).await;
    assert_nowhere(&scene, &everything(&scene), &[]).await;
    assert_addresses(&scene, Some(404), 404).await;
    let mut ada = scene.site.browser(&scene.ada);
    assert!(ada.get("/ada").text().contains(WORD) && ada.get(&format!("/search?q={PART}*")).status == 200, "Ada has it");
    let found = scene.site.app.search_pins(&scene.site.eyes(&scene.ada).await, WORD, Default::default(), &PageRequest::first(9)).await;
    assert_eq!(found.unwrap().page.items.len(), 3, "Ada finds her own");
    // Bytes by their hash alone; see the head of this file.
    let hash = scene.site.app.storage.get::<Pin>(scene.pins[0]).await.unwrap().unwrap().data.picture.hash;
    assert_eq!(scene.site.anonymous().get(&format!("/media/{hash}/600x.jpg")).status, 200);
    for path in ["/sitemap.xml", "/feed", "/rss", "/ada/feed.rss", "/ada.rss"] {
        assert_eq!(scene.site.anonymous().get(path).status, 404, "{path}");
    }
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_board_that_turns_secret_vanishes() {
    let scene = scene(Privacy::Public).await;
    let (pages, hidden) = (pages(&scene), everything(&scene));
    let before = leaks(&mut scene.site.browser(&scene.bob), "bob", &pages, &hidden, &[]);
    assert!(before.len() > 10, "it was public, and seen: {before:?}");
    let edit = BoardEdit { privacy: Some(Privacy::Secret), ..BoardEdit::default() };
    scene.site.app.edit_board(&scene.site.eyes(&scene.ada).await, scene.board, edit).await.unwrap();
    assert_addresses(&scene, Some(404), 404).await;
    assert_eq!(scene.site.home(&scene.bob).await, [scene.open_pin], "at once, before any job ran");
    scene.site.settle().await;
    assert_nowhere(&scene, &hidden, &[]).await;
    assert_eq!(scene.site.app.storage.count(Assoc::PinHasSaves, scene.bobs_pin.id()).await.unwrap(), 0);
    // And back again.
    let edit = BoardEdit { privacy: Some(Privacy::Public), ..BoardEdit::default() };
    scene.site.app.edit_board(&scene.site.eyes(&scene.ada).await, scene.board, edit).await.unwrap();
    scene.site.settle().await;
    assert_addresses(&scene, Some(200), 200).await;
    assert_eq!(scene.site.home(&scene.bob).await.len(), 4);
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_board_opens_by_its_address_alone() {
    let scene = scene(Privacy::Protected).await;
    // Whoever may open the pin may read what was said to them on it.
    assert_nowhere(&scene, &everything(&scene), &["/notifications", "/v5/notifications/inbox"]).await;
    assert_addresses(&scene, Some(200), 200).await;
    let profile = scene.site.app.profile(&scene.site.eyes(&scene.bob).await, scene.ada.id).await.unwrap();
    assert_eq!((profile.board_count, profile.pin_count), (1, 1));
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_board_leaves_feeds_explore_and_search() {
    let scene = scene(Privacy::Public).await;
    let edit = BoardEdit { archived: Some(true), ..BoardEdit::default() };
    scene.site.app.edit_board(&scene.site.eyes(&scene.ada).await, scene.board, edit).await.unwrap();
    assert_eq!(scene.site.home(&scene.bob).await, [scene.open_pin]);
    scene.site.settle().await;
    // It is put away, not hidden: whoever liked, commented or followed still finds it there, and on Ada's own pages.
    let kept = [
        "/ada/pins",
        "/ada/likes",
        "/bob/likes",
        "/bob/following",
        "/notifications",
        "/v5/notifications/inbox",
        "/v5/user_account/following/boards",
    ];
    assert_nowhere(&scene, &everything(&scene), &kept).await;
    assert_addresses(&scene, Some(200), 200).await;
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_that_were_taken_down_show_nowhere() {
    let scene = scene(Privacy::Public).await;
    let admin = scene.site.app.user_named(&Viewer::anonymous(), "root-admin").await.unwrap();
    for pin in &scene.pins {
        let new = NewTakedown::new(pin.id(), TakedownReason::Rules);
        scene.site.app.take_down(&Viewer::signed_in(admin.clone()), new).await.unwrap();
    }
    assert_addresses(&scene, None, 404).await;
    scene.site.settle().await;
    // The board stands, with its name; its pins are gone.
    let pins: Vec<Id> = scene.pins.iter().map(|pin| pin.id()).collect();
    let paths: Vec<_> = pages(&scene).into_iter().chain([(format!("/ada/the-{WORD}-vault"), true)]).map(|(path, _)| (path, true)).collect();
    let found = leaks(&mut scene.site.browser(&scene.bob), "bob", &paths, &pins, &[]);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(scene.site.app.storage.count(Assoc::PinHasSaves, scene.bobs_pin.id()).await.unwrap(), 0, "a save taken down counts no more");
    assert_eq!(scene.site.app.pin_count(scene.board.id()).await.unwrap(), 0, "no count has them");
    let mut ada = scene.site.browser(&scene.ada);
    assert_eq!(ada.get(&format!("/pin/{}", scene.pins[0])).status, 200, "its owner sees that it was taken down");
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_person_is_gone_with_everything() {
    let scene = scene(Privacy::Public).await;
    let admin = scene.site.app.user_named(&Viewer::anonymous(), "root-admin").await.unwrap();
    let mut ada = scene.site.browser(&scene.ada);
    scene.site.app.suspend(&Viewer::signed_in(admin.clone()), scene.ada.id, true).await.unwrap();
    assert_addresses(&scene, Some(404), 404).await;
    assert_eq!(ada.get("/settings").status, 303, "her sessions are over");
    assert_eq!(ada.post("/login", &[("login", "ada"), ("password", PASSWORD)]).cookies_set(), 0);
    scene.site.settle().await;
    let hidden: Vec<Id> = everything(&scene).into_iter().chain([scene.open_pin.id(), scene.open_board.id()]).collect();
    assert_nowhere(&scene, &hidden, &[&format!("/pin/{}", scene.open_pin), &format!("/pin/{}/comments", scene.open_pin)]).await;
    for path in ["/ada", "/ada/open", "/ada/pins"] {
        assert_eq!(scene.site.anonymous().get(path).status, 404, "{path}");
    }
    scene.site.app.suspend(&Viewer::signed_in(admin), scene.ada.id, false).await.unwrap();
    scene.site.settle().await;
    assert_addresses(&scene, Some(200), 200).await;
    let found = scene.site.app.search_pins(&Viewer::anonymous(), WORD, Default::default(), &PageRequest::first(9)).await.unwrap();
    assert_eq!(found.page.items.len(), 3, "reinstated, everything is found again");
    scene.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trashed_pins_show_nowhere() {
    let scene = scene(Privacy::Public).await;
    let eyes = scene.site.eyes(&scene.ada).await;
    for pin in &scene.pins {
        scene.site.app.trash_pin(&eyes, *pin).await.unwrap();
    }
    assert_addresses(&scene, None, 404).await;
    scene.site.settle().await;
    let pins: Vec<Id> = scene.pins.iter().map(|pin| pin.id()).collect();
    let paths: Vec<_> = pages(&scene).into_iter().chain([(format!("/ada/the-{WORD}-vault"), true)]).map(|(path, _)| (path, true)).collect();
    let found = leaks(&mut scene.site.browser(&scene.bob), "bob", &paths, &pins, &[]);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let profile = scene.site.app.profile(&Viewer::anonymous(), scene.ada.id).await.unwrap();
    assert_eq!(profile.pin_count, 1);
    scene.site.finish().await;
}
