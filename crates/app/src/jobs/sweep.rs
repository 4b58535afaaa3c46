//! Regular housekeeping: names whose owner never came, old idempotency keys, finished jobs, old events, purges that may go on.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::error::Result;

/// A claim that was not confirmed by now never will be: its owner's process died.
const CLAIM_LIFETIME_MS: i64 = 10 * Timestamp::MINUTE;
const IDEMPOTENCY_LIFETIME_MS: i64 = Timestamp::DAY;
const FINISHED_JOBS_LIFETIME_MS: i64 = 7 * Timestamp::DAY;
const EVENTS_LIFETIME_MS: i64 = 30 * Timestamp::DAY;
/// How often the sweep runs.
pub const SWEEP_EVERY_MS: i64 = 10 * Timestamp::MINUTE;

#[derive(Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// Which run it is: one job per interval, however many processes ask for it.
    pub run: i64,
}

#[async_trait]
impl AppJob for Sweep {
    const QUEUE: &'static str = "sweep";
    const CONCURRENCY: usize = 1;
    const PRIORITY: u8 = 9;
    const ATTEMPTS: u32 = 2;

    fn key(&self) -> Option<String> {
        Some(self.run.to_string())
    }

    async fn run(&self, app: &App, _: &JobContext) -> Result<()> {
        let freed = app.storage.sweep_names(CLAIM_LIFETIME_MS).await?;
        app.storage.sweep_idempotency(IDEMPOTENCY_LIFETIME_MS).await?;
        let collected = app.jobs.collect(FINISHED_JOBS_LIFETIME_MS).await?;
        app.events.forget_before(app.now().plus(-EVENTS_LIFETIME_MS)).await?;
        if app.count_postponed().await? > 0 {
            app.enqueue(super::ResumePurges { cause: format!("sweep/{}", self.run) }).await?;
        }
        tracing::debug!(freed, collected, "swept");
        Ok(())
    }
}

impl App {
    /// Asks for the sweep of the present interval.
    pub async fn schedule_sweep(&self) -> Result<()> {
        self.enqueue(Sweep { run: self.now().0 / SWEEP_EVERY_MS }).await
    }
}
