//! What every engine must do: one list of tests, one line per engine to run it.

mod edges;
pub(crate) mod fleet;
mod ids;
mod in_turn;
mod names;
mod objects;
mod records;
mod refusals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use model::object::{Picture, SCHEMA_VERSION};
use model::time::ManualClock;
use model::{BoardId, Event, EventKind, Id, ImageId, Kind, Pin, PinId, Section, Shard, Timestamp, UserId};

use self::fleet::Fleet;
use crate::engine::Engine;
use crate::engine::faulty::{Faults, Faulty};
use crate::engine::remote::{Identity, RemoteEngine};
use crate::engine::sqlite::SqliteEngine;
use crate::engine::successor::Successor;
use crate::{Batch, Storage};

/// Runs each named test over each engine; a test that is not on the list is dead code and does not compile clean.
macro_rules! contract {
    ($($module:ident::$test:ident),* $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $test() { super::$module::$test(super::Place::new(super::Setup::Sqlite)).await; })* }
        mod faulty { $(#[tokio::test] async fn $test() { super::$module::$test(super::Place::new(super::Setup::Faulty)).await; })* }
        mod successor { $(#[tokio::test] async fn $test() { super::$module::$test(super::Place::new(super::Setup::Successor)).await; })* }
        mod remote { $(#[tokio::test] async fn $test() { super::$module::$test(super::Place::new(super::Setup::RemoteSqlite)).await; })* }
        mod mysql {
            $(#[tokio::test] async fn $test() {
                let Some(place) = super::Place::beside_mariadb(stringify!($test), super::Setup::Mysql) else { return };
                super::$module::$test(place).await;
            })*
        }
        mod remote_mysql {
            $(#[tokio::test] async fn $test() {
                let Some(place) = super::Place::beside_mariadb(stringify!($test), super::Setup::RemoteMysql) else { return };
                super::$module::$test(place).await;
            })*
        }
    };
}

contract!(
    objects::what_was_created_is_read,
    objects::many_are_read_in_the_order_of_their_ids,
    objects::updates_name_the_version_they_read,
    objects::deletes_are_soft_until_purged,
    objects::creating_twice_is_a_conflict,
    objects::a_batch_is_whole_or_not_at_all,
    objects::conditions_are_checked_first,
    objects::scans_go_through_everything,
    objects::what_was_written_survives_a_reopening,
    objects::concurrent_writers_share_commits,
    objects::of_concurrent_updates_one_wins,
    objects::of_many_that_create_those_whose_id_is_taken_fail_alone,
    objects::of_a_hold_and_a_purge_one_comes_first,
    in_turn::each_needs_those_before_it_and_the_others_need_these,
    in_turn::what_is_written_in_turn_on_one_server_is_one_transaction,
    in_turn::many_in_turn_at_once_lose_nothing,
    edges::mapping_is_idempotent_and_counted,
    edges::ranges_are_ordered_and_go_on_where_they_stopped,
    edges::many_ranges_are_those_of_each,
    edges::edges_are_looked_up_in_order,
    edges::counts_follow_random_changes,
    edges::concurrent_maps_of_one_edge_count_once,
    edges::look_ups_at_the_same_time_get_their_own_answers,
    names::a_name_has_one_holder,
    names::of_concurrent_claims_one_wins,
    names::board_addresses_live_with_their_owner,
    names::an_owners_names_are_listed,
    names::claims_whose_owner_died_are_swept,
    ids::are_unique_over_restarts_and_processes,
    ids::are_reserved_in_growing_blocks,
    records::the_outbox_keeps_order_and_forgets,
    records::events_stand_and_fall_with_their_batch,
    records::commits_wake_watchers_of_all_processes,
    records::audit_entries_are_chained_per_shard,
    records::a_kept_end_of_the_audit_log_shows_what_was_cut_off,
    records::a_retry_with_its_key_writes_once,
    records::concurrent_retries_write_once,
    records::figures_tell_what_is_stored,
    records::a_closed_store_refuses,
    refusals::each_says_what_is_wrong,
    refusals::reads_refuse_too,
);

/// What stands between a test and what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    Sqlite,
    /// A decorator without faults.
    Faulty,
    /// A decorator that has nowhere to go on.
    Successor,
    /// A service on loopback over SQLite; every opening is a client of its own.
    RemoteSqlite,
    /// Two databases of a real server, which stand for two servers with half of the shards each.
    Mysql,
    /// A service on loopback over those.
    RemoteMysql,
}

/// A folder with a store that can be opened again and again; every opening stands for a process.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    setup: Setup,
    pub(crate) clock: Arc<ManualClock>,
    /// Where the service listens, once one runs. It ends with the test's runtime.
    service: OnceLock<SocketAddr>,
    fleet: Option<Fleet>,
}

/// When the tests begin.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

impl Place {
    pub(crate) fn new(setup: Setup) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        Place { folder, setup, clock: Arc::new(ManualClock::at(START)), service: OnceLock::new(), fleet: None }
    }

    /// A place on a real server. `None` when there is none on this machine, and tests may be skipped.
    pub(crate) fn beside_mariadb(test: &str, setup: Setup) -> Option<Place> {
        let fleet = Fleet::start(test, 2)?;
        Some(Place { fleet: Some(fleet), ..Place::new(setup) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("corkboard.db")
    }

    pub(crate) fn open(&self) -> Storage {
        Storage::with_engine(self.engine(), self.clock.clone())
    }

    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        let sqlite = || -> Arc<dyn Engine> { Arc::new(SqliteEngine::open(&self.path()).expect("an engine")) };
        let mysql = || -> Arc<dyn Engine> { Arc::new(self.fleet.as_ref().expect("a fleet").open()) };
        match self.setup {
            Setup::Sqlite => sqlite(),
            Setup::Faulty => Arc::new(Faulty::new(sqlite(), 1, Faults::default())),
            Setup::Successor => {
                let file = SqliteEngine::open(&self.path()).expect("an engine");
                Successor::put_before(file, Default::default())
            }
            Setup::Mysql => mysql(),
            Setup::RemoteSqlite | Setup::RemoteMysql => {
                let engine = || if self.setup == Setup::RemoteSqlite { sqlite() } else { mysql() };
                let address = self.service.get_or_init(|| serve_here(Storage::with_engine(engine(), self.clock.clone())));
                Arc::new(RemoteEngine::open(&address.to_string(), &Identity::default()).expect("an engine"))
            }
        }
    }
}

/// Serves a store on a free port of loopback for as long as the test's runtime lives.
pub(crate) fn serve_here(storage: Storage) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    tokio::spawn(crate::serve(listener, storage, None, std::future::pending()));
    address
}

pub(crate) const SHARD: Shard = Shard(3429);

pub(crate) fn user(local: u64) -> UserId {
    UserId::new(SHARD, local)
}

pub(crate) fn board(local: u64) -> BoardId {
    BoardId::new(SHARD, local)
}

pub(crate) fn pin(local: u64) -> PinId {
    PinId::new(SHARD, local)
}

pub(crate) fn a_pin(title: &str) -> Pin {
    let picture = Picture {
        hash: "0".repeat(64),
        width: 600,
        height: 400,
        color: "#aabbcc".to_owned(),
        placeholder: String::new(),
        format: "jpeg".to_owned(),
        alpha: false,
        animated: false,
    };
    Pin {
        v: SCHEMA_VERSION,
        owner: user(1),
        board: board(1),
        section: None,
        title: title.to_owned(),
        description: String::new(),
        alt_text: String::new(),
        link: String::new(),
        domain: String::new(),
        image: ImageId::new(SHARD, 1),
        picture,
        parent: None,
        root: None,
        tags: Default::default(),
        at: START,
        trashed_at: None,
        hidden: false,
        source_key: None,
    }
}

fn a_section(name: &str) -> Section {
    Section { v: SCHEMA_VERSION, board: board(1), name: name.to_owned() }
}

pub(crate) fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        kind: EventKind::PinCreated,
        at: START,
        actor: Some(user(1)),
        subjects: vec![pin(1).into()],
        request_id: String::new(),
        role: String::new(),
        host: String::new(),
        data: serde_json::Value::Null,
    }
}

/// Makes a batch in one expression.
pub(crate) fn batch(shard: Shard, fill: impl FnOnce(&mut Batch) -> &mut Batch) -> Batch {
    let mut batch = Batch::on(shard);
    fill(&mut batch);
    batch
}

/// Creates a pin under a new id.
async fn new_pin(storage: &Storage, title: &str) -> Id {
    let id = storage.new_id(SHARD, Kind::Pin).await.expect("an id");
    storage.write(batch(SHARD, |b| b.create(id, &a_pin(title)))).await.expect("a write");
    id
}

async fn assert_clean(storage: &Storage) {
    assert_eq!(storage.check().await.expect("a check"), Vec::<String>::new());
}
