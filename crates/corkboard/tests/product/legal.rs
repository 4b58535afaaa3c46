//! Legal holds and takedowns: what must stay stays, what must go goes, and who may know knows.

use app::boards::BoardEdit;
use app::holds::NewHold;
use app::hydrate::PageRequest;
use app::pins::PinText;
use app::reports::Decision;
use app::takedowns::NewTakedown;
use app::{Error, Viewer};
use model::legal::{TakedownReason, TakedownState};
use model::object::{Privacy, ReportReason};
use model::{Assoc, Board, Comment, Id, LegalHoldId, Pin, PinId, Session, Timestamp, User};

use crate::site::{PASSWORD, Person, Site};

async fn hold(site: &Site, subject: impl Into<Id>) -> LegalHoldId {
    let new = NewHold { subject: subject.into(), reason: "Order of a court.".into(), reference: "12 C 34/26".into() };
    site.app.place_hold(&Viewer::operator(), new).await.unwrap()
}

async fn release(site: &Site, hold: LegalHoldId) {
    site.app.release_hold(&Viewer::operator(), hold, "The case is closed.").await.unwrap();
    site.settle().await;
}

async fn has_bytes(site: &Site, hash: &str) -> bool {
    site.app.media.contains(hash.parse().unwrap()).await.unwrap()
}

async fn hash_of(site: &Site, pin: PinId) -> String {
    site.app.storage.get::<Pin>(pin).await.unwrap().unwrap().data.picture.hash
}

async fn face_of(site: &Site, person: &Person) -> String {
    site.eyes(person).await.user.unwrap().data.picture.clone().unwrap().hash
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_on_a_person_stops_every_purge_and_its_release_lets_them_go_on() {
    let site = Site::start().await;
    site.person("root-admin").await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (adas, bobs) = (site.eyes(&ada).await, site.eyes(&bob).await);
    let (board, bobs_board) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&bob, "Wood", Privacy::Public).await);
    let (expires, by_hand, stands) =
        (site.pin(&ada, board, "One").await, site.pin(&ada, board, "Two").await, site.pin(&ada, board, "Three").await);
    let section = site.app.create_section(&adas, board, "Part").await.unwrap().id;
    let bobs_pin = site.pin(&bob, bobs_board, "Bob's").await;
    let comment = site.app.add_comment(&adas, bobs_pin, "Mine", None).await.unwrap();
    let theirs = site.app.add_comment(&bobs, by_hand, "On Ada's", None).await.unwrap();
    site.app.set_profile_picture(&adas, Some(site.new_picture())).await.unwrap();
    let first_face = face_of(&site, &ada).await;
    let mut page = site.browser(&ada);
    let session = site.edges(Assoc::UserHasSessions, ada.id).await[0].0;
    let hashes = [hash_of(&site, expires).await, hash_of(&site, by_hand).await, hash_of(&site, stands).await];
    site.settle().await;

    let (first, second) = (hold(&site, ada.id).await, hold(&site, ada.id).await);
    let shown = page.get("/settings").text().to_lowercase();
    assert!(!shown.contains("legal hold"), "nobody tells her");
    site.app.set_profile_picture(&site.eyes(&ada).await, Some(site.new_picture())).await.unwrap();
    assert_eq!(page.post(&format!("/pin/{expires}/delete"), &[]).status, 303);
    assert_eq!(page.post(&format!("/pin/{by_hand}/delete"), &[]).status, 303);
    assert_eq!(page.post(&format!("/pin/{by_hand}/purge"), &[]).status, 303, "for her it is deleted for ever");
    assert_eq!(page.post("/logout", &[]).status, 303);
    // Bob deletes the pin that she commented on, and empties his trash.
    site.app.trash_pin(&bobs, bobs_pin).await.unwrap();
    site.app.purge_from_trash(&bobs, bobs_pin).await.unwrap();
    site.settle().await;
    site.move_clock(31 * Timestamp::DAY).await;
    site.settle().await;
    let trash = site.app.trash(&site.eyes(&ada).await, &PageRequest::first(50)).await.unwrap();
    assert_eq!(trash.items.len(), 0, "her trash is empty, as it would be");
    assert!(matches!(site.app.restore_pin(&site.eyes(&ada).await, by_hand, None).await, Err(Error::NotFound(_))));
    site.app.delete_board(&site.eyes(&ada).await, board).await.unwrap();
    site.app.delete_account(&site.eyes(&ada).await, PASSWORD).await.unwrap();
    site.settle().await;
    assert_eq!(site.anonymous().get("/ada").status, 404, "gone for everybody");

    let everything_is_kept = async || {
        for pin in [expires, by_hand, stands, bobs_pin] {
            assert!(site.app.storage.get::<Pin>(pin).await.unwrap().is_some(), "{pin:?} was purged");
        }
        assert!(site.app.storage.get::<Comment>(comment).await.unwrap().is_some(), "a comment on another's pin was purged");
        assert!(site.app.storage.get::<Comment>(theirs).await.unwrap().is_some(), "a comment on a held person's pin was purged");
        assert!(site.app.storage.get::<Board>(board).await.unwrap().is_some());
        assert!(site.app.storage.get::<model::Section>(section).await.unwrap().is_some());
        assert!(site.app.storage.get::<Session>(session).await.unwrap().is_some_and(|session| !session.active));
        assert!(site.app.storage.get::<User>(ada.id).await.unwrap().is_some_and(|user| user.data.username == "ada"));
        for hash in hashes.iter().chain([&first_face]) {
            assert!(has_bytes(&site, hash).await, "bytes of a picture were deleted");
        }
    };
    everything_is_kept().await;
    assert_eq!(site.app.count_postponed().await.unwrap(), 4, "three pins and a person wait; the third is deleted with her account");
    release(&site, first).await;
    everything_is_kept().await;
    release(&site, second).await;
    for pin in [expires, by_hand, stands, bobs_pin] {
        assert!(site.app.storage.get::<Pin>(pin).await.unwrap().is_none(), "{pin:?} is left");
    }
    assert!(site.app.storage.get::<Comment>(comment).await.unwrap().is_none());
    assert!(site.app.storage.get::<Board>(board).await.unwrap().is_none());
    assert!(site.app.storage.get::<Session>(session).await.unwrap().is_none());
    assert!(site.app.storage.get::<User>(ada.id).await.unwrap().is_none());
    for hash in hashes.iter().chain([&first_face]) {
        assert!(!has_bytes(&site, hash).await, "bytes of a picture are left");
    }
    assert_eq!(site.app.count_postponed().await.unwrap(), 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_hold_kept_goes_with_it_though_the_account_stays() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let held = hold(&site, ada.id).await;
    let mut page = site.browser(&ada);
    let session = site.edges(Assoc::UserHasSessions, ada.id).await[0].0;
    site.app.set_profile_picture(&site.eyes(&ada).await, Some(site.new_picture())).await.unwrap();
    let face = face_of(&site, &ada).await;
    site.app.set_profile_picture(&site.eyes(&ada).await, None).await.unwrap();
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let section = site.app.create_section(&site.eyes(&ada).await, board, "Part").await.unwrap().id;
    site.app.delete_board(&site.eyes(&ada).await, board).await.unwrap();
    site.api(&ada).await;
    let token = site.edges(Assoc::UserHasTokens, ada.id).await[0].0;
    site.app.revoke_token(&site.eyes(&ada).await, token.try_into().unwrap()).await.unwrap();
    assert_eq!(page.post("/logout", &[]).status, 303);
    site.settle().await;
    let kept = async || {
        [
            has_bytes(&site, &face).await,
            site.app.storage.get::<Session>(session).await.unwrap().is_some(),
            site.app.storage.get::<model::Token>(token).await.unwrap().is_some(),
            site.app.storage.get::<model::Section>(section).await.unwrap().is_some(),
        ]
    };
    assert_eq!(kept().await, [true; 4]);
    assert_eq!(site.app.sessions(&site.eyes(&ada).await).await.unwrap().len(), 0, "ended for her");
    release(&site, held).await;
    assert_eq!(kept().await, [false; 4]);
    assert_eq!(site.app.count_postponed().await.unwrap(), 0);
    site.browser(&ada);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_on_a_pin_keeps_it_alone() {
    let site = Site::start().await;
    let (root, ada) = (site.person("root-admin").await, site.person("ada").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let (kept, gone) = (site.pin(&ada, board, "Kept").await, site.pin(&ada, board, "Gone").await);
    let (kept_hash, gone_hash) = (hash_of(&site, kept).await, hash_of(&site, gone).await);
    let report = site.app.report(&site.eyes(&root).await, kept.id(), ReportReason::Copyright, "Stolen").await.unwrap();
    let note = async || site.app.storage.get::<model::Report>(report).await.unwrap().unwrap().data.note;
    site.app.trash_pin(&site.eyes(&ada).await, kept).await.unwrap();
    // Held while it is in the trash.
    let held = hold(&site, kept.id()).await;
    site.app.trash_pin(&site.eyes(&ada).await, gone).await.unwrap();
    site.settle().await;
    site.move_clock(31 * Timestamp::DAY).await;
    site.settle().await;
    assert!(site.app.storage.get::<Pin>(kept).await.unwrap().is_some() && site.app.storage.get::<Pin>(gone).await.unwrap().is_none());
    assert_eq!((has_bytes(&site, &kept_hash).await, has_bytes(&site, &gone_hash).await), (true, false));
    // The account waits for the one pin.
    site.app.delete_account(&site.eyes(&ada).await, PASSWORD).await.unwrap();
    site.settle().await;
    assert!(site.app.storage.get::<User>(ada.id).await.unwrap().is_some());
    assert_eq!(site.app.count_postponed().await.unwrap(), 2);
    assert_eq!(note().await, "Stolen", "what was said about it stays with it");
    release(&site, held).await;
    assert_eq!(note().await, "");
    assert!(site.app.storage.get::<Pin>(kept).await.unwrap().is_none() && site.app.storage.get::<User>(ada.id).await.unwrap().is_none());
    assert!(!has_bytes(&site, &kept_hash).await);
    assert_eq!(site.app.count_postponed().await.unwrap(), 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hold_and_a_purge_at_the_same_moment_one_comes_first() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let mut holds = Vec::new();
    for number in 0..12 {
        let pin = site.pin(&ada, board, &format!("Pin {number}")).await;
        let new = NewHold { subject: pin.id(), reason: "Order of a court.".into(), reference: String::new() };
        let operator = Viewer::operator();
        let (held, purged) = tokio::join!(site.app.place_hold(&operator, new), site.app.purge_pin(pin));
        let there = site.app.storage.get::<Pin>(pin).await.unwrap().is_some();
        assert_eq!(held.is_ok(), there, "{held:?} and {purged:?}: a hold that was placed keeps the pin");
        holds.extend(held.ok());
    }
    for held in holds {
        release(&site, held).await;
    }
    assert_eq!(site.app.count_postponed().await.unwrap(), 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takedown_is_told_appealed_and_decided() {
    let site = Site::start().await;
    let (root, ada, bob) = (site.person("root-admin").await, site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    let (mut admin, mut owner, mut other) = (site.browser(&root), site.browser(&ada), site.browser(&bob));
    let form = admin.get(&format!("/admin/takedowns/new?subject={pin}"));
    assert!(form.status == 200 && form.text().contains("A collar"));
    assert_eq!(other.get(&format!("/admin/takedowns/new?subject={pin}")).status, 403);
    let subject = pin.to_string();
    let fields =
        [("subject", subject.as_str()), ("reason", "copyright"), ("note", "See page seven."), ("complainant", "Letter 12 of Mallory")];
    assert_eq!(other.post("/admin/takedowns", &fields).status, 403);
    assert_eq!(admin.post("/admin/takedowns", &[("subject", subject.as_str())]).status, 400, "without a reason");
    assert_eq!(admin.post("/admin/takedowns", &fields).status, 303);
    let again = admin.post("/admin/takedowns", &fields);
    assert!(again.status == 400 && again.text().contains("already"), "{}", again.text());
    site.settle().await;

    assert_eq!((other.get(&format!("/pin/{pin}")).status, owner.get(&format!("/pin/{pin}")).status), (404, 200));
    let shown = owner.get(&format!("/pin/{pin}")).text();
    assert!(shown.contains("uses their work without permission") && shown.contains("/takedowns#"), "{shown}");
    let news = owner.get("/notifications").text();
    assert!(news.contains("Taken down by the admins") && !news.contains("root-admin of the tests"), "{news}");
    let mail = site.mails().into_iter().find(|mail| mail.contains("Your pin was taken down")).expect("a mail");
    assert!(mail.contains("See page seven.") && mail.contains("/takedowns") && !mail.contains("Mallory"), "{mail}");
    let list = owner.get("/takedowns").text();
    assert!(list.contains("See page seven.") && !list.contains("Mallory") && !list.contains("root-admin of"), "{list}");
    assert!(!other.get("/takedowns").text().contains("See page seven."));
    let taken = site.edges(Assoc::UserHasTakedowns, ada.id).await[0].0;

    let appeal = format!("/takedowns/{taken}/appeal");
    assert_eq!(other.post(&appeal, &[("text", "Let it be.")]).status, 404);
    let refused = owner.post(&appeal, &[("text", "  ")]);
    assert!(refused.status == 400 && refused.text().contains("The appeal is empty"), "{}", refused.text());
    assert_eq!(admin.post(&format!("/admin/takedowns/{taken}"), &[("decision", "upheld")]).status, 303);
    let state = async || site.app.storage.get::<model::Takedown>(taken).await.unwrap().unwrap().data.state;
    assert_eq!(state().await, TakedownState::InForce, "nothing to uphold before an appeal");
    assert_eq!(owner.post(&appeal, &[("text", "It is my own photograph.")]).status, 303);
    assert_eq!(owner.post(&appeal, &[("text", "Once more.")]).status, 400, "once");
    site.settle().await;
    assert!(admin.get("/admin").text().contains("1 appeal waits"));
    assert!(admin.get("/admin/takedowns?state=appealed").text().contains("It is my own photograph."));
    assert_eq!(admin.post(&format!("/admin/takedowns/{taken}"), &[("decision", "upheld"), ("note", "No proof.")]).status, 303);
    site.settle().await;
    assert_eq!(state().await, TakedownState::Upheld);
    assert!(site.mails().iter().any(|mail| mail.contains("Your appeal was refused") && mail.contains("No proof.")));
    assert!(!admin.get("/admin").text().contains("appeal waits"));
    assert_eq!(owner.post(&appeal, &[("text", "Again.")]).status, 400);
    assert_eq!(admin.post(&format!("/admin/takedowns/{taken}"), &[("decision", "reversed"), ("note", "We were wrong.")]).status, 303);
    site.settle().await;
    assert_eq!(other.get(&format!("/pin/{pin}")).status, 200, "it shows again");
    assert!(site.mails().iter().any(|mail| mail.contains("Your pin shows again") && mail.contains("We were wrong.")));
    assert_eq!(site.mails().iter().filter(|mail| mail.contains("To:") && mail.contains("ada@") && !mail.contains("Welcome")).count(), 3);
    let log = site.app.storage.audit_log(pin.shard(), 0, 50).await.unwrap();
    let acts: Vec<&str> = log.iter().map(|entry| entry.act.as_str()).filter(|act| act.starts_with("takedown")).collect();
    assert_eq!(acts, ["takedown_made", "takedown_appealed", "takedown_decided", "takedown_decided"]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_and_comments_go_the_same_way_and_secret_boards_tell_nothing() {
    let site = Site::start().await;
    let (root, ada, bob) = (site.person("root-admin").await, site.person("ada").await, site.person("bob").await);
    let (admins, adas, bobs) = (site.eyes(&root).await, site.eyes(&ada).await, site.eyes(&bob).await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin_text(&ada, board, PinText { title: "Zanzibarite".into(), ..PinText::default() }).await;
    let report = site.app.report(&bobs, pin.id(), ReportReason::Privacy, "my face").await.unwrap();
    site.app.decide_report(&admins, report, Decision::TakeDown).await.unwrap();
    let own = site.app.own_takedowns(&adas, &PageRequest::first(10)).await.unwrap();
    let record = &own.items[0].takedown.data;
    assert_eq!((record.reason, record.report, record.subject), (TakedownReason::Privacy, Some(report), pin.id()));
    // Later the board turns secret: the record stays, what it is of is the owner's alone.
    site.app.edit_board(&adas, board, BoardEdit { privacy: Some(Privacy::Secret), ..BoardEdit::default() }).await.unwrap();
    site.settle().await;
    for (path, status) in [("/admin/takedowns", 200), ("/admin/takedowns?state=in_force", 200), ("/admin", 200)] {
        let answer = site.browser(&root).get(path);
        assert!(answer.status == status && !answer.text().contains("Zanzibarite"), "{path} tells of a secret board");
    }
    assert!(site.browser(&ada).get("/takedowns").text().contains("Zanzibarite"));

    // A comment on another shard than its author.
    let open = site.board(&ada, "Open", Privacy::Public).await;
    let place = site.pin(&ada, open, "A place").await;
    let comment = site.app.add_comment(&bobs, place, "Rude words", None).await.unwrap();
    let reply = site.app.add_comment(&bobs, place, "A reply", Some(comment)).await.unwrap();
    let rude = site.app.report(&adas, reply.id(), ReportReason::Harassment, "").await.unwrap();
    site.app.decide_report(&admins, rude, Decision::TakeDown).await.unwrap();
    let taken = site.app.take_down(&admins, NewTakedown::new(comment.id(), TakedownReason::Rules)).await.unwrap();
    site.settle().await;
    assert_eq!(site.app.storage.count(Assoc::PinHasComments, place).await.unwrap(), 0);
    assert_eq!(site.edges(Assoc::UserHasTakedowns, bob.id).await.len(), 2);
    assert!(site.mails().iter().any(|mail| mail.contains("Your comment was taken down") && mail.contains("bob@")));
    assert!(site.browser(&bob).get("/notifications").text().contains("/takedowns"));
    site.app.appeal(&bobs, taken, "They are not rude where I live.").await.unwrap();
    assert!(matches!(site.app.decide_takedown(&bobs, taken, TakedownState::Reversed, "").await, Err(Error::Forbidden(_))));
    assert!(matches!(site.app.takedowns(&Viewer::anonymous(), None, &PageRequest::first(5)).await, Err(Error::SignInNeeded)));
    site.app.decide_takedown(&admins, taken, TakedownState::Reversed, "").await.unwrap();
    site.settle().await;
    let shown = site.app.comments(&adas, place, &PageRequest::first(10)).await.unwrap();
    assert_eq!(shown.items.iter().map(|view| view.comment.id).collect::<Vec<_>>(), [comment.id()]);
    assert_eq!(site.app.storage.count(Assoc::PinHasComments, place).await.unwrap(), 1);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_are_placed_and_released_on_their_page_by_admins() {
    let site = Site::start().await;
    let (root, ada) = (site.person("root-admin").await, site.person("ada").await);
    let (mut admin, mut other) = (site.browser(&root), site.browser(&ada));
    let fields = [("subject", "ada"), ("reason", "Order of a court."), ("reference", "12 C 34/26")];
    assert_eq!((other.get("/admin/holds").status, other.post("/admin/holds", &fields).status), (403, 403));
    assert!(matches!(site.app.holds(&Viewer::anonymous(), true, &PageRequest::first(5)).await, Err(Error::SignInNeeded)));
    for (subject, reason, why) in [("nobody-like-that", "x", "no person"), ("ada", " ", "The reason is empty"), ("12", "x", "no person")] {
        let refused = admin.post("/admin/holds", &[("subject", subject), ("reason", reason)]);
        assert!(refused.status == 400 && refused.text().contains(why), "{subject:?} {reason:?}: {}", refused.text());
    }
    assert_eq!(admin.post("/admin/holds", &fields).status, 303);
    let list = admin.get("/admin/holds").text();
    assert!(list.contains("12 C 34/26") && list.contains("@ada") && list.contains("by root-admin"), "{list}");
    let held = site.edges(Assoc::UserHasHolds, ada.id).await[0].0;
    let release = format!("/admin/holds/{held}/release");
    assert_eq!(other.post(&release, &[("reason", "x")]).status, 403);
    assert_eq!(admin.post(&release, &[("reason", "The case is closed.")]).status, 303);
    assert_eq!(site.edges(Assoc::UserHasHolds, ada.id).await, []);
    let list = admin.get("/admin/holds?state=all").text();
    assert!(list.contains("The case is closed.") && !admin.get("/admin/holds").text().contains("12 C 34/26"));
    let log = site.app.storage.audit_log(ada.id.shard(), 0, 50).await.unwrap();
    let acts: Vec<_> = log.iter().filter(|entry| entry.act.starts_with("legal")).map(|entry| (entry.act.as_str(), entry.actor)).collect();
    assert_eq!(acts, [("legal_hold_placed", Some(root.id)), ("legal_hold_released", Some(root.id))]);
    site.finish().await;
}
