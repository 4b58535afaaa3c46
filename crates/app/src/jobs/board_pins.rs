//! What a change of a board means for its pins, however many there are.

use ::jobs::JobContext;
use async_trait::async_trait;
use model::{Assoc, Board, BoardId, EventKind, Id, Pin, PinId, Stored};
use serde::{Deserialize, Serialize};
use storage::{Batch, Order, Range};

use super::AppJob;
use crate::compose::App;
use crate::edges::{ON_A_BOARD, pin_edges};
use crate::error::{Error, Result};
use crate::viewer::Viewer;

/// Pins handled between two heartbeats.
const STEP: usize = 100;
/// Tries to trash a pin that others write at the same time.
const TRASH_TRIES_MAX: u32 = 5;

/// Makes edges, feeds and index of a board's pins equal to what the board says now.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReconcileBoard {
    pub board: BoardId,
    /// The board's version that asked for it; each version is reconciled once.
    pub version: u64,
}

#[async_trait]
impl AppJob for ReconcileBoard {
    const QUEUE: &'static str = "reconcile_board";
    const PRIORITY: u8 = 2;

    fn key(&self) -> Option<String> {
        Some(format!("{}/{}", self.board, self.version))
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        app.try_tell_feeds_of_board(self.board).await?;
        let mut after = None;
        loop {
            let range = Range { after, limit: STEP, order: Order::Descending };
            let edges = app.storage.range(Assoc::BoardHasPins, self.board.id(), range).await?;
            let Some(last) = edges.last() else { return Ok(()) };
            after = Some((last.sequence, last.to));
            for edge in edges {
                let pin = PinId::try_from(edge.to).map_err(Error::internal)?;
                // The consumers know how: one more event of the pin makes everything derived equal to the truth.
                app.touch_pin(pin).await?;
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
    }
}

/// Moves the pins of a deleted board into their owners' trash.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrashBoardPins {
    pub board: BoardId,
}

#[async_trait]
impl AppJob for TrashBoardPins {
    const QUEUE: &'static str = "trash_board_pins";
    const PRIORITY: u8 = 4;

    fn key(&self) -> Option<String> {
        Some(self.board.to_string())
    }

    async fn run(&self, app: &App, context: &JobContext) -> Result<()> {
        let Some(board) = app.storage.get::<Board>(self.board).await? else { return Ok(()) };
        let sections = app.storage.range(Assoc::BoardHasSections, self.board.id(), Range::first(1_000)).await?;
        loop {
            let edges = app.storage.range(Assoc::BoardHasPins, self.board.id(), Range::first(STEP)).await?;
            if edges.is_empty() {
                break;
            }
            for edge in edges {
                app.trash_with_board(edge.to, &board).await?;
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
        for section in sections {
            app.drop_edges(Assoc::SectionHasPins, section.to).await?;
            let mut batch = Batch::on(self.board.shard());
            batch.unmap(Assoc::BoardHasSections, self.board.id(), section.to);
            app.purge_or_keep(board.data.owner, batch, section.to).await?;
        }
        Ok(())
    }
}

impl App {
    /// Says that something around a pin changed, so that all consumers look at it anew.
    pub(crate) async fn touch_pin(&self, pin: PinId) -> Result<()> {
        let Some(stored) = self.storage.get::<Pin>(pin).await? else { return Ok(()) };
        let event = self.event(EventKind::PinChanged, &Viewer::anonymous(), vec![pin.id(), stored.data.board.id()]);
        let mut batch = Batch::on(pin.shard());
        batch.emit(event);
        self.commit(batch).await.map(drop)
    }

    /// Moves a pin to the trash because its board was deleted; takes away only the edge if the pin is elsewhere by now.
    pub(crate) async fn trash_with_board(&self, pin: Id, board: &Stored<Board>) -> Result<()> {
        for attempt in 1.. {
            let there =
                self.fresh::<Pin>(pin).await?.filter(|stored| stored.data.board.id() == board.id && stored.data.trashed_at.is_none());
            let Some(stored) = there else { break };
            let data = Pin { trashed_at: Some(self.now()), ..stored.data.clone() };
            match self.write_pin(&Viewer::anonymous(), &stored, data, EventKind::PinTrashed, board).await {
                // The consumer, the board's job and the deletion of an account may all come to the same pin at once.
                Err(Error::Conflict(_)) if attempt < TRASH_TRIES_MAX => {}
                done => return done,
            }
        }
        // Moved or trashed meanwhile: only this edge is left over.
        let mut batch = Batch::on(board.id.shard());
        for assoc in ON_A_BOARD {
            batch.unmap(assoc, board.id, pin);
        }
        self.commit(batch).await?;
        if let Some(stored) = self.storage.get::<Pin>(pin).await? {
            let now = self.storage.get::<Board>(stored.data.board).await?;
            self.mend_edges(&pin_edges(&stored, now.as_ref())).await?;
        }
        Ok(())
    }
}
