//! Who runs where, and live settings (settings.rs). Engine `local:`: a folder with one file per running process, in the ServerSet JSON
//! form that other tools know.
//!
//! ```text
//! <folder>/<service>/member_<pid>.json    locked for as long as its process lives
//! ```
//!
//! A member whose file can be locked by somebody else is dead: its file is removed by whoever notices. Nothing needs to be cleaned up
//! after a kill.

mod settings;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use settings::LiveSettings;

/// Where a process can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

/// One running process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub service_endpoint: Endpoint,
    #[serde(default)]
    pub additional_endpoints: std::collections::BTreeMap<String, Endpoint>,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Beyond the ServerSet form: which process it is.
    #[serde(default)]
    pub pid: u32,
}

impl Member {
    pub fn alive(host: &str, port: u16) -> Member {
        let service_endpoint = Endpoint { host: host.to_owned(), port };
        Member { service_endpoint, additional_endpoints: Default::default(), status: "ALIVE".into(), shard: None, pid: std::process::id() }
    }
}

/// The registry in a folder.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

/// A membership: it ends when this is dropped, or when the process dies.
#[derive(Debug)]
pub struct Membership {
    path: PathBuf,
    _lock: File,
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "a membership's file was gone already");
        }
    }
}

impl Registry {
    /// Opens the registry that a URL names: `local:FOLDER`.
    pub fn open(url: &str) -> io::Result<Registry> {
        match url.split_once(':') {
            Some(("local", folder)) if !folder.is_empty() => Ok(Registry { folder: folder.into() }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("'{url}' is no registry; write local: and a folder, as in \"local:data/registry\"."),
            )),
        }
    }

    /// Registers this process as a member of a service.
    pub fn join(&self, service: &str, member: &Member) -> io::Result<Membership> {
        let folder = self.folder.join(service);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("member_{}.json", member.pid));
        let mut file = File::options().create(true).write(true).read(true).truncate(false).open(&path)?;
        file.lock()?;
        file.set_len(0)?;
        file.write_all(serde_json::to_string_pretty(member)?.as_bytes())?;
        Ok(Membership { path, _lock: file })
    }

    /// Lists the living members of a service.
    pub fn members(&self, service: &str) -> io::Result<Vec<Member>> {
        let folder = self.folder.join(service);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut members = Vec::new();
        for entry in entries {
            members.extend(living_member(&entry?.path()));
        }
        members.sort_by_key(|member| member.pid);
        Ok(members)
    }
}

/// Reads a member's file if its process lives; removes the file of a dead one.
fn living_member(path: &Path) -> Option<Member> {
    let mut file = File::options().read(true).write(true).open(path).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {}
        // Nobody holds it: its process is dead. Or locks don't work here, and then nothing is known.
        Ok(()) => {
            let _ = fs::remove_file(path);
            return None;
        }
        Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&format!("local:{}", folder.path().display())).unwrap();
        assert!(registry.members("web").unwrap().is_empty());
        let membership = registry.join("web", &Member::alive("127.0.0.1", 8080)).unwrap();
        let members = registry.members("web").unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].service_endpoint.port, 8080);
        drop(membership);
        assert!(registry.members("web").unwrap().is_empty());
    }

    #[test]
    fn the_file_of_a_dead_process_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&format!("local:{}", folder.path().display())).unwrap();
        fs::create_dir_all(folder.path().join("web")).unwrap();
        let stale = folder.path().join("web/member_1.json");
        fs::write(&stale, serde_json::to_string(&Member::alive("127.0.0.1", 1)).unwrap()).unwrap();
        assert!(registry.members("web").unwrap().is_empty());
        assert!(!stale.exists());
    }

    #[test]
    fn other_urls_are_refused() {
        assert!(Registry::open("zookeeper://host").unwrap_err().to_string().contains("local:"));
    }
}
