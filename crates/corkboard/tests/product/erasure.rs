//! Erasure: after it nothing tells of the person but ids, in any file of the site, and the audit log is whole.

use std::path::{Path, PathBuf};

use app::accounts::{Device, NewUser};
use app::boards::{BoardEdit, NewBoard};
use app::hydrate::PageRequest;
use app::pins::{NewPin, PinText};
use app::profiles::ProfileEdit;
use app::search::Scope;
use app::takedowns::NewTakedown;
use app::{Error, Viewer};
use feeds::Target;
use model::legal::{TakedownReason, TakedownState};
use model::object::{Privacy, ReportReason, Role};
use model::{Assoc, LegalHoldId, NameKind, User};

use crate::site::{PASSWORD, Person, Site, at, text};

/// Stands in everything that the person writes and is called, and nowhere else.
const MARK: &str = "mrk7f3a";

/// Files that hold the mark, in whatever case, with the bytes around it. `search/` is looked through by searching: an index keeps the
/// words of deleted documents until it merges them away.
fn marked(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "search") {
                found.extend(marked(&path));
            }
            continue;
        }
        // Write-ahead logs vanish when the last connection is gone.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some(at) = text.find(MARK) {
            let around: String = text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
            found.push((path, around + &text[at..].chars().take(80).collect::<String>()));
        }
    }
    found
}

/// Makes a person with the mark in every field.
async fn marked_person(site: &Site) -> Person {
    let new = NewUser {
        username: format!("{MARK}-user"),
        email: format!("{MARK}@example.org"),
        password: PASSWORD.into(),
        name: format!("{MARK} Name"),
        ..NewUser::default()
    };
    let ada = Person { id: site.app.sign_up(&Viewer::anonymous(), new).await.unwrap(), name: format!("{MARK}-user") };
    let edit = ProfileEdit {
        about: Some(format!("About {MARK}")),
        website: Some(format!("https://{MARK}.example.org/")),
        ..ProfileEdit::default()
    };
    site.app.edit_profile(&site.eyes(&ada).await, edit).await.unwrap();
    site.app.set_profile_picture(&site.eyes(&ada).await, Some(site.new_picture())).await.unwrap();
    site.app.change_email(&site.eyes(&ada).await, PASSWORD, &format!("{MARK}-new@example.org")).await.unwrap();
    site.app.ask_password_reset(&Viewer::anonymous(), &format!("{MARK}-new@example.org")).await.unwrap();
    ada
}

fn marked_text(title: &str) -> PinText {
    PinText {
        title: format!("{title} {MARK}"),
        description: format!("Of {MARK} #{MARK}tag"),
        alt_text: format!("Shows {MARK}"),
        link: format!("https://{MARK}.example.org/page"),
    }
}

/// Uses every feature as her, with the mark in every text, against what Bob has.
async fn live(site: &Site, root: &Person, ada: &Person, bob: &Person) {
    let (adas, bobs, admins) = (site.eyes(ada).await, site.eyes(bob).await, site.eyes(root).await);
    let new = |name: &str, privacy| NewBoard { name: format!("{name} {MARK}"), description: format!("Of {MARK}"), privacy };
    let board = site.app.create_board(&adas, new("Open", Privacy::Public)).await.unwrap().id();
    let secret = site.app.create_board(&adas, new("Secret", Privacy::Secret)).await.unwrap().id();
    let deleted = site.app.create_board(&adas, new("Deleted", Privacy::Public)).await.unwrap().id();
    let together = site.board(bob, "Together", Privacy::Public).await;
    let section = site.app.create_section(&adas, board, &format!("Part {MARK}")).await.unwrap();
    let pin = site.pin_text(ada, board, marked_text("One")).await;
    site.pin_text(ada, secret, marked_text("Two")).await;
    site.pin_text(ada, deleted, marked_text("Three")).await;
    let trashed = site.pin_text(ada, board, marked_text("Four")).await;
    let neutral = site.pin(ada, board, "Plain").await;
    let picture = site.app.store_picture(site.new_picture()).await.unwrap();
    let keyed = NewPin {
        source_key: Some(format!("{MARK}-key")),
        keywords: vec![format!("{MARK}word")],
        ..NewPin::new(at(board), marked_text("Five"), picture)
    };
    site.app.create_pin(&adas, keyed).await.unwrap();
    site.app.trash_pin(&adas, trashed).await.unwrap();
    site.app.delete_section(&adas, section.id.try_into().unwrap()).await.unwrap();
    site.app.delete_board(&adas, deleted).await.unwrap();
    let renamed = BoardEdit { name: Some(format!("Renamed {MARK}")), ..BoardEdit::default() };
    site.app.edit_board(&adas, board, renamed).await.unwrap();
    let edit = app::pins::PinEdit { description: Some(format!("No tags, {MARK}")), ..app::pins::PinEdit::default() };
    site.app.edit_pin(&adas, pin, edit).await.unwrap();
    let bobs_pin = site.pin(bob, together, "Bob's").await;
    site.app.save_pin(&adas, bobs_pin, at(board)).await.unwrap();
    let saved = site.app.save_pin(&bobs, neutral, at(together)).await.unwrap();
    site.app.invite(&bobs, together, ada.id, Role::Add).await.unwrap();
    site.app.accept_invitation(&adas, together).await.unwrap();
    site.app.invite(&adas, board, bob.id, Role::Add).await.unwrap();
    site.app.accept_invitation(&bobs, board).await.unwrap();
    // Bob's own pin on her board, which must survive it.
    site.app.pin_upload(&bobs, at(board), text("Guest"), site.new_picture()).await.unwrap();
    let comment = site.app.add_comment(&adas, bobs_pin, &format!("Nice, {MARK}"), None).await.unwrap();
    site.app.add_comment(&bobs, bobs_pin, "Thanks", Some(comment)).await.unwrap();
    let gone = site.app.add_comment(&adas, bobs_pin, &format!("Deleted {MARK}"), None).await.unwrap();
    site.app.delete_comment(&adas, gone).await.unwrap();
    site.app.add_comment(&bobs, pin, "On hers", None).await.unwrap();
    for viewer in [&adas, &bobs] {
        site.app.like_pin(viewer, bobs_pin, true).await.unwrap();
        site.app.like_pin(viewer, pin, true).await.unwrap();
        site.app.like_comment(viewer, comment, true).await.unwrap();
    }
    site.app.like_pin(&adas, saved.id(), true).await.unwrap();
    site.app.follow(&adas, Target::User(bob.id)).await.unwrap();
    site.app.follow(&bobs, Target::User(ada.id)).await.unwrap();
    site.app.follow(&bobs, Target::Board(board)).await.unwrap();
    site.app.report(&adas, bobs_pin.id(), ReportReason::Spam, &format!("Says {MARK}")).await.unwrap();
    site.app.report(&bobs, pin.id(), ReportReason::Copyright, &format!("Stolen by {MARK}")).await.unwrap();
    site.app.report(&bobs, ada.id.id(), ReportReason::Other, &format!("Who is {MARK}?")).await.unwrap();
    let device = Device { user_agent: format!("{MARK} browser"), address: "192.0.2.7".into() };
    site.app.sign_in(&Viewer::anonymous(), &ada.name, PASSWORD, device).await.unwrap();
    let scopes = model::object::Scope::ALL.into_iter().collect();
    site.app.create_token(&adas, ada.id, &format!("Token {MARK}"), scopes).await.unwrap();
    site.app.set_password(ada.id, PASSWORD, None).await.unwrap();
    site.settle().await;
    assert_eq!(site.browser(ada).get(&format!("/search?q={MARK}")).status, 200);
    assert_eq!(site.anonymous().get(&format!("/search?q={}", ada.name)).status, 200);
    let taken = NewTakedown { note: format!("Of {MARK}"), ..NewTakedown::new(pin.id(), TakedownReason::Copyright) };
    let taken = site.app.take_down(&admins, taken).await.unwrap();
    site.app.appeal(&site.eyes(ada).await, taken, &format!("I am {MARK}")).await.unwrap();
    site.app.decide_takedown(&admins, taken, TakedownState::Upheld, &format!("No, {MARK}")).await.unwrap();
    let rude = NewTakedown { note: format!("Rude, {MARK}"), ..NewTakedown::new(comment.id(), TakedownReason::Rules) };
    site.app.take_down(&admins, rude).await.unwrap();
    site.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_tells_of_who_was_erased() {
    let site = Site::start().await;
    let (root, bob) = (site.person("root-admin").await, site.person("bob").await);
    let ada = marked_person(&site).await;
    live(&site, &root, &ada, &bob).await;
    // Looked for in a copy that another process makes: reading a file that SQLite has open here would end its locks.
    let copy = tempfile::tempdir().unwrap();
    std::process::Command::new("cp").arg("-r").arg(site.folder()).arg(copy.path()).output().unwrap();
    let found = marked(copy.path());
    assert!(found.len() >= 4, "the mark is in store, log, jobs and mails, but was found in {found:#?}");

    // A hold forbids it, by the page's act and by the command.
    let (placed, hold) = site.command(&["legal", "hold", &ada.name, "--reason", &format!("Case of {MARK}"), "--reference", "12 C 34/26"]);
    assert!(placed, "{hold}");
    let hold: LegalHoldId = hold.trim().parse().unwrap();
    let erase = ["legal", "erase", ada.name.as_str(), "--reason", "Request of 3 May"];
    let (erased, why) = site.command(&erase);
    assert!(!erased && why.contains("12 C 34/26") && why.contains(&format!("corkboard legal release {hold}")), "{why}");
    let (listed, list) = site.command(&["legal", "list", "--json"]);
    assert!(listed && list.contains("12 C 34/26") && list.contains("\"purges_waiting\":0"), "{list}");
    let (released, why) = site.command(&["legal", "release", &hold.to_string(), "--reason", &format!("{MARK} won"), "--by", "root-admin"]);
    assert!(released, "{why}");
    let named = site.app.erase(&Viewer::operator(), ada.id, &format!("{MARK} Name asks for it")).await.unwrap_err();
    assert!(named.to_string().contains("for ever"), "{named}");
    assert!(matches!(site.app.erase(&site.eyes(&bob).await, ada.id, "x").await, Err(Error::Forbidden(_))));
    assert!(matches!(site.app.erase(&site.eyes(&root).await, root.id, "x").await, Err(Error::Invalid(_))));
    let (erased, why) = site.command(&erase);
    assert!(erased, "{why}");
    // The server notices another process's writes a moment later.
    site.until("her page to be gone", || async { site.anonymous().get(&format!("/{}", ada.name)).status == 404 }).await;
    site.until("the person to be gone", || async { site.app.storage.get::<User>(ada.id).await.unwrap().is_none() }).await;
    site.settle().await;

    // Asked of the index itself: what somebody looks for on the page is noted.
    let (bobs, first) = (site.eyes(&bob).await, PageRequest::first(10));
    assert_eq!(site.app.search_pins(&bobs, MARK, Scope::Everything, &first).await.unwrap().page.items.len(), 0);
    assert_eq!(site.app.search_boards(&bobs, MARK, Scope::Everything, &first).await.unwrap().page.items.len(), 0);
    assert_eq!(site.app.search_people(&bobs, MARK, &first).await.unwrap().page.items.len(), 0);
    assert_eq!(site.app.suggest(&bobs, MARK, 10).await.unwrap(), []);
    for mail in site.mails() {
        assert!(!mail.lines().any(|line| line.starts_with("To:") && line.contains(MARK)), "a mail to her is left: {mail}");
    }
    for assoc in Assoc::ALL.iter().filter(|assoc| assoc.ends().0 == model::Kind::User) {
        assert_eq!(site.edges(*assoc, ada.id).await, [], "{assoc:?}");
    }
    let told = site.app.storage.scan::<model::Notification>(None, 500).await.unwrap();
    assert!(told.iter().all(|row| row.data.actor != ada.id && row.data.user != ada.id), "a notification about her");
    assert!(site.app.name(NameKind::Tag, &format!("{MARK}tag")).await.unwrap().is_none(), "a topic that only she used");
    // What is Bob's stays: his save, and what he had pinned on her board.
    assert_eq!(site.edges(Assoc::UserHasPins, bob.id).await.len(), 2);
    assert_eq!(site.edges(Assoc::UserTrashesPins, bob.id).await.len(), 1);

    // The records stay, with ids only, and the audit log is whole.
    let takedowns = site.edges(Assoc::SiteHasTakedowns, app::admin::site_id()).await;
    assert_eq!(takedowns.len(), 2);
    let log = site.app.storage.audit_log(ada.id.shard(), 0, 100).await.unwrap();
    let erased = log.iter().find(|entry| entry.act == "user_erased").expect("an entry");
    assert_eq!((erased.actor, erased.data["reason"].as_str()), (None, Some("Request of 3 May")));
    assert!(log.iter().any(|entry| entry.act == "legal_hold_released" && entry.actor == Some(root.id)));
    for number in 0..model::id::SHARD_COUNT {
        site.app.storage.audit_verify(model::Shard(number)).await.unwrap();
    }
    let folder = site.finish_and_keep().await;
    let others_mail = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("mail"));
    let left: Vec<_> = marked(folder.path()).into_iter().filter(|(path, _)| !others_mail(path)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_verified_and_its_ends_are_kept_elsewhere() {
    let site = Site::start().await;
    let root = site.person("root-admin").await;
    for number in 0..5 {
        let person = site.person(&format!("person-{number}")).await;
        site.app.suspend(&site.eyes(&root).await, person.id, true).await.unwrap();
        site.app.suspend(&site.eyes(&root).await, person.id, false).await.unwrap();
    }
    let (whole, said) = site.command(&["legal", "audit", "verify", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(whole && said["sound"] == true && said["entries"] == 10 && said["shards"] == 4096, "{said}");
    let (exported, lines) = site.command(&["legal", "audit", "export"]);
    assert!(exported && lines.lines().count() == 10 && lines.contains("\"user_suspended\""), "{lines}");
    assert_eq!(site.command(&["legal", "audit", "export", "--since", "2999-01-01"]), (true, String::new()));
    let (refused, why) = site.command(&["legal", "audit", "export", "--since", "yesterday"]);
    assert!(!refused && why.contains("2026-03-01"), "{why}");
    let (printed, heads) = site.command(&["legal", "audit", "heads"]);
    assert!(printed && heads.lines().count() >= 1, "{heads}");
    let file = site.folder().join("heads.jsonl");
    std::fs::write(&file, &heads).unwrap();
    let verify = ["legal", "audit", "verify", "--heads", file.to_str().unwrap()];
    let (whole, said) = site.command(&verify);
    assert!(whole && said.contains("every chain is whole"), "{said}");
    // As if the last entry of a shard had been cut off since.
    let mut head: storage::AuditHead = serde_json::from_str(heads.lines().next().unwrap()).unwrap();
    head.number += 1;
    std::fs::write(&file, serde_json::to_string(&head).unwrap()).unwrap();
    let (whole, said) = site.command(&verify);
    assert!(!whole && said.contains("cut off") && said.contains(&format!("shard {}", head.shard.0)), "{said}");
    std::fs::write(&file, "no heads").unwrap();
    let (whole, said) = site.command(&verify);
    assert!(!whole && said.contains("line 1") && said.contains("audit heads"), "{said}");
    let (whole, said) = site.command(&["legal", "audit", "verify", "--shard", "4096"]);
    assert!(!whole && said.contains("0 to 4095"), "{said}");
    site.finish().await;
}
