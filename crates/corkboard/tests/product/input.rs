//! Wrong input: a message and a 4xx, and nothing written.

use model::object::Privacy;
use testkit::Response;

use crate::site::{PASSWORD, Site};

/// The rows of everything that a form could have written.
async fn rows(site: &Site) -> Vec<usize> {
    use model::{Board, Comment, Pin, Report, Section, Token, User};
    let storage = &site.app.storage;
    vec![
        storage.scan::<User>(None, 500).await.unwrap().len(),
        storage.scan::<Board>(None, 500).await.unwrap().len(),
        storage.scan::<Section>(None, 500).await.unwrap().len(),
        storage.scan::<Pin>(None, 500).await.unwrap().len(),
        storage.scan::<Comment>(None, 500).await.unwrap().len(),
        storage.scan::<Report>(None, 500).await.unwrap().len(),
        storage.scan::<Token>(None, 500).await.unwrap().len(),
        storage.scan::<Board>(None, 500).await.unwrap().iter().map(|row| row.version as usize).sum(),
        storage.scan::<Pin>(None, 500).await.unwrap().iter().map(|row| row.version as usize).sum(),
        storage.scan::<User>(None, 500).await.unwrap().iter().map(|row| row.version as usize).sum(),
    ]
}

/// Says what is wrong with an answer to wrong input.
fn complaint(what: &str, answer: &Response) -> Option<String> {
    let text = answer.text();
    // A comment is written at the end of a long page: the form goes back there and says it in a note.
    let noted = answer.status == 303 && answer.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with("flash="));
    if noted && what.contains("/comments") {
        return None;
    }
    if !(400..500).contains(&answer.status) {
        return Some(format!("{what}: status {}, location {:?}", answer.status, answer.header("location")));
    }
    (text.trim().len() < 10).then(|| format!("{what}: status {} without a message", answer.status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_input_is_refused_with_a_message_and_writes_nothing() {
    let site = Site::start().await;
    let (ada, bob) = (site.person("ada").await, site.person("bob").await);
    let board = site.board(&ada, "Lace", Privacy::Public).await;
    let secret = site.board(&ada, "Hidden", Privacy::Secret).await;
    let (pin, hidden) = (site.pin(&ada, board, "A collar").await, site.pin(&ada, secret, "Hidden").await);
    let bobs = site.board(&bob, "Finds", Privacy::Public).await;
    let bobs_pin = site.pin(&bob, bobs, "Bob's").await;
    let comment = site.app.add_comment(&site.eyes(&ada).await, pin, "Mine", None).await.unwrap();
    site.settle().await;
    let before = rows(&site).await;
    let long = |count: usize| "x".repeat(count);
    let (bobs, board, pin, hidden) = (bobs.to_string(), board.to_string(), pin.to_string(), hidden.to_string());
    let (l31, l61, l101, l181, l501, l801, l1001, link) =
        (long(31), long(61), long(101), long(181), long(501), long(801), long(1_001), format!("https://e.org/{}", long(2_050)));
    let (user, comment_text) = (ada.id.to_string(), comment.to_string());
    // Bob does all of this.
    let table: Vec<(String, Vec<(&str, &str)>)> = vec![
        ("/board/new".into(), vec![("name", ""), ("privacy", "PUBLIC")]),
        ("/board/new".into(), vec![("name", &l181), ("privacy", "PUBLIC")]),
        ("/board/new".into(), vec![("name", "bell \u{7}"), ("privacy", "PUBLIC")]),
        ("/board/new".into(), vec![("name", "Fine"), ("privacy", "SOMETIMES")]),
        ("/board/new".into(), vec![("name", "Fine"), ("privacy", "PUBLIC"), ("description", &l501)]),
        (format!("/board/{bobs}/edit"), vec![("name", " "), ("privacy", "PUBLIC")]),
        (format!("/board/{board}/edit"), vec![("name", "Stolen"), ("privacy", "PUBLIC")]),
        (format!("/board/{secret}/edit"), vec![("name", "Stolen"), ("privacy", "PUBLIC")]),
        (format!("/board/{pin}/edit"), vec![("name", "Not a board"), ("privacy", "PUBLIC")]),
        ("/board/18446744073709551615/edit".into(), vec![("name", "No id")]),
        ("/board/abc/edit".into(), vec![("name", "No id")]),
        (format!("/board/{board}/delete"), vec![]),
        (format!("/board/{board}/merge"), vec![("into", &bobs)]),
        (format!("/board/{bobs}/merge"), vec![("into", &board)]),
        (format!("/board/{bobs}/merge"), vec![("into", &bobs)]),
        (format!("/board/{bobs}/cover"), vec![("pin_id", &pin)]),
        (format!("/board/{board}/archive"), vec![]),
        (format!("/board/{bobs}/sections/new"), vec![("name", &l181)]),
        (format!("/board/{board}/sections/new"), vec![("name", "Stolen")]),
        (format!("/board/{bobs}/collaborators"), vec![("login", "nobody-here"), ("role", "add")]),
        (format!("/board/{bobs}/collaborators"), vec![("login", "ada"), ("role", "king")]),
        (format!("/board/{bobs}/collaborators"), vec![("login", "bob"), ("role", "add")]),
        (format!("/board/{board}/collaborators"), vec![("login", "bob"), ("role", "edit")]),
        (format!("/board/{board}/invitation"), vec![("answer", "accept")]),
        (format!("/pin/{bobs_pin}/edit"), vec![("title", &l101), ("to", &bobs)]),
        (format!("/pin/{bobs_pin}/edit"), vec![("description", &l801), ("to", &bobs)]),
        (format!("/pin/{bobs_pin}/edit"), vec![("alt_text", &l501), ("to", &bobs)]),
        (format!("/pin/{bobs_pin}/edit"), vec![("link", &link), ("to", &bobs)]),
        (format!("/pin/{bobs_pin}/edit"), vec![("link", "javascript:alert(1)"), ("to", &bobs)]),
        (format!("/pin/{bobs_pin}/edit"), vec![("title", "x\u{0}y"), ("to", &bobs)]),
        (format!("/pin/{pin}/edit"), vec![("title", "Stolen"), ("to", &bobs)]),
        (format!("/pin/{hidden}/edit"), vec![("title", "Stolen"), ("to", &bobs)]),
        (format!("/pin/{board}/edit"), vec![("title", "Not a pin")]),
        (format!("/pin/{pin}/delete"), vec![]),
        (format!("/pin/{pin}/restore"), vec![]),
        (format!("/pin/{pin}/purge"), vec![]),
        (format!("/pin/{pin}/move"), vec![("board_id", &bobs)]),
        (format!("/pin/{bobs_pin}/move"), vec![("board_id", &board)]),
        (format!("/pin/{bobs_pin}/move"), vec![("board_id", &pin)]),
        (format!("/pin/{bobs_pin}/move"), vec![]),
        (format!("/pin/{hidden}/save"), vec![("board_id", &bobs)]),
        (format!("/pin/{pin}/save"), vec![("board_id", &board)]),
        (format!("/pin/{pin}/save"), vec![("board_name", &l181)]),
        (format!("/pin/{hidden}/like"), vec![]),
        (format!("/pin/{pin}/comments"), vec![("text", "  ")]),
        (format!("/pin/{pin}/comments"), vec![("text", &l501)]),
        (format!("/pin/{pin}/comments"), vec![("text", "a\u{1}b")]),
        (format!("/pin/{hidden}/comments"), vec![("text", "Hello")]),
        (format!("/pin/{bobs_pin}/comments"), vec![("text", "Elsewhere"), ("parent", &comment_text)]),
        (format!("/comment/{comment}/delete"), vec![]),
        (format!("/comment/{pin}/like"), vec![]),
        (format!("/follow/user/{}", bob.id), vec![]),
        (format!("/follow/user/{board}"), vec![]),
        (format!("/follow/board/{secret}"), vec![]),
        (format!("/follow/planet/{user}"), vec![]),
        (format!("/block/{}", bob.id), vec![]),
        (format!("/block/{pin}"), vec![]),
        (format!("/report/{hidden}"), vec![("reason", "spam")]),
        (format!("/report/{pin}"), vec![("reason", "boring")]),
        (format!("/report/{pin}"), vec![("reason", "spam"), ("note", &l1001)]),
        ("/settings".into(), vec![("username", "a"), ("name", "Bob")]),
        ("/settings".into(), vec![("username", &l31), ("name", "Bob")]),
        ("/settings".into(), vec![("username", "ada"), ("name", "Bob")]),
        ("/settings".into(), vec![("username", "settings"), ("name", "Bob")]),
        ("/settings".into(), vec![("username", "bob"), ("name", &l61)]),
        ("/settings".into(), vec![("username", "bob"), ("name", "Bob"), ("about", &l501)]),
        ("/settings".into(), vec![("username", "bob"), ("name", "Bob"), ("website", "ftp://x")]),
        ("/settings/home-order".into(), vec![("home_order", "worst")]),
        ("/settings/tokens".into(), vec![("name", "No scope")]),
        ("/settings/delete".into(), vec![("password", "wrong wrong")]),
        (format!("/admin/people/{user}/suspend"), vec![]),
        (format!("/admin/people/{}/admin", bob.id), vec![]),
    ];
    let mut complaints = Vec::new();
    let mut browser = site.browser(&bob);
    let signed_in = rows(&site).await;
    for (path, fields) in &table {
        let answer = browser.post(path, fields);
        let shown: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", value.chars().take(20).collect::<String>())).collect();
        complaints.extend(complaint(&format!("{path} {}", shown.join("&")), &answer));
        let now = rows(&site).await;
        if now != signed_in {
            complaints.push(format!("{path} {} WROTE: {signed_in:?} became {now:?}", shown.join("&")));
            break;
        }
    }
    let mut stranger = site.anonymous();
    for (what, fields) in [
        ("taken", [("username", "ada"), ("email", "new@example.org"), ("password", PASSWORD)]),
        ("mail taken", [("username", "newone"), ("email", "ada@example.org"), ("password", PASSWORD)]),
        ("reserved", [("username", "admin"), ("email", "new@example.org"), ("password", PASSWORD)]),
        ("short", [("username", "newone"), ("email", "new@example.org"), ("password", "short")]),
        ("no mail", [("username", "newone"), ("email", "no mail"), ("password", PASSWORD)]),
        ("digits", [("username", "12345"), ("email", "new@example.org"), ("password", PASSWORD)]),
    ] {
        complaints.extend(complaint(&format!("/signup {what}"), &stranger.post("/signup", &fields)));
    }
    complaints.extend(complaint("/login wrong", &stranger.post("/login", &[("login", "ada"), ("password", "wrong wrong")])));
    complaints.extend(complaint("/reset forged", &stranger.post("/reset", &[("secret", "1.x"), ("password", "a new long one")])));
    let names = ["newone", "new@example.org"];
    for name in names {
        let kind = if name.contains('@') { model::NameKind::Email } else { model::NameKind::Username };
        if site.app.storage.name(kind, name).await.unwrap().is_some() {
            complaints.push(format!("{name} stays claimed"));
        }
    }
    assert_eq!(before.len(), signed_in.len());
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    assert_eq!(rows(&site).await, signed_in);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_forms_are_answered_with_a_page() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let mut page = site.browser(&ada);
    for (path, content_type, body) in [
        ("/board/new", "text/plain", "name=Lace"),
        ("/board/new", "application/x-www-form-urlencoded", "name=a&name=b"),
        ("/create", "multipart/form-data", "no boundary"),
        ("/settings", "application/json", "{}"),
    ] {
        let answer = page.post_raw(path, content_type, body);
        let text = answer.text();
        assert_eq!(answer.status, 400, "{path} {content_type}: {text}");
        assert!(text.contains("<html") && text.contains("can&#39;t be read"), "{path} {content_type}: {text}");
    }
    assert!(site.app.boards_of(&site.eyes(&ada).await, ada.id, Default::default(), &Default::default()).await.unwrap().items.is_empty());
    site.finish().await;
}
