//! MariaDB's programs on this machine, and as whom the server runs.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::program;

/// The server refuses to run as root and changes to this user, whom Debian's package makes.
const SERVER_USER: &str = "mysql";

/// What is needed to run servers.
pub(super) struct Software {
    pub server: PathBuf,
    pub install: PathBuf,
    /// Ends the server with the process that started it, however that ends; not there outside of Linux.
    pub setpriv: Option<PathBuf>,
    /// Whom to become; `None` for those who are not root and stay who they are.
    pub account: Option<Account>,
    /// As whom the server runs.
    pub uid: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Says what is missing on this machine for private servers and how to get it; `None` when everything is there.
pub fn missing() -> Option<String> {
    let missing: Vec<&str> =
        ["mariadbd", "mariadb", "mariadb-install-db"].into_iter().filter(|name| program::find(name).is_none()).collect();
    match missing.as_slice() {
        [] => None,
        names => Some(format!("MariaDB is not installed ({} not found); as root: apt-get install mariadb-server", names.join(", "))),
    }
}

pub(super) fn path_of(name: &str) -> anyhow::Result<PathBuf> {
    program::find(name).with_context(|| format!("{name} is not installed; as root: apt-get install mariadb-server"))
}

/// The user that runs this: the owner of its own process folder.
pub(super) fn own_uid() -> anyhow::Result<u32> {
    Ok(std::fs::metadata("/proc/self").context("reading /proc/self")?.uid())
}

impl Software {
    pub fn find() -> anyhow::Result<Software> {
        let own = own_uid()?;
        let account = if own == 0 { Some(Account::of(SERVER_USER)?) } else { None };
        let uid = account.map_or(own, |account| account.uid);
        let (server, install) = (path_of("mariadbd")?, path_of("mariadb-install-db")?);
        Ok(Software { server, install, setpriv: program::find("setpriv"), account, uid })
    }

    /// Prepares a command line of the server that becomes another user and dies with its parent where that is possible.
    pub fn server_command(&self) -> Command {
        let Some(setpriv) = &self.setpriv else {
            let mut command = Command::new(&self.server);
            command.args(self.account.map(|_| format!("--user={SERVER_USER}")));
            return command;
        };
        // The kernel forgets whose death to follow when a process changes its user. So setpriv does both, in the right order, and the
        // server needs not change any more.
        let mut command = Command::new(setpriv);
        if let Some(Account { uid, gid }) = self.account {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.server);
        command
    }

    /// The arguments by which MariaDB's own scripts change the user.
    pub fn user_argument(&self) -> Option<String> {
        self.account.map(|_| format!("--user={SERVER_USER}"))
    }
}

impl Account {
    fn of(name: &str) -> anyhow::Result<Account> {
        let users = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        Account::among(&users, name)
            .with_context(|| format!("there is no user {name} in /etc/passwd, and the server refuses to run as root"))
    }

    /// Reads `name:password:uid:gid:…`.
    fn among(users: &str, name: &str) -> Option<Account> {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.first() == Some(&name)).then_some(())?;
            Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
        })
    }

    /// Gives a file or folder to this user.
    pub fn own(self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).with_context(|| format!("giving {} to its user", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\nmysqlx:x:1:2::/:\nmysql:x:102:104:MySQL Server,,,:/nonexistent:/bin/false\n";
        let account = Account::among(users, "mysql").unwrap();
        assert_eq!((account.uid, account.gid), (102, 104));
        assert!(Account::among(users, "nobody").is_none());
        assert!(Account::among("mysql:x:many:104:", "mysql").is_none());
    }
}
