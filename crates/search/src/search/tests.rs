//! What the front adds to an engine: background commits, retries, limits, and what is left after a restart.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use model::time::ManualClock;

use super::*;

mod figures;

use crate::{
    Fault, Faulty,
    contract::{NONE, NOW, found, front, id, page, pin, put, request},
};

fn open(folder: &Path) -> Result<Search> {
    Search::open(&format!("tantivy:{}", folder.display()), Arc::new(ManualClock::at(NOW)))
}

/// Waits until a query finds as many pins, and returns how long that took.
async fn wait_until_found(search: &Search, text: &str, count: usize) -> Duration {
    let started = Instant::now();
    while found(search, text).await.len() != count {
        assert!(started.elapsed() < Duration::from_secs(20), "{text} is not found {count} times");
        tokio::task::yield_now().await;
    }
    started.elapsed()
}

#[tokio::test]
async fn what_is_put_is_visible_soon_without_a_flush() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = open(folder.path()).expect("an index");
    search.put(vec![pin(1, "swift").into()]).await.expect("a put");
    // The promise is a second; tests share their machine with others.
    assert!(wait_until_found(&search, "swift", 1).await < Duration::from_secs(5));
    assert_eq!(search.stats().await.expect("stats").pending, 0);
    search.remove(vec![id(1)]).await.expect("a removal");
    wait_until_found(&search, "swift", 0).await;
}

#[tokio::test]
async fn documents_and_offset_outlive_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = open(folder.path()).expect("an index");
    assert_eq!(search.committed_offset(), None);
    search.put(vec![pin(1, "heron").into()]).await.expect("a put");
    search.put_offset(42);
    search.flush().await.expect("a flush");
    drop(search);
    let search = open(folder.path()).expect("the same index");
    assert_eq!((found(&search, "heron").await, search.committed_offset()), (vec![1], Some(42)));
    assert!(search.stats().await.expect("stats").bytes > 0);
}

#[tokio::test]
async fn what_was_not_committed_is_not_covered_by_the_offset() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = open(folder.path()).expect("an index");
    put(&search, [pin(1, "heron")]).await;
    search.put_offset(1);
    search.flush().await.expect("a flush");
    search.put(vec![pin(2, "heron").into()]).await.expect("a put");
    search.put_offset(2);
    // As in a crash: the background ends with its last handle, before the delay is over.
    drop(search);
    let search = open(folder.path()).expect("the same index");
    let found = found(&search, "heron").await;
    assert!((found == [1] && search.committed_offset() == Some(1)) || (found.len() == 2 && search.committed_offset() == Some(2)));
}

#[tokio::test]
async fn failed_commits_are_tried_again_and_newer_changes_win() {
    let faulty = Arc::new(Faulty::new(Arc::new(TantivyEngine::in_memory().expect("an engine"))));
    faulty.inject([Fault::Unavailable, Fault::AnswerLost, Fault::Unavailable]);
    let search = front(Arc::clone(&faulty) as Arc<dyn Engine>);
    search.put(vec![pin(1, "old").into(), pin(2, "old").into()]).await.expect("a put");
    search.put_offset(3);
    let flushing = tokio::spawn({
        let search = search.clone();
        async move { search.flush().await }
    });
    while faulty.pending_count() > 2 {
        tokio::task::yield_now().await;
    }
    search.put(vec![pin(1, "new").into()]).await.expect("a put");
    flushing.await.expect("a task").expect("a flush");
    search.flush().await.expect("a flush");
    assert_eq!(faulty.pending_count(), 0);
    assert_eq!((found(&search, "old").await, found(&search, "new").await), (vec![2], vec![1]));
    assert_eq!(search.committed_offset(), Some(3));
}

#[tokio::test]
async fn failing_reads_say_so() {
    let faulty = Arc::new(Faulty::new(Arc::new(TantivyEngine::in_memory().expect("an engine"))));
    let search = front(Arc::clone(&faulty) as Arc<dyn Engine>);
    faulty.inject([Fault::Unavailable; 4]);
    assert!(matches!(search.query(request("x")).await, Err(Error::Unavailable(_))));
    assert!(matches!(search.suggest("x", None, 5).await, Err(Error::Unavailable(_))));
    assert!(matches!(search.topics(5).await, Err(Error::Unavailable(_))));
    assert!(matches!(search.stats().await, Err(Error::Unavailable(_))));
    assert_eq!(found(&search, "x").await, NONE, "and go on when it is back");
}

#[tokio::test]
async fn what_lies_beyond_the_last_page_is_said() {
    let search = front(Arc::new(TantivyEngine::in_memory().expect("an engine")));
    put(&search, [pin(1, "tern")]).await;
    let beyond = page(&search, SearchRequest { offset: OFFSET_MAX, ..request("tern before:soon") }).await;
    assert_eq!(beyond.notes.len(), 2);
    assert_eq!((beyond.hits.len(), beyond.more), (0, false));
}

#[tokio::test]
async fn unknown_urls_and_foreign_folders_are_refused() {
    let clock = || Arc::new(ManualClock::at(NOW));
    for url in ["", "tantivy", "tantivy:", "memory:x", "opensearch:http://x"] {
        let error = Search::open(url, clock()).expect_err("no index");
        assert_eq!(error, Error::Invalid(format!("'{url}' names no search index; known are tantivy:FOLDER and memory:")));
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("letter.txt"), "dear").expect("a file");
    assert!(matches!(open(folder.path()), Err(Error::Invalid(_))));
    assert!(folder.path().join("letter.txt").exists());
    assert!(matches!(open(&folder.path().join("letter.txt")), Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn broken_and_foreign_indexes_start_over() {
    for damage in ["{", "{\"segments\":[],\"schema\":[],\"opstamp\":1,\"payload\":\"{}\"}"] {
        let folder = tempfile::tempdir().expect("a folder");
        let search = open(folder.path()).expect("an index");
        put(&search, [pin(1, "rook")]).await;
        drop(search);
        std::fs::write(folder.path().join("meta.json"), damage).expect("a file");
        // The background of the first handle ends a moment after it and only then gives the folder free.
        let search = loop {
            match open(folder.path()) {
                Err(Error::Conflict(_)) => tokio::task::yield_now().await,
                opened => break opened.expect("a new index"),
            }
        };
        assert_eq!((found(&search, "rook").await, search.committed_offset()), (NONE.to_vec(), None), "{damage}");
        put(&search, [pin(2, "rook")]).await;
        assert_eq!(found(&search, "rook").await, [2]);
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_and_keeps_its_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = TantivyEngine::open(folder.path()).expect("an index");
    let change = |number| Arc::new(vec![Change::Put(Box::new(pin(number, "crow").into()))]);
    first.apply(change(1), None).await.expect("a commit");
    let second = TantivyEngine::open(folder.path()).expect("a reader of the same index");
    assert!(matches!(second.apply(change(2), None).await, Err(Error::Conflict(_))));
    assert_eq!(second.stats().await.expect("stats").documents, 1);
    drop(first);
    second.apply(change(2), None).await.expect("a commit, now that the first is gone");
    assert_eq!(second.stats().await.expect("stats").documents, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_putters_lose_nothing() {
    let search = front(Arc::new(TantivyEngine::in_memory().expect("an engine")));
    let mut putters = tokio::task::JoinSet::new();
    for part in 0..8_u64 {
        let search = search.clone();
        putters.spawn(async move {
            for number in 0..20 {
                search.put(vec![pin(part * 100 + number, "lark").into()]).await.expect("a put");
                if number % 7 == 0 {
                    search.flush().await.expect("a flush");
                }
            }
        });
    }
    while let Some(putter) = putters.join_next().await {
        putter.expect("a task");
    }
    search.flush().await.expect("a flush");
    assert_eq!(search.stats().await.expect("stats").documents, 160);
}
