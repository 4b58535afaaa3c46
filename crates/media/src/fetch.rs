//! The safe fetcher: foreign URLs without reaching into our own network.
//!
//! ```text
//! URL ─▶ check (scheme, port, user, literal address) ─▶ request ─▶ resolve once, refuse unless every address is global
//!  ▲                                                       │         └ connect to exactly these addresses
//!  └──────────── redirect, at most five ◀──────────────────┤
//!                                                          └▶ body, counted after decompression, up to the cap
//! ```
//!
//! Invariants: the name is resolved at connecting and the checked addresses are the ones connected to, so that no second
//! answer of the name server can get in between. A URL that holds an address instead of a name never reaches a resolver
//! (the HTTP client skips it), so the address is checked before the request. Redirects are followed by hand and each one
//! is checked anew. No proxy, no cookies, no credentials. One time limit stands over the whole chain.

mod address;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header;
use tracing::instrument;
use url::{Host, Url};

use crate::{error::mib, metrics as names};

pub use address::is_global;

/// Redirects followed; browsers stop at twenty, honest sites need two.
pub const REDIRECTS_MAX: usize = 5;
/// Characters of a URL; what browsers and servers commonly take.
pub const URL_CHARS_MAX: usize = 2_048;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;
const USER_AGENT: &str = concat!("Corkboard/", env!("CARGO_PKG_VERSION"), " (fetches what its users link to)");

/// Limits on one fetch, over all of its redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bytes of the body after decompression; a longer one ends in [`FetchError::TooLarge`].
    pub body_bytes_max: u64,
    /// Time for everything; when it is over the fetch ends in [`FetchError::TimedOut`].
    pub time_max: Duration,
}

impl FetchLimits {
    /// For pictures: what [`Media::ingest`](crate::Media::ingest) takes.
    pub const PICTURE: FetchLimits = FetchLimits { body_bytes_max: crate::limits::BODY_BYTES_MAX, time_max: Duration::from_secs(15) };
    /// For pages: the metadata stand at the beginning, and honest pages stay far below.
    pub const PAGE: FetchLimits = FetchLimits { body_bytes_max: 2 * 1024 * 1024, time_max: Duration::from_secs(15) };
}

/// What a fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The URL that answered, after redirects.
    pub final_url: Url,
    /// What the server claims; the bytes may be something else.
    pub content_type: Option<String>,
    pub bytes: Bytes,
}

/// Why a fetch brought nothing. Every message can be shown to the person who gave the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("\"{0}\" is not a web address. Write it whole, as in https://example.org/picture.jpg.")]
    NotAUrl(String),
    #[error("Addresses that begin with {0}: can't be fetched; only http and https can.")]
    Scheme(String),
    #[error("An address with a user name or password in it can't be fetched. Take them out.")]
    Credentials,
    #[error("Port {0} can't be fetched from; only the web's own ports 80 and 443 can.")]
    Port(u16),
    #[error("{0} is inside a private network or otherwise not on the public internet, so it isn't fetched.")]
    NotGlobal(String),
    #[error("No server was found under the name {0}. Check the spelling.")]
    UnknownHost(String),
    #[error("The server redirected more than {REDIRECTS_MAX} times.")]
    TooManyRedirects,
    #[error("The server redirected to an address that makes no sense.")]
    BadRedirect,
    #[error("The server answered {0} instead of the page or picture.")]
    Status(u16),
    #[error("What is there is larger than {}, the limit.", mib(*.0))]
    TooLarge(u64),
    #[error("The server did not answer within {0} seconds.")]
    TimedOut(u64),
    #[error("The connection to the server failed: {0}")]
    Connection(String),
}

impl FetchError {
    /// Names the reason for metrics and reports.
    pub fn reason(&self) -> &'static str {
        match self {
            FetchError::NotAUrl(_) => "not_a_url",
            FetchError::Scheme(_) => "scheme",
            FetchError::Credentials => "credentials",
            FetchError::Port(_) => "port",
            FetchError::NotGlobal(_) => "not_global",
            FetchError::UnknownHost(_) => "unknown_host",
            FetchError::TooManyRedirects => "too_many_redirects",
            FetchError::BadRedirect => "bad_redirect",
            FetchError::Status(_) => "status",
            FetchError::TooLarge(_) => "too_large",
            FetchError::TimedOut(_) => "timed_out",
            FetchError::Connection(_) => "connection",
        }
    }

    /// Tells whether the same fetch may well succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            FetchError::TimedOut(_) | FetchError::Connection(_) | FetchError::UnknownHost(_) => true,
            FetchError::Status(status) => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync + std::fmt::Debug {
    /// Gives all addresses of a host name. An empty answer and an error mean the same: there is no such host.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// Asks the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// Takes the origin of an http or https URL.
    pub fn of(url: &Url) -> Option<Origin> {
        Some(Origin { scheme: url.scheme().to_owned(), host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }
}

/// What the fetcher may reach.
#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// Ports of foreign servers.
    pub ports: Vec<u16>,
    /// Origins that are reached whatever their address and port: our own site's, so that its pictures can be fetched.
    pub allow_origins: Vec<Origin>,
    pub resolver: Arc<dyn Resolver>,
}

impl Default for FetcherConfig {
    fn default() -> FetcherConfig {
        FetcherConfig { ports: vec![80, 443], allow_origins: Vec::new(), resolver: Arc::new(SystemResolver) }
    }
}

/// Fetches foreign URLs safely. Clones share connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// Resolves through [`Guard`]: connects to global addresses only.
    guarded: reqwest::Client,
    /// For allowed origins only.
    trusted: reqwest::Client,
    ports: Vec<u16>,
    allow_origins: Vec<Origin>,
}

/// Where a checked URL is fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Global,
    Allowed,
}

impl Fetcher {
    /// Makes a fetcher. The process must have chosen its TLS provider before.
    pub fn new(config: FetcherConfig) -> Result<Fetcher, FetchError> {
        let client = |resolver: Arc<dyn reqwest::dns::Resolve>| {
            reqwest::Client::builder()
                .dns_resolver(resolver)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent(USER_AGENT)
                .referer(false)
                .build()
                .map_err(|error| FetchError::Connection(cause_of(&error)))
        };
        let guarded = client(Arc::new(Guard { resolver: Arc::clone(&config.resolver), only_global: true }))?;
        let trusted = client(Arc::new(Guard { resolver: config.resolver, only_global: false }))?;
        Ok(Fetcher { guarded, trusted, ports: config.ports, allow_origins: config.allow_origins })
    }

    /// Fetches a URL whole, following redirects.
    #[instrument(name = "media.fetch", skip_all)]
    pub async fn get(&self, url: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let fetched = match tokio::time::timeout(limits.time_max, self.follow(url, limits)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TimedOut(limits.time_max.as_secs())),
        };
        let outcome = match &fetched {
            Ok(fetched) => {
                metrics::counter!(names::FETCHED_BYTES_TOTAL).increment(fetched.bytes.len() as u64);
                "fetched"
            }
            Err(error) => error.reason(),
        };
        metrics::counter!(names::FETCHES_TOTAL, "outcome" => outcome).increment(1);
        metrics::histogram!(names::FETCH_SECONDS).record(started.elapsed());
        fetched
    }

    async fn follow(&self, url: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let mut next = parse(url)?;
        for _ in 0..=REDIRECTS_MAX {
            let client = match self.check(&next)? {
                Reach::Global => &self.guarded,
                Reach::Allowed => &self.trusted,
            };
            let response = client.get(next.clone()).send().await.map_err(|error| explain(&error, &next))?;
            let status = response.status();
            if let Some(location) = redirect_of(&response) {
                next = next.join(&location).map_err(|_| FetchError::BadRedirect)?;
                continue;
            }
            if !status.is_success() {
                return Err(FetchError::Status(status.as_u16()));
            }
            return read(response, next, limits.body_bytes_max).await;
        }
        Err(FetchError::TooManyRedirects)
    }

    /// Checks all that can be known of a URL before its name is resolved.
    fn check(&self, url: &Url) -> Result<Reach, FetchError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(FetchError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Credentials);
        }
        let origin = Origin::of(url).ok_or_else(|| FetchError::NotAUrl(url.to_string()))?;
        if self.allow_origins.contains(&origin) {
            return Ok(Reach::Allowed);
        }
        if !self.ports.contains(&origin.port) {
            return Err(FetchError::Port(origin.port));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(FetchError::NotAUrl(url.to_string())),
        };
        match literal {
            Some(address) if !is_global(address) => Err(FetchError::NotGlobal(origin.host)),
            _ => Ok(Reach::Global),
        }
    }
}

fn parse(text: &str) -> Result<Url, FetchError> {
    let text = text.trim();
    let shown = || text.chars().take(100).collect::<String>();
    if text.chars().count() > URL_CHARS_MAX {
        return Err(FetchError::NotAUrl(shown()));
    }
    Url::parse(text).map_err(|_| FetchError::NotAUrl(shown()))
}

fn redirect_of(response: &reqwest::Response) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Reads a body up to the cap. The client decompresses while reading, so a small body that swells is cut as well.
async fn read(mut response: reqwest::Response, final_url: Url, body_bytes_max: u64) -> Result<Fetched, FetchError> {
    if response.content_length().is_some_and(|length| length > body_bytes_max) {
        return Err(FetchError::TooLarge(body_bytes_max));
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error, &final_url))? {
        if (body.len() + chunk.len()) as u64 > body_bytes_max {
            return Err(FetchError::TooLarge(body_bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { final_url, content_type, bytes: body.freeze() })
}

/// Stands between the HTTP client and the resolver: what it lets through is what is connected to.
#[derive(Debug)]
struct Guard {
    resolver: Arc<dyn Resolver>,
    only_global: bool,
}

/// Why the guard let nothing through; found again in the chain of causes of the client's error.
#[derive(Debug, thiserror::Error)]
enum Blocked {
    #[error("an address of the host is not global")]
    NotGlobal,
    #[error("the host has no address")]
    Unknown,
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = Arc::clone(&self.resolver);
        let only_global = self.only_global;
        Box::pin(async move {
            let mut addresses = match resolver.resolve(name.as_str()).await {
                Ok(addresses) if !addresses.is_empty() => addresses,
                _ => return Err(Blocked::Unknown.into()),
            };
            // One bad address is enough: whoever mixes them means harm, and which one is tried first is chance.
            if only_global && !addresses.iter().copied().all(is_global) {
                return Err(Blocked::NotGlobal.into());
            }
            addresses.truncate(ADDRESSES_MAX);
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as reqwest::dns::Addrs)
        })
    }
}

fn explain(error: &reqwest::Error, url: &Url) -> FetchError {
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        match inner.downcast_ref::<Blocked>() {
            Some(Blocked::NotGlobal) => return FetchError::NotGlobal(host),
            Some(Blocked::Unknown) => return FetchError::UnknownHost(host),
            None => cause = inner.source(),
        }
    }
    FetchError::Connection(cause_of(error))
}

/// Gives the innermost cause: the outer ones repeat the URL.
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
