//! Making pins: from files, and from a web page.

use askama::Template;
use askama::filters::HtmlSafe;
use model::BoardId;

use super::form::{self, FormErrors};
use super::page::Page;
use super::pin::BoardChoice;
use super::pin_edit::{BoardSelect, board_select};
use super::ui;

/// Uploading files. Without scripts one form takes many files (`file`) and makes a pin of each; with scripts each file is sent by
/// itself with its own `title`, `description`, `alt_text`, `link` and `to`.
#[derive(Clone, Debug, Template)]
#[template(path = "create.html")]
pub struct Create {
    pub page: Page,
    pub boards: Vec<BoardChoice>,
    pub board: Option<BoardId>,
    /// Bytes of the largest file that is taken.
    pub file_bytes_max: u64,
    /// What was refused: (file's name, why).
    pub refused: Vec<(String, String)>,
    pub errors: FormErrors,
}

impl Create {
    fn board_select(&self) -> BoardSelect<'_> {
        board_select(&self.boards, self.board, None, "to", "Board")
    }

    fn file_megabytes_max(&self) -> u64 {
        self.file_bytes_max / 1_000_000
    }
}

/// Choosing pictures of a web page.
#[derive(Clone, Debug, Template)]
#[template(path = "create_from_url.html")]
pub struct CreateFromUrl {
    pub page: Page,
    pub url: String,
    pub errors: FormErrors,
    /// `None` until an address was given.
    pub found: Option<FoundPictures>,
}

/// What a web page offers. Rendered alone it is the fragment for scripts.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/found_pictures.html")]
pub struct FoundPictures {
    pub url: String,
    pub domain: String,
    pub title: String,
    pub description: String,
    pub pictures: Vec<FoundPicture>,
    pub boards: Vec<BoardChoice>,
    pub board: Option<BoardId>,
}

impl HtmlSafe for FoundPictures {}

impl FoundPictures {
    fn board_select(&self) -> BoardSelect<'_> {
        board_select(&self.boards, self.board, None, "found-to", "Board")
    }
}

#[derive(Clone, Debug)]
pub struct FoundPicture {
    /// Address of the picture on the other site: the form's `picture` value.
    pub url: String,
    /// Where this site shows it from: pages load nothing from elsewhere.
    pub preview_url: String,
    pub width: u32,
    pub height: u32,
    pub alt: String,
}
