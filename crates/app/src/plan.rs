//! A plan: one action's writes, sorted by shard. The first batch carries the event and decides; the others mirror it.
//!
//! The mirrors are written right behind the decision, so that what a person did shows on the next page. If one of them fails, or the
//! process dies between, `consumers/follow_up.rs` makes it good from the event.

use model::id::Shard;
use storage::{Batch, Written};

use crate::compose::App;
use crate::error::Result;

pub struct Plan {
    batches: Vec<(Shard, Batch)>,
}

impl Plan {
    /// Starts a plan that is decided on `shard`.
    pub fn decided_on(shard: Shard) -> Plan {
        Plan { batches: vec![(shard, Batch::on(shard))] }
    }

    /// Returns the batch that decides.
    pub fn decision(&mut self) -> &mut Batch {
        &mut self.batches[0].1
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
        let mut batches = plan.batches.into_iter();
        let (_, decision) = batches.next().expect("a plan has a decision");
        let written = self.commit(decision).await?;
        let mirrors = futures_util::future::join_all(batches.map(|(_, batch)| self.commit(batch))).await;
        for error in mirrors.into_iter().filter_map(std::result::Result::err) {
            metrics::counter!(crate::metrics::MIRROR_FAILURES_TOTAL).increment(1);
            tracing::warn!(%error, "an edge could not be mirrored now; the consumer will do it");
        }
        Ok(written)
    }
}
