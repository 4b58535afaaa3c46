//! Backups in an object store that speaks S3. Where and by which key is told as for other tools of S3, by AWS_… in the environment:
//! AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; AWS_ENDPOINT for other makes, AWS_ALLOW_HTTP=true for one without TLS.

use anyhow::Context;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use storage::{BackupStore, Result};

/// A bucket, or a part of one.
pub struct ObjectBackups {
    bucket: AmazonS3,
    prefix: Path,
    place: String,
}

impl ObjectBackups {
    /// Opens `bucket` or `bucket/prefix`. Nothing is asked yet.
    pub fn open(address: &str) -> anyhow::Result<ObjectBackups> {
        let (name, prefix) = address.split_once('/').unwrap_or((address, ""));
        let bucket = AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .build()
            .with_context(|| format!("s3://{address} can't be used; set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"))?;
        Ok(ObjectBackups { bucket, prefix: Path::from(prefix), place: format!("s3://{address}") })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn away(&self, what: &str, error: &Error) -> storage::Error {
        storage::Error::Unavailable(format!(
            "{} can't {what}: {error}. Look whether it answers, and at AWS_ENDPOINT, AWS_REGION and the key's rights; then run it again.",
            self.place
        ))
    }
}

#[async_trait::async_trait]
impl BackupStore for ObjectBackups {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        // An object shows whole or not at all.
        self.bucket.put(&self.path(name), bytes.into()).await.map_err(|error| self.away(&format!("keep {name}"), &error))?;
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let read = async { self.bucket.get(&self.path(name)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.away(&format!("give {name}"), &error)),
        }
    }

    async fn folders(&self) -> Result<Vec<String>> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let listed = self.bucket.list_with_delimiter(prefix).await.map_err(|error| self.away("be listed", &error))?;
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
