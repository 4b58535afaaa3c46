//! What tests and benches need from outside the project: found, installed with apt when this is root, or named.

use std::{path::Path, process::Command, sync::OnceLock};

use crate::command;

/// Something from outside.
pub struct Need {
    /// What a person calls it.
    pub name: &'static str,
    /// A program on the PATH or among the servers, or a file or folder when it starts with '/'.
    pub evidence: &'static [&'static str],
    /// Debian's packages that bring it.
    pub packages: &'static [&'static str],
}

pub const CHROMIUM: Need = Need { name: "a browser (chromium)", evidence: &["chromium"], packages: &["chromium"] };
pub const NODE: Need = Need { name: "Node.js with npm", evidence: &["node", "npm"], packages: &["nodejs", "npm"] };
pub const OPENCLIPART: Need = Need {
    name: "the clip art of openclipart",
    evidence: &["/usr/share/openclipart/png", "/usr/share/openclipart/svg"],
    packages: &["openclipart-png", "openclipart-svg"],
};
pub const MARIADB: Need = Need { name: "MariaDB", evidence: &["mariadbd", "mariadb", "mariadb-install-db"], packages: &["mariadb-server"] };
pub const MEMCACHED: Need = Need { name: "memcached", evidence: &["memcached"], packages: &["memcached"] };
pub const REDIS: Need = Need { name: "Redis", evidence: &["redis-server"], packages: &["redis-server"] };
pub const VIPS: Need = Need { name: "vipsthumbnail", evidence: &["vipsthumbnail"], packages: &["libvips-tools"] };
pub const WALLPAPERS: Need = Need {
    name: "photographs (wallpaper packages)",
    evidence: &["/usr/share/backgrounds/mate", "/usr/share/wallpapers"],
    packages: &["mate-backgrounds", "plasma-workspace-wallpapers"],
};

impl Need {
    fn missing(&self) -> Vec<&'static str> {
        let is_there = |evidence: &str| match evidence.starts_with('/') {
            true => Path::new(evidence).exists(),
            false => command::is_on_path(evidence),
        };
        self.evidence.iter().copied().filter(|evidence| !is_there(evidence)).collect()
    }

    /// Makes sure that it is there; says what is missing and how to get it when that can't be done.
    pub fn provide(&self) -> Result<(), String> {
        if self.missing().is_empty() {
            return Ok(());
        }
        let packages = self.packages.join(" ");
        if !is_root() || !command::is_on_path("apt-get") {
            return Err(format!("{} is not installed; as root: apt-get install {packages}", self.name));
        }
        println!("{} is not installed; installing {packages}", self.name);
        let installed = apt_update()
            .and_then(|()| apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], self.packages].concat()))
            .map_err(|problem| format!("{} could not be installed: {problem}", self.name));
        installed?;
        match self.missing().as_slice() {
            [] => Ok(()),
            missing => Err(format!("{packages} is installed, but {} is still not there", missing.join(", "))),
        }
    }
}

/// Runs `apt-get update`, once per run.
fn apt_update() -> Result<(), String> {
    static UPDATED: OnceLock<Result<(), String>> = OnceLock::new();
    UPDATED.get_or_init(|| apt(&["update", "--quiet"])).clone()
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command::run(&mut command).map_err(|error| format!("{error:#}"))
}

fn is_root() -> bool {
    // The owner of one's own process folder is one's user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_needs_nothing() {
        assert_eq!(Need { name: "a shell", evidence: &["sh", "/"], packages: &[] }.provide(), Ok(()));
        let need = Need { name: "x", evidence: &["sh", "no-such-program", "/no/such/folder"], packages: &[] };
        assert_eq!(need.missing(), ["no-such-program", "/no/such/folder"]);
    }
}
