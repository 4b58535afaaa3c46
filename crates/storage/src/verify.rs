//! Verification: everything that is stored twice is compared, and what follows from something else can be mended.
//!
//! ```text
//! per piece of shards    examine   each place by itself: counts, ids, data, audit chains, rights            (engine)
//!                        mirrors   user_likes_pins (a → b)  ⇄  pin_liked_by_users (b → a), on another shard
//!                        objects   schema; a user's, board's, picture's, topic's names  ─▶ who holds them?
//!                        names     who holds it?  ─▶ is that object called so?
//!                           │
//!                           ▼ suspects: asked again after a moment, because an act's second half follows behind its first
//!                        findings ── --repair ─▶ mend.rs, through the front
//! ```
//!
//! Memory is bounded: pages of rows, so many suspects, so many findings. Nothing is locked; what changes meanwhile is looked at again
//! before it is called different. finding.rs values, judge.rs the decisions, advice.rs what to do, mend.rs repairs.

pub(crate) mod advice;
mod finding;
mod judge;
mod mend;

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Assoc, Id, Kind};

use self::judge::{Borne, Pair, borne_names, judge_borne, judge_data, judge_name, judge_pair, lasting};
use crate::engine::inspection::{Inspection, MappedEdge, StoredName};
use crate::engine::mysql::Progress;
use crate::engine::slots::name_kind;
use crate::error::{Error, Result};
use crate::storage::Storage;

pub use self::finding::{Finding, Severity, VerifyReport};
pub use crate::engine::inspection::ShardRange;

pub(crate) use self::finding::Repair;

/// Findings of one sort that a quick check lists.
pub(crate) const FINDINGS_MAX: usize = 20;
/// Findings of one sort on one piece that a verification lists, and findings that it keeps in all. What is more comes up when these
/// are mended and it runs again.
const EXAMINED_MAX: usize = 1_000;
const KEPT_MAX: usize = 10_000;
/// Rows per page: a few hundred KiB of usual objects.
const PAGE_ROWS: usize = 1_000;
/// Suspects that wait to be asked again.
const SUSPECTS_MAX: usize = 10_000;

/// What to verify, and how.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    pub shards: ShardRange,
    /// Mends what is derived.
    pub repair: bool,
    /// How long to wait before a suspect is asked again: longer than the second half of an act takes.
    pub settle: Duration,
}

impl Default for VerifyOptions {
    fn default() -> VerifyOptions {
        VerifyOptions { shards: ShardRange::ALL, repair: false, settle: Duration::from_secs(2) }
    }
}

impl Storage {
    /// Compares everything that is stored twice, and returns what differs.
    pub async fn verify(&self, options: &VerifyOptions, progress: &dyn Progress) -> Result<VerifyReport> {
        let inspection = self.engine().inspection().ok_or_else(|| {
            Error::Invalid(
                "The store itself is elsewhere, and only whoever holds it can look at all of it: run `corkboard storage verify` with the storage service's own storage.url."
                    .to_owned(),
            )
        })?;
        let mut verification =
            Verification { storage: self, inspection, options, suspects: Suspects::default(), report: VerifyReport::default() };
        progress.begin("comparing shards", Some(u64::from(options.shards.last - options.shards.first) + 1));
        for piece in options.shards.pieces(inspection.piece_shards()) {
            let looked = verification.look_at(piece).await;
            verification.unless_away(piece, looked)?;
            progress.advance(u64::from(piece.last - piece.first) + 1);
            if verification.report.findings.len() >= KEPT_MAX {
                verification.report.is_cut = true;
                break;
            }
        }
        let asked = verification.ask_again().await;
        verification.unless_away(options.shards, asked)?;
        Ok(verification.report)
    }
}

/// One verification on its way.
struct Verification<'a> {
    storage: &'a Storage,
    inspection: &'a dyn Inspection,
    options: &'a VerifyOptions,
    suspects: Suspects,
    report: VerifyReport,
}

/// What did not fit together at the first look.
#[derive(Default)]
struct Suspects {
    pairs: BTreeSet<Pair>,
    borne: Vec<(Id, Borne)>,
    names: Vec<StoredName>,
}

impl Suspects {
    fn len(&self) -> usize {
        self.pairs.len() + self.borne.len() + self.names.len()
    }
}

impl Verification<'_> {
    async fn look_at(&mut self, piece: ShardRange) -> Result<()> {
        self.examine(piece).await?;
        for (first, mirror) in Assoc::MIRRORED {
            self.pairs(piece, (first, mirror), true).await?;
            self.pairs(piece, (first, mirror), false).await?;
        }
        for kind in Kind::OBJECTS {
            self.objects(piece, kind).await?;
        }
        self.names(piece).await
    }

    /// Makes a finding of shards that nobody answers for: the others are looked at all the same.
    fn unless_away(&mut self, piece: ShardRange, looked: Result<()>) -> Result<()> {
        if let Err(Error::Unavailable(message)) = &looked {
            let what = format!("Shards {}–{} could not be compared to the end: {message}", piece.first, piece.last);
            self.report.findings.push(Finding::error("owned_shards", what, advice::AWAY));
            return Ok(());
        }
        looked
    }

    async fn examine(&mut self, piece: ShardRange) -> Result<()> {
        loop {
            let mut findings = self.inspection.examine(piece, EXAMINED_MAX).await?;
            if !findings.is_empty() {
                tokio::time::sleep(self.options.settle).await;
                findings = lasting(findings, &self.inspection.examine(piece, EXAMINED_MAX).await?);
            }
            let (is_full, mended) = (findings.len() >= EXAMINED_MAX, self.report.mended.len());
            let kept = self.report.findings.len();
            self.take(findings).await;
            if !is_full {
                return Ok(());
            }
            if self.report.mended.len() == mended || !self.options.repair {
                self.report.is_cut = true;
                return Ok(());
            }
            // What could not be mended will be listed again.
            self.report.findings.truncate(kept);
        }
    }

    /// Looks for the other end of every edge: of the first ends (`forward`), or of the mirrors.
    async fn pairs(&mut self, piece: ShardRange, (first, mirror): (Assoc, Assoc), forward: bool) -> Result<()> {
        let (near, far) = if forward { (first, mirror) } else { (mirror, first) };
        let mut after = None;
        loop {
            let edges = self.inspection.list_edges(near, piece, after, PAGE_ROWS).await?;
            let Some(last) = edges.last() else { return Ok(()) };
            after = Some(*last);
            let (ends, broken): (Vec<_>, Vec<_>) = edges.iter().partition(|edge| ends_of(near, edge).is_some());
            for MappedEdge { from, to, .. } in broken {
                let what = format!("{} has an edge from {from} to {to}, which are not ids of its kinds.", near.table());
                self.take(vec![Finding::error(near.table(), what, advice::RESTORE)]).await;
            }
            let back: Vec<(Id, Id)> = ends.iter().filter_map(|edge| ends_of(near, edge)).map(|(from, to)| (to, from)).collect();
            let found = self.inspection.find_edges(far, &back).await?;
            let missing = back.iter().zip(found).filter(|(_, found)| found.is_none());
            self.suspects.pairs.extend(missing.map(|(&(to, from), _)| {
                let (from, to) = if forward { (from, to) } else { (to, from) };
                Pair { first, mirror, from, to }
            }));
            self.report.rows += edges.len() as u64;
            self.ask_again_when_many().await?;
            if edges.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Looks whether objects are of their schema and hold the names that they bear.
    async fn objects(&mut self, piece: ShardRange, kind: Kind) -> Result<()> {
        let mut after = None;
        loop {
            let rows = self.inspection.list_rows(kind, piece, after, PAGE_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            self.take(rows.iter().filter_map(judge_data).collect()).await;
            let borne: Vec<(Id, Borne)> =
                rows.iter().flat_map(|row| borne_names(row).unwrap_or_default().into_iter().map(|borne| (row.id, borne))).collect();
            let wanted: Vec<_> = borne.iter().map(|(_, borne)| (borne.kind, borne.key.clone())).collect();
            let holders = self.inspection.holders(&wanted).await?;
            let suspects = borne.into_iter().zip(holders).filter(|((id, borne), holder)| judge_borne(*id, borne, *holder).is_some());
            self.suspects.borne.extend(suspects.map(|(borne, _)| borne));
            self.report.rows += rows.len() as u64;
            self.ask_again_when_many().await?;
            if rows.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }

    /// Looks whether names are held by somebody who is called so.
    async fn names(&mut self, piece: ShardRange) -> Result<()> {
        let mut after: Option<StoredName> = None;
        loop {
            let names = self.inspection.list_names(piece, after.as_ref(), PAGE_ROWS).await?;
            if names.is_empty() {
                return Ok(());
            }
            let found = self.judge_names(&names).await?;
            let suspects = names.iter().zip(found).filter(|(_, finding)| finding.is_some()).map(|(name, _)| name.clone());
            self.suspects.names.extend(suspects);
            self.report.rows += names.len() as u64;
            self.ask_again_when_many().await?;
            if names.len() < PAGE_ROWS {
                return Ok(());
            }
            after = names.into_iter().last();
        }
    }

    async fn judge_names(&self, names: &[StoredName]) -> Result<Vec<Option<Finding>>> {
        let holder = |name: &StoredName| Id::from_u64(name.id as u64).ok().filter(|id| Kind::OBJECTS.contains(&id.kind()));
        let ids: Vec<Id> = names.iter().filter_map(holder).collect();
        let mut rows = self.storage.engine().get(&ids).await?.into_iter();
        let now = self.storage.now();
        Ok(names
            .iter()
            .map(|name| {
                let row = holder(name).and_then(|_| rows.next().flatten());
                judge_name(name, row.as_ref(), now)
            })
            .collect())
    }

    async fn ask_again_when_many(&mut self) -> Result<()> {
        if self.suspects.len() >= SUSPECTS_MAX { self.ask_again().await } else { Ok(()) }
    }

    /// Asks the suspects again, after a moment. Who does not fit together now is a finding.
    async fn ask_again(&mut self) -> Result<()> {
        if self.suspects.len() == 0 {
            return Ok(());
        }
        tokio::time::sleep(self.options.settle).await;
        let Suspects { pairs, borne, names } = std::mem::take(&mut self.suspects);
        let mut findings = Vec::new();
        for (first, mirror) in Assoc::MIRRORED {
            let pairs: Vec<Pair> = pairs.iter().copied().filter(|pair| pair.first == first).collect();
            for chunk in pairs.chunks(PAGE_ROWS) {
                let forward: Vec<_> = chunk.iter().map(|pair| (pair.from, pair.to)).collect();
                let back: Vec<_> = chunk.iter().map(|pair| (pair.to, pair.from)).collect();
                let ends = (self.inspection.find_edges(first, &forward).await?, self.inspection.find_edges(mirror, &back).await?);
                findings.extend(chunk.iter().zip(ends.0).zip(ends.1).filter_map(|((pair, first), mirror)| {
                    let at = self.inspection.server_of(pair.to.shard());
                    judge_pair(*pair, first, mirror).map(|finding| finding.on(at))
                }));
            }
        }
        for chunk in names.chunks(PAGE_ROWS) {
            findings.extend(self.names_again(chunk).await?);
        }
        self.take(findings).await;
        // After the names that have been released: whoever bears one can have it now.
        for chunk in borne.chunks(PAGE_ROWS) {
            let findings = self.borne_again(chunk).await?;
            self.take(findings).await;
        }
        Ok(())
    }

    async fn borne_again(&self, suspects: &[(Id, Borne)]) -> Result<Vec<Finding>> {
        let ids: Vec<Id> = suspects.iter().map(|(id, _)| *id).collect();
        let wanted: Vec<_> = suspects.iter().map(|(_, borne)| (borne.kind, borne.key.clone())).collect();
        let (rows, holders) = (self.storage.engine().get(&ids).await?, self.inspection.holders(&wanted).await?);
        let mut findings = Vec::new();
        for (((id, borne), row), holder) in suspects.iter().zip(rows).zip(holders) {
            // It may be called otherwise by now, or be gone.
            let is_called_so = row.is_some_and(|row| borne_names(&row).is_ok_and(|now| now.contains(borne)));
            if is_called_so && let Some(finding) = judge_borne(*id, borne, holder) {
                findings.push(finding.on(self.inspection.server_of(id.shard())));
            }
        }
        Ok(findings)
    }

    async fn names_again(&self, suspects: &[StoredName]) -> Result<Vec<Finding>> {
        let (mut now, mut findings) = (Vec::new(), Vec::new());
        for name in suspects {
            let at = (name_kind(&name.kind)).map(|kind| (kind, name.key.clone()));
            let held = match at {
                Some(wanted) => self.inspection.holders(&[wanted]).await?.pop().flatten(),
                None => None,
            };
            // A name at the wrong place is not found by asking for it; it stays as it was.
            let again = held.map_or_else(
                || name.clone(),
                |held| StoredName { id: held.id.as_i64(), confirmed: held.confirmed, claimed_at: held.claimed_at.0, ..name.clone() },
            );
            let is_gone = held.is_none() && judge_name(name, None, self.storage.now()).is_some_and(|finding| finding.repairable);
            if !is_gone {
                now.push(again);
            }
        }
        for (name, finding) in now.iter().zip(self.judge_names(&now).await?) {
            let at = self.inspection.server_of(model::Shard((name.slot >> crate::engine::slots::SHARD_SHIFT) as u16));
            findings.extend(finding.map(|finding| finding.on(at)));
        }
        Ok(findings)
    }

    /// Takes findings in: mends what can be mended, if that is wanted, and keeps the rest.
    async fn take(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            let repair = finding.repair.as_ref().filter(|repair| self.options.repair && !matches!(repair, Repair::DeleteStrays { .. }));
            let Some(repair) = repair else {
                if self.report.findings.len() < KEPT_MAX {
                    self.report.findings.push(finding);
                }
                continue;
            };
            match mend::mend(self.storage, self.inspection, repair).await {
                Ok(done) => self.report.mended.push(format!("{finding} {done}")),
                Err(error) => {
                    let advice = format!("It could not be mended: {error} Run it again.");
                    self.report.findings.push(Finding { advice, ..finding });
                }
            }
        }
    }
}

/// Returns the ends of an edge if they are ids of the association's kinds.
fn ends_of(assoc: Assoc, edge: &MappedEdge) -> Option<(Id, Id)> {
    let (from, to) = (Id::from_u64(edge.from as u64).ok()?, Id::from_u64(edge.to as u64).ok()?);
    let exists = |id: Id| id.shard().0 < model::id::SHARD_COUNT;
    (assoc.ends() == (from.kind(), to.kind()) && exists(from) && exists(to)).then_some((from, to))
}

#[cfg(test)]
pub(crate) mod tests;
