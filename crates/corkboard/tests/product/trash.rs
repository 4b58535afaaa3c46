//! Deleting pins: the trash, undo, and what is gone for ever.

use app::Error;
use app::hydrate::PageRequest;
use model::object::Privacy;
use model::{Pin, PinId, Timestamp};

use crate::site::{Person, Site, at, ids, text};

async fn hash_of(site: &Site, pin: PinId) -> media::Hash {
    site.app.storage.get::<Pin>(pin).await.unwrap().unwrap().data.picture.hash.parse().unwrap()
}

async fn trashed(site: &Site, person: &Person) -> Vec<model::Id> {
    let page = site.app.trash(&site.eyes(person).await, &PageRequest::first(50)).await.unwrap();
    page.items.iter().map(|pin| pin.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_and_undo_keep_everything() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    site.app.follow(&site.eyes(&bob).await, feeds::Target::User(ada.id)).await.unwrap();
    site.app.like_pin(&site.eyes(&bob).await, pin, true).await.unwrap();
    site.settle().await;
    assert_eq!(site.home(&bob).await, [pin]);
    let mut page = site.browser(&ada);
    assert_eq!(page.post(&format!("/pin/{pin}/delete"), &[]).status, 303);
    for _ in 0..2 {
        assert_eq!(site.home(&bob).await, []);
        assert_eq!(site.browser(&bob).get(&format!("/pin/{pin}")).status, 404);
        assert_eq!(site.board_pins(&ada, board).await, []);
        assert_eq!(trashed(&site, &ada).await, [pin.id()]);
        let eyes = site.eyes(&bob).await;
        let himself = site.app.seen(&eyes, bob.id).await.unwrap();
        assert_eq!(ids(site.app.liked_pins(&eyes, &himself, &PageRequest::first(9)).await.unwrap()), []);
        site.settle().await;
    }
    assert_eq!(page.post(&format!("/pin/{pin}/restore"), &[]).status, 303);
    site.settle().await;
    assert_eq!(site.home(&bob).await, [pin]);
    assert_eq!(site.board_pins(&ada, board).await, [pin]);
    assert_eq!(trashed(&site, &ada).await, []);
    assert_eq!(site.app.storage.count(model::Assoc::PinLikedByUsers, pin.id()).await.unwrap(), 1);
    // The job of the first deletion must not take a pin that was restored.
    site.move_clock(31 * Timestamp::DAY).await;
    site.settle().await;
    assert_eq!(site.board_pins(&ada, board).await, [pin]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_of_a_deleted_board_goes_to_another_one() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let (gone, kept) = (site.board(&ada, "Gone", Privacy::Public).await, site.board(&ada, "Kept", Privacy::Public).await);
    let pin = site.pin(&ada, gone, "A collar").await;
    let eyes = site.eyes(&ada).await;
    site.app.delete_board(&eyes, gone).await.unwrap();
    assert!(matches!(site.app.pin(&eyes, pin).await, Err(Error::NotFound(_))), "a deleted board's pins are gone at once");
    site.settle().await;
    assert_eq!(trashed(&site, &ada).await, [pin.id()]);
    let refused = site.app.restore_pin(&eyes, pin, None).await.unwrap_err();
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("another board")), "{refused:?}");
    site.app.restore_pin(&eyes, pin, Some(at(kept))).await.unwrap();
    site.settle().await;
    assert_eq!(site.board_pins(&ada, kept).await, [pin]);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_pins_of_a_picture_the_one_that_is_left_says_where_it_is() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let (first, second) = (site.board(&bob, "First", Privacy::Public).await, site.board(&bob, "Second", Privacy::Public).await);
    let pin = site.pin(&ada, board, "A collar").await;
    let eyes = site.eyes(&bob).await;
    site.app.save_pin(&eyes, pin, at(first)).await.unwrap();
    let newest = site.app.save_pin(&eyes, pin, at(second)).await.unwrap().id();
    let saved = async || {
        let view = site.app.pin(&eyes, pin).await.unwrap();
        site.app.already_saved(&eyes, &[&view]).await.unwrap().remove(0).map(|saved| saved.board_name)
    };
    assert_eq!(saved().await.as_deref(), Some("Second"));
    site.app.trash_pin(&eyes, newest).await.unwrap();
    site.app.purge_from_trash(&eyes, newest).await.unwrap();
    assert_eq!(saved().await.as_deref(), Some("First"));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_pin_takes_the_bytes_with_it() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let (board, bobs) = (site.board(&ada, "Lace", Privacy::Public).await, site.board(&bob, "Finds", Privacy::Public).await);
    let (alone, shared) = (site.pin(&ada, board, "Alone").await, site.pin(&ada, board, "Shared").await);
    let saved = site.app.save_pin(&site.eyes(&bob).await, shared, at(bobs)).await.unwrap().id();
    let (alone_hash, shared_hash) = (hash_of(&site, alone).await, hash_of(&site, shared).await);
    site.settle().await;
    for pin in [alone, shared] {
        site.app.trash_pin(&site.eyes(&ada).await, pin).await.unwrap();
    }
    site.settle().await;
    site.move_clock(29 * Timestamp::DAY).await;
    site.settle().await;
    assert!(site.app.media.contains(alone_hash).await.unwrap(), "30 days to change one's mind");
    site.move_clock(2 * Timestamp::DAY).await;
    site.settle().await;
    assert!(site.app.storage.get::<Pin>(alone).await.unwrap().is_none(), "purged");
    assert!(!site.app.media.contains(alone_hash).await.unwrap(), "the bytes are gone");
    assert!(site.app.media.contains(shared_hash).await.unwrap(), "another pin holds it");
    assert_eq!(site.app.pin(&site.eyes(&bob).await, saved).await.unwrap().pin.data.title, "Shared");
    // By hand, at once.
    let eyes = site.eyes(&bob).await;
    assert!(matches!(site.app.purge_from_trash(&eyes, saved).await, Err(Error::Conflict(_))), "only what is in the trash");
    site.app.trash_pin(&eyes, saved).await.unwrap();
    site.app.purge_from_trash(&eyes, saved).await.unwrap();
    site.settle().await;
    assert!(!site.app.media.contains(shared_hash).await.unwrap());
    assert_eq!(site.app.media.usage().await.unwrap().objects, 0);
    // The same picture can come again.
    let bytes = site.new_picture();
    let again = site.app.pin_upload(&eyes, at(bobs), text("Again"), bytes.clone()).await.unwrap().id();
    site.app.trash_pin(&eyes, again).await.unwrap();
    site.app.purge_from_trash(&eyes, again).await.unwrap();
    site.settle().await;
    let back = site.app.pin_upload(&eyes, at(bobs), text("Back"), bytes).await.unwrap();
    assert!(site.app.media.contains(back.pin.data.picture.hash.parse().unwrap()).await.unwrap());
    site.finish().await;
}
