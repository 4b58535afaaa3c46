//! Pictures: bytes become a stored picture, and pins hold on to it.
//!
//! One picture may be on many pins. Its `Image` object lives on the shard that its hash picks, beside the unique name of the hash and
//! the edges `image_has_pins`. A pin takes hold (edge first, on a picture that is not being deleted) before it is written, and lets go
//! after it is purged; when the last one has let go, a job deletes the bytes.
//!
//! ```text
//! hold:    ingest bytes ─▶ image active? ─▶ edge image→pin ─▶ bytes still there? ─▶ write the pin
//! let go:  pin purged ─▶ edge gone ─▶ job after the grace: no edges ⇒ mark deleting ─▶ delete bytes ─▶ purge the image
//! ```

use std::time::Duration;

use bytes::Bytes;
use model::object::SCHEMA_VERSION;
use model::{Assoc, Id, Image, ImageId, Kind, NameKind, Picture, PinId, Stored, UserId};
use storage::{Batch, Condition};

use crate::compose::App;
use crate::error::{Error, Result, What};

/// A picture that is stored, and how large its original is.
#[derive(Clone, Debug)]
pub struct StoredPicture {
    pub image: ImageId,
    pub picture: Picture,
}

/// How long to wait for another's deletion of the same picture, and how often to look.
const DELETION_WAIT: Duration = Duration::from_millis(200);
const DELETION_LOOKS_MAX: usize = 25;

impl App {
    /// Stores a picture's bytes and its `Image` object. The same bytes twice are one picture.
    pub async fn store_picture(&self, bytes: Bytes) -> Result<StoredPicture> {
        for _ in 0..DELETION_LOOKS_MAX {
            let ingested = self.media.ingest(bytes.clone()).await.map_err(media_error)?;
            let size = ingested.bytes;
            let picture = to_model(&ingested);
            if let Some(image) = self.claim_image(picture, size).await? {
                return Ok(image);
            }
            tokio::time::sleep(DELETION_WAIT).await;
        }
        Err(Error::Unavailable("The same picture is being deleted right now. Try again in a few seconds.".into()))
    }

    /// Returns the picture of a hash if it is stored.
    pub async fn picture_by_hash(&self, hash: &str) -> Result<StoredPicture> {
        let name = self.name(NameKind::ImageHash, hash).await?.ok_or(Error::NotFound(What::Picture))?;
        let image = self.fresh::<Image>(name.id).await?.filter(|image| image.data.deleting_since.is_none());
        stored_picture(&image.ok_or(Error::NotFound(What::Picture))?)
    }

    /// Makes or finds the `Image` of an ingested picture; `None` while it is being deleted.
    async fn claim_image(&self, picture: Picture, bytes: u64) -> Result<Option<StoredPicture>> {
        let hash = picture.hash.clone();
        if let Some(name) = self.name(NameKind::ImageHash, &hash).await? {
            return match self.fresh::<Image>(name.id).await? {
                Some(image) if image.data.deleting_since.is_none() => stored_picture(&image).map(Some),
                _ => Ok(None),
            };
        }
        let shard = storage::name_shard(NameKind::ImageHash, &hash);
        let image: ImageId = self.new_id(shard, Kind::Image).await?;
        let object = Image { v: SCHEMA_VERSION, picture: picture.clone(), bytes, deleting_since: None };
        let mut batch = Batch::on(shard);
        batch.claim(NameKind::ImageHash, &hash, image.id()).create(image.id(), &object).confirm(NameKind::ImageHash, &hash, image.id());
        match self.commit(batch).await {
            Ok(_) => Ok(Some(StoredPicture { image, picture })),
            // Somebody stored the same picture in the meantime: theirs counts.
            Err(Error::Conflict(_)) => match self.name(NameKind::ImageHash, &hash).await? {
                Some(name) => self
                    .fresh::<Image>(name.id)
                    .await?
                    .filter(|image| image.data.deleting_since.is_none())
                    .map(|image| stored_picture(&image))
                    .transpose(),
                None => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// Takes hold of a picture for a pin that is about to be written.
    pub async fn hold_picture(&self, held: &StoredPicture, pin: PinId) -> Result<()> {
        self.hold(held, Assoc::ImageHasPins, pin.id()).await
    }

    /// Takes hold of a picture for a profile.
    pub async fn hold_profile_picture(&self, held: &StoredPicture, user: UserId) -> Result<()> {
        self.hold(held, Assoc::ImageShownByUsers, user.id()).await
    }

    async fn hold(&self, held: &StoredPicture, assoc: Assoc, holder: Id) -> Result<()> {
        // A picture seldom changes: the cached one will nearly always do.
        if let Some(image) = self.object::<Image>(held.image).await?
            && self.hold_version(&image, assoc, holder).await?
        {
            return Ok(());
        }
        match self.fresh::<Image>(held.image).await? {
            Some(image) if self.hold_version(&image, assoc, holder).await? => Ok(()),
            // Somebody has begun to delete it: to the holder it is gone.
            _ => Err(Error::NotFound(What::Picture)),
        }
    }

    /// Returns the batch that takes hold of a picture for a pin, if it stands as far as this process knows. It conflicts if somebody has begun
    /// to delete the picture.
    pub(crate) async fn hold_on_picture(&self, held: &StoredPicture, pin: PinId) -> Result<Option<Batch>> {
        let image = self.object::<Image>(held.image).await?;
        Ok(image.and_then(|image| self.hold_of(&image, Assoc::ImageHasPins, pin.id())))
    }

    fn hold_of(&self, image: &Stored<Image>, assoc: Assoc, holder: Id) -> Option<Batch> {
        if !image.active || image.data.deleting_since.is_some() {
            return None;
        }
        let mut batch = Batch::on(image.id.shard());
        batch.require(Condition::Version(image.id, image.version)).map(assoc, image.id, holder, self.now().0);
        Some(batch)
    }

    /// Takes hold of a picture that stands as it was read: nobody has begun to delete it since. Says whether it does.
    async fn hold_version(&self, image: &Stored<Image>, assoc: Assoc, holder: Id) -> Result<bool> {
        let Some(batch) = self.hold_of(image, assoc, holder) else { return Ok(false) };
        match self.commit(batch).await {
            Err(Error::Conflict(_)) => Ok(false),
            held => held.map(|_| true),
        }
    }

    /// Deletes a picture that no pin and no profile holds. Returns whether it did. Safe to repeat at any point.
    pub async fn delete_unheld_picture(&self, image: ImageId) -> Result<bool> {
        let Some(stored) = self.fresh::<Image>(image).await? else { return Ok(false) };
        let holders = self.storage.counts(&[(Assoc::ImageHasPins, image.id()), (Assoc::ImageShownByUsers, image.id())]).await?;
        if holders.iter().any(|count| *count > 0) {
            return Ok(false);
        }
        let hash = stored.data.picture.hash.clone();
        if stored.data.deleting_since.is_none() {
            let mut batch = Batch::on(image.shard());
            let marked = Image { deleting_since: Some(self.now()), ..stored.data };
            batch.require(Condition::CountIs(Assoc::ImageHasPins, image.id(), 0));
            batch.require(Condition::CountIs(Assoc::ImageShownByUsers, image.id(), 0)).update(image.id(), stored.version, &marked);
            match self.commit(batch).await {
                Ok(_) => {}
                Err(Error::Conflict(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.media.remove(hash.parse().map_err(Error::internal)?).await.map_err(media_error)?;
        let mut batch = Batch::on(image.shard());
        batch.purge(image.id()).release(NameKind::ImageHash, &hash, image.id());
        self.commit(batch).await?;
        Ok(true)
    }
}

fn stored_picture(image: &Stored<Image>) -> Result<StoredPicture> {
    Ok(StoredPicture { image: ImageId::try_from(image.id).map_err(Error::internal)?, picture: image.data.picture.clone() })
}

/// Says what `media` says in the application's words: a refused picture is the sender's to mend.
pub fn media_error(error: media::MediaError) -> Error {
    match error {
        media::MediaError::Refused(refusal) => Error::invalid("picture", refusal.to_string()),
        media::MediaError::NotFound { .. } => Error::NotFound(What::Picture),
        media::MediaError::Unavailable { .. } => Error::Unavailable("The picture store is away for a moment. Try again.".into()),
        other => Error::Internal(other.into()),
    }
}

fn to_model(picture: &media::Picture) -> Picture {
    use base64::Engine as _;
    Picture {
        hash: picture.hash.to_string(),
        width: picture.width,
        height: picture.height,
        color: picture.dominant_color.clone(),
        placeholder: base64::engine::general_purpose::STANDARD_NO_PAD.encode(&picture.placeholder),
        format: picture.format.to_string().to_lowercase(),
        alpha: picture.has_alpha,
        animated: picture.animated,
    }
}
