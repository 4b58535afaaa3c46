//! Ports that stay with a server while it is down, so that it comes back where it was.
//!
//! They lie below those that the kernel gives to outgoing connections, and a lock on a file of the port's name keeps other tests away.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::own_uid;

/// Most kernels give outgoing connections ports from 32,768 on; well-known servers lie below 15,000.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that no other test takes.
pub(crate) struct Port {
    pub number: u16,
    path: PathBuf,
    _lock: File,
}

impl Port {
    /// Takes the first port that is free, from a place on that depends on this process, so that few meet.
    pub fn reserve() -> anyhow::Result<Port> {
        let folder = folder()?;
        sweep(&folder);
        let count = PORTS.len() as u32;
        let first = std::process::id().wrapping_mul(101) % count;
        for step in 0..count {
            let number = PORTS.start + ((first + step) % count) as u16;
            let path = folder.join(number.to_string());
            if TcpListener::bind(("127.0.0.1", number)).is_ok()
                && let Some(lock) = locked(&path)
            {
                return Ok(Port { number, path, _lock: lock });
            }
        }
        anyhow::bail!("none of the ports {PORTS:?} is free");
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what killed processes left behind: files that nobody has locked.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some(_lock) = locked(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Locks a file that has this name; `None` when another test has it.
fn locked(path: &Path) -> Option<File> {
    let lock = File::create(path).ok()?;
    lock.try_lock().ok()?;
    // Whoever had it may have removed it between the two lines above: then the lock is on a file that nobody else will find.
    let is_it = fs::metadata(path).is_ok_and(|named| lock.metadata().is_ok_and(|held| held.ino() == named.ino()));
    is_it.then_some(lock)
}

fn folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("corkboard-ports-{}", own_uid()?));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_twice_and_can_be_listened_on() {
        let (first, second) = (Port::reserve().unwrap(), Port::reserve().unwrap());
        assert_ne!(first.number, second.number);
        TcpListener::bind(("127.0.0.1", first.number)).unwrap();
        assert!(locked(&first.path).is_none());
        let path = first.path.clone();
        drop(first);
        assert!(!path.exists());
    }
}
