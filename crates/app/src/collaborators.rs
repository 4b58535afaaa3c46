//! Collaborators: invited to a board with a role, they accept or decline, leave or are removed.

use std::sync::Arc;

use model::limits::COLLABORATORS_PER_BOARD_MAX;
use model::object::{Collaborator, Role};
use model::{Assoc, Board, BoardId, EventKind, Id, Stored, User, UserId};
use serde_json::json;
use storage::Range;

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::plan::Plan;
use crate::viewer::Viewer;

/// Invitations shown at once.
const INVITATIONS_MAX: usize = 100;

impl App {
    /// Invites a person, or changes the role of one who is there.
    pub async fn invite(&self, viewer: &Viewer, board: BoardId, user: UserId, role: Role) -> Result<()> {
        let stored = self.board_for(viewer, board, Role::Owner).await?;
        if role == Role::Owner {
            return Err(Error::invalid("role", "A board has one owner. Choose view, add or edit."));
        }
        let invited = self.user(viewer, user).await?;
        if user == stored.data.owner {
            return Err(Error::invalid("user", "This is the owner of the board."));
        }
        let me = viewer.require()?;
        if self.is_blocked_now(me, user).await? {
            return Err(Error::Forbidden(format!("You can't invite {}.", invited.data.name)));
        }
        let mut data = stored.data.clone();
        match data.collaborators.iter().position(|c| c.user == user) {
            Some(at) => data.collaborators[at].role = role,
            None if data.collaborators.len() >= COLLABORATORS_PER_BOARD_MAX => {
                return Err(Error::Conflict(format!("A board has at most {COLLABORATORS_PER_BOARD_MAX} collaborators.")));
            }
            None => data.collaborators.push(Collaborator { user, role, accepted: false, invited_by: me, at: self.now() }),
        }
        self.write_collaborators(viewer, &stored, data, user, EventKind::CollaboratorInvited).await
    }

    /// Accepts the viewer's invitation.
    pub async fn accept_invitation(&self, viewer: &Viewer, board: BoardId) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<Board>(board).await?.ok_or(Error::NotFound(What::Invitation))?;
        let mut data = stored.data.clone();
        let invitation = data.collaborators.iter_mut().find(|c| c.user == me).ok_or(Error::NotFound(What::Invitation))?;
        if invitation.accepted {
            return Ok(());
        }
        invitation.accepted = true;
        self.write_collaborators(viewer, &stored, data, me, EventKind::CollaboratorJoined).await
    }

    /// Takes a person off a board: the owner removes anybody, others leave or decline for themselves.
    pub async fn remove_collaborator(&self, viewer: &Viewer, board: BoardId, user: UserId) -> Result<()> {
        let me = viewer.require()?;
        let stored = self.fresh::<Board>(board).await?.ok_or(Error::NotFound(if me == user { What::Invitation } else { What::Board }))?;
        if me != user {
            crate::viewer::require_role(&stored, viewer, Role::Owner)?;
        }
        let mut data = stored.data.clone();
        let before = data.collaborators.len();
        data.collaborators.retain(|c| c.user != user);
        if data.collaborators.len() == before {
            return Err(Error::NotFound(What::Invitation));
        }
        self.write_collaborators(viewer, &stored, data, user, EventKind::CollaboratorLeft).await
    }

    async fn write_collaborators(&self, viewer: &Viewer, before: &Stored<Board>, data: Board, user: UserId, kind: EventKind) -> Result<()> {
        let event =
            self.event_with(kind, viewer.id(), viewer.request_id.clone(), vec![before.id, user.id()], json!({ "pins_affected": true }));
        let mut plan = Plan::decided_on(before.id.shard());
        plan.decision().update(before.id, before.version, &data).emit(event);
        plan.wish(&collaborator_edges(before.id, &data, user));
        self.carry_out(plan).await?;
        Ok(())
    }

    /// Lists the collaborators of a board, invited ones only for its owner.
    pub async fn collaborators(&self, viewer: &Viewer, board: BoardId) -> Result<Vec<(Collaborator, Arc<Stored<User>>)>> {
        let stored = self.board(viewer, board).await?;
        let sees_invited = viewer.is(stored.data.owner);
        let users = self.by_id::<User>(stored.data.collaborators.iter().map(|c| c.user.id())).await?;
        let shown = stored.data.collaborators.iter().filter(|c| c.accepted || sees_invited);
        Ok(shown.filter_map(|c| Some((c.clone(), users.get(&c.user.id())?.clone()))).collect())
    }

    /// Lists the boards that the viewer is invited to, with who invited.
    pub async fn invitations(&self, viewer: &Viewer) -> Result<Vec<(Arc<Stored<Board>>, Collaborator, Arc<Stored<User>>)>> {
        let me = viewer.require()?;
        let edges = self.storage.range(Assoc::UserInvitedToBoards, me.id(), Range::first(INVITATIONS_MAX)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let mut invitations = Vec::new();
        for board in self.objects::<Board>(&ids).await?.into_iter().flatten().filter(|board| board.active) {
            let Some(invitation) = board.data.collaborators.iter().find(|c| c.user == me && !c.accepted).cloned() else { continue };
            if let Some(by) = self.object::<User>(invitation.invited_by).await? {
                invitations.push((board, invitation, by));
            }
        }
        Ok(invitations)
    }
}

/// Returns the edges between a board and one person as its list of collaborators says.
pub fn collaborator_edges(board: Id, data: &Board, user: UserId) -> [EdgeWish; 2] {
    let there = data.collaborators.iter().find(|c| c.user == user);
    let at = |accepted: bool| there.filter(|c| c.accepted == accepted).map(|c| c.at.0);
    [EdgeWish::new(Assoc::UserJoinsBoards, user, board, at(true)), EdgeWish::new(Assoc::UserInvitedToBoards, user, board, at(false))]
}
