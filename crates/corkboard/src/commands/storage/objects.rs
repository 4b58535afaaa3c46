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
        ObjectBackups::open_with(address, AmazonS3Builder::from_env())
    }

    fn open_with(address: &str, builder: AmazonS3Builder) -> anyhow::Result<ObjectBackups> {
        let (name, prefix) = address.split_once('/').unwrap_or((address, ""));
        let bucket = builder
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A bucket in memory, as much of S3 as backups need. Answers until the test ends.
    async fn bucket() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut objects = BTreeMap::new();
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &mut objects).await;
            }
        });
        format!("http://{address}")
    }

    /// Answers one request and hangs up.
    async fn answer(stream: TcpStream, objects: &mut BTreeMap<String, Vec<u8>>) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).await.ok()?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length:").map_or(Some(length), |text| text.trim().parse().ok())?;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let (method, target) = first.split_once(' ')?;
        let (path, query) = target.split(' ').next()?.split_once('?').unwrap_or((target.split(' ').next()?, ""));
        let (status, body) = match (method, path) {
            ("PUT", path) => {
                objects.insert(path.to_owned(), body);
                (200, Vec::new())
            }
            ("GET", "/bucket") => (200, list(objects, query).into_bytes()),
            ("GET", path) => objects.get(path).map_or((404, Vec::new()), |body| (200, body.clone())),
            _ => (405, Vec::new()),
        };
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nETag: \"x\"\r\nLast-Modified: Wed, 25 Nov 2026 20:14:04 GMT\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.into_bytes(), body].concat()).await.ok()
    }

    fn list(objects: &BTreeMap<String, Vec<u8>>, query: &str) -> String {
        assert!(query.contains("delimiter=%2F"), "{query}");
        let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or_default().replace("%2F", "/");
        let mut folders: Vec<&str> = objects
            .keys()
            .filter_map(|path| path.strip_prefix("/bucket/")?.strip_prefix(&prefix)?.split_once('/'))
            .map(|(folder, _)| folder)
            .collect();
        folders.dedup();
        let mut xml = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        for folder in folders {
            let _ = write!(xml, "<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>");
        }
        xml + "</ListBucketResult>"
    }

    fn open(endpoint: &str, address: &str) -> ObjectBackups {
        // Whoever came first has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retries = object_store::RetryConfig { max_retries: 0, ..object_store::RetryConfig::default() };
        let builder = AmazonS3Builder::new().with_endpoint(endpoint).with_allow_http(true).with_region("x").with_retry(retries);
        ObjectBackups::open_with(address, builder.with_access_key_id("key").with_secret_access_key("secret")).expect("a bucket")
    }

    #[tokio::test]
    async fn a_bucket_keeps_files_like_a_folder() {
        let endpoint = bucket().await;
        for address in ["bucket", "bucket/below/it"] {
            let store = open(&endpoint, address);
            assert_eq!((store.get("a/b.json").await, store.place()), (Ok(None), format!("s3://{address}")));
            store.put("a/b.json", b"one".to_vec()).await.expect("a file");
            store.put("a/b.json", b"two".to_vec()).await.expect("a file");
            store.put("c/d/e.gz", vec![]).await.expect("a file");
            assert_eq!(store.get("a/b.json").await, Ok(Some(b"two".to_vec())));
            assert_eq!(store.folders().await, Ok(vec!["a".to_owned(), "c".to_owned()]));
        }
        let folders = open(&endpoint, "bucket").folders().await.expect("folders");
        assert_eq!(folders, ["a", "below", "c"]);
    }

    #[tokio::test]
    async fn a_bucket_that_does_not_answer_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let store = open(&endpoint, "bucket/x");
        for error in [store.put("a", vec![]).await.map(drop), store.get("a").await.map(drop), store.folders().await.map(drop)] {
            assert!(error.is_err_and(|error| error.to_string().starts_with("s3://bucket/x can't ") && error.to_string().contains("AWS_ENDPOINT")));
        }
    }
}
