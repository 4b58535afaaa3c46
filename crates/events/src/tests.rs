//! The front and the consumer, over the embedded engine and over one that fails.

use std::sync::Arc;
use std::time::Duration;

use model::{Event, EventKind, Timestamp, Topic};
use runtime::SystemClock;

use crate::{Error, Events, Fault, Faulty, SqliteEngine};

fn event(id: impl Into<String>) -> Event {
    Event {
        id: id.into(),
        kind: EventKind::PinSaved,
        at: Timestamp(7),
        actor: None,
        subjects: Vec::new(),
        request_id: "r".to_owned(),
        role: "web".to_owned(),
        host: String::new(),
        data: serde_json::json!({ "n": 1 }),
    }
}

fn open(folder: &std::path::Path) -> Events {
    Events::open(&format!("sqlite:{}", folder.join("events.db").display()), SystemClock::shared()).expect("a log")
}

fn open_faulty(folder: &std::path::Path, seed: u64, percent: u64) -> (Events, Arc<Faulty>) {
    let engine = SqliteEngine::open(&folder.join("events.db")).expect("an engine");
    let faulty = Arc::new(Faulty::seeded(Arc::new(engine), seed, percent));
    let spool = Some(folder.join("events.db.spool.jsonl"));
    (Events::with_engine(faulty.clone(), spool, SystemClock::shared()).expect("a log"), faulty)
}

async fn ids(events: &Events) -> Vec<String> {
    events.read(Topic::Activity, 0, 100_000).await.expect("a read").into_iter().map(|record| record.event.id).collect()
}

fn numbers(to: usize) -> Vec<String> {
    (0..to).map(|number| format!("{number:05}")).collect()
}

#[tokio::test]
async fn events_come_back_as_they_went_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    events.append(&[event("a"), Event { kind: EventKind::PageViewed, ..event("b") }]).await.expect("an append");
    let records = events.read(Topic::Activity, 0, 10).await.expect("a read");
    assert_eq!(records, [crate::Record { offset: 1, event: event("a") }]);
    assert_eq!(events.end(Topic::Impressions).await.expect("an end"), 1);
    assert_eq!(events.recent(Topic::Impressions, 5).await.expect("a read")[0].event.id, "b");
    assert_eq!(events.start(Topic::Activity).await.expect("a start"), 1);
}

#[tokio::test]
async fn details_are_blanked_where_asked_and_what_happened_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    events.append(&[event("a"), event("b")]).await.expect("an append");
    events.emit(Event { kind: EventKind::SearchMade, ..event("c") });
    assert_eq!(events.blank(|event| event.id != "b").await.expect("a blanking"), 2, "what was emitted and not yet written too");
    assert_eq!(events.blank(|event| event.id != "b").await.expect("a blanking"), 0, "once");
    let records = events.read(Topic::Activity, 0, 10).await.expect("a read");
    let blank = Event { data: serde_json::Value::Null, ..event("a") };
    assert_eq!(records.into_iter().map(|record| record.event).collect::<Vec<_>>(), [blank, event("b")]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    assert!(matches!(Events::open("kafka://x", SystemClock::shared()), Err(Error::Invalid(why)) if why.contains("sqlite:")));
    assert!(matches!(events.append(&[event("")]).await, Err(Error::Invalid(_))));
    let large = Event { data: serde_json::json!("x".repeat(crate::EVENT_BYTES_MAX)), ..event("large") };
    assert!(matches!(events.append(&[event("small"), large]).await, Err(Error::Invalid(_))));
    assert_eq!(events.end(Topic::Activity).await.expect("an end"), 0);
    assert!(matches!(events.consumer("a b", Topic::Activity).await, Err(Error::Invalid(_))));
    assert!(matches!(events.consumer("", Topic::Activity).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_consumer_waits_commits_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    // Waiting ends without a loss when it is cancelled.
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next(10)).await.is_err());
    let waiting = tokio::spawn(async move {
        let records = consumer.next(10).await.expect("records");
        (consumer, records)
    });
    events.append(&[event("a"), event("b")]).await.expect("an append");
    let (mut consumer, records) = waiting.await.expect("a task");
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(consumer.position(), 2);
    consumer.commit(1).await.expect("a commit");
    assert_eq!(events.lag().await.expect("lags")[0].records(), 1);
    let mut again = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    assert_eq!(again.next(10).await.expect("records")[0].event.id, "b");
    again.seek(0);
    assert_eq!(again.next(1).await.expect("records")[0].event.id, "a");
    assert!(matches!(again.commit(-1).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_consumer_hears_of_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    let waiting = tokio::spawn(async move { consumer.next(10).await });
    events.close().await;
    assert!(matches!(waiting.await.expect("a task"), Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn emitted_events_reach_the_log_in_order_without_being_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    for id in numbers(1_203) {
        events.emit(event(id));
    }
    let mut seen = Vec::new();
    while seen.len() < 1_203 {
        seen.extend(consumer.next(5_000).await.expect("records").into_iter().map(|record| record.event.id));
    }
    assert_eq!(seen, numbers(1_203));
    assert_eq!(events.stats().await.expect("stats").dropped, 0);
}

#[tokio::test]
async fn a_full_buffer_drops_and_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    // The test's runtime has one thread, so that the flusher runs only at the next await.
    for id in numbers(crate::BUFFER_EVENTS_MAX + 3) {
        events.emit(event(id));
    }
    events.flush().await.expect("a flush");
    assert_eq!(events.stats().await.expect("stats").dropped, 3);
    assert_eq!(ids(&events).await, numbers(crate::BUFFER_EVENTS_MAX));
}

#[tokio::test]
async fn while_the_log_is_away_events_wait_on_disk_and_come_back_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (events, faulty) = open_faulty(folder.path(), 1, 0);
    events.emit(event("00000"));
    events.flush().await.expect("a flush");
    faulty.set_down(true);
    for id in &numbers(5)[1..] {
        events.emit(event(id));
        assert!(matches!(events.flush().await, Err(Error::Unavailable(_))));
    }
    assert!(events.stats().await.is_err());
    assert_eq!(std::fs::read_to_string(folder.path().join("events.db.spool.jsonl")).expect("a spool").lines().count(), 4);
    faulty.set_down(false);
    assert!(events.stats().await.expect("stats").spool_bytes > 0);
    // Younger events come behind those in the spool.
    events.emit(event("00005"));
    events.flush().await.expect("a flush");
    assert_eq!(ids(&events).await, numbers(6));
    assert_eq!(events.stats().await.expect("stats").spool_bytes, 0);
    assert_eq!(std::fs::metadata(folder.path().join("events.db.spool.jsonl")).expect("a spool").len(), 0);
}

#[tokio::test]
async fn the_spool_of_an_earlier_process_is_drained_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (events, faulty) = open_faulty(folder.path(), 1, 0);
    faulty.set_down(true);
    events.emit(event("00000"));
    assert!(events.flush().await.is_err());
    events.close().await;
    let events = open(folder.path());
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    assert_eq!(consumer.next(10).await.expect("records")[0].event.id, "00000");
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_double_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let (events, faulty) = open_faulty(folder.path(), 1, 0);
    faulty.inject([Fault::AnswerLost]);
    events.emit(event("00000"));
    assert!(events.flush().await.is_err());
    events.emit(event("00001"));
    events.flush().await.expect("a flush");
    assert_eq!(ids(&events).await, numbers(2));
}

#[tokio::test]
async fn under_random_failures_every_event_arrives_once_and_in_order() {
    for seed in [1, 7, 2_024] {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, faulty) = open_faulty(folder.path(), seed, 30);
        for id in numbers(200) {
            events.emit(event(id));
            // The answer does not matter: what fails waits in the spool.
            let _ = events.flush().await;
        }
        faulty.set_percent(0);
        events.flush().await.expect("a flush");
        assert_eq!(ids(&events).await, numbers(200), "seed {seed}");
        assert_eq!(events.stats().await.expect("stats").dropped, 0, "seed {seed}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_can_be_passed() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine: Arc<dyn crate::Engine> = Arc::new(SqliteEngine::open(&folder.path().join("events.db")).expect("an engine"));
    let events = Events::with_engine(engine.clone(), None, SystemClock::shared()).expect("a log");
    events.append(&[event("a")]).await.expect("an append");
    let broken = crate::LogRow { topic: Topic::Activity, id: "b".to_owned(), at: Timestamp(7), event: "{".to_owned() };
    engine.append(vec![broken]).await.expect("an append");
    events.append(&[event("c")]).await.expect("an append");
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    assert_eq!(consumer.next(10).await.expect("records").len(), 1);
    assert!(matches!(consumer.next(10).await, Err(Error::Corrupt(why)) if why.contains("seek(2)")));
    consumer.seek(2);
    assert_eq!(consumer.next(10).await.expect("records")[0].event.id, "c");
}

#[tokio::test]
async fn retention_keeps_what_groups_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let events = open(folder.path());
    events.append(&[event("a"), event("b"), Event { at: Timestamp(100), ..event("c") }]).await.expect("an append");
    let mut consumer = events.consumer("feeds", Topic::Activity).await.expect("a consumer");
    consumer.commit(1).await.expect("a commit");
    assert_eq!(events.forget_before(Timestamp(50)).await.expect("an answer"), 1);
    assert!(events.forget_group("feeds").await.expect("an answer"));
    assert_eq!(events.forget_before(Timestamp(50)).await.expect("an answer"), 1);
    assert_eq!(ids(&events).await, ["c"]);
    assert_eq!(events.start(Topic::Activity).await.expect("a start"), 3);
}

#[tokio::test]
async fn what_was_emitted_is_put_away_when_the_log_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine: Arc<dyn crate::Engine> = Arc::new(SqliteEngine::open(&folder.path().join("events.db")).expect("an engine"));
    let mut written = engine.watch();
    let events = Events::with_engine(engine.clone(), None, SystemClock::shared()).expect("a log");
    events.emit(event("a"));
    drop(events);
    while engine.bounds(Topic::Activity, 0).await.expect("bounds").end == 0 {
        written.changed().await.expect("a change");
    }
}
