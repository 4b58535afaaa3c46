//! Saving somebody's pin to one's own board. The copy remembers where it came from.

use model::{Assoc, Board, BoardId, Id, Pin, PinId};

use crate::compose::App;
use crate::error::Result;
use crate::hydrate::PinView;
use crate::pictures::StoredPicture;
use crate::pins::{NewPin, PinText, Place, Source};
use crate::viewer::{Viewer, may_see_board, pin_stands};

/// Where the viewer has a picture already.
#[derive(Clone, Debug)]
pub struct AlreadySaved {
    pub pin: PinId,
    pub board: BoardId,
    pub board_name: String,
}

fn pin_of_sequence(sequence: i64) -> Option<PinId> {
    Id::from_u64(sequence as u64).ok().and_then(|id| PinId::try_from(id).ok())
}

impl App {
    /// Saves a pin to a board.
    pub async fn save_pin(&self, viewer: &Viewer, pin: PinId, place: Place) -> Result<PinView> {
        self.save_pin_once(viewer, pin, place, None).await
    }

    /// Saves a pin to a board; the viewer's second pin with the same source key is a conflict.
    pub async fn save_pin_once(&self, viewer: &Viewer, pin: PinId, place: Place, source_key: Option<String>) -> Result<PinView> {
        viewer.require()?;
        let source = self.pin(viewer, pin).await?;
        let data = &source.pin.data;
        let text = PinText {
            title: data.title.clone(),
            description: data.description.clone(),
            alt_text: data.alt_text.clone(),
            link: data.link.clone(),
        };
        let picture = StoredPicture { image: data.image, picture: data.picture.clone() };
        let mut new = NewPin::new(place, text, picture);
        new.keywords = data.tags.iter().cloned().collect();
        new.source_key = source_key;
        new.source = Some(Source { parent: pin, root: data.root.unwrap_or(pin) });
        let saved = self.create_pin(viewer, new).await?;
        metrics::counter!(crate::metrics::PINS_SAVED_TOTAL).increment(1);
        Ok(saved)
    }

    /// Says on which board the viewer has each of these pins' pictures already.
    pub async fn already_saved(&self, viewer: &Viewer, pins: &[&PinView]) -> Result<Vec<Option<AlreadySaved>>> {
        let Some(me) = viewer.id() else { return Ok(vec![None; pins.len()]) };
        let images: Vec<_> = pins.iter().map(|view| view.pin.data.image.id()).collect();
        let edges = self.edges_of(Assoc::UserHasImages, me.id(), &images).await?;
        if edges.iter().all(Option::is_none) {
            return Ok(vec![None; pins.len()]);
        }
        // The sequence of such an edge is the id of the pin.
        let saved: Vec<Option<PinId>> = edges.iter().map(|edge| edge.and_then(pin_of_sequence)).collect();
        let found = self.by_id::<Pin>(saved.iter().flatten().map(|pin| pin.id())).await?;
        let boards = self.by_id::<Board>(found.values().map(|pin| pin.data.board.id())).await?;
        let places = saved.into_iter().map(|saved| {
            let pin = saved?;
            let board = found.get(&pin.id()).filter(|pin| pin_stands(pin, viewer))?.data.board;
            let stored = boards.get(&board.id()).filter(|board| may_see_board(board, viewer))?;
            Some(AlreadySaved { pin, board, board_name: stored.data.name.clone() })
        });
        Ok(places.collect())
    }
}
