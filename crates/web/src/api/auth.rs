//! Who calls: a bearer token with scopes, and how its rate limits stand.
//!
//! ```text
//! request ─▶ authenticate: token → Access, count against the limit ─▶ handler: Access::viewer(scopes) ─▶ app
//! ```
//!
//! A call names the scopes that it needs. Secret boards and their pins exist for it only if the token also has the `_secret` scope of
//! every area among them: a call that reads boards and pins needs both.

use std::collections::BTreeSet;

use app::Viewer;
use app::tokens::TokenViewer;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::TokenId;
use model::object::Scope;

use super::respond::{Failure, code, show_standing};
use crate::limits::{Category, Subject};
use crate::observe::RequestId;
use crate::server::Web;

/// What most calls about pins need.
pub const READ_PINS: &[Scope] = &[Scope::BoardsRead, Scope::PinsRead];
pub const WRITE_PINS: &[Scope] = &[Scope::BoardsRead, Scope::BoardsWrite, Scope::PinsRead, Scope::PinsWrite];
pub const READ_BOARDS: &[Scope] = &[Scope::BoardsRead];
pub const WRITE_BOARDS: &[Scope] = &[Scope::BoardsRead, Scope::BoardsWrite];
pub const READ_ACCOUNT: &[Scope] = &[Scope::UserAccountsRead];
pub const WRITE_ACCOUNT: &[Scope] = &[Scope::UserAccountsWrite];
/// What people say and like under pins.
pub const REACT: &[Scope] = &[Scope::PinsRead, Scope::PinsWrite];

/// A caller with a valid token.
#[derive(Clone, Debug)]
pub struct Access {
    viewer: Viewer,
    token: TokenId,
    scopes: BTreeSet<Scope>,
}

impl Access {
    /// Returns the viewer for a call that needs all of these scopes.
    pub fn viewer(&self, needed: &[Scope]) -> Result<Viewer, Failure> {
        if let Some(missing) = needed.iter().find(|scope| !self.scopes.contains(scope)) {
            let message = format!("Not authorized: this token lacks the scope '{}'.", missing.as_str());
            return Err(Failure::new(StatusCode::FORBIDDEN, code::SCOPE_MISSING, message));
        }
        let (sees_secret, writes_secret) = secrets(&self.scopes, needed);
        Ok(Viewer { sees_secret, writes_secret, ..self.viewer.clone() })
    }

    /// Says whether pins of secret boards exist for this token, on calls that show boards with some of their pins.
    pub fn sees_secret_pins(&self) -> bool {
        self.scopes.contains(&Scope::PinsReadSecret)
    }

    pub fn subject(&self) -> Subject {
        Subject::Id(self.token.id().as_u64())
    }
}

/// Says whether a call that needs some scopes sees, and changes, what is secret. One about neither boards nor pins counts as about both.
fn secrets(has: &BTreeSet<Scope>, needed: &[Scope]) -> (bool, bool) {
    use Scope as S;
    let about_boards = needed.iter().any(|scope| matches!(scope, S::BoardsRead | S::BoardsWrite));
    let about_pins = needed.iter().any(|scope| matches!(scope, S::PinsRead | S::PinsWrite));
    let neither = !about_boards && !about_pins;
    let all =
        |boards: S, pins: S| (has.contains(&boards) || !(about_boards || neither)) && (has.contains(&pins) || !(about_pins || neither));
    (all(S::BoardsReadSecret, S::PinsReadSecret), all(S::BoardsWriteSecret, S::PinsWriteSecret))
}

/// Reads the token and counts the request. Handlers that need a caller refuse those without.
pub async fn authenticate(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let found = match bearer(request.headers()) {
        Some(token) => web.app.viewer_of_token(token).await,
        None => Ok(None),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return Failure::from(error).into_response(),
    };
    let access = found.map(|TokenViewer { mut viewer, token, scopes }| {
        viewer.request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        Access { viewer, token, scopes }
    });
    let category = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Category::OrgRead,
        _ => Category::OrgWrite,
    };
    let peer = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0);
    let subject = access.as_ref().map_or_else(|| Subject::Address(web.client_address(request.headers(), peer)), Access::subject);
    let standing = web.limiter.check(category, subject);
    let mut response = if standing.allowed {
        if let Some(access) = access {
            request.extensions_mut().insert(access);
        }
        next.run(request).await
    } else {
        Failure::from(app::Error::TooMany { retry_after_seconds: standing.reset_seconds }).into_response()
    };
    show_standing(&mut response, standing);
    response
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Web> for Access {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Web) -> Result<Access, Failure> {
        parts.extensions.get::<Access>().cloned().ok_or_else(|| {
            let message = match bearer(&parts.headers) {
                Some(_) => "Authentication failed: this token is not known here, or it was revoked. Make a new one in the settings.",
                None => "Authentication failed: send a token as 'Authorization: Bearer …'. Tokens are made in the settings.",
            };
            Failure::new(StatusCode::UNAUTHORIZED, code::AUTHENTICATION_FAILED, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_need_the_secret_scope_of_every_area_of_the_call() {
        use Scope as S;
        let has = |scopes: &[S]| scopes.iter().copied().collect::<BTreeSet<_>>();
        for (scopes, needed, expected) in [
            (vec![], READ_PINS, (false, false)),
            (vec![S::BoardsReadSecret], READ_BOARDS, (true, false)),
            (vec![S::BoardsReadSecret], READ_PINS, (false, false)),
            (vec![S::PinsReadSecret], READ_PINS, (false, false)),
            (vec![S::PinsReadSecret], &[S::PinsRead], (true, false)),
            (vec![S::BoardsReadSecret, S::PinsReadSecret], READ_PINS, (true, false)),
            (vec![S::BoardsReadSecret, S::PinsReadSecret], READ_ACCOUNT, (true, false)),
            (vec![S::BoardsReadSecret], READ_ACCOUNT, (false, false)),
            (vec![S::BoardsWriteSecret], WRITE_BOARDS, (false, true)),
        ] {
            assert_eq!(secrets(&has(&scopes), needed), expected, "{scopes:?} for {needed:?}");
        }
    }
}
