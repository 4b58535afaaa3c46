//! Goes on with a fan-out that publishing did not end: puts a pin into the feeds of the source's other followers.
//!
//! ```text
//! PinCreated ─▶ consumer ─▶ feeds.publish: the first 5,000 followers of each source ─▶ a rest per source ─▶ this job
//!                                                          deliver 5,000 ─▶ checkpoint ─▶ deliver 5,000 ─▶ …
//! ```

use ::jobs::JobContext;
use async_trait::async_trait;
use feeds::{Cursor, Rest};
use model::{Id, PinId};
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::consumers::feeds::target_of;
use crate::error::{Error, Result};

/// Followers reached between two checkpoints: well under a second, so that little is done twice after a crash.
const STEP: usize = 5_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct FanOut {
    pub pin: PinId,
    /// The person, board or topic whose followers are to be reached.
    pub source: Id,
    /// Those who come after it are still to be reached.
    pub after: Option<Cursor>,
    /// The event that published the pin, and the consumer's life in which it did.
    pub cause: String,
}

impl FanOut {
    pub(crate) fn of(rest: Rest, cause: &str) -> FanOut {
        FanOut { pin: rest.pin, source: rest.source.id(), after: rest.after, cause: cause.to_owned() }
    }
}

#[async_trait]
impl AppJob for FanOut {
    const QUEUE: &'static str = "fan_out";
    /// Somebody waits for the pin, but nothing is wrong without it.
    const PRIORITY: u8 = 3;
    /// Feeds that are away for a night are met again; the wait between attempts grows to an hour.
    const ATTEMPTS: u32 = 30;

    /// The same pin may have to go the same way again: it was retracted and restored, got another time, or the feeds lost what they
    /// had. So the cause belongs to the key; an event that is tried again has the same one.
    fn key(&self) -> Option<String> {
        let after = self.after.map_or_else(String::new, |(at, id)| format!("{}-{id}", at.0));
        Some(format!("{}/{}/{after}/{}", self.pin, self.source, self.cause))
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        let Some(source) = target_of(self.source) else { return Ok(()) };
        let mut rest = Rest { pin: self.pin, source, after: self.after };
        // What became of the pin meanwhile is looked at in each step.
        while let Some(left) = app.feeds.deliver(rest, STEP).await? {
            metrics::counter!(crate::metrics::FAN_OUT_STEPS_TOTAL).increment(1);
            let payload = serde_json::to_value(FanOut::of(left, &self.cause))?;
            context.checkpoint(payload).await.map_err(Error::internal)?;
            if context.cancelled() {
                return Err(Error::Unavailable("The worker ends; another goes on from the checkpoint.".to_owned()));
            }
            rest = left;
        }
        metrics::counter!(crate::metrics::FAN_OUT_STEPS_TOTAL).increment(1);
        Ok(())
    }
}
