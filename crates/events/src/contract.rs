//! What every engine must do: one list of tests, one line per engine to run it.

use std::sync::Arc;

use model::{Timestamp, Topic};

use crate::engine::{Engine, Fault, Faulty, LogRow, SqliteEngine};
use crate::error::Error;
use crate::record::TopicStats;

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            super::$test(super::open(folder.path())).await;
        })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            super::$test(std::sync::Arc::new(super::Faulty::new(super::open(folder.path())))).await;
        })* }
    };
}

contract!(
    what_was_appended_is_read_in_order,
    topics_count_for_themselves,
    an_id_is_kept_once,
    reads_go_on_where_they_stopped,
    recent_is_newest_first,
    an_empty_topic_has_bounds,
    a_group_keeps_its_place,
    groups_show_their_lag,
    a_forgotten_group_is_gone,
    retention_takes_what_is_old_and_consumed,
    retention_waits_for_groups_but_not_for_ever,
    retention_stops_at_its_limit,
    offsets_are_never_used_again,
    a_record_is_rewritten_where_it_stands,
    a_watch_changes_after_an_append,
    concurrent_appends_leave_no_gaps,
    other_partitions_are_refused,
    a_closed_engine_refuses,
);

const NOW: Timestamp = Timestamp(1_000_000);

fn open(folder: &std::path::Path) -> Arc<dyn Engine> {
    Arc::new(SqliteEngine::open(&folder.join("events.db")).expect("an engine"))
}

fn row(topic: Topic, id: &str, at: i64) -> LogRow {
    LogRow { topic, id: id.to_owned(), at: Timestamp(at), event: format!("event {id}") }
}

/// Appends events of the topic with ids `from..=to` and the number as time.
async fn fill(engine: &Arc<dyn Engine>, topic: Topic, from: i64, to: i64) {
    let rows = (from..=to).map(|number| row(topic, &format!("{}-{number}", topic.as_str()), number)).collect();
    engine.append(rows).await.expect("an append");
}

async fn offsets(engine: &Arc<dyn Engine>, topic: Topic, after: i64, limit: usize) -> Vec<i64> {
    let rows = engine.read(topic, 0, after, limit).await.expect("a read");
    rows.into_iter().map(|(offset, _)| offset).collect()
}

async fn what_was_appended_is_read_in_order(engine: Arc<dyn Engine>) {
    engine.append(vec![row(Topic::Activity, "b", 2), row(Topic::Activity, "a", 1)]).await.expect("an append");
    let rows = engine.read(Topic::Activity, 0, 0, 10).await.expect("a read");
    assert_eq!(rows, [(1, "event b".to_owned()), (2, "event a".to_owned())]);
    engine.append(Vec::new()).await.expect("an empty append");
}

async fn topics_count_for_themselves(engine: Arc<dyn Engine>) {
    engine.append(vec![row(Topic::Activity, "a", 1), row(Topic::Audit, "b", 1), row(Topic::Activity, "c", 1)]).await.expect("an append");
    assert_eq!(offsets(&engine, Topic::Activity, 0, 10).await, [1, 2]);
    assert_eq!(offsets(&engine, Topic::Audit, 0, 10).await, [1]);
    assert_eq!(offsets(&engine, Topic::Errors, 0, 10).await, [0_i64; 0]);
    // The end of one topic is not the start of the next.
    assert_eq!(offsets(&engine, Topic::Activity, i64::MAX, 10).await, [0_i64; 0]);
}

async fn an_id_is_kept_once(engine: Arc<dyn Engine>) {
    engine.append(vec![row(Topic::Activity, "a", 1), row(Topic::Activity, "a", 1)]).await.expect("an append");
    engine.append(vec![row(Topic::Activity, "b", 1), row(Topic::Activity, "a", 1), row(Topic::Activity, "c", 1)]).await.expect("an append");
    let rows = engine.read(Topic::Activity, 0, 0, 10).await.expect("a read");
    assert_eq!(rows, [(1, "event a".to_owned()), (2, "event b".to_owned()), (3, "event c".to_owned())]);
    assert_eq!(engine.bounds(Topic::Activity, 0).await.expect("bounds").end, 3);
}

async fn reads_go_on_where_they_stopped(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Errors, 1, 450).await;
    for limit in [1, 7, 200, 201, 449, 450, 451] {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = offsets(&engine, Topic::Errors, after, limit).await;
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = *last;
            all.extend(page);
        }
        assert_eq!(all, (1..=450).collect::<Vec<i64>>(), "by {limit}");
    }
}

async fn recent_is_newest_first(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 5).await;
    let rows = engine.recent(Topic::Activity, 0, 3).await.expect("a read");
    assert_eq!(rows.into_iter().map(|(offset, _)| offset).collect::<Vec<i64>>(), [5, 4, 3]);
    assert_eq!(engine.recent(Topic::Audit, 0, 3).await.expect("a read"), []);
}

async fn an_empty_topic_has_bounds(engine: Arc<dyn Engine>) {
    let bounds = engine.bounds(Topic::Activity, 0).await.expect("bounds");
    assert_eq!(bounds, TopicStats { topic: Topic::Activity, start: 1, end: 0 });
    assert_eq!(bounds.records(), 0);
}

async fn a_group_keeps_its_place(engine: Arc<dyn Engine>) {
    assert_eq!(engine.join("feeds", Topic::Activity, 0, NOW).await.expect("a place"), 0);
    engine.commit("feeds", Topic::Activity, 0, 7, NOW).await.expect("a commit");
    assert_eq!(engine.join("feeds", Topic::Activity, 0, NOW).await.expect("a place"), 7);
    assert_eq!(engine.join("feeds", Topic::Audit, 0, NOW).await.expect("a place"), 0);
    assert_eq!(engine.join("search", Topic::Activity, 0, NOW).await.expect("a place"), 0);
    engine.commit("feeds", Topic::Activity, 0, 3, NOW).await.expect("a commit back");
    assert_eq!(engine.join("feeds", Topic::Activity, 0, NOW).await.expect("a place"), 3);
}

async fn groups_show_their_lag(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 5).await;
    engine.join("search", Topic::Activity, 0, NOW).await.expect("a place");
    engine.join("feeds", Topic::Activity, 0, NOW).await.expect("a place");
    engine.commit("feeds", Topic::Activity, 0, 4, NOW.plus(1)).await.expect("a commit");
    let groups = engine.groups().await.expect("groups");
    let lags: Vec<_> = groups.iter().map(|group| (group.group.as_str(), group.records(), group.committed_at)).collect();
    assert_eq!(lags, [("feeds", 1, NOW.plus(1)), ("search", 5, NOW)]);
}

async fn a_forgotten_group_is_gone(engine: Arc<dyn Engine>) {
    engine.commit("feeds", Topic::Activity, 0, 4, NOW).await.expect("a commit");
    assert!(engine.forget_group("feeds").await.expect("an answer"));
    assert!(!engine.forget_group("feeds").await.expect("an answer"));
    assert_eq!(engine.groups().await.expect("groups"), []);
    assert_eq!(engine.join("feeds", Topic::Activity, 0, NOW).await.expect("a place"), 0);
}

async fn retention_takes_what_is_old_and_consumed(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 10).await;
    fill(&engine, Topic::Audit, 1, 10).await;
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(5), Timestamp(0), 100).await.expect("an answer"), 4);
    assert_eq!(offsets(&engine, Topic::Activity, 0, 100).await, (5..=10).collect::<Vec<i64>>());
    assert_eq!(engine.bounds(Topic::Activity, 0).await.expect("bounds"), TopicStats { topic: Topic::Activity, start: 5, end: 10 });
    assert_eq!(offsets(&engine, Topic::Audit, 0, 100).await.len(), 10);
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(5), Timestamp(0), 100).await.expect("an answer"), 0);
}

async fn retention_waits_for_groups_but_not_for_ever(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 10).await;
    engine.join("slow", Topic::Activity, 0, NOW).await.expect("a place");
    engine.commit("slow", Topic::Activity, 0, 3, NOW).await.expect("a commit");
    engine.commit("fast", Topic::Activity, 0, 9, NOW).await.expect("a commit");
    engine.commit("elsewhere", Topic::Audit, 0, 0, NOW).await.expect("a commit");
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(8), Timestamp(0), 100).await.expect("an answer"), 3);
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(8), Timestamp(6), 100).await.expect("an answer"), 2);
    assert_eq!(offsets(&engine, Topic::Activity, 0, 100).await, (6..=10).collect::<Vec<i64>>());
}

async fn retention_stops_at_its_limit(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 10).await;
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(100), Timestamp(0), 4).await.expect("an answer"), 4);
    assert_eq!(offsets(&engine, Topic::Activity, 0, 100).await, (5..=10).collect::<Vec<i64>>());
}

async fn offsets_are_never_used_again(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 3).await;
    assert_eq!(engine.forget(Topic::Activity, 0, Timestamp(100), Timestamp(0), 100).await.expect("an answer"), 3);
    assert_eq!(engine.bounds(Topic::Activity, 0).await.expect("bounds"), TopicStats { topic: Topic::Activity, start: 4, end: 3 });
    fill(&engine, Topic::Activity, 4, 4).await;
    assert_eq!(offsets(&engine, Topic::Activity, 0, 100).await, [4]);
}

async fn a_watch_changes_after_an_append(engine: Arc<dyn Engine>) {
    let mut watch = engine.watch();
    watch.mark_unchanged();
    fill(&engine, Topic::Activity, 1, 1).await;
    watch.changed().await.expect("a change");
}

async fn concurrent_appends_leave_no_gaps(engine: Arc<dyn Engine>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=40 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move { fill(&engine, Topic::Activity, number * 10, number * 10 + 4).await });
    }
    while let Some(appended) = tasks.join_next().await {
        appended.expect("a task");
    }
    assert_eq!(offsets(&engine, Topic::Activity, 0, 1_000).await, (1..=200).collect::<Vec<i64>>());
}

async fn a_record_is_rewritten_where_it_stands(engine: Arc<dyn Engine>) {
    fill(&engine, Topic::Activity, 1, 3).await;
    fill(&engine, Topic::Audit, 1, 3).await;
    engine.forget(Topic::Activity, 0, Timestamp(2), Timestamp(2), 10).await.expect("a forgetting");
    let rows = vec![(1, "gone".to_owned()), (2, "blank".to_owned()), (9, "never was".to_owned())];
    engine.rewrite(Topic::Activity, 0, rows).await.expect("a rewriting");
    let kept = engine.read(Topic::Activity, 0, 0, 10).await.expect("a read");
    assert_eq!(kept, [(2, "blank".to_owned()), (3, "event activity-3".to_owned())]);
    let others = engine.read(Topic::Audit, 0, 1, 1).await.expect("a read");
    assert_eq!(others, [(2, "event audit-2".to_owned())], "another topic's offset 2");
    engine.append(vec![row(Topic::Activity, "activity-2", 2)]).await.expect("an append");
    assert_eq!(offsets(&engine, Topic::Activity, 0, 10).await, [2, 3], "its id is still known");
}

async fn other_partitions_are_refused(engine: Arc<dyn Engine>) {
    assert!(matches!(engine.read(Topic::Activity, 1, 0, 10).await, Err(Error::Invalid(_))));
    assert!(matches!(engine.rewrite(Topic::Activity, 1, Vec::new()).await, Err(Error::Invalid(_))));
    assert!(matches!(engine.join("feeds", Topic::Activity, 1, NOW).await, Err(Error::Invalid(_))));
}

async fn a_closed_engine_refuses(engine: Arc<dyn Engine>) {
    let mut watch = engine.watch();
    engine.close().await;
    engine.close().await;
    assert!(matches!(engine.append(vec![row(Topic::Activity, "a", 1)]).await, Err(Error::Unavailable(_))));
    assert!(matches!(engine.read(Topic::Activity, 0, 0, 10).await, Err(Error::Unavailable(_))));
    while watch.changed().await.is_ok() {}
}

#[tokio::test]
async fn injected_faults_say_what_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let faulty = Faulty::new(open(folder.path()));
    faulty.inject([Fault::Unavailable, Fault::AnswerLost]);
    assert!(matches!(faulty.append(vec![row(Topic::Activity, "a", 1)]).await, Err(Error::Unavailable(_))));
    assert!(matches!(faulty.append(vec![row(Topic::Activity, "b", 1)]).await, Err(Error::Unknown(_))));
    assert_eq!(faulty.read(Topic::Activity, 0, 0, 10).await.expect("a read"), [(1, "event b".to_owned())]);
}

#[tokio::test]
async fn what_was_appended_survives_reopening_and_shows_in_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let second = open(folder.path());
    let mut watch = second.watch();
    watch.mark_unchanged();
    fill(&first, Topic::Activity, 1, 3).await;
    watch.changed().await.expect("a change");
    assert_eq!(offsets(&second, Topic::Activity, 0, 10).await, [1, 2, 3]);
    first.close().await;
    second.close().await;
    drop((first, second));
    assert_eq!(offsets(&open(folder.path()), Topic::Activity, 0, 10).await, [1, 2, 3]);
}
