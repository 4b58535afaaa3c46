//! The whole site in one process: every role on its embedded engine, in a folder of its own, driven through HTTP and through the
//! application. Each test ends with [`site::Site::finish`], which fails on anything left over.

mod account;
mod best_first;
mod boards;
mod collaborators;
mod degraded;
mod erasure;
mod fan_out;
mod home;
mod imports;
mod input;
mod legal;
mod notifications;
mod reconcile;
mod round_trips;
mod secrets;
mod security;
mod settings;
mod site;
mod trash;
mod verify_feeds;
