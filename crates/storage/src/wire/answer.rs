//! Answers on the wire. Lists that are large travel in pieces, so that no message is.

use model::{Id, Timestamp};
use prost::Message;

use super::proto::{self, answer::What};
use super::{commit, id, name_kind};
use crate::audit::AuditRow;
use crate::batch::Written;
use crate::engine::EngineStats;
use crate::error::{Error, Result};
use crate::row::{Edge, Name, Row, StaleClaim, Stats};

/// Bytes of one piece of a list, about: enough that the frames around it cost nothing, little enough that others get their turn.
const PIECE_BYTES: usize = 1 << 20;

/// One part of an answer.
pub(crate) type Piece = What;

/// Cuts a list into parts of about [`PIECE_BYTES`]; an empty list is one empty part.
fn cut<T: Message>(items: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        bytes += item.encoded_len();
        part.push(item);
        if bytes >= PIECE_BYTES {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
    }
    if parts.is_empty() || !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn row_to(row: Row) -> proto::Row {
    proto::Row {
        id: row.id.as_u64(),
        version: row.version,
        created_at: row.created_at.0,
        updated_at: row.updated_at.0,
        active: row.active,
        data: row.data,
    }
}

fn edges_to(edges: Vec<Edge>) -> proto::EdgeList {
    let (tos, sequences) = edges.into_iter().map(|edge| (edge.to.as_u64(), edge.sequence)).unzip();
    proto::EdgeList { tos, sequences }
}

fn audit_to(row: AuditRow) -> proto::AuditRow {
    proto::AuditRow {
        id: row.id,
        at: row.at,
        actor: row.actor.unwrap_or(0),
        act: row.act,
        subjects: row.subjects,
        data: row.data,
        previous_hash: row.previous_hash,
        hash: row.hash,
    }
}

/// How answers become messages. Lists give one piece or more, everything else exactly one.
pub(crate) mod pieces {
    use super::{AuditRow, Edge, Id, Name, Piece, Row, StaleClaim, Stats, What, audit_to, cut, edges_to, proto, row_to};

    /// Rows in the order of ids; `None` becomes a row of version 0.
    pub(crate) fn found(rows: Vec<Option<Row>>) -> Vec<Piece> {
        let rows = rows.into_iter().map(|row| row.map(row_to).unwrap_or_default());
        cut(rows).into_iter().map(|rows| What::Rows(proto::Rows { rows })).collect()
    }

    pub(crate) fn rows(rows: Vec<Row>) -> Vec<Piece> {
        cut(rows.into_iter().map(row_to)).into_iter().map(|rows| What::Rows(proto::Rows { rows })).collect()
    }

    pub(crate) fn sequences(found: &[Option<i64>]) -> Vec<Piece> {
        let exists = found.iter().map(Option::is_some).collect();
        let sequences = found.iter().map(|sequence| sequence.unwrap_or(0)).collect();
        vec![What::Sequences(proto::Sequences { exists, sequences })]
    }

    pub(crate) fn counts(counts: Vec<u64>) -> Vec<Piece> {
        vec![What::Counts(proto::Counted { counts })]
    }

    pub(crate) fn ranges(lists: Vec<Vec<Edge>>) -> Vec<Piece> {
        cut(lists.into_iter().map(edges_to)).into_iter().map(|lists| What::Edges(proto::EdgeLists { lists })).collect()
    }

    pub(crate) fn name(name: Option<Name>) -> Vec<Piece> {
        let name = name.map(|name| proto::Name { id: name.id.as_u64(), confirmed: name.confirmed, claimed_at: name.claimed_at.0 });
        vec![What::Name(name.unwrap_or_default())]
    }

    pub(crate) fn names_of(kind: model::NameKind, names: Vec<(String, Id)>) -> Vec<Piece> {
        let held = |(key, id): (String, Id)| proto::HeldName { kind: kind.as_str().to_owned(), key, id: id.as_u64() };
        cut(names.into_iter().map(held)).into_iter().map(|names| What::Names(proto::HeldNames { names })).collect()
    }

    pub(crate) fn claims(claims: Vec<StaleClaim>) -> Vec<Piece> {
        let held = |claim: StaleClaim| proto::HeldName { kind: claim.kind.as_str().to_owned(), key: claim.key, id: claim.id.as_u64() };
        cut(claims.into_iter().map(held)).into_iter().map(|names| What::Names(proto::HeldNames { names })).collect()
    }

    pub(crate) fn events(events: Vec<(i64, String)>) -> Vec<Piece> {
        let event = |(position, json)| proto::Event { position, json };
        cut(events.into_iter().map(event)).into_iter().map(|events| What::Events(proto::Events { events })).collect()
    }

    pub(crate) fn audit(rows: Vec<AuditRow>) -> Vec<Piece> {
        cut(rows.into_iter().map(audit_to)).into_iter().map(|rows| What::Audit(proto::AuditRows { rows })).collect()
    }

    pub(crate) fn figures(stats: Stats) -> Vec<Piece> {
        let tables = stats.tables.into_iter().map(|(name, rows)| proto::figures::Table { name, rows }).collect();
        vec![What::Figures(proto::Figures {
            tables,
            file_bytes: stats.file_bytes,
            wal_bytes: stats.wal_bytes,
            outbox: stats.outbox,
            writes: stats.writes,
            group_commits: stats.group_commits,
        })]
    }

    pub(crate) fn findings(findings: Vec<String>) -> Vec<Piece> {
        vec![What::Findings(proto::Findings { findings })]
    }
}

/// How answers come back. A piece of another kind than was asked for gives an error: the service can't be what it says.
pub(crate) mod answer_of {
    use super::{
        AuditRow, Edge, EngineStats, Error, Id, Name, Piece, Result, Row, StaleClaim, Timestamp, What, Written, commit, id, name_kind,
        proto,
    };

    fn strange<T>(wanted: &str) -> Result<T> {
        Err(Error::Corrupt(format!("The storage service did not answer with {wanted}; is its version much older or newer than this one?")))
    }

    fn row(row: proto::Row) -> Result<Row> {
        Ok(Row {
            id: id(row.id)?,
            version: row.version,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
            active: row.active,
            data: row.data,
        })
    }

    /// Joins the lists of all pieces.
    fn joined<T>(pieces: Vec<Piece>, wanted: &str, list: impl Fn(Piece) -> Option<Vec<T>>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for piece in pieces {
            match list(piece) {
                // Nearly always there is one piece, which is the list.
                Some(items) if all.is_empty() => all = items,
                Some(items) => all.extend(items),
                None => return strange(wanted),
            }
        }
        Ok(all)
    }

    fn single(pieces: Vec<Piece>) -> Option<Piece> {
        let mut pieces = pieces.into_iter();
        pieces.next().filter(|_| pieces.len() == 0)
    }

    /// Checks that a list has one item per thing that was asked for.
    fn counted<T>(items: Vec<T>, wanted: usize, what: &str) -> Result<Vec<T>> {
        if items.len() == wanted { Ok(items) } else { strange(&format!("{wanted} {what} (but with {})", items.len())) }
    }

    fn proto_rows(pieces: Vec<Piece>) -> Result<Vec<proto::Row>> {
        joined(pieces, "rows", |piece| if let What::Rows(rows) = piece { Some(rows.rows) } else { None })
    }

    pub(crate) fn found(pieces: Vec<Piece>, wanted: usize) -> Result<Vec<Option<Row>>> {
        let rows = counted(proto_rows(pieces)?, wanted, "rows")?;
        rows.into_iter().map(|found| if found.version == 0 { Ok(None) } else { row(found).map(Some) }).collect()
    }

    pub(crate) fn rows(pieces: Vec<Piece>) -> Result<Vec<Row>> {
        proto_rows(pieces)?.into_iter().map(row).collect()
    }

    pub(crate) fn sequences(pieces: Vec<Piece>, wanted: usize) -> Result<Vec<Option<i64>>> {
        let Some(What::Sequences(found)) = single(pieces) else { return strange("sequences") };
        let exists = counted(found.exists, wanted, "sequences")?;
        let sequences = counted(found.sequences, wanted, "sequences")?;
        Ok(exists.into_iter().zip(sequences).map(|(exists, sequence)| exists.then_some(sequence)).collect())
    }

    pub(crate) fn counts(pieces: Vec<Piece>, wanted: usize) -> Result<Vec<u64>> {
        let Some(What::Counts(counted_edges)) = single(pieces) else { return strange("counts") };
        counted(counted_edges.counts, wanted, "counts")
    }

    pub(crate) fn ranges(pieces: Vec<Piece>, wanted: usize) -> Result<Vec<Vec<Edge>>> {
        let lists = joined(pieces, "edges", |piece| if let What::Edges(edges) = piece { Some(edges.lists) } else { None })?;
        let edges = |list: proto::EdgeList| {
            let sequences = counted(list.sequences, list.tos.len(), "sequences")?;
            list.tos.into_iter().zip(sequences).map(|(to, sequence)| Ok(Edge { to: id(to)?, sequence })).collect()
        };
        counted(lists, wanted, "lists")?.into_iter().map(edges).collect()
    }

    pub(crate) fn name(pieces: Vec<Piece>) -> Result<Option<Name>> {
        match single(pieces) {
            Some(What::Name(name)) if name.id == 0 => Ok(None),
            Some(What::Name(name)) => {
                Ok(Some(Name { id: id(name.id)?, confirmed: name.confirmed, claimed_at: Timestamp(name.claimed_at) }))
            }
            _ => strange("a name"),
        }
    }

    fn held(pieces: Vec<Piece>) -> Result<Vec<proto::HeldName>> {
        joined(pieces, "names", |piece| if let What::Names(names) = piece { Some(names.names) } else { None })
    }

    pub(crate) fn names_of(pieces: Vec<Piece>) -> Result<Vec<(String, Id)>> {
        held(pieces)?.into_iter().map(|name| Ok((name.key, id(name.id)?))).collect()
    }

    pub(crate) fn claims(pieces: Vec<Piece>) -> Result<Vec<StaleClaim>> {
        let claim = |name: proto::HeldName| Ok(StaleClaim { kind: name_kind(&name.kind)?, key: name.key, id: id(name.id)? });
        held(pieces)?.into_iter().map(claim).collect()
    }

    pub(crate) fn events(pieces: Vec<Piece>) -> Result<Vec<(i64, String)>> {
        let events = joined(pieces, "events", |piece| if let What::Events(events) = piece { Some(events.events) } else { None })?;
        Ok(events.into_iter().map(|event| (event.position, event.json)).collect())
    }

    pub(crate) fn audit(pieces: Vec<Piece>) -> Result<Vec<AuditRow>> {
        let rows = joined(pieces, "audit entries", |piece| if let What::Audit(audit) = piece { Some(audit.rows) } else { None })?;
        let row = |row: proto::AuditRow| AuditRow {
            id: row.id,
            at: row.at,
            actor: (row.actor != 0).then_some(row.actor),
            act: row.act,
            subjects: row.subjects,
            data: row.data,
            previous_hash: row.previous_hash,
            hash: row.hash,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    pub(crate) fn figures(pieces: Vec<Piece>) -> Result<EngineStats> {
        let Some(What::Figures(figures)) = single(pieces) else { return strange("figures") };
        Ok(EngineStats {
            tables: figures.tables.into_iter().map(|table| (table.name, table.rows)).collect(),
            file_bytes: figures.file_bytes,
            wal_bytes: figures.wal_bytes,
            outbox: figures.outbox,
            writes: figures.writes,
            group_commits: figures.group_commits,
        })
    }

    pub(crate) fn findings(pieces: Vec<Piece>) -> Result<Vec<String>> {
        joined(pieces, "findings", |piece| if let What::Findings(findings) = piece { Some(findings.findings) } else { None })
    }

    pub(crate) fn written(written: proto::Written) -> Result<Written> {
        let versions = counted(written.versions, written.ids.len(), "versions")?;
        Ok(Written {
            versions: written.ids.into_iter().zip(versions).map(|(number, version)| Ok((id(number)?, version))).collect::<Result<_>>()?,
            changed: written.changed,
            replayed: written.replayed,
            commit: written.commit.map(commit).transpose()?,
        })
    }
}

impl From<Written> for proto::Written {
    fn from(written: Written) -> proto::Written {
        let (ids, versions) = written.versions.iter().map(|(id, version)| (id.as_u64(), *version)).unzip();
        proto::Written {
            ids,
            versions,
            changed: written.changed,
            replayed: written.replayed,
            commit: written.commit.as_ref().map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::pin;
    use crate::row::Commit;

    fn a_row(local: u64, bytes: usize) -> Row {
        let at = Timestamp(5);
        Row { id: pin(local).into(), version: local, created_at: at, updated_at: at.plus(1), active: true, data: "x".repeat(bytes) }
    }

    #[test]
    fn large_lists_come_in_pieces_and_are_one_list_again() {
        let rows: Vec<Row> = (1..=10).map(|local| a_row(local, PIECE_BYTES / 4)).collect();
        let pieces = pieces::rows(rows.clone());
        assert_eq!(pieces.len(), 3);
        assert_eq!(answer_of::rows(pieces), Ok(rows.clone()));
        let found: Vec<Option<Row>> = rows.into_iter().map(Some).chain([None]).collect();
        assert_eq!(answer_of::found(pieces::found(found.clone()), 11), Ok(found));
        assert_eq!(answer_of::rows(pieces::rows(vec![])), Ok(vec![]));
    }

    #[test]
    fn answers_of_another_kind_or_length_are_no_answers() {
        assert!(matches!(answer_of::counts(pieces::rows(vec![]), 0), Err(Error::Corrupt(_))));
        assert!(matches!(answer_of::counts(pieces::counts(vec![1]), 2), Err(Error::Corrupt(_))));
        assert!(matches!(answer_of::found(pieces::found(vec![None]), 2), Err(Error::Corrupt(_))));
        assert!(matches!(answer_of::sequences(vec![], 1), Err(Error::Corrupt(_))));
        let short = proto::EdgeLists { lists: vec![proto::EdgeList { tos: vec![1, 2], sequences: vec![1] }] };
        assert!(matches!(answer_of::ranges(vec![What::Edges(short)], 1), Err(Error::Corrupt(_))));
    }

    #[test]
    fn what_a_batch_did_comes_back_with_its_place_in_history() {
        let written = Written {
            versions: vec![(pin(1).into(), 3)],
            changed: vec![true, false],
            replayed: true,
            commit: Some(Commit { server: 7, gtid: "0-7-99".to_owned() }),
        };
        assert_eq!(answer_of::written(written.clone().into()), Ok(written));
    }
}
