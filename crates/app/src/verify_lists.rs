//! Comparing what the feeds hold of boards, topics and public lists with the truth in storage.
//!
//! ```text
//! storage ── one walk over all pins ──▶ what belongs into each list (16 bytes an entry) ── list by list ──▶ against the feeds
//! ```
//!
//! A domain from which nothing is pinned in storage is not looked at: nobody can name it.

use std::collections::{BTreeSet, HashMap};

use feeds::{Position, PublicFeed, Target};
use model::object::TopicObject;
use model::{Assoc, Board, BoardId, Id, Pin, PinId, TopicId, UserId};

use crate::compose::App;
use crate::error::{Error, Result};
use crate::verify_feeds::FeedsFound;

/// Entries and edges read at once.
const STEP: usize = 250;

impl App {
    /// Compares who follows each board alone and who left it out. `progress` is told how many boards were compared.
    pub async fn verify_feeds_of_boards(&self, progress: impl Fn(u64) + Send) -> Result<FeedsFound> {
        let (mut found, mut after, mut count) = (FeedsFound::default(), None, 0);
        loop {
            let boards = self.step::<Board>(&mut after).await?;
            if boards.is_empty() {
                return Ok(found);
            }
            for board in boards.iter().filter(|board| board.active) {
                let id = BoardId::try_from(board.id).map_err(Error::internal)?;
                self.verify_feeds_of_board(id, board.data.owner, &mut found).await?;
                count += 1;
                progress(count);
            }
        }
    }

    async fn verify_feeds_of_board(&self, board: BoardId, owner: UserId, found: &mut FeedsFound) -> Result<()> {
        let explicit = self.compare_followers(Target::Board(board), Assoc::BoardFollowedByUsers, found).await?;
        let left = self.ends_in_storage(Assoc::BoardLeftOutByUsers, board.id()).await?;
        let asked: Vec<Id> = explicit.union(&left).copied().collect();
        let mut of_owner = BTreeSet::new();
        for asked in asked.chunks(STEP) {
            let edges = self.storage.edges(Assoc::UserFollowedByUsers, owner.id(), asked).await?;
            of_owner.extend(asked.iter().zip(edges).filter(|(_, edge)| edge.is_some()).map(|(id, _)| *id));
        }
        let followers = self.storage.count(Assoc::UserFollowedByUsers, owner.id()).await?;
        let less = left.intersection(&of_owner).count() as u64;
        let more = explicit.iter().filter(|user| !of_owner.contains(user) || left.contains(user)).count() as u64;
        let expected = (followers + more).saturating_sub(less);
        let counted = self.feeds.followers_of_board(board).await?;
        if counted != expected {
            found
                .differences
                .push(format!("{board}: {counted} followers are counted, and there are {expected}: somebody's leaving out differs"));
        }
        Ok(())
    }

    /// Compares all public lists, and who follows topics. `progress` is told how many pins were read and lists compared.
    pub async fn verify_public_feeds(&self, progress: impl Fn(u64, u64) + Send) -> Result<FeedsFound> {
        let mut found = FeedsFound::default();
        let topics = self.topics_by_tag().await?;
        let mut truth: HashMap<PublicFeed, BTreeSet<Position>> = HashMap::new();
        truth.insert(PublicFeed::Everything, BTreeSet::new());
        truth.extend(topics.values().map(|topic| (PublicFeed::Topic(*topic), BTreeSet::new())));
        let (mut after, mut pins) = (None, 0);
        loop {
            let rows = self.step::<Pin>(&mut after).await?;
            if rows.is_empty() {
                break;
            }
            pins += rows.len() as u64;
            for row in &rows {
                if self.board_of_travelling(row).await?.is_none() {
                    continue;
                }
                let position = (row.data.at, PinId::try_from(row.id).map_err(Error::internal)?);
                let tags = row.data.tags.iter().filter_map(|tag| topics.get(tag)).map(|topic| PublicFeed::Topic(*topic));
                let domain = (!row.data.domain.is_empty()).then(|| PublicFeed::Domain(row.data.domain.clone()));
                for list in tags.chain(domain).chain([PublicFeed::Everything]) {
                    truth.entry(list).or_default().insert(position);
                }
            }
            progress(pins, 0);
        }
        for topic in topics.values() {
            self.compare_followers(Target::Topic(*topic), Assoc::TopicFollowedByUsers, &mut found).await?;
        }
        for (list, truth) in truth {
            self.compare_list(&list, truth, &mut found).await?;
            progress(pins, found.lists);
        }
        Ok(found)
    }

    /// Compares a list down to where memory ends.
    async fn compare_list(&self, list: &PublicFeed, mut truth: BTreeSet<Position>, found: &mut FeedsFound) -> Result<()> {
        let name = match list {
            PublicFeed::Everything => "everything".to_owned(),
            PublicFeed::Topic(topic) => format!("topic {topic}"),
            PublicFeed::Domain(domain) => format!("domain {domain}"),
        };
        let mut known: Vec<Position> = Vec::new();
        let end = loop {
            let page = self.feeds.public(list.clone(), known.last().copied(), STEP).await?;
            known.extend(page.entries.iter().map(|entry| (entry.at, entry.pin)));
            if page.complete_to.is_some() || page.entries.len() < STEP {
                break page.complete_to;
            }
        };
        found.lists += 1;
        found.entries += known.len() as u64;
        if !known.is_sorted_by(|a, b| a > b) {
            found.differences.push(format!("{name}: the list is out of order, or holds a pin twice"));
        }
        truth.retain(|position| end.is_none_or(|end| *position >= end));
        found.compare(&truth, &known.into_iter().collect(), |(_, pin), what| format!("{name}: {pin} {what}"));
        Ok(())
    }

    async fn topics_by_tag(&self) -> Result<HashMap<String, TopicId>> {
        let (mut topics, mut after) = (HashMap::new(), None);
        loop {
            let rows = self.step::<TopicObject>(&mut after).await?;
            if rows.is_empty() {
                return Ok(topics);
            }
            topics.extend(rows.into_iter().filter_map(|row| Some((row.data.tag, TopicId::try_from(row.id).ok()?))));
        }
    }
}
