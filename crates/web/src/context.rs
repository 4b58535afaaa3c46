//! Who asks and how: read once per request, handed to every handler.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use app::Viewer;
use app::accounts::Device;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::SessionId;
use serde::{Deserialize, Serialize};

use crate::limits::{Category, Subject};
use crate::observe::RequestId;
use crate::server::Web;
use crate::view::page::{Flash, FlashKind};

pub const SESSION_COOKIE: &str = "session";
pub const FLASH_COOKIE: &str = "flash";
const FLASH_BYTES_MAX: usize = 2_000;

/// What handlers know of a request beyond its own form.
#[derive(Clone, Debug)]
pub struct Context {
    pub viewer: Viewer,
    pub session: Option<SessionId>,
    pub request_id: String,
    /// Path and query.
    pub path: String,
    pub address: IpAddr,
    /// The request came from this machine itself, through no proxy.
    pub from_this_machine: bool,
    pub user_agent: String,
    /// The part of a page that a script asked for.
    pub fragment: Option<String>,
    pub flash: Option<FlashNote>,
}

/// A message that survives one redirect, in a cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlashNote {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<(String, String)>,
    #[serde(default)]
    pub failed: bool,
}

impl FlashNote {
    pub fn done(text: impl Into<String>) -> FlashNote {
        FlashNote { text: text.into(), undo: None, link: None, failed: false }
    }

    /// Writes the cookie that carries the note over the redirect.
    pub fn cookie(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{FLASH_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60", URL_SAFE_NO_PAD.encode(json))
    }

    fn read(text: &str) -> Option<FlashNote> {
        let note: FlashNote =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok().filter(|json| json.len() <= FLASH_BYTES_MAX)?).ok()?;
        // Whatever a cookie says, links and forms stay on this site.
        let local = |url: &str| is_local_path(url);
        let good = note.undo.as_deref().is_none_or(local) && note.link.as_ref().is_none_or(|(url, _)| local(url));
        good.then_some(note)
    }

    pub fn to_flash(&self) -> Flash {
        let kind = if self.failed { FlashKind::Failed } else { FlashKind::Done };
        Flash { kind, text: self.text.clone(), undo_url: self.undo.clone(), link: self.link.clone() }
    }
}

/// Says whether a path is one of this site's: it starts with one '/' and is no address of another host.
pub fn is_local_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\") && !path.chars().any(char::is_control)
}

impl Context {
    pub fn device(&self) -> Device {
        Device { user_agent: self.user_agent.clone(), address: self.address.to_string() }
    }

    pub fn wants(&self, fragment: &str) -> bool {
        self.fragment.as_deref() == Some(fragment)
    }

    /// Says whether a script asked: it gets JSON and no redirects.
    pub fn by_script(&self) -> bool {
        self.fragment.is_some()
    }
}

impl Web {
    /// Counts a request against a limit: of the person if signed in, else of the address.
    pub fn limit(&self, context: &Context, category: Category) -> app::Result<()> {
        let subject = match (category, context.viewer.id()) {
            (Category::SignIn, _) | (_, None) => Subject::Address(context.address),
            (_, Some(user)) => Subject::Id(user.as_u64()),
        };
        let standing = self.limiter.check(category, subject);
        if standing.allowed { Ok(()) } else { Err(app::Error::TooMany { retry_after_seconds: standing.reset_seconds }) }
    }

    pub(crate) fn client_address(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> IpAddr {
        let forwarded = headers.get("x-forwarded-for").filter(|_| self.behind_proxy).and_then(|value| value.to_str().ok());
        // The last one is what our own proxy saw; those before it anybody can write.
        let forwarded = forwarded.and_then(|list| list.rsplit(',').next()).and_then(|text| text.trim().parse().ok());
        forwarded.or(peer.map(|peer| peer.ip())).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// Says whether nobody stands between this machine's own client and the server. A proxy on the same machine is a loopback peer as well;
/// it betrays itself by the headers that it adds, whether or not the configuration trusts them.
pub(crate) fn is_from_this_machine(headers: &HeaderMap, peer: Option<SocketAddr>) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
    !forwarded && peer.is_some_and(|peer| peer.ip().is_loopback())
}

/// Reads one cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

impl FromRequestParts<Web> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Context, Infallible> {
        let headers = &parts.headers;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let text =
            |name: header::HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("").to_owned();
        let found = match cookie(headers, SESSION_COOKIE) {
            Some(cookie) => web.app.viewer_of_cookie(cookie).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "a session could not be read; the request goes on as nobody's");
                None
            }),
            None => None,
        };
        let (mut viewer, session) = found.map_or((Viewer::anonymous(), None), |(viewer, session)| (viewer, Some(session)));
        viewer.request_id.clone_from(&request_id);
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        Ok(Context {
            viewer,
            session,
            request_id,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            address: web.client_address(headers, peer),
            from_this_machine: is_from_this_machine(headers, peer),
            user_agent: text(header::USER_AGENT),
            fragment: headers.get("x-fragment").and_then(|value| value.to_str().ok()).map(str::to_owned),
            flash: cookie(headers, FLASH_COOKIE).and_then(FlashNote::read),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_paths_are_gone_back_to() {
        for (path, local) in [
            ("/", true),
            ("/pin/1?x=//y", true),
            ("//evil.org", false),
            ("/\\evil.org", false),
            ("https://evil.org", false),
            ("/a\nb", false),
            ("", false),
        ] {
            assert_eq!(is_local_path(path), local, "{path:?}");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_this_machine() {
        let local = Some(SocketAddr::from(([127, 0, 0, 1], 1)));
        assert!(is_from_this_machine(&HeaderMap::new(), local));
        let proxied = HeaderMap::from_iter([(header::HeaderName::from_static("x-forwarded-for"), HeaderValue::from_static("127.0.0.1"))]);
        assert!(!is_from_this_machine(&proxied, local));
        assert!(!is_from_this_machine(&HeaderMap::new(), Some(SocketAddr::from(([10, 0, 0, 1], 1)))));
    }

    #[test]
    fn a_note_survives_its_cookie_and_forged_ones_don_t() {
        let note = FlashNote { undo: Some("/pin/1/restore".into()), ..FlashNote::done("Deleted") };
        let cookie = note.cookie();
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        assert_eq!(FlashNote::read(value).unwrap().undo.as_deref(), Some("/pin/1/restore"));
        let forged = FlashNote { undo: Some("https://evil.org".into()), ..note };
        assert!(FlashNote::read(forged.cookie().split(['=', ';']).nth(1).unwrap()).is_none());
        assert!(FlashNote::read("%%%").is_none());
    }
}
