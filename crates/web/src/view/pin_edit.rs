//! Changing a pin.

use askama::Template;
use model::{BoardId, PinId, SectionId};

use super::form::{self, FormErrors};
use super::page::Page;
use super::picture::Picture;
use super::pin::BoardChoice;

#[derive(Clone, Debug, Template)]
#[template(path = "pin/edit.html")]
pub struct EditPin {
    pub page: Page,
    pub id: PinId,
    pub picture: Picture,
    pub title: String,
    pub description: String,
    pub alt_text: String,
    pub link: String,
    pub board: BoardId,
    pub section: Option<SectionId>,
    pub boards: Vec<BoardChoice>,
    pub errors: FormErrors,
}

impl EditPin {
    fn board_select(&self) -> BoardSelect<'_> {
        board_select(&self.boards, Some(self.board), self.section, "to", "Board")
    }
}

/// A choice of boards and their sections as one `<select name="to">`; values are "board" or "board/section".
#[derive(Template)]
#[template(path = "parts/board_select.html")]
pub struct BoardSelect<'a> {
    boards: &'a [BoardChoice],
    board: Option<BoardId>,
    section: Option<SectionId>,
    id: &'a str,
    label: &'a str,
}

impl BoardSelect<'_> {
    fn is_board(&self, id: &BoardId) -> bool {
        self.section.is_none() && self.board == Some(*id)
    }

    fn is_section(&self, id: &SectionId) -> bool {
        self.section == Some(*id)
    }
}

impl askama::filters::HtmlSafe for BoardSelect<'_> {}

/// Writes the choice with its label; `board` and `section` are chosen already.
pub fn board_select<'a>(
    boards: &'a [BoardChoice],
    board: Option<BoardId>,
    section: Option<SectionId>,
    id: &'a str,
    label: &'a str,
) -> BoardSelect<'a> {
    BoardSelect { boards, board, section, id, label }
}

/// Reads a value of [`BoardSelect`].
pub fn parse_board_choice(value: &str) -> Option<(BoardId, Option<SectionId>)> {
    match value.split_once('/') {
        None => Some((value.parse().ok()?, None)),
        Some((board, section)) => Some((board.parse().ok()?, Some(section.parse().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use model::Shard;

    use super::*;

    #[test]
    fn board_choices_are_read_back() {
        let (board, section) = (BoardId::new(Shard(7), 12), SectionId::new(Shard(7), 3));
        assert_eq!(parse_board_choice(&board.to_string()), Some((board, None)));
        assert_eq!(parse_board_choice(&format!("{board}/{section}")), Some((board, Some(section))));
        assert_eq!(parse_board_choice(&format!("{board}/")), None);
        assert_eq!(parse_board_choice(&format!("{section}/{board}")), None);
    }
}
