//! Every endpoint does what it is for. Answers are held to the schema as they come in; the last test counts that none was left out.

use std::slice;

use serde_json::{Value, json};

use crate::site::{Site, pin_body, text};

#[tokio::test]
async fn boards_are_made_read_changed_and_deleted() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let made = ada.post("/boards", json!({ "name": "Lamps", "description": "Light", "privacy": "PROTECTED" })).await.with(201);
    assert_eq!((&made["privacy"], &made["description"]), (&json!("PROTECTED"), &json!("Light")));
    let path = format!("/boards/{}", text(&made["id"]));
    assert_eq!(ada.get(&path).await.with(200), made);
    let changed = ada.patch(&path, json!({ "name": "Lights", "description": null, "privacy": "SECRET" })).await.with(200);
    assert_eq!((&changed["name"], &changed["description"], &changed["privacy"]), (&json!("Lights"), &Value::Null, &json!("SECRET")));
    ada.board("Other", "PUBLIC").await;
    assert_eq!(ada.ids("/boards").await.len(), 2);
    assert_eq!(ada.ids("/boards?privacy=SECRET").await, [text(&made["id"])]);
    ada.delete(&path).await.with(204);
    ada.get(&path).await.refused(404, 40);
    assert_eq!(ada.ids("/boards").await.len(), 1);
}

#[tokio::test]
async fn sections_hold_pins() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Lamps", "PUBLIC").await;
    let sections = format!("/boards/{board}/sections");
    let section = text(&ada.post(&sections, json!({ "name": "Desk" })).await.with(201)["id"]);
    let path = format!("{sections}/{section}");
    assert_eq!(ada.patch(&path, json!({ "name": "Table" })).await.with(200), json!({ "id": section, "name": "Table" }));
    assert_eq!(ada.all(&sections, 10).await, [json!({ "id": section, "name": "Table" })]);
    let pin = ada.pin(&board, "Lamp", 1).await;
    let moved = ada.patch(&format!("/pins/{pin}"), json!({ "board_section_id": section })).await.with(200);
    assert_eq!(moved["board_section_id"], json!(section));
    // Naming the same board leaves the pin in its section; null takes it out.
    ada.patch(&format!("/pins/{pin}"), json!({ "board_id": board })).await.with(200);
    assert_eq!(ada.ids(&format!("{path}/pins")).await, slice::from_ref(&pin));
    ada.patch(&format!("/pins/{pin}"), json!({ "board_section_id": null })).await.with(200);
    assert_eq!(ada.ids(&format!("{path}/pins")).await, Vec::<String>::new());
    ada.delete(&path).await.with(204);
    assert_eq!(ada.ids(&format!("/boards/{board}/pins")).await, [pin]);
}

#[tokio::test]
async fn pins_are_made_read_changed_saved_and_deleted() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Lamps", "PUBLIC").await;
    let mut body = pin_body(&board, "Lamp", 1);
    body["link"] = json!("https://example.org/lamp");
    body["description"] = json!("A lamp");
    body["alt_text"] = json!("A lamp on a desk");
    let made = ada.post("/pins", body).await.with(201);
    let path = format!("/pins/{}", text(&made["id"]));
    assert_eq!((&made["link"], &made["is_owner"]), (&json!("https://example.org/lamp"), &json!(true)));
    let seen = bob.get(&path).await.with(200);
    assert_eq!((&seen["is_owner"], &seen["board_owner"]["username"]), (&json!(false), &json!("ada")));
    let changed = ada.patch(&path, json!({ "title": "Light", "link": null })).await.with(200);
    let fields = ["title", "link", "description"].map(|key| changed[key].clone());
    assert_eq!(fields, [json!("Light"), Value::Null, json!("A lamp")]);
    let theirs = bob.board("Mine", "PUBLIC").await;
    let saved = bob.post(&format!("{path}/save"), json!({ "board_id": theirs, "board_section_id": null })).await.with(201);
    assert_eq!((&saved["parent_pin_id"], &saved["board_id"]), (&made["id"], &json!(theirs)));
    assert_eq!(bob.ids("/pins?pin_filter=exclude_native").await, [text(&saved["id"])]);
    let mut child = pin_body(&theirs, "Child", 2);
    child["parent_pin_id"] = saved["id"].clone();
    assert_eq!(bob.post("/pins", child).await.with(201)["parent_pin_id"], saved["id"]);
    ada.delete(&path).await.with(204);
    ada.get(&path).await.refused(404, 50);
    bob.get(&format!("/pins/{}", text(&saved["id"]))).await.with(200);
}

#[tokio::test]
async fn jpeg_is_taken_too() {
    let site = Site::open().await;
    let ada = site.person("ada").await;
    let board = ada.board("Lamps", "PUBLIC").await;
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(testkit::picture::jpeg(1_600, 800, [10, 20, 30]));
    let source = json!({ "source_type": "image_base64", "content_type": "image/jpeg", "data": data });
    let pin = ada.post("/pins", json!({ "board_id": board, "media_source": source })).await.with(201);
    let images = &pin["media"]["images"];
    assert_eq!((images["1200x"]["width"].as_u64(), images["1200x"]["height"].as_u64()), (Some(1_200), Some(600)));
    assert!(text(&images["originals"]["url"]).ends_with("/originals.jpg"));
}

#[tokio::test]
async fn people_follow_people_boards_and_topics() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Lamps", "PUBLIC").await;
    ada.pin(&board, "Lamp #still_life", 1).await;
    site.settle().await;
    let followed = bob.post("/user_account/following/ada", json!({ "auto_follow": true })).await.with(200);
    assert_eq!(followed, json!({ "type": "user", "username": "ada" }));
    bob.post(&format!("/user_account/following/boards/{board}"), json!({})).await.with(204);
    bob.post("/user_account/following/topics/still_life", json!({})).await.with(204);
    assert_eq!(bob.all("/user_account/following", 5).await, [json!({ "type": "user", "username": "ada" })]);
    assert_eq!(ada.all("/user_account/followers", 5).await, [json!({ "type": "user", "username": "bob" })]);
    let boards = bob.all("/user_account/following/boards", 5).await;
    assert_eq!((boards.len(), &boards[0]["id"]), (1, &json!(board)));
    for name in ["bob".to_owned(), bob.user.to_string()] {
        let interests = ada.all(&format!("/users/{name}/interests/follow"), 5).await;
        assert_eq!((interests.len(), &interests[0]["key"], &interests[0]["name"]), (1, &json!("still_life"), &json!("still life")));
    }
    let account = bob.get("/user_account").await.with(200);
    assert_eq!((&account["username"], &account["following_count"]), (&json!("bob"), &json!(2)));
    assert_eq!(ada.get(&format!("/boards/{board}")).await.with(200)["follower_count"], 1);
    let more = ada.board("More lamps", "PUBLIC").await;
    bob.post(&format!("/user_account/following/boards/{more}"), json!({})).await.with(204);
    assert_eq!(bob.all("/user_account/following/boards", 1).await.len(), 2);
    bob.delete(&format!("/user_account/following/boards/{more}")).await.with(204);
    for path in ["ada".to_owned(), format!("boards/{board}"), "topics/still_life".to_owned()] {
        bob.delete(&format!("/user_account/following/{path}")).await.with(204);
    }
    assert!(bob.all("/user_account/following", 5).await.is_empty());
    assert!(bob.all("/user_account/following/boards", 5).await.is_empty());
}

#[tokio::test]
async fn searches_find_own_and_public_things() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Brass lamps", "PUBLIC").await;
    let theirs = bob.board("Brass things", "PUBLIC").await;
    let pin = ada.pin(&board, "brass lamp", 1).await;
    let other = bob.pin(&theirs, "brass kettle", 2).await;
    site.settle().await;
    assert_eq!(ada.ids("/search/pins?query=brass").await, slice::from_ref(&pin));
    assert_eq!(ada.ids("/search/boards?query=brass").await, slice::from_ref(&board));
    assert_eq!(ada.ids("/search/boards").await, [board]);
    assert_eq!(ada.ids("/search/all/pins?query=kettle").await, slice::from_ref(&other));
    assert_eq!(ada.ids("/search/all/boards?query=things").await, [theirs]);
    assert_eq!(ada.all("/search/all/users?query=bob", 5).await, [json!({ "type": "user", "username": "bob" })]);
    let partner = ada.get("/search/partner/pins?term=brass&country_code=US&limit=1").await.with(200);
    assert_eq!(partner["items"].as_array().unwrap().len(), 1);
    assert!(partner["bookmark"].is_string());
    let suggested = ada.get("/terms/suggested?term=kett").await.with(200);
    assert!(suggested.as_array().unwrap().iter().any(|term| term.as_str().unwrap().contains("kettle")), "{suggested}");
    let related = ada.get("/terms/related?terms=brass,lamp").await.with(200);
    let terms: Vec<&Value> = related["related_terms_list"].as_array().unwrap().iter().map(|related| &related["term"]).collect();
    assert_eq!(terms, ["brass", "lamp"]);
}

#[tokio::test]
async fn what_v5_lacks() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Lamps", "PUBLIC").await;
    let (pin, beside) = (ada.pin(&board, "brass lamp", 1).await, ada.pin(&board, "iron lamp", 2).await);
    bob.post("/user_account/following/ada", json!({})).await.with(200);
    site.settle().await;
    assert_eq!(bob.ids("/home/feed").await, [beside.clone(), pin.clone()]);
    let newest = bob.get("/home/feed?order=newest").await.with(200);
    let reason = &newest["items"][0]["feed_reason"];
    assert_eq!((&reason["type"], &reason["signal"]), (&json!("user"), &Value::Null), "{reason}");
    let best = bob.get("/home/feed?order=best&page_size=1").await.with(200);
    let reason = &best["items"][0]["feed_reason"];
    assert_eq!((&reason["signal"], &reason["text"]), (&json!("follow"), &json!(format!("Because you follow {}", text(&reason["name"])))));
    let next = bob.get(&format!("/home/feed?page_size=1&bookmark={}", text(&best["bookmark"]))).await.with(200);
    assert_ne!(next["items"][0]["id"], best["items"][0]["id"], "a bookmark keeps its order");
    assert_eq!(next["bookmark"], Value::Null);
    assert_eq!(bob.get("/home/feed?order=worst").await.with(400)["code"], 1);
    assert_eq!(bob.get(&format!("/pins/{pin}")).await.with(200)["feed_reason"], Value::Null);
    let related = bob.get(&format!("/pins/{pin}/related")).await.with(200);
    assert_eq!((related["items"][0]["id"].as_str(), &related["bookmark"]), (Some(beside.as_str()), &Value::Null));

    let reactions = format!("/pins/{pin}/reactions");
    for _ in 0..2 {
        assert_eq!(bob.put(&reactions).await.with(200), json!({ "reaction_count": 1, "is_reacted": true }));
    }
    bob.delete(&reactions).await.with(204);
    assert_eq!(ada.put(&reactions).await.with(200)["reaction_count"], 1);

    let comments = format!("/pins/{pin}/comments");
    let comment = bob.post(&comments, json!({ "text": "Where is it from?" })).await.with(201);
    let id = text(&comment["id"]);
    let reply = ada.post(&comments, json!({ "text": "The attic", "parent_comment_id": id })).await.with(201);
    ada.put(&format!("/comments/{id}/reactions")).await.with(200);
    let read = ada.all(&comments, 5).await;
    assert_eq!((read.len(), &read[0]["text"], &read[0]["reaction_count"]), (1, &json!("Where is it from?"), &json!(1)));
    assert_eq!((&read[0]["replies"][0]["id"], &read[0]["is_reacted"]), (&reply["id"], &json!(true)));
    ada.delete(&format!("/comments/{id}/reactions")).await.with(204);
    ada.post(&comments, json!({ "text": " " })).await.refused(400, 1);

    let path = format!("/boards/{board}/collaborators");
    ada.post(&path, json!({ "username": "bob", "role": "edit" })).await.with(201);
    ada.post(&path, json!({ "username": "bob", "role": "emperor" })).await.refused(400, 1);
    bob.post(&format!("{path}/accept"), json!({})).await.with(204);
    let list = bob.all(&path, 5).await;
    assert_eq!((&list[0]["username"], &list[0]["role"], &list[0]["status"]), (&json!("bob"), &json!("edit"), &json!("accepted")));
    let theirs = text(&bob.post("/pins", pin_body(&board, "from bob", 3)).await.with(201)["id"]);
    let seen = ada.get(&format!("/pins/{theirs}")).await.with(200);
    assert_eq!((&seen["board_owner"]["username"], &seen["pinner"]["username"]), (&json!("ada"), &json!("bob")));
    ada.delete(&format!("{path}/bob")).await.with(204);

    site.settle().await;
    let inbox = ada.all("/notifications/inbox", 10).await;
    let kinds: Vec<&str> = inbox.iter().map(|group| group["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"followed") && kinds.contains(&"commented"), "{kinds:?}");
    assert!(inbox.iter().all(|group| group["unread"] == true));
    ada.post("/notifications/inbox/read", json!({})).await.with(204);
    assert!(ada.all("/notifications/inbox", 10).await.iter().all(|group| group["unread"] == false));
    ada.delete(&format!("/comments/{id}")).await.with(204);
}

#[tokio::test]
async fn every_operation_that_we_have_is_held_to_its_schema() {
    let site = Site::open().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = ada.board("Lamps", "PUBLIC").await;
    let section = text(&ada.post(&format!("/boards/{board}/sections"), json!({ "name": "Desk" })).await.with(201)["id"]);
    let mut body = pin_body(&board, "brass lamp #brass", 1);
    body["board_section_id"] = json!(section);
    let pin = text(&ada.post("/pins", body).await.with(201)["id"]);
    let theirs = bob.board("Mine", "SECRET").await;
    bob.post("/user_account/following/ada", json!({})).await.with(200);
    bob.post(&format!("/user_account/following/boards/{board}"), json!({})).await.with(204);
    site.settle().await;
    bob.post("/user_account/following/topics/brass", json!({})).await.with(204);
    ada.patch(&format!("/boards/{board}"), json!({ "name": "Lights" })).await.with(200);
    ada.patch(&format!("/boards/{board}/sections/{section}"), json!({ "name": "Table" })).await.with(200);
    ada.patch(&format!("/pins/{pin}"), json!({ "title": "Light" })).await.with(200);
    bob.post(&format!("/pins/{pin}/save"), json!({ "board_id": theirs })).await.with(201);
    for (caller, path) in [
        (&ada, "/boards".to_owned()),
        (&ada, format!("/boards/{board}")),
        (&ada, format!("/boards/{board}/pins")),
        (&ada, format!("/boards/{board}/sections")),
        (&ada, format!("/boards/{board}/sections/{section}/pins")),
        (&ada, "/pins".to_owned()),
        (&ada, format!("/pins/{pin}")),
        (&ada, "/search/pins?query=brass".to_owned()),
        (&ada, "/search/boards?query=lights".to_owned()),
        (&ada, "/terms/related?terms=brass".to_owned()),
        (&ada, "/terms/suggested?term=br".to_owned()),
        (&ada, "/user_account".to_owned()),
        (&ada, "/user_account/followers".to_owned()),
        (&bob, "/user_account/following".to_owned()),
        (&bob, "/user_account/following/boards".to_owned()),
        (&ada, "/users/bob/interests/follow".to_owned()),
    ] {
        caller.get(&path).await.with(200);
    }
    ada.delete(&format!("/pins/{pin}")).await.with(204);
    ada.delete(&format!("/boards/{board}/sections/{section}")).await.with(204);
    ada.delete(&format!("/boards/{board}")).await.with(204);
    let operations = site.validated.lock().iter().filter(|(_, _, status)| *status < 300).count();
    assert_eq!(operations, 16 + 5 + 3 + 3, "{:#?}", site.validated.lock());
}
