//! Forgetting boards and people. What hides goes first, what is needed to find the rest goes last: so a removal that broke off
//! can be done again, and each time less is left.

use model::{BoardId, Id, UserId};

use super::RedisEngine;
use super::codec;
use super::command::Batch;
use super::graph::{EDGE_STEP, Follow, from_text, kind_of};
use super::keys::{Kind, key};
use super::script::{PUT, REMOVE};
use crate::error::Result;
use crate::facts::{Target, TargetKind};
use model::Timestamp;

/// Removed edges have no time.
const NO_TIME: Timestamp = Timestamp(0);

impl RedisEngine {
    pub(super) async fn forget_board(&self, board: BoardId) -> Result<()> {
        let facts = key(Kind::Board, board);
        let mut batch = Batch::new();
        batch.plain("GET", &facts, |cmd| cmd);
        let answers = self.client.peek(batch).await?;
        let owner = answers[0].bytes().and_then(codec::board).map(|facts| facts.owner);
        // Nothing shows from now on.
        let mut batch = Batch::new();
        batch.script(&REMOVE, &[facts], &[]);
        self.client.write(batch).await?;
        self.unfollow_all(Target::Board(board)).await?;
        let left_out_by = key(Kind::LeftOutBy, board);
        for user in self.set_of::<UserId>(Kind::LeftOutBy, board.id()).await? {
            self.set_member(key(Kind::LeftOut, user), board.id(), false).await?;
        }
        let mut batch = Batch::new();
        batch.script(&REMOVE, &[left_out_by, key(Kind::Followers, board), key(Kind::Merged, board)], &[]);
        self.client.write(batch).await?;
        match owner {
            Some(owner) => self.set_member(key(Kind::Owned, owner), board.id(), false).await,
            None => Ok(()),
        }
    }

    pub(super) async fn forget_user(&self, user: UserId) -> Result<()> {
        let mut batch = Batch::new();
        let keep = self.facts_ms().to_string();
        batch.script(&PUT, &[key(Kind::Gone, user)], &[b"1", keep.as_bytes()]);
        self.client.write(batch).await?;
        for board in self.set_of::<BoardId>(Kind::Owned, user.id()).await? {
            self.forget_board(board).await?;
        }
        self.unfollow_all(Target::User(user)).await?;
        for kind in [TargetKind::User, TargetKind::Board, TargetKind::Topic] {
            self.unfollow_everything(user, kind).await?;
        }
        for board in self.set_of::<BoardId>(Kind::LeftOut, user.id()).await? {
            self.set_left_out(user, board, false).await?;
        }
        for other in self.set_of::<UserId>(Kind::Blocks, user.id()).await? {
            self.set_block(user, other, false).await?;
        }
        for other in self.set_of::<UserId>(Kind::BlockedBy, user.id()).await? {
            self.set_block(other, user, false).await?;
        }
        let kinds = [Kind::Home, Kind::Shown, Kind::Users, Kind::Boards, Kind::Topics, Kind::Followers, Kind::LeftOut, Kind::Blocks];
        let keys = kinds.into_iter().chain([Kind::BlockedBy, Kind::Mutes, Kind::Owned, Kind::Merged]).map(|kind| key(kind, user));
        let mut batch = Batch::new();
        batch.script(&REMOVE, &keys.collect::<Vec<_>>(), &[]);
        self.client.write(batch).await.map(drop)
    }

    /// Ends all follows of a target, step by step.
    async fn unfollow_all(&self, target: Target) -> Result<()> {
        loop {
            let (followers, _) = self.follower_step(target, None, EDGE_STEP).await?;
            if followers.is_empty() {
                return Ok(());
            }
            let ends: Vec<Follow> = followers.into_iter().map(|user| Follow { user, target, on: false, at: NO_TIME }).collect();
            self.set_follows(&ends).await?;
        }
    }

    /// Ends all that a person follows of one kind, step by step.
    async fn unfollow_everything(&self, user: UserId, kind: TargetKind) -> Result<()> {
        loop {
            let followed = self.followed_step(user, kind).await?;
            if followed.is_empty() {
                return Ok(());
            }
            let ends: Vec<Follow> = followed.into_iter().map(|target| Follow { user, target, on: false, at: NO_TIME }).collect();
            debug_assert!(ends.iter().all(|end| kind_of(end.target) == kind), "one kind");
            self.set_follows(&ends).await?;
        }
    }

    async fn followed_step(&self, user: UserId, kind: TargetKind) -> Result<Vec<Target>> {
        let set = match kind {
            TargetKind::User => Kind::Users,
            TargetKind::Board => Kind::Boards,
            TargetKind::Topic => Kind::Topics,
        };
        let mut batch = Batch::new();
        batch.plain("ZRANGE", &key(set, user), |cmd| cmd.arg(0).arg(EDGE_STEP - 1));
        let answers = self.client.peek(batch).await?;
        Ok(answers[0].list().iter().filter_map(|id| super::graph::target(kind, id.bytes()?)).collect())
    }

    async fn set_of<T: TryFrom<Id>>(&self, kind: Kind, id: Id) -> Result<Vec<T>> {
        let mut batch = Batch::new();
        batch.plain("SMEMBERS", &key(kind, id), |cmd| cmd);
        let answers = self.client.peek(batch).await?;
        Ok(answers[0].list().iter().filter_map(from_text).collect())
    }
}
