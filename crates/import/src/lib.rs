//! Readers of foreign collections: a folder of pictures, a bookmark file, a Pinterest archive, a CSV table, a web page.
//!
//! ```text
//! source ─▶ Reader (an iterator) ─▶ Entry::Board · Entry::Item · Entry::Follow · Entry::Refused ─▶ `app` writes them into the site
//!
//! item.rs        what comes out
//! folder.rs      folders of pictures    ◀ sidecar.rs (JSON), rdf.rs (SVG and XMP)
//! bookmarks.rs   Netscape bookmark file
//! pinterest.rs   the archive people get from Pinterest ◀ archive.rs (zip or folder), pinterest/html.rs, pinterest/json.rs
//! table.rs       CSV
//! page.rs        the pictures and metadata of a web page
//! metadata.rs    the field names that sites use for a title, an author, …
//! markup.rs      a linear scanner of HTML and of broken XML ◀ entities.rs
//! date.rs text.rs limits.rs
//! ```
//!
//! Invariants
//! - Nothing is written, nothing is fetched: addresses are handed on for the caller's safe fetcher.
//! - What can't be read is named in an `Entry::Refused`; only a source that can't be opened at all is an error.
//! - Every item fits the limits of `model`, and has a key that is the same on every run.
//! - Input is hostile: the time to read it grows linearly with its size, and every size has a limit in `limits.rs`.

mod archive;
mod bookmarks;
mod date;
mod entities;
mod error;
mod folder;
mod item;
mod limits;
mod markup;
mod metadata;
mod page;
mod pinterest;
mod rdf;
mod sidecar;
mod table;
mod text;

pub use bookmarks::Bookmarks;
pub use error::ImportError;
pub use folder::Folder;
pub use item::{Author, Board, Entry, Follow, Item, PictureSource, Privacy, Reader, Refused};
pub use page::{Page, PagePicture, read_page};
pub use pinterest::Pinterest;
pub use table::Table;
pub use text::decode as decode_text;
