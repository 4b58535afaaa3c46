//! The engine `file:PATH`: a folder on a local disk.
//!
//! ```text
//! PATH/e3/e3b0c442…b855/originals  150x150  400x300  600x  1200x  picture.json
//! PATH/temporary/<process>-<number>                                  files being written
//! ```
//!
//! A put writes a temporary file, makes it durable (fsync), renames it to its name and makes the folder durable; a new
//! folder's parents are made durable first. So an acknowledged blob is whole after the loss of power, and a blob that
//! was not acknowledged is whole or absent. Opening deletes temporary files that a dead process left behind.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{error::EngineError, limits::STALE_TEMPORARY_SECONDS, picture::Hash};

use super::{BlobEntry, BlobKey, BlobName, Engine};

const TEMPORARY: &str = "temporary";

/// Blobs in a folder.
#[derive(Clone, Debug)]
pub struct FileEngine {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    next_temporary: AtomicU64,
}

impl FileEngine {
    /// Opens a folder, makes it when it is not there, and deletes stale temporary files in it.
    pub async fn open(root: PathBuf) -> Result<FileEngine, EngineError> {
        let folder = Arc::new(Folder { root, next_temporary: AtomicU64::new(0) });
        let engine = FileEngine { folder };
        engine.run("open", |folder| folder.prepare(SystemTime::now())).await?;
        Ok(engine)
    }

    /// Runs work on the folder on a thread of its own. A failed reading has changed nothing; a failed change may have
    /// happened.
    async fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let folder = Arc::clone(&self.folder);
        let root = self.folder.root.display();
        let failed = match verb {
            "write" | "delete" => EngineError::Unknown,
            _ => EngineError::Unavailable,
        };
        tokio::task::spawn_blocking(move || work(&folder))
            .await
            .map_err(|error| failed(format!("The thread that was to {verb} in {root} died: {error}")))?
            .map_err(|error| {
                failed(format!("Can't {verb} in {root}: {error}. Check that the disk has space and that the folder may be written."))
            })
    }
}

#[async_trait]
impl Engine for FileEngine {
    async fn put(&self, key: BlobKey, bytes: Bytes) -> Result<(), EngineError> {
        self.run("write", move |folder| folder.put(key, &bytes)).await
    }

    async fn get(&self, key: BlobKey) -> Result<Option<Bytes>, EngineError> {
        self.run("read", move |folder| none_if_absent(fs::read(folder.path(key)).map(Bytes::from))).await
    }

    async fn exists(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.run("read", move |folder| folder.path(key).try_exists()).await
    }

    async fn delete(&self, key: BlobKey) -> Result<bool, EngineError> {
        self.run("delete", move |folder| folder.delete(key)).await
    }

    async fn list(&self, after: Option<BlobKey>, count_max: usize) -> Result<Vec<BlobEntry>, EngineError> {
        self.run("list", move |folder| folder.list(after, count_max)).await
    }
}

impl Folder {
    fn path(&self, key: BlobKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    fn prepare(&self, now: SystemTime) -> io::Result<()> {
        let temporary = self.root.join(TEMPORARY);
        make_durable_folder(&temporary)?;
        for entry in fs::read_dir(&temporary)? {
            let entry = entry?;
            let Some(metadata) = none_if_absent(entry.metadata())? else {
                continue;
            };
            let age = now.duration_since(metadata.modified()?).unwrap_or_default();
            if metadata.is_file() && age >= Duration::from_secs(STALE_TEMPORARY_SECONDS) {
                none_if_absent(fs::remove_file(entry.path()))?;
                tracing::info!(file = %entry.path().display(), "deleted a temporary file of a process that died");
            }
        }
        Ok(())
    }

    fn put(&self, key: BlobKey, bytes: &[u8]) -> io::Result<()> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        let written = self.write_and_rename(&temporary, key, bytes);
        if written.is_err() {
            // What can't be deleted now is swept at the next opening.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn write_and_rename(&self, temporary: &Path, key: BlobKey, bytes: &[u8]) -> io::Result<()> {
        let mut file = fs::File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root);
        // A delete of the picture's last blob may remove the folder between making and using it.
        const ATTEMPTS: usize = 3;
        for attempt in 1.. {
            make_durable_folder(folder)?;
            match fs::rename(temporary, &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                renamed => {
                    renamed?;
                    break;
                }
            }
        }
        sync_folder(folder)
    }

    fn delete(&self, key: BlobKey) -> io::Result<bool> {
        let path = self.path(key);
        if none_if_absent(fs::remove_file(&path))?.is_none() {
            return Ok(false);
        }
        let Some(folder) = path.parent() else {
            return Ok(true);
        };
        sync_folder(folder)?;
        // Only an empty folder goes; one that has other blobs stays.
        if fs::remove_dir(folder).is_ok()
            && let Some(parent) = folder.parent()
        {
            sync_folder(parent)?;
        }
        Ok(true)
    }

    fn list(&self, after: Option<BlobKey>, count_max: usize) -> io::Result<Vec<BlobEntry>> {
        let mut entries = Vec::new();
        for prefix in sorted_names(&self.root)? {
            if prefix.len() != 2 || after.is_some_and(|after| prefix.as_str() < &after.hash.to_string()[..2]) {
                continue;
            }
            for name in sorted_names(&self.root.join(&prefix))? {
                let Ok(hash) = name.parse::<Hash>() else {
                    continue;
                };
                if after.is_some_and(|after| hash < after.hash) {
                    continue;
                }
                self.list_picture(&prefix, hash, after, &mut entries)?;
                if entries.len() >= count_max {
                    entries.truncate(count_max);
                    return Ok(entries);
                }
            }
        }
        Ok(entries)
    }

    fn list_picture(&self, prefix: &str, hash: Hash, after: Option<BlobKey>, entries: &mut Vec<BlobEntry>) -> io::Result<()> {
        let folder = self.root.join(prefix).join(hash.to_string());
        for name in sorted_names(&folder)? {
            let Some(blob_name) = BlobName::parse(&name) else {
                continue;
            };
            let key = BlobKey::new(hash, blob_name);
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            let Some(metadata) = none_if_absent(fs::metadata(folder.join(&name)))? else {
                continue;
            };
            entries.push(BlobEntry { key, bytes: metadata.len(), modified_at: metadata.modified()? });
        }
        Ok(())
    }
}

fn none_if_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists the names in a folder in order; a folder that is gone has none.
fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes a folder and those above it, each durable in the one above.
fn make_durable_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_durable_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(parent.unwrap_or(Path::new(".")))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match fs::File::open(folder) {
        Ok(handle) => handle.sync_all(),
        // Removed meanwhile: there is nothing left to make durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendition::Rendition;

    #[tokio::test]
    async fn opening_sweeps_what_a_dead_process_left_and_spares_the_living() {
        let root = tempfile::tempdir().expect("a folder");
        let temporary = root.path().join(TEMPORARY);
        fs::create_dir_all(&temporary).expect("a folder");
        let stale = temporary.join("4711-0");
        let fresh = temporary.join("4712-0");
        fs::write(&stale, b"half a pict").expect("a file");
        fs::write(&fresh, b"half a pict").expect("a file");
        let long_ago = SystemTime::now() - Duration::from_secs(STALE_TEMPORARY_SECONDS + 1);
        fs::File::options().write(true).open(&stale).and_then(|file| file.set_modified(long_ago)).expect("an old file");
        let engine = FileEngine::open(root.path().to_owned()).await.expect("an engine");
        assert!(!stale.exists());
        assert!(fresh.exists());
        assert_eq!(engine.list(None, 10).await.expect("a list"), []);
    }

    #[tokio::test]
    async fn a_failed_put_leaves_nothing_behind() {
        let root = tempfile::tempdir().expect("a folder");
        let engine = FileEngine::open(root.path().to_owned()).await.expect("an engine");
        let key = BlobKey::rendition(Hash::of(b"1"), Rendition::Original);
        // A file where the picture's folder should be makes the put fail for root as well.
        fs::write(root.path().join(&key.hash.to_string()[..2]), b"in the way").expect("a file");
        assert!(engine.put(key, Bytes::from_static(b"pixels")).await.is_err());
        assert_eq!(fs::read_dir(root.path().join(TEMPORARY)).expect("a folder").count(), 0);
        assert!(!engine.delete(key).await.unwrap_or(false));
    }

    #[tokio::test]
    async fn the_folder_of_a_picture_goes_with_its_last_blob() {
        let root = tempfile::tempdir().expect("a folder");
        let engine = FileEngine::open(root.path().join("deep/er")).await.expect("an engine");
        let key = BlobKey::rendition(Hash::of(b"1"), Rendition::Original);
        engine.put(key, Bytes::from_static(b"pixels")).await.expect("a put");
        let path = root.path().join("deep/er").join(key.to_string());
        assert!(path.is_file());
        assert!(engine.delete(key).await.expect("a delete"));
        assert!(!path.parent().expect("a folder").exists());
    }
}
