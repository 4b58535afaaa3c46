//! Hands out ids from blocks that were reserved in the engine. What is left of a block at the end of the process is never used.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Id, Kind, Shard};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits::{ID_BLOCK_MAX, ID_BLOCK_MIN};
use crate::metrics as names;

/// Local parts have 36 bits.
const LOCAL_MAX: u64 = (1 << 36) - 1;

#[derive(Default)]
pub(crate) struct Ids {
    /// At most one block per shard and kind: some 50,000 small ones when every shard has been written to.
    blocks: Mutex<HashMap<(Shard, Kind), SharedBlock>>,
}

type SharedBlock = Arc<AsyncMutex<Block>>;

#[derive(Default)]
struct Block {
    next: u64,
    end: u64,
    /// How many were reserved the last time.
    size: u64,
}

impl Ids {
    /// Returns a new id. Callers that find the block empty wait for the one that reserves the next.
    pub(crate) async fn next(&self, engine: &dyn Engine, shard: Shard, kind: Kind) -> Result<Id> {
        let block = self.blocks.lock().entry((shard, kind)).or_default().clone();
        let mut block = block.lock().await;
        if block.next == block.end {
            let size = (block.size * 2).clamp(ID_BLOCK_MIN, ID_BLOCK_MAX);
            let first = engine.reserve(shard, kind, size).await?;
            if first + size - 1 > LOCAL_MAX {
                return Err(Error::Unavailable(format!("Shard {} has no ids left for {}; open another shard.", shard.0, kind.table())));
            }
            metrics::counter!(names::IDS_RESERVED_TOTAL).increment(size);
            *block = Block { next: first, end: first + size, size };
        }
        let local = block.next;
        block.next += 1;
        Ok(Id::new(shard, kind, local))
    }
}
