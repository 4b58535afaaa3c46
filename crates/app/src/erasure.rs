//! Erasure: deleting a person on request, and the traces that a person leaves in logs and in records of others.
//!
//! | where | what becomes of it |
//! | --- | --- |
//! | pins, boards, comments, likes, follows, names, sessions, tokens | purged by the job `DeleteUser`, deleted rows included |
//! | event log | details blanked; what happened, when, between which ids stays |
//! | finished and waiting mails | deleted from the queue; from the mail folder what was addressed to them |
//! | notifications of others about them | purged |
//! | reports by them or about theirs, holds, takedowns | free text blanked; the record stays, with ids only |
//! | topics that only their pins carried and nobody follows | purged |
//! | audit log | unchanged and verifiable: it has never held more than ids |
//!
//! What others saved, quoted or wrote is theirs and stays.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use ::jobs::{JobContext, State};
use cache::Stale;
use model::limits::LEGAL_NOTE_CHARS_MAX;
use model::{Assoc, Board, Event, EventKind, Id, LegalHold, NameKind, Notification, Pin, Report, Stored, Takedown, TopicId, User, UserId};
use serde_json::json;
use storage::{Batch, Condition, Order, Range};

use crate::admin::site_id;
use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::holds::{Guard, Purge, required_text};
use crate::jobs::{AppJob, SendMail};
use crate::viewer::Viewer;

/// Rows that are read at once where a whole table or list is looked through.
const STEP: usize = 1_000;

/// What tells of a person outside of their own rows.
pub(crate) struct Traces {
    user: UserId,
    username: String,
    email: String,
    /// The person, their pins, boards and comments.
    ids: HashSet<Id>,
}

impl Traces {
    /// Says whether an event's details may tell something of the person.
    fn are_in(&self, event: &Event) -> bool {
        event.actor == Some(self.user) || event.subjects.iter().any(|id| self.ids.contains(id)) || self.are_in_text(&event.data.to_string())
    }

    fn are_in_text(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        has_word(&text, &self.username) || (!self.email.is_empty() && text.contains(&self.email))
    }
}

/// Says whether a word stands in a text on its own and not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
}

/// Refuses a reason that names the person: it stays in the audit log for ever.
fn check_reason(reason: &str, user: &User) -> Result<()> {
    let text = reason.to_lowercase();
    let named = [&user.username, &user.name, &user.email].into_iter().find(|name| has_word(&text, &name.to_lowercase()));
    match named {
        Some(name) => Err(Error::invalid(
            "reason",
            format!("The reason names '{name}', but it stays in the audit log for ever. Name the request, like \"request of 3 May\"."),
        )),
        None => Ok(()),
    }
}

impl App {
    /// Erases a person on request: for others they are gone at once, and a job deletes everything of them. A legal hold on them or on
    /// one of their pins is a Conflict that names it.
    pub async fn erase(&self, viewer: &Viewer, user: UserId, reason: &str) -> Result<()> {
        let by = viewer.require_privilege()?;
        let reason = required_text("reason", "The reason", reason, LEGAL_NOTE_CHARS_MAX)?;
        if by == Some(user) {
            return Err(Error::invalid("user", "Delete your own account in the settings, or ask another admin."));
        }
        let stored = self.fresh::<User>(user).await?.ok_or(Error::NotFound(What::User))?;
        check_reason(&reason, &stored.data)?;
        if let Some(hold) = self.holds_on(user).await?.first() {
            return Err(Error::Conflict(held_message(hold)));
        }
        if stored.data.deleting {
            return Err(Error::Conflict("This account is being deleted already; what is left goes when its job has run.".into()));
        }
        let mut batch = Batch::on(user.shard());
        batch
            .update(user, stored.version, &User { deleting: true, ..stored.data })
            .audit(by, EventKind::UserErased.as_str(), vec![user.id()], json!({ "reason": reason }))
            .emit(self.event(EventKind::UserErased, viewer, vec![user.id()]))
            .emit(self.event(EventKind::UserDeleted, viewer, vec![user.id()]));
        if self.commit_unheld(batch, &Guard::of(user)).await? == Purge::Postponed {
            let holds = self.holds_on(user).await?;
            return Err(Error::Conflict(holds.first().map_or_else(|| "A legal hold stands on this person.".to_owned(), held_message)));
        }
        self.revoke_sessions(user, None).await
    }

    /// Gathers what tells of a person, while it is still there.
    pub(crate) async fn traces_of(&self, stored: &Stored<User>, user: UserId) -> Result<Traces> {
        let mut ids = HashSet::from([user.id()]);
        ids.extend(self.rows_of_shard::<Pin>(user.shard(), |pin| pin.owner == user).await?.iter().map(|row| row.id));
        ids.extend(self.rows_of_shard::<Board>(user.shard(), |board| board.owner == user).await?.iter().map(|row| row.id));
        let mut after = None;
        loop {
            let range = Range { after, limit: STEP, order: Order::Ascending };
            let edges = self.storage.range(Assoc::UserWritesComments, user, range).await?;
            let Some(last) = edges.last() else { break };
            after = Some((last.sequence, last.to));
            ids.extend(edges.iter().map(|edge| edge.to));
        }
        Ok(Traces { user, username: stored.data.username.clone(), email: stored.data.email.clone(), ids })
    }

    /// Erases a person's traces. Safe to repeat at any point.
    pub(crate) async fn erase_traces(&self, traces: &Traces, context: &JobContext) -> Result<()> {
        self.events.blank(|event| traces.are_in(event)).await?;
        context.heartbeat().await.map_err(Error::internal)?;
        self.forget_mails(traces).await?;
        self.blank_reports(traces).await?;
        context.heartbeat().await.map_err(Error::internal)?;
        self.purge_notifications_about(traces, context).await?;
        self.blank_records(traces).await
    }

    /// Deletes the mails to a person, or with their name, from the queue and, where it stands for a mail server, from the folder.
    async fn forget_mails(&self, traces: &Traces) -> Result<()> {
        // Former addresses are known as long as the queue remembers a mail to them.
        let mut addresses: HashSet<String> = HashSet::from([traces.email.clone()]);
        for state in [State::Pending, State::Succeeded, State::Failed] {
            let mut cursor = None;
            loop {
                let jobs = self.jobs.scan(SendMail::QUEUE, state, cursor, STEP).await?;
                let Some(last) = jobs.last() else { break };
                cursor = Some(last.id);
                let mut ids = Vec::new();
                for job in jobs {
                    let in_text = traces.are_in_text(&job.payload.to_string());
                    let Ok(mail) = serde_json::from_value::<SendMail>(job.payload) else { continue };
                    if mail.about.first() == Some(&traces.user.id()) {
                        addresses.insert(mail.to.to_lowercase());
                    }
                    if in_text || mail.about.contains(&traces.user.id()) {
                        ids.push(job.id);
                    }
                }
                if !ids.is_empty() {
                    self.jobs.delete(&ids).await?;
                }
            }
        }
        addresses.remove("");
        match self.settings.mail_url.strip_prefix("file:") {
            Some(folder) if !addresses.is_empty() => remove_mails(Path::new(folder), &addresses).await,
            _ => Ok(()),
        }
    }

    /// Blanks what was written in reports by a person or about something of theirs.
    async fn blank_reports(&self, traces: &Traces) -> Result<()> {
        let mut after = None;
        loop {
            let range = Range { after, limit: STEP, order: Order::Ascending };
            let edges = self.storage.range(Assoc::SiteHasReports, site_id(), range).await?;
            let Some(last) = edges.last() else { return Ok(()) };
            after = Some((last.sequence, last.to));
            let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
            for stored in self.storage.get_many::<Report>(&ids).await?.into_iter().flatten() {
                let theirs = stored.data.reporter == traces.user || traces.ids.contains(&stored.data.subject);
                if theirs && !stored.data.note.is_empty() {
                    let mut batch = Batch::on(stored.id.shard());
                    batch.update(stored.id, stored.version, &Report { note: String::new(), ..stored.data });
                    self.commit(batch).await?;
                }
            }
        }
    }

    /// Purges what others were told about a person. Nothing leads from the person to it, so that the whole table is looked through.
    async fn purge_notifications_about(&self, traces: &Traces, context: &JobContext) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.storage.scan::<Notification>(after, STEP).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            for row in rows {
                let (to, about) = (row.data.user, row.data.actor == traces.user || traces.ids.contains(&row.data.subject));
                if to == traces.user || !about {
                    continue;
                }
                let mut batch = Batch::on(to.shard());
                batch.unmap(Assoc::UserHasNotifications, to, row.id).purge(row.id);
                // What a held person was told stays theirs.
                if self.commit_unheld(batch, &Guard::of(to)).await? == Purge::Done {
                    self.cache.invalidate_many(vec![Stale::object(row.id, u64::MAX)]).await;
                }
            }
            context.heartbeat().await.map_err(Error::internal)?;
        }
    }

    /// Blanks the free text of legal records about a person: that they were, when, by whom and of what kind stays.
    async fn blank_records(&self, traces: &Traces) -> Result<()> {
        let user = traces.user;
        for stored in self.rows_of_shard::<LegalHold>(user.shard(), |hold| traces.ids.contains(&hold.subject)).await? {
            let release = stored.data.release.clone().map(|release| model::legal::Release { reason: String::new(), ..release });
            let blank = LegalHold { reason: String::new(), release, ..stored.data.clone() };
            if blank != stored.data {
                let mut batch = Batch::on(stored.id.shard());
                batch.update(stored.id, stored.version, &blank);
                self.commit(batch).await?;
            }
        }
        let edges = self.storage.range(Assoc::UserHasTakedowns, user, Range::first(storage::LIST_ROWS_MAX)).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        for stored in self.storage.get_many::<Takedown>(&ids).await?.into_iter().flatten() {
            let blank = blanked(&stored.data);
            if blank != stored.data {
                let mut batch = Batch::on(stored.id.shard());
                batch.update(stored.id, stored.version, &blank);
                self.commit(batch).await?;
            }
        }
        Ok(())
    }

    /// Purges the topics of these tags that no pin carries and nobody follows any more: a tag that one person alone used may tell of
    /// them.
    pub(crate) async fn end_unused_topics(&self, tags: &BTreeSet<String>) -> Result<()> {
        for tag in tags {
            let Some(name) = self.name(NameKind::Tag, tag).await? else { continue };
            let topic = TopicId::try_from(name.id).map_err(Error::internal)?;
            let mut batch = Batch::on(topic.shard());
            for assoc in [Assoc::TopicHasPins, Assoc::TopicFollowedByUsers] {
                batch.require(Condition::CountIs(assoc, topic.id(), 0));
            }
            batch.purge(topic).release(NameKind::Tag, tag, topic);
            match self.commit(batch).await {
                // Somebody else's pin carries it, or somebody follows it.
                Ok(_) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn held_message(hold: &Stored<LegalHold>) -> String {
    let reference = match hold.data.reference.as_str() {
        "" => String::new(),
        reference => format!(" ({reference})"),
    };
    format!(
        "The legal hold {}{reference} on {:?} {} forbids to erase this person. Release it first: corkboard legal release {} --reason \"…\".",
        hold.id,
        hold.data.subject.kind(),
        hold.data.subject,
        hold.id
    )
}

fn blanked(takedown: &Takedown) -> Takedown {
    let mut blank = Takedown { note: String::new(), ..takedown.clone() };
    if let Some(appeal) = &mut blank.appeal {
        appeal.text.clear();
    }
    if let Some(decision) = &mut blank.decision {
        decision.note.clear();
    }
    blank
}

/// Removes the mails in the folder that were addressed to one of these.
async fn remove_mails(folder: &Path, addresses: &HashSet<String>) -> Result<()> {
    let away = |error: std::io::Error| Error::Unavailable(format!("The mail folder {} can't be looked through: {error}", folder.display()));
    let mut files = match tokio::fs::read_dir(folder).await {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(away(error)),
    };
    while let Some(file) = files.next_entry().await.map_err(away)? {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let mail = tokio::fs::read(&path).await.map_err(away)?;
        if addresses.iter().any(|address| is_addressed_to(&mail, address)) {
            tokio::fs::remove_file(&path).await.map_err(away)?;
        }
    }
    Ok(())
}

/// Says whether a mail's header names this recipient.
fn is_addressed_to(mail: &[u8], address: &str) -> bool {
    let text = String::from_utf8_lossy(mail).to_lowercase();
    let header = text.split("\r\n\r\n").next().unwrap_or("");
    // A long name folds the address into the next line, which begins with a space.
    header.replace("\r\n ", " ").lines().any(|line| line.starts_with("to:") && line.contains(&address.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole() {
        for (text, found) in
            [("/ada/lace", true), ("ada", true), ("by @ada.", true), ("/adam", false), ("nada", false), ("ada-2", false), ("", false)]
        {
            assert_eq!(has_word(text, "ada"), found, "{text}");
        }
        assert!(!has_word("anything", ""));
    }

    #[test]
    fn mails_are_known_by_their_recipient() {
        let mail = b"From: Site <site@example.org>\r\nTo: \"Ada\"\r\n <Ada@example.org>\r\nSubject: x\r\n\r\nbob@example.org";
        assert!(is_addressed_to(mail, "ada@example.org"));
        assert!(!is_addressed_to(mail, "bob@example.org"), "only named in the text");
        assert!(!is_addressed_to(mail, "site@example.org"), "the sender");
    }

    #[test]
    fn records_keep_everything_but_words() {
        use model::legal::{Appeal, Decided, TakedownReason, TakedownState};
        let (pin, user) = (model::PinId::new(model::Shard(1), 1), UserId::new(model::Shard(1), 2));
        let at = model::Timestamp(5);
        let record = Takedown {
            v: 1,
            subject: pin.id(),
            owner: user,
            reason: TakedownReason::Copyright,
            note: "words".into(),
            complainant: "letter 7".into(),
            report: None,
            by: Some(user),
            at,
            state: TakedownState::Upheld,
            appeal: Some(Appeal { text: "words".into(), at }),
            decision: Some(Decided { by: None, at, note: "words".into() }),
        };
        let blank = blanked(&record);
        assert!(!serde_json::to_string(&blank).unwrap().contains("words"));
        assert_eq!((blank.state, blank.complainant, blank.appeal.unwrap().at), (record.state, record.complainant, at));
    }
}
