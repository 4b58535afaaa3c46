//! Where the storage service runs: addresses, their connections, and which one a call goes to.
//!
//! ```text
//! question ─▶ choose: least outstanding ─▶ session of its lane ─▶ connection ─▶ service
//!               │ lost                                │ lost
//!               └──◀── left out, for 100 ms … 5 s ◀───┘
//! ```
//!
//! An address that was lost is left out until its time comes; then one question tries it, and it is back or left out for longer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::Backoff;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::session::{Flow, Session};
use crate::error::{Error, Result};
use crate::limits::BATCH_BYTES_MAX;
use crate::metrics as names;
use crate::wire::MESSAGE_BYTES_MAX;
use crate::wire::proto::storage_client::StorageClient;

/// Connections per address. One connection's frames are written by one task, so two make use of two cores.
const CONNECTIONS: usize = 2;
/// How long a connection may take to be made. Within a data centre it takes less than a millisecond.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A service that has said nothing for this long while it should is asked whether it is there, and given up after the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes on their way to us that we have not looked at yet, per call and per connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How long a lost address is left out: the first time and at most.
const LEFT_OUT_MIN: Duration = Duration::from_millis(100);
const LEFT_OUT_MAX: Duration = Duration::from_secs(5);
/// Addresses in a URL.
const ADDRESSES_MAX: usize = 100;

/// What a question or a write shares its way with. Each lane of an address is a session of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// Look-ups that take less than a millisecond.
    Reads,
    Writes,
    /// Lists and look-ups of many: small ones don't wait for them.
    Large,
}

const LANES: [Lane; 3] = [Lane::Reads, Lane::Writes, Lane::Large];

impl Lane {
    fn flow(self) -> Flow {
        match self {
            // What waits for one of two messages goes together, and becomes one statement.
            Lane::Reads => Flow { messages_max: 2, turn: Duration::from_millis(5), items_max: 1_024, bytes_max: 64 << 10 },
            // A message lasts as long as the slowest commit in it, and what waits here is missing in the groups of the service.
            Lane::Writes => Flow { messages_max: usize::MAX, turn: Duration::ZERO, items_max: 512, bytes_max: BATCH_BYTES_MAX },
            Lane::Large => Flow { messages_max: usize::MAX, turn: Duration::ZERO, items_max: 1, bytes_max: BATCH_BYTES_MAX },
        }
    }
}

/// What a caller of the service calls itself. The key is a secret, so this is not shown.
#[derive(Clone, Default)]
pub struct Identity {
    /// Empty: without a name, for services without an access list.
    pub caller: String,
    pub key: String,
}

/// All addresses of the service.
pub(super) struct Targets {
    list: Vec<Target>,
    authorization: Option<MetadataValue<Ascii>>,
    /// Tells this client's commits from those of others.
    client: u64,
}

struct Target {
    address: String,
    connections: Vec<StorageClient<Channel>>,
    /// The session of each lane, once somebody has asked.
    sessions: [Mutex<Option<Arc<Session>>>; LANES.len()],
    /// Questions and writes that are not answered yet.
    outstanding: AtomicUsize,
    health: Mutex<Health>,
}

struct Health {
    left_out_until: Option<Instant>,
    backoff: Backoff,
}

/// One question's hold on an address; counts as outstanding until it is dropped.
pub(super) struct Held {
    targets: Arc<Targets>,
    pub(super) index: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.target().outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Picks the address for a question: of those not left out the one with the fewest outstanding; of those left out the one whose time
/// comes first, because trying is better than giving up. `except` was tried already and is taken only if it is the only one.
fn choose(states: &[(usize, Option<Instant>)], now: Instant, except: Option<usize>) -> usize {
    let is_candidate = |index: usize| states.len() == 1 || except != Some(index);
    let candidates = states.iter().enumerate().filter(|(index, _)| is_candidate(*index));
    let key = |(_, (outstanding, left_out_until)): &(usize, &(usize, Option<Instant>))| {
        let is_left_out = left_out_until.is_some_and(|until| until > now);
        (is_left_out, if is_left_out { *left_out_until } else { None }, *outstanding)
    };
    candidates.min_by_key(key).map_or(0, |(index, _)| index)
}

impl Targets {
    /// Reads `HOST:PORT[,HOST:PORT…]`. Connections are made when they are needed, inside the runtime that calls this.
    pub(super) fn parse(addresses: &str, identity: &Identity, client: u64) -> Result<Targets> {
        let wrong = |what: String| Error::Invalid(format!("The storage URL 'remote:{addresses}' is wrong: {what}."));
        let mut list = Vec::new();
        for address in addresses.split(',') {
            let has_port = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !has_port {
                return Err(wrong(format!("'{address}' is no address; write HOST:PORT, as in remote:10.0.0.5:8090")));
            }
            list.push(Target::new(address).map_err(wrong)?);
        }
        if list.len() > ADDRESSES_MAX {
            return Err(wrong(format!("it has {} addresses; at most {ADDRESSES_MAX} are possible", list.len())));
        }
        Ok(Targets { list, authorization: authorization(identity)?, client })
    }

    /// Chooses an address for a question.
    pub(super) fn hold(self: &Arc<Targets>, except: Option<usize>) -> Held {
        let now = Instant::now();
        let index = if self.list.len() == 1 {
            0
        } else {
            let state = |target: &Target| (target.outstanding.load(Ordering::Relaxed), target.health.lock().left_out_until);
            choose(&self.list.iter().map(state).collect::<Vec<_>>(), now, except)
        };
        self.list[index].tried(now);
        self.list[index].outstanding.fetch_add(1, Ordering::Relaxed);
        Held { targets: self.clone(), index }
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Takes no more questions; what was asked is answered.
    pub(super) fn close(&self) {
        for session in self.list.iter().flat_map(|target| &target.sessions) {
            if let Some(session) = session.lock().take() {
                session.close();
            }
        }
    }

    /// Runs a session until one of its ends goes. The client may go meanwhile, so it is not held.
    fn converse(self: &Arc<Targets>, index: usize, lane: Lane, session: &Session) {
        let (table, targets) = (session.table(), Arc::downgrade(self));
        let mut service = self.list[index].connections[lane as usize % CONNECTIONS].clone();
        let request = self.request(table.clone().messages());
        tokio::spawn(async move {
            let failure = match service.converse(request).await {
                Err(status) => Failure::of(&status),
                Ok(response) => {
                    with(&targets, index, Held::answered);
                    let mut answers = response.into_inner();
                    loop {
                        match answers.message().await {
                            Ok(Some(message)) => table.deliver(message),
                            Ok(None) => break Failure::Lost("the service ended".to_owned()),
                            Err(status) => break Failure::of(&status),
                        }
                    }
                }
            };
            // Before those who wait are told: they look for another address then.
            if let Failure::NotSent(reason) | Failure::Lost(reason) = &failure
                && table.has_waiting()
            {
                with(&targets, index, |held| held.lost(reason));
            }
            table.end(&failure);
        });
    }

    /// Makes a request with what every call carries.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}

/// Does something with an address, if its client is still there.
fn with(targets: &Weak<Targets>, index: usize, work: impl FnOnce(&Held)) {
    if let Some(targets) = targets.upgrade() {
        targets.list[index].outstanding.fetch_add(1, Ordering::Relaxed);
        work(&Held { targets, index });
    }
}

impl Target {
    fn new(address: &str) -> std::result::Result<Target, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("'{address}' is no address: {error}"))?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_MAX)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let connect = |_| {
            StorageClient::new(endpoint.connect_lazy())
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        Ok(Target {
            address: address.to_owned(),
            connections: (0..CONNECTIONS).map(connect).collect(),
            sessions: LANES.map(|_| Mutex::default()),
            outstanding: AtomicUsize::new(0),
            health: Mutex::new(Health { left_out_until: None, backoff: Backoff::new(LEFT_OUT_MIN, LEFT_OUT_MAX) }),
        })
    }

    /// Takes notice that a question goes here. If the address was left out, others go elsewhere until it is known whether it is back.
    fn tried(&self, now: Instant) {
        let mut health = self.health.lock();
        if health.left_out_until.is_some_and(|until| until <= now) {
            health.left_out_until = Some(now + CONNECT_MAX);
        }
    }
}

impl Held {
    fn target(&self) -> &Target {
        &self.targets.list[self.index]
    }

    pub(super) fn address(&self) -> &str {
        &self.target().address
    }

    /// Returns the session of a lane; begins one when there is none, or no longer.
    pub(super) fn session(&self, lane: Lane) -> Arc<Session> {
        let mut slot = self.target().sessions[lane as usize].lock();
        if let Some(session) = slot.as_ref().filter(|session| session.is_open()) {
            return session.clone();
        }
        let session = Arc::new(Session::new(self.targets.client, lane.flow()));
        self.targets.converse(self.index, lane, &session);
        *slot = Some(session.clone());
        session
    }

    /// Returns a connection and a request for a call that is no session.
    pub(super) fn call<T>(&self, message: T) -> (StorageClient<Channel>, Request<T>) {
        (self.target().connections[0].clone(), self.targets.request(message))
    }

    /// Notes that the service answered.
    pub(super) fn answered(&self) {
        let mut health = self.target().health.lock();
        if health.left_out_until.take().is_some() {
            health.backoff.reset();
            tracing::info!(address = self.address(), "the storage service answers again");
        }
    }

    /// Notes that the service did not answer: it is left out for a while.
    pub(super) fn lost(&self, reason: &str) {
        let mut health = self.target().health.lock();
        metrics::counter!(names::REMOTE_LOST_TOTAL, "address" => self.address().to_owned()).increment(1);
        if health.left_out_until.is_none() {
            tracing::warn!(address = self.address(), reason, "the storage service does not answer; it is left out until it does");
        }
        let delay = health.backoff.next_delay();
        health.left_out_until = Some(Instant::now() + delay);
    }
}

fn authorization(identity: &Identity) -> Result<Option<MetadataValue<Ascii>>> {
    if identity.caller.is_empty() {
        return Ok(None);
    }
    let text = format!("Bearer {}:{}", identity.caller, identity.key);
    let mut value: MetadataValue<Ascii> = text.parse().map_err(|_| {
        Error::Invalid("storage.caller and storage.key go into a header: printable ASCII letters, digits and signs only.".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Why there is no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The service answered that it can't be done.
    Answered(Error),
    /// It never left this process: nobody could be reached.
    NotSent(String),
    /// The service may have got it, and does not answer.
    Lost(String),
    /// The service, or this client, says that such a call can't be.
    Refused(String),
}

impl Failure {
    /// Reads what a call's status tells. The status of a call is never about one question in it.
    pub(super) fn of(status: &Status) -> Failure {
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            if error.is::<tonic::ConnectError>() {
                return Failure::NotSent(status.message().to_owned());
            }
            source = error.source();
        }
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied | tonic::Code::InvalidArgument => {
                Failure::Refused(status.message().to_owned())
            }
            tonic::Code::OutOfRange => Failure::Refused(format!("The call is too large: {}.", status.message())),
            tonic::Code::Unimplemented => {
                Failure::Refused("The storage service does not know this call. Update it before its callers.".to_owned())
            }
            _ => Failure::Lost(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_to_the_least_busy_that_answers() {
        let now = Instant::now();
        let at = |milliseconds: i64| {
            let delta = Duration::from_millis(milliseconds.unsigned_abs());
            Some(if milliseconds < 0 { now - delta } else { now + delta })
        };
        type Case<'a> = (&'a [(usize, Option<Instant>)], Option<usize>, usize, &'a str);
        let cases: [Case<'_>; 8] = [
            (&[(3, None), (1, None), (2, None)], None, 1, "the least busy"),
            (&[(1, None), (1, None)], None, 0, "of equals the first"),
            (&[(0, at(50)), (9, None)], None, 1, "one that is left out is no choice"),
            (&[(0, at(-1)), (9, None)], None, 0, "its time has come"),
            (&[(0, at(90)), (0, at(50))], None, 1, "all are left out: the one whose time comes first"),
            (&[(0, None), (9, None)], Some(0), 1, "not the one that was tried"),
            (&[(0, None), (9, at(50))], Some(0), 1, "rather one that is left out than the one that was tried"),
            (&[(0, at(50))], Some(0), 0, "the only one"),
        ];
        for (states, except, wanted, why) in cases {
            assert_eq!(choose(states, now, except), wanted, "{why}");
        }
    }

    #[tokio::test]
    async fn addresses_are_checked() {
        for wrong in ["", "host", "host:", ":8090", "host:x", "host:8090,", "host:70000", "ho st:1"] {
            let error = Targets::parse(wrong, &Identity::default(), 1).err().expect("a refusal");
            assert!(matches!(&error, Error::Invalid(message) if message.contains("remote:")), "{wrong}: {error}");
        }
        assert_eq!(
            Targets::parse("127.0.0.1:1,[::1]:2,storage.example.org:8090", &Identity::default(), 1).map(|targets| targets.count()),
            Ok(3)
        );
        let odd = Identity { caller: "site".to_owned(), key: "new\nline".to_owned() };
        assert!(matches!(Targets::parse("a:1", &odd, 1).err(), Some(Error::Invalid(_))));
    }

    #[test]
    fn a_status_tells_what_is_known() {
        let connect = Status::from_error(Box::new(tonic::ConnectError("refused".into())));
        assert!(matches!(Failure::of(&connect), Failure::NotSent(_)));
        assert_eq!(Failure::of(&Status::unauthenticated("who?")), Failure::Refused("who?".to_owned()));
        for lost in
            [Status::unavailable("x"), Status::unknown("x"), Status::cancelled("x"), Status::deadline_exceeded("x"), Status::internal("x")]
        {
            assert!(matches!(Failure::of(&lost), Failure::Lost(_)), "{lost:?}");
        }
    }
}
