//! Personal API tokens: made in settings or on the command line, with scopes, shown once.
//!
//! A token reads `cork_<token id>_<secret>`: the id says where it lives, and storage holds only the secret's hash.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::limits::{TOKENS_PER_USER_MAX, check_name};
use model::object::{SCHEMA_VERSION, Scope};
use model::{Assoc, EventKind, Id, Kind, Stored, Timestamp, Token, TokenId, User, UserId};
use serde_json::json;
use storage::{Batch, Condition, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::stands;
use crate::passwords::{hash_secret, new_secret, secret_matches};
use crate::viewer::Viewer;

const PREFIX: &str = "cork_";
const TOKEN_NAME_CHARS_MAX: usize = 60;
/// A token's "last used" is written at most this often.
const LAST_USED_STEP_MS: i64 = Timestamp::HOUR;

/// A viewer who came with a token.
#[derive(Clone, Debug)]
pub struct TokenViewer {
    pub viewer: Viewer,
    pub token: TokenId,
    pub scopes: BTreeSet<Scope>,
}

/// Reads scopes from `a,b` or `a b`.
pub fn parse_scopes(text: &str) -> Result<BTreeSet<Scope>> {
    let words = text.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty());
    let known = || Scope::ALL.map(Scope::as_str).join(", ");
    words
        .map(|word| {
            Scope::parse(word).ok_or_else(|| Error::invalid("scopes", format!("'{word}' is no scope. The scopes are: {}.", known())))
        })
        .collect()
}

impl App {
    /// Makes a token and returns it; it is never shown again.
    pub async fn create_token(&self, viewer: &Viewer, user: UserId, name: &str, scopes: BTreeSet<Scope>) -> Result<String> {
        let name = check_name("name", "The token's name", name, TOKEN_NAME_CHARS_MAX)?;
        if scopes.is_empty() {
            return Err(Error::invalid("scopes", "Choose at least one scope: a token without any can do nothing."));
        }
        let id: TokenId = self.new_id(user.shard(), Kind::Token).await?;
        let secret = new_secret();
        let token = Token { v: SCHEMA_VERSION, user, name, secret_hash: hash_secret(&secret), scopes, last_used_at: None };
        let mut batch = Batch::on(user.shard());
        batch
            .require(Condition::CountBelow(Assoc::UserHasTokens, user.id(), TOKENS_PER_USER_MAX))
            .create(id.id(), &token)
            .map(Assoc::UserHasTokens, user.id(), id.id(), self.now().0)
            .audit(viewer.id(), "token_created", vec![id.id(), user.id()], json!({ "scopes": token.scopes }))
            .emit(self.event(EventKind::TokenCreated, viewer, vec![user.id()]));
        self.commit(batch).await?;
        Ok(format!("{PREFIX}{id}_{secret}"))
    }

    /// Lists the viewer's tokens, the newest first.
    pub async fn tokens(&self, viewer: &Viewer) -> Result<Vec<Arc<Stored<Token>>>> {
        let me = viewer.require()?;
        let edges = self.storage.range(Assoc::UserHasTokens, me.id(), Range::first(TOKENS_PER_USER_MAX as usize)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        Ok(self.objects::<Token>(&ids).await?.into_iter().flatten().filter(|token| token.active).collect())
    }

    /// Revokes one of the viewer's tokens.
    pub async fn revoke_token(&self, viewer: &Viewer, token: TokenId) -> Result<()> {
        let me = viewer.require()?;
        let there = self.storage.edges(Assoc::UserHasTokens, me.id(), &[token.id()]).await?[0].is_some();
        if !there {
            return Err(Error::NotFound(What::Token));
        }
        let mut batch = Batch::on(me.shard());
        batch
            .unmap(Assoc::UserHasTokens, me.id(), token.id())
            .audit(Some(me), "token_revoked", vec![token.id()], json!({}))
            .emit(self.event(EventKind::TokenRevoked, viewer, vec![me.id()]));
        self.purge_or_keep(me, batch, token.id()).await
    }

    /// Reads who a token belongs to and what it may do.
    pub async fn viewer_of_token(&self, text: &str) -> Result<Option<TokenViewer>> {
        let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else { return Ok(None) };
        let Ok(id) = id.parse::<TokenId>() else { return Ok(None) };
        let Some(token) = self.object::<Token>(id).await?.filter(|token| token.active) else { return Ok(None) };
        if !secret_matches(secret, &token.data.secret_hash) {
            return Ok(None);
        }
        let Some(user) = self.object::<User>(token.data.user).await?.filter(|user| stands(user)) else { return Ok(None) };
        self.touch_token(&token).await;
        let has = |scope| token.data.scopes.contains(&scope);
        let viewer = Viewer {
            sees_secret: has(Scope::BoardsReadSecret) || has(Scope::PinsReadSecret),
            writes_secret: has(Scope::BoardsWriteSecret) || has(Scope::PinsWriteSecret),
            ..Viewer::signed_in(user)
        };
        Ok(Some(TokenViewer { viewer, token: id, scopes: token.data.scopes.clone() }))
    }

    /// Notes that a token is in use; a failure is only logged.
    async fn touch_token(&self, token: &Stored<Token>) {
        let now = self.now();
        if token.data.last_used_at.is_some_and(|at| now.since(at) < LAST_USED_STEP_MS) {
            return;
        }
        let mut batch = Batch::on(token.id.shard());
        batch.update(token.id, token.version, &Token { last_used_at: Some(now), ..token.data.clone() });
        if let Err(error) = self.commit(batch).await {
            tracing::debug!(%error, "a token's last use was not noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_or_named() {
        assert_eq!(parse_scopes("pins:read, boards:write").unwrap().len(), 2);
        let error = parse_scopes("pins:eat").unwrap_err().to_string();
        assert!(error.contains("'pins:eat'") && error.contains("pins:read_secret"), "{error}");
    }
}
