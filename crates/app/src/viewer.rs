//! Who is looking, and what that lets them see. All decisions here are pure functions of values.

use std::sync::Arc;

use model::object::{Privacy, Role};
use model::{Board, Pin, Stored, User, UserId};

use crate::error::{Error, Result};

/// Who asks: a signed-in person, perhaps through an API token with fewer rights, or nobody in particular.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    pub user: Option<Arc<Stored<User>>>,
    /// False for an API token without a `…:read_secret` scope: secret boards then don't exist for it.
    pub sees_secret: bool,
    /// False for an API token without a `…:write_secret` scope.
    pub writes_secret: bool,
    /// Whoever runs the site, on the command line: may do what admins may, without an account. Never true for a request.
    pub operator: bool,
    /// Goes into events and logs.
    pub request_id: String,
}

impl Viewer {
    /// Returns a viewer who is signed in with all of their rights.
    pub fn signed_in(user: Arc<Stored<User>>) -> Viewer {
        Viewer { user: Some(user), sees_secret: true, writes_secret: true, ..Viewer::default() }
    }

    pub fn anonymous() -> Viewer {
        Viewer::default()
    }

    /// Returns whoever runs the site, for commands.
    pub fn operator() -> Viewer {
        Viewer { operator: true, ..Viewer::default() }
    }

    pub fn id(&self) -> Option<UserId> {
        self.user.as_ref().map(|user| UserId::try_from(user.id).expect("a user's row has a user's id"))
    }

    /// Returns the signed-in person or asks to sign in.
    pub fn require(&self) -> Result<UserId> {
        self.id().ok_or(Error::SignInNeeded)
    }

    pub fn is(&self, user: UserId) -> bool {
        self.id() == Some(user)
    }

    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.data.admin)
    }

    /// Returns the admin who acts, or nobody for whoever runs the site.
    pub fn require_privilege(&self) -> Result<Option<UserId>> {
        if self.operator { Ok(None) } else { self.require_admin().map(Some) }
    }

    pub fn require_admin(&self) -> Result<UserId> {
        let id = self.require()?;
        if self.is_admin() { Ok(id) } else { Err(Error::Forbidden("Only an admin of this site can do this.".into())) }
    }
}

/// Says whether the viewer may open this board by its address.
pub fn may_see_board(board: &Stored<Board>, viewer: &Viewer) -> bool {
    board.active
        && match board.data.privacy {
            Privacy::Public | Privacy::Protected => true,
            Privacy::Secret => viewer.sees_secret && viewer.id().is_some_and(|id| board.data.role_of(id).is_some()),
        }
}

/// Says whether the board and its pins may stand in lists that this viewer reads: profiles, search, likes.
pub fn may_list_board(board: &Stored<Board>, viewer: &Viewer) -> bool {
    let involved = viewer.id().is_some_and(|id| board.data.role_of(id).is_some());
    may_see_board(board, viewer) && (involved || board.data.privacy == Privacy::Public)
}

/// Says whether the board's pins may stand in lists for everybody, when this viewer reads them.
pub fn may_list_publicly(board: &Stored<Board>, viewer: &Viewer) -> bool {
    is_listed(board) && may_see_board(board, viewer)
}

/// Says whether pins of this board travel: into feeds, explore, counts and public search.
pub fn is_listed(board: &Stored<Board>) -> bool {
    board.active && board.data.privacy == Privacy::Public && !board.data.archived
}

/// Says whether a pin is there at all (not deleted, not in the trash, not taken down) for this viewer.
pub fn pin_stands(pin: &Stored<Pin>, viewer: &Viewer) -> bool {
    pin.active && pin.data.trashed_at.is_none() && (!pin.data.hidden || viewer.is(pin.data.owner) || viewer.is_admin())
}

/// Returns what the viewer may do on this board.
pub fn role_on(board: &Stored<Board>, viewer: &Viewer) -> Option<Role> {
    let role = board.data.role_of(viewer.id()?)?;
    (board.data.privacy != Privacy::Secret || viewer.writes_secret).then_some(role)
}

/// Refuses unless the viewer has at least `role` on this board.
pub fn require_role(board: &Stored<Board>, viewer: &Viewer, role: Role) -> Result<()> {
    viewer.require()?;
    if role_on(board, viewer).is_some_and(|has| has >= role) {
        return Ok(());
    }
    if !may_see_board(board, viewer) {
        return Err(Error::NotFound(crate::error::What::Board));
    }
    Err(Error::Forbidden(match role {
        Role::View => "You are not on this board.".into(),
        Role::Add => "You may not add pins to this board. Ask its owner to invite you.".into(),
        Role::Edit => "You may not change this board. Ask its owner for the role 'edit'.".into(),
        Role::Owner => "Only the owner of this board can do this.".into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::object::Collaborator;
    use model::{Shard, Timestamp};

    fn user(local: u64) -> UserId {
        UserId::new(Shard(1), local)
    }

    fn viewer(local: u64) -> Viewer {
        let data = serde_json::from_str(r#"{"username":"u","email":"","password_hash":"","name":"U","joined_at":0}"#).unwrap();
        let stored = Stored { id: user(local).id(), version: 1, created_at: Timestamp(0), updated_at: Timestamp(0), active: true, data };
        Viewer::signed_in(Arc::new(stored))
    }

    fn board(privacy: Privacy) -> Stored<Board> {
        let collaborator = |n, accepted| Collaborator { user: user(n), role: Role::Add, accepted, invited_by: user(1), at: Timestamp(0) };
        let data = Board {
            v: 1,
            owner: user(1),
            name: "B".into(),
            slug: "b".into(),
            description: String::new(),
            privacy,
            cover: None,
            order: Default::default(),
            archived: false,
            collaborators: vec![collaborator(2, true), collaborator(3, false)],
            pins_modified_at: None,
        };
        Stored {
            id: model::BoardId::new(Shard(1), 1).id(),
            version: 1,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            active: true,
            data,
        }
    }

    #[test]
    fn who_sees_which_board() {
        // (privacy, viewer): sees it, has it listed
        let table = [
            (Privacy::Public, Some(4), true, true),
            (Privacy::Public, None, true, true),
            (Privacy::Protected, None, true, false),
            (Privacy::Protected, Some(4), true, false),
            (Privacy::Protected, Some(2), true, true),
            (Privacy::Secret, None, false, false),
            (Privacy::Secret, Some(4), false, false),
            (Privacy::Secret, Some(3), false, false),
            (Privacy::Secret, Some(2), true, true),
            (Privacy::Secret, Some(1), true, true),
        ];
        for (privacy, who, sees, lists) in table {
            let viewer = who.map_or_else(Viewer::anonymous, viewer);
            let board = board(privacy);
            assert_eq!((may_see_board(&board, &viewer), may_list_board(&board, &viewer)), (sees, lists), "{privacy:?} {who:?}");
        }
    }

    #[test]
    fn a_token_without_the_secret_scope_sees_no_secret_board() {
        let mut owner = viewer(1);
        owner.sees_secret = false;
        owner.writes_secret = false;
        assert!(!may_see_board(&board(Privacy::Secret), &owner));
        assert_eq!(role_on(&board(Privacy::Secret), &owner), None);
        assert_eq!(role_on(&board(Privacy::Public), &owner), Some(Role::Owner));
    }

    #[test]
    fn roles_include_the_ones_before() {
        let board = board(Privacy::Public);
        assert!(require_role(&board, &viewer(2), Role::Add).is_ok());
        assert!(matches!(require_role(&board, &viewer(2), Role::Edit), Err(Error::Forbidden(_))));
        assert!(matches!(require_role(&board, &viewer(3), Role::View), Err(Error::Forbidden(_))));
        assert!(matches!(require_role(&board, &Viewer::anonymous(), Role::Add), Err(Error::SignInNeeded)));
    }
}
