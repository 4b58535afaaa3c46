//! What every engine must do: one list of tests, one line per engine to run it. The random tests against a model are in
//! `naive.rs`; here stand the promises one by one.

mod fan_out;
mod faults;
pub(crate) mod live;
pub(crate) mod service;
mod standing;
mod whole;

use std::sync::Arc;

use model::time::ManualClock;
use model::{BoardId, PinId, Shard, Timestamp, TopicId, UserId};

use crate::engine::{Change, Engine, Faulty, MemoryEngine, RedisEngine};
use crate::limits::{BUILD_MS_MAX, RETRACTED_MS};
use fan_out::{
    a_fan_out_goes_on_after_the_world_has_changed, a_large_fan_out_reaches_everybody_once, a_rest_counts_for_what_the_pin_is_by_then,
    a_rest_of_a_pin_that_is_not_known_drops_the_feeds, each_source_of_a_pin_leaves_its_own_rest,
};
use standing::one_question_tells_all_that_stands_between_people;

use crate::{Away, BoardFacts, Feeds, HomePage, Limits, PinFacts, Position, PublicFeed, Reason, Target, TargetKind};

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() { super::$test(super::World::new(|engine| engine)).await; })* }
        mod faulty { $(#[tokio::test] async fn $test() {
            super::$test(super::World::new(|engine| std::sync::Arc::new(super::Faulty::new(engine)))).await;
        })* }
        mod redis { $(#[tokio::test] async fn $test() {
            let Some(servers) = super::live::Servers::one(concat!("feeds::contract::redis::", stringify!($test))) else { return };
            super::$test(super::World::live(servers, super::LIMITS).await).await;
        })* }
        mod redis_cluster { $(#[tokio::test] async fn $test() {
            let Some(servers) = super::live::Servers::cluster(concat!("feeds::contract::redis_cluster::", stringify!($test))).await else { return };
            super::$test(super::World::live(servers, super::LIMITS).await).await;
        })* }
        mod remote { $(#[tokio::test] async fn $test() { super::$test(super::World::remote().await).await; })* }
        mod remote_redis { $(#[tokio::test] async fn $test() {
            let Some(servers) = super::live::Servers::one(concat!("feeds::contract::remote_redis::", stringify!($test))) else { return };
            super::$test(super::World::remote_live(servers).await).await;
        })* }
    };
}

contract!(
    a_pin_reaches_each_follower_once_whatever_led_there,
    the_order_is_the_pins_time_not_the_arrival,
    what_is_unfollowed_left_out_blocked_muted_or_retracted_is_gone_at_once,
    what_becomes_visible_again_drops_the_feed,
    a_follow_that_went_and_came_back_unseen_drops_the_feed,
    a_board_that_was_never_set_shows_nothing,
    a_board_set_after_its_pins_shows_them,
    a_moved_pin_follows_its_new_board,
    a_feed_that_overflows_says_where_storage_goes_on,
    an_author_with_many_followers_is_merged_at_read,
    a_topic_with_many_followers_is_merged_at_read,
    a_source_that_becomes_merged_loses_no_pin,
    a_fill_merges_what_was_published_meanwhile_and_not_what_was_retracted,
    a_fill_that_began_before_the_graph_widened_is_refused,
    a_fill_without_a_miss_is_not_taken,
    public_feeds_hold_listed_pins_and_say_where_they_end,
    followers_of_a_board_are_counted_exactly,
    follows_are_listed_newest_first_in_pages,
    what_is_kept_away_is_listed_in_pages,
    suggestions_are_shared_follows,
    one_question_tells_all_that_stands_between_people,
    a_forgotten_person_leaves_nothing,
    idle_feeds_are_dropped_and_unheld_pins_forgotten,
    what_was_shown_is_kept_until_the_person_is_long_away,
    new_pins_stand_in_the_order_of_their_time_and_once,
    clear_forgets_everything,
    a_large_fan_out_reaches_everybody_once,
    each_source_of_a_pin_leaves_its_own_rest,
    a_fan_out_goes_on_after_the_world_has_changed,
    a_rest_counts_for_what_the_pin_is_by_then,
    a_rest_of_a_pin_that_is_not_known_drops_the_feeds,
);

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LIMITS: Limits = Limits {
    home_entries_max: 10,
    public_entries_max: 20,
    merge_threshold: 5,
    fan_out_max: 2,
    idle_ms: Timestamp::DAY,
    home_entries_total_max: 200,
};

fn user(n: u64) -> UserId {
    UserId::new(Shard(1), n)
}
fn board(n: u64) -> BoardId {
    BoardId::new(Shard(1), n)
}
fn topic(n: u64) -> TopicId {
    TopicId::new(Shard(1), n)
}
fn pin(n: u64) -> PinId {
    PinId::new(Shard(1), n)
}
fn at(n: u64) -> Position {
    (Timestamp(n as i64), pin(n))
}
/// Pin n stands on board 1, made by its owner, person 1, at instant n.
fn facts(n: u64) -> PinFacts {
    PinFacts { pin: pin(n), owner: user(1), board: board(1), topics: Vec::new(), domain: String::new(), at: Timestamp(n as i64) }
}

struct World {
    feeds: Feeds,
    clock: Arc<ManualClock>,
    /// `None`: the engine lives in this process, and counts exactly what it holds.
    servers: Option<live::Servers>,
    /// The service through which the feeds are asked.
    _service: Option<service::Service>,
}

impl World {
    fn new(wrap: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>) -> World {
        World::with_limits(LIMITS, wrap)
    }

    fn with_limits(limits: Limits, wrap: impl FnOnce(Arc<dyn Engine>) -> Arc<dyn Engine>) -> World {
        let clock = Arc::new(ManualClock::at(NOW));
        World {
            feeds: Feeds::with_engine(wrap(Arc::new(MemoryEngine::open(None, clock.clone(), limits)))),
            clock,
            servers: None,
            _service: None,
        }
    }

    /// A world on real servers that hold nothing yet.
    async fn live(servers: live::Servers, limits: Limits) -> World {
        let clock = Arc::new(ManualClock::at(NOW));
        let feeds = Feeds::open(&servers.url(), clock.clone(), limits).expect("feeds");
        feeds.clear().await.expect("cleared");
        feeds.complete(0).await.expect("complete");
        World { feeds, clock, servers: Some(servers), _service: None }
    }

    /// A world in the memory of a service.
    async fn remote() -> World {
        let clock = Arc::new(ManualClock::at(NOW));
        World::through(Arc::new(MemoryEngine::open(None, clock.clone(), LIMITS)), clock, None).await
    }

    /// A world on a real server, through a service.
    async fn remote_live(servers: live::Servers) -> World {
        let clock = Arc::new(ManualClock::at(NOW));
        let engine = RedisEngine::open(&servers.url(), clock.clone(), LIMITS).expect("an engine");
        World::through(Arc::new(engine), clock, Some(servers)).await
    }

    async fn through(engine: Arc<dyn Engine>, clock: Arc<ManualClock>, servers: Option<live::Servers>) -> World {
        let service = service::Service::start(engine);
        let feeds = Feeds::open(&service.url(), clock.clone(), LIMITS).expect("feeds");
        feeds.clear().await.expect("cleared");
        feeds.complete(0).await.expect("complete");
        World { feeds, clock, servers, _service: Some(service) }
    }

    /// Lets time pass, for the engine and for what expires in its servers.
    fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        if let Some(servers) = &self.servers {
            servers.advance(ms);
        }
    }

    /// Engines in this process know at every moment what they hold; what servers hold expires and is cut when they see fit.
    async fn exact_stats(&self) -> Option<crate::Stats> {
        let stats = self.feeds.stats().await.expect("stats");
        self.servers.is_none().then_some(stats)
    }

    /// Applies, and delivers what is left.
    async fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let mut rests = self.feeds.apply(changes.into_iter().collect()).await.expect("applied");
        while let Some(rest) = rests.pop() {
            rests.extend(self.feeds.deliver(rest, 3).await.expect("delivered"));
        }
    }

    /// Board n of person 1 to 9 belongs to person n.
    async fn boards(&self, count: u64) {
        self.apply((1..=count).map(|n| Change::Board { board: board(n), facts: Some(BoardFacts { owner: user(n), listed: true }) })).await;
    }

    async fn follow(&self, follower: u64, target: Target) {
        self.feeds.set_follow(user(follower), target, true, Timestamp(follower as i64)).await.expect("applied");
    }

    async fn publish(&self, numbers: impl IntoIterator<Item = u64>) {
        self.apply(numbers.into_iter().map(|n| Change::Publish(facts(n)))).await;
    }

    /// Reads once and fills with nothing, so that a feed is in memory.
    async fn begin(&self, reader: u64) {
        self.page(reader).await;
        self.feeds.fill(user(reader), Vec::new(), None).await.expect("filled");
        assert!(self.page(reader).await.present);
    }

    async fn page(&self, reader: u64) -> HomePage {
        self.feeds.home(user(reader), None, 25).await.expect("a page")
    }

    async fn pins(&self, reader: u64) -> Vec<u64> {
        let page = self.page(reader).await;
        assert!(page.present, "the feed of {reader} is not in memory");
        page.entries.iter().map(|entry| entry.pin.id().local()).collect()
    }
}

async fn a_pin_reaches_each_follower_once_whatever_led_there(world: World) {
    world.boards(2).await;
    world.follow(2, Target::User(user(1))).await;
    world.follow(2, Target::Board(board(1))).await;
    world.follow(2, Target::Topic(topic(1))).await;
    world.follow(3, Target::Board(board(1))).await;
    world.follow(4, Target::Topic(topic(1))).await;
    world.follow(1, Target::Topic(topic(1))).await;
    for reader in 1..=5 {
        world.begin(reader).await;
    }
    let tagged = PinFacts { topics: vec![topic(1)], ..facts(7) };
    world.apply([Change::Publish(tagged.clone()), Change::Publish(tagged)]).await;
    let reason = async |reader| world.page(reader).await.entries.iter().map(|entry| entry.reason).collect::<Vec<_>>();
    assert_eq!(reason(2).await, [Reason::Person(user(1))]);
    assert_eq!(reason(3).await, [Reason::Board(board(1))]);
    assert_eq!(reason(4).await, [Reason::Topic(topic(1))]);
    assert_eq!(reason(1).await, [], "nobody's own pins");
    assert_eq!(reason(5).await, []);
}

async fn the_order_is_the_pins_time_not_the_arrival(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    world.begin(2).await;
    world.publish([5, 1, 9, 3]).await;
    world.apply([Change::Publish(PinFacts { at: Timestamp(5), ..facts(6) })]).await;
    assert_eq!(world.pins(2).await, [9, 6, 5, 3, 1], "ties by id");
    let page = world.feeds.home(user(2), Some((Timestamp(5), pin(6))), 2).await.expect("a page");
    assert_eq!(page.entries.iter().map(|entry| entry.pin).collect::<Vec<_>>(), [pin(5), pin(3)]);
}

/// As the last test, with pins of just now: engines may take another way for them.
async fn new_pins_stand_in_the_order_of_their_time_and_once(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    world.begin(2).await;
    let new = |n: u64, before: i64| PinFacts { at: Timestamp(NOW.0 - before), ..facts(n) };
    let pins = [new(1, 500), new(2, 50_000), new(3, 400), new(4, 59_000), new(5, 700_000), new(6, 0), new(7, 30_000)];
    for pin in &pins {
        world.apply([Change::Publish(pin.clone())]).await;
    }
    world.apply(pins.iter().rev().cloned().map(Change::Publish)).await;
    assert_eq!(world.pins(2).await, [6, 3, 1, 7, 2, 4, 5]);
    for limit in 1..4 {
        let (mut home, mut public) = (Vec::new(), Vec::new());
        let (mut before, mut public_before) = (None, None);
        for _ in 0..9 {
            let page = world.feeds.home(user(2), before, limit).await.expect("a page");
            before = page.entries.last().map(|entry| entry.position()).or(before);
            home.extend(page.entries.iter().map(|entry| entry.pin.id().local()));
            let page = world.feeds.public(PublicFeed::Everything, public_before, limit).await.expect("a page");
            public_before = page.entries.last().map(|entry| (entry.at, entry.pin)).or(public_before);
            public.extend(page.entries.iter().map(|entry| entry.pin.id().local()));
        }
        assert_eq!((home, public), (vec![6, 3, 1, 7, 2, 4, 5], vec![6, 3, 1, 7, 2, 4, 5]), "in pages of {limit}");
    }
    world.apply((10..200).map(|n| Change::Publish(new(n, 1_000 + (n as i64 * 7_919) % 50_000)))).await;
    let page = world.page(2).await;
    let end = page.complete_to.expect("memory ends");
    assert!(page.entries.is_sorted_by(|a, b| a.position() > b.position()) && page.entries[0].pin == pin(6));
    let expected = (10..200).filter(|n| (Timestamp(new(*n, 1_000 + (*n as i64 * 7_919) % 50_000).at.0), pin(*n)) >= end).count();
    let found = page.entries.iter().filter(|entry| entry.pin.id().local() >= 10).count();
    assert!(found == expected && page.entries.len() >= 8, "nothing is missing above the end: {page:?}");
}

async fn what_is_unfollowed_left_out_blocked_muted_or_retracted_is_gone_at_once(world: World) {
    let feeds = &world.feeds;
    world.boards(3).await;
    let (reader, by_three) = (user(2), PinFacts { owner: user(3), ..facts(8) });
    world.follow(2, Target::User(user(1))).await;
    world.begin(2).await;
    world.apply([Change::Publish(facts(7)), Change::Publish(by_three)]).await;
    assert_eq!(world.pins(2).await, [8, 7]);
    feeds.set_block(user(3), reader, true).await.expect("applied");
    assert_eq!(world.pins(2).await, [7], "whoever blocked the reader made one of them");
    assert_eq!((feeds.blocked(reader, user(3)).await, feeds.blocked(user(3), reader).await), (Ok(true), Ok(true)));
    feeds.retract(pin(7)).await.expect("applied");
    assert!(world.pins(2).await.is_empty());
    world.publish([7, 9]).await;
    assert_eq!(world.pins(2).await, [9, 7]);
    let hidden = BoardFacts { owner: user(1), listed: false };
    for change in [
        Change::Follow { user: reader, target: Target::User(user(1)), on: false, at: NOW },
        Change::LeftOut { user: reader, board: board(1), on: true },
        Change::Block { user: reader, other: user(1), on: true },
        Change::Mute { user: reader, other: user(1), on: true },
        Change::Board { board: board(1), facts: Some(hidden) },
        Change::Board { board: board(1), facts: None },
        Change::UserGone { user: user(1) },
    ] {
        world.feeds.clear().await.expect("cleared");
        world.feeds.complete(1).await.expect("complete");
        world.boards(1).await;
        world.follow(2, Target::User(user(1))).await;
        world.begin(2).await;
        world.publish([7]).await;
        assert_eq!(world.pins(2).await, [7]);
        world.apply([change.clone()]).await;
        assert!(world.pins(2).await.is_empty(), "{change:?}");
    }
}

async fn what_becomes_visible_again_drops_the_feed(world: World) {
    world.boards(1).await;
    let listed = |listed| Change::Board { board: board(1), facts: Some(BoardFacts { owner: user(1), listed }) };
    world.follow(2, Target::User(user(1))).await;
    for change in [
        Change::Follow { user: user(2), target: Target::Topic(topic(1)), on: true, at: NOW },
        Change::LeftOut { user: user(2), board: board(1), on: false },
        Change::Block { user: user(2), other: user(3), on: false },
        Change::Block { user: user(3), other: user(2), on: false },
        Change::Mute { user: user(2), other: user(3), on: false },
        Change::Board { board: board(1), facts: Some(BoardFacts { owner: user(1), listed: true }) },
    ] {
        world.apply([listed(false)]).await;
        world.begin(2).await;
        world.advance(BUILD_MS_MAX);
        world.apply([change.clone()]).await;
        assert!(!world.page(2).await.present, "{change:?}");
        world.advance(BUILD_MS_MAX);
    }
    world.begin(2).await;
    world.advance(BUILD_MS_MAX);
    world.follow(2, Target::User(user(1))).await;
    world.apply([listed(true)]).await;
    assert!(world.page(2).await.present, "what was so before changes nothing");
}

async fn a_follow_that_went_and_came_back_unseen_drops_the_feed(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    // Built while the truth said "not followed"; the two changes arrive as one, with the new edge's time.
    world.begin(2).await;
    world.advance(BUILD_MS_MAX);
    world.feeds.set_follow(user(2), Target::User(user(1)), true, Timestamp(99)).await.expect("applied");
    assert!(!world.page(2).await.present);
}

async fn a_board_that_was_never_set_shows_nothing(world: World) {
    world.follow(2, Target::Board(board(1))).await;
    world.begin(2).await;
    world.publish([7]).await;
    assert!(world.pins(2).await.is_empty());
    assert!(world.feeds.public(PublicFeed::Everything, None, 5).await.expect("a page").entries.is_empty());
}

async fn a_board_set_after_its_pins_shows_them(world: World) {
    world.follow(2, Target::Board(board(1))).await;
    world.follow(3, Target::Topic(topic(1))).await;
    world.begin(2).await;
    world.begin(3).await;
    world.apply([Change::Publish(PinFacts { topics: vec![topic(1)], ..facts(7) })]).await;
    world.advance(BUILD_MS_MAX);
    world.boards(1).await;
    assert!(!world.page(2).await.present, "its followers' feeds are built anew");
    assert_eq!(world.pins(3).await, [7]);
    assert_eq!(world.feeds.public(PublicFeed::Everything, None, 5).await.expect("a page").entries.len(), 1);
}

async fn a_moved_pin_follows_its_new_board(world: World) {
    world.boards(2).await;
    world.follow(3, Target::Board(board(1))).await;
    world.follow(4, Target::Board(board(2))).await;
    world.begin(3).await;
    world.begin(4).await;
    world.publish([7]).await;
    assert_eq!((world.pins(3).await, world.pins(4).await), (vec![7], vec![]));
    world.apply([Change::Publish(PinFacts { board: board(2), ..facts(7) })]).await;
    assert_eq!((world.pins(3).await, world.pins(4).await), (vec![], vec![7]));
}

async fn a_feed_that_overflows_says_where_storage_goes_on(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    world.begin(2).await;
    world.publish((1..=40).rev()).await;
    let page = world.page(2).await;
    let end = page.complete_to.expect("memory ends");
    assert_eq!(end, page.entries.last().expect("entries").position(), "nothing between memory and storage");
    assert!((10..=11).contains(&page.entries.len()) && page.entries[0].pin == pin(40));
    let beyond = world.feeds.home(user(2), Some(at(5)), 25).await.expect("a page");
    assert_eq!((beyond.entries.len(), beyond.complete_to), (0, Some(at(5))), "storage goes on from what was asked for");
    let full = world.feeds.home(user(2), None, 5).await.expect("a page");
    assert_eq!((full.entries.len(), full.complete_to), (5, None));
}

async fn an_author_with_many_followers_is_merged_at_read(world: World) {
    world.boards(1).await;
    for follower in 2..=7 {
        world.follow(follower, Target::User(user(1))).await;
        world.begin(follower).await;
    }
    world.publish(1..=4).await;
    assert_eq!(world.pins(7).await, [4, 3, 2, 1]);
    if let Some(stats) = world.exact_stats().await {
        assert_eq!(stats.entries, 4 + 4, "once for the author and once in public, not once for each follower");
    }
    world.publish(5..=40).await;
    let page = world.page(2).await;
    assert!(page.entries.len() >= 10 && page.complete_to == page.entries.last().map(|entry| entry.position()), "{page:?}");
    world.feeds.set_follow(user(2), Target::User(user(1)), false, NOW).await.expect("applied");
    assert!(world.pins(2).await.is_empty());
    // A feed that was built from storage holds the same pins once more; they show once.
    world.page(8).await;
    world.advance(BUILD_MS_MAX);
    world.follow(8, Target::User(user(1))).await;
    world.page(8).await;
    world.feeds.fill(user(8), (36..=40).map(facts).collect(), Some(at(36))).await.expect("filled");
    assert_eq!(world.pins(8).await, [40, 39, 38, 37, 36]);
}

async fn a_topic_with_many_followers_is_merged_at_read(world: World) {
    world.boards(1).await;
    for follower in 2..=7 {
        world.follow(follower, Target::Topic(topic(1))).await;
        world.begin(follower).await;
    }
    world.apply((1..=3).map(|n| Change::Publish(PinFacts { topics: vec![topic(1)], ..facts(n) }))).await;
    assert_eq!(world.pins(2).await, [3, 2, 1]);
    assert_eq!(world.page(2).await.entries[0].reason, Reason::Topic(topic(1)));
    if let Some(stats) = world.exact_stats().await {
        assert_eq!(stats.entries, 3 + 3, "the topic's own list serves both");
    }
}

async fn a_source_that_becomes_merged_loses_no_pin(world: World) {
    world.boards(1).await;
    world.feeds.set_merge_threshold(3);
    for follower in 2..=4 {
        world.follow(follower, Target::User(user(1))).await;
        world.begin(follower).await;
    }
    world.publish([1, 2]).await;
    world.follow(5, Target::User(user(1))).await;
    world.publish([3]).await;
    // Long after, when nobody is pushed to any more.
    world.advance(Timestamp::HOUR);
    world.publish([4, 5]).await;
    assert_eq!(world.pins(2).await, [5, 4, 3, 2, 1]);
    let last = world.feeds.home(user(3), Some(at(4)), 2).await.expect("a page");
    assert_eq!(last.entries.iter().map(|entry| entry.pin).collect::<Vec<_>>(), [pin(3), pin(2)]);
    world.feeds.set_merge_threshold(100);
    world.publish([6]).await;
    assert_eq!(world.pins(4).await, [6, 5, 4, 3, 2, 1], "it stays merged");
}

async fn a_fill_merges_what_was_published_meanwhile_and_not_what_was_retracted(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    assert!(!world.page(2).await.present);
    world.publish([9]).await;
    world.feeds.retract(pin(6)).await.expect("applied");
    world.apply([Change::Publish(PinFacts { board: board(2), ..facts(5) })]).await;
    assert!(!world.page(2).await.present);
    // The builder read before all that, and says where it stopped.
    let entries = [3, 5, 6, 7, 7, 4].map(facts).to_vec();
    world.feeds.fill(user(2), entries, Some(at(4))).await.expect("filled");
    let page = world.page(2).await;
    let pins: Vec<u64> = page.entries.iter().map(|entry| entry.pin.id().local()).collect();
    assert_eq!(pins, [9, 7, 4], "6 is retracted, 5 is elsewhere, 3 is below the end");
    assert_eq!(page.complete_to, Some(at(4)));
    // Long after, a retracted pin is known to storage alone.
    world.advance(RETRACTED_MS);
    world.feeds.maintain().await.expect("swept");
    world.page(3).await;
    world.follow(3, Target::User(user(1))).await;
    world.advance(BUILD_MS_MAX);
    world.page(3).await;
    world.feeds.fill(user(3), vec![facts(6)], None).await.expect("filled");
    assert_eq!(world.pins(3).await, [6]);
}

async fn a_fill_that_began_before_the_graph_widened_is_refused(world: World) {
    world.boards(1).await;
    world.page(2).await;
    world.follow(2, Target::User(user(1))).await;
    world.feeds.fill(user(2), Vec::new(), None).await.expect("no error");
    assert!(!world.page(2).await.present, "it was built without person 1");
    world.advance(BUILD_MS_MAX);
    world.page(2).await;
    world.feeds.fill(user(2), vec![facts(7)], None).await.expect("filled");
    assert_eq!(world.pins(2).await, [7]);
}

async fn a_fill_without_a_miss_is_not_taken(world: World) {
    world.feeds.fill(user(2), vec![facts(7)], None).await.expect("no error");
    assert!(!world.page(2).await.present);
}

async fn public_feeds_hold_listed_pins_and_say_where_they_end(world: World) {
    world.boards(1).await;
    let tagged = |n| PinFacts { topics: vec![topic(n % 2)], domain: format!("site{}.example", n % 3), ..facts(n) };
    world.apply((1..=10).rev().map(|n| Change::Publish(tagged(n)))).await;
    let read = async |feed: PublicFeed, before, limit| {
        let page = world.feeds.public(feed, before, limit).await.expect("a page");
        (page.entries.iter().map(|entry| entry.pin.id().local()).collect::<Vec<_>>(), page.complete_to)
    };
    assert_eq!(read(PublicFeed::Everything, None, 3).await, (vec![10, 9, 8], None));
    assert_eq!(read(PublicFeed::Topic(topic(1)), Some(at(7)), 9).await, (vec![5, 3, 1], None));
    assert_eq!(read(PublicFeed::Domain("site2.example".into()), None, 9).await, (vec![8, 5, 2], None));
    assert_eq!(read(PublicFeed::Domain("nowhere.example".into()), None, 9).await, (vec![], None));
    world.apply([Change::Publish(PinFacts { domain: "site0.example".into(), topics: Vec::new(), ..facts(5) })]).await;
    assert_eq!(read(PublicFeed::Topic(topic(1)), None, 9).await.0, [9, 7, 3, 1]);
    assert_eq!(read(PublicFeed::Domain("site2.example".into()), None, 9).await.0, [8, 2]);
    // More than are kept; then those that are kept go, and the end stays where it was.
    let wide = |n| PinFacts { topics: vec![topic(5)], domain: "wide.example".into(), ..facts(n) };
    world.apply((11..=60).map(|n| Change::Publish(wide(n)))).await;
    let (pins, end) = read(PublicFeed::Topic(topic(5)), None, 100).await;
    assert_eq!(end, pins.last().map(|n| at(*n)));
    world.apply(pins.iter().map(|n| Change::Retract(pin(*n)))).await;
    world.feeds.maintain().await.expect("swept");
    for feed in [PublicFeed::Everything, PublicFeed::Topic(topic(5)), PublicFeed::Domain("wide.example".into())] {
        assert_eq!(read(feed, None, 100).await, (vec![], end));
    }
}

async fn followers_of_a_board_are_counted_exactly(world: World) {
    world.boards(1).await;
    for follower in 2..=5 {
        world.follow(follower, Target::User(user(1))).await;
    }
    let feeds = &world.feeds;
    let count = async || feeds.followers_of_board(board(1)).await.expect("a count");
    assert_eq!(count().await, 4);
    feeds.set_left_out(user(2), board(1), true).await.expect("applied");
    feeds.set_left_out(user(2), board(1), true).await.expect("applied");
    feeds.set_left_out(user(9), board(1), true).await.expect("applied");
    assert_eq!(count().await, 3, "who does not follow leaves nothing out");
    world.follow(3, Target::Board(board(1))).await;
    world.follow(6, Target::Board(board(1))).await;
    assert_eq!(count().await, 4, "who follows both counts once");
    world.follow(2, Target::Board(board(1))).await;
    assert_eq!(count().await, 5, "left out and followed alone is followed");
    feeds.set_follow(user(3), Target::User(user(1)), false, NOW).await.expect("applied");
    feeds.set_follow(user(4), Target::User(user(1)), false, NOW).await.expect("applied");
    assert_eq!(count().await, 4);
    assert_eq!(feeds.followers_of_board(board(77)).await, Ok(0));
}

async fn follows_are_listed_newest_first_in_pages(world: World) {
    for n in 2..=30 {
        world.follow(n, Target::User(user(1))).await;
        world.feeds.set_follow(user(1), Target::Board(board(n)), true, Timestamp(n as i64 % 7)).await.expect("applied");
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = world.feeds.followers(user(1), cursor, 10).await.expect("a page");
        seen.extend(page.entries.iter().map(|linked| linked.target));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (2..=30).rev().map(|n| Target::User(user(n))).collect::<Vec<_>>());
    let page = world.feeds.following(user(1), TargetKind::Board, None, 29).await.expect("a page");
    assert_eq!((page.entries.len(), page.next), (29, None));
    assert!(page.entries.is_sorted_by(|a, b| (a.at, a.target) > (b.at, b.target)));
    let targets = [Target::Board(board(2)), Target::Board(board(1)), Target::User(user(2)), Target::Topic(topic(2))];
    assert_eq!(world.feeds.follows(user(1), &targets).await, Ok(vec![true, false, false, false]));
    let counts = world.feeds.counts(user(1)).await.expect("counts");
    assert_eq!((counts.followers, counts.following_users, counts.following_boards, counts.following_topics), (29, 0, 29, 0));
}

async fn what_is_kept_away_is_listed_in_pages(world: World) {
    for n in [7, 3, 9, 5] {
        world.feeds.set_block(user(1), user(n), true).await.expect("applied");
        world.feeds.set_left_out(user(1), board(n), true).await.expect("applied");
    }
    world.feeds.set_mute(user(1), user(2), true).await.expect("applied");
    world.feeds.set_block(user(1), user(9), false).await.expect("applied");
    let away = async |of: u64, what, after, limit| world.feeds.away(user(of), what, after, limit).await.expect("ids");
    assert_eq!(away(1, Away::Blocks, None, 2).await, [user(3).id(), user(5).id()]);
    assert_eq!(away(1, Away::Blocks, Some(user(5).id()), 2).await, [user(7).id()]);
    assert_eq!(away(7, Away::BlockedBy, None, 9).await, [user(1).id()]);
    assert_eq!(away(1, Away::Mutes, None, 9).await, [user(2).id()]);
    assert_eq!(away(1, Away::LeftOut, None, 9).await, [3, 5, 7, 9].map(|n| board(n).id()));
    assert_eq!(away(9, Away::BlockedBy, None, 9).await, []);
}

async fn suggestions_are_shared_follows(world: World) {
    for (follower, followed) in [(1, 2), (1, 3), (1, 4), (2, 10), (3, 10), (4, 10), (2, 11), (3, 11), (2, 12), (2, 3), (2, 1), (3, 13)] {
        world.follow(follower, Target::User(user(followed))).await;
    }
    world.feeds.set_block(user(12), user(1), true).await.expect("applied");
    world.feeds.set_mute(user(1), user(13), true).await.expect("applied");
    assert_eq!(world.feeds.suggestions(user(1), 10).await, Ok(vec![user(10), user(11)]));
    assert_eq!(world.feeds.suggestions(user(1), 1).await, Ok(vec![user(10)]));
    assert_eq!(world.feeds.suggestions(user(99), 10).await, Ok(vec![]));
}

async fn a_forgotten_person_leaves_nothing(world: World) {
    world.boards(2).await;
    world.follow(1, Target::User(user(2))).await;
    world.follow(2, Target::User(user(1))).await;
    world.follow(2, Target::Board(board(1))).await;
    world.begin(2).await;
    world.publish([7]).await;
    world.apply([Change::Publish(PinFacts { owner: user(1), board: board(2), ..facts(8) })]).await;
    world.feeds.forget_user(user(1)).await.expect("applied");
    assert!(world.pins(2).await.is_empty());
    assert_eq!(world.feeds.counts(user(2)).await.expect("counts"), crate::Counts::default());
    assert_eq!(world.feeds.public(PublicFeed::Everything, None, 9).await.expect("a page").entries, []);
    world.advance(RETRACTED_MS);
    world.feeds.maintain().await.expect("swept");
    let stats = world.feeds.stats().await.expect("stats");
    assert_eq!((stats.users, stats.boards, stats.edges), (0, 1, 0), "{stats:?}");
    if let Some(stats) = world.exact_stats().await {
        assert_eq!((stats.pins, stats.entries), (0, 0), "{stats:?}");
    }
}

async fn idle_feeds_are_dropped_and_unheld_pins_forgotten(world: World) {
    world.boards(1).await;
    for follower in 2..=4 {
        world.follow(follower, Target::User(user(1))).await;
        world.begin(follower).await;
    }
    world.publish(1..=500).await;
    world.feeds.maintain().await.expect("swept");
    let stats = world.feeds.stats().await.expect("stats");
    assert!(stats.entries <= 22 + 3 * 11, "{stats:?}");
    if let Some(stats) = world.exact_stats().await {
        assert!(stats.pins <= 22, "only those in the longest list are known: {stats:?}");
    }
    // Servers let the time of the test itself pass too.
    world.advance(LIMITS.idle_ms - Timestamp::MINUTE);
    assert!(world.page(2).await.present);
    world.advance(Timestamp::MINUTE);
    world.feeds.maintain().await.expect("swept");
    assert_eq!(world.feeds.stats().await.expect("stats").feeds, 1);
    assert!(world.page(2).await.present && !world.page(3).await.present);
    if world.servers.is_some() {
        // What is too much there is the affair of their `maxmemory`.
        return;
    }
    // More feeds than fit in all: those read longest ago go.
    for reader in 100..130 {
        world.advance(1);
        world.page(reader).await;
        world.feeds.fill(user(reader), (491..=500).map(facts).collect(), None).await.expect("filled");
    }
    world.feeds.maintain().await.expect("swept");
    let stats = world.feeds.stats().await.expect("stats");
    assert!((15..=20).contains(&stats.feeds), "{stats:?}");
    world.follow(129, Target::User(user(1))).await;
    assert!(!world.page(100).await.present && world.feeds.home(user(128), None, 5).await.expect("a page").present);
}

async fn what_was_shown_is_kept_until_the_person_is_long_away(world: World) {
    assert_eq!(world.feeds.shown(user(2)).await, Ok(None));
    for shown in [vec![1, 2, 3], vec![4; 5_000]] {
        world.feeds.set_shown(user(2), shown.clone()).await.expect("kept");
        assert_eq!((world.feeds.shown(user(2)).await, world.feeds.shown(user(3)).await), (Ok(Some(shown)), Ok(None)));
    }
    assert!(matches!(world.feeds.set_shown(user(2), vec![0; (64 << 10) + 1]).await, Err(crate::Error::Invalid(_))));
    world.feeds.set_shown(user(3), vec![7]).await.expect("kept");
    world.feeds.forget_user(user(3)).await.expect("applied");
    assert_eq!(world.feeds.shown(user(3)).await, Ok(None));
    world.advance(LIMITS.idle_ms + 1);
    world.feeds.maintain().await.expect("swept");
    assert_eq!(world.feeds.shown(user(2)).await, Ok(None));
}

async fn clear_forgets_everything(world: World) {
    world.boards(1).await;
    world.follow(2, Target::User(user(1))).await;
    world.begin(2).await;
    world.publish([7]).await;
    world.feeds.clear().await.expect("cleared");
    assert_eq!(world.feeds.stats().await.expect("stats"), crate::Stats::default());
    world.feeds.complete(7).await.expect("complete");
    assert!(!world.page(2).await.present);
    assert_eq!(world.feeds.follows(user(2), &[Target::User(user(1))]).await, Ok(vec![false]));
}
