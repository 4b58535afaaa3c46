//! The edges that follow from an object: computed purely from the present truth, written by whoever changes the object, and made
//! good by the consumer.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use model::id::Shard;
use model::object::BoardOrder;
use model::{Assoc, Board, BoardId, Id, Pin, PinId, SectionId, Stored};
use storage::Batch;

use crate::compose::App;
use crate::error::Result;
use crate::plan::Plan;
use crate::viewer::is_listed;

/// An edge that should be there with this sequence, or (`None`) should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeWish {
    pub assoc: Assoc,
    pub from: Id,
    pub to: Id,
    pub wanted: Option<i64>,
}

impl EdgeWish {
    pub fn new(assoc: Assoc, from: impl Into<Id>, to: impl Into<Id>, wanted: Option<i64>) -> EdgeWish {
        EdgeWish { assoc, from: from.into(), to: to.into(), wanted }
    }

    pub fn write_to(&self, batch: &mut Batch) {
        match self.wanted {
            Some(sequence) => batch.map(self.assoc, self.from, self.to, sequence),
            None => batch.unmap(self.assoc, self.from, self.to),
        };
    }
}

/// What holds a pin on its board.
pub const ON_A_BOARD: [Assoc; 3] = [Assoc::BoardHasPins, Assoc::BoardHidesPins, Assoc::BoardOrdersPins];

/// Returns the edges of a pin as they should be. `board` is the one that the pin names.
pub fn pin_edges(pin: &Stored<Pin>, board: Option<&Stored<Board>>) -> Vec<EdgeWish> {
    let data = &pin.data;
    let stands = pin.active && data.trashed_at.is_none();
    let on_board = stands && board.is_some_and(|board| board.active);
    let by_hand = board.is_some_and(|board| board.data.order == BoardOrder::ByHand);
    let at = |when: bool| when.then_some(data.at.0);
    let mut wishes = vec![
        EdgeWish::new(Assoc::UserHasPins, data.owner, pin.id, at(stands)),
        EdgeWish::new(Assoc::UserTrashesPins, data.owner, pin.id, data.trashed_at.filter(|_| pin.active).map(|at| at.0)),
        EdgeWish::new(Assoc::BoardHasPins, data.board, pin.id, at(on_board)),
        EdgeWish::new(Assoc::BoardHidesPins, data.board, pin.id, at(on_board && data.hidden)),
    ];
    if by_hand || !on_board {
        wishes.push(EdgeWish::new(Assoc::BoardOrdersPins, data.board, pin.id, at(on_board)));
    }
    if let Some(section) = data.section {
        wishes.push(EdgeWish::new(Assoc::SectionHasPins, section, pin.id, at(on_board)));
    }
    if let Some(parent) = data.parent {
        // A save to a secret board, or one that was taken down, must not show in the counts of the pin it came from.
        let counted = on_board && !data.hidden && board.is_some_and(is_listed);
        wishes.push(EdgeWish::new(Assoc::PinHasSaves, parent, pin.id, at(counted)));
    }
    wishes
}

/// Returns the edges that must not be there at a place where a pin once was; those of where it is `now` stay.
pub fn left_behind(pin: Id, board: Option<BoardId>, section: Option<SectionId>, now: Option<&Pin>) -> Vec<EdgeWish> {
    let board = board.filter(|board| now.is_none_or(|pin| pin.board != *board));
    let section = section.filter(|section| now.is_none_or(|pin| pin.section != Some(*section)));
    let of_board = board.into_iter().flat_map(|board| ON_A_BOARD.map(|assoc| EdgeWish::new(assoc, board, pin, None)));
    let of_section = section.map(|section| EdgeWish::new(Assoc::SectionHasPins, section, pin, None));
    of_board.chain(of_section).collect()
}

impl Plan {
    /// Adds edges to the batches of their shards.
    pub fn wish(&mut self, wishes: &[EdgeWish]) {
        for wish in wishes {
            wish.write_to(self.on(wish.from.shard()));
        }
    }
}

impl App {
    /// Makes edges as they should be: reads first, writes only what differs. Returns how many differed.
    pub async fn mend_edges(&self, wishes: &[EdgeWish]) -> Result<usize> {
        let read = wishes.iter().map(|wish| self.storage.edges(wish.assoc, wish.from, std::slice::from_ref(&wish.to)));
        let found = try_join_all(read).await?;
        let mut batches: BTreeMap<Shard, Batch> = BTreeMap::new();
        let mut mended = 0;
        for (wish, found) in wishes.iter().zip(found) {
            if found[0].is_some() != wish.wanted.is_some() {
                let shard = wish.from.shard();
                wish.write_to(batches.entry(shard).or_insert_with(|| Batch::on(shard)));
                mended += 1;
            }
        }
        try_join_all(batches.into_values().map(|batch| self.commit(batch))).await?;
        if mended > 0 {
            metrics::counter!(crate::metrics::EDGES_MENDED_TOTAL).increment(mended as u64);
        }
        Ok(mended)
    }

    /// Makes the edges of one pin equal to what the pin and its board say now. Returns both as they were read.
    pub async fn mend_pin(&self, pin: PinId) -> Result<Option<(Stored<Pin>, Option<Stored<Board>>)>> {
        let Some(stored) = self.storage.get::<Pin>(pin).await? else { return Ok(None) };
        let board = self.storage.get::<Board>(stored.data.board).await?;
        self.mend_edges(&pin_edges(&stored, board.as_ref())).await?;
        Ok(Some((stored, board)))
    }
}
