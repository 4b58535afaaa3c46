//! Fan-outs that jobs go on with, as the consumer of the feeds sees them.
//!
//! The feeds may be vouched for only up to the first event whose fan-out has not ended: what a job delivered after a snapshot is not
//! in it, and is delivered again only if the event is read again.

use std::collections::VecDeque;

use ::jobs::{JobId, Jobs};
use feeds::Rest;

use crate::compose::App;
use crate::error::Result;
use crate::jobs::FanOut;

/// Jobs looked up at once.
const STEP: usize = 500;

/// Jobs that have not ended, with the offset of the event that each came from; in the order of the log.
#[derive(Debug)]
pub(super) struct FanOuts {
    /// Differs each time that the log is read from where the feeds say: what they lost has to be delivered again.
    pub(super) life: u64,
    waiting: VecDeque<(i64, JobId)>,
}

impl FanOuts {
    pub(super) fn new() -> FanOuts {
        FanOuts { life: runtime::random_u64(), waiting: VecDeque::new() }
    }

    pub(super) fn add(&mut self, offset: i64, jobs: Vec<JobId>) {
        self.waiting.extend(jobs.into_iter().map(|job| (offset, job)));
    }

    /// Returns the last offset up to which no fan-out is on its way, at most `position`. A job that failed for good counts as ended:
    /// it was reported, and holding back the log would not mend it.
    pub(super) async fn ended_to(&mut self, jobs: &Jobs, position: i64) -> Result<i64> {
        while !self.waiting.is_empty() {
            let ids: Vec<JobId> = self.waiting.iter().take(STEP).map(|(_, job)| *job).collect();
            let found = jobs.lookup(&ids).await?;
            let looked_at: Vec<(i64, JobId)> = self.waiting.drain(..ids.len()).collect();
            let going_on = looked_at.into_iter().zip(found).filter(|(_, job)| job.as_ref().is_some_and(|job| !job.state.is_finished()));
            let going_on: Vec<(i64, JobId)> = going_on.map(|(waiting, _)| waiting).collect();
            going_on.iter().rev().for_each(|waiting| self.waiting.push_front(*waiting));
            if let Some((offset, _)) = going_on.first() {
                return Ok(position.min(offset - 1));
            }
        }
        Ok(position)
    }
}

impl App {
    /// Leaves rests to jobs. `cause` tells apart why the same pin goes the same way.
    pub(super) async fn enqueue_rests(&self, rests: Vec<Rest>, cause: &str) -> Result<Vec<JobId>> {
        self.enqueue_many(rests.into_iter().map(|rest| FanOut::of(rest, cause)).collect()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::jobs::{Ack, NewJob, Outcome};

    use super::*;

    #[tokio::test]
    async fn the_first_fan_out_on_its_way_holds_the_offset_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("jobs").display());
        let jobs = Jobs::open(&url, Arc::new(runtime::SystemClock)).expect("jobs");
        let mut fan_outs = FanOuts::new();
        assert_eq!(fan_outs.ended_to(&jobs, 9).await.expect("an offset"), 9);
        let ids = jobs.enqueue("fan_out", vec![NewJob::new(1.into()), NewJob::new(2.into()), NewJob::new(3.into())]).await.expect("ids");
        fan_outs.add(4, vec![ids[0], ids[1]]);
        fan_outs.add(7, vec![ids[2]]);
        assert_eq!(fan_outs.ended_to(&jobs, 9).await.expect("an offset"), 3);
        for (claimed, expected) in [(1, 3), (1, 6), (1, 9)] {
            let taken = jobs.dequeue("fan_out", "a test", claimed, 60_000, Vec::new()).await.expect("a job");
            jobs.ack(taken.iter().map(|job| Ack::new(job, Outcome::Succeeded)).collect()).await.expect("acked");
            assert_eq!(fan_outs.ended_to(&jobs, 9).await.expect("an offset"), expected);
        }
        fan_outs.add(11, vec![JobId(999)]);
        assert_eq!(fan_outs.ended_to(&jobs, 12).await.expect("an offset"), 12, "a job that is not there has ended");
        jobs.close().await;
    }
}
