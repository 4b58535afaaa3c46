//! Topics: tags that can be followed. One is made when its first pin comes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::object::SCHEMA_VERSION;
use model::{Assoc, Id, Kind, NameKind, Stored, TopicId, TopicObject, UserId};
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, PinView, Strictness};
use crate::viewer::Viewer;

/// Pins of a topic among which its newest one that may be seen is looked for at first.
const NEWEST_STEP: usize = 8;

/// A topic as its page shows it.
#[derive(Clone, Debug)]
pub struct TopicView {
    pub id: TopicId,
    pub tag: String,
    pub follower_count: u64,
    pub followed: bool,
}

impl App {
    /// Returns the topic of a tag, making it if it is new.
    pub(crate) async fn ensure_topic(&self, tag: &str) -> Result<TopicId> {
        if let Some(name) = self.name(NameKind::Tag, tag).await? {
            return TopicId::try_from(name.id).map_err(Error::internal);
        }
        let shard = storage::name_shard(NameKind::Tag, tag);
        let id: TopicId = self.new_id(shard, Kind::Topic).await?;
        let mut batch = Batch::on(shard);
        batch.claim(NameKind::Tag, tag, id.id()).create(id.id(), &TopicObject { v: SCHEMA_VERSION, tag: tag.to_owned() }).confirm(
            NameKind::Tag,
            tag,
            id.id(),
        );
        match self.commit(batch).await {
            Ok(_) => Ok(id),
            // Somebody made it in the meantime.
            Err(Error::Conflict(_)) => self.topic_id(tag).await,
            Err(error) => Err(error),
        }
    }

    /// Reads a topic by its tag.
    pub async fn topic(&self, viewer: &Viewer, tag: &str) -> Result<TopicView> {
        self.topics_tagged(viewer, &[tag]).await?.pop().flatten().ok_or(Error::NotFound(What::Topic))
    }

    /// Reads topics by their tags; same order and length. The index knows tags a moment before their topics are made.
    pub async fn topics_tagged(&self, viewer: &Viewer, tags: &[&str]) -> Result<Vec<Option<TopicView>>> {
        let mut ids = Vec::with_capacity(tags.len());
        for tag in tags {
            match self.topic_id(tag).await {
                Ok(id) => ids.push(Some(id)),
                Err(Error::NotFound(_)) => ids.push(None),
                Err(error) => return Err(error),
            }
        }
        let known: Vec<TopicId> = ids.iter().flatten().copied().collect();
        let objects = self.objects::<TopicObject>(&known.iter().map(|id| id.id()).collect::<Vec<_>>()).await?;
        let wanted: Vec<_> = known.iter().map(|id| (Assoc::TopicFollowedByUsers, id.id())).collect();
        let counts = self.counts_of(&wanted).await?;
        let targets: Vec<feeds::Target> = known.iter().copied().map(feeds::Target::Topic).collect();
        let follows = if targets.is_empty() { Vec::new() } else { self.follows(viewer, &targets).await? };
        let read = known.into_iter().zip(objects).zip(counts.into_iter().zip(follows));
        let mut views = read.map(|((id, stored), (follower_count, followed))| {
            stored.map(|stored| TopicView { id, tag: stored.data.tag.clone(), follower_count, followed })
        });
        Ok(ids.into_iter().map(|id| id.and_then(|_| views.next().flatten())).collect())
    }

    /// Reads the newest pin of each topic that the viewer may see; same order and length.
    pub async fn newest_of_topics(&self, viewer: &Viewer, topics: &[TopicId]) -> Result<Vec<Option<PinView>>> {
        let ids: Vec<Id> = topics.iter().map(|topic| topic.id()).collect();
        let newest = self.newest_of(Assoc::TopicHasPins, &ids, NEWEST_STEP).await?;
        let pins: BTreeSet<Id> = newest.iter().flatten().map(|edge| edge.to).collect();
        let views = self.hydrate(viewer, &pins.into_iter().collect::<Vec<_>>(), Strictness::Public).await?;
        let views: HashMap<Id, PinView> = views.into_iter().map(|view| (view.pin.id, view)).collect();
        let mut found = Vec::with_capacity(topics.len());
        for (topic, edges) in topics.iter().zip(newest) {
            found.push(match edges.iter().find_map(|edge| views.get(&edge.to)) {
                Some(view) => Some(view.clone()),
                // Much of it is hidden.
                None if edges.len() == NEWEST_STEP => self.topic_pins(viewer, *topic, &PageRequest::first(1)).await?.items.pop(),
                None => None,
            });
        }
        Ok(found)
    }

    /// Lists the public pins of a topic, newest first.
    pub async fn topic_pins(&self, viewer: &Viewer, topic: TopicId, request: &PageRequest) -> Result<Page<PinView>> {
        self.pins_along(viewer, Assoc::TopicHasPins, topic.id(), request, Strictness::Public).await
    }

    /// Lists the topics that the viewer follows.
    pub async fn topics_followed(&self, viewer: &Viewer, limit: usize) -> Result<Vec<Arc<Stored<TopicObject>>>> {
        self.topics_followed_by(viewer, viewer.require()?, limit).await
    }

    /// Lists the topics that a person follows, as far as the viewer may see the person.
    pub async fn topics_followed_by(&self, viewer: &Viewer, user: UserId, limit: usize) -> Result<Vec<Arc<Stored<TopicObject>>>> {
        self.user(viewer, user).await?;
        let range = Range { after: None, limit, order: Order::Descending };
        let edges = self.storage.range(Assoc::UserFollowsTopics, user.id(), range).await?;
        let ids: Vec<Id> = edges.iter().map(|edge| edge.to).collect();
        Ok(self.objects::<TopicObject>(&ids).await?.into_iter().flatten().collect())
    }

    /// Lists popular topics with how many public pins they have.
    pub async fn popular_topics(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        Ok(self.search.topics(limit).await?)
    }
}
