//! Order by hand: of a person's boards, of a board's sections, of a board's pins.
//!
//! Lists are read from the largest sequence down. A thing that is put between two others gets the middle of their sequences; where
//! there is no room left, everything of that list is spread anew in the same write.

use std::collections::HashMap;

use model::object::{BoardOrder, Role};
use model::{Assoc, Board, BoardId, Id, PinId, SectionId};
use storage::{Batch, Edge, Order, Range};

use crate::boards::BoardEdit;
use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::viewer::Viewer;

/// The room between neighbours when a list is spread.
const SPREAD: i64 = 1 << 20;

/// Things that are reordered by hand at most; larger boards stay ordered by time beyond it.
const ORDERED_MAX: usize = 10_000;

impl App {
    /// Puts one of the viewer's boards right behind another one, or first.
    pub async fn place_board(&self, viewer: &Viewer, board: BoardId, behind: Option<BoardId>) -> Result<()> {
        let me = viewer.require()?;
        // Boards of others on which one collaborates stand among one's own.
        self.reorder(&[Assoc::UserHasBoards, Assoc::UserJoinsBoards], me.id(), board.id(), behind.map(Id::from)).await
    }

    /// Puts a section right behind another one, or first.
    pub async fn place_section(&self, viewer: &Viewer, board: BoardId, section: SectionId, behind: Option<SectionId>) -> Result<()> {
        self.board_for(viewer, board, Role::Edit).await?;
        self.reorder(&[Assoc::BoardHasSections], board.id(), section.id(), behind.map(Id::from)).await
    }

    /// Puts a pin right behind another one, or first; the board is ordered by hand from then on.
    pub async fn place_pin(&self, viewer: &Viewer, board: BoardId, pin: PinId, behind: Option<PinId>) -> Result<()> {
        let stored = self.board_for(viewer, board, Role::Edit).await?;
        if stored.data.order != BoardOrder::ByHand {
            self.set_order(viewer, board, BoardOrder::ByHand).await?;
        }
        self.reorder(&[Assoc::BoardOrdersPins], board.id(), pin.id(), behind.map(Id::from)).await
    }

    /// Puts a pin of a section right behind another one of it, or first. The order of the whole board stays as it is.
    pub async fn place_pin_in_section(
        &self,
        viewer: &Viewer,
        board: BoardId,
        section: SectionId,
        pin: PinId,
        behind: Option<PinId>,
    ) -> Result<()> {
        self.board_for(viewer, board, Role::Edit).await?;
        self.section(viewer, board, section).await?;
        self.reorder(&[Assoc::SectionHasPins], section.id(), pin.id(), behind.map(Id::from)).await
    }

    /// Lists the pins of a board, or of one section of it, in the order in which they stand: as many as can be ordered by hand.
    pub async fn pin_order(&self, viewer: &Viewer, board: BoardId, section: Option<SectionId>) -> Result<Vec<PinId>> {
        let stored = self.board(viewer, board).await?;
        let (assoc, from) = match (section, stored.data.order) {
            (Some(section), _) => {
                self.section(viewer, board, section).await?;
                (Assoc::SectionHasPins, section.id())
            }
            (None, BoardOrder::ByHand) => (Assoc::BoardOrdersPins, board.id()),
            (None, BoardOrder::ByTime) => (Assoc::BoardHasPins, board.id()),
        };
        let range = Range { after: None, limit: ORDERED_MAX, order: Order::Descending };
        let edges = self.storage.range(assoc, from, range).await?;
        edges.into_iter().map(|edge| PinId::try_from(edge.to).map_err(Error::internal)).collect()
    }

    /// Chooses how a board is ordered. Going to "by hand" starts from the order by time.
    pub async fn set_order(&self, viewer: &Viewer, board: BoardId, order: BoardOrder) -> Result<()> {
        if order == BoardOrder::ByHand {
            self.copy_order(board).await?;
        }
        self.edit_board(viewer, board, BoardEdit { order: Some(order), ..BoardEdit::default() }).await?;
        if order == BoardOrder::ByHand {
            // Pins that came while the order was being copied.
            self.copy_order(board).await?;
        }
        Ok(())
    }

    async fn copy_order(&self, board: BoardId) -> Result<()> {
        let mut after = None;
        loop {
            let range = Range { after, limit: 500, order: Order::Descending };
            let edges = self.storage.range(Assoc::BoardHasPins, board.id(), range).await?;
            let Some(last) = edges.last() else { return Ok(()) };
            after = Some((last.sequence, last.to));
            let mut batch = Batch::on(board.shard());
            for edge in &edges {
                batch.map(Assoc::BoardOrdersPins, board.id(), edge.to, edge.sequence);
            }
            self.commit(batch).await?;
        }
    }

    /// Reorders a list that is read from one association or, merged, from several of the same object.
    async fn reorder(&self, assocs: &[Assoc], from: Id, moved: Id, behind: Option<Id>) -> Result<()> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut assoc_of: HashMap<Id, Assoc> = HashMap::new();
        for assoc in assocs {
            let found = self.storage.range(*assoc, from, Range { after: None, limit: ORDERED_MAX, order: Order::Descending }).await?;
            assoc_of.extend(found.iter().map(|edge| (edge.to, *assoc)));
            edges.extend(found);
        }
        edges.sort_by_key(|edge| std::cmp::Reverse((edge.sequence, edge.to)));
        let moves = place(&edges, moved, behind, self.now().0).ok_or(Error::NotFound(what(assocs[0])))?;
        let mut batch = Batch::on(from.shard());
        for (to, sequence) in moves {
            batch.remap(assoc_of[&to], from, to, sequence);
        }
        self.commit(batch).await?;
        Ok(())
    }

    /// Returns whether a board's pins can be ordered by this viewer.
    pub fn may_order(&self, viewer: &Viewer, board: &Board) -> bool {
        viewer.id().and_then(|me| board.role_of(me)).is_some_and(|role| role >= Role::Edit)
    }
}

fn what(assoc: Assoc) -> What {
    match assoc {
        Assoc::UserHasBoards => What::Board,
        Assoc::BoardHasSections => What::Section,
        _ => What::Pin,
    }
}

/// Returns the new sequences that put `moved` right behind `behind` (or first), in a list from the largest down. `None` when one of
/// them is not in the list.
fn place(edges: &[Edge], moved: Id, behind: Option<Id>, now: i64) -> Option<Vec<(Id, i64)>> {
    edges.iter().find(|edge| edge.to == moved)?;
    let others: Vec<&Edge> = edges.iter().filter(|edge| edge.to != moved).collect();
    let at = match behind {
        None => 0,
        Some(id) => others.iter().position(|edge| edge.to == id)? + 1,
    };
    let above = at.checked_sub(1).map(|n| others[n].sequence);
    let below = others.get(at).map(|edge| edge.sequence);
    let sequence = match (above, below) {
        (None, None) => return Some(Vec::new()),
        (None, Some(below)) => Some(now.max(below.saturating_add(1))),
        (Some(above), None) => above.checked_sub(SPREAD),
        (Some(above), Some(below)) => (above.saturating_sub(below) >= 2).then(|| below + (above - below) / 2),
    };
    if let Some(sequence) = sequence {
        return Some(vec![(moved, sequence)]);
    }
    let mut order: Vec<Id> = others.iter().map(|edge| edge.to).collect();
    order.insert(at, moved);
    let top = edges.first().map_or(now, |edge| edge.sequence.max(now));
    Some(order.into_iter().enumerate().map(|(n, id)| (id, top - n as i64 * SPREAD)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Shard;

    fn id(n: u64) -> Id {
        PinId::new(Shard(0), n).id()
    }

    fn apply(edges: &mut [Edge], moved: u64, behind: Option<u64>) {
        for (to, sequence) in place(edges, id(moved), behind.map(id), 1_000).unwrap() {
            edges.iter_mut().find(|edge| edge.to == to).unwrap().sequence = sequence;
        }
        edges.sort_by_key(|edge| std::cmp::Reverse((edge.sequence, edge.to)));
    }

    #[test]
    fn puts_things_where_they_are_wanted() {
        let mut edges: Vec<Edge> = (1..=4).map(|n| Edge { to: id(n), sequence: 100 - n as i64 }).collect();
        let order = |edges: &[Edge]| edges.iter().map(|edge| edge.to.local()).collect::<Vec<_>>();
        apply(&mut edges, 4, None);
        assert_eq!(order(&edges), [4, 1, 2, 3]);
        // No room between 1 (99) and 2 (98): the list is spread.
        apply(&mut edges, 4, Some(1));
        assert_eq!(order(&edges), [1, 4, 2, 3]);
        apply(&mut edges, 1, Some(3));
        assert_eq!(order(&edges), [4, 2, 3, 1]);
        for _ in 0..100 {
            apply(&mut edges, 1, Some(4));
            apply(&mut edges, 3, Some(4));
        }
        assert_eq!(order(&edges), [4, 3, 1, 2]);
        assert_eq!(place(&edges, id(9), None, 0), None);
        assert_eq!(place(&edges, id(1), Some(id(9)), 0), None);
    }
}
