//! A plan: one action's writes, sorted by shard. The first batch carries the event and decides; the others mirror it.
//!
//! The mirrors are written right behind the decision, in the same transaction where they live on the same server, so that what a person did
//! shows on the next page. If one of them fails, or the process dies between, `consumers/follow_up.rs` makes it good from the event.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use model::id::Shard;
use model::{Event, Id};
use parking_lot::Mutex;
use storage::{Batch, Written};

use crate::compose::App;
use crate::error::{Error, Result};

#[derive(Clone)]
pub struct Plan {
    batches: Vec<(Shard, Batch)>,
    /// The event of an object's beginning, before which it had no edges that could be wrong, and what its edges were computed from.
    beginning: Option<(String, Seen)>,
}

/// An object and its version.
pub(crate) type Seen = (Id, u64);

/// Beginnings that this process has written whole, mirrors included: nothing about them is left to mend while what they were computed from
/// is what it was. Bounded; whoever forgets, mends.
#[derive(Default)]
pub(crate) struct Whole(Mutex<Beginnings>);

#[derive(Default)]
struct Beginnings {
    /// By event: since when, and computed from what.
    whole: HashMap<String, (Instant, Seen)>,
    /// The oldest first.
    order: VecDeque<String>,
}

/// Beginnings that are remembered: far more than are ever between their writer and the consumer.
const WHOLE_MAX: usize = 4_096;

impl Whole {
    fn add(&self, event: String, seen: Seen) {
        let Beginnings { whole, order } = &mut *self.0.lock();
        order.push_back(event.clone());
        whole.insert(event, (Instant::now(), seen));
        if order.len() > WHOLE_MAX
            && let Some(oldest) = order.pop_front()
        {
            whole.remove(&oldest);
        }
    }

    /// Returns what a beginning was computed from, if it was whole at that instant.
    pub(crate) fn at(&self, event: &str, at: Instant) -> Option<Seen> {
        self.0.lock().whole.get(event).filter(|(since, _)| *since <= at).map(|(_, seen)| *seen)
    }
}

impl Plan {
    /// Starts a plan that is decided on `shard`.
    pub fn decided_on(shard: Shard) -> Plan {
        Plan { batches: vec![(shard, Batch::on(shard))], beginning: None }
    }

    /// Returns the batch that decides.
    pub fn decision(&mut self) -> &mut Batch {
        &mut self.batches[0].1
    }

    /// Emits the event of an object's beginning with the decision. Its edges are computed from `seen`.
    pub fn begin(&mut self, event: Event, seen: Seen) {
        self.beginning = Some((event.id.clone(), seen));
        self.decision().emit(event);
    }

    /// Returns the batch of a shard; on the deciding shard that is the deciding batch.
    pub fn on(&mut self, shard: Shard) -> &mut Batch {
        let at = self.batches.iter().position(|(on, _)| *on == shard).unwrap_or_else(|| {
            self.batches.push((shard, Batch::on(shard)));
            self.batches.len() - 1
        });
        &mut self.batches[at].1
    }
}

impl App {
    /// Writes a plan. Returns what the decision wrote.
    pub async fn carry_out(&self, plan: Plan) -> Result<Written> {
        let batches = plan.batches.into_iter().map(|(_, batch)| batch).collect();
        self.end_plan(self.commit_in_turn(batches, 1).await?, plan.beginning)
    }

    /// Writes a plan behind a batch without which it must not be written. `None`: that was in conflict, and nothing was written.
    pub async fn carry_out_behind(&self, first: Batch, plan: Plan) -> Result<Option<Written>> {
        let batches = std::iter::once(first).chain(plan.batches.into_iter().map(|(_, batch)| batch)).collect();
        let mut answers = self.commit_in_turn(batches, 2).await?;
        match answers.remove(0) {
            Some(Err(Error::Conflict(_))) => Ok(None),
            Some(Err(error)) => Err(error),
            _ => self.end_plan(answers, plan.beginning).map(Some),
        }
    }

    fn end_plan(&self, answers: Vec<Option<Result<Written>>>, beginning: Option<(String, Seen)>) -> Result<Written> {
        let mut answers = answers.into_iter().flatten();
        let written = answers.next().unwrap_or_else(|| Err(Error::internal("a decision was not answered")))?;
        let mut is_whole = true;
        for error in answers.filter_map(std::result::Result::err) {
            is_whole = false;
            metrics::counter!(crate::metrics::MIRROR_FAILURES_TOTAL).increment(1);
            tracing::warn!(%error, "an edge could not be mirrored now; the consumer will do it");
        }
        if let Some((event, seen)) = beginning.filter(|_| is_whole) {
            self.whole().add(event, seen);
        }
        Ok(written)
    }
}
