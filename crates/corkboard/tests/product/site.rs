//! A site inside the test's process: open, drive, settle, finish.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use app::accounts::NewUser;
use app::boards::NewBoard;
use app::compose::PasswordCost;
use app::hydrate::PageRequest;
use app::pins::{PinText, Place};
use app::{App, Page, Parts, PinView, Settings, Viewer};
use bytes::Bytes;
use corkboard::{tasks, wiring};
use model::object::Privacy;
use model::{Assoc, BoardId, Clock, Event, EventKind, Id, PinId, Shard, Timestamp, Topic, User, UserId};
use runtime::{Health, Supervisor, SystemClock};
use storage::Batch;
use testkit::{Client, Response, Upload, picture};

/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";
/// A state that has not come after this long does not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a state.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// More than any test's list.
const MANY: usize = 250;

/// The machine's clock, which tests can move ahead.
#[derive(Default)]
pub struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

pub struct Site {
    pub app: App,
    pub base_url: String,
    pub search_faults: Arc<search::Faulty>,
    pub feeds_faults: Arc<feeds::Faulty>,
    clock: Arc<MovedClock>,
    supervisor: Supervisor,
    server: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
    pictures: AtomicU64,
    beat: AtomicBool,
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: UserId,
    pub name: String,
}

impl Site {
    pub async fn start() -> Site {
        Site::start_with(1_000).await
    }

    /// Starts a site whose rate limits are multiplied.
    pub async fn start_with(rate_limit_scale: u32) -> Site {
        Site::start_limited(rate_limit_scale, feeds::Limits::default()).await
    }

    /// The same with limits of the feeds.
    pub async fn start_limited(rate_limit_scale: u32, limits: feeds::Limits) -> Site {
        let folder = tempfile::Builder::new().prefix("corkboard-product-").tempdir().unwrap();
        // Set once per process; a second test finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let clock = Arc::new(MovedClock::default());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let memory = feeds::MemoryEngine::open(Some(path("feeds").into()), clock.clone(), limits);
        let feeds_faults = Arc::new(feeds::Faulty::new(Arc::new(memory)));
        let index = search::TantivyEngine::open(Path::new(&path("search"))).unwrap();
        let search_faults = Arc::new(search::Faulty::new(Arc::new(index)));
        let parts = Parts {
            storage: storage::Storage::open(&format!("sqlite:{}", path("corkboard.db")), &Default::default(), clock.clone()).await.unwrap(),
            cache: cache::Cache::open("memory:", cache::CacheLimits::default()).unwrap(),
            feeds: feeds::Feeds::with_engine(feeds_faults.clone()),
            jobs: jobs::Jobs::open(&format!("sqlite:{}", path("jobs.db")), clock.clone()).unwrap(),
            events: events::Events::open(&format!("sqlite:{}", path("events.db")), clock.clone()).unwrap(),
            search: search::Search::with_engine(search_faults.clone(), clock.clone()),
            media: media::Media::open(&format!("file:{}", path("media")), media::Limits::default()).await.unwrap(),
            fetcher: media::Fetcher::new(media::FetcherConfig::default()).unwrap(),
            clock: clock.clone(),
            health: Health::default(),
            settings: Settings {
                base_url: base_url.clone(),
                mail_url: format!("file:{}", path("mail")),
                picture_grace_ms: 0,
                // The cheapest that Argon2 takes: its strength is not what is tested here.
                password_cost: PasswordCost { memory_kib: 8, passes: 1 },
                ..Settings::default()
            },
        };
        let app = App::new(parts);
        let supervisor = Supervisor::new(app.health.clone());
        let monitor = monitor::Monitor::new(app.clock.clone());
        tasks::start_tasks(&app, &supervisor, &monitor);
        let web = web::Web {
            app: app.clone(),
            health: app.health.clone(),
            live: wiring::live(&monitor),
            limiter: Arc::new(web::limits::Limiter::new(rate_limit_scale)),
            behind_proxy: false,
        };
        let server = tokio::spawn(web::serve(listener, web::router(web), supervisor.shutdown()));
        let (pictures, beat) = (AtomicU64::new(1), AtomicBool::new(false));
        let site = Site { app, base_url, search_faults, feeds_faults, clock, supervisor, server, folder, pictures, beat };
        site.until("the consumers to be there", || async {
            let groups = site.app.events.lag().await.unwrap();
            ["follow_up", "index", "feeds"].iter().all(|name| groups.iter().any(|group| group.group == *name))
        })
        .await;
        site
    }

    /// Follows live settings, as `corkboard serve` does on this folder.
    pub fn follow_settings(&self) {
        let sources = corkboard::config::Sources { data: self.folder().into(), ..Default::default() };
        let (app, config, shutdown) = (self.app.clone(), corkboard::config::Config::read(&sources).unwrap(), self.supervisor.shutdown());
        self.supervisor.spawn("settings", move || corkboard::settings::follow(app.clone(), config.clone(), shutdown.clone()));
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock ahead and wakes the queues whose jobs wait for their time.
    pub async fn move_clock(&self, milliseconds: i64) {
        self.clock.0.fetch_add(milliseconds, Ordering::SeqCst);
        let pin = PinId::new(Shard(0), 1);
        self.app.enqueue(app::jobs::PurgePin { pin, trashed_at: Timestamp(0) }).await.unwrap();
        self.app.enqueue(app::jobs::DeletePicture { image: model::ImageId::new(Shard(0), 1) }).await.unwrap();
    }

    /// Waits for a state.
    pub async fn until<Fut: Future<Output = bool>>(&self, what: &str, is_there: impl Fn() -> Fut) {
        let end = Instant::now() + PATIENCE;
        while !is_there().await {
            assert!(Instant::now() < end, "waited for {what}; health: {:?}", self.app.health.parts());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until everything that follows from what was done is done: outbox relayed, consumers caught up, jobs finished, index and
    /// feeds up to date.
    pub async fn settle(&self) {
        loop {
            self.caught_up().await;
            let end = self.app.events.end(Topic::Activity).await.unwrap();
            let idle = tokio::time::timeout(PATIENCE, self.app.jobs.idle()).await;
            assert!(idle.is_ok(), "jobs go on for ever: {:?}", self.app.jobs.queues().await);
            self.beat().await;
            self.caught_up().await;
            if self.app.events.end(Topic::Activity).await.unwrap() == end + 1 {
                break;
            }
        }
        self.app.search.flush().await.unwrap();
    }

    async fn caught_up(&self) {
        self.until("the consumers to catch up", || async {
            let outbox = self.app.storage.outbox(1).await.unwrap();
            let groups = self.app.events.lag().await.unwrap();
            // The feeds commit their offset with their snapshots only; their beat tells how far they are.
            let done = groups.iter().filter(|group| group.group == "follow_up" || group.group == "index").all(|group| group.records() == 0);
            outbox.is_empty() && done
        })
        .await;
    }

    /// Sends a mute between two who don't exist through the log, and waits until the feeds have it: then they have all before it.
    async fn beat(&self) {
        let (one, other) = (UserId::new(Shard(0), 1 << 30), UserId::new(Shard(0), 1 << 31));
        let on = !self.beat.fetch_xor(true, Ordering::SeqCst);
        let (kind, mut batch) = (if on { EventKind::UserMuted } else { EventKind::UserUnmuted }, Batch::on(Shard(0)));
        if on {
            batch.map(Assoc::UserMutesUsers, one.id(), other.id(), 1);
        } else {
            batch.unmap(Assoc::UserMutesUsers, one.id(), other.id());
        }
        batch.emit(self.app.event_with(kind, Some(one), String::new(), vec![other.id()], serde_json::Value::Null));
        self.app.commit(batch).await.unwrap();
        self.until("the feeds to catch up", || async { self.app.feeds.muted(one, other).await.unwrap() == on }).await;
    }

    /// Settles, looks for anything that went wrong on the way, and drains.
    pub async fn finish(self) {
        drop(self.finish_and_keep().await);
    }

    /// Like [`Site::finish`]; hands out the closed site's folder, for a look at what its files hold.
    pub async fn finish_and_keep(self) -> tempfile::TempDir {
        self.settle().await;
        assert_eq!(self.failures().await, Vec::<String>::new());
        self.close().await
    }

    /// What jobs and consumers reported as failed, attempts that were repeated included.
    pub async fn failures(&self) -> Vec<String> {
        self.app.events.flush().await.unwrap();
        let errors = self.app.events.recent(Topic::Errors, MANY).await.unwrap();
        let failed = errors.iter().filter(|record| matches!(record.event.kind, EventKind::ConsumerFailed | EventKind::JobFailed));
        failed.map(|record| record.event.data.to_string()).collect()
    }

    /// Like [`Site::finish`], for tests that make attempts fail; what was attempted must have come to a good end.
    pub async fn finish_after_failures(self) {
        self.settle().await;
        drop(self.close().await);
    }

    async fn close(self) -> tempfile::TempDir {
        for queue in self.app.jobs.queues().await.unwrap() {
            let failed = self.app.jobs.scan(&queue.name, jobs::State::Failed, None, 10).await.unwrap();
            assert!(failed.is_empty(), "jobs of {} failed: {failed:?}", queue.name);
        }
        assert_eq!(self.app.jobs.check().await.unwrap(), Vec::<String>::new());
        for (part, state) in self.app.health.parts() {
            assert_eq!(state, runtime::PartState::Up, "{part}");
        }
        assert_eq!(self.app.storage.check().await.unwrap(), Vec::<String>::new());
        for entry in self.app.storage.audit_recent(MANY).await.unwrap() {
            self.app.storage.audit_verify(entry.shard).await.unwrap();
        }
        let late = self.supervisor.drain(Duration::from_secs(25)).await;
        assert_eq!(late, Vec::<String>::new(), "tasks did not end");
        self.server.await.unwrap();
        self.app.events.close().await;
        self.app.jobs.close().await;
        self.app.storage.close().await.unwrap();
        self.folder
    }

    // Doing things.

    pub async fn person(&self, name: &str) -> Person {
        let new = NewUser {
            username: name.into(),
            email: format!("{name}@example.org"),
            password: PASSWORD.into(),
            name: format!("{name} of the tests"),
            ..NewUser::default()
        };
        Person { id: self.app.sign_up(&Viewer::anonymous(), new).await.unwrap(), name: name.into() }
    }

    /// The person as a viewer, as storage says now.
    pub async fn eyes(&self, person: &Person) -> Viewer {
        Viewer::signed_in(self.app.object::<User>(person.id).await.unwrap().unwrap())
    }

    pub async fn board(&self, person: &Person, name: &str, privacy: Privacy) -> BoardId {
        let new = NewBoard { name: name.into(), privacy, ..NewBoard::default() };
        self.app.create_board(&self.eyes(person).await, new).await.unwrap().id()
    }

    /// A picture that no other pin of this site has.
    pub fn new_picture(&self) -> Bytes {
        let mark = self.pictures.fetch_add(1, Ordering::SeqCst);
        Bytes::from(picture::marked_png(40, 30, [200, 120, 40], mark))
    }

    pub async fn pin(&self, person: &Person, board: BoardId, title: &str) -> PinId {
        self.pin_text(person, board, PinText { title: title.into(), ..PinText::default() }).await
    }

    pub async fn pin_text(&self, person: &Person, board: BoardId, text: PinText) -> PinId {
        let place = Place { board, section: None };
        self.app.pin_upload(&self.eyes(person).await, place, text, self.new_picture()).await.unwrap().id()
    }

    // Looking at things.

    pub async fn home(&self, person: &Person) -> Vec<PinId> {
        ids(self.app.home(&self.eyes(person).await, &PageRequest::first(MANY)).await.unwrap())
    }

    pub async fn board_pins(&self, person: &Person, board: BoardId) -> Vec<PinId> {
        ids(self.app.board_pins(&self.eyes(person).await, board, &PageRequest::first(MANY)).await.unwrap())
    }

    pub async fn events(&self) -> Vec<Event> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let records = self.app.events.read(Topic::Activity, after, 1_000).await.unwrap();
            let Some(last) = records.last() else { return all };
            after = last.offset;
            all.extend(records.into_iter().map(|record| record.event));
        }
    }

    /// The texts of the mails that were sent, as a mail program shows them.
    pub fn mails(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder().join("mail")) else { return Vec::new() };
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| unquoted(&std::fs::read_to_string(path).unwrap())).collect()
    }

    /// All edges of an association of an id.
    pub async fn edges(&self, assoc: Assoc, from: impl Into<Id>) -> Vec<(Id, i64)> {
        let edges = self.app.storage.range(assoc, from.into(), storage::Range::first(MANY)).await.unwrap();
        edges.into_iter().map(|edge| (edge.to, edge.sequence)).collect()
    }

    /// Runs the program beside the site, on its folder. Returns whether it succeeded, and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_corkboard"));
        command.arg("--data").arg(self.folder()).args(arguments).env_clear();
        let output = tokio::task::block_in_place(|| command.output()).unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    // Browsers.

    pub fn anonymous(&self) -> Browser {
        Browser(Client::new(&self.base_url))
    }

    /// A browser in which the person has logged in.
    pub fn browser(&self, person: &Person) -> Browser {
        let mut browser = self.anonymous();
        let answer = browser.post("/login", &[("login", &person.name), ("password", PASSWORD), ("next", "/")]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser
    }

    /// A client of the API that may do everything for the person.
    pub async fn api(&self, person: &Person) -> Browser {
        let scopes = model::object::Scope::ALL.into_iter().collect();
        let token = self.app.create_token(&self.eyes(person).await, person.id, "test", scopes).await.unwrap();
        Browser(Client::with_token(&self.base_url, &token))
    }
}

/// A blocking client, usable from a test's task.
pub struct Browser(Client);

/// What tests ask of answers beyond what the client knows.
pub trait Answered {
    fn cookies_set(&self) -> usize;
}

impl Answered for Response {
    fn cookies_set(&self) -> usize {
        self.headers.iter().filter(|(name, value)| name == "set-cookie" && value.starts_with("session=")).count()
    }
}

impl Browser {
    pub fn get(&mut self, path: &str) -> Response {
        tokio::task::block_in_place(|| self.0.get(path)).unwrap()
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        tokio::task::block_in_place(|| self.0.post_form(path, fields)).unwrap()
    }

    /// Sends a body that no form would.
    pub fn post_raw(&mut self, path: &str, content_type: &str, body: &str) -> Response {
        tokio::task::block_in_place(|| self.0.send("POST", path, Some((content_type, body.as_bytes().to_vec())))).unwrap()
    }

    pub fn upload(&mut self, path: &str, fields: &[(&str, &str)], file_name: &str, bytes: &[u8]) -> Response {
        let file = Upload { field: "file", file_name, content_type: "image/jpeg", bytes };
        tokio::task::block_in_place(|| self.0.post_multipart(path, fields, &[file])).unwrap()
    }

    pub fn cookies(&self) -> String {
        self.0.cookie_header()
    }
}

pub fn ids(page: Page<PinView>) -> Vec<PinId> {
    page.items.iter().map(PinView::id).collect()
}

pub fn at(board: BoardId) -> Place {
    Place { board, section: None }
}

pub fn text(title: &str) -> PinText {
    PinText { title: title.into(), ..PinText::default() }
}

/// Undoes quoted-printable.
fn unquoted(mail: &str) -> String {
    if !mail.to_lowercase().contains("content-transfer-encoding: quoted-printable") {
        return mail.to_owned();
    }
    let mail = mail.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut parts = mail.split('=');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        match part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part[2..].bytes());
            }
            None => bytes.extend(format!("={part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
