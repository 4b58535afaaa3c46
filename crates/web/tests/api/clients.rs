//! What existing clients rely on. Each item of the list is a test.

use axum::body::Body;
use model::object::Scope;
use serde_json::{Value, json};
use web::limits::{Category, Subject};

use crate::site::{BASE_URL, PLAIN, Site, pin_body, text};

/// A person with public and secret pins, mixed, on two boards with sections.
async fn filled_site(site: &Site) -> (model::UserId, String) {
    let ada = site.person("ada").await;
    let (open, secret) = (ada.board("Open board", "PUBLIC").await, ada.board("Hidden board", "SECRET").await);
    for n in 0..5 {
        ada.pin(&open, &format!("lamp {n}"), n).await;
        ada.pin(&secret, &format!("lamp secret {n}"), 100 + n).await;
        ada.post(&format!("/boards/{open}/sections"), json!({ "name": format!("Part {n}") })).await.with(201);
    }
    (ada.user, open)
}

#[tokio::test]
async fn bookmarks_are_pasted_into_addresses_without_encoding() {
    let site = Site::open().await;
    let (user, open) = filled_site(&site).await;
    let ada = site.token(user, &Scope::ALL).await;
    for name in ["bob", "cleo", "dan"] {
        let fan = site.person(name).await;
        fan.call("POST", "/user_account/following/ada", Some(json!({}))).await.with(200);
        ada.call("POST", &format!("/user_account/following/{name}"), Some(json!({}))).await.with(200);
    }
    site.settle().await;
    for (path, expected) in [
        ("/pins".to_owned(), 10),
        ("/boards".to_owned(), 2),
        (format!("/boards/{open}/pins"), 5),
        (format!("/boards/{open}/sections"), 5),
        ("/search/pins?query=lamp".to_owned(), 10),
        ("/search/boards?query=board".to_owned(), 2),
        ("/search/all/pins?query=lamp".to_owned(), 10),
        ("/user_account/followers".to_owned(), 3),
        ("/user_account/following".to_owned(), 3),
    ] {
        // The caller checks every bookmark's letters and pastes it as it is.
        for page_size in [1, 2, 250] {
            let items = ada.all(&path, page_size).await;
            assert_eq!(items.len(), expected, "{path} by {page_size}");
            let distinct: std::collections::BTreeSet<String> = items.iter().map(Value::to_string).collect();
            assert_eq!(distinct.len(), expected, "{path} by {page_size} repeats itself");
        }
    }
    let bob = site.token(site.app.user_named(&app::Viewer::anonymous(), "bob").await.unwrap().id.try_into().unwrap(), PLAIN).await;
    assert_eq!(bob.all("/home/feed", 2).await.len(), 5);
}

#[tokio::test]
async fn a_page_is_empty_only_at_the_end() {
    let site = Site::open().await;
    let (user, _) = filled_site(&site).await;
    site.settle().await;
    // Every second pin is hidden from this token, and most are filtered out; the caller checks that no page is empty before the end.
    let plain = site.token(user, PLAIN).await;
    for path in ["/pins", "/search/pins?query=lamp", "/search/all/pins?query=lamp", "/pins?pin_filter=exclude_repins"] {
        assert_eq!(plain.all(path, 1).await.len(), 5, "{path}");
    }
    assert_eq!(plain.all("/pins?pin_filter=exclude_native", 1).await.len(), 0);
    assert_eq!(plain.all("/pins?pin_type=PRIVATE", 1).await.len(), 0);
    assert_eq!(plain.all("/pins?creative_types=VIDEO", 1).await.len(), 0);
    assert_eq!(site.token(user, &Scope::ALL).await.all("/pins?pin_type=PRIVATE", 2).await.len(), 5);
}

#[tokio::test]
async fn keys_are_there_and_null_when_empty() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Board", "PUBLIC").await;
    let made = ada.post("/pins", pin_body(&board, "", 1)).await.with(201);
    let listed = ada.get("/pins").await.with(200)["items"][0].clone();
    let read = ada.get(&format!("/pins/{}", text(&made["id"]))).await.with(200);
    assert_eq!(made, read);
    assert_eq!(made, listed);
    let keys = made.as_object().unwrap();
    for key in ["title", "description", "link", "alt_text", "board_section_id", "parent_pin_id", "pin_metrics"] {
        assert_eq!(keys.get(key), Some(&Value::Null), "{key}");
    }
    for key in ["id", "created_at", "dominant_color", "board_id", "board_owner", "media", "creative_type", "is_owner", "is_standard"] {
        assert!(keys.get(key).is_some_and(|value| !value.is_null()), "{key}");
    }
    let board = ada.get(&format!("/boards/{board}")).await.with(200);
    assert_eq!(board.as_object().unwrap().get("description"), Some(&Value::Null));
    let counts = ["pin_count", "follower_count", "collaborator_count"];
    assert_eq!(counts.map(|key| board[key].as_u64()), [Some(1), Some(0), Some(0)]);
    assert!(board["media"]["image_cover_url"].is_string() && board["media"]["pin_thumbnail_urls"].is_array());
}

#[tokio::test]
async fn widths_and_heights_are_whole_numbers_in_every_rendition() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Board", "PUBLIC").await;
    let pin = ada.post("/pins", pin_body(&board, "Small", 1)).await.with(201);
    let images = pin["media"]["images"].as_object().unwrap();
    for name in ["150x150", "400x300", "600x", "1200x"] {
        let image = &images[name];
        assert!(image["width"].as_u64() > Some(0) && image["height"].as_u64() > Some(0), "{name}: {image}");
        assert!(text(&image["url"]).starts_with(&format!("{BASE_URL}/media/")), "{name}: {image}");
    }
    assert_eq!((images["1200x"]["width"].as_u64(), images["1200x"]["height"].as_u64()), (Some(64), Some(48)));
}

#[tokio::test]
async fn nothing_redirects_a_trailing_slash() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    for path in ["/boards", "/pins", "/user_account", "/search/pins"] {
        // The site refuses redirects in every answer that it reads.
        ada.get(&format!("{path}/")).await.refused(404, 404);
        ada.call("POST", &format!("{path}/"), Some(json!({}))).await.refused(404, 404);
    }
    ada.get("").await.refused(404, 404);
    ada.get("/").await.refused(404, 404);
}

#[tokio::test]
async fn errors_are_json_whatever_fails() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    // The site checks that each of these is JSON with a code and a message.
    ada.get("/no/such/thing").await.refused(404, 404);
    ada.get("/user_account/analytics").await.refused(404, 404);
    let wrong_method = ada.put("/boards").await;
    assert!(wrong_method.header("allow").contains("GET"), "{:?}", wrong_method.headers);
    wrong_method.refused(405, 405);
    site.nobody().get("/boards").await.refused(401, 2);
    site.nobody().get("/no/such/thing").await.refused(404, 404);
    for body in ["", "{", "[]", "{\"name\":1}", "\u{0}"] {
        let request = ada.request("POST", "/boards").body(Body::from(body)).unwrap();
        site.send(request).await.refused(400, 1);
    }
    let large = ada.request("POST", "/boards").body(Body::from(vec![b' '; 31 << 20])).unwrap();
    site.send(large).await.refused(413, 413);
    let foreign = site.nobody().request("POST", "/boards").header("sec-fetch-site", "cross-site").body(Body::from("{}")).unwrap();
    site.send(foreign).await.refused(401, 2);
    let odd = ada.request("GET", "/boards/%FF").body(Body::empty()).unwrap();
    assert_eq!(site.send(odd).await.status, 400);
}

#[tokio::test]
async fn a_reached_limit_is_json_with_headers_that_say_when_to_come_back() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let first = ada.delete("/pins/1").await;
    assert_eq!(first.header("x-ratelimit-limit"), "600");
    assert!((500..600).contains(&first.header("x-ratelimit-remaining").parse().unwrap()));
    assert!(first.header("x-ratelimit-reset").parse::<u64>().unwrap() >= 1);
    first.refused(404, 50);
    let token = site.app.viewer_of_token(ada.token.as_ref().unwrap()).await.unwrap().unwrap().token;
    let refused = loop {
        while site.limiter.check(Category::OrgWrite, Subject::Id(token.id().as_u64())).allowed {}
        // On a slow machine the limit may have given one back in between.
        let reply = ada.delete("/pins/1").await;
        if reply.status == 429 {
            break reply;
        }
    };
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.header("x-ratelimit-remaining"), "0");
    refused.refused(429, 8);
    // Reads are counted apart, and so is everybody else.
    ada.get("/boards").await.with(200);
    bob.delete("/pins/1").await.refused(404, 50);
}

#[tokio::test]
async fn a_board_names_its_owner_and_has_a_text_id() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.post("/boards", json!({ "name": "Still Life" })).await.with(201);
    assert_eq!(board["owner"]["username"], "ada");
    let slug = text(&board["name"]).to_lowercase().replace(' ', "-");
    let found = site.app.board_at(&app::Viewer::anonymous(), "ada", &slug).await.unwrap();
    assert_eq!(found.to_string(), text(&board["id"]));
}

#[tokio::test]
async fn a_fetched_pin_s_own_picture_makes_another_pin() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let bob = site.person("bob").await;
    let from = ada.board("From", "PUBLIC").await;
    let to = bob.board("To", "PUBLIC").await;
    let pin = ada.post("/pins", pin_body(&from, "Lamp", 7)).await.with(201);
    let images = pin["media"]["images"].as_object().unwrap();
    let largest = images.values().max_by_key(|image| image["width"].as_u64()).unwrap();
    for url in [&largest["url"], &images["150x150"]["url"]] {
        let source = json!({ "source_type": "image_url", "url": url });
        let body = json!({ "board_id": to, "title": pin["title"], "link": null, "media_source": source });
        let copy = bob.post("/pins", body).await.with(201);
        assert_eq!(copy["media"], pin["media"]);
        assert_eq!((&copy["title"], &copy["board_owner"]["username"]), (&pin["title"], &json!("bob")));
    }
}
