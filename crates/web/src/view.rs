//! Pages as plain structs: data in, HTML out. No I/O, no services; handlers fill these in and call `render`.
//!
//! ```text
//! page.rs           the frame of every page: head, header, bars, flash messages, notices
//! picture.rs        pictures, people and rich text as pages show them
//! card.rs           pin, board and person cards, their grids, and the fragments that grow them
//! form.rs           labelled fields with hints and errors; buttons that post
//! ui.rs             icons, counts, avatars, URL encoding
//! auth.rs home.rs explore.rs search.rs pin.rs pin_edit.rs create.rs board.rs board_edit.rs profile.rs
//! notifications.rs settings.rs trash.rs report.rs admin.rs legal.rs error.rs      one module per area
//! ```
//!
//! # How scripts speak to the server
//!
//! Every form works as a plain POST that is answered with a redirect. Scripts send the same forms by `fetch` with the header
//! `X-Fragment: <name>` and the form's body (`application/x-www-form-urlencoded`, uploads `multipart/form-data`):
//!
//! | request | X-Fragment | answer |
//! | --- | --- | --- |
//! | GET any `next_url` | `cards` | 200, [`card::Cards`] / [`card::BoardCards`] / [`card::PersonCards`] / [`notifications::NotificationList`] alone, without a page |
//! | POST like, unlike, follow, unfollow, leave-out, take-back, order, … | `state` | 204, or 200 JSON `{"count":12}` |
//! | GET /pin/{id}/save | `save` | 200, [`pin::SavePicker`] alone |
//! | POST /pin/{id}/save | `state` | 200 JSON `{"message","board","url","undo"}`: `undo` is a URL to POST to, or absent |
//! | POST /pin/{id}/delete | `state` | 200 JSON `{"message","undo"}` |
//! | POST /pin/{id}/comments, /comment/{id}/delete | `comments` | 200, [`pin::Comments`] alone, as it is now |
//! | GET /create/from-url?url= | `pictures` | 200, [`create::FoundPictures`] alone |
//! | POST /create with one file | `state` | 200 JSON `{"url","message","to","board_url"}`: `to` is where the next file of the same turn goes |
//! | GET /pin/{id}/comments?bookmark= | `comments` | 200, [`pin::Comments`] with older ones |
//! | GET /search/suggest?q= | – | 200 JSON `[{"text","kind","url"}]`, `kind` one of query, board, person, topic |
//! | GET /admin/live.json | – | 200 JSON `{"numbers":{key:text},"series":{key:[f64]}}` |
//!
//! Errors are the status with JSON `{"message"}`; 401 sends the person to the log-in page. An answer that is a redirect counts as
//! done, so a handler that ignores the header still works.

pub mod admin;
pub mod auth;
pub mod board;
pub mod board_edit;
pub mod card;
pub mod create;
pub mod error;
pub mod explore;
pub mod form;
pub mod home;
pub mod legal;
pub mod notifications;
pub mod page;
pub mod picture;
pub mod pin;
pub mod pin_edit;
pub mod profile;
pub mod report;
pub mod search;
pub mod settings;
pub mod trash;
pub mod ui;

pub use card::{BoardCard, BoardCards, Cards, PersonCard, PersonCards, PinCard};
pub use form::{FormErrors, Pressed};
pub use page::{Flash, Nav, Page, ViewerChip};
pub use picture::{Person, Picture, RichText, TextSpan, Time};
