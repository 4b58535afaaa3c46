//! Pictures: originals and renditions, and the safe fetching of foreign URLs.
//!
//! ```text
//! received bytes ─▶ Media::ingest ─ inspect (sniff · limits · decode · strip) ─▶ original + picture.json ─▶ Picture
//!                   Media::make_renditions ─ one decode ─▶ 1200x · 600x · 400x300 · 150x150
//! GET /media/…  ─▶ Media::rendition ─ stored? ─▶ bytes, else made on demand by one flight
//! foreign URL   ─▶ Fetcher::get ─ every address and every redirect checked ─▶ bytes
//! ```
//!
//! Invariants
//! - A picture's address is the SHA-256 of the bytes as received; the same bytes are stored once.
//! - What the name or the content type of a file claims is never asked; the bytes decide.
//! - No stored form holds metadata (position, camera, texts); the orientation and the colour profile stay right.
//! - A `Picture` is only returned when its original is durable. `picture.json` is written after the original.
//! - Pixels are worked on by at most as many threads as there are cores, within a bound on memory.
//! - No request goes to an address that is not global, unless its exact origin was allowed.

mod limits;
mod picture;
mod rendition;

mod media;
mod metrics;

#[cfg(test)]
mod contract;
mod engine;
mod error;

mod box_filter;
mod color;
mod container;
mod decode;
mod encode;
mod raster;
mod render;
mod resize;

mod metadata;

mod fetch;

pub use encode::JPEG_QUALITY;
pub use engine::{BlobEntry, BlobKey, BlobName, Engine, Fault, Faulty, FileEngine, MemoryEngine};
pub use error::{EngineError, MediaError, Refusal};
pub use fetch::{
    FetchError, FetchLimits, Fetched, Fetcher, FetcherConfig, Origin, REDIRECTS_MAX, Resolver, SystemResolver, URL_CHARS_MAX, is_global,
};
pub use limits::Limits;
pub use media::{Media, Usage};
pub use metadata::{PictureMetadata, read_metadata};
pub use metrics::METRICS;
pub use picture::{Format, Hash, InvalidHash, Picture, placeholder_data_url};
pub use render::render_all;
pub use rendition::{Rendition, StoredRendition, UnknownRendition, dimensions};
