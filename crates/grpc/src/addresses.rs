//! Where a service runs: its addresses, and which one a call goes to.
//!
//! ```text
//! call ─▶ choose: least outstanding ─▶ the address's connections ─▶ service
//!           │ lost                            │ lost
//!           └──◀── left out, 100 ms … 5 s ◀───┘
//! ```
//!
//! An address that was lost is left out until its time comes; then one call tries it, and it is back or left out for longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use runtime::Backoff;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

/// How long a connection may take to be made. Within a data centre it takes less than a millisecond.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A service that has said nothing for this long while it should is asked whether it is there, and given up after the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes on their way to us that we have not looked at yet, per call and per connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// How long a lost address is left out: the first time and at most.
const LEFT_OUT_MIN: Duration = Duration::from_millis(100);
const LEFT_OUT_MAX: Duration = Duration::from_secs(5);
/// Addresses in a URL. More are refused.
const ADDRESSES_MAX: usize = 100;

/// What a caller calls itself. The key is a secret, so this is not shown.
#[derive(Clone, Default)]
pub struct Identity {
    /// Empty: without a name, for services without an access list.
    pub caller: String,
    pub key: String,
}

/// What a kind of service is called.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// As people call it, and as its keys are called in the configuration: `feeds`.
    pub name: &'static str,
    /// Counts connections or sessions that were lost, by `address`.
    pub lost_total: &'static str,
}

/// All addresses of a service; `T` is what is held of each, such as its connections.
pub struct Addresses<T> {
    service: Service,
    list: Vec<Address<T>>,
    authorization: Option<MetadataValue<Ascii>>,
}

struct Address<T> {
    /// `HOST:PORT`.
    name: String,
    at: T,
    /// Calls that are not answered yet.
    outstanding: AtomicUsize,
    health: Mutex<Health>,
}

struct Health {
    left_out_until: Option<Instant>,
    backoff: Backoff,
}

/// One call's hold on an address; counts as outstanding until it is dropped.
pub struct Held<T> {
    addresses: Arc<Addresses<T>>,
    pub index: usize,
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.address().outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Picks the address for a call: of those not left out the one with the fewest outstanding; of those left out the one whose time
/// comes first. `except` was tried already and is taken only if it is the only one.
fn choose(states: &[(usize, Option<Instant>)], now: Instant, except: Option<usize>) -> usize {
    let is_candidate = |index: usize| states.len() == 1 || except != Some(index);
    let candidates = states.iter().enumerate().filter(|(index, _)| is_candidate(*index));
    let key = |(_, (outstanding, left_out_until)): &(usize, &(usize, Option<Instant>))| {
        let is_left_out = left_out_until.is_some_and(|until| until > now);
        (is_left_out, if is_left_out { *left_out_until } else { None }, *outstanding)
    };
    candidates.min_by_key(key).map_or(0, |(index, _)| index)
}

/// Returns how an address is connected to.
pub fn endpoint(address: &str) -> Result<Endpoint, String> {
    Ok(Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("'{address}' is no address: {error}"))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}

impl<T> Addresses<T> {
    /// Reads `HOST:PORT[,HOST:PORT…]`. `connect` makes what is held of each address; connections are made when they are needed.
    pub fn parse(service: Service, addresses: &str, identity: &Identity, connect: impl Fn(Endpoint) -> T) -> Result<Addresses<T>, String> {
        let wrong = |what: String| format!("The {} URL 'remote:{addresses}' is wrong: {what}.", service.name);
        let mut list = Vec::new();
        for name in addresses.split(',') {
            let has_port = name.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !has_port {
                return Err(wrong(format!("'{name}' is no address; write HOST:PORT, as in remote:10.0.0.5:8090")));
            }
            let at = connect(endpoint(name).map_err(wrong)?);
            let health = Health { left_out_until: None, backoff: Backoff::new(LEFT_OUT_MIN, LEFT_OUT_MAX) };
            list.push(Address { name: name.to_owned(), at, outstanding: AtomicUsize::new(0), health: Mutex::new(health) });
        }
        if list.len() > ADDRESSES_MAX {
            return Err(wrong(format!("it has {} addresses; at most {ADDRESSES_MAX} are possible", list.len())));
        }
        Ok(Addresses { service, list, authorization: authorization(service, identity)? })
    }

    /// Chooses an address for a call, even when all are left out: trying is better than giving up.
    pub fn hold(self: &Arc<Self>, except: Option<usize>) -> Held<T> {
        let index = if self.list.len() == 1 { 0 } else { choose(&self.states(), Instant::now(), except) };
        self.hold_at(index)
    }

    /// Chooses an address that is not left out: for callers that can do without an answer sooner than wait for one. `prefer` is taken
    /// when it is not left out. `Err` tells the address that was lost last.
    pub fn hold_present(self: &Arc<Self>, prefer: Option<usize>, except: Option<usize>) -> Result<Held<T>, String> {
        let (states, now) = (self.states(), Instant::now());
        let is_left_out = |index: usize| states[index].1.is_some_and(|until| until > now);
        let index = prefer.filter(|index| !is_left_out(*index) && except != Some(*index)).unwrap_or_else(|| choose(&states, now, except));
        if is_left_out(index) {
            return Err(self.list[index].name.clone());
        }
        Ok(self.hold_at(index))
    }

    /// Holds an address that is known.
    pub fn hold_at(self: &Arc<Self>, index: usize) -> Held<T> {
        self.list[index].tried(Instant::now());
        self.list[index].outstanding.fetch_add(1, Ordering::Relaxed);
        Held { addresses: self.clone(), index }
    }

    fn states(&self) -> Vec<(usize, Option<Instant>)> {
        let state = |address: &Address<T>| (address.outstanding.load(Ordering::Relaxed), address.health.lock().left_out_until);
        self.list.iter().map(state).collect()
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns what is held of each address.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.list.iter().map(|address| &address.at)
    }

    /// Makes a request with what every call carries.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}

impl<T> Address<T> {
    /// Takes notice that a call goes here. If the address was left out, others go elsewhere until it is known whether it is back.
    fn tried(&self, now: Instant) {
        let mut health = self.health.lock();
        if health.left_out_until.is_some_and(|until| until <= now) {
            health.left_out_until = Some(now + CONNECT_MAX);
        }
    }
}

impl<T> Held<T> {
    fn address(&self) -> &Address<T> {
        &self.addresses.list[self.index]
    }

    /// Returns `HOST:PORT`.
    pub fn name(&self) -> &str {
        &self.address().name
    }

    pub fn addresses(&self) -> &Arc<Addresses<T>> {
        &self.addresses
    }

    /// Returns what is held of the address.
    pub fn at(&self) -> &T {
        &self.address().at
    }

    /// Notes that the service answered.
    pub fn answered(&self) {
        let mut health = self.address().health.lock();
        if health.left_out_until.take().is_some() {
            health.backoff.reset();
            tracing::info!(service = self.addresses.service.name, address = self.name(), "the service answers again");
        }
    }

    /// Notes that the service did not answer: it is left out for a while.
    pub fn lost(&self, reason: &str) {
        let service = self.addresses.service;
        let mut health = self.address().health.lock();
        metrics::counter!(service.lost_total, "address" => self.name().to_owned()).increment(1);
        if health.left_out_until.is_none() {
            tracing::warn!(
                service = service.name,
                address = self.name(),
                reason,
                "the service does not answer; it is left out until it does"
            );
        }
        let delay = health.backoff.next_delay();
        health.left_out_until = Some(Instant::now() + delay);
    }
}

fn authorization(service: Service, identity: &Identity) -> Result<Option<MetadataValue<Ascii>>, String> {
    if identity.caller.is_empty() {
        return Ok(None);
    }
    let name = service.name;
    let text = format!("Bearer {}:{}", identity.caller, identity.key);
    let mut value: MetadataValue<Ascii> = text
        .parse()
        .map_err(|_| format!("{name}.caller and {name}.key go into a header: printable ASCII letters, digits and signs only."))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service { name: "feeds", lost_total: "feeds_remote_lost_total" };

    fn parse(addresses: &str, identity: &Identity) -> Result<Addresses<()>, String> {
        Addresses::parse(SERVICE, addresses, identity, drop)
    }

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

    #[test]
    fn whoever_can_do_without_an_answer_does_not_wait_for_what_was_lost() {
        let addresses = Arc::new(parse("a:1,b:2", &Identity::default()).expect("addresses"));
        assert_eq!(addresses.hold_present(Some(1), None).map(|held| held.index), Ok(1));
        assert_eq!(addresses.hold_present(Some(1), Some(1)).map(|held| held.index), Ok(0));
        addresses.hold_at(1).lost("gone");
        assert_eq!(addresses.hold_present(Some(1), None).map(|held| held.index), Ok(0), "the other one");
        addresses.hold_at(0).lost("gone");
        assert!(addresses.hold_present(Some(1), None).is_err());
        addresses.hold_at(1).answered();
        assert_eq!(addresses.hold_present(None, None).map(|held| held.index), Ok(1));
    }

    #[test]
    fn addresses_are_checked() {
        for wrong in ["", "host", "host:", ":8090", "host:x", "host:8090,", "host:70000", "ho st:1"] {
            let error = parse(wrong, &Identity::default()).err().expect("a refusal");
            assert!(error.contains("remote:"), "{wrong}: {error}");
        }
        let three = parse("127.0.0.1:1,[::1]:2,feeds.example.org:8090", &Identity::default());
        assert_eq!(three.map(|addresses| addresses.count()), Ok(3));
        let odd = Identity { caller: "site".to_owned(), key: "new\nline".to_owned() };
        assert!(parse("a:1", &odd).err().expect("a refusal").contains("feeds.key"));
    }
}
