//! Damage made by hand behind the front's back, found and mended. The cases are run over one file here, over servers in
//! engine/mysql/operations/verify/tests.rs.

use std::time::Duration;

use model::{Assoc, Board, Id, Kind, NameKind, Shard, Timestamp, User, UserId};
use serde_json::{Value, json};
use sqlite::rusqlite::Connection;

use super::{ShardRange, VerifyOptions, VerifyReport};
use crate::contract::{Place, SHARD, Setup, batch, serve_here};
use crate::engine::remote::{Identity, RemoteEngine};
use crate::{Error, Quiet, Storage, name_shard};

/// A shard that is on another server than [`SHARD`], where there are several.
pub(crate) const OTHER: Shard = Shard(100);

/// One kind of damage: statements, and what is said about it.
pub(crate) struct Case {
    pub(crate) damage: &'static str,
    pub(crate) wanted: &'static str,
}

/// What `--repair` mends.
pub(crate) const MENDED: [Case; 8] = [
    Case {
        damage: "DELETE FROM user_followed_by_users; UPDATE mapping_counts SET count = 0 WHERE assoc = 'user_followed_by_users'",
        wanted: "but user_followed_by_users of",
    },
    Case {
        damage: "DELETE FROM user_follows_users; UPDATE mapping_counts SET count = 0 WHERE assoc = 'user_follows_users'",
        wanted: "but user_follows_users of",
    },
    Case { damage: "UPDATE mapping_counts SET count = 7 WHERE assoc = 'user_likes_pins'", wanted: "has 1 edges, but its count says 7" },
    Case { damage: "DELETE FROM user_likes_pins", wanted: "has 0 edges, but its count says 1" },
    Case { damage: "DELETE FROM names WHERE kind = 'username'", wanted: "has the username 'ada', which nobody holds" },
    Case { damage: "DELETE FROM names WHERE kind = 'board_slug'", wanted: "which nobody holds: it can't be found by it" },
    Case { damage: "UPDATE names SET confirmed = 0 WHERE kind = 'email'", wanted: "is still only claimed by" },
    Case {
        damage: "UPDATE names SET id = (3429 * 70368744177664) | (3 * 68719476736) | 999 WHERE kind = 'email'",
        wanted: "which does not exist: nobody else can have it",
    },
];

/// What nobody can compute from anything else, and what takes it back.
pub(crate) const REPORTED: [(Case, &str); 4] = [
    (
        Case { damage: "UPDATE users SET data = REPLACE(data, 'name', 'nome')", wanted: "can't be read: missing field" },
        "UPDATE users SET data = REPLACE(data, 'nome', 'name')",
    ),
    (Case { damage: "UPDATE users SET data = CONCAT('{', data)", wanted: "no JSON" }, "UPDATE users SET data = SUBSTR(data, 2)"),
    (Case { damage: "UPDATE names SET slot = slot + 1 WHERE kind = 'email'", wanted: "at a place where nobody looks" }, ""),
    (
        Case { damage: "UPDATE users SET data = REPLACE(data, 'bob', 'ada')", wanted: "has the username 'ada', which" },
        "UPDATE users SET data = REPLACE(data, 'ada', 'bob') WHERE id < 241294492511762325",
    ),
];

/// Two people on two shards, one of whom follows the other, likes a pin of theirs and has a board.
pub(crate) async fn fill(storage: &Storage) -> (Id, Id) {
    let new = async |shard, kind| storage.new_id(shard, kind).await.expect("an id");
    let (ada, bob) = (new(SHARD, Kind::User).await, new(OTHER, Kind::User).await);
    let (board, pin) = (new(SHARD, Kind::Board).await, new(OTHER, Kind::Pin).await);
    for (kind, key, id) in [(NameKind::Username, "ada", ada), (NameKind::Email, "ada@example.org", ada), (NameKind::Username, "bob", bob)] {
        storage.write(batch(name_shard(kind, key), |b| b.claim(kind, key, id).confirm(kind, key, id))).await.expect("a name");
    }
    let slug = format!("{ada}/things");
    let things: Board = serde_json::from_value(json!({ "owner": ada, "name": "Things", "slug": "things" })).expect("a board");
    let near = batch(SHARD, |b| {
        b.create(ada, &a_user("ada", "ada@example.org"))
            .create(board, &things)
            .claim(NameKind::BoardSlug, slug.as_str(), board)
            .confirm(NameKind::BoardSlug, slug.as_str(), board)
            .map(Assoc::UserFollowsUsers, ada, bob, 5)
            .map(Assoc::UserLikesPins, ada, pin, 6)
            .audit(None, "x", vec![], Value::Null)
    });
    storage.write(near).await.expect("a write");
    let far = batch(OTHER, |b| {
        b.create(bob, &a_user("bob", "")).map(Assoc::UserFollowedByUsers, bob, ada, 5).map(Assoc::PinLikedByUsers, pin, ada, 6).audit(
            None,
            "y",
            vec![],
            Value::Null,
        )
    });
    storage.write(far).await.expect("a write");
    (ada, bob)
}

fn a_user(username: &str, email: &str) -> User {
    let user = json!({ "username": username, "email": email, "password_hash": "", "name": "X", "joined_at": 1 });
    serde_json::from_value(user).expect("a user")
}

pub(crate) fn options(repair: bool) -> VerifyOptions {
    VerifyOptions { repair, settle: Duration::ZERO, ..VerifyOptions::default() }
}

pub(crate) fn shown(report: &VerifyReport) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

/// Looks whether a finding says what is wanted.
pub(crate) fn assert_found(report: &VerifyReport, wanted: &str, repairable: bool) {
    let found = report.findings.iter().find(|finding| finding.to_string().contains(wanted));
    let found = found.unwrap_or_else(|| panic!("nobody says {wanted}: {:?}", shown(report)));
    assert_eq!(found.repairable, repairable, "{found}");
    assert!(!found.advice.is_empty());
}

struct Verified {
    place: Place,
    storage: Storage,
    ada: Id,
    bob: Id,
}

impl Verified {
    async fn start() -> Verified {
        let place = Place::new(Setup::Sqlite);
        let storage = place.open();
        let (ada, bob) = fill(&storage).await;
        place.clock.advance(Timestamp::DAY);
        let verified = Verified { place, storage, ada, bob };
        assert_eq!(verified.verify(false).await.findings, []);
        verified
    }

    async fn verify(&self, repair: bool) -> VerifyReport {
        self.storage.verify(&options(repair), &Quiet).await.expect("a verification")
    }

    fn damage(&self, sql: &str) {
        // SQLite of this version may not know CONCAT.
        let sql = sql.replace("CONCAT('{', data)", "'{' || data");
        Connection::open(self.place.path()).and_then(|connection| connection.execute_batch(&sql)).expect("a change");
    }
}

#[tokio::test]
async fn what_is_derived_is_mended() {
    let verified = Verified::start().await;
    for Case { damage, wanted } in MENDED {
        verified.damage(damage);
        let found = verified.verify(false).await;
        assert_found(&found, wanted, true);
        assert_eq!(shown(&verified.verify(false).await), shown(&found), "a look changes nothing");
        let mended = verified.verify(true).await;
        assert!(!mended.mended.is_empty() && mended.findings.is_empty(), "{damage}: {:?}", shown(&mended));
        assert_eq!(verified.verify(false).await.findings, [], "{damage}");
    }
    // The first end of the follow was lost, and so its mirror went; the like is there with its count.
    let (ada, bob) = (verified.ada, verified.bob);
    assert_eq!(verified.storage.count(Assoc::UserFollowedByUsers, bob).await, Ok(0));
    assert_eq!(verified.storage.count(Assoc::UserLikesPins, ada).await, Ok(0));
    assert_eq!(verified.storage.name(NameKind::Username, "ada").await.map(|name| name.map(|name| name.id)), Ok(Some(ada)));
}

#[tokio::test]
async fn a_lost_mirror_comes_back_with_its_sequence_and_count() {
    let verified = Verified::start().await;
    verified.damage(MENDED[0].damage);
    verified.verify(true).await;
    assert_eq!(verified.storage.edges(Assoc::UserFollowedByUsers, verified.bob, &[verified.ada]).await, Ok(vec![Some(5)]));
    assert_eq!(verified.storage.count(Assoc::UserFollowedByUsers, verified.bob).await, Ok(1));
}

#[tokio::test]
async fn what_is_not_derived_is_only_reported() {
    for (Case { damage, wanted }, _) in REPORTED {
        let verified = Verified::start().await;
        verified.damage(damage);
        assert_found(&verified.verify(false).await, wanted, false);
        assert_found(&verified.verify(true).await, wanted, false);
    }
    let verified = Verified::start().await;
    verified.damage("DROP TRIGGER audit_is_never_changed; UPDATE audit SET act = 'z'");
    let report = verified.verify(true).await;
    assert_found(&report, "the entry was changed", false);
    assert_eq!(report.mended, Vec::<String>::new());
}

#[tokio::test]
async fn only_the_wanted_shards_are_looked_at() {
    let verified = Verified::start().await;
    verified.damage("UPDATE mapping_counts SET count = 7");
    let look = async |first, last| {
        let options = VerifyOptions { shards: ShardRange::new(first, last).expect("a range"), ..options(false) };
        verified.storage.verify(&options, &Quiet).await.expect("a verification").findings.len()
    };
    assert_eq!((look(0, 99).await, look(100, 100).await, look(3_429, 3_429).await, look(3_430, 4_095).await), (0, 2, 2, 0));
}

#[tokio::test]
async fn claims_under_way_are_left_alone() {
    let verified = Verified::start().await;
    let ghost = UserId::new(SHARD, 99).id();
    let claim = batch(name_shard(NameKind::Username, "eve"), |b| b.claim(NameKind::Username, "eve", ghost));
    verified.storage.write(claim).await.expect("a claim");
    assert_eq!(verified.verify(true).await.findings, []);
    assert!(verified.storage.name(NameKind::Username, "eve").await.expect("a read").is_some());
    verified.place.clock.advance(Timestamp::DAY);
    assert_found(&verified.verify(false).await, "'eve' is held by", true);
    verified.verify(true).await;
    assert_eq!(verified.storage.name(NameKind::Username, "eve").await, Ok(None));
}

#[tokio::test]
async fn a_store_elsewhere_is_verified_there() {
    let place = Place::new(Setup::Sqlite);
    let address = serve_here(place.open());
    let remote = RemoteEngine::open(&address.to_string(), &Identity::default()).expect("an engine");
    let remote = Storage::with_engine(std::sync::Arc::new(remote), place.clock.clone());
    let refused = remote.verify(&options(false), &Quiet).await.expect_err("a refusal");
    assert!(matches!(&refused, Error::Invalid(message) if message.contains("storage service's own storage.url")), "{refused}");
}
