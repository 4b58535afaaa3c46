//! Takedowns: a pin or a comment disappears for everybody, its owner is told why, and may appeal once.
//!
//! ```text
//! take_down ─▶ in force ─▶ appeal (the owner) ─▶ decide_takedown (an admin) ─▶ upheld
//!     │            └──────────────┴───────────────────────┴────────────────▶ reversed: it shows again
//!     └─ one batch on the subject's shard: hidden + record + audit + event ─▶ follow_up: notice and mail to the owner
//! ```
//!
//! A pin is hidden by `Pin::hidden`, a comment by its soft delete. Only the owner and admins see a record, and of a pin on a secret
//! board admins see no more than its id.

use std::sync::Arc;

use model::legal::{Appeal, Decided, TakedownReason, TakedownState};
use model::limits::{APPEAL_CHARS_MAX, LEGAL_NOTE_CHARS_MAX, LEGAL_REFERENCE_CHARS_MAX, check_text};
use model::object::{NotificationKind, Privacy, ReportReason, SCHEMA_VERSION};
use model::{
    Assoc, Board, Comment, CommentId, Event, EventKind, Id, Kind, Pin, PinId, ReportId, Stored, Takedown, TakedownId, User, UserId,
};
use serde_json::json;
use storage::{Order, Range};

use crate::admin::site_id;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::holds::required_text;
use crate::hydrate::{Page, PageRequest, lists, page_of};
use crate::jobs;
use crate::notifications::Notice;
use crate::plan::Plan;
use crate::viewer::{Viewer, may_see_board};

/// A takedown that is to be made.
#[derive(Clone, Debug)]
pub struct NewTakedown {
    /// A pin or a comment.
    pub subject: Id,
    pub reason: TakedownReason,
    /// What the owner is told besides; may be empty.
    pub note: String,
    /// Who complained, in which letter; only admins see it; may be empty.
    pub complainant: String,
    pub report: Option<ReportId>,
}

impl NewTakedown {
    pub fn new(subject: Id, reason: TakedownReason) -> NewTakedown {
        NewTakedown { subject, reason, note: String::new(), complainant: String::new(), report: None }
    }
}

/// A takedown with what it is about, as far as the viewer may know.
#[derive(Clone, Debug)]
pub struct TakedownView {
    pub takedown: Arc<Stored<Takedown>>,
    pub owner: Option<Arc<Stored<User>>>,
    pub label: String,
    pub link: String,
    /// The pin, if it is there and the viewer may see what it shows.
    pub pin: Option<Arc<Stored<Pin>>>,
}

/// Records read at once while looking for those of one state.
const READ_STEP: usize = 200;
/// Characters of a comment that name it.
const QUOTE_CHARS: usize = 80;

/// Returns why something that was reported for this is taken down.
pub fn reason_of_report(reason: ReportReason) -> TakedownReason {
    match reason {
        ReportReason::Copyright => TakedownReason::Copyright,
        ReportReason::Privacy => TakedownReason::Privacy,
        ReportReason::Other => TakedownReason::Other,
        _ => TakedownReason::Rules,
    }
}

impl App {
    /// Takes a pin or a comment down. A Conflict when it is down already.
    pub async fn take_down(&self, viewer: &Viewer, new: NewTakedown) -> Result<TakedownId> {
        let by = viewer.require_privilege()?;
        let note = check_text("note", "The note", &new.note, LEGAL_NOTE_CHARS_MAX)?;
        let complainant = check_text("complainant", "The complainant's reference", &new.complainant, LEGAL_REFERENCE_CHARS_MAX)?;
        let owner = self.owner_to_tell(new.subject).await?;
        let (id, now): (TakedownId, _) = (self.new_id(new.subject.shard(), Kind::Takedown).await?, self.now());
        // The list's edge goes first: one that leads nowhere is skipped, a record that no list shows would be forgotten.
        self.mend_edges(&[EdgeWish::new(Assoc::SiteHasTakedowns, site_id(), id, Some(now.0))]).await?;
        let mut plan = Plan::decided_on(new.subject.shard());
        self.hide(&mut plan, viewer, new.subject).await?;
        let takedown = Takedown {
            v: SCHEMA_VERSION,
            subject: new.subject,
            owner,
            reason: new.reason,
            note,
            complainant,
            report: new.report,
            by,
            at: now,
            state: TakedownState::InForce,
            appeal: None,
            decision: None,
        };
        let subjects = vec![id.id(), new.subject, owner.id()];
        plan.decision()
            .create(id, &takedown)
            .audit(by, EventKind::TakedownMade.as_str(), subjects.clone(), json!({ "reason": new.reason }))
            .emit(self.event(EventKind::TakedownMade, viewer, subjects));
        if new.subject.kind() == Kind::Pin {
            plan.decision().map(Assoc::PinHasTakedowns, new.subject, id, now.0);
        }
        plan.wish(&[EdgeWish::new(Assoc::UserHasTakedowns, owner, id, Some(now.0))]);
        self.carry_out(plan).await?;
        Ok(id)
    }

    async fn owner_to_tell(&self, subject: Id) -> Result<UserId> {
        match subject.kind() {
            Kind::Pin => Ok(self.fresh::<Pin>(subject).await?.ok_or(Error::NotFound(What::Pin))?.data.owner),
            Kind::Comment => Ok(self.fresh::<Comment>(subject).await?.ok_or(Error::NotFound(What::Comment))?.data.author),
            other => Err(Error::invalid("subject", format!("A pin or a comment can be taken down; {subject} is a {other:?}."))),
        }
    }

    /// Adds to a plan what hides its subject.
    async fn hide(&self, plan: &mut Plan, viewer: &Viewer, subject: Id) -> Result<()> {
        if let Ok(pin) = PinId::try_from(subject) {
            let stored = self.fresh::<Pin>(pin).await?.ok_or(Error::NotFound(What::Pin))?;
            if stored.data.hidden {
                return Err(Error::Conflict("This pin is taken down already.".into()));
            }
            let board = stored.data.board.id();
            plan.decision()
                .update(pin, stored.version, &Pin { hidden: true, ..stored.data })
                .emit(self.event(EventKind::PinHidden, viewer, vec![pin.id()]))
                .emit(self.event(EventKind::PinChanged, viewer, vec![pin.id(), board]));
            return Ok(());
        }
        let comment = CommentId::try_from(subject).map_err(Error::internal)?;
        let stored = self.fresh::<Comment>(comment).await?.ok_or(Error::NotFound(What::Comment))?;
        let pin = stored.data.pin.id();
        plan.decision()
            .require(storage::Condition::Version(comment.id(), stored.version))
            .delete(comment)
            .unmap(Assoc::PinHasComments, pin, comment)
            .emit(self.event(EventKind::CommentDeleted, viewer, vec![comment.id(), pin]));
        if let Some(parent) = stored.data.parent {
            plan.decision().unmap(Assoc::CommentHasReplies, parent, comment);
        }
        Ok(())
    }

    /// Adds to a plan what shows its subject again, if it is still there. The replies to a comment don't come back.
    async fn show(&self, plan: &mut Plan, viewer: &Viewer, subject: Id) -> Result<()> {
        if let Ok(pin) = PinId::try_from(subject) {
            if let Some(stored) = self.fresh::<Pin>(pin).await?.filter(|stored| stored.data.hidden) {
                let board = stored.data.board.id();
                plan.decision()
                    .update(pin, stored.version, &Pin { hidden: false, ..stored.data })
                    .emit(self.event(EventKind::PinShown, viewer, vec![pin.id()]))
                    .emit(self.event(EventKind::PinChanged, viewer, vec![pin.id(), board]));
            }
            return Ok(());
        }
        let Some(stored) = self.storage.get::<Comment>(subject).await?.filter(|stored| !stored.active) else { return Ok(()) };
        let parent = match stored.data.parent {
            Some(parent) => match self.fresh::<Comment>(parent).await? {
                Some(_) => Some(parent),
                // Nothing would show a reply to a comment that is gone.
                None => return Ok(()),
            },
            None => None,
        };
        plan.decision().restore(subject).map(Assoc::PinHasComments, stored.data.pin, subject, stored.data.at.0);
        if let Some(parent) = parent {
            plan.decision().map(Assoc::CommentHasReplies, parent, subject, stored.data.at.0);
        }
        Ok(())
    }

    /// Says something against a takedown of one's own pin or comment, once.
    pub async fn appeal(&self, viewer: &Viewer, takedown: TakedownId, text: &str) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<Takedown>(takedown).await?.filter(|stored| stored.data.owner == me);
        let stored = stored.ok_or(Error::NotFound(What::Takedown))?;
        let text = required_text("text", "The appeal", text, APPEAL_CHARS_MAX)?;
        if !stored.data.state.may_become(TakedownState::Appealed) {
            return Err(Error::Conflict(match stored.data.state {
                TakedownState::Reversed => "This was taken back already: it shows again.".into(),
                _ => "You have appealed against this already. One appeal is decided once.".into(),
            }));
        }
        let now = self.now();
        let appealed = Takedown { state: TakedownState::Appealed, appeal: Some(Appeal { text, at: now }), ..stored.data };
        let subjects = vec![takedown.id(), appealed.subject, me.id()];
        let mut plan = Plan::decided_on(takedown.shard());
        plan.decision()
            .update(takedown, stored.version, &appealed)
            .audit(Some(me), EventKind::TakedownAppealed.as_str(), subjects.clone(), json!({}))
            .emit(self.event(EventKind::TakedownAppealed, viewer, subjects));
        plan.wish(&[EdgeWish::new(Assoc::SiteHasAppeals, site_id(), takedown, Some(now.0))]);
        self.carry_out(plan).await.map(drop)
    }

    /// Upholds a takedown after an appeal, or reverses it, with an appeal or without. The owner is told.
    pub async fn decide_takedown(&self, viewer: &Viewer, takedown: TakedownId, state: TakedownState, note: &str) -> Result<()> {
        let by = viewer.require_privilege()?;
        let stored = self.fresh::<Takedown>(takedown).await?.ok_or(Error::NotFound(What::Takedown))?;
        let note = check_text("note", "The note", note, LEGAL_NOTE_CHARS_MAX)?;
        let is_end = matches!(state, TakedownState::Upheld | TakedownState::Reversed);
        if !is_end || !stored.data.state.may_become(state) {
            return Err(Error::Conflict(match stored.data.state {
                TakedownState::InForce => "Nobody has appealed against this takedown. It stands, unless you reverse it.".into(),
                _ => format!("This takedown is {} already.", stored.data.state.as_str()),
            }));
        }
        let subject = stored.data.subject;
        let subjects = vec![takedown.id(), subject, stored.data.owner.id()];
        let decided = Takedown { state, decision: Some(Decided { by, at: self.now(), note }), ..stored.data };
        let mut plan = Plan::decided_on(takedown.shard());
        plan.decision()
            .update(takedown, stored.version, &decided)
            .audit(by, EventKind::TakedownDecided.as_str(), subjects.clone(), json!({ "state": state }))
            .emit(self.event(EventKind::TakedownDecided, viewer, subjects));
        if state == TakedownState::Reversed {
            self.show(&mut plan, viewer, subject).await?;
        }
        plan.wish(&[EdgeWish::new(Assoc::SiteHasAppeals, site_id(), takedown, None)]);
        self.carry_out(plan).await.map(drop)
    }

    /// Lists the takedowns of the viewer's own pins and comments, the newest first.
    pub async fn own_takedowns(&self, viewer: &Viewer, request: &PageRequest) -> Result<Page<TakedownView>> {
        let me = viewer.require()?;
        self.takedowns_along(viewer, Assoc::UserHasTakedowns, me.id(), None, request).await
    }

    /// Lists takedowns for admins, the newest first: those of one state, or all.
    pub async fn takedowns(&self, viewer: &Viewer, state: Option<TakedownState>, request: &PageRequest) -> Result<Page<TakedownView>> {
        viewer.require_privilege()?;
        let assoc = if state == Some(TakedownState::Appealed) { Assoc::SiteHasAppeals } else { Assoc::SiteHasTakedowns };
        self.takedowns_along(viewer, assoc, site_id().id(), state, request).await
    }

    /// Counts the appeals that wait for a decision.
    pub async fn open_appeals(&self) -> Result<u64> {
        Ok(self.storage.count(Assoc::SiteHasAppeals, site_id()).await?)
    }

    /// Reads the newest takedown of a pin for its owner or an admin; others see none.
    pub async fn takedown_of_pin(&self, viewer: &Viewer, pin: &Stored<Pin>) -> Result<Option<Arc<Stored<Takedown>>>> {
        if !viewer.is(pin.data.owner) && !viewer.is_admin() {
            return Ok(None);
        }
        match self.storage.range(Assoc::PinHasTakedowns, pin.id, Range::first(1)).await?.first() {
            Some(edge) => self.object::<Takedown>(edge.to).await,
            None => Ok(None),
        }
    }

    async fn takedowns_along(
        &self,
        viewer: &Viewer,
        assoc: Assoc,
        from: Id,
        state: Option<TakedownState>,
        request: &PageRequest,
    ) -> Result<Page<TakedownView>> {
        let (size, list) = (request.size()?, lists::of_assoc(assoc));
        let mut after = request.after_edge(list)?;
        let mut items = Vec::new();
        loop {
            let edges = self.storage.range(assoc, from, Range { after, limit: READ_STEP, order: Order::Descending }).await?;
            let ended = edges.len() < READ_STEP;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            for (edge, takedown) in edges.into_iter().zip(self.objects::<Takedown>(&ids).await?) {
                if let Some(takedown) = takedown.filter(|takedown| state.is_none_or(|state| takedown.data.state == state)) {
                    items.push((edge, self.takedown_view(viewer, takedown).await?));
                }
                if items.len() > size {
                    break;
                }
            }
            if ended || items.len() > size {
                return Ok(page_of(items, size, list));
            }
        }
    }

    async fn takedown_view(&self, viewer: &Viewer, takedown: Arc<Stored<Takedown>>) -> Result<TakedownView> {
        let data = &takedown.data;
        let owner = self.object::<User>(data.owner).await?.filter(|owner| !owner.data.deleting);
        let (label, link) = self.legal_label(viewer, data.subject).await?;
        let pin = match self.object::<Pin>(data.subject).await?.filter(|pin| pin.active) {
            Some(pin) if self.may_know_pin(viewer, &pin).await? => Some(pin),
            _ => None,
        };
        Ok(TakedownView { owner, label, link, pin, takedown })
    }

    /// Says whether the viewer, the owner or an admin, may know what a pin shows: a secret board's pins are no admin's business.
    async fn may_know_pin(&self, viewer: &Viewer, pin: &Stored<Pin>) -> Result<bool> {
        let board = self.storage.get::<Board>(pin.data.board).await?;
        let secret = board.as_ref().is_none_or(|board| board.data.privacy == Privacy::Secret);
        Ok(viewer.is(pin.data.owner) || !secret || board.is_some_and(|board| may_see_board(&board, viewer)))
    }

    /// Finds what somebody names by hand: a person by user name, or a pin by its number.
    pub async fn legal_subject(&self, text: &str) -> Result<Id> {
        let text = text.trim();
        if let Ok(id) = text.parse::<Id>() {
            return Ok(id);
        }
        let name = self.name(model::NameKind::Username, &text.trim_start_matches('@').to_lowercase()).await?;
        let missing = || Error::invalid("subject", format!("There is no person '{text}'. Give a user name, or the number of a pin."));
        name.map(|name| name.id).ok_or_else(missing)
    }

    /// Says in words what a legal record is about and where it is, without telling of secret boards.
    pub async fn legal_label(&self, viewer: &Viewer, subject: Id) -> Result<(String, String)> {
        let pin = match subject.kind() {
            Kind::Pin => self.object::<Pin>(subject).await?,
            Kind::Comment => {
                let comment = self.object::<Comment>(subject).await?;
                let Some(comment) = comment else { return Ok(("A comment that is gone".into(), String::new())) };
                let own = viewer.is(comment.data.author);
                match self.object::<Pin>(comment.data.pin).await? {
                    Some(pin) if own || self.may_know_pin(viewer, &pin).await? => {
                        let quote: String = comment.data.text.chars().take(QUOTE_CHARS).collect();
                        return Ok((format!("Comment “{quote}”"), format!("/pin/{}#comment-{subject}", comment.data.pin)));
                    }
                    _ => return Ok((format!("Comment {subject}"), String::new())),
                }
            }
            _ => return self.describe(subject).await,
        };
        match pin.filter(|pin| pin.active) {
            Some(pin) if self.may_know_pin(viewer, &pin).await? => self.describe(subject).await,
            Some(_) => Ok((format!("Pin {subject}, on a secret board"), String::new())),
            None => Ok((format!("Pin {subject}, which is deleted"), String::new())),
        }
    }

    /// What follows from a takedown, an appeal and a decision: edges elsewhere, the owner's notice and mail. Safe to repeat.
    pub(crate) async fn after_takedown(&self, event: &Event) -> Result<()> {
        let Some(id) = event.subject::<TakedownId>(0) else { return Ok(()) };
        let Some(stored) = self.storage.get::<Takedown>(id).await? else { return Ok(()) };
        let data = &stored.data;
        let appealed_at = data.appeal.as_ref().filter(|_| data.state == TakedownState::Appealed).map(|appeal| appeal.at.0);
        let mut wishes = vec![EdgeWish::new(Assoc::SiteHasAppeals, site_id(), id, appealed_at)];
        let owner = self.fresh::<User>(data.owner).await?.filter(|owner| !owner.data.deleting);
        if owner.is_some() {
            wishes.push(EdgeWish::new(Assoc::UserHasTakedowns, data.owner, id, Some(data.at.0)));
        }
        self.mend_edges(&wishes).await?;
        let Some(owner) = owner else { return Ok(()) };
        let kind = match (event.kind, data.state) {
            (EventKind::TakedownMade, _) => NotificationKind::Moderated,
            (EventKind::TakedownDecided, TakedownState::Upheld) => NotificationKind::TakedownUpheld,
            (EventKind::TakedownDecided, TakedownState::Reversed) => NotificationKind::TakedownReversed,
            _ => return Ok(()),
        };
        // The notice speaks for the site: it names no admin, and nobody can mute it.
        let subject = if data.subject.kind() == Kind::Pin { data.subject } else { data.owner.id() };
        self.tell(Notice { to: data.owner, kind, actor: data.owner, subject, comment: None }, event).await?;
        let (title, text) = letter(kind, data, &self.settings.base_url);
        self.enqueue(jobs::SendMail::new(&owner, &title, text).once(format!("takedown/{}", event.id))).await
    }
}

/// Writes what the owner is told by mail. It says nothing of the pin but its address: mail is read in many places.
fn letter(kind: NotificationKind, takedown: &Takedown, base_url: &str) -> (String, String) {
    let (noun, place) = match takedown.subject.kind() {
        Kind::Comment => ("comment", format!("{base_url}/takedowns")),
        _ => ("pin", format!("{base_url}/pin/{}", takedown.subject)),
    };
    let said = |note: &str| if note.is_empty() { String::new() } else { format!("\n\nWhat was said about it:\n{note}") };
    match kind {
        NotificationKind::TakedownUpheld => (
            "Your appeal was refused".to_owned(),
            format!(
                "Your appeal was looked at, and the {noun} stays taken down. This is final.{}\n\nAll about it: {base_url}/takedowns",
                said(takedown.decision.as_ref().map_or("", |decision| &decision.note))
            ),
        ),
        NotificationKind::TakedownReversed => (
            format!("Your {noun} shows again"),
            format!(
                "The takedown of your {noun} was taken back. It shows again as before.{}\n\n{place}",
                said(takedown.decision.as_ref().map_or("", |decision| &decision.note))
            ),
        ),
        _ => (
            format!("Your {noun} was taken down"),
            format!(
                "Your {noun} was taken down because {}.{}\n\n{place}\n\nYou can appeal once. Say why it should show again here:\n{base_url}/takedowns",
                takedown.reason.because(),
                said(&takedown.note)
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Shard, Timestamp};

    fn takedown(subject: Id) -> Takedown {
        Takedown {
            v: SCHEMA_VERSION,
            subject,
            owner: UserId::new(Shard(1), 2),
            reason: TakedownReason::Copyright,
            note: "It is on page 7.".into(),
            complainant: "letter 12".into(),
            report: None,
            by: None,
            at: Timestamp(0),
            state: TakedownState::InForce,
            appeal: None,
            decision: None,
        }
    }

    #[test]
    fn letters_say_why_and_what_to_do() {
        let pin = PinId::new(Shard(1), 3).id();
        let (title, text) = letter(NotificationKind::Moderated, &takedown(pin), "http://pins.example");
        assert_eq!(title, "Your pin was taken down");
        for part in ["uses their work without permission", "It is on page 7.", "http://pins.example/takedowns", &format!("/pin/{pin}")] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("letter 12"), "who complained is not said");
        let mut decided = takedown(CommentId::new(Shard(1), 3).id());
        decided.decision = Some(Decided { by: None, at: Timestamp(1), note: "You were right.".into() });
        let (title, text) = letter(NotificationKind::TakedownReversed, &decided, "http://pins.example");
        assert!(title.contains("comment shows again") && text.contains("You were right."), "{title}: {text}");
    }

    #[test]
    fn reports_become_takedowns_of_a_reason() {
        assert_eq!(reason_of_report(ReportReason::Privacy), TakedownReason::Privacy);
        assert_eq!(reason_of_report(ReportReason::Spam), TakedownReason::Rules);
    }
}
