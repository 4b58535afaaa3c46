//! How many rounds to the servers a call costs, each a time of waiting for a page; and logging in.

use std::sync::Arc;

use model::time::ManualClock;
use model::{BoardId, PinId, Shard, Timestamp, TopicId, UserId};
use testkit::redis::{Options, Server, is_available};

use super::RedisEngine;
use crate::contract::live::Servers;
use crate::engine::{Change, Engine};
use crate::facts::{BoardFacts, HomePage, PinFacts, PublicFeed, Reason, Target};
use crate::limits::Limits;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn user(n: u64) -> UserId {
    UserId::new(Shard(1), n)
}

/// A pin of person 1 to 5, on their own board.
fn facts(n: u64) -> PinFacts {
    let (owner, board) = (user(n % 5 + 1), BoardId::new(Shard(1), n % 5 + 1));
    let topics = (0..n % 4).map(|n| TopicId::new(Shard(1), n + 1)).collect();
    PinFacts {
        pin: PinId::new(Shard(1), n),
        owner,
        board,
        topics,
        domain: "example.org".into(),
        at: NOW.plus(-(n as i64) * Timestamp::MINUTE),
    }
}

/// Counts the rounds of a call.
async fn rounds<T>(engine: &RedisEngine, call: impl Future<Output = crate::Result<T>>) -> (u64, T) {
    let before = engine.client.round_count();
    let answer = call.await.expect("an answer");
    (engine.client.round_count() - before, answer)
}

/// What the newest page was about the last time is asked for together with the feed, and what is answered counts.
async fn asks_for_the_newest_page_at_once(engine: &RedisEngine, reader: UserId) {
    let page = async || {
        *engine.merged.lock() = None;
        engine.merged_sources(false).await.expect("sources");
        let (count, page) = rounds(engine, engine.home(reader, None, 25)).await;
        assert_eq!(page.entries.len(), 25);
        (count, page)
    };
    let (count, before) = page().await;
    assert_eq!(count, 1, "nothing is new");
    let new = PinFacts { at: NOW.plus(1), pin: PinId::new(Shard(1), 900), ..facts(5) };
    engine.apply(vec![Change::Publish(new.clone())]).await.expect("applied");
    let (count, after) = page().await;
    assert_eq!((count, after.entries[0].pin), (1, new.pin), "this process has pushed it, and asks for it");
    assert_eq!(after.entries[1..], before.entries[..24]);
    let newer = PinFacts { at: NOW.plus(2), pin: PinId::new(Shard(1), 901), ..facts(5) };
    engine.apply(vec![Change::Publish(newer.clone())]).await.expect("applied");
    engine.heads.of(reader).expect("a hint, which is taken away as if another process had pushed it");
    let (count, after) = page().await;
    assert_eq!((count, after.entries[0].pin), (2, newer.pin), "the new pin, and what it is about");
    engine.apply(vec![Change::Retract(newer.pin)]).await.expect("applied");
    let (_, after) = page().await;
    let of = |page: &HomePage, person: u64| page.entries.iter().filter(|entry| entry.reason == Reason::Person(user(person))).count();
    assert!(of(&after, 2) > 0 && of(&after, 3) > 0 && of(&after, 4) > 0);
    engine.apply(vec![Change::Follow { user: reader, target: Target::User(user(2)), on: false, at: NOW }]).await.expect("applied");
    assert_eq!(of(&page().await.1, 2), 0, "not followed any more");
    assert_eq!(page().await.0, 1, "what took the place of those was noted as well");
    engine.apply(vec![Change::Mute { user: reader, other: user(3), on: true }]).await.expect("applied");
    assert_eq!(of(&page().await.1, 3), 0, "muted, the first one ever");
    engine.apply(vec![Change::Block { user: user(4), other: reader, on: true }]).await.expect("applied");
    assert_eq!(of(&page().await.1, 4), 0, "has blocked the reader");
    engine.apply(vec![Change::Retract(new.pin)]).await.expect("applied");
    assert!(page().await.1.entries.iter().all(|entry| entry.pin != new.pin));
    // As it was, for what follows.
    engine.apply(vec![Change::Block { user: user(4), other: reader, on: false }]).await.expect("applied");
    engine.apply(vec![Change::Mute { user: reader, other: user(3), on: false }]).await.expect("applied");
    engine.apply(vec![Change::Follow { user: reader, target: Target::User(user(2)), on: true, at: NOW }]).await.expect("applied");
}

/// What pins are about is guessed from what somebody else read, and a wrong guess costs a round and nothing else.
async fn asks_for_what_others_have_read(engine: &RedisEngine, second: UserId) {
    let people = [1, 2, 3, 4, 5].map(user);
    let follow = |other| Change::Follow { user: second, target: Target::User(other), on: true, at: NOW };
    engine.apply(people.map(follow).to_vec()).await.expect("applied");
    engine.home(second, None, 25).await.expect("a page");
    engine.fill(second, (1..=100).map(facts).collect(), None).await.expect("filled");
    let page = async || {
        engine.heads.forget(second);
        *engine.merged.lock() = None;
        engine.merged_sources(false).await.expect("sources");
        rounds(engine, engine.home(second, None, 25)).await
    };
    let (count, before) = page().await;
    assert_eq!((count, before.entries.len()), (2, 25), "entries, and all that they are about");
    // Person 1 makes pins on what is person 6's board from now on.
    let board = |owner| Change::Board { board: BoardId::new(Shard(1), 1), facts: Some(BoardFacts { owner, listed: true }) };
    engine.apply(vec![board(user(6))]).await.expect("applied");
    let (count, after) = page().await;
    assert_eq!(count, 4, "also the new owner, and pins in the place of those that don't show");
    let of_first = |page: &HomePage| page.entries.iter().filter(|entry| entry.reason == Reason::Person(user(1))).count();
    assert!(of_first(&before) > 0 && of_first(&after) == 0, "person 6 is not followed");
    let (count, again) = page().await;
    assert_eq!(count, 3, "guessed right again, but for pins in the place of those that don't show");
    assert_eq!(again, after);
}

async fn check(servers: Servers) {
    let engine = RedisEngine::open(&servers.url(), Arc::new(ManualClock::at(NOW)), Limits::default()).expect("an engine");
    engine.clear().await.expect("cleared");
    engine.complete(0).await.expect("complete");
    let reader = user(9);
    let mut changes = Vec::new();
    for n in 1..=5 {
        let facts = BoardFacts { owner: user(n), listed: true };
        changes.push(Change::Board { board: BoardId::new(Shard(1), n), facts: Some(facts) });
        changes.push(Change::Follow { user: reader, target: Target::User(user(n)), on: true, at: NOW });
    }
    engine.apply(changes).await.expect("applied");
    // It also asks which sources are merged, once a second.
    engine.merged_sources(false).await.expect("sources");
    assert_eq!(rounds(&engine, engine.home(reader, None, 25)).await.0, 2, "nothing is there, and that is noted");
    let built: Vec<PinFacts> = (1..=500).map(facts).collect();
    assert_eq!(rounds(&engine, engine.fill(reader, built, None)).await.0, 3, "is it wanted, pins, feed");

    for before in [None, Some(facts(100).position())] {
        *engine.merged.lock() = None;
        engine.merged_sources(false).await.expect("sources");
        let (count, page) = rounds(&engine, engine.home(reader, before, 25)).await;
        assert_eq!((count, page.entries.len()), (3, 25), "entries, pins, boards and edges");
    }
    let everybody: Vec<UserId> = (1..=200).map(user).collect();
    assert_eq!(rounds(&engine, engine.relations(reader, everybody.clone())).await.0, 1);
    assert_eq!(rounds(&engine, engine.standings(reader, everybody.clone())).await.0, 1, "all that stands between them");
    let targets = everybody.iter().copied().map(Target::User).chain([Target::Topic(TopicId::new(Shard(1), 1))]).collect();
    assert_eq!(rounds(&engine, engine.follows(reader, targets)).await.0, 1);
    assert_eq!(rounds(&engine, engine.counts(everybody)).await.0, 1);

    *engine.merged.lock() = None;
    engine.merged_sources(false).await.expect("sources");
    let tagged = PinFacts { at: NOW, ..facts(603) };
    assert_eq!(tagged.topics.len(), 3);
    let (count, rests) = rounds(&engine, engine.apply(vec![Change::Publish(tagged)])).await;
    assert_eq!((count, rests.len()), (4, 0), "facts, public lists, followers of all five sources, their feeds");
    let (count, page) = rounds(&engine, engine.public(PublicFeed::Everything, None, 25)).await;
    assert_eq!((count, page.entries.len()), (2, 1), "entries; the pin and, as it was published here, its board");
    let newest = engine.home(reader, None, 25).await.expect("a page").entries[0].pin;
    assert_eq!(newest, PinId::new(Shard(1), 603), "it reached the feed");
    asks_for_the_newest_page_at_once(&engine, reader).await;
    asks_for_what_others_have_read(&engine, user(8)).await;
}

#[tokio::test]
async fn calls_cost_few_rounds() {
    let Some(servers) = Servers::one("feeds::engine::redis::tests::calls_cost_few_rounds") else { return };
    check(servers).await;
}

#[tokio::test]
async fn calls_cost_as_few_rounds_in_a_cluster() {
    let Some(servers) = Servers::cluster("feeds::engine::redis::tests::calls_cost_as_few_rounds_in_a_cluster").await else { return };
    check(servers).await;
}

#[tokio::test]
async fn logs_in_and_stays_in_its_database() {
    if !is_available("feeds::engine::redis::tests::logs_in_and_stays_in_its_database") {
        return;
    }
    let server = Server::start(Options::default()).expect("a server");
    server.command(&["ACL", "SETUSER", "feeds", "on", ">p@ss:w rd", "~*", "&*", "+@all"]).expect("a user");
    server.command(&["CONFIG", "SET", "requirepass", "site"]).expect("a password");
    let address = server.address();
    let open = |login: &str, database: &str| {
        let url = format!("redis://{login}{address}{database}");
        RedisEngine::open(&url, Arc::new(ManualClock::at(NOW)), Limits::default()).expect("an engine")
    };
    for (login, database) in [("feeds:p%40ss:w%20rd@", "/3"), (":site@", "")] {
        let engine = open(login, database);
        engine.clear().await.expect("cleared");
        engine.complete(7).await.expect("complete");
        assert_eq!(engine.restored_offset().await.expect("an offset"), Some(7));
    }
    let elsewhere = open(":site@", "/5");
    assert_eq!(elsewhere.restored_offset().await.expect("an answer"), None, "another database is another place");
    for (login, database, why) in [("feeds:wrong@", "", "WRONGPASS"), ("", "", "NOAUTH"), (":site@", "/99", "out of range")] {
        let error = open(login, database).restored_offset().await.expect_err("refused");
        assert!(matches!(&error, crate::Error::Unavailable(text) if text.contains(why)), "{error:?} does not say {why}");
    }
}
