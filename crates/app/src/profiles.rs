//! Profiles and settings.

use std::sync::Arc;

use bytes::Bytes;
use model::limits::{self, check_email, check_link, check_name, check_text, check_username};
use model::object::{HomeOrder, UserSettings};
use model::{Assoc, EventKind, Id, ImageId, Stored, User, UserId};
use serde_json::json;
use storage::{Batch, Order, Range};

use crate::boards::BoardList;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::holds::Purge;
use crate::hydrate::{BoardCard, Page, PageRequest, PinView, Screening, Seen, Strictness, lists, page_of};
use crate::jobs;
use crate::viewer::Viewer;

/// A profile's head: the person and exact counts, as far as the viewer may know them.
#[derive(Clone, Debug)]
pub struct Profile {
    pub seen: Seen,
    /// Those that the viewer may have listed, in order.
    pub(crate) boards: BoardList,
    pub board_count: u64,
    pub pin_count: u64,
    pub follower_count: u64,
    pub following_count: u64,
}

impl Profile {
    pub fn id(&self) -> UserId {
        self.seen.id()
    }
}

/// How a profile should change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileEdit {
    pub name: Option<String>,
    pub about: Option<String>,
    pub website: Option<String>,
    pub username: Option<String>,
    pub settings: Option<UserSettings>,
    pub home_order: Option<HomeOrder>,
}

impl App {
    /// Reads a profile. Counts cover what the viewer may see listed, so that nothing secret shows in them.
    pub async fn profile(&self, viewer: &Viewer, user: UserId) -> Result<Profile> {
        let seen = self.seen(viewer, user).await?;
        self.profile_of(viewer, seen).await
    }

    /// Reads the rest of the profile of somebody whom the viewer sees.
    pub async fn profile_of(&self, viewer: &Viewer, seen: Seen) -> Result<Profile> {
        let user = seen.id();
        let boards = self.all_boards_of(viewer, user).await?;
        let ids: Vec<Id> = boards.iter().map(|(_, board)| board.id).collect();
        let pins = self.pin_counts(&ids).await?;
        let following = [Assoc::UserFollowedByUsers, Assoc::UserFollowsUsers, Assoc::UserFollowsBoards];
        let people = self.counts_of(&following.map(|assoc| (assoc, user.id()))).await?;
        Ok(Profile {
            seen,
            board_count: boards.len() as u64,
            boards,
            pin_count: pins.iter().sum(),
            follower_count: people[0],
            following_count: people[1] + people[2],
        })
    }

    /// Lists a person's pins over all of their boards, newest first.
    pub async fn pins_of(&self, viewer: &Viewer, seen: &Seen, request: &PageRequest) -> Result<Page<PinView>> {
        if seen.standing.relation.is_blocked() {
            return Ok(Page::empty());
        }
        // All of them are this one person's.
        let (from, screening) = (seen.id().id(), Screening::ByCaller);
        self.pins_along_screened(viewer, Assoc::UserHasPins, from, request, Strictness::Listed, screening).await
    }

    pub async fn followers_of(&self, viewer: &Viewer, seen: &Seen, request: &PageRequest) -> Result<Page<Arc<Stored<User>>>> {
        self.users_along(viewer, Assoc::UserFollowedByUsers, seen.id().id(), request).await
    }

    pub async fn followed_by(&self, viewer: &Viewer, seen: &Seen, request: &PageRequest) -> Result<Page<Arc<Stored<User>>>> {
        self.users_along(viewer, Assoc::UserFollowsUsers, seen.id().id(), request).await
    }

    /// Lists the boards that a person follows.
    pub async fn boards_followed_by(&self, viewer: &Viewer, user: UserId) -> Result<Vec<crate::hydrate::BoardCard>> {
        self.user(viewer, user).await?;
        let range = Range { after: None, limit: limits::PAGE_SIZE_MAX, order: Order::Descending };
        let edges = self.storage.range(Assoc::UserFollowsBoards, user.id(), range).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let mut shown = Vec::with_capacity(ids.len());
        for board in self.objects::<model::Board>(&ids).await?.into_iter().flatten() {
            if self.may_list_board_of(viewer, &board).await? {
                shown.push(board);
            }
        }
        self.board_cards(viewer, shown).await
    }

    /// Lists the boards that a person follows, the newest follow first, page by page.
    pub async fn boards_followed_page(&self, viewer: &Viewer, user: UserId, request: &PageRequest) -> Result<Page<BoardCard>> {
        self.user(viewer, user).await?;
        let (size, assoc) = (request.size()?, Assoc::UserFollowsBoards);
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let mut items = Vec::with_capacity(size + 1);
        loop {
            let edges = self.storage.range(assoc, user.id(), Range { after, limit: size + 1, order: Order::Descending }).await?;
            let ended = edges.len() <= size;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            let boards = self.objects::<model::Board>(&ids).await?;
            for (edge, board) in edges.into_iter().zip(boards) {
                if let Some(board) = board
                    && self.may_list_board_of(viewer, &board).await?
                {
                    items.push((edge, board));
                }
            }
            if ended || items.len() > size {
                break;
            }
        }
        let page = page_of(items, size, lists::of_assoc(assoc));
        Ok(Page { items: self.board_cards(viewer, page.items).await?, bookmark: page.bookmark })
    }

    /// Lists the people whom the viewer has blocked or muted.
    pub async fn hidden_people(&self, viewer: &Viewer, assoc: Assoc) -> Result<Vec<Arc<Stored<User>>>> {
        let me = viewer.require()?;
        let edges = self.storage.range(assoc, me.id(), Range::first(limits::PAGE_SIZE_MAX)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        Ok(self.objects::<User>(&ids).await?.into_iter().flatten().filter(|user| user.active).collect())
    }

    /// Changes the viewer's profile and settings.
    pub async fn edit_profile(&self, viewer: &Viewer, edit: ProfileEdit) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        let mut data = stored.data.clone();
        if let Some(name) = edit.name {
            data.name = check_name("name", "The name", &name, limits::NAME_CHARS_MAX)?;
        }
        if let Some(about) = edit.about {
            data.about = check_text("about", "The text about you", &about, limits::ABOUT_CHARS_MAX)?;
        }
        if let Some(website) = edit.website {
            data.website = check_link("website", &website)?;
        }
        data.settings = edit.settings.unwrap_or(data.settings);
        data.settings.home_order = edit.home_order.unwrap_or(data.settings.home_order);
        if let Some(username) = edit.username {
            data.username = check_username(&username)?;
        }
        let renamed = data.username != stored.data.username;
        if renamed {
            self.claim_names(me, &data.username, "").await?;
        }
        let written = self.write_user(viewer, &stored, data.clone()).await;
        if renamed {
            let (won, lost) =
                if written.is_ok() { (&data.username, &stored.data.username) } else { (&stored.data.username, &data.username) };
            self.confirm_names(me, won, "").await?;
            self.release_name(model::NameKind::Username, lost, me).await?;
        }
        written
    }

    async fn write_user(&self, viewer: &Viewer, before: &Stored<User>, data: User) -> Result<()> {
        if data == before.data {
            return Ok(());
        }
        let mut batch = Batch::on(before.id.shard());
        // The index has both names on each pin and board.
        let named = (&data.username, &data.name) != (&before.data.username, &before.data.name);
        let (request, details) = (viewer.request_id.clone(), json!({ "pins_affected": named }));
        let event = self.event_with(EventKind::UserChanged, viewer.id(), request, vec![before.id], details);
        batch.update(before.id, before.version, &data).emit(event);
        self.commit(batch).await.map(drop)
    }

    /// Changes the viewer's e-mail address.
    pub async fn change_email(&self, viewer: &Viewer, password: &str, email: &str) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        if !self.check_password(password, &stored.data.password_hash).await? {
            return Err(Error::invalid("password", "The password is wrong."));
        }
        let email = check_email(email)?;
        if email == stored.data.email {
            return Ok(());
        }
        let taken = self.name(model::NameKind::Email, &email).await?.is_some_and(|name| name.id != me.id());
        if taken {
            return Err(Error::invalid("email", "There is another account with this e-mail address."));
        }
        let shard = storage::name_shard(model::NameKind::Email, &email);
        let mut claim = Batch::on(shard);
        claim.claim(model::NameKind::Email, &email, me.id()).confirm(model::NameKind::Email, &email, me.id());
        self.commit(claim).await?;
        let old = stored.data.email.clone();
        let text =
            format!("The e-mail address of your account was changed to {email}. If that was not you, write to the admin of this site.");
        let notice = jobs::SendMail::new(&stored, "Your e-mail address was changed", text);
        self.write_user(viewer, &stored, User { email, ..stored.data.clone() }).await?;
        self.release_name(model::NameKind::Email, &old, me).await?;
        self.enqueue(notice).await
    }

    /// Sets or (`None`) removes the viewer's profile picture.
    pub async fn set_profile_picture(&self, viewer: &Viewer, bytes: Option<Bytes>) -> Result<()> {
        let me = viewer.require()?;
        let held = match bytes {
            Some(bytes) => Some(self.store_picture(bytes).await?),
            None => None,
        };
        if let Some(held) = &held {
            self.hold_profile_picture(held, me).await?;
        }
        let stored = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        let old = stored.data.picture.clone();
        let picture = held.as_ref().map(|held| held.picture.clone());
        self.write_user(viewer, &stored, User { picture: picture.clone(), ..stored.data.clone() }).await?;
        if let Some(old) = old.filter(|old| picture.is_none_or(|new| new.hash != old.hash)) {
            self.let_go_of_profile_picture(&old.hash, me).await?;
        }
        Ok(())
    }

    /// Lets go of a profile picture, unless a legal hold stands on its person; its bytes go when nothing else holds it.
    pub(crate) async fn let_go_of_profile_picture(&self, hash: &str, user: UserId) -> Result<()> {
        let Ok(held) = self.picture_by_hash(hash).await else { return Ok(()) };
        match self.keep_profile_picture(user, held.image).await? {
            Purge::Postponed => Ok(()),
            Purge::Done => self.let_go_of_image(user, held.image).await,
        }
    }

    /// Takes a person's hold off a picture that their profile showed.
    pub(crate) async fn let_go_of_image(&self, user: UserId, image: ImageId) -> Result<()> {
        self.mend_edges(&[EdgeWish::new(Assoc::ImageShownByUsers, image, user, None)]).await?;
        self.enqueue_after(jobs::DeletePicture { image }, self.settings.picture_grace_ms).await
    }

    /// Hands out all that is kept of the viewer, as JSON: account, boards, pins, likes, comments, follows.
    pub async fn export_account(&self, viewer: &Viewer) -> Result<serde_json::Value> {
        let me = viewer.require()?;
        let user = self.fresh::<User>(me).await?.ok_or(Error::NotFound(What::User))?;
        let mut account = serde_json::to_value(&user.data)?;
        for secret in ["password_hash", "password_reset"] {
            account.as_object_mut().map(|fields| fields.remove(secret));
        }
        let mut export = json!({ "account": account });
        for assoc in EXPORTED {
            let mut ends = Vec::new();
            let mut after = None;
            loop {
                let edges = self.storage.range(assoc, me.id(), Range { after, limit: 1_000, order: Order::Descending }).await?;
                let Some(last) = edges.last() else { break };
                after = Some((last.sequence, last.to));
                let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
                ends.extend(self.exported(assoc, &ids).await?);
            }
            export[assoc.table()] = ends.into();
        }
        Ok(export)
    }

    async fn exported(&self, assoc: Assoc, ids: &[Id]) -> Result<Vec<serde_json::Value>> {
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            let data = match assoc {
                Assoc::UserHasPins | Assoc::UserTrashesPins => self.fresh::<model::Pin>(*id).await?.map(|s| serde_json::to_value(s.data)),
                Assoc::UserHasBoards => self.fresh::<model::Board>(*id).await?.map(|s| serde_json::to_value(s.data)),
                Assoc::UserWritesComments => self.fresh::<model::Comment>(*id).await?.map(|s| serde_json::to_value(s.data)),
                _ => None,
            };
            out.push(match data {
                Some(data) => json!({ "id": id, "data": data? }),
                None => json!({ "id": id }),
            });
        }
        Ok(out)
    }
}

const EXPORTED: [Assoc; 9] = [
    Assoc::UserHasBoards,
    Assoc::UserHasPins,
    Assoc::UserTrashesPins,
    Assoc::UserLikesPins,
    Assoc::UserWritesComments,
    Assoc::UserFollowsUsers,
    Assoc::UserFollowsBoards,
    Assoc::UserFollowsTopics,
    Assoc::UserBlocksUsers,
];
