//! Parts that are away: pages still answer, and say what is missing.

use app::hydrate::PageRequest;
use app::pins::PinText;
use feeds::Target;
use model::object::Privacy;

use crate::site::{Site, at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_search_everything_else_goes_on() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let words = PinText { title: "A collar".into(), description: "#lace".into(), ..PinText::default() };
    let pin = site.pin_text(&ada, board, words).await;
    site.settle().await;
    site.search_faults.inject(std::iter::repeat_n(search::Fault::Unavailable, 10_000));
    let mut page = site.browser(&bob);
    for path in
        ["/", "/explore", "/explore/popular", "/explore/topics", "/ada", "/ada/lace", "/topic/lace", &format!("/pin/{pin}"), "/search"]
    {
        let answer = page.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let answer = page.get("/search?q=collar");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("Search is away"), "{}", answer.text());
    let topics = page.get("/explore/topics").text();
    assert!(topics.contains("away"), "the topics page says what is missing: {topics}");
    assert_eq!(page.get("/search/suggest?q=co").status, 200);
    let second = site.pin(&ada, board, "Made meanwhile").await;
    assert_eq!(site.board_pins(&ada, board).await, [second, pin], "writing goes on");
    // Back again: what came meanwhile is found, nothing is lost.
    let left = site.search_faults.pending_count();
    assert!(left > 0);
    site.search_faults.heal();
    site.settle().await;
    site.until("the pin to be found", || async {
        let found = site.app.search_pins(&site.eyes(&bob).await, "meanwhile", Default::default(), &PageRequest::first(9)).await;
        found.is_ok_and(|found| found.page.items.len() == 1)
    })
    .await;
    site.until("all parts to be up", || async { site.app.health.parts().values().all(|state| *state == runtime::PartState::Up) }).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_feeds_pages_answer_and_say_so() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let pin = site.pin(&ada, board, "A collar").await;
    site.app.follow(&site.eyes(&bob).await, Target::User(ada.id)).await.unwrap();
    site.settle().await;
    let mut page = site.browser(&bob);
    assert!(page.get("/").text().contains("A collar"));
    site.feeds_faults.inject(std::iter::repeat_n(feeds::Fault::Unavailable, 100_000));
    let mut broken = Vec::new();
    for path in ["/", "/explore", "/explore/popular", "/ada", "/ada/lace", "/search?q=collar", "/notifications", "/settings", "/create"] {
        let answer = page.get(path);
        // What everybody pinned last stands in the feeds alone: Explore says that they are away.
        if answer.status != 200 || (path == "/explore" && !answer.text().contains("This list is away")) {
            broken.push(format!("{path}: {}", answer.status));
        }
    }
    let mut stranger = site.anonymous();
    let landing = stranger.get("/");
    if landing.status != 200 {
        broken.push(format!("the landing page: {}", landing.status));
    }
    let answer = page.get(&format!("/pin/{pin}"));
    if answer.status != 200 {
        broken.push(format!("/pin/{pin}: {}", answer.status));
    }
    let home = page.get("/").text();
    if !home.contains("A collar") {
        broken.push("the home feed can be read from storage".into());
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    site.feeds_faults.heal();
    site.app.save_pin(&site.eyes(&bob).await, pin, at(site.board(&bob, "Finds", Privacy::Public).await)).await.unwrap();
    site.until("all parts to be up", || async { site.app.health.parts().values().all(|state| *state == runtime::PartState::Up) }).await;
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_mail_nothing_else_stops_and_no_mail_is_lost() {
    let site = Site::start().await;
    // A file where the folder should be.
    std::fs::write(site.folder().join("mail"), b"in the way").unwrap();
    let ada = site.person("ada").await;
    let mut browser = site.anonymous();
    let answer = browser.post("/forgot", &[("email", "ada@example.org")]);
    assert_eq!(answer.status, 200);
    assert_eq!(site.browser(&ada).get("/").status, 200);
    site.until("the mails to have been tried", || async {
        site.app.jobs.scan("send_mail", jobs::State::Pending, None, 10).await.is_ok_and(|waiting| {
            waiting.len() == 2
                && waiting.iter().all(|job| job.attempts_made > 0 && job.message.as_deref().is_some_and(|m| m.contains("mail")))
        })
    })
    .await;
    std::fs::remove_file(site.folder().join("mail")).unwrap();
    // The back-off is over at once for a clock that moves.
    site.move_clock(model::Timestamp::HOUR).await;
    let viewer = site.eyes(&ada).await;
    site.app.change_password(&viewer, crate::site::PASSWORD, "another long password", None).await.unwrap();
    site.settle().await;
    let mails = site.mails();
    assert_eq!(mails.len(), 3, "{mails:#?}");
    assert!(site.failures().await.iter().all(|failure| failure.contains("mail can't be written")), "failed attempts are reported");
    site.finish_after_failures().await;
}
