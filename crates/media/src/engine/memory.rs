//! The engine `memory:`: blobs in a map, gone with the process. For tests and trials.

use std::{collections::BTreeMap, ops::Bound, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::EngineError;

use super::{BlobEntry, BlobKey, Engine};

/// Blobs in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    blobs: Mutex<BTreeMap<BlobKey, (Bytes, SystemTime)>>,
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), EngineError> {
        self.blobs.lock().insert(key, (bytes, SystemTime::now()));
        Ok(())
    }

    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, EngineError> {
        Ok(self.blobs.lock().get(&key).map(|blob| blob.0.clone()))
    }

    async fn exists(&self, key: BlobKey) -> Result<bool, EngineError> {
        Ok(self.blobs.lock().contains_key(&key))
    }

    async fn delete(&self, key: BlobKey) -> Result<bool, EngineError> {
        Ok(self.blobs.lock().remove(&key).is_some())
    }

    async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, EngineError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = self.blobs.lock();
        let entries = blobs.range((start, Bound::Unbounded)).take(count_max);
        Ok(entries.map(|(key, blob)| BlobEntry { key: *key, bytes: blob.0.len() as u64, modified_at: blob.1 }).collect())
    }
}
