//! What admins do, and the state of the site as they see it.

use std::sync::Arc;

use model::id::Shard;
use model::{Assoc, EventKind, NameKind, SiteId, Stored, User, UserId};
use serde_json::json;
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest};
use crate::viewer::Viewer;

/// The one object that stands for the site: on shard 0, local 1.
pub fn site_id() -> SiteId {
    SiteId::new(Shard(0), 1)
}

/// The newest people that a search of admins looks at; older ones are found by their exact user name or e-mail address.
const PEOPLE_LOOKED_AT_MAX: usize = 10_000;
const PEOPLE_STEP: usize = 500;

fn matches(user: &User, wanted: &str) -> bool {
    [&user.username, &user.name, &user.email].into_iter().any(|text| text.to_lowercase().contains(wanted))
}

impl App {
    /// Suspends a person (nobody sees them, they can't sign in) or reinstates them.
    pub async fn suspend(&self, viewer: &Viewer, user: UserId, suspended: bool) -> Result<()> {
        let me = viewer.require_admin()?;
        if me == user {
            return Err(Error::invalid("user", "You can't suspend yourself."));
        }
        let stored = self.fresh::<User>(user).await?.ok_or(Error::NotFound(What::User))?;
        if stored.data.suspended == suspended {
            return Ok(());
        }
        let kind = if suspended { EventKind::UserSuspended } else { EventKind::UserReinstated };
        let mut batch = Batch::on(user.shard());
        batch
            .update(user.id(), stored.version, &User { suspended, ..stored.data })
            .audit(Some(me), kind.as_str(), vec![user.id()], json!({}))
            .emit(self.event(kind, viewer, vec![user.id()]))
            .emit(self.event_with(
                EventKind::UserChanged,
                Some(me),
                viewer.request_id.clone(),
                vec![user.id()],
                json!({ "pins_affected": true }),
            ));
        self.commit(batch).await?;
        if suspended {
            self.revoke_sessions(user, None).await?;
        }
        Ok(())
    }

    /// Makes a person an admin or takes it back. `viewer` is nobody when whoever runs the site does it on the command line.
    pub async fn set_admin(&self, viewer: &Viewer, user: UserId, admin: bool) -> Result<()> {
        if viewer.user.is_some() {
            viewer.require_admin()?;
        }
        let stored = self.fresh::<User>(user).await?.ok_or(Error::NotFound(What::User))?;
        let mut batch = Batch::on(user.shard());
        batch
            .update(user.id(), stored.version, &User { admin, ..stored.data })
            .audit(viewer.id(), if admin { "admin_granted" } else { "admin_taken" }, vec![user.id()], json!({}))
            .emit(self.event(EventKind::AdminGranted, viewer, vec![user.id()]));
        self.commit(batch).await.map(drop)
    }

    /// Lists everybody on the site for admins, the newest first.
    pub async fn people(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<Arc<Stored<User>>>> {
        viewer.require_admin()?;
        let (size, assoc) = (request.size()?, Assoc::SiteHasUsers);
        let list = crate::hydrate::lists::of_assoc(assoc);
        let range = Range { after: request.after_edge(list)?, limit: size + 1, order: Order::Descending };
        let edges = self.storage.range(assoc, site_id().id(), range).await?;
        let ids: Vec<_> = edges.iter().map(|edge| edge.to).collect();
        let users = self.objects::<User>(&ids).await?;
        let items = edges.into_iter().zip(users).filter_map(|(edge, user)| Some((edge, user.filter(|user| user.active)?))).collect();
        Ok(crate::hydrate::page_of(items, size, list))
    }

    /// Finds people for admins by a part of their user name, name or e-mail address, suspended ones too: who matches exactly comes
    /// first, then the newest.
    pub async fn find_people(&self, viewer: &Viewer, text: &str, limit: usize) -> Result<Vec<Arc<Stored<User>>>> {
        viewer.require_admin()?;
        let wanted = text.trim().trim_start_matches('@').to_lowercase();
        let mut found: Vec<Arc<Stored<User>>> = Vec::new();
        for kind in [NameKind::Username, NameKind::Email] {
            if let Some(name) = self.name(kind, &wanted).await? {
                found.extend(self.object::<User>(name.id).await?.filter(|user| user.active));
            }
        }
        let (mut after, mut looked_at) = (None, 0);
        while found.len() < limit && looked_at < PEOPLE_LOOKED_AT_MAX {
            let range = Range { after, limit: PEOPLE_STEP, order: Order::Descending };
            let edges = self.storage.range(Assoc::SiteHasUsers, site_id().id(), range).await?;
            let Some(last) = edges.last() else { break };
            after = Some((last.sequence, last.to));
            looked_at += edges.len();
            let ids: Vec<_> = edges.iter().map(|edge| edge.to).collect();
            let users = self.storage.get_many::<User>(&ids).await?.into_iter().flatten();
            let matching = users.filter(|user| user.active && matches(&user.data, &wanted)).map(Arc::new);
            for user in matching {
                if !found.iter().any(|known| known.id == user.id) {
                    found.push(user);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Counts the people of the site.
    pub async fn people_count(&self) -> Result<u64> {
        Ok(self.storage.count(Assoc::SiteHasUsers, site_id().id()).await?)
    }
}
