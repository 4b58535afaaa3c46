//! The private folder of one server: where it is, and that it does not stay.
//!
//! ```text
//! /dev/shm/corkboard-KIND-XXXXXX/      or on a disk, when the server must be durable
//!   lock        held by the process that made the folder, as long as it lives
//!   data/       the server's data
//!   socket      for the administrator on this machine, where a server has one
//!   error.log   what the server says
//! ```
//! A process that is killed leaves its folder behind. Whoever makes the next folder finds the lock free and removes it.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

use super::Account;
use crate::program;

/// What all names begin with; the kind of server follows.
const PREFIX: &str = "corkboard-";
const MEMORY_FOLDER: &str = "/dev/shm";
/// A server that is filled by tests needs about a tenth of this; with less left, the data goes to a disk.
const MEMORY_FREE_KIB_MIN: u64 = 1024 * 1024;
/// A path of a socket may be 107 bytes long; less what is behind the folder's parent.
const PARENT_BYTES_MAX: usize = 70;
/// A folder as young as this may not have been locked yet by its maker.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// A folder that goes with its owner.
pub(crate) struct Folder {
    account: Option<Account>,
    // Order matters: the folder is removed before the lock is given up.
    folder: tempfile::TempDir,
    _lock: File,
}

impl Folder {
    /// Makes an empty folder for this kind of server, in which the account can work.
    pub fn create(kind: &str, account: Option<Account>, on_disk: bool) -> anyhow::Result<Folder> {
        let parent = if on_disk { disk_folder(account)? } else { memory_folder().unwrap_or_else(std::env::temp_dir) };
        ensure!(is_reachable(&parent, account), "the server's user can't reach {}: all folders above must be searchable", parent.display());
        let prefix = format!("{PREFIX}{kind}-");
        sweep(&parent, &prefix);
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent).with_context(|| format!("in {}", parent.display()))?;
        let lock = File::create(folder.path().join("lock"))?;
        lock.lock().context("locking a folder that nobody else knows")?;
        if let Some(account) = account {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            account.own(folder.path())?;
        }
        Ok(Folder { account, folder, _lock: lock })
    }

    /// Gives a file to the account that works here.
    pub fn give_away(&self, path: &Path) -> anyhow::Result<()> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("socket")
    }

    pub fn error_log(&self) -> PathBuf {
        self.path().join("error.log")
    }
}

fn memory_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(MEMORY_FOLDER);
    let output = Command::new("df").arg("-Pk").arg(&folder).output().ok()?;
    let free = free_kib(&String::from_utf8_lossy(&output.stdout))?;
    (free >= MEMORY_FREE_KIB_MIN).then_some(folder)
}

/// Reads the fourth column of what `df -Pk` says.
fn free_kib(text: &str) -> Option<u64> {
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

fn disk_folder(account: Option<Account>) -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts")?;
    let candidates = [Some(std::env::temp_dir()), Some(PathBuf::from("/var/tmp")), program::target_folder()];
    for candidate in candidates.into_iter().flatten() {
        let Ok(folder) = candidate.canonicalize() else { continue };
        let is_short = folder.as_os_str().len() <= PARENT_BYTES_MAX;
        if is_short && !is_memory(&folder, &mounts) && is_reachable(&folder, account) {
            return Ok(folder);
        }
    }
    bail!(
        "no folder on a disk for a durable server: {} is in memory or can't be reached; set TMPDIR to one",
        std::env::temp_dir().display()
    );
}

/// Tells whether a path is on a file system in memory; `mounts` is as in proc(5): device, folder, type, …
fn is_memory(path: &Path, mounts: &str) -> bool {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let folder = Path::new(fields.next()?);
        path.starts_with(folder).then_some((folder.components().count(), fields.next()?))
    });
    // Of two mounts on the same folder the later one counts, and `max_by_key` gives the last.
    mounted.max_by_key(|(depth, _)| *depth).is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}

/// Tells whether another user can search the folder and all above it.
fn is_reachable(folder: &Path, account: Option<Account>) -> bool {
    let is_searchable = |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    account.is_none() || folder.ancestors().all(is_searchable)
}

/// Removes what killed processes left behind. What can't be removed is another user's, who will do it.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) && is_abandoned(&entry.path(), ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path, after: Duration) -> bool {
    let Ok(lock) = File::open(folder.join("lock")) else { return false };
    let age = lock.metadata().and_then(|found| found.modified()).ok().and_then(|made| made.elapsed().ok());
    age.is_some_and(|age| age >= after) && lock.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_abandoned_when_its_maker_is_gone() {
        let folder = Folder::create("test", None, false).unwrap();
        let path = folder.path().to_owned();
        assert!(!is_abandoned(&path, Duration::ZERO), "its maker lives");
        let Folder { folder, _lock: lock, .. } = folder;
        drop(lock);
        assert!(is_abandoned(&path, Duration::ZERO));
        assert!(!is_abandoned(&path, Duration::from_secs(3_600)), "it may be too young to be locked");
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn memory_is_told_from_disks() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk xfs rw 0 0\n";
        let is_memory = |path: &str| is_memory(Path::new(path), mounts);
        assert!(!is_memory("/var/tmp"));
        assert!(is_memory("/dev/shm") && is_memory("/tmp/x"));
        assert!(!is_memory("/tmp/disk/x") && !is_memory("/dev/shmx"));
    }

    #[test]
    fn reads_what_is_free() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\ntmpfs 24683656 36 24683620 1% /dev/shm\n";
        assert_eq!(free_kib(text), Some(24_683_620));
        assert_eq!(free_kib("df: no such file\n"), None);
    }
}
