//! Look-ups that are asked at the same time go to the servers together.
//!
//! ```text
//! few are under way     a look-up goes at once, alone; one that takes long is no longer counted
//! as many as may        it waits; when one ends, all that wait go in one round trip to each server
//! ```
//! A statement of its own costs the server and us some 60 µs, one more row in a statement 3. Who asks alone never waits.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::{Assoc, Id, NameKind, Shard};
use mysql::Row as Answer;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{MysqlEngine, ahead, decode_all, read};
use crate::error::{Error, Result};
use crate::metrics as names;
use crate::row::{Edge, Name, Row};

/// Round trips under way beyond which look-ups wait for each other: one more keeps the servers no busier.
const UNDER_WAY_MAX: usize = 2;
/// A round trip that takes longer than this meets a server in trouble: those who wait for others must not wait for it.
const TURN_MAX: Duration = Duration::from_millis(30);
/// Things looked up in one round trip.
const ITEMS_MAX: usize = 400;

/// One thing to look up.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Item {
    Row(Id),
    Count(Assoc, Id),
    Edge(Assoc, Id, Id),
    Name(Shard, NameKind, String),
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Row(Option<Row>),
    Count(u64),
    Edge(Option<i64>),
    Name(Option<Name>),
}

impl Item {
    fn shard(&self) -> Shard {
        match self {
            Item::Row(id) | Item::Count(_, id) | Item::Edge(_, id, _) => id.shard(),
            Item::Name(shard, ..) => *shard,
        }
    }

    fn absent(&self) -> Found {
        match self {
            Item::Row(_) => Found::Row(None),
            Item::Count(..) => Found::Count(0),
            Item::Edge(..) => Found::Edge(None),
            Item::Name(..) => Found::Name(None),
        }
    }
}

struct Waiting {
    items: Vec<Item>,
    reply: oneshot::Sender<Result<Vec<Found>>>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    waiting: Vec<Waiting>,
}

/// Who looks things up now, and who waits.
pub(super) struct Gather {
    /// Answers what has been gathered; gathers nothing itself.
    engine: MysqlEngine,
    state: Mutex<State>,
}

/// The right to one round trip. When it ends, those who wait have the next.
struct Turn(Option<Arc<Gather>>);

impl Turn {
    /// Does the work, and gives the turn on when it has ended or takes long.
    async fn within<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match tokio::time::timeout(TURN_MAX, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(self);
                work.await
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(gather) = self.0.take() {
            gather.pass_on();
        }
    }
}

impl Gather {
    pub fn new(engine: MysqlEngine) -> Arc<Gather> {
        Arc::new(Gather { engine, state: Mutex::default() })
    }

    /// Looks things up; same order and length. `alone` does it in the way of a caller who need not wait.
    pub async fn look_up(self: &Arc<Self>, items: Vec<Item>, alone: impl Future<Output = Result<Vec<Found>>>) -> Result<Vec<Found>> {
        let answer = {
            let mut state = self.state.lock();
            if state.under_way < UNDER_WAY_MAX {
                state.under_way += 1;
                None
            } else {
                let (reply, answer) = oneshot::channel();
                state.waiting.push(Waiting { items, reply });
                Some(answer)
            }
        };
        match answer {
            None => Turn(Some(self.clone())).within(alone).await,
            Some(answer) => answer.await.unwrap_or_else(|_| Err(Error::Unavailable("Storage is closed.".to_owned()))),
        }
    }

    /// Gives a turn that has ended to all who wait, or back.
    fn pass_on(self: Arc<Self>) {
        let mut state = self.state.lock();
        let mut items = 0;
        let room = state.waiting.iter().take_while(|waiting| {
            items += waiting.items.len();
            items <= ITEMS_MAX
        });
        let count = room.count().max(1).min(state.waiting.len());
        let group: Vec<Waiting> = state.waiting.drain(..count).filter(|waiting| !waiting.reply.is_closed()).collect();
        let runtime = tokio::runtime::Handle::try_current();
        match runtime {
            Ok(runtime) if !group.is_empty() || !state.waiting.is_empty() => {
                drop(state);
                // Made here, so that it comes back also from a runtime that ends before the task begins.
                let turn = Turn(Some(self.clone()));
                runtime.spawn(async move { turn.within(self.answer(group)).await });
            }
            _ => state.under_way -= 1,
        }
    }

    async fn answer(&self, group: Vec<Waiting>) {
        metrics::histogram!(names::GATHERED_READS).record(group.len() as f64);
        let mut places: HashMap<&Item, usize> = HashMap::new();
        let mut items: Vec<Item> = Vec::new();
        for item in group.iter().flat_map(|waiting| &waiting.items) {
            places.entry(item).or_insert_with(|| {
                items.push(item.clone());
                items.len() - 1
            });
        }
        let answers: Vec<Result<Vec<Found>>> = match self.engine.look_up_all(&items).await {
            Ok(found) => {
                let answer = |waiting: &Waiting| Ok(waiting.items.iter().map(|item| found[places[item]].clone()).collect());
                group.iter().map(answer).collect()
            }
            Err(error) if group.len() == 1 => vec![Err(error)],
            // It may be a single thing, on a server that is away: nobody else is to be told so.
            Err(_) => join_all(group.iter().map(|waiting| self.engine.look_up_all(&waiting.items))).await,
        };
        for (waiting, answer) in group.into_iter().zip(answers) {
            // Whoever asked may have gone.
            let _ = waiting.reply.send(answer);
        }
    }
}

impl MysqlEngine {
    /// Looks up different things in one round trip to each server; same order and length.
    async fn look_up_all(&self, items: &[Item]) -> Result<Vec<Found>> {
        let shards: Vec<Shard> = items.iter().map(Item::shard).collect();
        let mut found: Vec<Found> = items.iter().map(Item::absent).collect();
        let statements = |places: &[usize]| Questions::of(items, places).statements();
        self.read_spread(&shards, statements, |places, sets| Questions::of(items, places).take(sets, &mut found)).await?;
        Ok(found)
    }
}

/// What one server is asked: rows by table, then all counts, then the edges of each list, then each name.
#[derive(Default)]
struct Questions {
    rows: Vec<(Id, usize)>,
    counts: Vec<((Assoc, Id), usize)>,
    edges: BTreeMap<(Assoc, Id), Vec<(Id, usize)>>,
    names: Vec<(String, usize)>,
}

impl Questions {
    fn of(items: &[Item], places: &[usize]) -> Questions {
        let mut questions = Questions::default();
        for place in places {
            match &items[*place] {
                Item::Row(id) => questions.rows.push((*id, *place)),
                Item::Count(assoc, from) => questions.counts.push(((*assoc, *from), *place)),
                Item::Edge(assoc, from, to) => questions.edges.entry((*assoc, *from)).or_default().push((*to, *place)),
                Item::Name(shard, kind, key) => questions.names.push((read::name_sql(*shard, *kind, key), *place)),
            }
        }
        questions
    }

    fn statements(self) -> Vec<String> {
        let mut statements = read::get_sql(&self.rows.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        if !self.counts.is_empty() {
            statements.push(read::counts_sql(&self.counts.iter().map(|(key, _)| *key).collect::<Vec<_>>()));
        }
        statements.extend(self.edges.iter().map(|((assoc, from), tos)| {
            let tos: Vec<Id> = tos.iter().map(|(to, _)| *to).collect();
            read::edges_sql(*assoc, *from, &tos)
        }));
        statements.extend(self.names.into_iter().map(|(sql, _)| sql));
        statements
    }

    /// Takes the answers, in the order of the statements.
    fn take(self, sets: Vec<Vec<Answer>>, found: &mut [Found]) -> Result<()> {
        let mut sets = sets.into_iter();
        let mut next = || sets.next().ok_or_else(|| Error::Corrupt("A server did not answer all that it was asked.".to_owned()));
        let tables: std::collections::BTreeSet<&str> = self.rows.iter().map(|(id, _)| id.kind().table()).collect();
        let mut rows: HashMap<Id, Row> = HashMap::with_capacity(self.rows.len());
        for _ in tables {
            for row in decode_all(&next()?, read::decode_row)? {
                rows.insert(row.id, row);
            }
        }
        for (id, place) in self.rows {
            found[place] = Found::Row(rows.remove(&id));
        }
        if !self.counts.is_empty() {
            let decode = |row: &Answer| Ok(((ahead::assoc_of(row.text(1)?)?, read::decode_id(row.i64(0)?)?), row.u64(2)?));
            let counts: HashMap<(Assoc, Id), u64> = decode_all(&next()?, decode)?.into_iter().collect();
            for (key, place) in self.counts {
                found[place] = Found::Count(counts.get(&key).copied().unwrap_or(0));
            }
        }
        for tos in self.edges.into_values() {
            let edges: Vec<Edge> = decode_all(&next()?, read::decode_edge)?;
            for (to, place) in tos {
                found[place] = Found::Edge(edges.iter().find(|edge| edge.to == to).map(|edge| edge.sequence));
            }
        }
        for (_, place) in self.names {
            found[place] = Found::Name(next()?.first().map(read::decode_name).transpose()?);
        }
        Ok(())
    }
}
