//! Questions and changes on their way.

use model::{BoardId, Id, Timestamp, UserId};

use super::proto::ask::public::Feed;
use super::proto::ask::{self, What};
use super::proto::{self, change::What as ChangeWhat};
use super::{all, board, cursor, empty, id, pin, pin_of, pin_to, position, rest, target, topic, user};
use crate::engine::Change;
use crate::error::{Error, Result};
use crate::facts::{Away, BoardFacts, Cursor, PinFacts, Position, PublicFeed, Rest, Target, TargetKind};

/// A question or a change that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    Apply { changes: Vec<Change>, merge_threshold: Option<usize> },
    Deliver(Rest, usize),
    Fill { user: UserId, entries: Vec<PinFacts>, complete_to: Option<Position> },
    Home(UserId, Option<Position>, usize),
    Public(PublicFeed, Option<Position>, usize),
    Follows(UserId, Vec<Target>),
    Relations(UserId, Vec<UserId>),
    Standings(UserId, Vec<UserId>),
    Counts(Vec<UserId>),
    BoardFollowers(Vec<BoardId>),
    Followers(Target, Option<Cursor>, usize),
    Following(UserId, TargetKind, Option<Cursor>, usize),
    Away(UserId, Away, Option<Id>, usize),
    Suggestions(UserId, usize),
    Shown(UserId),
    SetShown(UserId, Vec<u8>),
    Snapshot(i64),
    RestoredOffset,
    Complete(i64),
    Maintain,
    Stats,
    Clear,
}

/// Reads what is wanted.
pub(crate) fn wanted(ask: proto::Ask) -> Result<Wanted> {
    Ok(match ask.what.ok_or_else(|| empty("question"))? {
        What::Apply(apply) => {
            let merge_threshold = apply.merge_threshold.map(|followers| usize::try_from(followers).unwrap_or(usize::MAX));
            Wanted::Apply { changes: apply.changes.into_iter().map(change).collect::<Result<_>>()?, merge_threshold }
        }
        What::Deliver(deliver) => Wanted::Deliver(rest(deliver.rest.ok_or_else(|| empty("rest"))?)?, deliver.limit as usize),
        What::Fill(fill) => Wanted::Fill {
            user: user(fill.user)?,
            entries: fill.entries.into_iter().map(pin_of).collect::<Result<_>>()?,
            complete_to: fill.complete_to.map(position).transpose()?,
        },
        What::Home(home) => Wanted::Home(user(home.user)?, home.before.map(position).transpose()?, home.limit as usize),
        What::Public(public) => {
            let feed = match public.feed.ok_or_else(|| empty("public feed"))? {
                Feed::Everything(_) => PublicFeed::Everything,
                Feed::Topic(number) => PublicFeed::Topic(topic(number)?),
                Feed::Domain(domain) => PublicFeed::Domain(domain),
            };
            Wanted::Public(feed, public.before.map(position).transpose()?, public.limit as usize)
        }
        What::Follows(follows) => Wanted::Follows(user(follows.user)?, all(follows.targets, target)?),
        What::Relations(relations) => Wanted::Relations(user(relations.user)?, all(relations.others, user)?),
        What::Standings(standings) => Wanted::Standings(user(standings.user)?, all(standings.others, user)?),
        What::Counts(counts) => Wanted::Counts(all(counts.users, user)?),
        What::BoardFollowers(followers) => Wanted::BoardFollowers(all(followers.boards, board)?),
        What::Followers(list) => Wanted::Followers(target(list.target)?, list.cursor.map(cursor).transpose()?, list.limit as usize),
        What::Following(list) => {
            let after = list.cursor.map(cursor).transpose()?;
            Wanted::Following(user(list.user)?, kind(&list.kind)?, after, list.limit as usize)
        }
        What::Away(list) => {
            let after = (list.after != 0).then(|| id(list.after)).transpose()?;
            Wanted::Away(user(list.user)?, away(&list.what)?, after, list.limit as usize)
        }
        What::Suggestions(suggestions) => Wanted::Suggestions(user(suggestions.user)?, suggestions.limit as usize),
        What::Shown(shown) => Wanted::Shown(user(shown.user)?),
        What::SetShown(set) => Wanted::SetShown(user(set.user)?, set.shown),
        What::Snapshot(snapshot) => Wanted::Snapshot(snapshot.offset),
        What::RestoredOffset(_) => Wanted::RestoredOffset,
        What::Complete(complete) => Wanted::Complete(complete.offset),
        What::Maintain(_) => Wanted::Maintain,
        What::Stats(_) => Wanted::Stats,
        What::Clear(_) => Wanted::Clear,
    })
}

/// Writes changes. They are copied, so that they can be sent elsewhere when they never left.
pub(crate) fn apply(changes: Vec<Change>, merge_threshold: Option<usize>) -> What {
    let merge_threshold = merge_threshold.map(|followers| followers as u64);
    What::Apply(ask::Apply { changes: changes.into_iter().map(change_to).collect(), merge_threshold })
}

fn change_to(change: Change) -> proto::Change {
    let between = |user: UserId, other: UserId, on| proto::change::Between { user: user.as_u64(), other: other.as_u64(), on };
    let what = match change {
        Change::Follow { user, target, on, at } => {
            ChangeWhat::Follow(proto::change::Follow { user: user.as_u64(), target: target.id().as_u64(), on, at: at.0 })
        }
        Change::LeftOut { user, board, on } => {
            ChangeWhat::LeftOut(proto::change::LeftOut { user: user.as_u64(), board: board.as_u64(), on })
        }
        Change::Block { user, other, on } => ChangeWhat::Block(between(user, other, on)),
        Change::Mute { user, other, on } => ChangeWhat::Mute(between(user, other, on)),
        Change::Board { board, facts } => ChangeWhat::Board(proto::change::Board {
            board: board.as_u64(),
            owner: facts.map_or(0, |facts| facts.owner.as_u64()),
            listed: facts.is_some_and(|facts| facts.listed),
        }),
        Change::UserGone { user } => ChangeWhat::UserGone(user.as_u64()),
        Change::Publish(facts) => ChangeWhat::Publish(pin_to(facts)),
        Change::Retract(pin) => ChangeWhat::Retract(pin.as_u64()),
    };
    proto::Change { what: Some(what) }
}

fn change(change: proto::Change) -> Result<Change> {
    Ok(match change.what.ok_or_else(|| empty("change"))? {
        ChangeWhat::Follow(follow) => {
            Change::Follow { user: user(follow.user)?, target: target(follow.target)?, on: follow.on, at: Timestamp(follow.at) }
        }
        ChangeWhat::LeftOut(left) => Change::LeftOut { user: user(left.user)?, board: board(left.board)?, on: left.on },
        ChangeWhat::Block(block) => Change::Block { user: user(block.user)?, other: user(block.other)?, on: block.on },
        ChangeWhat::Mute(mute) => Change::Mute { user: user(mute.user)?, other: user(mute.other)?, on: mute.on },
        ChangeWhat::Board(facts) => {
            let owner = (facts.owner != 0).then(|| user(facts.owner)).transpose()?;
            let known = owner.map(|owner| BoardFacts { owner, listed: facts.listed });
            Change::Board { board: board(facts.board)?, facts: known }
        }
        ChangeWhat::UserGone(gone) => Change::UserGone { user: user(gone)? },
        ChangeWhat::Publish(facts) => Change::Publish(pin_of(facts)?),
        ChangeWhat::Retract(number) => Change::Retract(pin(number)?),
    })
}

impl TargetKind {
    /// Names the kind on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            TargetKind::User => "user",
            TargetKind::Board => "board",
            TargetKind::Topic => "topic",
        }
    }
}

fn kind(name: &str) -> Result<TargetKind> {
    let kinds = [TargetKind::User, TargetKind::Board, TargetKind::Topic];
    kinds.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        Error::Invalid(format!("This version of the feeds can't list follows of the kind '{name}'. Update the service before its callers."))
    })
}

impl Away {
    /// Names it on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Away::LeftOut => "left_out",
            Away::Blocks => "blocks",
            Away::BlockedBy => "blocked_by",
            Away::Mutes => "mutes",
        }
    }
}

fn away(name: &str) -> Result<Away> {
    let all = [Away::LeftOut, Away::Blocks, Away::BlockedBy, Away::Mutes];
    all.into_iter().find(|away| away.name() == name).ok_or_else(|| {
        Error::Invalid(format!("This version of the feeds can't list '{name}' of a person. Update the service before its callers."))
    })
}

#[cfg(test)]
mod tests {
    use model::{PinId, Shard, TopicId};

    use super::*;

    #[test]
    fn changes_come_back_as_they_went() {
        let (u, o) = (UserId::new(Shard(1), 2), UserId::new(Shard(4_095), 3));
        let (b, t, p) = (BoardId::new(Shard(1), 4), TopicId::new(Shard(2), 5), PinId::new(Shard(3), 6));
        let facts = PinFacts { pin: p, owner: u, board: b, topics: vec![t], domain: "example.org".into(), at: Timestamp(-7) };
        let changes = vec![
            Change::Follow { user: u, target: Target::User(o), on: true, at: Timestamp(i64::MIN) },
            Change::Follow { user: u, target: Target::Board(b), on: false, at: Timestamp(i64::MAX) },
            Change::Follow { user: u, target: Target::Topic(t), on: true, at: Timestamp(0) },
            Change::LeftOut { user: u, board: b, on: true },
            Change::Block { user: u, other: o, on: true },
            Change::Mute { user: u, other: o, on: false },
            Change::Board { board: b, facts: Some(BoardFacts { owner: o, listed: true }) },
            Change::Board { board: b, facts: Some(BoardFacts { owner: o, listed: false }) },
            Change::Board { board: b, facts: None },
            Change::UserGone { user: o },
            Change::Publish(facts),
            Change::Retract(p),
        ];
        for merge_threshold in [None, Some(0), Some(7)] {
            let ask = proto::Ask { patience_ms: 1, client: 1, what: Some(apply(changes.clone(), merge_threshold)) };
            assert_eq!(wanted(ask), Ok(Wanted::Apply { changes: changes.clone(), merge_threshold }));
        }
    }

    #[test]
    fn what_is_not_known_or_too_much_is_refused() {
        let (u, p) = (UserId::new(Shard(1), 2).as_u64(), PinId::new(Shard(3), 6).as_u64());
        let pin = proto::Pin { pin: p, owner: u, board: BoardId::new(Shard(1), 4).as_u64(), ..proto::Pin::default() };
        let applying = |what| What::Apply(ask::Apply { changes: vec![proto::Change { what }], merge_threshold: None });
        let cases = [
            ("of a kind", None),
            ("of a kind", Some(applying(None))),
            ("of a kind", Some(What::Public(ask::Public::default()))),
            ("'tag'", Some(What::Following(ask::Following { user: u, kind: "tag".into(), cursor: None, limit: 1 }))),
            ("no id", Some(What::Shown(ask::Shown { user: 0 }))),
            ("no id of a person", Some(What::Shown(ask::Shown { user: p }))),
            ("nobody who follows", Some(What::Followers(ask::Followers { target: p, cursor: None, limit: 1 }))),
            ("topics", Some(applying(Some(ChangeWhat::Publish(proto::Pin { topics: vec![1; 21], ..pin.clone() }))))),
            ("bytes", Some(applying(Some(ChangeWhat::Publish(proto::Pin { domain: "d".repeat(600), ..pin }))))),
        ];
        for (words, what) in cases {
            let refusal = wanted(proto::Ask { patience_ms: 0, client: 1, what });
            assert!(matches!(&refusal, Err(Error::Invalid(message)) if message.contains(words)), "{words}: {refusal:?}");
        }
    }
}
