//! What services that run in processes of their own have in common: where they are, who may call them, how they are served.
//!
//! ```text
//! caller:   addresses.rs which address a call goes to, and which are left out ─▶ gRPC ─▶ serving.rs listens, drains ─▶ callers.rs who is it?
//!           failure.rs   what is known when no answer came                    ◀─
//! ```
//!
//! What travels is the business of each service: its `.proto`, its errors, its rights. Errors of this crate are sentences, which a
//! service puts into its own kinds of errors.

mod addresses;
mod callers;
mod failure;
mod serving;

pub use addresses::{Addresses, CONNECT_MAX, Held, Identity, Service, endpoint};
pub use callers::{Entry, check, fresh_key, identify};
pub use failure::Failure;
pub use serving::{NotServed, serve};
