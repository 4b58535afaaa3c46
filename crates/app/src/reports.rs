//! Reports of what breaks the rules, and what admins decide about them.

use std::sync::Arc;

use model::limits::{REPORT_NOTE_CHARS_MAX, check_text};
use model::object::{ReportReason, ReportState, SCHEMA_VERSION};
use model::{Assoc, Comment, CommentId, EventKind, Id, Kind, Pin, PinId, Report, ReportId, Stored, User, UserId};
use serde_json::json;
use storage::{Batch, Order, Range};

use crate::admin::site_id;
use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, lists, page_of};
use crate::takedowns::NewTakedown;
use crate::viewer::Viewer;

/// What an admin decides about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Dismiss,
    /// Hides the pin, deletes the comment, or suspends the person.
    TakeDown,
    /// Takes it down and suspends whose it is. A board stays as it is: nobody sees it while its owner is suspended.
    Suspend,
}

/// A report with what it is about.
#[derive(Clone, Debug)]
pub struct ReportView {
    pub report: Arc<Stored<Report>>,
    pub reporter: Option<Arc<Stored<User>>>,
    /// What a person would call it, and where it is.
    pub label: String,
    pub link: String,
}

/// Reports read at once while looking for those of one state.
const READ_STEP: usize = 200;

impl App {
    /// Reports a pin, a comment, a board or a person.
    pub async fn report(&self, viewer: &Viewer, subject: Id, reason: ReportReason, note: &str) -> Result<ReportId> {
        let me = viewer.require()?;
        self.reportable(viewer, subject).await?;
        let note = check_text("note", "The note", note, REPORT_NOTE_CHARS_MAX)?;
        let id: ReportId = self.new_id(site_id().shard(), Kind::Report).await?;
        let report =
            Report { v: SCHEMA_VERSION, reporter: me, subject, reason, note, state: ReportState::Open, decided_by: None, at: self.now() };
        let mut batch = Batch::on(site_id().shard());
        batch.create(id.id(), &report).map(Assoc::SiteHasReports, site_id().id(), id.id(), self.now().0).emit(self.event(
            EventKind::ReportMade,
            viewer,
            vec![subject, id.id()],
        ));
        self.commit(batch).await?;
        Ok(id)
    }

    async fn reportable(&self, viewer: &Viewer, subject: Id) -> Result<()> {
        match subject.kind() {
            Kind::Pin => self.pin(viewer, PinId::try_from(subject).map_err(Error::internal)?).await.map(drop),
            Kind::Board => self.board(viewer, model::BoardId::try_from(subject).map_err(Error::internal)?).await.map(drop),
            Kind::Comment => self.comment(viewer, CommentId::try_from(subject).map_err(Error::internal)?).await.map(drop),
            Kind::User => self.user(viewer, UserId::try_from(subject).map_err(Error::internal)?).await.map(drop),
            _ => Err(Error::NotFound(What::Page)),
        }
    }

    /// Lists reports for admins, the newest first: those that wait, or those that are decided.
    pub async fn reports(&self, viewer: &Viewer, decided: bool, request: &PageRequest) -> Result<Page<ReportView>> {
        viewer.require_admin()?;
        let (size, assoc) = (request.size()?, Assoc::SiteHasReports);
        let mut after = request.after_edge(lists::of_assoc(assoc))?;
        let mut items = Vec::new();
        loop {
            let range = Range { after, limit: READ_STEP.max(size + 1), order: Order::Descending };
            let limit = range.limit;
            let edges = self.storage.range(assoc, site_id().id(), range).await?;
            let ended = edges.len() < limit;
            after = edges.last().map(|edge| (edge.sequence, edge.to)).or(after);
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            for (edge, report) in edges.into_iter().zip(self.objects::<Report>(&ids).await?) {
                let Some(report) = report.filter(|report| (report.data.state != ReportState::Open) == decided) else { continue };
                let reporter = self.object::<User>(report.data.reporter).await?;
                let (label, link) = self.describe(report.data.subject).await?;
                items.push((edge, ReportView { reporter, label, link, report }));
                if items.len() > size {
                    break;
                }
            }
            if ended || items.len() > size {
                return Ok(page_of(items, size, lists::of_assoc(assoc)));
            }
        }
    }

    /// Says whose a pin, comment, board or profile is; `None` when it is gone.
    pub async fn owner_of(&self, id: Id) -> Result<Option<UserId>> {
        Ok(match id.kind() {
            Kind::Pin => self.object::<Pin>(id).await?.map(|pin| pin.data.owner),
            Kind::Comment => self.object::<Comment>(id).await?.map(|comment| comment.data.author),
            Kind::Board => self.object::<model::Board>(id).await?.map(|board| board.data.owner),
            Kind::User => UserId::try_from(id).ok(),
            _ => None,
        })
    }

    /// Says in words what an id names and where it is, for admins.
    pub async fn describe(&self, id: Id) -> Result<(String, String)> {
        Ok(match id.kind() {
            Kind::Pin => {
                let title = self.object::<Pin>(id).await?.map(|pin| pin.data.title.clone()).filter(|title| !title.is_empty());
                (format!("Pin {}", title.unwrap_or_else(|| id.to_string())), format!("/pin/{id}"))
            }
            Kind::Comment => match self.object::<Comment>(id).await? {
                Some(comment) => (
                    format!("Comment “{}”", comment.data.text.chars().take(80).collect::<String>()),
                    format!("/pin/{}#comment-{id}", comment.data.pin),
                ),
                None => ("A comment that is gone".into(), String::new()),
            },
            Kind::User => match self.object::<User>(id).await? {
                Some(user) => (format!("@{}", user.data.username), format!("/{}", user.data.username)),
                None => ("A person who is gone".into(), String::new()),
            },
            Kind::Board => match self.object::<model::Board>(id).await? {
                Some(board) => {
                    let owner = self.object::<User>(board.data.owner).await?;
                    (
                        format!("Board {}", board.data.name),
                        owner.map(|owner| format!("/{}/{}", owner.data.username, board.data.slug)).unwrap_or_default(),
                    )
                }
                None => ("A board that is gone".into(), String::new()),
            },
            other => (format!("{other:?} {id}"), String::new()),
        })
    }

    /// Decides a report.
    pub async fn decide_report(&self, viewer: &Viewer, report: ReportId, decision: Decision) -> Result<()> {
        let me = viewer.require_admin()?;
        let stored = self.fresh::<Report>(report).await?.ok_or(Error::NotFound(What::Report))?;
        let subject = stored.data.subject;
        match decision {
            Decision::Dismiss => {}
            Decision::TakeDown => self.take_down_reported(viewer, report, &stored.data).await?,
            Decision::Suspend => {
                let owner = self.owner_of(subject).await?;
                if matches!(subject.kind(), Kind::Pin | Kind::Comment) {
                    self.take_down_reported(viewer, report, &stored.data).await?;
                }
                if let Some(owner) = owner {
                    self.suspend(viewer, owner, true).await?;
                }
            }
        }
        let state = if decision == Decision::Dismiss { ReportState::Dismissed } else { ReportState::Resolved };
        let mut batch = Batch::on(report.shard());
        batch
            .update(report.id(), stored.version, &Report { state, decided_by: Some(me), ..stored.data.clone() })
            .audit(Some(me), "report_decided", vec![report.id(), stored.data.subject], json!({ "state": state }))
            .emit(self.event(EventKind::ReportDecided, viewer, vec![report.id(), stored.data.subject]));
        self.commit(batch).await.map(drop)
    }

    /// Takes down what was reported with the words of an admin, and so decides the report.
    pub async fn take_down_for_report(&self, viewer: &Viewer, report: ReportId, new: NewTakedown) -> Result<()> {
        let stored = self.fresh::<Report>(report).await?.ok_or(Error::NotFound(What::Report))?;
        if stored.data.subject != new.subject {
            return Err(Error::invalid("subject", "The report is about something else. Open the form from the report."));
        }
        self.take_down(viewer, new).await?;
        self.decide_report(viewer, report, Decision::TakeDown).await
    }

    async fn take_down_reported(&self, viewer: &Viewer, report: ReportId, stored: &Report) -> Result<()> {
        match stored.subject.kind() {
            Kind::Pin | Kind::Comment => {
                let reason = crate::takedowns::reason_of_report(stored.reason);
                let new = NewTakedown { report: Some(report), ..NewTakedown::new(stored.subject, reason) };
                match self.take_down(viewer, new).await {
                    // It is gone.
                    Ok(_) | Err(Error::NotFound(_)) => Ok(()),
                    // Another report of the same was decided before.
                    Err(Error::Conflict(_)) if self.fresh::<Pin>(stored.subject).await?.is_some_and(|pin| pin.data.hidden) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Kind::User => self.suspend(viewer, UserId::try_from(stored.subject).map_err(Error::internal)?, true).await,
            _ => Err(Error::invalid("decision", "A board can't be taken down as a whole: decide about its pins or its owner.")),
        }
    }
}
