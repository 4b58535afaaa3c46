//! Topics: tags that can be followed. One is made when its first pin comes.

use std::sync::Arc;

use model::object::SCHEMA_VERSION;
use model::{Assoc, Id, Kind, NameKind, Stored, TopicId, TopicObject, UserId};
use storage::{Batch, Order, Range};

use crate::compose::App;
use crate::error::{Error, Result, What};
use crate::hydrate::{Page, PageRequest, PinView, Strictness};
use crate::viewer::Viewer;

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
        let id = self.topic_id(tag).await?;
        let stored = self.object::<TopicObject>(id).await?.ok_or(Error::NotFound(What::Topic))?;
        let follower_count = self.count_of(Assoc::TopicFollowedByUsers, id.id()).await?;
        let followed = self.follows(viewer, &[feeds::Target::Topic(id)]).await?[0];
        Ok(TopicView { id, tag: stored.data.tag.clone(), follower_count, followed })
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
