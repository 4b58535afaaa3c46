//! Accounts: signing up, in and out; sessions; passwords; the end of an account.
//!
//! A cookie holds `<session id>.<secret>`; the id says where the session lives, and storage holds only the secret's hash.

use std::sync::Arc;

use model::limits::{self, SESSIONS_PER_USER_MAX, check_email, check_name, check_password, check_username};
use model::object::{PasswordReset, SCHEMA_VERSION, UserSettings};
use model::{Assoc, EventKind, Id, Kind, NameKind, Session, SessionId, Stored, Timestamp, User, UserId};
use serde_json::json;
use storage::{Batch, Order, Range};

use crate::admin::site_id;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::hydrate::stands;
use crate::jobs;
use crate::passwords::{hash_secret, new_secret, secret_matches};
use crate::plan::Plan;
use crate::profiles::Profile;
use crate::viewer::Viewer;

/// A person who wants an account.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    pub username: String,
    pub email: String,
    /// Empty only with `without_login`.
    pub password: String,
    pub name: String,
    pub admin: bool,
    /// For people whom an import makes: nobody can sign in as them.
    pub without_login: bool,
}

/// Where somebody signs in from.
#[derive(Clone, Debug, Default)]
pub struct Device {
    pub user_agent: String,
    pub address: String,
}

/// How long a link in a password mail works.
const RESET_LIFETIME_MS: i64 = 2 * Timestamp::HOUR;
/// A session's "last seen" is written at most this often, so that reading pages costs no write.
const LAST_SEEN_STEP_MS: i64 = Timestamp::HOUR;
const USER_AGENT_CHARS_MAX: usize = 200;
const WRONG_CREDENTIALS: &str = "User name or password is wrong.";

impl App {
    /// Makes an account. The first one of a site is its admin.
    pub async fn sign_up(&self, viewer: &Viewer, new: NewUser) -> Result<UserId> {
        let username = check_username(&new.username)?;
        let name =
            if new.name.trim().is_empty() { username.clone() } else { check_name("name", "The name", &new.name, limits::NAME_CHARS_MAX)? };
        let email = if new.without_login { String::new() } else { check_email(&new.email)? };
        if !new.without_login {
            check_password(&new.password)?;
        }
        let first = !new.without_login && !self.has_account().await?;
        let id: UserId = self.new_id(self.storage.open_shard(), Kind::User).await?;
        self.claim_names(id, &username, &email).await?;
        let password_hash = if new.without_login { String::new() } else { self.hash_password(&new.password).await? };
        let now = self.now();
        let user = User {
            v: SCHEMA_VERSION,
            username: username.clone(),
            email: email.clone(),
            password_hash,
            name,
            about: String::new(),
            website: String::new(),
            picture: None,
            admin: new.admin || first,
            suspended: false,
            settings: UserSettings::default(),
            notifications_read_at: now,
            password_reset: None,
            deleting: false,
            joined_at: now,
        };
        let mut plan = Plan::decided_on(id.shard());
        let request = viewer.request_id.clone();
        plan.decision().create(id.id(), &user).emit(self.event_with(EventKind::UserSignedUp, Some(id), request, vec![id.id()], json!({})));
        plan.wish(&[EdgeWish::new(Assoc::SiteHasUsers, site_id(), id, Some(now.0))]);
        self.carry_out(plan).await?;
        self.confirm_names(id, &username, &email).await?;
        metrics::counter!(crate::metrics::USERS_SIGNED_UP_TOTAL).increment(1);
        Ok(id)
    }

    /// Says whether anybody can sign in to this site yet.
    pub async fn has_account(&self) -> Result<bool> {
        let mut after = None;
        loop {
            let edges =
                self.storage.range(Assoc::SiteHasUsers, site_id().id(), Range { after, limit: 100, order: Order::Ascending }).await?;
            let Some(last) = edges.last() else { return Ok(false) };
            after = Some((last.sequence, last.to));
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            if self.objects::<User>(&ids).await?.into_iter().flatten().any(|user| user.active && !user.data.password_hash.is_empty()) {
                return Ok(true);
            }
        }
    }

    /// Claims a person's unique names, each on the shard that its hash picks. Claims whose owner never comes are swept.
    pub(crate) async fn claim_names(&self, id: UserId, username: &str, email: &str) -> Result<()> {
        self.claim_name(NameKind::Username, username, id).await.map_err(|error| match error {
            Error::Conflict(_) => Error::invalid("username", format!("The user name '{username}' is taken; choose another one.")),
            other => other,
        })?;
        if email.is_empty() {
            return Ok(());
        }
        let claimed = self.claim_name(NameKind::Email, email, id).await;
        if claimed.is_err() {
            self.release_name(NameKind::Username, username, id).await?;
        }
        claimed.map_err(|error| match error {
            Error::Conflict(_) => Error::invalid("email", "There is an account with this e-mail address. Log in, or reset its password."),
            other => other,
        })
    }

    async fn claim_name(&self, kind: NameKind, key: &str, id: UserId) -> Result<()> {
        let mut batch = Batch::on(storage::name_shard(kind, key));
        batch.claim(kind, key, id.id());
        self.commit(batch).await.map(drop)
    }

    pub(crate) async fn release_name(&self, kind: NameKind, key: &str, id: UserId) -> Result<()> {
        let mut batch = Batch::on(storage::name_shard(kind, key));
        batch.release(kind, key, id.id());
        self.commit(batch).await.map(drop)
    }

    pub(crate) async fn confirm_names(&self, id: UserId, username: &str, email: &str) -> Result<()> {
        for (kind, key) in [(NameKind::Username, username), (NameKind::Email, email)] {
            if !key.is_empty() {
                let mut batch = Batch::on(storage::name_shard(kind, key));
                batch.confirm(kind, key, id.id());
                self.commit(batch).await?;
            }
        }
        Ok(())
    }

    /// Finds a person by user name.
    pub async fn user_named(&self, viewer: &Viewer, username: &str) -> Result<Arc<Stored<User>>> {
        self.user(viewer, self.id_named(username).await?).await
    }

    /// Finds the id behind a user name, whoever asks.
    pub(crate) async fn id_named(&self, username: &str) -> Result<UserId> {
        let key = username.trim().to_lowercase();
        let has_name = |user: &Stored<User>| user.data.username.to_lowercase() == key;
        let id = self.object_named::<User>(NameKind::Username, &key, has_name).await?.ok_or(Error::NotFound(What::User))?;
        UserId::try_from(id).map_err(|_| Error::NotFound(What::User))
    }

    /// Finds a profile by user name.
    pub async fn profile_named(&self, viewer: &Viewer, username: &str) -> Result<Profile> {
        self.profile(viewer, self.id_named(username).await?).await
    }

    /// Signs a person in by user name or e-mail address. Returns what goes into the cookie.
    pub async fn sign_in(&self, viewer: &Viewer, login: &str, password: &str, device: Device) -> Result<(UserId, String)> {
        let key = login.trim().to_lowercase();
        let kind = if key.contains('@') { NameKind::Email } else { NameKind::Username };
        let name = self.name(kind, &key).await?;
        let user = match name {
            Some(name) => self.fresh::<User>(name.id).await?,
            None => None,
        };
        let hash = user.as_ref().map_or("", |user| user.data.password_hash.as_str());
        let right = password.len() <= limits::PASSWORD_BYTES_MAX && self.check_password(password, hash).await?;
        let user = match user {
            Some(user) if right && !user.data.deleting => user,
            other => {
                let subjects = other.iter().map(|user| user.id).collect();
                self.events.emit(self.event(EventKind::SignInRefused, viewer, subjects));
                metrics::counter!(crate::metrics::SIGN_INS_REFUSED_TOTAL).increment(1);
                return Err(Error::invalid("login", WRONG_CREDENTIALS));
            }
        };
        if user.data.suspended {
            return Err(Error::Forbidden("This account is suspended. Write to the admin of this site.".into()));
        }
        let id = UserId::try_from(user.id).map_err(Error::internal)?;
        let cookie = self.open_session(viewer, id, device).await?;
        Ok((id, cookie))
    }

    /// Opens a session and returns what goes into the cookie.
    pub async fn open_session(&self, viewer: &Viewer, user: UserId, device: Device) -> Result<String> {
        self.close_oldest_sessions(user).await?;
        let id: SessionId = self.new_id(user.shard(), Kind::Session).await?;
        let (secret, now) = (new_secret(), self.now());
        let session = Session {
            v: SCHEMA_VERSION,
            user,
            secret_hash: hash_secret(&secret),
            user_agent: device.user_agent.chars().take(USER_AGENT_CHARS_MAX).collect(),
            address: device.address,
            last_seen_at: now,
            expires_at: now.plus(self.settings.session_lifetime_ms),
        };
        let mut batch = Batch::on(user.shard());
        let event = self.event_with(EventKind::UserSignedIn, Some(user), viewer.request_id.clone(), vec![user.id()], json!({}));
        batch.create(id.id(), &session).map(Assoc::UserHasSessions, user.id(), id.id(), now.0).emit(event);
        self.commit(batch).await?;
        Ok(format!("{id}.{secret}"))
    }

    async fn close_oldest_sessions(&self, user: UserId) -> Result<()> {
        if self.storage.count(Assoc::UserHasSessions, user.id()).await? >= SESSIONS_PER_USER_MAX {
            let range = Range { after: None, limit: 10, order: Order::Ascending };
            for edge in self.storage.range(Assoc::UserHasSessions, user.id(), range).await? {
                self.drop_session(user, edge.to).await?;
            }
        }
        Ok(())
    }

    async fn drop_session(&self, user: UserId, session: Id) -> Result<()> {
        let mut batch = Batch::on(user.shard());
        batch.unmap(Assoc::UserHasSessions, user.id(), session);
        self.purge_or_keep(user, batch, session).await
    }

    /// Reads who a cookie belongs to; anonymous when it is none of ours, expired or revoked.
    pub async fn viewer_of_cookie(&self, cookie: &str) -> Result<Option<(Viewer, SessionId)>> {
        let Some((id, secret)) = cookie.split_once('.') else { return Ok(None) };
        let Ok(id) = id.parse::<SessionId>() else { return Ok(None) };
        let Some(session) = self.object::<Session>(id).await?.filter(|session| session.active) else { return Ok(None) };
        let now = self.now();
        if !secret_matches(secret, &session.data.secret_hash) || session.data.expires_at <= now {
            return Ok(None);
        }
        let Some(user) = self.object::<User>(session.data.user).await?.filter(|user| stands(user)) else { return Ok(None) };
        if now.since(session.data.last_seen_at) > LAST_SEEN_STEP_MS {
            self.touch_session(&session, now).await;
        }
        Ok(Some((Viewer::signed_in(user), id)))
    }

    /// Notes that a session is in use. Losing this loses nothing that matters, so a failure is only logged.
    async fn touch_session(&self, session: &Stored<Session>, now: Timestamp) {
        let mut batch = Batch::on(session.id.shard());
        let expires_at = now.plus(self.settings.session_lifetime_ms);
        batch.update(session.id, session.version, &Session { last_seen_at: now, expires_at, ..session.data.clone() });
        if let Err(error) = self.commit(batch).await {
            tracing::debug!(%error, "a session's last use was not noted");
        }
    }

    /// Lists the viewer's sessions, the newest first.
    pub async fn sessions(&self, viewer: &Viewer) -> Result<Vec<Arc<Stored<Session>>>> {
        let me = viewer.require()?;
        let edges = self.storage.range(Assoc::UserHasSessions, me.id(), Range::first(SESSIONS_PER_USER_MAX as usize)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let now = self.now();
        let sessions = self.objects::<Session>(&ids).await?.into_iter().flatten();
        Ok(sessions.filter(|session| session.active && session.data.expires_at > now).collect())
    }

    /// Ends one of the viewer's sessions.
    pub async fn revoke_session(&self, viewer: &Viewer, session: SessionId) -> Result<()> {
        let me = viewer.require()?;
        let there = self.storage.edges(Assoc::UserHasSessions, me.id(), &[session.id()]).await?[0].is_some();
        if !there {
            return Err(Error::NotFound(What::Session));
        }
        self.drop_session(me, session.id()).await?;
        self.events.emit(self.event(EventKind::SessionRevoked, viewer, vec![me.id()]));
        Ok(())
    }

    /// Ends all sessions of a person but one.
    pub async fn revoke_sessions(&self, user: UserId, except: Option<SessionId>) -> Result<()> {
        for edge in self.storage.range(Assoc::UserHasSessions, user.id(), Range::first(2 * SESSIONS_PER_USER_MAX as usize)).await? {
            if except.is_none_or(|kept| kept.id() != edge.to) {
                self.drop_session(user, edge.to).await?;
            }
        }
        Ok(())
    }

    /// Changes the viewer's password; other sessions end.
    pub async fn change_password(&self, viewer: &Viewer, current: &str, new: &str, keep: Option<SessionId>) -> Result<()> {
        let me = viewer.require()?;
        let user = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        if !self.check_password(current, &user.data.password_hash).await? {
            return Err(Error::invalid("current_password", "The current password is wrong."));
        }
        self.set_password(me, new, keep).await
    }

    /// Sets a password and ends the person's other sessions.
    pub async fn set_password(&self, user: UserId, new: &str, keep: Option<SessionId>) -> Result<()> {
        check_password(new).map_err(|error| model::Invalid { field: "new_password", ..error })?;
        let hash = self.hash_password(new).await?;
        let stored = self.fresh::<User>(user).await?.ok_or(Error::NotFound(What::User))?;
        let mut batch = Batch::on(user.shard());
        batch
            .update(user.id(), stored.version, &User { password_hash: hash, password_reset: None, ..stored.data.clone() })
            .audit(Some(user), "password_changed", vec![user.id()], json!({}))
            .emit(self.event_with(EventKind::PasswordChanged, Some(user), String::new(), vec![user.id()], json!({})));
        self.commit(batch).await?;
        self.revoke_sessions(user, keep).await?;
        let text = "The password of your account was changed just now. If that was not you, reset it at once.".to_owned();
        self.enqueue(jobs::SendMail::new(&stored, "Your password was changed", text)).await
    }

    /// Sends a link that sets a new password. Says the same whether or not there is such an account.
    pub async fn ask_password_reset(&self, viewer: &Viewer, email: &str) -> Result<()> {
        let email = check_email(email)?;
        let Some(name) = self.name(NameKind::Email, &email).await? else { return Ok(()) };
        let Some(user) = self.fresh::<User>(name.id).await?.filter(stands) else { return Ok(()) };
        let secret = new_secret();
        let reset = PasswordReset { secret_hash: hash_secret(&secret), expires_at: self.now().plus(RESET_LIFETIME_MS) };
        let mut batch = Batch::on(user.id.shard());
        batch.update(user.id, user.version, &User { password_reset: Some(reset), ..user.data.clone() });
        self.commit(batch).await?;
        self.events.emit(self.event(EventKind::PasswordResetAsked, viewer, vec![user.id]));
        let link = format!("{}/reset?token={}.{}", self.settings.base_url, user.id, secret);
        let text = format!(
            "Somebody, hopefully you, asked to reset the password of @{}.\n\nSet a new one here within two hours:\n{link}\n\nIf it was not you, do nothing; your password stays as it is.",
            user.data.username
        );
        self.enqueue(jobs::SendMail::new(&user, "Reset your password", text)).await
    }

    /// Sets a new password with the token of a reset link.
    pub async fn reset_password(&self, token: &str, new: &str) -> Result<UserId> {
        let bad = || Error::invalid("token", "This link does not work any more. Ask for a new one.");
        let (id, secret) = token.split_once('.').ok_or_else(bad)?;
        let id: UserId = id.parse().map_err(|_| bad())?;
        let user = self.fresh::<User>(id).await?.filter(stands).ok_or_else(bad)?;
        let reset = user.data.password_reset.as_ref().ok_or_else(bad)?;
        if !secret_matches(secret, &reset.secret_hash) || reset.expires_at <= self.now() {
            return Err(bad());
        }
        self.set_password(id, new, None).await?;
        Ok(id)
    }

    /// Deletes the viewer's account: it is gone for others at once, and everything of it is deleted by a job.
    pub async fn delete_account(&self, viewer: &Viewer, password: &str) -> Result<()> {
        let me = viewer.require()?;
        let user = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        if !self.check_password(password, &user.data.password_hash).await? {
            return Err(Error::invalid("password", "The password is wrong."));
        }
        let mut batch = Batch::on(me.shard());
        batch
            .update(me.id(), user.version, &User { deleting: true, ..user.data })
            .audit(Some(me), "account_deleted", vec![me.id()], json!({}))
            .emit(self.event(EventKind::UserDeleted, viewer, vec![me.id()]));
        self.commit(batch).await?;
        self.revoke_sessions(me, None).await
    }
}
