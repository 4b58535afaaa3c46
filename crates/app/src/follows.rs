//! Following people, boards and topics; leaving boards out; blocking and muting.
//!
//! Storage holds the truth. The feeds are told right after the write, so that what a person did shows at once, and told again by the
//! consumer, which reads the truth anew.

use feeds::{Relation, Standing, Target};
use model::limits::FOLLOWS_PER_USER_MAX;
use model::object::Privacy;
use model::{Assoc, BoardId, EventKind, Id, Timestamp, TopicId, UserId};
use storage::Condition;

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::plan::Plan;
use crate::viewer::Viewer;

/// A relation that is switched on and off: its edge, and the events that say so.
struct Switch {
    assoc: Assoc,
    to: Id,
    on: EventKind,
    off: EventKind,
}

fn follow_switch(target: Target) -> Switch {
    match target {
        Target::User(user) => {
            Switch { assoc: Assoc::UserFollowsUsers, to: user.id(), on: EventKind::UserFollowed, off: EventKind::UserUnfollowed }
        }
        Target::Board(board) => {
            Switch { assoc: Assoc::UserFollowsBoards, to: board.id(), on: EventKind::BoardFollowed, off: EventKind::BoardUnfollowed }
        }
        Target::Topic(topic) => {
            Switch { assoc: Assoc::UserFollowsTopics, to: topic.id(), on: EventKind::TopicFollowed, off: EventKind::TopicUnfollowed }
        }
    }
}

impl App {
    /// Follows a person, a board or a topic. Following twice is once.
    pub async fn follow(&self, viewer: &Viewer, target: Target) -> Result<()> {
        let me = viewer.require()?;
        self.check_followable(viewer, me, target).await?;
        if let Some(at) = self.switch(viewer, me, &follow_switch(target), true).await? {
            told(self.feeds.set_follow(me, target, true, at).await);
        }
        Ok(())
    }

    async fn check_followable(&self, viewer: &Viewer, me: UserId, target: Target) -> Result<()> {
        let owner = match target {
            Target::User(user) => {
                self.user(viewer, user).await?;
                user
            }
            Target::Board(board) => {
                let board = self.board(viewer, board).await?;
                if board.data.privacy != Privacy::Public {
                    return Err(Error::Forbidden("Only public boards can be followed.".into()));
                }
                board.data.owner
            }
            Target::Topic(topic) => {
                self.object::<model::TopicObject>(topic).await?.ok_or(Error::NotFound(What::Topic))?;
                return Ok(());
            }
        };
        if owner == me {
            return Err(Error::invalid("target", "This is you: your own pins are on your profile."));
        }
        if self.is_blocked_now(me, owner).await? {
            return Err(Error::Forbidden("You have blocked this person. Unblock them first.".into()));
        }
        Ok(())
    }

    /// Stops following.
    pub async fn unfollow(&self, viewer: &Viewer, target: Target) -> Result<()> {
        let me = viewer.require()?;
        self.switch(viewer, me, &follow_switch(target), false).await?;
        told(self.feeds.set_follow(me, target, false, self.now()).await);
        Ok(())
    }

    /// Leaves a board of a followed person out of the viewer's feed.
    pub async fn leave_out(&self, viewer: &Viewer, board: BoardId, on: bool) -> Result<()> {
        let me = viewer.require()?;
        self.board(viewer, board).await?;
        let switch =
            Switch { assoc: Assoc::UserLeavesOutBoards, to: board.id(), on: EventKind::BoardLeftOut, off: EventKind::BoardTakenBack };
        self.switch(viewer, me, &switch, on).await?;
        told(self.feeds.set_left_out(me, board, on).await);
        Ok(())
    }

    /// Blocks a person: neither sees the other's pins, comments or messages, and both stop following each other.
    pub async fn block(&self, viewer: &Viewer, other: UserId) -> Result<()> {
        let me = viewer.require()?;
        if me == other {
            return Err(Error::invalid("user", "You can't block yourself."));
        }
        self.object::<model::User>(other).await?.filter(|user| user.active).ok_or(Error::NotFound(What::User))?;
        let switch = Switch { assoc: Assoc::UserBlocksUsers, to: other.id(), on: EventKind::UserBlocked, off: EventKind::UserUnblocked };
        self.switch(viewer, me, &switch, true).await?;
        told(self.feeds.set_block(me, other, true).await);
        self.mend_edges(&end_of_following(me, other)).await?;
        told(self.feeds.set_follow(me, Target::User(other), false, self.now()).await);
        told(self.feeds.set_follow(other, Target::User(me), false, self.now()).await);
        Ok(())
    }

    pub async fn unblock(&self, viewer: &Viewer, other: UserId) -> Result<()> {
        let me = viewer.require()?;
        let switch = Switch { assoc: Assoc::UserBlocksUsers, to: other.id(), on: EventKind::UserBlocked, off: EventKind::UserUnblocked };
        self.switch(viewer, me, &switch, false).await?;
        // The other one may still block the viewer: that is a block of its own.
        told(self.feeds.set_block(me, other, false).await);
        Ok(())
    }

    /// Mutes a person: their pins stay out of the viewer's feeds; they don't learn of it.
    pub async fn mute(&self, viewer: &Viewer, other: UserId, on: bool) -> Result<()> {
        let me = viewer.require()?;
        if me == other {
            return Err(Error::invalid("user", "You can't mute yourself."));
        }
        self.user(viewer, other).await?;
        let switch = Switch { assoc: Assoc::UserMutesUsers, to: other.id(), on: EventKind::UserMuted, off: EventKind::UserUnmuted };
        self.switch(viewer, me, &switch, on).await?;
        told(self.feeds.set_mute(me, other, on).await);
        Ok(())
    }

    /// Writes an edge of the viewer with its event and mirror. Returns the instant of the change, or `None` if nothing changed. The feeds
    /// tell a follow that came back from one that never went by this instant, so it must be the edge's own.
    async fn switch(&self, viewer: &Viewer, me: UserId, switch: &Switch, on: bool) -> Result<Option<Timestamp>> {
        let there = self.storage.edges(switch.assoc, me.id(), &[switch.to]).await?[0].is_some();
        if there == on {
            return Ok(None);
        }
        let now = self.now();
        let sequence = on.then_some(now.0);
        let mut plan = Plan::decided_on(me.shard());
        if on {
            plan.decision().require(Condition::CountBelow(switch.assoc, me.id(), FOLLOWS_PER_USER_MAX));
        }
        plan.decision().emit(self.event(if on { switch.on } else { switch.off }, viewer, vec![switch.to]));
        plan.wish(&[EdgeWish::new(switch.assoc, me, switch.to, sequence)]);
        if let Some(mirror) = switch.assoc.mirror() {
            plan.wish(&[EdgeWish::new(mirror, switch.to, me, sequence)]);
        }
        self.carry_out(plan).await?;
        Ok(Some(now))
    }

    /// Says whether one of the two has blocked the other.
    pub async fn is_blocked(&self, a: UserId, b: UserId) -> Result<bool> {
        Ok(self.relations(a, &[b]).await?[0].is_blocked())
    }

    /// Says what keeps a person and each of `others` apart; same order and length.
    pub(crate) async fn relations(&self, me: UserId, others: &[UserId]) -> Result<Vec<Relation>> {
        match self.feeds.relations(me, others).await {
            Ok(relations) => Ok(relations),
            Err(error) => {
                without_feeds(&error);
                self.relations_in_storage(me, others).await
            }
        }
    }

    /// Says all that stands between a person and each of `others`; same order and length.
    pub(crate) async fn standings(&self, me: UserId, others: &[UserId]) -> Result<Vec<Standing>> {
        match self.feeds.standings(me, others).await {
            Ok(standings) => Ok(standings),
            Err(error) => {
                without_feeds(&error);
                self.standings_in_storage(me, others).await
            }
        }
    }

    async fn relations_in_storage(&self, me: UserId, others: &[UserId]) -> Result<Vec<Relation>> {
        let (ids, back) = (others.iter().map(|other| other.id()).collect::<Vec<_>>(), [me.id()]);
        let (blocks, mutes) = tokio::try_join!(
            self.storage.edges(Assoc::UserBlocksUsers, me.id(), &ids),
            self.storage.edges(Assoc::UserMutesUsers, me.id(), &ids),
        )?;
        let mut relations = Vec::with_capacity(others.len());
        for ((id, blocks), mutes) in ids.iter().zip(blocks).zip(mutes) {
            // Not the mirror of it at this end, which may lag.
            let blocked_by = self.storage.edges(Assoc::UserBlocksUsers, *id, &back).await?[0].is_some();
            relations.push(Relation { blocks: blocks.is_some(), blocked_by, muted: mutes.is_some() });
        }
        Ok(relations)
    }

    async fn standings_in_storage(&self, me: UserId, others: &[UserId]) -> Result<Vec<Standing>> {
        let (ids, back) = (others.iter().map(|other| other.id()).collect::<Vec<_>>(), [me.id()]);
        let follows = self.storage.edges(Assoc::UserFollowsUsers, me.id(), &ids).await?;
        let relations = self.relations_in_storage(me, others).await?;
        let mut standings = Vec::with_capacity(others.len());
        for ((id, relation), follows) in ids.iter().zip(relations).zip(follows) {
            let followed_by = self.storage.edges(Assoc::UserFollowsUsers, *id, &back).await?[0].is_some();
            standings.push(Standing { relation, follows: follows.is_some(), followed_by });
        }
        Ok(standings)
    }

    /// Says from storage whether one of the two has blocked the other. What is written is decided by this: the feeds may not have been told
    /// yet, and whoever has just unblocked somebody may follow them.
    pub(crate) async fn is_blocked_now(&self, a: UserId, b: UserId) -> Result<bool> {
        let (one, other) = ([a.id()], [b.id()]);
        let there = self.storage.edges(Assoc::UserBlocksUsers, a.id(), &other);
        let back = self.storage.edges(Assoc::UserBlocksUsers, b.id(), &one);
        let (there, back) = tokio::try_join!(there, back)?;
        Ok(there[0].is_some() || back[0].is_some())
    }

    /// Says which of the targets the viewer follows.
    pub async fn follows(&self, viewer: &Viewer, targets: &[Target]) -> Result<Vec<bool>> {
        match viewer.id() {
            Some(me) => self.follows_of(me, targets).await,
            None => Ok(vec![false; targets.len()]),
        }
    }

    /// Says which of the targets a person follows.
    pub async fn follows_of(&self, user: UserId, targets: &[Target]) -> Result<Vec<bool>> {
        let error = match self.feeds.follows(user, targets).await {
            Ok(follows) => return Ok(follows),
            Err(error) => error,
        };
        without_feeds(&error);
        let mut follows = vec![false; targets.len()];
        let switches: Vec<Switch> = targets.iter().map(|target| follow_switch(*target)).collect();
        for assoc in [Assoc::UserFollowsUsers, Assoc::UserFollowsBoards, Assoc::UserFollowsTopics] {
            let of_kind: Vec<usize> = (0..switches.len()).filter(|index| switches[*index].assoc == assoc).collect();
            if of_kind.is_empty() {
                continue;
            }
            let ids: Vec<Id> = of_kind.iter().map(|index| switches[*index].to).collect();
            for (index, edge) in of_kind.into_iter().zip(self.storage.edges(assoc, user.id(), &ids).await?) {
                follows[index] = edge.is_some();
            }
        }
        Ok(follows)
    }

    /// Tells the feeds who owns a board now and whether its pins travel.
    pub(crate) async fn tell_feeds_of_board(&self, board: BoardId) {
        if let Err(error) = self.try_tell_feeds_of_board(board).await {
            tracing::warn!(%error, board.id = %board, "the feeds were not told of a board now; the consumer will do it");
        }
    }

    pub(crate) async fn try_tell_feeds_of_board(&self, board: BoardId) -> Result<()> {
        match self.storage.get::<model::Board>(board).await? {
            Some(stored) if stored.active => {
                let facts = feeds::BoardFacts { owner: stored.data.owner, listed: crate::viewer::is_listed(&stored) };
                self.feeds.set_board(board, facts).await?;
            }
            _ => self.feeds.forget_board(board).await?,
        }
        Ok(())
    }

    /// Returns the id of a topic that exists.
    pub async fn topic_id(&self, tag: &str) -> Result<TopicId> {
        let name = self.name(model::NameKind::Tag, &tag.to_lowercase()).await?.ok_or(Error::NotFound(What::Topic))?;
        TopicId::try_from(name.id).map_err(|_| Error::NotFound(What::Topic))
    }
}

/// Goes on when the feeds were not told of something: storage has it, and the consumer tells them when they are back.
fn told(result: feeds::Result<()>) {
    if let Err(error) = result {
        without_feeds(&error);
    }
}

/// Notes that something goes on without the feeds: storage has the same truth, and is slower to tell it.
pub(crate) fn without_feeds(error: &feeds::Error) {
    tracing::warn!(%error, "the feeds are away; storage is asked instead");
    metrics::counter!(crate::metrics::DEGRADED_READS_TOTAL, "part" => "feeds").increment(1);
}

/// Returns the edges that must not be there between two people who don't follow each other.
pub fn end_of_following(a: UserId, b: UserId) -> [EdgeWish; 4] {
    [
        EdgeWish::new(Assoc::UserFollowsUsers, a, b, None),
        EdgeWish::new(Assoc::UserFollowedByUsers, b, a, None),
        EdgeWish::new(Assoc::UserFollowsUsers, b, a, None),
        EdgeWish::new(Assoc::UserFollowedByUsers, a, b, None),
    ]
}
