//! MariaDB's programs on this machine, and as whom the server runs.

use std::{path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::{
    private::{Account, own_uid, server_command},
    program,
};

/// The server refuses to run as root and changes to this user, whom Debian's package makes.
const SERVER_USER: &str = "mysql";

/// What is needed to run servers.
pub(super) struct Software {
    pub server: PathBuf,
    pub install: PathBuf,
    /// Whom to become; `None` for those who are not root and stay who they are.
    pub account: Option<Account>,
    /// As whom the server runs.
    pub uid: u32,
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

impl Software {
    pub fn find() -> anyhow::Result<Software> {
        let account = Account::for_server(SERVER_USER)?;
        let uid = account.map_or(own_uid()?, |account| account.uid);
        Ok(Software { server: path_of("mariadbd")?, install: path_of("mariadb-install-db")?, account, uid })
    }

    /// Prepares a command line of the server that becomes another user and dies with its parent where that is possible.
    pub fn server_command(&self) -> Command {
        server_command(&self.server, self.account, &[&format!("--user={SERVER_USER}")])
    }

    /// The arguments by which MariaDB's own scripts change the user.
    pub fn user_argument(&self) -> Option<String> {
        self.account.map(|_| format!("--user={SERVER_USER}"))
    }
}
