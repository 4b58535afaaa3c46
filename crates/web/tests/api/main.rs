//! The JSON API against a whole site in the process, with embedded engines in a temporary folder.
//!
//! ```text
//! site.rs        the site under test, people with tokens, calls; every answer is held to the schema on its way back
//! schema.rs      a validator for the part of JSON Schema that the OpenAPI description uses
//! clients.rs     what existing clients rely on
//! endpoints.rs   every endpoint once
//! secrets.rs     what tokens without secret scopes, and other people, never see
//! refusals.rs    wrong input, wrong tokens, limits
//! ```

mod clients;
mod endpoints;
mod refusals;
mod schema;
mod secrets;
mod site;
