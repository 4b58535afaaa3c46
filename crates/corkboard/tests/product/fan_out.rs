//! Pins of people with more followers than publishing itself reaches: jobs go on with the rest.

use feeds::{Fault, Limits, Target};
use jobs::{QueueOptions, State};
use model::object::Privacy;
use model::{EventKind, PinId};

use crate::site::{Person, Site};

const QUEUE: &str = "fan_out";
const FOLLOWERS: usize = 7;

/// Ada with seven followers, each with a feed in memory, at a site where publishing reaches two.
async fn ada_and_followers() -> (Site, Person, Vec<Person>) {
    let site = Site::start_limited(1_000, Limits { fan_out_max: 2, ..Limits::default() }).await;
    let ada = site.person("ada").await;
    let mut followers = Vec::new();
    for n in 0..FOLLOWERS {
        let follower = site.person(&format!("follower{n}")).await;
        site.app.follow(&site.eyes(&follower).await, Target::User(ada.id)).await.unwrap();
        followers.push(follower);
    }
    site.settle().await;
    for follower in &followers {
        assert!(site.home(follower).await.is_empty());
        assert!(site.app.feeds.home(follower.id, None, 1).await.unwrap().present, "the feed is in memory");
    }
    (site, ada, followers)
}

async fn pace(site: &Site, rate_limit_per_second: Option<f64>) {
    site.app.jobs.create_queue(QUEUE, QueueOptions { rate_limit_per_second }).await.unwrap();
}

async fn waiting(site: &Site) -> Vec<jobs::JobSnapshot> {
    site.app.jobs.scan(QUEUE, State::Pending, None, 10).await.unwrap()
}

/// Who has the pin in the feed in memory.
async fn reached(site: &Site, followers: &[Person], pin: PinId) -> usize {
    let mut count = 0;
    for follower in followers {
        let page = site.app.feeds.home(follower.id, None, 10).await.unwrap();
        assert!(page.present);
        let found = page.entries.iter().filter(|entry| entry.pin == pin).count();
        assert!(found <= 1, "twice");
        count += found;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_reaches_all_followers_although_events_and_jobs_are_tried_again() {
    let (site, ada, followers) = ada_and_followers().await;
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    site.settle().await;
    pace(&site, Some(0.0)).await;
    // The board is told, the pin is published, and the answer is lost: the event is handled again.
    site.feeds_faults.inject([Fault::Pass, Fault::AnswerLost]);
    let pin = site.pin(&ada, board, "A collar").await;
    site.until("the rest to be left to a job", || async { waiting(&site).await.len() == 1 }).await;
    assert_eq!(site.feeds_faults.pending_count(), 0);
    assert_eq!(reached(&site, &followers, pin).await, 2);
    // Once more, and twice: the event is the same, so the job is.
    let created = site.events().await.into_iter().find(|event| event.kind == EventKind::PinCreated).unwrap();
    for _ in 0..2 {
        site.app.reconcile_feeds(created.clone()).await.unwrap();
    }
    assert_eq!(waiting(&site).await.len(), 2, "the consumer's and this one's");
    let first = waiting(&site).await.remove(0);
    site.feeds_faults.inject([Fault::Unavailable]);
    pace(&site, None).await;
    // The back-off of the one that failed is a second.
    let succeeded = async || site.app.jobs.scan(QUEUE, State::Succeeded, None, 10).await.unwrap();
    site.until("both jobs to have ended", || async { succeeded().await.len() == 2 }).await;
    let ended = succeeded().await;
    assert_eq!(reached(&site, &followers, pin).await, FOLLOWERS);
    assert!(ended.iter().any(|job| job.id == first.id));
    assert_eq!(ended.iter().map(|job| job.attempts_made).sum::<u32>(), 1, "one attempt met the fault: {ended:?}");
    for follower in &followers {
        assert_eq!(site.home(follower).await, [pin]);
    }
    site.finish_after_failures().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trashed_meanwhile_reaches_nobody_and_comes_back_to_all() {
    let (site, ada, followers) = ada_and_followers().await;
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    pace(&site, Some(0.0)).await;
    let pin = site.pin(&ada, board, "A collar").await;
    site.until("the rest to be left to a job", || async { waiting(&site).await.len() == 1 }).await;
    let eyes = site.eyes(&ada).await;
    site.app.trash_pin(&eyes, pin).await.unwrap();
    site.until("the pin to be gone", || async { reached(&site, &followers, pin).await == 0 }).await;
    pace(&site, None).await;
    site.settle().await;
    assert_eq!(reached(&site, &followers, pin).await, 0);
    site.app.restore_pin(&eyes, pin, None).await.unwrap();
    site.settle().await;
    assert_eq!(reached(&site, &followers, pin).await, FOLLOWERS, "a job of its own brings it back");
    site.finish().await;
}
