//! What is refused, and with which code.

use axum::body::Body;
use model::object::Scope;
use serde_json::{Value, json};

use crate::site::{PLAIN, Site, pin_body, text};

#[tokio::test]
async fn page_sizes_and_bookmarks_that_are_none() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Board", "PUBLIC").await;
    for path in ["/pins", "/boards", "/user_account/followers", "/home/feed", "/search/pins?query=x", &format!("/boards/{board}/sections")]
    {
        let join = if path.contains('?') { '&' } else { '?' };
        for wrong in ["page_size=0", "page_size=251", "page_size=-1", "page_size=many", "bookmark=%00", "bookmark=AAAA"] {
            ada.get(&format!("{path}{join}{wrong}")).await.refused(400, 1);
        }
        ada.get(&format!("{path}{join}page_size=250")).await.with(200);
    }
    ada.get(&format!("/search/pins?query={}", "x".repeat(2_000))).await.with(200);
    ada.get("/search/pins?page_size=250&query=x").await.with(200);
    ada.get("/search/pins").await.refused(400, 1);
    ada.get("/boards?privacy=HIDDEN").await.refused(400, 1);
    ada.get("/pins?pin_filter=best").await.refused(400, 1);
    ada.get("/terms/suggested?term=a&limit=11").await.refused(400, 1);
    ada.get("/terms/related").await.refused(400, 1);
}

#[tokio::test]
async fn things_that_are_not_there() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Board", "PUBLIC").await;
    let pin = ada.pin(&board, "Pin", 1).await;
    ada.get("/boards/12345").await.refused(404, 40);
    ada.get(&format!("/boards/{pin}")).await.refused(404, 40);
    ada.get("/boards/lamps").await.refused(400, 1);
    ada.get("/pins/12345").await.refused(404, 50);
    ada.get("/pins/lamp").await.refused(400, 1);
    ada.patch(&format!("/boards/{board}/sections/12345"), json!({ "name": "x" })).await.refused(404, 2031);
    ada.get(&format!("/boards/{board}/sections/12345/pins")).await.refused(404, 2031);
    ada.post("/user_account/following/nobody", json!({})).await.refused(404, 30);
    ada.get("/users/nobody/interests/follow").await.refused(404, 30);
    ada.delete(&format!("/pins/{pin}")).await.with(204);
    ada.delete(&format!("/pins/{pin}")).await.refused(404, 50);
    ada.get(&format!("/pins/{pin}")).await.refused(404, 50);
}

#[tokio::test]
async fn tokens_without_the_scope_a_call_needs() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Board", "PUBLIC").await;
    for (scopes, method, path, body) in [
        (vec![Scope::PinsRead], "GET", "/boards".to_owned(), None),
        (vec![Scope::BoardsRead], "POST", "/boards".to_owned(), Some(json!({ "name": "x" }))),
        (vec![Scope::BoardsWrite], "POST", "/boards".to_owned(), Some(json!({ "name": "x" }))),
        (vec![Scope::BoardsRead], "DELETE", format!("/boards/{board}"), None),
        (vec![Scope::BoardsRead], "GET", format!("/boards/{board}/pins"), None),
        (vec![Scope::PinsRead, Scope::PinsWrite, Scope::BoardsRead], "POST", "/pins".to_owned(), Some(pin_body(&board, "x", 1))),
        (vec![Scope::BoardsRead], "GET", "/pins".to_owned(), None),
        (vec![Scope::BoardsRead], "GET", "/user_account".to_owned(), None),
        (vec![Scope::UserAccountsRead], "POST", "/user_account/following/ada".to_owned(), Some(json!({}))),
        (vec![Scope::PinsRead], "GET", "/home/feed".to_owned(), None),
        (vec![Scope::BoardsRead], "GET", "/notifications/inbox".to_owned(), None),
    ] {
        let token = site.token(ada.user, &scopes).await;
        token.call(method, &path, body).await.refused(403, 7);
    }
    assert_eq!(ada.ids("/boards").await, [board]);
}

#[tokio::test]
async fn tokens_that_are_none() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let good = ada.token.clone().unwrap();
    let (head, _) = good.rsplit_once('_').unwrap();
    for authorization in ["Bearer x".to_owned(), format!("Bearer {head}_{}", "0".repeat(64)), format!("Basic {good}"), good.clone()] {
        let request = site.nobody().request("GET", "/boards").header("authorization", &authorization).body(Body::empty()).unwrap();
        let reply = site.send(request).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        reply.refused(401, 2);
    }
    // A cookie is no token.
    let cookie = site.app.open_session(&app::Viewer::anonymous(), ada.user, Default::default()).await.unwrap();
    let request = site.nobody().request("GET", "/boards").header("cookie", format!("session={cookie}")).body(Body::empty()).unwrap();
    site.send(request).await.refused(401, 2);
    ada.get("/boards").await.with(200);
    let viewer = site.app.viewer_of_token(&good).await.unwrap().unwrap();
    site.app.revoke_token(&viewer.viewer, viewer.token).await.unwrap();
    ada.get("/boards").await.refused(401, 2);
}

#[tokio::test]
async fn pins_that_can_t_be_made() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Board", "PUBLIC").await;
    let foreign = bob.board("Board", "PUBLIC").await;
    let with = |field: &str, value: Value| {
        let mut body = pin_body(&board, "Lamp", 1);
        body[field] = value;
        body
    };
    let source = |value: Value| with("media_source", value);
    for body in [
        with("title", json!("x".repeat(101))),
        with("description", json!("x".repeat(801))),
        with("alt_text", json!("x".repeat(501))),
        with("link", json!("javascript:alert(1)")),
        with("board_id", json!("lamps")),
        source(json!({ "source_type": "image_base64", "content_type": "image/png", "data": "%%%" })),
        source(json!({ "source_type": "image_base64", "content_type": "image/png", "data": "bm8gcGljdHVyZQ==" })),
        source(json!({ "source_type": "image_base64", "content_type": "text/html", "data": "AAAA" })),
        source(json!({ "source_type": "image_url", "url": "http://127.0.0.1/x.png" })),
        source(json!({ "source_type": "image_url", "url": "file:///etc/passwd" })),
        source(json!({ "source_type": "image_url" })),
        source(json!({ "source_type": "hologram" })),
        source(json!({ "source_type": "pin_url" })),
        source(json!({ "source_type": "video_id", "media_id": "1" })),
        source(json!({ "source_type": "multiple_image_urls", "items": [] })),
        source(json!({ "source_type": "multiple_image_base64", "items": [] })),
        source(Value::Null),
    ] {
        let mut reply = ada.post("/pins", body.clone()).await;
        assert!(reply.body["message"].as_str().unwrap().len() > 20, "{body}");
        reply.body["of"] = body;
        reply.refused(400, 1);
    }
    ada.post("/pins", with("board_id", json!("12345"))).await.refused(404, 40);
    ada.post("/pins", with("board_section_id", json!("12345"))).await.refused(404, 2031);
    ada.post("/pins", with("parent_pin_id", json!("12345"))).await.refused(404, 50);
    ada.post("/pins", with("board_id", json!(foreign))).await.refused(403, 29);
    let no_picture =
        source(json!({ "source_type": "image_url", "url": format!("{}/media/{}/600x.jpg", crate::site::BASE_URL, "0".repeat(64)) }));
    ada.post("/pins", no_picture).await.refused(404, 404);
    assert!(ada.ids("/pins").await.is_empty());
}

#[tokio::test]
async fn what_belongs_to_others() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Board", "PUBLIC").await;
    let pin = ada.pin(&board, "Pin", 1).await;
    let section = text(&ada.post(&format!("/boards/{board}/sections"), json!({ "name": "Part" })).await.with(201)["id"]);
    bob.patch(&format!("/boards/{board}"), json!({ "name": "Mine" })).await.refused(403, 29);
    bob.delete(&format!("/boards/{board}")).await.refused(403, 29);
    bob.patch(&format!("/pins/{pin}"), json!({ "title": "Mine" })).await.refused(403, 29);
    bob.delete(&format!("/pins/{pin}")).await.refused(403, 29);
    bob.post(&format!("/boards/{board}/sections"), json!({ "name": "Mine" })).await.refused(403, 29);
    bob.delete(&format!("/boards/{board}/sections/{section}")).await.refused(403, 29);
    bob.post(&format!("/pins/{pin}/save"), json!({ "board_id": board })).await.refused(403, 29);
    bob.post(&format!("/pins/{pin}/save"), json!({})).await.refused(400, 1);
    let mine = bob.board("Mine", "PUBLIC").await;
    // A section of another board is none of this one.
    ada.delete(&format!("/boards/{mine}/sections/{section}")).await.refused(404, 2031);
    bob.post(&format!("/pins/{pin}/save"), json!({ "board_id": mine, "board_section_id": section })).await.refused(404, 2031);
    ada.post(&format!("/boards/{board}/sections"), json!({ "name": "part" })).await.refused(409, 409);
    ada.post("/user_account/following/ada", json!({})).await.refused(400, 1);
}

#[tokio::test]
async fn the_same_key_makes_one_thing() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let keyed = async |caller: &crate::site::Caller<'_>, path: &str, key: &str, body: Value| {
        let request = caller.request("POST", path).header("idempotency-key", key).body(Body::from(body.to_string()));
        site.send(request.unwrap()).await
    };
    let board = json!({ "name": "Board" });
    let first = keyed(&ada, "/boards", "k1", board.clone()).await.with(201);
    assert_eq!(keyed(&ada, "/boards", "k1", board.clone()).await.with(201), first);
    let id = text(&first["id"]);
    let (a, b) = tokio::join!(keyed(&ada, "/pins", "k1", pin_body(&id, "Lamp", 1)), keyed(&ada, "/pins", "k1", pin_body(&id, "Lamp", 1)));
    let (a, b) = (a.with(201), b.with(201));
    assert_eq!(a, b);
    assert_eq!(keyed(&ada, "/pins", "k1", pin_body(&id, "Lamp", 1)).await.with(201), a);
    assert_eq!(ada.ids("/pins").await.len(), 1);
    // Another key, another person and another call are other writes.
    keyed(&ada, "/pins", "k2", pin_body(&id, "Lamp", 1)).await.with(201);
    let theirs = text(&keyed(&bob, "/boards", "k1", board).await.with(201)["id"]);
    let save = format!("/pins/{}/save", text(&a["id"]));
    let saved = keyed(&bob, &save, "k3", json!({ "board_id": theirs })).await.with(201);
    assert_eq!(keyed(&bob, &save, "k3", json!({ "board_id": theirs })).await.with(201), saved);
    assert_eq!((ada.ids("/pins").await.len(), bob.ids("/pins").await.len()), (2, 1));
    keyed(&ada, "/boards", &"k".repeat(129), json!({ "name": "x" })).await.refused(400, 1);
    ada.delete(&format!("/pins/{}", text(&a["id"]))).await.with(204);
    keyed(&ada, "/pins", "k1", pin_body(&id, "Lamp", 1)).await.refused(409, 409);
    // A token that may not see what the key made does not learn of it.
    let secret = keyed(&ada, "/boards", "k4", json!({ "name": "Hidden", "privacy": "SECRET" })).await.with(201);
    assert_eq!(secret["privacy"], "SECRET");
    let plain = site.token(ada.user, PLAIN).await;
    keyed(&plain, "/boards", "k4", json!({ "name": "Hidden" })).await.refused(409, 409);
}
