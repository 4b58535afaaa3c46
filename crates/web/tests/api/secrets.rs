//! Secret boards and their pins don't exist for tokens without the secret scopes, nor for other people.

use std::slice;

use model::object::Scope;
use serde_json::{Value, json};

use crate::site::{Caller, PLAIN, Site, pin_body, text};

/// Ada's boards and pins: one public board, one secret one, a pin with the same words on each.
struct Kept {
    open: String,
    secret: String,
    open_pin: String,
    secret_pin: String,
    section: String,
}

async fn keep(site: &Site, ada: &Caller<'_>) -> Kept {
    let open = ada.board("Garden plans", "PUBLIC").await;
    let secret = ada.board("Garden surprise", "SECRET").await;
    let section = text(&ada.post(&format!("/boards/{secret}/sections"), json!({ "name": "Gazebo" })).await.with(201)["id"]);
    let open_pin = ada.pin(&open, "garden bench #roses", 1).await;
    let mut body = pin_body(&secret, "garden gazebo #roses", 2);
    body["board_section_id"] = json!(section);
    let secret_pin = text(&ada.post("/pins", body).await.with(201)["id"]);
    site.settle().await;
    Kept { open, secret, open_pin, secret_pin, section }
}

/// Reads everything that lists or shows something and checks that nothing secret is in it.
async fn sees_nothing_secret(caller: &Caller<'_>, kept: &Kept) {
    let hidden = [&kept.secret, &kept.secret_pin, &kept.section];
    let open_pin = &kept.open_pin;
    for path in [
        "/boards".to_owned(),
        "/boards?privacy=SECRET".to_owned(),
        "/boards?privacy=PUBLIC_AND_SECRET".to_owned(),
        "/pins".to_owned(),
        "/pins?pin_type=PRIVATE".to_owned(),
        "/search/pins?query=garden".to_owned(),
        "/search/boards?query=garden".to_owned(),
        "/search/boards".to_owned(),
        "/search/all/pins?query=garden".to_owned(),
        "/search/all/boards?query=garden".to_owned(),
        "/home/feed".to_owned(),
        "/user_account/following/boards".to_owned(),
        format!("/boards/{}/pins", kept.open),
        format!("/pins/{open_pin}/related"),
    ] {
        let answer = caller.get(&path).await.with(200).to_string();
        for id in hidden {
            assert!(!answer.contains(id.as_str()), "{path} shows {id}: {answer}");
        }
        assert!(!answer.contains("surprise") && !answer.contains("gazebo"), "{path}: {answer}");
    }
    let (board, pin) = (&kept.secret, &kept.secret_pin);
    for path in [
        format!("/boards/{board}"),
        format!("/boards/{board}/pins"),
        format!("/boards/{board}/sections"),
        format!("/boards/{board}/collaborators"),
        format!("/boards/{board}/sections/{}/pins", kept.section),
    ] {
        caller.get(&path).await.refused(404, 40);
    }
    for path in [format!("/pins/{pin}"), format!("/pins/{pin}/related"), format!("/pins/{pin}/comments")] {
        caller.get(&path).await.refused(404, 50);
    }
    let suggested = caller.get("/terms/suggested?term=gaz&limit=10").await.with(200);
    assert!(!suggested.to_string().contains("gazebo"), "{suggested}");
    let related = caller.get("/terms/related?terms=garden").await.with(200);
    assert!(!related.to_string().contains("gazebo"), "{related}");
}

/// Tries every write on what is secret; each is refused as if it were not there.
async fn changes_nothing_secret(caller: &Caller<'_>, kept: &Kept) {
    let (board, pin, section) = (&kept.secret, &kept.secret_pin, &kept.section);
    for (method, path, body) in [
        ("PATCH", format!("/boards/{board}"), Some(json!({ "name": "Found" }))),
        ("PATCH", format!("/boards/{board}"), Some(json!({ "privacy": "PUBLIC" }))),
        ("DELETE", format!("/boards/{board}"), None),
        ("POST", format!("/boards/{board}/sections"), Some(json!({ "name": "Found" }))),
        ("DELETE", format!("/boards/{board}/sections/{section}"), None),
        ("POST", "/pins".to_owned(), Some(pin_body(board, "Found", 9))),
        ("PATCH", format!("/pins/{pin}"), Some(json!({ "title": "Found" }))),
        ("PATCH", format!("/pins/{}", kept.open_pin), Some(json!({ "board_id": board }))),
        ("DELETE", format!("/pins/{pin}"), None),
        ("POST", format!("/pins/{pin}/save"), Some(json!({ "board_id": kept.open }))),
        ("POST", format!("/pins/{}/save", kept.open_pin), Some(json!({ "board_id": board }))),
        ("PUT", format!("/pins/{pin}/reactions"), None),
        ("POST", format!("/pins/{pin}/comments"), Some(json!({ "text": "Found" }))),
        ("POST", format!("/boards/{board}/collaborators"), Some(json!({ "username": "cleo", "role": "edit" }))),
        ("POST", format!("/boards/{board}/collaborators/accept"), None),
        ("DELETE", format!("/boards/{board}/collaborators/cleo"), None),
        ("POST", format!("/user_account/following/boards/{board}"), None),
    ] {
        let reply = caller.call(method, &path, body).await;
        let refused = reply.status == 404 || (reply.status == 403 && path.ends_with(&kept.open_pin));
        assert!(refused, "{method} {path}: {} {}", reply.status, reply.body);
    }
}

#[tokio::test]
async fn tokens_without_secret_scopes_see_and_change_nothing_secret() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    site.sign_up("cleo").await;
    let kept = keep(&site, &ada).await;
    let plain = site.token(ada.user, PLAIN).await;
    sees_nothing_secret(&plain, &kept).await;
    changes_nothing_secret(&plain, &kept).await;
    plain.post("/boards", json!({ "name": "x", "privacy": "SECRET" })).await.refused(403, 29);
    plain.patch(&format!("/boards/{}", kept.open), json!({ "privacy": "SECRET" })).await.refused(403, 29);
    // Counts don't tell either.
    let account = plain.get("/user_account").await.with(200);
    assert_eq!((account["board_count"].as_u64(), account["pin_count"].as_u64()), (Some(1), Some(1)));
    // And everything is as it was for a token that may see it.
    assert_eq!(ada.ids("/boards").await.len(), 2);
    let pin = ada.get(&format!("/pins/{}", kept.secret_pin)).await.with(200);
    assert_eq!((pin["title"].as_str(), pin["board_section_id"].as_str()), (Some("garden gazebo #roses"), Some(kept.section.as_str())));
    assert_eq!(ada.get("/user_account").await.with(200)["board_count"], 2);
    let mut found = ada.ids("/search/pins?query=garden").await;
    found.sort();
    let mut both = vec![kept.open_pin.clone(), kept.secret_pin.clone()];
    both.sort();
    assert_eq!(found, both);
}

#[tokio::test]
async fn half_of_the_secret_scopes_shows_only_that_half() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let kept = keep(&site, &ada).await;
    let with = |scope| PLAIN.iter().copied().chain([scope]).collect::<Vec<_>>();
    let boards = site.token(ada.user, &with(Scope::BoardsReadSecret)).await;
    let board = boards.get(&format!("/boards/{}", kept.secret)).await.with(200);
    assert_eq!(board["media"], json!({ "image_cover_url": null, "pin_thumbnail_urls": [] }));
    boards.get(&format!("/boards/{}/pins", kept.secret)).await.refused(404, 40);
    boards.get(&format!("/pins/{}", kept.secret_pin)).await.refused(404, 50);
    assert_eq!(boards.ids("/pins").await, slice::from_ref(&kept.open_pin));
    boards.patch(&format!("/boards/{}", kept.secret), json!({ "name": "Found" })).await.refused(403, 29);
    boards.put(&format!("/pins/{}/reactions", kept.secret_pin)).await.refused(404, 50);
    let pins = site.token(ada.user, &with(Scope::PinsReadSecret)).await;
    pins.get(&format!("/boards/{}", kept.secret)).await.refused(404, 40);
    pins.get(&format!("/pins/{}", kept.secret_pin)).await.refused(404, 50);
    assert_eq!(pins.ids("/search/pins?query=garden").await, slice::from_ref(&kept.open_pin));
    // Reading what is secret is not writing it.
    let reader = [&with(Scope::BoardsReadSecret)[..], &[Scope::PinsReadSecret]].concat();
    let reader = site.token(ada.user, &reader).await;
    reader.get(&format!("/pins/{}", kept.secret_pin)).await.with(200);
    reader.patch(&format!("/pins/{}", kept.secret_pin), json!({ "title": "x" })).await.refused(403, 29);
    reader.delete(&format!("/pins/{}", kept.secret_pin)).await.refused(403, 29);
    reader.delete(&format!("/boards/{}", kept.secret)).await.refused(403, 29);
    reader.post("/pins", pin_body(&kept.secret, "x", 5)).await.refused(403, 29);
}

#[tokio::test]
async fn other_people_s_secret_boards_don_t_exist() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    site.sign_up("cleo").await;
    let kept = keep(&site, &ada).await;
    let bob = site.person("bob").await;
    bob.post("/user_account/following/ada", json!({})).await.with(200);
    site.settle().await;
    sees_nothing_secret(&bob, &kept).await;
    changes_nothing_secret(&bob, &kept).await;
    assert_eq!(bob.ids("/home/feed").await, slice::from_ref(&kept.open_pin));
    let partner = bob.get("/search/partner/pins?term=garden").await.with(200);
    let found: Vec<&Value> = partner["items"].as_array().unwrap().iter().map(|pin| &pin["id"]).collect();
    assert_eq!(found, [&json!(kept.open_pin)]);
    // Not even one's own secret pins are what partners see.
    let partner = ada.get("/search/partner/pins?term=gazebo").await.with(200);
    assert_eq!(partner["items"], json!([]));
}

#[tokio::test]
async fn a_pin_saved_from_a_secret_board_does_not_tell_where_from() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let kept = keep(&site, &ada).await;
    let saved = ada.post(&format!("/pins/{}/save", kept.secret_pin), json!({ "board_id": kept.open })).await.with(201);
    assert_eq!(saved["parent_pin_id"], json!(kept.secret_pin));
    let path = format!("/pins/{}", text(&saved["id"]));
    for caller in [&bob, &site.token(ada.user, PLAIN).await] {
        assert_eq!(caller.get(&path).await.with(200)["parent_pin_id"], Value::Null);
    }
}

#[tokio::test]
async fn a_long_run_of_hidden_pins_is_no_end() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let kept = keep(&site, &ada).await;
    // Far more of them, and newer, than one step of a list reads.
    let first = site.app.object::<model::Pin>(kept.secret_pin.parse::<model::PinId>().unwrap()).await.unwrap().unwrap();
    let mut batch = storage::Batch::on(first.id.shard());
    for n in 0..3_000 {
        let id = site.app.new_id::<model::PinId>(first.id.shard(), model::Kind::Pin).await.unwrap();
        let at = first.data.at.plus(1_000 + n);
        batch.create(id.id(), &model::Pin { at, ..first.data.clone() }).map(model::Assoc::UserHasPins, ada.user.id(), id.id(), at.0);
    }
    site.app.commit(batch).await.unwrap();
    let plain = site.token(ada.user, PLAIN).await;
    assert_eq!(plain.ids("/pins").await, slice::from_ref(&kept.open_pin));
    assert_eq!(plain.all("/pins", 1).await.len(), 1);
}

#[tokio::test]
async fn invitations_to_secret_boards_show_to_tokens_with_secret_scopes_only() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let kept = keep(&site, &ada).await;
    let invite = json!({ "username": "bob", "role": "add" });
    let path = format!("/boards/{}/collaborators", kept.secret);
    assert_eq!(ada.post(&path, invite).await.with(201)["status"], "invited");
    site.settle().await;
    let plain = site.token(bob.user, PLAIN).await;
    assert_eq!(plain.get("/notifications/inbox").await.with(200)["items"], json!([]));
    plain.post(&format!("{path}/accept"), json!({})).await.refused(404, 40);
    let inbox = bob.get("/notifications/inbox").await.with(200);
    assert_eq!(inbox["items"][0]["board_id"], json!(kept.secret), "{inbox}");
    bob.get(&format!("/boards/{}", kept.secret)).await.refused(404, 40);
    bob.post(&format!("{path}/accept"), json!({})).await.with(204);
    assert_eq!(bob.get(&format!("/boards/{}", kept.secret)).await.with(200)["collaborator_count"], 1);
    assert_eq!(bob.ids("/boards").await, slice::from_ref(&kept.secret));
    bob.pin(&kept.secret, "from bob", 8).await;
    plain.get(&format!("/boards/{}", kept.secret)).await.refused(404, 40);
    plain.delete(&format!("{path}/bob")).await.refused(404, 40);
    assert_eq!(plain.ids("/boards").await, Vec::<String>::new());
    assert_eq!(plain.ids("/pins").await, Vec::<String>::new());
    bob.delete(&format!("{path}/bob")).await.with(204);
    bob.get(&format!("/boards/{}", kept.secret)).await.refused(404, 40);
}
