//! What a change of a person means for their pins and boards: the index has their names on each, and a suspended person has none.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Assoc, EventKind, Id, PinId, UserId};
use serde::{Deserialize, Serialize};
use storage::{Batch, Order, Range};

use super::AppJob;
use crate::compose::App;
use crate::error::{Error, Result};
use crate::viewer::Viewer;

/// Pins and boards handled between two heartbeats.
const STEP: usize = 100;

/// Makes feeds and index of a person's pins and boards equal to what the person is now.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReconcileUser {
    pub user: UserId,
    /// The person's version that asked for it; each version is reconciled once.
    pub version: u64,
}

#[async_trait]
impl AppJob for ReconcileUser {
    const QUEUE: &'static str = "reconcile_user";
    const PRIORITY: u8 = 2;

    fn key(&self) -> Option<String> {
        Some(format!("{}/{}", self.user, self.version))
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        for assoc in [Assoc::UserHasBoards, Assoc::UserHasPins] {
            let mut after = None;
            loop {
                let range = Range { after, limit: STEP, order: Order::Descending };
                let edges = app.storage.range(assoc, self.user.id(), range).await?;
                let Some(last) = edges.last() else { break };
                after = Some((last.sequence, last.to));
                for edge in edges {
                    match PinId::try_from(edge.to) {
                        Ok(pin) => app.touch_pin(pin).await?,
                        Err(_) => app.touch_board(edge.to).await?,
                    }
                }
                context.heartbeat().await.map_err(Error::internal)?;
            }
        }
        Ok(())
    }
}

impl App {
    /// Says that something around a board changed, so that all consumers look at it anew.
    async fn touch_board(&self, board: Id) -> Result<()> {
        let mut batch = Batch::on(board.shard());
        batch.emit(self.event(EventKind::BoardChanged, &Viewer::anonymous(), vec![board]));
        self.commit(batch).await.map(drop)
    }
}
