//! The port: what a store of blobs must do.
//!
//! A blob is named by the picture's hash and its own name. Blobs are written whole and never changed: whoever puts a
//! blob a second time puts the same bytes, or bytes that serve as well (a rendition made by a newer encoder).

mod faulty;
mod file;
mod memory;

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{error::EngineError, picture::Hash, rendition::Rendition};

pub use faulty::{Fault, Faulty};
pub use file::FileEngine;
pub use memory::MemoryEngine;

/// The name of a blob beside others of the same picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobName {
    /// What is known about the picture, as JSON.
    Picture,
    /// The original (without metadata) or a form made from it.
    Rendition(Rendition),
}

impl BlobName {
    /// All names that a picture can have.
    pub const ALL: [BlobName; 6] = [
        BlobName::Rendition(Rendition::Square150),
        BlobName::Rendition(Rendition::Crop400x300),
        BlobName::Rendition(Rendition::W600),
        BlobName::Rendition(Rendition::W1200),
        BlobName::Picture,
        BlobName::Rendition(Rendition::Original),
    ];

    /// Gives the name as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            BlobName::Picture => "picture.json",
            BlobName::Rendition(rendition) => rendition.name(),
        }
    }

    /// Reads a stored name; `None` when it is not one of ours.
    pub fn parse(text: &str) -> Option<BlobName> {
        BlobName::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// The key of a blob, ordered by hash and then by name as text. Written `<first two digits>/<hash>/<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey {
    pub hash: Hash,
    pub name: BlobName,
}

impl BlobKey {
    pub fn new(hash: Hash, name: BlobName) -> BlobKey {
        BlobKey { hash, name }
    }

    /// Names the rendition of a picture.
    pub fn rendition(hash: Hash, rendition: Rendition) -> BlobKey {
        BlobKey::new(hash, BlobName::Rendition(rendition))
    }
}

impl PartialOrd for BlobKey {
    fn partial_cmp(&self, other: &BlobKey) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BlobKey {
    fn cmp(&self, other: &BlobKey) -> std::cmp::Ordering {
        (self.hash, self.name.as_str()).cmp(&(other.hash, other.name.as_str()))
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.hash.to_string();
        write!(f, "{}/{hash}/{}", &hash[..2], self.name.as_str())
    }
}

/// A stored blob as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    pub key: BlobKey,
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified_at: SystemTime,
}

/// A store of blobs. All calls may be repeated safely.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Writes a blob. When this returns `Ok`, the blob survives the loss of power; readers see all of it or nothing.
    /// A blob that is there already is replaced. `Unknown` when it may have been written.
    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), EngineError>;

    /// Reads a whole blob; `None` when there is none. What a `put` has acknowledged is seen.
    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, EngineError>;

    /// Tells whether a blob is there, without reading it.
    async fn exists(&self, key: BlobKey) -> Result<bool, EngineError>;

    /// Deletes a blob; tells whether there was one. When this returns `Ok`, it stays gone after the loss of power.
    async fn delete(&self, key: BlobKey) -> Result<bool, EngineError>;

    /// Lists at most `count_max` blobs behind `after`, in the order of keys. Fewer than `count_max` means the end.
    /// Blobs written or deleted meanwhile may be missing or still there. Costs a look at every blob listed.
    async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, EngineError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_paths_and_names_read_back() {
        let key = BlobKey::rendition(Hash::of(b""), Rendition::W600);
        assert_eq!(key.to_string(), "e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/600x");
        for name in BlobName::ALL {
            assert_eq!(BlobName::parse(name.as_str()), Some(name));
        }
        assert_eq!(BlobName::parse("../600x"), None);
    }
}
