//! Where backups are kept: files with names, written whole. A folder here; an object store is plugged in by the program.
//!
//! ```text
//! <place>/<backup>/manifest.json                      written last: a backup without it is none
//! <place>/<backup>/<server>/pins-000001.jsonl.gz      rows of one table, by key
//! <place>/changes/<since>/fleet.json                  until when the changes of all servers are there
//! <place>/changes/<since>/<server>/head.json          how far this server's changes have been archived
//! <place>/changes/<since>/<server>/0000000001.jsonl.gz
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::error::{Error, Result};

/// A place for backups. Names are relative, with `/` between their parts.
#[async_trait]
pub trait BackupStore: Send + Sync {
    /// Keeps a file, in place of one that has its name. Whole and durable when it returns: nobody ever reads half of it.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()>;

    /// Reads a file; `None` when there is none of this name.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Lists the folders at the top, in the order of their names.
    async fn folders(&self) -> Result<Vec<String>>;

    /// Names the place, for people.
    fn place(&self) -> String;
}

/// A folder of this machine: a disk, or what is mounted there.
pub struct FolderStore {
    folder: PathBuf,
}

impl FolderStore {
    pub fn new(folder: PathBuf) -> FolderStore {
        FolderStore { folder }
    }
}

#[async_trait]
impl BackupStore for FolderStore {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let path = self.folder.join(checked(name)?);
        let written = blocking({
            let path = path.clone();
            move || write_whole(&path, &bytes)
        });
        written.await.map_err(|error| {
            Error::Unavailable(format!("{} can't be written: {error}. Look for space and rights, and run it again.", path.display()))
        })
    }

    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.folder.join(checked(name)?);
        let read = blocking({
            let path = path.clone();
            move || std::fs::read(path)
        });
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Unavailable(format!("{} can't be read: {error}.", path.display()))),
        }
    }

    async fn folders(&self) -> Result<Vec<String>> {
        let folder = self.folder.clone();
        let list = move || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.extend(entry.file_name().into_string());
                }
            }
            names.sort();
            Ok(names)
        };
        match blocking(list).await {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::Unavailable(format!("{} can't be listed: {error}.", self.folder.display()))),
        }
    }

    fn place(&self) -> String {
        format!("file:{}", self.folder.display())
    }
}

/// Writes beside the name first, so that a crash leaves the old file or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("part");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Refuses names that lead elsewhere: a manifest is read from outside.
fn checked(name: &str) -> Result<&str> {
    let is_plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if name.split('/').all(is_plain) {
        return Ok(name);
    }
    Err(Error::Invalid(format!("'{name}' is no name of a file in a backup: letters, digits, -, _ and . between slashes are possible.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_kept_whole_and_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FolderStore::new(folder.path().join("not yet there"));
        assert_eq!((store.folders().await, store.get("a/b.json").await), (Ok(vec![]), Ok(None)));
        store.put("a/b.json", b"one".to_vec()).await.expect("a file");
        store.put("a/b.json", b"two".to_vec()).await.expect("a file");
        store.put("b/c/d.gz", vec![]).await.expect("a file");
        assert_eq!(store.get("a/b.json").await, Ok(Some(b"two".to_vec())));
        assert_eq!(store.folders().await, Ok(vec!["a".to_owned(), "b".to_owned()]));
        for wrong in ["../x", "/etc/passwd", "a//b", "", "a/.hidden"] {
            assert!(matches!(store.put(wrong, vec![]).await, Err(Error::Invalid(_))), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_written_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "a file where a folder should be").expect("a file");
        let error = FolderStore::new(folder.path().into()).put("a/b.json", vec![]).await.expect_err("no folder");
        assert!(matches!(&error, Error::Unavailable(message) if message.contains("a/b.json")), "{error}");
    }
}
