//! Being told: notifications, comments with replies and mentions, mail.

use app::hydrate::PageRequest;
use app::notifications::NotificationGroup;
use feeds::Target;
use model::object::{NotificationKind as Kind, Privacy, Role};

use crate::site::{PASSWORD, Person, Site, at};

async fn told(site: &Site, person: &Person) -> Vec<NotificationGroup> {
    site.app.notifications(&site.eyes(person).await, &PageRequest::first(50)).await.unwrap().items
}

fn kinds(groups: &[NotificationGroup]) -> Vec<(Kind, usize)> {
    groups.iter().map(|group| (group.kind, group.actors.len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_ones_pins_is_told_once_and_in_groups() {
    let site = Site::start().await;
    let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    for person in [&bob, &eve] {
        let viewer = site.eyes(person).await;
        let finds = site.board(person, "Finds", Privacy::Public).await;
        site.app.like_pin(&viewer, pin, true).await.unwrap();
        site.app.save_pin(&viewer, pin, at(finds)).await.unwrap();
        site.app.follow(&viewer, Target::User(ada.id)).await.unwrap();
    }
    // One's own acts are no news.
    site.app.like_pin(&site.eyes(&ada).await, pin, true).await.unwrap();
    let hidden = site.board(&bob, "Hidden", Privacy::Secret).await;
    site.app.save_pin(&site.eyes(&bob).await, pin, at(hidden)).await.unwrap();
    site.settle().await;
    let mut groups = kinds(&told(&site, &ada).await);
    groups.sort_by_key(|(kind, _)| format!("{kind:?}"));
    assert_eq!(groups, [(Kind::Followed, 2), (Kind::Liked, 2), (Kind::Saved, 2)]);
    let unread = site.app.unread_notifications(&site.eyes(&ada).await).await.unwrap();
    assert_eq!(unread, 6);
    for event in site.events().await {
        site.app.follow_up(event.clone()).await.unwrap();
        site.app.follow_up(event).await.unwrap();
    }
    site.settle().await;
    assert_eq!(site.app.unread_notifications(&site.eyes(&ada).await).await.unwrap(), unread, "once per event however often it is handled");
    let mut page = site.browser(&ada);
    assert_eq!(page.get("/notifications").status, 200);
    assert_eq!(site.app.unread_notifications(&site.eyes(&ada).await).await.unwrap(), 0, "looking at them reads them");
    assert_eq!(told(&site, &bob).await.len(), 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_reply_mention_and_go() {
    let site = Site::start().await;
    let (ada, bob, eve) = (site.person("ada").await, site.person("bob").await, site.person("eve").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    let (bobs, eves) = (site.eyes(&bob).await, site.eyes(&eve).await);
    let first = site.app.add_comment(&bobs, pin, "Look, @eve and @bob and @nobody-here", None).await.unwrap();
    site.settle().await;
    assert_eq!(kinds(&told(&site, &ada).await), [(Kind::Commented, 1)]);
    assert_eq!(kinds(&told(&site, &eve).await), [(Kind::Mentioned, 1)]);
    let reply = site.app.add_comment(&eves, pin, "I see", Some(first)).await.unwrap();
    let deeper = site.app.add_comment(&site.eyes(&ada).await, pin, "Me too", Some(reply)).await.unwrap();
    site.settle().await;
    assert_eq!(kinds(&told(&site, &bob).await), [(Kind::Replied, 1)]);
    assert_eq!(kinds(&told(&site, &eve).await), [(Kind::Replied, 1), (Kind::Mentioned, 1)]);
    let comments = site.app.comments(&bobs, pin, &PageRequest::first(9)).await.unwrap().items;
    assert_eq!(comments.len(), 1);
    let replies: Vec<_> = comments[0].replies.iter().map(|reply| reply.comment.id).collect();
    assert_eq!(replies, [reply.id(), deeper.id()], "one level, oldest first");
    site.app.like_comment(&eves, first, true).await.unwrap();
    site.settle().await;
    assert_eq!(kinds(&told(&site, &bob).await), [(Kind::CommentLiked, 1), (Kind::Replied, 1)]);
    // Others can't delete it; the pin's owner can. What hung on it goes with it, and no count lies.
    assert!(site.app.delete_comment(&eves, first).await.is_err());
    site.app.delete_comment(&site.eyes(&ada).await, first).await.unwrap();
    site.settle().await;
    let left = site.app.comments(&bobs, pin, &PageRequest::first(9)).await.unwrap().items;
    let shown: usize = left.iter().map(|comment| 1 + comment.replies.len()).sum();
    assert_eq!(shown as u64, site.app.storage.count(model::Assoc::PinHasComments, pin.id()).await.unwrap(), "shown and counted");
    assert_eq!(site.app.unread_notifications(&site.eyes(&eve).await).await.unwrap(), told(&site, &eve).await.len(), "told and counted");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_lands_in_the_folder_and_its_links_work() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    site.app.invite(&site.eyes(&ada).await, board, bob.id, Role::Add).await.unwrap();
    site.settle().await;
    for event in site.events().await {
        site.app.follow_up(event).await.unwrap();
    }
    site.settle().await;
    let mails = site.mails();
    let of =
        |subject: &str, to: &str| mails.iter().filter(|mail| mail.contains(&format!("Subject: {subject}")) && mail.contains(to)).count();
    assert_eq!(of("You are invited to a board", "bob@example.org"), 1, "{mails:#?}");
    assert_eq!(of("Welcome to Corkboard", "ada@example.org"), 1);
    let link = format!("{}/notifications", site.base_url);
    assert!(mails.iter().any(|mail| mail.contains(&link)), "{mails:#?}");
    assert!(site.browser(&bob).get("/notifications").text().contains("Lace"));

    let mut stranger = site.anonymous();
    for email in ["nobody@example.org", "bob@example.org"] {
        let answer = stranger.post("/forgot", &[("email", email)]);
        assert_eq!(answer.status, 200, "the same for everybody");
    }
    site.settle().await;
    let mails = site.mails();
    assert!(!mails.iter().any(|mail| mail.contains("nobody@example.org")));
    for header in ["Content-Type: text/plain; charset=utf-8", "Message-ID: <", "Date: "] {
        assert!(mails.iter().all(|mail| mail.contains(header)), "{header} is in every mail: {mails:#?}");
    }
    let mail = mails.iter().find(|mail| mail.contains("Subject: Reset your password")).expect("a mail with a link");
    let token = mail.split("/reset?token=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(stranger.get(&format!("/reset?token={token}")).status, 200);
    assert_eq!(stranger.post("/reset", &[("secret", &token[..token.len() - 1]), ("password", "a new long one")]).header("location"), None);
    let answer = stranger.post("/reset", &[("secret", token), ("password", "a new long one")]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(stranger.get("/settings").status, 200, "logged in");
    assert_eq!(site.anonymous().post("/reset", &[("secret", token), ("password", "another long one")]).header("location"), None, "once");
    let mut bob_again = site.anonymous();
    assert_eq!(bob_again.post("/login", &[("login", "bob"), ("password", PASSWORD)]).header("location"), None, "the old one is over");
    assert_eq!(bob_again.post("/login", &[("login", "bob@example.org"), ("password", "a new long one")]).status, 303);
    site.settle().await;
    assert!(site.mails().iter().any(|mail| mail.contains("Subject: Your password was changed")));
    site.finish().await;
}
