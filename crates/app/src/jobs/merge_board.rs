//! Moves all pins of one board to another one, then deletes the first.

use std::sync::Arc;

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Assoc, Board, BoardId, EventKind, Pin, User, UserId};
use serde::{Deserialize, Serialize};
use storage::Range;

use super::AppJob;
use crate::compose::App;
use crate::error::{Error, Result};
use crate::viewer::Viewer;

const STEP: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
pub struct MergeBoard {
    pub from: BoardId,
    pub into: BoardId,
    pub by: UserId,
}

#[async_trait]
impl AppJob for MergeBoard {
    const QUEUE: &'static str = "merge_board";
    const PRIORITY: u8 = 2;

    fn key(&self) -> Option<String> {
        Some(format!("{}/{}", self.from, self.into))
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        let Some(by) = app.object::<User>(self.by).await? else { return Ok(()) };
        let viewer = Viewer::signed_in(Arc::clone(&by));
        let target = app.fresh::<Board>(self.into).await?.ok_or(Error::NotFound(crate::What::Board))?;
        loop {
            let edges = app.storage.range(Assoc::BoardHasPins, self.from.id(), Range::first(STEP)).await?;
            if edges.is_empty() {
                break;
            }
            for edge in &edges {
                if let Some(stored) = app.fresh::<Pin>(edge.to).await?.filter(|stored| stored.data.board == self.from) {
                    let data = Pin { board: self.into, section: None, ..stored.data.clone() };
                    app.write_pin(&viewer, &stored, data, EventKind::PinMoved, &target).await?;
                }
                app.mend_edges(&[crate::edges::EdgeWish::new(Assoc::BoardHasPins, self.from, edge.to, None)]).await?;
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
        match app.delete_board(&viewer, self.from).await {
            Err(Error::NotFound(_)) => Ok(()),
            other => other,
        }
    }
}
