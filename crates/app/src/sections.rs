//! Sections: the parts of a board.

use std::sync::Arc;

use model::limits::{self, SECTIONS_PER_BOARD_MAX, check_name};
use model::object::{Role, SCHEMA_VERSION};
use model::{Assoc, BoardId, EventKind, Id, Kind, Section, SectionId, Stored};
use storage::{Condition, Order, Range};

use crate::compose::App;
use crate::edges::EdgeWish;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, PinView, Strictness, lists, page_of};
use crate::plan::Plan;
use crate::viewer::Viewer;

impl App {
    /// Makes a section at the end of a board. A second one of the same name is a conflict.
    pub async fn create_section(&self, viewer: &Viewer, board: BoardId, name: &str) -> Result<Arc<Stored<Section>>> {
        self.board_for(viewer, board, Role::Edit).await?;
        let name = check_name("name", "The section's name", name, limits::SECTION_NAME_CHARS_MAX)?;
        self.refuse_same_name(viewer, board, &name, None).await?;
        let id: SectionId = self.new_id(board.shard(), Kind::Section).await?;
        // Sections stand in the order in which they were made, also within a millisecond: the sequence falls, and is read from the largest.
        let last = Range { after: None, limit: 1, order: Order::Ascending };
        let last = self.storage.range(Assoc::BoardHasSections, board.id(), last).await?;
        let sequence = last.first().map_or(i64::MAX, |edge| edge.sequence - 1).min(-self.now().0);
        let mut plan = Plan::decided_on(board.shard());
        plan.decision()
            .require(Condition::Active(board.id()))
            .require(Condition::CountBelow(Assoc::BoardHasSections, board.id(), SECTIONS_PER_BOARD_MAX))
            .create(id.id(), &Section { v: SCHEMA_VERSION, board, name })
            .map(Assoc::BoardHasSections, board.id(), id.id(), sequence)
            .emit(self.event(EventKind::SectionCreated, viewer, vec![id.id(), board.id()]));
        self.carry_out(plan).await?;
        self.object::<Section>(id).await?.ok_or(Error::NotFound(What::Section))
    }

    async fn refuse_same_name(&self, viewer: &Viewer, board: BoardId, name: &str, except: Option<SectionId>) -> Result<()> {
        let same =
            |section: &Arc<Stored<Section>>| section.data.name.eq_ignore_ascii_case(name) && except.is_none_or(|id| id.id() != section.id);
        if self.all_sections(viewer, board).await?.iter().any(same) {
            return Err(Error::Conflict(format!("This board has a section '{name}' already.")));
        }
        Ok(())
    }

    /// Renames a section.
    pub async fn rename_section(&self, viewer: &Viewer, section: SectionId, name: &str) -> Result<Arc<Stored<Section>>> {
        let stored = self.fresh::<Section>(section).await?.ok_or(Error::NotFound(What::Section))?;
        let board = stored.data.board;
        self.board_for(viewer, board, Role::Edit).await?;
        let name = check_name("name", "The section's name", name, limits::SECTION_NAME_CHARS_MAX)?;
        self.refuse_same_name(viewer, board, &name, Some(section)).await?;
        let mut plan = Plan::decided_on(section.shard());
        plan.decision().update(section.id(), stored.version, &Section { name, ..stored.data }).emit(self.event(
            EventKind::SectionChanged,
            viewer,
            vec![section.id(), board.id()],
        ));
        self.carry_out(plan).await?;
        self.object::<Section>(section).await?.ok_or(Error::NotFound(What::Section))
    }

    /// Deletes a section; its pins stay on the board.
    pub async fn delete_section(&self, viewer: &Viewer, section: SectionId) -> Result<()> {
        let stored = self.fresh::<Section>(section).await?.ok_or(Error::NotFound(What::Section))?;
        let board = stored.data.board;
        self.board_for(viewer, board, Role::Edit).await?;
        let mut plan = Plan::decided_on(section.shard());
        plan.decision().require(Condition::Version(section.id(), stored.version)).delete(section.id()).emit(self.event(
            EventKind::SectionDeleted,
            viewer,
            vec![section.id(), board.id()],
        ));
        plan.wish(&[EdgeWish::new(Assoc::BoardHasSections, board, section, None)]);
        self.carry_out(plan).await?;
        Ok(())
    }

    /// Reads a section of a board that the viewer may open.
    pub async fn section(&self, viewer: &Viewer, board: BoardId, section: SectionId) -> Result<Arc<Stored<Section>>> {
        self.board(viewer, board).await?;
        let stored = self.object::<Section>(section).await?.filter(|stored| stored.active && stored.data.board == board);
        stored.ok_or(Error::NotFound(What::Section))
    }

    /// Lists all sections of a board in its owner's order.
    pub async fn all_sections(&self, viewer: &Viewer, board: BoardId) -> Result<Vec<Arc<Stored<Section>>>> {
        let (mut request, mut all) = (PageRequest::first(limits::PAGE_SIZE_MAX), Vec::new());
        loop {
            let page = self.sections_of(viewer, board, &request).await?;
            all.extend(page.items);
            request.bookmark = page.bookmark;
            if request.bookmark.is_none() {
                return Ok(all);
            }
        }
    }

    /// Lists sections of a board in its owner's order.
    pub async fn sections_of(&self, viewer: &Viewer, board: BoardId, request: &PageRequest) -> Result<Page<Arc<Stored<Section>>>> {
        self.board(viewer, board).await?;
        let (size, assoc) = (request.size()?, Assoc::BoardHasSections);
        let after = request.after_edge(lists::of_assoc(assoc))?;
        let edges = self.storage.range(assoc, board.id(), Range { after, limit: size + 1, order: Order::Descending }).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        let sections = self.objects::<Section>(&ids).await?;
        let items = edges.into_iter().zip(sections).filter_map(|(edge, section)| Some((edge, section.filter(|s| s.active)?))).collect();
        Ok(page_of(items, size, lists::of_assoc(assoc)))
    }

    /// Lists a section's pins, newest first.
    pub async fn section_pins(&self, viewer: &Viewer, board: BoardId, section: SectionId, request: &PageRequest) -> Result<Page<PinView>> {
        self.section(viewer, board, section).await?;
        self.pins_along(viewer, Assoc::SectionHasPins, section.id(), request, Strictness::Opened).await
    }
}
