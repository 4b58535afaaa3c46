//! Making and changing boards and sections: forms, collaborators, merging, deleting.

use askama::Template;
use model::object::{Privacy, Role};
use model::{BoardId, SectionId};

use super::form::{self, FormErrors};
use super::page::Page;
use super::picture::{Person, Time};
use super::ui;

/// Creates a board, or edits one when `id` is given.
#[derive(Clone, Debug, Template)]
#[template(path = "board/form.html")]
pub struct BoardForm {
    pub page: Page,
    pub id: Option<BoardId>,
    /// Where "Cancel" goes.
    pub back_url: String,
    pub name: String,
    pub description: String,
    pub privacy: Privacy,
    pub errors: FormErrors,
}

impl BoardForm {
    fn action(&self) -> String {
        self.id.map_or_else(|| "/board/new".to_owned(), |id| format!("/board/{id}/edit"))
    }
}

/// Creates a section, or edits one when `id` is given.
#[derive(Clone, Debug, Template)]
#[template(path = "board/section_form.html")]
pub struct SectionForm {
    pub page: Page,
    pub board: BoardId,
    pub board_name: String,
    pub back_url: String,
    pub id: Option<SectionId>,
    pub name: String,
    pub errors: FormErrors,
}

impl SectionForm {
    fn action(&self) -> String {
        self.id.map_or_else(|| format!("/board/{}/sections/new", self.board), |id| format!("/board/{}/sections/{id}/edit", self.board))
    }
}

/// Who works on a board. POST /board/{id}/collaborators with `login` and `role` invites; …/{user_id} with `role` changes;
/// …/{user_id}/remove removes or takes an invitation back.
#[derive(Clone, Debug, Template)]
#[template(path = "board/collaborators.html")]
pub struct Collaborators {
    pub page: Page,
    pub board: BoardId,
    pub board_name: String,
    pub board_url: String,
    pub owner: Person,
    pub people: Vec<CollaboratorRow>,
    pub login: String,
    pub errors: FormErrors,
}

#[derive(Clone, Debug)]
pub struct CollaboratorRow {
    pub person: Person,
    pub role: Role,
    pub accepted: bool,
    pub since: Time,
}

/// The roles that can be given: value, name, what it allows.
const ROLES: [(Role, &str, &str, &str); 3] = [
    (Role::View, "view", "Look", "sees the board"),
    (Role::Add, "add", "Add", "adds pins"),
    (Role::Edit, "edit", "Edit", "adds, changes and orders pins"),
];

#[derive(Clone, Debug, Template)]
#[template(path = "board/merge.html")]
pub struct MergeBoard {
    pub page: Page,
    pub board: BoardId,
    pub board_name: String,
    pub board_url: String,
    pub pin_count: u64,
    /// Boards that it can be merged into.
    pub targets: Vec<(BoardId, String)>,
    pub errors: FormErrors,
}

#[derive(Clone, Debug, Template)]
#[template(path = "board/delete.html")]
pub struct DeleteBoard {
    pub page: Page,
    pub board: BoardId,
    pub board_name: String,
    pub board_url: String,
    pub pin_count: u64,
}
