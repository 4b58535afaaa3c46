//! What foreign pages and files can't do.

use crate::site::{Answered, PASSWORD, Site};
use model::object::Privacy;
use std::io::{Read, Write};

/// Sends raw bytes and returns the answer's head and body as text.
fn raw(site: &Site, request: &str) -> String {
    tokio::task::block_in_place(|| {
        let mut stream = std::net::TcpStream::connect(site.base_url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_in_is_limited_and_says_for_how_long() {
    let site = Site::start_with(1).await;
    site.person("ada").await;
    let mut browser = site.anonymous();
    let mut refused = None;
    for _ in 0..40 {
        let answer = browser.post("/login", &[("login", "ada"), ("password", "wrong wrong wrong")]);
        assert_eq!(answer.cookies_set(), 0);
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let refused = refused.expect("40 attempts in a moment are too many");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|s| s >= 1)), "{:?}", refused.headers);
    let right = browser.post("/login", &[("login", "ada"), ("password", PASSWORD)]);
    assert_eq!((right.status, right.cookies_set()), (429, 0), "the right one has to wait, too");
    assert_eq!(browser.get("/explore").status, 200, "reading goes on");
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_other_sites_change_nothing() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let cookie = site.browser(&ada).cookies();
    let host = site.base_url.trim_start_matches("http://").to_owned();
    let body = "name=Forged&privacy=PUBLIC";
    for header in ["origin: https://evil.example", "sec-fetch-site: cross-site", "sec-fetch-site: same-site", "origin: null"] {
        let request = format!(
            "POST /board/new HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\n{header}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw(&site, &request);
        assert!(answer.starts_with("HTTP/1.1 403"), "{header}: {answer}");
    }
    assert!(site.app.storage.scan::<model::Board>(None, 10).await.unwrap().is_empty());
    // The API takes no cookie.
    let request =
        format!("POST /v5/boards HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\ncontent-length: 2\r\n\r\n{{}}");
    assert!(raw(&site, &request).starts_with("HTTP/1.1 401"));
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_forbids_foreign_and_inline_code() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let board = site.board(&ada, "<script>alert(1)</script>", Privacy::Public).await;
    let pin = site.pin(&ada, board, "\"><img src=x onerror=alert(1)>").await;
    site.settle().await;
    let mut browser = site.browser(&ada);
    let paths =
        ["/", "/explore", "/ada", "/login", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/settings", "/nowhere/at/all", "/create"];
    for path in paths.into_iter().map(str::to_owned).chain([format!("/pin/{pin}")]) {
        let answer = browser.get(&path);
        let policy = answer.header("content-security-policy").unwrap_or_default().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let text = answer.text();
        assert!(!text.contains("<script>") && !text.contains("<img src=x"), "{path} is not escaped");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_a_picture_or_nothing() {
    let site = Site::start().await;
    let ada = site.person("ada").await;
    let board = site.board(&ada, "Lace", Privacy::Public).await.to_string();
    let mut browser = site.browser(&ada);
    let whole = site.new_picture();
    let mut polyglot = b"<html><script>alert(1)</script></html>".to_vec();
    polyglot.extend_from_slice(&whole);
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
    for (name, bytes) in [
        ("page.jpg", b"<html><script>alert(1)</script></html>".to_vec()),
        ("both.png", polyglot),
        ("drawing.svg", svg),
        ("half.png", whole[..whole.len() / 2].to_vec()),
        ("nothing.png", Vec::new()),
    ] {
        let answer = browser.upload("/create", &[("title", "X"), ("board_id", &board)], name, &bytes);
        assert_ne!(answer.status, 303, "{name} was taken");
        assert!((400..500).contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
    }
    assert!(site.app.storage.scan::<model::Pin>(None, 10).await.unwrap().is_empty());
    assert_eq!(site.app.media.usage().await.unwrap().objects, 0, "no byte of a refused file is kept");
    // What is taken is served as a picture, whatever hangs on its end.
    let mut tailed = whole.to_vec();
    tailed.extend_from_slice(b"<html><script>alert(1)</script></html>");
    browser.upload("/create", &[("title", "X"), ("board_id", &board)], "tailed.png", &tailed);
    let taken = site.app.storage.scan::<model::Pin>(None, 10).await.unwrap();
    assert_eq!(taken.len(), 1);
    for stored in taken {
        let answer = browser.get(&format!("/media/{}/originals.png", stored.data.picture.hash));
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("image/")), "{:?}", answer.headers);
        assert!(!answer.text().contains("<script>"), "the tail is served");
    }
    site.finish().await;
}
