//! Keeps the follower graph and the feeds equal to storage.
//!
//! The feeds say themselves up to where they are complete: a snapshot of the memory engine holds an offset, Redis a marker. So the
//! consumer starts there. When the feeds say that something got lost meanwhile, it starts again in the same way.
//!
//! ```text
//! restored offset ── none ──▶ clear, everything from storage, complete ─┐
//!        │ some                                                          ▼
//!        └──▶ replay to the log's end as it was ──▶ vouch ──▶ follow, vouch now and then ── behind ──▶ from the top
//! ```
//!
//! What a pin's publishing leaves of a fan-out goes on in jobs; the feeds are vouched for up to the first that has not ended.

use std::sync::Arc;
use std::time::Duration;

use ::jobs::JobId;
use feeds::{Kept, PinFacts, Rest, Target};
use model::{Assoc, BoardId, Event, EventKind, Id, PinId, Stored, Timestamp, Topic, TopicId, UserId};
use parking_lot::Mutex;
use runtime::{Backoff, PartState, Shutdown};

use super::fan_outs::FanOuts;
use crate::compose::App;
use crate::error::Result;
use crate::hydrate::stands;
use crate::viewer::is_listed;

/// Events read at once.
const STEP: usize = 256;
/// How often it is looked whether feeds that are away are back: after the first time, and at most.
const AWAY_LOOK_MIN: Duration = Duration::from_millis(100);
const AWAY_LOOK_MAX: Duration = Duration::from_secs(2);

impl App {
    /// Makes the feeds whole, then follows the log until shutdown and vouches for them a last time.
    pub async fn run_feeds(&self, shutdown: Shutdown) -> Result<()> {
        while !shutdown.is_signalled() {
            match self.follow_log(&shutdown).await {
                Ok(Kept::Whole) => return Ok(()),
                Ok(Kept::Behind) => {
                    metrics::counter!(crate::metrics::FEEDS_LOST_TOTAL).increment(1);
                    tracing::warn!("the feeds have lost something; they are mended from the log, or rebuilt from storage");
                }
                Err(error) => {
                    if !self.were_feeds_away(&shutdown).await {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until the feeds answer, or for shutdown; tells whether they did not answer at once. Feeds elsewhere come and go, and should
    /// not be empty for half a minute because they were away for one.
    async fn were_feeds_away(&self, shutdown: &Shutdown) -> bool {
        let mut backoff = Backoff::new(AWAY_LOOK_MIN, AWAY_LOOK_MAX);
        let mut is_first = true;
        while let Err(error) = self.feeds.restored_offset().await {
            self.health.set("feeds", PartState::Degraded(error.to_string()));
            is_first = false;
            tokio::select! {
                () = shutdown.wait() => return true,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
        if !is_first {
            self.health.set("feeds", PartState::Up);
        }
        !is_first
    }

    /// Ends at shutdown, or when the feeds have lost something.
    async fn follow_log(&self, shutdown: &Shutdown) -> Result<Kept> {
        let mut consumer = self.events.consumer("feeds", Topic::Activity).await?;
        let end = self.events.end(Topic::Activity).await?;
        // What retention has taken from the log can't be replayed.
        let start = self.events.start(Topic::Activity).await?;
        let mut vouched = self.feeds.restored_offset().await?.filter(|offset| *offset >= start - 1);
        match vouched {
            Some(offset) => consumer.seek(offset),
            None => {
                self.rebuild_feeds(end).await?;
                consumer.seek(end);
                vouched = Some(end);
            }
        }
        let mut fan_outs = FanOuts::new();
        let mut vouch_at = runtime::paced(self.feeds.snapshot_every());
        // Until the log has been read to where it ended, what got lost may be missing.
        let mut has_caught_up = consumer.position() >= end;
        loop {
            tokio::select! {
                () = shutdown.wait() => break,
                _ = vouch_at.tick(), if has_caught_up => {
                    if self.vouch(&mut consumer, &mut fan_outs, &mut vouched).await? == Kept::Behind {
                        return Ok(Kept::Behind);
                    }
                }
                records = consumer.next(STEP) => {
                    let records = records?;
                    let last = records.last().map(|record| record.offset);
                    for record in records {
                        let (offset, life) = (record.offset, fan_outs.life);
                        let begun = Mutex::new(Vec::new());
                        let handle = |event| async {
                            let jobs = self.reconcile_feeds_in(life, event).await?;
                            begun.lock().extend(jobs);
                            Ok(())
                        };
                        self.handle_with_patience("feeds", record, &handle).await?;
                        fan_outs.add(offset, begun.into_inner());
                    }
                    if let Some(last) = last {
                        consumer.seek(last);
                    }
                    if !has_caught_up && consumer.position() >= end {
                        has_caught_up = true;
                        vouched = None;
                        vouch_at.reset_immediately();
                    }
                }
            }
        }
        if has_caught_up {
            // What was lost now is found by the next start.
            self.vouch(&mut consumer, &mut fan_outs, &mut vouched).await?;
        }
        Ok(Kept::Whole)
    }

    /// Says up to where the feeds are complete. Engines that write everything for it are asked only when there is something new.
    async fn vouch(&self, consumer: &mut events::Consumer, fan_outs: &mut FanOuts, vouched: &mut Option<i64>) -> Result<Kept> {
        let position = fan_outs.ended_to(&self.jobs, consumer.position()).await?;
        if *vouched == Some(position) && !self.feeds.can_lose() {
            return Ok(Kept::Whole);
        }
        if self.feeds.snapshot(position).await? == Kept::Behind {
            return Ok(Kept::Behind);
        }
        if *vouched != Some(position) {
            consumer.commit(position).await?;
            *vouched = Some(position);
        }
        Ok(Kept::Whole)
    }

    /// Makes the feeds equal to storage for what one event is about. Safe to repeat.
    pub async fn reconcile_feeds(&self, event: Event) -> Result<()> {
        self.reconcile_feeds_in(0, event).await.map(drop)
    }

    /// The same in one of the consumer's lives; returns the jobs that go on with it.
    async fn reconcile_feeds_in(&self, life: u64, event: Event) -> Result<Vec<JobId>> {
        use EventKind as K;
        let target = event.subjects.first().copied();
        match event.kind {
            K::PinCreated | K::PinSaved | K::PinChanged | K::PinMoved | K::PinTrashed | K::PinRestored | K::PinPurged => {
                if let Some(pin) = event.subject::<PinId>(0) {
                    let rests = match event.kind {
                        K::PinCreated | K::PinSaved => self.put_in_feeds(pin, self.pin_at_its_beginning(pin).await?.as_deref()).await?,
                        _ => self.reconcile_pin_in_feeds(pin).await?,
                    };
                    return self.enqueue_rests(rests, &format!("{}/{life:x}", event.id)).await;
                }
            }
            K::BoardCreated | K::BoardChanged | K::BoardDeleted | K::CollaboratorJoined | K::CollaboratorLeft => {
                if let Some(board) = event.subject::<BoardId>(0) {
                    self.try_tell_feeds_of_board(board).await?;
                }
            }
            K::UserFollowed | K::UserUnfollowed => self.reconcile_follow(&event, Assoc::UserFollowsUsers, target).await?,
            K::BoardFollowed | K::BoardUnfollowed => self.reconcile_follow(&event, Assoc::UserFollowsBoards, target).await?,
            K::TopicFollowed | K::TopicUnfollowed => self.reconcile_follow(&event, Assoc::UserFollowsTopics, target).await?,
            K::BoardLeftOut | K::BoardTakenBack => {
                if let (Some(actor), Some(board)) = (event.actor, event.subject::<BoardId>(0)) {
                    self.mirror(actor, Mirrored::LeftOut(board), event.at).await?;
                }
            }
            K::UserBlocked | K::UserUnblocked => {
                if let (Some(actor), Some(other)) = (event.actor, event.subject::<UserId>(0)) {
                    let on = self.mirror(actor, Mirrored::Block(other), event.at).await?;
                    // Also when it was taken back since: the follows that it ended stay ended, and no event of their own says so.
                    for (from, to) in [(actor, other), (other, actor)] {
                        let target = Target::User(to);
                        if on {
                            self.feeds.set_follow(from, target, false, event.at).await?;
                        } else {
                            self.mirror(from, Mirrored::Follow(Assoc::UserFollowsUsers, target), event.at).await?;
                        }
                    }
                }
            }
            K::UserMuted | K::UserUnmuted => {
                if let (Some(actor), Some(other)) = (event.actor, event.subject::<UserId>(0)) {
                    self.mirror(actor, Mirrored::Mute(other), event.at).await?;
                }
            }
            K::UserDeleted => {
                if let Some(user) = event.subject::<UserId>(0) {
                    self.feeds.forget_user(user).await?;
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    async fn reconcile_follow(&self, event: &Event, assoc: Assoc, to: Option<Id>) -> Result<()> {
        if let (Some(actor), Some(target)) = (event.actor, to.and_then(target_of)) {
            self.mirror(actor, Mirrored::Follow(assoc, target), event.at).await?;
        }
        Ok(())
    }

    /// Sets an edge in the feeds as it is in storage, until it is still so after it was set: whoever changed it meanwhile may have told the
    /// feeds first, and would be overruled by what is older. Tells whether it is there.
    async fn mirror(&self, user: UserId, what: Mirrored, at: Timestamp) -> Result<bool> {
        let (assoc, to) = what.edge();
        let mut sequence = self.storage.edges(assoc, user.id(), &[to]).await?[0];
        loop {
            let on = sequence.is_some();
            match what {
                Mirrored::LeftOut(board) => self.feeds.set_left_out(user, board, on).await?,
                Mirrored::Block(other) => self.feeds.set_block(user, other, on).await?,
                Mirrored::Mute(other) => self.feeds.set_mute(user, other, on).await?,
                // The edge's own instant, not the event's: the event may be of an earlier follow.
                Mirrored::Follow(_, target) => self.feeds.set_follow(user, target, on, sequence.map_or(at, Timestamp)).await?,
            }
            let was = std::mem::replace(&mut sequence, self.storage.edges(assoc, user.id(), &[to]).await?[0]);
            if was == sequence {
                return Ok(on);
            }
        }
    }

    /// Publishes a pin that stands on a listed board, and retracts any other. Returns what is left of its fan-out.
    pub(crate) async fn reconcile_pin_in_feeds(&self, pin: PinId) -> Result<Vec<Rest>> {
        self.put_in_feeds(pin, self.storage.get(pin).await?.as_ref()).await
    }

    async fn put_in_feeds(&self, pin: PinId, stored: Option<&Stored<model::Pin>>) -> Result<Vec<Rest>> {
        let facts = match stored {
            Some(stored) => self.pin_facts(pin, stored).await?,
            None => None,
        };
        match facts {
            Some(facts) => Ok(self.feeds.publish(facts).await?),
            None => {
                self.feeds.retract(pin).await?;
                Ok(Vec::new())
            }
        }
    }

    async fn pin_facts(&self, pin: PinId, stored: &Stored<model::Pin>) -> Result<Option<PinFacts>> {
        let data = &stored.data;
        let Some(board) = self.board_of_travelling(stored).await? else { return Ok(None) };
        let mut topics = Vec::with_capacity(data.tags.len());
        for tag in &data.tags {
            topics.push(self.ensure_topic(tag).await?);
        }
        self.feeds.set_board(data.board, feeds::BoardFacts { owner: board.data.owner, listed: true }).await?;
        Ok(Some(PinFacts { pin, owner: data.owner, board: data.board, topics, domain: data.domain.clone(), at: data.at }))
    }

    /// Returns the board of a pin that may stand in feeds: neither deleted, trashed nor taken down, on a listed board, by somebody
    /// who is there.
    pub(crate) async fn board_of_travelling(&self, pin: &Stored<model::Pin>) -> Result<Option<Arc<Stored<model::Board>>>> {
        if !pin.active || pin.data.trashed_at.is_some() || pin.data.hidden {
            return Ok(None);
        }
        let board = self.object::<model::Board>(pin.data.board).await?.filter(|board| is_listed(board));
        let owner = self.object::<model::User>(pin.data.owner).await?;
        Ok(board.filter(|_| owner.is_some_and(|owner| stands(&owner))))
    }
}

/// An edge of somebody's in storage that the feeds hold as well.
#[derive(Clone, Copy)]
enum Mirrored {
    LeftOut(BoardId),
    Block(UserId),
    Mute(UserId),
    Follow(Assoc, Target),
}

impl Mirrored {
    fn edge(self) -> (Assoc, Id) {
        match self {
            Mirrored::LeftOut(board) => (Assoc::UserLeavesOutBoards, board.id()),
            Mirrored::Block(other) => (Assoc::UserBlocksUsers, other.id()),
            Mirrored::Mute(other) => (Assoc::UserMutesUsers, other.id()),
            Mirrored::Follow(assoc, target) => (assoc, target.id()),
        }
    }
}

/// Reads an id as something that can be followed.
pub fn target_of(id: Id) -> Option<Target> {
    match id.kind() {
        model::Kind::User => UserId::try_from(id).ok().map(Target::User),
        model::Kind::Board => BoardId::try_from(id).ok().map(Target::Board),
        model::Kind::Topic => TopicId::try_from(id).ok().map(Target::Topic),
        _ => None,
    }
}
