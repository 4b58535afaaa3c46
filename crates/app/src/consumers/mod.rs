//! Consumers of the log. Each reconciles something derived with the truth in storage, from the event's subjects on.

mod fan_outs;
pub mod feeds;
pub mod follow_up;
pub mod index;

use std::future::Future;
use std::time::Instant;

use ::events::Record;
use futures_util::TryStreamExt;
use model::{Event, EventKind, Topic};
use runtime::Shutdown;
use serde_json::json;

use crate::compose::App;
use crate::error::Result;

/// Events handled between two commits of a consumer's offset.
const STEP: usize = 256;

/// Events of a step in work at once.
const IN_WORK_MAX: usize = 64;

/// Tries for one event before it is written off, so that one bad event can't stop everything behind it.
const TRIES_MAX: u32 = 5;

impl App {
    /// Runs `handle` over every activity event of a group, in order, at least once, until shutdown. It is told when the event was read.
    async fn consume<F, Fut>(&self, group: &str, shutdown: Shutdown, handle: F) -> Result<()>
    where
        F: Fn(Event, Instant) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let mut consumer = self.events.consumer(group, Topic::Activity).await?;
        loop {
            let records = tokio::select! {
                () = shutdown.wait() => return Ok(()),
                records = consumer.next(STEP) => records?,
            };
            let Some(last) = records.last().map(|record| record.offset) else { continue };
            let read_at = Instant::now();
            let handle = |event| handle(event, read_at);
            // Side by side, so that their writes share group commits. Order within a step does not matter: every change behind these
            // events was durable before the step was read, so that each handler reads the same or a newer truth.
            futures_util::stream::iter(records.into_iter().map(Ok))
                .try_for_each_concurrent(IN_WORK_MAX, |record| self.handle_with_patience(group, record, &handle))
                .await?;
            consumer.commit(last).await?;
        }
    }

    async fn handle_with_patience<F, Fut>(&self, group: &str, record: Record, handle: &F) -> Result<()>
    where
        F: Fn(Event) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let mut backoff = runtime::Backoff::new(std::time::Duration::from_millis(50), std::time::Duration::from_secs(5));
        for attempt in 1..=TRIES_MAX {
            match handle(record.event.clone()).await {
                Ok(()) => return Ok(()),
                // What an event is about may be gone by the time it is handled; then nothing is left to do.
                Err(crate::Error::NotFound(_)) => return Ok(()),
                // A store that is away is waited for by whoever restarts this consumer: nothing is skipped.
                Err(error @ crate::Error::Unavailable(_)) if attempt == TRIES_MAX => return Err(error),
                Err(error) => {
                    tracing::warn!(group, %error, event.id = record.event.id, event.kind = record.event.kind.as_str(), attempt, "an event was not handled");
                    if attempt == TRIES_MAX {
                        self.write_off(group, &record.event, &error);
                    }
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        Ok(())
    }

    fn write_off(&self, group: &str, event: &Event, error: &crate::Error) {
        metrics::counter!(crate::metrics::EVENTS_WRITTEN_OFF_TOTAL, "group" => group.to_owned()).increment(1);
        let details = json!({ "group": group, "event": event.id, "kind": event.kind.as_str(), "error": error.to_string() });
        self.events.emit(self.event_with(
            EventKind::ConsumerFailed,
            event.actor,
            event.request_id.clone(),
            event.subjects.clone(),
            details,
        ));
    }
}
