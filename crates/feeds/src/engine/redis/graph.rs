//! The follower graph: setting edges, and asking about them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use model::{BoardId, Id, Timestamp, TopicId, UserId};

use super::RedisEngine;
use super::codec;
use super::command::Batch;
use super::keys::{self, Key, Kind, key};
use super::resp::Value;
use super::script::{BOARD, EDGES, FOLLOW, FOLLOWER, HIDE, MEMBER, SETTLED, WIDEN_FEED};
use crate::engine::Change;
use crate::error::Result;
use crate::facts::{Away, BoardFacts, Counts, Cursor, EdgePage, Linked, Relation, Rest, Standing, Target, TargetKind, page_of_ids};
use crate::limits::{SUGGESTION_FOLLOWS_MAX, SUGGESTION_SOURCES_MAX};

/// Edges and followers handled in one step of what goes through many.
pub(super) const EDGE_STEP: usize = 1_000;

/// One follow to be set.
#[derive(Clone, Copy)]
pub(super) struct Follow {
    pub(super) user: UserId,
    pub(super) target: Target,
    pub(super) on: bool,
    pub(super) at: Timestamp,
}

pub(super) fn member(id: Id) -> [u8; 8] {
    id.as_u64().to_be_bytes()
}

/// Sets keep small numbers of ids as sorted numbers, if they are written in decimal.
pub(super) fn text(id: Id) -> Vec<u8> {
    let mut text = Vec::with_capacity(20);
    keys::decimal(&mut text, id.as_u64());
    text
}

pub(super) fn from_text<T: TryFrom<Id>>(value: &Value) -> Option<T> {
    T::try_from(std::str::from_utf8(value.bytes()?).ok()?.parse().ok()?).ok()
}

fn flag(on: bool) -> &'static [u8] {
    if on { b"1" } else { b"0" }
}

fn followed(user: UserId, kind: TargetKind) -> Key {
    let kind = match kind {
        TargetKind::User => Kind::Users,
        TargetKind::Board => Kind::Boards,
        TargetKind::Topic => Kind::Topics,
    };
    key(kind, user)
}

pub(super) fn kind_of(target: Target) -> TargetKind {
    match target {
        Target::User(_) => TargetKind::User,
        Target::Board(_) => TargetKind::Board,
        Target::Topic(_) => TargetKind::Topic,
    }
}

pub(super) fn target(kind: TargetKind, bytes: &[u8]) -> Option<Target> {
    match kind {
        TargetKind::User => codec::id::<UserId>(bytes).map(Target::User),
        TargetKind::Board => codec::id::<BoardId>(bytes).map(Target::Board),
        TargetKind::Topic => codec::id::<TopicId>(bytes).map(Target::Topic),
    }
}

/// The keys of a person's feed that a widening needs.
pub(super) fn feed_keys(user: UserId) -> [Key; 3] {
    [key(Kind::Home, user), key(Kind::Missed, user), key(Kind::Refuse, user)]
}

impl RedisEngine {
    /// Applies changes in their order. Neighbours of one kind that are about different things go out together. Returns what is
    /// left of fan-outs.
    pub(super) async fn apply_all(&self, changes: Vec<Change>) -> Result<Vec<Rest>> {
        let mut rests = Vec::new();
        let mut changes = changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            match change {
                Change::Follow { user, target, on, at } => {
                    let mut run = vec![Follow { user, target, on, at }];
                    let mut edges = HashSet::from([(user, target)]);
                    let is_next = |change: &Change| matches!(change, Change::Follow { .. });
                    while let Some(Change::Follow { user, target, on, at }) = changes.next_if(|change| {
                        is_next(change) && matches!(change, Change::Follow { user, target, .. } if edges.insert((*user, *target)))
                    }) {
                        run.push(Follow { user, target, on, at });
                    }
                    self.set_follows(&run).await?;
                }
                Change::Board { board, facts: Some(facts) } => {
                    let mut run = vec![(board, facts)];
                    let mut boards = HashSet::from([board]);
                    while let Some(Change::Board { board, facts: Some(facts) }) =
                        changes.next_if(|change| matches!(change, Change::Board { board, facts: Some(_) } if boards.insert(*board)))
                    {
                        run.push((board, facts));
                    }
                    self.set_boards(&run).await?;
                }
                Change::Publish(facts) => {
                    let mut pins = HashSet::from([facts.pin]);
                    let mut run = vec![facts];
                    while let Some(Change::Publish(facts)) =
                        changes.next_if(|change| matches!(change, Change::Publish(facts) if pins.insert(facts.pin)))
                    {
                        run.push(facts);
                    }
                    for step in run.chunks(super::publish::PINS_STEP) {
                        rests.extend(self.publish(step).await?);
                    }
                }
                Change::LeftOut { user, board, on } => self.set_left_out(user, board, on).await?,
                Change::Block { user, other, on } => self.set_block(user, other, on).await?,
                Change::Mute { user, other, on } => self.set_hidden(user, Kind::Mutes, other.id(), on).await?,
                Change::Board { board, facts: None } => self.forget_board(board).await?,
                Change::UserGone { user } => self.forget_user(user).await?,
                Change::Retract(pin) => self.retract(pin).await?,
            }
        }
        Ok(rests)
    }

    /// Sets follows of different edges. A new one is set at the followed end first: what is published from then on is pushed,
    /// and what was published before is found by whoever builds the feed after it was dropped.
    pub(super) async fn set_follows(&self, follows: &[Follow]) -> Result<()> {
        let follows: Vec<&Follow> = follows.iter().filter(|follow| follow.target != Target::User(follow.user)).collect();
        self.set_followers(&follows, true).await?;
        let mut own = Batch::new();
        for follow in &follows {
            let [home, missed, refuse] = feed_keys(follow.user);
            let keys = [followed(follow.user, kind_of(follow.target)), home, missed, refuse];
            let at = follow.at.0.to_string();
            own.script(&FOLLOW, &keys, &[&member(follow.target.id()), at.as_bytes(), flag(follow.on)]);
        }
        self.client.write(own).await?;
        self.set_followers(&follows, false).await
    }

    async fn set_followers(&self, follows: &[&Follow], on: bool) -> Result<()> {
        let mut batch = Batch::new();
        let mut targets = Vec::new();
        for follow in follows.iter().filter(|follow| follow.on == on) {
            let at = follow.at.0.to_string();
            let followers = key(Kind::Followers, follow.target.id());
            batch.script(&FOLLOWER, &[followers], &[&member(follow.user.id()), at.as_bytes(), flag(on)]);
            targets.push(follow.target);
        }
        let counts = self.client.write(batch).await?;
        let threshold = self.merge_threshold.load(Ordering::Relaxed);
        let many = targets.into_iter().zip(&counts).filter(|(_, count)| on && count.int() as usize > threshold);
        let many: HashSet<Target> = many.map(|(target, _)| target).collect();
        if many.is_empty() { Ok(()) } else { self.begin_merging(&many).await }
    }

    /// Sets one of a person's own sets.
    async fn set_hidden(&self, user: UserId, kind: Kind, other: Id, on: bool) -> Result<()> {
        let [home, missed, refuse] = feed_keys(user);
        let mut batch = Batch::new();
        batch.script(&HIDE, &[key(kind, user), home, missed, refuse], &[&text(other), flag(on)]);
        self.client.write(batch).await.map(drop)
    }

    pub(super) async fn set_member(&self, set: Key, other: Id, on: bool) -> Result<()> {
        let mut batch = Batch::new();
        batch.script(&MEMBER, &[set], &[&text(other), flag(on)]);
        self.client.write(batch).await.map(drop)
    }

    pub(super) async fn set_left_out(&self, user: UserId, board: BoardId, on: bool) -> Result<()> {
        let other_end = || self.set_member(key(Kind::LeftOutBy, board), user.id(), on);
        if !on {
            other_end().await?;
        }
        self.set_hidden(user, Kind::LeftOut, board.id(), on).await?;
        if on { other_end().await } else { Ok(()) }
    }

    pub(super) async fn set_block(&self, user: UserId, other: UserId, on: bool) -> Result<()> {
        self.set_hidden(user, Kind::Blocks, other.id(), on).await?;
        self.set_hidden(other, Kind::BlockedBy, user.id(), on).await
    }

    /// Sets facts of different boards. Where pins may show that did not, the followers' feeds are dropped; that it is to be done
    /// stays noted at the board until it is done.
    async fn set_boards(&self, boards: &[(BoardId, BoardFacts)]) -> Result<()> {
        let mut batch = Batch::new();
        for (board, facts) in boards {
            batch.script(&BOARD, &[key(Kind::Board, *board)], &[&member(facts.owner.id()), flag(facts.listed)]);
        }
        let answers = self.client.write(batch).await?;
        let mut owned = Batch::new();
        for ((board, facts), answer) in boards.iter().zip(&answers) {
            let was: Option<UserId> = answer.list().get(1).and_then(|owner| codec::id(owner.bytes()?));
            if was == Some(facts.owner) {
                continue;
            }
            owned.script(&MEMBER, &[key(Kind::Owned, facts.owner)], &[&text(board.id()), b"1"]);
            if let Some(was) = was {
                owned.script(&MEMBER, &[key(Kind::Owned, was)], &[&text(board.id()), b"0"]);
            }
        }
        self.client.write(owned).await?;
        for ((board, facts), answer) in boards.iter().zip(&answers) {
            if answer.list().first().is_some_and(|more| more.int() == 1) {
                self.widen_followers(*board, facts.owner).await?;
            }
        }
        Ok(())
    }

    async fn widen_followers(&self, board: BoardId, owner: UserId) -> Result<()> {
        // Feeds are begun only after a rebuild.
        if !self.is_rebuilding() {
            for source in [Target::User(owner), Target::Board(board)] {
                let mut cursor = None;
                loop {
                    let (followers, next) = self.follower_step(source, cursor, EDGE_STEP).await?;
                    self.widen_all(&followers).await?;
                    cursor = next;
                    if cursor.is_none() {
                        break;
                    }
                }
            }
        }
        let mut batch = Batch::new();
        batch.script(&SETTLED, &[key(Kind::Board, board)], &[&member(owner.id())]);
        self.client.write(batch).await.map(drop)
    }

    /// Drops people's feeds, because there may be more to see than they hold.
    pub(super) async fn widen_all(&self, people: &[UserId]) -> Result<()> {
        let mut batch = Batch::new();
        people.iter().for_each(|person| batch.script(&WIDEN_FEED, &feed_keys(*person), &[]));
        self.client.write(batch).await.map(drop)
    }

    /// Reads some followers of a source, newest first, and from where to go on if there are more.
    pub(super) async fn follower_step(
        &self,
        source: Target,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<UserId>, Option<Cursor>)> {
        let mut batch = Batch::new();
        edges(&mut batch, key(Kind::Followers, source.id()), cursor, limit.saturating_add(1));
        let answers = self.client.peek(batch).await?;
        Ok(follower_list(&answers[0], limit))
    }

    /// Reads the newest followers of several sources at once, as [`RedisEngine::follower_step`] does of one.
    pub(super) async fn first_followers(&self, sources: &[Target], limit: usize) -> Result<Vec<(Vec<UserId>, Option<Cursor>)>> {
        let mut batch = Batch::new();
        for source in sources {
            edges(&mut batch, key(Kind::Followers, source.id()), None, limit.saturating_add(1));
        }
        let answers = self.client.peek(batch).await?;
        Ok(answers.iter().map(|answer| follower_list(answer, limit)).collect())
    }

    pub(super) async fn are_followed(&self, user: UserId, targets: &[Target]) -> Result<Vec<bool>> {
        let kinds = [TargetKind::User, TargetKind::Board, TargetKind::Topic];
        let mut batch = Batch::new();
        let mut places: Vec<Vec<usize>> = Vec::new();
        for kind in kinds {
            let of_kind: Vec<usize> = (0..targets.len()).filter(|index| kind_of(targets[*index]) == kind).collect();
            if !of_kind.is_empty() {
                batch.plain("ZMSCORE", &followed(user, kind), |cmd| {
                    of_kind.iter().fold(cmd, |cmd, index| cmd.arg(&member(targets[*index].id())[..]))
                });
                places.push(of_kind);
            }
        }
        let answers = self.client.read(batch).await?;
        let mut follows = vec![false; targets.len()];
        for (of_kind, answer) in places.into_iter().zip(&answers) {
            for (index, score) in of_kind.into_iter().zip(answer.list()) {
                follows[index] = *score != Value::Nil;
            }
        }
        Ok(follows)
    }

    pub(super) async fn relations_of(&self, user: UserId, others: &[UserId]) -> Result<Vec<Relation>> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = Batch::new();
        ask_relations(&mut batch, user, others);
        let answers = self.client.read(batch).await?;
        Ok((0..others.len()).map(|index| relation(&answers, index)).collect())
    }

    /// Reads all of it at the user's own end, so that one server is asked however many there are.
    pub(super) async fn standings_of(&self, user: UserId, others: &[UserId]) -> Result<Vec<Standing>> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = Batch::new();
        ask_relations(&mut batch, user, others);
        for kind in [Kind::Users, Kind::Followers] {
            batch.plain("ZMSCORE", &key(kind, user), |cmd| others.iter().fold(cmd, |cmd, other| cmd.arg(&member(other.id())[..])));
        }
        let answers = self.client.read(batch).await?;
        let has_score = |set: usize, index: usize| answers[set].list().get(index).is_some_and(|score| *score != Value::Nil);
        let standing =
            |index| Standing { relation: relation(&answers, index), follows: has_score(3, index), followed_by: has_score(4, index) };
        Ok((0..others.len()).map(standing).collect())
    }

    pub(super) async fn count(&self, users: &[UserId]) -> Result<Vec<Counts>> {
        let mut batch = Batch::new();
        for user in users {
            for kind in [Kind::Followers, Kind::Users, Kind::Boards, Kind::Topics] {
                batch.plain("ZCARD", &key(kind, *user), |cmd| cmd);
            }
        }
        let answers = self.client.read(batch).await?;
        let counts = answers.chunks_exact(4).map(|count| Counts {
            followers: count[0].int() as u64,
            following_users: count[1].int() as u64,
            following_boards: count[2].int() as u64,
            following_topics: count[3].int() as u64,
        });
        Ok(counts.collect())
    }

    /// Counts `(followers(owner) − left(board)) ∪ explicit(board)` from the small sets of those who differ.
    pub(super) async fn count_board_followers(&self, board: BoardId) -> Result<u64> {
        let mut batch = Batch::new();
        batch.plain("GET", &key(Kind::Board, board), |cmd| cmd);
        batch.plain("SMEMBERS", &key(Kind::LeftOutBy, board), |cmd| cmd);
        batch.plain("ZRANGE", &key(Kind::Followers, board), |cmd| cmd.arg(0).arg(-1));
        let answers = self.client.read(batch).await?;
        let Some(facts) = answers[0].bytes().and_then(codec::board) else { return Ok(0) };
        let left: HashSet<UserId> = answers[1].list().iter().filter_map(from_text).collect();
        let explicit: HashSet<UserId> = answers[2].list().iter().filter_map(|user| codec::id(user.bytes()?)).collect();
        let asked: Vec<UserId> = left.union(&explicit).copied().collect();
        let followers = key(Kind::Followers, facts.owner);
        let mut batch = Batch::new();
        batch.plain("ZCARD", &followers, |cmd| cmd);
        for step in asked.chunks(EDGE_STEP) {
            batch.plain("ZMSCORE", &followers, |cmd| step.iter().fold(cmd, |cmd, user| cmd.arg(&member(user.id())[..])));
        }
        let answers = self.client.read(batch).await?;
        let scores = answers[1..].iter().flat_map(Value::list);
        let follows: HashSet<UserId> = asked.iter().zip(scores).filter(|(_, score)| **score != Value::Nil).map(|(user, _)| *user).collect();
        let less = left.iter().filter(|user| follows.contains(user)).count();
        let more = explicit.iter().filter(|user| !follows.contains(user) || left.contains(user)).count();
        Ok((answers[0].int() as usize - less + more) as u64)
    }

    pub(super) async fn followers_page(&self, target: Target, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.edge_page(key(Kind::Followers, target.id()), TargetKind::User, cursor, limit).await
    }

    pub(super) async fn following_page(&self, user: UserId, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        self.edge_page(followed(user, kind), kind, cursor, limit).await
    }

    async fn edge_page(&self, set: Key, kind: TargetKind, cursor: Option<Cursor>, limit: usize) -> Result<EdgePage> {
        let mut batch = Batch::new();
        edges(&mut batch, set, cursor, limit + 1);
        let answers = self.client.read(batch).await?;
        let mut entries = edge_list(&answers[0], kind);
        let goes_on = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| goes_on).map(|last| (last.at, last.target.id()));
        Ok(EdgePage { entries, next })
    }

    pub(super) async fn away_page(&self, user: UserId, what: Away, after: Option<Id>, limit: usize) -> Result<Vec<Id>> {
        let kind = match what {
            Away::LeftOut => Kind::LeftOut,
            Away::Blocks => Kind::Blocks,
            Away::BlockedBy => Kind::BlockedBy,
            Away::Mutes => Kind::Mutes,
        };
        let mut batch = Batch::new();
        batch.plain("SMEMBERS", &key(kind, user), |cmd| cmd);
        let answers = self.client.read(batch).await?;
        let ids: Vec<Id> = answers[0].list().iter().filter_map(from_text).collect();
        Ok(page_of_ids(ids, after, limit))
    }

    pub(super) async fn suggested(&self, user: UserId, limit: usize) -> Result<Vec<UserId>> {
        let newest = |batch: &mut Batch, user: UserId, max: usize| {
            batch.plain("ZREVRANGE", &key(Kind::Users, user), |cmd| cmd.arg(0).arg(max - 1));
        };
        let users = |answer: &Value| -> Vec<UserId> { answer.list().iter().filter_map(|user| codec::id(user.bytes()?)).collect() };
        let mut batch = Batch::new();
        newest(&mut batch, user, SUGGESTION_SOURCES_MAX);
        let sources = users(&self.client.read(batch).await?[0]);
        let mut batch = Batch::new();
        sources.iter().for_each(|source| newest(&mut batch, *source, SUGGESTION_FOLLOWS_MAX));
        let mut shared_by: HashMap<UserId, u32> = HashMap::new();
        for candidate in self.client.read(batch).await?.iter().flat_map(users) {
            *shared_by.entry(candidate).or_default() += 1;
        }
        shared_by.remove(&user);
        let mut ranked: Vec<(u32, UserId)> = shared_by.into_iter().map(|(candidate, count)| (count, candidate)).collect();
        ranked.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut suggested = Vec::with_capacity(limit);
        for step in ranked.chunks(EDGE_STEP.min(limit * 4)) {
            let step: Vec<UserId> = step.iter().map(|(_, candidate)| *candidate).collect();
            let standings = self.standings_of(user, &step).await?;
            let free = step.into_iter().zip(standings).filter(|(_, it)| !it.follows && !it.relation.is_hidden());
            suggested.extend(free.map(|(candidate, _)| candidate));
            if suggested.len() >= limit {
                break;
            }
        }
        suggested.truncate(limit);
        Ok(suggested)
    }
}

/// Asks of each id whether it is in a set.
pub(super) fn members(batch: &mut Batch, set: Key, ids: impl Iterator<Item = Id>) {
    batch.plain("SMISMEMBER", &set, |cmd| ids.fold(cmd, |cmd, id| cmd.arg(text(id))));
}

/// Asks what keeps a person and others apart: three answers, for [`relation`].
fn ask_relations(batch: &mut Batch, user: UserId, others: &[UserId]) {
    for kind in [Kind::Blocks, Kind::BlockedBy, Kind::Mutes] {
        members(batch, key(kind, user), others.iter().map(|other| other.id()));
    }
}

/// Reads what keeps a person and the one at an index apart.
fn relation(answers: &[Value], index: usize) -> Relation {
    let is_in = |set: usize| answers[set].list().get(index).is_some_and(|there| there.int() == 1);
    Relation { blocks: is_in(0), blocked_by: is_in(1), muted: is_in(2) }
}

/// Asks for edges older than a cursor, newest first.
pub(super) fn edges(batch: &mut Batch, set: Key, cursor: Option<Cursor>, limit: usize) {
    match cursor {
        None => batch.plain("ZREVRANGE", &set, |cmd| cmd.arg(0).arg(limit - 1).arg("WITHSCORES")),
        Some((at, id)) => {
            let (at, limit) = (at.0.to_string(), limit.to_string());
            batch.script(&EDGES, &[set], &[at.as_bytes(), &member(id), limit.as_bytes()]);
        }
    }
}

/// Reads at most `limit` followers out of an answer with one more, and from where to go on if there is one.
fn follower_list(answer: &Value, limit: usize) -> (Vec<UserId>, Option<Cursor>) {
    let mut page = edge_list(answer, TargetKind::User);
    let goes_on = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| goes_on).map(|last| (last.at, last.target.id()));
    let users = page.into_iter().filter_map(|linked| if let Target::User(user) = linked.target { Some(user) } else { None });
    (users.collect(), next)
}

pub(super) fn edge_list(answer: &Value, kind: TargetKind) -> Vec<Linked> {
    let pairs = answer.list().chunks_exact(2);
    pairs.filter_map(|edge| Some(Linked { target: target(kind, edge[0].bytes()?)?, at: Timestamp(edge[1].score()?) })).collect()
}
