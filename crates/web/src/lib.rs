//! The site and the JSON API: everything that knows HTTP.
//!
//! ```text
//! assets.rs   stylesheets, scripts and icons, compiled in and served under names that never change their content
//! view.rs     pages as plain structs and their templates: data in, HTML out, no I/O
//! ```

pub mod assets;
pub mod view;
