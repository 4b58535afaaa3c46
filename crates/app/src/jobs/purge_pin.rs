//! Deletes a pin for ever when its time in the trash is over.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Pin, PinId, Timestamp};
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::error::Result;

#[derive(Debug, Serialize, Deserialize)]
pub struct PurgePin {
    pub pin: PinId,
    /// A pin that was restored, or trashed again later, is not this job's.
    pub trashed_at: Timestamp,
}

#[async_trait]
impl AppJob for PurgePin {
    const QUEUE: &'static str = "purge_pin";
    const PRIORITY: u8 = 8;

    fn key(&self) -> Option<String> {
        Some(format!("{}/{}", self.pin, self.trashed_at.0))
    }

    async fn run(&self, app: &App, _: &JobContext) -> Result<()> {
        let Some(stored) = app.storage.get::<Pin>(self.pin).await? else { return Ok(()) };
        if stored.data.trashed_at != Some(self.trashed_at) {
            return Ok(());
        }
        // Postponed by a legal hold, it is done for this job: its release asks again.
        app.purge_pin(self.pin).await.map(|_| ())
    }
}
