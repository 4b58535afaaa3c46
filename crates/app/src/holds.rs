//! Legal holds: while one stands on a person or a pin, nothing of it is purged.
//!
//! ```text
//! hold     batch on the subject's shard: record + edge user_has_holds / pin_has_holds
//! purge    batch on the same shard: requires that there is no such edge; so of a hold and a purge at the same moment one comes first
//!            held ─▶ hidden softly, noted in site_postpones_pins / site_postpones_users
//! release  edge gone ─▶ event ─▶ job ResumePurges ─▶ what was noted is purged; the sweep asks again every few minutes
//! ```
//!
//! Invariants
//! - A person's hold covers their pins with all that hangs on them, comments, boards, sessions, tokens, profile pictures and the
//!   account. A pin's hold covers the pin, its picture and its comments.
//! - A picture's bytes stay as long as a pin holds on to them, and a pin lets go only after its own row is purged.
//! - Neither the owner nor anybody else who is no admin can tell that there is a hold: what they delete is gone for them as ever.
//! - What lies on another's shard than the hold (a comment on somebody's pin) is purged right behind a look at the author's shard.

use std::sync::Arc;

use cache::Stale;
use model::legal::Release;
use model::limits::{LEGAL_NOTE_CHARS_MAX, LEGAL_REFERENCE_CHARS_MAX, check_text};
use model::object::SCHEMA_VERSION;
use model::{Assoc, EventKind, Id, ImageId, Kind, LegalHold, LegalHoldId, Pin, PinId, Shard, Stored, User, UserId};
use serde_json::json;
use storage::{Batch, Condition, Order, Range};

use crate::admin::site_id;
use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, lists, page_of};
use crate::viewer::Viewer;

/// What became of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Purge {
    Done,
    /// A legal hold stands; it is hidden from everybody and waits.
    Postponed,
}

/// Whose holds stop a purge. All of it lives on one shard.
#[derive(Clone, Debug)]
pub struct Guard {
    shard: Shard,
    counts: Vec<(Assoc, Id)>,
}

impl Guard {
    /// Guards what is a person's.
    pub fn of(user: UserId) -> Guard {
        Guard { shard: user.shard(), counts: vec![(Assoc::UserHasHolds, user.id())] }
    }

    /// Guards a pin and what hangs on it. Pins live on their owner's shard; without its row nobody knows the owner.
    pub fn of_pin(pin: PinId, owner: Option<UserId>) -> Guard {
        let owner = owner.filter(|owner| owner.shard() == pin.shard()).map(|owner| (Assoc::UserHasHolds, owner.id()));
        Guard { shard: pin.shard(), counts: owner.into_iter().chain([(Assoc::PinHasHolds, pin.id())]).collect() }
    }
}

/// A legal hold that is to be placed.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// A person or a pin.
    pub subject: Id,
    pub reason: String,
    /// The case's number at whoever asks for it; may be empty.
    pub reference: String,
}

/// A legal hold with what it is about.
#[derive(Clone, Debug)]
pub struct HoldView {
    pub hold: Arc<Stored<LegalHold>>,
    pub label: String,
    pub link: String,
}

/// Tries to place a hold on a subject that others change at the same time.
const PLACE_TRIES_MAX: u32 = 5;
/// Holds, waiting purges and rows of a shard that are read at once.
const STEP: usize = 200;
/// Legal holds on one person or pin at once; more cases than this are one office's filing, not a hold each.
const HOLDS_PER_SUBJECT_MAX: u64 = 100;

fn held_by(subject: Id) -> Result<Assoc> {
    match subject.kind() {
        Kind::User => Ok(Assoc::UserHasHolds),
        Kind::Pin => Ok(Assoc::PinHasHolds),
        other => Err(Error::invalid("subject", format!("A legal hold is on a person or a pin; {subject} is a {other:?}."))),
    }
}

/// Checks a sentence that has to be there.
pub(crate) fn required_text(field: &'static str, label: &str, text: &str, max: usize) -> Result<String> {
    let text = check_text(field, label, text, max)?;
    if text.is_empty() {
        return Err(Error::invalid(field, format!("{label} is empty; say it in a sentence.")));
    }
    Ok(text)
}

impl App {
    /// Places a legal hold. From its commit on nothing of the subject is purged.
    pub async fn place_hold(&self, viewer: &Viewer, new: NewHold) -> Result<LegalHoldId> {
        let by = viewer.require_privilege()?;
        let assoc = held_by(new.subject)?;
        let reason = required_text("reason", "The reason", &new.reason, LEGAL_NOTE_CHARS_MAX)?;
        let reference = check_text("reference", "The reference", &new.reference, LEGAL_REFERENCE_CHARS_MAX)?;
        let (id, now): (LegalHoldId, _) = (self.new_id(new.subject.shard(), Kind::LegalHold).await?, self.now());
        let hold = LegalHold { v: SCHEMA_VERSION, subject: new.subject, reason, reference, placed_by: by, placed_at: now, release: None };
        // The list's edge goes first: one that leads nowhere is skipped, a hold that no list shows would be forgotten.
        self.mend_edges(&[EdgeWish::new(Assoc::SiteHasHolds, site_id(), id, Some(now.0))]).await?;
        for attempt in 1..=PLACE_TRIES_MAX {
            let mut batch = Batch::on(new.subject.shard());
            batch
                // That the row is there must be true inside the transaction, in the trash or not.
                .require(Condition::Version(new.subject, self.version_of(new.subject).await?))
                .require(Condition::CountBelow(assoc, new.subject, HOLDS_PER_SUBJECT_MAX))
                .create(id, &hold)
                .map(assoc, new.subject, id, now.0)
                .audit(by, EventKind::LegalHoldPlaced.as_str(), vec![new.subject, id.id()], json!({}))
                .emit(self.event(EventKind::LegalHoldPlaced, viewer, vec![id.id(), new.subject]));
            match self.commit(batch).await {
                Ok(_) => break,
                Err(Error::Conflict(_)) if attempt < PLACE_TRIES_MAX => {}
                Err(error) => return Err(error),
            }
        }
        Ok(id)
    }

    async fn version_of(&self, subject: Id) -> Result<u64> {
        Ok(match subject.kind() {
            Kind::User => self.storage.get::<User>(subject).await?.ok_or(Error::NotFound(What::User))?.version,
            _ => self.storage.get::<Pin>(subject).await?.ok_or(Error::NotFound(What::Pin))?.version,
        })
    }

    /// Ends a legal hold. What waited for it is purged soon after, unless another hold stands.
    pub async fn release_hold(&self, viewer: &Viewer, hold: LegalHoldId, reason: &str) -> Result<()> {
        let by = viewer.require_privilege()?;
        let reason = required_text("reason", "The reason", reason, LEGAL_NOTE_CHARS_MAX)?;
        let stored = self.fresh::<LegalHold>(hold).await?.ok_or(Error::NotFound(What::LegalHold))?;
        if stored.data.release.is_some() {
            return Err(Error::Conflict("This legal hold was released before.".into()));
        }
        let subject = stored.data.subject;
        let released = LegalHold { release: Some(Release { by, at: self.now(), reason }), ..stored.data };
        let mut batch = Batch::on(hold.shard());
        batch
            .update(hold, stored.version, &released)
            .unmap(held_by(subject)?, subject, hold)
            .audit(by, EventKind::LegalHoldReleased.as_str(), vec![subject, hold.id()], json!({}))
            .emit(self.event(EventKind::LegalHoldReleased, viewer, vec![hold.id(), subject]));
        self.commit(batch).await.map(drop)
    }

    /// Lists legal holds for admins, the newest first: those in force, or all that ever were.
    pub async fn holds(&self, viewer: &Viewer, all: bool, request: &PageRequest) -> Result<Page<HoldView>> {
        viewer.require_privilege()?;
        let (size, assoc) = (request.size()?, Assoc::SiteHasHolds);
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let mut items = Vec::new();
        loop {
            let edges = self.storage.range(assoc, site_id(), Range { after, limit: STEP, order: Order::Descending }).await?;
            let ended = edges.len() < STEP;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            for (edge, hold) in edges.into_iter().zip(self.objects::<LegalHold>(&ids).await?) {
                let Some(hold) = hold.filter(|hold| all || hold.data.release.is_none()) else { continue };
                let (label, link) = self.legal_label(viewer, hold.data.subject).await?;
                items.push((edge, HoldView { hold, label, link }));
                if items.len() > size {
                    break;
                }
            }
            if ended || items.len() > size {
                return Ok(page_of(items, size, lists::of_assoc(assoc)));
            }
        }
    }

    /// Lists the legal holds in force on a person or on a pin of theirs: what stands in the way of erasing them.
    pub async fn holds_on(&self, user: UserId) -> Result<Vec<Stored<LegalHold>>> {
        let mut standing = Vec::new();
        for hold in self.rows_of_shard::<LegalHold>(user.shard(), |hold| hold.release.is_none()).await? {
            let concerns = match PinId::try_from(hold.data.subject) {
                Ok(pin) => self.storage.get::<Pin>(pin).await?.is_some_and(|pin| pin.data.owner == user),
                Err(_) => hold.data.subject == user.id(),
            };
            standing.extend(concerns.then_some(hold));
        }
        Ok(standing)
    }

    /// Writes a batch that purges, unless a legal hold stands on what is guarded: whether one does is asked inside the transaction.
    /// Without an operation it only asks.
    pub(crate) async fn commit_unheld(&self, mut batch: Batch, guard: &Guard) -> Result<Purge> {
        debug_assert_eq!(batch.shard(), guard.shard, "a guard must be asked in its own shard's transaction");
        for (assoc, from) in &guard.counts {
            batch.require(Condition::CountIs(*assoc, *from, 0));
        }
        match self.commit(batch).await {
            Ok(_) => Ok(Purge::Done),
            Err(error @ Error::Conflict(_)) => match self.storage.counts(&guard.counts).await?.iter().any(|count| *count > 0) {
                true => Ok(Purge::Postponed),
                // Something else was in its way, or the hold was released this moment: whoever asked tries again.
                false => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Says whether what is guarded may be purged now.
    pub(crate) async fn ask_unheld(&self, guard: &Guard) -> Result<Purge> {
        self.commit_unheld(Batch::on(guard.shard), guard).await
    }

    /// Purges an object of a person that nobody else sees, or, while a hold stands, only hides it until the release.
    pub(crate) async fn purge_or_keep(&self, user: UserId, mut batch: Batch, id: Id) -> Result<()> {
        let mut kept = batch.clone();
        batch.purge(id);
        if self.commit_unheld(batch, &Guard::of(user)).await? == Purge::Postponed {
            kept.delete(id);
            self.commit(kept).await?;
            self.note_postponed(Assoc::SitePostponesUsers, user.id()).await?;
            // Released between the two: the job that the release sent may have passed already.
            if self.ask_unheld(&Guard::of(user)).await? == Purge::Done {
                self.purge_kept(user).await?;
            }
        }
        // A purged row has no version of its own any more; no cached copy of it may live.
        self.cache.invalidate_many(vec![Stale::object(id, u64::MAX)]).await;
        Ok(())
    }

    /// Notes that a purge waits, so that whoever releases the hold finds it.
    /// Returns whether it was not noted yet.
    pub(crate) async fn note_postponed(&self, assoc: Assoc, subject: Id) -> Result<bool> {
        let noted = self.mend_edges(&[EdgeWish::new(assoc, site_id(), subject, Some(self.now().0))]).await?;
        metrics::counter!(crate::metrics::PURGES_POSTPONED_TOTAL).increment(noted as u64);
        self.count_postponed().await?;
        Ok(noted > 0)
    }

    pub(crate) async fn forget_postponed(&self, assoc: Assoc, subject: Id) -> Result<()> {
        match self.mend_edges(&[EdgeWish::new(assoc, site_id(), subject, None)]).await? {
            0 => Ok(()),
            _ => self.count_postponed().await.map(drop),
        }
    }

    /// Counts the pins and people whose purge waits for the end of a legal hold, and tells the metric.
    pub async fn count_postponed(&self) -> Result<u64> {
        let lists = [Assoc::SitePostponesPins, Assoc::SitePostponesUsers].map(|assoc| (assoc, site_id().id()));
        let waiting = self.storage.counts(&lists).await?.iter().sum();
        metrics::gauge!(crate::metrics::PURGES_WAITING).set(waiting as f64);
        Ok(waiting)
    }

    /// Lists what waits for the end of a legal hold, from the place `after` on.
    pub(crate) async fn postponed(&self, assoc: Assoc, after: Option<(i64, Id)>) -> Result<Vec<storage::Edge>> {
        Ok(self.storage.range(assoc, site_id(), Range { after, limit: STEP, order: Order::Ascending }).await?)
    }

    /// Reads the rows of a kind on one shard that `keep` picks, deleted ones included. Location is in the id: they are one range of
    /// the table.
    pub(crate) async fn rows_of_shard<T: model::Object>(&self, shard: Shard, keep: impl Fn(&T) -> bool) -> Result<Vec<Stored<T>>> {
        let (mut rows, mut after) = (Vec::new(), Some(Id::new(shard, T::KIND, 0)));
        loop {
            let step = self.storage.scan::<T>(after, STEP).await?;
            after = step.last().map(|row| row.id);
            let ended = step.len() < STEP || after.is_some_and(|last| last.shard() != shard);
            rows.extend(step.into_iter().filter(|row| row.id.shard() == shard && keep(&row.data)));
            if ended {
                return Ok(rows);
            }
        }
    }

    /// Keeps a former profile picture while its person is held. Returns whether it does.
    pub(crate) async fn keep_profile_picture(&self, user: UserId, image: ImageId) -> Result<Purge> {
        if self.ask_unheld(&Guard::of(user)).await? == Purge::Done {
            return Ok(Purge::Done);
        }
        self.mend_edges(&[EdgeWish::new(Assoc::UserKeepsImages, user, image, Some(self.now().0))]).await?;
        self.note_postponed(Assoc::SitePostponesUsers, user.id()).await?;
        Ok(Purge::Postponed)
    }
}
