//! What every engine must do: one list of tests, one line per engine to run it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    engine::{BlobKey, BlobName, Engine, Fault, Faulty, FileEngine, MemoryEngine},
    error::EngineError,
    picture::Hash,
    rendition::Rendition,
};

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() { super::$test(std::sync::Arc::new(super::MemoryEngine::default())).await; })* }
        mod file { $(#[tokio::test] async fn $test() {
            let folder = tempfile::tempdir().expect("a folder");
            let engine = super::FileEngine::open(folder.path().join("media")).await.expect("an engine");
            super::$test(std::sync::Arc::new(engine)).await;
        })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            let inner = std::sync::Arc::new(super::MemoryEngine::default());
            super::$test(std::sync::Arc::new(super::Faulty::new(inner))).await;
        })* }
    };
}

contract!(
    what_was_put_is_got,
    an_absent_blob_is_none_and_no_error,
    a_second_put_replaces,
    an_empty_and_a_large_blob_come_back,
    names_of_one_picture_are_apart,
    a_delete_is_idempotent,
    a_list_is_in_order_and_goes_on_where_it_stopped,
    concurrent_puts_of_one_key_leave_one_whole_blob,
    puts_and_deletes_of_one_picture_do_not_break_each_other,
);

fn key(seed: u32, rendition: Rendition) -> BlobKey {
    BlobKey::rendition(Hash::of(&seed.to_be_bytes()), rendition)
}

async fn what_was_put_is_got(engine: Arc<dyn Engine>) {
    let key = key(1, Rendition::Original);
    engine.put(key, Bytes::from_static(b"pixels")).await.expect("a put");
    assert_eq!(engine.get(key).await.expect("a get"), Some(Bytes::from_static(b"pixels")));
    assert!(engine.exists(key).await.expect("an answer"));
}

async fn an_absent_blob_is_none_and_no_error(engine: Arc<dyn Engine>) {
    let key = key(1, Rendition::Original);
    assert_eq!(engine.get(key).await.expect("a get"), None);
    assert!(!engine.exists(key).await.expect("an answer"));
    assert!(engine.list(None, 10).await.expect("a list").is_empty());
}

async fn a_second_put_replaces(engine: Arc<dyn Engine>) {
    let key = key(1, Rendition::W600);
    engine.put(key, Bytes::from_static(b"first and longer")).await.expect("a put");
    engine.put(key, Bytes::from_static(b"second")).await.expect("a put");
    assert_eq!(engine.get(key).await.expect("a get"), Some(Bytes::from_static(b"second")));
    assert_eq!(engine.list(None, 10).await.expect("a list").len(), 1);
}

async fn an_empty_and_a_large_blob_come_back(engine: Arc<dyn Engine>) {
    let large = Bytes::from((0..3_000_000_u32).map(|index| (index.wrapping_mul(7) >> 3) as u8).collect::<Vec<u8>>());
    engine.put(key(1, Rendition::Original), Bytes::new()).await.expect("a put");
    engine.put(key(2, Rendition::Original), large.clone()).await.expect("a put");
    assert_eq!(engine.get(key(1, Rendition::Original)).await.expect("a get"), Some(Bytes::new()));
    assert_eq!(engine.get(key(2, Rendition::Original)).await.expect("a get"), Some(large));
}

async fn names_of_one_picture_are_apart(engine: Arc<dyn Engine>) {
    let hash = Hash::of(b"1");
    for name in BlobName::ALL {
        engine.put(BlobKey::new(hash, name), Bytes::from_static(name.as_str().as_bytes())).await.expect("a put");
    }
    for name in BlobName::ALL {
        let got = engine.get(BlobKey::new(hash, name)).await.expect("a get").expect("a blob");
        assert_eq!(got, name.as_str());
    }
    let entries = engine.list(None, 100).await.expect("a list");
    assert_eq!(entries.len(), BlobName::ALL.len());
    assert_eq!(
        entries.iter().map(|entry| entry.bytes).sum::<u64>(),
        BlobName::ALL.iter().map(|name| name.as_str().len() as u64).sum::<u64>()
    );
}

async fn a_delete_is_idempotent(engine: Arc<dyn Engine>) {
    let key = key(1, Rendition::Original);
    engine.put(key, Bytes::from_static(b"pixels")).await.expect("a put");
    assert!(engine.delete(key).await.expect("a delete"));
    assert!(!engine.delete(key).await.expect("a delete"));
    assert_eq!(engine.get(key).await.expect("a get"), None);
    engine.put(key, Bytes::from_static(b"again")).await.expect("a put after a delete");
    assert!(engine.exists(key).await.expect("an answer"));
}

async fn a_list_is_in_order_and_goes_on_where_it_stopped(engine: Arc<dyn Engine>) {
    let mut keys: Vec<BlobKey> = (0..20).flat_map(|seed| [key(seed, Rendition::Original), key(seed, Rendition::Square150)]).collect();
    for key in &keys {
        engine.put(*key, Bytes::from_static(b"pixels")).await.expect("a put");
    }
    keys.sort();
    for count_max in [1, 3, 7, 40, 100] {
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = engine.list(after, count_max).await.expect("a list");
            assert!(page.len() <= count_max);
            after = page.last().map(|entry| entry.key);
            let is_last = page.len() < count_max;
            listed.extend(page.into_iter().map(|entry| entry.key));
            if is_last {
                break;
            }
        }
        assert_eq!(listed, keys, "by {count_max}");
    }
}

async fn concurrent_puts_of_one_key_leave_one_whole_blob(engine: Arc<dyn Engine>) {
    let key = key(1, Rendition::W1200);
    let mut tasks = tokio::task::JoinSet::new();
    for value in 0..8_u8 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move { engine.put(key, Bytes::from(vec![value; 100_000])).await });
    }
    while let Some(put) = tasks.join_next().await {
        put.expect("a task").expect("a put");
    }
    let got = engine.get(key).await.expect("a get").expect("a blob");
    assert_eq!(got.len(), 100_000);
    assert!(got.iter().all(|byte| *byte == got[0]));
}

async fn puts_and_deletes_of_one_picture_do_not_break_each_other(engine: Arc<dyn Engine>) {
    let mut tasks = tokio::task::JoinSet::new();
    for round in 0..40_u32 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            let key = key(1, Rendition::MADE[round as usize % 2]);
            if round % 4 < 2 { engine.put(key, Bytes::from_static(b"pixels")).await } else { engine.delete(key).await.map(drop) }
        });
    }
    while let Some(call) = tasks.join_next().await {
        call.expect("a task").expect("a call");
    }
    for rendition in Rendition::MADE {
        let got = engine.get(key(1, rendition)).await.expect("a get");
        assert!(got.is_none_or(|bytes| bytes == "pixels"));
    }
}

#[tokio::test]
async fn injected_faults_do_what_they_say() {
    let faulty = Faulty::new(Arc::new(MemoryEngine::default()));
    let key = key(1, Rendition::Original);
    faulty.inject([Fault::Unavailable, Fault::Pass, Fault::AnswerLost]);
    let refused = faulty.put(key, Bytes::from_static(b"a")).await;
    assert!(matches!(refused, Err(EngineError::Unavailable(_))));
    assert_eq!(faulty.get(key).await.expect("a get"), None);
    let lost = faulty.put(key, Bytes::from_static(b"b")).await;
    assert!(matches!(lost, Err(EngineError::Unknown(_))));
    assert_eq!(faulty.get(key).await.expect("a get"), Some(Bytes::from_static(b"b")));
    assert_eq!(faulty.pending_count(), 0);
}
