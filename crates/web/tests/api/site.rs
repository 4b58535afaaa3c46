//! The site under test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use app::accounts::NewUser;
use app::compose::{App, Parts, Settings};
use app::{Error, Viewer};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, header};
use base64::Engine as _;
use model::object::Scope;
use model::{Topic, UserId};
use runtime::{Health, SystemClock};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use web::limits::Limiter;
use web::{Live, LiveNumbers, Web};

use crate::schema::Schemas;

pub const BASE_URL: &str = "https://pins.example.org";
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// All that a token without secret scopes can have.
pub const PLAIN: &[Scope] =
    &[Scope::BoardsRead, Scope::BoardsWrite, Scope::PinsRead, Scope::PinsWrite, Scope::UserAccountsRead, Scope::UserAccountsWrite];

struct NoNumbers;

impl LiveNumbers for NoNumbers {
    fn snapshot(&self) -> Live {
        Live::default()
    }
}

pub struct Site {
    pub app: App,
    pub limiter: Arc<Limiter>,
    router: Router,
    schemas: Schemas,
    consumed: AtomicI64,
    /// Methods, path templates and statuses of the description that were answered and validated.
    pub validated: parking_lot::Mutex<BTreeSet<(String, String, u16)>>,
    _folder: tempfile::TempDir,
}

impl Site {
    pub async fn open() -> Site {
        // Another test of this process may have chosen it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sqlite = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let clock = SystemClock::shared();
        let parts = Parts {
            storage: storage::Storage::open(&sqlite("corkboard.db"), &Default::default(), clock.clone()).await.expect("storage"),
            cache: cache::Cache::open("memory:", cache::CacheLimits::default()).expect("cache"),
            feeds: feeds::Feeds::open("memory:", clock.clone(), feeds::Limits::default()).expect("feeds"),
            jobs: jobs::Jobs::open(&sqlite("jobs.db"), clock.clone()).expect("jobs"),
            events: events::Events::open(&sqlite("events.db"), clock.clone()).expect("events"),
            search: search::Search::open("memory:", clock.clone()).expect("search"),
            media: media::Media::open("memory:", media::Limits::default()).await.expect("media"),
            fetcher: media::Fetcher::new(media::FetcherConfig::default()).expect("fetcher"),
            clock,
            health: Health::default(),
            settings: Settings { base_url: BASE_URL.into(), ..Settings::default() },
        };
        let app = App::new(parts);
        let limiter = Arc::new(Limiter::new(1));
        let web =
            Web { app: app.clone(), health: Health::default(), live: Arc::new(NoNumbers), limiter: limiter.clone(), behind_proxy: false };
        let consumed = AtomicI64::new(app.events.end(Topic::Activity).await.expect("the log's end"));
        Site { app, limiter, router: web::router(web), schemas: Schemas::read(), consumed, validated: Default::default(), _folder: folder }
    }

    /// Makes a person.
    pub async fn sign_up(&self, username: &str) -> UserId {
        let new = NewUser { username: username.into(), without_login: true, ..NewUser::default() };
        self.app.sign_up(&Viewer::anonymous(), new).await.expect("a person")
    }

    /// Makes a person and a token with all scopes.
    pub async fn person(&self, username: &str) -> Caller<'_> {
        let user = self.sign_up(username).await;
        self.token(user, &Scope::ALL).await
    }

    /// Makes a token.
    pub async fn token(&self, user: UserId, scopes: &[Scope]) -> Caller<'_> {
        let scopes = scopes.iter().copied().collect();
        let token = self.app.create_token(&Viewer::anonymous(), user, "test", scopes).await.expect("a token");
        Caller { site: self, user, token: Some(token) }
    }

    pub fn nobody(&self) -> Caller<'_> {
        Caller { site: self, user: UserId::new(model::Shard(0), 0), token: None }
    }

    /// Brings feeds, index and notifications up to what storage says, as the consumers do.
    pub async fn settle(&self) {
        loop {
            while self.app.relay_step().await.expect("the relay") > 0 {}
            let after = self.consumed.load(Ordering::SeqCst);
            let records = self.app.events.read(Topic::Activity, after, 500).await.expect("the log");
            let Some(last) = records.last().map(|record| record.offset) else { break };
            for record in records {
                let event = record.event;
                gone_is_done(self.app.follow_up(event.clone()).await);
                gone_is_done(self.app.reconcile_feeds(event.clone()).await);
                gone_is_done(self.app.reconcile_index(event).await);
            }
            self.consumed.store(last, Ordering::SeqCst);
        }
        self.app.search.flush().await.expect("the index");
    }

    /// Sends a request as it is and reads the answer: JSON or nothing, never a redirect.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.expect("a whole answer");
        let status = parts.status.as_u16();
        assert!(parts.headers.contains_key("x-pinterest-rid"), "{method} {uri}: no request id");
        assert!(!parts.status.is_redirection(), "{method} {uri}: redirected");
        let text = String::from_utf8_lossy(&bytes);
        let body: Value = match status {
            204 => {
                assert!(bytes.is_empty(), "{method} {uri}: a body with 204");
                Value::Null
            }
            _ => serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{method} {uri}: {status} is no JSON ({error}): {text}")),
        };
        if status >= 400 {
            let good = body["code"].is_u64() && body["message"].as_str().is_some_and(|message| !message.is_empty());
            assert!(good, "{method} {uri}: {status} without code and message: {body}");
        }
        self.validate(&method, uri.path(), status, &body);
        Reply { status, headers: parts.headers, body }
    }

    fn validate(&self, method: &Method, path: &str, status: u16, body: &Value) {
        let (method, path) = (method.as_str().to_lowercase(), path.strip_prefix("/v5").unwrap_or(path));
        let Some(template) = self.schemas.template(&method, path) else { return };
        let wrong = self.schemas.check_answer(&method, template, status, body);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}\n{body:#}");
        self.validated.lock().insert((method, template.to_owned(), status));
    }
}

fn gone_is_done(result: app::Result<()>) {
    match result {
        Ok(()) | Err(Error::NotFound(_)) => {}
        Err(error) => panic!("an event was not handled: {error:?}"),
    }
}

/// Somebody with a token.
pub struct Caller<'a> {
    site: &'a Site,
    pub user: UserId,
    pub token: Option<String>,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    /// Returns the body of an answer that must have this status.
    #[track_caller]
    pub fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Checks that this is an error with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: u64) {
        assert_eq!((self.status, self.body["code"].as_u64()), (status, Some(code)), "{}", self.body);
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Caller<'_> {
    pub fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let builder = Request::builder().method(method).uri(format!("/v5{path}"));
        match &self.token {
            Some(token) => builder.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => builder,
        }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let builder = self.request(method, path);
        let request = match body {
            Some(json) => builder.header(header::CONTENT_TYPE, "application/json").body(Body::from(json.to_string())),
            None => builder.body(Body::empty()),
        };
        self.site.send(request.expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, Some(body)).await
    }

    pub async fn put(&self, path: &str) -> Reply {
        self.call("PUT", path, None).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).await
    }

    /// Makes a board and returns its id.
    pub async fn board(&self, name: &str, privacy: &str) -> String {
        text(&self.post("/boards", json!({ "name": name, "privacy": privacy })).await.with(201)["id"])
    }

    /// Makes a pin of a picture that no other mark has, and returns its id.
    pub async fn pin(&self, board: &str, title: &str, mark: u64) -> String {
        text(&self.post("/pins", pin_body(board, title, mark)).await.with(201)["id"])
    }

    /// Reads a whole list as clients do: the bookmark pasted into the address as it is, until there is none or a page is empty.
    pub async fn all(&self, path: &str, page_size: usize) -> Vec<Value> {
        let join = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut bookmark) = (Vec::new(), String::new());
        loop {
            let paged = format!("{path}{join}page_size={page_size}") + &bookmark;
            let page = self.get(&paged).await.with(200);
            let found = page["items"].as_array().expect("items").clone();
            assert!(found.len() <= page_size, "{paged}: more than asked for");
            assert!(page.as_object().unwrap().contains_key("bookmark"), "{paged}: no bookmark key");
            let next = page["bookmark"].as_str();
            assert!(!found.is_empty() || next.is_none(), "{paged}: an empty page with a bookmark");
            items.extend(found);
            let Some(next) = next else { return items };
            let plain = next.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            assert!(plain && !next.is_empty(), "{paged}: the bookmark {next:?} needs encoding");
            bookmark = "&bookmark=".to_owned() + next;
        }
    }

    pub async fn ids(&self, path: &str) -> Vec<String> {
        self.all(path, 2).await.iter().map(|item| text(&item["id"])).collect()
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The body of a new pin with a picture of its own.
pub fn pin_body(board: &str, title: &str, mark: u64) -> Value {
    let picture = testkit::picture::marked_png(64, 48, [40, 90, 140], mark);
    let data = base64::engine::general_purpose::STANDARD.encode(picture);
    json!({
        "board_id": board,
        "title": title,
        "media_source": { "source_type": "image_base64", "content_type": "image/png", "data": data },
    })
}
