//! Reads of one message: who may ask what, and which look-ups are joined into one.
//!
//! ```text
//! get a · get b, c · count d · range e of x · range f of x · scan  ─▶  get a, b, c │ count d │ ranges e, f of x │ scan     at the same time
//! ```
//!
//! Joined look-ups are one call of the engine, which asks all its servers at once. When it fails, each is asked on its own, so that one
//! that can't be answered takes no other with it.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use model::{Assoc, Id, Kind, NameKind, Shard, Timestamp};
use tokio::time::Instant;

use super::refused;
use super::session::Answer;
use crate::access::{Caller, NAMES, OUTBOX, Right};
use crate::error::{Error, Result};
use crate::limits::IDS_PER_CALL_MAX;
use crate::row::{Range, StaleClaim};
use crate::storage::Storage;
use crate::wire::proto::{self, read::What};
use crate::wire::{self, Piece, pieces};

/// A question that makes sense.
#[derive(Debug, PartialEq)]
enum Question {
    Get(Vec<Id>),
    Edges(Assoc, Id, Vec<Id>),
    Counts(Vec<(Assoc, Id)>),
    Ranges(Assoc, Vec<Id>, Range),
    Name(NameKind, String),
    NamesOf(Id, NameKind, usize),
    StaleClaims(Timestamp, Option<StaleClaim>, usize),
    Scan(Kind, Option<Id>, usize),
    Outbox(usize),
    AuditLog(Shard, u64, usize),
    AuditRecent(usize),
    Stats,
    Check,
}

impl Question {
    fn of(read: proto::Read) -> Result<Question> {
        Ok(match read.what.ok_or_else(|| wire::empty("question"))? {
            What::Get(get) => Question::Get(wire::ids(get.ids)?),
            What::Edges(edges) => Question::Edges(wire::assoc(&edges.assoc)?, wire::id(edges.from)?, wire::ids(edges.tos)?),
            What::Counts(counts) => {
                let wanted = counts.wanted.iter().map(|wanted| Ok((wire::assoc(&wanted.assoc)?, wire::id(wanted.from)?)));
                Question::Counts(wanted.collect::<Result<_>>()?)
            }
            What::Ranges(ranges) => {
                let range = wire::range(&ranges)?;
                Question::Ranges(wire::assoc(&ranges.assoc)?, wire::ids(ranges.froms)?, range)
            }
            What::Name(name) => Question::Name(wire::name_kind(&name.kind)?, name.key),
            What::NamesOf(names) => Question::NamesOf(wire::id(names.owner)?, wire::name_kind(&names.kind)?, names.limit as usize),
            What::StaleClaims(claims) => {
                let claim = |name: proto::HeldName| {
                    Ok::<_, Error>(StaleClaim { kind: wire::name_kind(&name.kind)?, key: name.key, id: wire::id(name.id)? })
                };
                Question::StaleClaims(Timestamp(claims.before), claims.after.map(claim).transpose()?, claims.limit as usize)
            }
            What::Scan(scan) => {
                let after = (scan.after != 0).then(|| wire::id(scan.after)).transpose()?;
                Question::Scan(wire::kind(&scan.table)?, after, scan.limit as usize)
            }
            What::Outbox(outbox) => Question::Outbox(outbox.limit as usize),
            What::AuditLog(log) => Question::AuditLog(wire::shard(log.shard)?, log.after, log.limit as usize),
            What::AuditRecent(recent) => Question::AuditRecent(recent.limit as usize),
            What::Stats(_) => Question::Stats,
            What::Check(_) => Question::Check,
        })
    }

    /// Names the call for logs and metrics.
    fn call(&self) -> &'static str {
        match self {
            Question::Get(_) => "get",
            Question::Edges(..) => "edges",
            Question::Counts(_) => "counts",
            Question::Ranges(..) => "ranges",
            Question::Name(..) => "name",
            Question::NamesOf(..) => "names_of",
            Question::StaleClaims(..) => "stale_claims",
            Question::Scan(..) => "scan",
            Question::Outbox(_) => "outbox",
            Question::AuditLog(..) => "audit_log",
            Question::AuditRecent(_) => "audit_recent",
            Question::Stats => "stats",
            Question::Check => "check",
        }
    }

    /// Tells whether a caller may ask this; if not, about which table it may not, and what is missing.
    fn permitted(&self, caller: &Caller) -> std::result::Result<(), (&'static str, String)> {
        let may = |right, table: &'static str| caller.may(right, table).map_err(|missing| (table, missing));
        match self {
            Question::Get(ids) => {
                // Nearly always all ids are of one kind, which is then asked about once.
                let mut asked: Option<Kind> = None;
                for kind in ids.iter().map(|id| id.kind()) {
                    if asked.replace(kind) != Some(kind) {
                        may(Right::Read, kind.table())?;
                    }
                }
                Ok(())
            }
            Question::Edges(assoc, ..) | Question::Ranges(assoc, ..) => may(Right::Read, assoc.table()),
            Question::Counts(wanted) => wanted.iter().try_for_each(|(assoc, _)| may(Right::Read, assoc.table())),
            Question::Name(..) => may(Right::Read, NAMES),
            Question::NamesOf(..) => may(Right::Scan, NAMES),
            Question::Scan(kind, ..) => may(Right::Scan, kind.table()),
            Question::Outbox(_) => may(Right::Scan, OUTBOX),
            Question::AuditLog(..) => may(Right::Read, Kind::Audit.table()),
            Question::AuditRecent(_) => may(Right::Scan, Kind::Audit.table()),
            Question::StaleClaims(..) | Question::Stats | Question::Check => caller.may_operate().map_err(|missing| ("", missing)),
        }
    }
}

/// Questions that are answered by one call of the front. Numbers are those of the questions.
#[derive(Debug, PartialEq)]
enum Unit {
    Gets(Vec<(u64, Vec<Id>)>),
    Counts(Vec<(u64, Vec<(Assoc, Id)>)>),
    Ranges(Assoc, Range, Vec<(u64, Vec<Id>)>),
    Single(u64, Question),
}

impl Unit {
    /// Tells whether a question can be joined, so that the front still takes the whole.
    fn takes(&self, question: &Question) -> bool {
        fn fits<T>(asked: &[(u64, Vec<T>)], more: usize) -> bool {
            asked.iter().map(|(_, list)| list.len()).sum::<usize>() + more <= IDS_PER_CALL_MAX
        }
        match (self, question) {
            (Unit::Gets(asked), Question::Get(ids)) => fits(asked, ids.len()),
            (Unit::Counts(asked), Question::Counts(wanted)) => fits(asked, wanted.len()),
            (Unit::Ranges(assoc, range, asked), Question::Ranges(other_assoc, froms, other)) => {
                assoc == other_assoc && range == other && fits(asked, froms.len())
            }
            _ => false,
        }
    }

    fn begin(number: u64, question: Question) -> Unit {
        match question {
            Question::Get(ids) => Unit::Gets(vec![(number, ids)]),
            Question::Counts(wanted) => Unit::Counts(vec![(number, wanted)]),
            Question::Ranges(assoc, froms, range) => Unit::Ranges(assoc, range, vec![(number, froms)]),
            other => Unit::Single(number, other),
        }
    }

    fn join(&mut self, number: u64, question: Question) {
        match (self, question) {
            (Unit::Gets(asked), Question::Get(ids)) => asked.push((number, ids)),
            (Unit::Counts(asked), Question::Counts(wanted)) => asked.push((number, wanted)),
            (Unit::Ranges(_, _, asked), Question::Ranges(_, froms, _)) => asked.push((number, froms)),
            _ => {}
        }
    }

    fn numbers(&self) -> Vec<u64> {
        match self {
            Unit::Gets(asked) | Unit::Ranges(_, _, asked) => asked.iter().map(|(number, _)| *number).collect(),
            Unit::Counts(asked) => asked.iter().map(|(number, _)| *number).collect(),
            Unit::Single(number, _) => vec![*number],
        }
    }
}

/// Joins what one call of the front can answer.
fn joined(questions: Vec<(u64, Question)>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (number, question) in questions {
        match units.iter_mut().find(|unit| unit.takes(&question)) {
            Some(unit) => unit.join(number, question),
            None => units.push(Unit::begin(number, question)),
        }
    }
    units
}

/// Begins to answer questions, joined into units. What the caller may not ask, or makes no sense, is answered too.
pub(super) fn units(
    storage: &Storage,
    caller: Option<&Caller>,
    reads: Vec<(u64, proto::Read)>,
    deadline: Instant,
) -> Vec<BoxFuture<'static, Vec<Answer>>> {
    let (mut questions, mut refusals) = (Vec::with_capacity(reads.len()), Vec::new());
    for (number, read) in reads {
        let question = Question::of(read).and_then(|question| match caller.map(|caller| (caller, question.permitted(caller))) {
            Some((caller, Err((table, missing)))) => Err(refused(&caller.name, question.call(), table, missing)),
            _ => Ok(question),
        });
        match question {
            Ok(question) => questions.push((number, question)),
            Err(error) => refusals.push((number, Err(error))),
        }
    }
    let mut units: Vec<_> = joined(questions).into_iter().map(|unit| in_time(unit, storage.clone(), deadline).boxed()).collect();
    if !refusals.is_empty() {
        units.push(std::future::ready(refusals).boxed());
    }
    units
}

/// Answers a unit, or says that its caller's deadline came.
async fn in_time(unit: Unit, storage: Storage, deadline: Instant) -> Vec<Answer> {
    let numbers = unit.numbers();
    tokio::time::timeout_at(deadline, answer(unit, storage)).await.unwrap_or_else(|_| {
        let late = || Error::Unavailable("There was no answer when the caller's deadline came.".to_owned());
        numbers.into_iter().map(|number| (number, Err(late()))).collect()
    })
}

async fn answer(unit: Unit, storage: Storage) -> Vec<Answer> {
    let storage = Arc::new(storage);
    match unit {
        Unit::Gets(asked) => {
            let ask = |ids: Vec<Id>| {
                let storage = storage.clone();
                async move { storage.rows(&ids).await }
            };
            ask_together(asked, ask, pieces::found).await
        }
        Unit::Counts(asked) => {
            let ask = |wanted: Vec<(Assoc, Id)>| {
                let storage = storage.clone();
                async move { storage.counts(&wanted).await }
            };
            ask_together(asked, ask, pieces::counts).await
        }
        Unit::Ranges(assoc, range, asked) => {
            let ask = |froms: Vec<Id>| {
                let storage = storage.clone();
                async move { storage.ranges(assoc, &froms, range).await }
            };
            ask_together(asked, ask, pieces::ranges).await
        }
        Unit::Single(number, question) => vec![(number, answer_single(&storage, question).await)],
    }
}

/// Asks for many lists in one call, or for each alone when that fails.
async fn ask_together<Q: Clone, T, Fut>(
    mut asked: Vec<(u64, Vec<Q>)>,
    ask: impl Fn(Vec<Q>) -> Fut,
    pieces: fn(Vec<T>) -> Vec<Piece>,
) -> Vec<Answer>
where
    Fut: Future<Output = Result<Vec<T>>>,
{
    if asked.len() == 1
        && let Some((number, wanted)) = asked.pop()
    {
        return vec![(number, ask(wanted).await.map(pieces))];
    }
    let all: Vec<Q> = asked.iter().flat_map(|(_, wanted)| wanted.iter().cloned()).collect();
    if let Ok(found) = ask(all).await {
        let mut found = found.into_iter();
        return asked.into_iter().map(|(number, wanted)| (number, Ok(pieces(found.by_ref().take(wanted.len()).collect())))).collect();
    }
    let ask = &ask;
    join_all(asked.into_iter().map(|(number, wanted)| async move { (number, ask(wanted).await.map(pieces)) })).await
}

async fn answer_single(storage: &Storage, question: Question) -> Result<Vec<Piece>> {
    Ok(match question {
        Question::Edges(assoc, from, tos) => pieces::sequences(&storage.edges(assoc, from, &tos).await?),
        Question::Name(kind, key) => pieces::name(storage.name(kind, &key).await?),
        Question::NamesOf(owner, kind, limit) => pieces::names_of(kind, storage.names_held(owner, kind, limit).await?),
        Question::StaleClaims(before, after, limit) => pieces::claims(storage.stale_claims(before, after.as_ref(), limit).await?),
        Question::Scan(kind, after, limit) => pieces::rows(storage.scan_rows(kind, after, limit).await?),
        Question::Outbox(limit) => pieces::events(storage.outbox_rows(limit).await?),
        Question::AuditLog(shard, after, limit) => pieces::audit(storage.audit_rows(shard, after, limit).await?),
        Question::AuditRecent(limit) => pieces::audit(storage.audit_recent_rows(limit).await?),
        Question::Stats => pieces::figures(storage.stats().await?),
        Question::Check => pieces::findings(storage.check().await?),
        Question::Get(ids) => pieces::found(storage.rows(&ids).await?),
        Question::Counts(wanted) => pieces::counts(storage.counts(&wanted).await?),
        Question::Ranges(assoc, froms, range) => pieces::ranges(storage.ranges(assoc, &froms, range).await?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{board, pin, user};

    #[test]
    fn look_ups_that_can_be_are_joined() {
        let ids = |locals: &[u64]| locals.iter().map(|local| pin(*local).into()).collect::<Vec<Id>>();
        let (first, has, board) = (Range::first(3), Assoc::BoardHasPins, |local| vec![Id::from(board(local))]);
        let questions = vec![
            Question::Get(ids(&[1])),
            Question::Ranges(has, board(1), first),
            Question::Counts(vec![(has, board(1)[0])]),
            Question::Get(ids(&[2, 3])),
            Question::Stats,
            Question::Ranges(has, board(2), first),
            Question::Ranges(has, board(3), Range::first(4)),
            Question::Ranges(Assoc::UserHasPins, vec![user(1).into()], first),
            Question::Counts(vec![(has, board(2)[0])]),
        ];
        let units = joined((0..).zip(questions).collect());
        assert_eq!(
            units,
            [
                Unit::Gets(vec![(0, ids(&[1])), (3, ids(&[2, 3]))]),
                Unit::Ranges(has, first, vec![(1, board(1)), (5, board(2))]),
                Unit::Counts(vec![(2, vec![(has, board(1)[0])]), (8, vec![(has, board(2)[0])])]),
                Unit::Single(4, Question::Stats),
                Unit::Ranges(has, Range::first(4), vec![(6, board(3))]),
                Unit::Ranges(Assoc::UserHasPins, first, vec![(7, vec![user(1).into()])]),
            ]
        );
    }

    #[test]
    fn a_joined_call_is_never_larger_than_the_front_takes() {
        let half = vec![Id::from(pin(1)); IDS_PER_CALL_MAX / 2 + 1];
        let units = joined((0..).zip([Question::Get(half.clone()), Question::Get(half)]).collect());
        assert_eq!(units.len(), 2);
    }

    #[tokio::test]
    async fn what_can_not_be_answered_together_is_asked_for_alone() {
        let ask = |numbers: Vec<u64>| async move {
            if numbers.contains(&13) { Err(Error::Unavailable("no 13".to_owned())) } else { Ok(numbers) }
        };
        let answers = ask_together(vec![(0, vec![1, 2]), (1, vec![13]), (2, vec![])], ask, pieces::counts).await;
        let counts = |counts: &[u64]| Ok(pieces::counts(counts.to_vec()));
        assert_eq!(answers, [(0, counts(&[1, 2])), (1, Err(Error::Unavailable("no 13".to_owned()))), (2, counts(&[]))]);
        let answers = ask_together(vec![(4, vec![1, 2]), (7, vec![3])], ask, pieces::counts).await;
        assert_eq!(answers, [(4, counts(&[1, 2])), (7, counts(&[3]))]);
    }
}
