//! Whether a shared cache can be believed at the start: not when the last server on this data folder died. It may have committed something
//! and not told the cache, or have told nobody because no node could be reached.
//!
//! ```text
//! start ── mark is there? ── yes ──▶ everything in the cache is put out of reach
//!   └─ make the mark ▶ serve ▶ a clean end ── every node was told? ── yes ──▶ take the mark away
//! ```
//! Only the death of the process is met, not of the machine: the mark is not synced, and a machine takes longer to come back than most.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cache::Cache;

const FILE: &str = "cache.mark";

/// The mark of a running server.
pub struct CacheMark {
    path: PathBuf,
}

impl CacheMark {
    /// Makes the mark. What the cache holds is dropped when it was there already. A cache of this process alone needs none: `None`.
    pub async fn set(data: &Path, cache: &Cache) -> anyhow::Result<Option<CacheMark>> {
        if !cache.is_shared() {
            return Ok(None);
        }
        let path = data.join(FILE);
        if path.exists() {
            tracing::warn!("the last server here did not come to its end; what the cache holds is not believed");
            cache.begin_anew().await;
        }
        std::fs::write(&path, "").with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Some(CacheMark { path }))
    }

    /// Takes the mark away when nothing is owed; call it when nobody writes any more.
    pub fn take_away(self, cache: &Cache) {
        if !cache.owes()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "the mark of a running server stays; the next start drops what the cache holds");
        }
    }
}
