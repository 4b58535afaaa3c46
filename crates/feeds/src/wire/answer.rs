//! Answers on their way: `answered` writes them, `read` reads them.

use model::{Id, Timestamp, UserId};

use super::proto::{self, answer::What};
use super::{board, cursor, cursor_to, id, pin, position, position_to, rest, rest_to, target, user};
use crate::engine::Kept;
use crate::error::{Error, Result};
use crate::facts::{Counts, EdgePage, Entry, HomePage, Linked, PublicEntry, PublicPage, Reason, Relation, Rest, Standing, Stats, Target};

/// Values into answers.
pub(crate) mod answered {
    use super::{
        Counts, EdgePage, HomePage, Id, Kept, PublicPage, Relation, Rest, Standing, Stats, UserId, What, cursor_to, position_to, proto,
        rest_to,
    };

    pub(crate) fn done() -> What {
        What::Done(proto::answer::Done {})
    }

    pub(crate) fn rests(rests: impl IntoIterator<Item = Rest>) -> What {
        What::Rests(proto::Rests { rests: rests.into_iter().map(rest_to).collect() })
    }

    pub(crate) fn home(page: HomePage) -> What {
        let entries = page.entries.into_iter().map(|entry| proto::home_page::Entry {
            pin: entry.pin.as_u64(),
            at: entry.at.0,
            reason: super::reason_to(entry.reason),
        });
        let complete_to = page.complete_to.map(position_to);
        What::Home(proto::HomePage { entries: entries.collect(), complete_to, present: page.present })
    }

    pub(crate) fn public(page: PublicPage) -> What {
        let entries = page.entries.into_iter().map(|entry| proto::public_page::Entry {
            pin: entry.pin.as_u64(),
            at: entry.at.0,
            owner: entry.owner.as_u64(),
            board: entry.board.as_u64(),
        });
        What::Public(proto::PublicPage { entries: entries.collect(), complete_to: page.complete_to.map(position_to) })
    }

    pub(crate) fn flags(flags: Vec<bool>) -> What {
        What::Flags(proto::Flags { flags })
    }

    pub(crate) fn relations(relations: Vec<Relation>) -> What {
        What::Relations(super::relations_to(relations.into_iter()))
    }

    pub(crate) fn standings(standings: Vec<Standing>) -> What {
        let relations = super::relations_to(standings.iter().map(|standing| standing.relation));
        let (follows, followed_by) = standings.into_iter().map(|standing| (standing.follows, standing.followed_by)).unzip();
        What::Standings(proto::StandingList { relations: Some(relations), follows, followed_by })
    }

    pub(crate) fn counts(counts: Vec<Counts>) -> What {
        let counts = counts.into_iter().map(|counts| proto::counts_list::Counts {
            followers: counts.followers,
            following_users: counts.following_users,
            following_boards: counts.following_boards,
            following_topics: counts.following_topics,
        });
        What::Counts(proto::CountsList { counts: counts.collect() })
    }

    pub(crate) fn numbers(numbers: Vec<u64>) -> What {
        What::Numbers(proto::Numbers { numbers })
    }

    pub(crate) fn edges(page: EdgePage) -> What {
        let entries = page.entries.into_iter().map(|linked| cursor_to((linked.at, linked.target.id())));
        What::Edges(proto::EdgePage { entries: entries.collect(), next: page.next.map(cursor_to) })
    }

    pub(crate) fn users(users: Vec<UserId>) -> What {
        ids(users.into_iter().map(UserId::id).collect())
    }

    pub(crate) fn ids(ids: Vec<Id>) -> What {
        What::Ids(proto::Ids { ids: ids.into_iter().map(Id::as_u64).collect() })
    }

    pub(crate) fn shown(shown: Option<Vec<u8>>) -> What {
        What::Shown(proto::WhatWasShown { shown })
    }

    pub(crate) fn kept(kept: Kept) -> What {
        What::Kept(proto::Kept { is_behind: kept == Kept::Behind })
    }

    pub(crate) fn offset(offset: Option<i64>) -> What {
        What::Offset(proto::Offset { offset })
    }

    pub(crate) fn stats(stats: Stats) -> What {
        let Stats { users, boards, edges, feeds, entries, pins, bytes_estimate } = stats;
        What::Stats(proto::Figures { users, boards, edges, feeds, entries, pins, bytes_estimate })
    }
}

/// Answers into values. `wanted` is how many things were asked about.
pub(crate) mod read {
    use super::{
        Counts, EdgePage, Entry, HomePage, Id, Kept, Linked, PublicEntry, PublicPage, Relation, Rest, Result, Standing, Stats, Timestamp,
        UserId, What, board, cursor, id, odd, pin, position, proto, rest, target, user,
    };

    pub(crate) fn done(what: What) -> Result<()> {
        let What::Done(_) = what else { return odd("that it is done") };
        Ok(())
    }

    pub(crate) fn rests(what: What) -> Result<Vec<Rest>> {
        let What::Rests(rests) = what else { return odd("what is left") };
        rests.rests.into_iter().map(rest).collect()
    }

    pub(crate) fn home(what: What) -> Result<HomePage> {
        let What::Home(page) = what else { return odd("a home page") };
        let entry = |entry: proto::home_page::Entry| {
            Ok(Entry { pin: pin(entry.pin)?, at: Timestamp(entry.at), reason: super::reason(entry.reason)? })
        };
        Ok(HomePage {
            entries: page.entries.into_iter().map(entry).collect::<Result<_>>()?,
            complete_to: page.complete_to.map(position).transpose()?,
            present: page.present,
        })
    }

    pub(crate) fn public(what: What) -> Result<PublicPage> {
        let What::Public(page) = what else { return odd("a public page") };
        let entry = |entry: proto::public_page::Entry| {
            Ok(PublicEntry { pin: pin(entry.pin)?, at: Timestamp(entry.at), owner: user(entry.owner)?, board: board(entry.board)? })
        };
        let entries = page.entries.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(PublicPage { entries, complete_to: page.complete_to.map(position).transpose()? })
    }

    pub(crate) fn flags(what: What, wanted: usize) -> Result<Vec<bool>> {
        match what {
            What::Flags(flags) if flags.flags.len() == wanted => Ok(flags.flags),
            _ => odd("one flag for each"),
        }
    }

    pub(crate) fn relations(what: What, wanted: usize) -> Result<Vec<Relation>> {
        match what {
            What::Relations(list) => super::relations(list, wanted),
            _ => odd("one relation for each"),
        }
    }

    pub(crate) fn standings(what: What, wanted: usize) -> Result<Vec<Standing>> {
        match what {
            What::Standings(list) if list.follows.len() == wanted && list.followed_by.len() == wanted => {
                let relations = super::relations(list.relations.unwrap_or_default(), wanted)?;
                let follows = list.follows.into_iter().zip(list.followed_by);
                let standings = relations.into_iter().zip(follows);
                Ok(standings.map(|(relation, (follows, followed_by))| Standing { relation, follows, followed_by }).collect())
            }
            _ => odd("one standing for each"),
        }
    }

    pub(crate) fn counts(what: What, wanted: usize) -> Result<Vec<Counts>> {
        let counts = |counts: proto::counts_list::Counts| Counts {
            followers: counts.followers,
            following_users: counts.following_users,
            following_boards: counts.following_boards,
            following_topics: counts.following_topics,
        };
        match what {
            What::Counts(list) if list.counts.len() == wanted => Ok(list.counts.into_iter().map(counts).collect()),
            _ => odd("counts for each"),
        }
    }

    pub(crate) fn numbers(what: What, wanted: usize) -> Result<Vec<u64>> {
        match what {
            What::Numbers(numbers) if numbers.numbers.len() == wanted => Ok(numbers.numbers),
            _ => odd("one number for each"),
        }
    }

    pub(crate) fn edges(what: What) -> Result<EdgePage> {
        let What::Edges(page) = what else { return odd("a page of follows") };
        let linked = |edge: proto::Cursor| Ok(Linked { target: target(edge.id)?, at: Timestamp(edge.at) });
        let entries = page.entries.into_iter().map(linked).collect::<Result<_>>()?;
        Ok(EdgePage { entries, next: page.next.map(cursor).transpose()? })
    }

    pub(crate) fn users(what: What) -> Result<Vec<UserId>> {
        let What::Ids(ids) = what else { return odd("people") };
        ids.ids.into_iter().map(user).collect()
    }

    pub(crate) fn ids(what: What) -> Result<Vec<Id>> {
        let What::Ids(ids) = what else { return odd("ids") };
        ids.ids.into_iter().map(id).collect()
    }

    pub(crate) fn shown(what: What) -> Result<Option<Vec<u8>>> {
        let What::Shown(shown) = what else { return odd("what was shown") };
        Ok(shown.shown)
    }

    pub(crate) fn kept(what: What) -> Result<Kept> {
        let What::Kept(kept) = what else { return odd("whether all is there") };
        Ok(if kept.is_behind { Kept::Behind } else { Kept::Whole })
    }

    pub(crate) fn offset(what: What) -> Result<Option<i64>> {
        let What::Offset(offset) = what else { return odd("an offset") };
        Ok(offset.offset)
    }

    pub(crate) fn stats(what: What) -> Result<Stats> {
        let What::Stats(figures) = what else { return odd("figures") };
        let proto::Figures { users, boards, edges, feeds, entries, pins, bytes_estimate } = figures;
        Ok(Stats { users, boards, edges, feeds, entries, pins, bytes_estimate })
    }
}

/// Says that an answer is none to what was asked. A change may have happened all the same.
fn odd<T>(wanted: &str) -> Result<T> {
    Err(Error::Unknown(format!("the service did not answer with {wanted}")))
}

fn relations_to(relations: impl Iterator<Item = Relation>) -> proto::RelationList {
    let mut list = proto::RelationList::default();
    for relation in relations {
        list.blocked.push(relation.is_blocked());
        list.muted.push(relation.muted);
        list.blocks.push(relation.blocks);
        list.blocked_by.push(relation.blocked_by);
    }
    list
}

fn relations(list: proto::RelationList, wanted: usize) -> Result<Vec<Relation>> {
    let proto::RelationList { muted, blocks, blocked_by, .. } = list;
    if [&muted, &blocks, &blocked_by].iter().any(|flags| flags.len() != wanted) {
        return odd("one relation for each");
    }
    let flags = blocks.into_iter().zip(blocked_by).zip(muted);
    Ok(flags.map(|((blocks, blocked_by), muted)| Relation { blocks, blocked_by, muted }).collect())
}

fn reason_to(reason: Reason) -> u64 {
    match reason {
        Reason::Person(user) => user.as_u64(),
        Reason::Board(board) => board.as_u64(),
        Reason::Topic(topic) => topic.as_u64(),
    }
}

fn reason(number: u64) -> Result<Reason> {
    Ok(match target(number)? {
        Target::User(user) => Reason::Person(user),
        Target::Board(board) => Reason::Board(board),
        Target::Topic(topic) => Reason::Topic(topic),
    })
}

#[cfg(test)]
mod tests {
    use model::{BoardId, PinId, Shard, TopicId};

    use super::*;

    #[test]
    fn answers_come_back_as_they_went() {
        let (u, b) = (UserId::new(Shard(1), 2), BoardId::new(Shard(1), 4));
        let (t, p) = (TopicId::new(Shard(2), 5), PinId::new(Shard(3), 6));
        let at = Timestamp(-3);
        for reason in [Reason::Person(u), Reason::Board(b), Reason::Topic(t)] {
            let page = HomePage { entries: vec![Entry { pin: p, at, reason }], complete_to: Some((at, p)), present: true };
            assert_eq!(read::home(answered::home(page.clone())), Ok(page));
        }
        let page = PublicPage { entries: vec![PublicEntry { pin: p, at, owner: u, board: b }], complete_to: None };
        assert_eq!(read::public(answered::public(page.clone())), Ok(page));
        let page = EdgePage { entries: vec![Linked { target: Target::Topic(t), at }], next: Some((at, Id::from(t))) };
        assert_eq!(read::edges(answered::edges(page.clone())), Ok(page));
        let rests = vec![
            Rest { pin: p, source: Target::Board(b), after: None },
            Rest { pin: p, source: Target::User(u), after: Some((at, u.id())) },
        ];
        assert_eq!(read::rests(answered::rests(rests.clone())), Ok(rests));
        for shown in [None, Some(vec![]), Some(vec![0, 255])] {
            assert_eq!(read::shown(answered::shown(shown.clone())), Ok(shown));
        }
        for offset in [None, Some(0), Some(-1), Some(i64::MAX)] {
            assert_eq!(read::offset(answered::offset(offset)), Ok(offset));
        }
        for kept in [Kept::Whole, Kept::Behind] {
            assert_eq!(read::kept(answered::kept(kept)), Ok(kept));
        }
        let relation = |n: u8| Relation { blocks: n & 1 != 0, blocked_by: n & 2 != 0, muted: n & 4 != 0 };
        let relations: Vec<Relation> = (0..8).map(relation).collect();
        assert_eq!(read::relations(answered::relations(relations.clone()), 8), Ok(relations));
        let standing = |n: u8| Standing { relation: relation(n), follows: n & 8 != 0, followed_by: n & 16 != 0 };
        let standings: Vec<Standing> = (0..32).map(standing).collect();
        assert_eq!(read::standings(answered::standings(standings.clone()), 32), Ok(standings));
    }

    #[test]
    fn an_answer_of_another_length_or_kind_is_none() {
        assert!(matches!(read::flags(answered::flags(vec![true]), 2), Err(Error::Unknown(_))));
        assert!(matches!(read::relations(answered::relations(vec![Relation::default()]), 2), Err(Error::Unknown(_))));
        assert!(matches!(read::standings(answered::standings(vec![]), 1), Err(Error::Unknown(_))));
        assert!(matches!(read::numbers(answered::done(), 0), Err(Error::Unknown(_))));
        assert!(matches!(read::done(answered::numbers(vec![])), Err(Error::Unknown(_))));
    }
}
