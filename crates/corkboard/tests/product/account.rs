//! Deleting an account: everything goes, and nothing of others.

use app::Viewer;
use app::boards::BoardEdit;
use app::hydrate::PageRequest;
use app::pins::PinText;
use feeds::Target;
use model::object::{Privacy, Role};
use model::{Assoc, Board, Kind, NameKind, Session, Token, User};

use crate::site::{PASSWORD, Site, at, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_an_account_takes_everything_of_it() {
    let site = Site::start().await;
    site.person("root-admin").await;
    let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
    let (adas, bobs, eves) = (site.eyes(&ada).await, site.eyes(&bob).await, site.eyes(&eve).await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let secret = site.board(&ada, "Hidden", Privacy::Secret).await;
    let together = site.board(&bob, "Together", Privacy::Public).await;
    let invited_to = site.board(&eve, "Not answered", Privacy::Public).await;
    let pin = site.pin_text(&ada, board, PinText { title: "One".into(), description: "#lace".into(), ..PinText::default() }).await;
    let (hidden, trashed) = (site.pin(&ada, secret, "Two").await, site.pin(&ada, board, "Three").await);
    site.app.trash_pin(&adas, trashed).await.unwrap();
    let section = site.app.create_section(&adas, board, "Part").await.unwrap();
    site.app.invite(&bobs, together, ada.id, Role::Add).await.unwrap();
    site.app.accept_invitation(&adas, together).await.unwrap();
    site.app.invite(&eves, invited_to, ada.id, Role::Add).await.unwrap();
    let guest = site.pin(&ada, together, "On Bob's board").await;
    let bobs_pin = site.pin(&bob, together, "Bob's").await;
    let shared = site.app.save_pin(&bobs, pin, at(together)).await.unwrap();
    site.app.save_pin(&adas, bobs_pin, at(board)).await.unwrap();
    let comment = site.app.add_comment(&adas, bobs_pin, "Nice, @eve", None).await.unwrap();
    site.app.add_comment(&eves, bobs_pin, "Indeed", Some(comment)).await.unwrap();
    let eves_comment = site.app.add_comment(&eves, bobs_pin, "Mine", None).await.unwrap();
    site.app.add_comment(&adas, bobs_pin, "A reply", Some(eves_comment)).await.unwrap();
    site.app.add_comment(&eves, pin, "On Ada's", None).await.unwrap();
    site.app.like_pin(&adas, bobs_pin, true).await.unwrap();
    site.app.like_pin(&eves, bobs_pin, true).await.unwrap();
    site.app.like_comment(&adas, eves_comment, true).await.unwrap();
    site.app.like_pin(&bobs, pin, true).await.unwrap();
    site.app.follow(&adas, Target::User(bob.id)).await.unwrap();
    site.app.follow(&adas, Target::Board(invited_to)).await.unwrap();
    site.app.follow(&bobs, Target::User(ada.id)).await.unwrap();
    site.app.follow(&eves, Target::Board(board)).await.unwrap();
    site.app.mute(&adas, eve.id, true).await.unwrap();
    site.app.mute(&bobs, ada.id, true).await.unwrap();
    site.app.mute(&bobs, ada.id, false).await.unwrap();
    let face = site.new_picture();
    site.app.set_profile_picture(&adas, Some(face)).await.unwrap();
    let face_hash: media::Hash = site.eyes(&ada).await.user.unwrap().data.picture.clone().unwrap().hash.parse().unwrap();
    site.settle().await;
    let topic = site.app.topic_id("lace").await.unwrap();
    site.app.follow(&adas, Target::Topic(topic)).await.unwrap();
    let mut page = site.browser(&ada);
    let mut api = site.api(&ada).await;
    let mut hashes = Vec::new();
    for pin in [hidden, trashed, guest] {
        let stored = site.app.storage.get::<model::Pin>(pin).await.unwrap().unwrap();
        hashes.push(stored.data.picture.hash.parse::<media::Hash>().unwrap());
    }
    site.settle().await;

    let wrong = page.post("/settings/delete", &[("password", "wrong wrong"), ("username", "ada"), ("confirm", "ada")]);
    assert!(wrong.header("location") != Some("/") && page.get("/settings").status == 200, "a wrong password deletes nothing");
    site.app.delete_account(&site.eyes(&ada).await, PASSWORD).await.unwrap();
    assert_eq!(site.anonymous().get("/ada").status, 404, "gone at once");
    assert_eq!((page.get("/settings").status, api.get("/v5/user_account").status), (303, 401), "session and token are over");
    site.settle().await;

    for name in ["ada", "ada@example.org"] {
        let kind = if name.contains('@') { NameKind::Email } else { NameKind::Username };
        assert!(site.app.storage.name(kind, name).await.unwrap().is_none(), "{name} can be taken again");
    }
    for kind in [NameKind::SourceKey, NameKind::BoardSlug] {
        assert_eq!(site.app.storage.names_of(ada.id, kind, 10).await.unwrap(), [], "names that tell of Ada");
    }
    for assoc in Assoc::ALL {
        if assoc.ends().0 == Kind::User {
            assert_eq!(site.edges(*assoc, ada.id.id()).await, [], "{assoc:?} of Ada");
        }
        for other in [bob.id, eve.id].into_iter().filter(|_| assoc.ends() == (Kind::User, Kind::User)) {
            let left = site.app.storage.edges(*assoc, other.id(), &[ada.id.id()]).await.unwrap();
            assert_eq!(left, [None], "{assoc:?} to Ada");
        }
    }
    assert_eq!(site.edges(Assoc::SiteHasUsers, app::admin::site_id()).await.iter().filter(|(to, _)| *to == ada.id.id()).count(), 0);
    assert!(site.app.storage.get::<User>(ada.id).await.unwrap().is_none());
    for kind in ["sessions", "tokens"] {
        let left = match kind {
            "sessions" => site.app.storage.scan::<Session>(None, 100).await.unwrap().iter().filter(|s| s.data.user == ada.id).count(),
            _ => site.app.storage.scan::<Token>(None, 100).await.unwrap().iter().filter(|t| t.data.user == ada.id).count(),
        };
        assert_eq!(left, 0, "{kind}");
    }
    let mut rows = Vec::new();
    for stored in site.app.storage.scan::<model::Pin>(None, 500).await.unwrap() {
        rows.extend((stored.data.owner == ada.id).then_some(stored.id));
    }
    for stored in site.app.storage.scan::<Board>(None, 500).await.unwrap() {
        rows.extend((stored.data.owner == ada.id && stored.active).then_some(stored.id));
        assert!(stored.data.collaborators.iter().all(|c| c.user != ada.id), "{} keeps her as a collaborator", stored.data.name);
    }
    for stored in site.app.storage.scan::<model::Comment>(None, 500).await.unwrap() {
        rows.extend((stored.data.author == ada.id || stored.data.mentions.contains(&ada.id)).then_some(stored.id));
    }
    assert_eq!(rows, [], "rows of Ada's are left");
    assert!(site.app.storage.get::<model::Section>(section.id).await.unwrap().is_none(), "sections go with their board");
    for hash in hashes.into_iter().chain([face_hash]) {
        assert!(!site.app.media.contains(hash).await.unwrap(), "bytes of a picture are left");
    }
    assert!(site.app.media.contains(shared.pin.data.picture.hash.parse().unwrap()).await.unwrap(), "Bob saved this one");

    // What others have is exact.
    assert_eq!(site.app.storage.count(Assoc::PinLikedByUsers, bobs_pin.id()).await.unwrap(), 1);
    assert_eq!(site.app.storage.count(Assoc::CommentLikedByUsers, eves_comment.id()).await.unwrap(), 0);
    assert_eq!(site.app.storage.count(Assoc::PinHasSaves, bobs_pin.id()).await.unwrap(), 0);
    let comments = site.app.comments(&eves, bobs_pin, &PageRequest::first(50)).await.unwrap();
    let shown: usize = comments.items.iter().map(|comment| 1 + comment.replies.len()).sum();
    assert_eq!(shown as u64, site.app.storage.count(Assoc::PinHasComments, bobs_pin.id()).await.unwrap(), "shown and counted comments");
    let profile = site.app.profile(&eves, bob.id).await.unwrap();
    assert_eq!((profile.follower_count, profile.following_count), (0, 0));
    assert_eq!(site.app.profile(&bobs, eve.id).await.unwrap().following_count, 0, "the board that she followed is gone");
    assert_eq!(site.app.topic(&bobs, "lace").await.unwrap().follower_count, 0);
    assert_eq!(site.home(&bob).await, []);
    for person in [&bob, &eve] {
        let viewer = site.eyes(person).await;
        let groups = site.app.notifications(&viewer, &PageRequest::first(50)).await.unwrap();
        assert!(groups.items.iter().flat_map(|group| &group.actors).all(|actor| actor.id != ada.id.id()));
    }

    // Everything that was Ada's can be taken.
    let again = site.person("ada").await;
    assert_ne!(again.id, ada.id);
    let lace = site.board(&again, "Lace", Privacy::Public).await;
    assert_eq!(site.app.board_at(&Viewer::anonymous(), "ada", "lace").await.unwrap(), lace);
    site.app.pin_upload(&site.eyes(&again).await, at(lace), text("New"), site.new_picture()).await.unwrap();
    site.app.edit_board(&site.eyes(&again).await, lace, BoardEdit { name: Some("Lace 2".into()), ..BoardEdit::default() }).await.unwrap();
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_when_they_should() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let (mut one, mut two) = (site.browser(&ada), site.browser(&ada));
    let cookie = one.cookies();
    assert_eq!(one.get("/settings/sessions").status, 200);
    assert_eq!(two.post("/settings/sessions/revoke-others", &[]).status, 303);
    assert_eq!((one.get("/settings").status, two.get("/settings").status), (303, 200));
    let mut three = site.browser(&ada);
    assert_eq!(three.post("/logout", &[]).status, 303);
    assert_eq!(three.get("/settings").status, 303);
    site.app.change_password(&site.eyes(&ada).await, PASSWORD, "another long password", None).await.unwrap();
    assert_eq!(two.get("/settings").status, 303, "a new password ends sessions");
    assert!(!cookie.is_empty());
    site.move_clock(91 * model::Timestamp::DAY).await;
    site.finish().await;
}
